"""`LMDataLoader` beside the definition of the book: one stream, cut into rows, predicted one token later."""
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from minifast.data.datasets import TfmdLists
from minifast.text.flat import FlatTexts
from minifast.text.language_loader import LMDataLoader

WORKERS = ({}, {"num_workers": 2}, {"num_workers": 2, "worker_type": "thread"})


def book(texts, bs, seq_len):
    "The batches by definition."
    stream = np.concatenate(texts)
    n = (len(stream) - 1) // bs
    x, y = stream[:n * bs].reshape(bs, n), stream[1:n * bs + 1].reshape(bs, n)
    return [(x[:, i:i + seq_len].tolist(), y[:, i:i + seq_len].tolist()) for i in range(0, n, seq_len)]


def batches(loader):
    return [(x.tolist(), y.tolist()) for x, y in loader]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 1000, n) for n in [0, *rng.integers(0, 40, 55), 300]]


@pytest.mark.parametrize("bs", [1, 4, 7, 64])
@pytest.mark.parametrize("seq_len", [1, 5, 72])
def test_it_is_the_definition_token_by_token(texts, bs, seq_len):
    loader = LMDataLoader(texts, bs=bs, seq_len=seq_len)
    expected = book(texts, bs, seq_len)
    assert batches(loader) == expected and len(loader) == len(expected)
    assert sum(len(x) * len(x[0]) for x, _ in expected) == loader.n_tokens > sum(map(len, texts)) - 1 - bs


@pytest.mark.parametrize("kwargs", WORKERS)
def test_texts_come_in_another_order_in_each_epoch_whoever_reads_them(texts, kwargs):
    loader = LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, seed=3, **kwargs)
    epochs = []
    for _ in range(2):
        epochs.append(batches(loader))
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(loader.epoch_seed))
        assert epochs[-1] == book([texts[i] for i in order], 4, 7)
    assert epochs[0] != epochs[1] and batches(LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, seed=3)) == epochs[0]


def test_rows_go_on_so_that_a_state_can_be_kept(texts):
    for loader in (LMDataLoader(texts, bs=4, seq_len=7, shuffle=True), LMDataLoader(texts, bs=4, seq_len=7, split_idx=1)):
        rows = [torch.cat(parts, 1) for parts in zip(*loader, strict=True)]
        assert torch.equal(rows[0][:, 1:], rows[1][:, :-1]) and torch.equal(rows[0][1:, 0], rows[1][:-1, -1])


def test_resuming_within_an_epoch(texts):
    whole = batches(LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, seed=3))
    loader, other = (LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, seed=3) for _ in range(2))
    begun = iter(loader)
    next(begun), next(begun)
    other.load_state_dict(loader.state_dict())
    assert batches(other) == whole[2:]
    first = [int(texts[i][0]) for i in loader.indices_of_batch(0)[:1] if len(texts[i])]
    assert first in ([], [whole[0][0][0][0]])


@pytest.fixture
def on_disk(texts, tmp_path):
    flat = np.concatenate(texts).astype(np.int32)
    flat.tofile(tmp_path / "ids")
    return FlatTexts(np.memmap(tmp_path / "ids", np.int32, "r"), [len(t) for t in texts])


@pytest.mark.parametrize("reads", [True, False])
def test_texts_in_a_file(texts, on_disk, monkeypatch, reads):
    if not reads:
        monkeypatch.delattr("os.pread")
    assert batches(LMDataLoader(on_disk, bs=4, seq_len=7)) == book(texts, 4, 7)
    part = FlatTexts(on_disk.ids[len(texts[1]):], on_disk.lengths[2:])              # numpy gives it the offset of the whole
    assert part[3].tolist() == pickle.loads(pickle.dumps(part))[3].tolist() == texts[5].tolist()
    sent = pickle.dumps(on_disk)
    assert len(sent) < 4000 and on_disk[-1].tolist() == pickle.loads(sent)[-1].tolist() == texts[-1].tolist()
    for kwargs in WORKERS[1:]:
        shuffled = LMDataLoader(on_disk, bs=4, seq_len=7, shuffle=True, seed=1, **kwargs)
        assert batches(shuffled) == batches(LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, seed=1))


