"InceptionTime against the same network written out by hand with convolutions over one axis."
import torch
import torch.nn.functional as F
from torch import nn

from minifast.timeseries.models.inception_time import InceptionTime


def by_hand(model, x):
    "The output for (B, C, T), with torch's functions over one axis and the weights of `model`."
    def conv(layer, x):
        k = layer.kernel_size[1]
        return F.conv1d(F.pad(x, ((k - 1) // 2, k // 2)), layer.weight[:, :, 0])

    def norm(layer, x):
        return F.batch_norm(x, None, None, layer.weight, layer.bias, True)

    for block in model.body:
        residual = x
        for m in block.layers:
            narrow = x if m.bottleneck is None else conv(m.bottleneck, x)
            x = torch.cat([*(conv(c, narrow) for c in m.convs), conv(m.pool_conv, F.max_pool1d(x, 3, 1, 1))], 1)
            x = F.relu(norm(m.norm, x))
        short = block.shortcut
        x = F.relu(x + (norm(short, residual) if isinstance(short, nn.BatchNorm2d) else norm(short.norm, conv(short.conv, residual))))
    return model.head(x.mean(2))


def test_it_is_the_network_of_the_paper():
    torch.manual_seed(0)
    for c_in in (1, 6):
        model, x = InceptionTime(c_in, 4), torch.randn(5, c_in, 50)
        torch.testing.assert_close(model(x), by_hand(model, x), atol=1e-4, rtol=1e-4)
        assert [c.kernel_size[1] for c in model.body[0].layers[0].convs] == [40, 20, 10]
        assert (model.body[0].layers[0].bottleneck is None) == (c_in == 1)
    assert len(model.body) == 2
    n_weights = sum(p.numel() for p in model.parameters())
    expected = 6 * 32 + 5 * 128 * 32 + 6 * 32 * 32 * 70 + (6 + 5 * 128) * 32 + 6 * 256 + 6 * 128 + 256 + 256 + 128 * 4 + 4
    assert n_weights == expected


def test_modules_beyond_the_last_third_have_no_shortcut():
    x = torch.randn(2, 1, 20)
    assert [hasattr(b, "shortcut") for b in InceptionTime(1, 2, n_filters=2, depth=4).body] == [True, False]
    assert InceptionTime(1, 2, n_filters=2, depth=4)(x).shape == (2, 2)
    assert not any(hasattr(b, "shortcut") for b in InceptionTime(1, 2, n_filters=2, residual=False).body)
