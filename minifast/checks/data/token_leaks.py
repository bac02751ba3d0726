"""Labels that a single token gives away, MF842: a source mark, or the label itself, left in the text."""
from typing import Any, NamedTuple

import numpy as np

from ..outcomes import Check, graded, require
from .probe import DataProbe
from .text_tokens import Tokens, plain_words, tokens_of

#: Standard deviations of the bound on a share, and the chance below which a token is no accident, over all tokens that were looked at.
N_SURE, CHANCE = 2.58, 1e-3


class Telling(NamedTuple):
    "A token, or two in a row, that tells a class."
    tokens: tuple[int, ...]
    column: int                 #: of the labels
    precision: float            #: of the texts with it, the share that are of the class
    coverage: float             #: of the texts of the class, the share that have it
    correlation: float          #: of having it and being of the class (phi, -1 to 1)
    texts: np.ndarray           #: which texts have it


def telling_tokens(tokens: Tokens, y: np.ndarray, least: float = 0.2) -> list[Telling]:
    """The tokens, and pairs of neighbours, that nearly always mean a class and stand in at least a share `least` of its texts.

    Nearly always: of the texts with it at most a fifth as many are of other classes as of all texts, by the upper bound of that share.
    Words that merely hint at a class are far from it: of 1,000 reviews 'waste' has 98% precision and stands in 10% of the bad ones, of
    7,600 news 'oil prices' 93% and 6%.

    Args:
        tokens: the texts.
        y: bool (texts, classes).
        least: the share.
    """
    n, size = len(tokens.items), max(len(tokens.names), int(tokens.flat.max(initial=0)) + 1)
    next_to = tokens.row[1:] == tokens.row[:-1]
    found = []
    n_of = y.sum(0)
    for flat, row, is_pair in ((tokens.flat, tokens.row, False),
                               ((tokens.flat[:-1] * size + tokens.flat[1:])[next_to], tokens.row[1:][next_to], True)):
        ids, where = np.unique(flat, return_inverse=True)
        ids_texts = np.sort(where.astype(np.int64) * n + row)
        ids_texts = ids_texts[np.diff(ids_texts, prepend=-1) > 0]          # each text once
        at, text = ids_texts // n, ids_texts % n
        n_with = np.bincount(at, minlength=len(ids))
        often = n_with >= least * max(n_of[n_of > 0].min(initial=n), 1)
        for k in np.flatnonzero((n_of > 0) & (n_of < n)) if often.any() else ():
            both = np.bincount(at, weights=y[text, k], minlength=len(ids))
            found += [Telling((int(ids[j]),) if not is_pair else divmod(int(ids[j]), size), int(k), p, c, r, text[at == j])
                      for j, p, c, r in _telling(n, n_with, both, int(n_of[k]), often, least)]
    is_word = np.append(plain_words(tokens.names) >= 0, False)
    return sorted(found, key=lambda t: (-round(abs(t.correlation), 2), not is_word[list(t.tokens)].all(), len(t.tokens)))


def _telling(n, n_with, both, n_k, often, least):
    "`(index, precision, coverage, correlation)` of tokens that stand in `n_with` of `n` texts, `both` of these among the `n_k` of a class."
    from scipy.stats import hypergeom
    p, coverage, share = both / n_with, both / n_k, n_k / n
    correlation = (both * n - n_with * n_k) / np.sqrt(np.maximum(n_with * (n - n_with), 1.0) * (n_k * (n - n_k)))
    z = N_SURE ** 2 / n_with
    low = (p + z / 2 - np.sqrt(z * p * (1 - p) + z * z / 4)) / (1 + z)      # Wilson's bound
    sure = (1 - low <= (1 - share) / 5) & (coverage >= least)
    for j in np.flatnonzero(often & (sure | (correlation >= 0.8))):
        if hypergeom.sf(both[j] - 1, n, n_k, n_with[j]) * len(n_with) < CHANCE:
            yield j, float(p[j]), float(coverage[j]), float(correlation[j])


def token_leakage(data: DataProbe) -> Check:
    "A token that alone tells the label nearly always."
    tokens, labels = tokens_of(data), [data.labels(side) for side in range(len(data.loaders))]
    require(all(y is not None and not (y.ndim == 1 and y.is_floating_point()) for y in labels), "the targets are not classes")
    classes, names = _one_hot(np.concatenate([y.numpy() for y in labels if y is not None]), data)
    require(len(classes) == len(data.sides), "not every item has a label")
    y = classes[tokens.items]
    require(len(y) >= 20 and y.any(0).sum() > 0, "fewer than 20 texts")
    found = telling_tokens(tokens, y)
    if not found:
        return graded("")
    best = found[0]
    items, mark = data.names(), " ".join(tokens.names[i] for i in best.tokens)
    others = (~y[:, best.column]).sum()
    elsewhere = (1 - best.precision) * len(best.texts) / max(others, 1)
    sentence = (f"{mark!r} stands in {best.coverage:.0%} of the texts of {names[best.column]!r} and in {elsewhere:.1%} of the others: "
                f"alone it tells the label in {best.precision:.1%} of the texts that have it")
    numbers: dict[str, Any] = {"coverage": best.coverage, "precision": best.precision, "texts": len(best.texts),
                               "tokens": list(dict.fromkeys(" ".join(tokens.names[i] for i in t.tokens) for t in found[:6]))}
    return graded(sentence, best.coverage >= 0.5, True, items=[items[i] for i in tokens.items[best.texts[:50]]], **numbers)


def _one_hot(y, data):
    "Bool (items, classes) and the names of the classes."
    if y.ndim > 1:
        return y > 0, [data.name_of(k) for k in range(y.shape[1])]
    values = np.unique(y)
    return y[:, None] == values, [data.name_of(v) for v in values.tolist()]
