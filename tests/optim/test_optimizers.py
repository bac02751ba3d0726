"""The optimizers backed by torch against torch itself, and what every optimizer promises."""
import copy
import pickle
from functools import partial

import pytest
import torch
from small_training import assert_same, halves, small_model, train
from torch import nn
from torch.nn import functional as F

from minifast.optim.groups import get_hyper, hyper_setter, layer_group_count, param_groups, set_hyper, trainable_params
from minifast.optim.lookahead import Lookahead
from minifast.optim.optimizers import SGD, Adam, Lamb, Larc, Lion, OptimWrapper, QHAdam, RAdam, RMSProp, ranger

# torch's optimizers, bit for bit

TORCH_BACKED = [
    ("Adam", Adam, torch.optim.AdamW, {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.01, "fused": True}),
    ("Adam hypers", partial(Adam, mom=0.8, sqr_mom=0.95, eps=1e-6, wd=0.3), torch.optim.AdamW,
     {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3, "fused": True}),
    ("Adam L2", partial(Adam, decouple_wd=False), torch.optim.Adam,
     {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.01, "fused": True}),
    ("Adam unfused", partial(Adam, fused=False), torch.optim.AdamW,
     {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.01, "fused": False}),
    ("SGD", SGD, torch.optim.SGD, {"fused": True}),
    ("SGD momentum", partial(SGD, mom=0.9), torch.optim.SGD, {"momentum": 0.9, "fused": True}),
    ("SGD L2", partial(SGD, mom=0.9, wd=0.1, decouple_wd=False), torch.optim.SGD,
     {"momentum": 0.9, "weight_decay": 0.1, "fused": True}),
    ("RMSProp", RMSProp, torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8}),
    ("RMSProp L2", partial(RMSProp, wd=0.1, decouple_wd=False), torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.1}),
    ("RAdam", partial(RAdam, wd=0.1), torch.optim.RAdam,
     {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam L2", partial(RAdam, wd=0.1, decouple_wd=False), torch.optim.RAdam, {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.1}),
    ("wrapped", partial(OptimWrapper, opt=torch.optim.NAdam, mom=0.8, sqr_mom=0.9, wd=0.1), torch.optim.NAdam,
     {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("wrapped partial", partial(OptimWrapper, opt=partial(torch.optim.SGD, nesterov=True), mom=0.9, weight_decay=0.1), torch.optim.SGD,
     {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("wrapped one beta", partial(OptimWrapper, opt=torch.optim.AdamW, mom=0.7), torch.optim.AdamW, {"betas": (0.7, 0.999)}),
    ("wrapped as is", partial(OptimWrapper, opt=torch.optim.Adagrad), torch.optim.Adagrad, {}),
]


def cases(wanted):
    return pytest.mark.parametrize(("ours", "theirs", "words"), [case[1:] for case in wanted], ids=[case[0] for case in wanted])


EACH_TORCH = cases(TORCH_BACKED)


@EACH_TORCH
def test_equals_torch(ours, theirs, words):
    a, b = small_model(), small_model()
    opt = ours(a.parameters(), lr=0.02)
    assert isinstance(opt, torch.optim.Optimizer)
    assert_same(train(a, opt), train(b, theirs(b.parameters(), lr=0.02, **words)))


@EACH_TORCH
def test_equals_torch_with_layer_groups(ours, theirs, words):
    a, b = small_model(), small_model()
    opt = ours(param_groups(a, halves(a)), lr=slice(1e-3, 1e-2))
    wd = {"weight_decay": 0} if "weight_decay" in opt.param_groups[0] else {}
    groups = [{"params": [b[0].weight], "lr": 1e-3}, {"params": [b[0].bias, *b[1].parameters()], "lr": 1e-3, **wd},
              {"params": [b[3].weight], "lr": 1e-2}, {"params": [b[3].bias], "lr": 1e-2, **wd}]
    assert_same(train(a, opt), train(b, theirs(groups, lr=1, **words)))
    assert layer_group_count(opt) == 2 and len(opt.param_groups) == 4


@cases([case for case in TORCH_BACKED if {"momentum", "betas"} & case[3].keys()])
def test_equals_torch_with_momentum_and_lr_scheduled(ours, theirs, words):
    a, b = small_model(), small_model()
    opt, ref = ours(a.parameters(), lr=0.02), theirs(b.parameters(), lr=0.02, **words)
    set_lr, set_mom = hyper_setter(opt, "lr"), hyper_setter(opt, "mom")

    def schedule(i):
        set_lr([0.02 * (i + 1)])
        set_mom([0.95 - 0.02 * i])

    def by_hand(i):
        g = ref.param_groups[0]
        g["lr"] = 0.02 * (i + 1)
        g.update({"momentum": 0.95 - 0.02 * i} if "momentum" in g else {"betas": (0.95 - 0.02 * i, g["betas"][1])})

    assert_same(train(a, opt, before=schedule), train(b, ref, before=by_hand))


@pytest.mark.parametrize("decoupled", [partial(SGD, mom=0.9), SGD, RMSProp])
def test_decoupled_decay_is_a_multiplication_before_the_step(decoupled):
    a, b = small_model(), small_model()
    opt, ref = decoupled(param_groups(a, trainable_params(a)), lr=0.05, wd=0.2), decoupled(b.parameters(), lr=0.05)

    def decay(i):
        with torch.no_grad():
            b[0].weight.mul_(1 - 0.05 * 0.2)
            b[3].weight.mul_(1 - 0.05 * 0.2)

    wa = train(a, opt)
    gen = torch.Generator().manual_seed(1)
    for i in range(6):                          # the gradient is taken before the decay
        x, y = torch.randn(16, 5, generator=gen), torch.randint(3, (16,), generator=gen)
        F.cross_entropy(b(x), y).backward()
        decay(i)
        ref.step()
        ref.zero_grad()
    assert_same(wa, torch.cat([p.detach().flatten() for p in b.parameters()]))
    assert get_hyper(opt, "wd") == [0.2]


def test_closure_sees_the_weights_before_the_decay():
    w = nn.Parameter(torch.tensor([2.0]))
    opt = SGD([w], lr=0.1, wd=0.5)

    def closure():
        opt.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == 4
    assert w.item() == pytest.approx(2 * (1 - 0.05) - 0.1 * 4, rel=1e-6)


def test_step_hooks_run_once():
    torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)            # torch hooks the class of an optimizer at its first instance
    w = nn.Parameter(torch.ones(1))
    w.grad = torch.ones(1)
    opt, calls = SGD([w], lr=0.1, wd=0.1), []
    opt.register_step_pre_hook(lambda *a: calls.append("before"))
    opt.register_step_post_hook(lambda *a: calls.append("after"))
    opt.step()
    assert calls == ["before", "after"]


def test_a_parameter_that_thaws_later_joins_fused_momentum():
    a, b = small_model(), small_model()
    ref = torch.optim.SGD(b.parameters(), lr=0.1, momentum=0.9, fused=False, foreach=False)
    opt = SGD(a.parameters(), lr=0.1, mom=0.9)
    assert opt.param_groups[0]["fused"]
    for m, o in ((a, opt), (b, ref)):
        m[0].requires_grad_(False)
        train(m, o, 3)
        m[0].requires_grad_(True)
    torch.testing.assert_close(train(a, opt, 3, seed=2), train(b, ref, 3, seed=2))


def test_grad_scaler_skips_the_decay_too():
    w = nn.Parameter(torch.ones(3))
    opt, scaler = SGD([w], lr=0.1, wd=0.5), torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale((w * torch.tensor([1.0, float("inf"), 1.0])).sum()).backward()
    scaler.step(opt)
    scaler.update()
    assert_same(w.detach(), torch.ones(3))
    opt.zero_grad()
    scaler.scale(w.sum()).backward()
    scaler.step(opt)
    torch.testing.assert_close(w.detach(), torch.full((3,), 0.95 - 0.1))


@pytest.mark.parametrize(("params", "fused"), [
    ([torch.ones(2)], True), ([torch.ones(2, dtype=torch.bfloat16), torch.ones(2)], True), ([torch.ones(2, dtype=torch.complex64)], None),
    ([torch.ones(2), torch.ones(2, device="meta")], None),
])
def test_fused_where_the_parameters_allow_it(params, fused):
    for opt_func in (Adam, SGD):
        opt = opt_func([nn.Parameter(p) for p in params], lr=0.1)
        assert opt.param_groups[0]["fused"] is fused


# Every optimizer

EVERY = {"Adam": Adam, "SGD": partial(SGD, mom=0.9, wd=0.01), "RMSProp": partial(RMSProp, wd=0.1),
         "RMSProp mom": partial(RMSProp, mom=0.9),
         "RAdam": RAdam, "RAdam beta": partial(RAdam, beta=50.0), "QHAdam": QHAdam,
         "Larc": Larc, "LARS": partial(Larc, clip=False, mom=0.0),
         "Lamb": Lamb, "Lion": Lion, "ranger": ranger, "OptimWrapper": partial(OptimWrapper, opt=torch.optim.AdamW)}
EACH = pytest.mark.parametrize("opt_func", EVERY.values(), ids=EVERY)


@EACH
def test_trains(opt_func):
    model = small_model()
    opt = opt_func(param_groups(model, halves(model)), lr=0.5 if getattr(opt_func, "func", opt_func) is Larc else 0.01)
    x = torch.randn(64, 5, generator=torch.Generator().manual_seed(3))
    y = (x[:, 0] > 0).long()
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@EACH
def test_state_dict_continues_identically(opt_func):
    a = small_model()
    opt = opt_func(param_groups(a, halves(a)), lr=slice(1e-3, 1e-2))
    train(a, opt, 8)
    b = copy.deepcopy(a)
    again = opt_func(param_groups(b, halves(b)), lr=0.5)
    again.load_state_dict(copy.deepcopy(opt.state_dict()))
    assert get_hyper(again, "lr") == get_hyper(opt, "lr")
    assert_same(train(a, opt, 8, seed=2), train(b, again, 8, seed=2))


@EACH
def test_copied_and_pickled_with_its_model(opt_func):
    a = small_model()
    opt = opt_func(a.parameters(), lr=0.01)
    train(a, opt, 4)
    pairs = [copy.deepcopy((a, opt)), pickle.loads(pickle.dumps((a, opt)))]
    weights = train(a, opt, 4, seed=2)
    for m, o in pairs:
        assert_same(weights, train(m, o, 4, seed=2))


@EACH
def test_torch_schedulers_work(opt_func):
    model = small_model()
    opt = opt_func(param_groups(model, halves(model)), lr=[0.1, 0.2])
    sched = torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    for _ in range(2):
        train(model, opt, 1)
        sched.step()
    assert get_hyper(opt, "lr") == [0.05, 0.1]
    before = [p.detach().clone() for p in model.parameters()]
    for g in opt.param_groups:
        g["lr"] = 0.0
    train(model, opt, 1)
    if not isinstance(opt, Lookahead):
        assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))


@EACH
def test_closure_is_called_once_and_its_loss_returned(opt_func):
    w, calls = nn.Parameter(torch.ones(3)), []
    opt = opt_func([w], lr=0.01)

    def closure():
        calls.append(torch.is_grad_enabled())
        opt.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == 3 and calls == [True] and not torch.equal(w.detach(), torch.ones(3))


@EACH
def test_no_gradient_no_step(opt_func):
    moving, still = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    opt = opt_func([moving, still], lr=0.1, wd=0.1)
    for _ in range(7):
        moving.grad = torch.ones(3)
        opt.step()
    assert_same(still.detach(), torch.ones(3))
    assert moving[0] < 1 and still not in opt.state


@EACH
def test_norm_and_bias_do_not_decay(opt_func):
    model = nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4))
    opt = opt_func(param_groups(model, trainable_params(model)), lr=0.1, wd=0.5)
    assert get_hyper(opt, "wd") == [0.5]
    set_hyper(opt, "wd", 0.25)
    assert get_hyper(opt, "wd") == [0.25]
    key = "wd" if "wd" in opt.param_groups[0] else "weight_decay"
    assert [g[key] for g in opt.param_groups] == [0.25, 0.0]
    start = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    opt.step()
    weight, bias, norm_weight, norm_bias = model.parameters()
    torch.testing.assert_close(weight.detach(), start[0] * (1 - 0.1 * 0.25))
    for p, q in zip((bias, norm_weight, norm_bias), start[1:], strict=True):
        assert_same(p.detach(), q)


