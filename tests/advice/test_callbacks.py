"What the messages of `minifast.callbacks` say to write."
import operator
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from suggestions import told
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import TensorDataset
from workshop import extra, image, images, learner, numbers, of_images

from minifast.callbacks import loggers
from minifast.callbacks.activations import ActivationStats, GradientNorms
from minifast.callbacks.averaging import EMA
from minifast.callbacks.batch import MCDropoutCallback, TerminateOnNaNCallback
from minifast.callbacks.collect import HookCallback
from minifast.callbacks.distill import KnowledgeDistillation
from minifast.callbacks.dynamics import PredictionDynamics
from minifast.callbacks.gradients import SAM
from minifast.callbacks.loggers import CSVLogger, TensorBoardCallback, WandbCallback
from minifast.callbacks.mix import CutMix, CutMixUp, Mix, MixHandler, MixUp
from minifast.callbacks.overfitting import Overfit, sentence
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.regularise import ActivationReg, ModelResetter, RNNCallback, RNNRegularizer, rnn_cbs
from minifast.callbacks.resize import ProgressiveResize
from minifast.callbacks.resume import Resume
from minifast.callbacks.scheduler import TorchScheduler
from minifast.callbacks.trackers import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from minifast.vision.all import *


def test_nothing_recorded_yet():
    stats = ActivationStats()
    with told("callbacks/activations.py", "train first, with cbs=ActivationStats()"):
        stats.layer_stats(0)
    learner(cbs=(stats := ActivationStats())).fit(1)
    assert stats.layer_stats(0)
    with told("callbacks/activations.py", "write ActivationStats(with_hist=True)"):
        stats.hist(0)
    learner(cbs=(stats := ActivationStats(with_hist=True))).fit(1)
    assert len(stats.hist(0)) == 40
    with told("callbacks/activations.py", "train first, with cbs=GradientNorms()"):
        GradientNorms().plot()
    learner(cbs=(norms := GradientNorms())).fit(1)
    assert norms.plot() is not None
    plt.close("all")


def test_training_averaged_weights():
    learn = learner(cbs=(ema := EMA()))
    learn.fit(1)
    with told("callbacks/averaging.py", "end the block `with ...averaged():` first"), ema.averaged():
        learn.fit(1)
    with ema.averaged():
        pass
    learn.fit(1)


def test_names_of_callbacks():
    with told("callbacks/base.py", "which would not reach the learner: write `self.learn.… = ...`"):
        class Sets(Callback):
            def before_batch(self):
                self.xb = ()

        learner(cbs=Sets()).fit(1)

    class SetsThere(Callback):
        def before_batch(self):
            self.learn.xb = tuple(x * 2 for x in self.learn.xb)

    learner(cbs=SetsThere()).fit(1)
    with told("callbacks/base.py", "the function is called without arguments, or with the callback (read state as `cb.learn`)"):
        Callback(after_batch=lambda learn, loss: None)
    learner(cbs=Callback(after_batch=lambda: None)).fit(1)
    learner(cbs=Callback(after_batch=lambda cb: cb.learn.loss)).fit(1)
    cb = Callback()
    with told("callbacks/base.py", "use `learn.add_cb(...)` or `cbs=[...]`"):
        cb.model
    learn = learner()
    learn.add_cb(cb)
    assert cb.model is learn.model
    learn = learner(cbs=[cb := Callback()])
    assert learn.model is cb.model
    with told("callbacks/base.py", "training state lives on the learner: write `self.learn.…`"):
        cb.freezer
    learn.fit(1)
    assert cb.learn.freezer is learn.freezer is not None


def test_callbacks_that_each_run_first():
    class A(Callback):
        run_before = "B"

    class B(Callback):
        run_before = "A"

    with told("callbacks/base.py", "change their `run_before`/`run_after`"):
        learner(cbs=[A(), B()]).fit(1)
    B.run_before, B.run_after = (), "A"
    learner(cbs=[A(), B()]).fit(1)


def test_dropout_that_is_not_there():
    with told("callbacks/batch.py", "build it with some, such as nn.Dropout(0.2)"):
        learner(cbs=MCDropoutCallback()).validate()
    learner(nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 3)), cbs=MCDropoutCallback()).validate()


