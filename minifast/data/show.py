"""From a batch back to things that can be looked at."""
from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any

import torch

from ..core.messages import describe, did_you_mean
from ..core.nested import find_bs, map_nested, to_cpu, to_device
from ..core.seeds import fixed_seed, item_rng
from ..core.types import Batch
from .engine.collate import collate, kinds_after, kinds_of, unbatch, wrap_kinds
from .pipeline import Pipeline

if TYPE_CHECKING:
    import pandas as pd

    from .dataloader import DataLoader

# What image-drawing functions take: never a misspelt keyword of ours.
_DRAWING = ("cmap", "vmin", "vmax", "norm", "alpha", "interpolation", "title", "aspect", "origin", "extent")


def decode_batch(loader: "DataLoader", b: Batch, max_n: int = 9) -> list:
    "The first `max_n` items of batch `b` of `loader`, decoded by its batch transforms, item transforms and dataset, as a list of samples."
    n = min(max_n, find_bs(b))
    b = map_nested(lambda o: o[:n] if isinstance(o, torch.Tensor) and o.ndim else o, b)
    b = to_cpu(loader.after_batch.decode(wrap_kinds(b, loader.kinds)))
    samples = [loader.after_item.decode(wrap_kinds(unbatch(b, i), loader.kinds)) for i in range(n)]
    decode = getattr(loader.dataset, "decode", None)
    return samples if decode is None else [decode(s) for s in samples]


def repeated_batch(loader: "DataLoader", max_n: int) -> Batch:
    "A batch of one item, `max_n` times, each time augmented differently."
    seed = loader.peek_seed()
    return loader.make_batch([loader.peeks % len(loader.dataset)] * max_n, seed)


def pipeline_steps(loader: "DataLoader", item: Any = 0) -> list[tuple[str, Any]]:
    """What the transforms of `loader` make of one item, one after the other: a list of (what was done, the sample then, decoded).

    item: the number of one of its items, or an item as `DataLoaders.test_dl` takes them. Transforms that do not apply to it are left out.
    """
    dataset = loader.dataset
    if isinstance(item, bool) or not hasattr(item, "__index__") or getattr(item, "ndim", 0) > 0:
        if not hasattr(dataset, "test_set"):
            raise TypeError(f"show_pipeline takes the number of an item here, because the data come from {describe(dataset)}; received "
                            f"{describe(item)}")
        dataset, item = dataset.test_set([item]).with_split_idx(loader.split_idx), 0
    elif not -len(dataset) <= item < len(dataset):
        raise IndexError(f"show_pipeline(item={item}): there are {len(dataset)} items")
    n, steps = item.__index__() % len(dataset), []
    with fixed_seed():
        rng = item_rng(loader.peek_seed(), n)
        sample = dataset.sample(n, rng) if hasattr(dataset, "sample") else dataset[n]
        steps.append(("as it is read", sample))
        for k, (f, sample, applied) in enumerate(loader.after_item.trace(sample, rng)):
            if applied:
                steps.append((_named(f), Pipeline(loader.after_item.fs[:k + 1]).decode(sample)))
        samples = loader.before_batch([sample], rng)
        kinds = kinds_of(samples[0])
        batch = wrap_kinds(to_device(collate(samples), loader.device), kinds)
        for k, (f, done, applied) in enumerate(loader.after_batch.trace(batch, rng)):
            kinds = kinds_after(done, kinds)
            if applied:
                shown = to_cpu(Pipeline(loader.after_batch.fs[:k + 1]).decode(wrap_kinds(done, kinds)))
                steps.append((_named(f), loader.after_item.decode(wrap_kinds(unbatch(shown, 0), kinds))))
    decode = getattr(dataset, "decode", lambda o: o)
    return [(name, decode(o)) for name, o in steps]


def _named(f):
    inner = getattr(f, "tfms", None)
    return ", ".join(map(_named, inner)) if inner else vars(f).get("name") or type(f).__name__


