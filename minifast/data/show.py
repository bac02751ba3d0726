"""Looking at data: a batch made into what can be drawn, and one item followed through every step (`show_pipeline`, `DataBlock.summary`)."""
from collections.abc import Iterable, Sequence
from functools import reduce
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.items import L, coll_repr
from ..core.messages import add_note, brief, describe, did_you_mean, plural
from ..core.nested import as_tuple, find_bs, item_of, map_nested, to_cpu, to_device
from ..core.plots import DRAWING, get_grid, show_item
from ..core.seeds import fixed_seed, item_rng
from ..core.types import Batch
from .engine.collate import collate, kinds_after, kinds_of, unbatch, wrap_kinds
from .engine.fetch import batch_rng
from .pipeline import Pipeline
from .transforms import Transform

if TYPE_CHECKING:
    import pandas as pd

    from .block import DataBlock
    from .dataloader import DataLoader
    from .datasets import Datasets
    from .loaders import DataLoaders


def decode_tensors(loader: "DataLoader", b: Batch) -> Batch:
    "Batch `b` of `loader` with its batch transforms undone, still a batch, of images, masks and so on, on the CPU."
    return wrap_kinds(to_cpu(loader.after_batch.decode(wrap_kinds(b, loader.kinds))), loader.kinds)


def decode_batch(loader: "DataLoader", b: Batch, max_n: int = 9) -> list:
    "The first `max_n` items of batch `b` of `loader`, decoded by its batch transforms, item transforms and dataset, as a list of samples."
    n = min(max_n, find_bs(b))
    b = map_nested(lambda o: o[:n] if isinstance(o, torch.Tensor) and o.ndim else o, b)
    b = decode_tensors(loader, b)
    decode = getattr(loader.dataset, "decode", lambda o: o)
    earlier = loader.before_batch, loader.after_item
    return [decode(reduce(lambda o, pipe: pipe.decode(o), earlier, wrap_kinds(unbatch(b, i), loader.kinds))) for i in range(n)]


def decode_targets(loader: "DataLoader", inputs: tuple, targets: Any) -> list:
    """The decoded targets of a batch: classes by name, masks, of a table whole rows. The inputs are decoded only where that is needed.

    Args:
        loader: of the batch.
        inputs: of the batch; the rows of a table are made of them.
        targets: a tensor of one target per item, or a tuple of several of them.
    """
    n = len(inputs)
    pipes: Sequence[Pipeline] = getattr(loader.dataset, "pipelines", ())
    if len(pipes) == n + 1 and isinstance(targets, torch.Tensor) and _is_plain(loader.kinds, n) and not any(
            f.handles(targets[0]) for f in (*loader.after_item, *loader.after_batch)):
        return [pipes[-1].decode(o) for o in targets]           # nothing but its own transforms made the target
    if not hasattr(loader, "decode_batch"):                     # a loader of torch's: nothing is known but the numbers
        return [item_of(targets, i) for i in range(find_bs(targets))]
    samples = loader.decode_batch((*inputs, *as_tuple(targets)), max_n=find_bs(targets))
    return [s if isinstance(s, dict) else s[n:] if len(s) > n + 1 else s[n] for s in samples]


def _is_plain(kinds, i):
    "Whether element `i` of a batch is a plain tensor."
    return kinds is None or (isinstance(kinds, tuple) and (i >= len(kinds) or kinds[i] is None))


def _elements(sample):
    "The elements of a decoded sample, numbers as Python numbers."
    parts = list(sample.values()) if isinstance(sample, dict) else list(sample) if isinstance(sample, (tuple, list)) else [sample]
    return [o.item() if isinstance(o, torch.Tensor) and o.ndim == 0 else o for o in parts]


