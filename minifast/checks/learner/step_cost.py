"""What a training step costs in memory and time, measured on a copy of the learner at two batch sizes, so that others can be worked out."""
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...callbacks.averaging import AveragingCallback
from ...callbacks.base import Callback, CancelFitException
from ...core import find_bs, fixed_seed, leaves, map_nested, to_device
from ...data.loaders import DataLoaders
from ...learner.inference import Batches
from ...learner.learner import Learner
from ...learner.probe import Probe, independent_loader, probing
from .speed import DATA, measure
from .updates import create_optimizer


class Linear(NamedTuple):
    "A quantity that is `constant + n * per_item` for a batch of `n` items."
    constant: float
    per_item: float

    @classmethod
    def through(cls, n1: int, y1: float, n2: int, y2: float) -> "Linear":
        "The line through two measurements; never one that falls, or that is below 0 without items."
        slope = max(0.0, (y2 - y1) / (n2 - n1))
        return cls(y2 - n2 * slope, slope) if y2 >= n2 * slope else cls(0.0, y2 / n2)

    def __call__(self, n: int) -> float:
        return self.constant + n * self.per_item


class ParamCost(NamedTuple):
    """A parameter, and what is kept beside it.

    Attributes:
        name: its name in the model.
        shape: its shape.
        item_bytes: bytes of each of its numbers.
        trainable: whether it gets a gradient.
        state_bytes: bytes of optimizer state that has a number for each of its own.
    """
    name: str
    shape: tuple[int, ...]
    item_bytes: int
    trainable: bool
    state_bytes: int

    @property
    def bytes(self) -> int:
        "Bytes of the whole parameter."
        return self.item_bytes * torch.Size(self.shape).numel()

    def shard(self, world: int) -> float:
        "The part that a rank holds where FSDP2 divides the first axis among `world` ranks: the largest rank's, padding included."
        return -(-self.shape[0] // world) / self.shape[0] if self.shape and self.shape[0] else 1.0


@dataclass(frozen=True)
class StepCost:
    """What a step costs, as measured; bytes and seconds.

    Attributes:
        params: the parameters of the model.
        buffer_bytes: of its buffers, such as batch-norm statistics.
        state_bytes: of the optimizer's state besides that of `params`.
        average_bytes: of averaged weights (`EMA`, `SWA`).
        batch: of inputs and targets.
        activations: of what the forward pass keeps for the backward pass.
        peak: of all there is at the worst moment of forward and backward pass besides weights, gradients and optimizer state; None: the
            device does not say.
        step_peak: the same of the optimizer's step.
        forward, backward: seconds of these passes.
        step: seconds of the optimizer's step.
        rest: seconds of callbacks after it.
        data: seconds spent waiting for a batch.
        sizes: the two batch sizes that were measured.
        threads: of the processor during the measurements; None: it did not compute.
        device: what was measured.
        shapes: of the inputs.
    """
    params: tuple[ParamCost, ...]
    buffer_bytes: int
    state_bytes: int
    average_bytes: int
    batch: Linear
    activations: Linear
    peak: Linear | None
    step_peak: float
    forward: Linear
    backward: Linear
    step: float
    rest: float
    data: Linear
    sizes: tuple[int, int]
    threads: int | None
    device: torch.device
    shapes: tuple[tuple[int, ...], ...]


# -- memory -------------------------------------------------------------------------------------------------------------------------
def bytes_of(x: Any) -> int:
    "Bytes of all tensors in nested tuples, lists and dicts."
    return sum(t.numel() * t.element_size() for t in leaves(x) if isinstance(t, torch.Tensor))


class Saved(Callback):
    "Counts the memory that the forward pass keeps for the backward pass, besides that of `known` tensors: `bytes`, of one batch."

    def __init__(self, known: Any):
        self.known, self.bytes = known, 0
        self._found: dict[int, int] = {}

    def before_batch(self) -> None:
        learn = self.learn
        tensors = [t for t in leaves((self.known, learn.xb, learn.kw, learn.yb)) if isinstance(t, torch.Tensor)]
        self._found = {t.untyped_storage().data_ptr(): 0 for t in tensors}

    def forward_context(self) -> AbstractContextManager:
        "Look at each tensor that is kept, once for the memory that several share."
        return nullcontext() if self.bytes else torch.autograd.graph.saved_tensors_hooks(self._keep, lambda t: t)

    def after_loss(self) -> None:
        self.bytes = self.bytes or sum(self._found.values())

    def _keep(self, t):
        storage = t.untyped_storage()
        self._found.setdefault(storage.data_ptr(), storage.nbytes())
        return t


class Peak:
    "The most memory that was allocated at a time within a block, beyond what there was at its start; None: not known."

    def __init__(self, device: torch.device):
        self.device = device
        self.bytes: int | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        "The block."
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            yield
            self.bytes = torch.cuda.max_memory_allocated(self.device) - before
        elif self.device.type == "cpu":
            yield from self._on_cpu()
        else:
            yield

    def _on_cpu(self):
        level = os.environ.get("KINETO_LOG_LEVEL")
        os.environ["KINETO_LOG_LEVEL"] = "9"            # else the profiler writes lines of its own to the terminal
        try:
            gc.collect()                                # what is freed meanwhile would be told as memory of unknown size
            profile = torch.autograd.profiler.profile(profile_memory=True)
            with profile:
                yield
        finally:
            if level is None:
                del os.environ["KINETO_LOG_LEVEL"]
            else:
                os.environ["KINETO_LOG_LEVEL"] = level
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(file))
            trace = json.loads(file.read_text())
        events = trace["traceEvents"] if isinstance(trace, dict) else trace
        changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]" and e["args"].get("Device Type") == 0)
        self.bytes = max(0, *accumulate(change for _, change in changes)) if changes else 0


