"""How many files one has to read to follow a batch, a fit and a prediction stays within the limits of benchmarks/crossings.py."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crossings.py"


@pytest.mark.slow
def test_the_files_crossed_stay_within_their_limits():
    out = subprocess.run([sys.executable, str(SCRIPT), "--json"], capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["what"] for row in rows] == ["training batch", "fit_one_cycle(1)", "predict"]
    assert [row for row in rows if row["files"] > row["limit"]] == []
