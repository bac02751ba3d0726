"""Series as they lie in memory or in a file, so that a batch of them is one read."""
from collections.abc import Callable, Sequence
from warnings import warn

import numpy as np
import torch

from .tensors import TensorSeries

#: Changes series that were read from a file: float32 (series, channels, steps) and the number of each -> the same.
Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]


class SeriesStore:
    """Many series; see `EqualSeries` and `UnequalSeries`.

    Args:
        n_channels: of each series.
        lengths: steps of each series, int64 (series,).
    """

    on_disk: bool = False           #: whether the values stay in a file until they are read

    def __init__(self, n_channels: int, lengths: np.ndarray):
        self.n_channels, self.lengths = n_channels, lengths

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def is_equal(self) -> bool:
        "Whether all series have the same number of steps."
        return len(self) == 0 or bool((self.lengths == self.lengths[0]).all())

    def __getitem__(self, i: int) -> TensorSeries:
        if not -len(self) <= i < len(self):
            raise IndexError(f"there is no series {i}: there are {len(self):,}")
        return torch.from_numpy(self.array(i).copy()).as_subclass(TensorSeries)  # type: ignore[return-value]  # torch's own type

    def array(self, i: int) -> np.ndarray:
        """One series, which is not copied where it lies in memory.

        Args:
            i: its position.

        Returns:
            float32 (channels, steps).
        """
        raise NotImplementedError

    def subset(self, indices: Sequence[int]) -> "SeriesStore":
        """Some of the series, which are not copied.

        Args:
            indices: their positions.
        """
        raise NotImplementedError

    def read(self, indices: np.ndarray, n_steps: int) -> torch.Tensor:
        """Some series as a batch.

        Args:
            indices: their positions.
            n_steps: of the batch: longer series are cut, shorter ones are padded with NaN at the end.

        Returns:
            float32 (series, channels, n_steps).
        """
        raise NotImplementedError


class EqualSeries(SeriesStore):
    """Series of one length, in one or more arrays.

    Args:
        parts: (series, channels, steps) each, all of them with as many channels and steps. Those in memory are float32.
        at: which series these are, counted over all parts; None: all.
        finish: what is done to series that are read from a file.
        n_channels: of what `finish` makes of them; None: as many as in the file.
    """

    def __init__(self, parts: Sequence[np.ndarray], at: np.ndarray | None = None, finish: Finish | None = None,
                 n_channels: int | None = None):
        self.parts, self.finish = list(parts), finish
        ends = np.cumsum([len(p) for p in self.parts], dtype=np.int64)
        self.starts = ends - [len(p) for p in self.parts]
        self.at = np.arange(ends[-1]) if at is None else np.asarray(at, np.int64)
        self.on_disk = any(map(is_on_disk, self.parts))
        self._told = False                      # what float32 loses of values on disk is seen at the first read
        super().__init__(self.parts[0].shape[1] if n_channels is None else n_channels, np.full(len(self.at), self.parts[0].shape[2]))

    def array(self, i: int) -> np.ndarray:
        if self.on_disk:
            return self._values(np.array([i]))[0]
        at = self.at[i]
        k = int(np.searchsorted(self.starts, at, "right")) - 1
        return self.parts[k][at - self.starts[k]]

    def subset(self, indices: Sequence[int]) -> "EqualSeries":
        return EqualSeries(self.parts, self.at[np.asarray(indices, np.int64)], self.finish, self.n_channels)

    def read(self, indices: np.ndarray, n_steps: int) -> torch.Tensor:
        if len(self.parts) == 1 and not self.on_disk:
            x = torch.from_numpy(self.parts[0]).index_select(0, torch.from_numpy(self.at[indices]))
        else:
            x = torch.from_numpy(self._values(indices))
        return _of_length(x, n_steps)

    def _values(self, indices):
        at = self.at[indices]
        out = np.empty((len(at), *self.parts[0].shape[1:]), np.float32)
        for part, start in zip(self.parts, self.starts, strict=True):
            here = np.flatnonzero((at >= start) & (at < start + len(part)))
            if len(here):
                values = np.asarray(part[at[here] - start])
                out[here] = values if values.dtype == np.float32 else as_float32(values, "X", not self._told)
                self._told = True
        return out if self.finish is None else self.finish(out, at)


