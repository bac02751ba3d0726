"""`Lookahead` against its definition."""
from functools import partial

import pytest
import torch
from small_training import small_model, train
from torch.nn import functional as F

from minifast.optim.groups import get_hyper
from minifast.optim.lookahead import Lookahead
from minifast.optim.optimizers import SGD, Adam, Lion, RAdam, ranger


@pytest.mark.parametrize("opt_func", [partial(SGD, mom=0.9), Adam, RAdam, Lion])
def test_lookahead_against_its_definition(opt_func):
    a, b = small_model(), small_model()
    opt, inner = Lookahead(opt_func(a.parameters(), lr=0.01), k=3, alpha=0.25), opt_func(b.parameters(), lr=0.01)
    slow, weights = [p.detach().clone() for p in b.parameters()], train(a, opt, 7)
    gen = torch.Generator().manual_seed(1)
    for step in range(1, 8):
        x, y = torch.randn(16, 5, generator=gen), torch.randint(3, (16,), generator=gen)
        F.cross_entropy(b(x), y).backward()
        inner.step()
        inner.zero_grad()
        if step % 3 == 0:
            with torch.no_grad():
                for p, s in zip(b.parameters(), slow, strict=True):
                    s += 0.25 * (p - s)
                    p.copy_(s)
    torch.testing.assert_close(weights, torch.cat([p.detach().flatten() for p in b.parameters()]), rtol=1e-5, atol=1e-6)


def test_lookahead_state_is_plain_torch_state():
    model = small_model()
    opt = ranger(model.parameters(), lr=0.01, k=5)
    train(model, opt, 7)
    state = opt.state_dict()
    assert state.keys() == {"state", "param_groups"} and all(s["slow_step"] == 7 for s in state["state"].values())
    assert opt.param_groups is opt.opt.param_groups and opt.state is opt.opt.state


def test_lookahead_loads_the_state_of_the_optimizer_inside():
    model = small_model()
    inner = RAdam(model.parameters(), lr=0.01)
    train(model, inner, 3)
    opt = ranger(model.parameters(), lr=0.5)
    opt.load_state_dict(inner.state_dict())
    train(model, opt, 3)
    assert get_hyper(opt, "lr") == [0.01] and opt.state[model[0].weight]["slow_step"] == 3
