"""Does the model meet its data and its loss: finite values, a forward pass, a loss that fits, something to train."""
from contextlib import suppress
from typing import Any

import torch

from ...callbacks.first_batch import check_target
from ...core.messages import describe, plural
from ...core.nested import leaves
from ...learner.probe import Probe
from ...nn.loss_traits import class_axis, loss_name, needs_same_shape
from ..outcomes import NEEDS, Check, Skipped, graded, issue, passed, require
from .outputs import best_and_worst


def bad_values(x: Any) -> int:
    "How many values of the tensors in `x` are not finite."
    return sum(int((~torch.isfinite(t)).sum()) for t in leaves(x) if isinstance(t, torch.Tensor) and t.is_floating_point())


def first_line(error: Exception) -> str:
    "The first line of an error's message."
    return (str(error).splitlines() or [""])[0][:300]


def finite_values(probe: Probe) -> Check:
    "NaN and infinity in the first batch, parameters and buffers."
    step = probe.step
    inputs, targets = bad_values((step.xb, step.kw)), bad_values(step.yb)
    weights = [n for n, t in probe.tensors() if bad_values(t)]
    where = ["the inputs"] * bool(inputs) + ["the targets"] * bool(targets) + weights[:3]
    return graded(f"NaN or infinite values in {', '.join(where)}", where, inputs=inputs, targets=targets, weights=len(weights))


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
    return graded(broadcast, broadcast, f"return pred.view{tuple(getattr(y, 'shape', ()))} from the model, or flatten both in the loss",
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
    made = None
    if y is not None and isinstance(pred, torch.Tensor) and pred.is_floating_point():
        made = best_and_worst("values" if y.is_floating_point() else "class logits", pred, y, class_axis(probe.loss_func, pred))
    require(made is not None, "it is not known what a perfect prediction is")
    good, bad = (float(probe.loss(o, probe.step)) for o in made)
    return graded(f"the loss is {good:.4g} for perfect predictions and {bad:.4g} for wrong ones", good > bad + 1e-6 * abs(bad),
                  perfect=good, wrong=bad)
