"""k-fold cross-validation, in which every item is predicted by a learner that has not seen it; and, with what that taught, training on all
items."""
import inspect
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..callbacks.trackers import lower_wins
from ..core.arguments import check_arguments, is_whole
from ..core.keywords import knows_keywords
from ..core.messages import did_you_mean, noting, plural
from ..core.seeds import draw_seed
from ..core.types import PathLike, Splits
from ..data.splitters import check_splits
from ..data.splitters_groups import check_groups, values_of
from ..learner.learner import Learner
from .arguments import valid_positions
from .runner import Parts, at, build, fitted, gathered, run_parts, seeded


def kfold_splits(items: Any, k: int = 5, groups: Any = None, stratify: Any = None,
                 seed: int | None = 42) -> list[tuple[list[int], list[int]]]:
    """k pairs (training positions, validation positions), by scikit-learn's splitters, shuffled.

    Args:
        items: a list, array or DataFrame.
        k: number of folds.
        groups: one value per item, the name of a column of a DataFrame, or a function of an item; items of one group are never on both
            sides.
        stratify: the same for labels; every fold has about the same share of each.
        seed: of the order; None: another each time.
    """
    from sklearn import model_selection as sk
    n = len(items)
    check_arguments("kfold", k=(k, is_whole(k, 2) and k <= n, f"how many folds, a whole number from 2 to {n:,}"))
    groups = None if groups is None else values_of(items, groups, "kfold(groups)")
    labels = None if stratify is None else values_of(items, stratify, "kfold(stratify)")
    if groups is not None and len(set(groups)) < k:
        raise ValueError(f"kfold(k={k}): there are only {plural(len(set(groups)), 'group')}, and each part needs one at least")
    if labels is not None:
        _check_labels(labels, k)
    cls = {(False, False): sk.KFold, (False, True): sk.StratifiedKFold, (True, False): sk.GroupKFold,
           (True, True): sk.StratifiedGroupKFold}[groups is not None, labels is not None]
    shuffled = "shuffle" in inspect.signature(cls).parameters        # GroupKFold could not before scikit-learn 1.6
    seed = draw_seed() % 2**32 if seed is None else seed
    splitter = cls(k, **({"shuffle": True, "random_state": seed} if shuffled else {}))
    splits = [(train.tolist(), valid.tolist()) for train, valid in splitter.split(range(n), labels, groups)]
    for i, split in enumerate(splits):
        if not split[0] or not split[1]:
            raise ValueError(f"kfold(k={k}): fold {i} has no {'training' if not split[0] else 'validation'} items, because the groups are "
                             "of very different sizes: use a smaller k")
        if groups is not None:
            check_groups(split, groups, f"fold {i} of {k}")
    return splits


def _check_labels(labels: list, k: int) -> None:
    if any(isinstance(o, (list, tuple, set)) or getattr(o, "ndim", 0) for o in labels):
        raise TypeError("kfold(stratify): every item needs one label; for several labels per item give the one that matters, or the "
                        "rarest, stratify=lambda item: ...")
    counts = Counter(labels)
    if isinstance(labels[0], float) and len(counts) > len(labels) / 2:
        raise ValueError(f"kfold(stratify): {len(counts):,} different numbers for {plural(len(labels), 'item')} are no classes. Make bins "
                         "of them, stratify=pd.qcut(values, 10, labels=False)")
    rare = {o: c for o, c in counts.items() if c < k}
    if rare:
        name = next(iter(rare))
        raise ValueError(f"kfold(k={k}, stratify): {plural(len(rare), 'label')} have fewer items than there are parts (first: {name!r}, "
                         f"{plural(rare[name], 'item')}), so that some learner would never see it, or never predict it. Use a "
                         "smaller k, or merge rare labels")


class KFoldResult(Parts):
    """What `kfold` returns.

    Attributes:
        preds, targs: out-of-fold, in the order of the items.
        positions: of the items.
    """

    noun = "fold"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        preds, targs, positions = gathered(self.parts)
        order = positions.argsort()
        self.preds, self.targs, self.positions = at(preds, order), at(targs, order), positions[order].tolist()


