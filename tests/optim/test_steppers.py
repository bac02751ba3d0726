"""The composed `Optimizer`: against torch, and against loops written from the papers."""
import copy
from functools import partial

import pytest
import torch
from torch import nn

from minifast.optim.groups import set_hyper
from minifast.optim.optimizers import Lamb, Larc, Lion, QHAdam, RAdam, RMSProp
from minifast.optim.steppers import (
    Optimizer,
    adam_step,
    average_grad,
    average_sqr_grad,
    debias,
    l2_reg,
    lion_step,
    momentum_step,
    radam_step,
    rms_prop_step,
    sgd_step,
    step_stat,
    weight_decay,
)

ADAM = [weight_decay, partial(average_grad, dampening=True), average_sqr_grad, step_stat, adam_step]


def start(dtype=torch.float64):
    gen = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, generator=gen, dtype=dtype), torch.randn(5, generator=gen, dtype=dtype)]


def gradients(steps):
    gen = torch.Generator().manual_seed(1)
    return [[torch.randn(p.shape, generator=gen, dtype=torch.float64) for p in start()] for _ in range(steps)]


def run(make, steps=12):
    "The parameters after `steps` steps of `make(params)` on fixed gradients."
    params = [nn.Parameter(p) for p in start()]
    opt = make(params)
    for grads in gradients(steps):
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone()
        opt.step()
    return [p.detach() for p in params]


def by_hand(update, steps=12):
    "The same for `update(w, g, t, s)` -> new w, with `s` a dict of zeros that it may keep its averages in."
    weights, states = start(), [{"m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in start()]
    for t, grads in enumerate(gradients(steps), 1):
        weights = [update(w, g, t, s) for w, g, s in zip(weights, grads, states, strict=True)]
    return weights


def assert_close(a, b, rtol=1e-12):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=rtol, atol=1e-14)


# Against torch

@pytest.mark.parametrize(("ours", "theirs"), [
    (partial(Optimizer, cbs=sgd_step, lr=0.1), partial(torch.optim.SGD, lr=0.1)),
    (partial(Optimizer, cbs=[average_grad, momentum_step], lr=0.1, mom=0.8), partial(torch.optim.SGD, lr=0.1, momentum=0.8)),
    (partial(Optimizer, cbs=[l2_reg, average_grad, momentum_step], lr=0.1, wd=0.2),
     partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.2)),
    (partial(Optimizer, cbs=ADAM, lr=0.1, wd=0.3), partial(torch.optim.AdamW, lr=0.1, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.3)),
    (partial(Optimizer, cbs=[l2_reg, *ADAM[1:]], lr=0.1, wd=0.3),
     partial(torch.optim.Adam, lr=0.1, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.3)),
    (partial(Optimizer, cbs=[average_sqr_grad, rms_prop_step], lr=0.1), partial(torch.optim.RMSprop, lr=0.1, alpha=0.99)),
], ids=["sgd", "momentum", "l2", "adamw", "adam", "rmsprop"])
def test_equals_torch(ours, theirs):
    assert_close(run(ours), run(theirs))


def test_radam_equals_torch_where_eps_does_not_count():
    # torch adds eps before debiasing the denominator, the stepper after
    ours = partial(Optimizer, cbs=[weight_decay, *ADAM[1:4], radam_step], lr=0.1, eps=0.0, wd=0.2)
    theirs = partial(torch.optim.RAdam, lr=0.1, betas=(0.9, 0.99), eps=0.0, weight_decay=0.2, decoupled_weight_decay=True)
    assert_close(run(ours), run(theirs))


# Against the papers

def test_radam_beta():
    def update(w, g, t, s):
        s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
        m = s["m"] / (1 - 0.9**t)
        rho_inf = 2 / (1 - 0.99) - 1
        rho = rho_inf - 2 * t * 0.99**t / (1 - 0.99**t)
        if rho <= 5:
            return w - 0.1 * m
        r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        denominator = (s["v"] / (1 - 0.99**t)) ** 0.5 + 1e-5
        return w - 0.1 * r * m / (torch.log1p(torch.exp(20 * denominator)) / 20)

    assert_close(run(partial(RAdam, lr=0.1, beta=20.0)), by_hand(update), rtol=1e-9)


def test_qhadam():
    def update(w, g, t, s):
        s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
        m, v = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.99**t)
        return w * (1 - 0.1 * 0.2) - 0.1 * (0.3 * g + 0.7 * m) / ((0.4 * g**2 + 0.6 * v) ** 0.5 + 1e-8)

    assert_close(run(partial(QHAdam, lr=0.1, mom=0.9, sqr_mom=0.99, nu_1=0.7, nu_2=0.6, wd=0.2)), by_hand(update))


