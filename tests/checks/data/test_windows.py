"""The order of time, and gaps, as `dls.check()` sees windows."""
import numpy as np
import pytest
from zoo_series import by_hand, sales, series_loaders, waves, window_loaders, windows

from minifast.checks.data.probe import DataProbe
from minifast.checks.data.windows import gaps_in_time, order_of_time
from minifast.checks.outcomes import NotApplicable


def test_training_after_validation():
    w = windows()
    early, late = np.flatnonzero(w.starts % 200 < 60), np.flatnonzero(w.starts % 200 >= 95)
    found = order_of_time(DataProbe(by_hand(w, late, early)))
    assert found.verdict == "issue" and "'north' from 2024-01-01" in found.found
    assert order_of_time(DataProbe(by_hand(w, early, late))).verdict == "pass"
    assert order_of_time(DataProbe(window_loaders(w, history=True))).verdict == "pass"


def test_other_series_may_be_earlier():
    w = windows()
    assert order_of_time(DataProbe(by_hand(w, np.flatnonzero(w.series == 0), np.flatnonzero(w.series == 1)))).verdict == "pass"


def test_series_have_no_order():
    with pytest.raises(NotApplicable, match="not windows of a long frame"):
        order_of_time(DataProbe(series_loaders(*waves(40))))


@pytest.mark.parametrize(("every", "gaps", "verdict", "words"), [
    (200, "split", "pass", "100% of the rows"), (28, "split", "tip", "would cross a gap"),
    (9, "forward", "tip", "of the values were filled")])
def test_gaps(every, gaps, verdict, words):
    df = sales()
    rows = np.arange(len(df)) % 200
    keep = (rows > 100) | (rows % every != every // 2)
    found = gaps_in_time(DataProbe(window_loaders(windows(df[keep], gaps=gaps), history=True)))
    assert found.verdict == verdict and words in found.found, found


def test_series_that_are_too_short():
    df = sales(shops=[f"shop {k}" for k in range(4)])
    day = df.groupby("shop").cumcount()
    found = gaps_in_time(DataProbe(window_loaders(windows(df[(df.shop < "shop 2") | (day < 15)]), history=True)))
    assert found.verdict == "tip" and "2 of 4 series have no window, such as 'shop 2'" in found.found
