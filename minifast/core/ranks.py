"""Which of several processes this is, as `torchrun` starts them, and what they tell each other.

A process is a rank of a world of ranks. Without `torchrun` the world has one rank, and nothing here costs anything. The engine is
`torch.distributed`; nothing of it is imported or started before a rank is asked for.

One rule holds everywhere: a batch of the loader is that of all ranks together, and each rank has a part of it, see `shares`. So `bs`
means the same at any world size.
"""
import atexit
import gc
import hashlib
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import cache, wraps
from typing import Any, TypeVar

import numpy as np
import torch

from . import rank_failures, rank_warnings
from .seeds import item_rng, rng_state, set_rng_state

T = TypeVar("T")

#: How long a rank waits for the others, in seconds, unless `MINIFAST_TIMEOUT` or `to_distributed(timeout=)` says otherwise.
TIMEOUT = 600.0
#: Whether this is code that each rank runs for itself.
_alone: ContextVar[bool] = ContextVar("alone", default=False)
#: What a launcher tells each process.
_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OWNER = "MINIFAST_RANK_PROCESS"            # the process that is a rank, its rank and port: others have inherited its environment
_is_alone = False                           # whether this process was forked from a rank, or has left the others
#: Whether there is a process group: what the loop asks before it asks for more.
initialized = torch.distributed.is_initialized if torch.distributed.is_available() else lambda: False
_own_world = False                          # whether `join` made the process group
_timeout = TIMEOUT                          # how long a rank waits for another
_progress = 0                               # how far this rank has come: a number that grows alike on all ranks
_group: Any = None                          # the process group that is used; None: that of all, as it was made


def launched() -> bool:
    """Whether a launcher such as `torchrun` started this process as one of several. A part of its variables alone, such as the `RANK` that
    schedulers of clusters set, says nothing; nor do all of them in a process that a rank has started.

    Raises:
        RuntimeError: the variables contradict each other.
    """
    told = [os.environ.get(name) for name in _TOLD]
    return None not in told and not _is_alone and not _inherited(told) and _is_one_of_several(*told)


@cache
def _is_one_of_several(rank, world, address, port):
    if not (rank.isdecimal() and world.isdecimal() and port.isdecimal() and int(rank) < max(1, int(world))):
        told = ", ".join(f"{name}={value!r}" for name, value in zip(_TOLD, (rank, world, address, port), strict=True))
        raise RuntimeError(f"{told}: these environment variables of a launcher fit no rank of a world. Start the script with "
                           "`torchrun --nproc-per-node=2 train.py` or `minifast launch train.py`, or unset them: os.environ.pop('RANK')")
    return int(world) > 1


def _inherited(told):
    "Whether the launcher's variables are those of a rank that has started this process."
    pid, *others = os.environ.get(_OWNER, "").split(" ")
    return bool(others) and others == [told[0], told[3]] and pid != str(os.getpid())


def _after_fork():
    global _is_alone
    _is_alone = _is_alone or joined()


if hasattr(os, "register_at_fork"):         # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def joined() -> bool:
    "Whether this process belongs to a process group of several ranks. What a rank has started, such as a worker of a loader, does not."
    d = torch.distributed
    return not _is_alone and d.is_available() and d.is_initialized() and d.get_world_size() > 1


def join(timeout: float | None = None) -> None:
    """Join the other ranks, once: each question for the rank does so where `torchrun` started this process.

    Each rank gets the accelerator of its `LOCAL_RANK`, and the random streams of rank 0, so that what the script draws before training
    (a split, the weights of a new layer) is the same everywhere.

    Args:
        timeout: seconds to wait for another rank, here and later. None: `MINIFAST_TIMEOUT`, else 600.

    Raises:
        RuntimeError: the launcher started more ranks on this machine than it has GPUs.
    """
    global _own_world, _timeout
    if joined() or not launched():
        return
    local, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if gpus and local >= gpus:
        raise RuntimeError(f"LOCAL_RANK={local}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}, and each rank takes one: write "
                           f"torchrun --nproc-per-node={gpus}")
    if gpus:
        torch.cuda.set_device(local)
    seconds = _timeout = _seconds() if timeout is None else timeout
    try:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=timedelta(seconds=seconds))
    except torch.distributed.DistError as e:
        raise RuntimeError(f"rank {os.environ['RANK']} waited {seconds:g} seconds at {os.environ['MASTER_ADDR']}:"
                           f"{os.environ['MASTER_PORT']} for all {os.environ['WORLD_SIZE']} ranks to begin, as RANK and WORLD_SIZE in the "
                           "environment say. Start all of them; give slow ones more time with MINIFAST_TIMEOUT=1800; where this process "
                           "is meant to train alone, unset RANK") from e
    _own_world = True
    os.environ[_OWNER] = f"{os.getpid()} {os.environ['RANK']} {os.environ['MASTER_PORT']}"
    rank_failures.watch()
    rank_warnings.collect(torch.distributed.get_rank())
    atexit.register(_leave_at_exit)
    set_rng_state(_broadcast(rng_state(accelerators=False) | {"cuda": None, "mps": None}))