@EACH
def test_takes_what_torch_takes(opt_func):
    model = small_model()
    for params in (model.parameters(), list(model.parameters()), halves(model), model.named_parameters(), [{"params": model.parameters()}],
                   [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.5}]):
        opt = opt_func(params, lr=0.1)
        assert all(isinstance(p, nn.Parameter) for g in opt.param_groups for p in g["params"])
        train(model, opt, 1)
    assert get_hyper(opt, "lr") == [0.1, 0.5]
    opt.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert len(opt.param_groups) == 3
    train(model, opt, 1)


@EACH
def test_does_not_edit_the_callers_groups(opt_func):
    model = small_model()
    groups = param_groups(model, halves(model))
    before = [dict(g) for g in groups]
    train(model, opt_func(groups, lr=0.1), 1)
    assert [g.keys() for g in groups] == [g.keys() for g in before] and all(len(a["params"]) == len(b["params"])
                                                                          for a, b in zip(groups, before, strict=True))


@pytest.mark.parametrize("opt_func", [Adam, SGD, RMSProp, RAdam, QHAdam, Larc, Lamb, Lion, ranger], ids=lambda f: f.__name__)
def test_unknown_keyword(opt_func):
    with pytest.raises(TypeError, match=rf"{opt_func.__name__}\(...\) does not take lrr=float 0.1; did you mean 'lr'\? It takes: "):
        opt_func([nn.Parameter(torch.ones(1))], lrr=0.1)
    with pytest.raises(TypeError, match=r"does not take weight_decay=float 0.1: it is called wd here"):
        opt_func([nn.Parameter(torch.ones(1))], weight_decay=0.1)


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda p: Adam(p, betas=(0.9, 0.99)), TypeError, r"betas=.*it is called mom \(the first\) and sqr_mom \(the second\) here"),
    (lambda p: SGD(p, momentum=0.9), TypeError, "momentum=float 0.9: it is called mom here"),
    (lambda p: SGD(p, betas=(0.9, 0.9)), TypeError, "does not take betas="),
    (lambda p: Adam(nn.Linear(1, 1)), TypeError, r"Adam\(...\) takes parameters: .*received Linear"),
    (lambda p: Adam(p[0]), TypeError, "received Parameter"),
    (lambda p: Adam([]), ValueError, "was given no parameters"),
    (lambda p: Adam([*p, 3]), TypeError, "received a list of Parameter, int"),
    (lambda p: Adam([{"parms": p}]), ValueError, "group 0 has no 'params' but 'parms'"),
    (lambda p: Adam([{"params": p, "layer_group": 0}, {"params": []}]), ValueError, "1 of 2 groups have a 'layer_group'"),
    (lambda p: Adam(p, lr=-1), ValueError, r"lr=-1 in Adam\(...\): lr must be a finite number"),
    (lambda p: Adam(p, lr=float("nan")), ValueError, "lr=nan"),
    (lambda p: Adam(p, lr="fast"), TypeError, "lr=str 'fast'.*must be a number"),
    (lambda p: Adam(p, mom=1.0), ValueError, "mom=1.0.*at least 0 and less than 1"),
    (lambda p: Adam(p, lr=[0.1, 0.2]), ValueError, r"2 values \(\[0.1, 0.2\]\) for 1 layer group: give one per"),
    (lambda p: RMSProp([{"params": p, "mom": 0.9}]), ValueError, r"RMSProp\(...\) has no use for mom=0.9, set in the group of layer"),
    (lambda p: Lookahead(RAdam), TypeError, "takes a constructed optimizer.*As an opt_func, write"),
    (lambda p: Lookahead(SGD(p), k=0), ValueError, "k=0.*at least 1"),
    (lambda p: Lookahead(SGD(p), alpha=2), ValueError, "alpha=2"),
    (lambda p: OptimWrapper(p), TypeError, "needs the class of a torch optimizer.*received opt="),
    (lambda p: OptimWrapper(opt=torch.optim.SGD), TypeError, r"OptimWrapper\(opt=SGD\) needs params"),
    (lambda p: OptimWrapper(p, opt=torch.optim.SGD([*p], lr=1)), TypeError, "a constructed SGD.*Give the class, opt=torch.optim.SGD"),
    (lambda p: OptimWrapper(p, opt=torch.optim.AdamW, momentun=0.9), TypeError, r"OptimWrapper\(opt=AdamW\) does not take momentun="),
    (lambda p: OptimWrapper(p, opt=torch.optim.Adagrad, mom=0.9), TypeError, r"OptimWrapper\(opt=Adagrad\) does not take mom=float 0.9"),
    (lambda p: OptimWrapper(p, opt=torch.optim.SGD, mom=0.9, momentum=0.8), TypeError,
     "given momentum both as momentum=0.8 and by its short"),
])
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call([nn.Parameter(torch.ones(2))])


