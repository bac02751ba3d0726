"""Checks of the arguments of `Learner`: what cannot be used is refused at once, with what to write instead."""
from typing import Any

import torch

from ..core.messages import describe
from ..core.types import LossFunc


def check_parts(dls: Any, model: Any, opt_func: Any, splitter: Any) -> None:
    "Refuse what cannot be a part of a learner: all problems in one message."
    problems = []
    if not (hasattr(dls, "train") and hasattr(dls, "device")):
        problems.append(f"dls must be DataLoaders; received {describe(dls)}. Wrap torch loaders as `DataLoaders(train_dl, valid_dl)`")
    if isinstance(model, type):
        problems.append(f"model is the class {model.__name__}; give an instance, `{model.__name__}(...)`")
    elif not isinstance(model, torch.nn.Module):
        problems.append(f"model must be an nn.Module; received {describe(model)}")
    elif not any(True for _ in model.parameters()):
        problems.append(f"model {type(model).__name__} has no parameters, so there is nothing to train")
    if isinstance(opt_func, torch.optim.Optimizer):
        problems.append("opt_func is an optimizer; give the function that makes one, such as opt_func=Adam or "
                        f"opt_func=torch.optim.{type(opt_func).__name__}")
    elif not callable(opt_func):
        problems.append(f"opt_func must be callable; received {describe(opt_func)}")
    if not callable(splitter):
        problems.append(f"splitter must be a function of the model that returns lists of parameters; received {describe(splitter)}")
    if problems:
        raise TypeError("Learner: " + "; ".join(problems))


def check_loss(loss_func: Any) -> LossFunc:
    "Refuse what is not a loss function; returns it."
    if isinstance(loss_func, type):
        raise TypeError(f"loss_func is the class {loss_func.__name__}; give an instance, `{loss_func.__name__}()`")
    if not callable(loss_func):
        raise TypeError(f"loss_func must be callable, loss_func(pred, target); received {describe(loss_func)}")
    return loss_func
