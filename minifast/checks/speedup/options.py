"""The settings that may make training faster: what each one changes, what to write, and on what it can be tried."""
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...callbacks import ChannelsLast, MixedPrecision
from ...callbacks.base import Callback
from ...core.device import cpu_count
from ...core.nested import leaves
from ...data.dataloader import DataLoader
from ...data.engine.cache import RamCache, free_memory
from ...learner.learner import Learner

SAME, ROUNDING, PIXELS, OTHER_BS = "same bits", "rounding", "images resampled once more", "other batch size"
#: By which fraction a loss may differ through what a setting changes.
TOLERANCE = {SAME: 1e-5, ROUNDING: 2e-3, PIXELS: 0.1}
HALF_TOLERANCE = 0.05           # of half precision, which has 8 or 11 bits where single precision has 24


@dataclass(frozen=True)
class Option:
    """One setting, or several together.

    Attributes:
        name: As the table has it.
        changes: What it changes numerically: `SAME`, `ROUNDING`, `PIXELS` or `OTHER_BS`.
        write: What to write, method by method.
        tolerance: By which fraction the loss may differ.
        cbs: Make the callbacks that do it.
        opt_func: The optimizer that does it.
        loader: Arguments of the loader that do it.
    """
    name: str
    changes: str = ROUNDING
    write: tuple[str, ...] = ()
    tolerance: float = TOLERANCE[ROUNDING]
    cbs: tuple[Callable[[], Callback], ...] = ()
    opt_func: Callable[..., torch.optim.Optimizer] | None = None
    loader: tuple[tuple[str, Any], ...] = ()
    set_on: tuple[Callable[[Learner], Any], ...] = ()

    def __and__(self, other: "Option") -> "Option":
        "Both together."
        if not self.name or not other.name:
            return self if self.name else other
        kinds = [SAME, ROUNDING, PIXELS, OTHER_BS]
        return Option(f"{self.name} + {other.name}", max(self.changes, other.changes, key=kinds.index), self.write + other.write,
                      max(self.tolerance, other.tolerance), self.cbs + other.cbs, other.opt_func or self.opt_func,
                      self.loader + other.loader, self.set_on + other.set_on)


AS_IT_IS = Option("", SAME, tolerance=TOLERANCE[SAME])
LeftOut = list[tuple[str, str]]
"Names of settings that cannot be tried here, and why."


def precision_options(learn: Learner) -> tuple[list[Option], LeftOut]:
    "Half precision on the device of the learner."
    device = learn.dls.device
    own = next((cb for cb in learn.cbs if isinstance(cb, MixedPrecision)), None)
    if own is not None:
        return [], [("bf16, fp16", f"{own.amp_mode} is on already; `learn.to_fp32()` turns it off")]
    bf16 = Option("bf16", ROUNDING, ("learn.to_bf16()",), HALF_TOLERANCE, (partial(MixedPrecision, "bf16"),), set_on=(Learner.to_bf16,))
    fp16 = Option("fp16", ROUNDING, ("learn.to_fp16()",), HALF_TOLERANCE, (partial(MixedPrecision, "fp16"),), set_on=(Learner.to_fp16,))
    if device.type == "cpu":
        return [bf16], [("fp16", "it needs an accelerator, and the data are on the CPU")]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return [fp16], [("bf16", "this GPU has no units for it")]
    return [bf16, fp16], []


def layout_options(learn: Learner, inputs: Any) -> tuple[list[Option], LeftOut]:
    "The memory format of images."
    if any(isinstance(cb, ChannelsLast) for cb in learn.cbs):
        return [], [("channels-last", "it is on already; `learn.to_contiguous()` turns it off")]
    images = any(isinstance(x, torch.Tensor) and x.ndim == 4 and x.is_floating_point() for x in leaves(inputs))
    if not images or not any(p.ndim == 4 for p in learn.model.parameters()):
        return [], [("channels-last", "it is for images (4-d inputs) and convolutions, and there are none here")]
    write = ("learn.to_channelslast()",)
    return [Option("channels-last", write=write, cbs=(ChannelsLast,), set_on=(Learner.to_channelslast,))], []


