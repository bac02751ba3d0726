"""Checks of tables: target leakage, constant and id columns, missing values, distribution shift, duplicate rows, unseen categories."""
from dataclasses import replace

import numpy as np

from ...core.messages import plural
from ..outcomes import Check, graded, require
from .labels import association, duplicate_rows, fit_forest
from .probe import DataProbe

MAX_ROWS = 5000         # enough for a small tree on one column


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def single_column_score(values: np.ndarray, y: np.ndarray, classes: bool, seed: int = 0) -> float:
    """How much of the target one column gives away, 0 to 1.

    Accuracy (classes) or R2 (numbers) of a small tree on the half of the rows that it did not see; of numbers the squared correlation, if
    that is more.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(values))
    fit, test = np.array_split(order, [len(order) // 2])
    tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=2) if classes else DecisionTreeRegressor(max_leaf_nodes=256)
    score = tree.fit(values[fit, None], y[fit]).score(values[test, None], y[test])
    linear = np.corrcoef(values, y)[0, 1] ** 2 if not classes and values.std() and y.std() else 0.0
    return float(max(0.0, score, linear))


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
    table, labels = data.rows(), data.labels(0)
    require(labels is not None and len(labels) == len(table.values), "there is no target of one number or class per row")
    require(labels.ndim == 1 or labels.shape[1:] == (1,), "the target has several parts")
    classes = not labels.is_floating_point()
    some = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))[:MAX_ROWS]
    values, y = table.values[some], labels.reshape(-1).numpy()[some]
    _, counts = np.unique(y, return_counts=True)
    require(len(y) >= 60 and np.isfinite(values).all() and np.isfinite(y.astype(float)).all() and len(counts) > 1,
            "too few rows, or values that are not finite")
    scores = {name: single_column_score(column, y, classes) for name, column in zip(table.names, values.T, strict=True)
              if np.unique(column).size > 1}
    require(scores, "every column is constant")
    best = max(scores, key=scores.__getitem__)
    base, threshold = (float(counts.max() / len(y)), 0.995) if classes else (0.0, 0.998)
    return graded(f"the column {best!r} alone {'predicts' if classes else 'explains'} {scores[best]:.1%} of the target on unseen rows",
                  scores[best] >= threshold and base < 0.985, fine=f"the best single column is {best!r} with {scores[best]:.2f}",
                  items=[n for n, s in scores.items() if s >= threshold], column=str(best), score=scores[best], without=base)


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
    check = graded("mostly missing: " + ", ".join(f"{name} ({shares[name]:.0%})" for name in mostly[:5]), tip=mostly, items=mostly,
                   fine=f"{plural(len(shares), 'column')} with missing values" if shares else "")
    return replace(check, evidence=dict(sorted(shares.items(), key=lambda o: -o[1])[:6]))         # columns may have any name


def distribution_shift(data: DataProbe) -> Check:
    "Whether a classifier can tell validation rows from training rows. Unseen categories, which make that easy, have a check of their own."
    (a, names, categorical), (b, *_) = data.rows(0), data.rows(1)
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
    "Validation rows that are also training rows."
    n_valid, groups = data.require_validation(), None if data.facts else duplicate_rows(data)
    require(not data.facts, "the items are files: see MF802")
    require(groups is not None, "duplicates of such items are not looked for")
    touched = sum(data.sides[i] == 1 for g in groups if len({data.sides[i] for i in g}) > 1 for i in g)
    share = touched / max(n_valid, 1)
    return graded(f"{plural(touched, 'validation item')} of {n_valid:,} are also training items, value for value", share > 0.005, touched,
                  rows=touched, share_of_validation=share)


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
