"""What a model has to know of the series it is made for."""
import numpy as np
import pytest
import torch

from minifast.timeseries.all import DataLoaders, FillSteps, TSDataLoaders, series_shape

UNEQUAL = [np.ones((2, n)) for n in (5, 9, 3, 7, 4, 6)]


@pytest.mark.parametrize(("X", "options", "expected"), [
    (np.ones((6, 3, 8)), {}, (3, 8, 8, False)),
    (np.ones((6, 8)), {}, (1, 8, 8, False)), (UNEQUAL, {}, (2, 9, 3, True)),
    (UNEQUAL, {"max_len": 4}, (2, 4, 3, True)), (UNEQUAL, {"max_len": 3}, (2, 3, 3, False)),
    (np.ones((6, 3, 8)), {"max_len": 5}, (3, 5, 5, False)),
    (np.ones((6, 3, 8)), {"fill": FillSteps(add_mask=True)}, (6, 8, 8, False))])
def test_the_shape_is_that_of_batches(X, options, expected):
    dls = TSDataLoaders.from_array(X, list("ababab"), splits=(range(4), range(4, 6)), bs=2, **options)
    assert tuple(series_shape(dls)) == expected


def test_batch_transforms_count():
    dls = TSDataLoaders.from_array(np.ones((6, 3, 8)), list("ababab"), bs=2, batch_tfms=_first_channel)
    assert tuple(series_shape(dls)) == (1, 8, 8, False)


def _first_channel(x):
    return x[:, :1] if x.ndim == 3 else x


def test_other_loaders():
    def loaders(x):
        return DataLoaders.from_dsets(torch.utils.data.TensorDataset(x, torch.zeros(4)), bs=2)
    assert tuple(series_shape(loaders(torch.ones(4, 2, 7)))) == (2, 7, 7, False)
    with pytest.raises(TypeError, match=r"these loaders give float32\[2,7\].*TSDataLoaders"):
        series_shape(loaders(torch.ones(4, 7)))
