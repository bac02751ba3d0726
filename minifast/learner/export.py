"""`export` writes a learner into one file, `load_learner` makes one of it that predicts. Nothing in the file is code."""
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch
from torch import nn

import minifast

from ..core.device import default_device
from ..core.keywords import knows_keywords
from ..core.messages import describe, plural
from ..core.paths import Path
from ..core.recipe import Nearest, Optional
from ..core.torch_internals import uncompiled
from ..core.types import LossFunc, PathLike
from ..data.loaders import DataLoaders
from ..nn.loss_traits import activate, decide, inner_loss, kind_of
from .artifact import read, write
from .spec import Builder, Describer, MissingObject, StandIn, Undescribed, passing

if TYPE_CHECKING:
    from .learner import Learner

__all__ = ["ExportedLoss", "export", "load_learner"]

_SETTINGS = ("lr", "wd", "wd_bn_bias", "train_bn", "moms")


class ExportedLoss(StandIn):
    """Stands for a loss of the user's own: with it a learner predicts, and does not train.

    Args:
        name: what it was called.
        kind: what the output of the model means to it, see `nn.loss_traits`.
    """

    def __init__(self, name: str, kind: str | None = None):
        super().__init__(name)
        self.kind = kind

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        "Raw output -> predictions."
        return activate(self.kind, x)

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        "Predictions -> decisions."
        return decide(self.kind, x)

    def __call__(self, *args: Any) -> torch.Tensor:
        problem = f"the loss {self.name} is of your own code, which no file can hold: {self.advice}, or assign learn.loss_func"
        if torch.is_grad_enabled():
            raise ValueError(problem)
        warn(f"{problem}. Until then the loss is NaN", stacklevel=2)
        return torch.tensor(float("nan"))


# -- writing --------------------------------------------------------------------------------------------------------------------------
def export(learn: "Learner", file: PathLike) -> Path:
    "See `Learner.export`."
    if learn.running:
        raise RuntimeError("export() in the middle of a fit would write half-trained weights: call it afterwards, or `learn.save` here")
    file = Path(file).expanduser()
    file = file if file.is_absolute() else Path(learn.path) / file
    tell = Describer()
    model: Any = uncompiled(learn.model)
    weights, tied = _weights(model)
    loader = learn.dls[min(1, len(learn.dls) - 1)]
    if not hasattr(loader, "template"):
        raise TypeError(f"export() needs loaders of minifast, which know how to make a batch of new items; these are {describe(loader)}. "
                        "Assign such to the learner, for example learn.dls = DataLoaders(DataLoader(train_ds), DataLoader(valid_ds))")
    try:
        spec = {
            "versions": {"minifast": minifast.__version__, "torch": torch.__version__, "python": platform.python_version()},
            "learner": tell(Nearest(type(learn))), "dls": tell(Nearest(type(learn.dls))), "data": tell(loader.template()),
            "set_by_hand": tell({k: v for dl in (loader, learn.dls.train) for k, v in getattr(dl, "set_by_hand", {}).items()}),
            "model": _model_tree(tell, model), "tied": tied, "loss": None if learn.loss_func is None else tell(learn.loss_func),
            "loss_kind": _kind_if_known(learn.loss_func), "batch_tfms": [tell(f) for f in learn.batch_tfms],
            "settings": {name: tell(getattr(learn, name)) for name in _SETTINGS},
            "opt_func": tell(Optional(learn.opt_func, True)), "splitter": tell(Optional(learn.splitter, True)),
            "metrics": _metrics(learn, tell), "own": tell.own}
    except Undescribed as e:
        raise Undescribed(f"export: {e}") from e
    write(spec, weights, file)
    if needed := {name: path for name, path in sorted(tell.own.items()) if name not in tell.optional}:
        warn(f"{file.name} refers to {', '.join(path or name for name, path in needed.items())}, your own code, which no file can hold: "
             f"load it with load_learner({file.name!r}, {passing(needed)})", stacklevel=3)
    return file


