"""The zoo: what its animals are made of. Each animal is a function without arguments (or of a folder, for those that need files)
that returns a `Learner` or `DataLoaders`: broken in one way, with the code that names the true cause, or healthy.
"""
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.checks.data.probe import DataProbe
from minifast.checks.data.texts import text_quality
from minifast.checks.report import Entry, run
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.nn.losses import (
    CrossEntropyLossFlat,
    MSELossFlat,
)


class Animal(NamedTuple):
    name: str
    make: object
    code: str = ""
    verdict: str = "issue"
    kwargs: dict = {}


BROKEN, HEALTHY = [], []


def broken(name, code, verdict="issue", **kwargs):
    def add(f):
        BROKEN.append(Animal(name, f, code, verdict, kwargs))
        return f
    return add


def healthy(name, **kwargs):
    def add(f):
        HEALTHY.append(Animal(name, f, kwargs=kwargs))
        return f
    return add


# -- parts --------------------------------------------------------------------------------------------------------------------------
def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n=240, d=6, classes=3, seed=0):
    x = torch.randn(n, d, generator=rng(seed))
    score = x[:, 0] + 0.8 * x[:, 1] - 0.6 * x[:, 2] + 0.3 * torch.randn(n, generator=rng(seed + 1))
    y = torch.bucketize(score, score.quantile(torch.linspace(0, 1, classes + 1)[1:-1]))
    return x, y


def loaders(x, y, bs=32, n_train=160, cls=TensorDataset, c=None, **kw):
    x = x if isinstance(x, tuple) else (x,)
    train = cls(*(t[:n_train] for t in x), y[:n_train])
    valid = cls(*(t[n_train:] for t in x), y[n_train:])
    if c is not None:
        train.c = valid.c = c
    return DataLoaders(
        DataLoader(train, bs=bs, shuffle=kw.pop("shuffle", True), split_idx=0, **kw), DataLoader(valid, bs=bs, split_idx=1, **kw)
    )


def mlp(d=6, out=3, hidden=32, last=None):
    torch.manual_seed(0)
    layers = [nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out)]
    return nn.Sequential(*layers, *([last] if last is not None else []))


def trained(learn, epochs, lr=1e-2):
    "The learner, fitted without a word."
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr)
    return learn


def classifier(model=None, loss=None, x=None, y=None, c=None, **kw):
    xs, ys = points()
    return Learner(loaders(xs if x is None else x, ys if y is None else y, c=c), model or mlp(), loss or CrossEntropyLossFlat(), **kw)


def numbers(n=240, offset=0.0, scale=1.0):
    x = torch.randn(n, 6, generator=rng(3))
    y = (x[:, :1] - 0.5 * x[:, 1:2] * x[:, 2:3]) * scale + offset + 0.1 * scale * torch.randn(n, 1, generator=rng(4))
    return x, y


def regressor(model=None, loss=None, x=None, y=None, **kw):
    xs, ys = numbers()
    return Learner(loaders(xs if x is None else x, ys if y is None else y), model or mlp(out=1), loss or MSELossFlat(), **kw)


class Model(nn.Module):
    "A model of a function: `forward(self, x)` is `f(self, *inputs)`."

    def __init__(self, f, **layers):
        super().__init__()
        self.f = f
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *xs):
        return self.f(self, *xs)


def shapes(n=200, classes=4, size=16, seed=0):
    "Greyscale images: a bright bar in one of four places, with noise."
    g = rng(seed)
    y = torch.arange(n) % classes
    x = 0.3 * torch.randn(n, 1, size, size, generator=g)
    for i, k in enumerate(y.tolist()):
        at = int(torch.randint(0, 4, (1,), generator=g))
        if k < 2:
            x[i, 0, at + 8 * k:at + 8 * k + 3] += 1.5
        else:
            x[i, 0, :, at + 8 * (k - 2):at + 8 * (k - 2) + 3] += 1.5
    perm = torch.randperm(n, generator=g)
    x = (x - x.mean()) / x.std()
    return x[perm], y[perm]


def convnet(out=4, norm=nn.BatchNorm2d, c_in=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(c_in, 8, 3, stride=2, padding=1, bias=norm is None), *([norm(8)] if norm else []), nn.ReLU(),
                         nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=norm is None), *([norm(16)] if norm else []), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, out))


def image_learner(model=None, **kw):
    x, y = shapes()
    return Learner(loaders(x, y, n_train=140), model or convnet(), CrossEntropyLossFlat(), metrics=accuracy, **kw)


