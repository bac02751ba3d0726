"""Counting in ids of texts, and what is known of a vocabulary."""
from types import SimpleNamespace

import numpy as np
import pytest
from zoo import WORDS

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
from minifast.data.categories import CategoryMap
from minifast.data.transforms import Transform

VOCAB = Vocabulary(WORDS, 30, 0, 1, frozenset())


def rows(*xs):
    return [np.array(x, dtype=np.int64) for x in xs]


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
