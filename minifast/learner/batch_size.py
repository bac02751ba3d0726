"""The largest batch size that fits into memory."""
import gc
from typing import TYPE_CHECKING
from warnings import warn

import torch

from ..callbacks.base import Callback, CancelFitException, CancelValidException
from ..callbacks.lr_finder import leaving_no_trace
from ..core.messages import describe

if TYPE_CHECKING:
    from .learner import Learner

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


def fits(learn: "Learner", bs: int) -> bool:
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


def find_bs(learn: "Learner", start: int | None = None, min_bs: int = 1) -> int:
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
        warn(f"batches of {start} do not fit into the memory of {learn.dls.device}: the loaders now give {bs}. To step as with {start}, "
             f"train with cbs=GradientAccumulation({start})", stacklevel=3)
    if bs != learn.dls.bs:
        learn.dls = learn.dls.new(*(dl.new(bs=bs if i == 0 else min(bs, dl.bs)) for i, dl in enumerate(learn.dls)))
    return bs
