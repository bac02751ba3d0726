"""Procs: from the columns of a frame to codes and numbers. Each learns from the training rows alone and can be undone.

They run in the order of their `order`, whatever the order of the list: `FillMissing`, `Categorify`, `Normalize`.
"""
import math
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from warnings import warn

import numpy as np
import pandas as pd

from ..data.categories import NA, CategoryMap
from ..data.labels import is_missing
from ..device import cpu_count
from ..messages import describe, did_you_mean
from .factorize import THREADS_FROM, decoded_values, factorized, sorted_values

__all__ = ["Categorify", "FillMissing", "FillStrategy", "Normalize", "Table", "TabularProc"]

#: So many training rows say what to fill in where training itself had nothing to fill.
ENOUGH = 100_000
#: A deviation this small is that of a constant: divided by it, other values would not fit into a float32.
TINY = 1e-30


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


# -- categories --------------------------------------------------------------------------------------------------------------------
class Categorify(TabularProc):
    """Categories to codes: 0 is `'#na#'`, missing or not seen in training; the rest are 1, 2, ... for the sorted values of the training
    rows (of a pandas categorical, in the order of its categories).

    Values are looked up by what they are, never by the codes or the type of the column they come in: 3, 3.0 and a categorical 3 are one.
    """

    order = 1

    def __init__(self):
        self.classes = {}           #: `{column: CategoryMap}`
        self._lookup, self._had_missing = {}, {}

    def setups(self, table):
        self._learn(table)

    def encodes(self, table):
        found = table.each(lambda name: self._encoded(*factorized(table.cats[name], name), self._known(name)), table.cats)
        self._take(table, found)

    def fit(self, table):
        self._take(table, self._learn(table))

    def learn_values(self, values, had_missing):
        "Learn from `{column: values of the training rows}`, in any order, and `{column: whether some were missing}`."
        self.classes = {name: CategoryMap(sorted_values(v), sort=False, add_na=True) for name, v in values.items()}
        self._lookup = {name: classes.o2i for name, classes in self.classes.items()}
        self._had_missing = dict(had_missing)

    def _learn(self, table):
        done = table.each(lambda name: self._column(table, name), table.cats)
        self.classes = {name: o[0] for name, o in done.items()}
        self._lookup = {name: o[1] for name, o in done.items()}
        self._had_missing = {name: o[2] for name, o in done.items()}
        return {name: o[3] for name, o in done.items()}

    def _column(self, table, name):
        codes, values = factorized(table.cats[name], name)
        had_missing = bool(len(codes)) and codes.min() < 0 and bool((table.training(codes) < 0).any())
        present = [values[i] for i in np.flatnonzero(_seen(codes, len(values), table.train)).tolist()]
        if not isinstance(table.cats[name].dtype, pd.CategoricalDtype):
            present = sorted_values(present)
        classes = CategoryMap(present, sort=False, add_na=True)
        lookup = classes.o2i
        return classes, lookup, had_missing, self._encoded(codes, values, lookup)

    @staticmethod
    def _encoded(codes, values, lookup):
        "`(codes of this vocabulary, how many are missing, (how many are unseen, the most frequent of them))`."
        new = np.zeros(len(values) + 1, dtype=np.int32)          # a missing value, -1, takes the last place
        new[:-1] = [lookup.get(v, 0) for v in values]
        out, unseen, example = np.take(new, codes, mode="wrap"), 0, None
        n_zero = len(out) - int(np.count_nonzero(out))
        missing = int(np.count_nonzero(codes < 0)) if n_zero else 0
        if n_zero > missing:
            counts = np.bincount(codes[(out == 0) & (codes >= 0)], minlength=len(values))
            unknown = [i for i in np.flatnonzero(counts).tolist() if values[i] not in lookup]
            unseen = int(counts[unknown].sum())
            example = values[max(unknown, key=counts.__getitem__)] if unknown else None
        return out, missing, (unseen, example)

    def _take(self, table, found):
        for name, (codes, missing, (n_unseen, example)) in found.items():
            table.cats[name] = codes
            if missing:
                table.missing[name] = missing
                if not self._had_missing[name]:
                    table.unexpected[name] = missing
            if n_unseen:
                table.unseen[name] = n_unseen, example

    def _known(self, name):
        if name not in self._lookup:
            raise KeyError(f"Categorify has not learnt column {name!r}{did_you_mean(name, self._lookup)}")
        return self._lookup[name]

    def encodes_row(self, cats, conts):
        for name, value in cats.items():
            try:
                code = self._lookup[name].get(value, -1)
            except TypeError:
                raise TypeError(f"the category column {name!r} takes one value; received {describe(value)}") from None
            if code < 0:
                code = 0
                if not is_missing(value):
                    warn(unseen_text({name: (1, value)}, 1, self.classes), stacklevel=2)
            cats[name] = code

    def decodes(self, table):
        for name, codes in table.cats.items():
            table.cats[name] = pd.Series(decoded_values(self.classes[name])[np.asarray(codes)], index=table.index).infer_objects()


