"""Networks of timm (PyTorch Image Models), which is imported when one is asked for."""
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...core.messages import did_you_mean
from .pretrained import WeightsNotFound, find_weights, pick_weights, reachable

__all__ = ["TimmBody", "build_timm", "timm_config"]


class TimmBody(nn.Module):
    "A timm model without its head: feature maps (B,C,H,W) where the model has them, else pooled features (B,F)."

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
    if weights is not None:
        options["pretrained_cfg_overlay"] = {"file": str(pick_weights(None, weights))}
    elif pretrained:
        file = None if config is None else _on_this_machine(config)
        if file is not None:
            options["pretrained_cfg_overlay"] = {"file": str(file)}
        elif not reachable(os.environ.get("HF_ENDPOINT", "https://huggingface.co")):
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
