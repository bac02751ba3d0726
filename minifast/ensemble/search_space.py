"""What a hyper-parameter can be: distributions of scipy.stats under the names that are written in a space, drawn by scikit-learn."""
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..core.messages import describe
from ..core.seeds import item_rng

#: How each distribution is made from its ends, which scipy.stats takes differently.
_SCIPY = {"uniform": lambda stats, lo, hi: stats.uniform(lo, hi - lo), "loguniform": lambda stats, lo, hi: stats.loguniform(lo, hi),
          "randint": lambda stats, lo, hi: stats.randint(lo, hi + 1)}


class Range:
    """A distribution between two numbers.

    Args:
        lo, hi: the ends, `lo < hi`.
    """

    log = False

    def __init__(self, lo: float, hi: float):
        name = type(self).__name__
        for end, value in (("lo", lo), ("hi", hi)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise TypeError(f"{name}(lo, hi) takes two numbers; received {end}={describe(value)}")
        if not lo < hi:
            raise ValueError(f"{name}({lo}, {hi}): the first must be less than the second")
        if self.log and not lo > 0:
            raise ValueError(f"{name}({lo}, {hi}): both must be above 0, which has no logarithm")
        if name == "randint" and (lo != int(lo) or hi != int(hi)):
            raise TypeError(f"randint({lo}, {hi}) takes whole numbers: for others write uniform({lo}, {hi})")
        self.lo, self.hi = lo, hi

    def rvs(self, random_state: Any = None) -> float | int:
        "A value drawn at random; the name is that of scipy.stats, so that scikit-learn can draw too."
        from scipy import stats
        return np.asarray(_SCIPY[type(self).__name__](stats, self.lo, self.hi).rvs(random_state=random_state)).item()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lo}, {self.hi})"


class uniform(Range):
    "A number between `lo` and `hi`, all equally likely."


class loguniform(Range):
    "A number between `lo` and `hi`, both above 0, whose logarithm is uniform: for learning rates and weight decay."

    log = True


class randint(Range):
    "A whole number from `lo` to `hi`, both included."


class choice(list):
    """One of several values, all equally likely.

    Args:
        values: anything that has a name, such as numbers, strings, tuples, functions and classes.
    """

    log = False

    def __init__(self, values: Iterable):
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise TypeError(f"choice takes a list of values; received {describe(values)}")
        super().__init__(values)
        if not self or len(set(self.texts)) < len(self):
            raise ValueError(f"choice({self.texts}): at least one value, each once")
        nameless = next((t for t in self.texts if " at 0x" in t), None)
        if nameless:
            raise ValueError(f"choice: {nameless} has no name that means the same next time, so a search could not resume. Choose among "
                             "names, and look the object up in learner_fn")

    @property
    def texts(self) -> list[str]:
        "The values as text."
        return [value_text(v) for v in self]

    def __repr__(self) -> str:
        return f"choice([{', '.join(self.texts)}])"


def value_text(value: Any) -> str:
    "A hyper-parameter as it stands in the CSV."
    if isinstance(value, str):
        return value
    if callable(value) and hasattr(value, "__qualname__") and "<lambda>" not in value.__qualname__:
        return value.__qualname__
    return repr(value)


def trial_params(space: Mapping[str, Any], seed: int, i: int) -> dict[str, Any]:
    "The parameters of trial `i`: a pure function of (seed, i), for each name on its own, whatever the order or number of the others."
    from sklearn.model_selection import ParameterSampler
    found = {}
    for name, dist in space.items():
        state = int(item_rng(seed, i, zlib.crc32(name.encode())).integers(2**32))
        found.update(next(iter(ParameterSampler({name: dist}, 1, random_state=state))))
    return found
