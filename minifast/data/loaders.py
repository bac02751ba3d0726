"""`DataLoaders`: the training loader, the validation loader and any further ones, together.

Longer than 400 lines because every argument of a public method stands on a line of its own.
"""
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..core.arguments import listed_in_order
from ..core.device import default_device, usable_device
from ..core.messages import describe, plural
from ..core.nested import find_bs, to_device
from ..core.paths import Path
from ..core.ranks import world_size
from ..core.seeds import fixed_seed
from ..core.types import Batch, PathLike
from .class_weights import item_weights_from, weights_from
from .dataloader import DataLoader
from .engine.collate import wrap_kinds
from .engine.samplers import PartialSampler, WeightedSampler
from .loader_args import LOADER_KEYWORDS, check_dataloaders_keywords, reject_unknown_loader_args
from .pipeline import Mapped, Pipeline
from .show import show_pipeline
from .torch_parts import TorchParts
from .transforms import Transform

if TYPE_CHECKING:
    from ..checks.report import Report
    from .block import DataBlock

__all__ = ["DataLoader", "DataLoaders", "PartialDL", "WeightedDL"]


def WeightedDL(dataset: Any, wgts: Sequence[float], bs: int = 64, **kwargs: Any) -> DataLoader:
    """Make a `DataLoader` that draws as many items as the dataset has, with replacement.

    Args:
        dataset: as for `DataLoader`.
        wgts: one number per item, to which its probability is proportional.
        bs: items per batch.
        **kwargs: other arguments of `DataLoader`.
    """
    if len(wgts) != len(dataset):
        raise ValueError(f"WeightedDL: wgts needs one weight per item: received {len(wgts)} for {plural(len(dataset), 'item')}")
    return DataLoader(dataset, bs, sampler=WeightedSampler(wgts), **kwargs)


def PartialDL(dataset: Any, partial_n: int, bs: int = 64, **kwargs: Any) -> DataLoader:
    """Make a `DataLoader` that takes some of the items in an epoch, others each time.

    Args:
        dataset: as for `DataLoader`.
        partial_n: how many items an epoch takes.
        bs: items per batch.
        **kwargs: other arguments of `DataLoader`.
    """
    return DataLoader(dataset, bs, sampler=PartialSampler(len(dataset), partial_n), **kwargs)


def _among_ranks(loader):
    "The loader, which divides its batches among the ranks where there are several."
    return loader if world_size() == 1 or hasattr(loader, "share") else TorchParts(loader)


