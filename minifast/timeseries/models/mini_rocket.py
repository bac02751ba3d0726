"""MiniRocket: about 10,000 features of a series, made by fixed convolutions, and a linear head.

Dempster, Schmidt, Webb (2021), "MiniRocket: a very fast (almost) deterministic transform for time series classification",
https://arxiv.org/abs/2012.08791, section 3: 84 kernels of nine weights, three of them 2 and six -1, up to 32 dilations, and as features the
share of steps where a convolution exceeds a bias (PPV). Biases are quantiles of convolutions of training series; nothing else is learned.
"""
import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import torch
from torch import nn

from ...core.messages import describe
from ..padding import is_step

_TAPS = 9                               # weights of a kernel
_KERNELS = math.comb(_TAPS, 3)
#: Taken at once, on a CPU by each thread: convolutions of a kernel, and comparisons, which stay in its cache; elsewhere: comparisons.
_CONVOLUTIONS, _VALUES, _VALUES_GPU = 24_000, 500_000, 2**26
#: On a CPU: series taken at once at most, and what that costs beside their steps, for each dilation, in steps.
_SERIES, _PART = 256, 150
#: What a byte can count, and comparisons whose bytes are added at once, in whole registers.
_MOST, _WIDE = 255, 256
#: Biases are larger than the quantiles by this share of the largest convolution there could be: a level series has many that are equal, and
#: where a bias is one of them, rounding would decide.
_ROUNDING = 2**-20


