"""`PredictionDynamics`: how predictions for the same few items change while the model learns; batches to look at again and again."""
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..core import Figure, PathLike, check_arguments, describe, fixed_seed, get_grid, is_whole, item_rng, leaves, map_nested, to_cpu
from ..core.paths import Path
from ..core.ranks import alone, is_main
from .base import Learner, Order
from .training_run import RunCallback, check_folder

LARGE = 4096       # numbers per item: predictions above this (a mask per class) are kept decoded


# -- batches and figures of them ---------------------------------------------------------------------------------------------------
class BatchSource:
    """Draw random batches from a loader, with the transforms of validation.

    The choice depends only on `seed` and on how often was drawn; the random streams of training stay untouched. A loader whose items
    cannot be picked by index gives its first batch.

    Args:
        loader: a loader of minifast or of torch.
        n: number of items; None: as many as in a batch of the loader.
        seed: which items.
    """

    def __init__(self, loader: Any, n: int | None = None, seed: int = 42):
        self.loader, self.n, self.seed, self._drawn = loader, n, seed, itertools.count()
        if hasattr(loader, "one_batch") and hasattr(loader, "new"):
            size = {} if n is None else {"bs": min(n, len(loader.dataset))}
            self.loader = loader.new(shuffle=True, seed=seed, num_workers=0, drop_last=False, split_idx=1, **size)

    def draw(self) -> Any:
        "The next batch."
        loader = self.loader
        if hasattr(loader, "one_batch"):
            return loader.one_batch()
        with fixed_seed():
            dataset = getattr(loader, "dataset", None)
            if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__") and getattr(loader, "batch_size", None)):
                return next(iter(loader))
            n = min(self.n or loader.batch_size, len(dataset))
            chosen = item_rng(self.seed, next(self._drawn)).choice(len(dataset), n, replace=False)
            return loader.collate_fn([dataset[int(i)] for i in chosen])


class FixedBatch:
    "A loader of one batch, always the same; each pass gets a copy of it, because a model may work in place."

    def __init__(self, batch: Any, loader: Any):
        self.batch, self.n_inp = batch, getattr(loader, "n_inp", None)
        if hasattr(loader, "decode_batch"):
            self.decode_batch = loader.decode_batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator:
        yield self.one_batch()

    def one_batch(self) -> Any:
        "A copy of the batch."
        return map_nested(lambda o: o.clone() if isinstance(o, torch.Tensor) else o, self.batch)

    @property
    def shows_images(self) -> bool:
        "Whether its items can be drawn: decoded, they contain an image or something else with two axes or more."
        has_targets = isinstance(self.batch, (tuple, list)) and len(self.batch) > 1
        return has_targets and hasattr(self, "decode_batch") and any(
            hasattr(o, "getbands") or getattr(o, "ndim", 0) >= 2 for o in leaves(self.decode_batch(self.one_batch(), max_n=1)[0]))


def fixed_batch(learn: "Learner", dl: Any = None, n: int = 9, seed: int = 42) -> FixedBatch:
    "A `FixedBatch` of `n` items of `dl` (None: the learner's validation data; without any, its training data)."
    source = BatchSource(learn.dls[1 if len(learn.dls) > 1 else 0] if dl is None else dl, n, seed)
    return FixedBatch(source.draw(), source.loader)


@contextmanager
def prediction_figure(learn: "Learner", batch: FixedBatch, n: int = 9) -> "Iterator[Figure | None]":
    "Within the block, a matplotlib figure of a `FixedBatch` with targets and predictions; None if its items cannot be drawn."
    if not batch.shows_images:
        yield None
        return
    import matplotlib.pyplot as plt
    with fixed_seed(), alone():
        learn.show_results(dl=batch, max_n=n, shuffle=False)
    figure = plt.gcf()
    try:
        yield figure
    finally:
        plt.close(figure)


