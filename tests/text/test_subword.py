import os
import pickle
from itertools import pairwise

import pytest

from minifast.learner.spec import Builder, Describer
from minifast.text import chunks
from minifast.text.rules import PROC_RULES
from minifast.text.subword import SentencePieceTokenizer, SubwordTokenizer
from minifast.text.token_store import TokenStore
from minifast.text.tokenizer import Tokenizer

pytest.importorskip("tokenizers")
TEXTS = ["The movie was good, GOOD!!!!\n\nReally good 😀",
         "so so so so bad", "a movie\n about cafe\u0301s and 日本", "Why not? It isn't"] * 3


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def learnt(request):
    return SubwordTokenizer(model_type=request.param, vocab_sz=120).setup(TEXTS, PROC_RULES)


def prepared(text):
    for rule in PROC_RULES:
        text = rule(text)
    return text


def test_decodes_back_to_the_text(learnt):
    for text in map(prepared, TEXTS):
        tokens = next(iter(learnt([text])))
        assert learnt.decode(tokens) == text and tokens[0] == "xxbos" and "▁xxmaj" not in tokens
        assert not any(a == "▁" and b == "xxmaj" for a, b in pairwise(tokens))
    raw = SubwordTokenizer(model_type=learnt.model_type, vocab_sz=150).setup(TEXTS)
    assert [raw.decode(t) for t in raw(TEXTS)] == TEXTS
    assert "xxunk" in next(iter(raw(["Ω"])))


def test_saved_and_loaded_and_sent(learnt, tmp_path):
    file = learnt.save(tmp_path / "new" / "pieces.json")
    expected = list(learnt(["xxbos a movie"]))
    for same in (SubwordTokenizer(sp_model=file), SubwordTokenizer(sp_model=learnt.sp_model), pickle.loads(pickle.dumps(learnt)),
                 SubwordTokenizer(sp_model=file).setup(["other texts"])):
        assert list(same(["xxbos a movie"])) == expected and same.sp_model == learnt.sp_model


def test_an_export_holds_the_pieces(learnt):
    tfm = Tokenizer(learnt)
    same = Builder()(Describer()(tfm))
    assert type(same) is Tokenizer and same(TEXTS[0]) == tfm(TEXTS[0]) and same.decode(same(TEXTS[0])) == prepared(TEXTS[0])
    assert Describer()(tfm)["args"]["rules"][0] == {"part": "text:fix_html"}


def test_sizes():
    words = " ".join(f"w{i}" for i in range(400))
    tokenizer = SubwordTokenizer(model_type="bpe")
    assert tokenizer._size([words], None) == 104 and tokenizer._size(["a b"], None) == 29
    assert SubwordTokenizer(max_vocab_sz=64)._size([words], None) == 64
    assert SentencePieceTokenizer is SubwordTokenizer


def test_learns_from_an_iterator_and_through_the_transform():
    assert SubwordTokenizer(model_type="bpe", vocab_sz=60).setup(iter(TEXTS)).sp_model
    tfm = Tokenizer(SubwordTokenizer(model_type="bpe", vocab_sz=90))
    tfm.setup(TEXTS)
    assert tfm.decode(tfm(TEXTS[1])) == "xxbos xxwrep 4 so bad"


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="'unigram', 'bpe'"):
        SubwordTokenizer(model_type="char")
    with pytest.raises(ValueError, match="vocab_sz=3"):
        SubwordTokenizer(vocab_sz=3)
    with pytest.raises(RuntimeError, match=r"setup\(texts\)"):
        SubwordTokenizer()(["a"])
    (tmp_path / "spm.model").write_bytes(b"\n\xff\x00")
    with pytest.raises(ValueError, match="SentencePiece"):
        SubwordTokenizer(sp_model=tmp_path / "spm.model")


def test_learning_and_then_starting_processes_says_nothing(monkeypatch, capfd):
    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 2)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    tokenizer = SubwordTokenizer(model_type="bpe", vocab_sz=120).setup(TEXTS)
    store = TokenStore.of(TEXTS, tokenizer, rules=[], n_workers=2, progress=False)
    assert list(store[0]) == list(next(iter(tokenizer(TEXTS[:1])))) and "TOKENIZERS_PARALLELISM" not in os.environ
    assert capfd.readouterr().err == ""
