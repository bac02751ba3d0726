"""Batches of tables: right rows, right order, no rows lost; factories; what is refused."""
import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import SubsetRandomSampler

from minifast.core.paths import Path
from minifast.core.seeds import set_seed
from minifast.data.dataloader import DataLoader
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoaders
from minifast.data.splitters import ColSplitter, RandomSplitter
from minifast.data.splitters_groups import GroupSplitter, TimeSplitter
from minifast.tabular.dataloader import TabDataLoader, TableDataLoaders, TabWeightedDL
from minifast.tabular.frames import TabularPandas
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.procs import Categorify, FillMissing, Normalize
from minifast.tabular.splits import random_split


@pytest.fixture
def df():
    return pd.DataFrame({"k": [f"v{i % 7}" for i in range(50)], "x": np.arange(50.0), "z": [1, 2] * 25, "y": ["p", "q"] * 25})


@pytest.fixture
def to(df):
    return TabularPandas(df, [Categorify], ["k", "z"], ["x"], "y", splits=(list(range(33)), list(range(33, 50))))


def rows(batches):
    return [int(v) for b in batches for v in b[1][:, 0]]


def test_every_row_once_and_in_step(to):
    dls = to.dataloaders(bs=8)
    assert isinstance(dls, TableDataLoaders) and isinstance(dls.train, TabDataLoader) and isinstance(dls.train, DataLoader)
    batches = list(dls.train)
    assert len(rows(batches)) == len({*rows(batches)} & {*range(33)}) == 32          # 33 = 4 * 8 + 1: a last batch of one is dropped
    assert [len(b[0]) for b in batches] == [8] * 4 and rows(batches) != sorted(rows(batches))
    codes, numbers, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    index = numbers[:, 0].long()
    assert torch.equal(codes[:, 0], index % 7 + 1) and torch.equal(codes[:, 1], index % 2 + 1) and torch.equal(y, index % 2)
    assert rows(dls.valid) == list(range(33, 50)) and [len(b[0]) for b in dls.valid] == [8, 8, 1]
    assert [len(b[0]) for b in dls.train.new(bs=10)] == [10, 10, 10, 3] and len(dls.train.new(bs=10, drop_last=True)) == 3
    assert codes.dtype == torch.int64 and dls.n_inp == 2 and dls.c == 2 and list(dls.vocab) == ["p", "q"] and dls.bs == 8
    assert list(dls.classes["z"]) == ["#na#", 1, 2] and "TabDataLoader: 33 items" in repr(dls)


def test_the_order_is_seeded_and_can_be_resumed(to):
    set_seed(1)
    first = rows(to.dataloaders(bs=8).train)
    set_seed(1)
    dl = to.dataloaders(bs=8).train
    assert rows(dl) == first and rows(dl) != first                                        # another order in the next epoch
    fixed = [rows(to.dataloaders(bs=8, seed=5).train) for _ in range(2)]
    assert fixed[0] == fixed[1] != first
    dl = to.dataloaders(bs=8, seed=5).train
    it = iter(dl)
    next(it), next(it)
    state = dl.state_dict()
    again = to.dataloaders(bs=8, seed=5).train
    again.load_state_dict(state)
    assert rows(again) == fixed[0][16:]


def test_one_batch_leaves_the_random_streams_alone(to):
    dls = to.dataloaders(bs=8)
    before = torch.get_rng_state()
    a, b = dls.one_batch(), dls.one_batch()
    assert torch.equal(before, torch.get_rng_state()) and not torch.equal(a[1], b[1])


def test_the_rows_of_a_batch_have_names(to):
    dls = to.dataloaders(bs=8)
    batch = next(iter(dls.valid))
    assert dls.valid.names_of_batch() == [f"row {int(v)}" for v in batch[1][:, 0]]
    batch = next(iter(dls.train))
    assert dls.train.names_of_batch() == [f"row {int(v)}" for v in batch[1][:, 0]]


def test_samplers_and_parts(to):
    weights = [1.0] + [0.0] * 32
    assert set(rows(to.dataloaders(bs=8, sampler=WeightedSampler(weights)).train)) == {0}
    dl = TabDataLoader(to.train, bs=4, sampler=SubsetRandomSampler([3, 5, 9]))
    assert sorted(rows(dl)) == [3, 5, 9]
    assert rows(TabDataLoader(torch.utils.data.Subset(to.valid, [2, 0]), bs=4)) == [35, 33]
    assert rows(dl.new(to.valid.at([1, 2]))) == [34, 35]


