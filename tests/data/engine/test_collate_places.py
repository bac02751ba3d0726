"""Where the images of a batch go as they are made."""
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minifast.core.seeds import item_rng
from minifast.data.dataloader import DataLoader
from minifast.data.engine import fetch
from minifast.data.engine.collate import Places, collate, image_writer, stack_places
from minifast.data.pipeline import Pipeline
from minifast.vision.all import FlipItem, ImageDataLoaders, Normalize, PILImage, RandomResizedCrop, Resize, TensorImage, Transform
from minifast.vision.augment.item import RandomCrop
from minifast.vision.images import ToTensor
from minifast.vision.normalize import IntToFloatTensor

TALL = (300, 200, 3)


@pytest.fixture
def folder(tmp_path):
    r = np.random.default_rng(0)
    for i in range(12):
        mode = ("RGB", "L")[i % 3 == 0]
        im = Image.fromarray(r.integers(0, 256, (90 + i, 120, 3), np.uint8)).convert(mode)
        im.save(tmp_path / f"{i:02}.{('jpg', 'jpg', 'png', 'jpg')[i % 4]}")
    return tmp_path


def loaders(folder, tfms, n, **kwargs):
    files = sorted(folder.glob("*"))
    return ImageDataLoaders.from_path_func(folder, files, lambda f: int(f.stem) % 2, bs=4, valid_pct=0.05, num_workers=n, device="cpu",
                                           item_tfms=tfms, batch_tfms=Normalize.from_stats([0.5] * 3, [0.5] * 3), seed=3, **kwargs)


def batches_of(dls, epochs=2):
    torch.manual_seed(0)
    return [batch for _ in range(epochs) for batch in dls.train]


def fill(places, n, k=0, shape=TALL):
    "What stands for image `k` of each of `n` samples, written into its place."
    made = []
    for row in range(n):
        place = places.of_sample(row)
        there = [place(shape) for _ in range(k + 1)][-1]
        there.array[:] = row
        there.image = torch.from_numpy(there.array.transpose(2, 0, 1))
        made.append(there)
    return made


def test_samples_that_lie_in_their_places_are_a_batch():
    places = Places(6)
    there = fill(places, 6)
    batch = collate(there)
    assert batch is there[0].batch and batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.shape == (6, 3, 300, 200) and torch.equal(batch[:, 0, 0, 0], torch.arange(6, dtype=torch.uint8))
    elsewhere = torch.full((3, 300, 200), 9, dtype=torch.uint8)
    for others in (there[::-1], there[:5], [*there[:5], elsewhere], [elsewhere, *there[1:]], [*there[:5], fill(Places(6), 6)[5]]):
        stacked = collate(others)
        images = [getattr(o, "image", o) for o in others]
        assert stacked.data_ptr() != batch.data_ptr() and torch.equal(stacked, torch.stack(images))


def test_several_images_per_sample():
    places = Places(2)
    for row in range(2):
        place = places.of_sample(row)
        a, b = place(TALL), place((20, 20, 1))
        assert not np.shares_memory(a.array, b.array) and b.array.shape == (20, 20, 1) and place(TALL).array.shape == TALL
    again = places.of_sample(0)
    assert np.shares_memory(again(TALL).array, a.batch.numpy()) and again(TALL) is None         # of another size


def test_memory_of_a_batch_is_its_own():
    first = collate(fill(Places(6), 6))
    kept = first[2]
    del first
    assert not np.shares_memory(kept.numpy(), collate(fill(Places(6), 6)).numpy()) and (kept == 2).all()


def test_where_images_are_written_and_where_not():
    def writer(after_item=ToTensor, before_batch=None, after_batch=IntToFloatTensor, collate_fn=None):
        return image_writer(Pipeline(after_item), Pipeline(before_batch), Pipeline(after_batch), collate_fn)

    assert isinstance(writer(), ToTensor) and writer(after_batch=None) is None and writer(after_batch=[lambda x: x]) is None
    assert writer(before_batch=[lambda b: b]) is None and writer(collate_fn=list) is None and writer(lambda x: x) is None
    assert writer(ToTensor(split_idx=0)) is None                                              # it may be left out


def stacked(monkeypatch):
    "What `stack_places` finds from now on."
    found = []
    monkeypatch.setattr("minifast.data.engine.collate.stack_places", lambda images: found.append(stack_places(images)) or found[-1])
    return found


@pytest.mark.parametrize("tfms", [[RandomResizedCrop(64), FlipItem()], [Resize(64)], [RandomCrop(50)], [FlipItem(1.0), Resize((64, 48))]],
                         ids=["resized", "cut", "cropped", "mirrored"])
