"""Transforms that can be undone (for pipelines of them see `pipeline`).

A `Transform` is a pair of plain functions, `encodes` and `decodes`, plus an optional `setups` that looks at the training items.
There is no registry: a transform applies to the values it can handle (`Transform.types`, or the annotation of the first parameter of
`encodes`), and a second `encodes` for other classes, in the same class, a subclass or written below `@MyTransform`, joins the first.
Random transforms draw their parameters once per sample from the generator they are given, so an image and its mask get the same flip,
and the result does not depend on the number of workers.
"""
import random
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np
import torch

from ..core.keywords import KnowsKeywords
from ..core.messages import describe
from ..core.nested import typed_again
from ..core.seeds import draw_seed, item_rng
from .annotations import REVERSIBLE, TransformType, annotated, joined

if TYPE_CHECKING:
    from ..nn.layers import Scaling


def is_sample(x: Any) -> bool:
    "Whether `x` is a tuple of elements to transform one by one: a plain tuple, or a subclass of it that shows itself (has `show`)."
    return type(x) is tuple or (isinstance(x, tuple) and callable(getattr(x, "show", None)))


def like_sample(parts: Iterable, x: tuple) -> tuple:
    "The elements `parts` as a tuple of the class of `x`."
    return tuple.__new__(type(x), parts)


