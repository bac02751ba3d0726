"""Every callback of the package trains two batches and one batch, and survives Ctrl-C without leaving anything behind."""
import importlib
import pkgutil
import tempfile
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import TensorDataset

import minifast.callbacks
from minifast.callbacks.averaging import EMA, SWA
from minifast.callbacks.base import Callback
from minifast.callbacks.batch import BnFreeze, MCDropoutCallback, ShortEpochCallback
from minifast.callbacks.collect import HookCallback
from minifast.callbacks.distill import KnowledgeDistillation
from minifast.callbacks.dynamics import PredictionDynamics
from minifast.callbacks.gradients import SAM, GradientAccumulation, GradientClip, GradientClipValue
from minifast.callbacks.loggers import CSVLogger, FileLogger, JSONLogger, TensorBoardCallback, WandbCallback
from minifast.callbacks.lr_finder import LRFinder
from minifast.callbacks.mix import CutMix, CutMixUp, MixHandler, MixUp
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.regularise import ActivationReg, ModelResetter
from minifast.callbacks.resize import ProgressiveResize
from minifast.callbacks.resume import Resume
from minifast.callbacks.scheduler import ParamScheduler, TorchScheduler
from minifast.callbacks.trackers import EarlyStoppingCallback, SaveModelCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim.schedules import SchedCos


def on_pictures(cb):
    "The callbacks with which `cb` sees batches of pictures."
    def reshape(own):
        own.learn.xb = (own.learn.xb[0].reshape(-1, 1, 1, 3),)

    return [Callback(before_batch=reshape, after_create=lambda own: own.learn.model.insert(0, nn.Flatten())), cb]


def on_large_pictures(cb):
    "The callbacks with which `cb` has data that are pictures of 6x6."
    def prepare(own):
        x = torch.randn(len(own.learn.dls.train_ds), 1, 6, 6)
        ds = TensorDataset(x, own.learn.dls.train_ds.tensors[1])
        own.learn.dls = DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4))
        own.learn.model.insert(0, nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten()))

    return [Callback(after_create=prepare), cb]


FOLDER = tempfile.TemporaryDirectory()


def in_folder(name):
    "A place to write to that is gone after the tests; another one each time, for an interrupted fit leaves a state to resume from."
    return f"{tempfile.mkdtemp(dir=FOLDER.name)}/{name}"


#: Callbacks that need arguments, or another setting than the default on this device.
MAKE = {ParamScheduler: lambda: ParamScheduler({"lr": SchedCos(1e-2, 1e-3)}), MixedPrecision: lambda: MixedPrecision("bf16"),
        LRFinder: lambda: LRFinder(num_it=6), HookCallback: lambda: HookCallback(hook=lambda m, i, o: o),
        KnowledgeDistillation: lambda: KnowledgeDistillation(nn.Linear(3, 2)),
        SaveModelCallback: lambda: SaveModelCallback(fname=in_folder("model")), FileLogger: lambda: FileLogger(in_folder("history.log")),
        CSVLogger: lambda: CSVLogger(in_folder("history.csv")), JSONLogger: lambda: JSONLogger(in_folder("history.jsonl")),
        PredictionDynamics: lambda: PredictionDynamics(path=in_folder("dynamics")),
        TensorBoardCallback: lambda: pytest.importorskip("tensorboard") and TensorBoardCallback(in_folder("runs")),
        WandbCallback: lambda: pytest.importorskip("wandb") and WandbCallback(mode="disabled", dir=in_folder("")),
        MixHandler: MixUp, CutMix: lambda: on_pictures(CutMix()), CutMixUp: lambda: on_pictures(CutMixUp()),
        ActivationReg: lambda: ActivationReg(1e-3, "0"), GradientClipValue: lambda: GradientClipValue(0.1),
        MCDropoutCallback: lambda: [Callback(after_create=lambda cb: cb.learn.model.append(nn.Dropout(0.1))), MCDropoutCallback()],
        ProgressiveResize: lambda: on_large_pictures(ProgressiveResize()), Resume: lambda: Resume(in_folder("resume")),
        TorchScheduler: lambda: TorchScheduler(partial(StepLR, step_size=1)),
        ModelResetter: lambda: [Callback(after_create=lambda cb: setattr(cb.learn.model, "reset", list)), ModelResetter()]}


def all_callbacks():
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(minifast.callbacks.__path__, "minifast.callbacks.")]
    found = {o for m in modules for o in vars(m).values() if isinstance(o, type) and issubclass(o, Callback) and o is not Callback}
    return sorted(found, key=lambda c: c.__name__)


