"""What goes wrong with tables elsewhere without a word, one test per trap: here it works, or it is said."""
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.categories import CategoryMap
from minifast.tabular.all import (
    Categorify,
    CategoryBlock,
    CrossEntropyLossFlat,
    FillMissing,
    MSELossFlat,
    Normalize,
    TabDataLoader,
    TabularDataLoaders,
    TabularPandas,
    TabularProc,
    accuracy,
    add_datepart,
    cont_cat_split,
    df_shrink,
    fixed_seed,
    tabular_learner,
)

PROCS = [Categorify, FillMissing, Normalize]


def small(n=40, **columns):
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"k": rng.choice(["a", "b", "d"], n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    return df.assign(**{"y": np.where(df["x"] > 0, "yes", "no"), **columns})


def learner(dls, **kwargs):
    with fixed_seed(1):
        return tabular_learner(dls, [8], **kwargs)


def fitted(dls, **kwargs):
    learn = learner(dls, **kwargs)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return learn


class Forgetful(TabularProc):
    order = 0.5

    def setups(self, table):
        self.top = {name: float(np.nanmax(table.training(values))) for name, values in table.conts.items()}

    def encodes(self, table):
        for name, values in table.conts.items():
            table.conts[name] = np.minimum(values, self.top[name])


class Clip(Forgetful):
    def state_dict(self):
        return {"top": self.top}

    def load_state_dict(self, state):
        self.top = state["top"]


@pytest.mark.parametrize(("y", "loss"), [([0, 1] * 20, CrossEntropyLossFlat), ([True, False] * 20, CrossEntropyLossFlat),
                                         ([0.0, 0.5] * 20, MSELossFlat)])
def test_a_target_of_zeros_and_ones_is_classes_and_the_choice_is_shown(y, loss):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dls = TabularDataLoaders.from_df(small(y=y), y_names="y", bs=8)
    assert isinstance(dls.loss_func, loss) and dls.c == (2 if loss is CrossEntropyLossFlat else 1)
    assert ("target: y: 2 classes (" if loss is CrossEntropyLossFlat else "target: y: regression (floats)") in dls.train_ds.report


def test_columns_have_the_order_of_the_frame_in_each_process_so_that_saved_weights_fit(tmp_path):
    code = ("import sys, torch, pandas as pd\nfrom minifast.tabular.all import *\n"
            "df = pd.DataFrame({n: [float(i * j % 5) for j in range(12)] for i, n in enumerate('zyxwvu', 1)})\n"
            "df['y'] = ['p', 'q'] * 6\n"
            "dls = TabularDataLoaders.from_df(df, cat_names=[], y_names='y', bs=4)\n"
            "with fixed_seed(1):\n    learn = tabular_learner(dls, [8], path=sys.argv[1])\n"
            "learn.load('m') if sys.argv[2] == 'load' else learn.save('m')\n"
            "print([round(v, 6) for v in learn.predict(df.iloc[3])[2].tolist()])")

    def run(what, hash_seed):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path), what], capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONHASHSEED": hash_seed})
        return done.stdout

    assert run("save", "1") == run("load", "2")


def test_categories_are_looked_up_by_value_whatever_type_arrives():
    df = pd.DataFrame({"a": ["b", "a", "d"], "n": [10, 20, 30]})
    to = TabularPandas(df, Categorify, ["a", "n"])
    for a in (["b", "d"], pd.Categorical(["b", "d"]), pd.Categorical(["b", "d"], ["d", "zz", "b"]), pd.array(["b", "d"], "string")):
        for n in ([10, 30], [10.0, 30.0], pd.Categorical([10, 30]), pd.array([10, 30], "Int64"), np.array([10, 30], object)):
            assert to.new(pd.DataFrame({"n": n, "a": a})).process().cats.to_numpy().tolist() == [[2, 1], [3, 3]]


def test_unseen_categories_are_counted_and_said_and_an_unseen_label_is_an_error():
    dls = TabularDataLoaders.from_df(small(), y_names="y", bs=8)
    new = small().assign(k=["a", "zz"] * 20)
    with pytest.warns(UserWarning, match=r"'k' has 20 \(50.0%\), such as 'zz'"):
        assert dls.test_dl(new).dataset.unseen == {"k": (20, "zz")}
    with pytest.raises(ValueError, match=r"'y' has labels in this frame that are not among the 2 classes of training, .*\['maybe'\]"):
        dls.test_dl(small().assign(y=["maybe"] + ["yes"] * 39), with_labels=True)


