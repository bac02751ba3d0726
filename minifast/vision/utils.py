"""Folders of images: download them, make them smaller."""
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from warnings import warn

from PIL import Image

from ..core.arguments import check_arguments
from ..core.checkpoint import replacing
from ..core.device import cpu_count
from ..core.items import L
from ..core.messages import describe, plural
from ..core.paths import Path
from ..core.progress import progress_bar
from ..data.files import get_image_files, image_extensions
from ..sources.download import fetch, url_name
from .files.depth import checked_range, found_ranges, is_deep
from .files.reading import exif_orientation, open_image, to_mode

__all__ = ["download_images", "get_image_files_sorted", "resize_image", "resize_images"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_CHANNELS = "1 for grey, 3 for RGB, 4 for RGB with transparency"


def get_image_files_sorted(path: str | PathLike, recurse: bool = True, folders: Sequence[str] | None = None) -> L:
    """Find image files, as `get_image_files`, which sorts anyway.

    Args:
        path: the folder.
        recurse: also below it.
        folders: only these folders in it.
    """
    return get_image_files(path, recurse, folders)


def _each(f, items, n_workers, what):
    """`f` of each of `items` in `n_workers` threads, with a progress bar: the results as an `L`, without those items that failed, which a
    warning counts and names. what: verb and noun for it."""
    failed = []

    def attempt(item):
        try:
            return f(*item)
        except (OSError, ValueError) as e:
            failed.append(f"{item[0]}: {e}" if str(item[0]) not in str(e) else str(e))

    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        try:
            done = list(progress_bar(pool.map(attempt, items), total=len(items)))
        except BaseException:                                   # Ctrl-C: what has not begun will not
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        shown = "; ".join(sorted(failed)[:3]) + ("; ..." if len(failed) > 3 else "")
        warn(f"{len(failed)} of {plural(len(items), 'image')} could not be {what}: {shown}", stacklevel=3)
    return L((o for o in done if o is not None), use_list=True)


# -- downloading ------------------------------------------------------------------------------------------------------------------

def _names(urls, preserve_filename):
    "A file name for each URL, no two the same."
    taken, names = set(), []
    for i, url in enumerate(urls):
        suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
        name = f"{i:08d}{suffix if suffix in image_extensions else '.jpg'}"
        if preserve_filename:
            with suppress(ValueError):                          # the URL ends without a name
                name = url_name(url)
        stem, end, k = PurePosixPath(name).stem, PurePosixPath(name).suffix, 0
        while name.lower() in taken:
            k += 1
            name = f"{stem}_{k}{end}"
        taken.add(name.lower())
        names.append(name)
    return names


def download_images(dest: str | PathLike, urls: Iterable[str] | None = None, max_pics: int = 1000, n_workers: int = 8, timeout: float = 4,
                    preserve_filename: bool = False, url_file: str | PathLike | None = None) -> L:
    """Download images into a folder.

    Those that fail are counted in one warning; whether the others are images is for `verify_images` to say.

    Args:
        dest: the folder.
        urls: what to download.
        max_pics: at most so many.
        n_workers: downloads at a time.
        timeout: seconds of silence after which one is given up.
        preserve_filename: name the files as in the URL instead of 00000000.jpg and so on.
        url_file: a text file with one URL in each line, instead of `urls`.

    Returns:
        The files.
    """
    if (urls is None) == (url_file is None):
        raise TypeError("download_images(dest, urls=...) takes a list of URLs, or url_file=, a text file with one in each line: give "
                        "one of them")
    if isinstance(urls, (str, bytes)):
        raise TypeError(f"download_images(urls=...) takes a list of URLs; received {describe(urls)}. For one write urls=[url], for a file "
                        "url_file=")
    if url_file is not None:
        urls = [line.strip() for line in Path(url_file).read_text(encoding="utf-8").splitlines() if line.strip()]
    urls = [str(u) for u in urls][:max_pics]
    dest = Path(dest)
    dest.mkdir(parents=True, exist_ok=True)

    def download(url, name):
        fetch(url, dest / name, timeout=timeout)
        return dest / name

    return _each(download, list(zip(urls, _names(urls, preserve_filename), strict=True)), n_workers, "downloaded")


# -- resizing ---------------------------------------------------------------------------------------------------------------------

def _upright_already(file, mode):
    with Image.open(file) as im:
        return im.mode == mode and "transparency" not in im.info and exif_orientation(im) == 1


def resize_image(file: str | PathLike, dest: str | PathLike, src: str | PathLike = ".", max_size: int | None = None, n_channels: int = 3,
                 ext: str | None = None, img_format: str | None = None, resample: Image.Resampling = Image.Resampling.BILINEAR,
                 resume: bool = False, value_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
                 **kwargs: Any) -> Path:
    """Write the image `src/file` to `dest/file`, shrunk and upright (its EXIF orientation is applied).

    An image that needs no change is copied as it is.

    Args:
        file: path below `src`.
        dest: the folder to write to, made if missing.
        src: the folder of the originals.
        max_size: pixels of the longer side at most; smaller images keep their size.
        n_channels: 3 (RGB), 1 (grey) or 4 (with transparency).
        ext: another file ending, such as '.png'.
        img_format: Pillow's name of the format (default: by the ending).
        resample: Pillow's filter.
        resume: leave a file alone that is there already.
        value_range: the values of black and white in pixels that are not bytes, see `PILImage.create`; it does not change files of bytes.
        **kwargs: for Pillow's `save`, such as quality=90.

    Returns:
        The new file.

    Raises:
        ValueError: `file` is an absolute path, which would be overwritten; or Pillow knows no format for the ending.
    """
    check_arguments("resize_image", n_channels=(n_channels, n_channels in _MODES, _CHANNELS))
    if Path(file).is_absolute():
        raise ValueError(f"resize_image(file={str(file)!r}): the path below src, which is also its path below dest. Write "
                         "resize_image(file.name, dest, src=file.parent)")
    source, target = Path(src) / file, Path(dest) / file
    if ext is not None:
        target = target.with_suffix(ext if ext.startswith(".") else f".{ext}")
    if resume and target.exists():
        return target
    im = open_image(source)
    mode, size = _MODES[n_channels], im.size
    if max_size is not None and max(size) > max_size:
        scale = max_size / max(size)
        size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    target.parent.mkdir(parents=True, exist_ok=True)
    if size == im.size and ext is None and img_format is None and not kwargs and _upright_already(source, mode):
        if not (target.exists() and target.samefile(source)):
            shutil.copyfile(source, target)
        return target
    if not isinstance(value_range, Mapping):
        value_range = checked_range(value_range, "resize_image") if is_deep(im) else None
    im = im.convert(mode) if mode == "RGBA" else to_mode(im, mode, str(source), value_range)
    img_format = img_format or Image.registered_extensions().get(target.suffix.lower())
    if img_format is None:
        raise ValueError(f"{target}: PIL knows no image format with this ending; give another with ext=, or img_format=")
    with replacing(target) as part:
        (im.resize(size, resample) if size != im.size else im).save(part, img_format, **kwargs)
    return target


def resize_images(path: str | PathLike, max_workers: int | None = None, max_size: int | None = None, recurse: bool = False,
                  dest: str | PathLike = ".", n_channels: int = 3, ext: str | None = None, img_format: str | None = None,
                  resample: Image.Resampling = Image.Resampling.BILINEAR, resume: bool = False,
                  value_range: tuple[float, float] | None = None, **kwargs: Any) -> L:
    """Write smaller copies of the images in a folder: `resize_image` on each of them.

    Images that cannot be opened are counted in one warning.

    Args:
        path: the folder.
        max_workers: threads (default: one per core).
        max_size: pixels of the longer side at most; nothing is enlarged.
        recurse: also below the folder.
        dest: the folder to write to, which may be `path`; the folders below it are made as they are below `path`.
        n_channels: 3 (RGB), 1 (grey) or 4 (with transparency).
        ext: another ending, such as ".png".
        img_format: PIL's name of the format (default: by the ending).
        resample: PIL's resampling.
        resume: leave files that are there already.
        value_range: see `resize_image`; default: one range for all, found by a first look at 16 of them, as `OpenImage` does.
        **kwargs: for PIL's `save`, such as quality=90.

    Returns:
        The new files.
    """
    check_arguments("resize_images", n_channels=(n_channels, n_channels in _MODES, _CHANNELS))
    found = get_image_files(path, recurse=recurse)
    files = [f.relative_to(path) for f in found]
    scale: Any = checked_range(value_range, "resize_images")
    if scale is None:
        with suppress(ValueError):          # of pixels without a known scale: each such image is among those that are counted
            scale = found_ranges(found)[0] or None
    one = partial(resize_image, dest=dest, src=path, max_size=max_size, n_channels=n_channels, ext=ext, img_format=img_format,
                  resample=resample, resume=resume, value_range=scale, **kwargs)
    return _each(one, [(f,) for f in files], cpu_count() if max_workers is None else max_workers, "resized")
