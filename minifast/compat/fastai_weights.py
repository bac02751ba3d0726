"""Weights out of files of fastai: what `minifast port-weights` does with the pickle of `learn.export` and the `.pth` of `learn.save`.

A pickle names functions that are called when it is loaded, so loading one the usual way runs whatever its author wrote. Here no name is
looked up: each class and function that a file names is replaced by a stand-in that only keeps what it is given, and the few that make
tensors and plain containers by functions of this file. fastai need not be installed.
"""
import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from errno import EINVAL
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core import PathLike, checkpoint, plural
from ..learner.saving import Vocabs, vocab_tensor
from ..text.pretrained import clean_names

Weights = dict[str, torch.Tensor]


class StandIn:
    "In the place of an object of a file: it keeps the attributes, and what else it is given it ignores. It runs nothing."

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        self.args = args

    def __call__(self, *args: Any, **kwargs: Any) -> "StandIn":
        return StandIn(*args)

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                vars(self).update({k: v for k, v in part.items() if isinstance(k, str)})

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        "Ignore an entry of a list."

    def extend(self, values: Iterable) -> None:
        "Ignore entries of a list."

    def add(self, value: Any) -> None:
        "Ignore an entry of a set."


def _stand_in_class(*args: Any) -> type:
    "In the place of a class that the file itself defines."
    return type("StandIn", (StandIn,), {})


def _tensor(storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)                 # which refuses what lies outside of the storage


def _scalar(dtype: StandIn, data: bytes) -> Any:
    "A number or a string that numpy pickled."
    kind = dtype.args[0]
    return np.frombuffer(data, dtype=kind)[0].item() if re.fullmatch(r"[biufU]\d+", kind) else StandIn()


