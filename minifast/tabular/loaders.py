"""`TabularDataLoaders`: from a frame or a CSV file to batches, in one call."""
from pathlib import Path

import pandas as pd

from .columns import as_frame, check_columns, cont_cat_split, listed_names
from .dataloader import TabDataLoader, TableDataLoaders
from .frames import TabularPandas
from .procs import Categorify, FillMissing, Normalize
from .splits import index_split, random_split

__all__ = ["TabDataLoader", "TableDataLoaders", "TabularDataLoaders"]


class TabularDataLoaders(TableDataLoaders):
    "`DataLoaders` of tables: `from_df` and `from_csv`; for anything more special, `dataloaders` of a `TabularPandas`."

    @classmethod
    def from_df(cls, df, path=".", procs=None, cat_names=None, cont_names=None, y_names=None, y_block=None, valid_idx=None, splits=None,
                valid_pct=None, seed=None, bs=64, val_bs=None, shuffle=True, device=None, drop_last=None, sampler=None, after_batch=None,
                inplace=False, reduce_memory=False, verbose=False):
        """Loaders of a frame.

        procs: default `[Categorify, FillMissing, Normalize]`; `[]` for none. cat_names, cont_names: without both, as `cont_cat_split` says;
        without cont_names alone, every other column, which must hold numbers. y_names, y_block, splits, inplace, reduce_memory: see
        `TabularPandas`. valid_idx: positions of the validation rows; without it and without splits a random `valid_pct` (0.2) of the rows,
        the same each time unless another `seed` is given. The rest: see `TabDataLoader`.
        """
        df = as_frame(df, "from_df")
        given = [n for n, v in (("valid_idx", valid_idx), ("splits", splits), ("valid_pct", valid_pct)) if v is not None]
        if len(given) > 1:
            raise ValueError(f"from_df: {' and '.join(given)} all say which rows are for validation: give one of them")
        if splits is None:
            splits = index_split(valid_idx, len(df)) if valid_idx is not None else random_split(len(df), valid_pct, seed)
        y_names = listed_names(y_names, df)
        check_columns(df, {"y_names": y_names}, "from_df")
        cat_names, cont_names = _columns(df, cat_names, cont_names, y_names)
        procs = [Categorify, FillMissing, Normalize] if procs is None else procs
        table = TabularPandas(df, procs, cat_names, cont_names, y_names, y_block, splits, inplace=inplace, reduce_memory=reduce_memory)
        return cls.from_tables(*(table.subset(i) for i in range(table.n_subsets)), bs=bs, val_bs=val_bs, shuffle=shuffle, path=path,
                               device=device, seed=None, drop_last=drop_last, sampler=sampler, after_batch=after_batch, verbose=verbose)

    @classmethod
    def from_csv(cls, csv, path=".", skipinitialspace=True, procs=None, cat_names=None, cont_names=None, y_names=None, y_block=None,
                 valid_idx=None, splits=None, valid_pct=None, seed=None, bs=64, val_bs=None, shuffle=True, device=None, drop_last=None,
                 sampler=None, after_batch=None, reduce_memory=False, verbose=False):
        "`from_df` of the CSV file `csv`; skipinitialspace: drop spaces after the commas. For other kinds use `pd.read_csv` and `from_df`."
        if isinstance(csv, (str, Path)) and not str(csv).startswith(("http:", "https:")) and not Path(csv).is_file():
            raise FileNotFoundError(f"there is no file {str(csv)!r}")
        df = pd.read_csv(csv, skipinitialspace=skipinitialspace, low_memory=False)
        return cls.from_df(df, path, procs, cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, bs, val_bs,
                           shuffle, device, drop_last, sampler, after_batch, False, reduce_memory, verbose)


    @classmethod
    def from_parquet(cls, path, procs=None, cat_names=None, cont_names=None, y_names=None, y_block=None, valid_idx=None, splits=None,
                     valid_pct=None, seed=None, folder=None, bs=64, val_bs=None, shuffle=True, device=None, drop_last=None, sampler=None,
                     after_batch=None, verbose=False):
        """Loaders of a Parquet file, or of a folder of them, that need not fit into memory: see `parquet.table_from_parquet`. cat_names and
        cont_names must be given."""
        from .parquet import table_from_parquet
        table = table_from_parquet(path, procs, cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, folder)
        return cls.from_tables(*(table.subset(i) for i in range(table.n_subsets)), bs=bs, val_bs=val_bs, shuffle=shuffle, device=device,
                               drop_last=drop_last, sampler=sampler, after_batch=after_batch, verbose=verbose)


def _columns(df, cat_names, cont_names, y_names):
    "Which columns are categories and which are numbers, where the caller did not say both."
    if cat_names is None and cont_names is None:
        cont_names, cat_names = cont_cat_split(df, dep_var=y_names)
    elif cont_names is None:
        taken = {*listed_names(cat_names, df), *y_names}
        cont_names = [c for c in df.columns if c not in taken]
        odd = [c for c in cont_names if not (pd.api.types.is_numeric_dtype(df[c].dtype) or pd.api.types.is_bool_dtype(df[c].dtype))]
        if odd:
            raise ValueError(f"from_df without cont_names takes every column that is not in cat_names as numbers, but {odd[0]!r} holds "
                             f"{df[odd[0]].dtype}{f' (and {len(odd) - 1} more)' if len(odd) > 1 else ''}: list it in cat_names, or give "
                             "cont_names")
    return cat_names, cont_names
