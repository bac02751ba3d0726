"""`TabularPandas`: a DataFrame as codes and numbers, from which batches are taken by one index.

It is set up once, on the training rows; `to.new(df)` and `test_dl` send other frames through the same steps.
"""
from concurrent.futures import ThreadPoolExecutor
from warnings import warn

import numpy as np
import pandas as pd

from ..core.checkpoint import load, save
from ..core.messages import describe, did_you_mean, plural
from .categorify import unseen_text
from .columns import as_frame, check_columns, listed_names, numbers_of
from .factorize import THREADS_FROM
from .procs import Categorify, FillMissing, Normalize, Table, as_procs, missing_text
from .splits import check_splits
from .table_view import TableView
from .targets import make_target

__all__ = ["TabularPandas"]


class TabularPandas(TableView):
    """The columns `cat_names` and `cont_names` of `df`, processed by `procs`, with the target column(s) `y_names`.

    procs: such as `[Categorify, FillMissing, Normalize]`, in any order. y_block: `CategoryBlock`, `RegressionBlock` or
    `MultiCategoryBlock` (default: told from all labels; see `to.report`). splits: lists of row positions, training first, or a splitter
    such as `RandomSplitter()`; without it all rows are for training. do_setup: learn from the training rows and process now. inplace:
    write the processed columns into `df`, which otherwise is never changed. reduce_memory: keep numbers as float32 also where they are
    not normalised.

    The columns keep the order in which they are listed. It is a dataset too: `to[i]` is (codes int64, numbers float32, target).
    """

    _learnt = True

    def __init__(self, df, procs=None, cat_names=None, cont_names=None, y_names=None, y_block=None, splits=None, do_setup=True,
                 inplace=False, reduce_memory=False):
        df = as_frame(df)
        cat_names, cont_names, y_names = (listed_names(o, df) for o in (cat_names, cont_names, y_names))
        check_columns(df, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "TabularPandas")
        if not len(df):
            raise ValueError("TabularPandas received a frame without rows")
        if not cat_names and not cont_names:
            raise ValueError("TabularPandas needs columns to predict from: give cat_names= and cont_names=, for example those of "
                             "cont_names, cat_names = cont_cat_split(df, dep_var=...)")
        self.procs, self.y_names, self.reduce_memory, self.inplace = as_procs(procs), y_names, reduce_memory, inplace
        self.raw_cat_names, self.raw_cont_names = cat_names, cont_names
        self.splits = check_splits(splits(df) if callable(splits) else splits, len(df))
        self._y_block, self.target, self._learnt = y_block, None, False
        self._begin(df)
        if do_setup:
            self.setup()

    def _begin(self, df):
        self._df, self.index, self._rows = df, df.index, None
        self._codes = self._floats = self._y = self._raw_cats = None
        self._placed = {}                               # tensors of the whole table by device: shared by all its parts
        self.cat_names, self.cont_names = list(self.raw_cat_names), list(self.raw_cont_names)
        self.unseen, self.missing = {}, {}

    # -- processing -------------------------------------------------------------------------------------------------------------
    @classmethod
    def assembled(cls, procs, raw_cat_names, raw_cont_names, y_names, target, splits, codes, floats, cat_names, cont_names, unseen, missing,
                  keeper, y):
        "A processed table put together from parts that were made elsewhere. keeper: what must live as long as the arrays."
        self = object.__new__(cls)
        self.procs, self.y_names, self.reduce_memory, self.inplace = procs, y_names, True, False
        self.raw_cat_names, self.raw_cont_names, self.splits = raw_cat_names, raw_cont_names, splits
        self._y_block, self.target = None, target
        self._begin(pd.DataFrame(index=pd.RangeIndex(len(codes))))
        self._df, self._keeper = None, keeper
        self.cat_names, self.cont_names, self.unseen, self.missing = cat_names, cont_names, unseen, missing
        self._codes, self._floats, self._y = codes, floats, y
        return self

    def setup(self):
        "Learn from the training rows and process all rows. Returns itself."
        if self.processed:
            raise RuntimeError("this table is set up already: setup() is for TabularPandas(..., do_setup=False)")
        df, train, mask = self._df, None if self.splits is None else self.splits[0], None
        if train is not None:
            mask = np.zeros(len(df), dtype=bool)
            mask[train] = True

        def labels():
            target = make_target(df, self.y_names, self._y_block, train)
            return target, None if target is None else target.encode(df, "the frame")

        with ThreadPoolExecutor(1) as pool:             # the labels are looked at while the columns are processed
            found = pool.submit(labels) if len(df) >= THREADS_FROM else None
            self.target, y = labels() if found is None else (None, None)
            table = self._table(mask)
            for proc in self.procs:
                proc.fit(table)
            self._finish(table)
            self.target, self._y = (self.target, y) if found is None else found.result()
        self._learnt = True
        if self.target is not None and self.target.note:
            warn(self.target.note, stacklevel=3)
        if self.inplace:
            for name in self.items.columns:
                self._df[name] = self.items[name]
        return self

    def new(self, df):
        "Another frame with the same columns, to go through the same steps: call `process()` on it."
        df = as_frame(df, "to.new")
        missing = [n for n in self.raw_cat_names + self.raw_cont_names if n not in df.columns]
        if missing:
            raise ValueError(f"the frame lacks {plural(len(missing), 'column')} of the training data: "
                             + ", ".join(f"{n!r}{did_you_mean(n, df.columns)}" for n in missing[:10]))
        if not len(df):
            raise ValueError("there are no rows: the frame is empty")
        check_columns(df, {"columns": self.raw_cat_names + self.raw_cont_names}, "to.new")
        new = self._copy()
        new.splits, new.inplace = None, False
        new._begin(df)
        return new

    def process(self, with_labels=None):
        """Process the frame of a `new` as the training rows were. with_labels: encode the target too (None: if the frame has it);
        a label that training did not have is an error. Returns itself."""
        if self.processed:
            raise RuntimeError("this frame is processed already: process() is for what `to.new(df)` returns")
        if not self._learnt:
            raise RuntimeError("this table has not learnt anything yet: call setup(), which learns from the training rows and processes "
                               "all; process() is for what `to.new(df)` returns")
        df = self._df
        if with_labels is None:
            with_labels = bool(self.y_names) and all(n in df.columns for n in self.y_names)
        if with_labels:
            if not self.y_names:
                raise ValueError("with_labels=True, but the training data has no target (y_names)")
            check_columns(df, {"y_names": self.y_names}, "with_labels=True")
        table = self._table(None)
        for proc in self.procs:
            proc.encodes(table)
        self._finish(table)
        self._y = self.target.encode(df, "this frame") if with_labels and self.target is not None else None
        said = [*([unseen_text(table.unseen, len(table), self.classes)] if table.unseen else []),
                *([missing_text(table.unexpected)] if table.unexpected else [])]
        if said:
            warn("; ".join(said), stacklevel=3)
        return self

    def _table(self, train):
        df = self._df
        conts = Table({}, {}, df.index).each(lambda name: numbers_of(df[name], name), self.raw_cont_names)
        cats = {name: df[name] for name in self.raw_cat_names}
        if any(type(p) not in (Categorify, FillMissing, Normalize) for p in self.procs):
            conts = {name: values.copy() for name, values in conts.items()}      # a proc of the user's may write into them,
            cats = {name: values.copy() for name, values in cats.items()}        # and they may be the memory of the frame
        return Table(cats, conts, df.index, train)

    def _finish(self, table):
        self.cat_names, self.cont_names = list(table.cats), list(table.conts)
        coded = any(isinstance(p, Categorify) for p in self.procs)
        self._codes = _stacked(table, table.cats, np.int64) if coded else None
        self._raw_cats = None if coded else pd.DataFrame(table.cats, index=table.index)
        small = self.reduce_memory or any(isinstance(p, Normalize) for p in self.procs)
        self._floats = _stacked(table, table.conts, np.float32 if small else np.float64)
        self.unseen, self.missing = table.unseen, table.missing
        if not self.inplace:
            self._df = None                             # it is needed no more, and may be large

    # -- other rows -------------------------------------------------------------------------------------------------------------
    def test_set(self, items, with_labels=False):
        "The rows `items`, a frame, a row (Series or dict) or a list of rows, processed as the training rows were."
        return self.new(rows_frame(items)).process(with_labels)

    def encode_row(self, row):
        """`(codes, numbers)`, two lists, of one row: a dict or Series with the columns of the training data. The same values as from a
        frame; None if one of the procs cannot do single rows."""
        if any(p.encodes_row is None for p in self.procs) or (self.raw_cat_names and not self.classes):
            return None
        try:
            cats = {name: row[name] for name in self.raw_cat_names}
            conts = {name: row[name] for name in self.raw_cont_names}
        except KeyError as e:
            raise ValueError(f"the row lacks the column {e.args[0]!r} of the training data{did_you_mean(e.args[0], row)}") from None
        for name, value in conts.items():
            conts[name] = value if type(value) is float and -1e308 < value < 1e308 else _number(value, name)
        for proc in self.procs:
            proc.encodes_row(cats, conts)
        return list(cats.values()), list(conts.values())

    # -- what was learnt --------------------------------------------------------------------------------------------------------
    def state_dict(self):
        """Columns, what the procs learnt, and the target, without any rows: numbers and strings in dicts and lists, which
        `checkpoint.save` stores. A loss function of your own is not among them."""
        from .state import table_state
        return table_state(self)

    @classmethod
    def from_state_dict(cls, state, procs=()):
        """A table without rows from what `state_dict` gave: `test_set(rows)` and `encode_row(row)` process new rows as ever. procs: classes
        of procs of your own that are among its steps."""
        from .state import table_from_state
        return table_from_state(cls, state, procs)

    def save(self, file):
        "Write `state_dict` to `file`, which holds no code and none of the rows. Returns the file."
        return save(self.state_dict(), file)

    @classmethod
    def load(cls, file, procs=()):
        "The table without rows that `save` wrote: see `from_state_dict`."
        return cls.from_state_dict(load(file), procs)

    # -- loaders ----------------------------------------------------------------------------------------------------------------
    def dataloaders(self, bs=64, val_bs=None, shuffle=True, path=".", device=None, seed=None, drop_last=None, sampler=None,
                    after_batch=None, verbose=False):
        "`TableDataLoaders` of the splits: see `TabDataLoader` for the arguments; val_bs: rows per batch of validation (default: bs)."
        from .dataloader import TableDataLoaders
        return TableDataLoaders.from_tables(*(self.subset(i) for i in range(self.n_subsets)), bs=bs, val_bs=val_bs, shuffle=shuffle,
                                              path=path, device=device, seed=seed, drop_last=drop_last, sampler=sampler,
                                              after_batch=after_batch, verbose=verbose)


