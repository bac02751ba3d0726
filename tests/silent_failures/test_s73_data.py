"""Rows S73 to S77 of docs/silent-failures.md: labels, splits and transforms as people give them."""
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from minifast.data.block import CategoryBlock, MultiCategoryBlock
from minifast.nn.losses import BCEWithLogitsLossFlat
from minifast.tabular.loaders import TabularDataLoaders
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.blocks import MaskBlock
from minifast.vision.loaders import ImageDataLoaders


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("x-rays")
    for i in range(12):
        Image.new("RGB", (8, 8), (i * 20, 0, 0)).save(root / f"{i}.png")
    return sorted(root.iterdir())


def dls_of(files, labels, **kwargs):
    return ImageDataLoaders.from_lists(files[0].parent, files, labels, bs=4, num_workers=0, device="cpu", **kwargs)


def test_s73_columns_and_lists_of_zeros_and_ones_are_not_labels(files):
    """Label columns that say which classes apply.

    Elsewhere: the values of columns such as Edema = 1., 0. or -1. become three classes called -1.0, 0.0 and 1.0; lists of zeros and ones
    become the classes 0 and 1, or numbers to predict.
    Here: columns of 0 and 1 are the classes, under their names; another value is refused: "'Edema' holds -1 in 3 rows: columns that are
    the classes themselves hold 1 or 0". Lists of zeros and ones need the names of the classes, `vocab=[...]`.
    """
    df = pd.DataFrame({"file": [f.name for f in files], "Edema": [1.0, 0.0, -1.0, 0.0] * 3, "Nodule": [0.0, 1.0, 1.0, 0.0] * 3})
    with pytest.raises(ValueError, match="'Edema' holds -1 in 3 rows: columns that are the classes themselves hold 1 or 0"):
        ImageDataLoaders.from_df(df, files[0].parent, label_col=["Edema", "Nodule"])
    dls = ImageDataLoaders.from_df(df.assign(Edema=1.0), files[0].parent, label_col=["Edema", "Nodule"], bs=4, num_workers=0)
    assert dls.vocab == ["Edema", "Nodule"] and isinstance(dls.loss_func, BCEWithLogitsLossFlat)
    for labels in ([[0, 1, 0], [0, 0, 0]] * 6, [["no", "yes", "no"], ["no", "no", "no"]] * 6):
        with pytest.raises(ValueError, match="each label is a list of 3 values that are all"):
            dls_of(files, labels)


def test_s74_several_targets_of_zeros_and_ones_get_a_note():
    """Several target columns of zeros and ones in a table.

    Elsewhere: they are numbers, so they are trained as a regression, and nothing says so.
    Here: a note says what they were taken for and what else to write, `y_block=MultiCategoryBlock(encoded=True)`.
    """
    df = pd.DataFrame({"x": np.linspace(0, 1, 40), "flu": [0, 1] * 20, "cold": [0, 1, 1, 0] * 10})
    with pytest.warns(UserWarning, match="the targets 'flu', 'cold' hold zeros and ones: taken for numbers to predict"):
        TabularDataLoaders.from_df(df, cont_names="x", y_names=["flu", "cold"], bs=8)
    dls = TabularDataLoaders.from_df(df, cont_names="x", y_names=["flu", "cold"], y_block=MultiCategoryBlock(encoded=True), bs=8)
    assert isinstance(dls.loss_func, BCEWithLogitsLossFlat)


def test_s75_labels_of_rows_are_no_positions():
    """Validation rows given by the index of a shuffled frame.

    Elsewhere: `df.index[df.year >= 2011]` is read as positions, and other rows are for validation, from all years.
    Here: a pandas `Index` holds labels and a mask is a mask, as in pandas; positions are numbers in a list or array.
    """
    df = pd.DataFrame({"year": range(2000, 2020), "y": np.linspace(0, 1, 20)}).sample(frac=1, random_state=1)
    late = df.year >= 2015
    for valid_idx in (df.index[late], late, late.sort_index(), np.flatnonzero(late)):
        dls = TabularDataLoaders.from_df(df, cont_names="year", y_names="y", procs=[], valid_idx=valid_idx, bs=4)
        assert dls.valid.dataset.conts.year.min() == 2015 and len(dls.valid.dataset) == 5


def test_s76_what_has_no_order_cannot_number_the_classes(files):
    """A set, or a text, where names are wanted in order.

    Elsewhere: the order of a set of classes changes from run to run, and with it what each output means; `codes="bg fg"` becomes five
    classes of one letter.
    Here: both are refused, with what to write: "Write vocab=sorted(...)", "write codes=['bg', 'fg']"; so is a set of files.
    """
    with pytest.raises(TypeError, match=r"takes names in order, and a set has none: .* Write vocab=sorted\(\.\.\.\)"):
        CategoryBlock(vocab={"cat", "dog"})
    with pytest.raises(TypeError, match=r"read letter by letter; write codes=\['bg', 'fg'\]"):
        MaskBlock(codes="bg fg")
    with pytest.raises(TypeError, match="items must have an order, and a set has none"):
        ImageDataLoaders.from_path_func(files[0].parent, set(files), lambda f: "a")


def test_s77_a_function_that_makes_transforms_is_none(files):
    """`batch_tfms=aug_transforms`, without parentheses.

    Elsewhere: the function is taken for a transform of floats, of which an image has none: nothing is augmented.
    Here: refused when the data are built: "aug_transforms makes transforms and is not one itself: write aug_transforms()".
    """
    with pytest.raises(TypeError, match=r"aug_transforms makes transforms and is not one itself: write aug_transforms\(\)"):
        dls_of(files, ["a", "b"] * 6, batch_tfms=aug_transforms)
