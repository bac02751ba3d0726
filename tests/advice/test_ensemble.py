"What the messages of `minifast.ensemble` say to write."
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from suggestions import told
from torch import nn
from torch.utils.data import Subset, TensorDataset
from workshop import quiet

from minifast.basics import *
from minifast.data.splitters_groups import FixedSplitter
from minifast.ensemble.averaging import Ensemble, average_preds, combine_preds
from minifast.ensemble.bagging import bagging
from minifast.ensemble.kfold import best_epochs, kfold, kfold_splits, train_on_all
from minifast.ensemble.search import choice, loguniform, randint, random_search, uniform
from minifast.tabular.all import TabularPandas, tabular_learner

N = 20
X = torch.linspace(-1, 1, N * 3).view(N, 3)
DATA = TensorDataset(X, (torch.arange(N) % 2))
ITEMS = [f"item{i:02d}" for i in range(N)]
FRAME = pd.DataFrame({"a": np.linspace(0, 1, N), "y": np.linspace(1, 2, N)})


def loaders(train, valid, data=DATA):
    return DataLoaders(*(DataLoader(Subset(data, s), bs=4, shuffle=not i, device="cpu") for i, s in enumerate((train, valid))))


def by_subset(splits, **kwargs):
    "A learner of numbers, of the Subset of each split."
    dls = DataLoaders(*(DataLoader(Subset(DATA, splits[i]), bs=4, device="cpu") for i in range(len(splits))))
    return quiet(Learner(dls, nn.Linear(3, 2), CrossEntropyLossFlat(), metrics=accuracy, **kwargs))


def by_block(splits, splitter=None, vocab=None, items=ITEMS):
    "A learner of a DataBlock."
    db = DataBlock((RegressionBlock, CategoryBlock(vocab=vocab)), get_x=lambda o: float(o[4:]), get_y=lambda o: int(o[4:]) % 2,
                   splitter=splitter or FixedSplitter(splits))
    return quiet(Learner(db.dataloaders(items, bs=4, device="cpu", num_workers=0), Lift(), CrossEntropyLossFlat()))


class Lift(nn.Module):
    "Two outputs from one number per item."

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(1, 2)

    def forward(self, x):
        return self.lin(x[:, None])


def by_table(splits, given=True):
    to = TabularPandas(FRAME, cont_names=["a"], y_names="y", splits=splits if given else None)
    return quiet(tabular_learner(to.dataloaders(bs=4, device="cpu"), layers=[4]))


def no_fit(learn, *args):
    pass


@pytest.mark.parametrize("wrong, right, items", [
    (lambda splits: by_block(splits, RandomSplitter(0.5, seed=1)), lambda splits: by_block(splits, splitter=FixedSplitter(splits)), ITEMS),
    (lambda splits: by_table(splits, given=False), by_table, FRAME),
    (lambda splits: by_subset([range(N), range(2)]), by_subset, ITEMS),
])
def test_other_splits_than_those_given(wrong, right, items):
    with told("ensemble/arguments.py", "Write splitter=FixedSplitter(splits) in the DataBlock, TabularPandas(..., splits=splits), or "
                                       "Subset(ds, splits[i])"):
        kfold(wrong, items, k=4, fit=no_fit)
    assert len(kfold(right, items, k=4, fit=no_fit)) == 4           # FixedSplitter(splits), TabularPandas(splits=), Subset(ds, splits[i])


def test_other_validation_items_and_leaks():
    with told("ensemble/arguments.py", "of the validation set of the learner are not those that learner_fn was given (splits[1])"):
        kfold(lambda splits: by_subset((splits[0], splits[0][:len(splits[1])])), ITEMS, k=4, fit=no_fit)
    with told("ensemble/arguments.py", "of the training set of the learner are for validation (splits[1])"):
        kfold(lambda splits: by_subset((splits[1] + splits[0], splits[1])), ITEMS, k=4, fit=no_fit)
    assert len(kfold(lambda splits: by_subset((splits[0], splits[1])), ITEMS, k=4, fit=no_fit)) == 4


