"""The table of a model's layers."""
from typing import Any, NamedTuple

import torch
from torch import nn

from ..core.nested import leaves
from ..core.seeds import fixed_seed
from .model_info import eval_mode, flatten_model


def has_params(m: nn.Module) -> bool:
    "Whether `m` holds parameters, in itself or its children."
    return next(iter(m.parameters()), None) is not None


class LayerInfo(NamedTuple):
    """A row of `layer_info`.

    Attributes:
        name: path in the model.
        type: name of the class.
        shape: of the output, or a list of shapes (None: it was not called).
        params: number of its own parameters, counted once when shared.
        trainable: True, False, or None without parameters.
    """

    name: str
    type: str
    shape: tuple[int, ...] | list[tuple[int, ...]] | None
    params: int
    trainable: bool | None


def _shapes(out):
    found = [tuple(t.shape) for t in leaves(out) if isinstance(t, torch.Tensor)]
    return found[0] if len(found) == 1 else found


def layer_info(model: nn.Module, *inputs: Any, **kw_inputs: Any) -> list[LayerInfo]:
    """The layers of `model` in the order in which they are called on `inputs`.

    The model is run once in evaluation mode; modes, hooks and random streams are afterwards as they were.
    """
    names = {m: n for n, m in model.named_modules()}
    layers, shapes = flatten_model(model), {}

    def note(module, inp, out):
        shapes.setdefault(module, _shapes(out))
    handles = [m.register_forward_hook(note) for m in layers]
    try:
        with fixed_seed(), eval_mode(model):
            model(*inputs, **kw_inputs)
    finally:
        for h in handles:
            h.remove()
    rows, counted = [], set()
    for m in [*shapes, *(m for m in layers if m not in shapes)]:
        own = [p for p in m.parameters(recurse=False) if p not in counted]
        counted.update(own)
        rows.append(LayerInfo(names[m], type(m).__name__, shapes.get(m), sum(p.numel() for p in own),
                              any(p.requires_grad for p in own) if own else None))
    return rows


def module_summary(model: nn.Module, *inputs: Any, **kw_inputs: Any) -> str:
    """A table of the layers of a model: type, output shape, parameters, trainable; then the totals.

    Args:
        model: the model.
        inputs: what it is called with, such as one batch.
        kw_inputs: inputs by keyword.

    Returns:
        The table as text.
    """
    rows = [("Layer (type)", "Output shape", "Params", "Trainable")]
    previous = None
    for r in layer_info(model, *inputs, **kw_inputs):
        shape = "not called" if r.shape is None else _text(r.shape)
        rows.append((f"{r.name or '(model)'} ({r.type})", "same" if shape == previous and len(shape) > 12 else shape,
                     f"{r.params:,}" if r.params else "", "" if r.trainable is None else "yes" if r.trainable else "no"))
        previous = shape
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    line = "-" * (sum(widths) + 6)
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
    total, live = (sum(p.numel() for p in model.parameters() if p.requires_grad or not only) for only in (False, True))
    head = f"{type(model).__name__} on " + (", ".join(_text(_shapes(x)) for x in [*inputs, *kw_inputs.values()]) or "no input")
    tail = [f"Total parameters: {total:,}", f"Trainable: {live:,}", f"Frozen: {total - live:,}"]
    return "\n".join([head, line, lines[0], line, *lines[1:], line, *tail])


def _text(shape):
    return ", ".join(_text(s) for s in shape) if isinstance(shape, list) else " x ".join(map(str, shape)) or "number"
