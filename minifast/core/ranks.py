"""Which of several processes this is, as `torchrun` starts them, and what they tell each other.

A process is a rank of a world of ranks. Without `torchrun` the world has one rank, and nothing here costs anything. The engine is
`torch.distributed`; nothing of it is imported or started before a rank is asked for.

One rule holds everywhere: a batch of the loader is that of all ranks together, and each rank has a part of it, see `shares`. So `bs`
means the same at any world size.
"""
import atexit
import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch

from .seeds import item_rng, rng_state, set_rng_state

T = TypeVar("T")

#: How long a rank waits for the others, in seconds, unless `MINIFAST_TIMEOUT` or `to_distributed(timeout=)` says otherwise.
TIMEOUT = 600.0
#: Whether this is code that each rank runs for itself.
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_own_world = False                          # whether `join` made the process group
_group: Any = None                          # the process group that is used; None: that of all, as it was made


def launched() -> bool:
    "Whether a launcher such as `torchrun` started this process as one of several."
    return all(name in os.environ for name in ("RANK", "MASTER_ADDR", "MASTER_PORT")) and int(os.environ.get("WORLD_SIZE", 1)) > 1


def joined() -> bool:
    "Whether this process belongs to a process group of several ranks."
    return torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1


def join(timeout: float | None = None) -> None:
    """Join the other ranks, once: each question for the rank does so where `torchrun` started this process.

    Each rank gets the accelerator of its `LOCAL_RANK`, and the random streams of rank 0, so that what the script draws before training
    (a split, the weights of a new layer) is the same everywhere.

    Args:
        timeout: seconds to wait for another rank, here and later. None: `MINIFAST_TIMEOUT`, else 600.

    Raises:
        RuntimeError: the launcher started more ranks on this machine than it has GPUs.
    """
    global _own_world
    if joined() or not launched():
        return
    local, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if gpus and local >= gpus:
        raise RuntimeError(f"LOCAL_RANK={local}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}, and each rank takes one: write "
                           f"torchrun --nproc-per-node={gpus}")
    if gpus:
        torch.cuda.set_device(local)
    seconds = float(os.environ.get("MINIFAST_TIMEOUT", TIMEOUT)) if timeout is None else timeout
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=timedelta(seconds=seconds))
    _own_world = True
    atexit.register(_leave_at_exit)
    set_rng_state(_broadcast(rng_state(accelerators=False) | {"cuda": None, "mps": None}))


def leave() -> None:
    "Leave the process group that `join` made; one that the script made stays."
    global _own_world, _group
    if _own_world and joined():
        torch.distributed.destroy_process_group()
    _own_world, _group = False, None


def _leave_at_exit():
    "Leave where the script ended; after an error the others may wait for this rank, and the launcher ends them."
    if not hasattr(sys, "last_type"):
        leave()


def wait_at_most(seconds: float) -> None:
    "From now on a rank waits this long for another. Called by all."
    global _group
    if world_size() > 1:
        _group = torch.distributed.new_group(timeout=timedelta(seconds=seconds))


def group() -> Any:
    "The process group in use, for functions of `torch.distributed`."
    return _group


def rank() -> int:
    "The number of this process among all; 0 where there is one, and within `alone()`."
    return torch.distributed.get_rank() if world_size() > 1 else 0


def world_size() -> int:
    "How many processes work together; 1 without a launcher, and within `alone()`."
    if _alone.get():
        return 1
    if launched():
        join()
    return torch.distributed.get_world_size() if joined() else 1


def is_main() -> bool:
    "Whether this is rank 0, which prints, logs and saves."
    return rank() == 0


@contextmanager
def alone() -> Iterator[None]:
    "Within the block this process works for itself: its loaders give whole batches, and it waits for nobody."
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


# -- what ranks tell each other: each is called by all of them -------------------------------------------------------------------------
def shared(value: T) -> T:
    "The `value` of rank 0."
    return value if world_size() == 1 else _broadcast(value)


def _broadcast(value):
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0, group=_group, device=torch.device("cpu"))
    return box[0]


def gathered(value: T) -> list[T]:
    "The values of all ranks, in their order."
    if world_size() == 1:
        return [value]
    values: list = [None] * world_size()
    torch.distributed.all_gather_object(values, value, group=_group)
    return values


def barrier() -> None:
    "Wait until all ranks are here."
    if world_size() > 1:
        torch.distributed.barrier(_group)


def summed(t: torch.Tensor) -> torch.Tensor:
    "The sum of `t` over the ranks, in place."
    if world_size() > 1:
        torch.distributed.all_reduce(t, group=_group)
    return t


def rank0_first(f: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `f` on rank 0, then on all others: a download, say, which they then find done.

    An error on rank 0 ends all of them.

    Args:
        f: a function.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Returns:
        What `f` returns on this rank.

    Raises:
        RuntimeError: `f` failed on rank 0.
    """
    if world_size() == 1:
        return f(*args, **kwargs)
    error: Exception | None = None
    result: Any = None
    if is_main():
        with alone():
            try:
                result = f(*args, **kwargs)
            except Exception as e:
                error = e
    failed = shared(f"{type(error).__name__}: {error}" if error else None)
    if error is not None:
        raise error
    if failed is not None:
        raise RuntimeError(f"rank 0 failed in rank0_first({getattr(f, '__name__', f)}): {failed}")
    if is_main():
        return result
    with alone():
        return f(*args, **kwargs)


def main_only(f: Callable[..., None]) -> Callable[..., None]:
    "A decorator of a function that writes or prints: other ranks than 0 do nothing."
    @wraps(f)
    def on_rank_0(*args: Any, **kwargs: Any) -> None:
        if is_main():
            f(*args, **kwargs)
    return on_rank_0


def own_streams(epoch: int) -> None:
    """Random streams of this rank's own, for dropout and the like: a function of the script's, the epoch and the rank. Rank 0 keeps those
    of the script, as in a world of one."""
    if world_size() == 1:
        return
    script = shared(hashlib.sha256(torch.get_rng_state().numpy().tobytes()).digest()[:8])
    if rank():
        seed = int(item_rng(int.from_bytes(script, "big"), epoch, rank()).integers(2**63))
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)


def common_streams() -> None:
    "All ranks go on with the random streams of rank 0."
    if world_size() > 1:
        set_rng_state(_broadcast(rng_state(accelerators=False) | {"cuda": None, "mps": None}))
