"""Where texts and vocabularies are read from."""
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset, Subset
from zoo import WORDS, Texts, check_texts, loaders, texts_of_length, two_splits_of_texts

from minifast.checks.data import text_samples
from minifast.checks.data.probe import DataProbe
from minifast.checks.data.text_samples import as_ids, read_texts, vocabulary_of
from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.sequences import PadSequences, pad_sequences
from minifast.data.splitters import IndexSplitter
from minifast.data.transforms import Transform


@pytest.mark.parametrize("x", [[4, 5], (4, 5), torch.tensor([4, 5]), torch.tensor([4, 5], dtype=torch.int32), np.array([4, 5]),
                               np.array([4, 5], dtype=np.uint16)], ids=str)
def test_ids(x):
    assert as_ids(x).tolist() == [4, 5] and as_ids(x).dtype == np.int64 and as_ids(x[:0]).tolist() == []


@pytest.mark.parametrize("x", ["text", [1.0], ["a"], [True], torch.ones(2), torch.ones(2, 2, dtype=torch.int64), torch.tensor(3), 3, None,
                               torch.ones(2, dtype=torch.uint8), np.ones(2, bool), np.ones(2, np.uint8)], ids=str)
def test_not_ids(x):
    assert as_ids(x) is None


def test_an_empty_tensor_of_floats_is_an_empty_text():
    assert as_ids(torch.tensor([])).tolist() == [] and as_ids(torch.tensor([])).dtype == np.int64


def padded(lengths, width, padding=0):
    out = torch.full((len(lengths), width), padding)
    for i, k in enumerate(lengths):
        out[i, :k] = torch.arange(1, 1 + k)
    return out


def test_padded_tensors_without_a_vocabulary():
    x = padded([*range(1, 9)] * 10, 40)
    result = check_texts(loaders(x, torch.arange(80) % 2, n_train=64, bs=16))
    assert result.verdict == "tip" and result.evidence["training_median"] == 4.5 and result.evidence["training_longest"] == 8
    assert result.evidence["training_filled"] == 4.5 / 40 and "all to one length" in result.advice
    assert "vocabulary" not in result.evidence and "unknown" not in result.found


@pytest.mark.parametrize("subset", [False, True])
def test_torchs_loaders(subset):
    items = [(torch.tensor(t), 0) for t in texts_of_length(2, 4, 6, n=10)]

    def collate(samples):
        return torch.stack(pad_sequences([x for x, _ in samples], 1)), torch.tensor([y for _, y in samples])

    ds = Texts(items)
    ds = Subset(ds, range(3, 27)) if subset else ds
    result = check_texts(DataLoaders(TorchDataLoader(ds, 6, collate_fn=collate), TorchDataLoader(ds, 6, collate_fn=collate)))
    n = 24 if subset else 30
    assert result.verdict == "pass" and result.evidence["training_items"] == n and result.evidence["vocabulary"] == 30
    assert result.evidence["training_filled"] == 4 / 6


def test_batches_alone():
    class Stream(IterableDataset):
        def __iter__(self):
            yield from ((torch.tensor([2, 3, 0, 1] if i % 4 else [0, 0, 0, 4]), i % 2) for i in range(40))

        def __len__(self):
            return 40

        vocab = [WORDS, ["neg", "pos"]]
    result = check_texts(DataLoaders(TorchDataLoader(Stream(), 8), TorchDataLoader(Stream(), 8)))
    assert result.verdict == "issue" and result.evidence["training_items"] == 40
    assert result.evidence["training_unknown"] == pytest.approx((30 + 30) / 130)
    lists = check_texts(DataLoaders([(padded([1, 2, 3], 6), torch.zeros(3))] * 4))
    assert lists.verdict == "pass" and lists.evidence["training_items"] == 12 and lists.evidence["training_longest"] == 3
    assert lists.evidence["training_filled"] == pytest.approx(1 / 3)


def test_what_tokenizers_return():
    class Items(Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, i):
            n = 2 + i % 3
            return {"attention_mask": torch.arange(6) < n, "input_ids": padded([n], 6)[0], "labels": i % 2}

    result = check_texts(DataLoaders(DataLoader(Items(), bs=6, num_workers=0), DataLoader(Items(), bs=6, num_workers=0)))
    assert result.verdict == "pass" and (result.evidence["training_shortest"], result.evidence["training_longest"]) == (2, 4)
    assert result.evidence["training_filled"] == 0.5


class ToIds(Transform):
    "Vocabulary between spaces to ids of the words of the training texts; unknown is 0, padding 1."

    def __init__(self, vocab=None):
        super().__init__()
        self.vocab = vocab

    def setups(self, items):
        counted = Counter(w for text in items for w in text.split())
        self.vocab = ["xxunk", "xxpad", *(w for w, _ in counted.most_common())]

    def encodes(self, text: str):
        known = {w: i for i, w in enumerate(self.vocab)}
        return torch.tensor([known.get(w, 0) for w in text.split()], dtype=torch.int64)


