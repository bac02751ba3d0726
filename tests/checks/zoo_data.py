"""Data that is broken in one way each."""

import numpy as np
import torch
from torch.utils.data import TensorDataset
from zoo import (
    WORDS,
    Texts,
    broken,
    image_files,
    image_loaders,
    loaders,
    numbers,
    points,
    ragged,
    rng,
    table,
    table_loaders,
    text_loaders,
    tokens,
)

from minifast.data.transforms import RandTransform, Transform


# -- broken: data -------------------------------------------------------------------------------------------------------------------
@broken("validation is augmented", "MF833")
def _():
    class Jitter(RandTransform):
        split_idx = None

        def draw(self, sample, rng, split_idx):
            return {"by": float(rng.normal())}

        def encodes(self, x: torch.Tensor, by):
            return x + by if x.is_floating_point() else x

    x, y = points()
    return loaders(x, y, after_batch=[Jitter(split_idx=None)])


@broken("training sorted by class and not shuffled", "MF834")
def _():
    x, y = points()
    order = y[:160].argsort()
    x[:160], y[:160] = x[:160][order], y[:160][order]
    return loaders(x, y, shuffle=False, bs=16)


@broken("target leaked into the inputs", "MF821")
def _():
    x, y = points()
    x[:, 4] = y * 2.0 - 1 + 0.01 * torch.randn(len(y), generator=rng())
    return loaders(x, y)


@broken("a column that is the target in other units", "MF821")
def _():
    x, y = numbers()
    x[:, 5] = y[:, 0] * 0.45 + 3
    return loaders(x, y)


@broken("a constant column", "MF822", "tip")
def _():
    x, y = points()
    x[:, 3] = 7.0
    return loaders(x, y)


@broken("a column of row numbers", "MF823", "tip")
def _():
    x, y = points()
    x[:, 3] = torch.randperm(len(x), generator=rng()).float() / len(x)
    return loaders(x, y)


@broken("validation from another source", "MF825")
def _():
    x, y = points()
    x[160:, 3] += 4
    return loaders(x, y)


@broken("validation rows are training rows", "MF826")
def _():
    x, y = points()
    x[200:], y[200:] = x[:40], y[:40]
    return loaders(x, y)


@broken("identical items with different labels", "MF811")
def _():
    x, y = points()
    x[100:120], y[100:120] = x[:20], (y[:20] + 1) % 3
    return loaders(x, y)


@broken("one class missing in training", "MF812")
def _():
    x, y = points()
    keep = torch.cat([torch.nonzero(y[:160] != 2).flatten(), torch.arange(160, 240)])
    n = int((keep < 160).sum())
    return loaders(x[keep], y[keep], n_train=n, c=3)


@broken("one class missing in validation", "MF812")
def _():
    x, y = points()
    keep = torch.cat([torch.arange(160), 160 + torch.nonzero(y[160:] != 1).flatten()])
    return loaders(x[keep], y[keep], c=3)


@broken("all items of one class", "MF813")
def _():
    x, y = points()
    return loaders(x, y * 0)


@broken("labels of two classes swapped in validation", "MF814")
def _():
    x, y = points(n=400)
    swapped = y.clone()
    swapped[280:] = torch.tensor([2, 1, 0])[y[280:]]
    return loaders(x, swapped, n_train=280)


@broken("shuffled labels", "MF815", "tip")
def _():
    x, y = points(n=400)
    return loaders(x, y[torch.randperm(400, generator=rng(5))], n_train=280)


@broken("inputs in thousands, not normalised", "MF832")
def _():
    x, y = points()
    return loaders(x * 900 + 5000, y)


@broken("normalised twice", "MF832")
def _():
    class Normalize(Transform):
        def encodes(self, x: torch.Tensor):
            return (x - 0.5) / 0.25 if x.is_floating_point() else x

    x, y = points()
    return loaders(x, y, after_batch=[Normalize(), Normalize()])


@broken("infinite values in a batch", "MF831")
def _():
    x, y = points()
    x[::5, 1] = float("inf")
    return loaders(x, y)


