"""Collaborative filtering: ratings of items by users, recommendations, similar items, and measures of a ranking.

    dls = CollabDataLoaders.from_df(ratings, item_name="title")
    learn = collab_learner(dls, n_factors=50, y_range=(0, 5.5))
    learn.fit_one_cycle(5, 5e-3, wd=0.1)
    recommend(learn, user=196)

Id 0 of users and items is `'#na#'`: everyone who was not there in training shares it.
"""
from pathlib import Path
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe, did_you_mean, plural
from ..data.block import RegressionBlock
from ..data.categories import NA
from ..nn.activations import SigmoidRange, sigmoid_range
from ..nn.layers import Embedding
from ..nn.losses import MSELossFlat
from ..nn.module import Module
from ..nn.output_bias import before_range
from ..optim.optimizers import Adam
from ..tabular.columns import as_frame, check_columns, rows_of
from ..tabular.frames import TabularPandas
from ..tabular.learner import TabularLearner, emb_sizes
from ..tabular.loaders import TabularDataLoaders
from ..tabular.model import TabularModel, check_config
from ..tabular.procs import Categorify
from ..tabular.splits import index_split, random_split


class TabularCollab(TabularPandas):
    "A `TabularPandas` of two category columns, users and items, and a rating; batches are (ids int64 (B, 2), ratings float32 (B,))."

    with_cont = False


class CollabDataLoaders(TabularDataLoaders):
    "`DataLoaders` of ratings: batches of (user id, item id) and the rating."

    @classmethod
    def from_df(cls, ratings, valid_pct=0.2, user_name=None, item_name=None, rating_name=None, seed=42, path=".", bs=64, val_bs=None,
                shuffle=True, device=None, drop_last=None, valid_idx=None, splits=None, verbose=False):
        """Loaders of a frame with a rating per row.

        user_name, item_name, rating_name: columns (default: the first, second and third). valid_pct, seed: a random part of the rows is for
        validation, the same each time; instead, valid_idx: positions of these rows, or splits: positions of training and validation rows.
        The rest: see `TabDataLoader`.
        """
        ratings = as_frame(ratings, "CollabDataLoaders.from_df")
        if ratings.shape[1] < 3:
            raise ValueError("ratings need three columns: user, item and rating; the frame has "
                             f"{', '.join(map(repr, ratings.columns)) or 'none'}")
        names = [column if name is None else name for name, column in
                 zip((user_name, item_name, rating_name), ratings.columns, strict=False)]
        check_columns(ratings, dict(zip(("user_name", "item_name", "rating_name"), ([n] for n in names), strict=True)),
                      "CollabDataLoaders.from_df")
        for name in names[:2]:
            missing = ratings[name].isna().to_numpy()
            if missing.any():
                raise ValueError(f"column {name!r} is missing in {plural(int(missing.sum()), 'row')} "
                                 f"({rows_of(ratings.index, missing)}): a rating needs a user and an item")
        if valid_idx is not None and splits is not None:
            raise ValueError("CollabDataLoaders.from_df: valid_idx and splits both say which rows are for validation: give one of them")
        if splits is None:
            splits = random_split(len(ratings), valid_pct, seed) if valid_idx is None else index_split(valid_idx, len(ratings))
        table = TabularCollab(ratings, Categorify, names[:2], [], names[2], RegressionBlock, splits)
        return cls.from_tables(*(table.subset(i) for i in range(table.n_subsets)), bs=bs, val_bs=val_bs, shuffle=shuffle, path=path,
                               device=device, drop_last=drop_last, verbose=verbose)

    @classmethod
    def from_csv(cls, csv, valid_pct=0.2, user_name=None, item_name=None, rating_name=None, seed=42, path=".", bs=64, val_bs=None,
                 shuffle=True, device=None, drop_last=None, delimiter=",", header="infer", names=None, verbose=False):
        "`from_df` of the file `csv`; delimiter, header, names: as in `pandas.read_csv`."
        if isinstance(csv, (str, Path)) and not str(csv).startswith(("http:", "https:")) and not Path(csv).is_file():
            raise FileNotFoundError(f"there is no file {str(csv)!r}")
        df = pd.read_csv(csv, delimiter=delimiter, header=header, names=names)
        return cls.from_df(df, valid_pct, user_name, item_name, rating_name, seed, path, bs, val_bs, shuffle, device, drop_last,
                           verbose=verbose)