def _weights(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    "The weights on the CPU, tied ones once, and `{name of a tied one: name under which it is stored}`."
    weights, tied, seen = {}, {}, {}
    for name, t in model.state_dict().items():
        if not isinstance(t, torch.Tensor):
            raise Undescribed(f"export: the state of the model holds {describe(t)} under {name!r}, which is no tensor")
        key = (t.data_ptr(), tuple(t.shape), t.stride(), t.dtype) if t.numel() else name
        if seen.setdefault(key, name) != name:
            tied[name] = seen[key]
        else:
            weights[name] = t.detach().to("cpu", copy=True).contiguous()
    return weights, tied


def _model_tree(tell: Describer, model: nn.Module) -> Any:
    "How to build the model: as its builder made it, unless it was changed afterwards; else by its layers; else it is the user's own."
    for described in (tell, tell.by_layers):
        try:
            tree = described(model)
        except Undescribed:
            if described is tell:
                raise
            break                           # a layer of another library
        if tell.has_own(tree) or _builds(tree, model):
            return tree
    return tell.own_object(model)


def _builds(tree: Any, model: nn.Module) -> bool:
    "Whether `tree` builds a model with the layers and the weights of `model`."
    try:
        made = _build_model(Builder(), tree, model.state_dict())
    except Exception:               # whatever the reason: it must be described in another way
        return False
    own, other = model.state_dict(), made.state_dict()
    return _layers(made) == _layers(model) and own.keys() == other.keys() and all(own[k].shape == other[k].shape for k in own)


def _layers(model: nn.Module) -> list[tuple[str, str, str]]:
    "Name, class and settings of every layer; what does as a `Sequential` does is one, such as `ConvLayer`."
    return [(name, "Sequential" if type(m).forward is nn.Sequential.forward else type(m).__name__,
             m.extra_repr() if next(m.children(), None) is not None else repr(m))
            for name, m in model.named_modules(remove_duplicate=False)]


def _kind_if_known(loss_func: LossFunc | None) -> Any:
    "What the output means to a loss that does not say itself how to read it; False: only the loss can tell."
    if loss_func is None:
        return None
    if isinstance(loss_func, ExportedLoss):
        return loss_func.kind
    own = inner_loss(loss_func)
    return False if hasattr(own, "activation") or hasattr(own, "decodes") else kind_of(loss_func)


def _metrics(learn: "Learner", tell: Describer) -> list[dict[str, Any]]:
    "Names of the metrics and their values in the last epoch, and of those that are functions of minifast the function."
    history = [] if learn.recorder is None else learn.recorder.history
    values = history[-1] if history else learn.exported_metrics or {}
    functions = [(m.name, getattr(m, "func", None)) for m in learn.metrics]
    functions += [(name, None) for name in values if not history and name not in dict(functions)]
    return [{"name": name, "value": tell(values.get(name)), "function": tell(Optional(f, True))} for name, f in functions]


# -- reading --------------------------------------------------------------------------------------------------------------------------
@knows_keywords
def load_learner(fname: PathLike, cpu: bool = True, objects: Mapping[str, Any] | None = None) -> "Learner":
    """Make a learner of a file that `Learner.export` wrote. It predicts what it is given and has no data of its own.

    No code comes from the file: it names classes and functions of minifast and torch from a fixed list. It is checked before anything is
    built of it.

    Args:
        fname: the file.
        cpu: predict on the CPU; False: on the best device there is.
        objects: your own classes and functions that the learner uses, by name: `{"MyModel": MyModel}`. A model may also be
            given ready, or as a function that makes it; it gets the weights of the file.

    Returns:
        A learner for `predict`, `get_preds(dl=learn.dls.test_dl(items))` and `show_results(dl=...)`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or of another kind (such as a pickle of fastai), or something of your own is missing in `objects`.
    """
    spec, weights = read(fname)
    builder = Builder(objects)
    try:
        weights.update({name: weights[other] for name, other in spec["tied"].items()})
        model = _build_model(builder, spec["model"], weights)
        _check_fit(model, weights)
        model.load_state_dict(weights)
        loss = _build_loss(builder, spec)
        device = torch.device("cpu") if cpu else default_device()
        dl = builder(spec["data"]).to(device)
        dls_cls, learner_cls = builder(spec["dls"]), builder(spec["learner"])
        settings = {name: builder(value) for name, value in spec["settings"].items() if name in _SETTINGS}
        functions = {name: builder(spec[name]) for name in ("opt_func", "splitter")}
        metrics = [f for f in (builder(m["function"]) for m in spec["metrics"]) if f is not None]
        dls = (dls_cls if issubclass(dls_cls, DataLoaders) else DataLoaders)(dl, dl, device=device)
        dl.set_by_hand.update(builder(spec.get("set_by_hand", {"dict": []})))  # which the first files do not have
        learn = learner_cls(dls, model, loss_func=loss, metrics=metrics, path=Path(fname).parent, batch_tfms=builder(spec["batch_tfms"]),
                            **settings, **{name: f for name, f in functions.items() if f is not None}).to_device()
        learn.exported_metrics = {m["name"]: builder(m["value"]) for m in spec["metrics"]}
        return learn
    except MissingObject as e:
        raise MissingObject(f"{fname}: {e}") from None
    except Exception as e:                      # what a description of another version, or a forged one, can lead to is of any kind
        written = spec.get("versions") if isinstance(spec.get("versions"), dict) else {}
        raise ValueError(f"{fname} cannot be built ({type(e).__name__}: {e}). It was written by minifast {written.get('minifast')} with "
                         f"torch {written.get('torch')}; here is minifast {minifast.__version__} with torch {torch.__version__}") from e


def _build_model(builder: Builder, tree: Any, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    # constants that a model computes anew, such as masks, are in no state dict: they may double the size
    builder.numbers_left = 2 * sum(t.numel() for t in weights.values()) + 2**20
    with torch.random.fork_rng(devices=[]):                 # initialising weights takes nothing from the random streams
        made = builder(tree)
        if not isinstance(made, nn.Module) and callable(made):           # a class, or a function that makes the model
            made = made()
    builder.numbers_left = 2**16                            # for losses with class weights
    if not isinstance(made, nn.Module):
        raise ValueError(f"the model must be a torch.nn.Module; received {describe(made)}")
    return made


def _check_fit(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    own = model.state_dict()
    wrong = [*(f"{n} is not in the file" for n in own if n not in weights), *(f"{n} is not in the model" for n in weights if n not in own),
             *(f"{n} is {describe(weights[n])} in the file, {describe(t)} in the model" for n, t in own.items()
               if n in weights and weights[n].shape != t.shape)]
    if wrong:
        raise ValueError(f"the weights do not fit the model {type(model).__name__}, {plural(len(wrong), 'difference')}: "
                         f"{'; '.join(wrong[:4])}")


def _build_loss(builder: Builder, spec: dict[str, Any]) -> Any:
    try:
        loss = builder(spec["loss"])
        return loss() if isinstance(loss, type) else loss
    except MissingObject:
        if spec["loss_kind"] is False:
            raise
        return ExportedLoss(spec["loss"].get("own", "of this learner"), spec["loss_kind"])
