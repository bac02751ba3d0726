"""`DataLoaders`: the training loader, the validation loader and any further ones, together."""
from pathlib import Path

import torch

from ..core.device import default_device
from ..core.messages import describe, plural, reject_unknown
from ..core.nested import find_bs, to_device
from .dataloader import LOADER_KEYWORDS, DataLoader
from .engine.collate import wrap_kinds
from .engine.samplers import PartialSampler, WeightedSampler
from .pipeline import Pipeline

__all__ = ["DataLoader", "DataLoaders", "PartialDL", "WeightedDL"]


def WeightedDL(dataset, wgts, bs=64, **kwargs):
    "A `DataLoader` that draws with replacement, with probabilities proportional to `wgts`, as many items as the dataset has."
    if len(wgts) != len(dataset):
        raise ValueError(f"WeightedDL: wgts needs one weight per item: received {len(wgts)} for {plural(len(dataset), 'item')}")
    return DataLoader(dataset, bs, sampler=WeightedSampler(wgts), **kwargs)


def PartialDL(dataset, partial_n, bs=64, **kwargs):
    "A `DataLoader` that takes `partial_n` items of the dataset in an epoch, others each time."
    return DataLoader(dataset, bs, sampler=PartialSampler(len(dataset), partial_n), **kwargs)


