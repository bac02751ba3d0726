"""`TfmdLists` and `Datasets`: items seen through pipelines of transforms, split into training and validation sets."""
from pathlib import Path

from ..core.items import L, range_of
from ..core.messages import add_note, describe, plural
from .categories import last_vocab
from .pipeline import Mapped, Pipeline
from .rows import Rows, as_items
from .splitters import check_splits
from .transforms import ItemTransform, Transform


def _element_pipeline(tfms):
    """The pipeline from an item to one element of the sample. A plain function that comes first gets the item whole, also if it is a
    tuple."""
    if isinstance(tfms, Pipeline):
        return tfms
    tfms = [] if tfms is None else list(tfms) if isinstance(tfms, (list, tuple)) else [tfms]
    if tfms and callable(tfms[0]) and not isinstance(tfms[0], (Transform, type)):
        tfms[0] = ItemTransform(tfms[0])
    return Pipeline(tfms)


def _c_of(pipeline):
    found = next((t.c for t in reversed(pipeline.fs) if isinstance(getattr(t, "c", None), int)), None)
    vocab = last_vocab(pipeline.fs)
    return found if found is not None or vocab is None else len(vocab)


def _loss_of(pipeline):
    return next((t.loss_func for t in reversed(pipeline.fs) if getattr(t, "loss_func", None) is not None), None)


class _Split:
    "What `TfmdLists` and `Datasets` share: items, their splits, and the pipelines, seen from one split or from all."

    def _begin(self, items, pipes, splits, split_idx, setup, train_setup):
        self._rows = Rows(items)
        if not len(self._rows):
            raise ValueError(f"{type(self).__name__} received no items. Look at what get_items returns: is the folder right, and the "
                             "file endings?")
        self.splits = None if splits is None else check_splits(splits, len(self._rows), "the splits")
        self.split_idx = split_idx
        self._pipes = [p.new(split_idx) for p in pipes]
        if setup:
            self._setup(self.splits[0] if self.splits is not None and train_setup else None)

    def _setup(self, train_indices):
        """Let every transform that wants to learn from the training items; the labels of the other splits are then checked, because a
        bad one would otherwise only show when it is reached."""
        train = self._rows if train_indices is None else self._rows.at(train_indices)
        others = [] if train_indices is None else [self._rows.at(s) for s in self.splits[1:]]
        for pipe in (p.new(1) for p in self._pipes):
            if any(f.has_setup for f in pipe):
                pipe.setup(train)
            for i, f in enumerate(pipe.fs):
                for rows in others if hasattr(f, "check_items") else ():
                    f.check_items(Mapped(rows, Pipeline(pipe.fs[:i], 1)), "the validation set")

    def _copy(self, rows, split_idx, **changes):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._rows, new.split_idx, new.splits = rows, split_idx, None
        new._pipes = [p.new(split_idx) for p in self._pipes]
        new.__dict__.update(changes)
        return new

    @property
    def items(self):
        "The items, in the container they came in."
        return self._rows.source

    def __len__(self):
        return len(self._rows)

    @property
    def n_subsets(self):
        return 1 if self.splits is None else len(self.splits)

    def subset(self, i):
        "Split `i` as a dataset of its own: 0 is for training, the others for validation."
        if self.splits is None:
            if i == 0:
                return self._copy(self._rows, 0)
            raise IndexError(f"this {type(self).__name__} has no splits, so there is no subset {i}; give splits=(train indices, "
                             "validation indices)")
        if not -len(self.splits) <= i < len(self.splits):
            raise IndexError(f"there is no subset {i}: there are {plural(len(self.splits), 'split')}")
        i %= len(self.splits)
        return self._copy(self._rows.at(self.splits[i]), min(i, 1))

    @property
    def train(self):
        "The training set."
        return self.subset(0)

    @property
    def valid(self):
        "The validation set."
        return self.subset(1)

    def with_split_idx(self, split_idx):
        "The same items with the transforms meant for training (0) or validation (1) items."
        return self._copy(self._rows, split_idx, splits=self.splits)

    def item_name(self, i):
        return self._rows.item_name(i)

    def _fetch(self, i, rng):
        raise NotImplementedError

    def sample(self, i, rng=None):
        "`ds[i]`, random transforms drawing from the numpy generator `rng`; an error names the item."
        try:
            return self._fetch(i, rng)
        except Exception as e:
            add_note(e, f"while making the sample of {self._name_if_possible(i)}")
            raise

    def _name_if_possible(self, i):
        try:
            return self.item_name(i)
        except Exception:                           # the item itself cannot be read: its number is all there is to say
            return f"item {i}"

    def __getitem__(self, i):
        if isinstance(i, slice):
            i = range_of(self)[i]
        if isinstance(i, (list, tuple, range)) or getattr(i, "ndim", 0):
            return L((self.sample(j) for j in L.range(self)[list(i) if isinstance(i, range) else i]), use_list=True)
        i = i.__index__()
        if not -len(self) <= i < len(self):
            raise IndexError(f"item {i} of {plural(len(self), 'item')}")
        return self.sample(i % len(self))

    def __iter__(self):
        return (self.sample(i) for i in range(len(self)))

    def dataloaders(self, bs=64, **kwargs):
        "`DataLoaders` of the splits; takes what `DataLoaders.from_dsets` takes, such as `after_item` and `after_batch` transforms."
        from .loaders import DataLoaders
        return DataLoaders.from_dsets(*(self.subset(i) for i in range(self.n_subsets)), bs=bs, **kwargs)

    def weighted_dataloaders(self, wgts, bs=64, **kwargs):
        "`dataloaders` whose training items are drawn with replacement, with probabilities proportional to `wgts` (one per item)."
        from .engine.samplers import WeightedSampler
        if len(wgts) not in (len(self), len(self.train)):
            raise ValueError(f"weighted_dataloaders: wgts needs one weight per item: received {len(wgts)} for {plural(len(self), 'item')}")
        if len(wgts) == len(self) and self.splits is not None:
            wgts = [wgts[i] for i in self.splits[0]] if not hasattr(wgts, "iloc") else wgts.iloc[list(self.splits[0])]
        return self.dataloaders(bs=bs, sampler=WeightedSampler(wgts), **kwargs)

    def partial_dataloaders(self, partial_n, bs=64, **kwargs):
        "`dataloaders` that train on `partial_n` items an epoch, others each time."
        from .engine.samplers import PartialSampler
        return self.dataloaders(bs=bs, sampler=PartialSampler(len(self.train), partial_n), **kwargs)


