"""Dependencies by backprop: which inputs an output depends on. Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019."""
import torch

from ...core.nested import leaves
from ..report import issue, not_applicable, passed, tip
from .updates import trained_steps


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def items_reached(predict, inputs, n, i):
    """Which items' inputs the output of item `i` depends on, by backprop: a bool tensor (n,).

    predict: a function of `inputs` (a list of float tensors, items first) that returns a tensor with items first.
    """
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    out = predict(inputs)
    if not out.requires_grad:
        return torch.zeros(n, dtype=torch.bool)
    grads = torch.autograd.grad(out[i].float().square().sum() + out[i].float().sum(), inputs, allow_unused=True)
    reached = torch.zeros(n, dtype=torch.bool)
    for g, t in zip(grads, inputs, strict=True):
        if g is not None and t.ndim and t.shape[0] == n:
            reached |= (g.reshape(n, -1) != 0).any(1).cpu()
    return reached


def changes_elsewhere(predict, inputs, n, i):
    """By how much the outputs of the other items change, relative to their size, when item `i` is replaced by another: for inputs that
    have no gradient, such as token ids. inputs: a list of tensors, items first."""
    before = predict(inputs)
    j = (i + 1) % n
    swapped = [torch.cat([t[:i], t[j:j + 1], t[i + 1:]]) if t.ndim and t.shape[0] == n else t for t in inputs]
    after = predict(swapped)
    others = [k for k in range(n) if k != i]
    if before.shape != after.shape or before.shape[0] != n:
        return 0.0
    difference = (before[others] - after[others]).abs().max()
    return float(difference / (before.abs().max() + 1e-12))


