"""A run's record: what a paper or a teammate needs to repeat a training, as plain values. See `Learner.run_record`."""
import inspect
import platform
import time
from contextlib import suppress
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .. import __version__
from ..callbacks.base import Callback, numbered
from ..callbacks.scheduler import ParamScheduler
from ..data.fingerprint import described, digest_of, digests_of, inputs_of, settings_of
from ..nn.loss_traits import inner_loss, loss_name
from ..optim.groups import setting_names
from .saving import vocabs_of

if TYPE_CHECKING:
    from .learner import Learner

#: At most so many classes are listed; of more there is a digest.
MAX_LISTED = 1000
_KNOWN = {"torch", "torchvision", "timm", __package__.split(".")[0]}
_DIGESTS: "WeakKeyDictionary[Any, dict]" = WeakKeyDictionary()       # of loaders seen before: items are not read again for every save


def run_record(learn: "Learner") -> dict[str, Any]:
    "See `Learner.run_record`."
    data = settings_of(learn.dls)
    for name, digests in _digests(learn.dls).items():
        data[name].update(digests)
    classes = {name: entries if len(entries) <= MAX_LISTED else digest_of([entries]) for name, entries in vocabs_of(learn.dls).items()}
    recorder = learn.recorder
    return {
        "versions": _versions(), "device": _device(learn.dls.device), "written": time.strftime("%Y-%m-%d %H:%M:%S"),
        "seed": torch.initial_seed(), "model": _model(learn), "loss": _loss(learn.loss_func), "optimizer": _optimizer(learn),
        "metrics": [m.name for m in learn.metrics],
        "callbacks": dict(zip(numbered(type(cb).__name__ for cb in learn.cbs), map(_callback, learn.cbs), strict=True)),
        "data": {**data, "classes": classes}, "inputs": inputs_of(learn.dls),
        "fits": [{"method": fit.call and fit.call.method, "started": fit.started, "args": described(fit.call.args if fit.call else {})}
                 for fit in (recorder.fits if recorder is not None else ())],
        "epochs": [dict(row) for row in (recorder.history if recorder is not None else ())],
    }


def _digests(dls):
    if dls not in _DIGESTS:
        _DIGESTS[dls] = digests_of(dls)
    return _DIGESTS[dls]


def _versions():
    return {"minifast": __version__, "python": platform.python_version(), "torch": torch.__version__, **_installed()}


@cache                                  # to read them takes a millisecond, and every fit writes a record
def _installed():
    "Versions of the other packages that matter."
    found = {}
    for name in ("torchvision", "numpy", "pandas"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _device(device):
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _model(learn):
    params = list(learn.model.parameters())
    arch = {} if learn.arch is None else {"arch": described(learn.arch)}
    return {"class": type(learn.model).__name__, **arch, "parameters": sum(p.numel() for p in params),
            "trainable": sum(p.numel() for p in params if p.requires_grad), "layers": digest_of(map(_layer, learn.model.named_modules()))}


def _is_known(owner):
    "Whether `owner` is of a library that keeps its settings apart from what is learned; of the user's own that is not known."
    return (owner.__module__ or "").split(".")[0] in _KNOWN


def _layer(named):
    "Name, class and settings of a module. What a class of the user's own prints may be learned, such as the exponent of a pooling."
    name, module = named
    return f"{name}: {type(module).__name__}({module.extra_repr() if _is_known(type(module).extra_repr) else ''})"


def _loss(loss_func):
    """The name of the loss and what it was told: numbers and text as they are, of tensors (weights of classes) and modules a digest.

    A loss of the user's own may count as well: what it was told is what it keeps under the names of its arguments.
    """
    if loss_func is None:
        return None
    inner = inner_loss(loss_func)
    parts = list(inner.modules()) if isinstance(inner, nn.Module) else [inner]
    parts += [part.func for part in parts if isinstance(getattr(part, "func", None), nn.Module)]
    told = {k: v for part in parts if hasattr(part, "__dict__")
            for k, v in (*vars(part).items(), *(part.named_buffers() if isinstance(part, nn.Module) else ()))
            if _is_known(type(part)) or k in inspect.signature(type(part).__init__).parameters}
    settings = {k: described(v) for k, v in told.items() if not k.startswith("_") and k != "training" and not callable(v)}
    keywords = {k: described(v) for k, v in getattr(loss_func, "keywords", {}).items()}
    return {"name": loss_name(loss_func), **settings, **keywords}


def _optimizer(learn):
    if learn.opt is None:
        return {"name": described(learn.opt_func)}
    groups = learn.opt.param_groups
    return {"name": type(learn.opt).__name__, "groups": [{k: described(g[k]) for k in sorted(setting_names(g))} for g in groups]}


def _callback(cb: Callback) -> dict[str, Any]:
    "What a callback was told, as far as it keeps it under the names of the arguments."
    if isinstance(cb, ParamScheduler):
        return {name: digest_of(described(f(i / 20)) for i in range(20)) for name, f in cb.scheds.items()}
    names = [n for n in inspect.signature(type(cb).__init__).parameters if n in vars(cb)]
    return {n: described(vars(cb)[n]) for n in names}
