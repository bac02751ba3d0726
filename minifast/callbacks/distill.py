"""Knowledge distillation: a student learns from the outputs of a trained teacher, besides the targets.

Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..core import check_arguments, describe, is_number
from ..nn.loss_traits import kind_of, loss_name
from .base import Learner, Order, TrainingCallback
from .mix import MixHandler
from .rank_parts import mean_over_items

KINDS = ("class logits", "class log-probabilities", "logits", "values")


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def soft_loss(student: torch.Tensor, teacher: torch.Tensor, kind: str, temperature: float = 4.0, axis: int = 1) -> torch.Tensor:
    """How far the outputs of the student are from the teacher's, a 0-d tensor.

    Args:
        student, teacher: (B,...) as the models return them.
        kind: 'class logits' (or 'class log-probabilities'): temperature**2 * KL(softmax(teacher / T) || softmax(student / T)), the mean
            over items (and pixels); 'logits': the same for each yes or no on its own; 'values': the mean squared difference.
        temperature: of both softmaxes, T above.
        axis: of the classes.
    """
    student, teacher = student.float(), teacher.float()
    if kind == "values":
        return F.mse_loss(student, teacher)
    student, teacher = student / temperature, teacher / temperature
    if kind == "logits":                                    # each output is a distribution over yes and no, whose logits are x and 0
        student, teacher, axis = *(torch.stack([x, torch.zeros_like(x)]) for x in (student, teacher)), 0
    student, teacher = student.log_softmax(axis), teacher.log_softmax(axis)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(axis).mean()


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, target: Any, loss_func: Callable, temperature: float = 4.0,
                      alpha: float = 0.5, kind: str | None = None) -> torch.Tensor:
    """`alpha * soft_loss(student, teacher) + (1 - alpha) * loss_func(student, target)`: a 0-d tensor.

    Args:
        student, teacher: outputs (B,...).
        target: a tensor, or a tuple of several.
        loss_func: the loss of the targets.
        temperature: see `soft_loss`. Its factor temperature**2 keeps the two parts in proportion when the temperature changes.
        alpha: weight of the teacher, from 0 to 1.
        kind: what the outputs mean (see `soft_loss`); None: as `loss_func` says.
    """
    kind, axis = output_kind(loss_func, kind)
    targets = target if isinstance(target, tuple) else (target,)
    return alpha * soft_loss(student, teacher, kind, temperature, axis) + (1 - alpha) * loss_func(student, *targets)


def output_kind(loss_func: Callable, kind: str | None = None) -> tuple[str, int]:
    "`(kind, axis of the classes)` of the outputs that `loss_func` takes."
    kind = kind_of(loss_func) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"distillation needs to know what the outputs of the models mean, and the loss {loss_name(loss_func)} "
                         f"{'does not say' if kind is None else 'takes ' + repr(kind)}: give kind=, one of {', '.join(map(repr, KINDS))}")
    return kind, getattr(loss_func, "axis", 1)


# -- the callback -------------------------------------------------------------------------------------------------------------------
class KnowledgeDistillation(TrainingCallback):
    """Train on `alpha` times the soft loss to the teacher's outputs plus `1 - alpha` times the loss.

    The teacher sees the student's batches, in eval mode and without gradients, on the student's device (where it stays). Validation loss
    and metrics stay what they are. Refuses a teacher with other classes or outputs, and a Learner whose batches are normalised
    differently from the student's.

    Args:
        teacher: a Learner or a model.
        temperature: how much the teacher's doubts among the wrong classes count.
        alpha: weight of the teacher, from 0 to 1.
        kind: what the outputs mean, if the loss does not say (see `soft_loss`).
    """

    order = Order.BATCH + 1                     # after what changes the batch and its loss (mixing)

    def __init__(self, teacher: "Learner | nn.Module", temperature: float = 4.0, alpha: float = 0.5, kind: str | None = None):
        model = getattr(teacher, "model", None) if hasattr(teacher, "dls") else teacher
        if not isinstance(model, nn.Module):
            raise TypeError(f"KnowledgeDistillation(teacher) takes a Learner or an nn.Module; received {describe(teacher)}")
        check_arguments("KnowledgeDistillation",
                        temperature=(temperature, is_number(temperature) and 0 < temperature < math.inf, "a number above 0, such as 4"),
                        alpha=(alpha, is_number(alpha, 0, 1), "the weight of the teacher, from 0 to 1"))
        self.teacher_model, self.temperature, self.alpha, self.kind = model, float(temperature), float(alpha), kind
        self.teacher: Any = teacher
        self._modes = {}

    def before_fit(self) -> None:
        learn = self.learn
        if self.teacher_model is learn.model:
            raise ValueError("KnowledgeDistillation: the teacher is the very model that is trained; give a model of its own")
        self._kind, self._axis = output_kind(learn.loss_func, self.kind)
        if hasattr(self.teacher, "dls"):
            check_same_data(self.teacher, learn)
        mixing = [cb for cb in learn.cbs if isinstance(cb, MixHandler)]
        if mixing and any(isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in learn.model.modules()):
            raise ValueError(f"KnowledgeDistillation and {mixing[0]!r}: the student's embeddings would be mixed and the teacher's not, "
                             "so they would see different items. Keep one of the two")
        self._modes = {m: m.training for m in self.teacher_model.modules()}
        self.teacher_model.eval().to(learn.dls.device)

    def after_loss(self) -> None:
        learn = self.learn
        with torch.no_grad():
            taught = self.teacher_model(*learn.xb, **learn.kw)
        if isinstance(taught, tuple) and not isinstance(learn.pred, tuple):         # of a recurrent model, see `RNNCallback`
            taught = taught[0]
        if not isinstance(taught, torch.Tensor) or taught.shape != getattr(learn.pred, "shape", None):
            raise ValueError(f"KnowledgeDistillation: the teacher gives {describe(taught)} where the student gives "
                             f"{describe(learn.pred)}: both need the same outputs")
        soft = mean_over_items(learn, soft_loss(learn.pred, taught, self._kind, self.temperature, self._axis))
        learn.loss = self.alpha * soft + (1 - self.alpha) * learn.loss

    def cleanup_fit(self) -> None:
        for module, training in self._modes.items():
            module.training = training
        self._modes = {}

    def __repr__(self) -> str:
        return f"KnowledgeDistillation({type(self.teacher_model).__name__}, temperature={self.temperature:g}, alpha={self.alpha:g})"


def check_same_data(teacher: "Learner", student: "Learner") -> None:
    "Refuse a teacher with other classes than the student's, or one that was trained on batches normalised in another way."
    vocabs = [None if v is None else [str(o) for o in v] for v in (getattr(o.dls, "vocab", None) for o in (teacher, student))]
    if None not in vocabs and vocabs[0] != vocabs[1]:
        raise ValueError(f"KnowledgeDistillation: the classes of the teacher are {vocabs[0]}, those of the student {vocabs[1]}: output i "
                         "must mean the same to both. Give both data sets the same classes, CategoryBlock(vocab=[...])")
    theirs, ours = _normalisation(teacher), _normalisation(student)
    if theirs != ours:
        raise ValueError(f"KnowledgeDistillation: the teacher was trained on images with {theirs}, and the student's have {ours}. The "
                         "teacher sees the student's batches, which would be wrong for it: give the student loaders with the teacher's "
                         "normalisation, `dls.with_tfms(Normalize.from_stats(mean, std))` of loaders that have none")


def _normalisation(learn: "Learner") -> str:
    "How the training data of `learn` is normalised, in words."
    tfms = [getattr(f, "transform", f) for name in ("after_item", "after_batch") for f in getattr(learn.dls.train, name, ())]
    moments = [(f.mean, f.std) for f in tfms if getattr(f, "mean", None) is not None and getattr(f, "std", None) is not None]
    rounded = [[[round(v, 3) for v in torch.as_tensor(x).flatten().tolist()] for x in pair] for pair in moments]
    return " and ".join(f"normalisation by mean {mean} and std {std}" for mean, std in rounded) or "no normalisation"