class PeakOfStep(Callback):
    "The peaks of memory of forward and backward pass, and of the optimizer's step; gradients are there from the start."

    order = -1000

    def __init__(self, device: torch.device):
        self.passes, self.step = Peak(device), Peak(device)
        self._open = ExitStack()

    def before_batch(self) -> None:
        for p in self.learn.model.parameters():
            if p.requires_grad and p.grad is None:
                p.grad = torch.zeros_like(p)
        self._open.enter_context(self.passes.watching())

    def after_backward(self) -> None:
        self._open.close()

    def before_step(self) -> None:
        self._open.enter_context(self.step.watching())

    def after_step(self) -> None:
        self._open.close()

    cleanup_fit = after_step


# -- time ---------------------------------------------------------------------------------------------------------------------------
class Clock(Callback):
    "Seconds of the parts of each batch: forward, backward, step (of those batches that have one), rest."

    order = -1000
    runs_last = ("after_batch",)

    def __init__(self, device: torch.device, until: float):
        self.device, self.until = device, until
        self.parts: dict[str, list[float]] = {"forward": [], "backward": [], "step": [], "rest": []}

    def _mark(self, part=None):
        if self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).synchronize()
        now = time.perf_counter()
        if part is not None:
            self.parts[part].append(now - self._since)
        self._since = now

    def before_batch(self) -> None:
        self._mark()

    def after_loss(self) -> None:
        if len(self.parts["forward"]) == len(self.parts["backward"]):       # not the second pass of a step, as of SAM
            self._mark("forward")

    def after_backward(self) -> None:
        if len(self.parts["forward"]) > len(self.parts["backward"]):
            self._mark("backward")

    def after_step(self) -> None:
        self._mark("step")

    def after_batch(self) -> None:
        self._mark("rest")
        if time.perf_counter() > self.until and len(self.parts["rest"]) > 2:
            raise CancelFitException

    def seconds(self, part: str) -> float:
        "The median of a part; the first batch warms up."
        values = self.parts[part]
        return statistics.median(values[1:] or values or [0.0])


# -- measuring ----------------------------------------------------------------------------------------------------------------------
def items_of(batch: Any, n: int) -> Any:
    "A batch of `n` items: the first of `batch`, and these again where it has fewer."
    there = find_bs(batch)
    index = torch.arange(n) % there
    return map_nested(lambda t: t[index.to(t.device)] if isinstance(t, torch.Tensor) and t.ndim and len(t) == there else t, batch)


