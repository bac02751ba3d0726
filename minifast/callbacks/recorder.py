"""`Recorder`: losses, metrics and learning rates of every fit, kept for good."""
import math
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any
from warnings import warn

import torch

from ..core import Axes, DataFrame, find_bs, get_grid, ranks, subplots
from ..metrics.base import AvgLoss, ValueMetric
from .base import Callback, CancelException, Order
from .lr_finder import LRFindResult
from .overfitting import Overfit, overfitting

FLUSH_EVERY = 256      # per-batch losses wait on the device in a list this long before they are stacked into one tensor


class Series:
    """Numbers that stay on the device, where they were computed, until they are read.

    Attributes:
        pending: the latest ones (floats or 0-d tensors), to which others are appended; not yet stacked by `flush`.
    """

    def __init__(self, numbers: Sequence[float] = ()):
        self.pending, self._blocks, self._read = [], [], list(numbers)

    def flush(self) -> torch.Tensor | None:
        "Stack the pending numbers; returns the tensor they became, or None if there were none."
        if not self.pending:
            return None
        numbers = isinstance(self.pending[0], float)
        self._blocks.append(torch.tensor(self.pending, dtype=torch.float64) if numbers else torch.stack(self.pending))
        self.pending.clear()
        return self._blocks[-1]

    @property
    def numbers(self) -> list[float]:
        "All of them."
        self.flush()
        if self._blocks:
            self._read += torch.cat(self._blocks).cpu().double().tolist()
            self._blocks = []
        return self._read


class FitRecord(Series):
    """What one fit recorded: a series of `losses`, one of each training batch, and more.

    Attributes:
        lrs: learning rate of the last layer group at each training batch.
        iters: number of training batches done at the end of each epoch.
        values: `[train_loss, valid_loss, *metrics]` of each epoch.
        hps: scheduled hyper-parameters of the last layer group by name, a value per training batch.
        call: the method that trained and its arguments; None where the loop was run in another way.
        started: when, in local time, `YYYY-MM-DD HH:MM:SS`.
    """

    losses = Series.numbers

    def __init__(self, beta: float = 0.98, call: Any = None):
        super().__init__()
        self.call, self.started = call, time.strftime("%Y-%m-%d %H:%M:%S")
        self.beta, self.lrs, self.iters, self.values, self.hps, self._smooth, self._moving = beta, [], [], [], {}, [], 0.0

    @property
    def smooth(self) -> list[float]:
        "The debiased moving average of the losses."
        for t in range(len(self._smooth), len(self.losses)):
            self._moving = self.beta * self._moving + (1 - self.beta) * self.losses[t]
            self._smooth.append(self._moving / (1 - self.beta ** (t + 1)))
        return self._smooth

    def state_dict(self) -> dict:
        "All of it as lists of numbers."
        return {"losses": self.losses, "lrs": self.lrs, "iters": self.iters, "values": self.values, "hps": self.hps}

    def load_state_dict(self, state: dict) -> None:
        "Continue from `state_dict`."
        super().__init__(state["losses"])
        self.lrs, self.iters, self.values, self.hps = state["lrs"], state["iters"], state["values"], state["hps"]
        self._smooth, self._moving = [], 0.0


class NonFiniteLoss(FloatingPointError):
    """Training has produced a loss that is NaN or infinite.

    Attributes:
        items: names of the items of that batch; None if the loader does not know them.
        culprits: names of the items at fault, as far as that can be told.
    """

    items: list[str] | None = None
    culprits: Sequence[str] = ()


