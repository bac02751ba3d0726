"""`FirstBatch`: check the first training batch of every fit, so that what cannot work fails before any time is spent.

`check_target` compares its targets with the loss, `check_output` the outputs of the model: what the loss would fail on, or silently learn
the wrong thing from.
"""
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from warnings import warn

import torch
from torch import nn

from ..core import LossFunc, describe, find_bs, fixed_seed, leaves, plural
from ..core.finite import not_finite
from ..nn.activations import SigmoidRange
from ..nn.loss_traits import (
    CLASS_KINDS,
    class_axis,
    class_weight_of,
    has_own_forward,
    ignore_index_of,
    inner_loss,
    kind_of,
    loss_name,
    loss_setting,
    lost_batch_axis,
    needs_same_shape,
    same_items,
)
from .base import Order, TrainingCallback
from .metric_trial import try_metrics
from .output_range import unreachable_targets


class FirstBatch(TrainingCallback):
    """Check inputs, predictions, targets and loss of the first training batch of a fit; afterwards it costs nothing.

    Refuses NaN or infinite inputs, targets that do not fit the loss or the number of outputs, outputs that the loss does not take (raw
    ones where it takes probabilities, and the reverse), shapes that would broadcast, and a loss that is not a scalar or has no gradient.
    Metrics are tried on copies, so that one that cannot work fails here, not after an epoch; once, until model, data or metrics change.
    """

    only_watches = True
    order = Order.SETUP
    _tried: list[int] | None = None                         # what the metrics were last tried with
    _yb: tuple = ()                                         # the targets as the loader gave them
    _range_told = False                                     # that targets lie outside the range of the outputs
    _padded: torch.Tensor | None = None                     # which items are padded series, (B,)

    def before_batch(self) -> None:
        self._padded = None
        self._yb = self.learn.yb                            # before other callbacks mix them
        self._check_norms()
        self._check_range()
        for x in leaves((self.learn.xb, self.learn.kw)):
            if isinstance(x, torch.Tensor) and x.is_floating_point() and not torch.isfinite(x).all():
                bad = int(not_finite(x).sum())
                if not bad:                                 # series of several lengths, padded with NaN
                    self._padded = x.isnan().flatten(1).any(1)
                    continue
                raise ValueError(f"the inputs of the first training batch hold {bad:,} NaN or infinite values ({describe(x)}): "
                                 "remove or fill them, and check the transform that produced them")

    def _check_norms(self):
        "Refuse a batch of one item, now or at the end of the epoch, where a batch norm layer gets one value per channel of each item."
        dl, items = self.learn.dls.train, _size((self.learn.xb, self.learn.kw))
        bs, n = getattr(dl, "bs", getattr(dl, "batch_size", None)), getattr(dl, "n", None)
        with suppress(TypeError):                           # a sampler without a length
            n = len(dl.sampler) if n is None and hasattr(dl, "sampler") else n
        last = n % bs if isinstance(n, int) and isinstance(bs, int) and len(dl) > n // bs else 0         # 0: none, or dropped
        if items != 1 and last != 1:
            return
        seen = []
        norms = [m for m in self.learn.model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and m.training]
        hooks = [m.register_forward_pre_hook(lambda module, args: seen.append((module, args[0].shape))) for m in norms]
        try:
            self._run_in_evaluation()
        finally:
            for hook in hooks:
                hook.remove()
        for module, shape in seen:
            if shape[0] == items and shape.numel() == items * shape[1]:
                which = "the last batch of each epoch has one" if items > 1 else "this batch has one"
                where = f"{type(module).__name__} cannot train on one item, and {which} (n={n}, bs={bs}): "
                if n == 1:
                    raise ValueError(f"{where}give more items to train on")
                sizes = (*range(bs - 1, 1, -1), *range(max(2, bs + 1), bs + 9)) if isinstance(bs, int) else (2, 3)
                other = next((b for b in sizes if not isinstance(n, int) or n % b != 1), n)
                raise ValueError(f"{where}take another batch size, such as bs={other}" + (", or drop_last=True" if items > 1 else ""))

    def _check_range(self):
        "Warn, once, of targets that no output of the model can be."
        model = self.learn.model
        if self._range_told or len(self._yb) != 1 or self.learn.dry_run or not (
                hasattr(model, "y_range") or any(isinstance(m, SigmoidRange) for m in model.modules())):
            return
        if said := unreachable_targets(model, self._yb[0], self.learn.dls.train):
            warn(said, stacklevel=2)
            self._range_told = True

    def _run_in_evaluation(self):
        "Run the model on this batch in evaluation mode; an error is ignored here: the pass in training mode raises its own."
        learn = self.learn
        modes = [(m, m.training) for m in learn.model.modules()]
        try:
            learn.model.eval()
            with suppress(Exception), torch.no_grad(), fixed_seed(), learn.forward_context():
                learn.model(*learn.xb, **learn.kw)
        finally:
            for module, training in modes:
                module.training = training

    def after_pred(self) -> None:
        learn = self.learn
        if not learn.yb:
            raise ValueError(f"this batch has no target to train on, only {plural(len(learn.xb), 'input')}. Give the loader pairs "
                             "(input, target), or n_inp=, the number of elements that are inputs")
        self._check_padded()
        self._is_changed = len(learn.ordered_cbs("after_pred")) > 1         # other callbacks pick one output, or activate it
        if not self._is_changed:
            self._check_pred()

    def _check_padded(self):
        "Refuse a model that takes the padding of series, which is NaN, for values."
        pred, padded = self.learn.pred, self._padded
        if padded is None or not isinstance(pred, torch.Tensor) or not pred.ndim or len(pred) != len(padded):
            return
        bad = not_finite(pred.detach().flatten(1)).any(1)
        if bad.any() and not (bad & ~padded).any():
            raise ValueError(f"the model returns NaN for {int(bad.sum())} of the {int(padded.sum())} series of this batch that are padded, "
                             "with NaN after their end: it takes padding for values. Write `x, mask = split_padding(x)` "
                             "(minifast.timeseries.padding) in its forward and leave out the steps that mask (B,T) does not have, or give "
                             "it series of one length")

    def _check_pred(self):
        learn = self.learn
        if not isinstance(learn.pred, torch.Tensor):        # a loss of one tensor refuses it
            return
        n_classes = getattr(learn.dls, "c", None)          # too few outputs would fail only at the first item of a missing class
        if kind_of(learn.loss_func) in CLASS_KINDS and isinstance(n_classes, int) and learn.pred.ndim > 1:
            shape, axis = learn.pred.shape, class_axis(inner_loss(learn.loss_func), learn.pred)
            if n_classes > (shape[1] if axis == 1 else max(shape[1], shape[-1])):
                raise ValueError(f"the model has {plural(shape[1], 'output')} ({describe(learn.pred)}), but the data has {n_classes} "
                                 "classes: give its last layer dls.c outputs")
            vocab = getattr(learn.dls, "vocab", None)
            if n_classes == 1 == shape[axis] and isinstance(vocab, Sequence) and len(vocab) == 1:
                raise ValueError(f"the data has a single class, {vocab[0]!r}: there is nothing to tell apart. Give items of two classes or "
                                 f"more, or name the others, vocab=[{vocab[0]!r}, ...]")
        self._check_size_of_masks()
        check_target(learn.loss_func, learn.pred, learn.yb[0] if len(learn.yb) == 1 else learn.yb)
        check_output(learn.loss_func, learn.pred)

    def _check_size_of_masks(self) -> None:
        "Refuse masks of another size than their images, where the model's output has that of the images."
        x, y, size = self.learn.xb[0] if self.learn.xb else None, self.learn.yb[0], self.learn.pred.shape[-2:]
        if has_own_forward(self.learn.loss_func):                   # which may compare what it likes
            return
        if not (isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and x.ndim == self.learn.pred.ndim == 4 and y.ndim >= 3):
            return
        if x.shape[-2:] == size != y.shape[-2:]:
            raise ValueError(f"the masks have another size than their images: targets {describe(y)}, inputs {describe(x)}, and what the "
                             f"model returns fits the images{_files_of_first_item(self.learn.dls)}. Correct the files of the masks, or "
                             f"make both one size, item_tfms=Resize({tuple(size)})")

    def after_loss(self) -> None:
        if self._is_changed:
            self._check_pred()
        loss = self.learn.loss
        if not isinstance(loss, torch.Tensor) or loss.ndim:
            raise ValueError(f"the loss must be one number (a 0-d tensor), but {self.learn.loss_func} returned {describe(loss)}: "
                             "use reduction='mean', or return loss.mean()")
        if not loss.requires_grad:
            frozen = not any(p.requires_grad for p in self.learn.model.parameters())
            raise ValueError("the loss has no gradient: " + (
                "every parameter is frozen. Write learn.model.requires_grad_(True)" if frozen else
                "the model or the loss detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)"))

    def before_backward(self) -> None:
        self.run = False
        learn, recorder = self.learn, self.learn.recorder
        yb, self._yb = self._yb, ()
        if not learn.metrics or learn.dry_run or recorder is None:
            return
        validates = recorder.valid_metrics and len(learn.dls) > 1
        parts = list(map(id, (learn.model, learn.loss_func, learn.dls, *learn.metrics)))
        if (validates or recorder.train_metrics) and self._tried != parts:
            try_metrics(learn, [yb] if yb is learn.yb else [yb, learn.yb], validates and not recorder.train_metrics)
            self._tried = parts


