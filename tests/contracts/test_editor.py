"""What an editor and a type checker know about `self.learn` in a callback, and about the arguments of `Learner`."""
import os
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

ROOT = Path(__file__).parents[2]

CALLBACK = """
from minifast.callbacks.base import Callback

class Mine(Callback):
    def after_batch(self):
        self.learn.
"""

CORRECT = """
import torch
from minifast import Callback, Learner

class WatchLoss(Callback):
    def before_fit(self) -> None:
        self.worst = 0.0

    def after_batch(self) -> None:
        learn = self.learn
        if learn.training:
            self.worst = max(self.worst, learn.loss.item())
            learn.xb = tuple(x.float() for x in learn.xb)
            for group in learn.opt.param_groups:
                print(learn.epoch + 1, learn.iter, group["lr"], learn.dls.train, learn.recorder.values)

    def after_epoch(self) -> None:
        assert isinstance(self.learn.model, torch.nn.Module)

def train(learn: Learner) -> float:
    with learn.no_bar():
        learn.fit_one_cycle(1, 1e-3, cbs=WatchLoss())
    return learn.to_fp32().validate()[0]
"""

WRONG = """
from minifast import Callback

class Mine(Callback):
    def after_batch(self) -> None:
        self.learn.no_such_thing
        self.learn.epoch = "first"
        self.learn.fit("two")
"""


def completions(source):
    script = jedi.Script(source.rstrip("\n"), path=str(ROOT / "example.py"), project=jedi.Project(str(ROOT)))
    return {c.name for c in script.complete() if not c.name.startswith("_")}


def test_an_editor_completes_the_learner_of_a_callback():
    names = completions(CALLBACK)
    assert len(names) >= 60
    assert names >= {"fit", "fit_one_cycle", "model", "dls", "opt", "recorder", "xb", "yb", "pred", "loss", "epoch", "add_cb", "save"}


def test_an_editor_shows_the_arguments_of_learner():
    source = "from minifast.learner.learner import Learner\nLearner("
    signatures = jedi.Script(source, path=str(ROOT / "example.py"), project=jedi.Project(str(ROOT))).get_signatures()
    assert [p.name for p in signatures[0].params][:4] == ["dls", "model", "loss_func", "opt_func"]
    assert "loss_func: LossFunc | None=None" in signatures[0].to_string() and "Args:" in signatures[0].docstring()


def type_errors(source, folder):
    "The lines of mypy, under its default settings, on `source`."
    file = folder / "users_code.py"
    file.write_text(source)
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--follow-imports", "silent", "--cache-dir", str(folder / "cache"),
               file.name]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]


@pytest.mark.slow
def test_a_correct_callback_passes_mypy_and_a_wrong_one_fails(tmp_path):
    assert type_errors(CORRECT, tmp_path) == []
    errors = type_errors(WRONG, tmp_path)
    assert len(errors) == 3, errors
    assert '"Learner" has no attribute "no_such_thing"' in errors[0]
