"""Metrics of forecasts against values that a reader can compute."""
from types import SimpleNamespace

import pytest
import torch

from minifast.metrics.forecasting import MASE, mase, pinball, point_of, smape


def test_smape():
    f, y = torch.tensor([[[1.0, 3.0, 0.0, -2.0]]]), torch.tensor([[[1.0, 1.0, 0.0, 2.0]]])
    assert smape(f, y).item() == pytest.approx((0 + 200 * 2 / 4 + 0 + 200) / 4)
    assert smape(y, f).item() == pytest.approx(smape(f, y).item()), "symmetric"


def test_mase():
    history = torch.tensor([[[1.0, 2.0, 4.0, 7.0]]])               # changes 1, 2, 3: mean 2; of a season of 2: 3, 5: mean 4
    f, y = torch.tensor([[[8.0, 8.0]]]), torch.tensor([[[9.0, 11.0]]])         # errors 1, 3
    assert mase(f, y, history).item() == pytest.approx(2 / 2) and mase(f, y, history, season=2).item() == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match=r"season=4.*fewer than the 4"):
        mase(f, y, history, season=4)


def test_pinball():
    f, y = torch.tensor([[1.0, 2.0, 5.0]]), torch.tensor([4.0])
    assert pinball(f, y, (0.1, 0.5, 0.9)).item() == pytest.approx((0.1 * 3 + 0.5 * 2 + 0.1 * 1) / 3)
    f, y = torch.randn(50, 2, 7), torch.randn(50, 2, 7)
    assert pinball(f[..., None], y, [0.5]).item() == pytest.approx(0.5 * (f - y).abs().mean().item(), rel=1e-5)
    with pytest.raises(ValueError, match=r"2 quantiles of targets .* have the shape \(50, 2, 7, 2\)"):
        pinball(f[..., None], y, [0.1, 0.9])


def test_the_median_is_the_forecast():
    y = torch.zeros(2, 1, 3)
    q = torch.stack([y - 1, y + 5, y + 9], -1)
    assert point_of(q, y).equal(y + 5) and point_of(y, y) is y and smape(q, y + 5).item() == 0
    with pytest.raises(ValueError, match="odd number of quantiles"):
        point_of(q[..., :2], y)


class Windows:
    "Three windows of two series whose values change by 2 and by 5."
    def naive_errors(self, season, training):
        return season * torch.tensor([[2.0], [2.0], [5.0]], dtype=torch.float64)

    def item_name(self, i):
        return f"window {i}"


def test_mase_divides_the_error_of_each_series_by_its_own_change():
    data = Windows()
    dl = SimpleNamespace(dataset=data, indices_of_batch=lambda i: [[2, 0], [1]][i])
    learn = SimpleNamespace(dl=dl, dls=SimpleNamespace(train=SimpleNamespace(dataset=data)), iter=0, pred=None, yb=())
    metric = MASE(2)
    for learn.iter, n in ((0, 2), (1, 1)):
        learn.pred, learn.yb = torch.zeros(n, 1, 4), (torch.full((n, 1, 4), 20.0),)
        metric.accumulate(learn)
    assert metric.value == pytest.approx((20 / 10 + 20 / 4 + 20 / 4) / 3) and metric.lower_is_better and metric.name == "mase"
    dl.dataset = data = Windows()
    data.naive_errors = lambda *_: torch.zeros(3, 1)
    with pytest.raises(ValueError, match=r"there is none for window 1: it is constant.*smaller season=, or metrics=\[mae\]"):
        metric.accumulate(learn)
    dl.dataset = [1]
    with pytest.raises(TypeError, match=r"TSDataLoaders.from_windows\(windows\).*mase\(pred, target, history, season\)"):
        metric.accumulate(learn)
    with pytest.raises(ValueError, match="season=0"):
        MASE(0)


@pytest.mark.parametrize(("history", "said"), [([1.0, 1.0, 1.0], "which is 0"), ([1.0, float("nan"), 2.0], "which is nan")])
def test_mase_of_a_history_without_change_is_refused(history, said):
    y, ok = torch.ones(2, 1, 1), [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=f"{said} for a series.*Leave such series out, or measure mae"):
        mase(y, y, torch.tensor([[ok], [history]]))
    assert mase(y[:1], y[:1] + 1, torch.tensor([[ok]])) == 1
