"""Pictures as PIL images and as tensors, and the transforms between the two.

On the way to the model: `PILImage.create` (a file to an upright RGB picture) -> item transforms -> `ToTensor` (uint8, channels first)
-> batch -> `IntToFloatTensor` (0..1) -> batch augmentation -> `Normalize`. Pictures in JPEG files are decoded when their pixels are
needed, and as far as they are (see `lazy`). Tensors are torchvision's `tv_tensors`, so its v2 transforms know which are pictures and
which are masks; `TensorImage` and `TensorMask` are other names for those classes.
"""
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import PathLike

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors

from ..core.device import cpu_count
from ..core.items import L
from ..core.messages import describe
from ..core.plots import show_image
from ..data.engine.cache import current_cache
from ..data.transforms import Transform
from .files.cached import from_cache
from .files.lazy import LazyImage, lazily, tensor_of
from .files.reading import UnreadableImage, eight_bit, image_array, label_array, open_image, to_labels, to_mode
from .fused import fuse

__all__ = ["IntToFloatTensor", "Normalize", "PILBase", "PILImage", "PILImageBW", "PILMask", "TensorImage", "TensorImageBW", "TensorMask",
           "ToTensor", "UnreadableImage", "cifar_stats", "image2tensor", "imagenet_stats", "load_image", "mnist_stats", "verify_image",
           "verify_images"]

TensorImage = tv_tensors.Image
TensorImageBW = tv_tensors.Image
TensorMask = tv_tensors.Mask

#: (mean, std) per channel of pixels in 0..1
imagenet_stats = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
cifar_stats = ([0.491, 0.482, 0.447], [0.247, 0.243, 0.261])
mnist_stats = ([0.131], [0.308])


def load_image(fn, mode=None):
    "The upright PIL image in file `fn`, converted to `mode` if given ('RGB', 'L'); see `PILImage.create`."
    im = open_image(fn)
    return im if mode is None else to_mode(im, mode, str(fn))


