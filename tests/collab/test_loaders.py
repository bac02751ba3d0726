"""`CollabDataLoaders`: batches of ids and ratings, and what they refuse."""
import warnings

import pytest
import torch
from suggestions import told

import minifast.collab as collab
from minifast.collab import CollabDataLoaders
from minifast.data.splitters import RandomSplitter
from minifast.data.splitters_groups import TimeSplitter
from minifast.nn.losses import MSELossFlat


def test_batches(ratings):
    dls = CollabDataLoaders.from_df(ratings, bs=16)
    x, y = dls.one_batch()
    assert x.shape == (16, 2) and x.dtype == torch.int64 and y.shape == (16,) and y.dtype == torch.float32 and dls.n_inp == 1
    assert len(dls.classes["user"]) == 21 and dls.classes["film"][0] == "#na#" and len(dls.valid_ds) == int(0.2 * len(ratings))
    shown = dls.show_batch(max_n=4)
    assert list(shown) == ["user", "film", "rating"] and shown["rating"].isin([1, 5]).all() and isinstance(dls.loss_func, MSELossFlat)
    again = CollabDataLoaders.from_df(ratings, bs=16)
    assert again.valid_ds.rows.tolist() == dls.valid_ds.rows.tolist()
    assert CollabDataLoaders.from_df(ratings, valid_idx=[4, 5]).valid_ds.rows.tolist() == [4, 5]
    named = CollabDataLoaders.from_df(ratings[["rating", "film", "user"]], user_name="user", item_name="film", rating_name="rating")
    assert list(named.classes) == ["user", "film"]


def test_what_batches_refuse(ratings, tmp_path):
    with pytest.raises(ValueError, match=r"ratings need three columns: user, item and rating; the frame has 'user', 'film'"):
        CollabDataLoaders.from_df(ratings[["user", "film"]])
    with pytest.raises(ValueError, match=r"item_name: there is no column 'fim'; did you mean 'film'\?"):
        CollabDataLoaders.from_df(ratings, item_name="fim")
    with pytest.raises(ValueError, match=r"column 'film' is missing in 1 row \(0\): a rating needs a user and an item"):
        CollabDataLoaders.from_df(ratings.assign(film=ratings["film"].where(ratings.index > 0)))
    with pytest.raises(ValueError, match=r"target 'rating' is missing .* in 1 row"):
        CollabDataLoaders.from_df(ratings.assign(rating=ratings["rating"].where(ratings.index > 0)))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        CollabDataLoaders.from_csv(tmp_path / "none.csv")


def test_from_csv(ratings, tmp_path):
    ratings.to_csv(tmp_path / "r.csv", index=False)
    dls = CollabDataLoaders.from_csv(str(tmp_path / "r.csv"), bs=8)
    assert len(dls.classes["film"]) == 13 and dls.path == tmp_path
    ratings.to_csv(tmp_path / "r.data", index=False, sep="\t", header=False)
    dls = CollabDataLoaders.from_csv(tmp_path / "r.data", delimiter="\t", header=None, names=["u", "i", "r"], path=tmp_path)
    assert list(dls.classes) == ["u", "i"] and dls.path == tmp_path


def test_names_for_a_star():
    assert collab.__all__ == sorted(collab.__all__) and all(hasattr(collab, n) for n in collab.__all__)


def test_two_answers_to_one_question_are_refused(ratings):
    with pytest.raises(ValueError, match="valid_idx and splits both say"):
        CollabDataLoaders.from_df(ratings, valid_idx=[0], splits=([1, 2], [3]))


def test_users_that_training_does_not_have(ratings):
    frame = ratings.assign(time=ratings["user"].rank())
    with told("collab/loaders.py", "choose a split in which the training rows have them, such as RandomSplitter()"):
        CollabDataLoaders.from_df(frame, splits=TimeSplitter("time"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CollabDataLoaders.from_df(frame, splits=RandomSplitter())
