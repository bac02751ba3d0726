"""`WindowDL`: batches of windows by one read, and which of them are for training."""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..core.messages import describe
from ..core.seeds import fixed_seed
from ..core.types import Splits
from ..data.dataloader import DataLoader
from ..data.engine.fetch import Batch, BatchKey, Fetcher
from ..data.engine.whole import WholeBatches
from .window_set import WindowSet
from .window_splits import check_window_splits, window_splits
from .windows import SlidingWindows


class WindowBatches(WholeBatches):
    """Makes batches by one read of inputs and targets together.

    Args:
        plain: what makes the samples one by one.
        read: indices -> the parts of a batch.
        sample: the first one, as `plain` makes it.
    """

    read: Callable[[np.ndarray], tuple[torch.Tensor, ...]]

    def make(self, key: BatchKey) -> Batch:
        "The batch `key`."
        return Batch(self.read(np.asarray(key.indices, dtype=np.int64)), self._kinds)


class WindowDL(DataLoader):
    """Batches of windows: a batch is one read of the rows in memory, without workers.

    Args:
        dataset: a `WindowSet`.
        **kwargs: other arguments of `DataLoader`.
    """

    #: What `Learner.tta` says where no transform varies.
    no_tta: str = ("tta() has nothing to vary: these loaders of windows have no random transform. Add one, such as "
                   "`batch_tfms=[Jitter()]`, or use get_preds()")

    def _make_fetcher(self) -> Fetcher:
        plain = super()._make_fetcher()
        read = getattr(self.dataset, "read", None)
        if read is None or not len(self.dataset) or len(self.after_item) or len(self.before_batch) or self.collate_fn is not None \
                or self._args["on_error"] != "raise":
            return plain
        with fixed_seed():
            return WindowBatches(plain, read, plain.item(0, 0))


def window_sets(windows: SlidingWindows, splits: Splits | None = None, valid_pct: float | None = None, n_valid: int | None = None,
                cutoff: Any = None, gap: int = 0, history: bool = False) -> list[WindowSet]:
    """The windows for training and for validation.

    Args:
        windows: all of them.
        splits: indices of windows for training and validation, which are checked (see `check_window_splits`); None: `window_splits`.
        valid_pct, n_valid, cutoff, gap, history: see `window_splits`.

    Raises:
        ValueError: rows of validation are in training windows.
    """
    if not isinstance(windows, SlidingWindows):
        raise TypeError(f"from_windows takes SlidingWindows(df, window, horizon, ...); received {describe(windows)}")
    windows.warn_of_short("from_windows")
    given = {"valid_pct": valid_pct, "n_valid": n_valid, "cutoff": cutoff, "gap": gap or None}
    said = [name for name, value in given.items() if value is not None]
    if splits is not None and said:
        raise ValueError(f"from_windows: splits= says which windows are for validation, and so does {', '.join(said)}: give one of them")
    found = window_splits(windows, valid_pct, n_valid, cutoff, gap, history) if splits is None else splits
    return [WindowSet(windows, part, min(k, 1)) for k, part in enumerate(check_window_splits(windows, found, history))]