def test_qhadam_with_nu_1_is_adam():
    assert_close(run(partial(QHAdam, lr=0.1, mom=0.9, sqr_mom=0.99, nu_1=1, nu_2=1, eps=1e-5)),
                 run(partial(torch.optim.Adam, lr=0.1, betas=(0.9, 0.99), eps=1e-5)))


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("coeff", [0.02, 3.0])
def test_larc(clip, coeff):
    def update(w, g, t, s):
        w = w * (1 - 0.1 * 0.2)
        s["m"] = 0.9 * s["m"] + g
        local = 0.1 * coeff * w.norm() / (g.norm() + 0.2 * w.norm() + 1e-8)
        return w - (min(local, local.new_tensor(0.1)) if clip else local) * s["m"]

    assert_close(run(partial(Larc, lr=0.1, clip=clip, trust_coeff=coeff, wd=0.2)), by_hand(update))


def test_larc_without_momentum():
    def update(w, g, t, s):
        return w - 0.1 * 0.02 * w.norm() / (g.norm() + 1e-8) * g

    assert_close(run(partial(Larc, lr=0.1, mom=0.0)), by_hand(update))


def test_larc_moves_a_parameter_that_is_0():
    bias = nn.Parameter(torch.zeros(3))
    opt = Larc([bias], lr=0.1)
    bias.grad = torch.ones(3)
    opt.step()
    torch.testing.assert_close(bias.detach(), torch.full((3,), -0.1))


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.0])
def test_lamb(scale):
    def update(w, g, t, s):
        w = w * (1 - 0.1 * 0.2)
        s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
        move = s["m"] / (1 - 0.9**t) / ((s["v"] / (1 - 0.99**t)) ** 0.5 + 1e-5)
        ratio = w.norm() / move.norm() if w.norm() > 0 else 1.0
        return w - 0.1 * min(ratio, 10) * move

    params, weights = [nn.Parameter(p * scale) for p in start()], [p * scale for p in start()]
    opt, states = Lamb(params, lr=0.1, wd=0.2), [{"m": 0, "v": 0}, {"m": 0, "v": 0}]
    for t, grads in enumerate(gradients(5), 1):
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone()
        opt.step()
        weights = [update(w, g, t, s) for w, g, s in zip(weights, grads, states, strict=True)]
    assert_close([p.detach() for p in params], weights)


def test_lion():
    def update(w, g, t, s):
        direction = (0.9 * s["m"] + 0.1 * g).sign()
        s["m"] = 0.95 * s["m"] + 0.05 * g
        return w - 0.01 * (direction + 0.2 * w)

    assert_close(run(partial(Lion, lr=0.01, avg_mom=0.95, wd=0.2)), by_hand(update))


def test_rmsprop_with_momentum_averages_the_gradient():
    def update(w, g, t, s):
        s["m"], s["v"] = 0.9 * s["m"] + g, 0.99 * s["v"] + 0.01 * g**2
        return w * (1 - 0.1 * 0.2) - 0.1 * s["m"] / (s["v"] ** 0.5 + 1e-8)

    assert_close(run(partial(RMSProp, lr=0.1, mom=0.9, wd=0.2)), by_hand(update))


def test_adam_with_scheduled_momentum_debiases_by_the_current_one():
    moms = [0.95, 0.9, 0.85, 0.9]
    (w, *_), params = start(), [nn.Parameter(start()[0])]
    opt, m, v = Optimizer(params, ADAM, lr=0.1), 0, 0
    for t, (mom, grads) in enumerate(zip(moms, gradients(4), strict=True), 1):
        set_hyper(opt, "mom", mom)
        params[0].grad = grads[0].clone()
        opt.step()
        m, v = mom * m + (1 - mom) * grads[0], 0.99 * v + 0.01 * grads[0] ** 2
        w = w - 0.1 * (m / (1 - mom**t)) / ((v / (1 - 0.99**t)) ** 0.5 + 1e-5)
    assert_close([params[0].detach()], [w])


def test_debias():
    assert debias(0.9, 0.1, 3) == pytest.approx(1 - 0.9**3, rel=1e-12) and debias(0.5, 1, 2) == pytest.approx(1.5)


# Written as the course writes them

def test_a_course_optimizer():
    def sgd_cb(p, lr, **kwargs):
        p.data.add_(p.grad.data, alpha=-lr)

    opt_func = partial(Optimizer, cbs=[sgd_cb])
    assert_close(run(partial(opt_func, lr=0.1)), run(partial(torch.optim.SGD, lr=0.1)))


def test_a_course_optimizer_with_state_and_defaults():
    def average(p, mom, grad_avg=None, **kwargs):
        if grad_avg is None:
            grad_avg = torch.zeros_like(p.grad.data)
        return {"grad_avg": grad_avg * mom + p.grad.data}

    average.defaults = {"mom": 0.8}

    def step(p, lr, grad_avg, **kwargs):
        p.data.add_(grad_avg, alpha=-lr)

    assert_close(run(partial(Optimizer, cbs=[average, step], lr=0.1)), run(partial(torch.optim.SGD, lr=0.1, momentum=0.8)))
    assert_close(run(partial(Optimizer, cbs=[average, step], lr=0.1, mom=0.5)), run(partial(torch.optim.SGD, lr=0.1, momentum=0.5)))
    opt = Optimizer([nn.Parameter(torch.ones(2))], [average, step], lr=0.1)
    assert opt.param_groups[0]["mom"] == 0.8 and opt.hypers == [{"mom": 0.8, "lr": 0.1}]


