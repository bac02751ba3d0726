"""`Learner`: data, a model and a loss, and everything that can be done with them. The loop is in `loop.py`, prediction in `inference.py`.

This file is longer than 400 lines because every verb stands here as an ordinary method with its arguments explained.
"""
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..callbacks import ChannelsLast, DistributedTrainer, FirstBatch, MixedPrecision, ParamScheduler, ProgressCallback, Recorder, Resume
from ..callbacks.distributed import Strategy
from ..callbacks.lr_finder import as_named_tuple, range_test, valley
from ..callbacks.resize import in_sizes
from ..core import LossFunc, PathLike, PerGroup, Splitter, brief, describe, plural, split_batch
from ..core.arguments import is_number
from ..core.keywords import knows_keywords
from ..core.messages import nearest
from ..core.paths import Path
from ..core.ranks import is_main, world_size
from ..core.seeds import undisturbed
from ..data.loaders import DataLoaders
from ..nn.loss_traits import loss_name
from ..optim import (
    Adam,
    Freezer,
    HyperOptimizer,
    as_hyper_optimizer,
    create_optimizer,
    flat_cos,
    get_hyper,
    hyper_names,
    layer_group_count,
    one_cycle,
    param_groups,
    set_hyper,
    sgdr,
    spread,
    trainable_params,
)
from . import probe, saving
from .inference import Inference, Text, with_model_tfms
from .loop import CallbackLike, PassLock, as_callback, listed, noted, print_row
from .run_record import run_record

if TYPE_CHECKING:
    import pandas as pd

    from ..checks.plan import Plan
    from ..checks.report import Report
    from ..checks.speedup.report import SpeedReport

Self = TypeVar("Self", bound="Learner")

#: What may have been meant where a part is given by name, as in other frameworks.
_OPTIMIZERS = ("Adam", "SGD", "RMSProp", "RAdam", "QHAdam", "Lamb", "Larc", "Lion")
_LOSSES = ("CrossEntropyLossFlat", "BCEWithLogitsLossFlat", "MSELossFlat", "L1LossFlat", "FocalLossFlat", "DiceLoss")


def _by_name(given, names, brackets=""):
    "What to write instead of the name of a part, as the end of a sentence."
    found = nearest(given, names) if isinstance(given, str) else ""
    return found and f". It is given itself, not by name: write {found}{brackets}"


def _check_parts(dls, model, opt_func, splitter, loss_func):
    "Refuse what cannot be a part of a learner: all problems in one message."
    problems = [
        None if hasattr(dls, "train") and hasattr(dls, "device") else
        f"dls must be DataLoaders; received {describe(dls)}. Wrap torch loaders as `DataLoaders(train_dl, valid_dl)`",
        f"model is the class {model.__name__}; give an instance, `{model.__name__}(...)`" if isinstance(model, type) else
        f"model must be an nn.Module; received {describe(model)}" if not isinstance(model, torch.nn.Module) else
        f"model {type(model).__name__} has no parameters, so there is nothing to train" if not any(True for _ in model.parameters()) else
        None,
        "opt_func is an optimizer; give the function that makes one, such as opt_func=Adam or "
        f"opt_func=torch.optim.{type(opt_func).__name__}" if isinstance(opt_func, torch.optim.Optimizer) else
        None if callable(opt_func) else f"opt_func must be callable; received {describe(opt_func)}" + _by_name(opt_func, _OPTIMIZERS),
        None if callable(splitter) else
        f"splitter must be a function of the model that returns lists of parameters; received {describe(splitter)}",
        f"loss_func is the class {loss_func.__name__}; give an instance, `{loss_func.__name__}()`" if isinstance(loss_func, type) else
        None if loss_func is None or callable(loss_func) else
        f"loss_func must be callable, loss_func(pred, target); received {describe(loss_func)}"
        + _by_name(loss_func, _LOSSES, "()"),
    ]
    if any(problems):
        raise TypeError("Learner: " + "; ".join(filter(None, problems)))


def _resuming(resume):
    "The callback that `resume=` of a fit asks for, in a list."
    if isinstance(resume, (str, os.PathLike)):
        return [Resume(None, source=resume)]
    if not isinstance(resume, (bool, Resume)):
        raise TypeError(f"resume={describe(resume)}: True, the path of a state to continue from, or Resume(None, every='5min')")
    return [Resume(None)] if resume is True else [resume] if resume else []


