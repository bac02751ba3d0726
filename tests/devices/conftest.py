"The device that these tests compare with the CPU: a GPU where there is one, else the CPU itself, which runs the same code."
import os

import pytest
import torch


@pytest.fixture
def device():
    "The device: MINIFAST_TEST_DEVICE, or a GPU where torch sees one, or the CPU."
    return os.environ.get("MINIFAST_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
