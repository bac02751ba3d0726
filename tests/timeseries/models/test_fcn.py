import pytest
import torch

from minifast.timeseries.models.fcn import FCN


def test_it_is_the_network_of_the_paper():
    model = FCN(1, 2)
    assert sum(p.numel() for p in model.parameters()) == 128 * 8 + 128 * 256 * 5 + 256 * 128 * 3 + 2 * (128 + 256 + 128) + 128 * 2 + 2
    assert FCN(1, 2)(torch.randn(3, 1, 1).expand(3, 1, 2)).shape == (3, 2)          # series of any length


def test_a_layer_without_a_kernel_size_is_refused():
    with pytest.raises(ValueError, match="give one kernel size for each layer"):
        FCN(1, 2, layers=(8, 8), kernel_sizes=(3,))
    with pytest.raises(ValueError, match=r"FCN\(kernel_sizes=\(0, 3\)\): sizes are whole numbers"):
        FCN(1, 2, layers=(8, 8), kernel_sizes=(0, 3))