def optimizer_options(learn: Learner, opt: torch.optim.Optimizer) -> tuple[list[Option], LeftOut]:
    "torch's fused kernels, for an optimizer such as the learner's, `opt`, which was made for trials."
    group = opt.param_groups[0]
    if "fused" not in group:
        return [], [("fused optimizer", f"{type(opt).__name__} has no fused kernel")]
    if group["fused"]:
        return [], [("fused optimizer", "it is on already")]
    if learn.opt is not None and learn.opt.state:
        return [], [("fused optimizer", "the optimizer has been in use, and a new one would forget what it learnt: try it on a new "
                                       "learner, with opt_func=partial(..., fused=True)")]
    fused = partial(learn.opt_func, fused=True)

    def use(learn: Learner) -> None:
        learn.opt_func = fused
        if learn.opt is not None:
            frozen = learn.freezer.frozen_to
            learn.create_opt()
            learn.freeze_to(frozen)

    write = ("learn.opt_func = partial(learn.opt_func, fused=True)",)
    return [Option("fused optimizer", write=write, opt_func=fused, set_on=(use,))], []


# -- data -----------------------------------------------------------------------------------------------------------------------------
def with_loaders(learn: Learner, **overrides: Any) -> None:
    "Give the learner loaders like its own with other arguments, which continue where those were."
    before = learn.dls
    learn.dls = before.new(**overrides)
    for old, new in zip(before, learn.dls, strict=True):
        new.epoch = old.epoch


def loader_option(name: str, changes: str, **overrides: Any) -> Option:
    "Other arguments of the loaders."
    written = ", ".join(f"{k}={v!r}" for k, v in overrides.items())
    return Option(name, changes, (f"learn.dls = learn.dls.new({written})",), TOLERANCE[changes], loader=tuple(overrides.items()),
                  set_on=(partial(with_loaders, **overrides),))


def is_ours(loader: Any) -> bool:
    "Whether a loader can be made again with other arguments."
    return isinstance(loader, DataLoader)


def loads_images(loader: DataLoader) -> bool:
    "Whether the loader decodes images."
    return any(getattr(f, "loads_images", False) for f in loader.after_item)


def cache_options(loader: DataLoader, sample: RamCache | None = None) -> tuple[list[Option], LeftOut]:
    "Keeping decoded images in memory, at the size that the first transform needs ('presizing'). sample: such a cache, with some in it."
    if not loads_images(loader):
        return [], [("cache='ram'", "it keeps decoded images, and there are none here")]
    if loader.cache is not None:
        return [], [("cache='ram'", f"a cache is on already: {type(loader.cache).__name__}")]
    if sample is not None and sample.n:
        needed, free = sample.bytes / sample.n * len(loader.dataset), free_memory()
        if free is not None and needed > free[0] - free[1] / 5:
            return [], [("cache='ram'", f"the images would take {needed / 2**30:.1f} GB, more than there is room for; cache='disk' keeps "
                                        "them presized on disk, `learn.dls = learn.dls.new(cache='disk')`")]
    return [loader_option("cache='ram'", PIXELS, cache="ram")], []


def worker_options(loader: DataLoader) -> tuple[list[Option], LeftOut]:
    "Other numbers and kinds of workers."
    auto = loader.new(num_workers=None)
    if not auto.num_workers and not loader.num_workers:
        return [], [("workers", "these batches are made of data in memory, or are few: workers would only cost time")]
    now, cores = (loader.num_workers, loader.worker_type if loader.num_workers else None), min(8, cpu_count())
    kinds = [k for k in ("thread", "process") if k == "thread" or sys.platform.startswith("linux")]
    usual = auto.worker_type or loader.worker_type
    wanted = [*((cores, k) for k in sorted(kinds, key=lambda k: k != usual)),
              (0, None), (min(8, 2 * cores), usual), (max(1, cores // 2), usual)]
    found, left = [], []
    for n, kind in dict.fromkeys(wanted):
        name = f"{n} {'threads' if kind == 'thread' else 'processes'}" if n else "no workers"
        name = name[:-2 if kind == "process" else -1] if n == 1 else name
        arguments = {"num_workers": n, "worker_type": kind} if n else {"num_workers": 0}
        if (n, kind) == now:
            continue
        try:
            made = loader.new(**arguments)
        except ValueError as e:
            left.append((name, (str(e).splitlines() or [""])[0]))
            continue
        if made.num_workers == n:
            found.append(loader_option(name, SAME, **arguments))
    return found, left
