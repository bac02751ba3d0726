"""What is known of a vocabulary."""
from types import SimpleNamespace

import numpy as np
import pytest
from zoo import WORDS

from minifast.checks.data.text_samples import Vocabulary, word_list
from minifast.data.categories import CategoryMap
from minifast.data.transforms import Transform


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
    words = Vocabulary(WORDS, 30, 0, 1)
    assert word_list({"a": 0, "c": 2}) == ["a", "", "c"] and word_list([["a"], ["b", "c"]], 1) == ["b", "c"]
    assert word_list([["a"], ["b"]], 2) is None and word_list([["a"], ["b"]], "x") is None
    assert words.name(0) == "'xxunk'" and words.name(30) == words.name(-1) == "none of its words"


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
