"""Sequences of different lengths in one batch: filled up to the longest, and cut only with a count of what was lost."""
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from threading import Lock
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import get_worker_info

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe, plural
from .transforms import ItemTransform

_SLOTS = 64         # counts are kept per worker: each row has one writer
_SEEN, _CUT, _LOST, _LONGEST = range(4)


def pad_sequences(samples: list, pad_value: float = 0, max_len: int | None = None, pad_first: bool = False, n_inp: int = 1) -> list:
    """`samples`, a list of tuples (or of bare sequences), with their first `n_inp` elements as tensors of one length.

    They get the length of the longest in the list. For a loader write `before_batch=PadSequences(...)`, which counts over all batches.

    Args:
        samples: their sequences are 1-d tensors or arrays, or lists of numbers.
        pad_value: fills up the shorter ones.
        max_len: longer ones keep their first `max_len` elements, and a warning says how many were cut; None: nothing is cut.
        pad_first: fill up before the sequence instead of behind it.
        n_inp: how many elements of a sample are sequences.
    """
    padded, counts = _pad(samples, pad_value, max_len, pad_first, n_inp)
    if counts[_CUT]:
        warn(_sentence(counts, max_len), stacklevel=2)
    return padded


class PadSequences(ItemTransform):
    """`pad_sequences` for a loader: `DataLoader(ds, before_batch=PadSequences(max_len=512))`.

    What is cut is counted in `cut`, over all batches and workers, and reported once, by a warning.

    Args:
        pad_value: fills up the shorter ones.
        max_len: longer ones keep their first `max_len` elements; None: nothing is cut.
        pad_first: fill up before the sequence instead of behind it.
        n_inp: how many elements of a sample are sequences.
    """

    def __init__(self, pad_value: float = 0, max_len: int | None = None, pad_first: bool = False, n_inp: int = 1):
        super().__init__()
        _check(max_len, n_inp)
        self.pad_value, self.max_len, self.pad_first, self.n_inp = pad_value, max_len, pad_first, n_inp
        self._counts = torch.zeros(_SLOTS, 4, dtype=torch.int64).share_memory_()        # worker processes write into the same
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())

    @property
    def cut(self) -> dict[str, int]:
        "A dict of counts: `sequences` seen (each time again), `cut` of them, `lost` elements, the length of the `longest`."
        total, longest = self._counts.sum(0).tolist(), int(self._counts[:, _LONGEST].max())
        return {"sequences": total[_SEEN], "cut": total[_CUT], "lost": total[_LOST], "longest": longest}

    def uncounted(self) -> "PadSequences":
        "The same with counts of its own, from 0: what goes through it is not seen in `cut`."
        new = copy(self)
        new._counts = torch.zeros_like(self._counts).share_memory_()
        return new

    def encodes(self, samples: list) -> list:
        padded, counts = _pad(samples, self.pad_value, self.max_len, self.pad_first, self.n_inp)
        self._count(counts)
        return padded

    def count(self, lengths: Sequence[int]) -> None:
        """Count sequences, and what `max_len` cuts off them; the first time that it does, a warning says so.

        Args:
            lengths: of the sequences, before they are cut.
        """
        over = [n - self.max_len for n in lengths if n > self.max_len] if self.max_len is not None else []
        self._count([len(lengths), len(over), sum(over), max(lengths, default=0)])

    def _count(self, counts):
        worker = get_worker_info()
        with self._lock:
            is_first = counts[_CUT] and not self._counts[:, _CUT].any()
            row = self._counts[0 if worker is None else 1 + worker.id % (_SLOTS - 1)]
            row[:_LONGEST] += torch.tensor(counts[:_LONGEST])
            row[_LONGEST] = max(int(row[_LONGEST]), counts[_LONGEST])
        if is_first:
            warn(_sentence(counts, self.max_len) + ". This is reported once; the counts of all batches are in `.cut`", stacklevel=3)


def _check(max_len: int | None, n_inp: int) -> None:
    check_arguments("pad_sequences", n_inp=(n_inp, is_whole(n_inp), "a whole number of at least 1"),
                    max_len=(max_len, max_len is None or is_whole(max_len), "a whole number of at least 1, or None to cut nothing"))


def _sentence(counts: list[int], max_len: int | None) -> str:
    return (f"{counts[_CUT]} of {plural(counts[_SEEN], 'sequence')} of this batch are longer than max_len={max_len} (the longest has "
            f"{counts[_LONGEST]}) and were cut: the model does not see {plural(counts[_LOST], 'element')} of them")


def _pad(samples: list, pad_value: float, max_len: int | None, pad_first: bool, n_inp: int) -> tuple[list, list[int]]:
    "`(samples, [sequences, cut, elements lost, longest])`."
    _check(max_len, n_inp)
    if not isinstance(samples, list) or not samples:
        raise TypeError(f"pad_sequences takes the list of samples of a batch; received {describe(samples)}")
    bare = not isinstance(samples[0], tuple)
    rows = [(s,) if bare else s for s in samples]
    counts, columns = [0, 0, 0, 0], []
    for i in range(min(n_inp, len(rows[0]))):
        column = [_sequence(row[i], i) for row in rows]
        lengths = [len(o) for o in column]
        longest = max(lengths) if max_len is None else min(max(lengths), max_len)
        over = [n - longest for n in lengths if n > longest]
        counts = [counts[_SEEN] + len(column), counts[_CUT] + len(over), counts[_LOST] + sum(over), max(counts[_LONGEST], *lengths)]
        missing = [max(longest - n, 0) for n in lengths]
        columns.append([pad(o[:longest], (n, 0) if pad_first else (0, n), value=pad_value) for o, n in zip(column, missing, strict=True)])
    done = [(*(column[k] for column in columns), *row[len(columns):]) for k, row in enumerate(rows)]
    return [row[0] for row in done] if bare else done, counts


def _sequence(x: Any, i: int) -> torch.Tensor:
    with suppress(TypeError, ValueError):
        out = x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x) if len(x) else np.zeros(0, np.int64))
        if out.ndim == 1:
            return out
    raise TypeError(f"pad_sequences: element {i} of the samples must be a list of numbers or a 1-d tensor; received {describe(x)}")

