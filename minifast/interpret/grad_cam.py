"""Heat maps of where a convolutional network looks, Grad-CAM and class activation maps; and the filters it looks with first.

Images have places (height, width), series (channels, steps) have steps: both are meant by places. Padding of a series (NaN in all channels)
has no score: it is NaN in the maps.

Sources: R. Selvaraju et al., "Grad-CAM", 2017; B. Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
"""
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..core.messages import describe, did_you_mean, listing
from ..core.nested import split_batch
from ..core.plots import get_grid, show_images
from ..nn.hooks import Hook, Hooks
from ..nn.model_info import channels_last, eval_mode
from .base import Interpretation, batch_of, draw_samples


def _size_of(inputs):
    "(height, width) of the images of a batch; of series (steps,)."
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    images = next((tuple(x.shape[-2:]) for x in tensors if x.ndim == 4), None)
    return images or next(((x.shape[-1],) for x in tensors if x.ndim == 3 and x.is_floating_point()), (1, 1))


def _off_padding(maps, inputs):
    "Maps (items, h, w) as they are; those of series as (items, steps), NaN on padding."
    if len(_size_of(inputs)) == 2:
        return maps
    ended = _padding_of(inputs, maps.shape[-1])
    return maps[:, 0] if ended is None else maps[:, 0].masked_fill(ended, torch.nan)


def _padding_of(inputs, n):
    "Which of `n` steps are padding, bool (items, n); None: none are, or a layer gives other steps than the series has."
    x = next((x for x in inputs if isinstance(x, torch.Tensor) and x.ndim == 3 and x.is_floating_point()), None)
    found = None if x is None or x.shape[-1] != n else x.isnan().all(1)
    return found if found is not None and bool(found.any()) else None


def _maps_of(out, size):
    """The output of a layer as maps (B,C,h,w), None if it has no places: maps; the same with channels last, as some transformers have them;
    tokens (B,tokens,D) of a square of patches, with or without one for the class before them; steps of series (B,C,T), (B,T,C), (B,C,1,T).
    size: (height, width) of the images, (steps,) of series."""
    ndim = out.ndim if isinstance(out, torch.Tensor) else None
    if len(size) == 1:
        if ndim == 3:
            return (out.mT if out.shape[1] == size[0] != out.shape[2] else out).unsqueeze(2)
        return out if ndim == 4 and out.shape[2] == 1 else None
    if ndim == 3:
        for first in (0, 1):
            side = math.isqrt(out.shape[1] - first)
            if side > 1 and side * side == out.shape[1] - first:
                return out[:, first:].unflatten(1, (side, side)).movedim(-1, 1)
    if ndim == 4:
        return out.movedim(-1, 1) if channels_last(out.shape, size) else out
    return None


def last_maps(model: nn.Module, *inputs: Any) -> nn.Module:
    """The last module of `model` whose output still has places, before it is pooled: maps of more than one place, or in a vision
    transformer the tokens that its last attention reads. The model is run once."""
    size = _size_of(inputs)
    if len(inputs[0]) == 1:         # two items: what does not depend on the images, such as tables of positions, has one
        inputs = tuple(torch.cat([x, x]) if isinstance(x, torch.Tensor) else x for x in inputs)
    n, ended, maps, features = len(inputs[0]), [], None, {m.out_channels for m in model.modules() if isinstance(m, nn.Conv1d)}

    def note(module, args, out):
        nonlocal maps
        ndim = out.ndim if isinstance(out, torch.Tensor) else None
        ended.append((module, ndim))
        if ndim == 4 or (ndim == 3 and len(size) == 1 and out.shape[1] in features):
            found = _maps_of(out, size) if "Adaptive" not in type(module).__name__ and len(out) == n else None
            if found is not None and found[0, 0].numel() > 1:
                maps = len(ended) - 1

    with eval_mode(model), Hooks([m for m in model.modules() if m is not model], note, detach=False):
        model(*inputs)
    after = [i for i in range(0 if maps is None else maps + 1, len(ended)) if "Attention" in type(ended[i][0]).__name__]
    if after and len(size) == 2:                        # the maps are its patches, and what it finds out about them comes later
        inside = set(ended[after[-1]][0].modules())
        tokens = next((m for m, ndim in reversed(ended[:after[-1]]) if ndim == 3 and m not in inside), None)
        if tokens is not None:
            return tokens
    if maps is None and len(size) == 1:
        raise ValueError(f"no layer of {type(model).__name__} gives features of the steps of {describe(inputs[0])}, (series, features, "
                         "steps), of which a score could be made: give one as layer=, or take a model of convolutions, such as FCN")
    if maps is None:
        raise ValueError(f"no layer of {type(model).__name__} gives maps (items, channels, h, w) of more than one place for images of "
                         f"{size[0]} x {size[1]} pixels: give larger images, or layer=")
    return ended[maps][0]


