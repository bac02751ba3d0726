"""The reference pages: every module that they name exists, and every public name of the star imports is on one of them."""
import importlib
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "docs" / "api"
PAGES = {page.stem: re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8")) for page in API.glob("*.md")}
MODULES = [module for modules in PAGES.values() for module in modules]


def test_every_module_exists_and_is_named_once():
    assert len(MODULES) > 100 and len(set(MODULES)) == len(MODULES)
    for module in MODULES:
        assert importlib.import_module(module).__doc__, module


@pytest.mark.parametrize("star", ["minifast.basics", "minifast.vision.all", "minifast.tabular.all", "minifast.collab", "minifast.text.all",
                                  "minifast.timeseries.all"])
def test_every_public_name_is_on_a_page(star):
    public = importlib.import_module(star)
    homes = {name: getattr(getattr(public, name), "__module__", None) or "" for name in public.__all__}
    missing = {name: home for name, home in homes.items() if home.startswith("minifast.") and home not in MODULES}
    assert missing == {}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_page_is_in_the_table_of_contents(page):
    assert page == "index" or f"\n{page}\n" in (API / "index.md").read_text(encoding="utf-8")
    assert "\napi/index\n" in (API.parent / "index.md").read_text(encoding="utf-8")
