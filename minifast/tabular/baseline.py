"""`tabular_baseline`: what a constant, a random forest and gradient boosting reach on the same rows, beside the network."""
import time

import numpy as np
import pandas as pd

from ..checks.learner.boosting import boosting_of, class_probabilities
from ..core.messages import describe
from .dataloader import TabDataLoader
from .frames import TabularPandas
from .targets import Classes, Numbers

__all__ = ["tabular_baseline"]


def tabular_baseline(dls, learn=None, seed=0, n_jobs=None):
    """A DataFrame with a row for a constant, scikit-learn's random forest and `HistGradientBoosting`, fitted on the training rows of `dls`,
    and with `learn` one for the network and one for the mean of network and boosting, all on the validation rows.

    Columns: for classes `log_loss`, `accuracy` and, if there are two, `roc_auc`; for numbers `rmse`, `mae` and `r2`; and `seconds` of
    fitting. The best comes first.
    """
    if not isinstance(getattr(dls, "train", None), TabDataLoader):
        raise TypeError(f"tabular_baseline takes loaders of a TabularPandas; received {describe(dls)}")
    train, valid = dls.train.dataset, getattr(dls.valid, "dataset", None)
    if valid is None:
        raise ValueError("tabular_baseline compares on validation rows, and these loaders have none: give splits, or valid_pct")
    if learn is not None and not _same_steps(getattr(learn.dls.train, "dataset", None), train):
        raise ValueError("tabular_baseline: the learner was made with other data than these loaders (other rows for training, or other "
                         "columns), so its codes and numbers mean other things: write tabular_baseline(learn.dls, learn)")
    if not isinstance(train.target, (Classes, Numbers)):
        what = "nothing" if train.target is None else train.target.kind
        raise ValueError(f"tabular_baseline is for classes and numbers; the target here is {what}")
    by_class = isinstance(train.target, Classes)
    rows, predictions = [], {}
    for name, model in _models(train, by_class, seed, n_jobs).items():
        start = time.perf_counter()
        model.fit(train.xs.to_numpy(), train.ys.to_numpy().squeeze())
        seconds = time.perf_counter() - start
        predictions[name] = _predicted(model, valid.xs.to_numpy(), train, by_class)
        rows.append({"model": name, **_measured(predictions[name], valid, by_class), "seconds": seconds})
    if learn is not None:
        network = learn.get_preds(dl=dls.valid)[0].numpy()
        for name, preds in (("network", network), ("network + boosting",
                                                   (network + predictions["gradient boosting"].reshape(network.shape)) / 2)):
            rows.append({"model": name, **_measured(preds, valid, by_class), "seconds": float("nan")})
    return pd.DataFrame(rows).set_index("model").sort_values("log_loss" if by_class else "rmse")


def _same_steps(a, b):
    "Whether two tables encode rows alike."
    if not isinstance(a, TabularPandas) or a.procs is b.procs:
        return isinstance(a, TabularPandas)
    try:
        return a.state_dict() == b.state_dict()
    except TypeError:                   # values that cannot be stored
        return False


def _models(train, by_class, seed, n_jobs):
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


def _predicted(model, xs, train, by_class):
    return class_probabilities(model, xs, train.c) if by_class else model.predict(xs)


def _measured(preds, valid, by_class):
    from sklearn import metrics
    y = valid.ys.to_numpy().squeeze()
    if not by_class:
        preds = preds.reshape(y.shape)
        return {"rmse": float(np.sqrt(np.square(preds - y).mean())), "mae": float(np.abs(preds - y).mean()),
                "r2": float(metrics.r2_score(y, preds)) if len(y) > 1 else float("nan")}
    found = {"log_loss": float(-np.log(np.clip(preds[np.arange(len(y)), y], 1e-15, 1)).mean()),
             "accuracy": float((preds.argmax(1) == y).mean())}
    if preds.shape[1] == 2:
        found["roc_auc"] = float(metrics.roc_auc_score(y, preds[:, 1])) if len(set(y)) == 2 else float("nan")
    return found
