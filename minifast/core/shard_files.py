"""A checkpoint that all ranks write and read together, each its own rows: a folder `name.shards`.

The engine is `torch.distributed.checkpoint`, which brings the rows together that a rank needs, whatever the number of ranks that wrote
them. Its usual format keeps the index as a pickle, which could run any code when it is loaded. So this takes torch's other format, that
of Hugging Face: safetensors files, whose headers say which rows they hold. What is not a large tensor (settings of the optimizer, states
of callbacks, vocabularies, digests of the other files) is in one more file, `checkpoint.save`'s, which is written last: without it there
is no checkpoint.
"""
import hashlib
import inspect
import os
import secrets
import shutil
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import torch

from . import checkpoint
from .paths import Path
from .ranks import barrier, gathered, group, is_main, rank, shared, world_size
from .sharded import whole

SUFFIX = ".shards"
_MAIN = "checkpoint.safetensors"


def _storage():
    "torch's writer and reader, and what the writer calls that each rank writes its own rows."
    try:
        from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
        known = inspect.signature(HuggingFaceStorageWriter).parameters
        return HuggingFaceStorageWriter, HuggingFaceStorageReader, next(n for n in ("save_distributed", "save_sharded") if n in known)
    except (ImportError, StopIteration):
        raise RuntimeError(f"sharded=True: torch {torch.__version__} cannot write such files without pickles, torch 2.8 and later can: "
                           "leave it out, learn.save('name')") from None


def _is_large(t):
    return t.ndim > 0 and t.numel() > 0


def save_shards(value: Any, folder: Path) -> None:
    """Write `value` to `folder`, whole or not at all. Called by all ranks, which return when it is there.

    Args:
        value: what `checkpoint.save` takes; tensors may be divided among the ranks.
        folder: replaces an older one.

    Raises:
        OSError: names the folder when it cannot be written.
        RuntimeError: a torch before 2.8.
    """
    import torch.distributed.checkpoint as dcp
    writer, _, each_its_own = _storage()
    tensors, tree = checkpoint.pack(value, lambda t: t.detach().contiguous())
    large = {n: t for n, t in tensors.items() if _is_large(t)}
    part = folder.with_name(shared(f"{folder.name}.{secrets.token_hex(4)}.part"))
    with ExitStack() as stack:
        stack.enter_context(checkpoint.cannot_write(folder))
        if is_main():
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(checkpoint.clearing(folder.parent, checkpoint.LEFTOVER))
            part.mkdir()
        barrier()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                 # torch's, of names that are to change
            dcp.save(large, storage_writer=writer(str(part), **{each_its_own: True}), process_group=group(), no_dist=world_size() == 1)
        barrier()
        files = sorted(f.name for f in part.glob("*.safetensors"))
        digests = {n: d for found in gathered({n: _digest(part / n) for n in files[rank()::world_size()]}) for n, d in found.items()}
        small = whole({n: t for n, t in tensors.items() if not _is_large(t)})
        checkpoint.save({"tree": tree, "tensors": small, "files": digests}, part / _MAIN)
        if is_main():
            _replace(part, folder)
        barrier()


def _replace(part, folder):
    "Put a folder into the place of an older one, which is there under another name in between."
    old = _old(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
    os.rename(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def _old(folder):
    return folder.with_name(f"{folder.name}.old")


def present(folder: Path) -> Path | None:
    """Where the checkpoint of this name is; None if there is none.

    Args:
        folder: where it was written. A process that was killed in the middle of replacing it leaves the older one beside it.
    """
    return next((f for f in (folder, _old(folder)) if (f / _MAIN).is_file()), None)


def load_shards(folder: Path, like: Mapping[str, torch.Tensor] | None = None) -> Any:
    """Read what `save_shards` wrote, with any number of ranks. Called by all of them; nothing that is loaded can run code.

    Args:
        folder: the folder.
        like: tensors by the name that `checkpoint.pack` gives them, that are divided among the ranks: those of this name and shape are
            read that way, each rank its own rows. All others are whole, on the CPU.

    Raises:
        ValueError: a file is damaged or missing.
        RuntimeError: a torch before 2.8.
    """
    import torch.distributed.checkpoint as dcp
    _, reader, _ = _storage()
    main = checkpoint.load(folder / _MAIN)
    if not isinstance(main, dict) or not all(isinstance(main.get(k), dict) for k in ("tree", "tensors", "files")):
        raise ValueError(f"{folder / _MAIN} is not what learn.save(..., sharded=True) writes")
    damaged = gathered(_damaged(folder, sorted(main["files"].items())[rank()::world_size()]))
    if any(damaged):
        raise ValueError(f"{folder}: {next(d for d in damaged if d)} is missing, was cut short or changed")
    source = reader(str(folder))
    try:
        wanted = {n: _empty(t, (like or {}).get(n)) for n, t in source.read_metadata().state_dict_metadata.items()}
        names = {n for n in wanted if n in _names(main["tree"])} - set(main["tensors"])
        wanted = {n: t for n, t in wanted.items() if n in names}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(wanted, storage_reader=source, process_group=group(), no_dist=world_size() == 1)
        return checkpoint.unpack({**main["tensors"], **wanted}, main["tree"])
    except (LookupError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f"{folder} is not a complete checkpoint ({type(e).__name__}: {e})") from e


def _empty(stored, like):
    if like is not None and like.shape == stored.size:
        return torch.empty_like(like, dtype=stored.properties.dtype, requires_grad=False)
    return torch.empty(stored.size, dtype=stored.properties.dtype)


def _names(tree):
    "The names of the tensors in what `checkpoint.pack` made."
    if not isinstance(tree, dict):
        return set()
    (kind, body), = tree.items()
    inside = [v for _, v in body] if kind == "dict" else body
    return {body} if kind == "tensor" else set().union(*map(_names, inside))


def _digest(file):
    digest = hashlib.sha256()
    with open(file, "rb") as f:
        while block := f.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _damaged(folder, files):
    "The first of the files whose digest is another one; None."
    for name, digest in files:
        with suppress(OSError):
            if Path(name).name == name and _digest(folder / name) == digest:
                continue
        return name
    return None
