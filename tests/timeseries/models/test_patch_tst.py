"PatchTST: patches as a hand makes them, channels that do not see each other, forecasts by one layer."
import pytest
import torch

from minifast.timeseries.models.patch_tst import PatchTST

SMALL = {"d_model": 8, "n_heads": 2, "n_layers": 1, "d_ff": 12, "patch_len": 4, "stride": 2}


def test_patches_are_pieces_of_a_series_the_last_of_which_repeats_the_last_value():
    model, seen = PatchTST(1, 2, seq_len=7, **SMALL), []
    model.embed.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model(torch.arange(14.0).view(2, 1, 7))
    assert seen[0][0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 6]]
    assert PatchTST(1, 2, seq_len=96).body.places.shape == (12, 128)            # (96 - 16) / 8 + 2, as in the paper


def test_with_targets_each_channel_gives_its_own_forecast():
    torch.manual_seed(0)
    model = PatchTST(3, 2 * 5, seq_len=12, n_targets=2, **SMALL).eval()
    x = torch.randn(4, 3, 12)
    changed = x.clone()
    changed[:, 1:] += 1
    a, b = model(x).view(4, 2, 5), model(changed).view(4, 2, 5)
    torch.testing.assert_close(a[:, 0], b[:, 0])
    assert not torch.allclose(a[:, 1], b[:, 1])
    torch.testing.assert_close(model(x.flip(1)[:, [1, 2, 0]]).view(4, 2, 5)[:, 0], a[:, 1])
    with pytest.raises(ValueError, match=r"PatchTST\(c_in=3, c_out=5, n_targets=2\): c_out is n_targets \* horizon"):
        PatchTST(3, 5, seq_len=12, n_targets=2, **SMALL)


def test_series_shorter_than_a_patch_are_refused_with_what_to_write():
    with pytest.raises(ValueError, match="series of 16 steps or more, the length of its patches, and these have 12: .* patch_len=12"):
        PatchTST(1, 2, seq_len=12)
    assert PatchTST(1, 2, seq_len=12, patch_len=12)(torch.randn(2, 1, 12)).shape == (2, 2)
