"""Capacity: can the model learn one item, and a few, by heart, with regularisation and augmentation off? If not, no data will help.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("overfit one batch").
"""
import math
import time

import torch
from torch import nn

from ...core.seeds import fixed_seed
from ...nn.loss_traits import class_axis, decodes_of, loss_name
from ..report import issue, not_applicable, passed, tip
from .initial_loss import binary_entropy, constant_values, entropy, frequencies

RATES = (5e-3, 5e-4, 3e-2)          # of AdamW, one after the other until one works
_DROPS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def different_items(y, n):
    "The indices of `n` items whose targets differ as much as possible: one of each class in turn; evenly spread for numbers."
    y = y.reshape(len(y), -1).double()
    keys = y[:, 0] if y.shape[1] == 1 else (y * torch.linspace(1, 2, y.shape[1], dtype=torch.double, device=y.device)).sum(1)
    values = keys.unique()
    if len(values) > n:
        ranked = keys.argsort().tolist()
        chosen = [ranked[round(k * (len(ranked) - 1) / (n - 1))] for k in range(n)] if n > 1 else ranked[:1]
    else:
        queues = [torch.nonzero(keys == v).flatten().tolist() for v in values]
        chosen = [i for row in zip(*[q + [None] * (len(y) - len(q)) for q in queues], strict=True) for i in row if i is not None][:n]
    return sorted(chosen)


def without_inputs(kind, name, y, n_out):
    "The lowest loss that a model can have that does not see the inputs, for the targets `y`; None where it is not known."
    if kind in ("class logits", "class log-probabilities") and not y.is_floating_point():
        return entropy(frequencies(y, n_out))
    if kind in ("logits", "probabilities"):
        return binary_entropy(y.float().reshape(len(y), -1).mean(0))
    found = constant_values(y.reshape(len(y), -1), name) if kind == "values" else None
    return None if found is None else found[1]


