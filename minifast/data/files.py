"""From a folder to its files: the first step of most data pipelines (`get_items`)."""
import os
from pathlib import Path

from ..core.items import L
from ..core.messages import did_you_mean

#: File name endings of the image formats that Pillow reads. A fixed list: what the operating system calls an image differs.
image_extensions = frozenset([
    ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm", ".png", ".pnm",
    ".ppm", ".ras", ".rgb", ".sgi", ".tga", ".tif", ".tiff", ".webp", ".xbm", ".xpm"])


def _check_folder(path):
    "Refuse a folder that does not exist, naming the nearest parent that does and the child that may have been meant."
    if path.is_dir():
        return
    if path.is_file():
        raise NotADirectoryError(f"{str(path)!r} is a file, not a folder")
    parent, missing = path.parent, path.name
    while not parent.is_dir() and parent != parent.parent:
        parent, missing = parent.parent, parent.name
    children = sorted(o.name for o in parent.iterdir()) if parent.is_dir() else []
    holds = f" holds {', '.join(children[:10])}{', ...' if len(children) > 10 else ''}" if children else " is empty"
    raise FileNotFoundError(f"there is no folder {str(path)!r}: {str(parent)!r}{holds}, but no "
                            f"{missing!r}{did_you_mean(missing, children)}")


def _check_subfolders(path, folders):
    present = sorted(o.name for o in path.iterdir() if o.is_dir())
    missing = [f for f in folders if f != "." and f not in present]
    if missing:
        wrong = ", ".join(f"{f!r}{did_you_mean(f, present)}" for f in missing)
        wrong += "" if wrong.endswith("?") else "."
        raise FileNotFoundError(f"folders={list(folders)}: {str(path)!r} has no folder {wrong} Its folders: "
                                f"{', '.join(present) or 'none'}")


def _walk(path, recurse, folders, followlinks):
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


def get_files(path, extensions=None, recurse=True, folders=None, followlinks=True):
    """All files below `path` as an `L` of `Path`s, sorted, so that a seeded split is the same on every machine.

    extensions: the endings to keep, in any case, such as `[".jpg"]` (None: every file). recurse: look into subfolders.
    folders: look only into these subfolders of `path` ('.' for the files of `path` itself). Hidden files and folders are left out.
    A `path` or one of `folders` that does not exist raises `FileNotFoundError`.
    """
    path = Path(path)
    _check_folder(path)
    folders = [folders] if isinstance(folders, str) else list(folders or [])
    _check_subfolders(path, folders)
    extensions = [extensions] if isinstance(extensions, str) else extensions
    wanted = None if extensions is None else {e.lower() if e.startswith(".") else f".{e.lower()}" for e in extensions}
    return L((Path(where, name) for where, names in _walk(path, recurse, folders, followlinks) for name in names
              if not name.startswith(".") and (wanted is None or os.path.splitext(name)[1].lower() in wanted)), use_list=True)


def get_image_files(path, recurse=True, folders=None):
    "All image files below `path` (see `get_files`)."
    return get_files(path, image_extensions, recurse, folders)


def get_text_files(path, recurse=True, folders=None):
    "All `.txt` files below `path` (see `get_files`)."
    return get_files(path, [".txt"], recurse, folders)


class FileGetter:
    "`get_files` with its options set: a function of the folder `path`, which looks into `path/suf`."

    def __init__(self, suf="", extensions=None, recurse=True, folders=None):
        self.suf, self.extensions, self.recurse, self.folders = suf, extensions, recurse, folders

    def __call__(self, path):
        return get_files(Path(path) / self.suf, self.extensions, self.recurse, self.folders)

    def __repr__(self):
        return f"{type(self).__name__}(suf={self.suf!r}, recurse={self.recurse}, folders={self.folders})"


class ImageGetter(FileGetter):
    "`get_image_files` with its options set: a function of the folder `path`, which looks into `path/suf`."

    def __init__(self, suf="", recurse=True, folders=None):
        super().__init__(suf, image_extensions, recurse, folders)