@broken("a truncated image", "MF801")
def _(folder):
    file = next((image_files(folder) / "train" / "bar").iterdir())
    dls = image_loaders(folder)
    file.write_bytes(file.read_bytes()[:400])
    return dls


@broken("duplicate files across splits", "MF802")
def _(folder):
    image_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "valid" / "disc" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


@broken("a smaller copy of a training image in validation", "MF803")
def _(folder):
    from PIL import Image
    image_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    with Image.open(source) as im:
        im.resize((40, 40)).save(folder / "valid" / "disc" / "another.jpg", quality=70)
    return image_loaders(folder)


@broken("one image in two classes", "MF811")
def _(folder):
    image_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "train" / "bar" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


@broken("files copied twice within training", "MF804", "tip")
def _(folder):
    image_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "train" / "disc" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


def _film(item):
    return int(item.stem[-1])


@broken("frames of one video in both splits", "MF805", groups=_film)
def _(folder):
    return image_loaders(image_files(folder))


@broken("one very long image", "MF806", "tip")
def _(folder):
    from PIL import Image
    image_files(folder)
    r = np.random.default_rng(1)
    Image.fromarray(r.integers(0, 255, (20, 200, 3), dtype=np.uint8)).save(folder / "train" / "bar" / "long.png")
    return image_loaders(folder)


@broken("blank images", "MF807")
def _(folder):
    from PIL import Image
    image_files(folder)
    for i in range(4):
        Image.new("RGB", (48, 48), (10 * i, 0, 0)).save(folder / "train" / "bar" / f"blank{i}.png")
    return image_loaders(folder)


@broken("a CMYK image among RGB", "MF808", "tip")
def _(folder):
    from PIL import Image
    file = sorted((image_files(folder) / "train" / "bar").iterdir())[0]
    with Image.open(file) as im:
        im.convert("CMYK").save(file)
    return image_loaders(folder)


@broken("a column that is only known afterwards", "MF821")
def _():
    df = table()
    df["tax"] = np.where(df.rich == "yes", 9000.0, 100.0) + np.random.default_rng(0).normal(0, 20, len(df))
    return table_loaders(df, conts=("age", "hours", "tax"))


@broken("a customer number as a category", "MF823", "tip")
def _():
    df = table()
    df["customer"] = [f"c{i}" for i in range(len(df))]
    return table_loaders(df, cats=("job", "customer"))


@broken("a column that is mostly missing", "MF824", "tip")
def _():
    df = table()
    df.loc[df.index % 5 != 0, "hours"] = np.nan
    return table_loaders(df)


@broken("validation categories that training never saw", "MF827", "tip")
def _():
    df = table()
    df.loc[df.index[-60:], "job"] = "new"
    return table_loaders(df)


@broken("half the words unknown", "MF836")
def _():
    x, y = tokens()
    x[:, ::2] = 0

    class Rows(TensorDataset):
        vocab = [WORDS, ["neg", "pos"]]
    return loaders(x, y, cls=Rows)


@broken("most texts truncated", "MF836")
def _():
    return text_loaders(*ragged(), max_len=6)


@broken("empty texts", "MF836")
def _():
    x, y = ragged()
    return text_loaders([[] if i % 10 == 3 else t for i, t in enumerate(x)], y)


@broken("ids outside the vocabulary", "MF836")
def _():
    x, y = ragged()
    x[40][1], x[41][0] = 30, 31
    return text_loaders(x, y)


@broken("unknown words in validation", "MF836")
def _():
    x, y = ragged()
    return text_loaders([t if i < 160 else [0 if w > 14 else w for w in t] for i, t in enumerate(x)], y)


@broken("a separate vocabulary for validation", "MF836")
def _():
    class Others(Texts):
        vocab = [[*WORDS[:2], *WORDS[:1:-1]], ["neg", "pos"]]

    dls = text_loaders(*ragged())
    return dls.new(dls.train, dls.valid.new(Others(dls.valid_ds)))


@broken("padding with the id of a word", "MF836", "tip")
def _():
    return text_loaders(*ragged(), pad_value=0)


@broken("batches that are mostly padding", "MF836", "tip")
def _():
    x, y = ragged()
    return text_loaders([t * 12 if i % 16 == 5 else t[:4] for i, t in enumerate(x)], y)
