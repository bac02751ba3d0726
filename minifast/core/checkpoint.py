"""Saving and loading tensors with plain values around them: safetensors plus JSON, written atomically. Never a pickle.

A file is opened once, and what is loaded is a copy: another process may replace or overwrite the file at any time. What is written
carries a SHA-256 that is compared when it is loaded; files without one, of other programs, load as well.
"""
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from math import prod
from typing import Any
from warnings import warn

import torch

from .messages import add_note, describe
from .paths import Path
from .ranks import is_main
from .sharded import is_sharded, whole
from .types import PathLike

HEADER = "minifast"
DIGEST = "sha256"                       #: name of the entry of the header that holds the digest of all others and of the tensors
LEFTOVER = r".+\.[0-9a-f]{8}\.part"     #: names of what is being written
_LONGEST_HEADER = 100 << 20             # bytes; the limit of safetensors
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "C64": torch.complex64,
           "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "BOOL": torch.bool,
           "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "F8_E4M3": torch.float8_e4m3fn,
           "F8_E5M2": torch.float8_e5m2, "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz}


def on_cpu(t: torch.Tensor) -> torch.Tensor:
    "A copy of `t` on the CPU, in torch's usual order."
    return t.detach().cpu().contiguous().clone()


def pack(value: Any, take: Callable[[torch.Tensor], torch.Tensor] = on_cpu) -> tuple[dict[str, torch.Tensor], Any]:
    """Split nested tuples, lists, dicts, numbers, strings and tensors into `(tensors by name, JSON tree)`.

    Tensors that share memory (tied weights) are stored once.

    Args:
        value: what is to be split.
        take: what is stored of a tensor.

    Raises:
        TypeError: names the place of anything else.
    """
    tensors, seen = {}, {}

    def walk(x, where):
        if isinstance(x, torch.Tensor):
            key = (x.data_ptr(), tuple(x.shape), x.stride(), x.dtype, str(x.device)) if x.numel() and not is_sharded(x) else id(x)
            if key not in seen:
                # {1: ...} and {'1': ...} are different places with the same text
                seen[key] = next(o for o in chain([where], (f"{where}#{n}" for n in count(1))) if o not in tensors)
                tensors[seen[key]] = take(x)
            return {"tensor": seen[key]}
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        if isinstance(x, (list, tuple)):
            return {"tuple" if isinstance(x, tuple) else "list": [walk(o, f"{where}.{i}") for i, o in enumerate(x)]}
        if isinstance(x, dict):
            wrong = [k for k in x if not (k is None or isinstance(k, (bool, int, float, str)))]
            if wrong:
                raise TypeError(f"cannot save a dict with the key {describe(wrong[0])} at {where}: keys must be strings or numbers")
            return {"dict": [[k, walk(v, f"{where}.{k}")] for k, v in x.items()]}
        raise TypeError(f"cannot save {describe(x)} at {where}: only tensors, numbers, strings, None and nested lists, tuples and dicts "
                        "of them are stored, so that loading never runs code")

    return tensors, walk(value, "root")


def unpack(tensors: dict[str, torch.Tensor], tree: Any) -> Any:
    "The value that `pack` took apart."
    if not isinstance(tree, dict):
        return tree
    (kind, body), = tree.items()
    if kind == "tensor":
        return tensors[body]
    if kind == "dict":
        return {k: unpack(tensors, v) for k, v in body}
    return {"tuple": tuple, "list": list}[kind](unpack(tensors, o) for o in body)


@contextmanager
def clearing(folder: Path, leftover: str) -> Iterator[None]:
    """Within the block this process may have unfinished work in `folder` whose names match the regular expression `leftover`. What killed
    processes left there under such names is removed first, unless somebody else is at work.

    Who is at work holds a shared lock on the folder, which the system takes back from a process that is killed. Where folders cannot be
    locked (Windows, some network disks), nothing is removed.
    """
    held = None
    try:
        with suppress(ImportError, OSError):
            from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
            held = os.open(folder, os.O_RDONLY)
            with suppress(OSError):
                flock(held, LOCK_EX | LOCK_NB)
                for entry in os.scandir(folder):
                    if re.fullmatch(leftover, entry.name):
                        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
            flock(held, LOCK_SH)
        yield
    finally:
        if held is not None:
            with suppress(OSError):
                flock(held, LOCK_UN)                            # closing is not enough where a process was forked meanwhile
            os.close(held)


@contextmanager
def replacing(file: Path, clear: bool = True) -> Iterator[Path]:
    """Write a file whole or not at all: `with replacing(file) as part: part.write_text(...)`.

    `part` is another name in the same folder. It takes the place of `file` when the block ends, and is removed if the block fails; if the
    process is killed, by the next one that writes to the folder. clear: look for what killed processes left.
    """
    with clearing(file.parent, LEFTOVER if clear else r"(?!)"):
        part = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
        try:
            yield part
            os.replace(part, file)
        finally:
            with suppress(OSError):                             # where there is no such folder, nothing was left in it either
                part.unlink(missing_ok=True)


