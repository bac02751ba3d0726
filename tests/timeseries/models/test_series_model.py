"What all models of series have in common: padding, what is refused, layer groups, shapes, export of their recipe."
import pytest
import torch
import torch.nn.functional as F

from minifast.optim.groups import param_groups
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.models.inception_time import InceptionTime
from minifast.timeseries.models.lstm_fcn import LSTM_FCN
from minifast.timeseries.models.omni_scale import OmniScaleCNN
from minifast.timeseries.models.patch_tst import PatchTST
from minifast.timeseries.models.resnet1d import ResNet1d
from minifast.timeseries.models.series_model import MASKING, series_split
from minifast.timeseries.models.tcn import TCN
from minifast.timeseries.models.ts_transformer import TSTransformer

#: Each model, small: (class, settings).
SMALL = {
    "FCN": (FCN, {"layers": (6, 8, 6)}),
    "ResNet1d": (ResNet1d, {"layers": (4, 6, 6)}),
    "InceptionTime": (InceptionTime, {"n_filters": 4, "bottleneck": 3}),
    "OmniScaleCNN": (OmniScaleCNN, {"budgets": (60, 2000)}),
    "LSTM_FCN": (LSTM_FCN, {"layers": (6, 8, 6)}),
    "TSTransformer": (TSTransformer, {"d_model": 8, "n_heads": 2, "n_layers": 2, "d_ff": 12, "enc_dropout": 0.0}),
    "PatchTST": (PatchTST, {"d_model": 8, "n_heads": 2, "n_layers": 2, "d_ff": 12, "enc_dropout": 0.0}),
}
ALL = pytest.mark.parametrize("name", SMALL)
MASKED = pytest.mark.parametrize("name", [n for n in SMALL if SMALL[n][0].masks])
STEPS = (40, 23, 40, 7)


def small(name, c_in=2, c_out=3, **more):
    torch.manual_seed(0)
    cls, settings = SMALL[name]
    return cls(c_in, c_out, **{"seq_len": max(STEPS), **settings, **more})


def ragged(c_in=2):
    "Series of several lengths, and the batch of them."
    g = torch.Generator().manual_seed(1)
    series = [torch.randn(1, c_in, n, generator=g) + 1 for n in STEPS]
    return series, torch.cat([F.pad(s, (0, max(STEPS) - s.shape[2]), value=torch.nan) for s in series])


def warmed(model, x):
    "The model in eval mode after a step of training, so that no batch norm is the identity."
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()(x).square().sum().backward()
    opt.step()
    return model.eval()


@MASKED
@pytest.mark.parametrize("c_in", [1, 3])
def test_a_padded_batch_gives_each_series_what_it_gives_it_alone(name, c_in):
    series, batch = ragged(c_in)
    model = warmed(small(name, c_in, padded=True), batch)
    with torch.no_grad():
        alone = torch.cat([model(s) for s in series])
        torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-5)
        if name != "TSTransformer":                             # which was made for series of up to 40 steps
            torch.testing.assert_close(model(F.pad(batch, (0, 9), value=torch.nan)), alone, atol=1e-5, rtol=1e-5)
        model.padded = False                                    # it sees that there is padding
        torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-5)


@MASKED
def test_in_training_padding_changes_neither_outputs_nor_gradients_nor_statistics(name):
    _, batch = ragged()
    equal = batch[:, :, :7]                                     # no padding; the same with padding must be the same
    made = []
    for x in (equal, F.pad(equal, (0, 30), value=torch.nan)):
        model = small(name, padded=True).train()
        out = model(x)
        out.square().sum().backward()
        made.append((out, [p.grad for p in model.parameters()], [b for b in model.buffers() if b.is_floating_point()]))
    torch.testing.assert_close(*made, atol=1e-4, rtol=1e-4)


@MASKED
def test_without_padding_the_mask_changes_nothing(name):
    x = torch.randn(4, 2, max(STEPS))
    outs = []
    for padded in (False, True):
        model = small(name, padded=padded).train()
        outs.append(model(x))
    torch.testing.assert_close(*outs, atol=1e-5, rtol=1e-5)