def steps_ahead(predict, inputs, n, length, t):
    """Whether the output at step `t` has gradient on inputs after step `t`: a bool. inputs: float tensors whose second axis is time."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    out = predict(inputs)
    out = out if out.shape[1] == length else out.movedim(-1, 1)
    grads = torch.autograd.grad(out[:, t].float().square().sum() + out[:, t].float().sum(), inputs, allow_unused=True)
    return any(g is not None and g.ndim > 1 and g.shape[1] == length and bool((g[:, t + 1:] != 0).any()) for g in grads)


# -- checks -------------------------------------------------------------------------------------------------------------------------
def _positional(probe, step):
    "The tensors of the inputs, and a function of them that predicts."
    tensors = [t for t in leaves((step.xb, step.kw)) if isinstance(t, torch.Tensor)]

    def predict(values):
        values = dict(zip(map(id, tensors), values, strict=True))
        return probe.predict(step.with_inputs(lambda t: values.get(id(t), t)))
    return tensors, predict


def independent(probe):
    "The loss of item i has gradient only on input i, with norm layers in evaluation mode; and predictions do not depend on company."
    step = probe.step
    pred = probe.pred
    if not isinstance(pred, torch.Tensor) or step.n < 3:
        return not_applicable("MF201", "the batch has too few items" if step.n < 3 else "the output is no tensor")
    if pred.ndim == 0 or pred.shape[0] != step.n:
        fold = pred.shape[0] % step.n == 0 if pred.ndim else False
        if not fold:
            return issue("MF201", f"the output has {tuple(pred.shape)} for {step.n} items: the batch axis is gone or mixed with another",
                         items_in=step.n, items_out=pred.shape[0] if pred.ndim else 0)
        return not_applicable("MF201", f"{step.n} items become {pred.shape[0]} outputs")
    probe.reset(training=False)
    i = step.n // 2
    if step.float_inputs and len(step.float_inputs) == len([t for t in leaves((step.xb, step.kw)) if isinstance(t, torch.Tensor)]):
        tensors, predict = _positional(probe, step)
        reached = items_reached(predict, tensors, step.n, i)
        others = [k for k in torch.nonzero(reached).flatten().tolist() if k != i]
        if others:
            return issue("MF201", f"the output of item {i} depends on {len(others)} other items of the batch, such as item {others[0]}",
                         item=i, depends_on=others)
        return passed("MF201", "by backprop", item=i)
    tensors, predict = _positional(probe, step)
    with torch.no_grad():
        change = changes_elsewhere(predict, tensors, step.n, i)
    if change > 1e-3:
        return issue(
            "MF201", f"replacing item {i} changes the outputs of others by {change:.2g} of the largest output", item=i, change=change
        )
    return passed("MF201", "by replacing an item", change=change)


def inputs_used(probe):
    "Outputs that are the same for every item, and inputs that have no gradient at all."
    step, pred = probe.step, probe.pred
    if not isinstance(pred, torch.Tensor) or pred.ndim == 0 or pred.shape[0] != step.n or step.n < 3:
        return not_applicable("MF304", "the output is no tensor with an item per row")
    tensors, predict = _positional(probe, step)
    ignored = _ignored(probe, tensors, predict)
    differ = [any(not torch.equal(t[0], t[k]) for k in range(1, step.n)) for t in tensors if t.ndim and t.shape[0] == step.n]
    if not any(differ):
        return issue("MF304", "all inputs of the batch are identical", "look at a decoded batch: dls.show_batch()", n_items=step.n)
    if ignored and len(ignored) == len(tensors):
        return issue("MF304", "the output does not depend on the inputs at all", inputs=len(tensors))
    if ignored:
        return issue("MF304", f"input {ignored[0]} of {len(tensors)} has no influence on the output", ignored=ignored)
    spread = float(pred.float().std(0).max())
    size = float(pred.float().abs().max())
    if spread <= 1e-6 * (size + 1e-12) and size > 0:
        return tip(
            "MF304", f"the outputs of all items are the same to {spread:.1g}: the inputs have nearly no influence yet", spread=spread
        )
    return passed("MF304", spread=spread)


def _ignored(probe, tensors, predict):
    """The numbers of the inputs that do not matter: by gradient at the start and after a few steps (a head that begins at zero has none
    yet), by replacement for those without gradient."""
    found = set(range(len(tensors)))
    for when in ("start", "later"):
        if when == "start":
            probe.reset(training=False)
        else:
            trained_steps(probe)
            probe.mode(False)
        with torch.no_grad():
            before = predict(tensors)
            for k in list(found):
                t = tensors[k]
                if t.ndim == 0 or len(t) < 2:
                    found.discard(k)
                    continue
                rolled = predict([o.roll(1, 0) if i == k else o for i, o in enumerate(tensors)])
                same_values = bool((t == t.roll(1, 0)).all())
                moved = rolled.shape == before.shape and float((rolled - before).abs().max()) > 1e-7 * (float(before.abs().max()) + 1e-12)
                if same_values or moved:
                    found.discard(k)
        if not found:
            break
    probe.reset()
    return sorted(found)


def causal(probe):
    "For models that must not look ahead: asked for by `causal=True`."
    if not probe.once("causal", bool):
        return not_applicable("MF202", "ask for it with causal=True")
    step, pred = probe.step, probe.pred
    floats = step.float_inputs
    probe.reset(training=False)
    if floats and floats[0].ndim > 1:
        length = floats[0].shape[1]
        tensors, predict = _positional(probe, step)
        ahead = [t for t in range(length - 1) if steps_ahead(predict, tensors, step.n, length, t)]
    else:
        tensors, predict = _positional(probe, step)
        tokens = next((t for t in tensors if t.ndim > 1), None)
        if tokens is None:
            return not_applicable("MF202", "no input has a time axis")
        length, ahead = tokens.shape[1], []
        with torch.no_grad():
            before = predict(tensors)
            for t in range(length - 1):
                changed = tokens.clone()
                changed[:, t + 1:] = tokens.roll(1, 0)[:, t + 1:]
                after = predict([changed if o is tokens else o for o in tensors])
                if float((after[:, :t + 1] - before[:, :t + 1]).abs().max()) > 1e-5 * (float(before.abs().max()) + 1e-12):
                    ahead.append(t)
    if ahead:
        return issue("MF202", f"the output at step {ahead[0]} depends on later steps", steps=ahead, length=length)
    return passed("MF202", length=length, output=list(pred.shape))
