"""`Mixer`: the buffer in which a lane mixes items, see `lane`. Runs of items go in, and come out in the order of their keys."""
from typing import Any

import numpy as np

from ..core.seeds import item_rng

_KEYS = 1024            # drawn at a time
_MIXING = 2**32 - 12
_RUN = 32               # items are read at least so many at a time, unless that is much beside the buffer


class Mixer:
    """Items that are held to be mixed.

    Args:
        window: how many places later than it was read an item comes at most.
        key: of the order: the keys of the items follow from it.
        after: key and ordinal of the last item that was given; items up to it are left out. None: there was none.
    """

    def __init__(self, window: int, key: tuple[int, ...], after: tuple[float, int] | None = None):
        self.window, self.key, self.after = window, key, after
        self._items: dict[int, Any] = {}                    # by ordinal
        self._codes: dict[int, int] = {}
        self._keys, self._ordinals = np.empty(0), np.empty(0, np.int64)         # of those of which it is not known when they come
        self._ready: list[int] = []                         # ordinals in the order in which they come, from `_next` on
        self._ready_keys: list[float] = []
        self._next = 0
        self._drawn: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        "How many items are known to come next."
        return len(self._ready) - self._next

    def run_for(self, n: int) -> int:
        """How many items to read at a time.

        Args:
            n: so many are to come.
        """
        return max(n - len(self), min(_RUN, 1 + self.window // 16))

    def _uniform(self, first, n):
        "The uniform numbers of `n` items from ordinal `first` on."
        found = []
        while n:
            block, at = divmod(first, _KEYS)
            if self._drawn[0] != block:
                self._drawn = block, item_rng(*self.key, block, _MIXING).random(_KEYS)
            found.append(self._drawn[1][at:at + n])
            first, n = first + len(found[-1]), n - len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def add(self, run: list[Any], code: int, ordinal: int) -> None:
        """Take the items of a run.

        Args:
            run: the items.
            code: of the first one.
            ordinal: of the first one.
        """
        ordinals = np.arange(ordinal, ordinal + len(run))
        keys = ordinals + self._uniform(ordinal, len(run)) * self.window
        if self.after is None or ordinal > self.after[0]:
            self._items.update(zip(ordinals.tolist(), run, strict=True))
            self._codes.update(zip(ordinals.tolist(), range(code, code + len(run)), strict=True))
        else:
            of_key, of_ordinal = self.after
            new = (keys > of_key) | (keys == of_key) & (ordinals > of_ordinal)
            ordinals, keys = ordinals[new], keys[new]
            for i in ordinals.tolist():
                self._items[i], self._codes[i] = run[i - ordinal], code + i - ordinal
        self._keys, self._ordinals = np.concatenate((self._keys, keys)), np.concatenate((self._ordinals, ordinals))

    def sift(self, ordinal: int | None) -> None:
        """Find those that come next.

        Args:
            ordinal: of the item that is read next: none of the later ones has a smaller key. None: all items were read.
        """
        keys, ordinals = self._keys, self._ordinals
        if ordinal is not None:
            known = keys <= ordinal
            waits = ~known
            self._keys, self._ordinals = keys[waits], ordinals[waits]
            keys, ordinals = keys[known], ordinals[known]
        else:
            self._keys, self._ordinals = keys[:0], ordinals[:0]
        order = keys.argsort(kind="stable")                 # of equal keys, the one that was read first
        self._ready = self._ready[self._next:] + ordinals[order].tolist()
        self._ready_keys = self._ready_keys[self._next:] + keys[order].tolist()
        self._next = 0

    def take(self, n: int) -> tuple[list[Any], list[int]]:
        """Give the next items, and their codes; fewer if fewer are known.

        Args:
            n: how many.
        """
        ordinals = self._ready[self._next:self._next + n]
        self._next += len(ordinals)
        if ordinals:
            self.after = self._ready_keys[self._next - 1], ordinals[-1]
        return list(map(self._items.pop, ordinals)), list(map(self._codes.pop, ordinals))
