"""From samples to a batch: stacking, and remembering which tensors were images, masks, boxes.

Images need not be stacked: they are written where they belong in the batch. The last item transform (`ToTensor`) has a method
`into(sample, place)` beside `__call__`: it writes each image where `place` says, channels last as it was decoded, and puts the `Place` into
the sample. `collate` sees that the places of a column are the rows of one tensor: then that is the batch. Where they are not (an image of
another size), what was written is stacked as anything else.
Measured (2026-11, 2 cores, 500x375 JPEGs to 224x224, cache='ram'): 8 to 12 % of the processor time inline, 4 to 8 % with two threads.
Fallback: `image_writer` returns None, and `ToTensor` makes contiguous tensors, which are stacked.
"""
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from ...core.messages import describe
from ...core.nested import children, leaves, like, map_nested
from ..pipeline import Pipeline
from ..transforms import Transform
from .sending import SMALL

#: An array (H,W,C) to write an image of this shape into, and what stands for the image in the sample until the batch is whole.
GivePlace = Callable[[tuple[int, int, int]], "Place | None"]


class Place:
    "A row of a batch in the making, and the image that was written there."

    __slots__ = ("array", "batch", "image", "row")

    def __init__(self, batch: torch.Tensor, array: np.ndarray, row: int):
        self.batch, self.array, self.row = batch, array, row
        self.image: torch.Tensor | None = None


class Places:
    """The memory of a batch of `n` samples, given out before there is a batch: uint8, channels last.

    Images of another size than the first one get no place. pin: in page-locked memory.
    """

    def __init__(self, n: int, pin: bool = False):
        self.n, self.pin = n, pin
        self._made, self._lock = [], threading.Lock()

    def of_sample(self, row: int) -> GivePlace:
        "A function that gives a place to one image of sample `row` after the other."
        asked = -1

        def place(shape):
            nonlocal asked
            asked += 1
            return self._place(row, asked, shape)
        return place

    def _place(self, row, k, shape):
        with self._lock:
            if k == len(self._made):
                rows = torch.empty((self.n, *shape), dtype=torch.uint8, pin_memory=self.pin)
                self._made.append((rows.permute(0, 3, 1, 2), rows.numpy()))
            elif k > len(self._made):
                return None
        batch, rows = self._made[k]
        return Place(batch, rows[row], row) if rows.shape[1:] == shape else None


def stack_places(images: Sequence[Any]) -> torch.Tensor | None:
    "The batch (B,C,H,W) whose rows these `Place`s are; None where they are not, or not all of them."
    batch = images[0].batch if isinstance(images[0], Place) else None
    if batch is None or len(batch) != len(images):
        return None
    whole = all(isinstance(o, Place) and o.batch is batch and o.row == i for i, o in enumerate(images))
    return batch if whole else None


def image_writer(after_item: Pipeline, before_batch: Pipeline, after_batch: Sequence[Transform] | Pipeline,
                 collate_fn: Callable | None) -> Transform | None:
    """The last item transform, if it can write images (has `into`) and nothing looks at them between it and the batch transforms, the
    first of which takes images of any memory layout; else None."""
    if len(before_batch) or collate_fn is not None or not len(after_item) or not len(after_batch):
        return None
    last = after_item[-1]
    return last if hasattr(last, "into") and last.split_idx is None and getattr(after_batch[0], "any_layout", False) else None


_PLAIN = {torch.Tensor, int, float, bool, str}


def is_plain(sample: Any) -> bool:
    "Whether a sample is a tuple of plain tensors, numbers and texts, of which nothing is to be converted, or remembered."
    return type(sample) is tuple and _PLAIN.issuperset(map(type, sample))


def with_tensors(samples: list[Any]) -> list[Any]:
    "`samples` with `element.to_tensor()` in the place of elements that have this method: images, where no transform has made tensors."
    if not any(hasattr(type(o), "to_tensor") for o in leaves(samples[0])):
        return samples
    return [map_nested(lambda o: o.to_tensor() if hasattr(type(o), "to_tensor") else o, sample) for sample in samples]


