"""`Probe`: a learner that checks may train, break and interrupt, because it is a copy.

Everything runs on a twin: a copy of model, loss, metrics and callbacks, with loaders of its own. So the learner itself is never changed,
not even for a moment, and Ctrl-C can do no harm. What twin and learner share are the datasets and the global random streams, which are
put back. """
import copy
import warnings
from contextlib import ExitStack, contextmanager
from itertools import islice

import torch

from ...callbacks.base import Callback
from ...callbacks.first_batch import FirstBatch
from ...callbacks.lr_finder import LRFinder, leaving_no_trace
from ...callbacks.predictions import GatherPreds
from ...callbacks.progress import ProgressCallback
from ...callbacks.recorder import Recorder
from ...callbacks.scheduler import ParamScheduler, TorchScheduler
from ...core.nested import find_bs, leaves, map_nested, split_batch, to_device
from ...core.seeds import fixed_seed
from ...data.loaders import DataLoaders
from ...data.sequences import PadSequences
from ...nn.torch_losses import kind_of
from ...optim.groups import NORM_TYPES

N_ITEMS = 16        # items that most checks look at: enough to tell, few enough to be quick
_LEFT_OUT = (FirstBatch, Recorder, ProgressCallback, LRFinder, GatherPreds, ParamScheduler, TorchScheduler)
_SHAPES_TRAINING = ("before_batch", "after_pred", "after_loss", "before_backward", "after_backward", "before_step", "forward_context",
                    "loop_backward", "loop_step")


class Batches(list):
    "Batches in the place of a loader."

    def __init__(self, batches, n_inp=None):
        super().__init__(batches)
        self.n_inp = n_inp


class Step:
    "A batch split into `xb` (inputs), `kw` (inputs by keyword) and `yb` (targets); `n` items."

    def __init__(self, xb, kw, yb):
        self.xb, self.kw, self.yb = xb, kw, yb
        self.n = find_bs((xb, kw))

    def take(self, indices):
        "Only these items."
        def one(t):
            same = isinstance(t, torch.Tensor) and t.ndim and t.shape[0] == self.n
            return t[torch.as_tensor(indices, device=t.device)] if same else t
        return Step(*(map_nested(one, o) for o in (self.xb, self.kw, self.yb)))

    def with_inputs(self, f):
        "The same with `f` applied to every input tensor."
        def one(t):
            return f(t) if isinstance(t, torch.Tensor) else t
        return Step(map_nested(one, self.xb), map_nested(one, self.kw), self.yb)

    @property
    def float_inputs(self):
        "The inputs that are floats, which gradients can flow to."
        return [t for t in leaves((self.xb, self.kw)) if isinstance(t, torch.Tensor) and t.is_floating_point()]

    @property
    def y(self):
        "The target if there is exactly one tensor of it, else None."
        return self.yb[0] if len(self.yb) == 1 and isinstance(self.yb[0], torch.Tensor) else None


def _own_copy(cb, memo):
    try:
        return copy.deepcopy(cb, dict(memo))
    except Exception:               # it holds a file, a process, a lock
        return copy.copy(cb)


def _shapes_training(cb):
    "Whether a callback changes batches, predictions, losses or gradients, so that without it the model would be trained differently."
    if isinstance(cb, _LEFT_OUT):
        return False
    return any(hasattr(type(cb), n) and getattr(type(cb), n) is not getattr(Callback, n, None) for n in _SHAPES_TRAINING) or any(
        n in vars(cb) for n in _SHAPES_TRAINING)


def own_loader(dl, **overrides):
    """A loader over the same items, with other arguments; torch's loaders as they are. What it cuts off sequences is neither counted nor
    warned of as what training cuts: a warning that is given once must not be used up by a check that is silent."""
    if not (hasattr(dl, "after_batch") and hasattr(dl, "new")):
        return dl
    if any(isinstance(f, PadSequences) for f in dl.before_batch):
        overrides["before_batch"] = [f.uncounted() if isinstance(f, PadSequences) else f for f in dl.before_batch]
    return dl.new(**overrides)


