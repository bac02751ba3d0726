"""`TSDataLoaders`: from arrays and tables to batches of series, in one call."""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np

from ..core.messages import describe, listing
from ..core.types import PathLike, Splits
from ..data.block import CategoryBlock, DataBlock, RegressionBlock, TransformBlock
from ..data.csv_files import folder_of
from ..data.factories import check_factory_keywords, chosen_splitter, guessed_block, label_block, without_vocab
from ..data.labels import column_name
from ..data.loaders import DataLoaders
from ..data.rows import as_frame, with_rows
from ..data.splitters_groups import FixedSplitter
from .block import TSBlock
from .columns import ReadColumns
from .covariates import covariate_blocks
from .frames import described_table
from .labels import labels_as_given
from .layout import as_store
from .missing import FillSteps
from .reading import SERIES, TARGET
from .store import SeriesAt, SeriesStore
from .ts_files import held_out_file, read_series
from .window_loader import WindowDL, window_sets
from .windows import SlidingWindows

if TYPE_CHECKING:
    import pandas as pd


class TSDataLoaders(DataLoaders):
    """`DataLoaders` of series: float32 (B, channels, steps).

    Further keyword arguments, such as bs, val_bs, shuffle and device, go to `DataBlock.dataloaders`.
    """

    @classmethod
    def from_array(cls, X: Any, y: Any = None, splits: Splits | None = None, valid_pct: float = 0.2, seed: int | None = None,
                   X_valid: Any = None, y_valid: Any = None, splitter: Callable | None = None, table: "pd.DataFrame | None" = None,
                   y_block: Any = None, vocab: Sequence[Any] | None = None, fill: FillSteps | None = None, max_len: int | None = None,
                   cat_names: Sequence[Any] = (), cont_names: Sequence[Any] = (), batch_tfms: Any = None, item_tfms: Any = None,
                   path: PathLike = ".", **kwargs: Any) -> "TSDataLoaders":
        """Series in an array, and their targets.

        Args:
            X: (samples, channels, steps), or (samples, steps) of one channel; of several lengths a list of series (channels, steps). A
                `np.memmap` stays on disk, from where each batch is read; its missing values are seen then.
            y: one target per sample: classes of any type that can be sorted, numbers (fractions, or with y_block=RegressionBlock), a list
                of classes, or several numbers (samples, numbers). None: batches have no targets.
            splits: positions of the samples for training and for validation, `(train, valid)`.
            valid_pct: otherwise this share of the samples, chosen at random, is for validation.
            seed: of that choice, which is the same each time unless another one is given.
            X_valid: the samples for validation, where they are in an array of their own.
            y_valid: their targets.
            splitter: chooses otherwise, such as `GroupSplitter("subject")` or `TimeSplitter("day")` of columns of `table`.
            table: one row per sample (those of X_valid at the end): what else is known of it.
            y_block: the block of the targets; None: numbers where they are fractions, several classes where they are lists, else a class.
            vocab: the classes in their order; None: the sorted ones of the training samples.
            fill: how missing values are filled; None: they are refused.
            max_len: of longer series the first `max_len` steps are kept; None: nothing is cut.
            cat_names: columns of `table` that are covariates of classes, an input (B, columns) after the series.
            cont_names: columns of `table` that are covariates of numbers, the input after that.
            batch_tfms: transforms of batches, such as `TSStandardize()`.
            item_tfms: transforms of single samples, which are then made one by one.
            path: a folder that belongs to the data: `dls.path`.
            **kwargs: for `DataBlock.dataloaders`, such as `bs=16`.

        Raises:
            ValueError: X has another shape, or values are missing, or X and y are not equally long.
        """
        check_factory_keywords(cls.from_array, kwargs)
        stores, targets, splits = _with_valid(as_store(X, "X"), _targets(y), X_valid, y_valid, splits, y)
        given = splitter if splits is None else FixedSplitter(splits)
        if splits is not None and splitter is not None:
            raise TypeError("splits (or X_valid) and splitter both say which samples are for validation: give one of them")
        frame = _items(stores, targets, table, y, [*cat_names, *cont_names])
        if y_block is not None:
            y_block = without_vocab(vocab, y_block)
        elif targets is not None:
            y_block = _target_block(targets, _classes_of(y) if vocab is None else vocab)
        inputs = [TSBlock(fill, max_len), *covariate_blocks(cat_names, cont_names)]
        return cls._made(frame, inputs, y_block if targets is not None else None, path, kwargs,
                         get_y=ReadColumns(TARGET) if targets is not None else None,
                         splitter=chosen_splitter(given, valid_pct, seed), batch_tfms=batch_tfms, item_tfms=item_tfms)

    @classmethod
    def from_df(cls, df: "pd.DataFrame", value_cols: Any = None, label_col: Any = None, id_col: Any = None, time_col: Any = None,
                valid_pct: float = 0.2, seed: int | None = None, valid_col: Any = None, splitter: Callable | None = None,
                label_delim: str | None = None, y_block: Any = None, vocab: Sequence[Any] | None = None, fill: FillSteps | None = None,
                freq: Any = None, max_len: int | None = None,
                cat_names: Sequence[Any] = (), cont_names: Sequence[Any] = (), batch_tfms: Any = None, item_tfms: Any = None,
                path: PathLike = ".",
                **kwargs: Any) -> "TSDataLoaders":
        """Series in a table: long, one row per series and step (in any order), or wide, one row per series.

        Args:
            df: the table.
            value_cols: long: the column(s) of the values, one per channel; wide: those of the steps in order, of several channels a list or
                dict with one such list each. None: all columns of numbers that have no other role.
            label_col: the column of the label, or several; the same in all rows of a series. None: batches have no targets.
            id_col: long: the column that says which series a row belongs to.
            time_col: long: the column of times; None: the rows of each series are in order.
            valid_pct: this share of the series, chosen at random, is for validation.
            seed: of that choice, which is the same each time unless another one is given.
            valid_col: the column that says which series are for validation, instead.
            splitter: chooses otherwise, such as `GroupSplitter("subject")` of a column that is the same in all rows of a series.
            label_delim: several labels in one column, separated by this.
            y_block: the block of the targets; None: a number where the column holds fractions, several classes with label_delim or several
                columns of zeros and ones, else a class.
            vocab: the classes in their order; None: the sorted ones of the training series.
            fill: how missing values are filled, those of steps without a row too; None: they are refused.
            freq: long: the step, such as 'h' or 1; None: the most common one.
            max_len: of longer series the first `max_len` steps are kept; None: nothing is cut.
            cat_names: columns of the table, the same in all rows of a series, that are covariates of classes, an input (B, columns)
                after the series.
            cont_names: columns of the table, the same in all rows of a series, that are covariates of numbers, the input after that.
            batch_tfms: transforms of batches, such as `TSStandardize()`.
            item_tfms: transforms of single samples, which are then made one by one.
            path: a folder that belongs to the data: `dls.path`.
            **kwargs: for `DataBlock.dataloaders`, such as `bs=16`.

        Raises:
            ValueError: values are missing, times are irregular or come twice, or a label differs within a series.
        """
        check_factory_keywords(cls.from_df, kwargs)
        where = "TSDataLoaders.from_df"
        df = with_rows(as_frame(df, where, "TSDataLoaders.from_array(X, y)"), where)
        others = [] if valid_col is None or callable(valid_col) else [column_name(valid_col, df.columns)]
        others += [*cat_names, *cont_names]
        table = described_table(df, value_cols, label_col, id_col, time_col, others, freq, fill is not None, where)
        items = table.items(df, where)
        _refuse_absent([*cat_names, *cont_names], df, where)
        varying = [c for c in (*cat_names, *cont_names) if c in df.columns and c not in items.columns]
        if varying:
            raise ValueError(f"{where}: the covariates {listing(map(repr, varying))} are not the same in all rows of a series: what "
                             "differs from step to step is a channel, name it in value_cols")
        labels = table.label_cols
        if labels and y_block is None:
            y_block = label_block(items, labels if len(labels) > 1 else labels[0], label_delim, vocab)
        elif y_block is not None:
            y_block = without_vocab(vocab, y_block)
        inputs = [TSBlock(fill, max_len, table=table), *covariate_blocks(cat_names, cont_names)]
        return cls._made(items, inputs, y_block if labels else None, path, kwargs,
                         get_y=ReadColumns(labels if len(labels) > 1 else labels[0], label_delim) if labels else None,
                         splitter=chosen_splitter(splitter, valid_pct, seed, valid_col), batch_tfms=batch_tfms, item_tfms=item_tfms)

    @classmethod
    def from_numpy3d(cls, X: np.ndarray, y: Any = None, **kwargs: Any) -> "TSDataLoaders":
        """`from_array` of an array of three axes, as aeon and sktime have it ("numpy3D").

        Args:
            X: (samples, channels, steps).
            y: see `from_array`.
            **kwargs: other arguments of `from_array`.

        Raises:
            ValueError: X has not three axes.
        """
        if getattr(X, "ndim", None) != 3:
            raise ValueError(f"TSDataLoaders.from_numpy3d takes an array (samples, channels, steps); received {describe(X)}. Of other "
                             "layouts write TSDataLoaders.from_array")
        return cls.from_array(X, y, **kwargs)

    @classmethod
    def from_ts_file(cls, train: PathLike, test: PathLike | None = None, **kwargs: Any) -> "TSDataLoaders":
        """Series in files of the archives: `.ts`, `.arff` or `.tsv` (see `read_ts`, `read_arff`, `read_tsv`).

        Args:
            train: the file of the training set.
            test: that of the validation set. None: the file beside it called NAME_TEST where it is called NAME_TRAIN; if there is none, a
                share of `train` is for validation, as `from_array` chooses it.
            **kwargs: other arguments of `from_array`.

        Raises:
            ValueError: a file is not as its header says, or the two hold other targets.
        """
        if test is None and not {"splits", "splitter", "valid_pct", "X_valid"} & set(kwargs):
            test = held_out_file(train)
        read = read_series(train)
        if read.y is not None and "y_block" not in kwargs:
            kwargs.update({"y_block": RegressionBlock} if read.y.dtype.kind == "f" else {"vocab": kwargs.get("vocab", read.classes)})
        if test is not None:
            more = read_series(test)
            if (more.y is None, more.classes is None) != (read.y is None, read.classes is None):
                raise ValueError(f"{train} and {test} hold targets of different kinds: only one of them has some, or lists its classes in "
                                 "the header")
            kwargs.update(X_valid=more.X, y_valid=more.y)
        kwargs.setdefault("path", folder_of(train))
        return cls.from_array(read.X, read.y, **kwargs)

    @classmethod
    def from_arff(cls, train: PathLike, test: PathLike | None = None, **kwargs: Any) -> "TSDataLoaders":
        """`from_ts_file` of `.arff` files.

        Args:
            train: the file of the training set.
            test: that of the validation set; None: see `from_ts_file`.
            **kwargs: other arguments of `from_array`.
        """
        return cls.from_ts_file(train, test, **kwargs)

    @classmethod
    def from_windows(cls, windows: SlidingWindows, splits: Splits | None = None, valid_pct: float | None = None,
                     n_valid: int | None = None, cutoff: Any = None, gap: int = 0, history: bool = False, batch_tfms: Any = None,
                     path: PathLike = ".", **kwargs: Any) -> "TSDataLoaders":
        """Windows of the series of a long frame, to forecast what comes after them (see `ts_forecaster`) or to classify them.

        The first rows of each series are for training, the last ones for validation; a batch is one read of the rows.

        Args:
            windows: all of them.
            splits: instead, indices of windows for training and validation, `(train, valid)`; refused where rows are in both.
            valid_pct: fraction of the rows of each series for validation; None: 0.2, unless it is said in another way.
            n_valid: instead, how many rows.
            cutoff: instead, a time: what is not before it is for validation.
            gap: steps left out between the two.
            history: a validation window may look back at training rows; what it predicts is in none.
            batch_tfms: transforms of batches.
            path: a folder that belongs to the data: `dls.path`.
            **kwargs: for `DataLoaders.from_dsets`, such as `bs=16` and `shuffle=False`.

        Raises:
            ValueError: rows of validation are in training windows, or no windows are left on a side.
        """
        check_factory_keywords(cls.from_windows, kwargs)
        sets = window_sets(windows, splits, valid_pct, n_valid, cutoff, gap, history)
        return cls.from_dsets(*sets, path=path, batch_tfms=batch_tfms, dl_type=WindowDL, **kwargs)  # type: ignore[return-value]  # cls

    @classmethod
    def _made(cls, source: Any, inputs: list[TransformBlock], y_block: Any, path: PathLike, kwargs: dict[str, Any],
              **of_block: Any) -> "TSDataLoaders":
        labelled = y_block is not None
        dls = DataBlock(blocks=[*inputs, labels_as_given(y_block)] if labelled else inputs, n_inp=len(inputs),
                        **of_block).dataloaders(source, path=path, **kwargs)
        return cls(*dls.loaders, path=dls.path)


