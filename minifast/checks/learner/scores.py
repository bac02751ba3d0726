"""Scores of predictions, item by item, so that two models can be compared on the same items."""
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from ...learner.constant_guess import columns_of, of_logarithms
from ...nn.loss_traits import activation_of, class_weight_of, decodes_of, ignore_index_of, reduction_none


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
    flat, counted = y.reshape(n, -1).cpu(), torch.ones(n, max(1, y[0].numel()), dtype=torch.double)
    weights = counted
    if by_class:
        counted = weights = (flat != ignore_index_of(loss_func)).double()
        if (weight := class_weight_of(loss_func)) is not None:
            weights = counted * weight.detach().cpu().double()[(flat * (counted > 0)).long()]
    if losses.shape != weights.shape:                   # a loss per image, or per class of an image
        weights = torch.ones_like(losses)
    if kind == "values":
        meant = pred.cpu().double().exp() if of_logarithms(loss_func) else pred.cpu().double()
        score = (meant.reshape(n, -1) - flat.double()).square()
    else:
        decided = decodes_of(loss_func)(activation_of(loss_func)(pred)).reshape(n, -1).cpu()
        score = counted * (decided == (flat if by_class else flat > 0.5))
    fairly = counted
    if fair is not None:
        output = torch.arange(len(fair)).repeat_interleave(flat.shape[1] if by_class else flat.shape[1] // len(fair))
        fairly = counted * fair[output.expand_as(flat), (flat * counted).long() if by_class else (flat > 0.5).long()]
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
