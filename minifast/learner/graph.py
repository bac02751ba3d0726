"""A learner as one graph that runs without minifast: `to_onnx` and `to_torch_export`.

The graph scales its inputs as the loaders do, runs the model and activates its output. Before a file is left behind, it is loaded again
and compared with torch on batches of three sizes.
"""
from __future__ import annotations

import copy
import inspect
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.torch_version import TorchVersion

from .. import __version__
from ..callbacks import MixedPrecision, ProgressCallback
from ..callbacks.regularise import of_output
from ..core import PathLike, checkpoint, describe, find_bs, fixed_seed, leaves, map_nested, plain, split_batch, to_detach, to_device
from ..core.paths import Path
from ..core.ranks import alone, is_main
from ..data.engine.collate import wrap_kinds
from ..data.targets import base_dataset
from ..nn.layers import Scaling
from ..nn.loss_traits import activation_of, loss_name
from .inference import Batches, loader_for
from .saving import vocabs_of

if TYPE_CHECKING:
    from .learner import Learner

TOLERANCE = 1e-4        # between torch and an exported graph, as a fraction of the largest value where that exceeds 1
ITEMS = 3               # two are traced; batches of one and three tell that the batch size was not traced with them
FROM_PROGRAMS = TorchVersion("2.9")       # torch before it cannot write all of its programs with today's onnxscript: it traces
ONNX_LIMIT = 2**31      # bytes that protobuf, and with it one ONNX file, can hold


class Graph(nn.Module):
    """Scaling of the inputs, the model, activation of its output: what is exported.

    Args:
        model: in evaluation mode.
        scalings: one for each input, None where it goes to the model as it is.
        activation: of the output.
        keys: names of the last inputs, which the model takes by keyword.
    """

    def __init__(self, model: nn.Module, scalings: Sequence[Scaling | None], activation: Callable[[Any], Any], keys: Sequence[str] = ()):
        super().__init__()
        self.model, self.activation, self.keys = model, activation, tuple(keys)
        self.scalings = nn.ModuleList([nn.Identity() if s is None else s for s in scalings])

    def forward(self, *inputs: torch.Tensor) -> Any:
        scaled = [scale(x) for scale, x in zip(self.scalings, inputs, strict=True)]
        n = len(scaled) - len(self.keys)
        return self.activation(self.model(*scaled[:n], **dict(zip(self.keys, scaled[n:], strict=True))))


class Export:
    """What `to_onnx` and `to_torch_export` share: the graph of a learner on the CPU, inputs to trace and compare it with, and what a
    reader of the file must know.

    Raises:
        ValueError: where callbacks change batches or predictions, which no graph contains, or the batch cannot be an input.
    """

    def __init__(self, learn: Learner, dl: Any):
        loader = loader_for(learn, 1 if len(learn.dls) > 1 else 0, dl)
        batch, n_inp = _first_items(loader, learn.dls.device), getattr(loader, "n_inp", None)
        args, keywords, _ = split_batch(batch, n_inp)
        inputs = (*args, *keywords.values())
        if refusal := next((m.no_graph for m in learn.model.modules() if hasattr(m, "no_graph")), None):
            raise TypeError(refusal)
        if wrong := [describe(x) for x in inputs if not isinstance(x, torch.Tensor) or not x.ndim]:
            raise ValueError(f"an exported graph takes tensors with a batch axis; this batch has the input {wrong[0]}")
        before, scalings, columns = _described_inputs(loader, inputs)
        inputs = plain(inputs)
        model = copy.deepcopy(learn.model).eval()
        _fix_parametrized(model)
        graph = Graph(model, scalings, of_output(activation_of(learn.loss_func), learn.cbs), list(keywords)).eval()
        scaled = [x if s is None else s.to(x.device).undo(x) for s, x in zip(scalings, inputs, strict=True)]
        modes = [(m, m.training) for m in learn.model.modules()]
        with learn.removed_cbs([MixedPrecision, ProgressCallback]):
            expected = learn.get_preds(dl=Batches([batch], n_inp), with_targs=False, reorder=False)[0]
        for m, training in modes:
            m.training = training
        with torch.no_grad():
            difference = _difference(graph.to(learn.dls.device)(*scaled), expected)
        if difference > TOLERANCE:
            raise ValueError(f"the model alone predicts something else than learn.get_preds (difference {difference:.2g}): a callback "
                             f"changes batches or predictions, and no graph contains callbacks. Put what it "
                             f"does into the model, or remove it: learn.remove_cb(...). Callbacks: {', '.join(map(repr, learn.cbs))}")
        self.graph, self.inputs = graph.cpu(), tuple(to_detach(list(scaled)))
        self.names = [*_parameter_names(learn.model, len(args)), *keywords]
        self.about: dict[str, Any] = {
            "inputs": {name: f"{str(x.dtype).removeprefix('torch.')}[batch{''.join(f',{n}' for n in x.shape[1:])}]"
                       for name, x in zip(self.names, self.inputs, strict=True)},
            "done before": before, "scaled inside": [name for name, s in zip(self.names, scalings, strict=True) if s],
            "activation": "of " + loss_name(learn.loss_func) if learn.loss_func else "none", "vocab": vocabs_of(learn.dls),
            "columns": columns,
            "versions": {"minifast": __version__, "torch": torch.__version__}}

    def traced(self) -> torch.export.ExportedProgram:
        "The graph as torch.export sees it, with any number of items."
        batch = torch.export.Dim("batch", max=2**31)         # torch 2.6 shies at the largest int64
        # the one parameter of `Graph.forward` is `*inputs`
        return torch.export.export(self.graph, self.of_size(2), dynamic_shapes=(tuple({0: batch} for _ in self.inputs),),
                                   strict=False)

    def of_size(self, n: int) -> tuple[torch.Tensor, ...]:
        "The first `n` of the inputs."
        return tuple(x[:n] for x in self.inputs)

    def compare(self, run: Callable[[tuple[torch.Tensor, ...]], Any], who: str) -> float:
        """The largest difference between what `run` and torch predict for batches of three sizes.

        Raises:
            RuntimeError: where it exceeds the tolerance.
        """
        worst = 0.0
        for n in (2, 1, ITEMS):
            with torch.no_grad():
                worst = max(worst, _difference(run(self.of_size(n)), self.graph(*self.of_size(n))))
            if worst > TOLERANCE:
                raise RuntimeError(f"{who} predicts something else than torch: batch of {n}, difference {worst:.2g}, at most {TOLERANCE} "
                                   "is allowed. No file was written. Does the model keep state, draw random numbers in evaluation mode or "
                                   "compute with the batch size?")
        return worst

    def told(self, file: Path, worst: float) -> str:
        "One line about what was written."
        before = f"; done before: {', '.join(self.about['done before'])}" if self.about["done before"] else ""
        inputs = ", ".join(f"{name} {kind}" for name, kind in self.about["inputs"].items())
        inside = f"scaling of {', '.join(self.about['scaled inside'])}, " if self.about["scaled inside"] else ""
        return (f"{file}: {inputs} -> {inside}model, activation {self.about['activation']}{before}. "
                f"Largest difference from torch: {worst:.1g}")


