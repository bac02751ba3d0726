"""The learning signal: gradients, activations, and how much the weights really change in a step."""
import math

import torch
from torch import nn

from ...callbacks.base import Callback, CancelFitException
from ...core.messages import plural
from ...learner.inference import Batches
from ...nn.loss_traits import loss_name
from ...optim.freezing import Freezer
from ...optim.groups import norm_bias_params, param_groups
from ...optim.hypers import create_optimizer
from ..report import issue, not_applicable, passed, tip
from .wiring import last_layer

N_STEPS = 4         # so that a layer that begins at zero (the last of a residual branch, a head) has moved by then


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def all_rows_equal(weight):
    "Whether all units of a weight (units, ...) are the same: they then get the same gradient, and stay the same."
    flat = weight.detach().reshape(weight.shape[0], -1)
    return weight.shape[0] > 1 and bool((flat == flat[:1]).all())


def update_ratio(before, after):
    "|after - before| / |before| of two tensors, None where `before` is 0."
    norm = float(before.norm())
    return float((after - before).norm()) / norm if norm > 1e-8 else None


def dead_share(activations):
    "The share of the units of `activations` (items, units, ...) that are exactly 0 for every item and place."
    flat = activations.detach().movedim(1, 0).reshape(activations.shape[1], -1)
    return float((flat == 0).all(1).float().mean())


def saturated_share(activations, low, high, margin=0.02):
    "The share of the values of `activations` within `margin` of the range from the ends of a bounded activation."
    edge = margin * (high - low)
    return float(((activations < low + edge) | (activations > high - edge)).float().mean())


def silent_items(pred, y, loss_func):
    """Items that have a loss and no gradient: indices, with the losses of all items. The loss is computed item by item."""
    silent, losses = [], []
    for i in range(len(pred)):
        one = pred[i:i + 1].detach().clone().requires_grad_()
        loss = loss_func(one, y[i:i + 1])
        g, = torch.autograd.grad(loss, one, allow_unused=True) if loss.requires_grad else (None,)
        losses.append(float(loss.detach()))
        if (g is None or not bool((g != 0).any())) and losses[-1] != 0:
            silent.append(i)
    return silent, losses


# -- what several checks share ------------------------------------------------------------------------------------------------------
def optimizer_of(probe, lr=None):
    "The learner's optimizer made anew for the copy, with the hyper-parameters that the learner's own has now."
    learn, model = probe.learn, probe.model
    groups = param_groups(model, learn.splitter(model), learn.wd_bn_bias)
    opt = create_optimizer(learn.opt_func, groups, learn.lr if lr is None else lr, learn.wd)
    if learn.opt is not None and len(learn.opt.param_groups) == len(opt.param_groups):
        for g, own in zip(opt.param_groups, learn.opt.param_groups, strict=True):
            g.update({k: v for k, v in own.items() if k in ("weight_decay", "wd")})
    return opt


def trained_steps(probe, n=N_STEPS, lr=1e-3):
    """Train the copy for `n` steps of AdamW, whatever the learner's optimizer is, and return for each parameter name the gradients' norms
    (None: no gradient). The copy is left as trained."""
    probe.reset(training=True)
    params = [p for p in probe.model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=lr, weight_decay=0.0)
    norms = {n: [] for n, p in probe.model.named_parameters() if p.requires_grad}
    for step in probe.steps(n):
        opt.zero_grad()
        loss = probe.loss(probe.predict(step), step)
        loss.backward()
        for name, p in probe.model.named_parameters():
            if p.requires_grad:
                norms[name].append(None if p.grad is None else float(p.grad.norm()))
        if all(v[-1] is None or math.isfinite(v[-1]) for v in norms.values()):
            opt.step()
    return norms


def _signal(probe):
    def look():
        norms = trained_steps(probe)
        same = [n for n, p in probe.model.named_parameters() if p.requires_grad and p.ndim > 1 and all_rows_equal(p)]
        return norms, same
    return probe.once("signal", look)


def _matrices(probe):
    return {n for n, p in probe.model.named_parameters() if p.ndim > 1 and p.requires_grad}


