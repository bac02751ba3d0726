import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.core.items import noop
from minifast.nn.conv import (
    ConvLayer,
    PixelShuffle_ICNR,
    PooledSelfAttention2d,
    ResBlock,
    SEBlock,
    SelfAttention,
    SEModule,
    SimpleCNN,
    SimpleSelfAttention,
)
from minifast.nn.init import apply_init, icnr_init, init_default, init_linear
from minifast.nn.layers import (
    AdaptiveAvgPool,
    AdaptiveConcatPool1d,
    AdaptiveConcatPool2d,
    AvgPool,
    BatchNorm,
    Cat,
    Embedding,
    Flatten,
    InstanceNorm,
    Lambda,
    LinBnDrop,
    MaxPool,
    MergeLayer,
    Mish,
    Module,
    NormType,
    PartialLambda,
    ProdLayer,
    ResizeBatch,
    SequentialEx,
    SigmoidRange,
    Swish,
    TimeDistributed,
    View,
    mish,
    sequential,
    sigmoid,
    sigmoid_range,
    swish,
)
from minifast.nn.model_info import (
    children_of,
    dummy_eval,
    eval_mode,
    flatten_model,
    in_channels,
    model_sizes,
    num_features_model,
    one_param,
    params,
    requires_grad,
    total_params,
)

close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def names(m):
    return [type(o).__name__.replace("Parametrized", "") for o in m]


# Module

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


# values

def test_activations_return_values():
    x = torch.linspace(-4, 4, 9)
    close(swish(x), x * x.sigmoid())
    close(mish(x), x * F.softplus(x).tanh())
    close(Swish()(x), swish(x))
    close(Mish()(x), mish(x))
    close(sigmoid_range(x, -1, 5), x.sigmoid() * 6 - 1)
    close(SigmoidRange(-1, 5)(x), sigmoid_range(x, -1, 5))
    big = sigmoid(torch.tensor([-100., 0., 100.]))
    close(big, torch.tensor([1e-7, .5, 1 - 1e-7]))
    assert torch.isfinite(big.log()).all() and torch.isfinite((1 - big).log()).all()
    assert noop(3, 4, a=5) == 3 and noop() is None


def test_functions_as_layers():
    x = torch.randn(2, 3, 4)
    close(Lambda(torch.exp)(x), x.exp())
    close(PartialLambda(torch.sum, dim=1)(x), x.sum(1))
    assert "sum, dim=1" in repr(PartialLambda(torch.sum, dim=1))
    assert View(4, 6)(x).shape == (4, 6) and ResizeBatch(4, 3)(x).shape == (2, 4, 3)
    assert Flatten()(x).shape == (2, 12) and Flatten(full=True)(x).shape == (24,) and Flatten()(x.transpose(1, 2)).shape == (2, 12)
    close(Cat([nn.Identity(), Lambda(torch.neg)])(x), torch.cat([x, -x], 1))
    m = sequential(nn.Linear(4, 4), torch.relu)
    assert names(m) == ["Linear", "Lambda"] and (m(x) >= 0).all()
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


def test_time_distributed():
    x, conv = torch.randn(2, 5, 3, 8, 8), nn.Conv2d(3, 4, 3)
    wanted = torch.stack([conv(x[:, i]) for i in range(5)], 1)
    close(TimeDistributed(conv)(x), wanted)
    close(TimeDistributed(conv, low_mem=True)(x), wanted)
    y = x.movedim(1, 2)
    close(TimeDistributed(conv, tdim=2)(y), wanted.movedim(1, 2))
    close(TimeDistributed(Lambda2())(x, x), x + x)


class Lambda2(nn.Module):
    def forward(self, a, b):
        return a + b


def test_pooling():
    x = torch.randn(2, 3, 6, 6)
    close(AdaptiveConcatPool2d()(x), torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1))
    close(AdaptiveConcatPool1d(2)(x[..., 0]), torch.cat([F.adaptive_max_pool1d(x[..., 0], 2), F.adaptive_avg_pool1d(x[..., 0], 2)], 1))
    close(AdaptiveAvgPool()(x), x.mean((2, 3), keepdim=True))
    close(AvgPool()(x), F.avg_pool2d(x, 2))
    close(MaxPool(3, ndim=1)(x[..., 0]), F.max_pool1d(x[..., 0], 3))
    with pytest.raises(ValueError, match=r"AvgPool\(ndim=4\)"):
        AvgPool(ndim=4)


# blocks

