"""TCN: the numbers of causal dilated convolutions, and its last step sees all of a window."""
import pytest
import torch
import torch.nn.functional as F

from minifast.timeseries.all import TCN


def dilated(model, x):
    "The network as the paper has it: block i on all steps, with dilation 2^i."
    for i, block in enumerate(model.body):
        y = x
        for conv in (block.convs[0], block.convs[3]):
            y = F.relu(F.conv1d(F.pad(y, ((conv.kernel_size[0] - 1) * 2 ** i, 0)), conv.weight, conv.bias, dilation=2 ** i))
        x = F.relu(y + block.skip(x))
    return model.head(x[:, :, -1])


@pytest.mark.parametrize(("seq_len", "kernel"), [(1, 3), (10, 2), (33, 3), (64, 5)])
def test_it_is_a_network_of_dilated_convolutions_whose_last_step_sees_all(seq_len, kernel):
    torch.manual_seed(0)
    model = TCN(2, 3, seq_len, n_hidden=16, kernel=kernel).eval().double()
    x = torch.randn(2, 2, seq_len, dtype=torch.double, requires_grad=True)
    assert torch.allclose(model(x), dilated(model, x))
    model(x).sum().backward()
    assert (x.grad != 0).all()


def test_a_kernel_of_one_would_never_see_more():
    with pytest.raises(ValueError, match="kernel=1"):
        TCN(1, 1, 8, kernel=1)