# -- checks -------------------------------------------------------------------------------------------------------------------------
def symmetric(probe):
    "Layers all of whose units are, and stay, the same."
    _, same = _signal(probe)
    same = [n for n in same if not n.endswith("embedding.weight")]
    if same:
        return issue("MF301", f"all units of {', '.join(same[:3])} are the same, also after {plural(N_STEPS, 'step')} of training",
                     items=same, layers=len(same))
    return passed("MF301")


def gradients(probe):
    "Parameters without a gradient, or with one that is zero or not finite, over several batches and steps."
    norms, _ = _signal(probe)
    if not norms:
        return not_applicable("MF305", "nothing is trained")
    not_finite = [n for n, v in norms.items() if any(g is not None and not math.isfinite(g) for g in v)]
    missing = [n for n, v in norms.items() if all(g is None for g in v)]
    zero = [n for n, v in norms.items() if n not in missing and all(g is None or g == 0 for g in v)]
    numbers = {"parameters": len(norms), "without": len(missing), "zero": len(zero), "not_finite": len(not_finite)}
    if not_finite:
        return issue("MF305", f"the gradient of {', '.join(not_finite[:3])} is not finite", items=not_finite,
                     advice="look for sqrt, log or division at 0; lower the learning rate; clip gradients", **numbers)
    if missing or zero:
        what = [*([f"{', '.join(missing[:3])} {'get' if len(missing) > 1 else 'gets'} none"] if missing else []),
                *([f"{', '.join(zero[:3])} {'are' if len(zero) > 1 else 'is'} always 0"] if zero else [])]
        return issue("MF305", f"no gradient arrives at {plural(len(missing) + len(zero), 'trainable parameter')} of {len(norms)}: "
                              + "; ".join(what), items=missing + zero, **numbers)
    return passed("MF305", **numbers)


def gradient_sizes(probe):
    "Gradients that vanish or explode from layer to layer: their norms for the weight matrices."
    norms, _ = _signal(probe)
    sizes = {n: v[-1] for n, v in norms.items() if n in _matrices(probe) and v and v[-1] is not None and v[-1] > 0}
    if len(sizes) < 2:
        return not_applicable("MF303", "fewer than two layers with gradients")
    low, high = min(sizes, key=sizes.get), max(sizes, key=sizes.get)
    ratio = sizes[high] / sizes[low]
    numbers = {"largest": sizes[high], "smallest": sizes[low], "ratio": ratio}
    said = f"gradients differ by a factor of {ratio:.1e}: {high} against {low}"
    if ratio > 1e6:
        return issue("MF303", said, **numbers)
    return tip("MF303", said, **numbers) if ratio > 1e4 else passed("MF303", **numbers)


def every_item_teaches(probe):
    "Items with a loss and without a gradient: the loss is clipped or clamped."
    pred, step = probe.pred, probe.step
    if not isinstance(pred, torch.Tensor) or step.y is None or len(pred) != step.n:
        return not_applicable("MF306", "predictions and targets are not one tensor each, with an item per row")
    try:
        silent, losses = silent_items(pred, step.y, probe.loss_func)
    except Exception as e:                      # whatever a loss raises
        return not_applicable("MF306", f"the loss does not take a single item: {type(e).__name__}: {e}")
    numbers = {"n_items": len(losses), "without_gradient": len(silent), "loss_of_these": max((losses[i] for i in silent), default=0.0)}
    if silent:
        return issue("MF306", f"{len(silent)} of {len(losses)} items have a loss (up to {numbers['loss_of_these']:.3g}) but no gradient in "
                              f"{loss_name(probe.loss_func)}: the loss is flat there", **numbers)
    return passed("MF306", **numbers)


