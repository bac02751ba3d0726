"""Learners of ratings that were exported predict the same, and recommend."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.collab import CollabDataLoaders, collab_learner, recommend, similar_items
from minifast.learner.export import load_learner

i = np.arange(60)
RATINGS = pd.DataFrame({"user": i % 5, "item": np.array(list("abcd"))[i % 4], "rating": i % 5 + 0.5})


@pytest.mark.parametrize("kwargs", [{"y_range": (0, 5.5)}, {"use_nn": True, "layers": [8]}], ids=["dot", "net"])
def test_ratings(kwargs, tmp_path):
    learn = collab_learner(CollabDataLoaders.from_df(RATINGS, bs=16, device="cpu"), 4, path=tmp_path, **kwargs)
    loaded = load_learner(learn.export("ratings.pkl"))
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(loaded.get_preds(dl=loaded.dls.test_dl(RATINGS))[0], learn.get_preds(dl=learn.dls.test_dl(RATINGS))[0])
    assert similar_items(loaded, "a", 2).equals(similar_items(learn, "a", 2))
    assert recommend(loaded, 1, 3, exclude_seen=False).equals(recommend(learn, 1, 3, exclude_seen=False))
    assert recommend(loaded, 1, 3).equals(recommend(learn, 1, 3))
