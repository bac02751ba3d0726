"""Parquet files that are larger than memory, as a `TabularPandas`. Needs pyarrow.

They are read in chunks, twice: first the procs learn, then the encoded columns are written to files, from which batches are taken by one
index as from memory. The statistics that Parquet keeps of each row group are no help, because they are of training and validation rows
together.
"""
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from ..core.messages import did_you_mean
from ..core.types import PathLike, Splits
from ..data.block import TransformBlock
from .columns import check_columns, is_date, listed_names, numbers_of
from .encoded import Encoded
from .factorize import factorized
from .frames import TabularPandas
from .procs import OWN_PROCS, Categorify, FillMissing, Normalize, Procs, Table, TabularProc, as_procs
from .splits import check_splits, choose_splits
from .targets import make_target

__all__ = ["table_from_parquet"]

#: Rows read at a time.
CHUNK = 250_000
#: Rows of training from which medians and modes are taken.
SAMPLE = 500_000


class Summary:
    "What the procs learn from, gathered over chunks of training rows."

    def __init__(self, cat_names: Sequence, cont_names: Sequence):
        self.values = {name: {} for name in cat_names}              # in the order in which they came
        self.missing = dict.fromkeys([*cat_names, *cont_names], 0)
        self.count, self.mean, self.m2 = (dict.fromkeys(cont_names, 0.0) for _ in range(3))
        self.low, self.high = dict.fromkeys(cont_names, np.inf), dict.fromkeys(cont_names, -np.inf)
        self.sample = {name: [] for name in cont_names}

    def add_categories(self, name: Any, column: pd.Series) -> None:
        "Take a chunk of a categorical column into account."
        codes, values = factorized(column, name)
        self.missing[name] += int((codes < 0).sum())
        self.values[name].update(dict.fromkeys(values[i] for i in np.unique(codes[codes >= 0]).tolist()))

    def add_numbers(self, name: Any, numbers: np.ndarray, sampled: np.ndarray) -> None:
        "Take a chunk of a continuous column into account; sampled: mask of the rows to keep for medians and modes."
        there = ~np.isnan(numbers)
        self.sample[name].append(numbers[sampled & there])
        present = numbers[there]
        self.missing[name] += len(numbers) - len(present)
        if not len(present):
            return
        n, mean = self.count[name], present.mean()
        total, off = n + len(present), mean - self.mean[name]
        self.m2[name] += float(np.square(present - mean).sum()) + off * off * n * len(present) / total     # Chan, Golub, LeVeque 1979
        self.mean[name] += off * len(present) / total
        self.count[name] = total
        self.low[name], self.high[name] = min(self.low[name], present.min()), max(self.high[name], present.max())

    def moments(self, name: Any, fill: float | None) -> tuple[float, float]:
        "`(mean, standard deviation)` of a column, missing values counted as `fill`; a deviation of 0 marks a constant."
        n, mean, m2, gaps = self.count[name], self.mean[name], self.m2[name], 0 if fill is None else self.missing[name]
        if self.low[name] == self.high[name] and (not gaps or fill == self.low[name]):
            return float(self.low[name]), 0.0
        off, total = (fill - mean if gaps else 0.0), n + gaps
        return float(mean + off * gaps / total), float(np.sqrt((m2 + off * off * n * gaps / total) / total))

    def teach(self, procs: Sequence[TabularProc]) -> None:
        "Let the procs learn what they would learn from a frame."
        filled, marks = {}, []
        for proc in procs:
            if isinstance(proc, FillMissing):
                empty = [name for name, n in self.count.items() if not n]
                if empty:
                    raise ValueError(f"the continuous column {empty[0]!r} has no value at all in the training rows: leave it out")
                proc.na_dict = filled = {name: proc.fill_strategy.filler(np.concatenate(sample), proc.fill_val(name))
                                         for name, sample in self.sample.items()}
                proc.na_cols = {name: f"{name}_na" for name in self.sample if self.missing[name]}
                marks = list(proc.na_cols.values()) if proc.add_col else []
            elif isinstance(proc, Categorify):
                proc.learn_values({**{n: list(v) for n, v in self.values.items()}, **{mark: [False, True] for mark in marks}},
                                  {**{n: self.missing[n] > 0 for n in self.values}, **dict.fromkeys(marks, False)})
            elif isinstance(proc, Normalize):
                proc.learn_moments({name: self.moments(name, filled.get(name)) for name in self.count})


class _Files:
    "Parquet files as one long table that is read in chunks."

    def __init__(self, path: PathLike):
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise ImportError("reading Parquet needs pyarrow: pip install pyarrow") from None
        path = Path(path)
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not all(f.is_file() for f in files):
            raise FileNotFoundError(f"there is no file *.parquet in the folder {str(path)!r}" if path.is_dir() else
                                    f"there is no Parquet file {str(path)!r}")
        self.files = [parquet.ParquetFile(f) for f in files]
        self.columns = self.files[0].schema_arrow.names
        odd = [f for f, o in zip(files, self.files, strict=True) if o.schema_arrow.names != self.columns]
        if odd:
            raise ValueError(f"the Parquet files must have the same columns; {odd[0].name} and {files[0].name} have not")
        self.n = sum(f.metadata.num_rows for f in self.files)

    def chunks(self, columns: list, size: int) -> Iterator[tuple[int, pd.DataFrame]]:
        "`(position of the first row, DataFrame)` of each chunk."
        start = 0
        for file in self.files:
            for batch in file.iter_batches(size, columns=columns):
                frame = batch.to_pandas()
                yield start, frame.reset_index(drop=True)
                start += len(frame)


