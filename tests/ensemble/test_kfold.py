"""k-fold: every item is predicted by a learner that has not seen it, in the order of the items; runs go on where they stopped."""
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from torch import nn
from torch.utils.data import Subset, TensorDataset

from minifast.data.block import CategoryBlock, DataBlock, RegressionBlock, TransformBlock
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.splitters import IndexSplitter, RandomSplitter
from minifast.data.splitters_groups import FixedSplitter
from minifast.ensemble.arguments import item_keys
from minifast.ensemble.kfold import best_epochs, kfold, kfold_splits, train_on_all
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy, mae
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat

N = 20
ITEMS = [f"item{i:02d}" for i in range(N)]


class Scale(nn.Module):
    "y = w * x, w from 1: an identity that can be trained."

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.w


def number(item):
    return float(item[4:])


def quiet(learn):
    learn.logger = lambda row: None
    return learn


def block_learner(splits, items=ITEMS, splitter=None, model=None, **kwargs):
    db = DataBlock((RegressionBlock, RegressionBlock), get_x=number, get_y=number, splitter=splitter or FixedSplitter(splits))
    dls = db.dataloaders(items, bs=4, device="cpu", num_workers=0)
    return quiet(Learner(dls, model or Scale(), MSELossFlat(), metrics=mae, **kwargs))


def tensor_learner(splits, x=None, y=None, n_out=2):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(N, 3, generator=g) if x is None else x
    ds = TensorDataset(x, (x[:, 0] > 0).long() if y is None else y)
    dls = DataLoaders(*(DataLoader(Subset(ds, s), bs=4, shuffle=not i, device="cpu") for i, s in enumerate(splits)))
    return quiet(Learner(dls, nn.Linear(3, n_out), CrossEntropyLossFlat(), metrics=accuracy))


def no_fit(learn):
    pass


