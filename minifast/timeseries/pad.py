"""`PadSeries`: series of a batch brought to one length, with NaN at the end."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe
from ..data.transforms import ItemTransform
from .padding import is_step
from .tensors import TensorSeries


class PadSeries(ItemTransform):
    """Pads the series of a batch to the length of its longest.

    Args:
        max_len: of longer series the first `max_len` steps are kept; None: nothing is cut.
        multiple_of: the length of a batch is a multiple of this.
    """

    def __init__(self, max_len: int | None = None, multiple_of: int = 1):
        super().__init__()
        check_arguments("PadSeries",
                        max_len=(max_len, max_len is None or is_whole(max_len), "a whole number of steps, at least 1, or None"),
                        multiple_of=(multiple_of, is_whole(multiple_of), "a whole number of steps, at least 1"))
        self.max_len, self.multiple_of = max_len, multiple_of

    def n_steps(self, lengths: np.ndarray | Sequence[int]) -> int:
        """How many steps a batch has.

        Args:
            lengths: of its series.
        """
        longest = int(np.max(lengths))
        longest = longest if self.max_len is None else min(longest, self.max_len)
        return -(-longest // self.multiple_of) * self.multiple_of

    def encodes(self, samples: list) -> list:
        if not isinstance(samples, (list, tuple)) or not len(samples):
            raise TypeError(f"PadSeries takes the list of samples of a batch; received {describe(samples)}")
        if not isinstance(samples[0], tuple):
            return self._padded(samples)
        columns = zip(*samples, strict=True)
        return list(zip(*(self._padded(c) if isinstance(c[0], TensorSeries) else c for c in columns), strict=True))

    def _padded(self, series):
        "Series of one length."
        lengths = [x.shape[-1] for x in series]
        n = self.n_steps(lengths)
        if min(lengths) == max(lengths) == n:
            return list(series)
        out = torch.full((len(series), series[0].shape[0], n), float("nan"))
        for row, x in zip(out, series, strict=True):
            m = x.shape[-1] if self.max_len is None else min(x.shape[-1], self.max_len)
            row[:, :m] = x[:, :m].as_subclass(torch.Tensor)
        return [row.as_subclass(TensorSeries) for row in out]

    def decodes(self, x: tuple | torch.Tensor) -> Any:
        "A sample whose series are without padding."
        parts = x if isinstance(x, tuple) else (x,)
        done = tuple(_trimmed(o) if isinstance(o, TensorSeries) and o.ndim == 2 else o for o in parts)
        return done if isinstance(x, tuple) else done[0]


def _trimmed(x):
    "A series (channels, steps) without padding at its end."
    n = int(is_step(x.as_subclass(torch.Tensor)[None]).sum())
    return x if n == x.shape[1] else x[:, :n].as_subclass(TensorSeries)
