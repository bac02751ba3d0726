"""Batches as the model gets them."""
from zoo import image_files, image_loaders, loaders, points

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.batches import dataloaders_of
from minifast.checks.data.probe import DataProbe


def test_a_batch_can_be_shown_as_the_model_gets_it(tmp_path):
    import matplotlib.pyplot as plt
    report = check_loaders(image_loaders(image_files(tmp_path)), fast=True)
    assert report.show("MF832") == 1 and "as the model gets them" in plt.gcf()._suptitle.get_text()
    plt.close("all")


def test_both_probes_name_their_loaders():
    x, y = points()
    dls = loaders(x, y)
    assert dataloaders_of(DataProbe(dls)) is dls


def test_raw_pixels_are_not_ticked_as_normalised():
    import torch
    from zoo import convnet

    from minifast.checks.check_learner import check_learner
    from minifast.learner.learner import Learner
    result = check_loaders(loaders(torch.rand(120, 3, 8, 8), torch.arange(120) % 2, n_train=80), fast=True)["MF832"]
    assert result.verdict == "not applicable" and "learn.check()" in result.found
    x, y = points()
    assert check_loaders(loaders(x, y), fast=True)["MF832"].verdict == "pass"
    assert check_loaders(loaders(0.1 * x + 0.456, y), fast=True)["MF832"].verdict == "tip"
    pixels = torch.rand(120, 1, 16, 16) * 0.3 + 0.5
    learn = Learner(loaders(pixels, torch.arange(120) % 4, n_train=80), convnet(norm=None), torch.nn.CrossEntropyLoss())
    assert check_learner(learn, fast=True, ignore=[f"MF{n}" for n in (502, 503, 504, 701)])["MF107"].verdict == "tip"
