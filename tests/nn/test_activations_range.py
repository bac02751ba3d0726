"""`y_range` as people write it: a tuple, a list, an array, a tensor, one range for each output."""
import numpy as np
import pytest
import torch

from minifast.collab.models import EmbeddingDotBias
from minifast.nn.activations import SigmoidRange, range_ends
from minifast.tabular.model import TabularModel
from minifast.vision.models.heads import create_head

PAIRS = [(0, 5), [0, 5], torch.tensor([0.0, 5.0]), torch.tensor([0, 5]), np.array([0, 5.0]), (torch.tensor(0.0), torch.tensor(5.0)),
         (np.float32(0), 5)]


@pytest.mark.parametrize("y_range", PAIRS, ids=repr)
def test_every_pair_of_numbers(y_range):
    torch.manual_seed(0)
    x, expected = torch.randn(2, 4), torch.sigmoid(torch.tensor([-1.0, 2.0])) * 5
    assert range_ends(y_range) == (0, 5) and all(type(end) in (int, float) for end in range_ends(y_range))
    torch.testing.assert_close(SigmoidRange(*y_range)(torch.tensor([-1.0, 2.0])), expected)
    for model in (create_head(4, 1, y_range=y_range, pool=False), TabularModel([], 4, 1, [8], y_range=y_range)):
        out = model(x) if isinstance(model, torch.nn.Sequential) else model(torch.zeros(2, 0, dtype=torch.long), x)
        assert out.shape == (2, 1) and out.min() > 0 and out.max() < 5
    ratings = EmbeddingDotBias(2, 3, 3, y_range=y_range)(torch.tensor([[1, 2], [0, 1]]))
    assert ratings.min() > 0 and ratings.max() < 5


def test_a_range_for_each_output_moves_with_the_model():
    head = create_head(4, 2, pool=False, y_range=(torch.tensor([0.0, 10]), torch.tensor([1.0, 20])))
    out = head(torch.randn(8, 4))
    assert out[:, 0].min() > 0 and out[:, 0].max() < 1 and out[:, 1].min() > 10 and out[:, 1].max() < 20
    assert head.double()[-1].low.dtype is torch.float64 and not any("low" in name for name in head.state_dict())
    assert torch.equal(range_ends(torch.tensor([[0.0, 1], [2, 3]]))[1], torch.tensor([2.0, 3]))


@pytest.mark.parametrize("y_range", [5, "05", (5, 0), [1], (0, 1, 2), torch.tensor([5.0, 0.0]), torch.zeros(2, 2), (0, float("nan")), {}],
                         ids=repr)
def test_what_is_no_range_is_refused(y_range):
    for make in (lambda: create_head(4, 1, y_range=y_range), lambda: TabularModel([], 4, 1, [8], y_range=y_range),
                 lambda: EmbeddingDotBias(2, 3, 3, y_range=y_range)):
        with pytest.raises(ValueError, match=r"y_range takes \(low, high\), low < high; received"):
            make()