@pytest.mark.parametrize("cache", [None, "ram"])
def test_the_same_batches_with_and_without(folder, monkeypatch, tfms, cache):
    found = stacked(monkeypatch)
    got = [batches_of(loaders(folder, tfms, n, cache=cache)) for n in (0, 2)]
    assert sum(batch is not None for batch in found) == 2 * 2 * 3       # all the images lay where they belong
    monkeypatch.setattr(fetch, "image_writer", lambda *a: None)         # the plain way
    without = batches_of(loaders(folder, tfms, 0, cache=cache))
    assert len(found) == 2 * 2 * 3
    for (x, y), (x2, y2), (x3, y3) in zip(*got, without, strict=True):
        assert torch.equal(x, x3) and torch.equal(y, y3) and torch.equal(x2, x3) and torch.equal(y2, y3)


def test_transforms_that_change_or_keep_the_tensor(folder):
    kept = []

    class Darker(Transform):
        order = 6
        types = (TensorImage,)

        def encodes(self, x):
            kept.append(x.as_subclass(torch.Tensor))
            return TensorImage(kept[-1].div_(2, rounding_mode="floor"))

    class Last(ToTensor):                               # so that the layout is free and places are given out
        order = 7

    with pytest.warns(UserWarning, match="applied to nothing.*Last"):
        dark = batches_of(loaders(folder, [RandomResizedCrop(64), Darker(), Last()], 0), 1)
    for (x, _), (bright, _) in zip(dark, batches_of(loaders(folder, RandomResizedCrop(64), 0), 1), strict=True):
        x, bright = ((o * 0.5 + 0.5) * 255 for o in (x, bright))
        assert torch.equal(x.round(), (bright.round() / 2).floor())
    before = [k.clone() for k in kept]
    dls = loaders(folder, RandomResizedCrop(64), 0)
    for _ in range(3):
        batches_of(dls)
    assert all(map(torch.equal, kept, before))          # memory that somebody holds is not used again


@pytest.mark.parametrize("n", [0, 2])
def test_one_that_cannot_be_made_is_replaced_in_its_place(folder, monkeypatch, n):
    bad = folder / "03.jpg"
    bad.write_bytes(bad.read_bytes()[:400])
    dl = loaders(folder, [Resize(64)], n, on_error="skip").train
    found = stacked(monkeypatch)
    with pytest.warns(UserWarning, match="03.jpg"):
        batches = list(dl)
    assert sum(batch is not None for batch in found) == len(batches) == 3           # the replacement too lies in its place
    items = [Path(f) for f in dl.dataset.items]
    known = {f: Resize(64)(PILImage.create(f), 0, item_rng(0)) for f in items if f != bad}
    assert len(dl.skipped) == 1 and sum(len(x) for x, _ in batches) == 11 and len(known) == 10
    shapes = {tuple(x.shape[1:]) for x, _ in batches}
    assert shapes == {(3, 64, 64)} and all(torch.isfinite(x).all() for x, _ in batches)


def test_a_loader_inside_a_sample():
    inner = DataLoader(list(range(8)), bs=8, after_item=[lambda x: x + 0.0], num_workers=0, device="cpu")

    class Outer:
        def __len__(self):
            return 4

        def __getitem__(self, i):
            first = PILImage.create(np.full((64, 64, 3), 10 * i + 10, np.uint8))
            inner.one_batch()
            return first, PILImage.create(np.full((64, 64, 3), 10 * i + 11, np.uint8)), i

    for n in (0, 2):
        dl = DataLoader(Outer(), bs=4, after_item=[ToTensor()], after_batch=[IntToFloatTensor()], num_workers=n,
                        worker_type="thread" if n else None, device="cpu")
        (a, b, i), = dl
        assert (a.mean((1, 2, 3)) * 255).round().tolist() == [10, 20, 30, 40] and i.tolist() == [0, 1, 2, 3]
        assert (b.mean((1, 2, 3)) * 255).round().tolist() == [11, 21, 31, 41]


def test_what_a_dataset_keeps_is_not_written_over_by_a_replacement():
    kept = {}

    class Keeps:
        fails = True

        def __len__(self):
            return 4

        def __getitem__(self, i):
            if i not in kept:
                kept[i] = ToTensor()(PILImage.create(np.full((64, 64, 3), 10 * i + 10, np.uint8)))
            if i == 1 and self.fails:
                raise OSError("once")
            return kept[i], i

    dl = DataLoader(Keeps(), bs=4, after_item=[ToTensor()], after_batch=[IntToFloatTensor()], num_workers=0, device="cpu", on_error="skip")
    with pytest.warns(UserWarning, match="once"):
        list(dl)
    Keeps.fails = False
    (x, _), = dl
    assert (x.mean((1, 2, 3)) * 255).round().tolist() == [10, 20, 30, 40]


def test_functions_of_the_samples_get_a_list():
    seen = []
    dl = DataLoader([1, 2, 3], bs=3, num_workers=0, device="cpu", before_batch=[lambda b: seen.append(type(b)) or b],
                    collate_fn=lambda b: seen.append(type(b)) or torch.tensor(b))
    list(dl)
    assert set(seen) == {list}
