"""What a processed table is to its readers: parts, columns, tensors, and the values behind codes and numbers."""
import numpy as np
import pandas as pd
import torch

from ..core.messages import plural
from .categorify import Categorify, unseen_text
from .columns import rows_of
from .table import Table

__all__ = ["TableView"]


class TableView:
    "The half of `TabularPandas` that looks at the table. The other half makes what is looked at."

    with_cont = True        #: whether batches have an element for the numbers

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
        with np.errstate(over="ignore"):
            floats = self._floats.astype(np.float32, copy=False)
            if floats.size and not np.isfinite(floats.sum()):
                self.refuse_numbers(floats)
        inputs = (codes, floats) if self.with_cont else (codes,)
        return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in (*inputs, *([] if self._y is None else [self._y])))

    def refuse_numbers(self, floats):
        "An error where the float32 numbers, of all rows of the table, are missing or infinite."
        for of, what in ((np.isnan, "missing values, which a network cannot take: {}. Add FillMissing to procs"),
                         (np.isinf, "values too large for float32: {}. Clip them, or take their logarithm")):
            bad = [(n, of(floats[:, j])) for j, n in enumerate(self.cont_names) if of(floats[:, j]).any()]
            if bad:
                index = self.index if len(self.index) == len(floats) else pd.RangeIndex(len(floats))
                shown = "; ".join(f"{n!r} in {plural(int(m.sum()), 'row')} ({rows_of(index, m, 3)})" for n, m in bad)
                raise ValueError(f"continuous columns have {what.format(shown)}")

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
        out = frame.copy() if columns else frame
        for name, values in columns.items():
            out[f"{name}{suffix}" if suffix else name] = values         # names need not be text
        return out

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
        from ..learner.inference import Text
        return Text(self.report)

    def __repr__(self):
        return f"{type(self).__name__}: {self.report}"


def _beside(left, right):
    return pd.concat([left, right], axis=1) if right.shape[1] else left
