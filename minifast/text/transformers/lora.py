"""LoRA: small matrices beside those of a pretrained model train in its place (E. Hu et al., 2021), by the library `peft`."""
import warnings
from collections.abc import Sequence
from typing import Any
from warnings import warn

from torch import nn

from ...core.messages import describe, listing
from .encoding import Task
from .library import library, quiet
from .splitter import layer_stacks

_KINDS = {"classify": "SEQ_CLS", "words": "TOKEN_CLS", "clm": "CAUSAL_LM", "mlm": None}
_WITH_HEAD = ("classify", "words")


def add_lora(model: Any, task: Task = "classify", lora: Any = True, new: Sequence[str] = ()) -> tuple[Any, str]:
    """Put adapters into a model: they and the head train, all else is frozen.

    Args:
        model: of transformers.
        task: see `EncodeText`.
        lora: True: rank 8, alpha 16, in the places that `peft` knows for this kind of model, else in all linear layers of the body; a
            number: that rank; or a `peft.LoraConfig`.
        new: names of weights that begin at random and are to train.

    Returns:
        The model, and which parameters train, as a sentence.

    Raises:
        ImportError: `peft` is not installed.
    """
    peft = library("peft")
    if isinstance(lora, peft.PeftConfig):
        made = _adapted(model, lora)
    elif isinstance(lora, int) and lora >= 1:
        rank = 8 if lora is True else lora
        settings = {"task_type": _KINDS[task], "r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0,
                    "modules_to_save": _head(model, task, new)}
        try:
            made = _adapted(model, peft.LoraConfig(**settings))
        except ValueError as e:
            if "target_modules" not in str(e):
                raise
            made = _adapted(model, peft.LoraConfig(**settings, target_modules=_linear_layers(model)))
    else:
        raise TypeError(f"lora={describe(lora)}: True, the rank (a whole number of at least 1), or a peft.LoraConfig")
    trains = [(n, p.numel()) for n, p in made.named_parameters() if p.requires_grad]
    parts_of = {n: _part_of(n, model) for n in new}
    frozen = {n: part for n, part in parts_of.items() if not any(f".{part}." in name for name, _ in trains)}
    if frozen:
        parts = sorted(set(frozen.values()))
        warn(f"LoRA leaves new weights frozen, which begin at random: {listing(frozen, 4)}. Write peft.LoraConfig(..., "
             f"modules_to_save={parts})", stacklevel=3)
    places = sorted({n.split(".lora_")[0].rpartition(".")[2] for n, _ in trains if ".lora_" in n})
    others = sorted({n.split(".modules_to_save")[0].rpartition(".")[2] for n, _ in trains if ".lora_" not in n})
    total, n = sum(p.numel() for p in made.parameters()), sum(k for _, k in trains)
    return made, (f"LoRA: {n:,} of {total:,} parameters train ({n / total:.1%}), adapters of {listing(places, 8)}"
                  + (f", and {listing(others, 8)}" if others else ""))


def _adapted(model: Any, config: Any) -> Any:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")                 # of names that other versions of transformers have, and of what it does right
        return library("peft").get_peft_model(model, config)


def _head(model, task, new):
    "The modules that train as a whole: the head of a task, and what is new in the body."
    body = model.base_model
    head = [n for n, m in model.named_children() if m is not body and any(True for _ in m.parameters())] if task in _WITH_HEAD else []
    return sorted({*head, *(_part_of(n, model) for n in new if n.startswith(f"{model.base_model_prefix}."))}) or None


def _part_of(name, model):
    "The module that holds a new weight: a whole part of the head, or the layer itself in the body."
    return name.rpartition(".")[0] if name.startswith(f"{model.base_model_prefix}.") else name.split(".")[0]


def _linear_layers(model):
    "The names of the linear layers within the layers of a transformer."
    within = {id(m) for stack in layer_stacks(model) for layer in stack for part in layer for m in part.modules()}
    return [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and id(m) in within]


def lora_settings(model: Any) -> dict[str, Any] | None:
    "The settings of the only LoRA adapter of a model, as plain values; None: it has none, or other ones of `peft`."
    configs = getattr(model, "peft_config", None) if hasattr(model, "get_base_model") else None
    if not configs or list(configs) != ["default"] or getattr(configs["default"].peft_type, "value", None) != "LORA":
        return None
    return {k: sorted(v) if isinstance(v, (set, frozenset)) else v for k, v in configs["default"].to_dict().items()
            if isinstance(v, (bool, int, float, str, list, set, frozenset)) and k not in ("peft_type", "base_model_name_or_path")}


def with_adapters(model: Any, settings: dict[str, Any]) -> Any:
    "A model with new adapters. settings: see `lora_settings`."
    return _adapted(model, library("peft").LoraConfig(**settings))
