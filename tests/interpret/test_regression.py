"""`RegressionInterpretation` against sums written out."""
import pytest
import torch
from torch.utils.data import TensorDataset

from minifast.interpret.regression import RegressionInterpretation
from minifast.nn.losses import MSELossFlat


def test_regression(make):
    y = torch.randn(30, 1)
    interp = RegressionInterpretation.from_learner(make(loss=MSELossFlat(), y=y, out=1, kind=TensorDataset))
    r = interp.preds - y
    s = interp.summary().iloc[0]
    assert s.bias == pytest.approx(float(r.mean()), abs=1e-5) and s.mae == pytest.approx(float(r.abs().mean()), abs=1e-5)
    assert s.rmse == pytest.approx(float(r.square().mean().sqrt()), abs=1e-5)
    assert s.r2 == pytest.approx(1 - float(r.square().sum() / (y - y.mean()).square().sum()), abs=1e-4)
    frame = interp.frame()
    assert frame.residual.tolist() == pytest.approx(r[:, 0].tolist(), abs=1e-6) and frame.target.tolist() == pytest.approx(y[:, 0].tolist())
    assert interp.per_group([i % 2 for i in range(30)]).absolute_error.tolist()
    assert len(interp.plot_residuals()) == 2 and interp.plot_predictions().get_xlabel() == "target"
