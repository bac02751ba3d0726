"""docs/architecture.md is true: every file of the package is on it, under the floor where test_floors.py has it, and none that is not."""
import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "minifast"

spec = importlib.util.spec_from_file_location("floors_of_the_contract", Path(__file__).with_name("test_floors.py"))
floors = importlib.util.module_from_spec(spec)
spec.loader.exec_module(floors)


def listed(text):
    "`{file: floor}` of the tables under `### Floor n` headings; a file that is listed twice is an error."
    found, floor = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = re.match(r"### Floor (\d)", line)
            floor = int(heading[1]) if heading else None
        elif floor is not None and (row := re.match(r"\| `([\w/]+\.py)` \| (.+) \|$", line)):
            assert row[1] not in found, f"{row[1]} is listed twice"
            found[row[1]] = floor
    return found


def expected():
    "`{file: floor}` of the package; the `__init__.py` of a folder is where the folder is."
    files = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE)
        module = ".".join(name.with_suffix("").parts)
        files[name.as_posix()] = 5 if str(name) == "__init__.py" else floors.floor_of(module)
    return files


def test_every_file_is_on_the_page_under_its_floor():
    page, package = listed(PAGE.read_text()), expected()
    assert sorted(package.keys() - page.keys()) == [], "add these files to docs/architecture.md"
    assert sorted(page.keys() - package.keys()) == [], "docs/architecture.md lists files that do not exist"
    assert {f: (page[f], package[f]) for f in package if page[f] != package[f]} == {}, "file: (floor on the page, floor in test_floors.py)"


def test_files_named_in_the_text_exist():
    text = PAGE.read_text()
    for name in set(re.findall(r"`([\w/]+\.py)`", text)):
        assert (PACKAGE / name).is_file() or (ROOT / name).is_file() or name == "all.py", name


def test_names_in_the_tables_exist():
    "What a row says a file holds, in the form `name` or `name`, is defined or imported in that file."
    for line in PAGE.read_text().splitlines():
        row = re.match(r"\| `([\w/]+\.py)` \| (.+) \|$", line)
        if not row or row[1] in ("basics.py", "vision/all.py"):
            continue
        source = (PACKAGE / row[1]).read_text()
        for name in re.findall(r"`(\w+)`", row[2]):
            if name not in ("item_tfms", "batch_tfms", "requires_grad", "param_groups"):
                assert re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b.*=|import.*\b{name}\b", source, re.M), (row[1], name)


def test_links_lead_somewhere():
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_test_sees_a_wrong_page():
    page = "### Floor 0: x\n| `messages.py` | words |\n## Where\n| `learner.py` | no |\n### Floor 3: y\n| `data/block.py` | z |\n"
    assert listed(page) == {"messages.py": 0, "data/block.py": 3}