class UnequalSeries(SeriesStore):
    """Series of several lengths, one behind the other.

    Args:
        flat: float32 (channels, steps of all series + 1); the last step is NaN.
        starts: where each series begins.
        lengths: steps of each series.
    """

    def __init__(self, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray):
        self.flat, self.starts = flat, starts
        super().__init__(len(flat), lengths)

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> "UnequalSeries":
        """Join series.

        Args:
            arrays: (channels, steps) each.
        """
        lengths = np.array([a.shape[1] for a in arrays], np.int64)
        flat = np.full((arrays[0].shape[0], int(lengths.sum()) + 1), np.nan, np.float32)
        starts = np.cumsum(lengths) - lengths
        for a, start, n in zip(arrays, starts, lengths, strict=True):
            flat[:, start:start + n] = a
        return cls(flat, starts, lengths)

    def array(self, i: int) -> np.ndarray:
        start = self.starts[i]
        return self.flat[:, start:start + self.lengths[i]]

    def subset(self, indices: Sequence[int]) -> "UnequalSeries":
        chosen = np.asarray(indices, np.int64)
        return UnequalSeries(self.flat, self.starts[chosen], self.lengths[chosen])

    def read(self, indices: np.ndarray, n_steps: int) -> torch.Tensor:
        steps = np.arange(n_steps)
        places = np.where(steps < self.lengths[indices, None], self.starts[indices, None] + steps, self.flat.shape[1] - 1)
        x = torch.from_numpy(self.flat).index_select(1, torch.from_numpy(places.reshape(-1)))
        return x.view(self.n_channels, len(indices), n_steps).transpose(0, 1).contiguous()


class SeriesAt:
    """One series of a store: what stands for it in a table of items.

    Args:
        store: the series.
        i: which of them.
    """

    __slots__ = ("i", "store")

    def __init__(self, store: SeriesStore, i: int):
        self.store, self.i = store, i

    @property
    def values(self) -> np.ndarray:
        "float32 (channels, steps)."
        return self.store.array(self.i)

    def __repr__(self) -> str:
        return f"series {self.i} ({self.store.n_channels} x {self.store.lengths[self.i]})"


def joined_stores(stores: Sequence[SeriesStore]) -> SeriesStore:
    """Several stores as one, in their order; what lies on disk stays there.

    Args:
        stores: with as many channels each, as they were given.
    """
    if len(stores) == 1:
        return stores[0]
    equal = [s for s in stores if isinstance(s, EqualSeries)]
    if len(equal) == len(stores) and len({int(s.lengths[0]) for s in equal}) == 1:
        offsets = np.cumsum([0] + [sum(map(len, s.parts)) for s in equal])
        at = np.concatenate([s.at + offset for s, offset in zip(equal, offsets[:-1], strict=True)])
        return EqualSeries([p for s in equal for p in s.parts], at)
    return UnequalSeries.of([s.array(i) for s in stores for i in range(len(s))])


def is_on_disk(array: np.ndarray) -> bool:
    "Whether an array is a view of a file."
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False


def _of_length(x, n_steps):
    "A batch cut or padded to `n_steps`."
    if x.shape[-1] < n_steps:
        return torch.nn.functional.pad(x, (0, n_steps - x.shape[-1]), value=float("nan"))
    return x if x.shape[-1] == n_steps else x[..., :n_steps].contiguous()


def as_float32(x: np.ndarray, where: str, tell: bool = True) -> np.ndarray:
    """Numbers as float32; what gets lost by that is said.

    Args:
        x: (..., channels, steps), in memory.
        where: what to call it in a message.
        tell: warn of what gets lost.

    Raises:
        ValueError: a number is too large for float32.
    """
    if x.dtype == np.float32:                       # torch's tensors are not for memory that must not be written to
        return np.ascontiguousarray(x) if x.flags.writeable else x.copy()
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype.kind == "b" or x.dtype.itemsize <= 2 or not x.size:
        return out
    largest = float(np.fmax.reduce(np.abs(x), axis=None, initial=0)) if x.dtype.kind == "f" else max(abs(int(x.max())), abs(int(x.min())))
    if np.isfinite(largest) and largest > float(np.finfo(np.float32).max):
        raise ValueError(f"{where} holds numbers up to {largest:.3g}, which float32 cannot hold: divide them by {largest:.0e}")
    if tell and 2 ** 24 <= largest < np.inf:
        spread = np.nanstd(x.astype(np.float64, copy=False), axis=-1)
        off = np.nanmax(np.abs(x - out.astype(np.float64)), axis=-1)
        if (off > 1e-3 * spread).any():
            warn(f"{where} holds numbers as large as {largest:.6g} that hardly differ from each other, and float32, in which networks "
                 f"compute, has 7 digits: their differences are lost. Subtract what they have in common, such as "
                 + ("the smallest of them" if " " in where else f"{where} - {where}.min()"),
                 stacklevel=5)
    return out
