"""The engine without workers: each batch is made when it is asked for."""
from collections.abc import Iterator

from .fetch import Batch, Fetcher
from .samplers import BatchKey


class InlineEngine:
    "Makes batches in the thread that asks for them. pin: in page-locked memory."

    def __init__(self, fetcher: Fetcher, pin: bool = False):
        self.fetcher, self.pin = fetcher, pin

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order."
        for key in keys:
            batch = self.fetcher.make(key)
            yield batch.pin_memory() if self.pin else batch

    def close(self) -> None:
        "Nothing to end."
