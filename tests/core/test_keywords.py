"Keywords that a call does not take."
import inspect

import pytest

from minifast.core.keywords import knows_keywords
from minifast.core.messages import did_you_mean


@knows_keywords
def train(dls, n_epoch=1, lr_max=None, *, cbs=None):
    "Its docstring."
    return dls, n_epoch, lr_max, cbs


class Thing:
    @knows_keywords
    def __init__(self, a, batch=2):
        self.a, self.batch = a, batch


def test_an_unknown_keyword_is_refused_with_the_one_that_was_meant():
    with pytest.raises(TypeError, match=r"train\(...\) does not take callbacks=int 3; did you mean 'cbs'\? It takes: cbs, dls, lr_max"):
        train(1, callbacks=3)
    with pytest.raises(TypeError, match=r"Thing\(\.\.\.\) does not take bach=int 3; did you mean 'batch'\?"):
        Thing(1, bach=3)
    with pytest.raises(TypeError, match=r"^train\(\) missing 1 required positional argument: 'dls'"):
        train(n_epoch=2)


def test_everything_else_is_as_before():
    assert train(1, 2, lr_max=3, cbs=4) == (1, 2, 3, 4) and Thing(1, batch=5).batch == 5
    assert list(inspect.signature(train).parameters) == ["dls", "n_epoch", "lr_max", "cbs"] and train.__doc__ == "Its docstring."


def test_names_of_other_frameworks_and_words_of_a_name():
    assert did_you_mean("callbacks", ["cbs", "lr"]) == "; did you mean 'cbs'?"
    assert did_you_mean("epochs", ["n_epoch", "lr"]) == did_you_mean("epoch", ["n_epoch", "lr"]) == "; did you mean 'n_epoch'?"
    assert did_you_mean("epoch", ["epochs", "n_epoch"]) == "; did you mean 'epochs'?"
    assert did_you_mean("lr", ["base_lr", "lr_mult", "wd"]) == "; did you mean 'base_lr'?"
    assert did_you_mean("lr", ["lr_max", "wd"]) == "; did you mean 'lr_max'?"
    assert did_you_mean("lr", ["lr_max", "lr_mult"]) == did_you_mean("callbacks", ["wd"]) == ""
