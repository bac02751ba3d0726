"""Norms, pooling, embeddings and linear blocks."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.nn.layers import (
    AdaptiveAvgPool,
    AdaptiveConcatPool1d,
    AdaptiveConcatPool2d,
    AvgPool,
    BatchNorm,
    Embedding,
    InstanceNorm,
    LinBnDrop,
    MaxPool,
    NormType,
)

close = torch.testing.assert_close


def names(m):
    return [type(o).__name__ for o in m]


def test_pooling():
    x = torch.randn(2, 3, 6, 6)
    close(AdaptiveConcatPool2d()(x), torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1))
    close(AdaptiveConcatPool1d(2)(x[..., 0]), torch.cat([F.adaptive_max_pool1d(x[..., 0], 2), F.adaptive_avg_pool1d(x[..., 0], 2)], 1))
    close(AdaptiveAvgPool()(x), x.mean((2, 3), keepdim=True))
    close(AvgPool()(x), F.avg_pool2d(x, 2))
    close(MaxPool(3, ndim=1)(x[..., 0]), F.max_pool1d(x[..., 0], 3))
    with pytest.raises(ValueError, match=r"AvgPool\(ndim=4\)"):
        AvgPool(ndim=4)


def test_lin_bn_drop_order_and_bias():
    assert names(LinBnDrop(4, 2, p=.1, act=nn.ReLU())) == ["BatchNorm1d", "Dropout", "Linear", "ReLU"]
    assert names(LinBnDrop(4, 2, p=.1, act=nn.ReLU(), lin_first=True)) == ["Linear", "ReLU", "BatchNorm1d", "Dropout"]
    assert LinBnDrop(4, 2)[-1].bias is None and LinBnDrop(4, 2, bn=False)[0].bias is not None
    assert LinBnDrop(4, 2)[0].num_features == 4 and LinBnDrop(4, 2, lin_first=True)[1].num_features == 2
    assert names(LinBnDrop(4, 2, bn=False)) == ["Linear"]


def test_norm_layers():
    assert (BatchNorm(4, norm_type=NormType.BatchZero).weight == 0).all() and (BatchNorm(4, ndim=1).bias == 1e-3).all()
    assert InstanceNorm(4).affine and not InstanceNorm(4, affine=False).affine


def test_embedding_is_a_truncated_normal():
    w = Embedding(1000, 50).weight
    assert abs(w.std().item() - 0.0088) < 3e-4 and w.abs().max() <= 0.02      # a normal cut at 2 deviations has 0.88 of its deviation
