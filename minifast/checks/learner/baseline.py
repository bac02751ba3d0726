"""The score to beat: what a guess that does not see the inputs reaches on validation items, and gradient boosting where they are rows.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("input-independent baseline").
"""
import math
import time
from types import SimpleNamespace

import torch
from torch.utils.data import Subset

from ...core.messages import plural
from ...core.nested import split_batch, to_device
from ...data.engine.samplers import InOrder
from ...data.targets import labels_of
from ...learner.constant_guess import constant_output, fixed_generator, is_absolute, is_squared
from ...learner.inference import Batches
from ...nn.loss_traits import class_axis, ignore_index_of, loss_name, reduction_none
from ..report import issue, not_applicable, passed, tip
from .evaluation import _fetched
from .guess import balance, boosted, difference, joined, scores_of, spread_over
from .initial_loss import frequencies

FEW_STEPS = 100             # after so few, a network that is worse than a guess may just need to train on
_MOST = 2_000_000           # values of a prediction that are made at once


# -- items of the learner -----------------------------------------------------------------------------------------------------------
def _samples_plainly(dl):
    sampler = getattr(dl, "sampler", None)
    return sampler is None or isinstance(sampler, (torch.utils.data.RandomSampler, torch.utils.data.SequentialSampler, InOrder))


def _positions(dl, limit, as_drawn=True):
    """Positions of items of a loader, at random and as often as its sampler gives them (as_drawn=False: each once); None where items
    have no positions."""
    dataset, sampler = getattr(dl, "dataset", None), getattr(dl, "sampler", None)
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    n = len(dataset)
    order = range(n) if not as_drawn or _samples_plainly(dl) else sampler.order(0).tolist() if hasattr(sampler, "order") else list(sampler)
    if not all(isinstance(i, int) for i in order[:1]):
        return None
    return [order[i] for i in torch.randperm(len(order), generator=fixed_generator())[:limit].tolist()]


def _labels(probe, dl, limit, as_drawn=True):
    "`(targets, positions)` of a loader without making inputs, as the loss gets them; None where they cannot be read so."
    like, seconds = probe.once("targets as in batches", lambda: _same_as_in_batches(probe))
    positions = None if like is None else _positions(dl, min(limit, max(200, int((0.3 if probe.fast else 2.0) / seconds))), as_drawn)
    if not positions:
        return None
    y = labels_of(Subset(dl.dataset, positions))
    if y is None or y[0].numel() != like[0].numel():
        return None
    return y.reshape(len(y), *like.shape[1:]).to(like.dtype), positions[:len(y)]


def _targets_of_batches(probe):
    steps = probe.steps(4 if probe.fast else 8)
    return torch.cat([(s.y.flatten() if probe.kind.startswith("class") else s.y.reshape(s.n, -1)).cpu() for s in steps])


def _same_as_in_batches(probe):
    "`(targets of a batch, seconds per label)` where the targets of the data are those that the loss gets, unchanged; else `(None, 0)`."
    batches, dl = probe.once("validation batches", lambda: _fetched(probe)), probe.twin.dls.valid
    y = _target(probe, batches[0], batches.n_inp) if batches else None
    if y is None or not hasattr(dl, "dataset"):
        return None, 0.0
    began = time.perf_counter()
    try:
        own = labels_of(Subset(dl.dataset, list(range(len(y)))))
    except (TypeError, IndexError, NotImplementedError):            # a stream
        own = None
    took = (time.perf_counter() - began) / len(y)
    same = own is not None and own.numel() == y.numel() and torch.equal(own.flatten().double(), y.flatten().double().cpu())
    return (y.cpu(), max(took, 1e-7)) if same else (None, 0.0)


def _target(probe, batch, n_inp):
    yb = split_batch(batch, n_inp)[2]
    return yb[0] if len(yb) == 1 and isinstance(yb[0], torch.Tensor) and yb[0].ndim else None


