"""CSV files, and the files that the rows of a table name."""
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..core.messages import did_you_mean, listing
from ..core.paths import Path

if TYPE_CHECKING:
    import pandas as pd


def read_csv(file: Any, encoding: str | None = None, **options: Any) -> "pd.DataFrame":
    """`pandas.read_csv`, whose errors say what to write.

    Args:
        file: the file (`~` is the home folder), a URL or an open file.
        encoding: of the file; None: UTF-8.
        **options: of `pandas.read_csv`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is written in another encoding.
    """
    import pandas as pd
    if isinstance(file, Path) or (isinstance(file, str) and "://" not in file):
        file = Path(file).expanduser()
        if not file.is_file():
            near = did_you_mean(file.name, [o.name for o in file.parent.glob("*")]) if file.parent.is_dir() else ""
            raise FileNotFoundError(f"there is no file {str(file)!r}{near}")
    try:
        return pd.read_csv(file, encoding=encoding, **options)
    except UnicodeDecodeError as e:
        raise ValueError(f"{file} is not written in {encoding or 'UTF-8'} ({e.reason} at byte {e.start}). Files of spreadsheets often are "
                         "in encoding='cp1252', older ones in encoding='latin-1'") from e


def folder_of(file: Any) -> Path:
    "The folder of a file given by its path; the current one of a URL or an open file."
    is_path = isinstance(file, os.PathLike) or (isinstance(file, str) and "://" not in file)
    return Path(file).expanduser().parent if is_path else Path(".")


def delimiter_hint(columns: Iterable) -> str:
    "What to write where names of columns look like those of several, because a file was read with another delimiter; else nothing."
    apart = next((d for d in (";", "\t", "|") if d in "".join(map(str, columns))), None)
    return f". Read the file with delimiter={apart!r}" if apart else ""


def check_named_files(paths: list, column: Any, folder: Path) -> None:
    """Refuse a column of file names when none of those looked at is there, and say what is likely to be wrong.

    Args:
        paths: the first few files, as they would be opened.
        column: the column that names them.
        folder: where they are looked for.

    Raises:
        FileNotFoundError: none of `paths` exists.
    """
    if not paths or any(not isinstance(o, str) or "://" in o or Path(o).expanduser().exists() for o in paths):
        return
    first = Path(paths[0])
    found = sorted(o.name for o in first.parent.iterdir()) if first.parent.is_dir() else []
    same = [name for name in found if Path(name).stem == first.name]
    padded = [name for name in found if Path(name).stem.lstrip("0") == first.stem.lstrip("0") and Path(name).stem.isdigit()]
    below = [o.name for o in folder.iterdir() if (o / os.path.relpath(first, folder)).is_file()] if folder.is_dir() else []
    if below:
        hint = f"it is in {str(folder / below[0])!r}: write folder={below[0]!r}"
    elif not first.parent.is_dir():
        hint = f"there is no folder {str(first.parent)!r}"
    elif same:
        hint = f"the folder has {same[0]!r}: write suff={Path(same[0]).suffix!r}"
    elif padded:
        hint = f"the folder has {padded[0]!r}: the column was read as numbers, without the zeros in front. Read it as text, " \
               f"pd.read_csv(file, dtype={{{column!r}: str}}), or write df[{column!r}] = df[{column!r}].astype(str)" \
               f".str.zfill({len(Path(padded[0]).stem)})" + ("" if first.suffix else f", and suff={Path(padded[0]).suffix!r}")
    else:
        hint = f"the folder has {listing(map(repr, found), 5) or 'no file'}{did_you_mean(first.name, found)}"
    raise FileNotFoundError(f"there is no file {str(first)!r}, which the column {column!r} names first; {hint}")
