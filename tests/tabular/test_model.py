"""`TabularModel`: its layout, sizes of embeddings, configuration."""
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.nn.activations import SigmoidRange
from minifast.nn.layers import Embedding
from minifast.tabular.frames import TabularPandas
from minifast.tabular.model import TabularModel, emb_sz_rule, get_emb_sz, tabular_config
from minifast.tabular.procs import Categorify


def test_emb_sz_rule():
    wanted = {2: 2, 3: 3, 5: 4, 10: 6, 50: 14, 100: 21, 1000: 77, 10_000: 278, 100_000: 600, 10**7: 600}
    assert {n: emb_sz_rule(n) for n in wanted} == wanted


def test_get_emb_sz():
    df = pd.DataFrame({"a": ["x", "y", "z", "x"], "b": [1, 2, 3, 4], "y": [0.5, 1, 2, 3]})
    to = TabularPandas(df, Categorify, ["a", "b"], y_names="y", splits=([0, 1, 2], [3]))
    assert get_emb_sz(to) == [(4, 3), (4, 3)] and get_emb_sz(to.dataloaders(bs=2), {"b": 10}) == [(4, 3), (4, 10)]
    with pytest.raises(KeyError, match=r"'bb' is no categorical column; did you mean 'b'\? Columns: a, b"):
        get_emb_sz(to, {"bb": 3})


def kinds(model):
    return [type(m).__name__ for m in model.layers.modules() if not isinstance(m, nn.Sequential)]


def test_layout_and_initialisation():
    torch.manual_seed(0)
    model = TabularModel([(1000, 50), (3, 2)], 4, 2, [200, 100], ps=[0.1, 0.2], embed_p=0.05)
    assert kinds(model) == ["Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features, m.bias is not None) for m in linears] == [(56, 200, False), (200, 100, False), (100, 2, True)]
    assert [m.p for m in model.layers.modules() if isinstance(m, nn.Dropout)] == [0.1, 0.2] and model.emb_drop.p == 0.05
    assert isinstance(model.embeds[0], Embedding) and model.bn_cont.num_features == 4
    weight = model.embeds[0].weight
    assert weight.std().item() == pytest.approx(0.01 * 0.88, rel=0.03) and weight.abs().max() <= 0.02       # a normal cut at two deviations


def test_forward_is_what_it_says():
    model = TabularModel([(5, 3), (4, 2)], 2, 1, [6], y_range=(1, 3)).eval()
    codes, numbers = torch.tensor([[1, 2], [0, 3]]), torch.randn(2, 2)
    model.bn_cont.running_mean.fill_(0.5)
    x = torch.cat([model.embeds[0](codes[:, 0]), model.embeds[1](codes[:, 1]), (numbers - 0.5) / (1 + 1e-5) ** 0.5], 1)
    linear, _, norm = model.layers[0]
    out = model.layers[1][0](norm((x @ linear.weight.T).relu()))
    torch.testing.assert_close(model(codes, numbers), torch.sigmoid(out) * 2 + 1)
    assert isinstance(model.layers[-1], SigmoidRange)


def test_only_categories_or_only_numbers_or_no_layers():
    codes, numbers = torch.zeros(3, 1, dtype=torch.int64), torch.randn(3, 2)
    assert TabularModel([(4, 2)], 0, 2, [5])(codes, torch.zeros(3, 0)).shape == (3, 2)
    assert TabularModel([(4, 2)], 0, 2, [5])(codes).shape == (3, 2)
    assert TabularModel([], 2, 3, [5])(torch.zeros(3, 0, dtype=torch.int64), numbers).shape == (3, 3)
    assert kinds(TabularModel([(4, 2)], 2, 1, [])) == ["Linear"]
    with pytest.raises(ValueError, match="TabularModel has no input"):
        TabularModel([], 0, 1, [5])


def test_options():
    assert kinds(TabularModel([], 2, 1, [5], use_bn=False)) == ["Linear", "ReLU", "Linear"]
    assert kinds(TabularModel([], 2, 1, [5], lin_first=False, ps=0.5)) == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "Linear"]
    assert kinds(TabularModel([], 2, 1, [5], bn_final=True))[-2:] == ["Linear", "BatchNorm1d"]
    assert kinds(TabularModel([], 2, 1, [5], act_cls=nn.Mish))[1] == "Mish"
    model = TabularModel([], 2, 1, [5, 5], act_cls=nn.LeakyReLU(0.3), bn_cont=False)
    assert model.bn_cont is None and model.layers[0][1] is not model.layers[1][1] and model.layers[1][1].negative_slope == 0.3
    assert set(tabular_config(ps=0.1)) == {"ps", "embed_p", "y_range", "use_bn", "bn_final", "bn_cont", "act_cls", "lin_first"}
    with pytest.raises(ValueError, match=r"received 3 probabilities of dropout for 2 layers \[5, 5\]"):
        TabularModel([], 2, 1, [5, 5], ps=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"y_range takes \(low, high\), low < high; received"):
        TabularModel([], 2, 1, [5], y_range=(3, 1))


@pytest.mark.parametrize(("emb_szs", "n_cont", "kwargs"), [
    ([(4, 3), (5, 2)], 3, {}), ([(4, 3)], 0, {"embed_p": 0.5}), ([], 2, {"bn_cont": False}),
    ([(4, 3)], 2, {"y_range": (0, 1), "lin_first": False})])
def test_one_row_goes_the_same_way(emb_szs, n_cont, kwargs):
    model = TabularModel(emb_szs, n_cont, 2, [6, 5], **kwargs)
    model(torch.randint(3, (8, len(emb_szs))), torch.randn(8, n_cont))                # so that batch norm has seen something
    model.eval()
    codes, numbers = [2, 4][:len(emb_szs)], torch.randn(1, n_cont)
    assert model.takes_rows
    torch.testing.assert_close(model.forward_row(codes, numbers), model(torch.tensor([codes], dtype=torch.int64), numbers))


def test_one_row_goes_the_usual_way_where_torch_does_not_tell_of_hooks(monkeypatch):
    model = TabularModel([(4, 3)], 1, 2, [5])
    assert model.takes_rows
    monkeypatch.delattr(torch.nn.Module, "_forward_hooks", raising=False)
    del model.embeds[0].__dict__["_forward_hooks"]
    assert not model.takes_rows


def test_one_row_goes_the_usual_way_where_somebody_listens():
    class Own(TabularModel):
        def forward(self, x_cat, x_cont):
            return super().forward(x_cat, x_cont) + 1

    assert not Own([(4, 3)], 1, 2, [5]).takes_rows
    model = TabularModel([(4, 3)], 1, 2, [5])
    handle = model.embeds[0].register_forward_hook(lambda *a: None)
    assert not model.takes_rows
    handle.remove()
    assert model.takes_rows
    model.embeds[0] = torch.nn.Embedding(4, 3)
    assert not model.takes_rows


def test_layers_are_a_list():
    with pytest.raises(TypeError, match=r"layers takes the sizes of the hidden layers, a list such as \[200, 100\]; received int 4"):
        TabularModel([(3, 2)], 1, 1, 4)
