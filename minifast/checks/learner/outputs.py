"""What the model returns: as many outputs as classes, the right final activation, a range that covers the targets."""
from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import one_hot

from ...learner.probe import Probe
from ...nn.layers import SigmoidRange
from ...nn.loss_traits import loss_name
from ..outcomes import Check, graded, issue, passed, require, tip

Look = Literal["softmax", "log_softmax", "sigmoid", "relu", "free"]
_INF = math.inf


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


# -- checks -------------------------------------------------------------------------------------------------------------------------
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
    "What the outputs look like, for the batch and for inputs many times as large: a bounded activation stays bounded."
    found = looks_like(pred, axis)
    if found in ("free", "relu") or not probe.step.float_inputs:
        return found
    wild = probe.output(probe.step.with_inputs(lambda t: t * 30 if t.is_floating_point() else t))
    bounded = float(wild.min()) >= 0 and float(wild.max()) <= 1
    steady = not torch.isfinite(wild).all() or looks_like(wild, axis) == found or (found == "sigmoid" and bounded)
    return found if steady else "free"


def last_layer(probe: Probe) -> tuple[nn.Module | None, str]:
    "The last module without children that runs, and its name; (None, '') if none has been seen."
    seen = probe.layers_run()
    return (seen[-1], next(n for n, m in probe.model.named_modules() if m is seen[-1])) if seen else (None, "")


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
    return graded(found + ": the ends of such a range are only reached in the limit", tip=at_ends > 0.02 and limits[1] != _INF,
                  fine=found, at_the_ends=at_ends)


_RANGES: dict[type, tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0), nn.Softmax: (0.0, 1.0), nn.Tanh: (-1.0, 1.0), nn.Softsign: (-1.0, 1.0), nn.ReLU: (0.0, _INF),
    nn.Softplus: (0.0, _INF)}


def _limits(module, pred):
    "(lowest, highest) value that the last module can return, or None where there is no limit."
    if isinstance(module, SigmoidRange):
        return float(module.low), float(module.high)
    known = next((limits for cls, limits in _RANGES.items() if isinstance(module, cls)), None)
    return (0.0, _INF) if known is None and looks_like(pred) == "relu" else known
