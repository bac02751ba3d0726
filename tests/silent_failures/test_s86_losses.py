"Rows S86 to S90: outputs, classes and weights that do not go with a loss or a metric."
import pandas as pd
import pytest
import torch
from sklearn import metrics as skm
from small_learners import make, one_group, same, weights_of
from torch import nn

from minifast.metrics import APScoreBinary, F1Score
from minifast.nn.losses import CrossEntropyLossFlat

IDS = torch.arange(24) % 3


def test_s86_raw_outputs_for_nll_loss():
    """`NLLLoss` on raw outputs.

    Elsewhere: the loss falls without end, below -14, which looks like progress, and the exponentials of the outputs are "probabilities" of
    a million.
    Here: refused at the first batch, before anything is trained: "NLLLoss takes log-probabilities ...: the loss would fall without end.
    Write CrossEntropyLossFlat(), which takes raw outputs"; so are raw outputs for `KLDivLoss` and `CTCLoss`.
    """
    learn = make(model=nn.Linear(4, 3), loss=nn.NLLLoss(), splitter=one_group)
    before = weights_of(learn)
    with pytest.raises(ValueError, match="the loss would fall without end. Write CrossEntropyLossFlat"):
        learn.fit(1)
    assert same(learn, before)


def test_s87_a_softmax_before_cross_entropy():
    """A model that ends in a softmax, with cross-entropy.

    Elsewhere: the loss applies another softmax, so that of three classes it cannot fall below 0.55 even where every prediction is right;
    the network learns slowly, and the probabilities that it gives are nearly equal.
    Here: refused at the first batch: "the outputs of the model are probabilities already"; so is a sigmoid before a loss of logits.
    """
    learn = make(model=nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), splitter=one_group)
    with pytest.raises(ValueError, match="probabilities already .* would never fall below 0.55"):
        learn.fit(1)


def value(metric, vocab, preds, targets):
    learn = make(model=nn.Linear(4, 1), splitter=one_group)
    learn.dls.vocab, learn.pred, learn.yb = vocab, preds, (targets,)
    metric.accumulate(learn)
    return metric.value


def test_s88_classes_of_a_metric_by_name():
    """Classes that are given to a metric by their names.

    Elsewhere: targets are ids by then, and no id equals a name: `F1Score(labels=["no", "yes"], average="macro")` is 0.0.
    Here: names are looked up in the vocabulary, and ids are taken too; an unknown one is refused with what was probably meant.
    """
    preds, vocab = torch.randn(24, 3, generator=torch.Generator().manual_seed(3)), ["cat", "dog", "owl"]
    expected = skm.f1_score(IDS, preds.argmax(1), labels=[0, 2], average="macro")
    assert value(F1Score(labels=["cat", "owl"], average="macro"), vocab, preds, IDS) == pytest.approx(expected)
    with pytest.raises(ValueError, match="there is no class 'owls'; did you mean 'owl'"):
        value(F1Score(labels=["owls"], average="macro"), vocab, preds, IDS)


def test_s89_the_first_class_as_the_positive_one():
    """Average precision of the first of two classes.

    Elsewhere: `APScoreBinary(pos_label=0)` ranks the items by the probability of the second class, so that a good model scores like a bad
    one.
    Here: the probability is that of the class that counts as positive.
    """
    preds, targets = torch.randn(24, 2, generator=torch.Generator().manual_seed(3)), torch.arange(24) % 2
    expected = skm.average_precision_score(targets == 0, preds.softmax(1)[:, 0])
    assert value(APScoreBinary(pos_label=0), ["no", "yes"], preds, targets) == pytest.approx(expected, abs=1e-6)


def test_s90_class_weights_with_names():
    """Class weights in a Series or a dict.

    Elsewhere: `1 / df.label.value_counts()` is in the order of the counts, the classes in the order of the alphabet: the weights go to
    other classes.
    Here: what has names instead of an order is refused: "takes one number per class in the order of dls.vocab ...: write [w[c] for c in
    dls.vocab]".
    """
    with pytest.raises(TypeError, match=r"received Series with names dog, cat: write \[w\[c\] for c in dls.vocab\]"):
        CrossEntropyLossFlat(weight=1 / pd.Series(["dog"] * 9 + ["cat"]).value_counts())
