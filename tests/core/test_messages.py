"""The words of error messages."""
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from minifast.core.arguments import check_arguments, check_choice
from minifast.core.messages import (
    NoSuchAttribute,
    add_note,
    brief,
    describe,
    did_you_mean,
    listing,
    nearest,
    plural,
    reject_unknown,
    shortened,
)


@pytest.mark.parametrize("name", ["_run", "run_", "_epoch", "__init", "_accuracy", "accuracy_"])
def test_no_private_name_is_suggested(name):
    private = ["_run", "_epoch", "__init__", "_accuracy", "_run_", "_accuracy_"]
    assert did_you_mean(name, private) == ""
    assert "'_" not in did_you_mean(name, [*private, "run", "epoch", "accuracy"])


METRICS = ["accuracy", "accuracy_multi", "mae", "mse", "F1Score", "F1ScoreMulti", "Jaccard", "JaccardCoeff", "RocAuc", "RocAucMulti",
           "CohenKappa", "error_rate"]
LOSSES = ["BCELossFlat", "BCEWithLogitsLossFlat", "CrossEntropyLossFlat", "L1LossFlat", "MSELossFlat"]


@pytest.mark.parametrize("name, options, meant", [
    ("acc", METRICS, "accuracy"), ("Acc", METRICS, "accuracy"), ("f1", METRICS, "F1Score"), ("IoU", METRICS, "JaccardCoeff"),
    ("mean_squared_error", METRICS, "mse"), ("mean_squared_error", LOSSES, "MSELossFlat"), ("auc", METRICS, "RocAuc"),
    ("kappa", METRICS, "CohenKappa"), ("err", METRICS, "error_rate"), ("mse", LOSSES, "MSELossFlat"), ("mae", LOSSES, "L1LossFlat"),
    ("bce", LOSSES, "BCEWithLogitsLossFlat"), ("crossentropy", LOSSES, "CrossEntropyLossFlat"),
    ("cos", ["SchedLin", "SchedCos"], "SchedCos"),
    ("JACARD", METRICS, "Jaccard"), ("xyz", METRICS, ""), ("a", METRICS, "")])
def test_other_words_and_short_forms_come_before_what_is_spelt_alike(name, options, meant):
    assert nearest(name, options) == meant


def test_a_missing_attribute_says_more_only_where_it_is_read():
    made = []

    class Thing:
        def __getattr__(self, name):
            raise NoSuchAttribute(lambda: made.append(name) or f"Thing has no {name}")

    assert not hasattr(Thing(), "width") and getattr(Thing(), "width", 3) == 3 and made == []
    with pytest.raises(AttributeError, match="^Thing has no width$") as e:
        _ = Thing().width
    again = pickle.loads(pickle.dumps(e.value))
    assert type(again) is AttributeError and str(again) == "Thing has no width" and repr(e.value) == "AttributeError('Thing has no width')"


BIG = nn.Sequential(*[nn.Linear(100, 100) for _ in range(20)])


@pytest.mark.parametrize("value", [BIG, list(range(1000)), ["a name of some length"] * 100, {"weights": list(range(500))}, "x" * 900,
                                   np.zeros((50, 50)), pd.DataFrame({"a": range(100), "b": range(100)}), [BIG, BIG, BIG],
                                   {f"key {i}": BIG for i in range(50)}, lambda x: x, nn.Conv2d, torch.zeros(100, 100)],
                         ids=lambda v: type(v).__name__)
def test_no_value_fills_a_message(value):
    for text in (describe(value), brief(value)):
        assert len(text) < 300 and "\n" not in text
    for call in (lambda: check_arguments("Call", n=(value, False, "a number")), lambda: check_choice("Call", "how", value, ["a", "b"]),
                 lambda: reject_unknown({"n": value}, ["m"], "call(...)")):
        with pytest.raises((ValueError, TypeError)) as e:
            call()
        assert len(str(e.value)) < 400 and "\n" not in str(e.value)


