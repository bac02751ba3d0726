"""`Module`, and layers made of functions and of other layers."""
import copy

import pytest
import torch
from torch import nn

from minifast.nn.containers import (
    Cat,
    Flatten,
    Lambda,
    MergeLayer,
    Module,
    PartialLambda,
    ProdLayer,
    ResizeBatch,
    SequentialEx,
    TimeDistributed,
    View,
    sequential,
)

close = torch.testing.assert_close


def test_module_needs_no_super_init():
    class Plain(Module):
        def __init__(self, n):
            self.a = nn.Linear(n, 2)
            self.b = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.a(x) + self.b

    class CallsSuperLast(Plain):
        def __init__(self):
            self.c = nn.Linear(1, 1)
            super().__init__(3)
            Module.__init__(self)

    m = Plain(3)
    assert [n for n, _ in m.named_parameters()] == ["b", "a.weight", "a.bias"] and m(torch.ones(1, 3)).shape == (1, 2)
    assert [n for n, _ in CallsSuperLast().named_children()] == ["c", "a"]
    assert type(Plain) is type(nn.Module)                                     # no metaclass
    twin = copy.deepcopy(m)
    close(twin(torch.ones(1, 3)), m(torch.ones(1, 3)))
    assert twin.a is not m.a


def test_functions_as_layers():
    x = torch.randn(2, 3, 4)
    close(Lambda(torch.exp)(x), x.exp())
    close(PartialLambda(torch.sum, dim=1)(x), x.sum(1))
    assert "sum, dim=1" in repr(PartialLambda(torch.sum, dim=1))
    assert View(4, 6)(x).shape == (4, 6) and ResizeBatch(4, 3)(x).shape == (2, 4, 3)
    assert Flatten()(x).shape == (2, 12) and Flatten(full=True)(x).shape == (24,) and Flatten()(x.transpose(1, 2)).shape == (2, 12)
    close(Cat([nn.Identity(), Lambda(torch.neg)])(x), torch.cat([x, -x], 1))
    m = sequential(nn.Linear(4, 4), torch.relu)
    assert [type(o).__name__ for o in m] == ["Linear", "Lambda"] and (m(x) >= 0).all()
    with pytest.raises(TypeError, match="Lambda takes a function"):
        Lambda(3)


def test_sequential_ex_merges_with_its_input():
    x, lin = torch.randn(2, 4), nn.Linear(4, 4)
    close(SequentialEx(lin, nn.ReLU(), MergeLayer())(x), lin(x).relu() + x)
    close(SequentialEx(lin, MergeLayer(dense=True))(x), torch.cat([lin(x), x], 1))
    close(SequentialEx(lin, ProdLayer())(x), lin(x) * x)
    m = SequentialEx(lin)
    m.append(MergeLayer())
    m.insert(0, nn.Identity())
    m.extend([nn.ReLU()])
    assert len(m) == 4 and m[1] is lin
    close(m(x), (lin(x) + x).relu())
    assert not hasattr(x, "orig")


class Lambda2(nn.Module):
    def forward(self, a, b):
        return a + b


def test_time_distributed():
    x, conv = torch.randn(2, 5, 3, 8, 8), nn.Conv2d(3, 4, 3)
    wanted = torch.stack([conv(x[:, i]) for i in range(5)], 1)
    close(TimeDistributed(conv)(x), wanted)
    close(TimeDistributed(conv, low_mem=True)(x), wanted)
    y = x.movedim(1, 2)
    close(TimeDistributed(conv, tdim=2)(y), wanted.movedim(1, 2))
    close(TimeDistributed(Lambda2())(x, x), x + x)
