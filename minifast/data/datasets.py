"""`TfmdLists` and `Datasets`: items seen through pipelines of transforms, split into training and validation sets."""
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.items import L
from ..core.messages import add_note, describe, plural
from ..core.plots import show_item
from ..core.recipe import Nearest, Optional, Recipe
from ..core.types import LossFunc, Splits
from ..core.utilities import listify
from .ahead import Ahead, all_ahead, next_ahead
from .categories import last_vocab
from .engine.samplers import PartialSampler, WeightedSampler
from .pipeline import Mapped, Pipeline, as_list
from .rows import Rows, as_items, type_of
from .splitters import check_splits
from .template import NoRows, example_of
from .transforms import ItemTransform, Transform

if TYPE_CHECKING:
    from .block import TransformBlock
    from .dataloader import DataLoader
    from .loaders import DataLoaders


_MANY = 64          # new items, from which on they are made at once, where a transform can


def _element_pipeline(tfms: Any) -> Pipeline:
    """The pipeline from an item to one element of the sample. A plain function that comes first gets the item whole, also if it is a
    tuple."""
    tfms = as_list(tfms)
    if tfms and callable(tfms[0]) and not isinstance(tfms[0], (Transform, type)):
        tfms[0] = ItemTransform(tfms[0])
    return Pipeline(tfms)


def _c_of(pipeline: Pipeline) -> int | None:
    found = next((c for t in reversed(pipeline.fs) if isinstance(c := getattr(t, "c", None), int)), None)
    vocab = last_vocab(pipeline.fs)
    return found if found is not None or vocab is None else len(vocab)


