"""The constant output that costs least: what a model should give before it has looked at any input.

Functions of a loss and of targets. `init_head` starts a model from this guess, and the checks compare a trained model with it.
"""
import math
from collections.abc import Callable
from typing import Any

import torch

from ..nn.loss_traits import class_weight_of, ignore_index_of, loss_name


def columns_of(y: torch.Tensor, c: int) -> torch.Tensor:
    "The targets `y` (items, ...) of `c` outputs on axis 1 as (values, c)."
    return y.reshape(len(y), c, -1).movedim(1, -1).reshape(-1, c).double()


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
        if kind in ("logits", "probabilities"):
            n, on = len(targets), targets.mean(0)
            weight = loss_setting(loss_func, "pos_weight")
            on, off = on.clamp(0.5 / n, 1 - 0.5 / n), 1 - on.clamp(0.5 / n, 1 - 0.5 / n)
            on = on if weight is None else on * weight.detach().double().cpu()
            values = (on / off).log() if kind == "logits" else on / (on + off)
        else:
            values = targets.mean(0)
            if is_absolute(loss_func):
                values = targets.quantile(0.5, 0) if targets.numel() < 10_000_000 else targets.median(0).values
            elif of_logarithms(loss_func):
                values = values.clamp(min=1e-8).log()
    if loss_name(loss_func).startswith("Focal") or (kind == "values" and not is_absolute(loss_func) and not is_squared(loss_func)):
        values = _searched(loss_func, values, targets[torch.randperm(len(targets), generator=fixed_generator())[:2000]])
    return values.float()


def loss_setting(loss_func: Callable, name: str, default: Any = None) -> Any:
    "The setting `name` of a loss, which may be a partial."
    found = getattr(loss_func, "keywords", {}).get(name)
    return getattr(getattr(loss_func, "func", loss_func), name, default) if found is None else found


def is_absolute(loss_func: Callable) -> bool:
    "Whether a loss is the mean absolute error."
    name = loss_name(loss_func).lower()
    return "l1" in name and "smooth" not in name


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
    device = next((t.device for t in (class_weight_of(loss_func),) if t is not None), torch.device("cpu"))
    y = (targets if not targets.is_floating_point() else targets.float()).to(device)
    z = values.float().to(device).clone().requires_grad_()
    opt = torch.optim.LBFGS([z], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = loss_func(z.expand(len(y), -1), y).mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        before = float(opt.step(closure).detach())
        after = float(closure().detach())
    return z.detach().cpu() if math.isfinite(after) and after < before else values
