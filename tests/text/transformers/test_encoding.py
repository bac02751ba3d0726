"""Texts as ids: nothing is lost unseen, what is no text is named, one begin, words one to one."""
import multiprocessing
import os
import warnings

import numpy as np
import pytest
import torch
from tiny_transformers import ALL, LINES

from minifast.learner.spec import Builder, Describer
from minifast.text.all import TransformersDataLoaders
from minifast.text.transformers.encoding import EncodeText
from minifast.text.transformers.tokenizer import load_tokenizer


def encoder(folder, max_len=None, task="classify"):
    return EncodeText(load_tokenizer(folder, task == "words"), max_len, task)


@pytest.mark.parametrize("kind", ALL)
def test_many_at_once_are_each_alone(tiny, kind):
    encode = encoder(tiny(kind), 12)
    texts = [*LINES, "", "a"]
    with pytest.warns(UserWarning, match="are cut"):
        every = encode.encode_ahead(texts)
    for i, t in enumerate(texts):
        one = encode.encodes(t)
        assert one.keys() == every[i].keys() and all(np.array_equal(one[k], every[i][k]) for k in one)
    assert list(every.lengths) == [len(every[i]["input_ids"]) for i in range(len(texts))] and every.lengths.max() == 12


def test_what_is_cut_is_counted_and_said_once(tiny, frame):
    with pytest.warns(UserWarning) as told:
        dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4, max_len=14)
        for _ in dls.train:
            pass
    full = encoder(tiny("bert"))
    lengths = [len(full.encodes(t)["input_ids"]) for t in frame["text"]]
    cut = sum(n > 14 for n in lengths)
    assert 0 < cut < len(lengths)
    assert str(told[0].message) == (f"{cut} of {len(lengths)} texts have more than max_len=14 tokens (the longest {max(lengths)}) and are "
                                    "cut: the model does not see the rest")
    assert len(told) == 1


@pytest.mark.parametrize(("kind", "limit"), [("bert", 40), ("roberta", 40), ("gpt2", 40), ("deberta-v2", 40), ("xlnet", None)])
def test_the_limit_is_that_of_the_model_where_the_tokenizer_knows_none(tiny, frame, kind, limit):
    assert load_tokenizer(tiny(kind)).model_max_length > 10**20
    frame.loc[3, "text"] = "film " * 60
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", "label", bs=24, valid_pct=0.1)
    assert max(dls.train.res) == limit if limit else max(dls.train.res) > 60
    assert any("max_len=40" in str(t.message) for t in told) == (limit is not None)


