"""The events of training, and `Callback`, the base class of everything that reacts to them.

The methods of `Callback` are the only list of events in minifast. `EVENTS`, the diagram of the loop in `learner/loop.py` and
`Learner.show_training_loop` are all checked against it.
"""
import inspect
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from operator import attrgetter, methodcaller
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from ..core import describe, did_you_mean, listing
from ..core.keywords import KnowsKeywords
from ..core.messages import NoSuchAttribute
from ..optim.hypers import HyperOptimizer
from .foreign_events import instead_of

if TYPE_CHECKING:
    from ..data.loaders import DataLoaders
    from ..learner.learner import Learner
    from .recorder import Recorder
else:                   # of rooms above this one: for annotations, here and in the other callbacks, which quote the names
    DataLoaders = Learner = Any

T = TypeVar("T")


class CancelException(Exception):
    "Base of the exceptions with which a callback steers the loop."


class CancelFitException(CancelException):
    "Stop training: go to `after_cancel_fit`, then `after_fit`."


class CancelEpochException(CancelException):
    "Skip the rest of this epoch: go to `after_cancel_epoch`, then `after_epoch`."


class CancelTrainException(CancelException):
    "Skip the rest of the training half of this epoch: go to `after_cancel_train`, then `after_train`."


class CancelValidException(CancelException):
    "Skip the rest of the validation half of this epoch: go to `after_cancel_validate`, then `after_validate`."


class CancelBatchException(CancelException):
    "Skip the rest of this batch, gradients kept: go to `after_cancel_batch`, then `after_batch`."


class CancelBackwardException(CancelException):
    "Skip the backward pass: go to `after_cancel_backward`, then `after_backward`."


class CancelStepException(CancelException):
    "Skip the optimizer step and drop these gradients: go to `after_cancel_step`, then `after_step`."


class Order(IntEnum):
    """When, within one event, a callback runs: by its role. Ties run in the order in which the callbacks were added.

    The numbers are on fastai's scale, so a callback that says `order = 60` still runs where it expects to.
    """
    SETUP = -10     #: checks, device, modes
    BATCH = 0       #: changes inputs and targets (mixup, batch transforms)
    GRADS = 10      #: changes gradients (accumulate, unscale, clip)
    SCHEDULE = 20   #: changes hyper-parameters
    RECORD = 50     #: reads losses and metrics
    DECIDE = 60     #: reads the record: save the best, stop early
    DISPLAY = 70    #: reads everything, changes nothing


#: More of the learner's attributes that can be read as `self.<name>`, unless the callback has its own of that name.
ALSO_READ = ("loss_func", "metrics", "lr", "path", "model_dir", "cbs", "opt_func", "wd", "moms", "splitter", "logger", "arch", "kw",
             "validate", "get_preds", "save", "load", "freeze", "freeze_to", "unfreeze", "to_detach")


class State(Generic[T]):
    "An attribute of the learner that a callback reads as `self.<name>`; assigning it raises and says what to write."

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, cb: Any, owner: type | None = None) -> T:
        value: Any = self if cb is None else getattr(cb.learn, self.name)    # no learner: AttributeError, so `__getattr__` takes over
        return value

    def __set__(self, cb: "Callback", value: Any) -> None:
        raise AttributeError(f"{type(cb).__name__} sets `self.{self.name}`, which would not reach the learner: "
                             f"write `self.learn.{self.name} = ...`")


