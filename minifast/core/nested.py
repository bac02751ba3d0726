"""Batches are nested: tuples, lists, dicts and dataclasses of tensors. Functions that map over all of them."""
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from .messages import describe
from .types import Batch

TARGET_KEYS = ("labels", "label", "targets", "target", "y")


def _is_batch_dataclass(x: Any) -> bool:
    return is_dataclass(x) and not isinstance(x, type)


def children(x: Any) -> list[Any] | None:
    "What a tuple, list, mapping or dataclass holds directly; None for a leaf."
    if isinstance(x, (tuple, list)):
        return list(x)
    if isinstance(x, Mapping):
        return list(x.values())
    return [getattr(x, o.name) for o in fields(x)] if _is_batch_dataclass(x) else None


def like(x: Any, values: list[Any]) -> Any:
    "A container of the same class and keys as `x` (a named tuple, `defaultdict`, tokenizer output ...) that holds `values`."
    if isinstance(x, tuple):
        return type(x)(*values) if hasattr(x, "_fields") else tuple(values)
    if isinstance(x, list):
        return values
    if not isinstance(x, Mapping):
        return replace(x, **{o.name: value for o, value in zip(fields(x), values, strict=True)})
    made: Any = copy(x)
    for key, value in zip(x, values, strict=True):
        made[key] = value
    return made


def map_nested(f: Callable[[Any], Any], x: Any) -> Any:
    "Apply `f` to every leaf of `x`, keeping its tuples, named tuples, lists, dicts and dataclasses."
    values = None if isinstance(x, torch.Tensor) else children(x)
    return f(x) if values is None else like(x, [map_nested(f, v) for v in values])


def leaves(x: Any) -> list[Any]:
    "Every leaf of `x`, in order."
    values = None if isinstance(x, torch.Tensor) else children(x)
    return [x] if values is None else [leaf for value in values for leaf in leaves(value)]


def _tensors_only(f):
    return lambda x: f(x) if isinstance(x, torch.Tensor) else x


def to_device(x: Batch, device: torch.device | str | int | None = None, non_blocking: bool = False) -> Batch:
    """Move every tensor of a batch to a device.

    Args:
        x: a tensor, or nested tuples, lists, dicts or dataclasses of tensors.
        device: default: `default_device()`.
        non_blocking: as in `torch.Tensor.to`.
    """
    if device is None:
        from .device import default_device
        device = default_device()
    return map_nested(_tensors_only(lambda t: t.to(device, non_blocking=non_blocking)), x)


def to_cpu(x: Batch) -> Batch:
    """Move every tensor of a batch to the CPU.

    Args:
        x: a tensor, or nested tuples, lists, dicts or dataclasses of tensors.
    """
    return map_nested(_tensors_only(lambda t: t.cpu()), x)


def to_detach(x: Batch, cpu: bool = True) -> Batch:
    """Detach every tensor of a batch from its graph.

    Args:
        x: a tensor, or nested tuples, lists, dicts or dataclasses of tensors.
        cpu: also move it to the CPU.
    """
    return map_nested(_tensors_only(lambda t: t.detach().cpu() if cpu else t.detach()), x)


def to_np(x: Batch) -> Any:
    """Turn every tensor of a batch into a numpy array.

    Args:
        x: a tensor, or nested tuples, lists, dicts or dataclasses of tensors.
    """
    return map_nested(_tensors_only(lambda t: t.detach().cpu().numpy()), x)


def plain(x: Batch) -> Batch:
    "`x` with every tensor subclass (such as `tv_tensors.Image`) as a plain `torch.Tensor`: what a model should see."
    return map_nested(lambda t: t.as_subclass(torch.Tensor) if isinstance(t, torch.Tensor) and type(t) is not torch.Tensor else t, x)


def with_attributes(tensor: torch.Tensor, like: torch.Tensor, **changes: Any) -> Any:
    """`tensor` as the class of `like` with its attributes.

    Args:
        tensor: the values.
        like: such as a `tv_tensors.BoundingBoxes`.
        **changes: attributes that are to differ.
    """
    made = tensor.as_subclass(torch.Tensor).as_subclass(type(like))
    vars(made).update(vars(like))
    vars(made).update(changes)
    return made


def typed_again(new: torch.Tensor, old: Any, returned: type | None = None) -> Any:
    """A plain tensor as what a transform of `old` gives.

    Args:
        new: what the transform made of `old`.
        old: its class is kept, where that is one of its own, such as `tv_tensors.Image`.
        returned: the class to give instead, where the transform names one.
    """
    if returned is not None:
        return new.as_subclass(returned) if issubclass(returned, torch.Tensor) and returned is not torch.Tensor else new
    special = isinstance(old, torch.Tensor) and type(old) not in (torch.Tensor, torch.nn.Parameter)
    return with_attributes(new, old) if special else new


