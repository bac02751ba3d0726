"""The zoo: set-ups that are broken in one way each, with the code that names the true cause, and healthy ones of every kind.

Each animal is a function without arguments (or of a folder, for those that need files) that returns a `Learner` or `DataLoaders`.
"""
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset

from minifast.callback import Callback, CancelStepException
from minifast.callbacks.mix import MixUp
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.layers import SigmoidRange
from minifast.learner import Learner
from minifast.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    FocalLoss,
    L1LossFlat,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)
from minifast.metrics import accuracy, rmse
from minifast.metrics_base import AvgMetric
from minifast.optim import SGD, Adam
from minifast.transform import RandTransform, Transform


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
    return DataLoaders(DataLoader(train, bs=bs, shuffle=kw.pop("shuffle", True), split_idx=0, **kw), DataLoader(valid, bs=bs, split_idx=1, **kw))


def mlp(d=6, out=3, hidden=32, last=None):
    torch.manual_seed(0)
    layers = [nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out)]
    return nn.Sequential(*layers, *([last] if last is not None else []))


def classifier(model=None, loss=None, x=None, y=None, c=None, **kw):
    xs, ys = points()
    learn = Learner(loaders(xs if x is None else x, ys if y is None else y, c=c), model or mlp(), loss or CrossEntropyLossFlat(), **kw)
    return learn


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
    "Grey pictures: a bright bar in one of four places, with noise."
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


def picture_learner(model=None, **kw):
    x, y = shapes()
    return Learner(loaders(x, y, n_train=140), model or convnet(), CrossEntropyLossFlat(), metrics=accuracy, **kw)


def tokens(n=240, length=12, words=30, seed=0):
    x = torch.randint(2, words, (n, length), generator=rng(seed))
    y = ((x < 10).float().mean(1) > 0.3).long()
    return x, y


# -- broken: the model meets a batch ------------------------------------------------------------------------------------------------
@broken("NaN in the inputs", "MF101")
def _():
    x, y = points()
    x[:, 2][::3] = float("nan")
    return classifier(x=x, y=y)


@broken("NaN targets", "MF101")
def _():
    x, y = numbers()
    y[::4] = float("nan")
    return regressor(x=x, y=y)


@broken("first layer of the wrong width", "MF102")
def _():
    return classifier(mlp(d=7))


@broken("logarithm of raw outputs in the model", "MF102")
def _():
    return classifier(Model(lambda s, x: s.net(x).log(), net=mlp()))


@broken("(n,1) against (n,) in F.mse_loss", "MF103")
def _():
    x, y = numbers()
    return regressor(y=y[:, 0], loss=F.mse_loss)


@broken("(n,1) against (n,) in a loss of one's own", "MF103")
def _():
    x, y = numbers()
    return regressor(y=y[:, 0], loss=lambda p, t: (p - t).square().mean())


@broken("one output too few", "MF103")
def _():
    return classifier(mlp(out=2), c=3)


@broken("class ids for a regression loss", "MF103")
def _():
    return classifier(loss=nn.MSELoss())


@broken("targets 0..255 for a binary loss", "MF103")
def _():
    x, y = numbers()
    return regressor(x=x, y=y.abs() * 255, loss=BCEWithLogitsLossFlat())


@broken("a loss per item instead of one number", "MF103")
def _():
    return classifier(loss=lambda p, t: F.cross_entropy(p, t, reduction="none"))


@broken("the last class never occurs in a batch, and has no output", "MF104")
def _():
    x, y = points()
    return classifier(mlp(out=3), x=x, y=y, c=5)


@broken("softmax twice", "MF105")
def _():
    return classifier(mlp(last=nn.Softmax(1)))


@broken("sigmoid before cross entropy", "MF105")
def _():
    return classifier(mlp(last=nn.Sigmoid()))


@broken("sigmoid twice", "MF105")
def _():
    x, y = points(classes=2)
    return classifier(mlp(out=1, last=nn.Sigmoid()), BCEWithLogitsLossFlat(), x, y[:, None].float())


@broken("NLLLoss on raw outputs", "MF105")
def _():
    return classifier(loss=nn.NLLLoss())


@broken("NLLLoss on probabilities", "MF105")
def _():
    return classifier(mlp(last=nn.Softmax(1)), nn.NLLLoss())


