"""Silent failures of losses, metrics, callbacks that follow them, and records."""
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_learners import Scripted, body_head, make, one_group, same, weights_of
from torch import nn
from torch.utils.data import TensorDataset

from minifast import metrics as M
from minifast.callbacks.base import Callback
from minifast.callbacks.loggers import CSVLogger
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.trackers import EarlyStoppingCallback, SaveModelCallback
from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.transforms import RandTransform
from minifast.learner.learner import Learner
from minifast.metrics.convert import as_metric
from minifast.metrics.functions import accuracy, accuracy_multi
from minifast.nn.losses import CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropyFlat, MSELossFlat


def generator():
    return torch.Generator().manual_seed(0)


def run(metric, pred, targ, bs=None):
    "The value that a pass in batches of `bs` gives the metric."
    learn = make(model=nn.Linear(1, 1), splitter=one_group)
    metric = as_metric(metric)
    metric.reset()
    for p, y in zip(pred.split(bs or len(pred)), targ.split(bs or len(targ)), strict=True):
        learn.pred, learn.yb = p, (y,)
        metric.accumulate(learn)
    return metric.value


# -- losses -------------------------------------------------------------------------------------------------------------------------
def floats(text):
    return torch.tensor([float(v) for v in text.split(",")])


class Noise(RandTransform):
    "Adds a number drawn for the batch."

    def draw(self, sample, rng, split_idx):
        return {"by": float(rng.random())}

    def encodes(self, x: torch.Tensor, by):
        return x + by if x.is_floating_point() else x


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy, partial(F.cross_entropy, label_smoothing=0.1)],
                         ids=["module", "function", "partial"])
def test_s46_losses_of_torch_are_read_as_ones_own(loss):
    """`nn.CrossEntropyLoss()` or `F.cross_entropy` as the loss.

    Elsewhere: training works, but `get_preds`, `predict` and `tta` return raw outputs instead of probabilities, and what `predict`
    returns as the label is not one.
    Here: torch's losses are recognised as modules, functions and partials: predictions are probabilities and labels are names.
    """
    items = [f"{i % 2},{i % 3}" for i in range(12)]
    block = DataBlock(blocks=(TransformBlock(type_tfms=floats), CategoryBlock), get_y=lambda o: "cat" if o[0] == "1" else "dog",
                      batch_tfms=Noise())
    dls = block.dataloaders(items, bs=4, device="cpu", num_workers=0)
    model = nn.Linear(2, 2)
    model.weight.data, model.bias.data = torch.tensor([[9.0, 0.0], [-9.0, 0.0]]), torch.tensor([-4.5, 4.5])
    learn = Learner(dls, model, loss)
    learn.logger = lambda row: None
    with learn.no_bar():
        assert torch.allclose(learn.get_preds()[0].sum(1), torch.ones(2)) and torch.allclose(learn.tta(n=1)[0].sum(1), torch.ones(2))
        label, index, probs = learn.predict("1,0")
    assert label == "cat" and int(index) == 0 and probs[0] > 0.9


@pytest.mark.parametrize("loss", [F.mse_loss, nn.L1Loss()])
def test_s47_shapes_that_would_be_broadcast_are_refused(loss):
    """Predictions (n,1) against targets (n,) with a loss of torch.

    Elsewhere: they are broadcast to (n,n), with a warning at most, and the model learns the mean of the targets.
    Here: refused at the first batch: "compares element by element, but predictions float32[8,1] ... and targets float32[8] ... differ
    in shape. Torch would broadcast them against each other. Use MSELossFlat()", which compares them as intended.
    """
    x = torch.randn(24, 4, generator=generator())
    y, bare = x.sum(1), {"model": nn.Linear(4, 1), "splitter": one_group, "lr": 0.1}
    with pytest.raises(ValueError, match=r"predictions float32\[8,1\].*and targets float32\[8\].*Torch would broadcast.*LossFlat\(\)"):
        make(loss=loss, targets=y, **bare).fit(1)
    ds = TensorDataset(x, y)
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), nn.Linear(4, 1), MSELossFlat(), default_cbs=True)
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(60, 0.05, wd=0.0)
    assert learn.validate()[0] < 0.05 < y.var()


class Named(TensorDataset):
    vocab = ["ant", "bee", "cat"]