def _in_order(dl, positions, bs):
    "A loader like `dl` of the items at `positions`; None where there is no such loader."
    try:
        if hasattr(dl, "after_batch"):
            return dl.new(bs=bs, num_workers=0, shuffle=False, drop_last=False, sampler=positions)
        return torch.utils.data.DataLoader(dl.dataset, batch_size=bs, sampler=positions, collate_fn=dl.collate_fn)
    except Exception:                   # a loader with other arguments
        return None


def _answers(probe, limit, seconds, asks=True):
    """`(parts, positions)`: a list of (prediction, target) of validation batches, made until the time was over. asks=False: the network
    is asked only where its prediction may not have the shape of that of the first batch, else there is None."""
    dl, end = probe.twin.dls.valid, time.perf_counter() + seconds
    bs = dl.bs if hasattr(dl, "after_batch") and hasattr(getattr(dl, "dataset", None), "tensors") else probe.n_items
    positions = _positions(dl, limit)
    own = None if positions is None else _in_order(dl, positions, bs)
    batches, n_inp = (dl if own is None else own), getattr(dl, "n_inp", None)
    parts, seen, made = [], 0, 0
    probe.reset(training=False)
    for batch in batches:
        part = _answered(probe, to_device(batch, probe.device), n_inp, asks)
        if part is None:
            return [], None
        parts.append(part)
        seen, made = seen + len(part[1]), made + (probe.pred if part[0] is None else part[0]).numel()
        if seen >= limit or made > 20 * _MOST or time.perf_counter() > end:
            break
    return parts, None if own is None else positions[:seen]


def _answered(probe, batch, n_inp, asks):
    "`(prediction, target)` of a batch, or None where they are not one tensor each."
    y = _target(probe, batch, n_inp)
    if y is None:
        return None
    if not asks and y.shape[1:] == probe.step.y.shape[1:]:
        return None, y
    pred = probe.twin.get_preds(dl=Batches([batch], n_inp), act=lambda x: x, reorder=False)[0]
    return (pred.to(probe.device).float(), y) if isinstance(pred, torch.Tensor) and len(pred) == len(y) else None


def steps_trained(learn):
    "How many batches the learner was trained on in the epochs that it has finished, in all fits."
    return sum(fit.iters[-1] for fit in getattr(getattr(learn, "recorder", None), "fits", ()) if fit.iters and fit.values)


# -- the check ----------------------------------------------------------------------------------------------------------------------
def score_to_beat(probe):
    "Loss and accuracy (RMSE) on validation items of a guess, of gradient boosting for tables, and of the network if it was trained."
    why = _why_not(probe)
    if why:
        return not_applicable("MF504", why)
    kind, pred = probe.kind, probe.pred
    axis = class_axis(probe.loss_func, pred) if kind.startswith("class") else 1
    n_out = pred.shape[axis] if pred.ndim > 1 else 1
    limit, trained = 1000 if probe.fast else 4000, steps_trained(probe.learn)
    fitted = _labels(probe, probe.twin.dls.train, 3000 if probe.fast else 10_000)
    y_train = fitted[0] if fitted else _targets_of_batches(probe)
    values = constant_output(probe.loss_func, kind, y_train, n_out).to(probe.device)
    parts, positions = _valid_items(probe, limit, trained)
    if not parts:
        return not_applicable("MF504", "predictions and targets of validation are not one tensor each")
    y, shapes = [t for _, t in parts], [(len(t), *(pred if p is None else p).shape[1:]) for p, t in parts]
    if all(bool((t == y[0][:1]).all()) for t in y if t.shape[1:] == y[0].shape[1:]):
        return not_applicable("MF504", "the validation items looked at all have the same target")
    rivals = {"constant": [spread_over(values, shape, axis) for shape in shapes]}
    if positions is not None and fitted is not None:
        rows = _rows(probe, fitted[1], positions)
        found = None if rows is None else boosted(*rows, kind, probe.loss_func, 1.0 if probe.fast else 10.0)
        if found is not None:
            shaped = found[0].to(probe.device).reshape(-1, *pred.shape[1:])
            rivals["boosting"] = list(shaped.split([len(t) for t in y]))
    if trained:
        rivals["network"] = [p for p, _ in parts]
    counts_as = balance(kind, y, n_out)
    scores = {name: joined([scores_of(probe.loss_func, kind, p, t, counts_as) for p, t in zip(preds, y, strict=True)])
              for name, preds in rivals.items()}
    numbers = _evidence(probe, scores, rivals, y)
    if kind.startswith("class"):
        numbers["constant_accuracy"] = _share_of_most_frequent(probe, y_train, y, n_out, limit)
    if "boosting" in scores:
        numbers["boosting_rows"], numbers["boosting_rounds"] = len(rows[0]), found[1]
    return _verdict(probe, scores, numbers, trained)


