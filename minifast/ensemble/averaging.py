"""Averages of the predictions of several learners, and an `Ensemble` that is asked like one."""
import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from ..core.messages import describe, plural
from ..learner.inference import decode_batch
from ..metrics.convert import as_metric
from ..nn.loss_traits import kind_of
from .arguments import item_keys, vocab_of

HOWS = ("mean", "geometric", "rank")


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def combine_preds(preds, weights=None, how="mean", kind=None, axis=1):
    """One prediction of several: `preds`, a list of tensors (n,...) of activated predictions of the same items.

    how: 'mean'; 'geometric', the mean of their logarithms, made probabilities again (the mean of the logits where `kind` says that they
    are probabilities of yes), which lets a sure model outweigh unsure ones; 'rank', the mean of the rank of each item among all,
    from 0 to 1, for scores on different scales of which only the order matters (AUC). weights: one per tensor. kind, axis: what the
    predictions mean, as `losses_known.kind_of` says of the loss, and where the classes are; needed for 'geometric'.
    """
    weights = _checked_weights(weights, len(preds))
    average = _Average(how, kind, axis)
    for pred, weight in zip(preds, weights, strict=True):
        average.add(pred, weight)
    return average.value()


def _checked_weights(weights, n):
    weights = [1.0] * n if weights is None else [float(w) for w in weights]
    if len(weights) != n or not all(0 <= w < float("inf") for w in weights) or not sum(weights) > 0:
        raise ValueError(f"weights are one number >= 0 per learner ({n}), not all 0; received {weights}")
    return weights


class _Average:
    "A weighted average that holds one tensor, however many are added."

    def __init__(self, how="mean", kind=None, axis=1):
        if how not in HOWS:
            raise ValueError(f"how={how!r}: predictions are averaged by one of {', '.join(map(repr, HOWS))}")
        if how == "geometric" and kind not in ("class logits", "class log-probabilities", "logits", "probabilities"):
            raise ValueError(f"how='geometric' averages the logarithms of probabilities, and these predictions are "
                             f"{'values' if kind == 'values' else 'of a loss that is not recognised'}: use how='mean'")
        self.how, self.kind, self.axis, self.total, self.weight, self.dtype = how, kind, axis, None, 0.0, None

    def add(self, pred, weight=1.0):
        self.dtype = pred.dtype if pred.is_floating_point() and pred.dtype.itemsize >= 4 else torch.float32
        x = self._to(pred.double()) * weight
        self.total = x if self.total is None else self.total + x
        self.weight += weight

    def _to(self, x):
        if self.how == "mean":
            return x
        if self.how == "rank":
            return _ranks(x)
        tiny = torch.finfo(torch.float32).tiny
        return x.clamp_min(tiny).log() if self.kind.startswith("class") else torch.logit(x, eps=1e-12)

    def value(self):
        mean = self.total / self.weight
        if self.how == "geometric":
            mean = mean.softmax(self.axis) if self.kind.startswith("class") else mean.sigmoid()
        return mean.to(self.dtype)


def _ranks(x):
    "The rank of each item in each column, ties sharing theirs, from just above 0 to just below 1."
    from scipy.stats import rankdata
    return torch.as_tensor((rankdata(x.numpy(), axis=0) - 0.5) / len(x))


# -- several learners ---------------------------------------------------------------------------------------------------------------
def _class_axis(learn):
    return getattr(learn.loss_func, "axis", 1)


def _reading(loss_func):
    "What predictions are after the activation, as far as averaging goes."
    kind = kind_of(loss_func) or "unknown"
    return "class probabilities" if kind.startswith("class") else "probabilities" if kind in ("logits", "probabilities") else kind


@dataclass
class _First:
    "What the first learner said, with which the others must go together."
    vocab: object
    reading: str
    shape: tuple
    targs: object
    keys: list | None

    def check(self, other, i):
        said = f"learner {i} cannot be averaged with learner 0"
        if other.vocab != self.vocab:
            raise ValueError(f"{said}: its classes are {other.vocab}, those of learner 0 {self.vocab}. Give the same classes in the same "
                             "order when the data are made, CategoryBlock(vocab=[...])")
        if other.reading != self.reading:
            raise ValueError(f"{said}: its predictions are {other.reading}, those of learner 0 {self.reading} (told from their losses)")
        if other.shape != self.shape:
            raise ValueError(f"{said}: its predictions have shape {list(other.shape)}, those of learner 0 {list(self.shape)}: they are "
                             "not of the same items, or the models have other outputs")
        if self.keys is not None and other.keys is not None and other.keys != self.keys:
            raise ValueError(f"{said}: it predicts other items, or the same in another order. Give the items, items=..., or one loader for "
                             "all, dl=...")
        if not _same(self.targs, other.targs):
            raise ValueError(f"{said}: the targets it was asked about are not those of learner 0, so these are other items, or the same in "
                             "another order. Give the items, items=..., or one loader for all, dl=...")


def _same(a, b):
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return a is None or b is None or a == b
    return a.shape == b.shape and bool(torch.allclose(a.double(), b.double(), equal_nan=True))


def average_preds(learners, ds_idx=1, dl=None, items=None, weights=None, how="mean"):
    """`(preds, targs)`: the average of what `learners` predict for loader `ds_idx` of their data, for the loader `dl`, or for new `items`
    (then each makes a loader of them with its own transforms, and targs is None).

    weights: one number per learner. how: 'mean', 'geometric' or 'rank', see `combine_preds`. Refuses learners that are one object, have
    other classes or outputs, or whose loaders hold other items or another order.
    """
    return _average(_as_learners(learners), ds_idx, dl, items, weights, how)


