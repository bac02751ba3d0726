"""Averages of learners, by hand; bootstrap samples and what is out of the bag."""
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata
from torch import nn
from torch.utils.data import Subset, TensorDataset

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.splitters import IndexSplitter
from minifast.ensemble.averaging import Ensemble, average_preds, combine_preds
from minifast.ensemble.bagging import Repeated, bagging, bootstrap
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.metrics.sklearn import RocAucBinary
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat

N = 24
X = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def quiet(learn):
    learn.logger = lambda row: None
    return learn


def learner(seed=0, y=Y, n_out=2, loss=None, valid=range(12, N), **kwargs):
    torch.manual_seed(seed)
    ds = TensorDataset(X, y)
    dls = DataLoaders(DataLoader(Subset(ds, range(12)), bs=4, device="cpu"), DataLoader(Subset(ds, valid), bs=5, device="cpu"))
    return quiet(Learner(dls, nn.Linear(3, n_out), loss or CrossEntropyLossFlat(), metrics=kwargs.pop("metrics", accuracy), **kwargs))


def named(seed=0, vocab=None, labels=None):
    "A learner of items with class names."
    torch.manual_seed(seed)
    labels = labels or ["ab"[i] for i in Y.tolist()]
    db = DataBlock((TransformBlock, CategoryBlock(vocab=vocab)), get_x=lambda i: X[i], get_y=lambda i: labels[i],
                   splitter=IndexSplitter(range(6)))
    dls = db.dataloaders(list(range(N)), bs=4, device="cpu", num_workers=0)
    return quiet(Learner(dls, nn.Linear(3, 2), CrossEntropyLossFlat(), metrics=accuracy))


# -- numbers ------------------------------------------------------------------------------------------------------------------------
def test_mean_and_weights():
    a, b = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])
    assert combine_preds([a, b]).tolist() == [pytest.approx([0.4, 0.6])]
    assert combine_preds([a, b], weights=[3, 1]).tolist() == [pytest.approx([0.3, 0.7])]
    assert combine_preds([a.half(), b.half()]).dtype == torch.float32


def test_geometric_by_hand():
    a, b = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])
    g = [math.sqrt(0.2 * 0.6), math.sqrt(0.8 * 0.4)]
    assert combine_preds([a, b], how="geometric", kind="class logits").tolist() == [pytest.approx([v / sum(g) for v in g])]
    yes, no = math.sqrt(0.2 * 0.6), math.sqrt(0.8 * 0.4)
    got = combine_preds([a[:, :1], b[:, :1]], how="geometric", kind="logits").item()
    assert got == pytest.approx(yes / (yes + no))
    sure = combine_preds([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.4, 0.6]])], how="geometric", kind="class logits")
    assert torch.isfinite(sure).all() and sure[0, 0] > 0.99


def test_rank_by_hand():
    a, b = torch.tensor([0.1, 0.5, 0.5, 9.0]), torch.tensor([100.0, 300.0, 200.0, 400.0])
    want = [((x - 0.5) / 4 + (y - 0.5) / 4) / 2 for x, y in zip(rankdata(a), rankdata(b), strict=True)]
    assert combine_preds([a, b], how="rank").tolist() == pytest.approx(want)


def test_combine_errors():
    a = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="how='median': how is one of 'mean', 'geometric', 'rank'"):
        combine_preds([a], how="median")
    with pytest.raises(ValueError, match="these predictions are values: use how='mean'"):
        combine_preds([a], how="geometric", kind="values")
    for weights in ([1], [0, 0], [-1, 2], [float("nan"), 1]):
        with pytest.raises(ValueError, match="one number >= 0 per learner"):
            combine_preds([a, a], weights=weights)


# -- learners -----------------------------------------------------------------------------------------------------------------------
def test_average_preds():
    a, b = learner(0), learner(1)
    pa, ta = a.get_preds()
    pb, _ = b.get_preds()
    preds, targs = average_preds([a, b])
    assert torch.allclose(preds, (pa + pb) / 2) and torch.equal(targs, ta)
    assert torch.allclose(average_preds([a, b], weights=[1, 3])[0], pa / 4 + 3 * pb / 4)
    assert len(average_preds([a, b], ds_idx=0)[0]) == 12
    dl = DataLoader(TensorDataset(X[:3], Y[:3]), bs=2, device="cpu")
    assert torch.allclose(average_preds([a, b], dl=dl)[0], (a.get_preds(dl=dl)[0] + b.get_preds(dl=dl)[0]) / 2)


def test_average_of_new_items():
    a, b = named(0), named(1)
    preds, targs = average_preds([a, b], items=[3, 5])
    want = (a.get_preds(dl=a.dls.test_dl([3, 5]))[0] + b.get_preds(dl=b.dls.test_dl([3, 5]))[0]) / 2
    assert torch.allclose(preds, want) and targs is None