class DataLoaders:
    """Loaders that belong together: `dls.train`, `dls.valid`, `dls[i]`.

    Args:
        *loaders: of this package, or any torch `DataLoader`, or any iterable of batches with a length; the first is for training, the
            second, if any, for validation.
        path: a folder that belongs to the data.
        device: where batches are put. None: where the loaders put them, else `default_device()`.
    """

    loaders: list
    path: Path

    def __init__(self, *loaders: Any, path: PathLike = ".", device: torch.device | str | None = None):
        if not loaders:
            raise ValueError("DataLoaders needs at least a training loader: DataLoaders(train_dl, valid_dl)")
        for i, loader in enumerate(loaders):
            _check_loader(loader, i)
        self.loaders, self.path = list(map(_among_ranks, loaders)), Path(path).expanduser()
        self._device: torch.device | None = None
        if device is not None:
            self.to(device)

    # -- what it holds ----------------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.loaders)

    def __iter__(self) -> Iterator:
        return iter(self.loaders)

    def __getitem__(self, i: int) -> Any:
        if not -len(self) <= i < len(self):
            raise IndexError(f"dls[{i}]: there {'is' if len(self) == 1 else 'are'} {plural(len(self), 'loader')}, 0 is for training"
                             + (", 1 for validation" if len(self) > 1 else "; there is no validation data"))
        return self.loaders[i]

    @property
    def train(self) -> Any:
        "The training loader."
        return self.loaders[0]

    @train.setter
    def train(self, loader: Any) -> None:
        self._replace(0, loader)

    @property
    def valid(self) -> Any:
        "The validation loader; None if there is none."
        return self.loaders[1] if len(self) > 1 else None

    @valid.setter
    def valid(self, loader: Any) -> None:
        self._replace(1, loader)

    def _replace(self, i, loader):
        _check_loader(loader, i)
        if self._device is not None and isinstance(loader, DataLoader):
            loader.to(self._device)
        self.loaders[i:i + 1] = [_among_ranks(loader)]

    @property
    def train_ds(self) -> Any:
        "The training dataset."
        return getattr(self.train, "dataset", None)

    dataset = train_ds

    @property
    def items(self) -> Any:
        "The training items, in the container they came in."
        return self._needs_ours(self.train, "items").items

    @property
    def after_item(self) -> Pipeline:
        "The transforms of single samples, of the training loader."
        return self._needs_ours(self.train, "after_item").after_item

    @property
    def before_batch(self) -> Pipeline:
        "The transforms of lists of samples, of the training loader."
        return self._needs_ours(self.train, "before_batch").before_batch

    @property
    def after_batch(self) -> Pipeline:
        "The transforms of batches, of the training loader."
        return self._needs_ours(self.train, "after_batch").after_batch

    @property
    def valid_ds(self) -> Any:
        "The validation dataset; None if there is none."
        return getattr(self.valid, "dataset", None)

    @property
    def bs(self) -> int | None:
        "Items per training batch."
        return getattr(self.train, "bs", getattr(self.train, "batch_size", None))

    @bs.setter
    def bs(self, bs: int) -> None:
        for loader in self.loaders:
            self._needs_ours(loader, "bs=").bs = bs

    @property
    def vocab(self) -> Any:
        "The classes of the training set; None if it has none. Setting them changes what they are called, not how labels are encoded."
        return getattr(self.train, "vocab", getattr(self.train_ds, "vocab", getattr(self.train_ds, "classes", None)))

    @vocab.setter
    def vocab(self, vocab: Any) -> None:
        if isinstance(vocab, (str, set, frozenset)):
            listed_in_order("dls", "vocab", vocab)
        self._set("vocab", vocab, self.loaders[:1])

    @property
    def c(self) -> int | list[int] | None:
        "The number of outputs that the target of the training set asks for (a list: each of several targets); None if that is not known."
        c = getattr(self.train, "c", getattr(self.train_ds, "c", None))
        return c if isinstance(c, (int, list)) else len(self.vocab) if hasattr(self.vocab, "__len__") else None

    @c.setter
    def c(self, c: int) -> None:
        self._set("c", c, self.loaders[:1])

    @property
    def n_inp(self) -> int | None:
        "How many elements of a batch are inputs of the model (None: all but the last)."
        return getattr(self.train, "n_inp", None)

    @n_inp.setter
    def n_inp(self, n: int) -> None:
        self._set("n_inp", n, self.loaders)

    @staticmethod
    def _set(name, value, loaders):
        "Let the loaders say it: they stay when other `DataLoaders` are made of them."
        for loader in loaders:
            try:
                setattr(loader, name, value)
            except AttributeError as e:
                raise AttributeError(f"dls.{name} = ... needs loaders with attributes; this one is {describe(loader)}. Put the batches "
                                     "into an object of a class of your own") from e

    @property
    def loss_func(self) -> Callable | None:
        "The loss that belongs to the targets; None if that is not known."
        return getattr(self.train, "loss_func", getattr(self.train_ds, "loss_func", None))

    def class_weights(self, how: Literal["balanced", "sqrt", "effective"] = "balanced", beta: float = 0.999,
                      target: int | None = None) -> torch.Tensor:
        """Weigh the classes against their frequency among the training targets (no input is made).

        Args:
            how: the rule, see `data.class_weights.class_weights`.
            beta: of the rule 'effective'.
            target: which target, where there are several.

        Returns:
            float32 in the order of the vocabulary, for `CrossEntropyLossFlat(weight=...)`, or with several labels per item
            `BCEWithLogitsLossFlat(pos_weight=...)`.
        """
        return weights_from(self, how, beta, target)

    def item_weights(self, how: Literal["balanced", "sqrt", "effective"] = "balanced", beta: float = 0.999,
                     target: int | None = None) -> Any:
        """Weigh the training items against the frequency of their classes, for `weighted_dataloaders(source, wgts)`.

        Args:
            how: the rule, see `data.class_weights.class_weights`.
            beta: of the rule 'effective'.
            target: which target, where there are several.

        Returns:
            One weight per item, in the order of the training set.
        """
        return item_weights_from(self, how, beta, target)

    def __repr__(self) -> str:
        return f"DataLoaders on {self._device or 'the default device'}\n" + "\n".join(
            f"{name}: {loader if isinstance(loader, DataLoader) else describe(loader)}"
            for name, loader in zip(["train", "valid", *map(str, range(2, len(self)))], self.loaders, strict=False))

    # -- the device -------------------------------------------------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        "Where the batches are put."
        if self._device is None:
            self._device = next((dl.device for dl in self.loaders if isinstance(dl, DataLoader)), None) or default_device()
        return self._device

    @device.setter
    def device(self, device: torch.device | str | int) -> None:
        self.to(device)

    def to(self, device: torch.device | str | int) -> "DataLoaders":
        """Put the batches on another device from now on.

        Args:
            device: where to.

        Returns:
            These loaders.
        """
        self._device = usable_device(device)
        if self._device.type == "cuda" and self._device.index is None and torch.cuda.is_available():
            self._device = torch.device("cuda", torch.cuda.current_device())
        for loader in self.loaders:
            if isinstance(loader, DataLoader):
                loader.to(self._device)
        return self

    def cpu(self) -> "DataLoaders":
        "Put the batches on the CPU from now on."
        return self.to("cpu")

    def cuda(self, device: int | str | None = None) -> "DataLoaders":
        """Put the batches on a GPU from now on.

        Args:
            device: which one. None: the current one.
        """
        return self.to("cuda" if device is None else device)

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def one_batch(self) -> Batch:
        "Make one training batch, on the device."
        if isinstance(self.train, DataLoader):
            return self.train.one_batch()
        with fixed_seed():
            return to_device(next(iter(self.train)), self.device)

    def show_batch(self, b: Batch | None = None, max_n: int = 9, ctxs: Sequence | None = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, **kwargs: Any) -> Any:
        """Draw items of the training loader, as `DataLoader.show_batch`.

        Args:
            b: the batch. None: a new one.
            max_n: how many items at most.
            ctxs: matplotlib axes to draw on. None: new ones.
            show: False: return the decoded samples instead.
            unique: show one item again and again, to see the augmentation.
            nrows: rows of the grid.
            ncols: columns of the grid.
            figsize: (width, height) of the figure in inches.
            **kwargs: for the functions that draw, such as `cmap=`.

        Returns:
            None; a DataFrame where the items have nothing to draw; the samples with `show=False`.
        """
        b = self.one_batch() if b is None and not isinstance(self.train, DataLoader) else b
        return _ours(self.train).show_batch(b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)

    def show_pipeline(self, item: Any = 0, nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None,
                      **kwargs: Any) -> list[tuple[str, Any]]:
        """Draw one training item as it is read and after each transform: what a crop cuts off, and what the model sees in the end.

        Args:
            item: the number of a training item, or a new one (a file, a row). Random transforms are drawn anew with each call.
            nrows: rows of the grid.
            ncols: columns of the grid.
            figsize: (width, height) of the figure in inches.
            **kwargs: for the functions that draw, such as `cmap=`.

        Returns:
            A list of (transform, sample).
        """
        return show_pipeline(_ours(self.train), item, nrows, ncols, figsize, **kwargs)

    def decode(self, b: Batch) -> Batch:
        """Undo the batch transforms of a batch.

        Args:
            b: a batch of the validation loader (without one: of the training loader), or the inputs of one.

        Returns:
            A batch on the CPU, of images, masks and so on, as it was before the batch transforms.
        """
        return _ours(self.valid or self.train).decode(b)

    def decode_batch(self, b: Batch, max_n: int = 9) -> list:
        """Undo every transform of a batch.

        Args:
            b: a batch of the validation loader (without one: of the training loader), or the inputs of one.
            max_n: of how many of its items, the first ones.

        Returns:
            A list of samples that can be shown.
        """
        return _ours(self.valid or self.train).decode_batch(b, max_n)

    def check(self, fast: bool = False, ignore: Sequence[str] = (), groups: Any = None) -> "Report":
        """Look for what is wrong with the data: files, copies across splits, labels, tables, batches just before the net.

        Args:
            fast: leave out the slow checks.
            ignore: codes of checks to leave out, such as 'MF832'.
            groups: what belongs together (one value per item) and must not be split between training and validation.

        Returns:
            A `Report`.
        """
        from ..checks.check_loaders import check_loaders
        return check_loaders(self, fast, ignore, groups)

    # -- others like it ---------------------------------------------------------------------------------------------------------
    def test_dl(self, items: Any, with_labels: bool | None = None, **dl_kw: Any) -> DataLoader:
        """Make a loader of new items with the transforms of validation, in their order.

        Args:
            items: what `get_items` would return (files, rows of a DataFrame, ...), one such item, or a dataset.
            with_labels: label them as the training items are labelled. None: only the rows of a table that have its target column(s).
            **dl_kw: arguments of `DataLoader`, such as `bs=` or `num_workers=`.

        Raises:
            TypeError: it is not known how to make inputs of such items.
            ValueError: there are no items.
        """
        like = _ours(self.valid or self.train)
        dataset = _test_dataset(like, items, with_labels)
        return like.new(dataset, **{"shuffle": False, "drop_last": False, "split_idx": 1, "device": self.device, **dl_kw})

    def test_batch(self, items: Any) -> tuple[Any, int | None]:
        """Make one batch of new items with the transforms of validation, in this process: what `test_dl(items)` would begin with.

        Args:
            items: as for `test_dl`.

        Returns:
            The batch, without targets, on the device; and how many of its elements are inputs (None: all but the last).

        Raises:
            ValueError: an item of the list is several, such as a table with several windows.
        """
        like = _ours(self.valid or self.train)
        if not like.is_plain_pass or like.device != self.device:
            like = like.new(shuffle=False, drop_last=False, split_idx=1, device=self.device)
        dataset = _test_dataset(like, items)
        if isinstance(items, list) and len(items) == 1 != len(dataset):
            raise ValueError(f"predict takes one item; this {type(items[0]).__name__} has {len(dataset):,}: write "
                             "learn.get_preds(dl=learn.dls.test_dl(items)), which predicts them all")
        return like.make_batch(range(len(dataset)), dataset=dataset), getattr(dataset, "n_inp", like.n_inp)

    def new(self, *loaders: Any, **overrides: Any) -> "DataLoaders":
        """Make `DataLoaders` like these.

        Args:
            *loaders: other loaders; without them, each loader is made again with `overrides`.
            **overrides: arguments of `DataLoader`, such as `bs=`.
        """
        own = getattr(self.train, "own_keywords", ())
        reject_unknown_loader_args({k: v for k, v in overrides.items() if k not in (*LOADER_KEYWORDS, *own)}, "dls.new(...)", own)
        if not loaders:
            return type(self)(*(_ours(dl).new(**overrides) for dl in self.loaders), path=self.path, device=self._device)
        return type(self)(*loaders, path=self.path, device=self._device)

    def add_tfms(self, tfms: Any, event: Literal["after_item", "before_batch", "after_batch"], loaders: Any = None) -> None:
        """Add transforms to a pipeline of the loaders.

        Args:
            tfms: a transform, function or list of them.
            event: the pipeline.
            loaders: of which loaders: numbers, 'train' or 'valid'. None: all.
        """
        names: dict[Any, Any] = {"train": 0, "valid": 1}
        chosen = range(len(self)) if loaders is None else [loaders] if isinstance(loaders, (int, str)) else loaders
        tfms = Pipeline(tfms).fs
        for i in chosen:
            self._needs_ours(self[names.get(i, i)], "add_tfms").add_tfms(tfms, event)
        if event == "after_batch":
            _setup_batch_tfms(self.train, tfms)

    def with_tfms(self, batch_tfms: Any) -> "DataLoaders":
        """Make a copy with more batch transforms. The datasets are shared; these `DataLoaders` stay as they are.

        Args:
            batch_tfms: a transform, function or list of them.
        """
        tfms = Pipeline(batch_tfms).fs
        copies = [self._needs_ours(dl, "with_tfms").new(after_batch=dl.after_batch.with_tfms(tfms)) for dl in self.loaders]
        _setup_batch_tfms(copies[0], tfms)
        return type(self)(*copies, path=self.path, device=self._device)

    @staticmethod
    def _needs_ours(loader, verb):
        if not isinstance(loader, DataLoader):
            raise TypeError(f"{verb} needs loaders that apply transforms; this is {describe(loader)}. Make one as minifast's "
                            "DataLoader(dataset, bs=...)")
        return loader

    @classmethod
    def from_dblock(cls, dblock: "DataBlock", source: Any, path: PathLike = ".", bs: int = 64, val_bs: int | None = None,
                    shuffle: bool = True, device: torch.device | str | None = None, **kwargs: Any) -> "DataLoaders":
        """Make what `dblock.dataloaders(source, ...)` makes.

        Args:
            dblock: the `DataBlock`.
            source: what it makes items of.
            path: a folder that belongs to the data.
            bs: items per batch.
            val_bs: items per batch of validation. None: as `bs`.
            shuffle: of the training loader.
            device: where batches are put. None: `default_device()`.
            **kwargs: other arguments of `DataBlock.dataloaders`.
        """
        return dblock.dataloaders(source, path=path, bs=bs, val_bs=val_bs, shuffle=shuffle, device=device, **kwargs)

    @classmethod
    def from_dsets(cls, *ds: Any, path: PathLike = ".", bs: int = 64, device: torch.device | str | None = None, item_tfms: Any = None,
                   after_item: Any = None, before_batch: Any = None, batch_tfms: Any = None, after_batch: Any = None,
                   val_bs: int | None = None, shuffle: bool = True, drop_last: bool | None = None, num_workers: int | None = None,
                   seed: int | None = None, sampler: Any = None, dl_type: type[DataLoader] | None = None, verbose: bool = False,
                   **kwargs: Any) -> "DataLoaders":
        """Make a loader for each dataset: the first is for training, shuffled; the others are in order.

        Args:
            *ds: datasets, the training set first.
            path: a folder that belongs to the data.
            bs: items per batch.
            device: where batches are put. None: `default_device()`.
            item_tfms: another name for `after_item`.
            after_item: transforms of each sample.
            before_batch: transforms of the list of samples.
            batch_tfms: another name for `after_batch`.
            after_batch: transforms of the batch, on the device.
            val_bs: items per batch of the others. None: as `bs`.
            shuffle: of the training loader.
            drop_last: of the training loader.
            num_workers: workers of each loader.
            seed: of the order and the augmentation.
            sampler: of the training loader, instead of `shuffle`.
            dl_type: the class of the loaders. None: `DataLoader`.
            verbose: print one line per loader about what was chosen.
            **kwargs: other arguments of `DataLoader`; with `val_` before its name an argument is for the others only.
        """
        if not ds:
            raise ValueError("from_dsets needs at least a training dataset: DataLoaders.from_dsets(train_ds, valid_ds)")
        check_dataloaders_keywords(kwargs, "dataloaders(...)", ("dl_type", "path", "item_tfms", "batch_tfms",
                                                                *getattr(dl_type, "own_keywords", ())))
        after_item = _either("item_tfms", item_tfms, "after_item", after_item)
        after_batch = _either("batch_tfms", batch_tfms, "after_batch", after_batch)
        for_valid = {k[4:]: v for k, v in kwargs.items() if k.startswith("val_")}
        common = {k: v for k, v in kwargs.items() if not k.startswith("val_")}
        bs = common.pop("batch_size", bs)
        common.update(bs=bs, device=device, after_item=Pipeline(after_item).fs, before_batch=Pipeline(before_batch).fs,
                      after_batch=Pipeline(after_batch).fs, num_workers=num_workers, seed=seed, verbose=verbose)
        dl_type = DataLoader if dl_type is None else dl_type
        train = dl_type(ds[0], **{**common, "shuffle": bool(shuffle) and sampler is None, "sampler": sampler, "drop_last": drop_last,
                                  "split_idx": 0})
        if any(f.has_setup for f in train.after_item):                  # on the samples as the transforms before leave them
            samples = ds[0].with_split_idx(1) if hasattr(ds[0], "with_split_idx") else ds[0]
            train.after_item.new(1).setup(Mapped(range(len(samples)), samples.__getitem__))
        others = {**common, "bs": bs if val_bs is None else val_bs, "shuffle": False, "drop_last": False, "split_idx": 1, **for_valid}
        dls = cls(train, *(dl_type(d, **others) for d in ds[1:]), path=path)
        _setup_batch_tfms(train, train.after_batch.fs)
        return dls

    @classmethod
    def from_streams(cls, train: Any, valid: Any = None, bs: int = 64, val_bs: int | None = None, shuffle: bool = True,
                     n_items: int | None = None, n_batches: int | None = None, path: PathLike = ".",
                     device: torch.device | str | None = None, item_tfms: Any = None, after_item: Any = None, before_batch: Any = None,
                     batch_tfms: Any = None, after_batch: Any = None, verbose: bool = False, **kwargs: Any) -> "DataLoaders":
        """Make a `StreamLoader` for a training stream, shuffled, and one for validation, in order.

        Args:
            train: what a `StreamLoader` reads: `ParquetShards`, `TarShards`, `Shards`, a streamed data set of Hugging Face, an
                `IterableDataset`.
            valid: the same for validation. None: there is none.
            bs: items per batch.
            val_bs: items per batch of validation. None: as `bs`.
            shuffle: mix the training stream.
            n_items: how many items the training stream has, where it does not know; those of validation are `val_n_items`.
            n_batches: how many batches an epoch of training has, instead of `n_items`; of validation `val_n_batches`.
            path: a folder that belongs to the data.
            device: where batches are put. None: `default_device()`.
            item_tfms: another name for `after_item`.
            after_item: transforms of each sample.
            before_batch: transforms of the list of samples.
            batch_tfms: another name for `after_batch`.
            after_batch: transforms of the batch, on the device.
            verbose: print one line per loader about what was chosen.
            **kwargs: other arguments of `StreamLoader`; with `val_` before its name an argument is for validation only.
        """
        from .stream_loader import StreamLoader
        check_dataloaders_keywords(kwargs, "DataLoaders.from_streams(...)", StreamLoader.own_keywords)
        for_valid = {k[4:]: v for k, v in kwargs.items() if k.startswith("val_")}
        common = {**{k: v for k, v in kwargs.items() if not k.startswith("val_")}, "device": device, "verbose": verbose,
                  "after_item": Pipeline(_either("item_tfms", item_tfms, "after_item", after_item)).fs,
                  "before_batch": Pipeline(before_batch).fs,
                  "after_batch": Pipeline(_either("batch_tfms", batch_tfms, "after_batch", after_batch)).fs}
        loaders = [StreamLoader(train, bs, shuffle, n_items=n_items, n_batches=n_batches, split_idx=0, **common)]
        if valid is not None:
            loaders.append(StreamLoader(valid, **{**common, "bs": bs if val_bs is None else val_bs, "split_idx": 1, **for_valid}))
        _setup_batch_tfms(loaders[0], loaders[0].after_batch.fs)
        return cls(*loaders, path=path)


