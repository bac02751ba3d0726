"""`minifast port`: imports rewritten, the rest untouched, what is different or absent named by line."""
import json

import pytest

from minifast.cli.main import main
from minifast.compat.port import port_notebook, port_source

SCRIPT = '''\
from fastai.vision.all import *
import fastai
from fastai.callback.fp16 import (MixedPrecision,
                                  NonNativeMixedPrecision)
path = untar_data(URLs.PETS)/"images"          # fastai's pets
é = fastai.__version__, fastai.vision
def ifnone(a, b): return b if a is None else a
x = typedispatch(ifnone(None, 3))
learn.save("fastai-model")
'''


def test_a_script():
    ported, findings = port_source(SCRIPT)
    assert ported == SCRIPT.replace("from fastai.", "from minifast.").replace("import fastai", "import minifast").replace(
        "= fastai.__version__, fastai.vision", "= minifast.__version__, minifast.vision")
    assert [(f.line, f.name, f.absent) for f in findings] == [
        (3, "NonNativeMixedPrecision", True), (8, "typedispatch", False), (9, "learn.save", False)]
    assert "learn.to_fp16()" in findings[0].text and str(findings[2]).startswith("line 9: learn.save is different: ")


@pytest.mark.parametrize(("source", "name", "advice"), [
    ("from fastbook import *\n", "fastbook", "from minifast.vision.all import *"),
    ("from fastai.vision import *\nfrom fastai.metrics.foo import bar\n", "fastai.metrics.foo", "no such module"),
    ("from fastai.basics import *\nstr2bool(3)\n", "str2bool", "from fastcore.all import str2bool"),
    ("from fastai.text.all import TextBlock\n", "TextBlock", "transformers"),
    ("from fastai.vision.all import *\nlearn = Learner(dls, m, cbs=CometCallback())\n", "CometCallback", "after_epoch"),
])
def test_what_is_absent_is_named(source, name, advice):
    _, (finding,) = port_source(source)
    assert finding.absent and finding.name == name and advice in finding.text


def test_code_without_fastai_stays_as_it_is():
    source = "import torch\nlistify = list\nx = torch.zeros(3)\n"
    assert port_source(source) == (source, [])


def test_names_that_are_somebodys_own_are_left_alone():
    source = """from fastai.vision.all import *
class Mine(Callback):
    def typedispatch(self): "SkipToEpoch"
try: pass
except Exception as pv: print(pv)
match x:
    case {"a": logit}: print(logit)
def f(*apply, **Chunks): return apply, Chunks
[dispatch for dispatch in x]
with open(x) as grayscale: print(grayscale)
"""
    assert port_source(source)[1] == []
    assert [f.name for f in port_source(source + "typedispatch(f)")[1]] == ["typedispatch"]        # a method is not the name of a function


def test_names_of_a_module_by_another_name():
    _, findings = port_source("import fastai.learner as fl\nfl.load_model(1)\nfl.Learner(2)\n")
    assert [(f.line, f.name) for f in findings] == [(2, "load_model")]


def test_what_differs_in_some_calls_alone_is_named_there():
    lines = ["RandomSplitter(seed=1)", "RandomSplitter(0.2, 3)", "RandomSplitter(**k)", "Normalize.from_stats(*imagenet_stats)",
             "RandomSplitter(0.2)", "Normalize()", "vision_learner(dls, resnet18)"]
    source = "from fastai.vision.all import *\n" + "\n".join(lines)
    assert [f.line for f in port_source(source)[1]] == [6, 7]
    assert [f.line for f in port_source(source + "\nprocs = [Categorify, Normalize()]")[1]] == [6]        # of tables


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": c.splitlines(keepends=True), "metadata": {}, "outputs": [],
                                  "execution_count": None} for c in cells] + [{"cell_type": "markdown", "source": ["# fastai"],
                                                                               "metadata": {}}],
                       "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebook_with_magic_lines():
    text = notebook("!pip install -q fastai\n%matplotlib inline\nfrom fastai.vision.all import *",
                    "untar_data?\nif True:\n    !ls\nx = ReadTabBatch",
                    "this is not Python with fastai")
    ported, findings = port_notebook(text)
    cells = json.loads(ported)["cells"]
    assert "".join(cells[0]["source"]) == "!pip install -q fastai\n%matplotlib inline\nfrom minifast.vision.all import *"
    assert cells[1:] == json.loads(text)["cells"][1:]
    assert [(f.cell, f.line, f.name) for f in findings] == [(2, 4, "ReadTabBatch"), (3, 1, "this cell")]


def test_the_command_line(tmp_path, capsys):
    good, bad = tmp_path / "good.py", tmp_path / "sub" / "bad.ipynb"
    good.write_text("from fastai.vision.all import *\nPath('x')\n")
    bad.parent.mkdir()
    bad.write_text(notebook("from fastai.text.all import *\nTextBlock"))
    assert main(["port", str(tmp_path), "--check"]) == 1
    out = capsys.readouterr().out
    assert "bad.ipynb" in out and "TextBlock is absent" in out and "fastai" in good.read_text()
    assert main(["port", str(good)]) == 0 and good.read_text() == "from minifast.vision.all import *\nPath('x')\n"
    assert main(["port", str(tmp_path / "nothing.py")]) == 2
    assert "nothing.py" in capsys.readouterr().err