def _size(x):
    "The number of items of a batch; None where it cannot be told."
    with suppress(ValueError):
        return find_bs(x)
    return None


def _files_of_first_item(dls: Any) -> str:
    "The files that the first training item was made of, where they are known."
    try:
        files = [o.source for o in dls.train.dataset[0] if hasattr(o, "source")]
    except Exception:                                           # this is about something else than the reading of items
        files = []
    return f"; see {' and '.join(files)}" if files else ""


def check_target(loss_func: LossFunc, pred: torch.Tensor, yb: torch.Tensor | Sequence[torch.Tensor]) -> None:
    """Refuse targets that `loss_func` would fail on, or silently learn the wrong thing from.

    It looks at values, so it waits for the device: meant for one batch per fit. Losses that are not recognised are not checked.

    Args:
        loss_func: the loss.
        pred: the raw output of the model.
        yb: the target or the tuple of targets of the batch.

    Raises:
        ValueError: says what is wrong and what to write instead.
    """
    y = yb if isinstance(yb, torch.Tensor) else yb[0] if isinstance(yb, (tuple, list)) and len(yb) == 1 else None
    kind = kind_of(loss_func)
    if kind is None or not isinstance(pred, torch.Tensor) or not isinstance(y, torch.Tensor) or not pred.is_floating_point():
        return
    if pred.numel() == 0 or y.numel() == 0:
        raise ValueError(f"{loss_name(loss_func)}: an empty batch: predictions {describe(pred)}, targets {describe(y)}.")
    if y.is_floating_point() and not bool(torch.isfinite(y).all()):
        bad = int((~torch.isfinite(y)).sum())
        raise ValueError(f"the targets have {bad:,} NaN or infinite values among {y.numel():,} in this batch ({describe(y)}): the loss "
                         "would be NaN. Drop or fill these rows before training.")
    (_check_classes if kind in CLASS_KINDS else _check_values)(loss_func, kind, pred, y)


