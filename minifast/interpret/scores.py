"""Functions of probabilities and labels: confusion, calibration, thresholds, likely label errors. They need no learner."""
import torch

from ..core.messages import describe


def confusion(targets, decisions, n):
    "How often each target (rows) was taken for each class (columns): int64 (n, n). Targets outside 0..n-1 (void) do not count."
    targets, decisions = targets.flatten().long(), decisions.flatten().long()
    if len(targets) != len(decisions):
        raise ValueError(f"confusion() compares decisions with targets one by one: received {describe(targets)} and {describe(decisions)}")
    counted = (targets >= 0) & (targets < n)
    return torch.bincount(targets[counted] * n + decisions[counted].clamp(0, n - 1), minlength=n * n).reshape(n, n)


def calibration(confidence, right, n_bins=10):
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


def f1_at(probs, targets, thresholds):
    "F1 of one label at each of the thresholds: a tensor (thresholds,). probs, targets: (items,)."
    on = probs[None] > thresholds[:, None]
    targets = targets.bool()[None]
    true = (on & targets).sum(1).double()
    return 2 * true / (on.sum(1) + targets.sum(1)).clamp(min=1)


def best_thresholds(probs, targets, thresholds=None, score=f1_at):
    """The threshold that gives each label its best score, and that score: two tensors (labels,). With equal scores, the middle of the
    thresholds that have it. probs, targets: (items, labels). score: a function as `f1_at`."""
    thresholds = torch.linspace(0.01, 0.99, 99) if thresholds is None else torch.as_tensor(thresholds, dtype=torch.float32)
    best, values = [], []
    for j in range(probs.shape[1]):
        scores = score(probs[:, j], targets[:, j], thresholds)
        ties = torch.nonzero(scores >= scores.max() - 1e-12).flatten()
        k = ties[len(ties) // 2]
        best.append(thresholds[k])
        values.append(scores[k])
    return torch.stack(best), torch.stack(values)


def label_errors(probs, labels):
    """Items whose given label is likely wrong, the likeliest first: `(indices, suggested labels, scores)`, three tensors.

    probs: (items, classes), of a model that did not train on these items (out of fold). labels: (items,). A class counts as claimed by an
    item when its probability is at least the mean probability of that class among the items labelled so; an item that claims another
    class than its own, and most strongly, is named. score: the probability of its own label less that of the claimed one, -1 the surest.
    Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning", 2021. """
    labels = labels.long()
    if probs.ndim != 2 or labels.ndim != 1 or len(probs) != len(labels):
        raise ValueError(
            f"label_errors() takes probabilities (items, classes) and labels (items,); received {describe(probs)} and {describe(labels)}"
        )
    n = probs.shape[1]
    usual = torch.full((n,), 2.0, dtype=probs.dtype)
    for k in range(n):
        own = labels == k
        if own.any():
            usual[k] = probs[own, k].mean()
    claimed = probs >= usual
    strongest = torch.where(claimed, probs, -1.0)
    value, suggested = strongest.max(1)
    given = probs[torch.arange(len(labels)), labels]
    score = given - value
    found = torch.nonzero((value >= 0) & (suggested != labels) & (score < 0)).flatten()
    order = found[score[found].argsort()]
    return order, suggested[order], score[order]
