"""Memory for batches that is used again.

A fresh large tensor costs more than filling it: the system hands out its pages one by one, on first touch. A `BufferPool` keeps the memory
of batches and gives it out again once nobody holds it any more, as counted by torch: neither a tensor nor a view of it, a numpy array over
it, or the graph of a backward pass.
"""
import threading
from math import prod

import torch

#: Tensors of fewer bytes are left to the allocator, which does keep that much.
SMALL = 1 << 20

_use_count = getattr(torch._C, "_storage_Use_Count", None)


def holders(tensor):
    "How many tensors and other objects hold the memory of `tensor`, itself included; None if this torch cannot say."
    return None if _use_count is None else _use_count(tensor.untyped_storage()._cdata) - 1       # one is the question's own


class BufferPool:
    """Tensors on the CPU, `pool.empty(shape, dtype)`, whose memory comes back to the pool when the last holder lets go of it.

    limit: how many tensors it keeps at most. pin: page-locked memory; this torch keeps for itself until copies to the GPU are done, so
    nothing is pooled.
    """

    def __init__(self, limit=32, pin=False):
        self.limit, self.pin = limit, pin
        self._kept, self._lock = [], threading.Lock()

    def empty(self, shape, dtype=torch.float32, channels_last=False):
        "An uninitialised tensor. channels_last: of shape (B,C,H,W), with C last in memory."
        shape = tuple(shape)
        if self.pin:
            return _made(shape, dtype, channels_last, pin_memory=True)
        if _use_count is None or prod(shape) * dtype.itemsize < SMALL:
            return _made(shape, dtype, channels_last)
        key = shape[1:], dtype, channels_last
        with self._lock:
            for i, (kept_key, kept) in enumerate(self._kept):
                if kept_key == key and len(kept) >= shape[0] and holders(kept) == 1:
                    self._kept.append(self._kept.pop(i))               # the ones not used for longest come first
                    return kept[:shape[0]]
            made = _made(shape, dtype, channels_last)
            if len(self._kept) >= self.limit:
                free = next((i for i, (_, kept) in enumerate(self._kept) if holders(kept) == 1), None)
                if free is None:
                    return made
                del self._kept[free]
            self._kept.append((key, made))
            return made[:]                      # a view: while it lives, the memory has a second holder

    def clear(self):
        "Forget all memory."
        with self._lock:
            self._kept.clear()

    def __getstate__(self):
        return {"limit": self.limit, "pin": self.pin}

    def __setstate__(self, state):
        self.__init__(**state)


def _made(shape, dtype, channels_last, **kwargs):
    layout = torch.channels_last if channels_last and len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, memory_format=layout, **kwargs)     # no view: a view holds a second tensor


#: Of batch transforms on the CPU.
batches = BufferPool()
