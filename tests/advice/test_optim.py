"What the messages of `minifast.optim` say to write."
import pytest
from suggestions import told
from torch import nn
from workshop import BodyHead, learner

from minifast.basics import *
from minifast.optim.groups import param_groups, spread
from minifast.optim.hypers import as_hyper_optimizer
from minifast.optim.lookahead import Lookahead
from minifast.optim.optimizers import OptimWrapper
from minifast.optim.schedules import combine_scheds, combined_cos, flat_cos, one_cycle
from minifast.optim.steppers import Optimizer, average_grad, momentum_step, sgd_step


def test_freezing_one_layer_group():
    with told("optim/freezing.py", "to freeze a part write Learner(splitter=lambda m: [params(m.body), params(m.head)])"):
        learner(BodyHead()).freeze()
    learn = learner(BodyHead(), splitter=lambda m: [params(m.body), params(m.head)])
    learn.freeze()
    assert not learn.model.body.weight.requires_grad and learn.model.head.weight.requires_grad


@pytest.mark.parametrize("write", [lambda model: list(model.parameters()),
                                   lambda model: [list(model.body.parameters()), list(model.head.parameters())]])
def test_a_splitter_that_returns_a_module(write):
    model = BodyHead()
    with told("optim/groups.py", "Write list(model.parameters()) or [list(model.body.parameters()), list(model.head.parameters())]"):
        learner(model, splitter=lambda m: m).fit(1)
    learner(model, splitter=write).fit(1)                   # list(model.parameters()), or one list for the body and one for the head


def test_layer_groups_of_something_else():
    model = BodyHead()
    with told("optim/groups.py", "where parameters are expected (write list(module.parameters()))"):
        param_groups(model, [[model.body], [model.head]])
    assert len(param_groups(model, [list(module.parameters()) for module in (model.body, model.head)])) == 4


def test_layer_groups_that_share_or_miss_parameters():
    model = BodyHead()
    with told("optim/groups.py", "each trainable parameter belongs to exactly one layer group",
              "Freeze with requires_grad_(False) what is not to train"):
        param_groups(model, [params(model.head)])
    model.body.requires_grad_(False)
    assert len(param_groups(model, [params(model.head)])) == 2


@pytest.mark.parametrize("value", [[1e-4, 1e-3], slice(1e-4, 1e-3), 1e-3])
def test_a_value_for_each_layer_group(value):
    with told("optim/groups.py", "give one per layer group, slice(lo, hi), or a single number for all"):
        spread([1e-3, 1e-2, 1e-1], 2)
    assert len(spread(value, 2)) == 2                       # one per layer group, a slice, a number


@pytest.mark.parametrize("value", [slice(1e-3), slice(1e-5, 1e-3)])
def test_a_slice_with_a_step(value):
    with told("optim/groups.py", "write slice(hi), the last layer group at hi and the others at hi/10, or slice(lo, hi)"):
        spread(slice(1e-5, 1e-3, 2), 2)
    assert spread(value, 2)[-1] == 1e-3                     # slice(hi), slice(lo, hi)


def test_a_slice_from_zero():
    with told("optim/groups.py", "Give a list with one value per layer group to use others"):
        spread(slice(0, 1e-3), 2)
    assert spread([0, 1e-3], 2) == [0, 1e-3]                # a list with one value per layer group


def test_an_optimizer_of_a_model():
    def splitter(m):
        return [params(m.body), params(m.head)]

    model = BodyHead()
    for params_of in (lambda: model.parameters(), lambda: list(model.parameters()), lambda: [params(model.body), params(model.head)],
                      lambda: param_groups(model, splitter(model))):
        with told("optim/groups.py", "a list of lists (one per layer group) or what param_groups(model, splitter(model)) returns"):
            Adam(model, lr=0.1)
        assert Adam(params_of(), lr=0.1).param_groups       # model.parameters() and the others, param_groups(model, splitter(model))


def test_momentum_of_an_optimizer_without_it():
    def fit(opt_func):
        learner(opt_func=opt_func).fit(1, cbs=ParamScheduler({"mom": SchedCos(0.9, 0.8)}))

    with told("optim/groups.py", "Build it with some, such as partial(…, …=0.9), or do not set it"):
        fit(SGD)
    fit(partial(SGD, mom=0.9))


def hyper_optimizer():
    return as_hyper_optimizer(torch.optim.Adam(BodyHead().parameters(), lr=0.1))


def test_removing_a_hyper_parameter():
    opt = hyper_optimizer()
    with told("optim/hypers.py", "a hyper-parameter cannot be removed from an optimizer; set it: hypers["):
        del opt.hypers[0]["wd"]
    opt.hypers[0]["wd"] = 0
    assert opt.hypers[0]["wd"] == 0


