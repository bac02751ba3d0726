"""`learn.save` and `learn.load`: fastai's `.pth` files, names with `.pth`, and nothing but the weights ever changes."""
import copy
import re
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.trackers import SaveModelCallback
from minifast.compat.fastai_names import DIFFERENT
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim.optimizers import SGD


def make(path, seed=0, n=8, **kwargs):
    torch.manual_seed(seed)
    ds = TensorDataset(torch.randn(16, 4), torch.arange(16) % 3)
    model = nn.Sequential(nn.Linear(4, n), nn.BatchNorm1d(n), nn.Linear(n, 3))
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), model, CrossEntropyLossFlat(), path=path, **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


def state(learn):
    "All that saving and loading could change."
    opt = None if learn.opt is None else [learn.opt.state_dict()["param_groups"], [
        {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in s.items()} for s in learn.opt.state_dict()["state"].values()]]
    return ({n: t.clone() for n, t in learn.model.state_dict().items()}, opt, learn.opt, learn.dls.device, learn.model.training, learn.cbs,
            [p.requires_grad for p in learn.model.parameters()], torch.get_rng_state(), repr(vars(learn.recorder)))


def same(a, b):
    torch.testing.assert_close(a[:2], b[:2], rtol=0, atol=0)
    return a[2] is b[2] and a[3:5] == b[3:5] and a[5] == b[5] and a[6] == b[6] and torch.equal(a[7], b[7]) and a[8] == b[8]


def fastai_file(learn, file, with_opt=True):
    "A file as fastai's `learn.save` writes it: settings are numpy numbers in fastcore's lists."
    model = learn.model.state_dict()
    file.parent.mkdir(exist_ok=True)
    if not with_opt:
        torch.save(model, file)
        return
    fastcore, foundation = types.ModuleType("fastcore"), types.ModuleType("fastcore.foundation")
    foundation.L = type("L", (), {"__module__": "fastcore.foundation", "__init__": lambda self, items: setattr(self, "items", items)})
    sys.modules.update({"fastcore": fastcore, "fastcore.foundation": foundation})
    try:
        hypers = foundation.L([{"lr": np.float64(1e-3), "mom": np.float64(0.9), "wd": 0.01}])
        torch.save({"model": model, "opt": {"state": [{"grad_avg": torch.zeros(3), "step": 4}], "hypers": hypers}}, file)
    finally:
        del sys.modules["fastcore"], sys.modules["fastcore.foundation"]


@pytest.mark.parametrize("name", ["theirs", "theirs.pth"])
def test_a_file_of_fastai_with_its_optimizer(tmp_path, name):
    theirs, learn = make(tmp_path), make(tmp_path, seed=1)
    fastai_file(theirs, tmp_path / "models" / "theirs.pth")
    with pytest.warns(UserWarning, match="theirs.pth: loaded only in part: the optimizer's state is fastai's, so the optimizer starts"):
        learn.load(name)
    torch.testing.assert_close(learn.model.state_dict(), theirs.model.state_dict())
    learn.fit(1)


@pytest.mark.parametrize("wrap", [dict, lambda weights: {"state_dict": weights, "epoch": 3}, lambda weights: {"model_state_dict": weights}])
def test_files_of_plain_weights(tmp_path, recwarn, wrap):
    theirs, learn = make(tmp_path), make(tmp_path, seed=1)
    torch.save(wrap(theirs.model.state_dict()), tmp_path / "plain.pth")
    assert learn.load(tmp_path / "plain.pth") is learn and not recwarn.list
    torch.testing.assert_close(learn.model.state_dict(), theirs.model.state_dict())


