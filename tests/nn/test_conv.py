"""Blocks of convolutions: what they are made of, and their formulas."""
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
from minifast.nn.layers import NormType

close = torch.testing.assert_close


def names(m):
    return [type(o).__name__.replace("Parametrized", "") for o in m]


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


def test_simple_cnn():
    m = SimpleCNN([3, 8, 16])
    assert m(torch.randn(2, 3, 16, 16)).shape == (2, 16)
    assert names(m[0]) == ["Conv2d", "BatchNorm2d", "ReLU"] and names(m[1]) == ["Conv2d", "ReLU"]
    assert SimpleCNN([3, 8], kernel_szs=[5], strides=[1], bn=False)[0][0].kernel_size == (5, 5)
    with pytest.raises(ValueError, match=r"has 2 convolutions, but kernel_szs=\[3\]"):
        SimpleCNN([3, 8, 16], kernel_szs=[3])
    with pytest.raises(ValueError, match="at least two numbers"):
        SimpleCNN([3])
