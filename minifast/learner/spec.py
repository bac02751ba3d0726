"""Objects as plain values and back: what the description of an exported learner is made of.

Numbers, text and lists stand for themselves; everything else is a dict with one key that says what it is, such as `{"tuple": [...]}`.
An object of a class that the tables of `parts` list is `{"class": its name, "args": the arguments of its constructor}`: read from
attributes of the same names, or said by its `recipe` (see `core.recipe`). What is not in the tables, because a user wrote it, is
`{"own": its name}`: a file cannot bring it, so the caller of `load_learner` passes it.
"""
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.items import L
from ..core.messages import describe, did_you_mean, name_of
from ..core.paths import Path
from ..core.recipe import Nearest, Optional, Recipe
from ..data.engine.collate import Kind
from ..data.transforms import Transform
from .libraries import library_model, recipe_of
from .parts import find_part, names_of_parts

_GETTERS = {"attrgetter": operator.attrgetter, "itemgetter": operator.itemgetter}
_DTYPES = {str(t).removeprefix("torch."): t for t in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                                                      torch.int16, torch.int8, torch.uint8, torch.bool)}
#: Attributes of a `Transform` that may be set after it is made.
_SETTABLE = ("order", "split_idx", "types")
#: Parameters of torch's constructors that are no settings of what is made.
_NO_SETTINGS = ("device", "dtype", "size_average", "reduce")


class Undescribed(TypeError):
    "An object that cannot be described: the text says which and what to do."


class MissingObject(ValueError):
    "An object of the user's that the caller of `load_learner` did not pass."


def passing(names: Iterable[str]) -> str:
    "The argument of `load_learner` that passes the user's own objects called `names`; a lambda, whose name cannot be written, is `f`."
    pairs = ", ".join(f"{n!r}: {n if n.isidentifier() else 'f'}" for n in names)
    return f"objects={{{pairs}}}"


class StandIn:
    """Stands for something of the user's own that was not passed to `load_learner`.

    Args:
        name: what it was called.
    """

    def __init__(self, name: str):
        self.name = name

    @property
    def advice(self) -> str:
        "What to write."
        return f"pass it, load_learner(file, {passing([self.name])})"


class NotExported(StandIn):
    "Stands for a function that is needed for some items only, such as a labelling function."

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(f"this needs {self.name}, a function of your own, which no file can hold: {self.advice}")

    @property
    def __name__(self) -> str:
        return self.name


