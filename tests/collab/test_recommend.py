"""`recommend` and `similar_items`."""
import numpy as np
import pytest
import torch

from minifast.collab import recommend, similar_items


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
    assert len(recommend(learn, 1, k=np.int64(2))) == 2