def test_s48_targets_that_do_not_fit_the_outputs_are_refused():
    """A model with too few outputs, or numeric targets for a classification loss.

    Elsewhere: an index error deep inside the loss, a device-side assert that ends the process, or nothing until the first item of the
    missing class comes.
    Here: the whole first batch is checked: "your model has n_out=3 outputs but a target is 36: write n_out=37", "the model has
    2 outputs ..., but the data has 3 classes" and so on.
    """
    y = torch.arange(24) % 3
    y[7] = 36
    with pytest.raises(ValueError, match="your model has n_out=3 outputs but a target is 36: write n_out=37"):
        make(targets=y, shuffle=False).fit(1)
    with pytest.raises(ValueError, match=r"takes class ids \(int64\), received targets float32\[8\]"):
        make(targets=torch.randn(24)).fit(1)
    ds = Named(torch.randn(24, 4), torch.arange(24) // 12)                         # no item of the last class in any batch
    dls = DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8))
    with pytest.raises(ValueError, match=r"the model has 2 outputs .*, but the data has 3 classes: give its last layer dls.c outputs"):
        Learner(dls, nn.Linear(4, 2), CrossEntropyLossFlat()).remove_cb(ProgressCallback).fit(1)


# -- metrics ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["accuracy", "error_rate", "F1Score"])
def test_s49_accuracy_of_a_single_output_is_refused(name):
    """`accuracy` of a model with one logit per item.

    Elsewhere: the argmax over a single column is always class 0, so the metric is the share of class 0 and never changes.
    Here: refused: "a single column is always class 0. Use accuracy_multi for one logit, or n_out=2".
    """
    logits, y = torch.tensor([[3.0], [-3.0], [3.0]]), torch.tensor([1, 0, 0])
    with pytest.raises(ValueError, match="single column is always class 0"):
        run(name, logits, y)
    assert run(accuracy_multi, logits, y) == pytest.approx(2 / 3)


def test_s50_the_brier_score_is_of_probabilities():
    """`BrierScore()` of a classifier.

    Elsewhere: it is computed from the decisions, 0 or 1, which makes it the error rate.
    Here: the mean squared error of the probability of the second class, as scikit-learn defines it.
    """
    logits, y = torch.randn(40, 2, generator=generator()), torch.arange(40) % 2
    p = logits.softmax(1)[:, 1]
    assert run(M.BrierScore(), logits, y, 8) == pytest.approx(float(((p - y) ** 2).mean()), rel=1e-5)
    assert float(((p - y) ** 2).mean()) != pytest.approx(run("error_rate", logits, y), abs=0.05)


@pytest.mark.parametrize(("metric", "more"), [(M.Dice, M.DiceMulti), (M.JaccardCoeff, M.JaccardCoeffMulti)])
def test_s51_dice_of_more_than_two_classes_is_refused(metric, more):
    """`Dice()` or `JaccardCoeff()` of masks with more than two classes.

    Elsewhere: class ids are multiplied as if they were 0 and 1, and a perfect prediction scores above 1.
    Here: refused: "is for two classes, background and foreground; the predictions are float32[...], 3 along axis 1: write DiceMulti()".
    """
    masks = torch.randint(0, 3, (2, 6, 6), generator=generator())
    perfect = F.one_hot(masks, 3).movedim(-1, 1) * 10.0
    with pytest.raises(ValueError, match=rf"is for two classes.*3 along axis 1: write {more.__name__}\(\)"):
        run(metric(), perfect, masks)
    assert run(more(), perfect, masks) == 1
    with pytest.raises(ValueError, match=r"takes masks of 0 and 1; \d+ pixels have other values"):
        run(metric(), perfect[:, :2], masks)


