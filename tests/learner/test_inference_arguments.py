"What is given in the place of a loader, and several items in the place of one, is refused with what to write."
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat

X, Y = torch.randn(12, 4), torch.arange(12) % 3


@pytest.fixture
def learn():
    data = TensorDataset(X, Y)
    return Learner(DataLoaders(DataLoader(data, bs=4), DataLoader(data, bs=4)), nn.Linear(4, 3), CrossEntropyLossFlat())


@pytest.mark.parametrize("verb", ["get_preds", "validate", "tta", "show_results"])
def test_a_loader_is_given_by_its_name(learn, verb):
    with pytest.raises(TypeError, match=r"ds_idx=DataLoader.*a number, 0 is training and 1 validation.*`dl=learn\.dls\.test_dl\(items\)`"):
        getattr(learn, verb)(learn.dls.valid)


@pytest.mark.parametrize("items", [[Path("a.jpg")], ["a.jpg", "b.jpg"], pd.DataFrame({"a": [1]}), X],
                         ids=["paths", "names", "frame", "tensor"])
@pytest.mark.parametrize("reorder", [True, False])
def test_items_are_no_loader(learn, items, reorder):
    with pytest.raises(TypeError, match=r"dl must be a loader; received .*`learn\.dls\.test_dl\(items\)`"):
        learn.get_preds(dl=items, reorder=reorder)


def test_what_is_a_loader(learn):
    oracle = learn.model(X).softmax(1)
    torch.testing.assert_close(learn.get_preds(dl=learn.dls.test_dl(X))[0], oracle)
    torch.testing.assert_close(learn.get_preds(dl=[(X[:6], Y[:6]), (X[6:], Y[6:])])[0], oracle)
    torch.testing.assert_close(learn.get_preds(-1)[0], oracle)
    with pytest.raises(IndexError, match="ds_idx=2: this learner has 2 loaders"):
        learn.get_preds(2, reorder=False)
