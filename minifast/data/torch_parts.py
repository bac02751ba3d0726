"""`TorchParts`: this rank's part of each batch of a loader of torch, so that such loaders can be used by several processes too."""
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data.distributed import DistributedSampler

from ..core.messages import describe
from ..core.ranks import rank, shared
from ..core.seeds import item_rng
from ..core.shares import Share, share_of


class TorchParts:
    """A loader of torch among several ranks: all take the batches that rank 0 draws, and each makes its part of them.

    Whatever else is asked of it, the loader of torch answers.

    Args:
        dl: a `torch.utils.data.DataLoader` over a dataset with indices.

    Raises:
        TypeError: its batches cannot be divided, because it is no such loader or reads a stream.
        ValueError: it is divided already, by a `DistributedSampler`.
    """

    def __init__(self, dl: DataLoader):
        if not isinstance(dl, DataLoader) or isinstance(dl.dataset, IterableDataset) or dl.batch_sampler is None:
            stream = isinstance(getattr(dl, "dataset", None), IterableDataset)
            instead = "its dataset to StreamLoader(dataset, bs=64, n_items=...)" if stream else \
                "a loader over a dataset with `len` and indices, such as DataLoader(dataset, bs=64)"
            raise TypeError(f"{describe(dl)} cannot be divided among ranks, and each of them would train on all of it: give {instead}")
        if isinstance(dl.sampler, DistributedSampler) or isinstance(getattr(dl.batch_sampler, "sampler", None), DistributedSampler):
            raise ValueError("the loader has a DistributedSampler, which gives each rank a part, and here each batch is divided among the "
                             "ranks: leave the sampler out, write shuffle=True, and let batch_size be that of all ranks together")
        self.dl = dl
        self.share: Share | None = None             #: how the items of the latest batch are divided
        self._parts: list = []
        self._loader: DataLoader | None = None

    def __len__(self) -> int:
        return len(self.dl)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["dl"], name)

    def __iter__(self) -> Iterator[Any]:
        again = self._loader is not None and self.dl.persistent_workers
        drawn = 0 if again else torch.empty((), dtype=torch.int64).random_(generator=self.dl.generator)      # as torch's loader does first
        base_seed, batches = shared((int(drawn), list(self.dl.batch_sampler)))
        shares = [share_of(len(batch)) for batch in batches]
        self._parts[:] = [batch[share.held] for batch, share in zip(batches, shares, strict=True)]
        if self._loader is None:
            dl = self.dl
            self._loader = DataLoader(dl.dataset, batch_sampler=self._parts, num_workers=dl.num_workers, collate_fn=dl.collate_fn,
                                      pin_memory=dl.pin_memory, timeout=dl.timeout, worker_init_fn=dl.worker_init_fn,
                                      multiprocessing_context=dl.multiprocessing_context, prefetch_factor=dl.prefetch_factor,
                                      persistent_workers=dl.persistent_workers, generator=torch.Generator())
        self._loader.generator.manual_seed(int(item_rng(base_seed, rank()).integers(2**63)))
        for self.share, batch in zip(shares, self._loader, strict=True):
            yield batch