def test_lin_bn_drop_order_and_bias():
    assert names(LinBnDrop(4, 2, p=.1, act=nn.ReLU())) == ["BatchNorm1d", "Dropout", "Linear", "ReLU"]
    assert names(LinBnDrop(4, 2, p=.1, act=nn.ReLU(), lin_first=True)) == ["Linear", "ReLU", "BatchNorm1d", "Dropout"]
    assert LinBnDrop(4, 2)[-1].bias is None and LinBnDrop(4, 2, bn=False)[0].bias is not None
    assert LinBnDrop(4, 2)[0].num_features == 4 and LinBnDrop(4, 2, lin_first=True)[1].num_features == 2
    assert names(LinBnDrop(4, 2, bn=False)) == ["Linear"]


def test_conv_layer_is_conv_norm_activation():
    x, layer = torch.randn(2, 3, 9, 9), ConvLayer(3, 8, stride=2)
    assert names(layer) == ["Conv2d", "BatchNorm2d", "ReLU"] and layer[0].bias is None
    layer.eval()
    wanted = F.conv2d(x, layer[0].weight, stride=2, padding=1)
    close(layer(x), (wanted / (1 + 1e-5) ** .5 + 1e-3).relu())               # fresh batch norm: bias 1e-3
    assert names(ConvLayer(3, 8, bn_1st=False)) == ["Conv2d", "ReLU", "BatchNorm2d"]
    assert names(ConvLayer(3, 8, act_cls=None, norm_type=None)) == ["Conv2d"] and ConvLayer(3, 8, norm_type=None)[0].bias is not None
    assert names(ConvLayer(3, 8, ndim=1, norm_type=NormType.Instance)) == ["Conv1d", "InstanceNorm1d", "ReLU"]
    assert names(ConvLayer(3, 8, act_cls=partial(nn.LeakyReLU, .1), xtra=nn.Dropout())) == ["Conv2d", "BatchNorm2d", "LeakyReLU", "Dropout"]
    assert ConvLayer(3, 8, ks=5)(x).shape == (2, 8, 9, 9) and ConvLayer(3, 8, ks=2, stride=2, transpose=True)(x).shape == (2, 8, 18, 18)
    assert ConvLayer(4, 8, groups=4, dilation=2)[0].groups == 4