class DataLoaders:
    """Loaders that belong together: `dls.train`, `dls.valid`, `dls[i]`.

    loaders: of this package, or any torch `DataLoader`, or any iterable of batches with a length; the first is for training, the
    second, if any, for validation. path: a folder that belongs to the data. device: put batches there (default: where the loaders put
    them, else `default_device()`).
    """

    def __init__(self, *loaders, path=".", device=None):
        if not loaders:
            raise ValueError("DataLoaders needs at least a training loader: DataLoaders(train_dl, valid_dl)")
        for i, loader in enumerate(loaders):
            if isinstance(loader, (str, bytes, dict)) or not hasattr(loader, "__iter__") or not hasattr(loader, "__len__"):
                raise TypeError(f"loader {i} of DataLoaders must be a DataLoader or an iterable of batches with a length; received "
                                f"{describe(loader)}"
                                + (". An IterableDataset needs a `__len__` that says how many batches there "
                                   "are" if hasattr(loader, "__iter__") else ""))
            if not _length(loader):
                raise ValueError(f"loader {i} of DataLoaders has no batch: {describe(loader)}")
        self.loaders, self.path = list(loaders), Path(path)
        self._device = None
        if device is not None:
            self.to(device)

    # -- what it holds ----------------------------------------------------------------------------------------------------------
    def __len__(self):
        return len(self.loaders)

    def __iter__(self):
        return iter(self.loaders)

    def __getitem__(self, i):
        if not -len(self) <= i < len(self):
            raise IndexError(f"dls[{i}]: there {'is' if len(self) == 1 else 'are'} {plural(len(self), 'loader')}, 0 is for training"
                             + (", 1 for validation" if len(self) > 1 else "; there is no validation data"))
        return self.loaders[i]

    @property
    def train(self):
        "The training loader."
        return self.loaders[0]

    @property
    def valid(self):
        "The validation loader; None if there is none."
        return self.loaders[1] if len(self) > 1 else None

    @property
    def train_ds(self):
        "The training dataset."
        return _dataset(self.train)

    @property
    def valid_ds(self):
        "The validation dataset; None if there is none."
        return None if self.valid is None else _dataset(self.valid)

    @property
    def bs(self):
        "Items per training batch."
        return getattr(self.train, "bs", getattr(self.train, "batch_size", None))

    @property
    def vocab(self):
        "The classes of the training set; None if it has none."
        if isinstance(self.train, DataLoader):
            return self.train.vocab
        return getattr(self.train_ds, "vocab", getattr(self.train_ds, "classes", None))

    @property
    def c(self):
        "The number of outputs that the targets of the training set ask for; None if that is not known."
        if isinstance(self.train, DataLoader):
            return self.train.c
        c = getattr(self.train_ds, "c", None)
        return c if isinstance(c, int) else len(self.vocab) if self.vocab is not None else None

    @property
    def n_inp(self):
        "How many elements of a batch are inputs of the model (None: all but the last)."
        return getattr(self.train, "n_inp", None)

    @property
    def loss_func(self):
        "The loss that belongs to the targets; None if that is not known."
        return getattr(self.train, "loss_func", getattr(self.train_ds, "loss_func", None))

    def class_weights(self, how="balanced", beta=0.999, target=None):
        """A weight per class against rare ones, float32 in the order of the vocabulary, counted on the training targets (no input is made):
        for `CrossEntropyLossFlat(weight=...)`, or with several labels per item `BCEWithLogitsLossFlat(pos_weight=...)`.

        how: 'balanced', 'sqrt' or 'effective', see `data.class_weights.class_weights`. target: which, where there are several.
        """
        from .class_weights import weights_from
        return weights_from(self, how, beta, target)

    def item_weights(self, how="balanced", beta=0.999, target=None):
        "A weight per training item against rare classes, in the order of the training set, for `weighted_dataloaders(source, wgts)`."
        from .class_weights import item_weights_from
        return item_weights_from(self, how, beta, target)

    def __repr__(self):
        return f"DataLoaders on {self._device or 'the default device'}\n" + "\n".join(
            f"{name}: {loader if isinstance(loader, DataLoader) else describe(loader)}"
            for name, loader in zip(["train", "valid", *map(str, range(2, len(self)))], self.loaders, strict=False))

    # -- the device -------------------------------------------------------------------------------------------------------------
    @property
    def device(self):
        "Where the batches are put."
        if self._device is None:
            ours = next((dl for dl in self.loaders if isinstance(dl, DataLoader)), None)
            self._device = default_device() if ours is None else ours.device
        return self._device

    def to(self, device):
        "From now on put the batches on `device`."
        self._device = torch.device(device)
        if self._device.type == "cuda" and self._device.index is None and torch.cuda.is_available():
            self._device = torch.device("cuda", torch.cuda.current_device())
        for loader in self.loaders:
            if isinstance(loader, DataLoader):
                loader.to(self._device)
        return self

    def cpu(self):
        return self.to("cpu")

    def cuda(self, device=None):
        return self.to("cuda" if device is None else device)

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def one_batch(self):
        "One training batch, on the device."
        if isinstance(self.train, DataLoader):
            return self.train.one_batch()
        from ..core.seeds import fixed_seed
        with fixed_seed():
            return to_device(next(iter(self.train)), self.device)

    def show_batch(self, b=None, max_n=9, ctxs=None, show=True, unique=False, nrows=None, ncols=None, figsize=None, **kwargs):
        "Draw items of the training loader, see `DataLoader.show_batch`."
        b = self.one_batch() if b is None and not isinstance(self.train, DataLoader) else b
        return _ours(self.train).show_batch(b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)

    def show_pipeline(self, item=0, nrows=None, ncols=None, figsize=None, **kwargs):
        """Draw one training item as it is read and after each transform: what a crop cuts off, and what the model sees in the end. Each
        call draws the random transforms anew.

        item: the number of a training item, or a new one (a file, a row). Returns the list of (transform, sample). kwargs: as for
        `show_batch`.
        """
        from .show import show_pipeline
        return show_pipeline(_ours(self.train), item, nrows, ncols, figsize, **kwargs)

    def decode_batch(self, b, max_n=9):
        "Items of batch `b` with every transform undone, see `DataLoader.decode_batch`."
        return _ours(self.valid or self.train).decode_batch(b, max_n)

    def check(self, fast=False, ignore=(), groups=None):
        "A `Report` of what is wrong with the data: files, copies across splits, labels, tables, batches just before the net."
        from ..checks.check_loaders import check_loaders
        return check_loaders(self, fast, ignore, groups)

    # -- others like it ---------------------------------------------------------------------------------------------------------
    def test_dl(self, items, with_labels=False, **dl_kw):
        """A loader of new `items` with the transforms of validation, in their order.

        items: what `get_items` would return (files, rows of a DataFrame, ...), one such item, or a dataset. with_labels: label them
        as the training items are. dl_kw: for the loader, such as `bs=` or `num_workers=`.
        """
        like = _ours(self.valid or self.train)
        dataset = like.dataset
        if hasattr(dataset, "test_set"):
            dataset = dataset.test_set(items, with_labels)
        elif hasattr(items, "__getitem__") and hasattr(items, "__len__") and not isinstance(items, (str, bytes, dict)) and not hasattr(
                items, "shape"):
            _refuse_names(items, dataset)
            dataset = items
        elif hasattr(items, "shape"):
            dataset = torch.utils.data.TensorDataset(torch.as_tensor(items))
        else:
            raise TypeError(f"test_dl takes a dataset or a list of samples here, because the training data come from "
                            f"{describe(like.dataset)}; received {describe(items)}")
        if not len(dataset):
            raise ValueError(f"test_dl received no items: {describe(items)}")
        return like.new(dataset, **{"shuffle": False, "drop_last": False, "split_idx": 1, "device": self.device, **dl_kw})

    def new(self, *loaders, **overrides):
        "The same with other `loaders`, or with each loader made anew with other arguments, such as `bs=`."
        if not loaders:
            reject_unknown(overrides, LOADER_KEYWORDS, "dls.new(...)")
            loaders = [_ours(dl).new(**overrides) for dl in self.loaders]
        return type(self)(*loaders, path=self.path, device=self._device)

    def add_tfms(self, tfms, event, loaders=None):
        "Add transforms to 'after_item', 'before_batch' or 'after_batch' of these loaders (numbers, 'train' or 'valid'; None: all)."
        names = {"train": 0, "valid": 1}
        chosen = range(len(self)) if loaders is None else [loaders] if isinstance(loaders, (int, str)) else loaders
        tfms = Pipeline(tfms).fs
        for i in chosen:
            self._needs_ours(self[names.get(i, i)], "add_tfms").add_tfms(tfms, event)
        if event == "after_batch":
            setup_batch_tfms(self.train, tfms)

    def with_tfms(self, batch_tfms):
        "A copy with its own pipelines, to which `batch_tfms` are added; the datasets are shared, and these `DataLoaders` stay as they are."
        tfms = Pipeline(batch_tfms).fs
        copies = [self._needs_ours(dl, "with_tfms").new(after_batch=dl.after_batch.add(tfms)) for dl in self.loaders]
        setup_batch_tfms(copies[0], tfms)
        return type(self)(*copies, path=self.path, device=self._device)

    @staticmethod
    def _needs_ours(loader, verb):
        if not isinstance(loader, DataLoader):
            raise TypeError(f"{verb} needs loaders that apply transforms; this is {describe(loader)}. Make one as minifast's "
                            "DataLoader(dataset, bs=...)")
        return loader

    @classmethod
    def from_dsets(cls, *ds, path=".", bs=64, device=None, item_tfms=None, after_item=None, before_batch=None, batch_tfms=None,
                   after_batch=None, val_bs=None, shuffle=True, drop_last=None, num_workers=None, seed=None, sampler=None, dl_type=None,
                   verbose=False, **kwargs):
        """A loader for each dataset; the first is for training: shuffled, with the transforms of training items. The others are in
        order.

        after_item (or item_tfms), before_batch, after_batch (or batch_tfms), drop_last and all other arguments of `DataLoader` are
        taken; with `val_` before it an argument is for the others only, such as val_bs. sampler and drop_last are for the training
        loader. dl_type: the loader class.
        """
        if not ds:
            raise ValueError("from_dsets needs at least a training dataset: DataLoaders.from_dsets(train_ds, valid_ds)")
        allowed = [k for k in LOADER_KEYWORDS if k != "split_idx"]
        reject_unknown(kwargs, {*allowed, *(f"val_{k}" for k in allowed), "path", "item_tfms", "batch_tfms", "dl_type"}, "dataloaders(...)")
        after_item = _either("item_tfms", item_tfms, "after_item", after_item)
        after_batch = _either("batch_tfms", batch_tfms, "after_batch", after_batch)
        for_valid = {k[4:]: v for k, v in kwargs.items() if k.startswith("val_")}
        common = {k: v for k, v in kwargs.items() if not k.startswith("val_")}
        bs = common.pop("batch_size", bs)
        common.update(bs=bs, device=device, after_item=Pipeline(after_item).fs, before_batch=Pipeline(before_batch).fs,
                      after_batch=Pipeline(after_batch).fs, num_workers=num_workers, seed=seed, verbose=verbose)
        dl_type = DataLoader if dl_type is None else dl_type
        shuffle = bool(shuffle) and sampler is None
        train = dl_type(ds[0], **{**common, "shuffle": shuffle, "sampler": sampler, "drop_last": drop_last, "split_idx": 0})
        setup_item_tfms(train)
        others = {**common, "bs": bs if val_bs is None else val_bs, "shuffle": False, "drop_last": False, "split_idx": 1, **for_valid}
        dls = cls(train, *(dl_type(d, **others) for d in ds[1:]), path=path)
        setup_batch_tfms(train, train.after_batch.fs)
        return dls


