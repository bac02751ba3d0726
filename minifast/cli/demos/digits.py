"""Real handwritten digits, which come with scikit-learn, as image files; and scattered over photos, with a mask of what is where.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998. The photos are scikit-learn's samples.
"""
from pathlib import Path

from ...core.types import PathLike


def write_digits(folder: PathLike, size: int = 80) -> Path:
    """Write scikit-learn's 1,797 handwritten digits (8x8 grey scans, values 0..16) as PNG files `folder/<digit>/<index>.png`.

    They get a margin of one scanned pixel and are enlarged to `size`, with the edges of the strokes as sharp as a pen's.

    Args:
        folder: where to write; it is made.
        size: height and width of the files.
    """
    from PIL import Image
    from sklearn.datasets import load_digits
    digits, folder = load_digits(), Path(folder)
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        Image.fromarray((255 * _ink(pixels, size)).round().astype("uint8")).save(folder / str(label) / f"{i:04d}.png")
    return folder


def _ink(pixels, size):
    "The strokes of a scan, enlarged and sharpened: float (size, size) in 0..1."
    import numpy as np
    from PIL import Image
    ink = Image.fromarray(np.pad(pixels / 16, 1).astype("float32")).resize((size, size), Image.Resampling.BICUBIC)
    return 1 / (1 + np.exp(-12 * (np.asarray(ink) - 0.45)))


def scatter_digits(folder: PathLike, n: int = 600, size: int = 64, kinds: int = 3, seed: int = 0) -> Path:
    """Write `n` pictures of handwritten digits scattered over photos, and what each of their pixels is.

    `folder/images/{train,valid}_*.png`, `folder/masks/` the same names with the class of each pixel: 0 for none, d + 1 for the digit d;
    `folder/codes.txt` the names of the classes. The fifth for validation has digits and parts of the photos that training has not.

    The photos are darkened by half, the ink is light.

    Args:
        folder: where to write; it is made.
        n: how many.
        size: height and width.
        kinds: how many of the digits occur, from 0 on.
        seed: of what stands where.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits, load_sample_images
    folder, rng, digits, photos = Path(folder), np.random.default_rng(seed), load_digits(), load_sample_images().images
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "codes.txt").write_text("\n".join(["background", *(f"digit {d}" for d in range(kinds))]) + "\n")
    known = np.flatnonzero(digits.target < kinds)
    for i in range(n):
        valid = i % 5 == 4
        chosen = rng.choice(known[-len(known) // 5:] if valid else known[:-len(known) // 5], rng.integers(2, 5))
        photo = photos[rng.integers(len(photos))]
        left, top = rng.integers(420, 640 - 2 * size) if valid else rng.integers(0, 420 - 2 * size), rng.integers(0, 427 - 2 * size)
        picture = 0.5 * photo[top:top + 2 * size:2, left:left + 2 * size:2]
        mask = np.zeros((size, size), np.uint8)
        for d in chosen:
            side = int(rng.integers(size * 3 // 8, size * 5 // 8))
            y, x = rng.integers(0, size - side, 2)
            ink = _ink(digits.images[d], side)[..., None]
            place = (slice(y, y + side), slice(x, x + side))
            picture[place] += ink * (rng.integers(150, 256) - picture[place])
            mask[place][ink[..., 0] > 0.5] = digits.target[d] + 1
        name = f"{'valid' if valid else 'train'}_{i:04d}.png"
        Image.fromarray(picture.round().clip(0, 255).astype("uint8")).save(folder / "images" / name)
        Image.fromarray(mask).save(folder / "masks" / name)
    return folder
