"""Pipelines: transforms applied one after the other, set up and undone in order."""
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..core.arguments import refuse_class, required_parameters
from ..core.messages import add_note, brief, describe, ended
from ..core.plots import show_item
from ..core.recipe import Recipe
from .annotations import returns
from .transforms import Transform


def as_transform(f: Any) -> Transform:
    """`f` as a `Transform`: itself, an instance of a `Transform` class, a torchvision v2 transform or a function wrapped.

    Refused: what cannot be called, a class that cannot be made without arguments, and a function that makes transforms (`aug_transforms`
    instead of `aug_transforms()`).
    """
    if isinstance(f, Transform):
        return f
    if isinstance(f, type) and issubclass(f, Transform):
        needed = ", ".join(required_parameters(f))
        if needed:
            raise TypeError(f"{f.__name__} cannot be made without arguments: write {f.__name__}({needed})")
        return f()
    refuse_class("a pipeline of transforms", f)
    if returns(f, Transform):
        needed = ", ".join(required_parameters(f))
        raise TypeError(f"{f.__qualname__} makes transforms and is not one itself: write {f.__qualname__}({needed})")
    if any(c.__module__.startswith("torchvision.transforms") for c in type(f).__mro__):
        from .torchvision_v2 import V2  # here, so that only those who use torchvision pay for its import
        return V2(f)
    if not callable(f):
        raise TypeError(f"a transform must be a Transform or a function of one item; received {describe(f)}")
    return Transform(f)


def as_list(funcs: Any) -> list:
    "What `Pipeline` takes as a list: one transform, several, those of another pipeline, or None."
    several = isinstance(funcs, (list, tuple, Pipeline)) or hasattr(funcs, "attrgot")           # fastai's `L`
    return [] if funcs is None else list(funcs) if several else [funcs]


