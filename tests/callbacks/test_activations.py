import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.activations import ActivationStats, GradientNorms, LossSpikes, activation_stats, spikes
from minifast.callbacks.base import Callback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.optim.optimizers import SGD


def make(cbs, model=None, n=40, bs=8, **kw):
    torch.manual_seed(0)
    x = torch.randn(n, 4)
    dl = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), bs=bs)
    learn = Learner(
        DataLoaders(dl, dl.new()),
        model or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        CrossEntropyLossFlat(),
        cbs=cbs,
        **kw,
    )
    learn.logger = lambda row: None
    return learn


def hooks_of(model):
    return sum(len(m._forward_hooks) for m in model.modules())


def test_stats_of_activations():
    x = torch.tensor([[-1.0, 0.0], [0.04, 3.1]])
    stats, hist = activation_stats(x, with_hist=True)
    assert stats.tolist() == pytest.approx([x.mean().item(), x.std().item(), 0.75])
    assert hist.shape == (40,) and hist.sum() == 3 and hist[0] == 2 and hist[12] == 1            # -1 is outside 0..10; 3.1 is in bin 12
    assert activation_stats(x)[1] is None and torch.isfinite(activation_stats(torch.ones(1))[0]).all()


def test_every_layer_at_every_training_batch():
    stats = ActivationStats(with_hist=True)
    learn = make(stats)
    seen = []
    learn.model[1].register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()) if learn.training else None)
    learn.fit(2)
    means, stds, near_zero = learn.activation_stats.layer_stats(1)
    assert len(means) == 10 == len(seen)
    assert means == pytest.approx([o.mean().item() for o in seen], abs=1e-6) and stds == pytest.approx(
        [o.std().item() for o in seen], abs=1e-6
    )
    assert near_zero == pytest.approx([(o <= 0.05).float().mean().item() for o in seen])
    assert stats.hist(-1).shape == (40, 10) and stats.names == ["0 (Linear)", "1 (ReLU)", "2 (Linear)"]
    assert torch.equal(stats.hist(1)[:, 0], torch.histc(seen[0], 40, 0, 10))
    assert stats.frame().near_zero.tolist() == pytest.approx([stats.layer_stats(i)[2][-1] for i in range(3)])


def test_stats_as_fastai_keeps_them():
    cb = ActivationStats(with_hist=True)
    learn = make(cb)
    learn.fit(1, 0.01)
    assert len(cb.stats) == 5 and [sorted(layer) for layer in cb.stats[0]] == [["hist", "mean", "near_zero", "std"]] * 3
    assert [batch[1]["std"] for batch in cb.stats] == cb.layer_stats(1)[1]
    assert cb.stats[-1][0]["hist"].shape == (40,)


def test_validation_and_get_preds_are_not_recorded():
    stats = ActivationStats()
    learn = make(stats)
    learn.fit(1)
    learn.get_preds()
    learn.validate()
    assert len(stats.layer_stats(0)[0]) == 5 and hooks_of(learn.model) == 0


def test_every_and_modules():
    stats = ActivationStats(every=2, modules=None)
    make(stats).fit(1)
    assert len(stats.layer_stats(0)[0]) == 3
    learn = make(None)
    chosen = ActivationStats(modules=[learn.model[1]])
    learn.add_cb(chosen)
    learn.fit(1)
    assert chosen.names == ["1 (ReLU)"]


def test_hooks_are_gone_after_an_interruption_and_a_new_fit_starts_again():
    stats = ActivationStats()
    learn = make(stats)

    def interrupt(cb):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(after_backward=interrupt))
    assert hooks_of(learn.model) == 0
    learn.fit(1)
    assert len(stats.layer_stats(0)[0]) == 5


def test_outputs_that_are_tuples():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(1, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.rnn(x[..., None])[0][:, -1])
    stats = ActivationStats()
    make(stats, Net()).fit(1)
    assert len(stats.layer_stats(0)[0]) == 5


def test_what_is_refused():
    with pytest.raises(ValueError, match="every=0"):
        ActivationStats(every=0)
    with pytest.raises(ValueError, match="nothing has been recorded yet"):
        ActivationStats().layer_stats(0)
    learn = make(ActivationStats(modules=[nn.Linear(2, 2)]))
    with pytest.raises(ValueError, match="is not a module of this learner's model"):
        learn.fit(1)
    stats = ActivationStats()
    make(stats).fit(1)
    with pytest.raises(IndexError, match="no layer 7"):
        stats.layer_stats(7)
    with pytest.raises(ValueError, match="with_hist=True"):
        stats.color_dim(0)
    unused = nn.Sequential(nn.Linear(4, 2))
    unused.add_module("never", nn.Identity())
    unused.forward = lambda x: unused[0](x)
    stats = ActivationStats()
    make(stats, unused).fit(1)
    with pytest.raises(ValueError, match="layer 1, never .* was never called"):
        stats.layer_stats(-1)


def test_pictures():
    stats, norms = ActivationStats(with_hist=True), GradientNorms()
    make([stats, norms]).fit(1)
    axes = stats.plot_layer_stats(-2)
    assert [ax.get_title() for ax in axes] == ["mean", "std. dev.", "% near zero"] and len(axes[0].lines[0].get_ydata()) == 5
    ax = stats.color_dim(-2)
    assert ax.images[0].get_array().shape == (40, 5) and "1 (ReLU)" in ax.get_title()
    assert len(norms.plot().lines) == 1
    plt.close("all")


def test_gradient_norms_equal_torch():
    norms, expected = GradientNorms(), []

    def note(cb):
        expected.append(torch.cat([p.grad.flatten() for p in cb.learn.model.parameters()]).norm().item())
    spy = Callback(before_step=note)
    learn = make([norms, spy], splitter=lambda m: [list(m[0].parameters()), list(m[2].parameters())])
    learn.fit(1)
    assert norms.norms.tolist() == pytest.approx(expected, rel=1e-5) and norms.by_group.shape == (5, 2)
    with pytest.raises(ValueError, match="nothing has been recorded"):
        GradientNorms().plot()


def test_spikes():
    calm = [1 + 0.01 * (i % 3) for i in range(30)]
    assert spikes(calm) == []
    assert spikes([*calm, 3.0, *calm]) == [30] and spikes([*calm, float("nan")]) == [30]
    assert spikes([5.0, 1.0, 1.0], least=10) == []


@pytest.mark.parametrize("epochs", [1, 2])
def test_items_of_a_spike_are_kept(epochs):
    torch.manual_seed(0)
    x = torch.randn(240, 4)
    y = x[:, :1].clone()
    y[100] = 500.0                                          # one absurd label
    dl = DataLoader(TensorDataset(x, y), bs=8, shuffle=True, seed=1)
    found = LossSpikes()
    learn = Learner(DataLoaders(dl), nn.Linear(4, 1), MSELossFlat(), opt_func=SGD, cbs=found, moms=None)
    learn.logger = lambda row: None
    learn.fit(epochs, 1e-5)
    large = [f for f in found.found if f["loss"] > 1000]
    assert found.found[:len(large)] == large and all(100 in f["items"] and len(f["items"]) == 8 for f in large)
    assert [f["epoch"] for f in sorted(large, key=lambda f: f["epoch"])] in ([0, 1][:epochs], [1])  # the first ten batches do not count
    assert list(found.frame().columns) == ["epoch", "batch", "loss", "items"]
