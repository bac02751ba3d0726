"""Dependencies: which inputs an output depends on, by backprop or by changing them.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...core.nested import leaves
from ...learner.probe import Probe, Step
from ..outcomes import Check, graded, issue, passed, require
from .updates import train_steps

Predict = Callable[[Sequence[torch.Tensor]], torch.Tensor]


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def items_reached(predict: Predict, inputs: Sequence[torch.Tensor], n: int, i: int) -> torch.Tensor:
    """Which items' inputs the output of item `i` depends on, by backprop: a bool tensor (n,).

    Args:
        predict: A function of the inputs that returns a tensor, items first.
        inputs: Float tensors, items first.
        n: The number of items.
        i: The item.
    """
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    out, reached = predict(inputs)[i].float(), torch.zeros(n, dtype=torch.bool)
    if out.requires_grad:           # of a combination of the outputs that does not cancel
        grads = torch.autograd.grad(out.square().sum() + out.sum(), inputs, allow_unused=True, materialize_grads=True)
        reached = torch.stack([reached, *((g.reshape(n, -1) != 0).any(1).cpu() for g in grads if g.ndim and g.shape[0] == n)]).any(0)
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


@torch.no_grad()
def looks_ahead(predict: Predict, inputs: Sequence[torch.Tensor], length: int) -> list[int]:
    """The steps up to which the outputs change when the inputs after them do.

    Args:
        predict: A function of the inputs that returns a tensor.
        inputs: Tensors; time is the second axis of those in which it is of this length.
        length: The number of steps.
    """
    def outputs(t):
        "The outputs of the first `t` steps, with other inputs after them."
        out = predict([x if o is None else torch.cat([x[:, :t], o[:, t:]], 1) for x, o in zip(inputs, others, strict=True)])
        return (out if out.shape[1] == length else out.movedim(-1, 1))[:, :t].double()

    # from another item and step, so of the usual range; floats are shifted where all are the same
    others = [x.roll((1, 1), (0, 1)) if x.ndim > 1 and x.shape[1] == length else None for x in inputs]
    others = [o + 1 if o is not None and o.is_floating_point() and torch.equal(o, x) else o for x, o in zip(inputs, others, strict=True)]
    whole = outputs(length)
    steps = range(1, length) if length <= 24 else sorted({*range(1, 9), *range(9, length, length // 12), length - 1})
    # what rounding may do to outputs that go through an FFT, and to a constant that is added to them
    least = torch.finfo(torch.float32).eps * float(8 * (whole - whole.mean()).abs().max() + 2 * whole.abs().max())
    return [t - 1 for t in steps if not float((outputs(t) - whole[:, :t]).abs().max()) <= least]       # NaN is a change, too


def shift_of_targets(ids: torch.Tensor, y: torch.Tensor) -> int | None:
    """By how many tokens the targets `y` are ahead of the inputs `ids`, both whole numbers (items, tokens): 1 of a language model, 0 where
    they are the same, -1 where they are behind; None where they are none of these. Negative targets do not count."""
    if ids.shape != y.shape or ids.ndim != 2 or ids.shape[1] < 3:
        return None
    for shift, target, source in ((1, y[:, :-1], ids[:, 1:]), (0, y, ids), (-1, y[:, 1:], ids[:, :-1])):
        counts = target >= 0
        if int(counts.sum()) >= 8 and float((target == source)[counts].float().mean()) > 0.95:
            return shift
    return None


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


def _shift(probe):
    "`shift_of_targets` of the batch; None where its targets are no tokens."
    y = probe.step.y
    if y is None or y.is_floating_point() or not (probe.kind or "").startswith("class"):
        return None
    whole = [t for t in leaves((probe.step.xb, probe.step.kw)) if isinstance(t, torch.Tensor) and not t.is_floating_point()]
    return next((shift for t in whole for shift in [shift_of_targets(t, y)] if shift is not None), None)


def targets_in_inputs(probe: Probe) -> Check:
    "Targets of a language model that are not shifted, or the wrong way: the model could copy them."
    shift = _shift(probe)
    require(shift is not None, "the targets are not the tokens of the inputs")
    what = "the inputs themselves, token by token" if shift == 0 else "the inputs one token before, which the model has read already"
    return graded(f"the targets are {what}: a model that copies makes no mistake", shift != 1, fine="the targets are the next tokens")


def causality(probe: Probe) -> Check:
    "For models that must not look ahead: of language models, whose targets are the next tokens, and where `causal=True` asks for it."
    require(probe.causal or _shift(probe) == 1, "the targets are not the next tokens of the inputs; ask for it with causal=True")
    probe.reset(training=False)
    tensors, predict = positional(probe, probe.step)
    length = next((t.shape[1] for t in (*probe.step.float_inputs[:1], *tensors) if t.ndim > 1), None)
    require(length is not None, "no input has a time axis")
    require(length in (*probe.pred.shape[1:2], *probe.pred.shape[2:][-1:]), f"the output has no axis of {length} steps")
    ahead = looks_ahead(predict, tensors, length)
    return graded(f"the output at step {min(ahead, default=0)} depends on later steps", ahead, steps=ahead, length=length,
                  output=list(probe.pred.shape))


@torch.no_grad()
def state_between_batches(probe: Probe) -> Check:
    "A state that a model keeps from one batch to the next, where the next does not go on with the same texts."
    require(callable(getattr(probe.model, "reset", None)), "the model has no state to reset")
    steps = probe.steps(2)
    require(len(steps) == 2 and steps[0].n == steps[1].n, "there are no two batches of one size")
    first, second = steps
    probe.reset(training=False)
    alone = first_tensor(probe.predict(second))
    probe.predict(first)
    after = first_tensor(probe.model(*second.xb, **second.kw))
    probe.reset()
    if alone is None or after is None or alone.shape != after.shape:
        return passed()
    change = float((after - alone).abs().max() / (alone.abs().max() + 1e-12))
    x, y = first_tensor(second.xb), first.y
    goes_on = (x is not None and y is not None and x.ndim == 2 and y.ndim == 2 and _shift(probe) == 1
               and float((y[:, -1] == x[:, 0]).float().mean()) > 0.9)
    return graded(f"the output for a batch changes by {change:.2g} of its size with the batch before: the model keeps a state, and the "
                  "texts of a batch do not go on where those before ended", change > 1e-3 and not goes_on,
                  fine="each batch goes on where the one before ended" if change > 1e-3 else "", change=change)


def first_tensor(x: Any) -> torch.Tensor | None:
    "The first tensor in `x`."
    return next((t for t in leaves(x) if isinstance(t, torch.Tensor)), None)


def unused_inputs(probe: Probe) -> Check:
    "Outputs that are the same for every item, and inputs that have no influence."
    step, pred = probe.step, require_output_per_item(probe)
    tensors, predict = positional(probe, step)
    if not any(bool((t != t[:1]).any()) for t in tensors if t.ndim and t.shape[0] == step.n):
        return issue("all inputs of the batch are identical", "look at a decoded batch: dls.show_batch()", n_items=step.n)
    if ignored := _ignored(probe, tensors, predict):
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