# -- models ------------------------------------------------------------------------------------------------------------------------
class EmbeddingDotBias(Module):
    """(B, 2) ids of users and items -> (B,) ratings: dot product of their vectors plus a bias of each, with `y_range` scaled to it by a
    sigmoid. Source: Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", 2009."""

    def __init__(self, n_factors, n_users, n_items, y_range=None):
        self.y_range, self.classes, self.user, self.item = y_range, None, None, None
        self.u_weight, self.i_weight = Embedding(n_users, n_factors), Embedding(n_items, n_factors)
        self.u_bias, self.i_bias = Embedding(n_users, 1), Embedding(n_items, 1)

    def forward(self, x):
        users, items = x[:, 0], x[:, 1]
        dot = (self.u_weight(users) * self.i_weight(items)).sum(1)
        return self._scaled(dot + self.u_bias(users).squeeze(1) + self.i_bias(items).squeeze(1))

    def _scaled(self, x):
        return x if self.y_range is None else sigmoid_range(x, *self.y_range)

    def all_items(self, users):
        "(n,) user ids -> (n, items) ratings of every item."
        return self._scaled(self.u_weight(users) @ self.i_weight.weight.T + self.u_bias(users) + self.i_bias.weight.T)

    def start_at(self, outputs):
        "Let the model begin with giving everyone and everything the rating `outputs` (1,), by the biases of the users; for `init_head`."
        wanted = outputs if self.y_range is None else before_range(outputs, SigmoidRange(*self.y_range))[0]
        self.u_bias.weight.add_(wanted.to(self.u_bias.weight) - self.u_bias.weight.mean() - self.i_bias.weight.mean())

    @classmethod
    def from_classes(cls, n_factors, classes, user=None, item=None, y_range=None):
        "A model for `classes`, a dict from the names of the user and the item column to their categories."
        names = list(classes)
        user, item = names[0] if user is None else user, names[1] if item is None else item
        model = cls(n_factors, len(classes[user]), len(classes[item]), y_range)
        model.classes, model.user, model.item = dict(classes), user, item
        return model

    def _ids(self, names, is_item):
        if self.classes is None:
            raise ValueError("this model does not know names, only ids: make it with EmbeddingDotBias.from_classes, or look into its "
                             "i_weight.weight and i_bias.weight")
        column = self.item if is_item else self.user
        known = self.classes[column]
        names = [names] if isinstance(names, (str, int, float, np.integer)) else list(names)
        unknown = [n for n in names if n not in known]
        if unknown:
            kind = "item" if is_item else "user"
            raise KeyError(f"{unknown[0]!r} is no {kind} of the training data, column {column!r}{did_you_mean(unknown[0], known)}"
                           + (f" ({len(unknown)} unknown in all)" if len(unknown) > 1 else ""))
        return torch.tensor([known.id_of(n) for n in names], device=self.i_weight.weight.device)

    def weight(self, names, is_item=True):
        "The vectors of items (or users) by name: (n, n_factors) on the CPU."
        return (self.i_weight if is_item else self.u_weight).weight.detach()[self._ids(names, is_item)].cpu()

    def bias(self, names, is_item=True):
        "The biases of items (or users) by name: (n,) on the CPU."
        return (self.i_bias if is_item else self.u_bias).weight.detach().squeeze(1)[self._ids(names, is_item)].cpu()


