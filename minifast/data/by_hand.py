"""A loader that is iterated by hand (`next(iter(dls.train))`, `for batch in dls.train:`) does not change later training.

An epoch draws its seed from torch's global stream, or takes the next number of the loader's own `seed`. An epoch of a fit keeps what it
took. What a user's loop took, or a pass that predicts, is given back when the next fit begins, if nothing else has drawn from the stream
meanwhile; until then it counts, so that a training loop written by hand has another order in each epoch, and `tta()` other augmentation
each time. A look at one batch gives it back at once, as a model may be made next; another look is another one all the same.
"""
from typing import NamedTuple

from ..core.seeds import Lent, item_rng, times_seeded


class Taken(NamedTuple):
    "What an iteration by hand took."

    position: tuple             #: where the loader was
    drawn: Lent | None          #: from torch's stream
    seed: int                   #: of the epoch, before it was varied


class Looks:
    "How often one loader was looked at by hand with the same seed: each look varies it."

    def __init__(self) -> None:
        self._key: tuple[int, int] | None = None
        self._n = 0

    def seed(self, base: int) -> int:
        "The seed of the next look, whose seed would be `base`."
        n = self._n if self._key == (base, times_seeded()) else 0
        return base if not n else int(item_rng(base, n, 2).integers(2**63))

    def count(self, base: int) -> None:
        "A look with this seed is over, and what it took was given back."
        key = (base, times_seeded())
        self._n = self._n + 1 if self._key == key else 1
        self._key = key
