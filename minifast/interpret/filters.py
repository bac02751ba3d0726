"""The filters of a network's first convolution, as images: what it looks for first."""
from typing import Any

import torch
from torch import nn

from ..core.messages import describe
from ..core.plots import show_images


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
