"""Parquet files that are larger than memory, as a `TabularPandas`: read in chunks, twice, into files of codes and numbers from which
batches are taken by one index as from memory. Needs pyarrow.
"""
import tempfile
from pathlib import Path
from warnings import warn

import numpy as np
import pandas as pd

from ..core.messages import did_you_mean
from .columns import check_columns, is_date, listed_names, numbers_of
from .factorize import factorized
from .frames import TabularPandas
from .procs import Categorify, FillMissing, Normalize, Table, as_procs
from .splits import check_splits, index_split, random_split
from .targets import make_target

__all__ = ["table_from_parquet"]

#: Rows read at a time.
CHUNK = 250_000
#: Rows of training from which medians and modes are taken.
SAMPLE = 500_000


class Summary:
    "What the procs learn from, gathered over chunks of training rows."

    def __init__(self, cat_names, cont_names):
        self.values = {name: {} for name in cat_names}              # in the order in which they came
        self.missing = dict.fromkeys([*cat_names, *cont_names], 0)
        self.count, self.mean, self.m2 = (dict.fromkeys(cont_names, 0.0) for _ in range(3))
        self.low, self.high = dict.fromkeys(cont_names, np.inf), dict.fromkeys(cont_names, -np.inf)
        self.sample = {name: [] for name in cont_names}

    def add_categories(self, name, column):
        codes, values = factorized(column, name)
        self.missing[name] += int((codes < 0).sum())
        self.values[name].update(dict.fromkeys(values[i] for i in np.unique(codes[codes >= 0]).tolist()))

    def add_numbers(self, name, numbers, sampled):
        self.sample[name].append(numbers[sampled & ~np.isnan(numbers)])
        present = numbers[~np.isnan(numbers)]
        self.missing[name] += len(numbers) - len(present)
        if not len(present):
            return
        n, mean = self.count[name], present.mean()
        total, off = n + len(present), mean - self.mean[name]
        self.m2[name] += float(np.square(present - mean).sum()) + off * off * n * len(present) / total     # Chan, Golub, LeVeque 1979
        self.mean[name] += off * len(present) / total
        self.count[name] = total
        self.low[name], self.high[name] = min(self.low[name], present.min()), max(self.high[name], present.max())


def _learn(procs, summary, cont_names):
    "Let the procs learn from a `Summary` what they would learn from a frame."
    filled, marks = {}, []
    for proc in procs:
        if isinstance(proc, FillMissing):
            empty = [name for name in cont_names if not summary.count[name]]
            if empty:
                raise ValueError(f"the continuous column {empty[0]!r} has no value at all in the training rows: leave it out")
            proc.na_dict = {name: proc.fill_strategy.filler(np.concatenate(summary.sample[name]),
                                                            proc._fill_val(name)) for name in cont_names}
            proc.na_cols = {name: f"{name}_na" for name in cont_names if summary.missing[name]}
            filled, marks = proc.na_dict, list(proc.na_cols.values()) if proc.add_col else []
        elif isinstance(proc, Categorify):
            proc.learn_values({**{n: list(v) for n, v in summary.values.items()}, **{mark: [False, True] for mark in marks}},
                              {**{n: summary.missing[n] > 0 for n in summary.values}, **dict.fromkeys(marks, False)})
        elif isinstance(proc, Normalize):
            proc.learn_moments({name: _moments(summary, name, filled.get(name)) for name in cont_names})


def _moments(summary, name, fill):
    "`(mean, deviation)` of a column, missing values counted as `fill`."
    n, mean, m2, gaps = summary.count[name], summary.mean[name], summary.m2[name], summary.missing[name] if fill is not None else 0
    if summary.low[name] == summary.high[name] and (not gaps or fill == summary.low[name]):
        return float(summary.low[name]), 0.0
    off, total = (fill - mean if gaps else 0.0), n + gaps
    return float(mean + off * gaps / total), float(np.sqrt((m2 + off * off * n * gaps / total) / total))


class _Files:
    "Parquet files as one long table that is read in chunks."

    def __init__(self, path):
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

    def chunks(self, columns, size):
        "`(position of the first row, DataFrame)` of each chunk."
        start = 0
        for file in self.files:
            for batch in file.iter_batches(size, columns=columns):
                frame = batch.to_pandas()
                yield start, frame.reset_index(drop=True)
                start += len(frame)


