"""MixUp and CutMix: train on mixtures of two items, and on mixtures of their targets.

Sources: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; S. Yun et al., "CutMix", 2019.
"""
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core import check_arguments, describe, draw_seed, find_bs, is_number, item_rng, leaves, map_nested, noting
from ..core.ranks import rank
from ..nn.loss_traits import CLASS_KINDS, class_weight_of, ignore_index_of, kind_of, loss_name, reduction_none, reduction_of, y_int_of
from .base import Order, TrainingCallback
from .mix_series import cut_steps, own_share, paste_steps, with_own_steps
from .rank_parts import fill_series, fill_targets

Box = tuple[int, int, int, int]
_NOTHING = nullcontext()


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def blend(x: torch.Tensor, lam: float | torch.Tensor, perm: torch.Tensor) -> torch.Tensor:
    "`lam * x + (1 - lam) * x[perm]` of a floating tensor (B,...); lam: one number, or a tensor (B,) with one per item."
    if isinstance(lam, torch.Tensor):
        lam = lam.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[perm], x, lam)


def mixup_batch(x: torch.Tensor, y: torch.Tensor, lam: float | torch.Tensor,
                perm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mix items with their partners. The loss to train on is `blended_loss` of the losses per item to `y` and to `y[perm]`.

    Args:
        x, y: inputs (B,...) and targets (B,...).
        lam: the fraction of the item itself, a number or a tensor (B,).
        perm: index of each item's partner, (B,).

    Returns:
        `(mixed x, y, y[perm])`.
    """
    return blend(x, lam, perm), y, y[perm]


def cutmix_box(height: int, width: int, lam: float, row: int, column: int) -> Box:
    """`(top, bottom, left, right)` of a box of about `1 - lam` of an image's area, in its proportions, around `(row, column)` and clipped
    at the borders."""
    share = math.sqrt(1 - lam)
    h, w = round(height * share), round(width * share)
    top, left = row - h // 2, column - w // 2
    return max(top, 0), min(top + h, height), max(left, 0), min(left + w, width)


def kept_share(box: Box, height: int, width: int) -> float:
    "The fraction of an image's area outside of `box`."
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / (height * width)


def paste(x: torch.Tensor, perm: torch.Tensor, box: Box) -> torch.Tensor:
    "A copy of `x` (B,...,H,W) whose `box` comes from `x[perm]`."
    top, bottom, left, right = box
    out = x.clone()
    out[..., top:bottom, left:right] = x[..., top:bottom, left:right][perm]
    return out


def cutmix_batch(x: torch.Tensor, y: torch.Tensor, perm: torch.Tensor,
                 box: Box) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    "Images `x` (B,C,H,W) whose `box` is that of their partners, as `(mixed x, y, y[perm], lam)`; lam: the fraction outside the box."
    return paste(x, perm, box), y, y[perm], kept_share(box, x.shape[-2], x.shape[-1])


def blended_loss(first: torch.Tensor, second: torch.Tensor, lam: torch.Tensor, weights: torch.Tensor | None = None,
                 partner_weights: torch.Tensor | None = None, reduction: str = "mean") -> torch.Tensor:
    """The mean over items of `lam * first + (1 - lam) * second`.

    Args:
        first, second: losses per element to the targets and to the partners' targets; B * n of them, those of one item together.
        lam: (B,).
        weights, partner_weights: of each target, if the loss weights them (0 for an ignored one). `first` and `second` contain them
            already; the mean is divided by their blended sum.
        reduction: 'mean' or 'sum'.
    """
    n = len(lam)
    if first.numel() % n:
        raise ValueError(f"these losses per element do not belong to {n} items: {describe(first)}")
    lam = lam.to(first.dtype)[:, None]
    total = torch.lerp(second.reshape(n, -1), first.reshape(n, -1), lam)
    if reduction == "sum":
        return total.sum()
    if weights is None:
        return total.mean()
    return total.sum() / torch.lerp(partner_weights.reshape(n, -1), weights.reshape(n, -1), lam).sum()


def target_weights(loss_func: Callable, y: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    "How much each class index of `y` counts in the mean of `loss_func`: its class weight, 0 where it is ignored. Shape (elements,)."
    y, weight = y.reshape(-1), class_weight_of(loss_func)
    counted = y != ignore_index_of(loss_func)
    return counted.to(dtype) if weight is None else weight.to(y.device, dtype)[torch.where(counted, y, 0).long()] * counted


# -- the callbacks ------------------------------------------------------------------------------------------------------------------
@dataclass
class Mix:
    """What was drawn for one batch.

    Attributes:
        perm: partner of each item, (B,).
        lam: fraction of the item itself, (B,) or one number.
        box: the part to paste from the partner; None: blend.
        size: (height, width) of the images that `box` refers to.
        stretch: of series, where the steps to paste begin and how many they are, as shares of those that both partners have, (2,B).
        steps: which steps to paste, bool (B,T).
        shared_lam: of series that are blended, the fraction where both partners have steps, (B,).
        partner: targets of the partners, if losses are mixed instead of targets.
        targets: the targets before they were blended.
    """

    perm: torch.Tensor
    lam: torch.Tensor | float
    box: Box | None = None
    size: tuple[int, ...] | None = None
    stretch: torch.Tensor | None = None
    steps: torch.Tensor | None = None
    shared_lam: torch.Tensor | None = None
    partner: tuple | None = None
    targets: tuple | None = None


def _permutation(rng: np.random.Generator, n: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(rng.permutation(n)).to(device, non_blocking=True)


class MixHandler(TrainingCallback):
    """Base of `MixUp`, `CutMix` and `CutMixUp`: mixes each training batch as `draw` says, and its targets or its losses accordingly.

    Every floating input is mixed. Integer inputs (categories, token ids) cannot be; the outputs of the embedding layers that read them
    are mixed instead. A module with a method `blended_input(x, perm, blend)` is called with what that returns: models of texts blend the
    vectors of words, without padding. Series (B,C,T) of unequal lengths, padded with NaN, keep their lengths: after the end of its partner
    a series stays as it is, and lam is the share of its own in the whole. Targets that are numbers, labels of 0 and 1 or probabilities are
    mixed; with class indices as targets the loss is: it becomes the mean over items of `lam * loss(pred, target) + (1 - lam) * loss(pred,
    partner's target)`, weighted as the loss itself weights. `learn.loss_func` stays as it is. A callback that adds to the loss in
    `after_loss` needs an order above this one's.

    Args:
        alpha: parameter of the Beta distribution of lam.
    """

    shown: tuple[str, ...] = ("alpha",)
    order = Order.BATCH
    _mix: Mix | None = None

    def __init__(self, alpha: float = 0.5):
        if type(self).draw is MixHandler.draw:
            raise TypeError("MixHandler is the base of MixUp, CutMix and CutMixUp: use one of them, or define draw(rng, n, size, device)")
        check_arguments(type(self).__name__, alpha=_parameter(alpha))
        self.alpha = alpha
        self._seed: int | None = None
        self._rng: np.random.Generator | None = None
        self._stream: dict | None = None
        self._forget()

    def draw(self, rng: np.random.Generator, n: int, size: tuple[int, ...] | None, device: torch.device) -> Mix:
        "A `Mix` for a batch of `n` items. size: (height, width) of the images, else (steps,) of series, None without either."
        raise NotImplementedError

    def _forget(self) -> None:
        self._mix, self._indices = None, []
        self._loss_per_item: tuple[Any, Any] = (None, None)

    def before_fit(self) -> None:
        learn = self.learn
        others = [cb for cb in learn.cbs if isinstance(cb, MixHandler) and cb is not self]
        if others:
            raise ValueError(f"{self!r} and {others[0]!r} would mix the same batch twice: keep one, or use CutMixUp(), which alternates")
        self._embeddings = [m for m in learn.model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
        self._blenders = [m for m in learn.model.modules() if hasattr(m, "blended_input")]
        if learn.compiled_with is not None and self._embeddings:
            raise ValueError(f"{self!r} mixes the outputs of embedding layers through hooks, which a compiled model does not call: train "
                             "this model without learn.compile()")
        self._forget()
        self._roles: dict[nn.Module, bool] = {}
        self._seed, self._stream = draw_seed(), None

    def before_train(self) -> None:
        of_rank = (rank(),) if rank() and self._embeddings else ()        # outputs of embeddings are mixed within a rank
        self._rng = item_rng(self._seed, self.learn.epoch, *of_rank)
        stream, self._stream = self._stream, None
        if stream is not None and self.learn.start_iter and self.learn.epoch == self.learn.start_epoch:       # resumed within this epoch
            own = self._rng.bit_generator.state
            self._rng.bit_generator.state = {**own, **stream["rest"], "state": {"state": np.array(stream["state"], np.uint64)}}

    # -- inputs and targets
    def before_batch(self) -> None:
        learn = self.learn
        self._mix = None
        inputs = self._inputs()
        self._indices = [t for t in inputs if not t.is_floating_point() and t.dtype is not torch.bool]
        share = None if self._indices else learn.share
        if share is not None:                       # partners may be on other ranks: mix the whole batch, as one process would
            (learn.xb, learn.kw), learn.yb = share.whole((learn.xb, learn.kw), fill_series), share.whole(learn.yb, fill_targets)
            inputs = self._inputs()
        n = learn.yb[0].shape[0] if learn.yb and isinstance(learn.yb[0], torch.Tensor) and learn.yb[0].ndim else find_bs(inputs)
        for t in inputs:
            if t.is_floating_point() and t.shape[0] != n:
                raise ValueError(f"{self!r} mixes items along the first axis, but an input is {describe(t)} in a batch of {n} items: "
                                 "put the batch first")
        if self._indices and not self._embeddings:
            raise TypeError(f"{self!r} cannot mix the input {describe(self._indices[0])}: it holds integers, and the model has no "
                            "nn.Embedding whose output could be mixed instead. Give the model floats (IntToFloatTensor for images), or do "
                            "without")
        images = (t for t in inputs if t.ndim >= 4 and t.is_floating_point())
        series = next((t for t in inputs if t.ndim == 3 and t.is_floating_point()), None)
        size = next(((t.shape[-2], t.shape[-1]) for t in images), None if series is None else (series.shape[-1],))
        mix = self.draw(self._rng, n, size, inputs[0].device)
        if mix.stretch is not None:
            mix.steps, mix.lam = cut_steps(series, mix.perm, *mix.stretch)
        elif series is not None and isinstance(mix.lam, torch.Tensor):
            mix.shared_lam, mix.lam = mix.lam, own_share(series, mix.perm, mix.lam)
        learn.xb, learn.kw = map_nested(lambda t: self._mixed(t, mix), (learn.xb, learn.kw))
        self._mix_targets(mix)
        if share is not None:
            learn.xb, learn.kw, learn.yb, mix.lam, mix.partner, mix.targets = share.part(
                (learn.xb, learn.kw, learn.yb, mix.lam, mix.partner, mix.targets))
        self._mix = mix

    def _inputs(self):
        return [t for t in leaves((self.learn.xb, self.learn.kw)) if isinstance(t, torch.Tensor) and t.ndim]

    def _mixed(self, t: Any, mix: Mix) -> Any:
        if not isinstance(t, torch.Tensor) or not t.is_floating_point() or not t.ndim:
            return t
        if t.ndim == 3 and mix.steps is not None and t.shape[2] == mix.steps.shape[1]:
            return paste_steps(t, mix.perm, mix.steps)
        if mix.box is None or t.ndim < 4:
            if t.ndim == 3:
                return with_own_steps(blend(t, mix.lam if mix.shared_lam is None else mix.shared_lam, mix.perm), t)
            return blend(t, mix.lam, mix.perm)
        if tuple(t.shape[-2:]) != mix.size:
            raise ValueError(f"{self!r} cuts the same box out of all images of an item, but one input has {mix.size[0]}x{mix.size[1]} "
                             f"pixels and another is {describe(t)}")
        return paste(t, mix.perm, mix.box)

    @staticmethod
    def _pasted(y: torch.Tensor, mix: Mix) -> torch.Tensor:
        if mix.box is not None:
            return paste(y, mix.perm, mix.box)
        return paste_steps(y, mix.perm, mix.steps)

    def _mix_targets(self, mix: Mix) -> None:
        learn = self.learn
        wrong = [y for y in learn.yb if not isinstance(y, torch.Tensor) or not y.ndim]
        if wrong:
            raise TypeError(f"{self!r} mixes targets that are tensors with one entry per item; received {describe(wrong[0])}")
        dense = [mix.box is not None and y.ndim >= 3 and tuple(y.shape[-2:]) == mix.size for y in learn.yb]
        if mix.steps is not None:
            dense = [y.ndim > 1 and not y.is_floating_point() and y.shape[-1] == mix.steps.shape[1] for y in learn.yb]      # a class a step
            if any(y.ndim > 2 and not d for y, d in zip(learn.yb, dense, strict=True)):
                raise ValueError(f"{self!r} puts steps of one series into another, after which neither forecast is right: targets "
                                 f"{describe(learn.yb[0])}. Write MixUp(), which blends forecasts as it blends their series")
        mix.targets = tuple(self._pasted(y, mix) if d else y for y, d in zip(learn.yb, dense, strict=True))
        rest = [y for y, d in zip(mix.targets, dense, strict=True) if not d]
        if mix.box is not None and any(y.ndim >= 3 and not y.is_floating_point() for y in rest):
            raise ValueError(f"{self!r} pastes masks as it pastes images, but a target is {describe(rest[0])} and the images are "
                             f"{mix.size[0]}x{mix.size[1]}: make them the same size")
        learn.yb = mix.targets
        by_loss = y_int_of(learn.loss_func) or kind_of(learn.loss_func) is None
        if by_loss and not all(y.is_floating_point() for y in rest):
            mix.partner = tuple(y if d else y[mix.perm] for y, d in zip(learn.yb, dense, strict=True))
        else:
            learn.yb = tuple(y if d else blend(y if y.is_floating_point() else y.float(), mix.lam, mix.perm)
                             for y, d in zip(learn.yb, dense, strict=True))

    # -- integer inputs: the outputs of their embedding layers
    def forward_context(self) -> AbstractContextManager:
        "Mixes the outputs of embedding layers that read the batch, for the duration of the forward pass."
        mix = self._mix
        return _NOTHING if mix is None or not self._indices or not self.learn.training else self._mixing_embeddings(mix)

    @contextmanager
    def _mixing_embeddings(self, mix: Mix) -> Iterator[None]:
        pointers, mixed = {t.untyped_storage().data_ptr() for t in self._indices}, []

        def hook(module, args, kwargs, output):
            if not self._reads_batch(module, args[0] if args else kwargs["input"], pointers, len(mix.perm)):
                return output
            mixed.append(module)
            return blend(output, mix.lam, mix.perm)

        def before(module, args):
            mixed.append(module)
            return (module.blended_input(args[0], mix.perm, lambda t: blend(t, mix.lam, mix.perm)), *args[1:])

        with ExitStack() as hooks:
            for m in self._blenders:
                hooks.enter_context(m.register_forward_pre_hook(before))
            for m in () if self._blenders else self._embeddings:
                hooks.enter_context(m.register_forward_hook(hook, with_kwargs=True))
            yield
        if not mixed:
            raise TypeError(f"{self!r} could not mix the input {describe(self._indices[0])}: it holds integers, and no nn.Embedding was "
                            f"called with it (batch on the first axis). Train without {type(self).__name__}, or give the model an "
                            "nn.Embedding that it calls with these integers")

    def _reads_batch(self, module: nn.Module, ids: torch.Tensor, pointers: set[int], n: int) -> bool:
        "Whether `ids` are the batch's: a view of an input, or of its shape. Positions, which all items share, are not."
        if ids.ndim == 0 or ids.shape[0] != n:
            return False
        if ids.ndim > 1 or ids.untyped_storage().data_ptr() in pointers:
            return True
        if all(n not in t.shape[1:] for t in self._indices):
            self._roles[module] = True
        elif module not in self._roles:          # (n,) could be the positions of a sequence of length n: compare, once
            columns = (column for t in self._indices for column in t.reshape(n, -1).unbind(1))
            self._roles[module] = any(torch.equal(ids, column.to(ids.dtype)) for column in columns)
        return self._roles[module]

    # -- the loss
    def after_loss(self) -> None:
        mix, learn = self._mix, self.learn
        if mix is None or mix.partner is None:
            return
        loss_func = learn.loss_func
        if not isinstance(mix.lam, torch.Tensor):        # one fraction for all items: any loss will do
            learn.loss = mix.lam * learn.loss + (1 - mix.lam) * loss_func(learn.pred, *mix.partner)
            return
        if self._loss_per_item[0] is not loss_func:
            with noting(f"{self!r} mixes the losses of items with class indices as targets ({loss_name(loss_func)})", TypeError):
                self._loss_per_item = loss_func, reduction_none(loss_func)
        each = self._loss_per_item[1]
        first, second = each(learn.pred, *learn.yb), each(learn.pred, *mix.partner)
        weights: tuple = (None, None)
        y = learn.yb[0]
        if kind_of(loss_func) in CLASS_KINDS and len(learn.yb) == 1 and first.numel() == y.numel():
            weights = tuple(target_weights(loss_func, t, first.dtype) for t in (y, mix.partner[0]))
        learn.loss = blended_loss(first, second, mix.lam, weights[0], weights[1], _reduction(loss_func))

    def after_batch(self) -> None:
        if self._mix is not None and self._mix.targets is not None:
            self.learn.yb = self._mix.targets    # metrics of training compare with targets that are not blended
        self._mix, self._indices = None, []

    cleanup_fit = _forget

    def state_dict(self) -> dict:
        "The seed of this fit's draws, and how far those of the epoch are."
        if self._rng is None:
            return {"seed": self._seed}
        now = dict(self._rng.bit_generator.state)
        state = now.pop("state")["state"].tolist()
        return {"seed": self._seed, "stream": {"state": state, "rest": now}}

    def load_state_dict(self, state: dict) -> None:
        "Draw as from `state_dict`."
        self._seed, self._stream = state["seed"], state.get("stream")


class MixUp(MixHandler):
    """Train on blends of two items: `lam * x + (1 - lam) * x'`, targets likewise; lam ~ Beta(alpha, alpha) for each item, never below 0.5.

    See `MixHandler` for targets and inputs; texts are blended as vectors of their words, each pair as long as its longer one. Source: H.
    Zhang et al., "mixup", 2018; for embeddings V. Verma et al., "Manifold Mixup", 2019; for texts H. Guo et al., "Augmenting Data with
    Mixup for Sentence Classification", 2019.

    Args:
        alpha: 0.1 to 0.4 for images; more mixes more.
    """

    def __init__(self, alpha: float = 0.4):
        super().__init__(alpha)

    def draw(self, rng: np.random.Generator, n: int, size: tuple[int, ...] | None, device: torch.device) -> Mix:
        lam = torch.from_numpy(rng.beta(self.alpha, self.alpha, size=n).astype("float32"))
        return Mix(_permutation(rng, n, device), torch.maximum(lam, 1 - lam).to(device, non_blocking=True))


class CutMix(MixHandler):
    """Train on images with a box pasted from another image; the box covers about `1 - lam` of the area, lam ~ Beta(alpha, alpha).

    Images: one box per batch. Series (B,C,T): each a stretch of steps of its own, of all channels; of unequal lengths, padded with NaN, it
    lies where both have steps. Targets are mixed by the area, or the share of the steps, that is left; those with a value per pixel (masks)
    or a class per step are pasted likewise, and their loss is the usual one. The batch itself is not written to. Source: S. Yun et al.,
    "CutMix", 2019.

    Args:
        alpha: parameter of the Beta distribution; 1: every size of box is equally likely.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__(alpha)

    def draw(self, rng: np.random.Generator, n: int, size: tuple[int, ...] | None, device: torch.device) -> Mix:
        if size is None:
            raise TypeError(f"{self!r} cuts boxes out of images and stretches out of series: it needs a floating input (B,C,H,W) or "
                            "(B,C,T). For other data use MixUp()")
        if len(size) == 1:
            lam, place = rng.beta(self.alpha, self.alpha, n), rng.random(n)
            stretch = torch.from_numpy(np.stack([place * lam, 1 - lam]).astype("float32")).to(device, non_blocking=True)
            return Mix(_permutation(rng, n, device), 1.0, stretch=stretch)
        height, width = size
        box = cutmix_box(height, width, rng.beta(self.alpha, self.alpha), int(rng.integers(height)), int(rng.integers(width)))
        return Mix(_permutation(rng, n, device), kept_share(box, height, width), box, size)


class CutMixUp(MixHandler):
    """For each batch CutMix with probability `p_cutmix`, otherwise MixUp, as in timm's training recipes (Wightman et al. 2021).

    Args:
        mixup_alpha, cutmix_alpha: as for `MixUp` and `CutMix`.
        p_cutmix: probability of CutMix.
    """

    shown = ("alpha", "cutmix_alpha", "p_cutmix")

    def __init__(self, mixup_alpha: float = 0.4, cutmix_alpha: float = 1.0, p_cutmix: float = 0.5):
        check_arguments("CutMixUp", p_cutmix=(p_cutmix, is_number(p_cutmix, 0, 1), "p_cutmix is a probability, from 0 to 1"),
                        mixup_alpha=_parameter(mixup_alpha), cutmix_alpha=_parameter(cutmix_alpha))
        super().__init__(mixup_alpha)
        self.cutmix_alpha, self.p_cutmix = cutmix_alpha, p_cutmix

    def draw(self, rng: np.random.Generator, n: int, size: tuple[int, ...] | None, device: torch.device) -> Mix:
        mixer = CutMix(self.cutmix_alpha) if rng.random() < self.p_cutmix else MixUp(self.alpha)
        return mixer.draw(rng, n, size, device)


def _parameter(alpha: float) -> tuple[float, bool, str]:
    return alpha, is_number(alpha) and 0 < alpha < math.inf, "the parameter of a Beta distribution, a number above 0 such as 0.4"


def _reduction(loss_func: Callable) -> str:
    default = inspect.signature(loss_func).parameters.get("reduction") if inspect.isfunction(loss_func) else None
    return default.default if default is not None and isinstance(default.default, str) else reduction_of(loss_func)
