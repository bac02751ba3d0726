"Rows S93 to S98: leaks and pixels in a report, and labels of which there is one, or none."
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from minifast.checks.check_loaders import check_loaders
from minifast.data.categories import MultiCategorize
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.tabular.loaders import TabularDataLoaders
from minifast.vision.loaders import ImageDataLoaders


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("labels")
    for i in range(8):
        Image.new("RGB", (8, 8), (i * 20, 0, 0)).save(root / f"{i}.png")
    return sorted(root.iterdir())


def leak_of(target, n_columns):
    r = np.random.default_rng(0)
    df = pd.DataFrame(r.normal(size=(len(target), n_columns)), columns=[f"c{j}" for j in range(n_columns)])
    df["case"], df["y"] = r.normal(size=len(target)) + 5 * target, np.where(target, "fraud", "fine")
    return check_loaders(TabularDataLoaders.from_df(df, y_names="y", device="cpu"), fast=True)["MF821"]


def test_s93_a_leak_of_a_rare_target():
    """A column that gives a rare target away.

    Elsewhere: its accuracy is compared with that of always saying "fine", which is 98 %, so that the best column looks hardly better than
    none.
    Here: `dls.check()` compares by AUC, and of several classes by balanced accuracy: "the column 'case' alone tells 'fraud' from 'fine'
    with AUC ...".
    """
    found = leak_of(np.random.default_rng(1).random(2000) < 0.02, 3)
    assert found.verdict == "issue" and found.items == ["case"]


def test_s94_a_leak_in_a_wide_table():
    """A column that gives the target away, among hundreds.

    Elsewhere: wide tables are not looked at, as each column would take its time.
    Here: the columns are ranked, whatever their number, and the most telling ones are tried.
    """
    found = leak_of(np.arange(300) % 2 == 0, 450)
    assert found.verdict == "issue" and found.items == ["case"]


def test_s95_raw_pixels_are_not_normalised():
    """Pixels from 0 to 1 that nothing normalises.

    Elsewhere: a mean of 0.5 and a standard deviation of 0.3 pass for normalised.
    Here: `dls.check()` compares with 0 and 1, says what it found, and that pretrained learners normalise such pixels themselves, which
    `learn.check()` looks at; inputs with a mean of 0.46 that are no pixels get a tip.
    """
    def verdict(x):
        dl = DataLoader(TensorDataset(x, torch.arange(len(x)) % 2), bs=16)
        return check_loaders(DataLoaders(dl, dl), fast=True)["MF832"].verdict
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert verdict(x) == "not applicable" and verdict((x - x.mean()) / x.std()) == "pass" and verdict(0.1 * x + 0.456) != "pass"


def test_s96_one_class(files):
    """A function of labels that gives every item the same.

    Elsewhere: the accuracy is 100 % from the first epoch on, and nothing says why.
    Here: a warning when the data are made: "every training item (7) has the label 'a': there is nothing to tell apart, and any model is
    right".
    """
    with pytest.warns(UserWarning, match="there is nothing to tell apart, and any model is right"):
        ImageDataLoaders.from_lists(files[0].parent, files, ["a"] * 8, bs=2, num_workers=0)


def test_s97_a_missing_label_among_several():
    """Several label columns, some of them empty.

    Elsewhere: the empty cells become a class of their own, called nan.
    Here: a missing label among several is none.
    """
    t = MultiCategorize()
    t.setup([["a", None], ["b", float("nan")]])
    assert t.vocab == ["a", "b"] and t(["b", float("nan")]).tolist() == [1]


def test_s98_fractions_are_no_classes(files):
    """A label column of prices or scores.

    Elsewhere: each value is a class, with one or two items.
    Here: a column with fractions is taken for numbers to predict, with a word: "for classes write y_block=CategoryBlock".
    """
    df = pd.DataFrame({"file": [f.name for f in files], "score": np.linspace(0, 1, 8)})
    with pytest.warns(UserWarning, match="they are taken for numbers to predict; for classes write y_block=CategoryBlock"):
        dls = ImageDataLoaders.from_df(df, files[0].parent, bs=2, num_workers=0)
    assert dls.c == 1 and dls.one_batch()[1].is_floating_point()
