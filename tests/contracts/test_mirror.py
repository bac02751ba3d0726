"""tests/ mirrors the package: a test file stands in the folder of the file it tests and begins with its name."""
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "minifast"
#: Folders of tests about the package as a whole.
WHOLE = {"advice", "contracts", "devices", "silent_failures", "users"}


def package_file(file):
    "The file of the package that a test file is named after, or None: `test_loaders_refusals.py` tests `loaders.py` of its folder."
    folder = PACKAGE / file.parent.relative_to(TESTS)
    words = file.stem.removeprefix("test_").split("_")
    for n in range(len(words), 0, -1):
        name = "_".join(words[:n])
        for candidate in (folder / f"{name}.py", folder / name / "__init__.py"):
            if candidate.exists():
                return candidate
    return None


def test_every_test_file_is_named_after_a_file():
    files = [f for f in TESTS.rglob("test_*.py") if f.parent.relative_to(TESTS).parts[0] not in WHOLE]
    assert len(files) > 80
    assert [f.relative_to(TESTS).as_posix() for f in files if package_file(f) is None] == []


def test_the_test_sees_a_stray_file():
    assert package_file(TESTS / "core" / "test_messages_words.py") == PACKAGE / "core" / "messages.py"
    assert package_file(TESTS / "core" / "test_nothing.py") is None
