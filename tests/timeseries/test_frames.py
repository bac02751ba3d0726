"""Tables of series: long and wide."""
import numpy as np
import pandas as pd
import pytest

from minifast.timeseries.all import (
    ColSplitter,
    FillSteps,
    GroupSplitter,
    Learner,
    RegressionBlock,
    TSDataLoaders,
    TSStandardize,
    load_learner,
    n_steps,
    nn,
    resample,
)

RNG = np.random.default_rng(5)


def long(lengths=(4, 6, 5, 4, 6, 5, 4, 4)):
    rows = [(f"s{i}", t, i + t / 10, -t, "ab"[i % 2], i // 2) for i, n in enumerate(lengths) for t in range(n)]
    return pd.DataFrame(rows, columns=["id", "t", "a", "b", "label", "subject"])


LONG = long()
STEPS = [f"t{i}" for i in range(6)]
WIDE = pd.DataFrame(RNG.normal(size=(12, 6)), columns=STEPS, index=[f"r{i}" for i in range(12)]).assign(y=list("ab" * 6))


def from_long(df=LONG, value_cols=("a", "b"), label_col="label", id_col="id", time_col="t", **options):
    options = {"bs": 4, "splitter": GroupSplitter("subject")} | options
    return TSDataLoaders.from_df(df, list(value_cols), label_col, id_col, time_col, **options)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("index", [None, "t", "random"])
def test_rows_of_a_long_table_come_in_any_order(shuffled, index):
    df = LONG.sample(frac=1, random_state=3) if shuffled else LONG.copy()
    df = df.set_index("t", drop=False) if index == "t" else df.set_index(RNG.permutation(len(df))) if index == "random" else df
    df.index.name = None
    dls = from_long(df)
    for dl in dls:
        x, y = dl.one_batch() if dl is dls.valid else (None, None)
        for k, name in enumerate(dl.items.index if x is not None else ()):
            own = LONG[LONG["id"] == name]
            assert x[k][:, :len(own)].numpy().tolist() == own[["a", "b"]].to_numpy(np.float32).T.tolist() and n_steps(x)[k] == len(own)
            assert dls.vocab[int(y[k])] == own["label"].iloc[0]
    assert not {*dls.train.items["subject"]} & {*dls.valid.items["subject"]}, "what is the same in all rows stays a column"


def test_times_are_timestamps_with_a_zone_or_none():
    for zone in (None, "UTC", "Europe/Berlin"):
        start = pd.Timestamp("2024-03-30 22:00", tz="UTC")
        times = start + pd.to_timedelta(LONG["t"], unit="h")
        df = LONG.assign(t=times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)).sample(frac=1, random_state=1)
        x, _ = from_long(df).valid.one_batch()
        assert (x[:, 1].nan_to_num(-99).diff(dim=1)[:, :3] == -1).all(), "an hour that a clock leaves out is no gap"


def test_without_times_rows_are_in_order():
    dls = from_long(LONG.sample(frac=1, random_state=0).sort_values("t", kind="stable").drop(columns="t"), time_col=None)
    assert (dls.valid.one_batch()[0][:, 1, :4] == -np.arange(4)).all()


def test_a_time_that_comes_twice_is_named():
    df = pd.concat([LONG, LONG.iloc[[7, 7]].assign(a=99.0)])
    with pytest.raises(ValueError, match=r"1 time with more than one row, 's1' at 3 \(3\).*resample\(df.*drop_duplicates\(\['id', 't'\]\)"):
        from_long(df)
    assert len(from_long(df.drop_duplicates(["id", "t"])).train_ds) == 6


def test_a_gap_is_named_and_filled_on_request():
    df = LONG.drop(index=[5, 6])
    with pytest.raises(ValueError, match=r"1 gap with 2 missing steps, 's1' at 1 \(2\).*fill=FillSteps\('linear'\)"):
        from_long(df)
    dls = from_long(df, fill=FillSteps("linear"), splitter=GroupSplitter("id"))
    made = {name: x for dl in dls for name, x in zip(dl.items.index, (s[0] for s in dl.dataset), strict=True)}
    assert np.allclose(made["s1"][1], -np.arange(6.0))


def test_irregular_times_are_refused():
    df = LONG.assign(t=pd.Timestamp("2024-01-01") + pd.to_timedelta(LONG["t"], unit="h"))
    df.loc[9, "t"] += pd.Timedelta(minutes=7)
    with pytest.raises(ValueError, match=r"irregular.*'s1'.*resample\(df, freq='h', time='t'"):
        from_long(df)
    even = resample(df, freq="h", time="t", by="id")
    assert len(from_long(even.merge(LONG[["id", "label"]].drop_duplicates(), on="id", suffixes=("_", "")), splitter=None).train_ds) == 7


def test_a_label_that_differs_within_a_series():
    df = LONG.copy()
    df.loc[5, "label"] = "c"
    with pytest.raises(ValueError, match=r"label 'label' is not the same in all rows of series 's1': 'b', 'c'.*SlidingWindows"):
        from_long(df)


@pytest.mark.parametrize(("change", "message"), [
    ({"id_col": "ids"}, "no column 'ids'; did you mean 'id'"), ({"value_cols": ["a", "label"]}, "'label' are given as values and as label"),
    ({"id_col": None}, "say which series it belongs to, id_col="), ({"value_cols": ["a", "x"], "label_col": None}, "no column 'x'")])
def test_columns_that_do_not_go_together(change, message):
    with pytest.raises((ValueError, KeyError), match=message):
        from_long(**change)
    with pytest.raises(ValueError, match=r"2 rows have no id in the column 'id'.*df.dropna\(subset=\['id'\]\)"):
        from_long(LONG.assign(id=LONG["id"].where(LONG.index > 1)))
    with pytest.raises(TypeError, match=r"'a' \(str.*pd.to_numeric\(df\[column\]"):
        from_long(LONG.assign(a="x"))


def test_value_columns_are_the_numbers_left_over():
    dls = TSDataLoaders.from_df(LONG.drop(columns="subject"), None, "label", "id", "t", bs=4)
    assert dls.one_batch()[0].shape[1] == 2
    with pytest.raises(ValueError, match=r"value_cols=\[...\]: columns of numbers are t0.*'note' hold something else"):
        TSDataLoaders.from_df(WIDE.assign(note="x"), None, "y")


def test_one_row_a_series():
    dls = TSDataLoaders.from_df(WIDE, label_col="y", bs=4)
    x, _ = dls.valid.one_batch()
    assert x.shape == (2, 1, 6) and x[0, 0].tolist() == WIDE.loc[dls.valid.items.index[0], STEPS].astype("f4").tolist()
    for channels in ([["t0", "t1", "t2"], ["t3", "t4", "t5"]], {"a": ["t0", "t1", "t2"], "b": ["t3", "t4", "t5"]}):
        two = TSDataLoaders.from_df(WIDE, channels, "y", bs=4)
        assert two.valid.one_batch()[0].flatten().tolist() == x.flatten().tolist() and two.one_batch()[0].shape == (4, 2, 3)
    with pytest.raises(ValueError, match="the channels of value_cols have 1, 2 columns"):
        TSDataLoaders.from_df(WIDE, [["t0"], ["t1", "t2"]], "y")


def test_targets_and_splits_of_columns():
    df = WIDE.assign(held=[0, 0, 1] * 4, n=np.arange(12) / 3, m=1.5)
    values = [f"t{i}" for i in range(6)]
    dls = TSDataLoaders.from_df(df, values, ["n", "m"], y_block=RegressionBlock, valid_col="held", bs=4)
    assert dls.one_batch()[1].shape == (4, 2) and list(dls.valid.items.index) == ["r2", "r5", "r8", "r11"]
    assert len(TSDataLoaders.from_df(df, values, "y", splitter=ColSplitter("held"), bs=4).valid_ds) == 4
    assert len(TSDataLoaders.from_df(df, values, bs=4).one_batch()) == 1, "without targets"
    assert TSDataLoaders.from_df(WIDE, label_col="y", bs=4, fill=FillSteps("zero")).c == 2


@pytest.mark.parametrize("kind", ["long", "wide"])
def test_new_tables_before_and_after_export(tmp_path, kind):
    dls = from_long(batch_tfms=TSStandardize()) if kind == "long" else TSDataLoaders.from_df(WIDE, label_col="y", bs=4)
    new = LONG.drop(columns="label").sample(frac=1, random_state=2) if kind == "long" else WIDE.drop(columns="y")
    one = LONG[LONG["id"] == "s3"] if kind == "long" else WIDE.iloc[3]
    learn = Learner(dls, nn.Sequential(nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Linear(4 if kind == "long" else 2, 2)))
    learn.export(tmp_path / "learner.mf")
    for each in (learn, load_learner(tmp_path / "learner.mf")):
        dl = each.dls.test_dl(new, bs=1 if kind == "long" else 64)
        preds, _ = each.get_preds(dl=dl)
        assert len(preds) == (8 if kind == "long" else 12) and list(dl.items.index) == (
            list(dict.fromkeys(new["id"])) if kind == "long" else list(WIDE.index))
        assert preds[list(dl.items.index).index("s3" if kind == "long" else "r3")].allclose(each.predict(one)[2])
    labelled = learn.dls.test_dl(LONG if kind == "long" else WIDE, with_labels=True)
    assert len(labelled.one_batch()) == 2
    with pytest.raises(KeyError, match="the table has no column '(a|t0)', which the training table had"):
        learn.dls.test_dl(new.drop(columns="a" if kind == "long" else "t0"))


def test_a_table_where_arrays_were_trained_on():
    dls = TSDataLoaders.from_array(WIDE.iloc[:, :6].to_numpy(), list("ab" * 6), bs=4)
    with pytest.raises(TypeError, match=r"how a table holds series.*Give an array \(samples.*or make loaders with TSDataLoaders.from_df"):
        dls.test_dl(WIDE)
    assert len(dls.test_dl(WIDE.iloc[:, :6].to_numpy(), bs=64).one_batch()[0]) == 12


@pytest.mark.parametrize("dtype", ["int32", "int64", "Int32", "float64"])
def test_large_numbers_of_a_table_are_told(dtype):
    df = LONG.assign(a=(2 ** 30 + np.arange(len(LONG)) % 3)).astype({"a": dtype})
    with pytest.warns(UserWarning, match="their differences are lost. Subtract what they have in common, such as the smallest of them"):
        from_long(df, ["a"])
    from_long(LONG.astype({"a": "float32", "b": "int16"}))


def test_what_resample_makes_can_be_read_as_the_message_says():
    df = LONG.assign(label=LONG["subject"] % 2)
    df = pd.concat([df.drop([1]), df[4:5]])
    with pytest.raises(ValueError, match="with more than one row, 's1' at 0.*df = resample"):
        from_long(df)
    df = resample(df, freq=1, time="t", by="id")
    assert list(from_long(df, fill=FillSteps("linear")).vocab) == [0, 1], "not 0.0, and the row without values has its label"
    assert resample(df, 2, "t", "id", "sum")["subject"].tolist() != resample(df, 2, "t", "id")["subject"].tolist(), "a sum is one"
