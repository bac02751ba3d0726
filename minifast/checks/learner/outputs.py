"""The model meets a batch and its loss: does it run, are its outputs finite, as many as classes, with the right final
activation and a range that covers the targets; does the loss fit them; is there something to train?
"""
import math
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import one_hot

from ...callbacks.first_batch import check_target
from ...core.finite import not_finite
from ...core.messages import describe, plural
from ...core.nested import leaves
from ...learner.probe import Probe
from ...nn.activations import SigmoidRange
from ...nn.loss_traits import loss_name, needs_same_shape
from ..outcomes import NEEDS, Check, Skipped, graded, issue, passed, require, tip

Look = Literal["softmax", "log_softmax", "sigmoid", "relu", "free"]


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def looks_like(pred: torch.Tensor, axis: int = 1) -> Look:
    """What the values of `pred` look like along the class axis.

    'softmax' (each row 0..1 with sum 1), 'log_softmax', 'sigmoid' (all strictly between 0 and 1), 'relu' (none negative, many exactly 0) or
    'free'.
    """
    pred = pred.detach().float()
    if not torch.isfinite(pred).all() or pred.numel() < 8 or float(pred.max() - pred.min()) < 1e-6:
        return "free"
    axis = axis if pred.ndim > abs(axis) else -1
    low, high = float(pred.min()), float(pred.max())
    several = pred.ndim > 1 and pred.shape[axis] > 1
    looks: dict[Look, bool] = {
        "softmax": several and low >= 0 and high <= 1 and float((pred.sum(axis) - 1).abs().max()) < 1e-3,
        "log_softmax": several and high <= 1e-6 and float(pred.logsumexp(axis).abs().max()) < 1e-3,
        "sigmoid": low > 0 and high < 1,
        "relu": low == 0 and float((pred == 0).float().mean()) > 0.1}
    return next((look for look, holds in looks.items() if holds), "free")


def best_and_worst(kind: str | None, pred: torch.Tensor, y: torch.Tensor, axis: int = 1) -> tuple[torch.Tensor, torch.Tensor] | None:
    "Predictions that are as right and as wrong as can be for the targets `y`, of the shape of `pred`; None where it is not known how."
    if kind == "class logits" and not y.is_floating_point() and y.ndim == pred.ndim - 1:
        n = pred.shape[axis]
        labels = y.long().clamp(0, n - 1)
        right, wrong = (one_hot(k, n).movedim(-1, axis).to(pred.dtype) * 20 - 10 for k in (labels, (labels + 1) % n))
    elif y.numel() == pred.numel() and (kind == "logits" or (kind == "values" and y.is_floating_point())):
        right = y.reshape(pred.shape).to(pred.dtype) * (20 if kind == "logits" else 1) - (10 if kind == "logits" else 0)
        wrong = -right if kind == "logits" else right.flip(0) + 2 * right.std().nan_to_num(1.0) + 1.0
    else:
        return None
    return right, wrong


def bad_values(x: Any) -> int:
    "How many values of the tensors in `x` are not finite; padding of series is not counted."
    return sum(int(not_finite(t).sum()) for t in leaves(x) if isinstance(t, torch.Tensor) and t.is_floating_point())


def first_line(error: Exception) -> str:
    "The first line of an error's message."
    return (str(error).splitlines() or [""])[0][:300]


# -- the model and its outputs ------------------------------------------------------------------------------------------------------
def finite_values(probe: Probe) -> Check:
    "NaN and infinity in the first batch, parameters and buffers."
    step = probe.step
    inputs, targets = bad_values((step.xb, step.kw)), bad_values(step.yb)
    weights = [n for n, t in probe.tensors() if bad_values(t)]
    where = ["the inputs"] * bool(inputs) + ["the targets"] * bool(targets) + weights[:3]
    advice = "" if inputs or targets else "training diverged, or what is named was never fitted: make or load the model anew"
    return graded(f"NaN or infinite values in {', '.join(where)}", where, advice=advice, inputs=inputs, targets=targets,
                  weights=len(weights))


