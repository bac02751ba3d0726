"""Bodies and heads: any image classification network as a feature extractor, and a new head on top.

An architecture is a function of `torchvision.models` (`resnet18`), its name ("resnet18"), a name that timm knows ("resnet26d"), or any
function that returns an `nn.Module`. `arch_meta` says where its weights are, where it is cut and how it is split into layer groups.
"""
import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from ...core.messages import brief, describe, unwrapped
from ...core.recipe import recorded
from ...core.types import YRange
from ...nn.model_info import eval_mode
from .heads import add_head, create_head
from .pretrained import TimmBody, build_timm, load_pretrained, pick_weights, timm_config
from .xresnet import XRESNETS, XResNet

__all__ = ["ArchMeta", "add_head", "arch_meta", "create_body", "create_cnn_model", "create_head", "create_vision_model", "default_split",
           "has_pool_type", "model_meta", "num_features", "replace_input", "split_in_halves"]

_HEAD_NAMES = {"classifier", "fc", "head", "heads", "avgpool"}


# -- how a model falls into layer groups ------------------------------------------------------------------------------------------

def _params(*modules):
    return [p for m in modules for p in m.parameters()]


def _size(module):
    return sum(p.numel() for p in module.parameters())


def _opened(module):
    "The parts of `module` in order: its own parameters, then its children."
    return [s for s in [nn.ParameterList(module.parameters(recurse=False)), *module.children()] if _size(s)]


def default_split(model: nn.Sequential) -> list[list[nn.Parameter]]:
    """Two layer groups of `Sequential(body, head)`: the body, and all that follows. `model_meta[arch]['split']` makes three.

    Args:
        model: a body, and behind it the head.
    """
    return [_params(model[0]), _params(model[1:])]


def split_in_halves(model: nn.Sequential) -> list[list[nn.Parameter]]:
    """Layer groups of `Sequential(body, head)`: first half of the body's stages, second half, head.

    Stages are the children of the body; one that holds more than half of its parameters is opened.

    Args:
        model: a body, and behind it the head.
    """
    body, head = model[0], model[1:]
    stages, total = _opened(body), _size(body)
    while stages:
        largest = max(stages, key=_size)
        if _size(largest) * 2 <= total or not list(largest.children()):
            break
        at = stages.index(largest)
        stages[at:at + 1] = _opened(largest)
    half = len(stages) // 2
    groups = [_params(*stages[:half]), _params(*stages[half:])]
    return [g for g in groups if g] + [_params(head)]


#: how the names of torchvision's architectures begin: at which child the second layer group begins, of the body or (True) of its first
#: child, which holds the layers
_SPLITS = {r"resnet|resnext|wide_resnet": (6, False), "densenet": (7, True), "squeezenet": (5, True), "alexnet": (6, True),
           r"vgg.*_bn$": (22, True)}


def split_at(model: nn.Sequential, at: int, in_first: bool = False) -> list[list[nn.Parameter]]:
    "Layer groups of `Sequential(body, head)`: the body's children before and from `at`, head."
    body: Any = model[0]
    body, rest = (body[0], body[1:]) if in_first else (body, nn.Sequential())
    return [_params(body[:at]), _params(body[at:], rest), _params(model[1:])]


# -- what is known about an architecture ------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class ArchMeta:
    "What `arch_meta` found out: `build(pretrained, weights, n_in)` makes the model, `cut` its body, `split` its layer groups."

    name: str
    source: str                                 #: 'torchvision', 'timm' or 'function'
    build: Callable
    cut: Callable | int | None = None
    split: Callable = split_in_halves
    weights: Any = None                         #: torchvision's enum of weights
    stats: tuple | None = None                  #: (mean, std) that the pretrained weights expect; None: unknown
    takes_n_in: bool = False                    #: `build` itself fits the model to `n_in` channels

    def split_for(self, cut: Callable[[nn.Module], nn.Module] | int | None = None) -> Callable[..., list[list[nn.Parameter]]]:
        "`split`, or the split for any body where a `cut` of the user's decides what the body looks like."
        return self.split if cut is None else split_in_halves

    def stats_for(self, weights: Any = None) -> tuple | None:
        "(mean, std) that these weights expect, from their own description; None: unknown."
        if self.source != "torchvision" or self.weights is None:
            return self.stats
        if self.name in ("googlenet", "inception_v3"):      # whole, these turn ImageNet's statistics into these before their first layer
            return [0.5] * 3, [0.5] * 3
        picked = pick_weights(self.weights, "DEFAULT" if weights is None else weights)
        preset = (picked if isinstance(picked, models.WeightsEnum) else self.weights.DEFAULT).transforms()
        return list(preset.mean), list(preset.std)


