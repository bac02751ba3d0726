"""What is said of names of fastai's that are absent: callbacks, data, models. The others: test_compat_images.py, test_compat_functions.py.

Each name is asked for as programs do, `from minifast.callback.core import ...`.
"""
import pickle
import sys
import unittest.mock
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from suggestions import told
from torch import nn
from workshop import BodyHead, learner, numbers, wanted

from minifast.callbacks import TensorBoardCallback, WandbCallback
from minifast.optim import NORM_TYPES, get_hyper, set_hyper
from minifast.tabular.all import TabDataLoader, TabularPandas
from minifast.text.all import TextDataLoaders, TokenStore, WordTokenizer, language_model_learner, tokenize_folder
from minifast.vision.all import *


# -- callbacks and the loop
def test_parts_of_a_fit():
    n_epoch, k, learn = 3, 2, learner()
    with told("compat/fastai_names.py", "write `learn.fit(n_epoch, start_epoch=k)`, which starts at epoch `k`"):
        wanted("SkipToEpoch")
    learn.fit(n_epoch, start_epoch=k)
    assert learn.epoch == n_epoch - 1 and len(learn.recorder.values) == 1
    with told("compat/fastai_names.py", "`learn.get_preds(with_input=True, with_loss=True)` returns the inputs, predictions, targets and"):
        wanted("FetchPredsCallback")
    inputs, preds, targets, losses = learn.get_preds(with_input=True, with_loss=True)
    assert [o.shape for o in (inputs, preds, targets, losses)] == [(20, 4), (20, 3), (20,), (20,)]


def test_mixed_precision():
    with told("compat/fastai_names.py", "write `learn.to_fp16()`, `learn.to_bf16()` or `cbs=MixedPrecision()`"):
        wanted("ModelToHalf")
    learner(cbs=MixedPrecision()).fit(1)
    learner().to_bf16().fit(1)
    learner().to_fp16()


def test_schedules():
    start, end, pos = 0.0, 2.0, 0.5
    with told("compat/fastai_names.py", "`SchedCos(start, end)(pos)`, and likewise `SchedLin`, `SchedExp`, `SchedNo` and `SchedPoly`; any"):
        wanted("sched_cos")
    assert SchedCos(start, end)(pos) == pytest.approx(1) == SchedLin(start, end)(pos)
    assert SchedExp(1, 4)(pos) == pytest.approx(2) and SchedNo(start, end)(pos) == 0 and SchedPoly(start, end, 2)(pos) == 0.5
    learn = learner(cbs=ParamScheduler({"lr": lambda pos: 0.1 + pos}))      # any function of `pos`
    learn.fit(1)
    assert learn.recorder.lrs[0] == pytest.approx(0.1)


