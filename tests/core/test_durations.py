"Lengths of time as text."
import pytest

from minifast.core.durations import seconds_in


@pytest.mark.parametrize("text, seconds", [("30s", 30), ("90 sec", 90), (" 2min ", 120), ("1.5h", 5400), ("0s", None), ("30", None),
                                           ("s", None), ("-3s", None), (30, None), (None, None), ("1d", None)])
def test_seconds(text, seconds):
    assert seconds_in(text) == seconds