def _check_classes(loss_func, kind, pred, y):
    inner = inner_loss(loss_func)
    flat = getattr(inner, "flatten", False)
    axis = class_axis(inner, pred)
    n_out = pred.shape[axis]
    rest = pred.shape[:axis] + pred.shape[axis + 1:]
    if n_out == 1:
        zero_one = bool(((y == 0) | (y == 1)).all())
        cure = ("To predict a number use MSELossFlat()." if y.is_floating_point() and not zero_one else
                "Use BCEWithLogitsLossFlat() for one logit." if y.is_floating_point() else
                f"Write n_out={max(2, int(y.max()) + 1)}" + (", or use BCEWithLogitsLossFlat() for one logit." if zero_one else "."))
        raise ValueError(f"{loss_name(loss_func)} compares classes, but the model has a single output (predictions {describe(pred)}): its "
                         f"loss is always 0. {cure}")
    _check_weights(loss_func, "weight", class_weight_of(loss_func), n_out, pred)
    if y.is_floating_point():
        _check_class_probabilities(loss_name(loss_func), axis, pred, y)
        return
    if y.numel() != rest.numel() or (not flat and y.shape != rest):
        raise ValueError(f"{loss_name(loss_func)} takes one target per prediction: predictions {describe(pred)} need targets of shape "
                         f"{list(rest)}, received {describe(y)}. " + _shape_advice(pred, y, n_out, axis))
    if not flat and y.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"{loss_name(loss_func)} takes class ids as int64, received targets {describe(y)}: write y.long(), or "
                         "CrossEntropyLossFlat().")
    ignore = ignore_index_of(loss_func)
    seen = y[y != ignore] if ignore is not None else y
    low, high = _range(seen) if seen.numel() else (0, 0)
    if high >= n_out:
        if y.ndim >= 3 and n_out == 2 and bool(((seen == 0) | (seen == high)).all()):
            raise ValueError(f"the targets are 0 and {high}, but your model has two classes, 0 and 1: if {high} is the foreground of masks"
                             f", write MaskBlock(codes, values=[0, {high}]), or y // {high} in a dataset of your own")
        raise ValueError(f"your model has n_out={n_out} outputs but a target is {high}: write n_out={high + 1}"
                         + (f" (or ignore_index={high}, if {high} means 'not labelled')." if high == 255 else "."))
    if low < 0:
        raise ValueError(f"class ids go from 0 to {n_out - 1}, but a target is {low}"
                         + ("." if ignore is None else f" and {loss_name(loss_func)} only ignores ignore_index={ignore}."))