def _torchvision_names():
    return models.list_models(module=models)


def arch_meta(arch: Any) -> ArchMeta:
    "`ArchMeta` of an architecture: a function of torchvision.models, a name of torchvision or timm, or a function returning a module."
    arch = XRESNETS.get(arch, arch) if isinstance(arch, str) else arch
    if isinstance(arch, nn.Module):
        return ArchMeta(type(arch).__name__, "function", lambda pretrained, weights, n_in: arch)
    if not callable(arch) and not isinstance(arch, str):
        raise TypeError(f"arch is a function such as torchvision.models.resnet18, or a name such as 'resnet18'; received {describe(arch)}")
    name = arch if isinstance(arch, str) else getattr(arch, "__name__", type(arch).__name__)
    if name in _torchvision_names() and (name is arch or getattr(arch, "__module__", "").startswith("torchvision.models")):
        return _torchvision_meta(name)
    if isinstance(arch, str):
        name = arch.removeprefix("timm/")
        config = timm_config(name, [*_torchvision_names(), *XRESNETS])
        stats = None if config is None else (list(config.mean), list(config.std))
        return ArchMeta(name, "timm", partial(build_timm, name, config), stats=stats, takes_n_in=True)
    split = partial(split_at, at=3) if unwrapped(arch) in (XResNet, *XRESNETS.values()) else split_in_halves
    return ArchMeta(name, "function", partial(_build_function, arch, name), split=split)


class _ModelMeta(Mapping):
    """What is known about each architecture: `model_meta[resnet18]` is a dict of `cut` (a function of the model that returns its body),
    `split` (`Sequential(body, head)` to layer groups), `stats` (mean and std of the weights, or None) and `weights` (torchvision's
    enum, or None). Keys are what `arch_meta` takes; iterating gives the names that need no further package."""

    def __getitem__(self, arch: Any) -> Any:
        meta = arch_meta(arch)
        return {"cut": meta.cut or _cut_at_pool, "split": meta.split, "stats": meta.stats, "weights": meta.weights}

    def __contains__(self, arch: Any) -> bool:
        try:
            arch_meta(arch)
        except (TypeError, ValueError):
            return False
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter([*_torchvision_names(), *XRESNETS])

    def __len__(self) -> int:
        return len(_torchvision_names()) + len(XRESNETS)

    def __repr__(self) -> str:
        return f"model_meta: {len(self)} architectures"


#: How fastai cuts and splits each architecture, by its function or name.
model_meta = _ModelMeta()


def _torchvision_meta(name):
    weights = models.get_model_weights(name)
    split = next((partial(split_at, at=at, in_first=inside) for pattern, (at, inside) in _SPLITS.items() if re.match(pattern, name)),
                 split_in_halves)
    meta = ArchMeta(name, "torchvision", partial(_build_torchvision, name, weights), _torchvision_cut, split, weights)
    return replace(meta, stats=meta.stats_for())


def _build_torchvision(name, choices, pretrained, weights, n_in):
    builder, options = models.get_model_builder(name), {}
    picked = pick_weights(choices, "DEFAULT" if weights is None else weights) if pretrained else None
    if name in ("googlenet", "inception_v3"):               # the auxiliary heads only serve training on ImageNet
        options = {"aux_logits": False, "init_weights": not pretrained, "transform_input": False}
    if name.startswith("vit") and isinstance(picked, models.WeightsEnum):
        options = {"image_size": picked.meta["min_size"][0]}
    state = load_pretrained(choices, picked, name) if pretrained else None      # before the model is built: it fails faster
    model = builder(weights=None, **options)
    if state is not None:
        _load_body(model, state, name, weights)
    return model


def _load_body(model, state, name, weights):
    "Load `state` into `model`; all but the head, which will be replaced, must fit."
    def is_head(key):
        return key.split(".")[0] in _HEAD_NAMES | {"aux1", "aux2", "AuxLogits"}

    own = model.state_dict()
    body = {k: v for k, v in state.items() if not is_head(k)}
    wrong = {"not in the file": [k for k in own if not is_head(k) and k not in body and not k.endswith("num_batches_tracked")],
             "not in the model": [k for k in body if k not in own],
             "of another shape": [f"{k}: {tuple(v.shape)} in the file, {tuple(own[k].shape)} in the model" for k, v in body.items()
                                  if k in own and v.shape != own[k].shape]}
    if any(wrong.values()):
        problems = [f"{what}: {', '.join(which[:3])}{' ...' if len(which) > 3 else ''} ({len(which)} in all)"
                    for what, which in wrong.items() if which]
        raise ValueError(f"weights={brief(weights)} do not fit {name}: " + "; ".join(problems))
    model.load_state_dict({k: v for k, v in state.items() if not is_head(k) or (k in own and own[k].shape == v.shape)}, strict=False)


