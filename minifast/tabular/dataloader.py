"""Batches of tables: one index into tensors that lie where the batches are needed. No worker processes, no Python per row."""
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Subset

from ..core.messages import brief, describe, plural
from ..core.nested import find_bs
from ..core.types import PathLike
from ..data.dataloader import DataLoader
from ..data.engine.fetch import Batch, BatchKey, Order
from ..data.engine.samplers import WeightedSampler
from ..data.loaders import DataLoaders

if TYPE_CHECKING:
    from .frames import TabularPandas

__all__ = ["TabDataLoader", "TabWeightedDL", "TableDataLoaders"]

#: What loaders give of their table besides its procs, `dls.procs`, `dls.categorify` and `dls.valid.xs`, as fastai's do.
OF_TABLE = ("cat_names", "cats", "cont_names", "conts", "items", "procs", "x_names", "xs", "y", "y_names", "ys")
#: A table goes to the accelerator as a whole if it takes at most this fraction of the memory that is free there.
FITS = 0.25


class RowFetcher:
    """Makes the `Batch` of a `TabularPandas` for a `BatchKey` by one index into each of its tensors.

    The indices are positions within the part of the table that the loader is for, or a tensor of `place`.
    """

    loads_images, pin, in_memory = False, False, True

    def __init__(self, table: "TabularPandas"):
        self.dataset, self.device, self.home = table, torch.device("cpu"), torch.device("cpu")

    def move_to(self, device: torch.device) -> None:
        "Let the table lie on `device`, where the batches go, if it fits there."
        if device != self.device:
            self.device = device
            self.home = device if device.type == "cpu" or _fits(self.dataset.whole("cpu"), device) else torch.device("cpu")

    def place(self, order: torch.Tensor) -> torch.Tensor:
        "An order of rows as rows of the whole table, on the device where it lies: once per epoch, so that no batch waits for it."
        rows = self.dataset.rows
        order = order if rows is None else torch.from_numpy(rows).index_select(0, order)
        return order.to(self.home, non_blocking=True)

    def make(self, key: BatchKey) -> Batch:
        "The batch `key`."
        rows = key.indices
        if not isinstance(rows, torch.Tensor):
            rows = self.place(torch.as_tensor(rows, dtype=torch.int64))
        return Batch(tuple(t.index_select(0, rows) for t in self.dataset.whole(self.home)))

    def item(self, i: int, seed: int) -> tuple:
        "Row `i`."
        return self.dataset[i]

    def name_of(self, i: int) -> str:
        "What to call row `i` in a message."
        return self.dataset.item_name(i)

    def idle(self) -> list:
        "No transform of single rows can be idle."
        return []


