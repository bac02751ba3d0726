"""Functions of probabilities and labels: confusion, calibration, thresholds, likely label errors. They need no learner."""
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..core.messages import describe


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
