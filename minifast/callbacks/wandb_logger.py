"""`WandbCallback`: losses, learning rates, metrics and pictures of predictions for Weights & Biases."""
from importlib.util import find_spec
from pathlib import Path

from .live_log import LiveLogger
from .training_run import check_folder

MODES = (None, "online", "offline", "disabled", "shared")


class WandbCallback(LiveLogger):
    """Log to the run of Weights & Biases that is open; if none is, open one and close it when the next training begins, with
    `finish()`, or when Python ends.

    project, name, config, mode: for `wandb.init`; mode='offline' needs neither network nor account (`wandb sync` sends it later). dir:
    where wandb keeps its files (None: `learn.path`). What is sent, and log_every, n_preds, log_preds, valid_every: see `LiveLogger`.
    Needs `pip install "minifast[trackers]"`.
    """

    name = "wandb"
    _opened_here = None                  # the run that a WandbCallback opened last, which the user has not asked for by name

    def __init__(self, project=None, name=None, mode=None, log_every=1, n_preds=9, log_preds=True, valid_every=0, dir=None, config=None):
        if find_spec("wandb") is None:
            raise ImportError('WandbCallback needs wandb: pip install "minifast[trackers]"')
        if mode not in MODES:
            raise ValueError(f"WandbCallback(mode={mode!r}): mode is one of {', '.join(map(repr, MODES))}")
        super().__init__(log_every, n_preds, log_preds, valid_every)
        self.project, self.run_name, self.mode, self.dir, self.config = project, name, mode, dir, config
        self.wandb_run = None

    def open(self, is_new):
        import wandb
        if wandb.run is not None and wandb.run is WandbCallback._opened_here and (is_new or wandb.run is not self.wandb_run):
            wandb.finish()
        if wandb.run is None:
            folder = self.learn.path if self.dir is None else Path(self.dir)
            check_folder(folder, "WandbCallback")
            WandbCallback._opened_here = wandb.init(project=self.project, name=self.run_name, mode=self.mode, dir=str(folder))
        self.wandb_run = wandb.run
        self.wandb_run.define_metric("batch")
        self.wandb_run.define_metric("*", step_metric="batch")
        self.wandb_run.config.update({**self._facts(), **(self.config or {})}, allow_val_change=True)

    def _facts(self):
        learn = self.learn
        loss = learn.loss_func
        return {"model": type(learn.model).__name__, "loss": getattr(loss, "__name__", type(loss).__name__), "n_epoch": learn.n_epoch,
                "optimizer": type(learn.opt).__name__, "bs": getattr(learn.dls, "bs", None), "run": self.training_run.id,
                "n_parameters": sum(p.numel() for p in learn.model.parameters())}

    def write_scalars(self, values, step):
        self.wandb_run.log({**values, "batch": step})

    def write_figure(self, name, figure, step):
        import wandb
        self.wandb_run.log({name: wandb.Image(figure), "batch": step})

    def finish(self):
        "Close the run now, if this callback opened it."
        import wandb
        if self.wandb_run is not None and self.wandb_run is WandbCallback._opened_here and wandb.run is self.wandb_run:
            wandb.finish()
        self.wandb_run = None
