"""Unpacking archives that came from elsewhere: only plain files and folders, only inside the target, only up to a stated size.

The format is told by content, not by name: tar (plain, gzip, bzip2, xz), zip, one gzipped file; and, by name, one plain data file.
"""
import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from errno import EINVAL
from math import inf
from tempfile import TemporaryDirectory
from typing import Any

from ..core.checkpoint import clearing
from ..core.messages import describe
from ..core.paths import Path
from ..core.types import PathLike

ARCHIVE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip", ".gz", ".bz2", ".xz")
PLAIN_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl")
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_HEADER_BUDGET = 4 << 20          # bytes of tar headers and padding between the data of two members


class ArchiveError(ValueError):
    "An archive that is damaged, of an unknown kind, or not safe to unpack."


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    `ratio` is unpacked bytes per archive byte and counts once more than `ratio_from` bytes are unpacked (small texts compress well).
    """
    members: int = 5_000_000
    total: int = 500 * 2**30
    ratio: float = 100.0
    ratio_from: int = 64 * 2**20


def dataset_name(filename: str) -> str:
    "`'imagenette2-160.tgz'` -> `'imagenette2-160'`: the folder name for what is in an archive or data file."
    for suffix in (*ARCHIVE_SUFFIXES, *PLAIN_SUFFIXES):
        if filename.lower().endswith(suffix) and len(filename) > len(suffix):
            stem = filename[:-len(suffix)]
            return dataset_name(stem) if suffix in (".gz", ".bz2", ".xz") else stem
    return filename


def safe_parts(name: str) -> list[str]:
    "The parts of an archive member's name; `ArchiveError` unless it is a relative path that stays below the target folder."
    parts = [p for p in re.split(r"[\\/]" if "\\" in name else "/", name) if p not in ("", ".")]
    if not name or "\0" in name:
        raise ArchiveError(f"it holds a member named {name!r}, which is no file name")
    if name[0] in "/\\" or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"it holds the absolute path {name!r}; only paths below the target folder are unpacked")
    if ".." in parts:
        raise ArchiveError(f"it holds {name!r}, which leads out of the target folder")
    return parts


def unpack_archive(archive: PathLike, dest: PathLike, limits: Limits | None = None) -> Path:
    """Unpack `archive` into the new folder `dest` and return it; an existing `dest` is replaced.

    A single folder at the top of the archive becomes `dest`. Everything is unpacked into a temporary folder beside `dest` first and
    renamed at the end, so `dest` is never half filled. Raises `ArchiveError`, naming the member, for paths that lead elsewhere,
    links, devices, encrypted or damaged content, and for anything beyond `limits` (default `Limits()`).
    """
    archive, dest = Path(archive), Path(dest)
    dest.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{dest.name}.unpack-"
    with (clearing(dest.parent, re.escape(prefix) + r"[a-z0-9_]{8}"),
          TemporaryDirectory(prefix=prefix, dir=dest.parent, ignore_cleanup_errors=True) as work):
        top = Path(work, "content")
        top.mkdir()
        try:
            _read(archive, _Writer(top, archive, dest, limits or Limits()))
        except Exception as e:              # the libraries raise many kinds of a damaged archive
            if isinstance(e, MemoryError) or (isinstance(e, OSError) and e.errno not in (None, EINVAL)):
                raise                       # of the disk; bz2 and zipfile say of damage that a stream or a place is invalid
            reason = str(e) if isinstance(e, ArchiveError) else f"it is damaged or incomplete ({e})"
            raise ArchiveError(f"cannot unpack {archive}: {reason}") from e
        entries = list(top.iterdir())
        if not entries:
            raise ArchiveError(f"cannot unpack {archive}: it is empty")
        if dest.exists():
            dest.rename(Path(work, "replaced"))
        (entries[0] if len(entries) == 1 and entries[0].is_dir() else top).rename(dest)
    return dest


class _Writer:
    "Creates files and folders below `top`, and holds what is unpacked to the limits."

    def __init__(self, top: Path, archive: Path, dest: Path, limits: Limits):
        self.top, self.dest, self.limits = top, dest, limits
        self.archive_size = max(1, archive.stat().st_size)
        self.n_members = self.n_bytes = 0

    def count_bytes(self, n: int) -> None:
        self.n_bytes += n
        if self.n_bytes > self.limits.total:
            raise ArchiveError(f"it unpacks to more than {self.limits.total:,} bytes")
        if self.n_bytes > max(self.limits.ratio_from, self.limits.ratio * self.archive_size):
            raise ArchiveError(f"it unpacks to more than {self.limits.ratio:g} times its size of {self.archive_size:,} bytes, "
                               f"as a decompression bomb does. If you trust it, unpack it by hand into {self.dest}")

    def add(self, name: str, source: Any = None) -> None:
        "Create the file `name` with the bytes of the stream `source`, or without one the folder `name`."
        path = self.top.joinpath(*safe_parts(name))
        self.n_members += 1
        if self.n_members > self.limits.members:
            raise ArchiveError(f"it has more than {self.limits.members:,} members")
        try:
            (path if source is None else path.parent).mkdir(parents=True, exist_ok=True)
            if source is not None:
                with open(path, "xb") as f:
                    shutil.copyfileobj(source, f)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
            raise ArchiveError(f"it holds {name!r} twice, or a file and a folder of that name "
                               "(names that differ in case only count as the same on some disks)") from e


class _Counted:
    "A stream of unpacked bytes, which are counted as they are read. budget: how many may come, for the headers of a tar."

    def __init__(self, file: Any, out: _Writer, budget: float = inf):
        self.file, self.out, self.budget = file, out, budget

    def read(self, n: int = -1) -> bytes:
        data = self.file.read(n)
        self.out.count_bytes(len(data))
        self.budget -= len(data)
        if self.budget < 0:
            raise ArchiveError(f"it has more than {_HEADER_BUDGET:,} bytes of headers for one member")
        return data


def _read(archive: Path, out: _Writer) -> None:
    "Give every member of `archive` to the writer `out`."
    with open(archive, "rb") as f:
        head = f.read(512)
    if not head:
        raise ArchiveError("the file is empty")
    if re.match(rb"\s*<(!doctype html|html)", head, re.IGNORECASE):
        raise ArchiveError("it is a web page, not an archive (a login or error page saved under its name?)")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _read_zip(archive, out)
        return
    opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), open)
    with opener(archive, "rb") as f:
        is_tar = _is_tar(f.read(512))
    packed_alone = opener is not open and not re.search(r"\.(tar|tgz|tbz2|txz)(\.|$)", archive.name, re.IGNORECASE)
    if not (is_tar or packed_alone or archive.suffix.lower() in PLAIN_SUFFIXES):
        raise ArchiveError(f"it is no tar, zip or gz archive (it begins with {describe(head[:16])}), and no "
                           f"{', '.join(PLAIN_SUFFIXES)} file by its name")
    with opener(archive, "rb") as f:
        if is_tar:
            _read_tar(_Counted(f, out, _HEADER_BUDGET), out)
        else:
            out.add(archive.stem if packed_alone else archive.name, _Counted(f, out))


def _is_tar(block: bytes) -> bool:
    try:                                             # not `tarfile.is_tarfile`, which reads headers of any size
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return not any(block)                        # an empty tar
    return True


class _StrictTarInfo(tarfile.TarInfo):
    "A header that cannot be read is an error: `tarfile` by itself takes it for the end of the archive."

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as e:
            if len(buf) == 512 and not any(buf):     # the end marker
                raise
            raise ArchiveError(f"it is damaged or incomplete ({e})") from e


def _read_tar(stream: _Counted, out: _Writer) -> None:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictTarInfo) as tar:      # type: ignore[call-overload]  # it only reads
        while (member := tar.next()) is not None:
            tar.members.clear()                      # tarfile would keep every header
            if not (member.isdir() or member.isreg()) or member.issparse():
                raise ArchiveError(f"it holds {member.name!r}, a {_tar_kind(member)}; only plain files and folders are unpacked")
            stream.budget = _HEADER_BUDGET + member.size
            out.add(member.name, None if member.isdir() else tar.extractfile(member))
            stream.budget = _HEADER_BUDGET
    stream.budget = inf
    while stream.read(1 << 20):                      # the checksum at the end of a compressed stream is only checked there
        pass


def _tar_kind(member: tarfile.TarInfo) -> str:
    kinds = {"issym": "symbolic link", "islnk": "hard link", "ischr": "character device", "isblk": "block device", "isfifo": "named pipe",
             "issparse": "sparse file"}
    return next((words for test, words in kinds.items() if getattr(member, test)()), f"member of type {member.type!r}")


def _members_stated(archive: Path) -> int:
    "How many members the end of a zip says there are. `zipfile` does not compare it: a changed length makes it pass over some."
    with open(archive, "rb") as f:
        f.seek(max(0, archive.stat().st_size - 22 - 0xFFFF))
        end = f.read()
    at = end.rfind(b"PK\x05\x06") + 10
    return int.from_bytes(end[at:at + 2], "little")


def _read_zip(archive: Path, out: _Writer) -> None:
    with zipfile.ZipFile(archive) as z:
        stated = _members_stated(archive)
        if stated not in (len(z.infolist()) & 0xFFFF, 0xFFFF):           # the latter: more than the field can say
            raise ArchiveError(f"it is damaged or incomplete (it states {stated:,} members, and lists {len(z.infolist()):,})")
        for info in z.infolist():
            if safe_parts(info.filename)[:1] == ["__MACOSX"]:            # resource forks that macOS adds beside the real content
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "symbolic link" if kind == stat.S_IFLNK else "special file"
                raise ArchiveError(f"it holds {info.filename!r}, a {what}; only plain files and folders are unpacked")
            if info.flag_bits & 1:
                raise ArchiveError(f"its member {info.filename!r} is encrypted; unpack it by hand")
            if info.is_dir():
                out.add(info.filename)
                continue
            try:
                with z.open(info) as f:
                    out.add(info.filename, _Counted(f, out))
            except NotImplementedError as e:
                raise ArchiveError(f"its member {info.filename!r} is compressed in a way that zipfile cannot read ({e})") from e