def _as_learners(learners):
    learners = list(learners) if hasattr(learners, "__iter__") else [learners]
    odd = next((o for o in learners if not hasattr(o, "get_preds")), None)
    if odd is not None or not learners:
        raise TypeError(f"this takes a list of learners; received {describe(odd) if learners else 'none'}")
    _checked_weights(None, len(learners))
    return learners


def _average(learners, ds_idx, dl, items, weights, how):
    "`average_preds` of an iterable, of which one learner after the other is needed."
    if dl is not None and items is not None:
        raise TypeError("dl= and items= both say what to predict: give one of them")
    if weights is not None:
        weights = _checked_weights(weights, len(learners))
    average, first, seen = None, None, []
    for i, learn in enumerate(learners):
        if any(ref() is learn for ref in seen):
            raise ValueError(f"learner {i} is the same object as an earlier one, so its predictions would count twice. `learn.load(file)` "
                             "returns the learner itself: load each file into a learner of its own")
        seen.append(weakref.ref(learn))
        source = learn.dls.test_dl(items) if items is not None else dl
        preds, targs = learn.get_preds(ds_idx, dl=source)
        if not isinstance(preds, torch.Tensor):
            raise TypeError(f"average_preds needs models with one tensor as output; learner {i} gives {describe(preds)}")
        dataset = None if dl is not None or items is not None else getattr(learn.dls[ds_idx], "dataset", None)
        this = _First(vocab_of(learn), _reading(learn.loss_func), tuple(preds.shape), targs, item_keys(dataset))
        if first is None:
            first, average = this, _Average(how, kind_of(learn.loss_func), _class_axis(learn))
        first.check(this, i)
        average.add(preds, 1.0 if weights is None else weights[i])
    return average.value(), first.targs


class Ensemble:
    """Several learners that answer as one: `get_preds`, `predict` and `validate` of their averaged predictions.

    weights: one number per learner. how: 'mean', 'geometric' or 'rank', see `combine_preds`.
    """

    def __init__(self, learners, weights=None, how="mean"):
        self.learners, self.how = _as_learners(learners), how
        if len({id(o) for o in self.learners}) < len(self.learners):
            raise ValueError("Ensemble: a learner is listed more than once. `learn.load(file)` returns the learner itself: load each file "
                             "into a learner of its own")
        self.weights = _checked_weights(weights, len(self.learners))
        _Average(how, kind_of(self.learners[0].loss_func))       # refuses what cannot be averaged so

    def get_preds(self, ds_idx=1, dl=None, items=None, with_decoded=False):
        "`(preds, targs)`, or with `with_decoded` `(preds, targs, decisions)`: see `average_preds`."
        preds, targs = _average(self.learners, ds_idx, dl, items, self.weights, self.how)
        return (preds, targs, self._decided(preds)) if with_decoded else (preds, targs)

    def _decided(self, preds):
        if self.how == "rank":
            raise ValueError("how='rank' gives ranks among the items, in which no class is decided: use 'mean' or 'geometric'")
        return self.learners[0].decode_pred(preds)

    def predict(self, item):
        "`(decoded target, its tensor, probabilities)` for one item, such as a file; for a row of a table, the decoded row as a dict first."
        preds, _, decoded = self.get_preds(items=[item], with_decoded=True)
        learn = self.learners[0]
        inputs = learn.get_preds(dl=learn.dls.test_dl([item]), with_input=True)[0]
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        full = decode_batch(learn, (*inputs, decoded))[0]
        if isinstance(full, dict):                     # a row of a table
            return full, decoded[0], preds[0]
        return full[len(inputs):] if len(full) > len(inputs) + 1 else full[len(inputs)], decoded[0], preds[0]

    def validate(self, metrics=None, ds_idx=1, dl=None):
        """`[loss, *metrics]` of the averaged predictions; metrics: None: those of the first learner.

        Losses and metrics take the raw output of a model, so the average is turned back into one (logarithms of probabilities).
        """
        if self.how == "rank":
            raise ValueError("how='rank' gives ranks, of which there is no loss: use get_preds() and a metric of the order alone, such as "
                             "sklearn's roc_auc_score")
        learn = self.learners[0]
        preds, targs = self.get_preds(ds_idx, dl)
        if targs is None:
            raise ValueError("validate() needs targets, and this loader has none: make it with test_dl(items, with_labels=True)")
        if learn.loss_func is None:
            raise ValueError("validate() needs a loss function, and the first learner has none")
        raw, device = self._raw(preds).to(learn.dls.device), learn.dls.device
        yb = tuple(t.to(device) for t in (targs if isinstance(targs, tuple) else (targs,)))
        learn.to_device()
        with torch.no_grad():
            loss = learn.loss_func(raw, *yb)
        state = SimpleNamespace(pred=raw, yb=yb, xb=(), kw={}, loss=loss, loss_func=learn.loss_func)
        values = [float(loss)]
        for metric in learn.metrics if metrics is None else map(as_metric, metrics if isinstance(metrics, (list, tuple)) else [metrics]):
            metric.reset()
            metric.accumulate(state)
            values.append(metric.value)
        return values

    def _raw(self, preds):
        "The output of a model whose activation gives `preds`."
        learn, tiny = self.learners[0], torch.finfo(torch.float32).tiny
        kind = kind_of(learn.loss_func) or ""
        raw = preds.clamp_min(tiny).log() if kind.startswith("class") else torch.logit(preds, eps=1e-7) if kind == "logits" else preds
        if not torch.allclose(learn.activation(raw), preds, atol=1e-4):
            raise ValueError("validate() of an Ensemble does not know the inverse of the activation of this loss: compute what you need "
                             "from get_preds()")
        return raw

    def __repr__(self):
        return f"Ensemble of {plural(len(self.learners), 'learner')}, averaged by how={self.how!r}"