@broken("BCELoss on raw outputs", "MF105")
def _():
    x, y = points(classes=2)
    return classifier(mlp(out=1), nn.BCELoss(), x, y[:, None].float())


@broken("ReLU at the end of a classifier", "MF106")
def _():
    return classifier(mlp(last=nn.ReLU()))


@broken("tanh at the end of a classifier", "MF106")
def _():
    return classifier(mlp(last=nn.Tanh()))


@broken("ReLU at the end, negative targets", "MF106")
def _():
    return regressor(mlp(out=1, last=nn.ReLU()))


@broken("SigmoidRange narrower than the targets", "MF106")
def _():
    return regressor(mlp(out=1, last=SigmoidRange(0, 1)))


@broken("pixels 0..255, not normalised", "MF107")
def _():
    x, y = shapes()
    x = (x - x.min()) / (x.max() - x.min()) * 255
    return Learner(loaders(x, y, n_train=140), convnet(norm=None), CrossEntropyLossFlat())


@broken("everything frozen", "MF108")
def _():
    return classifier(mlp().requires_grad_(False))


@broken("detach at the end of the model", "MF108")
def _():
    return classifier(Model(lambda s, x: s.net(x).detach(), net=mlp()))


@broken("a loss of decisions", "MF108")
def _():
    return classifier(loss=lambda p, t: (p.argmax(1) != t).float().mean())


@broken("head replaced after the optimizer was made", "MF109")
def _():
    learn = classifier()
    learn.create_opt()
    learn.model[4] = nn.Linear(32, 3)
    return learn


@broken("splitter forgets the body", "MF109")
def _():
    return classifier(splitter=lambda m: list(m[4].parameters()))


@broken("dropout never switched off", "MF110")
def _():
    return classifier(Model(lambda s, x: s.b(F.dropout(s.a(x).relu(), 0.5)), a=nn.Linear(6, 32), b=nn.Linear(32, 3)))


class _AlwaysTraining(nn.Sequential):
    def train(self, mode=True):
        return super().train(True)


@broken("train() overridden: never evaluates", "MF110")
def _():
    torch.manual_seed(0)
    return classifier(_AlwaysTraining(nn.Linear(6, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 3)))


@broken("loss with the wrong sign", "MF111")
def _():
    return classifier(loss=lambda p, t: F.log_softmax(p, 1).gather(1, t[:, None]).mean())


@broken("reward used as a loss", "MF111")
def _():
    return regressor(loss=lambda p, t: -(p.reshape(-1) - t.reshape(-1)).square().mean())


# -- broken: independence -----------------------------------------------------------------------------------------------------------
@broken("view that mixes the batch axis", "MF201")
def _():
    return classifier(Model(lambda s, x: s.net(x.view(x.shape[1], x.shape[0]).t()), net=mlp()))


@broken("mean over the batch in the model", "MF201")
def _():
    return classifier(Model(lambda s, x: s.net(x - x.mean(0)), net=mlp()))


@broken("batch norm without running statistics", "MF201")
def _():
    torch.manual_seed(0)
    return classifier(nn.Sequential(nn.Linear(6, 32, bias=False), nn.BatchNorm1d(32, track_running_stats=False), nn.ReLU(), nn.Linear(32, 3)))


@broken("attention over the batch axis (batch_first forgotten)", "MF201")
def _():
    torch.manual_seed(0)
    x, y = tokens()
    return Learner(loaders(x, y), Model(lambda s, x: s.head(s.body(s.emb(x)).mean(1)), emb=nn.Embedding(30, 16),
                                        body=nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0), head=nn.Linear(16, 2)), CrossEntropyLossFlat())


@broken("inputs multiplied by 0", "MF304")
def _():
    return classifier(Model(lambda s, x: s.net(x * 0), net=mlp()))


@broken("second input never used", "MF304")
def _():
    x, y = points()
    return classifier(Model(lambda s, a, b: s.net(a), net=mlp(d=3)), x=(x[:, :3], x[:, 3:]), y=y)


@broken("every item is the same", "MF304")
def _():
    x, y = points()
    return classifier(x=x[:1].expand(len(x), -1).clone(), y=y)


