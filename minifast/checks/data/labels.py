"""Checks of labels: how many of each, do duplicates agree, do they mean the same in both splits, do they depend on the inputs."""
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.messages import plural
from ...learner.probe import once
from ..outcomes import Check, graded, issue, passed, require
from .copies import copied_rows
from .image_files import exact_duplicates
from .probe import DataProbe
from .series_copies import groups_of_series
from .series_samples import series_features
from .text_copies import groups_of_texts
from .text_tokens import word_counts

N_TREES, MAX_ROWS = 60, 1500
N_SURE = 2.5        # standard deviations of a rank statistic by chance


# -- duplicates ---------------------------------------------------------------------------------------------------------------------
def conflicting(groups: Iterable[Sequence[int]], labels: Sequence[Hashable]) -> list[Sequence[int]]:
    "The groups of duplicates whose labels differ."
    return [g for g in groups if len({labels[i] for i in g}) > 1]


def conflicting_labels(data: DataProbe) -> Check:
    "Copies whose labels differ. In a table a few of them may be chance."
    labels = data.label_list()
    require(labels is not None, "the targets are not labels")
    groups = exact_duplicates(data.facts) if data.facts else copied_rows(data)
    groups = groups_of_series(data) if groups is None else groups
    groups = groups_of_texts(data) if groups is None else groups
    require(len(labels) == len(data.sides), "not every item has a label")
    bad = conflicting(groups, labels)
    if not bad:
        return passed(copies=sum(len(g) - 1 for g in groups))
    names = data.names()
    named = ", ".join(f"{names[i]} is {data.name_of(labels[i])}" for i in bad[0][:3])
    found, share = f"{plural(len(bad), 'group')} of identical items have different labels: {named}", sum(map(len, bad)) / len(labels)
    return graded(found, data.facts or share > 0.01, data.facts or share > 0.001, fine=found, groups=len(bad),
                  items=[[str(data.paths[i]) if data.paths else names[i] for i in g] for g in bad])


# -- classes ------------------------------------------------------------------------------------------------------------------------
def _class_counts(data, side=0):
    y = data.classes(side)
    require(y is not None or side, "the targets are not classes")
    return Counter([] if y is None else y.tolist())


def classes_in_both_splits(data: DataProbe) -> Check:
    "Classes that only one split has."
    counts, in_valid = _class_counts(data), _class_counts(data, 1)
    n_classes = data.dls.c if isinstance(data.dls.c, int) else max([*counts, *in_valid]) + 1
    untrained = [k for k in range(n_classes) if k not in counts]
    if untrained and len(untrained) < n_classes:
        return issue(f"{plural(len(untrained), 'class')} of {n_classes} without a training item: "
                     + ", ".join(map(data.name_of, untrained[:5])), missing_in_training=len(untrained), classes=n_classes)
    missing = [k for k in counts if k not in in_valid] if in_valid else []
    expected = {k: counts[k] / counts.total() * in_valid.total() for k in missing}
    surely = [k for k in missing if expected[k] >= 5]
    numbers: dict[str, Any] = {"classes": n_classes, "missing_in_validation": len(missing)}
    if surely:
        return issue(f"{data.name_of(surely[0])} has {counts[surely[0]]} training items and none for validation, where "
                     f"{expected[surely[0]]:.0f} would be expected", items=[data.name_of(k) for k in surely], **numbers)
    return graded(f"{plural(len(missing), 'class')} without a validation item: {', '.join(map(data.name_of, missing[:5]))}", tip=missing,
                  **numbers)


def class_balance(data: DataProbe) -> Check:
    "Rare classes, and training items that are all of one class."
    counts = _class_counts(data)
    (most, n_most), (least, n_least) = counts.most_common()[0], counts.most_common()[-1]
    numbers = {"classes": len(counts), "largest": n_most, "smallest": n_least}
    if len(counts) == 1:
        return issue(f"all {n_most} training items are of one class, {data.name_of(most)}: there is nothing to tell apart",
                     "look at the labels: the function that makes them, the column they come from", **numbers)
    rare = [k for k, n in counts.items() if n < 5]
    found = f"{data.name_of(least)!r} has {n_least} training items, {data.name_of(most)!r} {n_most}"
    return graded(f"{found}; {plural(len(rare), 'class')} with fewer than 5" if rare else found, tip=rare or n_most > 20 * n_least,
                  fine=f"{n_least:,} to {n_most:,} items per class", items=[data.name_of(k) for k in rare], rare=len(rare), **numbers)


# -- what a quick model finds -------------------------------------------------------------------------------------------------------
class Forest(NamedTuple):
    "A random forest fitted to some training rows."
    model: Any
    oob: np.ndarray         #: predictions for the rows by trees that did not see them: class probabilities, or numbers
    y: np.ndarray           #: labels of the rows
    classes: bool           #: whether they are class ids


