"What the messages of `minifast.metrics` say to write."
import inspect
import re
from functools import partial

import numpy as np
import pytest
import torch.nn.functional as F
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset
from workshop import learner

import minifast.metrics as M
import minifast.metrics.sklearn as rows
from minifast.metrics.base import LossMetric, Metric
from minifast.vision.all import *

skm = pytest.importorskip("sklearn.metrics")
X = torch.linspace(-1, 1, 160).view(40, 4)
IDS, YES, NUMBERS, TAGS = torch.arange(40) % 3, torch.arange(40) % 2, torch.arange(40) * 0.7 - 3, torch.arange(120).view(40, 3) % 2
TAGS[::3] = 1 - TAGS[::3]
PAIRS = TAGS[:, :2]


def of(metrics, y, n_out=3, loss=None, model=None, x=X):
    "The value of a metric after an epoch of training on the targets `y`."
    dls = DataLoaders(*[DataLoader(TensorDataset(x, y), bs=20) for _ in range(2)])
    learn = learner(model or nn.Linear(4, n_out), dls, loss, metrics=metrics)
    learn.fit(1, lr=0)
    value = learn.recorder.values[-1][-1]
    assert np.isfinite(value)
    return value


three = partial(of, y=IDS)
two = partial(of, y=YES, n_out=2)
logit = partial(of, y=YES[:, None].float(), n_out=1, loss=BCEWithLogitsLossFlat())
number = partial(of, y=NUMBERS[:, None], n_out=1, loss=MSELossFlat())
labels = partial(of, y=TAGS.float(), n_out=3, loss=BCEWithLogitsLossFlat())


def masks(metrics, n_out=2, y=YES, loss=None):
    x, y = X.repeat(1, 3).view(40, 3, 2, 2), y[:, None, None].repeat(1, 2, 2)
    return of(metrics, y, loss=loss or CrossEntropyLossFlat(axis=1), model=nn.Conv2d(3, n_out, 1), x=x)


# -- metrics of one's own ------------------------------------------------------------------------------------------------------------
def test_a_metric_of_ones_own():
    class Seen(Metric):
        count = 0

        @property
        def value(self):
            return self.count

    with told("metrics/base.py", "must define accumulate(self, learn)"):
        three(Seen())

    class Counts(Seen):
        def accumulate(self, learn):
            self.count += len(learn.pred)

    assert three(Counts()) == 40


def test_a_function_that_gives_no_number():
    def right(pred, y):
        return (pred.argmax(1) == y).float()

    with told("metrics/base.py", "must return one number per batch; it returned …. Write .mean() at its end."):
        three(right)
    assert three(lambda pred, y: right(pred, y).mean()) <= 1


def test_the_whole_set():
    with told("metrics/base.py", "over batches is not its value on the whole set: write metrics=[…], or AccumMetric(…)."):
        AvgMetric(rmse)
    assert number([rmse]) > 0
    assert number(AccumMetric(rmse)) > 0


def test_what_is_compared():
    with told("metrics/base.py", "For masks write axis=1 (the axis of the classes)"):
        masks(accuracy, 3)
    assert masks(partial(accuracy, axis=1), 3) <= 1
    with told("metrics/base.py", "else check n_out and the shape of the targets."):
        of(mae, NUMBERS, 2, lambda pred, y: pred.mean())
    assert of(mae, NUMBERS, 1, lambda pred, y: pred.mean()) > 0


def agree(pred, y):
    return (pred == y).float().mean()


def test_settings_of_accum_metric():
    with told("metrics/base.py", "the most probable class has no threshold; give this or dim_argmax=…, not both"):
        AccumMetric(agree, dim_argmax=1, thresh=0.5)
    assert three(AccumMetric(agree, dim_argmax=1)) <= 1
    assert logit(AccumMetric(agree, activation="sigmoid", thresh=0.5)) <= 1
    with told("metrics/base.py", "Use two outputs, or for one logit per item AccumMetric(..., activation='sigmoid', thresh=0.5)."):
        logit(AccumMetric(agree, dim_argmax=1))
    assert two(AccumMetric(agree, dim_argmax=1)) <= 1
    assert logit(AccumMetric(agree, activation="sigmoid", thresh=0.5)) <= 1

    def foreground(pred, y):
        return pred[:, 1].mean()

    for name in ("softmax", "binarysoftmax"):
        with told("metrics/base.py", "is that of the classes? Write AccumMetric(..., activation=…, dim_argmax=1)"):
            masks(AccumMetric(foreground, activation=name, flatten=False))
        assert masks(AccumMetric(foreground, activation=name, dim_argmax=1, flatten=False)) <= 1


