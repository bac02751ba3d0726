"""`Interpretation`: predictions, targets and losses of one set of items, computed once, and ways to look at them."""
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pandas as pd
import torch

from ..core.keywords import KnowsKeywords
from ..core.messages import describe, plural, reject_unknown
from ..core.nested import leaves, split_batch
from ..core.paths import Path
from ..core.plots import DRAWING, get_grid, show_item
from ..core.types import Batch
from ..data.dataloader import DataLoader
from ..data.naming import files_of, items_of, row_labels
from ..data.rows import Rows
from ..data.targets import base_dataset
from ..learner.inference import loader_for
from ..metrics.classes import classes_of

if TYPE_CHECKING:
    from ..learner.learner import Learner

FigSize: TypeAlias = tuple[float, float]
"Size of a figure in inches."

MOST_WORDS = 150        #: of a text that are shown
MOST_NUMBERS = 12       #: of a target that are written
Self = TypeVar("Self", bound="Interpretation")


def batch_of(dl: Any, indices: list[int]) -> Batch:
    "A batch of the items `indices` of the dataset of `dl`, as validation sees them."
    return dl.make_batch(indices) if isinstance(dl, DataLoader) else dl.collate_fn([dl.dataset[i] for i in indices])


class Interpretation(KnowsKeywords):
    """The predictions of a learner for the items of one loader, on the CPU. Make it with `from_learner`.

    Everything is computed there, once, in the order of the dataset; images are read again when they are drawn.

    Args:
        learn: the learner.
        dl: the loader.
        preds: predictions, after the activation.
        targs: targets.
        decoded: decoded predictions, such as classes.
        losses: the loss of each item, (items,).
    """

    score_name = "score"

    def __init__(self, learn: "Learner", dl: Any = None, preds: Any = None, targs: Any = None, decoded: Any = None, losses: Any = None):
        if losses is None:
            raise TypeError(f"{type(self).__name__}(learn) has no predictions yet: write {type(self).__name__}.from_learner(learn), which "
                            "predicts every item once")
        self.learn, self.dl, self.preds, self.targs, self.decoded, self.losses = learn, dl, preds, targs, decoded, losses
        self.vocab = classes_of(learn)

    @classmethod
    def from_learner(cls: type[Self], learn: "Learner", ds_idx: int = 1, dl: Iterable | None = None,
                     act: Callable[[Any], Any] | None = None) -> Self:
        """Predict every item of a loader once, without augmentation.

        Args:
            learn: the learner.
            ds_idx: the loader of the learner's data: 0 is training, 1 validation.
            dl: a loader to use instead.
            act: activation of the predictions; None: that of the loss.
        """
        dl = loader_for(learn, ds_idx, dl)
        preds, targs, decoded, losses = learn.get_preds(dl=dl, with_decoded=True, with_loss=True, act=act)
        if targs is None:
            raise ValueError(f"{cls.__name__} needs items with targets; these have none. Give dl=dls.test_dl(items, with_labels=True)")
        return cls(learn, dl, preds, targs, decoded, losses)

    def __len__(self) -> int:
        return len(self.losses)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {plural(len(self), 'item')}, mean loss {float(self.losses.mean()):.4g}"

    # -- the items --------------------------------------------------------------------------------------------------------------
    @property
    def items(self) -> list:
        "The items (files, rows), in the order of the predictions; their numbers where the dataset has no items."
        return self._items_at(range(len(self)))

    def _items_at(self, positions):
        if self._rows is not None:
            rows = Rows(self._rows)
            return [rows[i] for i in positions]
        dataset, indices = base_dataset(self.dl)
        items = items_of(dataset)
        if items is None:
            return list(positions)
        rows = Rows(items)
        return [rows[i if indices is None else indices[i]] for i in positions]

    @cached_property
    def _rows(self) -> pd.DataFrame | None:
        "The rows of a table with every step undone; None for other items."
        dataset, indices = base_dataset(self.dl)
        if not hasattr(dataset, "row_index"):
            return None
        return (dataset if indices is None else dataset.at(indices)).decode()

    @cached_property
    def _labels(self) -> pd.Index | None:
        return row_labels(self.dl)

    @cached_property
    def _files(self) -> list[Path] | None:
        return files_of(self.dl)

    def item_name(self, i: int) -> Any:
        "What item `i` is called: the label of its row in the frame that it comes from; its number where there is none."
        label = i if self._labels is None else self._labels[i]
        return label.item() if hasattr(label, "item") else label

    def path(self, i: int) -> Any:
        "The file of item `i`, or what it is called."
        if self._files is not None:
            return self._files[i]
        item = self._items_at([i])[0] if self._labels is None else None
        return item if isinstance(item, (str, Path)) else self.item_name(i)

    def name(self, i: int) -> str:
        "The name of the file of item `i`, or what it is called."
        found = self.path(i)
        if isinstance(found, tuple):                            # several levels of an index: what each is
            return ", ".join(map(str, found))
        if isinstance(found, Path) or self._labels is None:
            return Path(found).name if isinstance(found, Path) else f"item {i}"
        return f"row {found}" if isinstance(found, pd.Timestamp) else f"row {found!r}"

    def named(self, columns: dict[str, list], positions: list[int] | None = None) -> pd.DataFrame:
        """A DataFrame of some items. Its index are the labels of their rows, where they come from a frame; `path` are their files.

        Args:
            columns: what is known of each.
            positions: their numbers; None: all.
        """
        chosen = range(len(self)) if positions is None else positions
        unnamed = self._rows is not None or (self._labels is not None and self._files is None)      # but for the index
        paths = {} if unnamed else {"path": [self.path(i) for i in chosen]}
        index = None if self._labels is None else self._labels[list(chosen)]
        return pd.DataFrame({**paths, **columns}, index=index)

    # -- the worst and the best -------------------------------------------------------------------------------------------------
    def top_losses(self, k: int | None = None, largest: bool = True, items: bool = False) -> tuple:
        """Find the items with the largest losses.

        Args:
            k: how many; None: all.
            largest: False finds the smallest.
            items: return the items too.

        Returns:
            Two tensors, the losses and the numbers of the items, and if asked for a list of the items.
        """
        k = len(self) if k is None else min(k, len(self))
        values, indices = self.losses.topk(k, largest=largest)
        return (values, indices, self._items_at(indices.tolist())) if items else (values, indices)

    def frame(self) -> pd.DataFrame:
        "A DataFrame with a row per item, called as in the frame that it comes from: path (not of tables), target, prediction, loss."
        return self.named({"target": [self.target_text(i) for i in range(len(self))],
                           "prediction": [self.prediction_text(i) for i in range(len(self))], "loss": self.losses.tolist()})

    def per_group(self, groups: Sequence | Callable[[Any], Any], score: Sequence[float] | None = None) -> pd.DataFrame:
        """Compare groups of items: a DataFrame with number of items, mean loss and mean score of each, worst loss first.

        Args:
            groups: one value per item, or a function of the item.
            score: one number per item; None: accuracy, absolute error or IoU, where there is one.
        """
        keys = [groups(item) for item in self.items] if callable(groups) else list(groups)
        if len(keys) != len(self):
            raise ValueError(f"per_group(groups=...): one group per item: received {len(keys)} for {plural(len(self), 'item')}")
        table = pd.DataFrame({"group": keys, "loss": self.losses.tolist()})
        spec = {"n": ("loss", "size"), "loss": ("loss", "mean")}
        score = self._score() if score is None else score
        if score is not None:
            table["score"] = [float(v) for v in score]
            spec[self.score_name] = ("score", "mean")
        return table.groupby("group").agg(**spec).sort_values("loss", ascending=False)

    def _score(self) -> Any:
        "One number per item, or None."
        return None

    # -- words and images -----------------------------------------------------------------------------------------------------
    def target_text(self, i: int) -> str:
        "The target of item `i` in words."
        return _text(self.targs, i, self.vocab)

    def prediction_text(self, i: int) -> str:
        "The decoded prediction of item `i` in words."
        return _text(self.decoded, i, self.vocab)

    def title(self, i: int) -> str:
        "The lines above the image of item `i`."
        words = f"target {self.target_text(i)}\npredicted {self.prediction_text(i)}"
        if isinstance(self.targs, torch.Tensor) and self.targs.ndim > 2:            # they are drawn
            words = "" if self._continued is None else "target dashed, prediction dotted"
        return "\n".join(line for line in (self.name(i), words, f"loss {float(self.losses[i]):.3g}") if line)

    def plot_top_losses(self, k: int = 9, largest: bool = True, nrows: int | None = None, ncols: int | None = None,
                        figsize: FigSize | None = None, **kwargs: Any) -> Any:
        """Draw the items with the largest losses, each with its file, target, prediction and loss; returns the axes.

        Of a table: a DataFrame of their rows; of texts one with the texts. kwargs: for the functions that draw, such as `cmap=`.
        """
        return self.show_items(self.top_losses(k, largest)[1].tolist(), nrows, ncols, figsize, **kwargs)

    def show_results(self, idxs: Iterable[int], nrows: int | None = None, ncols: int | None = None, figsize: FigSize | None = None,
                     **kwargs: Any) -> Any:
        """Draw these items (their numbers, as of `top_losses`) with target and prediction; returns the axes.

        Of a table: a DataFrame. kwargs: for the functions that draw, such as `cmap=`.
        """
        return self.show_items([int(i) for i in idxs], nrows, ncols, figsize, **kwargs)

    def show_items(self, indices: list[int], nrows: int | None = None, ncols: int | None = None, figsize: FigSize | None = None,
                   **kwargs: Any) -> Any:
        "Draw the items `indices` with their titles; where they are not images, return a DataFrame. kwargs: such as `cmap=`."
        _check_drawing(kwargs)
        if not indices:
            raise ValueError("there is nothing to show: no item was chosen")
        if self._rows is not None:
            found, rows = self.frame().iloc[indices], self._rows.iloc[indices]
            inputs = rows.drop(columns=[c for c in base_dataset(self.dl)[0].y_names if c in rows])
            return pd.concat([inputs.rename(columns={c: f"{c}_" for c in inputs if c in found}), found], axis=1)
        samples = self.decoded_inputs(indices)
        if not any(map(is_image, samples[0])):
            return self._table(indices, samples)
        axes = get_grid(len(indices), nrows=nrows, ncols=ncols, figsize=figsize or _size_for(len(indices), nrows, ncols))
        axes = draw_samples(axes, samples, map(self.title, indices), **kwargs)
        if self._continued is not None:
            for values, style in ((self.targs, "--"), (self.decoded, ":")):
                for ax, value in zip(axes, values[indices], strict=True):
                    self._continued.wrap(value).show(ctx=ax, linestyle=style)
        return axes

    @cached_property
    def _continued(self) -> Any:
        "The kind of the targets where they are drawn on the axes of what they continue, such as forecasts; else None."
        kinds, n = getattr(self.dl, "kinds", None), getattr(self.dl, "n_inp", None)
        kind = kinds[n] if isinstance(kinds, tuple) and n is not None and n < len(kinds) else None
        return kind if getattr(getattr(kind, "cls", None), "continues_input", False) else None

    def _table(self, indices, samples):
        "The rows of `frame` for these items, their texts before them."
        found = self.frame().iloc[indices]
        texts = [column for column in zip(*samples, strict=True) if isinstance(column[0], str)]
        if texts and self._files is None and "path" in found:
            found = found.drop(columns="path")
        for i, column in enumerate(texts):
            words = [str(text).split(" ") for text in column]
            found.insert(i, "text" if len(texts) == 1 else f"text {i}",
                         [" ".join(w[:MOST_WORDS]) + " ..." * (len(w) > MOST_WORDS) for w in words])
        return getattr(self.dl, "frame_type", pd.DataFrame)(found)

    def decoded_inputs(self, indices: list[int]) -> list[tuple]:
        "The inputs of these items, decoded so that they can be shown."
        batch = batch_of(self.dl, indices)
        n_inp = len(split_batch(batch, getattr(self.dl, "n_inp", None))[0]) or 1
        return [sample[:n_inp] for sample in self.decode(batch, len(indices))]

    def decode(self, batch: Any, n: int) -> list[tuple]:
        "The `n` samples of a batch, decoded so that they can be shown; as they are where the loader cannot decode."
        if hasattr(self.dl, "decode_batch"):
            return [tuple(sample) for sample in self.dl.decode_batch(batch, max_n=n)]
        return [tuple(t[i].cpu() for t in leaves(batch) if isinstance(t, torch.Tensor)) for i in range(n)]