class Callback(KnowsKeywords):
    """Base of everything that takes part in training: override any of the events below.

    Within an event, read training state as `self.<name>` and change it with `self.learn.<name> = ...`. For a plain function no class is
    needed: `Callback(after_batch=f)`.

    Args:
        **events: functions by the name of their event, called without arguments or with the callback.

    Attributes:
        learn: the learner that this callback is attached to; None before. A learner holds its callbacks, and no callback its learner: that
            goes, with its model and the workers of its loaders, when nobody else holds it any more.
        order: the role (`Order`) that decides which callback runs first.
        run_before, run_after: callback classes, or their names, to run before or after, whatever their order.
        run_train, run_valid: whether the batch events are called in training and in validation.
        runs_last: names of events in which it runs after all other callbacks, whatever their order.
        only_watches: whether training is the same without it, as of a callback that shows or records.
        shown: names of the attributes that `repr` shows.
    """

    learn: "Learner" = None
    order: int = Order.BATCH
    run_before: tuple | list | type | str = ()
    run_after: tuple | list | type | str = ()
    run_train: bool = True
    run_valid: bool = True
    runs_last: tuple[str, ...] = ()
    only_watches: bool = False
    shown: tuple[str, ...] = ()
    elsewhere: dict[str, str] = {}                   #: names by which other libraries have what is here, and what to write
    _learner: Callable[[], Any] = staticmethod(lambda: None)        # a weak reference
    _run = True
    _overridden: frozenset[str] = frozenset()        # the events that the class overrides

    model = State[torch.nn.Module]()
    dls: "State[DataLoaders]" = State()
    opt = State[HyperOptimizer]()
    xb = State[tuple]()
    yb = State[tuple]()
    x = State[Any]()
    y = State[Any]()
    pred = State[Any]()
    loss = State[torch.Tensor]()
    loss_grad = State[torch.Tensor]()
    smooth_loss: "State[float | None]" = State()
    training = State[bool]()
    epoch = State[int]()
    n_epoch = State[int]()
    iter = State[int]()
    n_iter = State[int]()
    train_iter = State[int]()
    pct_train = State[float]()
    dl = State[Any]()
    recorder: "State[Recorder | None]" = State()

    def after_create(self) -> None:
        "The learner has been put together; this callback is attached."

    def before_fit(self) -> None:
        "Model, optimizer and data are ready; no batch has been drawn. Hyper-parameters may be changed."

    def before_epoch(self) -> None:
        "`learn.epoch` is set."

    def before_train(self) -> None:
        "The model is in training mode; `learn.dl` is the training loader."

    def before_batch(self) -> None:
        "`learn.xb` and `learn.yb` are on the device: the last chance to change them."

    def after_pred(self) -> None:
        "`learn.pred` is set; it may be replaced."

    def after_loss(self) -> None:
        "`learn.loss` is set, a scalar with its graph; in training it may be replaced or added to."

    def before_backward(self) -> None:
        "Training only: about to call `learn.loss.backward()`."

    def after_cancel_backward(self) -> None:
        "A `CancelBackwardException` skipped the backward pass."

    def after_backward(self) -> None:
        "Gradients are in `.grad`: inspect or clip them here."

    def before_step(self) -> None:
        "About to call `learn.opt.step()`."

    def after_cancel_step(self) -> None:
        "A `CancelStepException` skipped the optimizer step."

    def after_step(self) -> None:
        "Parameters have moved; gradients are not cleared yet."

    def after_cancel_batch(self) -> None:
        "A `CancelBatchException` ended the batch."

    def after_batch(self) -> None:
        "End of a training or validation batch."

    def after_cancel_train(self) -> None:
        "A `CancelTrainException` ended the training half."

    def after_train(self) -> None:
        "End of the training half of the epoch."

    def before_validate(self) -> None:
        "The model is in eval mode, gradients are off; `learn.dl` is the validation loader."

    def after_cancel_validate(self) -> None:
        "A `CancelValidException` ended the validation half."

    def after_validate(self) -> None:
        "End of the validation half of the epoch."

    def after_cancel_epoch(self) -> None:
        "A `CancelEpochException` ended the epoch."

    def after_epoch(self) -> None:
        "End of the epoch; from `order = 60` on, the recorder has its losses and metrics."

    def after_cancel_fit(self) -> None:
        "A `CancelFitException` ended training."

    def after_fit(self) -> None:
        "Training ended normally or was cancelled."

    def cleanup_fit(self) -> None:
        "Always runs after a fit, `validate` or `get_preds`, also after an error or Ctrl-C: release what was taken."

    def __init__(self, **events: Callable) -> None:
        for name, function in events.items():
            self._refuse_unknown(name, name, function)
            setattr(self, name, self._listener(name, function))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_learner": self.learn}               # a copy of a learner has copies of its callbacks

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        _attach(self, state["_learner"])

    def _listener(self, event: str, function: Callable) -> "_Listener":
        "A function that takes nothing, or the callback, as a method."
        if not callable(function):
            raise TypeError(f"Callback({event}=...) takes a function; received {describe(function)}")
        try:
            signature = inspect.signature(function)
        except ValueError:                          # some built-in functions have none
            return _Listener(lambda _: function(), self)
        for arguments in ((), (self,)):
            with suppress(TypeError):
                signature.bind(*arguments)
                return _Listener(function if arguments else lambda _: function(), self)
        raise TypeError(f"Callback({event}={describe(function)}): the function is called without arguments, or with the callback (read "
                        f"state as `cb.learn`); it asks for {signature}")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in vars(cls).items():
            if callable(value) and (name.startswith(("before_", "after_", "cleanup_")) or instead_of(name, value)):
                cls._refuse_unknown(name, f"{cls.__name__}.{name}", value)
        cls._overridden = frozenset(event for event in EVENTS if getattr(cls, event) is not getattr(Callback, event))

    @staticmethod
    def _refuse_unknown(event: str, written: str, method: Callable) -> None:
        if event in EVENTS:
            return
        if ours := instead_of(event, method):
            raise TypeError(f"{written} is an event of another library, or of an older fastai, and is never called here: write {ours}")
        hint = did_you_mean(event, EVENTS) or f". Events: {', '.join(EVENTS)}"
        raise TypeError(f"{written} is not a training event{hint}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):                   # asked by Python and libraries, which take no advice
            raise AttributeError(name)
        if name in STATE or name in ALSO_READ:
            if self.learn is not None:
                return getattr(self.learn, name)
            if "_learner" in vars(self):
                raise AttributeError(f"{type(self).__name__} has no `{name}` any more: its learner is gone, because nothing holds it. Keep "
                                     "it in a variable, `learn = Learner(...)`")
            raise AttributeError(f"{type(self).__name__} is not attached to a learner, so it has no `{name}` yet: use `learn.add_cb(...)` "
                                 "or `cbs=[...]`")
        who = type(self).__name__
        if name in self.elsewhere:
            raise AttributeError(f"{who} has no `{name}`: {self.elsewhere[name]}")
        if not name.startswith("_") and self.learn is not None and hasattr(self.learn, name):
            raise AttributeError(f"{who} has no `{name}`; training state lives on the learner: write `self.learn.{name}`")
        raise NoSuchAttribute(lambda: f"{who} has no attribute '{name}'{did_you_mean(name, [*STATE, *ALSO_READ, *dir(self)])}")

    def overridden_events(self) -> frozenset[str]:
        "The events that this callback overrides: its class, or a plain function given to it."
        return self._overridden.union(vars(self).keys() & EVENTS)

    @property
    def run(self) -> bool:
        "Whether this callback takes part. False switches it off until the end of the fit."
        return self._run

    @run.setter
    def run(self, value: bool) -> None:
        changed = bool(value) != self._run
        self._run = bool(value)
        if changed and self.learn is not None:
            self.learn.collect_handlers()

    @property
    def name(self) -> str:
        "The attribute of the learner that holds this callback: its class name in snake case, without 'Callback'."
        return re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z][a-z])", r"_\1\2", re.sub("Callback$", "", type(self).__name__)
                      or "Callback").lower()

    def __repr__(self) -> str:
        shown = ", ".join(repr(getattr(self, name)) for name in self.shown)
        return type(self).__name__ + (f"({shown})" if shown else "")


