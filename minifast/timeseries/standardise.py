"""`TSStandardize`, `TSNormalize`: values of series on one scale, by statistics of the training set or of each series."""
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..core.arguments import check_arguments, is_number
from ..core.messages import describe, listing, plural
from ..data.transforms import Transform
from ..nn.layers import Scaling
from .tensors import TensorSeries

#: Axes of a batch over which a statistic is taken, by (by_sample, by_var).
_AXES = {(False, True): (0, 2), (False, False): (0, 1, 2), (True, True): (2,), (True, False): (1, 2)}


class _Scaled(Transform):
    """(x - shift) / scale, with one of each for the training set, or measured on each series. Padding stays NaN."""

    order = 90
    types = (TensorSeries,)
    only_one = "standardise"

    def __init__(self, by_sample: bool, by_var: bool, exc_vars: Sequence[int], given: tuple[Any, Any], names: tuple[str, str]):
        super().__init__()
        self.by_sample, self.by_var = by_sample, by_var
        self.exc_vars = [exc_vars] if isinstance(exc_vars, int) else list(exc_vars)
        if (given[0] is None) != (given[1] is None):
            raise ValueError(f"{type(self).__name__} takes {names[0]} and {names[1]} together or neither; received {names[0]}="
                             f"{describe(given[0])}, {names[1]}={describe(given[1])}")
        if by_sample and given[0] is not None:
            raise ValueError(f"{type(self).__name__}(by_sample=True) measures each series by itself: leave out {names[0]} and {names[1]}")
        self._learnt: tuple[torch.Tensor, torch.Tensor] | None = None
        if given[0] is not None:
            self._learnt = _per_channel(given[0]), _per_channel(given[1])

    def setups(self, items: Iterable) -> None:
        "Measure the training series, unless each series is measured by itself or the statistics were given."
        if not self.by_sample and self._learnt is None:
            self._learnt = self._measured(items)

    def _measured(self, batches):
        raise NotImplementedError

    def _shift_scale(self, x):
        "What is subtracted, and by what is divided then, for the series `x` (B, C, T)."
        raise NotImplementedError

    def _without_excluded(self, x, shift, scale):
        "Shift and scale as they fit `x`, where the channels left out stay as they are."
        if self.exc_vars:
            n = x.shape[-2]
            beyond = [c for c in self.exc_vars if not -n <= c < n]
            if beyond:
                raise ValueError(f"{type(self).__name__}(exc_vars={self.exc_vars}): series have {plural(n, 'channel')}, numbered from 0; "
                                 f"there is no {listing(beyond)}")
            shift, scale = (t.expand(t.shape[0], x.shape[-2], 1).clone() for t in (shift, scale))
            shift[:, self.exc_vars], scale[:, self.exc_vars] = 0.0, 1.0
        return shift, scale

    def _statistics_for(self, x):
        "The learnt statistics on the device of `x` (B, C, T), or (C, T)."
        if self._learnt is None:
            raise RuntimeError(f"{type(self).__name__}() has no statistics yet: they are measured on the training series when the "
                               "DataLoaders are made with batch_tfms=")
        if self._learnt[0].device != x.device:
            self._learnt = self._learnt[0].to(x.device), self._learnt[1].to(x.device)
        n = self._learnt[0].shape[1]
        if n not in (1, x.shape[-2]):
            raise ValueError(f"{type(self).__name__} has statistics of {plural(n, 'channel')}; received series (..., channels, steps) of "
                             f"the shape {tuple(x.shape)}")
        return self._learnt

    def encodes(self, x: TensorSeries) -> TensorSeries:
        "Subtract and divide."
        plain = x.as_subclass(torch.Tensor)
        shift, scale = self._shift_scale(plain)
        return self._clipped((plain - shift).div_(scale)).as_subclass(TensorSeries)  # type: ignore[return-value]

    def _clipped(self, x):
        return x

    def decodes(self, x: TensorSeries) -> TensorSeries:
        "Undo `encodes`; series that were each measured by themselves stay on the scale of the model."
        if self.by_sample:
            return x
        plain = x.as_subclass(torch.Tensor)
        shift, scale = self._shift_scale(plain)
        if plain.ndim == 2:
            shift, scale = shift[0], scale[0]
        return plain.mul(scale).add_(shift).as_subclass(TensorSeries)  # type: ignore[return-value]

    def scaling(self, x: Any) -> Scaling | None:
        "`encodes` as a layer, for series."
        if self.by_sample or not isinstance(x, TensorSeries):
            return None
        return Scaling(*(t.clone() for t in self._shift_scale(x.as_subclass(torch.Tensor))))

    def _shown(self, *names):
        if self.by_sample or self._learnt is None:
            return f"by_sample={self.by_sample}, by_var={self.by_var}"
        return ", ".join(f"{n}={[round(v, 3) for v in t.flatten().tolist()][:8]}" for n, t in zip(names, self._learnt, strict=True))


