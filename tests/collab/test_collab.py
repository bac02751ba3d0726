"""Collaborative filtering: batches, models against their formulas, names, recommendations, measures of rankings, MovieLens."""
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import ndcg_score

import minifast.collab.learner as collab
from minifast.collab.learner import (
    CollabDataLoaders,
    EmbeddingDotBias,
    EmbeddingNN,
    collab_learner,
    evaluate_ranking,
    hit_rate_at_k,
    ndcg_at_k,
    recommend,
    similar_items,
)
from minifast.nn.losses import L1LossFlat, MSELossFlat
from minifast.tabular.loaders import TabularDataLoaders


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


def test_batches(ratings):
    dls = CollabDataLoaders.from_df(ratings, bs=16)
    x, y = dls.one_batch()
    assert x.shape == (16, 2) and x.dtype == torch.int64 and y.shape == (16,) and y.dtype == torch.float32 and dls.n_inp == 1
    assert len(dls.classes["user"]) == 21 and dls.classes["film"][0] == "#na#" and len(dls.valid_ds) == int(0.2 * len(ratings))
    shown = dls.show_batch(max_n=4)
    assert list(shown) == ["user", "film", "rating"] and shown["rating"].isin([1, 5]).all() and isinstance(dls.loss_func, MSELossFlat)
    again = CollabDataLoaders.from_df(ratings, bs=16)
    assert again.valid_ds._rows.tolist() == dls.valid_ds._rows.tolist()
    assert CollabDataLoaders.from_df(ratings, valid_idx=[4, 5]).valid_ds._rows.tolist() == [4, 5]
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
    assert len(CollabDataLoaders.from_csv(tmp_path / "r.csv", bs=8).classes["film"]) == 13
    ratings.to_csv(tmp_path / "r.data", index=False, sep="\t", header=False)
    dls = CollabDataLoaders.from_csv(tmp_path / "r.data", delimiter="\t", header=None, names=["u", "i", "r"], path=tmp_path)
    assert list(dls.classes) == ["u", "i"] and dls.path == tmp_path


def test_dot_bias_is_its_formula():
    model = EmbeddingDotBias(3, 4, 5, y_range=(1, 5))
    x = torch.tensor([[1, 2], [3, 4], [0, 0]])
    u, i = model.u_weight.weight[x[:, 0]], model.i_weight.weight[x[:, 1]]
    raw = (u * i).sum(1) + model.u_bias.weight[x[:, 0], 0] + model.i_bias.weight[x[:, 1], 0]
    torch.testing.assert_close(model(x), torch.sigmoid(raw) * 4 + 1)
    model.y_range = None
    torch.testing.assert_close(model(x), raw)
    torch.testing.assert_close(model.all_items(x[:, 0])[[0, 1, 2], x[:, 1]], raw)
    assert model.u_weight.weight.abs().max() <= 0.02
    with pytest.raises(ValueError, match="this model does not know names, only ids"):
        model.weight(["a"])


def test_weights_and_biases_by_name(learn):
    model, films = learn.model, learn.dls.classes["film"]
    names = ["film 3", "film 0"]
    ids = [films.id_of(n) for n in names]
    assert torch.equal(model.weight(names), model.i_weight.weight.detach()[ids])
    assert torch.equal(model.bias(names), model.i_bias.weight.detach()[ids, 0])
    assert torch.equal(model.weight([7], is_item=False), model.u_weight.weight.detach()[[7]]) and model.bias("film 3").shape == (1,)
    with pytest.raises(KeyError, match=r"'film 33' is no item of the training data, column 'film'; did you mean 'film 3'"):
        model.bias(["film 33"])
    with pytest.raises(KeyError, match=r"99 is no user of the training data, column 'user'"):
        model.weight([99], is_item=False)


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
    with pytest.raises(ValueError, match=r"does not take layers, config: of the network, for which write use_nn=True"):
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


def test_recommend(learn, ratings):
    top = recommend(learn, 3, k=5, exclude_seen=False)
    assert list(top) == ["film", "score"] and (top["score"].diff().dropna() <= 0).all()
    assert sum(int(f.split()[1]) % 2 == 0 for f in top["film"]) >= 4                           # what users 1-10 like
    direct = learn.predict({"user": 3, "film": top["film"][0]})[1].item()
    assert top["score"][0] == pytest.approx(direct, abs=1e-5)
    table = learn.dls.train.dataset.decode()
    seen = set(table["film"][table["user"] == 3])
    rest = recommend(learn, 3, k=50)
    assert not seen & set(rest["film"]) and len(rest) == 12 - len(seen) and "#na#" not in set(rest["film"])
    with pytest.warns(UserWarning,
                      match=r"1 user without a rating in the training data, such as 99: they get what an unknown user \(#na#\) gets"):
        assert len(recommend(learn, 99, k=3)) == 3
    with pytest.raises(ValueError, match=r"k=0: how many items"):
        recommend(learn, 3, k=0)
    with pytest.raises(TypeError, match=r"recommend takes a learner made by collab_learner"):
        recommend(torch.nn.Linear(1, 1), 3)