class PILBase(LazyImage):
    "A PIL image that knows what it stands for, and stays what it is when it is cropped, resized or turned."

    pixel_mode = "RGB"          #: the PIL mode of every image of this class
    may_be_lazy = True          #: whether a JPEG need not be decoded before its pixels are asked for
    show_args = {}              #: how `show` draws it: keyword arguments of `matplotlib.axes.Axes.imshow`

    @classmethod
    def create(cls, fn, mode=None):
        """An image from a file name, `Path`, bytes of a file, array, tensor or PIL image.

        The EXIF orientation is applied. Pixels deeper than 8 bits are scaled to 0..255 by their bit depth, not clipped; transparent
        parts become white. Arrays are (H,W[,C]), tensors ([C,]H,W): uint8, or floats in 0..1. mode: another PIL mode than the class's.
        Of a JPEG only the header is looked at; it is decoded when its pixels are needed.
        Raises `UnreadableImage`, which names the file and says what is wrong with it: here, or for damaged pixels when they are decoded.
        """
        mode = cls.pixel_mode if mode is None else mode
        if isinstance(fn, Image.Image):
            return cls.cast(cls._convert(fn, mode, f"image given as {describe(fn)}"))
        if isinstance(fn, (np.ndarray, torch.Tensor)):
            name = f"image given as {describe(fn)}"
            return cls.cast(cls._convert(Image.fromarray(np.ascontiguousarray(cls._bytes(image_array(fn), name))), mode, name))
        if not isinstance(fn, (str, PathLike, bytes, bytearray)):
            raise TypeError(f"{cls.__name__}.create takes a file name, Path, bytes, array, tensor or PIL image; received {describe(fn)}")
        is_file = not isinstance(fn, (bytes, bytearray))

        def opened():
            return lazily(cls, fn, mode) or cls.cast(cls._convert(open_image(fn), mode, str(fn) if is_file else "image given as bytes"))

        cache = current_cache() if is_file else None
        return (from_cache(cls, fn, mode, opened, cache) if cache is not None else None) or opened()

    @classmethod
    def _convert(cls, im, mode, name):
        return to_mode(im, mode, name)

    @classmethod
    def _bytes(cls, a, name):
        return eight_bit(a, name)

    @classmethod
    def cast(cls, im):
        "`im` as this class. The pixels are shared, not copied, unless `im` still holds its file."
        if type(im) is cls:
            return im
        if not isinstance(im, PILBase) and type(im) is not Image.Image:
            im = im.copy()
        new = cls()
        new.__dict__.update(im.__dict__)
        return new

    def _new(self, im):         # through here Pillow makes the results of resize, crop, transpose, rotate, copy ...
        return self.cast(super()._new(im))

    def transform(self, *args, **kwargs):       # ... and rotate through here
        return self.cast(super().transform(*args, **kwargs))

    @property
    def shape(self):
        "(height, width); PIL's `size` is (width, height)."
        return self.size[1], self.size[0]

    @property
    def aspect(self):
        "Width divided by height."
        return self.size[0] / self.size[1]

    def to_tv_tensor(self):
        "What torchvision's transforms get for this image: the image itself, since they take PIL images."
        return self

    def from_tv_tensor(self, changed):
        "`changed`, which a torchvision transform made of this image, as this class; as `PILImage` where its mode has changed."
        if not isinstance(changed, Image.Image) or type(changed) is type(self):
            return changed
        return (type(self) if changed.mode == self.mode else PILImage).cast(changed)

    def show(self, ctx=None, title=None, **kwargs):
        "Draw on axes `ctx` (default: a new figure) and return the axes."
        return show_image(self, ctx=ctx, title=title, **{**self.show_args, **kwargs})

    def to_thumb(self, h, w=None):
        "A copy that fits into `h` x `w` pixels (default: a square), with the same aspect ratio."
        im = self.copy()
        im.thumbnail((h if w is None else w, h))
        return im

    def __repr__(self):
        return f"{type(self).__name__} mode={self.mode} size={self.size[0]}x{self.size[1]}"


class PILImage(PILBase):
    "An RGB picture."


class PILImageBW(PILBase):
    "A grey picture (mode L)."
    pixel_mode = "L"
    show_args = {"cmap": "Greys_r", "vmin": 0, "vmax": 255}


class PILMask(PILBase):
    "A mask: every pixel is a class number, 0 to 255. Nothing is scaled, and it is resized by nearest neighbour."
    pixel_mode = "L"
    may_be_lazy = False
    show_args = {"alpha": 0.5, "cmap": "tab20", "interpolation": "nearest"}

    @classmethod
    def _convert(cls, im, mode, name):
        return to_labels(im, name)

    @classmethod
    def _bytes(cls, a, name):
        return label_array(a, name) if a.ndim == 2 else a

    def to_tv_tensor(self):
        "What torchvision's transforms get for this mask: a `tv_tensors.Mask` (H,W)."
        return TensorMask(image2tensor(self)[0])

    def from_tv_tensor(self, changed):
        "`changed`, which a torchvision transform made of this mask, as a `PILMask`."
        return PILMask.create(changed.as_subclass(torch.Tensor)) if isinstance(changed, TensorMask) else super().from_tv_tensor(changed)


def verify_image(fn):
    "Whether file `fn` opens as an RGB picture, to its last pixel."
    try:
        load_image(fn, "RGB")           # which decodes it
    except OSError:
        return False
    return True


def verify_images(fns, n_workers=None):
    "Those of the files `fns` that `verify_image` finds bad: `verify_images(files).map(Path.unlink)` removes them."
    if isinstance(fns, (str, bytes, PathLike)):             # the letters of a path are no files
        raise TypeError(f"verify_images takes a list of files; received {describe(fns)}. For a folder write "
                        "verify_images(get_image_files(path)), for one file verify_image(file)")
    fns = list(fns)
    with ThreadPoolExecutor(n_workers or cpu_count()) as pool:
        return L(fn for fn, good in zip(fns, pool.map(verify_image, fns), strict=True) if not good)


