"""`FirstBatch` and series of several lengths: padding, which is NaN, is no fault of the data; a model that takes it for values is one."""
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.timeseries.padding import split_padding


class Mean(nn.Module):
    "The mean of the steps, and a layer."

    def __init__(self, masks):
        super().__init__()
        self.head, self.masks = nn.Linear(2, 3), masks

    def forward(self, x):
        if not self.masks:
            return self.head(x.mean(2))
        x, mask = split_padding(x)
        return self.head(x.sum(2) / mask.sum(1, keepdim=True))


def fit(x, masks):
    dls = DataLoaders(DataLoader(TensorDataset(x, torch.arange(len(x)) % 3), bs=4, shuffle=False))
    learn = Learner(dls, Mean(masks), CrossEntropyLossFlat())
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 1e-3)
    return learn


def series():
    x = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    x[1, :, 3:] = torch.nan
    x[2, :, 1:] = torch.nan
    return x


def test_a_model_that_takes_padding_for_values_is_told_what_to_write():
    with pytest.raises(ValueError, match=r"NaN for 2 of the 2 series .*Write `x, mask = split_padding\(x\)` .*or give it series of one"):
        fit(series(), masks=False)
    assert torch.isfinite(fit(series(), masks=True).model.head.weight).all()
    fit(series()[:, :, :1], masks=False)


@pytest.mark.parametrize(("where", "n"), [((1, slice(None), 1), 2), ((0, 1, 4), 1), ((3, slice(None), slice(None)), 10)])
def test_other_values_that_are_missing_are_refused(where, n):
    x = series()
    x[where] = torch.nan
    with pytest.raises(ValueError, match=f"first training batch hold {n} NaN or infinite values"):
        fit(x, masks=True)
