"""Saving and loading tensors with plain values around them: safetensors plus JSON, written atomically. Never a pickle."""
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from typing import Any

import torch

from .messages import add_note, describe
from .paths import Path
from .types import PathLike

HEADER = "minifast"


def pack(value: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """Split nested tuples, lists, dicts, numbers, strings and tensors into `(tensors by name, JSON tree)`.

    Tensors that share memory (tied weights) are stored once.

    Raises:
        TypeError: names the place of anything else.
    """
    tensors, seen = {}, {}

    def walk(x, where):
        if isinstance(x, torch.Tensor):
            key = (x.data_ptr(), tuple(x.shape), x.stride(), x.dtype, str(x.device)) if x.numel() else id(x)
            if key not in seen:
                # {1: ...} and {'1': ...} are different places with the same text
                seen[key] = next(o for o in chain([where], (f"{where}#{n}" for n in count(1))) if o not in tensors)
                tensors[seen[key]] = x.detach().cpu().contiguous().clone()
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
def replacing(file: Path) -> Iterator[Path]:
    """Write a file whole or not at all: `with replacing(file) as part: part.write_text(...)`.

    `part` is another name in the same folder. It takes the place of `file` when the block ends, and is removed if the block fails.
    """
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, file)
    finally:
        with suppress(OSError):                                 # where there is no such folder, nothing was left in it either
            part.unlink(missing_ok=True)


def save(value: Any, file: PathLike) -> Path:
    """Write `value` to a safetensors file so that a crash leaves the old file or the new one, never half of one.

    The file is read back before it replaces the old one.

    Raises:
        OSError: names the folder when it cannot be written.
    """
    file = Path(file)
    tensors, tree = pack(value)
    write_tensors(tensors, {HEADER: json.dumps(tree)}, file, check=True)
    return file


def write_tensors(tensors: dict[str, torch.Tensor], metadata: dict[str, str], file: Path, check: bool = False) -> None:
    """Write `tensors` (on the CPU, none sharing memory) and `metadata` to a safetensors file, whole or not at all.

    check: read the file back, by `load`, before it replaces an older one.

    Raises:
        OSError: names the folder when it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            part.touch(exist_ok=False)
            mode = part.stat().st_mode & 0o777                  # what this user's files get; safetensors would keep others from reading
            save_file(tensors, part, metadata=metadata)
            part.chmod(mode)
            with open(part, "rb+") as f:
                os.fsync(f.fileno())
            if check:
                load(part)
    except OSError as e:
        add_note(e, _cannot_write(file))
        raise
    except SafetensorError as e:                                # how safetensors reports a full disk
        raise OSError(f"{_cannot_write(file)} ({e})") from e


def _cannot_write(file: Path) -> str:
    return f"cannot write {file.name} to {file.parent.resolve()}: give the learner a writable folder with room, `learn.path = Path('...')`"


class _LeftOut:
    "Stands for what fastai keeps beside the tensors in a `.pth` file, a list of its optimizer's settings: made, and never looked into."

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_FASTAI_GLOBALS = {"fastcore.foundation.L", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}


def _load_pth(file: Path, device: torch.device | str) -> Any:
    "torch's own reader, with weights_only=True; in a file of fastai's what is no tensor becomes `_LeftOut`."
    foreign = set()
    with suppress(Exception):                       # a file that cannot be examined is refused by the reader, with its reason
        foreign = set(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    left_out: list = [(_LeftOut, name) for name in foreign] if foreign and foreign <= _FASTAI_GLOBALS else []
    with torch.serialization.safe_globals(left_out):
        return torch.load(file, map_location=device, weights_only=True)


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
        try:
            return _load_pth(file, device)
        except OSError:
            raise
        except Exception as e:      # cut short, changed, or objects of classes that are no tensors: torch raises many kinds
            reason = str(e).strip().split("\n")[0]
            raise ValueError(f"{file} cannot be read as tensors ({type(e).__name__}: {reason}): it was cut short, changed, or holds other "
                             "objects, which are never loaded because that could run any code. Save `model.state_dict()` alone.") from e
    if file.suffix in (".pkl", ".pickle"):
        raise ValueError(f"{file} is a pickle: loading it could run any code. Load the weights alone from a `.pth` or `.safetensors` file.")
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(str(file), framework="pt", device=str(device)) as f:
            metadata = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118  (not a dict)
        return unpack(tensors, json.loads(metadata[HEADER])) if HEADER in metadata else tensors
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f"{file} is not a complete safetensors file ({e}): it was cut short, changed, or is something else") from e