class TfmdLists(_Split):
    """`items` seen through one pipeline: `tl[i]` is `tfms` applied to item `i`.

    splits: a list of lists of indices, training first; `tl.train` and `tl.valid` are those parts. split_idx: which of the transforms
    apply, as in `Transform`. do_setup: let the transforms learn from the training items (train_setup=False: from all items).
    """

    def __init__(self, items, tfms, splits=None, split_idx=None, do_setup=True, train_setup=True):
        self._begin(items, [_element_pipeline(tfms)], splits, split_idx, do_setup, train_setup)

    @property
    def tfms(self):
        "The pipeline."
        return self._pipes[0]

    def _fetch(self, i, rng):
        return self.tfms(self._rows[i], rng)

    def idle(self, i=0, rng=None):
        "The transforms that apply to nothing in item `i`."
        return self.tfms.idle(self._rows[i], rng)

    def decode(self, sample):
        "Undo the transforms."
        return self.tfms.decode(sample)

    def show(self, sample, ctx=None, **kwargs):
        "Draw the decoded `sample`."
        return _show_value(self.decode(sample), None, ctx, **kwargs)

    def infer(self, x):
        "The pipeline applied to `x`, from the step on where something of its type goes in."
        return _infer(self.tfms, self._first_item(), x)

    def _first_item(self):
        return self._rows[0]

    @property
    def vocab(self):
        return last_vocab(self.tfms)

    @property
    def c(self):
        return _c_of(self.tfms)

    @property
    def loss_func(self):
        return _loss_of(self.tfms)

    def test_set(self, items, with_labels=False):
        "The same transforms, as for validation, for other items."
        return self._copy(Rows(as_items(items, self._rows)), 1)

    def __repr__(self):
        return f"TfmdLists: {coll(self)}\n{self.tfms!r}"


