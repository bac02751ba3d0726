import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn import metrics as skm

from minifast import metrics as M
from minifast.metrics.base import AccumMetric, AvgLoss, AvgMetric, AvgSmoothLoss, LossMetrics, Metric, Perplexity, ValueMetric
from minifast.metrics.convert import as_metric
from minifast.metrics.functions import accuracy, accuracy_multi, error_rate, rmse, top_k_accuracy
from minifast.metrics.sklearn import skm_to_fastai
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat

G = torch.Generator().manual_seed(1)
close = torch.testing.assert_close


def logits(*shape):
    return torch.randn(*shape, generator=G)


def ids(n, *shape):
    return torch.randint(0, n, shape, generator=G)


def run(metric, pred, *targs, bs=7, loss_func=None):
    "The value of `metric` after a pass over the items in batches of `bs` (the last one smaller)."
    metric = as_metric(metric)
    for _ in range(2):                      # twice: what is left of a first epoch must not count
        metric.reset()
        for i in range(0, len(pred), bs):
            metric.accumulate(SimpleNamespace(pred=pred[i:i + bs], yb=tuple(t[i:i + bs] for t in targs), loss_func=loss_func))
    return metric.value


# functions

def test_accuracy_and_error_rate():
    x, y = torch.tensor([[.1, .9], [.8, .2], [.3, .7], [.6, .4]]), torch.tensor([1, 0, 0, 0])
    assert accuracy(x, y) == 0.75 and error_rate(x, y) == 0.25
    assert accuracy(x, y[:, None]) == 0.75
    masks, m = logits(2, 3, 4, 5), ids(3, 2, 4, 5)
    close(accuracy(masks, m, axis=1), (masks.argmax(1) == m).float().mean())


def test_targets_that_losses_ignore_do_not_count():
    x, y = logits(4, 6, 5), ids(5, 4, 6)
    some = y.clone()
    some[:, 3:] = -100                              # padding, or the second piece of a word
    known = x[:, :3].reshape(-1, 5), y[:, :3].flatten()
    close(F.cross_entropy(x.flatten(0, 1), some.flatten()), F.cross_entropy(*known))
    close(accuracy(x, some), accuracy(*known))
    close(error_rate(x, some), error_rate(*known))
    close(top_k_accuracy(x, some, k=2), top_k_accuracy(*known, k=2))
    for metric in (M.F1Score(average="macro", axis=-1), M.Recall(average="macro", axis=-1), M.CohenKappa(axis=-1)):
        assert metric(x, some) == metric(*known)


def test_top_k_accuracy():
    x, y = logits(30, 8), ids(8, 30)
    close(top_k_accuracy(x, y, k=3), torch.tensor(skm.top_k_accuracy_score(y, x, k=3, labels=range(8))).float())
    close(top_k_accuracy(x, y, k=1), accuracy(x, y))
    masks, m = logits(2, 6, 4, 5), ids(6, 2, 4, 5)
    close(top_k_accuracy(masks, m, k=1, axis=1), accuracy(masks, m, axis=1))
    close(top_k_accuracy(x, y[:, None], k=3), top_k_accuracy(x, y, k=3))
    with pytest.raises(ValueError, match=r"top_k_accuracy\(k=5\) needs more than 5 classes"):
        top_k_accuracy(logits(4, 3), ids(3, 4))


def test_accuracy_multi_and_a_threshold_of_zero():
    x, y = logits(10, 4), ids(2, 10, 4)
    close(accuracy_multi(x, y.float()), ((x > 0) == y.bool()).float().mean())
    close(accuracy_multi(x, y, thresh=0., sigmoid=False), ((x > 0) == y.bool()).float().mean())
    close(accuracy_multi(x, y, thresh=0.2), ((x.sigmoid() > 0.2) == y.bool()).float().mean())