def test_batch_transforms(to):
    dls = to.dataloaders(bs=8, after_batch=lambda x: x * 2 if x.is_floating_point() else x)
    assert max(rows(dls.valid)) == 98
    assert max(rows(to.dataloaders(bs=8).with_tfms(lambda x: x * 2 if x.is_floating_point() else x).valid)) == 98
    plain = to.dataloaders(bs=8)
    plain.add_tfms(lambda x: x * 2 if x.is_floating_point() else x, "after_batch")
    assert max(rows(plain.valid)) == 98 and isinstance(plain.new(bs=4), TableDataLoaders)
    with pytest.raises(ValueError, match="not made item by item; the event is 'after_batch'"):
        plain.train.add_tfms(abs, "after_item")
    with pytest.raises(ValueError, match="not made item by item: give the transforms to after_batch"):
        plain.train.after_item = abs
    plain.train.after_batch = lambda x: x * 3 if x.is_floating_point() else x
    plain.bs = 2
    assert len(plain.one_batch()[0]) == 2 == plain.valid.bs


def test_show_batch_and_decode(to):
    dls = to.dataloaders(bs=8)
    shown = dls.show_batch(max_n=3)
    assert shown.shape == (3, 4) and list(shown) == ["k", "z", "x", "y"]
    for row in dls.train.show_batch(show=False):
        assert row["k"] == f"v{int(row['x']) % 7}" and row["y"] == "pq"[int(row["x"]) % 2]
    b = dls.valid.one_batch()
    assert dls.decode_batch(b, 2)[0] == {"k": "v5", "z": 2, "x": 33.0, "y": "q"}
    with pytest.raises(TypeError, match=r"show_batch of a table gives a DataFrame and does not take nrows"):
        dls.show_batch(nrows=2)
    with pytest.raises(ValueError, match=r"show_batch\(max_n=0\)"):
        dls.train.show_batch(max_n=0)


def test_test_dl(to, df):
    dls = to.dataloaders(bs=8)
    dl = dls.test_dl(df.drop(columns="y"), bs=64)
    (codes, numbers), = list(dl)
    assert numbers[:, 0].tolist() == df["x"].tolist() and torch.equal(codes, to.tensors[0])
    labelled, = list(dls.test_dl(df, with_labels=True, bs=64))
    assert torch.equal(labelled[2], to.tensors[2]) and len(next(iter(dls.test_dl(df, with_labels=False)))) == 2
    for one in (df.iloc[3], df.iloc[3].to_dict(), [df.iloc[3].to_dict()], df.iloc[[3]]):
        assert dls.test_dl(one).one_batch()[0].tolist() == codes[[3]].tolist()
    with pytest.raises(ValueError, match=r"labels in this frame that are not among the 2 classes .*'r'"):
        dls.test_dl(df.assign(y="r"), with_labels=True)
    with pytest.raises(ValueError, match=r"lacks 1 column of the training data: 'k'"):
        dls.test_dl(df[["x", "z"]])
    with pytest.raises(TypeError, match=r"rows are dicts or Series"):
        dls.test_dl([1, 2])
    rows = df.drop(columns="y").to_dict("records")
    assert len(dls.test_dl(iter(rows)).dataset) == len(dls.test_dl(rows).dataset) == 50
    with pytest.raises(ValueError, match=r"different columns: item 1 lacks 'x', which item 0 has. Write None"):
        dls.test_dl([rows[0], {"k": "v1", "z": 1}])
    with pytest.raises(ValueError, match=r"different columns: item 0 lacks 'x', which item 1 has"):
        dls.test_dl([{"k": "v1", "z": 1}, rows[0]])


def test_test_dl_keeps_the_targets_of_rows_that_have_them(to, df):
    dls = to.dataloaders(bs=8)
    assert torch.equal(dls.test_dl(df, bs=64).one_batch()[2], to.tensors[2])
    assert len(dls.test_dl(df.assign(y=None)).one_batch()) == 2                             # a column that is there, but empty
    with pytest.warns(UserWarning, match=r"targets of these rows are left out: the target 'y' has labels in these rows.*'r'"):
        assert len(dls.test_dl(df.assign(y="r")).one_batch()) == 2
    assert len(list(dls.valid.new(to.new(df).process()))) == 7                              # fastai's way


def test_what_has_no_use_here_is_refused(to):
    with pytest.raises(TypeError, match=r"TabDataLoader takes a TabularPandas; received list"):
        TabDataLoader([1, 2])
    with pytest.raises(ValueError, match=r"does not take collate_fn, after_item: a batch is one index"):
        TabDataLoader(to.train, collate_fn=list, after_item=abs)
    with pytest.raises(TypeError, match=r"does not take suffle=bool True; did you mean 'shuffle'\?"):
        TabDataLoader(to.train, suffle=True)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'batch_sz'"):
        to.dataloaders(batch_sz=3)
    with pytest.raises(ValueError, match=r"smaller than one batch: drop_last=True with 33 items and bs=64"):
        to.dataloaders(bs=64, drop_last=True)


