"What must be the same where a fit is continued: each difference is named, and refused unless it is forced."
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset, WeightedRandomSampler, random_split

from minifast.callbacks import EMA, BnFreeze, Callback, CSVLogger, GradientClip, MixUp, Recorder, Resume, SaveModelCallback
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim import SGD, Adam
from minifast.tabular.all import Categorify, CategoryBlock, Normalize, TabularDataLoaders, tabular_learner


def crash(cb):
    if cb.learn.training and cb.learn.epoch == 2 and cb.learn.iter == 1:
        raise KeyboardInterrupt


def learner(path, seed=0, dl_seed=None, flip=False, shift=0.0, bs=8, shuffle=True, loss=None, opt_func=Adam, drop=0.3, wd=0.01,
            torch_loader=False, n_valid=24, **kwargs):
    "A learner over 24 rows; every argument is one that a user may change between two calls."
    torch.manual_seed(5)
    x, y = torch.randn(24, 4) + shift, torch.arange(24) % 2
    ds, valid = TensorDataset(x, 1 - y if flip else y), TensorDataset(x[:n_valid], y[:n_valid])
    dl = TorchDataLoader(ds, bs, shuffle=shuffle) if torch_loader else DataLoader(ds, bs=bs, shuffle=shuffle, seed=dl_seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(drop), nn.Linear(8, 2))
    learn = Learner(DataLoaders(dl, DataLoader(valid, bs=bs)), model, loss or CrossEntropyLossFlat(), opt_func, path=path, wd=wd, **kwargs)
    torch.manual_seed(seed)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def interrupted(path, resume=None, verb="fit", cbs=(), **kwargs):
    with pytest.raises(KeyboardInterrupt):
        getattr(learner(path, **kwargs), verb)(4, 0.05, cbs=[*cbs, resume or Resume(), Callback(before_batch=crash)])