def test_short_values_are_shown_as_they_are_and_long_lists_of_names_are_counted():
    assert brief([0.1, "a"]) == "[0.1, 'a']" and brief("x" * 900).startswith("str 'xxx") and shortened("a\n  b") == "a b"
    assert listing("abc") == "a, b, c" and listing(range(30), 3) == "0, 1, 2 and 27 more" and listing([]) == ""


def test_did_you_mean_suggests_only_what_is_near():
    assert did_you_mean("acuracy", ["error_rate", "accuracy"]) == "; did you mean 'accuracy'?"
    assert did_you_mean("zzz", ["error_rate", "accuracy"]) == ""
    assert did_you_mean(3, [31, 4]) == "; did you mean '31'?"          # names need not be strings


@pytest.mark.parametrize("value, phrase", [
    (torch.zeros(2, 3), "float32[2,3] on cpu"),
    (torch.tensor(1), "int64[] on cpu"),
    (np.zeros((4, 1), dtype="uint8"), "uint8[4,1]"),
    ((torch.zeros(2), 1), "tuple of 2 (float32[2] on cpu, int 1)"),
    ([1, 2, 3, 4, 5], "list of 5 (int 1, int 2, int 3, int 4, ...)"),
    ({"x": torch.zeros(1), "n": 2}, "dict of x=float32[1] on cpu, n=int 2"),
    ("cat", "str 'cat'"),
    (None, "NoneType None"),
    (Image.new("RGB", (6, 4)), "Image RGB 6x4 (width x height)"),
    (nn.Sequential(nn.Linear(2, 3), nn.ReLU()), "Sequential"),
    (nn.Linear, "the class Linear"),
    (describe, "function describe"),
    (dict.fromkeys("abcdefgh", 1), "dict of a=int 1, b=int 1, c=int 1, d=int 1, e=int 1, f=int 1, ..."),
])
def test_describe(value, phrase):
    assert describe(value) == phrase


def test_describe_is_short():
    text = describe("x" * 1000)
    assert text.startswith("str 'xxx") and text.endswith("...") and len(text) < 100


def test_reject_unknown_names_every_stranger_at_once():
    reject_unknown({"bs": 4}, ["bs", "shuffle"], "DataLoader(...)")
    with pytest.raises(TypeError) as e:
        reject_unknown({"suffle": True, "zz": 1}, ["shuffle", "bs"], "DataLoader(...)")
    assert str(e.value) == ("DataLoader(...) does not take suffle=bool True; did you mean 'shuffle'? nor zz=int 1. "
                            "It takes: bs, shuffle.")
    with pytest.raises(TypeError, match=r"suffle=bool True; did you mean 'shuffle'\? It takes: bs, shuffle\.$"):
        reject_unknown({"suffle": True}, ["shuffle", "bs"], "DataLoader(...)")


def test_add_note_is_printed_with_the_error():
    import traceback
    error = ValueError("wrong")
    add_note(error, "in Callback.after_batch")
    assert "wrong\nin Callback.after_batch" in "".join(traceback.format_exception_only(ValueError, error))


class OldError(Exception):
    "An error as Python 3.10 knows it."
    add_note = property(lambda self: (_ for _ in ()).throw(AttributeError("add_note")))


@pytest.mark.parametrize("error, text", [(OldError("wrong", 7), "wrong\nthe note"), (OldError(), "OldError\nthe note")])
def test_add_note_before_python_311(error, text):
    rest = error.args[1:]
    add_note(error, "the note")
    assert error.args == (text, *rest)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no notes")
def test_add_note_keeps_the_arguments():
    error = KeyError("k")
    add_note(error, "n")
    assert error.args == ("k",)


@pytest.mark.parametrize("n, noun, text", [(1, "item", "1 item"), (3, "batch", "3 batches"), (0, "item", "0 items"),
                                           (1234567, "class", "1,234,567 classes"), (2, "box", "2 boxes")])
def test_plural(n, noun, text):
    assert plural(n, noun) == text


def test_a_note_reaches_the_text_of_an_os_error_on_old_pythons():
    class Old(FileNotFoundError):
        add_note = property()                     # as on Python 3.10: there is no such method

    error = Old(2, "No such file")
    add_note(error, "in transform Resize")
    assert "in transform Resize" in str(error)
