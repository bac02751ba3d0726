"""Splitters: from the items to `(training indices, validation indices)`.

Every splitter is an object that can be called and sent to another process. The random ones are seeded by default with `SPLIT_SEED`,
from a private generator: the same items give the same split every time, so that nothing moves from one side to the other when the
data are built again, and no global random stream is touched.
"""
from pathlib import Path
from warnings import warn

import torch

from ..core.items import L, range_of
from ..core.messages import describe, did_you_mean, plural
from ..core.seeds import draw_seed
from .labels import is_missing

#: Seed of the random splitters unless another is given; `seed=None` asks for a different split each time.
SPLIT_SEED = 42


def check_splits(splits, n, where="splits"):
    """`splits` as a list of `L`s of indices into `n` items, or `ValueError` where it is no use.

    Refused: no training or validation items, an index that does not exist or occurs twice in a split, an item in two splits.
    """
    if not isinstance(splits, (list, tuple)) or not splits:
        raise TypeError(f"{where} must give one list of indices per split, such as (train, valid); received {describe(splits)}")
    checked = [L(s.tolist() if hasattr(s, "tolist") else s, use_list=True) for s in splits]
    names = ["training", "validation", *(f"split {i}" for i in range(2, len(checked)))]
    seen = {}
    for name, indices in zip(names, checked, strict=False):
        if not indices:
            raise ValueError(f"{where} leaves the {name} set empty ({plural(n, 'item')}; sizes {[len(s) for s in checked]}). "
                             "To train on everything, without validation, give one list only: `splitter=lambda items: [range(len(items))]`")
        odd = next((i for i in indices if isinstance(i, bool) or not hasattr(i, "__index__")), None)
        if odd is not None:
            raise TypeError(f"{where} must hold indices, whole numbers; the {name} set holds {describe(odd)}"
                            + (". For a mask use MaskSplitter(mask)" if isinstance(odd, bool) else ""))
        outside = [i for i in indices if not 0 <= i < n]
        if outside:
            raise ValueError(f"{where}: the {name} set has {plural(len(outside), 'index' if len(outside) == 1 else 'indice')} outside "
                             f"0..{n - 1} (there are {plural(n, 'item')}): {outside[:5]}")
        if len(set(indices)) < len(indices):
            raise ValueError(f"{where}: {plural(len(indices) - len(set(indices)), 'item')} of the {name} set are listed more than once")
        both = [i for i in indices if i in seen]
        if both:
            raise ValueError(f"{where}: {plural(len(both), 'item')} would be in the {seen[both[0]]} and in the {name} set (first: "
                             f"{both[:5]}), so that the validation figures would say nothing")
        seen.update(dict.fromkeys(indices, name))
    return checked


def _generator(seed):
    return torch.Generator().manual_seed(draw_seed() if seed is None else seed)


def _fraction(name, value, where):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{where}({name}={value!r}): {name} is a fraction between 0 and 1 (0.2 is 20% for validation)"
                         + (". To train on everything, without validation, write `splitter=lambda items: "
                            "[range(len(items))]`" if value == 0 else ""))
    return value


def _at_least_two(items, where):
    if len(items) < 2:
        raise ValueError(f"{where} cannot split {plural(len(items), 'item')} into a training and a validation set")


class _Splitter:
    "What splitters share: a readable name, from the arguments they keep."

    def __repr__(self):
        def short(value):
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."

        return f"{type(self).__name__}({', '.join(f'{k}={short(v)}' for k, v in vars(self).items())})"


class RandomSplitter(_Splitter):
    "A random `valid_pct` of the items (the first `int(valid_pct * n)` of a permutation, at least one) is for validation."

    def __init__(self, valid_pct=0.2, seed=SPLIT_SEED):
        self.valid_pct, self.seed = _fraction("valid_pct", valid_pct, "RandomSplitter"), seed

    def __call__(self, items):
        _at_least_two(items, repr(self))
        order = L(torch.randperm(len(items), generator=_generator(self.seed)).tolist(), use_list=True)
        cut = max(1, int(self.valid_pct * len(items)))
        return order[cut:], order[:cut]