class _Split:
    "What `TfmdLists` and `Datasets` share: items, their splits, and the pipelines, seen from one split or from all."

    rows: Rows                              #: the items as a sequence, whatever holds them
    splits: list[L] | None                  #: the indices of each split, training first
    split_idx: int | None                   #: which transforms apply, see `Transform`
    pipelines: list[Pipeline]               #: the pipeline of each element of a sample
    n_inp: int | None = None                #: how many elements are inputs, the others are targets; None: not told apart
    blocks: "Sequence[TransformBlock] | None" = None        #: the blocks that the elements come from, if any
    dl_type: "type[DataLoader] | None" = None                   #: the class of its loaders; None: what is asked for
    ahead: dict[int, Ahead]                 #: of each element that was made of all items at once, when the transforms were set up
    labelled: bool = True                   #: whether the samples have targets
    is_template: bool = False               #: whether it has no items, see `template`
    batch_kinds: Any = None                 #: of a template, see `DataLoader.kinds`

    def __init__(self, items: Any, pipes: list[Pipeline], splits: Splits | None, split_idx: int | None, setup: bool, train_setup: bool):
        self.rows = Rows(items)
        if not len(self.rows):
            raise ValueError(f"{type(self).__name__} received no items. Look at what get_items returns: is the folder right, and the "
                             "file endings?")
        self.splits = None if splits is None else check_splits(splits, len(self.rows), "the splits", self.rows.source)
        self.split_idx = split_idx
        self.pipelines = [p.new(split_idx) for p in pipes]
        self.ahead = {}
        if setup:
            self._setup(self.splits[0] if self.splits is not None and train_setup else None)

    def _setup(self, train_indices: L | None) -> None:
        """Let every transform that wants to learn from the training items; the labels of the other splits are then checked, because a
        bad one would otherwise only show when it is reached."""
        train = self.rows if train_indices is None else self.rows.at(train_indices)
        others = [] if train_indices is None else [self.rows.at(s) for s in self.splits[1:]]
        for k, pipe in enumerate(p.new(1) for p in self.pipelines):
            made = None
            for i, f in enumerate(pipe.fs):
                source, done = (train, 0) if made is None else (made.at(train_indices, 1).values, made.done)
                f.setup(Mapped(source, Pipeline(pipe.fs[done:i], 1)) if done < i else source)
                made = next_ahead(made, self.rows, pipe, i)
                check = getattr(f, "check_items", None)
                for n, rows in enumerate(others if check is not None else (), 1):
                    source, done = (rows, 0) if made is None or made.done > i else (made.at(self.splits[n], 1).values, made.done)
                    check(Mapped(source, Pipeline(pipe.fs[done:i], 1)), "the validation set")
            if made is not None:
                self.ahead[k] = made.at(None, self.split_idx)

    def _copy(self, rows: Rows, split_idx: int | None, **changes: Any) -> Any:
        new = copy(self)
        ahead = {k: a.at(None, split_idx) for k, a in self.ahead.items()} if rows is self.rows else {}
        vars(new).update({"ahead": ahead, "rows": rows, "split_idx": split_idx, "splits": None,
                          "is_template": self.is_template and rows is self.rows, "pipelines": [p.new(split_idx) for p in self.pipelines],
                          **changes})
        return new

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "input_types"}         # a copy has other items or transforms

    @cached_property
    def input_types(self) -> list[list[type]]:
        "For each input the types of a training item and of what each step of its pipeline makes of it; an item is opened for it once."
        if isinstance(self.rows, NoRows):
            return self.rows.types
        return [types_along(p, self.rows) for p in self.pipelines[:self.n_inp or 1]]

    @property
    def items(self) -> Any:
        "The items, in the container they came in."
        return self.rows.source

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_subsets(self) -> int:
        "How many splits there are; 1 without splits."
        return 1 if self.splits is None else len(self.splits)

    def subset(self, i: int) -> Any:
        "Split `i` as a dataset of its own: 0 is for training, the others for validation."
        if self.splits is None:
            if i == 0:
                return self._copy(self.rows, 0)
            raise IndexError(f"this {type(self).__name__} has no splits, so there is no subset {i}; give splits=(train indices, "
                             "validation indices)")
        if not -len(self.splits) <= i < len(self.splits):
            raise IndexError(f"there is no subset {i}: there are {plural(len(self.splits), 'split')}")
        i %= len(self.splits)
        ahead = {k: a.at(self.splits[i], min(i, 1)) for k, a in self.ahead.items()}
        return self._copy(self.rows.at(self.splits[i]), min(i, 1), ahead=ahead)

    @property
    def train(self) -> Any:
        "The training set."
        return self.subset(0)

    @property
    def valid(self) -> Any:
        "The validation set."
        return self.subset(1)

    def template(self, kinds: Any = None) -> Recipe:
        "How to make a dataset with the transforms of this one for validation, and without items. kinds: see `DataLoader.kinds`."
        rows, n_inp = self.rows, self.n_inp
        if isinstance(rows, NoRows):
            example, columns = rows.example, rows.columns
        else:
            example, columns = example_of(rows[0]), list(rows.source.columns) if hasattr(rows.source, "columns") else None
        blocks = None if self.blocks is None else [b.template() for b in self.blocks]
        return Recipe(empty_datasets, {
            "pipelines": [_pipeline_recipe(p, i < (n_inp or 1)) for i, p in enumerate(self.pipelines)],
            "types": [[Nearest(t) for t in ts] for ts in self.input_types],
            "example": example, "columns": columns, "n_inp": n_inp, "blocks": blocks, "kinds": kinds})

    def with_split_idx(self, split_idx: int | None) -> Any:
        "The same items with the transforms meant for training (0) or validation (1) items."
        return self._copy(self.rows, split_idx, splits=self.splits)

    @property
    def sizes(self) -> str:
        "What to call the items in a message: `12 items (10 training, 2 validation)`."
        names = ["training", "validation", *(f"split {i}" for i in range(2, self.n_subsets))]
        parts = [f"{len(s)} {name}" for s, name in zip(self.splits or (), names, strict=False)]
        return plural(len(self), "item") + (f" ({', '.join(parts)})" if parts else "")

    def item_name(self, i: int) -> str:
        "What to call item `i` in a message: its file or row."
        return self.rows.item_name(i)

    def _fetch(self, i: int, rng: np.random.Generator | None) -> Any:
        if self.ahead:
            return self.ahead[0].rest(self.ahead[0].values[i], rng)
        return self.pipelines[0](self.rows.get(i), rng)

    def sample(self, i: int, rng: np.random.Generator | None = None) -> Any:
        "`ds[i]`, random transforms drawing from the numpy generator `rng`; an error names the item."
        try:
            return self._fetch(i, rng)
        except Exception as e:
            add_note(e, f"while making the sample of {self._name_if_possible(i)}")
            raise

    def _name_if_possible(self, i: int) -> str:
        try:
            return self.item_name(i)
        except Exception:                           # the item itself cannot be read: its number is all there is to say
            return f"item {i}"

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            i = range(len(self))[i]
        if isinstance(i, (list, tuple, range)) or getattr(i, "ndim", False):
            return L((self.sample(j) for j in L.range(self)[list(i) if isinstance(i, range) else i]), use_list=True)
        i = i.__index__()
        if not -len(self) <= i < len(self):
            raise IndexError(f"item {i} of {plural(len(self), 'item')}")
        return self.sample(i % len(self))

    def __iter__(self) -> Iterator:
        return (self.sample(i) for i in range(len(self)))

    @property
    def pipelines_in_use(self) -> list[Pipeline]:
        "The pipelines that samples are made with: without labels, those of the inputs."
        return self.pipelines if self.labelled else self.pipelines[:self.n_inp]

    def idle(self, i: int = 0, rng: np.random.Generator | None = None) -> list[Transform]:
        "The transforms that apply to nothing in item `i`."
        return [f for pipe in self.pipelines_in_use for f in pipe.idle(self.rows[i], rng)]

    @property
    def vocab(self) -> Any:
        "The classes of the target; a list of vocabularies when there are several."
        found = [v for v in map(last_vocab, self.pipelines) if v is not None]
        return found[0] if len(found) == 1 else found or None

    @property
    def c(self) -> int | list[int] | None:
        "How many outputs the target asks for: classes, or numbers to predict; a list where several targets say so."
        found = [c for c in map(_c_of, self.pipelines[self.n_inp:]) if c is not None]
        return found[0] if len(found) == 1 else found or None

    @property
    def loss_func(self) -> LossFunc | None:
        "The loss of the last target that has one: its block's, or that of the last of its transforms that has one."
        targets = zip(self.blocks or [None] * len(self.pipelines), self.pipelines, strict=True)
        found = [getattr(o, "loss_func", None) for block, pipe in list(targets)[self.n_inp:] for o in [*pipe, block]]
        return next((loss for loss in reversed(found) if loss is not None), None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.sizes}\n" + "\n".join(map(repr, self.pipelines))

    def dataloaders(self, bs: int = 64, **kwargs: Any) -> "DataLoaders":
        "`DataLoaders` of the splits; takes what `DataLoaders.from_dsets` takes, such as `after_item` and `after_batch` transforms."
        from .loaders import DataLoaders
        kwargs["dl_type"] = kwargs.get("dl_type") or self.dl_type
        return DataLoaders.from_dsets(*(self.subset(i) for i in range(self.n_subsets)), bs=bs, **kwargs)

    def weighted_dataloaders(self, wgts: Sequence[float], bs: int = 64, **kwargs: Any) -> "DataLoaders":
        "`dataloaders` whose training items are drawn with replacement, with probabilities proportional to `wgts` (one per item)."
        if len(wgts) not in (len(self), len(self.train)):
            raise ValueError(f"weighted_dataloaders: wgts needs one weight per item: received {len(wgts)} for {plural(len(self), 'item')}")
        if len(wgts) == len(self) and self.splits is not None:
            wgts = [wgts[i] for i in self.splits[0]] if not hasattr(wgts, "iloc") else wgts.iloc[list(self.splits[0])]
        return self.dataloaders(bs=bs, sampler=WeightedSampler(wgts), **kwargs)

    def partial_dataloaders(self, partial_n: int, bs: int = 64, **kwargs: Any) -> "DataLoaders":
        "`dataloaders` that train on `partial_n` items an epoch, others each time."
        return self.dataloaders(bs=bs, sampler=PartialSampler(len(self.train), partial_n), **kwargs)