def _refuse_absent(covariates: Sequence, table: Any, where: str) -> None:
    "Refuse covariates that a table does not have."
    absent = [c for c in covariates if table is None or c not in table.columns]
    if absent:
        raise KeyError(f"{where}: there is no column {listing(map(repr, absent))} for cat_names= and cont_names="
                       + (", and no table" if table is None else f". Columns: {listing(table.columns)}"))


def _targets(y: Any) -> list | None:
    "One target per sample, as a list."
    if y is None:
        return None
    if isinstance(y, (str, bytes, dict)) or not hasattr(y, "__len__") or getattr(y, "ndim", 1) == 0:
        raise TypeError(f"y holds one target per sample; received {describe(y)}")
    y = y.to_numpy() if hasattr(y, "columns") else y.detach().cpu().numpy() if hasattr(y, "detach") else y
    y = y[:, 0] if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1 else y
    if isinstance(y, np.ndarray) and y.dtype.kind in "mM" and y.ndim == 1:          # of which numpy makes numbers of nanoseconds
        import pandas as pd
        y = pd.Series(y)
    return y.tolist() if getattr(y, "ndim", 1) <= 2 and hasattr(y, "tolist") else list(y)


def _classes_of(y: Any) -> list | None:
    "The classes of a column of pandas that lists them."
    return y.cat.categories.tolist() if hasattr(y, "cat") else None


