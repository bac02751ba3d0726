"""Recommendations from users, items and ratings: `from minifast.collab import *`.

    dls = CollabDataLoaders.from_df(ratings, item_name="title")
    learn = collab_learner(dls, n_factors=50, y_range=(0, 5.5))
    learn.fit_one_cycle(5, 5e-3, wd=0.1)
    recommend(learn, user=196)

Id 0 of users and items is `'#na#'`, shared by all that the training data did not have.
"""
from .learner import collab_learner
from .loaders import CollabDataLoaders, TabularCollab
from .models import EmbeddingDotBias, EmbeddingNN
from .recommend import evaluate_ranking, hit_rate_at_k, ndcg_at_k, recommend, similar_items

__all__ = ["CollabDataLoaders", "EmbeddingDotBias", "EmbeddingNN", "TabularCollab", "collab_learner", "evaluate_ranking", "hit_rate_at_k",
           "ndcg_at_k", "recommend", "similar_items"]
