"""`ModelLoss`: the loss that a model of `transformers` computes itself, on request."""
from typing import Any

import torch

from ...core.recipe import Recipe
from ...nn.loss_traits import activate, decide
from ...nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from .batches import IGNORED
from .encoding import Task
from .library import quiet

_PROBLEMS = {"class logits": "single_label_classification", "logits": "multi_label_classification", "values": "regression"}
_OURS = {"class logits": CrossEntropyLossFlat, "logits": BCEWithLogitsLossFlat, "values": MSELossFlat}


class ModelLoss:
    """The loss of a model of transformers, of its logits and the targets of a batch.

    Args:
        model: of transformers.
        task: see `EncodeText`.
        kind: what the logits mean to it: 'class logits', 'logits' (several classes) or 'values'.

    Raises:
        TypeError: this version of transformers computes it within the model alone.
    """

    reduction = "mean"
    axis = -1               #: of the classes

    def __init__(self, model: Any, task: Task = "classify", kind: str = "class logits"):
        with quiet():                       # it wonders where a configuration does not say which
            self.func = getattr(model, "loss_function", None)
        if not callable(self.func):
            raise TypeError("loss_func='model': this version of transformers computes the loss inside of the model, so it cannot be had "
                            "alone; with transformers 4.46 or later it can. Or leave loss_func out: minifast's own is the same function")
        self.config, self.task, self.kind = model.config, task, kind
        self.y_int = kind == "class logits"
        if task == "classify":
            self.config.problem_type = _PROBLEMS[kind]

    def __call__(self, pred: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        if self.task == "classify":
            targ = targ if self.y_int else targ.to(pred.dtype)
            return self.func(logits=pred, labels=targ, pooled_logits=pred, config=self.config)
        if self.task == "words":
            return self.func(logits=pred, labels=targ, config=self.config)
        if self.task == "clm":              # it shifts by itself, and the targets are shifted already
            targ = torch.cat([targ.new_full((len(targ), 1), IGNORED), targ[:, :-1]], 1)
        return self.func(logits=pred, labels=targ, vocab_size=pred.shape[-1])

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        "Logits -> predictions."
        return activate(self.kind, x, -1)

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        "Predictions -> decisions."
        return decide(self.kind, x, -1)

    @property
    def recipe(self) -> Recipe:
        "How to make a loss that reads the logits in the same way, for a learner that predicts."
        return Recipe(_OURS[self.kind], {})