def _check_drawing(kwargs):
    reject_unknown(kwargs, ("nrows", "ncols", "figsize", *DRAWING), "show_items(...)")


def draw_samples(axes: list, samples: Iterable[tuple], titles: Iterable[str], **kwargs: Any) -> list:
    "Draw the images of each sample on axes of their own, below its title; returns the axes. kwargs: for the functions that draw."
    _check_drawing(kwargs)
    for ax, sample, title in zip(axes, samples, titles, strict=True):
        for image in filter(is_image, sample):
            show_item(image, ctx=ax, **kwargs)
        ax.set_title(title, fontsize=8, loc="left", parse_math=False)
    return axes


def _size_for(n, nrows, ncols):
    "A figure that leaves room for four lines above each image."
    ncols = ncols or math.ceil(n / (nrows or max(1, int(math.sqrt(n)))))
    return 2.9 * ncols, 3.5 * (nrows or math.ceil(n / ncols))


def is_image(x: Any) -> bool:
    "Whether `x` can be drawn as an image: a PIL image, or an array of two or more axes."
    return hasattr(x, "getbands") or getattr(x, "ndim", 0) >= 2


def _text(values, i, vocab):
    "The value `values[i]` in words: a class by its name, labels joined, numbers as they are."
    if isinstance(values, (tuple, list)):
        return ", ".join(_text(v, i, None) for v in values)
    v = values[i]
    if v.ndim > 1:
        if not v.is_floating_point() or v.numel() > MOST_NUMBERS:
            return describe(v)
        v = v.flatten()
    if v.ndim == 0:
        if not v.is_floating_point() and v.dtype != torch.bool and vocab is not None and 0 <= int(v) < len(vocab):
            return str(vocab[int(v)])
        return f"{v.item():.4g}" if v.is_floating_point() else str(v.item())
    if vocab is not None and len(v) == len(vocab) and bool(((v == 0) | (v == 1)).all()):
        return ";".join(str(name) for name, on in zip(vocab, v.tolist(), strict=True) if on) or "(none)"
    return ", ".join(f"{x:.4g}" for x in v.tolist()[:6]) + (", ..." if len(v) > 6 else "")
