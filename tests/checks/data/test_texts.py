"""What the check of texts finds, and what it leaves alone."""
import random
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset
from zoo import (
    WORDS,
    check_texts,
    classifier,
    image_files,
    image_loaders,
    loaders,
    points,
    table,
    table_loaders,
    texts_of_length,
    two_splits_of_texts,
)

from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders
from minifast.checks.data import texts
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.sequences import PadSequences
from minifast.data.transforms import Transform
from minifast.nn.losses import CrossEntropyLossFlat


@pytest.mark.parametrize(("make", "why"), [
    (lambda: loaders(*points()), "neither ids of words nor text"),
    (lambda: table_loaders(table()), "rows of a table"),
    (lambda: loaders(torch.randint(0, 9, (240, 5)), torch.arange(240) % 2), "nothing says that they are words"),
    (lambda: loaders((torch.arange(6) < torch.randint(0, 7, (240, 1))).long(), torch.arange(240) % 2),        # a level in thermometer code
     "equally many whole numbers in every item"),
    (lambda: two_splits_of_texts([[-5, 3], [4, -2, -7]] * 20, [[1, 2]], pad_value=0), None),
    (lambda: DataLoaders(DataLoader([("ann", 0), ("bob", 1)] * 20, bs=4)), "names or labels rather than texts"),
    (lambda: DataLoaders(DataLoader([("the same four words", 0)] * 20, bs=4)), "names or labels rather than texts"),
    (lambda: DataLoaders([(torch.ones(4, 3), torch.zeros(4))] * 2), "neither ids of words nor text"),
    (lambda: DataLoaders(DataLoader([(torch.tensor(2), torch.tensor(5), 1.0)] * 20, bs=4, n_inp=2)), "neither ids of words nor text"),
], ids=range(9))
def test_not_applicable(make, why):
    result = check_texts(make())
    assert result.verdict == ("not applicable" if why else "issue") and (why or "outside the vocabulary") in result.found, result


def test_waveforms_are_not_texts():
    g = torch.Generator().manual_seed(0)
    waves = [(torch.randint(-900, 900, (20 + i,), generator=g, dtype=torch.int16), 0) for i in range(30)]
    result = check_texts(DataLoaders(DataLoader(waves, bs=4, before_batch=PadSequences(), num_workers=0)))
    assert result.verdict == "not applicable" and "many of them negative" in result.found


def test_images_are_not_read_for_it(tmp_path, monkeypatch):
    dls = image_loaders(image_files(tmp_path))
    monkeypatch.setattr(texts, "read_texts", None)
    assert check_texts(dls).verdict == "not applicable"


def test_the_numbers_of_both_splits():
    result = check_texts(two_splits_of_texts(texts_of_length(2, 4, 6, 8, n=10), texts_of_length(3, 5, n=5)))
    assert result.verdict == "pass" and result.found == (
        "training: 40 texts of 2 to 8 tokens, median 5, 95% have at most 8; validation: 10 texts of 3 to 5 tokens, median 4, 95% have at "
        "most 5; unknown words: 0.0% of the tokens in training, 0.0% of the tokens in validation")
    e = result.evidence
    assert (e["training_items"], e["training_shortest"], e["training_median"], e["training_p95"], e["training_longest"]) == (40, 2, 5, 8, 8)
    assert (e["validation_items"], e["validation_shortest"], e["validation_median"], e["validation_longest"]) == (10, 3, 4, 5)
    assert e["training_empty"] == e["validation_empty"] == 0 and e["vocabulary"] == 30
    assert e["validation_filled"] == 40 / 50                                # one batch of ten texts, filled up to 5


@pytest.mark.parametrize(("long", "verdict"), [(2, "pass"), (6, "tip"), (11, "issue")])
def test_truncated_texts(long, verdict):
    train = [*texts_of_length(4, n=20 - long), *texts_of_length(10, n=long)]
    result = check_texts(two_splits_of_texts(train, texts_of_length(4, n=10), max_len=6))
    assert result.verdict == verdict
    assert result.evidence["training_cut"] == long / 20 and result.evidence["training_tokens_lost"] == 4 * long
    assert result.evidence["validation_cut"] == 0
    if verdict != "pass":
        tokens = 4 * (20 - long) + 10 * long
        assert result.found == (f"PadSequences(max_len=6) truncates {long / 20:.0%} of the texts in training: {4 * long} of {tokens} "
                                f"tokens ({4 * long / tokens:.0%}) are lost")
        assert "max_len=10 leaves 95% of the training texts whole" in result.advice


