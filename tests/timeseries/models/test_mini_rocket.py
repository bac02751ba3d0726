"""MiniRocket: its features against the definition, padding, and what is refused."""
import math

import pytest
import torch

from minifast.timeseries.models.mini_rocket import MiniRocketFeatures


def _series(n=6, c=1, t=40, seed=0):
    return torch.randn(n, c, t, generator=torch.Generator().manual_seed(seed)).cumsum(-1)


def _fitted(c=1, t=40, n_features=1000):
    return MiniRocketFeatures(c, t, n_features).fit(_series(20, c, t, seed=1), seed=3)


@pytest.mark.parametrize("c", [1, 3])
def test_a_feature_is_the_share_of_steps_above_a_bias(c):
    model, x, start = _fitted(c), _series(c=c), 0
    features = model(x)
    for i, (dilation, n) in enumerate(zip(model.dilations, model.n_biases, strict=True)):
        for first, padded in ((i % 2, True), (1 - i % 2, False)):
            kernels = list(range(first, 84, 2))
            weights = model.kernels[kernels].unsqueeze(1) * model.channels[i, kernels].unsqueeze(2)
            values = torch.nn.functional.conv1d(x, weights, dilation=dilation, padding=4 * dilation if padded else 0)
            biases = model.biases[start:start + 42 * n].view(n, 42)
            expected = (values.unsqueeze(1) > biases[..., None]).float().mean(-1).flatten(1)
            assert torch.allclose(features[:, start:start + 42 * n], expected, atol=1.01 / values.shape[2])      # rounding may move a step
            assert (features[:, start:start + 42 * n] != expected).float().mean() < 0.01
            start += 42 * n
    assert start == model.n_out == features.shape[1] == 924


def test_kernels_and_dilations_are_those_of_the_paper():
    model = MiniRocketFeatures(1, 150)
    assert model.n_out == 9996 and model.kernels.shape == (84, 9) and not model.kernels.sum(1).any()
    assert len(model.kernels.unique(dim=0)) == 84 and model.dilations[0] == 1 and model.dilations[-1] == 18      # 8 * 18 < 150
    assert sum(model.n_biases) == 119
    assert MiniRocketFeatures(1, 9, 84).dilations == [1]


def test_biases_are_quantiles_of_training_series():
    shares = _fitted(n_features=5000)(_series(60, seed=1))
    assert 0.45 < shares.mean() < 0.55 and shares.min() == 0 and shares.max() == 1


def test_choices_follow_the_seed():
    x = _series(c=12)
    one, same, other = (MiniRocketFeatures(12, 40, 200).fit(x, seed) for seed in (1, 1, 2))
    assert torch.equal(one.biases, same.biases) and torch.equal(one.channels, same.channels)
    assert not torch.equal(one.channels, other.channels)
    n = one.channels.sum(-1)
    assert n.min() == 1 and 4 < n.max() <= 9


@pytest.mark.parametrize("c", [1, 2])
def test_a_padded_series_gives_the_features_it_gives_alone(c):
    model, x = _fitted(c), _series(c=c)
    lengths = [40, 9, 17, 33, 30, 7]
    padded = x.clone()
    for row, n in zip(padded, lengths, strict=True):
        row[:, n:] = math.nan
    together = model(padded)
    for row, n, got in zip(x, lengths, together, strict=True):
        assert torch.allclose(model(row[None, :, :n])[0], got, atol=1e-6)
    assert torch.allclose(model(torch.nn.functional.pad(x, (0, 30), value=math.nan)), model(x), atol=1e-6)


def test_shares_tell_of_the_length_where_series_differ_in_it():
    own, x = _fitted(), _series()
    x[:, :, 30:] = math.nan
    of_longest = MiniRocketFeatures(1, 40, 1000, padded=True)
    of_longest.load_state_dict(own.state_dict())
    assert torch.allclose(of_longest(x), own(x) * 30 / 40) and torch.allclose(of_longest(x[..., :30]), own(x) * 30 / 40)


def test_biases_of_unequal_series_ignore_padding():
    x = _series(30, 2)
    short = torch.where(torch.arange(40) < 25, x, torch.tensor(math.nan))
    a, b = MiniRocketFeatures(2, 25, 500).fit(short, 0), MiniRocketFeatures(2, 25, 500).fit(x[..., :25], 0)
    assert torch.allclose(a.biases, b.biases, atol=1e-5)


