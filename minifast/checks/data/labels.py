"""Labels: how many of each, do copies agree, do they mean the same on both sides of the split, have they to do with the inputs at all."""
from collections import Counter, defaultdict

import numpy as np

from ...core.messages import plural
from ..report import issue, not_applicable, passed, tip
from .images import exact_copies


# -- pure functions -----------------------------------------------------------------------------------------------------------------
def is_classes(y):
    "Whether `y` are class ids."
    return y is not None and y.ndim == 1 and not y.is_floating_point()


def conflicting(groups, labels):
    "The groups of copies whose labels differ."
    return [g for g in groups if len({labels[i] for i in g}) > 1]


def quick_model(x, y, classes, seed=0, n_max=1500):
    "A random forest on rows `x` and labels `y`; `.oob` holds its predictions for rows by trees that did not see them."
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    kind = RandomForestClassifier if classes else RandomForestRegressor
    model = kind(60, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1, max_features="sqrt")
    model.fit(x[:n_max], y[:n_max])
    model.oob = np.nan_to_num(model.oob_decision_function_ if classes else model.oob_prediction_)
    return model


def association(model, y, classes):
    """`(score, z)`: how well predictions for unseen rows order the labels (AUC of the best told class; rank correlation for numbers), and
    by how many standard deviations that is better than chance."""
    from sklearn.metrics import roc_auc_score
    if not classes:
        from scipy.stats import spearmanr
        r = float(np.nan_to_num(spearmanr(model.oob, y).statistic))
        return r, r * (len(y) - 1) ** 0.5
    best = (0.5, 0.0)
    for k, label in enumerate(model.classes_):
        is_k = y == label
        if 2 <= is_k.sum() <= len(y) - 2:
            auc = float(roc_auc_score(is_k, model.oob[:, k]))
            n_pos, n_neg = is_k.sum(), len(y) - is_k.sum()
            z = (auc - 0.5) / ((len(y) + 1) / (12 * n_pos * n_neg)) ** 0.5
            best = max(best, (auc, float(z)), key=lambda o: o[1])
    return best


def exchanged_pairs(train_guess, train_y, valid_guess, valid_y):
    "Pairs of classes that a model of the training labels tells apart in training, and takes for each other in validation."
    def share(guess, y, a, b):
        rows = y == a
        return float((guess[rows] == b).mean()) if rows.sum() >= 3 else 0.0

    classes, found = sorted(set(train_y.tolist()) & set(valid_y.tolist())), []
    for i, a in enumerate(classes):
        for b in classes[i + 1:]:
            told = min(share(train_guess, train_y, a, a), share(train_guess, train_y, b, b))
            taken = min(share(valid_guess, valid_y, a, b), share(valid_guess, valid_y, b, a))
            if told > 0.55 and taken > 0.55:
                found.append((a, b))
    return found


# -- checks -------------------------------------------------------------------------------------------------------------------------
def copies_agree(data):
    labels = data.label_list()
    if labels is None:
        return not_applicable("MF811", "the targets are no labels")
    if data.facts:
        groups, names = exact_copies(data.facts), data.paths
    else:
        rows = data.once("row groups", lambda: row_groups(data))
        if rows is None:
            return not_applicable("MF811", "copies of such items are not looked for")
        groups, names = rows, [f"{data.side_names[s]} item" for s in data.sides]
    if len(labels) != len(data.sides):
        return not_applicable("MF811", "not every item has a label")
    bad = conflicting(groups, labels)
    if bad:
        g = bad[0]
        said = ", ".join(f"{getattr(names[i], 'name', names[i])} is {data.name_of(labels[i])}" for i in g[:3])
        rare = not data.facts and sum(map(len, bad)) < 0.01 * len(labels)      # in a table chance does that
        return (tip if rare else issue)("MF811", f"{plural(len(bad), 'group')} of identical items have different labels: {said}",
                     items=[[str(names[i]) for i in g] for g in bad], groups=len(bad))
    return passed("MF811", copies=sum(len(g) - 1 for g in groups))


def row_groups(data):
    """Groups of identical rows of tables and tensors in memory, over all splits. None where identical rows are to be expected: few columns,
    no continuous values."""
    tables = [data.table(side) for side in range(len(data.loaders))]
    if any(t is None for t in tables) or len({t[0].shape[1] for t in tables}) != 1:
        return None
    values = np.ascontiguousarray(np.concatenate([t[0] for t in tables]))
    if not len(values):
        return None
    keys = [row.tobytes() for row in values]
    groups = defaultdict(list)
    for i, k in enumerate(keys):
        groups[k].append(i)
    if len(groups) < 0.5 * len(keys) or (tables[0][2].all() and values.shape[1] < 8):
        return None
    return [g for g in groups.values() if len(g) > 1]