class Pipeline:
    """Transforms applied one after the other, lowest `order` first (ties in the order given).

    Args:
        funcs: a transform, a function of one value, a class of transforms, or a list of them; None: nothing.
        split_idx: which items this pipeline is for: 0 = training, 1 = validation, None = both, so that every transform applies.

    Raises:
        TypeError: one of `funcs` cannot be called.
        ValueError: two of them do what may be done once, such as normalising.
    """

    fs: list[Transform]
    split_idx: int | None

    def __init__(self, funcs: Any = None, split_idx: int | None = None):
        self.fs = sorted((as_transform(f) for f in as_list(funcs) if f is not None), key=lambda t: t.order)
        _refuse_twice(self.fs)
        self.split_idx = split_idx

    @property
    def recipe(self) -> Recipe:
        "How to make this pipeline."
        return Recipe(Pipeline, {"funcs": self.fs, "split_idx": self.split_idx})

    def at_validation(self) -> Recipe:
        "How to make this pipeline for validation items."
        return Recipe(Pipeline, {"funcs": [g for f in self.fs if (g := f.at_validation()) is not None], "split_idx": 1})

    def __len__(self) -> int:
        return len(self.fs)

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.fs)

    def __getitem__(self, i: int) -> Transform:
        return self.fs[i]

    def __repr__(self) -> str:
        return "Pipeline: " + (" -> ".join(map(repr, self.fs)) or "nothing")

    def new(self, split_idx: int | None) -> "Pipeline":
        """The same transforms for other items.

        Args:
            split_idx: 0 = training items, 1 = validation items, None = both.
        """
        return Pipeline(self.fs, split_idx)

    def with_tfms(self, funcs: Any) -> "Pipeline":
        """A new pipeline with more transforms, each in its place.

        Args:
            funcs: what `Pipeline` takes.
        """
        return Pipeline(self.fs + Pipeline(funcs).fs, self.split_idx)

    def add(self, funcs: Any) -> None:
        """Refused: loaders and workers have copies of a pipeline, which would not change with it.

        Args:
            funcs: not looked at.

        Raises:
            TypeError: always, with what to write.
        """
        raise TypeError("a Pipeline does not change: of loaders write `dls.add_tfms(tfms, 'after_batch')`, otherwise `pipe = "
                        "pipe.with_tfms(tfms)`")

    def fused(self) -> "Pipeline":
        """A pipeline that does the same in fewer passes.

        A transform may have a method `fuse(following)` that returns None, or a transform for itself and the first few of those that
        follow together with how many of them.
        """
        fs, left = [], list(self.fs)
        while left:
            f = left.pop(0)
            made, n = getattr(f, "fuse", lambda following: None)(left) or (f, 0)
            fs.append(made)
            del left[:n]
        new = Pipeline(None, self.split_idx)
        new.fs = fs
        return new

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        for f in self.fs:
            try:
                x = f(x, self.split_idx, rng)
            except StopIteration as e:
                raise ended(f"transform {brief(f)} on {describe(x)}") from e
            except Exception as e:
                add_note(e, f"in transform {brief(f)} on {describe(x)}")
                raise
        return x

    def decode(self, x: Any, until: Callable[[Any], bool] | None = None) -> Any:
        """Undo every transform, last first.

        Args:
            x: a value or a sample.
            until: stop as soon as this is true of the value, because it can be shown.
        """
        for f in reversed(self.fs):
            if until is not None and until(x):
                break
            x = f.decode(x)
        return x

    @property
    def vocab(self) -> Any:
        "The classes that a transform of this pipeline knows, first come first; an AttributeError where none does."
        found = [v for f in self.fs if (v := getattr(f, "vocab", None)) is not None]
        if not found:
            raise AttributeError(f"no transform of this pipeline has a vocab: {self!r}")
        return found[0]

    def show(self, o: Any, ctx: Any = None, **kwargs: Any) -> Any:
        """Draw what the transforms have made, decoded as far as it takes until it can show itself.

        Args:
            o: a value or a sample.
            ctx: matplotlib axes (default: new ones).
            **kwargs: for the functions that draw.

        Returns:
            The axes.
        """
        return show_item(self.decode(o, until=lambda x: callable(getattr(x, "show", None))), ctx=ctx, **kwargs)

    def setup(self, items: Sequence) -> None:
        """Set up one transform after the other, each on the items as the earlier ones leave them.

        Args:
            items: the training items.
        """
        for i, f in enumerate(self.fs):
            f.setup(Mapped(items, Pipeline(self.fs[:i], self.split_idx)) if i else items)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> list[tuple[Transform, Any, bool]]:
        """Run the transforms and record each step.

        Args:
            x: a value or a sample.
            rng: generator of the random transforms.

        Returns:
            (transform, value after it, whether it applied to anything) of each step.
        """
        steps = []
        for f in self.fs:
            applied = not f.skips(self.split_idx) and f.applies_to(x)
            x = Pipeline(f, self.split_idx)(x, rng)
            steps.append((f, x, applied))
        return steps

    def idle(self, x: Any, rng: np.random.Generator | None = None) -> list[Transform]:
        """The transforms meant for these items that apply to nothing.

        Args:
            x: a sample.
            rng: generator of the random transforms.
        """
        return [f for f, _, applied in self.trace(x, rng) if not applied and not f.skips(self.split_idx)]


def _refuse_twice(fs: list[Transform]) -> None:
    "Refuse two transforms that do what a pipeline may do only once, such as normalising, to values of the same kind."
    for other, f in combinations([f for f in fs if f.only_one is not None], 2):
        same = f.types is None or other.types is None or set(f.types) & set(other.types)
        if other.only_one == f.only_one and same:
            raise ValueError(f"two transforms of this pipeline {f.only_one}, so that the second would do it once more: {brief(other)} and "
                             f"{brief(f)}. Keep one of them")


class Mapped(Sequence):
    "`items` seen through `f`, lazily: what `setups` of a later transform looks at."

    def __init__(self, items: Any, f: Callable):
        self.items, self.f = items, f

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator:
        return (self.f(o) for o in self.items)

    def __getitem__(self, i: Any) -> Any:
        return self.f(self.items[i])

    def item_name(self, i: int) -> str:
        """What to call item `i` in a message.

        Args:
            i: its position.
        """
        name = getattr(self.items, "item_name", None)
        return f"item {i}" if name is None else name(i)
