"""Changes of values against closed forms."""
import numpy as np
import pytest
import torch

from minifast.core.seeds import item_rng
from minifast.timeseries.all import Cutout, Jitter, MagnitudeScale, MagnitudeWarp, RotateAxes, TensorSeries
from minifast.timeseries.augment.values import spline_pieces


def test_jitter_is_normal_noise_of_a_share_of_the_standard_deviation():
    x = torch.randn(64, 2, 500, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0])[:, None] + 7
    x[0, 1] = 4                                                         # a constant channel
    x[1, :, 300:] = torch.nan
    out = Jitter(0.1, p=1)(x, 0, item_rng(0))
    noise = (out - x) / x.nanmean(2, keepdim=True).sub(x).square().nanmean(2, keepdim=True).sqrt()
    assert torch.equal(out[0, 1], x[0, 1]) and out[1, :, 300:].isnan().all()
    noise = noise[2:]
    assert abs(noise.mean()) < 0.002 and noise.std() == pytest.approx(0.1, rel=0.02)
    assert (noise / 0.1).pow(4).mean() == pytest.approx(3, rel=0.05), "normal"
    assert abs((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 1e-4 and abs((noise[:, 0] * noise[:, 1]).mean()) < 1e-4, "independent"


def test_scale_is_as_often_below_one_as_above():
    x = torch.ones(4000, 2, 3)
    factor = MagnitudeScale(0.2, p=1)(x, 0, item_rng(0))
    assert torch.equal(factor, factor[:, :, :1].expand_as(factor)) and (factor[:, 0] != factor[:, 1]).any()
    logs = factor[:, :, 0].log()
    assert abs(logs.mean()) < 0.01 and logs.std() == pytest.approx(0.2, rel=0.03) and abs(logs.T.corrcoef()[0, 1]) < 0.05
    together = MagnitudeScale(0.2, by_var=False, p=1)(x, 0, item_rng(0))
    assert torch.equal(together[:, 0], together[:, 1])


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_spline_is_scipys(n):
    scipy = pytest.importorskip("scipy.interpolate")
    y = np.random.default_rng(0).normal(size=n)
    pieces = np.einsum("k,kdm->dm", y, spline_pieces(n))
    expected = scipy.CubicSpline(np.arange(n), y, bc_type="natural").c[::-1]
    assert np.allclose(pieces, expected)


def test_magnitude_warp_goes_through_its_knots():
    tfm = MagnitudeWarp(0.3, knots=3, p=1)
    x = torch.ones(2, 2, 41)                                             # 4 pieces of 10 steps
    x[1, :, 21:] = torch.nan                                             # 4 pieces of 5
    values = np.random.default_rng(0).normal(size=(2, 2, 5))
    pieces = torch.from_numpy(np.einsum("...k,kdm->...dm", values, spline_pieces(5))).float()
    out = tfm.change(x, pieces)
    assert torch.allclose(out[0, :, ::10].log(), torch.from_numpy(values[0]).float(), atol=1e-5)
    assert torch.allclose(out[1, :, :21:5].log(), torch.from_numpy(values[1]).float(), atol=1e-5)
    assert out[0].log().diff(n=2).abs().max() < 0.05, "smooth"
    drawn = tfm(torch.ones(3000, 1, 41), 0, item_rng(0)).log()
    assert drawn[:, 0, ::10].std(0) == pytest.approx(np.full(5, 0.3), rel=0.06)
    one = MagnitudeWarp(0.3, by_var=False, p=1)(torch.ones(4, 2, 9), 0, item_rng(0))
    assert torch.equal(one[:, 0], one[:, 1])


def test_cutout_puts_the_mean_in_place_of_one_stretch_of_all_channels():
    x = torch.randn(500, 2, 40, generator=torch.Generator().manual_seed(0))
    x[:250, :, 20:] = torch.nan
    out = Cutout(0.5, p=1)(x, 0, item_rng(0))
    cut = ~torch.isclose(out, x, equal_nan=True, rtol=0, atol=0)
    assert torch.equal(cut[:, 0], cut[:, 1])
    assert torch.equal(out[cut], x.nanmean(2, keepdim=True).expand_as(x)[cut])
    assert (cut[:, 0].int().diff(dim=1) == 1).sum(1).le(1).all(), "one stretch"
    for part, n in ((cut[:250, 0], 20), (cut[250:, 0], 40)):
        share = part.sum(1) / n
        assert share.max() <= 0.5 and share.mean() == pytest.approx(0.25, abs=0.03)
        assert part.sum(0)[0] < part.sum(0)[n // 2]
        assert part.sum(0)[n - 1] > 0, "the last step too"


def test_rotation_turns_the_axes_of_a_sensor():
    x = torch.randn(200, 7, 5, generator=torch.Generator().manual_seed(0))
    out = RotateAxes([(0, 1, 2), (3, 5, 4)], max_deg=40, p=1)(x, 0, item_rng(0))
    assert torch.equal(out[:, 6], x[:, 6])
    for axes in ([0, 1, 2], [3, 5, 4]):
        assert torch.allclose(out[:, axes].norm(dim=1), x[:, axes].norm(dim=1), atol=1e-5), "lengths stay"
    params = RotateAxes(max_deg=40, p=1).draw(TensorSeries(x), item_rng(0), 0)
    m = params["matrix"]
    assert torch.allclose(m @ m.mT, torch.eye(3).expand_as(m), atol=1e-5)
    assert torch.allclose(torch.linalg.det(m), torch.ones(200), atol=1e-5)
    angle = torch.rad2deg(torch.acos(((m.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert 35 < angle.max() <= 40.01 and angle.mean() == pytest.approx(20, abs=3)
    assert torch.allclose(out[:, [3, 5, 4]], m @ x[:, [3, 5, 4]], atol=1e-5), "both sensors turn together"
    with pytest.raises(ValueError, match=r"RotateAxes\(axes=\(\(0, 1, 2\),\)\) names channels of .*, but these series have 2 .*0 to 1"):
        RotateAxes(p=1)(x[:, :2], 0, item_rng(0))
