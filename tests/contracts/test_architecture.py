"""docs/architecture.md is true: its picture and tables are those of the package, what it names exists, what moved is where it says."""
import importlib.util
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "minifast"

spec = importlib.util.spec_from_file_location("make_architecture", ROOT / "docs" / "make_architecture.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def test_picture_and_tables_are_those_of_the_package():
    text = PAGE.read_text(encoding="utf-8")
    assert text == make.page(text), "run python docs/make_architecture.py"


def test_every_file_is_on_the_page():
    listed = set(re.findall(r"^\| `([\w/]+\.py)` \|", PAGE.read_text(encoding="utf-8"), re.M))
    empty = {f for f in PACKAGE.rglob("__init__.py") if not f.read_text().strip()}
    doors = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    assert {f.relative_to(PACKAGE).as_posix() for f in set(PACKAGE.rglob("*.py")) - empty - doors} == listed


def test_files_named_in_the_text_exist():
    written = re.sub(r"<!-- tables: .*?<!-- end of tables -->", "", PAGE.read_text(encoding="utf-8"), flags=re.S)
    for name in set(re.findall(r"`([\w/]+\.py)`", written)):
        assert (PACKAGE / name).is_file() or (ROOT / name).is_file() or name == "all.py", name


def test_modules_that_moved_are_where_the_page_says():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `minifast\.([\w.]+)` \| (.+) \|$", text, re.M)
    assert len(rows) > 60
    for old, new in rows:
        for module in re.findall(r"`(minifast\.[\w.]+)`", new):
            import_module(module)
        file = PACKAGE.joinpath(*old.split(".")).with_suffix(".py")
        assert old == "__main__" or not file.exists(), f"minifast.{old} is still there"


@pytest.mark.parametrize("page", [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_links_lead_somewhere(page):
    broken = [target for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
              if not (page.parent / target).exists()]
    assert broken == []


def test_the_test_sees_a_wrong_page():
    text = "<!-- picture: x -->\n<!-- end of picture -->\n<!-- tables: x -->\n| `a.py` | b |\n<!-- end of tables -->\n"
    made = make.page(text)
    assert "`a.py`" not in made and "| `core/messages.py` |" in made and "vision" in made.split("end of picture")[0]
    with pytest.raises(ValueError, match="no part between"):
        make.page("nothing")
