"""Measures of a ranking: how far up are the items that matter to a user?"""
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import plural
from ..tabular.columns import as_frame, check_columns
from ..tabular.learner import TabularLearner
from .loaders import refuse_missing
from .recommend import check_k, collab_table, score_items


def _pairs(recommended: Iterable, relevant: Iterable) -> list[tuple]:
    recommended, relevant = list(recommended), list(relevant)
    if len(recommended) != len(relevant) or not recommended:
        raise ValueError(f"one ranking and one collection of relevant items per user is needed; received {len(recommended)} rankings and "
                         f"{len(relevant)} collections")
    empty = sum(not len(r) for r in relevant)
    if empty:
        raise ValueError(f"{plural(empty, 'user')} without a relevant item: nothing can be found for them, leave them out")
    return list(zip(recommended, relevant, strict=True))


def hit_rate_at_k(recommended: Iterable[Sequence], relevant: Iterable[Collection], k: int = 10) -> float:
    """The fraction of users with a relevant item among the first `k` of their ranking.

    Args:
        recommended: rankings of items, one per user.
        relevant: sets of items, one per user, none of them empty.
        k: how many items of each ranking count.
    """
    check_k(k)
    pairs = _pairs(recommended, relevant)
    return sum(any(item in found for item in list(ranking)[:k]) for ranking, found in pairs) / len(pairs)


def ndcg_at_k(recommended: Iterable[Sequence], relevant: Iterable[Collection | Mapping[Any, float]], k: int = 10) -> float:
    """Normalised discounted cumulative gain at `k`, the mean over users.

    The sum of gain / log2(1 + rank) over the first `k` ranks, divided by that of the best possible ranking.

    Args:
        recommended: rankings of items, one per user.
        relevant: sets of items (gain 1), or dicts from items to gains, one per user.
        k: how many items of each ranking count.

    Source: K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    check_k(k)
    total, pairs = 0.0, _pairs(recommended, relevant)
    for ranking, found in pairs:
        gains = found if isinstance(found, dict) else dict.fromkeys(found, 1.0)
        gain = _discounted(gains.get(item, 0.0) for item in list(ranking)[:k])
        best = _discounted(sorted(gains.values(), reverse=True)[:k])
        total += gain / best if best else 0.0
    return float(total / len(pairs))


def _discounted(gains: Iterable[float]) -> float:
    return sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains))


def evaluate_ranking(learn: TabularLearner, df: pd.DataFrame, k: int = 10, threshold: float | None = None,
                     exclude_seen: bool = True) -> pd.Series:
    """How well the predicted ranking of all items fits the ratings of `df`.

    Users without a relevant item are left out. Items that training did not have cannot be found, and count.

    Args:
        learn: made by `collab_learner`.
        df: ratings, in the columns of the training data.
        k: how many items of each ranking count.
        threshold: the rating from which an item is relevant; default: every item of `df` is.
        exclude_seen: leave the items that the user rated in the training rows out of the ranking.

    Returns:
        `hit_rate`, `ndcg` (gain 1 for each relevant item), and the number of `users`, and of `cold_users` and `cold_items`, which training
        did not have.
    """
    table, where = collab_table(learn, "evaluate_ranking"), "evaluate_ranking"
    df = as_frame(df, where)
    user, item = table.cat_names
    check_columns(df, {"users": [user], "items": [item], **({} if threshold is None else {"ratings": table.y_names})}, where)
    refuse_missing(df, (user, item), "leave these rows out")
    df = df if threshold is None else df[df[table.y_names[0]] >= threshold]
    if not len(df):
        raise ValueError(f"{where}: no row has a rating of {threshold} or more" if threshold is not None else
                         f"{where}: the frame has no rows")
    known_users, known_items = table.classes[user], table.classes[item]
    relevant = {u: set(group) for u, group in df.groupby(user, observed=True)[item]}
    ids = [known_users.id_of(u) if u in known_users else 0 for u in relevant]
    scores = score_items(learn, table, ids, exclude_seen)
    best = scores.topk(min(check_k(k), scores.shape[1] - 1))
    rankings = [list(known_items.map_ids(found[score > -torch.inf].tolist())) for score, found in zip(*best, strict=True)]
    return pd.Series({"hit_rate": hit_rate_at_k(rankings, relevant.values(), k), "ndcg": ndcg_at_k(rankings, relevant.values(), k),
                      "users": len(relevant), "cold_users": ids.count(0),
                      "cold_items": len({i for i in df[item].unique() if i not in known_items})})
