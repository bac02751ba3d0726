"""`LMDataLoader`: the batches of a language model, which reads all texts as one stream and predicts each next token."""
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe, plural
from ..core.recipe import Recipe
from ..data.dataloader import DataLoader
from ..data.datasets import Datasets
from ..data.engine.collate import kinds_of
from ..data.engine.fetch import Batch, BatchKey, Fetcher, Making, Order
from ..data.engine.samplers import OrderSampler
from ..data.pipeline import Pipeline
from ..data.targets import base_dataset
from .flat import FlatTexts, ahead_texts
from .showing import TextLoader
from .tensors import LMTensorText, TensorText

#: Arguments of other loaders, and what asks for them.
_NOT_TAKEN = {"after_item": "after_item (item_tfms)", "before_batch": "before_batch", "collate_fn": "collate_fn",
              "sampler": "sampler (wgts, partial_n)"}


class _Epoch(NamedTuple):
    "The stream of an epoch: which text comes when, and where each ends in it."

    seed: int
    order: np.ndarray
    ends: np.ndarray


class StreamFetcher(Fetcher):
    """Makes a batch by reading the pieces of its rows; it holds nothing but the places where texts end in the stream.

    Args:
        dataset: of the loader.
        texts: its texts.
        sampler: the order of the texts in an epoch.
        bs: rows of a batch: as many parallel streams.
        seq_len: tokens per row.
    """

    def __init__(self, dataset: Any, texts: FlatTexts, sampler: OrderSampler, bs: int, seq_len: int):
        super().__init__(dataset, Pipeline(None, 1), Pipeline())
        self.texts, self.sampler, self.bs, self.seq_len = texts, sampler, bs, seq_len
        self.length = max(int(texts.lengths.sum()) - 1, 0) // bs        #: tokens of each stream
        self.n_batches = -(-self.length // seq_len)
        self._kinds = kinds_of((LMTensorText([0]), TensorText([0])))
        self._epoch: _Epoch | None = None
        self._draws_nothing()

    def _draws_nothing(self):
        self.draws, self._uses_rng, self.is_quiet, self.tensors = False, False, True, None

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        "None: the texts are ids already."
        return ()

    @property
    def may_draw_globally(self) -> bool:
        "No: nothing here draws random numbers but the order of the texts."
        return False

    def epoch(self, seed: int) -> _Epoch:
        "The stream of the epoch with this seed."
        found = self._epoch
        if found is None or found.seed != seed:
            order = self.sampler.order(seed).numpy()
            found = self._epoch = _Epoch(seed, order, np.cumsum(self.texts.lengths[order]))
        return found

    def make(self, key: BatchKey) -> Batch:
        "The batch `key`: of its rows, the `indices`."
        rows = np.asarray(key.indices, dtype=np.int64)
        width = min(self.seq_len, self.length - key.number * self.seq_len)
        begin = rows * self.length + key.number * self.seq_len
        end = begin + width + 1                                         # one more: the token after the last
        _, order, ends = self.epoch(key.seed)
        first, last = np.searchsorted(ends, begin, "right"), np.searchsorted(ends, end, "left")
        counts = last - first + 1
        at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)      # the texts that each row reads from
        text, starts = order[at], ends[at] - self.texts.lengths[order[at]]
        left, right = np.maximum(np.repeat(begin, counts), starts), np.minimum(np.repeat(end, counts), ends[at])
        n = right - left
        within = ends[at] - right if self.texts.backwards else left - starts
        ids = self.texts.read(self.texts.starts[text] + within, n).reshape(len(rows), width + 1)
        return Batch(tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (ids[:, :-1], ids[:, 1:])), self._kinds)

    def fill(self, making: Making, positions: Any, stopped: Any = None) -> None:
        "Nothing: rows are read together."

    def finish(self, making: Making) -> Batch:
        "The batch of `making`."
        return self.make(making.key)

    def item(self, i: int, seed: int, repeat: int = 0, rng: Any = None, place: Any = None) -> tuple:
        "Row `i` of the first batch."
        x, y = self.make(BatchKey(seed, 0, [i], None)).data
        return LMTensorText(x[0]), TensorText(y[0])

    def idle(self, seed: int = 0) -> list:
        "No transform of single samples can be idle."
        return []


class StreamOrder(Order):
    "The batches of a stream. The `indices` of a key are rows; `indices(seed, number)` are the texts in which they begin."

    def __init__(self, fetcher: StreamFetcher, drop_last: bool | None):
        super().__init__(fetcher.sampler, fetcher.bs, drop_last)
        self.fetcher = fetcher

    def __len__(self) -> int:
        n, rest = divmod(self.fetcher.length, self.fetcher.seq_len)
        return n + (rest > 0 and not self.drop_last)

    def indices(self, seed: int, number: int) -> list[int]:
        "The texts in which the rows of batch `number` begin."
        epoch, f = self.fetcher.epoch(seed), self.fetcher
        at = np.searchsorted(epoch.ends, np.arange(f.bs) * f.length + number * f.seq_len, "right")
        return epoch.order[at].tolist()

    def keys(self, seed: int, start: int = 0) -> Iterator[BatchKey]:
        "The batches of the epoch with this seed, from batch `start` on."
        rows = list(range(self.fetcher.bs))
        for number in range(start, len(self)):
            yield BatchKey(seed, number, rows, None)


