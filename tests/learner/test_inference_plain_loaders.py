"Loaders of torch: new items, and validation without targets."
import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat

X, Y = torch.rand(12, 3), torch.arange(12) % 2
KINDS = [DataLoader, TorchDataLoader]


class Files(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        return X[i], Y[i]


def learner(kind, data=None, valid=None, **kwargs):
    data = TensorDataset(X, Y) if data is None else data
    dls = DataLoaders(kind(data, batch_size=4), kind(valid or data, batch_size=4))
    learn = Learner(dls, nn.Linear(3, 2), CrossEntropyLossFlat(), **kwargs)
    learn.logger = lambda row: None
    return learn


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_for_loaders_that_open_none(kind):
    in_memory, own = learner(kind), learner(kind, Files())
    with told("data/loaders.py", "Give tensors, or a dataset that opens what you have"):
        in_memory.predict("a.png")
    with told("data/loaders.py", "Give what it makes of a file, predict(x) with x as the model gets it, or a dataset of your"):
        own.predict("a.png")
    for learn in (in_memory, own):
        target, same, probs = learn.predict(X[0])
        assert int(target) == int(same) == int(probs.argmax())
        assert learn.predict(X[0], with_input=True)[1] == same
        assert learn.get_preds(dl=learn.dls.test_dl(Files()))[0].shape == (12, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_validation_without_targets(kind):
    learn = learner(kind, metrics=accuracy)
    for inputs in (X, TensorDataset(X)):
        with told("callbacks/recorder.py", "give it pairs (input, target), for example DataLoader(TensorDataset(x, y))"):
            learn.validate(dl=kind(inputs, batch_size=4))
        assert learn.validate(dl=kind(TensorDataset(X, Y), batch_size=4))[0] > 0
        assert learn.get_preds(dl=kind(inputs, batch_size=4))[0].shape == (12, 2)
    blind = learner(kind, valid=TensorDataset(X), metrics=accuracy)
    with pytest.warns(UserWarning, match="validation needs targets.*There is no validation loss") as said:
        blind.fit(2)
    assert len([w for w in said if "validation needs" in str(w.message)]) == 1 and blind.recorder.values[-1][1] is None