def test_truncation_of_validation_alone():
    result = check_texts(two_splits_of_texts(texts_of_length(4, n=20), texts_of_length(10, n=10), max_len=6))
    assert result.verdict == "issue" and "truncates 100% of the texts in validation: 40 of 100 tokens" in result.found
    assert "max_len=4" in result.advice and "in training:" not in result.found


def test_truncation_before_the_loader():
    train = [t[:20] for t in texts_of_length(*range(4, 28), n=4)]
    result = check_texts(two_splits_of_texts(train, texts_of_length(4, 5, n=10)))
    assert result.verdict == "tip" and result.evidence["training_at_longest"] == 32 / 96
    assert "33% of the texts in training have exactly the longest length, 20 tokens" in result.found and "validation" not in result.found


@pytest.mark.parametrize(("n", "verdict"), [(0, "pass"), (1, "tip"), (2, "tip"), (3, "issue")])
def test_empty_texts_are_named(n, verdict):
    train = texts_of_length(4, n=60)
    for i in range(n):
        train[7 + i] = []
    result = check_texts(two_splits_of_texts(train, texts_of_length(5, n=10)))
    assert result.verdict == verdict and result.items == [f"item {7 + i}" for i in range(n)] and result.evidence["training_empty"] == n
    if n == 1:
        assert result.found == "1 text of 60 in training is empty (1.7%): item 7"


def test_empty_texts_of_validation():
    result = check_texts(two_splits_of_texts(texts_of_length(4, n=20), [*texts_of_length(5, n=10), [], [], [1, 1], []]))
    assert result.verdict == "issue" and "4 texts of 14 in validation are empty (28.6%): item 10, item 11, item 12, ..." in result.found
    assert result.items == ["item 10", "item 11", "item 12", "item 13"]


@pytest.mark.parametrize(("unknown", "verdict"), [(1, "pass"), (2, "tip"), (4, "issue")])
def test_unknown_words_of_both_splits(unknown, verdict):
    text = [0] * unknown + list(range(2, 12 - unknown))
    result = check_texts(two_splits_of_texts([text, text[:-1] + [5, 6]] * 20, [text] * 10))
    assert result.verdict == verdict
    assert result.evidence["training_unknown"] == pytest.approx(2 * unknown / 21)
    assert result.evidence["validation_unknown"] == pytest.approx(unknown / 10)
    assert f"{unknown / 10:.1%} of the tokens in validation" in result.found


