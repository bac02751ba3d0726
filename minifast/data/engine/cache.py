"""Decoded images, kept in memory or on disk: from the second epoch on, only the random part of the pipeline is left to do.

What is kept is an image at the size that the first geometric transform makes of it, or needs it to have; see its `presize`. An entry is
used only while the file has the size and the modification time that it had, and the transform is the same.

An image is opened deep inside a dataset, by functions that know nothing of loaders (a user's `__getitem__` that calls `PILImage.create`):
while a loader makes samples in a thread, its cache is `current_cache` there, and who opens an image asks `current_cache.get()`.
"""
import hashlib
import json
import os
import shutil
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any
from warnings import warn

import numpy as np

from ...core.checkpoint import replacing
from ...core.messages import brief, describe, plural
from ...core.paths import Path
from ...core.types import PathLike
from ...sources.urls import minifast_home
from ..pipeline import Pipeline

_CHECK_EVERY = 64 << 20             # how many bytes are stored between two looks at what is free
_VERSION = "1"                      # of what is stored for an image; part of the name of its file

#: What an entry is found by: (file, PIL mode, time of change, size of the file).
Key = tuple[str, str, int, int]
#: The pixels, a uint8 array (H,W,C) not to be written to, and the (width, height) of the original.
Entry = tuple[np.ndarray, tuple[int, int]]

#: The cache for images that are opened now, in this thread; None outside of a loader.
current_cache: ContextVar["ImageCache | None"] = ContextVar("minifast_image_cache", default=None)


def free_memory() -> tuple[int, int] | None:
    "(bytes that can still be used, bytes in total): of the container where its limit is lower than the machine's. None if unknown."
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        free, total = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):        # only Linux says
        return None
    for limit_file, used_file in (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                                  ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")):
        with suppress(OSError, ValueError):
            limit, used = (int(Path(name).read_text(encoding="ascii")) for name in (limit_file, used_file))
            if limit < total:
                free, total = min(free, limit - used), limit
    return max(free, 0), total


class ImageCache:
    """Decoded images by file.

    presize: the size (height, width) at which an image of a size (height, width) is kept; None, or a result of None: as it is. spec: text
    that changes when what is kept changes. max_bytes: how much to keep; None: until a fifth of the memory (1 GB of the disk) is left free.
    """

    where: str = "nowhere"
    _advice: str

    def __init__(self, presize: Callable[[tuple[int, int]], tuple[int, int] | None] | None = None, spec: str = "whole",
                 max_bytes: int | None = None, folder: Path | None = None):
        if max_bytes is not None and (not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 0):
            raise ValueError(f"cache_bytes={brief(max_bytes)}: a number of bytes, such as 4 * 2**30, or None")
        self._presize, self.spec, self.max_bytes, self.folder = presize, spec, max_bytes, folder
        self.bytes, self.n, self.full, self._checked = 0, 0, False, -_CHECK_EVERY
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        return type(self), (self._presize, self.spec, self.max_bytes, self.folder)         # a copy begins empty

    def key_of(self, file: PathLike, mode: str) -> Key:
        "What an entry for `file` in the PIL mode `mode` is found by; raises OSError where there is no such file."
        status = os.stat(file)
        return os.fspath(file), mode, status.st_mtime_ns, status.st_size

    def presize(self, size: tuple[int, int]) -> tuple[int, int]:
        "The (width, height) to keep an image of `size` (width, height) at."
        kept = None if self._presize is None else self._presize((size[1], size[0]))
        return size if kept is None else (min(kept[1], size[0]), min(kept[0], size[1]))

    def has_room(self, n: int) -> bool:
        "Whether `n` bytes more may be stored; once they may not, nothing more is."
        with self._lock:
            if self.full:
                return False
            if self.max_bytes is not None:
                self.full = self.bytes + n > self.max_bytes
            elif self.bytes - self._checked >= _CHECK_EVERY:
                self._checked = self.bytes
                self.full = not self._is_free(n + _CHECK_EVERY)
            if self.full:
                warn(f"the image cache is full: {plural(self.n, 'image')} in {self.bytes / 2**30:.1f} GB {self.where}; the others "
                     f"are decoded each time. {self._advice}", stacklevel=2)
            return not self.full

    def _is_free(self, n):
        "Override: whether there is room for `n` bytes."
        raise NotImplementedError

    def _store(self, key, pixels, size):
        "Override: keep `pixels`; returns those that they replace, if they were counted."
        raise NotImplementedError

    def find(self, key: Key) -> Entry | None:
        "Override: what is kept for `key`, or None."
        raise NotImplementedError

    def put(self, key: Key, pixels: np.ndarray, size: tuple[int, int]) -> bool:
        "Keep the array `pixels` (H,W,C) for an image whose original has `size` (width, height); whether it was kept."
        pixels = np.ascontiguousarray(pixels)
        if not self.has_room(pixels.size):
            return False
        replaced = self._store(key, pixels, size)
        with self._lock:
            self.bytes += pixels.size - (0 if replaced is None else replaced.size)
            self.n += replaced is None
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {plural(self.n, 'image')} in {self.bytes / 2**20:.1f} MB {self.where}, kept for {self.spec}"


class RamCache(ImageCache):
    "An `ImageCache` in the memory of this process."

    where, _advice = "in memory", "cache='disk' may hold more; cache_bytes= sets another limit"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._kept: dict = {}

    def _is_free(self, n):
        found = free_memory()
        return found is None or found[0] - n > found[1] / 5

    def find(self, key: Key) -> Entry | None:
        entry = self._kept.get(key[:2])
        return entry[1:] if entry is not None and entry[0] == key else None         # else the file may be another one now

    def _store(self, key, pixels, size):
        before = self._kept.get(key[:2])
        self._kept[key[:2]] = key, pixels, size
        return None if before is None else before[1]


def _digest(pixels, size):
    "Of the pixels, their shape and the text `size`. A CRC, as it is read for each image: SHA-256 takes three times as long."
    return f"{zlib.crc32(pixels, zlib.crc32(f'{pixels.shape} of {size}'.encode())):08x}"


class DiskCache(ImageCache):
    """An `ImageCache` of one safetensors file per image, written whole or not at all; several processes may share it.

    folder: where they are; None: `$MINIFAST_HOME/cache/images`, by default in `~/.minifast`.
    """

    _advice = "Give cache= a folder on a larger disk, or a greater cache_bytes="

    def __init__(self, presize: Callable | None = None, spec: str = "whole", max_bytes: int | None = None,
                 folder: PathLike | None = None):
        super().__init__(presize, spec, max_bytes, minifast_home() / "cache" / "images" if folder is None else Path(folder))
        self._cleared: set[Path] = set()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.where = f"in {self.folder}"

    def _is_free(self, n):
        return shutil.disk_usage(self.folder).free - n > 1 << 30

    def _file(self, key):
        path, *rest = key
        text = "\0".join([_VERSION, self.spec, os.path.abspath(path), *map(str, rest)])
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.safetensors"

    def find(self, key: Key) -> Entry | None:
        try:
            with open(self._file(key), "rb", buffering=0) as f:
                n = int.from_bytes(f.read(8), "little")
                if not 0 < n < 1 << 16:
                    return None
                header = json.loads(f.read(n))
                h, w, c = header["pixels"]["shape"]
                if min(h, w, c) < 0 or h * w * c != os.fstat(f.fileno()).st_size - 8 - n:         # no memory for what is not there
                    return None
                pixels = np.empty((h, w, c), np.uint8)
                size, kept = header["__metadata__"]["size"], header["__metadata__"]["crc32"]
                if f.readinto(pixels.data.cast("B")) != pixels.size or kept != _digest(pixels, size):
                    return None
                width, height = map(int, size.split("x"))
                return pixels, (width, height)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):      # not there, or damaged: made again
            return None

    def _store(self, key, pixels, size):
        from safetensors.numpy import save
        file = self._file(key)
        file.parent.mkdir(exist_ok=True)
        first = file.parent not in self._cleared
        self._cleared.add(file.parent)
        with replacing(file, clear=first) as part:          # looking through a folder of many images takes time
            shown = f"{size[0]}x{size[1]}"
            part.write_bytes(save({"pixels": pixels}, {"size": shown, "file": os.path.basename(key[0]), "crc32": _digest(pixels, shown)}))

    def clear(self) -> None:
        "Delete the images kept in the folder, also those of other transforms."
        for file in self.folder.glob("??/*.safetensors"):
            file.unlink(missing_ok=True)
        self.bytes, self.n, self.full = 0, 0, False