def _check_epochs(method, **numbers):
    for name, n in numbers.items():
        if not isinstance(n, int) or isinstance(n, bool) or n < 0:
            raise ValueError(f"{method}({name}={brief(n)}): {name} must be a whole number of epochs, 0 or more")


def _has(cbs, cls):
    return any(cb is cls or isinstance(cb, cls) for cb in listed(cbs))


class Learner(Inference):
    """Train a model on data with a loss, and look at the result.

    Args:
        dls: the data.
        model: any module.
        loss_func: `loss_func(pred, *targets)` -> a 0-d tensor; None: that of the data, `dls.loss_func`.
        opt_func: makes the optimizer, called with torch's param groups and `lr`.
        lr: default learning rate of `fit`.
        splitter: a function of the model that returns its parameters, or one list of parameters per layer group.
        cbs: callbacks, besides the default ones.
        metrics: functions of (pred, target), `Metric`s or their names; one or several.
        path: folder of the files of this learner; default: the current one.
        model_dir: folder inside `path` for `save`.
        wd: weight decay; None: the optimizer's.
        wd_bn_bias: apply weight decay to norm layers and biases too.
        train_bn: keep training the norm layers of frozen layer groups.
        moms: momentum at the start, peak and end of `fit_one_cycle`; None: momentum is left alone.
        default_cbs: add `FirstBatch`, `Recorder` and `ProgressCallback`.
        batch_tfms: batch transforms that belong to the model, such as the normalisation of its pretrained weights: every loader given to
            this learner gets those it lacks; the caller's own loaders do not change.
    """

    # What a learner holds besides the state of the loop; nothing else may be set on it (subclasses annotate what they add).
    opt_func: Callable[..., torch.optim.Optimizer]
    lr: PerGroup
    splitter: Splitter
    path: Path
    model_dir: str
    wd: float | None
    wd_bn_bias: bool
    train_bn: bool
    moms: tuple[float, float, float] | None
    continues: bool = False                      #: whether this fit is a later phase of the method that called it
    arch: Any = None                             #: the architecture that `vision_learner` or `unet_learner` was given
    compiled_with: dict[str, Any] | None = None  #: the keywords given to `compile`
    exported_metrics: dict[str, Any] | None = None  #: `{metric: value in the last epoch}` of a learner that `load_learner` made

    @knows_keywords
    def __init__(self, dls: DataLoaders, model: torch.nn.Module, loss_func: LossFunc | None = None,
                 opt_func: Callable[..., torch.optim.Optimizer] = Adam, lr: PerGroup = 1e-3, splitter: Splitter = trainable_params,
                 cbs: CallbackLike | None = None, metrics: Any = None, path: PathLike | None = None, model_dir: str = "models",
                 wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                 moms: tuple[float, float, float] | None = (0.95, 0.85, 0.95), default_cbs: bool = True, batch_tfms: Any = None):
        _check_parts(dls, model, opt_func, splitter, loss_func)
        self.pass_lock = PassLock()
        self.batch_tfms = listed(batch_tfms)
        self.dls, self.model = dls, model
        self.loss_func = getattr(dls, "loss_func", None) if loss_func is None else loss_func
        self.opt_func, self.lr, self.splitter = opt_func, lr, splitter
        self.path, self.model_dir = Path("." if path is None else path).expanduser(), model_dir
        self.wd, self.wd_bn_bias, self.train_bn, self.moms = wd, wd_bn_bias, train_bn, moms
        self.logger, self.cbs, self.opt = print_row, [], None
        self.metrics = metrics
        ranks = [] if world_size() == 1 or _has(cbs, DistributedTrainer) else [DistributedTrainer]
        self.add_cbs([*ranks, *([FirstBatch, Recorder, ProgressCallback] if default_cbs else []), *listed(cbs)])
        self("after_create")

    @property
    def dls(self) -> DataLoaders:
        "The data. Other loaders may be assigned at any time; they get the learner's own batch transforms."
        return self._dls

    @dls.setter
    def dls(self, dls: DataLoaders) -> None:
        self._dls = with_model_tfms(dls, self.batch_tfms)

    # -- training ---------------------------------------------------------------------------------------------------------------
    @noted
    def fit(self, n_epoch: int, lr: PerGroup | None = None, wd: PerGroup | None = None, cbs: CallbackLike | None = None,
            reset_opt: bool = False, start_epoch: int = 0, resume: bool | PathLike | Resume = False) -> None:
        """Train at a constant learning rate.

        Args:
            n_epoch: number of epochs.
            lr: learning rate: a number, a list (one per layer group) or a slice (see `spread`); None: the learner's. For this fit only.
            wd: weight decay, likewise; None: as it is.
            cbs: callbacks for this fit only.
            reset_opt: discard the state of the optimizer.
            start_epoch: the epoch to start at, to resume an interrupted fit.
            resume: True: write the state of training at the start of every epoch and every 10 minutes, in a folder of this run in
                `path/model_dir`; the same call after an interruption continues from there, to the bit. A path: continue from a state of
                another place while there is none here. A `Resume`: with its settings.

        Raises:
            ValueError: where the number of epochs is not one, there is no loss, or the optimizer lacks parameters of the model.
        """
        _check_epochs("fit", n_epoch=n_epoch)
        if not 0 <= start_epoch <= n_epoch:
            raise ValueError(f"fit(start_epoch={brief(start_epoch)}): start_epoch must be between 0 and n_epoch={n_epoch}")
        with self.pass_lock.for_fit():
            self._fit_here(n_epoch, lr, wd, [*listed(cbs), *_resuming(resume)], reset_opt, start_epoch)

    def _fit_here(self, n_epoch, lr, wd, cbs, reset_opt, start_epoch):
        if self.running:
            raise RuntimeError("a fit (or lr_find) was started by a callback of a fit that is under way: they would change each other's "
                               "epochs, schedules and callbacks. Start it afterwards; validate() and get_preds() may be called at any time")
        if self.loss_func is None:
            raise ValueError("this learner has no loss function, and its data does not say which to use: write "
                             "`Learner(dls, model, loss_func=...)`, for example CrossEntropyLossFlat() for classes or "
                             "MSELossFlat() for numbers")
        if reset_opt or self.opt is None:
            self.create_opt()
        self._check_opt()
        self._join_ranks()
        with self.added_cbs(cbs), self._temporary_hypers(self.lr if lr is None else lr, wd):
            self._fit(n_epoch, start_epoch)

    @noted
    def fit_one_cycle(self, n_epoch: int, lr_max: PerGroup | None = None, div: float = 25.0, div_final: float = 1e5,
                      pct_start: float = 0.25, wd: PerGroup | None = None, moms: tuple[float, float, float] | None = None,
                      cbs: CallbackLike | None = None, reset_opt: bool = False, start_epoch: int = 0,
                      sizes: Sequence | None = None, resume: bool | PathLike | Resume = False) -> None:
        """Train with the one-cycle policy: the learning rate rises by a cosine to `lr_max` and falls again, momentum does the opposite.

        Source: L. Smith, N. Topin, "Super-Convergence", 2018.

        Args:
            n_epoch: number of epochs.
            lr_max: the highest learning rate, as `lr` of `fit`; None: the learner's.
            div: the first learning rate is `lr_max / div`.
            div_final: the last learning rate is `lr_max / div_final`.
            pct_start: fraction of the batches during which it rises.
            wd, cbs, reset_opt, start_epoch, resume: see `fit`.
            moms: momentum at the start, peak and end, if the optimizer has any (SGD: only with `mom=`); None: the learner's.
            sizes: image sizes, such as [128, 192, 224], each for an equal part of the epochs (see `ProgressiveResize`).
        """
        resizing = [] if sizes is None else in_sizes(sizes, 0, n_epoch)
        peak = self._per_group(lr_max, reset_opt)
        moms = self.moms if moms is None else moms
        has_momentum = "mom" in hyper_names(self.opt) and any(get_hyper(self.opt, "mom"))
        scheds = one_cycle(peak, div, div_final, pct_start, moms if has_momentum else None)
        self.fit(n_epoch, peak, wd, [ParamScheduler(scheds), *resizing, *listed(cbs)], start_epoch=start_epoch, resume=resume)

    @noted
    def fit_flat_cos(self, n_epoch: int, lr: PerGroup | None = None, div_final: float = 1e5, pct_start: float = 0.75,
                     wd: PerGroup | None = None, cbs: CallbackLike | None = None, reset_opt: bool = False, start_epoch: int = 0,
                     resume: bool | PathLike | Resume = False) -> None:
        """Train at a constant learning rate, then anneal it by a cosine.

        Args:
            n_epoch: number of epochs.
            lr: as of `fit`.
            div_final: the last learning rate is `lr / div_final`.
            pct_start: fraction of the batches at `lr`, before it is annealed.
            wd, cbs, reset_opt, start_epoch, resume: see `fit`.
        """
        lrs = self._per_group(lr, reset_opt)
        self.fit(n_epoch, lrs, wd, [ParamScheduler({"lr": flat_cos(lrs, div_final, pct_start)}), *listed(cbs)], start_epoch=start_epoch,
                 resume=resume)

    @noted
    def fit_sgdr(self, n_cycles: int, cycle_len: int, lr_max: PerGroup | None = None, cycle_mult: int = 2, cbs: CallbackLike | None = None,
                 reset_opt: bool = False, wd: PerGroup | None = None, start_epoch: int = 0,
                 resume: bool | PathLike | Resume = False) -> None:
        """Train in cycles, each of which anneals the learning rate by a cosine from `lr_max` to 0.

        Source: I. Loshchilov, F. Hutter, "SGDR", 2017.

        Args:
            n_cycles: number of cycles.
            cycle_len: epochs of the first cycle.
            lr_max: as `lr` of `fit`.
            cycle_mult: each cycle lasts this many times as long as the one before.
            cbs, reset_opt, wd, start_epoch, resume: see `fit`.
        """
        peak = self._per_group(lr_max, reset_opt)
        sched, n_epoch = sgdr(n_cycles, cycle_len, peak, cycle_mult)
        self.fit(n_epoch, peak, wd, [ParamScheduler({"lr": sched}), *listed(cbs)], start_epoch=start_epoch, resume=resume)

    @noted
    def fine_tune(self, epochs: int, base_lr: float = 2e-3, freeze_epochs: int = 1, lr_mult: float = 100, pct_start: float = 0.3,
                  div: float = 5.0, div_final: float = 1e5, wd: PerGroup | None = None,
                  moms: tuple[float, float, float] | None = None, cbs: CallbackLike | None = None, reset_opt: bool = False,
                  sizes: Sequence | None = None, resume: bool | PathLike | Resume = False) -> None:
        """Fine-tune a pretrained model in two phases: first the last layer group alone, then everything at half the learning rate.

        Source: J. Howard, S. Ruder, "ULMFiT", 2018.

        Args:
            epochs: number of epochs with all layers.
            base_lr: learning rate of the first phase; one number.
            freeze_epochs: number of epochs with all but the last layer group frozen.
            lr_mult: in the second phase the first layer group learns this many times slower than the last.
            pct_start, div: see `fit_one_cycle`; for the second phase.
            div_final, wd, moms, cbs, reset_opt, resume: see `fit_one_cycle`.
            sizes: image sizes, each for an equal part of all these epochs.
        """
        if not isinstance(base_lr, (int, float)):
            raise TypeError(f"fine_tune(base_lr={base_lr}): give one number; the slice over layer groups is made from it and lr_mult")
        _check_epochs("fine_tune", epochs=epochs, freeze_epochs=freeze_epochs)
        one_cycle(base_lr, div, div_final, pct_start, moms)      # says now what would be wrong with the second phase
        if not is_number(lr_mult, 0) or lr_mult == 0:
            raise ValueError(f"fine_tune(lr_mult={brief(lr_mult)}): how many times slower the first layer group learns, a number above 0")
        cbs = [as_callback(cb) for cb in listed(cbs)]            # the same objects in both phases
        small, large = ([] if sizes is None else in_sizes(sizes, first, freeze_epochs + epochs) for first in (0, freeze_epochs))
        with self.pass_lock.for_fit():
            self.freeze()
            self.fit_one_cycle(freeze_epochs, slice(base_lr), pct_start=0.99, div_final=div_final, wd=wd, moms=moms,
                               cbs=[*small, *cbs], reset_opt=reset_opt, resume=resume)
            base_lr /= 2
            self.unfreeze()
            with self._temporarily(continues=True):             # trackers keep their best of the first phase
                self.fit_one_cycle(epochs, slice(base_lr / lr_mult, base_lr), pct_start=pct_start, div=div, div_final=div_final, wd=wd,
                                   moms=moms, cbs=[*large, *cbs], resume=resume)

    @knows_keywords
    def lr_find(self, start_lr: float = 1e-7, end_lr: float = 10, num_it: int = 100, stop_div: bool = True, show_plot: bool = True,
                suggest_funcs: Any = valley) -> Any:
        """Try rising learning rates and suggest one. Weights, optimizer, random streams and history are unchanged afterwards.

        Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.

        Args:
            start_lr: the first learning rate.
            end_lr: the last one.
            num_it: number of batches.
            stop_div: stop when the loss exceeds 4 times its best.
            show_plot: plot the loss over the learning rate.
            suggest_funcs: one or several of `valley`, `slide`, `minimum`, `steep`; None: no suggestion.

        Returns:
            The suggestions as a named tuple, such as `SuggestedLRs(valley=0.001)`.
        """
        result = range_test(self, start_lr, end_lr, num_it, stop_div, suggest_funcs)
        if self.recorder is not None:
            self.recorder.add_lr_find(result)
        if show_plot and is_main():
            result.plot()
        return as_named_tuple(result.suggestions) if result.suggestions else None

    # -- layer groups and the optimizer -----------------------------------------------------------------------------------------
    def create_opt(self) -> HyperOptimizer:
        "Make a new optimizer for the layer groups that `splitter` gives, and return it."
        self.pass_lock.refuse_during_fit()
        self.to_device()
        groups = param_groups(self.model, self.splitter(self.model), self.wd_bn_bias)
        self.opt = as_hyper_optimizer(create_optimizer(self.opt_func, groups, self.lr, self.wd))
        self.freezer = Freezer(self.model, self.opt, self.train_bn, self.freezer)
        return self.opt

    def freeze_to(self, n: int) -> None:
        """Freeze the first layer groups; norm layers in them keep training if `train_bn`. What was frozen by hand stays frozen.

        Args:
            n: number of groups to freeze; negative: counted from the end, so -1 trains the last group alone.
        """
        self.pass_lock.refuse_during_fit()
        if self.opt is None:
            self.create_opt()
        self.freezer.freeze_to(n)
        if self.compiled_with is not None:
            self.compile(**self.compiled_with)           # what was compiled has no gradients for layers that were frozen

    def freeze(self) -> None:
        "Freeze all layer groups but the last: the pretrained body."
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        "Train all layer groups again, except what was frozen by hand."
        self.freeze_to(0)

    def _per_group(self, lr, reset_opt):
        "`lr` (None: the learner's) as one number per layer group of the optimizer, which is made if need be."
        if self.opt is None or reset_opt:
            self.create_opt()
        return spread(self.lr if lr is None else lr, layer_group_count(self.opt))

    def _check_opt(self):
        "Move model and optimizer to the device of the data, and refuse an optimizer that lacks parameters which should be trained."
        known = {id(p) for g in self.opt.param_groups for p in g["params"]}
        missing = [n for n, p in self.model.named_parameters() if p.requires_grad and id(p) not in known]
        if missing:
            raise ValueError(f"{plural(len(missing), 'parameter')} of the model would not be trained, because the optimizer does not hold "
                             f"them (first: {', '.join(missing[:3])}). If the model was changed, call `learn.create_opt()`")
        self.to_device()

    @contextmanager
    def _temporary_hypers(self, lr: PerGroup, wd: PerGroup | None) -> Iterator[None]:
        "Set `lr` and `wd`, and afterwards restore every hyper-parameter: what one fit is told does not affect the next."
        before = [{k: v for k, v in g.items() if k != "params"} for g in self.opt.param_groups]
        try:
            set_hyper(self.opt, "lr", lr)
            if wd is not None:
                set_hyper(self.opt, "wd", wd)
            yield
        finally:
            with undisturbed():
                for group, hypers in zip(self.opt.param_groups, before, strict=True):
                    for added in group.keys() - hypers.keys() - {"params"}:        # such as a torch scheduler's initial_lr
                        del group[added]
                    group.update(hypers)

    # -- saving -----------------------------------------------------------------------------------------------------------------
    def save(self, file: PathLike, with_opt: bool = True, sharded: bool = False) -> Path:
        """Write the weights to `path/model_dir/file.safetensors`. The file replaces an older one only once it is complete.

        All of several processes call this; the first one writes.

        There is no `.pth` file for `torch.load`: write `safetensors.torch.load_file(file)`, or `torch.save(learn.model.state_dict(), ...)`.

        Args:
            file: a name, or a path.
            with_opt: write the optimizer's state too.
            sharded: every process writes its own part, into a folder `path/model_dir/file.shards`: for weights and optimizer states that
                are large. `load` reads it with any number of processes.

        Returns:
            The file, or the folder.

        Raises:
            OSError: where it cannot be written.
        """
        return saving.save(self, file, with_opt, sharded)

    def run_record(self) -> dict[str, Any]:
        """Say what it takes to repeat this training: versions, device, seed, model, loss, optimizer, callbacks, data (counts, classes,
        settings of the loaders, digests of items and targets), every argument of each fit, and the epoch table.

        `save` writes it as JSON beside the weights, and `Resume` compares it with that of the fit that was interrupted. The items are read
        once for each `DataLoaders`.

        Returns:
            Plain values: `json.dumps(learn.run_record())` works.
        """
        return run_record(self)

    def export(self, fname: PathLike = "export.pkl") -> Path:
        """Write everything that predicting needs into one file: weights, architecture, transforms, vocabulary. See `load_learner`.

        The file is safetensors with a description in JSON, whatever its suffix; neither code nor data is in it. Your own classes are
        referred to by name, and passed to `load_learner`. The learner does not change.

        Args:
            fname: a name within `path`, or an absolute path. It replaces an older file once it is complete.

        Returns:
            The file.

        Raises:
            TypeError: a part of the learner cannot be described; says which and what to do.
            OSError: the file cannot be written.
        """
        from .export import export
        return export(self, fname)

    def load(self: Self, file: PathLike, device: torch.device | str | None = None, with_opt: bool = True, strict: bool = True,
             check_vocab: bool = True) -> Self:
        """Read weights from `path/model_dir/file.safetensors`, from a folder of `save(..., sharded=True)`, or from a `.pth` file of fastai
        or of plain weights. Returns the learner. All of several processes call this.

        Nothing in a file is run, and a file that is refused leaves the learner as it was.

        Args:
            file: a name, or a path.
            device: move the data, and with it the learner, there.
            with_opt: read the optimizer's state too, if it was saved.
            strict: False loads those weights whose names and shapes match.
            check_vocab: False loads weights that were trained with other classes or words.

        Raises:
            ValueError: where names or shapes do not match, or the weights were trained with other classes or words than those of `dls`.
        """
        with self.pass_lock.for_pass():
            saving.load(self, file, device, with_opt, strict, check_vocab)
        return self

    # -- for other programs -------------------------------------------------------------------------------------------------------
    def to_onnx(self, file: PathLike, dl: Any = None, opset: int | None = None) -> Path:
        """Write the model as an ONNX file for programs without Python; normalisation and activation are inside, any batch size goes in.

        The file is run with onnxruntime and compared with torch before it is left behind. It describes its inputs, what must be done before
        them, and the vocabularies, as JSON in its metadata `minifast`. See docs/onnx.md.

        Args:
            file: a name such as 'model.onnx', or a path.
            dl: a loader whose first items are traced and compared, such as `dls.test_dl(items)`; None: the validation data.
            opset: version of ONNX's operators; None: torch's default.

        Returns:
            The file.

        Raises:
            ImportError: where onnx, onnxscript or onnxruntime is not installed.
            ValueError: where torch cannot make a graph of the model, or callbacks change what it predicts.
            RuntimeError: where onnxruntime and torch differ by more than 1e-4.
        """
        from . import graph
        return graph.to_onnx(self, file, dl, opset)

    def to_torch_export(self, file: PathLike, dl: Any = None) -> Path:
        """Write the model as a program of `torch.export`, which runs without its Python code; otherwise as `to_onnx`.

        Args:
            file: a name such as 'model.pt2', or a path.
            dl: a loader whose first items are traced and compared, such as `dls.test_dl(items)`; None: the validation data.

        Returns:
            The file; `torch.export.load(file).module()` is callable.

        Raises:
            ValueError: where torch cannot make a graph of the model, or callbacks change what it predicts.
            RuntimeError: where the loaded program and torch differ by more than 1e-4.
        """
        from . import graph
        return graph.to_torch_export(self, file, dl)

    def push_to_hub(self, repo_id: str, private: bool | None = None, token: str | None = None,
                    commit_message: str = "Learner of minifast") -> str:
        """Store the exported learner and a model card written from the run in a repository of Hugging Face; see `from_hub`.

        Args:
            repo_id: 'user/name'; it is made if need be.
            private: whether a new repository is private; None: as the account says.
            token: None: that of `hf auth login`.
            commit_message: of the commit.

        Returns:
            Where the commit can be seen. Of several ranks the first does all this; the others get an empty text.

        Raises:
            ImportError: where huggingface_hub is not installed.
        """
        from . import hub
        return hub.push_to_hub(self, repo_id, private, token, commit_message)

    # -- precision and memory ---------------------------------------------------------------------------------------------------
    def to_fp16(self: Self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                growth_interval: int = 2000) -> Self:
        """Train in mixed fp16 precision with loss scaling; on a CPU in full precision, with one warning. Returns the learner.

        Args:
            init_scale, growth_factor, backoff_factor, growth_interval: see `MixedPrecision`.
        """
        return self._set_precision(MixedPrecision("fp16", init_scale, growth_factor, backoff_factor, growth_interval))

    def to_bf16(self: Self) -> Self:
        "Train in mixed bf16 precision. Returns the learner."
        return self._set_precision(MixedPrecision("bf16"))

    def to_fp32(self: Self) -> Self:
        "Train in full precision again. Returns the learner."
        return self.remove_cb(MixedPrecision)

    def to_distributed(self: Self, strategy: Strategy = "ddp", sync_bn: bool = False, find_unused_parameters: bool = False,
                       timeout: float | None = None, blocks: Sequence[type[torch.nn.Module]] | None = None) -> Self:
        """Say how several processes train this learner together. Returns the learner.

        Started by `torchrun --nproc-per-node=2 train.py`, any learner is trained by all processes, with `strategy='ddp'`; this method
        chooses otherwise. In a single process it changes nothing.

        `bs` of the loaders is the batch of all processes together.

        Args:
            strategy, sync_bn, find_unused_parameters, timeout, blocks: see `DistributedTrainer`.
        """
        trainer = DistributedTrainer(strategy, sync_bn, find_unused_parameters, timeout, blocks=blocks)
        return self.remove_cb(DistributedTrainer).add_cb(trainer)

    @contextmanager
    def distrib_ctx(self: Self, sync_bn: bool = False, in_notebook: bool = False, **kwargs: Any) -> Iterator[Self]:
        """fastai's block around training by several processes. Within it the learner is as `to_distributed` says; without `torchrun`
        nothing changes.

        Args:
            sync_bn: see `DistributedTrainer`.
            in_notebook: accepted for fastai's scripts; `notebook_launcher` starts the processes.
            **kwargs: of `to_distributed`.
        """
        before = [cb for cb in self.cbs if isinstance(cb, DistributedTrainer)]
        self.to_distributed(sync_bn=sync_bn, **kwargs)
        try:
            yield self
        finally:
            self.remove_cb(DistributedTrainer).add_cbs(before)

    def _set_precision(self, cb):
        cb.works_on(self.dls.device)
        return self.remove_cb(MixedPrecision).add_cb(cb)

    def to_channelslast(self: Self) -> Self:
        "Keep images and convolutions in the memory format that tensor cores prefer, (B,H,W,C). Returns the learner."
        return self if any(isinstance(cb, ChannelsLast) for cb in self.cbs) else self.add_cb(ChannelsLast())

    def to_contiguous(self: Self) -> Self:
        "Return to torch's default memory format. Returns the learner."
        return self.remove_cb(ChannelsLast)

    def compile(self: Self, **kwargs: Any) -> Self:
        """Compile the model with `torch.compile` from the next batch on, and again after each freeze and unfreeze. Returns the learner.

        The model remains the same object, so weights are saved under their plain names.

        Args:
            **kwargs: of `torch.compile`.
        """
        self.compiled_with = kwargs
        self.model.compile(**kwargs)
        return self

    def find_bs(self, start: int | None = None, min_bs: int = 1) -> int:
        """Find the largest batch size with which two training steps fit into memory, and use it: the loaders change, with a warning.

        Weights, optimizer, random streams and history do not change.

        Args:
            start: the first size to try, halved until it fits; None: that of the data.
            min_bs: the smallest size to try.

        Raises:
            RuntimeError: where not even `min_bs` fits.
        """
        return probe.use_largest_bs(self, start, min_bs)

    def twin(self: Self, copy_model: bool = True) -> Self:
        """Make an independent copy for trials: it can be trained, broken and interrupted while this learner stays as it is.

        It has copies of model, loss, metrics and those callbacks that change training (not of those that log, save, schedule or stop),
        loaders of its own over the same datasets, a recorder of its own, and no optimizer yet.

        Args:
            copy_model: False shares the model, for one that cannot be copied.
        """
        with self.pass_lock.for_pass():
            return probe.make_twin(self, copy_model)

    # -- checking -------------------------------------------------------------------------------------------------------------------
    def check(self, fast: bool = False, ignore: Iterable[str] = (), causal: bool = False, lr: float | None = None,
              budget: float = 20.0) -> "Report":
        """Look for mistakes in model, loss, optimizer, batches and evaluation; the learner does not change. See docs/checks.md.

        Args:
            fast: leave out the slow checks.
            ignore: codes of checks to leave out, such as "MF104".
            causal: for sequence models: also check that no output depends on later inputs.
            lr: learning rate of the trials; None: the learner's.
            budget: seconds; the cheap and telling checks come first, those that there is no time for are listed as skipped.
        """
        from ..checks.check_learner import check_learner
        return check_learner(self, fast, ignore, causal, lr, budget=budget)

    def report(self, file: PathLike = "report.html", checks: bool = True, budget: float = 20.0, k: int = 9) -> Path:
        """Write one HTML file that can be mailed and opened anywhere: the training, the data, what is predicted and what goes wrong, what
        the checks find, and the settings. It loads nothing from elsewhere; the learner does not change.

        Args:
            file: a name within `path`, or an absolute path, ending in `.html`.
            checks: run `learn.check()` and the quick part of `learn.dls.check()`.
            budget: seconds for the checks of the learner.
            k: how many of the validation items with the largest losses to show.

        Returns:
            The file.

        Raises:
            ValueError: the file has another ending.
            OSError: the file cannot be written.
        """
        from ..checks.learner_report import write_report
        return write_report(self, file, checks, budget, k)

    def init_head(self: Self) -> Self:
        "Set the last layer so that training starts from the best constant guess; see `init_head.init_head`. Returns the learner."
        from .init_head import init_head
        init_head(self)
        return self

    def profile(self, n_steps: int = 20) -> "pd.DataFrame":
        """Measure where the time of a training step goes, and of texts how many tokens a second, padding not counted.

        The learner does not change.

        Args:
            n_steps: steps to measure.
        """
        from ..checks.learner.speed import profile
        return profile(self, n_steps)

    def speedup(self, budget: str | float = "30s", apply: bool = False, epochs: int = 5) -> "SpeedReport":
        """Measure what each setting that can make training faster is worth here: on this model, these data and this machine.

        Half precision, channels-last, a fused optimizer, `compile`, images kept in memory, workers, pinned memory and a larger batch are
        tried on a copy, in turn with the learner as it is, and what was best is measured once more all together. Layers that are frozen
        now are frozen in the trials. The learner does not change, unless `apply=True`. See docs/speed.md.

        Args:
            budget: how long to measure: a text such as '30s' or '2min', or a number of seconds. What helps most often comes first.
            apply: set what was best together, as far as it changes no more than rounding: never another batch size, nor anything with
                which the losses of the same batches differ by more than rounding explains.
            epochs: how many epochs are planned, against which the warm-up of `compile` and of a cache is weighed.

        Returns:
            A report, one row for each setting: printed it is a table; `report.ratio` says how much faster the planned epochs are.
        """
        from ..checks.speedup.adviser import speedup
        return speedup(self, budget, apply, epochs)

    def plan(self, gpus: int = 1, nodes: int = 1, bs: int | None = None, memory: float | str | None = None,
             bandwidth: float | str | None = None, seconds: float = 20.0) -> "Plan":
        """Work out what training on several devices would need: memory per rank, time and communication, with DDP and with FSDP2, and the
        largest batch. It rests on steps measured here, on a copy; the report says what it assumes. The learner does not change.

        Args:
            gpus: devices of a machine.
            nodes: machines.
            bs: items in a batch of all devices together; None: that of the data.
            memory: of each device: bytes, or a text such as '16GB'; None: that of the device here.
            bandwidth: what a rank can send in a second, likewise; None: 10GB on one machine, 1.1GB between several.
            seconds: time for the measurements, at most.

        Returns:
            A report: `print` it, or read `plan["ddp"].memory`.

        Raises:
            ValueError: where an argument is not one.
        """
        from ..checks.plan import plan
        return plan(self, gpus, nodes, bs, memory, bandwidth, seconds)

    # -- looking at it ----------------------------------------------------------------------------------------------------------
    def summary(self) -> str:
        "Describe the model's layers with output shapes and parameters, then optimizer, loss and callbacks: printable text."
        from ..nn.model_info import module_summary
        with self.pass_lock.for_pass():
            inputs, keywords, _ = split_batch(self.dls.one_batch(), getattr(self.dls.train, "n_inp", None))
            self.to_device()
            table = module_summary(self.model, *inputs, **keywords)
        groups = "" if self.opt is None else (f" ({plural(layer_group_count(self.opt), 'layer group')}, "
                                              f"frozen up to layer group {self.freezer.frozen_to})")
        return Text(f"{table}\n\nOptimizer: {getattr(self.opt_func, '__name__', self.opt_func)}{groups}\n"
                              f"Loss: {self.loss_func and loss_name(self.loss_func)}\nCallbacks: " + ", ".join(map(repr, self.cbs)))

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(model={type(self.model).__name__}, loss={self.loss_func and loss_name(self.loss_func)}, "
                f"metrics={[m.name for m in self.metrics]})")