def test_regression_functions():
    x, y = logits(12, 1).abs(), logits(12).abs()
    close(M.mse(x, y), F.mse_loss(x[:, 0], y))
    close(M.mae(x, y), F.l1_loss(x[:, 0], y))
    close(M.msle(x, y), torch.tensor(skm.mean_squared_log_error(y, x[:, 0])).float())
    close(rmse(x, y), F.mse_loss(x[:, 0], y).sqrt())
    close(M.exp_rmspe(x, y), (((y.exp() - x[:, 0].exp()) / y.exp()) ** 2).mean().sqrt())
    close(M.mse(x, ids(5, 12)).dtype == torch.float32, True)


def test_foreground_accuracy():
    x, y = logits(3, 4, 5, 5), ids(4, 3, 5, 5)
    mask = y != 0
    close(M.foreground_acc(x, y), (x.argmax(1)[mask] == y[mask]).float().mean())
    close(M.foreground_acc(x, y[:, None], bkg_idx=2), (x.argmax(1)[y != 2] == y[y != 2]).float().mean())


@pytest.mark.parametrize("f", [accuracy, error_rate, partial(top_k_accuracy, k=1), partial(M.foreground_acc)])
def test_a_single_logit_is_refused(f):
    with pytest.raises(ValueError, match=r"a\s+single column is always class 0.*n_out=2"):
        f(logits(4, 1), ids(2, 4))


def test_shapes_that_do_not_go_together_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"int64\[4,3,5\].* and targets int64\[4,5,6\].*axis=1"):
        accuracy(logits(4, 3, 5, 6), ids(3, 4, 5, 6))
    with pytest.raises(ValueError, match="cannot be compared"):
        M.mse(logits(4, 2), logits(4))


# averages

def test_avg_metric_weights_batches_by_their_size():
    x, y = logits(23, 5), ids(5, 23)
    assert run(accuracy, x, y) == pytest.approx(skm.accuracy_score(y, x.argmax(1)))
    assert run(partial(accuracy, axis=-1), x, y, bs=23) == pytest.approx(skm.accuracy_score(y, x.argmax(1)))
    assert run(lambda p, t: 2.5, x, y) == pytest.approx(2.5)
    assert run(lambda p, a, b: (a - b).abs().float().mean(), x, y, y) == 0


def test_avg_metric_does_not_wait_for_the_device_or_keep_a_graph(monkeypatch):
    m, x = AvgMetric(M.mse), logits(6, 1).requires_grad_()
    for name in ("item", "__float__", "tolist", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, lambda self: pytest.fail("the batch waited for the device"))
    for m in (AvgMetric(M.mse), AvgLoss(), AvgSmoothLoss(), as_metric(rmse), M.DiceMulti(), M.Dice(), M.F1Score(axis=1)):
        pred = x if m.name in ("mse", "rmse", "loss", "smooth_loss") else logits(6, 2, 3, 3).requires_grad_()
        targ = torch.zeros(6) if pred is x else torch.ones(6, 3, 3).long()
        m.accumulate(SimpleNamespace(pred=pred, yb=(targ,), loss=(pred ** 2).mean()))
    monkeypatch.undo()
    assert 0 <= m.value <= 1
    avg = AvgMetric(M.mse)
    avg.accumulate(SimpleNamespace(pred=x, yb=(torch.zeros(6),)))
    assert not avg._total.requires_grad


def test_nothing_seen_is_none():
    for m in (AvgMetric(accuracy), AvgLoss(), AvgSmoothLoss(), Perplexity(), M.Dice(), M.JaccardCoeff(), M.DiceMulti(),
              M.JaccardCoeffMulti(), M.F1Score(), M.CorpusBLEUMetric(), as_metric(rmse)):
        assert m.value is None


