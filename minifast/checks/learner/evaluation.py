"""Evaluation: does validation repeat, do the three ways to predict agree, do metrics say which way is up?"""
import math
from itertools import islice
from types import SimpleNamespace

import torch

from ...core.nested import leaves, split_batch, to_device
from ...data.rows import Rows
from ...learner.inference import Batches
from ...nn.loss_traits import class_axis
from ..report import issue, not_applicable, passed
from .wiring import best_and_worst


def _fetched(probe):
    "The first batches of the validation loader, made anew: one of at most 16 items if the probe is fast, else three of at most 64."
    n, bs = (1, 16) if probe.fast else (3, 64)
    dl = probe.twin.dls.valid
    if dl is None:
        return None
    if hasattr(dl, "after_batch") and dl.bs > bs:
        dl = dl.new(bs=bs, num_workers=0)
    return Batches([to_device(b, probe.device) for b in islice(iter(dl), n)], getattr(dl, "n_inp", None))


def largest_difference(a, b):
    "The largest difference between two equally nested batches; infinite where shapes differ."
    worst = 0.0
    for x, y in zip(leaves(a), leaves(b), strict=False):
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            if x.shape != y.shape:
                return math.inf
            if x.numel():
                worst = max(worst, float((x.double() - y.double()).abs().nan_to_num(0).max()))
    return worst


def repeats(probe):
    "Two validation passes over the same batches, each loaded anew."
    one, two = probe.once("validation batches", lambda: _fetched(probe)), _fetched(probe)
    if one is None:
        return not_applicable("MF601", "there is no validation data")
    if any(not split_batch(b, one.n_inp)[2] for b in one):
        return not_applicable("MF601", "validation has no targets")
    probe.reset(training=False)
    a, b = probe.twin.validate(dl=one), probe.twin.validate(dl=two)
    numbers = {"first": a[0], "second": b[0], "inputs_differ_by": largest_difference(list(one), list(two))}
    if any(x is not None and y is not None and not math.isclose(x, y, rel_tol=1e-3, abs_tol=1e-6) for x, y in zip(a, b, strict=True)):
        why = (
            "the validation items differ each time they are loaded"
            if numbers["inputs_differ_by"] > 0
            else "the model is random in eval mode"
        )
        return issue("MF601", f"validation gave {a[0]:.5g} and then {b[0]:.5g}: {why}", **numbers)
    return passed("MF601", f"{a[0]:.5g} both times", **numbers)


def agree(probe):
    "predict, get_preds and validate on the same validation items."
    batches = probe.once("validation batches", lambda: _fetched(probe))
    if batches is None or any(not split_batch(b, batches.n_inp)[2] for b in batches):
        return not_applicable("MF602", "there is no validation data with targets")
    twin = probe.twin
    probe.reset(training=False)
    validated = twin.validate(dl=batches)[0]
    raw = [twin.get_preds(dl=Batches([b], batches.n_inp), act=_as_it_is, reorder=False)[0] for b in batches]
    if not all(isinstance(p, torch.Tensor) for p in raw):
        return not_applicable("MF602", "the predictions are not one tensor")
    losses, sizes = [], []
    for pred, batch in zip(raw, batches, strict=True):
        _, _, yb = split_batch(batch, batches.n_inp)
        losses.append(float(probe.loss_func(pred.to(probe.device), *yb)))
        sizes.append(len(yb[0]))
    again = sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes)
    numbers = {"validate": validated, "get_preds": again}
    if not math.isclose(validated, again, rel_tol=1e-3, abs_tol=1e-6):
        return issue("MF602", f"validate says {validated:.5g}, the loss of what get_preds returns is {again:.5g}", **numbers)
    return _predict_agrees(probe, raw[0], numbers)


def _as_it_is(x):
    return x


def _predict_agrees(probe, raw, numbers):
    dl, twin = probe.twin.dls.valid, probe.twin
    items = getattr(getattr(dl, "dataset", None), "items", None)
    shuffled = getattr(dl, "shuffles", True)
    if items is None or callable(items) or shuffled or not hasattr(twin.dls, "test_dl") or type(twin).predict is not _learner().predict:
        return passed("MF602", "validate and get_preds", **numbers)
    wanted, rows = twin.activation(raw), Rows(items)
    worst = 0.0
    for i in range(min(2, len(rows), len(wanted))):
        _, _, probabilities = twin.predict(rows[i])
        if probabilities.shape != wanted[i].shape:
            return passed("MF602", "validate and get_preds", **numbers)
        worst = max(worst, float((probabilities.double() - wanted[i].double()).abs().max()))
    size = float(wanted.abs().max()) + 1e-8
    if worst > 1e-2 * size:
        return issue("MF602", f"predict and get_preds differ by up to {worst:.3g} on the same items", difference=worst, **numbers)
    return passed("MF602", "all three", difference=worst, **numbers)


def _learner():
    from ...learner.learner import Learner
    return Learner


# -- metrics ------------------------------------------------------------------------------------------------------------------------
def directions(probe):
    "Each metric on perfect and on wrong predictions, against its `lower_is_better`."
    if not probe.twin.metrics:
        return not_applicable("MF603", "there are no metrics")
    pred, steps = probe.pred, probe.steps(4)
    if not isinstance(pred, torch.Tensor) or any(s.y is None for s in steps):
        return not_applicable("MF603", "predictions and targets are not one tensor each")
    wrong_way, asked = [], 0
    for metric in probe.twin.metrics:
        values = []
        for which in (0, 1):
            metric.reset()
            for s in steps:
                shape = pred if len(pred) == s.n else pred[:1].expand(s.n, *pred.shape[1:])
                made = best_and_worst(probe.kind, shape, s.y, class_axis(probe.loss_func, pred))
                if made is None:
                    return not_applicable("MF603", "it is not known what a perfect prediction is here")
                loss = probe.loss(made[which], s).detach()
                metric.accumulate(SimpleNamespace(pred=made[which], yb=s.yb, y=s.y, xb=s.xb, kw=s.kw, loss=loss, loss_func=probe.loss_func,
                                                  training=False, model=probe.model, dls=probe.learn.dls))
            values.append(metric.value)
        good, bad = values
        if good is None or bad is None or good == bad or not all(map(math.isfinite, values)):
            continue
        asked += 1
        if metric.lower_is_better is not None and metric.lower_is_better != (good < bad):
            wrong_way.append((metric.name, good, bad))
    if wrong_way:
        name, good, bad = wrong_way[0]
        said = "lower" if good > bad else "higher"
        return issue("MF603", f"{name} says that {said} is better, but is {good:.4g} for perfect and {bad:.4g} for wrong predictions",
                     perfect=good, wrong=bad, metrics=[n for n, _, _ in wrong_way])
    return passed("MF603", metrics=asked)
