"""Batches compared."""
import math

import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401

from minifast.checks.learner.evaluation import largest_difference


def test_largest_difference():
    assert largest_difference((torch.zeros(2), {"a": torch.ones(2)}), (torch.zeros(2), {"a": torch.tensor([1.0, 4.0])})) == 3
    assert largest_difference([torch.zeros(2)], [torch.zeros(3)]) == math.inf
