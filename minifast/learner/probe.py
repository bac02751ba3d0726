"""Trials that leave a learner as it is: on its twin, on a `Probe` (a twin with the first batches); and the largest batch size that fits.

What a probe does changes neither the learner nor the random streams.
"""
from __future__ import annotations

import copy
import gc
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

import torch
from torch.nn.modules.module import register_module_forward_hook

from ..callbacks import (
    Callback,
    CancelFitException,
    CancelValidException,
    FirstBatch,
    GatherPreds,
    ModelResetter,
    ParamScheduler,
    ProgressCallback,
    Recorder,
    TorchScheduler,
)
from ..callbacks.lr_finder import LRFinder, leaving_no_trace
from ..core import describe, find_bs, fixed_seed, leaves, map_nested, ranks, split_batch, to_device
from ..data.loaders import DataLoaders
from ..data.sequences import PadSequences
from ..nn.loss_traits import class_axis, kind_of

if TYPE_CHECKING:
    from .learner import Learner

#: Callbacks that only check, show or record, or set hyper-parameters, in whatever event they or a subclass of them do so.
_LEFT_OUT = (FirstBatch, Recorder, ProgressCallback, LRFinder, GatherPreds, ParamScheduler, TorchScheduler)
#: Events in which a callback may change batches, predictions, losses or gradients: without it the model would be trained differently.
_CHANGES_TRAINING = {"before_batch", "after_pred", "after_loss", "before_backward", "after_backward", "before_step"}
#: Methods of a callback that replace something of the loop.
_REPLACES = ("forward_context", "loop_backward", "loop_step")
N_ITEMS = 16        # items that most checks look at: enough to tell, few enough to be quick
#: What a loader of each kind of small batches is made with, besides a seed.
_SPLITS: dict[str, dict[str, Any]] = {"train": {}, "plain": {"split_idx": 1, "shuffle": True}}
P = ParamSpec("P")
T = TypeVar("T")


def make_twin(learn: Any, copy_model: bool = True) -> Any:
    "See `Learner.twin`: a copy that shares the datasets alone, and with `copy_model=False` the model."
    twin = copy.copy(learn)
    vars(twin).pop("_handlers")                        # the twin collects its own
    if copy_model:
        twin.model, twin.pass_lock = copy.deepcopy(learn.model), copy.copy(learn.pass_lock)
    memo = {id(learn): twin, id(learn.model): twin.model, id(learn.dls): learn.dls}
    twin.loss_func = _own_copy(learn.loss_func, memo)
    twin.metrics = [_own_copy(m, memo) for m in learn.metrics]
    twin.opt = twin.freezer = twin.dl = twin.pred = twin.loss = twin.compiled_with = None
    twin.xb, twin.kw, twin.yb, twin.logger = (), {}, (), lambda row: None
    twin.dls = DataLoaders(*(independent_loader(dl, num_workers=0) for dl in learn.dls), path=learn.dls.path, device=learn.dls.device)
    twin.cbs = [_own_copy(cb, memo) for cb in learn.cbs if not isinstance(cb, _LEFT_OUT) and (
        isinstance(cb, ModelResetter) or cb.overridden_events() & _CHANGES_TRAINING or any(hasattr(type(cb), name) for name in _REPLACES))]
    for cb in twin.cbs:
        cb.learn = twin
    return twin.add_cb(Recorder())


def _own_copy(part: Any, memo: dict) -> Any:
    try:
        return copy.deepcopy(part, dict(memo))
    except Exception:               # it holds a file, a process, a lock
        return copy.copy(part)


def independent_loader(dl: Any, **overrides: Any) -> Any:
    """A loader over the same items with other arguments; loaders of torch as they are.

    Sequences that it cuts are neither counted nor warned of: a warning that is given once must not be used up by a silent trial.
    """
    if not (hasattr(dl, "after_batch") and hasattr(dl, "new")):
        return dl
    if any(isinstance(f, PadSequences) for f in dl.before_batch):
        overrides["before_batch"] = [f.uncounted() if isinstance(f, PadSequences) else f for f in dl.before_batch]
    return dl.new(**overrides)


