"""The target columns of a table: classes, numbers or several labels, told from all labels, checked, encoded and decoded."""
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..core.items import coll_repr
from ..core.messages import describe, did_you_mean, listing, plural
from ..data.block import TransformBlock
from ..data.categories import Categorize, CategoryMap, MultiCategorize, RegressionSetup
from ..data.indicators import refuse_indicators
from ..data.labels import is_missing
from ..data.one_hot import EncodedMultiCategorize
from ..nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from .columns import as_object_array, factorized, numbers_of, rows_of, sorted_values
from .kinds import ADVICE, as_numbers, column_kind, numbers_in_text
from .table import to_plain, vocab_from_plain

#: Why a target was taken for what it is, in reports.
BY_BLOCK, BOOLEANS = "y_block says so", "a column of truth values for each"
#: Whole numbers with at most this many different values are taken for classes.
MAX_CLASSES = 20
#: Whole numbers with more different values than this are surely numbers: nothing needs to be said.
SURELY_NUMBERS = 100


class Target:
    """What is predicted.

    Args:
        names: its columns.
        why: why it was taken for what it is.
        vocab: the classes; None for numbers.
        loss_func: default: the one of its kind.

    Attributes:
        kind: what it is, in words.
        note: what the user should know about how it was chosen; None: nothing.
    """

    kind: str = ""
    note: str | None = None
    default_loss: Callable[[], Callable]

    def __init__(self, names: list, why: str, vocab: CategoryMap | None = None, loss_func: Callable | None = None):
        self.names, self.why, self.vocab = list(names), why, vocab
        self.loss_func = loss_func if loss_func is not None else self.default_loss()

    def learn(self, df: pd.DataFrame, train: np.ndarray | None) -> "Target":
        "Learn the classes, where they are not given, from the rows `train` (None: all) of `df`; returns itself."
        return self

    @property
    def c(self) -> int:
        "The number of outputs a model needs."
        return len(self.names if self.vocab is None else self.vocab)

    def encode(self, df: pd.DataFrame, where: str) -> np.ndarray:
        "The target of `df` as the loss takes it; `where` names the frame in messages."
        raise NotImplementedError

    def decode(self, y: np.ndarray) -> dict[Any, Any]:
        "`{column: values}` of encoded targets or decoded predictions."
        raise NotImplementedError

    def describe(self) -> str:
        "One line: what is predicted and why it was taken for that."
        return f"{', '.join(map(str, self.names))}: {self.kind} ({self.why})"

    def state_dict(self) -> dict[str, Any]:
        "What it is, as plain values; a loss function of the user's own is not among them."
        vocab = None if self.vocab is None else [to_plain(self.vocab, self.names[0]), self.vocab.add_na]
        return {"kind": type(self).__name__, "names": self.names, "why": self.why, "vocab": vocab}

    @staticmethod
    def from_state_dict(state: dict[str, Any]) -> "Target":
        "The target that `state_dict` described."
        vocab = None if state["vocab"] is None else vocab_from_plain(*state["vocab"])
        return KINDS[state["kind"]](state["names"], state["why"], vocab)

    def _refuse_missing(self, index: pd.Index, missing: np.ndarray, name: Any, where: str) -> None:
        if missing.any():
            raise ValueError(f"the target {name!r} is missing (NaN or None) or infinite in {plural(int(missing.sum()), 'row')} of {where}: "
                             f"{rows_of(index, missing)}. Leave these rows out, df[df[{name!r}].notna()], or fill them in")


class Numbers(Target):
    "Numbers: float32, (n, number of columns)."

    kind = "regression"
    default_loss = MSELossFlat

    def encode(self, df: pd.DataFrame, where: str) -> np.ndarray:
        columns = []
        for name in self.names:
            column = df[name]
            missing = column.isna().to_numpy()
            try:
                values = numbers_of(column.infer_objects() if column.dtype == object and not missing.any() else column, name)
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
        return np.stack(columns, axis=1)

    def decode(self, y: np.ndarray) -> dict[Any, Any]:
        y = np.asarray(y).reshape(len(y), -1)
        if y.dtype == np.float32:               # by way of their shortest text: 18.45, not 18.450000762939453
            y = y.astype(str).astype(np.float64)
        return {name: y[:, j] for j, name in enumerate(self.names)}