#: What a file may have called under its own name; for everything else there is a stand-in.
_KNOWN = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *rest: data,
    ("torch._tensor", "_rebuild_from_type_v2"): lambda make, cls, args, state: make(*args),
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),                # how bytes are written
    **{(module, "scalar"): _scalar for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
    **{(module, f"_make_skeleton_{kind}"): _stand_in_class for module in ("cloudpickle.cloudpickle", "fastcore.imports")
       for kind in ("class", "enum")},
}
_STORAGES = {"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
             "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16,
             "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool}


class _Reader(pickle.Unpickler):
    "Reads the pickle inside a file of torch. No name of the file is looked up, and tensors come from the same archive."

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        data = archive.read(f"{folder}/data.pkl")
        for op, arg, _ in pickletools.genops(data):                     # which refuses lengths beyond the end as well
            if op.name in ("PUT", "LONG_BINPUT") and arg > len(data):
                raise ValueError(f"it keeps an object under the number {arg:,}, and the reader takes memory for as many")
        super().__init__(io.BytesIO(data))
        self.archive, self.folder, self.storages = archive, folder, {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return _KNOWN.get((module, name)) or _stand_in_class()

    def persistent_load(self, saved: tuple) -> torch.Tensor:
        _, dtype, key, _, _ = saved
        if key not in self.storages:
            data = bytearray(self.archive.read(f"{self.folder}/data/{key}"))
            if len(data) % dtype.itemsize:              # torch.frombuffer would leave the bytes locked
                raise ValueError(f"data/{key} is no whole number of {dtype}")
            self.storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self.storages[key]


def read_file(file: PathLike) -> Any:
    """The objects in a file of `torch.save`: tensors, plain containers, and a `StandIn` for anything else. Nothing of the file runs.

    Raises:
        ValueError: the file is not one of `torch.save`, or is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which torch.save never does")
            if sum(max(entry.file_size, entry.compress_size) for entry in archive.infolist()) > Path(file).stat().st_size:
                raise ValueError("its records are longer than the file")
            pickled = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickled) != 1:
                raise ValueError("there is no data.pkl in it")
            return _Reader(archive, pickled[0].removesuffix("/data.pkl")).load()
    except Exception as e:                      # a damaged pickle raises many kinds, a damaged zip an OSError of a place that is none
        if isinstance(e, OSError) and e.errno not in (None, EINVAL):
            raise
        raise ValueError(f"{file} cannot be read as a file of learn.export or learn.save ({type(e).__name__}: {e}). Files of torch before "
                         "1.6 had another format: there load and save it once more") from e


def _state_of(module: Any, prefix: str = "") -> Weights:
    "The weights of a stand-in of a module, by the names that `state_dict` gives them."
    own = vars(module)
    kept = chain(own.get("_parameters", {}).items(), ((n, b) for n, b in own.get("_buffers", {}).items()
                                                      if n not in own.get("_non_persistent_buffers_set", ())))
    found = {prefix + name: t for name, t in kept if isinstance(t, torch.Tensor)}
    for name, child in own.get("_modules", {}).items():
        if isinstance(child, StandIn):
            found.update(_state_of(child, f"{prefix}{name}."))
    return found


def weights_in(saved: Any) -> Weights:
    """The weights of a learner, a model, or a dict of weights, as `read_file` returns them; empty where there are none.

    Args:
        saved: the objects of a file.
    """
    model = saved.get("model", saved) if isinstance(saved, dict) else getattr(saved, "model", saved)
    if isinstance(model, dict):
        return {k: v for k, v in model.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    return _state_of(model) if isinstance(model, StandIn) else {}


# -- vocabularies --------------------------------------------------------------------------------------------------------------------
def _entries(x: Any) -> list:
    "The entries of a list or tuple, or of one of fastcore's collections."
    for _ in range(4):                          # collections of collections; a file can hold a circle of them
        x = getattr(x, "items", None) if isinstance(x, StandIn) else x
    return list(x) if isinstance(x, (list, tuple)) else []


def _as_text(values: Any) -> list[str]:
    "A vocabulary as `learn.save` stores it; empty where there is none, or not all of it could be read."
    entries = _entries(values)
    return [] if any(isinstance(o, StandIn) for o in entries) else list(map(str, entries))


def vocabs_in(saved: Any) -> Vocabs:
    """The vocabularies of a learner, as far as they are found, under the names that `learn.save` gives them.

    Args:
        saved: the objects of a file.
    """
    loaders = _entries(getattr(getattr(saved, "dls", None), "loaders", None))
    data = getattr(loaders[0], "dataset", None) if loaders else None
    found: Vocabs = {}
    procs, pipes = _entries(getattr(getattr(data, "procs", None), "fs", None)), _entries(getattr(data, "tls", None))
    target = _entries(getattr(getattr(pipes[-1], "tfms", None), "fs", None)) if len(pipes) > 1 else procs
    for proc in procs:                                                                    # of a table
        columns = getattr(proc, "classes", None)
        found.update((f"column {name!r}", _as_text(values)) for name, values in (columns.items() if isinstance(columns, dict) else ()))
    found.update(("target", _as_text(transform.vocab)) for transform in target if hasattr(transform, "vocab"))
    return {name: entries for name, entries in found.items() if entries}


# -- names ---------------------------------------------------------------------------------------------------------------------------
#: torch's old names of what a weight or spectral norm keeps, by the one that tells them apart, and those of its parametrizations.
_NORMS = {"weight_g": {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"},
          "weight_orig": {"weight_orig": "parametrizations.weight.original", "weight_u": "parametrizations.weight.0._u",
                          "weight_v": "parametrizations.weight.0._v"}}


def renamed(weights: Weights) -> Weights:
    """Weights of a model of fastai under the names of minifast's.

    Those of `vision_learner`, `tabular_learner`, `collab_learner` and the text learners are the same, but that older versions hold each
    dropped weight of an LSTM twice. A U-Net is put together otherwise, see `_unet`.

    Args:
        weights: by fastai's names.
    """
    by_name = {}
    for name, value in clean_names(weights).items():
        head, end = name[:name.rfind(".") + 1], name.rpartition(".")[2]
        new = next((names[end] for mark, names in _NORMS.items() if head + mark in weights and end in names), end)
        by_name[head + new] = value
    if "bn_cont.weight" in by_name and not by_name["bn_cont.weight"].numel():            # the norm layer of no column at all
        by_name = {k: v for k, v in by_name.items() if not k.startswith("bn_cont.")}
    blocks = sorted({int(found[1]) for k in by_name if (found := re.match(r"layers\.(\d+)\.shuf\.", k))})
    return _unet(by_name, len(blocks)) if blocks and blocks[0] == 4 else by_name


def _unet(weights: Weights, n: int) -> Weights:
    """The weights of a U-Net of `n` blocks.

    fastai lists encoder, norm, ReLU, middle, blocks, upsampling, resizing, joining, residual block, convolution; minifast encoder, (norm,
    ReLU, middle), blocks, (upsampling), (residual block, convolution).

    fastai's convolutions have a bias and no norm layer. Ours get a norm layer that adds the bias and changes nothing else, so that both
    predict the same; in training it normalises as any other. Upsampling has a weight norm here.
    """
    places = {0: "0", 1: "1.0", 3: "1.2", 4 + n: f"{n + 2}.0", **{4 + i: str(2 + i) for i in range(n)}}
    cross = {int(k.split(".")[1]) for k in weights if ".convpath." in k}
    places.update(dict.fromkeys(cross, f"{n + 3}.0"))
    moved = {}
    for name, value in weights.items():
        _, i, rest = name.split(".", 2)
        moved[f"layers.{places.get(int(i), f'{n + 3}.{len(cross)}')}.{rest}"] = value
    for name in [k for k in moved if re.search(rf"layers\.(1\.2\.[01]|\d+\.conv[12]|{n + 3}\.0\.convpath\.[01])\.0\.bias$", k)]:
        conv, bias = name.removesuffix(".0.bias"), moved.pop(name)
        for later in [k for k in moved if k.startswith(f"{conv}.2.")]:                      # self-attention behind the new norm layer
            moved[later.replace(f"{conv}.2.", f"{conv}.3.", 1)] = moved.pop(later)
        moved.update({f"{conv}.1.weight": torch.full_like(bias, (1 + nn.BatchNorm2d(1).eps) ** 0.5), f"{conv}.1.bias": bias,
                      f"{conv}.1.running_mean": torch.zeros_like(bias), f"{conv}.1.running_var": torch.ones_like(bias),
                      f"{conv}.1.num_batches_tracked": torch.tensor(0)})
    if (plain := moved.pop(f"layers.{n + 2}.0.0.0.weight", None)) is not None:
        normed = f"layers.{n + 2}.0.0.0.parametrizations.weight.original"
        moved.update({f"{normed}0": plain.flatten(1).norm(dim=1).view(-1, 1, 1, 1), f"{normed}1": plain})
    return moved


def port_weights(file: PathLike, out: PathLike | None = None) -> tuple[Path, str]:
    """Write the weights in a file of fastai as a file for `learn.load`.

    Args:
        file: of `learn.export` or `learn.save`.
        out: the file to write; None: beside `file`, with the suffix .safetensors.

    Returns:
        The file, and a line about what is in it.

    Raises:
        ValueError: the file cannot be read, or there are no weights in it.
    """
    file = Path(file)
    out = file.with_suffix(".safetensors") if out is None else Path(out).with_suffix(".safetensors")
    saved = read_file(file)
    try:
        weights, vocabs = renamed(weights_in(saved)), vocabs_in(saved)
    except (RecursionError, ValueError, KeyError, TypeError) as e:
        raise ValueError(f"{file} cannot be read as a learner ({type(e).__name__}: {e})") from e
    if not weights:
        raise ValueError(f"there are no weights of a model in {file}: it holds {type(saved).__name__}. Give a file of fastai's "
                         "learn.export() or learn.save(), or of torch.save(model.state_dict())")
    if wrong := [name for name, t in weights.items() if t.numel() > t.untyped_storage().nbytes() // t.element_size()]:
        raise ValueError(f"{file}: {wrong[0]} has more numbers than are stored of it")
    checkpoint.save({"model": weights, **({"vocab": vocab_tensor(vocabs)} if vocabs else {})}, out)
    told = ", ".join(f"{name} ({plural(len(entries), 'value')})" for name, entries in vocabs.items())
    return out, (f"{plural(len(weights), 'tensor')} with {plural(sum(t.numel() for t in weights.values()), 'number')}; "
                 + (f"vocabularies: {told}" if told else "no vocabulary, so compare the order of your classes yourself"))