#: Names of the learner's training state that a callback may read as `self.<name>`.
STATE = tuple(n for n, v in vars(Callback).items() if isinstance(v, State))
EVENTS = tuple(n for n in vars(Callback) if n.startswith(("before_", "after_", "cleanup_")))
BATCH_EVENTS = EVENTS[EVENTS.index("before_batch"):EVENTS.index("after_batch") + 1]


#: The events by name: `event.after_batch == "after_batch"`.
event = SimpleNamespace(**{name: name for name in EVENTS})


def _attach(cb: Callback, learn: "Learner | None") -> None:
    vars(cb).pop("_learner", None)
    if learn is not None:
        cb._learner = weakref.ref(learn)


# It is read often in each step: without a Python function in between. Editors go by the annotation in the class.
setattr(Callback, "learn", property(methodcaller("_learner"), _attach, doc="See `Attributes` of `Callback`."))  # noqa: B010


class _Listener:
    "A function as a method of a callback: unlike a bound method it does not hold the callback, which holds it."

    def __init__(self, function: Callable[[Callback], Any], cb: Callback) -> None:
        self.function, self._cb = function, weakref.ref(cb)

    def __reduce__(self) -> tuple:
        return _Listener, (self.function, self._cb())

    @property
    def __self__(self) -> Callback | None:
        "The callback."
        return self._cb()

    def __call__(self) -> None:
        self.function(self._cb())


