"""Where the pictures of a batch go as they are made."""
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minifast.core.seeds import item_rng
from minifast.data.dataloader import DataLoader
from minifast.data.engine.buffers import BufferPool, holders
from minifast.data.engine.collate import collate
from minifast.data.engine.loading import Places, current, loading
from minifast.vision.all import FlipItem, ImageDataLoaders, Normalize, PILImage, RandomResizedCrop, Resize, TensorImage, Transform
from minifast.vision.augment.item import RandomCrop
from minifast.vision.images import IntToFloatTensor, ToTensor

TALL = (300, 200, 3)            # large enough for buffers to be kept


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
    made = []
    for row in range(n):
        current.begin(places, row)
        place = [current.place(shape) for _ in range(k + 1)][-1]
        place[:] = row
        made.append(torch.from_numpy(place.transpose(2, 0, 1)))
    return made


def test_samples_that_lie_in_their_places_are_a_batch():
    places = Places(6, BufferPool())
    with loading(channels_last=True):
        tensors = fill(places, 6)
        batch = collate(tensors, buffers=places)
        assert batch.data_ptr() == tensors[0].data_ptr() and batch.is_contiguous(memory_format=torch.channels_last)
        assert batch.shape == (6, 3, 300, 200) and torch.equal(batch[:, 0, 0, 0], torch.arange(6, dtype=torch.uint8))
        for others in (tensors[::-1], tensors[:5], [*tensors[:5], tensors[5].clone()], [t + 0 for t in tensors],
                       [t.flip(1) for t in tensors], [t.to(torch.int16) for t in tensors], [t[:, 1:] for t in tensors]):
            stacked = collate(others, buffers=places)
            assert stacked.data_ptr() != batch.data_ptr() and torch.equal(stacked, torch.stack(others))
        second = fill(Places(6, BufferPool()), 6)
        assert places.filled(second) is None


def test_several_pictures_per_sample():
    places = Places(2, BufferPool())
    with loading(channels_last=True):
        for row in range(2):
            current.begin(places, row)
            a, b = current.place(TALL), current.place((20, 20, 1))
            assert not np.shares_memory(a, b) and b.shape == (20, 20, 1)
            assert current.place(TALL).shape == TALL
        current.begin(places, 0)
        assert np.shares_memory(current.place(TALL), places.of(0, 0, TALL)) and current.place(TALL) is None    # of another size


def test_nobody_asks_for_a_place_outside():
    assert current.place(TALL) is None
    places = Places(1, BufferPool())
    with loading():                                     # pictures are wanted contiguous
        current.begin(places, 0)
        assert current.place(TALL) is None
    with loading(channels_last=True):
        assert current.place(TALL) is None
        current.begin(places, 0)
        with loading(channels_last=True):
            assert current.place(TALL) is None
        assert current.place(TALL) is not None
    assert current.places is None


def test_memory_comes_back():
    pool, seen = BufferPool(limit=2), set()
    for _ in range(5):
        places = Places(6, pool)
        with loading(channels_last=True):
            tensors = fill(places, 6)
            batch = collate(tensors, buffers=places)
        del places
        seen.add(batch.data_ptr())
        assert holders(batch) > 1
        kept = tensors[2]
        del tensors, batch
    with loading(channels_last=True):
        other = fill(Places(6, pool), 6)
    assert len(seen) <= 2 and (kept == 2).all() and not np.shares_memory(kept.numpy(), other[2].numpy())


@pytest.mark.parametrize("tfms", [[RandomResizedCrop(64), FlipItem()], [Resize(64)], [RandomCrop(50)], [FlipItem(1.0), Resize((64, 48))]],
                         ids=["resized", "cut", "cropped", "mirrored"])
@pytest.mark.parametrize("cache", [None, "ram"])
def test_the_same_batches_with_and_without(folder, monkeypatch, tfms, cache):
    found, filled = [], Places.filled
    monkeypatch.setattr(Places, "filled", lambda *a: found.append(filled(*a)) or found[-1])
    got = [batches_of(loaders(folder, tfms, n, cache=cache)) for n in (0, 2)]
    assert sum(batch is not None for batch in found) == 2 * 2 * 3       # all the pictures lay where they belong
    monkeypatch.setattr(Places, "of", lambda *a: None)
    without = batches_of(loaders(folder, tfms, 0, cache=cache))
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
    found, filled = [], Places.filled
    monkeypatch.setattr(Places, "filled", lambda *a: found.append(filled(*a)) or found[-1])
    with pytest.warns(UserWarning, match="03.jpg"):
        batches = list(dl)
    assert sum(batch is not None for batch in found) == len(batches) - 1 == 2       # the one with the replacement is stacked
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