def test_what_cannot_be_averaged():
    a = learner(0)
    with pytest.raises(ValueError, match="listed more than once"):
        average_preds([a, a])
    with pytest.raises(TypeError, match="a list of learners; received none"):
        average_preds([])
    with pytest.raises(TypeError, match="a list of learners; received Linear"):
        average_preds([a.model])
    with pytest.raises(ValueError, match="predictions have shape"):
        average_preds([a, learner(1, n_out=3)])
    with pytest.raises(ValueError, match="predicts other items, or the same in another order"):
        average_preds([a, learner(1, valid=range(23, 11, -1))])
    with pytest.raises(ValueError, match="its targets are not those of learner 0"):
        average_preds([a, learner(1, y=1 - Y)])
    with pytest.raises(ValueError, match="predictions are values, those of learner 0 class probabilities"):
        average_preds([a, learner(1, y=torch.rand(N, 2), loss=MSELossFlat(), metrics=None)])
    with pytest.raises(TypeError, match="give one of them"):
        average_preds([a], dl=a.dls.valid, items=[1])
    other = named(1, labels=["xb"[i] for i in Y.tolist()])
    with pytest.raises(ValueError, match=r"its classes are \['b', 'x'\], those of learner 0 \['a', 'b'\]"):
        average_preds([named(0), other])


def test_folds_with_the_same_targets_are_told_apart():
    "The validation sets of two folds can have the very same targets; their items are others."
    y = torch.zeros(N).long()
    with pytest.raises(ValueError, match="predicts other items"):
        average_preds([learner(0, y=y), learner(1, y=y, valid=range(12))])


# -- an ensemble --------------------------------------------------------------------------------------------------------------------
def test_ensemble_validates_the_average():
    a, b = learner(0), learner(1)
    preds, targs = average_preds([a, b])
    loss, acc = Ensemble([a, b]).validate()
    assert loss == pytest.approx(float(nn.functional.nll_loss(preds.log(), targs)), rel=1e-5)
    assert acc == pytest.approx(float((preds.argmax(1) == targs).float().mean()))
    auc = Ensemble([a, b]).validate(metrics=RocAucBinary())[1]
    from sklearn.metrics import roc_auc_score
    assert auc == pytest.approx(roc_auc_score(targs, preds[:, 1]))
    assert Ensemble([a]).validate() == pytest.approx(a.validate(), rel=1e-5)


@pytest.mark.parametrize(("loss", "y"), [(MSELossFlat(), torch.rand(N, 2)), (BCEWithLogitsLossFlat(), (torch.rand(N, 2) > 0.5).float()),
                                         (nn.MSELoss(), torch.rand(N, 2)), (nn.CrossEntropyLoss(), Y)])
def test_one_learner_alone_validates_as_itself(loss, y):
    a = learner(0, y=y, loss=loss, metrics=None)
    assert Ensemble([a]).validate() == pytest.approx(a.validate(), rel=1e-4)


def test_ensemble_predicts_an_item():
    a, b = named(0), named(1)
    label, index, probs = Ensemble([a, b]).predict(4)
    assert torch.allclose(probs, (a.predict(4)[2] + b.predict(4)[2]) / 2)
    assert label == "ab"[int(probs.argmax())] and int(index) == int(probs.argmax())
    assert Ensemble([a]).predict(4)[0] == a.predict(4)[0]
    preds, _, decoded = Ensemble([a, b], how="geometric").get_preds(with_decoded=True)
    assert torch.equal(decoded, preds.argmax(1)) and torch.allclose(preds.sum(1), torch.ones(6))
    assert "Ensemble of 2 learners" in repr(Ensemble([a, b]))


def test_ensemble_predicts_a_row():
    from minifast.tabular.loaders import TabularDataLoaders
    df = pd.DataFrame({"a": np.arange(20.0), "y": ["n", "p"] * 10})

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(1, 2)

        def forward(self, cat, cont):
            return self.l(cont)

    def make():
        dls = TabularDataLoaders.from_df(df, cont_names=["a"], cat_names=[], y_names="y", bs=4)
        return quiet(Learner(dls, Model()))

    a, b = make(), make()
    row, decoded, probs = Ensemble([a, b]).predict(df.iloc[3])
    want = [learn.get_preds(dl=learn.dls.test_dl([df.iloc[3]]))[0][0] for learn in (a, b)]
    assert torch.allclose(probs, sum(want) / 2) and int(decoded) == int(probs.argmax())
    assert row["a"] == 3 and row["y"] == "np"[int(decoded)]


def test_ensemble_errors():
    a, b = learner(0), learner(1)
    with pytest.raises(ValueError, match="listed more than once"):
        Ensemble([a, a])
    ranked = Ensemble([a, b], how="rank")
    assert float(ranked.get_preds()[0].min()) > 0 and float(ranked.get_preds()[0].max()) < 1
    for ask in (ranked.validate, lambda: ranked.get_preds(with_decoded=True)):
        with pytest.raises(ValueError, match="how='rank' gives ranks"):
            ask()
    with pytest.raises(ValueError, match="of a loss that is not recognised"):
        Ensemble([learner(0, loss=lambda p, y: p.sum(), metrics=None)], how="geometric")

    def odd(p, y):
        return p.pow(2).mean()

    odd.activation = torch.tanh
    with pytest.raises(ValueError, match="does not know the inverse of the activation"):
        Ensemble([learner(0, loss=odd, metrics=None)]).validate()


