"""Class activation maps: which places a score consists of, in networks that end in a mean over places and one linear layer.

Source: B. Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
"""
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..nn.hooks import Hook, Hooks
from ..nn.model_info import eval_mode
from .base import Interpretation
from .grad_cam import draw_maps, last_maps, target_of


def class_activation(model: nn.Module, xb: Any, target: Any = None) -> torch.Tensor:
    """What each place of each image adds to the score of a class. Unlike those of `grad_cam` these are parts of the score, of both signs.

    Args:
        model: run in evaluation mode; it does not change.
        xb: a batch of inputs.
        target: the class (an int, or one per item); None: the predicted one.

    Returns:
        Floats (items, h, w) whose mean plus the bias of the last layer is the score.

    Raises:
        ValueError: for a network that computes its scores in another way; use `grad_cam` for those.
    """
    inputs = xb if isinstance(xb, (tuple, list)) else (xb,)
    layer, linears, run = last_maps(model, *inputs), [m for m in model.modules() if isinstance(m, nn.Linear)], []
    with eval_mode(model), Hook(layer, lambda module, args, out: out) as kept, Hooks(linears, lambda module, args, out: run.append(module)):
        pred = model(*inputs)
        for maps in (kept.stored, torch.relu(kept.stored)):           # some networks have a ReLU between, as a function
            shares = _shares(maps, run[-1] if run else None, pred)
            if shares is not None:
                return shares[torch.arange(len(shares), device=shares.device), target_of(pred, target)]
    raise ValueError(f"class_activation() needs scores that are a mean over places and one linear layer; those of "
                     f"{type(model).__name__} are computed in another way: use grad_cam, or a head such as "
                     "create_head(nf, n_out, lin_ftrs=[], concat_pool=False, first_bn=False)")


def _shares(maps: torch.Tensor, linear: nn.Linear | None, pred: torch.Tensor) -> torch.Tensor | None:
    "What each place adds to each score, (items, classes, h, w); None if the scores `pred` are not made in this way."
    if linear is None or maps.ndim != 4 or maps.shape[1] != linear.in_features or pred.shape[1:] != (linear.out_features,):
        return None
    shares = torch.einsum("kc,nchw->nkhw", linear.weight.float(), maps.float())
    made, pred = shares.mean((2, 3)) + (0 if linear.bias is None else linear.bias.float()), pred.float()
    near = 1e-3 if maps.dtype in (torch.float32, torch.float64) else 3e-2
    return shares if torch.allclose(made, pred, rtol=near, atol=near * float(pred.abs().max())) else None


def plot_class_activation(interp: Interpretation, indices: Sequence[int], target: Any = None,
                          figsize: tuple[float, float] | None = None) -> Any:
    "Draw items of an `Interpretation` with what each place adds to the score of `target`, as `plot_grad_cam` does; returns the axes."
    return draw_maps(interp, indices, target, class_activation, figsize)