class Classes(Target):
    """One class label per row: int64 ids.

    The classes are `vocab`, those of a pandas categorical that occur in the frame, or the sorted labels of the training rows.
    """

    default_loss = CrossEntropyLossFlat
    _factorized: tuple = (None,)

    def learn(self, df: pd.DataFrame, train: np.ndarray | None) -> "Target":
        if self.vocab is None:
            column = df[self.names[0]]
            codes, values = factorized(column)
            self._refuse_missing(df.index, codes < 0, self.names[0], "the frame")
            self._factorized = df, codes, values            # the first frame to encode is this one
            ordered = isinstance(column.dtype, pd.CategoricalDtype)
            counts = np.bincount(codes if ordered or train is None else codes[train], minlength=len(values))
            present = [values[i] for i in np.flatnonzero(counts).tolist()]
            self.vocab = CategoryMap.of_unique(present if ordered else sorted_values(present))
            if len(present) == 1:
                self.note = (f"the target {self.names[0]!r} is {present[0]!r} in every training row: there is nothing to tell apart, and "
                             "any model is right. Look at the column and at the split")
        return self

    @property
    def kind(self) -> str:  # type: ignore[override]  # the number of classes is part of it
        return plural(self.c, "class")

    def encode(self, df: pd.DataFrame, where: str) -> np.ndarray:
        name, (known_frame, *found) = self.names[0], self._factorized
        codes, values = found if known_frame is df else factorized(df[name])
        self._factorized = (None,)
        known = self.vocab.o2i
        out = np.array([*(known.get(v, -1) for v in values), 0], dtype=np.int64)[codes]
        if not self.vocab.add_na:
            self._refuse_missing(df.index, codes < 0, name, where)
            if out.min() < 0:
                unknown = [values[i] for i in np.unique(codes[out < 0]).tolist()]
                raise ValueError(f"the target {name!r} has labels in {where} that are not among the {plural(self.c, 'class')} of training, "
                                 f"{coll_repr(self.vocab)}: {coll_repr(unknown)} in {plural(int((out < 0).sum()), 'row')} "
                                 f"({rows_of(df.index, out < 0)}){did_you_mean(unknown[0], self.vocab) or '.'} Give all classes with "
                                 "y_block=CategoryBlock(vocab=[...])")
        return np.maximum(out, 0)

    def decode(self, y: np.ndarray) -> dict[Any, Any]:
        return {self.names[0]: as_object_array(list(self.vocab))[np.asarray(y, dtype=np.int64)]}


class Labels(Target):
    "Several yes/no columns: float32 zeros and ones, (n, k)."

    kind = "several labels"
    default_loss = BCEWithLogitsLossFlat

    def encode(self, df: pd.DataFrame, where: str) -> np.ndarray:
        for name in self.names:
            self._refuse_missing(df.index, df[name].isna().to_numpy(), name, where)
            odd = next((v for v in df[name].unique() if v not in (0, 1)), None)
            if odd is not None:
                raise ValueError(f"the target {name!r} must hold true and false (or 1 and 0), one column per label; received "
                                 f"{odd.item() if hasattr(odd, 'item') else odd!r}")
        return np.stack([df[name].to_numpy(dtype=np.float32) for name in self.names], axis=1)

    def decode(self, y: np.ndarray) -> dict[Any, Any]:
        return {name: np.asarray(y)[:, j] > 0.5 for j, name in enumerate(self.names)}


class LabelLists(Labels):
    "A list of labels per row in one column: float32 zeros and ones, (n, number of labels)."

    def learn(self, df: pd.DataFrame, train: np.ndarray | None) -> "Target":
        if self.vocab is None:
            column = df[self.names[0]] if train is None else df[self.names[0]].iloc[train]
            lists = self._lists(column, "the training rows")
            refuse_indicators(lists, f"the target {self.names[0]!r}", "in a column for each of them, y_names=[{names}] and "
                              "y_block=MultiCategoryBlock(encoded=True)")
            self.vocab = CategoryMap([label for labels in lists for label in labels])
        return self

    def _lists(self, column: pd.Series, where: str) -> list:
        for row, labels in column.items():
            if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
                raise TypeError(f"the target {self.names[0]!r} must hold a list of labels in each row of {where}; row {row!r} holds "
                                f"{describe(labels)}. Split text with df[{self.names[0]!r}].str.split(';'), write [] for no label")
        return column.tolist()

    def encode(self, df: pd.DataFrame, where: str) -> np.ndarray:
        lists, ids = self._lists(df[self.names[0]], where), self.vocab.o2i
        out = np.zeros((len(lists), len(self.vocab)), dtype=np.float32)
        for i, labels in enumerate(lists):
            for label in labels:
                if is_missing(label):
                    continue
                if label not in ids:
                    raise ValueError(f"the target {self.names[0]!r} has the label {label!r} in {where} (row {df.index[i]!r}), which is not "
                                     f"among the labels of training, {coll_repr(self.vocab)}{did_you_mean(label, self.vocab)}")
                out[i, ids[label]] = 1
        return out

    def decode(self, y: np.ndarray) -> dict[Any, Any]:
        return {self.names[0]: as_object_array([[self.vocab[j] for j in np.flatnonzero(row > 0.5)] for row in np.asarray(y)])}


#: The kinds of target by the name under which a table stores them.
KINDS: dict[str, type[Target]] = {kind.__name__: kind for kind in (Numbers, Classes, Labels, LabelLists)}


