"""The global random streams of `random`, numpy and torch, kept and seeded many times a second, as each batch of a loader needs it.

`random.getstate` and `numpy.random.get_state` make Python's numbers of 624 words; here these are copied as they lie in memory. Where the
words of `random` lie is not documented: before the first use it is looked whether they are there.
Measured (2026-11, 2 cores): keeping, seeding and putting back takes 18 us, with the public functions 109 us; 64 images that cost nothing
to make take 140 us in torch's loader.
Fallback: the public functions, also where numpy has been given another bit generator.
"""
import ctypes
import random
import sys
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

_WORDS = 624 * 4
_INT = ctypes.sizeof(ctypes.c_int)


def seed_of(*key: int) -> int:
    "A 63-bit seed that is a pure function of the whole numbers `key`."
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


def seed_streams(seed: int) -> None:
    "Seed the global streams of `random`, numpy and torch's CPU."
    _seed_python(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


class seeded_streams:
    """Seed the global streams within a block; afterwards they are as they were. Those of accelerators stay as they are.

    Args:
        seed: 63 bits.
    """

    __slots__ = ("before", "own", "seed")

    def __init__(self, seed: int):
        self.seed, self.own = seed, None

    def __enter__(self) -> None:
        self.before = _python_state(), _numpy_state(), torch.get_rng_state()
        try:
            self.own = _use_own_bits(self.before[1])
            seed_streams(self.seed)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc: Any) -> None:
        of_python, of_numpy, of_torch = self.before
        _set_python(of_python)
        _set_numpy(of_numpy)
        if self.own is not None:
            _own.append(self.own)
        torch.set_rng_state(of_torch)


@cache
def _python_address() -> int | None:
    "Where the index and the words of `random`'s stream lie, if they do so as in every CPython so far: after what each object begins with."
    stream: Any = getattr(random.random, "__self__", None)
    if sys.implementation.name != "cpython" or type(stream) is not random.Random or \
            random.Random.__basicsize__ < object.__basicsize__ + _INT + _WORDS:
        return None
    address, before = id(stream) + object.__basicsize__, random.getstate()
    try:
        for other in (before, (3, (*range(1, 625), 17), None)):
            random.setstate(other)
            there = ctypes.string_at(address, _INT + _WORDS)
            words = (*np.frombuffer(there, np.uint32, offset=_INT).tolist(), int.from_bytes(there[:_INT], sys.byteorder))
            if words != other[1]:
                return None
    finally:
        random.setstate(before)
    return address


def _seed_python(seed):
    if _python_address() is None:
        random.seed(seed)
        return
    stream = random.random.__self__  # type: ignore[attr-defined]
    super(random.Random, stream).seed(seed)             # what `random.seed` does for whole numbers
    stream.gauss_next = None


def _python_state():
    address = _python_address()
    if address is None:
        return random.getstate()
    return ctypes.string_at(address, _INT + _WORDS), random.random.__self__.gauss_next  # type: ignore[attr-defined]


def _set_python(state):
    if not isinstance(state[0], bytes):
        random.setstate(state)
        return
    ctypes.memmove(_python_address(), state[0], _INT + _WORDS)  # type: ignore[arg-type]
    random.random.__self__.gauss_next = state[1]  # type: ignore[attr-defined]


_own: list[np.random.MT19937] = []          # what numpy draws from within a block, so that the words of its own need not be put back


def _numpy_state():
    """(bit generator, what to set it to: None, as it stays as it is, or a state with the second number of a pair of normal ones that was
    not given yet); or what numpy itself gives."""
    bits = np.random.get_bit_generator()  # type: ignore[attr-defined]  # public, but not in the stubs
    if type(bits) is not np.random.MT19937:
        return np.random.get_state(legacy=False)
    address = bits.ctypes.state_address
    words = ctypes.string_at(address, _WORDS + _INT)
    number = np.random.standard_normal()                # takes the number that is left, or two new ones from the stream
    if ctypes.string_at(address, _WORDS + _INT) == words:
        position = int.from_bytes(words[_WORDS:], sys.byteorder)
        return bits, ("MT19937", np.frombuffer(words, np.uint32, 624), position, 1, number)
    ctypes.memmove(address, words, _WORDS + _INT)
    return bits, None


def _use_own_bits(state):
    if isinstance(state, dict):
        return None
    own = _own.pop() if _own else np.random.MT19937()
    np.random.set_bit_generator(own)  # type: ignore[attr-defined]
    return own


def _set_numpy(state):
    if isinstance(state, dict):
        np.random.set_state(state)
        return
    bits, left = state
    np.random.set_bit_generator(bits)  # type: ignore[attr-defined]  # which forgets the second number of a pair
    if left is not None:
        np.random.set_state(left)
