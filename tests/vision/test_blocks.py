"Masks whose pixels are no class numbers: what is said, and what that leads to."
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from suggestions import told
from torch import nn

from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import AddMaskCodes, MaskBlock
from minifast.vision.images import PILMask
from minifast.vision.loaders import SegmentationDataLoaders

SHAPE = np.pad(np.ones((13, 13), np.uint8), ((5, 6), (7, 4)))


@pytest.fixture
def masks(tmp_path):
    "A function that writes four images with masks made by `f` of 0 and 1, and makes loaders of them."
    def loaders(f, ext="png", codes=("bg", "fg"), **kwargs):
        for i in range(4):
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
            Image.fromarray(f(SHAPE)).save(tmp_path / f"mask{i}.{ext}", quality=80)
        return SegmentationDataLoaders.from_label_func(
            tmp_path, [tmp_path / f"{i}.png" for i in range(4)], lambda f: tmp_path / f"mask{f.stem}.{ext}", codes=codes, bs=3,
            num_workers=0, **kwargs)
    return loaders


def fit(dls):
    learn = Learner(dls, nn.Conv2d(3, 2, 3, padding=1))
    with learn.no_logging():
        learn.fit(1)
    return learn


def targets(dls):
    return dls.one_batch()[1].unique().tolist()


def test_black_and_white_masks(masks, tmp_path):
    def white(a):
        return a * 255

    with told("vision/blocks.py", "If … is …, write values=[0, …] beside codes; if it marks pixels that do not count, ignore_index=…"):
        fit(masks(white))
    learn = fit(masks(white, values=[0, 255]))
    assert targets(learn.dls) == [0, 1] and learn.dls.one_batch()[1].float().mean() == pytest.approx(SHAPE.mean())
    with told("vision/blocks.py", "leaves out all but …, so that nothing is learned. If …", "is …, write values=[0, …]"):
        masks(white, ignore_index=255)
    with told("callbacks/first_batch.py", "write MaskBlock(codes, values=[0, …])"):
        fit(masks(white, codes=None))
    fit(masks(white, values=[0, 255]))
    learn.export(tmp_path / "l.pkl")
    assert list(load_learner(tmp_path / "l.pkl").dls.vocab) == ["bg", "fg"]


def test_masks_kept_as_jpeg(masks):
    def white(a):
        return a * 255

    with told("vision/blocks.py", "and JPEG or resizing left values between, write values=[0, …], nearest=True beside codes"):
        fit(masks(white, "jpg"))
    with told("vision/blocks.py", "Where JPEG or resizing left values between those of the codes, write nearest=True"):
        fit(masks(white, "jpg", values=[0, 255]))
    dls = masks(white, "jpg", values=[0, 255], nearest=True)
    assert targets(dls) == [0, 1] and np.array_equal(dls.valid.dataset[0][1], SHAPE)
    fit(dls)


def test_void_and_healthy_masks_are_taken_as_they_are(masks):
    def void(a):
        return np.where(np.arange(24) < 2, 255, a).astype(np.uint8)

    with told("vision/blocks.py", "Name them in codes, or write MaskBlock(codes, ignore_index=…) if that marks pixels that do not count"):
        fit(masks(void))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert targets(fit(masks(void, ignore_index=255)).dls) == [0, 1, 255]
        assert targets(fit(masks(lambda a: a)).dls) == [0, 1]


def test_masks_smaller_than_their_images(masks):
    with told("callbacks/first_batch.py", "Correct the files of the masks, or make both one size, item_tfms=Resize(…)"):
        fit(masks(lambda a: a[::2, ::2]))
    with pytest.raises(ValueError, match=r"targets int64\[3,12,12\].*see .*mask\d.png"):
        fit(masks(lambda a: a[::2, ::2]))
    fit(masks(lambda a: a[::2, ::2], item_tfms=Resize((24, 24))))


def test_values_of_codes():
    two = ["a", "b"]
    for wrong in ({"values": [0, 255]}, {"codes": two, "values": [0]}, {"codes": two, "values": [0, 300]}, {"codes": two, "values": [7, 7]},
                  {"codes": two, "values": [0, 255], "ignore_index": 255}):
        with told("vision/blocks.py", "such as values=[0, 255] for two codes"):
            MaskBlock(**wrong)
        MaskBlock(two, values=[0, 255])
    with told("vision/blocks.py", "is for pixels between the values of the codes: give them, such as values=[0, 255]"):
        MaskBlock(two, nearest=True)
    MaskBlock(two, values=[0, 255], nearest=True)
    mask = PILMask.create(np.array([[10, 20, 99, 14]], np.uint8))
    assert np.asarray(AddMaskCodes(two, 99, [20, 10], nearest=True).encodes(mask)).tolist() == [[1, 0, 99, 1]]
    exact = AddMaskCodes(two, 99, [20, 10])
    assert exact.recipe.args == {"codes": ["a", "b"], "ignore_index": 99, "values": [20, 10], "nearest": False}
    with pytest.raises(ValueError, match=r"holds the values 14, which are not among values=\[20, 10\]"):
        exact.encodes(mask)
    assert torch.equal(exact.encodes(PILMask.create(np.array([[10, 20, 99]], np.uint8))).to_tensor(), torch.tensor([[1, 0, 99]]).byte())


def test_void_alone_beside_the_first_of_several_classes(masks, recwarn):
    def white(a):
        return a * 255

    with told("vision/blocks.py", "stands for one of the others, write values=[0, ...], the value of the pixels of each of the … codes"):
        masks(white, codes=["bg", "cat", "dog"], ignore_index=255)
    masks(white, codes=["bg", "cat", "dog"], values=[0, 255, 1])
    for void in (-100, 300):                    # no value of a pixel
        masks(lambda a: a, ignore_index=void)
    assert not recwarn.list


def test_a_rare_class_is_looked_for_in_all_masks(recwarn):
    blank, rare = (Image.fromarray(np.array([[0, 255, last]], np.uint8)) for last in (0, 1))
    AddMaskCodes(["dry", "flood"], ignore_index=255).setups([blank] * 40 + [rare])
    assert not recwarn.list
    with pytest.warns(UserWarning, match="masks hold 0 and 255 alone"):
        AddMaskCodes(["dry", "flood"], ignore_index=255).setups([blank] * 40)
