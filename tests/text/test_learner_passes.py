"""A language model keeps a hidden state from batch to batch: passes in between, and an interruption, leave it as it is."""
import pytest
import torch

from minifast.callbacks.base import Callback
from minifast.callbacks.regularise import ModelResetter
from minifast.callbacks.resume import Resume
from minifast.core.seeds import set_seed
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.learner import language_model_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM


@pytest.fixture(scope="module")
def dls():
    import pandas as pd
    df = pd.DataFrame({"text": ["one two three four five six seven"] * 12, "valid": [i % 4 == 0 for i in range(12)]})
    return TextDataLoaders.from_df(df, is_lm=True, valid_col="valid", min_freq=1, bs=2, seq_len=6, device="cpu", num_workers=0)


SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}


class Own(torch.nn.Module):
    "As chapter 12 of the fastai book has it."

    def __init__(self, n):
        super().__init__()
        self.i_h, self.rnn, self.h_o = torch.nn.Embedding(n, 8), torch.nn.RNN(8, 8, batch_first=True), torch.nn.Linear(8, n)
        self.h = torch.zeros(1, 2, 8)

    def forward(self, x):
        out, h = self.rnn(self.i_h(x), self.h)
        self.h = h.detach()
        return self.h_o(out)

    def reset(self):
        self.h = torch.zeros(1, 2, 8)


def awd_lstm(dls):
    return language_model_learner(dls, AWD_LSTM, pretrained=False, config=SIZES, metrics=[])


def own(dls):
    return Learner(dls, Own(len(dls.vocab)), CrossEntropyLossFlat(), cbs=ModelResetter())


def trained(make, dls, path, cbs=None, n_epoch=2):
    set_seed(1)
    learn = make(dls)
    learn.path, learn.logger = path, lambda row: None
    with learn.no_bar():
        learn.fit(n_epoch, 1e-2, cbs=cbs)
    return learn


def weights(learn):
    return torch.nn.utils.parameters_to_vector(learn.model.parameters())


@pytest.mark.parametrize("make", [awd_lstm, own])
def test_training_goes_on_as_if_nobody_had_looked(make, dls, tmp_path):
    def look(cb):
        if cb.learn.training and cb.learn.iter == 2:
            cb.learn.validate()
            if make is awd_lstm:
                cb.learn.predict("one two", 3)

    plain, looked_at = (trained(make, dls, tmp_path, cbs, n_epoch=1) for cbs in ([], [Callback(after_batch=look)]))
    assert torch.equal(weights(plain), weights(looked_at))


@pytest.mark.parametrize("make", [awd_lstm, own])
def test_a_training_is_resumed_within_an_epoch_to_the_bit(make, dls, tmp_path):
    def stop(cb):
        if cb.learn.training and cb.learn.epoch == 1 and cb.learn.iter == 3:
            raise KeyboardInterrupt

    whole = trained(make, dls, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trained(make, dls, tmp_path, [Resume("part", every=1), Callback(after_step=stop)])
    resumed = trained(make, dls, tmp_path, [Resume("part", every=1), Callback(after_step=lambda cb: None)])
    assert resumed.start_iter == 3, "within the epoch"
    assert torch.equal(weights(whole), weights(resumed)) and whole.recorder.values == resumed.recorder.values