# -- factories ---------------------------------------------------------------------------------------------------------------------
def test_from_df(df):
    dls = TabularDataLoaders.from_df(df, y_names="y", bs=8)
    assert dls.classes.keys() == {"k", "z"} and dls.train.dataset.cont_names == ["x"] and len(dls.valid_ds) == 10
    assert [type(p).__name__ for p in dls.train.dataset.procs] == ["FillMissing", "Categorify", "Normalize"]
    assert sorted(dls.valid_ds.rows) == sorted(RandomSplitter(0.2)(df)[1])
    by_index = TabularDataLoaders.from_df(df, y_names="y", valid_idx=[3, 4], bs=8)
    assert by_index.valid_ds.row_index.tolist() == [3, 4] and len(by_index.train_ds) == 48
    assert len(TabularDataLoaders.from_df(df, y_names="y", valid_pct=0.5).valid_ds) == 25
    assert len(TabularDataLoaders.from_df(df, y_names="y", splits=([0, 1, 2, 3], [4])).train_ds) == 4
    cat_only = TabularDataLoaders.from_df(df, cat_names=["k"], y_names="y")
    assert cat_only.train.dataset.cont_names == ["x", "z"]                                    # the rest, in the order of the frame
    other = TabularDataLoaders.from_df(df, y_names="y", seed=3).valid_ds.rows
    assert sorted(other) != sorted(dls.valid_ds.rows)
    with pytest.raises(ValueError, match=r"without cont_names takes every column .* but 'k' holds"):
        TabularDataLoaders.from_df(df, cat_names=["z"], y_names="y")
    with pytest.raises(ValueError, match=r"valid_idx and valid_pct both say which rows are for validation"):
        TabularDataLoaders.from_df(df, y_names="y", valid_idx=[1], valid_pct=0.1)
    with pytest.raises(ValueError, match=r"valid_idx has positions outside 0..49"):
        TabularDataLoaders.from_df(df, y_names="y", valid_idx=[50])
    with pytest.raises(TypeError, match=r"valid_idx takes positions of rows, a mask or a pandas Index of labels; received"):
        TabularDataLoaders.from_df(df, y_names="y", valid_idx=0.2)
    with pytest.raises(ValueError, match=r"y_names: there is no column 'yy'; did you mean 'y'\?"):
        TabularDataLoaders.from_df(df, y_names="yy")


def test_random_split_is_that_of_random_splitter():
    for n, pct, seed in ((10, 0.2, None), (101, 0.33, 7)):
        splitter = RandomSplitter(pct) if seed is None else RandomSplitter(pct, seed)
        assert [list(s) for s in random_split(n, pct, seed)] == [list(s) for s in splitter(range(n))]
    with pytest.raises(ValueError, match="a random split of the rows cannot split 1 item"):
        random_split(1)


def test_from_csv(df, tmp_path):
    df.to_csv(tmp_path / "t.csv", index=False)
    dls = TabularDataLoaders.from_csv(tmp_path / "t.csv", path=tmp_path, y_names="y", bs=8)
    assert dls.path == tmp_path and list(dls.vocab) == ["p", "q"]
    (tmp_path / "s.csv").write_text("a, b, y\n1.5, u, p\n2.5, v, q\n3.5, u, p\n")
    dls = TabularDataLoaders.from_csv(tmp_path / "s.csv", y_names="y", valid_idx=[2])
    assert dls.path == tmp_path and list(dls.classes["b"]) == ["#na#", "u", "v"]
    assert TabularDataLoaders.from_csv(io.StringIO("a,y\n1,p\n2,q\n3,p\n"), y_names="y", valid_idx=[2]).path == Path(".")
    with pytest.raises(FileNotFoundError, match="there is no file .*none.csv"):
        TabularDataLoaders.from_csv(tmp_path / "none.csv", y_names="y")


@pytest.mark.slow
def test_the_order_of_columns_is_that_of_the_frame_in_every_process(df):
    code = ("import pandas as pd\nfrom minifast.tabular.loaders import TabularDataLoaders\n"
            "df = pd.DataFrame({n: [1.0, 2.0, 3.0] for n in 'zyxwvutabc'})\n"
            "print(TabularDataLoaders.from_df(df, cat_names=[], y_names='a').train.dataset.cont_names)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONHASHSEED": "7"})
    assert done.stdout == "['z', 'y', 'x', 'w', 'v', 'u', 't', 'b', 'c']\n"


