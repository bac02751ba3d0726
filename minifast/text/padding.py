"""Padding: texts of different lengths in one batch, padded before or after the text, or before it in whole chunks."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe
from ..data.sequences import PadSequences
from .special import PAD, TEXT_SPEC_TOK
from .tensors import TensorText

#: The id of padding in a vocabulary made here.
PAD_ID: int = TEXT_SPEC_TOK.index(PAD)


class Padding(PadSequences):
    """Base of the transforms that pad the texts of a batch: override `left`.

    What `max_len` cuts off is counted and reported, see `PadSequences`.

    Args:
        pad_idx: the id of padding.
        max_len: of longer texts the first `max_len` tokens are kept; None: nothing is cut.
        pad_first: padding comes before the text instead of after it.
    """

    backwards: bool = False             #: whether texts come backwards
    width_in_common: bool = False       #: whether several texts of a sample get one length

    def __init__(self, pad_idx: int = PAD_ID, max_len: int | None = None, pad_first: bool = False):
        super().__init__(pad_idx, max_len, pad_first)

    @property
    def pad_idx(self) -> int:
        "The id of padding."
        return int(self.pad_value)

    def left(self, lengths: np.ndarray, width: int) -> np.ndarray:
        """Override: how much padding comes before texts of these lengths.

        Args:
            lengths: int64 (n,).
            width: of the batch.
        """
        return width - lengths if self.pad_first else np.zeros_like(lengths)

    def fields(self, sample: tuple) -> Sequence[int]:
        """Override: which elements of a sample are padded.

        Args:
            sample: one of them.
        """
        return [i for i, o in enumerate(sample) if isinstance(o, TensorText)] or [0]

    def rows(self, texts: Sequence[np.ndarray], width: int | None = None) -> np.ndarray:
        """Put texts into the rows of one array.

        Args:
            texts: the ids of each.
            width: tokens per row; None: as many as the longest text has, at least one.

        Returns:
            int64 (n, width).
        """
        self.count([len(t) for t in texts])
        if self.max_len is not None:
            texts = [t[:self.max_len] for t in texts]
        lengths = np.array([len(t) for t in texts], dtype=np.int64)
        width = max(1, int(lengths.max())) if width is None else width
        out = np.full((len(texts), width), self.pad_value, dtype=np.int64)
        for row, text, at in zip(out, texts, self.left(lengths, width).tolist(), strict=True):
            row[at:at + len(text)] = text[::-1] if self.backwards else text
        return out

    def encodes(self, samples: list) -> list:
        if not isinstance(samples, (list, tuple)) or not len(samples):
            raise TypeError(f"{type(self).__name__} takes the list of samples of a batch; received {describe(samples)}")
        bare = not isinstance(samples[0], tuple)
        columns: list[Any] = list(zip(*([(s,) for s in samples] if bare else samples), strict=True))
        texts = {f: [_ids(o, f) for o in columns[f]] for f in self.fields(tuple(c[0] for c in columns))}
        width = max(len(t) for column in texts.values() for t in column) if self.width_in_common else None
        for f, column in texts.items():
            width = width if width is None or self.max_len is None else min(width, self.max_len)
            kind = type(columns[f][0])
            rows = torch.from_numpy(self.rows(column, width))
            columns[f] = [row.as_subclass(kind) if issubclass(kind, TensorText) else row for row in rows]
        return list(columns[0]) if bare else list(zip(*columns, strict=True))

    def decodes(self, x: tuple | torch.Tensor) -> Any:
        "A sample whose texts are without padding."
        parts = x if isinstance(x, tuple) else (x,)
        done = tuple(o[o != self.pad_value] if isinstance(o, TensorText) and o.ndim == 1 else o for o in parts)
        return done if isinstance(x, tuple) else done[0]


class Pad_Input(Padding):
    """Pads the texts of a batch to the length of its longest: `DataLoader(ds, before_batch=pad_input)`.

    Args:
        pad_idx: the id of padding.
        pad_fields: which elements of a sample are texts: a number or several.
        pad_first: padding comes before the text instead of after it.
        backwards: texts come backwards.
        max_len: of longer texts the first `max_len` tokens are kept, see `PadSequences`; None: nothing is cut.
    """

    def __init__(self, pad_idx: int = PAD_ID, pad_fields: int | Sequence[int] = 0, pad_first: bool = False, backwards: bool = False,
                 max_len: int | None = None):
        super().__init__(pad_idx, max_len, pad_first)
        self.pad_fields, self.backwards = pad_fields, backwards

    def __call__(self, x: Any, split_idx: int | None = None, rng: Any = None, **options: Any) -> Any:
        """Pad a list of samples.

        Args:
            x: the samples.
            split_idx: see `Transform`.
            rng: not used.
            **options: other arguments of the class, for this call.
        """
        return Pad_Input(**options)(x) if options else super().__call__(x, split_idx, rng)

    def fields(self, sample: tuple) -> Sequence[int]:
        return [self.pad_fields] if isinstance(self.pad_fields, int) else self.pad_fields


#: `Pad_Input()`, as fastai has it: `before_batch=pad_input`, or `pad_input(samples, pad_idx=0, pad_first=True)`.
pad_input = Pad_Input()
pad_input.__doc__ = Pad_Input.__call__.__doc__


class Pad_Chunk(Padding):
    """Pads the texts of a batch before the text, but there only in whole chunks of `seq_len` tokens; the rest comes after it.

    A classifier reads pieces of `seq_len` tokens, one after the other: a text begins where a piece begins.

    Args:
        pad_idx: the id of padding.
        pad_first: False: all of the padding comes after the text.
        seq_len: tokens per piece.
        max_len: of longer texts the first `max_len` tokens are kept, see `PadSequences`; None: nothing is cut.
    """

    width_in_common = True

    def __init__(self, pad_idx: int = PAD_ID, pad_first: bool = True, seq_len: int = 72, max_len: int | None = None):
        super().__init__(pad_idx, max_len, pad_first)
        check_arguments("Pad_Chunk", seq_len=(seq_len, is_whole(seq_len), "tokens per piece, a whole number of at least 1"))
        self.seq_len = seq_len

    def with_seq_len(self, seq_len: int) -> "Pad_Chunk":
        """The same with other pieces.

        Args:
            seq_len: tokens per piece.
        """
        return Pad_Chunk(self.pad_idx, self.pad_first, seq_len, self.max_len)

    def left(self, lengths: np.ndarray, width: int) -> np.ndarray:
        return super().left(lengths, width) // self.seq_len * self.seq_len


def pad_chunk(x: torch.Tensor, pad_idx: int = PAD_ID, pad_first: bool = True, seq_len: int = 72, pad_len: int = 10) -> torch.Tensor:
    """Pad one text as `Pad_Chunk` does.

    Args:
        x: its ids, (T,).
        pad_idx: the id of padding.
        pad_first: False: all of the padding comes after the text.
        seq_len: tokens per piece.
        pad_len: the length to pad to.

    Returns:
        (pad_len,), of the type of `x`.
    """
    row = torch.from_numpy(Pad_Chunk(pad_idx, pad_first, seq_len).rows([_ids(x, 0)], max(pad_len, len(x)))[0]).to(x.dtype)
    return row.as_subclass(type(x))


def pad_input_chunk(samples: list, n_inp: int = 1, **kwargs: Any) -> list:
    """Pad the texts of a list of samples as `Pad_Chunk` does.

    Args:
        samples: tuples.
        n_inp: how many of their first elements are texts.
        **kwargs: other arguments of `pad_chunk`.
    """
    pad_len = max(len(o) for s in samples for o in s[:n_inp])
    return [(*(pad_chunk(o, pad_len=pad_len, **kwargs) for o in s[:n_inp]), *s[n_inp:]) for s in samples]


def count_tokens(x: torch.Tensor, pad_idx: int = PAD_ID) -> int:
    """The number of tokens in a batch that are not padding.

    Args:
        x: ids, of any shape.
        pad_idx: the id of padding.
    """
    return int((x != pad_idx).sum())


def _ids(x: Any, field: int) -> np.ndarray:
    "The ids of one text."
    ids = x.numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise TypeError(f"element {field} of a sample must be the ids of a text, whole numbers (T,); received {describe(x)}. A text "
                        "becomes ids by Tokenizer and Numericalize, and pad_fields= says which elements are texts")
    return ids