@broken("a language model that sees the next word", "MF202", causal=True)
def _():
    torch.manual_seed(0)
    x = tokens()[0]
    model = Model(lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(30, 16), rnn=nn.GRU(16, 16, batch_first=True, bidirectional=True),
                  head=nn.Linear(32, 30))
    return Learner(loaders(x[:, :-1], x[:, 1:]), model, CrossEntropyLossFlat())


# -- broken: the learning signal ----------------------------------------------------------------------------------------------------
def _zero(model, value=0.0):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return model


@broken("all weights 0", "MF301")
def _():
    return classifier(_zero(mlp()))


@broken("all weights the same", "MF301")
def _():
    return classifier(_zero(mlp(), 0.05))


@broken("body behind detach", "MF305")
def _():
    torch.manual_seed(0)
    return classifier(Model(lambda s, x: s.head(s.body(x).detach()), body=nn.Sequential(nn.Linear(6, 32), nn.ReLU()), head=nn.Linear(32, 3)))


@broken("a layer that is never used", "MF305")
def _():
    return classifier(Model(lambda s, x: s.net(x), net=mlp(), forgotten=nn.Linear(8, 8)))


@broken("hard decisions inside the model", "MF305")
def _():
    torch.manual_seed(0)
    return classifier(Model(lambda s, x: s.head((s.body(x) > 0).float()), body=nn.Linear(6, 32), head=nn.Linear(32, 3)))


@broken("ten sigmoid layers with small weights", "MF303")
def _():
    torch.manual_seed(0)
    layers = [m for i in range(10) for m in (nn.Linear(6 if i == 0 else 16, 16), nn.Sigmoid())]
    for m in layers[::2]:
        nn.init.normal_(m.weight, std=0.05)
    return classifier(nn.Sequential(*layers, nn.Linear(16, 3)))


@broken("clipped loss instead of clipped gradients", "MF306")
def _():
    return classifier(loss=lambda p, t: F.cross_entropy(p, t, reduction="none").clamp(max=1.0).mean())


@broken("dead ReLU net", "MF302")
def _():
    model = mlp()
    with torch.no_grad():
        model[2].bias.fill_(-30.0)
    return classifier(model)


@broken("saturated tanh", "MF302")
def _():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    with torch.no_grad():
        model[2].weight.mul_(200)
    return classifier(model)


class _Keeps(torch.optim.SGD):
    def zero_grad(self, set_to_none=True):
        pass


@broken("missing zero_grad", "MF307")
def _():
    return classifier(opt_func=_Keeps, lr=1e-2, moms=None)


@broken("learning rate 1000x too high", "MF308")
def _():
    return classifier(lr=3.0)


@broken("learning rate 1000x too low", "MF308")
def _():
    return classifier(lr=1e-6)


def _cancel(cb):
    raise CancelStepException


@broken("a callback that cancels every step", "MF308")
def _():
    return classifier(cbs=Callback(before_step=_cancel))


class _DecaysFrozen(torch.optim.SGD):
    def step(self, closure=None):
        super().step()
        with torch.no_grad():
            for g in self.param_groups:
                for p in g["params"]:
                    p.mul_(0.99)


@broken("an optimizer that moves frozen weights", "MF308")
def _():
    model = mlp()
    model[0].requires_grad_(False)
    return classifier(model, opt_func=_DecaysFrozen, lr=1e-2, splitter=lambda m: list(m.parameters()), moms=None)


@broken("bias before batch norm", "MF309", "tip")
def _():
    torch.manual_seed(0)
    return classifier(nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3)))


@broken("weight decay on norm layers", "MF310", "tip")
def _():
    return picture_learner(wd=0.1, wd_bn_bias=True)


# -- broken: start, capacity, evaluation --------------------------------------------------------------------------------------------
@broken("bias stuck on one class", "MF401")
def _():
    model = mlp()
    with torch.no_grad():
        model[-1].bias[0] = 20.0
    return classifier(model)


@broken("last layer starts far too large", "MF401")
def _():
    model = mlp()
    with torch.no_grad():
        model[-1].weight.mul_(60)
    return classifier(model)


@broken("targets around 1000, head around 0", "MF401")
def _():
    x, y = numbers(offset=1000.0, scale=10.0)
    return regressor(x=x, y=y)


@broken("noise drowns the inputs in training", "MF502")
def _():
    return classifier(Model(lambda s, x: s.net(x + (100 * torch.randn_like(x) if s.training else 0)), net=mlp()))


