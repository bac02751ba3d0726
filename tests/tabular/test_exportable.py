"""Learners of tables that were exported predict the same, and know columns, categories and scales."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.learner.export import load_learner
from minifast.learner.predictor import Predictor
from minifast.tabular.all import Categorify, TabularDataLoaders, TabularProc, tabular_learner

N = 60
i = np.arange(N)
DF = pd.DataFrame({"kind": np.array(list("xyz"))[i % 3], "size": np.where(i % 7 == 0, np.nan, i / 3), "day": pd.Timestamp("2020-01-01"),
                   "label": np.array(["no", "yes"])[i % 2], "price": i / 7, "weight": i / 9, "red": i % 2 == 0, "big": i % 3 == 0})
TARGETS = [("label", {}), ("price", {"y_range": (0, 10)}), (["price", "weight"], {}), (["red", "big"], {})]


@pytest.mark.parametrize(("target", "kwargs"), TARGETS, ids=["class", "number", "numbers", "labels"])
def test_tables(target, kwargs, tmp_path):
    dls = TabularDataLoaders.from_df(DF, cat_names=["kind", "day"], cont_names=["size"], y_names=target, bs=16, device="cpu")
    learn = tabular_learner(dls, [8], path=tmp_path, **kwargs)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    loaded = load_learner(learn.export("table.pkl"))
    rows = DF[["kind", "size", "day"]].copy()
    rows.loc[3, "kind"] = "new"
    with learn.no_bar(), loaded.no_bar(), pytest.warns(UserWarning, match="not seen in training"):
        before = learn.get_preds(dl=learn.dls.test_dl(rows))[0]
        assert torch.equal(loaded.get_preds(dl=loaded.dls.test_dl(rows))[0], before)
        assert loaded.show_results(dl=loaded.dls.test_dl(DF)).equals(learn.show_results(dl=learn.dls.test_dl(DF)))
    one, other = learn.predict(rows.iloc[0]), loaded.predict(rows.iloc[0].to_dict())
    assert dict(one[0]) == dict(other[0]) and torch.equal(one[2], other[2]) and str(loaded.dls.vocab) == str(dls.vocab)
    with pytest.raises(ValueError, match="without data"):
        loaded.dls.one_batch()
    made = Predictor(tmp_path / "table.pkl").predict(rows.iloc[:3].to_dict("records"))
    assert max((p.probs - b).abs().max() for p, b in zip(made, before, strict=False)) < 1e-6


def doubled(table):
    table["price"] = table["price"] * 2


class MyProc(TabularProc):
    def encodes(self, table):
        doubled(table)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_function_among_the_procs_is_refused_and_the_class_that_is_advised_is_exported(tmp_path):
    def learner(proc):
        dls = TabularDataLoaders.from_df(DF, procs=[Categorify, proc], cat_names=["kind"], cont_names=["price"], y_names="label",
                                           device="cpu")
        return tabular_learner(dls, [8], path=tmp_path)

    with pytest.raises(TypeError, match=r"the function doubled among the procs cannot be stored.*exported: write a class instead, "
                                        r"`class MyProc\(TabularProc\)`, .*`encodes\(self, table\)`.*returns {}"):
        learner(doubled).export("table.pkl")
    learn = learner(MyProc)
    with pytest.warns(UserWarning, match=r"objects=\{'MyProc': MyProc\}"):
        file = learn.export("table.pkl")
    loaded, rows = load_learner(file, objects={"MyProc": MyProc}), DF[["kind", "price"]]
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(*(o.get_preds(dl=o.dls.test_dl(rows))[0] for o in (loaded, learn)))


def test_classes_named_by_hand_are_kept(tmp_path):
    dls = TabularDataLoaders.from_df(DF, cat_names=["kind"], cont_names=["size"], y_names="label", device="cpu")
    dls.vocab = ["nein", "ja"]
    file = tabular_learner(dls, [8], path=tmp_path).export("table.pkl")
    assert load_learner(file).dls.vocab == Predictor(file).vocab == ["nein", "ja"]