class TfmdLists(_Split):
    """`items` seen through one pipeline: `tl[i]` is `tfms` applied to item `i`.

    Args:
        items: a list, array or DataFrame (of rows).
        tfms: a transform or function, or a list of them.
        splits: a list of lists of indices, training first; `tl.train` and `tl.valid` are those parts. None: one set of all items.
        split_idx: which of the transforms apply, as in `Transform`.
        do_setup: let the transforms learn from the training items.
        train_setup: False: they learn from all items.
        dl_type: the class of the loaders.
    """

    def __init__(self, items: Any, tfms: Any, splits: Splits | None = None, split_idx: int | None = None, do_setup: bool = True,
                 train_setup: bool = True, dl_type: "type[DataLoader] | None" = None):
        self.dl_type = dl_type
        super().__init__(items, [_element_pipeline(tfms)], splits, split_idx, do_setup, train_setup)

    @property
    def tfms(self) -> Pipeline:
        "The pipeline."
        return self.pipelines[0]

    def decode(self, sample: Any) -> Any:
        "Undo the transforms."
        return self.tfms.decode(sample)

    def show(self, sample: Any, ctx: Any = None, **kwargs: Any) -> Any:
        "Draw the decoded `sample`."
        return show_item(self.decode(sample), ctx=ctx, **kwargs)

    def infer(self, x: Any) -> Any:
        "The pipeline applied to `x`, from the step on where something of its type goes in."
        return _infer(self.tfms, self.input_types[0], x)

    def test_set(self, items: Any, with_labels: bool | None = False) -> "TfmdLists":
        "The same transforms, as for validation, for other items."
        rows = Rows(as_items(items, self.rows))
        return self._copy(rows, 1, ahead=all_ahead([self.pipelines[0].new(1)], rows) if len(rows) >= _MANY else {})


