"""What `minifast port` notes on lines of programs for fastai: names that work differently here, and other packages."""
import itertools
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from suggestions import told
from torch import nn
from workshop import learner, noted, numbers, quiet

from minifast.callbacks import WandbCallback
from minifast.tabular.all import *
from minifast.text.all import *
from minifast.vision.all import *


def table(n=5, **kwargs):
    df = pd.DataFrame({"k": list("ababab"), "x": np.arange(6.0), "column": range(6), "y": list("ppqqpq")})
    return df, TabularPandas(df, [Categorify], ["k"], ["x"], "y", splits=(list(range(n)), list(range(n, 6))), **kwargs)


def test_splits():
    with told("compat/fastai_names.py", "without `seed` it is drawn with seed 42, so that loaders that are made again keep their split"):
        noted("RandomSplitter(0.2)")
    assert RandomSplitter(0.2)(range(20)) == RandomSplitter(0.2)(range(20)) == RandomSplitter(0.2, seed=42)(range(20))


def test_schedules():
    with told("compat/fastai_names.py", "beside a schedule, which would set the learning rate back, it warns and does nothing; use it"):
        noted("learn.fit_one_cycle(1, cbs=ReduceLROnPlateau())")
    with pytest.warns(UserWarning, match="ReduceLROnPlateau"):
        learner().fit_one_cycle(1, cbs=ReduceLROnPlateau())
    learn = learner()
    learn.fit(4, lr=1e-3, cbs=ReduceLROnPlateau(min_delta=9))
    assert learn.recorder.lrs[-1] < 1e-3


def test_saving(tmp_path):
    learn = learner(path=tmp_path)
    with told("compat/fastai_names.py", "`learn.save('name')` writes `models/name.safetensors`, not `models/name.pth` for `torch.load`",
              "read it with `learn.load('name')`, or with `safetensors.torch.load_file`",
              "where the names of the model's weights begin with `root.model.`"):
        noted("learn.save('name')")
    learn.save("name")
    learn.load("name")
    weights = load_file(tmp_path / "models/name.safetensors")
    model = nn.Linear(4, 3)
    model.load_state_dict({k.removeprefix("root.model."): v for k, v in weights.items() if k.startswith("root.model.")})
    assert torch.equal(model.weight, learn.model.weight.cpu())


def test_where_exports_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dls = table()[1].dataloaders(bs=2)
    dls.path = Path(tmp_path / "data")
    dls.path.mkdir()
    with told("compat/fastai_names.py", "write `load_learner(learn.path/'export.pkl')`, or `path=dls.path` where the learner is made"):
        noted("learn.export()")
    learn = quiet(tabular_learner(dls, layers=[4]))
    learn.export()
    assert load_learner(learn.path / "export.pkl").dls.vocab == dls.vocab and (tmp_path / "export.pkl").exists()
    tabular_learner(dls, layers=[4], path=dls.path).export()
    assert load_learner(dls.path / "export.pkl").dls.vocab == dls.vocab


def test_the_best_epoch(tmp_path):
    fname, learn = "best", learner(path=tmp_path)
    with told("compat/fastai_names.py", "it writes safetensors; read them with `learn.load(fname)`"):
        warnings.warn((Path(__file__).parents[2] / "docs/from_fastai.md").read_text(encoding="utf-8"), stacklevel=1)
    learn.fit(1, cbs=SaveModelCallback(fname=fname))
    learn.load(fname)
    assert (tmp_path / "models/best.safetensors").exists()


def test_predictions():
    learn = learner(loss_func=nn.CrossEntropyLoss())
    with told("compat/fastai_names.py", "with a loss of torch, such as `nn.CrossEntropyLoss()`, predictions are probabilities, in fastai"):
        noted("learn = Learner(dls, model, nn.CrossEntropyLoss())", "learn.get_preds()")
    assert torch.allclose(learn.get_preds(act=noop)[0].softmax(1), learn.get_preds()[0])


def test_tables():
    positions, (df, to) = [1, 2], table()
    with told("compat/fastai_names.py", "it has the processed columns alone: for others of the frame write `df.loc[to.items.index,"):
        noted("to.items['column']")
    assert df.loc[to.valid.items.index, "column"].tolist() == [5] and df.loc[to.items.index, "column"].tolist() == list(range(6))
    with told("compat/fastai_names.py", "write `to.items.iloc[...]`, or `to.at(positions)` for a table of these rows"):
        noted("to.iloc[0]")
    assert to.items.iloc[0]["x"] == 0 and to.at(positions).items["x"].tolist() == [1, 2]
    with told("compat/fastai_names.py", "it returns a new DataFrame, and leaves the table as it is: write `to.decode()` where fastai has"):
        noted("to.decode().items")
    assert to.decode()["k"].tolist() == df["k"].tolist()
    with told("compat/fastai_names.py", "the incomplete last batch is kept (a single item is left out), which fastai drops: write"):
        noted("len(dls.train)")
    assert len(to.dataloaders(bs=3).train) == 2 and len(to.dataloaders(bs=3, drop_last=True).train) == 1