def twin_of(learn, copies_model=True):
    "A copy of `learn` that shares with it the datasets and nothing else; the optimizer is left to be made."
    twin = copy.copy(learn)
    own = vars(twin)
    if copies_model:
        own["model"] = copy.deepcopy(learn.model)
    memo = {id(learn): twin, id(learn.model): own["model"], id(learn.dls): learn.dls}
    own["loss_func"] = _own_copy(learn.loss_func, memo)
    own["_metrics"] = [_own_copy(m, memo) for m in learn.metrics]
    own.update(opt=None, freezer=None, dl=None, xb=(), kw={}, yb=(), pred=None, loss=None, compiled_with=None, logger=_silent)
    own["_dls"] = DataLoaders(*(own_loader(dl, num_workers=0) for dl in learn.dls), path=learn.dls.path, device=learn.dls.device)
    own.pop("_tables", None)
    own["cbs"] = [_own_copy(cb, memo) for cb in learn.cbs if _shapes_training(cb)]
    for cb in own["cbs"]:
        cb.learn = twin
    twin._callbacks_changed()
    twin.add_cb(Recorder())
    return twin


def _silent(row):
    pass


@contextmanager
def _kept_generators(loaders):
    "Put back the generators of torch's own loaders."
    found = {id(g): g for dl in loaders for o in (dl, getattr(dl, "sampler", None)) for g in [getattr(o, "generator", None)]
             if isinstance(g, torch.Generator)}
    states = {key: g.get_state() for key, g in found.items()}
    try:
        yield
    finally:
        for key, g in found.items():
            g.set_state(states[key])


@contextmanager
def probing(learn, fast=False, seed=0):
    "Within the block a `Probe` of `learn`, seeded; afterwards everything is as it was."
    with ExitStack() as stack:
        stack.enter_context(_kept_generators(learn.dls))
        stack.enter_context(fixed_seed(seed))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.enable_grad())
        try:
            twin = twin_of(learn)
        except Exception:                   # a model that cannot be copied: it is used itself, and put back
            stack.enter_context(leaving_no_trace(learn))
            twin = twin_of(learn, copies_model=False)
        yield Probe(learn, twin, fast)


class Probe:
    """What checks look at: `model` (a copy, put back to its start by `reset()`), `loss_func`, batches, and `twin`, a learner of these
    parts.

    learn: the learner itself, to be read only. fast: whether to be quick.
    """

    def __init__(self, learn, twin, fast=False):
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

    def reset(self, training=True):
        "Weights, buffers and flags as they were at the start, no gradients, the model in this mode. Returns the model."
        with torch.no_grad():
            for name, t in self._tensors():
                if name in self._start and self._start[name].shape == t.shape:
                    t.copy_(self._start[name])
        for name, p in self.model.named_parameters():
            p.grad = None
            p.requires_grad_(self._flags.get(name, p.requires_grad))
        return self.mode(training)

    def mode(self, training):
        "Put the model in training or evaluation mode, as the learner would. Returns it."
        self.model.train(training)
        freezer = self.learn.freezer
        if training and freezer is not None and not freezer.train_bn and freezer.frozen_to:
            for m in self.model.modules():
                own = list(m.parameters(recurse=False))
                if isinstance(m, NORM_TYPES) and own and not any(p.requires_grad for p in own):
                    m.eval()
        return self.model

    def once(self, name, make):
        "The value `make()`, made once and kept for other checks."
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    # -- batches ----------------------------------------------------------------------------------------------------------------
    def steps(self, n=1, split="train"):
        """The first `n` small batches as `Step`s on the device. split: 'train' (as training sees them), 'plain' (training items with the
        transforms of validation), or 'valid'."""
        have = self._steps.get(split, [])
        if len(have) < n:
            have = self._steps[split] = self._load(n, split)
        return have[:n]

    @property
    def step(self):
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
    def predict(self, step):
        "The output of the model for a `Step`, as callbacks leave it for the loss."
        if callable(getattr(self.model, "reset", None)):
            self.model.reset()                  # a recurrent model forgets the batch before
        pred = self.model(*step.xb, **step.kw)
        if isinstance(pred, torch.Tensor) or not self.twin._tables[True]["after_pred"]:
            return pred
        state = vars(self.twin)
        state.update(xb=step.xb, kw=step.kw, yb=step.yb, pred=pred, training=True)
        self.twin("after_pred")
        return state["pred"]

    def loss(self, pred, step):
        return self.loss_func(pred, *step.yb)

    def output(self, step=None, training=False):
        "The output for a `Step`, without gradients, of the model at its start."
        self.reset(training)
        with torch.no_grad():
            return self.predict(self.step if step is None else step)

    @property
    def pred(self):
        "The output for the first small training batch, in evaluation mode."
        return self.once("pred", self.output)
