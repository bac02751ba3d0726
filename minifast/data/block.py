"""`DataBlock`: a description of a data set, as blocks (what goes in, what comes out), from which datasets and loaders are made."""
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from warnings import warn

from ..core.arguments import refuse_class
from ..core.items import L
from ..core.keywords import KnowsKeywords, knows_keywords
from ..core.messages import describe, plural, reject_unknown
from ..core.paths import Path
from ..core.recipe import Optional, Recipe
from ..core.types import LossFunc, PathLike, Splits
from .categories import Categorize, MultiCategorize, RegressionSetup
from .datasets import Datasets
from .files import empty_class_folders
from .labels import parent_label
from .loader_args import LOADER_KEYWORDS, check_dataloaders_keywords
from .one_hot import EncodedMultiCategorize, OneHotEncode
from .pipeline import as_list, as_transform
from .show import print_summary
from .splitters import GrandparentSplitter, RandomSplitter, check_splits
from .transforms import ItemTransform, Transform

if TYPE_CHECKING:
    import torch

    from .dataloader import DataLoader
    from .loaders import DataLoaders



@dataclass
class TransformBlock(KnowsKeywords):
    """One element of a sample: how to make it, transform it and show it.

    Args:
        type_tfms: transforms from what the getter returns to the element.
        item_tfms: transforms of samples that this kind of element needs.
        batch_tfms: transforms of batches that this kind of element needs.
        loss_func: the loss that belongs to it as a target.
        show: `show(value, ctx=None, **kwargs)` draws a decoded value and returns the axes; None: `plots.show_item`.
        dl_type: the loader class it needs.
        dls_kwargs: arguments for the loaders.
        tta: as a target, how `Learner.tta` merges predictions: `tta(learn, ds_idx, dl, n, beta, use_max)`; None: it averages them.
        getter: `getter(given)` is the function of an item to get the element with, where `given` is that of the `DataBlock` (None: it has
            none; the item itself); None: that one.
    """

    type_tfms: Any = None
    item_tfms: Any = None
    batch_tfms: Any = None
    loss_func: LossFunc | None = None
    show: Callable | None = None
    dl_type: "type[DataLoader] | None" = None
    dls_kwargs: dict[str, Any] = field(default_factory=dict)
    tta: Callable | None = None
    getter: Callable | None = None

    def __post_init__(self) -> None:
        self.type_tfms, self.item_tfms, self.batch_tfms = map(as_list, (self.type_tfms, self.item_tfms, self.batch_tfms))
        self.dls_kwargs = dict(self.dls_kwargs or {})
        if self.show is not None and not callable(self.show):
            raise TypeError(f"TransformBlock(show=...) takes a function of (value, ctx); received {describe(self.show)}")

    def template(self) -> Recipe:
        "How to make a block that shows elements as this one does."
        return Recipe(TransformBlock, {"show": Optional(self.show, True), "tta": Optional(self.tta, True)})


TransformBlock.__init__ = knows_keywords(TransformBlock.__init__)  # type: ignore[method-assign]  # `@dataclass` has just made it


@knows_keywords
def CategoryBlock(vocab: Iterable | None = None, sort: bool = True, add_na: bool = False) -> TransformBlock:
    """A single class label.

    Args:
        vocab: the classes in their order; None: the labels of the training items.
        sort: sort the labels of the training items; False: in order of appearance.
        add_na: class 0 is `'#na#'` and stands for anything unknown.
    """
    return TransformBlock(type_tfms=[Categorize(vocab=vocab, sort=sort, add_na=add_na)])


@knows_keywords
def MultiCategoryBlock(encoded: bool = False, vocab: Iterable | None = None, add_na: bool = False) -> TransformBlock:
    """Several class labels per item.

    Args:
        encoded: the labels are given as one 0 or 1 for each class of `vocab`; False: as a list of labels.
        vocab: the classes in their order; None: the sorted labels of the training items, if encoded the names of the columns.
        add_na: class 0 is `'#na#'` and stands for anything unknown.
    """
    if encoded:
        return TransformBlock(type_tfms=[EncodedMultiCategorize(vocab=vocab)])
    return TransformBlock(type_tfms=[MultiCategorize(vocab=vocab, add_na=add_na), OneHotEncode()])