def test_names_of_fastais_optimizers():
    opt = hyper_optimizer()
    with told("optim/hypers.py", "write [g['params'] for g in opt.param_groups]"):
        opt.param_lists
    assert [len(g) for g in [g["params"] for g in opt.param_groups]] == [4]
    with told("optim/hypers.py", "write [p for g in opt.param_groups for p in g['params']]; the state of p is opt.state[p]"):
        opt.all_params
    assert [opt.state[p] for p in [p for g in opt.param_groups for p in g["params"]]] == [{}] * 4
    with told("optim/hypers.py", "write opt.state.clear(), or fit(..., reset_opt=True)"):
        opt.clear_state()
    opt.state.clear()
    learner().fit(1, reset_opt=True)
    learn = learner(BodyHead(), splitter=lambda m: [params(m.body), params(m.head)])
    learn.create_opt()
    with told("optim/hypers.py", "layer groups are frozen by the learner, learn.freeze()"):
        learn.opt.freeze()
    learn.freeze()
    assert not learn.model.body.weight.requires_grad
    with told("optim/hypers.py", "layer groups are frozen by the learner, learn.unfreeze()"):
        learn.opt.unfreeze()
    learn.unfreeze()
    assert learn.model.body.weight.requires_grad


def test_lookahead_of_a_class():
    with told("optim/lookahead.py", "def opt_func(params, **kw): return Lookahead(RAdam(params, **kw))"):
        Lookahead(RAdam)

    def opt_func(params, **kw):
        return Lookahead(RAdam(params, **kw))

    learner(opt_func=opt_func).fit(1)


def test_a_constructed_optimizer_with_settings():
    with told("optim/optimizers.py", "Give the class, opt=torch.optim.…, to construct it here"):
        OptimWrapper(opt=torch.optim.AdamW(nn.Linear(1, 1).parameters()), lr=0.1)
    assert OptimWrapper(nn.Linear(1, 1).parameters(), opt=torch.optim.AdamW, lr=0.1).hypers[0]["lr"] == 0.1


def test_schedules_and_steps():
    step, steps = 3, 10
    with told("optim/schedules.py", "Divide the step by the number of steps"):
        SchedCos(1, 0)(step)
    assert SchedCos(1, 0)(step / steps) > 0
    with told("optim/schedules.py", "takes a number or a list of numbers (one per layer group) as"):
        SchedCos("1", 0)
    assert SchedCos(1, 0)(1) == 0 and SchedCos([1, 2], 0)(0) == [1, 2]


def test_parts_of_a_schedule():
    with told("optim/schedules.py", "such as combine_scheds([0.25, 0.75], [SchedCos(0.1, 1), SchedCos(1, 0)])"):
        combine_scheds([0.25], [SchedCos(0.1, 1), SchedCos(1, 0)])
    assert combine_scheds([0.25, 0.75], [SchedCos(0.1, 1), SchedCos(1, 0)])(1) == 0
    with told("optim/schedules.py", "the fraction of training spent going from start to middle, 0 to 1"):
        combined_cos(25, 0.1, 1, 0)
    assert combined_cos(0.25, 0.1, 1, 0)(0.25) == 1


def test_rates_of_one_cycle():
    lr, n_layer_groups = slice(1e-3, 1e-1), 2
    with told("optim/schedules.py", "write spread(lr, n_layer_groups)"):
        flat_cos(lr)
    assert flat_cos(spread(lr, n_layer_groups))(0) == spread(lr, 2)
    for moms in ((0.95, 0.85, 0.95), None):
        with told("optim/schedules.py", "such as moms=(0.95, 0.85, 0.95), or moms=None to leave momentum alone"):
            one_cycle(0.1, moms=0.9)
        assert ("mom" in one_cycle(0.1, moms=moms)) is (moms is not None)


def test_an_optimizer_of_steppers():
    weights = params(nn.Linear(1, 1))
    with told("optim/steppers.py", "Write cbs=[average_grad, momentum_step]"):
        Optimizer(weights, cbs=None, lr=0.1)
    assert Optimizer(weights, cbs=[average_grad, momentum_step], lr=0.1, mom=0.9).hypers
    with told("optim/steppers.py", "Add the stepper that uses it, or leave it out"):
        Optimizer(weights, [sgd_step], lr=0.1, mom=0.9)
    assert Optimizer(weights, [average_grad, momentum_step], lr=0.1, mom=0.9).hypers and Optimizer(weights, [sgd_step], lr=0.1).hypers
    with told("optim/steppers.py", "use: write Optimizer(params, cbs, lr=0.1)"):
        Optimizer(weights, [sgd_step])
    assert Optimizer(weights, [sgd_step], lr=0.1).hypers