def _stacked(table, columns, dtype):
    "Columns side by side as one array, which has a row per row; block by block, so that a block stays in the cache."
    out = np.empty((len(table), len(columns)), dtype=dtype)

    def fill(start):
        for i in range(start, min(start + 65_536, len(table)), 2048):
            for j, column in enumerate(columns.values()):
                out[i:i + 2048, j] = column[i:i + 2048]

    table.each(fill, range(0, len(table), 65_536))
    return out


def _number(value, name):
    "A Python number of one value of a row; NaN where it is missing."
    try:
        value = float("nan") if value is None or value is pd.NA or value is pd.NaT else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the continuous column {name!r} takes a number; received {describe(value)}") from None
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the continuous column {name!r} takes finite numbers; received {value}")
    return value


def rows_frame(items):
    "Rows as a DataFrame: a frame, one row (Series or dict), or a list of rows."
    if isinstance(items, pd.Series):
        return items.to_frame().T.infer_objects()
    if isinstance(items, dict):
        return pd.DataFrame([items])
    if isinstance(items, (list, tuple)) and items and all(isinstance(o, (pd.Series, dict)) for o in items):
        return pd.DataFrame([dict(o) for o in items])
    if isinstance(items, (list, tuple)):
        at = next((i for i, o in enumerate(items) if not isinstance(o, (pd.Series, dict))), None)
        which = describe(items) if at is None else f"item {at}, {describe(items[at])}"
        raise TypeError(f"rows are dicts or Series with the columns of the training data; received {which}")
    return as_frame(items, "test_dl")
