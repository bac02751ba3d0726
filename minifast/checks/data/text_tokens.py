"""The tokens of the texts of both splits in one vocabulary, so that texts can be compared with each other and with their labels.

MF841: copies, texts of validation that training has too, word for word, or but for case and punctuation. MF842: labels that a single token
gives away, a source mark, or the label itself, left in the text.
"""
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.messages import plural
from ...data.targets import base_dataset
from ...learner.probe import once
from ..outcomes import Check, NotApplicable, graded, require
from .probe import DataProbe
from .text_samples import MARKERS, read_texts, vocabulary_of


class Tokens(NamedTuple):
    "The tokens of some texts of one or both splits, one text after the other."
    flat: np.ndarray            #: ids, int64 (tokens,)
    row: np.ndarray             #: the text of each token
    items: np.ndarray           #: which item each text is, of training and validation in one sequence
    names: list[str]            #: what the ids stand for

    def chosen(self, keep: np.ndarray) -> "Tokens":
        "Only some of the tokens; the texts stay."
        return self._replace(flat=self.flat[keep], row=self.row[keep])


def joined(rows: Sequence[np.ndarray], items: Sequence[int], names: list[str]) -> Tokens:
    "The `Tokens` of `rows` of ids."
    return Tokens(np.concatenate([np.zeros(0, np.int64), *rows]), np.repeat(np.arange(len(rows)), [len(r) for r in rows]),
                  np.asarray(items, dtype=np.int64), names)


def words_of(text: str) -> list[str]:
    "The words of a text in lower case, without tags of HTML and punctuation."
    return re.findall(r"\w+", re.sub(r"<[^<>]{1,40}>", " ", text.lower()))


@once
def tokens_of(data: DataProbe) -> Tokens:
    "The `Tokens` of both splits, as far as there was time to read them; not applicable where the items are no texts."
    dataset, _ = base_dataset(data.loaders[0])
    require(not data.facts and not hasattr(dataset, "x_names"), "the items are no texts")
    samples = [read_texts(data, side) for side in range(len(data.loaders))]
    require(all(s is not None and s.rows and s.where is not None and s.kind == samples[0].kind for s in samples),
            "the items are no texts that could be read one by one")
    n_train = sum(side == 0 for side in data.sides)
    items = [i + n_train * side for side, s in enumerate(samples) for i in s.where]
    texts = [row for s in samples for row in s.rows]
    if samples[0].kind == "text":
        require(np.median([len(t.split()) for t in texts]) >= 3, "the inputs are strings, but names or labels rather than texts")
        numbers: dict[str, int] = {}
        rows = [np.array([numbers.setdefault(w, len(numbers)) for w in words_of(t)], dtype=np.int64) for t in texts]
        return joined(rows, items, list(numbers))
    words = vocabulary_of(data.loaders[0], samples[0].place)
    require(words is not None and words.names is not None, "what the ids of the tokens stand for is not known")
    found = joined(texts, items, words.names)
    return found.chosen((found.flat >= 0) & (found.flat < len(words.names)))            # those outside are MF836's


@once
def word_counts(data: DataProbe, side: int, most: int = 512) -> np.ndarray | None:
    """How often each text of a split has the tokens that the most training texts have, as logarithms, (items, tokens).

    None where the items are no texts, or where there was no time to read all.
    """
    try:
        tokens = tokens_of(data)
    except NotApplicable:
        return None
    sides = np.asarray(data.sides)
    here = sides[tokens.items] == side
    if here.sum() != (sides == side).sum():
        return None
    size = len(tokens.names)
    in_training = (sides[tokens.items] == 0)[tokens.row]
    of_texts = np.unique(tokens.row[in_training] * size + tokens.flat[in_training]) % size
    chosen = np.argsort(-np.bincount(of_texts, minlength=size), kind="stable")[:most]
    place = np.full(size, -1)
    place[chosen] = np.arange(len(chosen))
    known = place[tokens.flat] >= 0
    counts = np.zeros((len(tokens.items), len(chosen)), np.float32)
    np.add.at(counts, (tokens.row[known], place[tokens.flat[known]]), 1)
    return np.log1p(counts[here][np.argsort(tokens.items[here])])


def plain_words(names: Sequence[str]) -> np.ndarray:
    """For each token of a vocabulary a number that tokens share which differ in case, punctuation or what marks pieces of words alone.

    -1: the token is no word, but punctuation or a special token.
    """
    numbers: dict[str, int] = {}
    return np.array([-1 if _is_special(name) or not (word := "".join(filter(str.isalnum, name.lower().lstrip("Ġġ▁"))))
                     else numbers.setdefault(word, len(numbers)) for name in names], dtype=np.int64)


def _is_special(name: str) -> bool:
    return name.lower() in MARKERS or name.startswith("xx") or (name[:1] + name[-1:] in ("[]", "<>") and len(name) > 2)


#: Texts of fewer words may be equal without being copies: "thank you", "good film".
FEWEST_WORDS = 6


def copied_texts(tokens: Tokens) -> list[list[int]]:
    """Groups of texts that are the same but for case and punctuation, as numbers of texts.

    Texts of fewer than six words are left out, and those of which more than a third is unknown words.
    """
    plain = plain_words(tokens.names)
    unknown = np.flatnonzero(np.isin([n.lower() for n in tokens.names], ("xxunk", "[unk]", "<unk>")))
    n = len(tokens.items)
    kept = tokens.chosen((plain[tokens.flat] >= 0) | np.isin(tokens.flat, unknown))
    n_all = np.bincount(kept.row, minlength=n)
    n_known = n_all - np.bincount(kept.row[np.isin(kept.flat, unknown)], minlength=n)
    groups: dict[bytes, list[int]] = {}
    ends = np.cumsum(n_all)
    values = plain[kept.flat]
    for i in np.flatnonzero((n_known >= FEWEST_WORDS) & (n_known >= 2 * n_all / 3)):
        groups.setdefault(values[ends[i] - n_all[i]:ends[i]].tobytes(), []).append(int(i))
    return [g for g in groups.values() if len(g) > 1]


@once
def groups_of_texts(data: DataProbe) -> list[list[int]]:
    "The groups of copies, as indices of items over both splits; not applicable where the items are no texts."
    tokens = tokens_of(data)
    return [tokens.items[group].tolist() for group in copied_texts(tokens)]


def duplicate_texts(data: DataProbe) -> Check:
    "Validation texts that are copies of training texts."
    n_valid, tokens = data.require_validation(), tokens_of(data)
    groups = groups_of_texts(data)
    pairs = [(i, next(j for j in g if data.sides[j] == 0)) for g in groups if len({data.sides[i] for i in g}) > 1
             for i in g if data.sides[i] == 1]
    share, names = len(pairs) / max(n_valid, 1), data.names()
    read = "" if len(tokens.items) == len(data.sides) else f" (of {len(tokens.items):,} texts that there was time to read)"
    named = ", ".join(f"{names[i]} = {names[j]}" for i, j in pairs[:3])
    found = (f"{plural(len(pairs), 'validation text')} of {n_valid:,}{read} {'is' if len(pairs) == 1 else 'are'} also in training, the "
             f"same but for case and punctuation: {named}")
    return graded(found, share > 0.005 and len(pairs) > 2, pairs, items=[(names[i], names[j]) for i, j in pairs], texts=len(pairs),
                  share_of_validation=share)


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
