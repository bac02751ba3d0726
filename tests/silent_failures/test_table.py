"""docs/silent-failures.md is whole and current, and what GUARDS takes out is still there to be taken out."""
import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def module(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


make = module("make_silent_failures", ROOT / "docs" / "make_silent_failures.py")
guards = module("silent_failures_guards", HERE / "guards.py")
GOOD = 'def test_s{n:02}_x():\n    """A title.\n\n    Elsewhere: it goes\n    wrong.\n    Here: an `error`.\n    """\n'


def test_every_row_is_there_once_and_the_page_is_current():
    assert list(make.read_rows()) == list(range(1, make.ROWS + 1))
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_silent_failures.py"


@pytest.mark.parametrize(("text", "words"), [
    (GOOD.format(n=1), "rows without a test: 2"),
    (GOOD.format(n=1) * 2 + GOOD.format(n=2), "test_s01_x: row 1 is in test_s01_a.py already"),
    (GOOD.format(n=1) + GOOD.format(n=2) + GOOD.format(n=3), "no such rows: 3"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("Here:", "There:"), "test_s02_x: the docstring must be 'Title.'"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("error`", "error"), "test_s02_x: a code span or the sentence is not closed"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("test_s02", "test_it"), "test_it_x is not named test_sNN_"),
])
def test_a_page_with_holes_is_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(make, "ROWS", 2)
    (tmp_path / "test_s01_a.py").write_text(text)
    with pytest.raises(ValueError, match=words):
        make.read_rows(tmp_path)


def test_a_good_page(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "ROWS", 2)
    (tmp_path / "test_s01_a.py").write_text(GOOD.format(n=1) + GOOD.format(n=2))
    assert make.read_rows(tmp_path)[2] == ("A title", "it goes wrong.", "an `error`.", "test_s01_a.py")


def test_what_guards_take_out_is_there():
    assert list(guards.GUARDS) == sorted(guards.GUARDS, key=lambda row: int(row[1:]))
    for row in guards.GUARDS:
        guards.without(row)
        guards.test_of(row)
    assert len(guards.GUARDS) >= 0.6 * make.ROWS