def test_similar_items(learn):
    found = similar_items(learn, "film 4", k=5)
    assert "film 4" not in set(found["film"]) and "#na#" not in set(found["film"])
    assert sum(int(f.split()[1]) % 2 == 0 for f in found["film"]) >= 4
    a, b = learn.model.weight(["film 4", found["film"][0]])
    assert found["similarity"][0] == pytest.approx(torch.cosine_similarity(a, b, 0).item(), abs=1e-6)
    with pytest.raises(KeyError, match=r"'film 44' is no item of the training data, column 'film'; did you mean 'film 4'"):
        similar_items(learn, "film 44")


def test_measures_by_hand():
    ranked = [["a", "b", "c"], ["d", "e", "f"], ["a", "c", "e"]]
    wanted = [{"c"}, {"x"}, {"a", "e"}]
    assert hit_rate_at_k(ranked, wanted, 3) == pytest.approx(2 / 3) and hit_rate_at_k(ranked, wanted, 2) == pytest.approx(1 / 3)
    log = np.log2
    assert ndcg_at_k(ranked, wanted, 3) == pytest.approx((1 / log(4) + 0 + (1 + 1 / log(4)) / (1 + 1 / log(3))) / 3)
    assert ndcg_at_k([["a", "b"]], [{"a": 1, "b": 3}], 2) == pytest.approx((1 + 3 / log(3)) / (3 + 1 / log(3)))
    with pytest.raises(ValueError, match="received 3 rankings and 2 collections"):
        hit_rate_at_k(ranked, wanted[:2])
    with pytest.raises(ValueError, match="1 user without a relevant item"):
        ndcg_at_k(ranked, [{"a"}, set(), {"b"}])


def test_ndcg_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    gains, scores = rng.integers(0, 4, (5, 12)).astype(float), rng.random((5, 12))
    ranked = [np.argsort(-s).tolist() for s in scores]
    wanted = [dict(enumerate(g)) for g in gains]
    for k in (3, 12, 20):
        assert ndcg_at_k(ranked, wanted, k) == pytest.approx(ndcg_score(gains, scores, k=k))


def test_evaluate_ranking(learn, ratings):
    test = pd.DataFrame({"user": [3, 3, 15, 77], "film": ["film 2", "film 7", "film 5", "film 99"], "rating": [5, 1, 5, 5]})
    found = evaluate_ranking(learn, test, k=12, exclude_seen=False)
    assert found["users"] == 3 and found["cold_users"] == 1 and found["cold_items"] == 1 and found["hit_rate"] == pytest.approx(2 / 3)
    liked = evaluate_ranking(learn, test, k=6, threshold=4, exclude_seen=False)
    assert liked["users"] == 3 and liked["ndcg"] <= liked["hit_rate"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no row has a rating of 6 or more"):
        evaluate_ranking(learn, test, threshold=6)
    with pytest.raises(ValueError, match="there is no column 'film'"):
        evaluate_ranking(learn, test.drop(columns="film"))


def test_names_for_a_star():
    assert collab.__all__ == sorted(collab.__all__) and all(hasattr(collab, n) for n in collab.__all__)


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


def test_ranking_of_few_items_does_not_find_what_was_seen(learn, ratings):
    train = ratings.iloc[learn.dls.train_ds._rows]
    assert evaluate_ranking(learn, train, k=1000)["hit_rate"] == 0
    assert evaluate_ranking(learn, train, k=1000, exclude_seen=False)["hit_rate"] == 1


def test_ranking_of_category_columns(learn, ratings):
    few = ratings[ratings["user"] < 4]
    typed = ratings.assign(user=ratings["user"].astype("category"), film=ratings["film"].astype("category"))[ratings["user"] < 4]
    assert evaluate_ranking(learn, typed, k=3).to_dict() == evaluate_ranking(learn, few, k=3).to_dict()


def test_what_cannot_be_meant_is_refused(learn, ratings):
    with pytest.raises(ValueError, match="valid_idx and splits both say"):
        CollabDataLoaders.from_df(ratings, valid_idx=[0], splits=([1, 2], [3]))
    with pytest.raises(TypeError, match="recommend takes one user; received list of 2"):
        recommend(learn, [1, 2])
    assert len(recommend(learn, 1, k=np.int64(2))) == 2
    with pytest.raises(ValueError, match="column 'film' is missing in 1 row"):
        evaluate_ranking(learn, pd.DataFrame({"user": [1, 2], "film": ["film 1", None]}))


def test_similar_items_of_another_model(learn):
    class Mine(torch.nn.Module):
        def forward(self, x):
            return x.sum(1).float()

    learn.model = Mine()
    with pytest.raises(TypeError, match="the model is a Mine"):
        similar_items(learn, "film 1")
