"""From a folder to its files: the first step of most data pipelines (`get_items`)."""
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from ..core.items import L
from ..core.keywords import KnowsKeywords, knows_keywords
from ..core.messages import brief, did_you_mean
from ..core.paths import Path
from ..core.types import PathLike

#: File name endings of the image formats that Pillow reads. A fixed list: what the operating system calls an image differs.
image_extensions = frozenset([
    ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm", ".png", ".pnm",
    ".ppm", ".ras", ".rgb", ".sgi", ".tga", ".tif", ".tiff", ".webp", ".xbm", ".xpm"])


def _check_folder(path: Path) -> None:
    "Refuse a folder that does not exist, naming the nearest parent that does and the child that may have been meant."
    if path.is_dir():
        return
    if path.is_file():
        raise NotADirectoryError(f"{str(path)!r} is a file, not a folder")
    parent = next((p for p in path.parents if p.is_dir()), path.parent)
    missing = (*path.relative_to(parent).parts, str(path))[0]
    children = sorted(o.name for o in parent.iterdir()) if parent.is_dir() else []
    holds = f" holds {', '.join(children[:10])}{', ...' if len(children) > 10 else ''}" if children else " is empty"
    raise FileNotFoundError(f"there is no folder {str(path)!r}: {str(parent)!r}{holds}, but no "
                            f"{missing!r}{did_you_mean(missing, children)}")


def _check_subfolders(path: Path, folders: list[str]) -> None:
    present = sorted(o.name for o in path.iterdir() if o.is_dir())
    missing = [f for f in folders if f != "." and f not in present]
    if missing:
        wrong = ", ".join(f"{f!r}{did_you_mean(f, present)}" for f in missing)
        wrong += "" if wrong.endswith("?") else "."
        raise FileNotFoundError(f"folders={brief(list(folders))}: {str(path)!r} has no folder {wrong} Its folders: "
                                f"{', '.join(present) or 'none'}")


def _walk(path: Path, recurse: bool, folders: list[str], followlinks: bool) -> Iterator[tuple[str, list[str]]]:
    "(folder, its file names), sorted; hidden folders are left out, and a folder reached again through a link is not entered twice."
    seen = set()
    for where, dirs, names in os.walk(path, followlinks=followlinks):
        status = os.stat(where)
        if followlinks and (status.st_dev, status.st_ino) in seen and status.st_ino:
            dirs[:] = []
            continue
        seen.add((status.st_dev, status.st_ino))
        top = where == str(path)
        dirs[:] = sorted(o for o in dirs if not o.startswith(".") and not (top and folders and o not in folders)) if recurse else []
        if not (top and folders and "." not in folders):
            yield where, sorted(names)


@knows_keywords
def get_files(path: PathLike, extensions: str | Iterable[str] | None = None, recurse: bool = True,
              folders: str | Sequence[str] | None = None, followlinks: bool = True) -> L:
    """All files below a folder as an `L` of `Path`s, sorted, so that a seeded split is the same on every machine.

    Hidden files and folders are left out.

    Args:
        path: the folder.
        extensions: the endings to keep, in any case, such as `[".jpg"]`; None: every file.
        recurse: look into subfolders.
        folders: look only into these subfolders of `path`; '.' stands for the files of `path` itself.
        followlinks: enter folders that are links.

    Raises:
        FileNotFoundError: `path` or one of `folders` does not exist.
    """
    path = Path(path).expanduser()
    _check_folder(path)
    folders = [folders] if isinstance(folders, str) else list(folders or [])
    _check_subfolders(path, folders)
    extensions = [extensions] if isinstance(extensions, str) else extensions
    wanted = None if extensions is None else {e.lower() if e.startswith(".") else f".{e.lower()}" for e in extensions}
    return L((Path(where, name) for where, names in _walk(path, recurse, folders, followlinks) for name in names
              if not name.startswith(".") and (wanted is None or os.path.splitext(name)[1].lower() in wanted)), use_list=True)


@knows_keywords
def get_image_files(path: PathLike, recurse: bool = True, folders: str | Sequence[str] | None = None) -> L:
    """All image files below a folder, sorted.

    Args:
        path: the folder.
        recurse: look into subfolders.
        folders: look only into these subfolders, see `get_files`.
    """
    return get_files(path, image_extensions, recurse, folders)


@knows_keywords
def get_text_files(path: PathLike, recurse: bool = True, folders: str | Sequence[str] | None = None) -> L:
    """All `.txt` files below a folder, sorted.

    Args:
        path: the folder.
        recurse: look into subfolders.
        folders: look only into these subfolders, see `get_files`.
    """
    return get_files(path, [".txt"], recurse, folders)


def empty_class_folders(files: Iterable[PathLike], all_are_classes: bool = False) -> list[str]:
    """Folders beside those of the files, each of which is a class, that hold no file themselves, sorted: no class is made of them.

    Hidden ones and `models`, where learners save, are left out.

    Args:
        files: the items.
        all_are_classes: what lies beside is meant to be a class too, so that one whose files are all of other kinds counts as well.
    """
    paths = [os.fspath(f) for f in files]
    held, beside = {os.path.dirname(path) for path in paths}, []
    for parent in {os.path.dirname(folder) for folder in held} - {""}:
        with suppress(OSError):
            beside += [o.path for o in os.scandir(parent) if o.path not in held and o.name[0] not in "._" and o.name != "models"
                       and o.is_dir()]
    endings = tuple({os.path.splitext(path)[1].lower() for path in paths}) if beside and all_are_classes else ("",)
    return sorted(folder for folder in beside if not any(name.lower().endswith(endings) for _, _, names in os.walk(folder) for name in names
                                                         if not name.startswith(".")))


class FileGetter(KnowsKeywords):
    """`get_files` with its options set: a function of a folder.

    Args:
        suf: subfolder to look into.
        extensions: the endings to keep, in any case; None: every file.
        recurse: look into subfolders.
        folders: look only into these subfolders, see `get_files`.
    """

    def __init__(self, suf: str = "", extensions: str | Iterable[str] | None = None, recurse: bool = True,
                 folders: str | Sequence[str] | None = None):
        self.suf, self.extensions, self.recurse, self.folders = suf, extensions, recurse, folders

    def __call__(self, path: PathLike, extensions: str | Iterable[str] | None = None, recurse: bool | None = None,
                 folders: str | Sequence[str] | None = None) -> L:
        "The files below `path`; the other arguments take the place of those that were set."
        return get_files(Path(path) / self.suf, self.extensions if extensions is None else extensions,
                         self.recurse if recurse is None else recurse, self.folders if folders is None else folders)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(suf={self.suf!r}, recurse={self.recurse}, folders={self.folders})"


class ImageGetter(FileGetter):
    """`get_image_files` with its options set: a function of a folder.

    Args:
        suf: subfolder to look into.
        recurse: look into subfolders.
        folders: look only into these subfolders, see `get_files`.
    """

    def __init__(self, suf: str = "", recurse: bool = True, folders: str | Sequence[str] | None = None):
        super().__init__(suf, image_extensions, recurse, folders)