def as_tuple(x: Any) -> tuple:
    "A tuple as it is; anything else as its only element."
    return x if isinstance(x, tuple) else (x,)


def item_of(x: Batch, i: int) -> Batch:
    "Item `i` of a batch, nested as it is; a list is one of items."
    return x[i] if isinstance(x, list) else map_nested(lambda o: o[i], x)


def items_at(x: Batch, indices: torch.Tensor, dim: int = 0) -> Batch:
    """Some items of a batch, nested as it is; a list is one of items.

    Args:
        x: a batch.
        indices: of the items, int64.
        dim: the axis of the items.
    """
    if isinstance(x, torch.Tensor):
        return x.index_select(dim, indices)
    if isinstance(x, list):
        return [x[i] for i in indices.tolist()]
    values = children(x)
    return x if values is None else like(x, [items_at(v, indices, dim) for v in values])


def find_bs(x: Batch) -> int:
    """The number of items in a batch: the length of its first tensor that has a first axis.

    Args:
        x: a tuple, list, dict or dataclass of tensors shaped (batch, ...), nested as deep as you like.

    Raises:
        ValueError: no tensor in it has an axis.
    """
    for leaf in leaves(x):
        if hasattr(leaf, "shape") and len(leaf.shape):
            return leaf.shape[0]
    raise ValueError(f"this batch has no tensor with a first (batch) axis: received {describe(x)}. "
                     "A batch is a tuple, list, dict or dataclass of tensors shaped (batch, ...).")


def find_device(x: Batch) -> torch.device:
    """The device of a batch: that of its first tensor.

    Args:
        x: a tensor, or a tuple, list, dict or dataclass of tensors, nested as deep as you like.

    Raises:
        ValueError: it has no tensor.
    """
    for leaf in leaves(x):
        if isinstance(leaf, torch.Tensor):
            return leaf.device
    raise ValueError(f"find_device: there is no tensor in {describe(x)}; of a model write next(model.parameters()).device")


def to_concat(parts: list[Batch], dim: int = 0) -> Batch:
    """Concatenate equally nested batches leaf by leaf.

    Args:
        parts: the batches, at least one. A tensor without axes counts as one item. Where tensors differ in an axis other than `dim`
            (sequences of several lengths), the result is the list of their items.
        dim: the axis to concatenate along.
    """
    if not parts:
        raise ValueError("to_concat() got an empty list: there are no batches to join")
    first = parts[0]
    if children(first) is not None:
        rows = [[p[k] for k in first] if isinstance(first, Mapping) else children(p) for p in parts]
        return like(first, [to_concat(list(column), dim) for column in zip(*rows, strict=True)])
    if not isinstance(first, torch.Tensor):
        return [o for p in parts for o in (p if isinstance(p, list) else [p])]
    parts = [p if p.ndim else p.reshape(1) for p in parts]
    first = parts[0]
    other = [i for i in range(first.ndim) if i != dim]
    if any(p.ndim != first.ndim or any(p.shape[i] != first.shape[i] for i in other) for p in parts):
        return [item for p in parts for item in p]
    return torch.cat(parts, dim=dim)


def split_batch(batch: Batch, n_inp: int | None = None) -> tuple[tuple, dict[str, Any], tuple]:
    """Split a batch into `(inputs, keyword_inputs, targets)`: two tuples around a dict.

    A tuple or list gives its first `n_inp` elements as inputs and the rest as targets. A dict or dataclass is passed to the model by
    keyword, less its target, the first of `labels, label, targets, target, y` present. A lone tensor is an input without target.

    Args:
        batch: what a loader yields.
        n_inp: how many elements are inputs (default: all but the last).
    """
    if isinstance(batch, (tuple, list)):
        n_inp = (len(batch) - 1 or 1) if n_inp is None else n_inp
        return tuple(batch[:n_inp]), {}, tuple(batch[n_inp:])
    if isinstance(batch, torch.Tensor):
        return (batch,), {}, ()
    if _is_batch_dataclass(batch):
        batch = {o.name: getattr(batch, o.name) for o in fields(batch)}
    if isinstance(batch, Mapping):
        target = next((k for k in TARGET_KEYS if k in batch), None)
        return (), {k: v for k, v in batch.items() if k != target}, (() if target is None else (batch[target],))
    raise TypeError(f"a batch must be a tensor, tuple, list, dict or dataclass of tensors; received {describe(batch)}. "
                    "Give the loader a `collate_fn` that returns one of these.")
