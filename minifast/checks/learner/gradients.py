"""The gradients of the first steps: do they arrive everywhere, at a similar scale, from every item, and do units differ?"""
import math
from collections.abc import Callable
from typing import Any

import torch

from ...core.messages import plural
from ...learner.probe import Probe, once
from ...nn.loss_traits import loss_name
from ..outcomes import Check, NotApplicable, graded, issue, require

N_STEPS = 4         # so that a layer that starts at zero (the last of a residual branch, a head) has moved by then
Norms = dict[str, list[float | None]]       # of the gradients, by parameter and step; None: no gradient


# -- pure functions of tensors ------------------------------------------------------------------------------------------------------
def all_rows_equal(weight: torch.Tensor) -> bool:
    "Whether all units of a weight (units, ...) are the same: they then get the same gradient, and stay the same."
    return weight.shape[0] > 1 and bool((weight.detach() == weight.detach()[:1]).all())


def silent_items(pred: torch.Tensor, y: torch.Tensor, loss_func: Callable) -> tuple[list[int], list[float]]:
    "The items that have a loss but no gradient, and the losses of all items. The loss is computed item by item."
    silent, losses = [], []
    for i in range(len(pred)):
        one = pred[i:i + 1].detach().clone().requires_grad_()
        loss = loss_func(one, y[i:i + 1])
        g, = torch.autograd.grad(loss, one, allow_unused=True) if loss.requires_grad else (None,)
        losses.append(float(loss.detach()))
        if (g is None or not bool((g != 0).any())) and losses[-1] != 0:
            silent.append(i)
    return silent, losses


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


# -- checks -------------------------------------------------------------------------------------------------------------------------
def symmetric_weights(probe: Probe) -> Check:
    "Layers all of whose units are, and stay, the same."
    same = [n for n in _trained(probe)[1] if not n.endswith("embedding.weight")]
    return graded(f"all units of {', '.join(same[:3])} are the same, also after {plural(N_STEPS, 'step')} of training", same, items=same,
                  layers=len(same))


def missing_gradients(probe: Probe) -> Check:
    "Parameters without a gradient, or with one that is zero or not finite, over several batches and steps."
    norms, _ = _trained(probe)
    require(norms, "nothing is trained")
    not_finite = [n for n, v in norms.items() if any(g is not None and not math.isfinite(g) for g in v)]
    missing = [n for n, v in norms.items() if all(g is None for g in v)]
    zero = [n for n, v in norms.items() if n not in missing and not any(v)]
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
    matrices = {n for n, p in probe.model.named_parameters() if p.ndim > 1}
    sizes = {n: v[-1] for n, v in norms.items() if n in matrices and v and (v[-1] or 0) > 0}
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
