"""`SAM` against a loop written by hand, bit for bit."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback, CancelBatchException, CancelStepException
from minifast.callbacks.gradients import SAM, GradientAccumulation, GradientClip, sam_perturbation
from minifast.callbacks.mix import MixUp
from minifast.callbacks.precision import MixedPrecision
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


X, Y = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 2


def make(*cbs, model=None, dls=None, **kwargs):
    ds = TensorDataset(X, Y)
    dls = dls or DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4))
    learn = Learner(dls, model or net(), F.cross_entropy, opt_func=torch.optim.SGD, cbs=list(cbs), **kwargs)
    learn.remove_cb(type(learn.progress))
    learn.logger = lambda row: None
    return learn


def by_hand(rho, adaptive=False, clip=None, epochs=2):
    model = net().train()
    params = [model[0].weight, model[3].weight, model[0].bias, model[1].weight, model[1].bias, model[3].bias]  # in groups
    opt = torch.optim.SGD(params, lr=0.1)
    for _ in range(epochs):
        for x, y in zip(X.split(4), Y.split(4), strict=True):
            F.cross_entropy(model(x), y).backward()
            buffers = [b.clone() for b in model.buffers()]
            with torch.no_grad():
                w = [p.clone() for p in params]
                g = [p.grad * p if adaptive else p.grad for p in params]
                scale = rho / (torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in g])) + 1e-12)
                for p, t in zip(params, g, strict=True):
                    p += (t * p if adaptive else t) * scale
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for p, before in zip([*params, *model.buffers()], [*w, *buffers], strict=True):
                    p.copy_(before)
            if clip:
                torch.nn.utils.clip_grad_norm_(params, clip)
            opt.step()
            opt.zero_grad()
    return model


def same(a, b):
    return all(torch.equal(s, t) for s, t in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_perturbation():
    params, grads = [torch.tensor([1.0, 2.0]), torch.tensor([[2.0]])], [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    torch.testing.assert_close(sam_perturbation(params, grads, 0.5), [torch.tensor([0.3, 0.0]), torch.tensor([[0.4]])])
    norm = (3.0**2 + 8.0**2) ** 0.5
    torch.testing.assert_close(sam_perturbation(params, grads, 0.5, True), [torch.tensor([1.5 / norm, 0]), torch.tensor([[8.0 / norm]])])


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (0.5, False), (0.5, True)])
def test_equals_the_loop_by_hand(rho, adaptive):
    learn = make(SAM(rho, adaptive))
    learn.fit(2, 0.1)
    assert same(learn.model, by_hand(rho, adaptive))
    plain = make()
    plain.fit(2, 0.1)
    assert not same(learn.model, plain.model)


def test_clipping_sees_the_gradient_of_the_second_pass():
    learn = make(GradientClip(0.1), SAM(0.5))
    learn.fit(2, 0.1)
    assert same(learn.model, by_hand(0.5, clip=0.1))


def test_recorded_loss_is_of_the_first_pass():
    sam, plain = make(SAM(0.5)), make()
    for learn in (sam, plain):
        learn.fit(1, 0.0)
    assert sam.recorder.raw_losses == plain.recorder.raw_losses
    assert torch.equal(sam.model[1].running_mean, plain.model[1].running_mean) and sam.model[1].num_batches_tracked == 3


def test_mixing_and_added_losses_apply_to_both_passes():
    losses = []

    def add(cb):
        if cb.learn.training:
            cb.learn.loss = cb.learn.loss + 1
            losses.append(cb.learn.loss.item())

    learn = make(MixUp(), SAM(1e-9), Callback(after_loss=add))
    learn.fit(1, 0.0)
    assert len(losses) == 6 and losses[::2] == pytest.approx(losses[1::2], rel=1e-5)
    assert losses[0] != pytest.approx(1 + F.cross_entropy(net()(X[:4]), Y[:4]).item(), rel=1e-5)


def test_only_steps_that_step():
    forwards = []
    learn = make(SAM())
    learn.model.register_forward_hook(lambda *_: forwards.append(learn.training))
    skip = Callback(before_step=lambda: (_ for _ in ()).throw(CancelStepException))
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, 0.1, cbs=skip)
    assert sum(forwards) == 3 and all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    forwards.clear()
    learn.fit(1, 0.1)
    assert sum(forwards) == 6


def test_frozen_parameters_stay():
    model = net()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    make(SAM(), model=model).fit(1, 0.1)
    assert torch.equal(model[0].weight, before) and model[0].weight.grad is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("event", ["after_pred", "after_loss"])
def test_an_error_in_the_second_pass_restores_the_weights(error, event):
    calls, seen = [], []

    def stop(cb):
        calls.append(1)
        if len(calls) == 2:
            seen.append([p.detach().clone() for p in cb.learn.model.parameters()])
            raise error

    learn = make(SAM(0.5))
    before = [p.detach().clone() for p in learn.model.parameters()]
    with pytest.raises(error):
        learn.fit(1, 0.1, cbs=Callback(**{event: stop}))
    assert not all(torch.equal(a, b) for a, b in zip(before, seen[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert learn.model[1].num_batches_tracked == 1
    learn.fit(1, 0.1)


def test_a_batch_cancelled_in_the_second_pass():
    calls = []

    def cancel(cb):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise CancelBatchException

    learn = make(SAM(0.5))
    before = [p.detach().clone() for p in learn.model.parameters()]
    learn.fit(1, 0.1, cbs=Callback(after_loss=lambda cb: cancel(cb) if cb.learn.training else None))
    assert len(calls) == 6 and all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))


def test_buffers_that_a_layer_replaces():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.tensor(0))

        def forward(self, x):
            if self.training:
                self.n = self.n + 1
            return x

    learn = make(SAM(), model=nn.Sequential(Counts(), nn.Linear(3, 2)))
    learn.fit(1)
    assert learn.model[0].n == 3


def test_bf16():
    learn = make(SAM(), MixedPrecision("bf16"))
    learn.fit(1, 0.1)
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())


def test_refusals():
    with pytest.raises(ValueError, match=r"SAM\(rho=0\): the length of the step up the gradient"):
        SAM(0)
    with pytest.raises(ValueError, match=r"SAM cannot be used here: GradientAccumulation steps with the gradients of several batches"):
        make(SAM(), GradientAccumulation(8)).fit(1)
    fp16 = MixedPrecision("fp16")
    fp16.works_on = lambda device: True
    with pytest.raises(ValueError, match=r"MixedPrecision\('fp16'\) scales the loss of one backward pass, .*`learn.to_bf16\(\)`"):
        make(SAM(), fp16).fit(1)
    with pytest.raises(ValueError, match="an embedding of the model has sparse gradients"):
        make(SAM(), model=nn.Sequential(nn.Embedding(3, 2, sparse=True))).fit(1)

    def accumulate():
        raise CancelBatchException

    with pytest.raises(RuntimeError, match="cancelled the batch after its backward pass, to accumulate gradients"):
        make(SAM()).fit(1, cbs=Callback(after_backward=accumulate))
