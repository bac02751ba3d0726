"""Ratings of twenty users with two tastes, and a learner trained on them."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.collab import CollabDataLoaders, collab_learner


@pytest.fixture
def ratings():
    "Users 1-10 like films of even number, users 11-20 those of odd number."
    rng = np.random.default_rng(0)
    rows = [(u, f"film {i}", 5 if (i % 2 == 0) == (u <= 10) else 1) for u in range(1, 21) for i in range(12) if rng.random() < 0.8]
    return pd.DataFrame(rows, columns=["user", "film", "rating"])


@pytest.fixture
def learn(ratings):
    torch.manual_seed(0)
    learn = collab_learner(CollabDataLoaders.from_df(ratings, bs=16), n_factors=5, y_range=(0, 5.5))
    learn.fit_one_cycle(15, 5e-2, wd=0.01)
    return learn