def _seconds():
    "How long a rank waits for another, as the environment says."
    told = os.environ.get("MINIFAST_TIMEOUT", str(TIMEOUT))
    try:
        if 0 < float(told) < math.inf:
            return float(told)
    except ValueError:
        pass
    raise ValueError(f"MINIFAST_TIMEOUT={told!r}: seconds to wait for another rank, a number above 0, such as MINIFAST_TIMEOUT=600")


def leave() -> None:
    """Leave the process group that `join` made; one that the script made stays. From now on this process is alone."""
    global _own_world, _group, _is_alone
    if _own_world and joined():
        gc.collect()                        # what still holds the group would end with its threads at work, and the process be aborted
        torch.distributed.destroy_process_group()
        _is_alone = True
    _own_world, _group = False, None


def _leave_at_exit():
    "Leave where the script ended; after an error the others may wait for this rank, and the launcher ends them."
    rank_warnings.settle(int(os.environ["RANK"]), patience=1)
    if not hasattr(sys, "last_type"):
        leave()


def wait_at_most(seconds: float) -> None:
    "From now on a rank waits this long for another. Called by all."
    global _group, _timeout
    if world_size() > 1:
        _timeout = seconds
        _group = torch.distributed.new_group(timeout=timedelta(seconds=seconds))


def timeout() -> float:
    "How long a rank waits for another, in seconds."
    return _timeout


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
    if not joined():                        # asked first: it is several times as fast as what the environment says
        if not launched():
            return 1
        join()
    return torch.distributed.get_world_size()


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


def advance() -> None:
    "Note that this rank has come to a further point at which all ranks come by."
    global _progress
    _progress += 1


def progress() -> int:
    "How far this rank has come: at the same point it is the same number on all ranks, and later a larger one."
    return _progress


# -- what ranks tell each other: each is called by all of them -------------------------------------------------------------------------
def shared(value: T) -> T:
    "The `value` of rank 0."
    return value if world_size() == 1 else _broadcast(value)


def _broadcast(value):
    advance()
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0, group=_group, device=torch.device("cpu"))
    return box[0]


def gathered(value: T) -> list[T]:
    "The values of all ranks, in their order."
    if world_size() == 1:
        return [value]
    advance()
    values: list = [None] * world_size()
    torch.distributed.all_gather_object(values, value, group=_group)
    return values


def shared_int(value: int) -> int:
    "The `value` of rank 0, a whole number of up to 64 bits: in one exchange, where `shared` needs two."
    if world_size() == 1:
        return value
    return int(summed(torch.tensor(value if is_main() else 0)))


def is_alike(value: Any) -> bool:
    """Whether all ranks have the same `value`, in one exchange. What differs in its `repr` counts as different.

    Args:
        value: plain values: numbers, texts, None, and lists and dicts of them.
    """
    if world_size() == 1:
        return True
    advance()
    own = torch.frombuffer(bytearray(hashlib.sha256(repr(value).encode(errors="backslashreplace")).digest()), dtype=torch.int64)
    largest = torch.stack([own, ~own])          # of ~own: the complement of the smallest
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, group=_group)
    return largest[0].equal(~largest[1])


def barrier() -> None:
    "Wait until all ranks are here."
    if world_size() > 1:
        advance()
        torch.distributed.barrier(_group)


def summed(t: torch.Tensor) -> torch.Tensor:
    "The sum of `t` over the ranks, in place."
    if world_size() > 1:
        advance()
        torch.distributed.all_reduce(t, group=_group)
    return t


def mean_over_ranks(tensors: list[torch.Tensor]) -> None:
    """Replace each tensor by its mean over the ranks, in place, in one exchange. Called by all ranks.

    Args:
        tensors: of floating point.
    """
    if tensors and world_size() > 1:
        flat = summed(torch.cat([t.reshape(-1).double() for t in tensors])).div_(world_size())
        for t, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(mean.view_as(t))


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
    try:
        if error is not None:
            raise error
    finally:
        error = None                # else it would hold itself, by its traceback
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
    script = shared_int(int.from_bytes(hashlib.sha256(torch.get_rng_state().numpy().tobytes()).digest()[:8], "big", signed=True))
    if rank():
        seed = int(item_rng(script % 2**64, epoch, rank()).integers(2**63))
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)


def common_streams() -> None:
    "All ranks go on with the random streams of rank 0."
    if world_size() > 1:
        set_rng_state(_broadcast(rng_state(accelerators=False) | {"cuda": None, "mps": None}))
