"""MiniRocket: about 10,000 features of a series, made by fixed convolutions, and a linear head.

Dempster, Schmidt, Webb (2021), "MiniRocket: a very fast (almost) deterministic transform for time series classification",
https://arxiv.org/abs/2012.08791, section 3: 84 kernels of nine weights, three of them 2 and six -1, up to 32 dilations, and as features the
share of steps where a convolution exceeds a bias (PPV). Biases are quantiles of convolutions of training series; nothing else is learned.
"""
import math
from collections import Counter
from itertools import combinations

import torch
from torch import nn

from ...core.messages import describe
from ..padding import is_step
from .mini_rocket_kernel import compiled_features

_TAPS = 9                               # weights of a kernel
_THREES = list(combinations(range(_TAPS), 3))        # where a kernel has its weights 2
_KERNELS = len(_THREES)
#: Taken at once: series on a CPU, and comparisons, there few enough for its cache.
_SERIES, _VALUES, _VALUES_GPU = 64, 100_000, 2**26
#: Biases are larger than the quantiles by this share of the largest convolution there could be: a level series has many that are equal, and
#: where a bias is one of them, rounding would decide.
_ROUNDING = 2**-20


class MiniRocketFeatures(nn.Module):
    """The features of MiniRocket: `fit` takes the biases from training series, `forward` computes.

    A feature is the share of the steps of a series where one convolution exceeds one bias, a number in 0..1. Of each dilation half the
    kernels see zeros beyond the ends of the series, the others stay within it. Padding (NaN in all channels) is left out, so a series gives
    the same features in a padded batch as alone; one too short for a dilation is taken with zeros beyond its ends. With several channels
    each pair of kernel and dilation sums a random choice of them, at most nine, small choices more often. No gradient reaches the series.
    On a CPU numba compiles it where it is installed: `pip install "minifast[timeseries]"`.

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
        kernels = [[2.0 if j in three else -1.0 for j in range(_TAPS)] for three in _THREES]
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
            ValueError: values are missing, or there are no series.
        """
        self._check(x)
        if not len(x):
            raise ValueError("MiniRocketFeatures.fit takes its biases from training series, and there are none")
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
        if not exporting and not len(x):
            return x.new_zeros(0, self.n_out, dtype=torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            if not exporting and x.device.type == "cpu":
                out = compiled_features(x.float(), _THREES, self.channels, self.dilations, self.n_biases, self.biases,
                                        self.seq_len if self.padded else None)
                if out is not None:
                    return out.T
            steps = is_step(x)
            x = torch.where(steps.unsqueeze(1), x.float(), torch.zeros((), device=x.device))
            out = self._features(x, steps, 0) if exporting else self._in_parts(x, steps)
            return (out.mul_(steps.sum(1) / self.seq_len) if self.padded else out).T

    def _in_parts(self, x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        "The features (n_out, B) of series (B, C, T), some at once: those of like length, so that they have little padding."
        ends = torch.where(steps, torch.arange(1, x.shape[2] + 1, device=x.device), 0).amax(1)
        at_ends = torch.equal(ends, steps.sum(1))
        ends, order = ends.sort(descending=True, stable=True)
        x, steps, parts = x[order], steps[order], []
        at_once = _SERIES if x.device.type == "cpu" else max(1, _VALUES_GPU // (_KERNELS * x.shape[2]))
        for some, own, until in zip(x.split(at_once), steps.split(at_once), ends.split(at_once), strict=True):
            n = max(1, int(until[0]))
            parts.append(self._features(some[..., :n], own[:, :n], int(until[-1]) if at_ends else 0))
        return torch.cat(parts, 1).index_select(1, order.argsort())

    def _check(self, x: torch.Tensor) -> None:
        if not isinstance(x, torch.Tensor) or x.ndim != 3 or x.shape[1] != self.c_in or not x.shape[2]:
            hint = ": write torch.from_numpy(x)" if hasattr(x, "__array__") and not isinstance(x, torch.Tensor) else ""
            raise ValueError(f"MiniRocket takes series (samples, {self.c_in} channels, steps); received {describe(x)}{hint}")

    def _features(self, x: torch.Tensor, steps: torch.Tensor, shortest: int) -> torch.Tensor:
        "The features (n_out, B) of series (B, C, T) of `shortest` steps or more, by operations of torch."
        beyond, n_steps, shares, start = 4 * self.dilations[-1], x.shape[2], [], 0
        extended = nn.functional.pad(x.permute(1, 2, 0), (0, 0, beyond, beyond))
        # the last weight, and the last row of what is seen, leave steps out
        weights = nn.functional.pad((self.kernels.unsqueeze(2) * self.channels.unsqueeze(2)).flatten(2), (0, 1), value=-1e38)
        for i, (dilation, n) in enumerate(zip(self.dilations, self.n_biases, strict=True)):
            reach = 4 * dilation
            starts = range(beyond - reach, beyond + reach + 1, dilation)
            seen = torch.cat([*(extended[:, s:s + n_steps] for s in starts), torch.zeros_like(extended[:1, :n_steps])])
            for group, padded in _groups(i):
                own = _steps_of(steps, dilation, padded)
                seen[-1] = (~own).T
                inside = seen if padded or shortest <= 2 * reach else seen[:, reach:-reach]
                values = torch.mm(weights[i, group], inside.flatten(1)).unflatten(1, inside.shape[1:])
                biases = self.biases[start:start + n * len(values)].view(n, -1)
                shares.append((_count_above(values, biases) / own.sum(1).clamp(min=1)).flatten(0, 1))
                start += biases.numel()
        return torch.cat(shares)


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


def _count_above(values: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
    "How many of the convolutions (K, T, B) exceed each bias (n, K): float32 (n, K, B)."
    if torch.compiler.is_compiling():
        return (values > biases[..., None, None]).sum(2, dtype=torch.float32)
    if values.device.type != "cpu":
        at_once = max(1, _VALUES_GPU // values.numel())
        return torch.cat([(values > some[..., None, None]).sum(2, dtype=torch.float32) for some in biases.split(at_once)])
    counts = values.new_empty(*biases.shape, values.shape[2])
    at_once = max(1, _VALUES // values[0].numel())
    buffer = torch.empty_like(values[:at_once])     # of numbers: a CPU writes and adds them faster than bytes
    for first in range(0, len(values), at_once):
        some = slice(first, first + at_once)
        above = buffer[:len(values[some])]
        for bias, found in zip(biases[:, some, None, None], counts[:, some], strict=True):
            torch.gt(values[some], bias, out=above)
            torch.sum(above, 1, out=found)
    return counts
