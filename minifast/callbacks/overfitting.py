"""Notice overfitting from the epoch table alone: the validation loss rises while the training loss keeps falling."""
import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

from ..core import plural
from .base import Callback

LEAST = 2           # epochs in a row that must be clearly above the best
MARGIN = 0.1        # and by how much of the best at least


class Overfit(NamedTuple):
    """How a fit overfitted.

    Attributes:
        best: the epoch with the lowest validation loss.
        epochs: how many epochs came after it.
        valid, train: the losses `(then, now)`, at the best epoch and at the last one.
        better: a metric that improved all the same, `(name, then, now)`; None if none did.
    """

    best: int
    epochs: int
    valid: tuple[float, float]
    train: tuple[float, float]
    better: tuple[str, float, float] | None = None


def jitter(values: Sequence[float]) -> float:
    "How much a series fluctuates about its own trend: a robust standard deviation from second differences; 0 for fewer than 3 values."
    bends = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * median(bends) / math.sqrt(6) if bends else 0.0      # of noise alone a second difference has 6 times the variance


def overfitting(train: Sequence[float | None], valid: Sequence[float | None], margin: float = MARGIN, least: int = LEAST) -> Overfit | None:
    """`Overfit` if the validation loss has risen beyond noise while the training loss fell, else None.

    Two things must hold. The last `least` validation losses each exceed the lowest one by `margin` of it, and by 2.5 times the `jitter`
    of the last epochs. And from the lowest one on, the later half of the epochs exceeds the earlier half on average by as much as that
    noise.

    Args:
        train, valid: mean losses, one number per epoch (None or NaN where there is none).
        margin: fraction of the lowest validation loss.
        least: number of epochs.
    """
    known = [(i, t, v) for i, (t, v) in enumerate(zip(train, valid, strict=True)) if _finite(t) and _finite(v)]
    losses = [v for _, _, v in known]
    k = losses.index(min(losses)) if losses else 0
    rise = losses[k:]
    if len(rise) <= least:
        return None
    needed, noise = margin * abs(rise[0]), 2.5 * jitter(losses[max(0, min(k, len(losses) - 5)):])
    half = len(rise) // 2
    trend = fmean(rise[half:]) - fmean(rise[:half])
    if min(rise[-least:]) - rise[0] <= max(needed, noise) or trend <= max(needed / 2, noise):
        return None
    best, then, _ = known[k]
    now = fmean(t for _, t, _ in known[-least:])
    falls = then - now > 0.02 * abs(then)
    return Overfit(best, len(rise) - 1, (rise[0], rise[-1]), (then, known[-1][1])) if falls else None


def _finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)


def sentence(found: Overfit, cbs: Sequence[Callback] = ()) -> str:
    "An `Overfit` in one line that says what to do. cbs: the callbacks of the learner, so that what they already do is not advised."
    names = {cb.name for cb in cbs}
    kept = any(cb.name == "save_model" and getattr(cb, "monitor", None) == "valid_loss" and getattr(cb, "file", None) for cb in cbs)
    said = (f"overfitting: valid_loss was lowest after epoch {found.best} ({found.valid[0]:.3g}"
            f"{', the model that SaveModelCallback keeps' if kept else ''}), and in {plural(found.epochs, 'epoch')} rose to "
            f"{found.valid[1]:.3g} while train_loss fell from {found.train[0]:.3g} to {found.train[1]:.3g}")
    if found.better is not None:
        name, then, now = found.better
        said += f" ({name} still went from {then:.3g} to {now:.3g}: no more mistakes, but more confident ones)"
    advice = {"save_model": "keep the best with SaveModelCallback()", "early_stopping": "stop with EarlyStoppingCallback(patience=...)"}
    todo = "; ".join([text for name, text in advice.items() if name not in names] + ["train fewer epochs; augment or regularise more"])
    return f"{said}. {todo[0].upper()}{todo[1:]}"
