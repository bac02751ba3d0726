"""MixUp and CutMix: train on mixtures of two items, and on mixtures of their targets.

Sources: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; S. Yun et al., "CutMix", 2019.
"""
import inspect
import math
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from ..core.messages import add_note, describe
from ..core.nested import find_bs, leaves, map_nested
from ..core.seeds import draw_seed, item_rng
from ..nn.loss_traits import class_weight_of, ignore_index_of, kind_of, loss_name, reduction_none, reduction_of, y_int_of
from .base import Callback, Order

_NOTHING = nullcontext()


# -- functions of tensors -----------------------------------------------------------------------------------------------------------
def blend(x, lam, perm):
    "`lam * x + (1 - lam) * x[perm]` of a floating tensor (B,...); lam: one number, or a tensor (B,) with one per item."
    if isinstance(lam, torch.Tensor):
        lam = lam.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[perm], x, lam)


def mixup_batch(x, y, lam, perm):
    """Items `x` (B,...) mixed with their partners `x[perm]`, as `(mixed x, y, y[perm])`.

    lam: the share of the item itself, a number or a tensor (B,). The loss to train on is `blended_loss` of the losses per item to `y`
    and to `y[perm]`.
    """
    return blend(x, lam, perm), y, y[perm]


def cutmix_box(height, width, lam, row, column):
    """`(top, bottom, left, right)` of a box of about `1 - lam` of the area of a picture, in the picture's proportions, around
    `(row, column)` and clipped at the borders."""
    share = math.sqrt(1 - lam)
    h, w = round(height * share), round(width * share)
    top, left = row - h // 2, column - w // 2
    return max(top, 0), min(top + h, height), max(left, 0), min(left + w, width)


def kept_share(box, height, width):
    "The share of the area of a picture that lies outside of `box`."
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / (height * width)


def paste(x, perm, box):
    "A copy of `x` (...,H,W), batch first, whose `box` comes from `x[perm]`."
    top, bottom, left, right = box
    out = x.clone()
    out[..., top:bottom, left:right] = x[..., top:bottom, left:right][perm]
    return out


def cutmix_batch(x, y, perm, box):
    "Pictures `x` (B,C,H,W) whose `box` is that of their partners, as `(mixed x, y, y[perm], lam)`; lam: the share outside the box."
    return paste(x, perm, box), y, y[perm], kept_share(box, *x.shape[-2:])