def show_batch(loader: "DataLoader", b: Batch, max_n: int, ctxs: Sequence | None, show: bool, unique: bool, nrows: int | None,
               ncols: int | None, figsize: tuple[float, float] | None, **kwargs: Any) -> Any:
    "See `DataLoader.show_batch`."
    if isinstance(b, int):
        raise TypeError(f"show_batch({b}): the first argument is a batch; for the number of items write show_batch(max_n={b})")
    if isinstance(max_n, bool) or not isinstance(max_n, int) or max_n < 1:
        raise ValueError(f"show_batch(max_n={brief(max_n)}): how many items to show, at least 1")
    for name in kwargs:
        if name not in DRAWING and (hint := did_you_mean(name, ("max_n", "nrows", "ncols", "figsize", "unique"))):
            raise TypeError(f"show_batch() has no keyword {name}{hint} Other keywords go to the functions that draw, such as cmap=")
    if nrows is not None and ncols is not None:
        max_n = min(max_n, nrows * ncols) if max_n != 9 else nrows * ncols
    if b is None:
        b = (loader.make_batch(seed=loader.peek_seed(), indices=[loader.peeks % len(loader.dataset)] * max_n) if unique
             else loader.one_batch())
    samples = decode_batch(loader, b, max_n)
    return show_samples(loader.dataset, samples, ctxs, nrows, ncols, figsize, **kwargs) if show else samples


def show_samples(dataset: Any, samples: Sequence, ctxs: Sequence | None = None, nrows: int | None = None, ncols: int | None = None,
                 figsize: tuple[float, float] | None = None, **kwargs: Any) -> "pd.DataFrame | None":
    "Draw decoded `samples` in a grid and return None; or, if nothing about them is an image, return a DataFrame of them."
    shows_itself = callable(getattr(samples[0], "show", None))
    drawn = shows_itself or any(o.show is not None for o in getattr(dataset, "blocks", None) or ())
    if not drawn and not any(hasattr(o, "show") or getattr(o, "ndim", 0) >= 2 for o in _elements(samples[0])):
        return as_table(samples, getattr(dataset, "n_inp", None))
    if ctxs is None:
        shared = {name: kwargs.pop(name) for name in ("sharex", "sharey") if name in kwargs}
        ctxs = get_grid(len(samples), nrows=nrows, ncols=ncols, figsize=figsize, **shared)
    if len(ctxs) < len(samples):
        raise ValueError(f"show_batch: {len(ctxs)} axes for {len(samples)} items; received ctxs={describe(ctxs)}")
    for sample, ctx in zip(samples, ctxs, strict=False):
        if hasattr(dataset, "show_decoded") and not shows_itself:
            dataset.show_decoded(sample, ctx, **kwargs)
            continue
        for value in [sample] if shows_itself else _elements(sample):
            ctx = show_item(value, ctx=ctx, **kwargs)
    return None


def as_table(samples: Sequence, n_inp: int | None = None) -> "pd.DataFrame":
    "Decoded samples as a DataFrame with a column per element."
    import pandas as pd
    if isinstance(samples[0], dict):
        return pd.DataFrame(samples)
    rows = [_elements(s) for s in samples]
    n_inp = max(1, len(rows[0]) - 1) if n_inp is None else n_inp
    parts = ("input", n_inp), ("target", len(rows[0]) - n_inp)
    names = [name if n == 1 else f"{name} {i}" for name, n in parts for i in range(n)]
    return pd.DataFrame([[o if isinstance(o, (str, int, float)) else str(o) for o in row] for row in rows], columns=names[:len(rows[0])])


# -- one item through every step --------------------------------------------------------------------------------------------------
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
    steps = pipeline_steps(loader, item)
    if nrows is None and ncols is None:
        ncols = min(len(steps), 4)
    axs = get_grid(len(steps), nrows=nrows, ncols=ncols, figsize=figsize)
    table = show_samples(loader.dataset, [o for _, o in steps], axs, **kwargs)
    if table is None:
        for ax, (name, _) in zip(axs, steps, strict=True):
            ax.set_title("\n".join(t for t in (fill(name, 20), ax.get_title()) if t), fontsize="small",
                         parse_math=False)
    return steps


def _line(text: str, indent: int = 1) -> None:
    print("  " * indent + text)


