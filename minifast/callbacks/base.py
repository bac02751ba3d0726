"""The events of training, and the `Callback` that listens to them.

The methods of `Callback` are the only list of events in minifast. `EVENTS`, the picture of the loop in `learner.py` and
`Learner.show_training_loop` are all checked against it.
"""
import inspect
import re
from contextlib import suppress
from enum import IntEnum
from types import MethodType

from ..core.messages import add_note, describe, did_you_mean


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


#: Names of the learner's training state that a callback may read as `self.<name>`.
STATE = ("model", "dls", "opt", "xb", "yb", "x", "y", "pred", "loss", "loss_grad", "smooth_loss", "training", "epoch", "n_epoch",
         "iter", "n_iter", "train_iter", "pct_train", "dl", "recorder")

#: More of the learner's attributes that can be read as `self.<name>`, unless the callback has its own of that name.
ALSO_READ = ("loss_func", "metrics", "lr", "path", "model_dir", "cbs")


def _state_property(name):
    def read(self):
        return getattr(self.learn, name)            # without a learner: an AttributeError, which goes on to `__getattr__`

    def refuse(self, value):
        raise AttributeError(f"{type(self).__name__} sets `self.{name}`, which would not reach the learner: "
                             f"write `self.learn.{name} = ...`")

    return property(read, refuse, doc=f"`learn.{name}`, read only: write `self.learn.{name} = ...` to change it.")


class Callback:
    """Override any event below; inside it read training state as `self.<name>` and write it as `self.learn.<name> = ...`.

    order: the role (`Order`) that decides who runs first. run_before, run_after: a callback class (or several) to run before or
    after, whatever the order. run: False switches the callback off until the end of the fit. run_train, run_valid: whether the
    batch events are heard in training and in validation. `Callback(before_batch=f)` listens with plain functions.
    """

    order: int = Order.BATCH
    run_before: tuple = ()
    run_after: tuple = ()
    run_train = True
    run_valid = True
    learn = None
    _run = True

    def after_create(self):
        "The learner has been put together; this callback is attached."

    def before_fit(self):
        "Model, optimizer and data are ready; no batch has been drawn. Hyper-parameters may be changed."

    def before_epoch(self):
        "`learn.epoch` is set."

    def before_train(self):
        "The model is in training mode; `learn.dl` is the training loader."

    def before_batch(self):
        "`learn.xb` and `learn.yb` are on the device: the last chance to change them."

    def after_pred(self):
        "`learn.pred` is set; it may be replaced."

    def after_loss(self):
        "`learn.loss` is set, a scalar with its graph; in training it may be replaced or added to."

    def before_backward(self):
        "Training only: about to call `learn.loss.backward()`."

    def after_cancel_backward(self):
        "A `CancelBackwardException` skipped the backward pass."

    def after_backward(self):
        "Gradients are in `.grad`: inspect or clip them here."

    def before_step(self):
        "About to call `learn.opt.step()`."

    def after_cancel_step(self):
        "A `CancelStepException` skipped the optimizer step."

    def after_step(self):
        "Parameters have moved; gradients are not cleared yet."

    def after_cancel_batch(self):
        "A `CancelBatchException` ended the batch."

    def after_batch(self):
        "End of a training or validation batch."

    def after_cancel_train(self):
        "A `CancelTrainException` ended the training half."

    def after_train(self):
        "End of the training half of the epoch."

    def before_validate(self):
        "The model is in eval mode, gradients are off; `learn.dl` is the validation loader."

    def after_cancel_validate(self):
        "A `CancelValidException` ended the validation half."

    def after_validate(self):
        "End of the validation half of the epoch."

    def after_cancel_epoch(self):
        "A `CancelEpochException` ended the epoch."

    def after_epoch(self):
        "End of the epoch; the recorder has the losses and metrics."

    def after_cancel_fit(self):
        "A `CancelFitException` ended training."

    def after_fit(self):
        "Training ended normally or was cancelled."

    def cleanup_fit(self):
        "Always runs after a fit, `validate` or `get_preds`, also after an error or Ctrl-C: release what was taken."

    def __init__(self, **events):
        for name, function in events.items():
            if name not in EVENTS:
                hint = did_you_mean(name, EVENTS) or "."
                raise TypeError(f"{name} is not a training event{hint} Events: {', '.join(EVENTS)}")
            setattr(self, name, self._listener(name, function))

    def _listener(self, event, function):
        "A plain function of nothing, or of the callback, as a bound method."
        if not callable(function):
            raise TypeError(f"Callback({event}=...) takes a function; received {describe(function)}")
        try:
            signature = inspect.signature(function)
        except ValueError:                          # some built-in functions do not say
            signature = None
        for arguments in ((), (self,)):
            with suppress(TypeError):
                if signature is not None:
                    signature.bind(*arguments)
                return MethodType(function if arguments else lambda _: function(), self)
        raise TypeError(f"Callback({event}={describe(function)}): the function is called without arguments, or with the callback (read "
                        f"state as `cb.learn`); it asks for {signature}")

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, value in vars(cls).items():
            if callable(value) and name.startswith(("before_", "after_", "cleanup_")) and name not in EVENTS:
                hint = did_you_mean(name, EVENTS) or f". Events: {', '.join(EVENTS)}"
                raise TypeError(f"{cls.__name__}.{name} is not a training event{hint}")

    def __getattr__(self, name):
        state = name in STATE or name in ALSO_READ
        if state and self.learn is None:
            raise AttributeError(f"{type(self).__name__} is not attached to a learner, so it has no `{name}` yet: use `learn.add_cb(...)` "
                                 "or `cbs=[...]`")
        if state:
            return getattr(self.learn, name)
        if not name.startswith("_") and self.learn is not None and hasattr(self.learn, name):
            raise AttributeError(f"{type(self).__name__} has no `{name}`; training state lives on the learner: write `self.learn.{name}`")
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'{did_you_mean(name, [*STATE, *dir(self)])}")

    @property
    def run(self):
        "False: this callback hears nothing until the end of the fit."
        return self._run

    @run.setter
    def run(self, value):
        changed = bool(value) != self._run
        self._run = bool(value)
        if changed and self.learn is not None:
            self.learn.collect_handlers()

    @property
    def name(self):
        "The attribute of the learner under which this callback is found: its class name in snake case, less 'Callback'."
        return re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z][a-z])", r"_\1\2", re.sub("Callback$", "", type(self).__name__)
                      or "Callback").lower()

    def __repr__(self):
        return type(self).__name__


