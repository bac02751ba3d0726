"""`TabularPandas`: the categorical and continuous columns of a DataFrame, encoded, from which each batch is taken by one index.

It is set up once, on the training rows; `to.new(df)` and `test_dl` send other frames through the same steps. What its rows can do once
they are processed stands in `rows`.
"""
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.arguments import refuse_class
from ..core.checkpoint import load, save
from ..core.keywords import knows_keywords
from ..core.messages import describe, did_you_mean, plural
from ..core.paths import Path
from ..core.recipe import Nearest, Recipe
from ..core.types import PathLike, Splits
from ..data.block import TransformBlock
from ..data.engine.samplers import WeightedSampler
from ..data.rows import as_frame
from ..data.splitters import check_positions
from .categorify import unseen_text, warn_of_unseen
from .columns import check_columns, listed_names, number_of, numbers_of, rows_frame
from .procs import OWN_PROCS, Categorify, Normalize, ProcList, Procs, as_procs
from .rows import TableRows
from .table import Encoded, Table, TabularProc, missing_text
from .targets import Target, make_target

if TYPE_CHECKING:
    from .dataloader import TableDataLoaders

__all__ = ["TabularPandas"]

#: Of `state_dict`. In version 1 the states of the procs of minifast stood beside their kind; both are read.
FORMAT = 2


