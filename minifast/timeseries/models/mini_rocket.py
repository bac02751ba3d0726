"""MiniRocket: about 10,000 features of a series, made by fixed convolutions, and a linear head.

Dempster, Schmidt, Webb (2021), "MiniRocket: a very fast (almost) deterministic transform for time series classification",
https://arxiv.org/abs/2012.08791, section 3: 84 kernels of nine weights, three of them 2 and six -1, up to 32 dilations, and as features the
share of steps where a convolution exceeds a bias (PPV). Biases are quantiles of convolutions of training series; nothing else is learned.
"""
import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import torch
from torch import nn

from ...core.messages import describe
from ..padding import is_step

_TAPS = 9                               # weights of a kernel
_KERNELS = math.comb(_TAPS, 3)
#: On a CPU, for each thread: steps of all series taken at once, and comparisons, which stay in its cache. On a GPU: comparisons at once.
_STEPS, _VALUES, _VALUES_GPU = 4800, 450_000, 2**26
#: Biases of a kernel are spread over this range of int16, whose largest value is also the most it can count.
_RANGE, _MOST = 32_000.0, 2**15 - 1


class MiniRocketFeatures(nn.Module):
    """The features of MiniRocket: `fit` takes the biases from training series, `forward` computes.

    A feature is the share of the steps of a series where one convolution exceeds one bias, a number in 0..1. Of each dilation half the
    kernels see zeros beyond the ends of the series, the others stay within it. Padding (NaN in all channels) is left out, so a series gives
    the same features in a padded batch as alone; one too short for a dilation is taken with zeros beyond its ends. With several channels
    each pair of kernel and dilation sums a random choice of them, at most nine, small choices more often. No gradient reaches the series.

    Convolutions and biases are compared as whole numbers of 16 bits, 64,000 between the least and the largest bias of a kernel.

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
            seen = nn.functional.pad(summed, (4 * dilation, 4 * dilation)).unfold(1, 8 * dilation + 1, 1)[..., ::dilation]
            values = torch.einsum("kj,ktj->kt", kernels, seen)
            for of_group, padded in _groups(i):
                own = _steps_of(steps[chosen[of_group]], dilation, padded)
                q = quantiles[start:start + len(own) * n].view(len(own), n)
                biases.append(_quantiles(values[of_group], own, q).T.flatten())
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
                out = self._features(x, steps, 0, self._plan())
            elif x.device.type == "cpu":
                out = self._on_cpu(x, steps)
            else:
                plan, at_once = self._plan(), max(1, _VALUES_GPU // (_KERNELS * x.shape[2]))
                shortest = x.shape[2] if bool(steps.all()) else 0
                parts = zip(x.split(at_once), steps.split(at_once), strict=True)
                out = torch.cat([self._features(some, own, shortest, plan) for some, own in parts])
            return out.mul_(steps.sum(1, keepdim=True) / self.seq_len) if self.padded else out

    def _on_cpu(self, x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """The features of series (B, C, T) in parts that stay in the cache of a core. As many threads as torch uses take a part each: they
        wait for each other once, not after each of thousands of short operations. Series are sorted by length, so that parts have little
        padding."""
        (n, _, n_steps), threads = x.shape, torch.get_num_threads()
        ends, order = torch.where(steps, torch.arange(1, n_steps + 1), 0).amax(1).sort(stable=True)
        n_parts = max(math.ceil(n * n_steps / _STEPS), min(threads, n // 8), 1)
        # An even number of series, for four comparisons are added as one; of many 16, whose comparisons fill whole lines of the cache.
        at_once = math.ceil(n / n_parts)
        at_once += -at_once % (16 if at_once > 16 else 2)
        order = nn.functional.pad(order[None], (0, n % 2), mode="replicate")[0] if n % 2 else order
        x, steps, plan, out = x[order], steps[order], self._plan(at_once), x.new_empty(len(order), self.n_out)
        parts = iter([slice(i, i + at_once) for i in range(0, n, at_once)])

        def work() -> None:
            n_values = _KERNELS // 2 * at_once * n_steps
            buffers = x.new_empty(n_values), *(x.new_empty(i, dtype=torch.int16) for i in (n_values, max(n_values, _VALUES)))
            for part in parts:
                longest, shortest = max(1, int(ends[part][-1])), int(steps[part].sum(1).min())
                self._features(x[part, :, :longest], steps[part, :longest], shortest, plan, buffers, out[part])

        _in_threads(work, min(threads, n_parts))
        return out[:n] if bool(steps.all()) else out[order[:n].argsort()]

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 3 or x.shape[1] != self.c_in:
            raise ValueError(f"MiniRocket takes series (samples, {self.c_in} channels, steps); received {describe(x)}")

    def _plan(self, times: int = 1) -> list[tuple[int, bool, torch.Tensor, torch.Tensor]]:
        """For each dilation and half of the kernels: the dilation, whether they see zeros beyond the ends, weights (9 * C + 2, K), which
        make convolutions comparable with the biases, int16 (n, times * K). The last weights are those of ones and of steps to leave out."""
        plan, start = [], 0
        for i, (dilation, n) in enumerate(zip(self.dilations, self.n_biases, strict=True)):
            for group, padded in _groups(i):
                kernels = self.kernels[group]
                biases = self.biases[start:start + n * len(kernels)].view(n, -1)
                least, most = biases.aminmax(dim=0)
                span = torch.where(most > least, most - least, torch.where(least != 0, least.abs(), torch.ones_like(least)))
                scale, middle = 2 * _RANGE / span, least + span / 2
                weights = (kernels.unsqueeze(2) * self.channels[i, group].unsqueeze(1)).flatten(1).T
                weights = torch.cat([torch.cat([weights, -middle.unsqueeze(0)]) * scale, torch.full_like(scale, -1e38).unsqueeze(0)])
                plan.append((dilation, padded, weights, ((biases - middle) * scale).short().repeat(1, times)))
                start += n * len(kernels)
        return plan

    def _features(self, x: torch.Tensor, steps: torch.Tensor, shortest: int, plan: list[tuple[int, bool, torch.Tensor, torch.Tensor]],
                  buffers: tuple[torch.Tensor, ...] | None = None, out: torch.Tensor | None = None) -> torch.Tensor:
        """The features of series (B, C, T) of `shortest` steps or more; on a CPU `buffers` for convolutions, the same as int16, and
        comparisons."""
        shares, beyond, first = [], 4 * self.dilations[-1], 0
        extended, (n, _, n_steps), seen, before = nn.functional.pad(x.permute(1, 2, 0), (0, 0, beyond, beyond)), x.shape, x, 0
        one = torch.ones_like(extended[:1, :n_steps])
        for dilation, padded, weights, biases in plan:
            reach = 4 * dilation
            if dilation != before:
                starts = range(beyond - reach, beyond + reach + 1, dilation)
                seen = torch.cat([*(extended[:, s:s + n_steps] for s in starts), one, torch.zeros_like(one)])           # (9 * C + 2, T, B)
                before = dilation
            within = slice(None) if padded or shortest <= 2 * reach else slice(reach, -reach)
            size: torch.Tensor | int = n_steps - 2 * (within.start or 0)
            if shortest < n_steps or not (padded or within.start):
                own = _steps_of(steps, dilation, padded)
                seen[-1], size = (~own).T, own.sum(1).clamp(min=1)[:, None, None]
            inside = seen[:, within]
            shape = inside.shape[1], n, weights.shape[1]
            into = None if buffers is None else buffers[0][:math.prod(shape)].view(-1, shape[2])
            values = torch.mm(inside.flatten(1).T, weights, out=into).view(shape)                                       # (T', B, K)
            counts = _count_above(values, biases, buffers).transpose(0, 1)                                              # (B, n, K)
            if out is None:
                shares.append((counts / size).flatten(1))
            else:
                torch.div(counts, size, out=out[:, first:first + counts[0].numel()].view(counts.shape))
                first += counts[0].numel()
        return torch.cat(shares, 1) if out is None else out


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


def _count_above(values: torch.Tensor, biases: torch.Tensor, buffers: tuple[torch.Tensor, ...] | None) -> torch.Tensor:
    """How many of the values (T, B, K) of each column exceed its biases, int16 (n, K), as whole numbers: float (n, B, K).

    On a CPU biases are repeated for all series, (n, B * K): comparisons are written as 0 and 1 in int16, to a buffer that stays in the
    cache, and four of them are added as one int64, for torch has no counting in one pass. On float32 it takes a third longer, on booleans
    several times as long; NumPy's comparisons of floats lose on short rows what they gain on long ones.
    """
    values = values.clamp_(-_MOST, _MOST)
    if buffers is None:
        at_once = len(biases) if torch.compiler.is_compiling() else max(1, _VALUES_GPU // values.numel())
        whole, biases = values.short(), biases[:, None, None]
        return torch.cat([(whole > some).sum(1, dtype=torch.float32) for some in biases.split(at_once)])
    whole, biases = buffers[1][:values.numel()].view(values.shape).copy_(values).flatten(1), biases[:, None, :values[0].numel()]
    counts, total = torch.empty(len(biases), whole.shape[1] // 4, dtype=torch.int64), torch.zeros(())
    for part in whole.split(_MOST):
        at_once = min(max(1, len(buffers[2]) // part.numel()), len(biases))
        above = buffers[2][:at_once * part.numel()].view(-1, *part.shape)
        fours = above.view(torch.int64)
        for i in range(0, len(biases), at_once):
            n = min(at_once, len(biases) - i)
            torch.gt(part, biases[i:i + n], out=above[:n])
            torch.sum(fours[:n], 1, out=counts[i:i + n])
        total = total + counts.view(torch.int16)
    return total.view(len(biases), *values.shape[1:])


def _in_threads(work: Callable[[], None], n: int) -> None:
    "Call `work` in n threads at once, whose operations use one thread each, and wait for all."
    if n == 1:
        return work()
    threads = torch.get_num_threads()

    def alone() -> None:
        torch.set_num_threads(1)                # of this thread, and of those that start after it
        with torch.no_grad():
            work()

    try:
        with ThreadPoolExecutor(n) as pool:
            for done in [pool.submit(alone) for _ in range(n)]:
                done.result()
    finally:
        torch.set_num_threads(threads)