def grad_cam(model: nn.Module, xb: Any, target: Any = None, layer: nn.Module | None = None) -> torch.Tensor:
    """How much each place of each image is evidence for a class.

    Args:
        model: run in evaluation mode; its gradients, modes and hooks do not change.
        xb: a batch of inputs.
        target: the class (an int, or one per item); None: the predicted one.
        layer: the module whose output is used: maps (items, channels, h, w), or tokens of a square of patches (items, tokens, features),
            of series (items, channels, steps); None: see `last_maps`.

    Returns:
        Floats in the resolution of the layer, from 0 to 1: (items, h, w), of series (items, steps).
    """
    inputs = xb if isinstance(xb, (tuple, list)) else (xb,)
    layer = last_maps(model, *inputs) if layer is None else layer
    kept = {}

    def keep(module, args, out):
        is_tensor = isinstance(out, torch.Tensor)
        kept["out"] = out.detach().requires_grad_() if is_tensor and not out.requires_grad else out
        return kept["out"].clone() if is_tensor else None           # the layer after it may work in place

    with eval_mode(model), torch.enable_grad():
        with layer.register_forward_hook(keep):
            pred = model(*inputs)
        out = kept.get("out")
        maps = _maps_of(out, _size_of(inputs))
        if maps is None:
            raise ValueError(
                f"grad_cam(layer=...): the layer must be run and give (items, channels, h, w), or the tokens of a square of patches; "
                f"{type(layer).__name__} gave {'nothing: it was not run' if out is None else describe(out)}. Leave layer out, or give one "
                "before the pooling"
            )
        if pred.ndim != 2:
            raise ValueError(f"grad_cam() explains one score per class, (items, classes); the model gives {describe(pred)}")
        target = target_of(pred, target)
        grads, = torch.autograd.grad(pred.gather(1, target[:, None]).sum(), out)
    weights = _maps_of(grads, _size_of(inputs)).mean((2, 3), keepdim=True)
    cam = (weights * maps).sum(1).relu().detach()
    cam = cam / cam.amax((1, 2), keepdim=True).clamp(min=torch.finfo(cam.dtype).tiny)       # gradients may be very small
    return _off_padding(cam, inputs)


def target_of(pred: torch.Tensor, target: Any) -> torch.Tensor:
    "The classes to explain, one per item of the predictions `pred` (items, classes)."
    return torch.as_tensor(pred.argmax(1) if target is None else target, device=pred.device).expand(len(pred))


def plot_grad_cam(interp: Interpretation, indices: Sequence[int], target: Any = None, layer: nn.Module | None = None,
                  figsize: tuple[float, float] | None = None) -> Any:
    """Draw items of an `Interpretation` with the heat map of `target` (a class by name or number; None: the predicted one) over them;
    returns the axes."""
    return draw_maps(interp, indices, target, lambda model, xb, target: grad_cam(model, xb, target, layer), figsize)


def draw_maps(interp: Interpretation, indices: Sequence[int], target: Any, maps_of: Callable, figsize: tuple[float, float] | None) -> Any:
    "Draw items of an `Interpretation` with `maps_of(model, inputs, target)`, (items, h, w) or (items, steps), over them."
    indices = [int(i) for i in indices]
    xb = split_batch(batch_of(interp.dl, indices), getattr(interp.dl, "n_inp", None))[0]
    target = _number_of(interp, target)
    xb = tuple(t.to(interp.learn.dls.device) for t in xb)
    cams = maps_of(interp.learn.model, xb, target).cpu()
    images = [sample[:1] for sample in interp.decoded_inputs(indices)]
    axes = draw_samples(get_grid(len(indices), figsize=figsize, imsize=3.4), images, map(interp.title, indices))
    for ax, cam, (image,) in zip(axes, cams.float(), images, strict=True):
        if hasattr(image, "show_scores"):                       # a series
            image.show_scores(cam, ax)
            continue
        (right, left), (bottom, top) = sorted(ax.get_xlim(), reverse=True), sorted(ax.get_ylim(), reverse=True)
        ax.imshow(cam.numpy(), alpha=0.5, extent=(left, right, bottom, top), interpolation="bilinear", cmap="magma")
    return axes


def _number_of(interp, target):
    "The number of a class, or of each item's, given by name or number."
    names = [] if interp.vocab is None else list(interp.vocab)
    n = interp.preds.shape[1] if isinstance(interp.preds, torch.Tensor) and interp.preds.ndim == 2 else None
    if target is None or not isinstance(target, (str, int)) or (not isinstance(target, str) and (n is None or 0 <= target < n)):
        return target
    if target in names:
        return names.index(target)
    raise ValueError(f"target={target!r}: a class by name, {listing(map(repr, names), 8)}, or by number, from 0 to {len(names) - 1}"
                     f"{did_you_mean(str(target), [str(c) for c in names])}")


