"""`HasCallbacks`: the half of a learner that holds callbacks and tells them about events."""
import copy
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import torch

from ..callbacks.base import Callback, collect_handlers, run_handlers, sort_callbacks
from ..callbacks.progress import ProgressCallback
from ..callbacks.recorder import Recorder
from ..callbacks.scheduler import TorchScheduler, is_torch_scheduler
from ..core.guarded import declared
from ..core.messages import describe, did_you_mean


def listed(cbs):
    "None, one or several as a list."
    return [] if cbs is None else list(cbs) if isinstance(cbs, (list, tuple)) else [cbs]


def as_callback(cb):
    "A callback class as an instance, and a scheduler of torch as the callback that steps it; anything else as it is."
    if isinstance(cb, type) and issubclass(cb, Callback):
        return cb()
    return TorchScheduler(cb) if is_torch_scheduler(cb) else cb


_NOTHING = nullcontext()


def _no_context():
    return _NOTHING


def _step(opt):
    opt.step()


class HasCallbacks:
    "Attach, detach and call callbacks. Each is also found under its own name, such as `learn.recorder`."

    cbs: list
    training = False
    running = False                  #: whether a fit is under way
    recorder: Recorder | None = None
    logger: object                   #: called with each row of the epoch table
    logging_off = False
    #: Makes the context manager around forward pass and loss of every batch: what callbacks with a method of this name ask for.
    forward_context = staticmethod(_no_context)
    #: The backward pass and the optimizer step; a callback with a method of this name (mixed precision) takes its place.
    loop_backward: object
    loop_step: object
    _tables: dict = {training: collect_handlers([], training) for training in (True, False)}

    def __call__(self, event):
        "Tell every callback that overrides `event`."
        if handlers := self._tables[self.training][event]:
            run_handlers(handlers, event)

    def collect_handlers(self):
        "Collect again what the callbacks override and replace: call it after they were added, removed or switched on or off."
        self.recorder = next((c for c in self.cbs if isinstance(c, Recorder)), None)
        contexts = [c.forward_context for c in self.cbs if hasattr(type(c), "forward_context")]
        self.forward_context = contexts[0] if len(contexts) == 1 else partial(_nested, contexts) if contexts else _no_context
        self.loop_backward = self._replaced("loop_backward", torch.Tensor.backward)
        self.loop_step = self._replaced("loop_step", _step)
        if "_tables" not in vars(self):
            self._tables = {True: {}, False: {}}
        for training, table in self._tables.items():          # updated in place: a loop that runs holds on to them
            table.update(collect_handlers(self.cbs, training))

    def add_cb(self, cb):
        "Attach one callback (a class is instantiated). Returns the learner."
        cb = as_callback(cb)
        if not isinstance(cb, Callback):
            raise TypeError(f"a callback must be a minifast Callback; received {describe(cb)}. To listen with a plain function write "
                            "`Callback(after_batch=f)`")
        if cb.learn is not None:
            owner = "this learner" if cb.learn is self else "another learner"
            raise ValueError(f"{cb!r} is already attached to {owner}: give each learner, and each fit, a callback of its own")
        self.cbs = sort_callbacks([*self.cbs, cb])
        cb.learn = self
        self.collect_handlers()
        return self

    def add_cbs(self, cbs):
        "Attach several callbacks. Returns the learner."
        for cb in listed(cbs):
            self.add_cb(cb)
        return self

    def remove_cb(self, cb):
        "Detach a callback, or every callback of a class. Returns the learner."
        for gone in self._matching(cb):
            gone.learn = None
            self.cbs.remove(gone)
        self.collect_handlers()
        return self

    def remove_cbs(self, cbs):
        "Detach several callbacks. Returns the learner."
        for cb in listed(cbs):
            self.remove_cb(cb)
        return self

    @contextmanager
    def added_cbs(self, cbs):
        "Within the block these callbacks are attached too."
        attached = [as_callback(cb) for cb in listed(cbs)]
        try:
            self.add_cbs(attached)
            yield self
        finally:
            self.remove_cbs([cb for cb in attached if isinstance(cb, Callback) and cb.learn is self])

    @contextmanager
    def removed_cbs(self, cbs):
        "Within the block these callbacks (or all of these classes) are detached."
        before = {id(cb): place for place, cb in enumerate(self.cbs)}
        gone = [c for cb in listed(cbs) for c in self._matching(cb)]
        try:
            self.remove_cbs(gone)
            yield self
        finally:
            self.add_cbs(gone)
            self.cbs = sort_callbacks(sorted(self.cbs, key=lambda cb: before.get(id(cb), len(before))))
            self.collect_handlers()

    def no_bar(self):
        "Within the block no progress is shown but the rows of the epoch table."
        return self.removed_cbs(ProgressCallback)

    @contextmanager
    def no_logging(self):
        "Within the block the epoch table is not shown."
        before = self.logger, self.logging_off
        self.logger, self.logging_off = _silent, True
        try:
            yield self
        finally:
            self.logger, self.logging_off = before

    @contextmanager
    def recording_apart(self, valid_metrics=True):
        "Within the block a fresh recorder is used, so that the history does not change."
        own = [c for c in self.cbs if isinstance(c, Recorder)]
        with self.removed_cbs(own), self.added_cbs(Recorder(valid_metrics=valid_metrics) if own else None):
            if not self.running:
                yield self
                return
            metrics = self.metrics
            try:
                self.metrics = [copy.deepcopy(m) for m in metrics]       # the outer pass is in the middle of those
                yield self
            finally:
                self.metrics = metrics

    def ordered_cbs(self, event, training=True):
        "The callbacks that hear `event` (a batch event: of training, or of validation), in the order in which they do."
        return [h.__self__ for h in collect_handlers(self.cbs, training)[event] if hasattr(h, "__self__")]

    def _matching(self, cb):
        return [c for c in self.cbs if c is cb or (isinstance(cb, type) and isinstance(c, cb))]

    def _replaced(self, name, default):
        "The method `name` of the callback that has one, to do what the loop otherwise does itself; else `default`."
        own = [c for c in self.cbs if hasattr(type(c), name)]
        if len(own) > 1:
            raise ValueError(f"{', '.join(map(repr, own))} each have a method {name} in the place of the loop's own: keep one of them")
        return getattr(own[0], name) if own else default

    def __getattr__(self, name):
        if not name.startswith("_"):
            for cb in vars(self).get("cbs", ()):
                if cb.name == name:
                    return cb
        raise AttributeError(f"a {type(self).__name__} has no attribute '{name}'{did_you_mean(name, [*declared(type(self))])}")


@contextmanager
def _nested(contexts):
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        yield


def _silent(row):
    pass
