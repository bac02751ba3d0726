"""Which layer of a model an error came from, what it received, and what to write: torch's own words name neither."""
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import nn

from ..core.messages import add_note, brief, describe


def note_layer(error: BaseException, model: nn.Module, inputs: Sequence[Any]) -> None:
    """Attach to an error of a model's `forward` the layer that it came from, with the values that this received.

    >>> note_layer(error, model, (x,))
    in the layer '2' of the model, Linear(in_features=4, out_features=1, bias=True), which received float32[8,5]: write nn.Linear(5, 1)

    Args:
        error: what was raised.
        model: the model that was called; a layer is named as in its `named_modules()`.
        inputs: what it was called with.
    """
    names = {id(m): name for name, m in model.named_modules()}
    found = _deepest(error.__traceback__, names)
    if found is None:
        if isinstance(error, TypeError):                    # of the call itself
            add_note(error, f"the model was called with {', '.join(map(describe, inputs)) or 'nothing'}")
        return
    layer, values = found
    name = names[id(layer)]
    where = f"the layer {name!r} of the model" if name else "the model"
    tensors = [o for o in values if isinstance(o, torch.Tensor)]
    add_note(error, f"in {where}, {brief(layer)}, which received {', '.join(map(describe, values)) or 'nothing'}"
                    + (_advice(layer, tensors[0]) if tensors else ""))


def _deepest(traceback: TracebackType | None, names: dict[int, str]) -> tuple[nn.Module, list[Any]] | None:
    "The last layer whose `forward` the traceback goes through, and the arguments of that."
    found = None
    while traceback is not None:
        frame = traceback.tb_frame
        code = frame.f_code             # of other frames the variables are not looked at: that copies them, and one of them is the error
        if code.co_name == "forward" and id(own := frame.f_locals.get("self")) in names:
            found = own, [frame.f_locals[n] for n in code.co_varnames[1:code.co_argcount] if frame.f_locals.get(n) is not None]
        traceback = traceback.tb_next
    return found


def _advice(layer: nn.Module, x: torch.Tensor) -> str:
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Linear) and x.ndim and x.shape[-1] != layer.in_features:
        if x.ndim < 3:
            return f": write nn.Linear({x.shape[-1]}, {layer.out_features})"
        flat = x[0].numel()
        new = "" if flat == layer.in_features else f" and write nn.Linear({flat}, {layer.out_features})"
        return f": put nn.Flatten() before it{new}"
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and x.ndim == len(layer.kernel_size) + 2 and x.shape[1] != layer.in_channels:
        return f": write nn.{type(layer).__name__}({x.shape[1]}, {layer.out_channels}, ...), or give it {layer.in_channels} channels"
    if isinstance(layer, nn.Embedding) and x.is_floating_point():
        return ": it takes whole numbers, write x.long()"
    if isinstance(weight, torch.Tensor) and weight.dtype != x.dtype:
        kind = str(weight.dtype).removeprefix("torch.")
        return f", while its weights are {kind}: write model.float() and give it float32, x.float()"
    return ""