def _either(name, value, other_name, other):
    if value is not None and other is not None:
        raise TypeError(f"{name} and {other_name} are two names for the same thing: give one of them")
    return other if value is None else value


def _length(loader):
    "The length of a loader; a loader of an iterable dataset that cannot tell is taken at its word that there are batches."
    try:
        return len(loader)
    except TypeError as e:
        raise TypeError(f"{describe(loader)} cannot say how many batches an epoch has ({e}); give its dataset a `__len__`") from e


def _dataset(loader):
    return getattr(loader, "dataset", None)


def _ours(loader):
    "`loader` as one of this package: itself, or one over the same dataset."
    if isinstance(loader, DataLoader):
        return loader
    dataset = _dataset(loader)
    if dataset is None or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise TypeError(f"this needs a dataset with len and indices; the loader is {describe(loader)}. Make the loader as "
                        "DataLoader(dataset, bs=...)")
    default = torch.utils.data.default_collate
    collate_fn = getattr(loader, "collate_fn", default)
    bs = getattr(loader, "batch_size", None) or find_bs(next(iter(loader)))
    return DataLoader(dataset, bs, num_workers=getattr(loader, "num_workers", 0), collate_fn=None if collate_fn is default else collate_fn)


def _refuse_names(items, dataset):
    "Refuse a list that holds file names where the training data are tensors: such a dataset cannot open them."
    tensors = isinstance(getattr(dataset, "tensors", None), tuple)
    at = next((i for i, x in enumerate(items) if isinstance(x, (str, bytes, Path))), None) if tensors and isinstance(items, list) else None
    if at is not None:
        raise TypeError(f"test_dl: item {at} is {describe(items[at])}, but the training data are tensors in memory, from which it is not "
                        "known how to make an input of it. Give tensors, or a dataset that opens what you have")


