"""Attributes of fastai's learner that stand elsewhere: the message says where."""
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.assignment import declared
from minifast.learner.elsewhere import ELSEWHERE
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


@pytest.fixture
def learn():
    ds = TensorDataset(torch.randn(16, 4), torch.arange(16) % 3)
    learn = Learner(DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8)), nn.Linear(4, 3), CrossEntropyLossFlat())
    learn.logger = lambda row: None
    return learn


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_every_word_of_the_table_is_missing_and_says_what_to_write(learn, name):
    assert name not in declared(Learner) and not hasattr(learn, name)
    with pytest.raises(AttributeError, match=f"a Learner has no attribute '{name}': ") as e:
        getattr(learn, name)
    assert "learn." in str(e.value) or "write" in str(e.value)


def test_what_fastai_delegates_to_model_and_data(learn):
    for name, where in (("state_dict", "model"), ("parameters", "model"), ("weight", "model"), ("eval", "model"), ("n_inp", "dls")):
        with pytest.raises(AttributeError, match=f"a Learner has no attribute '{name}': write learn.{where}.{name}"):
            getattr(learn, name)


@pytest.mark.parametrize("name", ["_fitt", "_handler", "_pass", "_modl", "run_handlerz", "_steps"])
def test_no_suggestion_is_private(learn, name):
    for owner in (learn, learn.recorder, Callback()):
        with pytest.raises(AttributeError) as e:
            getattr(owner, name)
        assert "did you mean '_" not in str(e.value)
    with pytest.raises(AttributeError) as e:
        learn.runing = 1
    assert "did you mean 'running'" in str(e.value)


def test_to_detach_for_metrics_and_callbacks_of_ones_own(learn):
    seen = []
    learn.fit(1, cbs=Callback(after_loss=lambda cb: seen.append(cb.learn.to_detach((cb.learn.pred, cb.learn.y)))))
    assert all(not t.requires_grad and t.device.type == "cpu" for pair in seen for t in pair) and len(seen) == 4


def test_a_callback_reads_the_verbs_of_its_learner_as_in_fastai(learn):
    class Mine(Callback):
        def after_fit(self):
            self.read = (self.validate, self.get_preds, self.save, self.opt_func, self.wd, self.arch, self.unfreeze, self.to_detach)

    mine = Mine()
    learn.fit(1, cbs=mine)
    assert mine.read[0].__self__ is learn and mine.read[3] is learn.opt_func and mine.read[5] is None
