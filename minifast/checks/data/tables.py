"""Tables: columns that give the target away, say nothing, number the rows; missing values; training and validation that differ."""
import numpy as np

from ...core.messages import plural
from ..report import issue, not_applicable, passed, tip
from .labels import row_groups

MAX_COLUMNS = 400       # wider "tables" are pictures or signals, whose single columns mean nothing


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def auc_of(values, y):
    "How well `values` order two classes: the area under the ROC curve, 0.5 to 1, whichever the direction."
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    sorted_values = values[order]
    _, first, counts = np.unique(sorted_values, return_index=True, return_counts=True)
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    n_pos = int(y.sum())
    n_neg = len(y) - n_pos
    if not n_pos or not n_neg:
        return 0.5
    auc = (ranks[y].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)
    return float(max(auc, 1 - auc))


def single_column_score(values, y, classes, seed=0):
    """How much of the target one column gives away, 0 to 1: accuracy (classes) or R2 (numbers) of a small tree on the half of the rows
    that it did not see."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(values))
    half = len(order) // 2
    fit, test = order[:half], order[half:]
    x = values.reshape(-1, 1)
    tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=2) if classes else DecisionTreeRegressor(max_leaf_nodes=256)
    tree.fit(x[fit], y[fit])
    return float(max(0.0, tree.score(x[test], y[test])))


def linear_r2(values, y):
    "The squared correlation of a column and a target."
    if values.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(values, y)[0, 1] ** 2)


def tell_apart(a, b, seed=0):
    """`(auc, importances)` of a forest that tells rows `a` from rows `b`, on rows it has not seen: 0.5 means alike."""
    from sklearn.ensemble import RandomForestClassifier
    rng = np.random.Generator(np.random.PCG64(seed))
    n = min(len(a), len(b), 1000)
    a, b = a[rng.permutation(len(a))[:n]], b[rng.permutation(len(b))[:n]]
    x, y = np.concatenate([a, b]), np.arange(2 * n) >= n
    forest = RandomForestClassifier(60, min_samples_leaf=3, oob_score=True, random_state=seed, n_jobs=1).fit(x, y)
    scores = np.nan_to_num(forest.oob_decision_function_[:, 1], nan=0.5)
    n_pos = n
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    sorted_scores = scores[order]
    _, first, counts = np.unique(sorted_scores, return_index=True, return_counts=True)
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    auc = (ranks[y].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_pos)
    return float(auc), forest.feature_importances_


# -- checks -------------------------------------------------------------------------------------------------------------------------
def _table(data, code, side=0):
    "`(values, names, cats)`, or the result that says why there is none."
    table = data.table(side)
    if table is None:
        return not_applicable(code, "the items are no rows of a table")
    if table[0].shape[1] > MAX_COLUMNS:
        return not_applicable(code, f"{table[0].shape[1]:,} columns: a signal or a picture")
    if len(table[0]) < 20:
        return not_applicable(code, "fewer than 20 rows")
    return table


def leaks(data):
    table = _table(data, "MF821")
    if not isinstance(table, tuple):
        return table
    values, names, _ = table
    y = data.labels(0)
    if y is None or len(y) != len(values):
        return not_applicable("MF821", "there is no target of one number or class per row")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        return not_applicable("MF821", "the target has several parts")
    y = y.numpy()
    classes = not np.issubdtype(y.dtype, np.floating)
    rows = np.random.Generator(np.random.PCG64(0)).permutation(len(values))[:5000]
    values, y = values[rows], y[rows]
    if len(values) < 60 or not np.isfinite(values).all() or not np.isfinite(y.astype(float)).all() or len(np.unique(y)) < 2:
        return not_applicable("MF821", "too few rows, or values that are not finite")
    scores = {}
    for j, name in enumerate(names):
        column = values[:, j]
        if np.unique(column).size > 1:
            score = single_column_score(column, y, classes)
            scores[name] = score if classes else max(score, linear_r2(column, y))
    if not scores:
        return not_applicable("MF821", "every column is constant")
    best = max(scores, key=scores.get)
    base = float(np.unique(y, return_counts=True)[1].max() / len(y)) if classes else 0.0
    numbers = {"column": str(best), "score": scores[best], "without": base}
    threshold = 0.995 if classes else 0.998
    if scores[best] >= threshold and base < 0.985:
        what = "is right about" if classes else "explains"
        given = [n for n, s in scores.items() if s >= threshold]
        return issue("MF821", f"the column {best!r} alone {what} {scores[best]:.1%} of the target on rows not seen", items=given, **numbers)
    return passed("MF821", f"the best single column is {best!r} with {scores[best]:.2f}", **numbers)


def constant_columns(data):
    table = _table(data, "MF822")
    if not isinstance(table, tuple):
        return table
    values, names, _ = table
    flat = [n for j, n in enumerate(names) if np.unique(values[:, j]).size == 1]
    if flat:
        return tip(
            "MF822", f"{plural(len(flat), 'column')} with one single value: {', '.join(map(str, flat[:5]))}", items=flat, constant=len(flat)
        )
    return passed("MF822", columns=len(names))


def ids(data):
    table = _table(data, "MF823")
    if not isinstance(table, tuple):
        return table
    values, names, cats = table
    n, found = len(values), []
    for j, name in enumerate(names):
        column = values[:, j]
        unique = np.unique(column)
        if (cats[j] and unique.size > 0.8 * n and n >= 50) or (
            not cats[j] and unique.size == n and n >= 50 and np.isfinite(column).all() and _evenly_spaced(unique)
        ):
            found.append(name)
    if found:
        return tip(
            "MF823",
            f"{', '.join(map(repr, found[:4]))} {'number' if len(found) > 1 else 'numbers'} the rows: another value in almost every one",
            items=found,
            columns=len(found),
        )
    return passed("MF823", columns=len(names))


def _evenly_spaced(unique):
    "Whether sorted values are multiples of one step, densely: 1, 2, 3 ... in any order and scale."
    gaps = np.diff(unique)
    step = gaps.min()
    return bool(step > 0 and np.allclose(gaps / step, np.round(gaps / step), atol=1e-2) and np.round(gaps / step).mean() < 3)


def missing(data):
    dataset = getattr(data.loaders[0], "dataset", None)
    known = getattr(dataset, "missing", None)
    index = getattr(dataset, "index", ())
    n = len(index) if hasattr(index, "__len__") else 0              # of a list `index` is a method
    if not isinstance(known, dict) or not n:
        table = _table(data, "MF824")
        if not isinstance(table, tuple):
            return table
        values, names, _ = table
        known, n = {name: int(np.isnan(values[:, j]).sum()) for j, name in enumerate(names)}, len(values)
    shares = {k: int(v) / n for k, v in known.items() if int(v)}
    mostly = {k: s for k, s in shares.items() if s > 0.5}
    numbers = {str(k): v for k, v in sorted(shares.items(), key=lambda o: -o[1])[:6]}
    if mostly:
        return tip(
            "MF824", f"mostly missing: {', '.join(f'{k} ({s:.0%})' for k, s in list(mostly.items())[:5])}", items=list(mostly), **numbers
        )
    return passed("MF824", f"{plural(len(shares), 'column')} with missing values" if shares else "", **numbers)


def drift(data):
    for side in (0, 1):
        table = _table(data, "MF825", side)
        if not isinstance(table, tuple):
            return table
    (a, names, cats), (b, _, _) = data.table(0), data.table(1)
    new = [j for j in np.flatnonzero(cats) if np.isin(b[:, j], np.unique(a[:, j]), invert=True).mean() > 0.05]     # MF827 is about these
    if len(new) == len(names):
        return not_applicable("MF825", "every column is a category that validation has not seen")
    a, b, names = np.delete(a, new, 1), np.delete(b, new, 1), [n for j, n in enumerate(names) if j not in new]
    if min(len(a), len(b)) < 40 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return not_applicable("MF825", "too few rows, or values that are not finite")
    auc, importances = tell_apart(a, b)
    best = [names[j] for j in np.argsort(importances)[::-1][:3]]
    numbers = {"auc": auc, "rows": min(len(a), len(b), 1000)}
    sure = auc - 0.5 > 4 * (1 / (6 * min(len(a), len(b), 1000))) ** 0.5           # four standard deviations of an AUC of chance
    said = f"a classifier tells training from validation rows with AUC {auc:.2f}, mostly by {', '.join(map(str, best))}"
    if auc > 0.9 and sure:
        return issue("MF825", said, items=best, **numbers)
    return tip("MF825", said, items=best, **numbers) if auc > 0.65 and sure else passed("MF825", f"AUC {auc:.2f}", **numbers)


def rows_across(data):
    if len(data.loaders) < 2:
        return not_applicable("MF826", "there is no validation set")
    if data.facts:
        return not_applicable("MF826", "the items are files: see MF802")
    groups = data.once("row groups", lambda: row_groups(data))
    if groups is None:
        return not_applicable("MF826", "copies of such items are not looked for")
    both = [g for g in groups if len({data.sides[i] for i in g}) > 1]
    touched = sum(data.sides[i] == 1 for g in both for i in g)
    n_valid = max(sum(s == 1 for s in data.sides), 1)
    numbers = {"rows": touched, "share_of_validation": touched / n_valid}
    if touched:
        make = issue if touched / n_valid > 0.005 else tip
        return make("MF826", f"{plural(touched, 'validation item')} of {n_valid:,} are also training items, value for value", **numbers)
    return passed("MF826", **numbers)


def unseen(data):
    if len(data.loaders) < 2:
        return not_applicable("MF827", "there is no validation set")
    table = _table(data, "MF827", 1)
    if not isinstance(table, tuple):
        return table
    values, names, cats = table
    trained = data.table(0)
    if trained is None or not cats.any():
        return not_applicable("MF827", "there are no categories")
    shares = {}
    for j in np.flatnonzero(cats):
        known = np.unique(trained[0][:, j])
        new = ~np.isin(values[:, j], known)
        if new.any():
            shares[str(names[j])] = float(new.mean())
    many = {k: s for k, s in shares.items() if s > 0.02}
    if many:
        worst = max(many, key=many.get)
        return tip(
            "MF827",
            f"{many[worst]:.1%} of the validation rows have a category in {worst!r} that training did not see",
            items=list(many),
            **shares,
        )
    return passed("MF827", **shares)
