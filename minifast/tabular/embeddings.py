"""What a network has learnt about categories, as continuous columns for other models.

Source: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, https://arxiv.org/abs/1604.06737.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.messages import describe, did_you_mean
from .columns import as_frame, listed_names
from .factorize import factorized
from .frames import TabularPandas
from .learner import TabularLearner

__all__ = ["add_embeddings", "embeddings_frame"]


def _table(learn: TabularLearner) -> TabularPandas:
    table = getattr(learn.dls.train, "dataset", None)
    if not isinstance(table, TabularPandas):
        raise TypeError(f"this takes a learner whose loaders are made of a TabularPandas; received one with {describe(learn.dls.train)}")
    return table


def embeddings_frame(learn: TabularLearner, name: Any) -> pd.DataFrame:
    """The embedding of a categorical column: a row per category, `'#na#'` first, and columns `{name}_0`, `{name}_1` ...

    Args:
        learn: a learner whose model has `embeds`, one embedding per column.
        name: the column.
    """
    embeds, table = getattr(learn.model, "embeds", None), _table(learn)
    if embeds is None:
        raise TypeError(f"embeddings_frame takes a learner whose model has an embedding per column; received {type(learn.model).__name__}")
    if name not in table.classes:
        raise KeyError(f"{name!r} is no categorical column{did_you_mean(name, table.classes) or '.'} Columns: "
                       f"{', '.join(map(str, table.classes))}")
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
    df, classes = as_frame(df, "add_embeddings"), _table(learn).classes
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
