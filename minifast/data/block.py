"""`DataBlock`: a description of a data set, as blocks (what goes in, what comes out), from which datasets and loaders are made."""
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from ..core.items import L
from ..core.messages import describe, plural, reject_unknown
from .categories import Categorize, EncodedMultiCategorize, MultiCategorize, OneHotEncode, RegressionSetup
from .dataloader import LOADER_KEYWORDS
from .datasets import Datasets, coll
from .pipeline import Pipeline, as_transform
from .splitters import RandomSplitter, check_splits
from .transforms import ItemTransform, Transform


def _as_list(x):
    return [] if x is None else list(x) if isinstance(x, (list, tuple, Pipeline)) else [x]


@dataclass
class TransformBlock:
    """One element of a sample: how to make it, transform it and show it.

    type_tfms: from what the getter returns to the element. item_tfms, batch_tfms: transforms of samples and batches that this kind of
    element needs. loss_func: the loss that belongs to it as a target. show: `show(value, ctx=None, **kwargs)` draws a decoded value
    and returns the axes (None: `plots.show_item`). dl_type: the loader class it needs. dls_kwargs: arguments for the loaders.
    tta: as a target, how `Learner.tta` merges predictions: `tta(learn, ds_idx, dl, n, beta, use_max)` (None: it averages them).
    """

    type_tfms: list | None = None
    item_tfms: list | None = None
    batch_tfms: list | None = None
    loss_func: object = None
    show: object = None
    dl_type: type | None = None
    dls_kwargs: dict = field(default_factory=dict)
    tta: Callable | None = None

    def __post_init__(self):
        self.type_tfms, self.item_tfms, self.batch_tfms = map(_as_list, (self.type_tfms, self.item_tfms, self.batch_tfms))
        self.dls_kwargs = dict(self.dls_kwargs or {})
        if self.show is not None and not callable(self.show):
            raise TypeError(f"TransformBlock(show=...) takes a function of (value, ctx); received {describe(self.show)}")


def CategoryBlock(vocab=None, sort=True, add_na=False):
    "A single class label; `vocab` gives the classes and their order (default: the sorted labels of the training items)."
    return TransformBlock(type_tfms=[Categorize(vocab=vocab, sort=sort, add_na=add_na)])


def MultiCategoryBlock(encoded=False, vocab=None, add_na=False):
    "Several class labels per item: a list of labels, or with `encoded` one 0 or 1 for each class of `vocab`."
    if encoded:
        return TransformBlock(type_tfms=[EncodedMultiCategorize(vocab=vocab)])
    return TransformBlock(type_tfms=[MultiCategorize(vocab=vocab, add_na=add_na), OneHotEncode()])


def RegressionBlock(n_out=None):
    "One number per item, or a list of `n_out` numbers."
    return TransformBlock(type_tfms=[RegressionSetup(c=n_out)])


def _as_block(block, i):
    made = block if isinstance(block, TransformBlock) or not callable(block) else block()
    if not isinstance(made, TransformBlock):
        raise TypeError(f"blocks[{i}] must be a TransformBlock, such as ImageBlock or CategoryBlock(); received {describe(block)}")
    return made


def _kind_of(tfm):
    "What decides whether a later transform replaces an earlier one: its class, or the function it wraps."
    tfm = as_transform(tfm)
    if type(tfm) in (Transform, ItemTransform):
        return getattr(tfm.encodes, "__func__", tfm.encodes)
    return type(tfm), type(getattr(tfm, "transform", None))         # of a wrapped torchvision transform, its class counts too


def merge_tfms(*lists):
    "The transforms of all `lists`; one of a later list takes the place of those of its class in the earlier ones."
    merged = []
    for tfms in lists:
        new = [as_transform(f) for f in _as_list(tfms)]
        kinds = [_kind_of(f) for f in new]
        merged = [f for f in merged if _kind_of(f) not in kinds] + new
    return merged


def _unlearnt(tfm):
    "A copy of a transform that learns from the data, so that one `DataBlock` can be used for several sources: each gets its own classes."
    return copy(tfm) if isinstance(tfm, Transform) and tfm.has_setup else tfm


class _Column:
    "The getter of one column of zipped columns."

    def __init__(self, i):
        self.i = i

    def __call__(self, o):
        return o[self.i]

    @property
    def __name__(self):
        return f"column {self.i}"


class _ZipColumns:
    "`get_items` of `DataBlock.from_columns`: equally long columns to a list of rows."

    def __init__(self, get_items):
        self.get_items = get_items

    def __call__(self, source):
        columns = source if self.get_items is None else self.get_items(source)
        lengths = [len(c) for c in columns]
        if len(set(lengths)) > 1:
            raise ValueError(f"from_columns: the columns must be equally long; received lengths {lengths}")
        return L(zip(*columns, strict=True))


