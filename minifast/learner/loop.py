"""`TrainingLoop`: epochs and batches, and the callbacks that take part in them.

The loop, with its events in the order in which they are called:

    before_fit
    for epoch in range(n_epoch):
        before_epoch
        before_train
        for batch in dls.train:
            before_batch
            pred = model(*xb)
            after_pred
            loss = loss_func(pred, *yb)
            after_loss
            before_backward
            loss.backward()
            after_backward
            before_step
            opt.step()
            after_step
            opt.zero_grad()
            after_batch
        after_train
        before_validate
        for batch in dls.valid:
            before_batch
            pred = model(*xb)
            after_pred
            loss = loss_func(pred, *yb)
            after_loss
            after_batch
        after_validate
        after_epoch
    after_fit
    cleanup_fit

A `Cancel...Exception` jumps to the matching `after_cancel_...` event, then the `after_...` event below it follows. `cleanup_fit` also runs
after an error and after Ctrl-C.

This file is longer than 400 lines because state, callbacks and loop are one object, which is read best in one place.
"""
import copy
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial, wraps
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import RandomSampler, SequentialSampler

from ..callbacks import ProgressCallback, Recorder
from ..callbacks.base import (
    EVENTS,
    Callback,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    collect_handlers,
    sort_callbacks,
)
from ..callbacks.distributed import DistributedTrainer
from ..callbacks.scheduler import LRScheduler, TorchScheduler
from ..core import Batch, LossFunc, add_note, describe, did_you_mean, find_bs, ranks, split_batch, to_detach, to_device
from ..core.messages import NEXT_ENDED, NoSuchAttribute, reject_unknown
from ..core.seeds import give_back_loops, undisturbed
from ..core.shares import Share
from ..core.torch_internals import forget_workers
from ..data.loaders import DataLoaders
from ..metrics.base import Metric
from ..metrics.convert import as_metric
from ..nn.failing_layer import note_layer
from ..nn.hidden_state import hidden_state, restore_hidden_state
from ..nn.loss_traits import batch_weight, has_own_forward, ignore_index_of, kind_of, loss_name, not_one_tensor
from ..optim.freezing import Freezer
from ..optim.hypers import HyperOptimizer
from .assignment import OF_A_BATCH, check_of_a_batch, declared, unknown_attribute
from .elsewhere import advice_for

CallbackLike: TypeAlias = Callback | type[Callback] | torch.optim.lr_scheduler.LRScheduler | Sequence
"One or several callbacks; a class is instantiated, and a scheduler of torch is stepped."

Self = TypeVar("Self", bound="TrainingLoop")
F = TypeVar("F", bound=Callable[..., Any])

#: What a pass over a loader changes: a pass inside another one (a callback that calls `get_preds`) puts these back.
_PASS_STATE = ("dl", "training", "epoch", "n_epoch", "start_epoch", "start_iter", "iter", "n_iter", "_n_inp", "_batches_done", "xb", "kw",
               "yb", "pred", "loss", "share")
#: That state between passes.
_AT_REST: dict[str, Any] = {"dl": None, "training": False, "xb": (), "kw": {}, "yb": (), "pred": None, "loss": None,
                           "share": None}


