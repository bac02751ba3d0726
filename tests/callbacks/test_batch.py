"""Short epochs, fixed norm statistics, dropout in prediction, memory format."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.batch import (
    BnFreeze,
    ChannelsLast,
    MCDropoutCallback,
    ShortEpochCallback,
    activate_dropout,
    before_batch_cb,
    mc_dropout_preds,
    set_memory_format,
)
from minifast.core.seeds import set_seed
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner

X, Y = torch.randn(24, 3, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 2


def net(p=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p), nn.Linear(8, 2))


def make(model, *cbs, x=X, bs=4, **kwargs):
    ds = TensorDataset(x, Y)
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs), DataLoader(ds, bs=bs)), model, F.cross_entropy, cbs=list(cbs), **kwargs)
    learn.remove_cb(type(learn.progress))
    learn.logger = lambda row: None
    return learn


# -- a function of the batch -------------------------------------------------------------------------------------------------------
def test_before_batch_cb_changes_every_batch():
    seen = []

    @before_batch_cb
    def zeros(cb, xb, yb):
        seen.append((type(cb), cb.learn.training, len(xb), len(yb)))
        return [xb[0] * 0], yb

    learn = make(net(), zeros, Callback(after_pred=lambda cb: seen.append(cb.learn.x.abs().sum().item())))
    learn.fit(1)
    assert seen[0] == (Callback, True, 1, 1) and seen[-2] == (Callback, False, 1, 1) and seen[1::2] == [0.0] * 12 and len(seen) == 24


def test_before_batch_cb_says_what_the_function_returns():
    for wrong in (lambda cb, xb, yb: None, lambda cb, xb, yb: (xb[0], yb), lambda cb, xb, yb: xb):
        with pytest.raises(TypeError, match="the function returns two tuples, the inputs and the targets, such as"):
            make(net(), before_batch_cb(wrong)).fit(1)


# -- short epochs -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("pct", "n"), [(0.01, 1), (0.5, 3), (0.51, 4), (1.0, 6)])
@pytest.mark.parametrize("short_valid", [True, False])
def test_short_epoch(pct, n, short_valid):
    seen = []
    learn = make(net(), ShortEpochCallback(pct, short_valid), Callback(before_batch=lambda cb: seen.append(cb.learn.training)))
    learn.fit(2)
    assert seen.count(True) == 2 * n and seen.count(False) == 2 * (n if short_valid else 6)
    assert len(learn.recorder.losses) == 2 * n and len(learn.recorder.values) == 2
    assert len(learn.get_preds()[0]) == 24                                        # what is no fit is not cut short
    before = seen.count(False)
    learn.validate()
    assert seen.count(False) == before + 6


def test_short_epoch_refuses():
    for pct in (0, 1.5):
        with pytest.raises(ValueError, match="the fraction of the batches to run, above 0 and up to 1"):
            ShortEpochCallback(pct)


# -- norm statistics ----------------------------------------------------------------------------------------------------------------
def test_bn_freeze():
    learn = make(net(), BnFreeze())
    bn, others = learn.model[1], []
    before = {n: b.clone() for n, b in bn.named_buffers()}
    learn.add_cb(Callback(before_batch=lambda cb: others.append((cb.learn.training, bn.training, learn.model[3].training))))
    learn.fit(2, 0.1)
    assert all(torch.equal(before[n], b) for n, b in bn.named_buffers())
    assert (True, False, True) in others and (True, True, True) not in others
    assert not torch.equal(bn.weight, torch.ones(8))                              # weights learn
    learn.remove_cb(BnFreeze)
    learn.fit(1, 0.1)
    assert not torch.equal(before["running_mean"], bn.running_mean)


def test_bn_freeze_after_a_pass_in_between():
    def look(cb):
        if cb.learn.training and cb.learn.iter == 1:
            cb.learn.get_preds()

    learn = make(net(), BnFreeze())
    mean = learn.model[1].running_mean.clone()
    learn.fit(1, 0.1, cbs=Callback(after_batch=look))
    assert torch.equal(learn.model[1].running_mean, mean)


# -- dropout in prediction ----------------------------------------------------------------------------------------------------------
def test_mc_dropout_preds():
    learn = make(net(0.5))
    learn.fit(1)
    plain = learn.get_preds()[0]
    assert torch.equal(plain, learn.get_preds()[0])
    set_seed(1)
    passes = torch.stack([learn.get_preds(cbs=MCDropoutCallback())[0] for _ in range(5)])
    set_seed(1)
    mean, std, targs = mc_dropout_preds(learn, n=5)
    torch.testing.assert_close(mean, passes.mean(0))
    torch.testing.assert_close(std, passes.std(0))
    assert std.max() > 0.01 and torch.equal(targs, Y) and mean.shape == (24, 2)
    assert torch.equal(learn.get_preds()[0], plain) and not any(m.training for m in learn.model.modules())
    assert mc_dropout_preds(learn, n=2, dl=learn.dls.train)[0].shape == (24, 2)
    mean, _, _ = mc_dropout_preds(learn, n=200)
    assert (mean - plain).abs().mean() < 0.1                                      # expectation close to the plain prediction


def test_mc_dropout_leaves_norm_layers_in_eval_mode():
    modes = []
    learn = make(net(0.5), MCDropoutCallback())
    learn.add_cb(Callback(before_batch=lambda cb: modes.append((cb.learn.training, learn.model[1].training, learn.model[3].training))))
    learn.validate()
    assert set(modes) == {(False, False, True)}


def test_which_modules_drop():
    class RNNDropout(nn.Module):
        p = 0.3

    assert activate_dropout(nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2), nn.LSTM(2, 2))) == 0
    assert activate_dropout(nn.Sequential(nn.Dropout2d(0.1), RNNDropout(), nn.LSTM(2, 2, num_layers=2, dropout=0.1))) == 3
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))
        assert activate_dropout(layer) == 5 and not torch.equal(layer(x), layer(x))


def test_mc_dropout_refuses():
    with pytest.raises(ValueError, match="MCDropoutCallback: Sequential has no dropout module"):
        mc_dropout_preds(make(net(0.0)))
    with pytest.raises(ValueError, match="at least 2 predictions"):
        mc_dropout_preds(make(net(0.5)), n=1)


# -- memory format ------------------------------------------------------------------------------------------------------------------
def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))


def test_channels_last(tmp_path):
    x, formats = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1)), []

    def is_last(t):
        return t.is_contiguous(memory_format=torch.channels_last) and not t.is_contiguous()

    def look(cb):
        formats.append((is_last(cb.learn.xb[0]), is_last(cb.learn.model[0].weight), is_last(cb.learn.model[0](cb.learn.xb[0]))))

    learn, plain = make(conv_net(), ChannelsLast(), Callback(after_pred=look), x=x, path=tmp_path), make(conv_net(), x=x)
    before = learn.get_preds()[0]
    torch.testing.assert_close(before, plain.get_preds()[0])
    for one in (learn, plain):
        one.fit(2, 1e-2)
    assert set(formats) == {(True, True, True)}
    for p, q in zip(learn.model.parameters(), plain.model.parameters(), strict=True):
        assert p.is_contiguous()
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)
    learn.save("weights")
    plain.load(tmp_path / "models" / "weights")
    assert torch.equal(learn.model[0].weight, plain.model[0].weight)
    for p, state in learn.opt.state.items():            # in the format of the weights, as fused optimizers need it
        assert all(t.stride() == p.stride() for t in state.values() if isinstance(t, torch.Tensor) and t.shape == p.shape)


def test_channels_last_with_other_inputs():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv2d(1, 2, 1))
    same = model[0].weight
    set_memory_format(model, torch.channels_last)
    assert model[0].weight is same and model[0].weight.is_contiguous()
    make(net(), ChannelsLast()).fit(1)
