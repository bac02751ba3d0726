"""Exports of every format version are read, and a learner is the same after it was exported."""
import copy
import importlib.util
import json
from pathlib import Path

import pytest
import torch

from minifast.learner.export import load_learner

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
maker = importlib.util.spec_from_file_location("make_artifacts", ARTIFACTS / "make_artifacts.py")
make_artifacts = importlib.util.module_from_spec(maker)
maker.loader.exec_module(make_artifacts)
ITEMS = {"image": lambda: [make_artifacts.image()], "table": make_artifacts.table, "prices": make_artifacts.table,
         "ratings": make_artifacts.ratings}


@pytest.mark.parametrize("file", sorted(ARTIFACTS.glob("*.pkl")), ids=lambda f: f.stem)
def test_every_version_is_read(file):
    version, name = file.stem.split("_")
    learn = load_learner(file)
    with learn.no_bar():
        preds = learn.get_preds(dl=learn.dls.test_dl(ITEMS[name]()))[0]
    expected = json.loads((ARTIFACTS / f"{version}_expected.json").read_text())[name]
    assert (preds - torch.tensor(expected)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["image", "table", "ratings"])
def test_export_changes_nothing(name, tmp_path, monkeypatch):
    learn, items = next((learn, items) for n, learn, items in make_artifacts.learners() if n == name)
    learn.model.train()
    with learn.no_bar():
        learn.get_preds(dl=learn.dls.test_dl(items))

    def state():
        parts = {k: id(v) for k, v in vars(learn).items()}
        return (parts, list(learn.cbs), learn.model.training, {k: v.clone() for k, v in learn.model.state_dict().items()},
                str(learn.dls.device), torch.get_rng_state().tolist(), vars(learn.dls).copy())

    before = copy.copy(state())
    learn.export(tmp_path / "a.pkl")
    monkeypatch.setattr("minifast.learner.export.write", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        learn.export(tmp_path / "b.pkl")
    after = state()
    weights, others = (before[3], after[3]), (before[:3] + before[4:], after[:3] + after[4:])
    assert others[0] == others[1] and all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
