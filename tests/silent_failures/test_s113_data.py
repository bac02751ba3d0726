"Rows S113 to S115: series that give away what is to be predicted."
import numpy as np
import pandas as pd

from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.windows import SlidingWindows


def test_s113_windows_cut_before_the_split():
    """Windows of one long series that were cut with numpy, and then split at random.

    Elsewhere: a window in validation has most of its steps in common with others in training: the score is that of a memory, not of
    a forecast.
    Here: `dls.check()` compares parts of series, not only whole ones: "validation series are cut from the same rows as training
    series", MF851. Windows of `SlidingWindows` are split by time, and other splits refused.
    """
    r = np.random.default_rng(0)
    long = r.normal(size=500).cumsum()
    x = np.stack([long[i:i + 40] for i in range(0, 440, 10)])
    dls = TSDataLoaders.from_array(x, np.arange(len(x)) % 2, bs=8, seed=0)
    found = dls.check(fast=True)["MF851"]
    assert found.verdict == "issue" and "are cut from the same rows as training series" in found.found


def test_s114_a_covariate_that_is_the_target():
    """A column that is known for the steps to forecast, and was made of the target: of the same day, or of the days to come.

    Elsewhere: the model reads the answer, the error in validation is near zero, and that of the first real forecast is not.
    Here: `dls.check()` compares the changes of each covariate with those of the target, at the same step and shifted: "'orders' is
    given for the steps to predict, and its changes are those of 'sold' at the same step ... it gives the answer away", MF857.
    """
    r = np.random.default_rng(0)
    df = pd.DataFrame({"time": np.arange(200), "sold": 100 + r.normal(size=200).cumsum()})
    df["orders"], df["promo"] = 2 * df.sold + 1, (r.random(200) < 0.2).astype(float)
    for known, verdict in (("orders", "issue"), ("promo", "pass")):
        windows = SlidingWindows(df, 20, 5, time="time", target="sold", known=known)
        assert TSDataLoaders.from_windows(windows, bs=16).check(fast=True)["MF857"].verdict == verdict


def test_s115_padding_that_tells_the_class():
    """Series of several lengths that were padded with zeros to one, where the lengths of the classes differ.

    Elsewhere: the model tells the classes by where the zeros begin, and what it learns of the series themselves nobody knows.
    Here: several lengths are given as a list, padding is NaN and not read; `dls.check()` looks for runs of one value at the end:
    "the step at which a constant end of a series begins alone tells the class", MF858, and says that they are padding, MF859.
    """
    r = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.zeros((60, 1, 40))
    for row, n in zip(x, 20 + 10 * y + r.integers(0, 6, 60), strict=True):
        row[:, :n] = r.normal(size=(1, n))
    report = TSDataLoaders.from_array(x, y, bs=8, seed=0).check(fast=True)
    assert report["MF858"].verdict == "issue" and "a constant end of a series begins" in report["MF858"].found
    assert report["MF859"].verdict == "tip" and "end in a run of 0" in report["MF859"].found
