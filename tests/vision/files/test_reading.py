"""A table of pixel modes and file formats: what each becomes as a colour and as a grey image, through files and through training."""
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch import nn

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.labels import parent_label
from minifast.data.transforms import Transform
from minifast.learner.learner import Learner
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILBase, PILImage, PILImageBW, TensorImage
from minifast.vision.learner import vision_learner
from minifast.vision.models.backbones import create_vision_model
from minifast.vision.normalize import IntToFloatTensor

RED, GREEN, BLUE, DARK = (250, 10, 20), (10, 240, 30), (5, 15, 245), (40, 40, 40)
COLOURS = np.array([[RED, GREEN], [BLUE, DARK]], np.uint8).repeat(8, 0).repeat(8, 1)           # quarters of one colour each
GREY = np.array([[0, 90], [180, 255]], np.uint8).repeat(8, 0).repeat(8, 1)


def grey_of(rgb):
    return np.asarray(Image.fromarray(rgb).convert("L"))


def rgb_of(grey):
    return np.repeat(grey[..., None], 3, 2)


def with_alpha(rgb):
    "The last quarter is transparent, which is shown white."
    alpha = np.full((16, 16, 1), 255, np.uint8)
    alpha[8:, 8:] = 0
    shown = rgb.copy()
    shown[8:, 8:] = 255
    return np.concatenate([rgb, alpha], 2), shown


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


RGBA, ON_WHITE = with_alpha(COLOURS)
LA, GREY_ON_WHITE = with_alpha(rgb_of(GREY))
DEEP = GREY.astype(np.uint16) * 257

# name: (file ending, image, save arguments, the colours expected, greatest difference allowed)
CASES = {
    "RGB png": ("png", Image.fromarray(COLOURS), {}, COLOURS, 0),
    "RGB jpeg": ("jpg", Image.fromarray(COLOURS), {"quality": 98, "subsampling": 0}, COLOURS, 8),
    "RGB bmp": ("bmp", Image.fromarray(COLOURS), {}, COLOURS, 0),
    "RGB tiff": ("tif", Image.fromarray(COLOURS), {}, COLOURS, 0),
    "RGB webp": ("webp", Image.fromarray(COLOURS), {"lossless": True}, COLOURS, 0),
    "RGB gif": ("gif", Image.fromarray(COLOURS), {}, COLOURS, 0),
    "RGB ppm": ("ppm", Image.fromarray(COLOURS), {}, COLOURS, 0),
    "palette png": ("png", Image.fromarray(COLOURS).quantize(4), {}, COLOURS, 0),
    "palette gif": ("gif", Image.fromarray(COLOURS).quantize(4), {}, COLOURS, 0),
    "grey png": ("png", Image.fromarray(GREY), {}, rgb_of(GREY), 0),
    "grey jpeg": ("jpg", Image.fromarray(GREY), {"quality": 98}, rgb_of(GREY), 4),
    "1-bit png": ("png", Image.fromarray(GREY > 100), {}, rgb_of(np.where(GREY > 100, 255, 0).astype(np.uint8)), 0),
    "16-bit png": ("png", Image.fromarray(DEEP), {}, rgb_of(GREY), 0),
    "16-bit tiff": ("tif", Image.fromarray(DEEP), {}, rgb_of(GREY), 0),
    "32-bit tiff": ("tif", Image.fromarray(DEEP.astype(np.int32)), {}, rgb_of(GREY), 0),
    "float tiff": ("tif", Image.fromarray((GREY / 255).astype(np.float32)), {}, rgb_of(GREY), 0),
    "CMYK jpeg": ("jpg", Image.fromarray(COLOURS).convert("CMYK"), {"quality": 98}, COLOURS, 24),
    "CMYK tiff": ("tif", Image.fromarray(COLOURS).convert("CMYK"), {}, COLOURS, 0),
    "RGBA png": ("png", Image.fromarray(RGBA), {}, ON_WHITE, 0),
    "RGBA webp": ("webp", Image.fromarray(RGBA), {"lossless": True, "exact": True}, ON_WHITE, 0),
    "LA png": ("png", Image.fromarray(LA[..., [0, 3]]), {}, GREY_ON_WHITE, 0),
    "YCbCr jpeg": ("jpg", Image.fromarray(COLOURS).convert("YCbCr"), {"quality": 98, "subsampling": 0}, COLOURS, 8),
    "animated gif": ("gif", Image.fromarray(COLOURS), {"save_all": True, "append_images": [Image.fromarray(255 - COLOURS)]}, COLOURS, 0),
    "animated webp": ("webp", Image.fromarray(COLOURS), {"save_all": True, "append_images": [Image.fromarray(255 - COLOURS)],
                                                         "lossless": True}, COLOURS, 0),
    **{f"EXIF {n} {end}": (end, Image.fromarray(COLOURS), {"exif": exif(n)}, turned, 0) for end in ("png", "webp") for n, turned in (
        (2, COLOURS[:, ::-1]), (3, COLOURS[::-1, ::-1]), (4, COLOURS[::-1]), (5, COLOURS.transpose(1, 0, 2)),
        (6, np.rot90(COLOURS, -1)), (7, np.rot90(COLOURS, 2).transpose(1, 0, 2)), (8, np.rot90(COLOURS)))},
}