def _check_loader(loader, i):
    "Refuse what cannot be loader `i` of `DataLoaders`."
    if isinstance(loader, (str, bytes, dict)) or not hasattr(loader, "__iter__") or not hasattr(loader, "__len__"):
        raise TypeError(f"loader {i} of DataLoaders must be a DataLoader or an iterable of batches with a length; received "
                        f"{describe(loader)}"
                        + (". An IterableDataset needs a `__len__` that says how many batches there "
                           "are" if hasattr(loader, "__iter__") else ""))
    try:
        length = len(loader)
    except TypeError as e:
        raise TypeError(f"{describe(loader)} cannot say how many batches an epoch has ({e}); give its dataset a `__len__`") from e
    if not length and not getattr(getattr(loader, "dataset", None), "is_template", False):
        raise ValueError(f"loader {i} of DataLoaders has no batch: {describe(loader)}")


class _Batches(Mapped):
    "The batches of a loader, each mapped when it is made: a transform that learns from them takes as many as it needs."

    def __getitem__(self, i: Any) -> Any:
        if i != 0:
            raise IndexError("only iterating and [0] make sense of training batches")
        return next(iter(self))


def _training_batches(loader: DataLoader, earlier: Pipeline) -> Sequence:
    """What batch transforms learn from: training batches in random but fixed order, without augmentation, on the device, of their own
    types (images as images), as the `earlier` transforms leave them."""
    plain = loader.new(shuffle=True, drop_last=False, split_idx=1, after_batch=None, num_workers=0, seed=0)
    return _Batches(plain, lambda batch: earlier(wrap_kinds(batch, plain.kinds)))