@pytest.mark.parametrize("norm_type", NormType)
def test_every_norm_type_trains(norm_type):
    layer = ConvLayer(3, 4, norm_type=norm_type)
    layer(torch.randn(2, 3, 5, 5)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    if norm_type in (NormType.BatchZero, NormType.InstanceZero):
        assert (layer[1].weight == 0).all()


def test_spectral_and_weight_norm_change_the_weight_as_they_say():
    layer = ConvLayer(3, 8, norm_type=NormType.Spectral)
    for _ in range(50):
        layer(torch.randn(1, 3, 4, 4))
    close(torch.linalg.matrix_norm(layer[0].weight.flatten(1), 2), torch.tensor(1.), rtol=1e-3, atol=1e-3)
    assert ConvLayer(3, 8, norm_type=NormType.Weight)[0].parametrizations.weight.original0.shape == (8, 1, 1, 1)


def test_conv_layer_refusals():
    with pytest.raises(TypeError, match=r"norm_type='batch': write None or one of NormType.Batch"):
        ConvLayer(3, 8, norm_type="batch")
    with pytest.raises(TypeError):
        ConvLayer(3, 8, paddings=1)
    with pytest.raises(ValueError, match="ndim=4"):
        ConvLayer(3, 8, ndim=4)


def test_norm_layers():
    assert (BatchNorm(4, norm_type=NormType.BatchZero).weight == 0).all() and (BatchNorm(4, ndim=1).bias == 1e-3).all()
    assert InstanceNorm(4).affine and not InstanceNorm(4, affine=False).affine


@pytest.mark.parametrize("kw, ni, nf", [({}, 8, 8), ({"stride": 2}, 8, 16), ({"stride": 2, "pool_first": False}, 8, 16),
                                        ({"reduction": 4}, 8, 8), ({"sa": True}, 8, 8), ({"sa": True, "sym": True}, 8, 8),
                                        ({"dw": True}, 8, 8), ({"groups": 2, "nh1": 4, "nh2": 6}, 8, 8), ({"norm_type": None}, 8, 16),
                                        ({"norm_type": NormType.Instance, "act_cls": nn.SiLU}, 8, 8)])
@pytest.mark.parametrize("expansion", [1, 4])
def test_res_block_shapes_and_training(expansion, kw, ni, nf):
    if expansion == 1 and "groups" in kw:
        kw = {"groups": 2}
    block = ResBlock(expansion, ni, nf, **kw)
    x = torch.randn(2, ni * expansion, 7, 7)
    out = block(x)
    side = 4 if kw.get("stride") == 2 else 7
    assert out.shape == (2, nf * expansion, side, side)
    out.sum().backward()
    assert all(p.grad is not None for p in block.parameters())


@pytest.mark.parametrize("expansion", [1, 4])
def test_res_block_starts_as_the_identity(expansion):
    x = torch.rand(2, 4 * expansion, 5, 5) + 1
    close(ResBlock(expansion, 4, 4).eval()(x), x + 1e-3)                      # the last batch norm has weight 0, bias 1e-3
    assert len(ResBlock(expansion, 4, 4).idpath) == 0 and len(ResBlock(expansion, 4, 4).convpath) == (2 if expansion == 1 else 3)


def test_res_block_in_one_dimension():
    assert ResBlock(1, 4, 8, stride=2, ndim=1)(torch.randn(2, 4, 9)).shape == (2, 8, 5)


def test_squeeze_and_excitation():
    x = torch.randn(2, 16, 4, 4)
    se = SEModule(16, reduction=4)
    gate = se[2](se[1](x.mean((2, 3), keepdim=True)))
    close(se(x), x * gate)
    assert gate.shape == (2, 16, 1, 1) and (gate > 0).all() and (gate < 1).all()
    assert se[1][0].out_channels == 8                                         # 16 / 4, up to a multiple of 8
    assert SEBlock(4, 8, 8, reduction=8)(torch.randn(2, 32, 4, 4)).shape == (2, 32, 4, 4)
    with pytest.raises(ValueError, match=r"SEModule\(ch=4, reduction=16\)"):
        SEModule(4, 16)


@pytest.mark.parametrize("make", [SelfAttention, SimpleSelfAttention, PooledSelfAttention2d])
def test_self_attention_starts_as_the_identity_and_learns(make):
    layer, x = make(16), torch.randn(2, 16, 4, 4)
    close(layer(x), x)
    nn.init.ones_(layer.gamma)
    out = layer(x)
    assert out.shape == x.shape and not torch.allclose(out, x)
    out.pow(2).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_self_attention_formula():
    layer, x = SelfAttention(16).eval(), torch.randn(2, 16, 3, 3)
    nn.init.constant_(layer.gamma, 0.5)
    flat = x.view(2, 16, 9)
    q, k, v = layer.query(flat), layer.key(flat), layer.value(flat)
    wanted = torch.zeros_like(flat)
    for b in range(2):
        for j in range(9):                                                    # what pixel j takes from every pixel i
            share = torch.stack([q[b, :, i] @ k[b, :, j] for i in range(9)]).softmax(0)
            wanted[b, :, j] = v[b] @ share
    close(layer(x), (0.5 * wanted + flat).view_as(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="at least 8 channels"):
        SelfAttention(4)


def test_symmetric_attention_has_a_symmetric_weight():
    layer, x = SimpleSelfAttention(6, sym=True).eval(), torch.randn(1, 6, 2, 2)
    nn.init.ones_(layer.gamma)
    w = layer.conv.weight[..., 0]
    w, flat = (w + w.T) / 2, x.flatten(2)[0]
    close(layer(x).flatten(2)[0], flat @ flat.T @ (w @ flat) + flat, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="only a kernel of size 1"):
        SimpleSelfAttention(6, ks=3, sym=True)


@pytest.mark.parametrize("norm_type", [NormType.Weight, None, NormType.Spectral])
def test_pixel_shuffle_starts_without_checkerboard(norm_type):
    layer = PixelShuffle_ICNR(6, 4, norm_type=norm_type)
    out = layer(torch.randn(2, 6, 5, 5))
    assert out.shape == (2, 4, 10, 10)
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2)
    close(blocks, blocks[..., :1, :1].expand_as(blocks))                      # each 2x2 block is one colour
    assert PixelShuffle_ICNR(6, scale=3, blur=True)(torch.randn(2, 6, 5, 5)).shape == (2, 6, 15, 15)


def test_icnr_init():
    w = icnr_init(torch.empty(8, 3, 1, 1))
    close(w[0], w[3])
    assert w.shape == (8, 3, 1, 1) and not torch.equal(w[0], w[4])
    with pytest.raises(ValueError, match="divisible by 4"):
        icnr_init(torch.empty(6, 3, 1, 1))


def test_simple_cnn():
    m = SimpleCNN([3, 8, 16])
    assert m(torch.randn(2, 3, 16, 16)).shape == (2, 16)
    assert names(m[0]) == ["Conv2d", "BatchNorm2d", "ReLU"] and names(m[1]) == ["Conv2d", "ReLU"]
    assert SimpleCNN([3, 8], kernel_szs=[5], strides=[1], bn=False)[0][0].kernel_size == (5, 5)
    with pytest.raises(ValueError, match=r"has 2 convolutions, but kernel_szs=\[3\]"):
        SimpleCNN([3, 8, 16], kernel_szs=[3])
    with pytest.raises(ValueError, match="at least two numbers"):
        SimpleCNN([3])


def test_embedding_is_a_truncated_normal():
    w = Embedding(1000, 50).weight
    assert abs(w.std().item() - 0.0088) < 3e-4 and w.abs().max() <= 0.02      # a normal cut at 2 deviations has 0.88 of its deviation


# initialisation

def test_init_linear_and_init_default():
    relu, tanh, none = (init_linear(nn.Linear(400, 400), act) for act in (nn.ReLU(), nn.Tanh(), None))
    assert relu.weight.std().item() == pytest.approx((2 / 400) ** .5, rel=.05)
    assert tanh.weight.std().item() == pytest.approx((1 / 400) ** .5, rel=.05)
    assert none.weight.std().item() == pytest.approx((1 / 1200) ** .5, rel=.05)          # torch's own
    assert relu.bias.std().item() == pytest.approx(.01, rel=.2)
    assert (init_linear(nn.Linear(4, 4), bias_std=0).bias == 0).all()
    assert (init_linear(nn.Linear(4, 4), init=nn.init.ones_).weight == 1).all()
    m = init_default(nn.Linear(4, 4), nn.init.ones_)
    assert (m.weight == 1).all() and (m.bias == 0).all()
    assert init_default(nn.Flatten(), nn.init.ones_) is not None


def test_apply_init_leaves_norms_and_frozen_layers_alone():
    m = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNorm(4), nn.PReLU(), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2))
    m[4].requires_grad_(False)
    kept = m[4].weight.clone()
    apply_init(m, nn.init.ones_)
    assert (m[0].weight == 1).all() and (m[0].bias == 0).all() and (m[3][0].weight == 1).all()
    assert (m[1].bias == 1e-3).all() and (m[2].weight == 0.25).all() and torch.equal(m[4].weight, kept)


