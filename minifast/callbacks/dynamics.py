"""`PredictionDynamics`: how the predictions for the same few items change while the model learns."""
import json
from pathlib import Path
from typing import Any

import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe
from ..core.nested import to_cpu
from ..core.seeds import fixed_seed
from ..core.types import PathLike
from .base import Order
from .fixed_batch import FixedBatch, fixed_batch, prediction_figure
from .training_run import RunCallback, check_folder

LARGE = 4096       # numbers per item: predictions above this (a mask per class) are kept decoded


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

    order = Order.RECORD + 3

    def __init__(self, n: int = 9, every: int = 1, path: PathLike = "dynamics", dl: Any = None, seed: int = 42):
        check_arguments("PredictionDynamics", n=(n, is_whole(n), "a whole number from 1 up"),
                        every=(every, is_whole(every), "a whole number from 1 up"))
        self.n, self.every, self.path, self.source, self.seed = n, every, Path(path), dl, seed
        self.history: dict[int, Any] = {}
        self.targets: Any = None
        self.folder: Path | None = None
        self.batch: FixedBatch | None = None
        self.n_seen = 0

    def begin_fit(self, is_new: bool) -> None:
        if is_new:
            self.history, self.targets, self.n_seen, self.batch = {}, None, self.learn.start_epoch, None
            self.folder = self.learn.path / self.path / self.training_run.folder_name
        check_folder(self.folder, "PredictionDynamics")
        self.batch = self.batch or fixed_batch(self.learn, self.source, self.n, self.seed)

    def after_epoch(self) -> None:
        epoch, self.n_seen = self.n_seen, self.n_seen + 1
        if epoch % self.every:
            return
        with fixed_seed():
            preds, targets, decoded = self.learn.get_preds(dl=self.batch, reorder=False, with_decoded=True)
        self.targets = to_cpu(targets)
        large = isinstance(preds, torch.Tensor) and preds.numel() > LARGE * len(preds)
        self.history[epoch] = to_cpu(decoded if large else preds)
        with prediction_figure(self.learn, self.batch, self.n) as figure:
            if figure is None:
                self._write_values(epoch, self.history[epoch])
            else:
                figure.savefig(self.folder / f"epoch_{epoch:03d}.png")

    def state_dict(self) -> dict:
        "How many epochs were done, for a training that continues in another process."
        return {"n_seen": self.n_seen}

    def load_state_dict(self, state: dict) -> None:
        self.n_seen = state["n_seen"]

    def _write_values(self, epoch: int, preds: Any) -> None:
        parts = preds if isinstance(preds, (tuple, list)) else [preds]
        values = [_rounded(p.tolist()) for p in parts if isinstance(p, torch.Tensor)]
        with (self.folder / "predictions.jsonl").open("a", encoding="utf-8") as f:
            f.write(json.dumps({"epoch": epoch, "predictions": values[0] if len(values) == 1 else values}) + "\n")

    def plot(self, figsize: tuple[float, float] | None = None) -> Any:
        """Draw the predictions for each item over the epochs.

        A line per class, the true one thick; or one line, with the target dashed.

        Args:
            figsize: width and height in inches.

        Returns:
            The axes.
        """
        from ..core.plots import get_grid
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
            target = self.targets[i] if isinstance(self.targets, torch.Tensor) else None
            for k in range(values.shape[2]):
                true = several and target is not None and target.ndim == 0 and not target.is_floating_point() and int(target) == k
                ax.plot(epochs, values[:, i, k], ".-", linewidth=3 if true else 1, color="green" if true else None)
            if target is not None and not several and target.numel() == 1:
                ax.axhline(float(target), linestyle="--", color="0.5")
            label = "" if target is None or target.numel() != 1 else f", target {target.item():.4g}"
            ax.set(title=f"item {i}{label}", xlabel="epoch")
        return axes


def _rounded(value: Any) -> Any:
    "Numbers of a nested list to six digits; NaN and infinite ones, which JSON lacks, as text."
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if value - value == 0 else repr(value)
    return value
