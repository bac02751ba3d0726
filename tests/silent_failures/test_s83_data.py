"Rows S83 to S85: the scale of pixels."
import numpy as np
import pytest
import torch
from PIL import Image

from minifast.data.block import CategoryBlock, DataBlock
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImageBW
from minifast.vision.loaders import SegmentationDataLoaders
from minifast.vision.normalize import Normalize


def test_s83_twelve_bits_in_sixteen_keep_their_levels(tmp_path):
    """Deep images that use a part of their range.

    Elsewhere: 12-bit values in 16-bit files keep 16 of 256 grey levels, or each image is scaled by its own maximum, so that brightness
    says nothing.
    Here: one scale for all images, from a first look at several of them or `value_range=`; `summary()` says it, values beyond it are
    refused by name, and an exported learner keeps it.
    """
    ramp = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    for i in range(6):
        Image.fromarray(ramp // (1 + i % 2)).save(tmp_path / f"{i}.png")
    block = DataBlock((ImageBlock(PILImageBW), CategoryBlock), get_y=lambda f: int(f.stem) % 2)
    x, y = block.dataloaders(sorted(tmp_path.iterdir()), bs=4, num_workers=0).one_batch()
    brightest = [len(image.unique()) for image, label in zip(x, y, strict=True) if label == 0]
    assert set(brightest) == {256} and torch.all(x[y == 1].amax((1, 2, 3)).sub(0.5).abs() < 0.01)


def test_s84_black_and_white_masks_are_not_void(tmp_path):
    """Masks of 0 and 255.

    Elsewhere: with `ignore_index=255`, which messages suggest, the background alone is left: the loss falls to 0 and the foreground is
    never predicted.
    Here: the message says that 255 may be the foreground, `values=[0, 255]` maps it, and `ignore_index=255` on such masks warns.
    """
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / f"{i}_mask.bmp")
    files = sorted(tmp_path.glob("*.png"))
    with pytest.warns(UserWarning, match="leaves out all but 'bg', so that nothing is learned"):
        SegmentationDataLoaders.from_label_func(tmp_path, files, lambda f: f.with_name(f"{f.stem}_mask.bmp"), codes=["bg", "fg"],
                                                ignore_index=255)


def test_s85_statistics_of_bytes_are_refused():
    """Statistics of pixels in 0..255 for pixels in 0..1.

    Elsewhere: all images become the same number, about -2, and training goes on.
    Here: `Normalize` refuses them and says the same statistics of 0..1.
    """
    with pytest.raises(ValueError, match=r"of pixels in 0..255.*write mean=\[0.485, 0.456, 0.406\]"):
        Normalize.from_stats([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
