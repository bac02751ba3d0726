"""What the factories of several applications share: which splitter and which block of labels their arguments ask for."""
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from warnings import warn

from ..core.messages import plural
from .block import CategoryBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from .indicators import indicator_values
from .labels import column_name, column_names
from .loader_args import check_dataloaders_keywords
from .splitters import SPLIT_SEED, ColSplitter, RandomSplitter

if TYPE_CHECKING:
    import pandas as pd


def chosen_splitter(given: Callable | None, valid_pct: float | None, seed: int | None, valid_col: Any = None) -> Callable:
    "The splitter that these arguments ask for. seed=None stands for the default seed: the split is the same each time."
    if given is not None and valid_col is not None:
        raise TypeError("valid_col and splitter both say which rows are for validation: give one of them")
    if given is not None:
        return given
    if valid_col is not None:
        return valid_col if callable(valid_col) else ColSplitter(valid_col)
    return RandomSplitter(valid_pct, seed=SPLIT_SEED if seed is None else seed)


def check_factory_keywords(factory: Callable, kwargs: Mapping[str, Any], more: Iterable[str] = ()) -> None:
    "Refuse keywords that neither `factory` nor `DataBlock.dataloaders` takes, before any data are looked at. more: others that it takes."
    taken = {*inspect.signature(factory).parameters, "dl_type", *more} - {"kwargs"}
    check_dataloaders_keywords(kwargs, f"{factory.__qualname__}(...)", taken)


def guessed_block(labels: Sequence, vocab: Iterable | None = None, where: str = "from_lists") -> TransformBlock:
    """The block of labels in a list: several classes where they are lists of them, numbers where they are fractions, else one class.

    Args:
        labels: one per item.
        vocab: the classes; None: those of the labels.
        where: the call, for messages.

    Raises:
        ValueError: each label is a list of as many zeros and ones, which may be classes or numbers.
    """
    def is_fraction(o):
        dtype = getattr(o, "dtype", None)
        return isinstance(o, float) or getattr(dtype, "kind", "") == "f" or getattr(dtype, "is_floating_point", False)

    several = [isinstance(o, (list, tuple, set)) or getattr(o, "ndim", 0) > 0 for o in labels]
    if any(several):
        values = indicator_values(labels) if all(several) else None
        if values is not None and vocab is None:
            own, n = ", ".join(map(repr, values)), len(labels[0])
            raise ValueError(f"{where}: each label is a list of {n} values that are all {own}. If they say of which classes an item "
                             f"is, name the {plural(n, 'class')}, vocab=[...]; to predict numbers write y_block=RegressionBlock; if the "
                             f"values are the labels, y_block=MultiCategoryBlock(vocab=[{own}])")
        if vocab is not None:
            encoded = values is not None and set(values) <= {-1, 0, 1, 2} and not set(values) <= {*vocab}
            return MultiCategoryBlock(encoded=encoded, vocab=vocab)
        flat = [v for o, many in zip(labels, several, strict=True) if many for v in o]
        numbers = flat and not any(isinstance(v, str) for v in flat) and all(several)
        sets = numbers and len(set(map(len, labels))) > 1 and not any(map(is_fraction, flat))       # of class numbers
        return RegressionBlock() if numbers and not sets else MultiCategoryBlock()
    named = any(isinstance(o, str) for o in labels) or vocab is not None              # then NaN is a label that is missing
    return RegressionBlock() if not named and any(map(is_fraction, labels)) else CategoryBlock(vocab=vocab)


def without_vocab(vocab: Any, y_block: Any) -> Any:
    "`y_block`, where no `vocab` is given besides."
    if vocab is not None:
        raise TypeError("vocab and y_block: give the classes to the block, such as y_block=CategoryBlock(vocab=[...])")
    return y_block


def refuse_labels(where: str, **given: Any) -> None:
    """Refuse arguments about labels, of a language model.

    Args:
        where: the function that was called.
        **given: the arguments.

    Raises:
        TypeError: one of them is not None.
    """
    names = [f"{name}=" for name, value in given.items() if value is not None]
    if names:
        raise TypeError(f"{where}({', '.join(names)}): a language model predicts tokens and has no labels: leave out {' and '.join(names)}")


