"""How many channels the images of a loader have, before a model is made for them."""
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageMode
from torch import nn

from ..core.nested import split_batch
from ..core.seeds import fixed_seed
from .images import PILBase

__all__ = ["channels_of", "check_channels"]


def _bands(mode):
    return len(ImageMode.getmode(mode).bands)


def _expected(dataset):
    """The channels that the items of a dataset seem to have: of its tensors, of the class that opens its images, or of one item, which is
    made only if nothing else says it. None if it cannot be told. Batch transforms may change it."""
    dataset = getattr(dataset, "dataset", dataset)                       # of a torch Subset
    tensors = getattr(dataset, "tensors", ())
    if isinstance(tensors, (tuple, list)) and tensors and isinstance(tensors[0], torch.Tensor):
        return tensors[0].shape[1] if tensors[0].ndim == 4 else None
    owners = [getattr(f.encodes, "__self__", None) for pipe in list(getattr(dataset, "pipelines", ()))[:1] for f in pipe]
    for cls in owners:
        if isinstance(cls, type) and issubclass(cls, PILBase):
            return _bands(cls.pixel_mode)
    try:
        with fixed_seed():
            sample = dataset[0]
        x = sample[0] if isinstance(sample, (tuple, list)) else sample
        if isinstance(x, Image.Image):
            return _bands(x.mode)
        return x.shape[0] if isinstance(x, (torch.Tensor, np.ndarray)) and x.ndim == 3 else None
    except Exception:                   # what is wrong with the item is said when the first batch is made
        return None


def channels_of(dls: Any, expected: int = 3) -> int:
    """The channels of the images of a training batch; `expected` where the items seem to have that many, or it cannot be told.

    A batch is made only where the items seem not to fit, because a transform of the loader may yet change them."""
    if _expected(getattr(getattr(dls, "train", None), "dataset", None)) in (None, expected):
        return expected
    try:
        x = split_batch(dls.one_batch(), getattr(dls.train, "n_inp", None))[0][0]
    except Exception:                   # what is wrong with the data is said when training begins
        return expected
    return x.shape[1] if isinstance(x, torch.Tensor) and x.ndim == 4 else expected


def check_channels(where: str, dls: Any, n_in: int, model: nn.Module | None = None) -> None:
    "Refuse a model of `n_in` channels for images that have others; of a `model` its first convolution says how many. where: the caller."
    if model is not None:
        n_in = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), n_in)
    found = channels_of(dls, n_in)
    if found == n_in:
        return
    other = {1: ", or open the images in colour: ImageBlock(PILImage), img_cls=PILImage", 3: "" if n_in != 1 else
             ", or open the images in grey: ImageBlock(PILImageBW), img_cls=PILImageBW"}.get(found, "")
    raise ValueError(f"{where}(n_in={n_in}): the model would take images of {n_in} channel{'s' * (n_in != 1)}, those of the data have "
                     f"{found}. Write {where}(..., n_in={found}){other}")