def collate(samples: Sequence[Any], names: Sequence[str] | None = None, _place: str = "") -> Any:
    """One batch of `samples`: tuples, named tuples, lists, dicts or dataclasses of tensors, arrays and numbers become the same of
    stacked tensors.

    Python numbers become tensors of torch's default type (float32, int64, bool); strings and None stay lists. Tensor subclasses
    become plain tensors, see `kinds_of`. names: what to call each sample in an error.
    """
    one, types = samples[0], set(map(type, samples))
    if Place in types:
        batch = stack_places(samples)
        if batch is not None:
            return batch
        samples = [o.image if isinstance(o, Place) else o for o in samples]
        one, types = samples[0], set(map(type, samples))
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return _stack(samples, names, _place, types == _PLAIN_TENSORS)
    if isinstance(one, (str, bytes)) or one is None:
        return list(samples)
    if isinstance(one, (Number, np.generic)):
        return _numbers(samples, _place, types)
    if len(types) > 1:
        odd = next(o for o in samples if type(o) is not type(one))
        raise TypeError(f"the samples of a batch{_place} must be alike: received {describe(one)} and {describe(odd)}")
    if isinstance(one, Mapping):
        for o, name in zip(samples, names or map(str, range(len(samples))), strict=False):
            if o.keys() != one.keys():
                raise ValueError(f"the samples of a batch must have the same keys: received {sorted(one)} and, of {name}, {sorted(o)}")
        keys: Sequence[Any] = list(one)
        rows: Sequence[Any] = [[o[k] for k in one] for o in samples]
    else:
        rows = samples if isinstance(one, (tuple, list)) else [children(o) for o in samples]
        if rows[0] is None:
            hint = "turn the image into a tensor, `item_tfms=ToTensor`" if hasattr(one, "getbands") else \
                "turn it into a tensor with a transform"
            raise TypeError(f"element{_place} of the samples is {describe(one)}, of which no batch can be made: {hint}, or give the "
                            "loader a `collate_fn`")
        keys, sizes = [f.name for f in fields(one)] if is_dataclass(one) else range(len(rows[0])), set(map(len, rows))
        if len(sizes) > 1:
            raise ValueError(f"the samples of a batch{_place} must have the same number of elements: received {sorted(sizes)}. For items "
                             "of different lengths give the loader a `before_batch` transform that pads them, or a `collate_fn`")
    columns = [collate(column, names, f"{_place} [{k!r}]") for k, column in zip(keys, zip(*rows, strict=True), strict=True)]
    return tuple(columns) if type(one) is tuple else like(one, columns)


_PLAIN_TENSORS = {torch.Tensor}


def _numbers(samples, place, types):
    if types == {int} and min(samples) >= -2**63 and max(samples) < 2**63:
        return torch.from_numpy(np.array(samples, np.int64))        # what `torch.tensor` gives, in a quarter of the time
    if isinstance(samples[0], np.generic) and not isinstance(samples[0], (float, np.bool_)):
        return torch.as_tensor(np.array(samples))
    try:
        of_numpy = any(issubclass(t, np.generic) for t in set(map(type, samples)))
        return torch.tensor([o.item() if isinstance(o, np.generic) else o for o in samples] if of_numpy else samples)
    except (TypeError, ValueError, RuntimeError) as e:
        raise TypeError(f"element{place} of the samples is a number here and something else there: {describe(samples[:4])}") from e


def _stack(samples, names, place, are_plain=False):
    tensors = samples if are_plain else _as_plain(samples, place)
    try:
        if tensors[0].layout is torch.strided and not tensors[0].is_nested and tensors[0].nbytes * len(tensors) <= SMALL:
            return torch.stack(tensors)             # sent as bytes
        return default_collate(tensors)             # which stacks into shared memory where it runs in a worker
    except RuntimeError:
        shapes = {}
        for i, t in enumerate(tensors):
            shapes.setdefault(tuple(t.shape), i)
        if len(shapes) == 1:
            raise
    seen = "; ".join(f"{list(s)}{f' ({names[i]})' if names else f' (sample {i})'}" for s, i in list(shapes.items())[:4])
    raise ValueError(f"cannot make a batch: element{place} of the samples has {len(shapes)} different shapes: {seen}. "
                     + ("Bring all to one size, for images with `item_tfms=Resize(224)`" if tensors[0].ndim >= 2 else
                        "Pad them to one length in a `before_batch` transform, or give the loader a `collate_fn`"))


def _as_plain(samples, place):
    "Tensors and arrays as plain tensors."
    tensors = [torch.as_tensor(o) if isinstance(o, np.ndarray) else o for o in samples]
    odd = next((t for t in tensors if not isinstance(t, torch.Tensor)), None)
    if odd is not None:
        raise TypeError(f"element{place} of the samples is a tensor here and {describe(odd)} there")
    return [t if type(t) is torch.Tensor else t.as_subclass(torch.Tensor) for t in tensors]


