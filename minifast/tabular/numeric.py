"""`FillMissing` and `Normalize`: continuous columns without missing values, and on one scale."""
import math
from collections.abc import Callable, Mapping
from copy import copy
from enum import Enum
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from ..core.arguments import check_arguments
from .columns import check_known
from .table import Table, TabularProc, missing_text

__all__ = ["FillMissing", "FillStrategy", "Normalize"]

#: This many training rows are enough to choose what to fill in where training itself had nothing to fill.
ENOUGH = 100_000
#: A deviation this small is that of a constant: divided by it, other values would not fit into a float32.
TINY = 1e-30


class FillStrategy(str, Enum):
    "What `FillMissing` puts in the place of a missing number: the median or the mode of the training rows, or a constant."

    median = "median"
    constant = "constant"
    mode = "mode"

    def filler(self, values: np.ndarray, fill_val: float) -> float:
        "The number to fill in, for the values of a column in the training rows that are not missing."
        if self is FillStrategy.constant:
            return float(fill_val)
        return float(np.median(values) if self is FillStrategy.median else pd.Series(values).mode()[0])    # of several modes, the smallest


def missing_mask(values: np.ndarray) -> np.ndarray | None:
    "Where numbers are missing, a mask; None if nowhere."
    missing = np.isnan(values) if np.isnan(values.sum()) else None         # a sum is much cheaper, and usually all there is to do
    return missing if missing is not None and missing.any() else None


