"""The recipe for Optuna in docs/techniques/random_search.md: it compiles, and where Optuna is installed it runs."""
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.dataloader import DataLoader
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat

PAGE = Path(__file__).parents[2] / "docs/techniques/random_search.md"
RECIPE = next(code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if "import optuna" in code)


def make_learner(drop):
    x = torch.randn(16, 3)
    ds = TensorDataset(x, (x[:, 0] > 0).long())
    dls = DataLoaders(DataLoader(ds, bs=8, shuffle=True, device="cpu"), DataLoader(ds, bs=8, device="cpu"))
    learn = Learner(dls, nn.Sequential(nn.Dropout(drop), nn.Linear(3, 2)), CrossEntropyLossFlat())
    learn.logger = lambda row: None
    return learn


def test_the_recipe_compiles():
    names = compile(RECIPE, str(PAGE), "exec").co_names
    assert {"optuna", "objective", "study"} <= set(names)


@pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")
def test_the_recipe_runs():
    found = {"make_learner": make_learner}
    exec(RECIPE.replace("n_trials=20", "n_trials=2"), found)
    assert set(found["study"].best_params) == {"drop", "lr"}


def test_what_the_recipe_uses_of_a_learner_is_there():
    learn = make_learner(0.1)
    learn.fit_one_cycle(1, 1e-2)
    assert learn.recorder.history[-1]["valid_loss"] > 0