# -- kinds: what the elements were before they became plain tensors ----------------------------------------------------------------
class Kind:
    "A tensor subclass with its metadata (torchvision's boxes have a format and a canvas size), without the tensor."
    __slots__ = ("attributes", "cls")

    def __init__(self, tensor: torch.Tensor):
        self.cls, self.attributes = type(tensor), dict(vars(tensor))

    @classmethod
    def of(cls, tensor_cls: type[torch.Tensor], attributes: dict[str, Any]) -> "Kind":
        "The kind of a tensor of this class with these attributes."
        new = object.__new__(cls)
        new.cls, new.attributes = tensor_cls, attributes
        return new

    def wrap(self, tensor: torch.Tensor) -> torch.Tensor:
        "`tensor` as this subclass; also with a batch axis, which `tv_tensors.wrap` does not allow for boxes."
        wrapped = tensor.as_subclass(torch.Tensor).as_subclass(self.cls)
        vars(wrapped).update(self.attributes)
        return wrapped


def _kind(x):
    x = x.image if isinstance(x, Place) else x
    return Kind(x) if isinstance(x, torch.Tensor) and type(x) not in (torch.Tensor, torch.nn.Parameter) else None


def kinds_of(sample: Any) -> Any:
    "The nesting of `sample` with a `Kind` for each tensor of a subclass; None for a part in which there is none."
    if isinstance(sample, (tuple, list)):
        kinds = [kinds_of(o) for o in sample]
        return tuple(kinds) if any(k is not None for k in kinds) else None
    if isinstance(sample, Mapping):
        by_key = {k: kinds_of(v) for k, v in sample.items()}
        return by_key if any(k is not None for k in by_key.values()) else None
    if is_dataclass(sample) and not isinstance(sample, type):
        return replace(sample, **{f.name: kinds_of(getattr(sample, f.name)) for f in fields(sample)})
    return _kind(sample)


def kinds_after(batch: Any, before: Any) -> Any:
    """The kinds of a batch after its transforms. An element that became a plain tensor, but still has two axes or more per item, is
    of the kind it had before: arithmetic on a `tv_tensors.Image` makes a plain tensor of it, which is an image all the same."""
    typed = wrap_kinds(batch, before)

    def kind(x, as_before):
        return _kind(x) or (_kind(as_before) if getattr(x, "ndim", 0) > 2 else None)

    if isinstance(batch, tuple) and isinstance(typed, tuple) and not any(isinstance(o, (tuple, list, dict)) for o in batch):
        kinds = tuple(map(kind, batch, typed))
        return kinds if any(k is not None for k in kinds) else None
    return kinds_of(batch) or kinds_of(typed)


def wrap_kinds(x: Any, kinds: Any) -> Any:
    "`x` with the tensor subclasses of `kinds`; elements that are no longer tensors, or no longer there, stay as they are."
    if kinds is None:
        return x
    if isinstance(kinds, Kind):
        return kinds.wrap(x) if isinstance(x, torch.Tensor) else x
    if isinstance(x, dict) and isinstance(kinds, dict):
        return type(x)((k, wrap_kinds(v, kinds.get(k))) for k, v in x.items())
    if isinstance(x, (tuple, list)) and isinstance(kinds, (tuple, list)):
        parts = [wrap_kinds(o, kinds[i] if i < len(kinds) else None) for i, o in enumerate(x)]
        return tuple(parts) if type(x) is tuple else like(x, parts)
    if is_dataclass(x) and is_dataclass(kinds) and not isinstance(x, type):
        return replace(x, **{f.name: wrap_kinds(getattr(x, f.name), getattr(kinds, f.name)) for f in fields(x)})
    return x


def unbatch(x: Any, i: int) -> Any:
    "Item `i` of the batch `x`, with the same nesting. A list of anything but tensors (of strings, say) holds one value per item."
    if isinstance(x, list) and x and not isinstance(x[0], torch.Tensor):
        return x[i]
    parts = children(x)
    if parts is not None:
        return like(x, [unbatch(o, i) for o in parts])
    return x[i] if hasattr(x, "__getitem__") and not isinstance(x, (str, bytes)) else x