def test_s52_the_focal_loss_weighs_after_the_probability():
    """Focal loss with class weights.

    Elsewhere: the probability of the true class is derived from the weighted cross entropy, so the weight changes how hard an item
    appears to be.
    Here: the probability never includes the weight: `FocalLossFlat(gamma=2, weight=w)` is w * (1-p)^2 * -log p, divided by the sum of
    weights.
    """
    logits, y, w = torch.tensor([[0.0, 1.5, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([1, 0]), torch.tensor([3.0, 0.5, 1.0])
    p = logits.softmax(1)[range(2), y]
    torch.testing.assert_close(FocalLossFlat(gamma=2.0, weight=w)(logits, y), (w[y] * (1 - p) ** 2 * -p.log()).sum() / w[y].sum())


def test_s53_weighted_label_smoothing_is_that_of_torch():
    """Label smoothing with class weights.

    Elsewhere: the smoothed part is weighted differently from torch, so the same arguments give another loss.
    Here: `LabelSmoothingCrossEntropyFlat(eps=0.1, weight=w)` is `F.cross_entropy(..., label_smoothing=0.1, weight=w)`.
    """
    logits, y, w = torch.randn(9, 3, generator=generator()), torch.arange(9) % 3, torch.tensor([0.2, 1.0, 3.0])
    wanted = F.cross_entropy(logits, y, weight=w, label_smoothing=0.1)
    torch.testing.assert_close(LabelSmoothingCrossEntropyFlat(eps=0.1, weight=w)(logits, y), wanted)


@pytest.mark.parametrize("metric", [M.rmse, M.R2Score(), M.F1Score(average="macro")], ids=["rmse", "r2", "f1"])
def test_s54_metrics_that_are_no_means_see_the_whole_set(metric):
    """F1, R2 or RMSE as metrics.

    Elsewhere: a plain function is computed batch by batch and averaged, which is a different number, and depends on the batch size.
    Here: those of minifast see the whole set; a function of scikit-learn is refused with "write skm_to_fastai(f1_score)". A function of
    your own is taken as a mean over items unless it declares otherwise: `AccumMetric(f)`, or `f.accumulated = True`.
    """
    by_class = "f1" in as_metric(metric).name
    pred = torch.randn(23, 3 if by_class else 1, generator=generator())
    targ = torch.arange(23) % 3 if by_class else torch.arange(23.0)
    assert run(metric, pred, targ, 4) == pytest.approx(run(metric, pred, targ), rel=1e-5)
    sklearn = pytest.importorskip("sklearn.metrics")
    with pytest.raises(TypeError, match=r"write skm_to_fastai\(f1_score\)"):
        as_metric(sklearn.f1_score)

    def worst(p, y):
        return (p.flatten() - y).abs().max()
    worst.accumulated = True
    if not by_class:
        assert run(worst, pred, targ, 4) == worst(pred, targ)


# -- callbacks that follow a metric ---------------------------------------------------------------------------------------------------
def quiet(learn, n, *cbs):
    "The weights after each of `n` epochs with `cbs`."
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learn.fit(n, cbs=[*cbs, Callback(after_epoch=lambda: seen.append(weights_of(learn)))])
    return seen


def test_s55_errors_are_better_when_lower(tmp_path):
    """`SaveModelCallback(monitor="rmse")`.

    Elsewhere: the direction is guessed from the name, and for rmse, mae, perplexity and others it is wrong: the worst model is kept,
    and early stopping ends a run that improves.
    Here: the metric declares which is better; if it does not, `comp=np.less` is asked for before the first batch.
    """
    for name in ("rmse", "mae", "mse", "msle", "perplexity", "exp_rmspe", "error_rate"):
        assert as_metric(name).lower_is_better is True
        learn = make(path=tmp_path, metrics=Scripted([5.0, 1.0, 3.0], as_metric(name).lower_is_better, name))
        seen = quiet(learn, 3, SaveModelCallback(monitor=name))
        assert same(learn, seen[1])
    learn = make(metrics=Scripted([3.0, 2.0, 1.0], name="mae"))
    assert len(quiet(learn, 3, EarlyStoppingCallback(monitor="mae"))) == 3
    with pytest.raises(ValueError, match="does not say whether lower or higher is better. Write comp=np.less"):
        make(metrics=Scripted([1.0], None)).fit(1, cbs=SaveModelCallback(monitor="scripted"))


def test_s56_only_what_this_run_saved_is_loaded(tmp_path):
    """`SaveModelCallback` when nothing was good enough to save, and the file of an earlier run exists.

    Elsewhere: that file is loaded at the end, as if it were the best of this run.
    Here: only what this run saved is loaded; otherwise a warning: "SaveModelCallback saved nothing, because valid_loss was never a
    finite number at the end of an epoch: the model is as training left it".
    """
    make(path=tmp_path).save("model")                                            # of an earlier run
    learn = make(path=tmp_path, metrics=Scripted([float("nan")] * 2))
    with pytest.warns(UserWarning, match="saved nothing, because scripted was never a finite number"):
        learn.fit(2, cbs=SaveModelCallback(monitor="scripted"))
    assert not same(learn, weights_of(make()))                                # trained, and not replaced by the old file


def test_s57_fine_tune_has_one_best(tmp_path):
    """`fine_tune(..., cbs=SaveModelCallback())`.

    Elsewhere: the second phase forgets the best value of the first, and a worse model overwrites the better one.
    Here: there is one best model across both phases, and that is what you get.
    """
    learn, seen = make(path=tmp_path, metrics=Scripted([1.0, 4.0, 3.0])), []
    learn.fine_tune(2, cbs=[SaveModelCallback(monitor="scripted"), Callback(after_epoch=lambda: seen.append(weights_of(learn)))])
    assert len(seen) == 3 and same(learn, seen[0])


# -- records ------------------------------------------------------------------------------------------------------------------------
def test_s58_the_log_file_only_grows(tmp_path):
    """`CSVLogger` over several fits.

    Elsewhere: the next fit, `validate` and `lr_find` overwrite the file, and of `fine_tune` only the second phase is left.
    Here: rows are only appended, each with the id of its run; `validate` and `lr_find` add none.
    """
    learn = make(path=tmp_path, cbs=CSVLogger())
    learn.fit(2)
    learn.validate()
    learn.lr_find(num_it=10, show_plot=False)
    learn.fine_tune(1)
    frame = learn.csv_logger.read()
    assert frame.epoch.tolist() == [0, 1, 0, 0] and frame.run.nunique() == 2


def test_s59_looking_leaves_the_record_alone():
    """`validate`, `get_preds` or `lr_find` after a fit.

    Elsewhere: they clear the recorder, and the training curve is gone.
    Here: they have a recorder of their own: `learn.recorder` holds the latest fit, and `learn.recorder.history` every epoch of every
    fit.
    """
    learn = make()
    learn.fit(1)
    losses, rows = list(learn.recorder.losses), list(learn.recorder.history)
    learn.validate()
    learn.get_preds()
    learn.lr_find(num_it=10, show_plot=False)
    assert learn.recorder.losses == losses and len(losses) == 3 and learn.recorder.history == rows


def test_s60_the_training_loss_is_the_mean_over_the_epoch():
    """The column `train_loss`.

    Elsewhere: a moving average that includes losses of earlier epochs, next to a `valid_loss` that is a mean.
    Here: the mean over the items of the epoch. It is still measured in training, with dropout and augmentation, while the weights move;
    to compare with `valid_loss`, use `learn.validate(ds_idx=0)`.
    """
    learn, losses = make(n=20, bs=8, shuffle=False), []
    learn.fit(2, cbs=Callback(after_loss=lambda: losses.append(learn.loss.item()) if learn.training else None))
    for epoch in range(2):
        assert learn.recorder.values[epoch][0] == pytest.approx(np.average(losses[3 * epoch:][:3], weights=[8, 8, 4]), rel=1e-6)
    x, y = learn.dls.train_ds.tensors
    assert learn.validate(ds_idx=0)[0] == pytest.approx(F.cross_entropy(learn.model.eval()(x), y).item(), rel=1e-5)


def test_s61_names_are_what_was_written_and_unknown_ones_are_listed():
    """The name of a metric in the table, and as `monitor`.

    Elsewhere: `rmse` appears under another name, and a `monitor` that is not a column ends in a bare assertion.
    Here: a metric has the name of its function, unless you give it another; an unknown one is refused before training, with the columns
    that exist: "there is no such column in the epoch table; did you mean 'accuracy'? It has: train_loss, valid_loss, accuracy".
    """
    learn = make(metrics=[accuracy, "error_rate", M.rmse])
    assert learn.recorder.metric_names == ["epoch", "train_loss", "valid_loss", "accuracy", "error_rate", "rmse", "time"]
    with pytest.raises(ValueError, match="there is no such column in the epoch table; did you mean 'accuracy'. It has: train_loss, valid"):
        make(metrics="accuracy").fit(1, cbs=SaveModelCallback(monitor="acuracy"))


class Broken(Callback):
    def after_batch(self):
        raise KeyError


def test_s62_errors_in_callbacks_stay_what_they_are():
    """An exception without arguments inside a callback.

    Elsewhere: the code that adds the callback's name to the message fails on it, and an `IndexError` replaces the error.
    Here: the error itself, with its traceback, and a note that says where: "in Broken.after_batch".
    """
    with pytest.raises(KeyError) as caught:
        make(splitter=body_head).fit(1, cbs=Broken())
    assert "in Broken.after_batch" in caught.value.__notes__ and caught.value.args == ()


@pytest.mark.parametrize("metric", [M.F1ScoreMulti, M.PrecisionMulti, M.RecallMulti, M.HammingLossMulti, M.JaccardMulti])
def test_s63_a_threshold_of_zero_is_a_threshold(metric):
    """`thresh=0.` for multi-label metrics.

    Elsewhere: zero counts as no threshold, and raw outputs are compared with labels.
    Here: zero is the threshold.
    """
    logits, y = torch.tensor([[0.4, -0.3], [-0.2, 0.1], [0.3, 0.2]]), torch.tensor([[1, 0], [0, 1], [1, 0]])
    assert run(metric(thresh=0.0, sigmoid=False), logits, y) == pytest.approx(run(metric(thresh=0.5), logits, y))
    assert run(partial(accuracy_multi, thresh=0.0, sigmoid=False), logits, y) == pytest.approx(5 / 6)