def test_items_of_a_bad_loss():
    x = torch.zeros(8, 4)
    x[5, 0] = float("nan")                                  # in the second batch
    data = TensorDataset(x, torch.zeros(8).long())

    def fit(train):
        learner(dls=DataLoaders(train), cbs=TerminateOnNaNCallback()).fit(1)

    with told("callbacks/batch.py", "a loader of minifast, `DataLoader(dataset, bs=...)`, would name them"):
        fit(torch.utils.data.DataLoader(data, 4))
    with pytest.raises(FloatingPointError, match="at fault"):
        fit(DataLoader(data, bs=4))


def test_weights_that_were_broken():
    model = nn.Linear(4, 3)
    model.weight.data[0, 0] = float("nan")
    with told("callbacks/batch.py", "Train again from fresh weights with a lower learning rate (lr was …; `learn.lr_find()` suggests one)"):
        learner(model, cbs=TerminateOnNaNCallback()).fit(1)
    learn = learner(cbs=TerminateOnNaNCallback())
    learn.lr_find(num_it=10)
    learn.fit(1, lr=1e-4)


def test_a_hook_callback_without_hook():
    class Hooks(HookCallback):
        def hook(self, m, i, o):
            return o.shape

    with told("callbacks/collect.py", "define `def hook(self, m, i, o)`, or pass hook="):
        learner(cbs=HookCallback()).fit(1)
    learner(cbs=Hooks()).fit(1)
    learner(cbs=HookCallback(hook=lambda m, i, o: o.shape)).fit(1)


def test_teachers():
    def odd(preds, targets):
        return nn.functional.cross_entropy(preds, targets)

    with told("callbacks/distill.py", "give kind=, one of"):
        learner(loss_func=odd, cbs=KnowledgeDistillation(nn.Linear(4, 3))).fit(1)
    learner(loss_func=odd, cbs=KnowledgeDistillation(nn.Linear(4, 3), kind="class logits")).fit(1)
    with told("callbacks/distill.py", "Give both data sets the same classes, CategoryBlock(vocab=[...])"):
        of_images(images(CategoryBlock(vocab=[0, 1])), cbs=KnowledgeDistillation(of_images(images(CategoryBlock(vocab=[1, 0]))))).fit(1)
    of_images(images(CategoryBlock(vocab=[0, 1])), cbs=KnowledgeDistillation(of_images(images(CategoryBlock(vocab=[0, 1]))))).fit(1)
    teacher = of_images(images(batch_tfms=Normalize.from_stats(*imagenet_stats)))
    dls, (mean, std) = images(), imagenet_stats
    with told("callbacks/distill.py", "give the student loaders with the teacher's normalisation, "
                                      "`dls.with_tfms(Normalize.from_stats(mean, std))` of loaders that have none"):
        of_images(dls, cbs=KnowledgeDistillation(teacher)).fit(1)
    of_images(dls.with_tfms(Normalize.from_stats(mean, std)), cbs=KnowledgeDistillation(teacher)).fit(1)


def test_dynamics_before_training():
    dynamics = PredictionDynamics()
    with told("callbacks/dynamics.py", "train with this callback first, `learn.fit(3, cbs=dynamics)`"):
        dynamics.plot()
    learn = learner()
    learn.fit(3, cbs=dynamics)
    assert dynamics.plot() is not None
    plt.close("all")


def test_optimizers_and_epochs_of_other_libraries():
    with told("callbacks/foreign_events.py", "give the optimizer to the learner, `Learner(opt_func=...)`"):
        class Configures(Callback):
            def configure_optimizers(self):
                return None

    learner(opt_func=Adam).fit(1)
    with told("callbacks/foreign_events.py", "`learn.fit(n_epoch, start_epoch=k)` starts at epoch k"):
        class Jumps(Callback):
            def jump_to_epoch(self, epoch):
                return epoch

    learn = learner()
    learn.fit(2, start_epoch=1)
    assert len(learn.recorder.history) == 1


def test_sam_beside_others(monkeypatch):
    monkeypatch.setattr(MixedPrecision, "works_on", lambda self, device: True)
    learn = learner(cbs=SAM())
    learn.add_cb(MixedPrecision("fp16"))
    with told("callbacks/gradients.py", "train in bf16, `learn.to_bf16()`"):
        learn.fit(1)
    monkeypatch.undo()
    learner(cbs=SAM()).to_bf16().fit(1)

    def of_ids(sparse):
        ids = TensorDataset(torch.arange(8), torch.arange(8) % 3)
        learner(nn.Embedding(8, 3, sparse=sparse), DataLoaders(DataLoader(ids, bs=4)), opt_func=SGD, cbs=SAM()).fit(1)

    with told("callbacks/gradients.py", "make it with sparse=False"):
        of_ids(True)
    of_ids(sparse=False)


