"""Looking at one picture file, once and cheaply: can it be read, what is in it, what is it like."""
import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...core.device import cpu_count

THUMB = 16                   #: pixels of the side of the grey thumbnail kept of every picture
_BAD = "the file is empty"
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Facts(NamedTuple):
    "What is known of one file. error: why it cannot be read (then the rest of a picture is missing)."
    path: Path
    bytes: int
    sha256: str
    error: str | None = None
    size: tuple | None = None           #: (width, height)
    mode: str | None = None
    spread: float = 0.0                 #: highest less lowest grey value, 0..255
    grey: float = 0.0                   #: mean grey value, 0..255
    hash: int = 0                       #: 64-bit difference hash
    thumb: np.ndarray | None = None     #: (16, 16) grey float32
    colour: tuple = ()                  #: mean red, green, blue


def difference_hash(grey):
    """64 bits that stay nearly the same when a picture is resized, recompressed or brightened: whether each cell of an 8x9 grid is brighter
    than its right neighbour. grey: array (8, 9). Source: N. Krawetz, "Kind of Like That", 2013."""
    bits = (grey[:, 1:] > grey[:, :-1]).reshape(-1)
    return int(np.packbits(bits).view(">u8")[0])


def look(path):
    "The `Facts` of picture file `path`. A JPEG is decoded at the smallest scale that its format offers, but to its last byte."
    from PIL import Image
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        return Facts(path, 0, "", f"cannot be opened: {e.strerror or e}")
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Facts(path, 0, digest, _BAD)
    try:
        im = Image.open(io.BytesIO(data))
        size, mode = im.size, im.mode
        if size[0] * size[1] > 178_956_970:
            return Facts(
                path, len(data), digest, f"{size[0]}x{size[1]} pixels would need {size[0] * size[1] * 3 / 2**30:.1f} GiB", size, mode
            )
        if im.format == "JPEG":
            im.draft("RGB" if mode != "L" else "L", (48, 48))
        im.load()
        turned = im.getexif().get(0x0112, 1) if im.format in ("JPEG", "TIFF", "MPO") and b"Exif" in data[:4096] else 1
        grey, colour = _reduced(im)
    except Exception as e:                      # Pillow raises many kinds for broken files
        return Facts(path, len(data), digest, f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:120]}")
    grey = _upright(grey, turned)
    thumb = _resized(grey, THUMB, THUMB)
    return Facts(path, len(data), digest, None, size, mode, float(grey.max() - grey.min()), float(grey.mean()),
                 difference_hash(_resized(grey, 9, 8)), thumb, colour)


def _reduced(im):
    "A grey float array 0..255 of at most about 64 pixels a side, and the mean colour."
    from PIL import Image
    if im.mode in ("I", "F") or im.mode.startswith("I;"):
        a = np.asarray(im).astype(np.float32)
        top = 65535 if a.max() > 255 else 255 if a.max() > 1 else 1
        im = Image.fromarray(np.clip(a * (255 / top), 0, 255).astype(np.uint8))
    elif im.mode not in ("L", "RGB"):
        im = im.convert("RGB")
    factor = max(1, min(im.size) // 64)
    if factor > 1:
        im = im.reduce(factor)
    a = np.asarray(im, dtype=np.float32)
    if a.ndim == 2:
        return a, (float(a.mean()),) * 3
    pixels = a.reshape(-1, 3)
    share = np.full(len(pixels), 1 / len(pixels), dtype=np.float32)      # as a product, the mean over the first axis is 20x faster
    return (pixels @ _LUMA).reshape(a.shape[:2]), tuple(float(v) for v in share @ pixels)


def _upright(grey, turned):
    turns = {3: 2, 6: 3, 8: 1}.get(turned)
    return np.rot90(grey, turns) if turns else grey


def _resized(grey, width, height):
    from PIL import Image
    im = Image.fromarray(np.ascontiguousarray(grey, dtype=np.float32))
    return np.asarray(
        im.resize((width, height), Image.Resampling.BOX if min(grey.shape) >= max(width, height) else Image.Resampling.BILINEAR)
    )


def look_all(paths, n_workers=None):
    "`(facts of each file, files per second)`, in threads: Pillow and hashing let other threads run."
    began = time.perf_counter()
    with ThreadPoolExecutor(n_workers or cpu_count()) as pool:
        facts = list(pool.map(look, paths, chunksize=1))
    return facts, len(facts) / max(time.perf_counter() - began, 1e-9)


# -- duplicates ---------------------------------------------------------------------------------------------------------------------
def exact_copies(facts):
    "Groups of indices of files with the same content."
    groups = {}
    for i, f in enumerate(facts):
        if f.sha256 and f.error != _BAD:
            groups.setdefault(f.sha256, []).append(i)
    return [g for g in groups.values() if len(g) > 1]


def near_copies(facts, bits=6, alike=0.99):
    """Pairs of indices of different files whose pictures look almost the same: hashes that differ in at most `bits` of 64, and thumbnails
    whose correlation is at least `alike`. Pictures of nearly one colour are left out, they all look the same.

    Hashes that differ in at most 7 bits agree in one of 8 bytes, so only those are compared.
    """
    if not 0 <= bits <= 7:
        raise ValueError(f"near_copies(bits={bits}): from 0 to 7 of the 64 bits")
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
    pairs = [(usable[a], usable[b]) for a, b in sorted(found)]
    return [(a, b) for a, b in pairs if facts[a].sha256 != facts[b].sha256]


def _close(hashes, bits):
    "Arrays of pairs (a < b) of positions whose hashes differ in at most `bits` bits."
    for byte in range(8):
        keys = (hashes >> np.uint64(8 * byte)) & np.uint64(255)
        for value in np.unique(keys):
            members = np.flatnonzero(keys == value)
            for start in range(0, len(members), 512):
                part = members[start:start + 512]
                distance = _bit_count(hashes[part][:, None] ^ hashes[members][None])
                rows, columns = np.nonzero(distance <= bits)
                a, b = part[rows], members[columns]
                yield a[a < b], b[a < b]


def _bit_count(x):
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(x)
    return np.unpackbits(x.view(np.uint8).reshape(*x.shape, 8), axis=-1).sum(-1)


def correlation(a, b):
    "How alike two thumbnails are, 1: the same but for brightness and contrast."
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))