def _check_weights(loss_func, setting, weights, n_out, pred):
    if not isinstance(weights, torch.Tensor):
        return
    if len(weights) != n_out:
        raise ValueError(f"{loss_name(loss_func)}({setting}=...) has {plural(len(weights), 'number')}, but the model has {n_out} outputs: "
                         f"give one per class in the order of dls.vocab, such as {setting}=dls.class_weights().")
    if not weights.is_floating_point():
        raise ValueError(f"{loss_name(loss_func)}({setting}=...) takes floats, received {describe(weights)}: write {setting}.float().")
    if (weights.dtype == torch.float64) != (pred.dtype == torch.float64):
        raise ValueError(f"{loss_name(loss_func)}({setting}=...) has {describe(weights)}, but the outputs of the model are "
                         f"{describe(pred)}: write {setting}.to(torch.{str(pred.dtype).split('.')[1]}).")


def _check_class_probabilities(name, axis, pred, y):
    if y.shape != pred.shape:
        raise ValueError(f"{name} takes class ids (int64), received targets {describe(y)} for predictions {describe(pred)}. For "
                         "categories write y.long() or use a CategoryBlock; to predict a number use MSELossFlat(), a RegressionBlock and "
                         "n_out=1.")
    if not name.startswith(("CrossEntropy", "cross_entropy", "LabelSmoothing")):
        raise ValueError(f"{name} takes class ids (int64), received one number per class ({describe(y)}): write y.argmax({axis}).")
    low, high = _range(y.sum(axis))
    if bool((y < 0).any()) or not 0.99 <= low <= high <= 1.01:
        raise ValueError(f"{name} with one number per class takes probabilities that sum to 1; here the sums go from "
                         f"{low:.4g} to {high:.4g}. For several labels per item use BCEWithLogitsLossFlat().")


