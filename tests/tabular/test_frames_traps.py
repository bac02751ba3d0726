"""Further traps of tables, beside those of docs/silent-failures.md (tests/silent_failures): here it works, or it is said."""

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.tabular.all import (
    Categorify,
    CategoryBlock,
    FillMissing,
    Normalize,
    TabDataLoader,
    TabularDataLoaders,
    TabularPandas,
    TabularProc,
    accuracy,
    cont_cat_split,
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


def test_a_misspelt_argument_is_refused_everywhere():
    df, to = small(), TabularPandas(small(), PROCS, ["k"], ["x"], "y")
    for call in (lambda: to.dataloaders(batch_sz=3), lambda: to.dataloaders(suffle=True), lambda: TabDataLoader(to, num_worker=2),
                 lambda: TabularDataLoaders.from_df(df, y_names="y", item_tfms=[]), lambda: TabularDataLoaders.from_df(df, yname="y"),
                 lambda: to.dataloaders().test_dl(df, bss=3)):
        with pytest.raises(TypeError, match="batch_sz|suffle|num_worker|item_tfms|yname|bss"):
            call()


@pytest.mark.parametrize("verb", [lambda learn: learn.freeze(), lambda learn: learn.fine_tune(1)], ids=["freeze", "fine_tune"])
def test_freezing_a_network_of_one_group_trains_all_of_it(verb):
    learn = learner(TabularDataLoaders.from_df(small(), y_names="y", bs=8))
    with pytest.warns(UserWarning, match="this model has 1 layer group, so nothing is frozen and all of it trains"):
        verb(learn)
    assert all(p.requires_grad for p in learn.model.parameters())


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
    assert table.report.startswith("0 rows, 1 categorical and 1 continuous columns\ntarget: ")


def test_what_cannot_be_saved_or_loaded_is_said():
    to = TabularPandas(small(), PROCS, ["k"], ["x"], "y")
    state = to.state_dict()
    with pytest.raises(TypeError, match=r"from_state_dict takes what state_dict of a table gave; received list"):
        TabularPandas.from_state_dict([])
    with pytest.raises(ValueError, match=r"has format 99, and this version reads 1 and 2"):
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
