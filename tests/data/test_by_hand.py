"""What looks at data or predicts takes nothing from later training, to the bit; a loop by hand until the next fit begins."""
import sys
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from minifast.callbacks.base import Callback
from minifast.core.seeds import draw_seed, fixed_seed, give_back_loops, set_seed
from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.dataloader import DataLoader
from minifast.data.splitters import IndexSplitter
from minifast.data.transforms import RandTransform
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.vision.augment.geometry import Flip
from minifast.vision.augment.item import RandomCrop
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage

WORKERS = {"no workers": {"num_workers": 0}, "threads": {"num_workers": 2, "worker_type": "thread"},
           "processes": {"num_workers": 2, "worker_type": "process"}}


def picture(i):
    return PILImage.create((np.arange(9 * 9 * 3).reshape(9, 9, 3) * (i + 1)).astype(np.uint8))


def of_pictures(seed=None, **kwargs):
    set_seed(3)
    block = DataBlock((ImageBlock, CategoryBlock), get_x=picture, get_y=lambda i: i % 3, splitter=IndexSplitter(range(12, 24)),
                      item_tfms=RandomCrop(8), batch_tfms=Flip())
    return block.dataloaders(list(range(24)), bs=4, seed=seed, **kwargs)


def learner(dls):
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(192, 3)), metrics=accuracy)
    learn.logger = lambda row: None
    return learn


def weights_after(dls=None, before=lambda dls: None, act=lambda learn: None, cbs=None):
    "The weights after `before(dls)`, making a learner, `act(learn)` and a fit; and what the stream gives then."
    dls = of_pictures(num_workers=0) if dls is None else dls
    before(dls)
    learn = learner(dls)
    act(learn)
    learn.fit(2, cbs=cbs)
    return [*(p.detach() for p in learn.model.parameters()), torch.rand(2)]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def shown(learn):
    learn.show_results()
    learn.dls.show_batch()
    plt.close("all")


def looks(dls):
    dls.one_batch()
    for _ in range(2):
        next(iter(dls.train))
    for _ in dls.train:
        break
    for _ in dls.valid:
        pass
    assert dls.train.n_inp == 1 and dls.train.kinds and len(dls.train.dataset[0]) == 2


def loops(dls):
    for _ in range(2):
        for _ in dls.train:
            pass
    for _ in islice(dls.train, 2):
        pass
    next(iter(dls.train))


ACTS = {
    "looks": lambda learn: looks(learn.dls), "loops": lambda learn: loops(learn.dls), "shown": shown,
    "predictions": lambda learn: [learn.predict(0), learn.get_preds(), learn.get_preds(0), learn.validate(), learn.validate(0),
                                  learn.get_preds(dl=learn.dls.test_dl(list(range(9))))],
    "predictions as they come": lambda learn: [learn.get_preds(dl=learn.dls.train, reorder=False), learn.get_preds(0, reorder=False)],
    "tta": lambda learn: [learn.tta(n=2), learn.tta(0, n=1)],
    "summary": lambda learn: learn.summary(), "twin": lambda learn: learn.twin(),
    "lr_find": lambda learn: [loops(learn.dls), learn.lr_find(num_it=8, show_plot=False)],
}


@pytest.fixture(scope="module")
def plain():
    "The weights without anything, by the seed of the loaders."
    return {seed: weights_after(of_pictures(seed=seed, num_workers=0)) for seed in (None, 5)}


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("name", ACTS)
def test_training_is_the_same_with_and_without(name, seed, plain):
    assert same(weights_after(of_pictures(seed=seed, num_workers=0), act=ACTS[name]), plain[seed])


@pytest.mark.parametrize("workers", ["threads", "processes"] if sys.platform == "linux" else ["threads"])
def test_whatever_makes_the_batches(workers, plain):
    def act(learn):
        looks(learn.dls)
        loops(learn.dls)
        learn.tta(n=1)
        learn.validate()

    assert same(weights_after(of_pictures(**WORKERS[workers]), act=act), plain[None])


def test_looks_before_there_is_a_model(plain):
    assert same(weights_after(before=looks), plain[None])


def test_checks(plain):
    assert same(weights_after(act=lambda learn: [learn.check(fast=True), learn.dls.check(fast=True)]), plain[None])


def test_a_look_of_a_callback_in_the_middle_of_an_epoch(plain):
    states = []

    class Looks(Callback):
        def after_batch(self):
            train = self.learn.dls.train
            before = train.state_dict()
            next(iter(train))
            states.append((before, train.state_dict()) if self.learn.training else (None, None))

    assert same(weights_after(cbs=Looks()), plain[None])
    assert all(a == b for a, b in states) and states[0][0]["batch"] == 1


def test_what_is_given_back_was_the_last_that_was_drawn():
    dls = of_pictures(num_workers=0)
    list(dls.train)
    drawn = torch.rand(3)
    give_back_loops(dls)
    assert not torch.equal(torch.rand(3), drawn)            # not twice the same numbers
    set_seed(3)
    list(dls.train)
    set_seed(3)
    learner(dls)
    set_seed(3)
    seeds = [draw_seed(), draw_seed()]
    set_seed(3)
    first = draw_seed()                                     # leaves the stream as the loop did
    give_back_loops(dls)
    assert [first, draw_seed()] == seeds


def test_what_is_borrowed_within_a_block_of_fixed_seed_does_not_count():
    dls = of_pictures(num_workers=0)
    before = torch.get_rng_state()
    list(dls.train)
    with fixed_seed(7):
        list(dls.train)
        draw_seed()
    list(dls.train)
    give_back_loops(dls)
    assert torch.equal(torch.get_rng_state(), before)


# -- looks differ, and are reproducible ---------------------------------------------------------------------------------------------
class Noise(RandTransform):
    split_idx = None

    def draw(self, sample, rng, split_idx):
        return {"v": float(rng.random())}

    def encodes(self, x: int, v):
        return x + v


@pytest.mark.parametrize("seed", [None, 5])
def test_each_look_is_another_one(seed):
    def several():
        set_seed(1)
        dl = DataLoader(range(20), bs=4, shuffle=True, after_item=Noise(), num_workers=0, device="cpu", seed=seed)
        found = [next(iter(dl)) for _ in range(3)] + [next(iter(dl)) for dl in [dl] * 2] + list(dl)[:1] + list(dl)[:1]
        return dl, torch.stack(found)

    (dl, first), (_, again) = several(), several()
    assert torch.equal(first, again)
    assert len({tuple(batch.tolist()) for batch in first[:5]}) == 5 and not torch.equal(*first[-2:])
    if seed is None:                                        # in the same loader too
        set_seed(1)
        assert torch.equal(next(iter(dl)), first[0])


def test_tta_draws_other_augmentation_each_time_and_the_same_after_a_seed():
    learn = learner(of_pictures(num_workers=0))

    def augmented():
        with learn.no_logging():
            return learn.tta(n=1, beta=None)[0][0]

    torch.manual_seed(1)
    first, second = augmented(), augmented()
    torch.manual_seed(1)
    assert torch.equal(first, augmented()) and not torch.equal(first, second)


def test_a_position_that_was_loaded_is_not_used_up_by_a_look():
    dl = DataLoader(range(20), bs=4, shuffle=True, num_workers=0, device="cpu")
    it = iter(dl)
    next(it)
    state, rest = dl.state_dict(), list(it)
    dl.load_state_dict(state)
    assert torch.equal(next(iter(dl)), rest[0])
    assert torch.equal(torch.cat(list(dl)), torch.cat(rest))