def blended_loss(first, second, lam, weights=None, partner_weights=None, reduction="mean"):
    """The mean over items of `lam * first + (1 - lam) * second`, the losses per element to the targets and to the partners' targets.

    lam: (B,). Losses have B * n elements, those of one item together. weights, partner_weights: of each target where the loss
    weighs them (0 for an ignored one); `first` and `second` contain them already, and the mean is divided by their blended sum.
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


def target_weights(loss_func, y, dtype):
    "How much each class id of `y` counts in the mean of `loss_func`: its class weight, 0 where it is ignored. Shaped (elements,)."
    y, weight = y.reshape(-1), class_weight_of(loss_func)
    counted = y != ignore_index_of(loss_func)
    if weight is None:
        return counted.to(dtype)
    return weight.to(y.device, dtype)[torch.where(counted, y, 0).long()] * counted


# -- the callbacks ------------------------------------------------------------------------------------------------------------------
class Mix:
    "What was drawn for one batch. perm: partner of each item. lam: own share, (B,) or a number. box: to be pasted, or None."

    def __init__(self, perm, lam, box=None, size=None):
        self.perm, self.lam, self.box, self.size = perm, lam, box, size
        self.partner = None              # targets of the partners, where losses are mixed instead of targets
        self.targets = None              # the targets before they were blended


class MixHandler(Callback):
    """Base of `MixUp`, `CutMix` and `CutMixUp`: mixes each training batch as `draw` says, and its targets or its losses accordingly.

    Every floating input is mixed. Integer inputs (categories, token ids) cannot be; the outputs of the embedding layers that read
    them are mixed instead. Targets that are numbers, labels of 0 and 1 or probabilities are mixed; for class ids the loss is: it
    becomes the mean over items of `lam * loss(pred, target) + (1 - lam) * loss(pred, partner's target)`, weighted as the loss itself
    weighs. `learn.loss_func` stays as it is. A callback that adds to the loss in `after_loss` needs an order above this one's.
    """

    order = Order.BATCH
    run_valid = False

    def __init__(self, alpha=0.5):
        if type(self).draw is MixHandler.draw:
            raise TypeError("MixHandler is the base of MixUp, CutMix and CutMixUp: use one of them, or define draw(rng, n, size, device)")
        self.alpha, self._seed = _positive(alpha, "alpha", self), None
        self._forget()

    def draw(self, rng, n, size, device):
        "A `Mix` for a batch of `n` items, drawn from the numpy generator `rng`. size: (height, width) of the pictures, None without any."
        raise NotImplementedError

    def _forget(self):
        self._mix, self._codes, self._each = None, [], (None, None)

    def before_fit(self) -> None:
        others = [cb for cb in self.learn.cbs if isinstance(cb, MixHandler) and cb is not self]
        if others:
            raise ValueError(f"{self!r} and {others[0]!r} would mix the same batch twice: keep one, or use CutMixUp(), which takes turns")
        if self.learn.compiled_with is not None and any(isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in self.learn.model.modules()):
            raise ValueError(f"{self!r} mixes the outputs of embedding layers through hooks, which a compiled model does not call: train "
                             "this model without learn.compile()")
        self._forget()
        self._roles = {}
        self._embeddings = [m for m in self.learn.model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
        self._seed = draw_seed()

    def before_train(self) -> None:
        self._rng = item_rng(self._seed, self.learn.epoch)

    # -- inputs and targets
    def before_batch(self) -> None:
        learn = self.learn
        self._mix = None
        inputs = [t for t in leaves((learn.xb, learn.kw)) if isinstance(t, torch.Tensor) and t.ndim]
        n = learn.yb[0].shape[0] if learn.yb and isinstance(learn.yb[0], torch.Tensor) and learn.yb[0].ndim else find_bs(inputs)
        self._check(inputs, n)
        size = next((tuple(t.shape[-2:]) for t in inputs if t.ndim >= 4 and t.is_floating_point()), None)
        mix = self.draw(self._rng, n, size, inputs[0].device)
        self._codes = [t for t in inputs if not t.is_floating_point() and t.dtype is not torch.bool]
        learn.xb, learn.kw = map_nested(lambda t: self._mixed(t, mix), (learn.xb, learn.kw))
        self._mix_targets(mix)
        self._mix = mix

    def _check(self, inputs, n):
        for t in inputs:
            if t.is_floating_point() and t.shape[0] != n:
                raise ValueError(f"{self!r} mixes items along the first axis, but an input is {describe(t)} in a batch of {n} items: "
                                 "put the batch first")
            if not t.is_floating_point() and t.dtype is not torch.bool and not self._embeddings:
                raise TypeError(f"{self!r} cannot mix the input {describe(t)}: it holds integers, and the model has no nn.Embedding whose "
                                "output could be mixed instead. Give the model floats (IntToFloatTensor for pictures), or do without")

    def _mixed(self, t, mix):
        if not isinstance(t, torch.Tensor) or not t.is_floating_point() or not t.ndim:
            return t
        if mix.box is None or t.ndim < 4:
            return blend(t, mix.lam, mix.perm)
        if tuple(t.shape[-2:]) != mix.size:
            raise ValueError(f"{self!r} cuts the same box out of all pictures of an item, but one input has {mix.size[0]}x{mix.size[1]} "
                             f"pixels and another is {describe(t)}")
        return paste(t, mix.perm, mix.box)

    def _mix_targets(self, mix):
        learn = self.learn
        wrong = [y for y in learn.yb if not isinstance(y, torch.Tensor) or not y.ndim]
        if wrong:
            raise TypeError(f"{self!r} mixes targets that are tensors with one entry per item; received {describe(wrong[0])}")
        dense = [mix.box is not None and y.ndim >= 3 and tuple(y.shape[-2:]) == mix.size for y in learn.yb]
        learn.yb = tuple(paste(y, mix.perm, mix.box) if d else y for y, d in zip(learn.yb, dense, strict=True))
        mix.targets = learn.yb
        rest = [y for y, d in zip(learn.yb, dense, strict=True) if not d]
        if not rest:
            return
        if mix.box is not None and any(y.ndim >= 3 and not y.is_floating_point() for y in rest):
            raise ValueError(f"{self!r} pastes masks as it pastes pictures, but a target is {describe(rest[0])} and the pictures are "
                             f"{mix.size[0]}x{mix.size[1]}: make them the same size")
        by_loss = y_int_of(learn.loss_func) or kind_of(learn.loss_func) is None
        if by_loss and not all(y.is_floating_point() for y in rest):
            mix.partner = tuple(y if d else y[mix.perm] for y, d in zip(learn.yb, dense, strict=True))
        else:
            learn.yb = tuple(y if d else blend(y if y.is_floating_point() else y.float(), mix.lam, mix.perm)
                             for y, d in zip(learn.yb, dense, strict=True))

    # -- integer inputs: the outputs of their embedding layers
    def forward_context(self):
        "Mixes the outputs of embedding layers that read the batch, for the duration of the forward pass."
        mix = self._mix
        return _NOTHING if mix is None or not self._codes or not self.learn.training else self._mixing_embeddings(mix)

    @contextmanager
    def _mixing_embeddings(self, mix):
        pointers = {t.untyped_storage().data_ptr() for t in self._codes}
        n, mixed, handles = len(mix.perm), [], []

        def hook(module, args, kwargs, output):
            if not self._reads_batch(module, args[0] if args else kwargs["input"], pointers, n):
                return output
            mixed.append(module)
            return blend(output, mix.lam, mix.perm)

        try:
            handles += [m.register_forward_hook(hook, with_kwargs=True) for m in self._embeddings]
            yield
        finally:
            for handle in handles:
                handle.remove()
        if not mixed:
            raise TypeError(f"{self!r} could not mix the input {describe(self._codes[0])}: it holds integers, and no nn.Embedding was "
                            "called with it (batch on the first axis)")

    def _reads_batch(self, module, ids, pointers, n):
        "Whether these ids are the batch's: a view of an input, or of its shape. Positions, which all items share, are not."
        if ids.ndim == 0 or ids.shape[0] != n:
            return False
        if ids.ndim > 1 or ids.untyped_storage().data_ptr() in pointers:
            return True
        if all(n not in t.shape[1:] for t in self._codes):
            self._roles[module] = True
        elif module not in self._roles:          # (n,) could be the positions of a sequence of length n: look, once
            self._roles[module] = any(torch.equal(ids, column.to(ids.dtype)) for t in self._codes for column in t.reshape(n, -1).unbind(1))
        return self._roles[module]

    # -- the loss
    def after_loss(self) -> None:
        mix, learn = self._mix, self.learn
        if mix is None or mix.partner is None:
            return
        if not isinstance(mix.lam, torch.Tensor):        # one share for all items: any loss will do
            learn.loss = mix.lam * learn.loss + (1 - mix.lam) * learn.loss_func(learn.pred, *mix.partner)
            return
        each, loss_func = self._loss_per_item(), learn.loss_func
        first, second = each(learn.pred, *learn.yb), each(learn.pred, *mix.partner)
        weights = [None, None]
        y = learn.yb[0]
        if (kind_of(loss_func) or "").startswith("class") and len(learn.yb) == 1 and first.numel() == y.numel():
            weights = [target_weights(loss_func, t, first.dtype) for t in (y, mix.partner[0])]
        learn.loss = blended_loss(first, second, mix.lam, *weights, _reduction(loss_func))

    def _loss_per_item(self):
        loss_func = self.learn.loss_func
        if self._each[0] is not loss_func:
            try:
                self._each = loss_func, reduction_none(loss_func)
            except TypeError as e:
                add_note(e, f"{self!r} mixes the losses of items with class ids as targets ({loss_name(loss_func)})")
                raise
        return self._each[1]

    def after_batch(self) -> None:
        if self._mix is not None and self._mix.targets is not None:
            self.learn.yb = self._mix.targets    # metrics of training compare with targets that are not blended
        self._mix, self._codes = None, []

    def cleanup_fit(self) -> None:
        self._forget()

    def state_dict(self) -> dict:
        "The seed of this fit's draws."
        return {"seed": self._seed}

    def load_state_dict(self, state: dict) -> None:
        "Draw as from `state_dict`."
        self._seed = state["seed"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.alpha})"


class MixUp(MixHandler):
    """Train on blends of two items: `lam * x + (1 - lam) * x'`, targets likewise; lam ~ Beta(alpha, alpha) for each item, never below 0.5.

    alpha: 0.1 to 0.4 for pictures; more mixes more. See `MixHandler` for targets and inputs. Source: H. Zhang et al., "mixup", 2018;
    for embeddings V. Verma et al., "Manifold Mixup", 2019.
    """

    def __init__(self, alpha=0.4):
        super().__init__(alpha)

    def draw(self, rng, n, size, device):
        return draw_mixup(rng, n, self.alpha, device)


class CutMix(MixHandler):
    """Train on pictures with a box pasted from another picture; the box covers about `1 - lam` of the area, lam ~ Beta(alpha, alpha).

    One box per batch. Targets are mixed by the area that is left; those that have a value per pixel (masks) are pasted like the
    pictures, and their loss is the plain one. The batch itself is not written to. Source: S. Yun et al., "CutMix", 2019.
    """

    def __init__(self, alpha=1.0):
        super().__init__(alpha)

    def draw(self, rng, n, size, device):
        return draw_cutmix(rng, n, self.alpha, size, device, self)


class CutMixUp(MixHandler):
    "For each batch CutMix with probability `p_cutmix`, else MixUp. Source: as in timm's training recipes (Wightman et al. 2021)."

    def __init__(self, mixup_alpha=0.4, cutmix_alpha=1.0, p_cutmix=0.5):
        if not 0 <= p_cutmix <= 1:
            raise ValueError(f"CutMixUp(p_cutmix={p_cutmix}): p_cutmix is a probability, from 0 to 1")
        super().__init__(mixup_alpha)
        self.cutmix_alpha, self.p_cutmix = _positive(cutmix_alpha, "cutmix_alpha", self), p_cutmix

    def draw(self, rng, n, size, device):
        if rng.random() < self.p_cutmix:
            return draw_cutmix(rng, n, self.cutmix_alpha, size, device, self)
        return draw_mixup(rng, n, self.alpha, device)

    def __repr__(self) -> str:
        return f"CutMixUp({self.alpha}, {self.cutmix_alpha}, {self.p_cutmix})"


def draw_mixup(rng, n, alpha, device):
    "A `Mix` with one lam per item."
    lam = rng.beta(alpha, alpha, size=n).astype("float32")
    lam = torch.from_numpy(lam)
    return Mix(_permutation(rng, n, device), torch.maximum(lam, 1 - lam).to(device, non_blocking=True))


def draw_cutmix(rng, n, alpha, size, device, who):
    "A `Mix` with one box, and the share outside of it as lam."
    if size is None:
        raise TypeError(f"{who!r} cuts boxes out of pictures: it needs a floating input (B,C,H,W). For other data use MixUp()")
    height, width = size
    box = cutmix_box(height, width, rng.beta(alpha, alpha), int(rng.integers(height)), int(rng.integers(width)))
    return Mix(_permutation(rng, n, device), kept_share(box, height, width), box, size)


def _permutation(rng, n, device):
    return torch.from_numpy(rng.permutation(n)).to(device, non_blocking=True)


def _positive(value, name, who):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{type(who).__name__}({name}={value!r}): the parameter of a Beta distribution, a number above 0 such as 0.4")
    return value


def _reduction(loss_func):
    if inspect.isfunction(loss_func):
        parameter = inspect.signature(loss_func).parameters.get("reduction")
        if parameter is not None and isinstance(parameter.default, str):
            return parameter.default
    return reduction_of(loss_func)