def table_from_parquet(path: PathLike, procs: Procs | None = None, cat_names: Sequence | str | None = None,
                       cont_names: Sequence | str | None = None, y_names: Sequence | str | None = None,
                       y_block: TransformBlock | Callable[[], TransformBlock] | None = None, valid_idx: Sequence[int] | None = None,
                       splits: Splits | None = None, valid_pct: float | None = None, seed: int | None = None,
                       folder: PathLike | None = None, chunk: int = CHUNK) -> TabularPandas:
    """The `TabularPandas` of one Parquet file, or of all `*.parquet` of a folder in the order of their names.

    They need not fit into memory: only `chunk` rows and the target are read at a time. Codes and numbers (8 and 4 bytes per value) are
    written to files, of which the system keeps in memory what it can. Means, deviations and categories (sorted) are those of all training
    rows, medians and modes those of some 500,000 of them.

    Args:
        path: the file or folder.
        procs: some of `Categorify`, `FillMissing`, `Normalize`; default: all of them.
        folder: where the encoded columns are written; default: a temporary folder, gone with the table.
        chunk: rows read at a time.
        cat_names, cont_names, y_names, y_block, valid_idx, splits, valid_pct, seed: see `TabularDataLoaders.from_df`.
    """
    source = _Files(path)
    empty = pd.DataFrame(columns=source.columns)
    cat_names, cont_names, y_names = (listed_names(o, empty) for o in (cat_names, cont_names, y_names))
    missing = [n for n in [*cat_names, *cont_names, *y_names] if n not in source.columns]
    if missing or not (cat_names or cont_names):
        raise ValueError(f"from_parquet: there is no column {missing[0]!r}{did_you_mean(missing[0], source.columns)}" if missing else
                         "from_parquet: give cat_names= and cont_names=")
    check_columns(empty, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "from_parquet")
    chosen = choose_splits(source.n, splits, valid_idx, valid_pct, seed, "from_parquet")
    procs = as_procs(list(OWN_PROCS) if procs is None else procs)
    own = [p for p in procs if type(p) not in OWN_PROCS]
    if own:
        raise TypeError(f"from_parquet learns from chunks, which {own[0]!r} cannot: it takes Categorify, FillMissing and Normalize")
    if cat_names and not any(isinstance(p, Categorify) for p in procs):
        raise ValueError("from_parquet with cat_names needs procs=[Categorify, ...]")
    parts = check_splits(chosen, source.n)
    train = np.zeros(source.n, dtype=bool)
    train[parts[0]] = True
    summary, targets = _summarised(source, cat_names, cont_names, y_names, train, chunk)
    summary.teach(procs)
    target = make_target(targets, y_names, y_block, parts[0])
    if target is not None and target.note:
        warn(target.note, stacklevel=3)
    data, unseen, gaps = _encoded(source, procs, cat_names, cont_names, folder, chunk)
    data.targets = None if target is None else target.encode(targets, "the files")
    table = TabularPandas.assembled(procs, cat_names, cont_names, y_names, target, parts, data)
    table.unseen, table.missing = unseen, gaps
    return table


def _summarised(source: _Files, cat_names: list, cont_names: list, y_names: list, train: np.ndarray,
                chunk: int) -> tuple[Summary, pd.DataFrame]:
    "The summary of the training rows, and the target columns of all rows."
    summary, targets = Summary(cat_names, cont_names), []
    every = max(1, int(train.sum()) // SAMPLE)
    for start, frame in source.chunks([*cat_names, *cont_names, *y_names], chunk):
        rows = train[start:start + len(frame)]
        sampled = np.arange(len(frame))[rows] % every == 0
        for name in cat_names:
            if is_date(frame[name]):
                raise TypeError(f"the category column {name!r} holds dates: make columns of it with add_datepart before writing the files")
            summary.add_categories(name, frame[name][rows])
        for name in cont_names:
            summary.add_numbers(name, numbers_of(frame[name], name)[rows], sampled)
        targets.append(frame[y_names])
    return summary, pd.concat(targets, ignore_index=True)


def _encoded(source: _Files, procs: list[TabularProc], cat_names: list, cont_names: list, folder: PathLike | None,
             chunk: int) -> tuple[Encoded, dict, dict]:
    "The encoded columns in files, and the unseen and missing values."
    keeper = tempfile.TemporaryDirectory(prefix="minifast-") if folder is None else None
    place = Path(keeper.name if folder is None else folder)
    place.mkdir(parents=True, exist_ok=True)
    data, unseen, missing = None, {}, {}
    for start, frame in source.chunks([*cat_names, *cont_names], chunk):
        table = Table({n: frame[n] for n in cat_names}, {n: numbers_of(frame[n], n) for n in cont_names}, frame.index)
        for proc in procs:
            proc.encodes(table)
        if data is None:
            codes = _file(place / "codes.npy", np.int64, (source.n, len(table.cats)))
            numbers = _file(place / "numbers.npy", np.float32, (source.n, len(table.conts)))
            data = Encoded(pd.RangeIndex(source.n), list(table.cats), list(table.conts), codes, numbers, keeper=keeper)
        for out, columns in ((codes, table.cats), (numbers, table.conts)):
            for j, column in enumerate(columns.values()):
                with np.errstate(over="ignore"):             # what does not fit becomes infinite, and is refused with its row
                    out[start:start + len(frame), j] = column
        for name, (n, example) in table.unseen.items():
            count, first = unseen.get(name, (0, example))
            unseen[name] = count + n, first
        for name, n in table.missing.items():
            missing[name] = missing.get(name, 0) + n
    return data, unseen, missing


def _file(path: Path, dtype: type, shape: tuple[int, int]) -> np.ndarray:
    if not shape[1]:
        return np.zeros(shape, dtype=dtype)             # an empty file cannot be mapped
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
