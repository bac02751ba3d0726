"""Groups of files."""
import numpy as np
import pytest
from zoo import image_files, image_loaders, loaders, points

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.files import group_of, straddling
from minifast.vision.all import ImageDataLoaders, Resize


def test_groups_of_names():
    assert group_of("film3_0017.jpg") == "film3" and group_of("0001TP_006690.png") == "0001TP" and group_of("cat.12.jpg") == "cat"
    assert group_of("0017.jpg") is None and group_of("portrait.jpg") is None
    assert list(straddling(["a", "a", "b", None, None], [0, 1, 0, 0, 1])) == ["a"]


def test_groups_given_as_a_list_must_fit():
    x, y = points()
    dls = loaders(x, y)
    assert check_loaders(dls, fast=True, groups=list(range(240)))["MF805"].verdict == "pass"
    assert check_loaders(dls, fast=True, groups=[i % 100 for i in range(240)])["MF805"].verdict == "issue"
    with pytest.raises(ValueError, match="one group per item"):
        check_loaders(dls, groups=[1, 2])


def test_checks_of_texts_and_series_do_not_apply_to_images_of_which_some_are_broken(tmp_path):
    folder = image_files(tmp_path)
    (folder / "train" / "disc" / "broken.jpg").write_bytes(b"no image")
    report = check_loaders(image_loaders(folder, on_error="skip"), fast=True)
    assert report["MF801"].verdict == "issue" and report["MF831"].found == "needs MF801, which failed"
    elsewhere = [report[code] for code in ("MF836", "MF841", "MF842", "MF854", "MF859")]
    assert {c.verdict for c in elsewhere} == {"not applicable"}, elsewhere
    assert report["MF832"].verdict == "skipped"


def test_duplicates_can_be_shown(tmp_path):
    import shutil

    import matplotlib.pyplot as plt
    folder = image_files(tmp_path)
    shutil.copy(folder / "train" / "disc" / "disc_0000.jpg", folder / "valid" / "disc" / "copy.jpg")
    report = check_loaders(image_loaders(folder), fast=True)
    assert report.show("MF802") == 1 and report.show("MF804") == 0
    assert [ax.get_title().split("\n") for ax in plt.gcf().axes] == [["training", "disc/disc_0000.jpg"], ["validation", "disc/copy.jpg"]]
    assert plt.gcf()._suptitle.get_text() == "duplicates across splits"
    plt.close("all")


@pytest.mark.parametrize("names, verdict", [
    (["Abyssinian", "Bengal", "Birman", "beagle", "boxer", "pug"], "pass"),             # kinds of the two labels
    (["Cat1", "Cat2", "Cat3", "dog1", "dog2", "dog3"], "tip"),                          # animals, films, patients
    (["house", "garden", "street", "beach"], "tip")])                                   # with both labels in each
def test_kinds_within_the_labels_are_no_groups(tmp_path, names, verdict):
    from PIL import Image
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{name}_{i:02}.png" for name in names for i in range(10)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(file)

    def label(name):
        return name[0].isupper() if len(names) == 6 else int(name[-5]) % 2
    dls = ImageDataLoaders.from_name_func(tmp_path, files, label, item_tfms=Resize(24), bs=8)
    report = check_loaders(dls, fast=True)
    assert report["MF805"].verdict == verdict, report["MF805"]
