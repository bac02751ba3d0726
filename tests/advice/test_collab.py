"What the messages of `minifast.collab` say to write."
import numpy as np
import pandas as pd
import pytest
from suggestions import told

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.data.splitters import RandomSplitter


def ratings(**kwargs):
    df = pd.DataFrame({"user": np.arange(60) // 10, "item": np.arange(60) % 10, "rating": np.arange(60) % 5 + 1.0})
    return CollabDataLoaders.from_df(df, bs=16, **kwargs)


@pytest.mark.parametrize("of_the_network", [{"layers": [8]}, {"emb_szs": {"user": 3}}, {"config": {"ps": 0.1}}])
def test_what_belongs_to_the_network(of_the_network):
    with told("collab/learner.py", "which belong to the network: write use_nn=True"):
        collab_learner(ratings(), **of_the_network)
    collab_learner(ratings(), use_nn=True, **of_the_network).validate()


def test_users_of_validation_alone(recwarn):
    with told("collab/loaders.py",
              "choose a split in which the training rows have them, such as RandomSplitter(), if you do not mean to measure"):
        ratings(valid_idx=list(range(50, 60)))
    ratings(splits=RandomSplitter(seed=0))
    assert not recwarn.list