def _target_block(targets: list, vocab: Any) -> TransformBlock:
    "The block of targets whose kind is not given. Whole numbers stored as floats, as in many files, are classes where values repeat."
    if vocab is None and all(type(o) is float for o in targets) and not any(o % 1 for o in targets):
        classes = sorted(set(targets))
        if 2 * len(classes) > len(targets):
            return RegressionBlock()
        warn(f"the targets are whole numbers as floats, {listing(f'{c:g}' for c in classes[:5])}{', ...' if len(classes) > 5 else ''}: "
             "they are taken for classes. To predict numbers write y_block=RegressionBlock; y.astype(int) says that they are classes",
             stacklevel=3)
        return CategoryBlock()
    return guessed_block(targets, vocab, "from_array")


def _with_valid(store, targets, X_valid, y_valid, splits, y):
    "The series and targets of training and validation together, and which are which."
    if (targets is not None) and len(targets) != len(store):
        raise ValueError(f"X and y must be equally long: X has {len(store):,} samples, y has {len(targets):,} targets ({describe(y)})")
    if X_valid is None:
        if y_valid is not None:
            raise TypeError("y_valid= are targets of X_valid=, which is missing")
        return [store], targets, splits
    if splits is not None:
        raise TypeError("splits and X_valid both say which samples are for validation: give one of them")
    valid, more = as_store(X_valid, "X_valid"), _targets(y_valid)
    if (more is None) != (targets is None) or (more is not None and len(more) != len(valid)):
        raise ValueError(f"X_valid and y_valid must be equally long: X_valid has {len(valid):,} samples, y_valid "
                         f"{'is missing' if more is None else f'has {len(more):,} targets'}")
    if valid.n_channels != store.n_channels:
        raise ValueError(f"X_valid must have {store.n_channels} channels as X has; received {valid.n_channels}")
    n, m = len(store), len(valid)
    return [store, valid], None if targets is None else [*targets, *(more or ())], (range(n), range(n, n + m))