def presizer(after_item: Pipeline, split_idx: int | None) -> tuple[Callable | None, str]:
    """(presize, spec) for the images that go through the pipeline `after_item`: of the first transform that has a `presize` method, if
    nothing that would have to see the whole image comes before it."""
    for f in after_item:
        if f.split_idx is not None and split_idx is not None and f.split_idx != split_idx:
            continue
        if hasattr(f, "presize"):
            return partial(f.presize, split_idx=split_idx), f"{f!r} on split {split_idx}"
        if not getattr(f, "keeps_size", False):
            break
    return None, "whole"


def make_cache(cache: ImageCache | PathLike | None, after_item: Pipeline, split_idx: int | None,
               max_bytes: int | None = None) -> ImageCache | None:
    "The `ImageCache` that the argument `cache=` of a loader means: None, 'ram', 'disk', a folder, or one that fits already."
    presize, spec = presizer(after_item, split_idx)
    if cache is None or cache is False or (isinstance(cache, ImageCache) and cache.spec == spec):
        return cache or None
    if isinstance(cache, ImageCache):
        return type(cache)(presize, spec, cache.max_bytes, cache.folder)
    if cache == "ram":
        return RamCache(presize, spec, max_bytes)
    if cache == "disk" or isinstance(cache, os.PathLike) or (isinstance(cache, str) and os.sep in cache):
        return DiskCache(presize, spec, max_bytes, None if cache == "disk" else cache)
    shown = repr(cache) if isinstance(cache, str) else describe(cache)
    raise ValueError(f"cache={shown}: it is 'ram', 'disk', a folder such as Path('cache'), or None")
