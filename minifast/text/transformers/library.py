"""The libraries that this folder needs, imported at first use: `transformers`, and `peft` for LoRA."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_at_fork: list[str] = []       # what was done once in this process


def library(name: str = "transformers") -> ModuleType:
    """Import a library of the extra `text`.

    Args:
        name: 'transformers', 'tokenizers' or 'peft'.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as e:
        if e.name != name:
            raise
        raise ImportError(f"this needs {name}, which is not installed: pip install "
                          + ("peft" if name == "peft" else "'minifast[text]'")) from e


@contextmanager
def quiet() -> Iterator[None]:
    "Within the block `transformers` logs errors alone and draws no progress bars: what matters of that is said here in a line."
    logging = library().utils.logging
    level, bars = logging.get_verbosity(), getattr(logging, "is_progress_bar_enabled", lambda: True)()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def fork_safely() -> None:
    """Let processes that are forked from now on (workers) tokenise in one thread, as `TOKENIZERS_PARALLELISM` says there.

    Threads of a tokenizer do not survive a fork: without this it hangs or warns there. This process goes on in all its threads.
    """
    if _at_fork or not hasattr(os, "register_at_fork"):
        return
    _at_fork.append("registered")
    ours: list[Any] = []

    def before() -> None:
        if "TOKENIZERS_PARALLELISM" not in os.environ:
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            ours.append(True)

    def after() -> None:
        if ours:
            ours.clear()
            os.environ.pop("TOKENIZERS_PARALLELISM", None)

    os.register_at_fork(before=before, after_in_parent=after)