class PassLock(type(threading.RLock())):                  # type: ignore[misc]
    """Which thread may work with a learner: passes (`predict`, `get_preds`, `validate` ...) take turns, a fit has it to itself.

    A fit lasts, so other threads are not left waiting for it, but refused at once: it takes the lock to begin, when no pass is under way,
    and leaves its name there. A copy of a learner gets a lock of its own. An `RLock` itself, which is taken and let go outside of Python:
    Ctrl-C cannot come between and leave it taken.
    """

    trainer: threading.Thread | None = None               #: the thread in which a fit is under way

    def __reduce__(self) -> tuple:
        return PassLock, ()

    def refuse_during_fit(self) -> None:
        "Raise an error if a fit is under way in another thread."
        trainer = self.trainer
        if trainer is not None and trainer is not threading.current_thread():
            raise RuntimeError(
                f"a fit of this learner is under way in the thread {trainer.name!r}, and other threads may not use the learner meanwhile, "
                "because they would share its model, callbacks and batches. To predict during a fit, write `predictor = "
                "Predictor(learn.export())` before it, which serves any number of threads; a second fit has to wait")

    @contextmanager
    def for_pass(self) -> Iterator[None]:
        "Within the block no other thread runs a pass or begins a fit. Waits for the passes of other threads; refused during their fits."
        with self:
            self.refuse_during_fit()
            yield

    @contextmanager
    def for_fit(self) -> Iterator[None]:
        "Within the block other threads are refused. Waits for the passes of other threads; refused during their fits."
        before, mine = None, False
        try:
            with self:
                self.refuse_during_fit()
                before, mine = self.trainer, True
                self.trainer = threading.current_thread()
            yield
        finally:
            if mine:
                self.trainer = before


class Call(NamedTuple):
    "A method that trains, with its arguments; of callbacks, which may keep what is large, the `repr`."

    method: str
    args: dict[str, Any]


def noted(method: F) -> F:
    "A decorator of a method that trains: while it runs, `learn.call` is the `Call`; of methods that call one another, the outermost."
    signature = inspect.signature(method)

    @wraps(method)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.call is not None:
            return method(self, *args, **kwargs)
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            names = [name for name in signature.parameters if name != "self"]
            if len(args) <= len(names):
                reject_unknown(kwargs, names, f"{method.__name__}(...)")
            return method(self, *args, **kwargs)            # Python's own words for it name the method
        bound.apply_defaults()
        call = Call(method.__name__, {name: _without_callbacks(value) for name, value in list(bound.arguments.items())[1:]})
        try:
            self.call = call
            return method(self, *args, **kwargs)
        finally:
            if self.call is call:               # not that of another thread
                self.call = None
    return noting  # type: ignore[return-value]  # it takes and returns what `method` does


def _without_callbacks(x):
    return list(map(_without_callbacks, x)) if isinstance(x, (list, tuple)) else repr(x) if isinstance(x, Callback) else x


def listed(x: Any) -> list:
    "None, one or several as a list."
    return [] if x is None else list(x) if isinstance(x, (list, tuple)) else [x]


def as_callback(cb: Any) -> Any:
    "A callback class as an instance, and a scheduler of torch as the callback that steps it; anything else as it is."
    if isinstance(cb, type) and issubclass(cb, Callback):
        return cb()
    return TorchScheduler(cb) if isinstance(cb, LRScheduler) else cb


def run_handlers(handlers: Iterable[Callable[[], None]], event: str) -> None:
    "Call each handler; an error that is not a `Cancel...Exception` gets a note that names the callback it came from."
    for handler in handlers:
        try:
            handler()
        except CancelException:
            raise
        except Exception as e:
            owner = type(getattr(handler, "__self__", handler)).__name__
            add_note(e, f"in {owner}.{event}")
            raise


def run_all_handlers(handlers: Iterable[Callable[[], None]], event: str) -> None:
    "Call each handler, also after one that fails; the first error is raised at the end."
    errors = []
    for handler in handlers:
        try:
            run_handlers([handler], event)
        except BaseException as e:
            errors.append(e)
    try:
        if errors:
            raise errors[0]
    finally:
        errors.clear()              # what holds its own error holds all that the traceback does, the learner too


def refuse_early_end(dl: Any, n: int) -> None:
    "Raise an error if `dl`, which ended after `n` batches and has more, is a loader of torch that knows its items: something ended it."
    if type(dl) is TorchDataLoader and type(dl.sampler) in (SequentialSampler, RandomSampler) and dl.batch_size:
        raise RuntimeError(f"the loader ended after {n} of {len(dl)} batches: its dataset, or what that calls, raised StopIteration, which "
                           f"ends a loop without a word: {NEXT_ENDED}")


