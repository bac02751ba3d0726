"""Parquet files that are larger than memory, as a `TabularPandas`. Needs pyarrow.

Parquet stores a table by columns, and the procs work column by column: each column is read, learnt from, encoded and written to a file in
turn, as it would be in memory. Batches are then taken from these files by one index. The statistics that Parquet keeps of each row group
do not help, because they are of training and validation rows together.
"""
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from ..core.messages import describe
from ..core.paths import Path
from ..core.types import PathLike, Splits
from ..data.block import TransformBlock
from ..data.splitters import check_positions
from .categorify import warn_of_unseen
from .columns import check_columns, listed_names, numbers_of, sorted_values
from .frames import TabularPandas
from .procs import OWN_PROCS, Categorify, FillMissing, Procs, as_procs
from .splits import choose_splits, deciding_column
from .table import Encoded, Table, TabularProc
from .targets import make_target

__all__ = ["table_from_parquet"]


class _Files:
    "Parquet files as one long table that is read by columns."

    def __init__(self, path: PathLike):
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise ImportError("reading Parquet needs pyarrow: pip install pyarrow") from None
        path = Path(path).expanduser()
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not all(f.is_file() for f in files):
            raise FileNotFoundError(f"there is no file *.parquet in the folder {str(path)!r}" if path.is_dir() else
                                    f"there is no Parquet file {str(path)!r}")
        self.files = [parquet.ParquetFile(f) for f in files]
        self.columns = self.files[0].schema_arrow.names
        odd = [f for f, o in zip(files, self.files, strict=True) if o.schema_arrow.names != self.columns]
        if odd:
            raise ValueError(f"the Parquet files must have the same columns; those of {odd[0].name} and {files[0].name} differ")
        self.n = sum(f.metadata.num_rows for f in self.files)

    def read(self, columns: list, text_as_categories: bool = False) -> pd.DataFrame:
        "These columns of all files; text as it is, or as a pandas categorical, which holds each different value once."
        import pyarrow
        table = pyarrow.concat_tables([file.read(columns) for file in self.files], promote_options="permissive")
        return table.to_pandas(strings_to_categorical=text_as_categories).reset_index(drop=True)


def table_from_parquet(path: PathLike, procs: Procs | None = None, cat_names: Sequence | str | None = None,
                       cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                       y_block: TransformBlock | Callable[[], TransformBlock] | None = None, valid_idx: Sequence[int] | None = None,
                       splits: Splits | None = None, valid_pct: float | None = None, seed: int | None = None,
                       folder: PathLike | None = None, valid_col: Any = None) -> TabularPandas:
    """The `TabularPandas` of one Parquet file, or of all `*.parquet` of a folder in the order of their names.

    They need not fit into memory: one column and the target are read at a time. Categorical ids and continuous values (8 and 4 bytes per
    value) are written to files, of which the system keeps in memory what it can.

    Args:
        path: the file or folder.
        procs: some of `Categorify`, `FillMissing`, `Normalize`; default: all of them.
        folder: where the encoded columns are written; default: a temporary folder, gone with the table.
        cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed, valid_col: see `TabularDataLoaders.from_df`.
    """
    source = _Files(path)
    empty = pd.DataFrame(columns=source.columns)
    cat_names, cont_names, y_names = (listed_names(o, empty) for o in (cat_names, cont_names, y_names))
    check_columns(empty, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "from_parquet")
    if not cat_names and not cont_names:
        raise ValueError("from_parquet: give cat_names= and cont_names=")
    chosen = choose_splits(range(source.n), splits, valid_idx, valid_pct, seed, "from_parquet", valid_col)
    procs = as_procs(list(OWN_PROCS) if procs is None else procs)
    own = [p for p in procs if type(p) not in OWN_PROCS]
    if own:
        raise TypeError(f"from_parquet learns column by column, which {own[0]!r} cannot: it takes Categorify, FillMissing and Normalize")
    if cat_names and not any(isinstance(p, Categorify) for p in procs):
        raise ValueError("from_parquet with cat_names needs procs=[Categorify, ...]")
    if callable(chosen):
        by = deciding_column(chosen)
        if by is None:
            raise TypeError("from_parquet reads a column at a time, so a splitter must go by one: ColSplitter('is_valid'), "
                            "GroupSplitter('group') or TimeSplitter('time'); otherwise give positions, splits=(train, valid); "
                            f"received {describe(chosen)}")
        check_columns(empty, {"valid_col" if splits is None else "splits": [by]}, "from_parquet")
        chosen = chosen(source.read([by]))
    parts = check_positions(chosen, source.n, item="row")
    train = np.zeros(source.n, dtype=bool)
    train[parts[0]] = True
    y = source.read(y_names)
    target = make_target(y, y_names, y_block, parts[0])
    if target is not None and target.note:
        warn(target.note, stacklevel=3)
    data, missing, unseen = _encoded(source, procs, cat_names, cont_names, train, folder)
    data.targets = None if target is None else target.encode(y, "the files")
    table = TabularPandas.assembled(procs, cat_names, cont_names, y_names, target, parts, data)
    table.missing, table.unseen = missing, unseen
    warn_of_unseen(unseen, source.n - len(parts[0]), table.classes, table.unseen_advice)
    return table


