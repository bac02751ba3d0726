"""`FillMissing` and `Normalize`: numbers without gaps, and on one scale."""
import math
from enum import Enum
from warnings import warn

import numpy as np

from ..core.messages import did_you_mean
from .table import TabularProc, missing_text

__all__ = ["FillMissing", "FillStrategy", "Normalize"]

#: So many training rows say what to fill in where training itself had nothing to fill.
ENOUGH = 100_000
#: A deviation this small is that of a constant: divided by it, other values would not fit into a float32.
TINY = 1e-30


class FillStrategy(str, Enum):
    "What `FillMissing` puts in the place of a missing number: the median or the mode of the training rows, or a constant."

    median = "median"
    constant = "constant"
    mode = "mode"

    def filler(self, values, fill_val):
        "The number to fill in, for the values of a column in the training rows that are not missing."
        if self is FillStrategy.constant:
            return float(fill_val)
        if self is FillStrategy.median:
            return float(np.median(values))
        found, counts = np.unique(values, return_counts=True)
        return float(found[counts.argmax()])                    # of several modes, the smallest


def _missing(values):
    "Where numbers are missing, a mask; False if nowhere."
    if not np.isnan(values.sum()):                        # much cheaper than a mask, and usually all there is to do
        return False
    missing = np.isnan(values)
    return missing if missing.any() else False


