"""`check_learner`: the recipe as one call. What is wrong with a learner, its model, loss, optimizer and first batches?

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019; M. Niessner's list of steps; the habits of fast.ai's courses.
"""
import time
from collections.abc import Iterable

from ..learner.learner import Learner
from ..learner.probe import probing
from .data import batches
from .learner import activations, dependency, evaluation, features, initial_loss, outputs, overfit_batch, updates
from .learner.baseline import baselines
from .learner.speed import step_time
from .report import Entry, Report, check_ignore, run

_RUNS = ("MF101", "MF102")
_LOSS = (*_RUNS, "MF103")
_LEARNS = (*_LOSS, "MF108")
_STEPS = (*_LEARNS, "MF109")
_SOUND = (*_LEARNS, "MF105", "MF106", "MF110", "MF111", "MF301", "MF302", "MF304", "MF305")  # otherwise it is known why nothing is learned

# issues that may explain what later checks find
_SCALES = ("MF112", "MF107")
_WIRED = (*_SCALES, "MF105", "MF106", "MF108", "MF109", "MF110")
_FLOWS = (*_WIRED, "MF301", "MF302", "MF304", "MF305", "MF306", "MF307", "MF308")

#: The checks of a `Probe`, in the order in which they run.
CHECKS: tuple[Entry, ...] = (
    Entry("MF101", outputs.finite_values),
    Entry("MF102", outputs.model_runs, ("MF101",)),
    Entry("MF104", outputs.outputs_per_class, _RUNS),
    Entry("MF105", outputs.final_activation, _RUNS),
    Entry("MF103", outputs.target_fits_loss, _RUNS),
    Entry("MF106", outputs.output_range, _RUNS),
    Entry("MF107", activations.input_scale, _RUNS),
    Entry("MF108", outputs.trainable_parameters, _LOSS),
    Entry("MF109", updates.optimizer_parameters),
    Entry("MF110", activations.train_and_eval_mode, _RUNS),
    Entry("MF111", outputs.loss_direction, _LOSS),
    Entry("MF112", initial_loss.target_scale, _LOSS),
    Entry("MF113", dependency.targets_in_inputs, _RUNS),
    Entry("MF201", dependency.independent_items, _RUNS),
    Entry("MF202", dependency.causality, _RUNS),
    Entry("MF203", dependency.state_between_batches, _RUNS),
    Entry("MF301", updates.symmetric_weights, _LEARNS),
    Entry("MF302", activations.dead_and_saturated_units, _RUNS, follows=_SCALES),
    Entry("MF303", updates.gradient_scale, _LEARNS, follows=(*_SCALES, "MF301")),
    Entry("MF304", dependency.unused_inputs, _LEARNS),
    Entry("MF305", updates.missing_gradients, _LEARNS, follows=("MF106", "MF302")),
    Entry("MF306", updates.gradient_of_every_item, _LEARNS, follows=("MF106",)),
    Entry("MF307", updates.zeroed_gradients, _STEPS),
    Entry("MF308", updates.update_to_weight_ratio, _STEPS, follows=(*_SCALES, "MF305")),
    Entry("MF309", activations.bias_before_norm, _RUNS),
    Entry("MF310", updates.weight_decay, ("MF109",)),
    Entry("MF401", initial_loss.initial_loss, (*_LOSS, "MF105", "MF106"), follows=_SCALES),
    Entry("MF501", overfit_batch.overfit_one_item, _SOUND, slow=True, follows=_FLOWS, turn=3),
    Entry("MF502", overfit_batch.overfit_one_batch, _SOUND, follows=_FLOWS, turn=2),
    Entry("MF503", overfit_batch.better_than_without_inputs, _SOUND, follows=(*_FLOWS, "MF502"), turn=2),
    Entry("MF504", baselines, _LEARNS, follows=(*_FLOWS, "MF401", "MF502", "MF815"), turn=1),
    Entry("MF601", evaluation.repeatable_validation, _LOSS, follows=("MF110",), turn=1),
    Entry("MF602", evaluation.consistent_predictions, _LOSS, follows=("MF110", "MF601"), turn=1),
    Entry("MF603", evaluation.metric_direction, _LOSS),
    Entry("MF701", step_time, _STEPS, turn=3),
    Entry("MF815", features.labels_related_to_features, _LEARNS, turn=1),
    Entry("MF833", batches.augmented_validation, follows=("MF601",)),
    Entry("MF834", batches.shuffled_training),
)


def check_learner(learn: Learner, fast: bool = False, ignore: str | Iterable[str] = (), causal: bool = False,
                  lr: float | list[float] | slice | None = None, seed: int = 0, budget: float = 20.0) -> Report:
    """Report what is wrong with a learner: its model, loss, optimizer, batches and evaluation.

    The learner does not change: everything runs on a copy, and random streams are restored, also after Ctrl-C.

    Args:
        learn: The learner.
        fast: Leave out what takes long, and train the small trials for a shorter time.
        ignore: Codes to leave out, such as 'MF309'.
        causal: The model must not look ahead: the output at step t may depend only on inputs up to t.
        lr: The learning rate that will be used, if it is not the learner's.
        seed: Of the random streams of the checks.
        budget: Seconds. The cheap and telling checks come first; those that there is no time for are listed as skipped.

    Raises:
        ValueError: `budget` is not a positive number, or an unknown code is to be ignored.
    """
    if not budget > 0:
        raise ValueError(f"check(budget={budget!r}): a positive number of seconds, such as budget=20")
    ignore, began = check_ignore(ignore), time.perf_counter()
    with probing(learn, fast, seed) as probe:
        probe.causal, probe.end = causal, began + budget
        probe.shrink(budget / 100)
        probe.twin.lr = probe.twin.lr if lr is None else lr
        return run(CHECKS, probe, ignore, fast, f"learn.check() of {type(learn.model).__name__}", began, budget)
