"""Baselines: what a guess that ignores the inputs reaches on validation items, and gradient boosting where they are rows.

Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019 ("input-independent baseline").
"""
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import product
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import IterableDataset, RandomSampler, SequentialSampler, Subset

from ...core.messages import plural
from ...core.nested import leaves, split_batch, to_device
from ...data.dataloader import DataLoader
from ...data.engine.samplers import InOrder
from ...data.targets import labels_of
from ...learner.constant_guess import columns_of, constant_output, expand_constant, fixed_generator, is_absolute, is_squared, of_logarithms
from ...learner.inference import Batches
from ...learner.learner import Learner
from ...learner.probe import Probe, Step, once
from ...nn.loss_traits import activation_of, class_weight_of, decodes_of, ignore_index_of, loss_name, reduction_none
from ..outcomes import Check, NotApplicable, graded, in_time, issue, passed, require, tip
from .boosting import boosted
from .evaluation import validation_batches, value_on
from .forecasts import NAIVE, constant_quantiles, naive_forecasts, of_quantiles
from .initial_loss import frequencies

FEW_STEPS = 100             # after so few, a network that is worse than a guess may just need more training
FEW_ITEMS = 16              # too few to compare
_LEAK = "look for columns that will not be known when it matters, and for copies in both splits: dls.check()"
_MOST = 2_000_000           # values of a prediction that are made at once


# -- scores: item by item, so that two models can be compared on the same items -----------------------------------------------------
class Scores(NamedTuple):
    "Sums per item, all double (items,). An item may have several targets (labels, pixels)."
    loss: torch.Tensor              #: losses
    weight: torch.Tensor            #: their weights
    score: torch.Tensor             #: correct decisions, or squared errors
    number: torch.Tensor            #: how many there are
    fair: torch.Tensor              #: the scores with every class counted alike, so that one class for all is right once per class
    fair_number: torch.Tensor

    @property
    def mean_loss(self) -> float:
        "The mean loss, weighted as the loss weights it."
        return float(self.loss.sum() / self.weight.sum().clamp(min=1e-12))

    @property
    def mean_score(self) -> float:
        "The accuracy, or the mean squared error."
        return float(self.score.sum() / self.number.sum().clamp(min=1))


def fair_weights(kind: str, ys: Iterable[torch.Tensor], n_out: int) -> torch.Tensor | None:
    """The weights with which all classes (a label's yes and no) of the targets `ys` count alike.

    Of shape (1, classes), or (outputs, 2); None for numbers.
    """
    if kind == "values":
        return None
    if kind.startswith("class"):
        y = torch.cat([y.flatten().long().cpu() for y in ys])
        counts = torch.bincount(y[(y >= 0) & (y < n_out)], minlength=n_out)[None]
    else:
        on = torch.cat([columns_of(y.cpu(), n_out) for y in ys]) > 0.5
        counts = torch.stack([(~on).sum(0), on.sum(0)], 1)
    return 1 / counts.double().clamp(min=1)