def to_onnx(learn: Learner, name: PathLike, dl: Any = None, opset: int | None = None) -> Path:
    "See `Learner.to_onnx`."
    file = _file_of(learn, name, ".onnx")
    if not is_main():
        return file
    with alone():
        return _to_onnx(learn, file, dl, opset)


def _to_onnx(learn, file, dl, opset):
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f"to_onnx writes with onnx and onnxscript and compares with onnxruntime; not installed: {', '.join(missing)}. "
                          "Write: pip install 'minifast[onnx]'")
    import onnxruntime
    export = Export(learn, dl)
    size = sum(t.numel() * t.element_size() for t in export.graph.state_dict().values())
    if size >= ONNX_LIMIT:
        raise ValueError(f"the model has {size / 2**30:.1f} GiB of weights, and one ONNX file holds less than 2: use to_torch_export")
    with _explained(learn.model, "torch.onnx.export"):
        program = export.traced()                       # also where it is not what is written: it refuses what cannot be traced
    with checkpoint.replacing(file) as part:
        with _explained(learn.model, "torch.onnx.export"):
            _write_onnx(export, program, part, opset)
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_inputs()]

        def run(inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
            given = {name: x.numpy() for name, x in zip(export.names, inputs, strict=True) if name in names}
            return [torch.from_numpy(o) for o in session.run(None, given)]

        worst = export.compare(run, "onnxruntime")
    return _tell(learn, export, file, worst)


def _write_onnx(export: Export, program: torch.export.ExportedProgram, part: Path, opset: int | None) -> None:
    "Write an ONNX file with the description of the graph in its metadata."
    import onnx
    options: dict[str, Any] = {"input_names": export.names, "opset_version": opset}
    if TorchVersion(torch.__version__) >= FROM_PROGRAMS:
        with redirect_stdout(io.StringIO()):            # which some versions use to tell of their progress
            made: Any = torch.onnx.export(program, (), None, dynamo=True, verbose=False, **options)
        made.save(str(part), external_data=False)
    else:
        torch.onnx.export(export.graph, export.of_size(2), str(part), dynamo=False, output_names=["output"],
                          dynamic_axes={name: {0: "batch"} for name in (*export.names, "output")}, **options)
    model = onnx.load(str(part), format="protobuf")
    onnx.helper.set_model_props(model, {"minifast": json.dumps(export.about)})
    onnx.save(model, str(part), format="protobuf")


def to_torch_export(learn: Learner, name: PathLike, dl: Any = None) -> Path:
    "See `Learner.to_torch_export`."
    file = _file_of(learn, name, ".pt2")
    if not is_main():
        return file
    with alone():
        return _to_torch_export(learn, file, dl)


def _to_torch_export(learn, file, dl):
    export = Export(learn, dl)
    with _explained(learn.model, "torch.export"):
        program = export.traced()
    with checkpoint.replacing(file) as part:
        with open(part, "wb") as f:                     # a file: torch refuses names that do not end with .pt2
            torch.export.save(program, f, extra_files={"minifast.json": json.dumps(export.about)})
        with open(part, "rb") as f:
            loaded = torch.export.load(f).module()
        worst = export.compare(lambda inputs: loaded(*inputs), "the exported program")
    return _tell(learn, export, file, worst)


def _tell(learn, export, file, worst):
    if not learn.logging_off:
        learn.logger(export.told(file, worst))
    return file


def _file_of(learn: Learner, file: Any, suffix: str) -> Path:
    "`file` below the learner's path, with its suffix; its folder is made."
    if not isinstance(file, (str, os.PathLike)) or not Path(file).name or Path(file).suffix not in ("", suffix):
        raise ValueError(f"the file is a name such as 'model{suffix}', or a path; received {describe(file)}")
    file = Path(learn.path, Path(file).expanduser().with_suffix(suffix))
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _first_items(loader, device):
    "A batch of `ITEMS` items of a loader, repeated if it has fewer."
    n = len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else 1
    if n and hasattr(loader, "make_batch"):
        batch = loader.make_batch([i % n for i in range(ITEMS)])
        return loader.padded_to_longest(batch) if hasattr(loader, "padded_to_longest") else batch
    with fixed_seed():                          # torch's loaders draw from the streams of training
        batch = next(iter(loader), None) if n else None
    if batch is None:
        raise ValueError("there is no item to trace the model with: give some, dl=learn.dls.test_dl(items)")
    rows = torch.arange(ITEMS) % find_bs(batch)
    return to_device(map_nested(lambda t: t[rows] if isinstance(t, torch.Tensor) and t.ndim else t, batch), device)


def _fix_parametrized(model: nn.Module) -> None:
    """Make the weights under a weight or spectral norm plain ones, as they are in evaluation mode. torch's `remove_parametrizations` would
    change the class of these layers, which a copy shares with the learner's model."""
    for m in [m for m in model.modules() if parametrize.is_parametrized(m)]:
        values = {name: getattr(m, name).detach().clone() for name in cast(nn.ModuleDict, m.parametrizations)}
        m.__class__ = parametrize.type_before_parametrizations(m)
        del m.parametrizations
        for name, value in values.items():
            m.register_parameter(name, nn.Parameter(value))


def _described_inputs(loader, inputs):
    """What is to be known of the inputs of a graph: the transforms that its caller must do himself, for each input the `Scaling` inside
    the graph, and the columns of a table."""
    table = base_dataset(loader)[0]
    if hasattr(table, "graph_inputs"):
        return table.graph_inputs()
    inputs = wrap_kinds(tuple(inputs), kinds[:len(inputs)]) if isinstance(kinds := getattr(loader, "kinds", None), tuple) else inputs
    steps = [f for name in ("after_item", "before_batch", "after_batch") for f in getattr(loader, name, ()) if not f.skips(1)]
    found = [[f.scaling(x) for x in inputs] for f in steps]
    at = next((i for i, scalings in enumerate(found) if any(scalings)), len(steps))
    if steps[at + 1:]:
        raise ValueError(f"the transform {steps[at + 1]!r} comes after {steps[at]!r}, which belongs inside the graph, and cannot be "
                         "exported itself. Give it an order below that of the normalisation (99), or put it into the model")
    return list(map(repr, steps[:at])), found[at] if at < len(steps) else [None] * len(inputs), {}


def _parameter_names(model, n):
    "The names of the first `n` inputs of a model, which are those of the inputs of the graph."
    names = [p.name for p in inspect.signature(model.forward).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][:n]
    return names if len(names) == n else [f"input_{i}" for i in range(n)] if n > 1 else ["input"]


def _difference(result, expected):
    "The largest difference between predictions, as a fraction of the largest value where that exceeds 1; infinite for other shapes."
    pairs = list(zip(leaves(result), leaves(expected), strict=False))
    if len(leaves(result)) != len(leaves(expected)) or any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    gaps = [((a.cpu().double() - b.cpu().double()).abs().max() / b.abs().max().clamp_min(1).cpu()).item() for a, b in pairs if b.numel()]
    return max(float("inf") if gap != gap else gap for gap in gaps)


@contextmanager
def _explained(model: nn.Module, who: str) -> Iterator[None]:
    "Turn what torch says about a model that it cannot export into what to do."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # about torch's own inner calls; what matters is compared afterwards
            yield
    except Exception as e:                              # torch raises many kinds
        cause = next((o for o in (e.__cause__, e) if o is not None and str(o).strip()), e)
        said = next(line.strip() for line in (*str(cause).splitlines(), type(cause).__name__) if line.strip())
        raise ValueError(f"{who} cannot make a graph of {type(model).__name__}: {said} A graph has no Python in it: write torch.where or "
                         "torch.cond for an `if` on values of a tensor, leave out `.item()`, numpy and loops over the batch, and take the "
                         "batch size from the input, x.flatten(1) or x.shape[0]. The whole report of torch is above") from e