class Recorder(Callback):
    """Record every batch's loss and every epoch's metrics, without waiting for the device in the loop.

    The `train_loss` column is the mean over the items of the epoch, not the smoothed curve. `history` only grows: `validate`,
    `get_preds` and `lr_find` never touch it.

    Args:
        add_time: whether the epoch table has a column with the time of each epoch.
        train_metrics, valid_metrics: whether metrics are computed in training and in validation.
        beta: smoothing of the loss curve, a debiased exponential moving average.

    Attributes:
        fits: a `FitRecord` per fit.
        history: a dict per epoch of every fit.
        log: the latest row of the epoch table.
        valid_values: `[valid_loss, *metrics]` of the latest validation pass.
        lr_find: the latest learning-rate range test.
    """

    only_watches = True
    order = Order.RECORD
    elsewhere = {
        "plot": "write recorder.plot_lr_find() for the range test, plot_loss(), plot_sched() or plot_metrics()",
        "plot_losses": "write recorder.plot_loss()",
        "plot_lr": "write recorder.plot_sched()",
        "val_losses": "write recorder.frame()['valid_loss']",
        "names": "write recorder.metric_names",
        "nb_batches": "write recorder.iters",
        "min_grad_lr": "learn.lr_find(suggest_funcs=steep) returns it",
        "cancel_train": "write a callback with a method after_cancel_train",
        "cancel_valid": "write a callback with a method after_cancel_validate",
    }

    def __init__(self, add_time: bool = True, train_metrics: bool = False, valid_metrics: bool = True, beta: float = 0.98):
        self.add_time, self.train_metrics, self.valid_metrics, self.beta = add_time, train_metrics, valid_metrics, beta
        self.fits, self.history, self.log = [], [], []
        self._given_up: set[str] = set()            # columns that failed in this fit
        self._measured: list = []                   # the metrics of the latest fit, for when the learner is gone
        self.lr_find: LRFindResult | None = None
        self._clear_epoch()

    # -- what was recorded ------------------------------------------------------------------------------------------------------
    @property
    def last(self) -> FitRecord:
        "The record of the latest fit."
        return self.fits[-1] if self.fits else FitRecord()

    def add_lr_find(self, result: LRFindResult) -> None:
        "Keep a range test: before the first fit, `lrs` and `losses` are its."
        self.lr_find = result

    @property
    def losses(self) -> list[float]:
        "Smoothed training loss after each batch of the latest fit; before the first one, of the range test (`lr_find`)."
        return self.lr_find.losses if self.lr_find is not None and not self.fits else self.last.smooth

    @property
    def raw_losses(self) -> list[float]:
        "Training loss of each batch of the latest fit."
        return self.last.losses

    @property
    def values(self) -> list[list]:
        "`[train_loss, valid_loss, *metrics]` for each epoch of the latest fit."
        return self.last.values

    @property
    def lrs(self) -> list[float]:
        "Learning rate of the last layer group at each batch of the latest fit; before the first one, of the range test."
        return self.lr_find.lrs if self.lr_find is not None and not self.fits else self.last.lrs

    @property
    def iters(self) -> list[int]:
        "Number of training batches done at the end of each epoch of the latest fit."
        return self.last.iters

    @property
    def hps(self) -> dict[str, list]:
        "Scheduled hyper-parameters of the latest fit, batch by batch."
        return self.last.hps

    @property
    def smooth_loss(self) -> float | None:         # type: ignore[override]  # here the learner reads what other callbacks read from it
        "The latest point of the smoothed loss curve, or None before the first batch."
        return next(reversed(self.last.smooth), None)

    @property
    def metric_names(self) -> list[str]:
        "Column names of the epoch table."
        names = [m.name for m in self._metrics()]
        train = [f"train_{n}" for n in names] if self.train_metrics else []
        valid = ([f"valid_{n}" for n in names] if self.train_metrics else names) if self.valid_metrics else []
        return ["epoch", "train_loss", *train, "valid_loss", *valid] + (["time"] if self.add_time else [])

    def _metrics(self):
        return self._measured if self.learn is None else self.learn.metrics

    def frame(self) -> "DataFrame":
        "The whole history as a DataFrame: one row per epoch of every fit."
        import pandas as pd
        return pd.DataFrame(self.history)

    def overfitting(self) -> Overfit | None:
        """`Overfit` (the best epoch, and the losses then and now) if in the latest fit the validation loss rose beyond noise while the
        training loss fell; None if it did not, or if this cannot be told."""
        rows = [r for r in self.history if r["fit"] == len(self.fits) - 1]
        found = overfitting([r.get("train_loss") for r in rows], [r.get("valid_loss") for r in rows])
        if found is None:
            return None
        then, now, better = rows[found.best], rows[-1], None
        for metric in self._metrics():
            a, b = (r.get(metric.name, r.get(f"valid_{metric.name}")) for r in (then, now))
            if None not in (a, b, metric.lower_is_better) and (b < a if metric.lower_is_better else b > a):
                better = better or (metric.name, a, b)
        return found._replace(best=then["epoch"], better=better)

    # -- events -----------------------------------------------------------------------------------------------------------------
    def before_fit(self) -> None:
        self.fits.append(FitRecord(self.beta, self.learn.call))
        self._measured = self.learn.metrics
        self._given_up.clear()

    def before_epoch(self) -> None:
        self._clear_epoch()
        self._epoch_start = time.perf_counter()

    def before_train(self) -> None:
        self._group, self._lrs, self._pending = self.learn.opt.param_groups[-1], self.last.lrs, self.last.pending
        self._counted = self._restarted(self.train_metrics)

    def before_validate(self) -> None:
        self._valid_loss, self._valid = AvgLoss(), self._restarted(self.valid_metrics)

    def metrics_in_progress(self) -> list[Any]:
        "The metrics of the validation pass under way, its loss first."
        return [self._valid_loss, *self._valid]

    def _restarted(self, wanted: bool) -> list:
        "The metrics of one half of an epoch, ready to count; none where they are not wanted."
        metrics = list(self.learn.metrics) if wanted else []
        for metric in metrics:
            metric.reset()
        return metrics

    def after_batch(self) -> None:
        state = vars(self.learn)                   # read directly, as the loop does: this runs at every step
        loss = state["loss"]
        if not state["training"]:
            if state["pred"] is None:              # the batch was cancelled before its predictions
                return
            if loss is not None:
                self._valid_loss.accumulate(self.learn)
            elif not state["yb"]:
                self._valid = self._without_targets()
            self._count(self._valid)
            return
        if loss is None:                           # the batch was cancelled before its loss
            return
        own = vars(self)
        pending = own["_pending"]
        pending.append(loss.item() if loss.is_cpu else loss.detach())     # on the CPU there is nothing to wait for
        share = state.get("share")
        own["_sizes"].append(share.total if share is not None else _batch_size(state["yb"]) or _batch_size((state["xb"], state["kw"])))
        own["_lrs"].append(own["_group"]["lr"])
        if own["_counted"]:
            self._count(own["_counted"])
        if len(pending) >= FLUSH_EVERY and not torch.isfinite(self.last.flush()[-1]):     # the one wait for the device, every 256 batches
            self._refuse_non_finite()

    def after_train(self) -> None:
        self._train_values = self._values(self._counted)
        losses = self._epoch_losses()
        if losses and not math.isfinite(losses[-1]):
            self._refuse_non_finite()

    def after_validate(self) -> None:
        if self._valid_loss is not None:                            # None where validation was cancelled before it began
            self.valid_values = [self._valid_loss.value, *self._values(self._valid)]

    def after_epoch(self) -> None:
        record = self.last
        record.iters.append(len(record.lrs))
        row = self._row()
        self.log = [self.learn.epoch, *(ranks.shared(row) if ranks.initialized() else row)]        # so that all decide alike
        record.values.append(self.log[1:])
        if self.add_time:
            self.log.append(_clock(time.perf_counter() - self._epoch_start))
        self.history.append({"fit": len(self.fits) - 1, **dict(zip(self.metric_names, self.log, strict=True))})
        self.learn.logger(self.log)

    # -- resuming ---------------------------------------------------------------------------------------------------------------
    def state_of_fit(self) -> dict:
        "What was recorded, of the latest fit also batch by batch: plain values, from which `resume_fit` and `resume_epoch` continue."
        return {"history": self.history, "record": self.last.state_dict(), "sizes": self._sizes, "first": self._first}

    def resume_fit(self, state: dict) -> None:
        """Have what was recorded before the epoch that begins.

        Args:
            state: from `state_of_fit`, taken in that epoch.
        """
        self.history[:] = state["history"]
        self.last.load_state_dict(state["record"])

    def resume_epoch(self, state: dict) -> None:
        """Have what was recorded in the epoch that has begun.

        Args:
            state: from `state_of_fit`, taken in that epoch.
        """
        self._sizes, self._first = state["sizes"], state["first"]

    # -- the work ---------------------------------------------------------------------------------------------------------------
    def _without_targets(self) -> list:
        "The metrics of a validation without targets: none. Outside a fit, where nothing is lost by it, an error."
        problem = ("validation needs targets, and the batches of this loader are inputs alone: give it pairs (input, target), for example "
                   "DataLoader(TensorDataset(x, y))")
        self._give_up("valid_loss", ValueError(problem), f"{problem}. There is no validation loss")
        return [ValueMetric(lambda: math.nan) for _ in self._valid]

    def _clear_epoch(self) -> None:
        self._sizes, self._train_values, self.valid_values, self._counted, self._valid, self._valid_loss = [], [], [], [], [], None
        self._first = len(self.last.lrs)

    def _count(self, metrics: list) -> None:
        for i, metric in enumerate(metrics):
            try:
                metric.accumulate(self.learn)
            except Exception as e:
                self._give_up(metric.name, e)
                metrics[i] = ValueMetric(lambda: math.nan)

    def _values(self, metrics: list) -> list:
        values: list = []
        for metric in metrics:
            try:
                values.append(metric.value)
            except Exception as e:
                self._give_up(metric.name, e)
                values.append(math.nan)
        return values

    def _give_up(self, column: str, error: Exception, warning: str = "") -> None:
        "No metric ends a fit: its value is nan, with one warning. Outside a fit the error is raised."
        if isinstance(error, CancelException) or not self.learn.running or self.learn.dry_run:
            raise error
        if column not in self._given_up:
            self._given_up.add(column)
            warn(warning or f"metric {column} failed in epoch {self.learn.epoch} and is nan there: {type(error).__name__}: {error}",
                 stacklevel=2)

    def _epoch_losses(self) -> list[float]:
        return self.last.losses[self._first:] if self._sizes else []

    def _row(self) -> list:
        losses, sizes = torch.tensor([self._epoch_losses(), self._sizes], dtype=torch.float64)
        train_loss, n = float(losses @ sizes / sizes.sum()) if self._sizes else None, len(self.learn.metrics)
        return [train_loss, *(self._train_values or [None] * (n * self.train_metrics)),
                *(self.valid_values or [None] * (1 + n * self.valid_metrics))]

    def _refuse_non_finite(self) -> None:
        losses = self._epoch_losses()
        bad = next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
        names = getattr(self.learn.dls.train, "names_of_batch", lambda number: None)(bad - len(losses)) or []
        items = f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
        raise NonFiniteLoss(f"the training loss became {losses[bad]} at batch {bad} of epoch {self.learn.epoch} and was still "
                            f"{losses[-1]} at batch {len(losses) - 1}, so the weights are lost: train again from fresh weights with a "
                            f"lower learning rate (lr was {self.last.lrs[-1]:.2g}; `learn.lr_find()` suggests one), or look for NaN or "
                            f"infinite values in the inputs and targets of that batch{items}. `TerminateOnNaNCallback()` "
                            "stops before the weights are lost")

    # -- plots ------------------------------------------------------------------------------------------------------------------
    def plot_loss(self, skip_start: int = 5, with_valid: bool = True, log: bool = False, show_epochs: bool = False,
                  ax: "Axes | None" = None) -> "Axes":
        """Plot the smoothed training loss and the validation loss over the batches of every fit so far.

        Args:
            skip_start: leave out the first batches.
            with_valid: also the validation loss, a point per epoch.
            log: logarithmic loss axis.
            show_epochs: mark the end of each epoch.
            ax: axes to draw on.

        Returns:
            The axes.
        """
        ax = subplots(figsize=(6, 4))[1][0] if ax is None else ax
        smooth = [v for fit in self.fits for v in fit.smooth]
        if not smooth:
            raise ValueError("nothing has been recorded yet: train first, `learn.fit(1)`")
        ax.plot(range(skip_start, len(smooth)), smooth[skip_start:], label="train (smoothed)")
        column = 1 + (len(self._metrics()) if self.train_metrics else 0)
        starts = accumulate((len(fit.losses) for fit in self.fits), initial=0)
        ends = [(start + i, v[column]) for start, fit in zip(starts, self.fits, strict=False)
                for i, v in zip(fit.iters, fit.values, strict=False)]
        shown = [(i, v) for i, v in ends if v is not None and i > skip_start]
        if with_valid and shown:
            ax.plot(*zip(*shown, strict=True), "o-", label="valid")
        for i, _ in ends if show_epochs else ():
            ax.axvline(i, color="0.85", zorder=0)
        ax.set(xlabel="training batch", ylabel="loss", yscale="log" if log else "linear")
        ax.legend()
        return ax

    def plot_sched(self, keys: str | list[str] | None = None, figsize: tuple[float, float] | None = None) -> Any:
        "Plot the scheduled hyper-parameters of the latest fit (of its last layer group), batch by batch; returns the axes."
        hps = self.hps or {"lr": self.last.lrs}
        if not any(map(len, hps.values())):
            raise ValueError("nothing has been recorded yet: train first, `learn.fit(1)`")
        keys = list(hps) if keys is None else [keys] if isinstance(keys, str) else list(keys)
        unknown = [k for k in keys if k not in hps]
        if unknown:
            raise KeyError(f"{', '.join(unknown)} was not scheduled in the latest fit; recorded: {', '.join(hps)}")
        axes = get_grid(len(keys), nrows=1, figsize=figsize or (5 * len(keys), 3.5))
        for key, ax in zip(keys, axes, strict=False):
            ax.axis("on")
            ax.plot(hps[key])
            ax.set(xlabel="training batch", ylabel=key)
        return axes

    def plot_metrics(self, nrows: int | None = None, ncols: int | None = None,
                     figsize: tuple[float, float] | None = None) -> "list[Axes]":
        """Plot the losses, and each metric, over the epochs of every fit so far.

        Args:
            nrows, ncols: the grid of plots (default: one row for up to 4).
            figsize: size of the figure in inches.

        Returns:
            The axes, that of the losses first.
        """
        if not self.history:
            raise ValueError("nothing has been recorded yet: train first, `learn.fit(1)`")
        from matplotlib.ticker import MaxNLocator
        names = [metric.name for metric in self._metrics()]
        plots = [("loss", ("train_loss", "valid_loss")), *((n, (n, f"train_{n}", f"valid_{n}")) for n in names)]
        axes = get_grid(len(plots), nrows or (1 if ncols is None and len(plots) <= 4 else None), ncols, figsize=figsize)
        for (title, columns), ax in zip(plots, axes, strict=False):
            ax.axis("on")
            for column in columns:
                shown = [(i, row[column]) for i, row in enumerate(self.history) if row.get(column) is not None]
                if shown:
                    ax.plot(*zip(*shown, strict=True), "o-" if len(shown) < 20 else "-", label=column)
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_ylabel(title, parse_math=False)
            for text in ax.legend().get_texts():
                text.set_parse_math(False)
        return axes

    def plot_lr_find(self, skip_end: int = 5) -> "Axes":
        "Plot the latest `lr_find` again; returns the axes."
        if self.lr_find is None:
            raise ValueError("there is no learning-rate range test to plot: call `learn.lr_find()` first")
        return self.lr_find.plot(skip_end)


def _batch_size(batch: tuple) -> int | None:
    "Number of items of targets or inputs; None if there are none."
    if batch and isinstance(batch[0], torch.Tensor) and batch[0].ndim:
        return batch[0].size(0)
    return find_bs(batch) if batch else None


def _clock(seconds: float) -> str:
    "`mm:ss` or `h:mm:ss`."
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes:02d}:{secs:02d}"
