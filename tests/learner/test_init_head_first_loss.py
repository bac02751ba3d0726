"""init_head: the first loss is that of a guess."""
import pytest
import torch
import torch.nn.functional as F
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch import nn
from zoo import BROKEN, classifier, mlp, points, regressor

from minifast.checks.learner.initial_loss import entropy, frequencies


def loss_of(learn):
    with torch.no_grad():
        return sum(float(learn.loss_func(learn.model(x), y)) * len(x) for x, y in learn.dls.train) / 160


def test_init_head_makes_the_first_loss_that_of_a_guess():
    x, y = points()
    y = (y == 2).long() * (torch.arange(240) % 3 == 0)
    learn = classifier(mlp(out=2), x=x, y=y)
    nn.init.zeros_(learn.model[-1].weight)
    assert learn.init_head() is learn
    assert loss_of(learn) == pytest.approx(entropy(frequencies(y[:160], 2)), abs=2e-3)
    learn = regressor(y=points()[0][:, :1] + 1000)
    assert loss_of(learn) > 1e5
    learn.init_head()
    assert loss_of(learn) < 5 and float(learn.model[-1].bias.detach()) == pytest.approx(1000, abs=1)


def test_init_head_refuses():
    with pytest.raises(ValueError, match="does not know what the output means"):
        classifier(loss=lambda p, t: F.cross_entropy(p, t)).init_head()
    model = mlp()
    model[-1] = nn.Linear(32, 3, bias=False)
    with pytest.raises(ValueError, match="needs a model that ends with a linear or convolutional layer with bias"):
        classifier(model).init_head()
    nan = next(a for a in BROKEN if a.name == "NaN targets").make()
    with pytest.raises(ValueError, match="NaN or infinite"):
        nan.init_head()
