"""Transforms that can be undone (for pipelines of them see `pipeline`).

A `Transform` is a pair of plain functions, `encodes` and `decodes`, plus an optional `setups` that looks at the training items.
There is no dispatch registry: one transform has one `encodes`, and it applies to the values it can handle (`Transform.types`, or
the annotation of the first parameter of `encodes`). Random transforms draw their parameters once per sample from the generator
they are given, so an image and its mask get the same flip, and the result does not depend on the number of workers.
"""
import types as _types
import typing
from functools import partial

from ..core.messages import describe
from ..core.seeds import draw_seed, item_rng


def _annotated_types(func):
    "The classes named by the annotation of the first parameter of `func` (besides `self`), or None where nothing usable is said."
    func = getattr(func, "__func__", func)
    code = getattr(func, "__code__", None)
    if code is None or not getattr(func, "__annotations__", None):
        return None
    names = [n for n in code.co_varnames[:code.co_argcount] if n != "self"]
    try:
        hint = typing.get_type_hints(func).get(names[0]) if names else None
    except Exception:                       # an annotation that is no type, or cannot be resolved, says nothing
        return None
    union = typing.get_origin(hint) in (typing.Union, _types.UnionType)
    options = typing.get_args(hint) if union else (hint,)
    options = tuple(typing.get_origin(o) or o for o in options)
    usable = all(isinstance(o, type) for o in options) and object not in options and typing.Any not in options
    return options if usable else None


def is_sample(x):
    "Whether `x` is a tuple of elements to transform one by one: a plain tuple, or a subclass of it that shows itself (has `show`)."
    return type(x) is tuple or (isinstance(x, tuple) and callable(getattr(x, "show", None)))


def like_sample(parts, x):
    "The elements `parts` as a tuple of the class of `x`."
    return tuple.__new__(type(x), parts)


class Transform:
    """A reversible step of a data pipeline: subclass it, or wrap functions with `Transform(enc, dec)` or `@Transform`.

    enc, dec: functions that replace `encodes` and `decodes`. split_idx: 0 = training items only, 1 = validation items only,
    None = both. order: place in a `Pipeline` (lowest first).

    Called on a tuple it is applied to each element; `ItemTransform` gets the tuple whole. A value that is no instance of
    `types` passes unchanged; `DataBlock.summary` and the first batch report a transform that applied to nothing.
    """

    order: int = 0
    split_idx: int | None = None
    types: tuple | None = None       #: the classes this transform applies to; None: the annotation of `encodes`, else everything
    varies = False                   #: whether two calls on one training item can differ
    whole = False                    #: True: gets the whole sample tuple instead of one element after another
    only_one = None                  #: a verb, such as "normalise", of what only one transform of a pipeline may do

    def __init__(self, enc=None, dec=None, split_idx=None, order=None):
        if enc is not None and not callable(enc):
            raise TypeError(f"{type(self).__name__}(enc=...) takes a function; received {describe(enc)}")
        if enc is not None:
            self.encodes = enc
            self.name = getattr(enc, "__name__", type(enc).__name__)
        if dec is not None:
            self.decodes = dec
        if split_idx is not None:
            self.split_idx = split_idx
        if order is not None:
            self.order = order

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "before_call" in vars(cls):
            raise TypeError(f"{cls.__name__}.before_call is never called: write `def draw(self, sample, rng, split_idx)` that returns "
                            "a dict of parameters, and take them as keyword arguments of `encodes`.")
        for wrong, right in (("encode", "encodes"), ("setup_items", "setups")):
            if wrong in vars(cls):
                raise TypeError(f"{cls.__name__}.{wrong} is never called; did you mean '{right}'?")

    def encodes(self, x):
        "Override: transform one value."
        return x

    def decodes(self, x):
        "Override: undo `encodes`, as far as showing the value needs it."
        return x

    def setups(self, items):
        "Override: learn from the training items (a sequence of what the earlier transforms return)."

    @property
    def has_setup(self):
        return type(self).setups is not Transform.setups or "setups" in vars(self)

    def setup(self, items):
        "Let the transform learn from `items`, the training items."
        if self.has_setup:
            self.setups(items)

    def _handled_types(self):
        if self.types is not None:
            return self.types
        if "_annotated" not in vars(self):
            self._annotated = _annotated_types(self.encodes)
        return self._annotated

    def handles(self, x):
        "Whether `encodes` would be applied to the value `x`."
        handled = self._handled_types() if self.types is None else self.types
        return handled is None or isinstance(x, handled)

    def applies_to(self, sample):
        "Whether this transform would change anything about `sample`, a value or a tuple of values."
        if is_sample(sample) and not self.whole:
            return any(self.handles(o) for o in sample)
        return self.handles(sample)

    def __call__(self, x, split_idx=None, rng=None):
        "Encode `x`; `split_idx` says whether it is a training (0) or validation (1) item, None: apply in any case."
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        return self.map_parts(x, self.encodes)

    def map_parts(self, x, f):
        if not self.whole and isinstance(x, tuple) and is_sample(x):
            done = [f(o) if self.handles(o) else o for o in x]
            return tuple(done) if type(x) is tuple else like_sample(done, x)
        return f(x) if self.handles(x) else x

    def decode(self, x):
        "Undo this transform on `x`, a value or a tuple of values; an annotation of `decodes` limits it to values of that type."
        handled = _annotated_types(self.decodes)
        parts = x if is_sample(x) and not self.whole else (x,)
        if handled is None and any(map(self.handles, parts)):      # it kept the type: only what it encoded is decoded
            handled = self._handled_types()
        done = tuple(self.decodes(o) if handled is None or isinstance(o, handled) else o for o in parts)
        return like_sample(done, x) if parts is x else done[0]

    def __repr__(self):
        shown = {k: v for k, v in vars(self).items()
                 if not k.startswith("_") and k not in ("name", "encodes", "decodes") and isinstance(v, (int, float, str, tuple, bool))}
        head = vars(self).get("name") or type(self).__name__
        return head + (f"({', '.join(f'{k}={v!r}' for k, v in shown.items())})" if shown else "")


class ItemTransform(Transform):
    "A `Transform` whose `encodes` and `decodes` get the whole sample tuple."
    whole = True

    def handles(self, x):
        return True


class RandTransform(Transform):
    """A `Transform` with random parameters, by default for training items only.

    Override `draw(sample, rng, split_idx)` to return a dict of parameters (or None: leave this sample alone) and `encodes(x, **params)`.
    p: probability of being applied. `rng` is a `numpy.random.Generator`, private to the sample.
    """

    split_idx = 0
    p = 1.0
    varies = True

    def __init__(self, p=None, enc=None, dec=None, split_idx=None, order=None):
        super().__init__(enc, dec, split_idx, order)
        if p is not None:
            if not 0 <= p <= 1:
                raise ValueError(f"{type(self).__name__}(p={p}): p is a probability, a number from 0 to 1")
            self.p = p

    def draw(self, sample, rng, split_idx):
        "Override: the parameters of this call as a dict, drawn from `rng`; None leaves the sample unchanged."
        return {}

    def __call__(self, x, split_idx=None, rng=None):
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        rng = item_rng(draw_seed()) if rng is None else rng
        if self.p < 1 and rng.random() >= self.p:
            return x
        params = self.draw(x, rng, split_idx)
        return x if params is None else self.map_parts(x, partial(self.encodes, **params))