def _build_function(arch, name, pretrained, weights, n_in):
    asked = bool(pretrained) and weights is None
    if asked and "pretrained" not in inspect.signature(arch).parameters:
        raise ValueError(f"no pretrained weights are known for {name}: pass pretrained=False to start from random weights, or "
                         "weights='path/of/file' with the state dict of a trained one")
    model = arch(pretrained=True) if asked else arch()
    if weights is not None:
        _load_body(model, load_pretrained(None, weights, name), name, weights)
    if not isinstance(model, nn.Module):
        raise TypeError(f"arch {name} must return an nn.Module; it returned {describe(model)}")
    return model


# -- the body ---------------------------------------------------------------------------------------------------------------------

def _torchvision_cut(model):
    "The body of a torchvision classifier: everything before its final pooling and classifier, in the order it runs in."
    if isinstance(model, models.VisionTransformer):
        model.heads = nn.Identity()
        return model
    layers = []
    for name, child in model.named_children():
        if name in _HEAD_NAMES:
            break
        layers += list(child) if isinstance(child, nn.ModuleList) else [child]
    if isinstance(model, models.DenseNet):                  # the last activation is not a layer of the model but a line of its forward
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def has_pool_type(m: Any) -> bool:
    """Whether a module is, or contains, a pooling layer.

    Args:
        m: the module.
    """
    return any("Pool" in type(c).__name__ for c in m.modules())


def _cut_at_pool(model):
    children = list(model.children())
    at = next((i for i in reversed(range(len(children))) if has_pool_type(children[i])), 0)
    if not at:
        raise ValueError(f"cannot tell where the body of {type(model).__name__} ends: it has no pooling layer after its first child. Pass "
                         "cut=-1 to leave out its last child, another number, or a function of the model that returns the body")
    return nn.Sequential(*children[:at])


def _cut(model, cut):
    if isinstance(cut, int):
        return nn.Sequential(*list(model.children())[:cut])
    if callable(cut):
        return cut(model)
    raise TypeError(f"cut is a number (children of the model to keep) or a function of the model; received {describe(cut)}")


def create_body(arch: Any, n_in: int = 3, pretrained: bool = True, cut: Callable[[nn.Module], nn.Module] | int | None = None,
                weights: Any = None) -> nn.Module:
    """Make the body of `arch`: all layers before the final pooling.

    Args:
        arch: see `arch_meta`, or a model, which is taken as it is.
        n_in: channels of the images.
        pretrained: with the weights of ImageNet.
        cut: how many children of the model to keep (may be negative), or a function of the model that returns the body.
        weights: other weights, by name or file, see `pretrained.load_pretrained`.

    Returns:
        A module that returns maps (B,C,H,W), or for a vision transformer features (B,F).
    """
    meta = arch_meta(arch)
    pretrained = bool(pretrained or weights is not None) and not isinstance(arch, nn.Module)
    model = meta.build(pretrained, weights, n_in)
    if cut is not None:
        body = _cut(model.model if isinstance(model, TimmBody) else model, cut)
    elif meta.source == "timm":
        body = model
    else:
        body = _cut(model, meta.cut or _torchvision_cut if type(model).__module__.startswith("torchvision.models") else _cut_at_pool)
    if n_in != 3 and not meta.takes_n_in:
        replace_input(body, n_in, pretrained or isinstance(arch, nn.Module))
    return body


def replace_input(body: nn.Module, n_in: int, pretrained: bool = True) -> None:
    """Let the first convolution of `body` take `n_in` channels.

    Pretrained weights for red, green, blue are kept: 1 channel gets their sum, 2 channels the first two times 1.5, more than 3 the
    three and zeros for the rest. The bias is kept.
    """
    path, conv = next(((n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d)), (None, None))
    if conv is None:
        raise ValueError(f"n_in={n_in}: {type(body).__name__} has no Conv2d whose input could be changed")
    w, n = conv.weight.detach(), conv.in_channels
    if n == n_in:
        return
    new = copy.deepcopy(conv)           # with its bias
    new.in_channels = n_in
    new.weight = nn.Parameter(w.sum(1, keepdim=True) if n_in == 1 else w[:, :n_in] * (n / n_in) if n_in < n
                              else F.pad(w, (0, 0, 0, 0, 0, n_in - n)))
    if not pretrained:
        new.reset_parameters()
    parent, _, name = path.rpartition(".")
    setattr(body.get_submodule(parent), name, new)