def test_tensors_and_numbers():
    t = torch.rand(6, 4)
    with told("compat/fastai_names.py", "only a `TensorBase` has it, torch stays as it is: write `TensorBase(t).pca(3)`"):
        noted("t.pca(3)")
    assert TensorBase(t).pca(3).shape == (6, 3)
    with told("compat/fastai_names.py", "it is the number `float('inf')`; for `Inf.count` write `itertools.count()`"):
        noted("Inf.count")
    assert Inf == float("inf") and next(itertools.count()) == 0
    with told("compat/fastai_names.py", "elements of `start` are not repeated"):
        noted("uniqueify(x, start=[1])")
    assert list(uniqueify([1, 2, 2], start=[1])) == [1, 2]


def test_weights_and_biases(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(__spec__=SimpleNamespace(name="wandb")))
    with told("compat/fastai_names.py", "it takes `project=`, `name=`, `config=`, `log_every=`, `n_preds=`, `log_preds=`, and opens a run"):
        noted("WandbCallback(log='all')")
    WandbCallback(project="p", name="n", config={}, log_every=2, n_preds=1, log_preds=False)


class Named(Learner):
    "A subclass."

    def name(self):
        return "subclass"


def test_methods_added_to_classes(monkeypatch):
    def function(self):
        return "function"

    def added(self):
        return "callback"

    with told("compat/fastai_names.py", "calling it raises: write a subclass, a `Callback`, or `Learner.name = function`"):
        noted("@patch", "def name(self: Learner): pass")
    assert quiet(Named(numbers(), nn.Linear(4, 3), CrossEntropyLossFlat())).name() == "subclass"
    monkeypatch.setattr(Learner, "name", function, raising=False)       # Learner.name = function
    learner(cbs=Callback(after_epoch=noop)).fit(1)
    assert learner().name() == "function"


def test_functions_by_type(capsys):
    class Tone:
        "Items that show themselves."

        def __init__(self, pitch):
            self.pitch = pitch

        def show(self, ctx=None, **kwargs):
            print("tone", self.pitch)

    class Louder(Transform):
        "One `encodes` for each type."

        def encodes(self, x: int):
            return x + 1

        def encodes(self, x: Tone):  # noqa: F811 - one for each type
            return Tone(x.pitch * 2)

    with told("compat/fastai_names.py", "calling it raises: give the class a method `show`, or write one `encodes` for each type in a"):
        noted("@typedispatch", "def show_batch(x: Tone, y, samples): pass")
    tfm = Louder()
    assert tfm(1) == 2 and tfm(Tone(3)).pitch == 6
    show_at(TfmdLists([1, 2], [Tone]), 1)
    assert capsys.readouterr().out == "tone 2\n"


@pytest.mark.parametrize("line", ["from fastai2.vision.all import *", "from fast_ai.vision import *", "from fastai.metrics.foo import bar"])
def test_paths(line):
    with told("compat/port.py", "write `from minifast.vision.all import *`"):
        noted(line)
    namespace = {}
    exec("from minifast.vision.all import *", namespace)
    assert namespace["Learner"] is Learner


def test_the_book():
    with told("compat/port.py", "leave `setup_book()` out, and import `from minifast.vision.all import *`"):
        noted("from fastbook import *", "setup_book()")
    namespace = {}
    exec("from minifast.vision.all import *", namespace)                # and no setup_book()
    assert namespace["vision_learner"] is vision_learner


def test_pieces_of_words(tmp_path):
    with told("compat/fastai_names.py", "the library tokenizers learns the pieces, and `save` writes its JSON; a `.model` file of "
                                         "SentencePiece cannot be read. `char_coverage=` and `cache_dir=` are refused"):
        noted("SubwordTokenizer(vocab_sz=40)")
    texts = ["a good film", "a bad film"] * 9
    tok = SubwordTokenizer(vocab_sz=40).setup(texts)
    assert list(SubwordTokenizer(sp_model=tok.save(tmp_path / "pieces.json"))(texts)) == list(tok(texts))


def test_words_of_the_training_texts():
    with told("compat/fastai_names.py", "without `vocab` the vocabulary is that of the training texts"):
        noted("TextBlock.from_df('text')")
    df = pd.DataFrame({"text": ["good film"] * 9 + ["good opera"] * 3})
    block = DataBlock(TextBlock.from_df("text", min_freq=1, is_lm=True), splitter=IndexSplitter([9, 10, 11]))
    assert "opera" not in block.dataloaders(df, bs=2).vocab
    vocab = [*TEXT_SPEC_TOK, "good", "film", "opera"]
    block = DataBlock(TextBlock.from_df("text", vocab=vocab, is_lm=True), splitter=IndexSplitter([9, 10, 11]))
    assert block.dataloaders(df, bs=2).vocab == vocab