class Datasets(_Split):
    """`items` seen through several pipelines: `ds[i]` is a tuple with one element per list in `tfms`.

    n_inp: how many of the elements are inputs of the model (default: all but the last), the others are targets. splits, do_setup: as for
    `TfmdLists`. blocks: the `TransformBlock`s that the elements come from, if any.
    """

    def __init__(self, items, tfms=None, splits=None, n_inp=None, do_setup=True, blocks=None, split_idx=None):
        tfms = [None] if tfms is None else tfms
        if not isinstance(tfms, (list, tuple)):
            raise TypeError(f"Datasets(tfms=...) takes a list with one list of transforms per element of the sample; received "
                            f"{describe(tfms)}")
        pipes = [_element_pipeline(t) for t in tfms]
        if n_inp is not None and not 0 < n_inp <= len(pipes):
            raise ValueError(f"Datasets(n_inp={n_inp}): a sample has {plural(len(pipes), 'element')}, of which 1 to {len(pipes)} can be "
                             "inputs")
        self.n_inp = max(1, len(pipes) - 1) if n_inp is None else n_inp
        self.blocks = blocks
        self.labelled = True
        self._begin(items, pipes, splits, split_idx, do_setup, True)

    @property
    def pipelines(self):
        "The pipeline of each element."
        return self._pipes

    def _fetch(self, i, rng):
        item, made = self._rows[i], []
        for k, pipe in enumerate(self._pipes if self.labelled else self._pipes[:self.n_inp]):
            try:
                made.append(pipe(item, rng))
            except Exception as e:
                add_note(e, f"while making {'input' if k < self.n_inp else 'target'} {k} of {len(self._pipes)}")
                raise
        return tuple(made)

    def idle(self, i=0, rng=None):
        "The transforms that apply to nothing in item `i`."
        pipes = self._pipes if self.labelled else self._pipes[:self.n_inp]
        return [f for pipe in pipes for f in pipe.idle(self._rows[i], rng)]

    def decode(self, sample):
        "Undo the transforms of each element (fewer elements: the first ones)."
        return tuple(pipe.decode(o) for o, pipe in zip(sample, self._pipes, strict=False))

    def show(self, sample, ctx=None, **kwargs):
        "Draw the decoded `sample`, one element after the other, onto `ctx`."
        return self.show_decoded(self.decode(sample), ctx, **kwargs)

    def show_decoded(self, sample, ctx=None, **kwargs):
        "Draw a sample that is decoded already."
        for k, value in enumerate(sample):
            ctx = _show_value(value, self.blocks[k] if self.blocks is not None else None, ctx, **kwargs)
        return ctx

    def infer(self, x):
        "The inputs made from `x`, each pipeline from the step on where something of its type goes in."
        return tuple(_infer(pipe, self._rows[0], x) for pipe in self._pipes[:self.n_inp])

    @property
    def vocab(self):
        "The classes of the target; a list of vocabularies when there are several."
        found = [v for v in map(last_vocab, self._pipes) if v is not None]
        return found[0] if len(found) == 1 else found or None

    @property
    def c(self):
        "How many outputs the last target that says so asks for: classes, or numbers to predict."
        return next((c for c in map(_c_of, reversed(self._pipes[self.n_inp:])) if c is not None), None)

    @property
    def loss_func(self):
        "The loss of the last target that has one: its block's, or that of its transforms."
        for k in reversed(range(self.n_inp, len(self._pipes))):
            block = self.blocks[k] if self.blocks is not None else None
            loss = block.loss_func if block is not None and block.loss_func is not None else _loss_of(self._pipes[k])
            if loss is not None:
                return loss
        return None

    def test_set(self, items, with_labels=False):
        "The same transforms, as for validation, for other items, which have labels or have not."
        rows = Rows(as_items(items, self._rows))
        if with_labels:
            return self._copy(rows, 1, labelled=True)
        return self._copy(rows, 1, labelled=False, _pipes=self._starting_at(rows))

    def _starting_at(self, rows):
        "The pipelines for new items: the input ones start at the step where something of the type of these items goes in."
        inputs = self._pipes[:self.n_inp]
        if len(rows):
            kinds = [rows[i] for i in rows.first_of_each_type()]        # of a mixed list: the step where all of them can go in
            inputs = [Pipeline(p.fs[min(_entry(p, self._rows[0], x) for x in kinds):], 1) for p in inputs]
        return inputs + [p.new(1) for p in self._pipes[self.n_inp:]]

    def __repr__(self):
        return f"Datasets: {coll(self)}\n" + "\n".join(map(repr, self._pipes))


def coll(ds):
    "`12 items (10 training, 2 validation)`."
    names = ["training", "validation", *(f"split {i}" for i in range(2, 99))]
    sizes = "" if ds.splits is None else f" ({', '.join(f'{len(s)} {n}' for s, n in zip(ds.splits, names, strict=False))})"
    return plural(len(ds), "item") + sizes


def _entry(pipe, train_item, x):
    """At which step of `pipe` the value `x` enters: 0 when it is of the type of a training item, else the first step after which the
    value is of the type of `x` (that step itself, where it makes a subclass of it: any PIL image becomes a `PILImage`); 0 too when
    there is none, and the first transforms may or may not be able to read it."""
    if isinstance(x, type(train_item)) or isinstance(train_item, type(x)) or not len(pipe):
        return 0
    if isinstance(x, (str, Path)) and isinstance(train_item, (str, Path)):
        return 0
    for i, (_, value, _) in enumerate(pipe.trace(train_item)):
        paths = isinstance(x, (str, Path)) and isinstance(value, (str, Path))
        if paths or (isinstance(x, type(value)) and type(value) is not object):
            return i + 1
        if isinstance(value, type(x)) and type(x) is not object:        # this step makes the special kind of the general one
            return i
    return 0


def _infer(pipe, train_item, x):
    return Pipeline(pipe.fs[_entry(pipe, train_item, x):], 1)(x)


def _show_value(value, block, ctx, **kwargs):
    show = block.show if block is not None and block.show is not None else None
    if show is not None:
        return show(value, ctx=ctx, **kwargs)
    from ..core.plots import show_item
    return show_item(value, ctx=ctx, **kwargs)
