"""`TabularPandas`: the categorical and continuous columns of a DataFrame, encoded, from which each batch is taken by one index.

It is set up once, on the training rows; `to.new(df)` and `test_dl` send other frames through the same steps. Longer than 400 lines because
users meet one class that is a frame, a dataset and what was learnt; the work is in `table` and the procs.
"""
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.checkpoint import load, save
from ..core.messages import describe, did_you_mean, plural
from ..core.paths import Path
from ..core.recipe import Nearest, Recipe
from ..core.types import PathLike, Splits
from ..data.block import TransformBlock
from ..data.categories import CategoryMap
from ..data.engine.samplers import WeightedSampler
from ..data.splitters import check_positions
from ..nn.layers import Scaling
from .categorify import unseen_text
from .columns import as_frame, check_columns, listed_names, number_of, numbers_of, rows_frame
from .procs import OWN_PROCS, Categorify, FillMissing, Normalize, ProcList, Procs, as_procs
from .table import Encoded, Table, TabularProc, beside, missing_text
from .targets import Classes, Target, make_target

if TYPE_CHECKING:
    from .dataloader import TableDataLoaders

__all__ = ["TabularPandas"]

#: Of `state_dict`. In version 1 the states of the procs of minifast stood beside their kind; both are read.
FORMAT = 2