@contextmanager
def kept_generators(loaders: Iterable) -> Iterator[None]:
    "Restore the random generators of torch's own loaders after the block."
    generators = [getattr(o, "generator", None) for dl in loaders for o in (dl, getattr(dl, "sampler", None))]
    states = [(g, g.get_state()) for g in generators if isinstance(g, torch.Generator)]
    try:
        yield
    finally:
        for g, state in states:
            g.set_state(state)


def once(make: Callable[P, T]) -> Callable[P, T]:
    "Run a function of a probe (and other arguments) once for each probe: the values are in the probe's `kept`."
    @wraps(make)
    def kept(probe, *args):
        key = (make, *args)
        if key not in probe.kept:
            probe.kept[key] = make(probe, *args)
        return probe.kept[key]
    return cast("Callable[P, T]", kept)


class Step:
    "A batch split into `xb` (inputs), `kw` (inputs by keyword) and `yb` (targets)."

    def __init__(self, xb: tuple, kw: dict, yb: tuple):
        self.xb, self.kw, self.yb = xb, kw, yb

    @property
    def n(self) -> int:
        "The number of items."
        return find_bs((self.xb, self.kw))

    def take(self, indices: list[int]) -> Step:
        "Only these items."
        def one(t):
            same = isinstance(t, torch.Tensor) and t.ndim and t.shape[0] == self.n
            return t[torch.as_tensor(indices, device=t.device)] if same else t
        return Step(*(map_nested(one, o) for o in (self.xb, self.kw, self.yb)))

    def with_inputs(self, f: Callable[[torch.Tensor], torch.Tensor]) -> Step:
        "The same with `f` applied to every input tensor."
        xb, kw = map_nested(lambda t: f(t) if isinstance(t, torch.Tensor) else t, (self.xb, self.kw))
        return Step(xb, kw, self.yb)

    @property
    def float_inputs(self) -> list[torch.Tensor]:
        "The inputs that are floats, which gradients can flow to."
        return [t for t in leaves((self.xb, self.kw)) if isinstance(t, torch.Tensor) and t.is_floating_point()]

    @property
    def y(self) -> torch.Tensor | None:
        "The target if there is exactly one tensor of it, else None."
        return self.yb[0] if len(self.yb) == 1 and isinstance(self.yb[0], torch.Tensor) else None