def test_a_length_above_the_limit_is_said_and_capped(tiny, frame):
    with pytest.warns(UserWarning, match="max_len=512 is more than the 40 tokens that the model takes: max_len=40 is used"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", max_len=512)
    with pytest.raises(ValueError, match="max_len=2: a whole number of tokens, at least 4"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", max_len=2)


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_pairs_fit_whichever_side_is_long_or_empty(tiny, kind):
    encode = encoder(tiny(kind), 8)
    long = " ".join(LINES[:4])
    for pair in ((long, "a film"), ("a film", long), (long, long), ("", long), (long, ""), ("", "")):
        ids = encode.encodes(pair)["input_ids"]
        assert 0 < len(ids) <= 8
    assert len(encode.encodes((long, "a"))["input_ids"]) == 8


@pytest.mark.parametrize("kind", ["llama", "roberta", "bert"])
def test_a_text_that_brings_its_own_begin_has_one(tiny, kind):
    encode = encoder(tiny(kind))
    tok = encode.tokenizer
    begin = tok.bos_token if kind != "bert" else tok.cls_token
    ids = encode.encodes(begin + "the film")["input_ids"].tolist()
    assert ids.count(tok.convert_tokens_to_ids(begin)) == 1 and ids[0] == tok.convert_tokens_to_ids(begin)
    assert all(len(v) == len(ids) for v in encode.encodes(begin + "the film").values())


def test_an_empty_text_has_a_token(tiny, frame):
    assert encoder(tiny("gpt2")).encodes("")["input_ids"].tolist() == [0]
    frame["text"] = ""
    x, _ = TransformersDataLoaders.from_df(frame, tiny("gpt2"), "text", "label", bs=4).one_batch()
    assert x["attention_mask"].sum(1).tolist() == [1] * 4


@pytest.mark.parametrize(("value", "said", "mend"), [
    (None, "missing", lambda c: c.fillna("")), (float("nan"), "missing", lambda c: c.fillna("")),
    (12.5, "not a text but float 12.5", lambda c: c.astype(str)),
    (b"abc", "not a text but bytes b'abc'", lambda c: c.map(lambda t: t.decode('utf-8') if isinstance(t, bytes) else t))])
def test_what_is_no_text_is_named_by_the_users_own_row(tiny, frame, value, said, mend):
    frame.index = [f"id{i}" for i in range(24)]
    frame["text"] = frame["text"].astype(object)
    frame.loc["id7", "text"] = value
    mended = r"df\[column\] = df\[column\]\.(fillna\(''\)|astype\(str\)|map\()"
    with pytest.raises(ValueError, match=rf"1 item of \d+ is {said}.*row 'id7'.*{mended}"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", valid_pct=0.1, bs=4)
    frame["text"] = mend(frame["text"])
    TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", valid_pct=0.1, bs=4).one_batch()


def test_the_missing_half_of_a_pair_is_named_too(tiny, frame):
    frame["other"] = ["a"] * 23 + [None]
    with pytest.raises(ValueError, match="missing .None or NaN.*row 23"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), ["text", "other"], "label", splitter=lambda o: (range(4, 24), range(4)))


def test_words_get_one_target_each(tiny):
    encode = encoder(tiny("bert"), task="words")
    x = encode.encodes(["unbelievable", "film", "of"])
    assert [w for w in dict.fromkeys(x["word_ids"].tolist()) if w >= 0] == [0, 1, 2] and len(x["word_ids"]) > 5
    with pytest.raises(ValueError, match=r"one text, not a list of its words.*df\[column\]\.str\.split"):
        encode.encode_ahead(["the film was good"])


def test_texts_in_all_the_alphabets(tiny, frame):
    frame["text"] = ["naïve 東京 😀", "\u0000\ufffd odd"] * 12
    x, _ = TransformersDataLoaders.from_df(frame, tiny("roberta"), "text", "label", bs=4).one_batch()
    assert x["input_ids"].shape[0] == 4


def in_a_child(queue, encode):
    queue.put((encode.encodes("the film")["input_ids"].tolist(), os.environ.get("TOKENIZERS_PARALLELISM")))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_tokenising_and_then_starting_workers_neither_warns_nor_hangs(tiny, frame, capfd):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4, num_workers=2)
    assert dls.train.num_workers == 2
    try:
        with_workers = [y for _, y in dls.valid]
    finally:
        for dl in dls:
            dl.end_workers()
    alone = [y for _, y in dls.valid.new(num_workers=0)]
    assert all(torch.equal(a, b) for a, b in zip(with_workers, alone, strict=True))
    encode = encoder(tiny("bert"))
    encode.encode_ahead(LINES)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_a_child, args=(queue, encode))
    child.start()
    ids, set_there = queue.get(timeout=20)
    child.join()
    assert ids == encode.encodes("the film")["input_ids"].tolist() and set_there == "false"
    assert "TOKENIZERS_PARALLELISM" not in os.environ and "fork" not in capfd.readouterr().err


def test_pairs_and_single_texts_are_not_taken_for_one_another(tiny, frame):
    """A list of two texts would be read as a pair by a model of single texts, and a text as its first two letters by one of pairs."""
    frame["other"] = frame["label"] * 2
    texts, two = frame["text"].tolist(), list(zip(frame["text"], frame["other"], strict=True))
    alone, pairs = (TransformersDataLoaders.from_df(frame, tiny("bert"), c, "label", bs=4) for c in ("text", ["text", "other"]))
    with pytest.raises(ValueError, match=r"a pair of texts, where one is expected.*for several texts write learn.get_preds"):
        alone.test_dl([two[0]]).one_batch()
    with pytest.raises(ValueError, match=r"a single text, where a pair is expected.*Give both texts of each"):
        pairs.test_dl([texts[0]]).one_batch()
    with pytest.raises(ValueError, match=r"1 item of 24 is a single text, where a pair is expected: item 3, "):
        TransformersDataLoaders.from_lists([*two[:3], "ab", *two[4:]], list(frame["label"]), tiny("bert"), bs=4)
    assert len(alone.test_dl(texts).one_batch()) == len(pairs.test_dl(two).one_batch()) == 1
    again = Builder()(Describer()(alone.train_ds.pipelines[0][-1]))
    assert again.pairs is False


def test_halves_of_surrogate_pairs_are_named(tiny, frame):
    frame["text"] = frame["text"].astype(object)
    frame.loc[3, "text"] = "odd \ud800"
    with pytest.raises(ValueError, match=r"1 item of 24 has halves of surrogate pairs.*row 3"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    frame.loc[3, "text"] = "odd"
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    with pytest.raises(ValueError, match="1 item of 1 has halves"):
        dls.test_dl(["odd \ud800"]).one_batch()


def test_a_table_where_one_text_is_expected(tiny, frame):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    with pytest.raises(TypeError, match=r"a table of 2: for several texts write learn.get_preds\(dl=dls.test_dl\(texts\)\)"):
        dls.test_dl([frame.head(2)]).one_batch()
    assert len(dls.test_dl(frame.head(2)).one_batch()[0]["input_ids"]) == 2