def make_target(df: pd.DataFrame, names: list, block: Any, train: np.ndarray | None) -> Target | None:
    """The `Target` of the columns `names` of `df`; None without names.

    Args:
        df: the frame.
        names: the target columns.
        block: `CategoryBlock`, `RegressionBlock` or `MultiCategoryBlock`; `TransformBlock()` for numbers; None: told from the labels.
        train: positions of the training rows; None: all.
    """
    if not names:
        if block is not None:
            raise ValueError("y_block is given, but no target: name its column(s) with y_names=")
        return None
    target = (_of_block(names, block) if block is not None else _several(df, names) if len(names) > 1 else
              _inferred(df[names[0]], names[0]))
    return target.learn(df, train)


def _of_block(names: list, block: Any) -> Target:
    block = block() if not isinstance(block, TransformBlock) and callable(block) else block
    expected = "y_block takes CategoryBlock, RegressionBlock or MultiCategoryBlock; received"
    if not isinstance(block, TransformBlock):
        raise TypeError(f"{expected} {describe(block)}")
    loss: Any = block.loss_func
    columns = plural(len(names), "column")
    if not block.type_tfms:                         # TransformBlock(): the numbers as they are
        return Numbers(names, BY_BLOCK, None, loss)
    for tfm in block.type_tfms:
        if isinstance(tfm, RegressionSetup):
            if tfm.c not in (None, len(names)):
                raise ValueError(f"y_block=RegressionBlock(n_out={tfm.c}), but y_names has {columns}")
            return Numbers(names, BY_BLOCK, None, loss)
        if isinstance(tfm, EncodedMultiCategorize):
            if tfm.vocab is not None and len(tfm.vocab) != len(names):
                raise ValueError(f"y_block=MultiCategoryBlock(encoded=True) has {len(tfm.vocab)} classes, but y_names has {columns}")
            return Labels(names, BOOLEANS, CategoryMap(names, sort=False) if tfm.vocab is None else tfm.vocab, loss)
        if isinstance(tfm, MultiCategorize):
            return (Labels(names, BOOLEANS, CategoryMap(names, sort=False), loss) if len(names) > 1 else
                    LabelLists(names, "a list of labels per row", tfm.vocab, loss))
        if isinstance(tfm, Categorize):
            if len(names) > 1:
                raise ValueError(f"y_block=CategoryBlock takes one target column; received y_names={names}. For several yes/no columns use "
                                 "MultiCategoryBlock, for several continuous targets RegressionBlock")
            return Classes(names, BY_BLOCK, tfm.vocab, loss)
    raise TypeError(f"{expected} a block of {block.type_tfms}")


def _several(df: pd.DataFrame, names: list) -> Target:
    kinds = {name: column_kind(df[name]) for name in names}
    if set(kinds.values()) == {"boolean"}:
        return Labels(names, BOOLEANS, CategoryMap(names, sort=False))
    odd = [name for name, kind in kinds.items() if kind not in ("floating", "integer")]
    if odd:
        raise ValueError(f"several targets are predicted as numbers, but {odd[0]!r} holds {df[odd[0]].dtype}. For several yes/no "
                         "columns make each of type bool; a table with several categorical targets needs one model for each")
    target, own = Numbers(names, "several numeric columns"), listing(map(repr, names), 5)
    if all(df[name].isin([0, 1]).all() for name in names):
        target.note = (f"the targets {own} hold zeros and ones: taken for numbers to predict; if each says whether a row is of a class "
                       "write y_block=MultiCategoryBlock(encoded=True)")
    elif all(kind == "integer" and df[name].nunique() <= MAX_CLASSES for name, kind in kinds.items()):
        target.note = (f"the targets {own} hold whole numbers with few different values: taken for numbers to predict. Classes need a "
                       "model for each")
    return target


def _inferred(column: pd.Series, name: Any) -> Target:
    kind = column_kind(column)
    if kind in ADVICE:
        advice = ("for a list of labels per row write y_block=MultiCategoryBlock" if kind == "list or dict" else
                  ADVICE[kind].format(name=name))
        raise TypeError(f"the target {name!r} holds {column.dtype}, a {kind}: {advice}{', and predict one of them' * (kind == 'date')}")
    if kind not in ("floating", "integer"):
        target: Target = Classes([name], {"boolean": "true and false", "categorical": "a pandas category"}.get(kind, "text"))
        example = numbers_in_text(column) if kind == "text" else None
        if example is not None and (n := column.nunique()) > MAX_CLASSES:
            target.note = (f"the target {name!r} holds numbers as text, such as {example!r}, with {n} different values: taken for classes; "
                           f"to predict a number write df[{name!r}] = {as_numbers(name, example)}")
        return target
    n = column.nunique()
    integers, different = kind == "integer", plural(n, "different value")
    classes = integers and n <= MAX_CLASSES
    why = f"whole numbers with {different}" if integers else "floats"
    target = Classes([name], why) if classes else Numbers([name], why)
    if 2 < n <= SURELY_NUMBERS if integers else n <= 2:
        advice = "classes; to predict a number write y_block=RegressionBlock" if classes else \
            "a number to predict; for classes write y_block=CategoryBlock"
        target.note = f"the target {name!r} holds {'whole numbers' if integers else 'floats'} with {different}: taken for {advice}"
    return target