def test_files_of_loggers(tmp_path):
    (tmp_path / "logs").mkdir()
    with told("callbacks/loggers.py", "is a folder; give a file name"):
        learner(path=tmp_path, cbs=CSVLogger(fname="logs")).fit(1)
    learner(path=tmp_path, cbs=CSVLogger(fname="logs/history.csv")).fit(1)
    assert (tmp_path / "logs/history.csv").exists()
    (tmp_path / "file").write_text("")
    with told("callbacks/training_run.py", "give it, or the learner (`learn.path = Path('...')`), a writable folder"):
        learner(path=tmp_path, cbs=CSVLogger(fname="file/history.csv")).fit(1)
    learn = learner(cbs=CSVLogger())
    learn.path = Path(tmp_path)
    learn.fit(1)


def test_loggers_that_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with told("callbacks/loggers.py", 'TensorBoardCallback needs tensorboard: pip install "minifast[trackers]"'):
        TensorBoardCallback()
    with told("callbacks/loggers.py", 'WandbCallback needs wandb: pip install "minifast[trackers]"'):
        WandbCallback()
    monkeypatch.undo()
    assert {"tensorboard", "wandb"} <= extra("trackers")                # pip install "minifast[trackers]"
    learner(path=tmp_path, cbs=TensorBoardCallback(log_preds=False)).fit(1)


def test_a_short_range_test():
    with told("callbacks/lr_finder.py", "so give at least 8; or suggest_funcs=None"):
        learner().lr_find(num_it=6)
    learner().lr_find(num_it=8)
    learner().lr_find(num_it=6, suggest_funcs=None)


def test_a_range_test_that_diverges():
    x = torch.linspace(-1, 1, 80).view(20, 4)
    data = TensorDataset(x * 1e4, x[:, :1])
    dls = DataLoaders(DataLoader(data, bs=5))

    def find(start_lr):
        learn = learner(nn.Linear(4, 1), dls, MSELossFlat(), opt_func=SGD)
        return learn.lr_find(start_lr=start_lr, num_it=60)

    with told("callbacks/lr_finder.py", "Start lower, `start_lr=…`, or look at the data with `dls.show_batch()`"):
        find(1.0)
    assert find(start_lr=1e-12)


def test_mixing():
    class Draws(MixHandler):
        def draw(self, rng, n, size, device):
            return Mix(torch.arange(n), torch.ones(n))

    with told("callbacks/mix.py", "use one of them, or define draw(rng, n, size, device)"):
        MixHandler()
    for cb in (MixUp(), CutMix(), CutMixUp(), Draws()):
        of_images(cbs=cb).fit(1)
    with told("callbacks/mix.py", "would mix the same batch twice: keep one, or use CutMixUp(), which alternates"):
        of_images(cbs=[MixUp(), CutMix()]).fit(1)
    of_images(cbs=CutMixUp()).fit(1)
    of_images(cbs=MixUp()).fit(1)
    with told("callbacks/mix.py", "it needs a floating input (B,C,H,W) or (B,C,T). For other data use MixUp()"):
        learner(cbs=CutMix()).fit(1)
    learner(cbs=MixUp()).fit(1)


@pytest.mark.slow
def test_mixing_embeddings_of_a_compiled_model():
    ids = TensorDataset(torch.arange(8), torch.arange(8) % 3)
    learn = learner(nn.Embedding(8, 3), DataLoaders(DataLoader(ids, bs=4)), cbs=MixUp())
    learn.compile()
    with told("callbacks/mix.py", "train this model without learn.compile()"):
        learn.fit(1)
    learner(nn.Embedding(8, 3), DataLoaders(DataLoader(ids, bs=4)), cbs=MixUp()).fit(1)         # not compiled


def test_overfitting(tmp_path):
    found = Overfit(1, 4, (0.5, 0.9), (0.4, 0.1))
    text = sentence(found)
    with told("callbacks/overfitting.py", "keep the best with SaveModelCallback()", "stop with EarlyStoppingCallback(patience=...)"):
        raise UserWarning(text[:1].lower() + text[1:].replace("Keep", "keep"))
    learner(path=tmp_path, cbs=[SaveModelCallback(), EarlyStoppingCallback(patience=2)]).fit(1)