@broken("random numbers in the targets' place", "MF601")
def _():
    x, y = points()

    class Noisy(Dataset):
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i] + torch.randn(6) * 0.5, self.y[i]

    dls = DataLoaders(TorchDataLoader(Noisy(x[:160], y[:160]), 32, shuffle=True), TorchDataLoader(Noisy(x[160:], y[160:]), 32))
    return Learner(dls, mlp(), CrossEntropyLossFlat())


@broken("metric with the wrong direction", "MF603")
def _():
    def my_error(pred, y):
        return (pred.argmax(1) != y).float().mean()
    return classifier(metrics=AvgMetric(my_error, lower_is_better=False))


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


@broken("training is sorted by class and not shuffled", "MF834")
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


@broken("a running number as a column", "MF823", "tip")
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


def picture_files(folder, per_class=12, classes=("disc", "bar"), seed=0, size=48):
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
    return ImageDataLoaders.from_folder(folder, item_tfms=Resize(32), batch_tfms=kw.pop("batch_tfms", Normalize.from_stats([0.4] * 3, [0.2] * 3)),
                                        bs=8, num_workers=0, **kw)


@broken("a truncated picture", "MF801")
def _(folder):
    file = next((picture_files(folder) / "train" / "bar").iterdir())
    dls = image_loaders(folder)
    file.write_bytes(file.read_bytes()[:400])
    return dls


@broken("duplicate files across the split", "MF802")
def _(folder):
    picture_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "valid" / "disc" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


@broken("the same picture saved again, smaller, in validation", "MF803")
def _(folder):
    from PIL import Image
    picture_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    with Image.open(source) as im:
        im.resize((40, 40)).save(folder / "valid" / "disc" / "another.jpg", quality=70)
    return image_loaders(folder)


@broken("one picture in two classes", "MF811")
def _(folder):
    picture_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "train" / "bar" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


@broken("files copied twice within training", "MF804", "tip")
def _(folder):
    picture_files(folder)
    source = sorted((folder / "train" / "disc").iterdir())[0]
    (folder / "train" / "disc" / "another.jpg").write_bytes(source.read_bytes())
    return image_loaders(folder)


def _film(item):
    return int(item.stem[-1])


@broken("frames of one film on both sides", "MF805", groups=_film)
def _(folder):
    return image_loaders(picture_files(folder))


@broken("one very long picture", "MF806", "tip")
def _(folder):
    from PIL import Image
    picture_files(folder)
    r = np.random.default_rng(1)
    Image.fromarray(r.integers(0, 255, (20, 200, 3), dtype=np.uint8)).save(folder / "train" / "bar" / "long.png")
    return image_loaders(folder)


@broken("blank pictures", "MF807")
def _(folder):
    from PIL import Image
    picture_files(folder)
    for i in range(4):
        Image.new("RGB", (48, 48), (10 * i, 0, 0)).save(folder / "train" / "bar" / f"blank{i}.png")
    return image_loaders(folder)


@broken("a CMYK picture among RGB", "MF808", "tip")
def _(folder):
    from PIL import Image
    file = sorted((picture_files(folder) / "train" / "bar").iterdir())[0]
    with Image.open(file) as im:
        im.convert("CMYK").save(file)
    return image_loaders(folder)


def table(n=300, seed=0):
    import pandas as pd
    r = np.random.default_rng(seed)
    df = pd.DataFrame({"age": r.normal(40, 12, n), "hours": r.normal(38, 9, n), "job": r.choice(["a", "b", "c"], n)})
    score = (df.age - 40) / 12 + (df.job == "a") - (df.hours - 38) / 20 + r.normal(0, 0.5, n)
    df["rich"] = np.where(score > 0.3, "yes", "no")
    return df