def model_runs(probe: Probe) -> Check:
    "A forward pass of the first batch."
    step = probe.step
    if probe.loss_func is None:
        return issue("the learner has no loss function", "write Learner(dls, model, loss_func=...)")
    if not step.yb:
        return issue("the batches have no target", "give the loader pairs (input, target), or n_inp=")
    inputs = describe(tuple(step.xb)) if step.xb else describe(step.kw)
    try:
        pred, _ = probe.output(training=True), probe.pred           # in both modes
    except Exception as e:
        return issue(f"the model fails on a batch ({inputs}): {type(e).__name__}: {first_line(e)}")
    if isinstance(pred, torch.Tensor) and not torch.isfinite(pred).all():
        return issue(f"the output for finite inputs is not finite ({describe(pred)})",
                     "look for a division by zero, a log of 0, or weights that are far too large", not_finite=bad_values(pred))
    return passed(f"{inputs} -> {describe(pred)}")


def outputs_per_class(probe: Probe) -> Check:
    "The number of outputs against the number of classes."
    n_classes, n_out = getattr(probe.learn.dls, "c", None), probe.n_out
    require(isinstance(n_classes, int), "the data does not say how many classes there are")
    require(isinstance(probe.pred, torch.Tensor) and probe.kind not in (None, "values"), "the outputs are not classes")
    yes_or_no = n_out == 1 and n_classes <= 2 and probe.kind in ("logits", "probabilities")
    return graded(f"the model has {n_out} outputs, the data {n_classes} classes" if n_out < n_classes else
                  f"the model has {n_out} outputs for {n_classes} classes: the others are only ever pushed down",
                  n_out < n_classes and not yes_or_no, n_out > n_classes and not yes_or_no, n_out=n_out, classes=n_classes)


def final_activation(probe: Probe) -> Check:
    "The activation that the outputs seem to have gone through against the one that the loss applies."
    pred, kind, name = probe.pred, probe.kind, loss_name(probe.loss_func)
    require(kind is not None, "it is not known what the loss expects")
    require(kind != "values" and isinstance(pred, torch.Tensor), "any output will do")
    found = _steady_look(probe, pred, probe.class_axis)
    if kind == "class logits" and found in ("softmax", "sigmoid"):
        return issue(f"the outputs have already been through a {found}, and {name} applies softmax again: gradients become small and the "
                     "loss cannot reach 0", outputs=found,          # where one output is 1 and the others are 0
                     best_loss=math.log1p((pred.shape[probe.class_axis] - 1) * math.exp(-1)))
    if kind == "class logits" and found == "log_softmax":
        return tip(f"the outputs have already been through log_softmax, and {name} applies it again, without effect",
                   "remove it from the model", outputs=found)
    if kind == "logits" and found in ("sigmoid", "softmax"):
        return issue(f"the outputs have already been through a {found}, and {name} applies a sigmoid again: every probability is then at "
                     "least 0.5", outputs=found)
    if kind == "class log-probabilities" and found != "log_softmax":
        has = "probabilities without the logarithm" if found == "softmax" else "raw outputs"
        return issue(f"{name} takes logarithms of probabilities, but the model returns {has}: the loss has no lower limit",
                     "end the model with nn.LogSoftmax(1), or use CrossEntropyLossFlat() on raw outputs", outputs=found)
    low, high = float(pred.min()), float(pred.max())
    return graded(f"{name} takes probabilities, but the outputs go from {low:.3g} to {high:.3g}",
                  kind == "probabilities" and (low < 0 or high > 1), advice="use BCEWithLogitsLossFlat(), which is also more exact",
                  fine=f"outputs look {found}")


def _steady_look(probe, pred, axis):
    "What the outputs look like, for the batch and for inputs (or last weights) many times as large: a bounded activation stays bounded."
    found = looks_like(pred, axis)
    if found in ("free", "relu"):
        return found
    wild = (probe.output(probe.step.with_inputs(lambda t: t * 30 if t.is_floating_point() else t)) if probe.step.float_inputs
            else _of_larger_weights(probe))
    if wild is None:
        return found
    steady = (not torch.isfinite(wild).all() or looks_like(wild, axis) == found
              or (found == "sigmoid" and float(wild.min()) >= 0 and float(wild.max()) <= 1))
    return found if steady else "free"


