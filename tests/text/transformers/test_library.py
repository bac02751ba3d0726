"""Libraries that are not installed."""
import builtins
import sys

import pytest

from minifast.text.transformers.library import library


@pytest.mark.parametrize(("name", "write"), [("transformers", r"pip install 'minifast\[text\]'"), ("peft", "pip install peft")])
def test_a_library_that_is_missing_says_how_to_get_it(monkeypatch, name, write):
    whole = builtins.__import__

    def refuse(wanted, *args, **kwargs):
        if wanted.split(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return whole(wanted, *args, **kwargs)

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("minifast.text.transformers.library.import_module", refuse)
    with pytest.raises(ImportError, match=f"{name}, which is not installed: {write}"):
        library(name)
