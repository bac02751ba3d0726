"""Batch size by memory, memory format, compilation, and the state of callbacks in saved files."""
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.precision import MixedPrecision
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.learner.probe import is_out_of_memory
from minifast.nn.losses import CrossEntropyLossFlat


class Hungry(nn.Module):
    "Says that memory is out for batches of more than `most`."

    def __init__(self, most):
        super().__init__()
        self.body, self.head, self.most = nn.Linear(3, 4), nn.Linear(4, 2), most

    def forward(self, x):
        if len(x) > self.most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried to")
        return self.head(self.body(x).relu())


def make(model=None, bs=32, n=64):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(n, 3), torch.arange(n) % 2)
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs, shuffle=True), DataLoader(ds, bs=bs)), Hungry(1000) if model is None else model,
                    CrossEntropyLossFlat(), splitter=lambda m: [list(m.body.parameters()), list(m.head.parameters())])
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


@pytest.mark.slow
def test_the_batch_is_halved_until_it_fits_and_nothing_else_changes():
    learn = make(Hungry(10))
    learn.create_opt()
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    rng = torch.get_rng_state()
    with pytest.warns(UserWarning, match="batches of 32 do not fit .* now give 8.*GradientAccumulation.32"):
        assert learn.find_bs() == 8
    assert learn.dls.bs == 8 and learn.dls.valid.bs == 8
    assert all(torch.equal(before[k], v) for k, v in learn.model.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state()) and learn.recorder.history == [] and not learn.opt.state
    learn.fit(1)


@pytest.mark.slow
def test_what_fits_stays():
    learn = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert learn.find_bs() == 32 and learn.find_bs(start=64) == 64
    assert learn.dls.bs == 64


@pytest.mark.slow
def test_other_errors_and_hopeless_cases():
    with pytest.raises(RuntimeError, match="not even a batch of 4 fits"):
        make(Hungry(1)).find_bs(min_bs=4)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        make(Broken()).find_bs()
    with pytest.raises(ValueError, match="whole numbers with 1 <= min_bs <= start"):
        make().find_bs(start=0)
    torch_loader = torch.utils.data.DataLoader(TensorDataset(torch.randn(4, 3), torch.arange(4) % 2), 2)
    with pytest.raises(TypeError, match="needs minifast's DataLoader"):
        Learner(DataLoaders(torch_loader, device="cpu"), nn.Linear(3, 2), CrossEntropyLossFlat()).find_bs()
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")) and is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))


class Broken(Hungry):
    def __init__(self):
        super().__init__(100)

    def forward(self, x):
        return self.head(x)


@pytest.mark.slow
def test_compiled_models_can_be_frozen_and_save_plain_weights(tmp_path):
    calls = []

    def backend(graph, example_inputs):
        calls.append(1)
        return graph.forward

    learn = make().compile(backend=backend)
    learn.path = tmp_path
    plain = make()
    for each in (learn, plain):
        torch.manual_seed(1)
        each.fine_tune(1, 1e-2)
    assert len(calls) >= 2                                      # compiled, and compiled again for other frozen layers
    assert all(torch.equal(a, b) for a, b in zip(learn.model.parameters(), plain.model.parameters(), strict=True))
    learn.save("compiled")
    plain.path = tmp_path
    plain.load("compiled")
    assert list(learn.model.state_dict()) == list(plain.model.state_dict())
    learn.freeze()
    head = learn.model.head.weight.clone()
    body = learn.model.body.weight.clone()
    learn.fit(1)
    assert torch.equal(body, learn.model.body.weight) and not torch.equal(head, learn.model.head.weight)


def test_the_state_of_callbacks_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(MixedPrecision, "works_on", lambda self, device: True)
    learn = make()
    learn.path = tmp_path
    learn.add_cb(MixedPrecision("fp16", init_scale=2.0**10, growth_interval=2))
    learn.fit(1)
    scale = learn.mixed_precision.scaler.state_dict()
    assert scale["scale"] == 2.0**11
    learn.save("half")
    other = make()
    other.path = tmp_path
    other.add_cb(MixedPrecision("fp16"))
    other.load("half")
    assert other.mixed_precision.state_dict()["scaler"] == scale
    other.fit(1)
    assert other.mixed_precision.scaler.get_scale() == 2.0**12       # went on from the saved scale
