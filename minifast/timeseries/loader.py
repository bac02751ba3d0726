"""`SeriesDL`: batches of series by one read."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.nested import find_bs
from ..data.dataloader import DataLoader
from ..data.datasets import Datasets
from ..data.engine.fetch import Fetcher
from ..data.engine.whole import Read, whole_batches
from ..data.pipeline import Pipeline
from .covariates import ValuesAhead
from .pad import PadSeries
from .store import SeriesStore


class ReadBatches:
    """Series read and padded together: indices -> float32 (B, channels, steps).

    Args:
        store: the series of a dataset.
        pad: what pads them.
        covariates: further inputs.
    """

    def __init__(self, store: SeriesStore, pad: PadSeries, covariates: Sequence[ValuesAhead] = ()):
        self.store, self.pad, self.covariates = store, pad, list(covariates)

    def __call__(self, indices: np.ndarray) -> torch.Tensor | tuple[torch.Tensor, ...]:
        x = self.store.read(indices, self.pad.n_steps(self.store.lengths[indices]))
        if self.pad.max_len is not None and x.shape[-1] > self.pad.max_len:
            x[..., self.pad.max_len:] = float("nan")
        return (x, *(c.values[torch.from_numpy(indices)] for c in self.covariates)) if self.covariates else x


class SeriesDL(DataLoader):
    """Batches of series that lie in memory or in a file: a batch is one read, without workers.

    Args:
        dataset: as for `DataLoader`.
        **kwargs: other arguments of `DataLoader`.
    """

    #: What `Learner.tta` says where no transform varies.
    no_tta: str = ("tta() has nothing to vary: these loaders of series have no random transform. Add some, such as "
                   "`batch_tfms=series_transforms()`, or use get_preds()")

    def __init__(self, dataset: Any, **kwargs: Any):
        if kwargs.get("num_workers") is None and not len(Pipeline(kwargs.get("after_item"))):
            kwargs["num_workers"] = 0                       # there is nothing left to do for them
        super().__init__(dataset, **kwargs)

    def padded_to_longest(self, batch: Any) -> Any:
        """A batch of series as long as the longest there is, as a graph takes them, whose number of steps is fixed: see `Learner.to_onnx`.

        Args:
            batch: of this loader; shorter series are padded with NaN.
        """
        store, pads = store_of(self.dataset), [f for f in self.before_batch if isinstance(f, PadSeries)]
        if store is None or not pads or not isinstance(batch, tuple):
            return batch
        trained = next((f for f in self.dataset.pipelines[0] if hasattr(f, "shortest")), None)           # the `ReadSeries`
        lengths = [*store.lengths, *([] if trained is None or trained.shortest == trained.n_steps else [trained.n_steps])]
        x = batch[0]
        missing = pads[0].n_steps(lengths) - x.shape[-1]
        return (torch.nn.functional.pad(x, (0, missing), value=float("nan")), *batch[1:]) if missing > 0 else batch

    def show_batch(self, b: Any = None, max_n: int = 9, ctxs: Sequence | None = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, **kwargs: Any) -> Any:
        """Draw series of a batch as lines, in their own units, with their targets.

        Args:
            b: the batch. None: a new one.
            max_n: how many series at most.
            ctxs: matplotlib axes to draw on. None: new ones.
            show: False: return the decoded samples instead.
            unique: show one series again and again, to see the augmentation.
            nrows: rows of the grid.
            ncols: columns of the grid.
            figsize: (width, height) of the figure in inches.
            **kwargs: for `show_series`, such as `channels=` and `max_channels=`; `sharex=` and `sharey=` are those of the grid.

        Returns:
            None; the samples with `show=False`.
        """
        if show and figsize is None and ctxs is None and isinstance(max_n, int) and max_n > 0:
            n = min(max_n, self.bs, self.n) if b is None and not unique else max_n if b is None else min(max_n, find_bs(b))
            rows = nrows or (max(1, int(n ** 0.5)) if ncols is None else -(-n // ncols))
            figsize = 3.6 * (ncols or -(-n // rows)), 2.4 * rows
        return super().show_batch(b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)

    def _make_fetcher(self) -> Fetcher:
        return whole_batches(super()._make_fetcher(), self._reader)

    def _reader(self, sample: tuple) -> Read | None:
        "What reads series and covariates of a batch together; None: nothing can. sample: the first one."
        series, pad, ahead = store_of(self.dataset), self.before_batch[0], self.dataset.ahead
        covariates = [ahead[k].values for k in range(1, self.dataset.n_inp) if not len(ahead[k].rest)]
        known = len(covariates) == self.dataset.n_inp - 1 and all(isinstance(c, ValuesAhead) for c in covariates)
        return ReadBatches(series, pad, covariates) if series is not None and isinstance(pad, PadSeries) and known else None


def store_of(dataset: Any) -> SeriesStore | None:
    "The series of a dataset, where all of them were read when it was made, and nothing else happens to them one by one."
    ahead = dataset.ahead.get(0) if isinstance(dataset, Datasets) else None
    return ahead.values if ahead is not None and isinstance(ahead.values, SeriesStore) and not len(ahead.rest) else None
