"""Windows as the dataset of loaders: labels by name, export, pictures."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.all import (
    Learner,
    Predictor,
    SlidingWindows,
    TensorCategory,
    TensorForecast,
    TensorKnown,
    TensorSeries,
    TSDataLoaders,
    TSStandardize,
    load_learner,
    nn,
)


def moves(labels):
    "Two channels of which the first says the label."
    at = np.repeat([0, 1, 0, 1, 0, 1], 20)
    df = pd.DataFrame({"time": np.arange(120), "x": at * 2.0 + np.sin(np.arange(120)) / 9, "z": 5.0, "kind": [labels[i] for i in at]})
    return df.sample(frac=1, random_state=0)


@pytest.mark.parametrize("labels", [("walk", "run"), (7, 3), (True, False), (pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-01"))])
def test_predictions_give_the_labels_back_also_after_export(labels, tmp_path):
    df = moves(labels)
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 8, label="kind", past=["x", "z"]), valid_pct=0.4, bs=16, batch_tfms=TSStandardize())
    assert list(dls.vocab) == sorted(labels) and dls.c == 2 and dls.n_inp == 1
    torch.manual_seed(0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    with learn.no_bar(), learn.no_logging():
        learn.fit(12, 3e-2)
    ordered = df.sort_values("time")
    found = [learn.predict(ordered[:8])[0], learn.predict(ordered[20:28].drop(columns="kind"))[0]]
    assert found == list(labels) and [type(o) for o in found] != [TensorSeries] * 2
    if not isinstance(labels[0], pd.Timestamp):
        learn.export(tmp_path / "l.mf")
        again = load_learner(tmp_path / "l.mf").predict(ordered[:8])[0]
        assert again == Predictor(tmp_path / "l.mf").predict(ordered[:8]).label == labels[0]
    decoded = dls.decode_batch(dls.one_batch(), 2)
    assert {o[1] for o in decoded} <= set(labels) and (decoded[0][0][1] - 5).abs().max() < 1e-5, "in the units of the data"


def test_new_rows_are_all_windows_with_labels_and_without():
    df = moves("ab")
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 8, label="kind", past="x", labelling="last"), valid_pct=0.4, bs=16)
    assert len(dls.test_dl(df.drop(columns="kind")).dataset) == 113 == len(dls.test_dl(df, with_labels=True).dataset)
    assert len(dls.test_dl(df).one_batch()) == 1


def test_kinds_of_a_sample_and_what_is_drawn():
    df = pd.DataFrame({"time": np.arange(60), "v": np.arange(60.0), "k": 1.0})
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 8, 3, target="v", known="k"), history=True, bs=4)
    assert [type(o) for o in dls.train.dataset[0]] == [TensorSeries, TensorKnown, TensorForecast]
    _, axes = plt.subplots(1, 2)
    dls.show_batch(max_n=2, ctxs=axes)
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["v", "k"] and len(axes[0].lines) == 3
    plt.close("all")
    assert TensorCategory(torch.tensor(1)) == SlidingWindows(df.assign(y=df["v"] > 30), 8, label="y", past="v")[40][1]


def test_splits_of_all_windows_train_without_validation():
    df = pd.DataFrame({"time": np.arange(30), "v": np.arange(30.0)})
    windows = SlidingWindows(df, 8, 3, target="v")
    dls = TSDataLoaders.from_windows(windows, splits=[range(len(windows))])
    assert len(dls) == 1 and len(dls.train.dataset) == 20
    with pytest.raises(ValueError, match="and so does n_valid: give one of them"):
        TSDataLoaders.from_windows(windows, splits=[range(20)], n_valid=3)
    with pytest.raises(TypeError, match=r"from_windows takes SlidingWindows\(df, window, horizon, ...\)"):
        TSDataLoaders.from_windows(df)


def hours(n, ids="ab"):
    return pd.concat([pd.DataFrame({"id": i, "time": np.arange(n), "v": np.arange(n) * 1.0}) for i in ids])


def test_without_targets_each_series_has_one_window_whatever_its_gaps():
    dls = TSDataLoaders.from_windows(SlidingWindows(hours(40), 4, 2, by="id", target="v", gaps="split"), bs=8)
    dl = dls.test_dl(hours(30).iloc[[*range(10), *range(12, 60)]])
    assert dl.one_batch()[0][:, 0, -1].tolist() == [29, 29]


def test_errors_of_a_season_are_of_series_that_were_trained_on():
    dls = TSDataLoaders.from_windows(SlidingWindows(hours(40), 4, 2, by="id", target="v"), bs=8)
    other = dls.test_dl(hours(20, "az"), with_labels=True).dataset
    with pytest.raises(ValueError, match=r"1 series of these had none: 'z'\. Leave it out, metrics=\[mae\]"):
        other.naive_errors(1, dls.train.dataset)


def test_series_without_a_window_are_told_where_they_are_left_out():
    df = pd.concat([hours(40), hours(5, "z")])
    with pytest.warns(UserWarning, match=r"from_windows: 1 of 3 series have no 6 rows in a row.*'z' \(5 rows\)\. All of them are"):
        dls = TSDataLoaders.from_windows(SlidingWindows(df, 4, 2, by="id", target="v"), bs=8)
    assert dls.train.dataset.windows.too_short == {"z": 5}
    with pytest.warns(UserWarning, match=r"test_dl: 1 of 2 series have no 4 rows in a row.*'b' \(3 rows\)"):
        assert len(dls.test_dl(pd.concat([hours(9, "a"), hours(3, "b")])).dataset) == 1
