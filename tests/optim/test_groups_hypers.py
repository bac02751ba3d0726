"""Hyper-parameters of any optimizer by their short names."""
import timeit
from functools import partial

import pytest
import torch
from small_training import halves, small_model, train
from torch import nn

from minifast.optim.groups import get_hyper, hyper_names, hyper_setter, layer_group_count, param_groups, set_hyper, with_hypers
from minifast.optim.optimizers import SGD, Adam, Lamb, Larc, QHAdam, ranger
from minifast.optim.steppers import Optimizer, sgd_step


def test_hypers_on_every_kind_of_optimizer():
    model = small_model()
    for opt_func in (Adam, partial(SGD, mom=0.9), torch.optim.AdamW, partial(torch.optim.SGD, momentum=0.9), Lamb, ranger,
                     partial(torch.optim.RMSprop, momentum=0.1)):
        opt = opt_func(param_groups(model, halves(model)), lr=0.1)
        assert layer_group_count(opt) == 2
        set_hyper(opt, "lr", slice(1e-3, 1e-1))
        set_hyper(opt, "mom", [0.7, 0.8])
        set_hyper(opt, "wd", 0.3)
        assert get_hyper(opt, "lr") == pytest.approx([1e-3, 1e-1]) and get_hyper(opt, "mom") == [0.7, 0.8]
        assert get_hyper(opt, "wd") == [0.3, 0.3] and {"lr", "mom", "wd"} <= set(hyper_names(opt))
        if "sqr_mom" in hyper_names(opt):
            set_hyper(opt, "sqr_mom", 0.95)
            assert get_hyper(opt, "sqr_mom") == [0.95, 0.95] and get_hyper(opt, "mom") == [0.7, 0.8]
        train(model, opt, 2)


def test_hyper_names():
    p = [nn.Parameter(torch.ones(2))]
    assert hyper_names(Adam(p)) == ["eps", "lr", "mom", "sqr_mom", "wd"]
    assert hyper_names(SGD(p)) == ["dampening", "lr", "wd"] and hyper_names(SGD(p, mom=0.9)) == ["dampening", "lr", "mom", "wd"]
    assert hyper_names(Optimizer(p, [sgd_step], lr=1)) == ["lr"]
    assert hyper_names(QHAdam(p)) == ["eps", "lr", "mom", "nu_1", "nu_2", "sqr_mom", "wd"]
    assert "sqr_mom" not in hyper_names(torch.optim.ASGD(p)) and "sqr_mom" in hyper_names(torch.optim.RMSprop(p))


def test_own_hyper_of_a_torch_optimizer():
    opt = torch.optim.Adadelta([nn.Parameter(torch.ones(2))])
    set_hyper(opt, "rho", 0.5)
    assert opt.param_groups[0]["rho"] == 0.5 and get_hyper(opt, "rho") == [0.5]


@pytest.mark.parametrize(("make", "name", "match"), [
    (torch.optim.Adagrad, "mom", r"Adagrad has no hyper-parameter 'mom'. It has: .*lr."),
    (Adam, "momm", "AdamW has no hyper-parameter 'momm'; did you mean 'mom'\\? It has: eps, lr, mom, sqr_mom, wd"),
    (Adam, "params", "no hyper-parameter 'params'"),
    (SGD, "mom", r"this SGD was built without momentum \(it was 0\).*partial\(SGD, mom=0.9\)"),
    (torch.optim.SGD, "mom", r"built without momentum.*partial\(SGD"),
    (Larc, "sqr_mom", "Optimizer has no hyper-parameter 'sqr_mom'"),
])
def test_unknown_hyper(make, name, match):
    opt = make([nn.Parameter(torch.ones(2))], lr=0.1)
    for call in (lambda: set_hyper(opt, name, 0.9), lambda: get_hyper(opt, name), lambda: hyper_setter(opt, name)):
        with pytest.raises(ValueError, match=match):
            call()


def test_set_hyper_refuses_impossible_values():
    opt = Adam([nn.Parameter(torch.ones(2))])
    with pytest.raises(ValueError, match=r"mom=1.5 in set_hyper\(AdamW, ...\)"):
        set_hyper(opt, "mom", 1.5)
    with pytest.raises(ValueError, match=r"2 values .* for 1 layer group"):
        set_hyper(opt, "lr", [1, 2])
    assert get_hyper(opt, "mom") == [0.9]


def test_momentum_set_to_0_can_be_raised_again():
    opt = SGD([nn.Parameter(torch.ones(2))], mom=0.9)
    set_hyper(opt, "mom", 0)
    set_hyper(opt, "mom", 0.8)
    assert get_hyper(opt, "mom") == [0.8]


def test_setter_survives_load_state_dict_and_is_cheap():
    model = small_model()
    opt = Adam(param_groups(model, halves(model)), lr=0.1)
    set_lr, set_mom = hyper_setter(opt, "lr"), hyper_setter(opt, "mom")
    opt.load_state_dict(opt.state_dict())
    set_lr([1, 2])
    assert get_hyper(opt, "lr") == [1, 2]
    values = [0.8, 0.9]
    for setter in (set_lr, set_mom):
        assert min(timeit.repeat(lambda s=setter: s(values), number=1000, repeat=20)) / 1000 < 20e-6      # 1-2 us; room for a busy machine


def test_a_tensor_learning_rate_is_filled_in_place():
    lr = torch.tensor(0.1)
    opt = torch.optim.AdamW([nn.Parameter(torch.ones(2))], lr=lr, foreach=False)
    set_hyper(opt, "lr", 0.25)
    assert opt.param_groups[0]["lr"] is lr and lr.item() == 0.25


def test_with_hypers_leaves_what_a_group_says():
    p = nn.Parameter(torch.ones(2))
    made = with_hypers([{"params": p, "lr": 0.5, "weight_decay": 0.3, "name": "head"}], {"lr": 0.1, "wd": 0.2}, "test")
    assert made == [{"params": [p], "lr": 0.5, "wd": 0.3, "name": "head", "layer_group": 0}]
