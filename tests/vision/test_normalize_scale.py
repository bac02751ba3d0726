"Statistics of other values than those that are normalised are refused where they are given."
import pytest
import torch
from suggestions import told

from minifast.learner.spec import Builder, Describer
from minifast.vision.normalize import Normalize, cifar_stats, imagenet_stats, mnist_stats

OF_BYTES = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.mark.parametrize("make", [Normalize, Normalize.from_stats])
def test_statistics_of_bytes(make):
    with told("vision/normalize.py", "of pixels in 0..255, and IntToFloatTensor makes 0..1 of those: write mean=…, std=…"):
        make(*OF_BYTES)
    with pytest.raises(ValueError, match=r"mean=\[0.485, 0.456, 0.406\], std=\[0.229, 0.224, 0.225\]"):
        make(*OF_BYTES)
    make(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


def test_inputs_on_another_scale():
    for mean, std, value_range in (([-40.0], [12.0], (-80, 0)), ([1200.0], [300.0], (0, 10000)), ([0.4], [7.0], (-50, 50))):
        with told("vision/normalize.py", "For inputs on another scale say which, value_range=(low, high)"):
            Normalize(mean, std)
        Normalize(mean, std, value_range=value_range)
        Normalize.from_stats(mean, std, value_range=value_range)
    with pytest.raises(ValueError, match=r"not statistics of values in -80..0"):
        Normalize([3.0], [12.0], value_range=(-80, 0))


def test_healthy_statistics_are_taken():
    for stats in (imagenet_stats, cifar_stats, mnist_stats, ([0.5] * 3, [0.5] * 3), ([0.0], [1.0]), ([-0.03], [0.9]), (0.5, 0.25)):
        lists = [s if isinstance(s, list) else [s] for s in stats]
        for norm in (Normalize(*stats), Normalize.from_stats(*lists)):
            assert torch.allclose(torch.stack([norm.mean.flatten(), norm.std.flatten()]), torch.tensor(lists))


def test_what_was_measured_on_other_values_is_saved_and_loaded():
    norm = Normalize()
    norm.mean, norm.std = torch.full((1, 1, 1, 1), 120.0), torch.full((1, 1, 1, 1), 60.0)         # as `setups` leaves them
    made = Builder()(Describer()(norm))
    assert torch.equal(made.mean, norm.mean) and torch.equal(made.std, norm.std)