def written(name, folder):
    end, im, options, expected, tolerance = CASES[name]
    if end == "webp" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    if end == "webp" and "exif" in options:
        options = {**options, "lossless": True}
    file = folder / f"{name.replace(' ', '_')}.{end}"
    im.save(file, **options)
    return file, expected, tolerance


@pytest.mark.parametrize("name", CASES)
def test_each_decodes_right(name, tmp_path):
    file, expected, tolerance = written(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in (file, str(file), file.read_bytes()):
            colour, grey = PILImage.create(source), PILImageBW.create(source)
            assert (colour.mode, grey.mode, type(colour), type(grey)) == ("RGB", "L", PILImage, PILImageBW)
            assert np.abs(np.asarray(colour).astype(int) - expected).max() <= tolerance
            assert np.abs(np.asarray(grey).astype(int) - grey_of(np.ascontiguousarray(expected))).max() <= max(tolerance, 1)


def test_all_of_them_in_one_batch(tmp_path):
    "Whatever their modes, one batch is made of them, and a model trains on it."
    for i, name in enumerate(CASES):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        written(name, folder)
    files = sorted(f for f in tmp_path.rglob("*") if f.is_file())
    for cls, channels in ((PILImage, 3), (PILImageBW, 1)):
        dls = DataBlock((ImageBlock(cls), CategoryBlock), get_y=parent_label, item_tfms=Resize(12)).dataloaders(
            files, bs=16, num_workers=0, device="cpu")
        x, _ = dls.one_batch()
        assert x.shape == (16, channels, 12, 12) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        learn = Learner(dls, nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
        learn.fit(1)
        assert np.isfinite(learn.validate()[0])


# -- other numbers of channels ----------------------------------------------------------------------------------------------------

class PILImageRGBA(PILBase):
    "An image with its transparency as a fourth channel."
    pixel_mode = "RGBA"


def test_four_channels_of_ones_own(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(5):
            Image.fromarray(np.roll(RGBA, i, 0)).save(tmp_path / label / f"{i}.png")
    dls = DataBlock((ImageBlock(PILImageRGBA), CategoryBlock), get_y=parent_label, item_tfms=Resize(8)).dataloaders(
        sorted(tmp_path.rglob("*.png")), bs=4, num_workers=0, device="cpu")
    assert dls.one_batch()[0].shape == (4, 4, 8, 8)
    learn = vision_learner(dls, small_arch, pretrained=False, n_in=4)
    learn.fit(1)
    assert learn.get_preds()[0].shape == (2, 2)


def small_arch():
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=True), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


class OpenArray(Transform):
    "A saved array (C,H,W) of any number of channels, uint8, as an image."

    def encodes(self, f):
        return TensorImage(torch.from_numpy(np.load(f)))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_satellite_pictures(tmp_path, channels):
    "Arrays of more or fewer channels than a photo, opened by a transform of the user's."
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(5):
            np.save(tmp_path / label / f"{i}.npy", rng.integers(0, 256, (channels, 10, 10), dtype=np.uint8))
    images = TransformBlock(type_tfms=OpenArray(), batch_tfms=IntToFloatTensor())
    dls = DataBlock((images, CategoryBlock), get_y=parent_label).dataloaders(sorted(tmp_path.rglob("*.npy")), bs=4, num_workers=0,
                                                                              device="cpu")
    x, _ = dls.one_batch()
    assert x.shape == (4, channels, 10, 10) and x.max() <= 1
    learn = vision_learner(dls, small_arch, pretrained=False, n_in=channels)
    learn.fit(1)
    assert create_vision_model(small_arch, 2, pretrained=False, n_in=channels)(x).shape == (4, 2)
