"""Warnings of several ranks are given once, and those of one rank alone name it."""
import pytest
from torchrun import run_ranks

SCRIPT = """
import warnings
from minifast.core import ranks
rank = ranks.rank()
for _ in range(2):
    warnings.warn("said by all")
if rank == 1:
    warnings.warn("the disk of this one is full")
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn("caught")
    assert len(caught) == 1
if rank == 0:
    warnings.warn("said by the first alone")
"""


@pytest.mark.slow
def test_what_all_say_is_said_once(tmp_path):
    script = tmp_path / "warns.py"
    script.write_text(SCRIPT)
    said = run_ranks(2, script).stderr
    lines = [line for line in said.splitlines() if "UserWarning" in line]
    assert [line.split("UserWarning: ")[1] for line in lines] == ["said by all", "said by the first alone", "the disk of this one is full"]
    assert [line.startswith("rank 1: ") for line in lines] == [False, False, True]
