"""`CollabDataLoaders`: batches of (user id, item id) and rating, from a frame or a CSV file with a rating per row."""
import base64
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.keywords import knows_keywords
from ..core.messages import listing, plural
from ..core.types import PathLike, Splits
from ..data.block import RegressionBlock
from ..data.csv_files import delimiter_hint, folder_of, read_csv
from ..data.rows import as_frame
from ..tabular.columns import check_columns, rows_of
from ..tabular.dataloader import TableDataLoaders
from ..tabular.frames import TabularPandas
from ..tabular.procs import Categorify
from ..tabular.splits import choose_splits
from ..tabular.table import TabularProc


class Rated:
    """Which items each user rated in the training rows, found out when asked for.

    Args:
        table: the training rows.
    """

    def __init__(self, table: TabularPandas):
        self._table = table

    @cached_property
    def pairs(self) -> np.ndarray:
        "`user id * number of items + item id` of each pair once, sorted: int64."
        users, items = self._table.cats.to_numpy().T
        return np.unique(users * len(self._table.classes[self._table.cat_names[1]]) + items)

    @classmethod
    def of_pairs(cls, pairs: np.ndarray) -> "Rated":
        "What `pairs` said."
        self = object.__new__(cls)
        self.pairs = pairs
        return self


class TabularCollab(TabularPandas):
    """A `TabularPandas` of two categorical columns, users and items, and a rating.

    Batches are (ids int64 (B, 2), ratings float32 (B,)). Which items each user rated in training (not how) goes with what was learnt, to
    test sets, saved tables and exported learners, because `recommend` leaves these items out.
    """

    with_cont = False
    unseen_advice = ("They get the predictions of an unknown user or item, and count in the validation loss: choose a split in which the "
                     "training rows have them, such as RandomSplitter(), if you do not mean to measure that")
    _rated: Rated | None = None

    def setup(self) -> "TabularPandas":
        "Learn from the training rows and process all rows. Returns itself."
        super().setup()
        self._rated = Rated(self.train)
        return self

    def rated_by(self, user_id: int) -> np.ndarray | None:
        "The ids of the items that a user rated in the training rows; None where that is not known."
        if self._rated is None:
            return None
        pairs, n = self._rated.pairs, len(self.classes[self.cat_names[1]])
        first, last = np.searchsorted(pairs, (user_id * n, user_id * n + n))
        return pairs[first:last] - user_id * n

    def state_dict(self) -> dict[str, Any]:
        "As of a `TabularPandas`, with the pairs of user and item of the training rows."
        state, rated = super().state_dict(), self._rated
        return state if rated is None else {**state, "rated": base64.b64encode(rated.pairs.astype("<i8").tobytes()).decode()}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], procs: Sequence[type[TabularProc]] = ()) -> "TabularPandas":
        "See `TabularPandas.from_state_dict`."
        table: Any = super().from_state_dict(state, procs)
        if "rated" in state:                                    # which those of earlier versions do not have
            table._rated = Rated.of_pairs(np.frombuffer(base64.b64decode(state["rated"]), dtype="<i8"))
        return table