# -- class activation maps --------------------------------------------------------------------------------------------------------
def class_activation(model: nn.Module, xb: Any, target: Any = None) -> torch.Tensor:
    """What each place of each image adds to the score of a class, in networks that end in a mean over places and one linear layer.

    Unlike the maps of `grad_cam` these are parts of the score, of both signs.

    Args:
        model: run in evaluation mode; it does not change.
        xb: a batch of inputs.
        target: the class (an int, or one per item); None: the predicted one.

    Returns:
        Floats (items, h, w), of series (items, steps), whose mean plus the bias of the last layer is the score.

    Raises:
        ValueError: for a network that computes its scores in another way; use `grad_cam` for those.
    """
    inputs = xb if isinstance(xb, (tuple, list)) else (xb,)
    layer, linears, run = last_maps(model, *inputs), [m for m in model.modules() if isinstance(m, nn.Linear)], []
    with eval_mode(model), Hook(layer, lambda module, args, out: out) as kept, Hooks(linears, lambda module, args, out: run.append(module)):
        pred = model(*inputs)
        of_series = len(_size_of(inputs)) == 1
        padding = _padding_of(inputs, kept.stored.shape[-1])
        for maps in (kept.stored, torch.relu(kept.stored)):           # some networks have a ReLU between, as a function
            maps = maps.unsqueeze(2) if of_series and maps.ndim == 3 else maps
            shares = _shares(maps, run[-1] if run else None, pred, padding)
            if shares is not None:
                return _off_padding(shares[torch.arange(len(shares), device=shares.device), target_of(pred, target)], inputs)
    head = "a model that ends so, such as FCN" if of_series else (
        "a head such as create_head(nf, n_out, lin_ftrs=[], concat_pool=False, first_bn=False)")
    raise ValueError(f"class_activation() needs scores that are a mean over places and one linear layer; those of "
                     f"{type(model).__name__} are computed in another way: use grad_cam, or {head}")


def _shares(maps: torch.Tensor, linear: Any, pred: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor | None:
    "What each place adds to each score, (items, classes, h, w); None if the scores `pred` are not made in this way."
    if linear is None or maps.ndim != 4 or maps.shape[1] != linear.in_features or pred.shape[1:] != (linear.out_features,):
        return None
    shares = torch.einsum("kc,nchw->nkhw", linear.weight.float(), maps.float())
    if padding is None:
        made = shares.mean((2, 3))
    else:
        own = ~padding[:, None, None]
        made = torch.where(own, shares, 0).sum((2, 3)) / own.sum((2, 3)).clamp(min=1)
    made, pred = made + (0 if linear.bias is None else linear.bias.float()), pred.float()
    near = 1e-3 if maps.dtype in (torch.float32, torch.float64) else 3e-2
    return shares if torch.allclose(made, pred, rtol=near, atol=near * float(pred.abs().max())) else None


def plot_class_activation(interp: Interpretation, indices: Sequence[int], target: Any = None,
                          figsize: tuple[float, float] | None = None) -> Any:
    "Draw items of an `Interpretation` with what each place adds to the score of `target`, as `plot_grad_cam` does; returns the axes."
    return draw_maps(interp, indices, target, class_activation, figsize)


# -- filters ----------------------------------------------------------------------------------------------------------------------
def first_filters(model: nn.Module, layer: nn.Conv2d | None = None) -> torch.Tensor:
    """The filters of the first two-dimensional convolution of `model` (or of `layer`) as images (n, 3 or 1, h, w) in 0..1.

    Zero is shown as 0.5, and each filter reaches 0 or 1 at its largest weight. Filters with other than 3 or 1 channels are averaged over
    their channels. Raises ValueError where there is no such convolution.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d)] if layer is None else [layer]
    if not layers or not isinstance(layers[0], nn.Conv2d):
        what = f"{type(model).__name__} has no two-dimensional convolution" if layer is None else f"received {describe(layer)}"
        raise ValueError(f"filters are the weights of a layer such as nn.Conv2d; {what}: give one as layer=")
    weights = layers[0].weight.detach().float().cpu()
    if weights.shape[1] not in (1, 3):
        weights = weights.mean(1, keepdim=True)
    greatest = weights.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return 0.5 + 0.5 * weights / greatest


def plot_filters(learn: Any, layer: nn.Conv2d | None = None, n: int = 64, figsize: tuple[float, float] | None = None,
                 imsize: float = 0.7) -> Any:
    """Draw the first `n` filters of the first convolution of a `Learner` or model (or of `layer`), see `first_filters`; returns the axes.

    Trained filters show edges, bars and blobs of colour; noise means that they have not learnt anything yet, or that the learning rate was
    too high. Compare them with those of pretrained weights.
    """
    return show_images(first_filters(getattr(learn, "model", learn), layer)[:n], nrows=None, figsize=figsize, imsize=imsize)
