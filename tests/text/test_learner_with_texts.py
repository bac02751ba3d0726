"""Learners on real loaders: from texts to a classifier by way of a language model, predictions of texts, files that hold the tokenizer."""
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.callbacks import Callback
from minifast.callbacks.regularise import ModelResetter, RNNCallback, RNNRegularizer
from minifast.data.loaders import DataLoaders
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.metrics import accuracy
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.learner import language_model_learner, text_classifier_learner
from minifast.text.loaders import TextDataLoaders

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}
GOOD = ["a good film", "we liked this good story", "good acting and a good plot"]
BAD = ["a bad film", "we left this bad story", "bad acting"]
TEXTS = pd.DataFrame({"text": [f"{t}, number {i}" for i in range(6) for t in GOOD + BAD],
                      "label": (["good"] * 3 + ["bad"] * 3) * 6, "is_valid": [i > 27 for i in range(36)]})


@pytest.fixture(scope="module")
def lm_learn(tmp_path_factory):
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", is_lm=True, valid_col="is_valid", bs=4, seq_len=8, device="cpu", path=".")
    learn = language_model_learner(dls, config=SIZES, pretrained=False, drop_mult=0.1, path=tmp_path_factory.mktemp("lm"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(4, 3e-2)
    return learn


@pytest.fixture(scope="module")
def clas_learn(lm_learn):
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", label_col="label", valid_col="is_valid", text_vocab=lm_learn.dls.vocab, bs=8,
                                  device="cpu")
    lm_learn.save_encoder("enc")
    learn = text_classifier_learner(dls, config=SIZES, pretrained=False, metrics=accuracy, seq_len=4, path=lm_learn.path)
    learn.load_encoder("enc")
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 3e-2)
        learn.freeze_to(-2)
        learn.fit_one_cycle(2, 3e-2)
    return learn


def test_it_writes(lm_learn):
    text = lm_learn.predict("We liked", 6, temperature=0.5)
    assert text.startswith("We liked") and "xx" not in text
    assert lm_learn.predict("We liked", 5, temperature=0) == lm_learn.predict("We liked", 5, temperature=0, top_k=3, min_p=0.1)
    torch.manual_seed(1)
    first = lm_learn.predict("a", 8)
    torch.manual_seed(1)
    assert lm_learn.predict("a", 8) == first and lm_learn.model[0].hidden is None
    assert lm_learn.predict("We liked", 0) == "We liked"
    assert lm_learn.predict("good", 2, decoder=lambda tokens: [t.upper() for t in tokens]).startswith("GOOD ")
    with pytest.raises(ValueError, match="top_k=0"):
        lm_learn.predict("a", top_k=0)


def test_a_language_model_in_a_file(lm_learn):
    loaded = load_learner(lm_learn.export("lm.pkl"))
    assert loaded.predict("We liked", 6, temperature=0) == lm_learn.predict("We liked", 6, temperature=0)
    assert loaded.model[1].decoder.weight is loaded.model[0].encoder.weight and type(loaded) is type(lm_learn)


def test_a_classifier_in_a_file(clas_learn):
    loaded, text = load_learner(clas_learn.export("clas.pkl")), "A good story"
    label, index, probs = clas_learn.predict(text)
    assert label in ("good", "bad") and clas_learn.dls.vocab[1][int(index)] == label and probs.shape == (2,)
    assert loaded.predict(text)[0] == label and torch.equal(loaded.predict(text)[2], probs)


def test_the_same_text_in_any_batch(clas_learn):
    "Sorted by length, padded in pieces, alone: the same probabilities, in the order of the dataset."
    texts = list(TEXTS.text[:11])
    with clas_learn.no_bar():
        together = clas_learn.get_preds(dl=clas_learn.dls.test_dl(texts))[0]
        by_three = clas_learn.get_preds(dl=clas_learn.dls.test_dl(texts, bs=3))[0]
    alone = torch.stack([clas_learn.predict(t)[2] for t in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(by_three, alone, atol=1e-5, rtol=0)


def test_it_is_ready_for_a_validation_pass_after_predicting(lm_learn):
    with lm_learn.no_bar():
        before = lm_learn.validate()
        lm_learn.predict("we", 3)
        assert lm_learn.validate() == before


# -- a chapter of one's own: models written by hand, trained with the plain Learner ------------------------------------------------------
class OwnModel(nn.Module):
    "An LSTM whose state goes on from batch to batch; tied weights, dropout, and what the penalties need."

    def __init__(self, n_words, n_hidden, n_layers, p, bs):
        super().__init__()
        self.i_h, self.h_o = nn.Embedding(n_words, n_hidden), nn.Linear(n_hidden, n_words)
        self.rnn, self.drop = nn.LSTM(n_hidden, n_hidden, n_layers, batch_first=True), nn.Dropout(p)
        self.h_o.weight = self.i_h.weight
        self.h = [torch.zeros(n_layers, bs, n_hidden) for _ in range(2)]

    def forward(self, x):
        raw, h = self.rnn(self.i_h(x), self.h)
        out = self.drop(raw)
        self.h = [s.detach() for s in h]
        return self.h_o(out), raw, out

    def reset(self):
        for h in self.h:
            h.zero_()


def groups_of_chunks(pairs, bs):
    "Item i of batch k continues item i of batch k - 1."
    m = len(pairs) // bs
    return [pairs[i + m * j] for i in range(m) for j in range(bs)]


class Remember(Callback):
    def before_validate(self):
        self.state = max(float(h.abs().max()) for h in self.learn.model.h)


@pytest.mark.parametrize("penalties", ["none", "RNNCallback", "TextLearner"])
def test_a_chapter_of_ones_own(penalties):
    "Numbers as words, read in order by batches that go on, drop_last, no shuffling; validation starts from nothing."
    words = ["zero", "one", "two", "three", "four", "."]
    stream = torch.tensor([words.index(w) for _ in range(60) for w in ("one", ".", "two", ".", "three", ".", "four", ".")])
    pairs, bs = [(stream[i:i + 6], stream[i + 1:i + 7]) for i in range(0, len(stream) - 7, 6)], 8
    cut = int(len(pairs) * 0.8)
    dls = DataLoaders.from_dsets(groups_of_chunks(pairs[:cut], bs), groups_of_chunks(pairs[cut:], bs), bs=bs, drop_last=True, shuffle=False,
                                 device="cpu", num_workers=0)
    model = OwnModel(len(words), 16, 2, 0.1, bs)
    cbs = {"none": [ModelResetter()], "RNNCallback": [ModelResetter(), RNNCallback(), RNNRegularizer(alpha=2, beta=1)]}.get(penalties, [])
    if penalties == "none":
        model.forward = lambda x, forward=model.forward: forward(x)[0]
    if penalties == "TextLearner":
        from minifast.text.learner import TextLearner
        learn = TextLearner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    else:
        learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=cbs)
    seen = Remember()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(15, 2e-2, cbs=seen)
        assert learn.validate()[1] > 0.7
    assert seen.state == 0 and all(np.all(h.numpy() == 0) for h in model.h)


def test_a_model_that_reads_backwards_writes_before_the_text():
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", is_lm=True, valid_col="is_valid", bs=4, seq_len=8, backwards=True, device="cpu")
    learn = language_model_learner(dls, config=SIZES, pretrained=False, backwards=True)
    said = learn.predict("a good film", 2)
    assert said.endswith("a good film") and len(said.split()) == 5
