"""Dependencies by backprop: which inputs an output depends on. Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019."""
from collections.abc import Callable, Sequence

import torch

from ...core.nested import leaves
from ...learner.probe import Probe, Step
from ..outcomes import Check, NotApplicable, graded, issue, require

Predict = Callable[[Sequence[torch.Tensor]], torch.Tensor]


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def _gradients(out: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    "The gradients of a combination of `out` that does not cancel, with zeros for inputs that it does not depend on."
    if not out.requires_grad:
        return [torch.zeros_like(t) for t in inputs]
    return list(torch.autograd.grad(out.float().square().sum() + out.float().sum(), inputs, allow_unused=True, materialize_grads=True))


def items_reached(predict: Predict, inputs: Sequence[torch.Tensor], n: int, i: int) -> torch.Tensor:
    """Which items' inputs the output of item `i` depends on, by backprop: a bool tensor (n,).

    Args:
        predict: A function of the inputs that returns a tensor, items first.
        inputs: Float tensors, items first.
        n: The number of items.
        i: The item.
    """
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    reached = torch.zeros(n, dtype=torch.bool)
    for g in _gradients(predict(inputs)[i], inputs):
        if g.ndim and g.shape[0] == n:
            reached |= (g.reshape(n, -1) != 0).any(1).cpu()
    return reached


def changes_elsewhere(predict: Predict, inputs: Sequence[torch.Tensor], n: int, i: int) -> float:
    """By how much the outputs of the other items change, relative to the largest output, when item `i` is replaced by another.

    For inputs that have no gradient, such as token ids.
    """
    j, others = (i + 1) % n, [k for k in range(n) if k != i]
    before = predict(inputs)
    after = predict([torch.cat([t[:i], t[j:j + 1], t[i + 1:]]) if t.ndim and t.shape[0] == n else t for t in inputs])
    if before.shape != after.shape or before.shape[0] != n:
        return 0.0
    return float((before[others] - after[others]).abs().max() / (before.abs().max() + 1e-12))


def looks_ahead(predict: Predict, inputs: Sequence[torch.Tensor], length: int, t: int) -> bool:
    "Whether the output at step `t` has a gradient on inputs after step `t`. inputs: float tensors whose second axis is time."
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    out = predict(inputs)
    out = out if out.shape[1] == length else out.movedim(-1, 1)
    return any(g.ndim > 1 and g.shape[1] == length and bool((g[:, t + 1:] != 0).any()) for g in _gradients(out[:, t], inputs))


# -- checks -------------------------------------------------------------------------------------------------------------------------
def positional(probe: Probe, step: Step) -> tuple[list[torch.Tensor], Predict]:
    "The tensors of the inputs, and a function of them that predicts."
    tensors = [t for t in leaves((step.xb, step.kw)) if isinstance(t, torch.Tensor)]

    def predict(values):
        replaced = dict(zip(map(id, tensors), values, strict=True))
        return probe.predict(step.with_inputs(lambda t: replaced.get(id(t), t)))
    return tensors, predict


def require_output_per_item(probe: Probe) -> torch.Tensor:
    "The predictions, if they are a tensor with one row per item, of at least three items; otherwise the check is not applicable."
    pred, n = probe.pred, probe.step.n
    require(n >= 3, "the batch has too few items")
    if not isinstance(pred, torch.Tensor) or pred.ndim == 0 or pred.shape[0] != n:
        raise NotApplicable("the output is not a tensor with one row per item")
    return pred


def independent_items(probe: Probe) -> Check:
    "The output of item i depends on input i alone: by backprop for float inputs, otherwise by replacing an item. Norm layers evaluate."
    step, pred = probe.step, probe.pred
    if isinstance(pred, torch.Tensor) and step.n >= 3 and (pred.ndim == 0 or pred.shape[0] % step.n):
        return issue(f"the output has shape {tuple(pred.shape)} for {step.n} items: the batch axis is gone or mixed with another",
                     items_in=step.n, items_out=pred.shape[0] if pred.ndim else 0)
    require_output_per_item(probe)
    probe.reset(training=False)
    (tensors, predict), i = positional(probe, step), step.n // 2
    if step.float_inputs and len(step.float_inputs) == len(tensors):
        others = [k for k in items_reached(predict, tensors, step.n, i).nonzero().flatten().tolist() if k != i]
        return graded(f"the output of item {i} depends on {len(others)} other items of the batch, such as item {others[0]}" if others else
                      "by backprop", bool(others), item=i, depends_on=others)
    with torch.no_grad():
        change = changes_elsewhere(predict, tensors, step.n, i)
    mixed = change > 1e-3
    return graded(f"replacing item {i} changes the outputs of others by {change:.2g} of the largest output" if mixed else
                  "by replacing an item", mixed, item=i, change=change)


def causality(probe: Probe) -> Check:
    "For models that must not look ahead; asked for by `causal=True`."
    require(probe.once("causal", bool), "ask for it with causal=True")
    step, floats = probe.step, probe.step.float_inputs
    probe.reset(training=False)
    tensors, predict = positional(probe, step)
    if floats and floats[0].ndim > 1:
        length = floats[0].shape[1]
        ahead = [t for t in range(length - 1) if looks_ahead(predict, tensors, length, t)]
    else:
        tokens = next((t for t in tensors if t.ndim > 1), None)
        if tokens is None:
            raise NotApplicable("no input has a time axis")
        length, rolled = tokens.shape[1], tokens.roll(1, 0)
        with torch.no_grad():
            before = predict(tensors)
            scale = float(before.abs().max()) + 1e-12
            ahead = []
            for t in range(length - 1):
                changed = torch.cat([tokens[:, :t + 1], rolled[:, t + 1:]], 1)
                after = predict([changed if o is tokens else o for o in tensors])
                if float((after[:, :t + 1] - before[:, :t + 1]).abs().max()) > 1e-5 * scale:
                    ahead.append(t)
    return graded(f"the output at step {ahead[0]} depends on later steps" if ahead else "", bool(ahead), steps=ahead, length=length,
                  output=list(probe.pred.shape))
