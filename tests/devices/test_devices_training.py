"""Training on a GPU computes what it computes on the CPU; half precision, memory formats, compilation, clipping and averages work there."""
import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.basics import Adam, CrossEntropyLossFlat, DataLoaders, Learner, RAdam, accuracy
from minifast.callbacks import EMA, GradientAccumulation, GradientClip, MixedPrecision, MixUp
from minifast.learner.export import load_learner
from minifast.optim import SGD

pytestmark = pytest.mark.gpu
X = torch.randn(96, 3, 16, 16, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0].mean((1, 2)) > 0).long()


def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 2)]
    return nn.Sequential(*layers)


def learner(device, tmp_path, **kwargs):
    data, held = TensorDataset(X[:64], Y[:64]), TensorDataset(X[64:], Y[64:])
    dls = DataLoaders.from_dsets(data, held, bs=16, device=device, num_workers=0, shuffle=False)
    learn = Learner(dls, net(), CrossEntropyLossFlat(), metrics=accuracy, path=tmp_path, **kwargs)
    learn.logger = lambda row: None
    return learn


def losses(learn, epochs=2, lr=1e-2):
    with learn.no_bar():
        learn.fit(epochs, lr)
    return torch.tensor(learn.recorder.raw_losses)


@pytest.mark.parametrize("opt", [SGD, Adam, RAdam, torch.optim.AdamW], ids=lambda o: o.__name__)
def test_training_is_that_of_the_cpu(device, tmp_path, opt):
    there, here = (learner(d, tmp_path, opt_func=opt) for d in (device, "cpu"))
    torch.testing.assert_close(losses(there), losses(here), rtol=0.02, atol=0.01)
    assert next(there.model.parameters()).device.type == device
    (preds, targets), (expected, _) = there.get_preds(), here.get_preds()
    torch.testing.assert_close(preds, expected, rtol=0.05, atol=0.02)
    assert preds.device.type == "cpu" and torch.equal(targets, Y[64:])


@pytest.mark.parametrize("cbs", [GradientClip(0.1), GradientAccumulation(32), EMA(0.9)], ids=lambda c: c.name)
def test_callbacks_compute_what_they_do_on_the_cpu(device, tmp_path, cbs):
    there, here = (learner(d, tmp_path, opt_func=SGD, cbs=copy.deepcopy(cbs)) for d in (device, "cpu"))
    torch.testing.assert_close(losses(there), losses(here), rtol=0.02, atol=0.01)
    torch.testing.assert_close(there.model[5].weight.detach().cpu(), here.model[5].weight.detach(), rtol=0.02, atol=0.01)


def test_mixup_and_the_learning_rate_finder(device, tmp_path):
    learn = learner(device, tmp_path, cbs=MixUp(0.4))
    with learn.no_bar():
        assert 0 < learn.lr_find(num_it=20, show_plot=False).valley < 10
    assert torch.isfinite(losses(learn)).all()


@pytest.mark.parametrize("precision", ["to_fp16", "to_bf16"])
@pytest.mark.filterwarnings("ignore:fp16 needs an accelerator")
def test_half_precision(device, tmp_path, precision):
    full, half = (learner(device, tmp_path, opt_func=SGD) for _ in range(2))
    getattr(half, precision)()
    torch.testing.assert_close(losses(half), losses(full), rtol=0.1, atol=0.05)
    cb = next(c for c in half.cbs if isinstance(c, MixedPrecision))
    assert half.model[0].weight.dtype is torch.float32 and cb.skipped_steps == 0
    assert (cb.scaler is not None) == (precision == "to_fp16" and device != "cpu")


def test_channels_last_and_compile(device, tmp_path):
    plain = losses(learner(device, tmp_path, opt_func=SGD))
    torch.testing.assert_close(losses(learner(device, tmp_path, opt_func=SGD).to_channelslast()), plain, rtol=0.02, atol=0.01)
    compiled = learner(device, tmp_path, opt_func=SGD).compile(**({"backend": "eager"} if device == "cpu" else {}))
    torch.testing.assert_close(losses(compiled), plain, rtol=0.02, atol=0.01)


def test_what_is_saved_on_one_device_is_read_on_the_other(device, tmp_path):
    there, here = learner(device, tmp_path), learner("cpu", tmp_path)
    losses(there)
    there.save("there", with_opt=True)
    here.load("there")
    assert all(t.device.type == "cpu" for s in here.opt.state.values() for t in s.values() if isinstance(t, torch.Tensor))
    torch.testing.assert_close(here.get_preds()[0], there.get_preds()[0], rtol=0.01, atol=0.005)
    losses(here)
    here.save("here", with_opt=True)
    there.load("here")
    assert next(there.model.parameters()).device.type == device
    torch.testing.assert_close(here.get_preds()[0], there.get_preds()[0], rtol=0.01, atol=0.005)
    torch.testing.assert_close(losses(there, 1), losses(here, 1), rtol=0.05, atol=0.02)
    file = there.export("exported")
    loaded = load_learner(file, cpu=device == "cpu")
    torch.testing.assert_close(loaded.model.cpu().eval()(X[:4]), there.model.cpu().eval()(X[:4]), rtol=0.01, atol=0.005)


def test_trials_leave_no_trace(device, tmp_path):
    learn = learner(device, tmp_path)
    losses(learn, 1)
    before = {n: t.clone() for n, t in learn.model.state_dict().items()}
    plan = learn.plan(gpus=2, seconds=1)
    assert plan.cost.device.type == device and plan["ddp"].memory > 0 and plan.cost.peak is not None
    assert learn.find_bs(start=32) == 32
    assert all(torch.equal(t, before[n]) for n, t in learn.model.state_dict().items())
