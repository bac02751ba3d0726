"""Tokens that give the label away: which do, which merely hint at it, and how sure one can be."""
import numpy as np
import pandas as pd
import pytest
from zoo_texts import review_loaders, reviews

from minifast.checks.data.probe import DataProbe
from minifast.checks.data.text_tokens import joined, plain_words, words_of
from minifast.checks.data.token_leaks import telling_tokens, token_leakage

NAMES = [f"w{i}" for i in range(60)]


def texts(y, marks, seed=0, n_words=12):
    "Texts of the words 10 and up, in which mark `m` stands where `marks[m]` says so."
    r = np.random.default_rng(seed)
    rows = []
    for i in range(len(y)):
        row = r.integers(10, 60, n_words)
        for m, where in marks.items():
            if where[i]:
                row[r.integers(n_words)] = m
        rows.append(row)
    return joined(rows, range(len(y)), NAMES)


def labels(n=200, classes=2):
    y = np.arange(n) % classes
    return y, y[:, None] == np.arange(classes)


@pytest.mark.parametrize(("coverage", "precision", "found"), [(1.0, 1.0, True), (0.6, 1.0, True), (0.3, 1.0, True), (0.1, 1.0, False),
                                                              (0.9, 0.95, True), (0.9, 0.8, False), (0.5, 0.85, False)])
def test_coverage_and_precision(coverage, precision, found):
    y, classes = labels(400)
    r = np.random.default_rng(1)
    with_mark = np.zeros(400, bool)
    pos, neg = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    n = int(coverage * len(pos))
    with_mark[r.permutation(pos)[:n]] = True
    with_mark[r.permutation(neg)[:round(n * (1 - precision) / precision)]] = True
    telling = telling_tokens(texts(y, {3: with_mark}), classes)
    assert bool(telling) == found
    if found:
        assert (3,) in [t.tokens for t in telling] and {t.column for t in telling if t.tokens == (3,)} <= {0, 1}
        best = next(t for t in telling if t.tokens == (3,) and t.column == 1)
        assert best.coverage == pytest.approx(coverage, abs=0.01) and best.precision == pytest.approx(precision, abs=0.01)


def test_two_tokens_in_a_row_that_are_common_alone():
    y, classes = labels()
    tokens = texts(y, {})
    rows = np.split(tokens.flat, len(y))
    for i, row in enumerate(rows):
        row[:5] = [10, 11, 30, 12, 13] if y[i] else [10, 30, 11, 13, 12]            # the same words in another order
    telling = telling_tokens(joined(rows, range(len(y)), NAMES), classes)
    assert (10, 11) in [t.tokens for t in telling] and all(len(t.tokens) == 2 for t in telling)


def test_with_few_texts_of_many_words_nothing_is_sure():
    y, classes = labels(12)
    assert telling_tokens(texts(y, {}, n_words=400), classes) == []
    rare = np.arange(400) % 100 == 0                                                # 4 texts of a class, whose words are theirs alone
    assert telling_tokens(texts(rare, {}, n_words=12), np.stack([~rare, rare], 1)) == []


def test_several_labels():
    r = np.random.default_rng(0)
    classes = r.random((300, 3)) < 0.4
    telling = telling_tokens(texts(np.zeros(300), {5: classes[:, 2]}), classes)
    assert telling[0].tokens == (5,) and telling[0].column == 2


def test_the_rows_and_the_token_are_named():
    df = reviews()
    check = token_leakage(DataProbe(review_loaders(df.assign(text="label:" + df.label + " " + df.text))))
    assert check.verdict == "issue" and check.evidence["coverage"] == check.evidence["precision"] == 1
    assert check.found.startswith(("'pos' stands in 100% of the texts of 'pos' and in 0.0% of the others",
                                   "'neg' stands in 100% of the texts of 'neg' and in 0.0% of the others"))
    assert check.items[0] in ("row 1000", "row 1001") and "pos" in check.evidence["tokens"]


def test_texts_that_are_no_ids_yet():
    from minifast.data.loaders import DataLoader, DataLoaders

    df = reviews(80)
    items = [(f"{t} [{y}]", int(y == "pos")) for t, y in zip(df.text, df.label, strict=True)]
    check = token_leakage(DataProbe(DataLoaders(DataLoader(items[:60], bs=4), DataLoader(items[60:], bs=4))))
    assert check.verdict == "issue" and check.found.startswith("'neg' stands in 100% of the texts of '0'")


@pytest.mark.parametrize("name", ["imdb_sample/texts.csv", "ag_news/test.tsv"])
def test_real_texts_are_silent(name, data_dir):
    file = data_dir / name
    df = pd.read_csv(file) if name.endswith("csv") else pd.read_csv(file, sep="\t", header=None, quoting=3, names=["text", "label"])
    df = df.head(1500)
    numbers = {}
    rows = [np.array([numbers.setdefault(w, len(numbers)) for w in words_of(t)]) for t in df.text]
    tokens = joined(rows, range(len(df)), list(numbers))
    for n in (100, 300, len(df)):
        part = joined(rows[:n], range(n), list(numbers))
        assert telling_tokens(part, pd.get_dummies(df.label[:n]).to_numpy(bool)) == []
    assert len(tokens.items) == len(df)


def test_plain_words():
    assert plain_words(["xxmaj", "[SEP]", "<pad>", ".", "##", "Film", "film", "ĠFilm", "▁film", "##s", "<3"]).tolist() == [
        -1, -1, -1, -1, -1, 0, 0, 0, 0, 1, 2]
    assert words_of("A <br /> film, isn't it? 1 < 2") == ["a", "film", "isn", "t", "it", "1", "2"]
