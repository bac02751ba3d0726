"""Gradient boosting on the rows of a processed table, the baseline of tabular data.

Source: L. Grinsztajn et al., "Why do tree-based models still outperform deep learning on typical tabular data?", 2022
(https://arxiv.org/abs/2207.08815).
"""
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...learner.constant_guess import of_logarithms
from ...nn.loss_traits import class_weight_of
from ..outcomes import in_time

#: More categories than scikit-learn's boosting can tell apart: such a column is taken as a number.
MAX_CATEGORIES = 255


def boosting_of(table: Any, by_class: bool, seed: int = 0) -> Any:
    "Scikit-learn's `HistGradientBoosting` for the columns of a processed `TabularPandas`, not fitted."
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    categorical = [name in table.cat_names and len(table.classes.get(name, ())) <= MAX_CATEGORIES for name in table.x_names]
    kind = HistGradientBoostingClassifier if by_class else HistGradientBoostingRegressor
    return kind(categorical_features=categorical if any(categorical) else None, random_state=seed)


def class_probabilities(model: Any, xs: np.ndarray, n: int) -> np.ndarray:
    "The probabilities (rows, n) of a fitted classifier; 0 for classes that training did not have."
    probs = np.zeros((len(xs), n))
    probs[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(xs)
    return probs


def fit_in_time(model: Any, xs: np.ndarray, ys: np.ndarray, seconds: float = math.inf, weights: np.ndarray | None = None,
                step: int = 10) -> int:
    "Fit boosting, `step` rounds at a time, until it is done or `seconds` are over; how many rounds that were."
    rounds = model.get_params()["max_iter"]
    for n in in_time([*range(step, rounds, step), rounds], seconds):
        model.set_params(warm_start=True, max_iter=n).fit(xs, ys, sample_weight=weights)
    return model.n_iter_


def boosted(train: Any, valid: Any, kind: str, loss_func: Callable, seconds: float = math.inf) -> tuple[torch.Tensor, int] | None:
    """Predictions of boosting for the rows of the table `valid`, as the loss takes them, and the rounds that it was fitted for.

    None where the target is neither one class nor numbers. It works in this thread alone.
    """
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
            return torch.from_numpy(np.log(np.clip(class_probabilities(model, new, train.c), 1e-15, 1))).float(), rounds
        models = [boosting_of(train, False) for _ in range(ys.shape[1])]
        rounds = min(fit_in_time(m, xs, y, seconds / len(models)) for m, y in zip(models, ys.T, strict=True))
        preds = torch.from_numpy(np.stack([m.predict(new) for m in models], 1)).float()
        return preds.clamp(min=1e-8).log() if of_logarithms(loss_func) else preds, rounds
