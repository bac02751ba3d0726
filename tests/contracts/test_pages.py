"""The code of the site's own pages runs: each `python` block of a page, in order, as a reader would paste it.

A `text` block right after one is what it prints at its end; `...` stands for anything, as in doctest. What cannot run here (a
launch line of another machine) is written as `bash`. Pages that start from pretrained weights get random ones of the same name.
"""
import doctest
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for folder in ("howto", "explanations") for page in (DOCS / folder).glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(text):
    "The code of a page: pairs of a block and what it is said to print, or None; and the line on which each begins."
    out = []
    for found in FENCE.finditer(text):
        kind, code = found.groups()
        if kind == "python":
            out.append([text[:found.start()].count("\n") + 2, code, None])
            end = found.end()
        elif kind == "text" and out and text[end:found.start()].strip() == "":
            out[-1][2], end = code, found.end()
    return out


def differs(wanted, printed):
    "Whether what was printed does not end as the page says. (The tables of fits come before.)"
    printed = "\n".join(printed.splitlines()[-len(wanted.splitlines()):]) + "\n"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return not doctest.OutputChecker().check_output(wanted, printed, flags)


@pytest.fixture
def random_weights(monkeypatch, tmp_path):
    "Weights of torchvision as if they had been downloaded, but random: a page is run, its results are not looked at."
    import torch
    import torchvision

    from minifast.vision.models import pretrained
    made = tmp_path / "weights"

    def find(filename):
        name = filename.partition("-")[0]
        file = made / filename
        if not file.exists():
            made.mkdir(exist_ok=True)
            with torch.random.fork_rng(devices=[]):
                torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
        return file

    monkeypatch.setattr(pretrained, "find_weights", find)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, random_weights):
    import matplotlib
    import torch
    matplotlib.use("Agg")
    (tmp_path / "page").mkdir()
    monkeypatch.chdir(tmp_path / "page")
    torch.manual_seed(0)
    names = {"__name__": "__main__"}
    for line, code, wanted in blocks_of(page.read_text(encoding="utf-8")):
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
        if wanted is not None:
            assert not differs(wanted, printed.getvalue()), f"{page}, line {line}: prints\n{printed.getvalue()}"
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("folder", ["howto", "explanations"])
def test_every_page_is_listed_with_a_line_of_its_own(folder):
    index = (DOCS / folder / "index.md").read_text(encoding="utf-8")
    for page in (DOCS / folder).glob("*.md"):
        if page.stem != "index":
            assert f"({page.name})" in index and f"\n{page.stem}\n" in index, page.name


def test_every_how_to_page_has_code_that_runs():
    pages = [page for page in PAGES if page.parent.name == "howto" and page.stem != "index"]
    assert len(pages) > 12
    assert [page.name for page in pages if not blocks_of(page.read_text(encoding="utf-8"))] == []


#: Names of other libraries in the prose of the pages.
FOREIGN = {"Sequential", "ReduceLROnPlateau", "Trainer", "LightningModule", "forward"}


def unknown_names(text):
    "Names in the code spans of a page, outside its blocks, that minifast does not have: `learn.x`, `dls.x`, `Name(...)`, `name(...)`."
    import builtins
    import importlib

    from minifast.basics import DataLoaders, Learner
    stars = ["basics", "vision.all", "tabular.all", "collab", "text.all", "timeseries.all", "distributed", "callbacks"]
    public = {name for star in stars for name in importlib.import_module(f"minifast.{star}").__all__} | set(dir(builtins)) | FOREIGN
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", re.sub(r"^```(?!\w).*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)))
    spans = [re.sub(r"\"[^\"]*\"", "\"\"", span) for span in spans]
    wrong = [span for span in spans for owner, kind in (("learn", Learner), ("dls", DataLoaders))
             for name in re.findall(rf"\b{owner}\.(\w+)", span) if not (hasattr(kind, name) or name in ("dls", "recorder", "model"))]
    return wrong + [span for span in spans for name in re.findall(r"(?<![\w.@])([A-Za-z_]\w+)\(", span) if name not in public]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_names_in_the_prose_exist(page):
    text = page.read_text(encoding="utf-8")
    if page.stem.startswith("port_"):           # of a table, the right-hand column: the left one is another library's
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE)
    assert unknown_names(text) == []


def test_an_unknown_name_is_seen():
    assert unknown_names("Write `learn.chek()` or `learn.check()`, `Rezise(3)`, `Resize(\"f(x)\")`.") == ["learn.chek()", "Rezise(3)"]


def test_code_fits_the_width_of_a_page():
    blocks = [(page.name, code) for page in PAGES for _, code, _ in blocks_of(page.read_text(encoding="utf-8"))]
    assert [(name, line) for name, code in blocks for line in code.splitlines() if len(line) > 105] == []


def test_blocks_and_what_they_print():
    page = "A\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```bash\nls\n```\n```python\nx\n```\nprose\n```text\n2\n```\n"
    assert blocks_of(page) == [[3, "print(1)\n", "1\n"], [14, "x\n", None]]
    assert differs("1\n", "2\n") and differs("1\n", "1\n2\n") and not differs("a ... c\n", "epoch 0\na b c\n")
