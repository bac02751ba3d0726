"""Tar files in the layout of webdataset as a stream: members that share a name but for the extension are one sample."""
import glob
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..core.messages import add_note, listing
from ..core.paths import Path
from ..core.types import PathLike
from .shards import Shards

#: What is made of the bytes of a member, by the last part of its extension.
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "cls": lambda b: int(b), "index": lambda b: int(b), "id": lambda b: int(b), "txt": lambda b: b.decode(), "text": lambda b: b.decode(),
    "json": json.loads, "npy": lambda b: np.load(io.BytesIO(b), allow_pickle=False),
}


class TarShards(Shards):
    """The samples of tar files, as webdataset writes them: `0017.jpg` and `0017.cls` are one sample, a dict `{"__key__": "0017",
    "jpg": ..., "cls": ...}`, or with `fields=("jpg", "cls")` a tuple.

    Numbers (`cls`), texts (`txt`), `json` and `npy` are decoded; everything else stays bytes unless `decode` says what to make of it.
    Files are read by seeking: to continue, headers are read, not the samples before.

    Args:
        files: a list of files, a folder, or a pattern: `"train-*.tar"`, `"train-{000..099}.tar"`.
        fields: the extensions of a tuple. None: the samples are dicts.
        decode: what to make of the bytes of a member, by extension, such as `{"jpg": PILImage.create}`.
        sizes: the number of samples of each file; True: count them now, which reads all headers. With them each worker and rank reads
            the same number of samples.
    """

    def __init__(self, files: PathLike | Sequence[PathLike], fields: Sequence[str] | None = None,
                 decode: Mapping[str, Callable[[bytes], Any]] | None = None, sizes: Sequence[int] | bool | None = None):
        self.fields = None if fields is None else tuple(fields)
        self.decoders = {**DECODERS, **(decode or {})}
        paths = _files(files)
        missing = [p for p in paths if not Path(p).is_file()]
        if missing:
            raise FileNotFoundError(f"TarShards: no such file: {listing(missing)}. Files of another machine are read by webdataset: "
                                    "StreamLoader(wds.WebDataset(urls), n_items=...)")
        super().__init__(paths, sizes=[_count(p) for p in paths] if sizes is True else sizes or None)

    def name_of(self, shard: int) -> str:
        return Path(self.shards[shard]).name

    def read(self, shard: int, start: int = 0) -> Iterator[dict[str, Any]]:
        with _opened(self.shards[shard]) as tar:
            for n, (key, members) in enumerate(_samples(tar)):
                if n >= start:
                    sample = {"__key__": key}
                    for extension, member in members:
                        sample[extension] = tar.extractfile(member).read()  # type: ignore[union-attr]
                    yield sample

    @property
    def is_quiet(self) -> bool:
        return all(str(f.__module__).partition(".")[0] == __name__.partition(".")[0] for f in self.decoders.values()
                   if f is not json.loads)

    def to_sample(self, item: dict[str, Any]) -> Any:
        made = {name: self._decoded(item, name, data) for name, data in item.items() if self.fields is None or name in self.fields}
        if self.fields is None:
            return made
        lacking = [name for name in self.fields if name not in made]
        if lacking:
            there = listing(k for k in item if k != "__key__")
            raise ValueError(f"sample {item['__key__']!r} has no {listing(map(repr, lacking))}: it has {there}. Name extensions that all "
                             "samples have, fields=(...)")
        return tuple(made[name] for name in self.fields)

    def _decoded(self, item, name, data):
        decoder = self.decoders.get(name) or self.decoders.get(name.rpartition(".")[2])
        if decoder is None or not isinstance(data, bytes):
            return data
        try:
            return decoder(data)
        except Exception as e:
            add_note(e, f"while decoding {name!r} of sample {item['__key__']!r}")
            raise


_ranges = re.compile(r"\{(\d+)\.\.(\d+)\}")


def _opened(path):
    try:
        return tarfile.open(path, "r:*")
    except tarfile.ReadError as e:
        raise ValueError(f"{path} is not a tar file, or it is damaged at its beginning ({e})") from e


def _samples(tar):
    "The samples of an open tar file: (key, [(extension, member), ...])."
    key, members = None, []
    for member in tar:
        tar.members = []                    # else all headers are kept
        if not member.isfile():
            continue
        folder, slash, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if not dot or not stem:             # __MACOSX and other things that are no samples
            continue
        own = folder + slash + stem
        if own != key and members:
            yield key, members
            members = []
        key = own
        members.append((extension.lower(), member))
    if members:
        yield key, members
    tar.fileobj.seek(tar.offset)
    left = tar.fileobj.read(tarfile.BLOCKSIZE)          # `tarfile` takes a header that it cannot read for the end
    if left.strip(b"\0") or 0 < len(left) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"{tar.name} is damaged, or was cut off, at byte {tar.offset:,}, after sample {key!r}")


def _count(path):
    with _opened(path) as tar:
        return sum(1 for _ in _samples(tar))


def _files(files):
    if isinstance(files, (list, tuple)):
        return [p for f in files for p in _files(f)]
    text = str(Path(files).expanduser())
    if Path(text).is_dir():
        found = sorted(map(str, Path(text).glob("*.tar")))
        if not found:
            raise FileNotFoundError(f"TarShards({text!r}): there is no *.tar in this folder")
        return found
    ranges = _ranges.findall(text)
    if ranges:
        numbers = [[str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)] for low, high in ranges]
        return [_ranges.sub("{}", text).format(*chosen) for chosen in product(*numbers)]
    if any(c in text for c in "*?["):
        found = sorted(glob.glob(text))
        if not found:
            raise FileNotFoundError(f"TarShards({text!r}): no file is named like this")
        return found
    return [text]
