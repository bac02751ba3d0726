"""docs/silent-failures.md is whole and current, and every guard stands where GUARDS says."""
import ast
import functools
import importlib.util
import re
from pathlib import Path

import pytest
import source_edits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def module(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


make = module("make_silent_failures", ROOT / "docs" / "make_silent_failures.py")
guards = module("silent_failures_guards", HERE / "guards.py")
package_now = functools.cache(source_edits.Package)         # reading the whole package takes seconds
GOOD = 'def test_s{n:02}_x():\n    """A title.\n\n    Elsewhere: it goes\n    wrong.\n    Here: an `error`.\n    """\n'


@functools.cache
def unedited(file):
    "The text of `file` as an edit writes it that changes nothing."
    return ast.unparse(ast.parse(file.read_text(encoding="utf-8")))


def test_every_row_is_there_once_and_the_page_is_current():
    assert list(make.read_rows()) == list(range(1, make.ROWS + 1))
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_silent_failures.py"


@pytest.mark.parametrize(("text", "words"), [
    (GOOD.format(n=1), "rows without a test: 2"),
    (GOOD.format(n=1) * 2 + GOOD.format(n=2), "test_s01_x: row 1 is in test_s01_data.py already"),
    (GOOD.format(n=1) + GOOD.format(n=2) + GOOD.format(n=3), "no such rows: 3"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("Here:", "There:"), "test_s02_x: the docstring must be 'Title.'"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("error`", "error"), "test_s02_x: a code span or the sentence is not closed"),
    (GOOD.format(n=1) + GOOD.format(n=2).replace("test_s02", "test_it"), "test_it_x is not named test_sNN_"),
])
def test_a_page_with_holes_is_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(make, "ROWS", 2)
    (tmp_path / "test_s01_data.py").write_text(text)
    with pytest.raises(ValueError, match=words):
        make.read_rows(tmp_path)


def test_a_row_of_no_section_is_refused(tmp_path):
    (tmp_path / "test_s01_other.py").write_text(GOOD.format(n=1))
    with pytest.raises(ValueError, match="test_s01_x: the name of a file ends in its section: data, training, losses, inference"):
        make.page(tmp_path)


def test_a_good_page(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "ROWS", 2)
    (tmp_path / "test_s01_data.py").write_text(GOOD.format(n=1) + GOOD.format(n=2))
    assert make.read_rows(tmp_path)[2] == ("A title", "it goes wrong.", "an `error`.", "test_s01_data.py")


@pytest.mark.slow
def test_every_row_has_a_guard_and_every_guard_stands_where_the_table_says():
    package, problems = package_now(), []
    assert list(guards.GUARDS) == [f"S{row}" for row in range(1, make.ROWS + 1)]
    for row in guards.GUARDS:
        guards.test_of(row)
        try:
            changed = guards.without(row, package)
        except LookupError as e:
            problems.append(f"{row}: {e.args[0]}")
        else:
            assert all(text != unedited(file) for file, text in changed.items()), row
    assert not problems, "\n".join(problems)


@pytest.fixture
def package(tmp_path):
    (tmp_path / "minifast").mkdir()
    (tmp_path / "minifast" / "a.py").write_text(
        "LIMIT = 3\n"
        "class Box:\n"
        "    def __init__(self, size=2, *, name='x'):\n"
        "        if size > LIMIT:\n"
        "            raise ValueError(f'a box of {size} is too large')\n"
        "        self.size = max(1, size)\n"
        "    def half(self):\n"
        "        return round(self.size / 2, ndigits=1)\n"
        "    @property\n"
        "    def area(self):\n"
        "        return self.size ** 2\n"
        "    @area.setter\n"
        "    def area(self, area):\n"
        "        self.size = area ** 0.5\n")
    return source_edits.Package(tmp_path)


@pytest.mark.parametrize(("edit", "size", "expected"), [
    (source_edits.body("Box.half", "return 7"), 2, (2, 7)),
    (source_edits.first("Box.__init__", "size = 3"), 2, (3, 1.5)),
    (source_edits.default("Box.__init__", size="3", name="'y'"), None, (3, 1.5)),
    (source_edits.assign("a.LIMIT", "1000"), 9, (9, 4.5)),
    (source_edits.never("Box", "is too large"), 9, (9, 4.5)),
    (source_edits.call("Box.__init__", "max", "arg1 * 10"), 2, (20, 10)),
    (source_edits.call("Box.half", "round", ndigits=None), 3, (3, 2)),
    (source_edits.reads("Box.half", "size", "of.size * 100"), 2, (2, 100)),
    (source_edits.result("half", "it + LIMIT"), 2, (2, 4)),
    (source_edits.swap("Box.__init__", "max(1, size)", "it + size"), 2, (4, 2)),
])
def test_edits_change_what_they_name(package, edit, size, expected):
    _, text = edit.apply(package, {})
    namespace = {}
    exec(text, namespace)
    box = namespace["Box"](*([] if size is None else [size]))
    assert (box.size, box.half()) == expected


def test_edits_take_out(package):
    def box(edit):
        namespace = {}
        exec(edit.apply(package, {})[1], namespace)
        return namespace["Box"](2)

    with pytest.raises(AttributeError):
        box(source_edits.remove("Box.area", setter_only=True)).area = 9
    assert box(source_edits.remove("Box.area", setter_only=True)).area == 4
    assert not hasattr(box(source_edits.remove("Box.area")), "area")
    assert not hasattr(box(source_edits.drop("Box.__init__", "self.size = max")), "size")


@pytest.mark.parametrize(("edit", "words"), [
    (source_edits.body("Box.third", "return 7"), "'Box.third' fits 0 names of the package, not one"),
    (source_edits.first("Box.half", "rest = size"), "size in 'rest = size' is neither a parameter there nor a name of the module"),
    (source_edits.never("Box", "is too small"), "'is too small' is in 0 of its ifs"),
    (source_edits.call("Box.half", "floor", "it"), "Box.half has no call of floor"),
    (source_edits.reads("Box.half", "width", "it"), "Box.half has no use of .width"),
    (source_edits.remove("Box.third"), "Box has no third"),
    (source_edits.remove("Box.half", setter_only=True), "Box has no setter of half"),
    (source_edits.drop("Box", "self.width"), "'self.width' is in 0 of its statements"),
    (source_edits.swap("Box", "self.width", "1"), "Box has no self.width"),
])
def test_edits_say_what_they_do_not_find(package, edit, words):
    with pytest.raises(LookupError, match=re.escape(words)):
        edit.apply(package, {})
