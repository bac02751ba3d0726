"""Random changes of series in loaders: training batches only, the same for the same seed, TTA, and what does not fit together."""
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.core.seeds import item_rng, set_seed
from minifast.data.loaders import DataLoaders
from minifast.timeseries.all import (
    CrossEntropyLossFlat,
    CutMix,
    CutMixUp,
    Cutout,
    FlipSign,
    Jitter,
    Learner,
    MagnitudeScale,
    MagnitudeWarp,
    MixUp,
    Permutation,
    RotateAxes,
    SlidingWindows,
    TensorSeries,
    TSDataLoaders,
    TSStandardize,
    WindowSlice,
    series_transforms,
    split_padding,
    ts_forecaster,
)
from minifast.vision.all import TensorImage, aug_transforms

Y = np.arange(24) % 2
SERIES = [np.random.default_rng(i).normal(size=(2, 10 + i % 5)).astype("float32") for i in range(24)]


def loaders(**kwargs):
    return TSDataLoaders.from_array(SERIES, Y, splits=(range(16), range(16, 24)), bs=8, **kwargs)


def batches(dl, seed):
    set_seed(seed)
    return torch.cat([torch.nn.functional.pad(b[0], (0, 14 - b[0].shape[2])) for b in dl]).nan_to_num(nan=9)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x, mask = split_padding(x)
        n = mask.sum(1, keepdim=True)
        return self.head(torch.cat([x.sum(2) / n, x.square().sum(2) / n], 1))


def learner(dls):
    learn = Learner(dls, Mean(), CrossEntropyLossFlat())
    learn.logger = lambda row: None
    return learn


def test_a_function_of_the_seed_for_training_alone():
    dls, plain = loaders(batch_tfms=series_transforms()), loaders()
    assert torch.equal(batches(dls.train, 1), batches(dls.train, 1)) and not torch.equal(batches(dls.train, 1), batches(dls.train, 2))
    assert not torch.equal(batches(dls.train, 1), batches(plain.train, 1))
    assert torch.equal(batches(dls.valid, 1), batches(plain.valid, 2))


def test_they_come_after_what_standardises():
    dls = loaders(batch_tfms=[*series_transforms(time_warp=0, max_warp=1), TSStandardize()])
    assert [type(f).__name__ for f in dls.after_batch] == ["TSStandardize", "WindowSlice", "MagnitudeScale", "Jitter"]


def test_training_and_tta():
    learn = learner(loaders(batch_tfms=series_transforms(p_values=1)))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2, cbs=CutMixUp())
        (augmented, plain), y = learn.tta(beta=None)
    assert y.tolist() == Y[16:].tolist() and torch.equal(plain, learn.get_preds()[0])
    assert not torch.allclose(augmented, plain) and torch.allclose(augmented, plain, atol=0.3)
    bare = learner(loaders())
    with pytest.raises(ValueError, match=r"Add some, such as `batch_tfms=series_transforms\(\)`"):
        bare.tta()
    bare = learner(loaders(batch_tfms=series_transforms()))             # what it says
    with bare.no_bar(), bare.no_logging():
        assert bare.tta()[0].shape == (8, 2)


def test_changes_of_images_on_series_say_what_to_write():
    with pytest.warns(UserWarning, match=r"applied to nothing.*AffineWarp.* images: for series write batch_tfms=series_transforms\(\)"):
        loaders(batch_tfms=aug_transforms()).one_batch()
    loaders(batch_tfms=series_transforms()).one_batch()                 # what it says; a warning would be an error here


def test_changes_of_series_on_images_say_what_to_write():
    images = [(TensorImage(torch.rand(3, 8, 8)), i % 2) for i in range(8)]

    def made(tfms):
        return DataLoaders.from_dsets(images, images, bs=4, after_batch=tfms)
    with pytest.warns(UserWarning, match=r"applied to nothing.*WindowSlice.* for images write batch_tfms=aug_transforms\(\)"):
        made(series_transforms()).one_batch()
    made(aug_transforms()).one_batch()
    made(None).one_batch()


def windows(**kwargs):
    n = np.arange(160)
    df = pd.DataFrame({"time": pd.date_range("2024", periods=160, freq="h"), "y": np.sin(n / 3), "warm": n % 7, "holiday": n % 5 == 0})
    return SlidingWindows(df, window=10, horizon=4, target="y", past="warm", known="holiday", **kwargs)


def test_what_leaves_forecasts_right():
    def made(tfms):
        return TSDataLoaders.from_windows(windows(), bs=8, batch_tfms=tfms, shuffle=False)
    for tfm in (*series_transforms(jitter=0), RotateAxes(), FlipSign(), Permutation()):
        with pytest.raises(ValueError, match=r"what is to be forecast stays as it was.* Write batch_tfms=\[Jitter\(\), Cutout\(\)\]"):
            made(tfm).train.one_batch()
    dls, plain = made([Jitter(), Cutout()]), made(None)                     # what it says
    (x, future, y), before = dls.train.one_batch(), plain.train.one_batch()
    assert torch.equal(y, before[2]) and not torch.equal(x, before[0]) and future.shape == (8, 1, 4)
    assert torch.equal(dls.valid.one_batch()[0], plain.valid.one_batch()[0])


def test_tta_and_mixup_of_forecasts():
    learn = ts_forecaster(TSDataLoaders.from_windows(windows(), bs=8, batch_tfms=[Jitter()]))
    learn.logger = lambda row: None
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2, cbs=MixUp())
        (augmented, plain), _ = learn.tta(beta=None)
        assert not torch.equal(augmented, plain) and torch.allclose(augmented, plain, atol=0.5)
        with pytest.raises(ValueError, match=r"neither forecast is right.*Write MixUp\(\)"):
            learn.fit(1, 1e-2, cbs=CutMix())
        learn = ts_forecaster(TSDataLoaders.from_windows(windows(), bs=8))
        with pytest.raises(ValueError, match=r"Add one, such as `batch_tfms=\[Jitter\(\)\]`"):
            learn.tta()


def test_series_of_several_kinds_in_one_sample():
    wide, narrow = TensorSeries(torch.randn(8, 3, 9)), TensorSeries(torch.randn(8, 1, 5))
    for tfm in (MagnitudeScale(p=1), MagnitudeWarp(p=1), Jitter(p=1), WindowSlice(p=1)):
        a, b = tfm((narrow, wide), 0, item_rng(0))
        assert a.shape == narrow.shape and b.shape == wide.shape and not torch.equal(a, narrow) and not torch.equal(b, wide)
    a, b = MagnitudeScale(p=1)((narrow, wide), 0, item_rng(0))
    assert torch.allclose((a / narrow)[:, 0, 0], (b / wide)[:, 0, 0])


def test_the_plain_tensors_of_a_dataset_of_ones_own_are_none():
    pairs = [(TensorSeries(torch.randn(2, 9)), i % 2) for i in range(8)]
    x = DataLoaders.from_dsets(pairs, pairs, bs=8, after_batch=series_transforms(p_values=1), shuffle=False).train.one_batch()[0]
    assert not torch.equal(x, torch.stack([p[0].as_subclass(torch.Tensor) for p in pairs]))