class Datasets(_Split):
    """`items` seen through several pipelines: `ds[i]` is a tuple with one element per list in `tfms`.

    Args:
        items: a list, array or DataFrame (of rows).
        tfms: one list of transforms or functions per element of a sample, which may be one function; one function: a single element.
        splits: a list of lists of indices, training first; None: one set of all items.
        n_inp: how many of the elements are inputs of the model, the others are targets; default: all but the last.
        do_setup: let the transforms learn from the training items.
        blocks: the `TransformBlock`s that the elements come from, if any.
        split_idx: which of the transforms apply, as in `Transform`.
        dl_type: the class of the loaders.
    """

    def __init__(self, items: Any, tfms: Sequence | Callable | None = None, splits: Splits | None = None, n_inp: int | None = None,
                 do_setup: bool = True, blocks: "Sequence[TransformBlock] | None" = None, split_idx: int | None = None,
                 dl_type: "type[DataLoader] | None" = None):
        self.dl_type = dl_type
        tfms = [tfms] if tfms is None or callable(tfms) else tfms
        if not isinstance(tfms, (list, tuple)):
            raise TypeError(f"Datasets(tfms=...) takes a list with one list of transforms per element of the sample; received "
                            f"{describe(tfms)}")
        pipes = [_element_pipeline(t) for t in tfms]
        if n_inp is not None and not 0 < n_inp <= len(pipes):
            raise ValueError(f"Datasets(n_inp={n_inp}): a sample has {plural(len(pipes), 'element')}, of which 1 to {len(pipes)} can be "
                             "inputs")
        self.n_inp = max(1, len(pipes) - 1) if n_inp is None else n_inp
        self.blocks = blocks
        super().__init__(items, pipes, splits, split_idx, do_setup, True)

    @property
    def tfms(self) -> L:
        "The pipeline of each element."
        return L(self.pipelines)

    @property
    def tls(self) -> L:
        "Each element as a `TfmdLists` of its own: the same items through one of the pipelines."
        return L(TfmdLists(self.items, p.fs, self.splits, self.split_idx, do_setup=False) for p in self.pipelines)

    def _fetch(self, i: int, rng: np.random.Generator | None) -> tuple:
        item, made = None if len(self.ahead) == len(self.pipelines_in_use) else self.rows.get(i), []
        for k, pipe in enumerate(self.pipelines_in_use):
            try:
                ahead = self.ahead.get(k)
                made.append(pipe(item, rng) if ahead is None else ahead.rest(ahead.values[i], rng))
            except Exception as e:
                add_note(e, f"while making {'input' if k < self.n_inp else 'target'} {k} of {len(self.pipelines)}")
                raise
        return tuple(made)

    def targets(self, i: int) -> tuple:
        "The targets of item `i`, without its inputs; an error names the item."
        if not self.labelled:
            return ()
        try:
            made = [self.ahead.get(k) for k in range(self.n_inp, len(self.pipelines))]
            return tuple(p(self.rows.get(i)) if a is None else a.rest(a.values[i])
                         for p, a in zip(self.pipelines[self.n_inp:], made, strict=True))
        except Exception as e:
            add_note(e, f"while making a target of {self._name_if_possible(i)}")
            raise

    def decode(self, sample: Sequence) -> tuple:
        "Undo the transforms of each element (fewer elements: the first ones)."
        return tuple(pipe.decode(o) for o, pipe in zip(sample, self.pipelines, strict=False))

    def show(self, sample: Sequence, ctx: Any = None, **kwargs: Any) -> Any:
        "Draw the decoded `sample`, one element after the other, onto `ctx`."
        return self.show_decoded(self.decode(sample), ctx, **kwargs)

    def show_decoded(self, sample: Sequence, ctx: Any = None, **kwargs: Any) -> Any:
        "Draw a sample that is decoded already."
        for k, value in enumerate(sample):
            show = getattr(self.blocks[k] if self.blocks is not None else None, "show", None) or show_item
            ctx = show(value, ctx=ctx, **kwargs)
        return ctx

    def infer(self, x: Any) -> tuple:
        "The inputs made from `x`, each pipeline from the step on where something of its type goes in."
        return tuple(_infer(p, types, x) for p, types in zip(self.pipelines, self.input_types, strict=False))

    def _items_of(self, items: Any) -> Any:
        "The items in what a user gives: as the transform that reads them says, if it has a method `items_of`."
        reader = getattr(self.pipelines[0].fs[0], "items_of", None) if len(self.pipelines[0]) else None
        return as_items(items, self.rows) if reader is None else reader(items)

    def test_set(self, items: Any, with_labels: bool | None = False) -> "Datasets":
        "The same transforms, as for validation, for other items, with labels or without."
        rows = Rows(self._items_of(items))
        if with_labels:
            return self._copy(rows, 1, labelled=True, ahead=all_ahead(self.pipelines[:self.n_inp], rows) if len(rows) >= _MANY else {})
        # the pipelines of inputs start at the step where something of the type of these items goes in; of a mixed list, where all can
        kinds = [rows[i] for i in rows.first_of_each_type()]
        inputs = []
        for p, types in zip(self.pipelines, self.input_types, strict=False):
            inputs.append(Pipeline(p.fs[min((_entry(types, x) for x in kinds), default=0):], 1))
        ahead = all_ahead(inputs, rows) if len(rows) >= _MANY else {}
        return self._copy(rows, 1, labelled=False, pipelines=inputs + [p.new(1) for p in self.pipelines[self.n_inp:]], ahead=ahead)


