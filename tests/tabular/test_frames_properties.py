"""Any frame: encoding, decoding and encoding again is stable; a shuffled or re-typed copy gives the same predictions."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minifast.tabular.frames import TabularPandas
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.procs import Categorify, FillMissing, Normalize

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
PROCS = [Categorify, FillMissing, Normalize]
QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

TEXT = st.sampled_from(["", " ", "a", "b", "é", "日本", "#na#x", "None", "nan", "1"])
ALL = {
    "text": (TEXT, [object, "string", "category"]),
    "int": (st.integers(-5, 5) | st.integers(2**53, 2**53 + 3), [object, "int64", "Int64", "category"]),
    "float": (st.floats(-1e6, 1e6) | st.sampled_from([0.1, -0.0]), [object, "float64", "Float64", "category"]),
    "bool": (st.booleans(), [object, "bool", "boolean", "category"]),
    "date": (st.dates(pd.Timestamp("1990-01-01").date(), pd.Timestamp("2030-01-01").date()).map(pd.Timestamp),
             ["datetime64[s]", "datetime64[ns]", object]),
    "mixed": (TEXT | st.integers(-3, 3) | st.floats(-3, 3), [object]),
}
GAPS = {object: [None, float("nan"), pd.NA, pd.NaT]}


def column(draw, kind, n, gaps=True):
    values, dtypes = ALL[kind]
    dtype = draw(st.sampled_from(dtypes))
    cells = draw(st.lists(values, min_size=n, max_size=n))
    can_miss = dtype not in ("int64", "bool")
    if gaps and can_miss:
        holes = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        missing = draw(st.sampled_from(GAPS[object] if dtype is object else [None]))
        cells = [missing if hole else v for v, hole in zip(cells, holes, strict=True)]
    return pd.Series(cells, dtype=object).astype(dtype)


@st.composite
def frames(draw):
    n = draw(st.integers(1, 12))
    cats = {f"c{i}": column(draw, kind, n) for i, kind in enumerate(draw(st.lists(st.sampled_from(list(ALL)), min_size=1, max_size=3)))}
    conts = {f"x{i}": pd.Series(draw(st.lists(st.floats(-1e4, 1e4) | st.none(), min_size=n, max_size=n)), dtype=dtype)
             for i, dtype in enumerate(draw(st.lists(st.sampled_from(["float64", "Float64", object, "float32"]), max_size=2)))}
    df = pd.DataFrame({**cats, **conts})
    df.index = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))                    # with repeats
    cut = draw(st.integers(0, n - 1))
    splits = None if not cut else (list(range(n - cut)), list(range(n - cut, n)))
    return df, list(cats), list(conts), splits


def made(df, cats, conts, splits):
    try:
        return TabularPandas(df, PROCS, cats, conts, splits=splits)
    except ValueError as e:                                      # a column without any number in training is refused
        assert "has no value at all in the training rows" in str(e)
        return None


def key(v):
    return "#na#" if pd.isna(v) else v


@QUICK
@given(frames())
def test_encode_decode_encode(case):
    df, cats, conts, splits = case
    before = df.copy()
    to = made(df, cats, conts, splits)
    pd.testing.assert_frame_equal(df, before)
    if to is None:
        return
    seen = df if splits is None else df.iloc[splits[0]]
    for name in cats:                                            # by hand: a value has a code of its own, if training had it
        known = {key(v) for v in seen[name].tolist()} - {"#na#"}
        assert set(to.classes[name]) == known | {"#na#"}
        for v, code in zip(df[name].tolist(), to.cats[name].tolist(), strict=True):
            assert to.classes[name][code] == (key(v) if key(v) in known else "#na#")
    decoded = to.decode()
    again = to.new(decoded).process()
    np.testing.assert_array_equal(again.cats[cats], to.cats[cats])
    np.testing.assert_allclose(again.conts, to.conts, atol=1e-4)
    pd.testing.assert_frame_equal(to.new(again.decode()).process().cats, again.cats)
    assert np.isfinite(to.conts.to_numpy()).all()


@QUICK
@given(frames(), st.randoms(use_true_random=False))
def test_a_shuffled_and_retyped_copy_is_the_same_rows(case, random):
    df, cats, conts, splits = case
    to = made(df, cats, conts, splits)
    if to is None:
        return
    order = random.sample(range(len(df)), len(df))
    other = df.iloc[order][random.sample(list(df), df.shape[1])]
    for name in cats:
        other = other.assign(**{name: other[name].astype(object if random.random() < 0.5 else "category")})
    new = to.new(other).process()
    np.testing.assert_array_equal(new.cats, to.cats.iloc[order])
    np.testing.assert_array_equal(new.conts, to.conts.iloc[order])
    for i, place in enumerate(order[:3]):
        codes, numbers = to.encode_row(other.astype(object).iloc[i].to_dict())
        assert codes == to.cats.iloc[place].tolist()
        np.testing.assert_array_equal(np.array(numbers, dtype=np.float32), to.conts.iloc[place])


@QUICK
@given(frames())
def test_one_row_frames_and_unknown_columns(case):
    df, cats, conts, splits = case
    to = made(df, cats, conts, splits)
    if to is None:
        return
    one = to.new(df.iloc[[0]].assign(more=1)).process()
    np.testing.assert_array_equal(one.xs, to.xs.iloc[[0]])
    assert len(to.new(df.iloc[0].to_frame().T).process()) == 1


def test_retyped_copies_give_the_same_predictions():
    rng = np.random.default_rng(0)
    n = 300
    df = pd.DataFrame({"s": rng.choice(["a", "b", "c"], n), "i": rng.integers(1, 9, n), "x": rng.normal(size=n),
                       "y": rng.choice(["p", "q"], n)})
    df.loc[::7, "s"] = None
    learn = tabular_learner(TabularDataLoaders.from_df(df, cat_names=["s", "i"], cont_names=["x"], y_names="y"), layers=[10])
    learn.fit(1)
    want = learn.predict(df)[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for types in ({"s": "category", "i": "category"}, {"s": "string", "i": "Int32"}, {"s": object, "i": float},
                      {"i": object, "x": object}):
            torch.testing.assert_close(learn.predict(df.astype(types))[2], want)
        order = rng.permutation(n)
        torch.testing.assert_close(learn.predict(df.iloc[order].astype({"s": "category"}))[2], want[order])