@contextmanager
def probing(learn: Learner, fast: bool = False, seed: int = 0) -> Iterator[Probe]:
    "Within the block a `Probe` of `learn`, seeded; afterwards everything is as it was."
    learn.pass_lock.refuse_during_fit()             # whose random streams would be seeded
    with ranks.alone(), kept_generators(learn.dls), fixed_seed(seed), warnings.catch_warnings(), torch.enable_grad(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        try:
            twin = learn.twin()
        except Exception:                   # a model that cannot be copied: it is used itself, and put back
            stack.enter_context(leaving_no_trace(learn))
            twin = learn.twin(copy_model=False)
        yield Probe(learn, twin, fast)


class Probe:
    """What checks look at: `model` (a copy, put back to its start by `reset()`), `loss_func`, batches, and `twin`, a learner of these
    parts.

    learn: the learner itself, to be read only. fast: whether to be quick. kept: what functions decorated with `once` returned.
    """

    def __init__(self, learn: Learner, twin: Learner, fast: bool = False):
        self.learn, self.twin, self.fast = learn, twin, fast
        self.n_items = N_ITEMS // 2 if fast else N_ITEMS
        twin.to_device()
        self.model, self.loss_func = twin.model, twin.loss_func
        self.kind = kind_of(self.loss_func)
        self.device = learn.dls.device
        self.causal = False                 # whether the model must not look ahead
        self.end = math.inf                 # when (`time.perf_counter()`) the checks should be done
        self._start = {n: (t.detach().clone(), t.requires_grad) for n, t in self.tensors()}
        self.kept: dict[tuple, Any] = {}
        self._steps: dict[str, list[Step]] = {}

    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        "The parameters and buffers of the model by name."
        return [*self.model.named_parameters(), *self.model.named_buffers()]

    def reset(self, training: bool = True) -> torch.nn.Module:
        "Weights, buffers and flags as they were at the start, no gradients, the model in this mode. Returns the model."
        for name, t in self.tensors():
            start, needs_grad = self._start.get(name, (t, t.requires_grad))
            if start.shape == t.shape:
                t.detach().copy_(start)
            if t.is_leaf:
                t.grad = None
                t.requires_grad_(needs_grad)
        return self.mode(training)

    def mode(self, training: bool) -> torch.nn.Module:
        "Put the model in training or evaluation mode, as the learner would. Returns it."
        self.model.train(training)
        if training and self.learn.freezer is not None:
            self.learn.freezer.hold_norm_statistics(self.model)
        return self.model

    # -- time -------------------------------------------------------------------------------------------------------------------
    def seconds(self, most: float) -> float:
        "At most `most` seconds, and no more than half of what is left."
        return max(0.3, min(most, (self.end - time.perf_counter()) / 2))

    def shrink(self, seconds: float) -> None:
        "Look at fewer items, at least 4, where a forward pass of all would take longer than `seconds`, by that of 4."
        usual, self.n_items = self.n_items, min(4, self.n_items)
        took = 0.0
        with suppress(Exception):           # a model that does not run: a check says so
            for _ in range(2):              # the first pass warms up
                began = time.perf_counter()
                self.output()
                took = time.perf_counter() - began
                if took < seconds / 4:
                    break
        n = min(usual, max(self.n_items, int(self.n_items * seconds / max(took, 1e-9))))
        if n != self.n_items:
            self.n_items = n
            self._steps.clear()
            self.kept.clear()

    # -- batches ----------------------------------------------------------------------------------------------------------------
    def steps(self, n: int = 1, split: Literal["train", "plain"] = "train") -> list[Step]:
        """The first `n` small batches as `Step`s on the device. split: 'train' (as training sees them) or 'plain' (training items with the
        transforms of validation)."""
        if len(self._steps.get(split, ())) < n:
            found = [self.step_of(batch) for batch in islice(iter(self.loader(split)), n)]
            self._steps[split] = [step if step.n <= self.n_items else step.take(list(range(self.n_items))) for step in found]
        return self._steps[split][:n]

    def loader(self, split: Literal["train", "plain"]) -> Any:
        "A loader of small batches, seeded; see `steps`."
        dl = self.twin.dls.train
        if hasattr(dl, "after_batch"):
            with suppress(Exception):           # a loader with other arguments is taken as it is
                return dl.new(bs=min(dl.bs, self.n_items), num_workers=0, seed=0, **_SPLITS[split])
        return dl

    def step_of(self, batch: Any) -> Step:
        "A batch of the training loader, on the device."
        return Step(*split_batch(to_device(batch, self.device), getattr(self.twin.dls.train, "n_inp", None)))

    @property
    def step(self) -> Step:
        "The first small training batch."
        return self.steps(1)[0]

    # -- running ----------------------------------------------------------------------------------------------------------------
    def predict(self, step: Step) -> Any:
        "The output of the model for a `Step`, as callbacks leave it for the loss."
        reset = getattr(self.model, "reset", None)
        if callable(reset):
            reset()                             # a recurrent model forgets the batch before
        pred, twin = self.model(*step.xb, **step.kw), self.twin
        if isinstance(pred, torch.Tensor) or not twin.ordered_cbs("after_pred"):
            return pred
        twin.xb, twin.kw, twin.yb, twin.pred, twin.training = step.xb, step.kw, step.yb, pred, True
        twin("after_pred")
        return twin.pred

    def loss(self, pred: Any, step: Step) -> torch.Tensor:
        "The loss of `pred` for the targets of a `Step`."
        return self.loss_func(pred, *step.yb)

    def output(self, step: Step | None = None, training: bool = False) -> Any:
        "The output for a `Step`, without gradients, of the model at its start."
        self.reset(training)
        with torch.no_grad():
            return self.predict(self.step if step is None else step)

    @property
    @once
    def pred(self) -> Any:
        "The output for the first small training batch, in evaluation mode."
        return self.output()

    @property
    def class_axis(self) -> int:
        "The axis of the output on which the loss expects the classes; 1 where the output is no tensor."
        return class_axis(self.loss_func, self.pred) if isinstance(self.pred, torch.Tensor) else 1

    @property
    def n_out(self) -> int:
        "How many outputs the model has for each target."
        return self.pred.shape[self.class_axis] if isinstance(self.pred, torch.Tensor) and self.pred.ndim > 1 else 1

    @once
    def layers_run(self) -> list[torch.nn.Module]:
        "The modules without children, in the order in which they run."
        seen, leaf = [], {m for m in self.model.modules() if not any(True for _ in m.children())}
        with register_module_forward_hook(lambda m, args, out: seen.append(m) if m in leaf else None):
            self.output()
        return seen


# -- the largest batch size that fits into memory ---------------------------------------------------------------------------------
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "defaultcpuallocator")


