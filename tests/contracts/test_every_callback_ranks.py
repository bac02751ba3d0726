"""Every callback of the package trains with two ranks, which come to the same weights, statistics, history and predictions."""
import json
from pathlib import Path

import pytest
from torchrun import run_ranks


@pytest.mark.slow
def test_trains(tmp_path):
    run_ranks(2, Path(__file__).parents[1] / "processes" / "ranks_callbacks.py", tmp_path)
    for rank in range(2):
        assert json.loads((tmp_path / f"bad-{rank}.json").read_text()) == {}