def test_set(dsets: TfmdLists | Datasets, test_items: Any, rm_tfms: int | Sequence[int] | None = None,
             with_labels: bool = False) -> Any:
    """Other items through the transforms of a dataset, as for validation.

    Args:
        dsets: a `TfmdLists` or `Datasets`.
        test_items: a list, array or DataFrame (of rows).
        rm_tfms: how many of the first transforms of each input to leave out; default: those that do not take such items.
        with_labels: the items have labels.
    """
    if not isinstance(dsets, _Split):
        raise TypeError(f"test_set takes a TfmdLists or Datasets; received {describe(dsets)}. Of loaders write dls.test_dl(items)")
    made = dsets.test_set(test_items, with_labels)
    if rm_tfms is None:
        return made
    n_inp = dsets.n_inp or 1
    inputs = [Pipeline(p.fs[n:], 1) for p, n in zip(dsets.pipelines, listify(rm_tfms, match=n_inp), strict=False)]
    return made._copy(made.rows, 1, pipelines=inputs + made.pipelines[n_inp:])


test_set.__test__ = False  # type: ignore[attr-defined]  # pytest does not take it for a test where a star import brings it


def decode_at(o: Any, idx: int) -> Any:
    """One item of a dataset, decoded.

    Args:
        o: a `TfmdLists` or `Datasets`.
        idx: index of the item.
    """
    return o.decode(o[idx])


