"""Blocks of texts as fastai's users write them; the ids are those of fastai 2.8.12 for the same texts and vocabulary."""
import random
import re
from functools import partial

import pandas as pd
import pytest

from minifast.core.items import L
from minifast.data.block import CategoryBlock, DataBlock, RegressionBlock
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.files import get_text_files
from minifast.data.labels import ColReader, parent_label
from minifast.data.splitters import ColSplitter, GrandparentSplitter, RandomSplitter
from minifast.text.block import TextBlock
from minifast.text.language_loader import LMDataLoader
from minifast.text.padding import pad_input
from minifast.text.sorted_loader import SortedDL
from minifast.text.special import TEXT_SPEC_TOK
from minifast.text.tokenizer import Tokenizer
from minifast.text.vocabulary import Numericalize

WORDS = ["the", "a", "good", "bad", "film", "movie", "was", "is", "very", "not", "really", "great", "awful", "plot", "actor"]
VOCAB = [*TEXT_SPEC_TOK, *sorted(WORDS)[:-2], ".", "1", "2"]
FIRST = [2, 8, 0, 11, 10, 0, 21, 13, 0, 16, 0, 10, 11, 19, 13, 16, 17, 18, 10, 10, 12, 0, 14, 13, 14, 11, 9, 18, 11, 13, 10, 0, 22]
FIFTH = [2, 8, 15, 18, 13, 11, 19, 14, 10, 0, 11, 13, 10, 15, 19, 20, 11, 9, 0, 19, 11, 12, 21, 11, 0, 16, 22]


@pytest.fixture(scope="module")
def df():
    r = random.Random(0)
    rows = [(" ".join(r.choice(WORDS) for _ in range(r.randint(3, 30))).capitalize() + ".", "pos" if i % 2 else "neg", i % 5 == 0)
            for i in range(60)]
    return pd.DataFrame(rows, columns=["review", "label", "is_valid"])


@pytest.fixture(scope="module")
def folder(df, tmp_path_factory):
    path = tmp_path_factory.mktemp("imdb")
    for i, row in enumerate(df.itertuples()):
        file = path / ("test" if row.is_valid else "train") / row.label / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row.review, encoding="utf-8")
    return path


def test_a_classifier_of_a_column_called_otherwise(df):
    block = DataBlock(blocks=(TextBlock.from_df("review", seq_len=6, vocab=VOCAB), CategoryBlock), get_x=ColReader("text"),
                      get_y=ColReader("label"), splitter=ColSplitter())
    dls = block.dataloaders(df, bs=5)
    x, y = next(iter(dls.valid))
    assert x[0].tolist() == FIRST and x[4].tolist() == [1] * 6 + FIFTH and y.tolist() == [0, 1, 0, 1, 0]
    assert dls.vocab == [VOCAB, ["neg", "pos"]] and dls.c == 2 and dls.train.seq_len == 6 and dls.train.num_workers == 0
    assert block.new().dataloaders(df, bs=5, seq_len=72).train.seq_len == 72


@pytest.mark.parametrize("get_x", [None, ColReader("review"), ColReader("text"), lambda row: row["text"], lambda row: row.text])
def test_the_block_reads_its_column_itself(df, get_x):
    block = DataBlock(blocks=(TextBlock.from_df("review", vocab=VOCAB), CategoryBlock), get_x=get_x, get_y=ColReader("label"))
    assert block.datasets(df)[0][0].tolist() == FIRST


def test_a_function_that_would_change_nothing_is_refused_and_what_is_advised_works(df):
    def shouted(row):
        return row.review.upper()
    with pytest.raises(TypeError, match=r"reads 'review' of each row itself, so that function shouted .* write TextBlock\(Tokenizer\(\)\)"):
        DataBlock(blocks=(TextBlock.from_df("review"), CategoryBlock), get_x=shouted, get_y=ColReader("label"))
    block = DataBlock(blocks=(TextBlock(Tokenizer()), CategoryBlock), get_x=shouted, get_y=ColReader("label"))
    assert "xxup" in block.datasets(df).decode(block.datasets(df)[0])[0]


def test_the_language_model_of_the_course(folder, capsys):
    get_imdb = partial(get_text_files, folders=["train", "test"])
    dls_lm = DataBlock(blocks=TextBlock.from_folder(folder, is_lm=True, vocab=VOCAB), get_items=get_imdb,
                       splitter=RandomSplitter(0.1)).dataloaders(folder, path=folder, bs=4, seq_len=9)
    assert [tuple(x.shape) for x, _ in dls_lm.train][:2] == [(4, 9)] * 2 and dls_lm.vocab == VOCAB and dls_lm.c == len(VOCAB)
    shown = dls_lm.show_batch(max_n=2)
    assert list(shown.columns) == ["text", "text_"] and len(shown) == 2
    assert shown.text[0].split(" ")[1:] == shown.text_[0].split(" ")[:-1]
    dls = DataBlock(blocks=(TextBlock.from_folder(folder, vocab=dls_lm.vocab), CategoryBlock), get_y=parent_label,
                    get_items=partial(get_text_files, folders=["train", "test"]),
                    splitter=GrandparentSplitter(valid_name="test")).dataloaders(folder, path=folder, bs=8, seq_len=72)
    assert [tuple(x.shape) for x, _ in dls.valid] == [(8, 33), (4, 16)]
    assert next(iter(dls.valid))[0][0].tolist() == FIRST
    assert "Traceback" not in capsys.readouterr().err


