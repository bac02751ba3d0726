"""`EmbeddingDotBias` against its formula, and by name."""
import pytest
import torch

from minifast.collab import EmbeddingDotBias


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
    assert model.weight(films).pca(3).shape == (len(films), 3)
    assert torch.equal(model.weight([7], is_item=False), model.u_weight.weight.detach()[[7]]) and model.bias("film 3").shape == (1,)
    with pytest.raises(KeyError, match=r"'film 33' is no item of the training data, column 'film'; did you mean 'film 3'"):
        model.bias(["film 33"])
    with pytest.raises(KeyError, match=r"99 is no user of the training data, column 'user'"):
        model.weight([99], is_item=False)
