"""Does code ask which worker, or which rank, it runs in? It then reads its own part, and needs nobody who splits what it gives."""
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils.data import get_worker_info


class Asked(NamedTuple):
    "What was asked for."

    worker: bool
    rank: bool


def asked_by(f: Callable[[], Any]) -> tuple[Any, Asked]:
    "What `f()` returns, and whether it asked for its worker (`torch.utils.data.get_worker_info`) and its rank."
    worker = get_worker_info.__code__
    ranks = [g.__code__ for g in (torch.distributed.get_rank, torch.distributed.get_world_size) if hasattr(g, "__code__")] \
        if torch.distributed.is_available() else []
    environ = type(os.environ).__getitem__.__code__
    found = {"worker": False, "rank": False}

    def look(frame, event, arg):
        if event == "call":
            code = frame.f_code
            if code is worker:
                found["worker"] = True
            elif code in ranks or (code is environ and frame.f_locals.get("key") in ("RANK", "WORLD_SIZE")):
                found["rank"] = True

    if sys.getprofile() is not None:
        raise RuntimeError("a profiler is at work, so that it cannot be seen whether the stream leaves out what other workers read: write "
                           "StreamLoader(..., split='own') if it does, else split='items'")
    sys.setprofile(look)
    try:
        result = f()
    finally:
        sys.setprofile(None)
    return result, Asked(**found)