class TabularPandas:
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

    Attributes:
        rows: positions of these rows in the whole table; None: all of them.
        target: what is predicted, see `targets.Target`; None without `y_names`.
        unseen: `{column: (count, example)}` of categories that training did not have.
        missing: `{column: count}` of missing values.
    """

    with_cont = True        #: whether batches have an element for the continuous columns
    target: Target | None
    is_template: bool = False       #: whether it has no rows, see `template`
    _learnt = True

    def __init__(self, df: pd.DataFrame, procs: Procs | None = None, cat_names: Sequence | str | None = None,
                 cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                 y_block: TransformBlock | Callable[[], TransformBlock] | None = None,
                 splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, do_setup: bool = True, inplace: bool = False,
                 reduce_memory: bool = False):
        df = as_frame(df)
        cat_names, cont_names, y_names = (listed_names(o, df) for o in (cat_names, cont_names, y_names))
        check_columns(df, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "TabularPandas")
        if not len(df):
            raise ValueError("TabularPandas received a frame without rows")
        if not cat_names and not cont_names:
            raise ValueError("TabularPandas needs columns to predict from: give cat_names= and cont_names=, for example those of "
                             "cont_names, cat_names = cont_cat_split(df, dep_var=...)")
        self._describe(as_procs(procs), cat_names, cont_names, y_names, None, reduce_memory,
                       None if splits is None else check_positions(splits(df) if callable(splits) else splits, len(df), item="row"))
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
            self._df = None                             # no longer needed, and may be large

    @property
    def processed(self) -> bool:
        "Whether the rows are encoded."
        return self._data is not None

    def _processed(self, what: str) -> Encoded:
        if not self.processed:
            raise RuntimeError(f"{what} needs processed columns: call {'process()' if self.target is not None else 'setup()'} first")
        return self._data

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

    # -- rows -------------------------------------------------------------------------------------------------------------------
    def _copy(self, **changes: Any) -> "TabularPandas":
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        return new

    @property
    def n_subsets(self) -> int:
        "The number of splits; 1 without."
        return 1 if self.splits is None else len(self.splits)

    def subset(self, i: int) -> "TabularPandas":
        "Split `i`, which shares the memory of the whole: 0 is for training, 1 for validation."
        if not -self.n_subsets <= i < self.n_subsets:
            there = "no splits" if self.splits is None else plural(self.n_subsets, "split")
            raise IndexError(f"there is no subset {i}: the table has {there}. Give splits=(training rows, validation rows), or a splitter "
                             "such as RandomSplitter()")
        return self if self.splits is None else self._copy(rows=self.splits[i], splits=None)

    @property
    def subsets(self) -> list["TabularPandas"]:
        "All splits."
        return [self.subset(i) for i in range(self.n_subsets)]

    @property
    def train(self) -> "TabularPandas":
        "The training rows."
        return self.subset(0)

    @property
    def valid(self) -> "TabularPandas":
        "The validation rows."
        return self.subset(1)

    @property
    def loc(self) -> Any:
        "`to.items.loc`: processed columns by the labels of the rows."
        return self.items.loc

    def at(self, positions: Sequence[int]) -> "TabularPandas":
        "Some of these rows, by their positions."
        chosen = np.asarray(positions, dtype=np.int64)
        return self._copy(rows=chosen if self.rows is None else self.rows[chosen], splits=None)

    def __len__(self) -> int:
        return len(self.index) if self.rows is None else len(self.rows)

    def _at_rows(self, values: Any) -> Any:
        return values if self.rows is None else values[self.rows]

    @property
    def row_index(self) -> pd.Index:
        "The labels of the rows in the frame they come from."
        return self._at_rows(self.index)

    def item_name(self, i: int) -> str:
        "What to call row `i` in a message."
        label = self.row_index[i]
        return f"item {i}, row {label.item() if hasattr(label, 'item') else label!r}"

    # -- columns ----------------------------------------------------------------------------------------------------------------
    def _frame(self, values: np.ndarray, names: list) -> pd.DataFrame:
        return pd.DataFrame(self._at_rows(values), index=self.row_index, columns=names, copy=True)

    @property
    def cats(self) -> pd.DataFrame:
        "The codes of the categories; without `Categorify`, the values as they came."
        data = self._processed("to.cats")
        if data.codes is None:
            return data.raw_cats.copy() if self.rows is None else data.raw_cats.iloc[self.rows]
        return self._frame(data.codes, self.cat_names)

    @cats.setter
    def cats(self, frame: Any) -> None:
        self[self.cat_names] = frame

    @property
    def conts(self) -> pd.DataFrame:
        "The continuous columns."
        return self._frame(self._processed("to.conts").numbers, self.cont_names)

    @conts.setter
    def conts(self, frame: Any) -> None:
        self[self.cont_names] = frame

    @property
    def xs(self) -> pd.DataFrame:
        "Categorical and continuous columns: what a model of scikit-learn takes."
        return beside(self.cats, self.conts)

    @xs.setter
    def xs(self, frame: Any) -> None:
        self[self.x_names] = frame

    @property
    def ys(self) -> pd.DataFrame:
        "The encoded target(s)."
        y = self._processed("to.ys").targets
        if y is None:
            raise ValueError("this table has no targets" + ("" if self.y_names else ": it was made without y_names"))
        return self._frame(y, self.y_names if y.ndim == 1 or y.shape[1] == len(self.y_names) else list(self.vocab))

    @ys.setter
    def ys(self, frame: Any) -> None:
        self[list(self.ys)] = frame

    @property
    def y(self) -> pd.Series | pd.DataFrame:
        "The encoded target as a Series; a DataFrame if there are several."
        ys = self.ys
        return ys.iloc[:, 0] if ys.shape[1] == 1 else ys

    @property
    def items(self) -> pd.DataFrame:
        "All processed columns; before processing, the columns as they came."
        if not self.processed:
            return self._df[self.raw_cat_names + self.raw_cont_names + [n for n in self.y_names if n in self._df.columns]]
        return self.xs if self._data.targets is None else beside(self.xs, self.ys)

    @items.setter
    def items(self, frame: Any) -> None:
        self[list(self.items)] = frame

    @property
    def all_col_names(self) -> list:
        "The names of the processed columns, the target(s) included."
        return self.x_names + self.y_names

    @property
    def labelled(self) -> bool:
        "Whether the rows have targets."
        return self._data is None or self._data.targets is not None

    @property
    def x_names(self) -> list:
        "The names of the categorical and the continuous columns."
        return self.cat_names + self.cont_names

    @property
    def classes(self) -> dict[Any, CategoryMap]:
        "`{column: its categories}`, id 0 being `'#na#'`."
        return next((p.classes for p in self.procs if isinstance(p, Categorify)), {})

    @property
    def vocab(self) -> Any:
        "The classes of the target; None if it is a number."
        return None if self.target is None else self.target.vocab

    @property
    def c(self) -> int | None:
        "The number of outputs a model needs: classes, or numbers to predict."
        return None if self.target is None else self.target.c

    @property
    def loss_func(self) -> Callable | None:
        "The loss that goes with the target."
        return None if self.target is None else self.target.loss_func

    # -- as a dataset -----------------------------------------------------------------------------------------------------------
    @property
    def n_inp(self) -> int:
        "How many elements of a batch are inputs."
        return 2 if self.with_cont else 1

    def graph_inputs(self) -> tuple[list[str], list[Scaling | None], dict[str, Any]]:
        """What is to be known of the inputs of an exported graph.

        Returns:
            The procs that its caller must apply himself; the scaling of the continuous columns, in float64, for each input; and
            `{"categorical": names, "continuous": names, "fill": {name: what takes the place of a missing number}}`.
        """
        inside = self.procs[-1:] if self.with_cont and self.cont_names and self.procs and type(self.procs[-1]) is Normalize else []
        scalings: list[Scaling | None] = [None] * self.n_inp
        for proc in inside:
            scalings[1] = Scaling(*(torch.tensor([values[name] for name in self.cont_names], dtype=torch.float64)
                                    for values in (proc.means, proc.stds)))
        fill = {str(name): value for proc in self.procs if isinstance(proc, FillMissing) for name, value in proc.na_dict.items()}
        return ([repr(proc) for proc in self.procs if proc not in inside], scalings,
                {"categorical": list(map(str, self.cat_names)), "continuous": list(map(str, self.cont_names)), "fill": fill})

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """`(codes, numbers, targets)` of these rows: int64 (n, categorical), float32 (n, continuous), and what the loss takes.

        Without targets there are two elements.
        """
        rows = None if self.rows is None else torch.from_numpy(self.rows)
        return tuple(t if rows is None else t.index_select(0, rows) for t in self.whole("cpu"))

    def whole(self, device: torch.device | str) -> tuple[torch.Tensor, ...]:
        "The tensors of all rows of the table, splits aside, on `device`, where they stay."
        return self._processed("tensors").tensors(device, self.with_cont)

    def with_tensors(self, *tensors: torch.Tensor) -> "TabularPandas":
        "A table with the same columns whose rows are these tensors of a batch, to ask a model what it would predict for them."
        targets = tensors[self.n_inp] if len(tensors) > self.n_inp else None
        data = Encoded.of_tensors(self._data, tensors[0], tensors[1] if self.with_cont else None, targets)
        return self._copy(index=data.index, rows=None, splits=None, _data=data)

    def check_finite(self, numbers: np.ndarray) -> None:
        "Refuse float32 numbers (n, continuous columns) that are missing or infinite."
        self._data.check_finite(numbers)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and "procs" in self.__dict__:
            try:
                return getattr(self.procs, name)
            except AttributeError:
                if name in self.cat_names or name in self.cont_names or name in self.y_names:
                    raise AttributeError(f"a table has no attribute {name!r}: the column is to[{name!r}]") from None
        more = ": write to.items.iloc[...], or to.at(positions) for a table of these rows" if name == "iloc" else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{more}")

    def __setitem__(self, names: Any, values: Any) -> None:
        """Put other values into processed columns: codes of categories, scaled numbers, encoded targets.

        Loaders that were made before keep the earlier ones.
        """
        data, names = self._processed("to[...] = ..."), names if isinstance(names, list) else [names]
        new = self.items
        unknown = [name for name in names if name not in new.columns]
        if unknown:
            raise ValueError(f"to[{unknown[0]!r}] = ...: there is no such processed column{did_you_mean(unknown[0], new.columns) or '.'} "
                             "Add it to the frame, and name it in cat_names or cont_names, before making the table")
        if isinstance(values, pd.DataFrame) and len(values) != len(self):
            raise ValueError(f"a table of {plural(len(self), 'row')} takes as many; received {len(values)}. For other rows write "
                             "to.new(df).process()")
        new[names if len(names) > 1 or isinstance(values, pd.DataFrame) else names[0]] = \
            values[names] if isinstance(values, pd.DataFrame) else values
        parts = [(self.cat_names, data.codes), (self.cont_names, data.numbers), (list(new.columns[len(self.x_names):]), data.targets)]
        made: list[Any] = []
        for columns, old in parts:
            old = None if old is None else self._at_rows(old)
            changed = old is not None and bool(set(columns) & set(names))
            made.append(new[columns].to_numpy(dtype=old.dtype).reshape((-1, *old.shape[1:])) if changed else old)
        raw = new[self.cat_names] if data.codes is None else None
        self._data = Encoded(self.row_index, self.cat_names, self.cont_names, made[0], made[1], made[2], raw, data.keeper)
        self.index, self.rows = self._data.index, None

    def __getitem__(self, i: Any) -> Any:
        if not isinstance(i, (int, np.integer)):
            items = self.items
            if pd.api.types.is_hashable(i) and not isinstance(i, slice) and i not in items.columns:
                raise KeyError(f"there is no processed column {i!r}{did_you_mean(i, items.columns) or '.'} They are "
                               f"{', '.join(map(str, items.columns))}")
            return items[i]
        i = range(len(self))[i]
        i = i if self.rows is None else int(self.rows[i])
        return tuple(t[i] for t in self.whole("cpu"))

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
            path: the folder of the learner's files.
            shuffle, device, seed, drop_last, sampler, after_batch, verbose, num_workers, pin_memory: see `TabDataLoader`.
        """
        from .dataloader import TableDataLoaders
        return TableDataLoaders.from_tables(*self.subsets, bs=bs, val_bs=val_bs, shuffle=shuffle, path=path, device=device, seed=seed,
                                            drop_last=drop_last, sampler=sampler, after_batch=after_batch, verbose=verbose,
                                            num_workers=num_workers, pin_memory=pin_memory)

    # -- back to values ---------------------------------------------------------------------------------------------------------
    def decode_arrays(self, codes: np.ndarray, numbers: np.ndarray, y: np.ndarray | None = None, index: pd.Index | None = None,
                      suffix: str = "") -> pd.DataFrame:
        "The values behind codes, numbers and, if given, targets."
        index = pd.RangeIndex(len(codes)) if index is None else index
        table = Table({n: codes[:, j] for j, n in enumerate(self.cat_names)} if self.classes else {},
                      {n: np.asarray(numbers[:, j]) for j, n in enumerate(self.cont_names)}, index)
        for proc in reversed(self.procs):
            proc.decodes(table)
        return self.add_targets(pd.DataFrame({**table.cats, **table.conts}, index=index), y, suffix)

    def add_targets(self, frame: pd.DataFrame, y: np.ndarray | None, suffix: str = "") -> pd.DataFrame:
        "`frame` with the values behind the targets `y` as further columns; suffix: of their names."
        columns = {} if y is None or self.target is None else self.target.decode(y)
        out = frame.copy() if columns else frame
        for name, values in columns.items():
            out[f"{name}{suffix}" if suffix else name] = values         # names need not be text
        return out

    def decode(self, max_n: int | None = None) -> pd.DataFrame:
        "The (first `max_n`) rows with every step undone: categories by name, continuous columns on their own scale."
        data, rows = self._processed("to.decode()"), slice(None, max_n)
        index = self.row_index[rows]
        codes = np.zeros((len(index), 0), dtype=np.int64) if data.codes is None else self._at_rows(data.codes)[rows]
        y = None if data.targets is None else self._at_rows(data.targets)[rows]
        out = self.decode_arrays(codes, self._at_rows(data.numbers)[rows], y, index)
        return out if data.codes is not None else beside(self.cats.iloc[rows], out)

    def decode_row(self, row: pd.Series) -> pd.Series:
        """One processed row with every step undone.

        Args:
            row: such as `to.items.iloc[0]`; without the target, if it has none.
        """
        lacking = [n for n in self.x_names if n not in row.index]
        if lacking:
            raise KeyError(f"decode_row takes a processed row, such as to.items.iloc[0]; this one lacks {', '.join(map(repr, lacking))}")
        y = None
        if self.y_names and all(n in row.index for n in self.y_names):
            y = row[self.y_names].to_numpy(dtype=np.float32)
            y = y if isinstance(self.target, Classes) else y[None]
        numbers = row[self.cont_names].to_numpy(dtype=np.float64)[None]
        codes = row[self.cat_names].to_numpy()[None]
        decoded = self.decode_arrays(codes.astype(np.int64) if self.classes else codes, numbers, y, pd.Index([row.name]))
        if not self.classes:
            decoded = decoded.assign(**{n: row[n] for n in self.cat_names})
        return decoded.astype(object).iloc[0]

    def show(self, max_n: int = 10) -> pd.DataFrame:
        "The first `max_n` rows, decoded."
        return self.decode(max_n)

    @property
    def report(self) -> str:
        "A summary: rows, columns, the target and why its kind was chosen, missing and unseen values."
        sizes = "" if self.splits is None else f" ({', '.join(f'{len(s):,}' for s in self.splits)} in the splits)"
        target = "none" if not self.y_names else self.target.describe() if self.target is not None else "not set up"
        more = [(self.classes, "categories: " + ", ".join(f"{n} ({len(v):,})" for n, v in self.classes.items())),
                (self.missing, "missing values: " + ", ".join(f"{k} {v:,}" for k, v in self.missing.items())),
                (self.unseen, unseen_text(self.unseen, len(self.index), self.classes))]
        return "\n".join([f"{plural(len(self), 'row')}{sizes}, {len(self.cat_names)} categorical and {len(self.cont_names)} continuous "
                          f"columns\ntarget: {target}", *(text for there, text in more if there)])

    def summary(self) -> str:
        "`report`, as text that shows itself."
        from ..learner.inference import Text
        return Text(self.report)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.report}"

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
