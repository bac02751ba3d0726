"""The loss at the start against what a guess without knowledge costs.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("verify loss @ init", "init well").
"""
import math

import torch

from ...nn.loss_traits import class_axis, loss_name
from ..report import issue, not_applicable, passed, tip


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def frequencies(y, n):
    "How often each of `n` classes occurs in the class ids `y`, as shares with sum 1; negative ids and ids from n up do not count."
    y = y.flatten().long()
    counts = torch.bincount(y[(y >= 0) & (y < n)].cpu(), minlength=n).double()
    return counts / counts.sum().clamp(min=1)


def entropy(shares):
    "The cross entropy of a guess that knows the class frequencies: -sum p log p."
    return float(-(shares * shares.clamp(min=1e-12).log()).sum())


def binary_entropy(rates):
    "The mean binary cross entropy of a guess that knows how often each label is on."
    p = rates.double().clamp(1e-6, 1 - 1e-6)
    return float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())


def expected_at_start(kind, y, n_out):
    """`(ignorant, informed)`: the loss of a model that gives every class (or label) the same chance, or the value 0; and of one that
    knows the frequencies, or the mean, of the targets `y`. None where `kind` has no such value."""
    if kind in ("class logits", "class log-probabilities") and not y.is_floating_point():
        return math.log(n_out), entropy(frequencies(y, n_out))
    if kind in ("logits", "probabilities"):
        rates = y.float().reshape(len(y), -1).mean(0)
        return math.log(2), binary_entropy(rates)
    return None


def constant_values(y, loss_name_of):
    "`(loss of predicting 0, loss of the best constant)` for mean squared or absolute error on the targets `y`; None for other losses."
    y = y.double()
    if "mse" in loss_name_of.lower():
        return float(y.square().mean()), float((y - y.mean(0)).square().mean())
    if "l1" in loss_name_of.lower() and "smooth" not in loss_name_of.lower():
        return float(y.abs().mean()), float((y - y.median(0).values).abs().mean())
    return None


# -- checks -------------------------------------------------------------------------------------------------------------------------
def _first_loss(probe, steps):
    """The lower of the mean losses in training mode (in evaluation mode the statistics of new norm layers mean nothing yet) and in
    evaluation mode (in training mode there is dropout)."""
    found = []
    for training in (True, False):
        total = 0.0
        for step in steps:
            probe.reset(training)
            with torch.no_grad():
                total += float(probe.loss(probe.predict(step), step)) * step.n
        found.append(total / sum(step.n for step in steps))
    return min(found)


def loss_at_start(probe):
    "The loss with which training begins against that of a guess."
    steps, pred = probe.steps(4), probe.pred
    if probe.kind is None or probe.step.y is None or not isinstance(pred, torch.Tensor):
        return not_applicable("MF401", "it is not known what a guess costs with this loss")
    y = torch.cat([s.y.reshape(s.n, -1) for s in steps])
    loss = _first_loss(probe, steps)
    if probe.kind == "values":
        return _values_at_start(probe, y, loss)
    n_out = pred.shape[class_axis(probe.loss_func, pred)] if pred.ndim > 1 else 1
    expected = expected_at_start(probe.kind, y, n_out)
    if expected is None or getattr(getattr(probe.loss_func, "func", probe.loss_func), "weight", None) is not None:
        return not_applicable("MF401", "the targets are no class ids, or the loss has class weights")
    if loss_name(probe.loss_func).startswith(("Focal", "Dice")):
        return not_applicable("MF401", f"{loss_name(probe.loss_func)} has no such value")
    ignorant, informed = expected
    numbers = {"loss": loss, "same_chance_for_all": ignorant, "knowing_frequencies": informed}
    said = f"the first loss is {loss:.3f}; giving each class the same chance costs {ignorant:.3f}, knowing the frequencies {informed:.3f}"
    if loss > 2.5 * ignorant + 0.5:
        return issue("MF401", said + ": the model begins sure of what it cannot know", **numbers)
    if loss > 1.25 * ignorant + 0.1:
        return tip("MF401", said, **numbers)
    if len(y) >= 48 and informed < 0.6 * ignorant and loss > 1.5 * informed:
        return tip("MF401", said + ": its first lesson will be that some are rare", **numbers)
    return passed("MF401", said, **numbers)


def _values_at_start(probe, y, loss):
    expected = constant_values(y, loss_name(probe.loss_func))
    if expected is None:
        return not_applicable("MF401", "it is not known what a guess costs with this loss")
    zero, best = expected
    numbers = {"loss": loss, "predicting_0": zero, "predicting_the_mean": best, "target_mean": float(y.double().mean()),
               "target_std": float(y.double().std())}
    said = f"the first loss is {loss:.4g}; predicting the mean of the targets costs {best:.4g}"
    if best <= 1e-12:
        return tip("MF401", "all targets of these batches are the same", "look at the targets", **numbers)
    if loss > 30 * best:
        return issue("MF401", said + f": the model must first learn that the targets are around {numbers['target_mean']:.4g}", **numbers)
    return tip("MF401", said, **numbers) if loss > 3 * best else passed("MF401", said, **numbers)