# -- the callback ------------------------------------------------------------------------------------------------------------------
class PredictionDynamics(RunCallback):
    """After every `every` epochs predict a fixed batch of `n` validation items: draw them into `folder`, and keep the predictions.

    Images become `epoch_000.png` ..., other data lines of `predictions.jsonl`; each training has a folder of its own. `plot()` shows how
    the predictions changed. Training is not disturbed: random streams and the state of the loop stay as they are. Source: A. Karpathy,
    "A Recipe for Training Neural Networks", 2019.

    Args:
        n: number of items.
        every: epochs between two predictions.
        path: where the folders go, under `learn.path`.
        dl: another loader to take the items from.
        seed: which items.

    Attributes:
        history: predictions by epoch (counted over both phases of `fine_tune`), tensors (n, ...) after the activation of the loss; those
            of more than 4096 numbers per item (masks) are kept decoded.
        targets: the true ones.
    """

    only_watches = True
    order = Order.RECORD + 3
    targets: Any = None
    batch: FixedBatch | None = None
    saved = ("n_seen",)

    def __init__(self, n: int = 9, every: int = 1, path: PathLike = "dynamics", dl: Any = None, seed: int = 42):
        check_arguments("PredictionDynamics", n=(n, is_whole(n), "a whole number from 1 up"),
                        every=(every, is_whole(every), "a whole number from 1 up"))
        self.n, self.every, self.path, self.source, self.seed = n, every, Path(path).expanduser(), dl, seed
        self.history: dict[int, Any] = {}
        self.folder: Path | None = None
        self.n_seen = 0

    def start_fit(self, is_new: bool) -> None:
        if is_new:
            self.history, self.targets, self.n_seen, self.batch = {}, None, self.learn.start_epoch, None
            self.folder = self.learn.path / self.path / self.training_run.folder_name
        check_folder(self.folder, "PredictionDynamics")
        self.batch = self.batch or fixed_batch(self.learn, self.source, self.n, self.seed)

    def after_epoch(self) -> None:
        epoch, self.n_seen = self.n_seen, self.n_seen + 1
        if epoch % self.every:
            return
        with fixed_seed(), alone():
            preds, targets, decoded = self.learn.get_preds(dl=self.batch, reorder=False, with_decoded=True)
        self.targets = to_cpu(targets)
        large = isinstance(preds, torch.Tensor) and preds.numel() > LARGE * len(preds)
        self.history[epoch] = to_cpu(decoded if large else preds)
        with prediction_figure(self.learn, self.batch, self.n) as figure:
            if not is_main():
                return
            if figure is None:
                self._write_values(epoch, self.history[epoch])
            else:
                figure.savefig(self.folder / f"epoch_{epoch:03d}.png")

    def _write_values(self, epoch: int, preds: Any) -> None:
        parts = preds if isinstance(preds, (tuple, list)) else [preds]
        values = [p.tolist() for p in parts if isinstance(p, torch.Tensor)]
        text = json.dumps(values[0] if len(values) == 1 else values)
        # numbers to six digits; NaN and infinite ones, which JSON lacks, as text
        rounded = json.loads(text, parse_float=lambda digits: float(f"{float(digits):.6g}"), parse_constant=lambda name: repr(float(name)))
        with (self.folder / "predictions.jsonl").open("a", encoding="utf-8") as f:
            f.write(json.dumps({"epoch": epoch, "predictions": rounded}) + "\n")

    def plot(self, figsize: tuple[float, float] | None = None) -> Any:
        """Draw the predictions for each item over the epochs.

        A line per class, the true one thick; or one line, with the target dashed.

        Args:
            figsize: width and height in inches.

        Returns:
            The axes.
        """
        if not self.history:
            raise ValueError("there is nothing to plot yet: train with this callback first, `learn.fit(3, cbs=dynamics)`")
        epochs, preds = list(self.history), list(self.history.values())
        if not isinstance(preds[0], torch.Tensor) or preds[0].ndim > 2:
            raise ValueError(f"plot() draws numbers per item, and these predictions are {describe(preds[0])}: look at the images in "
                             f"{self.folder}")
        values = torch.stack([p.reshape(len(p), -1).float() for p in preds])              # (epochs, items, numbers)
        several = values.shape[2] > 1
        axes = get_grid(values.shape[1], figsize=figsize, imsize=2.5)
        for i, ax in enumerate(axes):
            target = self.targets[i] if isinstance(self.targets, torch.Tensor) and self.targets[i].numel() == 1 else None
            for k in range(values.shape[2]):
                true = several and target is not None and target.ndim == 0 and not target.is_floating_point() and int(target) == k
                ax.plot(epochs, values[:, i, k], ".-", linewidth=3 if true else 1, color="green" if true else None)
            if target is not None and not several:
                ax.axhline(float(target), linestyle="--", color="0.5")
            ax.set(title=f"item {i}" if target is None else f"item {i}, target {target.item():.4g}", xlabel="epoch")
        return axes