# -- bagging ------------------------------------------------------------------------------------------------------------------------
def test_bootstrap():
    drawn, out = bootstrap(range(100, 1100), 0)
    assert sum(drawn.values()) == 1000 and not set(drawn) & set(out) and len(drawn) + len(out) == 1000
    assert 330 < len(out) < 410                                            # 1/e of them
    groups = [i // 10 for i in range(1000)]
    drawn, out = bootstrap(range(1000), 0, groups)
    assert not {i // 10 for i in drawn} & {i // 10 for i in out}


def test_repeated():
    sampler = Repeated([2, 0, 1])
    assert len(sampler) == 3 and sorted(sampler.order(1).tolist()) == [0, 0, 2]
    assert sampler.order(1).tolist() == sampler.order(1).tolist()


def by_splits(splits):
    ds = TensorDataset(torch.arange(float(N))[:, None], Y)
    dls = DataLoaders(*(DataLoader(Subset(ds, s), bs=4, shuffle=not i, device="cpu") for i, s in enumerate(splits)))
    return quiet(Learner(dls, nn.Linear(1, 2), CrossEntropyLossFlat()))


def test_bags():
    seen, oob = [], []

    def fit(learn):
        seen.append(Counter(int(v) for x, _ in learn.dls.train for v in x))
        learn.fit(1, 0.1)

    result = bagging(by_splits, range(N), 5, fit=fit, seed=1)
    for counts, (drawn, out) in zip(seen, result.splits, strict=True):
        assert sum(counts.values()) == N and set(counts) == set(drawn) and max(counts.values()) > 1
        assert sorted([*drawn, *out]) == list(range(N))
        oob += out
    assert result.positions == sorted(set(oob)) and result.counts == [Counter(oob)[i] for i in result.positions]
    by_hand = {i: [] for i in result.positions}
    for k, (_, out) in enumerate(result.splits):
        for i, p in zip(out, result.learner(k).get_preds()[0], strict=True):
            by_hand[i].append(p)
    assert torch.allclose(result.preds, torch.stack([torch.stack(v).mean(0) for v in by_hand.values()]))
    assert torch.equal(result.targs, Y[result.positions])
    assert len(result.ensemble.learners) == 5 and list(result.table.index) == [*"01234", "mean", "std"]


@pytest.mark.slow
def test_bags_of_a_part_and_of_groups():
    groups = [i // 4 for i in range(N)]
    result = bagging(by_splits, range(N), 3, fit=lambda learn: None, train_idx=range(16), groups=groups, keep="nothing")
    for drawn, out in result.splits:
        assert max([*drawn, *out]) < 16 and not {i // 4 for i in drawn} & {i // 4 for i in out}
    again = bagging(by_splits, range(N), 3, fit=lambda learn: None, train_idx=range(16), groups=groups, keep="nothing")
    assert torch.equal(result.preds, again.preds)


@pytest.mark.slow
def test_bagging_goes_on(tmp_path):
    done = []

    def fit(learn):
        if len(done) == 1:
            done.append(0)
            raise RuntimeError("power cut")
        done.append(1)
        learn.fit(1, 0.1)

    with pytest.raises(RuntimeError):
        bagging(by_splits, range(N), 3, fit=fit, path=tmp_path)
    result = bagging(by_splits, range(N), 3, fit=fit, path=tmp_path, keep="files")
    assert done == [1, 0, 1, 1]
    whole = bagging(by_splits, range(N), 3, fit=lambda learn: learn.fit(1, 0.1))
    assert torch.equal(result.preds, whole.preds)


def test_bagging_errors():
    with pytest.raises(ValueError, match="how many learners"):
        bagging(by_splits, range(N), 0, fit=len)
    with pytest.raises(ValueError, match="different positions from 0 to 23"):
        bagging(by_splits, range(N), 2, fit=len, train_idx=[0, 0, 1])
    with pytest.raises(ValueError, match="all 24 items are of one group"):
        bagging(by_splits, range(N), 2, fit=len, groups=[0] * N)

    def torch_loaders(splits):
        ds = TensorDataset(X, Y)
        dls = DataLoaders(*(torch.utils.data.DataLoader(Subset(ds, s), 4) for s in splits), device="cpu")
        return quiet(Learner(dls, nn.Linear(3, 2), CrossEntropyLossFlat()))

    with pytest.raises(TypeError, match="must be minifast's DataLoader"):
        bagging(torch_loaders, range(N), 2, fit=lambda learn: None)
