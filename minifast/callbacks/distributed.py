"""`DistributedTrainer`: several processes train one model, each on a part of every batch. The engine is torch's DDP or FSDP2.

The forward and backward passes are shared out; everything else is done on the whole batch by every rank. In validation the predictions and
targets of all ranks are put together, so that loss, metrics, `get_preds` and callbacks see what they would see in a world of one. In
training the gradient is that of the mean over the whole batch, and `learn.loss` after the step is that mean, so that what is decided by it
is decided alike everywhere.
"""
import inspect
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import nn

from ..core import check_arguments, is_number, leaves, rank_warnings
from ..core.meetings import Watch, meet
from ..core.ranks import advance, common_streams, gathered, group, is_alike, own_streams, rank, summed, wait_at_most, world_size
from ..core.sharded import is_sharded
from ..core.shares import share_of
from ..metrics.base import IGNORED, AvgLoss, AvgMetric, Perplexity
from ..metrics.functions import accuracy, accuracy_multi, error_rate, mae, mse, msle, top_k_accuracy
from ..nn.loss_traits import ignore_index_of, inner_loss
from ..nn.model_info import eval_mode
from .base import Callback, CancelBatchException, Order
from .batch import ChannelsLast
from .fit_settings import differences, with_advice
from .loss_parts import LossParts
from .precision import MixedPrecision
from .progress import ProgressCallback
from .rank_parts import ScaledGradient, WithOthers, average_norm_statistics, fill_series, fill_targets
from .sharded import ShardedModel, make_state_whole

Strategy = Literal["ddp", "fsdp2"]

#: What torch calls, before and since 2.14, whether buffers are those of rank 0 before each forward pass.
_BUFFERS = next(name for name in ("forward_sync_buffers", "broadcast_buffers")
                if name in inspect.signature(nn.parallel.DistributedDataParallel).parameters)


_AFTER_PRED = {"after_pred", "after_loss", "after_batch"}

#: Metrics of a batch that are the mean of those of its parts, each by its number of items.
_MEANS = accuracy, accuracy_multi, error_rate, mae, mse, msle, top_k_accuracy

#: Those of them that leave out the targets that losses ignore.
_OF_KNOWN_TARGETS = accuracy, error_rate, top_k_accuracy

#: What was said about ranks and size of the batch.
_SAID: set[tuple] = set()


#: What torch says, and what that means here.
_INSTEAD = {
    "DTensor": "a module of the model uses the weights of another one without calling it, and they are divided among the ranks at that "
               "moment: name the classes of modules whose weights belong together, learn.to_distributed('fsdp2', blocks=[...]), or "
               "blocks=[] for the whole model",
    "Expected to have finished reduction": "a part of the model took no part in a batch, so that its gradients were not exchanged: write "
                                           "learn.to_distributed(find_unused_parameters=True), or take the part out"}


