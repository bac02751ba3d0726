import copy

import pytest
import torch
from torch import nn

from minifast.nn.hooks import Hook, Hooks, hook_output, hook_outputs
from minifast.nn.model_info import has_params, layer_info, module_summary

close = torch.testing.assert_close


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 2))


def hooks_left(m):
    return [o for o in m.modules() if o._forward_hooks or o._backward_hooks]


def test_hook_output_stores_the_output_and_is_gone_afterwards():
    m, x = model(), torch.randn(2, 1, 8, 8)
    with hook_output(m[0]) as hook:
        m(x)
        first = hook.stored.clone()
        m(x * 0)
        assert not torch.equal(hook.stored, first)
    kept = hook.stored
    m(x)
    assert hook.stored is kept and hook.removed and not hooks_left(m)
    close(hook.stored, m[0].bias[None, :, None, None].expand(2, 4, 6, 6).detach())
    assert not hook.stored.requires_grad


def test_hooks_are_gone_after_an_error():
    m = model()
    with pytest.raises(RuntimeError), hook_outputs(m):
        m(torch.randn(2, 1, 9, 9))
    with pytest.raises(TypeError, match="a hook is put on a module; received str 'fc'"):
        Hooks([m[0], "fc"], print)
    with pytest.raises(TypeError, match="a hook is put on a module"):
        hook_outputs([m[0], None], grad=True)
    assert not hooks_left(m)


def test_detach_can_be_turned_off_and_nested_outputs_are_kept():
    lin = nn.Linear(3, 3)
    with hook_output(lin, detach=False) as hook:
        lin(torch.ones(1, 3))
    assert hook.stored.requires_grad
    lstm = nn.LSTM(3, 4, batch_first=True)
    with hook_output(lstm) as hook:
        lstm(torch.randn(2, 5, 3))
    out, (h, c) = hook.stored
    assert out.shape == (2, 5, 4) and h.shape == c.shape == (1, 2, 4) and not h.requires_grad


def test_hook_output_grad_is_the_gradient_of_the_output():
    m, x = model(), torch.randn(2, 1, 8, 8)
    with hook_output(m[1], detach=False) as out, hook_output(m[4]) as last, hook_output(m[4], grad=True) as grad, \
            hook_outputs([m[1], m[0]], grad=True) as grads:
        (m(x)[:, 1] * torch.tensor([1., 3.])).sum().backward()
    close(grad.stored[0], torch.tensor([[0., 1.], [0., 3.]]))
    assert last.stored.shape == (2, 2) and len(grads) == 2
    wanted = torch.tensor([1., 3.])[:, None] * m[4].weight[1] * (out.stored > 0).flatten(1)       # through an in-place relu
    close(grads[0].stored[0], wanted.view(2, 4, 6, 6).detach())
    assert grads.stored[1][0].shape == (2, 4, 6, 6) and not hooks_left(m)


def test_hook_calls_the_function_with_inputs_and_outputs():
    m, x = model(), torch.randn(3, 1, 8, 8)
    with Hooks([m[0], m[4]], lambda mod, inp, out: (type(mod).__name__, tuple(inp[0].shape), out.mean().item())) as hooks:
        m(x)
        assert [h.stored[:2] for h in hooks] == [("Conv2d", (3, 1, 8, 8)), ("Linear", (3, 144))] and hooks.stored[0] == hooks[0].stored
    with Hook(m[4], lambda mod, gin, gout: gout[0].sum(), is_forward=False) as hook:
        m(x).sum().backward()
    assert hook.stored == 6


def test_layer_info_and_summary():
    m = model().train()
    m[1].eval()
    m[0].requires_grad_(False)
    x, rng, mean = torch.randn(2, 1, 8, 8), torch.get_rng_state(), m[1].running_mean.clone()
    info = layer_info(m, x)
    assert [(r.name, r.type, r.shape, r.params, r.trainable) for r in info] == [
        ("0", "Conv2d", (2, 4, 6, 6), 40, False), ("1", "BatchNorm2d", (2, 4, 6, 6), 8, True), ("2", "ReLU", (2, 4, 6, 6), 0, None),
        ("3", "Flatten", (2, 144), 0, None), ("4", "Linear", (2, 2), 290, True)]
    text = module_summary(m, x)
    assert "Sequential on 2 x 1 x 8 x 8" in text and "Total parameters: 338" in text and "Trainable: 298" in text and "Frozen: 40" in text
    row = next(line for line in text.splitlines() if line.startswith("4 (Linear)")).split()
    assert row == ["4", "(Linear)", "2", "x", "2", "290", "yes"]
    assert torch.equal(rng, torch.get_rng_state()) and torch.equal(mean, m[1].running_mean)
    assert [o.training for o in m] == [True, False, True, True, True] and m.training and not hooks_left(m)


def test_summary_cleans_up_after_an_error():
    m = model().train()
    with pytest.raises(RuntimeError):
        module_summary(m, torch.randn(2, 1, 9, 9))
    assert not hooks_left(m) and all(o.training for o in m.modules())


class Odd(nn.Module):
    "Shared, bare, unused and random parts, two inputs, two outputs."

    def __init__(self):
        super().__init__()
        self.emb, self.out, self.unused, self.scale = nn.Embedding(7, 4), nn.Linear(4, 7), nn.Linear(2, 2), nn.Parameter(torch.ones(4))
        self.out.weight = self.emb.weight

    def forward(self, ids, bias=None):
        h = self.emb(ids) * self.scale + torch.rand(1)
        return self.out(h if bias is None else h + bias), h


def test_summary_of_shared_bare_and_unused_parameters():
    m, ids, rng = Odd(), torch.tensor([[1, 2, 3]]), torch.get_rng_state()
    info = {r.name: r for r in layer_info(m, ids, bias=torch.zeros(4))}
    assert info["emb"].params == 28 and info["out"].params == 7               # the tied weight is counted once
    assert info[""].params == 4 and info[""].shape == [(1, 3, 7), (1, 3, 4)]
    assert info["unused"].shape is None and info["unused"].params == 6
    assert torch.equal(rng, torch.get_rng_state())
    text = module_summary(m, ids)
    assert "not called" in text and "Total parameters: 45" in text and "(model) (Odd)" in text
    assert sum(r.params for r in info.values()) == 45


def test_has_params():
    assert has_params(nn.Sequential(nn.Linear(1, 1))) and not has_params(nn.Sequential(nn.ReLU()))


def test_hooks_can_be_subclassed_and_copied():
    class Means(Hooks):
        def __init__(self, ms):
            super().__init__(ms, lambda m, inp, out: out.mean())

    m = model()
    with Means([m[0], m[4]]) as hooks:
        m(torch.randn(2, 1, 8, 8))
        assert hooks.hooks == list(hooks) and [s.ndim for s in hooks.stored] == [0, 0]
        assert [s.tolist() for s in copy.deepcopy(hooks).stored] == [s.tolist() for s in hooks.stored]
    assert not hooks_left(m)
