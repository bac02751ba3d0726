"""What the random changes of series have in common: parameters for each series, drawn on the CPU, and no wait for the device.

A batch is (B, C, T); steps after the end of a series are NaN (`timeseries.padding`) and stay so: a series is changed within its own length.
Therefore parameters are drawn as shares of the length, and only the device, which knows the lengths, makes steps of them.
"""
from typing import Any

import numpy as np
import torch

from ...core.messages import describe
from ...core.seeds import draw_seed, item_rng
from ...data.transforms import RandTransform, is_sample
from ..tensors import TensorForecast, TensorSeries

__all__ = ["Drawn", "SeriesTransform", "series_of"]

#: Parameters by name: values (B, ...), and what changes nothing.
Drawn = dict[str, tuple[np.ndarray, Any]]


def series_of(sample: Any) -> list[TensorSeries]:
    "The series of a batch `sample`."
    return [o for o in (sample if is_sample(sample) else (sample,)) if isinstance(o, TensorSeries)]


class SeriesTransform(RandTransform):
    """Base of the random changes of a batch of series (B, C, T), which are made in `batch_tfms`, for training batches only.

    Override `parameters` to draw, and `change` to use what was drawn. All series of a sample get the same.

    Args:
        p: probability for each series.
    """
    order = 100                         # after those that standardise
    types = (TensorSeries,)
    keeps_forecasts: bool = False       #: whether what comes after a series is the same after the changed one
    where_idle = "They change series (TSDataLoaders, TSBlock): for images write batch_tfms=aug_transforms(), else leave them out"

    def __init__(self, p: float = 0.5):
        super().__init__(p)

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        """Draw the parameters of all series: override this.

        Args:
            x: the batch (B, C, T), for its shape; its values are on the device. Of several series in a sample the one with most channels:
                of parameters for each channel the others use the first ones.
            rng: the generator of the batch.
        """
        raise NotImplementedError

    def change(self, x: torch.Tensor, *args: Any, **params: Any) -> torch.Tensor:
        """Change a batch, without writing to it: override this.

        Args:
            x: series (B, C, T).
            *args: none.
            **params: what was drawn, tensors (B, ...) on the device of `x`.
        """
        raise NotImplementedError

    def encodes(self, x: Any, *args: Any, **params: Any) -> TensorSeries:
        "Change a batch of series."
        return self.change(x.as_subclass(torch.Tensor), **params).as_subclass(type(x))

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Draw and encode the batch `x`."
        if self.skips(split_idx):
            return x
        if type(x) is torch.Tensor and x.ndim == 3:                  # called by hand on a plain batch of series
            return self(TensorSeries(x), split_idx, rng).as_subclass(torch.Tensor)
        series = series_of(x)
        if not series and rng is None and split_idx is None:
            self._note_plain(x)
        for one in series:
            if one.ndim != 3:
                raise TypeError(f"{type(self).__name__} works on batches of series (B,C,T); received one, {describe(one)}. Put it into "
                                "batch_tfms (after_batch) instead of item_tfms; by hand, pass series[None]")
        if series and not self.keeps_forecasts and isinstance(x, tuple) and any(isinstance(o, TensorForecast) for o in x):
            raise ValueError(f"{self!r} changes the steps of a window, but what is to be forecast stays as it was, and does not follow "
                             "from them. Write batch_tfms=[Jitter(), Cutout()], which keep forecasts right")
        params = self.draw(x, item_rng(draw_seed()) if rng is None else rng, split_idx) if series else None
        return x if params is None else self.map_parts(x, lambda o: self.encodes(o, **params))

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "The parameters of the series of `sample`, tensors (B, ...) on their device; None where no series changes."
        x = max(series_of(sample), key=lambda o: o.shape[1])
        n = len(x)
        applied = rng.random(n) < self.p
        if not applied.any():
            return None
        made = {name: np.where(applied.reshape(n, *[1] * (v.ndim - 1)), v, neutral)
                for name, (v, neutral) in self.parameters(x, rng).items()}
        # one small copy to the device for all parameters
        columns = [v.reshape(n, -1).astype(np.float32) for v in made.values()]
        parts = torch.from_numpy(np.concatenate(columns, 1)).to(x.device, non_blocking=True).split([c.shape[1] for c in columns], 1)
        return {name: part.reshape(v.shape) for (name, v), part in zip(made.items(), parts, strict=True)}
