"""A misspelt attribute is an error, and so is a batch that the loop cannot go on with."""
import pytest
import torch
from torch import nn

from minifast.basics import Callback, CrossEntropyLossFlat, DataLoaders, L, Learner
from minifast.learner.assignment import declared
from minifast.learner.loop import TrainingLoop


class Base(TrainingLoop):
    lr: float
    epochs = 1

    @property
    def twice(self):
        return self.epochs * 2

    @twice.setter
    def twice(self, value):
        self.epochs = value // 2

    @property
    def fixed(self):
        return 1


class Child(Base):
    momentum: float


def test_declared_attributes_can_be_set():
    b = Child()
    b.lr, b.epochs, b.momentum, b._private = 0.1, 3, 0.9, "mine"
    assert (b.lr, b.epochs, b.momentum, b._private) == (0.1, 3, 0.9, "mine")
    b.twice = 10
    assert b.epochs == 5


def test_a_misspelt_name_is_refused():
    with pytest.raises(AttributeError, match=r"^a Child has no attribute 'momentun'; did you mean 'momentum'\? To keep a value of your "
                                             "own, put it on a Callback, or declare it in a subclass$"):
        Child().momentun = 1
    with pytest.raises(AttributeError, match=r"^a Base has no attribute 'zzz'\. To keep a value of your own"):
        Base().zzz = 1
    with pytest.raises(AttributeError):
        Base().momentum = 1                     # declared by the subclass only


def test_a_property_without_setter_stays_read_only():
    with pytest.raises(AttributeError):
        Base().fixed = 2


def test_declared_is_per_class():
    assert "momentum" in declared(Child) and "momentum" not in declared(Base) and "lr" in declared(Child)
    assert not any(n.startswith("__") for n in declared(Child))


def fit(event, f):
    "Train three batches of one item each with a callback that runs `f` at `event`."
    batches = [(torch.randn(1, 4), torch.tensor([i])) for i in range(3)]
    learn = Learner(DataLoaders(batches, batches), nn.Linear(4, 3), CrossEntropyLossFlat(), cbs=type("Own", (Callback,), {event: f})())
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return [float(loss) for loss in learn.recorder.losses]


def test_inputs_and_targets_of_a_batch_are_tuples():
    def bare_input(self):
        self.learn.xb = self.x * 2          # a model would have taken the one item for its input, without a word

    def bare_target(self):
        self.learn.yb = self.y
    said = r"^learn.{} is the tuple of all {} of a batch; received {}.*: write learn.{} = \(value,\)"
    with pytest.raises(TypeError, match=said.format("xb", "inputs", r"float32\[1,4\]", "xb")):
        fit("before_batch", bare_input)
    with pytest.raises(TypeError, match=said.format("yb", "targets", r"int64\[1\]", "yb")):
        fit("after_pred", bare_target)

    def tuples(self):
        value = self.x * 2
        self.learn.xb = (value,)
        self.learn.yb = L(self.yb)
    assert len(fit("before_batch", tuples)) == 3


@pytest.mark.parametrize("event", ["after_loss", "before_backward", "after_backward", "after_batch"])
def test_the_loss_is_a_tensor(event):
    def number(self):
        self.learn.loss = self.loss.item()
    with pytest.raises(TypeError, match=r"^learn.loss is the tensor that the gradients come from; received float .* "
                                        r"write self.value = learn.loss.item\(\)"):
        fit(event, number)
    kept = []

    def elsewhere(self):
        learn = self.learn
        self.value = learn.loss.item()
        kept.append(self.value)
    assert fit(event, elsewhere)[0] == pytest.approx(kept[0])
