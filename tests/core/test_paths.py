"""`Path` is pathlib's, with a few methods more, in every version of Python; what the package returns is such a path."""
import copy
import json
import os
import pathlib
import pickle
import zipfile

import pytest
import torch
from torch import nn

from minifast.core.paths import Path
from minifast.data.files import FileGetter, get_files, get_image_files
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.sources.urls import URLs, minifast_home, untar_data


@pytest.fixture
def folder(tmp_path):
    folder = Path(tmp_path)
    (folder / "b" / "photo.jpg").mk_write("")
    (folder / "a.csv").mk_write("1\n2\n")
    (folder / "c.txt").mk_write("é")
    return folder


def test_a_path_is_pathlibs_path(folder):
    assert isinstance(folder, pathlib.Path) and folder == pathlib.Path(folder) and hash(folder) == hash(pathlib.Path(folder))
    assert os.fspath(folder) == str(folder) and json.loads(json.dumps({"path": str(folder)})) == {"path": str(folder)}
    assert not hasattr(folder, "__dict__") and repr(Path("a/b")) == "Path('a/b')"


def test_isinstance_holds_for_paths_that_other_packages_made():
    assert isinstance(pathlib.Path("x"), Path) and isinstance(Path("x"), Path) and not isinstance("x", Path)


def test_what_is_derived_of_it_is_one_too(folder):
    a = folder / "a.csv"
    derived = [a, "x" / Path("y"), a.parent, a.parents[1], a.with_name("q"), a.with_suffix(".x"), a.resolve(), a.absolute(),
               a.relative_to(folder), folder.joinpath("a", "b"), Path.cwd(), Path.home(), Path("~").expanduser(), a.relpath(), a.normpath(),
               *folder.iterdir(), *folder.glob("*"), *folder.rglob("*.jpg"), *folder.ls(), a.rename(folder / "d").rename(a),
               copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))]
    assert {type(p) for p in derived} == {Path}


def test_ls(folder):
    a, b, c = folder.ls()
    assert [p.name for p in (a, b, c)] == ["a.csv", "b", "c.txt"] and folder.ls(n_max=2) == [a, b]
    assert folder.ls(file_exts=".csv") == [a] and folder.ls(file_exts=[".csv", ".txt"]) == [a, c] == folder.ls(file_type="text")
    assert (folder / "b").ls(file_type="image").map(lambda p: p.name) == ["photo.jpg"] and folder.ls(file_type="video") == []
    with pytest.raises(FileNotFoundError):
        (folder / "none").ls()


def test_base_path_shortens_what_is_shown(folder, monkeypatch):
    monkeypatch.setattr(Path, "BASE_PATH", folder)
    assert repr(folder / "b" / "photo.jpg") == "Path('b/photo.jpg')" and repr(Path("x")) == "Path('x')"


def test_reading_writing_and_deleting(folder):
    assert (folder / "a.csv").readlines() == ["1\n", "2\n"] and (folder / "c.txt").readlines() == ["é"]
    (folder / "new" / "x.json").write_json({"a": [1, 2]}, indent=1)
    assert (folder / "new" / "x.json").read_json() == {"a": [1, 2]}
    (folder / "link").symlink_to(folder / "b")
    for name in ("a.csv", "new", "link", "none"):
        (folder / name).delete()
    assert [p.name for p in folder.ls()] == ["b", "c.txt"] and (folder / "b").ls()
    assert Path("a/../b//c").normpath() == Path("b/c") and (folder / "b").relpath(folder / "new") == Path("../b")


def test_save_and_load_would_be_pickles_and_say_what_to_write(folder):
    for call in (lambda: (folder / "x").save([1]), lambda: (folder / "x").load()):
        with pytest.raises(NotImplementedError, match=r"pickle.*json"):
            call()


def test_the_package_returns_such_paths(folder, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(folder / "home"))
    loaders = DataLoaders([(torch.zeros(2, 1), torch.zeros(2, 1))], path=folder)
    learn = Learner(loaders, nn.Linear(1, 1), loss_func=nn.MSELoss(), path=str(folder))
    assert type(loaders.path) is type(learn.path) is type(get_files(folder)[0]) is type(get_image_files(str(folder))[0]) is Path
    assert type(FileGetter()(folder)[0]) is type(minifast_home()) is type(URLs.path(URLs.PETS)) is type(learn.save("x")) is Path
    archive = minifast_home() / "archive" / "tiny.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("tiny/x.txt", "1")
    tiny = untar_data("https://host.test/tiny.zip")
    assert type(tiny) is Path and [p.name for p in tiny.ls()] == ["x.txt"]
