"""Progressive resizing: sizes by closed form, cheaper decoding, the same items, validation at full size."""
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.resize import ProgressiveResize, resize_images, size_at, staged_size
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.item import RandomResizedCrop, RatioResize, Resize
from minifast.vision.loaders import ImageDataLoaders


def test_sizes_by_progress():
    assert [size_at(p / 4, 64, 128, finish=0.75, multiple_of=4) for p in range(5)] == [64, 84, 108, 128, 128]
    assert size_at(0, 10, 224, finish=0) == 224
    assert size_at(0.99, 100, 130, finish=1, multiple_of=32) == 128
    assert size_at(1, 100, 130, finish=1, multiple_of=32) == 130                 # the end is the end
    assert [staged_size(e / 5, [128, 192, 224]) for e in range(5)] == [128, 128, 192, 192, 224]
    assert [staged_size(e / 3, [1, 2, 3]) for e in range(3)] == [1, 2, 3]


def test_pictures_are_resized_as_torch_does_and_masks_by_the_nearest_pixel():
    x = torch.rand(2, 3, 8, 8)
    expected = nn.functional.interpolate(x, size=(4, 6), mode="bilinear", antialias=True)
    assert torch.equal(resize_images(x, (4, 6)), expected)
    assert resize_images(x, (8, 8)) is x
    mask = torch.arange(64).reshape(1, 8, 8)
    small = resize_images(mask, (4, 4))
    assert small.dtype == torch.int64 and set(small.flatten().tolist()) <= set(range(64)) and small.shape == (1, 4, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(20):
        sub = path / "ab"[i % 2]
        sub.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (50, 40 + i, 3), dtype=np.uint8)).save(sub / f"{i}.jpg")
    return path


class Watch(Callback):
    "The shapes that the model sees, and which items."
    def __init__(self):
        self.train, self.valid, self.items = [], [], []

    def before_fit(self):
        self.train.append([])

    def before_batch(self):
        (self.train[-1] if self.learn.training else self.valid).append(tuple(self.learn.xb[0].shape[-2:]))

    order = 5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def learner(dls, **kwargs):
    torch.manual_seed(0)
    learn = Learner(dls, Net(), CrossEntropyLossFlat(), splitter=lambda m: [list(m.body.parameters()), list(m.head.parameters())], **kwargs)
    learn.remove_cb(learn.progress)
    learn.logger = lambda row: None
    return learn


def by_epoch(watch, n_batches):
    shapes = [s for fit in watch.train for s in fit]
    return [sorted(set(shapes[i:i + n_batches])) for i in range(0, len(shapes), n_batches)]


def test_staged_in_fine_tune_and_one_cycle(folder):
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=8, item_tfms=Resize(48), batch_tfms=aug_transforms(size=32),
                                       num_workers=0)
    learn, watch = learner(dls), Watch()
    before = dls.train.after_item
    learn.fine_tune(4, sizes=[16, 24, 32], cbs=watch)
    assert by_epoch(watch, 2) == [[(16, 16)], [(16, 16)], [(24, 24)], [(24, 24)], [(32, 32)]]
    assert set(watch.valid) == {(32, 32)}
    assert learn.dls.train is dls.train and dls.train.after_item is before       # as they were
    watch = Watch()
    learn.fit_one_cycle(2, 1e-3, sizes=[16, 32], cbs=watch)
    assert by_epoch(watch, 2) == [[(16, 16)], [(32, 32)]]


def test_decoding_is_cheaper_too(folder, monkeypatch):
    "The item transforms make small pictures: 48 of 48 pixels become 24 of 24 while the model sees 16 instead of 32."
    made = []
    encodes = Resize.encodes

    def noting(self, x, **kwargs):
        out = encodes(self, x, **kwargs)
        made.append(out.size)
        return out

    monkeypatch.setattr(Resize, "encodes", noting)
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=8, item_tfms=Resize(48), batch_tfms=aug_transforms(size=32),
                                       num_workers=0)
    learn = learner(dls)
    learn.fit(1)
    made.clear()
    learn.fit(1, cbs=ProgressiveResize(start=16, end=32, sizes=[16, 32], part=(0, 2)))
    assert made.count((24, 24)) in (16, 17)                     # the training items, and at most a look at the first of them
    assert made.count((48, 48)) == 4 + 8                        # validation, and the look at one batch before the fit


