"""`Categorify`: categories to codes, by value."""
from warnings import warn

import numpy as np
import pandas as pd

from ..core.messages import describe, did_you_mean
from ..data.categories import NA, CategoryMap
from ..data.labels import is_missing
from .factorize import decoded_values, factorized, sorted_values
from .table import TabularProc, missing_text

__all__ = ["Categorify"]


class Categorify(TabularProc):
    """Categories to codes: 0 is `'#na#'`, missing or not seen in training; the rest are 1, 2, ... for the sorted values of the training
    rows (of a pandas categorical, in the order of its categories).

    Values are looked up by what they are, never by the codes or the type of the column they come in: 3, 3.0 and a categorical 3 are one.
    """

    order = 1

    def __init__(self):
        self.classes = {}           #: `{column: CategoryMap}`
        self._lookup, self._had_missing = {}, {}

    def setups(self, table):
        self._learn(table)

    def encodes(self, table):
        found = table.each(lambda name: self._encoded(*factorized(table.cats[name], name), self._known(name)), table.cats)
        self._take(table, found)

    def fit(self, table):
        self._take(table, self._learn(table))

    def learn_values(self, values, had_missing):
        "Learn from `{column: values of the training rows}`, in any order, and `{column: whether some were missing}`."
        self.classes = {name: CategoryMap(sorted_values(v), sort=False, add_na=True) for name, v in values.items()}
        self._lookup = {name: classes.o2i for name, classes in self.classes.items()}
        self._had_missing = dict(had_missing)

    def _learn(self, table):
        done = table.each(lambda name: self._column(table, name), table.cats)
        self.classes = {name: o[0] for name, o in done.items()}
        self._lookup = {name: o[1] for name, o in done.items()}
        self._had_missing = {name: o[2] for name, o in done.items()}
        return {name: o[3] for name, o in done.items()}

    def _column(self, table, name):
        codes, values = factorized(table.cats[name], name)
        had_missing = bool(len(codes) and codes.min() < 0 and (table.training(codes) < 0).any())
        present = [values[i] for i in np.flatnonzero(_seen(codes, len(values), table.train)).tolist()]
        if not isinstance(table.cats[name].dtype, pd.CategoricalDtype):
            present = sorted_values(present)
        classes = CategoryMap(present, sort=False, add_na=True)
        lookup = classes.o2i
        return classes, lookup, had_missing, self._encoded(codes, values, lookup)

    @staticmethod
    def _encoded(codes, values, lookup):
        "`(codes of this vocabulary, how many are missing, (how many are unseen, the most frequent of them))`."
        new = np.zeros(len(values) + 1, dtype=np.int32)          # a missing value, -1, takes the last place
        new[:-1] = [lookup.get(v, 0) for v in values]
        out, unseen, example = np.take(new, codes, mode="wrap"), 0, None
        n_zero = len(out) - int(np.count_nonzero(out))
        missing = int(np.count_nonzero(codes < 0)) if n_zero else 0
        if n_zero > missing:
            counts = np.bincount(codes[(out == 0) & (codes >= 0)], minlength=len(values))
            unknown = [i for i in np.flatnonzero(counts).tolist() if values[i] not in lookup]
            unseen = int(counts[unknown].sum())
            example = values[max(unknown, key=counts.__getitem__)] if unknown else None
        return out, missing, (unseen, example)

    def _take(self, table, found):
        for name, (codes, missing, (n_unseen, example)) in found.items():
            table.cats[name] = codes
            if missing:
                table.missing[name] = missing
                if not self._had_missing[name]:
                    table.unexpected[name] = missing
            if n_unseen:
                table.unseen[name] = n_unseen, example

    def _known(self, name):
        if name not in self._lookup:
            raise KeyError(f"Categorify has not learnt column {name!r}{did_you_mean(name, self._lookup)}")
        return self._lookup[name]

    def encodes_row(self, cats, conts):
        for name, value in cats.items():
            try:
                code = self._lookup[name].get(value, -1)
            except TypeError:
                raise TypeError(f"the category column {name!r} takes one value; received {describe(value)}") from None
            if code < 0:
                code = 0
                if not is_missing(value):
                    warn(unseen_text({name: (1, value)}, 1, self.classes), stacklevel=4)
                elif not self._had_missing.get(name, True):
                    warn(missing_text({name: 1}), stacklevel=4)
            cats[name] = code

    def decodes(self, table):
        for name, codes in table.cats.items():
            table.cats[name] = pd.Series(decoded_values(self.classes[name])[np.asarray(codes)], index=table.index).infer_objects()


def _seen(codes, n, train):
    "Which of the codes 0..n-1 occur in the training rows, a mask; block by block, because most often the first rows have all of them."
    seen, start, size = np.zeros(n + 1, dtype=bool), 0, 16_384
    while start < len(codes) and not seen[1:].all():
        places = codes[start:start + size].astype(np.intp) + 1       # a missing value, -1, has place 0
        if train is not None:
            places *= train[start:start + size]                      # and so have the rows that are not for training
        seen[places] = True
        start, size = start + size, 65_536
    return seen[1:]


def unseen_text(unseen, n, classes):
    "What to say of categories that training did not have."
    parts = []
    for name, (count, example) in unseen.items():
        known = [v for v in classes[name] if v != NA]
        other = count == n and known and not isinstance(example, type(known[0])) and isinstance(example, str) != isinstance(known[0], str)
        parts.append(f"{name!r} has {count:,} ({count / n:.1%}), such as {example!r}"
                     + (f", but training had {type(known[0]).__name__} values like {known[0]!r}" if other else ""))
    return f"values not seen in training count as missing ({NA}): " + "; ".join(parts)
