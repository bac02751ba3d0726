"""Penalties on activations, and the callbacks of recurrent models, against formulas."""
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.mix import MixUp
from minifast.callbacks.regularise import ActivationReg, ModelResetter, RNNCallback, RNNRegularizer, activation_reg, rnn_cbs, select_modules
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner

X, Y = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2


class Recurrent(nn.Module):
    "Returns (output, raw outputs, dropped outputs) and keeps count of resets."

    def __init__(self, as_list=True):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head, self.resets, self.as_list = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2), 0, as_list

    def reset(self):
        self.resets += 1

    def forward(self, x):
        raw, _ = self.rnn(x)
        dropped = raw * 2
        out = self.head(dropped[:, -1])
        return (out, [raw * 0, raw], [raw * 0, dropped]) if self.as_list else (out, raw, dropped)


def make(model, *cbs, x=X, valid=True):
    dl = [DataLoader(TensorDataset(x, Y), bs=8) for _ in range(1 + valid)]
    learn = Learner(DataLoaders(*dl), model, F.cross_entropy, opt_func=torch.optim.SGD, cbs=list(cbs))
    learn.remove_cb(type(learn.progress))
    learn.logger = lambda row: None
    return learn


def test_activation_reg():
    out, h = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    tar = sum(((h[:, t + 1] - h[:, t]) ** 2).sum() for t in range(3)) / (2 * 3 * 3)
    torch.testing.assert_close(activation_reg(out, h, 2.0, 0.5), 2 * (out**2).mean() + 0.5 * tar)
    assert activation_reg(out, h, 0, 0) == 0 and activation_reg(out, h[:, :1], 0, 1.0) == 0
    assert torch.isfinite(activation_reg(torch.full((2, 2), 300.0, dtype=torch.float16), h, 1.0, 0))


@pytest.mark.parametrize("alpha, beta", [(2.0, 0.5), (2.0, 0), (0, 0.5)])
@pytest.mark.parametrize("same", [True, False])
def test_gradients_of_activation_reg_in_parts_of_the_cache(monkeypatch, same, alpha, beta):
    monkeypatch.setattr("minifast.callbacks.regularise.in_cache",
                        lambda x, steps: [(i, min(i + 3, steps)) for i in range(0, steps, 3)])
    h = torch.randn(2, 6, 3, requires_grad=True)
    out = h if same else torch.randn(2, 6, 3, requires_grad=True)
    formula = alpha * out.pow(2).mean() + beta * (h[:, 1:] - h[:, :-1]).pow(2).mean()
    penalty = activation_reg(out, h, alpha, beta)
    torch.testing.assert_close(penalty, formula)
    inputs = [h] if same else [out, h]
    for got, expected in zip(*(torch.autograd.grad(y, inputs, allow_unused=True, materialize_grads=True) for y in (penalty, formula)),
                             strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("as_list", [True, False])
def test_rnn_regularizer(as_list):
    model = Recurrent(as_list)
    with torch.no_grad():
        out, raw, dropped = model(X)
        raw, dropped = (raw[-1], dropped[-1]) if as_list else (raw, dropped)
        plain = F.cross_entropy(out, Y)
        expected = plain + activation_reg(dropped, raw, 2.0, 1.0)
    learn = make(model, *rnn_cbs(2.0, 1.0))
    learn.fit(1, 0.0)
    assert learn.recorder.raw_losses == pytest.approx([expected.item()])
    assert learn.recorder.values[0][1] == pytest.approx(plain.item())                # validation: without
    assert learn.get_preds()[0].shape == (8, 2)
    assert learn.rnn.raw_out is None and learn.rnn.out is None
    assert model.resets >= 4


def test_rnn_cbs():
    assert [type(cb) for cb in rnn_cbs()] == [ModelResetter, RNNCallback]
    assert [type(cb) for cb in rnn_cbs(beta=1)] == [ModelResetter, RNNCallback, RNNRegularizer]


def test_rnn_refusals():
    with pytest.raises(ValueError, match="RNNRegularizer needs the activations that RNNCallback takes from"):
        make(Recurrent(), RNNRegularizer(1.0)).fit(1)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(15, 2))
    with pytest.raises(TypeError, match=r"this one returned only float32\[8,2\].*ActivationReg\(alpha\)"):
        make(flat, RNNCallback(), RNNRegularizer(1.0)).fit(1)
    with pytest.raises(TypeError, match=r"ModelResetter calls model.reset\(\), and Sequential has no such method"):
        make(flat, ModelResetter()).fit(1)

    class Two(nn.Linear):
        def forward(self, x):
            y = super().forward(x.flatten(1))
            return y, y

    with pytest.raises(ValueError, match="but the model returned tuple of 2"):
        make(Two(15, 2), RNNCallback()).fit(1)
    with pytest.raises(ValueError, match=r"RNNRegularizer\(alpha=-1\)"):
        RNNRegularizer(-1)


