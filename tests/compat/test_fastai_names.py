"""The table of names: docs/from_fastai.md is made from it, and its sentences name what there is."""
import importlib.util
import re
from importlib import import_module
from pathlib import Path

import pytest

from minifast.compat.fastai_names import _ABSENT, DIFFERENT, MODULES

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("make_from_fastai", ROOT / "docs" / "make_from_fastai.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def test_the_page_is_up_to_date():
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_from_fastai.py"


def test_every_name_is_on_the_page():
    text = make.PAGE.read_text(encoding="utf-8")
    assert [name for names in MODULES.values() for name in names.split() if f"`{name}`" not in text] == []
    assert sum(make.counts()) == len({name for names in MODULES.values() for name in names.split()})


@pytest.mark.parametrize("sentence", [sentence for sentence, _ in _ABSENT])
def test_what_the_sentences_name_is_there(sentence):
    for names, module in re.findall(r"((?:`[^`]+`(?:, | and )?)+) of `(minifast[\w.]+)`", sentence):
        for name in re.findall(r"`(\w+)[(`]", names):
            assert hasattr(import_module(module), name), f"{module} has no {name}"
    for module, name in re.findall(r"from (minifast[\w.]+) import (\w+)", sentence):
        assert hasattr(import_module(module), name), f"{module} has no {name}"


def test_no_name_has_two_sentences():
    names = [name for _, listed in _ABSENT for name in listed.split()]
    assert sorted(set(names)) == sorted(names) and all(DIFFERENT.values())
