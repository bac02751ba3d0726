"""The target columns of a table: classes, numbers or several labels, told from all labels, checked, encoded and decoded."""
import numpy as np
import pandas as pd

from ..core.items import coll_repr
from ..core.messages import describe, did_you_mean, plural
from ..data.block import TransformBlock
from ..data.categories import Categorize, CategoryMap, EncodedMultiCategorize, MultiCategorize, RegressionSetup
from ..nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from .columns import is_date, numbers_of, rows_of
from .factorize import factorized, sorted_values

#: Whole numbers with at most this many different values are taken for classes.
MAX_CLASSES = 20
#: Whole numbers with more different values than this are surely numbers: nothing needs to be said.
SURELY_NUMBERS = 100


def make_target(df, names, block, train):
    "The `Target` of the columns `names` of `df`, as `block` says or as the labels suggest; None without names. train: training rows."
    if not names:
        if block is not None:
            raise ValueError("y_block is given, but no target: name its column(s) with y_names=")
        return None
    if block is not None:
        return _from_block(df, names, block, train)
    return _inferred(df, names, train)


def _from_block(df, names, block, train):
    block = block() if not isinstance(block, TransformBlock) and callable(block) else block
    if not isinstance(block, TransformBlock):
        raise TypeError(f"y_block takes CategoryBlock, RegressionBlock or MultiCategoryBlock; received {describe(block)}")
    for tfm in block.type_tfms:
        if isinstance(tfm, RegressionSetup):
            if tfm.c is not None and tfm.c != len(names):
                raise ValueError(f"y_block=RegressionBlock(n_out={tfm.c}), but y_names has {plural(len(names), 'column')}")
            return Numbers(names, "y_block says so", block.loss_func)
        if isinstance(tfm, EncodedMultiCategorize):
            if len(tfm.vocab) != len(names):
                raise ValueError(f"y_block=MultiCategoryBlock(encoded=True) has {len(tfm.vocab)} classes, but y_names has "
                                 f"{plural(len(names), 'column')}")
            return Labels(names, tfm.vocab, block.loss_func)
        if isinstance(tfm, MultiCategorize):
            return Labels(names, CategoryMap(names, sort=False), block.loss_func) if len(names) > 1 else \
                LabelLists(names, tfm.vocab, df, train, block.loss_func)
        if isinstance(tfm, Categorize):
            if len(names) > 1:
                raise ValueError(f"y_block=CategoryBlock takes one target column; received y_names={names}. For several yes/no columns use "
                                 "MultiCategoryBlock, for several numbers RegressionBlock")
            return Classes(names, "y_block says so", df, train, tfm.vocab, block.loss_func)
    raise TypeError(f"y_block takes CategoryBlock, RegressionBlock or MultiCategoryBlock; received a block of {block.type_tfms}")


def _inferred(df, names, train):
    if len(names) > 1:
        kinds = {name: _kind(df[name]) for name in names}
        if set(kinds.values()) == {"bool"}:
            return Labels(names, CategoryMap(names, sort=False))
        odd = [name for name, kind in kinds.items() if kind not in ("float", "int")]
        if odd:
            raise ValueError(f"several targets are predicted as numbers, but {odd[0]!r} holds {df[odd[0]].dtype}. For several yes/no "
                             "columns make each of type bool; a table with several class columns needs one model for each")
        return Numbers(names, "several columns of numbers")
    name, column, note = names[0], df[names[0]], None
    kind = _kind(column)
    if kind == "date":
        raise TypeError(f"the target {name!r} holds {column.dtype}: make a number of it that can be predicted")
    if kind == "float":
        if column.nunique() <= 2:
            note = (f"the target {name!r} holds floats with {plural(column.nunique(), 'different value')}: taken for a number to predict; "
                    "for classes write y_block=CategoryBlock")
        return Numbers(names, "floats").noting(note)
    if kind != "int":
        return Classes(names, {"bool": "true and false", "category": "a pandas category"}.get(kind, "text"), df, train)
    n = column.nunique()
    classes = n <= MAX_CLASSES
    if 2 < n <= SURELY_NUMBERS:
        chosen, other = ("classes", "to predict a number write y_block=RegressionBlock") if classes else \
            ("a number to predict", "for classes write y_block=CategoryBlock")
        note = f"the target {name!r} holds whole numbers with {n} different values: taken for {chosen}; {other}"
    why = f"whole numbers with {plural(n, 'different value')}"
    return (Classes(names, why, df, train) if classes else Numbers(names, why)).noting(note)


