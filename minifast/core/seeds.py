"""Seeds and private random streams, and how a state is put back as a whole: `undisturbed` by Ctrl-C."""
import ctypes
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from itertools import pairwise
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random.bit_generator import ISpawnableSeedSequence


def set_seed(s: int, reproducible: bool = False) -> None:
    """Seed `random`, `numpy` and `torch` (all devices).

    Args:
        s: the seed.
        reproducible: ask cudnn for deterministic kernels, which can be slower.
    """
    global _times_seeded
    _times_seeded += 1
    random.seed(s)
    np.random.seed(s % 2**32)
    torch.manual_seed(s)
    if reproducible:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


_times_seeded = 0


def times_seeded() -> int:
    "How often `set_seed` was called: what counts since then begins anew."
    return _times_seeded


def rng_state(accelerators: bool = True) -> dict[str, Any]:
    "The state of the global random streams: `random`, `numpy`, torch on the CPU and, with `accelerators`, on each initialised one."
    cuda = torch.cuda.get_rng_state_all() if accelerators and torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if accelerators and torch.backends.mps.is_available() else None
    return {"random": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state(), "cuda": cuda, "mps": mps}


def set_rng_state(state: dict[str, Any]) -> None:
    "Put back what `rng_state` returned, also on another machine: of the accelerators, those that are here."
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state_all(state["cuda"][:torch.cuda.device_count()])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def seed_of(*key: int) -> int:
    "A 63-bit seed that is a pure function of the whole numbers `key`."
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1


def seed_streams(seed: int) -> None:
    "Seed the global streams of `random`, numpy and torch's CPU, as often as each batch of a loader needs it."
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


_MT19937 = 624 * 4 + 4                          # bytes: its numbers, and the position among them
_spare: list[np.random.MT19937] = []            # of `seeded_streams`, for the next block


def numpy_words() -> bytes | None:
    """The state of the generator of numpy's global stream, to be compared; None: it is not the one that numpy begins with.

    Read from memory: `np.random.get_state` takes twenty times as long.
    """
    bits = np.random.get_bit_generator()  # type: ignore[attr-defined]  # public, but not in the stubs
    return ctypes.string_at(bits.ctypes.state_address, _MT19937) if type(bits) is np.random.MT19937 else None


def _kept_of_pair(bits):
    """The state of numpy's global stream if it keeps the second of a pair of normal numbers, which it forgets with its generator `bits`;
    else None. A number that it keeps is given without a draw, so the words tell; afterwards `bits` has to be exchanged."""
    words = numpy_words()
    if words is None:
        state = np.random.get_state(legacy=False)
        return state if state["has_gauss"] else None
    given = np.random.standard_normal()
    if numpy_words() == words:
        return {**np.random.get_state(legacy=False), "has_gauss": 1, "gauss": given}
    ctypes.memmove(bits.ctypes.state_address, words, len(words))
    return None


@contextmanager
def seeded_streams(seed: int) -> Iterator[None]:
    """Seed the global streams within a block; afterwards they are as they were. Those of accelerators stay as they are.

    numpy draws from another bit generator meanwhile, and is asked for its state only where that is more than the words of its own: 29 us
    in all; 71 us with asking each time, 100 us with `rng_state` and `set_rng_state` (2026-11).

    Args:
        seed: 63 bits.
    """
    of_python, of_torch, bits = random.getstate(), torch.get_rng_state(), np.random.get_bit_generator()  # type: ignore[attr-defined]
    own, of_numpy = _spare.pop() if _spare else np.random.MT19937(), _kept_of_pair(bits)
    try:
        np.random.set_bit_generator(own)  # type: ignore[attr-defined]
        seed_streams(seed)
        yield
    finally:
        random.setstate(of_python)
        torch.set_rng_state(of_torch)
        np.random.set_bit_generator(bits)  # type: ignore[attr-defined]
        if of_numpy is not None:
            np.random.set_state(of_numpy)
        _spare.append(own)


@contextmanager
def fixed_seed(seed: int | None = None, reproducible: bool = False) -> Iterator[None]:
    """Seed the global streams within a block; afterwards they are as they were.

    Args:
        seed: None: leave the streams where they are, and restore them afterwards.
        reproducible: ask cudnn for deterministic kernels.
    """
    global _owed
    state, owed = rng_state(), _owed
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        if seed is not None:
            set_seed(seed, reproducible)
        yield
    finally:
        set_rng_state(state)
        _owed = owed
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags


def no_random(seed: int = 42, reproducible: bool = True) -> AbstractContextManager[None]:
    """fastai's name for `fixed_seed`: `with no_random(): ...`.

    Args:
        seed: the seed.
        reproducible: ask cudnn for deterministic kernels.
    """
    return fixed_seed(seed, reproducible)


def draw_seed() -> int:
    "A fresh 63-bit seed from torch's global stream: what `set_seed` before an epoch makes reproducible."
    global _owed
    _owed = None                        # what was lent is no longer the last that was drawn
    return int(torch.empty((), dtype=torch.int64).random_())


class Lent(NamedTuple):
    "A seed drawn from torch's global stream that may be given back: the states of the stream before and after it."

    seed: int
    before: torch.Tensor
    after: torch.Tensor


#: Where the stream was before the first and after the last of the seeds that were lent, if nothing else was drawn between them.
_owed: tuple[torch.Tensor, torch.Tensor] | None = None


