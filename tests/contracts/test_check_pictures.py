"""The page of the checks shows a picture for each code; it was made from a set-up of the zoo, and is small."""
import re
from pathlib import Path

import pytest
from PIL import Image

from minifast.checks.codes import CODES

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.exists():
    pytest.skip("not in a clone of the repository", allow_module_level=True)
FOLDER = DOCS / "images" / "checks"


def test_each_code_has_its_picture_below_its_heading():
    sections = re.split(r"^### (MF\d+) ", (DOCS / "checks.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = {code: re.findall(r"^!\[.+\]\((images/checks/\w+\.png)\)$", text, re.MULTILINE)
             for code, text in zip(sections[1::2], sections[2::2], strict=True)}
    assert shown == {code: [f"images/checks/{code.lower()}.png"] for code in CODES}
    assert {file.stem.upper() for file in FOLDER.iterdir()} == CODES.keys()


def test_pictures_are_sharp_and_small():
    for file in FOLDER.iterdir():
        with Image.open(file) as image:
            assert image.format == "PNG" and image.width == 1080 and 100 < image.height < 1000, file
            assert len(image.getcolors(256) or ()) > 4, f"{file} is blank"
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 2_000_000


def test_figures_are_of_codes_that_exist():
    drawn = set(re.findall(r'"(MF\d+)"', "".join((DOCS / f"check_drawings{part}.py").read_text() for part in ("", "_data"))))
    assert drawn <= CODES.keys() and len(drawn) > 40
