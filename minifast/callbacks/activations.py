"""What goes on inside while the model trains: activations per layer, gradient norms, and batches whose loss jumps.

All numbers stay on the device until somebody looks; nothing here waits for it in the loop.
"""
import torch

from ..core.messages import describe
from ..core.nested import leaves
from ..nn.hooks import Hooks
from ..nn.model_info import flatten_model
from .base import Callback, Order

N_BINS, TOP = 40, 10.0


def activation_stats(x, with_hist=False):
    """`(stats, histogram)` of the activations `x`, any float tensor: stats is float32 (3,), their mean, standard deviation and the share
    that is at most 0.05; the histogram float32 (40,) counts those from 0 to 10 (None without `with_hist`)."""
    x = x.detach().float()
    stats = torch.stack([x.mean(), x.std(unbiased=x.numel() > 1), (x <= 0.05).float().mean()])
    return stats, torch.histc(x, N_BINS, 0.0, TOP) if with_hist else None


class ActivationStats(Callback):
    """Record mean, standard deviation and share of near zeros of the activations of every layer at each training batch.

    with_hist: histograms too, for `color_dim` and `hist`. every: only each so many batches (None: each). modules: which (None: all that
    have no children). Layers are numbered in the order of `modules`; `names` says which is which. Every fit begins a new record. Source:
    J. Howard, S. Gugger, "Deep Learning for Coders", 2020, chapter 13 (the colourful dimension is S. Giomo's). """

    order = Order.RECORD
    run_valid = False

    def __init__(self, with_hist=False, every=None, modules=None):
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ValueError(f"ActivationStats(every={every!r}): each so many batches, a whole number from 1 up")
        self.with_hist, self.every, self.wanted = with_hist, every, modules
        self.modules, self.names, self._stats, self._hists, self.hooks = [], [], [], [], None
        self._listening = False

    def before_fit(self) -> None:
        model = self.learn.model
        self.modules = flatten_model(model) if self.wanted is None else list(self.wanted)
        names = {m: n for n, m in model.named_modules()}
        strange = [m for m in self.modules if m not in names]
        if strange:
            raise ValueError(f"ActivationStats(modules=...): {describe(strange[0])} is no module of this learner's model")
        self.names = [f"{names[m]} ({type(m).__name__})" for m in self.modules]
        self._stats, self._hists = [[] for _ in self.modules], [[] for _ in self.modules]
        number = {m: i for i, m in enumerate(self.modules)}
        self.hooks = Hooks(self.modules, lambda m, inp, out: self._look(number[m], out))

    def before_batch(self) -> None:
        self._listening = self.every is None or vars(self.learn)["iter"] % self.every == 0

    def _look(self, i, out):
        if not self._listening or not self.learn.training:
            return
        x = next((t for t in leaves(out) if isinstance(t, torch.Tensor) and t.is_floating_point() and t.numel()), None)
        if x is not None:
            stats, hist = activation_stats(x, self.with_hist)
            self._stats[i].append(stats)
            if hist is not None:
                self._hists[i].append(hist)

    def after_batch(self) -> None:
        self._listening = False

    def cleanup_fit(self) -> None:
        if self.hooks is not None:
            self.hooks.remove()
        self.hooks, self._listening = None, False

    # -- looking at it ------------------------------------------------------------------------------------------------------------
    def _layer(self, i):
        if not self.modules:
            raise ValueError("nothing has been recorded yet: train first, with cbs=ActivationStats()")
        if not -len(self.modules) <= i < len(self.modules):
            raise IndexError(f"there is no layer {i}: {len(self.modules)} were recorded, see `names`")
        i %= len(self.modules)
        if not self._stats[i]:
            raise ValueError(f"layer {i}, {self.names[i]}, was never called with an output of floats")
        return i

    def layer_stats(self, i):
        "`(means, standard deviations, shares of near zeros)` of layer `i`, each a list with a number per recorded batch."
        rows = torch.stack(self._stats[self._layer(i)]).cpu()
        return tuple(column.tolist() for column in rows.unbind(1))

    def hist(self, i):
        "The histograms of layer `i` as a tensor (40 bins from 0 to 10, batches)."
        i = self._layer(i)
        if not self._hists[i]:
            raise ValueError("there are no histograms: write ActivationStats(with_hist=True)")
        return torch.stack(self._hists[i]).cpu().T

    def frame(self):
        "A DataFrame with a row per layer: the last mean, standard deviation and share of near zeros."
        import pandas as pd

        rows = [
            {
                "layer": i,
                "name": self.names[i],
                **dict(zip(("mean", "std", "near_zero"), (v[-1] for v in self.layer_stats(i)), strict=True)),
            }
            for i in range(len(self.modules))
            if self._stats[i]
        ]
        return pd.DataFrame(rows, columns=["layer", "name", "mean", "std", "near_zero"])

    def plot_layer_stats(self, i):
        "Plot the three numbers of layer `i` over the batches; returns the axes."
        from ..core.plots import subplots
        stats = self.layer_stats(i)
        fig, axes = subplots(1, 3, figsize=(12, 3), layout="constrained")
        for ax, values, title in zip(axes, stats, ("mean", "std. dev.", "% near zero"), strict=True):
            ax.plot([100 * v for v in values] if title.startswith("%") else values)
            ax.set(title=title, xlabel="recorded batch")
        fig.suptitle(f"layer {self._layer(i)}: {self.names[i]}")
        return axes

    def color_dim(self, i, figsize=(10, 5), ax=None):
        """Draw the histograms of layer `i` over time, the logarithm of the counts as colour: large activations at the top, batches from
        left to right. Bright only at the bottom means dead; columns that collapse again and again mean unstable training. Returns the
        axes."""
        from ..core.plots import subplots
        ax = subplots(figsize=figsize)[1][0] if ax is None else ax
        ax.imshow(
            self.hist(i).log1p(),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, len(self._hists[self._layer(i)]), 0, TOP),
        )
        ax.set(xlabel="recorded batch", ylabel="activation", title=f"layer {self._layer(i)}: {self.names[i]}")
        return ax


