"""Whole models of torchvision and timm, which a learner may be given as they are: by which of the library's registered names each is made.

Such a model keeps no note of how it was made. So the builders of its own module are tried, on torch's meta device where that costs little,
and one is taken where it makes the same layers with the same settings and shapes. A file holds the library, the name and two numbers.
"""
import inspect
import sys
import warnings
from functools import lru_cache, partial
from itertools import zip_longest

import torch
from torch import nn

from ..core.recipe import Recipe

__all__ = ["library_model", "recipe_of"]


def library_model(library: str, name: str, n_out: int, n_in: int = 3) -> nn.Module:
    """Make a model that a library has registered, with random weights.

    Args:
        library: 'torchvision' or 'timm'.
        name: its name there.
        n_out: number of outputs.
        n_in: channels of the images, of timm.

    Raises:
        ValueError: there is no such model. Nothing but registered names is looked up, and nothing is fetched.
    """
    numbers = all(type(n) is int and n > 0 for n in (n_out, n_in))
    if library == "torchvision" and numbers and n_in == 3:
        from torchvision.models import get_model_builder, list_models
        if name in list_models():
            more = {k: None for k in ("weights", "weights_backbone") if k in inspect.signature(get_model_builder(name)).parameters}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")                 # about how weights begin, which those of a file replace
                return get_model_builder(name)(num_classes=n_out, **more)
    elif library == "timm" and numbers:
        import timm
        if name in timm.list_models():
            return timm.create_model(name, pretrained=False, num_classes=n_out, in_chans=n_in)
    raise ValueError(f"there is no model {name!r} of {library!r} with {n_out!r} outputs and {n_in!r} channels")


library_model.makes_model = True  # type: ignore[attr-defined]  # of a function


def recipe_of(model: nn.Module) -> Recipe | None:
    """How `library_model` makes a model like this one; None where it does not, because the model is another one or was changed.

    Args:
        model: any module.
    """
    home = type(model).__module__
    library = home.partition(".")[0]
    if library not in ("torchvision", "timm") or library not in sys.modules:
        return None
    n_out, n_in = _last_width(model), _first_width(model)
    for name in _names(library, home, model) if n_out else ():
        args = {"library": library, "name": name, "n_out": n_out, **({"n_in": n_in} if library == "timm" and n_in != 3 else {})}
        try:
            made = _on_meta(**args)
        except Exception:                       # such as one that computes with tensors while it is made
            continue
        if _alike(model, made):
            return Recipe(library_model, args)
    return None


@lru_cache(maxsize=32)          # a family: making one of its large models takes a quarter of a second
def _on_meta(**args):
    with torch.device("meta"):
        return library_model(**args)


def _names(library, home, model):
    "The names under which such a model may be registered."
    if library == "timm":
        config = getattr(model, "pretrained_cfg", None)
        return [config["architecture"]] if isinstance(config, dict) and config.get("architecture") else []
    from torchvision.models import get_model_builder, list_models
    return [name for name in list_models() if get_model_builder(name).__module__ == home]


def _last_width(model):
    "The outputs of the last layer."
    widths = [m.out_features if isinstance(m, nn.Linear) else m.out_channels for m in model.modules()
              if isinstance(m, (nn.Linear, nn.Conv2d))]
    return widths[-1] if widths else None


def _first_width(model):
    "The channels that the first convolution takes."
    return next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)


def _alike(a, b):
    "Whether two models have the same modules with the same settings, and weights of the same shapes and types."
    weights, others = a.state_dict(), b.state_dict()
    if weights.keys() != others.keys() or any(w.shape != others[k].shape or w.dtype != others[k].dtype for k, w in weights.items()):
        return False
    for (name, m), (other_name, other) in zip_longest(a.named_modules(), b.named_modules(), fillvalue=(None, None)):
        if name != other_name or type(m) is not type(other) or _settings(m).keys() != _settings(other).keys():
            return False
        if not all(_equal(v, _settings(other)[k]) for k, v in _settings(m).items()):
            return False
    return True


def _settings(m):
    "What a module was set to, apart from its weights and its mode."
    return {k: v for k, v in vars(m).items() if not k.startswith("_") and k != "training"}


def _equal(a, b):
    "Whether two settings are the same. Of objects that say nothing about equality the class counts."
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(v, b[k]) for k, v in a.items())
    if isinstance(a, partial):
        return isinstance(b, partial) and _equal((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    if a is None or isinstance(a, (bool, int, float, str, torch.dtype, type)) or inspect.isroutine(a):
        return a == b or (a != a and b != b)
    return type(a) is type(b)
