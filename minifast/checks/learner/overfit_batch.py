"""Overfit one batch: can the model learn one item, and a few, with regularisation and augmentation off? If not, no data will help.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("overfit one batch").
"""
import math
import time
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import nn

from ...core.messages import plural
from ...core.seeds import fixed_seed
from ...learner.probe import Probe, once
from ...nn.loss_traits import decodes_of
from ..outcomes import Check, Skipped, graded, in_time, passed, require
from .activations import DROPOUT
from .initial_loss import expected_losses

RATES = (5e-3, 5e-4, 3e-2)          # of AdamW, one after the other until one works
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_WITH_DROPOUT = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer)


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def different_items(y: torch.Tensor, n: int) -> list[int]:
    "The indices of `n` items whose targets differ as much as possible: one of each class in turn; evenly spread for numbers."
    y = y.reshape(len(y), -1).double()
    keys = (y * torch.linspace(1, 2, y.shape[1], dtype=torch.double, device=y.device)).sum(1)
    values = keys.unique()
    if len(values) > n:
        ranked = keys.argsort().tolist()
        return sorted({ranked[round(k * (len(ranked) - 1) / max(n - 1, 1))] for k in range(n)})
    queues = [torch.nonzero(keys == v).flatten().tolist() for v in values]
    return sorted([i for turn in zip_longest(*queues) for i in turn if i is not None][:n])