def test_avg_loss_perplexity_and_smooth_loss():
    losses, sizes = [2.0, 1.0, 4.0], [4, 4, 2]
    avg, ppl, smooth = AvgLoss(), Perplexity(), AvgSmoothLoss(beta=0.9)
    v = 0.0
    for loss, n in zip(losses, sizes, strict=True):
        learn = SimpleNamespace(loss=torch.tensor(loss), yb=(torch.zeros(n),), pred=None)
        for m in (avg, ppl, smooth):
            m.accumulate(learn)
        v = 0.9 * v + 0.1 * loss
    assert avg.value == pytest.approx(2.0)
    assert ppl.value == pytest.approx(math.exp(2.0))
    assert smooth.value == pytest.approx(v / (1 - 0.9 ** 3))
    assert (avg.name, ppl.name, smooth.name) == ("loss", "perplexity", "smooth_loss")
    no_target = AvgLoss()
    no_target.accumulate(SimpleNamespace(loss=torch.tensor(3.), yb=(), pred=torch.zeros(4, 2)))
    assert no_target.value == 3.0
    ppl.accumulate(SimpleNamespace(loss=torch.tensor(1e6), yb=(torch.zeros(4),), pred=None))
    assert ppl.value == math.inf
    with pytest.raises(ValueError, match=r"AvgSmoothLoss\(beta=1\)"):
        AvgSmoothLoss(beta=1)


def test_loss_metrics_and_value_metric():
    recon, kl = LossMetrics("recon, kl")
    assert (recon.name, kl.name, recon.lower_is_better) == ("recon", "kl", True)
    for r, n in ((1.0, 3), (4.0, 1)):
        recon.accumulate(SimpleNamespace(loss_func=SimpleNamespace(recon=torch.tensor(r)), yb=(torch.zeros(n),)))
    assert recon.value == pytest.approx(7 / 4)
    with pytest.raises(AttributeError, match=r"LossMetric\('kl'\): the loss CrossEntropyLossFlat has no attribute 'kl'"):
        kl.accumulate(SimpleNamespace(loss_func=CrossEntropyLossFlat(), yb=(torch.zeros(2),)))
    with pytest.raises(ValueError, match="2 attributes"):
        LossMetrics("a,b", "one")
    m = ValueMetric(lambda: 0.25, "fid", lower_is_better=True)
    m.reset()
    m.accumulate(None)
    assert (m.value, m.name, m.lower_is_better) == (0.25, "fid", True)


# accumulated

def test_rmse_is_that_of_the_whole_set_not_a_mean_over_batches():
    x, y = logits(23, 1) * torch.arange(1, 24)[:, None], logits(23)
    assert run(rmse, x, y) == pytest.approx(math.sqrt(skm.mean_squared_error(y, x[:, 0])), rel=1e-5)
    assert as_metric(rmse).name == "rmse" and as_metric(M.exp_rmspe).name == "exp_rmspe"
    with pytest.raises(ValueError, match=r"the mean of rmse over batches is not its value on the whole set: write metrics=\[rmse\]"):
        AvgMetric(rmse)


SCORES = [
    (M.F1Score, {"average": "macro"}, skm.f1_score), (M.FBeta, {"beta": 2, "average": "weighted"}, skm.fbeta_score),
    (M.Precision, {"average": "micro"}, skm.precision_score), (M.Recall, {"average": "macro"}, skm.recall_score),
    (M.Jaccard, {"average": "macro"}, skm.jaccard_score), (M.HammingLoss, {}, skm.hamming_loss),
    (M.BalancedAccuracy, {}, skm.balanced_accuracy_score), (M.CohenKappa, {"weights": "quadratic"}, skm.cohen_kappa_score),
    (M.MatthewsCorrCoef, {}, skm.matthews_corrcoef)]


@pytest.mark.parametrize("make, kw, oracle", SCORES)
def test_class_metrics_are_scikit_learns(make, kw, oracle):
    x, y = logits(40, 3), ids(3, 40)
    assert run(make(**kw), x, y) == pytest.approx(oracle(y, x.argmax(1), **kw))
    assert make(**kw).name == oracle.__name__
    assert make(**kw)(x, y) == pytest.approx(oracle(y, x.argmax(1), **kw))
    masks, m = logits(4, 3, 5, 5), ids(3, 4, 5, 5)
    assert run(make(axis=1, **kw), masks, m, bs=3) == pytest.approx(oracle(m.flatten(), masks.argmax(1).flatten(), **kw))


