"""Random changes of batches of series: identity at no strength, padding stays, draws are those of the batch, and the recipe."""
import numpy as np
import pytest
import torch

from minifast.core.seeds import item_rng
from minifast.data.pipeline import Pipeline
from minifast.timeseries.all import (
    Cutout,
    FlipSign,
    FlipTime,
    Jitter,
    MagnitudeScale,
    MagnitudeWarp,
    Permutation,
    RotateAxes,
    TensorSeries,
    TimeWarp,
    WindowSlice,
    WindowWarp,
    series_transforms,
)

NONE = [Jitter(0.0, p=1), MagnitudeScale(0.0, p=1), MagnitudeWarp(0.0, p=1), Cutout(0.0, p=1), RotateAxes(max_deg=0.0, p=1),
        TimeWarp(0.0, p=1), WindowSlice(1.0, p=1), WindowWarp(max_factor=1.0, p=1), WindowWarp(0.0, p=1)]
STRONG = [Jitter(0.5, p=1), MagnitudeScale(0.5, p=1), MagnitudeWarp(0.5, p=1), Cutout(0.9, p=1), FlipSign(p=1),
          RotateAxes(max_deg=180, p=1), TimeWarp(0.5, p=1), WindowSlice(0.3, p=1),
          WindowWarp(0.4, 3.0, p=1), Permutation(7, p=1), FlipTime(p=1)]
LENGTHS = [37, 1, 20, 2, 36, 0]


@pytest.fixture
def x():
    "Series of several lengths, one of a single step and one of none."
    x = torch.randn(6, 3, 37, generator=torch.Generator().manual_seed(0)) + 3
    for i, n in enumerate(LENGTHS):
        x[i, :, n:] = torch.nan
    return TensorSeries(x)


def plain(t):
    return t.as_subclass(torch.Tensor)


def run(tfm, x, seed=0, split_idx=0):
    return tfm((x, torch.arange(len(x))), split_idx, item_rng(seed))[0]


def same(a, b):
    return torch.equal(plain(a).nan_to_num(nan=99.0), plain(b).nan_to_num(nan=99.0))


@pytest.mark.parametrize("tfm", NONE, ids=repr)
def test_no_strength_changes_no_bit(tfm, x):
    assert same(run(tfm, x), x)


@pytest.mark.parametrize("tfm", STRONG, ids=lambda t: type(t).__name__)
def test_padding_stays_and_a_series_is_changed_as_if_it_were_alone(tfm, x):
    before = x.clone()
    out = run(tfm, x)
    assert isinstance(out, TensorSeries) and out.dtype == x.dtype and same(x, before), "the batch itself is not written to"
    assert torch.equal(plain(out).isnan(), plain(x).isnan())
    assert not torch.equal(plain(out)[0], plain(x)[0])
    assert run(tfm, x[:0]).shape == (0, 3, 37)
    if type(tfm) is not Jitter:                                 # whose noise is one tensor for the batch
        params = tfm.draw(x, item_rng(0), 0)
        for i, n in enumerate(LENGTHS[:5]):
            alone = tfm.encodes(x[i:i + 1, :, :n], **{k: v[i:i + 1] for k, v in params.items()})
            assert torch.allclose(plain(alone)[0], plain(out)[i, :, :n], atol=1e-5)


@pytest.mark.parametrize("tfm", STRONG, ids=lambda t: type(t).__name__)
def test_what_is_drawn(tfm, x):
    x = TensorSeries(plain(x)[:1].expand(40, -1, -1).clone())           # forty times the same
    out = run(tfm, x)
    assert same(run(tfm, x), out), "a function of the generator of the batch"
    if type(tfm) not in (FlipSign, FlipTime):
        assert not same(run(tfm, x, seed=1), out)
        assert len({tuple(o.flatten().tolist()) for o in plain(out)}) > 20, "each series has a draw of its own"
    assert run(tfm, x, split_idx=1) is x, "training batches only"
    assert tfm.at_validation() is None and tfm.varies
    half = type(tfm)(p=0.5)
    out = run(half, x)
    changed = (plain(out) != plain(x)).flatten(1).any(1)
    assert 8 < changed.sum() < 32, "the probability is that of each series"
    assert run(type(tfm)(p=0.0), x) is x


