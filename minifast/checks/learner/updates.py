"""The learning signal: the optimizer, and the gradients and updates of a few first steps. Do gradients arrive everywhere, at a similar
scale, from every item; do units differ; what do real steps of the learner's own loop change, and by how much?
"""
import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from ...callbacks.base import Callback, CancelFitException
from ...core.messages import plural
from ...data.loaders import DataLoaders
from ...learner.inference import Batches
from ...learner.probe import Probe, once
from ...nn.loss_traits import loss_name
from ...optim.groups import norm_bias_params, param_groups
from ..outcomes import Check, NotApplicable, graded, issue, passed, require
from .outputs import first_line

N_STEPS = 4         # so that a layer that starts at zero (the last of a residual branch, a head) has moved by then
LEARNT = 1e-3       # loss of classes that leaves nothing to learn, so that hardly anything moves
Norms = dict[str, list[float | None]]       # of the gradients, by parameter and step; None: no gradient

#: Weights of queries and keys by their usual names: attention that starts out nearly even hardly depends on them.
_SCORES = re.compile(r"(^|[._])(query|key|q|k)([._]|$)")


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def all_rows_equal(weight: torch.Tensor) -> bool:
    "Whether all units of a weight (units, ...) are the same: they then get the same gradient, and stay the same."
    return weight.shape[0] > 1 and bool((weight.detach() == weight.detach()[:1]).all())


def silent_items(pred: torch.Tensor, y: torch.Tensor, loss_func: Callable) -> tuple[list[int], list[float]]:
    "The items that have a loss but no gradient, and the losses of all items. The loss is computed item by item."
    pred = pred.detach().clone().requires_grad_()
    losses = [loss_func(pred[i:i + 1], y[i:i + 1]) for i in range(len(pred))]
    grads, = torch.autograd.grad(sum(losses) + 0 * pred.sum(), pred)            # a loss without a gradient adds nothing
    values = [float(loss.detach()) for loss in losses]
    return [i for i, value in enumerate(values) if value != 0 and not bool((grads[i] != 0).any())], values


# -- the steps that the checks share ------------------------------------------------------------------------------------------------
def train_steps(probe: Probe, n: int = N_STEPS, lr: float = 1e-3) -> Norms:
    "Train the copy for `n` steps of AdamW, whatever the learner's optimizer is, and leave it so; the norms of the gradients."
    probe.reset(training=True)
    params = {name: p for name, p in probe.model.named_parameters() if p.requires_grad}
    opt = torch.optim.AdamW(params.values(), lr=lr, weight_decay=0.0)
    norms: Norms = {name: [] for name in params}
    for step in probe.steps(n):
        opt.zero_grad()
        probe.loss(probe.predict(step), step).backward()
        for name, p in params.items():
            norms[name].append(None if p.grad is None else float(p.grad.norm()))
        if all(v[-1] is None or math.isfinite(v[-1]) for v in norms.values()):
            opt.step()
    return norms


@once
def _trained(probe: Probe) -> tuple[Norms, list[str]]:
    "The norms of the gradients of a few steps, and the weights whose units are all the same after them."
    return train_steps(probe), [n for n, p in probe.model.named_parameters() if p.requires_grad and p.ndim > 1 and all_rows_equal(p)]


def symmetric_weights(probe: Probe) -> Check:
    "Layers all of whose units are, and stay, the same."
    same = [n for n in _trained(probe)[1] if not n.endswith("embedding.weight")]
    return graded(f"all units of {', '.join(same[:3])} are the same, also after {plural(N_STEPS, 'step')} of training", same, items=same,
                  layers=len(same))


def _weights_of_no_step(probe: Probe) -> set[str]:
    "The weights of recurrent layers for what comes of the step before, where they read a single step."
    names, found = {m: n for n, m in probe.model.named_modules() if isinstance(m, nn.RNNBase)}, set()

    def look(module, args, out):
        x = args[0] if args else None
        if module in names and isinstance(x, torch.Tensor) and x.shape[1 if module.batch_first and x.ndim == 3 else 0] == 1:
            found.update(f"{names[module]}.{n}" for n, _ in module.named_parameters(recurse=False) if n.startswith("weight_hh"))

    if names:
        with register_module_forward_hook(look):
            probe.output()
    return found


