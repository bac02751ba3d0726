"""Saving and loading tensors with plain values around them: safetensors plus JSON, written atomically. Never a pickle."""
import json
import os
import tempfile
from pathlib import Path

import torch

from .messages import add_note, describe

HEADER = "minifast"


def pack(value):
    """Split nested tuples, lists, dicts, numbers, strings and tensors into `(tensors by name, JSON tree)`.

    Tensors that share memory (tied weights) are stored once. Anything else is refused by name of its place.
    """
    tensors, seen = {}, {}

    def walk(x, where):
        if isinstance(x, torch.Tensor):
            key = (x.data_ptr(), tuple(x.shape), x.stride(), x.dtype, str(x.device)) if x.numel() else id(x)
            if key not in seen:
                seen[key] = where
                tensors[where] = x.detach().cpu().contiguous().clone()
            return {"tensor": seen[key]}
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        if isinstance(x, (list, tuple)):
            return {type(x).__name__ if type(x) in (list, tuple) else "list": [walk(o, f"{where}.{i}") for i, o in enumerate(x)]}
        if isinstance(x, dict):
            return {"dict": [[k, walk(v, f"{where}.{k}")] for k, v in x.items()]}
        raise TypeError(f"cannot save {describe(x)} at {where}: only tensors, numbers, strings, None and nested lists, tuples and dicts "
                        "of them are stored, so that loading never runs code")

    return tensors, walk(value, "root")


def unpack(tensors, tree):
    "The value that `pack` took apart."
    if not isinstance(tree, dict):
        return tree
    (kind, body), = tree.items()
    if kind == "tensor":
        return tensors[body]
    if kind == "dict":
        return {k: unpack(tensors, v) for k, v in body}
    return (tuple if kind == "tuple" else list)(unpack(tensors, o) for o in body)


def save(value, file):
    """Write `value` to `file` (safetensors) so that a crash leaves the old file or the new one, never half of one.

    The file is read back before it replaces the old one. Raises `OSError` naming the folder when it cannot be written.
    """
    from safetensors.torch import save_file
    file = Path(file)
    tensors, tree = pack(value)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=file.name, suffix=".part", dir=file.parent)
        os.close(handle)
    except OSError as e:
        add_note(e, f"cannot write to {file.parent.resolve()}: give the learner a writable folder, `learn.path = Path('...')`")
        raise
    try:
        save_file(tensors, part, metadata={HEADER: json.dumps(tree)})
        with open(part, "rb+") as f:
            os.fsync(f.fileno())
        load(part)
        os.replace(part, file)
    finally:
        Path(part).unlink(missing_ok=True)
    return file


def load(file, device="cpu"):
    "The value saved in `file`. A `.pth` of torch is read with `weights_only=True`. Nothing that is loaded can run code."
    file = Path(file)
    if not file.exists():
        siblings = sorted(p.stem for p in file.parent.glob("*.safetensors")) if file.parent.exists() else []
        raise FileNotFoundError(f"there is no file {file}. " + (f"Saved here: {', '.join(siblings)}" if siblings else
                                                                f"Nothing is saved in {file.parent.resolve()}"))
    if file.suffix in (".pth", ".pt"):
        return torch.load(file, map_location=device, weights_only=True)
    if file.suffix in (".pkl", ".pickle"):
        raise ValueError(f"{file} is a pickle: loading it could run any code. Load the weights alone from a `.pth` or `.safetensors` file.")
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(str(file), framework="pt", device=str(device)) as f:
            metadata = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as e:
        raise ValueError(f"{file} is not a complete safetensors file ({e}): it was cut short, changed, or is something else") from e
    return unpack(tensors, json.loads(metadata[HEADER])) if HEADER in metadata else tensors