class TabularPandas(TableRows):
    """The columns `cat_names` and `cont_names` of `df`, processed by `procs`, with the target column(s) `y_names`.

    The columns keep the order in which they are listed. It is a dataset too: `to[i]` is (codes int64, numbers float32, target).
    `to['age']` is a processed column, which can be assigned, and so can `to.items`, `.xs`, `.ys`, `.cats` and `.conts`. What the procs
    learnt can be had by name: `to.procs.categorify['race']`, `to.classes`, `to.normalize.means`, `to.na_dict`.

    Args:
        df: the frame.
        procs: such as `[Categorify, FillMissing, Normalize]`, in any order.
        cat_names, cont_names: categorical and continuous columns.
        y_names: target column(s).
        y_block: `CategoryBlock`, `RegressionBlock` or `MultiCategoryBlock`; default: told from all labels, see `to.report`.
        splits: lists of row positions, training first, or a splitter such as `RandomSplitter()`; default: all rows are for training.
        do_setup: learn from the training rows and process all rows now.
        inplace: write the processed columns into `df`, which otherwise never changes.
        reduce_memory: keep continuous columns as float32 even where they are not normalised.
    """

    is_template: bool = False       #: whether it has no rows, see `template`
    _learnt = True

    @knows_keywords
    def __init__(self, df: pd.DataFrame, procs: Procs | None = None, cat_names: Sequence | str | None = None,
                 cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                 y_block: TransformBlock | Callable[[], TransformBlock] | None = None,
                 splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, do_setup: bool = True, inplace: bool = False,
                 reduce_memory: bool = False):
        df = as_frame(df, "TabularPandas")
        cat_names, cont_names, y_names = (listed_names(o, df) for o in (cat_names, cont_names, y_names))
        check_columns(df, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "TabularPandas")
        if not len(df):
            raise ValueError("TabularPandas received a frame without rows")
        if not cat_names and not cont_names:
            raise ValueError("TabularPandas needs columns to predict from: give cat_names= and cont_names=, for example those of "
                             "cont_names, cat_names = cont_cat_split(df, dep_var=...)")
        refuse_class("TabularPandas(splits=...)", splits)
        self._describe(as_procs(procs), cat_names, cont_names, y_names, None, reduce_memory,
                       None if splits is None else
                       check_positions(splits(df) if callable(splits) else splits, len(df), item="row", items=df))
        self.inplace, self._y_block, self._learnt = inplace, y_block, False
        self._begin(df)
        if do_setup:
            self.setup()

    def _describe(self, procs: list[TabularProc], cat_names: list, cont_names: list, y_names: list, target: Target | None,
                  reduce_memory: bool, splits: list[np.ndarray] | None) -> None:
        self.procs, self.raw_cat_names, self.raw_cont_names, self.y_names = ProcList(procs), cat_names, cont_names, y_names
        self.target, self.reduce_memory, self.inplace, self.splits = target, reduce_memory, False, splits

    def _begin(self, df: pd.DataFrame | None, data: Encoded | None = None) -> None:
        self._df, self._data, self.rows, self.is_template = df, data, None, False
        self.index = df.index if data is None else data.index
        self.cat_names, self.cont_names = list(self.raw_cat_names), list(self.raw_cont_names)
        self.unseen, self.missing = {}, {}

    # -- processing -------------------------------------------------------------------------------------------------------------
    @classmethod
    def assembled(cls, procs: list[TabularProc], cat_names: list, cont_names: list, y_names: list, target: Target | None,
                  splits: list[np.ndarray] | None, data: Encoded) -> "TabularPandas":
        "A processed table put together from parts that were made elsewhere."
        self = object.__new__(cls)
        self._describe(procs, cat_names, cont_names, y_names, target, True, splits)
        self._begin(None, data)
        self.cat_names, self.cont_names = data.cat_names, data.cont_names
        return self

    def setup(self) -> "TabularPandas":
        "Learn from the training rows and process all rows. Returns itself."
        if self.processed:
            raise RuntimeError("this table is set up already: setup() is for TabularPandas(..., do_setup=False)")
        df, train, mask = self._df, None if self.splits is None else self.splits[0], None
        if train is not None:
            mask = np.zeros(len(df), dtype=bool)
            mask[train] = True

        def labels() -> tuple:
            target = make_target(df, self.y_names, self._y_block, train)
            return target, None if target is None else target.encode(df, "the frame")

        with ThreadPoolExecutor(1) as pool:             # the labels are encoded while the columns are processed
            pending = pool.submit(labels)
            table = self._table(mask)
            for proc in self.procs:
                proc.setups(table)
                proc.encodes(table)
            self._finish(table)
            self.target, self._data.targets = pending.result()
        self._learnt = True
        if self.target is not None and self.target.note:
            warn(self.target.note, stacklevel=3)
        if train is not None:
            warn_of_unseen(self.unseen, len(df) - len(train), self.classes, self.unseen_advice)
        if self.inplace:
            for name, values in self.items.items():
                self._df[name] = values
        return self

    def new(self, df: pd.DataFrame) -> "TabularPandas":
        "Another frame with the same columns, to go through the same steps: call `process()` on it."
        df = as_frame(df, "to.new")
        missing = [n for n in self.raw_cat_names + self.raw_cont_names if n not in df.columns]
        if missing:
            raise ValueError(f"the frame lacks {plural(len(missing), 'column')} of the training data: "
                             + ", ".join(f"{n!r}{did_you_mean(n, df.columns)}" for n in missing[:10]))
        if not len(df):
            raise ValueError("there are no rows: the frame is empty")
        check_columns(df, {"columns": self.raw_cat_names + self.raw_cont_names}, "to.new")
        new = self._copy(splits=None, inplace=False)
        new._begin(df)
        return new

    def process(self, with_labels: bool | None = None) -> "TabularPandas":
        """Process the frame of a `new` as the training rows were. Returns itself.

        Args:
            with_labels: encode the target too; default: if the frame has it. A label that training did not have is an error.
        """
        if self.processed:
            raise RuntimeError("this frame is processed already: process() is for what `to.new(df)` returns")
        if not self._learnt:
            raise RuntimeError("this table has not learnt anything yet: call setup(), which learns from the training rows and processes "
                               "all; process() is for what `to.new(df)` returns")
        df = self._df
        with_labels = bool(self.y_names) and all(n in df.columns for n in self.y_names) if with_labels is None else with_labels
        if with_labels:
            if not self.y_names:
                raise ValueError("with_labels=True, but the training data has no target (y_names)")
            check_columns(df, {"y_names": self.y_names}, "with_labels=True")
        table = self._table(None)
        for proc in self.procs:
            proc.encodes(table)
        self._finish(table)
        self._data.targets = self.target.encode(df, "this frame") if with_labels and self.target is not None else None
        warnings = [*([unseen_text(table.unseen, len(table), self.classes)] if table.unseen else []),
                    *([missing_text(table.unexpected)] if table.unexpected else [])]
        if warnings:
            warn("; ".join(warnings), stacklevel=3)
        return self

    def _table(self, train: np.ndarray | None) -> Table:
        df = self._df
        table = Table({name: df[name] for name in self.raw_cat_names}, {}, df.index, train)
        table.conts = table.each(lambda name: numbers_of(df[name], name), self.raw_cont_names)
        if any(type(p) not in OWN_PROCS for p in self.procs):       # a user's may write into the columns, the memory of the frame
            table.cats, table.conts = ({name: values.copy() for name, values in o.items()} for o in (table.cats, table.conts))
        return table

    def _finish(self, table: Table) -> None:
        small = self.reduce_memory or any(isinstance(p, Normalize) for p in self.procs)
        with_codes = any(isinstance(p, Categorify) for p in self.procs)
        self._data = Encoded.of_table(table, with_codes, np.float32 if small else np.float64)
        self.cat_names, self.cont_names, self.unseen, self.missing = list(table.cats), list(table.conts), table.unseen, table.missing
        if not self.inplace:
            self._data.keep_source(self._df)            # no longer needed here, and may be large
            self._df = None

    def test_set(self, items: Any, with_labels: bool | None = None) -> "TabularPandas":
        """The rows `items`, a frame, a row (Series or dict) or a list of rows, processed as the training rows were.

        Args:
            items: the rows.
            with_labels: encode the target too; None: if they have it. Targets that cannot be used are then left out with a warning, and
                without one where all are missing.
        """
        frame = rows_frame(items)
        new, target = self.new(frame), None
        if with_labels is None and self.target is not None and all(n in frame.columns and frame[n].notna().any() for n in self.y_names):
            try:
                target = self.target.encode(frame, "these rows")
            except (TypeError, ValueError) as e:
                warn(f"the targets of these rows are left out: {e}", stacklevel=4)
        new.process(bool(with_labels))
        if target is not None:
            new._data.targets = target
        return new

    def encode_row(self, row: Mapping) -> tuple[list[int], list[float]] | None:
        "`(codes, numbers)` of one row, a dict or Series, the same as from a frame; None if a proc cannot do single rows."
        if any(p.encodes_row is None for p in self.procs) or (self.raw_cat_names and not self.classes):
            return None
        try:
            cats = {name: row[name] for name in self.raw_cat_names}
            conts = {name: row[name] for name in self.raw_cont_names}
        except KeyError as e:
            raise ValueError(f"the row lacks the column {e.args[0]!r} of the training data{did_you_mean(e.args[0], row)}") from None
        for name, value in conts.items():
            conts[name] = value if type(value) is float and -1e308 < value < 1e308 else number_of(value, name)
        for proc in self.procs:
            proc.encodes_row(cats, conts)
        return list(cats.values()), list(conts.values())

    # -- loaders ----------------------------------------------------------------------------------------------------------------
    def weighted_dataloaders(self, wgts: Sequence[float], bs: int = 64, **kwargs: Any) -> "TableDataLoaders":
        "`dataloaders` whose training rows are drawn with replacement, with probabilities proportional to `wgts` (one per training row)."
        if len(wgts) != len(self.subset(0)):
            raise ValueError(f"weighted_dataloaders: wgts needs one weight per training row: received {len(wgts)} for "
                             f"{plural(len(self.subset(0)), 'row')}")
        return self.dataloaders(bs, sampler=WeightedSampler(wgts), **kwargs)

    def dataloaders(self, bs: int = 64, val_bs: int | None = None, shuffle: bool = True, path: PathLike = ".",
                    device: str | torch.device | None = None, seed: int | None = None, drop_last: bool | None = None, sampler: Any = None,
                    after_batch: Any = None, verbose: bool = False, num_workers: int | None = None,
                    pin_memory: bool | None = None) -> "TableDataLoaders":
        """Loaders of the splits.

        Args:
            bs, val_bs: rows per batch of training and of validation (default: as `bs`).
            path: a folder that belongs to the data: `dls.path`.
            shuffle, device, seed, drop_last, sampler, after_batch, verbose, num_workers, pin_memory: see `TabDataLoader`.
        """
        from .dataloader import TableDataLoaders
        return TableDataLoaders.from_tables(*self.subsets, bs=bs, val_bs=val_bs, shuffle=shuffle, path=path, device=device, seed=seed,
                                            drop_last=drop_last, sampler=sampler, after_batch=after_batch, verbose=verbose,
                                            num_workers=num_workers, pin_memory=pin_memory)

    # -- what was learnt --------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Columns, what the procs learnt, and the target, without any rows, as plain values that `checkpoint.save` stores.

        A loss function of your own is not among them.
        """
        self._processed("to.state_dict()")
        return {"format": FORMAT, "cat_names": self.raw_cat_names, "cont_names": self.raw_cont_names, "y_names": self.y_names,
                "made": [self.cat_names, self.cont_names], "reduce_memory": self.reduce_memory,
                "procs": [{"kind": type(p).__name__, "state": p.state_dict()} for p in self.procs],
                "target": None if self.target is None else self.target.state_dict()}

    def template(self, kinds: Any = None) -> Recipe:
        "How to make a table with the steps of this one and without rows. kinds: none, a batch has plain tensors."
        own = [type(p) for p in self.procs if type(p) not in OWN_PROCS]
        return Recipe(table_from_state, {"cls": Nearest(type(self)), "state": self.state_dict(), "procs": own})

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], procs: Sequence[type[TabularProc]] = ()) -> "TabularPandas":
        """A table without rows from what `state_dict` gave: `test_set(rows)` and `encode_row(row)` process new rows.

        Args:
            state: the dict.
            procs: classes of procs of your own that are among its steps.
        """
        if not isinstance(state, dict) or "format" not in state or "procs" not in state:
            raise TypeError(f"from_state_dict takes what state_dict of a table gave; received {describe(state)}")
        if state["format"] not in (1, FORMAT):
            raise ValueError(f"this state of a table has format {state['format']}, and this version reads 1 and {FORMAT}: update minifast")
        known, made = {c.__name__: c for c in (*OWN_PROCS, *procs)}, []
        for saved in state["procs"]:
            if saved["kind"] not in known:
                raise ValueError(f"the table has a proc {saved['kind']!r}{did_you_mean(saved['kind'], known)}: give its class, "
                                 f"from_state_dict(state, procs=[{saved['kind']}])")
            made.append(known[saved["kind"]]())
            made[-1].load_state_dict(saved.get("state", saved))
        target = None if state["target"] is None else Target.from_state_dict(state["target"])
        return cls.assembled(made, list(state["cat_names"]), list(state["cont_names"]), list(state["y_names"]), target, None,
                             Encoded.without_rows(*map(list, state["made"])))

    def save(self, file: PathLike) -> Path:
        "Write `state_dict` to `file`, which holds no code and none of the rows. Returns the file."
        return save(self.state_dict(), file)

    @classmethod
    def load(cls, file: PathLike, procs: Sequence[type[TabularProc]] = ()) -> "TabularPandas":
        "The table without rows that `save` wrote: see `from_state_dict`."
        return cls.from_state_dict(load(file), procs)


def table_from_state(cls: type[TabularPandas], state: dict[str, Any], procs: Sequence[type[TabularProc]] = ()) -> TabularPandas:
    """A table without rows, from which those of a loader are made.

    Args:
        cls: its class.
        state: see `TabularPandas.from_state_dict`.
        procs: likewise.
    """
    table = cls.from_state_dict(state, procs)
    table.is_template = True
    return table