def test_a_pth_file_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    learn = make(tmp_path)
    before = state(learn)
    for content in (Evil(), {"model": learn.model.state_dict(), "opt": Evil()}):
        torch.save(content, tmp_path / "evil.pth")
        with pytest.raises(ValueError, match="cannot be read as tensors"):
            learn.load(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists() and same(before, state(learn))


def test_names_with_pth_are_kept_as_safetensors_and_found_again(tmp_path):
    learn = make(tmp_path)
    with pytest.warns(UserWarning, match=r"saved as safetensors: best.pth becomes best.safetensors, which learn.load\('best.pth'\) reads"):
        file = learn.save("best.pth")
    assert file == tmp_path / "models" / "best.safetensors"
    other = make(tmp_path, seed=1).load("best.pth")
    torch.testing.assert_close(other.model.state_dict(), learn.model.state_dict())
    assert torch.equal(make(tmp_path, seed=2).load("best").model[0].weight, learn.model[0].weight)


@pytest.mark.parametrize("path", [".", "runs"])
def test_what_save_returns_can_be_loaded(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    learn, others = make(path), [make(path, seed=1), make(path, seed=2)]
    file = learn.save("it")
    assert not file.is_absolute()
    for other, name in zip(others, (file, str(file)), strict=True):
        other.load(name)
        assert all(w.equal(other.model.state_dict()[n]) for n, w in learn.model.state_dict().items())


def test_what_is_said_of_saved_files_is_so(tmp_path):
    learn = make(tmp_path)
    learn.save("name")
    advice = re.findall(r"`([^`]*)`", DIFFERENT["learn.save"])
    assert advice == ["learn.save('name')", "models/name.safetensors", "models/name.pth", "torch.load", "learn.load('name')",
                      "safetensors.torch.load_file", "root.model."]
    weights = load_file(tmp_path / advice[1])
    assert all(torch.equal(weights[advice[6] + name], w) for name, w in learn.model.state_dict().items())
    assert not (tmp_path / advice[2]).exists() and learn.load("name") is learn


@pytest.mark.parametrize("fname", ["best", "best.pth"])
def test_save_model_callback_and_load_by_its_name(tmp_path, fname):
    learn = make(tmp_path)
    learn.fit(2, cbs=SaveModelCallback(fname=fname))
    assert (tmp_path / "models" / "best.safetensors").exists()
    assert torch.equal(make(tmp_path, seed=1).load(fname).model[0].weight, learn.model[0].weight)


@pytest.mark.parametrize("fitted", [False, True])
def test_saving_changes_nothing(tmp_path, fitted):
    learn = make(tmp_path)
    if fitted:
        learn.fit(1)
    before = state(learn)
    learn.save("x")
    learn.save("x", with_opt=False)
    assert same(before, state(learn))


class Remembers(Callback):
    "Keeps a number, and takes no text for one."
    def __init__(self, n):
        self.n = n

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"] + 0


def test_a_file_that_is_refused_leaves_the_learner_as_it_was(tmp_path):
    make(tmp_path, n=5).save("narrow")
    saved = make(tmp_path, opt_func=SGD)
    saved.fit(1)
    saved.save("sgd")
    texts = make(tmp_path, cbs=Remembers("text"))
    texts.fit(1)
    texts.save("texts")
    good = make(tmp_path)
    good.fit(1)
    good.save("good")
    for fitted in (False, True):
        learn = make(tmp_path, seed=1, cbs=Remembers(3))
        if fitted:
            learn.fit(1)
        before = state(learn)
        for name, error in (("narrow", ValueError), ("sgd", ValueError), ("texts", ValueError), ("absent", FileNotFoundError)):
            with pytest.raises(error):
                learn.load(name)
            assert same(before, state(learn)) and learn.remembers.n == 3
        with pytest.raises((RuntimeError, AssertionError)):
            learn.load("good", device="cuda" if not torch.cuda.is_available() else "cuda:99")
        assert same(before, state(learn)) and str(learn.dls.device) == "cpu"


def test_a_file_without_weights_says_so(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match=r"holds float32\[3\] on cpu, not the weights of a model: save `model.state_dict\(\)`"):
        make(tmp_path).load(tmp_path / "tensor.pth")


@pytest.mark.parametrize("content, message", [
    ({"model": 3}, r"the weights in .* do not fit this model: 9 tensors of the model not in the file"),
    ({"model": {3: torch.ones(1)}}, r"1 tensor of the file not in the model: 3"),
    ("weights with a number", r"0\.weight is int 3 in the file, float32\[8,4\] on cpu in the model"),
    ("weights that are None", r"0\.weight is NoneType None in the file"),
    ({"opt": {"param_groups": 3}}, r"optimizer state in .* is not what `state_dict\(\)` of an .* load\(\.\.\., with_opt=False\)"),
    ({"opt": {"param_groups": [{"params": 3}]}}, "is not what"), ({"opt": {"param_groups": [{"params": [], 1: 1}]}}, "is not what"),
    ({"opt": {"param_groups": [], "state": {0: 3}}}, "is not what"),
    ({"vocab": torch.tensor([1, 2], dtype=torch.uint8)}, r"vocabularies in .* cannot be read .* load\(\.\.\., check_vocab=False\)"),
    ({"vocab": torch.tensor([ord("3")], dtype=torch.uint8)}, "vocabularies in .* cannot be read")])
def test_wrong_content_is_named_and_the_advice_works(tmp_path, content, message):
    learn = make(tmp_path)
    weights = dict(learn.model.state_dict())
    if isinstance(content, str):
        content = weights | {"0.weight": 3 if "number" in content else None}
    elif "model" not in content:
        content = {"model": weights} | content
    torch.save(content, tmp_path / "m.pth")
    before = state(learn)
    with pytest.raises(ValueError, match=message) as e:
        learn.load(tmp_path / "m.pth")
    assert same(before, state(learn))
    if advice := re.search(r"load\(\.\.\., (\w+)=False\)", str(e.value)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                     # that it was loaded only in part
            learn.load(tmp_path / "m.pth", **{advice[1]: False})


def test_states_that_fail_where_they_are_used_are_named(tmp_path):
    learn = make(tmp_path, cbs=Remembers(3))
    learn.fit(1)
    opt = copy.deepcopy(learn.opt.state_dict())
    opt["state"][0]["step"] = None
    before = state(learn)
    for more, message in (({"opt": opt}, r"optimizer state in .*m\.pth does not fit .*with_opt=False\) \(TypeError: "),
                          ({"opt": learn.opt.state_dict(), "callbacks": 3}, r"states of callbacks in .*m\.pth do not fit .*\(TypeError: ")):
        torch.save({"model": learn.model.state_dict()} | more, tmp_path / "m.pth")
        with pytest.raises(ValueError, match=message):
            learn.load(tmp_path / "m.pth")
        assert same(before, state(learn))


class Counted(nn.Linear):
    "A layer with extra state that refuses text."
    def get_extra_state(self):
        return {"n": getattr(self, "n", 0)}

    def set_extra_state(self, state):
        self.n = state["n"] + 0


def test_a_model_with_extra_state_and_a_load_that_fails_half_way(tmp_path):
    def counted(n, seed):
        learn = make(tmp_path, seed=seed)
        learn.model.append(Counted(3, 3))
        learn.model[-1].n = n
        return learn
    counted(5, 0).save("five")
    counted("text", 0).save("text")
    learn = counted(1, 1).load("five")
    assert learn.model[-1].n == 5
    with torch.no_grad():
        for p in learn.model.parameters():
            p.add_(1)
    before = {n: t.clone() for n, t in learn.model.named_parameters()}
    with pytest.raises(TypeError):
        learn.load("text")
    assert learn.model[-1].n == 5 and all(torch.equal(t, before[n]) for n, t in learn.model.named_parameters())