def test_other_ids_and_backwards(texts, on_disk):
    lookup = np.arange(1000)[::-1] + 5
    for ids in (on_disk.ids, np.asarray(on_disk.ids)):
        flat = FlatTexts(ids, on_disk.lengths, lookup=lookup, backwards=True)
        expected = [lookup[t][::-1] for t in texts]
        assert batches(LMDataLoader(flat, bs=4, seq_len=7)) == book(expected, 4, 7)
        assert flat.subset([3, 56])[1].tolist() == expected[56].tolist() and len(flat[0]) == 0


def test_datasets_of_many_kinds(texts):
    expected = book(texts, 4, 7)
    tensors = [torch.tensor(t) for t in texts]
    kinds = {"samples": [(t, 0) for t in tensors], "tfmd": TfmdLists([t.tolist() for t in texts], torch.tensor),
             "one": np.concatenate(texts), "subset": torch.utils.data.Subset([torch.tensor([1, 2]), *tensors], range(1, len(texts) + 1))}
    for name, dataset in kinds.items():
        assert batches(LMDataLoader(dataset, bs=4, seq_len=7)) == expected, name


def test_a_small_corpus_gives_a_short_batch_or_a_sentence():
    loader = LMDataLoader([np.arange(50)], bs=4, seq_len=72)
    assert batches(loader) == book([np.arange(50)], 4, 72) and len(loader) == 1
    with pytest.raises(ValueError, match=r"5 tokens in 1 text cannot be cut into bs=64 rows .* Write bs=4 or less, or more text"):
        LMDataLoader([np.arange(5)], bs=64)
    with pytest.raises(ValueError, match="Write val_bs=4 or less, or more text; to test_dl give bs=4"):
        LMDataLoader([np.arange(5)], bs=64, split_idx=1)
    assert len(LMDataLoader([np.arange(5)], bs=4)) == 1
    with pytest.raises(ValueError, match="1 token in 1 text cannot .* Use more text"):
        LMDataLoader([np.arange(1)], bs=1)


def test_arguments(texts):
    loader = LMDataLoader(texts, bs=4, seq_len=7, shuffle=True, drop_last=True, seed=1)
    assert all(len(x[0]) == 7 for x, _ in batches(loader)) and len(loader) == len(batches(loader))
    assert loader.new(seq_len=9).seq_len == 9 and loader.new(seq_len=9).texts is loader.texts
    assert batches(loader.new(texts[:30], shuffle=False, drop_last=False)) == book(texts[:30], 4, 7)
    loader.bs = 3
    assert len(batches(loader)[0][0]) == 3 and loader.n_inp == 1
    assert [k.cls.__name__ for k in loader.kinds] == ["LMTensorText", "TensorText"]
    for call, message in ((lambda: LMDataLoader(texts, after_item=abs), r"not take after_item \(item_tfms\): all texts are one stream"),
                          (lambda: LMDataLoader(texts, seq_len=0), r"LMDataLoader\(seq_len=0\)"),
                          (lambda: loader.add_tfms(abs, "after_item"), "the event is 'after_batch'"),
                          (lambda: LMDataLoader(["some words"]), "text 0 must be the ids of its tokens")):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def _mapped():
    "Megabytes of files that this process holds in memory."
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssFile:\s+(\d+)", status)[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux says what a process holds")
def test_a_large_file_does_not_pile_up_in_memory(tmp_path):
    lengths = np.full(40_000, 250)
    np.zeros(lengths.sum(), np.int32).tofile(tmp_path / "ids")                      # 40 MB
    loader = LMDataLoader(FlatTexts(np.memmap(tmp_path / "ids", np.int32, "r"), lengths), bs=64, seq_len=2000, shuffle=True)
    loader.one_batch()
    before = _mapped()
    assert sum(x.numel() for x, _ in loader) == loader.n_tokens > 9_999_000 and _mapped() - before < 4


def test_a_batch_of_a_large_corpus_reads_no_more(tmp_path, monkeypatch):
    np.zeros(2_000_000, np.int32).tofile(tmp_path / "ids")
    reads, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: reads.append(n) or pread(fd, n, at))
    counts = []
    for n_texts in (200, 20_000):
        loader = LMDataLoader(FlatTexts(np.memmap(tmp_path / "ids", np.int32, "r"), np.full(n_texts, 100)), bs=8, seq_len=50, shuffle=True)
        reads.clear()
        loader.one_batch()
        counts.append((sum(reads), len(reads)))
    assert counts[0][0] == counts[1][0] == 4 * 8 * 51 and max(n for _, n in counts) <= 16