class EmbeddingNN(TabularModel):
    "(B, 2) ids of users and items -> (B, 1) ratings by embeddings and linear layers: a `TabularModel` without numbers."

    def __init__(self, emb_szs, layers, ps=None, embed_p=0.0, y_range=None, use_bn=True, bn_final=False, act_cls=torch.nn.ReLU,
                 lin_first=True):
        super().__init__(emb_szs, 0, 1, layers, ps=ps, embed_p=embed_p, y_range=y_range, use_bn=use_bn, bn_final=bn_final, bn_cont=False,
                         act_cls=act_cls, lin_first=lin_first)


def collab_learner(dls, n_factors=50, use_nn=False, emb_szs=None, layers=None, config=None, y_range=None, loss_func=None, opt_func=Adam,
                   lr=1e-3, splitter=None, cbs=None, metrics=None, path=None, model_dir="models", wd=None, wd_bn_bias=False, train_bn=True,
                   moms=(0.95, 0.85, 0.95), default_cbs=True):
    """A learner on `CollabDataLoaders`: `EmbeddingDotBias` with `n_factors`, or with use_nn `EmbeddingNN` with `layers` (default
    [n_factors]).

    y_range: (low, high) of the ratings; a little more than the highest rating, such as (0, 5.5), is easier to reach. emb_szs, config: of
    the network, see `tabular_learner` and `tabular_config`. loss_func: default `MSELossFlat`. The rest: see `Learner`.
    """
    from ..optim.groups import trainable_params
    table = getattr(getattr(dls, "train", None), "dataset", None)
    if not isinstance(table, TabularCollab):
        raise TypeError(f"collab_learner takes CollabDataLoaders (CollabDataLoaders.from_df); received {describe(dls)}")
    if not use_nn:
        given = [name for name, value in (("emb_szs", emb_szs), ("layers", layers), ("config", config)) if value is not None]
        if given:
            raise ValueError(f"collab_learner(use_nn=False) does not take {', '.join(given)}: of the network, for which write use_nn=True")
        model = EmbeddingDotBias.from_classes(n_factors, table.classes, y_range=_range(y_range))
    else:
        config = check_config(config, "tabular_config(...)")
        config.pop("bn_cont", None)
        y_range = config.pop("y_range", None) if y_range is None else (config.pop("y_range", None), y_range)[1]
        model = EmbeddingNN(emb_sizes(table, emb_szs), [n_factors] if layers is None else layers, y_range=y_range, **config)
    return TabularLearner(dls, model, loss_func=MSELossFlat() if loss_func is None else loss_func, opt_func=opt_func, lr=lr,
                          splitter=trainable_params if splitter is None else splitter, cbs=cbs, metrics=metrics, path=path,
                          model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, default_cbs=default_cbs)


def _range(y_range):
    if y_range is not None and (not isinstance(y_range, (tuple, list)) or len(y_range) != 2 or not y_range[0] < y_range[1]):
        raise ValueError(f"y_range takes (low, high), low < high; received {describe(y_range)}")
    return y_range


# -- recommendations ---------------------------------------------------------------------------------------------------------------
def _table(learn, where):
    table = getattr(getattr(getattr(learn, "dls", None), "train", None), "dataset", None)
    if not isinstance(table, TabularCollab):
        raise TypeError(f"{where} takes a learner made by collab_learner; received {describe(learn)}")
    return table


def _scores(learn, users):
    "Ratings of every item by the users with these ids: (n, items) on the CPU; item 0 is `'#na#'`."
    table, model = _table(learn, "recommend"), learn.model
    learn.to_device()
    model.eval()
    device, n_items = learn.dls.device, len(table.classes[table.cat_names[1]])
    users = torch.as_tensor(users, device=device)
    with torch.no_grad():
        if isinstance(model, EmbeddingDotBias):
            return torch.cat([model.all_items(part) for part in users.split(1024)]).cpu()
        items, rows = torch.arange(n_items, device=device), []
        for user in users:
            rows.append(model(torch.stack([user.expand(n_items), items], 1)).reshape(-1))
        return torch.stack(rows).cpu()


