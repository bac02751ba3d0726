"""Vocabularies beside saved weights: the meaning of the outputs and of the rows of embeddings, compared when weights are loaded."""
import json
from collections.abc import Collection
from typing import Any, TypeAlias

import torch

from ..data.categories import last_vocab

Vocabs: TypeAlias = dict[str, list[str]]
"The entries of each vocabulary as text, such as `{'target': ['cat', 'dog']}`."


def vocabs_of(dls: Any) -> Vocabs:
    "The vocabularies of the training set: of the target, and of inputs (words, columns) that have one."
    ds, found = getattr(dls, "train_ds", None), {}
    columns, pipes = getattr(ds, "classes", None), list(getattr(ds, "pipelines", None) or ())
    if isinstance(columns, dict):
        found.update((f"column {name!r}", values) for name, values in columns.items())
    n_inp = getattr(ds, "n_inp", None) or max(1, len(pipes) - 1)
    for i, pipe in enumerate(pipes):
        found[f"input {i}" if i < n_inp else "target" if len(pipes) == n_inp + 1 else f"target {i - n_inp}"] = last_vocab(pipe)
    vocab = getattr(dls, "vocab", None)
    if not pipes and isinstance(vocab, (list, tuple)) and vocab and all(isinstance(o, (list, tuple)) for o in vocab):
        found.update((f"vocabulary {i}", o) for i, o in enumerate(vocab))
    elif not pipes and not isinstance(vocab, dict):
        found["target"] = vocab
    return {name: [str(o) for o in values] for name, values in found.items() if _is_vocab(values)}


def _is_vocab(values):
    return isinstance(values, Collection) and not isinstance(values, (str, bytes))


def bytes_from_vocabs(vocabs: Vocabs) -> torch.Tensor:
    "`vocabs` as JSON in a tensor of bytes: millions of words would not fit into the header of a safetensors file."
    return torch.frombuffer(bytearray(json.dumps(vocabs).encode()), dtype=torch.uint8)


def vocabs_from_bytes(stored: torch.Tensor | None) -> Vocabs:
    "The vocabularies that `bytes_from_vocabs` stored; {} where nothing was stored."
    return json.loads(stored.numpy().tobytes()) if isinstance(stored, torch.Tensor) else {}


def check_same_vocabs(own: Vocabs, saved: Vocabs, file: Any, strict: bool = True) -> None:
    """Refuse weights in `file` that were trained with other entries (`saved`) than those of the data (`own`). strict=False leaves
    vocabularies of different lengths to the comparison of shapes."""
    for name in [name for name in own if name in saved]:
        here, there = own[name], saved[name]
        if here == there or (not strict and len(here) != len(there)):
            continue
        differ = [i for i in range(max(len(here), len(there))) if here[i:i + 1] != there[i:i + 1]]
        first = "; ".join(f"{i} is {_entry(there, i)} in the file, {_entry(here, i)} here" for i in differ[:3])
        lengths = "" if len(here) == len(there) else f", which has {len(there)} entries there and {len(here)} here"
        raise ValueError(f"the weights in {file} were made with another vocabulary of the {name}{lengths}; {len(differ)} of "
                         f"{max(len(here), len(there))} differ: {first}. Make the data with the vocabulary that the weights were made with "
                         "(vocab=[...]), or, if what the numbers stand for does not matter, write load(..., check_vocab=False)")


def _entry(vocab, i):
    return repr(vocab[i]) if i < len(vocab) else "nothing"