class LMDataLoader(TextLoader):
    """Batches (ids (bs, seq_len), the same one token later (bs, seq_len)) of all texts joined into one stream.

    The stream is cut into `bs` streams of equal length, the rows. Row i of a batch goes on where row i of the batch before ended, so that
    a model may keep its hidden state. Only the tokens at the end that do not fill all rows are dropped; the last batch may be shorter. The
    texts come in a new order in each epoch where the loader shuffles, else in that of the dataset.

    Args:
        dataset: of samples that are, or begin with, the ids of a text: `TfmdLists`, `Datasets`, a list of arrays or tensors,
            `FlatTexts`; or all ids in one array, such as an `np.memmap`.
        lens: not needed.
        cache: not needed.
        bs: rows.
        seq_len: tokens per row.
        shuffle: join the texts in another order in each epoch.
        num_workers: workers; None: 0, because a batch is read in less time than it takes to send.
        texts: the texts of the dataset as `FlatTexts`, where they are known.
        **kwargs: other arguments of `DataLoader`. Refused are `after_item`, `before_batch`, `collate_fn` and `sampler`: there are no
            single samples.
    """

    own_keywords = ("lens", "seq_len", "texts")

    def __init__(self, dataset: Any, lens: Any = None, cache: Any = None, bs: int = 64, seq_len: int = 72, shuffle: bool = False,
                 num_workers: int | None = None, texts: FlatTexts | None = None, **kwargs: Any):
        check_arguments("LMDataLoader", seq_len=(seq_len, is_whole(seq_len), "tokens per row, a whole number of at least 1"))
        given = [told for name, told in _NOT_TAKEN.items() if kwargs.pop(name, None)]
        if given:
            raise ValueError(f"LMDataLoader does not take {', '.join(given)}: all texts are one stream, there are no single samples. Leave "
                             "it out; transforms of a batch go to after_batch")
        if getattr(dataset, "ndim", 0) == 1:
            dataset = FlatTexts.of(dataset)
        self.seq_len = seq_len                      #: tokens per row
        self.texts: Any = texts                     #: the `FlatTexts`
        super().__init__(dataset, bs=bs, shuffle=shuffle, num_workers=num_workers or 0, n_inp=kwargs.pop("n_inp", None) or 1, **kwargs)
        self._args.update(seq_len=seq_len, texts=self.texts)

    def _make_fetcher(self) -> StreamFetcher:
        if len(self.after_item) or len(self.before_batch):              # set by hand
            raise ValueError("batches of a language model are not made of single samples: give the transforms to after_batch")
        self.cache = None
        if self.texts is None:
            self.texts = texts_of(self.dataset)
        return self._fetcher_for(self.bs)

    def _fetcher_for(self, bs):
        fetcher = StreamFetcher(self.dataset, self.texts, self.sampler, bs, self.seq_len)
        if not fetcher.length and not getattr(self.dataset, "is_template", False):
            n, name = int(self.texts.lengths.sum()), "val_bs" if self.split_idx == 1 else "bs"
            most = max(1, min(bs, n - 1))
            fits = f"Write {name}={most} or less, or" if n > 1 else "Use"
            of_test = f"; to test_dl give bs={most}" if name == "val_bs" else ""
            raise ValueError(f"LMDataLoader: {plural(n, 'token')} in {plural(len(self.texts), 'text')} cannot be cut into bs={bs} rows "
                             f"that have a token to read and the next to predict. {fits} more text{of_test}")
        return fetcher

    def _make_order(self) -> StreamOrder:
        if self._fetcher.bs != self.bs:             # set by hand
            self._fetcher = self._fetcher_for(self.bs)
            self.end_workers()
        return StreamOrder(self._fetcher, self._args["drop_last"])

    @property
    def n(self) -> int:
        "Rows of all batches."
        return self._fetcher.n_batches * self.bs

    @property
    def n_tokens(self) -> int:
        "Tokens that an epoch predicts."
        return self._fetcher.length * self.bs

    def decode_batch(self, b: Any, max_n: int = 9) -> list:
        parts = b if isinstance(b, (tuple, list)) else (b,)
        decode = getattr(self.dataset, "decode", None)
        if decode is None:
            return super().decode_batch(b, max_n)
        columns = [[decode((row,))[0] if isinstance(self.dataset, Datasets) else decode(row) for row in part[:max_n]]
                   for part in self.after_batch.decode(tuple(TensorText(p.cpu()) for p in parts))]
        return list(zip(*columns, strict=True))

    def column_names(self, sample: Any) -> list[str]:
        return ["text", "text_"][:len(sample)]

    def new(self, dataset: Any = None, **overrides: Any) -> DataLoader:
        if dataset is not None:
            overrides.setdefault("texts", None)
        return super().new(dataset, **overrides)

    def template(self) -> Recipe:
        plain = super().template()
        args = {k: v for k, v in plain.args.items() if k not in ("after_item", "before_batch", "collate_fn")}
        return Recipe(plain.made_by, {**args, "seq_len": self.seq_len})

    def add_tfms(self, tfms: Any, event: Literal["after_item", "before_batch", "after_batch"]) -> None:
        if event in ("after_item", "before_batch"):
            raise ValueError(f"add_tfms(event={event!r}): batches of a language model are not made of single samples; the event is "
                             "'after_batch'")
        super().add_tfms(tfms, event)


def texts_of(dataset: Any) -> FlatTexts:
    """The first element of all samples of a dataset of ids.

    Args:
        dataset: as for `LMDataLoader`.

    Raises:
        TypeError: an element is not the ids of a text.
    """
    base, chosen = base_dataset(dataset)
    if chosen is not None:
        return texts_of(base).subset(chosen)
    if getattr(dataset, "is_template", False):
        return FlatTexts.of([])
    flat = ahead_texts(dataset)
    if flat is not None:
        return flat
    if not isinstance(dataset, FlatTexts) and not hasattr(dataset, "__getitem__"):
        raise TypeError(f"LMDataLoader takes a dataset of ids; received {describe(dataset)}")
    return FlatTexts.of(dataset if isinstance(dataset, FlatTexts) else (dataset[i] for i in range(len(dataset))))
