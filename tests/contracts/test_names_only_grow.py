"""No public name of the latest release is gone; see docs/deprecation.md.

After a release: `python tests/contracts/test_names_only_grow.py` writes the names that there are now.
"""
import importlib
from pathlib import Path

FILE = Path(__file__).with_name("public_names.txt")
MODULES = ["minifast", "minifast.basics", "minifast.collab", "minifast.tabular.all", "minifast.text.all", "minifast.timeseries.all",
           "minifast.vision.all"]


def names_of(module):
    found = importlib.import_module(module)
    return sorted(getattr(found, "__all__", None) or [n for n in dir(found) if not n.startswith("_")])


def test_no_public_name_is_gone():
    released = [line.split(":", 1) for line in FILE.read_text().splitlines()]
    assert [module for module, _ in released] == MODULES
    for module, names in released:
        assert set(names.split()) - set(names_of(module)) == set(), f"of {module}: deprecate it first, see docs/deprecation.md"


if __name__ == "__main__":
    FILE.write_text("".join(f"{m}: {' '.join(names_of(m))}\n" for m in MODULES))