class TrainEvalCallback(Callback):
    "Accepted for old code: the loop itself puts the model into training and evaluation mode, and counts."


class TrainingCallback(Callback):
    "A callback whose batch events are those of training alone."

    run_valid = False


def sort_callbacks(cbs: Iterable[Callback]) -> list[Callback]:
    "Callbacks in the order in which they run: by `order`, then `run_before` and `run_after`, then as they were added."
    waiting, done = sorted(cbs, key=attrgetter("order")), []
    if not any(cb.run_before or cb.run_after for cb in waiting):
        return waiting
    while waiting:
        ready = next((cb for cb in waiting if not any(
            _names(other.run_before, cb) or _names(cb.run_after, other) for other in waiting if other is not cb)), None)
        if ready is None:
            raise ValueError(f"the callbacks {listing(type(cb).__name__ for cb in waiting)} each ask to run before the other: "
                             "change their `run_before`/`run_after`")
        waiting.remove(ready)
        done.append(ready)
    return done


def _names(wanted: Any, cb: Callback) -> bool:
    wanted = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
    return any(w == type(cb).__name__ if isinstance(w, str) else isinstance(cb, w) for w in wanted)


def collect_handlers(cbs: Iterable[Callback], training: bool) -> dict[str, list[Callable[[], None]]]:
    """The bound methods to call for each event: `{event: [method, ...]}`, only those that a callback really overrides.

    Collected when a fit starts or its callbacks change, so that an event without handlers costs nothing in the loop.

    Args:
        cbs: callbacks in the order in which they run.
        training: whether the batch events are those of training, or of validation.
    """
    handlers: dict[str, list[Callable[[], None]]] = {event: [] for event in EVENTS}
    last: list[tuple[str, Callable[[], None]]] = []
    for cb in cbs:
        if cb.run:
            events = cb.overridden_events()
            for event in events if (cb.run_train if training else cb.run_valid) else events.difference(BATCH_EVENTS):
                if event in cb.runs_last:
                    last.append((event, getattr(cb, event)))
                else:
                    handlers[event].append(getattr(cb, event))
    for event, handler in last:
        handlers[event].append(handler)
    return handlers


def states_of(cbs: Sequence[Callback]) -> dict[str, dict]:
    "The states of the callbacks that have any, by name; several of one name are told apart by their place."
    return {name: cb.state_dict() for name, cb in _named(cbs) if hasattr(type(cb), "state_dict")}


def restore_states(cbs: Sequence[Callback], states: dict[str, dict]) -> None:
    "Give callbacks the states that `states_of` took from callbacks of the same names."
    for name, cb in _named(cbs):
        if hasattr(type(cb), "load_state_dict") and name in states:
            cb.load_state_dict(states[name])


def _named(cbs: Sequence[Callback]) -> Iterator[tuple[str, Any]]:
    return zip(numbered(cb.name for cb in cbs), cbs, strict=True)


def numbered(names: Iterable[str]) -> Iterator[str]:
    "The names; of several equal ones the second is `name#1`, the third `name#2`."
    seen: dict[str, int] = {}
    for name in names:
        n = seen[name] = seen.get(name, -1) + 1
        yield f"{name}#{n}" if n else name