def _user_ids(table, users):
    "Ids of users; those that training did not have get 0, and a warning says so."
    known = table.classes[table.cat_names[0]]
    ids = [known.id_of(u) if u in known else 0 for u in users]
    unknown = [u for u, i in zip(users, ids, strict=True) if i == 0]
    if unknown:
        warn(f"{plural(len(unknown), 'user')} without a rating in the training data, such as {unknown[0]!r}: they get what an unknown user "
             f"({NA}) gets, which is a matter of the items alone", stacklevel=3)
    return ids


def _seen(table):
    "Which items each user rated in the training rows: `{user id: array of item ids}`."
    ids = pd.DataFrame(table.tensors[0].numpy(), columns=["user", "item"])
    return {user: items.to_numpy(copy=True) for user, items in ids.groupby("user")["item"]}


def recommend(learn, user, k=10, exclude_seen=True):
    """The `k` items that `user` is predicted to rate highest, a DataFrame with the item and `score`, the rating.

    exclude_seen: leave out what the user rated in the training rows. A user without a rating there gets the recommendations of an unknown
    user, and a warning.
    """
    table = _table(learn, "recommend")
    if isinstance(user, (list, set, dict, np.ndarray, pd.Series, pd.Index, torch.Tensor)):
        raise TypeError(f"recommend takes one user; received {describe(user)}. For several write {{u: recommend(learn, u) for u in users}}")
    user_id, = _user_ids(table, [user])
    scores = _scores(learn, [user_id])[0]
    scores[0] = -torch.inf
    if exclude_seen and user_id:
        scores[torch.as_tensor(_seen(table).get(user_id, np.zeros(0, dtype=np.int64)))] = -torch.inf
    best = scores.topk(min(_checked_k(k), len(scores)))
    item = table.cat_names[1]
    keep = best.values > -torch.inf
    return pd.DataFrame({item: list(table.classes[item].map_ids(best.indices[keep].tolist())), "score": best.values[keep].numpy()})


def _checked_k(k):
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k={k!r}: how many items, a whole number >= 1")
    return int(k)


def similar_items(learn, item, k=10):
    "The `k` items whose vectors point most nearly where that of `item` does: a DataFrame with the item and `similarity`, the cosine."
    table = _table(learn, "similar_items")
    column = table.cat_names[1]
    known = table.classes[column]
    if item not in known or item == NA:
        raise KeyError(f"{item!r} is no item of the training data, column {column!r}{did_you_mean(item, known)}")
    model = learn.model
    if not isinstance(model, (EmbeddingDotBias, TabularModel)):
        raise TypeError("similar_items knows the vectors of EmbeddingDotBias and EmbeddingNN; "
                        f"the model is a {type(model).__name__}: compare the vectors of its own embedding with torch.cosine_similarity")
    vectors = (model.i_weight if isinstance(model, EmbeddingDotBias) else model.embeds[1]).weight.detach().cpu()
    cosine = torch.cosine_similarity(vectors, vectors[known.id_of(item)][None])
    cosine[[0, known.id_of(item)]] = -torch.inf
    best = cosine.topk(min(_checked_k(k), max(1, len(cosine) - 2)))
    keep = best.values > -torch.inf
    return pd.DataFrame({column: list(known.map_ids(best.indices[keep].tolist())), "similarity": best.values[keep].numpy()})


# -- measures of a ranking ---------------------------------------------------------------------------------------------------------
def _pairs(recommended, relevant):
    recommended, relevant = list(recommended), list(relevant)
    if len(recommended) != len(relevant) or not recommended:
        raise ValueError(f"one ranking and one collection of relevant items per user is needed; received {len(recommended)} rankings and "
                         f"{len(relevant)} collections")
    empty = sum(not len(r) for r in relevant)
    if empty:
        raise ValueError(f"{plural(empty, 'user')} without a relevant item: nothing can be found for them, leave them out")
    return list(zip(recommended, relevant, strict=True))