def check_columns_differ(df: "pd.DataFrame", inputs: Any, label_col: Any) -> None:
    """Refuse an input column that is the label at the same time, and a label column that holds the texts.

    Args:
        df: the table.
        inputs: names of the columns of texts.
        label_col: name or position of the column of labels, or several.

    Raises:
        ValueError: says which columns are meant.
    """
    labels = [column_name(c, df.columns) for c in column_names(label_col)]
    both = next((c for c in inputs if c in labels), None)
    if both is not None:
        raise ValueError(f"the column {both!r} is given as text_col and as label_col: a model would read the answer. Give two of "
                         f"{', '.join(map(repr, df.columns))}")
    column = df[labels[0]]
    if len(labels) == 1 and column.dtype.kind == "O" and len(column) > 1:
        words = column.dropna().map(lambda o: o.count(" ") if isinstance(o, str) else 0)
        if len(words) and words.mean() > 8 and column.nunique() > 0.9 * len(column):
            raise ValueError(f"label_col: the column {labels[0]!r} holds {column.nunique():,} different texts in {len(column):,} rows, not "
                             f"classes. Say which columns are meant, for instance text_col={labels[0]!r}, label_col={inputs[0]!r}")


def label_block(df: "pd.DataFrame", label_col: Any, label_delim: str | None, vocab: Sequence[Any] | None) -> TransformBlock:
    "The block of the labels in one or several columns; refused are columns that may be classes as well as labels or numbers."
    names = [column_name(c, df.columns) for c in column_names(label_col)]
    if label_delim is not None:
        if len(names) == 1 and (other := _other_delimiter(df[names[0]], label_delim)):
            warn(f"label_delim={label_delim!r}: no value of the column {names[0]!r} has it, so that each is one label, such as "
                 f"{next(v for v in df[names[0]].dropna() if other in str(v))!r}. To split them write label_delim={other!r}", stacklevel=3)
        return MultiCategoryBlock(vocab=vocab)
    if len(names) == 1:
        column = df[names[0]]
        fraction = next((v for v in column.dropna() if v % 1), None) if vocab is None and column.dtype.kind == "f" else None
        if fraction is None:
            return CategoryBlock(vocab=vocab)
        warn(f"the column {names[0]!r} holds fractions such as {fraction:g}: they are taken for numbers to predict; for classes write "
             "y_block=CategoryBlock", stacklevel=3)
        return RegressionBlock()
    if all(df[c].isin([0, 1]).all() for c in names):
        return MultiCategoryBlock(encoded=True, vocab=names if vocab is None else vocab)
    if vocab is None:
        _refuse_unclear(df[names])
    return MultiCategoryBlock(vocab=vocab)


def _other_delimiter(column, delimiter):
    "What seems to separate the labels in a column that does not have the `delimiter`; '' where it has it, or nothing seems to."
    values = set(map(str, column.dropna().unique()))
    if any(delimiter in value for value in values):
        return ""
    return next((d for d in (";", "|", ",", " ") if any(d in v for v in values)
                 and len({piece for v in values for piece in v.split(d)}) < len(values)), "")


def _refuse_unclear(labels):
    "Refuse several columns of labels that are numbers, but not all 0 or 1, or of words such as 'yes' and 'no'."
    columns = labels.columns.tolist()
    for name in columns:
        numbers = labels[name].dtype.kind in "biuf" or all(isinstance(v, (int, float)) for v in labels[name])
        odd = labels[name][~labels[name].isin([0, 1])]
        if numbers and len(odd):
            raise ValueError(f"the label columns hold numbers, and {name!r} holds {odd.iloc[0]:g} in {plural(len(odd), 'row')}: columns "
                             f"that are the classes themselves hold 1 or 0, such as df[{name!r}] = (df[{name!r}] == 1).astype(int). To "
                             "predict the numbers write y_block=RegressionBlock; if they are labels, give all of them, vocab=[...]")
    words = indicator_values(labels.to_numpy(dtype=object).tolist())
    if words is not None:
        yes = next((w for w in words if str(w).lower() in ("yes", "true", "y", "t", "1", "present", "positive", "pos")), words[0])
        own = ", ".join(map(repr, words))
        raise ValueError(f"the label columns all hold {own}. If they say whether an item is of the class that the column is named after, "
                         f"write columns = {columns}; df[columns] = df[columns] == {yes!r}. If these are the labels, vocab=[{own}]")
