"""The best items for a user, the items most similar to one, and measures of a ranking: how far up are the items that matter?"""
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.messages import brief, describe, did_you_mean, plural
from ..data.categories import NA, CategoryMap
from ..data.rows import as_frame
from ..tabular.columns import check_columns
from ..tabular.learner import TabularLearner
from ..tabular.model import TabularModel
from .loaders import TabularCollab, refuse_missing
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
        raise ValueError(f"k={brief(k)}: how many items, a whole number >= 1")
    return int(k)


def score_items(learn: TabularLearner, table: TabularCollab, users: list[int], exclude_seen: bool, where: str) -> torch.Tensor:
    """The predicted rating of every item by the users with these ids; `where` names the call in messages.

    Returns:
        (n, items) on the CPU, -inf for item 0, `'#na#'`, and with `exclude_seen` for the items that the user rated in the training rows.
    """
    seen = [table.rated_by(user) for user in users] if exclude_seen else []
    if any(items is None for items in seen):
        raise ValueError(f"{where}: which items a user has rated is not known, because this table or learner was saved by a version of "
                         "minifast that did not store it: save or export it again, or write exclude_seen=False to rank these items too")
    model: Any = learn.model
    device = learn.dls.device
    ids = torch.as_tensor(users, device=device)
    with learn.pass_lock.for_pass(), torch.no_grad():
        learn.to_device()
        model.eval()
        if isinstance(model, EmbeddingDotBias):
            scores = torch.cat([model.all_items(part) for part in ids.split(1024)]).cpu()
        else:
            items = torch.arange(len(table.classes[table.cat_names[1]]), device=device)
            scores = torch.stack([model(torch.stack([user.expand(len(items)), items], 1)).reshape(-1) for user in ids]).cpu()
    scores[:, 0] = -torch.inf
    for row, rated in zip(scores, seen, strict=False):
        row[rated] = -torch.inf
    return scores


def check_ids(values: Iterable, known: CategoryMap, column: Any, where: str, advice: Callable[[str], str]) -> None:
    """Refuse ids that cannot be those of training, because they are text and those are not, or the other way round.

    Args:
        values: the ids.
        known: those of training.
        column: what they are, for the message.
        where: the call.
        advice: how to convert them to the type of this name.
    """
    unknown = [v for v in values if v not in known]
    training = next((v for v in known if v != NA), None)
    if not unknown or training is None:
        return
    texts = {isinstance(v, str) for v in known if v != NA}
    odd = next((v for v in unknown if isinstance(v, str) not in texts), None)
    if odd is not None:
        how = f": convert them, {advice(type(training).__name__)}" if type(training) in (int, float, str) else ""
        raise TypeError(f"{where}: in training, column {column!r} held {describe(training)} and the like, never {describe(odd)}, so no "
                        f"rating would be found{how}")


def _astype(name, kind):
    return f"df.astype({{{name!r}: {kind}}})"


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

    Raises:
        TypeError: `user` is text and the users in training are not, or the other way round.

    Returns:
        The item and `score`, its predicted rating, the best first.
    """
    table = collab_table(learn, "recommend")
    if isinstance(user, (list, set, dict, np.ndarray, pd.Series, pd.Index, torch.Tensor)):
        raise TypeError(f"recommend takes one user; received {describe(user)}. For several write {{u: recommend(learn, u) for u in users}}")
    known = table.classes[table.cat_names[0]]
    check_ids([user], known, table.cat_names[0], "recommend", lambda kind: f"{kind}(user)")
    user_id = known.id_of(user) if user in known else 0
    if user_id == 0:
        warn(f"{plural(1, 'user')} without a rating in the training data, such as {user!r}: they get what an unknown user ({NA}) gets, "
             "which depends on the items alone", stacklevel=2)
    return _best(score_items(learn, table, [user_id], exclude_seen, "recommend")[0], k, table, "score")


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


# -- measures of a ranking -----------------------------------------------------------------------------------------------------------
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

    Raises:
        TypeError: the ids are text and those of training are not, or the other way round.

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
    for name, known in ((user, known_users), (item, known_items)):
        check_ids(df[name].unique().tolist(), known, name, where, partial(_astype, name))
    relevant = {u: set(group) for u, group in df.groupby(user, observed=True)[item]}
    ids = [known_users.id_of(u) if u in known_users else 0 for u in relevant]
    scores = score_items(learn, table, ids, exclude_seen, where)
    best = scores.topk(min(check_k(k), scores.shape[1] - 1))
    rankings = [list(known_items.map_ids(found[score > -torch.inf].tolist())) for score, found in zip(*best, strict=True)]
    return pd.Series({"hit_rate": hit_rate_at_k(rankings, relevant.values(), k), "ndcg": ndcg_at_k(rankings, relevant.values(), k),
                      "users": len(relevant), "cold_users": ids.count(0),
                      "cold_items": len({i for i in df[item].unique() if i not in known_items})})
