"""The constant output that costs least: what a model should give before it has looked at any input.

Functions of a loss and of targets. `init_head` starts a model from this guess, and the checks compare a trained model with it.
"""
import math
from collections.abc import Callable, Sequence

import torch

from ..nn.loss_traits import class_weight_of, ignore_index_of, loss_name, loss_setting


def columns_of(y: torch.Tensor, c: int) -> torch.Tensor:
    "The targets `y` (items, ...) of `c` outputs on axis 1 as (values, c)."
    return y.reshape(len(y), c, -1).movedim(1, -1).reshape(-1, c).double()


def expand_constant(values: torch.Tensor, shape: Sequence[int], axis: int) -> torch.Tensor:
    "The constant output `values` (c,) as predictions of `shape`, with the outputs on `axis`."
    if len(shape) >= 2:
        values = values.view([len(values) if i == axis else 1 for i in range(len(shape))])
    return values.expand(shape)


def constant_output(loss_func: Callable, kind: str, y: torch.Tensor, n_out: int) -> torch.Tensor:
    """The output (n_out,) of a model that does not see its inputs and knows the training targets `y`: what costs least with this loss.

    Logarithms of the class shares, weighted as the loss weights them; logits of the label rates; the mean, for absolute errors the median.
    For other losses it is searched for from there. A class or label value that training did not have counts as half an item.
    """
    if kind.startswith("class"):
        y = y.flatten().long().cpu()
        y = y[(y != ignore_index_of(loss_func)) & (y >= 0) & (y < n_out)]
        weight, eps = class_weight_of(loss_func), loss_setting(loss_func, "label_smoothing", 0.0)
        counts = torch.bincount(y, minlength=n_out).double().clamp(min=0.5)
        counts = (1 - eps) * counts + eps * counts.sum() / n_out
        counts = counts if weight is None else (counts * weight.detach().double().cpu()).clamp(min=1e-12)
        values, targets = (counts / counts.sum()).log(), y
    else:
        targets = columns_of(y.cpu(), n_out)
        values = targets.mean(0)
        if kind in ("logits", "probabilities"):
            weight, least = loss_setting(loss_func, "pos_weight", None), 0.5 / len(targets)
            on = values.clamp(least, 1 - least)
            odds = on / (1 - on) * (1 if weight is None else weight.detach().double().cpu())
            values = odds.log() if kind == "logits" else odds / (odds + 1)
        elif is_absolute(loss_func):
            values = targets.quantile(0.5, 0) if targets.numel() < 10_000_000 else targets.median(0).values
        elif of_logarithms(loss_func):
            values = values.clamp(min=1e-8).log()
    if loss_name(loss_func).startswith("Focal") or (kind == "values" and not is_absolute(loss_func) and not is_squared(loss_func)):
        values = _searched(loss_func, values, targets[torch.randperm(len(targets), generator=fixed_generator())[:2000]])
    return values.float()


def is_absolute(loss_func: Callable) -> bool:
    "Whether a loss is the mean absolute error."
    return "l1" in loss_name(loss_func).lower() and "smooth" not in loss_name(loss_func).lower()


def is_squared(loss_func: Callable) -> bool:
    "Whether a loss is the mean squared error."
    return "mse" in loss_name(loss_func).lower()


def of_logarithms(loss_func: Callable) -> bool:
    "Whether the outputs are logarithms of the numbers meant: those of torch's Poisson loss."
    return "poisson" in loss_name(loss_func).lower() and loss_setting(loss_func, "log_input", True)


def fixed_generator() -> torch.Generator:
    "A generator of random numbers that is seeded alike each time."
    return torch.Generator().manual_seed(0)


def _searched(loss_func, values, targets):
    "`values`, or what costs less, for losses that have no formula for it."
    device = getattr(class_weight_of(loss_func), "device", torch.device("cpu"))
    y = (targets if not targets.is_floating_point() else targets.float()).to(device)
    z = values.float().to(device).clone().requires_grad_()
    opt = torch.optim.LBFGS([z], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = loss_func(z.expand(len(y), -1), y).mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        before, after = float(opt.step(closure).detach()), float(closure().detach())
    return z.detach().cpu() if math.isfinite(after) and after < before else values
