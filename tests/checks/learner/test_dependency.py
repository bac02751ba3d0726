"""Which items and steps an output depends on."""
import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401

from minifast.checks.learner.dependency import changes_elsewhere, items_reached, looks_ahead


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
