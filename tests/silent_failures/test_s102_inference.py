"Rows S102 to S103: what a classifier of texts reads."
import pandas as pd
import pytest
import torch

from minifast.text.learner import text_classifier_learner
from minifast.text.loaders import TextDataLoaders

TEXTS = ["a good film", "a bad film", "we saw a film"] * 4


def learner(path, texts=TEXTS):
    df = pd.DataFrame({"text": texts, "label": ["a", "b", "a"] * 4})
    dls = TextDataLoaders.from_df(df, bs=4, min_freq=1, device="cpu")
    return text_classifier_learner(dls, config={"emb_sz": 4, "n_hid": 6, "n_layers": 1}, pretrained=False, path=path)


def test_s102_the_encoder_of_other_words(tmp_path):
    """An encoder of a language model for data with other words, as where `text_vocab=dls_lm.vocab` was forgotten.

    Elsewhere: vocabularies are of the same size when both reach the maximum, so `load_encoder` takes it, and every vector stands for
    another word.
    Here: `save_encoder` stores the words, and `load_encoder` finds each vector by its word, with a line: "was trained with another
    vocabulary: ... words of these data were found in it by name"; next to none in common is an error.
    """
    source = learner(tmp_path)
    source.save_encoder("enc")
    other = learner(tmp_path, [t.replace("film", "opera") for t in TEXTS])
    here, there = other.dls.vocab[0], source.dls.vocab[0]
    assert len(here) == len(there)
    with pytest.warns(UserWarning, match="5 of the 6 words of these data were found in it by name"):
        other.load_encoder("enc")
    for word in ("a", "good", "saw"):
        assert torch.equal(other.encoder.encoder.weight[here.index(word)], source.encoder.encoder.weight[there.index(word)])


def test_s103_several_texts_are_no_tokens(tmp_path):
    """A list of texts, where `predict` takes one.

    Elsewhere: a list is taken for the tokens of one text, each text for a token that nobody knows, and the answer is that of unknown words.
    Here: an error: "'a good film' has spaces within ...: write learn.get_preds(dl=dls.test_dl(texts))".
    """
    learn = learner(tmp_path)
    with pytest.raises(ValueError, match=r"'a good film' has spaces within.*write learn.get_preds\(dl=dls.test_dl\(texts\)\)"):
        learn.predict(["a good film", "a bad film"])
