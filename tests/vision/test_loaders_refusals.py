"""What a loader of images refuses: normalising twice, test sets of items of several kinds, and tables whose files are not there."""
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision import tv_tensors

from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.pipeline import Pipeline
from minifast.data.rows import Rows
from minifast.data.splitters import IndexSplitter
from minifast.tabular.loaders import TabularDataLoaders
from minifast.vision.images import PILImage, TensorImage
from minifast.vision.learner import vision_learner
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.normalize import Normalize, imagenet_stats

TWICE = r"two transforms of this pipeline normalise, .* do it once more: Normalize\(.*\) and Normalize\(.*\)\. Keep one"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("shades")
    for kind in ("a", "b"):
        (root / kind).mkdir()
        for i in range(6):
            Image.new("RGB", (16, 16), (i * 30, 100 * (kind == "b"), 9)).save(root / kind / f"{i}.png")
    return get_image_files(root)


def loaders(files, **kwargs):
    return ImageDataLoaders.from_path_func(files[0].parents[1], files, parent_label, bs=4, num_workers=0, seed=0, device="cpu", **kwargs)


def test_normalising_twice(files):
    stats = Normalize.from_stats(*imagenet_stats)
    for tfms in ([stats, stats], [stats, Normalize.from_stats([0.5] * 3, [0.5] * 3)], [Normalize, Normalize()]):
        with pytest.raises(ValueError, match=TWICE):
            loaders(files, batch_tfms=tfms)
    dls = loaders(files, batch_tfms=stats)
    before = dls.valid.one_batch()[0]
    for add in (lambda: dls.add_tfms(Normalize(), "after_batch"), lambda: dls.with_tfms([Normalize()])):
        with pytest.raises(ValueError, match=TWICE):
            add()
    assert torch.equal(dls.valid.one_batch()[0], before)                      # the loaders stay as they were
    with pytest.raises(ValueError, match=TWICE):
        DataLoader(TensorDataset(torch.rand(4, 3, 8, 8)), bs=2, after_batch=[stats, stats])


def test_normalising_different_things(files):
    class Heat(tv_tensors.Image):
        pass

    class NormalizeHeat(Normalize):
        types = (Heat,)

    assert len(Pipeline([Normalize.from_stats(*imagenet_stats), NormalizeHeat.from_stats([0.5], [0.5])])) == 2
    with pytest.raises(ValueError, match="two transforms of this pipeline normalise"):
        Pipeline([NormalizeHeat.from_stats([0.5], [0.5]), NormalizeHeat.from_stats([0.1], [0.5])])


def test_a_learner_normalises_once(files, tmp_path):
    from torchvision import models
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "w.pth")
    for tfms in (None, Normalize, Normalize.from_stats([0.5] * 3, [0.5] * 3)):
        learn = vision_learner(loaders(files, batch_tfms=tfms), "squeezenet1_1", weights=tmp_path / "w.pth", normalize=True)
        learn.dls = loaders(files, batch_tfms=tfms)
        assert [sum(isinstance(t, Normalize) for t in dl.after_batch) for dl in learn.dls] == [1, 1]


def test_mixed_lists(files):
    dls = loaders(files)
    array, opened = np.asarray(Image.open(files[1])), PILImage.create(files[2])
    plain = [dls.test_dl([f]).one_batch()[0] for f in files[:3]]
    for items in ([files[0], array, opened], [opened, files[0], array], [array, opened, files[0]], [str(files[0]), opened, array]):
        got, = dls.test_dl(items).one_batch()
        order = {id(array): 1, id(opened): 2}
        assert torch.equal(got, torch.cat([plain[order.get(id(o), 0)] for o in items]))
    for items, which in (([files[0], 3], "sample of item 1, int 3"), ([3, files[0]], "sample of item 0, int 3"),
                         ([files[0], None], "sample of item 1, NoneType")):
        with pytest.raises(TypeError, match="PILImage.create takes a file name") as caught:
            list(dls.test_dl(items))
        assert which in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_no_list_at_all(files):
    with pytest.raises(TypeError, match="items must be a list, array or DataFrame; received dict of a=int 1"):
        loaders(files).test_dl({"a": 1})
    assert Rows([files[0], 1, files[1], TensorImage(torch.zeros(1, 1))]).first_of_each_type() == [0, 1, 3]
    assert Rows([]).first_of_each_type() == []