def _seen(codes, n, train):
    "Which of the codes 0..n-1 occur in the training rows, a mask; block by block, because most often the first rows have all of them."
    seen, start, size = np.zeros(n + 1, dtype=bool), 0, 16_384
    while start < len(codes) and not seen[1:].all():
        places = codes[start:start + size].astype(np.intp) + 1       # a missing value, -1, has place 0
        if train is not None:
            places *= train[start:start + size]                      # and so have the rows that are not for training
        seen[places] = True
        start, size = start + size, 65_536
    return seen[1:]


def unseen_text(unseen, n, classes):
    "What to say of categories that training did not have."
    parts = []
    for name, (count, example) in unseen.items():
        known = [v for v in classes[name] if v != NA]
        other = count == n and known and not isinstance(example, type(known[0])) and isinstance(example, str) != isinstance(known[0], str)
        parts.append(f"{name!r} has {count:,} ({count / n:.1%}), such as {example!r}"
                     + (f", but training had {type(known[0]).__name__} values like {known[0]!r}" if other else ""))
    return f"values not seen in training count as missing ({NA}): " + "; ".join(parts)


# -- missing values ----------------------------------------------------------------------------------------------------------------
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
            if self.add_col and name in self.na_cols:
                cats[self.na_cols[name]] = missing


# -- scale -------------------------------------------------------------------------------------------------------------------------
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
            for i in range(0, len(values), 32_768):       # block by block, so that the float64 results need not go through memory
                part = values[i:i + 32_768] - mean
                part /= std
                out[i:i + 32_768] = part
            return out

        table.conts.update(table.each(scaled, table.conts))

    def decodes(self, table):
        for name, values in table.conts.items():
            numbers = values.astype(np.float64) * self.stds[name] + self.means[name]
            table.conts[name] = numbers.round(7 - math.ceil(math.log10(self.stds[name])))    # what a float32 of this scale holds

    def encodes_row(self, cats, conts):
        for name, value in conts.items():
            conts[name] = (value - self.means[name]) / self.stds[name]


def as_procs(procs):
    "A list of procs, classes or instances, as own instances in the order in which they run."
    from copy import deepcopy
    procs = [] if procs is None else list(procs) if isinstance(procs, (list, tuple)) else [procs]
    made = []
    for proc in procs:
        proc = proc() if isinstance(proc, type) and issubclass(proc, TabularProc) else deepcopy(proc)
        if not isinstance(proc, TabularProc):
            raise TypeError(f"procs takes Categorify, FillMissing, Normalize or a TabularProc of your own; received {describe(proc)}"
                            + _other_normalize(proc))
        made.append(proc)
    kinds = [type(p).__name__ for p in made]
    twice = sorted({k for k in kinds if kinds.count(k) > 1})
    if twice:
        raise ValueError(f"procs lists {', '.join(twice)} more than once")
    return sorted(made, key=lambda p: p.order)


def _other_normalize(proc):
    name = proc.__name__ if isinstance(proc, type) else type(proc).__name__
    return ". The Normalize of tables is minifast.tabular.all.Normalize" if name == "Normalize" else ""


def missing_text(unexpected):
    "What to say of missing values in columns that had none in training."
    return ("missing values in columns that had none in training: "
            + ", ".join(f"{name!r} has {n:,}" for name, n in unexpected.items()))

