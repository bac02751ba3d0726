"""`save_pickle` and `load_pickle`, as fastai's courses use them. They are the only code of the package that touches pickle, which runs code
when it is loaded; nothing else calls them."""
import pickle
import warnings
from pathlib import Path as _Path
from typing import Any

from .types import PathLike


def save_pickle(fname: PathLike, o: Any) -> None:
    """Write `o` as a pickle. For a learner write `learn.export(fname)`: its file runs no code when it is loaded.

    Args:
        fname: the file.
        o: any object that pickle takes.
    """
    with _Path(fname).open("wb") as f:
        pickle.dump(o, f)


def load_pickle(fname: PathLike) -> Any:
    """The object that `save_pickle` wrote. A pickle runs code when it is loaded, so load only files that you wrote yourself.

    Args:
        fname: the file.
    """
    warnings.warn(f"load_pickle({str(fname)!r}): a pickle runs code when it is loaded; load only files that you wrote yourself",
                  stacklevel=2)
    with _Path(fname).open("rb") as f:
        return pickle.load(f)
