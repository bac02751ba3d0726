"""Generated photos for the benchmarks: cut at random from the two photographs that come with scikit-learn, with other colours and noise."""
import os
import random
from pathlib import Path

import numpy as np


def photos(folder, n, width, height, noise, quality=90):
    """`n` JPEGs of `width` x `height` in `folder`/a and `folder`/b, made once: (files, mean KB).

    noise: standard deviation of what is added to every pixel; it decides how large the files are.
    """
    folder = Path(folder) / f"{width}x{height}"
    files = [folder / "ab"[i % 2] / f"{i:05}.jpg" for i in range(n)]
    if not all(f.exists() for f in files):
        make(files, width, height, noise, quality)
    return [str(f) for f in files], sum(os.path.getsize(f) for f in files) / n / 1024


def make(files, width, height, noise, quality):
    from PIL import Image, ImageEnhance
    from sklearn.datasets import load_sample_images
    sources = [Image.fromarray(i) for i in load_sample_images().images]
    rng = random.Random(0)
    for i, file in enumerate(files):
        source = rng.choice(sources)
        w = rng.uniform(380, 560)
        h = w * height / width
        x, y = rng.uniform(0, source.width - w), rng.uniform(0, source.height - h)
        im = source.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
        im = im.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else im
        im = ImageEnhance.Color(im).enhance(rng.uniform(0.6, 1.4))
        im = ImageEnhance.Brightness(im).enhance(rng.uniform(0.7, 1.3))
        a = np.asarray(im).astype(np.float32) + np.random.default_rng(i).standard_normal((height, width, 1), dtype=np.float32) * noise
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(a.clip(0, 255).astype(np.uint8)).save(file, quality=quality)
