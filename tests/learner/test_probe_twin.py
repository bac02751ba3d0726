"""`Learner.twin`: whatever happens to the twin, the learner stays as it is."""
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import Recorder
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat


class Doubled(Callback):
    "Changes training, so the twin has it too."

    def after_loss(self):
        self.learn.loss = self.learn.loss * 2


class Log(Callback):
    "Only watches, so the twin does without it."

    def after_epoch(self):
        self.seen = True


def make():
    ds = TensorDataset(torch.randn(12, 3), torch.randn(12, 1))
    dls = DataLoaders(DataLoader(ds, bs=4, shuffle=True, seed=0), DataLoader(ds, bs=4), device="cpu")
    return Learner(dls, nn.Linear(3, 1), MSELossFlat(), cbs=[Doubled(), Log()], metrics="mae")


def test_training_the_twin_leaves_the_learner_alone():
    learn = make()
    learn.create_opt()
    before, handlers = {n: p.clone() for n, p in learn.model.state_dict().items()}, learn.ordered_cbs("after_epoch")
    twin = learn.twin()
    twin.fit(2, 0.1)
    assert all(torch.equal(p, before[n]) for n, p in learn.model.state_dict().items())
    assert not torch.equal(twin.model.weight, before["weight"])
    assert twin.opt is not learn.opt and twin.dls is not learn.dls and twin.dls.train_ds is learn.dls.train_ds
    assert learn.recorder.history == [] and len(twin.recorder.history) == 2 and learn.dls.train.epoch == 0
    assert learn.ordered_cbs("after_epoch") == handlers and all(cb.learn is learn for cb in learn.cbs)
    assert twin.metrics[0] is not learn.metrics[0]


def test_it_has_the_callbacks_that_change_training():
    learn = make()
    twin = learn.twin()
    assert [type(cb) for cb in twin.cbs] == [Doubled, Recorder] and twin.doubled is not learn.doubled
    assert all(cb.learn is twin for cb in twin.cbs)


def test_a_model_that_cannot_be_copied_is_shared():
    learn = make()
    twin = learn.twin(copy_model=False)
    assert twin.model is learn.model and twin.loss_func is not learn.loss_func


def test_subclasses_of_what_records_or_shows_are_left_out_whatever_they_override():
    class OwnRecorder(Recorder):
        def before_batch(self):
            self.batches = 1

    class OwnBar(ProgressCallback):
        def after_loss(self):
            self.losses = 1

    learn = make()
    learn.remove_cbs([Recorder, ProgressCallback])
    learn.add_cbs([OwnRecorder(), OwnBar()])
    assert [type(cb) for cb in learn.twin().cbs] == [Doubled, Recorder]
