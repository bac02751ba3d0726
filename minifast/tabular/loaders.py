"""`TabularDataLoaders`: from a frame, a CSV file or Parquet files to batches, in one call."""
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch

from ..core.keywords import knows_keywords
from ..core.types import PathLike, Splits
from ..data.block import TransformBlock
from ..data.csv_files import folder_of, read_csv
from ..data.rows import as_frame
from .columns import check_columns, cont_cat_split, listed_names
from .dataloader import TabDataLoader, TableDataLoaders, TabWeightedDL
from .frames import TabularPandas
from .kinds import ADVICE, column_kind
from .procs import Categorify, FillMissing, Normalize, Procs
from .splits import choose_splits, deciding_columns

__all__ = ["TabDataLoader", "TabWeightedDL", "TableDataLoaders", "TabularDataLoaders"]


class TabularDataLoaders(TableDataLoaders):
    "`DataLoaders` of tables: `from_df`, `from_csv` and `from_parquet`; for anything more special, `TabularPandas.dataloaders`."

    @classmethod
    @knows_keywords
    def from_df(cls, df: pd.DataFrame, path: PathLike = ".", procs: Procs | None = None, cat_names: Sequence | str | None = None,
                cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                y_block: TransformBlock | Callable[[], TransformBlock] | None = None, valid_idx: Sequence[int] | None = None,
                splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, valid_pct: float | None = None, seed: int | None = None,
                bs: int = 64, val_bs: int | None = None, shuffle: bool = True, device: str | torch.device | None = None,
                drop_last: bool | None = None, sampler: Any = None, after_batch: Any = None, inplace: bool = False,
                reduce_memory: bool = False, verbose: bool = False, num_workers: int | None = None,
                pin_memory: bool | None = None, valid_col: Any = None) -> "TabularDataLoaders":
        """Make loaders of a frame.

        Args:
            df: the frame.
            path: a folder that belongs to the data: `dls.path`.
            procs: default: `[Categorify, FillMissing, Normalize]`; `[]` for none.
            cat_names, cont_names: columns; without both, `cont_cat_split` tells them apart; without `cont_names` alone, every other column
                is continuous, and must hold numbers. A column by which a splitter decides is then no input.
            y_names, y_block, inplace, reduce_memory: see `TabularPandas`.
            valid_idx: positions of the validation rows, a mask, or their labels as a pandas Index (`df.index[mask]`).
            splits: positions of the rows of each split, or a splitter, instead of `valid_idx`.
            valid_pct, seed: otherwise this fraction of the rows, drawn with this seed, is for validation; default: 0.2 and always the same.
            bs, val_bs: rows per batch of training and of validation (default: as `bs`).
            shuffle, device, drop_last, sampler, after_batch, verbose, num_workers, pin_memory: see `TabDataLoader`.
            valid_col: the column that is true, or 1, in validation rows, or `ColSplitter(column, on=value)`.
        """
        df = as_frame(df, "from_df")
        splits = choose_splits(df, splits, valid_idx, valid_pct, seed, "from_df", valid_col)
        y_names = listed_names(y_names, df)
        check_columns(df, {"y_names": y_names}, "from_df")
        inputs = df.drop(columns=[c for c in deciding_columns(splits, df.columns) if c not in {*y_names, *listed_names(cat_names, df)}])
        cat_names, cont_names = _columns(inputs, cat_names, cont_names, y_names)
        procs = [Categorify, FillMissing, Normalize] if procs is None else procs
        table = TabularPandas(df, procs, cat_names, cont_names, y_names, y_block, splits, inplace=inplace, reduce_memory=reduce_memory)
        return cls.from_tables(*table.subsets, bs=bs, val_bs=val_bs, shuffle=shuffle, path=path, device=device, drop_last=drop_last,
                               sampler=sampler, after_batch=after_batch, verbose=verbose, num_workers=num_workers, pin_memory=pin_memory)

    @classmethod
    @knows_keywords
    def from_csv(cls, csv: Any, path: PathLike | None = None, skipinitialspace: bool = True, procs: Procs | None = None,
                 cat_names: Sequence | str | None = None, cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                 y_block: TransformBlock | Callable[[], TransformBlock] | None = None, valid_idx: Sequence[int] | None = None,
                 splits: Splits | Callable[[pd.DataFrame], Splits] | None = None, valid_pct: float | None = None, seed: int | None = None,
                 bs: int = 64, val_bs: int | None = None, shuffle: bool = True, device: str | torch.device | None = None,
                 drop_last: bool | None = None, sampler: Any = None, after_batch: Any = None, reduce_memory: bool = False,
                 verbose: bool = False, num_workers: int | None = None, pin_memory: bool | None = None, valid_col: Any = None,
                 encoding: str | None = None, dtype: Any = None, keep_default_na: bool = True,
                 decimal: str = ".") -> "TabularDataLoaders":
        """Make loaders of a CSV file: `from_df` of what `pandas.read_csv` gives. For other kinds of files read them and use `from_df`.

        Args:
            csv: the file, a URL or an open file.
            path: as in `from_df`; default: the folder of the file.
            skipinitialspace: drop spaces after the commas.
            procs, cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, bs, val_bs: as in `from_df`.
            shuffle, device, drop_last, sampler, after_batch, reduce_memory, verbose, num_workers, pin_memory, valid_col: as in `from_df`.
            encoding, dtype, keep_default_na, decimal: as in `pandas.read_csv`.
        """
        df = read_csv(csv, encoding, skipinitialspace=skipinitialspace, low_memory=False, dtype=dtype, keep_default_na=keep_default_na,
                      decimal=decimal)
        path = folder_of(csv) if path is None else path
        return cls.from_df(df, path, procs, cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, bs, val_bs,
                           shuffle, device, drop_last, sampler, after_batch, False, reduce_memory, verbose, num_workers, pin_memory,
                           valid_col)

    @classmethod
    def from_parquet(cls, path: PathLike, procs: Procs | None = None, cat_names: Sequence | str | None = None,
                     cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                     y_block: TransformBlock | Callable[[], TransformBlock] | None = None, valid_idx: Sequence[int] | None = None,
                     splits: Splits | None = None, valid_pct: float | None = None, seed: int | None = None, folder: PathLike | None = None,
                     bs: int = 64, val_bs: int | None = None, shuffle: bool = True, device: str | torch.device | None = None,
                     drop_last: bool | None = None, sampler: Any = None, after_batch: Any = None, verbose: bool = False,
                     num_workers: int | None = None, pin_memory: bool | None = None, valid_col: Any = None) -> "TabularDataLoaders":
        """Make loaders of a Parquet file, or of a folder of them, that need not fit into memory: see `parquet.table_from_parquet`.

        Args:
            path: the file or folder.
            procs: some of `Categorify`, `FillMissing`, `Normalize`; default: all of them.
            cat_names, cont_names: columns, which must be given.
            folder: where the encoded columns are written; default: a temporary folder.
            y_names, y_block, valid_idx, splits, valid_pct, seed, bs, val_bs, valid_col: as in `from_df`.
            shuffle, device, drop_last, sampler, after_batch, verbose, num_workers, pin_memory: as in `from_df`.
        """
        from .parquet import table_from_parquet
        table = table_from_parquet(path, procs, cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, folder,
                                   valid_col)
        return cls.from_tables(*table.subsets, bs=bs, val_bs=val_bs, shuffle=shuffle, path=folder_of(path), device=device,
                               drop_last=drop_last, sampler=sampler, after_batch=after_batch, verbose=verbose, num_workers=num_workers,
                               pin_memory=pin_memory)


def _columns(df: pd.DataFrame, cat_names: Any, cont_names: Any, y_names: list) -> tuple:
    "The categorical and the continuous columns, where the caller did not name both."
    if cat_names is None and cont_names is None:
        cont_names, cat_names = cont_cat_split(df, dep_var=y_names)
    elif cont_names is None:
        taken = {*listed_names(cat_names, df), *y_names}
        cont_names = [c for c in df.columns if c not in taken]
        odd = [c for c in cont_names if column_kind(df[c]) not in ("floating", "integer", "boolean")]
        if odd:
            kind = column_kind(df[odd[0]])
            raise ValueError(f"from_df without cont_names takes every column that is not in cat_names as continuous, but {odd[0]!r} holds "
                             f"{df[odd[0]].dtype}{f' (and {len(odd) - 1} more)' if len(odd) > 1 else ''}: "
                             + (ADVICE[kind].format(name=odd[0]) if kind in ADVICE else "list it in cat_names, or give cont_names"))
    return cat_names, cont_names