def test_overflowing_gradients(monkeypatch):
    cb = MixedPrecision("fp16")
    cb.learn = learn = learner()
    cb.scaler = SimpleNamespace(get_scale=lambda: 2.0)
    cb._skipped, cb._skipped_before, cb._steps = 5, 0, 10
    with told("callbacks/precision.py", "with more, try a lower learning rate, gradient clipping, or to_bf16(), which needs no scaling"):
        cb.after_fit()
    learn.to_bf16().fit(1, lr=1e-4, cbs=GradientClip(1.0))


def test_the_recorder():
    learn = learner()
    recorder = learn.recorder
    with told("callbacks/recorder.py", "nothing has been recorded yet: train first, `learn.fit(1)`"):
        recorder.plot_loss()
    with told("callbacks/recorder.py", "nothing has been recorded yet: train first, `learn.fit(1)`"):
        recorder.plot_metrics()
    learn.fit(1)
    with told("callbacks/recorder.py", "call `learn.lr_find()` first"):
        recorder.plot_lr_find()
    learn.lr_find(num_it=10)
    with told("callbacks/recorder.py", "write recorder.plot_lr_find() for the range test, plot_loss(), plot_sched() or plot_metrics()"):
        recorder.plot()
    for plot in (recorder.plot_lr_find, recorder.plot_loss, recorder.plot_sched, recorder.plot_metrics):
        assert plot() is not None
    with told("callbacks/recorder.py", "write recorder.plot_loss()"):
        recorder.plot_losses()
    with told("callbacks/recorder.py", "write recorder.plot_sched()"):
        recorder.plot_lr()
    with told("callbacks/recorder.py", "write recorder.frame()['valid_loss']"):
        recorder.val_losses
    assert len(recorder.frame()["valid_loss"]) == 1
    assert recorder.plot_loss() is not None and recorder.plot_sched() is not None
    plt.close("all")


def test_a_training_loss_that_became_nan():
    model = nn.Linear(4, 3)
    model.weight.data[0, 0] = float("nan")
    with told("callbacks/recorder.py", "train again from fresh weights with a lower learning rate (lr was …; `learn.lr_find()`",
              "`TerminateOnNaNCallback()` stops before the weights are lost"):
        learner(model, loss_func=lambda p, y: (p - p.detach()).mean() + p.mean() * 0).fit(1)
    learn = learner(cbs=TerminateOnNaNCallback())
    learn.lr_find(num_it=10)
    learn.fit(1, lr=1e-4)


class Recurrent(nn.Module):
    "Returns (output, raw outputs, dropped outputs) and counts how often it was reset."

    def __init__(self):
        super().__init__()
        self.lin, self.resets = nn.Linear(4, 3), 0

    def forward(self, x):
        out = self.lin(x)
        return out, out[:, None], out[:, None]

    def reset(self):
        self.resets += 1


def test_recurrent_models():
    with told("callbacks/regularise.py", "give the model one that forgets its hidden state, or leave this callback out"):
        learner(cbs=ModelResetter()).fit(1)
    learner().fit(1)                                            # without ModelResetter
    learn = learner(Recurrent(), cbs=[ModelResetter(), RNNCallback()])
    learn.fit(1)
    assert learn.model.resets
    with told("callbacks/regularise.py", "add both, `cbs=rnn_cbs(alpha=2, beta=1)`"):
        learner(Recurrent(), cbs=RNNRegularizer(alpha=2, beta=1)).fit(1)
    learner(Recurrent(), cbs=rnn_cbs(alpha=2, beta=1)).fit(1)
    with told("callbacks/regularise.py", "For other models use ActivationReg(alpha)"):
        learner(cbs=[RNNCallback(), RNNRegularizer(alpha=2, beta=1)]).fit(1)
    alpha = 2.0
    learner(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), cbs=ActivationReg(alpha)).fit(1)


def test_sizes_of_images():
    with told("callbacks/resize.py", "give either sizes= or a ProgressiveResize"):
        of_images(cbs=[ProgressiveResize(sizes=[4, 8]), ProgressiveResize()]).fit(1)
    of_images(cbs=ProgressiveResize(sizes=[4, 8])).fit(2)
    with told("callbacks/resize.py", "End with …, or make the data with images of …"):
        of_images(cbs=ProgressiveResize(sizes=[4, 6])).fit(2)
    of_images(images(get_x=partial(image, size=6)), cbs=ProgressiveResize(sizes=[4, 6])).fit(2)
    of_images(cbs=ProgressiveResize(sizes=[4, 8])).fit(2)


