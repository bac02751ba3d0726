"""What a learner has learnt about columns: which it relies on, how its predictions depend on one, and the embeddings of categories.

Source of the embeddings: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, https://arxiv.org/abs/1604.06737.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe, did_you_mean, plural
from ..data.rows import as_frame
from .columns import check_known, factorized, listed_names, numbers_of
from .dataloader import TabDataLoader
from .frames import TabularPandas
from .learner import TabularLearner

__all__ = ["add_embeddings", "embeddings_frame", "partial_dependence", "permutation_importance"]


def _loader(learn: TabularLearner, ds_idx: int, dl: Any, where: str) -> TabDataLoader:
    dl = learn.dls[ds_idx] if dl is None else dl
    if not isinstance(dl, TabDataLoader):
        raise TypeError(f"{where} needs loaders of a TabularPandas; received {describe(dl)}")
    return dl


def permutation_importance(learn: TabularLearner, ds_idx: int = 1, dl: Any = None, monitor: str = "valid_loss", n_repeats: int = 3,
                           seed: int = 0) -> pd.DataFrame:
    """How much worse the learner gets when the values of one column are shuffled among the rows.

    A column and the marks of its missing values are shuffled together. Redundant columns share their importance.

    Args:
        learn: the learner.
        ds_idx, dl: which rows, with labels; default: validation.
        monitor: 'valid_loss' or the name of one of the learner's metrics, which must say whether lower is better.
        n_repeats: how often each column is shuffled.
        seed: of the shuffling.

    Returns:
        `column`, `importance` (the mean over the repeats, positive where the column helps) and `std`, the most important first.

    Source: L. Breiman, "Random Forests", 2001.
    """
    dl = _loader(learn, ds_idx, dl, "permutation_importance")
    table, tensors = dl.dataset, dl.dataset.tensors
    if len(tensors) <= table.n_inp:
        raise ValueError("permutation_importance needs rows with labels: make them with dls.test_dl(df, with_labels=True)")
    place, sign = _monitored(learn, monitor)
    positions = _positions(table)

    def score(_: Any, rows: np.ndarray, y: None) -> float:
        "How good the learner is where each column takes its values from rows of its own."
        mixed = [t.clone() for t in tensors]
        for order, places in zip(torch.from_numpy(rows).T, positions.values(), strict=True):
            for into, values, columns in zip(mixed[:table.n_inp], tensors, places, strict=False):
                into[:, columns] = values[order[:, None], columns]
        with learn.no_bar():
            return -sign * learn.validate(dl=dl.new(table.with_tensors(*mixed), bs=4096, shuffle=False, drop_last=False))[place]

    from sklearn import inspection
    rows = np.repeat(np.arange(len(table))[:, None], len(positions), axis=1)            # what is shuffled are the numbers of the rows
    found = inspection.permutation_importance(learn, rows, None, scoring=score, n_repeats=n_repeats, random_state=seed)
    frame = pd.DataFrame({"column": list(positions), "importance": found.importances_mean, "std": found.importances_std})
    return frame.sort_values("importance", ascending=False, ignore_index=True)


def _monitored(learn: TabularLearner, monitor: str) -> tuple[int, int]:
    "`(position among the values of validate, sign that makes lower better)`."
    if monitor == "valid_loss":
        return 0, 1
    names = [m.name for m in learn.metrics]
    if monitor not in names:
        raise ValueError(f"monitor={monitor!r} is neither 'valid_loss' nor a metric of the learner{did_you_mean(monitor, names) or '.'} "
                         f"Metrics: {', '.join(names) or 'none'}")
    lower = learn.metrics[names.index(monitor)].lower_is_better
    if lower is None:
        raise ValueError(f"monitor={monitor!r}: this metric does not say whether lower or higher is better: set its `lower_is_better`")
    return 1 + names.index(monitor), 1 if lower else -1


def _positions(table: TabularPandas) -> dict[Any, tuple[list[int], list[int]]]:
    "`{column of the frame: (positions among the categorical columns, among the continuous columns)}`."
    marks, names = _marks(table), table.raw_cat_names + table.raw_cont_names
    return {name: ([j for j, cat in enumerate(table.cat_names) if marks.get(cat, cat) == name],
                   [j for j, cont in enumerate(table.cont_names) if cont == name]) for name in names}


def _marks(table: TabularPandas) -> dict[Any, Any]:
    "`{column of marks: the column whose missing values it marks}`."
    return {mark: name for proc in table.procs for name, mark in getattr(proc, "na_cols", {}).items()}


def partial_dependence(learn: TabularLearner, name: Any, values: Sequence | None = None, n: int = 20, ds_idx: int = 1,
                       max_rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The mean prediction if every row had the same value in one column, for each of several values.

    Args:
        learn: the learner.
        name: the column.
        values: default: the most frequent categories, or quantiles of a continuous column.
        n: how many of these.
        ds_idx: whose rows: 0 is training, 1 validation.
        max_rows: this many of them, drawn at random.
        seed: of the draw.

    Returns:
        The column, then a column per class (the mean probability) or target (the mean).

    Source: J. Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001.
    """
    dl = _loader(learn, ds_idx, None, "partial_dependence")
    table = dl.dataset
    check_known("partial_dependence", [name], table.raw_cat_names + table.raw_cont_names, "column of the data")
    rows = np.random.default_rng(seed).permutation(len(table))[:max_rows]
    frame = table.at(np.sort(rows)).decode()
    for mark, column in _marks(table).items():               # decoded, these hold what was filled in
        if mark in frame:
            frame[column] = frame[column].mask(frame[mark].eq(True).to_numpy())
    if values is not None and (isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or not len(values)):
        raise TypeError(f"partial_dependence(values=...) takes a list of values of {name!r}, at least one; received {describe(values)}")
    if values is None and name in table.raw_cont_names:
        values = np.unique(np.nanquantile(numbers_of(frame[name], name), np.linspace(0, 1, n))).tolist()
    elif values is None:
        values = frame[name].value_counts().index[:n].tolist()
    if not len(values):
        raise ValueError(f"partial_dependence: {name!r} has no value in {plural(len(frame), 'row')}")
    outputs = list(map(str, table.vocab)) if table.vocab is not None else list(table.y_names)
    means = []
    for value in values:
        frame[name] = value
        with learn.no_bar():
            preds, _ = learn.get_preds(dl=dl.new(table.test_set(frame), bs=4096, shuffle=False, drop_last=False))
        means.append(preds.reshape(len(frame), -1).mean(0).tolist())
    found = pd.DataFrame(means, columns=outputs)
    found.insert(0, name, list(values), allow_duplicates=True)
    return found


