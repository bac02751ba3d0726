"""`ts_learner`: a `Learner` for series. `ts_ensemble`: several of them that answer as one."""
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ..callbacks.base import Callback
from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe, name_of, plural, reject_unknown, unwrapped
from ..core.types import LossFunc, PathLike, Splitter
from ..data.loaders import DataLoaders
from ..ensemble.averaging import Ensemble
from ..ensemble.runner import seeded
from ..learner.learner import Learner
from ..optim.groups import trainable_params
from ..optim.optimizers import Adam
from .covariates import WithCovariates, covariate_sizes, has_covariates
from .models.inception_time import InceptionTime
from .models.series_model import SeriesModel, no_padding, series_split, too_short
from .series_info import SeriesShape, series_shape
from .window_set import WindowSet

__all__ = ["ts_ensemble", "ts_learner"]

FEATURES = 64           #: that a model gives of its series where there are covariates beside them


def ts_learner(dls: DataLoaders, arch: Callable[..., nn.Module] = InceptionTime, n_out: int | None = None,
               loss_func: LossFunc | None = None, opt_func: Callable[..., Any] = Adam, lr: float = 1e-3, splitter: Splitter | None = None,
               cbs: Callback | Sequence[Callback] | None = None, metrics: Any = None, path: PathLike | None = None,
               model_dir: str = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
               moms: tuple[float, float, float] | None = (0.95, 0.85, 0.95), default_cbs: bool = True, **settings: Any) -> Learner:
    """Make a `Learner` with a model for the series of `dls`: for their channels, their lengths and their targets.

    The model has two layer groups, body and head. Where there are covariates, the model of the series is part of a `WithCovariates`.

    Args:
        dls: loaders of series, such as those of `TSDataLoaders`.
        arch: `InceptionTime`, `FCN`, `ResNet1d`, `OmniScaleCNN`, `LSTM_FCN`, `TSTransformer`, `PatchTST`, or what makes a model of your
            own when called as `arch(c_in, c_out, seq_len=..., **settings)`.
        n_out: number of outputs; None: what `dls` says.
        loss_func, opt_func, lr, splitter, cbs, metrics, path, model_dir, wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.
        **settings: of the architecture, such as `depth=3` or `y_range=(0, 1)`.

    Raises:
        TypeError: `arch` is a model, takes no such settings, or `dls` hold no series, or windows to forecast.
        ValueError: the number of outputs is not known, series are too short for the model, or differ in length and it reads no padding.
    """
    if isinstance(arch, nn.Module) or not callable(arch):
        raise TypeError(f"ts_learner takes an architecture such as InceptionTime, and makes the model of it; received {describe(arch)}. "
                        "For a model of your own write Learner(dls, model)")
    dataset = getattr(getattr(dls, "train", None), "dataset", None)
    if isinstance(dataset, WindowSet) and dataset.windows.horizon:
        named = "" if getattr(arch, "closed_form", False) else f", {name_of(arch)}"
        raise TypeError(f"these windows are for forecasts of {plural(dataset.windows.horizon, 'step')}: write "
                        f"ts_forecaster(dls{named}), which knows their scale, and what comes after them")
    shape = series_shape(dls)
    n_out = getattr(dls, "c", None) if n_out is None else n_out
    if not isinstance(n_out, int) or n_out < 1:
        raise ValueError(f"ts_learner cannot tell from the data how many outputs the model needs (dls.c={n_out!r}): pass n_out=, the "
                         "number of classes or of numbers to predict")
    if has_covariates(dls):
        y_range = settings.pop("y_range", None)
        series = _model_for(arch, shape, FEATURES, settings)
        model: nn.Module = WithCovariates(series, FEATURES, n_out, *covariate_sizes(dls), y_range=y_range)
    else:
        series = model = _model_for(arch, shape, n_out, settings)
    split = series_split if isinstance(series, SeriesModel) else trainable_params
    learn = Learner(dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr, splitter=split if splitter is None else splitter, cbs=cbs,
                    metrics=metrics, path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms,
                    default_cbs=default_cbs)
    learn.arch = arch
    return learn


def _model_for(arch: Callable[..., nn.Module], shape: SeriesShape, n_out: int, settings: dict[str, Any]) -> nn.Module:
    "The model of `arch` for series of this shape, or the sentence that says why it can be none."
    name, parameters = name_of(arch), inspect.signature(arch).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        own = [p for p in parameters if p not in ("c_in", "c_out", "seq_len", "padded")]
        reject_unknown(settings, own, f"ts_learner(dls, {name}, ...)")
    if shape.has_padding and not getattr(unwrapped(arch), "masks", False):
        raise ValueError(no_padding(name))
    padded = {"padded": True} if shape.has_padding and "padded" in parameters else {}
    model = arch(shape.n_channels, n_out, seq_len=shape.n_steps, **padded, **settings)
    if shape.shortest < (least := getattr(model, "min_steps", 1)):
        raise ValueError(too_short(name, least, shape.shortest))
    return model


def ts_ensemble(dls: DataLoaders, arch: Callable[..., nn.Module] = InceptionTime, n: int = 5, *, fit: Callable[[Learner], Any],
                seed: int | None = 42, **kwargs: Any) -> Ensemble:
    """Train several learners that differ in their random numbers alone, and average what they predict.

    InceptionTime as published: `ts_ensemble(dls, fit=lambda learn: learn.fit_one_cycle(60, 1e-3))`.

    Args:
        dls: see `ts_learner`.
        arch: see `ts_learner`.
        n: how many.
        fit: trains a learner.
        seed: of all; each learner has one of its own that is made of it. None: the random streams go on.
        **kwargs: other arguments of `ts_learner`.

    Source: H. Ismail Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification", 2020, section 3.2.
    """
    check_arguments("ts_ensemble", n=(n, is_whole(n), "how many learners, a whole number of at least 1"))
    learners = []
    for i in range(n):
        with seeded(seed, i):
            learners.append(ts_learner(dls, arch, **kwargs))
            fit(learners[-1])
    return Ensemble(learners)
