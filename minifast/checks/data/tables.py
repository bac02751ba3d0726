"""Checks of tables: target leakage, constant and id columns, missing values, distribution shift, duplicate rows, unseen categories."""
import warnings
from dataclasses import replace

import numpy as np

from ...core.messages import plural
from ..outcomes import Check, graded, require
from .copies import copied_rows
from .labels import association, fit_forest
from .probe import DataProbe

MAX_ROWS = 5000         # enough for a small tree on one column
MOST_COLUMNS = 48       # that get a tree
SUSPICIOUS, SURE = 0.95, 0.99       # of `single_column_score`


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def single_column_score(values: np.ndarray, y: np.ndarray, classes: bool, seed: int = 0) -> float:
    """How much of the target one column gives away, 0 to 1, whatever the classes' shares.

    Of two classes the AUC, of more the balanced accuracy (0: chance), of numbers R2, each of a small tree on the half of the rows that it
    did not see; of numbers the squared correlation, of values or ranks, if that is more.
    """
    from scipy.stats import spearmanr
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(values))
    fit, test = np.array_split(order, [len(order) // 2])
    if not classes:
        tree = DecisionTreeRegressor(max_leaf_nodes=256).fit(values[fit, None], y[fit])
        varies = values.std() and y.std()
        return float(max(0.0, tree.score(values[test, None], y[test]), *((np.corrcoef(values, y)[0, 1] ** 2,
                         np.nan_to_num(spearmanr(values, y).statistic) ** 2) if varies else ())))
    tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=2, class_weight="balanced").fit(values[fit, None], y[fit])
    if len(np.unique(y[test])) < 2 or len(tree.classes_) < 2:
        return 0.0
    if len(np.unique(y)) == 2:
        ordered = roc_auc_score(y == tree.classes_[1], values)          # of few rows more exact than a tree
        return float(max(roc_auc_score(y[test] == tree.classes_[1], tree.predict_proba(values[test, None])[:, 1]), ordered, 1 - ordered))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # a class that the half does not have
        return max(0.0, float(balanced_accuracy_score(y[test], tree.predict(values[test, None]), adjusted=True)))


def most_telling(values: np.ndarray, y: np.ndarray, classes: bool, categorical: np.ndarray, n: int = MOST_COLUMNS) -> np.ndarray:
    """The `n` columns that say most about the target, by how much of its variance (of a class: of yes and no) their categories explain, or
    their ranks, seen from an end or from the middle."""
    if values.shape[1] <= n:
        return np.arange(values.shape[1])
    from scipy.stats import rankdata
    targets = np.stack([y == k for k in np.unique(y)], 1).astype(float) if classes else rankdata(y)[:, None]
    targets = (targets - targets.mean(0)) / (np.sqrt(len(y)) * targets.std(0).clip(1e-12))
    best = np.zeros(values.shape[1])
    ranks = rankdata(values, axis=0) - (len(y) + 1) / 2
    for x in (ranks, np.abs(ranks)):
        x = x - x.mean(0)
        best = np.maximum(best, ((x.T @ targets) ** 2).max(1) / np.square(x).sum(0).clip(1e-12))
    for j in np.flatnonzero(categorical):
        _, codes, counts = np.unique(values[:, j], return_inverse=True, return_counts=True)
        if len(counts) < len(y) / 4:
            sums = np.stack([np.bincount(codes, t) for t in targets.T])
            best[j] = max(best[j], (sums ** 2 / counts).sum(1).max())
    return np.sort(np.argsort(-best)[:n])


def balanced_rows(y: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    "At most about `n` rows at random, of no class more than an equal share, so that rare classes are there with all they have."
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))
    if len(y) <= n:
        return order
    _, codes, counts = np.unique(y[order], return_inverse=True, return_counts=True)
    place = np.empty(len(y), dtype=int)                 # of a row among those of its class
    for k, count in enumerate(counts):
        place[codes == k] = np.arange(count)
    return order[place < max(1, n // len(counts))]


def tell_apart(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[float, np.ndarray]:
    "The AUC of a random forest that tells rows `a` from rows `b`, on rows that it has not seen (0.5: alike), and the columns' importances."
    rng, n = np.random.Generator(np.random.PCG64(seed)), min(len(a), len(b), 1000)
    x, y = np.concatenate([a[rng.permutation(len(a))[:n]], b[rng.permutation(len(b))[:n]]]), np.arange(2 * n) >= n
    forest = fit_forest(x, y, True, seed)
    return association(forest)[0], forest.model.feature_importances_


def _numbers_rows(column, categorical):
    "Whether almost every value is another category, or numbers are multiples of one step, densely: 1, 2, 3 ... in any order and scale."
    unique = np.unique(column)
    if categorical or unique.size < len(column) or not np.isfinite(column).all():
        return categorical and unique.size > 0.8 * len(column)
    gaps = np.diff(unique)
    steps = gaps / gaps.min()
    return bool(np.allclose(steps, np.round(steps), atol=1e-2) and np.round(steps).mean() < 3)


# -- checks -------------------------------------------------------------------------------------------------------------------------
def target_leakage(data: DataProbe) -> Check:
    "Single columns that are as good as the target."
    table, labels = data.rows(wide=True), data.labels(0)
    require(labels is not None and len(labels) == len(table.values), "there is no target of one number or class per row")
    require(labels.ndim == 1 or labels.shape[1:] == (1,), "the target has several parts")
    classes, y = not labels.is_floating_point(), labels.reshape(-1).numpy()
    some = balanced_rows(y, MAX_ROWS) if classes else np.random.Generator(np.random.PCG64(0)).permutation(len(y))[:MAX_ROWS]
    values, y = table.values[some], y[some]
    kinds = np.unique(y)
    require(len(y) >= 60 and np.isfinite(values).all() and np.isfinite(y.astype(float)).all() and len(kinds) > 1,
            "too few rows, or values that are not finite")
    chosen = [j for j in most_telling(values, y, classes, table.categorical) if np.unique(values[:, j]).size > 1]
    require(chosen, "every column is constant")
    scores = {table.names[j]: single_column_score(values[:, j], y, classes) for j in chosen}
    best = max(scores, key=scores.__getitem__)
    score, two = scores[best], classes and len(kinds) == 2
    says = (f"tells {data.name_of(kinds[1])!r} from {data.name_of(kinds[0])!r} with AUC {score:.3f}" if two else
            f"gives the class away: balanced accuracy {score:.1%} above chance" if classes else f"explains {score:.1%} of the target")
    return graded(f"the column {best!r} alone {says}, on rows that were not fitted", score >= SURE, score >= SUSPICIOUS,
                  fine=f"the most telling column, {best!r}, " + (f"has AUC {score:.2f}" if two else f"explains {score:.0%}"),
                  items=[n for n, s in scores.items() if s >= SUSPICIOUS], column=str(best), score=score, columns=len(table.names))


def constant_columns(data: DataProbe) -> Check:
    "Columns with a single value."
    table = data.rows()
    found = [n for n, column in zip(table.names, table.values.T, strict=True) if np.unique(column).size == 1]
    return graded(f"{plural(len(found), 'column')} with a single value: {', '.join(map(str, found[:5]))}", tip=found, items=found,
                  constant=len(found), columns=len(table.names))


def id_columns(data: DataProbe) -> Check:
    "Columns that number the rows: a category that is new in almost every row, or numbers without gaps."
    table = data.rows()
    found = [name for name, column, categorical in zip(table.names, table.values.T, table.categorical, strict=True)
             if len(column) >= 50 and _numbers_rows(column, categorical)]
    return graded(f"{', '.join(map(repr, found[:4]))} {'number' if len(found) > 1 else 'numbers'} the rows: another value in almost every "
                  "one", tip=found, items=found, columns=len(found or table.names))


def missing_values(data: DataProbe) -> Check:
    "Columns that are mostly missing. What a `TabularPandas` has filled in it still knows."
    dataset = getattr(data.loaders[0], "dataset", None)
    known, index = getattr(dataset, "missing", None), getattr(dataset, "index", ())
    n = len(index) if hasattr(index, "__len__") else 0              # of a list `index` is a method
    if not isinstance(known, dict) or not n:
        table = data.rows()
        known, n = dict(zip(table.names, np.isnan(table.values).sum(0), strict=True)), len(table.values)
    shares = {str(name): int(count) / n for name, count in known.items() if count}
    mostly = [name for name, share in shares.items() if share > 0.5]
    cats = {str(name) for name in getattr(dataset, "raw_cat_names", ())}
    advice = {True: "Categorify makes missing values a category, '#na#': keep the column if that means something ('none'), else drop it",
              False: "drop the column, unless being missing says something: FillMissing keeps that as a column of its own"}
    check = graded("mostly missing: " + ", ".join(f"{name} ({shares[name]:.0%})" for name in mostly[:5]), tip=mostly, items=mostly,
                   advice="; ".join(advice[kind] for kind in (True, False) if any((name in cats) is kind for name in mostly)),
                   fine=f"{plural(len(shares), 'column')} with missing values" if shares else "")
    return replace(check, evidence=dict(sorted(shares.items(), key=lambda o: -o[1])[:6]))         # columns may have any name


def distribution_shift(data: DataProbe) -> Check:
    "Whether a classifier can tell validation rows from training rows. Unseen categories, which make that easy, have a check of their own."
    a, b, names, categorical = data.rows(0).values, data.rows(1).values, data.rows(0).names, data.rows(0).categorical
    unseen = [j for j in np.flatnonzero(categorical) if np.isin(b[:, j], a[:, j], invert=True).mean() > 0.05]
    require(len(unseen) < len(names), "every column is a category that validation has not seen")
    a, b, names = np.delete(a, unseen, 1), np.delete(b, unseen, 1), np.delete(names, unseen).tolist()
    n = min(len(a), len(b), 1000)
    require(n >= 40 and np.isfinite(a).all() and np.isfinite(b).all(), "too few rows, or values that are not finite")
    auc, importances = tell_apart(a, b)
    best = [names[j] for j in np.argsort(importances)[::-1][:3]]
    sure = auc - 0.5 > 4 * (1 / (6 * n)) ** 0.5                     # four standard deviations of an AUC by chance
    return graded(f"a classifier tells training from validation rows with AUC {auc:.2f}, mostly by {', '.join(best)}", auc > 0.9 and sure,
                  auc > 0.65 and sure, fine=f"AUC {auc:.2f}", items=best, auc=auc, rows=n)


def duplicate_rows_across_splits(data: DataProbe) -> Check:
    "Validation rows that are copies of training rows."
    n_valid, groups = data.require_validation(), None if data.facts else copied_rows(data)
    require(not data.facts, "the items are files: see MF802")
    require(groups is not None, "duplicates of such items are not looked for")
    pairs = [(i, next(j for j in g if data.sides[j] == 0)) for g in groups if len({data.sides[i] for i in g}) > 1
             for i in g if data.sides[i] == 1]
    share, names = len(pairs) / max(n_valid, 1), data.names()
    named = ", ".join(f"{names[i]} = {names[j]}" for i, j in pairs[:3])
    found = f"{plural(len(pairs), 'validation item')} of {n_valid:,} are also training items, value for value: {named}"
    return graded(found, share > 0.005 and len(pairs) > 2, pairs, items=[(names[i], names[j]) for i, j in pairs], rows=len(pairs),
                  share_of_validation=share)


def unseen_categories(data: DataProbe) -> Check:
    "Categories in validation rows that no training row has."
    data.require_validation()
    valid, train = data.rows(1), data.table(0)
    require(train is not None and valid.categorical.any(), "there are no categories")
    shares = {str(valid.names[j]): float(np.isin(valid.values[:, j], train.values[:, j], invert=True).mean())
              for j in np.flatnonzero(valid.categorical)}
    worst = max(shares, key=shares.__getitem__)
    check = graded(f"{shares[worst]:.1%} of the validation rows have a category in {worst!r} that training did not see",
                   tip=shares[worst] > 0.02, items=[name for name, share in shares.items() if share > 0.02])
    return replace(check, evidence={name: share for name, share in shares.items() if share} or {"categories": len(shares)})