def test_a_stepper_may_take_only_what_it_names():
    def plain(p, lr):
        p.sub_(lr * p.grad)

    assert_close(run(partial(Optimizer, cbs=[average_grad, plain], lr=0.1)), run(partial(torch.optim.SGD, lr=0.1)))


def test_hypers_per_layer_group():
    groups = [{"params": [nn.Parameter(torch.ones(2))], "layer_group": 0, "no_decay": False},
              {"params": [nn.Parameter(torch.ones(2))], "layer_group": 0, "no_decay": True},
              {"params": [nn.Parameter(torch.ones(2))], "layer_group": 1, "no_decay": True}]
    opt = Optimizer(groups, [weight_decay, sgd_step], lr=slice(1e-3, 1e-1), wd=0.1)
    assert opt.hypers == [{"lr": 1e-3, "wd": 0.1}, {"lr": 1e-1, "wd": 0.0}]
    assert [g["wd"] for g in opt.param_groups] == [0.1, 0.0, 0.0]


def test_editing_param_groups_takes_effect():
    p = nn.Parameter(torch.ones(2))
    opt = Optimizer([p], [sgd_step], lr=0.1)
    opt.param_groups[0]["lr"] = 0.5
    p.grad = torch.ones(2)
    opt.step()
    assert p.tolist() == [0.5, 0.5]


def test_state_round_trip_keeps_step_counts_and_averages():
    params = [nn.Parameter(p) for p in start()]
    opt = Optimizer(params, ADAM, lr=0.1)
    for grads in gradients(3):
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        opt.step()
    state = opt.state_dict()
    assert state["state"][0].keys() == {"grad_avg", "sqr_avg", "step"} and state["state"][1]["step"] == 3
    again = Optimizer(params, ADAM, lr=0.7)
    again.load_state_dict(copy.deepcopy(state))
    assert again.hypers == opt.hypers and torch.equal(again.state[params[0]]["sqr_avg"], opt.state[params[0]]["sqr_avg"])


def test_steppers_do_not_record_gradients():
    seen = []

    def look(p, **kwargs):
        seen.append(torch.is_grad_enabled())

    p = nn.Parameter(torch.ones(2))
    opt = Optimizer([p], [look])
    p.grad = torch.ones(2)
    opt.step()
    assert seen == [False]


def shadow(p, **kwargs):
    return {"lr": 3}


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda p: Optimizer(p, [], lr=1), TypeError, "takes one stepper function or a list of them; received an empty list"),
    (lambda p: Optimizer(p, ["sgd"], lr=1), TypeError, "received str 'sgd'"),
    (lambda p: Optimizer(p, [sgd_step]), TypeError, r"needs lr, which its steppers \(sgd_step\) use"),
    (lambda p: Optimizer(p, [average_grad, momentum_step], lr=1, mon=0.9), TypeError,
     r"does not take mon=float 0.9; did you mean 'mom'.*none of its steppers \(average_grad, momentum_step\) names it"),
    (lambda p: Optimizer(p, [sgd_step], lr=1, wd=0.1), TypeError, "does not take wd=float 0.1"),
    (lambda p: Optimizer(p, [sgd_step], lr=-1), ValueError, "lr=-1"),
    (lambda p: Optimizer([{"params": p, "wd": 0.1}], [sgd_step], lr=1), ValueError, "has no use for wd=0.1"),
    (lambda p: Optimizer(p, [momentum_step], lr=1).step(), TypeError,
     r"stepper momentum_step needs grad_avg: .*\(lr\) nor state that an earlier stepper"),
    (lambda p: Optimizer(p, [momentum_step, average_grad], lr=1).step(), TypeError,
     "in the order momentum_step, average_grad; give the value"),
    (lambda p: Optimizer(p, [partial(sgd_step), shadow], lr=1).step(), ValueError, "stepper shadow returned lr as state"),
])
def test_refusals(call, error, match):
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with pytest.raises(error, match=match):
        call([p])


def test_a_steppers_own_error_is_left_as_it_is():
    def broken(p, lr, **kwargs):
        return lr + "x"

    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with pytest.raises(TypeError, match="unsupported operand"):
        Optimizer([p], [broken], lr=1).step()


def test_lion_defaults():
    opt = Optimizer([nn.Parameter(torch.ones(2))], [lion_step], lr=1e-4)
    assert opt.hypers == [{"mom": 0.9, "avg_mom": 0.99, "lr": 1e-4}]
