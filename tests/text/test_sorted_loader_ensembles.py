"""k-fold and ensembles of texts: predictions in the order of the items, words learnt from the training items of each fold alone."""
import pandas as pd
import pytest
import torch

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.labels import ColReader
from minifast.data.splitters_groups import FixedSplitter
from minifast.ensemble.averaging import average_preds
from minifast.ensemble.kfold import kfold
from minifast.text.block import TextBlock
from minifast.text.learner import text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
FRAME = pd.DataFrame({"text": [" ".join([w] * (i * 5 % 12 + 1)) for i, w in enumerate(WORDS)], "mood": ["bad", "good", "so"] * 4})


@pytest.fixture(scope="module")
def result():
    def make(splits):
        dls = DataBlock(blocks=(TextBlock.from_df("text", min_freq=1), CategoryBlock(vocab=["bad", "good", "so"])), get_y=ColReader("mood"),
                        splitter=FixedSplitter(splits)).dataloaders(FRAME, bs=2, num_workers=0, device="cpu")
        learn = text_classifier_learner(dls, AWD_LSTM, pretrained=False, config={"emb_sz": 4, "n_hid": 4, "n_layers": 1})
        learn.logger = lambda row: None
        return learn

    return kfold(make, FRAME, 3, fit=lambda learn: learn.fit(1, 0.1))


def test_predictions_come_in_the_order_of_the_items(result):
    assert [result.vocab[t] for t in result.targs] == FRAME["mood"].tolist()
    for learn, (_, valid) in zip(result.learners, result.splits, strict=True):
        for i in valid:
            assert torch.allclose(result.preds[i], learn.predict(FRAME.iloc[i])[2], atol=1e-6)


def test_each_fold_knows_the_words_of_its_training_items_alone(result):
    for learn, (train, valid) in zip(result.learners, result.splits, strict=True):
        known = set(learn.dls.vocab[0]) & set(WORDS)
        assert known == {FRAME["text"][i].split()[0] for i in train} and not known & {FRAME["text"][i].split()[0] for i in valid}


def test_new_texts_are_read_by_each_learner_with_its_own_words(result):
    each = torch.stack([learn.get_preds(dl=learn.dls.test_dl(FRAME))[0] for learn in result.learners])
    assert torch.allclose(result.predict(items=FRAME), each.mean(0), atol=1e-6)
    with pytest.raises(ValueError, match=r"another vocabulary than that of learner 1.*items=\.\.\., or .*text_vocab=dls_lm.vocab"):
        result.predict(dl=result.learners[0].dls.test_dl(FRAME))


def test_learners_with_the_same_words_share_a_loader():
    lm = TextDataLoaders.from_df(FRAME, text_col="text", is_lm=True, min_freq=1, bs=1, device="cpu")
    made = [TextDataLoaders.from_df(FRAME, text_col="text", label_col="mood", text_vocab=lm.vocab, bs=4, device="cpu") for _ in range(2)]
    learners = [text_classifier_learner(dls, AWD_LSTM, pretrained=False, config={"emb_sz": 4, "n_hid": 4, "n_layers": 1}) for dls in made]
    assert average_preds(learners, dl=made[0].test_dl(FRAME))[0].shape == (12, 3)