class Transform(KnowsKeywords, metaclass=TransformType):
    """A reversible step of a data pipeline: subclass it, or wrap functions with `Transform(enc, dec)` or `@Transform`.

    Called on a tuple it is applied to each element; `ItemTransform` gets the whole tuple. A value that is no instance of
    `types` passes unchanged; `DataBlock.summary` and the first batch report a transform that applied to nothing. A plain tensor made of
    a special one (an image, say) is one again, unless the annotation of what is returned says otherwise.

    Args:
        enc: function of one value that replaces `encodes`.
        dec: function of one value that replaces `decodes`.
        split_idx: 0 = training items only, 1 = validation items only, None = both. Default: an attribute of `enc` of that name.
        order: place in a `Pipeline`, lowest first. Default: an attribute of `enc` of that name.
    """

    order: int = 0
    split_idx: int | None = None
    _takes_before_call = False
    types: tuple[type, ...] | None = None       #: the classes this transform applies to; None: the annotation of `encodes`, else all
    varies: bool = False                        #: whether two calls on one training item can differ
    whole: bool = False                         #: True: gets the whole sample tuple instead of one element after another
    where_idle: str = ""                        #: what to write instead where it applies to nothing
    only_one: str | None = None                 #: a verb, such as "normalise", of what only one transform of a pipeline may do

    def __init__(self, enc: Callable | None = None, dec: Callable | None = None, split_idx: int | None = None,
                 order: int | None = None):
        if enc is not None and not callable(enc):
            raise TypeError(f"{type(self).__name__}(enc=...) takes a function; received {describe(enc)}")
        if enc is not None:
            self.name = getattr(enc, "__name__", type(enc).__name__)
            marks = {n: m for n in ("order", "split_idx") if isinstance(m := getattr(enc, n, None), int)}
            order, split_idx = marks.get("order") if order is None else order, marks.get("split_idx") if split_idx is None else split_idx
        given = {"encodes": enc, "decodes": dec, "split_idx": split_idx, "order": order}
        vars(self).update({k: v for k, v in given.items() if v is not None})

    @property
    def is_builtin(self) -> bool:
        "Whether only code of minifast runs in it, which draws random numbers from generators of its own; False where that is not known."
        enc = vars(self).get("encodes")
        if isinstance(enc, partial) and not any(map(callable, (*enc.args, *enc.keywords.values()))):
            enc = enc.func
        parts = [type(self), *([type(self).encodes] if enc is None else [enc, getattr(enc, "__self__", enc)])]
        homes = {str(getattr(part, "__module__", "")).partition(".")[0] for part in parts}
        return homes == {__name__.partition(".")[0]} and (enc is None) == ("name" not in vars(self))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for wrong, instead in (("encode", "; did you mean 'encodes'?"), ("setup_items", "; did you mean 'setups'?"),
                               ("before_call", ": write `def draw(self, sample, rng, split_idx)` that returns a dict of parameters, and "
                                               "take them as keyword arguments of `encodes`.")):
            if wrong in vars(cls) and not (wrong == "before_call" and cls._takes_before_call):
                raise TypeError(f"{cls.__name__}.{wrong} is never called{instead}")
        for name in REVERSIBLE:
            own = vars(cls).get(name)
            if isinstance(own, FunctionType):
                cls._join(name, getattr(super(cls, cls), name), own)

    @classmethod
    def _join(cls, name, inherited, own):
        "Let the inherited method go on to take the classes that its own one, which stands in this class, does not take."
        owner = f"{cls.__qualname__}.{name}"
        own_types = annotated(own)[0]
        declared = cls.types if name == "encodes" and "types" not in vars(cls) else None
        types = declared or (annotated(inherited)[0] if isinstance(inherited, FunctionType) else None)
        if own_types is None or types is None or all(issubclass(t, own_types) for t in types):
            return
        setattr(cls, name, joined(inherited, own, owner, declared))
        if declared:
            cls.types = tuple(dict.fromkeys((*declared, *own_types)))

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(f := args[0], FunctionType) and f.__name__ in (*REVERSIBLE, "setups") \
                and f.__code__.co_varnames[:1] == ("self",):
            return cls._extend(f)
        return super().__new__(cls)

    @classmethod
    def _extend(cls, f):
        "What `@MyTransform` does with a function called `encodes` or `decodes`: from now on the class takes those values too."
        name, types = f.__name__, annotated(f)[0]
        if cls.__module__ == __name__ or name == "setups" or types is None or cls.types is not None:
            raise TypeError(f"@{cls.__name__} cannot add this `{name}`: it takes an `encodes` or `decodes` whose parameter is annotated "
                            "with a class, such as `def encodes(self, x: float)`, for a class of your own that says in the same way what "
                            f"it takes. Write a class instead: `class My{cls.__name__}({cls.__name__}):` with the method in it")
        now = getattr(cls, name)
        setattr(cls, name, f if now is getattr(Transform, name) else joined(now, f, f"{cls.__qualname__}.{name}"))
        return cls

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
        return self._said("encodes")[0] if self.types is None else self.types

    def _said(self, method):
        "What the annotations of `encodes` or `decodes` say, see `annotated`."
        f = getattr(self, method)
        f = getattr(f, "__func__", f)
        return annotated(f) if type(f) is FunctionType else (None, None)

    def handles(self, x: Any) -> bool:
        """Whether `encodes` would be applied to a value.

        Args:
            x: one element of a sample.
        """
        handled = self._said("encodes")[0] if self.types is None else self.types
        return handled is None or isinstance(x, handled)

    def applies_to(self, sample: Any) -> bool:
        """Whether this transform would change anything about a sample.

        Args:
            sample: a value or a tuple of values.
        """
        if is_sample(sample) and not self.whole:
            return any(self.handles(o) for o in sample)
        return self.handles(sample)

    def scaling(self, x: Any) -> "Scaling | None":
        """What this transform does to `x`, as a layer for an exported graph; None: nothing, or something else than scaling.

        Args:
            x: an element of a batch.
        """
        return None

    def skips(self, split_idx: int | None) -> bool:
        """Whether this transform leaves out the items of a split.

        Args:
            split_idx: 0 for training items, 1 for validation items, None: it applies in any case.
        """
        return self.split_idx is not None and split_idx is not None and split_idx != self.split_idx

    def at_validation(self) -> "Transform | None":
        "What is left of this transform for validation items: None where it is for training items alone."
        return None if self.split_idx == 0 else self

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Encode `x`; `split_idx` says whether it is a training (0) or validation (1) item, None: apply in any case."
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        if rng is None and split_idx is None:
            self._note_plain(x)
        return self.map_parts(x, self.encodes)

    def _note_plain(self, x):
        "Warn, once, where somebody calls this on plain tensors, as the model and callbacks see them, and it takes special ones only."
        parts, types = x if is_sample(x) else (x,), None if self.whole else self.handled_types()
        special = types is not None and all(issubclass(t, torch.Tensor) and t is not torch.Tensor for t in types)
        if special and parts and all(type(o) is torch.Tensor for o in parts) and not vars(self).get("_noted"):
            self._noted = True
            names = [t.__name__ for t in types]
            warn(f"{self!r} was called on plain tensors and did nothing, because it takes {', '.join(names)}. The model and callbacks see "
                 f"plain tensors: say what they are where you call it, `tfm(x.as_subclass({names[0]}))`, or annotate `encodes` with "
                 "torch.Tensor", stacklevel=3)

    def map_parts(self, x: Any, f: Callable) -> Any:
        """Apply a function to each element that this transform handles, or to the whole where it takes whole samples.

        Args:
            x: a value or a tuple of values.
            f: function of one value, such as `encodes` with its parameters set.
        """
        if not self.whole and isinstance(x, tuple) and is_sample(x):
            done = [(self._kept(n, o) if type(n := f(o)) is torch.Tensor else n) if self.handles(o) else o for o in x]
            return tuple(done) if type(x) is tuple else like_sample(done, x)
        if not self.handles(x):
            return x
        return self._kept(n, x) if type(n := f(x)) is torch.Tensor else n

    def _kept(self, new, old):
        "The plain tensor that `encodes` made of `old`, with its type."
        returned = self._said("encodes")[1]
        if returned is torch.Tensor or (returned is None and not isinstance(old, torch.Tensor)):         # as the numbers of labels
            return new
        return typed_again(new, old, returned)

    def decode(self, x: Any) -> Any:
        """Undo this transform; an annotation of `decodes` limits it to values of that class.

        Args:
            x: a value or a tuple of values.
        """
        handled, returned = self._said("decodes")
        parts = x if is_sample(x) and not self.whole else (x,)
        if handled is None and any(map(self.handles, parts)):      # it kept the type: only what it encoded is decoded
            handled = self.handled_types()
        done = [self.decodes(o) if handled is None or isinstance(o, handled) else o for o in parts]
        done = [typed_again(n, o, returned) if type(n) is torch.Tensor else n for n, o in zip(done, parts, strict=True)]
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
    do = True               #: within a call of a class with a `before_call`: whether to apply it
    _takes_before_call = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "draw" in vars(cls):
            cls._takes_before_call = False
        super().__init_subclass__(**kwargs)

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

    def before_call(self, sample: Any, split_idx: int | None) -> None:
        """fastai's way to draw parameters, in a class without a `draw`: override this, to set attributes that `encodes` reads. Each call
        sets those of a copy of the transform, so that several threads do not disturb one another.

        Args:
            sample: the whole sample, a tuple or a value.
            split_idx: 0 for a training item, 1 for a validation item, None if not known.
        """
        self.do = self.p >= 1 or random.random() < self.p

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        if self.split_idx is not None and split_idx is not None and split_idx != self.split_idx:
            return x
        if type(self).before_call is not RandTransform.before_call:
            called = copy(self)
            called.before_call(x, split_idx)
            return called.map_parts(x, called.encodes) if called.do else x
        if rng is None:
            if split_idx is None:
                self._note_plain(x)
            rng = item_rng(draw_seed())
        if self.p < 1 and rng.random() >= self.p:
            return x
        params = self.draw(x, rng, split_idx)
        return x if params is None else self.map_parts(x, partial(self.encodes, **params))
