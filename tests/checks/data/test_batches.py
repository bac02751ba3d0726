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