def test_metrics_that_need_probabilities_get_them():
    x, y = logits(40, 2), ids(2, 40)
    p = x.softmax(1)[:, 1]
    assert run(M.BrierScore(), x, y) == pytest.approx(((p - y) ** 2).mean().item(), rel=1e-5)
    assert run(M.RocAucBinary(), x, y) == pytest.approx(skm.roc_auc_score(y, p))
    assert run(M.APScoreBinary(), x, y) == pytest.approx(skm.average_precision_score(y, p))
    x, y = logits(40, 4), ids(4, 40)
    for mode in ("ovr", "ovo"):
        wanted = skm.roc_auc_score(y, x.softmax(1).double() / x.softmax(1).double().sum(1, keepdim=True), multi_class=mode)
        assert run(M.RocAuc(multi_class=mode), x, y) == pytest.approx(wanted)


@pytest.mark.parametrize("make, kw, oracle", [
    (M.F1ScoreMulti, {}, partial(skm.f1_score, average="macro")),
    (M.FBetaMulti, {"beta": .5}, partial(skm.fbeta_score, beta=.5, average="macro")),
    (M.PrecisionMulti, {}, partial(skm.precision_score, average="macro")), (M.RecallMulti, {}, partial(skm.recall_score, average="macro")),
    (M.JaccardMulti, {}, partial(skm.jaccard_score, average="macro")), (M.HammingLossMulti, {}, skm.hamming_loss)])
@pytest.mark.parametrize("thresh", [0.5, 0.3])
def test_multi_label_metrics(make, kw, oracle, thresh):
    x, y = logits(40, 3), ids(2, 40, 3)
    assert run(make(thresh=thresh, **kw), x, y.float()) == pytest.approx(oracle(y.numpy(), (x.sigmoid() > thresh).numpy()))
    assert run(make(thresh=0., sigmoid=False, **kw), x, y) == pytest.approx(oracle(y.numpy(), (x > 0).numpy()))


def test_multi_label_metrics_on_scores():
    x, y = logits(40, 3), ids(2, 40, 3)
    assert run(M.RocAucMulti(), x, y) == pytest.approx(skm.roc_auc_score(y, x.sigmoid()))
    assert run(M.APScoreMulti(), x, y) == pytest.approx(skm.average_precision_score(y, x.sigmoid()))
    assert run(M.BrierScoreMulti(), x, y.float()) == pytest.approx(((x.sigmoid() - y) ** 2).mean().item(), rel=1e-5)
    assert run(M.RocAucMulti(), x[:, :1], y[:, 0]) == pytest.approx(skm.roc_auc_score(y[:, 0], x[:, 0]))     # one logit per item
    assert run(M.F1ScoreMulti(average="binary"), x[:, :1], y[:, 0]) == pytest.approx(skm.f1_score(y[:, 0], x[:, 0] > 0))
    assert run(M.MatthewsCorrCoefMulti(), x, y) == pytest.approx(skm.matthews_corrcoef(y.flatten(), x.flatten() > 0))


@pytest.mark.parametrize("outputs", [1, 3])
def test_regression_metrics_score_each_output(outputs):
    y = logits(40, outputs) + torch.arange(outputs) * 10               # outputs at very different levels
    x = y + logits(40, outputs)
    columns = range(outputs)
    assert run(M.R2Score(), x, y) == pytest.approx(skm.r2_score(y, x))
    assert run(M.ExplainedVariance(), x, y) == pytest.approx(skm.explained_variance_score(y, x))
    assert run(M.PearsonCorrCoef(), x, y) == pytest.approx(np.mean([stats.pearsonr(x[:, i], y[:, i])[0] for i in columns]))
    assert run(M.SpearmanCorrCoef(), x, y) == pytest.approx(np.mean([stats.spearmanr(x[:, i], y[:, i])[0] for i in columns]))
    if outputs == 1:
        assert run(M.R2Score(), x, y[:, 0]) == pytest.approx(skm.r2_score(y, x))
    with pytest.raises(ValueError, match="cannot be compared"):
        run(M.R2Score(), logits(6, 2), logits(6))


