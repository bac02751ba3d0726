import pandas as pd
import pytest

from minifast.core.items import L
from minifast.core.paths import Path
from minifast.learner.spec import Builder, Describer
from minifast.text import chunks
from minifast.text.rules import lowercase
from minifast.text.tokenizer import Tokenizer
from minifast.text.tokenizers import BaseTokenizer, SpacyTokenizer, TokenizeWithRules, tokenize1
from minifast.text.words import WordTokenizer

TABLE = pd.DataFrame({"title": ["A Title", "B"], "body": ["It IS.", ""]})


def test_an_item_of_each_kind(tmp_path):
    expected = ["xxbos", "xxmaj", "it", "xxup", "is", "."]
    assert Tokenizer()("It IS .") == expected and type(Tokenizer()("a")) is L
    assert Tokenizer().encodes(["ready", "tokens"]) == Tokenizer()(L("ready", "tokens")) == ["ready", "tokens"]
    (tmp_path / "a.txt").write_text("It IS .", encoding="utf-8-sig")
    assert Tokenizer.from_folder(tmp_path)(Path(tmp_path / "a.txt")) == expected
    assert Tokenizer.from_df("body")(TABLE.iloc[1]) == ["xxbos"]
    assert Tokenizer.from_df(["title", "body"])(TABLE.iloc[1]) == ["xxbos", "xxfld", "1", "b", "xxfld", "2"]
    assert Tokenizer(rules=[])("A") == ["A"] and Tokenizer().decode(L("a", "b")) == "a b"


def test_one_item_and_all_are_tokenised_alike():
    for tfm, items in ((Tokenizer.from_df(["title", "body"]), TABLE), (Tokenizer(rules=[lowercase]), ["A\n b", "c"])):
        store = tfm.tokenize(items, progress=False)
        rows = [items.iloc[i] for i in range(2)] if items is TABLE else items
        assert [list(t) for t in store] == [list(tfm(o)) for o in rows]


@pytest.mark.parametrize("wrong", [None, float("nan"), 3, b"bytes", ["a", 3]])
def test_what_is_no_text_is_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="an item"):
        Tokenizer()(wrong)


def test_kept_in_the_file_it_was_given(tmp_path):
    tfm = Tokenizer(cache=tmp_path / "tokens")
    assert tfm.tokenize(["a"], progress=False).path == tfm.tokenize(["a"], progress=False).path == tmp_path / "tokens.ids"


def shout(text):
    return text.upper()


def test_an_export_describes_it():
    tfm = Tokenizer(WordTokenizer("de"), sep="|", text_cols="body", encoding="cp1252")
    same = Builder()(Describer()(tfm))
    assert same.tok.lang == "de" and same.rules == tfm.rules
    assert (same.sep, same.text_cols, same.encoding) == ("|", "body", "cp1252")
    describer = Describer()
    tree = describer(Tokenizer(rules=[shout]))
    assert describer.own == {"shout": f"{__name__}.shout"} and Builder({"shout": shout})(tree)("a") == ["A"]


def test_a_tokenizer_of_ones_own_and_a_class_by_mistake():
    assert Tokenizer(lambda items: (t.split("-") for t in items), rules=[])("a-b") == ["a", "b"]
    with pytest.raises(TypeError, match=r"write WordTokenizer\(\)"):
        Tokenizer(WordTokenizer)


def test_tokenize1_and_with_rules():
    assert tokenize1("Hello there", WordTokenizer()) == ["xxbos", "xxmaj", "hello", "there"]
    assert tokenize1("a b", BaseTokenizer(), rules=[]) == ["a", "b"] == next(TokenizeWithRules(BaseTokenizer(), [])(["a b"]))


def test_spacy_is_used_where_it_is_installed(monkeypatch):
    monkeypatch.setattr("minifast.text.tokenizers.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="pip install spacy"):
        tok = SpacyTokenizer()
    assert list(tok(["don't"])) == [["do", "n't"]]


def test_rules_of_ones_own_reach_the_processes(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 1)
    store = Tokenizer(rules=[lambda t: t + " end"], n_workers=2).tokenize(["a", "b", "c"], progress=False)
    assert [list(t) for t in store] == [["a", "end"], ["b", "end"], ["c", "end"]]


@pytest.mark.parametrize("wrong, said", [
    (["I loved it", "so so"], "'I loved it' has spaces within"), (TABLE, "a table of 2"),
    (TABLE.body, "a column of 2")])
def test_several_texts_are_not_taken_for_the_tokens_of_one(wrong, said):
    with pytest.raises((ValueError, TypeError), match=rf"{said}.*write learn.get_preds\(dl=dls.test_dl\(texts\)\)"):
        Tokenizer.from_df("body")(wrong)
    assert Tokenizer()(["new▁york", " ", "\n\n"]) == ["new▁york", " ", "\n\n"]


def test_a_transform_instead_of_what_splits():
    mine = Tokenizer(BaseTokenizer("-"), rules=[])
    with pytest.raises(TypeError, match=r"write tok=tokenizer.tok, rules=tokenizer.rules"):
        Tokenizer(mine)
    assert Tokenizer(tok=mine.tok, rules=mine.rules)("a-b") == ["a", "b"]


def words_of(text):
    return text.split()


@pytest.mark.parametrize("f", [str.split, words_of, lambda texts: [t.lower() for t in texts]])
def test_a_function_of_one_text(f):
    with pytest.raises(TypeError, match=r"write tok=lambda texts: \(f\(t\) for t in texts\)"):
        Tokenizer(f)
    if f in (str.split, words_of):
        assert Tokenizer(tok=lambda texts: (f(t) for t in texts), rules=[])("a b") == ["a", "b"]