def fit_forest(x: np.ndarray, y: np.ndarray, classes: bool, seed: int = 0) -> Forest:
    "Fit a random forest to rows `x` and labels `y`."
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    kind = RandomForestClassifier if classes else RandomForestRegressor
    model = kind(N_TREES, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1, max_features="sqrt").fit(x, y)
    return Forest(model, np.nan_to_num(model.oob_decision_function_ if classes else model.oob_prediction_), y, classes)


def association(forest: Forest) -> tuple[float, float]:
    """How well predictions for unseen rows order the labels, and by how many standard deviations that is better than chance.

    The first is the AUC of the class that is told apart best, or the rank correlation of numbers.
    """
    from scipy.stats import spearmanr
    model, oob, y, classes = forest
    if classes:
        return auc_of_classes(oob, y, model.classes_)
    r = float(np.nan_to_num(spearmanr(oob, y).statistic))
    return r, r * (len(y) - 1) ** 0.5


def auc_of_classes(scores: np.ndarray, y: np.ndarray, classes: Sequence) -> tuple[float, float]:
    "`association` of scores (rows, classes): the AUC of the class that is told apart best, and how far that is from chance."
    from sklearn.metrics import roc_auc_score
    found = [(0.5, 0.0)]
    for k, label in enumerate(classes):
        n = int((y == label).sum())
        if 2 <= n <= len(y) - 2:
            auc = float(roc_auc_score(y == label, scores[:, k]))
            found.append((auc, (auc - 0.5) / ((len(y) + 1) / (12 * n * (len(y) - n))) ** 0.5))
    return max(found, key=lambda o: o[1])


def swapped_classes(train_guess: np.ndarray, train_y: np.ndarray, valid_guess: np.ndarray, valid_y: np.ndarray) -> list[tuple]:
    "Pairs of classes that a model tells apart in training and takes for each other in validation."
    def share(guess, y, a, b):
        rows = y == a
        return float((guess[rows] == b).mean()) if rows.sum() >= 3 else 0.0

    classes = sorted(set(train_y.tolist()) & set(valid_y.tolist()))
    return [(a, b) for i, a in enumerate(classes) for b in classes[i + 1:]
            if min(share(train_guess, train_y, a, a), share(train_guess, train_y, b, b)) > 0.55
            and min(share(valid_guess, valid_y, a, b), share(valid_guess, valid_y, b, a)) > 0.55]


def _features(data, side):
    found = data.features(side)
    found = series_features(data, side) if found is None else found
    return word_counts(data, side) if found is None else found


@once
def _forest(data: DataProbe) -> Forest | None:
    "The quick model of training; None where there are no features, too few rows, or labels that it cannot take."
    x, y = _features(data, 0), data.labels(0)
    if x is None or y is None or y.ndim != 1 or len(x) != len(y) or len(x) < 60:
        return None
    some = np.random.Generator(np.random.PCG64(0)).permutation(len(x))[:MAX_ROWS]
    classes, chosen = not y.is_floating_point(), y.numpy()[some]
    n_values = len(np.unique(chosen))
    usable = n_values >= 2 and np.isfinite(chosen.astype(float)).all() and not (classes and n_values > 200)
    return fit_forest(x[some], chosen, classes) if usable else None


def label_mapping(data: DataProbe) -> Check:
    "Classes that are swapped between training and validation."
    forest, x, y = _forest(data), _features(data, 1), data.classes(1)
    require(forest is not None and forest.classes and x is not None and y is not None and len(x) == len(y) >= 10,
            "there is nothing that a quick model could compare")
    valid_y, valid_guess = y.numpy()[:2000], forest.model.predict(x[:2000])
    guess = forest.model.classes_[forest.oob.argmax(1)]
    pairs = swapped_classes(guess, forest.y, valid_guess, valid_y)
    return graded(" and ".join(map(data.name_of, next(iter(pairs), ())))
                  + " are swapped: what a quick model learns as one is labelled the other in validation", pairs, pairs=len(pairs),
                  right_in_training=float((guess == forest.y).mean()), right_in_validation=float((valid_guess == valid_y).mean()))


def labels_related_to_inputs(data: DataProbe) -> Check:
    "Labels about which a quick model finds nothing in the inputs."
    forest = _forest(data)
    require(forest is not None, "there are no inputs that a quick model could take, or fewer than 60 items")
    score, z = association(forest)
    require(z >= N_SURE or not data.facts, "a random forest on thumbnails finds nothing, which says nothing about photos; learn.check() "
            "asks a pretrained network")
    name = "AUC" if forest.classes else "rank correlation"
    numbers: dict[str, Any] = {name.lower().replace(" ", "_"): score, "standard_deviations": z, "n_items": len(forest.y)}
    return graded(f"a random forest on the raw inputs finds nothing about the labels ({name} {score:.2f}): shuffled labels, the wrong "
                  "column, or a hard problem", tip=z < N_SURE, fine=f"a random forest on the raw inputs reaches {name} {score:.2f}",
                  **numbers)