def lend_seed() -> Lent:
    "As `draw_seed`, until `give_back` or `give_back_loops`."
    global _owed
    owed, before = _owed, torch.get_rng_state()
    seed, after = draw_seed(), torch.get_rng_state()
    _owed = (owed[0] if owed is not None and owed[1].equal(before) else before), after
    return Lent(seed, before, after)


def give_back(lent: Lent) -> bool:
    "Put torch's stream back to before `lent`, if nobody has drawn from it since; whether it is back."
    global _owed
    if not torch.get_rng_state().equal(lent.after):
        return False
    torch.set_rng_state(lent.before)
    if _owed is not None:
        _owed = None if _owed[0].equal(lent.before) else (_owed[0], lent.before)
    return True


def give_back_loops(loaders: Iterable) -> None:
    "Put torch's stream back to before the seeds that were lent, if nobody has drawn from it since, and loaders that iterated with them."
    global _owed
    for loader in loaders:
        if hasattr(loader, "give_back_loops"):
            loader.give_back_loops()
    if _owed is not None and torch.get_rng_state().equal(_owed[1]):
        torch.set_rng_state(_owed[0])
    _owed = None


def item_rng(*key: int) -> np.random.Generator:
    "A private numpy generator that is a pure function of `key`, such as (epoch seed, item index)."
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def item_rngs(seed: int, indices: Sequence[int]) -> list[np.random.Generator]:
    "`[item_rng(seed, i) for i in indices]`, in a fraction of the time."
    if len(indices) < 6 or not (0 <= seed < 2**64 and all(0 <= i < 2**32 for i in indices)):       # of few the plain way is the faster
        return [item_rng(seed, i) for i in indices]
    return [np.random.Generator(np.random.SFC64(_Seeded((seed, i), words)))
            for i, words in zip(indices, _seed_words(seed, indices), strict=True)]


class _Seeded(ISpawnableSeedSequence):
    "`np.random.SeedSequence(key)` whose `words`, the ones that SFC64 asks for, were computed before."
    __slots__ = ("key", "made", "words")

    def __init__(self, key, words):
        self.key, self.words, self.made = key, words, None

    def whole(self):
        "The `SeedSequence` itself."
        self.made = np.random.SeedSequence(self.key) if self.made is None else self.made
        return self.made

    def generate_state(self, n_words, dtype=np.uint32):
        return self.words if n_words == 3 and dtype is np.uint64 else self.whole().generate_state(n_words, dtype)

    def spawn(self, n_children):
        return self.whole().spawn(n_children)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.whole(), name)


def _seed_words(seed: int, indices: Sequence[int]) -> np.ndarray:
    """`SeedSequence((seed, i)).generate_state(3, np.uint64)` for all `indices` together: array (n,3).

    O'Neill, "Developing a seed_seq alternative" (pcg-random.org, 2015), with the constants that numpy documents as stable.
    """
    u32, n = np.uint32, len(indices)
    pool = np.zeros((4, n), u32)
    words = [seed & 0xFFFFFFFF] if seed < 2**32 else [seed & 0xFFFFFFFF, seed >> 32]
    pool[:len(words)] = np.array(words, u32)[:, None]
    pool[len(words)] = indices
    pool = _hashed(pool, _MIX[:4])
    for source in range(4):
        others = [k for k in range(4) if k != source]
        k = 4 + 3 * source
        mixed = pool[others] * u32(0xCA01F9DD) - _hashed(pool[source], _MIX[k:k + 3]) * u32(0x4973F715)
        pool[others] = mixed ^ (mixed >> u32(16))
    state = _hashed(pool[[0, 1, 2, 3, 0, 1]], _OUT).astype(np.uint64)
    return np.ascontiguousarray((state[0::2] | state[1::2] << np.uint64(32)).T)


def _hashed(values, constants):
    before, after = constants[:, :1], constants[:, 1:]
    values = (values ^ before) * after
    return values ^ (values >> np.uint32(16))


def _powers(start, factor, n):
    "The pairs of neighbours among start, start * factor, start * factor**2, ... (modulo 2**32): array (n,2)."
    chain = [start * pow(factor, k, 2**32) % 2**32 for k in range(n + 1)]
    return np.array(list(pairwise(chain)), np.uint32)


_MIX, _OUT = _powers(0x43B0D7E5, 0x931E8875, 16), _powers(0x8B51F9DD, 0x58F38DED, 6)


class undisturbed:
    """Within the block Ctrl-C waits until its end, so that what is put back there is put back wholly.

    Pressed again a second later, it no longer waits. Other threads than the main one, which gets Ctrl-C, are not affected.

    >>> with undisturbed(): learn.cbs = before
    """

    _held = False                       # one block inside another has nothing to do

    def __enter__(self) -> None:
        self._before: Any = None
        self._pressed: tuple[int, FrameType | None] | None = None
        if not undisturbed._held and threading.get_ident() == threading.main_thread().ident:
            undisturbed._held = True
            self._before = signal.signal(signal.SIGINT, self._wait) or signal.default_int_handler      # None: one not set by Python

    def _wait(self, number, frame):
        if self._pressed is None:
            self._pressed, self._since = (number, frame), time.monotonic()
        elif time.monotonic() - self._since > 1 and callable(self._before):
            self._before(number, frame)

    def __exit__(self, *exc: Any) -> None:
        if self._before is not None:            # signal.SIG_IGN, for one, is not None
            undisturbed._held = False
            signal.signal(signal.SIGINT, self._before)
            if self._pressed is not None and callable(self._before):
                self._before(*self._pressed)
