"Images whose grey levels are lost on the way are named, and what the advice says keeps them."
import numpy as np
import pytest
from PIL import Image

from minifast.checks.check_loaders import check_loaders
from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImageBW, ToTensor
from minifast.vision.loaders import ImageDataLoaders

RNG = np.random.default_rng(0)


def verdict(dls):
    with np.errstate(all="ignore"):
        return check_loaders(dls, fast=True)["MF808"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    for i in range(12):
        Image.fromarray(RNG.integers(0, 4096, (20, 20)).astype(np.uint16)).save(folder / f"{'ab'[i % 2]}_{i}.png")
    return sorted(folder.iterdir())


def test_twelve_bits_of_sixteen(files):
    def loaders(**kwargs):
        return ImageDataLoaders.from_name_func(".", files, lambda name: name[0], bs=4, num_workers=0, img_cls=PILImageBW, **kwargs)

    found = verdict(loaders(value_range=(0, 65535)))
    assert found.verdict == "issue" and "go from 0 to 16 of 0..255: most grey levels are lost" in found.found
    assert "ImageBlock" in found.advice and verdict(loaders()).verdict != "issue"
    bare = Datasets(files, [[PILImageBW.create], [lambda f: f.name[0], Categorize()]], splits=[range(10), [10, 11]])
    assert verdict(bare.dataloaders(bs=4, num_workers=0, after_item=[ToTensor()])).verdict == "issue"


def test_four_bits_in_bytes():
    arrays = [RNG.integers(0, 16, (20, 20), dtype=np.uint8) for _ in range(12)]

    def loaders(**kwargs):
        block = DataBlock((ImageBlock(PILImageBW, **kwargs), CategoryBlock), getters=[lambda p: p[0], lambda p: p[1]])
        return block.dataloaders(list(zip(arrays, "ab" * 6, strict=True)), bs=4, num_workers=0)

    found = verdict(loaders())
    assert found.verdict == "issue" and "value_range=(0, 15)" in found.advice
    assert verdict(loaders(value_range=(0, 15))).verdict != "issue"
