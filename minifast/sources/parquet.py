"""Parquet files as a stream: row groups are the shards, read a few rows at a time."""
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch

from ..core.messages import describe, did_you_mean, listing
from ..core.paths import Path
from ..core.types import PathLike
from .shards import Shards, as_values

_ROWS = 256             # read at a time


class Rows:
    """A few rows of a file, by row or by column.

    Args:
        batch: of pyarrow.
    """

    __slots__ = ("_by_name", "_rows", "batch")

    def __init__(self, batch: Any):
        self.batch = batch
        self._rows: list[dict[str, Any]] | None = None
        self._by_name: dict[str, np.ndarray] = {}

    def row(self, i: int) -> dict[str, Any]:
        """Read a row.

        Args:
            i: its number.
        """
        if self._rows is None:
            self._rows = self.batch.to_pylist()
        return self._rows[i]

    def column(self, name: str) -> np.ndarray:
        """Read a column.

        Args:
            name: its name.
        """
        if name not in self._by_name:
            self._by_name[name] = self.batch.column(name).to_numpy(zero_copy_only=False)
        return self._by_name[name]

    def is_whole(self) -> bool:
        "Whether no cell is empty."
        return not any(column.null_count for column in self.batch.columns)


class ParquetShards(Shards):
    """The rows of Parquet files, as dicts of their columns. A cell that is a list of numbers becomes a tensor.

    The row groups of the files are the shards; of each only the columns asked for are read, a few rows at a time. Their sizes stand in
    the files, so that an epoch is each row once, however many workers and ranks there are, and training continues anywhere.

    Args:
        path: a folder, whose `*.parquet` are read in the order of their names, a file, or a list of files.
        columns: names of those to read. None: all.
        rows: how many rows are read at a time.
    """

    def __init__(self, path: PathLike | Sequence[PathLike], columns: Sequence[str] | None = None, rows: int = _ROWS):
        pq = _pyarrow_parquet()
        files = _files(path)
        self.columns, self.rows = None if columns is None else list(columns), rows
        self._lists: set[str] = set()           # columns whose cells are lists
        self._plain = True                      # no columns but numbers and texts
        groups, sizes = [], []
        for file in files:
            with pq.ParquetFile(file) as opened:
                names = opened.schema_arrow.names
                for name in self.columns or ():
                    if name not in names:
                        raise ValueError(f"ParquetShards(columns=...): {file.name} has no column {name!r}{did_you_mean(name, names)} "
                                         f"Its columns are {listing(names)}")
                self._lists |= {f.name for f in opened.schema_arrow if str(f.type).partition("<")[0].endswith("list")}
                self._plain = self._plain and all(_is_plain(f.type) for f in opened.schema_arrow if f.name in (self.columns or names))
                for g in range(opened.num_row_groups):
                    groups.append((str(file), g))
                    sizes.append(opened.metadata.row_group(g).num_rows)
        if not sum(sizes):
            raise ValueError(f"ParquetShards({describe(path)}): these files have no rows")
        super().__init__(groups, sizes=sizes)

    def name_of(self, shard: int) -> str:
        file, group = self.shards[shard]
        return f"row group {group} of {Path(file).name}"

    def read(self, shard: int, start: int = 0) -> Iterator[tuple[Rows, int]]:
        pq = _pyarrow_parquet()
        file, group = self.shards[shard]
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(self.rows, row_groups=[group], columns=self.columns, use_threads=False):
                if start >= len(batch):
                    start -= len(batch)
                    continue
                yield from zip(repeat(Rows(batch)), range(start, len(batch)))
                start = 0

    def batch_of(self, items: Sequence[tuple[Rows, int]]) -> dict[str, Any] | None:
        starts: dict[Rows, int] = {}
        n, at = 0, np.empty(len(items), np.int64)
        for k, (rows, i) in enumerate(items):
            if rows not in starts:
                starts[rows], n = n, n + rows.batch.num_rows
            at[k] = starts[rows] + i
        if not items or not self._plain or not all(rows.is_whole() for rows in starts):
            return None
        names = items[0][0].batch.schema.names
        return {name: _as_collated(np.concatenate([rows.column(name) for rows in starts])[at]) for name in names}

    def to_sample(self, item: tuple[Rows, int]) -> dict[str, Any]:
        row = item[0].row(item[1])
        return as_values(row) if self._lists else row

    @property
    def is_quiet(self) -> bool:
        return True


def _is_plain(kind):
    return str(kind) in _PLAIN


_PLAIN = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float", "double", "string", "large_string"}


def _as_collated(values):
    "What collating these values as Python's numbers and texts gives."
    if values.dtype == object:
        return values.tolist()
    return torch.from_numpy(values.astype({"f": np.float32, "b": np.bool_}.get(values.dtype.kind, np.int64)))


def _files(path):
    if isinstance(path, (list, tuple)):
        files = [Path(p).expanduser() for p in path]
    else:
        folder = Path(path).expanduser()
        files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else [folder]
        if folder.is_dir() and not files:
            raise FileNotFoundError(f"ParquetShards({str(path)!r}): there is no *.parquet in this folder")
    missing = [str(f) for f in files if not f.is_file()]
    if missing:
        raise FileNotFoundError(f"ParquetShards: no such file: {listing(missing)}")
    return files


def _pyarrow_parquet():
    try:
        import pyarrow.parquet as pq
    except ImportError as e:
        raise ImportError("ParquetShards reads files with pyarrow, which is not installed: pip install pyarrow") from e
    return pq