def test_parts_of_a_loss():
    class Loss:
        def __call__(self, pred, y):
            return F.cross_entropy(pred, y)

    with told("metrics/base.py", "has no attribute …. Set self.… = ... where it computes the loss."):
        three(LossMetric("penalty"), loss=Loss())

    class InParts(Loss):
        def __call__(self, pred, y):
            self.penalty = pred.square().mean()
            return super().__call__(pred, y) + self.penalty

    assert three(LossMetric("penalty"), loss=InParts()) > 0


# -- names, classes, functions of scikit-learn -----------------------------------------------------------------------------------------
def test_names_of_classes_without_names():
    with told("metrics/classes.py",
              "names of classes are those of the learner's data, `dls.vocab`, and there are none. Give ids, such as 0."):
        two(F1Score(pos_label="yes"))
    assert two(F1Score(pos_label=0)) <= 1


def test_what_makes_a_metric():
    for maker, kind in ((F1Score, two), (Dice, masks), (Perplexity, two)):
        with told("metrics/convert.py", "makes a metric when it is called: write …()"):
            kind(maker)
        assert kind(metrics=maker()) >= 0


def test_functions_of_scikit_learn():
    with told("metrics/convert.py", "of the whole set: write skm_to_fastai(…), ", "or use the metric of minifast.metrics."):
        two(skm.f1_score)
    assert two(skm_to_fastai(skm.f1_score)) <= 1 and two(F1Score()) <= 1
    with told("metrics/convert.py", "or skm_to_fastai(…, is_class=False) if it takes numbers, or use the metric of minifast.metrics."):
        number(skm.r2_score)
    assert number(skm_to_fastai(skm.r2_score, is_class=False)) <= 1 and number(R2Score()) <= 1
    with pytest.raises(ValueError, match=r"for one number per item write skm_to_fastai\(max_error, is_class=False\)"):
        number(skm_to_fastai(skm.max_error))
    assert number(skm_to_fastai(skm.max_error, is_class=False)) > 0
    with told("metrics/sklearn.py", "a metric is a single number: choose 'macro', 'micro' or 'weighted'."):
        F1Score(average=None)
    for average in ("macro", "micro", "weighted"):
        assert three(F1Score(average=average)) <= 1


# -- the wrong metric ------------------------------------------------------------------------------------------------------------------
def test_a_single_column():
    for metric in (accuracy, error_rate):
        with told("metrics/functions.py", "a single column is always class 0. Use accuracy_multi for one logit, or n_out=2."):
            logit(metric)
        assert logit(accuracy_multi) <= 1
        assert two(metric) <= 1
        with told("metrics/functions.py", "predictions and targets … are several labels of each: use accuracy_multi."):
            labels(metric)
        assert labels(accuracy_multi) <= 1
        for targets in (torch.rand(8), torch.rand(8) * 5):
            with told("metrics/functions.py", "to see how far off the predictions are write metrics=[rmse, mae]"):
                metric(torch.rand(8), targets)
            metrics = [rmse, mae]
            assert all(m(torch.rand(8), targets) > 0 for m in metrics)


def test_the_best_few_classes():
    with told("metrics/functions.py", "write partial(top_k_accuracy, k=…)."):
        three(top_k_accuracy)
    assert three(partial(top_k_accuracy, k=2)) < 1
    for k in (2, 5):
        with told("metrics/functions.py", "needs more than … classes, the predictions … have …: "):
            two(partial(top_k_accuracy, k=k))
        with pytest.raises(ValueError, match="have 2: write accuracy"):
            two(partial(top_k_accuracy, k=k))
        assert two(accuracy) < 1


