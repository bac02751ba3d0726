"""The tokens of the texts of both splits in one vocabulary, so that texts can be compared with each other and with their labels."""
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...data.targets import base_dataset
from ...learner.probe import once
from ..outcomes import NotApplicable, require
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
