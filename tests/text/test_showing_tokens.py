"""Tokens per second count tokens that are no padding."""
import pandas as pd
import pytest
import torch

from minifast.checks.learner.speed import measure
from minifast.text.learner import text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.padding import Pad_Input

LENGTHS = [1, 9, 2, 8, 3, 7, 4, 6]
FRAME = pd.DataFrame({"text": [" ".join("abcdefghi"[:n]) for n in LENGTHS], "mood": ["bad", "good"] * 4, "held": [False] * 7 + [True]})
OPTIONS = {"text_col": "text", "min_freq": 1, "device": "cpu", "num_workers": 0}


@pytest.fixture(scope="module")
def dls():
    return TextDataLoaders.from_df(FRAME, label_col="mood", valid_col="held", bs=7, **OPTIONS)


def test_of_texts_and_language_models(dls):
    x, _ = dls.train.one_batch()
    assert x.shape == (7, 10) and dls.train.tokens_in(x) == sum(LENGTHS[:7]) + 7, "with an xxbos each"
    padded_with_0 = dls.train.new(before_batch=Pad_Input(pad_idx=0))
    assert padded_with_0.tokens_in(torch.tensor([[5, 1, 0], [1, 0, 0]])) == 3
    lm = TextDataLoaders.from_df(FRAME, is_lm=True, seq_len=4, bs=2, valid_col="held", **OPTIONS)
    assert lm.train.tokens_in(lm.train.one_batch()[0]) == 8


def test_a_profile_says_them(dls):
    learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, config={"emb_sz": 4, "n_hid": 4, "n_layers": 1})
    found = measure(learn, 2, warm_up=0)
    assert found["tokens_per_second"] * found["step"] == pytest.approx(sum(LENGTHS[:7]) + 7)
    learn.dls = dls.new(bs=2)                                    # more than two batches of warming up
    table = learn.profile(2)
    assert f"{table.attrs['tokens_per_second']:,.0f} tokens per second, padding not counted" in table.attrs["verdict"]
