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


@pytest.mark.parametrize(("attribute", "names"), [("model", {"parameters", "named_modules", "train", "state_dict"}),
                                                  ("opt", {"param_groups", "step", "zero_grad"})])
def test_an_editor_completes_the_parts(attribute, names):
    assert completions(CALLBACK.replace("self.learn.", f"self.{attribute}.")) >= names


def test_an_editor_shows_the_arguments_of_learner():
    source = "from minifast.learner.learner import Learner\nLearner("
    signatures = jedi.Script(source, path=str(ROOT / "example.py"), project=jedi.Project(str(ROOT))).get_signatures()
    assert [p.name for p in signatures[0].params][:4] == ["dls", "model", "loss_func", "opt_func"]
    assert "loss_func: LossFunc | None=None" in signatures[0].to_string() and "Args:" in signatures[0].docstring()


#: What no annotation of the package names: mypy would read it in more than half of its time, and be silent about it.
UNREAD = """[mypy]
[mypy-onnx.*,onnx_ir.*,onnxscript.*,onnxruntime.*,ml_dtypes.*,IPython.*,ipywidgets.*,prompt_toolkit.*,sympy.*,torch._inductor.*,\
torch._dynamo.*,torch._functorch.*,torch.ao.*,torch.distributed.*,torch.fx.*,torch.onnx.*,torch.profiler.*]
follow_imports = skip
"""


#: What star imports bring to a script: third-party names, those of every application, and those of one.
STARS = {
    "vision": "dls = ImageDataLoaders.from_folder(Path('x'), item_tfms=Resize(9))\nlearn = vision_learner(dls, resnet18, metrics=accuracy)",
    "tabular": "dls = TabularDataLoaders.from_df(pd.DataFrame(), y_names='y')\nlearn = tabular_learner(dls, metrics=[rmse])",
    "text": "dls = TextDataLoaders.from_df(pd.DataFrame())\nlearn = text_classifier_learner(dls, AWD_LSTM, metrics=accuracy)",
    "timeseries": "dls = TSDataLoaders.from_array(np.zeros((4, 1, 9)))\nlearn = ts_learner(dls, InceptionTime, metrics=mae)",
}


@pytest.fixture(scope="module")
def type_errors(tmp_path_factory):
    "`{name: lines of mypy, under its default settings}` of all sources of this file, checked in one run: most of its time it reads torch."
    folder = tmp_path_factory.mktemp("typed")
    stars = {f"star_{name}": f"from minifast.{name}.all import *\n\n{code}\nlearn.fit_one_cycle(1)\nno_such_name\nlearn.no_such_verb()\n"
             for name, code in STARS.items()}
    sources = {**stars, "correct": CORRECT, "wrong": WRONG}
    (folder / "mypy.ini").write_text(UNREAD)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--follow-imports", "silent",
               "--cache-dir", str(folder / "cache"), *(f"{name}.py" for name in sources)]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    return {name: [line for line in lines if line.startswith(f"{name}.py")] for name in sources}


@pytest.mark.slow
def test_mypy_knows_what_a_star_import_brings_and_nothing_else(type_errors):
    for name in STARS:
        errors = type_errors[f"star_{name}"]
        assert len(errors) == 2 and '"no_such_name" is not defined' in errors[0] and '"no_such_verb"' in errors[1], f"{name}: {errors}"


@pytest.mark.slow
def test_a_correct_callback_passes_mypy_and_a_wrong_one_fails(type_errors):
    assert type_errors["correct"] == []
    assert len(type_errors["wrong"]) == 3, type_errors
    assert '"Learner" has no attribute "no_such_thing"' in type_errors["wrong"][0]
