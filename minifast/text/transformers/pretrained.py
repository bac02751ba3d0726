"""Models of `transformers` with the head that a task needs: loaded from safetensors, their new weights named, their embeddings as large as
the tokenizer."""
from collections.abc import Sequence
from typing import Any
from warnings import warn

import torch
from torch import nn

from ...core.messages import listing, plural
from .encoding import Task
from .library import library, quiet
from .sources import fetching, is_folder, refuse_pickles

_AUTO = {"classify": "AutoModelForSequenceClassification", "words": "AutoModelForTokenClassification", "mlm": "AutoModelForMaskedLM",
         "clm": "AutoModelForCausalLM"}


def auto_class(task: Task) -> Any:
    "The class of transformers that makes models for a task."
    return getattr(library(), _AUTO[task])


def load_config(source: Any) -> Any:
    "The configuration of the model at a folder or name."
    with quiet():
        return fetching(library().AutoConfig, source, "configuration")


def load_model(source: Any, task: Task, n_out: int | None = None, classes: Sequence[Any] | None = None,
               pretrained: bool = True, **settings: Any) -> tuple[nn.Module, list[str]]:
    """A model with the head for a task, in float32.

    Args:
        source: a folder or a name on the hub.
        task: see `EncodeText`.
        n_out: outputs of the head, where it is one for classes or numbers.
        classes: their names, which the model's configuration keeps.
        pretrained: with the weights of `source`; False: with random ones.
        **settings: of its configuration, such as `hidden_dropout_prob=0.2`.

    Returns:
        The model, and the names of the weights that `source` does not have: new ones, which are to be trained.

    Raises:
        ValueError: the weights are a pickle, or the model is of a kind that has no such head.
    """
    if pretrained and is_folder(source):
        refuse_pickles(source)
    if n_out is not None:
        settings["num_labels"] = n_out
        if classes is not None and len(classes) == n_out:
            settings["id2label"] = {i: str(c) for i, c in enumerate(classes)}
            settings["label2id"] = {str(c): i for i, c in enumerate(classes)}
    config = load_config(source)
    unknown = [k for k in settings if not hasattr(config, k)]
    if unknown:
        raise TypeError(f"the configuration of a {config.model_type} has no {', '.join(unknown)}: its settings are "
                        f"{listing(sorted(k for k in config.to_dict() if not k.startswith('_')), 60)}")
    auto = auto_class(task)
    try:
        with quiet():
            if not pretrained:
                for k, v in settings.items():
                    setattr(config, k, v)
                return auto.from_config(config, trust_remote_code=False).float(), []
            model, info = fetching(auto, source, "model", use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True,
                                   **settings)
    except ValueError as e:
        if "Unrecognized configuration class" in str(e):
            raise ValueError(f"transformers has no {_AUTO[task]} of the kind {config.model_type!r} that {str(source)!r} is: choose "
                             "another model for this task") from e
        raise
    odd = [o[0] if isinstance(o, (tuple, list)) else o for o in info.get("mismatched_keys", ())]
    new = sorted({*info["missing_keys"], *odd})
    _warn_of_body(model, new, source)
    return model.float().eval(), new


def _warn_of_body(model, new, source):
    "Warn where weights of the body, too, are not in the file: it is most likely that of another model."
    prefix = f"{model.base_model_prefix}."
    body = [n for n in new if n.startswith(prefix) and "pooler" not in n]
    if body:
        total = sum(n.startswith(prefix) for n, _ in model.named_parameters())
        warn(f"{str(source)!r} lacks {len(body)} of {total} weights of the body of {type(model).__name__} (or has them in other sizes): "
             f"{listing(body, 4)}. They begin at random: is this the right model?", stacklevel=4)


def fit_embeddings(model: Any, tokenizer: Any) -> str | None:
    """Let the model have an embedding for each token of its tokenizer.

    Args:
        model: of transformers.
        tokenizer: its own, to which tokens may have been added.

    Returns:
        What was done, as a sentence; None: nothing.

    Raises:
        ValueError: the vocabulary of the tokenizer is not that of the model.
    """
    n, wanted = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    if wanted <= n:
        return None
    if tokenizer.vocab_size > n:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size:,} tokens and the model {n:,} embeddings: they do not belong together. "
                         "Give both the same name or folder; if you made the tokenizer for this model, first write "
                         "model.resize_token_embeddings(len(tokenizer))")
    with quiet():
        model.resize_token_embeddings(wanted)
    return f"{plural(wanted - n, 'token')} were added to the tokenizer: the model has new embeddings for them, to be trained"


def model_positions(model: Any) -> int | None:
    """How many positions a model has; None: it does not say.

    Where the positions of texts begin behind that of padding, as in RoBERTa, there are fewer than its configuration says.

    Args:
        model: of transformers.
    """
    n = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(n, int) or n <= 0:
        return None
    words = model.get_input_embeddings()
    learned = [m for m in model.modules() if isinstance(m, nn.Embedding) and m is not words and m.num_embeddings == n]
    return n - max((m.padding_idx + 1 for m in learned if m.padding_idx is not None), default=0)


def positions_of(config: Any) -> int | None:
    "`model_positions` of the model that a configuration describes, which is made without memory."
    try:
        with quiet(), torch.device("meta"):
            return model_positions(library().AutoModel.from_config(config, trust_remote_code=False))
    except Exception:                       # a model that cannot be made so: what the configuration says must do
        return getattr(config, "max_position_embeddings", None)
