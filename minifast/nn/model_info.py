"""Looking into a model: its parameters, its layers, the shapes it makes, and the table of all these."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from ..core import fixed_seed, leaves
from .containers import ParameterModule
from .hooks import Hooks, hook_outputs


def params(m: nn.Module) -> list[nn.Parameter]:
    """All parameters of a module, as a list.

    Args:
        m: a model or layer.
    """
    return list(m.parameters())


def one_param(m: nn.Module) -> nn.Parameter:
    """The first parameter of a module, which tells its device and dtype.

    Args:
        m: the module.

    Raises:
        ValueError: it has no parameters.
    """
    if not has_params(m):
        raise ValueError(f"{type(m).__name__} has no parameters")
    return next(m.parameters())


def requires_grad(m: nn.Module) -> bool:
    """Whether the first parameter of a module is trainable; False without parameters.

    Args:
        m: the module.
    """
    return next((p.requires_grad for p in m.parameters()), False)


def children_of(m: nn.Module) -> list[nn.Module]:
    "The direct children of `m`, as a list."
    return list(m.children())


def has_children(m: nn.Module) -> bool:
    """Whether `m` consists of other modules.

    Args:
        m: a module.
    """
    return next(m.children(), None) is not None


def children_and_parameters(m: nn.Module) -> list[nn.Module]:
    """The children of a module, then the parameters that it holds itself, each as a `ParameterModule`.

    Args:
        m: the module.
    """
    return [*m.children(), *map(ParameterModule, m.parameters(recurse=False))]


def flatten_model(m: nn.Module) -> list[nn.Module]:
    """The layers of a model in order: modules without children, and those that hold parameters besides their children.

    Args:
        m: the model.
    """
    return [o for o in m.modules() if not has_children(o) or any(True for _ in o.parameters(recurse=False))]


def total_params(m: nn.Module) -> tuple[int, bool]:
    """The number of parameters of a module, and whether any of them is trainable.

    Args:
        m: the module.
    """
    return sum(p.numel() for p in m.parameters()), any(p.requires_grad for p in m.parameters())


def in_channels(m: nn.Module) -> int:
    """The number of channels that the first convolution of a model takes.

    Args:
        m: the model.

    Raises:
        ValueError: it has no convolution.
    """
    for layer in m.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            return layer.in_channels
    raise ValueError(f"{type(m).__name__} has no convolution, so its number of input channels is not known")


def channels_last(shape: Sequence[int], img_size: Sequence[int]) -> bool:
    """Whether maps of this shape are (B,H,W,C), as some transformers have them inside, rather than (B,C,H,W).

    img_size: (height, width) of the images they are made of.
    """
    _, a, b, c = shape

    def strain(height, width):          # how far from the aspect ratio of the images
        fits = height <= img_size[0] + 2 and width <= img_size[1] + 2
        return abs(height / img_size[0] - width / img_size[1]) if fits else 9.0
    return strain(a, b) < strain(b, c)


@contextmanager
def eval_mode(m: nn.Module) -> Iterator[nn.Module]:
    "Within the block `m` is in evaluation mode without gradients; afterwards each of its modules is in the mode it was in."
    modes = [(o, o.training) for o in m.modules()]
    try:
        with torch.no_grad():
            yield m.eval()
    finally:
        for o, mode in modes:
            o.training = mode


def dummy_eval(m: nn.Module, size: tuple[int, int] = (64, 64)) -> Any:
    """Run a model in evaluation mode on one random image; its modes and the random streams stay as they are.

    Args:
        m: takes (1,C,H,W), with C channels of its first convolution.
        size: (height, width) of the image in pixels.

    Returns:
        The output of the model.
    """
    p = one_param(m)
    x = torch.rand(1, in_channels(m), *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with fixed_seed(), eval_mode(m):
        return m(x.to(p.device, p.dtype if p.is_floating_point() else None))


def model_sizes(m: nn.Module, size: tuple[int, int] = (64, 64)) -> list[torch.Size | None]:
    """The output shape of each child of a model for one image.

    Args:
        m: a model of children that are called one after another.
        size: (height, width) of the image in pixels.

    Returns:
        A shape per child; None where the output is no tensor.
    """
    with hook_outputs(children_of(m)) as hooks:
        dummy_eval(m, size)
    return [getattr(out, "shape", None) for out in hooks.stored]


def num_features_model(m: nn.Module) -> int:
    """The number of channels that a body puts out.

    Args:
        m: an `nn.Sequential` of convolutional layers. It is tried on images of 32 pixels and more, until one is large enough.

    Raises:
        ValueError: no image up to 1024 pixels passes through it.
    """
    for size in (32, 64, 128, 256, 512, 1024):
        try:
            return model_sizes(m, (size, size))[-1][1]
        except (RuntimeError, ValueError) as e:                 # the image may be too small for the strides of this model
            error = e
    raise ValueError(f"no image from 32 to 1024 pixels passes through this {type(m).__name__}: {error}") from error


def has_params(m: nn.Module) -> bool:
    """Whether a module holds parameters, in itself or in its children.

    Args:
        m: the module.
    """
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
    """The layers of a model in the order in which they are called; those that are not called come last.

    The model is run once in evaluation mode; modes, hooks and random streams are afterwards as they were.

    Args:
        model: the model.
        *inputs: what it is called with, such as the inputs of a batch.
        **kw_inputs: its keyword arguments.

    Returns:
        A row per layer: its name, class, output shape, number of parameters that no earlier row has counted, whether they are trainable.
    """
    names = {m: n for n, m in model.named_modules()}
    layers, shapes = flatten_model(model), {}
    with Hooks(layers, lambda m, inp, out: shapes.setdefault(m, _shapes(out)), detach=False), fixed_seed(), eval_mode(model):
        model(*inputs, **kw_inputs)
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
