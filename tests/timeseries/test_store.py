"""Series in memory and in files: what is read, and when."""
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from minifast.timeseries.all import EqualSeries, FillSteps, TSDataLoaders, TSStandardize, UnequalSeries
from minifast.timeseries.layout import as_store
from minifast.timeseries.store import joined_stores

X = np.arange(48, dtype=np.float32).reshape(6, 2, 4)
RAGGED = [np.arange(2 * n, dtype=np.float32).reshape(2, n) for n in (3, 5, 1)]


def on_disk(path, x):
    out = np.memmap(path, dtype=x.dtype, mode="w+", shape=x.shape)
    out[:] = x
    out.flush()
    return np.memmap(path, dtype=x.dtype, mode="r", shape=x.shape)


class Counting(np.memmap):
    "A file that says which series were read."
    reads: list = []

    def __getitem__(self, i):
        if isinstance(i, np.ndarray):
            self.reads.append(i.tolist())
        return super().__getitem__(i)


def test_batches_of_each_kind_of_store(tmp_path):
    at = np.array([4, 0, 4])
    for store in (EqualSeries([X]), as_store(on_disk(tmp_path / "x", X)), EqualSeries([X[:3], X[3:]]),
                  EqualSeries([X, X]).subset([6, 7, 2, 3, 10, 5]),
                  joined_stores([as_store(X[:2]), as_store(on_disk(tmp_path / "y", X[2:].astype("f8")))])):
        assert store.read(at, 4).tolist() == X[at].tolist() and store.read(at, 4).dtype == torch.float32
        assert store.read(at, 3).tolist() == X[at, :, :3].tolist() and store.read(at, 5)[:, :, 4].isnan().all()
        assert store.subset([5, 4])[1].tolist() == X[4].tolist() and len(store.subset([1])) == 1
    ragged = joined_stores([UnequalSeries.of(RAGGED[:2]), as_store([RAGGED[2]])])
    x = ragged.read(np.array([2, 0]), 3)
    assert x[1].tolist() == RAGGED[0].tolist() and x[0, :, :1].tolist() == RAGGED[2].tolist() and x[0, :, 1:].isnan().all()
    assert ragged.subset([1, 0])[0].tolist() == RAGGED[1].tolist() and not ragged.is_equal


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_a_file_is_read_when_a_batch_is_made_and_not_before(tmp_path, dtype):
    x = np.random.default_rng(0).integers(-9, 9, (40, 2, 4)).astype(dtype)
    on_disk(tmp_path / "x", x)
    data = Counting(tmp_path / "x", dtype=dtype, mode="r", shape=x.shape)
    Counting.reads = []
    dls = TSDataLoaders.from_array(data, list("ab" * 20), splits=(range(30), range(30, 40)), bs=5)
    made = sum(map(len, Counting.reads))
    assert made <= 4, "one series of each loader, to see what a sample is"
    batch = dls.valid.one_batch()[0]
    assert [30, 31, 32, 33, 34] in Counting.reads and batch.numpy().tolist() == x[30:35].tolist()
    Counting.reads = []
    assert [len(y) for _, y in dls.train] == [5] * 6 and sorted(i for r in Counting.reads if len(r) == 5 for i in r) == [*range(30)]
    assert dls.test_dl(data[:7]).one_batch()[0].numpy().tolist() == x[:5].tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_larger_than_what_is_kept_in_memory(tmp_path):
    def memory():
        lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Rss"))
        return sum(int(lines[k].split()[0]) for k in ("RssAnon", "RssFile")) / 1024
    data = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(1000, 4, 40_000))         # 640 MB, of which nothing is written
    before = memory()
    dls = TSDataLoaders.from_array(data, ["a", "b"] * 500, X_valid=data[:100], y_valid=["a", "b"] * 50, bs=8)
    for x, _ in (dls.one_batch(), dls.valid.one_batch()):
        assert x.shape == (8, 4, 40_000)
    assert memory() - before < 60, "MB"


def test_values_missing_in_a_file_are_seen_when_they_are_read(tmp_path):
    x = X.copy()
    x[5, 1, 2] = np.nan
    data = on_disk(tmp_path / "x", x)
    dls = TSDataLoaders.from_array(data, list("ababab"), splits=([0, 1, 2, 3], [4, 5]), bs=2)
    with pytest.raises(ValueError, match=r"1 missing values \(NaN\) in 1 series, at \[sample, channel, step\] \[5, 1, 2\]"):
        dls.valid.one_batch()
    dls = TSDataLoaders.from_array(data, list("ababab"), splits=([0, 1, 2, 3], [4, 5]), bs=2, fill=FillSteps(add_mask=True))
    batch = dls.valid.one_batch()[0]
    assert batch[:, :2].tolist() == X[4:].tolist() and batch[1, 3].tolist() == [0, 0, 1, 0] and dls.train_ds[0][0].shape == (4, 4)


def test_a_file_of_two_axes_and_statistics_of_its_training_rows(tmp_path):
    x = np.random.default_rng(0).normal(5, 3, (40, 9)).astype("f4")
    dls = TSDataLoaders.from_array(on_disk(tmp_path / "x", x), list("ab" * 20), splits=(range(30), range(30, 40)), bs=10,
                                   batch_tfms=TSStandardize())
    assert np.allclose(dls.valid.one_batch()[0][:, 0], (x[30:] - x[:30].mean()) / x[:30].std(), atol=1e-4)


def test_other_values_are_other_data_to_the_record_of_a_run():
    from minifast.data.fingerprint import digests_of
    from minifast.timeseries.loaders import TSDataLoaders
    x, y = np.zeros((10, 2, 5), "float32"), list("ab" * 5)
    other = x.copy()
    other[3, 1, 2] = 1
    same, copied, changed = (digests_of(TSDataLoaders.from_array(o, y, splits=(range(6), range(6, 10)))) for o in (x, x.copy(), other))
    assert same == copied and same["train"]["items_digest"] != changed["train"]["items_digest"] is not None


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_what_float32_loses_of_values_on_disk_is_said_once(tmp_path, dtype):
    disk = np.memmap(tmp_path / "x", dtype, "w+", shape=(8, 1, 5))
    disk[:] = 2 ** 40 + np.arange(40).reshape(8, 1, 5)
    store = as_store(disk)
    with pytest.warns(UserWarning, match="their differences are lost") as told:
        store.read(np.arange(4), 5)
        store.read(np.arange(4, 8), 5)
    assert len(told) == 1
    huge = np.memmap(tmp_path / "y", np.float64, "w+", shape=(2, 1, 3))
    huge[:] = 1e39
    with pytest.raises(ValueError, match="numbers up to 1e\\+39, which float32 cannot hold"):
        as_store(huge)[0]