def classes_present(data):
    train, valid = data.labels(0), data.labels(1)
    if not is_classes(train):
        return not_applicable("MF812", "the targets are no classes")
    counts = Counter(train.tolist())
    n_classes = data.dls.c if isinstance(data.dls.c, int) else max([*counts, *(valid.tolist() if is_classes(valid) else [])]) + 1
    none_in_train = [k for k in range(n_classes) if k not in counts]
    if none_in_train and len(none_in_train) < n_classes:
        return issue("MF812", f"{plural(len(none_in_train), 'class')} of {n_classes} without a training item: "
                              + ", ".join(map(data.name_of, none_in_train[:5])), missing_in_training=len(none_in_train), classes=n_classes)
    if not is_classes(valid) or not len(valid):
        return passed("MF812", classes=n_classes)
    in_valid = Counter(valid.tolist())
    gone = [k for k in counts if k not in in_valid]
    expected = {k: counts[k] / len(train) * len(valid) for k in gone}
    surely = [k for k in gone if expected[k] >= 5]
    numbers = {"classes": n_classes, "missing_in_validation": len(gone)}
    if surely:
        return issue("MF812", f"{data.name_of(surely[0])} has {counts[surely[0]]} training items and none for validation, where "
                              f"{expected[surely[0]]:.0f} would be expected", items=[data.name_of(k) for k in surely], **numbers)
    if gone:
        return tip("MF812", f"{plural(len(gone), 'class')} without a validation item: {', '.join(map(data.name_of, gone[:5]))}", **numbers)
    return passed("MF812", **numbers)


def balance(data):
    train = data.labels(0)
    if not is_classes(train):
        return not_applicable("MF813", "the targets are no classes")
    counts = Counter(train.tolist())
    (most, n_most), (least, n_least) = counts.most_common()[0], counts.most_common()[-1]
    numbers = {"classes": len(counts), "largest": n_most, "smallest": n_least}
    if len(counts) == 1:
        return issue("MF813", f"all {len(train)} training items are of one class, {data.name_of(most)}: there is nothing to tell apart",
                     "look at the labels: the function that makes them, the column they come from", **numbers)
    rare = [k for k, n in counts.items() if n < 5]
    if rare or n_most > 20 * n_least:
        return tip("MF813", f"{data.name_of(least)} has {n_least} training items, {data.name_of(most)} {n_most}"
                            + (f"; {plural(len(rare), 'class')} with fewer than 5" if rare else ""),
                   items=[data.name_of(k) for k in rare], rare=len(rare), **numbers)
    return passed("MF813", f"{n_least:,} to {n_most:,} items per class", **numbers)


def _forest(data):
    "The quick model, its rows and labels: None where there are no features or too few rows."
    def make():
        x, y = data.features(0), data.labels(0)
        if x is None or y is None or y.ndim != 1 or len(x) != len(y) or len(x) < 60:
            return None
        y = y.numpy()
        pick = np.random.Generator(np.random.PCG64(0)).permutation(len(x))[:1500]
        x, y = x[pick], y[pick]
        classes = not np.issubdtype(y.dtype, np.floating)
        if len(np.unique(y)) < 2 or not np.isfinite(y.astype(float)).all() or (classes and len(np.unique(y)) > 200):
            return None
        return quick_model(x, y, classes), x, y, classes
    return data.once("forest", make)


def same_meaning(data):
    made = _forest(data)
    x, y = data.features(1), data.labels(1)
    if made is None or x is None or not is_classes(y) or len(x) != len(y) or len(x) < 10 or not made[3]:
        return not_applicable("MF814", "there is nothing a quick model could compare")
    model, _, train_y, _ = made
    guess = model.classes_[model.oob.argmax(1)]
    valid_guess = model.predict(x[:2000])
    y = y.numpy()[:2000]
    numbers = {"right_in_training": float((guess == train_y).mean()), "right_in_validation": float((valid_guess == y).mean())}
    pairs = exchanged_pairs(guess, train_y, valid_guess, y)
    if pairs:
        a, b = pairs[0]
        return issue(
            "MF814",
            f"{data.name_of(a)} and {data.name_of(b)} are exchanged: what a quick model learns as one is labelled the other in validation",
            pairs=len(pairs),
            **numbers,
        )
    return passed("MF814", **numbers)


def related(data):
    made = _forest(data)
    if made is None:
        return not_applicable("MF815", "there are no inputs that a quick model could take, or fewer than 60 items")
    model, _, y, classes = made
    score, z = association(model, y, classes)
    numbers = {"auc" if classes else "rank_correlation": score, "standard_deviations": z, "n_items": len(y)}
    if z < 2.5:
        return tip("MF815", f"a random forest on the raw inputs finds nothing about the labels ({'AUC' if classes else 'rank correlation'} "
                            f"{score:.2f}): shuffled labels, the wrong column, or simply hard", **numbers)
    return passed("MF815", f"a random forest on the raw inputs reaches {'AUC' if classes else 'rank correlation'} {score:.2f}", **numbers)
