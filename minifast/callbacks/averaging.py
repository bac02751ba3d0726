"""Averages of the weights over training: `EMA`, an exponential moving average, and `SWA`, the mean over the last epochs.

Sources: B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; P. Izmailov et al., "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018.
"""
import weakref
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_swa_multi_avg_fn

from ..core.messages import describe
from ..core.nested import split_batch, to_device
from ..optim.groups import layer_group_count, spread
from ..optim.hypers import get_hyper, hyper_setter
from ..optim.schedules import SchedCos
from .base import Callback, Order


# -- functions of tensors and models ------------------------------------------------------------------------------------------------
@torch.no_grad()
def ema_update(averaged, current, decay):
    "Move each tensor of the list `averaged`, in place, to `decay * averaged + (1 - decay) * current`."
    torch._foreach_lerp_(averaged, current, 1 - decay)


def ema_decay(t, decay):
    "The decay of update `t` (from 0): `min(decay, (1 + t) / (10 + t))`, so that the first weights are soon forgotten."
    return min(decay, (1 + t) / (10 + t))


#: `swa_update(averaged, current, n)`: the mean of `n + 1` sets of weights from the mean of the first `n`, in place; torch's own.
swa_update = get_swa_multi_avg_fn()


def update_norm_statistics(model, batches, norms=None):
    """Compute the running statistics of batch-norm layers anew: their mean over `batches`, an iterable of `(args, kwargs)` of the model.

    norms: which layers (None: all). The model is run as it is, so put it into training mode. Afterwards, also after an error, the
    layers have the momentum they had.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)] if norms is None else list(norms)
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    try:
        for m in norms:
            m.reset_running_stats()
            m.momentum = None                       # a plain mean over all batches
        with torch.no_grad():
            for args, kwargs in batches:
                model(*args, **kwargs)
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum


# -- averaged weights of a model ----------------------------------------------------------------------------------------------------
class WeightAverage:
    """Averages of tensors of a model by name, `values`, and the swapping of the two.

    While they are in the model, its own weights wait in `raw`. Half-precision weights are averaged in float32.
    """

    def __init__(self, buffers=True):
        self.buffers, self.values, self.raw, self.seen = buffers, None, None, None

    def _tensors(self, model):
        return {**dict(model.named_parameters()), **(dict(model.named_buffers()) if self.buffers else {})}

    def start(self, model):
        "Begin with the present weights. Integers and buffers with infinite entries (attention masks) are not averaged."
        chosen = {n: t for n, t in self._tensors(model).items()
                  if t.is_floating_point() and (isinstance(t, torch.nn.Parameter) or bool(torch.isfinite(t).all()))}
        self.values = {n: t.detach().to(torch.float32 if t.dtype.itemsize < 4 else t.dtype, copy=True) for n, t in chosen.items()}

    def current(self, model):
        "The model's own tensors, in the order of `values`."
        tensors = self._tensors(model)
        return [tensors[n] for n in self.values]

    def fits(self, model):
        "Whether the averages are of a model with tensors of these names and shapes."
        tensors = self._tensors(model)
        return all(n in tensors and tensors[n].shape == v.shape for n, v in self.values.items())

    def align(self, model):
        "Bring the averages to where the model is; returns the lists (averaged, current)."
        current = self.current(model)
        self.values = {n: v.to(t.device) for (n, v), t in zip(self.values.items(), current, strict=True)}
        return list(self.values.values()), current

    def load_into(self, model):
        "Copy the averages into the model."
        _copy(self.current(model), self.values.values())

    def swap_in(self, model):
        "Put the averages into the model, and keep its own weights."
        self.raw = {n: t.detach().clone() for n, t in zip(self.values, self.current(model), strict=True)}
        self.load_into(model)

    def swap_out(self, model):
        "Put the model's own weights back, bit by bit."
        if self.raw is not None:                    # kept until all is back, so that an interruption can be repaired
            _copy(self.current(model), self.raw.values())
            self.raw = None

    def state(self, model):
        "As `model.state_dict()` with the averages in it; what is not averaged is as in the model. Copies."
        names = {id(t): n for n, t in self._tensors(model).items()}
        state = model.state_dict(keep_vars=True)
        for name, t in state.items():
            if isinstance(t, torch.Tensor):
                average = self.values.get(names.get(id(t)))
                state[name] = t.detach().clone() if average is None else average.to(t.dtype, copy=True)
        return state

    def copies(self):
        "The averages by name, as copies; None before there are any."
        return None if self.values is None else {n: v.clone() for n, v in self.values.items()}

    def note(self, model):
        "Remember what the model's weights are now."
        self.seen = _fingerprint(self.current(model))

    def changed(self, model):
        "Whether the model's weights are others than when last noted."
        if self.seen is None:
            return False
        now = _fingerprint(self.current(model))
        return self.seen.shape != now.shape or not torch.equal(self.seen, now)


@torch.no_grad()
def _copy(targets, sources):
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


@torch.no_grad()
def _fingerprint(tensors):
    return torch.stack([t.double().norm().cpu() for t in tensors])


class _Averages:
    "What the two callbacks share: access to the averages they hold."

    _average: WeightAverage
    _model = staticmethod(lambda: None)             # a weak reference to the model of the averages

    def _ready(self):
        model = self._model()
        if self._average.values is None or model is None:
            raise RuntimeError(f"{self!r} has no averaged weights yet: they begin with training"
                               + ("" if self._average.values is None else ", and the model they belong to is gone"))
        return model

    def averaged_state(self):
        "The averaged weights as a state dict of the model (copies)."
        return self._average.state(self._ready())

    def apply(self):
        "Put the averaged weights into the model for good; its own are lost."
        model = self._ready()
        self._average.load_into(model)
        self._average.raw = None
        self._average.note(model)

    @contextmanager
    def averaged(self):
        "Within the block the model has the averaged weights: `with learn.ema.averaged(): learn.get_preds()`."
        model = self._ready()
        inside = self._average.raw is not None
        if not inside:
            self._average.swap_in(model)
        try:
            yield self
        finally:
            if not inside:
                self._average.swap_out(model)

    def _refuse_inside(self):
        others = [cb for cb in self.learn.cbs if isinstance(cb, _Averages) and cb is not self]
        if others:
            raise ValueError(f"{self!r} and {others[0]!r} would each leave their own average in the model, and the last one would win: "
                             "keep one of them")
        if self._average.raw is not None:
            raise RuntimeError(f"{self!r}: the model holds averaged weights now, which are not those to train: end the block "
                               "`with ...averaged():` first")


# -- the callbacks ------------------------------------------------------------------------------------------------------------------
class EMA(_Averages, Callback):
    """Keep an exponential moving average of the weights, validate with it, and end with it.

    decay: at each update `average = d * average + (1 - d) * weights`, with d = min(decay, (1 + t) / (10 + t)) at update t. start_epoch:
    the average begins with this epoch. every: steps between updates. validate: validation, and everything up to the end of
    `after_epoch` (saving the best model, say), uses the averaged weights. load_at_end: after a fit that ended, or was stopped by a
    callback, the model holds them; after an error or Ctrl-C it always holds its own.

    Parameters and floating buffers (batch-norm statistics) are averaged. The average goes on from fit to fit, unless the weights were
    changed in between, such as by `learn.load`: then it begins anew. Costs one copy of the weights, and one more in validation.
    """

    order = Order.DECIDE + 5            # after those that save what was validated
    run_valid = False

    def __init__(self, decay=0.999, start_epoch=0, every=1, validate=True, load_at_end=True):
        problems = []
        if not 0 <= decay < 1:
            problems.append(f"decay={decay!r}: from 0 to below 1, such as 0.999")
        if start_epoch < 0:
            problems.append(f"start_epoch={start_epoch!r}: 0 or more")
        if every != int(every) or every < 1:
            problems.append(f"every={every!r}: a whole number of steps, 1 or more")
        if problems:
            raise ValueError("EMA: " + "; ".join(problems))
        self.decay, self.start_epoch, self.every, self.validate, self.load_at_end = decay, start_epoch, every, validate, load_at_end
        self._average, self.updates, self._steps = WeightAverage(), 0, 0
        self._live, self._fitting, self._ended, self._skipped = None, False, False, False

    def before_fit(self) -> None:
        self._fitting = False
        if self.learn.dry_run:
            self.run = False
            return
        self._refuse_inside()
        model, average = self.learn.model, self._average
        if average.values is not None and (not average.fits(model) or average.changed(model)):
            average.values, self.updates = None, 0
        self._model, self._fitting, self._ended, self._skipped = weakref.ref(model), True, False, False

    def before_train(self) -> None:
        model, average = self.learn.model, self._average
        if average.values is None and self.learn.epoch >= self.start_epoch:
            average.start(model)
        self._live = None if average.values is None else average.align(model)
        self._cast = self._live is not None and any(a.dtype is not c.dtype for a, c in zip(*self._live, strict=True))

    def after_cancel_step(self) -> None:
        self._skipped = True

    def after_step(self) -> None:
        own = vars(self)
        if own["_live"] is None or own["_skipped"]:
            own["_skipped"] = False
            return
        own["_steps"] += 1
        if own["_steps"] % own["every"]:
            return
        averaged, current = own["_live"]
        if own["_cast"]:
            current = [c.to(a.dtype) for a, c in zip(averaged, current, strict=True)]
        ema_update(averaged, current, ema_decay(own["updates"], own["decay"]))
        own["updates"] += 1

    def after_train(self) -> None:
        self._live = None
        if self.validate and self._average.values is not None:
            self._average.swap_in(self.learn.model)

    def after_epoch(self) -> None:
        if self.learn.epoch >= self.learn.n_epoch - 1:
            self._end()
        else:
            self._average.swap_out(self.learn.model)

    def after_cancel_fit(self) -> None:
        self._end()

    def _end(self):
        "Leave the model with the weights it is to keep: before `after_fit`, in which another callback may load the best ones."
        model, average = self.learn.model, self._average
        if self._ended or average.values is None:
            return
        if not self.load_at_end:
            average.swap_out(model)
        elif average.raw is None:
            average.load_into(model)
        average.raw, self._ended = None, True
        average.note(model)

    def cleanup_fit(self) -> None:
        if self._fitting:
            self._live, self._fitting = None, False
            if self._average.values is not None and not self._ended:
                self._average.swap_out(self.learn.model)
                self._average.note(self.learn.model)

    def state_dict(self) -> dict:
        "The averages by name (copies), the numbers of updates and steps, and what tells whether the weights were changed since."
        return {"averaged": self._average.copies(), "seen": self._average.seen, "updates": self.updates, "steps": self._steps}

    def load_state_dict(self, state: dict) -> None:
        "Go on from `state_dict`."
        self._average.values, self._average.seen = state["averaged"], state["seen"]
        self.updates, self._steps = state["updates"], state["steps"]

    def __repr__(self) -> str:
        return f"EMA({self.decay})"


class SWA(_Averages, Callback):
    """End with the mean of the weights at the end of the last epochs, those after the share `start` of training.

    After the last epoch the averaged weights are put into the model, and one pass over the training data computes its batch-norm
    statistics anew. Validation during training is on the weights of the moment: call `learn.validate()` afterwards. lr: from `start` on
    the learning rate (a number, list or slice) moves by a cosine to this within `anneal_epochs` epochs and stays there, whatever the
    schedule says; None leaves the schedule alone. After an error or Ctrl-C the model keeps its own weights.
    Source: P. Izmailov et al., 2018.
    """

    order = Order.DECIDE + 5            # after the schedule, and after what loads the best weights
    run_valid = False

    def __init__(self, start=0.75, lr=None, anneal_epochs=1):
        if not isinstance(start, (int, float)) or not 0 <= start < 1:
            raise ValueError(f"SWA(start={describe(start)}): the share of training after which averaging begins, from 0 to below 1")
        if anneal_epochs < 0:
            raise ValueError(f"SWA(anneal_epochs={anneal_epochs}): a number of epochs, 0 or more")
        self.start, self.lr, self.anneal_epochs = start, lr, anneal_epochs
        self._average, self.n_averaged, self._start_lr = WeightAverage(buffers=False), 0, None

    def before_fit(self) -> None:
        learn = self.learn
        if learn.dry_run:
            self.run = False
            return
        self._refuse_inside()
        self._average.values, self.n_averaged = None, 0
        self._model, self._norms, self._start_lr = weakref.ref(learn.model), [], None
        self._first = int(self.start * learn.n_epoch)
        if self.lr is not None:
            self._target, self._set_lr = spread(self.lr, layer_group_count(learn.opt)), hyper_setter(learn.opt, "lr")

    def before_batch(self) -> None:
        learn = self.learn
        if self.lr is None or learn.epoch < self._first:
            return
        if self._start_lr is None:
            self._start_lr = get_hyper(learn.opt, "lr")
        done = learn.start_epoch - self._first + learn.train_iter / learn.n_iter
        progress = min(1.0, done / self.anneal_epochs) if self.anneal_epochs else 1.0
        self._set_lr(SchedCos(self._start_lr, self._target)(progress))

    def after_train(self) -> None:
        learn, average = self.learn, self._average
        if learn.epoch < self._first:
            return
        if average.values is None:
            average.start(learn.model)
        else:
            averaged, current = average.align(learn.model)
            with torch.no_grad():
                swa_update(averaged, [c.to(a.dtype) for a, c in zip(averaged, current, strict=True)], self.n_averaged)
        self.n_averaged += 1
        self._norms = [m for m in learn.model.modules() if isinstance(m, _BatchNorm) and m.training]     # those not frozen

    def after_fit(self) -> None:
        if not self.n_averaged:
            return
        model = self.learn.model
        before = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]
        try:
            self._average.load_into(model)
            self._update_statistics(model)
        except BaseException:
            _copy(*zip(*before, strict=True))
            raise

    def _update_statistics(self, model):
        learn, dl = self.learn, self.learn.dls.train
        if not self._norms:
            return
        modes = {m: m.training for m in model.modules()}
        model.train()
        for m in model.modules():
            if isinstance(m, _BatchNorm) and m not in self._norms:
                m.eval()
        try:
            batches = (split_batch(to_device(b, learn.dls.device), getattr(dl, "n_inp", None))[:2] for b in dl)
            update_norm_statistics(model, batches, self._norms)
        finally:
            for m, mode in modes.items():
                m.training = mode

    def state_dict(self) -> dict:
        "The averages by name, how many sets of weights they are of, and the learning rate at which annealing began."
        return {"averaged": self._average.copies(), "n_averaged": self.n_averaged, "start_lr": self._start_lr}

    def load_state_dict(self, state: dict) -> None:
        "Go on from `state_dict`."
        self._average.values, self.n_averaged, self._start_lr = state["averaged"], state["n_averaged"], state["start_lr"]

    def __repr__(self) -> str:
        return f"SWA({self.start})"
