"""Exported learners of texts: tokenizer and vocabulary in the file, the same predictions of new texts, many or one."""
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.core.items import L
from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.data.files import get_text_files
from minifast.data.labels import ColReader, parent_label
from minifast.data.splitters import GrandparentSplitter
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.block import TextBlock
from minifast.text.loaders import TextDataLoaders
from minifast.text.padding import pad_input
from minifast.text.sorted_loader import SortedDL
from minifast.text.tokenizer import Tokenizer
from minifast.text.vocabulary import Numericalize

NEW = ["A very good film", "bad", "so so so , film", ""]


@pytest.fixture(scope="module")
def df():
    words = ["A good film", "a bad film , a very bad one", "good", "bad bad bad", "so so", "a film"] * 2
    return pd.DataFrame({"words": words, "mood": ["pos", "neg"] * 6, "held": [i % 4 == 0 for i in range(12)]})


@pytest.fixture(scope="module")
def files(df, tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")
    for i, row in enumerate(df.itertuples()):
        file = path / ("valid" if row.held else "train") / row.mood / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row.words)
    return path


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


def test_a_language_model(df, tmp_path):
    dls = of_df(df, is_lm=True, seq_len=5)
    learn = Learner(dls, nn.Sequential(nn.Embedding(len(dls.vocab), 4), nn.Linear(4, len(dls.vocab))), loss_func=CrossEntropyLossFlat(),
                    path=tmp_path)
    other = load_learner(learn.export(tmp_path / "learner.mf"))
    preds = [o.get_preds(dl=o.dls.test_dl(NEW * 4), concat_dim=1)[0] for o in (learn, other)]
    assert torch.equal(*preds) and preds[0].shape[:2] == (4, 13) and other.dls.train.seq_len == 5