class MiniRocketFeatures(nn.Module):
    """The features of MiniRocket: `fit` takes the biases from training series, `forward` computes.

    A feature is the share of the steps of a series where one convolution exceeds one bias, a number in 0..1. Of each dilation half the
    kernels see zeros beyond the ends of the series, the others stay within it. Padding (NaN in all channels) is left out, so a series gives
    the same features in a padded batch as alone; one too short for a dilation is taken with zeros beyond its ends. With several channels
    each pair of kernel and dilation sums a random choice of them, at most nine, small choices more often. No gradient reaches the series.

    Args:
        c_in: channels.
        seq_len: steps of the longest training series, at least 9: they tell how far kernels are dilated.
        n_features: about how many; the largest multiple of 84 that is not above it is taken.
        max_dilations: for each kernel, at most.
        padded: whether series differ in length: shares are then multiplied by their length over `seq_len`, so that they tell of it.

    Attributes:
        n_out: the number of features.

    Raises:
        ValueError: series shorter than a kernel, or fewer features than kernels.
    """

    min_steps = _TAPS
    masks = True

    def __init__(self, c_in: int, seq_len: int, n_features: int = 10_000, max_dilations: int = 32, padded: bool = False):
        super().__init__()
        if seq_len < self.min_steps:
            raise ValueError(f"MiniRocket needs series of {self.min_steps} steps or more, the length of its kernels; the longest has "
                             f"{seq_len} (seq_len={seq_len})")
        if n_features < _KERNELS:
            raise ValueError(f"n_features={n_features}: each of the {_KERNELS} kernels needs one; write n_features={_KERNELS} or more")
        self.c_in, self.seq_len, self.n_features, self.max_dilations, self.padded = c_in, seq_len, n_features, max_dilations, padded
        self.dilations, self.n_biases = _dilations(seq_len, n_features // _KERNELS, max_dilations)
        self.n_out = _KERNELS * sum(self.n_biases)
        kernels = [[2.0 if j in twos else -1.0 for j in range(_TAPS)] for twos in combinations(range(_TAPS), 3)]
        self.register_buffer("kernels", torch.tensor(kernels), persistent=False)
        self.register_buffer("channels", torch.ones(len(self.dilations), _KERNELS, c_in))
        self.register_buffer("biases", torch.full((self.n_out,), math.nan))

    kernels: torch.Tensor
    channels: torch.Tensor
    biases: torch.Tensor

    def extra_repr(self) -> str:
        "The settings."
        return f"c_in={self.c_in}, seq_len={self.seq_len}, n_features={self.n_out}"

    @torch.no_grad()
    def fit(self, x: torch.Tensor, seed: int | None = None) -> "MiniRocketFeatures":
        """Choose channels and take biases from training series.

        Args:
            x: training series (N, c_in, T), shorter ones padded with NaN.
            seed: of the choice of channels and series; None: torch's random numbers go on.

        Returns:
            itself.

        Raises:
            ValueError: values are missing.
        """
        self._check(x)
        x = x.detach().float().cpu()
        steps, x = is_step(x), x.nan_to_num(nan=0.0) if _is_padding(x) else x
        if not x.isfinite().all():
            raise ValueError("MiniRocket cannot take series with missing or infinite values: fill them first")
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        shape = (len(self.dilations), _KERNELS)
        n_channels = (2 ** (torch.rand(shape, generator=generator) * math.log2(min(self.c_in, _TAPS) + 1))).long().clamp(max=self.c_in)
        rank = torch.rand((*shape, self.c_in), generator=generator).argsort(-1).argsort(-1)
        channels = (rank < n_channels.unsqueeze(-1)).float()
        golden = (math.sqrt(5) + 1) / 2
        quantiles = torch.arange(1, self.n_out + 1, dtype=torch.float64).mul(golden).remainder(1).float()
        kernels, biases, start = self.kernels.cpu(), [], 0
        for i, (dilation, n) in enumerate(zip(self.dilations, self.n_biases, strict=True)):
            chosen = torch.randint(len(x), (_KERNELS,), generator=generator)
            summed = torch.einsum("kc,kct->kt", channels[i], x[chosen])
            rounding = summed.abs().amax(1) * kernels.abs().sum(1) * _ROUNDING
            seen = nn.functional.pad(summed, (4 * dilation, 4 * dilation)).unfold(1, 8 * dilation + 1, 1)[..., ::dilation]
            values = torch.einsum("kj,ktj->kt", kernels, seen)
            for of_group, padded in _groups(i):
                own = _steps_of(steps[chosen[of_group]], dilation, padded)
                q = quantiles[start:start + len(own) * n].view(len(own), n)
                biases.append((_quantiles(values[of_group], own, q).T + rounding[of_group]).flatten())
                start += len(own) * n
        self.channels.copy_(channels)
        self.biases.copy_(torch.cat(biases))
        return self

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features.

        Args:
            x: series (B, c_in, T), shorter ones padded with NaN.

        Returns:
            float32 (B, n_out), in the order dilation, kernels with zeros beyond the ends, kernels without, bias.

        Raises:
            RuntimeError: `fit` was not called.
        """
        self._check(x)
        exporting = torch.compiler.is_compiling()
        if not exporting and bool(self.biases[0].isnan()):
            raise RuntimeError("MiniRocketFeatures has no biases yet: call fit(training series) first, or make a learner with "
                               "mini_rocket_learner(dls)")
        with torch.autocast(x.device.type, enabled=False):
            steps = is_step(x)
            x = torch.where(steps.unsqueeze(1), x.float(), torch.zeros((), device=x.device))
            if exporting:
                out = self._features(x, steps, 0)
            elif x.device.type == "cpu":
                out = self._on_cpu(x, steps)
            else:
                at_once, shortest = max(1, _VALUES_GPU // (_KERNELS * x.shape[2])), x.shape[2] if bool(steps.all()) else 0
                parts = zip(x.split(at_once), steps.split(at_once), strict=True)
                out = torch.cat([self._features(some, own, shortest) for some, own in parts])
            return out.mul_(steps.sum(1, keepdim=True) / self.seq_len) if self.padded else out

    def _on_cpu(self, x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """The features of series (B, C, T) in parts. As many threads as torch uses take them: they wait for each other once, not after each
        of thousands of short operations. Series are sorted by length, so that parts have little padding."""
        (n, _, n_steps), threads = x.shape, min(torch.get_num_threads(), math.ceil(len(x) / 8))
        ends, order = torch.where(steps, torch.arange(1, n_steps + 1), 0).amax(1).sort(descending=True, stable=True)
        most, part_costs = min(_SERIES, _CONVOLUTIONS // min(n_steps, _MOST), math.ceil(n / threads)), _PART * len(self.dilations)
        longest = ends.clamp(min=1).tolist()
        at_once = min(range(8, most + 8, 8), key=lambda size: sum(size * i + part_costs for i in longest[::size]))
        order = torch.cat([order, order[-1:].expand(-n % 8)])       # the counts of eight series are added as one number
        x, steps, plan, out = x[order], steps[order], self._plan(), x.new_empty(len(order), self.n_out)
        parts = iter(range(0, n, at_once))

        def work() -> None:
            buffers = [torch.empty(0), torch.empty(0, dtype=torch.bool)]
            for i in parts:
                part, done = slice(i, i + at_once), 0
                own, shares = steps[part, :longest[i]], x.new_empty(self.n_out, len(x[part]))
                for weights, seen, biases, size in self._seen(x[part, :, :longest[i]], own, int(own.sum(1).min()), plan):
                    share = shares[done:done + biases.numel()]
                    done += len(share)
                    for first in range(0, seen.shape[1], _MOST):
                        counts = _count_above(weights, seen[:, first:first + _MOST], biases, buffers)
                        (share.view_as(counts).add_ if first else share.view_as(counts).copy_)(counts)
                    share.div_(size)
                out[part] = shares.T

        _in_threads(work, min(threads, math.ceil(n / at_once)))
        return out[:n] if bool(steps.all()) else out[order[:n].argsort()]

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 3 or x.shape[1] != self.c_in:
            raise ValueError(f"MiniRocket takes series (samples, {self.c_in} channels, steps); received {describe(x)}")

    def _plan(self) -> list[tuple[int, bool, torch.Tensor, torch.Tensor]]:
        """For each dilation and half of the kernels: the dilation, whether they see zeros beyond the ends, weights (K, 9 * C + 1), of which
        the last is that of steps to leave out, and biases (n, K)."""
        plan, start = [], 0
        all_weights = nn.functional.pad((self.kernels.unsqueeze(2) * self.channels.unsqueeze(2)).flatten(2), (0, 1), value=-1e38)
        for i, (dilation, n) in enumerate(zip(self.dilations, self.n_biases, strict=True)):
            for group, padded in _groups(i):
                weights = all_weights[i, group]
                plan.append((dilation, padded, weights, self.biases[start:start + n * len(weights)].view(n, -1)))
                start += n * len(weights)
        return plan

    def _seen(self, x: torch.Tensor, steps: torch.Tensor, shortest: int, plan: list[tuple[int, bool, torch.Tensor, torch.Tensor]],
              ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | int]]:
        """What the kernels see of series (B, C, T) of `shortest` steps or more: for each dilation and half of the kernels weights (K, V),
        values (V, T', B), biases (n, K) and how many steps count, of all or of each series (B,)."""
        beyond, before = 4 * self.dilations[-1], 0
        extended, n_steps, seen = nn.functional.pad(x.permute(1, 2, 0), (0, 0, beyond, beyond)), x.shape[2], x
        for dilation, padded, weights, biases in plan:
            reach = 4 * dilation
            if dilation != before:
                starts = range(beyond - reach, beyond + reach + 1, dilation)
                seen = torch.cat([*(extended[:, s:s + n_steps] for s in starts), torch.zeros_like(extended[:1, :n_steps])])
                before = dilation
            within = slice(None) if padded or shortest <= 2 * reach else slice(reach, -reach)
            if shortest < n_steps or not (padded or within.start):
                own = _steps_of(steps, dilation, padded)
                seen[-1] = (~own).T
                yield weights, seen[:, within], biases, own.sum(1).clamp(min=1)
            else:
                yield weights[:, :-1], seen[:-1, within], biases, n_steps - 2 * (within.start or 0)

    def _features(self, x: torch.Tensor, steps: torch.Tensor, shortest: int) -> torch.Tensor:
        "The features of series (B, C, T) of `shortest` steps or more in few large operations of torch: for exporting, and off the CPU."
        shares = []
        for weights, seen, biases, size in self._seen(x, steps, shortest, self._plan()):
            values = torch.mm(weights, seen.flatten(1)).unflatten(1, seen.shape[1:])
            at_once = len(biases) if torch.compiler.is_compiling() else max(1, _VALUES_GPU // values.numel())
            counts = torch.cat([(values > some[..., None, None]).sum(2, dtype=torch.float32) for some in biases.split(at_once)])
            shares.append((counts / size).flatten(0, 1))
        return torch.cat(shares).T


class MiniRocket(nn.Module):
    """`MiniRocketFeatures` and a linear head, which `mini_rocket_learner` fits in closed form: float (B, c_in, T) -> (B, c_out).

    Args:
        c_in: channels.
        c_out: outputs.
        seq_len: steps of the longest training series, at least 9.
        n_features: about how many features.
        max_dilations: for each kernel, at most.
        padded: whether series differ in length, see `MiniRocketFeatures`.
    """

    masks = True
    #: series come in their own units: the biases are values of the training series
    scales_inputs = True
    #: it is fitted at once, not trained in steps
    closed_form = True

    def __init__(self, c_in: int, c_out: int, seq_len: int, n_features: int = 10_000, max_dilations: int = 32,
                 padded: bool = False):
        super().__init__()
        self.c_in, self.c_out, self.seq_len, self.n_features = c_in, c_out, seq_len, n_features
        self.max_dilations, self.padded = max_dilations, padded
        self.features = MiniRocketFeatures(c_in, seq_len, n_features, max_dilations, padded)
        self.head = nn.Linear(self.features.n_out, c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        "Series (B, c_in, T), shorter ones padded with NaN -> (B, c_out)."
        return self.head(self.features(x))


def _dilations(seq_len: int, per_kernel: int, most: int) -> tuple[list[int], list[int]]:
    "Dilations from 1 to where a kernel spans the series, evenly on a logarithmic scale, and the biases of a kernel for each (section 3.1)."
    n, largest = min(per_kernel, most), math.log2((seq_len - 1) / (_TAPS - 1))
    times = Counter(int(2 ** (largest * i / max(n - 1, 1)) + 1e-9) for i in range(n))
    n_biases = [times[d] * per_kernel // n for d in sorted(times)]
    rest = per_kernel - sum(n_biases)
    return sorted(times), [b + (i < rest) for i, b in enumerate(n_biases)]


def _groups(i: int) -> list[tuple[slice, bool]]:
    "The kernels that see zeros beyond the ends with the dilation of index `i`, and those that do not: they alternate."
    return [(slice(i % 2, None, 2), True), (slice(1 - i % 2, None, 2), False)]


def _is_padding(x: torch.Tensor) -> bool:
    "Whether all NaN of series (B, C, T) are padding."
    missing = x.isnan()
    return bool((missing.any(1) == missing.all(1)).all())


def _steps_of(steps: torch.Tensor, dilation: int, padded: bool) -> torch.Tensor:
    "Of the steps (B, T) of series those whose convolutions count: all, or those where the kernel lies within, where there are any."
    if padded:
        return steps
    side = torch.zeros_like(steps)[:, :1].expand(-1, 4 * dilation)
    inside = torch.cat([steps, side], 1)[:, 4 * dilation:] & torch.cat([side, steps], 1)[:, :steps.shape[1]]
    return inside | (steps & ~inside.any(1, keepdim=True))                  # onnxruntime has no torch.where of booleans


def _quantiles(values: torch.Tensor, own: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    "Quantiles (K, n) of those of the values (K, T) that `own` names, of each row for itself, linear between two."
    ordered = values.masked_fill(~own, math.inf).sort(1).values
    place = q * (own.sum(1, keepdim=True) - 1)
    low, high = (ordered.gather(1, i.long()) for i in (place.floor(), place.ceil()))
    return torch.lerp(low, high, place.frac())


def _count_above(weights: torch.Tensor, seen: torch.Tensor, biases: torch.Tensor, buffers: list[torch.Tensor]) -> torch.Tensor:
    """How many of at most 255 convolutions of weights (K, V) and values (V, T, B) exceed each bias (n, K), on a CPU: uint8 (n, K, B).

    NumPy writes comparisons as bytes, which torch does ten times as slowly; torch adds the bytes of eight series as one number of 64 bits,
    and of several steps side by side. `buffers`, for convolutions and comparisons, are made larger where they are too small.
    """
    (n, k), (_, n_steps, b) = biases.shape, seen.shape
    side_by_side = next(s for s in (1, 2, 4, 8, 16, 32) if s * b >= _WIDE and s * b % 64 == 0)
    n_rows = math.ceil(n_steps / side_by_side)
    of_kernel = n * n_rows * side_by_side * b
    at_once = min(max(1, _VALUES // of_kernel), k)
    for i, size in enumerate((k * n_steps * b, at_once * of_kernel)):
        if len(buffers[i]) < size:
            buffers[i] = buffers[i].new_empty(size)
    values = torch.mm(weights, seen.flatten(1), out=buffers[0][:k * n_steps * b].view(k, -1))
    above = buffers[1][:at_once * of_kernel].view(at_once, n, -1)
    above[..., n_steps * b:] = False
    whole = above.view(torch.int64).view(at_once * n, n_rows, -1)
    counts = torch.empty(k * n, side_by_side * b // 8, dtype=torch.int64)
    compared, values_np, biases_np = above[..., :n_steps * b].numpy(), values.numpy()[:, None], biases.T.numpy()[..., None]
    for i in range(0, k, at_once):
        m = min(at_once, k - i)
        np.greater(values_np[i:i + m], biases_np[i:i + m], out=compared[:m])
        torch.sum(whole[:m * n], 1, out=counts[i * n:(i + m) * n])
    while counts.shape[1] > b // 8:
        one, other = counts.chunk(2, 1)
        counts = one + other
    return counts.view(torch.uint8).view(k, n, b).transpose(0, 1)


def _in_threads(work: Callable[[], None], n: int) -> None:
    "Call `work` in n threads at once, whose operations use one thread each, and wait for all."
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    if threads == 1:
        work()
        return

    def alone() -> None:
        torch.set_num_threads(1)                # of this thread, and of those that start after it
        with torch.inference_mode(inference), torch.no_grad():
            work()

    try:
        with ThreadPoolExecutor(n) as pool:
            for done in [pool.submit(alone) for _ in range(n)]:
                done.result()
    finally:
        torch.set_num_threads(threads)
