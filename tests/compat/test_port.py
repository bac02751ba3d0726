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
    ("from fastai.text.all import eu_langs\n", "eu_langs", "WordTokenizer"),
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


STAR = "from fastai.vision.all import *\nfrom fastai.tabular.all import *\n"


@pytest.mark.parametrize(("before", "line", "name", "advice"), [
    ("l = nn.CrossEntropyLoss()", "p, t = learn.get_preds()", "learn.get_preds", "act=noop"),
    ("learn = Learner(dls, m, loss_func=F.cross_entropy)", "p = learn.tta()", "learn.get_preds", "act=noop"),
    ("learn = vision_learner(dls, resnet18)", "p = learn.model(first(dls.test_dl([img]))[0])", "learn.model", "learn.dls.test_dl(items)"),
    ("learn = tabular_learner(dls)", "row, c, p = learn.predict(df.iloc[0])", "learn.predict", "row.show()"),
    ("", "n = len(learn.dls.train) * 5", "dls.train", "drop_last=True"),
    ("procs = [Categorify]", "df.size.cat.set_categories(sizes, ordered=True)", "to.classes", "'#na#'"),
    ("", "ids = to.items['id']", "to.items", "df.loc[to.items.index, 'column']"),
    ("", "to.iloc[0]", "to.iloc", "to.at(positions)"),
    ("", "to.decode().items.head()", "to.decode", "DataFrame"),
    ("w = learn.model.i_weight.weight", "w.pca(3)", "t.pca", "TensorBase(t).pca(3)"),
])
def test_methods_that_differ_are_named_with_what_to_write(before, line, name, advice):
    (finding,) = port_source(f"{STAR}{before}\n{line}\n")[1]
    assert (finding.line, finding.name, finding.absent) == (4, name, False) and advice in finding.text
    assert port_source(f"{before}\n{line}\n")[1] == [] or name in ("to.items", "to.iloc")        # no program for fastai


@pytest.mark.parametrize("source", [
    "l = CrossEntropyLossFlat()\nlearn.get_preds()", "l = nn.CrossEntropyLoss()\nlearn.get_preds(act=noop)",
    "learn = vision_learner(dls, resnet18)\nlearn.model(learn.dls.one_batch()[0])\nlearn.model.eval()",
    "learn = vision_learner(dls, resnet18)\nclass C(Callback):\n    def before_batch(self): self.model(self.x)",
    "m = RandomForestRegressor()\nm.predict(xs)\nlearn = vision_learner(dls, resnet18)\nlearn.predict(img)",
    "w = learn.model.weight(top, is_item=True)\nw.pca(3)", "TensorBase(w).pca(3)", "len(train)\nd.items()\ndf.cat.set_categories([1])",
])
def test_the_same_methods_used_otherwise_are_not(source):
    assert [f.name for f in port_source(STAR + source)[1] if "." in f.name] == []


def test_what_the_notes_on_methods_advise_works():
    from minifast.tabular.all import (
        Categorify,
        TabularPandas,
        TensorBase,
        nn,
        noop,
        np,
        pd,
        tabular_learner,
        torch,
    )
    df = pd.DataFrame({"k": list("ababab"), "x": np.arange(6.0), "id": range(6), "y": list("ppqqpq")})
    df["k"] = pd.Categorical(df["k"], ["b", "never", "a"], ordered=True)
    to = TabularPandas(df, [Categorify], ["k"], ["x"], "y", splits=([0, 1, 2, 3, 4], [5]))
    assert list(to.classes["k"]) == ["#na#", "b", "a"] and df.loc[to.valid.items.index, "id"].tolist() == [5]
    assert to.items.iloc[0]["x"] == 0 and len(to.at([1, 2])) == 2 and to.decode()["k"].tolist() == df["k"].tolist()
    dls = to.dataloaders(bs=2)
    assert len(dls.train) == 2 and len(to.dataloaders(bs=3).train) == 2 and len(to.dataloaders(bs=3, drop_last=True).train) == 1
    learn = tabular_learner(dls, layers=[4], loss_func=nn.CrossEntropyLoss())
    probabilities, logits = (learn.get_preds(**kwargs)[0] for kwargs in ({}, {"act": noop}))
    assert torch.allclose(logits.softmax(1), probabilities) and not torch.allclose(logits, probabilities)
    row = learn.predict(df.iloc[0])[0]
    assert row["x"] == 0 and row.show()["k"].tolist() == ["a"]
    assert TensorBase(torch.rand(6, 4)).pca(3).shape == (6, 3)


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
    bad.write_text(notebook("from fastai.text.all import *\neu_langs"))
    assert main(["port", str(tmp_path), "--check"]) == 1
    out = capsys.readouterr().out
    assert "bad.ipynb" in out and "eu_langs is absent" in out and "fastai" in good.read_text()
    assert main(["port", str(good)]) == 0 and good.read_text() == "from minifast.vision.all import *\nPath('x')\n"
    assert main(["port", str(tmp_path / "nothing.py")]) == 2
    assert "nothing.py" in capsys.readouterr().err
