"""Metrics are tried on the first training batch of a fit, on copies: one that cannot work fails there, not after an epoch."""
import copy
import inspect
import warnings
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import TYPE_CHECKING, Any

import torch

from ..core import add_note, fixed_seed, to_detach
from ..metrics.base import AccumMetric, ValueMetric
from ..nn.loss_traits import has_own_code
from .base import Callback, CancelValidException

if TYPE_CHECKING:
    from ..learner.learner import Learner


def try_metrics(learn: "Learner", targets: list[tuple], confirm: bool) -> None:
    """Show copies of the metrics the training batch under way, and raise the error of one that fails.

    Functions of the user's that refer to what can change, such as a list that they fill, are left out: a call more would be noticed.

    Args:
        learn: in the middle of a training batch.
        targets: the targets to try, in turn: as the loader gave them, as callbacks have made them.
        confirm: let pass what works on a batch of validation, whose outputs and targets need not be of the same kind.
    """
    state = {"training": learn.training, "pred": learn.pred, "yb": learn.yb}
    tried = [m for m in learn.metrics if not isinstance(m, ValueMetric) and _leaves_no_trace(m)]
    if not tried:
        return
    with fixed_seed():
        try:
            learn.training, learn.pred = False, to_detach(learn.pred, cpu=False)
            failed = [(m, error) for m in tried if (error := _first_error(m, learn, targets)) is not None]
        finally:
            vars(learn).update(state)
        for metric, error in failed:
            if not confirm or _fails_in_validation(metric, learn):
                add_note(error, f"in metric {metric.name}, tried on the first training batch before anything was trained")
                try:
                    raise error
                finally:
                    del error, failed


def _first_error(metric, learn, targets):
    "The first error where `metric` fails with each of the `targets`."
    first = error = None
    try:
        for learn.yb in targets:
            error = _error_of(metric, learn)
            if error is None:
                return None
            first = first or error
        return first
    finally:
        first = error = None        # else the errors would hold themselves, by their tracebacks


def _fails_in_validation(metric, learn):
    "Whether `metric` also fails on the first batch of validation, with the callbacks that take part there."
    found = []

    def after_batch(cb):
        found.append(_error_of(metric, learn) is not None)
        raise CancelValidException
    try:
        with learn.paused_cbs(type(learn.recorder)):
            learn.validation_pass(learn.dls.valid, Callback(after_batch=after_batch))
    except Exception:                                   # validation will say what is wrong with it
        return False
    return found == [True]


def _error_of(metric, learn):
    "The error of a copy of `metric` on the batch of the learner, if it fails."
    shared = (learn, learn.model, learn.dls, learn.loss_func, *learn.cbs, *learn.dls.loaders,
              *(getattr(dl, "dataset", None) for dl in learn.dls.loaders))
    try:
        own = copy.copy(metric)
        if not has_own_code(type(metric)):              # drops what is left of an earlier validation, so that it is not copied
            own.reset()
        own = copy.deepcopy(own, {id(o): o for o in shared})
    except Exception:                                   # it holds a file, a process, a lock: it is not tried
        return None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            own.reset()
            own.accumulate(learn)
        except Exception as e:
            return e
        return _error_of_value(own)


def _error_of_value(metric):
    "The error of the value after one batch; a function of the user's, or a weight for each item, may count on the whole set."
    func = getattr(metric, "func", type(metric))
    weighted = isinstance(metric, AccumMetric) and metric.kwargs.get("sample_weight") is not None
    if weighted or has_own_code(type(metric)) or has_own_code(func, "sklearn"):
        return None
    try:
        _ = metric.value
    except Exception as e:
        # of scikit-learn a wrong keyword or value of one is a TypeError too; what else is wrong may be that the batch lacks a class
        return e if isinstance(e, TypeError) or not has_own_code(func) else None
    return None


#: What a function can refer to and still do the same at each call.
_UNCHANGING = (ModuleType, BuiltinFunctionType, type, NoneType, bool, int, float, str, tuple, torch.Tensor, torch.dtype, torch.device)


def _leaves_no_trace(metric):
    "Whether a copy of `metric` can be tried and nothing of that is seen afterwards."
    return has_own_code(type(metric)) or _is_stateless(getattr(metric, "func", None), set())


def _is_stateless(f: Any, seen: set[int]) -> bool:
    "Whether `f` is unchanging: of a function of the user's, also what it refers to. An object that is called is copied, so it may change."
    while isinstance(f, partial):
        f = f.func
    if id(f) in seen or isinstance(f, _UNCHANGING) or (inspect.isroutine(f) and not has_own_code(f, "sklearn")):
        return True
    if not isinstance(f, FunctionType):
        return not seen and not inspect.ismethod(f)
    seen.add(id(f))
    used = inspect.getclosurevars(f)
    return all(_is_stateless(o, seen) for o in (*used.nonlocals.values(), *used.globals.values(), *(f.__defaults__ or ())))
