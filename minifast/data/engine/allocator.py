"""Keep memory that was freed, so that large tensors need not be handed out page by page again.

glibc gives blocks above a threshold back to the system as soon as they are freed. A pipeline that makes a new batch every few
milliseconds then spends up to half of its time in page faults; a recurrent model that trains on the CPU, a fifth (2026-11: AWD-LSTM
100/200/2, batches of 64 reviews). `keep_freed_memory` raises the threshold, for the whole process. It is called on Linux when a loader is
iterated for the first time that decodes images, or whose batches stay on the CPU, where the model then is; never by an import, and it does
nothing elsewhere. To prevent it, set the environment variable MINIFAST_KEEP_MEMORY=0 or
`minifast.core.device.defaults.keep_memory = False`.
"""
import ctypes
import os
import sys

from ...core.device import defaults

#: Blocks up to so many bytes come from memory that is kept, and so much of it stays with the process when it is free.
KEPT = 1 << 30

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3           # of glibc's malloc.h
_done = False


def keep_freed_memory() -> bool:
    "Raise glibc's thresholds, once; whether they are raised."
    global _done
    if _done:
        return True
    wanted = getattr(defaults, "keep_memory", None)
    if wanted is None:
        wanted = os.environ.get("MINIFAST_KEEP_MEMORY", "1") != "0"
    user_chose = any(name.startswith("MALLOC_") and name.endswith("_THRESHOLD_") for name in os.environ)
    if not wanted or user_chose or not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL(None)
        _done = bool(hasattr(libc, "gnu_get_libc_version")          # others give mallopt other meanings
                     and any(libc.mallopt(_M_MMAP_THRESHOLD, n) for n in (KEPT, 32 << 20))       # older versions take no more than 32 MB
                     and libc.mallopt(_M_TRIM_THRESHOLD, KEPT))
    except (OSError, AttributeError):
        return False
    return _done