@knows_keywords
def kfold(learner_fn: Callable[[tuple], Learner], items: Any, k: int = 5, *, fit: Callable[[Learner], Any], groups: Any = None,
          stratify: Any = None, splits: Iterable[Splits] | None = None, seed: int | None = 42, path: PathLike | None = None,
          keep: str = "models") -> KFoldResult:
    """k-fold cross-validation.

    Args:
        learner_fn: `learner_fn(splits)` returns a new Learner on splits = (training positions, validation positions), used as
            `DataBlock(splitter=FixedSplitter(splits))`, `TabularPandas(..., splits=splits)` or `Subset(ds, splits[0])`. A learner on other
            items is refused, and one whose model was trained before.
        items: a list, array or DataFrame.
        k: number of folds.
        fit: trains a learner, `fit=lambda learn: learn.fine_tune(5)`.
        groups, stratify: see `kfold_splits`.
        splits: instead, the folds, pairs (training positions, validation positions), such as `walk_forward_splits(windows)` of time series
            or `TimeSeriesSplit(5).split(items)` of scikit-learn of items in order; an item is for validation in one of them at most.
        seed: of the folds, and of model and training in each; None: other ones each time.
        path: a folder where the result of each fold is saved, and from which the same call resumes.
        keep: 'models' keeps the learners in memory, 'files' their weights in `path`, 'nothing' only what they predicted.

    Returns:
        Out-of-fold predictions and targets, a table with the metrics of each fold, and the learners.
    """
    folds = kfold_splits(items, k, groups, stratify, seed) if splits is None else _given_folds(items, splits, groups, stratify)
    return run_parts(KFoldResult, learner_fn, items, folds, fit, seed, path, keep, {"run": "kfold", "k": len(folds)})


def _given_folds(items: Any, splits: Iterable[Splits], groups: Any, stratify: Any) -> list[tuple[list[int], list[int]]]:
    if groups is not None or stratify is not None:
        raise TypeError("kfold(splits=...) says which items are in which fold, and so do groups= and stratify=: leave these out")
    folds = []
    for split in splits:
        parts = [[int(i) for i in part] for part in check_splits(split, len(items), "kfold(splits)", items)]
        if len(parts) != 2:
            raise ValueError(f"kfold(splits): fold {len(folds)} has {plural(len(parts), 'part')}, and a fold is a pair, positions for "
                             "training and for validation")
        folds.append((parts[0], parts[1]))
    if not folds:
        raise ValueError("kfold(splits) has no fold")
    counts = Counter(i for _, valid in folds for i in valid)
    twice = [i for i, n in counts.items() if n > 1]
    if twice:
        raise ValueError(f"kfold(splits): {plural(len(twice), 'item')} are for validation in more than one fold, first item {twice[0]}: "
                         "an item has one out-of-fold prediction")
    return folds


# -- and then on everything ---------------------------------------------------------------------------------------------------------
def best_epochs(result: Parts, monitor: str = "valid_loss", comp: Callable[[float, float], bool] | None = None) -> int:
    """For how many epochs to train on all items: the median over the folds of the epoch at which `monitor` was best, from 1.

    Counted within the last fit of each fold, such as the second phase of `fine_tune`.

    Args:
        result: of `kfold`.
        monitor: a column of the epoch table.
        comp: np.less or np.greater, where the metric does not say which is better.
    """
    columns = list(result.parts[0].directions)
    if monitor not in columns:
        raise ValueError(f"best_epochs(monitor={monitor!r}): there is no such column{did_you_mean(monitor, columns) or '.'} There is: "
                         f"{', '.join(columns)}")
    lower = result.parts[0].directions[monitor] if comp is None else lower_wins(comp)
    if lower is None:
        raise ValueError(f"best_epochs(monitor={monitor!r}): this metric does not say whether lower or higher is better: write "
                         "comp=np.less or comp=np.greater")
    best = []
    for i, part in enumerate(result.parts):
        last = max((row["fit"] for row in part.history), default=0)
        rows = [row for row in part.history if row["fit"] == last and row[monitor] is not None and math.isfinite(row[monitor])]
        if not rows:
            raise ValueError(f"best_epochs: fold {i} has no epoch with a value of {monitor!r}")
        best.append(1 + (min if lower else max)(rows, key=lambda row: row[monitor])["epoch"])
    return math.floor(statistics.median(best) + 0.5)


def train_on_all(learner_fn: Callable[[tuple], Learner], items: Any, n_epoch: int, *, fit: Callable[[Learner, int], Any] | None = None,
                 seed: int | None = 42) -> Learner:
    """A learner trained on all items, without validation; callbacks that need validation metrics, such as early stopping, have none.

    Args:
        learner_fn: the one of `kfold`, here with splits = (all positions,), one list.
        items: a list, array or DataFrame.
        n_epoch: number of epochs, see `best_epochs`.
        fit: `fit(learn, n_epoch)`; default: `learn.fit_one_cycle(n_epoch)`.
        seed: of model and training; None: another each time.
    """
    check_arguments("train_on_all", n_epoch=(n_epoch, is_whole(n_epoch), "how many epochs, a whole number from 1"))
    splits, what = (list(range(len(items))),), "training on all items"
    with seeded(seed):
        with noting("train_on_all gives learner_fn one list, splits = (all positions,), and there is no splits[1]: write "
                    "splitter=FixedSplitter(splits), or TabularPandas(..., splits=splits)", IndexError):
            learn = build(learner_fn, splits, what)
        valid_positions(learn, items, splits, what)
        fitted(learn, (lambda learn, n: learn.fit_one_cycle(n)) if fit is None else fit, what, n_epoch)
    if any(not torch.isfinite(p).all() for p in learn.model.parameters()):
        raise FloatingPointError("training on all items made weights that are not finite: use a lower learning rate")
    return learn
