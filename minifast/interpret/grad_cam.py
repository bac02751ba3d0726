"""Where a network of convolutions looks. Source: R. Selvaraju et al., "Grad-CAM", 2017."""
import torch
from torch import nn

from ..messages import describe
from ..model_info import eval_mode

__all__ = ["grad_cam", "last_convolution", "plot_grad_cam"]


def last_convolution(model):
    "The last convolution of `model`, whose output still says where."
    found = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no two-dimensional convolution to look at: give layer=")
    return found[-1]


def grad_cam(model, xb, target=None, layer=None):
    """How much each place of each picture speaks for a class: float (items, h, w) of the layer's resolution, each from 0 to 1.

    xb: a batch of inputs. target: the class (an int, or one per item; None: the one predicted). layer: the module whose output is looked
    at (None: the last convolution). The model is run in evaluation mode; its gradients, modes and hooks stay as they are. """
    layer = last_convolution(model) if layer is None else layer
    inputs = xb if isinstance(xb, (tuple, list)) else (xb,)
    kept = {}

    def keep(module, args, out):
        kept["out"] = out if out.requires_grad else out.detach().requires_grad_()
        return kept["out"].clone()                  # the layer after it may work in place

    with eval_mode(model), torch.enable_grad():
        handle = layer.register_forward_hook(keep)
        try:
            pred = model(*inputs)
        finally:
            handle.remove()
        if "out" not in kept or kept["out"].ndim != 4:
            raise ValueError(
                f"grad_cam(layer=...): the layer must be run and give (items, channels, h, w); it gave {describe(kept.get('out'))}"
            )
        if pred.ndim != 2:
            raise ValueError(f"grad_cam() explains one score per class, (items, classes); the model gives {describe(pred)}")
        if target is None:
            target = pred.argmax(1)
        target = torch.as_tensor(target, device=pred.device).expand(len(pred))
        grads, = torch.autograd.grad(pred.gather(1, target[:, None]).sum(), kept["out"])
    weights = grads.mean((2, 3), keepdim=True)
    cam = (weights * kept["out"]).sum(1).relu().detach()
    return cam / cam.amax((1, 2), keepdim=True).clamp(min=1e-12)


def plot_grad_cam(interp, indices, target=None, layer=None, figsize=None):
    """Draw items of an `Interpretation` with the heat map of `target` (a class by name or number; None: the one predicted) over them;
    returns the axes."""
    from ..nested import split_batch
    from ..plots import get_grid, show_item
    from .base import batch_of
    indices = [int(i) for i in indices]
    batch = batch_of(interp.dl, indices)
    xb = split_batch(batch, getattr(interp.dl, "n_inp", None))[0]
    if isinstance(target, str):
        target = interp.vocab.index(target)
    xb = tuple(t.to(interp.learn.dls.device) for t in xb)
    cams = grad_cam(interp.learn.model, xb, target, layer).cpu()
    axes = get_grid(len(indices), figsize=figsize, imsize=3.4)
    for ax, i, sample, cam in zip(axes, indices, interp._decoded_inputs(indices), cams, strict=True):
        show_item(sample[0], ctx=ax)
        (right, left), (bottom, top) = sorted(ax.get_xlim(), reverse=True), sorted(ax.get_ylim(), reverse=True)
        ax.imshow(cam, alpha=0.5, extent=(left, right, bottom, top), interpolation="bilinear", cmap="magma")
        ax.set_title(interp.title(i), fontsize=8, loc="left")
    return axes


