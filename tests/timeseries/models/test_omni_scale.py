import torch

from minifast.timeseries.models.omni_scale import OmniScaleCNN, prime_lengths


def test_kernels_are_the_primes_up_to_a_quarter_of_the_series():
    assert prime_lengths(20) == [1, 2, 3, 5, 7, 11, 13, 17, 19]
    assert prime_lengths(0) == [1, 2]
    model = OmniScaleCNN(1, 2, seq_len=48)
    sizes = [[conv.kernel_size[1] for conv in layer.convs] for layer in model.body]
    assert sizes == [[1, 2, 3, 5, 7, 11]] * 2 + [[1, 2]]
    assert [layer.convs[0].out_channels for layer in model.body] == [35, 37, 210]        # 1024 // 29, 229376 // (210 * 29), 6 * 35
    assert max(prime_lengths(89)) == max(conv.kernel_size[1] for conv in OmniScaleCNN(1, 2, 2000).body[0].convs) == 89


def test_several_channels_have_a_larger_budget_and_short_series_are_read():
    model = OmniScaleCNN(12, 2, seq_len=3, budgets=(60, 400))
    assert model.body[0].convs[0].out_channels == 20
    assert model(torch.randn(2, 12, 3)).shape == (2, 2)
