"""The filters of a network's first convolution, as pictures: what it looks for first."""
import torch
from torch import nn

from ..core.messages import describe

__all__ = ["first_filters", "plot_filters"]


def first_filters(model, layer=None):
    """The filters of the first two-dimensional convolution of `model` (or of `layer`) as pictures (n, 3 or 1, h, w) in 0..1.

    Zero is 0.5, and each filter reaches 0 or 1 where its greatest weight is. A filter of other than 3 or 1 channels is shown as the mean of
    its channels, in grey. Raises ValueError where there is no such convolution.
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


def plot_filters(learn, layer=None, n=64, figsize=None, imsize=0.7):
    """Draw the first `n` filters of the first convolution of a `Learner` or model (or of `layer`), see `first_filters`; returns the axes.

    Trained ones show edges, bars and blobs of colour; noise means that they have not learnt anything yet, or that the learning rate was
    too high. The filters of pretrained weights are a good picture of what they should be.
    """
    from ..core.plots import show_images
    pictures = first_filters(getattr(learn, "model", learn), layer)[:n]
    columns = max(1, round(len(pictures) ** 0.5))
    return show_images(pictures, nrows=-(-len(pictures) // columns), ncols=columns, figsize=figsize, imsize=imsize)