def is_out_of_memory(error: BaseException) -> bool:
    "Whether `error` means that a device, or this machine, has no memory left."
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY))


class _TwoSteps(Callback):
    "End the fit after two training batches: at the second, the optimizer's state exists."

    def after_batch(self):
        if self.learn.training and self.learn.iter >= min(1, self.learn.n_iter - 1):
            raise CancelFitException

    def before_validate(self):
        raise CancelValidException


def fits(learn: Learner, bs: int) -> bool:
    "Whether `learn` can train two steps at batch size `bs`; weights, optimizer, random streams and history do not change."
    dls = learn.dls
    try:
        with leaving_no_trace(learn), learn.temporary_recorder(), learn.no_logging(), learn.no_bar():
            learn.dls = dls.new(dls.train.new(bs=bs, num_workers=0), *list(dls)[1:])
            learn.fit(1, cbs=_TwoSteps())
        return True
    except Exception as e:
        if not is_out_of_memory(e):
            raise
        return False
    finally:
        learn.dls = dls
        gc.collect()                                    # the traceback held the batch
        if learn.dls.device.type == "cuda":
            torch.cuda.empty_cache()


def use_largest_bs(learn: Learner, start: int | None = None, min_bs: int = 1) -> int:
    "See `Learner.find_bs`."
    start = learn.dls.bs if start is None else start
    if isinstance(start, int) and hasattr(learn.dls.train, "n"):
        start = min(start, learn.dls.train.n)
    if not isinstance(start, int) or not isinstance(min_bs, int) or not 1 <= min_bs <= start:
        raise ValueError(f"find_bs(start={describe(start)}, min_bs={describe(min_bs)}): whole numbers with 1 <= min_bs <= start")
    if not hasattr(learn.dls.train, "after_item"):
        raise TypeError("find_bs() makes loaders of other batch sizes, which needs minifast's DataLoader; received "
                        f"{describe(learn.dls.train)}")
    bs = start
    while not fits(learn, bs):
        if bs // 2 < min_bs:
            raise RuntimeError(f"not even a batch of {bs} fits into the memory of {learn.dls.device}: use smaller inputs or a smaller "
                               "model, or to_fp16()/to_bf16()")
        bs //= 2
    if bs < start:
        warnings.warn(f"batches of {start} do not fit into the memory of {learn.dls.device}: the loaders now give {bs}. To step as with "
                      f"{start}, train with cbs=GradientAccumulation({start})", stacklevel=3)
    if bs != learn.dls.bs:
        learn.dls = learn.dls.new(*(dl.new(bs=bs if i == 0 else min(bs, dl.bs)) for i, dl in enumerate(learn.dls)))
    return bs