def test_only_training_data(df):
    to = TabularPandas(df, [Categorify, FillMissing, Normalize], ["k"], ["x"], "y")
    dls = to.dataloaders(bs=8)
    assert len(dls) == 1 and dls.valid is None and isinstance(dls, DataLoaders) and len(dls.test_dl(df)) == 7


def test_workers_are_accepted_and_not_needed(to, df):
    few = {"num_workers": 2, "pin_memory": False}
    for dls in (to.dataloaders(bs=8, **few), TabularDataLoaders.from_df(df, y_names="y", cont_names="x", bs=8, **few)):
        assert dls.train.num_workers == 0 and len(dls.one_batch()) == 3
    assert TabDataLoader(to.train, persistent_workers=True, timeout=3).num_workers == 0


def test_weighted_rows(to):
    weights = [0.0] * len(to.train)
    weights[3] = 1
    dl = TabWeightedDL(to.train, bs=16, wgts=weights, shuffle=True)
    assert len(dl.dataset) == 33 and set(dl.one_batch()[1][:, 0].tolist()) == {to.train.conts["x"].iloc[3]}
    assert set(to.weighted_dataloaders(weights, bs=16).one_batch()[1][:, 0].tolist()) == {to.train.conts["x"].iloc[3]}
    assert sorted(x for _, n, _ in TabWeightedDL(to.train) for x in n[:, 0].tolist()) == sorted(to.train.conts["x"])
    with pytest.raises(ValueError, match=r"TabWeightedDL: wgts needs one weight per row: received 2 for 33 rows"):
        TabWeightedDL(to.train, wgts=[1, 2])
    with pytest.raises(ValueError, match=r"wgts needs one weight per training row: received 50 for 33 rows"):
        to.weighted_dataloaders([1.0] * 50)


def test_loaders_show_their_table(to):
    dls = to.dataloaders(bs=8)
    assert dls.procs is to.procs and dls.cat_names == to.cat_names and dls.valid.xs.equals(to.valid.xs) and dls.ys.equals(to.train.ys)
    assert dls.categorify is dls.valid.categorify is to.procs.categorify and list(dls.categorify["k"]) == list(to.classes["k"])
    for o in (dls, dls.train):
        with pytest.raises(AttributeError, match=r"has no attribute 'zs'"):
            o.zs


# -- what decides the split, and what training does not have --------------------------------------------------------------------------
@pytest.fixture
def split_frame():
    i = np.arange(120)
    return pd.DataFrame({"c": np.array(list("abc"))[i % 3], "x": i / 7, "patient": i // 10, "year": 2000 + i // 10,
                         "y": np.array(list("pq"))[i % 2], "is_valid": i % 4 == 0})


@pytest.mark.parametrize(("splitter", "column"), [
    (ColSplitter(), "is_valid"), (ColSplitter(3), "is_valid"), (ColSplitter("year", on=2001), "year"),
    (GroupSplitter("patient"), "patient"), (TimeSplitter("year"), "year")])
def test_what_decides_the_split_is_no_input(split_frame, splitter, column):
    frame = split_frame[["c", "x", "y", column]]
    for call in (TabularDataLoaders.from_df, lambda df, **kw: TabularDataLoaders.from_df(df, cat_names=["c"], **kw)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dls = call(frame, y_names="y", splits=splitter, device="cpu")
        assert dls.x_names == ["c", "x"] and dls.valid.dataset.unseen == {}
    with pytest.warns(UserWarning, match=f"of the .* rows that are not for training, .*{column!r} has .*100.0%.*leave it out"):
        dls = TabularDataLoaders.from_df(frame, cat_names=["c", column], y_names="y", splits=splitter, device="cpu")
    assert dls.x_names == ["c", column, "x"]                                      # listed, it is one
    with pytest.warns(UserWarning, match=f"{column!r} has .*100.0%"):
        TabularPandas(frame, [Categorify], ["c", column], ["x"], "y", splits=splitter(frame))


def test_rare_values_that_training_does_not_have_are_in_the_report(split_frame):
    split_frame["c"] = split_frame["c"].astype(object)
    split_frame.loc[0, "c"] = "rare"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to = TabularPandas(split_frame, [Categorify], ["c"], ["x"], "y", splits=ColSplitter()(split_frame))
    assert to.unseen == {"c": (1, "rare")} and "'c' has 1 (0.8%), such as 'rare'" in to.report
    split_frame.loc[[0, 4], "c"] = "rare"
    with pytest.warns(UserWarning, match=r"of the 30 rows that are not for training, .*'c' has 2 \(6.7%\), such as 'rare'"):
        TabularPandas(split_frame, [Categorify], ["c"], ["x"], "y", splits=ColSplitter()(split_frame))
