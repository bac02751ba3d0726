"""Every line of the two tables of mends has its test, and what it takes out stands where it says; docs/kinds.md is current.

`python tests/silent_failures/mends.py` and `python tests/users/mends.py` run them all.
"""
import re
from pathlib import Path

import pytest
from taken_out import texts_with
from test_table import ROOT, guards, module, package_now, unedited

TESTS = Path(__file__).resolve().parents[1]
kinds = module("kinds_mends", TESTS / "silent_failures" / "mends.py")
tables = pytest.mark.parametrize("mends", [kinds.MENDS, module("users_mends", TESTS / "users" / "mends.py").MENDS], ids=["kinds", "users"])


@tables
def test_every_line_names_a_test(mends):
    for line, (test, *edits) in mends.items():
        file, name = test.partition("[")[0].split("::")
        assert edits and re.search(rf"^def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), line


@pytest.mark.slow
@tables
def test_what_is_taken_out_is_there(mends):
    package, problems = package_now(), []
    for line, (_, *edits) in mends.items():
        try:
            changed = texts_with(edits, package)
        except LookupError as e:
            problems.append(f"{line}: {e.args[0]}")
        else:
            assert all(text != unedited(file) for file, text in changed.items()), line
    assert not problems, "\n".join(problems)


def test_the_page_of_kinds():
    make = module("make_kinds", ROOT / "docs" / "make_kinds.py")
    assert all(row in guards.GUARDS for kind in kinds.KINDS.values() for row in kind.rows.split())
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make_kinds.py"
