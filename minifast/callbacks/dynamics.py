"""`PredictionDynamics`: how the predictions on the same few items move while the model learns."""
import json
from pathlib import Path

import torch

from ..core.messages import describe
from ..core.nested import to_cpu
from ..core.seeds import fixed_seed
from .base import Order
from .fixed_batch import fixed_batch, prediction_figure
from .training_run import RunCallback, check_folder

LARGE = 4096       # numbers per item: predictions above this (a mask per class) are kept decoded


class PredictionDynamics(RunCallback):
    """After every `every` epochs predict on a fixed batch of `n` validation items: draw them into `folder`, and keep the predictions.

    path: under `learn.path`; each training gets a folder of its own in it. Pictures become `epoch_000.png` ..., other data lines of
    `predictions.jsonl`. dl: another loader to take the items from. seed: which items. `history` maps the epoch (counted over both
    phases of `fine_tune`) to the predictions, a tensor (n, ...) after the activation that belongs to the loss; predictions of more than
    4096 numbers per item (masks) are kept decoded. `targets` are the true ones. `plot()` shows how they moved. Training does not notice:
    random streams and the state of the loop stay as they are. Source: A. Karpathy, "A Recipe for Training Neural Networks", 2019.
    """

    order = Order.RECORD + 3

    def __init__(self, n=9, every=1, path="dynamics", dl=None, seed=42):
        for name, value in (("n", n), ("every", every)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"PredictionDynamics({name}={value!r}): a whole number from 1 up")
        self.n, self.every, self.path, self.source, self.seed = n, every, Path(path), dl, seed
        self.history, self.targets, self.folder, self.batch, self.n_seen = {}, None, None, None, 0

    def begin_fit(self, is_new):
        if is_new:
            self.history, self.targets, self.n_seen = {}, None, self.learn.start_epoch
            self.folder = self.learn.path / self.path / self.training_run.folder_name
            self.batch = None
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
        figure = prediction_figure(self.learn, self.batch, self.n)
        if figure is None:
            self._write_values(epoch, self.history[epoch])
            return
        import matplotlib.pyplot as plt
        try:
            figure.savefig(self.folder / f"epoch_{epoch:03d}.png")
        finally:
            plt.close(figure)

    def state_dict(self) -> dict:
        "How many epochs were done, for a training that goes on in another process."
        return {"n_seen": self.n_seen}

    def load_state_dict(self, state: dict) -> None:
        self.n_seen = state["n_seen"]

    def _write_values(self, epoch, preds):
        parts = preds if isinstance(preds, (tuple, list)) else [preds]
        values = [_short(p.tolist()) for p in parts if isinstance(p, torch.Tensor)]
        with (self.folder / "predictions.jsonl").open("a", encoding="utf-8") as f:
            f.write(json.dumps({"epoch": epoch, "predictions": values[0] if len(values) == 1 else values}) + "\n")

    def plot(self, figsize=None):
        """Draw, for each item, its prediction over the epochs: a line per class, the true one thick, or one line with the target dashed;
        returns the axes."""
        from ..core.plots import get_grid
        if not self.history:
            raise ValueError("there is nothing to plot yet: train with this callback first, `learn.fit(3, cbs=dynamics)`")
        epochs, preds = list(self.history), list(self.history.values())
        if not isinstance(preds[0], torch.Tensor) or preds[0].ndim > 2:
            raise ValueError(f"plot() draws numbers per item, and these predictions are {describe(preds[0])}: look at the pictures in "
                             f"{self.folder}")
        moved = torch.stack([p.reshape(len(p), -1).float() for p in preds])              # (epochs, items, values)
        axes = get_grid(moved.shape[1], figsize=figsize, imsize=2.5)
        for i, ax in enumerate(axes):
            target = self.targets[i] if isinstance(self.targets, torch.Tensor) else None
            wide = moved.shape[2] > 1
            for k in range(moved.shape[2]):
                true = wide and target is not None and target.ndim == 0 and not target.is_floating_point() and int(target) == k
                ax.plot(epochs, moved[:, i, k], ".-", linewidth=3 if true else 1, color="green" if true else None)
            if target is not None and not wide and target.numel() == 1:
                ax.axhline(float(target), linestyle="--", color="0.5")
            label = "" if target is None or target.numel() != 1 else f", target {target.item():.4g}"
            ax.set(title=f"item {i}{label}", xlabel="epoch")
        return axes


def _short(value):
    if isinstance(value, list):
        return [_short(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if value - value == 0 else repr(value)          # JSON has no NaN
    return value
