"""Pipelines: transforms applied one after the other, set up and undone in order."""
from ..core.messages import add_note, describe
from .transforms import Transform


def as_transform(f):
    """`f` as a `Transform`: itself, an instance of a `Transform` class, a torchvision v2 transform or a function wrapped.

    None and non-callables are refused.
    """
    if isinstance(f, Transform):
        return f
    if isinstance(f, type) and issubclass(f, Transform):
        return f()
    if any(c.__module__.startswith("torchvision.transforms") for c in type(f).__mro__):
        from .torchvision_v2 import V2  # here, so that only those who use torchvision pay for its import
        return V2(f)
    if not callable(f):
        raise TypeError(f"a transform must be a Transform or a function of one item; received {describe(f)}")
    return Transform(f)


class Pipeline:
    """Transforms applied one after the other, lowest `order` first (ties in the order given).

    funcs: a transform, function, or list of them (None: nothing). split_idx: which items this pipeline serves, see `Transform`.
    """

    def __init__(self, funcs=None, split_idx=None):
        if isinstance(funcs, Pipeline):
            funcs = funcs.fs
        funcs = [] if funcs is None else list(funcs) if isinstance(funcs, (list, tuple)) or hasattr(funcs, "attrgot") else [funcs]
        self.fs = sorted((as_transform(f) for f in funcs if f is not None), key=lambda t: t.order)
        _refuse_twice(self.fs)
        self.split_idx = split_idx

    def __len__(self):
        return len(self.fs)

    def __iter__(self):
        return iter(self.fs)

    def __getitem__(self, i):
        return self.fs[i]

    def __repr__(self):
        return "Pipeline: " + (" -> ".join(map(repr, self.fs)) or "nothing")

    def new(self, split_idx):
        "The same transforms for other items."
        return Pipeline(self.fs, split_idx)

    def add(self, funcs):
        "A new pipeline with `funcs` added, each in its place."
        return Pipeline(self.fs + Pipeline(funcs).fs, self.split_idx)

    def fused(self):
        """A pipeline that does the same with fewer passes: a transform with a method `fuse(following)` may return another one for itself
        and the first few of those that follow, and how many of them; or None."""
        fs, left = [], list(self.fs)
        while left:
            f = left.pop(0)
            made, n = getattr(f, "fuse", lambda following: None)(left) or (f, 0)
            fs.append(made)
            del left[:n]
        new = Pipeline(None, self.split_idx)
        new.fs = fs
        return new

    def __call__(self, x, rng=None):
        for f in self.fs:
            try:
                x = f(x, self.split_idx, rng)
            except Exception as e:
                add_note(e, f"in transform {f!r} on {describe(x)}")
                raise
        return x

    def decode(self, x, until=None):
        "Undo every transform, last first; with `until`, stop as soon as `until(x)` is true of what there is to show."
        for f in reversed(self.fs):
            if until is not None and until(x):
                break
            x = f.decode(x)
        return x

    def setup(self, items):
        "Set up one transform after the other, each on `items` as the earlier ones leave them."
        for i, f in enumerate(self.fs):
            if f.has_setup:
                f.setup(Mapped(items, Pipeline(self.fs[:i], self.split_idx)) if i else items)

    def trace(self, x, rng=None):
        "Run on `x` and return a list of (transform, value after it, whether it applied to anything)."
        steps = []
        for f in self.fs:
            skipped = f.split_idx is not None and self.split_idx is not None and f.split_idx != self.split_idx
            applied = not skipped and f.applies_to(x)
            x = Pipeline(f, self.split_idx)(x, rng)
            steps.append((f, x, applied))
        return steps

    def idle(self, x, rng=None):
        "The transforms meant for these items that apply to nothing in the sample `x`."
        return [f for f, _, applied in self.trace(x, rng)
                if not applied and (f.split_idx is None or self.split_idx is None or f.split_idx == self.split_idx)]


def _refuse_twice(fs):
    "Refuse transforms of which a pipeline may have one only, such as two that normalise, if they work on values of the same kind."
    done = []
    for f in fs:
        if (verb := getattr(f, "only_one", None)) is None:
            continue
        for other in done:
            same = None in (f.types, other.types) or set(f.types) & set(other.types)
            if other.only_one == verb and same:
                raise ValueError(f"two transforms of this pipeline {verb}, so that the second would do it once more: {other!r} and {f!r}. "
                                 "Keep one of them")
        done.append(f)


class Mapped:
    "`items` seen through `f`, lazily: what `setups` of a later transform looks at."

    def __init__(self, items, f):
        self.items, self.f = items, f

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return (self.f(o) for o in self.items)

    def __getitem__(self, i):
        return self.f(self.items[i])