def test_accum_metric_activations():
    x, y = logits(20, 3), ids(3, 20)

    def same(p, t):
        return (p * torch.arange(1, p.shape[-1] + 1)).mean() + 0 * t.sum()
    assert run(AccumMetric(same, flatten=False, activation="softmax"), x, y) == pytest.approx(same(x.softmax(-1), y).item())
    assert run(AccumMetric(same, flatten=False, activation="Sigmoid"), x, y) == pytest.approx(same(x.sigmoid(), y).item())
    assert run(AccumMetric(same, flatten=False, activation=torch.exp), x, y) == pytest.approx(same(x.exp(), y).item())
    loss = BCEWithLogitsLossFlat()
    assert run(AccumMetric(same, flatten=False, activation="loss"), x, y, loss_func=loss) == pytest.approx(same(x.sigmoid(), y).item())
    assert run(AccumMetric(lambda p, t: (p == t).float().mean(), dim_argmax=-1), x, y) == pytest.approx(accuracy(x, y).item())


def test_accum_metric_refusals():
    with pytest.raises(ValueError, match=r"activation='relu'.*'sigmoid'"):
        AccumMetric(rmse, activation="relu")
    with pytest.raises(ValueError, match="the most probable class has no threshold"):
        AccumMetric(rmse, dim_argmax=-1, thresh=0.5)
    with pytest.raises(TypeError, match="takes a function"):
        AccumMetric("rmse")
    with pytest.raises(ValueError, match="one target; this batch has 2"):
        run(AccumMetric(rmse), logits(4, 1), logits(4), logits(4))
    with pytest.raises(TypeError, match=r"metric pair must be one number; its function returned tuple of 2"):
        run(AccumMetric(lambda p, t: (1, 2), name="pair"), logits(4, 1), logits(4))
    with pytest.raises(ValueError, match=r"a single column is always class 0"):
        run(M.F1Score(), logits(4, 1), ids(2, 4))
    with pytest.raises(ValueError, match=r"f1_score is for two classes.*10 along axis -1: write average='macro'"):
        run(M.F1Score(), logits(4, 10), ids(10, 4))
    with pytest.raises(ValueError, match=r"write RocAucBinary\(\)"):
        run(M.RocAuc(), logits(4, 2), ids(2, 4))
    with pytest.raises(ValueError, match=r"write RocAuc\(\)"):
        run(M.RocAucBinary(), logits(4, 3), ids(3, 4))
    with pytest.raises(ValueError, match=r"for one logit per item write RocAucMulti\(\)"):
        run(M.RocAucBinary(), logits(4, 1), ids(2, 4))
    with pytest.raises(ValueError, match=r"multi_class='raise'"):
        M.RocAuc(multi_class="raise")
    with pytest.raises(ValueError, match=r"f1_score\(average=None\) gives one number per class"):
        M.F1ScoreMulti(average=None)


def test_an_error_of_scikit_learn_names_the_metric():
    with pytest.raises(ValueError) as e:
        run(skm_to_fastai(skm.mean_squared_log_error, is_class=False), -torch.ones(4, 1), torch.ones(4))
    assert "in metric mean_squared_log_error" in "\n".join([str(e.value), *getattr(e.value, "__notes__", [])])


# segmentation

def test_dice_and_jaccard_for_two_classes():
    x, y = logits(6, 2, 5, 5), ids(2, 6, 5, 5)
    p = x.argmax(1).flatten()
    assert run(M.Dice(), x, y, bs=4) == pytest.approx(skm.f1_score(y.flatten(), p))
    assert run(M.JaccardCoeff(), x, y, bs=4) == pytest.approx(skm.jaccard_score(y.flatten(), p))
    nothing = torch.stack([torch.ones(1, 2, 2), torch.zeros(1, 2, 2)], 1)
    assert run(M.Dice(), nothing, torch.zeros(1, 2, 2).long()) is None