def test_averages_of_what_is_no_probability():
    preds = [torch.tensor([[0.5, -1.0]]), torch.tensor([[0.25, 2.0]])]
    with told("ensemble/averaging.py", "use how='mean'"):
        combine_preds(preds, how="geometric", kind="regression")
    assert combine_preds(preds, how="mean").shape == (1, 2)


def test_a_learner_listed_twice(tmp_path):
    learn = by_subset((range(10), range(10, N)), path=tmp_path)
    files = [learn.save(name) for name in ("a", "b")]
    with told("ensemble/averaging.py", "`learn.load(file)` returns the learner itself: load each file into a learner of its own"):
        average_preds([learn.load(file) for file in files])
    assert len(average_preds([by_subset((range(10), range(10, N))).load(file) for file in files])[0]) == 10


def test_what_an_average_predicts():
    learn = by_block((range(10), range(10, N)))
    dl = learn.dls.test_dl(ITEMS[:4])
    with told("ensemble/averaging.py", "both say what to predict: give one of them"):
        average_preds([learn], dl=dl, items=ITEMS[:4])
    assert len(average_preds([learn], dl=dl)[0]) == len(average_preds([learn], items=ITEMS[:4])[0]) == 4


def test_averages_of_other_items():
    learners = [by_block((range(10), range(10, N))), by_block((range(10, N), range(10)))]
    with told("ensemble/averaging.py", "Give the items, items=..., or one loader for all, dl=..."):
        average_preds(learners)
    assert len(average_preds(learners, items=ITEMS)[0]) == len(average_preds(learners, dl=learners[0].dls.valid)[0]) * 2


def test_averages_of_other_classes():
    learners = [by_block((range(10), range(10, N)), vocab=v) for v in ([0, 1], [1, 0])]
    with told("ensemble/averaging.py", "Give the same classes in the same order when the data are made, CategoryBlock(vocab=[...])"):
        average_preds(learners)
    learners[1] = by_block((range(10), range(10, N)), vocab=[0, 1])         # CategoryBlock(vocab=[0, 1])
    assert len(average_preds(learners)[0]) == 10


def test_ranks():
    learners = [by_subset((range(10), range(10, N)))]
    with told("ensemble/averaging.py", "use 'mean' or 'geometric'"):
        Ensemble(learners, how="rank").get_preds(with_decoded=True)
    for how in ("mean", "geometric"):
        assert len(Ensemble(learners, how=how).get_preds(with_decoded=True)) == 3
    with told("ensemble/averaging.py", "use get_preds() and a metric of the order alone, such as sklearn's roc_auc_score"):
        Ensemble(learners, how="rank").validate()
    preds, targs = Ensemble(learners, how="rank").get_preds()
    assert 0 <= roc_auc_score(targs, preds[:, 1]) <= 1


def test_an_ensemble_without_targets():
    ensemble = Ensemble([by_block((range(10), range(10, N)))])
    dls = ensemble.learners[0].dls
    with told("ensemble/averaging.py", "make it with test_dl(items, with_labels=True)"):
        ensemble.validate(dl=dls.test_dl(ITEMS))
    assert len(ensemble.validate(dl=dls.test_dl(ITEMS, with_labels=True))) == 1


