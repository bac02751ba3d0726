"""fastai's module paths: each imports, gives fastai's names that exist here, and says what to write instead of the others."""
import subprocess
import sys
from importlib import import_module

import pytest

import minifast.tabular.all
import minifast.vision.all
from minifast.compat import modules
from minifast.compat.fastai_names import ABSENT, DIFFERENT, FASTCORE, MODULES, instead_of
from minifast.compat.modules import LISTS, find, may_be_listed, names_here

ALL_NAMES = sorted({name for names in MODULES.values() for name in names.split()})


@pytest.mark.parametrize("path", MODULES)
def test_every_path_imports(path):
    module = import_module(f"minifast.{path}")
    assert module.__name__ == f"minifast.{path}"
    namespace = {}
    exec(f"from minifast.{path} import *", namespace)
    wanted = set(MODULES[path].split()) & names_here()
    assert wanted <= set(namespace)


def test_the_names_are_those_of_this_package():
    from minifast.callback.fp16 import MixedPrecision
    from minifast.tabular.core import Normalize
    from minifast.vision.core import PILImage

    from minifast.data.transforms import RandomSplitter, get_image_files
    assert MixedPrecision is minifast.vision.all.MixedPrecision and PILImage is minifast.vision.all.PILImage
    assert RandomSplitter is minifast.vision.all.RandomSplitter and get_image_files is minifast.vision.all.get_image_files
    assert Normalize is minifast.tabular.all.Normalize and import_module("minifast.vision.data").Normalize is minifast.vision.all.Normalize


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_name_of_fastai_is_here_or_has_a_sentence(name):
    path = next(path for path, names in MODULES.items() if name in names.split())
    if name in names_here():
        assert find(name, path) is not None and name not in ABSENT
    else:
        with pytest.raises(ImportError, match="cannot import name") as e:
            find(name, path)
        assert instead_of(name) in str(e.value) and len(instead_of(name)) > 10


def test_utilities_of_fastcore_are_named_with_their_import():
    for name in [*FASTCORE.split(), "HTTP404NotFoundError", "HTTP4xxClientError"]:
        assert name in names_here() or f"`from fastcore.all import {name}`" in instead_of(name) or name in ABSENT
    with pytest.raises(ImportError, match=r"from 'minifast.torch_core': .*`from fastcore.all import gt`"):
        from minifast.torch_core import gt  # noqa: F401


def test_nothing_is_both_the_same_and_different_from_what_is_said():
    assert not ABSENT.keys() & names_here()
    assert all("." in name or name in names_here() for name in DIFFERENT)


def test_names_that_nobody_has_fail_as_in_any_module():
    with pytest.raises(ImportError, match="cannot import name 'Foo'"):
        from minifast.data.transforms import Foo
    with pytest.raises(ImportError, match="cannot import name 'Foo'"):
        from minifast.vision.core import Foo  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match="minifast.vision.nothing"):
        import_module("minifast.vision.nothing")
    assert not hasattr(import_module("minifast.vision.core"), "nothing")


def test_other_packages_are_left_alone():
    code = ("import sys; before = list(sys.meta_path); import minifast; after = sys.meta_path\n"
            "assert [f for f in after if f not in before][0].__class__.__name__ == 'FastaiPaths' and len(after) == len(before) + 1\n"
            "assert after[0].find_spec('json') is None and after[0].find_spec('minifastest.data') is None\n"
            "import importlib; importlib.reload(minifast); assert len(sys.meta_path) == len(before) + 1\n"
            "assert not any(m.split('.')[0] in ('torch', 'pandas', 'fastcore') for m in sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_widgets_of_ipywidgets(monkeypatch):
    pytest.importorskip("ipywidgets")
    import ipywidgets
    from minifast.vision.widgets import Button, ImageClassifierCleaner, widgets

    from minifast.compat import modules
    assert Button is ipywidgets.Button and widgets.FileUpload is ipywidgets.FileUpload and ImageClassifierCleaner is not None
    assert {"VBox", "widgets"} <= set(modules.names_of("vision.widgets"))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"VBox is of ipywidgets: pip install"):
        modules.find("VBox", "vision.widgets")


@pytest.mark.slow
def test_a_name_that_nobody_has_costs_no_import():
    code = ("import sys, minifast\n"
            "assert not hasattr(minifast, '__wrapped__') and 'torch' not in sys.modules\n"
            "import minifast.data.transforms, minifast.vision.core\n"
            "assert not hasattr(minifast.data.transforms, 'Foo') and not hasattr(minifast.vision.core, 'nothing')\n"
            "from minifast.vision import learner\n"
            "assert not any(m.endswith('.all') for m in sys.modules if m.startswith('minifast'))\n"
            "from minifast.vision.core import PILImage\n"
            "assert 'minifast.vision.all' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_listed_name_is_read_without_an_import():
    listed = set().union(*(import_module(f"minifast.{module}").__all__ for module in LISTS))
    assert all(map(may_be_listed, listed)) and len(listed) > 500 and not may_be_listed("acuracy")


def test_where_sources_cannot_be_read_names_are_found_by_importing(monkeypatch):
    from importlib.machinery import SourceFileLoader
    monkeypatch.setattr(SourceFileLoader, "get_source", lambda self, name: None)
    modules._quoted_names.cache_clear()
    try:
        assert may_be_listed("acuracy") and find("vision_learner", "learner").__name__ == "vision_learner"
    finally:
        modules._quoted_names.cache_clear()


@pytest.mark.parametrize("name, of_fastcore", [("HTTP404NotFoundError", True), ("HTTPError", False)])
def test_errors_of_fastcore_are_told_by_their_number(name, of_fastcore):
    assert (instead_of(name) is not None) is of_fastcore


@pytest.mark.slow
def test_the_package_can_be_taken_out_of_the_loaded_modules_and_imported_anew():
    "As people do in a notebook after an update; with fastai's paths, and their finder once."
    code = """
import sys
import minifast.basics as first
for name in [m for m in sys.modules if m.partition('.')[0] == 'minifast']:
    del sys.modules[name]
import minifast.basics as second
from minifast.callback.fp16 import MixedPrecision
assert second is not first and second.Learner is not first.Learner and MixedPrecision
assert sum(type(f).__name__ == 'FastaiPaths' for f in sys.meta_path) == 1
assert type(sys.meta_path[0]) is sys.modules['minifast.compat.modules'].FastaiPaths
"""
    subprocess.run([sys.executable, "-c", code], check=True)