@knows_keywords
def RegressionBlock(n_out: int | None = None) -> TransformBlock:
    """One number per item, or a list of numbers.

    Args:
        n_out: how many numbers; None: as many as the training items have.
    """
    return TransformBlock(type_tfms=[RegressionSetup(c=n_out)])


def _as_block(block: Any, i: int) -> TransformBlock:
    made = block if isinstance(block, TransformBlock) or not callable(block) else block()
    if not isinstance(made, TransformBlock):
        raise TypeError(f"blocks[{i}] must be a TransformBlock, such as ImageBlock or CategoryBlock(); received {describe(block)}")
    return made


def _kind_of(tfm: Any) -> Any:
    "What decides whether a later transform replaces an earlier one: its class, or the function it wraps."
    tfm = as_transform(tfm)
    if type(tfm) in (Transform, ItemTransform):
        return getattr(tfm.encodes, "__func__", tfm.encodes)
    return type(tfm), type(getattr(tfm, "transform", None))         # of a wrapped torchvision transform, its class counts too


def merge_tfms(*lists: Any) -> list[Transform]:
    "The transforms of all `lists`; one of a later list takes the place of those of its class in the earlier ones."
    merged: list[Transform] = []
    for tfms in lists:
        new = [as_transform(f) for f in as_list(tfms)]
        kinds = [_kind_of(f) for f in new]
        merged = [f for f in merged if _kind_of(f) not in kinds] + new
    return merged


def _fresh(tfm: Any) -> Any:
    "A copy of a transform that learns from the data, so that one `DataBlock` can be used for several sources: each gets its own classes."
    return copy(tfm) if isinstance(tfm, Transform) and tfm.has_setup else tfm


def _zipped_columns(get_items: Callable | None, source: Any) -> L:
    "`get_items` of `DataBlock.from_columns`: equally long columns to a list of rows."
    columns = source if get_items is None else get_items(source)
    lengths = [len(c) for c in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"from_columns: the columns must be equally long; received lengths {lengths}")
    return L(zip(*columns, strict=True))