def test_many_series_are_computed_in_parts():
    model, x = _fitted(n_features=168), _series(70)
    assert torch.equal(model(x), torch.cat([model(row[None]) for row in x]))


def test_several_threads_compute_the_same():
    model, x, threads = _fitted(n_features=168), _series(70), torch.get_num_threads()
    x[::3, :, 25:] = math.nan
    try:
        torch.set_num_threads(1)
        alone = model(x)
        torch.set_num_threads(3)
        assert torch.equal(model(x), alone) and torch.get_num_threads() == 3
        with torch.inference_mode():
            assert torch.equal(model(x), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow               # torch.export
def test_exported_it_computes_the_same():
    model, x = _fitted(t=20, n_features=168), _series(t=20)
    x[0, :, 15:] = math.nan
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False)
    nodes = [n for m in program.graph_module.modules() if hasattr(m, "graph") for n in m.graph.nodes]
    chosen = [n.meta["val"].dtype for n in nodes if "where" in str(n.target)]
    assert chosen and torch.bool not in chosen, "onnxruntime has no torch.where of booleans"
    for batch in (x, x[:1], x.repeat(3, 1, 1)):
        assert torch.allclose(program.module()(batch), model(batch), atol=1e-6)


def test_more_steps_than_a_byte_can_count():
    model, x = MiniRocketFeatures(1, 9, 84).fit(_series(5, 1, 9), 0), torch.ones(1, 1, 70_000)
    model.biases.fill_(-1.0)
    assert torch.allclose(model(x)[0, 42:], torch.ones(42))                     # kernels within the series give 0 everywhere


def test_rounding_does_not_decide_where_series_are_level():
    x, start = (_series(40, seed=2).mul(2).round() / 10).repeat_interleave(4, 2)[..., :64] + 7.3, 0    # tenths: most convolutions are equal
    model = MiniRocketFeatures(1, 64, 84 * 6).fit(x[:20], 0)
    features = model(x)
    for i, (dilation, n) in enumerate(zip(model.dilations, model.n_biases, strict=True)):
        for first, padded in ((i % 2, True), (1 - i % 2, False)):
            kernels, biases = model.kernels[first::2, None].double(), model.biases[start:start + 42 * n].view(n, 42)
            values = torch.nn.functional.conv1d(x.double(), kernels, dilation=dilation, padding=4 * dilation if padded else 0)
            expected = (values.unsqueeze(1) > biases[..., None].double()).float().mean(-1).flatten(1)
            assert torch.allclose(features[:, start:start + 42 * n], expected, atol=1e-6)
            start += 42 * n


def test_what_cannot_be_taken_is_said():
    with pytest.raises(ValueError, match=r"series of 9 steps or more.*seq_len=8"):
        MiniRocketFeatures(1, 8)
    with pytest.raises(ValueError, match=r"write n_features=84 or more"):
        MiniRocketFeatures(1, 9, 83)
    assert MiniRocketFeatures(1, 9, n_features=84).n_out == 84
    with pytest.raises(ValueError, match=r"series \(samples, 1 channels, steps\); received"):
        _fitted()(_series(c=2))
    with pytest.raises(RuntimeError, match=r"call fit\(training series\) first"):
        MiniRocketFeatures(1, 40)(_series())
    x = _series(c=2)
    x[2, 1, 7] = math.nan
    with pytest.raises(ValueError, match=r"missing or infinite values: fill them first"):
        MiniRocketFeatures(2, 40).fit(x)
    MiniRocketFeatures(2, 40).fit(x.nan_to_num())


@pytest.mark.parametrize("compiled", [True, False])
def test_no_series_have_no_features_and_no_biases_come_from_them(monkeypatch, compiled):
    model = _fitted()
    if not compiled:
        monkeypatch.setattr("minifast.timeseries.models.mini_rocket.compiled_features", lambda *args: None)
    assert model(torch.zeros(0, 1, 40)).shape == (0, model.n_out)
    with pytest.raises(ValueError, match="takes its biases from training series, and there are none"):
        model.fit(torch.zeros(0, 1, 40))
    for use in (model, model.fit):
        with pytest.raises(ValueError, match=r"takes series \(samples, 1 channels, steps\); received float32\[3,1,0\] on cpu$"):
            use(torch.zeros(3, 1, 0))
