"""Decoded images are kept at the size that is needed, within a budget, and only while file and transform are the same."""
import copy
import json
import os
import pickle
import sys
import warnings
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from minifast.core.seeds import set_seed
from minifast.data.block import DataBlock
from minifast.data.engine import cache as cache_module
from minifast.data.engine.cache import DiskCache, ImageCache, RamCache, current_cache, free_memory, make_cache, presizer
from minifast.data.pipeline import Pipeline
from minifast.vision.augment.item import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, RatioResize, Resize
from minifast.vision.blocks import ImageBlock, MaskBlock
from minifast.vision.files import lazy
from minifast.vision.images import PILImage, PILMask, ToTensor
from minifast.vision.loaders import ImageDataLoaders

N = 12


@contextmanager
def images_from(cache):
    "As within a loader that keeps images in `cache`."
    token = current_cache.set(cache)
    try:
        yield
    finally:
        current_cache.reset(token)


def photo(i, w=150, h=120):
    y, x = np.mgrid[:h, :w]
    a = np.stack([128 + 100 * np.sin(x / 17 + i), 128 + 100 * np.cos(y / 13), (x * 2 + y + 9 * i) % 256], -1)
    return a.clip(0, 255).astype(np.uint8)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "images").mkdir()
    names = [tmp_path / "images" / f"{'ab'[i % 2]}_{i:02}.{'png' if i == 5 else 'jpg'}" for i in range(N)]
    for i, f in enumerate(names):
        Image.fromarray(photo(i)).save(f)
    return names


@pytest.fixture
def decodes(monkeypatch):
    "How often a JPEG was decoded."
    calls = []

    def decode(*args):
        calls.append(args[4])
        return real(*args)
    real = lazy.decode
    monkeypatch.setattr(lazy, "decode", decode)
    return calls


def loaders(files, item_tfms, **kwargs):
    return ImageDataLoaders.from_name_func(".", files, lambda n: n[0], item_tfms=item_tfms, batch_tfms=[],
                                           **{"bs": 4, "device": "cpu", "num_workers": 0, "shuffle": True, **kwargs})


TRANSFORMS = [Resize(48), Resize(48, "squish"), Resize((40, 64), "pad"), RandomResizedCrop(32, min_scale=0.5), RandomResizedCrop(64),
              [Resize(100), RandomCrop(64)], RandomCrop(64), CropPad(64), [FlipItem(), Resize(48)], [DihedralItem(), Resize((32, 64))]]