def _share_of_most_frequent(probe, y_train, y, n_out, limit):
    "Which share of the validation targets `y` is of the class most frequent in training, however loss and sampler weight it."
    train = probe.twin.dls.train
    natural = None if _samples_plainly(train) else _labels(probe, train, limit, as_drawn=False)
    ignored = ignore_index_of(probe.loss_func)
    y_train = y_train if natural is None else natural[0]
    most = frequencies(y_train[y_train != ignored], n_out).argmax()
    counted = sum(int((t != ignored).sum()) for t in y)
    return sum(int((t == most.to(t.device)).sum()) for t in y) / max(1, counted)


def _why_not(probe):
    if probe.kind is None:
        return "it is not known what the output means to this loss, so nothing is known to guess"
    if probe.twin.dls.valid is None:
        return "there is no validation data"
    if probe.step.y is None or not isinstance(probe.pred, torch.Tensor):
        return "predictions and targets are not one tensor each"
    if probe.kind.startswith("class") and probe.step.y.is_floating_point():
        return "the targets are no class ids"
    try:
        reduction_none(probe.loss_func)
    except TypeError:
        return f"the loss of single items is needed, and {loss_name(probe.loss_func)} gives one number per batch"
    return None


def _valid_items(probe, limit, trained):
    """`(parts, positions)`: (prediction, target) of validation items, and their positions where they are known. There are predictions
    only where the learner was trained, or the targets cannot be read without the inputs."""
    if trained:
        return _answers(probe, limit, 0.5 if probe.fast else 6.0)
    found = _labels(probe, probe.twin.dls.valid, limit)
    if found is None:
        return _answers(probe, 32 if probe.fast else 200, 0.3 if probe.fast else 2.0, asks=False)
    y, positions = found
    size = max(1, _MOST // max(1, probe.pred[0].numel()))
    return [(None, t.to(probe.device)) for t in y.split(size)], positions


def _rows(probe, train_positions, valid_positions):
    "The processed tables of these training and validation rows; None where the items are no rows of a `TabularPandas`."
    train, valid = (getattr(dl, "dataset", None) for dl in (probe.twin.dls.train, probe.twin.dls.valid))
    if not all(hasattr(t, "at") and hasattr(t, "x_names") and getattr(t, "target", None) is not None for t in (train, valid)):
        return None
    return train.at(train_positions), valid.at(valid_positions)


def _evidence(probe, scores, rivals, y):
    "Loss, accuracy or RMSE, and the learner's own metrics, by name; those that ask for more than predictions and targets are named."
    numbers, own = {"validation_items": len(scores["constant"].loss)}, "rmse" if probe.kind == "values" else "accuracy"
    for name, s in scores.items():
        numbers[f"{name}_loss"] = s.mean_loss
        numbers[f"{name}_{own}"] = s.mean_score ** 0.5 if own == "rmse" else s.mean_score
    for metric in probe.twin.metrics:
        if metric.name == own:
            continue
        for name, preds in rivals.items():
            value = _metric(probe, metric, preds, y)
            if value is None:
                numbers["metrics_left_out"] = sorted({*numbers.get("metrics_left_out", ()), metric.name})
            elif math.isfinite(value):
                numbers[f"{name}_{metric.name}"] = value
    return numbers


def _metric(probe, metric, preds, y):
    "A metric of the learner on predictions; None where it asks for more than predictions and targets."
    try:
        metric.reset()
        for p, t in zip(preds, y, strict=True):
            loss = probe.loss_func(p, t).detach()
            metric.accumulate(SimpleNamespace(pred=p, yb=(t,), y=t, xb=(), kw={}, loss=loss, loss_func=probe.loss_func, training=False,
                                              model=probe.model, dls=probe.learn.dls))
        return float(metric.value)
    except Exception:
        return None


def _verdict(probe, scores, numbers, trained):
    constant, net, trees = (scores.get(k) for k in ("constant", "network", "boosting"))
    said = _sentence(probe, numbers)
    if net is None:
        return passed("MF504", f"to beat: {said}", **numbers)
    own = "rmse" if probe.kind == "values" else "accuracy"
    here = f"the network has {_percent(numbers, 'network', own)}. To beat: {said}"
    if not math.isfinite(net.mean_loss):
        return issue("MF504", f"the validation loss is {net.mean_loss}", "look for NaN or infinite inputs in validation", **numbers)
    if len(net.loss) < 16:
        return passed("MF504", f"{here}; {plural(len(net.loss), 'item')} are too few to compare", **numbers)
    if _clearly(net, constant):
        more, error = difference(net.fair, constant.fair, net.fair_number)
        if probe.kind != "values" and more > 2 * error:
            return tip("MF504", f"{here}. It tells classes apart, but is so sure where it is wrong that its loss is worse than a guess",
                       "it is overfitted: fewer epochs, more data or augmentation, weight decay, dropout", **numbers)
        if trained < FEW_STEPS:
            return tip("MF504", f"{here}. It is worse than a guess that does not see the inputs, after only {plural(trained, 'step')}",
                       "train on, and look again", **numbers)
        return issue("MF504", f"worse than a guess that does not see the inputs: {here}", **numbers)
    if trees is not None and _clearly(net, trees) and trees.mean_loss < constant.mean_loss and _worse_decisions(net, trees, own):
        return tip("MF504", f"gradient boosting is better: {here}",
                   "train longer, tune it (rate, width, embeddings), or take boosting, or the mean of both: tabular_baseline(dls, learn)",
                   **numbers)
    return passed("MF504", here, **numbers)


def _clearly(a, b):
    "Whether the loss of `a` is worse than that of `b` beyond chance (three standard errors), and by enough to matter (a twentieth)."
    more, error = difference(a.loss, b.loss, a.weight)
    return more > 3 * error and more > 0.05 * abs(b.mean_loss)


def _worse_decisions(a, b, own):
    more, error = difference(a.score, b.score, a.number)
    return more > error if own == "rmse" else more < -error


def _percent(numbers, name, own):
    value, loss = numbers[f"{name}_{own}"], numbers[f"{name}_loss"]
    return f"{own} {value:.4g} (loss {loss:.4g})" if own == "rmse" else f"{100 * value:.3g}% right (loss {loss:.4g})"


def _sentence(probe, numbers):
    "The scores to beat in words."
    own = "rmse" if probe.kind == "values" else "accuracy"
    if probe.kind == "values":
        what = [w for w, f in (("the mean", is_squared), ("the median", is_absolute)) if f(probe.loss_func)]
        what = f"{what[0]} of the training targets" if what else "one and the same number"
        text = f"predicting {what} has {_percent(numbers, 'constant', own)}"
    else:
        what = "the most frequent class" if probe.kind.startswith("class") else "by how often each label is on"
        text = f"guessing {what} is {_percent(numbers, 'constant', own)}"
    return text + (f"; gradient boosting {_percent(numbers, 'boosting', own)}" if "boosting_loss" in numbers else "")
