"""Texts: what is counted in ids and in text, and what the check says of it."""
import random
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from zoo import WORDS, Texts, classifier, image_loaders, loaders, picture_files, points, table, table_loaders, text_loaders

from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders
from minifast.checks.data import text_samples, texts
from minifast.checks.data.probe import DataProbe
from minifast.checks.data.text_counts import (
    Vocabulary,
    count,
    differing,
    padding_of,
    pile_at_the_end,
    real_share,
    tokens_cut,
    within,
    word_list,
)
from minifast.checks.data.text_samples import as_ids, read_texts, vocabulary_of
from minifast.checks.data.texts import text_quality
from minifast.checks.outcomes import Entry, run
from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.categories import Categorize, CategoryMap
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.sequences import PadSequences, pad_sequences
from minifast.data.splitters import IndexSplitter
from minifast.data.transforms import Transform
from minifast.nn.losses import CrossEntropyLossFlat

VOCAB = Vocabulary(WORDS, 30, 0, 1, frozenset())


def rows(*xs):
    return [np.array(x, dtype=np.int64) for x in xs]


def check(dls, fast=False):
    results, _ = run([Entry("MF836", text_quality)], DataProbe(dls, fast))
    return results[0]


def lengths_like(*lengths, n=1):
    "Texts of the words 2, 3 ... of these lengths, `n` times over."
    return [list(range(2, 2 + k)) for k in lengths] * n


def two(train, valid, **kw):
    return text_loaders([*train, *valid], [i % 2 for i in range(len(train) + len(valid))], n_train=len(train), **kw)


# -- counting -----------------------------------------------------------------------------------------------------------------------
def test_counts_by_hand():
    c = count(rows([2, 0, 5, 1, 1], [1, 1], [], [0, 0, 30, -3]), VOCAB, 1)
    assert c.lengths.tolist() == [3, 0, 0, 4] and c.empty.tolist() == [1, 2]
    assert (c.unknown, c.outside, c.lowest, c.highest, c.first_outside, c.negative) == (3, 2, -3, 30, 3, 1)
    c = count(rows([2, 0], [30]))
    assert c.lengths.tolist() == [2, 1] and (c.unknown, c.outside, c.first_outside) == (0, 0, None) and not len(c.empty)


def test_a_text_of_nothing_but_marks_is_empty():
    words = Vocabulary.of(SimpleNamespace(vocab=["<pad>", "<unk>", "<s>", "</s>", "the"]))
    assert words.markers == {2, 3}
    c = count(rows([2, 3], [2, 4, 3]), words, 0)
    assert c.lengths.tolist() == [2, 3] and c.empty.tolist() == [0]


@pytest.mark.parametrize(("xs", "padding"), [
    ([[5, 6, 0, 0], [7, 0, 0, 0], [5, 6, 7, 8]], 0),
    ([[9, 9, 5, 6], [9, 5, 6, 7]], 9),                                      # in front
    ([[5, 0, 6, 0], [7, 0, 0, 0]], None),                                   # stands within a text too
    ([[5, 6, 2], [7, 8, 2], [9, 4, 2]], None),                              # the end of each text, not what fills it up
    ([[5, 6, 2, 2], [7, 8, 2, 2]], None),                                   # as much in all
    ([[0, 0, 0], [4, 5, 0]], 0), ([[5, 0, 0]], None), ([], None), ([[], []], None)])
def test_padding_is_recognised(xs, padding):
    assert padding_of(rows(*xs)) == padding


def test_lengths_and_cuts():
    assert within(np.arange(1, 101)) == 95 and within(np.array([3])) == 3 and within(np.array([1, 2, 9]), 0.5) == 2
    assert tokens_cut(rows([2, 3, 4], [2], [2, 3, 1, 1]), 2, 1) == (1, 1, 6)
    assert tokens_cut(rows([2, 3, 4], [2], [2, 3, 1, 1]), 2) == (2, 3, 8)


