"""`Plan`: the memory, time and communication of a training on several devices, worked out from a step measured on this one."""
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from ..callbacks import ChannelsLast, DistributedTrainer, MixedPrecision
from ..callbacks.sharded import blocks_of
from ..core import check_arguments, find_bs, is_number, is_whole
from ..core.device import cores_of_ranks
from ..core.messages import plural
from ..learner.learner import Learner
from .learner.step_cost import ParamCost, StepCost, step_cost

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {"": 1.0, "B": 1.0, **{f"{prefix}{unit}": base ** i for base, unit in ((1000.0, "B"), (1024.0, "iB"))
                               for i, prefix in enumerate("KMGT", 1)}}
#: The share of a device's memory that tensors can use: the rest is that of libraries, of the driver, and lost between tensors.
USABLE = 0.9
#: Bytes a second from rank to rank where nothing else is said: PCIe 3 on one machine, Ethernet of 10 Gbit/s between several.
BANDWIDTH, BANDWIDTH_BETWEEN = 10e9, 1.1e9
#: What the memory of a rank is for, in the order of the table.
PARTS = ("weights", "gathered weights", "gradients", "gradient buckets", "optimizer state", "averaged weights", "batch", "activations",
         "temporary")
MEMORY_WORDS = "bytes, or a text such as '16GB'"


def as_bytes(x: Any) -> float | None:
    "A number of bytes, or a text such as '16GB', '512MiB' or '10GB/s', as a number; None where it is neither."
    if is_number(x) and 0 < x < math.inf:
        return float(x)
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([KMGT]?i?B?)\s*(?:/\s*s)?\s*", x, re.I) if isinstance(x, str) else None
    units = [n for unit, n in _UNITS.items() if found and unit.lower() == found[2].lower()]
    return float(found[1]) * units[0] or None if found and units else None


def size_text(n: float) -> str:
    "Bytes as people read them: '44.7 MB'."
    for unit in ("B", "KB", "MB", "GB"):
        if n < 999.5:
            break
        n, unit = n / 1000, "TB"
    return f"{n:.3g} {unit}"


def time_text(seconds: float) -> str:
    "Seconds as '12.3 ms'."
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


@dataclass(frozen=True)
class Estimate:
    """What one rank needs, and how fast all are, with one strategy. Bytes, and seconds per batch.

    Attributes:
        strategy: 'ddp', 'fsdp2', or 'one device'.
        world: number of ranks.
        bs: items in a batch of all ranks.
        bs_per_rank: items of the rank that has most of them.
        parts: bytes of each kind of memory of a rank, by name.
        largest_bs: the largest batch (of all ranks) that fits into the memory; 0: not even one; None: memory does not grow with the batch.
        accumulated_bs: the same where the gradients of several batches are accumulated.
        fits: whether `memory` is within what was given, and so are the whole weights before and after a fit.
        compute: seconds of forward pass, backward pass, optimizer and callbacks.
        data: seconds of waiting for the batch.
        communication_bytes: what a rank sends.
        communication: seconds that this takes.
        waiting: seconds of it during which nothing is computed.
    """
    strategy: str
    world: int
    bs: int
    bs_per_rank: int
    parts: dict[str, float]
    largest_bs: int | None
    accumulated_bs: int | None
    fits: bool
    compute: float
    data: float
    communication_bytes: float
    communication: float
    waiting: float

    @property
    def memory(self) -> float:
        "Bytes that a rank needs."
        return sum(self.parts.values())

    @property
    def seconds(self) -> float:
        "Seconds per batch."
        return self.compute + self.data + self.waiting

    @property
    def items_per_second(self) -> float:
        "Items trained in a second, by all ranks."
        return self.bs / max(self.seconds, 1e-12)