def _kind(column):
    "What all labels of a column are: 'bool', 'category', 'date', 'float', 'int' or 'text'."
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if is_date(column):
        return "date"
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(dtype):
        return "int"
    if pd.api.types.is_numeric_dtype(dtype):
        return "float"
    if pd.api.types.is_object_dtype(dtype):
        kind = pd.api.types.infer_dtype(column, skipna=True)
        return {"boolean": "bool", "integer": "int", "floating": "float", "mixed-integer-float": "float",
                "decimal": "float"}.get(kind, "text")
    return "text"


class Target:
    "Base: `encode(df, where)` -> array, `decode(array)` -> `{column: values}`, `loss_func`, `c` outputs, `vocab` or None, `why` it is so."

    vocab = None
    kind = ""
    note = None         #: what the user should be told about how it was chosen

    def __init__(self, names, why, loss_func=None):
        self.names, self.why = list(names), why
        self.loss_func = loss_func if loss_func is not None else self.default_loss()

    def noting(self, note):
        "Itself, with this `note`."
        self.note = note
        return self

    def _refuse_missing(self, index, missing, name, where):
        if missing.any():
            raise ValueError(f"the target {name!r} is missing (NaN or None) or infinite in {plural(int(missing.sum()), 'row')} of {where}: "
                             f"{rows_of(index, missing)}. Leave these rows out, df[df[{name!r}].notna()], or fill them in")

    def describe(self):
        "One line: what is predicted and why it was taken for that."
        return f"{', '.join(map(str, self.names))}: {self.kind} ({self.why})"


class Numbers(Target):
    "Numbers: float32, (n,) for one column, (n, k) for several."

    kind = "regression"
    default_loss = MSELossFlat

    @property
    def c(self):
        return len(self.names)

    def encode(self, df, where):
        columns = []
        for name in self.names:
            column = df[name]
            missing = column.isna().to_numpy()
            try:
                if not missing.any() and column.dtype == object:
                    column = column.infer_objects()
                values = numbers_of(column, name)
            except TypeError:
                raise TypeError(f"the target {name!r} is to be predicted as a number, but holds {column.dtype}, such as "
                                f"{describe(column.dropna().iloc[0])}. For classes write y_block=CategoryBlock") from None
            except ValueError:                      # infinite
                missing = missing | np.isinf(column.to_numpy(dtype="float64", na_value=np.nan))
            self._refuse_missing(df.index, missing, name, where)
            with np.errstate(over="ignore"):
                columns.append(values.astype(np.float32))
            large = np.isinf(columns[-1])
            if large.any():
                raise ValueError(f"the target {name!r} is too large for float32 in {plural(int(large.sum()), 'row')} of {where}: "
                                 f"{rows_of(df.index, large)}. Scale it, or take its logarithm")
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    def decode(self, y):
        y = np.asarray(y).reshape(len(y), -1)
        if y.dtype == np.float32:               # by way of their shortest text: 18.45, not 18.450000762939453
            y = y.astype(str).astype(np.float64)
        return {name: y[:, j] for j, name in enumerate(self.names)}


