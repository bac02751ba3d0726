"Learners of series of every kind go through a file: the same predictions of new series, many or one, from threads, in another process."
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.block import RegressionBlock
from minifast.learner.export import load_learner
from minifast.learner.predictor import Predictor
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.missing import FillSteps
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.rocket_learner import mini_rocket_learner
from minifast.timeseries.standardise import TSNormalize, TSStandardize
from minifast.timeseries.windows import SlidingWindows

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(24, 2, 20)) * 3 + 5).astype("float32")
Y = np.array(["b", "a", "c"] * 8)
RAGGED = [x[:, :10 + i % 9] for i, x in enumerate(X)]
HOLES = X.copy()
HOLES[::5, 1, 3] = np.nan
LONG = pd.DataFrame({"id": np.repeat(np.arange(24), 20), "t": np.tile(np.arange(20), 24), "u": X[:, 0].ravel(), "v": X[:, 1].ravel(),
                     "y": np.repeat(Y, 20)})
WIDE = pd.DataFrame(X[:, 0]).assign(y=Y)
ROWS = pd.concat([pd.DataFrame({"id": k, "time": pd.date_range("2024-01-01", periods=60), "y": RNG.normal(size=60) + 10 * k,
                                "free": np.arange(60) % 7 == 0, "kind": np.repeat(["low", "high"], 30)}) for k in range(3)])
LAST = ROWS.groupby("id").tail(8)

#: Name -> (loaders, what makes a learner of them, new series).
KINDS = {
    "equal": (lambda: TSDataLoaders.from_array(X, Y, batch_tfms=TSStandardize(), bs=8), X[:5] + 1),
    "padded": (lambda: TSDataLoaders.from_array(RAGGED, Y, batch_tfms=TSStandardize(by_sample=True), bs=8), RAGGED[:5]),
    "normalised": (lambda: TSDataLoaders.from_array(RAGGED, Y, batch_tfms=TSNormalize(), bs=8), RAGGED[3:9]),
    "filled": (lambda: TSDataLoaders.from_array(HOLES, Y, fill=FillSteps("linear", add_mask=True), bs=8), HOLES[:6]),
    "one number": (lambda: TSDataLoaders.from_array(X, X.mean((1, 2)), bs=8), X[:5]),
    "numbers": (lambda: TSDataLoaders.from_array(X, X.mean(2), y_block=RegressionBlock, bs=8), X[:5]),
    "several labels": (lambda: TSDataLoaders.from_array(X, [["p", "q"][:1 + i % 2] for i in range(24)], bs=8), X[:5]),
    "numbers as labels": (lambda: TSDataLoaders.from_array(X, np.arange(24) % 3 * 10, bs=8), X[:5]),
    "long table": (lambda: TSDataLoaders.from_df(LONG, ["u", "v"], "y", "id", "t", bs=8), LONG[LONG.id < 4].sample(frac=1, random_state=0)),
    "wide table": (lambda: TSDataLoaders.from_df(WIDE, label_col="y", bs=8), WIDE[:5]),
    "windows": (lambda: TSDataLoaders.from_windows(SlidingWindows(ROWS, 8, by="id", past="y", label="kind", stride=4), bs=8), LAST),
    "forecasts": (lambda: TSDataLoaders.from_windows(SlidingWindows(ROWS, 8, 2, by="id", target="y", stride=3), bs=8), LAST),
    "known": (lambda: TSDataLoaders.from_windows(SlidingWindows(ROWS, 8, 2, by="id", target="y", known="free", stride=3), bs=8), None),
    "rocket": (lambda: TSDataLoaders.from_array(RAGGED, Y, bs=8), RAGGED[:5]),
}


def learner_of(kind, dls):
    if kind in ("forecasts", "known"):
        return ts_forecaster(dls, quantiles=(0.1, 0.5, 0.9) if kind == "known" else None)
    return mini_rocket_learner(dls, n_features=84, seed=0) if kind == "rocket" else ts_learner(dls, FCN, layers=(3, 3, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    "A function: kind -> a trained learner, and its file."
    folder, made = tmp_path_factory.mktemp("learners"), {}

    def of(kind):
        if kind not in made:
            torch.manual_seed(0)
            learn = learner_of(kind, KINDS[kind][0]())
            if kind != "rocket":
                with learn.no_bar(), learn.no_logging():
                    learn.fit(1, 1e-2)
            made[kind] = learn, learn.export(folder / f"{kind}.mf")
        return made[kind]

    return of


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "known"])
def test_new_series_are_predicted_as_before(exported, kind):
    (learn, file), new = exported(kind), KINDS[kind][1]
    loaded = load_learner(file)
    before, after = (o.get_preds(dl=o.dls.test_dl(new))[0] for o in (learn, loaded))
    assert torch.equal(before, after) and len(before) >= 3
    if isinstance(new, pd.DataFrame):                            # which may hold targets
        for o in (learn, loaded):
            preds, targets = o.get_preds(dl=o.dls.test_dl(ROWS if kind == "forecasts" else new, with_labels=True))
            assert len(preds) == len(targets) and (kind == "forecasts" or torch.equal(preds, before))


@pytest.mark.parametrize("kind", ["equal", "padded", "normalised", "filled", "one number", "numbers", "several labels", "numbers as labels",
                                  "rocket", "wide table"])