def test_multi_class_dice_and_jaccard():
    x, y = logits(6, 4, 5, 5), ids(4, 6, 5, 5)
    p = x.argmax(1).flatten()
    assert run(M.DiceMulti(), x, y, bs=4) == pytest.approx(skm.f1_score(y.flatten(), p, average="macro"))
    assert run(M.JaccardCoeffMulti(), x, y, bs=4) == pytest.approx(skm.jaccard_score(y.flatten(), p, average="macro"))
    ignored = y.clone()
    ignored[:, 0] = 255
    keep = (ignored != 255).flatten()
    assert run(M.DiceMulti(), x, ignored.to(torch.uint8)) == pytest.approx(skm.f1_score(y.flatten()[keep], p[keep], average="macro"))
    perfect = F.one_hot(ids(3, 2, 4, 4) + 1, 5).movedim(-1, 1).float()                # classes 0 and 4 never appear
    assert run(M.DiceMulti(), perfect, perfect.argmax(1)) == run(M.JaccardCoeffMulti(), perfect, perfect.argmax(1)) == 1.0


def test_binary_dice_refuses_more_classes():
    with pytest.raises(ValueError, match=r"Dice is for two classes.*4 along axis 1: write DiceMulti\(\)"):
        run(M.Dice(), logits(2, 4, 3, 3), ids(4, 2, 3, 3))
    with pytest.raises(ValueError, match=r"write JaccardCoeffMulti\(\)"):
        run(M.JaccardCoeff(), logits(2, 4, 3, 3), ids(4, 2, 3, 3))
    with pytest.raises(ValueError, match=r"Dice takes masks of 0 and 1; 18 pixels"):
        run(M.Dice(), logits(2, 2, 3, 3), torch.full((2, 3, 3), 255))
    with pytest.raises(ValueError, match=r"single column is always class 0"):
        run(M.Dice(), logits(2, 1, 3, 3), ids(2, 2, 3, 3))


# text

def test_corpus_bleu():
    def one_hot(rows):
        return F.one_hot(torch.tensor(rows), 10).float()
    same = [[1, 2, 3, 4, 5, 6]]
    assert run(M.CorpusBLEUMetric(), one_hot(same), torch.tensor(same)) == pytest.approx(1.0)
    guess, truth = [[1, 2, 3, 4, 9, 6]], [[1, 2, 3, 4, 5, 6]]          # n-grams right: 5/6, 3/5, 2/4, 1/3
    wanted = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert run(M.CorpusBLEUMetric(vocab_sz=10), one_hot(guess), torch.tensor(truth)) == pytest.approx(wanted)
    assert run(M.CorpusBLEUMetric(), one_hot([[1, 1, 1, 1, 1]]), torch.tensor([[2, 2, 2, 2, 2]])) == 0.0


def test_optim_metric_finds_the_threshold_on_the_whole_set():
    y = ids(2, 200)
    p = y * 0.2 + 0.4 + 0.05 * torch.rand(200, generator=G)            # 0.4..0.45 against 0.6..0.65
    f = partial(accuracy_multi, sigmoid=False)
    best = M.optim_metric(f, "thresh", (0.2, 0.9), get_x=True)
    value, thresh = best(p, y)
    assert value == 1.0 and 0.44 < thresh < 0.61
    metric = as_metric(M.optim_metric(f, "thresh", (0.2, 0.9)))
    assert run(metric, p, y) == 1.0 and metric.name == "opt_accuracy_multi" and metric.lower_is_better is False
    assert as_metric(M.optim_metric(M.mse, "x", (0, 1), do_neg=False)).lower_is_better is True


# names, directions, conversion

