"""Every line of `mends.py` has its test, and what it takes out stands where it says. `python tests/users/mends.py` runs them all."""
import ast
import importlib.util
import re
from pathlib import Path

import pytest
from source_edits import Package

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("users_mends", HERE / "mends.py")
mends = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mends)


def test_every_line_names_a_test():
    for line, (test, *edits) in mends.MENDS.items():
        file, name = test.partition("[")[0].split("::")
        assert edits and re.search(rf"^def {name}\(", (HERE.parent / file).read_text(encoding="utf-8"), re.MULTILINE), line


@pytest.mark.slow
def test_what_is_taken_out_is_there():
    package, problems = Package(), []
    for line in mends.MENDS:
        try:
            changed = mends.without(line, package)
        except LookupError as e:
            problems.append(f"{line}: {e.args[0]}")
        else:
            assert all(ast.dump(ast.parse(text)) != ast.dump(ast.parse(file.read_text(encoding="utf-8"))) for file, text in changed.items())
    assert not problems, "\n".join(problems)
