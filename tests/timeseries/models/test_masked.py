"Layers that ignore padding against torch's own, of series that are alone."
import pytest
import torch
import torch.nn.functional as F

from minifast.timeseries.models.masked import (
    ConvNormAct,
    StepConv,
    StepMask,
    StepMaxPool,
    StepNorm,
    as_grid,
    mean_of_steps,
)

LENGTHS = (9, 4, 1)


@pytest.fixture
def series():
    torch.manual_seed(0)
    return [torch.randn(1, 3, n) * 2 + 5 for n in LENGTHS]


def padded(series, fill=0.0):
    "(B, C, 1, T) with `fill` as padding, and the mask."
    x = torch.cat([F.pad(s, (0, max(LENGTHS) - s.shape[2]), value=fill) for s in series])
    mask = torch.tensor([[float(i < n) for i in range(max(LENGTHS))] for n in LENGTHS])
    return as_grid(x), StepMask(mask)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 8])
def test_a_convolution_is_that_of_torch(series, kernel_size):
    conv = StepConv(3, 5, kernel_size, bias=True)
    made = conv(as_grid(series[0]))[:, :, 0]
    expected = F.conv1d(F.pad(series[0], ((kernel_size - 1) // 2, kernel_size // 2)), conv.weight[:, :, 0], conv.bias)
    torch.testing.assert_close(made, expected)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


COUNTABLE = pytest.mark.parametrize("countable", [True, False], ids=["cpu", "as on a GPU"])


@COUNTABLE
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_in_training_is_that_of_the_steps_alone(series, affine, countable):
    norm, plain = StepNorm(3), torch.nn.BatchNorm1d(3)
    if affine:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
        plain.load_state_dict(norm.state_dict())
    x, mask = padded(series, fill=100.0)
    assert mask.countable
    mask.countable = countable
    x.requires_grad_()
    steps = torch.cat(series, 2).detach().requires_grad_()
    for _ in range(2):
        made, expected = norm(x, mask), plain(steps)
    assert (made[mask.grid.expand_as(made) == 0] == 0).all()
    made = torch.cat([made[i:i + 1, :, 0, :n] for i, n in enumerate(LENGTHS)], 2)
    torch.testing.assert_close(made, expected)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)
    weights = torch.randn_like(expected)
    (made * weights).sum().backward()
    (expected * weights).sum().backward()
    grads = torch.cat([x.grad[i:i + 1, :, 0, :n] for i, n in enumerate(LENGTHS)], 2)
    torch.testing.assert_close(grads, steps.grad)
    assert (x.grad[mask.grid.expand_as(x) == 0] == 0).all()
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)
    torch.testing.assert_close(norm.bias.grad, plain.bias.grad)


@COUNTABLE
def test_batch_norm_ends_with_relu_when_asked(series, countable):
    x, mask = padded(series, fill=100.0)
    mask.countable = countable
    norm = StepNorm(3)
    for m in (None, mask):
        for norm.training in (True, False):
            torch.testing.assert_close(norm(x, m, act=True), norm(x, m).relu())


def test_a_synchronised_norm_does_what_the_norm_does_and_shares_its_weights(series):
    "With one process, where torch's own needs no GPU."
    x, mask = padded(series, fill=100.0)
    norm = StepNorm(3, momentum=0.3)
    torch.nn.init.normal_(norm.weight)
    expected = norm(x, mask)
    plain = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.reset_running_stats()
    made = norm.synchronised()
    assert isinstance(made, torch.nn.SyncBatchNorm) and made.weight is norm.weight and made.bias is norm.bias
    torch.testing.assert_close(made(x, mask), expected)
    torch.testing.assert_close(dict(norm.state_dict()), plain)                          # the statistics are shared, too
    torch.testing.assert_close(norm.eval().synchronised()(x, mask), norm(x, mask))


@COUNTABLE
def test_batch_norm_of_half_precision_keeps_its_type(series, countable):
    x, mask = padded(series)
    mask.countable = countable
    norm, half = StepNorm(3), x.to(torch.bfloat16).requires_grad_()
    made = norm(half, mask)
    made.float().sum().backward()
    assert made.dtype == half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), StepNorm(3)(x, mask), atol=0.05, rtol=0.05)


@COUNTABLE
def test_statistics_are_in_full_precision_under_autocast(countable):
    x, mask = as_grid(torch.full((2, 1, 1000), 1000.0)), StepMask(torch.ones(2, 1000))
    x[..., ::2], mask.countable = 1002.0, countable
    norm = StepNorm(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        norm(x, mask)
    assert (norm.running_mean.item(), norm.running_var.item()) == pytest.approx((100.1, 0.9 + 0.1), rel=1e-3)


def test_the_maximum_sees_no_padding():
    x, mask = padded([torch.full((1, 3, n), -2.0) for n in LENGTHS])
    made = StepMaxPool(3)(x, mask)
    assert (made == -2.0 * mask.grid).all()


def test_the_mean_is_over_the_steps_alone(series):
    x, mask = padded(series)
    torch.testing.assert_close(mean_of_steps(x[:, :, 0], mask.grid[:, 0, 0]), torch.cat([s.mean(2) for s in series]))
    assert (mean_of_steps(torch.zeros(1, 2, 3), torch.zeros(1, 3)) == 0).all()        # a series of no step at all


def test_a_unit_gives_each_series_what_it_gives_it_alone(series):
    unit = ConvNormAct(3, 4, 4).eval()
    unit.norm.bias.data.fill_(0.5)
    x, mask = padded(series)
    for made, s in zip(unit(x, mask), series, strict=True):
        torch.testing.assert_close(made[:, 0, :s.shape[2]], unit(as_grid(s))[0, :, 0])
        assert not made[:, 0, s.shape[2]:].any()


@COUNTABLE
def test_without_a_momentum_statistics_are_the_mean_over_batches(countable):
    norm, x = StepNorm(1, momentum=None), torch.tensor([[[[1.0, 3.0, 7.0]]], [[[5.0, 0.0, 0.0]]]])
    mask = StepMask(torch.tensor([[1.0, 1, 0], [1, 0, 0]]))
    mask.countable = countable
    for k in (1, 2, 3):
        norm(x * k, mask)
    plain = torch.nn.BatchNorm1d(1, momentum=None)
    for k in (1, 2, 3):
        plain(torch.tensor([[1.0], [3.0], [5.0]]) * k)
    torch.testing.assert_close((norm.running_mean, norm.running_var), (plain.running_mean, plain.running_var))
