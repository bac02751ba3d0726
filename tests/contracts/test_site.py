"""The site builds without a warning, its links lead somewhere, and its search finds every public name.."""
import importlib
import inspect
import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fresh_process
import pytest
from test_api_pages import MODULES

pytest.importorskip("sphinx")
pytest.importorskip("myst_nb")
pytest.importorskip("furo")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: `python -m sphinx`, in which the garbage collector looks less often through all pages: nothing of them is garbage.
BUILD = "import gc, sys; gc.set_threshold(200_000, 50, 1000); from sphinx.cmd.build import main; sys.exit(main(sys.argv[1:]))"
STARS = ["basics", "vision.all", "tabular.all", "collab", "text.all", "timeseries.all"]


def built(root):
    """The folder of the built site: the one that MINIFAST_SITE names, or one that is built in `root`, without a warning. It is built from a
    copy, because Sphinx wants the notebooks beside its pages."""
    if "MINIFAST_SITE" in os.environ:
        return Path(os.environ["MINIFAST_SITE"])
    shutil.copytree(ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("_build", "nbs", "__pycache__"))
    for name in ("nbs", "benchmarks", "minifast", "examples", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        (root / name).symlink_to(ROOT / name)
    arguments = ["-W", "--keep-going", "-q", "-t", "plain", "-b", "html", "docs", "html"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    run = fresh_process.run(BUILD, *arguments, cwd=root, env=environment, timeout=1800)
    assert run.returncode == 0, run.stderr[-4000:]
    return root / "html"


class Page(HTMLParser):
    "The anchors of a page, and what it links to."

    def __init__(self, file):
        super().__init__()
        self.anchors, self.links = set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)


def dead_links(pages):
    "The links that lead to no page, file or anchor: pairs of page and link. pages: a Page by file."
    dead = []
    for file, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            there = Path(os.path.normpath(file.parent / unquote(url.path))) if url.path else file
            anchor = unquote(url.fragment)
            if not there.exists() or (anchor and there in pages and anchor not in pages[there].anchors):
                dead.append((file.name, link))
    return dead


def test_the_site(tmp_path):
    "One test: several would be shared by the processes that run the tests, and each of these would build the site."
    site = built(tmp_path)
    every_internal_link_leads_somewhere(site)
    the_search_finds_every_public_name(site)
    the_figures_of_the_landing_page_are_there(site)


def every_internal_link_leads_somewhere(site):
    pages = {file: Page(file) for file in site.rglob("*.html")}
    assert len(pages) > 100 and sum(len(page.links) for page in pages.values()) > 5000
    assert dead_links(pages) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="b.html">b</a><a href="#x">x</a><a href="#y">y</a><a href="c.html#z">c</a></p>')
    (tmp_path / "c.html").write_text("<p>c</p>")
    pages = {file: Page(file) for file in tmp_path.glob("*.html")}
    assert sorted(link for _, link in dead_links(pages)) == ["#y", "b.html", "c.html#z"]


def the_search_finds_every_public_name(site):
    from sphinx.util.inventory import InventoryFile
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    listed = {name for kind in inventory.data if kind.startswith("py:") for name in inventory.data[kind]}
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(").removesuffix(")"))
    found = {entry[-1] for entries in index["objects"].values() for entry in entries}
    names = (site / "api" / "index.html").read_text(encoding="utf-8")
    missing, n = [], 0
    for star in STARS:
        module = importlib.import_module(f"minifast.{star}")
        for name in module.__all__:
            obj = getattr(module, name)
            home = getattr(obj, "__module__", None) or ""
            if home not in MODULES or inspect.ismodule(obj):         # Pillow's module Image
                continue
            n += 1
            own = getattr(obj, "__qualname__", name)
            if f"{home}.{own}" not in listed or own.rpartition(".")[2] not in found or f">{name}<" not in names:
                missing.append(f"{home}.{own} ({name})")
    assert n > 400 and sorted(set(missing)) == []


def the_figures_of_the_landing_page_are_there(site):
    landing = (site / "index.html").read_text(encoding="utf-8")
    assert 'alt="Handwritten digits' in landing and (site / "_images" / "show_results.png").stat().st_size > 5000