# -- transforms that learn from the data -------------------------------------------------------------------------------------------
class _Samples:
    "The samples of a dataset, one after the other, as the item transforms before the one being set up leave them."

    def __init__(self, dataset, f=None):
        self.dataset, self.f = dataset, f

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        return self.dataset[i] if self.f is None else self.f(self.dataset[i])

    def __iter__(self):
        return (self[i] for i in range(len(self)))


class SetupBatches:
    """Training batches for batch transforms to learn from: in random but fixed order, without augmentation, on the device, of their own
    types (images as images). Iterating costs what loading costs: a transform takes as many as it needs."""

    def __init__(self, loader, earlier):
        self.loader = loader.new(shuffle=True, drop_last=False, split_idx=1, after_batch=None, num_workers=0, seed=0)
        self.earlier = Pipeline(earlier, 1)

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            yield self.earlier(wrap_kinds(batch, self.loader.kinds))

    def __getitem__(self, i):
        if i != 0:
            raise IndexError("only iterating and [0] make sense of training batches")
        return next(iter(self))


def setup_item_tfms(loader):
    "Let the item transforms of the training loader learn from its samples."
    fs = loader.after_item.fs
    if any(f.has_setup for f in fs):
        samples = loader.dataset.with_split_idx(1) if hasattr(loader.dataset, "with_split_idx") else loader.dataset
        for i, f in enumerate(fs):
            if f.has_setup:
                f.setup(_Samples(samples, Pipeline(fs[:i], 1)))


def setup_batch_tfms(loader, tfms):
    "Let those of the batch transforms `tfms` of the training loader that want to learn from its batches."
    if not any(f.has_setup for f in tfms):
        return
    fs = loader.after_batch.fs
    for f in tfms:
        if f.has_setup:
            f.setup(SetupBatches(loader, fs[:fs.index(f)]))