@MASKED
def test_padded_batches_train_in_mixed_precision(name):
    _, batch = ragged()
    model = small(name, padded=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(batch)
        exact = model.train(False)(batch)
    out.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    torch.testing.assert_close(exact.float(), model(batch), atol=0.05, rtol=0.05)


def test_the_models_said_to_mask_are_those_that_do():
    assert tuple(sorted(n for n in SMALL if SMALL[n][0].masks)) == MASKING


@ALL
def test_shapes_groups_and_range(name):
    model = small(name, y_range=(2, 3), dropout=0.5)
    groups = param_groups(model, series_split(model))
    assert {g["layer_group"] for g in groups} == {0, 1}
    assert {id(p) for g in groups if g["layer_group"] for p in g["params"]} == {id(p) for p in model.head.parameters()}
    out = model(torch.randn(4, 2, max(STEPS)))
    assert out.shape == (4, 3)
    assert ((out > 2) & (out < 3)).all()
    assert small(name, c_out=(2, 5))(torch.randn(4, 2, max(STEPS))).shape == (4, 2, 5)
    assert small(name, c_in=1)(torch.randn(4, 1, max(STEPS))).shape == (4, 3)


@ALL
def test_what_cannot_be_read_is_refused(name):
    model = small(name)
    with pytest.raises(ValueError, match=rf"{name} reads series \(batch, 2 channels, steps\); received float32.5,3,40."):
        model(torch.randn(5, 3, max(STEPS)))
    with pytest.raises(ValueError, match=r"\(c_in=0, c_out=1.5\): sizes are whole numbers of at least 1"):
        SMALL[name][0](0, 1.5, seq_len=40)
    with pytest.raises(ValueError, match="dropout=2: a probability"):
        small(name, dropout=2)


@ALL
def test_the_gradient_reaches_every_parameter(name):
    model = small(name)
    model(torch.randn(4, 2, max(STEPS))).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())


@ALL
def test_the_recipe_makes_an_equal_model(name):
    model = small(name)
    made = model.recipe.made_by(**model.recipe.args)
    made.load_state_dict(model.state_dict())
    x = torch.randn(3, 2, max(STEPS))
    torch.testing.assert_close(made.eval()(x), model.eval()(x))


@pytest.mark.parametrize("name", [n if n == "InceptionTime" else pytest.param(n, marks=pytest.mark.slow) for n in SMALL])
def test_a_graph_of_it_takes_batches_of_any_size(name):
    model, x = small(name).eval(), torch.randn(3, 2, max(STEPS))
    graph = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    y = torch.randn(5, 2, max(STEPS))
    torch.testing.assert_close(graph(y), model(y), atol=1e-5, rtol=1e-5)


UNMASKED = pytest.mark.parametrize("name", [n for n in SMALL if not SMALL[n][0].masks])


@UNMASKED
@pytest.mark.parametrize("train", [True, False])
def test_models_that_do_not_mask_refuse_padding_and_name_those_that_do(name, train):
    _, batch = ragged()
    named = rf"{name} reads series of one length, and these differ: .* \({', '.join(MASKING)}\)"
    with pytest.raises(ValueError, match=named):
        small(name).train(train)(batch)
    with pytest.raises(ValueError, match=named):
        small(name, padded=True)
    for other in MASKING:                               # what the sentence says works
        assert torch.isfinite(small(other)(batch)).all()


@pytest.mark.parametrize("name", ["LSTM_FCN", "PatchTST", "TSTransformer"])
def test_series_of_a_length_the_model_was_not_made_for_are_refused(name):
    upto = "up to " if SMALL[name][0].masks else ""
    with pytest.raises(ValueError, match=f"{name} was made for series of {upto}40 steps; received 41. Make it with seq_len=41, or"):
        small(name)(torch.randn(3, 2, 41))
    assert small(name, seq_len=41)(torch.randn(3, 2, 41)).shape == (3, 3)
    assert small("InceptionTime")(torch.randn(3, 2, 41)).shape == (3, 3)


@pytest.mark.parametrize("name", [n for n in SMALL if SMALL[n][0].needs_seq_len])
def test_a_model_that_needs_the_length_says_so(name):
    with pytest.raises(ValueError, match=rf"{name} is made for .* write {name}\(2, 3, seq_len=...\)"):
        SMALL[name][0](2, 3)


@pytest.mark.parametrize("arch", [FCN, InceptionTime, LSTM_FCN, OmniScaleCNN, PatchTST, ResNet1d, TCN, TSTransformer])
def test_a_batch_without_items_gives_none_and_series_without_steps_are_refused(arch):
    model = arch(2, 3, seq_len=24).eval()
    assert model(torch.zeros(0, 2, 24)).shape == (0, 3)
    with pytest.raises(ValueError, match=f"{arch.__name__} needs series of 1?6? ?1? ?steps? or more, and the shortest here has 0"):
        model(torch.zeros(4, 2, 0))
