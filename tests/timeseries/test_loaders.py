"""From arrays to batches of series."""
import numpy as np
import pytest
import torch

from minifast.timeseries.all import (
    CategoryBlock,
    DataBlock,
    GroupSplitter,
    Learner,
    MultiCategoryBlock,
    PadSeries,
    RegressionBlock,
    SlidingWindows,
    TensorSeries,
    TSBlock,
    TSDataLoaders,
    is_step,
    n_steps,
    nn,
    pd,
    resample,
)

RNG = np.random.default_rng(3)
X = RNG.normal(size=(20, 3, 8)).astype(np.float32)
UNEQUAL = [RNG.normal(size=(2, n)).astype(np.float32) for n in (5, 9, 3, 7, 4, 6, 8, 5, 9, 3)]
HALVES = (range(10), range(10, 20))


def net(c_in, c_out):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(c_in, c_out)

        def forward(self, x):
            return self.head(x.nanmean(2))
    return Mean()


def test_series_of_one_length_and_their_classes():
    y = np.array(["walk", "run"])[np.arange(20) % 2]
    dls = TSDataLoaders.from_array(X, y, splits=HALVES, bs=4)
    x, t = dls.valid.one_batch()
    assert type(x) is torch.Tensor and x.numpy().tolist() == X[10:14].tolist() and t.tolist() == [1, 0, 1, 0]
    assert list(dls.vocab) == ["run", "walk"] and dls.c == 2 and dls.n_inp == 1 and type(dls.loss_func).__name__ == "CrossEntropyLossFlat"
    assert isinstance(dls.train_ds[0][0], TensorSeries)