def save_json(value: Any, file: Path) -> Path:
    "Write plain values as JSON, whole or not at all; what JSON lacks as text. Of several ranks the first writes."
    if not is_main():
        return file
    with replacing(file) as part:
        part.write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")
    return file


def save(value: Any, file: PathLike) -> Path:
    """Write `value` to a safetensors file so that a crash leaves the old file or the new one, never half of one.

    The file is read back before it replaces the old one. Called by all ranks; the first writes, and the others do not wait for it.

    Raises:
        OSError: names the folder when it cannot be written.
    """
    file, value = Path(file), whole(value, keep=is_main())
    if not is_main():
        return file
    tensors, tree = pack(value)
    metadata = {HEADER: json.dumps(tree)}
    write_tensors(tensors, {**metadata, DIGEST: tensor_digest(tensors, metadata)}, file, check=True)
    return file


def tensor_digest(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> str:
    "The SHA-256, as 64 hexadecimal digits, of the names, types, shapes and bytes of tensors (on the CPU), and of the metadata with them."
    digest = _digest_begun(metadata)
    for name in sorted(tensors):
        _digest_add(digest, name, tensors[name])
    return digest.hexdigest()


def _digest_begun(metadata):
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode() if metadata else b"")


def _digest_add(digest, name, t):
    digest.update(json.dumps([name, str(t.dtype), list(t.shape)]).encode())
    digest.update(memoryview(t.contiguous().reshape(-1).view(torch.uint8).numpy()) if t.numel() else b"")