def test_one_series_is_predicted_as_many_are_also_from_threads(exported, kind):
    (learn, file), new = exported(kind), KINDS[kind][1]
    predictor = Predictor(file, bs=2)
    each = [row for _, row in new.iterrows()] if kind == "wide table" else list(new)
    together = learn.get_preds(dl=learn.dls.test_dl(new))[0]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.predict, each * 3))
    for i, one in enumerate(found):
        torch.testing.assert_close(one.probs, together[i % len(each)], atol=1e-5, rtol=1e-4)
    expected = [learn.predict(x)[0] for x in each]
    for labels in ([o.label for o in predictor.predict(each)], [o.label for o in found[:len(each)]]):
        if isinstance(expected[0], (str, int, np.integer)):
            assert labels == expected
        else:                                   # numbers, which batches of other sizes round otherwise
            np.testing.assert_allclose(np.array([list(o) if hasattr(o, "__len__") else o for o in labels]),
                                       np.array([list(o) if hasattr(o, "__len__") else o for o in expected]), rtol=1e-5, atol=1e-6)


def test_labels_come_back_as_they_are(exported):
    for kind, classes in (("numbers as labels", {0, 10, 20}), ("equal", {"a", "b", "c"})):
        learn, file = exported(kind)
        for predict in (learn.predict, load_learner(file).predict):
            assert predict(KINDS[kind][1][0])[0] in classes


@pytest.mark.parametrize(("kind", "given", "n"), [("forecasts", LAST, 3), ("windows", ROWS, 42), ("long table", LONG, 24)])
def test_a_table_with_several_series_is_not_taken_for_one(exported, kind, given, n):
    learn, file = exported(kind)
    for predict in (learn.predict, Predictor(file).predict):
        with pytest.raises(ValueError, match=rf"this DataFrame has {n}: write learn.get_preds\(dl=learn.dls.test_dl\(items\)\)|"
                                             r"received a table of 24: write dls.test_dl\(df\)"):
            predict(given)
    assert len(learn.get_preds(dl=learn.dls.test_dl(given))[0]) == n
    one = given[given.id == 1].tail(8) if kind != "long table" else given[given.id == 1]
    torch.testing.assert_close(learn.predict(one)[2], Predictor(file).predict(one).probs)


def test_arrays_and_tables_that_are_no_series_say_what_to_write(exported):
    learn, _ = exported("equal")
    with pytest.raises(ValueError, match=r"received \(24, 2, 20\). All of several .* learn.get_preds\(dl=learn.dls.test_dl\(X\)\)"):
        learn.predict(X)
    assert len(learn.get_preds(dl=learn.dls.test_dl(X))[0]) == 24
    with pytest.raises(TypeError, match=r"made from arrays, so how a table holds series is not known.*TSDataLoaders.from_df"):
        learn.predict(WIDE)


def test_forecasts_with_what_is_known_come_out_the_same(exported):
    learn, file = exported("known")
    future = pd.concat([pd.DataFrame({"id": k, "time": pd.date_range("2024-03-01", periods=2), "free": False}) for k in range(3)])
    before, after = (o.forecast(df=ROWS, known=future) for o in (learn, load_learner(file)))
    pd.testing.assert_frame_equal(before, after)
    assert before.columns.tolist() == ["id", "time", "y_0.1", "y_0.5", "y_0.9"]


def test_labels_of_bytes(tmp_path):
    learn = learner_of("equal", TSDataLoaders.from_array(X, Y.astype("S1"), bs=8))
    learn.export(tmp_path / "a.mf")
    loaded = load_learner(tmp_path / "a.mf")
    assert list(loaded.dls.vocab) == list(learn.dls.vocab) == [b"a", b"b", b"c"]
    assert loaded.predict(X[0])[0] == learn.predict(X[0])[0] in loaded.dls.vocab


def test_a_predictor_says_who_forecasts_with_known_columns(exported):
    file = exported("known")[1]
    with pytest.raises(ValueError, match=r"write learn.forecast\(df=df, known=future\).*after learn = load_learner"):
        Predictor(file).predict(LAST)
    learn, future = load_learner(file), LAST.assign(time=LAST.time + pd.Timedelta(days=8))
    assert len(learn.forecast(df=ROWS, known=future)) == 6


@pytest.mark.slow
def test_in_another_process(exported, tmp_path):
    files = {kind: exported(kind)[1] for kind in ("equal", "filled", "rocket")}
    for kind in files:
        np.savez(tmp_path / f"{kind}.npz", *KINDS[kind][1])
    code = ("import sys, numpy as np\nfrom minifast.learner.export import load_learner\n"
            "for file, series, to in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):\n"
            "    learn, loaded = load_learner(file), np.load(series)\n"
            "    np.save(to, learn.get_preds(dl=learn.dls.test_dl([loaded[k] for k in loaded]))[0].numpy())\n")
    arguments = [str(o) for kind, file in files.items() for o in (file, tmp_path / f"{kind}.npz", tmp_path / f"{kind}.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    for kind in files:
        learn = exported(kind)[0]
        expected = learn.get_preds(dl=learn.dls.test_dl(KINDS[kind][1]))[0]
        torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / f"{kind}.npy")), expected, atol=1e-6, rtol=1e-5)
