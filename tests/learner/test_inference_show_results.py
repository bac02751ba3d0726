"""`show_results` takes the shape of its grid and what the functions that draw take."""
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from minifast.data.datasets import Datasets
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


@pytest.fixture
def learn():
    data = Datasets(range(16), [[lambda i: torch.full((1, 4, 4), i / 16)], [lambda i: i % 2]], splits=[range(8), range(8, 16)])
    yield Learner(data.dataloaders(bs=8, num_workers=0, device="cpu"), nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
                  loss_func=CrossEntropyLossFlat())
    plt.close("all")


def test_the_grid_and_the_colours(learn):
    axes = learn.show_results(max_n=6, nrows=3, figsize=(4, 4), vmin=0, vmax=0.5)
    grid = axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (3, 2) and axes[0].images[0].get_clim() == (0, 0.5)
    assert learn.show_results(max_n=6, ncols=6)[0].get_subplotspec().get_gridspec().nrows == 1


def test_a_misspelt_keyword_is_refused(learn):
    with pytest.raises(TypeError, match=r"show_results\(\.\.\.\) does not take nrow=int 2; did you mean 'nrows'\?"):
        learn.show_results(nrow=2)


def test_targets_that_are_drawn_get_the_keywords_too():
    data = Datasets(range(4), [[lambda i: torch.full((1, 4, 4), i / 4)]] * 2, splits=[range(2), range(2, 4)])
    learn = Learner(data.dataloaders(bs=2, num_workers=0, device="cpu"), nn.Conv2d(1, 1, 1), loss_func=nn.MSELoss())
    axes = learn.show_results(max_n=2, vmin=0, vmax=0.5)
    assert [image.get_clim() for ax in axes for image in ax.images] == [(0, 0.5)] * 8         # the target lies over the image
    plt.close("all")


def test_rows_and_columns_say_how_many(learn):
    assert len(learn.show_results(nrows=1, ncols=3)) == 3 and len(learn.show_results(nrows=2, ncols=4)) == 8
    assert len(learn.show_results(max_n=2, nrows=1, ncols=3)) == 2
