"""What is in the wheel, what it asks for, and what the texts of the project must not mention."""
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from email.parser import Parser
from pathlib import Path

import pytest

import minifast

ROOT = Path(__file__).parents[2]
if not (ROOT / "pyproject.toml").exists():
    pytest.skip("not in a clone of the repository", allow_module_level=True)

CORE = {"torch>=2.6", "torchvision", "pandas>=2.1", "pillow>=10.1", "numpy", "matplotlib", "scikit-learn", "safetensors"}
EXTRAS = {"apps", "onnx", "hub", "notebook", "parquet", "dev", "text", "timm", "trackers", "fast", "benchmarks", "docs", "timeseries"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    "A copy of the sources, so that building leaves nothing behind in them."
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "minifast", folder / "minifast", ignore=shutil.ignore_patterns("__pycache__"))
    for stranger in ("tests", "nbs", "docs", "benchmarks"):           # folders that must stay out of the wheel
        (folder / stranger).mkdir()
        (folder / stranger / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    "The wheel, built the way a release is."
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    file, = out.iterdir()
    return file


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as z:
        return Parser().parsestr(z.read(f"minifast-{minifast.__version__}.dist-info/METADATA").decode())


def test_the_version_is_said_once_more_where_tools_want_it():
    assert f"\nversion: {minifast.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f'{{% set version = "{minifast.__version__}" %}}' in (ROOT / "conda.recipe" / "meta.yaml").read_text()


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for():
    yaml = pytest.importorskip("yaml")
    version, text = minifast.__version__, (ROOT / "conda.recipe" / "meta.yaml").read_text()
    recipe = yaml.safe_load(re.sub(r"{%.*?%}", "", text).replace("{{ version }}", version).replace("{{ PYTHON }}", "python"))
    of_conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    expected = {re.sub(r"^[a-z-]+", lambda name: of_conda.get(name[0], name[0]), need) for need in CORE}
    assert {need.replace(" ", "") for need in recipe["requirements"]["run"]} == expected | {"python>=3.10"}
    assert recipe["package"] == {"name": "minifast", "version": version} and recipe["build"]["entry_points"] == [
        "minifast = minifast.cli.main:main"] and 'minifast = "minifast.cli.main:main"' in (ROOT / "pyproject.toml").read_text()
    assert recipe["about"]["license"] in (ROOT / "pyproject.toml").read_text()


def test_the_wheel_is_small_and_for_every_platform(wheel):
    assert wheel.name == f"minifast-{minifast.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as z:
        files = [f for f in z.infolist() if f.filename.endswith(".py")]
    largest, rooms = max(files, key=lambda f: f.compress_size), Counter()
    for f in files:
        rooms[Path(f.filename).parts[1]] += f.compress_size
    assert largest.compress_size < 16_000, f"{largest.filename} looks like data"
    assert rooms.most_common(1)[0][1] < 150_000, f"{rooms.most_common(3)}: about 60 to 150 kB for each room"
    assert wheel.stat().st_size < 1_300_000


def test_the_wheel_holds_the_package_and_nothing_else(wheel, source):
    with zipfile.ZipFile(wheel) as z:
        names = set(z.namelist())
    info = f"minifast-{minifast.__version__}.dist-info/"
    files = {n for n in names if not n.startswith(info)}
    assert files == {f.relative_to(source).as_posix() for f in (source / "minifast").rglob("*") if f.is_file()}
    assert "minifast/py.typed" in files and all(n.endswith((".py", "/py.typed")) for n in files)
    assert {n.removeprefix(info) for n in names - files} == \
        {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}


def test_every_folder_of_the_package_is_a_package():
    folders = {f.parent for f in (ROOT / "minifast").rglob("*.py") if "__pycache__" not in f.parts}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_it_asks_for_the_eight_and_caps_nothing(metadata):
    wanted = metadata.get_all("Requires-Dist")
    core = {w for w in wanted if "extra ==" not in w}
    assert core == CORE
    assert not any(re.search(r"[<~]|==(?! ?['\"])", w.split(";")[0]) for w in wanted), wanted


def test_the_extras(metadata):
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    extras = {w.split(";")[0].strip() for w in metadata.get_all("Requires-Dist") if re.search(r"extra == ['\"]dev['\"]", w)}
    assert {"pytest>=9", "ruff", "build", "setuptools>=77", "wheel", "hypothesis", "nbclient"} <= extras      # what these tests need


def test_python_licence_and_description(metadata):
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0" and metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Version"] == minifast.__version__ and metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_the_console_script(wheel):
    with zipfile.ZipFile(wheel) as z:
        assert "minifast = minifast.cli.main:main" in z.read(f"minifast-{minifast.__version__}.dist-info/entry_points.txt").decode()


@pytest.mark.slow
def test_the_wheel_imports_without_the_clone(wheel, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import minifast.core.messages as m; print(m.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith(str(wheel)), done.stderr


def test_the_licence_is_the_apache_licence_word_for_word():
    text = (ROOT / "LICENSE").read_text()
    assert text.split("\n", 3)[1].strip() == "Apache License" and "Version 2.0, January 2004" in text and len(text) == 11358
    assert "END OF TERMS AND CONDITIONS" in text and 'Copyright [yyyy] [name of copyright owner]' in text


TEXTS = sorted(f for pattern in ("*.md", "*.toml", "*.cfg", ".ci/*", "docs/**/*.md", "nbs/**/*.ipynb", "minifast/**/*.py",
                                 "benchmarks/**/*.md", "benchmarks/**/*.py") for f in ROOT.glob(pattern) if f.is_file())

#: Folders of the machine where something was once tried; no reader has them.
MACHINE = re.compile(r"(?<![\w.~$}/!])/(?:home|root|Users|work|mnt|tmp|opt|usr|var)/[\w.-]+|[A-Z]:\\Users|file://")


def test_no_text_mentions_a_machine():
    found = {str(f.relative_to(ROOT)): MACHINE.findall(f.read_text(encoding="utf-8")) for f in TEXTS}
    assert {f: paths for f, paths in found.items() if paths} == {}


@pytest.mark.parametrize("line, seen", [("see /home/me/data", True), ("in /opt/venv/bin", True), (r"C:\Users\me", True),
                                        ("~/.cache/torch", False), ("https://host/work/it", False), ("a/root/b", False),
                                        ("$HOME/tmp/x", False)])
def test_the_test_knows_a_machine_when_it_sees_one(line, seen):
    assert bool(MACHINE.search(line)) is seen


def test_links_between_the_texts_lead_somewhere():
    broken = []
    for text in TEXTS:
        if text.suffix == ".md":
            for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text.read_text(encoding="utf-8")):
                if not re.match(r"[a-z]+:", link) and not (text.parent / link).exists():
                    broken.append(f"{text.relative_to(ROOT)}: {link}")
    assert broken == []
