"""Each promise of docs/security.md and docs/reliability.md has tests that exist, and a few damaged files of every kind keep them."""
import re
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = [page for name in ("security", "reliability") if (page := TESTS.parent / "docs" / f"{name}.md").exists()]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)(?:\[[^`]*\])?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_promise_names_tests_that_exist(page):
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 5
    for row in rows:
        tests = NAMED.findall(row.rsplit(" | ", 1)[-1])
        assert tests and row.count("::") == len(tests), row
        for file, name in tests:
            assert re.search(rf"^def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{name}"


def test_a_few_damaged_files_of_every_kind(tmp_path, monkeypatch, capsys):
    "What `python benchmarks/hostile_files.py` does with tens of thousands."
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    import hostile_files
    kinds = [*hostile_files.learner_kinds(tmp_path), *hostile_files.data_kinds(tmp_path)]
    late = {"exec", "compile", "import", "code.__new__"}            # torch imports some of its modules when they are first used
    watch = hostile_files.Watch(tmp_path, set(hostile_files.FORBIDDEN) - late)
    ended = hostile_files.attacks(kinds, 60, watch, warm_up=0)
    assert ended["refused"] > 20 and not {"RAW", "WRONG", "MEMORY", "CODE"} & set(ended), capsys.readouterr().out
    for module in ("hostile_files", "file_kinds", "learners_to_save"):
        sys.modules.pop(module)
