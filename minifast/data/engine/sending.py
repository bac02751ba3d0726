"""How the tensors of a batch travel from a worker process: small ones as bytes, with the rest of the batch; large ones in shared memory.

torch sends each tensor in a piece of shared memory of its own: the worker opens it, a thread of the worker hands over its number through a
socket, and the process that trains maps it. For labels, or the columns of a table, that takes far longer than a copy.
Measured (2026-11, 2 cores, two workers, 256 rows of 11 columns a batch): 0.36 ms of wall time per batch, 2.1 ms as torch sends them.
"""
from typing import Any

import numpy as np
import torch

#: Tensors up to so many bytes are sent as bytes.
SMALL = 16 << 10

_DTYPES = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64}


class _Bytes:
    "A small tensor on its way."

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self) -> tuple:
        return _Bytes, (self.array,)


def packed(x: Any) -> Any:
    """What is sent of the data of a batch: tuples and dicts of tensors, the small ones as bytes. Anything else stays as it is.

    Args:
        x: the data.
    """
    if type(x) is torch.Tensor:
        small = x.layout is torch.strided and not x.requires_grad and x.device.type == "cpu" and x.dtype in _DTYPES and x.nbytes <= SMALL
        return _Bytes(x.numpy()) if small else x
    if type(x) is tuple:
        return tuple(map(packed, x))
    return {k: packed(v) for k, v in x.items()} if type(x) is dict else x


def unpacked(x: Any) -> Any:
    """The data of a batch.

    Args:
        x: what `packed` made of them.
    """
    if type(x) is _Bytes:
        return torch.from_numpy(x.array)
    if type(x) is tuple:
        return tuple(map(unpacked, x))
    return {k: unpacked(v) for k, v in x.items()} if type(x) is dict else x