def image2tensor(img):
    "PIL image -> uint8 tensor (C,H,W), with C=1 for a grey one."
    return tensor_of(img)


class ToTensor(Transform):
    "PIL image -> uint8 `TensorImage` (C,H,W); `PILMask` -> uint8 `TensorMask` (H,W)."
    order = 5
    types = (Image.Image,)
    loads_images = True             #: for the loader: decoding and resizing leave Python's lock to other threads

    def encodes(self, x):
        return TensorMask(image2tensor(x)[0]) if isinstance(x, PILMask) else tensor_of(_in_plain_mode(x)).as_subclass(TensorImage)

    def into(self, sample, place):
        "As `encodes`, for the loader: `place(shape)` says where in the batch an image of shape (H,W,C) is written, see `engine.places`."
        if getattr(self.encodes, "__func__", None) is not ToTensor.encodes:         # a subclass that has its own
            return self(sample)
        return self.map_parts(sample, lambda x: self._written(x, place))

    def _written(self, x, place):
        if isinstance(x, PILMask):
            return self.encodes(x)
        x = _in_plain_mode(x)
        there = place((x.size[1], x.size[0], len(x.getbands())))
        image = tensor_of(x, None if there is None else there.array).as_subclass(TensorImage)
        if there is None:
            return image
        there.image = image
        return there


def _in_plain_mode(im):
    "`im` in a mode whose bytes are its pixels."
    return im if im.mode in ("RGB", "L", "RGBA", "CMYK", "YCbCr", "HSV", "LAB") else to_mode(im, "RGB")


