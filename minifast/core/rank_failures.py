"""Which of several ranks failed first, and why. The first one says it in the launcher's store, so that it is not the errors which follow
from it that people read: those of ranks that lost sight of it."""
import json
import os
import sys
import traceback
from contextlib import suppress
from datetime import timedelta
from types import TracebackType

import torch

from .messages import add_note

#: How long a rank that lost sight of the others waits for one of them to say why, in seconds.
_PATIENCE = 3
_LOST = ("connection closed by peer", "connection reset by peer", "timed out waiting", "gloo/transport", "broken pipe", "nccl")
_watching = False


def watch() -> None:
    "From now on an error that ends this process is reported by `report`, instead of with its traceback alone."
    global _watching
    if not _watching:
        _watching, before = True, sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            told = report(error)
            if told is None:
                before(kind, error, trace)
            else:
                print(told, file=sys.stderr, flush=True)

        sys.excepthook = hook


def report(error: BaseException) -> str | None:
    """Tell the other ranks about an error that ends this one, unless another one has failed before.

    Args:
        error: what was raised.

    Returns:
        What is to be printed; None: the error as it is.
    """
    lost = lost_others(error)
    rank, text = int(os.environ["RANK"]), "".join(traceback.format_exception(error))
    mine = {"rank": rank, "node": os.environ.get("GROUP_RANK"), "line": _line(error), "text": text}
    first, silent = _first(mine, lost)
    if first is None:
        add_note(error, f"rank {rank} could not reach the others: one of them was killed, hangs, or the network between them failed"
                        f"{silent}. The launcher's report names the process that ended first; a rank waits for another as long as "
                        "MINIFAST_TIMEOUT says, in seconds")
        return None
    if first == mine:
        _write_for_launcher(error)
        return None if isinstance(error, KeyboardInterrupt) else f"rank {rank} failed first:\n{text}"
    there = "" if first["node"] == mine["node"] else f":\n{first['text']}"
    how = "was interrupted" if first["line"].startswith("KeyboardInterrupt") else f"failed first: {first['line']}{there}"
    said = f"rank {rank} ends, because rank {first['rank']} {how}"
    return said if lost or first["line"] == mine["line"] else f"{text}{said}"


def lost_others(error: BaseException) -> bool:
    """Whether an error is that of a rank which could not reach another one.

    Args:
        error: what was raised.
    """
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and any(o in text for o in _LOST))


def _line(error):
    notes = [f" ({note})" for note in getattr(error, "__notes__", ())]
    return f"{type(error).__name__}: {error}{''.join(notes)}"


def connect(timeout: float) -> torch.distributed.TCPStore:
    """The store at which the ranks met.

    Args:
        timeout: seconds to wait for it, and for what is asked of it.
    """
    return torch.distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, wait_for_workers=False,
                                      timeout=timedelta(seconds=timeout))


def key(name: str) -> str:
    """A key of minifast's in that store, another one after each restart.

    Args:
        name: of the key.
    """
    return f"minifast/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{name}"


def _first(mine, lost):
    "What the rank that failed first has said: `mine`, where nobody has. Where this one lost the others: None, and which ranks are silent."
    base = key("")
    with suppress(Exception):                       # the store may have ended with the rank that held it
        store = connect(2 * _PATIENCE)
        if not lost:
            return json.loads(store.compare_set(base + "failed", "", json.dumps(mine))), ""
        store.set(base + f"lost/{mine['rank']}", "")
        with suppress(Exception):
            store.wait([base + "failed"], timedelta(seconds=_PATIENCE))
            return json.loads(store.get(base + "failed")), ""
        silent = [str(r) for r in range(int(os.environ["WORLD_SIZE"])) if not store.check([base + f"lost/{r}"])]
        return None, f" (not heard of: rank {', '.join(silent)})" if silent else ""
    return (None, "") if lost else (mine, "")


def _write_for_launcher(error):
    "The file that the launcher's report at the end reads."
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler
    trace = error.__traceback__
    try:
        raise error                                 # it writes the traceback of what is being handled
    except BaseException as e:
        with suppress(Exception):
            get_error_handler().record_exception(e)
    error.__traceback__ = trace
