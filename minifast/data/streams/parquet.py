"""Parquet files as a stream: row groups are the shards, read a few rows at a time."""
from collections.abc import Iterator, Sequence
from typing import Any

from ...core.messages import describe, did_you_mean, listing
from ...core.paths import Path
from ...core.types import PathLike
from .columns import as_values
from .shards import Shards

_ROWS = 256             # read at a time


class ParquetShards(Shards):
    """The rows of Parquet files, as dicts of their columns. A cell that is a list of numbers becomes a tensor.

    The row groups of the files are the shards; of each only the columns asked for are read, a few rows at a time. Their sizes stand in
    the files, so that an epoch is each row once, however many workers and ranks there are, and training continues anywhere.

    Args:
        path: a folder, whose `*.parquet` are read in the order of their names, a file, or a list of files.
        columns: names of those to read. None: all.
        rows: how many rows are read at a time.

    >>> dl = StreamLoader(ParquetShards("clicks", columns=["age", "country", "clicked"]), bs=1024, shuffle=True)
    """

    def __init__(self, path: PathLike | Sequence[PathLike], columns: Sequence[str] | None = None, rows: int = _ROWS):
        pq = _pyarrow_parquet()
        files = _files(path)
        self.columns, self.rows = None if columns is None else list(columns), rows
        self._lists: set[str] = set()           # columns whose cells are lists
        groups, sizes = [], []
        for file in files:
            with pq.ParquetFile(file) as opened:
                names = opened.schema_arrow.names
                for name in self.columns or ():
                    if name not in names:
                        raise ValueError(f"ParquetShards(columns=...): {file.name} has no column {name!r}{did_you_mean(name, names)} "
                                         f"Its columns are {listing(names)}")
                self._lists |= {f.name for f in opened.schema_arrow if str(f.type).partition("<")[0].endswith("list")}
                for g in range(opened.num_row_groups):
                    groups.append((str(file), g))
                    sizes.append(opened.metadata.row_group(g).num_rows)
        if not sum(sizes):
            raise ValueError(f"ParquetShards({describe(path)}): these files have no rows")
        super().__init__(groups, sizes=sizes)

    def name_of(self, shard: int) -> str:
        file, group = self.shards[shard]
        return f"row group {group} of {Path(file).name}"

    def read(self, shard: int, start: int = 0) -> Iterator[dict[str, Any]]:
        pq = _pyarrow_parquet()
        file, group = self.shards[shard]
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(self.rows, row_groups=[group], columns=self.columns, use_threads=False):
                if start >= len(batch):
                    start -= len(batch)
                    continue
                yield from batch.slice(start).to_pylist()
                start = 0

    def to_sample(self, item: dict[str, Any]) -> dict[str, Any]:
        return as_values(item) if self._lists else item

    @property
    def is_quiet(self) -> bool:
        return True


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
