"""`TableRows`: processed rows as a frame of columns, as a dataset of tensors, and turned back into values."""
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch

from ..core.messages import did_you_mean, plural
from ..data.categories import CategoryMap
from ..nn.layers import Scaling
from .categorify import unseen_text
from .procs import Categorify, FillMissing, Normalize, ProcList
from .table import Encoded, Table, beside
from .targets import Classes, Target

__all__ = ["TableRows"]

Self = TypeVar("Self", bound="TableRows")


class TableRows:
    """Rows of a processed table, all or some of them; the columns they share lie in one `Encoded`.

    Attributes:
        cat_names, cont_names, y_names: names of the processed columns.
        procs: the steps, which undo themselves.
        target: what is predicted; None without `y_names`.
        splits: positions of the rows of each split; None: there are none.
        index: labels of all rows of the table.
        rows: positions of these rows in the whole table; None: all of them.
        unseen: `{column: (count, example)}` of categories that training did not have.
        missing: `{column: count}` of missing values.
    """

    with_cont = True        #: whether batches have an element for the continuous columns
    unseen_advice = ("Such a column says little about new rows: leave it out of cat_names, or choose a split in which the training rows "
                     "have its values")     #: what to write where validation has many categories that training did not have
    procs: ProcList
    raw_cat_names: list     #: of the frame, before the procs
    raw_cont_names: list
    cat_names: list
    cont_names: list
    y_names: list
    target: Target | None
    splits: list[np.ndarray] | None
    index: pd.Index
    rows: np.ndarray | None
    unseen: dict[Any, tuple[int, Any]]
    missing: dict[Any, int]
    _df: pd.DataFrame | None
    _data: Encoded | None

    @property
    def processed(self) -> bool:
        "Whether the rows are encoded."
        return self._data is not None

    def _processed(self, what: str) -> Encoded:
        if not self.processed:
            raise RuntimeError(f"{what} needs processed columns: call {'process()' if self.target is not None else 'setup()'} first")
        return self._data

    # -- rows -------------------------------------------------------------------------------------------------------------------
    def _copy(self: Self, **changes: Any) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        return new

    @property
    def n_subsets(self) -> int:
        "The number of splits; 1 without."
        return 1 if self.splits is None else len(self.splits)

    def subset(self: Self, i: int) -> Self:
        "Split `i`, which shares the memory of the whole: 0 is for training, 1 for validation."
        if not -self.n_subsets <= i < self.n_subsets:
            there = "no splits" if self.splits is None else plural(self.n_subsets, "split")
            raise IndexError(f"there is no subset {i}: the table has {there}. Give splits=(training rows, validation rows), or a splitter "
                             "such as RandomSplitter()")
        return self if self.splits is None else self._copy(rows=self.splits[i], splits=None)

    @property
    def subsets(self: Self) -> list[Self]:
        "All splits."
        return [self.subset(i) for i in range(self.n_subsets)]

    @property
    def train(self: Self) -> Self:
        "The training rows."
        return self.subset(0)

    @property
    def valid(self: Self) -> Self:
        "The validation rows."
        return self.subset(1)

    @property
    def loc(self) -> Any:
        "`to.items.loc`: processed columns by the labels of the rows."
        return self.items.loc

    def at(self: Self, positions: Sequence[int]) -> Self:
        "Some of these rows, by their positions."
        chosen = np.asarray(positions, dtype=np.int64)
        return self._copy(rows=chosen if self.rows is None else self.rows[chosen], splits=None)

    def __len__(self) -> int:
        return len(self.index) if self.rows is None else len(self.rows)

    def _at_rows(self, values: Any) -> Any:
        return values if self.rows is None else values[self.rows]

    @property
    def original(self) -> pd.DataFrame | None:
        "These rows of the frame they came from, all its columns; None where that frame is gone, was changed in place, or has other rows."
        source = None if self._data is None else self._data.source()
        if source is None or not source.index.equals(self.index) or not {*self.raw_cat_names, *self.raw_cont_names} <= {*source}:
            return None
        return source if self.rows is None else source.iloc[self.rows]

    @property
    def row_index(self) -> pd.Index:
        "The labels of the rows in the frame they come from."
        return self._at_rows(self.index)

    def item_name(self, i: int) -> str:
        "What to call row `i` in a message: its label in the frame."
        label = self.row_index[i]
        return f"row {label.item() if hasattr(label, 'item') else label!r}"

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

    def with_tensors(self: Self, *tensors: torch.Tensor) -> Self:
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
        # (`iloc` would make pandas frames of tables, for whoever asks what they are)
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
            made.append(new[columns].to_numpy(dtype=old.dtype, copy=True).reshape((-1, *old.shape[1:])) if changed else old)
        raw = new[self.cat_names] if data.codes is None else None
        self._data = Encoded(self.row_index, self.cat_names, self.cont_names, made[0], made[1], made[2], raw, data.keeper)
        self.index, self.rows = self._data.index, None

    def __getitem__(self, i: Any) -> Any:
        if not isinstance(i, (int, np.integer)):
            items = self.items
            if pd.api.types.is_hashable(i) and not isinstance(i, slice) and i not in items.columns:
                raise KeyError(f"there is no processed column {i!r}{did_you_mean(i, items.columns) or '.'} They are "
                               f"{', '.join(map(str, items.columns))}. Other columns stay in the frame: df.loc[to.items.index, {i!r}]")
            return items[i]
        i = range(len(self))[i]
        i = i if self.rows is None else int(self.rows[i])
        return tuple(t[i] for t in self.whole("cpu"))

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
