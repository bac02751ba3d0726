"""Copies among texts, MF841: texts of validation that training has too, word for word, or but for case and punctuation."""
import numpy as np

from ...core.messages import plural
from ...learner.probe import once
from ..outcomes import Check, graded
from .probe import DataProbe
from .text_tokens import Tokens, plain_words, tokens_of

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
