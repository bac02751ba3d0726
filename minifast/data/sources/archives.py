"""Unpacking archives that came from elsewhere: only plain files and folders, only inside the target, only up to a stated size.

Formats are told by content, not by name: tar (plain, gzip, bzip2, xz), zip, one gzipped file; and, by name, one plain data file.
"""
import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ...core.messages import describe

ARCHIVE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip", ".gz", ".bz2", ".xz")
PLAIN_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl")
_CHUNK = 1 << 20
_HEADER_BUDGET = 4 << 20          # bytes of tar headers and padding between the data of two members
_MAGIC = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class ArchiveError(ValueError):
    "An archive that is damaged, of an unknown kind, or not safe to unpack."


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    `ratio` is unpacked bytes per archive byte and counts once more than `ratio_from` bytes are unpacked (small texts compress well).
    """
    members: int = 5_000_000
    total: int = 500 * 2**30
    ratio: float = 300.0
    ratio_from: int = 256 * 2**20


def dataset_name(filename):
    "`'imagenette2-160.tgz'` -> `'imagenette2-160'`: the folder name for what is in an archive or data file."
    for suffix in (*ARCHIVE_SUFFIXES, *PLAIN_SUFFIXES):
        if filename.lower().endswith(suffix) and len(filename) > len(suffix):
            stem = filename[:-len(suffix)]
            return dataset_name(stem) if suffix in (".gz", ".bz2", ".xz") else stem
    return filename


def safe_parts(name):
    "The parts of an archive member's name; `ArchiveError` unless it is a relative path that stays below the target folder."
    parts = [p for p in re.split(r"[\\/]" if "\\" in name else "/", name) if p not in ("", ".")]
    if not name or "\0" in name:
        raise ArchiveError(f"it holds a member named {name!r}, which is no file name")
    if name[0] in "/\\" or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"it holds the absolute path {name!r}; only paths below the target folder are unpacked")
    if ".." in parts:
        raise ArchiveError(f"it holds {name!r}, which leads out of the target folder")
    if os.name == "nt" and any(":" in p for p in parts):
        raise ArchiveError(f"it holds {name!r}; ':' cannot be part of a file name here")
    return parts


def unpack_archive(archive, dest, limits=None):
    """Unpack `archive` into the new folder `dest` and return it; an existing `dest` is replaced.

    A single folder at the top of the archive becomes `dest`. Everything is unpacked into a fresh folder beside `dest` first and
    renamed at the end, so `dest` is never half filled. Raises `ArchiveError`, naming the member, for paths that lead elsewhere,
    links, devices, encrypted or damaged content, and for anything beyond `limits` (default `Limits()`).
    """
    archive, dest = Path(archive), Path(dest)
    dest.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{dest.name}.unpack-", dir=dest.parent))
    try:
        top = work / "content"
        top.mkdir()
        _read(archive, _Writer(top, archive, limits or Limits()))
        entries = list(top.iterdir())
        if not entries:
            raise ArchiveError("it is empty")
        if len(entries) == 1 and entries[0].is_dir():
            top = entries[0]
        if dest.exists():
            dest.rename(work / "replaced")
        top.rename(dest)
    except (ArchiveError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as e:
        reason = str(e) if isinstance(e, ArchiveError) else f"it is damaged or incomplete ({e})"
        raise ArchiveError(f"cannot unpack {archive}: {reason}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return dest


def _read(archive, out):
    "Send every member of `archive` to the writer `out`."
    with open(archive, "rb") as f:
        head = f.read(512)
    if not head:
        raise ArchiveError("the file is empty")
    if re.match(rb"\s*<(!doctype html|html)", head, re.IGNORECASE):
        raise ArchiveError("it is a web page, not an archive (a login or error page saved under its name?)")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _read_zip(archive, out)
        return
    opener = next((o for magic, o in _MAGIC.items() if head.startswith(magic)), open)
    if _is_tar(archive, opener):
        _read_tar(archive, opener, out)
    elif opener is not open and not _named_tar(archive):
        stem = re.sub(r"\.(gz|bz2|xz)$", "", archive.name, flags=re.IGNORECASE)
        with opener(archive, "rb") as f:
            out.file([stem], f)
    elif archive.suffix.lower() in PLAIN_SUFFIXES:
        with open(archive, "rb") as f:
            out.file([archive.name], f)
    else:
        raise ArchiveError(f"it is no tar, zip or gz archive (it begins with {describe(head[:16])}), and no "
                           f"{', '.join(PLAIN_SUFFIXES)} file by its name")


def _named_tar(archive):
    return re.search(r"\.(tar|tgz|tbz2|txz)(\.|$)", archive.name, re.IGNORECASE) is not None


def _is_tar(archive, opener):
    with opener(archive, "rb") as f:
        block = f.read(512)
    if not any(block):
        return len(block) == 512 and _named_tar(archive)       # an empty tar
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class _Writer:
    "Creates files and folders below `top`, and counts."

    def __init__(self, top, archive, limits):
        self.top, self.limits = top, limits
        self.root = os.path.realpath(top)
        self.archive_size = max(1, archive.stat().st_size)
        self.members = self.total = 0

    def count_member(self):
        self.members += 1
        if self.members > self.limits.members:
            raise ArchiveError(f"it has more than {self.limits.members:,} members")

    def count_bytes(self, n):
        "Called before `n` more bytes are unpacked."
        self.total += n
        if self.total > self.limits.total:
            raise ArchiveError(f"it unpacks to more than {self.limits.total:,} bytes")
        if self.total > self.limits.ratio_from and self.total > self.limits.ratio * self.archive_size:
            raise ArchiveError(f"it unpacks to more than {self.limits.ratio:g} times its size of {self.archive_size:,} bytes, "
                               "as a decompression bomb does")

    def place(self, parts):
        "The path for `parts`, its parent folder made and found, on the disk as it is now, to lie below the target."
        path = self.top.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        real = os.path.realpath(path.parent)
        if real != self.root and not real.startswith(self.root + os.sep):
            raise ArchiveError(f"it holds {'/'.join(parts)!r}, which leads out of the target folder")
        return path

    def folder(self, parts):
        self.count_member()
        if parts:
            self.place(parts).mkdir(exist_ok=True)

    def file(self, parts, source, size=None):
        "Copy `source` to `parts`; a declared `size` is held to exactly."
        self.count_member()
        name = "/".join(parts)
        if not parts:
            raise ArchiveError("it holds a file without a name")
        if size is not None:
            if size < 0:
                raise ArchiveError(f"it gives {name!r} a size of {size}")
            self.count_bytes(size)
        try:
            with open(self.place(parts), "xb") as f:
                left = size
                while chunk := source.read(_CHUNK if left is None else min(_CHUNK, left)):
                    if left is None:
                        self.count_bytes(len(chunk))
                    else:
                        left -= len(chunk)
                    f.write(chunk)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
            raise ArchiveError(f"it holds {name!r} twice, or a file and a folder of that name "
                               "(names that differ in case only count as the same on some disks)") from e
        if left:
            raise ArchiveError(f"it ends in the middle of {name!r}: {left:,} of {size:,} bytes are missing")


class _StrictTarInfo(tarfile.TarInfo):
    "A header that cannot be read is an error: `tarfile` by itself takes it for the end of the archive."

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        if len(buf) == 512 and not any(buf):
            return super().frombuf(buf, encoding, errors)      # the end marker
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as e:
            raise ArchiveError(f"it is damaged or incomplete ({e})") from e


class _Metered:
    "A stream that yields at most `budget` more bytes, so that neither headers nor padding can expand without end."

    def __init__(self, file):
        self.file, self.budget = file, _HEADER_BUDGET

    def read(self, n):
        data = self.file.read(n)
        self.budget -= len(data)
        if self.budget < 0:
            raise ArchiveError(f"it has more than {_HEADER_BUDGET:,} bytes of headers for one member")
        return data


def _read_tar(archive, opener, out):
    with opener(archive, "rb") as raw:
        stream = _Metered(raw)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictTarInfo) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()                  # tarfile would keep every header
                parts = safe_parts(member.name)
                if member.isdir():
                    out.folder(parts)
                elif member.isreg() and not member.issparse():
                    stream.budget = _HEADER_BUDGET + member.size
                    out.file(parts, tar.extractfile(member), member.size)
                else:
                    raise ArchiveError(f"it holds {member.name!r}, a {_tar_kind(member)}; only plain files and folders are unpacked")
                stream.budget = _HEADER_BUDGET
        while rest := raw.read(_CHUNK):              # the checksum at the end of a compressed stream is only checked there
            out.count_bytes(len(rest))


def _tar_kind(member):
    kinds = {"issym": "symbolic link", "islnk": "hard link", "ischr": "character device", "isblk": "block device", "isfifo": "named pipe",
             "issparse": "sparse file"}
    return next((words for test, words in kinds.items() if getattr(member, test)()), f"member of type {member.type!r}")


def _read_zip(archive, out):
    with zipfile.ZipFile(archive) as z:
        infos = z.infolist()
        if len(infos) > out.limits.members:
            raise ArchiveError(f"it has more than {out.limits.members:,} members")
        for info in infos:
            parts = safe_parts(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if parts[:1] == ["__MACOSX"]:            # resource forks that macOS adds beside the real content
                continue
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "symbolic link" if kind == stat.S_IFLNK else "special file"
                raise ArchiveError(f"it holds {info.filename!r}, a {what}; only plain files and folders are unpacked")
            if info.flag_bits & 1:
                raise ArchiveError(f"its member {info.filename!r} is encrypted; unpack it by hand")
            if info.is_dir():
                out.folder(parts)
                continue
            try:
                with z.open(info) as f:
                    out.file(parts, f, info.file_size)
            except NotImplementedError as e:
                raise ArchiveError(f"its member {info.filename!r} is compressed in a way that zipfile cannot read ({e})") from e
