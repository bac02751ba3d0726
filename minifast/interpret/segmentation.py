"""`SegmentationInterpretation`: which classes of pixels are confused, and the images with the worst masks."""
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe
from ..core.plots import get_grid
from ..nn.loss_traits import ignore_index_of
from .base import FigSize, Interpretation, batch_of, draw_samples
from .scores import confusion, most_confused


class SegmentationInterpretation(Interpretation):
    """`Interpretation` of masks. Pixels with the `ignore_index` of the loss do not count.

    Args:
        learn, dl, decoded, losses: see `Interpretation`.
        preds: (items, classes, height, width).
        targs: class ids (items, height, width).
    """

    score_name = "iou"

    def __init__(self, learn: Any, dl: Any = None, preds: Any = None, targs: Any = None, decoded: Any = None, losses: Any = None):
        super().__init__(learn, dl, preds, targs, decoded, losses)
        if not isinstance(preds, torch.Tensor) or preds.ndim != 4 or not isinstance(targs, torch.Tensor) or targs.ndim != 3:
            raise TypeError(f"SegmentationInterpretation takes masks; received predictions {describe(preds)}, targets {describe(targs)}")
        self.n_classes = preds.shape[1]
        if self.vocab is None or len(self.vocab) != self.n_classes:
            self.vocab = list(range(self.n_classes))
        ignored = ignore_index_of(learn.loss_func)
        self.targs = targs.long().masked_fill(targs == ignored, -1) if ignored is not None else targs.long()
        self._each: torch.Tensor | None = None

    def item_confusions(self) -> torch.Tensor:
        "The confusion matrix of each item: int64 (items, classes, classes), computed once."
        if self._each is None:
            self._each = torch.stack([confusion(t, d, self.n_classes) for t, d in zip(self.targs, self.decoded, strict=True)])
        return self._each

    def confusion_matrix(self) -> np.ndarray:
        "How many pixels of each class (rows) were predicted as each class (columns): ints (classes, classes)."
        return self.item_confusions().sum(0).numpy()

    def per_class(self) -> pd.DataFrame:
        "A DataFrame with a row per class: pixels, intersection over union, dice, precision, recall."
        m = self.item_confusions().sum(0).double()
        true, in_target, in_guess = m.diag(), m.sum(1), m.sum(0)
        union = in_target + in_guess - true
        return pd.DataFrame(
            {
                "pixels": in_target.long().tolist(),
                "iou": (true / union.clamp(min=1)).tolist(),
                "dice": (2 * true / (in_target + in_guess).clamp(min=1)).tolist(),
                "precision": (true / in_guess.clamp(min=1)).tolist(),
                "recall": (true / in_target.clamp(min=1)).tolist(),
            },
            index=[str(v) for v in self.vocab],
        )

    @property
    def iou(self) -> torch.Tensor:
        "The intersection over union of each item, averaged over the classes in its target or prediction: (items,)."
        m = self.item_confusions().double()
        true = m.diagonal(dim1=1, dim2=2)
        union = m.sum(1) + m.sum(2) - true
        return (true / union.clamp(min=1)).sum(1) / (union > 0).sum(1).clamp(min=1)

    def _score(self):
        return self.iou

    def most_confused(self, min_val: int = 1) -> list[tuple]:
        "`[(class, predicted class, pixels)]`, the most frequent first."
        return most_confused(self.confusion_matrix(), self.vocab, min_val)

    def frame(self) -> pd.DataFrame:
        "A DataFrame with a row per item, as of `Interpretation.frame`: path, loss, intersection over union, share of pixels right."
        m = self.item_confusions().double()
        right = m.diagonal(dim1=1, dim2=2).sum(1) / m.sum((1, 2)).clamp(min=1)
        return self.named({"loss": self.losses.tolist(), "iou": self.iou.tolist(), "pixels_right": right.tolist()})

    def title(self, i: int) -> str:
        "The lines above item `i`."
        return f"{self.name(i)}\nloss {float(self.losses[i]):.3g}, IoU {float(self.iou[i]):.2f}"

    def show_items(self, indices: list[int], nrows: int | None = None, ncols: int | None = None, figsize: FigSize | None = None,
                   **kwargs: Any) -> Any:
        "Draw each item twice: with its target, and with its prediction; returns the axes. kwargs: such as `vmax=`."
        n = len(indices)
        axes = get_grid(2 * n, nrows=nrows, ncols=2 * (ncols or min(2, n)), figsize=figsize, imsize=2.6)
        batch = batch_of(self.dl, indices)
        guess = (*batch[:-1], self.decoded[indices].to(batch[-1].device))
        pairs = zip(self.decode(batch, n), self.decode(guess, n), strict=True)
        titles = [title for i in indices for title in (f"{self.title(i)}\ntarget", "prediction")]
        return draw_samples(axes, [sample for pair in pairs for sample in pair], titles, **kwargs)
