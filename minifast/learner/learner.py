"""`Learner`: data, a model and a loss, and everything that can be done with them.

The loop, with its events in the order in which callbacks hear them:

    before_fit
    for epoch in range(n_epoch):
        before_epoch
        before_train
        for batch in dls.train:
            before_batch
            pred = model(*xb)
            after_pred
            loss = loss_func(pred, *yb)
            after_loss
            before_backward
            loss.backward()
            after_backward
            before_step
            opt.step()
            after_step
            opt.zero_grad()
            after_batch
        after_train
        before_validate
        for batch in dls.valid:
            before_batch
            pred = model(*xb)
            after_pred
            loss = loss_func(pred, *yb)
            after_loss
            after_batch
        after_validate
        after_epoch
    after_fit
    cleanup_fit

A `Cancel...Exception` jumps to the matching `after_cancel_...` event and goes on with the `after_...` event below it.
`cleanup_fit` also runs after an error and after Ctrl-C.
"""
import copy
from contextlib import contextmanager
from pathlib import Path

import torch

from ..callbacks.base import (
    EVENTS,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    run_handlers,
)
from ..callbacks.batch import ChannelsLast
from ..callbacks.first_batch import FirstBatch
from ..callbacks.lr_finder import as_named_tuple, range_test, valley
from ..callbacks.precision import MixedPrecision
from ..callbacks.progress import ProgressCallback
from ..callbacks.recorder import Recorder
from ..callbacks.resize import in_sizes
from ..callbacks.scheduler import ParamScheduler
from ..core.guarded import Guarded
from ..core.messages import plural
from ..core.nested import split_batch, to_device
from ..metrics.convert import as_metric
from ..nn.loss_traits import activation_of, decodes_of, loss_name
from ..optim.freezing import Freezer
from ..optim.groups import clear_grads, layer_group_count, param_groups, spread, trainable_params
from ..optim.hypers import create_optimizer, get_hyper, set_hyper
from ..optim.optimizers import Adam
from ..optim.schedules import flat_cos, one_cycle, sgdr
from . import batch_size as memory
from . import inference, saving
from .arguments import batches_in, check_epochs, check_loss, check_parts
from .callback_list import HasCallbacks, as_callback, listed
from .loop_state import LoopState
from .twin import make_independent

#: Words of fastai that are no verbs here, and what to write.
_ELSEWHERE = {
    "export": "write learn.save('name'): the weights and the classes, in a file that runs no code when it is loaded. To predict elsewhere, "
              "make the data and the learner by the same lines and call .load('name', with_opt=False). For other programs give "
              "learn.model.eval() and a batch to torch.export.export or torch.onnx.export",
}


