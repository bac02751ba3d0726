"""A twin of a learner: an independent copy that trials may train, break and interrupt while the learner itself stays as it is."""
from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..callbacks.base import Callback
from ..callbacks.first_batch import FirstBatch
from ..callbacks.lr_finder import LRFinder
from ..callbacks.predictions import GatherPreds
from ..callbacks.progress import ProgressCallback
from ..callbacks.recorder import Recorder
from ..callbacks.scheduler import ParamScheduler, TorchScheduler
from ..data.loaders import DataLoaders
from ..data.sequences import PadSequences

if TYPE_CHECKING:
    from .learner import Learner

_LEFT_OUT = (FirstBatch, Recorder, ProgressCallback, LRFinder, GatherPreds, ParamScheduler, TorchScheduler)
_CHANGES_TRAINING = ("before_batch", "after_pred", "after_loss", "before_backward", "after_backward", "before_step", "forward_context",
                     "loop_backward", "loop_step")


def make_independent(twin: Learner, learn: Learner, copy_model: bool = True) -> None:
    "Give `twin`, a shallow copy of `learn`, parts of its own; afterwards they share the datasets alone."
    if copy_model:
        twin.model = copy.deepcopy(learn.model)
    memo = {id(learn): twin, id(learn.model): twin.model, id(learn.dls): learn.dls}
    twin.loss_func = _own_copy(learn.loss_func, memo)
    twin.metrics = [_own_copy(m, memo) for m in learn.metrics]
    twin.opt = twin.freezer = twin.dl = twin.pred = twin.loss = twin.compiled_with = None
    twin.xb, twin.kw, twin.yb, twin.logger = (), {}, (), _silent
    twin.dls = DataLoaders(*(independent_loader(dl, num_workers=0) for dl in learn.dls), path=learn.dls.path, device=learn.dls.device)
    twin.cbs = [_own_copy(cb, memo) for cb in learn.cbs if _changes_training(cb)]
    for cb in twin.cbs:
        cb.learn = twin
    twin.add_cb(Recorder())


def _own_copy(part: Any, memo: dict) -> Any:
    try:
        return copy.deepcopy(part, dict(memo))
    except Exception:               # it holds a file, a process, a lock
        return copy.copy(part)


def _changes_training(cb: Callback) -> bool:
    "Whether a callback changes batches, predictions, losses or gradients, so that the model would be trained differently without it."
    return not isinstance(cb, _LEFT_OUT) and any(
        n in vars(cb) or getattr(type(cb), n, None) is not getattr(Callback, n, None) for n in _CHANGES_TRAINING)


def independent_loader(dl: Any, **overrides: Any) -> Any:
    """A loader over the same items with other arguments; loaders of torch as they are.

    Sequences that it cuts are neither counted nor warned of: a warning that is given once must not be used up by a silent trial.
    """
    if not (hasattr(dl, "after_batch") and hasattr(dl, "new")):
        return dl
    if any(isinstance(f, PadSequences) for f in dl.before_batch):
        overrides["before_batch"] = [f.uncounted() if isinstance(f, PadSequences) else f for f in dl.before_batch]
    return dl.new(**overrides)


@contextmanager
def kept_generators(loaders: Iterable) -> Iterator[None]:
    "Restore the random generators of torch's own loaders after the block."
    generators = [getattr(o, "generator", None) for dl in loaders for o in (dl, getattr(dl, "sampler", None))]
    states = [(g, g.get_state()) for g in generators if isinstance(g, torch.Generator)]
    try:
        yield
    finally:
        for g, state in states:
            g.set_state(state)


def _silent(row: Any) -> None:
    pass
