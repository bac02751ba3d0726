"""`init_head`: the last layer of a model set so that training begins with the guess that knows the training labels and nothing else.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("init well").
"""
from warnings import warn

import torch
from torch import nn

from ..core.messages import describe, plural
from ..data.targets import labels_of
from ..nn.loss_traits import class_axis, kind_of
from ..nn.output_bias import before_range, give_outputs
from ..optim.groups import NORM_TYPES
from .constant_guess import constant_output
from .probe import probing

__all__ = ["guess", "init_head"]

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NO_CHANGE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, nn.Flatten, nn.Unflatten)
_SPREAD = 0.1           # deviation of the outputs around the guess: of logits, or as a share of the deviation of the targets


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def guess(loss_func, y, n_out):
    """`(outputs (n_out,), spread (n_out,))`: the constant that costs least with `loss_func` on the targets `y`, before the activation of
    the loss, and how far outputs may lie from it without costing much. y: class ids of any shape, else (items, n_out)."""
    kind = kind_of(loss_func)
    outputs = constant_output(loss_func, kind, y, n_out).double()
    if kind == "probabilities":
        outputs = outputs.logit()
    if kind != "values":
        return outputs - outputs.mean() if kind.startswith("class") else outputs, torch.full((n_out,), _SPREAD, dtype=torch.float64)
    spread = (y.double() - outputs).square().mean(0).sqrt()
    return outputs, _SPREAD * torch.where(spread > 0, spread, outputs.abs().clamp(min=1) * 1e-2)


# -- of a learner -------------------------------------------------------------------------------------------------------------------
def init_head(learn, n_items=10_000):
    """Set the last layer of `learn.model` so that the model begins with the guess that knows the training labels: log class frequencies,
    logits of label rates, or the mean (of absolute errors the median) of the targets. Returns the learner.

    Its bias, or that of the norm layer before it, gives the guess; its weights become smaller, so that the first loss is that of the guess.
    A model may say itself how it is done, by a method `start_at(outputs)`. n_items: at most how many labels are read (labels in memory all
    at once, else batch by batch).
    """
    if kind_of(learn.loss_func) is None:
        raise ValueError(f"init_head() does not know what the output means to {learn.loss_func!r}: use a loss of minifast or torch")
    with probing(learn) as probe:
        before = {name: p.detach().clone() for name, p in probe.model.named_parameters()}
        own = getattr(probe.model, "start_at", None)
        norm, last, after = (None, None, ()) if callable(own) else _last_layers(probe)
        y, n_out = _targets(probe, last, n_items)
        outputs, spread = guess(learn.loss_func, y, n_out)
        if last is None:
            shared = False
            with torch.no_grad():
                own(outputs)
        else:
            shared = _set_layers(probe, norm, last, after, outputs, spread)
        changed = {name: p.detach().clone() for name, p in probe.model.named_parameters() if not torch.equal(p, before[name])}
        first, constant = _losses(probe, outputs)
    with torch.no_grad():
        params = dict(learn.model.named_parameters())
        for name, value in changed.items():
            params[name].copy_(value)
    if first > 1.5 * constant + 0.1 and not shared:
        warn(f"init_head(): the first loss is {first:.4g}, the guess that knows the labels costs {constant:.4g}: the model changes what "
             f"its last layer, {type(last).__name__}, gives, or holds dropout before it", stacklevel=3)
    return learn


def _last_layers(probe):
    "`(norm or None, last, modules after it)`: the last layer of the model that can set the outputs, by its bias or by that of `norm`."
    seen = [m for m in probe.layers_run() if not isinstance(m, _NO_CHANGE)]
    at = next((i for i in reversed(range(len(seen))) if isinstance(seen[i], (*_LINEAR, *NORM_TYPES))), None)
    if at is not None:
        last, norm = seen[at], seen[at - 1] if at and isinstance(seen[at - 1], NORM_TYPES) else None
        if getattr(last, "bias", None) is not None:
            return None, last, seen[at + 1:]
        before = getattr(norm, "bias", None)
        if isinstance(last, nn.Linear) and before is not None and before.numel() == last.in_features:
            return norm, last, seen[at + 1:]
    raise ValueError("init_head() needs a model that ends with a linear or convolutional layer with bias, or with a linear layer right "
                     f"after a norm layer; the last one run is {seen[at] if at is not None else describe(seen[-1] if seen else None)}")