# OptimWrapper

def test_wrapped_classes_keep_norm_and_bias_from_decaying_by_default():
    model = small_model()
    opt = OptimWrapper(param_groups(model, halves(model)), opt=torch.optim.AdamW, lr=slice(1e-3))
    assert isinstance(opt, torch.optim.AdamW) and type(opt).__name__ == "AdamW"
    assert [g["weight_decay"] for g in opt.param_groups] == [0.01, 0, 0.01, 0] and get_hyper(opt, "lr") == [1e-4, 1e-3]


def test_wrapped_own_names():
    class Odd(torch.optim.SGD):
        def __init__(self, params, lr=0.1, beta1=0.5, decay=0.0):
            super().__init__(params, lr=lr)
            for g in self.param_groups:
                g.setdefault("beta1", beta1)
                g.setdefault("decay", decay)

    model = small_model()
    opt = OptimWrapper(param_groups(model, halves(model)), opt=Odd, hp_map={"beta1": "mom", "decay": "wd"}, mom=0.7, wd=0.2)
    assert opt.param_groups[0]["beta1"] == 0.7 and [g["decay"] for g in opt.param_groups] == [0.2, 0, 0.2, 0]
    set_hyper(opt, "mom", [0.1, 0.2])
    assert [g["beta1"] for g in opt.param_groups] == [0.1, 0.1, 0.2, 0.2] and get_hyper(opt, "mom") == [0.1, 0.2]


def test_wrapped_instance_is_returned():
    opt = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    assert OptimWrapper(opt=opt) is opt


def test_wrapped_optimizer_without_decay_needs_no_second_group():
    model = small_model()
    opt = OptimWrapper(param_groups(model, trainable_params(model)), opt=torch.optim.LBFGS, lr=0.1)
    assert len(opt.param_groups) == 1 and len(opt.param_groups[0]["params"]) == 6
    assert len(OptimWrapper(param_groups(model, halves(model)), opt=torch.optim.Rprop, lr=[0.1, 0.2]).param_groups) == 2


def test_wrapped_own_tuple():
    opt = OptimWrapper([nn.Parameter(torch.ones(2, 2))], opt=torch.optim.Adafactor, eps=(None, 1e-2), lr=0.1)
    assert opt.param_groups[0]["eps"] == (None, 1e-2)
