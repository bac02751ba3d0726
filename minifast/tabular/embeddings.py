"""What a network has learnt about categories, as columns of numbers for other models.

Source: C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, https://arxiv.org/abs/1604.06737.
"""
import numpy as np
import pandas as pd

from ..messages import did_you_mean
from .columns import as_frame, listed_names
from .factorize import factorized

__all__ = ["add_embeddings", "embeddings_frame"]


def embeddings_frame(learn, name):
    "The embedding of a category column: a DataFrame with a row per category, `'#na#'` first, and columns `{name}_0`, `{name}_1` ..."
    embeds, table = getattr(learn.model, "embeds", None), learn.table()
    if embeds is None:
        raise TypeError(f"embeddings_frame takes a learner whose model has an embedding per column; received {type(learn.model).__name__}")
    if name not in table.classes:
        raise KeyError(f"{name!r} is no category column{did_you_mean(name, table.classes) or '.'} Columns: "
                       f"{', '.join(map(str, table.classes))}")
    weight = embeds[table.cat_names.index(name)].weight.detach().cpu().numpy()
    columns = [f"{name}_{i}" for i in range(weight.shape[1])]
    return pd.DataFrame(weight, index=pd.Index(list(table.classes[name]), name=name), columns=columns)


def add_embeddings(df, learn, names=None, drop=True):
    """`df` with the embeddings of category columns as further columns, for a forest or for boosting: missing and unknown values get the
    vector of `'#na#'`.

    names: default every category column of the learner's data that `df` has. drop: leave these columns themselves out.
    """
    df, classes = as_frame(df, "add_embeddings"), learn.table().classes
    names = [n for n in classes if n in df.columns] if names is None else listed_names(names, df)
    missing = [n for n in names if n not in df.columns]
    if missing or not names:
        raise ValueError(f"add_embeddings: the frame has no column {missing[0]!r}" if missing else
                         "add_embeddings: the frame has none of the category columns of the learner's data")
    parts = [df.drop(columns=names) if drop else df]
    for name in names:
        vectors, lookup = embeddings_frame(learn, name), classes[name].o2i
        codes, values = factorized(df[name], name)
        ids = np.array([*(lookup.get(v, 0) for v in values), 0])
        parts.append(pd.DataFrame(vectors.to_numpy()[ids[codes]], index=df.index, columns=vectors.columns))
    return pd.concat(parts, axis=1)
