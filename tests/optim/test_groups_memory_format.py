"The state of an optimizer lies in memory as the weights do: torch's fused optimizers read both in the order of memory."
import pytest
import torch
from torch import nn

from minifast.optim import SGD, Adam, Lookahead
from minifast.optim.groups import create_optimizer, lay_out_state, param_groups, trainable_params


def ahead(params, **kwargs):
    return Lookahead(Adam(params, **kwargs), k=2)


@pytest.mark.parametrize("opt_func", [Adam, SGD, ahead], ids=["Adam", "SGD", "Lookahead"])
def test_steps_after_loading_are_those_without(opt_func):
    def steps(through_a_file):
        torch.manual_seed(0)
        model = nn.Conv2d(5, 4, (1, 3)).to(memory_format=torch.channels_last)
        opt = create_optimizer(opt_func, param_groups(model, [trainable_params(model)]), 0.1)
        for i in range(3):
            for p in model.parameters():
                p.grad = torch.empty_like(p).copy_(torch.randn(p.shape))
            if through_a_file and i == 1:
                state = opt.state_dict()
                state["state"] = {k: {n: t.clone(memory_format=torch.contiguous_format) if isinstance(t, torch.Tensor) else t
                                      for n, t in s.items()} for k, s in state["state"].items()}
                opt.load_state_dict(state)
            opt.step()
        return model.weight.detach()

    assert torch.equal(steps(True), steps(False))


def test_what_is_of_another_shape_stays_as_it_is():
    weight = nn.Parameter(torch.randn(4, 5, 2, 3).to(memory_format=torch.channels_last))
    opt = torch.optim.SGD([weight], 0.1)
    rows, buffer = torch.randn(4, 1), torch.randn(4, 5, 2, 3)
    opt.state[weight] = {"rows": rows, "step": 3, "momentum_buffer": buffer}
    lay_out_state(opt)
    state = opt.state[weight]
    assert state["rows"] is rows and state["step"] == 3
    assert state["momentum_buffer"].stride() == weight.stride() and torch.equal(state["momentum_buffer"], buffer)