def test_groups_of_one():
    with told("ensemble/bagging.py", "are of one group, so none would be out of the bag"):
        bagging(by_subset, ITEMS, 2, fit=no_fit, groups=["a"] * N)
    assert len(bagging(by_subset, ITEMS, 2, fit=no_fit, groups=["a", "b"] * (N // 2))) == 2      # groups= of several


def test_labels_to_stratify_by():
    with told("ensemble/kfold.py", "for several labels per item give the one that matters, or the rarest, stratify=lambda item: ..."):
        kfold_splits(ITEMS, 4, stratify=[["a", "b"]] * N)
    assert len(kfold_splits(ITEMS, 4, stratify=lambda item: int(item[-1]) % 2)) == 4
    values = np.linspace(0, 1, N)
    with told("ensemble/kfold.py", "Make bins of them, stratify=pd.qcut(values, 10, labels=False)"):
        kfold_splits(ITEMS, 2, stratify=values)
    assert len(kfold_splits(ITEMS, 2, stratify=pd.qcut(values, 10, labels=False))) == 2
    labels = ["rare", "rare"] + ["a", "b"] * (N // 2 - 1)
    with told("ensemble/kfold.py", "Use a smaller k, or merge rare labels"):
        kfold_splits(ITEMS, 4, stratify=labels)
    assert len(kfold_splits(ITEMS, k=2, stratify=labels)) == 2
    assert len(kfold_splits(ITEMS, 4, stratify=["a" if o == "rare" else o for o in labels])) == 4


def test_groups_too_large(monkeypatch):
    import sklearn.model_selection as sk

    class Lopsided(sk.GroupKFold):
        def split(self, X, y=None, groups=None):
            yield from ([*super().split(X, y, groups)] if self.n_splits == 2 else [(np.arange(N), np.arange(0))] * self.n_splits)

    monkeypatch.setattr(sk, "GroupKFold", Lopsided)
    groups = ["a", "b", "c", "d"] * (N // 4)
    with told("ensemble/kfold.py", "because the groups are of very different sizes: use a smaller k"):
        kfold_splits(ITEMS, k=4, groups=groups)
    assert len(kfold_splits(ITEMS, k=2, groups=groups)) == 2


def unsure(preds, targs):
    return preds.mean()


def test_which_way_a_metric_is_better():
    result = kfold(lambda splits: by_block(splits), ITEMS, k=2, fit=lambda learn: learn.fit(1))
    for part in result.parts:
        part.directions["mystery"] = None
        part.history[-1]["mystery"] = 0.5
    for comp in (np.less, np.greater):
        with told("ensemble/kfold.py", "write comp=np.less or comp=np.greater"):
            best_epochs(result, monitor="mystery")
        assert best_epochs(result, monitor="mystery", comp=comp) == 1


@pytest.mark.parametrize("right, items", [(lambda splits: by_block(splits, splitter=FixedSplitter(splits)), ITEMS), (by_table, FRAME)])
def test_training_on_all_with_a_split(right, items):
    with told("ensemble/kfold.py", "write splitter=FixedSplitter(splits), or TabularPandas(..., splits=splits)"):
        train_on_all(lambda splits: by_subset((splits[0], splits[1])), items, 1)
    assert isinstance(train_on_all(right, items, 1, fit=no_fit), Learner)       # FixedSplitter(splits), TabularPandas(splits=splits)


def test_arguments_of_a_run(tmp_path):
    with told("ensemble/runner.py", "such as fit=lambda learn: learn.fit_one_cycle(5)"):
        kfold(by_subset, ITEMS, k=2, fit=5)
    assert len(kfold(by_subset, ITEMS, k=2, fit=lambda learn: learn.fit_one_cycle(1))) == 2
    with told("ensemble/runner.py", "needs a folder for the weights: path=..."):
        kfold(by_subset, ITEMS, k=2, fit=no_fit, keep="files")
    kept = kfold(by_subset, ITEMS, k=2, fit=no_fit, keep="files", path=tmp_path / "a")
    with told("ensemble/runner.py", "which needs a seed: seed=None makes other parts each time"):
        kfold(by_subset, ITEMS, k=2, fit=no_fit, path=tmp_path / "b", seed=None)
    assert len(kfold(by_subset, ITEMS, k=2, fit=no_fit, path=tmp_path / "b", seed=3)) == 2
    with told("ensemble/runner.py", "call with keep='models', or with path=... and keep='files'"):
        kfold(by_subset, ITEMS, k=2, fit=no_fit, keep="nothing").learner(0)
    assert isinstance(kfold(by_subset, ITEMS, k=2, fit=no_fit, keep="models").learner(0), Learner)
    assert isinstance(kept.learner(0), Learner)


def test_parts_with_other_classes():
    items = ["item01", *(f"item{2 * i:02d}" for i in range(19))]       # one item of class 1
    learner_fn = partial(by_block, items=items)

    def own_classes(splits):
        return by_block(splits, vocab=[0, 1] if 0 in splits[0] else [1, 0], items=items)

    with told("ensemble/runner.py", "Give all classes, CategoryBlock(vocab=[...]), or stratify by the labels"):
        kfold(own_classes, items, k=2, fit=no_fit)
    assert len(kfold(partial(learner_fn, vocab=[0, 1]), items, k=2, fit=no_fit)) == 2           # CategoryBlock(vocab=[0, 1])
    assert len(kfold(by_block, ITEMS, k=2, fit=no_fit, stratify=lambda o: int(o[4:]) % 2)) == 2


def search(fit=lambda learn, params: learn.fit(1, params.get("lr", 0.1)), learner_fn=None, space=None, **kwargs):
    return random_search(learner_fn or (lambda params: by_subset((range(10), range(10, N)))), space or {"lr": loguniform(1e-3, 1e-1)},
                         kwargs.pop("n", 1), fit=fit, **({"csv": None} | kwargs))


def test_what_to_search_in():
    with told("ensemble/search.py", "takes whole numbers: for others write uniform(…, …)"):
        randint(0.5, 1.5)
    space = {"lr": loguniform(1e-3, 1e-1), "p": uniform(0.5, 1.5), "n": randint(1, 3), "how": choice(["a", "b"])}
    with told("ensemble/search.py", "each is a name with loguniform, uniform, randint or choice([...]). What is the same in all trials"):
        search(space={"lr": 0.1})
    assert search(space=space).best.params.keys() == space.keys()
    with told("ensemble/search.py", "learner_fn(params) must return a Learner"):
        search(learner_fn=lambda params: None)
    with told("ensemble/search.py", "fit(learn, params) trained no epoch"):
        search(fit=no_fit)
        raise RuntimeError(search(fit=no_fit).frame()["error"][0])
    result = search(fit=lambda learn, params: learn.fit(1), learner_fn=lambda params: by_subset((range(10), range(10, N))))
    assert not result.frame()["error"][0]


def test_a_search_that_failed(tmp_path):
    broken = True

    def fit(learn, params):
        if broken:
            raise RuntimeError("broken")
        learn.fit(1)

    with told("ensemble/search.py", "fix this, then call it again with retry_failed=True"):
        search(fit, n=20, csv=tmp_path / "a.csv")
    broken = False
    assert len(search(fit, n=3, csv=tmp_path / "a.csv", retry_failed=True).trials) >= 3
    with told("ensemble/search.py", "Make the call as it was then, or give another file, csv=..."):
        search(fit, n=3, csv=tmp_path / "a.csv", seed=7)
    assert search(fit, n=3, csv=tmp_path / "a.csv").trials and search(fit, n=1, csv=tmp_path / "b.csv", seed=7).trials


def test_a_file_that_does_not_say_which_way(tmp_path):
    search(csv=tmp_path / "a.csv", monitor="accuracy")
    frame = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    frame.assign(goal="").to_csv(tmp_path / "a.csv", index=False)
    for comp in (np.less, np.greater):
        with told("ensemble/search.py", "write comp=np.less or comp=np.greater"):
            search(csv=tmp_path / "a.csv", monitor="accuracy")
        assert search(csv=tmp_path / "a.csv", monitor="accuracy", comp=comp).trials
        frame.assign(goal="").to_csv(tmp_path / "a.csv", index=False)