@pytest.mark.parametrize("seed", [None, 3])
def test_the_same_items_in_the_same_order(folder, seed):
    def targets(cbs):
        dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=4, item_tfms=Resize(32), num_workers=0)
        dls = DataLoaders(dls.train.new(seed=seed), dls.valid)
        learn, seen = learner(dls), []
        torch.manual_seed(5)
        learn.fit(3, cbs=[Callback(after_pred=lambda: seen.append(learn.yb[0].tolist()) if learn.training else None), *cbs])
        return seen, dls.train.epoch

    plain, epoch = targets([])
    resized, epoch_resized = targets([ProgressiveResize(sizes=[16, 24, 32])])
    assert plain == resized and epoch == epoch_resized == 3
    assert plain[:4] != plain[4:8]                                              # each epoch another order


def test_pictures_without_a_resize_are_resized_on_the_device():
    x, y = torch.rand(8, 1, 12, 12), torch.arange(8) % 2
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    learn = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=4), DataLoader(TensorDataset(x, y), bs=4)), model,
                    CrossEntropyLossFlat(), default_cbs=False)
    watch, resize = Watch(), ProgressiveResize(0.5)
    learn.fit(4, cbs=[watch, resize])
    assert by_epoch(watch, 2) == [[(s, s)] for s in resize.used] and resize.used == [8, 8, 12, 12]
    assert set(watch.valid) == {(12, 12)}


def test_masks_follow():
    x, y = torch.rand(4, 3, 8, 8), torch.randint(0, 2, (4, 8, 8))
    learn = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=4)), nn.Conv2d(3, 2, 1), CrossEntropyLossFlat(axis=1),
                    default_cbs=False)
    seen = []
    learn.fit(2, cbs=[ProgressiveResize(sizes=[4, 8]), Callback(after_loss=lambda: seen.append(tuple(learn.yb[0].shape)))])
    assert seen == [(4, 4, 4), (4, 8, 8)]


def test_interrupted_the_loaders_are_back(folder):
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=8, item_tfms=Resize(32), num_workers=0)
    learn = learner(dls)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit_one_cycle(2, sizes=[16, 32], cbs=Callback(after_step=interrupt))
    assert learn.dls is not None and learn.dls.train is dls.train


def test_transforms_in_proportion():
    assert Resize((40, 60)).rescaled(0.5).size == (20, 30) and RandomResizedCrop(64).rescaled(0.25).size == (16, 16)
    assert RatioResize(100).rescaled(0.5).max_sz == 50
    warp = aug_transforms(size=64)
    halves = [t.rescaled(0.5) for t in warp if hasattr(t, "rescaled")]
    assert any(t.size == (32, 32) for t in halves)


def test_refusals(folder):
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=8, item_tfms=Resize(32), num_workers=0)
    learn = learner(dls)
    with pytest.raises(ValueError, match="the last size must be that of the loaders' images, which is 32x32"):
        learn.fit_one_cycle(2, sizes=[16, 24])
    with pytest.raises(ValueError, match="3 sizes need at least as many epochs, and this training has 2"):
        learn.fit_one_cycle(2, sizes=[16, 24, 32])
    for wrong in ({"sizes": []}, {"sizes": [16, "32"]}, {"sizes": 128}, {"start": 0}, {"start": 64.5}, {"finish": 2}):
        with pytest.raises(ValueError, match=r"^ProgressiveResize\("):
            ProgressiveResize(**wrong)
    tabular = Learner(DataLoaders(DataLoader(TensorDataset(torch.rand(4, 3), torch.arange(4) % 2), bs=2)), nn.Linear(3, 2),
                      CrossEntropyLossFlat(), default_cbs=False)
    with pytest.raises(TypeError, match="needs batches of images"):
        tabular.fit(1, cbs=ProgressiveResize())