class CollabDataLoaders(TableDataLoaders):
    "`DataLoaders` of ratings: batches of ids of users and items, int64 (B, 2), and ratings, float32 (B,)."

    @classmethod
    @knows_keywords
    def from_df(cls, ratings: pd.DataFrame, valid_pct: float = 0.2, user_name: Any = None, item_name: Any = None, rating_name: Any = None,
                seed: int = 42, path: PathLike = ".", bs: int = 64, val_bs: int | None = None, shuffle: bool = True,
                device: str | torch.device | None = None, drop_last: bool | None = None, valid_idx: Sequence[int] | None = None,
                splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, verbose: bool = False, num_workers: int | None = None,
                pin_memory: bool | None = None, valid_col: Any = None) -> "CollabDataLoaders":
        """Make loaders of a frame with a rating per row.

        Args:
            ratings: the frame.
            valid_pct, seed: this fraction of the rows, drawn with this seed, is for validation.
            user_name, item_name, rating_name: columns; default: the first, second and third.
            path: a folder that belongs to the data: `dls.path`.
            bs, val_bs: rows per batch of training and of validation (default: as `bs`).
            shuffle, device, drop_last, verbose, num_workers, pin_memory: see `TabDataLoader`.
            valid_idx: positions of the validation rows, a mask, or their labels as a pandas Index, instead of a random split.
            splits: positions of the training and of the validation rows, or a splitter, instead of a random split.
            valid_col: the column that is true, or 1, in validation rows, or `ColSplitter(column, on=value)`, instead of a random split.
        """
        ratings = as_frame(ratings, "CollabDataLoaders.from_df")
        if ratings.shape[1] < 3:
            raise ValueError("ratings need three columns: user, item and rating; the frame has "
                             f"{listing(map(repr, ratings.columns)) or 'none'}"
                             + delimiter_hint(ratings.columns))
        arguments = {"user_name": user_name, "item_name": item_name, "rating_name": rating_name}
        names = [column if name is None else name for name, column in zip(arguments.values(), ratings.columns, strict=False)]
        check_columns(ratings, dict(zip(arguments, ([n] for n in names), strict=True)), "CollabDataLoaders.from_df")
        refuse_missing(ratings, names[:2], "a rating needs a user and an item")
        check_ratings(ratings[names[2]], names[2])
        pct = valid_pct if splits is None and valid_idx is None and valid_col is None else None
        splits = choose_splits(ratings, splits, valid_idx, pct, seed, "CollabDataLoaders.from_df", valid_col)
        table = TabularCollab(ratings, Categorify, names[:2], [], names[2], RegressionBlock, splits)
        return cls.from_tables(*table.subsets, bs=bs, val_bs=val_bs, shuffle=shuffle, path=path, device=device, drop_last=drop_last,
                               verbose=verbose, num_workers=num_workers, pin_memory=pin_memory)

    @classmethod
    @knows_keywords
    def from_csv(cls, csv: Any, valid_pct: float = 0.2, user_name: Any = None, item_name: Any = None, rating_name: Any = None,
                 seed: int = 42, path: PathLike | None = None, bs: int = 64, val_bs: int | None = None, shuffle: bool = True,
                 device: str | torch.device | None = None, drop_last: bool | None = None, delimiter: str = ",",
                 header: int | str | None = "infer", names: Sequence[str] | None = None, verbose: bool = False,
                 num_workers: int | None = None, pin_memory: bool | None = None, valid_idx: Sequence[int] | None = None,
                 splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, valid_col: Any = None, encoding: str | None = None,
                 dtype: Any = None, keep_default_na: bool = True, decimal: str = ".") -> "CollabDataLoaders":
        """Make loaders of a CSV file with a rating per row: `from_df` of what `pandas.read_csv` gives.

        Args:
            csv: the file, a URL or an open file.
            delimiter, header, names, encoding, dtype, keep_default_na, decimal: as in `pandas.read_csv`.
            path: as in `from_df`; default: the folder of the file.
            valid_pct, user_name, item_name, rating_name, seed, bs, val_bs, shuffle, device, drop_last: as in `from_df`.
            verbose, num_workers, pin_memory, valid_idx, splits, valid_col: as in `from_df`.
        """
        df = read_csv(csv, encoding, delimiter=delimiter, header=header, names=names, dtype=dtype, keep_default_na=keep_default_na,
                      decimal=decimal)
        path = folder_of(csv) if path is None else path
        return cls.from_df(df, valid_pct, user_name, item_name, rating_name, seed, path, bs, val_bs, shuffle, device, drop_last,
                           valid_idx, splits, verbose, num_workers, pin_memory, valid_col)


def check_ratings(column: pd.Series, name: Any) -> None:
    """Refuse ratings that are not numbers, such as '3,0'.

    Args:
        column: the ratings.
        name: the name of the column.

    Raises:
        TypeError: with what to write.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.to_numeric(column, errors="coerce").notna().eq(column.notna()).all():
        return
    odd = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
    commas = odd.astype(str).str.fullmatch(r"\s*[+-]?\d+,\d*\s*").all()
    raise TypeError(f"the ratings in {name!r} must be numbers; {plural(len(odd), 'row')} hold something else, such as {odd.iloc[0]!r}. "
                    + (f"Read a decimal comma with from_csv(decimal=','), or write df[{name!r}] = df[{name!r}].str.replace(',', '.')"
                       ".astype(float)" if commas else
                       f"Leave these rows out: df[pd.to_numeric(df[{name!r}], errors='coerce').notna()]"))


def refuse_missing(df: pd.DataFrame, names: Sequence[Any], advice: str) -> None:
    "Refuse a frame with missing values in one of the columns `names`."
    for name, missing in df[list(names)].isna().items():
        if missing.any():
            raise ValueError(f"column {name!r} is missing in {plural(int(missing.sum()), 'row')} "
                             f"({rows_of(df.index, missing.to_numpy())}): {advice}")