def _shape_advice(pred, y, n_out, axis):
    if y.shape == pred.shape:
        return f"For one-hot targets write y.argmax({axis}); for several labels per item use BCEWithLogitsLossFlat()."
    if pred.ndim == 4 and y.ndim >= 3 and axis != 1:
        return "For masks write CrossEntropyLossFlat(axis=1)."
    if y.ndim > 1 and y.shape[1] == 1 and y.numel() * n_out == pred.numel():
        return "Write y.squeeze(1), or use CrossEntropyLossFlat()."
    if y.ndim and y.shape[0] != pred.shape[0]:
        return f"The batch sizes differ: {pred.shape[0]} predictions, {y.shape[0]} targets."
    return "Check the shape of what the model returns."


def _check_values(loss_func, kind, pred, y):
    name, same = loss_name(loss_func), needs_same_shape(loss_func)
    if same and pred.shape != y.shape:
        if pred.ndim and y.ndim and pred.shape[0] != y.shape[0]:
            advice = f"The batch sizes differ: {pred.shape[0]} predictions, {y.shape[0]} targets."
        elif same_items(pred.shape, y.shape):
            advice = (f"Torch would broadcast them against each other. Use {_flat_name(kind, name)}, or return "
                      f"pred.view{tuple(y.shape)} from the model.")
        else:
            advice = ("Check n_out." if y.is_floating_point() else
                      f"For class ids use CrossEntropyLossFlat(), or one-hot targets, F.one_hot(y, {pred.shape[-1]}).float().")
        raise ValueError(f"{name} compares element by element, but predictions {describe(pred)} and targets {describe(y)} differ in "
                         f"shape. {advice}")
    if not same and not same_items(pred.shape, y.shape) and getattr(inner_loss(loss_func), "flatten", False):
        advice = "Check n_out and the shape of the targets." if y.is_floating_point() else "For class ids use CrossEntropyLossFlat()."
        raise ValueError(f"{name}: predictions {describe(pred)} and targets {describe(y)} cannot be compared element by element. {advice}")
    if same and not y.is_floating_point() and not of_counts(loss_func):       # counts may be integers
        raise ValueError(f"{name} takes float targets, received {describe(y)}: write y.float(), or use {_flat_name(kind, name)}.")
    for setting in ("weight", "pos_weight") if kind == "logits" and pred.ndim > 1 else ():
        weights = loss_setting(loss_func, setting, None)
        if isinstance(weights, torch.Tensor) and weights.ndim == 1 and len(weights) > 1:      # any other shape is broadcast as torch does
            _check_weights(loss_func, setting, weights, pred.shape[getattr(inner_loss(loss_func), "axis", -1)], pred)
    (low, high), (lowest, highest) = _range(y), _range(pred)
    if of_counts(loss_func) and low < 0:
        raise ValueError(f"{name} takes counts, 0 or more, received targets down to {low:.4g}: the loss would fall without end. To predict "
                         "a number use MSELossFlat().")
    if kind in ("logits", "probabilities") and not 0 <= low <= high <= 1:
        ids = low >= 0 and high == int(high) and kind == "logits" and pred.numel() == len(pred)
        cure = f"If {high:.4g} means yes, write (y == {high:.4g}).float(). " if bool(((y == low) | (y == high)).all()) else ""
        cure += f"For class ids use CrossEntropyLossFlat() and n_out={int(high) + 1}, to predict" if ids else "To predict"
        raise ValueError(f"{name} takes targets from 0 to 1, received values from {low:.4g} to {high:.4g}. {cure} a number use "
                         "MSELossFlat().")
    if kind == "probabilities" and (lowest < 0 or highest > 1):
        raise ValueError(f"{name} takes probabilities, but the model returns values from {lowest:.4g} to {highest:.4g}: "
                         "use BCEWithLogitsLossFlat(), or end the model with a sigmoid.")


