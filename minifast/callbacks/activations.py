"""Look inside the model while it trains: activations per layer, gradient norms, and batches whose loss jumps.

All numbers stay on the device until they are read; nothing here waits for it in the loop.
"""
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..core import Axes, DataFrame, check_arguments, describe, is_whole, leaves, subplots
from ..core.sharded import whole
from ..core.torch_internals import norm
from ..nn import Hooks, flatten_model
from .base import Order, TrainingCallback

N_BINS, TOP = 40, 10.0


def activation_stats(x: torch.Tensor, with_hist: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Statistics of activations.

    Args:
        x: any float tensor.
        with_hist: whether to compute a histogram too.

    Returns:
        `(stats, histogram)`: float32 (3,), the mean, the standard deviation and the fraction that is at most 0.05; and float32 (40,),
        counts from 0 to 10 (None without `with_hist`).
    """
    x = x.detach().float()
    stats = torch.stack([x.mean(), x.std(unbiased=x.numel() > 1), (x <= 0.05).float().mean()])
    return stats, torch.histc(x, N_BINS, 0.0, TOP) if with_hist else None


class ActivationStats(TrainingCallback):
    """Record mean, standard deviation and fraction of near zeros of every layer's activations at each training batch.

    Layers are numbered in the order of `modules`; `names` says which is which. Every fit starts a new record. Source: J. Howard, S.
    Gugger, "Deep Learning for Coders", 2020, chapter 13 (the colourful dimension is S. Giomo's).

    Args:
        with_hist: record histograms too, for `color_dim` and `hist`.
        every: batches between two records; None: record each batch.
        modules: which layers; None: all modules without children.
    """

    only_watches = True
    order = Order.RECORD

    def __init__(self, with_hist: bool = False, every: int | None = None, modules: Sequence[nn.Module] | None = None):
        check_arguments("ActivationStats", every=(every, every is None or is_whole(every),
                                                  "the number of batches between two records, a whole number from 1 up"))
        self.with_hist, self.every, self.wanted = with_hist, every, modules
        self.modules, self.names, self._rows, self._recording = [], [], [], False
        self.hooks = Hooks((), self._record)

    def before_fit(self) -> None:
        model = self.learn.model
        self.modules = flatten_model(model) if self.wanted is None else list(self.wanted)
        names = {m: n for n, m in model.named_modules()}
        strange = [m for m in self.modules if m not in names]
        if strange:
            raise ValueError(f"ActivationStats(modules=...): {describe(strange[0])} is not a module of this learner's model")
        self.names = [f"{names[m]} ({type(m).__name__})" for m in self.modules]
        self._rows = [[] for _ in self.modules]
        self.hooks = Hooks(self.modules, self._record)

    def before_batch(self) -> None:
        self._recording = self.every is None or vars(self.learn)["iter"] % self.every == 0

    def _record(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._recording and self.learn.training:
            floats = [t for t in leaves(output) if isinstance(t, torch.Tensor) and t.is_floating_point() and t.numel()]
            self._rows[self.modules.index(module)] += [activation_stats(x, self.with_hist) for x in floats[:1]]

    def after_batch(self) -> None:
        self._recording = False

    def cleanup_fit(self) -> None:
        self.hooks.remove()
        self._recording = False

    # -- results ----------------------------------------------------------------------------------------------------------------
    def _layer(self, i: int) -> int:
        if not self.modules:
            raise ValueError("nothing has been recorded yet: train first, with cbs=ActivationStats()")
        if not -len(self.modules) <= i < len(self.modules):
            raise IndexError(f"there is no layer {i}: {len(self.modules)} were recorded, see `names`")
        i %= len(self.modules)
        if not self._rows[i]:
            raise ValueError(f"layer {i}, {self.names[i]}, was never called with an output of floats")
        return i

    @property
    def stats(self) -> list[list[dict[str, Any]]]:
        "Per recorded batch a list with a dict per layer: `mean`, `std`, `near_zero`, with `with_hist` also `hist`; as fastai's."
        names = ("mean", "std", "near_zero")
        by_layer = [[dict(zip(names, s.tolist(), strict=True), **({} if h is None else {"hist": h})) for s, h in rows]
                    for rows in self._rows if rows]
        return [list(batch) for batch in zip(*by_layer, strict=False)]

    def layer_stats(self, i: int) -> tuple[list[float], ...]:
        "`(means, standard deviations, fractions of near zeros)` of layer `i`, each a list with a number per recorded batch."
        return tuple(torch.stack([stats for stats, _ in self._rows[self._layer(i)]]).T.tolist())

    def hist(self, i: int) -> torch.Tensor:
        "The histograms of layer `i` as a tensor (40 bins from 0 to 10, batches)."
        i = self._layer(i)
        if not self.with_hist:
            raise ValueError("there are no histograms: write ActivationStats(with_hist=True)")
        return torch.stack([hist for _, hist in self._rows[i]]).cpu().T

    def frame(self) -> "DataFrame":
        "A DataFrame with a row per layer: the last mean, standard deviation and fraction of near zeros."
        import pandas as pd
        rows = [(i, self.names[i], *rows[-1][0].tolist()) for i, rows in enumerate(self._rows) if rows]
        return pd.DataFrame(rows, columns=["layer", "name", "mean", "std", "near_zero"])

    def plot_layer_stats(self, i: int) -> Any:
        "Plot the three numbers of layer `i` over the batches; returns the axes."
        _, axes = subplots(1, 3, figsize=(12, 3), suptitle=f"layer {self._layer(i)}: {self.names[i]}", layout="constrained")
        for ax, values, title in zip(axes, self.layer_stats(i), ("mean", "std. dev.", "% near zero"), strict=True):
            ax.plot([100 * v for v in values] if title.startswith("%") else values)
            ax.set(title=title, xlabel="recorded batch")
        return axes

    def color_dim(self, i: int, figsize: tuple[float, float] = (10, 5), ax: "Axes | None" = None) -> "Axes":
        """Draw the histograms of layer `i` over time: large activations at the top, batches from left to right, colour for the logarithm
        of the counts. Bright only at the bottom means dead units; columns that collapse again and again mean unstable training.

        Args:
            i: number of the layer.
            figsize: width and height in inches.
            ax: axes to draw on.

        Returns:
            The axes.
        """
        ax = subplots(figsize=figsize)[1][0] if ax is None else ax
        hist = self.hist(i)
        ax.imshow(hist.log1p(), origin="lower", aspect="auto", interpolation="nearest", extent=(0, hist.shape[1], 0, TOP))
        ax.set(xlabel="recorded batch", ylabel="activation", title=f"layer {self._layer(i)}: {self.names[i]}")
        return ax


class GradientNorms(TrainingCallback):
    """Record the norm of all gradients together, and per layer group, before each step. Every fit starts a new record.

    `norms` is a tensor (steps,), `by_group` one (steps, layer groups); both are read from the device when asked for.
    """

    only_watches = True
    order = Order.RECORD

    _rows: Any = ()

    def before_fit(self) -> None:
        self._rows = []

    def before_step(self) -> None:
        grads: dict[int, list[torch.Tensor]] = {}
        for group in self.learn.opt.param_groups:
            grads.setdefault(group.get("layer_group", 0), []).extend(p.grad for p in group["params"] if p.grad is not None)
        self._rows.append(whole({k: torch.stack([n.float() for n in norm(own)]).norm() for k, own in grads.items() if own}))

    @property
    def by_group(self) -> torch.Tensor:
        "Norms per layer group: a tensor (steps, layer groups)."
        n = 1 + max((k for row in self._rows for k in row), default=0)
        return torch.tensor([[float(row.get(k, 0)) for k in range(n)] for row in self._rows]).reshape(-1, n)

    @property
    def norms(self) -> torch.Tensor:
        "The norm of all gradients at each step: a tensor (steps,)."
        return self.by_group.norm(dim=1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        "Plot the norms over the steps, on a logarithmic scale; returns the axes."
        if not self._rows:
            raise ValueError("nothing has been recorded yet: train first, with cbs=GradientNorms()")
        ax = subplots(figsize=(6, 4))[1][0] if ax is None else ax
        by_group = self.by_group
        ax.plot(by_group, label=[f"layer group {k}" for k in range(by_group.shape[1])])
        ax.set(xlabel="step", ylabel="gradient norm", yscale="log")
        ax.legend()
        return ax


def spikes(losses: Sequence[float], factor: float = 4.0, window: int = 50, least: int = 10) -> list[int]:
    """The positions at which the loss jumps.

    A loss is a spike if it exceeds the median of the losses before it by more than `factor` times their spread (1.4826 times the median
    distance from the median, at least 5% of it).

    Args:
        losses: one number per batch.
        factor: how many spreads.
        window: how many losses before it are compared.
        least: the first position that can be a spike.
    """
    found = []
    for i in range(least, len(losses)):
        before = torch.tensor(losses[max(0, i - window):i], dtype=torch.float64)
        middle = before.median()
        spread = max(1.4826 * float((before - middle).abs().median()), 0.05 * abs(float(middle)))
        if not losses[i] <= float(middle) + factor * spread:
            found.append(i)
    return found


class LossSpikes(TrainingCallback):
    """Keep the items of the training batches whose loss jumps, to look at: often wrong labels, broken files, or outliers.

    The search happens at the end of each epoch, so that the loop never waits.

    Args:
        factor, window: see `spikes`.
        keep: the largest so many.

    Attributes:
        found: dicts with epoch, batch, loss and items (None if the loader does not know them).
    """

    only_watches = True
    order = Order.RECORD

    def __init__(self, factor: float = 4.0, window: int = 50, keep: int = 20):
        self.factor, self.window, self.keep = factor, window, keep
        self.found, self._pending, self._before = [], [], []

    def before_fit(self) -> None:
        self.found, self._before = [], []

    def before_train(self) -> None:
        self._pending = []

    def after_batch(self) -> None:
        loss = self.learn.loss
        if loss is not None:
            self._pending.append((self.learn.iter, loss.detach()))

    def after_train(self) -> None:
        if not self._pending:
            return
        losses = torch.stack([loss for _, loss in self._pending]).double().tolist()
        past = self._before[-self.window:]
        items_of = getattr(self.learn.dl, "items_of_batch", lambda number: None)
        for i in spikes(past + losses, self.factor, self.window):
            if i >= len(past):
                number, loss = self._pending[i - len(past)][0], losses[i - len(past)]
                self.found.append({"epoch": self.learn.epoch, "batch": number, "loss": loss, "items": items_of(number)})
        self.found = sorted(self.found, key=lambda o: -o["loss"] if o["loss"] == o["loss"] else float("-inf"))[:self.keep]
        self._before, self._pending = past + losses, []

    def frame(self) -> "DataFrame":
        "A DataFrame with a row per spike."
        import pandas as pd
        return pd.DataFrame(self.found, columns=["epoch", "batch", "loss", "items"])