class FillMissing(TabularProc):
    """Missing numbers to the median (`FillStrategy.median`), mode or a constant of the training rows; with `add_col` a category column
    `{name}_na` says where, for each column in which the training rows have missing values.

    fill_vals: with `FillStrategy.constant`, a number or a dict from columns to numbers (default 0). A column that had no missing value in
    training is filled in the same way later (with the median of some 100,000 of its rows, if it had more), and that is reported.
    """

    order = 0

    def __init__(self, fill_strategy=FillStrategy.median, add_col=True, fill_vals=None):
        try:
            self.fill_strategy = FillStrategy(getattr(fill_strategy, "value", fill_strategy))
        except ValueError:
            raise ValueError(f"FillMissing(fill_strategy={fill_strategy!r}): it is FillStrategy.median, constant or mode") from None
        if fill_vals is not None and self.fill_strategy is not FillStrategy.constant:
            raise ValueError("FillMissing(fill_vals=...) goes with FillStrategy.constant; received "
                             f"fill_strategy={self.fill_strategy.value!r}")
        self.add_col, self.fill_vals = add_col, fill_vals
        self.na_dict = {}           #: `{column: number to fill in}`
        self.na_cols = {}           #: `{column: name of its column of marks}`, of columns with missing values in the training rows

    def _fill_val(self, name):
        if isinstance(self.fill_vals, dict):
            return self.fill_vals.get(name, 0)
        return 0 if self.fill_vals is None else self.fill_vals

    def setups(self, table):
        self._learn(table)

    def encodes(self, table):
        self._fill(table, dict.fromkeys(table.conts))

    def fit(self, table):
        self._fill(table, self._learn(table))

    def _learn(self, table):
        "Learn what to fill in; returns where values are missing."
        def learn(name):
            values = table.conts[name]
            missing = _missing(values)
            train = table.training_numbers(name)
            in_train = missing is not False and table.training(missing)
            if in_train is not False and in_train.any():
                train = train.take(np.flatnonzero(~in_train))
            else:
                in_train = False
                train = train[::max(1, len(train) // ENOUGH)]
            if not len(train) and self.fill_strategy is not FillStrategy.constant:
                raise ValueError(f"the continuous column {name!r} has no value at all in the training rows: leave it out, or use "
                                 "FillMissing(FillStrategy.constant)")
            return self.fill_strategy.filler(train, self._fill_val(name)), in_train is not False, missing

        unknown = [k for k in self.fill_vals if k not in table.conts] if isinstance(self.fill_vals, dict) else []
        if unknown:
            raise KeyError(f"FillMissing(fill_vals=...): {unknown[0]!r} is no continuous column{did_you_mean(unknown[0], table.conts)}")
        done = table.each(learn, table.conts)
        self.na_dict = {name: fill for name, (fill, _, _) in done.items()}
        self.na_cols = {name: f"{name}_na" for name, (_, missing, _) in done.items() if missing}
        for name in self.na_cols.values() if self.add_col else ():
            if name in table.cats or name in table.conts:
                raise ValueError(f"FillMissing would add a column {name!r}, but there is one: rename it, or write "
                                 "FillMissing(add_col=False)")
        return {name: missing for name, (_, _, missing) in done.items()}

    def _fill(self, table, where):
        def fill(name):
            values = table.conts[name]
            missing = _missing(values) if where[name] is None else where[name]
            if missing is False:
                return values, None, 0
            return np.where(missing, self.na_dict[name], values), missing, int(np.count_nonzero(missing))

        for name, (values, missing, n) in table.each(fill, table.conts).items():
            table.conts[name] = values
            if n:
                table.missing[name] = n
                if name not in self.na_cols:
                    table.unexpected[name] = n
            if self.add_col and name in self.na_cols:
                table.cats[self.na_cols[name]] = np.zeros(len(table), dtype=bool) if missing is None else missing

    def encodes_row(self, cats, conts):
        for name, value in conts.items():
            missing = value != value
            if missing:
                conts[name] = self.na_dict[name]
                if name not in self.na_cols:
                    warn(missing_text({name: 1}), stacklevel=4)
            if self.add_col and name in self.na_cols:
                cats[self.na_cols[name]] = missing


class Normalize(TabularProc):
    """Numbers to mean 0 and standard deviation 1 (of the population, ddof=0) over the training rows.

    A column that is constant there keeps its scale: it is divided by 1, and a warning says so.
    """

    order = 2

    def __init__(self):
        self.means, self.stds = {}, {}

    def setups(self, table):
        def learn(name):
            values = table.training_numbers(name)
            missing = _missing(values)
            values = values if missing is False else values[~missing]
            if not len(values):
                raise ValueError(f"the continuous column {name!r} has no value at all in the training rows: leave it out")
            low = values.min()
            if low == values.max():
                return float(low), 0.0
            mean = values.mean()
            off = values - mean
            std = float(np.sqrt(off @ off / len(off)))
            return (float(mean), std) if std > TINY else (float(low), 0.0)

        self.learn_moments(table.each(learn, table.conts))

    def learn_moments(self, done):
        "Learn from `{column: (mean, standard deviation)}` of the training rows; a deviation of 0 marks a constant."
        constant = [name for name, (_, std) in done.items() if not std]
        if constant:
            warn(f"constant in the training rows, so they say nothing and are not scaled: {', '.join(map(repr, constant))}", stacklevel=6)
        self.means = {name: mean for name, (mean, _) in done.items()}
        self.stds = {name: std or 1.0 for name, (_, std) in done.items()}

    def encodes(self, table):
        def scaled(name):
            values, mean, std = table.conts[name], self.means[name], self.stds[name]
            out = np.empty(len(values), dtype=np.float32)
            with np.errstate(over="ignore"):                  # what does not fit becomes infinite, and is refused with its row
                for i in range(0, len(values), 32_768):       # block by block, so that the float64 results need not go through memory
                    part = values[i:i + 32_768] - mean
                    part /= std
                    out[i:i + 32_768] = part
            return out

        table.conts.update(table.each(scaled, table.conts))

    def decodes(self, table):
        for name, values in table.conts.items():
            numbers = values.astype(np.float64) * self.stds[name] + self.means[name]
            digits = 7 - math.ceil(math.log10(self.stds[name]))                  # what a float32 of this scale holds
            table.conts[name] = numbers.round(digits) + 0.0                      # + 0.0: no -0.0

    def encodes_row(self, cats, conts):
        for name, value in conts.items():
            conts[name] = (value - self.means[name]) / self.stds[name]