@pytest.mark.parametrize("reduce_memory", [False, True])
def test_ids_are_never_rounded(reduce_memory):
    ids = 20_000_000.0 + np.arange(180)                               # float32 has 91 of them
    df = pd.DataFrame({"id": ids, "x": np.arange(180.0), "y": ["a", "b"] * 90})
    to = TabularPandas(df, PROCS, ["id"], ["x"], "y", reduce_memory=reduce_memory)
    assert len(to.classes["id"]) == 181 and to.cats["id"].nunique() == 180
    assert df_shrink(df)["id"].nunique() == 180
    big = pd.DataFrame({"id": [2**60, 2**60 + 1, 2**60 + 2]})
    assert TabularPandas(big, Categorify, ["id"]).cats["id"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_elapsed_is_seconds_whatever_the_unit_of_the_dates(unit):
    df = pd.DataFrame({"when": pd.to_datetime(["2024-01-01", "1970-01-02"]).astype(f"datetime64[{unit}]")})
    assert add_datepart(df, "when")["whenElapsed"].tolist() == [1_704_067_200, 86_400]


def test_a_constant_column_does_not_explode():
    df = pd.DataFrame({"c": [1.0] * 6, "x": np.arange(6.0)})
    with pytest.warns(UserWarning, match="constant in the training rows, so they say nothing and are not scaled: 'c'"):
        to = TabularPandas(df, Normalize, [], ["c", "x"])
    assert to.new(pd.DataFrame({"c": [1.5], "x": [2.5]})).process().conts.iloc[0].tolist() == [0.5, 0.0]


def test_missing_targets_stop_before_training_and_name_their_rows():
    df = small(y=[0.5] * 40)
    df.loc[[3, 17], "y"] = np.nan
    with pytest.raises(ValueError, match=r"target 'y' is missing .* in 2 rows of the frame: 3, 17. Leave these rows out"):
        TabularDataLoaders.from_df(df, y_names="y")


@pytest.mark.parametrize("name", ["c", "vocab", "loss_func", "n_inp", "train", "items", "device", "classes"])
def test_a_column_may_be_named_like_anything(name):
    df = small().rename(columns={"k": name})
    dls = TabularDataLoaders.from_df(df, y_names="y", bs=8)
    assert dls.c == 2 and list(dls.vocab) == ["no", "yes"] and dls.n_inp == 2 and list(dls.classes) == [name]
    row, _, probs = fitted(dls).predict(df.iloc[0])
    assert row[name] == df[name][0] and probs.shape == (2,)


@pytest.mark.parametrize("kind", [np.float32, np.float64, object, "Float64"])
def test_the_kind_of_target_does_not_hang_on_its_first_value_or_its_width(kind):
    y = pd.Series([1, 2, 3, 0.25] * 10, dtype=kind)
    assert isinstance(TabularDataLoaders.from_df(small(y=y), y_names="y").loss_func, MSELossFlat)
    mixed = pd.Series([1, 2, "three", 2] * 10, dtype=object)
    dls = TabularDataLoaders.from_df(small(y=mixed), y_names="y")
    assert isinstance(dls.loss_func, CrossEntropyLossFlat) and dls.c == 3


def test_a_misspelt_argument_is_refused_everywhere():
    df, to = small(), TabularPandas(small(), PROCS, ["k"], ["x"], "y")
    for call in (lambda: to.dataloaders(batch_sz=3), lambda: to.dataloaders(suffle=True), lambda: TabDataLoader(to, num_worker=2),
                 lambda: TabularDataLoaders.from_df(df, y_names="y", item_tfms=[]), lambda: TabularDataLoaders.from_df(df, yname="y"),
                 lambda: to.dataloaders().test_dl(df, bss=3)):
        with pytest.raises(TypeError, match="batch_sz|suffle|num_worker|item_tfms|yname|bss"):
            call()


def test_a_training_set_smaller_than_the_batch_is_trained_on_or_refused():
    df = small(n=10)
    dls = TabularDataLoaders.from_df(df, y_names="y", bs=64)
    assert len(dls.train) == 1
    before = [p.clone() for p in learner(dls).model.parameters()]
    learn = fitted(dls)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert np.isfinite(learn.recorder.losses).all()
    with pytest.raises(ValueError, match=r"smaller than one batch: drop_last=True with 8 items and bs=64"):
        TabularDataLoaders.from_df(df, y_names="y", bs=64, drop_last=True)


@pytest.mark.parametrize(("n", "batches"), [(40, [16, 16, 8]), (33, [16, 16]), (34, [16, 16, 2]), (1, [1])])
def test_no_training_row_is_dropped_but_a_single_one(n, batches):
    to = TabularPandas(small(n=n + 8), [Categorify], ["k"], ["x"], "y", CategoryBlock(vocab=["no", "yes"]),
                       splits=(range(n), range(n, n + 8)))
    assert [len(b[0]) for b in to.dataloaders(bs=16).train] == batches
    assert [len(b[0]) for b in to.dataloaders(bs=7).valid] == [7, 1]


def test_looking_up_unknown_categories_leaves_the_vocabulary_as_it_is():
    classes = CategoryMap(["a", "b"], add_na=True)
    assert [classes.id_of(f"new{i}") for i in range(100)] == [0] * 100 and len(classes) == 3 and len(classes.o2i) == 3
    df = small()
    learn = fitted(TabularDataLoaders.from_df(df, y_names="y", bs=8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for i in range(50):
            learn.predict({"k": f"new{i}", "x": 0.0, "z": 0.0})
        learn.dls.test_dl(df.assign(k=[f"other{i}" for i in range(40)]))
    assert list(learn.dls.classes["k"]) == ["#na#", "a", "b", "d"] and len(learn.table().procs[1]._lookup["k"]) == 4


@pytest.mark.parametrize("verb", [lambda learn: learn.freeze(), lambda learn: learn.fine_tune(1)], ids=["freeze", "fine_tune"])
def test_freezing_a_network_of_one_group_is_refused(verb):
    learn = learner(TabularDataLoaders.from_df(small(), y_names="y", bs=8))
    with pytest.raises(ValueError, match="this model has 1 layer group. Pass `splitter=`"):
        verb(learn)


def test_embeddings_frozen_by_hand_stay_frozen():
    dls = TabularDataLoaders.from_df(small(), y_names="y", bs=8)
    learn = learner(dls, splitter=lambda m: [list(m.embeds.parameters()), [*m.bn_cont.parameters(), *m.layers.parameters()]])
    learn.model.embeds[0].weight.requires_grad_(False)
    before = learn.model.embeds[0].weight.clone()
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1)
    learn.unfreeze()
    assert not learn.model.embeds[0].weight.requires_grad and torch.equal(before, learn.model.embeds[0].weight)


@pytest.mark.parametrize("retype", [
    lambda c: c.astype(object), lambda c: c.astype("category"), lambda c: c.astype("string"),
    lambda c: c.astype(pd.CategoricalDtype(["d", "q", "b", "a"])),
], ids=["object", "category", "string", "other categories"])
def test_another_type_or_order_at_prediction_gives_the_same_predictions(retype):
    df = small(60)
    learn = fitted(TabularDataLoaders.from_df(df, y_names="y", bs=8))
    wanted = learn.get_preds(dl=learn.dls.test_dl(df))[0]
    other = df.assign(k=retype(df["k"]))[["z", "y", "k", "x"]].iloc[::-1]
    dl = learn.dls.test_dl(other)
    assert all(torch.equal(a.flip(0), b) for a, b in zip(dl.dataset.tensors, learn.dls.test_dl(df).dataset.tensors, strict=True))
    torch.testing.assert_close(learn.get_preds(dl=dl)[0].flip(0), wanted)       # of another order in the batch, to the last digit but one
    alone = torch.stack([learn.predict(other.iloc[i])[2] for i in range(5)])
    torch.testing.assert_close(alone, wanted.flip(0)[:5])


def test_categories_of_a_pandas_categorical_that_do_not_occur_make_no_classes_and_no_missing_labels():
    y = pd.Categorical(["no", "yes"] * 20, ["maybe", "no", "never", "yes"])
    dls = TabularDataLoaders.from_df(small(y=y), y_names="y", y_block=CategoryBlock, bs=8)
    assert sorted(dls.vocab) == ["no", "yes"] and dls.train_ds.y.isna().sum() == 0
    assert fitted(dls, metrics=accuracy).validate()[1] >= 0


def test_cont_cat_split_goes_by_the_type_of_the_values_in_every_width():
    n = 60
    df = pd.DataFrame({
        "f4": np.arange(n, dtype="f4"), "f8": np.zeros(n), "i1": np.arange(n, dtype="i1"), "i8": np.arange(n),
        "u2": np.arange(n, dtype="u2"), "I64": pd.array(range(n), "Int64"), "F32": pd.array(np.zeros(n), "Float32"),
        "few": np.arange(n) % 20, "b": [True, False] * (n // 2), "B": pd.array([True, None] * (n // 2), "boolean"),
        "s": ["u", "v"] * (n // 2), "S": pd.array(["u", None] * (n // 2), "string"),
        "c": pd.Categorical([1.5, 2.5] * (n // 2)), "y": range(n)})
    cont, cat = cont_cat_split(df, dep_var="y")
    assert cont == ["f4", "f8", "i1", "i8", "u2", "I64", "F32"] and cat == ["few", "b", "B", "s", "S", "c"]


def test_rows_that_are_removed_or_doubled_in_the_index_change_nothing():
    df = small(50)
    odd = df.set_index(pd.Index([7] * 50))
    a, b = (TabularPandas(d, PROCS, ["k"], ["x", "z"], "y", splits=(range(40), range(40, 50))) for d in (df, odd))
    assert all(torch.equal(s, t) for s, t in zip(a.tensors, b.tensors, strict=True))


# -- what a table has learnt, in a file ------------------------------------------------------------------------------------------------
def rich(n=60):
    df = small(n)
    df["day"] = pd.to_datetime("2024-01-01") + pd.to_timedelta(np.arange(n) % 4, "D")
    df["level"] = pd.Categorical(np.array(["low", "mid", "high"])[np.arange(n) % 3], ["low", "mid", "high"], ordered=True)
    df["flag"], df["code"] = np.arange(n) % 2 == 0, np.arange(n) % 5
    df.loc[::7, "x"] = np.nan
    return df


def test_a_saved_table_processes_rows_and_predicts_without_the_training_data(tmp_path):
    df = rich()
    cats = ["k", "day", "level", "flag", "code"]
    to = TabularPandas(df, PROCS, cats, ["x", "z"], "y", splits=(range(48), range(48, 60)))
    learn = fitted(to.dataloaders(bs=8), path=tmp_path)
    learn.save("net")
    file = to.save(tmp_path / "table.safetensors")
    assert file.stat().st_size < 10_000
    table = TabularPandas.load(file)
    assert len(table) == 0 and table.classes == to.classes and table.vocab == to.vocab and table.c == 2
    new, again = to.new(df.drop(columns="y")).process(), table.test_set(df.drop(columns="y"))
    assert all(torch.equal(a, b) for a, b in zip(new.tensors, again.tensors, strict=True))
    assert table.encode_row(df.iloc[7].to_dict()) == to.encode_row(df.iloc[7].to_dict())
    pd.testing.assert_frame_equal(again.decode(), new.decode())
    there = tabular_learner(again.dataloaders(bs=8, shuffle=False), [8], path=tmp_path)
    there.load("net", with_opt=False)
    for i in (0, 7):
        mine, yours = learn.predict(df.iloc[i]), there.predict(df.iloc[i])
        assert torch.equal(mine[2], yours[2]) and mine[0]["y"] == yours[0]["y"]


@pytest.mark.parametrize(("y", "names"), [([0.5, 1.5, 2.5] * 20, "y"), ([[0, 1]] * 60, ["a", "b"]), ([[True, False]] * 60, ["a", "b"])],
                         ids=["number", "numbers", "labels"])
def test_saved_tables_of_other_targets(y, names):
    df = small(60).drop(columns="y")
    df[names] = y
    to = TabularPandas(df, PROCS, ["k"], ["x"], names)
    table = TabularPandas.from_state_dict(to.state_dict())
    assert table.c == to.c and type(table.loss_func) is type(to.loss_func)
    labelled = table.new(df).process()
    assert torch.equal(labelled.tensors[2], to.tensors[2])
    assert table.report.startswith("0 rows, 1 category and 1 continuous columns\ntarget: ")


def test_what_cannot_be_saved_or_loaded_is_said():
    to = TabularPandas(small(), PROCS, ["k"], ["x"], "y")
    state = to.state_dict()
    with pytest.raises(TypeError, match=r"from_state_dict takes what state_dict of a table gave; received list"):
        TabularPandas.from_state_dict([])
    with pytest.raises(ValueError, match=r"has format 99, and this version reads 1"):
        TabularPandas.from_state_dict({**state, "format": 99})
    with pytest.raises(ValueError, match=r"has a proc 'Mine': give its class, from_state_dict\(state, procs=\[Mine\]\)"):
        TabularPandas.from_state_dict({**state, "procs": [{"kind": "Mine", "state": {}}]})
    with pytest.raises(TypeError, match=r"column 'k' has a category that cannot be stored, .*: make it text or a number"):
        TabularPandas(pd.DataFrame({"k": [(1, 2), (3, 4)]}), Categorify, ["k"]).state_dict()
    with pytest.raises(RuntimeError, match="needs processed columns"):
        TabularPandas(small(), PROCS, ["k"], ["x"], "y", do_setup=False).state_dict()


def test_a_proc_of_ones_own_is_saved_if_it_says_how():
    to = TabularPandas(small(), [Clip, Normalize], [], ["x"], "y")
    again = TabularPandas.from_state_dict(to.state_dict(), procs=[Clip])
    far = pd.DataFrame({"x": [1e6]})
    assert again.test_set(far).conts["x"].tolist() == to.test_set(far).conts["x"].tolist() != [1e6]
    to.procs[0].__class__ = Forgetful
    with pytest.raises(TypeError, match=r"Forgetful is a proc of your own; give it `state_dict\(\)`"):
        to.state_dict()
