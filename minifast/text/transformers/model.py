"""`TransformersModel`: a model of `transformers` as a module from the dict of a batch to logits, which every loss and callback takes."""
import inspect
from typing import Any

import torch
from torch import nn

from .encoding import Task


def inner_model(model: Any) -> Any:
    "The model of transformers inside the wrappers of `peft` and of minifast."
    model = model.model if isinstance(model, TransformersModel) else model
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class TransformersModel(nn.Module):
    """A model of `transformers` that takes the dict of a batch and returns logits.

    Of the batch it gets what it takes, nothing else. What it returns for a text does not depend on the padding of the batch, nor on
    which side it is: texts that are padded on the left are moved to where positions begin. A decoder that classifies does so at the last
    token of the text.

    Args:
        model: of transformers.
        task: what it is for, see `EncodeText`; of 'classify' the logits are (B, n_out), else (B, T, n_out).
    """

    def __init__(self, model: nn.Module, task: Task = "classify"):
        super().__init__()
        self.model, self.task = model, task
        inner = inner_model(model)
        names = set(inspect.signature(inner.forward).parameters)
        self.takes = frozenset(names & {"input_ids", "attention_mask", "token_type_ids", "position_ids"})
        self.options = {k: v for k, v in {"return_dict": True, "use_cache": False}.items() if k in names}
        # of decoders: the library looks for the last id that is not that of padding, which an end-of-text token may share
        self.at_last_token = task == "classify" and isinstance(getattr(inner, "score", None), nn.Linear)
        self.at_last_place = hasattr(inner, "sequence_summary") and getattr(inner.config, "summary_type", None) == "last"

    @property
    def config(self) -> Any:
        "The configuration of the model."
        return inner_model(self).config

    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        "Batch -> logits. x: input_ids (B, T) and attention_mask (B, T) at least; keys that the model does not take are left out."
        inputs = {k: v for k, v in x.items() if k in self.takes}
        mask, moved = x.get("attention_mask"), None
        if mask is not None and (self.at_last_place or mask.device.type != "cpu" or not bool(mask[:, 0].all())):
            first = mask.argmax(1, keepdim=True) + (mask.sum(1, keepdim=True) if self.at_last_place else 0)
            moved = (torch.arange(mask.shape[1], device=mask.device) + first) % mask.shape[1]
            inputs = {k: v.gather(1, moved) for k, v in inputs.items()}
        if self.at_last_token:
            return self._at_last_token(inputs)
        logits = self.model(**inputs, **self.options).logits
        if moved is not None and self.task != "classify":
            back = moved.argsort(1).unsqueeze(-1).expand(*moved.shape, logits.shape[-1])
            logits = logits.gather(1, back)
        return logits

    def _at_last_token(self, inputs):
        inner = inner_model(self)
        logits = inner.score(inner.base_model(**inputs, **self.options).last_hidden_state)
        mask = inputs.get("attention_mask")
        last = logits.shape[1] - 1 if mask is None else mask.sum(1) - 1
        return logits[torch.arange(len(logits), device=logits.device), last]
