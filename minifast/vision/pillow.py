"""Pillow's `Image` module for the star imports: the images that it makes have fastai's methods too (`Image.open(f).to_thumb(256)`).

Pillow itself stays as it is: an image from `from PIL import Image` has only Pillow's own methods.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

from PIL import Image as _pil

__all__ = ["Image", "ImageMethods"]


class ImageMethods:
    "fastai's methods of a PIL image."

    if TYPE_CHECKING:
        size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        "(height, width); PIL's `size` is (width, height)."
        return self.size[1], self.size[0]

    @property
    def aspect(self) -> float:
        "Width divided by height."
        return self.size[0] / self.size[1]

    @property
    def n_px(self) -> int:
        "The number of pixels."
        return self.size[0] * self.size[1]

    def to_thumb(self, h: int, w: int | None = None) -> Any:
        """Make a copy that is no larger than asked for, with the same aspect ratio.

        Args:
            h: greatest height.
            w: greatest width (default: `h`).
        """
        im: Any = self.copy()       # type: ignore[attr-defined]
        im.thumbnail((h if w is None else w, h))
        return im

    def reshape(self, h: int, w: int, resample: int = 0) -> Any:
        """PIL's `resize`, height first.

        Args:
            h: height.
            w: width.
            resample: one of `Image.Resampling` (default: nearest neighbour).
        """
        return self.resize((w, h), resample=resample)       # type: ignore[attr-defined]

    def resize_max(self, resample: int = 0, max_px: int | None = None, max_h: int | None = None, max_w: int | None = None) -> Any:
        """Make it smaller where it is too large, with the same aspect ratio.

        Args:
            resample: one of `Image.Resampling` (default: nearest neighbour).
            max_px: greatest number of pixels.
            max_h: greatest height.
            max_w: greatest width.
        """
        h, w = self.shape
        scale = min(1.0, ((max_px or h * w) / (h * w)) ** 0.5, (max_h or h) / h, (max_w or w) / w)
        return self.reshape(round(h * scale), round(w * scale), resample)

    def to_bytes_format(self, format: str = "png") -> bytes:
        """The bytes of the image as a file.

        Args:
            format: its format, as Pillow names it.
        """
        file = BytesIO()
        self.save(file, format=format)      # type: ignore[attr-defined]
        return file.getvalue()

    def flip_lr(self) -> Any:
        "Mirror left and right."
        return self.transpose(_pil.Transpose.FLIP_LEFT_RIGHT)       # type: ignore[attr-defined]


class _Extended(ImageMethods):
    "An image that `Image` made; `pil_class` is the class that Pillow gave it."

    pil_class: type[_pil.Image]

    def _new(self, im: Any) -> Any:         # Pillow makes the results of resize, crop, convert, copy ... here
        return _extended(super()._new(im))  # type: ignore[misc]

    def transform(self, *args: Any, **kwargs: Any) -> Any:
        "PIL's `transform`, which `rotate` calls too."
        return _extended(super().transform(*args, **kwargs))    # type: ignore[misc]

    def __reduce_ex__(self, protocol: Any) -> Any:          # its class is made as needed, so pickle would not find it
        plain = self.pil_class.__new__(self.pil_class)
        plain.__dict__ = self.__dict__
        return _extended, (plain,)


@cache
def _extended_class(cls: type[_pil.Image]) -> type:
    return type(cls.__name__, (_Extended, cls), {"__module__": cls.__module__, "pil_class": cls})


def _extended(im: Any) -> Any:
    "The image `im`, which from now on has fastai's methods."
    if not isinstance(im, ImageMethods):
        cls: Any = type(im)
        im.__class__ = _extended_class(cls)
    return im


def _making_extended(f: Callable) -> Callable:
    return wraps(f)(lambda *args, **kwargs: _extended(f(*args, **kwargs)))


class _ImageModule(ModuleType):
    "`PIL.Image`, seen through: what is read or set here is read or set there."

    makers = {name: _making_extended(getattr(_pil, name)) for name in ("alpha_composite", "blend", "composite", "fromarray", "frombuffer",
                                                                       "frombytes", "merge", "new", "open")}

    def __getattr__(self, name: str) -> Any:
        return self.makers.get(name) or getattr(_pil, name)

    def __setattr__(self, name: str, value: Any) -> None:   # such as MAX_IMAGE_PIXELS
        setattr(_pil, name, value)

    def __dir__(self) -> list[str]:
        return dir(_pil)


if TYPE_CHECKING:
    from PIL import Image
else:
    Image = _ImageModule("PIL.Image", _pil.__doc__)
