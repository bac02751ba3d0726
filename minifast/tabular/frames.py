"""`TabularPandas`: a DataFrame as codes and numbers, from which batches are taken by one index.

It is set up once, on the training rows; `to.new(df)` and `test_dl` send other frames through the same steps.
"""
from concurrent.futures import ThreadPoolExecutor
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..messages import describe, did_you_mean, plural
from .columns import as_frame, check_columns, listed_names, numbers_of, rows_of
from .factorize import THREADS_FROM
from .procs import Categorify, Normalize, Table, as_procs, missing_text, unseen_text
from .splits import check_splits
from .targets import make_target

__all__ = ["TabularPandas"]


class TabularPandas:
    """The columns `cat_names` and `cont_names` of `df`, processed by `procs`, with the target column(s) `y_names`.

    procs: such as `[Categorify, FillMissing, Normalize]`, in any order. y_block: `CategoryBlock`, `RegressionBlock` or
    `MultiCategoryBlock` (default: told from all labels; see `to.report`). splits: lists of row positions, training first, or a splitter
    such as `RandomSplitter()`; without it all rows are for training. do_setup: learn from the training rows and process now. inplace:
    write the processed columns into `df`, which otherwise is never changed. reduce_memory: keep numbers as float32 also where they are
    not normalised.

    The columns keep the order in which they are listed. It is a dataset too: `to[i]` is (codes int64, numbers float32, target).
    """

    with_cont = True        #: whether batches have an element for the numbers

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
        self._y_block, self.target = y_block, None
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
        return Table({name: df[name] for name in self.raw_cat_names}, conts, df.index, train)

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

    @property
    def processed(self):
        return self._floats is not None

    def _need(self, what):
        if not self.processed:
            raise RuntimeError(f"{what} needs processed columns: call {'process()' if self.target is not None else 'setup()'} first")

    # -- parts ------------------------------------------------------------------------------------------------------------------
    def _copy(self, **changes):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(changes)
        return new

    @property
    def n_subsets(self):
        return 1 if self.splits is None else len(self.splits)

    def subset(self, i):
        "Split `i`, which shares the memory of the whole: 0 is for training, 1 for validation."
        if not -self.n_subsets <= i < self.n_subsets:
            there = "no splits" if self.splits is None else plural(self.n_subsets, "split")
            raise IndexError(f"there is no subset {i}: the table has {there}. Give splits=(training rows, validation rows), or a splitter "
                             "such as RandomSplitter()")
        return self if self.splits is None else self._copy(_rows=self.splits[i], splits=None)

    @property
    def train(self):
        "The training rows."
        return self.subset(0)

    @property
    def valid(self):
        "The validation rows."
        return self.subset(1)

    def at(self, positions):
        "Some of these rows, by their positions."
        positions = np.asarray(positions, dtype=np.int64)
        return self._copy(_rows=positions if self._rows is None else self._rows[positions], splits=None)

    def __len__(self):
        return len(self.index) if self._rows is None else len(self._rows)

    # -- columns ----------------------------------------------------------------------------------------------------------------
    def _of_rows(self, values):
        return values if self._rows is None else values[self._rows]

    @property
    def row_index(self):
        "The labels of the rows in the frame they come from."
        return self._of_rows(self.index)

    @property
    def cats(self):
        "The codes of the categories as a DataFrame; without `Categorify`, the values as they came."
        self._need("to.cats")
        if self._codes is None:
            return self._raw_cats.copy() if self._rows is None else self._raw_cats.iloc[self._rows]
        return pd.DataFrame(self._of_rows(self._codes), index=self.row_index, columns=self.cat_names, copy=True)

    @property
    def conts(self):
        "The numbers as a DataFrame."
        self._need("to.conts")
        return pd.DataFrame(self._of_rows(self._floats), index=self.row_index, columns=self.cont_names, copy=True)

    @property
    def xs(self):
        "Codes and numbers as a DataFrame: what a model of scikit-learn takes."
        return _beside(self.cats, self.conts)

    @property
    def ys(self):
        "The encoded target(s) as a DataFrame."
        self._need("to.ys")
        if self._y is None:
            raise ValueError("this table has no targets" + ("" if self.y_names else ": it was made without y_names"))
        y = self._of_rows(self._y)
        names = self.y_names if y.ndim == 1 or y.shape[1] == len(self.y_names) else list(self.vocab)
        return pd.DataFrame(y, index=self.row_index, columns=names, copy=True)

    @property
    def y(self):
        "The encoded target as a Series; a DataFrame if there are several."
        ys = self.ys
        return ys.iloc[:, 0] if ys.shape[1] == 1 else ys

    @property
    def items(self):
        "All processed columns as a DataFrame; before processing, the columns as they came."
        if not self.processed:
            return self._df[self.raw_cat_names + self.raw_cont_names + [n for n in self.y_names if n in self._df.columns]]
        return self.xs if self._y is None else _beside(self.xs, self.ys)

    @property
    def x_names(self):
        return self.cat_names + self.cont_names

    @property
    def classes(self):
        "`{column: its categories}`, id 0 being `'#na#'`."
        return next((p.classes for p in self.procs if isinstance(p, Categorify)), {})

    @property
    def vocab(self):
        "The classes of the target; None if it is a number."
        return None if self.target is None else self.target.vocab

    @property
    def c(self):
        "The number of outputs a model needs: classes, or numbers to predict."
        return None if self.target is None else self.target.c

    @property
    def loss_func(self):
        return None if self.target is None else self.target.loss_func

    @property
    def n_inp(self):
        return 2 if self.with_cont else 1

    # -- tensors ----------------------------------------------------------------------------------------------------------------
    @property
    def tensors(self):
        """`(codes, numbers, targets)` of these rows: int64 (n, categories), float32 (n, numbers), and what the loss takes. Without
        targets there are two elements."""
        rows = None if self._rows is None else torch.from_numpy(self._rows)
        return tuple(t if rows is None else t.index_select(0, rows) for t in self.whole("cpu"))

    def whole(self, device):
        "The tensors of all rows of the table, splits aside, on `device`, where they stay."
        device = torch.device(device)
        if "cpu" not in self._placed:
            self._need("tensors")
            self._placed["cpu"] = self._made()
        key = "cpu" if device.type == "cpu" else str(device)
        if key not in self._placed:
            self._placed[key] = tuple(t.to(device) for t in self._placed["cpu"])
        return self._placed[key]

    def _made(self):
        if self._codes is None and self.cat_names:
            raise ValueError(f"the categories {self.cat_names[:5]} are no codes yet: a network needs procs=[Categorify, ...]")
        codes = np.zeros((len(self.index), 0), dtype=np.int64) if self._codes is None else self._codes
        floats = self._floats.astype(np.float32, copy=False)
        if floats.size and not np.isfinite(floats.sum()):
            bad = [(n, np.isnan(floats[:, j])) for j, n in enumerate(self.cont_names) if np.isnan(floats[:, j]).any()]
            if bad:
                shown = "; ".join(f"{n!r} in {plural(int(m.sum()), 'row')} ({rows_of(self.index, m, 3)})" for n, m in bad)
                raise ValueError(f"continuous columns have missing values, which a network cannot take: {shown}. Add FillMissing to procs")
        inputs = (codes, floats) if self.with_cont else (codes,)
        return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in (*inputs, *([] if self._y is None else [self._y])))

    def with_tensors(self, *tensors):
        "A table with the same columns whose rows are these codes, numbers and targets: to ask a model what would be if."
        new = self._copy(index=pd.RangeIndex(len(tensors[0])), _rows=None, splits=None, _placed={"cpu": tensors})
        new._codes, new._floats = (t.numpy() for t in (tensors if self.with_cont else (tensors[0], torch.zeros(len(new.index), 0)))[:2])
        new._y = tensors[self.n_inp].numpy() if len(tensors) > self.n_inp else None
        return new

    def __getitem__(self, i):
        i = range(len(self))[i]
        i = i if self._rows is None else int(self._rows[i])
        return tuple(t[i] for t in self.whole("cpu"))

    def item_name(self, i):
        "What to call row `i` in a message."
        label = self.row_index[i]
        return f"item {i}, row {label.item() if hasattr(label, 'item') else label!r}"

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

    # -- back to values ---------------------------------------------------------------------------------------------------------
    def decode_arrays(self, codes, floats, y=None, index=None, suffix=""):
        "A DataFrame of the values behind `codes`, `floats` and, if given, targets `y`."
        index = pd.RangeIndex(len(codes)) if index is None else index
        table = Table({n: codes[:, j] for j, n in enumerate(self.cat_names)} if self.classes else {},
                      {n: np.asarray(floats[:, j]) for j, n in enumerate(self.cont_names)}, index)
        for proc in reversed(self.procs):
            proc.decodes(table)
        return self._with_targets(pd.DataFrame({**table.cats, **table.conts}, index=index), y, suffix)

    def _with_targets(self, frame, y, suffix=""):
        columns = {} if y is None or self.target is None else self.target.decode(y)
        return frame.assign(**{f"{name}{suffix}": values for name, values in columns.items()})

    def decode(self, max_n=None):
        "The (first `max_n`) rows with every step undone, as a DataFrame: categories by name, numbers on their own scale."
        self._need("to.decode()")
        rows = slice(None, max_n)
        codes = self._of_rows(self._codes)[rows] if self._codes is not None else np.zeros((len(self.row_index[rows]), 0), dtype=np.int64)
        y = None if self._y is None else self._of_rows(self._y)[rows]
        out = self.decode_arrays(codes, self._of_rows(self._floats)[rows], y, self.row_index[rows])
        return out if self._codes is not None else _beside(self.cats.iloc[rows], out)

    def show(self, max_n=10):
        "The first `max_n` rows, decoded, as a DataFrame."
        return self.decode(max_n)

    # -- loaders and words ------------------------------------------------------------------------------------------------------
    def dataloaders(self, bs=64, val_bs=None, shuffle=True, path=".", device=None, seed=None, drop_last=None, sampler=None,
                    after_batch=None, verbose=False):
        "`TableDataLoaders` of the splits: see `TabDataLoader` for the arguments; val_bs: rows per batch of validation (default: bs)."
        from .dataloader import TableDataLoaders
        return TableDataLoaders.from_tables(*(self.subset(i) for i in range(self.n_subsets)), bs=bs, val_bs=val_bs, shuffle=shuffle,
                                              path=path, device=device, seed=seed, drop_last=drop_last, sampler=sampler,
                                              after_batch=after_batch, verbose=verbose)

    @property
    def report(self):
        "What was made of the frame: rows, columns, target and why it was taken for that, missing and unseen values."
        sizes = "" if self.splits is None else f" ({', '.join(f'{len(s):,}' for s in self.splits)} in the splits)"
        lines = [f"{plural(len(self), 'row')}{sizes}, {len(self.cat_names)} category and {len(self.cont_names)} continuous columns",
                 "target: " + ("none" if not self.y_names else self.target.describe() if self.target is not None else "not set up")]
        if self.classes:
            lines.append("categories: " + ", ".join(f"{n} ({len(v):,})" for n, v in self.classes.items()))
        if self.missing:
            lines.append("missing values: " + ", ".join(f"{k} {v:,}" for k, v in self.missing.items()))
        if self.unseen:
            lines.append(unseen_text(self.unseen, len(self.index), self.classes))
        return "\n".join(lines)

    def summary(self):
        "`report`, as text that shows itself."
        from ..inference import Text
        return Text(self.report)

    def __repr__(self):
        return f"{type(self).__name__}: {self.report}"


def _beside(left, right):
    return pd.concat([left, right], axis=1) if right.shape[1] else left


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
        raise TypeError(f"rows are dicts or Series with the columns of the training data; received {describe(items)}")
    return as_frame(items, "test_dl")