def hit_rate_at_k(recommended, relevant, k=10):
    "The share of users with a relevant item among the first `k` of their ranking. recommended: rankings, one per user; relevant: sets."
    _checked_k(k)
    pairs = _pairs(recommended, relevant)
    return sum(any(item in wanted for item in list(ranking)[:k]) for ranking, wanted in pairs) / len(pairs)


def ndcg_at_k(recommended, relevant, k=10):
    """Normalised discounted cumulative gain at `k`, the mean over users: sum of gain / log2(1 + place) over the first `k` places, divided
    by that of the best ranking. relevant: sets (gain 1), or dicts from items to gains. Source: K. Järvelin, J. Kekäläinen, 2002."""
    _checked_k(k)
    total, pairs = 0.0, _pairs(recommended, relevant)
    for ranking, wanted in pairs:
        gains = wanted if isinstance(wanted, dict) else dict.fromkeys(wanted, 1.0)
        found = sum(gains.get(item, 0.0) / np.log2(place + 2) for place, item in enumerate(list(ranking)[:k]))
        best = sum(gain / np.log2(place + 2) for place, gain in enumerate(sorted(gains.values(), reverse=True)[:k]))
        total += found / best if best else 0.0
    return float(total / len(pairs))


def evaluate_ranking(learn, df, k=10, threshold=None, exclude_seen=True):
    """How well the rankings of all items fit the ratings of `df`, a frame like that of the training data: a Series with `hit_rate`, `ndcg`
    (gain 1 for each relevant item) and the number of `users`, and of `cold_users` and `cold_items` that training did not have.

    threshold: a rating from which an item counts as relevant (default: every item of `df`). exclude_seen: items that the user rated in the
    training rows are left out of the ranking. Users without a relevant item are left out; cold items cannot be found, and count.
    """
    table = _table(learn, "evaluate_ranking")
    df = as_frame(df, "evaluate_ranking")
    user, item = table.cat_names
    check_columns(df, {"users": [user], "items": [item], **({} if threshold is None else {"ratings": table.y_names})}, "evaluate_ranking")
    for name in (user, item):
        missing = df[name].isna().to_numpy()
        if missing.any():
            raise ValueError(f"evaluate_ranking: column {name!r} is missing in {plural(int(missing.sum()), 'row')} "
                             f"({rows_of(df.index, missing)}): leave these rows out")
    df = df if threshold is None else df[df[table.y_names[0]] >= threshold]
    if not len(df):
        raise ValueError(f"evaluate_ranking: no row has a rating of {threshold} or more" if threshold is not None else
                         "evaluate_ranking: the frame has no rows")
    known_users, known_items = table.classes[user], table.classes[item]
    wanted = {u: set(group) for u, group in df.groupby(user, observed=True)[item]}
    users = list(wanted)
    scores = _scores(learn, ids := [known_users.id_of(u) if u in known_users else 0 for u in users])
    scores[:, 0] = -torch.inf
    seen = _seen(table) if exclude_seen else {}
    for row, i in enumerate(ids):
        if i in seen and i:
            scores[row, torch.as_tensor(seen[i])] = -torch.inf
    best = scores.topk(min(_checked_k(k), scores.shape[1] - 1))
    rankings = [list(known_items.map_ids(ids_[score > -torch.inf].tolist())) for score, ids_ in zip(*best, strict=True)]
    relevant = [wanted[u] for u in users]
    return pd.Series({"hit_rate": hit_rate_at_k(rankings, relevant, k), "ndcg": ndcg_at_k(rankings, relevant, k), "users": len(users),
                      "cold_users": ids.count(0), "cold_items": len({i for i in df[item].unique() if i not in known_items})})
