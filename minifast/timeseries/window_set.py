"""`WindowSet`: some windows as the dataset of a loader."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import listing
from ..core.plots import show_item
from ..core.recipe import Recipe
from ..data.categories import Category
from ..data.rows import as_frame
from ..nn.losses import CrossEntropyLossFlat, MSELossFlat
from .windows import SlidingWindows


class WindowSet:
    """Some windows of `SlidingWindows`, as the dataset of a loader; a batch of them is one read.

    A sample is (series (channels, window), target), with the known future (known, horizon) between them where there is one.

    Args:
        windows: all of them.
        indices: which of them, in this order; None: all.
        split_idx: 0: for training, 1: for validation.
    """

    def __init__(self, windows: SlidingWindows, indices: Sequence[int] | np.ndarray | None = None, split_idx: int | None = None):
        self.windows, self.split_idx = windows, split_idx
        self.indices = np.arange(len(windows)) if indices is None else np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple:
        return self.windows.sample(int(self.indices[i]), self.labelled)

    def read(self, indices: np.ndarray) -> tuple[torch.Tensor, ...]:
        """A batch of windows in one read.

        Args:
            indices: which, counted in this set.
        """
        return self.windows.read(self.indices[indices], self.labelled)

    #: whether samples have a target
    labelled = True

    @property
    def n_inp(self) -> int:
        "How many elements of a sample are inputs of the model."
        return self.windows.n_inp

    @property
    def model_scales(self) -> bool:
        "Whether values stay in their own units, because models of forecasts scale them."
        return self.windows.horizon > 0

    @property
    def vocab(self) -> list | None:
        "The labels; None for forecasts."
        return self.windows.vocab

    @property
    def c(self) -> int:
        "Outputs that the targets ask for."
        return self.windows.c

    @property
    def loss_func(self) -> Any:
        "The loss that belongs to the targets."
        return CrossEntropyLossFlat() if self.windows.vocab is not None else MSELossFlat()

    @property
    def n_channels(self) -> int:
        "Channels of the series."
        return len(self.windows.channels)

    @property
    def n_steps(self) -> int:
        "Steps of a window."
        return self.windows.window

    @property
    def item_frame(self) -> pd.DataFrame:
        "A row for each window, called by its series and the time of its first step: those, and the time of its last step."
        w = self.windows
        starts = w.starts[self.indices]
        ids = [w.ids[s] if isinstance(w.ids[s], tuple) else (w.ids[s],) for s in w.series[self.indices]]
        columns = {name: [o[k] for o in ids] for k, name in enumerate(w.by)}
        frame = pd.DataFrame({**columns, w.time: w.times[starts], f"last {w.time}": w.times[starts + w.window - 1]})
        return frame.set_index([*w.by, w.time], drop=False)

    def item_name(self, i: int) -> str:
        "What to call window `i` in a message: its series and its first time."
        return self.windows.name_of(int(self.indices[i]))

    def decode(self, sample: tuple) -> tuple:
        """A sample with its label by name.

        Args:
            sample: a window, and what was to be predicted, if it is there.
        """
        if self.vocab is None or len(sample) <= self.n_inp:
            return sample
        label = self.vocab[int(sample[-1])]
        return *sample[:-1], Category(label) if isinstance(label, str) else label

    def show_decoded(self, sample: tuple, ctx: Any, **kwargs: Any) -> None:
        """Draw a decoded sample.

        Args:
            sample: of `decode`.
            ctx: matplotlib axes.
            **kwargs: for `show_series`.
        """
        sample[0].show(ctx=ctx, channels=self.windows.channels, **kwargs)
        for value in sample[self.n_inp:]:
            show_item(value, ctx=ctx)

    def with_split_idx(self, split_idx: int | None) -> "WindowSet":
        "The same windows for another split."
        return type(self)(self.windows, self.indices, split_idx)

    def naive_errors(self, season: int, training: "WindowSet") -> torch.Tensor:
        """For each window and target the mean absolute error, within the training rows of its series, of the value one season before: the
        divisor of MASE.

        Args:
            season: steps of a season.
            training: the windows whose rows are for training.

        Returns:
            float64 (windows, targets); NaN where a series has no two training rows a season apart.
        """
        w = self.windows
        rows = training.windows.rows_of(training.indices)
        errors = training.windows.season_errors(season, rows)
        at = {name: i for i, name in enumerate(training.windows.ids)}
        new = [w.ids[s] for s in np.unique(w.series[self.indices]) if w.ids[s] not in at]
        if new:
            raise ValueError(f"MASE divides by the errors within the training rows of the same series, and {len(new):,} series of "
                             f"these had none: {listing(map(repr, new), 5)}. Leave it out, metrics=[mae], or write mase(pred, target, "
                             "history, season)")
        return errors[[at[w.ids[s]] for s in w.series[self.indices]]]

    def test_set(self, items: Any, with_labels: bool | None = False) -> "WindowSet":
        """The windows of another frame with the same columns: with targets all of them, else the last one of each series.

        Args:
            items: a long frame, or a list of one.
            with_labels: all windows, with what comes after them.
        """
        items = items[0] if isinstance(items, (list, tuple)) and len(items) == 1 else items
        made = self.windows.of(as_frame(items, "test_dl"), with_targets=bool(with_labels))
        made.warn_of_short("test_dl")
        found = WindowSet(made, None, 1)
        found.labelled = bool(with_labels)
        return found

    def template(self, kinds: Any = None) -> Recipe:
        "How to make a set like this one without any rows. kinds: see `DataLoader.kinds`."
        return Recipe(NoWindows, {"settings": self.windows.settings, "batch_kinds": kinds})


class NoWindows(WindowSet):
    """Stands for the windows of a learner that was loaded without data.

    Args:
        settings: of `SlidingWindows`.
        batch_kinds: see `DataLoader.kinds`.
    """

    is_template = True

    def __init__(self, settings: dict[str, Any], batch_kinds: Any = None):
        self.batch_kinds, self.indices, self.split_idx = batch_kinds, np.zeros(0, np.int64), 1
        self.windows = SlidingWindows.without_rows(settings)

    def __getitem__(self, i: int) -> tuple:
        raise IndexError("this learner was loaded without data")