class IntToFloatTensor(Transform):
    "Pictures: integers divided by `div` -> floats in 0..1. Masks: integers floor-divided by `div_mask` -> int64 class numbers."
    order = 10
    types = (TensorImage, TensorMask)
    any_layout = True               #: for the loader: pictures may come with their channels last in memory

    def __init__(self, div=255.0, div_mask=1):
        super().__init__()
        self.div, self.div_mask = div, div_mask

    def encodes(self, x):
        plain = x.as_subclass(torch.Tensor)
        if isinstance(x, TensorMask):
            return TensorMask(plain.long() if self.div_mask == 1 else plain.long() // self.div_mask)
        if plain.is_floating_point():
            return x
        return TensorImage(plain.to(torch.float32, memory_format=torch.contiguous_format).div_(self.div))

    def fuse(self, following):
        "This and those of the transforms `following` it that can be done in one go, see `fused`."
        return fuse(self, following)

    def decodes(self, x):
        return TensorImage(x.as_subclass(torch.Tensor).clamp(0.0, 1.0)) if isinstance(x, TensorImage) and x.is_floating_point() else x


def _channel_stats(batches, axes):
    "Mean and standard deviation per channel over all pixels of the pictures in `batches`."
    n, total, squares = 0, 0.0, 0.0
    for batch in batches:
        images = [o for o in (batch if isinstance(batch, (tuple, list)) else (batch,)) if isinstance(o, TensorImage)]
        for x in images[:1]:
            x = x.as_subclass(torch.Tensor).cpu()
            x = (x if x.is_floating_point() else x / 255).double()
            total, squares = total + x.sum(axes), squares + (x * x).sum(axes)
            n += x.numel() // total.numel()
    if not n:
        raise ValueError("Normalize() without mean and std measures them on the pictures of the training batches, and found none there. "
                         "Write Normalize.from_stats(mean, std), for instance Normalize.from_stats(*imagenet_stats).")
    mean = total / n
    return mean.float(), (squares / n - mean * mean).clamp_min(0).sqrt().float()


def _for_one_item(x, mean, std):
    "Statistics of the shape for `x`, which may be one picture of a batch."
    return (mean, std) if x.ndim >= mean.ndim else (mean.view(mean.shape[-x.ndim:]), std.view(std.shape[-x.ndim:]))


class Normalize(Transform):
    """Pictures: subtract `mean` and divide by `std`, per channel; `decode` undoes it.

    mean, std: one number per channel (of pixels in 0..1), see `imagenet_stats`. axes: the axes of the batch that share a mean.
    Without them they are measured when the loaders are made, over `n_batches` (10) batches of training items without augmentation.
    """
    order = 99
    types = (TensorImage,)
    fuses_as = "norm"               #: see `fused`
    only_one = "normalise"
    n_batches = 10

    def __init__(self, mean=None, std=None, axes=(0, 2, 3)):
        super().__init__()
        if (mean is None) != (std is None):
            raise ValueError(f"Normalize takes mean and std together or neither; received mean={mean}, std={std}")
        self.axes = tuple(axes)
        self.mean, self.std = (None, None) if mean is None else (self._shaped("mean", mean), self._shaped("std", std))
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"Normalize(std={std}): every standard deviation must be above 0")

    @classmethod
    def from_stats(cls, mean, std, dim=1, ndim=4, cuda=True):
        """From statistics such as `imagenet_stats`, for batches of `ndim` axes whose axis `dim` is the channels.

        cuda: accepted for fastai's signature; the statistics follow the batch to its device.
        """
        return cls(mean, std, axes=tuple(i for i in range(ndim) if i != dim % ndim))

    def _shaped(self, name, value):
        t = torch.as_tensor(value, dtype=torch.float32)
        if t.ndim > 1:
            return t
        if t.ndim == 0:
            t = t[None]
        ndim = len(self.axes) + 1
        return t.view([1 if i in self.axes else -1 for i in range(ndim)])

    def setups(self, items):
        if self.mean is not None:
            return
        mean, std = _channel_stats(islice(iter(items), self.n_batches), self.axes)
        self.mean, self.std = self._shaped("mean", mean), self._shaped("std", std.clamp_min(1e-7))

    def stats_on(self, x):
        if self.mean is None:
            raise RuntimeError("Normalize() has no mean and std yet: they are measured when the DataLoaders are made. "
                               "Outside them write Normalize.from_stats(*imagenet_stats).")
        if self.mean.device != x.device:
            self.mean, self.std = self.mean.to(x.device), self.std.to(x.device)
        return self.mean, self.std

    def fits(self, x):
        "Whether there are statistics for the channels of batch `x` (B,C,H,W), and they do not differ from place to place."
        return self.mean is not None and self.mean.numel() in (1, x.shape[1]) and self.mean.ndim == 4 and self.axes == (0, 2, 3)

    def encodes(self, x):
        mean, std = self.stats_on(x)
        if not x.is_floating_point():
            raise TypeError(f"Normalize works on pictures as floats in 0..1; received {describe(x)}. Put IntToFloatTensor() before it "
                            "(ImageBlock does).")
        plain = x.as_subclass(torch.Tensor)
        mean, std = _for_one_item(plain, mean, std)
        if any(n not in (1, m) for n, m in zip(mean.shape, plain.shape, strict=False)):
            raise ValueError(f"Normalize has statistics for {mean.numel()} channels; received {describe(x)}")
        return TensorImage(plain.sub(mean).div_(std))

    def decodes(self, x):
        if not isinstance(x, TensorImage) or not x.is_floating_point():
            return x
        mean, std = self.stats_on(x)
        plain = x.as_subclass(torch.Tensor)
        mean, std = _for_one_item(plain, mean, std)
        return TensorImage(plain.mul(std).add_(mean))

    def __repr__(self):
        if self.mean is None:
            return "Normalize()"
        mean, std = ([round(v, 3) for v in t.flatten().tolist()] for t in (self.mean, self.std))
        return f"Normalize(mean={mean}, std={std})"