def embeddings_frame(learn: TabularLearner, name: Any) -> pd.DataFrame:
    """The embedding of a categorical column: a row per category, `'#na#'` first, and columns `{name}_0`, `{name}_1` ...

    Args:
        learn: a learner whose model has `embeds`, one embedding per column.
        name: the column.
    """
    embeds, table = getattr(learn.model, "embeds", None), _loader(learn, 0, None, "embeddings_frame").dataset
    if embeds is None:
        raise TypeError(f"embeddings_frame takes a learner whose model has an embedding per column; received {type(learn.model).__name__}")
    check_known("embeddings_frame", [name], table.classes)
    weight = embeds[table.cat_names.index(name)].weight.detach().cpu().numpy()
    columns = [f"{name}_{i}" for i in range(weight.shape[1])]
    return pd.DataFrame(weight, index=pd.Index(list(table.classes[name]), name=name), columns=columns)


def add_embeddings(df: pd.DataFrame, learn: TabularLearner, names: Sequence | str | None = None, drop: bool = True) -> pd.DataFrame:
    """A frame with the embeddings of categorical columns as further columns, for a forest or for boosting.

    Missing and unknown values get the vector of `'#na#'`.

    Args:
        df: the frame.
        learn: see `embeddings_frame`.
        names: the columns; default: every categorical column of the learner's data that `df` has.
        drop: leave these columns themselves out.
    """
    df, classes = as_frame(df, "add_embeddings"), _loader(learn, 0, None, "add_embeddings").dataset.classes
    names = [n for n in classes if n in df.columns] if names is None else listed_names(names, df)
    missing = [n for n in names if n not in df.columns]
    if missing or not names:
        raise ValueError(f"add_embeddings: the frame has no column {missing[0]!r}" if missing else
                         "add_embeddings: the frame has none of the categorical columns of the learner's data")
    frames, parts = {name: embeddings_frame(learn, name) for name in names}, [df.drop(columns=names) if drop else df]
    taken = [c for vectors in frames.values() for c in vectors.columns if c in parts[0].columns]
    if taken:
        raise ValueError(f"add_embeddings: the frame has columns {taken[:5]} already: were they added before?")
    for name, vectors in frames.items():
        (codes, values), known = factorized(df[name]), classes[name].o2i
        ids = np.array([*(known.get(v, 0) for v in values), 0])
        parts.append(pd.DataFrame(vectors.to_numpy()[ids[codes]], index=df.index, columns=vectors.columns))
    return pd.concat(parts, axis=1)
