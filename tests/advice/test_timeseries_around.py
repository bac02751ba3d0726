"What the messages of general rooms say to write where they are about series: augmentation, mixing, maps, folds, words of tsai."
import numpy as np
import pandas as pd
import torch
from suggestions import told
from torch import nn
from workshop import images, quiet

from minifast.interpret.grad_cam import class_activation, grad_cam, plot_class_activation
from minifast.learner.export import load_learner
from minifast.timeseries.all import *
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.geometry import Flip

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 2, 24)).astype(np.float32)
Y = ["a", "b"] * 10
AIR = pd.DataFrame({"time": pd.date_range("2020-01-01", periods=80, freq="D"), "v": RNG.normal(size=80)})


def loaders(x=X, **options):
    return TSDataLoaders.from_array(x, Y, **{"bs": 5} | options)


def small(dls=None, **options):
    return quiet(ts_learner(dls or loaders(), FCN, layers=(4, 4), kernel_sizes=(3, 3), **options))


def windows(**options):
    return TSDataLoaders.from_windows(SlidingWindows(AIR, 8, 2, target="v"), bs=8, **options)


def forecaster(**options):
    return quiet(ts_forecaster(windows(), DLinear, **options))


class Steps(nn.Module):
    "A model of one's own: the mean of the steps; masks: of those that are no padding."

    def __init__(self, masks=True):
        super().__init__()
        self.head, self.masks = nn.Linear(2, 2), masks

    def forward(self, x):
        if not self.masks:
            return self.head(x.mean(2))
        x, mask = split_padding(x)
        return self.head((x * mask.unsqueeze(1)).sum(2) / mask.sum(1, keepdim=True))


def test_padding_in_a_model_of_ones_own():
    ragged = [x[:, :24 - i % 7] for i, x in enumerate(X)]
    with told("callbacks/first_batch.py", "Write `x, mask = split_padding(x)` (minifast.timeseries.padding) in its forward"):
        quiet(Learner(loaders(ragged), Steps(masks=False))).fit(1)
    quiet(Learner(loaders(ragged), Steps())).fit(1)


def test_mixing_forecasts():
    with told("callbacks/mix.py", "Write MixUp(), which blends forecasts as it blends their series"):
        forecaster(cbs=CutMix()).fit(1)
    forecaster(cbs=MixUp()).fit(1)


def test_changing_forecasts_and_single_series():
    with told("timeseries/augment/base.py", "Write batch_tfms=[Jitter(), Cutout()], which keep forecasts right"):
        windows(batch_tfms=TimeWarp()).one_batch()
    windows(batch_tfms=[Jitter(), Cutout()]).one_batch()
    series = TensorSeries(torch.from_numpy(X[0]))
    with told("timeseries/augment/base.py", "Put it into batch_tfms (after_batch) instead of item_tfms; by hand, pass series[None]"):
        Jitter()(series)
    assert Jitter()(series[None]).shape == (1, 2, 24)
    loaders(batch_tfms=Jitter()).one_batch()


def test_images_and_series():
    with told("vision/augment/affine.py", "They change images: for series write batch_tfms=series_transforms(), else leave them out"):
        loaders(batch_tfms=Flip()).one_batch()
    loaders(batch_tfms=series_transforms()).one_batch()
    with told("timeseries/augment/base.py", "for images write batch_tfms=aug_transforms(), else leave them out"):
        images(batch_tfms=Jitter()).one_batch()
    images(batch_tfms=aug_transforms()).one_batch()


def test_maps():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    x = torch.from_numpy(X[:2])
    with told("interpret/grad_cam.py", "give one as layer=, or take a model of convolutions, such as FCN"):
        grad_cam(flat, x)
    model = small().model
    assert grad_cam(model, x).shape == grad_cam(model, x, layer=model.body[0]).shape == (2, 24)
    with told("interpret/grad_cam.py", "are computed in another way: use grad_cam, or …"):
        class_activation(nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Flatten(), nn.Linear(96, 2)), x)
    assert class_activation(model, x).shape == (2, 24)
    interp = ClassificationInterpretation.from_learner(small())
    with told("interpret/grad_cam.py", "a class by name, …, or by number, from 0 to …"):
        plot_class_activation(interp, [0], target="c")
    for target in ("b", 1):
        plot_class_activation(interp, [0], target=target)
    plt.close("all")


def test_folds():
    splits = [(range(10), range(10, 20))]
    fit = {"fit": lambda learn: learn.fit(1), "path": None}

    def learner(split):
        return small(loaders(splits=split))

    with told("ensemble/kfold.py", "says which items are in which fold, and so do groups= and stratify=: leave these out"):
        kfold(learner, range(20), splits=splits, groups=[0, 1] * 10, **fit)
    assert len(kfold(learner, range(20), splits=splits, **fit)) == 1


def test_several_windows_in_one_item():
    parts = SlidingWindows(AIR.assign(y=np.arange(80) // 10 % 2), 8, past="v", label="y", labelling="last")
    learn = quiet(Learner(TSDataLoaders.from_windows(parts, n_valid=30, bs=8), nn.Sequential(nn.Flatten(), nn.Linear(8, 2))))
    items = AIR[:20]
    with told("data/loaders.py", "write learn.get_preds(dl=learn.dls.test_dl(items)), which predicts them all"):
        learn.predict(items)
    assert len(learn.get_preds(dl=learn.dls.test_dl(items))[0]) == 13


def test_words_of_tsai(tmp_path):
    learn = small(metrics=accuracy)
    learn.fit(1)
    with told("learner/elsewhere.py", "write learn.get_preds(dl=learn.dls.test_dl(X))"):
        learn.get_X_preds(X)
    assert len(learn.get_preds(dl=learn.dls.test_dl(X))[0]) == 20
    with told("learner/elsewhere.py", "write learn.dls.test_dl(X)"):
        learn.get_X_dl(X)
    assert len(learn.dls.test_dl(X).dataset) == 20
    with told("learner/elsewhere.py", "write learn.export(file), and load_learner(file)"):
        learn.save_all()
    file = tmp_path / "model.pkl"
    learn.export(file)
    load_learner(file)
    with told("learner/elsewhere.py", "write ClassificationInterpretation.from_learner(learn).plot_confusion_matrix()"):
        learn.plot_confusion_matrix()
    ClassificationInterpretation.from_learner(learn).plot_confusion_matrix()
    with told("learner/elsewhere.py", "write Interpretation.from_learner(learn).top_losses()"):
        learn.top_losses()
    Interpretation.from_learner(learn).top_losses()
    with told("learner/elsewhere.py", "write learn.recorder.plot_metrics()"):
        learn.plot_metrics()
    learn.recorder.plot_metrics()
    with told("learner/elsewhere.py", "write ClassificationInterpretation.from_learner(learn).plot_calibration()"):
        learn.show_probas()
    ClassificationInterpretation.from_learner(learn).plot_calibration()
    plt.close("all")
    with told("learner/elsewhere.py", "write learn.remove_cbs(list(learn.cbs))"):
        learn.remove_all_cbs()
    learn.remove_cbs(list(learn.cbs))
