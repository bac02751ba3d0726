"Row S116: the state of an optimizer that lies in memory in another order than the weights."
import torch
from torch import nn

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def learner(path):
    torch.manual_seed(0)
    x, y = torch.randn(16, 3, 1, 8), torch.arange(16) % 2
    model = nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)).to(memory_format=torch.channels_last)
    data = list(zip(x, y, strict=True))
    learn = Learner(DataLoaders(DataLoader(data, bs=8), DataLoader(data, bs=8)), model, CrossEntropyLossFlat(), path=path)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def test_s116_optimizer_state_in_another_memory_format(tmp_path):
    """A checkpoint with the state of the optimizer is loaded into a model with its channels last in memory, and training goes on.

    Elsewhere: the file holds tensors in the usual order, and a fused optimizer reads weight and averages as they lie in memory: each
    weight moves by the averages of another one, until these have been forgotten.
    Here: after loading the state of each weight has its memory format; training goes on to the bit.
    """
    torch.manual_seed(0)
    whole, part = learner(tmp_path), learner(tmp_path)
    part.fit(1, 0.05)
    part.save("half", with_opt=True)
    whole.fit(1, 0.05)
    again = learner(tmp_path)
    again.load("half", with_opt=True)
    assert "fused" in again.opt.param_groups[0]
    for learn in (whole, again):
        torch.manual_seed(1)
        learn.fit(1, 0.05)
    assert torch.equal(whole.model[0].weight, again.model[0].weight)
