"""`FlatTexts`: many texts as one array of ids, in memory or in a file that is larger than the memory."""
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from ..core.messages import describe, plural
from .tensors import TensorText, reverse_text


class FlatTexts(Sequence):
    """Many texts as one array of ids; `texts[i]` is a `TensorText`.

    Of a memory-mapped array only what is asked for is read, by `os.pread`, so that pages of a large file do not pile up in memory.

    Args:
        ids: all ids, 1-d: an array, or an `np.memmap`.
        lengths: how many ids each text has.
        starts: where each text begins; None: one after the other.
        lookup: what the ids stand for: id `k` is read as `lookup[k]`; None: for themselves.
        backwards: read each text backwards.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, starts: np.ndarray | None = None, lookup: np.ndarray | None = None,
                 backwards: bool = False):
        self.ids, self.lookup, self.backwards = ids, lookup, backwards
        self.lengths = np.asarray(lengths, dtype=np.int64)      #: tokens of each text
        self.starts = np.cumsum(self.lengths) - self.lengths if starts is None else np.asarray(starts, dtype=np.int64)
        self._file_offset = _offset(ids)
        self._fd: tuple[int, int] | None = None

    @classmethod
    def of(cls, texts: Iterable) -> "FlatTexts":
        """Texts that are there one by one, as arrays, tensors or lists of ids, or samples that begin with one.

        Args:
            texts: the texts; one 1-d array or tensor is a single text.
        """
        if isinstance(texts, cls):
            return texts
        if isinstance(texts, (np.ndarray, torch.Tensor)) and texts.ndim == 1:
            return cls(texts.numpy() if isinstance(texts, torch.Tensor) else texts, np.array([len(texts)]))
        parts = [_one(t, i) for i, t in enumerate(texts)]
        return cls(np.concatenate(parts) if parts else np.zeros(0, np.int32), np.array([len(p) for p in parts], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: Any) -> Any:
        i = i.__index__()
        if not -len(self) <= i < len(self):
            raise IndexError(f"text {i} of {len(self)}")
        return TensorText(torch.from_numpy(self.read(self.starts[i:][:1], self.lengths[i:][:1])))

    def subset(self, indices: Any) -> "FlatTexts":
        """Some of the texts, in the order asked for.

        Args:
            indices: their positions.
        """
        indices = np.asarray(indices, dtype=np.int64)
        return FlatTexts(self.ids, self.lengths[indices], self.starts[indices], self.lookup, self.backwards)

    def reversed(self) -> "FlatTexts":
        "The same texts read the other way."
        return FlatTexts(self.ids, self.lengths, self.starts, self.lookup, not self.backwards)

    def __repr__(self) -> str:
        return f"FlatTexts: {plural(len(self), 'text')}, {plural(int(self.lengths.sum()), 'token')}"

    def read(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Read runs of ids, one after the other.

        Args:
            starts: where in `ids` each begins.
            lengths: how many ids each has.

        Returns:
            int64 (lengths.sum(),).
        """
        if self._file_offset is not None and hasattr(os, "pread"):
            ids = self._read_file(starts, lengths)
        else:
            ends = np.cumsum(lengths)
            step = np.arange(ends[-1] if len(ends) else 0)
            begin, before = np.repeat(starts, lengths), np.repeat(ends - lengths, lengths)
            ids = self.ids[begin + np.repeat(lengths, lengths) - 1 - (step - before) if self.backwards else begin + (step - before)]
        return (ids if self.lookup is None else self.lookup[ids]).astype(np.int64)

    def _read_file(self, starts, lengths):
        ids, at = np.empty(int(lengths.sum()), self.ids.dtype), 0
        size, offset, fd = ids.itemsize, self._file_offset, self._file()
        for start, n in zip(starts.tolist(), lengths.tolist(), strict=True):
            run = np.frombuffer(os.pread(fd, n * size, offset + start * size), ids.dtype)
            ids[at:at + n] = run[::-1] if self.backwards else run
            at += n
        return ids

    def _file(self):
        "The file, opened once in each process; `pread` does not share a position."
        if self._fd is None or self._fd[0] != os.getpid():
            self._fd = os.getpid(), os.open(self.ids.filename, os.O_RDONLY)
        return self._fd[1]

    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None and self._fd[0] == os.getpid():
            os.close(self._fd[1])

    def __getstate__(self) -> dict[str, Any]:
        ids: Any = self.ids
        if self._file_offset is not None:               # which numpy would send whole
            ids = {"filename": ids.filename, "dtype": ids.dtype, "mode": "r", "offset": self._file_offset, "shape": ids.shape}
        return {**vars(self), "ids": ids, "_fd": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ids = state["ids"]
        vars(self).update(state, ids=np.memmap(**ids) if isinstance(ids, dict) else ids)


def ahead_texts(dataset: Any) -> FlatTexts | None:
    """The first element of all samples of a dataset, where its ids are known ahead, see `minifast.data.ahead`; else None.

    Args:
        dataset: such as `Datasets`.
    """
    ahead = getattr(dataset, "ahead", {}).get(0)
    if ahead is None or not isinstance(ahead.values, FlatTexts) or not all(vars(f).get("encodes") is reverse_text for f in ahead.rest):
        return None
    return ahead.values if len(ahead.rest) % 2 == 0 else ahead.values.reversed()


def _offset(ids: np.ndarray) -> int | None:
    "Where in its file a memory-mapped array begins, in bytes; numpy says of a part of one where the whole begins. None: in no file."
    if not isinstance(ids, np.memmap) or ids.filename is None or ids.strides != (ids.itemsize,):
        return None
    whole: Any = ids
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    return int(whole.offset + ids.ctypes.data - whole.ctypes.data)


def _one(x: Any, i: int) -> np.ndarray:
    x = x[0] if isinstance(x, tuple) else x
    ids = x.numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    if ids.ndim == 1 and not ids.size:
        return np.zeros(0, np.int32)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"text {i} must be the ids of its tokens, whole numbers (T,); received {describe(x)}. A text becomes ids by "
                        "Tokenizer and Numericalize")
    return ids.astype(np.int32) if ids.dtype.itemsize > 4 and ids.max() < 2**31 else ids
