"""`mini_rocket_learner`: MiniRocket with a ridge head, fitted in closed form when the learner is made."""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ..callbacks.base import Callback
from ..core.messages import describe
from ..core.types import LossFunc, PathLike
from ..data.loaders import DataLoaders
from ..learner.inference import loader_for
from ..learner.learner import Learner
from ..nn.loss_traits import CLASS_KINDS, kind_of, loss_name
from ..optim.optimizers import Adam
from .learner import ts_learner
from .models.mini_rocket import MiniRocket
from .ridge import ridge

#: Penalties to choose from: those of the paper's code, 0.001 to 1,000.
ALPHAS = tuple(10 ** (-3 + 6 * i / 9) for i in range(10))
#: Biases are taken from at most so many training series: as many as a model of usual size asks for.
_SERIES = 2688


def mini_rocket_learner(dls: DataLoaders, n_features: int = 10_000, alphas: Sequence[float] = ALPHAS, seed: int | None = None,
                        loss_func: LossFunc | None = None, opt_func: Callable[..., Any] = Adam, lr: float = 1e-3,
                        cbs: Callback | Sequence[Callback] | None = None, metrics: Any = None, path: PathLike | None = None,
                        model_dir: str = "models", **kwargs: Any) -> Learner:
    """A learner with a fitted `MiniRocket`: it can predict at once, and nothing needs to be trained.

    Args:
        dls: loaders of series with classes, several classes, or numbers; lengths may differ, the longest has 9 steps or more.
        n_features: about how many features.
        alphas: penalties of the head to choose from, see `ridge`.
        seed: of the random choices; None: torch's random numbers go on.
        loss_func, opt_func, lr, cbs, metrics, path, model_dir: see `Learner`.
        **kwargs: other arguments of `ts_learner`.

    Raises:
        TypeError: the loaders give something else than series with targets.
        ValueError: the series are too short.
    """
    learn = ts_learner(dls, MiniRocket, loss_func=loss_func, opt_func=opt_func, lr=lr, cbs=cbs, metrics=metrics, path=path,
                       model_dir=model_dir, n_features=n_features, **kwargs)
    fit_ridge(learn, alphas, seed)
    return learn


def fit_ridge(learn: Learner, alphas: Sequence[float] = ALPHAS, seed: int | None = None) -> float:
    """Fit a learner with a `MiniRocket` to its training set: the biases of the features, then the head in closed form.

    Classes are regressed as 1 and -1. So that the outputs can be read as probabilities, they are multiplied by the number with which the
    predictions of left-out samples have the least cross entropy.

    Args:
        learn: made by `ts_learner(dls, MiniRocket)`; its training set is read twice, without augmentation.
        alphas: penalties to choose from.
        seed: of the random choices; None: torch's random numbers go on.

    Returns:
        the chosen penalty.

    Raises:
        TypeError: it has another model or loss, or its batches are not series and targets.
    """
    model = learn.model
    if not isinstance(model, MiniRocket):
        raise TypeError(f"fit_ridge fits a MiniRocket; the model is {describe(model)}: write mini_rocket_learner(dls)")
    kind = kind_of(learn.loss_func) if learn.loss_func is not None else None
    if kind not in (*CLASS_KINDS[:1], "logits", "values"):
        raise TypeError("a ridge head is fitted for classes (CrossEntropyLossFlat), several classes (BCEWithLogitsLossFlat) or numbers "
                        f"(MSELossFlat), and loss_func={loss_name(learn.loss_func)}: pass one of these")
    loader = loader_for(learn, 0, None)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    n = len(loader.dataset)
    chosen = torch.zeros(n, dtype=torch.bool).index_fill_(0, torch.randperm(n, generator=generator)[:_SERIES], True)
    kept, start = [], 0
    for x, _ in _batches(loader):
        kept.append(x[chosen[start:start + len(x)].to(x.device)].cpu())
        start += len(x)
    longest = max(x.shape[2] for x in kept)
    model.features.fit(torch.cat([F.pad(x, (0, longest - x.shape[2]), value=torch.nan) for x in kept]), seed)
    features, targets = zip(*((model.features(x), y) for x, y in _batches(loader)), strict=True)
    y = torch.cat(targets)
    if kind == "values":
        y = y.reshape(len(y), -1).float()
    else:
        y = (F.one_hot(y.flatten().long(), model.c_out) if kind == "class logits" else y.float()) * 2.0 - 1
    fitted = ridge(torch.cat(features), y, alphas)
    factor = 1.0 if kind == "values" else _sharpness(fitted.left_out, y, kind == "class logits")
    with torch.no_grad():
        model.head.weight.copy_(fitted.weight * factor)
        model.head.bias.copy_(fitted.bias * factor)
    return fitted.alpha


def _batches(loader: Any) -> Any:
    "The series and targets of the batches."
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not all(isinstance(o, torch.Tensor) for o in batch):
            raise TypeError("a ridge head is fitted to series and targets, batches (x, y) of two tensors; received "
                            f"{describe(batch)}. Make the loaders with targets, TSDataLoaders.from_array(X, y)")
        yield (o.as_subclass(torch.Tensor) for o in batch)


def _sharpness(left_out: torch.Tensor, y: torch.Tensor, exclusive: bool) -> float:
    "The factor from 1 to 32 with which predictions as logits have the least cross entropy."
    def cost(factor: float) -> float:
        z = left_out * factor
        return float(F.cross_entropy(z, y.argmax(1)) if exclusive else F.binary_cross_entropy_with_logits(z, (y.double() + 1) / 2))
    return min((2 ** (i / 10) for i in range(51)), key=cost)