# -- from objects to plain values -----------------------------------------------------------------------------------------------------
class Describer:
    """Makes plain values of objects: `Describer()(x)`.

    Attributes:
        own: `{name: import path}` of the user's own classes and functions that the description refers to.
        optional: names of those that are needed for some items only.
    """

    def __init__(self) -> None:
        self.own: dict[str, str] = {}
        self.optional: set[str] = set()
        self._parts = names_of_parts()

    def __call__(self, x: Any) -> Any:
        "The plain value of `x`."
        if x is None or type(x) in (bool, int, str):
            return x
        if isinstance(x, Recipe):
            return {"class": self._name(x.made_by), "args": {k: self(v) for k, v in x.args.items()}}
        if isinstance(x, StandIn):
            self.own[x.name] = ""
            return {"own": x.name}
        if isinstance(x, Optional):
            return self._optional(x)
        if isinstance(x, Nearest):
            return {"part": next(self._parts[id(c)] for c in x.cls.__mro__ if id(c) in self._parts)}
        if isinstance(x, Enum):
            return {"enum": [self._name(type(x)), x.name]} if id(type(x)) in self._parts else self(x.value)
        if isinstance(x, (float, np.floating)):
            return float(x) if math.isfinite(x) else {"float": repr(float(x))}
        if isinstance(x, (int, str, np.bool_, np.integer)) and id(type(x)) not in self._parts:
            return x.item() if isinstance(x, np.generic) else int(x) if isinstance(x, int) else str(x)
        for kind, described in ((L, lambda: {"L": list(map(self, x))}), (list, lambda: list(map(self, x))),
                                (tuple, lambda: {"tuple": list(map(self, x))}),
                                (dict, lambda: {"dict": [[self(k), self(v)] for k, v in x.items()]}),
                                ((set, frozenset), lambda: {"set": sorted(map(self, x), key=repr)}),
                                (PurePath, lambda: {"path": x.as_posix()}), (re.Pattern, lambda: {"regex": [x.pattern, x.flags]}),
                                (bytes, lambda: {"bytes": x.hex()}),
                                (torch.Tensor, lambda: self._tensor(x)),
                                (np.ndarray, lambda: {"array": self._tensor(torch.as_tensor(x))["tensor"]}),
                                (datetime, lambda: {"datetime": x.isoformat()}), (date, lambda: {"date": x.isoformat()}),
                                (Kind, lambda: {"kind": [self(x.cls), self(x.attributes)]}), (partial, lambda: self._partial(x)),
                                (tuple(_GETTERS.values()), lambda: {"getter": [type(x).__name__, self(list(x.__reduce__()[1]))]})):
            if isinstance(x, kind):
                return described()
        if id(x) in self._parts:
            return {"part": self._parts[id(x)]}
        if isinstance(x, type) or not hasattr(type(x), "__dict__") or inspect.isroutine(x):
            return self._function(x)
        if isinstance(x, nn.Module):
            return self.module(x)
        recipe = getattr(x, "recipe", None)
        if isinstance(recipe, Recipe) and id(recipe.made_by) in self._parts:
            return self(recipe)
        return self._made(x)

    def _optional(self, part: Optional) -> Any:
        "What is needed for some items only; of a user's own, something that may be left out."
        x, inner = part.value, Describer()
        inner._parts = self._parts
        try:
            tree = inner(x)
        except Undescribed:
            inner.own[name_of(x)] = ""
            tree = {"own": name_of(x)}
        if not inner.own:
            return tree
        self.optional |= set() if part.is_named else set(inner.own) - set(self.own)
        self.own.update(inner.own)
        return {"or_none" if part.or_none else "optional": tree}

    def module(self, m: nn.Module, use_recipe: bool = True) -> Any:
        "A module: as its builder made it, else by its class, with its children."
        recipe: Any = getattr(m, "recipe", None)
        if use_recipe and isinstance(recipe, Recipe) and id(recipe.made_by) in self._parts:
            return self(recipe)
        if use_recipe and id(type(m)) not in self._parts and (found := recipe_of(m)) is not None:
            return self(found)
        children = [[name, self(child)] for name, child in m.named_children()]
        if isinstance(m, nn.Sequential) and type(m).forward is nn.Sequential.forward:
            return {"sequential": children}                             # whatever its class, it does what a Sequential does
        if isinstance(m, (nn.ModuleList, nn.ModuleDict)):
            return {"class": self._name(type(m)), "args": {"modules": [c for _, c in children] if isinstance(m, nn.ModuleList) else
                                                            {"dict": children}}}
        return self._made(m)

    def by_layers(self, m: nn.Module) -> Any:
        "A module by its class, with its children, whatever its recipe says."
        return self.module(m, use_recipe=False)

    def own_object(self, x: Any) -> dict[str, Any]:
        "Something of the user's own, which must be passed ready or as a function that makes it."
        return self._own(x)

    def has_own(self, tree: Any) -> bool:
        "Whether `tree` refers to something of the user's own."
        return _first_own(tree, None) is not None

    def _name(self, part: Any) -> str:
        if id(part) not in self._parts:
            raise Undescribed(f"{describe(part)} is not among the parts that an exported learner may name")
        return self._parts[id(part)]

    def _tensor(self, t: torch.Tensor) -> dict[str, Any]:
        t = t.detach().cpu().as_subclass(torch.Tensor)
        dtype = str(t.dtype).removeprefix("torch.")
        if dtype not in _DTYPES:
            raise Undescribed(f"a tensor of type {t.dtype} cannot be stored in the description")
        return {"tensor": [dtype, list(t.shape), [self(v) for v in t.flatten().tolist()]]}

    def _partial(self, f: partial) -> dict[str, Any]:
        return {"partial": [self(f.func), self(list(f.args)), self(f.keywords)]}

    def _function(self, f: Any) -> dict[str, Any]:
        owner = getattr(f, "__self__", None)
        if isinstance(owner, type) and f.__name__ == "create":          # how images are opened
            return {"create": self(owner)}
        return self._own(f)

    def _own(self, x: Any, **more: Any) -> dict[str, Any]:
        cls = x if isinstance(x, type) or inspect.isroutine(x) else type(x)
        name = cls.__name__
        self.own[name] = f"{cls.__module__}.{cls.__qualname__}"
        return {"own": name, **more}

    def _made(self, x: Any) -> dict[str, Any]:
        "An object by its class and the arguments of its constructor."
        cls = type(x)
        if id(cls) in self._parts:
            args = {k: self(v) for k, v in arguments_of(x).items()}
            changed = {k: self(v) for k, v in vars(x).items() if k in _SETTABLE and k not in args} if isinstance(x, Transform) else {}
            return {"class": self._name(cls), "args": args, **({"set": changed} if changed else {})}
        try:
            args = {k: self(v) for k, v in arguments_of(x).items()}
        except Undescribed:
            return self._own(x)                 # the caller passes it ready, or a function that makes it
        state = {}
        for k, v in vars(x).items() if not isinstance(x, nn.Module) else ():
            if k not in args:
                try:
                    state[k] = self(v)
                except Undescribed as e:
                    raise Undescribed(f"{cls.__name__}.{k} cannot be stored ({e}). Keep it out of the object: as an attribute of its "
                                      f"class, `{cls.__name__}.{k} = ...`, or pass it where it is used") from e
        return self._own(x, args=args, **({"state": state} if state else {}))