@pytest.mark.parametrize("labels", [["b", "a"], [7, -1], [True, False], [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-01")]])
def test_labels_of_any_sortable_type_are_given_back(labels):
    y = [labels[i % 2] for i in range(20)]
    dls = TSDataLoaders.from_array(X, pd.Series(y), splits=HALVES, bs=4)
    label = Learner(dls, net(3, dls.c)).predict(X[0])[0]
    assert label in labels and isinstance(label, type(labels[0])) and list(dls.vocab) == sorted(labels)
    assert [dls.vocab[int(t)] for _, ts in dls.valid for t in ts] == y[10:]


def test_numbers_several_numbers_and_several_classes():
    for y, loss, shape in ((RNG.normal(size=20), "MSELossFlat", (4,)), (RNG.normal(size=(20, 2)), "MSELossFlat", (4, 2)),
                           ([["a"], ["a", "b"]] * 10, "BCEWithLogitsLossFlat", (4, 2)),
                           (torch.arange(20) % 3, "CrossEntropyLossFlat", (4,))):
        dls = TSDataLoaders.from_array(X, y, bs=4)
        assert type(dls.loss_func).__name__ == loss and dls.one_batch()[1].shape == shape
    dls = TSDataLoaders.from_array(X, np.arange(20), y_block=RegressionBlock, bs=4)
    assert dls.one_batch()[1].dtype == torch.float32
    assert TSDataLoaders.from_array(X, np.eye(3, dtype=int)[np.arange(20) % 3], vocab=["a", "b", "c"], bs=4).one_batch()[1].shape == (4, 3)
    with pytest.raises(ValueError, match=r"from_array: each label is a list of 3 values.*y_block=RegressionBlock"):
        TSDataLoaders.from_array(X, np.eye(3, dtype=int)[np.arange(20) % 3])


def test_classes_that_a_file_holds_as_floats_are_classes():
    with pytest.warns(UserWarning, match=r"whole numbers as floats, 1, 2.*y_block=RegressionBlock; y.astype\(int\)"):
        dls = TSDataLoaders.from_array(X, 1.0 + np.arange(20) % 2, bs=4)
    assert dls.c == 2 and list(dls.vocab) == [1.0, 2.0]
    y = 1.0 + np.arange(20) % 2
    assert type(TSDataLoaders.from_array(X, y, y_block=RegressionBlock, bs=4).loss_func).__name__ == "MSELossFlat"
    assert list(TSDataLoaders.from_array(X, y.astype(int), bs=4).vocab) == [1, 2]
    assert type(TSDataLoaders.from_array(X, np.arange(20) * 10.0, bs=4).loss_func).__name__ == "MSELossFlat", "a count, not a class"


def test_a_column_of_pandas_brings_its_classes_and_names():
    y = pd.Series(pd.Categorical(["low", "high"] * 10, categories=["low", "mid", "high"]), index=[f"s{i}" for i in range(20)])
    dls = TSDataLoaders.from_array(X, y, splits=HALVES, bs=4)
    assert list(dls.vocab) == ["low", "mid", "high"] and dls.valid_ds.item_name(0).startswith("row 's10'")


def test_series_of_several_lengths_are_padded_with_nan_at_the_end():
    dls = TSDataLoaders.from_array(UNEQUAL, list("ab" * 5), splits=(range(5), range(5, 10)), bs=5)
    x, _ = dls.valid.one_batch()
    assert x.shape == (5, 2, 9) and n_steps(x).tolist() == [6, 8, 5, 9, 3]
    for row, series in zip(x, UNEQUAL[5:], strict=True):
        assert row[:, :series.shape[1]].numpy().tolist() == series.tolist() and row[:, series.shape[1]:].isnan().all()
    learn = Learner(dls, net(2, 2))
    preds = learn.get_preds()[0]
    for i in (0, 4):
        assert torch.allclose(learn.predict(UNEQUAL[5 + i])[2], preds[i], atol=1e-6), "predictions are of items in their order"
    assert [s[0].shape for s in dls.valid.decode_batch(dls.valid.one_batch())] == [s.shape for s in UNEQUAL[5:]], "shown without padding"


def test_long_series_are_cut_on_request():
    dls = TSDataLoaders.from_array(UNEQUAL, list("ab" * 5), splits=(range(5), range(5, 10)), bs=5, max_len=6)
    x, _ = dls.valid.one_batch()
    assert x.shape == (5, 2, 6) and n_steps(x).tolist() == [6, 6, 5, 6, 3]
    assert dls.test_dl(UNEQUAL[:3]).one_batch()[0].shape == (3, 2, 6)


def test_a_validation_set_of_its_own():
    dls = TSDataLoaders.from_array(X[:15], list("abc" * 5), X_valid=X[15:], y_valid=list("abcab"), bs=5)
    assert len(dls.train_ds) == 15 and dls.valid.one_batch()[0].numpy().tolist() == X[15:].tolist()
    for wrong, message in (({"X_valid": X}, "y_valid is missing"), ({"y_valid": [1]}, "X_valid=, which is missing"),
                           ({"X_valid": X[:5], "y_valid": [1, 2]}, "5 samples, y_valid has 2 targets"),
                           ({"X_valid": X[:5, :2], "y_valid": list("abcab")}, "3 channels as X has; received 2"),
                           ({"X_valid": X[:5], "y_valid": list("abcab"), "splits": HALVES}, "give one of them"),
                           ({"splitter": len, "splits": HALVES}, "give one of them"),
                           ({"vocab": [1], "y_block": CategoryBlock}, "vocab and")):
        with pytest.raises((ValueError, TypeError), match=message):
            TSDataLoaders.from_array(X, list("ab" * 10), **wrong)


def test_groups_and_times_of_a_table_split():
    table = pd.DataFrame({"subject": np.arange(20) // 4, "day": pd.date_range("2024-01-01", periods=20)})
    dls = TSDataLoaders.from_array(X, list("ab" * 10), table=table, splitter=GroupSplitter("subject"), bs=4)
    assert not {*dls.train.items["subject"]} & {*dls.valid.items["subject"]}
    with pytest.raises(ValueError, match="one row per sample, 20; received"):
        TSDataLoaders.from_array(X, list("ab" * 10), table=table[:3])
    with pytest.raises(ValueError, match=r"no column called 'target'.*table.rename\(columns=\{'target': 'other name'\}\)"):
        TSDataLoaders.from_array(X, list("ab" * 10), table=table.assign(target=1))
    TSDataLoaders.from_array(X, list("ab" * 10), table=table.assign(target=1).rename(columns={"target": "other name"}), bs=4)


def test_x_and_y_must_be_equally_long():
    with pytest.raises(ValueError, match=r"X has 20 samples, y has 3 targets"):
        TSDataLoaders.from_array(X, [1, 2, 3])
    with pytest.raises(TypeError, match="y holds one target per sample; received str 'label'"):
        TSDataLoaders.from_array(X, "label")


def test_no_targets_at_all():
    dls = TSDataLoaders.from_array(X, bs=4)
    assert [b.shape if isinstance(b, torch.Tensor) else b[0].shape for b in dls.valid] == [(4, 3, 8)]


def test_numpy3d_takes_three_axes():
    assert TSDataLoaders.from_numpy3d(X, list("ab" * 10), bs=4).one_batch()[0].shape == (4, 3, 8)
    with pytest.raises(ValueError, match=r"channels, steps\); received float32\[20,8\]. Of other layouts write TSDataLoaders.from_array"):
        TSDataLoaders.from_numpy3d(X[:, 0], list("ab" * 10))
    TSDataLoaders.from_array(X[:, 0], list("ab" * 10), bs=4)


@pytest.mark.parametrize("n", [1, 3, 70])
def test_new_series_go_through_the_same_and_none_is_dropped(n):
    dls = TSDataLoaders.from_array(X, list("ab" * 10), bs=4)
    new = RNG.normal(size=(n, 3, 8))
    learn = Learner(dls, net(3, 2))
    for items in (new, list(new), torch.from_numpy(new)):
        preds = learn.get_preds(dl=dls.test_dl(items, bs=64))[0]
        assert len(preds) == n and torch.allclose(preds[-1], learn.predict(new[-1])[2], atol=1e-6)
    assert len(dls.test_dl(new[0])) == 1, "one series"
    with pytest.raises(ValueError, match=r"must have 3 channels, as the training series have, \(channels, steps\); received 2"):
        dls.test_dl(new[:, :2]).one_batch()


def test_a_datablock_of_series():
    block = DataBlock(blocks=(TSBlock, CategoryBlock), get_x=lambda o: o[0], get_y=lambda o: o[1], splitter=lambda o: ([0, 1, 2], [3, 4]))
    dls = block.dataloaders(list(zip(UNEQUAL[:5], "ababa", strict=True)), bs=2)
    assert type(dls.train).__name__ == "SeriesDL" and dls.valid.one_batch()[0].shape == (2, 2, 7)
    several = DataBlock(blocks=(TSBlock, MultiCategoryBlock), get_x=lambda o: o[0], get_y=lambda o: o[1])
    assert several.dataloaders([(X[i], ["a"]) for i in range(5)], bs=2).one_batch()[1].shape == (2, 1)


def test_batches_are_those_of_samples_made_one_by_one():
    for data in (X, UNEQUAL):
        y = list("ab" * (len(data) // 2))
        whole = TSDataLoaders.from_array(data, y, bs=3, seed=1)
        single = TSDataLoaders.from_array(data, y, bs=3, seed=1, item_tfms=lambda x: x)
        assert type(whole.train._fetcher).__name__ == "WholeBatches" and type(single.train._fetcher).__name__ == "Fetcher"
        for a, b in zip(whole.valid, single.valid, strict=True):
            assert a[0].nan_to_num(9).equal(b[0].nan_to_num(9)) and a[1].equal(b[1])


def test_padding_to_a_multiple():
    block = DataBlock(blocks=(TSBlock(max_len=7, multiple_of=4), CategoryBlock), get_x=lambda o: o[0], get_y=lambda o: o[1])
    dls = block.dataloaders(list(zip(UNEQUAL, "ababababab", strict=True)), bs=8)
    x, _ = dls.one_batch()
    assert x.shape[2] == 8 and n_steps(x).max() == 7 and not is_step(x)[:, 7].any()
    with pytest.raises(ValueError, match="multiple_of"):
        PadSeries(multiple_of=0)


@pytest.mark.parametrize("y", [np.array(["2024-01-01", "2025-01-01"], "datetime64[ns]"), np.array([1, 2], "timedelta64[h]")])
def test_times_of_numpy_stay_times(y):
    dls = TSDataLoaders.from_array(X, y[np.arange(20) % 2], splits=HALVES, bs=4)
    assert list(dls.vocab) == pd.Series(y).tolist() and not isinstance(dls.vocab[0], int)


def test_one_target_alone_is_refused():
    with pytest.raises(TypeError, match="y holds one target per sample; received"):
        TSDataLoaders.from_array(X, np.array(3))


def test_new_series_with_targets_are_validated():
    y = list("ab" * 10)
    learn = Learner(TSDataLoaders.from_array(X, y, splits=HALVES, bs=4), net(3, 2))
    with learn.no_bar(), pytest.raises(TypeError, match=r"write dls.test_dl\(\(X, y\), with_labels=True\).*or dls.test_dl\(X\) without"):
        learn.validate(dl=learn.dls.test_dl(X, with_labels=True))
    with learn.no_bar():
        assert learn.validate(dl=learn.dls.test_dl((X[10:], y[10:]), with_labels=True)) == learn.validate()
        assert len(learn.get_preds(dl=learn.dls.test_dl(X))[0]) == 20


def test_a_table_without_rows_is_refused_as_that():
    wide = pd.DataFrame({"a": [], "b": [], "label": []})
    long = pd.DataFrame({"id": [], "t": [], "v": []})
    for make, columns in ((lambda: TSDataLoaders.from_df(wide, label_col="label"), "a, b, label"),
                          (lambda: TSDataLoaders.from_df(long, id_col="id", time_col="t"), "id, t, v"),
                          (lambda: SlidingWindows(long, 3, 1, time="t", target="v"), "id, t, v"),
                          (lambda: resample(long, "D", time="t"), "id, t, v")):
        with pytest.raises(ValueError, match=f"received a table without rows, of the columns {columns}$"):
            make()
