"""Where pretrained weights come from, looked for nearest first, and without a wait when there is no network.

1. the file named by `weights=`; 2. `$MINIFAST_HOME/weights`; 3. torch's own cache (`$TORCH_HOME/hub/checkpoints`); 4. anything attached
to a Kaggle notebook (`/kaggle/input/**`), by file name; 5. the network. Files are read without running code in them.
"""
import glob
import os
import re
import socket
import threading
from collections.abc import Sequence
from itertools import chain
from os import PathLike
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import torch
from torch import nn
from torchvision.models import WeightsEnum

from ...core import checkpoint
from ...core.messages import brief, did_you_mean
from ...core.paths import Path
from ...sources.download import sha256_of
from ...sources.urls import minifast_home

__all__ = ["TimmBody", "WeightsNotFound", "build_timm", "find_weights", "load_pretrained", "pick_weights", "read_weights", "timm_config"]

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
    raise ValueError(f"weights={brief(weights)} is neither a file nor weights of this architecture{did_you_mean(weights, names)}"
                     + (f"; torchvision has {', '.join(names)}" if names else "; pass weights='path/of/file.pth'"))


def find_weights(filename: str) -> Path | None:
    "The file `filename` on this machine, looked for as the head of this module says, or None. Damaged copies are refused."
    places = chain((minifast_home() / "weights" / filename, Path(torch.hub.get_dir()) / "checkpoints" / filename),
                   KAGGLE_INPUT.rglob(glob.escape(filename)))
    path = next((p for p in places if p.is_file()), None)
    hashed = None if path is None else _HASHED_NAME.search(path.name)
    if hashed and not sha256_of(path).startswith(hashed[1]):
        raise WeightsNotFound(f"{path} does not match the hash in its name: it is incomplete or another file. Delete it, or pass "
                              "weights='path/of/another/file'")
    return path


def reachable(url: str, timeout: float | None = None) -> bool:
    "Whether the server of `url` (or the proxy in front of it) answers within `timeout` seconds (`NETWORK_TIMEOUT`), name look-up included."
    timeout = NETWORK_TIMEOUT if timeout is None else timeout
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
            return checkpoint.read_tensors(path)[0]
        state = checkpoint.read_torch(path)
    except (OSError, ValueError) as e:
        raise WeightsNotFound(f"{path} cannot be read as weights: {str(e).removeprefix(f'{path} ')}") from e
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
    problem, cause = f"{urlsplit(url).hostname} does not answer", None
    if reachable(url):
        try:
            # torch's own default is to unpickle whatever the file holds
            return picked.get_state_dict(progress=True, check_hash=True, weights_only=True, map_location="cpu")
        except Exception as e:                      # no connection, cut short, or what torch says of a file that does not hold tensors
            problem, cause = f"{url} cannot be downloaded ({checkpoint.torch_reason(e)})", None if checkpoint.advises_to_run(e) else e
    raise WeightsNotFound(
        f"the pretrained weights of {arch} ({picked}) are not on this machine, and {problem}. Bring the file {filename} ({url}) and put "
        f"it into {minifast_home() / 'weights'} or {Path(torch.hub.get_dir()) / 'checkpoints'} (on Kaggle: attach a dataset that has it), "
        "or pass weights='path/of/file', or pretrained=False to start from random weights.") from cause


# -- timm (PyTorch Image Models), which is imported when one of its networks is asked for -------------------------------------------

class TimmBody(nn.Module):
    """A timm model without its head: feature maps (B,C,H,W) where the model has them, else pooled features (B,F).

    Args:
        model: the model, made with `num_classes=0`.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.input_size = tuple(model.default_cfg.get("input_size", (3, 224, 224))[-2:])
        channels = next(p for p in model.parameters() if p.ndim == 4).shape[1]
        with torch.no_grad():
            features = model.eval().forward_features(torch.zeros(1, channels, *self.input_size))
        model.train()
        self.has_maps = isinstance(features, torch.Tensor) and features.ndim == 4 and features.shape[1] == model.num_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(x) if self.has_maps else self.model(x)


def timm_config(name: str, others: Sequence[str]) -> Any:
    "What timm knows about the weights of architecture `name` (None: it has none). `others`: names that may have been meant instead."
    try:
        import timm
    except ImportError:
        raise ValueError(f"arch={name!r} is no architecture of torchvision{did_you_mean(name, others) or '.'} If it is one of timm: "
                         "pip install minifast[timm]") from None
    if not timm.is_model(name.split(".")[0]):
        raise ValueError(f"arch={name!r} is known neither to torchvision nor to timm{did_you_mean(name, [*others, *timm.list_models()])}")
    return timm.get_pretrained_cfg(name)


def _on_this_machine(config):
    "The file of the weights that `config` describes: by name where weights are looked for, or in the cache of huggingface_hub; or None."
    full_name = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    if found := find_weights(f"{full_name}.safetensors"):
        return found
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    repo = config.hf_hub_id or "timm/"
    repo += full_name if repo.endswith("/") else ""
    found = (try_to_load_from_cache(repo, name) for name in ("model.safetensors", "pytorch_model.bin"))
    return next((f for f in found if isinstance(f, str)), None)


def build_timm(name: str, config: Any, pretrained: bool, weights: Any, n_in: int) -> TimmBody:
    "The `TimmBody` of architecture `name`, with weights from a file, from this machine or from the network."
    import timm
    options: dict[str, Any] = {"num_classes": 0, "in_chans": n_in}
    file = pick_weights(None, weights) if weights is not None else _on_this_machine(config) if pretrained and config is not None else None
    if file is not None:
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    elif pretrained and not reachable(os.environ.get("HF_ENDPOINT", "https://huggingface.co")):
        # asked now, because timm would try for most of a minute
        raise WeightsNotFound(_missing(name, "they are not on this machine, and the server they come from does not answer"))
    try:
        return TimmBody(timm.create_model(name, pretrained=pretrained, **options))
    except Exception as e:
        if not pretrained:
            raise
        raise WeightsNotFound(_missing(name, f"{type(e).__name__}: {e}")) from e


def _missing(name, why):
    return (f"the pretrained weights of timm's {name} could not be loaded: {why}. Without a network pass weights='path/of/file' "
            "(.safetensors), or pretrained=False to start from random weights.")