def table_loaders(df, cats=("job",), conts=("age", "hours")):
    from minifast.tabular.frames import TabularPandas
    from minifast.tabular.procs import Categorify, FillMissing, Normalize
    n = len(df)
    to = TabularPandas(df, [Categorify, FillMissing, Normalize], list(cats), list(conts), "rich", splits=[range(n * 2 // 3), range(n * 2 // 3, n)])
    return to.dataloaders(bs=32)


@broken("a table column that is only known afterwards", "MF821")
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


@broken("categories of validation that training never saw", "MF827", "tip")
def _():
    df = table()
    df.loc[df.index[-60:], "job"] = "new"
    return table_loaders(df)


@broken("texts of which half the words are unknown", "MF836")
def _():
    x, y = tokens()
    x[:, ::2] = 0

    class Texts(TensorDataset):
        vocab = [["xxunk", "xxpad", *(f"w{i}" for i in range(28))], ["neg", "pos"]]
    return loaders(x, y, cls=Texts)


# -- healthy ------------------------------------------------------------------------------------------------------------------------
@healthy("classes from points")
def _():
    return classifier(metrics=accuracy, c=3)


@healthy("yes or no")
def _():
    x, y = points(classes=2)
    return classifier(mlp(out=1), BCEWithLogitsLossFlat(), x, y[:, None].float())


@healthy("several labels")
def _():
    x, _ = points()
    y = torch.stack([x[:, 0] + x[:, 1] > 0.3, x[:, 2] - x[:, 3] > 0, x[:, 1] * x[:, 4] > 0], 1).float()
    return classifier(mlp(), BCEWithLogitsLossFlat(), x, y)


@healthy("regression")
def _():
    return regressor(metrics=rmse)


@healthy("regression of absolute errors, SGD")
def _():
    return regressor(loss=L1LossFlat(), opt_func=partial(SGD, mom=0.9), lr=0.05)


@healthy("a regression loss of one's own")
def _():
    return regressor(loss=lambda p, t: (p - t).abs().pow(1.5).mean())


@healthy("a rating between 0 and 5")
def _():
    x, y = numbers()
    return regressor(mlp(out=1, last=SigmoidRange(-0.5, 5.5)), x=x, y=(y + 2.5).clamp(0, 5))


@healthy("convolutions and batch norm")
def _():
    return picture_learner()


@healthy("convolutions and group norm")
def _():
    return picture_learner(convnet(norm=partial(nn.GroupNorm, 4)))


@healthy("convolutions without norm")
def _():
    return picture_learner(convnet(norm=None))


class _Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.n1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.b, self.n2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        nn.init.zeros_(self.n2.weight)

    def forward(self, x):
        return F.relu(x + self.n2(self.b(F.relu(self.n1(self.a(x))))))


def _resnet():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), _Residual(8), _Residual(8),
                         nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))


@healthy("residual branches that start at 0")
def _():
    return picture_learner(_resnet())


@healthy("a head that starts at 0")
def _():
    model = mlp()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return classifier(model)


@healthy("a frozen body")
def _():
    learn = picture_learner(splitter=lambda m: [list(m[:3].parameters()), list(m[3:].parameters())], train_bn=False)
    learn.freeze()
    return learn


@healthy("a trained model")
def _():
    learn = classifier()
    with learn.no_bar(), learn.no_logging():
        learn.fit(4, 1e-2)
    return learn


@healthy("dropout and layer norm")
def _():
    torch.manual_seed(0)
    return classifier(nn.Sequential(nn.Linear(6, 64), nn.LayerNorm(64), nn.GELU(), nn.Dropout(0.3), nn.Linear(64, 3)))


@healthy("label smoothing")
def _():
    return classifier(loss=LabelSmoothingCrossEntropyFlat())


@healthy("focal loss")
def _():
    return classifier(loss=FocalLoss())


@healthy("MixUp")
def _():
    return picture_learner(cbs=MixUp())


@healthy("rare classes")
def _():
    x, y = points(n=300, classes=10)
    return classifier(mlp(out=3), x=x, y=(y > 7).long() + (y > 8).long())


@healthy("torch's own loaders and loss")
def _():
    x, y = points()
    dls = DataLoaders(TorchDataLoader(TensorDataset(x[:160], y[:160]), 32, shuffle=True), TorchDataLoader(TensorDataset(x[160:], y[160:]), 32))
    return Learner(dls, mlp(), nn.CrossEntropyLoss(), metrics=accuracy)


@healthy("two inputs")
def _():
    x, y = points()
    torch.manual_seed(0)
    model = Model(lambda s, a, b: s.head(torch.relu(s.a(a) + s.b(b))), a=nn.Linear(3, 32), b=nn.Linear(3, 32), head=nn.Linear(32, 3))
    return classifier(model, x=(x[:, :3], x[:, 3:]), y=y)