class GradientNorms(Callback):
    """Record the norm of all gradients together, and per layer group, before each step.

    `norms` is a tensor (steps,), `by_group` one (steps, layer groups); both come to the CPU when they are read. Every fit begins a new
    record. """

    order = Order.RECORD
    run_valid = False

    def __init__(self):
        self._rows = []

    def before_fit(self) -> None:
        self._rows = []

    def before_step(self) -> None:
        rows = []
        for group in self.learn.opt.param_groups:
            grads = [p.grad for p in group["params"] if p.grad is not None]
            if grads:
                rows.append((group.get("layer_group", 0), torch.stack(torch._foreach_norm(grads)).float().norm()))
        self._rows.append(rows)

    @property
    def by_group(self):
        "Norms per layer group: a tensor (steps, layer groups)."
        n = 1 + max((k for rows in self._rows for k, _ in rows), default=-1)
        table = torch.zeros(len(self._rows), max(n, 1))
        for i, rows in enumerate(self._rows):
            for k, norm in rows:
                table[i, k] = table[i, k].hypot(norm.cpu())
        return table

    @property
    def norms(self):
        "The norm of all gradients at each step: a tensor (steps,)."
        return self.by_group.norm(dim=1)

    def plot(self, ax=None):
        "Plot the norms over the steps, on a logarithmic scale; returns the axes."
        from ..core.plots import subplots
        if not self._rows:
            raise ValueError("nothing has been recorded yet: train first, with cbs=GradientNorms()")
        ax = subplots(figsize=(6, 4))[1][0] if ax is None else ax
        by_group = self.by_group
        for k in range(by_group.shape[1]):
            ax.plot(by_group[:, k], label=f"layer group {k}")
        ax.set(xlabel="step", ylabel="gradient norm", yscale="log")
        ax.legend()
        return ax


def spikes(losses, factor=4.0, window=50, least=10):
    """The positions at which the loss is above the median of the `window` losses before it by more than `factor` times their spread
    (1.4826 times the median distance from the median, at least 5% of it). Only from the `least`-th loss on. losses: a list of numbers."""
    found = []
    for i in range(least, len(losses)):
        before = torch.tensor(losses[max(0, i - window):i], dtype=torch.float64)
        middle = before.median()
        spread = max(1.4826 * float((before - middle).abs().median()), 0.05 * abs(float(middle)))
        if not losses[i] <= float(middle) + factor * spread:
            found.append(i)
    return found


class LossSpikes(Callback):
    """Keep the items of the training batches whose loss jumps, to look at: often wrong labels, broken files, or outliers.

    factor, window: see `spikes`. keep: at most so many, the largest. `found` is a list of dicts with epoch, batch, loss and items (None
    where the loader does not know them). Looked for at the end of each epoch, so that the loop never waits. """

    order = Order.RECORD
    run_valid = False

    def __init__(self, factor=4.0, window=50, keep=20):
        self.factor, self.window, self.keep, self.found = factor, window, keep, []
        self._pending, self._before = [], []

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
        for i in spikes(past + losses, self.factor, self.window):
            if i >= len(past):
                number = self._pending[i - len(past)][0]
                self.found.append({"epoch": self.learn.epoch, "batch": number, "loss": losses[i - len(past)], "items": self._items(number)})
        self.found = sorted(self.found, key=lambda o: -o["loss"] if o["loss"] == o["loss"] else float("-inf"))[:self.keep]
        self._before, self._pending = past + losses, []

    def _items(self, number):
        dl = self.learn.dl
        return dl.items_of_batch(number) if hasattr(dl, "items_of_batch") else None

    def frame(self):
        "A DataFrame with a row per spike."
        import pandas as pd
        return pd.DataFrame(self.found, columns=["epoch", "batch", "loss", "items"])