def test_the_same_draw_for_all_series_of_a_sample_and_nothing_else(x):
    other, numbers = TensorSeries(plain(x) * 2), torch.randn(6, 3, 37)
    out = FlipTime(p=0.5)((x, other, numbers), 0, item_rng(1))
    assert same(plain(out[0]) * 2, out[1]) and out[2] is numbers and not same(out[0], x)


def test_by_hand_and_on_one_series(x):
    out = FlipSign(p=1)(plain(x))
    assert type(out) is torch.Tensor and same(out, -plain(x))
    with pytest.raises(TypeError, match=r"works on batches of series \(B,C,T\); received one, float32\[3,37\].*series\[None\]"):
        FlipSign(p=1)(x[0])
    assert same(FlipSign(p=1)(x[0][None]), -x[:1])
    with pytest.warns(UserWarning, match=r"called on plain tensors and did nothing, because it takes TensorSeries"):
        FlipSign(p=1)(plain(x)[0])


@pytest.mark.parametrize("tfm", [t for t in STRONG if type(t) is not Jitter], ids=lambda t: type(t).__name__)
def test_the_device_is_never_waited_for(tfm):
    x = TensorSeries(torch.empty(6, 3, 37, device="meta"))              # has no values that could be read
    assert run(tfm, x).shape == x.shape


def test_half_precision(x):
    for tfm in STRONG:
        assert run(tfm, x.half()).dtype == torch.float16


def names(tfms):
    return [type(t).__name__ for t in tfms]


def test_the_recipe(x):
    assert names(series_transforms()) == ["WindowSlice", "WindowWarp", "TimeWarp", "MagnitudeScale", "Jitter"]
    assert names(series_transforms(min_share=1, max_warp=1, time_warp=0)) == ["MagnitudeScale", "Jitter"]
    assert series_transforms(mult=0) == []
    assert len(series_transforms(magnitude_warp=0.1, max_cutout=0.1, flip_sign=True, flip_time=True)) == 9
    strong = series_transforms(mult=2)
    assert [strong[0].min_share, strong[1].max_factor, strong[2].std] == pytest.approx([0.6, 4, 0.4])
    assert [t.p for t in series_transforms(p_time=0.1, p_values=0.2)] == [0.1] * 3 + [0.2] * 2
    assert names(series_transforms(mult=0, xtra_tfms=[RotateAxes(), Permutation()])) == ["RotateAxes", "Permutation"]
    out = Pipeline(series_transforms(), 0)((x, torch.arange(6)), item_rng(0))[0]
    assert torch.equal(plain(out).isnan(), plain(x).isnan()) and not same(out, x)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Jitter(-0.1), r"Jitter\(std=-0.1\): a number from 0 \(no change\) to 1"),
    (lambda: TimeWarp(knots=0), r"TimeWarp\(knots=0\): a whole number of 1 or more"),
    (lambda: WindowSlice(0), r"WindowSlice\(min_share=0\): a share of the length, above 0, at most 1"),
    (lambda: WindowWarp(max_factor=0.5), r"WindowWarp\(max_factor=0.5\): a factor from 1 \(no change\)"),
    (lambda: Cutout(1.5), r"Cutout\(max_share=1.5\): a share of the steps, from 0 to 1"),
    (lambda: Permutation(1), r"Permutation\(max_segments=1\): a whole number of 2 or more"),
    (lambda: Jitter(p=2), r"Jitter\(p=2\): p is a probability"),
    (lambda: RotateAxes((0, 1)), r"RotateAxes\(axes=\(0, 1\)\): three channels, such as \(0, 1, 2\), or a list of such triples"),
    (lambda: RotateAxes((0, 1, 1)), "three channels"),
    (lambda: series_transforms(mult=-1), r"series_transforms\(mult=-1\): a factor of all strengths, 0"),
    (lambda: series_transforms(min_share=0.5, mult=2), r"WindowSlice\(min_share=0.0\): a share of the length, above 0"),
    (lambda: series_transforms(max_warp=0), r"series_transforms\(max_warp=0\): a factor of 1"),
])
def test_strengths_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_all_numbers_are_drawn_on_the_cpu_and_copied_once(x, monkeypatch):
    copies = []
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda t, *a, **k: copies.append(a) or to(t, *a, **k))
    assert isinstance(MagnitudeWarp(p=1).parameters(x, np.random.default_rng(0))["pieces"][0], np.ndarray)
    Permutation(p=1).draw(x, item_rng(0), 0)
    assert copies == [(x.device,)]
