"""`get_preds(save_preds=, save_targs=)`."""
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.gather import GatherPreds
from minifast.callbacks.progress import ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, x):
        return self.lin(x), self.lin(x)


def make(model=None, loss=None):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(20, 4), torch.arange(20) % 3)
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), model or nn.Linear(4, 3), loss or CrossEntropyLossFlat())
    return learn.remove_cb(ProgressCallback)


def test_predictions_and_targets_are_also_written_batch_by_batch(tmp_path):
    learn = make()
    preds, targs = learn.get_preds(save_preds=tmp_path / "p", save_targs=str(tmp_path / "t"))
    for folder, whole in (("p", preds), ("t", targs)):
        files = sorted((tmp_path / folder).iterdir(), key=lambda f: int(f.stem))
        assert [f.name for f in files] == ["0.npy", "1.npy", "2.npy"]
        assert np.array_equal(np.concatenate([np.load(f) for f in files]), whole.numpy())


def test_they_are_written_where_they_are_not_returned(tmp_path):
    learn = make()
    assert learn.get_preds(with_preds=False, with_targs=False, save_preds=tmp_path, save_targs=tmp_path / "t") == ()
    assert len(list(tmp_path.glob("*.npy"))) == len(list((tmp_path / "t").glob("*.npy"))) == 3


def test_as_a_callback_it_collects_what_it_writes(tmp_path):
    gather = GatherPreds(with_preds=False, with_targs=False, save_preds=tmp_path / "p", save_targs=tmp_path / "t")
    make().validate(cbs=[gather])
    assert len(gather.preds) == len(gather.targets) == len(list((tmp_path / "p").iterdir())) == len(list((tmp_path / "t").iterdir())) == 3


def test_a_folder_that_is_a_file_is_refused_before_anything_is_predicted(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(OSError) as e:
        make().get_preds(save_preds=tmp_path / "x")
    assert "get_preds(save_preds=) cannot write to" in str(e.value) + "".join(getattr(e.value, "__notes__", ()))


def test_several_outputs_are_refused(tmp_path):
    learn = make(Two(), lambda preds, y: nn.functional.cross_entropy(preds[0], y))
    with pytest.raises(TypeError, match="writes one tensor per batch to .*; this batch has tuple of 2"):
        learn.get_preds(save_preds=tmp_path)