def test_the_mid_level_of_the_course(folder):
    files = L(sorted(get_text_files(folder, folders=["train", "test"])))
    splits = GrandparentSplitter(valid_name="test")(files)
    texts = TfmdLists(files, [Tokenizer.from_folder(folder), Numericalize(vocab=VOCAB)], splits=splits, dl_type=LMDataLoader)
    loaders = texts.dataloaders(bs=3, seq_len=8), texts.dataloaders(dl_type=LMDataLoader, bs=3, seq_len=8)
    for dls in loaders:
        x, y = next(iter(dls.valid))
        assert x[0].tolist() == FIRST[:8] and y[0].tolist() == FIRST[1:9] and isinstance(dls.train, LMDataLoader)
        assert dls.show_batch(max_n=1).shape == (1, 2)
    ds = Datasets(files, [[Tokenizer.from_folder(folder), Numericalize(vocab=VOCAB)], [parent_label, Categorize]], splits=splits,
                  dl_type=SortedDL)
    dls = ds.dataloaders(before_batch=pad_input, bs=8)
    x, y = next(iter(dls.valid))
    assert x[0].tolist() == FIRST and x[4].tolist() == FIFTH + [1] * 6 and y.tolist()[:2] == [0, 1]
    lazy = Datasets(files, [[Tokenizer(), Numericalize()], [parent_label, Categorize]], splits=splits)
    with pytest.raises(ValueError, match="different shapes: .* Pad them to one length in a `before_batch`"):
        lazy.dataloaders(bs=8, num_workers=0).one_batch()


def test_backwards(df):
    def texts(**kwargs):
        block = DataBlock(blocks=TextBlock.from_df("review", vocab=VOCAB, **kwargs), splitter=ColSplitter())
        return block.dataloaders(df, bs=3, seq_len=len(FIRST) - 1).valid
    x, y = next(iter(texts(is_lm=True, backwards=True)))
    assert x[0].tolist() == FIRST[:0:-1] and y[0].tolist() == FIRST[-2::-1]
    assert next(iter(texts(backwards=True)))[0][0].tolist() == FIRST[::-1]
    assert texts(backwards=True).decode_batch(texts(backwards=True).one_batch())[0][0].startswith(". ")


def test_long_texts_are_cut_with_a_count(df):
    dls = DataBlock(blocks=(TextBlock.from_df("review", vocab=VOCAB, max_len=20), RegressionBlock), get_y=lambda row: len(row.review),
                    splitter=ColSplitter()).dataloaders(df, bs=5)
    with pytest.warns(UserWarning, match=r"5 of 5 sequences of this batch are longer than max_len=20 \(the longest has 33\)"):
        x, y = next(iter(dls.valid))
    assert x[0].tolist() == FIRST[:20] and y.shape == (5,) and dls.valid.before_batch[0].cut["cut"] == 5


@pytest.mark.parametrize(("arguments", "message"), [
    ({"seq_len": 0}, r"TextBlock\(seq_len=0\)"), ({"max_len": 20, "is_lm": True}, "a language model reads all of a text"),
    ({"vocab": [["a", "b"], ["neg"]]}, r"dls.vocab\[0\]")])
def test_arguments_are_checked(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TextBlock.from_df("review", **arguments)


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "row 'r3'"), (3.5, "row 'r3'"), (b"bytes", "row 'r3'")])
@pytest.mark.parametrize("block", [TextBlock.from_df("review"), TextBlock(Tokenizer())])
def test_what_is_no_text_is_named_by_the_users_own_index(df, block, value, message):
    bad = df.astype({"review": object}).set_axis([f"r{i}" for i in range(60)])
    bad.loc["r3", "review"] = value
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        DataBlock(blocks=(block, CategoryBlock), get_x=ColReader("review"), get_y=ColReader("label")).datasets(bad)


def test_an_empty_text_is_one_token(df):
    dls = DataBlock(blocks=(TextBlock.from_df("review", vocab=VOCAB), CategoryBlock), get_y=ColReader("label"),
                    splitter=ColSplitter()).dataloaders(df.assign(review=["", *df.review[1:]]), bs=12)
    assert next(iter(dls.valid))[0][-1].tolist().count(1) == dls.valid.one_batch()[0].shape[1] - 1


@pytest.mark.parametrize("is_lm", [False, True])
@pytest.mark.parametrize("vocab", [["the", "film"], ["xxunk", "the", "xxpad"], ["the", "xxpad"]])
def test_a_vocabulary_whose_words_would_be_padding_or_unknown(vocab, is_lm):
    with pytest.raises(ValueError, match=r"'xxpad' at position 1.*Write vocab=\[\*TEXT_SPEC_TOK, ") as e:
        TextBlock(Tokenizer(), vocab, is_lm=is_lm)
    again = eval(str(e.value).partition("Write vocab=")[2], {"vocab": vocab, "TEXT_SPEC_TOK": TEXT_SPEC_TOK})
    assert TextBlock(Tokenizer(), again, is_lm=is_lm).type_tfms[1].vocab[1] == "xxpad" and "the" in again
