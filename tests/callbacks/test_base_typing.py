"""What an editor and a type checker know inside of a callback."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLBACK = '''from minifast.callbacks.base import Callback


class Halve(Callback):
    """A correct callback."""

    def __init__(self, factor: float = 0.5):
        self.factor = factor

    def after_loss(self) -> None:
        self.learn.loss = self.learn.loss * self.factor
        if self.epoch + 1 < self.n_epoch and self.training:
            print(self.loss.item(), next(self.model.parameters()).shape)
'''


@pytest.mark.parametrize(("written", "names"), [
    ("self.learn.", {"model", "dls", "opt", "loss", "xb", "fit_one_cycle", "get_preds", "recorder", "save", "add_cb"}),
    ("self.model.", {"parameters", "named_modules", "train", "state_dict"}),
    ("self.opt.", {"param_groups", "step", "zero_grad"})])
def test_an_editor_completes(written, names):
    jedi = pytest.importorskip("jedi")
    source = f"{CALLBACK}\n    def after_batch(self):\n        {written}"
    found = {c.name for c in jedi.Script(source, project=jedi.Project(ROOT)).complete()}
    assert names <= found
    assert written != "self.learn." or len({n for n in found if not n.startswith("_")}) >= 60


@pytest.mark.slow
def test_a_correct_callback_passes_mypy_and_a_wrong_one_does_not(tmp_path):
    pytest.importorskip("mypy")
    errors = {}
    for name, source in (("right", CALLBACK), ("wrong", CALLBACK.replace("self.epoch + 1", "self.epoch.nothing"))):
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        run = subprocess.run([sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(file)],
                             cwd=ROOT, capture_output=True, text=True, check=False)
        errors[name] = [line for line in run.stdout.splitlines() if "error:" in line]
    assert errors["right"] == [] and len(errors["wrong"]) == 1 and '"int" has no attribute "nothing"' in errors["wrong"][0]
