"""Image files, each read once and cheaply: can it be decoded, what does it look like, which others does it duplicate."""
import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...core.device import cpu_count

if TYPE_CHECKING:
    from PIL import Image

THUMB = 16                   #: side, in pixels, of the grey thumbnail kept of every image
_EMPTY = "the file is empty"
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_EXIF_ORIENTATION, _QUARTER_TURNS = 0x0112, {3: 2, 6: 3, 8: 1}


class Facts(NamedTuple):
    "What is known of one file. If it cannot be read, `error` says why and the facts about the image are missing."
    path: Path
    bytes: int
    sha256: str
    error: str | None = None
    size: tuple[int, int] | None = None     #: (width, height)
    mode: str | None = None
    spread: float = 0.0                     #: highest minus lowest grey value, 0..255
    grey: float = 0.0                       #: mean grey value, 0..255
    hash: int = 0                           #: 64-bit difference hash
    thumb: np.ndarray | None = None         #: (16, 16) grey float32
    colour: tuple[float, ...] = ()          #: mean red, green, blue


def difference_hash(grey: np.ndarray) -> int:
    """64 bits that hardly change when an image is resized, recompressed or brightened: whether each cell of an 8x9 grid is brighter than
    its right neighbour. grey: array (8, 9). Source: N. Krawetz, "Kind of Like That", 2013."""
    return int(np.packbits((grey[:, 1:] > grey[:, :-1]).reshape(-1)).view(">u8")[0])


def facts_of(path: Path) -> Facts:
    "The `Facts` of the image file `path`. A JPEG is decoded at the smallest scale that its format offers, but to its last byte."
    from PIL import Image
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        return Facts(path, 0, "", f"cannot be opened: {e.strerror or e}")
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Facts(path, 0, digest, _EMPTY)
    try:
        im = Image.open(io.BytesIO(data))
        size, mode = im.size, im.mode
        im.draft("L" if mode == "L" else "RGB", (48, 48))          # of a JPEG; other formats have nothing to draft
        im.load()
        has_orientation = im.format in ("JPEG", "TIFF", "MPO") and b"Exif" in data[:4096]
        turns = _QUARTER_TURNS.get(im.getexif().get(_EXIF_ORIENTATION), 0) if has_orientation else 0
        grey, colour = _reduced(im)
    except Exception as e:                      # Pillow raises many kinds of errors for broken files
        return Facts(path, len(data), digest, f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:120]}")
    grey = np.rot90(grey, turns)
    return Facts(path, len(data), digest, None, size, mode, float(grey.max() - grey.min()), float(grey.mean()),
                 difference_hash(_resized(grey, 9, 8)), _resized(grey, THUMB, THUMB), colour)


def _reduced(im: "Image.Image") -> tuple[np.ndarray, tuple[float, ...]]:
    "A grey float array 0..255 of at most about 64 pixels a side, and the mean colour."
    from PIL import Image
    if im.mode in ("I", "F") or im.mode.startswith("I;"):
        a = np.asarray(im).astype(np.float32)
        top = 65535 if a.max() > 255 else 255 if a.max() > 1 else 1
        im = Image.fromarray(np.clip(a * (255 / top), 0, 255).astype(np.uint8))
    elif im.mode not in ("L", "RGB"):
        im = im.convert("RGB")
    factor = min(im.size) // 64
    a = np.asarray(im.reduce(factor) if factor > 1 else im, dtype=np.float32)
    if a.ndim == 2:
        return a, (float(a.mean()),) * 3
    pixels = a.reshape(-1, 3)
    share = np.full(len(pixels), 1 / len(pixels), dtype=np.float32)      # as a product, the mean over the first axis is 20x faster
    return (pixels @ _LUMA).reshape(a.shape[:2]), tuple(float(v) for v in share @ pixels)


def _resized(grey: np.ndarray, width: int, height: int) -> np.ndarray:
    from PIL import Image
    im = Image.fromarray(np.ascontiguousarray(grey, dtype=np.float32))
    method = Image.Resampling.BOX if min(grey.shape) >= max(width, height) else Image.Resampling.BILINEAR
    return np.asarray(im.resize((width, height), method))


def facts_of_all(paths: Sequence[Path], n_workers: int | None = None) -> tuple[list[Facts], float]:
    "The facts of each file, and files per second. In threads: Pillow and hashing let other threads run."
    began = time.perf_counter()
    with ThreadPoolExecutor(n_workers or cpu_count()) as pool:
        facts = list(pool.map(facts_of, paths))
    return facts, len(facts) / max(time.perf_counter() - began, 1e-9)


# -- duplicates ---------------------------------------------------------------------------------------------------------------------
def groups_of_equal(keys: Iterable[Hashable]) -> list[list[int]]:
    "Groups of indices whose keys are equal; those without a key are left out."
    groups = defaultdict(list)
    for i, key in enumerate(keys):
        groups[key].append(i)
    return [g for key, g in groups.items() if key and len(g) > 1]


def exact_duplicates(facts: Sequence[Facts]) -> list[list[int]]:
    "Groups of indices of files with the same content, other than none."
    return groups_of_equal("" if f.error == _EMPTY else f.sha256 for f in facts)


def near_duplicates(facts: Sequence[Facts], bits: int = 6, alike: float = 0.99) -> list[tuple[int, int]]:
    """Pairs of indices of different files whose images look almost the same. Images of nearly one colour are left out.

    Args:
        facts: The facts of the files.
        bits: Their hashes differ in at most so many of 64 bits, 0 to 7. Such hashes agree in one of 8 bytes, so only those are compared.
        alike: The correlation of their thumbnails is at least this.
    """
    if not 0 <= bits <= 7:
        raise ValueError(f"near_duplicates(bits={bits}): from 0 to 7 of the 64 bits")
    usable = [i for i, f in enumerate(facts) if f.error is None and f.thumb is not None and f.thumb.std() > 4]
    if len(usable) < 2:
        return []
    hashes = np.array([facts[i].hash for i in usable], dtype=np.uint64)
    thumbs = np.stack([facts[i].thumb.reshape(-1) for i in usable])
    thumbs = thumbs - thumbs.mean(1, keepdims=True)
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True)
    found = set()
    for a, b in _close(hashes, bits):
        keep = (thumbs[a] * thumbs[b]).sum(1) >= alike
        found.update(zip(a[keep].tolist(), b[keep].tolist(), strict=True))
    return [(usable[a], usable[b]) for a, b in sorted(found) if facts[usable[a]].sha256 != facts[usable[b]].sha256]


def _close(hashes: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    "Arrays of pairs (a < b) of positions whose hashes differ in at most `bits` bits."
    signs = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32) * 2 - 1     # a product of them counts equal bits
    for byte in range(8):
        keys = (hashes >> np.uint64(8 * byte)) & np.uint64(255)
        for value in np.unique(keys):
            members = np.flatnonzero(keys == value)
            for start in range(0, len(members), 512):
                part = members[start:start + 512]
                rows, columns = np.nonzero(signs[part] @ signs[members].T >= 64 - 2 * bits)
                a, b = part[rows], members[columns]
                yield a[a < b], b[a < b]
