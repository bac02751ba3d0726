"""Series on one scale."""
import numpy as np
import pytest
import torch

from minifast.timeseries.all import FillSteps, Learner, TensorSeries, TSDataLoaders, TSNormalize, TSStandardize, load_learner, nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2, 9)) * [[[3.0], [0.01]]] + [[[1000.0], [-2.0]]]
Y = list("ab" * 20)
SPLITS = (range(25), range(25, 40))
UNEQUAL = [x[:, :3 + i % 6] for i, x in enumerate(X)]


def loaders(tfm, data=X, **options):
    return TSDataLoaders.from_array(data, Y, splits=SPLITS, bs=10, batch_tfms=tfm, device="cpu", **options)


@pytest.mark.parametrize("data", [X, UNEQUAL])
@pytest.mark.parametrize("by_var", [True, False])
def test_statistics_are_of_the_training_series_without_padding(data, by_var):
    dls = loaders(TSStandardize(by_var=by_var), data)
    flat = np.concatenate([data[i] for i in SPLITS[0]], axis=1)
    mean, std = (f(flat, axis=1 if by_var else None, keepdims=True) for f in (np.mean, np.std))
    x = dls.valid.one_batch()[0]
    for row, i in zip(x, range(25, 35), strict=True):
        assert np.allclose(row[:, :data[i].shape[1]], (data[i] - mean) / std, atol=3e-4)
        assert row[:, data[i].shape[1]:].isnan().all(), "padding stays padding"
    assert np.allclose(dls.valid.decode(dls.valid.one_batch())[0][0, :, :3], data[25][:, :3], rtol=1e-4), "shown in their own units"


@pytest.mark.parametrize("data", [X, UNEQUAL])
@pytest.mark.parametrize("by_var", [True, False])
def test_each_series_by_itself(data, by_var):
    x = loaders(TSStandardize(by_sample=True, by_var=by_var), data).valid.one_batch()[0]
    for row, i in zip(x, range(25, 35), strict=True):
        own, axis = data[i].astype(np.float32).astype(float), 1 if by_var else None
        expected = (own - own.mean(axis, keepdims=True)) / own.std(axis, keepdims=True)
        assert np.allclose(row[:, :own.shape[1]], expected, atol=3e-3) and row[:, own.shape[1]:].isnan().all()
    x = loaders(TSNormalize(by_sample=True, by_var=by_var, range=(0, 1)), data).valid.one_batch()[0]
    assert x.nan_to_num(0.5).amin() == 0 and 1 - 1e-5 < x.nan_to_num(0.5).amax() < 1 + 1e-5


def test_a_large_offset_does_not_spoil_the_variance():
    data = RNG.normal(size=(40, 1, 50)) * 0.5 + 5000
    tfm = TSStandardize()
    loaders(tfm, data)
    dls = loaders(tfm, data)
    std = dls.train.after_batch[0].std
    assert abs(float(std) - data[:25].std()) < 1e-3


def test_constant_channels_and_masks():
    data = np.stack([X[:, 0], np.full((40, 9), 0.1), (X[:, 0] > 1000) * 1.0], axis=1)
    x = loaders(TSStandardize(), data).valid.one_batch()[0]
    assert (x[:, 1] == 0).all() and x[:, 2].numpy().tolist() == data[25:35, 2].tolist() and 0.5 < x[:, 0].std() < 2
    x = loaders(TSStandardize(by_sample=True), data).valid.one_batch()[0]
    assert x[:, 1].abs().max() < 1e-6 and x.isfinite().all()
    for by_sample in (False, True):
        x = loaders(TSNormalize(by_sample=by_sample), data).valid.one_batch()[0]
        assert (x[:, 1] == -1).all() and x.isfinite().all()
    x = loaders(TSStandardize(exc_vars=[0]), data).valid.one_batch()[0]
    assert np.allclose(x[:, 0], data[25:35, 0])
    missing = np.where(RNG.random(X.shape) < 0.02, np.nan, X)
    x = loaders(TSStandardize(), missing, fill=FillSteps(add_mask=True)).valid.one_batch()[0]
    assert {*x[:, 2:].flatten().tolist()} <= {0.0, 1.0}


def test_normalised_values_lie_in_the_range_of_the_training_series():
    dls = loaders(TSNormalize())
    low, high = X[:25].min((0, 2), keepdims=True), X[:25].max((0, 2), keepdims=True)
    x = dls.valid.one_batch()[0]
    assert np.allclose(x, np.clip((X[25:35] - low) / (high - low) * 2 - 1, -1, 1), atol=1e-3) and x.abs().max() <= 1
    assert dls.train_ds is not None and loaders(TSNormalize(clip_values=False)).valid.one_batch()[0].abs().max() > 1


def test_given_statistics():
    dls = loaders(TSStandardize(mean=[1000, -2], std=[3, 0.01]))
    assert np.allclose(dls.valid.one_batch()[0], (X[25:35] - [[1000], [-2]]) / [[3], [0.01]], atol=3e-4)
    assert np.allclose(loaders(TSNormalize(-10, 1990)).valid.one_batch()[0], (X[25:35] + 10) / 1000 - 1, atol=1e-4)


def test_what_cannot_be_is_refused():
    for make, message in ((lambda: TSStandardize(mean=1), "mean and std together or neither"),
                          (lambda: TSNormalize(min=1), "min and max together"),
                          (lambda: TSStandardize(True, mean=1, std=1), "leave out mean and std"),
                          (lambda: TSStandardize(mean=0, std=0), "above 0"), (lambda: TSNormalize(1, 1), "above its min"),
                          (lambda: TSNormalize(range=(1, 0)), "low below high"),
                          (lambda: loaders([TSStandardize(), TSNormalize()]), "two transforms of this pipeline standardise"),
                          (lambda: loaders(TSStandardize(mean=[1, 2, 3], std=[1, 1, 1])).one_batch(), "statistics of 3 channels")):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(RuntimeError, match="no statistics yet"):
        TSStandardize()(TensorSeries(torch.ones(1, 2, 3)))


@pytest.mark.parametrize("tfm", [TSStandardize(), TSStandardize(by_sample=True), TSNormalize(range=(0, 2), exc_vars=[1])])
def test_statistics_travel_with_the_export(tmp_path, tfm):
    dls = loaders(tfm, UNEQUAL)
    learn = Learner(dls, Mean())
    with pytest.warns(UserWarning, match="Mean"):
        learn.export(tmp_path / "learner.mf")
    again = load_learner(tmp_path / "learner.mf", objects={"Mean": Mean})
    for items in (X[:3], UNEQUAL[:7]):
        assert again.get_preds(dl=again.dls.test_dl(items))[0].equal(learn.get_preds(dl=dls.test_dl(items))[0])
    assert again.predict(X[0])[2].equal(learn.predict(X[0])[2])


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(x.nanmean(2))


def test_channels_left_out_are_checked():
    assert torch.equal(loaders(TSStandardize(exc_vars=1)).valid.one_batch()[0][:, 1], torch.tensor(X[25:35, 1]).float())
    with pytest.raises(ValueError, match=r"TSNormalize\(exc_vars=\[2\]\): series have 2 channels, numbered from 0; there is no 2"):
        loaders(TSNormalize(exc_vars=[2])).valid.one_batch()