def test_a_pile_at_the_longest_length():
    spread = list(range(10, 60))
    assert pile_at_the_end([*spread, *[60] * 50]) == 0.5
    assert pile_at_the_end(spread) == 0 and pile_at_the_end([60] * 50) == 0 and pile_at_the_end([60] * 999 + [57, 58, 59]) == 0
    assert pile_at_the_end([5] * 30 + [4] * 30) == 0 and pile_at_the_end([60] * 10) == 0 and pile_at_the_end([]) == 0
    assert pile_at_the_end([12] * 30 + [4] * 30) == 0                                     # two kinds of texts
    assert pile_at_the_end([*[59] * 20, *[60] * 40, *spread]) == 0                       # its neighbour is half as high


def test_share_of_batches_that_is_words():
    ids = np.array([[5, 0, 0, 0], [0, 5, 6, 7]])
    assert [real_share([(ids, None)], 0, first) for first in (None, False, True)] == [4 / 8, 5 / 8, 7 / 8]
    assert real_share([(ids, ids > 0), (ids, None)]) == 12 / 16


# -- vocabularies -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("vocab", [
    ["<unk>", "a", "b"], ("<unk>", "a", "b"), {"a": 1, "<unk>": 0, "b": 2}, {0: "<unk>", 1: "a", 2: "b"}, np.array(["<unk>", "a", "b"]),
    SimpleNamespace(get_itos=lambda: ["<unk>", "a", "b"]), SimpleNamespace(itos=["<unk>", "a", "b"]), [["<unk>", "a", "b"], ["neg", "pos"]],
    CategoryMap(["<unk>", "a", "b"], sort=False)], ids=lambda v: type(v).__name__)
def test_kinds_of_vocabularies(vocab):
    assert word_list(vocab) == ["<unk>", "a", "b"]
    words = Vocabulary.of(SimpleNamespace(vocab=vocab))
    assert (words.size, words.unknown, words.padding) == (3, 0, None)


@pytest.mark.parametrize("vocab", [None, "abc", 7, [], {}, {"a": "b"}, {"a": 1, "b": 1}, {"a": True}])
def test_no_vocabulary(vocab):
    assert word_list(vocab) is None and Vocabulary.of(SimpleNamespace(vocab=vocab)) is None


def test_words_have_holes_places_and_names():
    assert word_list({"a": 0, "c": 2}) == ["a", "", "c"] and word_list([["a"], ["b", "c"]], 1) == ["b", "c"]
    assert word_list([["a"], ["b"]], 2) is None and word_list([["a"], ["b"]], "x") is None
    assert VOCAB.name(0) == "'xxunk'" and VOCAB.name(30) == VOCAB.name(-1) == "none of its words"
    assert differing(["a", "b", "c"], ["a", "c", "c", "d"]) == [1]


def test_plain_names_are_special_only_at_the_beginning():
    assert Vocabulary.of(SimpleNamespace(vocab=["pad", "unk", "a"])).padding == 0
    words = Vocabulary.of(SimpleNamespace(vocab=[*"abcdefgh", "pad", "UNK", "[UNK]"]))
    assert (words.padding, words.unknown) == (None, 10)


def test_where_a_vocabulary_is_found():
    class Tokenizer:
        unk_token_id, pad_token_id, vocab_size = 5, 3, 99

        def encode(self, text):
            return [len(w) for w in text.split()]

    tokenizer = Tokenizer()
    wanted = (None, 99, 5, 3, frozenset())
    assert Vocabulary.of(tokenizer) == Vocabulary.of(Transform(tokenizer.encode)) == Vocabulary.of(tokenizer.encode) == wanted
    assert Vocabulary.of(SimpleNamespace(tokenizer=tokenizer)) == wanted
    tokenizer.get_vocab = lambda: {"a": 0, "b": 1}
    tokenizer.vocab = {"a": 0}                                              # without words that were added
    assert Vocabulary.of(tokenizer)[:4] == (["a", "b"], 2, 5, 3)
    assert Vocabulary.of(None) is None and Vocabulary.of(len) is None and Vocabulary.of(Transform()) is None


# -- what the inputs are ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("x", [[4, 5], (4, 5), torch.tensor([4, 5]), torch.tensor([4, 5], dtype=torch.int32), np.array([4, 5]),
                               np.array([4, 5], dtype=np.uint16)], ids=str)
def test_ids(x):
    assert as_ids(x).tolist() == [4, 5] and as_ids(x).dtype == np.int64 and as_ids(x[:0]).tolist() == []


