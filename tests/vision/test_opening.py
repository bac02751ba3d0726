"One scale of brightness for a data set: found once, the same wherever an image is opened."
import numpy as np
import pytest
import torch
from PIL import Image
from suggestions import told
from torch import nn

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.splitters import IndexSplitter
from minifast.data.transforms import ItemTransform
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.learner.predictor import Predictor
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage, PILImageBW, UnreadableImage
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.opening import OpenImage

TWELVE = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "12 bits in 16-bit files: the first is the whole ramp, the others darker ones."
    folder = tmp_path_factory.mktemp("deep")
    for i in range(8):
        Image.fromarray(TWELVE // (1 + i)).save(folder / f"{'ab'[i % 2]}{i}.png")
    return sorted(folder.iterdir())


def block(splits=(6, 7), **kwargs):
    return DataBlock((ImageBlock(PILImageBW, **kwargs), CategoryBlock), get_y=lambda f: f.name[0] if hasattr(f, "name") else "a",
                     splitter=IndexSplitter(list(splits)))


def test_twelve_bits_keep_their_levels_everywhere(files, tmp_path):
    dls = block().dataloaders(files, bs=6, num_workers=0)
    x = dls.train.new(shuffle=False).one_batch()[0]
    assert len(x[0].unique()) == 256 and x[1].max() == pytest.approx(1 / 3, abs=0.01)        # the darker stays darker
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), path=tmp_path)
    wanted = learn.get_preds(dl=dls.test_dl(files[:1]))[0][0]
    learn.export("l.pkl")
    loaded = load_learner(tmp_path / "l.pkl")
    with Image.open(files[0]) as opened:
        for item in (files[0], files[0].read_bytes(), TWELVE, opened):
            for found in (learn.predict(item)[2], loaded.predict(item)[2], Predictor(tmp_path / "l.pkl").predict(item).probs):
                assert torch.equal(found, wanted)
    with pytest.raises(UnreadableImage, match="5000, but black is 0 and white 4095 by the first look at other images"):
        learn.predict(np.full((16, 16), 5000, np.uint16))
    loaded.export("again.pkl")
    assert torch.equal(load_learner(tmp_path / "again.pkl").predict(files[0])[2], wanted)


def test_the_scale_is_of_training_images_and_said(files, capsys):
    darker = block(splits=(0,))
    darker.summary(files, bs=2)
    assert ("integers 0..4095 become black..white: found in 7 of the training images, whose values go from 0 to 2047. value_range= sets it"
            in capsys.readouterr().out)
    block(value_range=(0, 2000)).summary(files, bs=2)
    assert ("0..2000 becomes black..white, as value_range= says; the pixels of this image go from 0 to 4095: what is beyond is cut off"
            in capsys.readouterr().out)
    one = darker.dataloaders(files, bs=2, num_workers=0), darker.dataloaders([f for f in files for _ in range(2)], bs=2, num_workers=0)
    assert [d.train_ds.pipelines[0].fs[0].found for d in one] == [{"integers": (0, 4095)}] * 2 and not darker.blocks[0].type_tfms[0].found


def test_arrays_with_another_scale(files):
    arrays = [TWELVE.astype(np.float32) / 16.06 for _ in range(8)]                            # floats in 0..255
    x = block().dataloaders(arrays, bs=6, num_workers=0).one_batch()[0]
    assert len(x[0].unique()) > 250
    with told("vision/files/depth.py", "Say what is black and white in all images, value_range=(…, …)"):
        block().dataloaders([a - 100 for a in arrays], bs=6)
    x = block(value_range=(-100, 155)).dataloaders([a - 100 for a in arrays], bs=6, num_workers=0).one_batch()[0]
    assert len(x[0].unique()) > 250
    dls = ImageDataLoaders.from_lists(".", arrays, list("abababab"), value_range=(0, 510), bs=4, num_workers=0)
    assert dls.one_batch()[0].max() == pytest.approx(0.5, abs=0.01)


def test_bytes_are_opened_as_before(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    dls = block(splits=(1,)).dataloaders([tmp_path / "a.png"] * 3, bs=2, num_workers=0)
    tfm = dls.train_ds.pipelines[0].fs[0]
    assert tfm.encodes == PILImageBW.create and tfm.is_builtin and repr(tfm) == "create" and tfm.remark(tmp_path / "a.png") is None


def test_a_class_of_ones_own(files):
    class Fixed(PILImageBW):
        @classmethod
        def create(cls, fn):
            return super().create(fn, value_range=(0, 8190))

    dls = DataBlock((ImageBlock(Fixed), CategoryBlock), get_y=lambda f: f.name[0], splitter=IndexSplitter([1])).dataloaders(
        files, bs=7, num_workers=0)
    assert dls.one_batch()[0].max() == pytest.approx(0.5, abs=0.01) and not OpenImage(Fixed).is_builtin
    with told("vision/opening.py", "Give it that parameter, and pass it on: super().create(fn, value_range=value_range)"):
        ImageBlock(Fixed, value_range=(0, 4095))

    class Passing(PILImage):
        @classmethod
        def create(cls, fn, value_range=None):
            return super().create(fn, value_range=value_range)
    assert ImageBlock(Passing, value_range=(0, 4095)).type_tfms[0].encodes(TWELVE).getextrema()[0] == (0, 255)


def test_a_cache_keeps_each_scale(files, tmp_path):
    low, high = (block(value_range=(0, white)).dataloaders(files, bs=6, num_workers=0, cache=tmp_path) for white in (4095, 8190))
    for dls, top in ((low, 1), (high, 0.5), (low, 1)):
        assert dls.train.new(shuffle=False).one_batch()[0].max() == pytest.approx(top, abs=0.01)


def test_an_item_that_is_a_tuple_is_opened_as_a_whole(files):
    class Stacked(PILImage):
        @classmethod
        def create(cls, fns):
            return super().create(np.stack([np.asarray(Image.open(f)) // 257 for f in fns], -1).astype(np.uint8))

    for getters in ({"get_items": lambda files: [(f, f, f) for f in files]}, {"get_x": lambda f: (f, f, f)}):
        data = DataBlock((ImageBlock(Stacked), CategoryBlock), get_y=lambda o: (o[0] if isinstance(o, tuple) else o).name[0],
                         splitter=IndexSplitter([6, 7]), **getters)
        dls = data.dataloaders(files, bs=4, num_workers=0)
        assert dls.valid.one_batch()[0].shape == (2, 3, 16, 16)
    assert data.blocks[0].type_tfms[0].recipe.made_by is ItemTransform and data.blocks[0].type_tfms[0].at_validation().whole
