"""Names under which nothing can be saved, folders that cannot be written, and the word of fastai that is none here."""
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def plain():
    ds = TensorDataset(torch.rand(8, 4), torch.arange(8) % 2)
    return Learner(DataLoaders(TorchLoader(ds, 4), TorchLoader(ds, 4), device="cpu"), nn.Linear(4, 2), CrossEntropyLossFlat())


def ratings():
    import pandas as pd
    df = pd.DataFrame({"user": [1, 2] * 10, "item": list("abcde") * 4, "rating": [1.0, 5.0] * 10})
    return collab_learner(CollabDataLoaders.from_df(df, bs=4))


@pytest.mark.parametrize("name", [None, "", 3, [], "."])
def test_no_names(name):
    for verb in (plain().save, plain().load):
        with pytest.raises(TypeError, match="the file is a name, such as 'stage-1', or a path; received"):
            verb(name)


def test_folders(tmp_path):
    learn = plain()
    assert learn.save(tmp_path / "none" / "deep" / "x").is_file()               # a missing folder is made
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        learn.save(tmp_path / "file" / "x")
    assert "give the learner a writable folder" in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
