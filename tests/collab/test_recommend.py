"""`recommend` and `similar_items`; measures of rankings by hand, against scikit-learn, and of a learner."""
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import ndcg_score
from suggestions import told

from minifast.collab import TabularCollab, collab_learner, evaluate_ranking, hit_rate_at_k, ndcg_at_k, recommend, similar_items


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


def test_similar_items_of_another_model(learn):
    class Mine(torch.nn.Module):
        def forward(self, x):
            return x.sum(1).float()

    learn.model = Mine()
    with pytest.raises(TypeError, match="the model is a Mine"):
        similar_items(learn, "film 1")


def test_one_user_at_a_time(learn):
    with pytest.raises(TypeError, match="recommend takes one user; received list of 2"):
        recommend(learn, [1, 2])
    with told("collab/recommend.py", "For several write {u: recommend(learn, u) for u in users}"):
        recommend(learn, [1, 2])
    assert {u: len(recommend(learn, u, k=np.int64(2))) for u in [1, 2]} == {1: 2, 2: 2}


# -- measures of rankings -----------------------------------------------------------------------------------------------------------
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


def test_ranking_of_few_items_does_not_find_what_was_seen(learn, ratings):
    train = ratings.iloc[learn.dls.train_ds.rows]
    assert evaluate_ranking(learn, train, k=1000)["hit_rate"] == 0
    assert evaluate_ranking(learn, train, k=1000, exclude_seen=False)["hit_rate"] == 1


def test_ranking_of_category_columns(learn, ratings):
    few = ratings[ratings["user"] < 4]
    typed = ratings.assign(user=ratings["user"].astype("category"), film=ratings["film"].astype("category"))[ratings["user"] < 4]
    assert evaluate_ranking(learn, typed, k=3).to_dict() == evaluate_ranking(learn, few, k=3).to_dict()


def test_ranking_of_missing_items_is_refused(learn):
    with pytest.raises(ValueError, match="column 'film' is missing in 1 row"):
        evaluate_ranking(learn, pd.DataFrame({"user": [1, 2], "film": ["film 1", None]}))


# -- what was seen, and ids ---------------------------------------------------------------------------------------------------------
def reloaded(learn, state, rows):
    "The learner of another process: its table from `state`, its weights, and `rows` to make loaders of."
    made = collab_learner(TabularCollab.from_state_dict(state).test_set(rows).dataloaders(shuffle=False), n_factors=5, y_range=(0, 5.5))
    made.model.load_state_dict(learn.model.state_dict())
    return made


def test_what_was_rated_travels_with_the_table(learn, ratings, tmp_path):
    table = learn.dls.train.dataset
    table.save(tmp_path / "table.safetensors")
    valid = ratings.iloc[learn.dls.valid.dataset.rows]
    there = [reloaded(learn, table.state_dict(), ratings[:1]), reloaded(learn, table.state_dict(), valid)]
    loaded = TabularCollab.load(tmp_path / "table.safetensors")
    assert loaded.state_dict()["rated"] == table.state_dict()["rated"] and loaded.rated_by(3).tolist() == table.rated_by(3).tolist()
    for other in there:
        assert recommend(other, 3, k=50).equals(recommend(learn, 3, k=50))
        assert evaluate_ranking(other, valid, k=3).equals(evaluate_ranking(learn, valid, k=3))
    seen = ratings["film"].iloc[table.rows][ratings["user"].iloc[table.rows] == 3]
    assert {table.classes["film"][i] for i in table.rated_by(3).tolist()} == set(seen) and not len(table.rated_by(0))


def test_a_state_that_does_not_say_what_was_rated_is_refused(learn, ratings):
    state = {k: v for k, v in learn.dls.train.dataset.state_dict().items() if k != "rated"}
    old = reloaded(learn, state, ratings[:1])
    with told("collab/recommend.py", "save or export it again, or write exclude_seen=False"):
        recommend(old, 3)
    with told("collab/recommend.py", "save or export it again, or write exclude_seen=False"):
        evaluate_ranking(old, ratings)
    assert len(recommend(old, 3, exclude_seen=False)) == 10 and evaluate_ranking(old, ratings, exclude_seen=False)["users"] == 20
    assert "rated" not in old.dls.train.dataset.state_dict()


def test_ids_of_another_type_are_refused(learn, ratings):
    text, odd = ratings.astype({"user": str}), ratings.assign(film=np.arange(len(ratings)))
    for user in (15, 15.0, np.int64(15)):
        assert recommend(learn, user).equals(recommend(learn, 15))
    with pytest.raises(TypeError, match=r"column 'user' held int 1 .*never str '1'.*df.astype\({'user': int}\)"):
        evaluate_ranking(learn, text)
    assert evaluate_ranking(learn, text.astype({"user": int})).equals(evaluate_ranking(learn, ratings))
    with pytest.raises(TypeError, match=r"column 'film' held str 'film 0' .* never int 0.*astype\({'film': str}\)"):
        evaluate_ranking(learn, odd)
    assert evaluate_ranking(learn, odd.astype({"film": str}))["cold_items"] == len(odd)      # they are other films, and that is counted
    with pytest.raises(TypeError, match=r"recommend: in training, column 'user' held int 1 .* never str '3'.*convert them, int\(user\)"):
        recommend(learn, "3")
    assert recommend(learn, int("3")).equals(recommend(learn, 3))
