"""`ClassificationInterpretation`: which classes are confused, how sure the model is, and which labels are likely wrong."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from ..core.messages import describe, plural
from ..core.plots import subplots
from ..nn.loss_traits import kind_of
from .base import FigSize, Interpretation
from .scores import best_thresholds, calibration, confusion, f1_at, label_errors, most_confused


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
