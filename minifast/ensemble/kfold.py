"""k-fold cross-validation: k learners, each validated on another part of the items, so that every item is predicted by one that has not
seen it; and, with what that taught, training on everything."""
import inspect
import math
import statistics

import torch

from ..callbacks.trackers_base import lower_wins
from ..core.messages import add_note, did_you_mean, plural
from ..core.seeds import draw_seed
from ..data.splitters_groups import check_groups, values_of
from .arguments import valid_positions
from .runner import Parts, at, build, fitted, gathered, run_parts, seeded


def kfold_splits(items, k=5, groups=None, stratify=None, seed=42):
    """k pairs (training positions, validation positions) over `items`, by scikit-learn, shuffled.

    groups, stratify: one value per item, the name of a column of a DataFrame, or a function of an item. Items of one group are never on
    both sides; with stratify every part has about the same share of each label. seed: None: others each time.
    """
    from sklearn import model_selection as sk
    n = len(items)
    if isinstance(k, bool) or not isinstance(k, int) or not 2 <= k <= n:
        raise ValueError(f"kfold(k={k!r}): k is a whole number from 2 to the number of items, {n:,}")
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


def _check_labels(labels, k):
    if any(isinstance(o, (list, tuple, set)) or getattr(o, "ndim", 0) for o in labels):
        raise TypeError("kfold(stratify): every item needs one label; for several labels per item give the one that matters, or the "
                        "rarest, stratify=lambda item: ...")
    counts = {}
    for o in labels:
        counts[o] = counts.get(o, 0) + 1
    if isinstance(labels[0], float) and len(counts) > len(labels) / 2:
        raise ValueError(f"kfold(stratify): {len(counts):,} different numbers for {plural(len(labels), 'item')} are no classes. Make bins "
                         "of them, stratify=pd.qcut(values, 10, labels=False)")
    rare = {o: c for o, c in counts.items() if c < k}
    if rare:
        name = next(iter(rare))
        raise ValueError(f"kfold(k={k}, stratify): {plural(len(rare), 'label')} have fewer items than there are parts (first: {name!r}, "
                         f"{plural(rare[name], 'item')}), so that some learner would never see it, or never be asked about it. Use a "
                         "smaller k, or merge rare labels")


class KFoldResult(Parts):
    """What `kfold` returns.

    preds, targs: out-of-fold, in the order of the items. table: `[loss, *metrics]` of each fold, with mean and standard deviation.
    parts, learners, `learner(i)`, histories: of each fold. `predict(items)` averages all learners.
    """

    noun = "fold"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        preds, targs, positions = gathered(self.parts)
        order = positions.argsort()
        self.preds, self.targs, self.positions = at(preds, order), at(targs, order), positions[order].tolist()


def kfold(learner_fn, items, k=5, *, fit, groups=None, stratify=None, seed=42, path=None, keep="models"):
    """k-fold cross-validation of `items` (a list, array or DataFrame): a `KFoldResult`.

    learner_fn: `learner_fn(splits)` returns a new Learner on splits = (training positions, validation positions), used as
    `DataBlock(splitter=FixedSplitter(splits))`, `TabularPandas(..., splits=splits)` or `Subset(ds, splits[0])`. A learner on other items
    is refused, and one whose model was trained before. fit: trains it, `fit=lambda learn: learn.fine_tune(5)`. groups, stratify: see
    `kfold_splits`. seed: of the folds, and of model and training in each (None: other ones each time). path: a folder where what each
    fold left is saved, and from which the same call goes on. keep: 'models' keeps the learners in memory, 'files' their weights in
    `path`, 'nothing' only what they predicted.
    """
    splits = kfold_splits(items, k, groups, stratify, seed)
    parts, store = run_parts(learner_fn, items, splits, fit, "fold", seed, path, keep, {"run": "kfold", "k": k})
    return KFoldResult(parts, splits, learner_fn, items, seed, store)


# -- and then on everything ---------------------------------------------------------------------------------------------------------
def best_epochs(result, monitor="valid_loss", comp=None):
    """For how many epochs to train on all items: the median over the folds of the epoch at which `monitor` was best, from 1.

    Counted within the last fit of each fold, such as the second phase of `fine_tune`. comp: np.less or np.greater, where the metric does
    not say which is better.
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


def train_on_all(learner_fn, items, n_epoch, *, fit=None, seed=42):
    """A learner trained on all of `items` for `n_epoch` epochs (see `best_epochs`), without validation.

    learner_fn: the one of `kfold`, here with splits = (all positions,), one list. fit: `fit(learn, n_epoch)`; None:
    `learn.fit_one_cycle(n_epoch)`. What looks at validation figures, such as early stopping, has nothing to look at here.
    """
    if isinstance(n_epoch, bool) or not isinstance(n_epoch, int) or n_epoch < 1:
        raise ValueError(f"train_on_all(n_epoch={n_epoch!r}): a whole number of epochs, at least 1, such as best_epochs(result)")
    splits, what = (list(range(len(items))),), "training on all items"
    with seeded(seed):
        try:
            learn = build(learner_fn, splits, what)
        except IndexError as e:
            add_note(e, "train_on_all gives learner_fn one list, splits = (all positions,), and there is no splits[1]: write "
                        "splitter=FixedSplitter(splits), or TabularPandas(..., splits=splits)")
            raise
        valid_positions(learn, items, splits, what)
        fitted(learn, (lambda learn, n: learn.fit_one_cycle(n)) if fit is None else fit, what, n_epoch)
    if any(not torch.isfinite(p).all() for p in learn.model.parameters()):
        raise FloatingPointError("training on all items has made weights that are no finite numbers: use a lower learning rate")
    return learn