class Learner(LoopState, HasCallbacks, Guarded):
    """Train `model` on `dls` with `loss_func`, and look at the result.

    dls: `DataLoaders`. model: any `nn.Module`. loss_func: `loss_func(pred, *targets) -> 0-d tensor` (None: the data says which,
    `dls.loss_func`). opt_func: called with torch param groups and `lr`. lr: default learning rate of `fit`. splitter: a function of
    the model that returns its parameters, or one list of parameters per layer group. cbs: callbacks. metrics: functions of
    (pred, target), `Metric`s or their names. path, model_dir: `save` writes to `path/model_dir` (default `./models`). wd: weight
    decay (None: the optimizer's). wd_bn_bias: decay norm layers and biases too. train_bn: norm layers of frozen groups go on
    learning. moms: momentum at start, peak and end of one-cycle (None: momentum is left alone). default_cbs: add the first-batch
    check, recorder and progress. batch_tfms: batch transforms that belong to the model, such as the normalisation of its weights:
    every loader this learner is given gets them if it has none of the kind; the loaders themselves stay as they are.
    """

    # What a learner holds; nothing else may be set on it, so that a misspelt name is an error (subclasses annotate their own).
    batch_tfms: list
    model: torch.nn.Module
    loss_func: object
    opt_func: object
    opt: torch.optim.Optimizer | None = None
    freezer: Freezer | None = None
    lr: float
    splitter: object
    path: Path
    model_dir: str
    wd: float | None
    wd_bn_bias: bool
    train_bn: bool
    moms: tuple
    fits_ended = 0                   #: how many fits ended, or were cancelled; interrupted ones do not count
    _in_pass = False                 # whether a fit or another pass is under way
    continues = False                #: whether this fit is a later phase of the verb that called it
    dry_run = False                  #: whether this fit is undone afterwards, as by `lr_find`: nothing of it is to be kept or written
    compiled_with: dict | None = None            #: the keywords given to `compile`
    _shown = -1                      # how often show_results has shuffled

    def __init__(self, dls, model, loss_func=None, opt_func=Adam, lr=1e-3, splitter=trainable_params, cbs=None, metrics=None, path=None,
                 model_dir="models", wd=None, wd_bn_bias=False, train_bn=True, moms=(0.95, 0.85, 0.95), default_cbs=True,
                 batch_tfms=None):
        check_parts(dls, model, opt_func, splitter)
        self.batch_tfms = listed(batch_tfms)
        self.dls, self.model = dls, model
        self.loss_func = getattr(dls, "loss_func", None) if loss_func is None else check_loss(loss_func)
        self.opt_func, self.lr, self.splitter = opt_func, lr, splitter
        self.path, self.model_dir = Path("." if path is None else path), model_dir
        self.wd, self.wd_bn_bias, self.train_bn, self.moms = wd, wd_bn_bias, train_bn, moms
        self.logger, self.cbs, self.opt = print, [], None
        self.metrics = metrics
        if default_cbs:
            self.add_cbs([FirstBatch(), Recorder(), ProgressCallback()])
        self.add_cbs(cbs)
        self.collect_handlers()           # also without any
        self("after_create")

    # -- the loop ---------------------------------------------------------------------------------------------------------------
    def _fit(self, n_epoch, start_epoch=0):
        self.n_epoch, self.start_epoch, self.epoch, self.batches_done = n_epoch, start_epoch, start_epoch, 0
        self.running = True
        clear_grads(self.opt)             # an interrupted fit may have left gradients behind
        try:
            with self._cleaning_up():
                self._phase("before_fit", self._all_epochs, CancelFitException, "after_cancel_fit", "after_fit")
            self.fits_ended += not self.dry_run
        finally:
            self.running = False
            for cb in self.cbs:
                cb.run = True

    def _all_epochs(self):
        for self.epoch in range(self.start_epoch, self.n_epoch):
            self._phase("before_epoch", self._one_epoch, CancelEpochException, "after_cancel_epoch", "after_epoch")

    def _one_epoch(self):
        self._enter(self.dls.train, training=True)
        self._phase("before_train", self._all_batches, CancelTrainException, "after_cancel_train", "after_train")
        if len(self.dls) > 1:
            self._validate(self.dls.valid)

    def _validate(self, dl):
        self._enter(dl, training=False)
        with torch.no_grad():
            self._phase("before_validate", self._all_batches, CancelValidException, "after_cancel_validate", "after_validate")

    def _phase(self, before, body, cancel, after_cancel, after):
        try:
            self(before)
            body()
        except cancel:
            self(after_cancel)
        self(after)

    # Every step counts here. The state is read and written directly, past the look-up of callbacks by name and the guard against
    # misspelt names, and an event that nobody hears is not even called: on a step of a quarter of a millisecond that is worth 2%.

    def _all_batches(self):
        state, heard = vars(self), self._tables[self.training]
        for state["iter"], batch in enumerate(self._on_device(self.dl)):
            state["xb"], state["kw"], state["yb"] = split_batch(batch, state["n_inp"])
            state["pred"] = state["loss"] = None
            try:
                if heard["before_batch"]:
                    self("before_batch")
                self._one_batch(state, heard)
            except CancelBatchException:
                self("after_cancel_batch")
            if state["training"]:
                state["batches_done"] += 1
            if heard["after_batch"]:
                run_handlers(heard["after_batch"], "after_batch")

    def _one_batch(self, state, heard):
        with state["forward_context"]():
            state["pred"] = state["model"](*state["xb"], **state["kw"])
            if heard["after_pred"]:
                self("after_pred")
            if state["yb"]:
                state["loss"] = state["loss_func"](state["pred"], *state["yb"])
                if heard["after_loss"]:
                    self("after_loss")
        if state["training"]:
            self._backward_and_step(state, heard)

    def _backward_and_step(self, state, heard):
        try:
            if heard["before_backward"]:
                self("before_backward")
            state["loop_backward"](state["loss"])
        except CancelBackwardException:
            self("after_cancel_backward")
        if heard["after_backward"]:
            self("after_backward")
        self.optimizer_step()

    def optimizer_step(self):
        "The optimizer's step with its events, after which the gradients are dropped: the end of a training batch."
        state, heard = vars(self), self._tables[True]
        try:
            if heard["before_step"]:
                self("before_step")
            state["loop_step"](state["opt"])
        except CancelStepException:
            self("after_cancel_step")
        if heard["after_step"]:
            self("after_step")
        clear_grads(state["opt"])

    # -- around the loop --------------------------------------------------------------------------------------------------------
    def _enter(self, dl, training):
        "Make `dl` the current loader and put the model in the mode that goes with it."
        self.dl, self.training, self.batches_done = dl, training, 0 if training else self.batches_done
        self.n_iter = batches_in(dl)
        self.n_inp = getattr(dl, "n_inp", None)
        self._set_mode()

    def _set_mode(self):
        self.model.train(self.training)
        if self.training:
            self.freezer.hold_norm_statistics()

    def _on_device(self, dl):
        "`dl`, its batches moved to the learner's device unless the loader does that itself."
        if hasattr(dl, "after_batch") or self.dls.device.type == "cpu":
            return dl
        return (to_device(batch, self.dls.device, non_blocking=True) for batch in dl)

    @contextmanager
    def _cleaning_up(self):
        """Afterwards, whatever happened, run `cleanup_fit` and forget the batch. Inside another pass (a callback that calls
        `get_preds`) put the state of that pass back instead."""
        nested = self.dl is not None or (self.running and self._in_pass)
        outer = self.loop_state() if nested else None
        try:
            self._in_pass = True
            yield
        finally:
            self._in_pass = nested
            if outer is None:
                self("cleanup_fit")
                outer = {"dl": None, "training": False, "xb": (), "kw": {}, "yb": (), "pred": None, "loss": None}
            for name, value in outer.items():
                setattr(self, name, value)
            self._set_mode()

    def validation_pass(self, dl, cbs=None):
        "Run the model over `dl` without training: evaluation mode, no gradients, only the validation events, with `cbs` attached too."
        self.to_device()
        nested = self.running                      # called from a callback: the bars on the screen belong to the outer pass
        with self.removed_cbs(ProgressCallback if nested else None), self.added_cbs(cbs), self._cleaning_up():
            self._validate(dl)

    @property
    def dls(self):
        "The data. Assigning other loaders is fine at any time; they get the learner's own batch transforms."
        return self._dls

    @dls.setter
    def dls(self, dls):
        self._dls = inference.with_model_tfms(dls, self.batch_tfms)

    @property
    def metrics(self):
        "The metrics of the epoch table; assign functions of (pred, target), `Metric`s or names."
        return self._metrics

    @metrics.setter
    def metrics(self, metrics):
        listed = [] if metrics is None else list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        self._metrics = [as_metric(m) for m in listed]

    # -- training ---------------------------------------------------------------------------------------------------------------
    def fit(self, n_epoch, lr=None, wd=None, cbs=None, reset_opt=False, start_epoch=0):
        """Train for `n_epoch` epochs at learning rate `lr` (None: the learner's).

        lr, wd: a number, a list (one per layer group), or a slice (see `spread`); they hold for this fit only. cbs: callbacks for
        this fit only. reset_opt: forget the optimizer's state. start_epoch: begin at this epoch, to go on with an interrupted fit.
        """
        check_epochs(n_epoch, start_epoch)
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
        with self.added_cbs(cbs), self._hypers_of_this_fit(self.lr if lr is None else lr, wd):
            self._fit(n_epoch, start_epoch)

    def fit_one_cycle(self, n_epoch, lr_max=None, div=25.0, div_final=1e5, pct_start=0.25, wd=None, moms=None, cbs=None, reset_opt=False,
                      start_epoch=0, sizes=None):
        """Train with the one-cycle policy: lr rises by a cosine from `lr_max/div` to `lr_max` over the first `pct_start` of the
        batches, then falls to `lr_max/div_final`; momentum goes the other way, through `moms`, if
        the optimizer has any (SGD has not unless it is given `mom=`). sizes: of the pictures, such as [128, 192, 224], each for an
        equal part of the epochs (see `ProgressiveResize`). Source: L. Smith, N. Topin, "Super-Convergence", 2018."""
        resizing = in_sizes(sizes, 0, n_epoch)
        peak = self._per_group(lr_max, reset_opt)
        moms = self.moms if moms is None else moms
        scheds = one_cycle(peak, div, div_final, pct_start, moms if self._has_momentum() else None)
        self.fit(n_epoch, peak, wd, [ParamScheduler(scheds), *resizing, *listed(cbs)], start_epoch=start_epoch)

    def fit_flat_cos(self, n_epoch, lr=None, div_final=1e5, pct_start=0.75, wd=None, cbs=None, reset_opt=False, start_epoch=0):
        "Train at `lr` for the first `pct_start` of the batches, then anneal by a cosine to `lr/div_final`."
        lrs = self._per_group(lr, reset_opt)
        self.fit(n_epoch, lrs, wd, [ParamScheduler({"lr": flat_cos(lrs, div_final, pct_start)}), *listed(cbs)], start_epoch=start_epoch)

    def fit_sgdr(self, n_cycles, cycle_len, lr_max=None, cycle_mult=2, cbs=None, reset_opt=False, wd=None, start_epoch=0):
        """Train in `n_cycles` cycles, each annealing by a cosine from `lr_max` to 0; the first lasts `cycle_len` epochs, each later one
        `cycle_mult` times the one before. Source: I. Loshchilov, F. Hutter, "SGDR", 2017."""
        peak = self._per_group(lr_max, reset_opt)
        sched, n_epoch = sgdr(n_cycles, cycle_len, peak, cycle_mult)
        self.fit(n_epoch, peak, wd, [ParamScheduler({"lr": sched}), *listed(cbs)], start_epoch=start_epoch)

    def fine_tune(self, epochs, base_lr=2e-3, freeze_epochs=1, lr_mult=100, pct_start=0.3, div=5.0, div_final=1e5, wd=None, moms=None,
                  cbs=None, reset_opt=False, sizes=None):
        """Transfer learning in two phases: `freeze_epochs` with all but the last layer group frozen at `base_lr`, then `epochs` with
        everything trained at `base_lr/2`, the first layers `lr_mult` times slower. sizes: of the pictures, such as [128, 192, 224],
        each for an equal part of all these epochs. Source: J. Howard, S. Ruder, "ULMFiT", 2018."""
        if not isinstance(base_lr, (int, float)):
            raise TypeError(f"fine_tune(base_lr={base_lr}): give one number; the slice over layer groups is made from it and lr_mult")
        cbs = [as_callback(cb) for cb in listed(cbs)]            # the same objects in both phases
        small, large = (in_sizes(sizes, first, freeze_epochs + epochs) for first in (0, freeze_epochs))
        self.freeze()
        self.fit_one_cycle(freeze_epochs, slice(base_lr), pct_start=0.99, div_final=div_final, wd=wd, moms=moms,
                           cbs=[*small, *cbs], reset_opt=reset_opt)
        base_lr /= 2
        self.unfreeze()
        with self._continuing():
            self.fit_one_cycle(epochs, slice(base_lr / lr_mult, base_lr), pct_start=pct_start, div=div, div_final=div_final, wd=wd,
                               moms=moms, cbs=[*large, *cbs])

    @contextmanager
    def _continuing(self):
        "Within the block a fit goes on with what the one before began: trackers keep their best."
        self.continues = True
        try:
            yield
        finally:
            self.continues = False

    def lr_find(self, start_lr=1e-7, end_lr=10, num_it=100, stop_div=True, show_plot=True, suggest_funcs=valley):
        """Try learning rates from `start_lr` to `end_lr` over `num_it` batches, plot the loss, and return suggestions as a named tuple.

        suggest_funcs: one of, or several of, `valley, slide, minimum, steep`. Leaves no trace: weights, optimizer, random streams
        and history are afterwards what they were, also after Ctrl-C; nothing is written to disk.
        """
        result = range_test(self, start_lr, end_lr, num_it, stop_div, suggest_funcs)
        if self.recorder is not None:
            self.recorder.lr_find = result
        if show_plot:
            result.plot()
        return as_named_tuple(result.suggestions) if result.suggestions else None

    # -- layer groups and the optimizer -----------------------------------------------------------------------------------------
    def create_opt(self):
        "Make the optimizer anew from the model's layer groups, as `splitter` gives them; returns it."
        self.to_device()
        groups = param_groups(self.model, self.splitter(self.model), self.wd_bn_bias)
        self.opt = create_optimizer(self.opt_func, groups, self.lr, self.wd)
        self.freezer = Freezer(self.model, self.opt, self.train_bn, self.freezer)
        return self.opt

    def freeze_to(self, n):
        "Freeze the layer groups before `n` (norm layers go on learning if `train_bn`); what was frozen by hand stays frozen."
        if self.opt is None:
            self.create_opt()
        self.freezer.freeze_to(n)
        if self.compiled_with is not None:
            self.compile(**self.compiled_with)           # what was compiled has no gradients for layers that were frozen

    def freeze(self):
        "Freeze all layer groups but the last: the pretrained body."
        self.freeze_to(-1)

    def unfreeze(self):
        "Train all layer groups again, except what was frozen by hand."
        self.freeze_to(0)

    def _per_group(self, lr, reset_opt):
        "`lr` (None: the learner's) as one number per layer group of the optimizer, which is made if need be."
        if self.opt is None or reset_opt:
            self.create_opt()
        return spread(self.lr if lr is None else lr, layer_group_count(self.opt))

    def _has_momentum(self):
        try:
            return any(get_hyper(self.opt, "mom"))
        except ValueError:              # this optimizer has none
            return False

    def to_device(self):
        "Bring the model, the loss (it may hold class weights) and the optimizer's state to where the batches are. Returns the learner."
        device = self.dls.device
        for module in (self.model, self.loss_func):
            if isinstance(module, torch.nn.Module):
                module.to(device)
        if self.opt is not None and any(t.device != p.device for p, state in self.opt.state.items() for name, t in state.items()
                                        if isinstance(t, torch.Tensor) and name != "step"):
            self.opt.load_state_dict(self.opt.state_dict())     # puts the state where the parameters are now
        return self

    def _check_opt(self):
        "Bring model and optimizer onto the loaders' device, and refuse an optimizer that does not hold what should be trained."
        known = {id(p) for g in self.opt.param_groups for p in g["params"]}
        missing = [n for n, p in self.model.named_parameters() if p.requires_grad and id(p) not in known]
        if missing:
            raise ValueError(f"{plural(len(missing), 'parameter')} of the model would not be trained, because the optimizer does not hold "
                             f"them (first: {', '.join(missing[:3])}). If the model was changed, call `learn.create_opt()`")
        self.to_device()

    @contextmanager
    def _hypers_of_this_fit(self, lr, wd):
        "Set `lr` and `wd`, and afterwards put every hyper-parameter back: what one fit is told does not stick to the next."
        before = [{k: v for k, v in g.items() if k != "params"} for g in self.opt.param_groups]
        try:
            set_hyper(self.opt, "lr", lr)
            if wd is not None:
                set_hyper(self.opt, "wd", wd)
            yield
        finally:
            for group, hypers in zip(self.opt.param_groups, before, strict=True):
                for added in group.keys() - hypers.keys() - {"params"}:        # such as a torch scheduler's initial_lr
                    del group[added]
                group.update(hypers)

    # -- results ----------------------------------------------------------------------------------------------------------------
    def validate(self, ds_idx=1, dl=None, cbs=None):
        "`[loss, *metrics]` on loader `ds_idx` (1: validation), or on `dl`."
        return inference.validate(self, ds_idx, dl, cbs)

    def get_preds(self, ds_idx=1, dl=None, with_input=False, with_decoded=False, with_loss=False, act=None, reorder=True, cbs=None,
                  with_preds=True, with_targs=True, concat_dim=0):
        """Predictions and targets of every item of loader `ds_idx` (or of `dl`), in the order of its dataset, on the CPU.

        Returns a tuple in the order (inputs, preds, targs, decoded, losses), of those asked for. `preds` went through `act` (None:
        the activation that belongs to the loss, such as softmax). Training data is seen without augmentation.
        """
        return inference.get_preds(self, ds_idx, dl, with_input, with_decoded, with_loss, act, reorder, cbs, with_preds, with_targs,
                                   concat_dim)

    def predict(self, item, with_input=False):
        "`(decoded target, its tensor, probabilities)` for one item, such as a file; with `with_input`, the decoded input first."
        return inference.predict(self, item, with_input)

    def tta(self, ds_idx=1, dl=None, n=4, beta=0.25, use_max=False):
        "Predictions averaged over `n` augmented passes and one plain pass: see `inference.tta`."
        return inference.tta(self, ds_idx, dl, n, beta, use_max)

    def show_results(self, ds_idx=1, dl=None, max_n=9, shuffle=True, figsize=None):
        "Show inputs of one batch with target and prediction, green where they agree; of a table, return them as a DataFrame."
        return inference.show_results(self, self._loader_to_show(ds_idx, dl, shuffle), max_n, figsize)

    def _loader_to_show(self, ds_idx, dl, shuffle):
        "With `shuffle` other items each time, the same in each run of a program."
        self._shown += bool(shuffle)
        return inference.loader_for(self, ds_idx, dl, shuffle=shuffle, seed=self._shown if shuffle else None)

    def activation(self, pred):
        "What turns the model's output into a prediction, as the loss says (softmax, sigmoid, identity)."
        return activation_of(self.loss_func)(pred)

    def decode_pred(self, pred):
        "What turns a prediction into a target (argmax, threshold, identity)."
        return decodes_of(self.loss_func)(pred)

    # -- saving -----------------------------------------------------------------------------------------------------------------
    def save(self, file, with_opt=True):
        """Write the weights, and with `with_opt` the optimizer's state, to `path/model_dir/file.safetensors`; returns the file.

        The file replaces an older one only once it is complete. Raises `OSError` where it cannot be written.
        """
        return saving.save(self, file, with_opt)

    def load(self, file, device=None, with_opt=True, strict=True, check_vocab=True):
        """Read weights, and with `with_opt` the optimizer's state if it was saved, from `path/model_dir/file.safetensors` (or a `.pth`
        of plain weights). Raises `ValueError` where names or shapes do not match (`strict=False`: loads what matches by name),
        or where the weights were made for other classes or words than those of `dls` (`check_vocab=False`: not looked at).
        Returns the learner."""
        return saving.load(self, file, device, with_opt, strict, check_vocab)

    # -- precision and memory ---------------------------------------------------------------------------------------------------
    def to_fp16(self, init_scale=2.0**16, growth_interval=2000):
        "Train in mixed fp16 precision with loss scaling (accelerators only: refused on a CPU). Returns the learner."
        return self._set_precision(MixedPrecision("fp16", init_scale=init_scale, growth_interval=growth_interval))

    def to_bf16(self):
        "Train in mixed bf16 precision. Returns the learner."
        return self._set_precision(MixedPrecision("bf16"))

    def to_fp32(self):
        "Back to full precision. Returns the learner."
        return self._set_precision(None)

    def _set_precision(self, cb):
        if cb is not None:
            cb.check(self)
        self.remove_cbs([old for old in self.cbs if isinstance(old, MixedPrecision)])
        return self.add_cbs(cb)

    def to_channelslast(self):
        "Keep pictures and convolutions in the memory format that tensor cores want, (B,H,W,C). Returns the learner."
        return self if any(isinstance(cb, ChannelsLast) for cb in self.cbs) else self.add_cb(ChannelsLast())

    def to_contiguous(self):
        "Back to torch's own memory format. Returns the learner."
        return self.remove_cb(ChannelsLast)

    def compile(self, **kwargs):
        """Compile the model with `torch.compile(**kwargs)`, from the next batch on; again after each freeze and unfreeze. The model stays
        what it is, so weights are saved under their plain names. Returns the learner."""
        self.compiled_with = kwargs
        self.model.compile(**kwargs)
        return self

    def find_bs(self, start=None, min_bs=1):
        """The largest batch size, from `start` (None: that of the data) downwards by halves, with which two training steps fit into
        memory; the loaders are changed to it, and a warning says so. Weights, optimizer, random streams and history stay as they
        are. Raises `RuntimeError` if not even `min_bs` fits."""
        return memory.find_bs(self, start, min_bs)

    def twin(self, copy_model=True):
        """An independent copy for trials: it can be trained, broken and interrupted while this learner stays as it is.

        It has a copy of model, loss and metrics, loaders of its own over the same datasets, copies of those callbacks that change training
        (not of those that log, save, schedule or stop), a recorder of its own, and no optimizer yet.

        Args:
            copy_model: False shares the model, for one that cannot be copied.
        """
        new = copy.copy(self)
        vars(new).pop("_tables")                          # the twin collects its own
        return make_independent(new, self, copy_model)

    # -- checking -------------------------------------------------------------------------------------------------------------------
    def check(self, fast=False, ignore=(), causal=False, lr=None):
        "A `Report` of what is wrong with model, loss, optimizer, batches and evaluation; the learner does not change. See docs/checks.md."
        from ..checks.check_learner import check_learner
        return check_learner(self, fast, ignore, causal, lr)

    def init_head(self):
        "Let the last layer begin with the guess that knows the training labels, see `first_guess.init_head`. Returns the learner."
        from .init_head import init_head
        return init_head(self)

    def profile(self, n_steps=20):
        "A DataFrame of where the time of a training step goes; the learner does not change."
        from ..checks.learner.speed import profile
        return profile(self, n_steps)

    # -- looking at it ----------------------------------------------------------------------------------------------------------
    def show_training_loop(self):
        "Print the loop with the callbacks that hear each event."
        training = True
        for line in __doc__.split("order in which callbacks hear them:\n")[1].split("\nA `Cancel")[0].strip("\n").splitlines():
            event = line.strip()
            training = training and event != "before_validate"
            heard = self.ordered_cbs(event, training) if event in EVENTS else []
            print(line + (f"    <- {', '.join(map(repr, heard))}" if heard else ""))

    def summary(self):
        "A table of the model's layers with output shapes and parameters, then optimizer, loss and callbacks: printable text."
        from ..nn.summary import module_summary
        inputs, keywords, _ = split_batch(self.dls.one_batch(), getattr(self.dls.train, "n_inp", None))
        self.to_device()
        table = module_summary(self.model, *inputs, **keywords)
        frozen = "not created yet" if self.opt is None else f"frozen up to layer group {self.freezer.frozen_to}"
        groups = "" if self.opt is None else f" ({plural(layer_group_count(self.opt), 'layer group')}, {frozen})"
        return inference.Text(f"{table}\n\nOptimizer: {getattr(self.opt_func, '__name__', self.opt_func)}{groups}\n"
                              f"Loss: {loss_name(self.loss_func) if self.loss_func is not None else None}\n"
                              "Callbacks: " + ", ".join(map(repr, self.cbs)))

    def __getattr__(self, name):
        if name in _ELSEWHERE:
            raise AttributeError(f"a {type(self).__name__} has no attribute '{name}': {_ELSEWHERE[name]}")
        return super().__getattr__(name)

    def __repr__(self):
        loss = loss_name(self.loss_func) if self.loss_func is not None else None
        return f"{type(self).__name__}(model={type(self.model).__name__}, loss={loss}, metrics={[m.name for m in self.metrics]})"
