"""The arguments of a loader: their names, and what cannot work."""
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from torch.utils.data import IterableDataset

from ..core.messages import describe, reject_unknown

#: The keywords of `DataLoader`, besides its dataset.
LOADER_KEYWORDS = ("bs", "batch_size", "shuffle", "num_workers", "drop_last", "after_item", "before_batch", "after_batch", "device",
                   "n_inp", "seed", "sampler", "collate_fn", "pin_memory", "persistent_workers", "timeout", "multiprocessing_context",
                   "split_idx", "verbose", "worker_type", "on_error", "cache", "cache_bytes")


def reject_unknown_loader_args(unknown: Mapping[str, Any], where: str = "DataLoader(...)") -> None:
    "Raise TypeError for keywords that no loader takes."
    for name in ("item_tfms", "batch_tfms"):
        if name in unknown:
            raise TypeError(f"{where} does not take {name}: give a DataBlock {name}=, or write "
                            f"{'after_item' if name == 'item_tfms' else 'after_batch'}= here")
    reject_unknown(unknown, LOADER_KEYWORDS, where)


def check_loader_args(dataset: Any, bs: Any, shuffle: Any, num_workers: Any, seed: Any, sampler: Any, timeout: Any,
                      persistent_workers: Any, worker_type: Any = None, on_error: Any = "raise",
                      multiprocessing_context: Any = None) -> None:
    "Refuse what cannot work, all problems at once."
    if isinstance(dataset, IterableDataset):
        raise TypeError(f"DataLoader needs a dataset with len and indices; {type(dataset).__name__} is an IterableDataset. Put it in "
                        "torch's own DataLoader, and that in DataLoaders(train_dl, valid_dl)")
    if not hasattr(dataset, "__len__") or not (hasattr(dataset, "__getitem__") or hasattr(dataset, "sample")) or hasattr(dataset, "iloc"):
        raise TypeError(f"DataLoader needs a dataset with len and indices; received {describe(dataset)}. Items become a dataset with "
                        "Datasets(items, tfms) or a DataBlock, tensors with torch.utils.data.TensorDataset(x, y)")

    def whole(value, least):
        return isinstance(value, Integral) and not isinstance(value, bool) and value >= least

    problems = {
        "the dataset is empty": not len(dataset) and not getattr(dataset, "is_template", False),
        f"bs={bs!r}: a batch has a whole number of items, at least 1": not whole(bs, 1),
        f"num_workers={num_workers!r}: a whole number of workers, 0 for none, None to choose":
            num_workers is not None and not whole(num_workers, 0),
        f"seed={seed!r}: a whole number >= 0, or None": seed is not None and not whole(seed, 0),
        f"timeout={timeout!r}: seconds >= 0": timeout is not None and (not isinstance(timeout, (int, float)) or timeout < 0),
        "shuffle=True and sampler=... both say in which order: give one of them": sampler is not None and bool(shuffle),
        f"sampler={describe(sampler)}: a sampler must have a length": sampler is not None and not hasattr(sampler, "__len__"),
        "persistent_workers=True needs workers, but num_workers=0": bool(persistent_workers) and num_workers == 0,
        f"worker_type={worker_type!r}: it is 'thread', 'process' or None to choose": worker_type not in (None, "thread", "process"),
        f"worker_type='thread' and multiprocessing_context={multiprocessing_context!r}, which is for processes: give one of them":
            worker_type == "thread" and multiprocessing_context is not None,
        f"on_error={on_error!r}: it is 'raise' or 'skip'": on_error not in ("raise", "skip"),
    }
    if any(problems.values()):
        raise ValueError("DataLoader: " + "; ".join(text for text, is_one in problems.items() if is_one))
