"""Rows S16 to S26 of docs/silent-failures.md: labels, pictures, loaders, vocabularies and sequences."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.categories import CategoryMap
from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.sequences import PadSequences, pad_sequences
from minifast.data.splitters import IndexSplitter
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.tabular.all import Categorify, TabularDataLoaders, TabularPandas
from minifast.vision.augment.batch import Rotate
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage, PILImageBW
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.normalize import Normalize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "24 pictures in train and 8 in valid, wider than high: cats are red, dogs are blue."
    root = tmp_path_factory.mktemp("pets")
    for split, n in (("train", 12), ("valid", 4)):
        for kind, colour in (("cat", (200, 10, 10)), ("dog", (10, 10, 200))):
            (root / split / kind).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (40, 24), colour).save(root / split / kind / f"{kind}{i}.png")
    return root


def table(n=40, k=("a", "b")):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"k": rng.choice(k, n), "x": rng.normal(size=n), "y": ["no", "yes"] * (n // 2)})


def ids(n=24):
    return TensorDataset(torch.randn(n, 4, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 2)


@pytest.mark.parametrize("kind", [np.float32, np.float64, float, "after an int", "float32", "object", "Float64"])
def test_s16_the_kind_of_target_hangs_on_all_labels_and_not_on_their_width(folder, kind):
    """Inferring the kind of target from the labels.

    Elsewhere: the first label decides, by its exact type: 64-bit floats are numbers to predict, 32-bit floats become classes.
    Here: all labels are considered, and floats of any width are numbers.
    """
    values = [0.5, 1.5, 2.5, 3.25] * 8
    if kind in ("float32", "object", "Float64"):                        # the type of the column of a table
        dls = TabularDataLoaders.from_df(table().assign(y=pd.Series([1, 2, 3, 0.25] * 10, dtype=kind)), y_names="y")
    else:
        labels = [1, *values[1:]] if kind == "after an int" else [kind(v) for v in values]
        dls = ImageDataLoaders.from_lists(folder, get_image_files(folder), labels, item_tfms=Resize(16), bs=8, num_workers=0)
    assert isinstance(dls.loss_func, MSELossFlat) and dls.c == 1
    if kind == "object":
        mixed = TabularDataLoaders.from_df(table().assign(y=pd.Series([1, 2, "three", 2] * 10, dtype=object)), y_names="y")
        assert isinstance(mixed.loss_func, CrossEntropyLossFlat) and mixed.c == 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_s17_photos_are_turned_upright(tmp_path, name):
    """Photos taken with a rotated camera.

    Elsewhere: the orientation that the camera stored in the file is ignored, and such photos lie on their side.
    Here: every image is turned upright when it is opened, and that is what `show_batch` shows.
    """
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = 255                                                # left half white: above, once it is upright
    im = Image.fromarray(pixels)
    exif = im.getexif()
    exif[0x0112] = 6
    im.save(tmp_path / name, exif=exif)
    got = np.asarray(PILImage.create(tmp_path / name))
    assert got.shape == (60, 40, 3) and got[:25].min() > 200 and got[-25:].max() < 50


@pytest.mark.parametrize("cls", [PILImage, PILImageBW])
def test_s18_sixteen_bits_are_scaled_not_clipped(tmp_path, cls):
    """16-bit greyscale images.

    Elsewhere: values above 255 are clipped, so nearly the whole image is white.
    Here: they are scaled by their depth, 0..65535 becomes 0..255; numbers of unknown range that fit no depth are refused.
    """
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    got = np.asarray(cls.create(tmp_path / "deep.png"))
    assert np.array_equal(got if got.ndim == 2 else got[..., 0], np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_s19_cutting_off_the_ends_is_documented_and_said_by_summary(folder, capsys):
    """Cropping by resizing.

    Elsewhere: resizing crops the ends of the longer side, and whatever is at the edges, without mentioning it.
    Here: that is the default, too, but `DataBlock.summary` says how much: "of this image of 40x24 40% is cut off, left and right;
    method='squish' or 'pad' keeps everything".
    """
    block = DataBlock((ImageBlock(), CategoryBlock()), get_items=get_image_files, get_y=parent_label, splitter=IndexSplitter([0]),
                      item_tfms=Resize(24))
    block.summary(folder, bs=2, show_batch=False)
    assert "of this image of 40x24 40% is cut off, left and right; method='squish' or 'pad' keeps everything" in capsys.readouterr().out
    block.new(item_tfms=Resize(24, method="pad")).summary(folder, bs=2, show_batch=False)
    assert "cut off" not in capsys.readouterr().out
    assert "'squish' and 'pad' keep everything" in Resize.__doc__


@pytest.mark.parametrize(("call", "words"), [
    (lambda path: DataLoader(ids(), batch_sz=4, suffle=True), "batch_sz=int 4; did you mean 'batch_size'.*suffle=bool True; did you mean"),
    (lambda path: DataLoader(ids(), item_tfms=[]), "does not take item_tfms.*write after_item= here"),
    (lambda path: DataLoader(ids()).new(num_worker=2), "num_worker=int 2; did you mean 'num_workers'"),
    (lambda path: DataLoaders.from_dsets(ids(), ids(), batch_sz=4), "batch_sz=int 4"),
    (lambda path: ImageDataLoaders.from_folder(path, item_tfms=Resize(16), batch_sz=4), "batch_sz=int 4; did you mean 'batch_size'"),
    (lambda path: TabularDataLoaders.from_df(table(), y_names="y", item_tfms=[]), "item_tfms"),
    (lambda path: TabularPandas(table(), Categorify, ["k"], ["x"], "y").dataloaders(suffle=True), "suffle"),
], ids=["loader", "item_tfms", "new", "from_dsets", "pictures", "table", "dataloaders"])
def test_s20_a_misspelt_argument_is_refused(folder, call, words):
    """Misspelt loader arguments.

    Elsewhere: `batch_sz=`, `suffle=` or `num_worker=` are swallowed, and what was meant does not happen.
    Here: refused, all at once and with a suggestion: "batch_sz=int 4; did you mean 'batch_size'?".
    """
    with pytest.raises(TypeError, match=words):
        call(folder)


def test_s21_a_training_set_smaller_than_the_batch_is_trained_on_or_refused():
    """Fewer training items than the batch size.

    Elsewhere: the incomplete batch is dropped, so there is none: training runs without changing a weight, and the loss is NaN.
    Here: the batch is kept; with `drop_last=True` the data are refused: "the dataset is smaller than one batch".
    """
    learn = Learner(DataLoaders.from_dsets(ids(6), ids(6), bs=64), nn.Linear(4, 2), CrossEntropyLossFlat())
    before = learn.model.weight.clone()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert not torch.equal(before, learn.model.weight) and np.isfinite(learn.recorder.losses).all()
    for make in (lambda: DataLoader(ids(6), bs=64, shuffle=True, drop_last=True),
                 lambda: TabularDataLoaders.from_df(table(), y_names="y", bs=64, drop_last=True)):
        with pytest.raises(ValueError, match=r"smaller than one batch: drop_last=True with \d+ items and bs=64"):
            make()


@pytest.mark.parametrize(("n", "batches"), [(40, [16, 16, 8]), (33, [16, 16]), (34, [16, 16, 2]), (1, [1])])
def test_s22_no_training_item_is_dropped_but_a_single_one(n, batches):
    """The last, incomplete batch.

    Elsewhere: it is dropped in training, up to a batch size minus one items per epoch.
    Here: it is trained on. Only a single left-over item is dropped, because batch norm cannot train on it, and only in training.
    """
    to = TabularPandas(table(n + n % 2 + 8), [Categorify], ["k"], ["x"], "y", CategoryBlock(vocab=["no", "yes"]),
                       splits=(range(n), range(n, n + 8)))
    for dls in (to.dataloaders(bs=16, val_bs=7), DataLoaders.from_dsets(ids(n), ids(8), bs=16, val_bs=7)):
        assert [len(b[0]) for b in dls.train] == batches and [len(b[0]) for b in dls.valid] == [7, 1]


def test_s23_looking_up_what_is_unknown_leaves_the_vocabulary_as_it_is():
    """Looking up unknown words and categories.

    Elsewhere: the vocabulary is a dictionary that adds an entry for everything it is asked for: in a server it grows without bound.
    Here: a vocabulary never changes; unknown values get id 0 if there is one for them, otherwise an error that lists the classes.
    """
    classes = CategoryMap(["a", "b"], add_na=True)
    assert [classes.id_of(f"new{i}") for i in range(100)] == [0] * 100 and len(classes) == 3 and len(classes.o2i) == 3
    to = TabularPandas(table(), Categorify, ["k"], ["x"], "y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for i in range(50):
            to.new(table(2).assign(k=f"new{i}")).process()
            to.encode_row({"k": f"other{i}", "x": 0.0})
    assert list(to.classes["k"]) == ["#na#", "a", "b"]
    with pytest.raises(KeyError, match="the label 'maybe' is not one of the 2 known classes"):
        CategoryMap(["no", "yes"]).id_of("maybe")


def test_s24_weights_of_another_vocabulary_are_refused(tmp_path):
    """Weights of another vocabulary.

    Elsewhere: two vocabularies of the same size, such as the maximum, allow weights to be loaded for other words or classes without an
    error, and every row of the embedding stands for something else.
    Here: `learn.save` stores the vocabularies with the weights, and `learn.load` compares: "made with another vocabulary of the column
    'k'; 1 of 3 differ: 2 is 'b' in the file, 'c' here"; `check_vocab=False` loads them anyway.
    """
    def learner(df):
        dls = TabularDataLoaders.from_df(df, cat_names=["k"], cont_names=["x"], y_names="y", bs=8)
        return Learner(dls, nn.Embedding(3, 2), CrossEntropyLossFlat(), path=tmp_path)

    ours = learner(table(k=("a", "b")))
    ours.save("words")
    with pytest.raises(ValueError, match=r"made with another vocabulary of the column 'k'; 1 of 3 differ: 2 is 'b' in the file, 'c' here\. "
                                         r".*load\(..., check_vocab=False\)"):
        learner(table(k=("a", "c"))).load("words")
    with pytest.raises(ValueError, match=r"vocabulary of the target; 2 of 2 differ: 0 is 'no' in the file, 'off' here; 1 is 'yes'"):
        learner(table().replace({"no": "off", "yes": "on"})).load("words")
    more = learner(table(k=("a", "b", "c")))
    with pytest.raises(ValueError, match=r"the column 'k', which has 3 entries there and 4 here; 1 of 4 differ: 3 is nothing in the file"):
        more.load("words")
    other = learner(table(k=("a", "c"))).load("words", check_vocab=False)
    for loaded in (other, learner(table()).load("words"), more.load("words", strict=False)):
        assert torch.equal(loaded.model.weight, ours.model.weight)
    bare = Learner(DataLoaders.from_dsets(ids(), ids(), bs=8), nn.Embedding(3, 2), CrossEntropyLossFlat(), path=tmp_path)
    bare.load("words").save("bare")                                     # nothing to compare with
    learner(table(k=("a", "c"))).load("bare")


@pytest.mark.parametrize("workers", [0, 2])
def test_s25_what_is_cut_from_sequences_is_counted(workers):
    """Long sequences.

    Elsewhere: a long document is truncated, without saying how many documents that affects.
    Here: padding reports it: "2 of 4 sequences of this batch are longer than max_len=3 (the longest has 6) and were cut: the model does
    not see 4 elements of them"; `PadSequences.cut` counts over all batches.
    """
    documents = [[1, 2, 3, 4], [5], [6] * 6, [7, 8], [9]]
    with pytest.warns(UserWarning, match=r"2 of 4 sequences of this batch are longer than max_len=3 \(the longest has 6\) and were cut: "
                                         r"the model does not see 4 elements of them"):
        padded = pad_sequences(documents[:4], max_len=3)
    assert [o.tolist() for o in padded] == [[1, 2, 3], [5, 0, 0], [6, 6, 6], [7, 8, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [o.tolist() for o in pad_sequences(documents[3:], pad_value=1, pad_first=True)] == [[7, 8], [1, 9]]
    pad = PadSequences(max_len=3)
    dl = DataLoader([(torch.tensor(d), i) for i, d in enumerate(documents)], bs=2, before_batch=pad, num_workers=workers, device="cpu")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        shapes = [list(x.shape) for x, _ in dl] + [list(x.shape) for x, _ in dl]
    assert shapes == [[2, 3], [2, 3], [1, 1]] * 2
    assert pad.cut == {"sequences": 10, "cut": 4, "lost": 8, "longest": 6}
    ours = [str(w.message) for w in said if "max_len" in str(w.message)]
    assert workers or (len(ours) == 1 and ours[0].endswith("were cut: the model does not see 1 element of them. This is reported once; the "
                                                           "counts of all batches are in `.cut`"))


def test_s26_normalisation_is_measured_on_several_plain_batches(folder):
    """Measured normalisation statistics.

    Elsewhere: mean and standard deviation come from a single batch, and an augmented one at that.
    Here: `Normalize()` measures ten training batches, without augmentation.
    """
    dls = ImageDataLoaders.from_folder(folder, item_tfms=Resize(16), batch_tfms=[Normalize(), Rotate(45, p=1.0, pad_mode="zeros")], bs=2,
                                       num_workers=0)
    norm = dls.train.after_batch[-1]
    assert isinstance(norm, Normalize) and dls.valid.after_batch[-1] is norm
    seen = [x for x, _ in list(dls.train.new(shuffle=True, split_idx=1, seed=0, after_batch=dls.train.after_batch.fs[:1]))[:10]]
    assert norm.mean.flatten().tolist() == pytest.approx(torch.cat(seen).mean((0, 2, 3)).tolist(), abs=1e-5)      # no black corners in it
    assert norm.std.flatten().tolist() == pytest.approx(torch.cat(seen).std((0, 2, 3), correction=0).tolist(), abs=1e-5)
