"""What a recorder shows and remembers, under fastai's words."""
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.lr_finder import LRFinder
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import Recorder
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy, error_rate
from minifast.nn.losses import CrossEntropyLossFlat


def make(**kwargs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(16, 4), torch.arange(16) % 3)
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), nn.Linear(4, 3), CrossEntropyLossFlat(), **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


def test_plot_metrics_has_the_losses_and_each_metric_over_all_epochs():
    learn = make(metrics=[accuracy, error_rate])
    with pytest.raises(ValueError, match="nothing has been recorded yet: train first"):
        learn.recorder.plot_metrics()
    learn.fit(2)
    learn.fit(1)
    loss, *metrics = learn.recorder.plot_metrics()
    assert [ax.get_ylabel() for ax in (loss, *metrics)] == ["loss", "accuracy", "error_rate"]
    assert [line.get_label() for line in loss.lines] == ["train_loss", "valid_loss"]
    assert metrics[0].lines[0].get_ydata().tolist() == [row["accuracy"] for row in learn.recorder.history]
    assert len(learn.recorder.plot_metrics(nrows=2, ncols=2, figsize=(4, 4))) == 3


def test_plot_metrics_of_training_and_validation():
    learn = make(metrics=accuracy, default_cbs=False, cbs=Recorder(train_metrics=True))
    learn.fit(2)
    assert [line.get_label() for line in learn.recorder.plot_metrics()[1].lines] == ["train_accuracy", "valid_accuracy"]


def test_before_the_first_fit_losses_and_rates_are_those_of_lr_find():
    learn = make()
    learn.lr_find(show_plot=False, num_it=10)
    assert learn.recorder.lrs == learn.recorder.lr_find.lrs and len(learn.recorder.losses) == len(learn.recorder.lrs) >= 8
    learn.fit(1, 0.1)
    assert learn.recorder.lrs == [0.1, 0.1] and len(learn.recorder.losses) == 2 and learn.smooth_loss == learn.recorder.losses[-1]
    learn.lr_find(show_plot=False, num_it=10)
    assert len(learn.recorder.losses) == 2 and learn.smooth_loss == learn.recorder.last.smooth[-1] and len(learn.recorder.values) == 1


def test_the_range_test_as_a_callback_keeps_its_rates_and_losses():
    learn, finder = make(), LRFinder(num_it=8)
    learn.fit(5, cbs=finder)
    assert len(finder.lrs) == len(finder.losses) == 8 and finder.lrs == sorted(finder.lrs) and finder.lrs[0] == 1e-7


@pytest.mark.parametrize("name, advice", [("plot", "plot_lr_find"), ("plot_losses", "recorder.plot_loss"), ("plot_lr", "plot_sched"),
                                          ("val_losses", r"frame\(\)\['valid_loss'\]"), ("nb_batches", "recorder.iters")])
def test_words_of_fastai_1_say_what_to_write(name, advice):
    with pytest.raises(AttributeError, match=rf"Recorder has no `{name}`: .*{advice}"):
        getattr(make().recorder, name)


def test_final_record_is_the_last_row_of_the_table():
    learn = make(metrics=accuracy)
    assert learn.final_record is None
    learn.fit(2)
    assert learn.final_record == learn.recorder.values[-1] and learn.final_record[1:] == learn.validate()