CHANGES = {
    "seed": ({"seed": 1}, "seed=0 there, 1 here"),
    "seed of the loader": ({"dl_seed": 7}, "data.train.seed=None there, 7 here"),
    "labels": ({"flip": True}, "data.train.targets not the same"),
    "values": ({"shift": 0.1}, "data.train.items not the same"),
    "rows of validation": ({"n_valid": 20}, "data.valid.items not the same"),
    "batch size": ({"bs": 12}, "batches=3 there, 2 here"),
    "order": ({"shuffle": False}, "data.train.sampler='Shuffled' there, 'InOrder' here"),
    "weight decay": ({"wd": 0.5}, "weight_decay=0.01 there, 0.5 here"),
    "optimizer": ({"opt_func": SGD}, "optimizer.name='AdamW' there, 'SGD' here"),
    "loss": ({"loss": nn.CrossEntropyLoss()}, "loss.name='CrossEntropyLossFlat' there, 'CrossEntropyLoss' here"),
    "weights of classes": ({"loss": CrossEntropyLossFlat(weight=torch.tensor([1.0, 3.0]))}, r"loss.weight=.* there, \[1.0, 3.0\] here"),
    "label smoothing": ({"loss": CrossEntropyLossFlat(label_smoothing=0.1)}, "loss.label_smoothing=0.0 there, 0.1 here"),
    "dropout": ({"drop": 0.5}, "model.layers not the same"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_is_refused_and_can_be_forced(change, tmp_path):
    kwargs, words = CHANGES[change]
    interrupted(tmp_path)
    with pytest.raises(ValueError, match=f"belongs to another fit .*{words}"):
        learner(tmp_path, **kwargs).fit(4, 0.05, cbs=Resume())
    learn = learner(tmp_path, **kwargs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Resume: the optimizer was")
        learn.fit(4, 0.05, cbs=Resume(force=True))
    assert [row["epoch"] for row in learn.recorder.history] == [0, 1, 2, 3]     # it went on, with what the first call had recorded


def test_what_the_message_says_works(tmp_path):
    interrupted(tmp_path)
    with told("callbacks/resume.py", "remove the file to train from the beginning. Where the difference is wanted, write …"):
        learner(tmp_path, wd=0.5).fit(4, 0.05, cbs=Resume())
    used = []
    learner(tmp_path, wd=0.5).fit(4, 0.05, cbs=[Resume(force=True), Callback(after_batch=lambda cb: used.append(
        cb.learn.opt.param_groups[0]["weight_decay"]))])
    assert set(used) == {0.5}                               # and what this fit is told counts


def test_what_the_message_says_of_a_run_folder_works(tmp_path):
    learn = learner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(4, 0.05, cbs=Callback(before_batch=crash), resume=True)
    learn.model[2].p = 0.5                                  # the same learner, in the same notebook
    with told("callbacks/resume.py", "Where the difference is wanted, write …"):
        learn.fit(4, 0.05, resume=True)
    learn.fit(4, 0.05, resume=Resume(None, force=True))
    assert [row["epoch"] for row in learn.recorder.history] == [0, 1, 2, 3]


def test_what_the_message_says_of_another_place_works(tmp_path):
    interrupted(tmp_path / "first")
    file = tmp_path / "first" / "models" / "resume.safetensors"
    with pytest.raises(ValueError, match=r"write resume=Resume\(None, source='.*resume.safetensors', force=True\)"):
        learner(tmp_path, wd=0.5).fit(4, 0.05, resume=file)
    with told("callbacks/resume.py", "Where the difference is wanted, write …"):
        learner(tmp_path, wd=0.5).fit(4, 0.05, resume=file)
    learn = learner(tmp_path, wd=0.5)
    learn.fit(4, 0.05, resume=Resume(None, source=file, force=True))
    assert len(learn.recorder.raw_losses) == 4 * 3 and [row["epoch"] for row in learn.recorder.history] == [0, 1, 2, 3]


FITS = {
    "epochs": (lambda learn, cb: learn.fit(5, 0.05, cbs=cb), "epochs=4 there, 5 here"),
    "rate": (lambda learn, cb: learn.fit(4, 0.01, cbs=cb), r"rates=\[0.05"),
    "MixUp": (lambda learn, cb: learn.fit(4, 0.05, cbs=[cb, MixUp()]), "callbacks.MixUp=nothing there, alpha=0.4 here"),
    "gradient clipping": (lambda learn, cb: learn.fit(4, 0.05, cbs=[cb, GradientClip(2)]), "callbacks.GradientClip"),
    "schedule": (lambda learn, cb: learn.fit_flat_cos(4, 0.05, cbs=cb), "callbacks.ParamScheduler=nothing there"),
    "EMA": (lambda learn, cb: learn.fit(4, 0.05, cbs=[cb, EMA(0.5)]), "callbacks.EMA=nothing there"),
    "wd of the fit": (lambda learn, cb: learn.fit(4, 0.05, wd=0.2, cbs=cb), "weight_decay=0.01 there, 0.2 here"),
}


@pytest.mark.parametrize("change", FITS)
def test_another_call_is_refused(change, tmp_path):
    call, words = FITS[change]
    interrupted(tmp_path)
    with pytest.raises(ValueError, match=words):
        call(learner(tmp_path), Resume())


def test_settings_of_a_callback_and_of_a_schedule(tmp_path):
    interrupted(tmp_path, cbs=[EMA(0.9)])
    with pytest.raises(ValueError, match=r"callbacks.EMA.decay=0.9 there, 0.5 here"):
        learner(tmp_path).fit(4, 0.05, cbs=[Resume(), EMA(0.5)])
    interrupted(tmp_path, Resume("cycle"), "fit_one_cycle")
    with pytest.raises(ValueError, match="callbacks.ParamScheduler.lr not the same"):
        learner(tmp_path).fit_one_cycle(4, 0.05, pct_start=0.5, cbs=Resume("cycle"))


def test_each_of_two_callbacks_of_one_class_and_one_without_arguments(tmp_path):
    def saves(monitor):
        return [SaveModelCallback(monitor, fname="a"), SaveModelCallback("valid_loss", fname="b")]

    interrupted(tmp_path, cbs=[*saves("train_loss"), BnFreeze()])
    with pytest.raises(ValueError, match="callbacks.BnFreeze=without arguments there, nothing here; "
                                         "callbacks.SaveModelCallback.monitor='train_loss' there, 'valid_loss' here"):
        learner(tmp_path).fit(4, 0.05, cbs=[Resume(), *saves("valid_loss")])
    learner(tmp_path).fit(4, 0.05, cbs=[Resume(), *saves("train_loss"), BnFreeze()])


def test_what_changes_nothing_is_not_compared(tmp_path):
    said = []
    interrupted(tmp_path)
    learn = learner(tmp_path, metrics="accuracy")
    learn.logger = said.append
    learn.fit(4, 0.05, cbs=[Resume(), CSVLogger(), Callback(after_batch=lambda: None)])
    assert len(learn.recorder.history) == 4
    assert said[0].startswith("Resume: continues at the start of epoch 2 (of 4), from ") and "not the same" not in said[0]


def test_other_versions_are_named(tmp_path, monkeypatch):
    interrupted(tmp_path)
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    learn, said = learner(tmp_path), []
    learn.logger = said.append
    learn.fit(4, 0.05, cbs=Resume())
    assert "not the same: torch=" in said[0] and "'9.9.9' here" in said[0]


class GeM(nn.Module):
    "Pooling with a learned exponent, which it prints."

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.p

    def __repr__(self):
        return f"GeM(p={self.p.tolist()})"

    extra_repr = __repr__


class Smoothed(nn.Module):
    "A loss that was told something, and counts."

    def __init__(self, gamma=1.0):
        super().__init__()
        self.gamma, self.steps = gamma, 0
        self.register_buffer("average", torch.zeros(1))

    def forward(self, pred, target):
        loss = nn.functional.cross_entropy(pred, target)
        self.steps += 1
        self.average.mul_(0.9).add_(0.1 * loss.detach())
        return self.gamma * loss


def test_what_is_learned_is_not_compared(tmp_path):
    def make(gamma=1.0):
        learn = learner(tmp_path, loss=Smoothed(gamma))
        learn.model = nn.Sequential(GeM(), learn.model)
        learn.create_opt()
        return learn

    learn = make()
    learn.fit(1, 0.05, cbs=Resume())
    for _ in range(2):                                          # in the same notebook; and below in another process
        with pytest.raises(KeyboardInterrupt):
            learn.fit(4, 0.05, cbs=[Resume(), Callback(before_batch=crash)])
    with pytest.warns(UserWarning, match="it is skipped"):
        (again := make()).fit(1, 0.05, cbs=Resume())
    with pytest.raises(ValueError, match="loss.gamma=1.0 there, 2.0 here"):
        other = make(gamma=2.0)
        other.fits_ended = 1
        other.fit(4, 0.05, cbs=Resume())
    again.fit(4, 0.05, cbs=Resume())
    assert [row["epoch"] for row in again.recorder.history] == [0, 0, 1, 2, 3]


class Counting(Callback):
    def __init__(self):
        self.n = 0

    def after_batch(self):
        self.n += 1


class Remembering(Counting):
    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


class Stateless(Callback):
    def __init__(self, text="a"):
        self.text = text

    def after_batch(self):
        pass


@pytest.mark.parametrize("cls", [Counting, Remembering, Stateless])
def test_callbacks_whose_state_is_lost_are_named(cls, tmp_path):
    interrupted(tmp_path, cbs=[cls()])
    learn, said = learner(tmp_path), []
    learn.logger = said.append
    learn.fit(4, 0.05, cbs=[Resume(), again := cls()])
    assert ("Counting without a method state_dict: what was counted there begins anew" in said[0]) == (cls is Counting)
    assert cls is not Remembering or again.n == 4 * 6      # as if there had been no interruption


def test_loaders_of_torch(tmp_path):
    interrupted(tmp_path, torch_loader=True)
    with pytest.raises(ValueError, match="data.train.targets not the same"):
        learner(tmp_path, torch_loader=True, flip=True).fit(4, 0.05, cbs=Resume())
    learner(tmp_path, torch_loader=True).fit(4, 0.05, cbs=Resume())
    learn = learner(tmp_path, torch_loader=True)
    with told("callbacks/resume.py", "give minifast's, DataLoader(dataset, ...)", "leave out every="):
        learn.fit(4, 0.05, cbs=Resume(every=2))
    learn.fit(1, 0.05, cbs=Resume())
    learn = learner(tmp_path)
    learn.dls = DataLoaders(DataLoader(learn.dls.train_ds, bs=8, shuffle=True), learn.dls.valid)
    learn.fit(1, 0.05, cbs=Resume(every=2))


def test_samplers_of_torch(tmp_path):
    def make(sampler):
        learn = learner(tmp_path)
        learn.dls = DataLoaders(DataLoader(learn.dls.train_ds, bs=8, sampler=sampler), learn.dls.valid)
        return learn

    with told("data/dataloader.py", "give minifast's, such as `minifast.data.engine.samplers.WeightedSampler(weights)`"):
        make(WeightedRandomSampler(torch.ones(24), 24)).fit(1, 0.05, cbs=Resume(every=2))
    make(WeightedRandomSampler(torch.ones(24), 24)).fit(1, 0.05, cbs=Resume())
    make(WeightedSampler(torch.ones(24))).fit(1, 0.05, cbs=Resume(every=2))


def test_metrics_of_training(tmp_path):
    def make():
        learn = learner(tmp_path, metrics="accuracy")
        return learn.remove_cb(Recorder).add_cb(Recorder(train_metrics=True))

    with told("callbacks/resume.py", "leave out Recorder(train_metrics=True)"):
        make().fit(1, cbs=Resume(every=2))
    make().fit(1, cbs=Resume())
    learner(tmp_path, metrics="accuracy").fit(1, cbs=Resume(every=2))


def test_classes_in_another_order_and_rows_of_a_table(tmp_path):
    df = pd.DataFrame({"a": np.arange(40.0), "k": list("uv") * 20, "y": ["cat", "dog"] * 20})

    def fit(df, order, *cbs):
        dls = TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names="k", cont_names="a", y_names="y", bs=8,
                                         splits=(range(30), range(30, 40)), y_block=CategoryBlock(vocab=order), device="cpu")
        torch.manual_seed(0)
        learn = tabular_learner(dls, layers=[8], path=tmp_path)
        learn.logger = lambda row: None
        learn.remove_cb(learn.progress).fit(4, 0.01, cbs=[Resume(), *cbs])

    with pytest.raises(KeyboardInterrupt):
        fit(df, ["cat", "dog"], Callback(before_batch=crash))
    with pytest.raises(ValueError, match="data.classes.target="):
        fit(df, ["dog", "cat"])
    with pytest.raises(ValueError, match="data.train.items not the same"):
        fit(df.assign(a=df.a[::-1].to_numpy()), ["cat", "dog"])
    fit(df, ["cat", "dog"])


def test_two_of_them(tmp_path):
    with told("callbacks/resume.py", "leave out resume=, or the one among the callbacks"):
        learner(tmp_path).fit(1, cbs=Resume(), resume=True)
    learner(tmp_path).fit(1, cbs=Resume())
    learner(tmp_path).fit(1, resume=True)


@pytest.mark.parametrize("every", [0, -1, "soon", "0min", 2.5, True])
def test_impossible_intervals(every):
    with told("callbacks/resume.py", "such as every=500, or a time, such as every='5min', '90s' or '1h'"):
        Resume(every=every)
    assert [Resume(every=e).every for e in (500, "5min", "90s", "1h")] == [500, "5min", "90s", "1h"]


def test_wrong_values_of_resume(tmp_path):
    with told("learner/learner.py", "True, the path of a state to continue from, or Resume(None, every='5min')"):
        learner(tmp_path).fit(1, resume=3)
    learner(tmp_path).fit(1, resume=True)
    learner(tmp_path).fit(1, resume=Resume(None, every="5min"))


def test_a_seed_that_nobody_chose_is_not_compared(tmp_path):
    drawn = iter((5521159896260541972, 10096251234053845703, 1505777883574724571))         # each process of torch's begins with another
    with pytest.raises(KeyboardInterrupt):
        learner(tmp_path, seed=next(drawn)).fit(4, 0.05, cbs=Callback(before_batch=crash), resume=True)
    started, learn = [], learner(tmp_path, seed=next(drawn))
    learn.fit(4, 0.05, cbs=Callback(before_batch=lambda cb: started.append(cb.learn.epoch)), resume=True)
    assert started[0] == 2 and not list(tmp_path.rglob("resume*"))
    assert learn.run_record()["seed"] != 0                      # for the record it counts
    interrupted(tmp_path)
    with pytest.raises(ValueError, match="seed=0 there, None here"):
        learner(tmp_path, seed=next(drawn)).fit(4, 0.05, cbs=Resume())


@pytest.mark.parametrize("resume", [lambda: Resume("a"), lambda: True])
def test_a_split_that_is_drawn_anew(resume, tmp_path):
    said: list = []

    def fit(seed, *cbs):
        learn = learner(tmp_path)
        torch.manual_seed(seed)
        parts = random_split(learn.dls.train_ds, [16, 8])
        torch.manual_seed(2**40)                                # as in a process where nobody chose one
        learn.dls = DataLoaders(*(DataLoader(part, bs=8) for part in parts))
        learn.logger = said.append
        learn.fit(4, 0.05, cbs=cbs, resume=resume())

    with pytest.raises(KeyboardInterrupt):
        fit(0, Callback(before_batch=crash))
    said.clear()
    with told("callbacks/fit_settings.py", "a split that is drawn anew each time needs a seed, such as torch.manual_seed(0) before it"):
        fit(1)                                                  # refused, or begun as another run, which says the same
        warnings.warn(said[0], stacklevel=1)
    said.clear()
    fit(0)
    assert said[0].startswith("Resume: continues at the start of epoch 2")


def test_a_call_that_is_refused_is_not_to_be_made_again(tmp_path):
    interrupted(tmp_path)
    learn, said = learner(tmp_path), []
    learn.logger = said.append
    learn.fit(1)
    said.clear()
    with pytest.raises(ValueError, match="belongs to another fit .earlier_fits=0 there, 1 here.: repeat the call that was interrupted"):
        learn.fit(4, 0.05, cbs=Resume())
    assert said == []


def test_samples_that_cannot_be_told(tmp_path):
    class Own(Dataset):
        def __init__(self, seed):
            self.rng = np.random.default_rng(seed)

        def __len__(self):
            return 24

        def __getitem__(self, i):
            return torch.full((4,), float(self.rng.random() < 0.1)), i % 2

    def fit(seed, *cbs):
        learn = learner(tmp_path)
        learn.dls = DataLoaders(DataLoader(Own(seed), bs=8), learn.dls.valid)
        learn.fit(4, 0.05, cbs=cbs, resume=True)
        return learn.run_record()["data"]["train"]["samples_digest"]

    with pytest.raises(KeyboardInterrupt):
        fit(0, Callback(before_batch=crash))
    started: list = []
    assert fit(8, Callback(before_batch=lambda cb: started.append(cb.learn.epoch))) is not None       # all the usual ones, by chance
    assert started[0] == 2


def test_a_fit_that_is_skipped_is_of_the_same_model(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1, cbs=Resume())
    with pytest.raises(KeyboardInterrupt):
        learn.fit(4, 0.05, cbs=[Resume(), Callback(before_batch=crash)])
    other = learner(tmp_path)
    other.model = nn.Linear(4, 2)
    other.create_opt()
    with pytest.raises(ValueError, match="belongs to another fit .its weights have other names or shapes"):
        other.fit(1, cbs=Resume())


def test_another_run_does_not_meet_this_one(tmp_path):
    said, trained = [], partial(learner, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trained().fit(4, 0.05, cbs=Callback(before_batch=crash), resume=True)
    learn = trained(wd=0.5)
    learn.logger = said.append
    learn.fit(4, 0.05, resume=True)
    assert len(learn.recorder.history) == 4 and len(learn.recorder.raw_losses) == 12            # from the beginning
    assert "is another one (optimizer.groups.weight_decay=0.01 there, 0.5 here)" in said[0]
    again = trained()
    again.fit(4, 0.05, resume=True)
    assert len(again.recorder.history) == 4 and not list(tmp_path.rglob("resume*"))            # and the first goes on
