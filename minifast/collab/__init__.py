"""Recommendations from users, items and ratings: `from minifast.collab import *`."""
from .learner import (CollabDataLoaders, EmbeddingDotBias, EmbeddingNN, TabularCollab, collab_learner, evaluate_ranking, hit_rate_at_k,
                      ndcg_at_k, recommend, similar_items)

__all__ = ["CollabDataLoaders", "EmbeddingDotBias", "EmbeddingNN", "TabularCollab", "collab_learner", "evaluate_ranking", "hit_rate_at_k",
           "ndcg_at_k", "recommend", "similar_items"]
