"""Code of the user's that draws from the global random streams (`random`, numpy's, torch's), which threads share.

A `Watch` compares the states of the streams when a batch of threads has been waited for. While the loop waited, nobody but worker threads
has drawn (or threads of the program's own); from `random` and numpy, while it was busy, hardly anybody else. So the items in the making are
made once more, alone, and the one that draws is named before its batch is handed out. Costs 30 microseconds for a batch (2026-11, 2 cores),
and only where functions of the user's take part.
"""
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

from ...core.seeds import fixed_seed, numpy_words
from .fetch import BatchKey, Fetcher


def _states() -> dict[str, Any]:
    "The states of the streams, to be compared."
    of_numpy = numpy_words() or str(np.random.get_bit_generator().state)  # type: ignore[attr-defined]  # public, but not in the stubs
    return {"random": random.getstate(), "numpy": of_numpy, "torch": _torch_state()}


def _torch_state():
    return torch.get_rng_state().numpy().tobytes()


def streams_drawn_from(fetcher: Fetcher, index: int, seed: int) -> list[str]:
    "From which global streams making item `index` draws: 'random', 'numpy', 'torch'. It makes the item; an error says nothing."
    with fixed_seed():
        before = _states()
        try:
            fetcher.item(index, seed)
        except Exception:
            return []
        after = _states()
    return [name for name, state in before.items() if after[name] != state]


class DrawsGlobally(RuntimeError):
    "An item of a batch that was to be handed out next draws from a global stream; `number` is that of the batch."

    def __init__(self, fetcher: Fetcher, index: int, streams: list[str], number: int, put_back: Callable[[], None]):
        super().__init__(f"worker_type='thread': making {fetcher.name_of(index)} draws from the global random stream of "
                         f"{' and '.join(streams)}, which threads share, so what is drawn would depend on chance. Draw in a "
                         "`RandTransform`, whose method `draw(self, sample, rng, split_idx)` gets an `rng` of the item's own, or use "
                         "worker_type='process'")
        self.number = number
        self.put_back = put_back            #: puts the streams where they were before; for when the threads have ended


class Watch:
    "Finds the items that draw from a global stream among those that threads make with `fetcher`."

    def __init__(self, fetcher: Fetcher, loop_draws: bool = False):
        self.fetcher, self._before, self._numpy = fetcher, _states(), np.random.get_state()
        self.loop_draws = loop_draws        #: whether the loop was found to draw from `random` or numpy's stream

    def suspects(self) -> bool:
        "Whether something has drawn since the loop began to wait, or from `random` and numpy since the batch before."
        return _states() != self._before

    def check(self, keys: list[BatchKey]) -> None:
        "Raise `DrawsGlobally` if an item of the batches `keys` draws. No thread is at work."
        found, put_back = self._drawing(keys), partial(self._put_back, self._before, self._numpy)
        self.loop_draws = True              # so that nothing is looked for again: it was somebody else, or that is the end
        self.resume()
        if found is not None:
            raise DrawsGlobally(self.fetcher, found[0], found[1], keys[0].number, put_back)

    def _put_back(self, states, of_numpy, names=("random", "numpy", "torch")):
        if "random" in names:
            random.setstate(states["random"])
        if "numpy" in names:
            np.random.set_state(of_numpy)
        if "torch" in names:
            torch.set_rng_state(torch.frombuffer(bytearray(states["torch"]), dtype=torch.uint8))

    def _drawing(self, keys):
        "(index, streams) of the first item that draws; None if none does."
        drawn = ((index, streams_drawn_from(self.fetcher, index, key.seed)) for key in keys for index in key.indices)
        return next((pair for pair in drawn if pair[1]), None)

    def leave(self, keys: Iterable[BatchKey]) -> None:
        "The epoch is left early, and its threads have ended: put back what those have drawn that made the batches `keys`."
        now = _states()
        if not self.loop_draws and any(now[name] != self._before[name] for name in ("random", "numpy")):
            found = self._drawing(keys)
            if found is not None:
                self._put_back(self._before, self._numpy, found[1])

    def resume(self) -> None:
        "The loop waits for the next batch. It may have drawn from torch's stream, and, if that was seen, from the others."
        if self.loop_draws:
            self._before, self._numpy = _states(), np.random.get_state()
        else:
            self._before["torch"] = _torch_state()