def test_names_where_tensors_are_known():
    dls = DataLoaders(DataLoader(TensorDataset(torch.rand(8, 4), torch.arange(8) % 2), bs=4), device="cpu")
    with pytest.raises(TypeError, match=r"test_dl: item 1 is str 'a\.png', but the training data are tensors in memory"):
        dls.test_dl([torch.rand(4), "a.png"])
    for wrong in ("a.png", {"x": 1}):
        with pytest.raises(TypeError, match=r"test_dl takes a dataset or a list of samples here"):
            dls.test_dl(wrong)
    assert len(dls.test_dl([(torch.rand(4), 1)])) == 1


def test_which_row_is_none():
    df = pd.DataFrame({"a": np.arange(20.0), "b": list("xy") * 10, "y": np.arange(20.0)})
    dls = TabularDataLoaders.from_df(df, y_names="y", bs=4)
    with pytest.raises(TypeError, match=r"rows are dicts or Series with the columns of the training data; received item 1, int 3"):
        dls.test_dl([{"a": 1.0, "b": "x"}, 3])


# -- tables of files ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def table(files):
    return pd.DataFrame({"f": [f"{f.parent.name}/{f.name}" for f in files], "y": [f.parent.name for f in files]})


def from_df(df, files, **kwargs):
    return ImageDataLoaders.from_df(df, files[0].parents[1], bs=4, num_workers=0, device="cpu", **kwargs)


def test_frames_of_polars(files, table):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    assert list(from_df(polars.DataFrame(table.to_dict("list")), files, valid_pct=0.5).vocab) == ["a", "b"]


def test_files_that_are_not_there_may_be_skipped(files, table):
    gone = pd.concat([pd.DataFrame({"f": [f"gone{i}.png" for i in range(5)], "y": ["a"] * 5}), table])
    with pytest.raises(FileNotFoundError, match=r"gone0\.png', which the column 'f' names first"):
        from_df(gone, files)
    from_df(gone, files, on_error="skip")


def test_the_folder_between_is_found(files, table, tmp_path):
    (tmp_path / "images").symlink_to(files[0].parents[1])
    with pytest.raises(FileNotFoundError, match="write folder='images'"):
        ImageDataLoaders.from_df(table, tmp_path)
    assert ImageDataLoaders.from_df(table, tmp_path, folder="images", num_workers=0).train.n


def test_labels_of_nullable_fractions(files, table):
    for first, problem in ((1.0, "have no label"), (1.5, "targets of the training set are missing")):
        y = pd.array([None, first, *[2.0] * (len(table) - 2)], dtype="Float64")
        with pytest.warns(UserWarning) if first == 1.5 else nullcontext(), pytest.raises(ValueError, match=problem):
            from_df(table.assign(y=y), files, splitter=IndexSplitter([5]))


def test_a_class_of_images_with_a_static_create(files, table):
    class Own(PILImage):
        @staticmethod
        def create(fn):
            return PILImage.create(fn)
    assert from_df(table, files, img_cls=Own).one_batch()[0].shape[0] == 4


def test_a_file_read_with_another_delimiter(files, table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False, sep=";")
    folder = str(files[0].parents[1])
    for columns in ({}, {"label_col": [1, 2]}, {"fn_col": 3, "label_col": 0}, {"label_col": "y"}):
        with pytest.raises(KeyError, match=r"there is no column .* Columns: f;y\. Read the file with delimiter=';'"):
            ImageDataLoaders.from_csv(tmp_path, "t.csv", folder=folder, **columns)
    assert ImageDataLoaders.from_csv(tmp_path, "t.csv", folder=folder, delimiter=";", num_workers=0).vocab == ["a", "b"]