def show_pipeline(loader: "DataLoader", item: Any, nrows: int | None, ncols: int | None, figsize: tuple[float, float] | None,
                  **kwargs: Any) -> list[tuple[str, Any]]:
    "Draw `pipeline_steps` in a grid and return them."
    from ..core.plots import get_grid
    steps = pipeline_steps(loader, item)
    if nrows is None and ncols is None:
        ncols = min(len(steps), 4)
    axs = get_grid(len(steps), nrows=nrows, ncols=ncols, figsize=figsize)
    table = show_samples(loader.dataset, [o for _, o in steps], axs, **kwargs)
    if table is None:
        for ax, (name, _) in zip(axs, steps, strict=True):
            ax.set_title("\n".join(t for t in (fill(name, 20), ax.get_title()) if t), fontsize="small")
    return steps


def _is_image(value):
    return hasattr(value, "show") or getattr(value, "ndim", 0) >= 2


def _elements(sample):
    "The elements of a decoded sample, numbers as Python numbers."
    parts = list(sample.values()) if isinstance(sample, dict) else list(sample) if isinstance(sample, (tuple, list)) else [sample]
    return [o.item() if isinstance(o, torch.Tensor) and o.ndim == 0 else o for o in parts]


def show_batch(loader: "DataLoader", b: Batch, max_n: int, ctxs: Sequence | None, show: bool, unique: bool, nrows: int | None,
               ncols: int | None, figsize: tuple[float, float] | None, **kwargs: Any) -> Any:
    "See `DataLoader.show_batch`."
    if isinstance(max_n, bool) or not isinstance(max_n, int) or max_n < 1:
        raise ValueError(f"show_batch(max_n={max_n!r}): how many items to show, at least 1")
    for name in kwargs:
        if name not in _DRAWING and (hint := did_you_mean(name, ("max_n", "nrows", "ncols", "figsize", "unique"))):
            raise TypeError(f"show_batch() has no keyword {name}{hint} Other keywords go to the functions that draw, such as cmap=")
    if nrows is not None and ncols is not None:
        max_n = min(max_n, nrows * ncols) if max_n != 9 else nrows * ncols
    if b is None:
        b = repeated_batch(loader, max_n) if unique else loader.one_batch()
    samples = decode_batch(loader, b, max_n)
    return show_samples(loader.dataset, samples, ctxs, nrows, ncols, figsize, **kwargs) if show else samples


def show_samples(dataset: Any, samples: Sequence, ctxs: Sequence | None = None, nrows: int | None = None, ncols: int | None = None,
                 figsize: tuple[float, float] | None = None, **kwargs: Any) -> "pd.DataFrame | None":
    "Draw decoded `samples` in a grid and return None; or, if nothing about them is an image, return a DataFrame of them."
    blocks = getattr(dataset, "blocks", None)
    drawn_by_block = blocks is not None and any(o.show is not None for o in blocks)
    shows_itself = callable(getattr(samples[0], "show", None))
    if not drawn_by_block and not shows_itself and not any(map(_is_image, _elements(samples[0]))):
        return as_table(samples, getattr(dataset, "n_inp", None))
    from ..core.plots import get_grid, show_item
    if ctxs is None:
        if nrows is None and ncols is not None:
            nrows = ceil(len(samples) / ncols)
        ctxs = get_grid(len(samples), nrows=nrows, ncols=ncols, figsize=figsize)
    if len(ctxs) < len(samples):
        raise ValueError(f"show_batch: {len(ctxs)} axes for {len(samples)} items; received ctxs={describe(ctxs)}")
    for sample, ctx in zip(samples, ctxs, strict=False):
        if shows_itself:
            sample.show(ctx=ctx, **kwargs)
        elif hasattr(dataset, "show_decoded"):
            dataset.show_decoded(sample, ctx, **kwargs)
        else:
            for value in _elements(sample):
                ctx = show_item(value, ctx=ctx, **kwargs)
    return None


def as_table(samples: Sequence, n_inp: int | None = None) -> "pd.DataFrame":
    "Decoded samples as a DataFrame with a column per element."
    import pandas as pd
    if isinstance(samples[0], dict):
        return pd.DataFrame(samples)
    rows = [_elements(s) for s in samples]
    n_inp = max(1, len(rows[0]) - 1) if n_inp is None else n_inp
    n_targets = len(rows[0]) - n_inp

    def numbered(name, n):
        return [name] if n == 1 else [f"{name} {i}" for i in range(n)]

    names = numbered("input", n_inp) + numbered("target", n_targets)
    return pd.DataFrame([[o if isinstance(o, (str, int, float)) else str(o) for o in row] for row in rows], columns=names[:len(rows[0])])
