"""The optimizer, and a few real steps of the learner's own loop on a copy: what do they change, and by how much?"""
import math
from collections import defaultdict

import torch

from ...callbacks.base import Callback, CancelFitException
from ...core.messages import plural
from ...data.loaders import DataLoaders
from ...learner.inference import Batches
from ...learner.probe import Probe, once
from ...optim.groups import norm_bias_params, param_groups
from ..outcomes import Check, graded, issue, require
from .gradients import N_STEPS
from .model_runs import first_line


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


class StepRecorder:
    "What happens to gradients and weights in a few steps of a learner's loop."

    def __init__(self):
        self.leftovers = 0                              #: steps that began with gradients of the one before
        self.ratios: dict[str, list[float]] = defaultdict(list)     #: update-to-weight ratios of the weight matrices
        self.losses: list[float] = []
        self.moved: dict[str, bool] = {}                #: parameters that changed, and whether they are trainable
        self.stepped = True
        self.weights: dict[str, torch.Tensor] = {}

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
    recorder, twin, steps = StepRecorder(), probe.twin, probe.steps(N_STEPS)
    probe.reset()
    create_optimizer(probe)
    data = twin.dls
    batches = Batches([(*s.xb, *s.yb) if not s.kw else {**s.kw, "labels": s.yb[0]} for s in steps], max(1, len(steps[0].xb)))

    def stop(cb):
        if cb.learn.iter + 1 >= len(steps):
            raise CancelFitException

    first = Callback(before_backward=recorder.before_backward, before_step=recorder.before_step)
    last = Callback(after_step=recorder.after_step, after_batch=stop)
    first.order, last.order = -1000, 1000
    try:
        twin.dls = DataLoaders(batches, path=data.path, device=data.device)
        with twin.added_cbs([first, last]):
            twin.fit(1)
    finally:
        twin.dls = data
        probe.reset()
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
    return graded(f"{found}: the learning rate is far too {'high' if high else 'low'}" if high or low else found, high or low,
                  median > 0.15 or largest < 1e-4, fine=found, lr=lr, median=median, largest=largest, smallest=ratios[0],
                  loss_first=steps.losses[0], loss_last=steps.losses[-1])
