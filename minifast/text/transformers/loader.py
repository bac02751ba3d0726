"""`TransformersDL`: batches of texts that were tokenised once, all of them together."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.datasets import Datasets
from ...data.engine.whole import Read
from ...data.labels import ColReader
from ...data.targets import base_dataset
from ..sorted_loader import SortedDL
from ..text_sources import SEVERAL_TEXTS
from .batches import PadTokens
from .encoding import EncodedTexts, EncodeText


def encoder_in(source: Any) -> EncodeText | None:
    "What tokenises the texts of a dataset, loader or `DataLoaders`; None where nothing does."
    dataset, _ = base_dataset(getattr(source, "train", source))
    pipes = dataset.pipelines_in_use if isinstance(dataset, Datasets) else ()
    return next((f for p in pipes for f in p if isinstance(f, EncodeText)), None)


class TextReader:
    """The text of a row of a frame, or a pair of texts; a text, or a pair, as it is.

    Args:
        cols: the names of the columns.
    """

    def __init__(self, cols: Sequence[Any]):
        self.cols = list(cols)
        self._read = ColReader(self.cols)

    def __call__(self, o: Any) -> Any:
        if isinstance(o, (str, tuple, list)):
            return o
        if getattr(o, "ndim", 1) > 1:
            raise TypeError(f"one text is expected; received a table of {len(o):,}: {SEVERAL_TEXTS}")
        return tuple(self._read(o)) if len(self.cols) > 1 else self._read(o)

    def columns_of(self, frame: Any) -> list[Any]:
        "The texts of all rows of a frame."
        columns = [frame[c].tolist() for c in self.cols]
        return list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]

    def __repr__(self) -> str:
        return f"TextReader({self.cols!r})"


def n_tokens(sample: tuple) -> int:
    "The tokens of the text of a sample."
    return len(sample[0]["input_ids"])


class EncodedBatches:
    """Encoded texts read and padded together: indices -> the dict of a batch.

    Args:
        texts: all of a dataset.
        pad: what pads them.
    """

    def __init__(self, texts: EncodedTexts, pad: PadTokens):
        self.texts, self.pad = texts, pad

    def __call__(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        return self.pad.padded([self.texts[i] for i in indices.tolist()])


class TransformersDL(SortedDL):
    """Batches of texts of similar length. The texts were tokenised once, when the dataset was made, and lie as ids in memory.

    Args:
        dataset: as for `DataLoader`.
        **kwargs: other arguments of `SortedDL`.
    """

    def __init__(self, dataset: Any, **kwargs: Any):
        if kwargs.get("num_workers") is None and _encoded(dataset) is not None:
            kwargs["num_workers"] = 0                       # there is nothing left to do for them
        kwargs["sort_func"] = kwargs.get("sort_func") or n_tokens
        super().__init__(dataset, **kwargs)

    def _reader(self, sample: tuple) -> Read | None:
        texts, pad = _encoded(self.dataset), self.before_batch[0]
        if self.dataset.n_inp != 1 or texts is None or len(self.dataset.ahead[0].rest) or type(pad) is not PadTokens or pad.targets:
            return None
        return EncodedBatches(texts, pad)

    def _found_lengths(self) -> np.ndarray:
        texts = _encoded(self.dataset) if self.sort_func is n_tokens else None
        return super()._found_lengths() if texts is None else texts.lengths


def _encoded(dataset: Any) -> EncodedTexts | None:
    "The texts of a dataset, where they were tokenised already."
    ahead = getattr(dataset, "ahead", {}).get(0)
    return ahead.values if ahead is not None and isinstance(ahead.values, EncodedTexts) else None