for _name in STATE:
    setattr(Callback, _name, _state_property(_name))

EVENTS = tuple(n for n in vars(Callback) if n.startswith(("before_", "after_", "cleanup_")))
BATCH_EVENTS = EVENTS[EVENTS.index("before_batch"):EVENTS.index("after_batch") + 1]


def sort_callbacks(cbs):
    "Callbacks in the order in which they run: by `order`, then `run_before`/`run_after`, then as they were added."
    waiting = sorted(cbs, key=lambda cb: cb.order)
    done = []
    while waiting:
        ready = next((cb for cb in waiting if not any(_must_precede(other, cb) for other in waiting if other is not cb)), None)
        if ready is None:
            raise ValueError(f"the callbacks {', '.join(map(repr, waiting))} each ask to run before the other: "
                             "change their `run_before`/`run_after`")
        waiting.remove(ready)
        done.append(ready)
    return done


def _must_precede(first, second):
    return _names(first.run_before, second) or _names(second.run_after, first)


def _names(wanted, cb):
    wanted = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
    return any(w == type(cb).__name__ if isinstance(w, str) else isinstance(cb, w) for w in wanted)


def collect_handlers(cbs, training):
    """The bound methods to call for each event: `{event: [method, ...]}`, holding only what a callback really overrides.

    Made when a fit starts or its callbacks change, so that an event nobody hears costs nothing in the loop.
    """
    cbs = [cb for cb in sort_callbacks(cbs) if cb.run]
    table = {}
    for event in EVENTS:
        hearing = cbs
        if event in BATCH_EVENTS:
            hearing = [cb for cb in cbs if (cb.run_train if training else cb.run_valid)]
        table[event] = [getattr(cb, event) for cb in hearing
                        if event in vars(cb) or getattr(type(cb), event) is not getattr(Callback, event)]
    return table


def run_handlers(handlers, event):
    "Call each handler; an error that is not a `Cancel...Exception` is marked with the callback it came from."
    for handler in handlers:
        try:
            handler()
        except CancelException:
            raise
        except Exception as e:
            owner = type(getattr(handler, "__self__", handler)).__name__
            add_note(e, f"in {owner}.{event}")
            raise


def states_of(cbs):
    "The states of the callbacks that have any, by their names; several of one name are told apart by their place."
    return {name: cb.state_dict() for name, cb in _named(cbs) if hasattr(cb, "state_dict")}


def restore_states(cbs, states):
    "Give the callbacks the states that `states_of` took of callbacks of the same names."
    for name, cb in _named(cbs):
        if hasattr(cb, "load_state_dict") and name in states:
            cb.load_state_dict(states[name])


def _named(cbs):
    seen = {}
    for cb in cbs:
        n = seen[cb.name] = seen.get(cb.name, -1) + 1
        yield f"{cb.name}#{n}" if n else cb.name, cb
