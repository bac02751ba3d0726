"""Transforms that learn from the training data: what they get to see."""
from collections.abc import Iterator, Sequence
from typing import Any

from .dataloader import DataLoader
from .engine.collate import wrap_kinds
from .pipeline import Mapped, Pipeline
from .transforms import Transform


class SetupBatches(Sequence):
    """Training batches for batch transforms to learn from: in random but fixed order, without augmentation, on the device, of their own
    types (images as images). Iterating costs what loading costs: a transform takes as many as it needs."""

    def __init__(self, loader: DataLoader, earlier: Sequence[Transform]):
        self.loader = loader.new(shuffle=True, drop_last=False, split_idx=1, after_batch=None, num_workers=0, seed=0)
        self.earlier = Pipeline(earlier, 1)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            yield self.earlier(wrap_kinds(batch, self.loader.kinds))

    def __getitem__(self, i: Any) -> Any:
        if i != 0:
            raise IndexError("only iterating and [0] make sense of training batches")
        return next(iter(self))


def setup_item_tfms(loader: DataLoader) -> None:
    "Let the item transforms of the training loader learn from its samples, as the transforms before them leave these."
    if any(f.has_setup for f in loader.after_item):
        dataset = loader.dataset
        samples = dataset.with_split_idx(1) if hasattr(dataset, "with_split_idx") else dataset
        loader.after_item.new(1).setup(Mapped(range(len(samples)), samples.__getitem__))


def setup_batch_tfms(loader: DataLoader, tfms: Sequence[Transform]) -> None:
    "Let those of the batch transforms `tfms` of the training loader that want to learn from its batches."
    for f in tfms:
        if f.has_setup:
            f.setup(SetupBatches(loader, loader.after_batch.fs[:loader.after_batch.fs.index(f)]))
