import copy
import pickle
from collections import Counter

import pytest
import torch

from minifast.text.token_store import TokenStore
from minifast.text.tokenizers import BaseTokenizer
from minifast.text.vocabulary import Numericalize, Vocab, make_vocab, text_vocab

TOKS = [["xxbos", "a", "b", "a"], ["xxbos", "a", "c", "b"], ["xxbos", "b", "é", "é"]]


def test_vocabulary_is_specials_then_by_frequency_then_fakes():
    vocab = make_vocab(Counter(t for o in TOKS for t in o), min_freq=2)
    assert vocab == ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "a", "b", "é", *["xxfake"] * 4]
    assert len(make_vocab(dict.fromkeys("abcdefghijkl", 5), max_vocab=10)) == 16
    assert make_vocab({"a": 3}, special_toks=["xxunk"]) == ["xxunk", "a", *["xxfake"] * 6]


@pytest.mark.parametrize("wrong", [{"min_freq": 2.5}, {"max_vocab": 0}])
def test_wrong_limits_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_vocab({"a": 3}, **wrong)


def test_encodes_and_decodes_and_never_grows():
    num = Numericalize(min_freq=2)
    num.setup(TOKS)
    ids = num(["xxbos", "a", "new", "é"])
    assert ids.tolist() == [2, 9, 0, 11] and ids.dtype == torch.int64 and type(ids).__name__ == "TensorText"
    assert num.decode(torch.tensor([2, 9, 0, 1, 1])) == ["xxbos", "a", "xxunk"]
    n = len(num.o2i)
    for i in range(100):
        num([f"unknown{i}"])
        assert num.o2i.get(f"unknown{i}") is None
    assert len(num.o2i) == n and len(num.vocab) == 16


def test_the_vocabulary_does_not_change():
    vocab = Vocab(["xxunk", "a"])
    for change in (lambda: vocab.append("b"), lambda: vocab.__setitem__(0, "b"), lambda: vocab.__iadd__(["b"]), vocab.clear, vocab.sort):
        with pytest.raises(TypeError, match="vocab=\\[\\*vocab, 'token'\\]"):
            change()
    for same in (pickle.loads(pickle.dumps(vocab)), copy.deepcopy(vocab), copy.copy(vocab)):
        assert same == vocab and type(same) is Vocab
    assert Numericalize(vocab=[*vocab, "token"])(["token"]).tolist() == [2]         # what the message says to write


def test_a_store_gives_what_lists_give():
    texts = [" ".join(o) for o in TOKS]
    store = TokenStore.of(texts, BaseTokenizer(), rules=[], n_workers=0, progress=False)
    one, other = Numericalize(min_freq=1), Numericalize(min_freq=1)
    one.setup(store)
    other.setup(TOKS)
    assert one.vocab == other.vocab
    texts = one.encode_ahead(store)
    assert [t.tolist() for t in texts] == [other(o).tolist() for o in TOKS] and texts.lengths.tolist() == [4, 4, 4]
    assert texts.subset([2, 0])[0].tolist() == other(TOKS[2]).tolist()


def test_a_text_that_is_no_list_of_tokens_is_refused():
    num = Numericalize(vocab=["xxunk", "a"])
    with pytest.raises(TypeError, match="Tokenizer"):
        num("a b")
    with pytest.raises(TypeError, match=r"dls.vocab\[0\]"):
        Numericalize(vocab=[["xxunk"], ["pos", "neg"]])
    with pytest.raises(ValueError, match="more than once"):
        Numericalize(vocab=["a", "a"])
    with pytest.raises(RuntimeError, match="setup"):
        Numericalize()(["a"])


class Loaders:
    def __init__(self, vocab):
        self.vocab = vocab


def test_the_vocabulary_of_loaders():
    assert text_vocab(Loaders(["xxunk", "a"])) == text_vocab(Loaders([["xxunk", "a"], ["neg", "pos"]])) == ["xxunk", "a"]
    for wrong in (None, [0, 1], []):
        with pytest.raises(TypeError, match="TextDataLoaders"):
            text_vocab(Loaders(wrong))


def test_without_a_token_for_unknown_words_none_becomes_another():
    tfm = Numericalize(vocab=["a", "b"])
    assert tfm(["b", "a"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"lacks 2 tokens of these texts \('c', 'd'\).*write vocab=\[\*vocab, 'xxunk'\]"):
        tfm(["c", "a", "d", "c"])
    assert Numericalize(vocab=[*tfm.vocab, "xxunk"])(["c", "a"]).tolist() == [2, 0]
    with pytest.raises(ValueError, match="lacks 1 token"):
        tfm.table(TokenStore.of(["a c"], BaseTokenizer(), [], n_workers=0, progress=False))


def test_sizes_are_checked_before_texts_are_tokenised():
    with pytest.raises(ValueError, match=r"Numericalize\(max_vocab=10000.0\)"):
        Numericalize(max_vocab=1e4)
