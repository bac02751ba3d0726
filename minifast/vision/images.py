"""Images as PIL images and as tensors, and the transforms between the two.

On the way to the model: `PILImage.create` (a file to an upright RGB image) -> item transforms -> `ToTensor` (uint8, channels first)
-> batch -> `IntToFloatTensor` (0..1) -> batch augmentation -> `Normalize`. JPEG files are decoded when their pixels are needed, and only as
far as needed (see `files.lazy`). Tensors are torchvision's `tv_tensors` (see `tensors`), so its v2 transforms know which are images and
which are masks.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors

from ..core.device import cpu_count
from ..core.items import L
from ..core.messages import describe
from ..data.engine.cache import current_cache
from ..data.transforms import Transform
from .files.cached import from_cache
from .files.depth import UnreadableImage, checked_range, eight_bit, is_deep, reaches_bytes
from .files.lazy import LazyImage, lazily, tensor_of
from .files.reading import content_of, image_array, label_array, open_image, to_labels, to_mode
from .pillow import ImageMethods
from .tensors import Shown, TensorImage, TensorImageBW, TensorMask

if TYPE_CHECKING:
    from ..data.engine.collate import GivePlace

__all__ = ["PILBase", "PILImage", "PILImageBW", "PILMask", "TensorImage", "TensorImageBW", "TensorMask", "ToTensor",
           "UnreadableImage", "image2tensor", "load_image", "verify_image", "verify_images"]


def load_image(fn: str | PathLike | bytes, mode: str | None = None, value_range: tuple[float, float] | None = None) -> Image.Image:
    """Load an image file and turn it upright.

    Args:
        fn: the file, or its bytes.
        mode: PIL mode to convert to ('RGB', 'L'; default: as it is in the file), see `PILImage.create`.
        value_range: the values of black and white, where the image is converted, see `PILImage.create`.
    """
    im = open_image(fn)
    return im if mode is None else to_mode(im, mode, str(fn), checked_range(value_range, "load_image"))


_P = TypeVar("_P", bound="PILBase")


class PILBase(ImageMethods, Shown, LazyImage):      # type: ignore[misc]    # fastai's `show`, not PIL's
    """A PIL image that knows what it stands for, and stays what it is when it is cropped, resized or turned.

    Args:
        im: a PIL image, array or tensor, as for `create`. None: Pillow makes an empty one.
    """

    pixel_mode: str = "RGB"                     #: the PIL mode of every image of this class

    def __new__(cls: type[_P], im: Image.Image | np.ndarray | torch.Tensor | None = None) -> _P:
        if im is None:
            return super().__new__(cls)
        if not isinstance(im, (Image.Image, np.ndarray, torch.Tensor)):
            raise TypeError(f"{cls.__name__}(im) takes a PIL image, array or tensor; received {describe(im)}. For a file or its bytes "
                            f"write {cls.__name__}.create(file)")
        return cls._of(im, cls.pixel_mode)

    def __init__(self, im: Any = None):
        if im is None:
            super().__init__()

    @classmethod
    def _of(cls: type[_P], im: Any, mode: str, value_range: Any = None) -> _P:
        name = f"image given as {describe(im)}"
        if not isinstance(im, Image.Image):
            im, value_range = Image.fromarray(np.ascontiguousarray(cls._bytes(image_array(im), name, value_range))), None
        return cls.cast(cls._convert(im, mode, name, value_range))

    @classmethod
    def create(cls: type[_P], fn: str | PathLike | bytes | BinaryIO | np.ndarray | torch.Tensor | Image.Image,
               mode: str | None = None, value_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None) -> _P:
        """Make an image from a file name, `Path`, open file, `BytesIO`, bytes of a file, array, tensor or PIL image.

        The EXIF orientation is applied; transparent parts become white. Pixels that are not bytes are scaled to 0..255 by one rule,
        whatever the values of this image: 0..65535 for 16-bit pixels and files of 32-bit integers, 0..1 for floats, 0..255 for other arrays
        of integers. Values beyond that are refused. Of a JPEG only the header is read; it is decoded when its pixels are needed.

        Args:
            fn: the image. Arrays are (H,W[,C]), tensors ([C,]H,W): uint8, or floats in 0..1.
            mode: another PIL mode than the class's.
            value_range: the values (low, high) that become black and white, such as (0, 4095) for 12-bit pixels or (-1000, 400) for
                Hounsfield units; values beyond are cut off. 8-bit pixels follow it where high is 255 at most.

        Raises:
            UnreadableImage: names the file and says what is wrong with it; for damaged pixels when they are decoded.
        """
        mode = cls.pixel_mode if mode is None else mode
        if value_range is not None and not isinstance(value_range, Mapping):
            value_range = checked_range(value_range, f"{cls.__name__}.create")
        if isinstance(fn, (Image.Image, np.ndarray, torch.Tensor)):
            return cls._of(fn, mode, value_range)
        is_file = isinstance(fn, (str, PathLike))
        if not is_file and not isinstance(fn, (bytes, bytearray)):
            fn = content_of(fn, f"{cls.__name__}.create")

        def opened() -> _P:
            return (None if value_range is not None and reaches_bytes(value_range) else lazily(cls, fn, mode)) or cls.cast(
                cls._convert(open_image(fn), mode, str(fn) if is_file else "image given as bytes", value_range))

        cache = current_cache.get() if is_file else None
        return (from_cache(cls, fn, mode, opened, cache, value_range) if cache is not None else None) or opened()

    @classmethod
    def _convert(cls, im: Image.Image, mode: str, name: str, value_range: Any = None) -> Image.Image:
        return to_mode(im, mode, name, value_range)

    @classmethod
    def _bytes(cls, a: np.ndarray, name: str, value_range: Any = None) -> np.ndarray:
        return eight_bit(a, name, value_range)

    @classmethod
    def cast(cls: type[_P], im: Image.Image) -> _P:
        "`im` as this class. The pixels are shared, not copied, unless `im` still holds its file."
        if type(im) is cls:
            return cast(_P, im)
        if not isinstance(im, PILBase) and type(im) is not Image.Image:
            im = im.copy()
        new = cls()
        new.__dict__.pop("info", None)          # nothing, where `im` has yet to read its own
        new.__dict__.update(im.__dict__)
        return new

    def _new(self: _P, im: Any) -> _P:         # Pillow makes the results of resize, crop, transpose, rotate, copy ... here
        return self.cast(super()._new(im))

    def transform(self: _P, *args: Any, **kwargs: Any) -> _P:
        "PIL's `transform`, which `rotate` calls too; the result stays of this class."
        return type(self).cast(super().transform(*args, **kwargs))

    def to_tv_tensor(self) -> Any:
        "What torchvision's transforms get for this image: the image itself, since they take PIL images."
        return self

    def to_tensor(self) -> torch.Tensor:
        "What stands for it in a batch: a uint8 `TensorImage` (C,H,W); of a mask a `TensorMask` (H,W)."
        return tensor_of(_in_plain_mode(self)).as_subclass(TensorImage)

    def from_tv_tensor(self, changed: Any) -> Any:
        "`changed`, which a torchvision transform made of this image, as this class; as `PILImage` where its mode has changed."
        if not isinstance(changed, Image.Image) or type(changed) is type(self):
            return changed
        return (type(self) if changed.mode == self.mode else PILImage).cast(changed)

    def __repr__(self) -> str:
        return f"{type(self).__name__} mode={self.mode} size={self.size[0]}x{self.size[1]}"


class PILImage(PILBase):
    "An RGB image."


class PILImageBW(PILBase):
    "A greyscale image (mode L)."
    pixel_mode = "L"
    show_args = {"cmap": "Greys_r", "vmin": 0, "vmax": 255}


class PILMask(PILBase):
    "A mask: every pixel is a class number, 0 to 255. Nothing is scaled, and it is resized by nearest neighbour."
    pixel_mode = "L"
    may_be_lazy = False
    show_args = TensorMask.show_args

    @classmethod
    def _convert(cls, im: Image.Image, mode: str, name: str, value_range: Any = None) -> Image.Image:
        return to_labels(im, name)

    @classmethod
    def _bytes(cls, a: np.ndarray, name: str, value_range: Any = None) -> np.ndarray:
        return label_array(a, name) if a.ndim == 2 else a

    def to_tv_tensor(self) -> TensorMask:
        "What torchvision's transforms get for this mask: a `tv_tensors.Mask` (H,W)."
        return TensorMask(image2tensor(self)[0])

    to_tensor = to_tv_tensor

    def from_tv_tensor(self, changed: Any) -> Any:
        "`changed`, which a torchvision transform made of this mask, as a `PILMask`."
        if isinstance(changed, tv_tensors.Mask):
            return PILMask.create(changed.as_subclass(torch.Tensor))
        return super().from_tv_tensor(changed)


def verify_image(fn: str | PathLike | bytes) -> bool:
    """Check that a file opens as an RGB image, to its last pixel.

    Args:
        fn: the file, or its bytes.
    """
    try:
        im = load_image(fn)             # which decodes it
        if not is_deep(im):             # a deep one has no scale of its own, see `value_range`
            to_mode(im, "RGB", str(fn))
    except OSError:
        return False
    return True


def verify_images(fns: Iterable[str | PathLike], n_workers: int | None = None) -> L:
    """Find the files that are no readable images: `verify_images(files).map(Path.unlink)` removes them.

    Args:
        fns: the files to check.
        n_workers: how many threads (default: one per core).

    Returns:
        Those that `verify_image` finds bad.
    """
    if isinstance(fns, (str, bytes, PathLike)):             # iterating over a path would give its letters
        raise TypeError(f"verify_images takes a list of files; received {describe(fns)}. For a folder write "
                        "verify_images(get_image_files(path)), for one file verify_image(file)")
    fns = list(fns)
    with ThreadPoolExecutor(n_workers or cpu_count()) as pool:
        return L(fn for fn, good in zip(fns, pool.map(verify_image, fns), strict=True) if not good)


def image2tensor(img: Image.Image) -> torch.Tensor:
    """Turn a PIL image into a uint8 tensor (C,H,W), with C=1 for a greyscale one.

    Args:
        img: an image of any mode.
    """
    return tensor_of(img)


class ToTensor(Transform):
    "PIL image -> uint8 `TensorImage` (C,H,W); `PILMask` -> uint8 `TensorMask` (H,W)."
    order = 5
    types = (Image.Image,)
    loads_images: bool = True           #: read by loaders: decoding and resizing release Python's lock, so threads speed them up

    def encodes(self, x: Any) -> torch.Tensor:
        "Decode the image and hand on its bytes."
        return x.to_tensor() if isinstance(x, PILBase) else tensor_of(_in_plain_mode(x)).as_subclass(TensorImage)

    def into(self, sample: Any, place: GivePlace) -> Any:
        """Do what `encodes` does, for a loader that has memory for the batch already.

        Args:
            sample: a sample, or one image.
            place: a function that says where in the batch an image of shape (H,W,C) is written, see `data.engine.places`.
        """
        if getattr(self.encodes, "__func__", None) is not ToTensor.encodes:         # a subclass that has its own
            return self(sample)
        return self.map_parts(sample, lambda x: self._written(x, place))

    def _written(self, x: Image.Image, place: GivePlace) -> Any:
        if isinstance(x, PILMask):
            return self.encodes(x)
        x = _in_plain_mode(x)
        there = place((x.size[1], x.size[0], len(x.getbands())))
        image = tensor_of(x, None if there is None else there.array).as_subclass(TensorImage)
        if there is None:
            return image
        there.image = image
        return there


def _in_plain_mode(im: Image.Image) -> Image.Image:
    "`im` in a mode whose bytes are its pixels."
    return im if im.mode in ("RGB", "L", "RGBA", "CMYK", "YCbCr", "HSV", "LAB") else to_mode(im, "RGB")