SENTENCES = ["the cat sat", "a dog ran far", "the dog sat", "cat", "a far cat ran fast", "the fast dog"]


def test_a_pipeline_and_a_data_block():
    items = [(s, i % 2) for i, s in enumerate(SENTENCES * 4)] + [("the bird sat", 0), ("a bird", 1)]
    splits = [list(range(24)), [24, 25]]
    ds = Datasets(items, [[lambda o: o[0], ToIds()], [lambda o: o[1], Categorize()]], splits=splits)
    block = DataBlock([TransformBlock(type_tfms=ToIds), CategoryBlock], get_x=lambda o: o[0], get_y=lambda o: o[1],
                      splitter=IndexSplitter(splits[1]))
    for dls in (ds.dataloaders(bs=6, before_batch=PadSequences(pad_value=1), num_workers=0),
                block.dataloaders(items, bs=6, before_batch=PadSequences(pad_value=1), num_workers=0)):
        result = check_texts(dls)
        assert result.verdict == "issue" and result.evidence["vocabulary"] == 10 and result.evidence["training_unknown"] == 0
        assert result.evidence["validation_unknown"] == 2 / 5 and result.evidence["training_median"] == 3


def test_item_transforms_and_lists():
    vocab = ["xxunk", "xxpad", "the", "cat", "sat"]
    dls = DataLoaders(*(DataLoader([(s, 0) for s in SENTENCES], bs=3, after_item=ToIds(vocab), before_batch=PadSequences(pad_value=1),
                                   num_workers=0) for _ in range(2)))
    assert check_texts(dls).evidence["training_unknown"] == pytest.approx(11 / 19) and vocabulary_of(dls.train).names == vocab
    tl = TfmdLists(SENTENCES, ToIds(vocab), do_setup=False)
    dls = DataLoaders(DataLoader(tl, bs=3, before_batch=PadSequences(pad_value=1), num_workers=0))
    assert check_texts(dls).evidence["training_unknown"] == pytest.approx(11 / 19)


def test_labels_are_not_a_vocabulary_of_words():
    items = [(t, i % 3) for i, t in enumerate(texts_of_length(3, 4, 5, n=10))]

    class Labelled(list):
        vocab = ["cat", "dog", "unknown"]
    result = check_texts(DataLoaders(DataLoader(Labelled(items), bs=6, before_batch=PadSequences(), num_workers=0)))
    assert result.verdict == "pass" and "vocabulary" not in result.evidence                  # ids 3 to 6 are not outside of three labels


def test_text_that_becomes_ids_in_the_batch():
    def collate(samples):
        ids = [[2 + len(w) for w in s.split()] for s, _ in samples]
        return torch.stack(pad_sequences([torch.tensor(t) for t in ids], 1)), torch.tensor([y for _, y in samples])

    dls = DataLoaders(DataLoader([(s, 0) for s in SENTENCES * 4], bs=6, collate_fn=collate, num_workers=0))
    result = check_texts(dls)
    assert result.verdict == "pass" and result.evidence["training_longest"] == 5 and "tokens" in result.found


def test_without_validation_and_with_items_that_cannot_be_made():
    class Some(Texts):
        def __getitem__(self, i):
            if i % 5 == 4:
                raise OSError("gone")
            return super().__getitem__(i)

    items = Some([(t, 0) for t in texts_of_length(3, 4, n=10)])
    dls = DataLoaders(DataLoader(items, bs=4, before_batch=PadSequences(pad_value=1), on_error="skip", num_workers=0))
    result = check_texts(dls)
    assert result.verdict == "pass" and (result.evidence["training_items"], result.evidence["training_not_made"]) == (16, 4)


def test_a_large_set_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr(text_samples, "MAX_ITEMS", 4000)
    dls = two_splits_of_texts(texts_of_length(4, n=9000) + texts_of_length(12, n=9000), texts_of_length(4, n=10))
    sample = read_texts(DataProbe(dls), 0)
    assert len(sample.rows) == 4000 and sample.total == 18_000 and sample.where == sorted(sample.where)
    assert sum(len(r) == 12 for r in sample.rows) == 2000
    assert len(read_texts(DataProbe(dls, fast=True), 0).rows) == 500
    assert "training: 4,000 of 18,000 texts" in check_texts(dls).found


def test_reading_ends_in_time(monkeypatch):
    monkeypatch.setattr(text_samples, "SECONDS", 0.0)
    sample = read_texts(DataProbe(two_splits_of_texts(texts_of_length(4, n=50), texts_of_length(4, n=10))), 0)
    assert len(sample.rows) == 1 and sample.total == 50


def test_long_names_are_cut():
    class Named(Texts):
        def item_name(self, i):
            return "x" * 200

    items = Named([([], 0), *((t, 0) for t in texts_of_length(3, 4, n=50))])
    result = check_texts(DataLoaders(DataLoader(items, bs=4, before_batch=PadSequences(pad_value=1), num_workers=0)))
    assert result.items == ["x" * 77 + "..."]
