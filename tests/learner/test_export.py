"""Exports of every format version are read, and a learner is the same after it was exported."""
import copy
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.learner.artifact import read
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.metrics.sklearn import F1Score
from minifast.nn.conv import ConvLayer

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
maker = importlib.util.spec_from_file_location("make_artifacts", ARTIFACTS / "make_artifacts.py")
make_artifacts = importlib.util.module_from_spec(maker)
maker.loader.exec_module(make_artifacts)
ITEMS = {"image": lambda: [make_artifacts.image()], "boxes": lambda: [make_artifacts.image()], "table": make_artifacts.table,
         "prices": make_artifacts.table, "ratings": make_artifacts.ratings, "words": make_artifacts.texts, "subwords": make_artifacts.texts,
         "language": lambda: make_artifacts.texts()[:4], "transformer": make_artifacts.texts}


@pytest.mark.parametrize("file", sorted(ARTIFACTS.glob("*.pkl")), ids=lambda f: f.stem)
def test_every_version_is_read(file):
    version, name = file.stem.split("_")
    for library in {"subwords": ["tokenizers"], "transformer": ["transformers"]}.get(name, []):
        pytest.importorskip(library)
    learn = load_learner(file)
    with learn.no_bar():
        preds = learn.get_preds(dl=learn.dls.test_dl(ITEMS[name]()))[0]
    expected = torch.tensor(json.loads((ARTIFACTS / f"{version}_expected.json").read_text())[name])
    assert ((preds - expected).abs() / expected.abs().clamp(min=1)).max() < 1e-6            # prices of 6.7 have steps of 5e-7


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


def get_x(name):
    return int(name) * torch.ones(3)


@pytest.mark.parametrize("own", [get_x, lambda name: get_x(name)], ids=["function", "lambda"])
def test_an_own_function_of_the_input_is_named_by_the_export(own, tmp_path):
    block = DataBlock((TransformBlock, CategoryBlock), get_x=own, get_y=lambda name: "ab"[int(name) % 2])
    learn = Learner(block.dataloaders(list("01234567"), bs=2, device="cpu"), nn.Linear(3, 2))
    name = own.__name__
    with pytest.warns(UserWarning, match=rf"own.pkl refers to .*{name}, your own .*load it with load_learner.'own.pkl', objects=") as said:
        file = learn.export(tmp_path / "own.pkl")
    written = str(said[0].message).partition("load it with ")[2]
    with pytest.raises(ValueError, match=rf"this needs {name}, a function of your own.*pass it, load_learner\(file, objects="):
        load_learner(file).predict("3")
    loaded = eval(written.replace("'own.pkl'", "file"), {"load_learner": load_learner, "file": file, "f": own, "get_x": own})   # as it says
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(loaded.predict("3")[2], learn.predict("3")[2])


def metrics_in(file):
    return {m["name"]: m["value"] for m in read(file)[0]["metrics"]}


@pytest.mark.filterwarnings("ignore:F-score is ill-defined")
def test_values_of_metrics_and_a_vocab_set_by_hand_survive_a_second_export(tmp_path):
    learn = next(learn for name, learn, _ in make_artifacts.learners() if name == "image")
    learn = Learner(learn.dls, learn.model, metrics=[accuracy, F1Score()])
    learn.dls.valid.vocab = ["Katze", "Hund"]
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    first = learn.export(tmp_path / "1.pkl")
    again = load_learner(first)
    assert list(again.dls.vocab) == ["Katze", "Hund"]
    second = load_learner(again.export(tmp_path / "2.pkl")).export(tmp_path / "3.pkl")
    assert metrics_in(second) == metrics_in(first) and set(metrics_in(first)) == {"accuracy", "f1_score"}
    assert metrics_in(first)["accuracy"] >= 0


def test_blocks_of_layers_in_a_sequential_need_no_code_of_ones_own(tmp_path, recwarn):
    learn, items = next((learn, items) for n, learn, items in make_artifacts.learners() if n == "image")
    model = nn.Sequential(ConvLayer(3, 4, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    learn = Learner(learn.dls, model, path=tmp_path)
    learn.export("model.pkl")
    loaded = load_learner(tmp_path / "model.pkl")
    assert not [w for w in recwarn if "your own code" in str(w.message)]
    with learn.no_bar(), loaded.no_bar():
        expected, found = (o.get_preds(dl=o.dls.test_dl(items))[0] for o in (learn, loaded))
    assert torch.equal(expected, found)