class DataBlock:
    """How to get items from a source, split and label them, and make samples and batches of them.

    blocks: a `TransformBlock` per element of a sample, or a function that makes one (default: two that do nothing). get_items: source
    -> items (default: the source is the items). splitter: items -> (training indices, validation indices); default
    `RandomSplitter()`. get_x, get_y: item -> input, target: a function, or a list with one per input or target; getters: all of them.
    n_inp: how many blocks are inputs (default: all but the last). item_tfms, batch_tfms: transforms of samples and of batches,
    besides what the blocks bring; one of the same class replaces theirs. dl_type: the loader class.
    """

    def __init__(self, blocks=None, dl_type=None, getters=None, n_inp=None, item_tfms=None, batch_tfms=None, get_items=None, splitter=None,
                 get_x=None, get_y=None, **unknown):
        reject_unknown(unknown, DATABLOCK_KEYWORDS, "DataBlock(...)")
        blocks = [TransformBlock, TransformBlock] if blocks is None else blocks
        self.blocks = [_as_block(b, i) for i, b in enumerate(blocks if isinstance(blocks, (list, tuple)) else [blocks])]
        n = len(self.blocks)
        if not n:
            raise ValueError("DataBlock(blocks=()) has no element: give at least one block")
        if n_inp is not None and not 0 < n_inp <= n:
            raise ValueError(f"DataBlock(n_inp={n_inp}): with {plural(n, 'block')} there can be 1 to {n} inputs")
        self.n_inp = max(1, n - 1) if n_inp is None else n_inp
        for name, f in (("get_items", get_items), ("splitter", splitter)):
            if f is not None and not callable(f):
                raise TypeError(f"DataBlock({name}=...) takes a function; received {describe(f)}")
        self.get_items, self.splitter = get_items, RandomSplitter() if splitter is None else splitter
        self.getters = self._all_getters(getters, get_x, get_y)
        self.dl_type = dl_type if dl_type is not None else next((b.dl_type for b in self.blocks if b.dl_type is not None), None)
        self.new_item_tfms, self.new_batch_tfms = _as_list(item_tfms), _as_list(batch_tfms)
        self.item_tfms = merge_tfms(*(b.item_tfms for b in self.blocks), item_tfms)
        self.batch_tfms = merge_tfms(*(b.batch_tfms for b in self.blocks), batch_tfms)

    def _all_getters(self, getters, get_x, get_y):
        n, n_inp = len(self.blocks), self.n_inp
        found = [None] * n
        for name, given, part in (("getters", getters, slice(0, n)), ("get_x", get_x, slice(0, n_inp)), ("get_y", get_y, slice(n_inp, n))):
            if given is None:
                continue
            fs = list(given) if isinstance(given, (list, tuple)) else [given]
            wanted = len(range(n)[part])
            if len(fs) != wanted:
                what = {"getters": "blocks", "get_x": "inputs", "get_y": "targets"}[name]
                raise ValueError(f"DataBlock({name}=...): received {plural(len(fs), 'function')} for {wanted} {what} "
                                 f"({plural(n, 'block')}, n_inp={n_inp}); give one for each, in a list")
            for f in fs:
                if f is not None and not callable(f):
                    raise TypeError(f"DataBlock({name}=...) takes functions of an item; received {describe(f)}")
            found[part] = fs
        return found

    @classmethod
    def from_columns(cls, blocks=None, getters=None, get_items=None, **kwargs):
        "A `DataBlock` whose source (or what `get_items` makes of it) is a list of equally long columns, one per block."
        blocks = [TransformBlock, TransformBlock] if blocks is None else blocks
        n = len(blocks) if isinstance(blocks, (list, tuple)) else 1
        getters = [None] * n if getters is None else getters
        columns = [_Column(i) if g is None else _Composed(_Column(i), g) for i, g in enumerate(getters)]
        return cls(blocks=blocks, getters=columns, get_items=_ZipColumns(get_items), **kwargs)

    def new(self, item_tfms=None, batch_tfms=None):
        "The same with other transforms; as a random splitter is seeded, with the same validation items."
        return DataBlock(self.blocks, self.dl_type, self.getters, self.n_inp, self.new_item_tfms if item_tfms is None else item_tfms,
                         self.new_batch_tfms if batch_tfms is None else batch_tfms, self.get_items, self.splitter)

    # -- from the source to datasets and loaders --------------------------------------------------------------------------------
    def _items(self, source):
        if self.get_items is None and isinstance(source, (str, Path)):
            raise TypeError(f"the source {str(source)!r} is a path, and this DataBlock has no get_items that makes items of it: "
                            "write DataBlock(get_items=get_image_files, ...)")
        items = source if self.get_items is None else self.get_items(source)
        if not hasattr(items, "__len__"):
            items = L(items)
        if not len(items):
            how = "the source holds no items"
            if self.get_items is not None:
                how = f"get_items={_name(self.get_items)} found no items in {source!r}"
            raise ValueError(f"{how}: is the folder right, and the file endings?")
        return items

    def _splits(self, items):
        return check_splits(self.splitter(items), len(items), f"the splitter {_name(self.splitter)}")

    def _pipelines(self):
        return [([] if g is None else [g]) + [_unlearnt(f) for f in b.type_tfms] for g, b in zip(self.getters, self.blocks, strict=True)]

    def datasets(self, source, verbose=False):
        "`Datasets` of the items of `source`; `verbose` prints how many there are."
        items = self._items(source)
        ds = Datasets(items, self._pipelines(), splits=self._splits(items), n_inp=self.n_inp, blocks=self.blocks)
        if verbose:
            print(f"{coll(ds)}, split by {_name(self.splitter)}")
        return ds

    def dataloaders(self, source, path=".", verbose=False, bs=None, val_bs=None, shuffle=None, device=None, num_workers=None, seed=None,
                    drop_last=None, dl_type=None, **kwargs):
        """`DataLoaders` of the items of `source`; kwargs as for `DataLoaders.from_dsets`, such as `val_num_workers=`.

        bs (64) and shuffle (True) may have another default in the `dls_kwargs` of a block.
        """
        return self._loaders(self.datasets(source, verbose), "dataloaders", kwargs, path=path, bs=bs, val_bs=val_bs, shuffle=shuffle,
                             device=device, num_workers=num_workers, seed=seed, drop_last=drop_last, dl_type=dl_type, verbose=verbose)

    def weighted_dataloaders(self, source, wgts, bs=64, **kwargs):
        "`dataloaders` whose training items are drawn with replacement, with probabilities proportional to `wgts` (one per item)."
        return self._loaders(self.datasets(source), "weighted_dataloaders", kwargs, wgts=wgts, bs=bs)

    def partial_dataloaders(self, source, partial_n, bs=64, **kwargs):
        "`dataloaders` that train on `partial_n` items an epoch, others each time."
        return self._loaders(self.datasets(source), "partial_dataloaders", kwargs, partial_n=partial_n, bs=bs)

    def _loaders(self, datasets, method, kwargs, **named):
        for name in ("item_tfms", "batch_tfms"):
            if name in kwargs:
                raise TypeError(f"{method}() does not take {name}: give them to the DataBlock, `DataBlock({name}=...)` or "
                                f"`dblock.new({name}=...)`")
        allowed = {*LOADER_KEYWORDS, *(f"val_{k}" for k in LOADER_KEYWORDS), "path", "dl_type"} - {"split_idx", "val_split_idx"}
        reject_unknown(kwargs, allowed, f"{method}(...)")
        from_blocks = {k: v for b in self.blocks for k, v in b.dls_kwargs.items()}
        given = {**from_blocks, **kwargs, **{k: v for k, v in named.items() if v is not None or k not in from_blocks}}
        given = {k: v for k, v in given.items() if v is not None or k not in ("bs", "shuffle")}
        after_item = merge_tfms([_unlearnt(f) for f in self.item_tfms], given.pop("after_item", None))
        after_batch = merge_tfms([_unlearnt(f) for f in self.batch_tfms], given.pop("after_batch", None))
        given["dl_type"] = given.get("dl_type") or self.dl_type
        return getattr(datasets, method)(**given, after_item=after_item, after_batch=after_batch)

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def summary(self, source, bs=4, show_batch=False):
        """Print what happens to the first training item of `source`, step by step, and to a batch of `bs` items. Where a step fails it
        is named, with its item, and the error raised. show_batch: draw the batch too."""
        from .summary import print_summary
        dls = print_summary(self, source, bs)
        if show_batch:
            dls.show_batch(max_n=bs)

    def __repr__(self):
        return f"DataBlock: {plural(len(self.blocks), 'block')} ({plural(self.n_inp, 'input')}), split by {_name(self.splitter)}"


class _Composed:
    "`g(f(o))`."

    def __init__(self, f, g):
        self.f, self.g = f, g

    def __call__(self, o):
        return self.g(self.f(o))

    @property
    def __name__(self):
        return f"{_name(self.f)} -> {_name(self.g)}"


def _name(f):
    return getattr(f, "__name__", None) or repr(f)


#: The arguments of `DataBlock`.
DATABLOCK_KEYWORDS = ("blocks", "dl_type", "getters", "n_inp", "item_tfms", "batch_tfms", "get_items", "splitter", "get_x", "get_y")
