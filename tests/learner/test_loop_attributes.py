"""A misspelt attribute is an error."""
import pytest

from minifast.learner.loop import TrainingLoop, declared


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
