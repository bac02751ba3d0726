"""What all tests share."""
import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")      # nothing opens a window


@pytest.fixture(scope="session")
def data_dir():
    "The folder of real test data, $MINIFAST_TEST_DATA or ../shared/data beside the repository; the test is skipped without it."
    folder = Path(os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).parents[1].parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set MINIFAST_TEST_DATA")
    return folder
