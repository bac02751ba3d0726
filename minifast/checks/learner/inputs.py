"""The inputs of the model: are they scaled, and does the output depend on each of them?"""
import torch
from torch import nn

from ...learner.probe import Probe
from ...optim.groups import NORM_TYPES
from ..outcomes import Check, graded, issue, passed, require
from .dependency import positional, require_output_per_item
from .gradients import train_steps


def input_scale(probe: Probe) -> Check:
    """Float inputs far from mean 0 and standard deviation 1: images of 0..255, columns of thousands. A norm layer that comes first makes up
    for it."""
    def size(t):
        return float(t.detach().float().square().mean().sqrt())

    require(probe.step.float_inputs, "no input is made of floats")
    worst = max((t.detach().float() for s in probe.steps(4) for t in s.float_inputs), key=size)
    numbers = {"mean": float(worst.mean()), "std": float(worst.std()), "size": size(worst)}
    if _starts_with_norm(probe):
        return passed("a norm layer comes first", **numbers)
    large, tiny = numbers["size"] > 5, 0 < min(map(size, probe.step.float_inputs)) < 0.05
    found = f"the inputs have mean {numbers['mean']:.4g} and standard deviation {numbers['std']:.4g}"
    return graded(found if large or tiny else "", numbers["size"] > 20, large or tiny, **numbers)


def _starts_with_norm(probe):
    "Whether a norm layer sees the inputs before any layer with weights does, embeddings aside."
    layers = [m for m in probe.layers_run() if isinstance(m, NORM_TYPES) or any(True for _ in m.parameters(recurse=False))]
    layers = [m for m in layers if not isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    return bool(layers) and isinstance(layers[0], NORM_TYPES)


def unused_inputs(probe: Probe) -> Check:
    "Outputs that are the same for every item, and inputs that have no influence."
    step, pred = probe.step, require_output_per_item(probe)
    tensors, predict = positional(probe, step)
    if not any(bool((t != t[:1]).any()) for t in tensors if t.ndim and t.shape[0] == step.n):
        return issue("all inputs of the batch are identical", "look at a decoded batch: dls.show_batch()", n_items=step.n)
    ignored = _ignored(probe, tensors, predict)
    if ignored and len(ignored) == len(tensors):
        return issue("the output does not depend on the inputs at all", inputs=len(tensors))
    if ignored:
        return issue(f"input {ignored[0]} of {len(tensors)} has no influence on the output", ignored=ignored)
    spread, size = float(pred.float().std(0).max()), float(pred.float().abs().max())
    alike = spread <= 1e-6 * (size + 1e-12) and size > 0
    return graded(f"the outputs of all items are the same to {spread:.1g}: the inputs have hardly any influence yet" if alike else "",
                  tip=alike, spread=spread)


def _ignored(probe, tensors, predict):
    "The numbers of the inputs that do not matter, neither at the start nor after a few steps: a head that starts at zero ignores all."
    found = {k for k, t in enumerate(tensors) if t.ndim and len(t) > 1 and not bool((t == t.roll(1, 0)).all())}
    ignored = set(found)
    for prepare in (lambda: probe.reset(training=False), lambda: (train_steps(probe), probe.mode(False))):
        if ignored:
            prepare()
            with torch.no_grad():
                ignored = {k for k in ignored if not _moves(predict, tensors, k)}
    probe.reset()
    return sorted(ignored)


def _moves(predict, tensors, k):
    "Whether the outputs change when the items of input `k` change places."
    before = predict(tensors)
    rolled = predict([t.roll(1, 0) if i == k else t for i, t in enumerate(tensors)])
    return rolled.shape == before.shape and float((rolled - before).abs().max()) > 1e-7 * (float(before.abs().max()) + 1e-12)
