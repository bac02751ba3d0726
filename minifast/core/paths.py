"""`Path`: pathlib's, with the methods that fastai's users expect of it. `pathlib` itself stays as it is.

The package returns it wherever it returns a file or folder. What is derived of it (`/`, `parent`, `glob`, ...) is one too.
"""
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterable
from mimetypes import types_map
from typing import Any, ClassVar

from .items import L

if sys.platform == "win32":
    _Base = pathlib.WindowsPath
else:
    _Base = pathlib.PosixPath           # not `pathlib.Path`, which cannot be subclassed before Python 3.12


class _AnyPath(type):
    "So that `isinstance(p, Path)` is true of paths that other packages made, as where `Path` is pathlib's."

    def __instancecheck__(cls, o: Any) -> bool:
        return isinstance(o, pathlib.Path)


class Path(_Base, metaclass=_AnyPath):
    "A `pathlib.Path` that lists a folder (`ls`), and reads and writes JSON."

    __slots__ = ()
    BASE_PATH: ClassVar[str | os.PathLike[str] | None] = None     #: what `repr` leaves out at the start: `Path.BASE_PATH = path`

    def __repr__(self) -> str:
        shown = self if self.BASE_PATH is None or not self.is_relative_to(self.BASE_PATH) else self.relative_to(self.BASE_PATH)
        return f"Path({shown.as_posix()!r})"

    def ls(self, n_max: int | None = None, file_type: str | None = None, file_exts: str | Iterable[str] | None = None) -> L:
        """What the folder holds, sorted.

        Args:
            n_max: how many at most (default: all).
            file_type: only files of this kind, such as 'image' or 'text', told by their endings.
            file_exts: only files with these endings, such as '.csv'.
        """
        endings = {file_exts} if isinstance(file_exts, str) else set(file_exts or ())
        if file_type is not None:
            endings.update(end for end, kind in types_map.items() if kind.startswith(f"{file_type}/"))
        wanted = endings or file_type is not None
        return L(sorted(o for o in self.iterdir() if not wanted or o.suffix in endings)[:n_max], use_list=True)

    def readlines(self, hint: int = -1, encoding: str = "utf8") -> list[str]:
        """The lines of the text file, with their ends.

        Args:
            hint: stop after about this many characters (default: read all).
            encoding: of the file.
        """
        with self.open(encoding=encoding) as f:
            return f.readlines(hint)

    def mk_write(self, data: str, encoding: str | None = "utf8", errors: str | None = None) -> None:
        """Write text, and make the folder for it.

        Args:
            data: the text.
            encoding: of the file.
            errors: what is done where the encoding lacks a character, as for `open`.
        """
        self.parent.mkdir(parents=True, exist_ok=True)
        self.write_text(data, encoding=encoding, errors=errors)

    def read_json(self, encoding: str | None = "utf8", errors: str | None = None) -> Any:
        """What the JSON file holds.

        Args:
            encoding: of the file.
            errors: what is done about bytes that are no text, as for `open`.
        """
        return json.loads(self.read_text(encoding=encoding, errors=errors))

    def write_json(self, data: Any, **kwargs: Any) -> None:
        """Write JSON, and make the folder for it.

        Args:
            data: what `json.dumps` takes.
            **kwargs: for `json.dumps`.
        """
        self.mk_write(json.dumps(data, **kwargs))

    def delete(self) -> None:
        "Delete the file, or the folder with all that it holds. It is no error if there is none."
        if self.is_dir() and not self.is_symlink():
            shutil.rmtree(self)
        else:
            self.unlink(missing_ok=True)

    def relpath(self, start: str | os.PathLike[str] = ".") -> "Path":
        """The way here from the folder `start`, links resolved.

        Args:
            start: a folder.
        """
        return type(self)(os.path.relpath(self.resolve(), pathlib.Path(start).resolve()))

    def normpath(self) -> "Path":
        "The path without `..` and doubled slashes; the file system is not looked at."
        return type(self)(os.path.normpath(self))

    def save(self, o: Any) -> None:
        """Refused: it wrote a pickle in old versions of fastai.

        Args:
            o: what would be saved.

        Raises:
            NotImplementedError: says what to write.
        """
        raise NotImplementedError("Path.save wrote a pickle, and a pickle that is loaded runs code. For plain data write "
                                  "`path.write_json(data)`, for tensors safetensors.torch.save_file(tensors, path), for a learner "
                                  "`learn.save(name)`")

    def load(self) -> Any:
        """Refused: it read a pickle in old versions of fastai.

        Raises:
            NotImplementedError: says what to write.
        """
        raise NotImplementedError("Path.load read a pickle, which runs code. Write `path.read_json()`, for tensors "
                                  "safetensors.torch.load_file(path), for a learner `learn.load(name)`; of a file that you trust "
                                  "`pickle.loads(path.read_bytes())`")
