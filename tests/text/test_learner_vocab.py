"""Weights of other words are refused by `load`, which says what to write; an encoder is matched by name."""
import pandas as pd
import pytest
import torch

from minifast.text.learner import text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM


def made(texts, path, **kwargs):
    df = pd.DataFrame({"text": texts, "mood": ["bad", "good"] * (len(texts) // 2)})
    dls = TextDataLoaders.from_df(df, text_col="text", label_col="mood", min_freq=1, bs=2, device="cpu", **kwargs)
    return text_classifier_learner(dls, AWD_LSTM, pretrained=False, config={"emb_sz": 4, "n_hid": 4, "n_layers": 1}, path=path)


def test_the_advice_of_load(tmp_path):
    first, other = ["a film", "a good one"] * 4, ["zebras run", "a good film"] * 4
    old, new = made(first, tmp_path), made(other, tmp_path)
    old.save("weights")
    with pytest.raises(ValueError, match=r"another vocabulary of the input 0.*of texts text_vocab=\[\.\.\.\]"):
        new.load("weights")
    same = made(other, tmp_path, text_vocab=old.dls.vocab[0])           # as it says
    assert torch.equal(same.load("weights").predict("a film")[2], old.predict("a film")[2])