class DistributedTrainer(Callback):
    """Train with several processes started by `torchrun`. A learner made in such a process has one already; see `Learner.to_distributed`.

    `bs` is the size of the batch of all ranks together: with 2 ranks and bs=64 each has 32 items per step, and the weights come out as
    with one process. (But for what looks at other items: batch norm normalises over the items of a rank, unless `sync_bn`; and random
    numbers on the device, as of dropout and batch augmentation, are each rank's own.)

    Args:
        strategy: 'ddp': each rank has the whole model. 'fsdp2': weights, gradients and optimizer state are divided among the ranks while
            a fit lasts. Before and after it the weights are whole on every rank, so that saving, predicting and exporting are as ever, and
            have to fit there; what the optimizer keeps stays divided.
        sync_bn: batch norm normalises over the items of all ranks; on GPUs only. A norm of your own is asked for its `synchronised()`.
        find_unused_parameters: for models of which parts take no part in some batches; costs time in each step (DDP only).
        timeout: seconds to wait for another rank before giving up. None: as it was when the ranks met, 10 minutes by default.
        bucket_cap_mb: gradients are exchanged in buckets of this many megabytes (DDP only).
        blocks: classes of the modules whose weights are put together at once (FSDP2 only). None: members of `nn.Sequential` and
            `nn.ModuleList`, see `callbacks.sharded.blocks_of`; []: the whole model.

    Raises:
        ValueError: a strategy or a combination that there is not.
    """

    shown = ("strategy",)
    #: Predictions of a validation batch that are larger than this many bytes, as those of language models are, stay where they are, if all
    #: metrics are among this package's means over items: their sums and counts are added instead, which gives the same to rounding.
    sum_above = 8 << 20
    order = Order.SETUP - 20                    # before anything else looks at the batch
    #: the loss is complete, no callback has cancelled the backward pass, averaged weights are in the model; nobody needs the ranks any more
    runs_last = ("after_loss", "before_backward", "before_validate", "after_fit", "cleanup_fit")

    def __init__(self, strategy: Strategy = "ddp", sync_bn: bool = False, find_unused_parameters: bool = False,
                 timeout: float | None = None, bucket_cap_mb: float = 25, blocks: Sequence[type[nn.Module]] | None = None):
        fsdp = strategy == "fsdp2"
        check_arguments("DistributedTrainer", strategy=(strategy, strategy in ("ddp", "fsdp2"), "write 'ddp' or 'fsdp2'"),
                        timeout=(timeout, timeout is None or (is_number(timeout) and timeout > 0), "seconds, a number above 0"),
                        find_unused_parameters=(find_unused_parameters, not (fsdp and find_unused_parameters),
                                                "FSDP2 has no such setting: leave it out"),
                        blocks=(blocks, blocks is None or (fsdp and isinstance(blocks, (list, tuple)) and all(
                            isinstance(c, type) and issubclass(c, nn.Module) for c in blocks)),
                                "a list of classes of modules, such as [nn.TransformerEncoderLayer], with strategy='fsdp2'"))
        self.strategy, self.sync_bn, self.find_unused_parameters = strategy, sync_bn, find_unused_parameters
        self.timeout, self.bucket_cap_mb, self.blocks = timeout, bucket_cap_mb, blocks
        self.only_watches = not sync_bn             # training is the same without it, so a fit goes on with any number of ranks
        self._ddp: Any = None
        self._sharded: ShardedModel | None = None
        self._reset()

    def _reset(self):
        self._ddp, self._norms, self._mean, self._work = None, [], None, None
        self._unsynced, self._whole_inputs, self._sums, self._steps_left_out = False, False, None, 0
        self._ended, self.loss_parts, self._watch = False, LossParts(self.learn), Watch(self._whereabouts)

    def _whereabouts(self):
        learn = self.learn
        return f"has gone on to batch {learn.iter} of {self._part_of_fit()} in epoch {learn.epoch}"

    @property
    def _active(self):
        "Whether this pass is that of all ranks: not one that a rank runs for itself in the course of it."
        return world_size() > 1

    # -- a pass begins and ends -------------------------------------------------------------------------------------------------
    def before_fit(self) -> None:
        self._reset()
        if world_size() == 1:
            return
        learn = self.learn
        if self.timeout is not None:
            wait_at_most(self.timeout)
        for name in ("train", "valid"):             # of torch, made before there were ranks or by each for itself
            if not hasattr(getattr(learn.dls, name), "share") and getattr(learn.dls, name) is not None:
                setattr(learn.dls, name, getattr(learn.dls, name))
        self._accumulating = [cb for cb in learn.cbs if hasattr(type(cb), "steps_after_batch")]
        self._agree("before_fit", epochs=f"{learn.start_epoch} to {learn.n_epoch}", batches=len(learn.dls.train),
                    data=learn.run_record()["data"], parameters=[list(p.shape) for p in learn.model.parameters()],
                    trainable=sum(p.requires_grad for p in learn.model.parameters()), callbacks=[cb.name for cb in learn.cbs])
        if any(is_sharded(p) for p in (*learn.model.parameters(), *(p for g in learn.opt.param_groups for p in g["params"]))):
            raise RuntimeError("the fit before this one ended with an error while its weights were divided among the ranks, and they "
                               "cannot be put together: make the learner again, and load what was saved, learn.load('name')")
        if self.sync_bn:
            self._synchronise_norms()
        make_state_whole(learn.opt) if self.strategy == "ddp" else self._refuse_what_shards_not()
        if self.strategy == "ddp":
            self._ddp = self._wrapped()
        else:
            halves = [cb.dtype for cb in learn.cbs if isinstance(cb, MixedPrecision) and cb.amp_mode == "bf16"
                      and learn.dls.device.type != "cpu"]            # whose layer norm takes no weights in bf16
            self._sharded = ShardedModel(learn.model, learn.opt, learn.dls.device.type, self.blocks, *halves)
            learn.freezer.exchange(self._sharded.originals, self._sharded.parameters)
        self._say()
        self._watch.begin()

    def _refuse_what_shards_not(self):
        learn = self.learn
        on_cpu = learn.dls.device.type == "cpu"
        problems = {
            f"FSDP2 on a CPU needs torch 2.7 or later, and this is {torch.__version__}: pip install -U torch":
                on_cpu and not hasattr(torch.cpu.Stream, "record_event"),
            "ChannelsLast lays weights out anew, which divided ones do not allow: leave it out":
                any(isinstance(cb, ChannelsLast) for cb in learn.cbs),
            "what torch.compile made of the model does not see the weights come and go: leave out learn.compile()":
                learn.compiled_with is not None,
            "an embedding of the model has sparse gradients: make it with sparse=False":
                any(getattr(m, "sparse", False) is True for m in learn.model.modules())}
        if any(problems.values()):
            raise ValueError("strategy='fsdp2' cannot be used here: " + "; ".join(text for text, found in problems.items() if found)
                             + ", or write strategy='ddp'")

    def _trained(self):
        return [p.requires_grad for p in self._params]

    def _wrapped(self):
        learn = self.learn
        self._params = list(learn.model.parameters())
        self._trainable, own = self._trained(), set(self._params)
        others = [p for g in learn.opt.param_groups for p in g["params"] if p not in own and p.requires_grad]
        if others and self.find_unused_parameters:
            raise ValueError("the optimizer has parameters that are not the model's, such as those of a loss, and find_unused_parameters "
                             "looks at the model alone: leave it out, or put these parameters into the model")
        module = WithOthers(learn.model, others) if others else learn.model
        return nn.parallel.DistributedDataParallel(module, process_group=group(), bucket_cap_mb=self.bucket_cap_mb,
                                                   find_unused_parameters=self.find_unused_parameters, **{_BUFFERS: False})

    def _agree(self, event: str, **told: Any) -> None:
        "Refuse to go on where the ranks are not at the same point of the same fit."
        told["event"] = event
        if is_alike(told):
            return
        first, *others = gathered(told)
        for r, there in enumerate(others, 1):
            if found := differences(first, there):
                raise RuntimeError(f"rank {r} does not do what rank 0 does (there: rank 0, here: rank {r}): "
                                   f"{'; '.join(with_advice(found))}. All ranks run the same script on the same data: nothing in it may "
                                   "depend on the rank, on the clock or on random numbers drawn without a seed")

    def _say(self):
        "How many ranks there are, and that `bs` is that of all of them: once for each size."
        learn = self.learn
        bs = getattr(learn.dls, "bs", None)
        said = (bs, world_size(), self.strategy)
        if learn.logging_off or learn.dry_run or said in _SAID:
            return
        _SAID.add(said)
        each = sorted({*share_of(bs).sizes}, reverse=True) if isinstance(bs, int) else []
        sizes = f": bs={bs} is the batch of all of them, {' or '.join(map(str, each))} items each" if each else ""
        learn.logger(f"{world_size()} ranks train together ({self.strategy}){sizes}")

    def before_epoch(self) -> None:
        if self._active:
            self._agree("before_epoch", epoch=self.learn.epoch, steps_left_out=self._steps_left_out)

    def before_train(self) -> None:
        if self._active and self.learn.running:
            own_streams(self.learn.epoch)

    def after_train(self) -> None:
        if not self._active:
            return
        if self._sharded is not None and self._unsynced:        # an epoch that ended between two steps of accumulated gradients
            self._unsynced = False
            with eval_mode(self.learn.model):
                self._sharded.flush(self.learn.xb, self.learn.kw)
        average_norm_statistics(self.learn.model)

    def before_validate(self) -> None:
        self.loss_parts.learn = self.learn
        if self._active and self.learn.running:         # those of averaged weights, too
            average_norm_statistics(self.learn.model)
        self._whole_inputs = self._active and any(map(_may_read_inputs, self.learn.cbs))
        self._sums = None

    def after_validate(self) -> None:
        if self._sums:
            for metric in self.learn.recorder.metrics_in_progress():
                metric.sum_over_ranks()

    def after_fit(self) -> None:
        if self._active:
            self._agree("after_fit", steps_left_out=self._steps_left_out)
            average_norm_statistics(self.learn.model)
            common_streams()
            rank_warnings.settle(rank())
            self._ended = True

    def cleanup_fit(self) -> None:
        self._watch.end(None if self._ended else sys.exc_info()[1])
        if self._sharded is not None and self._ended:           # after an error of this rank the others are elsewhere
            self._sharded.gather()
            self.learn.freezer.exchange(self._sharded.parameters, self._sharded.originals)
            self._sharded = None
        for parent, name, norm in self._norms:
            setattr(parent, name, norm)
        self._reset()

    def _together(self, event: str) -> None:
        "A callback has left something: all ranks leave it at the same point, or the one that does so alone says so."
        if self._active and self.learn.running:
            learn = self.learn
            meet(f"{event} in epoch {learn.epoch}, batch {learn.iter} of {self._part_of_fit()}")

    def _part_of_fit(self):
        return "training" if self.learn.training else "validation"

    def after_cancel_fit(self) -> None:
        self._together("CancelFitException")

    def after_cancel_epoch(self) -> None:
        self._together("CancelEpochException")

    def after_cancel_train(self) -> None:
        self._together("CancelTrainException")

    def after_cancel_validate(self) -> None:
        self._together("CancelValidException")

    def after_cancel_batch(self) -> None:
        if self.learn.training and self._work is None:      # before its gradients, for which other ranks wait
            self._together("CancelBatchException")

    def after_cancel_backward(self) -> None:
        self._together("CancelBackwardException")

    def after_cancel_step(self) -> None:
        self._steps_left_out += 1

    # -- a batch ----------------------------------------------------------------------------------------------------------------
    def before_batch(self) -> None:
        active = self._active
        if active:
            advance()
        self.learn.share = getattr(self.learn.dl, "share", None) if active else None

    def loop_forward(self, *xb: Any, **kw: Any) -> Any:
        "The output of the model for this rank's part of the batch."
        learn = self.learn
        if not learn.training or (self._ddp is None and self._sharded is None):
            return learn.model(*xb, **kw)
        self._unsynced = not all(cb.steps_after_batch() for cb in self._accumulating)
        try:
            if self._sharded is not None:
                self._sharded.synchronise(not self._unsynced)
                return learn.model(*xb, **kw)
            if self._trainable != self._trained():       # it exchanges the gradients of those that it knew
                self._ddp = None
                self._ddp = self._wrapped()
            with self._ddp.no_sync() if self._unsynced else nullcontext():
                return self._ddp(*xb, **kw)
        except RuntimeError as e:
            for said, advice in _INSTEAD.items():
                if said in str(e):
                    raise RuntimeError(advice) from e
            raise

    def after_pred(self) -> None:
        learn = self.learn
        share = learn.share
        if share is None or learn.training:
            return
        if self._sums is None:                  # their parts may be padded to different lengths, so all ranks say what they see
            size = sum(t.nbytes * share.total // len(t) for t in leaves(learn.pred) if isinstance(t, torch.Tensor) and t.ndim)
            sizes, means = zip(*gathered((size, self._only_means())), strict=True)
            self._sums = max(sizes) > self.sum_above and all(means) and (not learn.yb or self.loss_parts.known)
        if self._sums:
            self._part = share.part_of_mean(self.loss_parts.local_weight()) if learn.yb else 1
            self._weigh_metrics()
            if not share.mine:                  # nothing to count
                learn.pred = None
                advance()                       # as the others do after the loss
                raise CancelBatchException
            return
        learn.pred, learn.yb = share.whole(learn.pred, lambda t: 0), share.whole(learn.yb, self._fill_targets)
        if self._whole_inputs:
            learn.xb, learn.kw = self._whole_of_inputs(share)

    def _fill_targets(self, t):
        ignored = ignore_index_of(self.learn.loss_func)
        return fill_targets(t) if ignored is None or fill_targets(t) is None else ignored

    def _whole_of_inputs(self, share):
        "Only looked at from now on: where ranks have padded theirs to different lengths, they get more of it."
        learn = self.learn
        pads = [f for f in getattr(learn.dl, "before_batch", ()) if hasattr(f, "pad_idx")]
        value, in_front = (pads[0].pad_idx, pads[0].pad_first) if pads else (0, False)

        def fill(t: torch.Tensor) -> float:
            series = fill_series(t)
            return series if series is not None else 0 if t.is_floating_point() or t.dtype is torch.bool else value

        return share.whole((learn.xb, learn.kw), fill, in_front and learn.xb[0].ndim == 2)

    def _only_means(self) -> bool:
        "Whether all that is made of predictions are means over items: no metric that is made of the whole batch, no targets left out."
        recorder = self.learn.recorder
        readers = [cb for cb in self.learn.cbs if cb not in (recorder, self) and cb.run_valid and (cb.only_watches or not _is_ours(cb))
                   and not isinstance(cb, ProgressCallback) and cb.overridden_events() & _AFTER_PRED]
        return (recorder is not None and recorder.run and not readers
                and all(type(m) in (AvgLoss, Perplexity) or (type(m) is AvgMetric and inner_loss(m.func) in _MEANS)
                        for m in recorder.metrics_in_progress()))

    def _weigh_metrics(self):
        "Metrics that leave out targets are means over those that count, of which ranks have more or less."
        metrics = [m for m in self.learn.recorder.metrics_in_progress()
                   if type(m) is AvgMetric and inner_loss(m.func) in _OF_KNOWN_TARGETS]
        targets = [t for t in leaves(self.learn.yb) if isinstance(t, torch.Tensor) and not t.is_floating_point()]
        if metrics and targets:
            part = self.learn.share.part_of_mean((targets[0] != IGNORED).sum().double())
            for m in metrics:
                m.part = part

    def after_loss(self) -> None:
        learn = self.learn
        share = learn.share
        if share is None:
            return
        advance()
        if not learn.training:
            if self._sums:                      # of the whole batch, this part of its items have this
                learn.loss = _counted(learn.loss, self._part) * self._part
            return
        if is_sharded(learn.loss):
            raise ValueError("strategy='fsdp2': what is computed from the weights, such as a penalty on them, cannot be part of the loss, "
                             "because each rank has a part of them: use weight decay, wd=0.01, or write strategy='ddp'")
        self.loss_parts.check(lambda cb: _is_ours(cb) or cb.only_watches)
        factor, _ = share.weighed(self.loss_parts.local_weight())
        learn.loss = _counted(learn.loss, factor)
        if self._mean is None:                  # else the second pass of a step, as of SAM
            self._mean = learn.loss.detach() * factor / len(share.sizes) if share.mine else torch.zeros_like(learn.loss)
        if isinstance(factor, torch.Tensor) or factor != 1:
            learn.loss = ScaledGradient.apply(learn.loss, factor)

    def before_backward(self) -> None:
        if self._active:
            advance()                           # beyond a rank that has cancelled this pass: what tells it so, see `meet`

    def after_backward(self) -> None:
        if self._mean is not None and self._work is None:       # not earlier, beside the gradients: 5 to 9 % of a step of 4 ms
            self._work = torch.distributed.all_reduce(self._mean, group=group(), async_op=True)

    def before_step(self) -> None:
        if self._unsynced:                      # an epoch that ended between two steps of accumulated gradients
            self._unsynced = False
            for group in self.learn.opt.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        summed(p.grad).div_(world_size())

    def after_batch(self) -> None:
        if self._mean is None:
            return
        self.after_backward()                   # where there was none
        self._work.wait()
        learn = self.learn
        learn.loss, self._mean, self._work = self._mean, None, None
        if learn.recorder is not None and learn.recorder.train_metrics:
            learn.pred, learn.yb = learn.share.whole(learn.pred, lambda t: 0), learn.share.whole(learn.yb, self._fill_targets)

    # -- batch norm ---------------------------------------------------------------------------------------------------------------
    def _synchronise_norms(self):
        norms = [(parent, name, child) for parent in self.learn.model.modules() for name, child in parent.named_children()
                 if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
        for _, name, norm in norms:
            if type(norm).forward is not nn.BatchNorm1d.forward and not hasattr(norm, "synchronised"):
                raise ValueError(f"sync_bn=True: the layer {name!r} is a {type(norm).__name__}, a batch norm with a forward of its own, "
                                 "which torch's synchronised norm would not do: give the class a method synchronised() that returns the "
                                 "layer to train with, or leave sync_bn out")
        if self.learn.dls.device.type != "cuda":
            raise ValueError(f"sync_bn=True: torch synchronises batch norm on GPUs only, and this learner is on {self.learn.dls.device}: "
                             "leave sync_bn out, or use a norm that does not look at other items, such as nn.GroupNorm")
        for parent, name, norm in norms:
            self._norms.append((parent, name, norm))
            setattr(parent, name, norm.synchronised() if hasattr(norm, "synchronised") else nn.SyncBatchNorm.convert_sync_batchnorm(norm))


def _counted(loss, factor):
    "The loss; 0 where no target of a rank counts, whose mean would be NaN."
    return torch.where(factor == 0, torch.zeros_like(loss), loss) if isinstance(factor, torch.Tensor) else loss


def _may_read_inputs(cb: Callback) -> bool:
    "Whether a callback may look at the inputs of a batch once there are predictions."
    return getattr(cb, "with_input", False) or (not _is_ours(cb) and bool(cb.overridden_events() & _AFTER_PRED))


def _is_ours(cb):
    return type(cb).__module__.startswith(f"{__package__.split('.')[0]}.") and type(cb) is not Callback
