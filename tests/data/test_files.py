import os
import pickle
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.files import (
    FileGetter,
    ImageGetter,
    empty_class_folders,
    get_files,
    get_image_files,
    get_text_files,
    image_extensions,
)
from minifast.data.labels import parent_label
from minifast.data.splitters import GrandparentSplitter


@pytest.fixture
def tree(tmp_path):
    for name in ("train/cat/2.jpg", "train/cat/10.JPG", "train/dog/1.png", "valid/cat/3.jpg", "notes.txt", "train/.hidden/4.jpg",
                 "train/cat/.5.jpg", "b.jpeg", "a.jpg"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def relative(files, tree):
    return [str(f.relative_to(tree)).replace(os.sep, "/") for f in files]


def test_files_are_sorted_and_hidden_ones_left_out(tree):
    found = get_files(tree)
    assert relative(found, tree) == ["a.jpg", "b.jpeg", "notes.txt", "train/cat/10.JPG", "train/cat/2.jpg", "train/dog/1.png",
                                     "valid/cat/3.jpg"]
    assert all(isinstance(f, Path) for f in found)


def test_the_order_is_that_of_the_names_not_of_the_disk(tree, monkeypatch):
    before, walk = get_files(tree), os.walk

    def backwards(*args, **kwargs):
        for where, dirs, names in walk(*args, **kwargs):
            dirs.reverse()
            yield where, dirs, names[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert get_files(tree) == before


def test_extensions_and_recursion(tree):
    assert relative(get_image_files(tree / "train"), tree) == ["train/cat/10.JPG", "train/cat/2.jpg", "train/dog/1.png"]
    assert relative(get_text_files(tree), tree) == ["notes.txt"]
    assert relative(get_files(tree, recurse=False), tree) == ["a.jpg", "b.jpeg", "notes.txt"]
    assert relative(get_files(tree, extensions="PNG"), tree) == ["train/dog/1.png"]
    assert relative(get_image_files(str(tree), folders=["valid"]), tree) == ["valid/cat/3.jpg"]
    assert relative(get_image_files(tree, folders=["valid", "."]), tree) == ["a.jpg", "b.jpeg", "valid/cat/3.jpg"]
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif"} <= image_extensions and ".svg" not in image_extensions


def test_a_missing_folder_is_named_with_what_is_there(tree):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*tree.*holds|no folder .*trian.*did you mean 'train'"):
        get_files(tree / "trian" / "cat")
    with pytest.raises(FileNotFoundError) as error:
        get_image_files(tree / "trian")
    assert "did you mean 'train'" in str(error.value) and str(tree) in str(error.value)
    with pytest.raises(NotADirectoryError, match="is a file"):
        get_files(tree / "a.jpg")


def test_a_missing_drive_is_named(monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    with pytest.raises(FileNotFoundError, match="there is no folder '/'"):
        get_files("/")


def test_a_missing_subfolder_is_refused(tree):
    with pytest.raises(FileNotFoundError, match=r"has no folder 'val'; did you mean 'valid'\? Its folders: train, valid"):
        get_image_files(tree, folders=["train", "val"])


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_but_not_for_ever(tree):
    (tree / "train" / "round").symlink_to(tree, target_is_directory=True)
    found = relative(get_files(tree), tree)
    assert len(found) == 7
    other = tree.parent / "other"
    (other / "x").mkdir(parents=True)
    (other / "x" / "linked.jpg").touch()
    (tree / "valid" / "more").symlink_to(other, target_is_directory=True)
    assert "valid/more/x/linked.jpg" in relative(get_files(tree), tree)
    assert "valid/more/x/linked.jpg" not in relative(get_files(tree, followlinks=False), tree)


def test_getters_can_be_sent_to_a_worker(tree):
    get = pickle.loads(pickle.dumps(ImageGetter("train", recurse=True)))
    assert relative(get(tree), tree) == ["train/cat/10.JPG", "train/cat/2.jpg", "train/dog/1.png"] and "suf='train'" in repr(get)
    assert relative(FileGetter(extensions=[".txt"])(tree), tree) == ["notes.txt"]


def test_real_folder(data_dir):
    files = get_image_files(data_dir / "mnist_tiny")
    assert len(files) == 1400 and files == sorted(files, key=lambda f: f.parts)


def test_a_getter_takes_other_options_in_a_call(tmp_path):
    for name in ("a.jpg", "b.txt", "sub/c.jpg", "other/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(files):
        return [f.name for f in files]

    getter = FileGetter(recurse=False)
    assert names(getter(tmp_path)) == ["a.jpg", "b.txt"] and names(getter(tmp_path, recurse=True, folders="sub")) == ["c.jpg"]
    assert names(getter(tmp_path, extensions=".txt")) == ["b.txt"] and names(FileGetter()(tmp_path, recurse=False)) == ["a.jpg", "b.txt"]


def classes_in(folder, **kinds):
    for name, ending in kinds.items():
        for i in range(3):
            file = folder / name / f"{i}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


def in_folders(splitter=None):
    return DataBlock((TransformBlock, CategoryBlock), get_items=get_text_files, get_y=parent_label, splitter=splitter)


def warned(make):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        make()
    return [str(w.message) for w in seen]


def test_an_empty_folder_beside_those_of_the_classes_is_named(tmp_path):
    for part in ("train", "valid"):
        classes_in(tmp_path / part, cat="txt", dog="txt")
    for name in ("train/horse", "train/.cache", "train/_old", "train/models", "models", "test", "test/cow"):
        (tmp_path / name).mkdir()
    classes_in(tmp_path / "valid", cow="doc")
    block = in_folders(GrandparentSplitter())
    told, = warned(lambda: block.datasets(tmp_path))
    assert told.startswith(f"no file for training or validation lies in {str(tmp_path / 'train' / 'horse')!r}, "
                           f"{str(tmp_path / 'valid' / 'cow')!r}, beside the folders of the classes. Put files there, or remove")
    (tmp_path / "train" / "horse").rmdir()
    shutil.rmtree(tmp_path / "valid" / "cow")
    assert warned(lambda: block.datasets(tmp_path)) == []


def test_of_a_random_split_only_folders_without_any_file_count(tmp_path):
    classes_in(tmp_path, cat="txt", dog="txt", notes="doc")
    assert warned(lambda: in_folders().datasets(tmp_path)) == []
    (tmp_path / "horse" / "more").mkdir(parents=True)
    told, = warned(lambda: in_folders().datasets(tmp_path))
    assert repr(str(tmp_path / "horse")) in told and "notes" not in told
    some = get_text_files(tmp_path, folders=["cat"])
    assert empty_class_folders(some) == [str(tmp_path / "horse")] and empty_class_folders([]) == empty_class_folders(["a.txt"]) == []


def test_classes_that_are_given_are_no_surprise(tmp_path):
    classes_in(tmp_path, cat="txt", dog="txt")
    (tmp_path / "horse").mkdir()

    def read(vocab):
        return DataBlock((TransformBlock, CategoryBlock(vocab=vocab)), get_items=get_text_files, get_y=parent_label).datasets(tmp_path)
    assert warned(lambda: read(["cat", "dog"])) == []
    assert len(warned(lambda: read(["cat", "dog", "horse"]))) == 1