def test_norm_layers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with told("compat/fastai_names.py", "write `cbs=BnFreeze()`, or `Learner(..., train_bn=False)` for the norm layers of frozen groups"):
        wanted("set_bn_eval")
    before = model[1].running_mean.clone()
    learner(model, cbs=BnFreeze()).fit(1)
    assert torch.equal(before, model[1].running_mean)
    learn = learner(nn.Sequential(model, nn.Linear(3, 3)), train_bn=False, splitter=lambda m: [params(m[0]), params(m[1])])
    learn.freeze()
    learn.fit(1)
    assert torch.equal(before, model[1].running_mean)
    with told("compat/fastai_names.py", "write `(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)`"):
        wanted("bn_types")
    assert isinstance(model[1], (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
    with told("compat/fastai_names.py", "write `NORM_TYPES` of `minifast.optim`"):
        wanted("norm_types")
    assert isinstance(nn.LayerNorm(3), NORM_TYPES) and not isinstance(nn.Linear(3, 3), NORM_TYPES)


def test_replaced_attributes():
    o, value = SimpleNamespace(name=1), 2
    with told("compat/fastai_names.py", "write `with unittest.mock.patch.object(o, 'name', value):`"):
        wanted("replacing_yield")
    with unittest.mock.patch.object(o, "name", value):
        assert o.name == 2
    assert o.name == 1


@pytest.mark.parametrize("name", ["CometCallback", "AzureMLCallback"])
def test_services(name):
    sent = []

    class Service(Callback):
        order = 60

        def after_epoch(self):
            sent.append(self.recorder.values[-1])

    with told("compat/fastai_names.py", "write a `Callback` with `order = 60` whose `after_epoch` calls the service:"):
        wanted(name)
    learn = learner(cbs=Service())
    learn.fit(2)
    assert sent == list(learn.recorder.values) and len(sent) == 2


def test_files_of_a_run(monkeypatch, tmp_path):
    wandb = SimpleNamespace(log_artifact=lambda path: path)         # as where wandb is not installed
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    path = tmp_path / "model.safetensors"
    with told("compat/fastai_names.py", "for files write `wandb.log_artifact(path)`"):
        wanted("log_model")
    assert WandbCallback and wandb.log_artifact(path) == path


def test_embeddings_in_tensorboard(monkeypatch, tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    monkeypatch.chdir(tmp_path)
    weights, labels = torch.rand(3, 2), ["a", "b", "c"]
    with told("compat/fastai_names.py", "for embeddings write `SummaryWriter().add_embedding(weights, labels)` with `SummaryWriter` of"):
        wanted("projector_word_embeddings")
    SummaryWriter().add_embedding(weights, labels)
    assert TensorBoardCallback and next(tmp_path.rglob("metadata.tsv")).read_text().split() == labels


# -- saving
def test_saved_models(tmp_path):
    learn = learner(path=tmp_path)
    with told("compat/fastai_names.py", "write `learn.save('name')` and `learn.load('name')`; `learn.load('name.pth')` also reads"):
        wanted("save_model")
    learn.save("name")
    learn.load("name")
    weights = learn.model.state_dict()
    for saved in (weights, {"model": weights, "opt": {"hypers": [{"lr": 1}], "state": []}}):
        torch.save(saved, tmp_path / "models" / "name.pth")
        assert learner(path=tmp_path).load("name.pth", with_opt=False)
        learner(path=tmp_path).load("name.pth")


# -- data
def test_showing(capsys):
    class Chord:
        "Items that show themselves."

        def __init__(self, notes):
            self.notes = notes

        def show(self, ctx=None, **kwargs):
            print("chord", *self.notes)
            return ctx

    class Notes(Transform):
        "A chord as numbers, and back."

        def encodes(self, x: Chord):
            return torch.tensor(x.notes)

        def decodes(self, x):
            return Chord(x.tolist())

    with told("compat/fastai_names.py", "nothing is dispatched on types: give the class of your items a method `show`"):
        wanted("get_show_batch_func")
    dls = DataBlock([TransformBlock(type_tfms=[Notes()])], get_x=lambda i: Chord([i, i + 4]), splitter=IndexSplitter([0]), n_inp=1)
    dls.dataloaders(list(range(6)), bs=2, num_workers=0, shuffle=False).show_batch(max_n=1)
    assert capsys.readouterr().out.startswith("chord ")


def test_classes_of_data():
    class Pairs(Datasets):
        "A subclass of `Datasets`."

    class Lists(TfmdLists):
        "A subclass of `TfmdLists`."

    with told("compat/fastai_names.py", "write a subclass of `Datasets` or `TfmdLists`"):
        wanted("FilteredBase")
    assert Pairs([1, 2], [[noop], [lambda i: i % 2]])[0] == (1, 1) and Lists([1, 2], [lambda i: i % 2])[1] == 0


def test_collation():
    with told("compat/fastai_names.py", "write `DataLoader(collate_fn=...)` for your own collation, or `before_batch=` to change the"):
        wanted("fa_collate")
    data = [(torch.tensor([float(i)]), i) for i in range(4)]
    assert DataLoader(data, bs=4, collate_fn=len).one_batch() == 4
    x, _ = DataLoader(data, bs=4, before_batch=lambda samples: [(x * 2, y) for x, y in samples]).one_batch()
    assert x.flatten().tolist() == [0, 2, 4, 6]


def test_batches_of_tables():
    df = pd.DataFrame({"a": np.arange(6.0), "y": np.arange(6.0)})
    with told("compat/fastai_names.py", "`TabDataLoader` makes batches of whole columns: leave it out"):
        wanted("ReadTabBatch")
    assert len(TabDataLoader(TabularPandas(df, cont_names=["a"], y_names="y"), bs=3).one_batch()[-1]) == 3


# -- layers, models, optimizers
def test_activations_and_layers(monkeypatch):
    x, seen = torch.rand(2, 3, 5), []
    with told("compat/fastai_names.py", "write `nn.Mish()` or `nn.SiLU()`"):
        wanted("SwishJit")
    assert nn.Mish()(x).shape == nn.SiLU()(x).shape
    with told("compat/fastai_names.py", "write `breakpoint()` in the `forward` of a module"):
        wanted("Debugger")

    class Stop(nn.Module):
        def forward(self, x):
            breakpoint()
            return x

    monkeypatch.setattr(sys, "breakpointhook", lambda: seen.append("stopped"))
    assert torch.equal(Stop()(x), x) and seen == ["stopped"]
    with told("compat/fastai_names.py", "write `bn(x.flatten(0, -2)).view_as(x)` with `bn = nn.BatchNorm1d(x.shape[-1])`"):
        wanted("BatchNorm1dFlat")
    bn = nn.BatchNorm1d(x.shape[-1])
    assert bn(x.flatten(0, -2)).view_as(x).mean((0, 1)).abs().max() < 1e-5
    with told("compat/fastai_names.py", "write a class on `Module`, which needs no `super().__init__()`"):
        wanted("module")

    class Scale(Module):
        def __init__(self):
            self.w = nn.Parameter(torch.ones(5))

        def forward(self, x):
            return x * self.w

    assert len(list(Scale().parameters())) == 1 and torch.equal(Scale()(x), x)


def test_models():
    x = torch.rand(2, 3, 16, 16)
    with told("compat/fastai_names.py", "write `AdaptiveConcatPool2d()`, `nn.AdaptiveAvgPool2d(1)` or `nn.AdaptiveMaxPool2d(1)`"):
        wanted("adaptive_pool")
    assert [pool(x).shape[1] for pool in (AdaptiveConcatPool2d(), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1))] == [6, 3, 3]
    model = nn.Sequential(nn.Linear(4, 3))
    with told("compat/fastai_names.py", "write `apply_init(model)`"):
        wanted("init_cnn")
    apply_init(model)
    assert not model[0].bias.any()
    with told("compat/fastai_names.py", "write the arguments out: `XResNet(ResBlock, 1, [2, 2, 2, 2])`"):
        wanted("g0")
    with torch.device("meta"):                              # without filling its weights
        model = XResNet(ResBlock, 1, [2, 2, 2, 2])
    assert model(x.to("meta")).shape == (2, 1000)


def test_hyper_parameters():
    opt = torch.optim.AdamW(nn.Linear(2, 1).parameters())
    name, value = "mom", 0.5
    with told("compat/fastai_names.py", "hyper-parameters are in `opt.param_groups`; `set_hyper(opt, name, value)` and `get_hyper(opt,"):
        wanted("set_item_pg")
    set_hyper(opt, name, value)
    assert get_hyper(opt, name) == [0.5] and opt.param_groups[0]["betas"][0] == 0.5


# -- what minifast does not have
def test_adversarial_training():
    dls, net, critic = numbers(), nn.Linear(2, 4), BodyHead(4, 1)
    with told("compat/fastai_names.py", "write the loop in PyTorch, over `dls.train`"):
        wanted("GANLearner")
    opt_g, opt_c = (torch.optim.Adam(m.parameters(), betas=(0.0, 0.99)) for m in (net, critic))
    for real, _ in dls.train:
        fake = net(torch.randn(len(real), 2))
        (critic(fake.detach()).mean() - critic(real).mean()).backward()
        opt_c.step()
        opt_c.zero_grad()
        (-critic(fake).mean()).backward()
        opt_g.step()
        opt_g.zero_grad()


def test_texts(tmp_path):
    with told("compat/fastai_names.py", "the counts and lengths of `tokenize_folder` are in its `TokenStore`: "
                                         "`TokenStore.open(folder/'tokens')`, `.counter()`, `.lengths`"):
        wanted("fn_counter_pkl")
    (tmp_path / "a.txt").write_text("a good film, a good one")
    folder = tokenize_folder(tmp_path, n_workers=0)
    store = TokenStore.open(folder/'tokens')
    assert store.counter()["good"] == 2 and store.lengths.tolist() == [8]
    with told("compat/fastai_names.py", "write the languages themselves, `WordTokenizer('de')`"):
        wanted("eu_langs")
    assert list(WordTokenizer('de')(["ein Film"])) == [["ein", "Film"]]
    with told("compat/fastai_names.py", "write `learn.load_pretrained(weights, vocab)`, which reads files of every version of fastai"):
        wanted("clean_raw_keys")
    dls = TextDataLoaders.from_df(pd.DataFrame({"text": ["one two three"] * 8}), is_lm=True, bs=2, min_freq=1)
    learn = language_model_learner(dls, config={"emb_sz": 4, "n_hid": 6, "n_layers": 1}, pretrained=False)
    weights, vocab = tmp_path / "old.pth", tmp_path / "vocab.pkl"
    torch.save({**learn.model.state_dict(), "0.rnns.0.module.weight_hh_l0": learn.model[0].rnns[0].weight_hh_l0_raw.data}, weights)
    vocab.write_bytes(pickle.dumps(list(dls.vocab)))
    learn.load_pretrained(weights, vocab)