def _through(pipeline: Iterable[Transform], split_idx: int | None, value: Any, rng: np.random.Generator, idle: list[Transform]) -> Any:
    "Send `value` through transforms, printing what each makes of it; those that applied to nothing are added to `idle`."
    for f in pipeline:
        if f.skips(split_idx):
            _line(f"{f!r}: left out, it is for validation items", 2)
            continue
        applied = f.applies_to(value)
        remark = f.remark(value) if applied and hasattr(f, "remark") else None
        try:
            value = Pipeline(f, split_idx)(value, rng)
        except Exception:
            _line(f"{f!r}: FAILED on {describe(value)}", 2)
            raise
        if not applied:
            idle.append(f)
        _line(f"{f!r} -> {describe(value)}" if applied else f"{f!r}: applied to nothing", 2)
        if remark:
            _line(remark, 3)
    return value


def print_summary(block: "DataBlock", source: Any, bs: int) -> "DataLoaders":
    "Print the steps from `source` to a batch of `bs` items of `block`, and return the loaders."
    print("Items")
    items = block.items_of(source)
    _line(f"{plural(len(items), 'item')} from {getattr(block.get_items, '__name__', None) or block.get_items or 'the source itself'}")
    splits = block.splits_of(items)
    _line(f"split by {block.splitter!r}: {' + '.join(str(len(s)) for s in splits)} items")
    print("Setting up the transforms on the training items")
    datasets = block.datasets_of(items, splits)
    _line(f"{datasets.sizes}; {'no classes' if datasets.vocab is None else f'classes {_vocab(datasets.vocab)}'}")
    loss = datasets.loss_func
    _line("loss: none that belongs to the target; give the Learner one" if loss is None else f"loss: {loss!r}")
    train = datasets.train
    idle: list[Transform] = []
    with fixed_seed():
        sample = _one_sample(train, idle)
        print(f"Item transforms{'' if block.item_tfms else ': none'}")
        try:
            _through(Pipeline(block.item_tfms), 0, sample, item_rng(0, 0), idle)
        except Exception as e:
            add_note(e, f"in the item transforms, {train.item_name(0)}")
            raise
        bs = min(bs, len(train))
        print(f"A batch of {plural(bs, 'sample')}")
        dls = block.dataloaders(source, bs=bs, shuffle=False, num_workers=0)
        loader = dls.train
        batch = loader.collate_items(range(bs))
        _line(f"collated: {describe(batch.data)}")
        print(f"Batch transforms{'' if block.batch_tfms else ': none'}, on {loader.device}")
        moved = wrap_kinds(to_device(batch.data, loader.device), batch.kinds)
        done = _through(loader.after_batch, loader.split_idx, moved, batch_rng(0, 0), idle)
    types = f"plain tensors of {', '.join(type(o).__name__ for o in done)}" if isinstance(done, tuple) else type(done).__name__
    print(f"The model gets {describe(done)}" + (f" as {types}" if kinds_of(done) is not None else ""))
    if idle:
        print(f"These transforms applied to nothing: {', '.join(map(brief, idle))}. Put them where such values are, or leave them out.")
    return dls


def _vocab(vocab):
    "A vocabulary, or several, in words: the first entries of each."
    several = len(vocab) and isinstance(vocab[0], (list, L)) and isinstance(vocab, list)
    return ", ".join(map(_vocab, vocab)) if several else coll_repr(vocab)


def _one_sample(train: "Datasets", idle: list[Transform]) -> tuple:
    "The first training sample, made element by element."
    made: list[Any] = []
    print(f"One sample, of {train.item_name(0)}")
    for k, pipe in enumerate(train.pipelines):
        name = f"{'input' if k < train.n_inp else 'target'} {k}"
        _line(f"{name}{': the item itself' if not len(pipe) else ''}")
        try:
            made.append(_through(pipe, pipe.split_idx, train.rows[0], item_rng(0, k), idle))
        except Exception as e:
            add_note(e, f"while making {name} of {train.item_name(0)}")
            raise
    _line(f"sample: {describe(tuple(made))}")
    return tuple(made)
