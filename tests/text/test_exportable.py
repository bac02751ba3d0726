"""Exported learners of texts: tokenizer and vocabulary in the file, the same predictions of new texts, many or one."""
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.core.items import L
from minifast.data.block import CategoryBlock, DataBlock, RegressionBlock
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.data.files import get_text_files
from minifast.data.labels import ColReader, parent_label
from minifast.data.splitters import GrandparentSplitter
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.learner.predictor import Predictor
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.block import TextBlock
from minifast.text.learner import language_model_learner, text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.padding import pad_input
from minifast.text.sorted_loader import SortedDL
from minifast.text.subword import SubwordTokenizer
from minifast.text.tokenizer import Tokenizer
from minifast.text.vocabulary import Numericalize

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}
NEW = ["A very good film", "bad", "so so so , film", ""]


@pytest.fixture(scope="module")
def df():
    words = ["A good film", "a bad film , a very bad one", "good", "bad bad bad", "so so", "a film"] * 2
    return pd.DataFrame({"words": words, "title": ["one", "two"] * 6, "mood": ["pos", "neg"] * 6, "held": [i % 4 == 0 for i in range(12)]})


@pytest.fixture(scope="module")
def files(df, tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")
    for i, row in enumerate(df.itertuples()):
        file = path / ("valid" if row.held else "train") / row.mood / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row.words)
    return path


def terrible(text):
    return text.replace("bad", "terrible")


class Split:
    def __call__(self, items):
        return (text.split(" ") for text in items)


def of_datasets(df, files):
    items = L(sorted(get_text_files(files)))
    return Datasets(items, [[Tokenizer.from_folder(files), Numericalize(min_freq=1)], [parent_label, Categorize]],
                    splits=GrandparentSplitter()(items), dl_type=SortedDL).dataloaders(before_batch=pad_input, bs=4)


def of_df(df, **kwargs):
    return TextDataLoaders.from_df(df, text_col="words", label_col="mood", valid_col="held", min_freq=1, bs=4, **kwargs)


LOADERS = {
    "df": lambda df, files: of_df(df), "backwards": lambda df, files: of_df(df, backwards=True),
    "folder": lambda df, files: TextDataLoaders.from_folder(files, min_freq=1, bs=4), "datasets": of_datasets,
    "get_x": lambda df, files: DataBlock(blocks=(TextBlock(Tokenizer(), min_freq=1), CategoryBlock), get_x=ColReader("words"),
                                         get_y=ColReader("mood")).dataloaders(df, bs=4)}


@pytest.mark.parametrize("name", LOADERS)
def test_a_classifier(df, files, tmp_path, name):
    dls = LOADERS[name](df, files)
    model = nn.Sequential(nn.Embedding(len(dls.vocab[0]), 4), nn.AdaptiveAvgPool2d((1, 4)), nn.Flatten(), nn.Linear(4, 2))
    learn = Learner(dls, model, path=tmp_path)
    other = load_learner(learn.export(tmp_path / "learner.mf"))
    for text in NEW:
        assert torch.equal(other.predict(text)[2], learn.predict(text)[2])
    preds = [o.get_preds(dl=o.dls.test_dl(NEW * 20))[0] for o in (learn, other)]
    assert torch.equal(*preds) and torch.allclose(preds[0][:4], preds[0][-4:])
    assert other.dls.vocab == learn.dls.vocab and type(other.dls) is type(dls)


@pytest.mark.parametrize("how", [{}, {"backwards": True}, {"label_col": "held", "y_block": RegressionBlock},
                                 {"text_col": ["words", "title"]}, {"tok_tfm": SubwordTokenizer(vocab_sz=40)}])
def test_a_predictor(df, tmp_path, how):
    dls = TextDataLoaders.from_df(df, **{"text_col": "words", "label_col": "mood", "valid_col": "held", "min_freq": 1, "bs": 4, **how})
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, config=SIZES)
    predictor = Predictor(learn.export(tmp_path / "learner.mf"))
    new = df.assign(words=[*NEW] * 3) if "text_col" in how else NEW
    rows = [row for _, row in new.iterrows()] if "text_col" in how else new
    want = learn.get_preds(dl=learn.dls.test_dl(new))[0]
    assert torch.allclose(torch.stack([p.probs for p in predictor.predict(rows)]), want, atol=1e-6)
    one = predictor.predict(rows[0])
    assert torch.allclose(one.probs, want[0], atol=1e-6) and str(one.label) == str(learn.predict(rows[0])[0])


def test_a_graph_of_an_lstm_is_refused_with_what_to_write(df, tmp_path, monkeypatch):
    learn = text_classifier_learner(of_df(df), AWD_LSTM, pretrained=False, config=SIZES, path=tmp_path)
    for export in (learn.to_onnx, learn.to_torch_export):
        with pytest.raises(TypeError, match=r"piece by piece.*learn.export\('model.pkl'\), and load_learner\('model.pkl'\)"):
            export("model")
    monkeypatch.chdir(tmp_path)
    learn.export("model.pkl")
    assert load_learner("model.pkl").predict("good")[0] == learn.predict("good")[0]


def test_a_predictor_of_a_language_model_is_refused_with_what_to_write(df, tmp_path):
    learn = language_model_learner(of_df(df, is_lm=True, seq_len=5), AWD_LSTM, pretrained=False, config=SIZES, metrics=[])
    file = learn.export(tmp_path / "learner.mf")
    with pytest.raises(TypeError, match=r"learn = load_learner\(file\) and learn.predict\(text, n_words\)"):
        Predictor(file)
    text = load_learner(file).predict("A good", 2, temperature=0)
    assert text == learn.predict("A good", 2, temperature=0)


def test_rules_and_tokenizers_of_your_own(df, tmp_path):
    learn = text_classifier_learner(of_df(df, rules=[terrible], tok_tfm=Split()), AWD_LSTM, pretrained=False, config=SIZES)
    with pytest.warns(UserWarning, match="Split.*terrible"):
        file = learn.export(tmp_path / "learner.mf")
    with pytest.raises(ValueError, match="objects="):
        load_learner(file)
    predictor = Predictor(file, objects={"terrible": terrible, "Split": Split})
    assert torch.equal(predictor.predict("a bad film").probs, learn.predict("a bad film")[2])


def test_a_language_model(df, tmp_path):
    dls = of_df(df, is_lm=True, seq_len=5)
    learn = Learner(dls, nn.Sequential(nn.Embedding(len(dls.vocab), 4), nn.Linear(4, len(dls.vocab))), loss_func=CrossEntropyLossFlat(),
                    path=tmp_path)
    other = load_learner(learn.export(tmp_path / "learner.mf"))
    preds = [o.get_preds(dl=o.dls.test_dl(NEW * 4), concat_dim=1)[0] for o in (learn, other)]
    assert torch.equal(*preds) and preds[0].shape[:2] == (4, 13) and other.dls.train.seq_len == 5