@torch.no_grad()
def _of_larger_weights(probe):
    "The outputs if the last layer that has weights had far larger ones: of ids, which have no size; None where no layer has weights."
    weights = next((w for m in reversed(probe.layers_run()) if (w := list(m.parameters(recurse=False)))), None)
    if weights is None:
        return None
    probe.reset(training=False)
    for w in weights:
        w.mul_(1000)
    wild = probe.predict(probe.step)
    probe.reset()
    return wild


def last_layer(probe: Probe) -> tuple[nn.Module | None, str]:
    "The last module without children that runs, and its name; (None, '') if none has been seen."
    seen = probe.layers_run()
    return (seen[-1], next(n for n, m in probe.model.named_modules() if m is seen[-1])) if seen else (None, "")


def output_limits(probe: Probe) -> tuple[float, float] | None:
    "`(lowest, highest)` value that the last layer can return if it bounds it on both sides, otherwise None."
    limits = _limits(last_layer(probe)[0], probe.pred)
    return None if limits is None or not all(map(math.isfinite, limits)) else limits


def output_range(probe: Probe) -> Check:
    "Bounded outputs (ReLU, sigmoid, tanh at the end) against the range of the targets or the need for negative logits."
    pred, y = probe.pred, probe.step.y
    require(isinstance(pred, torch.Tensor) and pred.is_floating_point(), "the output is not a tensor of floats")
    module, name = last_layer(probe)
    if probe.kind in ("class logits", "logits"):
        if isinstance(module, (nn.ReLU, nn.ReLU6)) or looks_like(pred, probe.class_axis) == "relu":
            zeros = float((pred == 0).float().mean())
            return issue(f"the outputs pass a ReLU at the end: {zeros:.0%} of them are exactly 0, where there is no gradient, and none can "
                         "be negative", zeros=zeros)
        return graded("the outputs pass a tanh at the end: logits from -1 to 1 leave every probability near that of a guess",
                      isinstance(module, nn.Tanh))
    require(probe.kind == "values" and y is not None and y.is_floating_point(), "the targets are not numbers")
    ys = torch.cat([s.y.flatten().float() for s in probe.steps(4) if s.y is not None])
    low, high, limits = float(ys.min()), float(ys.max()), _limits(module, pred)
    if limits is None:
        return passed(targets=[low, high])
    outside = float(((ys < limits[0]) | (ys > limits[1])).float().mean())
    at_ends = float(((ys <= limits[0]) | (ys >= limits[1])).float().mean())
    found = (f"the outputs stay between {limits[0]:.4g} and {limits[1]:.4g} ({name or type(module).__name__}), the targets go from "
             f"{low:.4g} to {high:.4g}")
    if outside > 0:
        return issue(found, targets_out_of_reach=outside)
    return graded(found + ": the ends of such a range are only reached in the limit", tip=at_ends > 0.02 and limits[1] != math.inf,
                  fine=found, at_the_ends=at_ends)


_RANGES: dict[type, tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0), nn.Softmax: (0.0, 1.0), nn.Tanh: (-1.0, 1.0), nn.Softsign: (-1.0, 1.0), nn.ReLU: (0.0, math.inf),
    nn.Softplus: (0.0, math.inf)}


def _limits(module, pred):
    "(lowest, highest) value that the last module can return, or None where there is no limit."
    if isinstance(module, SigmoidRange):
        return float(torch.as_tensor(module.low).min()), float(torch.as_tensor(module.high).max())
    known = next((limits for cls, limits in _RANGES.items() if isinstance(module, cls)), None)
    return (0.0, math.inf) if known is None and looks_like(pred) == "relu" else known