def missing_gradients(probe: Probe) -> Check:
    "Parameters without a gradient, or with one that is zero or not finite, over several batches and steps."
    norms, _ = _trained(probe)
    require(norms, "nothing is trained")
    not_finite = [n for n, v in norms.items() if any(g is not None and not math.isfinite(g) for g in v)]
    missing = [n for n, v in norms.items() if all(g is None for g in v)]
    unused = _weights_of_no_step(probe)
    zero = [n for n, v in norms.items() if n not in missing and not any(v) and n not in unused]
    numbers: dict[str, Any] = {"parameters": len(norms), "without": len(missing), "zero": len(zero), "not_finite": len(not_finite)}
    if not_finite:
        return issue(f"the gradient of {', '.join(not_finite[:3])} is not finite",
                     "look for sqrt, log or division at 0; lower the learning rate; clip gradients", items=not_finite, **numbers)
    what = [f"{', '.join(names[:3])} {many if len(names) > 1 else one}"
            for names, many, one in ((missing, "get none", "gets none"), (zero, "are always 0", "is always 0")) if names]
    return graded(f"no gradient reaches {plural(len(missing) + len(zero), 'trainable parameter')} of {len(norms)}: {'; '.join(what)}",
                  missing or zero, items=missing + zero, **numbers)


def gradient_scale(probe: Probe) -> Check:
    "Gradients that vanish or explode from layer to layer: their norms for the weight matrices."
    norms, _ = _trained(probe)
    sizes = {n: norms[n][-1] for n, p in probe.model.named_parameters()
             if p.ndim > 1 and norms.get(n) and (norms[n][-1] or 0) > 0 and not _SCORES.search(n)}
    require(len(sizes) > 1, "fewer than two layers with gradients")
    low, *_, high = sorted(sizes, key=sizes.__getitem__)
    ratio = sizes[high] / sizes[low]
    return graded(f"gradients differ by a factor of {ratio:.1e}: {high} against {low}", ratio > 1e6, ratio > 1e4, largest=sizes[high],
                  smallest=sizes[low], ratio=ratio)


def gradient_of_every_item(probe: Probe) -> Check:
    "Items with a loss but without a gradient: the loss is clipped or clamped."
    pred, step = probe.pred, probe.step
    require(isinstance(pred, torch.Tensor) and step.y is not None and len(pred) == step.n,
            "predictions and targets are not one tensor each, with one row per item")
    try:
        silent, losses = silent_items(pred, step.y, probe.loss_func)
    except Exception as e:                      # whatever a loss raises
        raise NotApplicable(f"the loss does not take a single item: {type(e).__name__}: {e}") from None
    highest = max((losses[i] for i in silent), default=0.0)
    return graded(f"{len(silent)} of {len(losses)} items have a loss (up to {highest:.3g}) but no gradient in "
                  f"{loss_name(probe.loss_func)}: the loss is flat there", silent, n_items=len(losses), without_gradient=len(silent),
                  loss_of_these=highest)


# -- the optimizer ------------------------------------------------------------------------------------------------------------------
def create_optimizer(probe: Probe) -> torch.optim.Optimizer:
    "The twin's optimizer, with the weight decay that the learner's own has now."
    opt, own = probe.twin.create_opt(), probe.learn.opt
    if own is not None and len(own.param_groups) == len(opt.param_groups):
        for group, now in zip(opt.param_groups, own.param_groups, strict=True):
            group.update({k: v for k, v in now.items() if k in ("weight_decay", "wd")})
    return opt


def optimizer_parameters(probe: Probe) -> Check:
    "The parameters of the learner's optimizer (or, before there is one, of its splitter) against those of its model."
    learn, model = probe.learn, probe.learn.model
    try:
        groups = param_groups(model, learn.splitter(model), learn.wd_bn_bias) if learn.opt is None else learn.opt.param_groups
    except ValueError as e:
        return issue(first_line(e), "correct the splitter: each trainable parameter belongs to exactly one layer group")
    held, known = [id(p) for g in groups for p in g["params"]], {id(p) for p in model.parameters()}
    missing = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in set(held)]
    strangers, twice = len(set(held) - known), len(held) - len(set(held))
    found = (f"{plural(len(missing), 'trainable parameter')} not in the optimizer: {', '.join(missing[:4])}" if missing else
             f"the optimizer holds {plural(strangers, 'parameter')} that the model does not have" if strangers else
             f"{plural(twice, 'parameter')} in the optimizer more than once" if twice else "")
    return graded(found, found, items=missing, held=len(held), missing=len(missing), not_of_this_model=strangers, twice=twice)


def weight_decay(probe: Probe) -> Check:
    "Norm layers and biases in groups that decay."
    decaying = [g for g in create_optimizer(probe).param_groups if g.get("weight_decay", g.get("wd", 0))]
    exempt = norm_bias_params(probe.model)
    n = sum(id(p) in exempt for g in decaying for p in g["params"])
    return graded(f"weight decay also pulls {plural(n, 'parameter')} of norm layers and biases towards 0", tip=n,
                  fine="" if decaying else "there is no weight decay", decayed=n)


# -- real steps ---------------------------------------------------------------------------------------------------------------------
def update_ratio(before: torch.Tensor, after: torch.Tensor) -> float | None:
    "|after - before| / |before| of two tensors, None where `before` is 0."
    norm = float(before.norm())
    return float((after - before).norm()) / norm if norm > 1e-8 else None


