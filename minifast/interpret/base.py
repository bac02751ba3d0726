"""`Interpretation`: predictions, targets and losses of one set of items, computed once, and ways to look at them."""
from pathlib import Path

import torch

from ..core.messages import describe, plural
from ..core.nested import leaves, split_batch
from ..data.dataloader import DataLoader
from ..data.rows import Rows
from ..learner.inference import loader_for

__all__ = ["Interpretation", "batch_of"]


def base_items(dataset):
    "The items of a dataset and the indices in use (None: all), through torch's `Subset`s; `(None, None)` where it has none."
    indices = None
    while isinstance(dataset, torch.utils.data.Subset):
        own = [int(i) for i in dataset.indices]
        indices = own if indices is None else [own[i] for i in indices]
        dataset = dataset.dataset
    items = getattr(dataset, "items", None)
    return (None, None) if items is None or callable(items) else (Rows(items), indices)


def batch_of(dl, indices):
    "A batch of the items `indices` of the dataset of `dl`, as validation sees them."
    if isinstance(dl, DataLoader):
        return dl.make_batch(indices)
    return dl.collate_fn([dl.dataset[i] for i in indices])


class Interpretation:
    """Predictions (`preds`, after the activation), `targs`, `decoded` and `losses` of the items of one loader, on the CPU.

    Make it with `from_learner`. Everything is computed there, once, in the order of the dataset; the methods only read it. Pictures are
    read again when they are drawn. """

    def __init__(self, learn, dl, preds, targs, decoded, losses):
        self.learn, self.dl, self.preds, self.targs, self.decoded, self.losses = learn, dl, preds, targs, decoded, losses
        self.vocab = _target_vocab(learn.dls.vocab)

    @classmethod
    def from_learner(cls, learn, ds_idx=1, dl=None, act=None):
        """Predict on loader `ds_idx` of the learner (1: validation), or on `dl`, once. Training items are seen without augmentation. act:
        instead of the activation of the loss."""
        dl = loader_for(learn, ds_idx, dl)
        preds, targs, decoded, losses = learn.get_preds(dl=dl, with_decoded=True, with_loss=True, act=act, reorder=False)
        if targs is None:
            raise ValueError(f"{cls.__name__} needs items with targets; these have none. Give dl=dls.test_dl(items, with_labels=True)")
        return cls(learn, dl, preds, targs, decoded, losses)

    def __len__(self):
        return len(self.losses)

    def __repr__(self):
        return f"{type(self).__name__}: {plural(len(self), 'item')}, mean loss {float(self.losses.mean()):.4g}"

    # -- the items --------------------------------------------------------------------------------------------------------------
    @property
    def items(self):
        "The items (files, rows), in the order of the predictions; their numbers where the dataset has no items."
        rows, indices = base_items(getattr(self.dl, "dataset", None))
        if rows is None:
            return list(range(len(self)))
        return [rows[i] for i in (range(len(rows)) if indices is None else indices)]

    def path(self, i):
        "The file of item `i`, or its number."
        item = self._item(i)
        return item if isinstance(item, (str, Path)) else i

    def _item(self, i):
        rows, indices = base_items(getattr(self.dl, "dataset", None))
        return i if rows is None else rows[i if indices is None else indices[i]]

    def name(self, i):
        "What to call item `i`: the name of its file, or its number."
        found = self.path(i)
        return Path(found).name if isinstance(found, (str, Path)) else f"item {i}"

    # -- the worst and the best -------------------------------------------------------------------------------------------------
    def top_losses(self, k=None, largest=True, items=False):
        "The `k` largest (largest=False: smallest) losses and the numbers of their items, as two tensors; with `items`, the items too."
        k = len(self) if k is None else min(k, len(self))
        values, indices = self.losses.topk(k, largest=largest)
        return (values, indices, [self._item(i) for i in indices.tolist()]) if items else (values, indices)

    def frame(self):
        "A DataFrame with a row per item: path, target, prediction, loss."
        import pandas as pd
        return pd.DataFrame({"path": [self.path(i) for i in range(len(self))], "target": [self.target_text(i) for i in range(len(self))],
                             "prediction": [self.prediction_text(i) for i in range(len(self))], "loss": self.losses.tolist()})

    def per_group(self, groups, score=None):
        """A DataFrame with a row per group of items: how many, the mean loss, and the mean of `score`, worst loss first.

        groups: one value per item, or a function of the item. score: one number per item, or None.
        """
        import pandas as pd
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

    score_name = "score"

    def _score(self):
        "One number per item, or None."
        return

    # -- words and pictures -----------------------------------------------------------------------------------------------------
    def target_text(self, i):
        return _text(self.targs, i, self.vocab)

    def prediction_text(self, i):
        return _text(self.decoded, i, self.vocab)

    def title(self, i):
        "The lines above the picture of item `i`."
        return f"{self.name(i)}\ntarget {self.target_text(i)}\npredicted {self.prediction_text(i)}\nloss {float(self.losses[i]):.3g}"

    def plot_top_losses(self, k=9, largest=True, nrows=None, ncols=None, figsize=None):
        "Draw the items with the largest losses, each with its file, target, prediction and loss; returns the axes."
        return self.show_items(self.top_losses(k, largest)[1].tolist(), nrows, ncols, figsize)

    def show_results(self, idxs, nrows=None, ncols=None, figsize=None):
        "Draw these items with target and prediction; returns the axes."
        return self.show_items([int(i) for i in idxs], nrows, ncols, figsize)

    def show_items(self, indices, nrows=None, ncols=None, figsize=None):
        "Draw the items `indices` with their titles; where they are no pictures, return a DataFrame of them."
        if not indices:
            raise ValueError("there is nothing to show: no item was chosen")
        samples = self._decoded_inputs(indices)
        if not any(_is_picture(x) for x in samples[0]):
            return self.frame().iloc[indices]
        from ..core.plots import get_grid, show_item
        size = figsize or _size_for(len(indices), nrows, ncols)
        axes = get_grid(len(indices), nrows=nrows, ncols=ncols, figsize=size)
        for ax, i, sample in zip(axes, indices, samples, strict=True):
            for x in sample:
                if _is_picture(x):
                    show_item(x, ctx=ax)
            ax.set_title(self.title(i), fontsize=8, loc="left")
        return axes

    def _decoded_inputs(self, indices):
        "The inputs of these items, as they can be shown: a list of tuples."
        found = []
        for start in range(0, len(indices), 16):
            part = indices[start:start + 16]
            batch = batch_of(self.dl, part)
            n_inp = len(split_batch(batch, getattr(self.dl, "n_inp", None))[0]) or 1
            if hasattr(self.dl, "decode_batch"):
                found += [tuple(s[:n_inp]) for s in self.dl.decode_batch(batch, max_n=len(part))]
            else:
                tensors = [t for t in leaves(batch) if isinstance(t, torch.Tensor)][:n_inp]
                found += [tuple(t[i].cpu() for t in tensors) for i in range(len(part))]
        return found


