"""`opt.hypers`, `opt.set_hyper` and `opt.set_hypers` of any optimizer, in a learner and alone."""
import copy
import pickle
from functools import partial

import pytest
import torch
from small_training import small_model
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.progress import ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim.groups import param_groups
from minifast.optim.hypers import HyperOptimizer, as_hyper_optimizer
from minifast.optim.optimizers import SGD, Adam, Lamb, OptimWrapper, QHAdam, RAdam, RMSProp, ranger
from minifast.optim.steppers import Optimizer, average_grad, momentum_step, sgd_step, weight_decay

OPTIMIZERS = {"Adam": Adam, "L2 Adam": partial(Adam, decouple_wd=False), "SGD": partial(SGD, mom=0.9), "RMSProp": RMSProp, "RAdam": RAdam,
              "QHAdam": QHAdam, "Lamb": Lamb, "ranger": ranger, "torch": torch.optim.NAdam,
              "OptimWrapper": partial(OptimWrapper, opt=torch.optim.Adagrad)}


def make(opt_func=Adam, **kwargs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(32, 4), torch.arange(32) % 3)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), model, CrossEntropyLossFlat(), opt_func=opt_func,
                    splitter=lambda m: [list(m[:2].parameters()), list(m[2].parameters())], **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


class ByMethod(Callback):
    "The usual home-made scheduler."
    def before_batch(self):
        if self.training:
            self.opt.set_hyper("lr", 1e-3 * (self.train_iter + 1))


class ByItem(Callback):
    def before_batch(self):
        if self.training:
            for hypers in self.opt.hypers:
                hypers["lr"] = 1e-3 * (self.train_iter + 1)


class ByLearner(Callback):
    def before_batch(self):
        if self.training:
            self.learn.opt.set_hypers(lr=1e-3 * (self.train_iter + 1), wd=0.1)


@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("scheduler", [ByMethod, ByItem, ByLearner])
def test_a_home_made_scheduler_sets_the_rate_of_the_step(opt_func, scheduler):
    learn, seen = make(opt_func), []
    learn.fit(1, 0.5, cbs=[scheduler(), Callback(before_step=lambda cb: seen.append([g["lr"] for g in cb.opt.param_groups]))])
    assert learn.recorder.lrs == [0.001, 0.002, 0.003, 0.004]            # as fastai's recorder has them
    assert all(set(rates) == {lr} for rates, lr in zip(seen, learn.recorder.lrs, strict=True)) and learn.opt.hypers[-1]["lr"] == 1e-3


def test_hypers_are_as_in_fastai_one_dict_per_layer_group():
    learn = make()
    learn.create_opt()
    assert [dict(h) for h in learn.opt.hypers] == [{"wd": 0.01, "sqr_mom": 0.99, "lr": 0.001, "mom": 0.9, "eps": 1e-5}] * 2
    learn.opt.set_hyper("lr", slice(1e-5, 1e-3))
    assert [h["lr"] for h in learn.opt.hypers] == pytest.approx([1e-5, 1e-3])
    learn.opt.set_hypers(lr=[0.1, 0.2], mom=0.5)
    learn.opt.hypers[0].update(lr=0.3, sqr_mom=0.9)
    assert [g["lr"] for g in learn.opt.param_groups] == [0.3, 0.3, 0.2, 0.2]
    assert [g["betas"] for g in learn.opt.param_groups] == [(0.5, 0.9), (0.5, 0.9), (0.5, 0.99), (0.5, 0.99)]
    learn.opt.hypers[-1]["wd"] = 0.2
    assert [g["weight_decay"] for g in learn.opt.param_groups] == [0.01, 0, 0.2, 0] and repr(learn.opt.hypers[1])[:5] == "{'eps"


def test_the_composed_optimizer_uses_what_is_set():
    p = nn.Parameter(torch.ones(1))
    opt = Optimizer([p], [weight_decay, average_grad, momentum_step], lr=0.1)
    opt.hypers[0]["lr"] = 0.5
    opt.set_hyper("mom", 0.0)
    assert dict(opt.hypers[0]) == {"lr": 0.5, "mom": 0.0, "wd": 0.0}
    p.grad = torch.ones(1)
    opt.step()
    assert p.item() == 0.5


def test_it_is_still_torchs_optimizer():
    model = small_model()
    plain = torch.optim.AdamW(model.parameters(), lr=0.1)
    opt = as_hyper_optimizer(plain)
    assert opt is plain and isinstance(opt, torch.optim.AdamW) and type(opt).__name__ == "AdamW" and as_hyper_optimizer(opt) is plain
    assert type(opt) is type(as_hyper_optimizer(torch.optim.AdamW([nn.Parameter(torch.ones(1))])))
    torch.optim.lr_scheduler.StepLR(opt, 1)
    assert "AdamW" in repr(opt)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("opt_func", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_can_be_copied_and_pickled(opt_func, again):
    learn = make(opt_func)
    learn.fit(1)
    other = again(learn.opt)
    assert type(other) is type(learn.opt) and other.hypers == learn.opt.hypers and other is not learn.opt
    other.set_hyper("lr", 0.25)
    assert other.hypers[-1]["lr"] == 0.25 != learn.opt.hypers[-1]["lr"]


def test_what_an_optimizer_defines_itself_stands():
    class Own(torch.optim.SGD):
        def set_hyper(self, name, value):
            return name, value

    opt = as_hyper_optimizer(Own([nn.Parameter(torch.ones(1))], lr=0.1))
    assert opt.set_hyper("lr", 1) == ("lr", 1) and opt.hypers[0]["lr"] == 0.1


def test_mistakes_are_refused():
    opt = Optimizer([nn.Parameter(torch.ones(1))], [sgd_step], lr=0.1)
    with pytest.raises(ValueError, match=r"Optimizer has no hyper-parameter 'lrr'; did you mean 'lr'\? It has: lr"):
        opt.hypers[0]["lrr"] = 1
    with pytest.raises(ValueError, match="has no hyper-parameter 'mom'"):
        opt.set_hyper("mom", 0.9)
    with pytest.raises(KeyError, match="'mom': this Optimizer has lr"):
        opt.hypers[0]["mom"]
    with pytest.raises(TypeError, match=r"cannot be removed from an optimizer; set it: hypers\[0\]\['lr'\]"):
        del opt.hypers[0]["lr"]
    with pytest.raises(TypeError, match="lr must be a number"):
        opt.hypers[-1]["lr"] = "high"
    with pytest.raises(ValueError, match="lr must be a finite number, 0 or larger"):
        opt.set_hyper("lr", -1)


@pytest.mark.parametrize("name, advice", [("param_lists", r"\[g\['params'\] for g in opt\.param_groups\]"),
                                          ("all_params", "opt.param_groups"),
                                          ("freeze_to", r"learn\.freeze_to\(n\)"), ("clear_state", r"opt\.state\.clear\(\)"),
                                          ("frozen_idx", "learn.freezer.frozen_to")])
def test_words_of_fastai_that_are_elsewhere(name, advice):
    model = small_model()
    opt = Adam(param_groups(model, list(model.parameters())))
    assert isinstance(opt, HyperOptimizer) and not hasattr(opt, name)
    with pytest.raises(AttributeError, match=f"AdamW has no attribute '{name}': .*{advice}"):
        getattr(opt, name)
