"""What a model has to know of the series that it is made for."""
from typing import Any, NamedTuple

import numpy as np
import torch

from ..core.messages import describe
from ..data.datasets import Datasets
from ..data.targets import base_dataset
from .loader import store_of
from .pad import PadSeries
from .padding import n_steps
from .reading import ReadSeries
from .store import SeriesStore


class SeriesShape(NamedTuple):
    """The shape of the series of some loaders, as the model gets them.

    Args:
        n_channels: of each series.
        n_steps: of the longest series.
        shortest: steps of the shortest one.
        has_padding: whether batches may be padded (with NaN, see `split_padding`).
    """

    n_channels: int
    n_steps: int
    shortest: int
    has_padding: bool


def series_shape(dls: Any) -> SeriesShape:
    """The shape of the series of loaders, as the model gets them.

    Args:
        dls: `DataLoaders` of series, or one loader.

    Raises:
        TypeError: their batches hold no series.
    """
    loaders = list(getattr(dls, "loaders", [dls]))
    stores = [s for dl in loaders if (s := _store(dl)) is not None]
    pad = next((f for f in getattr(loaders[0], "before_batch", ()) if isinstance(f, PadSeries)), PadSeries())
    known = _learnt(loaders[0])
    if not stores and known is not None and getattr(loaders[0].dataset, "is_template", False):
        channels = 2 * known.n_channels if known.fill is not None and known.fill.add_mask else known.n_channels
        return _shape(channels, [known.shortest, known.n_steps], pad)
    x = loaders[0].one_batch()
    x = x[0] if isinstance(x, (tuple, list)) else x
    if not isinstance(x, torch.Tensor) or x.ndim != 3:
        raise TypeError(f"these loaders give {describe(x)}; series come as a batch (B, channels, steps): make the loaders with "
                        "TSDataLoaders, or of a DataBlock with TSBlock")
    lengths = [int(f(s.lengths)) for s in stores for f in (np.min, np.max)]
    if not stores or len(set(lengths)) == 1:                # what batch transforms make of them counts
        lengths = n_steps(x).tolist()
        return SeriesShape(int(x.shape[1]), int(x.shape[2]), min(lengths), min(lengths) < x.shape[2])
    return _shape(int(x.shape[1]), lengths, pad)


def _shape(channels, lengths, pad):
    lengths = [n if pad.max_len is None else min(n, pad.max_len) for n in lengths]
    longest = pad.n_steps(lengths)
    return SeriesShape(channels, longest, min(lengths), min(lengths) < longest)


def _store(loader: Any) -> SeriesStore | None:
    return store_of(base_dataset(loader)[0])


def _learnt(loader: Any) -> ReadSeries | None:
    "What reads the series of a loader."
    dataset = base_dataset(loader)[0]
    pipes = dataset.pipelines if isinstance(dataset, Datasets) else ()
    return next((f for p in pipes for f in p if isinstance(f, ReadSeries)), None)