def make(n_batches, cbs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(4 * n_batches, 3), torch.arange(4 * n_batches) % 2)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    learn = Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4)), model, CrossEntropyLossFlat(), cbs=cbs)
    learn.logger = lambda row: None
    return learn


def hooks_of(model):
    return sum(len(getattr(m, kind)) for m in model.modules()
               for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"))


def assert_clean(learn, loss_func):
    assert hooks_of(learn.model) == 0
    assert not torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    assert learn.loss_func is loss_func and not learn.training and not learn.model.training and learn.dl is None
    assert all(cb.run for cb in learn.cbs)


@pytest.mark.parametrize("n_batches", [2, 1])
@pytest.mark.parametrize("cls", all_callbacks(), ids=lambda c: c.__name__)
def test_trains(cls, n_batches):
    learn = make(n_batches, MAKE.get(cls, cls)())
    loss_func = learn.loss_func
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    learn.get_preds()
    assert_clean(learn, loss_func)


EVENTS = ["before_batch", "after_pred", "after_backward", "after_step", "before_validate"]
# the learning-rate finder cancels validation, so nothing can be interrupted there
INTERRUPTED = [(c, e) for c in all_callbacks() for e in EVENTS if (c, e) != (LRFinder, "before_validate")]


@pytest.mark.parametrize(("cls", "event"), INTERRUPTED, ids=lambda o: getattr(o, "__name__", o))
def test_survives_interruption(cls, event):
    learn = make(2, MAKE.get(cls, cls)())
    loss_func = learn.loss_func

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(**{event: interrupt}))
    assert_clean(learn, loss_func)
    learn.fit(1)
    assert_clean(learn, loss_func)


#: Techniques that people use together.
PAIRS = {
    "mixup and ema": lambda: [MixUp(), EMA(0.9)],
    "mixup and label smoothing of bf16": lambda: [MixUp(), MixedPrecision("bf16")],
    "accumulation and clipping": lambda: [GradientAccumulation(8), GradientClip(0.1)],
    "accumulation and bf16": lambda: [GradientAccumulation(8), MixedPrecision("bf16")],
    "clipping and bf16": lambda: [GradientClip(0.1), MixedPrecision("bf16")],
    "sam and ema": lambda: [SAM(), EMA(0.9)],
    "sam and clipping": lambda: [SAM(), GradientClip(0.1)],
    "saving the best and stopping early": lambda: [SaveModelCallback(fname=in_folder("pair")), EarlyStoppingCallback(patience=2)],
    "saving the best and ema": lambda: [SaveModelCallback(fname=in_folder("pair_ema")), EMA(0.9)],
    "schedule and log": lambda: [ParamScheduler({"lr": SchedCos(1e-2, 1e-3)}), CSVLogger(in_folder("pair.csv"))],
    "frozen statistics and activation penalty": lambda: [BnFreeze(), ActivationReg(1e-3, "0")],
    "resizing and mixup": lambda: [*on_large_pictures(ProgressiveResize()), MixUp()],
    "resuming and accumulation": lambda: [Resume(in_folder("pair_resume")), GradientAccumulation(8)],
    "short epochs and averaged weights": lambda: [ShortEpochCallback(0.5), SWA()],
}


@pytest.mark.parametrize("n_batches", [2, 1])
@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_train(pair, n_batches):
    learn = make(n_batches, PAIRS[pair]())
    loss_func = learn.loss_func
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    assert_clean(learn, loss_func)


@pytest.mark.parametrize("event", ["after_pred", "after_backward", "before_validate"])
@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_survive_interruption(pair, event):
    learn = make(2, PAIRS[pair]())
    loss_func = learn.loss_func

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(**{event: interrupt}))
    assert_clean(learn, loss_func)


def test_the_list_is_not_empty():
    assert {"Recorder", "ProgressCallback", "ParamScheduler", "LRFinder", "MixedPrecision", "GatherPreds", "FirstBatch", "MixUp",
            "CutMix", "CutMixUp", "EMA", "SWA", "SAM", "GradientAccumulation", "GradientClip", "SaveModelCallback", "EarlyStoppingCallback",
            "ReduceLROnPlateau", "TerminateOnNaNCallback", "CSVLogger", "ProgressiveResize", "Resume", "BnFreeze"} <= {
        c.__name__ for c in all_callbacks()}
