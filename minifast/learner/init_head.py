"""`init_head`: set the last layer of a model so that training starts from the best constant guess.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("init well").
"""
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch
from torch import nn

from ..core import LossFunc, describe, plural
from ..data.targets import labels_of
from ..nn.activations import SigmoidRange
from ..nn.init import inverse_sigmoid_range, set_output_bias
from ..nn.loss_traits import class_axis, kind_of
from ..optim.groups import NORM_TYPES
from .constant_guess import constant_output, expand_constant
from .probe import Probe, probing

if TYPE_CHECKING:
    from .learner import Learner

__all__ = ["guess", "init_head"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NO_CHANGE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, nn.Flatten, nn.Unflatten)
_SPREAD = 0.1           # deviation of the outputs around the guess: of logits, or as a fraction of the deviation of the targets


def guess(loss_func: LossFunc, y: torch.Tensor, n_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best constant output for the targets `y`, and how far outputs may lie from it without costing much.

    Args:
        loss_func: a loss of minifast or torch.
        y: class ids of any shape, else (items, n_out).
        n_out: number of outputs.

    Returns:
        `(outputs (n_out,), spread (n_out,))`, before the activation of the loss.
    """
    kind = kind_of(loss_func)
    outputs = constant_output(loss_func, kind, y, n_out).double()
    if kind == "probabilities":
        outputs = outputs.logit()
    if kind != "values":
        return outputs - outputs.mean() if kind.startswith("class") else outputs, torch.full((n_out,), _SPREAD, dtype=torch.float64)
    spread = (y.double() - outputs).square().mean(0).sqrt()
    return outputs, _SPREAD * torch.where(spread > 0, spread, outputs.abs().clamp(min=1) * 1e-2)


def init_head(learn: "Learner", n_items: int = 10_000) -> None:
    """Set the last layer of `learn.model` so that training starts from the best constant guess.

    That is the log class frequencies, the logits of the label rates, or the mean (for absolute errors the median) of the targets. The bias
    of the layer, or of the norm layer before it, gives the guess; its weights become smaller, so that the first loss is that of the guess.
    A model may do it itself in a method `start_at(outputs)`.

    Args:
        learn: the learner.
        n_items: read at most this many labels (labels in memory all at once, else batch by batch).

    Raises:
        ValueError: where the loss or the last layer is not one that can be set so.
    """
    if kind_of(learn.loss_func) is None:
        raise ValueError(f"init_head() does not know what the output means to {describe(learn.loss_func)}: use a loss such as "
                         "CrossEntropyLossFlat() or MSELossFlat(), or give yours an attribute kind='class logits', 'logits' or 'values'")
    with probing(learn) as probe:
        start_at, shared = getattr(probe.model, "start_at", None), False
        norm, last, after = (None, None, []) if callable(start_at) else _last_layers(probe)
        y, n_out = _targets(probe, last, n_items)
        outputs, spread = guess(learn.loss_func, y, n_out)
        if last is None:
            with torch.no_grad():
                start_at(outputs)
        else:
            shared = _set_layers(probe, norm, last, after, outputs, spread)
        values = [p.detach().clone() for p in probe.model.parameters()]
        first, constant = _losses(probe, outputs)
    for p, value in zip(learn.model.parameters(), values, strict=True):
        p.detach().copy_(value)
    if first > 1.5 * constant + 0.1 and not shared:
        warn(f"init_head(): the first loss is {first:.4g}, that of the best constant guess {constant:.4g}: the model changes the output of "
             f"its last layer, {type(last).__name__}, or has dropout before it", stacklevel=3)


def _last_layers(probe: Probe) -> tuple[nn.Module | None, nn.Module, list[nn.Module]]:
    "`(norm or None, last, modules after it)`: the last layer that can set the outputs, by its own bias or that of the `norm` before it."
    seen = [m for m in probe.layers_run() if not isinstance(m, _NO_CHANGE)]
    at = next((i for i in reversed(range(len(seen))) if isinstance(seen[i], (nn.Linear, *_CONVOLUTIONS, *NORM_TYPES))), None)
    if at is not None:
        last, norm = seen[at], seen[at - 1] if at and isinstance(seen[at - 1], NORM_TYPES) else None
        if getattr(last, "bias", None) is not None:
            return None, last, seen[at + 1:]
        bias = getattr(norm, "bias", None)
        if isinstance(last, nn.Linear) and bias is not None and bias.numel() == last.in_features:
            return norm, last, seen[at + 1:]
    raise ValueError("init_head() needs a model that ends with a linear or convolutional layer with bias, or with a linear layer right "
                     f"after a norm layer; the last one run is {seen[at] if at is not None else describe(seen[-1] if seen else None)}")


def _targets(probe: Probe, last: Any, n_items: int) -> tuple[torch.Tensor, int]:
    "The targets on the CPU as `guess` takes them, and the number of outputs."
    by_class = probe.kind in ("class logits", "class log-probabilities")
    n_out = probe.n_out if by_class and probe.pred.ndim > 1 else 1 if last is None else last.weight.shape[0]
    y = labels_of(probe.learn.dls.train, n_items)
    if y is None:
        per_item = max(1, probe.step.y.numel() // probe.step.n) if probe.step.y is not None else 1
        steps = probe.steps(max(4, n_items // (16 * min(per_item, 50))))
        if any(s.y is None for s in steps):
            raise ValueError(f"init_head() needs batches with one target; these have {len(probe.step.yb)}")
        y = torch.cat([s.y.detach().cpu() for s in steps])
    if not torch.isfinite(y.double()).all():
        bad = int((~torch.isfinite(y.double())).sum())
        raise ValueError(f"init_head(): {plural(bad, 'target')} of {y.numel():,} are NaN or infinite: drop or fill these rows")
    if by_class:
        return y, n_out
    if y.ndim > 2 and y.shape[1] == n_out and probe.pred.ndim == y.ndim:                       # maps: channels last
        y = y.movedim(1, -1)
    if y.numel() % n_out or (y.ndim > 1 and y.shape[-1] != n_out and y[0].numel() != n_out and n_out != 1):
        raise ValueError(f"init_head(): the last layer has {plural(n_out, 'output')}, the targets have {y[0].numel()} per item")
    return y.reshape(-1, n_out), n_out


def _set_layers(probe: Probe, norm: Any, last: Any, after: list, outputs: torch.Tensor, spread: torch.Tensor) -> bool:
    "Set the last layers of the probe's model; returns whether their weights are shared, and so were not made smaller."
    ends = [m for m in after if isinstance(m, SigmoidRange)]
    if ends:
        outputs, slope = inverse_sigmoid_range(outputs, ends[-1])
        spread = spread / slope
    seen: list[torch.Tensor] = []
    with last.register_forward_hook(lambda m, i, o: seen.append(o.detach().double().cpu())):
        for step in probe.steps(4):
            probe.output(step, training=True)       # which resets the weights before each batch: none is changed yet
    probe.reset()
    axis = 1 if isinstance(last, _CONVOLUTIONS) or (isinstance(last, NORM_TYPES) and seen[0].ndim > 2) else -1
    z = torch.cat([o.movedim(axis, -1).flatten(0, -2) for o in seen])
    owners = sum(p is last.weight for m in probe.model.modules() for p in m.parameters(recurse=False))
    shared = owners != 1                            # with an embedding, or computed: the weights stay as they are
    set_output_bias(last, outputs, norm, None if shared else (spread / z.std(0).clamp(min=1e-12)).clamp(max=1))
    return shared


@torch.no_grad()
def _losses(probe: Probe, outputs: torch.Tensor) -> tuple[float, float]:
    "The loss of the model as it is now, the lower of training and evaluation mode, and that of the constant `outputs`."
    (training, evaluating, constant), steps = [0.0, 0.0, 0.0], probe.steps(4)
    for step in steps:
        probe.mode(True)
        training += float(probe.loss(probe.predict(step), step)) * step.n
        probe.mode(False)
        pred = probe.predict(step)
        evaluating += float(probe.loss(pred, step)) * step.n
        constant += _constant_loss(probe, step, pred, outputs) * step.n
    n = sum(step.n for step in steps)
    return min(training, evaluating) / n, constant / n


def _constant_loss(probe, step, pred, outputs):
    if not isinstance(pred, torch.Tensor):
        return 0.0
    axis = class_axis(probe.loss_func, pred)
    if len(outputs) > 1 and (pred.ndim < 2 or len(outputs) != pred.shape[axis]):
        return float("inf")
    constant = expand_constant(outputs.to(pred), pred.shape, axis)
    constant = (constant.sigmoid() if probe.kind == "probabilities" else
                constant.log_softmax(axis) if probe.kind == "class log-probabilities" else constant)
    return float(probe.loss(constant.contiguous(), step))
