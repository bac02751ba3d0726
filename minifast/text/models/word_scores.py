"""Scores of all words, computed when somebody looks at them: cross entropy needs them a few rows at a time only.

The scores of a batch of a language model are its largest tensor by far, (64 * 72, 7,000) floats for a small vocabulary, and cross entropy
makes two more of that size. Here the loss and its gradients are computed together, in pieces that stay in the processor's cache. Training
an AWD-LSTM of 100 and 200 features takes 0.74 of the time (median of 5, one core, November 2026, benchmarks/text_training.py), and the
three tensors are never made. For every other use the scores are an ordinary tensor; `WordScores.in_pieces = False` makes them one from
the start.
"""
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ...core.nested import map_nested

_REQUIRES_GRAD = torch.Tensor.requires_grad.__get__  # type: ignore[attr-defined]  # a property of C
#: Scores in a piece: more do not fit into the cache, fewer make small matrix products.
PIECE = 2**21


class _LinearCrossEntropy(torch.autograd.Function):
    "`F.cross_entropy(F.linear(x, weight, bias), target)` and its gradients, piece by piece."

    @staticmethod
    def forward(ctx, x, weight, bias, target, ignore_index):  # type: ignore[no-untyped-def]
        # the bias goes along as one more column: adding it, and summing its gradient, would be passes over all scores
        need_x, *need_params = ctx.needs_input_grad[:3]
        if bias is None:
            inputs, columns = x, weight
        else:
            inputs, columns = torch.cat([x, x.new_ones(len(x), 1)], 1), torch.cat([weight, bias[:, None]], 1)
        grad_x, loss = torch.empty_like(x) if need_x else None, x.new_zeros(())
        grad_columns = torch.zeros_like(columns) if any(need_params) else None
        counts = target != ignore_index
        rows = max(1, PIECE // len(weight))
        for i in range(0, len(x), rows):
            counted = counts[i:i + rows, None]
            ids = torch.where(counted, target[i:i + rows, None], 0)
            log_probs = torch.mm(inputs[i:i + rows], columns.t()).log_softmax(1)
            loss -= (log_probs.gather(1, ids) * counted).sum()
            grad = log_probs.exp_()                                     # of the scores: probabilities, less 1 at the target
            grad.scatter_add_(1, ids, grad.new_full(ids.shape, -1.0))
            if not counted.all():
                grad.mul_(counted)
            if grad_x is not None:
                torch.mm(grad, weight, out=grad_x[i:i + rows])
            if grad_columns is not None:
                grad_columns.addmm_(grad.t(), inputs[i:i + rows])
        grads = (grad_x, None, None) if grad_columns is None else (grad_x, grad_columns[:, :weight.shape[1]],
                                                                   None if bias is None else grad_columns[:, -1])
        n = counts.sum()
        ctx.save_for_backward(*grads, n)
        return loss / n

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        *grads, n = ctx.saved_tensors
        return (*(None if g is None else g * (grad / n) for g in grads), None, None)


class Scores(torch.Tensor):
    "A tensor of scores that is computed when it is used: any function of torch gets it whole, except cross entropy."

    hidden: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    _whole: torch.Tensor | None = None

    #: What can be told without computing anything.
    _told: ClassVar[set[Any]] = {torch.Tensor.size, torch.Tensor.dim, torch.Tensor.numel, torch.Tensor.is_floating_point,
                                 torch.Tensor.__len__,
                                 *(getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "is_cuda"))}
    _reshaping: ClassVar[set[Any]] = {torch.Tensor.reshape, torch.Tensor.view, torch.Tensor.flatten, torch.flatten, torch.reshape}

    @classmethod
    def of(cls, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> "Scores":
        """The scores `F.linear(hidden, weight, bias)`.

        Args:
            hidden: (..., features).
            weight: (words, features).
            bias: (words,), or None.
        """
        made = hidden.new_full((), torch.nan).expand(*hidden.shape[:-1], len(weight)).as_subclass(cls)
        made.hidden, made.weight, made.bias = hidden, weight, bias
        return made

    def whole(self) -> torch.Tensor:
        "The scores as an ordinary tensor, computed once: the loss needs their gradient, even if they are first looked at under `no_grad`."
        if self._whole is None:
            with torch.enable_grad():
                self._whole = F.linear(self.hidden, self.weight, self.bias)
        return self._whole

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else None
        if func in cls._told:
            return super().__torch_function__(func, types, args, kwargs)
        if func == _REQUIRES_GRAD:
            return True
        if isinstance(first, Scores) and first._whole is None:
            if func in cls._reshaping:
                shape = super().__torch_function__(func, types, args, kwargs).shape
                if shape and shape[-1] == len(first.weight):
                    return Scores.of(first.hidden.reshape(*shape[:-1], first.hidden.shape[-1]), first.weight, first.bias)
            elif func is F.cross_entropy and _is_plain(*args, **kwargs):
                return _LinearCrossEntropy.apply(first.hidden, first.weight, first.bias, args[1], kwargs.get("ignore_index", -100))
        args, kwargs = map_nested(lambda o: o.whole() if isinstance(o, Scores) else o, (args, dict(kwargs)))
        return func(*args, **kwargs)


def _is_plain(scores, target=None, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0):
    "Whether these arguments of `F.cross_entropy` ask for the mean over ids alone."
    return (target is not None and weight is None and size_average is None and reduce is None and reduction == "mean"
            and not label_smoothing and scores.dim() == 2 and target.dtype is torch.int64 and target.shape == scores.shape[:1])


class WordScores(nn.Linear):
    "A linear layer with an output per word of a vocabulary, which in training on a CPU are computed when somebody looks at them."

    in_pieces: bool = True          #: False: an ordinary linear layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if (self.in_pieces and self.training and torch.is_grad_enabled() and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
                and not torch.compiler.is_compiling() and x.dtype is self.weight.dtype):
            return Scores.of(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)