def per_rank(bs: int, world: int) -> int:
    "The most items that a rank has of a batch."
    return -(-bs // min(world, max(1, bs // 2)))


# -- how FSDP2 divides a model ------------------------------------------------------------------------------------------------------
class Unit(NamedTuple):
    """Parameters that FSDP2 gathers together.

    Attributes:
        names: of the parameters.
        size: how large they are when they are gathered: 0.5 in half precision.
    """
    names: set[str]
    size: float = 1.0


def units_of(model: nn.Module, classes: Sequence[type] | None = None, halves: bool = False) -> list[Unit]:
    """The parameters that are gathered together: those of each block, and the rest.

    Args:
        model: the model.
        classes: of the blocks, see `callbacks.sharded.blocks_of`.
        halves: whether weights are gathered in half precision, which those of blocks with batch norm never are.
    """
    names: dict[nn.Parameter, str] = {p: n for n, p in model.named_parameters()}

    def unit(module, found):
        return Unit(found, 0.5 if halves and not any(hasattr(m, "running_mean") for m in module.modules()) else 1.0)

    units = [unit(block, {names[p] for p in block.parameters()}) for block in blocks_of(model, classes)]
    return [*units, unit(model, set(names.values()).difference(*(u.names for u in units)))]


# -- the estimates ------------------------------------------------------------------------------------------------------------------
def memory_parts(cost: StepCost, strategy: str, world: int, n: int, units: list[Unit], accumulates: bool = False) -> dict[str, float]:
    """Bytes of a rank that works on `n` items, by what they are for.

    Args:
        cost: what was measured.
        strategy: 'ddp', 'fsdp2' or 'one device'.
        world: number of ranks.
        n: items of a rank.
        units: parameters that FSDP2 gathers together, by name; the last are those of no block.
        accumulates: whether gradients of several batches are summed before a step.
    """
    def total(value, divided=strategy == "fsdp2"):
        return sum(value(p) * (p.shard(world) if divided else 1.0) for p in cost.params)

    def gradient(p: ParamCost) -> float:
        return p.bytes * p.trainable

    parts = {"weights": total(lambda p: p.bytes) + cost.buffer_bytes}
    if strategy == "fsdp2":
        sizes = {p.name: p.bytes for p in cost.params}
        *blocks, root = (unit.size * sum(sizes[name] for name in unit.names) for unit in units)
        # while one block is computed the next arrives, in a buffer from which its weights are copied
        parts["gathered weights"] = root + sum(sorted(blocks)[-2:]) + max([root, *blocks])
    parts["gradients"] = total(gradient, strategy == "fsdp2" and not accumulates)
    if strategy == "ddp":
        parts["gradient buckets"] = total(gradient)
    elif strategy == "fsdp2":
        grads = {p.name: gradient(p) for p in cost.params}
        parts["gradient buckets"] = max(sum(grads[name] for name in unit.names) for unit in units)
    parts["optimizer state"] = total(lambda p: p.state_bytes) + cost.state_bytes
    if cost.average_bytes:
        parts["averaged weights"] = cost.average_bytes
    parts["batch"], parts["activations"] = cost.batch(n), cost.activations(n)
    share = total(lambda p: p.bytes) / max(total(lambda p: p.bytes, False), 1)
    passes = cost.peak(n) if cost.peak is not None else 0.0
    parts["temporary"] = max(passes, cost.step_peak * share) - min(parts["activations"], max(passes, cost.step_peak * share))
    return parts


def communication(cost: StepCost, strategy: str, world: int, units: list[Unit], batches_per_step: int = 1) -> float:
    """Bytes that a rank sends for a batch: gradients are summed in a ring; FSDP2 gathers weights for each of the two passes.

    Args:
        cost: what was measured.
        strategy: 'ddp', 'fsdp2' or 'one device'.
        world: number of ranks.
        units: parameters that FSDP2 gathers together, by name.
        batches_per_step: how many batches an optimizer step is made of; gradients are exchanged in the last.
    """
    if strategy == "ddp":
        return 2 * (world - 1) / world * sum(p.bytes for p in cost.params if p.trainable) / batches_per_step
    if strategy != "fsdp2":
        return 0.0
    shards = {p.name: p.bytes * p.shard(world) * (world - 1) for p in cost.params}
    gathered = 2 * sum(unit.size * shards[name] for unit in units for name in unit.names)
    return gathered + sum(shards[p.name] for p in cost.params if p.trainable) / batches_per_step


def _largest(fits, world):
    "The largest batch whose part of a rank fits; None: any."
    low, high = 0, 2 ** 24
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low * world if low < 2 ** 24 else None


def estimate(cost: StepCost, strategy: str, world: int, bs: int, memory: float, bandwidth: float, units: list[Unit],
             batches_per_step: int = 1, turns: float = 1.0) -> Estimate:
    """Memory, time and communication of a rank.

    Args:
        cost: what was measured.
        strategy: 'ddp', 'fsdp2' or 'one device'.
        world: number of ranks.
        bs: items in a batch of all ranks.
        memory: bytes that tensors can use on each device.
        bandwidth: bytes a second that a rank can send.
        units: parameters that FSDP2 gathers together, by name.
        batches_per_step: how many batches an optimizer step is made of.
        turns: how many threads there are for each core, above 1 where those of several ranks take turns.
    """
    n = per_rank(bs, world)

    whole = sum(p.bytes for p in cost.params) + cost.buffer_bytes           # before and after a fit, also with FSDP2

    def needed(n, accumulates=batches_per_step > 1):
        parts = memory_parts(cost, strategy, world, n, units, accumulates)
        return max(sum(parts.values()), whole + parts["optimizer state"])

    def largest(*accumulates):
        return _largest(lambda n: needed(n, *accumulates) <= memory, world)

    share = sum(p.bytes * p.shard(world) for p in cost.params) / max(sum(p.bytes for p in cost.params), 1) if strategy == "fsdp2" else 1.0
    forward, backward = cost.forward(n), cost.backward(n)
    sent = communication(cost, strategy, world, units, batches_per_step)
    hidden = 0.0 if cost.device.type == "cpu" else backward if strategy == "ddp" else forward + backward
    seconds = sent / bandwidth
    return Estimate(strategy, world, bs, n, memory_parts(cost, strategy, world, n, units, batches_per_step > 1), largest(), largest(True),
                    needed(n) <= memory, turns * (forward + backward + cost.step * share / batches_per_step + cost.rest),
                    turns * cost.data(n), sent, seconds, max(0.0, seconds - hidden))


@dataclass(frozen=True)
class Plan:
    """What a training on `gpus * nodes` devices needs, with each strategy; `plan["ddp"]` and `plan["fsdp2"]` are `Estimate`s.

    Printed it is a table with what it assumes; in a notebook likewise.

    Attributes:
        subject: the learner in words.
        cost: what was measured here.
        gpus, nodes: devices of a machine, and machines.
        bs: items in a batch of all ranks.
        memory: bytes of a device.
        bandwidth: bytes a second from rank to rank.
        batches_per_step: how many batches an optimizer step is made of.
        estimates: by strategy; 'one device' for comparison.
        assumptions: what these figures rest on, in sentences.
    """
    subject: str
    cost: StepCost
    gpus: int
    nodes: int
    bs: int
    memory: float
    bandwidth: float
    batches_per_step: int
    estimates: dict[str, Estimate]
    assumptions: list[str] = field(default_factory=list)

    def __getitem__(self, strategy: str) -> Estimate:
        if strategy not in self.estimates:
            raise KeyError(f"{strategy!r} is not in this plan, which has {', '.join(map(repr, self.estimates))}")
        return self.estimates[strategy]

    @property
    def world(self) -> int:
        "Number of ranks."
        return self.gpus * self.nodes

    @property
    def best(self) -> Estimate | None:
        "The fastest strategy that fits into memory, DDP where both are about as fast; None where none fits."
        fitting = [e for e in self._candidates if e.fits]
        return min(fitting, key=lambda e: e.seconds * (1.05 if e.strategy == "fsdp2" else 1), default=None)

    @property
    def _candidates(self):
        return [e for name, e in self.estimates.items() if name != "one device" or self.world == 1]

    @property
    def verdict(self) -> str:
        "What to do, in a sentence."
        best, most = self.best, max(self._candidates, key=lambda e: math.inf if e.accumulated_bs is None else e.accumulated_bs)
        if best is None:
            found = most.accumulated_bs or 0
            bs = 8 * int(0.95 * found / 8) or found             # a little less: so much is not known that exactly
            return (f"bs={self.bs} does not fit: with bs={bs} and {most.strategy} it does, and "
                    f"cbs=GradientAccumulation({self.bs}) steps as with {self.bs}" if bs else
                    "not even one item fits: use a smaller model or smaller inputs, more devices, or to_bf16()")
        if self.world == 1:
            return f"it fits; the largest batch is about {best.largest_bs or 'any'}"
        one = self.estimates["one device"]
        gain = best.items_per_second / one.items_per_second
        how = "which torchrun gives any script" if best.strategy == "ddp" else 'with learn.to_distributed(strategy="fsdp2")'
        return f"{best.strategy} fits and is the fastest, {how}: {gain:.2g} times the items a second of one device"

    def frame(self) -> "pd.DataFrame":
        "A DataFrame with a column per strategy: bytes, seconds and counts as numbers."
        import pandas as pd
        return pd.DataFrame({name: {**{f"{part} (bytes)": n for part, n in e.parts.items()}, "memory (bytes)": e.memory, "fits": e.fits,
                                    "largest bs": e.largest_bs, "compute (s)": e.compute, "data (s)": e.data,
                                    "communication (bytes)": e.communication_bytes, "communication (s)": e.communication,
                                    "batch (s)": e.seconds, "items per second": e.items_per_second}
                             for name, e in self.estimates.items()})

    @property
    def rows(self) -> list[tuple[str, ...]]:
        "The table as texts: a title, then a cell per strategy."
        found = list(self.estimates.values())
        names = [name for name in PARTS if any(name in e.parts for e in found)]
        rows = [(name, *(size_text(e.parts[name]) if name in e.parts else "" for e in found)) for name in names]
        one = self.estimates["one device"].items_per_second
        return [("", *self.estimates), *rows,
                ("memory per rank", *(size_text(e.memory) for e in found)),
                (f"fits into {size_text(self.memory)}", *("yes" if e.fits else "no" for e in found)),
                ("largest bs", *("any" if e.largest_bs is None else str(e.largest_bs) for e in found)),
                ("compute", *(time_text(e.compute) for e in found)),
                ("waiting for data", *(time_text(e.data) for e in found)),
                ("sent by a rank", *(size_text(e.communication_bytes) if e.world > 1 else "" for e in found)),
                ("communication", *(time_text(e.communication) if e.world > 1 else "" for e in found)),
                ("time per batch", *(time_text(e.seconds) for e in found)),
                ("items per second", *(f"{e.items_per_second:,.3g}" for e in found)),
                ("against one device", *(f"{e.items_per_second / one:.2f}x" for e in found))]

    @property
    def _title(self):
        ranks = plural(self.world, "rank")
        where = f" ({plural(self.nodes, 'machine')} with {self.gpus} each)" if self.nodes > 1 else ""
        return f"Plan for {ranks}{where}, bs={self.bs} of all together: {self.subject}"

    def __str__(self) -> str:
        rows = self.rows
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
                 for row in rows]
        return "\n".join([self._title, *lines, f"-> {self.verdict}", "Assumed:", *(f"- {a}" for a in self.assumptions)])

    __repr__ = __str__

    def _repr_html_(self):
        head, *rows = ["".join(f"<td style='text-align:{'right' if i else 'left'}'>{escape(c)}</td>" for i, c in enumerate(row))
                       for row in self.rows]
        return (f"<p><b>{escape(self._title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>"
                f"{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table><p>{escape(self.verdict)}</p><p>Assumed:</p><ul>"
                f"{''.join(f'<li>{escape(a)}</li>' for a in self.assumptions)}</ul>")


