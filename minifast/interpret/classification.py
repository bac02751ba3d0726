"""`ClassificationInterpretation`: which classes are confused, how sure the model is, and which labels are likely wrong;
and the functions of probabilities and labels that say so, which need no learner."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from ..core.messages import describe, plural
from ..core.plots import subplots
from ..nn.loss_traits import kind_of
from .base import FigSize, Interpretation


def confusion(targets: torch.Tensor, decisions: torch.Tensor, n: int) -> torch.Tensor:
    "How often each target (rows) was predicted as each class (columns): int64 (n, n). Targets outside 0..n-1 (void) do not count."
    targets, decisions = targets.flatten().long(), decisions.flatten().long()
    if len(targets) != len(decisions):
        raise ValueError(f"confusion() compares decisions with targets one by one: received {describe(targets)} and {describe(decisions)}")
    counted = (targets >= 0) & (targets < n)
    return torch.bincount(targets[counted] * n + decisions[counted].clamp(0, n - 1), minlength=n * n).reshape(n, n)


def most_confused(matrix: np.ndarray, vocab: Sequence, min_val: int = 1) -> list[tuple]:
    "`[(target, predicted, how often)]` of all confusions that occur at least `min_val` times, the most frequent first."
    found = [(vocab[i], vocab[j], int(n)) for (i, j), n in np.ndenumerate(matrix) if i != j and n >= max(min_val, 1)]
    return sorted(found, key=lambda o: -o[2])


def calibration(confidence: torch.Tensor, right: torch.Tensor, n_bins: int = 10) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """How often predictions of a certain confidence are right: `(mean confidence, share right, how many)` per bin with items, three
    tensors, and the expected calibration error, the mean distance of the first two weighted by the third.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    confidence, right = confidence.double().flatten(), right.double().flatten()
    bins = (confidence * n_bins).long().clamp(0, n_bins - 1)
    n = torch.bincount(bins, minlength=n_bins)
    has = n > 0
    mean = torch.bincount(bins, confidence, minlength=n_bins)[has] / n[has]
    share = torch.bincount(bins, right, minlength=n_bins)[has] / n[has]
    error = float(((mean - share).abs() * n[has]).sum() / n.sum().clamp(min=1))
    return mean, share, n[has], error


