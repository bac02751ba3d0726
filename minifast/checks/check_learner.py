"""`check_learner`: the recipe as one call. It looks at a learner, its model, loss, optimizer and a few batches, and says what is wrong.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019; M. Niessner's list of steps; the habits of fast.ai's courses.
"""
import time

from ..learner.probe import probing
from .data import batches as data_batches
from .learner import baseline, dependency, evaluation, speed, updates, wiring
from .learner import initial_loss as start
from .learner import overfit_batch as capacity
from .report import Report, check_ignore, run

_RUNS = ("MF101", "MF102")
_LOSS = (*_RUNS, "MF103")
_LEARNS = (*_LOSS, "MF108")
_SOUND = (*_LEARNS, "MF105", "MF106", "MF110", "MF111", "MF301", "MF302", "MF304", "MF305")  # else it is known why nothing is learned

#: (code, function of a `Probe`, codes it needs, whether fast=True leaves it out)
CHECKS = (
    ("MF101", wiring.finite, (), False),
    ("MF102", wiring.runs, ("MF101",), False),
    ("MF104", wiring.outputs_match_classes, _RUNS, False),
    ("MF105", wiring.activation_fits, _RUNS, False),
    ("MF103", wiring.target_fits, _RUNS, False),
    ("MF106", wiring.reach, _RUNS, False),
    ("MF107", wiring.scale, _RUNS, False),
    ("MF108", wiring.something_to_train, _LOSS, False),
    ("MF109", wiring.optimizer_holds, (), False),
    ("MF110", wiring.modes, _RUNS, False),
    ("MF111", wiring.rewards_right, _LOSS, False),
    ("MF201", dependency.independent, _RUNS, False),
    ("MF202", dependency.causal, _RUNS, False),
    ("MF301", updates.symmetric, _LEARNS, False),
    ("MF302", updates.live, _RUNS, False),
    ("MF303", updates.gradient_sizes, _LEARNS, False),
    ("MF304", dependency.inputs_used, _LEARNS, False),
    ("MF305", updates.gradients, _LEARNS, False),
    ("MF306", updates.every_item_teaches, _LEARNS, False),
    ("MF307", updates.cleared, (*_LEARNS, "MF109"), False),
    ("MF308", updates.step_sizes, (*_LEARNS, "MF109"), False),
    ("MF309", updates.bias_before_norm, _RUNS, False),
    ("MF310", updates.weight_decay, ("MF109",), False),
    ("MF401", start.loss_at_start, _LOSS, False),
    ("MF501", capacity.one_item, _SOUND, True),
    ("MF502", capacity.few_items, _SOUND, False),
    ("MF503", capacity.better_than_blind, _SOUND, False),
    ("MF504", baseline.score_to_beat, _LEARNS, False),
    ("MF601", evaluation.repeats, _LOSS, False),
    ("MF602", evaluation.agree, _LOSS, False),
    ("MF603", evaluation.directions, _LOSS, False),
    ("MF701", speed.speed, (*_LEARNS, "MF109"), False),
    ("MF833", data_batches.validation_repeats, (), False),
    ("MF834", data_batches.shuffled, (), False),
)


def check_learner(learn, fast=False, ignore=(), causal=False, lr=None, seed=0):
    """A `Report` of what is wrong with `learn`, its model, loss, optimizer, batches and evaluation.

    fast: leave out what takes long, and train the small tests for a shorter time. ignore: codes to leave out, such as ['MF309'].
    causal: the model must not look ahead, output t may depend on inputs up to t only. lr: the learning rate that will be used, if it is
    not the learner's. The learner does not change: everything runs on a copy, and random streams are put back, also after Ctrl-C.
    """
    ignore, began = check_ignore(ignore), time.perf_counter()
    if lr is not None:
        learn = _at_rate(learn, lr)
    with probing(learn, fast, seed) as probe:
        probe.once("causal", lambda: causal)
        ready = time.perf_counter()
        results, times = run(CHECKS, probe, ignore, fast)
    return Report(results, f"learn.check() of {type(learn.model).__name__}", {"preparing": ready - began, **times})


def _at_rate(learn, lr):
    "The same learner with another learning rate, for the checks to read."
    import copy
    other = copy.copy(learn)
    vars(other)["lr"] = lr
    return other
