"""`ClassificationInterpretation`: which classes are taken for which, how sure, and which labels are likely wrong."""
import torch

from ..core.messages import describe, plural
from .base import Interpretation
from .scores import best_thresholds, calibration, confusion, label_errors

__all__ = ["ClassificationInterpretation"]


def _within(line, n=40):
    "A line of a title, at most `n` letters of it, the number at its end kept."
    head, _, end = line.rpartition(" ")
    return line if len(line) <= n else f"{head[:n - len(end) - 4]}... {end}"


class ClassificationInterpretation(Interpretation):
    """`Interpretation` of classes (one per item), or of several labels per item.

    `probs` are the probabilities (items, classes); `p_target` and `p_predicted` those of the target and of the decision.
    """

    score_name = "accuracy"

    def __init__(self, learn, dl, preds, targs, decoded, losses):
        super().__init__(learn, dl, preds, targs, decoded, losses)
        if not isinstance(preds, torch.Tensor) or preds.ndim != 2 or not isinstance(targs, torch.Tensor):
            raise TypeError(
                f"{type(self).__name__} takes one prediction per item, (items, classes); received {describe(preds)} for targets "
                f"{describe(targs)}. For masks use SegmentationInterpretation, for numbers RegressionInterpretation"
            )
        self.multi = targs.ndim == 2 and targs.shape == preds.shape and bool(((targs >= 0) & (targs <= 1)).all())
        if not self.multi and (targs.is_floating_point() or (preds.shape[1] < 2)):
            raise TypeError(f"{type(self).__name__} takes class ids or 0/1 labels; received targets {describe(targs)}. For numbers use "
                            "RegressionInterpretation")
        if self.vocab is None:
            self.vocab = list(range(preds.shape[1]))
        if self.multi:
            self.decoded = preds > getattr(learn.loss_func, "thresh", 0.5)

    # -- numbers ----------------------------------------------------------------------------------------------------------------
    @property
    def probs(self):
        return self.preds

    @property
    def p_target(self):
        "The probability of the target: (items,). With several labels per item, that of getting all of them right."
        if self.multi:
            return torch.where(self.targs > 0.5, self.preds, 1 - self.preds).prod(1)
        return self.preds.gather(1, self.targs.reshape(-1, 1).long())[:, 0]

    @property
    def p_predicted(self):
        "The probability of the decision: (items,)."
        if self.multi:
            return torch.where(self.decoded, self.preds, 1 - self.preds).prod(1)
        return self.preds.gather(1, self.decoded.reshape(-1, 1).long())[:, 0]

    @property
    def right(self):
        "Whether each decision is right: bool (items,); with several labels per item, all of them."
        if self.multi:
            return (self.decoded == (self.targs > 0.5)).all(1)
        return self.decoded.reshape(-1) == self.targs.reshape(-1)

    def _score(self):
        return self.right.float()

    def _one_class(self, verb):
        if self.multi:
            raise TypeError(f"{verb}() is for one class per item; these items have several labels each: see per_class()")

    def confusion_matrix(self):
        "How often each target (rows) was taken for each class (columns), as an array of ints."
        self._one_class("confusion_matrix")
        return confusion(self.targs, self.decoded, len(self.vocab)).numpy()

    def most_confused(self, min_val=1):
        "`[(target, predicted, how often)]` of all confusions that occur at least `min_val` times, the most frequent first."
        matrix = self.confusion_matrix()
        found = [(self.vocab[i], self.vocab[j], int(matrix[i, j])) for i in range(len(matrix)) for j in range(len(matrix))
                 if i != j and matrix[i, j] >= max(min_val, 1)]
        return sorted(found, key=lambda o: -o[2])

    def per_class(self):
        "A DataFrame with a row per class: how many items, precision, recall, F1."
        import pandas as pd
        targets = self.targs > 0.5 if self.multi else torch.nn.functional.one_hot(self.targs.reshape(-1).long(), self.preds.shape[1]).bool()
        guessed = self.decoded if self.multi else torch.nn.functional.one_hot(self.decoded.reshape(-1).long(), self.preds.shape[1]).bool()
        true = (targets & guessed).sum(0).double()
        precision, recall = true / guessed.sum(0).clamp(min=1), true / targets.sum(0).clamp(min=1)
        f1 = 2 * true / (guessed.sum(0) + targets.sum(0)).clamp(min=1)
        return pd.DataFrame({"n": targets.sum(0).tolist(), "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist()},
                            index=[str(v) for v in self.vocab[:self.preds.shape[1]]])

    def print_classification_report(self):
        "Print scikit-learn's table of precision, recall and F1 per class."
        print(self.classification_report())

    def classification_report(self):
        "scikit-learn's table of precision, recall and F1 per class, as text."
        from sklearn.metrics import classification_report
        names = [str(v) for v in self.vocab]
        if self.multi:
            return classification_report((self.targs > 0.5).int().numpy(), self.decoded.int().numpy(), target_names=names, zero_division=0)
        return classification_report(self.targs.reshape(-1).numpy(), self.decoded.reshape(-1).numpy(), labels=list(range(len(names))),
                                     target_names=names, zero_division=0)

    def frame(self):
        "A DataFrame with a row per item: path, target, prediction, probability of each, loss, and whether it is right."
        table = super().frame()
        table.insert(3, "p_target", self.p_target.tolist())
        table.insert(4, "p_predicted", self.p_predicted.tolist())
        table["right"] = self.right.tolist()
        return table

    # -- which items ------------------------------------------------------------------------------------------------------------
    def least_confident(self, k=9):
        "The numbers of the `k` items whose decision has the lowest probability, the lowest first."
        return self.p_predicted.argsort()[:k].tolist()

    def confidently_wrong(self, k=9):
        "The numbers of the `k` wrong decisions with the highest probability, the highest first."
        wrong = torch.nonzero(~self.right).flatten()
        return wrong[self.p_predicted[wrong].argsort(descending=True)][:k].tolist()

    def plot_least_confident(self, k=9, **kwargs):
        "Draw the items of `least_confident`."
        return self.show_items(self.least_confident(k), **kwargs)

    def plot_confidently_wrong(self, k=9, **kwargs):
        "Draw the items of `confidently_wrong`."
        found = self.confidently_wrong(k)
        if not found:
            raise ValueError("no decision is wrong: there is nothing to show")
        return self.show_items(found, **kwargs)

    def likely_label_errors(self, probs=None):
        """A DataFrame of the items whose label is likely wrong, the likeliest first: item, path, given and suggested label, and score
        (see `label_errors`).

        probs: probabilities from models that did not train on these items, where the learner did; validation items are fine as they are.
        """
        import pandas as pd
        self._one_class("likely_label_errors")
        probs = self.preds if probs is None else torch.as_tensor(probs)
        indices, suggested, scores = label_errors(probs, self.targs.reshape(-1))
        rows = indices.tolist()
        return pd.DataFrame({"item": rows, "path": [self.path(i) for i in rows], "given": [self.target_text(i) for i in rows],
                             "suggested": [str(self.vocab[j]) for j in suggested.tolist()], "score": scores.tolist()})

    def best_thresholds(self, thresholds=None):
        "A DataFrame with a row per label: the threshold with the best F1, that F1, and F1 at 0.5. For several labels per item."
        import pandas as pd

        from .scores import f1_at
        if not self.multi:
            raise TypeError(
                "best_thresholds() is for several labels per item; here each has one class, and the largest probability decides"
            )
        targets = self.targs > 0.5
        best, scores = best_thresholds(self.preds, targets, thresholds)
        half = [float(f1_at(self.preds[:, j], targets[:, j], torch.tensor([0.5]))[0]) for j in range(self.preds.shape[1])]
        return pd.DataFrame({"threshold": best.tolist(), "f1": scores.tolist(), "f1_at_half": half}, index=[str(v) for v in self.vocab])

    # -- words and pictures -----------------------------------------------------------------------------------------------------
    def title(self, i):
        target, guess = self.target_text(i), self.prediction_text(i)
        if self.multi:                      # the names of several labels would not fit twice
            lines = (f"target {target} ({float(self.p_target[i]):.2f})", f"predicted {guess} ({float(self.p_predicted[i]):.2f})")
            return "\n".join([self.name(i), *(_within(line) for line in lines), f"loss {float(self.losses[i]):.3g}"])
        return (f"{self.name(i)}\ntarget {target}, p({target}) = {float(self.p_target[i]):.2f}\npredicted {guess}, p({guess}) = "
                f"{float(self.p_predicted[i]):.2f}\nloss {float(self.losses[i]):.3g}")

    def plot_confusion_matrix(
        self, normalize=False, title="Confusion matrix", cmap="Blues", norm_dec=2, plot_txt=True, figsize=None, ax=None
    ):
        "Draw the confusion matrix; normalize: as shares of each row, with `norm_dec` decimals. Returns the axes."
        from ..core.plots import subplots
        matrix = self.confusion_matrix()
        shown = matrix / matrix.sum(1, keepdims=True).clip(min=1) if normalize else matrix
        n = len(matrix)
        side = max(4.0, min(14.0, 0.42 * n + 2))
        ax = subplots(figsize=figsize or (side, side))[1][0] if ax is None else ax
        ax.imshow(shown, cmap=cmap, interpolation="nearest", vmin=0)
        ax.set(title=title, xlabel="predicted", ylabel="target", xticks=range(n), yticks=range(n))
        size = 9 if n <= 20 else 6
        ax.set_xticklabels([str(v) for v in self.vocab], rotation=90, fontsize=size)
        ax.set_yticklabels([str(v) for v in self.vocab], fontsize=size)
        if plot_txt:
            middle = shown.max() / 2
            for i in range(n):
                for j in range(n):
                    if shown[i, j] or n <= 12:
                        text = f"{shown[i, j]:.{norm_dec}f}" if normalize else f"{int(shown[i, j])}"
                        ax.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if shown[i, j] > middle else "black")
        return ax

    def calibration(self, n_bins=10):
        "`(mean confidence, share right, how many)` per bin and the expected calibration error, see `scores.calibration`."
        if self.multi:
            return calibration(self.preds.flatten(), (self.targs > 0.5).flatten(), n_bins)
        return calibration(self.p_predicted, self.right, n_bins)

    def plot_calibration(self, n_bins=10, ax=None):
        "Draw how often predictions of a certain confidence are right; on the dashed line, confidence means what it says. Returns the axes."
        from ..core.plots import subplots
        mean, share, n, error = self.calibration(n_bins)
        ax = subplots(figsize=(5, 5))[1][0] if ax is None else ax
        ax.plot([0, 1], [0, 1], "--", color="0.6", zorder=0)
        ax.plot(mean, share, "-", color="C0", zorder=1)
        ax.scatter(mean, share, s=(20 + 300 * n / n.sum()).tolist(), zorder=2)
        ax.set(
            xlabel="probability of the label" if self.multi else "probability of the decision",
            ylabel="share that is so" if self.multi else "share right",
            title=f"calibration error {error:.3f}, {plural(len(self), 'item')}",
            xlim=(0, 1.02),
            ylim=(0, 1.02),
        )
        return ax
