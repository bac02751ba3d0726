"""Which items and steps an output depends on."""
import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch.utils.data import TensorDataset

from minifast.checks.learner.dependency import changes_elsewhere, items_reached, looks_ahead
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat


def test_items_reached_finds_mixing():
    x = torch.randn(6, 4)
    assert items_reached(lambda t: t[0] * 2, [x], 6, 2).tolist() == [False, False, True, False, False, False]
    assert items_reached(lambda t: t[0] - t[0].mean(0), [x], 6, 2).all()
    assert items_reached(lambda t: t[0] + t[0].roll(1, 0), [x], 6, 2).nonzero().flatten().tolist() == [1, 2]
    assert not items_reached(lambda t: t[0].detach(), [x], 6, 2).any()


def test_changes_elsewhere_for_token_ids():
    ids, table = torch.arange(12).reshape(6, 2), torch.randn(12, 3)
    assert changes_elsewhere(lambda t: table[t[0]].sum(1), [ids], 6, 3) == 0
    assert changes_elsewhere(lambda t: table[t[0]].sum(1).cumsum(0), [ids], 6, 3) > 0.01


def test_looks_ahead():
    x, ids, table = torch.randn(3, 5, 2), torch.arange(15).reshape(3, 5), torch.randn(15, 3)
    assert looks_ahead(lambda t: t[0].cumsum(1), [x], 5) == [] and looks_ahead(lambda t: t[0].flip(1).cumsum(1), [x], 5) == [0, 1, 2, 3]
    assert looks_ahead(lambda t: t[0].mean(1, keepdim=True).expand(1, 5, 2), [x[:1]], 5) == [0, 1, 2, 3]      # a batch of one item
    assert looks_ahead(lambda t: torch.cat([t[0][:, 1:2], t[0][:, :-1]], 1).movedim(1, -1), [x], 5) == [0]    # time is last in the output
    assert looks_ahead(lambda t: table[t[0]].cumsum(1), [ids], 5) == []
    assert looks_ahead(lambda t: table[t[0]].roll(-1, 1), [ids], 5) == [0, 1, 2, 3]


def test_looks_ahead_finds_a_subtle_leak_and_takes_no_rounding_for_one():
    x, kernel = torch.rand(4, 12, 3), torch.rand(12, 1)
    for scale, offset in ((1e-3, 0.0), (1e-5, 0.0), (1e-2, 2000.0)):
        assert looks_ahead(lambda t, scale=scale, offset=offset: t[0].cumsum(1) + scale * t[0].roll(-1, 1) + offset, [x], 12), scale
    assert looks_ahead(lambda t: (1.001 - t[0]).log().mean(1, keepdim=True) + t[0], [x], 12)       # 0 < x < 1
    for n in (1, 4):                # differences of neighbours, which a shift of all does not change
        assert looks_ahead(lambda t: t[0].roll(-2, 1) - t[0].roll(-1, 1), [x[:n]], 12)[0] == 0
    assert looks_ahead(lambda t: t[0].cumsum(1) * 1e-3 + 1e4, [x], 12) == []
    by_fft = looks_ahead(lambda t: torch.fft.irfft(torch.fft.rfft(t[0], 24, 1) * torch.fft.rfft(kernel, 24, 0), 24, 1)[:, :12], [x], 12)
    assert by_fft == []
    constant = torch.zeros(2, 5, 1)
    assert looks_ahead(lambda t: t[0].flip(1).cumsum(1), [constant], 5) == [0, 1, 2, 3]


def test_causality_needs_an_output_per_step():
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = torch.nn.GRU(2, 4, batch_first=True), torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    ds = TensorDataset(torch.randn(16, 10, 2), torch.randn(16, 3))
    report = Learner(DataLoaders.from_dsets(ds, ds, bs=8), Last(), MSELossFlat()).check(fast=True, causal=True)
    found = report["MF202"]
    assert found.verdict == "not applicable" and found.found == "the output has no axis of 10 steps"