def scores_of(loss_func: Callable, kind: str, pred: torch.Tensor, y: torch.Tensor, fair: torch.Tensor | None = None) -> Scores:
    "The `Scores` of predictions for the targets `y`, in the learner's own loss. fair: what `fair_weights` returns."
    n, by_class = len(y), kind.startswith("class")
    losses = reduction_none(loss_func)(pred, y).detach().cpu().double().reshape(n, -1)      # not every device has float64
    flat, weight = y.reshape(n, -1).cpu(), class_weight_of(loss_func) if by_class else None
    counted = (flat != ignore_index_of(loss_func)).double() if by_class else torch.ones_like(flat, dtype=torch.double)
    classes = (flat * counted).long() if by_class else (flat > 0.5).long()          # for labels: off or on
    weights = counted if weight is None else counted * weight.detach().cpu().double()[classes]
    if losses.shape != weights.shape:                   # a loss per image, or per class of an image
        weights = torch.ones_like(losses)
    if kind == "values":
        meant = (pred if pred.numel() == y.numel() else decodes_of(loss_func)(pred)).cpu().double().reshape(n, -1)      # of quantiles one
        score = ((meant.exp() if of_logarithms(loss_func) else meant) - flat.double()).square()
    else:
        decided = decodes_of(loss_func)(activation_of(loss_func)(pred)).reshape(n, -1).cpu()
        score = counted * (decided == classes)
    fairly = counted
    if fair is not None:
        output = torch.arange(len(fair)).repeat_interleave(flat.shape[1] if by_class else flat.shape[1] // len(fair))
        fairly = counted * fair[output.expand_as(flat), classes]
    return Scores(*(t.sum(1) for t in (losses, weights, score, counted, score * fairly, fairly)))


def joined(parts: Iterable[Scores]) -> Scores:
    "Several `Scores` as one."
    return Scores(*map(torch.cat, zip(*parts, strict=True)))


def difference(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> tuple[float, float]:
    """Mean and standard error of `sum(a - b) / sum(weight)` over items that both measured: how much more `a` is than `b`.

    The error is that of a ratio, so that it holds for weighted losses and for items of several targets, too.
    """
    d, total, n = a - b, weight.sum().clamp(min=1e-12), len(a)
    mean = d.sum() / total
    return float(mean), float((d - mean * weight).square().sum().sqrt() / total * (n / max(1, n - 1)) ** 0.5)


# -- items of the learner -----------------------------------------------------------------------------------------------------------
def _draws_each_once(dl):
    sampler = getattr(dl, "sampler", None)
    return sampler is None or isinstance(sampler, (RandomSampler, SequentialSampler, InOrder))


def _positions(dl, limit, as_drawn=True):
    """Positions of items of a loader, at random and as often as its sampler draws them (as_drawn=False: each once); None where items have
    no positions."""
    dataset, sampler = getattr(dl, "dataset", None), getattr(dl, "sampler", None)
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    order = (range(len(dataset)) if not as_drawn or _draws_each_once(dl) else
             sampler.order(0).tolist() if hasattr(sampler, "order") else list(sampler))
    if not all(isinstance(i, int) for i in order[:1]):
        return None
    return [order[i] for i in torch.randperm(len(order), generator=fixed_generator())[:limit].tolist()]


def _labels(probe, dl, limit, as_drawn=True):
    "`(targets, positions)` of a loader without making inputs, as the loss gets them; None where they cannot be read so."
    like, seconds = _targets_as_in_batches(probe)
    positions = None if like is None else _positions(dl, min(limit, max(200, int((0.3 if probe.fast else 2.0) / seconds))), as_drawn)
    y = labels_of(Subset(dl.dataset, positions)) if positions else None
    if y is None or y[0].numel() != like[0].numel():
        return None
    return y.reshape(len(y), *like.shape[1:]).to(like.dtype), positions[:len(y)]


@once
def _targets_as_in_batches(probe):
    "`(targets of a batch, seconds per label)` if the labels of the data are what the loss gets, unchanged; otherwise `(None, 0)`."
    batches, dl = validation_batches(probe), probe.twin.dls.valid
    y = Step(*split_batch(batches[0], batches.n_inp)).y if batches else None
    if y is None or not hasattr(dl, "dataset"):
        return None, 0.0
    began, own = time.perf_counter(), None
    with suppress(TypeError, IndexError, NotImplementedError):          # a stream
        own = labels_of(Subset(dl.dataset, list(range(len(y)))))
    seconds = (time.perf_counter() - began) / len(y)
    same = own is not None and own.numel() == y.numel() and torch.equal(own.flatten().double(), y.flatten().double().cpu())
    return (y.cpu(), max(seconds, 1e-7)) if same else (None, 0.0)


def _loader_of(dl, positions, bs):
    "A loader like `dl` of the items at `positions`; None where there is no such loader."
    with suppress(Exception):           # a loader with other arguments
        if isinstance(dl, DataLoader):
            return dl.new(bs=bs, num_workers=0, shuffle=False, drop_last=False, sampler=positions)
        return TorchDataLoader(dl.dataset, batch_size=bs, sampler=positions, collate_fn=dl.collate_fn)


def _predictions(probe, limit, seconds):
    "`(parts, positions)`: a list of (prediction, target) of validation batches, made until the time was over."
    dl = probe.twin.dls.valid
    bs = dl.bs if isinstance(dl, DataLoader) and hasattr(dl.dataset, "tensors") else probe.n_items
    positions, n_inp = _positions(dl, limit), getattr(dl, "n_inp", None)
    own = None if positions is None else _loader_of(dl, positions, bs)
    parts, seen, made = [], 0, 0
    probe.reset(training=False)
    for batch in in_time(dl if own is None else own, seconds):
        batch = to_device(batch, probe.device)
        y = Step(*split_batch(batch, n_inp)).y
        pred = None if y is None else probe.twin.get_preds(dl=Batches([batch], n_inp), act=torch.nn.Identity(), reorder=False)[0]
        if not isinstance(pred, torch.Tensor) or len(pred) != len(y):
            return [], None
        parts.append((pred.to(probe.device).float(), y))
        seen, made = seen + len(y), made + pred.numel()
        if seen >= limit or made > 20 * _MOST:
            break
    return parts, None if own is None else positions[:seen]


def _validation_items(probe, limit, trained):
    """`(parts, positions)`: (prediction, target) of validation items, and their positions where they are known. There are predictions
    only where the learner was trained, or the targets cannot be read without the inputs."""
    if trained:
        return _predictions(probe, limit, probe.seconds(0.5 if probe.fast else 6.0))
    found = _labels(probe, probe.twin.dls.valid, limit)
    if found is None:
        return _predictions(probe, 32 if probe.fast else 200, probe.seconds(0.3 if probe.fast else 2.0))
    y, positions = found
    return [(None, t.to(probe.device)) for t in y.split(max(1, _MOST // max(1, probe.pred[0].numel())))], positions


def _is_table(dl):
    "Whether the items are rows of a `TabularPandas` with a target."
    table = getattr(dl, "dataset", None)
    return hasattr(table, "at") and hasattr(table, "x_names") and getattr(table, "target", None) is not None


def steps_trained(learn: Learner) -> int:
    "How many batches the learner was trained on in the epochs that it has finished, in all fits."
    return sum(fit.iters[-1] for fit in getattr(getattr(learn, "recorder", None), "fits", ()) if fit.iters and fit.values)


# -- the check ----------------------------------------------------------------------------------------------------------------------
def baselines(probe: Probe) -> Check:
    "Loss and accuracy (RMSE) on validation items of a guess, of gradient boosting for tables, and of the network if it was trained."
    _require_comparable(probe)
    kind, pred, loss_func, train, valid = probe.kind, probe.pred, probe.loss_func, probe.twin.dls.train, probe.twin.dls.valid
    axis = probe.class_axis if kind.startswith("class") else 1
    n_out = pred.shape[axis] if pred.ndim > 1 else 1
    limit, trained = 1000 if probe.fast else 4000, steps_trained(probe.learn)
    trained = max(trained, FEW_STEPS) if getattr(probe.model, "closed_form", False) else trained
    y_train, fitted = _labels(probe, train, 3000 if probe.fast else 10_000) or (_targets_of_batches(probe), None)
    quantiles = kind == "values" and hasattr(loss_func, "quantiles") and pred.ndim == probe.step.y.ndim + 1
    values = (constant_quantiles(loss_func, columns_of(y_train, n_out)) if quantiles else
              constant_output(loss_func, kind, y_train, n_out)).to(probe.device)
    parts, positions = _validation_items(probe, limit, trained)
    require(parts, "predictions and targets of validation are not one tensor each")
    y, shapes = [t for _, t in parts], [(len(t), *(pred if p is None else p).shape[1:]) for p, t in parts]
    require(any(t.shape[1:] == y[0].shape[1:] and not bool((t == y[0][:1]).all()) for t in y),
            "the validation items looked at all have the same target")
    rivals = {"constant": [values[None, :, None].expand(shape) if quantiles else expand_constant(values, shape, axis) for shape in shapes]}
    for name, forecasts in (naive_forecasts(valid, positions) if positions else {}).items():
        rivals[name] = list(of_quantiles(forecasts, pred).to(probe.device).split([len(t) for t in y]))
    trees = (boosted(train.dataset.at(fitted), valid.dataset.at(positions), kind, loss_func, probe.seconds(1.0 if probe.fast else 6.0))
             if fitted and positions and _is_table(train) and _is_table(valid) else None)
    if trees is not None:
        rivals["boosting"] = list(trees[0].to(probe.device).reshape(-1, *pred.shape[1:]).split([len(t) for t in y]))
    if trained:
        rivals["network"] = [p for p, _ in parts]
    fair = fair_weights(kind, y, n_out)
    scores = {name: joined(scores_of(loss_func, kind, p, t, fair) for p, t in zip(preds, y, strict=True)) for name, preds in rivals.items()}
    numbers = _evidence(probe, scores, rivals, y)
    if kind.startswith("class"):
        numbers["constant_accuracy"] = _share_of_most_frequent(probe, y_train, y, n_out, limit)
    if trees is not None:
        numbers.update(boosting_rows=len(fitted), boosting_rounds=trees[1])
    return _verdict(probe, scores, numbers, trained)


def _require_comparable(probe):
    require(probe.kind is not None, "it is not known what the output means to this loss, so there is nothing to guess")
    require(probe.twin.dls.valid is not None, "there is no validation data")
    require(probe.step.y is not None and isinstance(probe.pred, torch.Tensor), "predictions and targets are not one tensor each")
    require(not (probe.kind.startswith("class") and probe.step.y.is_floating_point()), "the targets are not class ids")
    try:
        reduction_none(probe.loss_func)
    except TypeError:
        raise NotApplicable(f"the loss of single items is needed, and {loss_name(probe.loss_func)} gives one number per batch") from None


def _targets_of_batches(probe):
    return torch.cat([(s.y.flatten() if probe.kind.startswith("class") else s.y.reshape(s.n, -1)).cpu()
                      for s in probe.steps(4 if probe.fast else 8)])


def _share_of_most_frequent(probe, y_train, y, n_out, limit):
    "The share of the validation targets `y` that are of the class most frequent in training, however loss and sampler weight it."
    train, ignored = probe.twin.dls.train, ignore_index_of(probe.loss_func)
    natural = None if _draws_each_once(train) else _labels(probe, train, limit, as_drawn=False)
    y_train = y_train if natural is None else natural[0]
    most = int(frequencies(y_train[y_train != ignored], n_out).argmax())
    return sum(int((t == most).sum()) for t in y) / max(1, sum(int((t != ignored).sum()) for t in y))


# -- evidence and verdict -----------------------------------------------------------------------------------------------------------
def _evidence(probe, scores, rivals, y):
    "Loss, accuracy or RMSE, and the learner's own metrics, by name; those that ask for more than predictions and targets are named."
    numbers, own, left_out = {"validation_items": len(scores["constant"].loss)}, "rmse" if probe.kind == "values" else "accuracy", set()
    for name, s in scores.items():
        numbers.update({f"{name}_loss": s.mean_loss, f"{name}_{own}": s.mean_score ** 0.5 if own == "rmse" else s.mean_score})
    steps = [Step((), {}, (t,)) for t in y]
    for metric, (name, preds) in product([m for m in probe.twin.metrics if m.name != own], rivals.items()):
        try:
            numbers[f"{name}_{metric.name}"] = float(value_on(probe, metric, preds, steps))
        except Exception:                       # it asks for more than predictions and targets
            left_out.add(metric.name)
    numbers = {k: v for k, v in numbers.items() if k.endswith("_loss") or math.isfinite(v)}
    return {**numbers, "metrics_left_out": sorted(left_out)} if left_out else numbers


def _verdict(probe, scores, numbers, trained):
    constant, network, trees = (scores.get(k) for k in ("constant", "network", "boosting"))
    what = ("guessing the most frequent class" if probe.kind.startswith("class") else
            "guessing by how often each label is on" if probe.kind != "values" else
            "predicting the mean of the training targets" if is_squared(probe.loss_func) else
            "predicting the median of the training targets" if is_absolute(probe.loss_func) else "predicting a constant")
    reached = {name: (f"rmse {numbers.get(f'{name}_rmse', math.nan):.4g}" if probe.kind == "values" else
                      f"{100 * numbers[f'{name}_accuracy']:.3g}% accuracy") + f" (loss {numbers[f'{name}_loss']:.4g})" for name in scores}
    baseline = "; ".join(f"{title} has {reached[name]}" for title, name in ((what, "constant"), ("gradient boosting", "boosting"),
                                                                                          *((v, k) for k, v in NAIVE.items()))
                         if name in reached)
    if network is None:
        if _too_good(probe, None, trees, constant):
            return tip(f"too good to be true: boosting makes hardly any mistake. To beat: {baseline}", _LEAK, **numbers)
        return passed(f"to beat: {baseline}", **numbers)
    found = f"the network has {reached['network']}. To beat: {baseline}"
    if not math.isfinite(network.mean_loss):
        return issue(f"the validation loss is {network.mean_loss}", "look for NaN or infinite inputs in validation", **numbers)
    if len(network.loss) < FEW_ITEMS:
        return passed(f"{found}; {plural(len(network.loss), 'item')} are too few to compare", **numbers)
    if _clearly_worse(network, constant):
        more, error = difference(network.fair, constant.fair, network.fair_number)
        if probe.kind != "values" and more > 2 * error:
            return tip(f"{found}. It tells classes apart, but is so sure where it is wrong that its loss is worse than that of a guess",
                       "it overfits: use fewer epochs, more data or augmentation, weight decay, dropout", **numbers)
        if trained < FEW_STEPS:
            return tip(f"{found}. It is worse than a baseline that ignores the inputs, after only {plural(trained, 'step')}",
                       "train longer, and check again", **numbers)
        return issue(f"worse than a baseline that ignores the inputs: {found}", **numbers)
    # windows of one series overlap, so that as many as the horizon say what one says
    naive = next((k for k in NAIVE if k in scores and _clearly_worse(network, scores[k], probe.pred.shape[2] ** 0.5)), "")
    if naive and trained < FEW_STEPS:
        return tip(f"{found}. It is worse than {NAIVE[naive]}, after only {plural(trained, 'step')}", "train longer, and check again",
                   **numbers)
    if naive:
        return issue(f"worse than {NAIVE[naive]}: {found}", "look at learn.show_results(); a smaller learning rate, a longer window=, or "
                     "DLinear: what does not beat a naive forecast is not worth its while", **numbers)
    if who := _too_good(probe, network, trees, constant):
        return tip(f"too good to be true: {who} makes hardly any mistake. {found}", _LEAK, **numbers)
    if _below(network, constant, probe):
        return tip(f"no better than a guess: {_interval(network, constant, probe)[0]}. {found}", "train longer, and check again", **numbers)
    interval, surely = ("", False) if trees is None else _interval(network, trees, probe)
    return graded(f"{'gradient boosting is better' if surely else 'not better than gradient boosting'}: {interval}. {found}",
                  tip=trees is not None and _below(network, trees, probe), fine=found,
                  advice="train longer, tune it (learning rate, width, embeddings), or use boosting, or the mean of both: "
                  "tabular_baseline(dls, learn)", **numbers)


def _clearly_worse(a: Scores, b: Scores, times: float = 1.0) -> bool:
    """Whether the loss of `a` is worse than that of `b` beyond chance (three standard errors), and by enough to matter (a twentieth).

    times: how much larger the standard error is, because items depend on each other.
    """
    more, error = difference(a.loss, b.loss, a.weight)
    return more > 3 * times * error and more > 0.05 * abs(b.mean_loss)


def _below(a, b, probe):
    "Whether `a` decides worse than `b`: fewer right, or a larger squared error. If as well, whether its loss is higher."
    more = float((a.score - b.score).sum()) * (1 if probe.kind == "values" else -1)
    return more > 0 or (more == 0 and a.mean_loss > b.mean_loss)


def _interval(a, b, probe):
    "By how much `b` is better than `a`, with a 95% interval over the validation items, and whether that is more than chance."
    numbers = probe.kind == "values"
    more, error = difference(a.score, b.score, a.number) if numbers else difference(b.score, a.score, a.number)
    unit = 100 / max(b.mean_score, 1e-12) if numbers else 100
    low, middle, high = (f"{unit * (more + k * error):.1f}" for k in (-1.96, 0, 1.96))
    found = f"the squared error is {middle}% higher" if numbers else f"{middle}% fewer decisions are right"
    return f"{found} (95% interval {low} to {high}%)", more > 1.96 * error


def _too_good(probe, network, trees, constant):
    "Whose decisions on rows are right to 99.5%, with every class counted alike; '' where no one's are, or too few items say so."
    def perfect(s):
        if probe.kind == "values":
            return s.mean_score < 0.03 ** 2 * constant.mean_score
        return float(s.fair.sum() / s.fair_number.sum().clamp(min=1e-12)) > 0.995

    rows = all(t.ndim <= 2 for t in leaves((probe.step.xb, probe.step.kw)) if isinstance(t, torch.Tensor))
    return " and ".join(name for name, s in (("the network", network), ("boosting", trees))
                        if rows and s is not None and len(s.loss) >= 100 and perfect(s))
