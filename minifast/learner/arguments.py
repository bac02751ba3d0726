"""What a `Learner` can be put together from: refused here, at once, with what to write instead."""
import torch

from ..core.messages import describe


def batches_in(dl):
    "The number of batches of a loader, which schedules and bars need."
    try:
        return len(dl)
    except TypeError as e:
        raise TypeError(f"{type(dl).__name__} has no length, and schedules need to know how many batches an epoch has: give its dataset a "
                        "`__len__`, or wrap it in a minifast DataLoader with n=...") from e


def check_epochs(n_epoch, start_epoch):
    "Refuse what is no number of epochs."
    if not isinstance(n_epoch, int) or n_epoch < 0:
        raise ValueError(f"n_epoch must be a whole number of epochs, 0 or more; received n_epoch={describe(n_epoch)}")
    if not 0 <= start_epoch <= n_epoch:
        raise ValueError(f"start_epoch must be between 0 and n_epoch={n_epoch}; received start_epoch={describe(start_epoch)}")


def check_parts(dls, model, opt_func, splitter):
    "Refuse, all at once, what cannot be a part of a learner."
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


def check_loss(loss_func):
    "`loss_func`, if it can be called as one."
    if isinstance(loss_func, type):
        raise TypeError(f"loss_func is the class {loss_func.__name__}; give an instance, `{loss_func.__name__}()`")
    if not callable(loss_func):
        raise TypeError(f"loss_func must be callable, loss_func(pred, target); received {describe(loss_func)}")
    return loss_func