def arguments_of(x: Any) -> dict[str, Any]:
    """The arguments with which the class of `x` makes an equal object: those of its `recipe`, or attributes named as the parameters.

    Those that have their default are left out.
    """
    if isinstance(getattr(x, "recipe", None), Recipe):
        return x.recipe.args
    found = {}
    for name, parameter in inspect.signature(type(x).__init__).parameters.items():
        if name in ("self", *_NO_SETTINGS) or (name.startswith("_") and parameter.default is not parameter.empty):    # as of nn.Embedding
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if type(x).__init__ in (object.__init__, nn.Module.__init__):
                continue
            raise Undescribed(f"{describe(x)}: what {type(x).__name__}(*{name}) was called with is not known")
        # functions that replace the methods of a Transform are attributes of other names
        where = {"enc": "encodes", "dec": "decodes"}.get(name, name) if isinstance(x, Transform) else name
        held = vars(x).get(where, parameter.default) if where != name else getattr(x, name, inspect.Parameter.empty)
        if isinstance(x, nn.Module) and name == "bias":
            held = held is not None and held is not False
        if held is inspect.Parameter.empty:
            raise Undescribed(f"{type(x).__name__}({name}=) is not an attribute of the object, so it is not known what it was")
        if held is not parameter.default and not (isinstance(held, (int, float, str, tuple)) and held == parameter.default):
            found[name] = held
    return found