def test_validation_has_far_more_unknown_words():
    result = check_texts(two_splits_of_texts([[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [2, 3]] * 20, [list(range(2, 20)), [0, 0, 2, 3, 4, 5]] * 5))
    assert result.verdict == "tip" and result.evidence["validation_unknown"] == 2 / 24
    assert "8.3% of the tokens in validation: far more in validation" in result.found and "same tokenizer" in result.advice
    few = check_texts(two_splits_of_texts([list(range(2, 12)), [2, 3]] * 20, [list(range(2, 28)) * 2, [0, 0, 2, 3, 4, 5]] * 5))
    assert few.verdict == "pass"                                            # three times as many, yet only 3%


def test_ids_outside_the_vocabulary():
    result = check_texts(two_splits_of_texts([[2, 3], [4, 30, 5]] * 10, [[2, 31], [-100, 4, 31]] * 5))
    assert result.verdict == "issue" and (result.evidence["training_outside"], result.evidence["validation_outside"]) == (10, 15)
    assert ("10 ids in training are outside the vocabulary, from 30 to 30, first in item 1; the vocabulary has 30 words, ids 0 to 29; "
            "15 ids in validation are outside the vocabulary, from -100 to 31, first in item 0") in result.found
    assert "device-side assert" in result.advice
    one = check_texts(two_splits_of_texts([[2, 3], [4, 30, 5], *[[2, 3]] * 9], [[2, 4]] * 5))
    assert "1 id in training is outside the vocabulary: 30, first in item 1" in one.found


def test_padding_with_a_word_and_with_no_id():
    train, valid = texts_of_length(4, 5, n=10), texts_of_length(4, n=5)
    result = check_texts(two_splits_of_texts(train, valid, pad_value=0))
    assert result.verdict == "tip" and result.advice == "PadSequences(pad_value=1)"
    assert result.found == "batches are padded with 0, which is 'xxunk'; the vocabulary's padding is 1"
    dls = two_splits_of_texts(train, valid, pad_value=-1)
    for dl in dls:
        dl.dataset.vocab = [["xxunk", "a", *WORDS[2:]], ["neg", "pos"]]
    result = check_texts(dls)
    assert result.verdict == "tip" and "padded with -1, which is not an id of the vocabulary" in result.found


def test_two_vocabularies():
    dls = two_splits_of_texts(texts_of_length(4, 5, n=10), texts_of_length(4, n=5))
    dls.valid_ds.vocab = [[*WORDS[:4], "w3", "w2", *WORDS[6:]], []]
    result = check_texts(dls)
    assert result.verdict == "issue" and result.evidence["ids_that_differ"] == 2
    assert "2 ids stand for another word, 4 for 'w2' in training and 'w3' in validation" in result.found
    dls.valid_ds.vocab = [[*WORDS, "more"], []]
    assert check_texts(dls).verdict == "pass"


def test_batches_of_padding():
    result = check_texts(two_splits_of_texts([*texts_of_length(2, n=15), list(range(2, 30))] * 2, texts_of_length(2, n=4)))
    filled_share = result.evidence["training_filled"]
    assert result.verdict == "tip" and filled_share < 0.3
    assert f"only {filled_share:.0%} of the training batches are words" in result.found
    assert "similar length" in result.advice and result.evidence["validation_filled"] == 1


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


def test_text_as_people_write_it():
    train, valid = [(s + " " + "so" * (i % 3), 0) for i, s in enumerate(SENTENCES)], [("The cat, again", 0), ("Some cat sat", 1)]
    result = check_texts(DataLoaders(DataLoader(train, bs=3, num_workers=0), DataLoader(valid, bs=2, num_workers=0)))
    assert result.verdict == "pass" and result.evidence["validation_words_new"] == 2 / 6
    assert "33.3% of the words in validation do not occur in training" in result.found and "words" in result.found.split(";")[0]
    other = [("une autre langue ici", 0), ("the quatre mots la", 1), ("", 0)]
    result = check_texts(DataLoaders(DataLoader(train, bs=3, num_workers=0), DataLoader(other, bs=2, num_workers=0)))
    assert result.verdict == "tip" and result.evidence["validation_words_new"] == 7 / 8 and result.items == ["item 2"]
    assert "1 text of 3 in validation is empty" in result.found and "same language" in result.advice


def test_a_check_neither_counts_nor_warns_of_truncation():
    train, valid = texts_of_length(3, 9, n=20), texts_of_length(3, 9, n=10)
    dls = two_splits_of_texts(train, valid, max_len=4)
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


def test_uncounted_padding_keeps_its_class_and_arguments():
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


def test_movie_reviews(data_dir):
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


def test_texts_that_the_tokenizer_cut():
    from tiny_transformers import wordpiece
    from zoo_texts import reviews

    from minifast.text.all import TransformersDataLoaders
    tokenizer = wordpiece()
    with pytest.warns(UserWarning, match="are cut"):
        dls = TransformersDataLoaders.from_df(reviews(60), tokenizer, "text", "label", valid_col="valid", max_len=20)
    result = check_texts(dls)
    assert result.verdict == "issue" and result.evidence["training_cut"] > 0.5 and result.evidence["training_longest"] == 20
    whole = TransformersDataLoaders.from_df(reviews(60), tokenizer, "text", "label", valid_col="valid")
    lengths = [len(d["input_ids"]) for d, _ in (whole.train_ds[i] for i in range(40))]
    lost = sum(max(n - 20, 0) for n in lengths)
    assert f"of the texts in training are cut to 20 tokens: {lost:,} of {sum(lengths):,} tokens" in result.found
    longest = int(result.advice.split("max_len=")[1].split(" ")[0])
    assert sum(n <= longest for n in lengths) == 38 and result.evidence["training_tokens_lost"] == lost
    assert check_texts(whole).verdict == "pass" and "training_cut" not in check_texts(whole).evidence


def test_texts_of_only_a_beginning_are_empty_and_rows_are_named():
    from zoo_texts import review_loaders, reviews
    df = reviews(60)
    df.loc[[1003, 1007, 1009], "text"] = ""
    for kw in ({}, {"is_lm": True, "label_col": None}):
        result = check_texts(review_loaders(df, **kw))
        assert result.verdict == "issue" and [name[:8] for name in result.items] == ["row 1003", "row 1007", "row 1009"]
