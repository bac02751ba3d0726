import pytest
import torch

from minifast.core import torch_internals as fused

NAMES = ["lerp_", "mul_", "mul", "add_", "copy_", "norm"]


def run(name):
    gen = torch.Generator().manual_seed(0)
    xs = [torch.randn(3, 4, generator=gen) for _ in range(3)]
    ys = [torch.randn(3, 4, generator=gen) for _ in range(3)]
    args = {"lerp_": (ys, 0.25), "mul_": (0.5,), "mul": (0.5,), "add_": (ys,), "copy_": (ys,), "norm": ()}[name]
    result = getattr(fused, name)(xs, *args)
    return xs if name.endswith("_") else result


@pytest.mark.parametrize("name", NAMES)
def test_the_fallback_computes_the_same(name, monkeypatch):
    fast = run(name)
    monkeypatch.delattr(torch, f"_foreach_{name}")
    slow = run(name)
    assert all(torch.allclose(a, b) for a, b in zip(fast, slow, strict=True))


def test_what_each_computes():
    x, y = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 6.0])]
    fused.lerp_(x, y, 0.5)
    assert x[0].tolist() == [2.0, 4.0]
    assert fused.mul(x, 2.0)[0].tolist() == [4.0, 8.0] and fused.mul(x, y)[0].tolist() == [6.0, 24.0]
    assert fused.norm([torch.tensor([3.0, 4.0])])[0].item() == 5


@pytest.mark.slow
def test_what_was_compiled_is_found():
    def f(pred, targ):
        return (pred - targ).abs().mean()

    loss = torch.nn.MSELoss()
    assert fused.uncompiled(torch.compile(loss)) is loss and fused.uncompiled(torch.compile(f)) is f
    assert fused.uncompiled(f) is f and fused.uncompiled(loss) is loss
