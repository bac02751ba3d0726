"""What is taken for series: (samples, channels, steps), or a list of series of several lengths; anything else is refused."""
from typing import Any
from warnings import warn

import numpy as np

from ..core.messages import describe, listing, plural
from .store import EqualSeries, SeriesStore, UnequalSeries, as_float32, is_on_disk

LAYOUT = ("expected (samples, channels, steps), or (samples, steps) of one channel, or a list of series (channels, "
          "steps) of any length")


def as_store(X: Any, where: str = "X") -> SeriesStore:
    """Series in the layout that a loader reads.

    Args:
        X: an array or tensor (samples, channels, steps) or (samples, steps), or a list of series, (channels, steps) or (steps,) each.
            Arrays that are a view of a file (`np.memmap`) stay on disk.
        where: what to call it in a message.

    Raises:
        TypeError: it holds no numbers.
        ValueError: it has another shape.
    """
    if isinstance(X, SeriesStore):
        return X
    if hasattr(X, "iloc"):
        raise TypeError(f"{where} is a table, {describe(X)}: write TSDataLoaders.from_df(df, ...), or give its numbers, X.to_numpy()")
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
        return _of_list(list(X), where)
    X = as_array(X, where)
    if X.ndim not in (2, 3):
        raise ValueError(f"{where} has the shape {X.shape}: {LAYOUT}" + _advice(X, where))
    X = X[:, None] if X.ndim == 2 else X
    if 0 in X.shape:
        raise ValueError(f"{where} holds nothing: {plural(X.shape[0], 'sample')} of {plural(X.shape[1], 'channel')} and "
                         f"{plural(X.shape[2], 'step')}; {LAYOUT}")
    n, channels, steps = X.shape
    if steps <= 12 and channels > 8 * steps:
        warn(f"{where} of shape {X.shape} is read as {n:,} samples of {channels:,} channels and only {plural(steps, 'step')}. If it is "
             "(samples, steps, channels), write X.transpose(0, 2, 1)", stacklevel=4)
    return EqualSeries([X if is_on_disk(X) else as_float32(X, where)])


def _advice(X, where):
    if X.ndim == 1:
        return f". Of one series write {where}[None]; to cut it into windows write SlidingWindows"
    return f". Join axes, {where}.reshape(len({where}), -1, {where}.shape[-1])" if X.ndim > 3 else ""


def _of_list(series, where):
    "A store of series in a list."
    if not series:
        raise ValueError(f"{where} is an empty list; {LAYOUT}")
    arrays = [as_array(x, f"{where}[{i}]") for i, x in enumerate(series)]
    odd = next((i for i, a in enumerate(arrays) if a.ndim not in (1, 2)), None)
    if odd is not None:
        raise ValueError(f"{where}[{odd}] has the shape {arrays[odd].shape}: each series of a list is (channels, steps), or (steps,) of "
                         "one channel")
    arrays = [a[None] if a.ndim == 1 else a for a in arrays]
    empty = [i for i, a in enumerate(arrays) if 0 in a.shape]
    if empty:
        raise ValueError(f"{plural(len(empty), 'series') if len(empty) == 1 else f'{len(empty):,} series'} of {where} "
                         f"{'has' if len(empty) == 1 else 'have'} no steps or no channels, at {listing(empty, 5)}: leave them out")
    channels = [a.shape[0] for a in arrays]
    if len(set(channels)) > 1:
        other = next(i for i, c in enumerate(channels) if c != channels[0])
        swapped = len({a.shape[1] for a in arrays}) == 1
        raise ValueError(f"the series of {where} have different numbers of channels: {where}[0] has the shape {arrays[0].shape}, "
                         f"{where}[{other}] {arrays[other].shape}; each series of a list is (channels, steps)"
                         + (f". If they are (steps, channels), write {where} = [x.T for x in {where}]" if swapped else ""))
    if len({a.shape[1] for a in arrays}) == 1:
        return EqualSeries([as_float32(np.stack(arrays), where)])
    return UnequalSeries.of([as_float32(a, f"{where}[{i}]") for i, a in enumerate(arrays)])


def as_array(x: Any, where: str) -> np.ndarray:
    """Numbers as an array, of the type that they have.

    Args:
        x: an array, a tensor, a list of numbers, or anything else that numpy makes an array of.
        where: what to call it in a message.

    Raises:
        TypeError: these are not real numbers.
    """
    if hasattr(x, "detach"):
        x = x.detach().cpu().float().numpy() if not x.is_complex() and str(x.dtype) == "torch.bfloat16" else x.detach().cpu().numpy()
    if isinstance(x, np.ma.MaskedArray):                    # what is masked is missing
        x = np.ma.filled(x if x.dtype.kind == "f" else x.astype(np.float64), np.nan) if x.dtype.kind in "fiub" else x.data
    try:
        array = x if isinstance(x, np.ndarray) else np.asarray(x)
    except ValueError as e:
        raise ValueError(f"{where} is not an array of numbers: {e}. Series of several lengths are given as a list of arrays") from None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{where} holds {describe(array.flat[0]) if array.size else 'nothing'}: series are arrays of numbers") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{where} holds values of type {array.dtype}: series are arrays of real numbers")
    return array


def trim_padding(X: Any) -> list[np.ndarray]:
    """Series of several lengths out of an array in which the shorter ones end with NaN in all channels.

    Args:
        X: (samples, channels, steps) or (samples, steps).

    Returns:
        A list of arrays (channels, steps), which TSDataLoaders.from_array takes.
    """
    array = as_array(X, "X")
    array = array[:, None] if array.ndim == 2 else array
    there = ~np.isnan(array).all(axis=1)                    # (samples, steps)
    lengths = np.where(there, np.arange(1, array.shape[2] + 1), 0).max(axis=1)
    return [x[:, :n] for x, n in zip(array, lengths, strict=True)]
