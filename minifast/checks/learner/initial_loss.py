"""The initial loss against that of an uninformed guess.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("verify loss @ init", "init well").
"""
import math
from collections.abc import Callable

import torch

from ...learner.constant_guess import is_absolute, is_squared
from ...learner.probe import Probe
from ...nn.loss_traits import class_weight_of, loss_name
from ..outcomes import Check, graded, require, tip
from .outputs import output_limits


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def frequencies(y: torch.Tensor, n: int) -> torch.Tensor:
    "How often each of `n` classes occurs in the class ids `y`, as shares with sum 1; negative ids and ids from n up do not count."
    y = y.flatten().long()
    counts = torch.bincount(y[(y >= 0) & (y < n)].cpu(), minlength=n).double()
    return counts / counts.sum().clamp(min=1)


def entropy(shares: torch.Tensor) -> float:
    "The cross entropy of a guess that knows the class frequencies: -sum p log p."
    return float(torch.special.entr(shares).sum())


def binary_entropy(rates: torch.Tensor) -> float:
    "The mean binary cross entropy of a guess that knows how often each label is on."
    p = rates.double()
    return float((torch.special.entr(p) + torch.special.entr(1 - p)).mean())


def expected_losses(loss_func: Callable, kind: str | None, y: torch.Tensor, n_out: int) -> tuple[float, float] | None:
    """`(uninformed, informed)`: the loss of a model that ignores its inputs and knows nothing of the targets, or their distribution.

    The first gives every class (or label) the same probability, or predicts 0; the second knows the frequencies, the mean or the median of
    the targets `y`, (items, ...). None where that is not known for this loss.
    """
    if kind in ("class logits", "class log-probabilities") and not y.is_floating_point():
        return math.log(n_out), entropy(frequencies(y, n_out))
    if kind in ("logits", "probabilities"):
        return math.log(2), binary_entropy(y.float().reshape(len(y), -1).mean(0))
    y = y.double().reshape(len(y), -1)
    if kind == "values" and is_squared(loss_func):
        return float(y.square().mean()), float((y - y.mean(0)).square().mean())
    if kind == "values" and is_absolute(loss_func):
        return float(y.abs().mean()), float((y - y.median(0).values).abs().mean())
    return None


# -- check --------------------------------------------------------------------------------------------------------------------------
def initial_loss(probe: Probe) -> Check:
    "The loss with which training starts against that of a guess."
    steps, name = probe.steps(4), loss_name(probe.loss_func)
    require(probe.kind is not None and probe.step.y is not None and isinstance(probe.pred, torch.Tensor)
            and (probe.kind == "values" or (class_weight_of(probe.loss_func) is None and not name.startswith(("Focal", "Dice")))),
            "it is not known what a guess costs with this loss")
    same_width = len({s.y.numel() // s.n for s in steps}) == 1
    y = torch.cat([s.y.reshape(s.n, -1) if same_width else s.y.reshape(-1, 1) for s in steps])
    expected = expected_losses(probe.loss_func, probe.kind, y, probe.n_out)
    require(expected is not None, "it is not known what a guess costs with this loss")
    uninformed, informed = expected
    # the lower one, as in evaluation mode the statistics of new norm layers mean nothing yet, and in training mode there is dropout
    n_items = sum(s.n for s in steps)
    loss = min(sum(float(probe.loss(probe.output(s, training), s)) * s.n for s in steps) / n_items for training in (True, False))
    if probe.kind == "values":
        return _of_values(y, loss, uninformed, informed)
    found = (f"the initial loss is {loss:.3f}; giving every class the same probability costs {uninformed:.3f}, knowing the frequencies "
             f"{informed:.3f}")
    too_sure, high = loss > 2.5 * uninformed + 0.5, loss > 1.25 * uninformed + 0.1
    skewed = y.numel() >= max(48, 5 * probe.n_out) and informed < 0.6 * uninformed and loss > 1.5 * informed
    why = (": the model starts out confident of what it cannot know" if too_sure else
           "" if high else ": the first thing it will learn is that some classes are rare")
    return graded(found + why, too_sure, high or skewed, fine=found, loss=loss, same_probability=uninformed, knowing_frequencies=informed)


def _of_values(y, loss, zero, best):
    mean = float(y.double().mean())
    numbers = {"loss": loss, "predicting_0": zero, "predicting_the_mean": best, "target_mean": mean, "target_std": float(y.double().std())}
    if best <= 1e-12:
        return tip("all targets of these batches are the same", "look at the targets", **numbers)
    # an offset is what init_head() sets
    found, far = f"the initial loss is {loss:.4g}; predicting the mean of the targets costs {best:.4g}", loss > 30 * best
    return graded(f"{found}: the model must first learn that the targets are around {mean:.4g}" if far else found, far, loss > 3 * best,
                  fine=found, **numbers)


#: Standard deviations of a regression's targets from which its outputs take long, or for ever, to grow as large: a step changes a weight by
#: about the learning rate.
WIDE, TOO_WIDE = 50, 300


def target_scale(probe: Probe) -> Check:
    "Targets such as prices in dollars, in which no output of a new network lands within thousands of steps."
    steps, y = probe.steps(4), probe.step.y
    require(probe.kind == "values" and y is not None and y.is_floating_point() and isinstance(probe.pred, torch.Tensor)
            and (is_squared(probe.loss_func) or is_absolute(probe.loss_func)), "the targets are not numbers, or the loss is no error")
    y = torch.cat([s.y.reshape(s.n, -1) for s in steps]).double().cpu()
    std, mean = float(y.std(0).nan_to_num(0).max()), float(y.mean())
    _, best = expected_losses(probe.loss_func, "values", y, probe.n_out)
    loss = sum(float(probe.loss(probe.output(s), s)) * s.n for s in steps) / len(y)
    reached = output_limits(probe) is not None or loss < 0.9 * best         # a range of its own, or it has learnt the scale
    low, high, power = float(y.min()), float(y.max()), 10 ** round(math.log10(max(std, 1e-12)))
    ways = ["predict its logarithm"] * (low > 0 and high > 5 * low) + [f"divide it by {power:,}", f"or give the model y_range=({low:.4g}, "
                                                                       f"{high:.4g}), or a little more"]
    found = (f"the targets go from {low:,.6g} to {high:,.6g} with standard deviation {std:,.4g}, but a step changes a weight by about the "
             "learning rate: outputs take very long to become as large")
    return graded(found, std > TOO_WIDE and not reached, std > WIDE and not reached, ", ".join(ways), target_mean=mean,
                  target_std=std, loss=loss, predicting_the_mean=best)
