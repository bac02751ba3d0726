"""`TensorImage` and `TensorMask`: torchvision's `tv_tensors` that show themselves; fastai's other methods say what to write instead."""
from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torchvision import tv_tensors

from ..core.messages import name_of
from ..core.plots import show_image

__all__ = ["Shown", "TensorImage", "TensorImageBW", "TensorMask"]

_AS_TRANSFORM = {"rotate": "Rotate", "zoom": "Zoom", "warp": "Warp", "flip_batch": "Flip", "dihedral_batch": "Dihedral",
                 "contrast": "Contrast", "brightness": "Brightness", "saturation": "Saturation", "hue": "Hue",
                 "rrc": "RandomResizedCropGPU"}
_INSTEAD = {
    **{method: f"write `{cls}(...)(x)` with the same arguments" for method, cls in _AS_TRANSFORM.items()},
    "affine_coord": "for another size write `F.interpolate(x, (height, width))`, for a matrix (B,2,3) `F.grid_sample(x, "
                    "F.affine_grid(mat, x.shape))`; Rotate, Zoom, Warp and Flip in batch_tfms sample once for all of them",
    "lighting": "write `torch.sigmoid(func(torch.logit(x)))`, or use Brightness(...)(x) and Contrast(...)(x)",
    "flip_lr": "write `x.flip(-1)`",
    "dihedral": "write `Dihedral(p=1, draw=k)(x)` of a batch",
    "crop_pad": "write `torchvision.transforms.v2.functional.center_crop(x, size)`",
    "pca": "write `TensorBase(x).pca(k)`",
}


class _StandsFor(type(torch.Tensor)):          # type: ignore[misc]    # mypy does not know torch's metaclass
    "So that `isinstance(x, TensorImage)` is true of every `tv_tensors.Image`: those that torchvision's transforms make are images too."

    stands_for: type

    def __instancecheck__(cls, o: Any) -> bool:
        return isinstance(o, cls.stands_for) if "stands_for" in vars(cls) else super().__instancecheck__(o)


class Shown:
    "Images, tensors or Pillow's, that show themselves."

    show_args: dict[str, Any] = {}              #: how `show` draws it: keyword arguments of `matplotlib.axes.Axes.imshow`

    def show(self, ctx: Any = None, title: str | None = None, **kwargs: Any) -> Any:
        """Draw it.

        Args:
            ctx: the matplotlib axes (default: a new figure).
            title: text above it.
            **kwargs: for `show_image`, and `matplotlib.axes.Axes.imshow`.

        Returns:
            The axes.
        """
        return show_image(self, ctx=ctx, title=title, **{**self.show_args, **kwargs})


class _ShownTensor(Shown):
    "What the tensors share."

    def __getattr__(self, name: str) -> Any:               # called only for a name that is not found
        instead = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(f"{name_of(type(self))!r} object has no attribute {name!r}{instead}", name=name, obj=self)


class TensorImage(_ShownTensor, tv_tensors.Image, metaclass=_StandsFor):
    """An image (C,H,W), or a batch of them (B,C,H,W): torchvision's `tv_tensors.Image`.

    What arithmetic and slices make of it is a plain tensor: `TensorImage(x[0]).show()`, `show_image(x[0])`.
    """

    stands_for = tv_tensors.Image


TensorImageBW: TypeAlias = TensorImage


class TensorMask(_ShownTensor, tv_tensors.Mask, metaclass=_StandsFor):
    "A mask (H,W) of class numbers, or a batch of them (B,H,W): torchvision's `tv_tensors.Mask`."

    stands_for = tv_tensors.Mask
    show_args = {"alpha": 0.5, "cmap": "tab20", "interpolation": "nearest"}