def test_the_background():
    def image(i):
        return PILImage.create(np.full((8, 8, 3), 20 * i, dtype=np.uint8))

    def mask(i):
        return PILMask.create(np.full((8, 8), i % 3, dtype=np.uint8))

    block = DataBlock((ImageBlock, MaskBlock(["sky", "tree", "void"])), get_x=image, get_y=mask, splitter=IndexSplitter([0, 1, 2]))
    dls = block.dataloaders(list(range(8)), bs=3, num_workers=0)
    with told("metrics/functions.py", "give the id of the class: partial(foreground_acc, bkg_idx=list(dls.vocab).index(…))"):
        learner(nn.Conv2d(3, 3, 1), dls, CrossEntropyLossFlat(axis=1), metrics=partial(foreground_acc, bkg_idx="void")).fit(1)
    metric = partial(foreground_acc, bkg_idx=list(dls.vocab).index("void"))
    learner(nn.Conv2d(3, 3, 1), dls, CrossEntropyLossFlat(axis=1), metrics=metric).fit(1)
    assert metric.keywords == {"bkg_idx": 2}


def test_masks():
    for metric, multi in ((Dice, DiceMulti), (JaccardCoeff, JaccardCoeffMulti)):
        with told("metrics/segmentation.py",
                  "is for two classes, background and foreground; the predictions are …, … along axis …: write …Multi()."):
            masks(metric(), 3, IDS)
        assert masks(multi(), 3, IDS) <= 1
        loss = lambda pred, y: F.cross_entropy(pred, y.clamp(max=1))                    # noqa: E731
        with told("metrics/segmentation.py", "takes masks of 0 and 1; … pixels have other values: convert them, or write …Multi()."):
            masks(metric(), y=YES * 255, loss=loss)
        assert masks(metric(), y=YES * 255 // 255, loss=loss) <= 1
        assert masks(multi(), y=YES * 255, loss=loss) <= 1


def test_metrics_of_two_or_of_several_classes():
    for metric in (F1Score, Jaccard, Precision, Recall, partial(FBeta, beta=2)):
        with told("metrics/sklearn.py",
                  "for two classes with one output each; the predictions are …, … along axis …: write average='macro'."):
            three(metric())
        assert three(metric(average="macro")) <= 1
    with told("metrics/sklearn.py", "here compares three classes or more; the predictions are …: write …()."):
        two(RocAuc())
    assert two(RocAucBinary()) <= 1
    with told("metrics/sklearn.py", "here compares three classes or more; the predictions are …: write …()."):
        logit(RocAuc())
    assert logit(RocAucMulti()) <= 1
    with told("metrics/sklearn.py", "write 'ovr' or 'ovo'; for two classes RocAucBinary()"):
        RocAuc(multi_class="raise")
    for multi_class in ("ovr", "ovo"):
        assert three(RocAuc(multi_class=multi_class)) <= 1
    assert two(RocAucBinary()) <= 1


OF_NUMBERS = ("ExplainedVariance", "R2Score", "PearsonCorrCoef", "SpearmanCorrCoef")
MAKERS = [f for f in vars(rows).values() if hasattr(f, "makes_metric") and f.__name__ not in OF_NUMBERS]


OUTPUTS = [(X[:, :2], YES), (X[:, :3], IDS), (X[:, :1], YES[:, None].float()), (X[:, :2], PAIRS.float()), (X[:, :3], TAGS.float())]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_the_metric_that_a_message_names_works_in_its_place(maker):
    "Each metric on each kind of output: it has a value, or what the message says to write has one."
    needed = {p.name: 2 for p in inspect.signature(maker).parameters.values() if p.default is p.empty}
    names = vars(M) | vars(skm) | vars(rows)
    for pred, targ in OUTPUTS:
        try:
            assert np.isfinite(maker(**needed)(pred, targ))
        except ValueError as e:
            cure = re.search(r"write (.*?)\.?$", str(e))
            metric = maker(**needed, average="macro") if cure[1] == "average='macro'" else eval(cure[1], dict(names))
            assert np.isfinite(metric(pred, targ))