class TSStandardize(_Scaled):
    """Series: subtract the mean and divide by the standard deviation. `decode` undoes it, but with `by_sample`.

    Without statistics they are measured on all training series when the loaders are made; padding does not count. A channel that is
    constant becomes 0, and one whose values are all 0 or 1, such as a mask of missing values, stays as it is.

    Args:
        by_sample: each series by its own mean and standard deviation; False: by those of the training set.
        by_var: each channel by its own; False: all channels together.
        mean: instead of measuring it: one number, or one per channel.
        std: the same for the standard deviation. Give both or neither.
        exc_vars: channels that are left as they are.

    Raises:
        ValueError: one of mean and std is missing, or a std is not above 0.
    """

    def __init__(self, by_sample: bool = False, by_var: bool = True, mean: Any = None, std: Any = None, exc_vars: Sequence[int] = ()):
        super().__init__(by_sample, by_var, exc_vars, (mean, std), ("mean", "std"))
        if std is not None and not (_per_channel(std) > 0).all():
            raise ValueError(f"TSStandardize(std={std}): every standard deviation must be above 0")

    @property
    def mean(self) -> torch.Tensor | None:
        "The means, (1, channels or 1, 1); None: not measured."
        return None if self._learnt is None else self._learnt[0]

    @property
    def std(self) -> torch.Tensor | None:
        "The standard deviations, likewise."
        return None if self._learnt is None else self._learnt[1]

    def _measured(self, batches):
        n = mean = squares = torch.zeros(1, 1, 1, dtype=torch.float64)
        binary: torch.Tensor | bool = True
        for x in _series_in(batches, self):
            there = ~x.isnan()
            axes = _AXES[False, self.by_var]
            count = there.sum(axes, keepdim=True).double()
            own = x.nan_to_num(0.0).sum(axes, keepdim=True) / count.clamp_min(1)
            off = torch.where(there, x - own, 0.0).square().sum(axes, keepdim=True)
            total = n + count
            delta, part = own - mean, count / total.clamp_min(1)
            mean, squares, n = mean + delta * part, squares + off + delta.square() * n * part, total
            binary = binary & ((x == 0) | (x == 1) | ~there).all(2, keepdim=True).all(0, keepdim=True)
        std = (squares / n.clamp_min(1)).sqrt()
        if self.by_var:
            mean, std = torch.where(binary, 0.0, mean), torch.where(binary, 1.0, std)
        return mean.float(), _or_one(std, mean, 1e-7).float()

    def _shift_scale(self, x):
        if not self.by_sample:
            return self._without_excluded(x, *self._statistics_for(x))
        axes = _AXES[True, self.by_var]
        mean = x.nanmean(axes, keepdim=True)
        std = (x - mean).square().nanmean(axes, keepdim=True).sqrt()
        return self._without_excluded(x, mean, _or_one(std, mean, 1e-6))

    def __repr__(self) -> str:
        return f"TSStandardize({self._shown('mean', 'std')})"


