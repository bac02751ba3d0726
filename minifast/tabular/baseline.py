"""`tabular_baseline`: what a constant, a random forest and gradient boosting reach on the same rows, beside the network."""
import time
from typing import Any

import numpy as np
import pandas as pd

from ..checks.learner.boosting import boosting_of, class_probabilities
from ..core.messages import describe
from .dataloader import TabDataLoader, TableDataLoaders
from .frames import TabularPandas
from .learner import TabularLearner
from .targets import Classes, Numbers

__all__ = ["tabular_baseline"]


def tabular_baseline(dls: TableDataLoaders, learn: TabularLearner | None = None, seed: int = 0,
                     n_jobs: int | None = None) -> pd.DataFrame:
    """Compare a constant, scikit-learn's random forest and `HistGradientBoosting`, and a network, on the validation rows.

    Args:
        dls: loaders of a `TabularPandas`; its training rows are what the models are fitted on.
        learn: a trained learner on these loaders; adds rows for the network and for the mean of network and boosting.
        seed: of forest and boosting.
        n_jobs: processes of the forest.

    Returns:
        A row per model, the best first; for classes `log_loss`, `accuracy` and, if there are two, `roc_auc`; for numbers `rmse`, `mae` and
        `r2`; and `seconds` of fitting.
    """
    if not isinstance(getattr(dls, "train", None), TabDataLoader):
        raise TypeError(f"tabular_baseline takes loaders of a TabularPandas; received {describe(dls)}")
    train, valid = dls.train.dataset, getattr(dls.valid, "dataset", None)
    if valid is None:
        raise ValueError("tabular_baseline compares on validation rows, and these loaders have none: give splits, or valid_pct")
    if learn is not None and not _same_steps(getattr(learn.dls.train, "dataset", None), train):
        raise ValueError("tabular_baseline: the learner was made with other data than these loaders (other rows for training, or other "
                         "columns), so its inputs mean other things: write tabular_baseline(learn.dls, learn)")
    if not isinstance(train.target, (Classes, Numbers)):
        what = "nothing" if train.target is None else train.target.kind
        raise ValueError(f"tabular_baseline is for one class per row or for numbers; the target here is {what}")
    by_class = isinstance(train.target, Classes)
    rows, predictions, xs = [], {}, valid.xs.to_numpy()
    for name, model in _models(train, by_class, seed, n_jobs).items():
        start = time.perf_counter()
        model.fit(train.xs.to_numpy(), train.ys.to_numpy().squeeze())
        seconds = time.perf_counter() - start
        predictions[name] = class_probabilities(model, xs, train.c) if by_class else model.predict(xs)
        rows.append({"model": name, **_measured(predictions[name], valid, by_class), "seconds": seconds})
    if learn is not None:
        network = learn.get_preds(dl=dls.valid)[0].numpy()
        both = (network + predictions["gradient boosting"].reshape(network.shape)) / 2
        rows += [{"model": name, **_measured(preds, valid, by_class), "seconds": float("nan")}
                 for name, preds in (("network", network), ("network + boosting", both))]
    return pd.DataFrame(rows).set_index("model").sort_values("log_loss" if by_class else "rmse")


def _same_steps(a: Any, b: TabularPandas) -> bool:
    "Whether two tables encode rows alike."
    try:
        return isinstance(a, TabularPandas) and (a.procs is b.procs or a.state_dict() == b.state_dict())
    except TypeError:                   # values that cannot be stored
        return False


def _models(train: TabularPandas, by_class: bool, seed: int, n_jobs: int | None) -> dict[str, Any]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.multioutput import MultiOutputRegressor
    forest = {"n_estimators": 200, "min_samples_leaf": 3, "n_jobs": n_jobs, "random_state": seed}
    boosting = boosting_of(train, by_class, seed)
    if by_class:
        return {"constant": DummyClassifier(strategy="prior"), "random forest": RandomForestClassifier(**forest),
                "gradient boosting": boosting}
    return {"constant": DummyRegressor(), "random forest": RandomForestRegressor(**forest),
            "gradient boosting": MultiOutputRegressor(boosting) if train.c > 1 else boosting}


def _measured(preds: np.ndarray, valid: TabularPandas, by_class: bool) -> dict[str, float]:
    from sklearn import metrics
    y = valid.ys.to_numpy().squeeze()
    if not by_class:
        preds = preds.reshape(y.shape)
        return {"rmse": float(np.sqrt(metrics.mean_squared_error(y, preds))), "mae": float(metrics.mean_absolute_error(y, preds)),
                "r2": float(metrics.r2_score(y, preds)) if len(y) > 1 else float("nan")}
    found = {"log_loss": float(-np.log(np.clip(preds[np.arange(len(y)), y], 1e-15, 1)).mean()),
             "accuracy": float((preds.argmax(1) == y).mean())}
    if preds.shape[1] == 2:
        found["roc_auc"] = float(metrics.roc_auc_score(y, preds[:, 1])) if len(set(y)) == 2 else float("nan")
    return found
