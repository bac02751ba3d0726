"""Where pretrained weights come from, looked for nearest first, and without a wait when there is no network.

1. the file named by `weights=`; 2. `$MINIFAST_HOME/weights`; 3. torch's own cache (`$TORCH_HOME/hub/checkpoints`); 4. anything attached
to a Kaggle notebook (`/kaggle/input/**`), by file name; 5. the network. Files are read without running code in them.
"""
import glob
import os
import re
import socket
import threading
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import torch
from torchvision.models import WeightsEnum

from ...core.messages import did_you_mean
from ...data.sources.download import sha256_of
from ...data.sources.urls import minifast_home

__all__ = ["WeightsNotFound", "find_weights", "load_pretrained", "pick_weights", "read_weights"]

KAGGLE_INPUT = Path("/kaggle/input")
NETWORK_TIMEOUT = 1.5         #: seconds to wait for a sign of life from the server before a download
_FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HASHED_NAME = re.compile(r"-([0-9a-f]{8,})\.")


class WeightsNotFound(OSError):
    "Pretrained weights are nowhere on this machine and cannot be downloaded. The message names the file to bring."


def pick_weights(choices: Any, weights: Any = "DEFAULT") -> Any:
    """The torchvision weights meant by `weights`: a member of an enum of weights, or a name in the enum `choices`.

    A path (`Path`, or a string that ends like a file of weights or exists) is returned as a `Path`.
    """
    if isinstance(weights, WeightsEnum):
        return weights
    if isinstance(weights, os.PathLike) or (isinstance(weights, str) and (weights.endswith(_FILE_SUFFIXES) or Path(weights).is_file())):
        return Path(weights).expanduser()
    names = [] if choices is None else list(choices.__members__)
    if isinstance(weights, str) and weights.rsplit(".", 1)[-1] in names:
        return choices[weights.rsplit(".", 1)[-1]]
    raise ValueError(f"weights={weights!r} is neither a file nor weights of this architecture{did_you_mean(weights, names)}"
                     + (f"; torchvision has {', '.join(names)}" if names else "; pass weights='path/of/file.pth'"))


def find_weights(filename: str) -> Path | None:
    "The file `filename` on this machine, looked for as the head of this module says, or None. Damaged copies are refused."
    places = (minifast_home() / "weights" / filename, Path(torch.hub.get_dir()) / "checkpoints" / filename)
    path = next((p for p in chain(places, KAGGLE_INPUT.rglob(glob.escape(filename))) if p.is_file()), None)
    hashed = None if path is None else _HASHED_NAME.search(path.name)
    if hashed and not sha256_of(path).startswith(hashed[1]):
        raise WeightsNotFound(f"{path} does not match the hash in its name: it is incomplete or another file. Delete it, or pass "
                              "weights='path/of/another/file'")
    return path


def reachable(url: str, timeout: float = NETWORK_TIMEOUT) -> bool:
    "Whether the server of `url` (or the proxy in front of it) answers within `timeout` seconds, name look-up included."
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return True
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    address, answered = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), []

    def knock():
        try:
            socket.create_connection(address, timeout).close()
            answered.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=knock, daemon=True)       # a look-up of the name alone can take half a minute
    thread.start()
    thread.join(timeout)
    return bool(answered)


def read_weights(path: str | PathLike) -> dict[str, torch.Tensor]:
    "The state dict in a `.safetensors` file or a file of `torch.save`, on the CPU. Nothing but tensors is read."
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFound(f"weights={str(path)!r}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            return load_file(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as e:
        raise WeightsNotFound(f"{path} cannot be read as weights ({type(e).__name__}: {str(e).partition(chr(10))[0]}). It is damaged, or "
                              "not a file of tensors: save weights as .safetensors or torch.save(model.state_dict(), file)") from e
    for key in ("state_dict", "model"):         # where training scripts save it; names may come after DataParallel's 'module.'
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsNotFound(f"{path} holds no state dict (names -> tensors) but {type(state).__name__}")
    return {k.removeprefix("module."): v for k, v in state.items()}


def load_pretrained(choices: Any, weights: Any = "DEFAULT", arch: Any = "this architecture") -> dict[str, torch.Tensor]:
    """The state dict meant by `weights` (see `pick_weights`), from the nearest place that has it.

    Raises `WeightsNotFound` within about two seconds when it is not on this machine and the network does not answer.
    """
    picked = pick_weights(choices, weights)
    if isinstance(picked, Path):
        return read_weights(picked)
    url = picked.url
    filename = os.path.basename(urlsplit(url).path)
    if path := find_weights(filename):
        return read_weights(path)
    problem = f"{urlsplit(url).hostname} does not answer"
    if reachable(url):
        try:
            # torch's own default is to unpickle whatever the file holds
            return picked.get_state_dict(progress=True, check_hash=True, weights_only=True, map_location="cpu")
        except (URLError, OSError, RuntimeError, EOFError) as e:
            problem = f"{url} cannot be downloaded ({e})"
    raise WeightsNotFound(
        f"the pretrained weights of {arch} ({picked}) are not on this machine, and {problem}. Bring the file {filename} ({url}) and put "
        f"it into {minifast_home() / 'weights'} or {Path(torch.hub.get_dir()) / 'checkpoints'} (on Kaggle: attach a dataset that has it), "
        "or pass weights='path/of/file', or pretrained=False to start from random weights.")