class TSNormalize(_Scaled):
    """Series: the smallest value to `range[0]` and the largest to `range[1]`. `decode` undoes it, but with `by_sample`.

    Without `min` and `max` they are measured on all training series when the loaders are made; padding does not count. A channel that is
    constant becomes `range[0]`.

    Args:
        min: instead of measuring it: one number, or one per channel.
        max: the same for the largest value. Give both or neither.
        range: (low, high).
        by_sample: each series by its own smallest and largest value; False: by those of the training set.
        by_var: each channel by its own; False: all channels together.
        exc_vars: channels that are left as they are.
        clip_values: values of other series that lie outside become the ends of the range.

    Raises:
        ValueError: one of min and max is missing, a max is not above its min, or the range has no width.
    """

    def __init__(self, min: Any = None, max: Any = None, range: tuple[float, float] = (-1, 1), by_sample: bool = False,
                 by_var: bool = True, exc_vars: Sequence[int] = (), clip_values: bool = True):
        super().__init__(by_sample, by_var, exc_vars, (min, max), ("min", "max"))
        pair = isinstance(range, (tuple, list)) and len(range) == 2 and all(map(is_number, range))
        check_arguments("TSNormalize", range=(range, pair and range[0] < range[1], "(low, high), low below high"))
        self.range, self.clip_values = (range[0], range[1]), clip_values
        if self._learnt is not None and not (self._learnt[1] > self._learnt[0]).all():
            raise ValueError(f"TSNormalize(min={min}, max={max}): each max must be above its min")

    @property
    def min(self) -> torch.Tensor | None:
        "The smallest values, (1, channels or 1, 1); None: not measured."
        return None if self._learnt is None else self._learnt[0]

    @property
    def max(self) -> torch.Tensor | None:
        "The largest values, likewise."
        return None if self._learnt is None else self._learnt[1]

    def _measured(self, batches):
        low, high = torch.tensor(torch.inf), torch.tensor(-torch.inf)
        for x in _series_in(batches, self):
            axes = _AXES[False, self.by_var]
            low = torch.minimum(low, x.nan_to_num(torch.inf).amin(axes, keepdim=True).float())
            high = torch.maximum(high, x.nan_to_num(-torch.inf).amax(axes, keepdim=True).float())
        return low, high

    def _shift_scale(self, x):
        if self.by_sample:
            axes = _AXES[True, self.by_var]
            low, high = x.nan_to_num(torch.inf).amin(axes, keepdim=True), x.nan_to_num(-torch.inf).amax(axes, keepdim=True)
        else:
            low, high = self._statistics_for(x)
        scale = torch.where(high > low, (high - low) / (self.range[1] - self.range[0]), torch.ones_like(low))
        return self._without_excluded(x, low - self.range[0] * scale, scale)

    def _clipped(self, x):
        if not self.clip_values or self.by_sample:
            return x
        if self.exc_vars:
            kept = x[:, self.exc_vars]
            x.clamp_(*self.range)[:, self.exc_vars] = kept
            return x
        return x.clamp_(*self.range)

    def __repr__(self) -> str:
        return f"TSNormalize({self._shown('min', 'max')}, range={self.range})"


def _per_channel(value: Any) -> torch.Tensor:
    "Statistics as they fit a batch, (1, channels or 1, 1)."
    t = torch.as_tensor(value, dtype=torch.float32)
    return t if t.ndim == 3 else t.reshape(1, -1, 1)


def _or_one(std: torch.Tensor, mean: torch.Tensor, precision: float) -> torch.Tensor:
    "Standard deviations, 1 where they are 0 up to the precision of floats: of constant channels."
    return torch.where(std > precision * mean.abs(), std, torch.ones_like(std))


def _series_in(batches: Iterable, tfm: _Scaled) -> Iterable[torch.Tensor]:
    "The series of batches, float64 on the CPU."
    found = False
    for batch in batches:
        for x in [o for o in (batch if isinstance(batch, (tuple, list)) else (batch,)) if isinstance(o, TensorSeries)][:1]:
            found = True
            yield x.as_subclass(torch.Tensor).cpu().double()
    if not found:
        raise ValueError(f"{type(tfm).__name__}() measures the series of the training batches, and found none there: make them with "
                         "TSBlock")
