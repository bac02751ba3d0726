"""What is done in one go is what the transforms do one by one: the same draws, the same validation batches, nearly the same pixels."""
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from minifast.core.seeds import item_rng
from minifast.data.coords import KeyPoints
from minifast.data.dataloader import DataLoader
from minifast.data.pipeline import Pipeline
from minifast.data.transforms import Transform
from minifast.vision.augment.batch import (
    Brightness,
    Contrast,
    Flip,
    Grey,
    Hue,
    RandomErasing,
    RandomResizedCropGPU,
    Rotate,
    Saturation,
    Scale,
    Tint,
    Zoom,
    aug_transforms,
)
from minifast.vision.images import TensorImage, TensorMask
from minifast.vision.normalize import FusedTransforms, IntToFloatTensor, Normalize, imagenet_stats, look_up
from minifast.vision.tta_geometry import recording

NORM = Normalize.from_stats(*imagenet_stats)


def images(n=6, h=40, w=52, c=3, channels_last=False):
    y, x = np.mgrid[:h, :w]
    a = np.stack([np.stack([128 + 100 * np.sin(x / 7 + i + k) * np.cos(y / 9) for k in range(c)]) for i in range(n)])
    t = torch.from_numpy(a.clip(0, 255).astype(np.uint8))
    return TensorImage(t.contiguous(memory_format=torch.channels_last) if channels_last else t)


SETS = {"nothing": [], "all": aug_transforms(), "zeros": aug_transforms(pad_mode="zeros"), "size": aug_transforms(size=24),
        "light": [Brightness(), Contrast()], "colour": aug_transforms(xtra_tfms=[Saturation(), Hue()]), "flip": [Flip(0.5)],
        "tint": aug_transforms(xtra_tfms=[Tint(), Scale()]), "grey": aug_transforms(xtra_tfms=[Grey(0.5), Tint(), Saturation()]),
        "crop": [RandomResizedCropGPU(20)], "same": aug_transforms(batch=True), "rotate": [Rotate(30, p=1.0), Zoom(0.8, 1.2, p=1.0)],
        "bicubic": aug_transforms(mode="bicubic"), "grow": aug_transforms(size=(80, 99))}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("normalize", [True, False])
def test_the_same_as_one_by_one(name, normalize):
    tfms = [IntToFloatTensor(), *SETS[name], *([NORM] if normalize else [])]
    for split_idx in (0, 1):
        plain = Pipeline(tfms, split_idx)
        fused = plain.fused()
        assert len(fused) < len(plain) or len(plain) == 1
        for channels_last in (False, True):
            x = images(channels_last=channels_last)
            before = x.clone()
            one, two = plain((x, 3), item_rng(5)), fused((x, 3), item_rng(5))
            assert type(two[0]) is TensorImage and two[1] == 3 and two[0].shape == one[0].shape and two[0].is_contiguous()
            assert torch.equal(x, before)
            off = (one[0] - two[0]).abs().mean() * 255 * (0.225 if normalize else 1)
            assert off < 1.0
            if split_idx == 1 and name not in ("size", "grow", "crop"):
                assert torch.equal(one[0], two[0])                       # to the last bit
    assert fused(images(), item_rng(1)).shape == plain(images(), item_rng(1)).shape           # a lone batch, not in a tuple


def test_masks_points_floats_and_grey_pictures_go_along():
    tfms = [IntToFloatTensor(), *aug_transforms(), NORM]
    plain, fused = Pipeline(tfms, 0), Pipeline(tfms, 0).fused()
    mask = TensorMask(torch.arange(6 * 40 * 52).view(6, 40, 52) % 5).to(torch.uint8)
    points = KeyPoints(torch.rand(6, 4, 2) * 40, canvas_size=(40, 52))
    x = images(), TensorMask(mask), points, torch.arange(6)
    one, two = plain(x, item_rng(2)), fused(x, item_rng(2))
    assert torch.equal(one[1], two[1]) and two[1].dtype == torch.int64 and isinstance(two[1], TensorMask)
    assert torch.allclose(one[2].as_subclass(torch.Tensor), two[2].as_subclass(torch.Tensor)) and torch.equal(one[3], two[3])
    floats = TensorImage(images() / 255)
    assert torch.equal(plain((floats, 1), item_rng(2))[0], fused((floats, 1), item_rng(2))[0])
    grey = Pipeline([IntToFloatTensor(), *aug_transforms(), Normalize([0.4], [0.2])], 0)
    one, two = grey(images(c=1), item_rng(2)), grey.fused()(images(c=1), item_rng(2))
    assert two.shape == (6, 1, 40, 52) and (one - two).abs().mean() * 51 < 1
    with pytest.raises(ValueError, match="statistics for 3 channels"):
        fused(images(c=1), item_rng(2))


def test_what_is_joined():
    def kinds(tfms):
        return [type(f).__name__ for f in Pipeline(tfms, 0).fused()]
    own = Transform(lambda x: x, order=35)
    assert kinds([IntToFloatTensor(), *aug_transforms(), NORM, RandomErasing()]) == ["FusedTransforms", "RandomErasing"]
    assert kinds([IntToFloatTensor(), *aug_transforms(), NORM, own]) == ["FusedTransforms", "Transform", "Lighting", "Normalize"]
    assert kinds([IntToFloatTensor()]) == ["IntToFloatTensor"] and kinds([NORM]) == ["Normalize"]
    assert kinds([IntToFloatTensor(), *aug_transforms(mode="nearest"), NORM]) == ["FusedTransforms"]
    assert repr(Pipeline([IntToFloatTensor(), NORM]).fused()[0]).startswith("FusedTransforms(IntToFloatTensor(")


def test_the_loader_uses_it():
    class Ds(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            return TensorImage(images(12)[i]), i

    dl = DataLoader(Ds(), bs=6, device="cpu", split_idx=0, seed=1,
                    after_batch=[IntToFloatTensor(), *aug_transforms(), NORM])
    assert [type(f).__name__ for f in dl.after_batch] == ["IntToFloatTensor", "AffineWarp", "Lighting", "Normalize"]
    first = [x.clone() for x, _ in dl]
    assert isinstance(dl.after_batch.fused()[0], FusedTransforms) and first[0].shape == (6, 3, 40, 52)
    dl.epoch = 0
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, dl, strict=True))           # also the first batch, which is looked at closely
    dl.epoch = 0
    with recording(dl) as record:
        list(dl)
    assert len(record) == 2
    assert (dl.decode_batch((first[0], torch.arange(6)))[0][0] >= 0).all()


def test_look_up():
    x = torch.randint(0, 256, (5, 3, 7, 9), dtype=torch.uint8)
    table = torch.rand(5, 3, 256)
    expected = torch.stack([torch.stack([table[i, c][x[i, c].long()] for c in range(3)]) for i in range(5)])
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(look_up(table, x.contiguous(memory_format=layout)), expected)
    assert torch.equal(look_up(table[:1, :1], x), table[0, 0][x.long()])
    assert isinstance(tv_tensors.Image(x), TensorImage)
