"""Evaluation: is validation repeatable, do the three ways to predict agree, do metrics declare which way is up?"""
import math
from collections.abc import Iterable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import torch

from ...core.nested import leaves, split_batch, to_device
from ...data.dataloader import DataLoader
from ...data.rows import Rows
from ...learner.inference import Batches
from ...learner.learner import Learner
from ...learner.probe import Probe, Step, once
from ..outcomes import Check, graded, issue, passed, require
from .outputs import best_and_worst


def largest_difference(a: Any, b: Any) -> float:
    "The largest difference between two equally nested batches; infinite where shapes differ."
    pairs = [(x, y) for x, y in zip(leaves(a), leaves(b), strict=False) if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)]
    return max((float((x.double() - y.double()).abs().nan_to_num(0).max()) if x.shape == y.shape else math.inf
                for x, y in pairs if x.numel() or y.numel()), default=0.0)


def _load_validation(probe: Probe) -> Batches | None:
    "The first batches of the validation loader, loaded anew: one of at most 16 items if the probe is fast, else three of at most 64."
    n, bs = (1, 16) if probe.fast else (3, 64)
    dl = probe.twin.dls.valid
    if isinstance(dl, DataLoader) and dl.bs > bs:
        dl = dl.new(bs=bs, num_workers=0)
    return None if dl is None else Batches([to_device(b, probe.device) for b in islice(iter(dl), n)], getattr(dl, "n_inp", None))


#: The first validation batches, loaded once for all checks.
validation_batches = once(_load_validation)


def _require_targets(probe):
    batches = validation_batches(probe)
    require(batches is not None, "there is no validation data")
    require(all(split_batch(b, batches.n_inp)[2] for b in batches), "validation has no targets")
    return batches


def _close(a, b):
    return a is None or b is None or math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)


def repeatable_validation(probe: Probe) -> Check:
    "Two validation passes over the same batches, each loaded anew."
    one, two = _require_targets(probe), _load_validation(probe)
    probe.reset(training=False)
    a, b = probe.twin.validate(dl=one), probe.twin.validate(dl=two)
    difference = largest_difference(list(one), list(two))
    why = "the validation items differ each time they are loaded" if difference > 0 else "the model is random in eval mode"
    return graded(f"validation gave {a[0]:.5g} and then {b[0]:.5g}: {why}", not all(map(_close, a, b)), fine=f"{a[0]:.5g} both times",
                  first=a[0], second=b[0], inputs_differ_by=difference)


def consistent_predictions(probe: Probe) -> Check:
    "predict, get_preds and validate on the same validation items."
    batches, twin = _require_targets(probe), probe.twin
    probe.reset(training=False)
    validated = twin.validate(dl=batches)[0]
    raw = [twin.get_preds(dl=Batches([b], batches.n_inp), act=torch.nn.Identity(), reorder=False)[0] for b in batches]
    require(all(isinstance(p, torch.Tensor) for p in raw), "the predictions are not one tensor")
    targets = [split_batch(batch, batches.n_inp)[2] for batch in batches]
    n = [len(yb[0]) for yb in targets]
    if any(callable(getattr(m, "reset", None)) for m in twin.model.modules()):
        # what such a model keeps goes on from batch to batch within a pass; of those above each was a pass of its own
        validated = sum(twin.validate(dl=Batches([b], batches.n_inp))[0] * k for b, k in zip(batches, n, strict=True)) / sum(n)
    loss = sum(float(probe.loss_func(p.to(probe.device), *yb)) * k for p, yb, k in zip(raw, targets, n, strict=True)) / sum(n)
    numbers: dict[str, Any] = {"validate": validated, "get_preds": loss}
    if not _close(validated, loss):
        return issue(f"validate gives {validated:.5g}, the loss of what get_preds returns is {loss:.5g}", **numbers)
    difference = _difference_of_predict(probe, raw[0])
    if difference is None:
        return passed("validate and get_preds", **numbers)
    return graded(f"predict and get_preds differ by up to {difference:.3g} on the same items",
                  difference > 1e-2 * (float(twin.activation(raw[0]).abs().max()) + 1e-8), fine="all three", difference=difference,
                  **numbers)


def _difference_of_predict(probe, raw):
    "The largest difference between `predict` and the activated `raw` outputs for the first items; None where they cannot be compared."
    dl, twin = probe.twin.dls.valid, probe.twin
    items = getattr(getattr(dl, "dataset", None), "items", None)
    if not isinstance(dl, DataLoader) or dl.shuffles or items is None or callable(items) or type(twin).predict is not Learner.predict:
        return None
    wanted, rows = twin.activation(raw), Rows(items)
    n = min(len(rows), len(wanted))
    places = sorted({0, min(1, n - 1), n - 1})                              # of texts that are sorted by length the last is padded
    items = places if dl.pass_order is None else dl.pass_order[places].tolist()
    difference = largest_difference([twin.predict(rows[i])[2] for i in items], [wanted[i] for i in places])
    return None if difference == math.inf else difference


# -- metrics ------------------------------------------------------------------------------------------------------------------------
def metric_direction(probe: Probe) -> Check:
    "Each metric on perfect and on wrong predictions, against its `lower_is_better`."
    require(probe.twin.metrics, "there are no metrics")
    pred, steps = probe.pred, probe.steps(4)
    require(isinstance(pred, torch.Tensor) and all(s.y is not None for s in steps), "predictions and targets are not one tensor each")
    made = [best_and_worst(probe.kind, pred if len(pred) == s.n else pred[:1].expand(s.n, *pred.shape[1:]), s.y, probe.class_axis)
            for s in steps]
    require(None not in made, "it is not known what a perfect prediction is here")
    values = [(m, *(value_on(probe, m, preds, steps) for preds in zip(*made, strict=True))) for m in probe.twin.metrics]
    judged = [(m, good, bad) for m, good, bad in values
              if None not in (good, bad) and math.isfinite(good) and math.isfinite(bad) and good != bad]
    wrong_way = [v for v in judged if v[0].lower_is_better is not None and v[0].lower_is_better != (v[1] < v[2])]
    if not wrong_way:
        return passed(metrics=len(judged))
    metric, good, bad = wrong_way[0]
    return issue(f"{metric.name} declares that {'lower' if good > bad else 'higher'} is better, but is {good:.4g} for perfect and "
                 f"{bad:.4g} for wrong predictions", perfect=good, wrong=bad, metrics=[m.name for m, _, _ in wrong_way])


def value_on(probe: Probe, metric: Any, preds: Iterable[torch.Tensor], steps: Iterable[Step]) -> Any:
    "The value of a metric on predictions of these steps."
    metric.reset()
    for pred, s in zip(preds, steps, strict=True):
        metric.accumulate(SimpleNamespace(pred=pred, yb=s.yb, y=s.y, xb=s.xb, kw=s.kw, loss=probe.loss(pred, s).detach(), training=False,
                                          loss_func=probe.loss_func, model=probe.model, dls=probe.learn.dls))
    return metric.value