def table_from_parquet(path, procs=None, cat_names=None, cont_names=None, y_names=None, y_block=None, valid_idx=None, splits=None,
                       valid_pct=None, seed=None, folder=None, chunk=CHUNK):
    """The `TabularPandas` of one Parquet file, or of all `*.parquet` of a folder in the order of their names; they need not fit in memory.

    Only `chunk` rows and the target are in memory at a time. Codes and numbers (8 and 4 bytes per value) are written to files in `folder`
    (default: a temporary one, gone with the table), from which the system keeps in memory what it can. Means, deviations and categories
    (sorted) are those of all training rows, medians and modes those of some 500,000 of them. The arguments: see
    `TabularDataLoaders.from_df`; procs may be Categorify, FillMissing and Normalize.
    """
    source = _Files(path)
    as_it_is = pd.DataFrame(columns=source.columns)
    cat_names, cont_names, y_names = (listed_names(o, as_it_is) for o in (cat_names, cont_names, y_names))
    wanted = [*cat_names, *cont_names, *y_names]
    missing = [n for n in wanted if n not in source.columns]
    if missing or not (cat_names or cont_names):
        raise ValueError(f"from_parquet: there is no column {missing[0]!r}{did_you_mean(missing[0], source.columns)}" if missing else
                         "from_parquet: give cat_names= and cont_names=")
    check_columns(as_it_is, {"cat_names": cat_names, "cont_names": cont_names, "y_names": y_names}, "from_parquet")
    if valid_idx is not None and splits is not None:
        raise ValueError("from_parquet: valid_idx and splits both say which rows are for validation: give one of them")
    procs = as_procs([Categorify, FillMissing, Normalize] if procs is None else procs)
    own = [p for p in procs if type(p) not in (Categorify, FillMissing, Normalize)]
    if own:
        raise TypeError(f"from_parquet learns from chunks, which {own[0]!r} cannot: it takes Categorify, FillMissing and Normalize")
    if cat_names and not any(isinstance(p, Categorify) for p in procs):
        raise ValueError("from_parquet with cat_names needs procs=[Categorify, ...]")
    if splits is None:
        splits = random_split(source.n, valid_pct, seed) if valid_idx is None else index_split(valid_idx, source.n)
    splits = check_splits(splits, source.n)
    train = np.zeros(source.n, dtype=bool)
    train[splits[0]] = True
    summary, targets = _summarised(source, cat_names, cont_names, y_names, train, chunk)
    _learn(procs, summary, cont_names)
    target = make_target(targets, y_names, y_block, splits[0])
    if target is not None and target.note:
        warn(target.note, stacklevel=3)
    y = None if target is None else target.encode(targets, "the files")
    return TabularPandas.assembled(procs, cat_names, cont_names, y_names, target, splits,
                                   *_encoded(source, procs, cat_names, cont_names, folder, chunk), y)


def _summarised(source, cat_names, cont_names, y_names, train, chunk):
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


def _encoded(source, procs, cat_names, cont_names, folder, chunk):
    "`(codes, numbers, their names, unseen, missing, what keeps the files)`."
    keeper = tempfile.TemporaryDirectory(prefix="minifast-") if folder is None else None
    place = Path(keeper.name if folder is None else folder)
    place.mkdir(parents=True, exist_ok=True)
    codes = numbers = names = None
    unseen, missing = {}, {}
    for start, frame in source.chunks([*cat_names, *cont_names], chunk):
        table = Table({n: frame[n] for n in cat_names}, {n: numbers_of(frame[n], n) for n in cont_names}, frame.index)
        for proc in procs:
            proc.encodes(table)
        if codes is None:
            names = list(table.cats), list(table.conts)
            codes = _file(place / "codes.npy", np.int64, (source.n, len(names[0])))
            numbers = _file(place / "numbers.npy", np.float32, (source.n, len(names[1])))
        for out, columns in ((codes, table.cats), (numbers, table.conts)):
            for j, column in enumerate(columns.values()):
                with np.errstate(over="ignore"):             # what does not fit becomes infinite, and is refused with its row
                    out[start:start + len(frame), j] = column
        for name, (n, example) in table.unseen.items():
            unseen[name] = unseen.get(name, (0, example))[0] + n, unseen.get(name, (0, example))[1]
        for name, n in table.missing.items():
            missing[name] = missing.get(name, 0) + n
    return codes, numbers, *names, unseen, missing, keeper


def _file(path, dtype, shape):
    if not shape[1]:
        return np.zeros(shape, dtype=dtype)             # a file of nothing cannot be mapped
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