def tokens(n=240, length=12, words=30, seed=0):
    x = torch.randint(2, words, (n, length), generator=rng(seed))
    y = ((x < 10).float().mean(1) > 0.3).long()
    return x, y


WORDS = ["xxunk", "xxpad", *(f"w{i}" for i in range(28))]


def ragged(n=240, seed=0):
    "Texts of 3 to 20 of the ids 2 to 29, and whether small ids are many."
    lengths = torch.randint(3, 21, (n,), generator=rng(seed)).tolist()
    x = [torch.randint(2, 30, (k,), generator=rng(seed + 1 + i)).tolist() for i, k in enumerate(lengths)]
    return x, [int(sum(w < 10 for w in t) > 0.3 * len(t)) for t in x]


class Texts(list):
    "Texts and labels, and the vocabularies of both."
    vocab = [WORDS, ["neg", "pos"]]


def text_loaders(x, y, n_train=160, **kw):
    from minifast.data.sequences import PadSequences
    pad = PadSequences(**{"pad_value": 1, **kw})
    items = list(zip(x, y, strict=True))
    return DataLoaders(DataLoader(Texts(items[:n_train]), bs=16, shuffle=True, before_batch=pad, split_idx=0, num_workers=0),
                       DataLoader(Texts(items[n_train:]), bs=16, before_batch=pad, split_idx=1, num_workers=0))


def texts_of_length(*lengths, n=1):
    "Texts of the words 2, 3 ... of these lengths, `n` times over."
    return [list(range(2, 2 + k)) for k in lengths] * n


def two_splits_of_texts(train, valid, **kw):
    return text_loaders([*train, *valid], [i % 2 for i in range(len(train) + len(valid))], n_train=len(train), **kw)


def check_texts(dls, fast=False):
    "What the check of texts says of these loaders."
    return run([Entry("MF836", text_quality)], DataProbe(dls, fast))["MF836"]


def image_files(folder, per_class=12, classes=("disc", "bar"), seed=0, size=48):
    "Small JPEGs `folder/{train,valid}/{class}/{class}_{i}.jpg` of noisy shapes."
    from PIL import Image
    r = np.random.default_rng(seed)
    for k, name in enumerate(classes):
        for i in range(per_class):
            part = folder / ("train" if i < per_class * 2 // 3 else "valid") / name
            part.mkdir(parents=True, exist_ok=True)
            a = r.normal(90, 25, (size // 8, size // 8, 3)).repeat(8, 0).repeat(8, 1) + r.normal(0, 12, (size, size, 3))
            yy, xx = np.mgrid[:size, :size]
            cy, cx = r.integers(14, size - 14, 2)
            mask = (yy - cy) ** 2 + (xx - cx) ** 2 < 100 if k == 0 else (abs(yy - cy) < 5)
            a[mask] += 90
            Image.fromarray(a.clip(0, 255).astype(np.uint8)).save(part / f"{name}_{k}{i:03d}.jpg", quality=92)
    return folder


def image_loaders(folder, **kw):
    from minifast.vision.all import ImageDataLoaders, Normalize, Resize

    return ImageDataLoaders.from_folder(
        folder, item_tfms=Resize(32), batch_tfms=kw.pop("batch_tfms", Normalize.from_stats([0.4] * 3, [0.2] * 3)), bs=8, num_workers=0, **kw
    )


def table(n=300, seed=0):
    import pandas as pd
    r = np.random.default_rng(seed)
    df = pd.DataFrame({"age": r.normal(40, 12, n), "hours": r.normal(38, 9, n), "job": r.choice(["a", "b", "c"], n)})
    score = (df.age - 40) / 12 + (df.job == "a") - (df.hours - 38) / 20 + r.normal(0, 0.5, n)
    df["rich"] = np.where(score > 0.3, "yes", "no")
    return df


def squares(n=900, seed=0):
    "A table whose target is that of a chess board: no line divides it."
    import pandas as pd
    r = np.random.default_rng(seed)
    df = pd.DataFrame(r.uniform(-1, 1, (n, 3)), columns=["a", "b", "c"])
    df["rich"] = np.where((df.a > 0) ^ (df.b > 0), "yes", "no")
    return df


def table_loaders(df, cats=("job",), conts=("age", "hours")):
    from minifast.tabular.frames import TabularPandas
    from minifast.tabular.procs import Categorify, FillMissing, Normalize
    n = len(df)
    to = TabularPandas(
        df, [Categorify, FillMissing, Normalize], list(cats), list(conts), "rich", splits=[range(n * 2 // 3), range(n * 2 // 3, n)]
    )
    return to.dataloaders(bs=32)
