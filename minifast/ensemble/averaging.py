"""Averages of the predictions of several learners, and an `Ensemble` that is used like one learner."""
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from ..core.arguments import check_choice
from ..core.messages import brief, describe, plural
from ..learner.inference import decode_batch
from ..learner.learner import Learner
from ..metrics.convert import as_metric
from ..nn.loss_traits import kind_of
from .arguments import item_keys, refuse_other_words, vocab_of


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def combine_preds(preds: Sequence[torch.Tensor], weights: Sequence[float] | None = None, how: str = "mean", kind: str | None = None,
                  axis: int = 1) -> torch.Tensor:
    """One prediction of several.

    Args:
        preds: tensors (n, ...) of activated predictions of the same items.
        weights: one number per tensor; default: all alike.
        how: 'mean'; 'geometric', the mean of their logarithms, made probabilities again (the mean of the logits where `kind` says that
            they are probabilities of yes), in which a sure model outweighs unsure ones; 'rank', the mean of the rank of each item among
            all, from 0 to 1, for scores on different scales of which only the order matters (AUC).
        kind: what the predictions mean, as `kind_of` says of the loss; needed for 'geometric'.
        axis: of the classes.
    """
    weights = check_weights(weights, len(preds))
    average = _Average(how, kind, axis)
    for pred, weight in zip(preds, weights, strict=True):
        average.add(pred, weight)
    return average.value()


def check_weights(weights: Sequence[float] | None, n: int) -> list[float]:
    "`weights` of `n` learners; None: all alike."
    weights = [1.0] * n if weights is None else [float(w) for w in weights]
    if len(weights) != n or not all(0 <= w < float("inf") for w in weights) or not sum(weights) > 0:
        raise ValueError(f"weights are one number >= 0 per learner ({n}), not all 0; received {brief(weights)}")
    return weights


class _Average:
    "A weighted average that holds one tensor, however many are added."

    def __init__(self, how: str = "mean", kind: str | None = None, axis: int = 1):
        check_choice("", "how", how, ("mean", "geometric", "rank"))
        if how == "geometric" and kind not in ("class logits", "class log-probabilities", "logits", "probabilities"):
            raise ValueError(f"how='geometric' averages the logarithms of probabilities, and these predictions are "
                             f"{'values' if kind == 'values' else 'of a loss that is not recognised'}: use how='mean'")
        self.how, self.by_class, self.axis, self.weight = how, (kind or "").startswith("class"), axis, 0.0
        self.total, self.dtype = torch.zeros(()), torch.float32

    def add(self, pred: torch.Tensor, weight: float = 1.0) -> None:
        self.dtype = pred.dtype if pred.is_floating_point() and pred.dtype.itemsize >= 4 else self.dtype
        x = pred.double()
        if self.how == "rank":
            x = _ranks(x)
        elif self.how == "geometric":
            x = x.clamp_min(torch.finfo(torch.float32).tiny).log() if self.by_class else torch.logit(x, eps=1e-12)
        self.total = self.total + x * weight
        self.weight += weight

    def value(self) -> torch.Tensor:
        mean = self.total / self.weight
        if self.how == "geometric":
            mean = mean.softmax(self.axis) if self.by_class else mean.sigmoid()
        return mean.to(self.dtype)


def _ranks(x: torch.Tensor) -> torch.Tensor:
    "The rank of each item in each column, ties sharing theirs, from just above 0 to just below 1."
    from scipy.stats import rankdata
    return torch.as_tensor((rankdata(x.numpy(), axis=0) - 0.5) / len(x))


# -- several learners ---------------------------------------------------------------------------------------------------------------
def average_preds(learners: Iterable[Learner], ds_idx: int = 1, dl: Any = None, items: Any = None,
                  weights: Sequence[float] | None = None, how: str = "mean") -> tuple[torch.Tensor, Any]:
    """The average of the predictions of several learners.

    Args:
        learners: different learners of one task.
        ds_idx: which loader of each learner's data to predict: 0 is training, 1 validation.
        dl: one loader for all, instead.
        items: new items, instead, of which each learner makes a loader with its own transforms.
        weights: one number per learner; default: all alike.
        how: 'mean', 'geometric' or 'rank', see `combine_preds`.

    Returns:
        `(preds, targs)`; for new items targs is None.

    Raises:
        ValueError: for learners that are one object, have other classes or outputs, or whose loaders hold other items or another order.
    """
    return average_of(_as_learners(learners), ds_idx, dl, items, weights, how)


def _as_learners(learners: Any) -> list:
    learners = list(learners) if hasattr(learners, "__iter__") else [learners]
    odd = next((o for o in learners if not hasattr(o, "get_preds")), None)
    if odd is not None or not learners:
        raise TypeError(f"this takes a list of learners; received {describe(odd) if learners else 'none'}")
    if len({id(o) for o in learners}) < len(learners):
        raise ValueError("a learner is listed more than once, so its predictions would count twice. `learn.load(file)` returns the learner "
                         "itself: load each file into a learner of its own")
    return learners


def average_of(learners: Any, ds_idx: int, dl: Any, items: Any, weights: Sequence[float] | None,
               how: str) -> tuple[torch.Tensor, Any]:
    "`average_preds` of an iterable, which needs to hold only one learner at a time."
    if dl is not None and items is not None:
        raise TypeError("dl= and items= both say what to predict: give one of them")
    if weights is not None:
        weights = check_weights(weights, len(learners))
    average, first = None, None
    for i, learn in enumerate(learners):
        if dl is not None:
            refuse_other_words(dl, learn, i)
        preds, targs = learn.get_preds(ds_idx, dl=dl if items is None else learn.dls.test_dl(items))
        if not isinstance(preds, torch.Tensor):
            raise TypeError(f"average_preds needs models with one tensor as output; learner {i} gives {describe(preds)}")
        keys = None if dl is not None or items is not None else item_keys(getattr(learn.dls[ds_idx], "dataset", None))
        found = SimpleNamespace(vocab=vocab_of(learn), meaning=_meaning(learn.loss_func), shape=list(preds.shape), targs=targs, keys=keys)
        if first is None:
            first, average = found, _Average(how, kind_of(learn.loss_func), getattr(learn.loss_func, "axis", 1))
        _check_alike(first, found, i)
        average.add(preds, 1.0 if weights is None else weights[i])
    return average.value(), first.targs