def fit_on(probe: Probe, batches: Any, first: Callback, last: Callback) -> None:
    "An epoch of the learner's own loop over `batches`, on the copy; `first` runs before all its callbacks, `last` after them."
    twin, data = probe.twin, probe.twin.dls
    probe.reset()
    create_optimizer(probe)
    first.order, last.order = -1000, 1000
    try:
        twin.dls = DataLoaders(batches, path=data.path, device=data.device)
        with twin.added_cbs([first, last]):
            twin.fit(1)
    finally:
        twin.dls = data
        probe.reset()


@dataclass
class StepRecorder:
    "What happens to gradients and weights in a few steps of a learner's loop."
    leftovers: int = 0                                  #: steps that began with gradients of the one before
    ratios: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))   #: update-to-weight ratios of the weight matrices
    losses: list[float] = field(default_factory=list)
    moved: dict[str, bool] = field(default_factory=dict)        #: parameters that changed, and whether they are trainable
    stepped: bool = True
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def before_backward(self, cb: Callback) -> None:
        "Look for gradients that are still there."
        learn = cb.learn
        if self.stepped and learn.train_iter > 0:
            grads = [p.grad for g in learn.opt.param_groups for p in g["params"] if p.grad is not None]
            self.leftovers += any(bool((g != 0).any()) for g in grads)
        self.stepped = False
        self.losses.append(float(learn.loss.detach()))

    def before_step(self, cb: Callback) -> None:
        "Keep the weights."
        self.weights = {n: p.detach().clone() for n, p in cb.learn.model.named_parameters()}

    def after_step(self, cb: Callback) -> None:
        "Compare the weights."
        self.stepped = True
        for name, p in cb.learn.model.named_parameters():
            before, after = self.weights[name], p.detach()
            if not torch.equal(before, after):
                self.moved[name] = p.requires_grad
            if p.requires_grad and p.ndim > 1 and (ratio := update_ratio(before, after)) is not None:
                self.ratios[name].append(ratio)


@once
def dry_run(probe: Probe) -> StepRecorder:
    "A few steps of the learner's own loop, optimizer and callbacks, at its own learning rate, on the copy."
    recorder, steps = StepRecorder(), probe.steps(N_STEPS)
    batches = Batches([(*s.xb, *s.yb) if not s.kw else {**s.kw, "labels": s.yb[0]} for s in steps], max(1, len(steps[0].xb)))

    def stop(cb):
        if cb.learn.iter + 1 >= len(steps):
            raise CancelFitException

    fit_on(probe, batches, Callback(before_backward=recorder.before_backward, before_step=recorder.before_step),
           Callback(after_step=recorder.after_step, after_batch=stop))
    return recorder


def zeroed_gradients(probe: Probe) -> Check:
    "Gradients of the step before that are still there when the next backward pass begins."
    steps = dry_run(probe)
    n = len(steps.losses)
    return graded(f"gradients of the step before were still there in {plural(steps.leftovers, 'step')} of {n - 1}: they add up",
                  steps.leftovers, left=steps.leftovers, steps=n)


def update_to_weight_ratio(probe: Probe) -> Check:
    """|update| / |weight| of the weight matrices in real steps. Far below 1e-3 nothing moves; near 1 what was learned is thrown away.

    Source: A. Karpathy, CS231n notes, "Ratio of weights:updates".
    """
    require(not getattr(probe.model, "closed_form", False), "the model is fitted at once, not in steps")
    steps, lr = dry_run(probe), probe.twin.lr
    if frozen := [name for name, trainable in steps.moved.items() if not trainable]:
        return issue(f"frozen parameters change in a step: {', '.join(frozen[:3])}",
                     "look at the optimizer: it must leave parameters without a gradient alone", items=frozen)
    lr = lr.stop if isinstance(lr, slice) else lr
    if not steps.moved:
        return issue(f"no weight changes in {plural(len(steps.losses), 'step')} (lr={lr})",
                     "look at the learning rate, and at callbacks that cancel the step", steps=len(steps.losses))
    ratios = sorted(sum(v) / len(v) for v in steps.ratios.values())
    require(ratios, "no weight matrix is trained")
    median, largest = ratios[len(ratios) // 2], ratios[-1]
    high, low = median > 0.4 or not all(map(math.isfinite, steps.losses)), largest < 2e-5
    found = f"per step at lr={lr} the weights change by {median:.1e} of their size (largest {largest:.1e})"
    if not high and max(steps.losses) < LEARNT and probe.kind not in (None, "values"):
        return passed(f"{found}, with a loss of {max(steps.losses):.1e}: these items are learnt", lr=lr, largest=largest)
    return graded(f"{found}: the learning rate is far too {'high' if high else 'low'}" if high or low else found, high or low,
                  median > 0.15 or largest < 1e-4, fine=found, lr=lr, median=median, largest=largest, smallest=ratios[0],
                  loss_first=steps.losses[0], loss_last=steps.losses[-1])