def _fits(tensors: Sequence[torch.Tensor], device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type != "meta"
    return sum(t.numel() * t.element_size() for t in tensors) <= FITS * torch.cuda.mem_get_info(device)[0]


class RowOrder(Order):
    "An `Order` whose indices are slices of one tensor per epoch, placed by the fetcher."

    def __init__(self, fetcher: RowFetcher, *args: Any):
        super().__init__(*args)
        self.fetcher = fetcher

    def keys(self, seed: int, start: int = 0) -> Iterator[BatchKey]:
        "The batches of the epoch with this seed, from batch `start` on."
        order = self.fetcher.place(self.drawn(seed))
        for number in range(start, len(self)):
            yield BatchKey(seed, number, order[number * self.bs:(number + 1) * self.bs], None)


class TabDataLoader(DataLoader):
    """Batches (categorical, continuous, targets) of a processed `TabularPandas`, each taken by one index.

    Args:
        dataset: the `TabularPandas`.
        bs, batch_size: rows per batch.
        shuffle: a new order each epoch.
        drop_last: drop an incomplete last batch; default: only if it is a single row and the loader shuffles.
        after_batch: transforms of the batch, on the device.
        device: where batches are put; the table lies there as a whole if it takes no more than a quarter of the free memory.
        n_inp: how many elements of a batch are inputs; default: as the table says.
        seed, sampler, pin_memory, split_idx, verbose: see `DataLoader`.
        num_workers, persistent_workers, timeout, multiprocessing_context: accepted and of no effect: a batch needs no workers.
        after_item, before_batch, collate_fn: refused, because there are no single items.
        unknown: other arguments of `DataLoader`, or refused.
    """

    dataset: Any        #: the `TabularPandas`

    def __init__(self, dataset: "TabularPandas | Subset", bs: int = 64, shuffle: bool = False, num_workers: int | None = None,
                 drop_last: bool | None = None, after_item: Any = None, before_batch: Any = None, after_batch: Any = None,
                 device: str | torch.device | None = None, n_inp: int | None = None, seed: int | None = None, sampler: Any = None,
                 collate_fn: Any = None, pin_memory: bool | None = None, persistent_workers: bool | None = None,
                 timeout: float | None = None, multiprocessing_context: Any = None, split_idx: int | None = None, verbose: bool = False,
                 batch_size: int | None = None, **unknown: Any):
        whole: Any = getattr(dataset, "dataset", None)
        table: Any = whole.at(dataset.indices) if isinstance(dataset, Subset) and hasattr(whole, "whole") else dataset
        if not hasattr(table, "whole"):
            raise TypeError(f"TabDataLoader takes a TabularPandas; received {describe(dataset)}")
        useless = {"collate_fn": collate_fn, "after_item": after_item, "before_batch": before_batch}
        given = [name for name, value in useless.items() if value]
        if given:
            raise ValueError(f"TabDataLoader does not take {', '.join(given)}: a batch is one index into tensors, there are no single "
                             "items. Leave it out; transforms of a batch go to after_batch")
        table.whole("cpu")                        # says now what is wrong with the columns
        super().__init__(table, bs=bs, shuffle=shuffle, num_workers=0, drop_last=drop_last, after_batch=after_batch, device=device,
                         n_inp=table.n_inp if n_inp is None else n_inp, seed=seed, sampler=sampler, pin_memory=pin_memory,
                         split_idx=split_idx, verbose=verbose, batch_size=batch_size, **unknown)

    def _make_fetcher(self) -> RowFetcher:
        if len(self.after_item) or len(self.before_batch):              # set by hand
            raise ValueError("batches of a table are not made item by item: give the transforms to after_batch")
        self.cache = None
        return RowFetcher(self.dataset)

    def _make_order(self) -> RowOrder:
        return RowOrder(self._fetcher, self.sampler, self.bs, self._args["drop_last"])

    def _prepare(self) -> None:
        self._fetcher.move_to(self.device)

    def add_tfms(self, tfms: Any, event: Literal["after_item", "before_batch", "after_batch"]) -> None:
        "Add transforms of the batch, event 'after_batch'."
        if event in ("after_item", "before_batch"):
            raise ValueError(f"add_tfms(event={event!r}): batches of a table are not made item by item; the event is 'after_batch'")
        super().add_tfms(tfms, event)
        self._order = self._make_order()

    # -- looking ----------------------------------------------------------------------------------------------------------------
    @property
    def classes(self) -> dict[Any, Any]:
        "`{column: its categories}`."
        return self.dataset.classes

    def __getattr__(self, name: str) -> Any:
        if "dataset" in self.__dict__ and (name in OF_TABLE or name in self.dataset.procs.named):
            return getattr(self.dataset, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def decoded(self, b: Any, max_n: int = 9) -> pd.DataFrame:
        "The first `max_n` rows of batch `b` with every step undone, as a DataFrame."
        n = min(max_n, find_bs(b))
        parts = [t[:n] for t in (b if isinstance(b, (tuple, list)) else (b,))]
        parts = [t.detach().cpu() for t in self.after_batch.decode(tuple(parts))]
        codes, rest = parts[0].numpy(), parts[1:]
        numbers = rest.pop(0).numpy() if self.dataset.with_cont else np.zeros((n, 0), dtype=np.float32)
        return self.dataset.decode_arrays(codes, numbers, rest[0].numpy() if rest else None)

    def decode_batch(self, b: Any, max_n: int = 9) -> list[dict]:
        "The first `max_n` rows of batch `b` with every step undone, as a list of dicts."
        return self.decoded(b, max_n).to_dict("records")

    def show_batch(self, b: Any = None, max_n: int = 10, ctxs: Any = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: Any = None,
                   **kwargs: Any) -> pd.DataFrame | list[dict]:
        "The first `max_n` rows of batch `b` (None: a new one), decoded, as a DataFrame; show=False: as a list of dicts."
        asked = {"ctxs": ctxs, "unique": unique, "nrows": nrows, "ncols": ncols, "figsize": figsize, **kwargs}
        given = [name for name, value in asked.items() if value]
        if given:
            raise TypeError(f"show_batch of a table gives a DataFrame and does not take {', '.join(given)}: it takes b, max_n and show")
        if isinstance(max_n, bool) or not isinstance(max_n, int) or max_n < 1:
            raise ValueError(f"show_batch(max_n={brief(max_n)}): how many rows to show, at least 1")
        b = self.one_batch() if b is None else b
        return self.decoded(b, max_n) if show else self.decode_batch(b, max_n)


def TabWeightedDL(dataset: Any, bs: int = 64, wgts: Sequence[float] | None = None, **kwargs: Any) -> TabDataLoader:
    """Make a `TabDataLoader` that draws as many rows as the table has, with replacement.

    Args:
        dataset: as for `TabDataLoader`.
        bs: rows per batch.
        wgts: one number per row, to which its probability is proportional. None: a plain `TabDataLoader`.
        **kwargs: other arguments of `TabDataLoader`.
    """
    if wgts is None:
        return TabDataLoader(dataset, bs, **kwargs)
    if len(wgts) != len(dataset):
        raise ValueError(f"TabWeightedDL: wgts needs one weight per row: received {len(wgts)} for {plural(len(dataset), 'row')}")
    return TabDataLoader(dataset, bs, sampler=WeightedSampler(wgts), **{**kwargs, "shuffle": False})


class TableDataLoaders(DataLoaders):
    "`DataLoaders` of processed tables: what `dataloaders` of a `TabularPandas` returns."

    @classmethod
    def from_tables(cls, *tables: "TabularPandas", bs: int = 64, val_bs: int | None = None, shuffle: bool = True, path: PathLike = ".",
                    device: str | torch.device | None = None, seed: int | None = None, drop_last: bool | None = None, sampler: Any = None,
                    after_batch: Any = None, verbose: bool = False, num_workers: int | None = None,
                    pin_memory: bool | None = None) -> Any:
        "Loaders of processed `TabularPandas`, the first for training."
        return cls.from_dsets(*tables, path=path, bs=bs, device=device, after_batch=after_batch, val_bs=val_bs, shuffle=shuffle,
                              drop_last=drop_last, seed=seed, sampler=sampler, dl_type=TabDataLoader, verbose=verbose,
                              num_workers=num_workers, pin_memory=pin_memory)

    @property
    def classes(self) -> dict[Any, Any]:
        "`{column: its categories}`, id 0 being `'#na#'`."
        return self.train.dataset.classes

    def __getattr__(self, name: str) -> Any:
        if "loaders" in self.__dict__ and (name in OF_TABLE or name in self.train.dataset.procs.named):
            return getattr(self.train.dataset, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