def write_tensors(tensors: dict[str, torch.Tensor], metadata: dict[str, str], file: Path, check: bool = False) -> None:
    """Write `tensors` (on the CPU, none sharing memory) and `metadata` to a safetensors file, whole or not at all.

    check: read the file back, by `read_tensors`, before it replaces an older one.

    Raises:
        OSError: names the folder when it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file
    try:
        with cannot_write(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as part:
                part.touch(exist_ok=False)
                mode = part.stat().st_mode & 0o777              # what this user's files get; safetensors would keep others from reading
                save_file(tensors, part, metadata=metadata)
                part.chmod(mode)
                with open(part, "rb+") as f:
                    os.fsync(f.fileno())
                if check:
                    read_tensors(part, tensors)
    except SafetensorError as e:                                # how safetensors reports a full disk
        raise OSError(f"{_cannot_write(file)} ({e})") from e


@contextmanager
def cannot_write(file: Path) -> Iterator[None]:
    "An error of the system within the block says where `file` was to be written, and what to write instead."
    try:
        yield
    except OSError as e:
        add_note(e, _cannot_write(file))
        raise


def _cannot_write(file: Path) -> str:
    return f"cannot write {file.name} to {file.parent.resolve()}: give the learner a writable folder with room, `learn.path = Path('...')`"


def read_tensors(file: PathLike, like: dict[str, torch.Tensor] | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read `(tensors, metadata)` of a safetensors file. The tensors are copies, on the CPU; they take as much memory as the file has bytes.

    The readers of safetensors map the file, which ends the process when another one makes it shorter, or take its bytes twice.

    Args:
        file: any safetensors file; the digest that `save` puts into its files is compared.
        like: only compare with these, a tensor at a time, which takes less time than a digest.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with open(file, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            n = int.from_bytes(f.read(8), "little")
            if not 2 <= n <= min(size - 8, _LONGEST_HEADER):
                raise ValueError("it does not begin with a header")
            header = json.loads(f.read(n))
            metadata = header.pop("__metadata__", None) or {}
            _check_layout(header, size - 8 - n)
            tensors, digest = {}, _digest_begun({k: v for k, v in metadata.items() if k != DIGEST})
            for name in sorted(header):
                begin, end = header[name]["data_offsets"]
                raw = torch.empty(end - begin, dtype=torch.uint8)
                into: Any = raw.numpy()
                f.seek(8 + n + begin)
                if f.readinto(into) != end - begin:
                    raise ValueError("it became shorter while it was read")
                t = raw.view(_DTYPES[header[name]["dtype"]]).reshape(header[name]["shape"])
                if like is None:
                    tensors[name] = t
                    if DIGEST in metadata:
                        _digest_add(digest, name, t)
                elif not torch.equal(raw, like[name].reshape(-1).view(torch.uint8)):
                    raise ValueError(f"{name} is not what was written")
        if like is None and DIGEST in metadata and metadata[DIGEST] != digest.hexdigest():
            raise ValueError("its content does not have the SHA-256 that was written with it")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, RuntimeError) as e:
        raise _damaged(file, e) from e
    return tensors, metadata


def _check_layout(header, n_bytes):
    "Raise an error unless the tensors fill `n_bytes` without gap or overlap, so that they take no more memory than the file has bytes."
    end = 0
    for begin, stop, kind, shape in sorted((*o["data_offsets"], o["dtype"], tuple(o["shape"])) for o in header.values()):
        if not all(type(n) is int and n >= 0 for n in (begin, stop, *shape)) or begin != end or \
                stop - begin != prod(shape) * _DTYPES[kind].itemsize:
            raise ValueError("its header does not fit its content")
        end = stop
    if end != n_bytes:
        raise ValueError(f"its tensors have {end:,} bytes, and there are {n_bytes:,}")


def _damaged(file, e):
    return ValueError(f"{file} is not a complete safetensors file ({e}): it was cut short, changed, or is something else")


class _LeftOut:
    "Stands for what fastai keeps beside the tensors in a `.pth` file, a list of its optimizer's settings: made, and never looked into."

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_FASTAI_GLOBALS = {"fastcore.foundation.L", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}


def torch_reason(e: Exception) -> str:
    "Why torch could not read a file, in a line, without its advice to run what is in it."
    text = str(e).strip()
    if advises_to_run(e):
        found = re.search(r"GLOBAL (\S+)", text)
        return f"it names {found[1]}" if found else "it is no file of plain tensors"
    return f"{type(e).__name__}: {text.partition(chr(10))[0] or 'no reason given'}"


def advises_to_run(e: BaseException) -> bool:
    "Whether an error of torch says how to run what is in a file; nobody is to be shown that."
    return "weights_only" in str(e) or "eights only" in str(e)


def _check_zip(content):
    "Compare the checksums in a file of torch.save, which torch.load does not look at."
    with zipfile.ZipFile(content) as z:
        records = z.infolist()
        if sum(r.file_size for r in records) > content.getbuffer().nbytes:
            raise ValueError("its records are longer than the file")                # torch does not compress
        if folders := [r.filename for r in records if r.external_attr & 0x10]:      # torch reads nothing for these: any memory
            raise ValueError(f"{folders[0]} is marked as a folder")
        if any(r.CRC for r in records) and (wrong := z.testzip()) is not None:      # they are left out by `set_crc32_options(False)`
            raise ValueError(f"{wrong} does not have the CRC that was written with it")


def read_torch(file: PathLike, device: torch.device | str = "cpu", warned: bool = False) -> Any:
    """Read a file of `torch.save` with weights_only=True; in a file of fastai's what is no tensor becomes an empty object.

    Args:
        file: as torch writes it; of versions before 1.6 too.
        device: where the tensors go.
        warned: warn about a file of torch before 1.6, which has no checksums.

    Raises:
        ValueError: it is damaged, or holds objects of other classes.
    """
    with open(file, "rb") as f:
        content = io.BytesIO(f.read())              # torch.save overwrites in place: what is compared here is what is loaded
    try:
        if has_checksums := content.read(4) == b"PK\3\4":
            _check_zip(content)
        content.seek(0)
        foreign = set()
        with suppress(Exception):                   # a file that cannot be examined is refused by the reader, with its reason
            foreign = set(torch.serialization.get_unsafe_globals_in_checkpoint(content))
        content.seek(0)
        left_out: list = [(_LeftOut, name) for name in foreign] if foreign and foreign <= _FASTAI_GLOBALS else []
        with torch.serialization.safe_globals(left_out):
            value = torch.load(content, map_location=device, weights_only=True)
    except Exception as e:          # cut short, changed, or objects of classes that are no tensors: torch and zipfile raise many kinds
        reason = torch_reason(e)
    else:
        if warned and not has_checksums:
            warn(f"{file} has the format of torch before 1.6, which carries no checksum: if a number in it was damaged, nothing notices. "
                 "What learn.save('name') writes has one", stacklevel=5)
        return value
    raise ValueError(f"{file} cannot be read as tensors ({reason}): it was cut short, changed, or holds other objects, which are never "
                     "loaded because that could run any code. Save `model.state_dict()` alone.")


def load(file: PathLike, device: torch.device | str = "cpu") -> Any:
    """Read the value saved in `file`; nothing that is loaded can run code.

    A `.pth` of torch is read with `weights_only=True`.

    Raises:
        FileNotFoundError: lists what is saved there.
        ValueError: the file is damaged, or of a kind that could run code.
    """
    file = Path(file).expanduser()
    if not file.exists():
        siblings = sorted(p.stem for p in file.parent.glob("*.safetensors")) if file.parent.exists() else []
        raise FileNotFoundError(f"there is no file {file}. " + (f"Saved here: {', '.join(siblings)}" if siblings else
                                                                f"Nothing is saved in {file.parent.resolve()}"))
    if file.suffix in (".pth", ".pt"):
        return read_torch(file, device, warned=True)
    if file.suffix in (".pkl", ".pickle"):
        raise ValueError(f"{file} is a pickle: loading it could run any code. Load the weights alone from a `.pth` or `.safetensors` file.")
    tensors, metadata = read_tensors(file)
    tensors = {name: tensors.pop(name).to(device) for name in list(tensors)}       # one at a time: the copies here are not needed any more
    try:
        return unpack(tensors, json.loads(metadata[HEADER])) if HEADER in metadata else tensors
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise _damaged(file, e) from e
