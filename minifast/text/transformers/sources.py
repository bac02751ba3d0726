"""Where models and tokenizers come from: a folder, the cache of the hub, the hub. Nothing that is loaded is code or a pickle."""
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ...core.messages import listing
from .library import library

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def is_folder(source: Any) -> bool:
    "Whether `source` is a folder; a path that is written as one and is none is refused."
    text = os.fspath(source)
    if Path(text).expanduser().is_dir():
        return True
    if isinstance(source, Path) or text.startswith(("/", "./", "../", "~")) or text.count("/") > 1:
        parent = Path(text).expanduser().parent
        found = sorted(p.name for p in parent.iterdir() if p.is_dir())[:8] if parent.is_dir() else []
        raise FileNotFoundError(f"there is no folder {text!r}" + (f". In {str(parent)!r}: {', '.join(found)}" if found else ""))
    return False


def refuse_pickles(folder: Any) -> None:
    """Refuse a folder whose weights are in a pickle alone.

    Raises:
        ValueError: says how to convert it.
    """
    folder = Path(folder).expanduser()
    names = sorted(p.name for p in folder.iterdir())
    if any(n.endswith((".safetensors", ".safetensors.index.json")) for n in names):
        return
    pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".bin.index.json")) and n != "training_args.bin"]
    if pickles:
        raise ValueError(f"the weights in {str(folder)!r} are a pickle ({listing(pickles, 3)}), and reading one can run code: only "
                         "safetensors are loaded. If you trust it, convert it once: from transformers import "
                         f"AutoModel; AutoModel.from_pretrained({str(folder)!r}, use_safetensors=False).save_pretrained(new_folder) (of a "
                         "model with a head that is to be kept, with its own class instead of AutoModel), copy the other files, and "
                         "load new_folder")
    raise FileNotFoundError(f"the folder {str(folder)!r} holds no weights (model.safetensors): {listing(names, 8) or 'it is empty'}")


def fetching(auto: Any, source: Any, what: str, **options: Any) -> Any:
    """`auto.from_pretrained(source, **options)`: of a folder or of what the hub's cache holds without a look at the network, else from the
    hub.

    Args:
        auto: a class of transformers.
        source: a folder or a name on the hub.
        what: what it is, for messages.
        **options: for `from_pretrained`.

    Raises:
        FileNotFoundError: it is not there, and the hub cannot be reached.
        ValueError: it needs code of its own, which is never run.
    """
    local = is_folder(source)
    source = os.path.expanduser(os.fspath(source))
    options = {**options, "trust_remote_code": False}
    try:
        return auto.from_pretrained(source, local_files_only=True, **options)
    except (OSError, ValueError) as e:
        if "trust_remote_code" in str(e):
            raise ValueError(f"the {what} of {source!r} comes with Python code of its own, which is never run here: choose a model that "
                             "transformers itself knows") from e
        if local or not isinstance(e, OSError):
            raise
        offline = e
    if not hub_answers():
        raise FileNotFoundError(
            f"{source!r} is no folder here and not in the cache of the hub, and the hub cannot be reached. Where there is a network, write "
            f"from huggingface_hub import snapshot_download; snapshot_download({source!r}, local_dir='model', ignore_patterns=['*.bin']), "
            "copy the folder here (on Kaggle: attach it as a data set), and give its path instead of the name") from offline
    return auto.from_pretrained(source, **options)


def hub_answers() -> bool:
    "Whether the hub can be reached: asked once with a short timeout, where transformers would try for a minute."
    constants = library("huggingface_hub").constants
    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in _PROXIES):              # a proxy answers in its place
        return True
    url = urlparse(constants.ENDPOINT)
    try:
        socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), timeout=5).close()
    except OSError:
        return False
    return True
