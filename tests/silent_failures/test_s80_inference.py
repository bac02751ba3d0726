"""Rows S80 to S82 of docs/silent-failures.md: recommendations, and the names of rows."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.collab import CollabDataLoaders, TabularCollab, collab_learner, evaluate_ranking, recommend
from minifast.interpret.classification import ClassificationInterpretation
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders


@pytest.fixture
def ratings():
    r = np.random.default_rng(0)
    return pd.DataFrame({"user": r.integers(0, 9, 300), "film": r.integers(0, 30, 300), "rating": r.integers(1, 6, 300)})


@pytest.fixture
def learn(ratings):
    return collab_learner(CollabDataLoaders.from_df(ratings, device="cpu"), 3, y_range=(0, 5.5))


def test_s80_recommendations_after_reloading(learn, ratings):
    """Recommendations of a model that was saved and loaded.

    Elsewhere: what a user has rated is looked up in the data at hand, so that after loading he is recommended what he has seen, and a
    ranking is scored in another way.
    Here: the pairs of user and item go with what the table learnt, through `save`, `export` and test sets; a file that lacks them is
    refused: "which items a user has rated is not known".
    """
    table = TabularCollab.from_state_dict(learn.dls.train.dataset.state_dict())
    other = collab_learner(table.test_set(ratings[:1]).dataloaders(shuffle=False, device="cpu"), 3, y_range=(0, 5.5))
    other.model.load_state_dict(learn.model.state_dict())
    assert recommend(other, 1, k=30).equals(recommend(learn, 1, k=30))
    assert evaluate_ranking(other, ratings).equals(evaluate_ranking(learn, ratings))


def test_s81_ids_of_another_type(learn, ratings):
    """A ranking of users whose ids are text.

    Elsewhere: after `pd.read_csv(dtype=str)` every user is new, none has seen anything, and the score is better than with the right ids.
    Here: an error: "in training, column 'user' held int 0 and the like, never str '7' ...: convert them, df.astype({'user': int})".
    """
    with pytest.raises(TypeError, match="convert them, df.astype"):
        evaluate_ranking(learn, ratings.astype({"user": str}))


def test_s82_the_names_of_rows():
    """Which rows have wrong labels.

    Elsewhere: they are given by their positions within the validation set, and looked up in the whole frame they are other rows.
    Here: `likely_label_errors()`, `frame()` and `top_losses(items=True)` name rows by the index of your frame, and images by their files.
    """
    torch.manual_seed(0)
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 40), "y": ["a"] * 20 + ["b"] * 20}, index=np.arange(40) + 1000)
    interp = ClassificationInterpretation.from_learner(tabular_learner(TabularDataLoaders.from_df(frame, y_names="y", device="cpu"), [4]))
    found = interp.likely_label_errors(1 - torch.nn.functional.one_hot(interp.targs, 2) * 0.8)
    assert len(found) and frame.y[found.item].tolist() == found.given.tolist()