class FillMissing(TabularProc):
    """Fill missing numbers, and mark them in a categorical column `{name}_na` for each column that has some in the training rows.

    A column that had no missing value in training is filled in the same way later (with the median of some 100,000 of its rows, if it had
    more), and that is reported.

    Args:
        fill_strategy: `FillStrategy.median`, `mode` or `constant`; or a function of the values of a column in the training rows that are
            not missing (a Series) and of the constant for this column, which returns the number to fill in.
        add_col: whether to add the columns of marks.
        fill_vals: with `FillStrategy.constant`, a number or a dict from columns to numbers; default: 0.

    Attributes:
        na_dict: `{column: number to fill in}`.
        na_cols: `{column: name of its column of marks}`, of columns with missing values in the training rows.
    """

    order = 0
    stored = ("fill_strategy", "add_col", "fill_vals", "na_dict", "na_cols")

    def __init__(self, fill_strategy: FillStrategy | str | Callable[[pd.Series, float], float] = FillStrategy.median,
                 add_col: bool = True, fill_vals: float | Mapping[Any, float] | None = None):
        strategy = getattr(fill_strategy, "value", fill_strategy)
        check_arguments("FillMissing",
                        fill_strategy=(strategy, callable(strategy) or strategy in list(FillStrategy),
                                       "it is FillStrategy.median, constant or mode, or a function"),
                        fill_vals=(fill_vals, fill_vals is None or callable(strategy) or strategy == "constant",
                                   f"goes with FillStrategy.constant; received fill_strategy={strategy!r}"))
        self.fill_strategy: Any = strategy if callable(strategy) else FillStrategy(strategy)
        self.add_col, self.fill_vals = add_col, fill_vals
        self.na_dict: dict[Any, float] = {}
        self.na_cols: dict[Any, str] = {}

    def fill_val(self, name: Any) -> float:
        "The constant for a column."
        vals: Any = self.fill_vals
        return (vals.get(name, 0) if isinstance(vals, dict) else vals) or 0

    def setups(self, table: Table) -> None:
        "Learn what to fill in, and which columns have missing values."
        def learn(name: Any) -> tuple[float, bool]:
            missing, train = table.once(missing_mask, table.conts, name), table.once(table.training, table.conts, name)
            in_train = None if missing is None else table.training(missing)
            marked = in_train is not None and bool(in_train.any())
            train = train.take(np.flatnonzero(~in_train)) if marked else train[::max(1, len(train) // ENOUGH)]
            if not len(train) and self.fill_strategy is not FillStrategy.constant:
                raise ValueError(f"the continuous column {name!r} has no value at all in the training rows: leave it out, or use "
                                 "FillMissing(FillStrategy.constant)")
            if callable(self.fill_strategy):
                return float(self.fill_strategy(pd.Series(train, name=name), self.fill_val(name))), marked
            return self.fill_strategy.filler(train, self.fill_val(name)), marked

        if isinstance(self.fill_vals, dict):
            check_known("FillMissing(fill_vals=...)", self.fill_vals, table.conts, "continuous column")
        learnt = table.each(learn, table.conts)
        self.na_dict = {name: fill for name, (fill, _) in learnt.items()}
        self.na_cols = {name: f"{name}_na" for name, (_, marked) in learnt.items() if marked}
        taken = [mark for mark in self.na_cols.values() if self.add_col and (mark in table.cats or mark in table.conts)]
        if taken:
            raise ValueError(f"FillMissing would add a column {taken[0]!r}, but there is one: rename it, or write "
                             "FillMissing(add_col=False)")

    def encodes(self, table: Table) -> None:
        "Fill in missing values and add the columns of marks."
        def fill(name: Any) -> tuple[np.ndarray, np.ndarray | None]:
            values, missing = table.conts[name], table.once(missing_mask, table.conts, name)
            return values if missing is None else np.where(missing, self.na_dict[name], values), missing

        for name, (values, missing) in table.each(fill, table.conts).items():
            table.conts[name] = values
            if missing is not None:
                table.missing[name] = int(np.count_nonzero(missing))
                if name not in self.na_cols:
                    table.unexpected[name] = table.missing[name]
            if self.add_col and name in self.na_cols:
                table.cats[self.na_cols[name]] = np.zeros(len(table), dtype=bool) if missing is None else missing

    def encodes_row(self, cats: dict[Any, Any], conts: dict[Any, float]) -> None:
        "`encodes` of one row, in place."
        for name, value in conts.items():
            missing = value != value
            if missing:
                conts[name] = self.na_dict[name]
                if name not in self.na_cols:
                    warn(missing_text({name: 1}), stacklevel=4)
            if self.add_col and name in self.na_cols:
                cats[self.na_cols[name]] = missing

    def state_dict(self) -> dict[str, Any]:
        "What was learnt; a function that chose it is not needed any more, and 'constant' stands in its place."
        if not callable(self.fill_strategy):
            return super().state_dict()
        plain = copy(self)
        plain.fill_strategy = FillStrategy.constant
        return plain.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        "Restore what `state_dict` returned."
        super().load_state_dict(state)
        self.fill_strategy = FillStrategy(self.fill_strategy)


class Normalize(TabularProc):
    """Scale continuous columns to mean 0 and standard deviation 1 (of the population, ddof=0) over the training rows.

    A column that is constant there keeps its scale: it is divided by 1, and a warning names it.

    Attributes:
        means, stds: `{column: mean}` and `{column: standard deviation}` of the training rows.
    """

    order = 2
    stored = ("means", "stds")

    @classmethod
    def from_stats(cls, *stats: Any, **kwargs: Any) -> "Normalize":
        """Refused: it belongs to the `Normalize` of images, whose name a later star import took.

        Args:
            *stats: not used.
            **kwargs: not used.

        Raises:
            TypeError: always, with what to write.
        """
        raise TypeError("this Normalize is that of tables, which learns from the rows and has no from_stats. For images write "
                        "`from minifast.vision.all import *` after the import of minifast.tabular.all, or `minifast.vision.all.Normalize`; "
                        "the one of tables is minifast.tabular.all.Normalize")

    def __init__(self) -> None:
        self.means: dict[Any, float] = {}
        self.stds: dict[Any, float] = {}

    def setups(self, table: Table) -> None:
        "Learn means and deviations from the training rows."
        def learn(name: Any) -> tuple[float, float]:
            values = table.once(table.training, table.conts, name)
            missing = missing_mask(values)
            values = values if missing is None else values[~missing]
            if not len(values):
                raise ValueError(f"the continuous column {name!r} has no value at all in the training rows: leave it out")
            mean = values.mean()
            off = values - mean
            std = float(np.sqrt(off @ off / len(off)))
            low = values.min()
            return (float(mean), std) if std > TINY and low != values.max() else (float(low), 0.0)

        self.learn_moments(table.each(learn, table.conts))

    def learn_moments(self, moments: Mapping[Any, tuple[float, float]]) -> None:
        "Take `{column: (mean, standard deviation)}` of the training rows; a deviation of 0 marks a constant."
        constant = [name for name, (_, std) in moments.items() if not std]
        if constant:
            warn(f"constant columns in the training rows, which carry no information and are not scaled: {', '.join(map(repr, constant))}",
                 stacklevel=5)
        self.means = {name: mean for name, (mean, _) in moments.items()}
        self.stds = {name: std or 1.0 for name, (_, std) in moments.items()}

    def encodes(self, table: Table) -> None:
        "Subtract the means and divide by the deviations: float32."
        def scaled(name: Any) -> np.ndarray:
            values, mean, std = table.conts[name], self.means[name], self.stds[name]
            out = np.empty(len(values), dtype=np.float32)
            with np.errstate(over="ignore"):                  # what does not fit becomes infinite, and is refused with its row
                for i in range(0, len(values), 32_768):       # block by block, so that the float64 results need not go through memory
                    part = values[i:i + 32_768] - mean
                    part /= std
                    out[i:i + 32_768] = part
            return out

        table.conts.update(table.each(scaled, table.conts))

    def decodes(self, table: Table) -> None:
        "Back to the scale of the column, rounded to the digits that a float32 of this scale holds."
        for name, values in table.conts.items():
            numbers = values.astype(np.float64) * self.stds[name] + self.means[name]
            digits = 7 - math.ceil(math.log10(self.stds[name]))
            table.conts[name] = numbers.round(digits) + 0.0                      # + 0.0: no -0.0

    def encodes_row(self, cats: dict[Any, Any], conts: dict[Any, float]) -> None:
        "`encodes` of one row, in place."
        for name, value in conts.items():
            conts[name] = (value - self.means[name]) / self.stds[name]