class TrainTestSplitter(_Splitter):
    "scikit-learn's `train_test_split`: sizes as fractions or counts; `stratify` (one label per item) keeps the shares of the labels."

    def __init__(self, test_size=0.2, random_state=SPLIT_SEED, stratify=None, train_size=None, shuffle=True):
        self.test_size, self.random_state, self.stratify = test_size, random_state, stratify
        self.train_size, self.shuffle = train_size, shuffle

    def __call__(self, items):
        from sklearn.model_selection import train_test_split
        if self.stratify is not None and len(self.stratify) != len(items):
            raise ValueError(f"TrainTestSplitter(stratify=...) needs one label per item: received {len(self.stratify)} for {len(items)} "
                             "items")
        train, valid = train_test_split(range_of(items), test_size=self.test_size, random_state=self.random_state, stratify=self.stratify,
                                        train_size=self.train_size, shuffle=self.shuffle)
        return L(train), L(valid)


class IndexSplitter(_Splitter):
    "The items at the indices `valid_idx` are for validation."

    def __init__(self, valid_idx):
        self.valid_idx = valid_idx

    def __call__(self, items):
        if isinstance(self.valid_idx, (str, bytes)) or not hasattr(self.valid_idx, "__iter__"):
            raise TypeError(f"IndexSplitter(valid_idx) takes a list of indices; received {describe(self.valid_idx)}")
        valid = list(self.valid_idx.tolist() if hasattr(self.valid_idx, "tolist") else self.valid_idx)
        chosen = set(valid)
        train, valid = check_splits(([i for i in range_of(items) if i not in chosen], valid), len(items), "IndexSplitter(valid_idx)")
        return train, valid


class EndSplitter(_Splitter):
    "The last `valid_pct` of the items, in their order, is for validation (`valid_last=False`: the first); for data ordered in time."

    def __init__(self, valid_pct=0.2, valid_last=True):
        self.valid_pct, self.valid_last = _fraction("valid_pct", valid_pct, "EndSplitter"), valid_last

    def __call__(self, items):
        _at_least_two(items, repr(self))
        idxs, cut = L.range(items), max(1, int(self.valid_pct * len(items)))
        return (idxs[:-cut], idxs[-cut:]) if self.valid_last else (idxs[cut:], idxs[:cut])


class GrandparentSplitter(_Splitter):
    "By the name of the folder two levels up: `.../train/cat/1.jpg` and `.../valid/cat/2.jpg`. Each name may be a list of names."

    def __init__(self, train_name="train", valid_name="valid"):
        self.train_name, self.valid_name = train_name, valid_name

    def __call__(self, items):
        folders = [Path(o).parent.parent.name for o in items]
        found = sorted(set(folders))
        sides = []
        for side, name in (("train_name", self.train_name), ("valid_name", self.valid_name)):
            names = [name] if isinstance(name, str) else list(name)
            sides.append(L(i for i, folder in enumerate(folders) if folder in names))
            if not sides[-1]:
                raise ValueError(f"GrandparentSplitter({side}={name!r}): no item lies two levels below a folder "
                                 f"{' or '.join(map(repr, names))}"
                                 f"{did_you_mean(names[0], found) or '.'} Folders there: {', '.join(map(repr, found[:20])) or 'none'}"
                                 + (f" (first item: {str(items[0])!r})" if len(items) else ""))
        return tuple(check_splits(sides, len(items), repr(self)))


class FuncSplitter(_Splitter):
    "The items for which `func` is true are for validation."

    def __init__(self, func):
        self.func = func

    def __call__(self, items):
        return MaskSplitter([bool(self.func(o)) for o in _rows(items)])(items, repr(self))


class MaskSplitter(_Splitter):
    "The items where `mask` (one truth value per item) is true are for validation."

    def __init__(self, mask):
        self.mask = mask

    def __call__(self, items, where="MaskSplitter"):
        mask = self.mask.tolist() if hasattr(self.mask, "tolist") else list(self.mask)
        if len(mask) != len(items):
            raise ValueError(f"{where} needs one value per item: received {len(mask)} for {len(items)} items")
        odd = next((o for o in mask if is_missing(o) or o not in (0, 1)), None)
        if odd is not None or any(o is None for o in mask):
            raise ValueError(f"{where} takes true or false for each item; received {describe(odd)}")
        sides = [i for i, o in enumerate(mask) if not o], [i for i, o in enumerate(mask) if o]
        return tuple(check_splits(sides, len(items), where))