def refuse_several_outputs(loss_func: LossFunc, pred: Any, error: Exception) -> None:
    "Raise, in the place of the `error` of a loss that takes one tensor, one that says what to write, if `pred` is something else."
    if not isinstance(pred, torch.Tensor) and kind_of(loss_func) is not None and not has_own_forward(loss_func):
        raise TypeError(not_one_tensor(pred, loss_name(loss_func))) from error


def clear_grads(opt: torch.optim.Optimizer) -> None:
    """Drop the gradient of every parameter of `opt`, as `opt.zero_grad()` does.

    torch's own method also informs its profiler, which costs 3% of a small step. An optimizer that overrides `zero_grad` is asked.
    """
    if type(opt).zero_grad is not torch.optim.Optimizer.zero_grad or "zero_grad" in vars(opt):
        opt.zero_grad()
        return
    for group in opt.param_groups:
        for p in group["params"]:
            p.grad = None


class TrainingLoop:
    """The base of `Learner`: state, callbacks and the loop. Each callback is also found under its own name, such as `learn.recorder`.

    Attributes that no class declares cannot be set, so that a misspelt name is an error instead of silence; private ones can. Between
    passes, the state of a batch (`xb` ... `loss`) is None or empty.
    """

    # -- the parts --------------------------------------------------------------------------------------------------------------
    dls: DataLoaders
    model: torch.nn.Module
    loss_func: LossFunc
    opt: HyperOptimizer = None
    freezer: Freezer = None          #: freezes layer groups of the optimizer
    cbs: list[Callback]              #: in the order in which they run
    recorder: Recorder = None
    logger: Callable[[Any], Any]     #: called with each row of the epoch table, and with a line of text now and then
    logging_off: int = 0             #: within how many blocks of `no_logging()`
    pass_lock: PassLock              #: which thread may use the learner

    # -- the state, which callbacks read and may change -------------------------------------------------------------------------
    dl: Any = None                   #: the loader of the current pass; None outside the loop
    training: bool = False           #: whether this pass trains
    epoch: int = 0
    n_epoch: int = 1
    start_epoch: int = 0
    start_iter: int = 0              #: at which batch the first epoch of a fit begins: not 0 where one that was interrupted is resumed
    iter: int = 0                    #: index of the current batch in its pass
    n_iter: int = 0                  #: number of batches of the pass
    xb: tuple = ()                   #: inputs of the batch, by position
    kw: dict[str, Any] = {}          #: inputs of the batch, by keyword (dict and dataclass batches)
    yb: tuple = ()                   #: targets of the batch
    pred: Any = None                 #: output of the model
    loss: torch.Tensor = None        #: loss of the batch, a 0-d tensor
    share: Share | None = None       #: of several ranks: how the items of the batch are divided among them
    running: bool = False            #: whether a fit is under way
    dry_run: bool = False            #: whether this fit is undone afterwards, as by `lr_find`: nothing of it is to be kept or written
    fits_ended: int = 0              #: how many fits ended or were cancelled; interrupted ones do not count
    call: Call | None = None         #: the method that trains now, with its arguments
    run_name: str | None = None      #: the folder of `resume=True` in `path/model_dir`: made of what its first fit was told
    _in_pass = False                 # whether a fit or another pass is under way
    _n_inp: int | None = None        # how many elements of a batch are inputs; None: all but the last
    _by_fit = False                  # whether it is a pass of the fit itself
    _batches_done = 0                # training batches finished in this epoch
    _loud_logger: Callable[[Any], Any]     # the `logger` outside of `no_logging()`

    # -- what callbacks may replace ---------------------------------------------------------------------------------------------
    #: Makes the context manager around forward pass and loss of every batch: what callbacks with a method of this name ask for.
    forward_context: Callable[[], AbstractContextManager] = nullcontext
    #: The backward pass, `backward(loss)`; a callback with a method `loop_backward` (mixed precision) takes its place.
    backward: Callable[[torch.Tensor], Any]
    _step: Callable[[torch.optim.Optimizer], Any]          # a callback with a method `loop_step` takes its place
    _forward: Callable[..., Any] | None                    # a callback with a method `loop_forward` takes the place of the model
    _handlers: dict[bool, dict[str, list]] = {training: collect_handlers([], training) for training in (True, False)}

    # -- the loop ---------------------------------------------------------------------------------------------------------------
    def _fit(self, n_epoch, start_epoch=0):
        self.n_epoch, self.start_epoch, self.epoch, self.start_iter, self._batches_done = n_epoch, start_epoch, start_epoch, 0, 0
        try:
            self.running = True
            give_back_loops(self.dls)
            clear_grads(self.opt)         # an interrupted fit may have left gradients behind
            with self.within_pass():
                self._phase("before_fit", self._all_epochs, CancelFitException, "after_cancel_fit", "after_fit")
            self.fits_ended += not self.dry_run
        finally:
            self.__dict__["running"] = False                # past `__setattr__`, where Ctrl-C could come first
            self._switch(self.cbs, True)

    def _all_epochs(self):
        for self.epoch in range(self.start_epoch, self.n_epoch):
            self._phase("before_epoch", self._one_epoch, CancelEpochException, "after_cancel_epoch", "after_epoch")

    def _one_epoch(self):
        self._batches_done = self.start_iter if self.epoch == self.start_epoch else 0
        self._enter(self.dls.train, training=True, by_fit=True)
        self._phase("before_train", self._all_batches, CancelTrainException, "after_cancel_train", "after_train")
        if len(self.dls) > 1:
            self._validate(self.dls.valid, by_fit=True)

    def _validate(self, dl, by_fit):
        self._enter(dl, training=False, by_fit=by_fit)
        with torch.no_grad():
            self._phase("before_validate", self._all_batches, CancelValidException, "after_cancel_validate", "after_validate")

    def _phase(self, before: str, body: Callable[[], None], cancel: type[CancelException], after_cancel: str, after: str) -> None:
        try:
            self(before)
            body()
        except cancel:
            self(after_cancel)
        self(after)

    # Every step counts here. The state is read and written directly, past the look-up of callbacks by name and the guard against
    # misspelt names, and an event that no callback overrides is not even called: on a step of a quarter of a millisecond that is worth 2%.

    def _all_batches(self):
        state, handlers = vars(self), self._handlers[self.training]
        first = self._batches_done if self.training else 0
        state["iter"] = first - 1
        for state["iter"], batch in enumerate(self._on_device(self.dl), first):
            if type(batch) is tuple:                                  # the usual case of `split_batch`
                n_inp = state["_n_inp"] or len(batch) - 1 or 1
                state["xb"], state["kw"], state["yb"] = batch[:n_inp], {}, batch[n_inp:]
            else:
                state["xb"], state["kw"], state["yb"] = split_batch(batch, state["_n_inp"])
            state["pred"] = state["loss"] = None
            try:
                if handlers["before_batch"]:
                    self("before_batch")
                self._one_batch(state, handlers)
            except CancelBatchException:
                self("after_cancel_batch")
            if state["training"]:
                state["_batches_done"] += 1
            if handlers["after_batch"]:
                run_handlers(handlers["after_batch"], "after_batch")
        if state["iter"] + 1 < state["n_iter"]:
            refuse_early_end(self.dl, state["iter"] + 1)

    def _one_batch(self, state, handlers):
        with state["forward_context"]():
            try:
                state["pred"] = (state["_forward"] or state["model"])(*state["xb"], **state["kw"])
            except Exception as e:
                note_layer(e, state["model"], state["xb"])
                raise
            if handlers["after_pred"]:
                self("after_pred")
            if state["yb"]:
                try:
                    state["loss"] = state["loss_func"](state["pred"], *state["yb"])
                except Exception as e:
                    refuse_several_outputs(state["loss_func"], state["pred"], e)
                    raise
                if handlers["after_loss"]:
                    self("after_loss")
        if not state["training"]:
            return
        try:
            if handlers["before_backward"]:
                self("before_backward")
            state["backward"](state["loss"])
        except CancelBackwardException:
            self("after_cancel_backward")
        if handlers["after_backward"]:
            self("after_backward")
        self.optimizer_step()

    def optimizer_step(self) -> None:
        "Make the optimizer's step with its events, then drop the gradients: the end of a training batch."
        state, handlers = vars(self), self._handlers[True]
        try:
            if handlers["before_step"]:
                self("before_step")
            state["_step"](state["opt"])
        except CancelStepException:
            self("after_cancel_step")
        if handlers["after_step"]:
            self("after_step")
        clear_grads(state["opt"])

    # -- around the loop --------------------------------------------------------------------------------------------------------
    def _enter(self, dl, training, by_fit):
        "Make `dl` the current loader and put the model in the mode that goes with it."
        try:
            self.n_iter = len(dl)
        except TypeError as e:
            raise TypeError(f"{type(dl).__name__} has no length, and schedules need to know how many batches an epoch has: give it, or "
                            "its dataset, a `__len__`") from e
        self.dl, self.training, self._by_fit, self._n_inp = dl, training, by_fit, getattr(dl, "n_inp", None)
        self._set_mode()

    def _set_mode(self):
        self.model.train(self.training)
        if self.training and self.freezer.frozen_to:
            self.freezer.hold_norm_statistics()

    def _on_device(self, dl):
        "`dl`, its batches moved to the device of the data unless the loader does that itself."
        if self._by_fit and hasattr(dl, "for_fit"):
            return dl.for_fit()
        if hasattr(dl, "after_batch") or self.dls.device.type == "cpu":
            return dl
        return (to_device(batch, self.dls.device, non_blocking=True) for batch in dl)

    @contextmanager
    def within_pass(self) -> Iterator[None]:
        """Afterwards, whatever happened, run `cleanup_fit` and forget the batch. Inside another pass (a callback that calls `get_preds`)
        restore the state of that pass instead, and what a recurrent model kept from the batch before."""
        nested = self.dl is not None or (self.running and self._in_pass)
        hidden = hidden_state(self.model) if nested else None
        outer = {name: getattr(self, name) for name in _PASS_STATE} if nested else _AT_REST
        try:
            self._in_pass = True
            yield
        except BaseException as e:
            with undisturbed():
                self._end_workers([self.dl] if nested else [self.dl, *self.dls], e)
            raise
        finally:
            with undisturbed():
                try:
                    if not nested:
                        run_all_handlers(self._handlers[self.training]["cleanup_fit"], "cleanup_fit")
                finally:
                    self._in_pass = nested
                    vars(self).update(outer)
                    self._set_mode()
                    if hidden is not None:
                        restore_hidden_state(self.model, hidden)

    def _end_workers(self, loaders, error):
        "End the workers of `loaders`: Ctrl-C reaches them too, and others may be dead or in the middle of a batch."
        for dl in loaders:
            if hasattr(dl, "end_workers"):
                dl.end_workers(error)
            else:
                forget_workers(dl)

    def validation_pass(self, dl: Iterable, cbs: CallbackLike | None = None) -> None:
        """Run the model over `dl` in evaluation mode, without gradients and with only the validation events.

        Args:
            dl: the batches.
            cbs: callbacks for this pass alone, which collect what it gives.
        """
        with self.pass_lock.for_pass():
            self.to_device()
            self._join_ranks()
            outer_bars = ProgressCallback if self.running else None        # called from a callback: those on the screen belong to the fit
            with self._with_cbs(outer_bars, cbs), self.within_pass():
                self._validate(dl, by_fit=False)

    def _join_ranks(self):
        "Work with the other ranks also if this learner was made before there were any, or by this rank for itself."
        if ranks.initialized() and ranks.world_size() > 1 and not any(isinstance(cb, DistributedTrainer) for cb in self.cbs):
            self.add_cb(DistributedTrainer)

    def to_device(self: Self) -> Self:
        "Move the model, the loss (it may hold class weights) and the optimizer's state to where the batches are. Returns the learner."
        device = self.dls.device
        for module in (self.model, self.loss_func):
            if isinstance(module, torch.nn.Module):
                module.to(device)
        if self.opt is not None and any(t.device != p.device for p, state in self.opt.state.items() for name, t in state.items()
                                        if isinstance(t, torch.Tensor) and name != "step"):
            self.opt.load_state_dict(self.opt.state_dict())     # puts the state where the parameters are now
        return self

    def to_detach(self, x: Batch, cpu: bool = True) -> Batch:
        """Detach every tensor of a batch from its graph, as a metric or callback does before it keeps one.

        Args:
            x: a tensor, or nested tuples, lists or dicts of tensors.
            cpu: also move it to the CPU.
        """
        return to_detach(x, cpu)

    def show_training_loop(self) -> None:
        "Print the loop with the callbacks that override each event."
        training = True
        for line in __doc__.split("in which they are called:\n")[1].split("\nA `Cancel")[0].strip("\n").splitlines():
            event = line.strip()
            training = training and event != "before_validate"
            cbs = self.ordered_cbs(event, training) if event in EVENTS else []
            print(line + (f"    <- {', '.join(map(repr, cbs))}" if cbs else ""))

    # -- what is derived from the state -----------------------------------------------------------------------------------------
    @property
    def metrics(self) -> list[Metric]:
        "The metrics of the epoch table; assign functions of (pred, target), `Metric`s or names."
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = [as_metric(m) for m in listed(metrics)]

    @property
    def x(self) -> Any:
        "The input of this batch: alone if there is one, else the tuple."
        return self.xb[0] if len(self.xb) == 1 else self.xb or self.kw

    @property
    def y(self) -> Any:
        "The target of this batch: alone if there is one, else the tuple."
        return self.yb[0] if len(self.yb) == 1 else self.yb

    def forward(self) -> Any:
        "The output of the model for the batch in progress, as the loop gets it."
        return (self._forward or self.model)(*self.xb, **self.kw)

    def items_in_batch(self) -> int:
        "Items of the batch in progress; where it is divided among ranks, those of all of them."
        return find_bs((self.xb, self.kw)) if self.share is None else self.share.total

    def local_weight(self) -> Any:
        "How much what this rank has of the batch counts in a mean over several batches, see `batch_weight`."
        weight = batch_weight(self.loss_func, self.yb, find_bs((self.xb, self.kw)))
        if self.share is not None and isinstance(weight, torch.Tensor):         # this part may have no target that counts
            weight = weight * (self.yb[0] != ignore_index_of(self.loss_func)).any()
        return weight

    @property
    def train_iter(self) -> int:
        "Number of training batches finished in this fit."
        return (self.epoch - self.start_epoch) * len(self.dls.train) + self._batches_done

    @property
    def pct_train(self) -> float:
        "Progress of this fit, from 0 before its first batch to 1."
        return (self.epoch + min(1.0, self._batches_done / len(self.dls.train))) / self.n_epoch

    @property
    def loss_grad(self) -> torch.Tensor:
        "fastai's name for the loss that is propagated back: the same as `loss`."
        return self.loss

    @loss_grad.setter
    def loss_grad(self, value: torch.Tensor) -> None:
        self.loss = value

    @property
    def smooth_loss(self) -> float | None:
        "The smoothed training loss (reads it from the device: not for every batch)."
        return None if self.recorder is None else self.recorder.smooth_loss

    @property
    def final_record(self) -> list | None:
        "`[train_loss, valid_loss, *metrics]` of the last epoch of the latest fit; None before the first."
        return None if self.recorder is None or not self.recorder.values else self.recorder.values[-1]

    # -- callbacks --------------------------------------------------------------------------------------------------------------
    def __call__(self, event: str) -> None:
        "Call every callback that overrides `event`."
        if handlers := self._handlers[self.training][event]:
            run_handlers(handlers, event)

    def collect_handlers(self) -> None:
        "Collect again what the callbacks override and replace: for when callbacks were added, removed or switched on or off."
        self.recorder = next((c for c in self.cbs if isinstance(c, Recorder)), None)
        contexts = [cb.forward_context for cb in self.cbs if hasattr(type(cb), "forward_context")]
        self.forward_context = contexts[0] if len(contexts) == 1 else partial(_nested, contexts) if contexts else nullcontext
        self.backward = self._replaced("loop_backward", torch.Tensor.backward)
        self._step = self._replaced("loop_step", methodcaller("step"))
        self._forward = self._replaced("loop_forward", None)
        if "_handlers" not in vars(self):
            self._handlers = {True: {}, False: {}}
        for training, table in self._handlers.items():        # updated in place: a running loop holds on to them
            table.update(collect_handlers(self.cbs, training))

    def _replaced(self, name, default):
        "The method `name` of the callback that has one; else `default`."
        own = [cb for cb in self.cbs if hasattr(type(cb), name)]
        if len(own) > 1:
            raise ValueError(f"{' and '.join(type(cb).__name__ for cb in own)} each have a method {name} that replaces the loop's own: "
                             "keep one of them")
        return getattr(own[0], name) if own else default

    def add_cb(self: Self, cb: CallbackLike) -> Self:
        """Attach one callback. Returns the learner.

        Args:
            cb: a `Callback`, a class of them, or a scheduler of torch.
        """
        return self.add_cbs([cb])

    def add_cbs(self: Self, cbs: CallbackLike | None) -> Self:
        "Attach several callbacks. Returns the learner."
        with self.pass_lock:
            self._attach_only([*self.cbs, *map(as_callback, listed(cbs))])
        return self

    def remove_cb(self: Self, cb: CallbackLike) -> Self:
        "Detach a callback, or every callback of a class. Returns the learner."
        return self.remove_cbs([cb])

    def remove_cbs(self: Self, cbs: CallbackLike | None) -> Self:
        "Detach several callbacks, or all callbacks of these classes. Returns the learner."
        with self.pass_lock:
            self._attach_only(self._without(cbs))
        return self

    def _attach_only(self, cbs):
        "Attach those of the callbacks `cbs` that are not attached yet, and detach all others; or refuse, and change nothing."
        own, seen = set(map(id, self.cbs)), set()
        for cb in cbs:
            if not isinstance(cb, Callback):
                raise TypeError(f"a callback must be a minifast Callback; received {describe(cb)}. To run a plain function write "
                                "`Callback(after_batch=f)`")
            if id(cb) in seen or (cb.learn is not None and id(cb) not in own):
                owner = "another learner" if cb.learn not in (None, self) else "this learner"
                raise ValueError(f"{cb!r} is already attached to {owner}: give each learner, and each fit, a callback of its own")
            seen.add(id(cb))
        cbs = sort_callbacks(cbs)
        for cb in self.cbs:
            cb.learn = None
        for cb in cbs:
            cb.learn = self
        self.cbs = cbs
        self.collect_handlers()

    def _without(self, cbs):
        "The callbacks but for `cbs` and those of the classes `cbs`."
        cbs = listed(cbs)
        classes, ids = tuple(c for c in cbs if isinstance(c, type)), set(map(id, cbs))
        return [cb for cb in self.cbs if not isinstance(cb, classes) and id(cb) not in ids]

    @contextmanager
    def _with_cbs(self: Self, remove: CallbackLike | None, add: CallbackLike | None) -> Iterator[Self]:
        "Within the block, the callbacks `remove`, or all of these classes, are detached and `add` are attached."
        before, added, removed = None, [as_callback(cb) for cb in listed(add)], set()
        try:
            with self.pass_lock.for_pass():                 # between the passes of other threads, not in the middle of one
                before, kept = self.cbs, self._without(remove)
                removed = set(map(id, before)).difference(map(id, kept))
                self._attach_only([*kept, *added])
            yield self
        finally:
            with undisturbed(), self.pass_lock:
                if before is not None:
                    now = self._without(added)
                    present = removed.union(map(id, now))
                    in_place = [cb for cb in before if id(cb) in present]
                    self._attach_only(list({id(cb): cb for cb in [*in_place, *now]}.values()))

    def added_cbs(self: Self, cbs: CallbackLike | None) -> AbstractContextManager[Self]:
        "Within the block these callbacks are attached too."
        return self._with_cbs(None, cbs)

    def removed_cbs(self: Self, cbs: CallbackLike | None) -> AbstractContextManager[Self]:
        "Within the block these callbacks, or all of these classes, are detached."
        return self._with_cbs(cbs, None)

    @contextmanager
    def paused_cbs(self: Self, cls: type[Callback]) -> Iterator[Self]:
        "Within the block the callbacks of this class stay attached, but take no part."
        paused = [cb for cb in self.cbs if isinstance(cb, cls) and cb.run]
        try:
            self._switch(paused, False)
            yield self
        finally:
            self._switch(paused, True)

    def _switch(self, cbs, on):
        for cb in cbs:
            cb.run = on

    def no_bar(self) -> AbstractContextManager:
        "Within the block no progress is shown but the rows of the epoch table."
        return self.removed_cbs(ProgressCallback)

    @contextmanager
    def no_logging(self: Self) -> Iterator[Self]:
        "Within the block the epoch table is not shown."
        inside = 0
        try:
            with self.pass_lock.for_pass():
                if not self.logging_off:
                    self._loud_logger = self.logger
                inside, self.logger = 1, _no_log
                self.logging_off += 1
            yield self
        finally:                                            # the blocks of several threads end in any order
            with undisturbed(), self.pass_lock:
                self.logging_off -= inside
                if inside and not self.logging_off:
                    self.logger = self._loud_logger

    @contextmanager
    def temporary_recorder(self: Self) -> Iterator[Self]:
        "Within the block a new recorder is used, so that the history does not change."
        own = [c for c in self.cbs if isinstance(c, Recorder)]
        metrics = copy.deepcopy(self._metrics) if self.running else self._metrics         # the outer pass is in the middle of its metrics
        with self._with_cbs(own, Recorder() if own else None), self._temporarily(_metrics=metrics):
            yield self

    @contextmanager
    def _temporarily(self: Self, **state: Any) -> Iterator[Self]:
        "Within the block the learner has this state, afterwards again what it had."
        before = {name: getattr(self, name) for name in state}
        vars(self).update(state)
        try:
            yield self
        finally:
            with undisturbed():
                vars(self).update(before)

    def ordered_cbs(self, event: str, training: bool = True) -> list[Callback]:
        "The callbacks that override `event` (a batch event: of training, or of validation), in the order in which they run."
        return [h.__self__ for h in collect_handlers(self.cbs, training)[event] if hasattr(h, "__self__")]

    # -- attributes -------------------------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:                 # else a type checker would take every name for an attribute
        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_"):
                for cb in vars(self).get("cbs", ()):
                    if cb.name == name:
                        return cb
            parts = {part: vars(self)[key] for part, key in (("model", "model"), ("dls", "_dls")) if key in vars(self)}
            raise NoSuchAttribute(lambda: f"a {type(self).__name__} has no attribute '{name}'"
                                          f"{advice_for(name, parts) or did_you_mean(name, declared(type(self)))}")

        def __setattr__(self, name: str, value: Any) -> None:
            if name in OF_A_BATCH:
                check_of_a_batch(name, value)
            elif name not in declared(type(self)) and not name.startswith("_"):
                raise unknown_attribute(type(self), name)
            object.__setattr__(self, name, value)


def print_row(row: Any) -> None:
    "The logger of a learner: on rank 0 it prints."
    if ranks.is_main():
        print(row)


def _no_log(row):
    "The logger within `no_logging()`."


@contextmanager
def _nested(contexts):
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        yield
