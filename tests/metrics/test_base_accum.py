"""`AccumMetric(dim_argmax=, activation=, thresh=)`: the numbers of fastai 2.8.12, of the sum of weighted predictions."""
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from sklearn import metrics as skm

from minifast.metrics.base import AccumMetric, ActivationType
from minifast.metrics.sklearn import F1Score, F1ScoreMulti, RocAucBinary, skm_to_fastai

PREDS = torch.tensor([[2.0, -1, 0.5], [0, 0, 3], [-2, 1, 1.5], [0.25, 0.75, -0.5]])
WEIGHTS = torch.arange(1.0, 31)

#: (activation, thresh, fastai's number); with an activation it is the same for dim_argmax None, 1 and -1.
ACTIVATED = [("sigmoid", None, 45.1658), ("sigmoid", 0.5, 57.0), ("softmax", None, 26.6773), ("softmax", 0.5, 27.0),
             ("binarysoftmax", None, 4.4325), ("binarysoftmax", 0.5, 5.0)]


def weighted(preds, targs):
    return (preds.float().reshape(-1) * WEIGHTS[:preds.numel()]).sum()


def value(preds=PREDS, **kwargs):
    metric = AccumMetric(weighted, flatten=False, **kwargs)
    metric.accumulate(SimpleNamespace(pred=preds, yb=(torch.zeros(len(preds)),), loss_func=None))
    return metric.value


@pytest.mark.parametrize("dim_argmax", [None, 1, -1])
@pytest.mark.parametrize("activation, thresh, fastai", ACTIVATED)
def test_an_activation_takes_the_place_of_the_argmax_as_in_fastai(dim_argmax, activation, thresh, fastai):
    assert value(dim_argmax=dim_argmax, activation=activation, thresh=thresh) == pytest.approx(fastai, abs=1e-3)


@pytest.mark.parametrize("dim_argmax, thresh, fastai", [(None, None, 31.75), (None, 0.5, 38.0), (1, None, 14.0), (-1, None, 14.0)])
@pytest.mark.parametrize("activation", [None, "no", ActivationType.No])
def test_without_one(dim_argmax, thresh, fastai, activation):
    assert value(dim_argmax=dim_argmax, activation=activation, thresh=thresh) == pytest.approx(fastai)


def test_an_output_that_reaches_the_threshold_counts():
    assert value(torch.zeros(4, 3), activation="sigmoid", thresh=0.5) == WEIGHTS[:12].sum()               # fastai: >=


def test_other_activations_and_maps_of_classes():
    maps = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    assert value(maps, dim_argmax=1, activation="softmax") == pytest.approx(float(weighted(maps.softmax(1), None)), abs=1e-4)
    assert value(dim_argmax=1, activation=torch.exp) == pytest.approx(float(weighted(PREDS.exp(), None)))


def test_what_fastai_lets_pass_is_refused():
    with pytest.raises(ValueError, match=r"AccumMetric\(dim_argmax=0\): axis 0 is that of the items"):
        AccumMetric(weighted, dim_argmax=0)
    with pytest.raises(ValueError, match="the most probable class has no threshold"):
        AccumMetric(weighted, dim_argmax=1, thresh=0.5)
    with pytest.raises(ValueError, match=r"which axis of the predictions .* is that of the classes\? .*dim_argmax=1"):
        value(torch.zeros(2, 3, 5), activation="softmax")


def test_skm_to_fastai_hands_probabilities_on_where_an_activation_is_asked_for():
    seen = []
    metric = skm_to_fastai(lambda targs, preds: seen.append(preds) or 0.0, activation="softmax", flatten=False)
    metric(PREDS, torch.zeros(4))
    torch.testing.assert_close(torch.as_tensor(seen[0]), PREDS.softmax(1))


class LeastRecall:
    def __call__(self, targs, preds):
        return skm.recall_score(targs, preds, labels=[0, 1], average=None).min()


@pytest.mark.parametrize("func, name, lower, reference", [
    (partial(skm.fbeta_score, beta=2, average="macro"), "fbeta_score", False,
     lambda targs, preds: skm.fbeta_score(targs, preds, beta=2, average="macro")),
    (partial(skm.zero_one_loss, normalize=False), "zero_one_loss", True, lambda targs, preds: (targs != preds).sum()),
    (LeastRecall(), "LeastRecall", None, LeastRecall())])
def test_skm_to_fastai_takes_a_partial_and_an_object_that_is_called(func, name, lower, reference):
    metric, targs = skm_to_fastai(func), torch.tensor([0, 1, 1, 0])
    assert (metric.name, metric.lower_is_better) == (name, lower)
    assert metric(PREDS, targs) == pytest.approx(float(reference(targs.numpy(), PREDS.argmax(1).numpy())))


@pytest.mark.parametrize("metric, preds, targs, fastai", [
    (F1Score(), [1, 0, 1], [1, 0, 0], 2 / 3), (F1ScoreMulti(), [[True, False], [False, True]], [[1, 0], [0, 1]], 1.0),
    (F1ScoreMulti(), [[1, 0], [0, 1]], [[1, 0], [0, 1]], 1.0), (RocAucBinary(), [0.1, 0.9, 0.3], [1, 0, 0], 0.0)])
def test_a_metric_called_on_decisions_takes_them_as_they_are(metric, preds, targs, fastai):
    assert metric(torch.tensor(preds), torch.tensor(targs)) == pytest.approx(fastai)