class DataBlock:
    """How to get items from a source, split and label them, and make samples and batches of them.

    Args:
        blocks: one `TransformBlock` (or a function that makes one) per element of a sample; default: two that do nothing.
        dl_type: the loader class; default: what the blocks ask for.
        getters: one function of an item per block, instead of `get_x` and `get_y`; None in it: the item itself.
        n_inp: how many blocks are inputs; default: all but the last.
        item_tfms: transforms of samples besides those of the blocks; one of the same class replaces theirs.
        batch_tfms: transforms of batches, likewise.
        get_items: source -> items; default: the source is the items.
        splitter: items -> (training indices, validation indices); default `RandomSplitter()`.
        get_x: item -> input: a function, or a list with one per input.
        get_y: item -> target: a function, or a list with one per target.
        **unknown: refused, with the name that may have been meant.

    Raises:
        TypeError: something that must be a block or a function is not one.
        ValueError: the numbers of blocks, inputs and functions do not fit.
    """

    def __init__(self, blocks: Any = None, dl_type: "type[DataLoader] | None" = None, getters: Sequence[Callable | None] | None = None,
                 n_inp: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, get_items: Callable | None = None,
                 splitter: Callable | None = None, get_x: Callable | Sequence[Callable | None] | None = None,
                 get_y: Callable | Sequence[Callable | None] | None = None, **unknown: Any):
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
            refuse_class(f"DataBlock({name}=...)", f)
        self.get_items, self.splitter = get_items, RandomSplitter() if splitter is None else splitter
        self.getters = [g if b.getter is None else b.getter(g)
                        for g, b in zip(self._all_getters(getters, get_x, get_y), self.blocks, strict=True)]
        self.dl_type = dl_type if dl_type is not None else next((b.dl_type for b in self.blocks if b.dl_type is not None), None)
        self.new_item_tfms, self.new_batch_tfms = as_list(item_tfms), as_list(batch_tfms)
        self.item_tfms = merge_tfms(*(b.item_tfms for b in self.blocks), item_tfms)
        self.batch_tfms = merge_tfms(*(b.batch_tfms for b in self.blocks), batch_tfms)

    def _all_getters(self, getters: Any, get_x: Any, get_y: Any) -> list[Callable | None]:
        n, n_inp = len(self.blocks), self.n_inp
        found: list[Callable | None] = [None] * n
        for name, given, part, what in (("getters", getters, slice(0, n), "blocks"), ("get_x", get_x, slice(0, n_inp), "inputs"),
                                        ("get_y", get_y, slice(n_inp, n), "targets")):
            fs = found[part] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
            if len(fs) != len(found[part]):
                raise ValueError(f"DataBlock({name}=...): received {plural(len(fs), 'function')} for {len(found[part])} {what} "
                                 f"({plural(n, 'block')}, n_inp={n_inp}); give one for each, in a list")
            for f in fs:
                if f is not None and not callable(f):
                    raise TypeError(f"DataBlock({name}=...) takes functions of an item; received {describe(f)}")
                refuse_class(f"DataBlock({name}=...)", f)
            found[part] = fs
        return found

    @classmethod
    def from_columns(cls, blocks: Any = None, getters: Sequence[Callable | None] | None = None, get_items: Callable | None = None,
                     **kwargs: Any) -> "DataBlock":
        """A `DataBlock` whose source (or what `get_items` makes of it) is a list of equally long columns, one per block.

        Args:
            blocks: as for `DataBlock`.
            getters: one function of a value of its column per block; None in it: the value itself.
            get_items: source -> columns.
            **kwargs: the other arguments of `DataBlock`.
        """
        blocks = [TransformBlock, TransformBlock] if blocks is None else blocks if isinstance(blocks, (list, tuple)) else [blocks]
        columns = [_Column(i, g) for i, g in enumerate([None] * len(blocks) if getters is None else getters)]
        return cls(blocks=blocks, getters=columns, get_items=partial(_zipped_columns, get_items), **kwargs)

    def new(self, item_tfms: Any = None, batch_tfms: Any = None) -> "DataBlock":
        """The same with other transforms; as random splitters are seeded, with the same validation items.

        Args:
            item_tfms: instead of those given to this one; None: the same.
            batch_tfms: instead of those given to this one; None: the same.
        """
        return DataBlock(self.blocks, self.dl_type, self.getters, self.n_inp, self.new_item_tfms if item_tfms is None else item_tfms,
                         self.new_batch_tfms if batch_tfms is None else batch_tfms, self.get_items, self.splitter)

    # -- from the source to datasets and loaders --------------------------------------------------------------------------------
    def items_of(self, source: Any) -> Any:
        """The items of a source.

        Args:
            source: what `get_items` takes, or the items.

        Raises:
            ValueError: there are none.
        """
        if self.get_items is None and isinstance(source, (str, Path)):
            raise TypeError(f"the source {str(source)!r} is a path, and this DataBlock has no get_items that makes items of it: "
                            "write DataBlock(get_items=get_image_files, ...)")
        items = source if self.get_items is None else self.get_items(source)
        if not hasattr(items, "__len__"):
            items = L(items)
        if not len(items):
            how = "the source holds" if self.get_items is None else f"get_items={_name(self.get_items)} found"
            raise ValueError(f"{how} no items{'' if self.get_items is None else f' in {source!r}'}: is the folder right, and the file "
                             "endings?")
        return items

    def splits_of(self, items: Any) -> list[L]:
        """The indices of each split, training first.

        Args:
            items: what `items_of` returned.
        """
        return check_splits(self.splitter(items), len(items), f"the splitter {_name(self.splitter)}", items)

    def datasets_of(self, items: Any, splits: Splits) -> Datasets:
        """`Datasets` of items that are there already.

        Args:
            items: what `items_of` returned.
            splits: what `splits_of` returned.
        """
        tfms = [([] if g is None else [g]) + [_fresh(f) for f in b.type_tfms] for g, b in zip(self.getters, self.blocks, strict=True)]
        return Datasets(items, tfms, splits=splits, n_inp=self.n_inp, blocks=self.blocks)

    def datasets(self, source: Any, verbose: bool = False) -> Datasets:
        """`Datasets` of the items of a source.

        Args:
            source: what `get_items` takes, or the items.
            verbose: print how many items there are.
        """
        items = self.items_of(source)
        splits = self.splits_of(items)
        if any(getter is parent_label for getter in self.getters):
            self._check_class_folders([items[i] for split in splits for i in split])
        ds = self.datasets_of(items, splits)
        if verbose:
            print(f"{ds.sizes}, split by {_name(self.splitter)}")
        return ds

    def _check_class_folders(self, files):
        "Warn of folders beside those of the `files`, each of which is a class, that are empty."
        named = {str(o) for b in self.blocks for f in b.type_tfms for o in getattr(f, "vocab", None) or ()}
        empty = empty_class_folders(files, isinstance(self.splitter, GrandparentSplitter))
        if empty := [folder for folder in empty if not named or Path(folder).name in named]:
            names = [*map(repr, empty[:5]), *([f"{len(empty) - 5:,} more"] if len(empty) > 5 else [])]
            warn(f"no file for training or validation lies in {', '.join(names)}, beside the folders of the classes. Put files there, or "
                 "remove what is no class", stacklevel=4)

    def dataloaders(self, source: Any, path: PathLike = ".", verbose: bool = False, bs: int | None = None, val_bs: int | None = None,
                    shuffle: bool | None = None, device: "str | torch.device | None" = None, num_workers: int | None = None,
                    seed: int | None = None, drop_last: bool | None = None, dl_type: "type[DataLoader] | None" = None,
                    **kwargs: Any) -> "DataLoaders":
        """`DataLoaders` of the items of a source.

        Args:
            source: what `get_items` takes, or the items.
            path: a folder that belongs to the data: `dls.path`. A learner writes to its own `path`.
            verbose: print how many items there are.
            bs: batch size; default 64, unless a block says otherwise.
            val_bs: batch size for validation; default `bs`.
            shuffle: the training items, in another order each epoch; default True, unless a block says otherwise.
            device: where the batches go; default: the best there is.
            num_workers: workers that make samples, 0 for none; default: as many as suit the machine and the transforms.
            seed: of the order and the random transforms; None: another each time.
            drop_last: leave out an incomplete last batch of training; default True.
            dl_type: the loader class; default: that of this `DataBlock`.
            **kwargs: as for `DataLoaders.from_dsets`, such as `val_num_workers=`.
        """
        self._check_keywords("dataloaders", kwargs, dl_type)
        return self._loaders(self.datasets(source, verbose), "dataloaders", kwargs, path=path, bs=bs, val_bs=val_bs, shuffle=shuffle,
                             device=device, num_workers=num_workers, seed=seed, drop_last=drop_last, dl_type=dl_type, verbose=verbose)

    def weighted_dataloaders(self, source: Any, wgts: Sequence[float], bs: int = 64, **kwargs: Any) -> "DataLoaders":
        """`dataloaders` whose training items are drawn with replacement.

        Args:
            source: what `get_items` takes, or the items.
            wgts: one weight per item (or training item), proportional to its probability.
            bs: batch size.
            **kwargs: as for `dataloaders`.
        """
        self._check_keywords("weighted_dataloaders", kwargs)
        return self._loaders(self.datasets(source), "weighted_dataloaders", kwargs, wgts=wgts, bs=bs)

    def partial_dataloaders(self, source: Any, partial_n: int, bs: int = 64, **kwargs: Any) -> "DataLoaders":
        """`dataloaders` that train on a part of the items in each epoch, another each time.

        Args:
            source: what `get_items` takes, or the items.
            partial_n: items per epoch.
            bs: batch size.
            **kwargs: as for `dataloaders`.
        """
        self._check_keywords("partial_dataloaders", kwargs)
        return self._loaders(self.datasets(source), "partial_dataloaders", kwargs, partial_n=partial_n, bs=bs)

    def _check_keywords(self, method: str, kwargs: dict[str, Any], dl_type: Any = None) -> None:
        "Refuse keywords that the method does not take, before any data are looked at."
        for name in ("item_tfms", "batch_tfms"):
            if name in kwargs:
                raise TypeError(f"{method}() does not take {name}: give them to the DataBlock, `DataBlock({name}=...)` or "
                                f"`dblock.new({name}=...)`")
        for name in DATABLOCK_KEYWORDS:
            if name in kwargs and name not in LOADER_KEYWORDS:
                raise TypeError(f"{method}() does not take {name}: it belongs to the DataBlock, `DataBlock({name}=...)`")
        own = getattr(dl_type or kwargs.get("dl_type") or self.dl_type, "own_keywords", ())
        check_dataloaders_keywords(kwargs, f"{method}(...)", ("dl_type", "path", *own))

    def _loaders(self, datasets: Datasets, method: str, kwargs: dict[str, Any], **named: Any) -> "DataLoaders":
        from_blocks = {k: v for b in self.blocks for k, v in b.dls_kwargs.items()}
        given = {**from_blocks, **kwargs, **{k: v for k, v in named.items() if v is not None or k not in from_blocks}}
        given = {k: v for k, v in given.items() if v is not None or k not in ("bs", "shuffle")}
        after_item = merge_tfms([_fresh(f) for f in self.item_tfms], given.pop("after_item", None))
        after_batch = merge_tfms([_fresh(f) for f in self.batch_tfms], given.pop("after_batch", None))
        given["dl_type"] = given.get("dl_type") or self.dl_type
        return getattr(datasets, method)(**given, after_item=after_item, after_batch=after_batch)

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def summary(self, source: Any, bs: int = 4, show_batch: bool = False) -> None:
        """Print what happens to the first training item, step by step, and to a batch.

        Where a step fails, it is named with its item, and the error is raised.

        Args:
            source: what `get_items` takes, or the items.
            bs: items of the batch.
            show_batch: draw the batch too.
        """
        try:
            dls = print_summary(self, source, bs)
        except Exception as e:
            print(f"  FAILED: {type(e).__name__}: {e}")
            raise
        if show_batch:
            dls.show_batch(max_n=bs)

    def __repr__(self) -> str:
        return f"DataBlock: {plural(len(self.blocks), 'block')} ({plural(self.n_inp, 'input')}), split by {_name(self.splitter)}"


class _Column:
    "The getter of one column of zipped columns, and what is made of its value."

    def __init__(self, i: int, getter: Callable | None):
        self.i, self.getter = i, getter

    def __call__(self, o: Sequence) -> Any:
        return o[self.i] if self.getter is None else self.getter(o[self.i])

    @property
    def __name__(self) -> str:
        return f"column {self.i}" + ("" if self.getter is None else f" -> {_name(self.getter)}")


def _name(f: Any) -> str:
    return getattr(f, "__name__", None) or repr(f)


#: The arguments of `DataBlock`.
DATABLOCK_KEYWORDS = ("blocks", "dl_type", "getters", "n_inp", "item_tfms", "batch_tfms", "get_items", "splitter", "get_x", "get_y")