class FileSplitter(_Splitter):
    "The items whose file names are listed in the text file `fname`, one to a line, are for validation."

    def __init__(self, fname):
        self.fname = fname

    def __call__(self, items):
        listed = {line.strip() for line in Path(self.fname).read_text(encoding="utf-8").splitlines() if line.strip()}
        names = [Path(o).name for o in items]
        unknown = sorted(listed - set(names))
        if len(unknown) == len(listed):
            raise ValueError(f"none of the {plural(len(listed), 'name')} in {str(self.fname)!r} is the name of an item: "
                             f"the file has {', '.join(map(repr, unknown[:3]))}, the items {', '.join(map(repr, names[:3]))}")
        if unknown:
            warn(f"{len(unknown)} of the {len(listed)} names in {str(self.fname)!r} belong to no item (first: "
                 f"{', '.join(map(repr, unknown[:3]))})",
                 stacklevel=2)
        return MaskSplitter([o in listed for o in names])(items, repr(self))


class ColSplitter(_Splitter):
    """By column `col` (a name or a position) of a DataFrame: true, or 1, is for validation.

    on: the value, or list of values, that marks validation rows, for columns that hold something else than true and false.
    """

    def __init__(self, col="is_valid", on=None):
        self.col, self.on = col, on

    def __call__(self, items):
        if not hasattr(items, "iloc"):
            raise TypeError(f"ColSplitter({self.col!r}) splits a DataFrame; the items are {describe(items)}")
        columns = list(items.columns)
        if self.col not in columns and not isinstance(self.col, int):
            raise KeyError(f"ColSplitter: there is no column {self.col!r}{did_you_mean(self.col, columns) or '.'} Columns: "
                           f"{', '.join(map(str, columns))}")
        values = (items[self.col] if self.col in columns else items.iloc[:, self.col]).tolist()
        where = f"ColSplitter({self.col!r}{'' if self.on is None else f', on={self.on!r}'})"
        if self.on is not None:
            wanted = list(self.on) if isinstance(self.on, (list, tuple, set)) else [self.on]
            missing = [w for w in wanted if w not in values]
            if missing:
                found = sorted(set(map(str, values)))
                raise ValueError(f"{where}: no row has the value {missing[0]!r}{did_you_mean(missing[0], found) or '.'} Values: "
                                 f"{', '.join(found[:20])}")
            return MaskSplitter([v in wanted for v in values])(items, where)
        odd = [v for v in values if is_missing(v) or v not in (0, 1)]
        if odd:
            raise ValueError(f"{where}: the column must hold true and false (or 1 and 0); {plural(len(odd), 'row')} hold something else, "
                             "such as "
                             f"{describe(odd[0])}. Name the value that marks validation rows: ColSplitter({self.col!r}, on={odd[0]!r})")
        return MaskSplitter(values)(items, where)


class RandomSubsetSplitter(_Splitter):
    "A random `train_sz` of the items for training and `valid_sz` for validation (fractions); the rest is not used."

    def __init__(self, train_sz, valid_sz, seed=SPLIT_SEED):
        self.train_sz = _fraction("train_sz", train_sz, "RandomSubsetSplitter")
        self.valid_sz = _fraction("valid_sz", valid_sz, "RandomSubsetSplitter")
        if train_sz + valid_sz > 1 + 1e-9:
            raise ValueError(f"RandomSubsetSplitter(train_sz={train_sz}, valid_sz={valid_sz}): together more than all items")
        self.seed = seed

    def __call__(self, items):
        n_train, n_valid = max(1, int(self.train_sz * len(items))), max(1, int(self.valid_sz * len(items)))
        _at_least_two(items, repr(self))
        order = L(torch.randperm(len(items), generator=_generator(self.seed)).tolist(), use_list=True)
        return order[:n_train], order[n_train:n_train + n_valid]


def _rows(items):
    "The items one by one: the rows of a DataFrame, else what iterating gives."
    return (items.iloc[i] for i in range(len(items))) if hasattr(items, "iloc") else iter(items)
