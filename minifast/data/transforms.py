"""Transforms that can be undone (for pipelines of them see `pipeline`).

A `Transform` is a pair of plain functions, `encodes` and `decodes`, plus an optional `setups` that looks at the training items.
There is no dispatch registry: one transform has one `encodes`, and it applies to the values it can handle (`Transform.types`, or
the annotation of the first parameter of `encodes`). Random transforms draw their parameters once per sample from the generator
they are given, so an image and its mask get the same flip, and the result does not depend on the number of workers.
"""
import types as _types
import typing
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..core.messages import describe
from ..core.seeds import draw_seed, item_rng


def _annotated_types(func: Callable) -> tuple[type, ...] | None:
    "The classes named by the annotation of the first parameter of `func` (besides `self`), or None where there is no usable one."
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None or not getattr(func, "__annotations__", None):
        return None
    names = [n for n in code.co_varnames[:code.co_argcount] if n != "self"]         # of a class method `cls`, which limits nothing
    try:
        hint = typing.get_type_hints(func).get(names[0]) if names and names[0] != "cls" else None
    except Exception:                       # an annotation that is no type, or cannot be resolved
        return None
    union = typing.get_origin(hint) in (typing.Union, _types.UnionType)
    options = tuple(typing.get_origin(o) or o for o in (typing.get_args(hint) if union else (hint,)))
    usable = all(isinstance(o, type) for o in options) and object not in options and typing.Any not in options
    return options if usable else None


def is_sample(x: Any) -> bool:
    "Whether `x` is a tuple of elements to transform one by one: a plain tuple, or a subclass of it that shows itself (has `show`)."
    return type(x) is tuple or (isinstance(x, tuple) and callable(getattr(x, "show", None)))


def like_sample(parts: Iterable, x: tuple) -> tuple:
    "The elements `parts` as a tuple of the class of `x`."
    return tuple.__new__(type(x), parts)


