"""Whether a model's `y_range` holds the targets: what lies outside the range of its outputs is never predicted, however long it trains."""
from typing import Any

import torch

from ..core.messages import brief
from ..nn.activations import SigmoidRange


def unreachable_targets(model: torch.nn.Module, y: Any, loader: Any = None) -> str:
    """What to say of a model whose `y_range` does not hold its targets, and what to write; '' where it does, or has none.

    Args:
        model: one that ends with a `SigmoidRange`, or has an attribute `y_range`.
        y: the targets (B, ...) of one batch.
        loader: where they come from: where the batch is out of reach, and all targets are in memory, all are told of.
    """
    if (ends := _ends(model)) is None or not isinstance(y, torch.Tensor) or y.dtype == torch.bool or not y.numel():
        return ""
    low, high = (torch.as_tensor(end, dtype=torch.float64).cpu() for end in ends)
    found = _smallest_and_largest(y, max(low.numel(), high.numel()))
    if found is None or not bool((found[0] < low).any() or (found[1] > high).any()):
        return ""
    tensors = getattr(getattr(loader, "dataset", None), "tensors", None)
    whole = _smallest_and_largest(tensors[-1], found[0].numel()) if isinstance(tensors, tuple) else None
    if whole is not None and bool((whole[0] <= found[0]).all() and (found[1] <= whole[1]).all()):               # in the same unit
        found = whole
    margin = 0.05 * (found[1] - found[0])
    wider = torch.where(found[0] < low, found[0] - margin, low), torch.where(found[1] > high, found[1] + margin, high)
    return (f"the targets {'of the first batch ' * (found is not whole)}go from {_text(found[0])} to {_text(found[1])}, and the outputs of "
            f"the model never leave y_range=({_text(low)}, {_text(high)}): what lies outside cannot be predicted. Give the model "
            f"y_range=({_text(wider[0])}, {_text(wider[1])}){', or a wider one' * (found is not whole)}")


def _ends(model):
    "The ends of the range of a model's outputs, or None."
    *_, last = model.modules()
    if isinstance(last, SigmoidRange):
        return last.low, last.high
    given = getattr(getattr(model, "module", model), "y_range", None)               # of a model of several ranks, the one within
    is_pair = isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(o, (int, float, torch.Tensor)) for o in given)
    return given if is_pair else None


def _smallest_and_largest(y, n_out):
    "The smallest and the largest target, or those of each of `n_out` outputs; None where that is not their number."
    if n_out > 1 and (y.ndim < 2 or y.shape[-1] != n_out):
        return None
    values = y.detach().reshape(-1, n_out).double()
    return (values.amin(0).cpu().squeeze(), values.amax(0).cpu().squeeze())


def _text(ends):
    "A number, or one for each output, as they are written."
    return f"{float(ends):.4g}" if not ends.ndim else brief([float(f"{end:.4g}") for end in ends.tolist()])