class Classes(Target):
    """One class label per row: int64 ids. The classes are `vocab`, those of a pandas categorical that occur in the frame, or the sorted
    labels of the training rows."""

    default_loss = CrossEntropyLossFlat
    _begun = None

    def __init__(self, names, why, df, train, vocab=None, loss_func=None):
        super().__init__(names, why, loss_func)
        name = names[0]
        if vocab is None:
            codes, values = factorized(df[name], name)
            self._refuse_missing(df.index, codes < 0, name, "the frame")
            self._begun = df, codes, values                 # the first frame to encode is this one
            category = isinstance(df[name].dtype, pd.CategoricalDtype)
            here = np.bincount(codes if category or train is None else codes[train], minlength=len(values))
            present = [values[i] for i in np.flatnonzero(here).tolist()]
            vocab = CategoryMap(present if category else sorted_values(present), sort=False)
        self.vocab, self._ids = vocab, vocab.o2i

    @property
    def c(self):
        return len(self.vocab)

    @property
    def kind(self):
        return plural(self.c, "class")

    def encode(self, df, where):
        name, begun, self._begun = self.names[0], self._begun, None
        codes, values = begun[1:] if begun is not None and begun[0] is df else factorized(df[name], name)
        if not self.vocab.add_na:
            self._refuse_missing(df.index, codes < 0, name, where)
        ids = np.array([*(self._ids.get(v, -1) for v in values), 0], dtype=np.int64)
        out = ids[codes]
        if out.min() < 0 and not self.vocab.add_na:
            unknown = [values[i] for i in np.unique(codes[out < 0]).tolist()]
            raise ValueError(f"the target {name!r} has labels in {where} that are not among the {plural(self.c, 'class')} of training, "
                             f"{coll_repr(self.vocab)}: {coll_repr(unknown)} in {plural(int((out < 0).sum()), 'row')} "
                             f"({rows_of(df.index, out < 0)}){did_you_mean(unknown[0], self.vocab) or '.'} Give all classes with "
                             "y_block=CategoryBlock(vocab=[...])")
        return np.maximum(out, 0)

    def decode(self, y):
        values = np.empty(len(self.vocab), dtype=object)
        values[:] = list(self.vocab)
        return {self.names[0]: values[np.asarray(y, dtype=np.int64)]}


class Labels(Target):
    "Several yes/no columns: float32 zeros and ones, (n, k)."

    kind = "several labels"
    default_loss = BCEWithLogitsLossFlat

    def __init__(self, names, vocab, loss_func=None):
        super().__init__(names, "a column of truth values for each", loss_func)
        self.vocab = vocab

    @property
    def c(self):
        return len(self.names)

    def encode(self, df, where):
        columns = []
        for name in self.names:
            missing = df[name].isna().to_numpy()
            self._refuse_missing(df.index, missing, name, where)
            odd = next((v for v in df[name].unique() if v not in (0, 1)), None)
            if odd is not None:
                raise ValueError(f"the target {name!r} must hold true and false (or 1 and 0), one column per label; received "
                                 f"{describe(odd)}")
            columns.append(df[name].to_numpy(dtype=np.float32))
        return np.stack(columns, axis=1)

    def decode(self, y):
        return {name: np.asarray(y)[:, j] > 0.5 for j, name in enumerate(self.names)}


class LabelLists(Target):
    "A list of labels per row in one column: float32 zeros and ones, (n, number of labels)."

    kind = "several labels"
    default_loss = BCEWithLogitsLossFlat

    def __init__(self, names, vocab, df, train, loss_func=None):
        super().__init__(names, "a list of labels per row", loss_func)
        if vocab is None:
            column = df[names[0]] if train is None else df[names[0]].iloc[train]
            vocab = CategoryMap([label for labels in self._lists(column, "the training rows") for label in labels])
        self.vocab, self._ids = vocab, vocab.o2i

    @property
    def c(self):
        return len(self.vocab)

    def _lists(self, column, where):
        lists = column.tolist()
        for row, labels in zip(column.index, lists, strict=True):
            if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
                raise TypeError(f"the target {self.names[0]!r} must hold a list of labels in each row of {where}; row {row!r} holds "
                                f"{describe(labels)}. Split text with df[{self.names[0]!r}].str.split(';'), write [] for no label")
        return lists

    def encode(self, df, where):
        lists = self._lists(df[self.names[0]], where)
        out = np.zeros((len(lists), len(self.vocab)), dtype=np.float32)
        for i, labels in enumerate(lists):
            for label in labels:
                if label not in self._ids:
                    raise ValueError(f"the target {self.names[0]!r} has the label {label!r} in {where} (row {df.index[i]!r}), which is not "
                                     f"among the labels of training, {coll_repr(self.vocab)}{did_you_mean(label, self.vocab)}")
                out[i, self._ids[label]] = 1
        return out

    def decode(self, y):
        labels = np.empty(len(y), dtype=object)
        labels[:] = [[self.vocab[j] for j in np.flatnonzero(row > 0.5)] for row in np.asarray(y)]
        return {self.names[0]: labels}