def _meaning(loss_func: Any) -> str:
    "What predictions are after the activation, as far as averaging goes."
    kind = kind_of(loss_func) or "unknown"
    return "class probabilities" if kind.startswith("class") else "probabilities" if kind == "logits" else kind


def _check_alike(first: SimpleNamespace, other: SimpleNamespace, i: int) -> None:
    "Refuse to average what learner `i` predicts with what the first one does."
    items = "Give the items, items=..., or one loader for all, dl=..."
    other_items = first.keys is not None and other.keys is not None and other.keys != first.keys
    differences = {
        f"its classes are {other.vocab}, those of learner 0 {first.vocab}. Give the same classes in the same order when the data are made, "
        "CategoryBlock(vocab=[...])": other.vocab != first.vocab,
        f"its predictions are {other.meaning}, those of learner 0 {first.meaning} (told from their losses)": other.meaning != first.meaning,
        f"its predictions have shape {other.shape}, those of learner 0 {first.shape}: they are not of the same items, or the models have "
        "other outputs": other.shape != first.shape,
        f"it predicts other items, or the same in another order. {items}": other_items,
        f"its targets are not those of learner 0, so these are other items, or the same in another order. {items}":
            not _same(first.targs, other.targs)}
    why = next((text for text, is_so in differences.items() if is_so), None)
    if why is not None:
        raise ValueError(f"learner {i} cannot be averaged with learner 0: {why}")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return a is None or b is None or a == b
    return a.shape == b.shape and bool(torch.allclose(a.double(), b.double(), equal_nan=True))


class Ensemble:
    """Several learners that answer as one: `get_preds`, `predict` and `validate` of their averaged predictions.

    Args:
        learners: different learners of one task.
        weights: one number per learner; default: all alike.
        how: 'mean', 'geometric' or 'rank', see `combine_preds`.
    """

    def __init__(self, learners: Iterable[Learner], weights: Sequence[float] | None = None, how: str = "mean"):
        self.learners, self.how = _as_learners(learners), how
        self.weights = check_weights(weights, len(self.learners))
        _Average(how, kind_of(self.learners[0].loss_func))       # refuses predictions that cannot be averaged this way

    def get_preds(self, ds_idx: int = 1, dl: Any = None, items: Any = None, with_decoded: bool = False) -> tuple:
        "`(preds, targs)`, or with `with_decoded` `(preds, targs, decisions)`: see `average_preds`."
        preds, targs = average_of(self.learners, ds_idx, dl, items, self.weights, self.how)
        if with_decoded and self.how == "rank":
            raise ValueError("how='rank' gives ranks among the items, from which no class can be decided: use 'mean' or 'geometric'")
        return (preds, targs, self.learners[0].decode_pred(preds)) if with_decoded else (preds, targs)

    def predict(self, item: Any) -> tuple:
        "`(decoded target, its tensor, probabilities)` for one item, such as a file; for a row of a table, the decoded row as a dict first."
        preds, _, decoded = self.get_preds(items=[item], with_decoded=True)
        learn = self.learners[0]
        inputs = learn.get_preds(dl=learn.dls.test_dl([item]), with_input=True)[0]
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        full = decode_batch(learn, (*inputs, decoded))[0]
        if isinstance(full, dict):                     # a row of a table
            return full, decoded[0], preds[0]
        return full[len(inputs):] if len(full) > len(inputs) + 1 else full[len(inputs)], decoded[0], preds[0]

    def validate(self, metrics: Any = None, ds_idx: int = 1, dl: Any = None) -> list[float]:
        """`[loss, *metrics]` of the averaged predictions.

        Losses and metrics take the raw output of a model, so the average is turned back into one (logarithms of probabilities).

        Args:
            metrics: default: those of the first learner.
            ds_idx, dl: see `average_preds`.
        """
        if self.how == "rank":
            raise ValueError("how='rank' gives ranks, for which there is no loss: use get_preds() and a metric of the order alone, such as "
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
        state: Any = SimpleNamespace(pred=raw, yb=yb, xb=(), kw={}, loss=loss, loss_func=learn.loss_func)
        metrics = learn.metrics if metrics is None else metrics if isinstance(metrics, (list, tuple)) else [metrics]
        chosen = [as_metric(m) for m in metrics]
        for metric in chosen:
            metric.reset()
            metric.accumulate(state)
        return [float(loss), *(metric.value for metric in chosen)]

    def _raw(self, preds: torch.Tensor) -> torch.Tensor:
        "The output of a model whose activation gives `preds`."
        learn, tiny = self.learners[0], torch.finfo(torch.float32).tiny
        kind = kind_of(learn.loss_func) or ""
        raw = preds.clamp_min(tiny).log() if kind.startswith("class") else torch.logit(preds, eps=1e-7) if kind == "logits" else preds
        if not torch.allclose(learn.activation(raw), preds, atol=1e-4):
            raise ValueError("validate() of an Ensemble does not know the inverse of the activation of this loss: compute what you need "
                             "from get_preds()")
        return raw

    def __repr__(self) -> str:
        return f"Ensemble of {plural(len(self.learners), 'learner')}, averaged by how={self.how!r}"