def device_memory(device: torch.device) -> float:
    "Bytes of memory of a device, in all."
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory())
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def plan(learn: Learner, gpus: int = 1, nodes: int = 1, bs: int | None = None, memory: int | float | str | None = None,
         bandwidth: int | float | str | None = None, seconds: float = 20.0) -> Plan:
    "See `Learner.plan`."
    check_arguments("plan", gpus=(gpus, is_whole(gpus), "the number of devices of a machine, 1 or more"),
                    nodes=(nodes, is_whole(nodes), "the number of machines, 1 or more"),
                    bs=(bs, bs is None or is_whole(bs), "the items in a batch of all ranks together, 1 or more"),
                    memory=(memory, memory is None or as_bytes(memory), f"the memory of a device: {MEMORY_WORDS}"),
                    bandwidth=(bandwidth, bandwidth is None or as_bytes(bandwidth),
                               f"what a rank can send in a second: {MEMORY_WORDS}"),
                    seconds=(seconds, is_number(seconds) and seconds > 0, "the time for measurements, a number above 0"))
    world, device = gpus * nodes, learn.dls.device
    own = getattr(learn.dls.train, "bs", None) or getattr(learn.dls.train, "batch_size", None)
    size = bs or own or find_bs(next(iter(learn.dls.train)))
    threads = max(1, torch.get_num_threads() // gpus) if device.type == "cpu" else None
    turns = max(1.0, gpus * threads / cores_of_ranks()) if threads else 1.0
    cost = step_cost(learn, (per_rank(size, world), size), threads, seconds)
    total = as_bytes(memory) if memory is not None else device_memory(device) / (gpus if device.type == "cpu" else 1)
    speed = as_bytes(bandwidth) if bandwidth is not None else BANDWIDTH if nodes == 1 else BANDWIDTH_BETWEEN
    items = max([getattr(cb, "n_acc", 0) for cb in learn.cbs], default=0)
    k = max(1, math.ceil(items / size))
    blocks = next((cb.blocks for cb in learn.cbs if isinstance(cb, DistributedTrainer)), None)
    units = units_of(learn.model, blocks, any(isinstance(cb, MixedPrecision) and cb.amp_mode == "bf16" for cb in learn.cbs))
    usable = USABLE * total
    estimates = {"one device": estimate(cost, "one device", 1, size, usable, speed, units, k)}
    if world > 1:
        estimates |= {s: estimate(cost, s, world, size, usable, speed, units, k, turns) for s in ("ddp", "fsdp2")}
    live = sum(p.trainable * math.prod(p.shape) for p in cost.params)
    subject = (f"{type(learn.model).__name__}, {sum(math.prod(p.shape) for p in cost.params):,} parameters ({live:,} trained), "
               f"{getattr(learn.opt_func, '__name__', learn.opt_func)}")
    return Plan(subject, cost, gpus, nodes, size, total, speed, k, estimates,
                _assumptions(learn, cost, world, gpus, size, total, speed, memory is None, bandwidth is None, k))


def _told_of_cores(ranks, threads):
    cores = cores_of_ranks()
    turns = "take turns" if ranks * threads > cores else "have one each"
    return (f"the {plural(ranks, 'rank')} of a machine share its {plural(cores, 'core')}: {plural(ranks * threads, 'thread')} {turns}, and "
            f"nothing else runs there. One device is a process with {plural(threads, 'thread')}, too; alone it could use all cores")


def _assumptions(learn, cost, world, gpus, bs, memory, bandwidth, own_memory, own_bandwidth, k):
    low, high = cost.sizes
    where = f"{cost.device}" + (f" with {plural(cost.threads, 'thread')}" if cost.threads else "")
    told = [f"time and activations were measured here, on {where}, at {low} and {high} items with inputs of shape "
            f"{', '.join(map(str, cost.shapes))}, and grow in a straight line" + (f" to {bs} items" if bs > high else ""),
            "gradients count as being there during the whole step, so memory is rather less than said",
            f"{USABLE:.0%} of " + ("this device's memory" if own_memory else f"{size_text(memory)}") + " can be used for tensors"]
    if cost.peak is None:
        told.append(f"temporary tensors of the passes are not counted: {cost.device.type} does not say how much memory was used at most")
    if k > 1:
        told.append(f"gradients of {k} batches are accumulated: they are exchanged in the last of them")
    if learn.compiled_with is not None:
        told.append("the model was measured without compile(), which usually needs less time and memory")
    refused = [w for w, there in (("channels-last", any(isinstance(cb, ChannelsLast) for cb in learn.cbs)),
                                  ("compile()", learn.compiled_with is not None)) if there]
    if refused and world > 1:
        told.append(f"FSDP2 is for the learner without {' and '.join(refused)}, which it cannot be used with")
    if world > 1:
        told += [f"a rank sends {size_text(bandwidth)} a second" + (
                     " (not measured: PCIe 3 has about 10 GB/s, NVLink 100-400, Ethernet of 10 Gbit/s 1.1, of 100 Gbit/s 11; say "
                     "bandwidth='...')" if own_bandwidth else ""),
                 "the processor cannot compute while it communicates" if cost.device.type == "cpu" else
                 "DDP communicates during the backward pass, FSDP2 during both passes",
                 "with FSDP2 weights are divided during a fit; before and after it they are whole on each rank",
                 "an exchange starts at once: with many small layers, or between machines, it takes longer than the bytes alone",
                 _told_of_cores(gpus, cost.threads) if cost.threads and gpus > 1 else
                 "each rank has a device of its own, as fast as this one, and its loader has as many processor cores as here"]
    return told