# -- ActivationReg ------------------------------------------------------------------------------------------------------------------
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(15, 4), nn.ReLU(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))


@pytest.mark.parametrize(("modules", "indices"), [(None, [2, 4]), ("1", [1]), (["1", nn.ReLU], [1, 2]), (nn.Linear, [1, 3, 5]),
                                                  (lambda m: isinstance(m, nn.GELU), [4])], ids=lambda o: str(o).split(" at 0x")[0])
def test_activation_reg_callback(modules, indices):
    model, x, penalty = net(), X, 0.0
    with torch.no_grad():
        for i, layer in enumerate(model):
            x = layer(x)
            penalty += (x**2).mean().item() if i in indices else 0.0
        plain = F.cross_entropy(x, Y).item()
    learn = make(model, ActivationReg(0.3, modules))
    learn.fit(1, 0.0)
    assert learn.recorder.raw_losses == pytest.approx([plain + 0.3 * penalty])
    assert learn.recorder.values[0][1] == pytest.approx(plain)
    assert not any(m._forward_hooks for m in model)


def test_gradient_of_the_penalty():
    model, expected = net(), net()
    learn = make(model, ActivationReg(0.3), valid=False)
    learn.fit(1, 0.1)
    a = expected[2](expected[1](X.flatten(1)))
    b = expected[4](expected[3](a))
    (F.cross_entropy(expected[5](b), Y) + 0.3 * ((a**2).mean() + (b**2).mean())).backward()
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.1 * q.grad)


def test_with_mixup_whichever_comes_first():
    losses = []
    for order in (lambda *cbs: cbs, lambda *cbs: cbs[::-1]):
        torch.manual_seed(1)
        learn = make(net(), *order(MixUp(), ActivationReg(1.0)))
        learn.fit(1, 0.0)
        losses += learn.recorder.raw_losses
    torch.manual_seed(1)
    learn = make(net(), MixUp())
    learn.fit(1, 0.0)
    assert losses[0] == pytest.approx(losses[1]) and losses[0] > learn.recorder.raw_losses[0] + 1e-4


def test_nothing_is_kept():
    model, cb, refs = net(), ActivationReg(1.0), []
    model[2].register_forward_hook(lambda m, i, out: refs.append(weakref.ref(out)))
    learn = make(model, cb)
    learn.fit(1)
    gc.collect()
    assert refs and all(r() is None for r in refs)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(after_pred=stop))
    assert cb._terms == [] and len(model[2]._forward_hooks) == 1 and not model[4]._forward_hooks


def test_selection_refusals():
    model = net()
    with pytest.raises(ValueError, match=r"Sequential has no module '9'"):
        select_modules(model, "9")
    with pytest.raises(ValueError, match="no module of Sequential is"):
        select_modules(model, nn.LSTM)
    with pytest.raises(TypeError, match="modules are given by name, class, function or themselves; received int 3"):
        select_modules(model, 3)
    with pytest.raises(ValueError, match="Linear has no activation function that is a module"):
        select_modules(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"ActivationReg\(alpha=-1\)"):
        ActivationReg(-1)
    assert select_modules(model, model[1]) == [model[1]] and select_modules(model, ["1", nn.Linear]) == [model[1], model[3], model[5]]
