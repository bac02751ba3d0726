"""Texts as ids of tokens."""
from collections.abc import Iterable
from typing import Any

import torch

from ..core.titled import TensorBase


class TensorText(TensorBase):
    "The ids of the tokens of a text: int64 (T,)."


class LMTensorText(TensorText):
    "The ids of a piece of the stream of tokens that a language model reads: int64 (seq_len,)."


def reverse_text(x: TensorText) -> torch.Tensor:
    """A text backwards.

    Args:
        x: its ids, (T,).
    """
    return x.flip(0)


def is_backwards(tfms: Iterable[Any]) -> bool:
    """Whether transforms leave texts backwards.

    Args:
        tfms: of a pipeline.
    """
    return sum(getattr(f, "__dict__", {}).get("encodes") is reverse_text for f in tfms) % 2 == 1