def types_along(pipe: Pipeline, rows: Rows) -> list[type]:
    "The types of a training item and of what each step of `pipe` makes of it."
    return [type_of(rows[0]), *(type_of(value) for _, value, _ in pipe.trace(rows[0]))]


def _entry(types: list[type], x: Any) -> int:
    """At which step of a pipeline the value `x` enters: 0 when it is of the type of a training item, else the first step after which the
    value is of the type of `x` (that step itself, where it makes a subclass of it: any PIL image becomes a `PILImage`); 0 too when
    there is none, and the first transforms may or may not be able to read it. types: see `types_along`."""
    of_item, of_x, is_path = types[0], type_of(x), isinstance(x, (str, Path))
    if isinstance(x, of_item) or issubclass(of_item, of_x) or (is_path and issubclass(of_item, (str, Path))):
        return 0
    for i, kind in enumerate(types[1:]):
        if (is_path and issubclass(kind, (str, Path))) or (isinstance(x, kind) and kind is not object):
            return i + 1
        if issubclass(kind, of_x) and of_x is not object:        # this step makes the special kind of the general one
            return i
    return 0


def _infer(pipe: Pipeline, types: list[type], x: Any) -> Any:
    return Pipeline(pipe.fs[_entry(types, x):], 1)(x)


# -- without items --------------------------------------------------------------------------------------------------------------------
def empty_datasets(pipelines: Sequence[Pipeline], types: list[list[type]], example: Any = None, columns: list | None = None,
                   n_inp: int | None = None, blocks: Any = None, kinds: Any = None) -> Any:
    """Datasets without items, for validation; without `n_inp` a `TfmdLists`.

    Args:
        pipelines: one per element of a sample.
        types: see `NoRows`.
        example: see `NoRows`.
        columns: see `NoRows`.
        n_inp: how many elements are inputs.
        blocks: the blocks that the elements come from.
        kinds: see `DataLoader.kinds`.
    """
    new = object.__new__(TfmdLists if n_inp is None else Datasets)
    new.rows, new.splits, new.split_idx, new.n_inp, new.blocks = NoRows(example, columns, types), None, 1, n_inp, blocks
    new.pipelines = [p.new(1) for p in pipelines]
    new.is_template, new.batch_kinds, new.ahead = True, kinds, {}
    return new


def _pipeline_recipe(pipe: Pipeline, of_input: bool) -> Recipe:
    "A pipeline for validation, of which a plain function that comes first is needed for some items only: those that are not read yet."
    fs: list[Any] = [g for f in pipe.fs if (g := f.at_validation()) is not None]
    if fs and type(fs[0]) in (Transform, ItemTransform) and "encodes" in vars(fs[0]) and "decodes" not in vars(fs[0]):
        fs[0] = Recipe(type(fs[0]), {"enc": Optional(fs[0].encodes, is_named=of_input), "order": fs[0].order})
    return Recipe(Pipeline, {"funcs": fs, "split_idx": 1})