# -- and back -------------------------------------------------------------------------------------------------------------------------
class Builder:
    """Makes objects of plain values: `Builder(objects)(tree)`.

    Args:
        objects: the user's own classes, functions or ready objects, by name.

    Attributes:
        numbers_left: how many weights may still be made: those of the file, while the model is built.
    """

    numbers_left = 0

    def __init__(self, objects: Mapping[str, Any] | None = None):
        self.objects = dict(objects or {})
        self._kinds: dict[str, Callable[[Any], Any]] = {
            "float": float, "path": Path, "L": lambda v: L(map(self, v), use_list=True), "tuple": lambda v: tuple(map(self, v)),
            "set": lambda v: set(map(self, v)), "dict": lambda v: {self(k): self(o) for k, o in v}, "part": find_part,
            "regex": lambda v: re.compile(v[0], v[1]), "tensor": _tensor, "array": lambda v: _tensor(v).numpy(),
            "datetime": datetime.fromisoformat, "date": date.fromisoformat, "create": lambda v: self._type(v, object).create,
            "enum": lambda v: find_part(v[0])[v[1]], "kind": self._kind, "getter": lambda v: _GETTERS[v[0]](*self(v[1])),
            "partial": lambda v: partial(self(v[0]), *self(v[1]), **self(v[2])), "sequential": self._sequential, "optional": self._optional,
            "or_none": self._or_none, "bytes": bytes.fromhex}

    def __call__(self, tree: Any) -> Any:
        "The object that `tree` describes."
        if not isinstance(tree, dict):
            return list(map(self, tree)) if isinstance(tree, list) else tree
        if "class" in tree:
            return self._made(tree)
        if "own" in tree:
            return self._own(**tree)
        (kind, value), = tree.items()
        return self._kinds[kind](value)

    def _made(self, tree):
        part, args = find_part(tree["class"]), {k: self(v) for k, v in tree.get("args", {}).items()}
        if getattr(part, "makes_model", False) or (isinstance(part, type) and issubclass(part, nn.Module)):
            self._check_size(tree["class"], part, args)
        made = part(**args)
        for name, value in tree.get("set", {}).items():
            if name not in _SETTABLE or not isinstance(made, Transform):
                raise ValueError(f"{name!r} of {tree['class']} cannot be set")
            setattr(made, name, self(value))
        return made

    def _check_size(self, name, part, args):
        "Make a module on torch's meta device first, where it takes no memory, and refuse it if the file has fewer weights."
        try:
            with torch.device("meta"):
                made = part(**args)
        except NotImplementedError:                     # some models of timm compute with tensors while they are made
            if part is library_model:                   # never in a file, see `recipe_of`
                raise
            return
        self.numbers_left -= sum(t.numel() for t in (*made.parameters(), *made.buffers()) if t.device.type == "meta")
        if self.numbers_left < 0:
            raise ValueError(f"{name} has more weights than the file")

    def _own(self, own: str, args: Any = None, state: Any = None) -> Any:
        if own not in self.objects:
            raise MissingObject(f"it uses {own}, of your own code, which no file can hold: pass it, load_learner(file, {passing([own])})"
                                f"{did_you_mean(own, self.objects)}")
        given = self.objects[own]
        if args is None or not isinstance(given, type):
            return given
        made = given(**{k: self(v) for k, v in args.items()})
        vars(made).update({k: self(v) for k, v in (state or {}).items()})
        return made

    def _optional(self, tree):
        try:
            return self(tree)
        except MissingObject:
            return NotExported(tree.get("own") or _first_own(tree))

    def _or_none(self, tree):
        try:
            return self(tree)
        except MissingObject:
            return None

    def _type(self, tree, base):
        found = self(tree)
        if not isinstance(found, type) or not issubclass(found, base):
            raise ValueError(f"{describe(found)} is no class of the kind that is needed here")
        return found

    def _kind(self, value):
        return Kind.of(self._type(value[0], torch.Tensor), self(value[1]))

    def _sequential(self, children):
        made = nn.Sequential()
        for name, tree in children:
            made.add_module(name, self(tree))
        return made


def _first_own(tree: Any, default: Any = "a function") -> Any:
    "The name of the first own object within `tree`."
    parts = [tree] if isinstance(tree, (dict, list)) else []
    while parts:
        part = parts.pop(0)
        if isinstance(part, dict) and isinstance(part.get("own"), str):
            return part["own"]
        parts += [o for o in (part.values() if isinstance(part, dict) else part) if isinstance(o, (dict, list))]
    return default


def _tensor(value):
    dtype, shape, values = value
    made = torch.tensor([float(v["float"]) if isinstance(v, dict) else v for v in values], dtype=_DTYPES[dtype])
    return made.reshape(shape)