# -- the loss -----------------------------------------------------------------------------------------------------------------------
def target_fits_loss(probe: Probe) -> Check:
    "The loss of the first batch: shapes, dtypes, one finite number, nothing broadcast."
    step, pred = probe.step, probe.pred
    y = step.yb[0] if len(step.yb) == 1 else step.yb
    try:
        check_target(probe.loss_func, pred, y)
    except ValueError as e:
        if "probabilities, but the model returns values" in str(e):        # the target is fine: MF105 says what is not
            raise Skipped(f"{NEEDS} MF105, which failed") from None
        return issue(str(e), "change what the sentence names")
    try:
        probe.reset()
        loss = probe.loss(probe.predict(step), step)
    except Exception as e:
        return issue(f"the loss fails on predictions {describe(pred)} and targets {describe(y)}: {type(e).__name__}: {first_line(e)}")
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        return issue(f"the loss must be one number (a 0-d tensor), but it is {describe(loss)}",
                     "use reduction='mean', or return loss.mean()")
    if not torch.isfinite(loss):
        return issue(f"the loss of the first batch is {float(loss)} for finite predictions and targets",
                     "use a loss that works on raw outputs (with the logarithm inside), or clamp what it divides by")
    broadcast = _broadcasting(probe, pred, step)
    return graded(broadcast, broadcast, advice=
                  f"return pred.view{tuple(getattr(y, 'shape', ()))} from the model, or flatten both in the loss",
                  fine=f"{loss_name(probe.loss_func)} of {describe(pred)} and {describe(y)}", loss=float(loss.detach()))


def _broadcasting(probe, pred, step):
    "What is wrong if a loss of the user's own broadcasts predictions and targets of different shapes against each other; '' if nothing."
    y = step.y
    if (needs_same_shape(probe.loss_func) or probe.kind is not None or y is None or not isinstance(pred, torch.Tensor)
            or not y.is_floating_point() or pred.shape == y.shape or pred.numel() != y.numel()):
        return ""
    with suppress(Exception):               # a loss that takes no other shape
        plain, matched = float(probe.loss_func(pred, y)), float(probe.loss_func(pred, y.reshape(pred.shape)))
        if abs(plain - matched) > 1e-4 * (abs(matched) + 1e-6):
            return (f"the loss is {plain:.4g} for targets {describe(y)}, and {matched:.4g} once they have the shape of the predictions "
                    f"({describe(pred)}): torch broadcasts them against each other, so each prediction is compared with every target")
    return ""


def trainable_parameters(probe: Probe) -> Check:
    "Every parameter frozen, or the graph cut between model and loss."
    params = list(probe.model.parameters())
    trainable = sum(p.requires_grad for p in params)
    if not trainable:
        return issue(f"all {plural(len(params), 'parameter')} of the model are frozen (requires_grad=False)",
                     "unfreeze: learn.unfreeze(), or requires_grad_(True)", parameters=len(params))
    probe.reset()
    pred = probe.predict(probe.step)
    if isinstance(pred, torch.Tensor) and not pred.requires_grad:
        return issue("the output of the model has no gradient: the graph is cut inside the model (detach, no_grad, argmax, numpy)",
                     trainable=trainable)
    if not probe.loss(pred, probe.step).requires_grad:
        return issue("the loss has no gradient although the output has: the loss detaches it (detach, item, argmax)", trainable=trainable)
    return passed(f"{trainable} of {plural(len(params), 'parameter')}", trainable=trainable, parameters=len(params))


def loss_direction(probe: Probe) -> Check:
    "A loss of the user's own on perfect and on wrong predictions: the perfect ones must cost less."
    pred, y = probe.pred, probe.step.y
    require(probe.kind is None, "the loss is a known one")
    made = (best_and_worst("values" if y.is_floating_point() else "class logits", pred, y, probe.class_axis)
            if y is not None and isinstance(pred, torch.Tensor) and pred.is_floating_point() else None)
    require(made is not None, "it is not known what a perfect prediction is")
    good, bad = (float(probe.loss(o, probe.step)) for o in made)
    return graded(f"the loss is {good:.4g} for perfect predictions and {bad:.4g} for wrong ones", good > bad + 1e-6 * abs(bad),
                  perfect=good, wrong=bad)
