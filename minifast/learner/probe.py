"""`Probe`: a twin of a learner with its first batches, for trials: what it does changes neither the learner nor the random streams."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..callbacks.lr_finder import leaving_no_trace
from ..core.nested import find_bs, leaves, map_nested, split_batch, to_device
from ..core.seeds import fixed_seed
from ..nn.loss_traits import kind_of
from .twin import kept_generators

if TYPE_CHECKING:
    from .learner import Learner

N_ITEMS = 16        # items that most checks look at: enough to tell, few enough to be quick


class Step:
    "A batch split into `xb` (inputs), `kw` (inputs by keyword) and `yb` (targets); `n` items."

    def __init__(self, xb: tuple, kw: dict, yb: tuple):
        self.xb, self.kw, self.yb = xb, kw, yb
        self.n: int = find_bs((xb, kw))

    def take(self, indices: list[int]) -> Step:
        "Only these items."
        def one(t):
            same = isinstance(t, torch.Tensor) and t.ndim and t.shape[0] == self.n
            return t[torch.as_tensor(indices, device=t.device)] if same else t
        return Step(*(map_nested(one, o) for o in (self.xb, self.kw, self.yb)))

    def with_inputs(self, f: Callable[[torch.Tensor], torch.Tensor]) -> Step:
        "The same with `f` applied to every input tensor."
        def one(t):
            return f(t) if isinstance(t, torch.Tensor) else t
        return Step(map_nested(one, self.xb), map_nested(one, self.kw), self.yb)

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
    with ExitStack() as stack:
        stack.enter_context(kept_generators(learn.dls))
        stack.enter_context(fixed_seed(seed))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.enable_grad())
        try:
            twin = learn.twin()
        except Exception:                   # a model that cannot be copied: it is used itself, and put back
            stack.enter_context(leaving_no_trace(learn))
            twin = learn.twin(copy_model=False)
        yield Probe(learn, twin, fast)


class Probe:
    """What checks look at: `model` (a copy, put back to its start by `reset()`), `loss_func`, batches, and `twin`, a learner of these
    parts.

    learn: the learner itself, to be read only. fast: whether to be quick.
    """

    def __init__(self, learn: Learner, twin: Learner, fast: bool = False):
        self.learn, self.twin, self.fast = learn, twin, fast
        self.n_items = N_ITEMS // 2 if fast else N_ITEMS
        twin.to_device()
        self.model, self.loss_func = twin.model, twin.loss_func
        self.kind = kind_of(self.loss_func)
        self.device = learn.dls.device
        self._start = {n: t.detach().clone() for n, t in self._tensors()}
        self._flags = {n: p.requires_grad for n, p in self.model.named_parameters()}
        self._steps, self._kept = {}, {}

    def _tensors(self):
        return [*self.model.named_parameters(), *self.model.named_buffers()]

    def reset(self, training: bool = True) -> torch.nn.Module:
        "Weights, buffers and flags as they were at the start, no gradients, the model in this mode. Returns the model."
        with torch.no_grad():
            for name, t in self._tensors():
                if name in self._start and self._start[name].shape == t.shape:
                    t.copy_(self._start[name])
        for name, p in self.model.named_parameters():
            p.grad = None
            p.requires_grad_(self._flags.get(name, p.requires_grad))
        return self.mode(training)

    def mode(self, training: bool) -> torch.nn.Module:
        "Put the model in training or evaluation mode, as the learner would. Returns it."
        self.model.train(training)
        if training and self.learn.freezer is not None:
            self.learn.freezer.hold_norm_statistics(self.model)
        return self.model

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        "The value `make()`, made once and kept for other checks."
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    # -- batches ----------------------------------------------------------------------------------------------------------------
    def steps(self, n: int = 1, split: Literal["train", "plain", "valid"] = "train") -> list[Step]:
        """The first `n` small batches as `Step`s on the device. split: 'train' (as training sees them), 'plain' (training items with the
        transforms of validation), or 'valid'."""
        have = self._steps.get(split, [])
        if len(have) < n:
            have = self._steps[split] = self._load(n, split)
        return have[:n]

    @property
    def step(self) -> Step:
        "The first small training batch."
        return self.steps(1)[0]

    def _load(self, n, split):
        dls = self.twin.dls
        dl = dls.train if split != "valid" else dls.valid
        if dl is None:
            return []
        n_inp, wanted = getattr(dl, "n_inp", None), dl
        if hasattr(dl, "after_batch"):
            over = {} if split == "valid" else {"seed": 0} if split == "train" else {"seed": 0, "split_idx": 1, "shuffle": True}
            try:
                wanted = dl.new(bs=min(dl.bs, self.n_items), num_workers=0, **over)
            except Exception:                   # a loader with other arguments
                wanted = dl
        found = []
        for batch in islice(iter(wanted), n):
            step = Step(*split_batch(to_device(batch, self.device), n_inp))
            found.append(step if step.n <= self.n_items else step.take(list(range(self.n_items))))
        return found

    # -- running ----------------------------------------------------------------------------------------------------------------
    def predict(self, step: Step) -> Any:
        "The output of the model for a `Step`, as callbacks leave it for the loss."
        reset = getattr(self.model, "reset", None)
        if callable(reset):
            reset()                             # a recurrent model forgets the batch before
        pred = self.model(*step.xb, **step.kw)
        if isinstance(pred, torch.Tensor) or not self.twin.ordered_cbs("after_pred"):
            return pred
        twin = self.twin
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
    def pred(self) -> Any:
        "The output for the first small training batch, in evaluation mode."
        return self.once("pred", self.output)

    def layers_run(self) -> list[torch.nn.Module]:
        "The modules without children, in the order in which they run."
        def find():
            seen = []
            leaf = [m for m in self.model.modules() if not any(True for _ in m.children())]
            handles = [m.register_forward_hook(lambda mod, i, o: seen.append(mod)) for m in leaf]
            try:
                self.output()
            finally:
                for h in handles:
                    h.remove()
            return seen
        return self.once("layers_run", find)
