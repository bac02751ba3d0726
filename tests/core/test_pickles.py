"""Pickles of the user's own."""
import pandas as pd
import pytest

from minifast.core.pickles import load_pickle, save_pickle


def test_what_was_saved_comes_back_and_the_danger_is_told(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    save_pickle(tmp_path / "frame.pkl", {"frame": frame, "n": 3})
    with pytest.warns(UserWarning, match=r"frame\.pkl.*runs code when it is loaded"):
        back = load_pickle(tmp_path / "frame.pkl")
    pd.testing.assert_frame_equal(back["frame"], frame)
    assert back["n"] == 3


def test_the_star_import_has_both():
    names = {}
    exec("from minifast.tabular.all import *", names)
    assert names["save_pickle"] is save_pickle and names["load_pickle"] is load_pickle
