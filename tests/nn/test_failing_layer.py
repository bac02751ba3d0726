"What an error of a model's `forward` says of the layer that it came from."
import pytest
import torch
from suggestions import told
from torch import nn

from minifast.nn.failing_layer import note_layer


def run(model, *inputs):
    try:
        model(*inputs)
    except Exception as e:
        note_layer(e, model, inputs)
        raise


def notes(model, *inputs):
    with pytest.raises(Exception) as caught:
        run(model, *inputs)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


class Two(nn.Module):
    def __init__(self, second):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Sequential(nn.ReLU(), second)

    def forward(self, x, scale=None):
        return self.second(self.first(x))


def test_the_layer_and_what_it_received():
    said = notes(Two(nn.Linear(7, 2)), torch.zeros(8, 3))
    assert "in the layer 'second.1' of the model, Linear(in_features=7, out_features=2, bias=True), which received float32[8,4]" in said
    assert "write nn.Linear(4, 2)" in said
    Two(nn.Linear(4, 2))(torch.zeros(8, 3))
    said = notes(nn.Linear(4, 1), torch.zeros(8, 3))
    assert "in the model, Linear(in_features=4" in said and "write nn.Linear(3, 1)" in said


def test_images_into_a_linear_layer():
    x = torch.zeros(2, 3, 4, 4)
    assert "put nn.Flatten() before it and write nn.Linear(48, 2)" in notes(nn.Sequential(nn.Linear(10, 2)), x)
    with told("nn/failing_layer.py", " and write nn.Linear(…, …)"):
        run(nn.Sequential(nn.Linear(10, 2)), x)
    nn.Sequential(nn.Flatten(), nn.Linear(48, 2))(x)
    assert notes(nn.Sequential(nn.Linear(48, 2)), x).endswith("put nn.Flatten() before it")
    with told("nn/failing_layer.py", ": put nn.Flatten() before it"):
        run(nn.Sequential(nn.Linear(48, 2)), x)
    nn.Sequential(nn.Flatten(), nn.Linear(48, 2))(x)


def test_channels_kinds_and_whole_numbers():
    x = torch.zeros(2, 1, 4, 4)
    assert "write nn.Conv2d(1, 5, ...), or give it 3 channels" in notes(nn.Conv2d(3, 5, 3), x)
    with told("nn/failing_layer.py", ": write nn.…(…, …, ...), or give it … channels"):
        run(nn.Conv2d(3, 5, 3), x)
    nn.Conv2d(1, 5, 3)(x), nn.Conv2d(3, 5, 3)(x.expand(-1, 3, -1, -1))
    with told("nn/failing_layer.py", ", while its weights are …: write model.float() and give it float32, x.float()"):
        run(nn.Linear(3, 1).double(), torch.zeros(2, 3))
    nn.Linear(3, 1).double().float()(torch.zeros(2, 3).float())
    with told("nn/failing_layer.py", ": it takes whole numbers, write x.long()"):
        run(nn.Embedding(3, 1), torch.zeros(2))
    nn.Embedding(3, 1)(torch.zeros(2).long())


def test_errors_outside_of_any_layer():
    assert "the model was called with float32[2,3] on cpu, float32[2] on cpu, float32[2] on cpu" in notes(
        Two(nn.Linear(4, 1)), torch.zeros(2, 3), torch.zeros(2), torch.zeros(2))

    class Breaks(nn.Module):
        def forward(self, x):
            raise KeyError("mine")
    assert "in the model, Breaks(), which received float32[2]" in notes(Breaks(), torch.zeros(2))
