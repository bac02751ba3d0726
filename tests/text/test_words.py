"""What spaCy's blank English gives, as fastai 2.8.12 with spaCy 3.8 calls it."""
import pickle

import pytest

from minifast.learner.spec import Builder, Describer
from minifast.text.words import WordTokenizer


@pytest.fixture(scope="module")
def tok():
    return WordTokenizer()


@pytest.mark.parametrize("text, expected", [
    ("The movie wasn't good.", "The movie was n't good ."),
    ("I'm sure they'd've gonna can't cannot let's y'all", "I 'm sure they 'd 've gon na ca n't can not let 's y' all"),
    ("“hello”, (she) 'said'!", "“ hello ” , ( she ) ' said ' !"),
    ("U.S. u.s. e.g. i.e. Mr. mr. co. J. end... end..word wait…", "U.S. u.s . e.g. i.e. Mr. mr . co. J. end ... end .. word wait …"),
    ("$5.00 10km 50% 1980's 3-d 5p.m. 10am 6\"", "$ 5.00 10 km 50 % 1980 's 3 - d 5 p.m. 10 am 6 \""),
    ("well-known a--b 1-1 -x - --", "well - known a -- b 1 - 1 -x - --"),
    ("a=b a<b and/or 1/2 1:30 1,000 a,b a,1 r&b", "a = b a < b and / or 1/2 1:30 1,000 a , b a,1 r&b"),
    ("http://a.com/b?c=d www.a.com a@b.com (a.com) a.com.", "http://a.com/b?c=d www.a.com a@b.com ( a.com ) a.com ."),
    (":) a:) x): <3 ^_^", ":) a :) x ): <3 ^_^"),
    ("it's dogs' o'brien ma'am goin'", "it 's dogs ' o'brien ma'am goin'"),
    ("😀😀 a™ 日本。 é. _x_", "😀 😀 a ™ 日本 。 é . _ x _"),
    ("well hell its were shell ill", "well hell its were shell ill"),
    ("it’s don’t", "it ’s do n’t"),
])
def test_words_of_english(tok, text, expected):
    assert tok.split(text) == expected.split(" ")


@pytest.mark.parametrize("text, expected", [
    ("", []), ("a", ["a"]), ("a\n\nb", ["a", "\n\n", "b"]), ("a \n b", ["a", "\n ", "b"]), ("a  b", ["a", " ", "b"]),
    (" a", [" ", "a"]), ("a ", ["a"]), ("a\n", ["a", "\n"]), ("\ta\u00a0b", ["\t", "a", "\u00a0", "b"]), ("a \n", ["a", "\n"])])
def test_white_space(tok, text, expected):
    assert tok.split(text) == expected


def test_several_texts_other_languages_and_whole_tokens(tok):
    assert [list(t) for t in tok(["don't", "x."])] == [["do", "n't"], ["x."]]
    assert WordTokenizer("de").split("don't :)") == ["don't", ":)"]
    assert WordTokenizer(special_toks=["<sep>"]).split("a <sep> <b>") == ["a", "<sep>", "<", "b", ">"]


def test_sent_and_described(tok):
    tok.split("some words")
    assert len(pickle.dumps(tok)) < 200 and pickle.loads(pickle.dumps(tok)).split("don't") == ["do", "n't"]
    assert Builder()(Describer()(WordTokenizer("de"))).lang == "de"


def test_what_is_remembered_is_bounded(tok, monkeypatch):
    monkeypatch.setattr("minifast.text.words._REMEMBERED", 5)
    small = WordTokenizer()
    for i in range(50):
        assert small.split(f"w{i}, x{i}") == [f"w{i}", ",", f"x{i}"]
    assert len(small._words) <= 7
