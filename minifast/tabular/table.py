"""What the procs work on and what they are: `Table`, the columns on their way, and `TabularProc`, a step of that way."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..core.device import cpu_count
from .factorize import THREADS_FROM

__all__ = ["Table", "TabularProc", "missing_text"]


class Table:
    """The columns of one frame on their way through the procs, which change them in place.

    cats, conts: dicts from column names to values; categories come as pandas Series and leave `Categorify` as whole numbers, numbers are
    float64 arrays with NaN where missing, which `Normalize` leaves as float32. index: of the frame. train: mask of the rows to learn from
    (None: all). unseen: `{column: (count, example)}` of categories that training did not have; missing: `{column: count}` of missing
    values; unexpected: those of them in columns where training had none.
    """

    def __init__(self, cats, conts, index, train=None):
        self.cats, self.conts, self.index, self.train = dict(cats), dict(conts), index, train
        self.unseen, self.missing, self.unexpected = {}, {}, {}
        self._trained, self._positions = {}, None if train is None else np.flatnonzero(train)

    def __len__(self):
        return len(self.index)

    def training(self, values):
        "The training rows of an array."
        return values if self.train is None else values.take(self._positions)        # much quicker than the mask

    def training_numbers(self, name):
        "The training rows of a column of numbers; kept for the next proc, if this one leaves the column as it is."
        values = self.conts[name]
        if name not in self._trained or self._trained[name][0] is not values:
            self._trained[name] = values, self.training(values)
        return self._trained[name][1]

    def each(self, f, names):
        "`{name: f(name)}`, by several threads where the table is long."
        names = list(names)
        if len(self) < THREADS_FROM or len(names) < 2 or cpu_count() < 2:
            return {name: f(name) for name in names}
        with ThreadPoolExecutor(min(4, cpu_count(), len(names))) as pool:
            return dict(zip(names, pool.map(f, names), strict=True))


class TabularProc:
    """A step of processing: `setups` learns from `table.train`, `encodes` changes the `Table` in place, `decodes` undoes it.

    `encodes_row(cats, conts)` does the same for one row, two dicts of Python values; a proc without it makes predictions for single
    rows go the slower way of a frame of one row.
    """

    order = 0
    encodes_row = None

    def setups(self, table):
        "Override: learn from the training rows."

    def encodes(self, table):
        "Override: change the columns."

    def decodes(self, table):
        "Override: undo it, as far as showing the table needs it."

    def fit(self, table):
        "Learn and encode; one pass for procs where both need the same work."
        self.setups(table)
        self.encodes(table)

    def __repr__(self):
        return type(self).__name__


def missing_text(unexpected):
    "What to say of missing values in columns that had none in training."
    return ("missing values in columns that had none in training: "
            + ", ".join(f"{name!r} has {n:,}" for name, n in unexpected.items()))
