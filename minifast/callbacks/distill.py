"""Knowledge distillation: a student learns from the outputs of a trained teacher, besides the targets.

Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""
import torch
import torch.nn.functional as F
from torch import nn

from ..core.messages import describe
from ..nn.loss_traits import kind_of, loss_name
from .base import Callback, Order
from .mix import MixHandler

KINDS = ("class logits", "class log-probabilities", "logits", "values")


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def soft_loss(student, teacher, kind, temperature=4.0, axis=1):
    """How far the outputs of the student are from the teacher's, a 0-d tensor; both (B,...) as the models give them.

    kind: what they are. 'class logits' (classes along `axis`): temperature**2 * KL(softmax(teacher / T) || softmax(student / T)), the mean
    over items (and pixels); 'logits': the same for each yes or no on its own; 'values': the mean squared difference, without temperature.
    """
    student, teacher = student.float(), teacher.float()
    if kind == "values":
        return F.mse_loss(student, teacher)
    student, teacher = student / temperature, teacher / temperature
    if kind == "logits":                                    # each output is a distribution over yes and no
        student, teacher = (torch.stack([F.logsigmoid(x), F.logsigmoid(-x)]) for x in (student, teacher))
        axis = 0
    else:
        student, teacher = student.log_softmax(axis), teacher.log_softmax(axis)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(axis).mean()


def distillation_loss(student, teacher, target, loss_func, temperature=4.0, alpha=0.5, kind=None):
    """`alpha * soft_loss(student, teacher) + (1 - alpha) * loss_func(student, target)`: a 0-d tensor.

    kind: what the outputs mean (see `soft_loss`); None: as `loss_func` says. The factor temperature**2 in the soft loss keeps the two
    parts in proportion when the temperature changes.
    """
    kind, axis = output_kind(loss_func, kind)
    targets = target if isinstance(target, tuple) else (target,)
    return alpha * soft_loss(student, teacher, kind, temperature, axis) + (1 - alpha) * loss_func(student, *targets)


def output_kind(loss_func, kind=None):
    "`(kind, axis of the classes)` of the outputs that `loss_func` takes."
    kind = kind_of(loss_func) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"distillation needs to know what the outputs of the models mean, and the loss {loss_name(loss_func)} "
                         f"{'does not say' if kind is None else 'takes ' + repr(kind)}: give kind=, one of {', '.join(map(repr, KINDS))}")
    return kind, getattr(loss_func, "axis", 1)


# -- the callback -------------------------------------------------------------------------------------------------------------------
class KnowledgeDistillation(Callback):
    """Train on `alpha` times the soft loss to the teacher's outputs plus `1 - alpha` times the loss.

    teacher: a Learner or a model; it sees the batches of the student, in eval mode and without gradients, on the student's device (where it
    stays). temperature: how much the teacher's doubts among the wrong classes count. alpha: share of the teacher. kind: what the outputs
    mean, where the loss does not say (see `soft_loss`). Validation loss and metrics stay what they are. Refused: a teacher with other
    classes or outputs, and a Learner whose batches are normalised differently from the student's.
    """

    order = Order.BATCH + 1                     # after what changes the batch and its loss (mixing)
    run_valid = False

    def __init__(self, teacher, temperature=4.0, alpha=0.5, kind=None):
        model = getattr(teacher, "model", None) if hasattr(teacher, "dls") else teacher
        if not isinstance(model, nn.Module):
            raise TypeError(f"KnowledgeDistillation(teacher) takes a Learner or an nn.Module; received {describe(teacher)}")
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 < temperature < float("inf"):
            raise ValueError(f"KnowledgeDistillation(temperature={temperature!r}): a number above 0, such as 4")
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= 1:
            raise ValueError(f"KnowledgeDistillation(alpha={alpha!r}): the share of the teacher, from 0 to 1")
        self.teacher, self.teacher_model, self.temperature, self.alpha, self.kind = teacher, model, float(temperature), float(alpha), kind
        self._modes = []

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
        self._modes = [(m, m.training) for m in self.teacher_model.modules()]
        self.teacher_model.eval().to(learn.dls.device)

    def after_loss(self) -> None:
        learn = self.learn
        with torch.no_grad():
            taught = self.teacher_model(*learn.xb, **learn.kw)
        if not isinstance(taught, torch.Tensor) or taught.shape != getattr(learn.pred, "shape", None):
            raise ValueError(f"KnowledgeDistillation: the teacher gives {describe(taught)} where the student gives "
                             f"{describe(learn.pred)}: both need the same outputs")
        learn.loss = self.alpha * soft_loss(learn.pred, taught, self._kind, self.temperature, self._axis) + (1 - self.alpha) * learn.loss

    def cleanup_fit(self) -> None:
        for module, training in self._modes:
            module.training = training
        self._modes = []

    def __repr__(self) -> str:
        return f"KnowledgeDistillation({type(self.teacher_model).__name__}, temperature={self.temperature:g}, alpha={self.alpha:g})"


def check_same_data(teacher, student):
    "Refuse a teacher (a Learner) with other classes than the student's, or that was trained on batches normalised in another way."
    vocabs = [None if v is None else [str(o) for o in v] for v in (getattr(o.dls, "vocab", None) for o in (teacher, student))]
    if None not in vocabs and vocabs[0] != vocabs[1]:
        raise ValueError(f"KnowledgeDistillation: the classes of the teacher are {vocabs[0]}, those of the student {vocabs[1]}: output i "
                         "must mean the same to both. Give both data sets the same classes, CategoryBlock(vocab=[...])")
    theirs, ours = _normalisation(teacher), _normalisation(student)
    if theirs != ours:
        raise ValueError(f"KnowledgeDistillation: the pictures that the teacher was trained on went through {_said(theirs)}, those of the "
                         f"student go through {_said(ours)}. The teacher sees the student's batches, which would be wrong for it: give the "
                         "student the teacher's normalisation, `dls.with_tfms(teacher.batch_tfms)` of loaders that have none")


def _normalisation(learn):
    "`(mean, std)` of each transform that the training data of `learn` is normalised with, as lists of rounded numbers."
    found = []
    for name in ("after_item", "after_batch"):
        for f in getattr(learn.dls.train, name, ()):
            f = getattr(f, "transform", f)              # torchvision's are wrapped
            if getattr(f, "mean", None) is not None and getattr(f, "std", None) is not None:
                found.append(tuple([round(v, 3) for v in torch.as_tensor(x).flatten().tolist()] for x in (f.mean, f.std)))
    return found


def _said(found):
    return "no normalisation" if not found else " and ".join(f"one with mean {mean} and std {std}" for mean, std in found)
