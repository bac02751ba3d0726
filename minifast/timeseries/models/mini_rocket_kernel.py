"""The features of `MiniRocket` on a CPU, compiled by numba where it is installed.

Dempster, Schmidt, Webb (2021), https://arxiv.org/abs/2012.08791, section 3.2: a kernel has six weights -1 and three 2, so its
convolution is three times the sum of three values less that of all nine, which the kernels share. Several series lie side by side, one in
each lane of the processor's vectors, and nothing leaves its nearest cache. Measured (2026-11, one thread, 7 sets): 15 to 70% of the
time of torch's operations.
"""
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

_LANES, _ROWS, _TAPS = 32, 8, 9         # series and steps taken at once, weights of a kernel
_LARGEST = 1e36                         # the sum of 81 such values is still a float32


def _count(x, lengths, factors, order, first, threes, channels, dilations, n_biases, biases, out):
    """Write the shares of steps above biases, times factors, of the series that `order`, from long ones to short, names from `first` on.

    x: float32 (B, C, T), lengths: int64 (B,), factors: float32 (B,), order: int64 (B,), threes: int64 (K, 3), channels: bool (D, K, C),
    dilations and n_biases: int64 (D,), biases: float32 (n_out,), out: float32 (n_out, B). See `compiled_features`.
    """
    own = order[first:first + _LANES]
    n_channels, n_steps, beyond, half = x.shape[1], lengths[own[0]], 4 * dilations[-1], len(threes) // 2
    begin, end = np.empty(_LANES, np.int64), np.empty(_LANES, np.int64)
    series = np.zeros((n_channels, n_steps + 2 * beyond + _ROWS, _LANES), np.float32)
    for lane in range(len(own)):
        for c in range(n_channels):
            for t in range(lengths[own[lane]]):
                series[c, beyond + t, lane] = x[own[lane], c, t]
    nines = np.empty((n_channels, n_steps + _ROWS, _LANES), np.float32)
    series_sum, nines_sum = np.zeros(series.shape[1:], np.float32), np.empty(nines.shape[1:], np.float32)   # of several channels
    values, counts = np.empty((_ROWS, _LANES), np.float32), np.empty((n_biases.max(), _LANES), np.int32)
    start = 0
    for i, dilation in enumerate(dilations):
        for within in range(2):                     # kernels that see zeros beyond the ends, then those that do not
            low, high = n_steps, 0
            for lane in range(_LANES):
                length = lengths[own[min(lane, len(own) - 1)]]
                begin[lane] = 4 * dilation if within and length > 8 * dilation else 0
                end[lane] = length - begin[lane]
                low, high = min(low, begin[lane]), max(high, end[lane])
            for c in range(n_channels):
                for t in range(low, high + _ROWS):
                    for lane in range(_LANES):
                        nine = np.float32(0)
                        for tap in range(_TAPS):
                            nine += series[c, beyond + t + (tap - 4) * dilation, lane]
                        nines[c, t, lane] = nine if begin[lane] <= t < end[lane] else np.float32(np.inf)        # above no bias
            for k in range((i + within) % 2, len(threes), 2):
                seen, less, n = series_sum, nines_sum, 0
                for c in range(n_channels):
                    if channels[i, k, c]:
                        if n == 0:
                            seen, less = series[c], nines[c]
                        else:
                            for t in range(beyond, beyond + n_steps):
                                for lane in range(_LANES):
                                    series_sum[t, lane] = seen[t, lane] + series[c, t, lane]
                            for t in range(low, high + _ROWS):
                                for lane in range(_LANES):
                                    nines_sum[t, lane] = less[t, lane] + nines[c, t, lane]
                            seen, less = series_sum, nines_sum
                        n += 1
                for b in range(n_biases[i]):
                    for lane in range(_LANES):
                        counts[b, lane] = 0
                for t in range(low, high, _ROWS):
                    at = beyond + t - 4 * dilation
                    one, two, three = (seen[at + threes[k, 0] * dilation:], seen[at + threes[k, 1] * dilation:],
                                       seen[at + threes[k, 2] * dilation:])
                    nine = less[t:]
                    for row in range(_ROWS):
                        for lane in range(_LANES):
                            values[row, lane] = np.float32(3) * (one[row, lane] + two[row, lane] + three[row, lane]) - nine[row, lane]
                    for b in range(n_biases[i]):
                        bias = biases[start + b * half + k // 2]
                        for lane in range(_LANES):
                            above = np.int32(0)
                            for row in range(_ROWS):
                                above += np.int32(values[row, lane] > bias)
                            counts[b, lane] += above
                for b in range(n_biases[i]):
                    for lane in range(len(own)):
                        size = max(end[lane] - begin[lane], 1)
                        out[start + b * half + k // 2, own[lane]] = np.float32(counts[b, lane]) / np.float32(size) * factors[own[lane]]
            start += n_biases[i] * half


@cache
def _compiled():
    """`_count` as machine code; None without numba.

    The first process compiles it, in seconds. Others read it from the folder `__pycache__` beside this file or, where that may not be
    written, from the user's cache; where no folder may be written, each process compiles.
    """
    try:
        import numba
    except ImportError:                             # also raised where numba is too old for NumPy
        return None
    if numba.config.DISABLE_JIT:
        return None
    f, i = numba.float32, numba.int64
    signature = numba.void(f[:, :, ::1], i[::1], f[::1], i[::1], i, i[:, ::1], numba.boolean[:, :, ::1], i[::1], i[::1], f[::1], f[:, ::1])
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(signature, cache=True, **options)(_count)
    except (RuntimeError, OSError):
        return numba.njit(signature, **options)(_count)


def compiled_features(x: torch.Tensor, threes: Sequence[Sequence[int]], channels: torch.Tensor, dilations: Sequence[int],
                      n_biases: Sequence[int], biases: torch.Tensor, seq_len: int | None = None) -> torch.Tensor | None:
    """The shares of steps above biases, by as many threads as torch uses.

    Args:
        x: series on the CPU, float32 (B, C, T), shorter ones padded with NaN.
        threes: for each of K kernels where its three weights 2 are.
        channels: 1 for those that a pair of dilation and kernel sums, (D, K, C).
        dilations: in rising order.
        n_biases: for each kernel and dilation.
        biases: (n_out,).
        seq_len: shares are multiplied by the length of a series over it; None: they are not.

    Returns:
        float32 (n_out, B), or None: numba is not installed, or NaN stands elsewhere than in all channels at the end of series, or values
        are infinite or larger than 1e36.
    """
    if (count := _compiled()) is None:
        return None
    series = x.detach().contiguous().numpy()        # NumPy and one thread: what torch's threads cost is more than they give here
    steps = ~np.isnan(series).all(1)
    lengths = steps.sum(1)
    at_ends = (steps == (np.arange(x.shape[2]) < lengths[:, None])).all()
    if not (at_ends and np.abs(np.where(steps[:, None], series, 0)).max() < _LARGEST):
        return None
    factors = np.ones(len(x), np.float32) if seq_len is None else lengths.astype(np.float32) / np.float32(seq_len)
    order, out, firsts = np.argsort(-lengths, kind="stable"), x.new_empty(len(biases), len(x)), range(0, len(x), _LANES)
    model = (np.array(threes), channels.bool().numpy(), np.array(dilations), np.array(n_biases), biases.numpy(), out.numpy())

    def work(first: int) -> None:
        count(series, lengths, factors, order, first, *model)

    if (threads := min(torch.get_num_threads(), len(firsts))) == 1:
        for first in firsts:
            work(first)
    else:
        with ThreadPoolExecutor(threads) as pool:   # not numba's own threads: those end the process when two threads of Python call them
            list(pool.map(work, firsts))
    return out
