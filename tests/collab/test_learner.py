"""`collab_learner`: its models, what it learns and predicts, MovieLens."""
import pandas as pd
import pytest
import torch

from minifast.collab import CollabDataLoaders, EmbeddingDotBias, EmbeddingNN, collab_learner, recommend, similar_items
from minifast.collab.loaders import TabularCollab
from minifast.data.block import TransformBlock
from minifast.nn.losses import L1LossFlat, MSELossFlat
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.procs import Categorify


def test_learner(ratings):
    dls = CollabDataLoaders.from_df(ratings, bs=16)
    learn = collab_learner(dls)
    assert isinstance(learn.model, EmbeddingDotBias) and learn.model.u_weight.weight.shape == (21, 50)
    assert isinstance(learn.loss_func, MSELossFlat)
    nn_learn = collab_learner(dls, use_nn=True, layers=[8, 4], emb_szs={"user": 3}, y_range=(0, 5.5), config={"ps": 0.1},
                              loss_func=L1LossFlat())
    assert isinstance(nn_learn.model, EmbeddingNN) and nn_learn.model.embeds[0].embedding_dim == 3
    assert isinstance(nn_learn.loss_func, L1LossFlat)
    assert [m.out_features for m in nn_learn.model.modules() if isinstance(m, torch.nn.Linear)] == [8, 4, 1]
    assert collab_learner(dls, use_nn=True).model.layers[0][0].out_features == 50
    nn_learn.fit(1)
    assert recommend(nn_learn, 3, k=2).shape == (2, 2) and similar_items(nn_learn, "film 2", 3).shape == (3, 2)
    with pytest.raises(ValueError, match=r"does not take layers, config, which belong to the network: write use_nn=True"):
        collab_learner(dls, layers=[3], config={})
    with pytest.raises(TypeError, match=r"collab_learner takes CollabDataLoaders"):
        collab_learner(TabularDataLoaders.from_df(ratings, cat_names=["user", "film"], cont_names=[], y_names="rating", bs=8))
    with pytest.raises(ValueError, match=r"y_range takes \(low, high\), low < high; received"):
        collab_learner(dls, y_range=(5, 0))


def test_it_learns_and_predicts(learn, ratings):
    assert learn.validate()[0] < 1.0 < ratings["rating"].var() / 2
    shown, value, _ = learn.predict({"user": 3, "film": "film 4"})
    assert shown["rating"] == pytest.approx(value.item()) and value > 3.5
    torch.testing.assert_close(learn.predict(ratings.iloc[:1])[1][0], learn.predict(ratings.iloc[0])[1])
    assert list(learn.show_results())[-1] == "rating_pred"
    with pytest.warns(UserWarning, match="'user' has 1"):
        learn.predict({"user": 99, "film": "film 4"})


def test_movielens(data_dir):
    ratings = pd.read_csv(data_dir / "ml-100k" / "u.data", sep="\t", header=None, names=["user", "movie", "rating", "timestamp"])
    titles = pd.read_csv(data_dir / "ml-100k" / "u.item", sep="|", encoding="latin-1", usecols=(0, 1), names=("movie", "title"),
                         header=None)
    torch.manual_seed(0)
    dls = CollabDataLoaders.from_df(ratings.merge(titles), item_name="title", rating_name="rating", bs=512)
    learn = collab_learner(dls, n_factors=50, y_range=(0.5, 5.5))
    learn.fit_one_cycle(3, 2e-2, wd=0.1)
    assert learn.validate()[0] < 0.92                                                         # a constant: 1.27
    assert "Empire Strikes Back, The (1980)" in set(similar_items(learn, "Star Wars (1977)", 5)["title"])


def test_habits(ratings):
    dls = CollabDataLoaders.from_df(ratings, bs=16, num_workers=2, pin_memory=False)
    learn = collab_learner(dls, n_factors=3, y_range=torch.tensor([0, 5.5]), loss_func=torch.nn.functional.mse_loss)
    learn.fit(1)
    assert learn.model.y_range == (0.0, 5.5) and learn.model.get_idx("film 3").tolist() == [dls.classes["film"].o2i["film 3"]]
    preds, targs = learn.get_preds(dl=dls.test_dl(ratings))
    assert targs.tolist() == ratings["rating"].tolist() and preds.shape == targs.shape
    to = TabularCollab(ratings, [Categorify], ["user", "film"], y_names=["rating"], y_block=TransformBlock())
    assert to.dataloaders(bs=16).one_batch()[1].shape == (16,)
