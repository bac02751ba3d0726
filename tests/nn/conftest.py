"Weights and inputs are the same each time, whichever tests ran before."
import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
