"""`TextDataLoaders`: each factory, each kind of target, and new items."""
import pandas as pd
import pytest
import torch

from minifast.checks.data.probe import DataProbe
from minifast.core.seeds import set_seed
from minifast.data.block import CategoryBlock, RegressionBlock
from minifast.text.loaders import TextDataLoaders
from minifast.text.padding import count_tokens
from minifast.text.special import TEXT_SPEC_TOK

TEXTS = ["A good film", "a bad film , a very bad one", "good", "bad bad bad", "so so", "a film"] * 4


@pytest.fixture(scope="module")
def df():
    return pd.DataFrame({"words": TEXTS, "mood": ["pos", "neg"] * 12, "tags": ["x;y", "y", ""] * 8, "score": [0.5, 1.0] * 12,
                         "title": ["Short", "Long"] * 12, "held": [i % 4 == 0 for i in range(24)], "x": [0, 1] * 12, "y": [1, 1, 0] * 8})


def make(df, **kwargs):
    return TextDataLoaders.from_df(df, **{"text_col": "words", "label_col": "mood", "valid_col": "held", "min_freq": 1, "bs": 4, **kwargs})


def test_a_category_by_position_or_name(df):
    dls = make(df)
    assert dls.vocab[1] == ["neg", "pos"] and dls.c == 2 and type(dls) is TextDataLoaders and len(dls.train_ds) == 18
    x, y = dls.valid.one_batch()
    assert x.shape == (4, 4) and x.dtype == y.dtype == torch.int64 and list(make(df, text_col=0, label_col=1).vocab[0]) == dls.vocab[0]
    assert dls.train.n_tokens == sum(count_tokens(x) for x, _ in dls.train)
    assert set(dls.vocab[0]) - {"xxfake"} == {*TEXT_SPEC_TOK, "3", *" ".join(TEXTS).lower().split()}
    assert make(df, valid_col=None, valid_pct=0.5).valid.n == 12 and make(df, vocab=["pos", "neg"]).vocab[1] == ["pos", "neg"]


@pytest.mark.parametrize(("kwargs", "shape", "dtype", "loss", "columns"), [
    ({"label_col": "tags", "label_delim": ";"}, (4, 2), torch.float32, "BCEWithLogitsLossFlat", ["text", "category"]),
    ({"label_col": ["x", "y"]}, (4, 2), torch.float32, "BCEWithLogitsLossFlat", ["text", "category"]),
    ({"label_col": "score", "y_block": RegressionBlock}, (4,), torch.float32, "MSELossFlat", ["text", "target"]),
    ({"y_block": CategoryBlock(add_na=True)}, (4,), torch.int64, "CrossEntropyLossFlat", ["text", "category"])])
def test_targets_of_other_kinds(df, kwargs, shape, dtype, loss, columns):
    dls = make(df, **kwargs)
    y = dls.train.one_batch()[1]
    assert y.shape == shape and y.dtype == dtype and loss in repr(dls.loss_func)
    assert list(dls.show_batch(max_n=2).columns) == columns
    again = [dict(zip(map(tuple, x.tolist()), y.tolist(), strict=True)) for x, y in (next(iter(dls.valid)), next(iter(dls.valid)))]
    assert again[0] == again[1]                     # targets that were made before


def test_several_columns_of_texts(df):
    dls = make(df, text_col=["title", "words"])
    assert dls.train_ds.decode(dls.train_ds[0])[0] == "xxbos xxfld 1 xxmaj long xxfld 2 a bad film , a very bad one"
    assert len(dls.test_dl(df[:3]).one_batch()[0]) == 3


def test_a_language_model_and_its_classifier(df):
    lm = make(df, is_lm=True, seq_len=5)
    assert lm.train.seq_len == 5 and lm.train.one_batch()[0].shape == (4, 5) and lm.n_inp == 1
    assert make(df, text_vocab=lm.vocab).vocab[0] == lm.vocab
    assert len(lm.test_dl(["a good film"] * 9).one_batch()) == 2