def f1_at(probs: torch.Tensor, targets: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    "F1 of one label at each of the thresholds: a tensor (thresholds,). probs, targets: (items,)."
    on = probs[None] > thresholds[:, None]
    targets = targets.bool()[None]
    true = (on & targets).sum(1).double()
    return 2 * true / (on.sum(1) + targets.sum(1)).clamp(min=1)


def best_thresholds(probs: torch.Tensor, targets: torch.Tensor, thresholds: Sequence[float] | None = None,
                    score: Callable = f1_at) -> tuple[torch.Tensor, torch.Tensor]:
    """The threshold that gives each label its best score, and that score: two tensors (labels,). With equal scores, the middle of the
    thresholds that have it. probs, targets: (items, labels). score: a function as `f1_at`."""
    at = torch.linspace(0.01, 0.99, 99) if thresholds is None else torch.as_tensor(thresholds, dtype=torch.float32)
    table = torch.stack([score(p, t, at) for p, t in zip(probs.T, targets.T, strict=True)])
    ties = [torch.nonzero(scores >= scores.max() - 1e-12).flatten() for scores in table]
    k = torch.stack([tied[len(tied) // 2] for tied in ties])
    return at[k], table.gather(1, k[:, None])[:, 0]


def label_errors(probs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find items whose label is likely wrong, the likeliest first.

    A class is a candidate for an item when its probability is at least the mean probability of that class among the items with that label.
    An item is reported when the most probable candidate is not its own label.
    Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning", 2021.

    Args:
        probs: (items, classes), from a model that did not train on these items (out of fold).
        labels: class ids (items,).

    Returns:
        Three tensors: indices of the items, suggested labels, and scores: the probability of the given label minus that of the suggested
        one, -1 the surest.
    """
    labels = labels.long()
    if probs.ndim != 2 or labels.ndim != 1 or len(probs) != len(labels):
        raise ValueError(
            f"label_errors() takes probabilities (items, classes) and labels (items,); received {describe(probs)} and {describe(labels)}"
        )
    n, given = probs.shape[1], probs.gather(1, labels[:, None])[:, 0]
    usual = torch.bincount(labels, given, minlength=n) / torch.bincount(labels, minlength=n)      # NaN, which nothing reaches, for no items
    value, suggested = torch.where(probs >= usual, probs, -1.0).max(1)
    score = given - value
    found = torch.nonzero((value >= 0) & (suggested != labels) & (score < 0)).flatten()
    order = found[score[found].argsort()]
    return order, suggested[order], score[order]


def _within(line, n=40):
    "A line of a title, shortened to `n` characters; the number at its end stays."
    head, _, end = line.rpartition(" ")
    return line if len(line) <= n else f"{head[:n - len(end) - 4]}... {end}"


def _is_one_logit(loss_func, preds, targs, vocab):
    "Whether there is one probability per item, that of class 1 of two."
    if not isinstance(preds, torch.Tensor) or not isinstance(targs, torch.Tensor) or not preds.numel() == targs.numel() == len(preds):
        return False
    binary = kind_of(loss_func) in ("logits", "probabilities") and len(vocab or (0, 1)) == 2
    return binary and bool(((targs == 0) | (targs == 1)).all()) and bool(((preds >= 0) & (preds <= 1)).all())


class ClassificationInterpretation(Interpretation):
    """`Interpretation` of classes (one per item), or of several labels per item.

    Args:
        learn, dl, decoded, losses: see `Interpretation`.
        preds: probabilities (items, classes), or of class 1 of two, (items,) or (items, 1).
        targs: class ids (items,), or 0 and 1 (items, classes).
    """

    score_name = "accuracy"

    def __init__(self, learn: Any, dl: Any = None, preds: Any = None, targs: Any = None, decoded: Any = None, losses: Any = None):
        super().__init__(learn, dl, preds, targs, decoded, losses)
        if _is_one_logit(learn.loss_func, preds, targs, self.vocab):
            yes = preds.reshape(-1, 1).float()
            preds, targs, decoded = torch.cat([1 - yes, yes], 1), targs.reshape(-1).long(), decoded.reshape(-1).long()
            self.preds, self.targs, self.decoded = preds, targs, decoded
        if not isinstance(preds, torch.Tensor) or preds.ndim != 2 or not isinstance(targs, torch.Tensor):
            raise TypeError(
                f"{type(self).__name__} takes one prediction per item, (items, classes); received {describe(preds)} for targets "
                f"{describe(targs)}. For masks use SegmentationInterpretation, for numbers RegressionInterpretation"
            )
        several = targs.ndim == 2 and targs.shape == preds.shape and kind_of(learn.loss_func) != "values"
        self.multi: bool = several and bool(((targs >= 0) & (targs <= 1)).all())
        if not self.multi and (targs.is_floating_point() or (preds.shape[1] < 2)):
            raise TypeError(f"{type(self).__name__} takes class ids or 0/1 labels; received targets {describe(targs)}. For numbers use "
                            "RegressionInterpretation")
        if self.vocab is None:
            self.vocab = list(range(preds.shape[1]))
        self.probs = self.preds
        if self.multi:
            self.decoded = preds > getattr(learn.loss_func, "thresh", 0.5)

    # -- numbers ----------------------------------------------------------------------------------------------------------------
    @property
    def p_target(self) -> torch.Tensor:
        "The probability of the target: (items,). With several labels per item, that of getting all of them right."
        return self._probability_of(self.targs)

    def _probability_of(self, labels):
        if self.multi:
            return torch.where(labels > 0.5, self.preds, 1 - self.preds).prod(1)
        return self.preds.gather(1, labels.reshape(-1, 1).long())[:, 0]

    @property
    def p_predicted(self) -> torch.Tensor:
        "The probability of the predicted class: (items,)."
        return self._probability_of(self.decoded)

    @property
    def right(self) -> torch.Tensor:
        "Whether each prediction is right: bool (items,); with several labels per item, all of them."
        if self.multi:
            return (self.decoded == (self.targs > 0.5)).all(1)
        return self.decoded.reshape(-1) == self.targs.reshape(-1)

    def _score(self):
        return self.right.float()

    def _one_class(self, verb):
        if self.multi:
            raise TypeError(f"{verb}() is for one class per item; these items have several labels each: see per_class()")

    def confusion_matrix(self) -> np.ndarray:
        "How often each target (rows) was predicted as each class (columns): ints (classes, classes)."
        self._one_class("confusion_matrix")
        return confusion(self.targs, self.decoded, len(self.vocab)).numpy()

    def most_confused(self, min_val: int = 1) -> list[tuple]:
        "`[(target, predicted, how often)]` of all confusions that occur at least `min_val` times, the most frequent first."
        return most_confused(self.confusion_matrix(), self.vocab, min_val)

    def per_class(self) -> pd.DataFrame:
        "A DataFrame with a row per class: number of items, precision, recall, F1."
        n = self.preds.shape[1]
        targets, guessed = (o > 0.5 if self.multi else F.one_hot(o.reshape(-1).long(), n).bool() for o in (self.targs, self.decoded))
        true = (targets & guessed).sum(0).double()
        precision, recall = true / guessed.sum(0).clamp(min=1), true / targets.sum(0).clamp(min=1)
        f1 = 2 * true / (guessed.sum(0) + targets.sum(0)).clamp(min=1)
        return pd.DataFrame({"n": targets.sum(0).tolist(), "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist()},
                            index=[str(v) for v in self.vocab[:n]])

    def print_classification_report(self) -> None:
        "Print scikit-learn's table of precision, recall and F1 per class."
        print(self.classification_report())

    def classification_report(self) -> str:
        "scikit-learn's table of precision, recall and F1 per class, as text."
        from sklearn.metrics import classification_report
        names = [str(v) for v in self.vocab]
        targets, guessed = ((o > 0.5).int() if self.multi else o.reshape(-1) for o in (self.targs, self.decoded))
        return classification_report(targets.numpy(), guessed.numpy(), labels=range(len(names)), target_names=names, zero_division=0)

    def frame(self) -> pd.DataFrame:
        "`Interpretation.frame` with the probability of target and prediction, and whether it is right."
        table = super().frame()
        table.insert(table.columns.get_loc("loss"), "p_target", self.p_target.tolist())
        table.insert(table.columns.get_loc("loss"), "p_predicted", self.p_predicted.tolist())
        table["right"] = self.right.tolist()
        return table

    # -- which items ------------------------------------------------------------------------------------------------------------
    def least_confident(self, k: int = 9) -> list[int]:
        "The numbers of the `k` items whose prediction has the lowest probability, the lowest first."
        return self.p_predicted.argsort()[:k].tolist()

    def confidently_wrong(self, k: int = 9) -> list[int]:
        "The numbers of the `k` items with the most probable wrong predictions, the most probable first."
        wrong = torch.nonzero(~self.right).flatten()
        return wrong[self.p_predicted[wrong].argsort(descending=True)][:k].tolist()

    def plot_least_confident(self, k: int = 9, **kwargs: Any) -> Any:
        "Draw the items of `least_confident`."
        return self.show_items(self.least_confident(k), **kwargs)

    def plot_confidently_wrong(self, k: int = 9, **kwargs: Any) -> Any:
        "Draw the items of `confidently_wrong`."
        found = self.confidently_wrong(k)
        if not found:
            raise ValueError("no prediction is wrong: there is nothing to show")
        return self.show_items(found, **kwargs)

    def likely_label_errors(self, probs: Any = None) -> pd.DataFrame:
        """Find items whose label is likely wrong, the likeliest first.

        `item` is the label of a row in the frame that it comes from (as is the index), or the number of the item; `path` is its file,
        where it has one. `given` and `suggested` are labels, `score` is the smaller, the surer; `number` is what `show_results` takes.

        Args:
            probs: probabilities from models that did not train on these items (see `label_errors`), needed for training items; None:
                those of this learner.
        """
        self._one_class("likely_label_errors")
        probs = self.preds if probs is None else torch.as_tensor(probs)
        indices, suggested, scores = label_errors(probs, self.targs.reshape(-1))
        rows = indices.tolist()
        found = self.named({"given": [self.target_text(i) for i in rows], "suggested": [str(self.vocab[j]) for j in suggested.tolist()],
                            "score": scores.tolist(), "number": rows}, rows)
        found.insert(0, "item", [self.item_name(i) for i in rows])
        return found

    def best_thresholds(self, thresholds: Sequence[float] | None = None) -> pd.DataFrame:
        "A DataFrame with a row per label: the threshold with the best F1, that F1, and F1 at 0.5. For several labels per item."
        if not self.multi:
            raise TypeError(
                "best_thresholds() is for several labels per item; here each has one class, and the largest probability decides"
            )
        targets = self.targs > 0.5
        best, scores = best_thresholds(self.preds, targets, thresholds)
        half = [float(f1_at(self.preds[:, j], targets[:, j], torch.tensor([0.5]))[0]) for j in range(self.preds.shape[1])]
        return pd.DataFrame({"threshold": best.tolist(), "f1": scores.tolist(), "f1_at_half": half}, index=[str(v) for v in self.vocab])

    # -- words and images -----------------------------------------------------------------------------------------------------
    def title(self, i: int) -> str:
        "The lines above the image of item `i`."
        target, guess = self.target_text(i), self.prediction_text(i)
        if self.multi:                      # the names of several labels would not fit twice
            lines = (f"target {target} ({float(self.p_target[i]):.2f})", f"predicted {guess} ({float(self.p_predicted[i]):.2f})")
            return "\n".join([self.name(i), *(_within(line) for line in lines), f"loss {float(self.losses[i]):.3g}"])
        return (f"{self.name(i)}\ntarget {target}, p({target}) = {float(self.p_target[i]):.2f}\npredicted {guess}, p({guess}) = "
                f"{float(self.p_predicted[i]):.2f}\nloss {float(self.losses[i]):.3g}")

    def plot_confusion_matrix(self, normalize: bool = False, title: str = "Confusion matrix", cmap: str = "Blues", norm_dec: int = 2,
                              plot_txt: bool = True, figsize: FigSize | None = None, dpi: float | None = None, ax: Any = None) -> Any:
        """Draw the confusion matrix; returns the axes.

        Args:
            normalize: show fractions of each row.
            title: title of the axes.
            cmap: colours of matplotlib.
            norm_dec: decimals of the fractions.
            plot_txt: write the numbers into the cells.
            figsize: size of the figure in inches.
            dpi: dots per inch of the figure.
            ax: axes to draw on; None: new ones.
        """
        matrix = self.confusion_matrix()
        shown = matrix / matrix.sum(1, keepdims=True).clip(min=1) if normalize else matrix
        n = len(matrix)
        side = max(4.0, min(14.0, 0.42 * n + 2))
        ax = subplots(figsize=figsize or (side, side), dpi=dpi)[1][0] if ax is None else ax
        ax.imshow(shown, cmap=cmap, interpolation="nearest", vmin=0)
        ax.set(title=title, xlabel="predicted", ylabel="target")
        names, size = [str(v) for v in self.vocab], 9 if n <= 20 else 6
        ax.set_xticks(range(n), names, rotation=90, fontsize=size, parse_math=False)
        ax.set_yticks(range(n), names, fontsize=size, parse_math=False)
        if plot_txt:
            for (i, j), value in np.ndenumerate(shown):
                if value or n <= 12:
                    ax.text(j, i, f"{value:.{norm_dec}f}" if normalize else f"{int(value)}", ha="center", va="center", fontsize=size,
                            color="white" if value > shown.max() / 2 else "black")
        return ax

    def calibration(self, n_bins: int = 10) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        "`(mean confidence, fraction right, number)` per bin and the expected calibration error, see `scores.calibration`."
        if self.multi:
            return calibration(self.preds.flatten(), (self.targs > 0.5).flatten(), n_bins)
        return calibration(self.p_predicted, self.right, n_bins)

    def plot_calibration(self, n_bins: int = 10, ax: Any = None) -> Any:
        "Draw how often predictions of each confidence are right; the dashed line is perfect calibration. Returns the axes."
        mean, share, n, error = self.calibration(n_bins)
        ax = subplots(figsize=(5, 5))[1][0] if ax is None else ax
        ax.plot([0, 1], [0, 1], "--", color="0.6", zorder=0)
        ax.plot(mean, share, "-", color="C0", zorder=1)
        ax.scatter(mean, share, s=(20 + 300 * n / n.sum()).tolist(), zorder=2)
        ax.set(
            xlabel="probability of the label" if self.multi else "probability of the predicted class",
            ylabel="fraction with the label" if self.multi else "fraction right",
            title=f"calibration error {error:.3f}, {plural(len(self), 'item')}",
            xlim=(0, 1.02),
            ylim=(0, 1.02),
        )
        return ax