@pytest.mark.parametrize("x", ["text", [1.0], ["a"], [True], torch.ones(2), torch.ones(2, 2, dtype=torch.int64), torch.tensor(3), 3, None,
                               torch.ones(2, dtype=torch.uint8), np.ones(2, bool), np.ones(2, np.uint8)], ids=str)
def test_no_ids(x):
    assert as_ids(x) is None


def test_an_empty_tensor_of_floats_is_an_empty_text():
    assert as_ids(torch.tensor([])).tolist() == [] and as_ids(torch.tensor([])).dtype == np.int64


@pytest.mark.parametrize(("make", "why"), [
    (lambda: loaders(*points()), "neither ids of words nor text"),
    (lambda: table_loaders(table()), "rows of a table"),
    (lambda: loaders(torch.randint(0, 9, (240, 5)), torch.arange(240) % 2), "nothing says that they are words"),
    (lambda: loaders((torch.arange(6) < torch.randint(0, 7, (240, 1))).long(), torch.arange(240) % 2),        # a level in thermometer code
     "equally many whole numbers in every item"),
    (lambda: two([[-5, 3], [4, -2, -7]] * 20, [[1, 2]], pad_value=0), None),
    (lambda: DataLoaders(DataLoader([("ann", 0), ("bob", 1)] * 20, bs=4)), "names or labels rather than texts"),
    (lambda: DataLoaders(DataLoader([("the same four words", 0)] * 20, bs=4)), "names or labels rather than texts"),
    (lambda: DataLoaders([(torch.ones(4, 3), torch.zeros(4))] * 2), "neither ids of words nor text"),
    (lambda: DataLoaders(DataLoader([(torch.tensor(2), torch.tensor(5), 1.0)] * 20, bs=4, n_inp=2)), "neither ids of words nor text"),
], ids=range(9))
def test_not_applicable(make, why):
    result = check(make())
    assert result.verdict == ("not applicable" if why else "issue") and (why or "outside the vocabulary") in result.found, result


def test_waves_are_no_texts():
    g = torch.Generator().manual_seed(0)
    waves = [(torch.randint(-900, 900, (20 + i,), generator=g, dtype=torch.int16), 0) for i in range(30)]
    result = check(DataLoaders(DataLoader(waves, bs=4, before_batch=PadSequences(), num_workers=0)))
    assert result.verdict == "not applicable" and "many of them negative" in result.found


def test_pictures_are_not_read_for_it(tmp_path, monkeypatch):
    dls = image_loaders(picture_files(tmp_path))
    monkeypatch.setattr(texts, "read_texts", None)
    assert check(dls).verdict == "not applicable"


# -- what is found ------------------------------------------------------------------------------------------------------------------
def test_the_numbers_of_both_splits():
    result = check(two(lengths_like(2, 4, 6, 8, n=10), lengths_like(3, 5, n=5)))
    assert result.verdict == "pass" and result.found == (
        "training: 40 texts of 2 to 8 tokens, median 5, 95% have at most 8; validation: 10 texts of 3 to 5 tokens, median 4, 95% have at "
        "most 5; unknown words: 0.0% of the tokens in training, 0.0% of the tokens in validation")
    e = result.evidence
    assert (e["training_items"], e["training_shortest"], e["training_median"], e["training_p95"], e["training_longest"]) == (40, 2, 5, 8, 8)
    assert (e["validation_items"], e["validation_shortest"], e["validation_median"], e["validation_longest"]) == (10, 3, 4, 5)
    assert e["training_empty"] == e["validation_empty"] == 0 and e["vocabulary"] == 30
    assert e["validation_filled"] == 40 / 50                                # one batch of ten texts, filled up to 5


@pytest.mark.parametrize(("long", "verdict"), [(2, "pass"), (6, "tip"), (11, "issue")])
def test_cut_texts(long, verdict):
    train = [*lengths_like(4, n=20 - long), *lengths_like(10, n=long)]
    result = check(two(train, lengths_like(4, n=10), max_len=6))
    assert result.verdict == verdict
    assert result.evidence["training_cut"] == long / 20 and result.evidence["training_tokens_lost"] == 4 * long
    assert result.evidence["validation_cut"] == 0
    if verdict != "pass":
        tokens = 4 * (20 - long) + 10 * long
        assert result.found == (f"PadSequences(max_len=6) truncates {long / 20:.0%} of the texts in training: {4 * long} of {tokens} "
                                f"tokens ({4 * long / tokens:.0%}) are lost")
        assert "max_len=10 leaves 95% of the training texts whole" in result.advice


