"""`TensorBoardCallback`: losses, learning rates, metrics and pictures of predictions for TensorBoard."""
from importlib.util import find_spec
from pathlib import Path
from warnings import warn

from ..core.seeds import fixed_seed
from .live_log import LiveLogger
from .training_run import check_folder


class TensorBoardCallback(LiveLogger):
    """Write event files for TensorBoard (`tensorboard --logdir runs`), a folder per training, `log_dir/<date>_<id>`, under
    `learn.path`.

    What is sent, and log_every, n_preds, log_preds, valid_every: see `LiveLogger`. trace_model: also the graph of the model. `folder` is
    where it writes. Needs `pip install "minifast[trackers]"`.
    """

    name = "tensorboard"

    def __init__(self, log_dir="runs", log_every=1, n_preds=9, log_preds=True, trace_model=False, valid_every=0):
        if find_spec("tensorboard") is None:
            raise ImportError('TensorBoardCallback needs tensorboard: pip install "minifast[trackers]"')
        super().__init__(log_every, n_preds, log_preds, valid_every)
        self.log_dir, self.trace_model, self.folder, self.writer, self._traced = Path(log_dir), trace_model, None, None, False

    def open(self, is_new):
        from torch.utils.tensorboard import SummaryWriter
        if is_new:
            self.folder, self._traced = self.learn.path / self.log_dir / self.training_run.folder_name, False
        check_folder(self.folder, "TensorBoardCallback")
        self.writer = SummaryWriter(self.folder)

    def write_scalars(self, values, step):
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def write_figure(self, name, figure, step):
        self.writer.add_figure(name, figure, step, close=False)

    def close(self):
        writer, self.writer = self.writer, None
        writer.close()

    def after_batch(self) -> None:
        if self.trace_model and not self._traced:
            self._traced = True
            self._trace(self.learn)
        super().after_batch()

    def _trace(self, learn):
        modes = {m: m.training for m in learn.model.modules()}
        learn.model.eval()
        try:
            with fixed_seed(), learn.forward_context():
                self.writer.add_graph(learn.model, learn.xb)
        except Exception as e:                      # whatever a model does that cannot be traced; training goes on
            warn(f"TensorBoardCallback(trace_model=True): this model cannot be traced ({type(e).__name__}: {e})", stacklevel=2)
        finally:
            for m, mode in modes.items():
                m.training = mode
