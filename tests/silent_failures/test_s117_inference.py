"Row S117: one answer where there are several questions."
import numpy as np
import pandas as pd
import pytest

from minifast.learner.predictor import Predictor
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.windows import SlidingWindows


def test_s117_a_table_of_several_series_as_one_item(tmp_path):
    """A table with the last rows of several series is given to `predict`, which takes one item.

    Elsewhere: the first prediction is returned, whatever series comes first, and those of the others are dropped.
    Here: "predict takes one item; this DataFrame has 2: write learn.get_preds(dl=learn.dls.test_dl(items))".
    """
    df = pd.concat([pd.DataFrame({"id": k, "time": range(40), "y": np.random.default_rng(0).normal(size=40)}) for k in "ab"])
    learn = ts_forecaster(TSDataLoaders.from_windows(SlidingWindows(df, 6, 2, by="id", target="y"), bs=8))
    predictor = Predictor(learn.export(tmp_path / "learner.mf"))
    for predict in (learn.predict, predictor.predict):
        with pytest.raises(ValueError, match=r"takes one item; this DataFrame has 2: write learn.get_preds\(dl=learn.dls.test_dl\(items\)"):
            predict(df)
    assert len(learn.get_preds(dl=learn.dls.test_dl(df))[0]) == 2