def _setup_batch_tfms(loader: DataLoader, tfms: Sequence[Transform]) -> None:
    "Let those of the batch transforms `tfms` of the training loader that want to learn from its batches."
    for f in tfms:
        if f.has_setup:
            f.setup(_training_batches(loader, Pipeline(loader.after_batch.fs[:loader.after_batch.fs.index(f)], 1)))


def _either(name, value, other_name, other):
    if value is not None and other is not None:
        raise TypeError(f"{name} and {other_name} are two names for the same thing: give one of them")
    return other if value is None else value


def _ours(loader):
    "`loader` as one of this package: itself, or one over the same dataset."
    if isinstance(loader, DataLoader):
        return loader
    dataset = getattr(loader, "dataset", None)
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise TypeError(f"this needs a dataset with len and indices; the loader is {describe(loader)}. Make the loader as "
                        "DataLoader(dataset, bs=...)")
    collate_fn = getattr(loader, "collate_fn", None)
    return DataLoader(dataset, getattr(loader, "batch_size", None) or find_bs(next(iter(loader))),
                      num_workers=getattr(loader, "num_workers", 0),
                      collate_fn=None if collate_fn is torch.utils.data.default_collate else collate_fn)


def _test_dataset(like: DataLoader, items: Any, with_labels: bool | None = False) -> Any:
    "New `items` as a dataset like that of the loader `like`."
    dataset, items = like.dataset, list(items) if hasattr(items, "__next__") else items          # a generator
    if hasattr(dataset, "test_set"):
        dataset = dataset.test_set(items, with_labels)
    elif hasattr(items, "shape"):
        dataset = torch.utils.data.TensorDataset(torch.as_tensor(items))
    elif hasattr(items, "__getitem__") and hasattr(items, "__len__") and not isinstance(items, (str, bytes, dict)):
        tensors = isinstance(items, list) and isinstance(getattr(dataset, "tensors", None), tuple)          # which open no files
        at = next((i for i, x in enumerate(items) if isinstance(x, (str, bytes, Path))), None) if tensors else None
        if at is not None:
            raise TypeError(f"test_dl: item {at} is {describe(items[at])}, but the training data are tensors in memory, from which it is "
                            "not known how to make an input of it. Give tensors, or a dataset that opens what you have")
        if not len(like.after_item) and isinstance(items, list) and items and isinstance(items[0], (str, bytes, Path)):
            sample = dataset[0]
            first = sample[0] if isinstance(sample, (tuple, list)) and len(sample) else sample
            if not isinstance(first, (str, bytes, Path)):
                raise TypeError(f"test_dl: item 0 is {describe(items[0])}, but those of the training data are {describe(first)}, and "
                                f"only your {type(dataset).__name__} knows how to open one. Give what it makes of a file, predict(x) with "
                                "x as the model gets it, or a dataset of your class")
        dataset = items
    else:
        raise TypeError(f"test_dl takes a dataset or a list of samples here, because the training data come from "
                        f"{describe(like.dataset)}; received {describe(items)}")
    if not len(dataset):
        raise ValueError(f"test_dl received no items: {describe(items)}")
    return dataset