def _inputs_of_layers(probe):
    "The inputs of every layer with weights but the first one, in eval mode, and the outputs of bounded activations: by name."
    seen, bounded, order = {}, {}, []
    names = {m: n for n, m in probe.model.named_modules()}
    ranges = {nn.Sigmoid: (0, 1), nn.Tanh: (-1, 1), nn.Hardsigmoid: (0, 1), nn.Hardtanh: (-1, 1)}

    def before(module, args):
        x = args[0] if args else None
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim > 1:
            order.append(module)
            seen.setdefault(module, x.detach())

    def after(module, args, out):
        if isinstance(out, torch.Tensor):
            bounded.setdefault(module, out.detach())

    layers = [m for m in probe.model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    handles = [m.register_forward_pre_hook(before) for m in layers]
    handles += [m.register_forward_hook(after) for m in probe.model.modules() if type(m) in ranges]
    try:
        probe.output()
    finally:
        for h in handles:
            h.remove()
    inputs = {names[m]: _units_first(x, m) for m, x in seen.items() if m is not order[0]}
    return inputs, {names[m]: (x, ranges[type(m)]) for m, x in bounded.items()}


def _units_first(x, module):
    "Activations as (items, units, ...): a linear layer has its units last."
    return x.movedim(-1, 1) if isinstance(module, nn.Linear) and x.ndim > 2 else x


def live(probe):
    "Hidden units that are 0 for all items, and bounded activations at their ends."
    inputs, bounded = _inputs_of_layers(probe)
    _, last_name = last_layer(probe)
    dead = {n: dead_share(x) for n, x in inputs.items()}
    ends = {n: saturated_share(x, *r) for n, (x, r) in bounded.items() if n != last_name}
    if not dead and not ends:
        return not_applicable("MF302", "no hidden layer can be looked into")
    worst = max(dead, key=dead.get, default=None)
    stuck = max(ends, key=ends.get, default=None)
    numbers = {"dead_share": dead.get(worst, 0.0), "saturated_share": ends.get(stuck, 0.0)}
    if worst is not None and dead[worst] >= 0.8:
        return issue("MF302", f"{dead[worst]:.0%} of the units that go into {worst} are 0 for every item: dead", **numbers)
    if stuck is not None and ends[stuck] >= 0.8:
        return issue("MF302", f"{ends[stuck]:.0%} of the values of {stuck} are at the ends of its range: saturated", **numbers)
    if numbers["dead_share"] >= 0.5 or numbers["saturated_share"] >= 0.5:
        name = worst if numbers["dead_share"] >= 0.5 else stuck
        return tip("MF302", f"half or more of the units at {name} do not respond to the inputs", **numbers)
    return passed("MF302", **numbers)


def bias_before_norm(probe):
    "Layers whose bias the batch norm (or instance norm) right after them subtracts."
    names = {m: n for n, m in probe.model.named_modules()}
    outputs, found = {}, []
    taking_away = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)

    def after(module, args, out):
        if isinstance(out, torch.Tensor):
            outputs[id(out)] = module, out

    def before(module, args):
        maker, _ = outputs.get(id(args[0]), (None, None)) if args else (None, None)
        if maker is not None and maker.bias is not None and maker.bias.requires_grad:
            found.append(names[maker])

    with_bias = [m for m in probe.model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    norms = [m for m in probe.model.modules() if isinstance(m, taking_away)]
    if not norms:
        return not_applicable("MF309", "there is no norm layer that takes a bias away")
    handles = [m.register_forward_hook(after) for m in with_bias] + [m.register_forward_pre_hook(before) for m in norms]
    try:
        probe.output(training=True)
    finally:
        for h in handles:
            h.remove()
        outputs.clear()
    if found:
        return tip(
            "MF309",
            f"the bias of {', '.join(found[:3])} has no effect: the norm layer after it takes it away",
            items=found,
            layers=len(found),
        )
    return passed("MF309")


class _Watch:
    "What happens to gradients and weights in a few real steps of the learner's loop."

    def __init__(self, probe):
        self.left, self.ratios, self.losses, self.frozen_moved, self.moved = 0, {}, [], [], False
        self.probe, self.stepped = probe, True

    def before_backward(self, cb):
        learn = cb.learn
        if self.stepped and learn.train_iter > 0:
            grads = [p.grad for g in learn.opt.param_groups for p in g["params"] if p.grad is not None]
            self.left += any(bool((g != 0).any()) for g in grads)
        self.stepped = False
        self.losses.append(float(learn.loss.detach()))

    def before_step(self, cb):
        self.before = {n: p.detach().clone() for n, p in cb.learn.model.named_parameters()}

    def after_step(self, cb):
        self.stepped = True
        for n, p in cb.learn.model.named_parameters():
            old = self.before[n]
            changed = bool((old != p.detach()).any())
            self.moved |= changed
            if not p.requires_grad and changed and n not in self.frozen_moved:
                self.frozen_moved.append(n)
            if p.requires_grad and p.ndim > 1 and (r := update_ratio(old, p.detach())) is not None:
                self.ratios.setdefault(n, []).append(r)


def rehearsal(probe):
    "A few real steps of the learner's own loop, optimizer and callbacks, at its own rate, on the copy: a `_Watch`."
    def run():
        watch, twin = _Watch(probe), probe.twin
        probe.reset()
        twin.opt = optimizer_of(probe)
        twin.freezer = Freezer(twin.model, twin.opt, twin.train_bn)
        steps = probe.steps(N_STEPS)
        data = twin.dls
        n_inp = max(1, len(steps[0].xb))
        batches = Batches([(*s.xb, *s.yb) if not s.kw else {**s.kw, "labels": s.yb[0]} for s in steps], n_inp)

        def stop(cb):
            if cb.learn.iter + 1 >= len(steps):
                raise CancelFitException

        first = Callback(before_backward=watch.before_backward, before_step=watch.before_step)
        last = Callback(after_step=watch.after_step, after_batch=stop)
        first.order, last.order = -1000, 1000
        try:
            vars(twin)["_dls"] = type(data)(batches, path=data.path, device=data.device)
            with twin.added_cbs([first, last]):
                twin.fit(1, probe.learn.lr)
        finally:
            vars(twin)["_dls"] = data
            probe.reset()
        return watch
    return probe.once("rehearsal", run)


def cleared(probe):
    "Gradients of the step before that are still there when the next backward pass begins."
    watch = rehearsal(probe)
    if watch.left:
        return issue(
            "MF307",
            f"gradients of the step before were still there in {plural(watch.left, 'step')} of {len(watch.losses) - 1}: they add up",
            left=watch.left,
            steps=len(watch.losses),
        )
    return passed("MF307", steps=len(watch.losses))


def step_sizes(probe):
    """|change| / |weight| of the weight matrices in real steps. Far below 1e-3 nothing moves; near 1 what was learned is thrown away.
    Source: A. Karpathy, CS231n notes, "Ratio of weights:updates"."""
    watch = rehearsal(probe)
    if watch.frozen_moved:
        return issue("MF308", f"frozen parameters change in a step: {', '.join(watch.frozen_moved[:3])}",
                     "look at the optimizer: it must leave parameters without a gradient alone", items=watch.frozen_moved)
    lr = probe.learn.lr
    lr = lr.stop if isinstance(lr, slice) else lr
    if not watch.moved:
        return issue("MF308", f"no weight changes in {plural(len(watch.losses), 'step')} (lr={lr})",
                     "look at the learning rate, and at callbacks that cancel the step", steps=len(watch.losses))
    ratios = {n: sum(v) / len(v) for n, v in watch.ratios.items()}
    if not ratios:
        return not_applicable("MF308", "no weight matrix is trained")
    ordered = sorted(ratios.values())
    middle, largest = ordered[len(ordered) // 2], ordered[-1]
    numbers = {"lr": lr, "median": middle, "largest": largest, "smallest": ordered[0], "loss_first": watch.losses[0],
               "loss_last": watch.losses[-1]}
    said = f"per step at lr={lr} the weights change by {middle:.1e} of their size (largest {largest:.1e})"
    if middle > 0.4 or not all(map(math.isfinite, watch.losses)):
        return issue("MF308", said + ": the learning rate is far too high", **numbers)
    if largest < 2e-5:
        return issue("MF308", said + ": the learning rate is far too low", **numbers)
    if middle > 0.15 or largest < 1e-4:
        return tip("MF308", said, **numbers)
    return passed("MF308", said, **numbers)


def weight_decay(probe):
    "Norm layers and biases in groups that decay."
    opt = optimizer_of(probe)
    exempt = norm_bias_params(probe.model)
    decayed = [p for g in opt.param_groups if g.get("weight_decay", g.get("wd", 0)) for p in g["params"] if id(p) in exempt]
    if not any(g.get("weight_decay", g.get("wd", 0)) for g in opt.param_groups):
        return passed("MF310", "there is no weight decay")
    if decayed:
        return tip(
            "MF310",
            f"weight decay also pulls {plural(len(decayed), 'parameter')} of norm layers and biases towards 0",
            decayed=len(decayed),
        )
    return passed("MF310")
