"""Dependencies: which inputs an output depends on, by backprop or by changing them.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019.
"""
from collections.abc import Callable, Sequence

import torch

from ...core.nested import leaves
from ...learner.probe import Probe, Step
from ..outcomes import Check, graded, issue, require
from .updates import train_steps

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
    parts = [g.reshape(n, -1) != 0 for g in _gradients(predict(inputs)[i], inputs) if g.ndim and g.shape[0] == n]
    return torch.cat([torch.zeros(n, 1, dtype=torch.bool), *(part.any(1, keepdim=True).cpu() for part in parts)], 1).any(1)


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
    require(isinstance(pred, torch.Tensor) and pred.shape[:1] == (n,), "the output is not a tensor with one row per item")
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
        return graded(f"the output of item {i} depends on {len(others)} other items of the batch, such as item {min(others, default=0)}",
                      others, fine="by backprop", item=i, depends_on=others)
    with torch.no_grad():
        change = changes_elsewhere(predict, tensors, step.n, i)
    return graded(f"replacing item {i} changes the outputs of others by {change:.2g} of the largest output", change > 1e-3,
                  fine="by replacing an item", item=i, change=change)


def causality(probe: Probe) -> Check:
    "For models that must not look ahead; asked for by `causal=True`."
    require(probe.causal, "ask for it with causal=True")
    floats = probe.step.float_inputs
    probe.reset(training=False)
    tensors, predict = positional(probe, probe.step)
    sequence = floats[0] if floats and floats[0].ndim > 1 else next((t for t in tensors if t.ndim > 1), None)
    require(sequence is not None, "no input has a time axis")
    length = sequence.shape[1]
    if sequence.is_floating_point():
        ahead = [t for t in range(length - 1) if looks_ahead(predict, tensors, length, t)]
    else:
        ahead = _changes_before(predict, tensors, sequence)
    return graded(f"the output at step {min(ahead, default=0)} depends on later steps", ahead, steps=ahead, length=length,
                  output=list(probe.pred.shape))


@torch.no_grad()
def _changes_before(predict, tensors, tokens):
    "The steps after which other `tokens` change the outputs up to there."
    before, rolled, changed = predict(tensors), tokens.roll(1, 0), []
    for t in range(tokens.shape[1] - 1):
        other = torch.cat([tokens[:, :t + 1], rolled[:, t + 1:]], 1)
        difference = (predict([other if o is tokens else o for o in tensors]) - before)[:, :t + 1].abs().max()
        if float(difference) > 1e-5 * (float(before.abs().max()) + 1e-12):
            changed.append(t)
    return changed


def unused_inputs(probe: Probe) -> Check:
    "Outputs that are the same for every item, and inputs that have no influence."
    step, pred = probe.step, require_output_per_item(probe)
    tensors, predict = positional(probe, step)
    if not any(bool((t != t[:1]).any()) for t in tensors if t.ndim and t.shape[0] == step.n):
        return issue("all inputs of the batch are identical", "look at a decoded batch: dls.show_batch()", n_items=step.n)
    ignored = _ignored(probe, tensors, predict)
    if ignored:
        return issue("the output does not depend on the inputs at all" if len(ignored) == len(tensors) else
                     f"input {ignored[0]} of {len(tensors)} has no influence on the output", ignored=ignored)
    spread, size = float(pred.float().std(0).max()), float(pred.float().abs().max())
    return graded(f"the outputs of all items are the same to {spread:.1g}: the inputs have hardly any influence yet",
                  tip=spread <= 1e-6 * (size + 1e-12) and size > 0, spread=spread)


def _ignored(probe, tensors, predict):
    "The numbers of the inputs that do not matter, neither at the start nor after a few steps: a head that starts at zero ignores all."
    ignored = [k for k, t in enumerate(tensors) if t.ndim and len(t) > 1 and not bool((t == t.roll(1, 0)).all())]
    for prepare in (lambda: probe.reset(training=False), lambda: (train_steps(probe), probe.mode(False))):
        if ignored:
            prepare()
            with torch.no_grad():
                ignored = [k for k in ignored if not _moves(predict, tensors, k)]
    probe.reset()
    return ignored


def _moves(predict, tensors, k):
    "Whether the outputs change when the items of input `k` change places."
    before = predict(tensors)
    rolled = predict([t.roll(1, 0) if i == k else t for i, t in enumerate(tensors)])
    return rolled.shape == before.shape and float((rolled - before).abs().max()) > 1e-7 * (float(before.abs().max()) + 1e-12)