# looking into a model

def body():
    return nn.Sequential(ConvLayer(1, 4, stride=2), nn.Sequential(ConvLayer(4, 8, stride=2), nn.Dropout2d(.5)))


def test_looking_into_a_model():
    m = body()
    assert len(params(m)) == 6 and one_param(m) is m[0][0].weight and requires_grad(m) and not requires_grad(nn.ReLU())
    assert total_params(m) == (4 * 9 + 8 + 4 * 8 * 9 + 16, True)
    assert total_params(m.requires_grad_(False))[1] is False
    assert children_of(m) == list(m)
    assert names(flatten_model(m)) == ["Conv2d", "BatchNorm2d", "ReLU"] * 2 + ["Dropout2d"]
    assert in_channels(m) == 1
    with pytest.raises(ValueError, match="Linear has no convolution"):
        in_channels(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        one_param(nn.ReLU())


def test_model_sizes_leave_modes_statistics_hooks_and_random_streams_alone():
    m = body().train()
    m[1].eval()
    mean, rng = m[0][1].running_mean.clone(), torch.get_rng_state()
    assert model_sizes(m, (32, 48)) == [(1, 4, 16, 24), (1, 8, 8, 12)]
    assert dummy_eval(m).shape == (1, 8, 16, 16) and not dummy_eval(m).requires_grad
    assert num_features_model(m) == 8
    assert torch.equal(rng, torch.get_rng_state()) and torch.equal(mean, m[0][1].running_mean)
    assert [o.training for o in m] == [True, False] and not m[0]._forward_hooks
    close(dummy_eval(m), dummy_eval(m))
    assert dummy_eval(m.double()).dtype == torch.float64


def test_num_features_of_a_model_that_needs_large_images():
    assert num_features_model(nn.Sequential(nn.Conv2d(3, 5, 60))) == 5
    with pytest.raises(ValueError, match="no image from 32 to 1024 pixels passes"):
        num_features_model(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(7, 7)))


def test_eval_mode_restores_modes_after_an_error():
    m = nn.Sequential(nn.Dropout(), nn.Dropout())
    m[0].eval()
    with pytest.raises(RuntimeError), eval_mode(m):
        assert not m[1].training and not torch.is_grad_enabled()
        raise RuntimeError
    assert [m.training, m[0].training, m[1].training] == [True, False, True] and torch.is_grad_enabled()