def _items(stores: list[SeriesStore], targets: list | None, table: Any, y: Any, covariates: Sequence) -> "pd.DataFrame":
    "The samples as rows of a table."
    import pandas as pd
    n = sum(map(len, stores))
    if table is not None and (not hasattr(table, "iloc") or len(table) != n):
        raise ValueError(f"table= needs one row per sample, {n:,}; received {describe(table)}")
    _refuse_absent(covariates, table, "TSDataLoaders.from_array(table=...)")
    taken = [c for c in (SERIES, TARGET) if table is not None and c in table.columns]
    if taken:
        raise ValueError(f"table= must have no column called {' or '.join(map(repr, taken))}, which the samples have already: rename it, "
                         f"table.rename(columns={{{taken[0]!r}: 'other name'}})")
    index = table.index if table is not None else y.index if hasattr(y, "index") and hasattr(y, "iloc") and len(y) == n else None
    column = pd.Series([SeriesAt(store, i) for store in stores for i in range(len(store))], index=index, dtype=object)
    frame = {SERIES: column}
    if targets is not None:
        frame[TARGET] = pd.Series(targets, index=index, dtype=object if isinstance(targets[0], (list, tuple)) else None)
    made = pd.DataFrame(frame)
    return made if table is None else pd.concat([made, table], axis=1)
