"""Run a test on a copy of the package from which something was taken out: it must fail."""
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path

from source_edits import ROOT, Package

#: What every run needs is imported once, before it is forked.
LIBRARIES = ("matplotlib.pyplot", "pandas", "pytest", "sklearn.ensemble", "sklearn.metrics", "torch.utils.data",
             "torchvision.transforms.v2")


def texts_with(edits, package):
    "`{file: its text with these edits}`; `LookupError` where what one of them is about is not found under its name."
    changed = {}
    for edit in edits:
        file, text = edit.apply(package, changed)
        changed[file] = text
    return changed


def pytest_without(changed, tests):
    """What happens to `tests`, arguments of pytest, on a copy of the package with the texts `changed`: 'fails', 'passes' or 'breaks', and
    the first line of pytest's evidence."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in ("minifast", "tests"):
            shutil.copytree(ROOT / part, root / part)           # with what is compiled
        shutil.copy(ROOT / "pyproject.toml", root)
        for path, text in changed.items():
            (root / path.relative_to(ROOT)).write_text(text, encoding="utf-8")
        child = multiprocessing.get_context("fork").Process(target=_pytest, args=(root, ["-n", "0", "-q", "-x", "-p", "no:cacheprovider",
                                                                                         *tests]))
        child.start()
        child.join()
        output = (root / "output").read_text(encoding="utf-8")
    errors = [line[1:].strip() for line in output.splitlines() if line.startswith("E  ")]
    if child.exitcode == 0:
        return "passes", ""
    if child.exitcode == 1 and errors and not errors[0].startswith(("NameError", "UnboundLocalError", "SyntaxError", "ImportError")):
        return "fails", errors[0]
    return "breaks", f"pytest ended with status {child.exitcode}\n{output[-2500:]}"


def _pytest(root, arguments):
    "Run pytest in the copy `root`. In a fork, which has the large libraries already and the package not yet."
    import pytest
    if "minifast" in sys.modules:
        sys.exit("the package was imported before anything was taken out")
    os.environ.setdefault("MINIFAST_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ["PYTHONPATH"] = str(root)
    os.chdir(root)
    sys.path[:] = [str(root), *(p for p in sys.path if p not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True
    with open("output", "w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        status = int(pytest.main(arguments))
        sys.stdout.flush()
    os._exit(status)


def try_all(rows, try_without):
    "Print what `try_without(row, package)` says of each row; the exit status, 1 where a test does not fail as it should."
    for module in LIBRARIES:
        importlib.import_module(module)
    package, bad = Package(), []
    for row in rows:
        outcome, evidence = try_without(row, package)
        bad += [row] if outcome != "fails" else []
        print(f"{row}: " + {"fails": f"fails ({evidence[:100]})", "passes": "STILL PASSES", "breaks": f"BREAKS: {evidence}"}[outcome],
              flush=True)
    print(f"{len(rows)} tried, {len(bad)} of them not as they should be" + "".join(f"\n  {row}" for row in bad))
    return int(bool(bad))


def try_mends(mends, beginnings):
    "Try the lines of `mends`, {line: (the test that fails without the mend, the edits)}, that begin so, all if none are given."
    def try_without(line, package):
        test, *edits = mends[line]
        return pytest_without(texts_with(edits, package), [f"tests/{test}"])
    return try_all([line for line in mends if line.startswith(tuple(beginnings or ("",)))], try_without)