def test_a_cut_of_validation_alone():
    result = check(two(lengths_like(4, n=20), lengths_like(10, n=10), max_len=6))
    assert result.verdict == "issue" and "truncates 100% of the texts in validation: 40 of 100 tokens" in result.found
    assert "max_len=4" in result.advice and "in training:" not in result.found


def test_a_cut_made_before():
    train = [t[:20] for t in lengths_like(*range(4, 28), n=4)]
    result = check(two(train, lengths_like(4, 5, n=10)))
    assert result.verdict == "tip" and result.evidence["training_at_longest"] == 32 / 96
    assert "33% of the texts in training have exactly the longest length, 20 tokens" in result.found and "validation" not in result.found


@pytest.mark.parametrize(("n", "verdict"), [(0, "pass"), (1, "tip"), (2, "tip"), (3, "issue")])
def test_empty_texts_are_named(n, verdict):
    train = lengths_like(4, n=60)
    for i in range(n):
        train[7 + i] = []
    result = check(two(train, lengths_like(5, n=10)))
    assert result.verdict == verdict and result.items == [f"item {7 + i}" for i in range(n)] and result.evidence["training_empty"] == n
    if n == 1:
        assert result.found == "1 text of 60 in training is empty (1.7%): item 7"


def test_empty_texts_of_validation():
    result = check(two(lengths_like(4, n=20), [*lengths_like(5, n=10), [], [], [1, 1], []]))
    assert result.verdict == "issue" and "4 texts of 14 in validation are empty (28.6%): item 10, item 11, item 12, ..." in result.found
    assert result.items == ["item 10", "item 11", "item 12", "item 13"]


@pytest.mark.parametrize(("unknown", "verdict"), [(1, "pass"), (2, "tip"), (4, "issue")])
def test_unknown_words_of_both_splits(unknown, verdict):
    text = [0] * unknown + list(range(2, 12 - unknown))
    result = check(two([text, text[:-1] + [5, 6]] * 20, [text] * 10))
    assert result.verdict == verdict
    assert result.evidence["training_unknown"] == pytest.approx(2 * unknown / 21)
    assert result.evidence["validation_unknown"] == pytest.approx(unknown / 10)
    assert f"{unknown / 10:.1%} of the tokens in validation" in result.found