def first_size(body: nn.Module, sizes: Sequence[Sequence[int]], n_in: int, f: Callable[[Any], Any]) -> Any:
    "`f(size)` for the first of `sizes` (height, width) that `body` takes: some networks take one size only, or none so small."
    for size in sizes:
        try:
            with eval_mode(body):
                return f(size)
        except (RuntimeError, AssertionError) as e:
            error = e
    h, w = sizes[-1]
    raise ValueError(f"the body {type(body).__name__} does not run on an image of {n_in} channels and {h} x {w} pixels: {error}. "
                     "Choose another cut or n_in") from error


def _output_shape(body, n_in):
    "Shape of what `body` returns for one image, tried at small sizes first."
    device = next((p.device for p in body.parameters()), torch.device("cpu"))

    def shape(size):
        out = body(torch.zeros(1, n_in, *size, device=device))
        if not isinstance(out, torch.Tensor) or out.ndim not in (2, 4):
            raise ValueError(f"the body {type(body).__name__} must return maps (B,C,H,W) or features (B,F); it returned {describe(out)}. "
                             "Choose another cut")
        return tuple(out.shape)
    return first_size(body, [getattr(body, "input_size", (64, 64)), *((n, n) for n in (128, 224, 384, 448, 518))], n_in, shape)


def num_features(body: nn.Module, n_in: int = 3) -> int:
    "Number of features that `body` returns: channels of its maps, or length of its vectors."
    return _output_shape(body, n_in)[1]


# -- body and head ----------------------------------------------------------------------------------------------------------------

def arch_name(arch: Any) -> Any:
    """The name of an architecture that is known by one, else `arch` itself.

    Args:
        arch: see `arch_meta`.
    """
    name = next((name for name, f in XRESNETS.items() if f is arch), None)
    if name is not None or isinstance(arch, (str, nn.Module)):
        return name or arch
    meta = arch_meta(arch)
    return arch if meta.source == "function" else meta.name


@recorded(arch=arch_name, pretrained=False, weights=None, init=None)
def create_vision_model(arch: Any, n_out: int, pretrained: bool = True, weights: Any = None,
                        cut: Callable[[nn.Module], nn.Module] | int | None = None, n_in: int = 3,
                        init: Callable[..., Any] | None = nn.init.kaiming_normal_, custom_head: nn.Module | None = None,
                        concat_pool: bool = True, pool: bool = True, lin_ftrs: Sequence[int] | None = None,
                        ps: float | Sequence[float] = 0.5, first_bn: bool = True, bn_final: bool = False, lin_first: bool = False,
                        y_range: YRange | None = None) -> nn.Sequential:
    """Make `Sequential(body, head)`: the body of `arch`, and a new head. Images (B,n_in,H,W) -> (B,n_out).

    Args:
        arch: a function such as `resnet34` or `xresnet50`, or a name of timm; see `arch_meta`.
        n_out: outputs of the head.
        pretrained: take the weights of ImageNet.
        weights: other weights, by name or file, see `pretrained.load_pretrained`.
        cut: how many children of the model to keep (may be negative), or a function of the model that returns the body.
        n_in: channels of the images.
        init: fills the weights of the head in place; None: as they are.
        custom_head: a module in place of a head made by `create_head`.
        concat_pool: average and maximum side by side, instead of the average alone.
        pool: pool the maps of the body; not where the body pools itself.
        lin_ftrs: sizes of the hidden layers of the head (default: [512]).
        ps: dropout, one number (halved for all blocks but the last) or one per block.
        first_bn: batch norm before the first linear layer.
        bn_final: batch norm after the last.
        lin_first: linear layer before batch norm and dropout.
        y_range: (low, high) of a scaled sigmoid at the end, for regression.
    """
    body = create_body(arch, n_in, pretrained, cut, weights)
    if custom_head is not None:
        return add_head(body, None, n_out, init, custom_head)
    shape = _output_shape(body, n_in)
    return add_head(body, shape[1], n_out, init, lin_ftrs=lin_ftrs, ps=ps, pool=pool and len(shape) == 4, concat_pool=concat_pool,
                    first_bn=first_bn, bn_final=bn_final, lin_first=lin_first, y_range=y_range)


create_cnn_model = create_vision_model