def check_output(loss_func: LossFunc, pred: torch.Tensor) -> None:
    """Refuse outputs of the model that are not what `loss_func` takes, so that its value means nothing.

    These are raw outputs where it takes log-probabilities (the loss then falls without end), and outputs that have been through the
    softmax or sigmoid that it applies itself. As `check_target` it waits for the device. Losses of one's own are not checked.

    Args:
        loss_func: the loss.
        pred: the raw output of the model.

    Raises:
        ValueError: says what is wrong and what to write instead.
    """
    if has_own_forward(loss_func) or not pred.is_floating_point() or not pred.numel():
        return
    kind, values = kind_of(loss_func), pred.detach().float()
    if pred.ndim == 1 and kind in CLASS_KINDS:
        raise ValueError(lost_batch_axis(pred))
    if kind == "class log-probabilities" or (kind is None and loss_name(loss_func) in _OF_LOGARITHMS):
        axis = class_axis(inner_loss(loss_func), pred) if kind else pred.ndim - 1
        axes = [axis] if kind else range(min(1, pred.ndim - 1), pred.ndim)
        if not any(_are_log_probabilities(values, i) for i in axes):
            (low, high), sums = _range(values), values.exp().sum(axis)
            name = loss_name(loss_func)
            raise ValueError(f"{name} takes log-probabilities, whose exp() sums to 1 for each item, but the model returns values "
                             f"from {low:.4g} to {high:.4g}, whose exp() sums to {sums.min():.4g} to {sums.max():.4g}: the loss would fall "
                             "without end. " + (f"Write CrossEntropyLossFlat({'axis=1' if pred.ndim > 2 else ''}), which takes raw "
                                                "outputs, or end" if kind else "End") + f" the model with nn.LogSoftmax(dim={axis}).")
    elif kind in ("class logits", "logits"):
        axis = class_axis(inner_loss(loss_func), pred)
        sums = values.sum(axis)
        if kind == "class logits" and sums.numel() > 1 and values.min() >= 0 and bool(((sums - 1).abs() < 1e-3).all()):
            least = math.log1p((pred.shape[axis] - 1) * math.exp(-1))
            name = loss_name(loss_func)
            raise ValueError(f"{name} applies a softmax itself, but the outputs of the model are probabilities already (they sum "
                             f"to 1 for each item): its loss would never fall below {least:.2g}. Remove the softmax at the end of the "
                             "model; predictions get one all the same.")
        if _last_operation(pred).startswith("Sigmoid"):
            name = loss_name(loss_func)
            raise ValueError(f"{name} applies a {'softmax' if kind != 'logits' else 'sigmoid'} itself, but the model ends with a "
                             "sigmoid: its outputs could only be 0 to 1. Remove the sigmoid at the end of the model; predictions get "
                             "theirs all the same.")
    elif kind == "values" and of_counts(loss_func) and not loss_setting(loss_func, "log_input", True) and values.min() < 0:
        name = loss_name(loss_func)
        raise ValueError(f"{name}(log_input=False) takes rates, 0 or more, but the model returns values down to {values.min():.4g}: "
                         "write log_input=True, or end the model with nn.Softplus().")


def of_counts(loss_func: LossFunc) -> bool:
    "Whether a loss is torch's of counts, which takes whole numbers too."
    return loss_name(loss_func).lower().startswith("poisson")


#: Losses besides `nn.NLLLoss` that take log-probabilities.
_OF_LOGARITHMS = ("KLDivLoss", "kl_div", "CTCLoss", "ctc_loss")


def _are_log_probabilities(values, axis):
    sums = values.logsumexp(axis).exp()
    return bool((values.max() < 0.05) & (sums.min() > 0.95) & (sums.max() < 1.05))             # exact to bfloat16


def _last_operation(pred):
    "The last operation that made `pred`, as autograd calls it, but for those that only change its shape; '' where it is not known."
    node = pred.grad_fn
    while node is not None and node.name().startswith(("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "ToCopy")):
        node = node.next_functions[0][0]
    return "" if node is None else node.name()


def _range(t: torch.Tensor) -> tuple[Any, Any]:
    return t.min().item(), t.max().item()


def _flat_name(kind, name):
    if kind == "values":
        return "L1LossFlat()" if name in ("L1Loss", "l1_loss") else "MSELossFlat()"
    return "BCEWithLogitsLossFlat()" if kind == "logits" else "BCELossFlat()"