def overfit(model: nn.Module, predict: Callable[[], torch.Tensor], loss_func: Callable[[torch.Tensor], torch.Tensor], lr: float,
            n_steps: int, enough: Callable[[torch.Tensor, float], bool], seconds: float = math.inf) -> tuple[list[float], bool]:
    """Train `model` with AdamW on one batch, without weight decay; the losses, and whether it was enough.

    Args:
        model: The model.
        predict: Returns the prediction for the batch.
        loss_func: The loss of a prediction.
        lr: Learning rate.
        n_steps: Steps at most.
        enough: Whether a prediction and its loss are good enough to stop.
        seconds: Time at most. It also ends where the loss no longer falls.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    opt, losses, end = torch.optim.AdamW(params, lr=lr, weight_decay=0.0, betas=(0.9, 0.99)), [], time.perf_counter() + seconds
    for _ in range(n_steps):
        opt.zero_grad()
        pred = predict()
        loss = loss_func(pred)
        losses.append(float(loss.detach()))
        done = math.isfinite(losses[-1]) and enough(pred, losses[-1])
        if done or not math.isfinite(losses[-1]) or time.perf_counter() > end or _stands_still(losses):
            return losses, done
        loss.backward()
        opt.step()
    return losses, False


def _stands_still(losses, over=60):
    "Whether the best loss of the last `over` steps is no better than that of those before."
    n = len(losses)
    return n >= 2 * over and n % 10 == 0 and min(losses[-over:]) > 0.995 * min(losses[:-over])


def _still_falls(losses, over=20):
    "Whether the loss of the last `over` steps is clearly below that of those before, and far below the first."
    before, after = (sum(part) / over for part in (losses[-2 * over:-over], losses[-over:]))
    return len(losses) >= 2 * over and after < 0.98 * before and after < 0.7 * losses[0]


# -- the run that the checks share --------------------------------------------------------------------------------------------------
class Run(NamedTuple):
    "What came of overfitting a few items."
    losses: list[float]
    done: bool
    lr: float
    base: float | None      #: the lowest loss without inputs
    n_items: int
    out_of_time: bool
    alike: bool             #: whether all items have the same target

    @property
    def last(self) -> float:
        "The loss that was reached, and not only for a moment unless it was enough."
        return self.losses[-1] if self.done else sum(self.losses[-5:]) / len(self.losses[-5:])


def _deterministic(model, keep_norms):
    "Dropout off; batch norm by its running statistics where the items are too alike for its own."
    for m in model.modules():
        if (isinstance(m, DROPOUT) or (isinstance(m, _BATCH_NORMS) and not keep_norms)
                or (isinstance(m, _WITH_DROPOUT) and getattr(m, "dropout", 0))):
            m.eval()
        elif "dropout" in type(m).__name__.lower():             # one of somebody else's; a recurrent layer in it stays as it is
            m.training = False


@once
def overfit_items(probe: Probe, n: int) -> Run:
    "Overfit `n` items, once for all checks."
    step = probe.steps(1, "plain")[0]
    n, y = min(n, step.n), step.y
    one_per_item = y is not None and y.ndim > 0 and len(y) == step.n
    step = step.take(different_items(y.float(), n) if one_per_item else list(range(n)))
    batched = step if n > 1 else step.take([0, 0])              # norm layers and squeezes need two
    _, base = (expected_losses(probe.loss_func, probe.kind, step.y, probe.n_out) if step.y is not None else None) or (None, None)
    alike = one_per_item and n > 1 and bool((step.y == step.y[:1]).all())
    best, budget, began = None, probe.seconds(8.0 if probe.fast else 40.0), time.perf_counter()
    for lr in in_time(RATES, budget):
        with fixed_seed(0):
            model = probe.reset(training=True)
            for p in model.parameters():                        # frozen layers may have what it takes: all of them may learn
                p.requires_grad_(p.is_floating_point())
            _deterministic(model, keep_norms=n > 1)
            losses, done = overfit(model, lambda: probe.predict(batched), lambda p: probe.loss(p, batched), lr, 80 if probe.fast else 200,
                                   _goal(probe, step, base), max(1.0, budget - (time.perf_counter() - began)))
        run = Run(losses, done, lr, base, n, False, alike)
        best = run if done or best is None or run.last < best.last else best
        if done:
            break
    probe.reset()
    return best._replace(out_of_time=not best.done and time.perf_counter() - began > budget)


def _goal(probe, step, base):
    """When a batch is overfitted: every decision right and the loss half of the first (with label smoothing it never nears 0), or the loss
    a fiftieth, of the first or (of a trained network) of what predicting the mean costs."""
    first, decodes, y = [], decodes_of(probe.loss_func), step.y
    guess = _cost_of_a_guess(probe) if probe.kind == "values" else 0.0
    by_class = (probe.kind or "").startswith("class") and y is not None and not y.is_floating_point()

    def enough(pred, loss):
        first.append(max(abs(loss), 1e-8))
        if by_class and isinstance(pred, torch.Tensor):
            right = decodes(pred.detach()).reshape(-1) == y.expand(len(pred), *y.shape[1:]).reshape(-1).to(pred.device)
            return bool(right.float().mean() > 0.99) and (loss < 0.25 or loss < 0.5 * min(first[0], base or first[0]))
        return loss < 0.02 * max(first[0], guess) or (loss < 1e-4 and probe.kind is not None)
    return enough


def _cost_of_a_guess(probe):
    "The loss of predicting the mean (or median) of the targets of a few batches; 0 where that is not known."
    steps = [s for s in probe.steps(4) if s.y is not None]
    if not steps:
        return 0.0
    y = torch.cat([s.y.reshape(s.n, -1) for s in steps])
    return (expected_losses(probe.loss_func, "values", y, probe.n_out) or (0.0, 0.0))[1]


# -- checks -------------------------------------------------------------------------------------------------------------------------
def overfit_one_item(probe: Probe) -> Check:
    "Whether the loss on one item can be driven to nearly nothing."
    return _check(probe, 1)


def overfit_one_batch(probe: Probe) -> Check:
    "Whether the model can overfit a few items."
    require(not any(getattr(m, "repeats", False) for m in probe.model.modules()), "a naive forecast has nothing to fit")
    return _check(probe, _few(probe))


def _few(probe):
    return 4 if probe.fast else 8


def _check(probe, n):
    run = overfit_items(probe, n)
    what, steps, last = "one item" if n == 1 else f"{run.n_items} items", len(run.losses), run.last
    numbers = {"first_loss": run.losses[0], "last_loss": last, "steps": steps, "lr": run.lr}
    found = f"the loss on {what} went from {run.losses[0]:.3g} to {last:.3g} in {steps} steps"
    if run.done or last < (0.5 * run.base if run.base else 0.3 * run.losses[0]):
        return passed(found if run.done else found + " and is still falling", **numbers)
    learns = last < (0.8 * run.base if run.base else 0.7 * run.losses[0]) or _still_falls(run.losses)      # such as a recurrent model
    if run.out_of_time and (steps < 40 or learns):
        raise Skipped(f"there was time for {plural(steps, 'step')} only: give a larger budget=")
    return graded(found + (": it learns, but does not overfit" if learns else ""), not learns, learns, **numbers)


def better_than_without_inputs(probe: Probe) -> Check:
    "The loss with inputs against the best that a model without inputs could have on the same items."
    run = overfit_items(probe, _few(probe))
    require(run.base is not None, "it is not known what a model without inputs could reach with this loss")
    require(not run.alike and run.base >= 1e-6, "the items of the batch all have the same target")
    found = f"with inputs the loss on {run.n_items} items falls to {run.last:.3g}; without them {run.base:.3g} is the best"
    if run.last > 0.9 * run.base and run.out_of_time:
        raise Skipped(f"there was time for {plural(len(run.losses), 'step')} only: give a larger budget=")
    return graded(found, run.last > 0.9 * run.base, fine=found, with_inputs=run.last, without_inputs=run.base)
