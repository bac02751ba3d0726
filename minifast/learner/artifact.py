"""The file of an exported learner: one safetensors file, with the weights under their own names and the description beside them.

Its header says the format version and the SHA-256 of each part; the description, JSON, is a tensor of bytes named `SPEC`. All of it is
checked before anything is built, nothing in it is code, and no more memory is taken than the file has bytes: safetensors refuses a file
whose header promises more than there is.
"""
import hashlib
import json
import os
from typing import Any

import torch

from ..core import checkpoint
from ..core.paths import Path
from ..core.ranks import is_main
from ..core.types import PathLike

FORMAT = 1                      #: version of the format that `write` writes; `read` reads this and every earlier one
HEADER = "minifast_learner"     #: name of the entry of the header
SPEC = "__spec__"               #: name of the tensor that holds the description


def _digest(spec: bytes, tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    "The SHA-256 of each part: of the description, and of the names, types, shapes and bytes of the weights."
    return {"spec": hashlib.sha256(spec).hexdigest(), "weights": checkpoint.tensor_digest(tensors)}


def write(spec: dict[str, Any], tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write a description and weights (on the CPU) to `file`, which is replaced once the new one is complete. Same input, same
    bytes. Of several ranks the first writes."""
    if not is_main():
        return
    text = json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    head = {"format": FORMAT, "sha256": _digest(text, tensors)}
    checkpoint.write_tensors({**tensors, SPEC: torch.frombuffer(bytearray(text), dtype=torch.uint8)}, {HEADER: json.dumps(head)}, file)


def read(file: PathLike) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read `(description, weights)`, checked against their SHA-256.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or another kind of file: says which, and what reads it.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        found = sorted(p.name for p in file.parent.glob("*.pkl")) if file.parent.is_dir() else []
        raise FileNotFoundError(f"there is no file {file}" + (f". In this folder: {', '.join(found[:10])}" if found else ""))
    _refuse_others(file)
    try:
        tensors, metadata = checkpoint.read_tensors(file)
    except ValueError as e:
        raise ValueError(f"{e}. Export the learner again, or copy the file again") from e
    if HEADER not in metadata:
        how = ("it was written by learn.save: build the learner by the same lines and call learn.load"
               if checkpoint.HEADER in metadata else "it holds weights alone: build the model and the learner, and call learn.load")
        raise ValueError(f"{file} is no exported learner: {how}")
    try:
        head = json.loads(metadata[HEADER])
        version = head["format"]
        if not isinstance(version, int) or not 1 <= version <= FORMAT:
            raise ValueError(f"{file} has format {version!r}, and this version of minifast reads 1 to {FORMAT}: update minifast")
        text = tensors.pop(SPEC).numpy().tobytes()
        wrong = [part for part, digest in _digest(text, tensors).items() if head["sha256"].get(part) != digest]
        spec = None if wrong else json.loads(text)
    except (LookupError, TypeError, AttributeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ValueError(f"{file} is damaged ({type(e).__name__}: {e}): it was cut short or changed. Export the learner again, or copy the "
                         "file again") from e
    if wrong or not isinstance(spec, dict):
        raise ValueError(f"{file} is damaged: its {' and '.join(wrong) or 'description'} does not have the SHA-256 that was written with "
                         "it. Export the learner again, or copy the file again")
    return spec, tensors


def _refuse_others(file: Path) -> None:
    "Refuse pickles by name."
    with open(file, "rb") as f:
        start = f.read(16)
    if start[8:9] != b"{" and (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"):      # the header of safetensors begins there
        raise ValueError(f"{file} is a pickle, as fastai's `learn.export` and torch.save write it: reading it runs whatever code is in it, "
                         "so load_learner never does. To bring its weights over, write in a shell "
                         f"`minifast port-weights {file.name}`; then build the learner and call learn.load")
    if len(start) < 9:
        raise ValueError(f"{file} is no exported learner: it has {os.path.getsize(file)} bytes")