@healthy("batches that are dicts")
def _():
    x, y = points()

    class Dicts(Dataset):
        def __init__(self, a, b):
            self.a, self.b = a, b

        def __len__(self):
            return len(self.a)

        def __getitem__(self, i):
            return {"x": self.a[i], "labels": self.b[i]}

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return self.net(x)

    dls = DataLoaders(DataLoader(Dicts(x[:160], y[:160]), bs=32, shuffle=True), DataLoader(Dicts(x[160:], y[160:]), bs=32))
    return Learner(dls, Named(), CrossEntropyLossFlat())


@healthy("texts: embedding and LSTM")
def _():
    torch.manual_seed(0)
    x, y = tokens()
    model = Model(lambda s, x: s.head(s.rnn(s.emb(x))[0][:, -1]), emb=nn.Embedding(30, 24), rnn=nn.LSTM(24, 32, batch_first=True),
                  head=nn.Linear(32, 2))
    return Learner(loaders(x, y), model, CrossEntropyLossFlat())


@healthy("texts: transformer")
def _():
    torch.manual_seed(0)
    x, y = tokens()
    model = Model(lambda s, x: s.head(s.body(s.emb(x)).mean(1)), emb=nn.Embedding(30, 16),
                  body=nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), head=nn.Linear(16, 2))
    return Learner(loaders(x, y), model, CrossEntropyLossFlat())


@healthy("a language model", causal=True)
def _():
    torch.manual_seed(0)
    x = tokens()[0]
    model = Model(lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(30, 24), rnn=nn.GRU(24, 32, batch_first=True), head=nn.Linear(32, 30))
    return Learner(loaders(x[:, :-1], x[:, 1:]), model, CrossEntropyLossFlat())


@healthy("time series")
def _():
    torch.manual_seed(0)
    t = torch.linspace(0, 6.28, 40)
    y = torch.randint(0, 2, (240,), generator=rng(2))
    x = torch.sin(t * (1 + y[:, None]) + 6 * torch.rand(240, 1, generator=rng(3)))[:, None] + 0.2 * torch.randn(240, 1, 40, generator=rng(4))
    model = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(),
                          nn.Linear(64, 2))
    return Learner(loaders(x, y), model, CrossEntropyLossFlat())


@healthy("segmentation")
def _():
    torch.manual_seed(0)
    x, _ = shapes(n=80)
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1))
    return Learner(loaders(x, (x[:, 0] > 1).long(), n_train=56, bs=16), model, CrossEntropyLossFlat(axis=1))


@healthy("autoencoder")
def _():
    torch.manual_seed(0)
    x, _ = shapes(n=80)
    model = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1), nn.ReLU(),
                          nn.Conv2d(16, 1, 3, padding=1))
    return Learner(loaders(x, x, n_train=56, bs=16), model, MSELossFlat())


@healthy("collaborative filtering")
def _():
    torch.manual_seed(0)
    users, items = torch.randint(0, 20, (400,), generator=rng(1)), torch.randint(0, 25, (400,), generator=rng(2))
    taste = torch.randn(20, 3, generator=rng(3)), torch.randn(25, 3, generator=rng(4))
    y = ((taste[0][users] * taste[1][items]).sum(1).clamp(-2.4, 2.4) + 3)
    model = Model(lambda s, u, i: s.range((s.u(u) * s.i(i)).sum(1) + s.bu(u)[:, 0] + s.bi(i)[:, 0]), u=nn.Embedding(20, 8), i=nn.Embedding(25, 8),
                  bu=nn.Embedding(20, 1), bi=nn.Embedding(25, 1), range=SigmoidRange(0, 6))
    return Learner(loaders((users, items), y, n_train=300), model, MSELossFlat(), opt_func=Adam, lr=5e-3)


@healthy("a table")
def _():
    from minifast.tabular.learner import tabular_learner
    return tabular_learner(table_loaders(table()), layers=[32, 16], metrics=accuracy)


@healthy("pictures in folders, xresnet")
def _(folder):
    from minifast.vision.all import vision_learner  # noqa: F401
    dls = image_loaders(picture_files(folder, per_class=24))
    return Learner(dls, convnet(out=2, c_in=3), CrossEntropyLossFlat(), metrics=accuracy)
