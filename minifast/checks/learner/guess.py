"""Scores of predictions item by item, and gradient boosting on rows: functions of tensors and tables.

Source for tables: L. Grinsztajn et al., "Why do tree-based models still outperform deep learning on typical tabular data?", 2022
(https://arxiv.org/abs/2207.08815).
"""
import math
import time
from typing import NamedTuple

import torch

from ...learner.constant_guess import columns_of, of_logarithms
from ...nn.loss_traits import activation_of, class_weight_of, decodes_of, ignore_index_of, reduction_none

#: More categories than this cannot be told apart by scikit-learn's boosting: the column is taken for a number.
MAX_CATEGORIES = 255


def spread_over(values, shape, axis):
    "The constant output `values` (c,) as predictions of `shape`, with the outputs on `axis`."
    if len(shape) < 2:
        return values.expand(shape)
    view = [1] * len(shape)
    view[axis] = len(values)
    return values.view(view).expand(shape)


# -- scores ------------------------------------------------------------------------------------------------------------------------
class Scores(NamedTuple):
    """Per item, all double (items,): its `loss` summed and the `weight` of it; its `score` (right answers, squared errors) and their
    `number`; both again with every class counted alike, `fair` and `fair_number`: so one class for all is right once per class."""
    loss: torch.Tensor
    weight: torch.Tensor
    score: torch.Tensor
    number: torch.Tensor
    fair: torch.Tensor
    fair_number: torch.Tensor

    @property
    def mean_loss(self):
        return float(self.loss.sum() / self.weight.sum().clamp(min=1e-12))

    @property
    def mean_score(self):
        return float(self.score.sum() / self.number.sum().clamp(min=1))


def balance(kind, ys, n_out):
    "By how much a target counts for all classes (a label's yes and no) to count alike: (1, classes), or (outputs, 2); None for numbers."
    if kind == "values":
        return None
    by_class = kind.startswith("class")
    counts = torch.zeros(1 if by_class else n_out, n_out if by_class else 2, dtype=torch.double)
    for y in ys:
        if by_class:
            y = y.flatten().long().cpu()
            counts[0] += torch.bincount(y[(y >= 0) & (y < n_out)], minlength=n_out)
        else:
            on = columns_of(y.cpu(), n_out) > 0.5
            counts += torch.stack([(~on).sum(0), on.sum(0)], 1)
    return 1 / counts.clamp(min=1)


def scores_of(loss_func, kind, pred, y, counts_as=None):
    "The `Scores` of predictions for the targets `y`, in the learner's own loss. counts_as: what `balance` says."
    n = len(y)
    losses = reduction_none(loss_func)(pred, y).detach().cpu().double().reshape(n, -1)      # not every device has float64
    flat, counted = y.reshape(n, -1).cpu(), torch.ones(n, max(1, y[0].numel()), dtype=torch.double)
    weights = counted
    if kind.startswith("class"):
        counted = (flat != ignore_index_of(loss_func)).double()
        weight = class_weight_of(loss_func)
        weights = counted if weight is None else counted * weight.detach().cpu().double()[(flat * (counted > 0)).long()]
    if losses.shape != weights.shape:                   # a loss per image, or per class of an image
        weights = torch.ones_like(losses)
    if kind == "values":
        meant = pred.cpu().double().exp() if of_logarithms(loss_func) else pred.cpu().double()
        score = (meant.reshape(n, -1) - flat.double()).square()
    else:
        decided = decodes_of(loss_func)(activation_of(loss_func)(pred)).reshape(n, -1).cpu()
        score = counted * (decided == (flat if kind.startswith("class") else flat > 0.5))
    fair = counted
    if counts_as is not None:
        row = torch.zeros_like(flat, dtype=torch.long)
        if not kind.startswith("class"):
            row = torch.arange(len(counts_as)).repeat_interleave(flat.shape[1] // len(counts_as)).expand_as(flat)
        fair = counted * counts_as[row, (flat * counted).long() if kind.startswith("class") else (flat > 0.5).long()]
    return Scores(*(t.sum(1) for t in (losses, weights, score, counted, score * fair, fair)))


def joined(parts):
    "Several `Scores` as one."
    return Scores(*(torch.cat(p) for p in zip(*parts, strict=True)))


def difference(a, b, weight):
    """`(mean, standard error)` of `sum(a - b) / sum(weight)` over items that both measured: how much more `a` is than `b`.

    The error is that of a ratio, so that it holds for weighted losses and for items of several targets too.
    """
    d = a - b
    total = weight.sum().clamp(min=1e-12)
    mean = d.sum() / total
    n = len(d)
    return float(mean), float((d - mean * weight).square().sum().sqrt() / total * (n / max(1, n - 1)) ** 0.5)


# -- gradient boosting --------------------------------------------------------------------------------------------------------------
def boosting_of(table, by_class, seed=0):
    "Scikit-learn's `HistGradientBoosting` for the columns of a processed `TabularPandas`, not fitted."
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    categorical = [name in table.cat_names and len(table.classes.get(name, ())) <= MAX_CATEGORIES for name in table.x_names]
    kind = HistGradientBoostingClassifier if by_class else HistGradientBoostingRegressor
    return kind(categorical_features=categorical if any(categorical) else None, random_state=seed)


def class_probabilities(model, xs, n):
    "The probabilities (rows, n) of a fitted classifier; 0 for declared classes that training did not have."
    import numpy as np
    probs = np.zeros((len(xs), n))
    probs[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(xs)
    return probs


def fit_in_time(model, xs, ys, seconds=math.inf, weights=None, step=10):
    "Fit boosting, `step` rounds at a time, until it is done or `seconds` are over; how many rounds that were."
    end, rounds = time.perf_counter() + seconds, model.get_params()["max_iter"]
    for n in [*range(step, rounds, step), rounds]:
        model.set_params(warm_start=True, max_iter=n)
        model.fit(xs, ys, sample_weight=weights)
        if time.perf_counter() > end:
            break
    return model.n_iter_


def boosted(train, valid, kind, loss_func, seconds=math.inf):
    """`(predictions as the loss takes them, rounds)` of boosting for the rows of the table `valid`; None where the target is neither one
    class nor numbers. It works in this thread alone."""
    import numpy as np
    from threadpoolctl import threadpool_limits
    xs, ys, new = train.xs.to_numpy(), train.ys.to_numpy(), valid.xs.to_numpy()
    by_class = kind.startswith("class")
    if kind in ("logits", "probabilities") or (by_class and (ys.shape[1] > 1 or len(np.unique(ys)) < 2)):
        return None
    with threadpool_limits(1):
        if by_class:
            weight, model = class_weight_of(loss_func), boosting_of(train, True)
            rows = None if weight is None else weight.detach().cpu().numpy()[ys[:, 0]]
            rounds = fit_in_time(model, xs, ys[:, 0], seconds, rows)
            probs = class_probabilities(model, new, train.c)
            return torch.from_numpy(np.log(np.clip(probs, 1e-15, 1))).float(), rounds
        models = [boosting_of(train, False) for _ in range(ys.shape[1])]
        rounds = min(fit_in_time(m, xs, ys[:, j], seconds / len(models)) for j, m in enumerate(models))
        preds = torch.from_numpy(np.stack([m.predict(new) for m in models], 1)).float()
        return preds.clamp(min=1e-8).log() if of_logarithms(loss_func) else preds, rounds
