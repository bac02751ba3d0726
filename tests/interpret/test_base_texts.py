"""Interpretation of texts: in the order of the data although the loader sorts them, with the texts in the tables."""
import numpy as np
import pytest
import torch
from zoo_texts import bag_of_words, learner, review_loaders, reviews, text_learner, tiny_learner

from minifast.interpret.base import Interpretation
from minifast.interpret.classification import ClassificationInterpretation


def interpreted(learn, kind=ClassificationInterpretation):
    with learn.no_bar():
        return kind.from_learner(learn)


@pytest.mark.parametrize("make", [lambda df: text_learner(review_loaders(df)), lambda df: tiny_learner("bert", df)],
                         ids=["awd-lstm", "bert"])
def test_in_the_order_of_the_data_with_the_texts(make):
    df = reviews(60, 4, 12)
    learn = make(df)
    interp, valid = interpreted(learn), df[df.valid]
    assert [interp.item_name(i) for i in range(len(interp))] == valid.index.tolist()
    assert [interp.target_text(i) for i in range(len(interp))] == valid.label.tolist()
    losses, order = interp.top_losses(4)
    order = order.tolist()
    table = interp.plot_top_losses(4)
    assert table.index.tolist() == valid.index[order].tolist() and "path" not in table
    assert table.columns[0] == "text" and {"target", "prediction", "loss", "p_target", "p_predicted"} <= {*table.columns}
    np.testing.assert_allclose(table.loss, losses, rtol=1e-5)
    for shown, text in zip(table.text, valid.text.iloc[order], strict=True):
        words = [w for w in shown.split() if not w.startswith("xx")]
        assert text.startswith(words[0]) or "[UNK]" in shown or words[0] in text
    items = interp.top_losses(4, items=True)[2]
    assert [o.text for o in items] == valid.text.iloc[order].tolist()
    one = float(learn.get_preds(dl=learn.dls.test_dl(valid.iloc[order[:1]], with_labels=True), with_loss=True)[-1])
    assert one == pytest.approx(float(losses[0]), abs=1e-4)


def test_confusion_and_most_confused():
    dls = review_loaders(reviews(60))
    model = bag_of_words(dls)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([1.0, 0.0]))
    interp = interpreted(learner(dls, model))
    n_neg, n_pos = ((interp.targs == k).sum().item() for k in (0, 1))
    assert interp.confusion_matrix().tolist() == [[n_neg, 0], [n_pos, 0]] and interp.most_confused() == [("pos", "neg", n_pos)]


def test_long_texts_are_cut_in_the_table():
    df = reviews(40, 200, 220)
    table = interpreted(text_learner(review_loaders(df, max_len=None))).plot_top_losses(2)
    assert all(t.endswith(" ...") and len(t.split()) == 151 for t in table.text) and table.text.iloc[0][:300] in repr(table)


def test_numbers_to_predict():
    df = reviews(60).assign(label=np.linspace(0, 1, 60))
    learn = text_learner(review_loaders(df))
    learn.metrics = []
    interp = interpreted(learn, Interpretation)
    table = interp.plot_top_losses(3)
    assert list(table.columns) == ["text", "target", "prediction", "loss"] and len(table) == 3
    assert float(table.target.iloc[0]) == pytest.approx(df.label[table.index[0]], abs=1e-3)


@pytest.mark.parametrize("make", [lambda: text_learner(review_loaders(reviews(60))), lambda: tiny_learner("bert", reviews(60, 4, 9))])
def test_no_average_over_varied_texts(make):
    learn = make()
    with pytest.raises(ValueError, match=r"no transform that varies a text without changing what it says: use get_preds\(\)"):
        learn.tta()
    assert len(learn.get_preds()[0]) == 20
