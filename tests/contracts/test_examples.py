"""Each public class and function, and each public method of the main classes, has an example on its reference page; all are run here."""
import functools
import importlib.util
import inspect
import re
from pathlib import Path

import pytest
from test_api_pages import MODULES
from test_docstrings import TARGETS, own

import minifast.basics
import minifast.distributed
from minifast.basics import DataBlock, DataLoader, DataLoaders, Learner
from minifast.callbacks.base import Callback

ROOT = Path(__file__).parents[2]
if not (ROOT / "docs").exists():
    pytest.skip("not in a clone of the repository", allow_module_level=True)
spec = importlib.util.spec_from_file_location("examples", ROOT / "docs" / "examples.py")
examples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(examples)

FILES = sorted(examples.FOLDER.glob("*.md"))
#: Names without an example, and why.
WITHOUT = {
    "Learner.push_to_hub": "writes to a repository of a user of Hugging Face",
    "from_hub": "fetches from Hugging Face",
    "TimmBody": "takes a model of timm, which is an extra",
}
#: Pages whose examples need a package that may be absent.
NEEDS = {"text_transformers": ["transformers"], "training": ["onnxscript", "onnxruntime"], "data": ["pyarrow"], "text": ["tokenizers"]}
#: Pages that take a second or more.
LONG = {"training", "vision", "distributed"}


@functools.cache
def wanted():
    "`{qualified name: object}` of what must have an example."
    found = {name: value for name, value in TARGETS.items() if value.__module__ in MODULES}
    for cls in (Learner, DataLoaders, DataLoader, DataBlock, Callback):
        for name, method in inspect.getmembers(cls, inspect.isroutine):
            if not name.startswith("_") and own(method):
                found[f"{method.__module__}.{method.__qualname__}"] = method
    for value in map(minifast.distributed.__dict__.get, minifast.distributed.__all__):
        found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


@functools.cache
def shown():
    "`{qualified name: example}`."
    return {q: example for file in FILES for example in examples.read(file)[1] for name in example.names
            for q in examples.full_names(name, file.stem)}


def test_every_public_name_has_an_example():
    assert wanted().keys() >= shown().keys()
    missing = {q for q, value in wanted().items() if q not in shown() and q.removeprefix(f"{value.__module__}.") not in WITHOUT}
    assert missing == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_headings_name_what_is_on_the_page_once(file):
    names = [name for example in examples.read(file)[1] for name in example.names]
    assert [name for name in names if len(examples.full_names(name, file.stem)) != 1] == []
    assert len(set(names)) == len(names)


def test_examples_use_what_they_are_about_and_are_short():
    for q, example in shown().items():
        value, last = wanted()[q], q.rsplit(".", 1)[1]
        aliases = {last} | {name for name, v in vars(minifast.basics).items() if v is value}
        assert any(re.search(rf"\b{alias}\b", example.text) for alias in aliases), f"the example of {q} does not use it"
        assert 1 <= example.text.count(">>>") <= 8, q
        assert len(example.text) < 3000, q


@pytest.mark.parametrize("file", [pytest.param(file, marks=[pytest.mark.slow] if file.stem in LONG else []) for file in FILES],
                         ids=lambda file: file.stem)
def test_examples_print_what_the_page_says(file):
    for package in NEEDS.get(file.stem, ()):
        pytest.importorskip(package)
    assert examples.run(file)[1] == []


def test_what_has_no_example_exists():
    assert WITHOUT.keys() <= {q.removeprefix(f"{value.__module__}.") for q, value in wanted().items()}
    assert not {q for q in shown() if q.split(".")[-1] in WITHOUT}


@pytest.mark.parametrize("want, got, alike", [
    ("tensor([0.5000, 1.])", "tensor([0.5001, 1.0])", True), ("0.51", "0.61", False), ("3", "4", False), ("time 00:01", "time 00:00", True),
    ("a  b\nc", "a b c", True), ("'cat'", "'dog'", False), ("torch.Size([2, 3])", "torch.Size([2, 4])", False), ("", "1", False),
])
def test_outputs_are_compared_number_by_number(want, got, alike):
    assert examples.same(want, got) is alike


def test_a_wrong_output_and_an_error_are_seen(tmp_path):
    page = tmp_path / "toy.md"
    page.write_text("```python\na = 1\n```\n\n```python\nb = 2\n```\n\n"
                    "### x\n\n```pycon\n>>> a + b\n4\n```\n\n### y\n\n```pycon\n>>> c\n```\n")
    text, wrong = examples.run(page)
    assert ">>> a + b\n3\n" in text and len(wrong) == 2 and "NameError" in wrong[1]
    page.write_text(text.replace(">>> c", ">>> b\n2"))
    assert examples.run(page)[1] == []