# -- splits -------------------------------------------------------------------------------------------------------------------------
def test_splits_are_sklearns():
    want = [(a.tolist(), b.tolist()) for a, b in KFold(5, shuffle=True, random_state=7).split(range(N))]
    assert kfold_splits(ITEMS, 5, seed=7) == want
    y = [0, 1] * (N // 2)
    want = [(a.tolist(), b.tolist()) for a, b in StratifiedKFold(5, shuffle=True, random_state=7).split(range(N), y)]
    assert kfold_splits(ITEMS, 5, stratify=y, seed=7) == want
    groups = [i // 2 for i in range(N)]
    want = [(a.tolist(), b.tolist()) for a, b in GroupKFold(5, shuffle=True, random_state=7).split(range(N), groups=groups)]
    assert kfold_splits(ITEMS, 5, groups=groups, seed=7) == want


@pytest.mark.parametrize("stratify", [None, "y"])
def test_groups_are_never_on_both_sides(stratify):
    df = pd.DataFrame({"patient": [i // 3 for i in range(60)], "y": [(i // 3) % 2 for i in range(60)]})
    for train, valid in kfold_splits(df, 4, groups="patient", stratify=stratify):
        assert not set(df.patient[train]) & set(df.patient[valid])
        assert sorted([*train, *valid]) == list(range(60))


def test_frames_of_polars():
    pl = pytest.importorskip("polars")
    df = pd.DataFrame({"patient": [i // 3 for i in range(60)], "y": [(i // 3) % 2 for i in range(60)]})
    want = kfold_splits(df, 4, groups="patient", stratify="y")
    frame = pl.from_pandas(df)
    for groups, stratify in (("patient", "y"), (frame["patient"], frame["y"]), (lambda row: row["patient"], "y")):
        assert kfold_splits(frame, 4, groups=groups, stratify=stratify) == want


def test_seed_none_draws_and_a_seed_leaves_the_global_streams():
    torch.manual_seed(0)
    state, np_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    kfold_splits(ITEMS, 5, seed=3)
    assert torch.equal(state, torch.get_rng_state()) and (np.random.get_state()[1] == np_state).all()
    assert kfold_splits(ITEMS, 5, seed=None) != kfold_splits(ITEMS, 5, seed=None)


def test_split_errors():
    for k in (1, N + 1, 2.5, True):
        with pytest.raises(ValueError, match="how many folds, a whole number from 2 to 20"):
            kfold_splits(ITEMS, k)
    with pytest.raises(ValueError, match="only 2 groups"):
        kfold_splits(ITEMS, 5, groups=[0, 1] * 10)
    with pytest.raises(ValueError, match="1 label have fewer items than there are parts .first: 'rare', 2 items"):
        kfold_splits(ITEMS, 5, stratify=["rare"] * 2 + ["a"] * 18)
    with pytest.raises(ValueError, match="pd.qcut"):
        kfold_splits(ITEMS, 5, stratify=[i / 7 for i in range(N)])
    with pytest.raises(TypeError, match="every item needs one label"):
        kfold_splits(ITEMS, 5, stratify=[["a"]] * N)


# -- out-of-fold predictions --------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("splitter", [None, "index"])
def test_predictions_are_in_the_order_of_the_items(splitter):
    made = []

    def learner_fn(splits):
        made.append(splits)
        return block_learner(splits, splitter=IndexSplitter(splits[1]) if splitter else None)

    result = kfold(learner_fn, ITEMS, 4, fit=no_fit, keep="nothing")
    assert len(made) == 4 and sorted(i for s in made for i in s[1]) == list(range(N))
    assert result.preds.flatten().tolist() == list(range(N)) and result.targs.flatten().tolist() == list(range(N))
    assert result.positions == list(range(N))
    assert list(result.table.columns) == ["valid_loss", "mae"]
    assert list(result.table.index) == ["0", "1", "2", "3", "mean", "std"]


def test_predictions_follow_a_validation_set_in_another_order():
    result = kfold(lambda s: block_learner(s, splitter=FixedSplitter((s[0], s[1][::-1]))), ITEMS, 4, fit=no_fit)
    assert result.preds.flatten().tolist() == list(range(N))


def test_table_and_histories():
    result = kfold(tensor_learner, range(N), 4, fit=lambda learn: learn.fit(2, 0.1))
    values = [learn.validate() for learn in result.learners]
    assert result.table.iloc[:4].to_numpy() == pytest.approx(np.array(values))
    assert result.table.loc["mean"].tolist() == pytest.approx(np.mean(values, 0).tolist())
    assert result.table.loc["std"].tolist() == pytest.approx(np.std(values, 0, ddof=1).tolist())
    assert [len(h) for h in result.histories] == [2] * 4 and "valid_loss" in result.histories[0]
    assert "KFoldResult of 4 folds" in repr(result) and "std" in repr(result)
    assert torch.allclose(result.preds.sum(1), torch.ones(N))
    learn, (_, valid) = result.learner(1), result.splits[1]
    assert torch.equal(result.preds[valid], learn.get_preds()[0])


def test_frames_and_tables():
    from minifast.tabular.frames import TabularPandas
    from minifast.tabular.procs import Normalize
    df = pd.DataFrame({"a": np.arange(N, dtype=float), "y": np.arange(N) * 2.0}, index=[f"r{i}" for i in range(N)])

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, cat, cont):
            return cont[:, :1] * self.w

    def learner_fn(splits, wanted=None):
        to = TabularPandas(df, [Normalize], [], ["a"], "y", splits=wanted or splits)
        return quiet(Learner(to.dataloaders(bs=4), Model(), MSELossFlat()))

    result = kfold(learner_fn, df, 4, fit=no_fit)
    assert result.targs.flatten().tolist() == df.y.tolist()
    with pytest.raises(ValueError, match="are not those that learner_fn was given"):
        kfold(lambda s: learner_fn(s, RandomSplitter(0.25)), df, 4, fit=no_fit)

    def rows(splits):
        db = DataBlock((RegressionBlock, RegressionBlock), get_x=lambda r: r["y"], get_y=lambda r: r["y"], splitter=FixedSplitter(splits))
        return quiet(Learner(db.dataloaders(df, bs=4, device="cpu", num_workers=0), Scale()))

    assert kfold(rows, df, 4, fit=no_fit).preds.tolist() == df.y.tolist()


def test_two_outputs_and_targets_stay_tuples():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return x * self.w, 2 * x

    def learner_fn(splits):
        ds = TensorDataset(torch.arange(float(N)), torch.arange(float(N)), 3 * torch.arange(float(N)))
        dls = DataLoaders(*(DataLoader(Subset(ds, s), bs=4, n_inp=1, device="cpu") for s in splits))
        return quiet(Learner(dls, Two(), lambda p, a, b: (p[0] - a).abs().mean() + (p[1] - b).abs().mean()))

    result = kfold(learner_fn, range(N), 4, fit=no_fit)
    assert result.preds[1].tolist() == [2.0 * i for i in range(N)] and result.targs[1].tolist() == [3.0 * i for i in range(N)]


# -- what is refused ----------------------------------------------------------------------------------------------------------------
def test_other_validation_items():
    with pytest.raises(ValueError, match=r"fold 0 of 4: . items? of the validation set of the learner are not those"):
        kfold(lambda s: block_learner(s, splitter=RandomSplitter(0.25, seed=9)), ITEMS, 4, fit=no_fit)
    with pytest.raises(ValueError, match="5 positions for validation, but the validation set of its learner has 2 items"):
        kfold(lambda s: block_learner(s, splitter=RandomSplitter(0.1)), ITEMS, 4, fit=no_fit)


def test_validation_items_in_training():
    def leaky(splits):
        items = [ITEMS[i] for i in splits[1]]
        db = DataBlock((RegressionBlock, RegressionBlock), get_x=number, get_y=number)
        dls = DataLoaders(*(DataLoader(db.datasets(ITEMS).test_set(o, True), bs=4, device="cpu") for o in (ITEMS, items)))
        return quiet(Learner(dls, Scale(), MSELossFlat()))

    with pytest.raises(ValueError, match="5 items of the training set of the learner are for validation"):
        kfold(leaky, ITEMS, 4, fit=no_fit)

    def leaky_tensors(splits):
        ds = TensorDataset(torch.zeros(N, 3), torch.zeros(N).long())
        return quiet(Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(TensorDataset(*ds[list(splits[1])]), bs=4)), nn.Linear(3, 2),
                             CrossEntropyLossFlat()))

    with pytest.raises(ValueError, match="the training set of its learner has 20 items: some of them may be those of validation"):
        kfold(leaky_tensors, ITEMS, 4, fit=no_fit)


def test_fit_that_swaps_the_data():
    def fit(learn):
        learn.dls = block_learner(None, splitter=RandomSplitter(0.25, seed=9)).dls

    with pytest.raises(ValueError, match="are not those that learner_fn was given"):
        kfold(block_learner, ITEMS, 4, fit=fit)


def test_a_model_that_was_trained_before():
    model = Scale()
    with pytest.raises(ValueError, match=r"fold 1 of 4: the model has parameters that an earlier learner has trained already \(w\)"):
        kfold(lambda s: block_learner(s, model=model), ITEMS, 4, fit=no_fit)
    body = nn.Linear(3, 3).requires_grad_(False)

    def frozen_body(splits):
        learn = tensor_learner(splits)
        learn.model = nn.Sequential(body, nn.Linear(3, 2))
        return learn

    assert len(kfold(frozen_body, range(N), 4, fit=no_fit)) == 4             # sharing what is not trained is fine


def test_other_classes_in_a_fold():
    labels = ["a", "b"] * 9 + ["c", "c"]

    def learner_fn(splits):
        vocab = None if 18 in splits[0] and 19 in splits[0] else ["a", "b", "c", "d"]
        db = DataBlock((TransformBlock, CategoryBlock(vocab=vocab)), get_x=lambda i: torch.zeros(3), get_y=lambda i: labels[i],
                       splitter=FixedSplitter(splits))
        dls = db.dataloaders(list(range(N)), bs=4, device="cpu", num_workers=0)
        return quiet(Learner(dls, nn.Linear(3, 4), CrossEntropyLossFlat()))

    with pytest.raises(ValueError, match="has the classes .* so that their predictions do not go together"):
        kfold(learner_fn, list(range(N)), 4, fit=no_fit)


@pytest.mark.slow
def test_wrong_calls():
    with pytest.raises(TypeError, match="must return a Learner; fold 0 of 4 it returned NoneType"):
        kfold(lambda s: None, ITEMS, 4, fit=no_fit)
    with pytest.raises(TypeError, match="learner_fn takes `splits`"):
        kfold(3, ITEMS, 4, fit=no_fit)
    with pytest.raises(TypeError, match="fit is a function that trains the learner"):
        kfold(block_learner, ITEMS, 4, fit=3)
    with pytest.raises(ValueError, match="keep='all': keep is one of"):
        kfold(block_learner, ITEMS, 4, fit=no_fit, keep="all")
    with pytest.raises(ValueError, match="needs a folder"):
        kfold(block_learner, ITEMS, 4, fit=no_fit, keep="files")
    result = kfold(block_learner, ITEMS, 4, fit=no_fit, keep="nothing")
    with pytest.raises(ValueError, match="the learner of fold 2 was not kept"):
        result.learner(2)
    with pytest.raises(TypeError, match="needs items=.*or a loader dl="):
        result.predict()
    with pytest.raises(ValueError, match="returned a learner with 1 loader"):
        kfold(lambda s: block_learner(s, splitter=FixedSplitter(s[:1])), ITEMS, 4, fit=no_fit)


def test_errors_say_which_fold():
    def fit(learn):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck") as e:
        kfold(block_learner, ITEMS, 4, fit=fit)
    assert "in fit, fold 0 of 4" in "".join([*getattr(e.value, "__notes__", []), str(e.value)])


# -- averages of the folds, and going on --------------------------------------------------------------------------------------------
def test_predict_averages_the_learners():
    result = kfold(block_learner, ITEMS, 4, fit=lambda learn: learn.fit(1, 1e-3))
    weights = [float(learn.model.w.detach()) for learn in result.learners]
    assert len(set(weights)) == 4
    assert result.predict(["item03", "item07"]).flatten().tolist() == pytest.approx([3 * np.mean(weights), 7 * np.mean(weights)], rel=1e-4)
    dl = result.learner(0).dls.test_dl(["item05"])
    assert result.predict(dl=dl, weights=[1, 0, 0, 0]).item() == pytest.approx(5 * weights[0], rel=1e-5)


@pytest.mark.slow
def test_a_failed_run_goes_on(tmp_path):
    trained = []

    def fit(learn, fail_at=None):
        if len(trained) == fail_at:
            raise KeyboardInterrupt
        trained.append(1)
        learn.fit(1, 0.1)

    whole = kfold(tensor_learner, range(N), 4, fit=fit, path=tmp_path / "whole", keep="files")
    trained.clear()
    with pytest.raises(KeyboardInterrupt):
        kfold(tensor_learner, range(N), 4, fit=lambda learn: fit(learn, 2), path=tmp_path / "parts")
    assert len(trained) == 2
    torch.manual_seed(5)                                              # whatever the global streams are
    again = kfold(tensor_learner, range(N), 4, fit=fit, path=tmp_path / "parts")
    assert len(trained) == 4
    assert torch.equal(again.preds, whole.preds) and torch.equal(again.targs, whole.targs)
    assert again.table.equals(whole.table)
    assert again.histories[0].drop(columns="time").equals(whole.histories[0].drop(columns="time"))
    learn = again.learner(0)                                          # was trained by the run that failed
    assert torch.equal(learn.get_preds()[0], again.preds[again.splits[0][1]])
    x = TensorDataset(torch.randn(3, 3), torch.zeros(3).long())
    assert torch.allclose(again.predict(dl=DataLoader(x, device="cpu")), whole.predict(dl=DataLoader(x, device="cpu")))
    assert not [f for f in (tmp_path / "parts").iterdir() if f.suffix not in (".safetensors", ".json")]


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(tmp_path):
    kfold(tensor_learner, range(N), 4, fit=no_fit, path=tmp_path, keep="nothing")
    for changed in ({"k": 5}, {"seed": 1}, {"stratify": [0, 1] * 10}):
        with pytest.raises(ValueError, match="holds the parts of another run"):
            kfold(tensor_learner, range(N), **{"k": 4, **changed}, fit=no_fit, path=tmp_path, keep="nothing")
    with pytest.raises(ValueError, match="items is"):
        kfold(tensor_learner, range(1, N + 1), 4, fit=no_fit, path=tmp_path, keep="nothing")
    with pytest.raises(ValueError, match="needs a seed"):
        kfold(tensor_learner, range(N), 4, fit=no_fit, path=tmp_path / "b", seed=None)


@pytest.mark.slow
def test_global_streams_are_left_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    kfold(tensor_learner, range(N), 3, fit=lambda learn: learn.fit(1), keep="nothing")
    assert torch.equal(state, torch.get_rng_state())


def test_item_keys():
    ds = TensorDataset(torch.zeros(6))
    assert item_keys(Subset(Subset(ds, [5, 3, 1]), [2, 0]), range(6)) == ([1, 5], [0, 1, 2, 3, 4, 5])
    assert item_keys(ds, range(6)) is None
    assert item_keys(Subset(ds, [0]), range(7)) is None


# -- training on everything ---------------------------------------------------------------------------------------------------------
def fake(bests, column="valid_loss", lower=True, fits=None):
    class Part:
        def __init__(self, best):
            self.directions = {"valid_loss": True, "accuracy": False, "odd": None}
            good, bad = (0.1, 1.0) if lower else (1.0, 0.1)
            self.history = [{"fit": 0, "epoch": 0, column: good if fits else bad}] if fits else []
            self.history += [{"fit": 1 if fits else 0, "epoch": e, column: good if e == best else bad} for e in range(6)]

    class Result:
        parts = [Part(b) for b in bests]
    return Result()


def test_best_epochs():
    assert best_epochs(fake([1, 2, 4])) == 3
    assert best_epochs(fake([1, 2])) == 3                                   # 2 and 3: half way, rounded up
    assert best_epochs(fake([1, 2, 4], "accuracy", lower=False), "accuracy") == 3
    assert best_epochs(fake([3, 3, 3], fits=True)) == 4                      # the frozen epoch of fine_tune does not count
    assert best_epochs(fake([2], "odd", lower=False), "odd", comp=np.greater) == 3
    with pytest.raises(ValueError, match="does not say whether lower or higher"):
        best_epochs(fake([2], "odd"), "odd")
    with pytest.raises(ValueError, match="no such column; did you mean 'valid_loss'"):
        best_epochs(fake([2]), "valid_los")
    nan = fake([2])
    nan.parts[0].history = [{"fit": 0, "epoch": 0, "valid_loss": math.nan}]
    with pytest.raises(ValueError, match="fold 0 has no epoch with a value"):
        best_epochs(nan)


def test_train_on_all_uses_every_item():
    result = kfold(block_learner, ITEMS, 4, fit=lambda learn: learn.fit(3, 1e-4))
    n = best_epochs(result)
    assert 1 <= n <= 3
    learn = train_on_all(block_learner, ITEMS, n, fit=lambda learn, n: learn.fit(n, 1e-4))
    assert len(learn.dls) == 1 and len(learn.dls.train_ds) == N and len(learn.recorder.values) == n
    assert len(train_on_all(lambda s: tensor_learner(s), range(N), 2).recorder.values) == 2


def test_train_on_all_errors():
    with pytest.raises(IndexError) as e:
        train_on_all(lambda s: block_learner(s, splitter=IndexSplitter(s[1])), ITEMS, 1)
    assert "splitter=FixedSplitter(splits)" in "".join([*getattr(e.value, "__notes__", []), str(e.value)])
    with pytest.raises(ValueError, match="received 1 list of positions and returned a learner with 2 loaders"):
        train_on_all(lambda s: block_learner(s, splitter=RandomSplitter()), ITEMS, 1)
    with pytest.raises(ValueError, match="the training set has 10 items and is to hold all 20"):
        train_on_all(lambda s: block_learner((s[0][:10],)), ITEMS, 1)
    with pytest.raises(ValueError, match="how many epochs, a whole number from 1"):
        train_on_all(block_learner, ITEMS, 0)


def test_works_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = kfold(tensor_learner, range(N), 3, fit=lambda learn: learn.fit(1), groups=[i // 2 for i in range(N)])
    assert result.positions == list(range(N)) and len(result.preds) == N