class Transform:
    """A reversible step of a data pipeline: subclass it, or wrap functions with `Transform(enc, dec)` or `@Transform`.

    Called on a tuple it is applied to each element; `ItemTransform` gets the whole tuple. A value that is no instance of
    `types` passes unchanged; `DataBlock.summary` and the first batch report a transform that applied to nothing.

    Args:
        enc: function of one value that replaces `encodes`.
        dec: function of one value that replaces `decodes`.
        split_idx: 0 = training items only, 1 = validation items only, None = both.
        order: place in a `Pipeline`, lowest first.
    """

    order: int = 0
    split_idx: int | None = None
    types: tuple[type, ...] | None = None       #: the classes this transform applies to; None: the annotation of `encodes`, else all
    varies: bool = False                        #: whether two calls on one training item can differ
    whole: bool = False                         #: True: gets the whole sample tuple instead of one element after another
    only_one: str | None = None                 #: a verb, such as "normalise", of what only one transform of a pipeline may do

    def __init__(self, enc: Callable | None = None, dec: Callable | None = None, split_idx: int | None = None,
                 order: int | None = None):
        if enc is not None and not callable(enc):
            raise TypeError(f"{type(self).__name__}(enc=...) takes a function; received {describe(enc)}")
        if enc is not None:
            self.name = getattr(enc, "__name__", type(enc).__name__)
        given = {"encodes": enc, "decodes": dec, "split_idx": split_idx, "order": order}
        vars(self).update({k: v for k, v in given.items() if v is not None})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for wrong, instead in (("encode", "; did you mean 'encodes'?"), ("setup_items", "; did you mean 'setups'?"),
                               ("before_call", ": write `def draw(self, sample, rng, split_idx)` that returns a dict of parameters, and "
                                               "take them as keyword arguments of `encodes`.")):
            if wrong in vars(cls):
                raise TypeError(f"{cls.__name__}.{wrong} is never called{instead}")

    def encodes(self, x: Any, *args: Any, **params: Any) -> Any:
        """Transform one value: override this.

        Args:
            x: a value of one of the `types`; for an `ItemTransform` the whole sample.
            *args: none.
            **params: what the `draw` of a `RandTransform` returned.
        """
        return x

    def decodes(self, x: Any) -> Any:
        """Undo `encodes`, as far as showing the value needs it: override this.

        Args:
            x: what `encodes` returned. An annotation limits it to values of that class.
        """
        return x

    def setups(self, items: Sequence) -> None:
        """Learn from the training items: override this.

        Args:
            items: the training items, as the earlier transforms of the pipeline leave them.
        """

    @property
    def has_setup(self) -> bool:
        "Whether there is a `setups` to call."
        return type(self).setups is not Transform.setups or "setups" in vars(self)

    def setup(self, items: Sequence) -> None:
        """Let the transform learn from the training items, if it has `setups`.

        Args:
            items: the training items.
        """
        self.setups(items)

    def handled_types(self) -> tuple[type, ...] | None:
        "The classes that `encodes` is applied to; None: to everything."
        if self.types is not None:
            return self.types
        if "_annotated" not in vars(self):
            self._annotated = _annotated_types(self.encodes)
        return self._annotated

    def handles(self, x: Any) -> bool:
        """Whether `encodes` would be applied to a value.

        Args:
            x: one element of a sample.
        """
        handled = self.handled_types() if self.types is None else self.types
        return handled is None or isinstance(x, handled)

    def applies_to(self, sample: Any) -> bool:
        """Whether this transform would change anything about a sample.

        Args:
            sample: a value or a tuple of values.
        """
        if is_sample(sample) and not self.whole:
            return any(self.handles(o) for o in sample)
        return self.handles(sample)

    def skips(self, split_idx: int | None) -> bool:
        """Whether this transform leaves out the items of a split.

        Args:
            split_idx: 0 for training items, 1 for validation items, None: it applies in any case.
        """
        return self.split_idx is not None and split_idx is not None and split_idx != self.split_idx

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Encode `x`; `split_idx` says whether it is a training (0) or validation (1) item, None: apply in any case."
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        return self.map_parts(x, self.encodes)

    def map_parts(self, x: Any, f: Callable) -> Any:
        """Apply a function to each element that this transform handles, or to the whole where it takes whole samples.

        Args:
            x: a value or a tuple of values.
            f: function of one value, such as `encodes` with its parameters set.
        """
        if not self.whole and isinstance(x, tuple) and is_sample(x):
            done = [f(o) if self.handles(o) else o for o in x]
            return tuple(done) if type(x) is tuple else like_sample(done, x)
        return f(x) if self.handles(x) else x

    def decode(self, x: Any) -> Any:
        """Undo this transform; an annotation of `decodes` limits it to values of that class.

        Args:
            x: a value or a tuple of values.
        """
        handled = _annotated_types(self.decodes)
        parts = x if is_sample(x) and not self.whole else (x,)
        if handled is None and any(map(self.handles, parts)):      # it kept the type: only what it encoded is decoded
            handled = self.handled_types()
        done = tuple(self.decodes(o) if handled is None or isinstance(o, handled) else o for o in parts)
        return like_sample(done, x) if parts is x else done[0]

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items()
                 if not k.startswith("_") and k not in ("name", "encodes", "decodes") and isinstance(v, (int, float, str, tuple, bool))}
        head = vars(self).get("name") or type(self).__name__
        return head + (f"({', '.join(f'{k}={v!r}' for k, v in shown.items())})" if shown else "")


class ItemTransform(Transform):
    "A `Transform` whose `encodes` and `decodes` get the whole sample tuple."
    whole = True

    def handles(self, x: Any) -> bool:
        """True: it handles whole samples.

        Args:
            x: not looked at.
        """
        return True


class RandTransform(Transform):
    """A `Transform` with random parameters, by default for training items only.

    Override `draw` to return a dict of parameters, and `encodes(x, **params)` to use them.

    Args:
        p: probability of being applied, 0 to 1.
        enc: function that replaces `encodes`; it takes the parameters as keyword arguments.
        dec: function of one value that replaces `decodes`.
        split_idx: 0 = training items only, 1 = validation items only, None = both; default: that of the class, 0.
        order: place in a `Pipeline`, lowest first.

    Raises:
        ValueError: `p` is no probability.
    """

    split_idx: int | None = 0
    p: float = 1.0
    varies = True

    def __init__(self, p: float | None = None, enc: Callable | None = None, dec: Callable | None = None, split_idx: int | None = None,
                 order: int | None = None):
        super().__init__(enc, dec, split_idx, order)
        if p is not None:
            if not 0 <= p <= 1:
                raise ValueError(f"{type(self).__name__}(p={p}): p is a probability, a number from 0 to 1")
            self.p = p

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        """Draw the parameters of this call: override this.

        Args:
            sample: the whole sample, a tuple or a value.
            rng: generator of this sample alone.
            split_idx: 0 for a training item, 1 for a validation item, None if not known.

        Returns:
            The keyword arguments of `encodes`; None leaves the sample unchanged.
        """
        return {}

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        rng = item_rng(draw_seed()) if rng is None else rng
        if self.p < 1 and rng.random() >= self.p:
            return x
        params = self.draw(x, rng, split_idx)
        return x if params is None else self.map_parts(x, partial(self.encodes, **params))
