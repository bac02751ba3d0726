"""`SortedDL`: batches of texts of similar length, so that little of a batch is padding."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..core.messages import plural
from ..core.recipe import Recipe
from ..core.seeds import fixed_seed
from ..data.dataloader import DataLoader
from ..data.engine.fetch import Fetcher, Order
from ..data.engine.samplers import OrderSampler
from ..data.engine.whole import Read, whole_batches
from ..data.pipeline import Pipeline
from .flat import FlatTexts, ahead_texts
from .padding import Pad_Chunk, Padding
from .showing import TextLoader

#: Texts that are shuffled are sorted within parts of this many batches.
BATCHES_PER_BUCKET = 50
#: Fewer texts than these are made before a worker process has started.
FEW = 64


class LengthBuckets(OrderSampler):
    """What another sampler takes, in batches of similar length.

    A sampler that shuffles: other batches in each epoch, in another order, the longest item in the first one, so that memory runs out at
    once or not at all. Chance says which items are left for an incomplete last batch, which may be dropped. One that does not shuffle:
    sorted, longest first (items of one length in their order).

    Args:
        sampler: takes the items.
        lengths: of each item.
        bs: items per batch.
    """

    def __init__(self, sampler: OrderSampler, lengths: Sequence[int], bs: int):
        self.sampler, self.lengths, self.bs = sampler, np.asarray(lengths), bs
        self.shuffles, self.repeats, self.n = sampler.shuffles, sampler.repeats, len(sampler)

    def order(self, epoch_seed: int) -> torch.Tensor:
        order, bs = self.sampler.order(epoch_seed).numpy().copy(), self.bs
        lengths = self.lengths[order]
        if not self.shuffles:
            return torch.from_numpy(order[np.argsort(-lengths, kind="stable")])
        if self.n < bs:
            return torch.from_numpy(order)
        longest, whole = int(lengths.argmax()), self.n // bs * bs
        order[[0, longest]] = order[[longest, 0]]                   # into the first bucket, wherever it is
        full, rest = order[:whole], order[whole:]
        full = full[np.lexsort((-self.lengths[full], np.arange(whole) // (BATCHES_PER_BUCKET * bs)))].reshape(-1, bs)
        full[1:] = full[1 + np.random.default_rng(epoch_seed).permutation(len(full) - 1)]
        return torch.from_numpy(np.concatenate([full.ravel(), rest]))


class PaddedTexts:
    """Texts read and padded together: indices -> ids, int64 (B, T).

    Args:
        texts: all of a dataset.
        pad: what pads them.
    """

    def __init__(self, texts: FlatTexts, pad: Padding):
        self.texts, self.pad = texts, pad

    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        lengths = self.texts.lengths[indices]
        ids = self.texts.read(self.texts.starts[indices], lengths)
        ends = np.cumsum(lengths).tolist()
        return torch.from_numpy(self.pad.rows([ids[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]))


class SortedDL(TextLoader):
    """Batches of samples of similar length: in length buckets where it shuffles, else sorted (`get_preds` puts them back in order).

    Args:
        dataset: as for `DataLoader`.
        sort_func: sample -> length; None: the length of its first element.
        res: the lengths of all samples, where they are known; None: found out, which may make each sample once.
        seq_len: tokens per piece of the `Pad_Chunk` in `before_batch`; None: as it is.
        **kwargs: other arguments of `DataLoader`.
    """

    own_keywords: tuple[str, ...] = ("sort_func", "res", "seq_len")

    def __init__(self, dataset: Any, sort_func: Callable[[Any], int] | None = None, res: Sequence[int] | None = None,
                 seq_len: int | None = None, **kwargs: Any):
        self.sort_func = sort_func
        self.res: Any = res                 #: the length of each sample
        if seq_len is not None:
            kwargs["before_batch"] = [f.with_seq_len(seq_len) if isinstance(f, Pad_Chunk) else f
                                      for f in Pipeline(kwargs.get("before_batch"))]
        asked = kwargs.get("num_workers")
        if asked is None and hasattr(dataset, "__len__") and len(dataset) < FEW:
            kwargs["num_workers"] = 0
        super().__init__(dataset, **kwargs)
        self._args.update(num_workers=asked, sort_func=sort_func, res=self.res)

    @property
    def seq_len(self) -> int | None:
        "Tokens per piece of padding; None: there is no `Pad_Chunk`."
        return next((f.seq_len for f in self.before_batch if isinstance(f, Pad_Chunk)), None)

    def _make_fetcher(self) -> Fetcher:
        return whole_batches(super()._make_fetcher(), self._reader)

    def _reader(self, sample: tuple) -> Read | None:
        "What reads and pads the texts of a batch together; None: nothing can. sample: the first one."
        texts, pad = ahead_texts(self.dataset), self.before_batch[0]
        if self.dataset.n_inp != 1 or texts is None or not isinstance(pad, Padding) or list(pad.fields(sample)) != [0]:
            return None
        return PaddedTexts(texts, pad)

    def _make_order(self) -> Order:
        if self.res is None:
            self.res = self._found_lengths()
        elif len(self.res) != len(self.dataset):
            raise ValueError(f"SortedDL(res=...): the lengths of {plural(len(self.res), 'sample')} for {len(self.dataset)} of the dataset")
        if not hasattr(self.sampler, "order"):
            return super()._make_order()
        return Order(LengthBuckets(self.sampler, self.res, self.bs), self.bs, self._args["drop_last"])

    def _found_lengths(self):
        if getattr(self.dataset, "is_template", False):
            return np.zeros(0, np.int64)
        texts = ahead_texts(self.dataset) if self.sort_func is None and not len(self.after_item) else None
        if texts is not None:
            return texts.lengths
        with fixed_seed():
            samples = (self._fetcher.item(i, 0) for i in range(len(self.dataset)))
            return np.array([len(s[0] if isinstance(s, (tuple, list)) else s) if self.sort_func is None else self.sort_func(s)
                             for s in samples])

    @property
    def n_tokens(self) -> int:
        "Tokens of all items, padding not counted (where the lengths are those of texts)."
        return int(np.sum(self.res))

    @property
    def pass_order(self) -> torch.Tensor | None:
        return None if self.shuffles or not hasattr(self.sampler, "order") else self._order.drawn(0)

    def new(self, dataset: Any = None, **overrides: Any) -> DataLoader:
        if dataset is not None:
            overrides.setdefault("res", None)
        return super().new(dataset, **overrides)

    def template(self) -> Recipe:
        plain = super().template()
        return Recipe(plain.made_by, {**plain.args, "sort_func": None})
