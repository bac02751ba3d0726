"""Values that are not finite, and padding."""
import torch

from minifast.core.finite import not_finite

nan, inf = torch.nan, torch.inf


def test_padding_of_series_is_left_out_and_nothing_else():
    x = torch.zeros(5, 2, 4)
    x[0, :, 2:] = nan                       # padding
    x[1, :, 1] = nan                        # a gap
    x[2, 0, 3] = nan                        # of one channel
    x[3] = nan                              # no series at all
    x[4, :, 3] = inf
    bad = not_finite(x)
    assert [int(o.sum()) for o in bad] == [0, 2, 1, 8, 2]
    assert not_finite(x[0]).sum() == 4 and not_finite(x[:, :, None]).sum() == 4 + 2 + 1 + 8 + 2, "three axes are a batch of series"
    assert not_finite(torch.zeros(0, 2, 4)).shape == (0, 2, 4) and not not_finite(torch.zeros(0, 0, 0)).any()
