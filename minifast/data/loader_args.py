"""The arguments of a loader: their names, and what cannot work."""
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from torch.utils.data import IterableDataset

from ..core.messages import brief, describe, plural, reject_unknown

#: The keywords of `DataLoader`, besides its dataset.
LOADER_KEYWORDS = ("bs", "batch_size", "shuffle", "num_workers", "drop_last", "after_item", "before_batch", "after_batch", "device",
                   "n_inp", "seed", "sampler", "collate_fn", "pin_memory", "persistent_workers", "timeout", "multiprocessing_context",
                   "split_idx", "verbose", "worker_type", "on_error", "cache", "cache_bytes")


_A_DATASET = "make the sample in `__getitem__` of a dataset, `DataLoader(my_dataset)`, or change it with `after_item=`"
_A_COLLATE = "write `DataLoader(..., collate_fn=f)`, a function of a list of samples"
_A_SAMPLER = "write `DataLoader(..., sampler=s)`, an object with `__len__` whose `__iter__` gives the indices of an epoch"
_AN_ITER = "override `__iter__`, do there what is to be done, and `return super().__iter__()` (or `yield from super().__iter__()`)"
_NOTHING = "leave it out, this is done already"

#: Methods of fastai's loaders that subclasses override (or give as arguments) there, and what to write here.
INSTEAD_OF_HOOKS = {
    **dict.fromkeys(("create_item", "do_item"), _A_DATASET), **dict.fromkeys(("create_batch", "do_batch"), _A_COLLATE),
    **dict.fromkeys(("get_idxs", "shuffle_fn", "sample", "randomize"), _A_SAMPLER), "collate_fn": _A_COLLATE,
    **dict.fromkeys(("before_iter", "after_iter", "create_batches", "chunkify"), _AN_ITER), "wif": _NOTHING, "retain": _NOTHING,
    **{name: f"pass the function, `DataLoader(..., {name}=f)`" for name in ("after_item", "before_batch", "after_batch")},
    "prebatched": "an iterable of batches with a length can stand in DataLoaders(...) as it is",
}


def reject_unknown_loader_args(unknown: Mapping[str, Any], where: str = "DataLoader(...)", others: Iterable[str] = ()) -> None:
    "Raise TypeError for keywords that no loader takes. others: what this kind of loader takes besides."
    for name in ("item_tfms", "batch_tfms"):
        if name in unknown:
            raise TypeError(f"{where} does not take {name}: give a DataBlock {name}=, or write "
                            f"{'after_item' if name == 'item_tfms' else 'after_batch'}= here")
    for name in unknown:
        if name in INSTEAD_OF_HOOKS:
            raise TypeError(f"{where} does not take {name}: {INSTEAD_OF_HOOKS[name]}")
    reject_unknown(unknown, (*LOADER_KEYWORDS, *others), where)


def check_dataloaders_keywords(kwargs: Mapping[str, Any], where: str, others: Iterable[str] = ("dl_type", "path")) -> None:
    """Raise TypeError for keywords that `dataloaders` does not take, before any data are looked at.

    Args:
        kwargs: the keywords. One of a loader with `val_` before its name is for the loaders that are not for training.
        where: the call as the user knows it.
        others: what this call takes besides the keywords of a loader.
    """
    allowed = {*LOADER_KEYWORDS, "val_bs", *others} - {"split_idx"}
    unknown = {k: v for k, v in kwargs.items() if k.removeprefix("val_") not in allowed}
    reject_unknown(unknown, {*allowed, *(f"val_{k}" for k in LOADER_KEYWORDS if any(u.startswith("val_") for u in unknown))}, where)


def _is_whole(value, least):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def check_bs(bs: Any, n: int, drop_last: bool) -> None:
    "Refuse a number of items per batch that is none, or that leaves no batch of `n` items."
    if not _is_whole(bs, 1):
        raise ValueError(f"bs={bs!r}: a batch has a whole number of items, at least 1")
    if n < 1 or (drop_last and bs > n):
        raise ValueError(f"the dataset is smaller than one batch: drop_last=True with {plural(n, 'item')} and bs={bs} leaves no batch at "
                         f"all, and nothing would be trained. Use bs={n} or less, or drop_last=False")


def is_empty(dataset: Any) -> bool:
    "Whether a dataset has no items; refused is one that has no length or no indices."
    if isinstance(dataset, IterableDataset):
        raise TypeError(f"DataLoader needs a dataset with len and indices; {type(dataset).__name__} is an IterableDataset: write "
                        "StreamLoader(dataset, bs=..., n_items=...), with the number of items of an epoch, or n_batches=...")
    if not hasattr(dataset, "__len__") or not (hasattr(dataset, "__getitem__") or hasattr(dataset, "sample")) or hasattr(dataset, "iloc"):
        raise TypeError(f"DataLoader needs a dataset with len and indices; received {describe(dataset)}. Items become a dataset with "
                        "Datasets(items, tfms) or a DataBlock, tensors with torch.utils.data.TensorDataset(x, y)")
    return not len(dataset) and not getattr(dataset, "is_template", False)


def check_loader_args(empty: bool, bs: Any, shuffle: Any, num_workers: Any, seed: Any, sampler: Any, timeout: Any,
                      persistent_workers: Any, worker_type: Any = None, on_error: Any = "raise",
                      multiprocessing_context: Any = None) -> None:
    "Refuse what cannot work, all problems at once."
    whole = _is_whole
    problems = {
        "the dataset is empty": empty,
        f"bs={brief(bs)}: a batch has a whole number of items, at least 1"
        f"{f'; those of validation are val_bs={brief(bs[1])}' if isinstance(bs, (list, tuple)) and len(bs) == 2 else ''}": not whole(bs, 1),
        f"num_workers={brief(num_workers)}: a whole number of workers, 0 for none, None to choose":
            num_workers is not None and not whole(num_workers, 0),
        f"seed={brief(seed)}: a whole number >= 0, or None": seed is not None and not whole(seed, 0),
        f"timeout={brief(timeout)}: seconds >= 0": timeout is not None and (not isinstance(timeout, (int, float)) or timeout < 0),
        "shuffle=True and sampler=... both say in which order: give one of them": sampler is not None and bool(shuffle),
        f"sampler={describe(sampler)}: a sampler must have a length": sampler is not None and not hasattr(sampler, "__len__"),
        "persistent_workers=True needs workers, but num_workers=0": bool(persistent_workers) and num_workers == 0,
        f"worker_type={brief(worker_type)}: it is 'thread', 'process' or None to choose": worker_type not in (None, "thread", "process"),
        f"worker_type='thread' and multiprocessing_context={brief(multiprocessing_context)}, which is for processes: give one of them":
            worker_type == "thread" and multiprocessing_context is not None,
        f"on_error={brief(on_error)}: it is 'raise' or 'skip'": on_error not in ("raise", "skip"),
    }
    if any(problems.values()):
        raise ValueError("DataLoader: " + "; ".join(text for text, is_one in problems.items() if is_one))
