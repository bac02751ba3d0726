"""`TransformersModel`: a model of `transformers` as a module from the dict of a batch to logits, which every loss and callback takes."""
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...core.recipe import Recipe
from .encoding import Task
from .library import library, quiet
from .lora import lora_settings, with_adapters
from .pretrained import auto_class


def inner_model(model: Any) -> Any:
    "The model of transformers inside the wrappers of `peft` and of minifast."
    model = model.model if isinstance(model, TransformersModel) else model
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _unwrapped(module: Any) -> Any:
    "A module without the wrapper in which `peft` trains it."
    return getattr(module, "original_module", module)


class TransformersModel(nn.Module):
    """A model of `transformers` that takes the dict of a batch and returns logits.

    Of the batch it gets what it takes, nothing else. What it returns for a text does not depend on the padding of the batch, nor on
    which side it is: texts that are padded on the left are moved to where positions begin. A decoder that classifies does so at the last
    token of the text.

    Args:
        model: of transformers.
        task: what it is for, see `EncodeText`; of 'classify' the logits are (B, n_out), else (B, T, n_out).
    """

    #: What `to_onnx` and `to_torch_export` say.
    no_graph = ("the tools of transformers make graphs of their models, such as those of the package optimum: write "
                "learn.model.model.save_pretrained('folder') for them, which they read. Or learn.export('model.pkl'), and "
                "Predictor('model.pkl') where it is to predict")

    def __init__(self, model: nn.Module, task: Task = "classify"):
        super().__init__()
        self.model, self.task = model, task
        inner = inner_model(model)
        names = set(inspect.signature(inner.forward).parameters)
        self.takes = frozenset(names & {"input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids"})
        self.options = {k: v for k, v in {"return_dict": True, "use_cache": False}.items() if k in names}
        # of decoders: the library looks for the last id that is not that of padding, which an end-of-text token may share
        self.at_last_token = task == "classify" and isinstance(_unwrapped(getattr(inner, "score", None)), nn.Linear)
        self.at_last_place = hasattr(inner, "sequence_summary") and getattr(inner.config, "summary_type", None) == "last"

    @property
    def recipe(self) -> Recipe | None:
        "How to make this model, with random weights; None where `peft` changed it in a way that no file can hold."
        lora = lora_settings(self.model)
        if hasattr(self.model, "get_base_model") and lora is None:
            return None
        inner = inner_model(self)
        config = {k: v for k, v in inner.config.to_dict().items() if is_setting(k)}
        # an embedding that was made without a padding id has none, whatever the configuration was told later
        made_with = {**config, "pad_token_id": getattr(inner.get_input_embeddings(), "padding_idx", None)}
        return Recipe(transformers_model, {"config": made_with, "task": self.task, "pad_id": config.get("pad_token_id"),
                                           **({} if lora is None else {"lora": lora})})

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
            inputs = {k: v.gather(1, moved if v.ndim == 2 else moved.unsqueeze(2).expand_as(v)) for k, v in inputs.items()}
        if self.at_last_token:
            return self._at_last_token(inputs)
        logits = self.model(**inputs, **self.options).logits
        if moved is not None and self.task != "classify":
            back = moved.argsort(1).unsqueeze(-1).expand(*moved.shape, logits.shape[-1])
            logits = logits.gather(1, back)
        return logits

    def blended_input(self, x: dict[str, torch.Tensor], perm: torch.Tensor,
                      blend: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """What to call this model with instead of `x`, to read each text blended with its partner, as long as the longer one: see `MixUp`.

        Args:
            x: a batch.
            perm: the partner of each text.
            blend: blends each row with that of its partner.

        Raises:
            TypeError: the model takes ids alone.
        """
        if "inputs_embeds" not in self.takes:
            raise TypeError(f"MixUp blends the vectors of tokens, and {type(inner_model(self)).__name__} takes none (inputs_embeds): train "
                            "it without MixUp")
        mask = x.get("attention_mask", torch.ones_like(x["input_ids"]))
        vectors = inner_model(self).get_input_embeddings()(x["input_ids"])
        vectors = blend(vectors * mask.unsqueeze(2).to(vectors.dtype))
        rest = {k: v for k, v in x.items() if k != "input_ids"}
        return {**rest, "inputs_embeds": vectors, "attention_mask": torch.maximum(mask, mask[perm])}

    def _at_last_token(self, inputs):
        inner = inner_model(self)
        logits = inner.score(inner.base_model(**inputs, **self.options).last_hidden_state)
        mask = inputs.get("attention_mask")
        last = logits.shape[1] - 1 if mask is None else mask.sum(1) - 1
        return logits[torch.arange(len(logits), device=logits.device), last]


_NO_SETTINGS = ("auto_map", "dtype", "torch_dtype", "transformers_version", "architectures")


def is_setting(name: str) -> bool:
    "Whether a configuration says of the model by this name; else where it was, how it was loaded, or code of its own, which is never run."
    return not name.startswith("_") and name not in _NO_SETTINGS


def transformers_model(config: dict[str, Any], task: Task = "classify", pad_id: int | None = None,
                       lora: dict[str, Any] | None = None) -> TransformersModel:
    """A `TransformersModel` with random weights.

    Args:
        config: of a model that transformers itself knows, as plain values.
        task: see `EncodeText`.
        pad_id: the id of padding, where it was set after the model was made.
        lora: the settings of `peft` for its adapters, see `lora_settings`.
    """
    settings = {k: v for k, v in config.items() if is_setting(k)}
    kind = settings.pop("model_type")
    with quiet():
        made = auto_class(task).from_config(library().AutoConfig.for_model(kind, **settings), trust_remote_code=False)
    set_pad_id(made, pad_id)
    return TransformersModel(made if lora is None else with_adapters(made, lora), task)


def sees_ahead(model: Any) -> bool:
    """Whether the logits of a token depend on those after it, as those of encoders such as BERT do.

    Args:
        model: of transformers, with logits for each token.
    """
    ids = torch.tensor([[0, 1, 1], [0, 1, 2]], device=next(model.parameters()).device)
    was_training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :2].float()
    finally:
        model.train(was_training)
    return not torch.allclose(logits[0], logits[1], atol=1e-4)


def checkpoint_layers(model: Any) -> None:
    "Let a model of transformers compute activations anew in the backward pass; layers above frozen ones keep their gradients."
    how = {"use_reentrant": False}
    if getattr(model.config, "use_cache", False):           # which goes not together, and transformers warns of at each start
        model.config.use_cache = False
    if hasattr(model, "activation_checkpointing_enable"):           # transformers 5.2x on
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)


def set_pad_id(model: Any, pad_id: int | None) -> None:
    "Let the configuration of a model of transformers know the id of padding."
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    for config in (model.config, text):
        if getattr(config, "pad_token_id", None) != pad_id:
            config.pad_token_id = pad_id


transformers_model.makes_model = True  # type: ignore[attr-defined]  # of a function