def overfit(model, predict, loss_func, lr, n_steps, enough, seconds=math.inf):
    """Train `model` with AdamW on one batch, without weight decay, until `enough(pred, loss)`; `(losses, done)`.

    predict: a function without arguments that gives the prediction of the batch.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    opt, losses, end = torch.optim.AdamW(params, lr=lr, weight_decay=0.0, betas=(0.9, 0.99)), [], time.perf_counter() + seconds
    for _ in range(n_steps):
        opt.zero_grad()
        pred = predict()
        loss = loss_func(pred)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            return losses, False
        if enough(pred, losses[-1]):
            return losses, True
        if time.perf_counter() > end or _stands_still(losses):
            break
        loss.backward()
        opt.step()
    return losses, False


def _stands_still(losses, over=60):
    "Whether the best loss of the last `over` steps is no better than that of those before."
    n = len(losses)
    return n >= 2 * over and n % 10 == 0 and min(losses[-over:]) > 0.995 * min(losses[:-over])


def _settled(losses):
    "Where the losses ended, and not only for a moment: the mean of the last ones."
    return sum(losses[-5:]) / len(losses[-5:])


# -- the run that the checks share --------------------------------------------------------------------------------------------------
def _without_chance(model, keep_norms):
    "Dropout off; batch norm by its running statistics where the items are too alike for its own."
    for m in model.modules():
        if (
            isinstance(m, _DROPS)
            or (not keep_norms and isinstance(m, _BATCH_NORMS))
            or (isinstance(m, (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer)) and getattr(m, "dropout", 0))
        ):
            m.eval()


def _learn_by_heart(probe, n):
    "Overfit `n` items: a dict of what came of it."
    found = probe.steps(1, "plain") or probe.steps(1)
    step = found[0]
    y = step.y
    rows = y is not None and y.ndim > 0 and len(y) == step.n
    n = min(n, step.n)
    step = step.take(different_items(y.float(), n) if rows else list(range(n)))
    batched = step if n > 1 else step.take([0, 0])              # norm layers and squeezes need two
    kind, first = probe.kind, None
    n_out = probe.pred.shape[class_axis(probe.loss_func, probe.pred)] if isinstance(probe.pred, torch.Tensor) and probe.pred.ndim else 1
    base = without_inputs(kind, loss_name(probe.loss_func), step.y, n_out) if step.y is not None else None
    best = {"losses": [], "done": False}
    budget = 8.0 if probe.fast else 40.0
    began = time.perf_counter()
    for lr in RATES:
        with fixed_seed(0):
            model = probe.reset(training=True)
            for p in model.parameters():                        # frozen layers may have what it takes: all of them may learn
                p.requires_grad_(p.is_floating_point())
            _without_chance(model, keep_norms=n > 1)
            goal = _goal(probe, step, kind, base)
            losses, done = overfit(model, lambda: probe.predict(batched), lambda p: probe.loss(p, batched), lr, 80 if probe.fast else 200,
                                   goal, max(1.0, budget - (time.perf_counter() - began)))
        first = losses[0] if first is None else first
        if done or not best["losses"] or _settled(losses) < _settled(best["losses"]):
            best = {"losses": losses, "done": done, "lr": lr}
        if done or time.perf_counter() - began > budget:
            break
    probe.reset()
    return {
        **best,
        "first": first,
        "last": best["losses"][-1] if best["done"] else _settled(best["losses"]),
        "base": base,
        "items": n,
        "steps": len(best["losses"]),
        "out_of_time": not best["done"] and time.perf_counter() - began > budget,
        "alike": rows and n > 1 and bool((step.y == step.y[:1]).all()),
    }


def _goal(probe, step, kind, base):
    """When it is learned: every decision right and the loss half of the first (with smoothed labels it never nears 0), or the loss a
    fiftieth."""
    state, decodes, y = {}, decodes_of(probe.loss_func), step.y
    by_class = (kind or "").startswith("class") and y is not None and not y.is_floating_point()

    def enough(pred, loss):
        first = state.setdefault("first", max(abs(loss), 1e-8))
        if by_class and isinstance(pred, torch.Tensor):
            labels = y if len(y) == len(pred) else y.expand(len(pred), *y.shape[1:])
            right = decodes(pred.detach()).reshape(-1) == labels.reshape(-1).to(pred.device)
            return bool(right.float().mean() > 0.99) and (loss < 0.25 or loss < 0.5 * min(first, base or first))
        return loss < 0.02 * first or (loss < 1e-4 and kind is not None)
    return enough


def by_heart(probe, n):
    return probe.once(f"by heart {n}", lambda: _learn_by_heart(probe, n))


# -- checks -------------------------------------------------------------------------------------------------------------------------
def one_item(probe):
    run = by_heart(probe, 1)
    return _verdict("MF501", run, "one item")


def few_items(probe):
    run = by_heart(probe, 4 if probe.fast else 8)
    return _verdict("MF502", run, f"{run['items']} items")


def _verdict(code, run, what):
    numbers = {"first_loss": run["first"], "last_loss": run["last"], "steps": run["steps"], "lr": run.get("lr", 0.0)}
    said = f"the loss on {what} went from {run['first']:.3g} to {run['last']:.3g} in {run['steps']} steps"
    if run["done"]:
        return passed(code, said, **numbers)
    if (run["last"] < 0.5 * run["base"]) if run["base"] else (run["last"] < 0.3 * run["first"]):
        return passed(code, said + ", and still falls", **numbers)
    if run["out_of_time"] and run["steps"] < 40:
        return tip(code, said + ": too slow a model to say more", "run it without fast=True", **numbers)
    if run["last"] < (0.8 * run["base"] if run["base"] else 0.7 * run["first"]):
        return tip(code, said + ": it learns, but not by heart", **numbers)
    return issue(code, said, **numbers)


def better_than_blind(probe):
    "The loss with inputs against the best that a model without inputs could have on the same items."
    run = by_heart(probe, 4 if probe.fast else 8)
    if run["base"] is None:
        return not_applicable("MF503", "it is not known what a model without inputs could reach with this loss")
    if run["alike"] or run["base"] < 1e-6:
        return not_applicable("MF503", "the items of the batch all have the same target")
    numbers = {"with_inputs": run["last"], "without_inputs": run["base"]}
    said = f"with inputs the loss on {run['items']} items falls to {run['last']:.3g}; without them {run['base']:.3g} is the best"
    if run["last"] > 0.9 * run["base"] and not run["out_of_time"]:
        return issue("MF503", said, **numbers)
    return passed("MF503", said, **numbers)