def _size_for(n, nrows, ncols):
    "A figure that leaves room for four lines above each picture."
    import math
    if ncols is None:
        ncols = math.ceil(n / nrows) if nrows else math.ceil(n / max(1, int(math.sqrt(n))))
    rows = nrows or math.ceil(n / ncols)
    return 2.9 * ncols, 3.5 * rows


def _is_picture(x):
    return hasattr(x, "getbands") or getattr(x, "ndim", 0) >= 2


def _target_vocab(vocab):
    "The names of the target's classes; of several vocabularies the last."
    if isinstance(vocab, (list, tuple)) and vocab and isinstance(vocab[0], (list, tuple)):
        return list(vocab[-1])
    return None if vocab is None else list(vocab)


def _text(values, i, vocab):
    "The value `values[i]` in words: a class by its name, labels joined, numbers as they are."
    if isinstance(values, (tuple, list)):
        return ", ".join(_text(v, i, None) for v in values)
    v = values[i]
    if v.ndim > 1:
        return describe(v)
    if v.ndim == 0:
        if not v.is_floating_point() and v.dtype != torch.bool and vocab is not None and 0 <= int(v) < len(vocab):
            return str(vocab[int(v)])
        return f"{v.item():.4g}" if v.is_floating_point() else str(v.item())
    if vocab is not None and len(v) == len(vocab) and bool(((v == 0) | (v == 1)).all()):
        return ";".join(str(name) for name, on in zip(vocab, v.tolist(), strict=True) if on) or "(none)"
    return ", ".join(f"{x:.4g}" for x in v.tolist()[:6]) + (", ..." if len(v) > 6 else "")