@pytest.mark.parametrize("x, lower", [
    (accuracy, False), (error_rate, True), (partial(top_k_accuracy, k=2), False), (accuracy_multi, False), (M.mse, True), (M.mae, True),
    (M.msle, True), (rmse, True), (M.exp_rmspe, True), (M.foreground_acc, False), (Perplexity(), True), (AvgLoss(), True),
    (M.Dice(), False), (M.JaccardCoeffMulti(), False), (M.F1Score(), False), (M.HammingLoss(), True), (M.BrierScore(), True),
    (M.RocAucMulti(), False), (M.MatthewsCorrCoef(), False), (M.R2Score(), False),
    (M.SpearmanCorrCoef(), False), (M.CorpusBLEUMetric(), False),
    (skm_to_fastai(skm.max_error, is_class=False), True), (F.mse_loss, True), (CrossEntropyLossFlat(), True), (lambda p, t: 0, None),
    (M.APScoreBinary(), False), (M.CohenKappa(), False)])
def test_every_metric_declares_its_direction(x, lower):
    assert as_metric(x).lower_is_better is lower


def test_names():
    assert [as_metric(o).name for o in (accuracy, partial(accuracy, axis=1), rmse, M.F1Score(), M.RocAucBinary(), M.Dice(),
                                        M.JaccardCoeffMulti(), Perplexity(), M.SpearmanCorrCoef())] == [
        "accuracy", "accuracy", "rmse", "f1_score", "roc_auc_score", "dice", "jaccard_coeff_multi", "perplexity", "spearmanr"]
    assert AvgMetric(accuracy, name="top1").name == "top1"
    named = M.Dice()
    named.name = "dice_nuclei"
    assert named.name == "dice_nuclei"

    class MyOwnMetric(Metric):
        pass
    assert MyOwnMetric().name == "my_own" and MyOwnMetric().lower_is_better is None
    with pytest.raises(NotImplementedError, match=r"MyOwnMetric must define accumulate"):
        MyOwnMetric().accumulate(None)


def test_as_metric():
    for name in ("accuracy", "error_rate", "rmse", "F1Score", "f1_score", "Dice", "RocAucBinary"):
        assert isinstance(as_metric(name), Metric)
    m = M.Dice()
    assert as_metric(m) is m
    duck = SimpleNamespace(reset=None, accumulate=None, value=1, name="duck")
    assert as_metric(duck) is duck
    for wrong, error, match in [
            ("acuracy", ValueError, r"no metric named 'acuracy'; did you mean 'accuracy'\?"),
            (M.Dice, TypeError, r"metrics=\[Dice\]: Dice makes a metric when it is called: write Dice\(\)"),
            (M.F1Score, TypeError, r"write F1Score\(\)"), (partial(M.F1Score, average="macro"), TypeError, r"write F1Score\(\)"),
            (AccumMetric, TypeError, "AccumMetric makes a metric"),
            (skm.f1_score, TypeError, r"scikit-learn's f1_score .* write skm_to_fastai\(f1_score\)"),
            (3, TypeError, "a metric is a function of")]:
        with pytest.raises(error, match=match):
            as_metric(wrong)


def test_avg_metric_refuses_what_is_not_one_number_and_what_would_broadcast():
    with pytest.raises(ValueError, match=r"metric <lambda> must return one number per batch; it returned float32\[4\]"):
        run(lambda p, t: p - t, logits(4), logits(4))
    with pytest.raises(ValueError, match=r"metric mse_loss compares element by element"):
        run(F.mse_loss, logits(4, 1), logits(4))
    assert run(F.mse_loss, torch.ones(4), torch.zeros(4)) == 1.0
    with pytest.raises(TypeError, match="takes a function"):
        AvgMetric(0.5)


def test_half_precision_and_many_batches_add_up_exactly():
    m = AvgMetric(lambda p, t: p.mean())
    for _ in range(3000):
        m.accumulate(SimpleNamespace(pred=torch.full((1,), 0.1, dtype=torch.float64), yb=(torch.zeros(1),)))
    assert m.value == pytest.approx(0.1, abs=1e-14)
    x = logits(30, 2).bfloat16()
    assert run(M.BrierScore(), x, ids(2, 30)) >= 0
    assert run(rmse, x[:, :1], torch.zeros(30).bfloat16()) == pytest.approx(x[:, 0].float().pow(2).mean().sqrt().item(), rel=0.02)