def test_a_folder_and_a_csv_file(df, tmp_path):
    for i, row in enumerate(df.itertuples()):
        file = tmp_path / ("test" if row.held else "train") / row.mood / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row.words)
    dls = TextDataLoaders.from_folder(tmp_path, valid="test", min_freq=1, bs=4)
    assert dls.vocab[1] == ["neg", "pos"] and (len(dls.train_ds), len(dls.valid_ds)) == (18, 6)
    assert len(TextDataLoaders.from_folder(tmp_path, valid_pct=0.25, is_lm=True, bs=2).valid_ds) == 6
    with pytest.raises(FileNotFoundError, match=r"from_folder\(path, valid_pct=0.2\)"):
        TextDataLoaders.from_folder(tmp_path / "train")
    assert TextDataLoaders.from_folder(tmp_path / "train", valid_pct=0.2, bs=4).vocab[1] == ["neg", "pos"]
    df.to_csv(tmp_path / "texts.csv", index=False)
    other = TextDataLoaders.from_csv(tmp_path, "texts.csv", text_col="words", label_col="mood", valid_col="held", min_freq=1, bs=4)
    assert other.vocab == make(df).vocab and other.path == tmp_path
    with pytest.raises(FileNotFoundError, match="csv_fname='labels.csv'"):
        TextDataLoaders.from_csv(tmp_path)
    assert _rows(dls.test_dl("a bad film , a very bad one")) == _rows(dls.test_dl(sorted((tmp_path / "train" / "neg").iterdir())[:1]))


def _rows(loader):
    return [x.tolist() for x, *_ in loader]


@pytest.mark.parametrize("texts", [3, 100])
def test_new_items_of_many_kinds(df, texts):
    dls = make(df)
    words = [f"a good film {'bad ' * (i % 7)}" for i in range(texts)]
    frame = pd.DataFrame({"words": words, "other": 1}, index=[f"r{i}" for i in range(texts)])
    expected = _rows(dls.test_dl(words))
    for items in (frame, frame.words, frame[["words"]], iter(words)):
        assert _rows(dls.test_dl(items)) == expected
    assert len(_rows(dls.test_dl(words[0]))[0]) == 1 and sum(map(len, expected)) == texts
    with pytest.raises(KeyError, match="'words'"):
        dls.test_dl(frame.rename(columns={"words": "text"})).one_batch()


def test_keywords_are_not_lost(df):
    with pytest.raises(TypeError, match=r"TextDataLoaders.from_df\(...\) does not take text_colum=str 'words'; did you mean 'text_col'"):
        make(df, text_colum="words")
    assert make(df, val_bs=6, shuffle=False, max_vocab=12).valid.bs == 6
    with pytest.warns(UserWarning, match="longer than max_len=3"):
        assert make(df, max_len=3).train.one_batch()[0].shape[1] == 3


@pytest.mark.parametrize("kwargs", [{"num_workers": 2}, {"num_workers": 2, "worker_type": "thread"}, {"on_error": "skip", "num_workers": 0},
                                    {"after_item": lambda o: o, "num_workers": 0}])
def test_batches_are_the_same_whoever_makes_them(df, kwargs):
    def batches(**kwargs):
        dls = make(df, **kwargs)
        set_seed(3)
        return [[(x.tolist(), y.tolist()) for x, y in dl] for dl in dls]
    assert batches() == batches(**kwargs)
    assert batches() != [[]] and make(df).train.num_workers == 0


def test_names_of_classes_are_those_of_the_targets(df):
    with pytest.warns(UserWarning, match=r"1 class without an item in the training set: .*'sad'"):
        make(df, vocab=["neg", "pos", "sad"]).class_weights()
    assert DataProbe(make(df)).name_of(1) == "pos"


def test_columns_that_cannot_be_meant(df):
    texts = df.assign(words=[f"{i} a film of this kind that nobody has ever seen before" for i in range(24)])
    with pytest.raises(ValueError, match=r"holds 24 different texts in 24 rows.*text_col='words', label_col='mood'"):
        make(texts, text_col="mood", label_col="words")
    with pytest.raises(ValueError, match="the column 'mood' is given as text_col and as label_col"):
        make(df, text_col="mood")
    assert make(texts, text_col="words", label_col="mood").vocab[1] == ["neg", "pos"]
    with pytest.raises(TypeError, match=r"from_df takes a DataFrame; received list of 2 .*write pd.DataFrame\(\{'text': texts"):
        TextDataLoaders.from_df(["a", "b"])


def test_the_tokens_of_a_language_model_are_no_classes(df):
    lm = make(df, is_lm=True, seq_len=5)
    with pytest.raises(TypeError, match="write text_vocab=dls_lm.vocab"):
        make(df, vocab=lm.vocab)
    for argument in ({"vocab": ["neg", "pos"]}, {"label_delim": ";"}, {"y_block": CategoryBlock}):
        with pytest.raises(TypeError, match=r"from_df\(\w+=\): a language model predicts tokens and has no labels"):
            make(df, is_lm=True, **argument)
