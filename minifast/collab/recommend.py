"""The best items for a user, and the items most similar to one."""
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe, did_you_mean, plural
from ..data.categories import NA
from ..tabular.learner import TabularLearner
from ..tabular.model import TabularModel
from .loaders import TabularCollab
from .models import EmbeddingDotBias


def collab_table(learn: TabularLearner, where: str) -> TabularCollab:
    "The training table of a learner made by `collab_learner`."
    table = getattr(getattr(getattr(learn, "dls", None), "train", None), "dataset", None)
    if not isinstance(table, TabularCollab):
        raise TypeError(f"{where} takes a learner made by collab_learner; received {describe(learn)}")
    return table


def check_k(k: int) -> int:
    "`k`, a number of items."
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k={k!r}: how many items, a whole number >= 1")
    return int(k)


def score_items(learn: TabularLearner, table: TabularCollab, users: list[int], exclude_seen: bool) -> torch.Tensor:
    """The predicted rating of every item by the users with these ids.

    Returns:
        (n, items) on the CPU, -inf for item 0, `'#na#'`, and with `exclude_seen` for the items that the user rated in the training rows.
    """
    model: Any = learn.model
    device = learn.dls.device
    learn.to_device()
    model.eval()
    ids = torch.as_tensor(users, device=device)
    with torch.no_grad():
        if isinstance(model, EmbeddingDotBias):
            scores = torch.cat([model.all_items(part) for part in ids.split(1024)]).cpu()
        else:
            items = torch.arange(len(table.classes[table.cat_names[1]]), device=device)
            scores = torch.stack([model(torch.stack([user.expand(len(items)), items], 1)).reshape(-1) for user in ids]).cpu()
    scores[:, 0] = -torch.inf
    if exclude_seen:
        rated = pd.DataFrame(table.tensors[0].numpy(), columns=["user", "item"])
        asked = pd.DataFrame({"user": users, "row": range(len(users))}).query("user != 0")
        seen = asked.merge(rated, on="user")
        scores[seen["row"].to_numpy(copy=True), seen["item"].to_numpy(copy=True)] = -torch.inf
    return scores


def _best(scores: torch.Tensor, k: int, table: TabularCollab, column: str) -> pd.DataFrame:
    "The items with the `k` highest of `scores` (items,), without those at -inf."
    best, item = scores.topk(min(check_k(k), len(scores))), table.cat_names[1]
    keep = best.values > -torch.inf
    return pd.DataFrame({item: list(table.classes[item].map_ids(best.indices[keep].tolist())), column: best.values[keep].numpy()})


def recommend(learn: TabularLearner, user: Any, k: int = 10, exclude_seen: bool = True) -> pd.DataFrame:
    """The items that `user` is predicted to rate highest.

    A user without a rating in the training rows gets the recommendations of an unknown user, and a warning.

    Args:
        learn: made by `collab_learner`.
        user: one user, as in the training data.
        k: how many items.
        exclude_seen: leave out what the user rated in the training rows.

    Returns:
        The item and `score`, its predicted rating, the best first.
    """
    table = collab_table(learn, "recommend")
    if isinstance(user, (list, set, dict, np.ndarray, pd.Series, pd.Index, torch.Tensor)):
        raise TypeError(f"recommend takes one user; received {describe(user)}. For several write {{u: recommend(learn, u) for u in users}}")
    known = table.classes[table.cat_names[0]]
    user_id = known.id_of(user) if user in known else 0
    if user_id == 0:
        warn(f"{plural(1, 'user')} without a rating in the training data, such as {user!r}: they get what an unknown user ({NA}) gets, "
             "which depends on the items alone", stacklevel=2)
    return _best(score_items(learn, table, [user_id], exclude_seen)[0], k, table, "score")


def similar_items(learn: TabularLearner, item: Any, k: int = 10) -> pd.DataFrame:
    """The items whose vectors are closest in direction to that of `item`.

    Args:
        learn: made by `collab_learner`.
        item: one item, as in the training data.
        k: how many.

    Returns:
        The item and `similarity`, the cosine, the most similar first.
    """
    table, model = collab_table(learn, "similar_items"), learn.model
    column = table.cat_names[1]
    known = table.classes[column]
    if item not in known or item == NA:
        raise KeyError(f"{item!r} is no item of the training data, column {column!r}{did_you_mean(item, known)}")
    if not isinstance(model, (EmbeddingDotBias, TabularModel)):
        raise TypeError("similar_items knows the vectors of EmbeddingDotBias and EmbeddingNN; "
                        f"the model is a {type(model).__name__}: compare the vectors of its own embedding with torch.cosine_similarity")
    embedding: Any = model.i_weight if isinstance(model, EmbeddingDotBias) else model.embeds[1]
    vectors = embedding.weight.detach().cpu()
    cosine = torch.cosine_similarity(vectors, vectors[known.id_of(item)][None])
    cosine[[0, known.id_of(item)]] = -torch.inf
    return _best(cosine, k, table, "similarity")