def _targets(probe, last, n_items):
    "The targets on the CPU as `guess` takes them, and the number of outputs."
    kind, pred = probe.kind, probe.pred
    axis = class_axis(probe.loss_func, pred) if isinstance(pred, torch.Tensor) else 0
    by_class = kind in ("class logits", "class log-probabilities")
    n_out = pred.shape[axis] if by_class and pred.ndim > 1 else 1 if last is None else last.bias.numel() if last.bias is not None \
        else last.weight.shape[0]
    y = labels_of(probe.learn.dls.train, n_items)
    if y is None:
        per_item = max(1, probe.step.y.numel() // probe.step.n) if probe.step.y is not None else 1
        steps = probe.steps(max(4, n_items // (16 * min(per_item, 50))))
        if any(s.y is None for s in steps):
            raise ValueError(f"init_head() needs batches with one target; these have {len(probe.step.yb)}")
        y = torch.cat([s.y.detach().cpu() for s in steps])
    if not torch.isfinite(y.double()).all():
        raise ValueError("init_head(): the targets hold NaN or infinite values: `learn.check()` says where")
    if by_class:
        return y, n_out
    if y.ndim > 2 and y.shape[1] == n_out and pred.ndim == y.ndim:                       # maps: channels last
        y = y.movedim(1, -1)
    if y.numel() % n_out or (y.ndim > 1 and y.shape[-1] != n_out and y[0].numel() != n_out and n_out != 1):
        raise ValueError(f"init_head(): the last layer has {plural(n_out, 'output')}, the targets ask for {y[0].numel()} per item")
    return y.reshape(-1, n_out), n_out


def _set_layers(probe, norm, last, after, outputs, spread):
    "Let the last layers of the probe's model give `outputs`; returns whether the weights are shared and stay as large."
    ends = [m for m in after if type(m).__name__ == "SigmoidRange"]
    if ends:
        outputs, slope = before_range(outputs, ends[-1])
        spread = spread / slope
    seen = []
    handle = last.register_forward_hook(lambda m, i, o: seen.append(o.detach().double().cpu()))
    try:
        for step in probe.steps(4):
            probe.output(step, training=True)       # which sets the weights back before each: none is changed yet
    finally:
        handle.remove()
    probe.reset()
    axis = 1 if isinstance(last, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) or (isinstance(last, NORM_TYPES) and seen[0].ndim > 2) else -1
    z = torch.cat([o.movedim(axis, -1).flatten(0, -2) for o in seen])
    owners = sum(p is last.weight for m in probe.model.modules() for p in m._parameters.values())
    shared = owners != 1                            # with an embedding, or computed: the weights stay as they are
    give_outputs(norm, last, outputs, None if shared else (spread / z.std(0).clamp(min=1e-12)).clamp(max=1))
    return shared


def _losses(probe, outputs):
    "The loss of the model as it is now, the lower of training and evaluation mode, and that of the constant `outputs`."
    found, n = [0.0, 0.0, 0.0], 0
    with torch.no_grad():
        for step in probe.steps(4):
            for i, training in enumerate((True, False)):
                probe.mode(training)
                pred = probe.predict(step)
                found[i] += float(probe.loss(pred, step)) * step.n
            if isinstance(pred, torch.Tensor):
                axis = class_axis(probe.loss_func, pred) if pred.ndim > 1 else 0
                shape = [-1 if i == axis and len(outputs) == pred.shape[axis] and pred.ndim > 1 else 1 for i in range(pred.ndim)]
                if shape.count(-1) or len(outputs) == 1:
                    constant = outputs.to(pred).reshape(shape).expand_as(pred)
                    constant = constant.sigmoid() if probe.kind == "probabilities" else constant
                    constant = constant.log_softmax(axis) if probe.kind == "class log-probabilities" else constant
                    found[2] += float(probe.loss(constant.contiguous(), step)) * step.n
                else:
                    found[2] = float("inf")
            n += step.n
    return min(found[:2]) / n, found[2] / n
