"""`TransformersDL`: batches of texts that were tokenised once, all of them together."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.messages import add_note
from ...data.datasets import Datasets
from ...data.engine.fetch import Fetcher
from ...data.labels import ColReader
from ...data.pipeline import Pipeline
from ...data.rows import Rows
from ...data.targets import base_dataset
from ..sorted_loader import SortedDL
from .encoding import EncodedTexts, EncodeText


def text_pipeline(dataset: Any) -> tuple[int, int] | None:
    "Which pipeline of a dataset tokenises texts, and at which step; None where none does."
    dataset, _ = base_dataset(dataset)
    pipes = dataset.pipelines_in_use if isinstance(dataset, Datasets) else ()
    return next(((k, i) for k, p in enumerate(pipes) for i, f in enumerate(p) if isinstance(f, EncodeText)), None)


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
        return tuple(self._read(o)) if len(self.cols) > 1 else self._read(o)

    def __repr__(self) -> str:
        return f"TextReader({self.cols!r})"


def texts_of(rows: Rows, earlier: Pipeline) -> list[Any]:
    "The texts of items, before they are tokenised. earlier: what makes one of an item."
    reader: Any = vars(earlier[0]).get("encodes") if len(earlier) == 1 else None
    if type(reader) is TextReader and rows.columns is not None:
        columns = [rows.source[c].tolist() for c in reader.cols]
        return list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
    return [earlier(rows.get(i)) for i in range(len(rows))]


class EncodedItems:
    """Items whose texts were tokenised at once: samples as those of a dataset, less the work.

    Args:
        dataset: the dataset.
        texts: the texts of these items, in their order.
        at: which element of a sample they are.
        chosen: which items of the dataset these are; None: all.
    """

    def __init__(self, dataset: Datasets, texts: EncodedTexts, at: int, chosen: list[int] | None = None):
        self.dataset, self.texts, self.at, self.chosen = dataset, texts, at, chosen
        self.pipelines, self.n_inp = dataset.pipelines, dataset.n_inp

    @property
    def pipelines_in_use(self) -> list[Pipeline]:
        "The pipelines that samples are made with."
        return self.dataset.pipelines_in_use

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> tuple:
        return self.sample(i)

    def _place(self, i):
        return i if self.chosen is None else self.chosen[i]

    def item_name(self, i: int) -> str:
        "What to call item `i` in a message."
        return self.dataset.item_name(self._place(i))

    def sample(self, i: int, rng: np.random.Generator | None = None) -> tuple:
        "Sample `i`."
        pipes = self.dataset.pipelines_in_use
        if len(pipes) == 1:
            return (self.texts[i],)
        try:
            item = self.dataset.rows.get(self._place(i))
            return tuple(self.texts[i] if k == self.at else pipe(item, rng) for k, pipe in enumerate(pipes))
        except Exception as e:
            add_note(e, f"while making the sample of {self.item_name(i)}")
            raise

    def idle(self, i: int = 0, rng: np.random.Generator | None = None) -> list:
        "The transforms that apply to nothing in item `i`."
        return self.dataset.idle(self._place(i), rng)


def n_tokens(sample: tuple) -> int:
    "The tokens of the text of a sample."
    return len(sample[0]["input_ids"])


class TransformersDL(SortedDL):
    """Batches of texts of like lengths. The texts are tokenised once, when the loader is made, and kept as ids in memory.

    Args:
        dataset: as for `DataLoader`.
        encoded: its texts, where they were tokenised already.
        **kwargs: other arguments of `SortedDL`.
    """

    own_keywords: tuple[str, ...] = (*SortedDL.own_keywords, "encoded")

    def __init__(self, dataset: Any, encoded: EncodedTexts | None = None, **kwargs: Any):
        self.encoded = encoded
        if kwargs.get("num_workers") is None and text_pipeline(dataset) is not None:
            kwargs["num_workers"] = 0                       # there is nothing left to do for them
        kwargs["sort_func"] = kwargs.get("sort_func") or n_tokens
        super().__init__(dataset, **kwargs)
        self._args["encoded"] = self.encoded

    def _make_fetcher(self) -> Fetcher:
        fetcher, found = super()._make_fetcher(), text_pipeline(self.dataset)
        dataset, chosen = base_dataset(self.dataset)
        if found is None or dataset.is_template:
            self.encoded = None
            return fetcher
        at, step = found
        pipe = dataset.pipelines_in_use[at]
        if self.encoded is None or not self.encoded.are_of(dataset.rows, chosen):
            rows = dataset.rows if chosen is None else dataset.rows.at(chosen)
            tfm: Any = pipe[step]
            self.encoded = tfm.encode_all(texts_of(rows, Pipeline(pipe.fs[:step], 1)), rows.item_name)
            self.encoded.rows, self.encoded.chosen = dataset.rows, chosen
        if self.res is None:
            self.res = self.encoded.lengths
        args = self._args
        return Fetcher(EncodedItems(dataset, self.encoded, at, chosen), self.after_item, self.before_batch, self.after_batch,
                       self.collate_fn, args["on_error"], self.cache)