def _encoded(source: _Files, procs: list[TabularProc], cat_names: list, cont_names: list, train: np.ndarray,
             folder: PathLike | None) -> tuple[Encoded, dict, dict]:
    "Let the procs learn from each column and write it encoded to a file; returns the files, and the missing and unseen values."
    keeper = tempfile.TemporaryDirectory(prefix="minifast-") if folder is None else None
    place = Path(keeper.name if folder is None else folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    marks, missing, unseen, index = {}, {}, {}, pd.RangeIndex(source.n)

    def learn(name: Any, cats: dict, conts: dict) -> Table:
        table = Table(cats, conts, index, train)
        for proc in procs:
            own = deepcopy(proc)
            if isinstance(own, FillMissing):
                own.fill_vals = own.fill_val(name)
            own.setups(table)
            own.encodes(table)
            for attribute in (a for a in own.stored if isinstance(getattr(own, a), dict)):
                getattr(proc, attribute).update(getattr(own, attribute))
        missing.update(table.missing)
        unseen.update(table.unseen)
        return table

    numbers = _file(place / "numbers.npy", np.float32, (source.n, len(cont_names)))
    for j, name in enumerate(cont_names):
        table = learn(name, {}, {name: numbers_of(source.read([name])[name], name)})
        with np.errstate(over="ignore"):                     # what does not fit becomes infinite, and is refused with its row
            numbers[:, j] = table.conts[name]
        marks.update({mark: values.astype(np.int8) for mark, values in table.cats.items()})
    taken = [mark for mark in marks if mark in cat_names or mark in cont_names]
    if taken:
        raise ValueError(f"FillMissing would add a column {taken[0]!r}, but there is one: rename it, or write FillMissing(add_col=False)")
    codes = _file(place / "codes.npy", np.int64, (source.n, len(cat_names) + len(marks)))
    for j, name in enumerate(cat_names):
        column = source.read([name], text_as_categories=True)[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.cat.reorder_categories(sorted_values(column.cat.categories.tolist()))
        codes[:, j] = learn(name, {name: column}, {}).cats[name]
    for j, values in enumerate(marks.values(), len(cat_names)):
        codes[:, j] = values
    names = [*cat_names, *marks]
    for proc in procs:
        if isinstance(proc, Categorify):
            proc.classes = {name: proc.classes[name] for name in names}
            proc.had_missing = {name: proc.had_missing[name] for name in names}
    return Encoded(index, names, cont_names, codes, numbers, keeper=keeper), missing, unseen


def _file(path: Path, dtype: type, shape: tuple[int, int]) -> np.ndarray:
    "An array in a file; without columns, in memory, because an empty file cannot be mapped."
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape) if shape[1] else np.zeros(shape, dtype=dtype)