def _train_on(probe: Probe, batch: Any, times: int, *cbs: Callback) -> None:
    "The twin's own loop over the same batch, several times."
    twin, data = probe.twin, probe.twin.dls
    try:
        twin.dls = DataLoaders(Batches([batch] * times, getattr(data.train, "n_inp", None)), path=data.path, device=data.device)
        with twin.added_cbs([*cbs]):
            twin.fit(1)
    finally:
        twin.dls = data


def _param_costs(model: torch.nn.Module, state: Any) -> tuple[tuple[ParamCost, ...], int]:
    "The parameters with their optimizer state, and the bytes of state that is no number for each of theirs."
    found, rest = [], bytes_of([v for key, v in state.items() if not isinstance(key, torch.Tensor)])
    for name, p in model.named_parameters():
        tensors = [t for t in leaves(dict(state.get(p, {}))) if isinstance(t, torch.Tensor)]
        like = bytes_of([t for t in tensors if t.shape == p.shape and p.ndim])
        rest += bytes_of(tensors) - like
        found.append(ParamCost(name, tuple(p.shape), p.element_size(), p.requires_grad, like))
    return tuple(found), rest


def _inputs(step):
    return leaves((step.xb, step.kw))


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n or before)
        yield
    finally:
        torch.set_num_threads(before)


def step_cost(learn: Learner, sizes: tuple[int, int], threads: int | None = None, seconds: float = 20.0) -> StepCost:
    """Measure a step of `learn` with two numbers of items; the learner does not change.

    Args:
        learn: The learner.
        sizes: The numbers; the second at most that of the loader's batches, the first at most half of it where they would be the same.
        threads: Of the processor, where that is what computes; None: as now.
        seconds: Time for the measurements of time, at most.
    """
    data = measure(learn, n_steps=6, seconds=seconds / 4)
    with probing(learn) as probe, _threads(threads):
        loader = independent_loader(learn.dls.train, num_workers=0, seed=0)
        batch = to_device(next(iter(loader)), probe.device)
        there = find_bs(batch)
        high = max(4, min(sizes[1], there))
        low = max(2, min(sizes[0], high // 2))
        probe.reset()
        opt = create_optimizer(probe)
        batches = {n: items_of(batch, n) for n in (low, high)}
        saved, peaks = {}, {}
        with fixed_seed(0):
            _train_on(probe, batches[high], 1)                      # the optimizer's state is made
            for n, items in batches.items():
                saved[n], peaks[n] = Saved([*probe.model.parameters(), *probe.model.buffers()]), PeakOfStep(probe.device)
                _train_on(probe, items, 1, saved[n])
                _train_on(probe, items, 1, peaks[n])
            clocks = {}
            for n, items in batches.items():
                clocks[n] = Clock(probe.device, time.perf_counter() + seconds * 3 / 8)
                _train_on(probe, items, 12, clocks[n])
        params, state_bytes = _param_costs(probe.model, opt.state)
        averages = sum(isinstance(cb, AveragingCallback) for cb in learn.cbs) * sum(p.bytes for p in params)

        def through(value):
            return Linear.through(low, value(low), high, value(high))

        known = all(p.passes.bytes is not None for p in peaks.values())
        return StepCost(
            params, bytes_of(list(probe.model.buffers())), state_bytes, averages, through(lambda n: bytes_of(batches[n])),
            through(lambda n: saved[n].bytes),
            through(lambda n: peaks[n].passes.bytes) if known else None, max(p.step.bytes or 0 for p in peaks.values()),
            through(lambda n: clocks[n].seconds("forward")), through(lambda n: clocks[n].seconds("backward")),
            clocks[high].seconds("step"), clocks[high].seconds("rest"), Linear(0.0, data[DATA] / there), (low, high),
            torch.get_num_threads() if probe.device.type == "cpu" else None, probe.device,
            tuple(tuple(t.shape) for t in _inputs(probe.step_of(batches[high])) if isinstance(t, torch.Tensor)))