def test_resuming_without_a_recorder(tmp_path):
    with told("callbacks/resume.py", "create the learner with default_cbs=True"):
        learn = Learner(numbers(), nn.Linear(4, 3), CrossEntropyLossFlat(), default_cbs=False, path=tmp_path, cbs=Resume())
        learn.fit(1)
    learner(default_cbs=True, path=tmp_path, cbs=Resume()).fit(1)


def test_schedulers_of_torch():
    with told("callbacks/scheduler.py", "use `fit`, which has no schedule of its own, with a torch scheduler"):
        learner(cbs=TorchScheduler(partial(StepLR, step_size=2))).fit_one_cycle(1)
    learner(cbs=TorchScheduler(partial(StepLR, step_size=2))).fit(1)
    learn = learner()
    with told("callbacks/scheduler.py", "write `learn.create_opt()`, then make it with `learn.opt`; or give a function of the optimizer"):
        learn.fit(1, cbs=TorchScheduler(StepLR(torch.optim.SGD(learn.model.parameters(), lr=0.1), step_size=2)))
    learn.create_opt()
    learn.fit(1, cbs=TorchScheduler(StepLR(learn.opt, step_size=2)))


def mystery(preds, targets):
    return preds.mean()


@pytest.mark.parametrize("comp", [np.less, np.greater])
def test_which_way_is_better(comp, tmp_path):
    with told("callbacks/trackers.py", "use np.less (lower is better) or np.greater"):
        EarlyStoppingCallback(comp=operator.ne)
    assert EarlyStoppingCallback(comp=comp).lower is (comp is np.less)
    with told("callbacks/trackers.py", "Write comp=np.less or comp=np.greater, or set `lower_is_better` on the metric"):
        learner(metrics=mystery, path=tmp_path, cbs=SaveModelCallback(monitor="mystery")).fit(1)
    learner(metrics=mystery, path=tmp_path, cbs=SaveModelCallback(monitor="mystery", comp=comp)).fit(1)
    metric = AvgMetric(mystery)
    metric.lower_is_better = comp is np.less
    learner(metrics=metric, path=tmp_path, cbs=SaveModelCallback(monitor="mystery")).fit(1)


def test_names_of_columns(tmp_path):
    f = mystery
    with told("callbacks/trackers.py", "Give one of the metrics another, `AvgMetric(f, name='...')`"):
        learner(metrics=[f, f], path=tmp_path, cbs=SaveModelCallback(monitor="mystery", comp=np.less)).fit(1)
    learner(metrics=[f, AvgMetric(f, name="other")], path=tmp_path, cbs=SaveModelCallback(monitor="mystery", comp=np.less)).fit(1)
    with told("callbacks/trackers.py", "takes the name of a column of the epoch table, such as 'valid_loss'"):
        SaveModelCallback(monitor=accuracy)
    assert SaveModelCallback(monitor="valid_loss").monitor == "valid_loss"
    with told("callbacks/trackers.py", "give one of them another fname, such as fname='"):
        learner(path=tmp_path, cbs=[SaveModelCallback(), SaveModelCallback("train_loss")]).fit(1)
    learner(path=tmp_path, cbs=[SaveModelCallback(), SaveModelCallback("train_loss", fname="model_train_loss")]).fit(1)


def test_stopping_and_schedules():
    learn = learner(cbs=EarlyStoppingCallback(patience=1))
    with told("callbacks/trackers.py", "Use patience=… or more, or fit_flat_cos, whose rate only falls"):
        learn.fit_one_cycle(6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner(cbs=EarlyStoppingCallback(patience=3)).fit_one_cycle(6)
        learner(cbs=EarlyStoppingCallback(patience=1)).fit_flat_cos(2)
    with told("callbacks/trackers.py", ": write factor=…"):
        ReduceLROnPlateau(factor=0.1)
    assert ReduceLROnPlateau(factor=10).factor == 10
    with told("callbacks/trackers.py", "Use it with fit(), whose learning rate is constant, or leave it out"):
        learner(cbs=ReduceLROnPlateau()).fit_one_cycle(1)
    learner(cbs=ReduceLROnPlateau()).fit(1)
    learner().fit_one_cycle(1)
