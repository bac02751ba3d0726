"""`ParamScheduler`: hyper-parameters as functions of training progress. `TorchScheduler`: torch's own schedulers."""
import warnings
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from ..core import describe, did_you_mean
from ..optim import hyper_setter, layer_group_count
from .base import Order, TrainingCallback

#: What may have been meant where a schedule is given by name.
_SCHEDULES = ("SchedCos", "SchedLin", "SchedExp", "SchedPoly", "SchedNo")


class ParamScheduler(TrainingCallback):
    """Before each training batch set every hyper-parameter named in `scheds` to its schedule's value at that moment.

    What it changes is restored after the fit. Source: L. Smith, "A disciplined approach to neural network hyper-parameters", 2018
    (one-cycle).

    Args:
        scheds: `{'lr': f, 'mom': g, ...}`; each is a function of progress, from 0 at the first batch to 1 at the end of training (the
            last batch sees 1 - 1/number of batches), that returns a number or one number per layer group.
    """

    order = Order.SCHEDULE

    def __init__(self, scheds: dict[str, Callable]):
        wrong = {k: v for k, v in scheds.items() if not callable(v)}
        if wrong:
            raise TypeError("a schedule is a function of progress (0 to 1), such as SchedCos(1e-2, 1e-5); received "
                            + ", ".join(f"{k}={describe(v)}{did_you_mean(v, _SCHEDULES)}" for k, v in wrong.items()))
        self.scheds = dict(scheds)

    def before_fit(self) -> None:
        self._setters = [(name, f, hyper_setter(self.learn.opt, name)) for name, f in self.scheds.items()]
        self._groups = layer_group_count(self.learn.opt)

    def before_train(self) -> None:
        self._hps = self.learn.recorder.last.hps if self.learn.recorder is not None else {}

    def before_batch(self) -> None:
        progress = self.learn.pct_train
        for name, schedule, set_value in self._setters:
            value = schedule(progress)
            value = list(value) if hasattr(value, "__len__") else [value] * self._groups
            set_value(value)
            self._hps.setdefault(name, []).append(value[-1])


class TorchScheduler(TrainingCallback):
    """Let a scheduler of `torch.optim.lr_scheduler` set the learning rates; an `LRScheduler` given as a callback becomes one of these.

    ReduceLROnPlateau gets the validation loss. What the scheduler changes is restored after the fit.

    Args:
        scheduler: an `LRScheduler` of `learn.opt` (create the optimizer first: `learn.create_opt()`), or a function of the optimizer
            that makes one, such as `partial(StepLR, step_size=2)`: it then starts from the learning rate of the fit.
        per_batch: step after every batch, rather than after every epoch; None: for OneCycleLR and CyclicLR.
    """

    order = Order.DECIDE

    def __init__(self, scheduler: "LRScheduler | Callable[[Optimizer], LRScheduler]", per_batch: bool | None = None):
        if not callable(scheduler) and not isinstance(scheduler, LRScheduler):
            raise TypeError("TorchScheduler takes one of torch.optim.lr_scheduler, or a function of the optimizer that makes one; "
                            f"received {describe(scheduler)}")
        self.make: Any = scheduler
        self.per_batch = per_batch
        self.scheduler: LRScheduler | None = None

    def before_fit(self) -> None:
        learn = self.learn
        if learn.dry_run:                            # lr_find sets the rates itself
            self.run = False
            return
        others = [cb for cb in learn.cbs if isinstance(cb, ParamScheduler) and "lr" in cb.scheds]
        if others:
            raise ValueError(f"{type(self).__name__} and {others[0]!r} both set the learning rate, and the last one would win: use `fit`, "
                             "which has no schedule of its own, with a torch scheduler")
        given = isinstance(self.make, LRScheduler)
        if given:
            self.scheduler = self.make
            if self.scheduler.optimizer is not learn.opt:
                raise ValueError(f"this {type(self.scheduler).__name__} belongs to another optimizer than the learner's: write "
                                 "`learn.create_opt()`, then make it with `learn.opt`; or give a function of the optimizer")
            for group, lr in zip(learn.opt.param_groups, self.scheduler.get_last_lr(), strict=True):
                group["lr"] = lr
        else:
            for group in learn.opt.param_groups:
                group.pop("initial_lr", None)                # of an earlier scheduler: this one starts from the rate of this fit
            self.scheduler = self.make(learn.opt)
            if not isinstance(self.scheduler, LRScheduler):
                raise TypeError("the function given to TorchScheduler must return a torch scheduler; it returned "
                                f"{describe(self.scheduler)}")
        self._every_batch = isinstance(self.scheduler, (OneCycleLR, CyclicLR)) if self.per_batch is None else self.per_batch
        self._on_plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        if not given and not self._on_plateau:               # take the steps of the epochs that are left out
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")              # that the optimizer has not stepped
                for _ in range(learn.start_epoch * (len(learn.dls.train) if self._every_batch else 1)):
                    self.scheduler.step()

    def state_dict(self) -> dict:
        "The scheduler's state, as far as it consists of numbers, strings and lists of them."
        return {} if self.scheduler is None else {k: v for k, v in self.scheduler.state_dict().items() if _is_plain(v)}

    def load_state_dict(self, state: dict) -> None:
        "Continue from `state_dict`."
        if self.scheduler is not None and state:
            vars(self.scheduler).update(state)

    def after_batch(self) -> None:
        if self._every_batch and self.learn.train_iter < self.learn.n_epoch * len(self.learn.dls.train):
            self.scheduler.step()              # not after the last batch, when there is no next one: OneCycleLR refuses it

    def after_epoch(self) -> None:
        if self._on_plateau:
            loss = self.learn.recorder.history[-1].get("valid_loss")
            if loss is None:
                raise ValueError("torch's ReduceLROnPlateau needs a validation loss, and this epoch has none: give the learner validation "
                                 "data")
            self.scheduler.step(loss)
        elif not self._every_batch:
            self.scheduler.step()


def _is_plain(v: Any) -> bool:
    if isinstance(v, dict):
        return all(isinstance(k, (str, int)) and _is_plain(o) for k, o in v.items())
    return all(map(_is_plain, v)) if isinstance(v, (list, tuple)) else v is None or isinstance(v, (bool, int, float, str))
