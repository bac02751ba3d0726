"""Batches that are read at once: where they are, and that what is drawn for each item is drawn in each epoch."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.block import DataBlock, TransformBlock
from minifast.data.engine.whole import WholeBatches
from minifast.data.labels import ColReader
from minifast.data.transforms import RandTransform, Transform
from minifast.text.all import TextBlock
from minifast.timeseries.all import TSDataLoaders

Y = np.linspace(0, 1, 20)


class Number(Transform):
    "A number as it is."

    def encodes(self, o):
        return torch.tensor(float(o))


class Drawn(RandTransform):
    "A number with noise, another one each time."

    def draw(self, o, rng, split_idx):
        return {"noise": float(rng.random())}

    def encodes(self, o, noise):
        return torch.tensor(float(o) + noise)


def series(target, **options):
    return TSDataLoaders.from_array(np.ones((20, 1, 4), np.float32), Y, y_block=TransformBlock([target]), bs=4, **options)


def texts(target, **options):
    df = pd.DataFrame({"text": ["a good film"] * 20, "y": Y})
    block = DataBlock((TextBlock.from_df("text", min_freq=1), TransformBlock([target])), get_y=ColReader("y"), **options)
    return block.dataloaders(df, bs=4)


def epoch(dl):
    return torch.cat([y for *_, y in dl]).sort().values


@pytest.mark.parametrize("loaders", [series, texts])
def test_targets_that_are_drawn_are_drawn_in_each_epoch(loaders):
    fixed, drawn = loaders(Number()).train, loaders(Drawn()).train
    first, second = epoch(fixed), epoch(fixed)
    assert isinstance(fixed._fetcher, WholeBatches) and first.equal(second)
    first, second = epoch(drawn), epoch(drawn)
    assert not isinstance(drawn._fetcher, WholeBatches) and not first.equal(second)


@pytest.mark.parametrize("loaders", [series, texts])
def test_transforms_of_items_make_them_one_by_one(loaders):
    plain = loaders(Number(), item_tfms=lambda o: o).train
    assert not isinstance(plain._fetcher, WholeBatches) and epoch(plain).equal(epoch(loaders(Number()).train))