def test_validation_has_far_more_unknown_words():
    result = check(two([[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [2, 3]] * 20, [list(range(2, 20)), [0, 0, 2, 3, 4, 5]] * 5))
    assert result.verdict == "tip" and result.evidence["validation_unknown"] == 2 / 24
    assert "8.3% of the tokens in validation: far more in validation" in result.found and "same tokenizer" in result.advice
    few = check(two([[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [2, 3]] * 20, [list(range(2, 28)) * 2, [0, 0, 2, 3, 4, 5]] * 5))
    assert few.verdict == "pass"                                            # three times as many, yet only 3%


def test_ids_outside_the_vocabulary():
    result = check(two([[2, 3], [4, 30, 5]] * 10, [[2, 31], [-100, 4, 31]] * 5))
    assert result.verdict == "issue" and (result.evidence["training_outside"], result.evidence["validation_outside"]) == (10, 15)
    assert ("10 ids in training are outside the vocabulary, from 30 to 30, first in item 1; the vocabulary has 30 words, ids 0 to 29; "
            "15 ids in validation are outside the vocabulary, from -100 to 31, first in item 0") in result.found
    assert "device-side assert" in result.advice
    one = check(two([[2, 3], [4, 30, 5], *[[2, 3]] * 9], [[2, 4]] * 5))
    assert "1 id in training is outside the vocabulary: 30, first in item 1" in one.found


def test_padding_with_a_word_and_with_no_id():
    train, valid = lengths_like(4, 5, n=10), lengths_like(4, n=5)
    result = check(two(train, valid, pad_value=0))
    assert result.verdict == "tip" and result.advice == "PadSequences(pad_value=1)"
    assert result.found == "PadSequences pads with 0, which is 'xxunk'; the vocabulary's padding is 1"
    dls = two(train, valid, pad_value=-1)
    for dl in dls:
        dl.dataset.vocab = [["xxunk", "a", *WORDS[2:]], ["neg", "pos"]]
    result = check(dls)
    assert result.verdict == "tip" and "pads with -1, which is not an id of the vocabulary" in result.found


def test_two_vocabularies():
    dls = two(lengths_like(4, 5, n=10), lengths_like(4, n=5))
    dls.valid_ds.vocab = [[*WORDS[:4], "w3", "w2", *WORDS[6:]], []]
    result = check(dls)
    assert result.verdict == "issue" and result.evidence["ids_that_differ"] == 2
    assert "2 ids stand for another word, 4 for 'w2' in training and 'w3' in validation" in result.found
    dls.valid_ds.vocab = [[*WORDS, "more"], []]
    assert check(dls).verdict == "pass"


def test_batches_of_padding():
    result = check(two([*lengths_like(2, n=15), list(range(2, 30))] * 2, lengths_like(2, n=4)))
    filled_share = result.evidence["training_filled"]
    assert result.verdict == "tip" and filled_share < 0.3
    assert f"only {filled_share:.0%} of the training batches are words" in result.found
    assert "similar length" in result.advice and result.evidence["validation_filled"] == 1


# -- where texts come from ----------------------------------------------------------------------------------------------------------
def padded(lengths, width, padding=0):
    out = torch.full((len(lengths), width), padding)
    for i, k in enumerate(lengths):
        out[i, :k] = torch.arange(1, 1 + k)
    return out


def test_padded_tensors_without_a_vocabulary():
    x = padded([*range(1, 9)] * 10, 40)
    result = check(loaders(x, torch.arange(80) % 2, n_train=64, bs=16))
    assert result.verdict == "tip" and result.evidence["training_median"] == 4.5 and result.evidence["training_longest"] == 8
    assert result.evidence["training_filled"] == 4.5 / 40 and "all to one length" in result.advice
    assert "vocabulary" not in result.evidence and "unknown" not in result.found


@pytest.mark.parametrize("subset", [False, True])
def test_torchs_loaders(subset):
    items = [(torch.tensor(t), 0) for t in lengths_like(2, 4, 6, n=10)]

    def collate(samples):
        return torch.stack(pad_sequences([x for x, _ in samples], 1)), torch.tensor([y for _, y in samples])

    ds = Texts(items)
    ds = Subset(ds, range(3, 27)) if subset else ds
    result = check(DataLoaders(TorchDataLoader(ds, 6, collate_fn=collate), TorchDataLoader(ds, 6, collate_fn=collate)))
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
    result = check(DataLoaders(TorchDataLoader(Stream(), 8), TorchDataLoader(Stream(), 8)))
    assert result.verdict == "issue" and result.evidence["training_items"] == 40
    assert result.evidence["training_unknown"] == pytest.approx((30 + 30) / 130)
    lists = check(DataLoaders([(padded([1, 2, 3], 6), torch.zeros(3))] * 4))
    assert lists.verdict == "pass" and lists.evidence["training_items"] == 12 and lists.evidence["training_longest"] == 3
    assert lists.evidence["training_filled"] == pytest.approx(1 / 3)


def test_what_tokenizers_return():
    class Items(Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, i):
            n = 2 + i % 3
            return {"attention_mask": torch.arange(6) < n, "input_ids": padded([n], 6)[0], "labels": i % 2}

    result = check(DataLoaders(DataLoader(Items(), bs=6, num_workers=0), DataLoader(Items(), bs=6, num_workers=0)))
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
        result = check(dls)
        assert result.verdict == "issue" and result.evidence["vocabulary"] == 10 and result.evidence["training_unknown"] == 0
        assert result.evidence["validation_unknown"] == 2 / 5 and result.evidence["training_median"] == 3


def test_item_transforms_and_lists():
    vocab = ["xxunk", "xxpad", "the", "cat", "sat"]
    dls = DataLoaders(*(DataLoader([(s, 0) for s in SENTENCES], bs=3, after_item=ToIds(vocab), before_batch=PadSequences(pad_value=1),
                                   num_workers=0) for _ in range(2)))
    assert check(dls).evidence["training_unknown"] == pytest.approx(11 / 19) and vocabulary_of(dls.train).names == vocab
    tl = TfmdLists(SENTENCES, ToIds(vocab), do_setup=False)
    dls = DataLoaders(DataLoader(tl, bs=3, before_batch=PadSequences(pad_value=1), num_workers=0))
    assert check(dls).evidence["training_unknown"] == pytest.approx(11 / 19)


def test_labels_are_no_vocabulary_of_words():
    items = [(t, i % 3) for i, t in enumerate(lengths_like(3, 4, 5, n=10))]

    class Labelled(list):
        vocab = ["cat", "dog", "unknown"]
    result = check(DataLoaders(DataLoader(Labelled(items), bs=6, before_batch=PadSequences(), num_workers=0)))
    assert result.verdict == "pass" and "vocabulary" not in result.evidence                  # ids 3 to 6 are not outside of three labels


def test_text_that_becomes_ids_in_the_batch():
    def collate(samples):
        ids = [[2 + len(w) for w in s.split()] for s, _ in samples]
        return torch.stack(pad_sequences([torch.tensor(t) for t in ids], 1)), torch.tensor([y for _, y in samples])

    dls = DataLoaders(DataLoader([(s, 0) for s in SENTENCES * 4], bs=6, collate_fn=collate, num_workers=0))
    result = check(dls)
    assert result.verdict == "pass" and result.evidence["training_longest"] == 5 and "tokens" in result.found


def test_text_as_people_write_it():
    train, valid = [(s + " " + "so" * (i % 3), 0) for i, s in enumerate(SENTENCES)], [("The cat, again", 0), ("Some cat sat", 1)]
    result = check(DataLoaders(DataLoader(train, bs=3, num_workers=0), DataLoader(valid, bs=2, num_workers=0)))
    assert result.verdict == "pass" and result.evidence["validation_words_new"] == 2 / 6
    assert "33.3% of the words in validation do not occur in training" in result.found and "words" in result.found.split(";")[0]
    other = [("une autre langue ici", 0), ("the quatre mots la", 1), ("", 0)]
    result = check(DataLoaders(DataLoader(train, bs=3, num_workers=0), DataLoader(other, bs=2, num_workers=0)))
    assert result.verdict == "tip" and result.evidence["validation_words_new"] == 7 / 8 and result.items == ["item 2"]
    assert "1 text of 3 in validation is empty" in result.found and "same language" in result.advice


def test_without_validation_and_with_items_that_cannot_be_made():
    class Some(Texts):
        def __getitem__(self, i):
            if i % 5 == 4:
                raise OSError("gone")
            return super().__getitem__(i)

    items = Some([(t, 0) for t in lengths_like(3, 4, n=10)])
    dls = DataLoaders(DataLoader(items, bs=4, before_batch=PadSequences(pad_value=1), on_error="skip", num_workers=0))
    result = check(dls)
    assert result.verdict == "pass" and (result.evidence["training_items"], result.evidence["training_not_made"]) == (16, 4)


def test_a_large_set_is_looked_at_in_part_and_evenly():
    dls = two(lengths_like(4, n=9000) + lengths_like(12, n=9000), lengths_like(4, n=10))
    sample = read_texts(DataProbe(dls), 0)
    assert len(sample.rows) == 4000 and sample.total == 18_000 and sample.where == sorted(sample.where)
    assert sum(len(r) == 12 for r in sample.rows) == 2000
    assert len(read_texts(DataProbe(dls, fast=True), 0).rows) == 500
    assert "training: 4,000 of 18,000 texts" in check(dls).found


def test_time_ends_it(monkeypatch):
    monkeypatch.setattr(text_samples, "SECONDS", 0.0)
    sample = read_texts(DataProbe(two(lengths_like(4, n=50), lengths_like(4, n=10))), 0)
    assert len(sample.rows) == 1 and sample.total == 50


def test_long_names_are_cut():
    class Named(Texts):
        def item_name(self, i):
            return "x" * 200

    items = Named([([], 0), *((t, 0) for t in lengths_like(3, 4, n=50))])
    result = check(DataLoaders(DataLoader(items, bs=4, before_batch=PadSequences(pad_value=1), num_workers=0)))
    assert result.items == ["x" * 77 + "..."]


# -- nothing is changed -------------------------------------------------------------------------------------------------------------
def test_the_counts_of_what_is_cut_stay_and_so_does_the_warning():
    train, valid = lengths_like(3, 9, n=20), lengths_like(3, 9, n=10)
    dls = two(train, valid, max_len=4)
    pad, learn = dls.train.before_batch[0], classifier_of(dls)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    streams = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    loaders_before = [(dl.peeks, dl.state_dict()) for dl in dls]
    assert check_loaders(dls)["MF836"].verdict == "tip"
    check_learner(learn)
    assert pad.cut == {"sequences": 0, "cut": 0, "lost": 0, "longest": 0}
    assert [(dl.peeks, dl.state_dict()) for dl in dls] == loaders_before
    assert all(dl.before_batch[0] is pad for dl in dls)
    assert torch.equal(streams[0], torch.get_rng_state()) and streams[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        list(dls.valid)
    assert len([w for w in said if "max_len=4" in str(w.message)]) == 1
    assert pad.cut == {"sequences": 20, "cut": 10, "lost": 50, "longest": 9}


def classifier_of(dls):
    from minifast.learner.learner import Learner
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.EmbeddingBag(30, 8), torch.nn.Linear(8, 2))
    return Learner(dls, model, CrossEntropyLossFlat())


def test_an_uncounted_one_keeps_its_class_and_arguments():
    class Mine(PadSequences):
        pass

    pad = Mine(pad_value=7, max_len=2, pad_first=True, n_inp=2)
    with pytest.warns(UserWarning, match="1 of 2 sequences"):
        pad([([1, 2, 3], [1])])
    other = pad.uncounted()
    assert type(other) is Mine and (other.pad_value, other.max_len, other.pad_first, other.n_inp) == (7, 2, True, 2)
    assert other.cut["sequences"] == 0 and pad.cut["cut"] == 1
    with pytest.warns(UserWarning, match="1 of 2 sequences"):
        other([([1, 2, 3], [1])])
    assert pad.cut["sequences"] == 2 and other.cut["cut"] == 1


def test_other_learners_are_left_alone():
    learn = classifier()
    x = learn.dls.train_ds.tensors[0].clone()
    assert check_loaders(learn.dls)["MF836"].verdict == "not applicable" and torch.equal(x, learn.dls.train_ds.tensors[0])
    assert isinstance(learn.dls.train_ds, TensorDataset)


# -- real texts ---------------------------------------------------------------------------------------------------------------------
def test_film_reviews(data_dir):
    import pandas as pd
    df = pd.read_csv(data_dir / "imdb_sample" / "texts.csv").iloc[::4].reset_index(drop=True)
    splits = [df.index[~df.is_valid].tolist(), df.index[df.is_valid].tolist()]
    ds = Datasets(df, [[lambda r: r.text, Once()], [lambda r: r.label, Categorize()]], splits=splits)
    dls = ds.dataloaders(bs=16, before_batch=PadSequences(pad_value=1, max_len=100), num_workers=0)
    train, valid = ([t.split() for t in df.text[s]] for s in splits)
    known = {w for t in train for w in t}
    result = check_loaders(dls, fast=True)["MF836"]
    e = result.evidence
    assert result.verdict == "issue" and e["vocabulary"] == len(known) + 2 and e["training_unknown"] == 0
    assert e["validation_unknown"] == pytest.approx(sum(w not in known for t in valid for w in t) / sum(map(len, valid)))
    assert e["training_cut"] == pytest.approx(np.mean([len(t) > 100 for t in train])) and e["training_cut"] > 0.5
    assert e["training_tokens_lost"] == sum(max(len(t) - 100, 0) for t in train)
    assert e["training_median"] == np.median([len(t) for t in train])


class Once(ToIds):
    "The same, with the table made once."

    def encodes(self, text: str):
        if not hasattr(self, "known"):
            self.known = {w: i for i, w in enumerate(self.vocab)}
        return torch.tensor([self.known.get(w, 0) for w in text.split()], dtype=torch.int64)