@pytest.mark.slow
@pytest.mark.parametrize("tfms", TRANSFORMS, ids=repr)
@pytest.mark.parametrize("where", ["ram", "disk"])
def test_the_same_pictures_decoded_once(files, tmp_path, decodes, tfms, where, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    plain, cached = loaders(files, tfms), loaders(files, tfms, cache=where)
    for one, two in ((plain.train, cached.train), (plain.valid, cached.valid)):
        set_seed(1)
        expected = [list(one) for _ in range(3)]
        del decodes[:]
        set_seed(1)
        got = [list(two)]
        first = len(decodes)
        got += [list(two) for _ in range(2)]
        assert first <= len(two.dataset) + 1 and len(decodes) == first and two.cache.n == len(two.dataset) and not two.cache.full
        for a, b in zip(chain(*expected), chain(*got), strict=True):
            assert torch.equal(a[1], b[1]) and a[0].shape == b[0].shape and (a[0] - b[0]).abs().mean() * 255 < 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_any_workers(files, tmp_path):
    expected = None
    for where, n, kind in (("ram", 2, "thread"), (tmp_path / "c", 2, "thread"), (tmp_path / "c", 2, "process"),
                           (str(tmp_path / "d/"), 0, None)):
        dls = loaders(files, RandomResizedCrop(32), cache=where, num_workers=n, worker_type=kind)
        set_seed(2)
        got = [torch.cat([x for x, _ in dls.train]) for _ in range(2)]
        expected = expected or got
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert loaders(files, Resize(32), cache="ram", num_workers=None, bs=2).train.worker_type == "thread"


def test_what_is_kept_is_no_larger_than_needed():
    hw = 1200, 1600
    cases = [(Resize(224), 0, (224, 299)), (Resize(224), 1, (224, 299)), (Resize((100, 300)), 0, (225, 300)),
             (Resize(224, "squish"), 0, (224, 224)), (Resize(224, "pad"), 0, (168, 224)), (Resize(1300), 0, None),
             (RandomResizedCrop(224), 1, (256, 256)), (RatioResize(400), 0, (300, 400)), (RandomResizedCrop(900), 0, None)]
    for tfm, split, expected in cases:
        assert tfm.presize(hw, split) == expected, tfm
    kept = RandomResizedCrop(224, min_scale=0.5).presize(hw, 0)
    narrowest = (0.5 * kept[0] * kept[1]) ** 0.5 * (3 / 4) ** 0.5
    assert 224 <= narrowest < 226
    assert presizer(Pipeline([FlipItem(), Resize(9)]), 0)[0]((90, 90)) == (9, 9)
    assert presizer(Pipeline([DihedralItem(), Resize(9)]), 0) == (None, "whole") == presizer(Pipeline([lambda x: x, Resize(9)]), 0)


def test_a_file_that_changes_is_decoded_again(files, decodes):
    cache = RamCache()
    with images_from(cache):
        one = np.asarray(PILImage.create(files[0]))
        two = np.asarray(PILImage.create(files[0]))
        assert np.array_equal(one, two) and len(decodes) == 1 and cache.n == 1
        Image.fromarray(photo(77)).save(files[0])
        os.utime(files[0], ns=(1, 1))
        other = np.asarray(PILImage.create(files[0]))
        assert not np.array_equal(one, other) and cache.n == 1
    assert np.array_equal(other, np.asarray(PILImage.create(files[0])))


def test_another_transform_has_another_cache(files, tmp_path, decodes):
    folder = tmp_path / "c"
    train = loaders(files, Resize(48), cache=folder).train
    list(train)
    del decodes[:]
    assert list(loaders(files, Resize(48), cache=folder).train) and len(decodes) <= 1     # also in another run; one item is looked at
    del decodes[:]
    assert list(loaders(files, Resize(40), cache=folder).train) and len(decodes) >= 9
    same, other = train.new(bs=2), train.new(after_item=[Resize(50), ToTensor()])
    assert same.cache is train.cache and other.cache is not train.cache and other.cache.folder == folder
    train.add_tfms(FlipItem(), "after_item")
    assert train.cache.spec == same.cache.spec


def test_pixels_of_the_file_where_they_are_wanted(files):
    "A cache that keeps small versions still gives whole images to those who look at them."
    cache = make_cache("ram", Pipeline([Resize(32)]), 0)
    with images_from(cache):
        small = Resize(32)(PILImage.create(files[0]), 1)
        assert ToTensor()(small).shape == (3, 32, 32) and cache.n == 1 and cache.bytes == 32 * 40 * 3
        im = PILImage.create(files[0])
        assert im.is_lazy and im.size == (150, 120)
        whole = np.asarray(im)
    assert np.array_equal(whole, np.asarray(PILImage.create(files[0])))


def test_what_is_kept_cannot_be_written_to(files):
    cache = RamCache()
    with images_from(cache):
        for _ in range(2):
            ToTensor()(PILImage.create(files[0])).zero_()
            im = PILImage.create(files[0])
            im.paste((0, 0, 0), (0, 0, 150, 120))
        kept = next(iter(cache._kept.values()))[1]
    assert kept.mean() > 50


def test_masks_are_kept_whole(tmp_path):
    masks = []
    for i in range(4):
        a = np.random.default_rng(i).integers(0, 3, (50, 60)).astype(np.uint8)
        Image.fromarray(photo(i, 60, 50)).save(tmp_path / f"{i}.jpg")
        Image.fromarray(a).save(tmp_path / f"{i}.png")
        masks.append(a)
    cache = RamCache()
    with images_from(cache):
        for _ in range(2):
            assert np.array_equal(np.asarray(PILMask.create(tmp_path / "1.png")), masks[1])
    assert cache.n == 1
    block = DataBlock((ImageBlock, MaskBlock(["a", "b", "c"])), get_y=lambda f: f.with_suffix(".png"), item_tfms=Resize(20),
                      splitter=lambda items: [range(len(items))])
    files = sorted(tmp_path.glob("*.jpg"))
    got = [list(block.dataloaders(files, bs=4, shuffle=False, cache=c, num_workers=0, device="cpu", seed=1).train) for c in (None, "ram")]
    assert torch.equal(got[0][0][1], got[1][0][1])


def test_within_the_budget(files, decodes):
    each = 48 * 60 * 3
    said = r"the image cache is full: 4 images in 0.0 GB in memory; the others are decoded each time. cache='disk' may hold more"
    with pytest.warns(UserWarning, match=said):
        train = loaders(files, Resize(48), cache="ram", cache_bytes=4 * each + 5).train
        list(train)
    assert train.cache.full and train.cache.n == 4 and train.cache.bytes == 4 * each
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del decodes[:]
        list(train)
        assert 4 <= len(decodes) <= len(train.dataset) - 4
    for bad in (-1, 2.5, True):
        with pytest.raises(ValueError, match="cache_bytes="):
            RamCache(max_bytes=bad)


def test_free_memory(monkeypatch):
    free, total = free_memory()
    assert 0 < free <= total
    monkeypatch.setattr(cache_module, "free_memory", lambda: (10 << 20, 1 << 30))
    cache = RamCache()
    with pytest.warns(UserWarning, match="full: 0 images"):
        assert not cache.put(("f", "m", 1, 2), np.zeros((4, 4, 3), np.uint8), (4, 4))
    monkeypatch.setattr(cache_module, "free_memory", lambda: None)
    assert RamCache().put(("f", "m", 1, 2), np.zeros((4, 4, 3), np.uint8), (4, 4))


def test_files_on_disk(tmp_path):
    cache = DiskCache(folder=tmp_path / "c")
    key, pixels = ("a/é.jpg", "m", 1, 2), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert cache.find(key) is None and cache.put(key, pixels, (8, 4))
    found, size = cache.find(key)
    assert np.array_equal(found, pixels) and size == (8, 4) and cache.find((*key[:2], 3, 2)) is None and cache.find((*key[:3], 3)) is None
    file, = (tmp_path / "c").glob("??/*")
    with safe_open(file, "np") as f:                       # an ordinary file, no pickle
        assert np.array_equal(f.get_tensor("pixels"), pixels) and f.metadata()["size"] == "8x4"
    data = file.read_bytes()
    huge = json.dumps({"pixels": {"shape": [10**6, 10**6, 3]}, "__metadata__": {"size": "8x4"}}).encode()
    deep = b"[" * 9999
    for damaged in (data[:-5], data[:4], b"", b"\xff" * 40, data[:8] + json.dumps({"pixels": 1}).encode(), data + b"x",
                    len(huge).to_bytes(8, "little") + huge, len(deep).to_bytes(8, "little") + deep,
                    *(data[:i] + bytes([data[i] ^ 1]) + data[i + 1:] for i in range(len(data) - 24, len(data))),
                    data.replace(b'"8x4"', b'"9x4"'), data.replace(b"[2,4,3]", b"[4,2,3]"), data.replace(b"crc32", b"crc33")):
        file.write_bytes(damaged)
        assert cache.find(key) is None
    assert cache.put(key, pixels, (8, 4)) and cache.find(key) is not None
    other = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(other.find(key)[0], pixels)
    assert not list((tmp_path / "c").rglob("*.part"))
    cache.clear()
    assert cache.find(key) is None


def test_arguments(tmp_path, files, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path))
    assert make_cache(None, Pipeline(), 0) is None and make_cache("disk", Pipeline(), 0).folder == tmp_path / "cache" / "images"
    for bad in ("rom", 3, "memory"):
        with pytest.raises(ValueError, match="it is 'ram', 'disk', a folder such as"):
            make_cache(bad, Pipeline(), 0)
    train = loaders(files, Resize(32), cache="ram").train
    list(train)
    twin = copy.deepcopy(train)
    assert twin.cache.n == 0 and train.cache.n == len(train.dataset)
    assert repr(train.cache).startswith("RamCache: 10 images in 0.0 MB in memory")
    list(twin)
    assert twin.cache.n == len(train.dataset)
    assert issubclass(RamCache, ImageCache)


def test_missing_and_bad_files_are_named(tmp_path, files):
    with images_from(RamCache()):
        with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
            PILImage.create(tmp_path / "nowhere.jpg")
        (tmp_path / "bad.jpg").write_bytes(b"<html>")
        with pytest.raises(OSError, match="bad.jpg: this is an HTML"):
            PILImage.create(tmp_path / "bad.jpg")
