"""Counting in ids of texts."""
from types import SimpleNamespace

import numpy as np
import pytest
from zoo import WORDS

from minifast.checks.data.text_samples import Vocabulary
from minifast.checks.data.texts import count, differing, padding_of, pile_at_the_end, real_share, tokens_cut, within

VOCAB = Vocabulary(WORDS, 30, 0, 1, frozenset())


def rows(*xs):
    return [np.array(x, dtype=np.int64) for x in xs]


def test_counts_by_hand():
    c = count(rows([2, 0, 5, 1, 1], [1, 1], [], [0, 0, 30, -3]), VOCAB, 1)
    assert c.lengths.tolist() == [3, 0, 0, 4] and c.empty.tolist() == [1, 2]
    assert (c.unknown, c.outside.tolist(), c.first_outside) == (3, [30, -3], 3)
    c = count(rows([2, 0], [30]))
    assert c.lengths.tolist() == [2, 1] and (c.unknown, len(c.outside), c.first_outside) == (0, 0, None) and not len(c.empty)


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


def test_ids_that_differ():
    assert differing(["a", "b", "c"], ["a", "c", "c", "d"]) == [1]
