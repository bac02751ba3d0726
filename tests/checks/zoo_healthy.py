"""Healthy set-ups of every kind."""
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset
from zoo import (
    Model,
    classifier,
    convnet,
    healthy,
    image_files,
    image_learner,
    image_loaders,
    loaders,
    mlp,
    numbers,
    points,
    ragged,
    regressor,
    rng,
    shapes,
    table,
    table_loaders,
    text_loaders,
    tokens,
    trained,
)

from minifast.callbacks.mix import MixUp
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy, rmse
from minifast.nn.activations import SigmoidRange
from minifast.nn.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    FocalLoss,
    L1LossFlat,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)
from minifast.optim.optimizers import SGD, Adam


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


@healthy("regression with absolute errors, SGD")
def _():
    return regressor(loss=L1LossFlat(), opt_func=partial(SGD, mom=0.9), lr=0.05)


@healthy("a custom regression loss")
def _():
    return regressor(loss=lambda p, t: (p - t).abs().pow(1.5).mean())


@healthy("a rating between 0 and 5")
def _():
    x, y = numbers()
    return regressor(mlp(out=1, last=SigmoidRange(-0.5, 5.5)), x=x, y=(y + 2.5).clamp(0, 5))


@healthy("convolutions and batch norm")
def _():
    return image_learner()


@healthy("convolutions and group norm")
def _():
    return image_learner(convnet(norm=partial(nn.GroupNorm, 4)))


@healthy("convolutions without norm")
def _():
    return image_learner(convnet(norm=None))


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
    return image_learner(_resnet())


@healthy("a head that starts at 0")
def _():
    model = mlp()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return classifier(model)


@healthy("a frozen body")
def _():
    learn = image_learner(splitter=lambda m: [list(m[:3].parameters()), list(m[3:].parameters())], train_bn=False)
    learn.freeze()
    return learn


@healthy("a trained model")
def _():
    return trained(classifier(), 4)


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
    return image_learner(cbs=MixUp())


@healthy("rare classes")
def _():
    x, y = points(n=300, classes=10)
    return classifier(mlp(out=3), x=x, y=(y > 7).long() + (y > 8).long())


@healthy("torch's own loaders and loss")
def _():
    x, y = points()
    dls = DataLoaders(
        TorchDataLoader(TensorDataset(x[:160], y[:160]), 32, shuffle=True), TorchDataLoader(TensorDataset(x[160:], y[160:]), 32)
    )
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


@healthy("texts of different lengths, padded")
def _():
    torch.manual_seed(0)

    def mean_of_words(s, x):
        real = (x != 1)[..., None]
        return s.head((s.emb(x) * real).sum(1) / real.sum(1))

    model = Model(mean_of_words, emb=nn.Embedding(30, 24, padding_idx=1), head=nn.Linear(24, 2))
    return Learner(text_loaders(*ragged(), max_len=19), model, CrossEntropyLossFlat())


@healthy("a language model", causal=True)
def _():
    torch.manual_seed(0)
    x = tokens()[0]
    model = Model(
        lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(30, 24), rnn=nn.GRU(24, 32, batch_first=True), head=nn.Linear(32, 30)
    )
    return Learner(loaders(x[:, :-1], x[:, 1:]), model, CrossEntropyLossFlat())


@healthy("time series")
def _():
    torch.manual_seed(0)
    t = torch.linspace(0, 6.28, 40)
    y = torch.randint(0, 2, (240,), generator=rng(2))
    x = torch.sin(t * (1 + y[:, None]) + 6 * torch.rand(240, 1, generator=rng(3)))[:, None] + 0.2 * torch.randn(
        240, 1, 40, generator=rng(4)
    )
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
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1),
    )
    return Learner(loaders(x, x, n_train=56, bs=16), model, MSELossFlat())


@healthy("collaborative filtering")
def _():
    torch.manual_seed(0)
    users, items = torch.randint(0, 20, (400,), generator=rng(1)), torch.randint(0, 25, (400,), generator=rng(2))
    taste = torch.randn(20, 3, generator=rng(3)), torch.randn(25, 3, generator=rng(4))
    y = ((taste[0][users] * taste[1][items]).sum(1).clamp(-2.4, 2.4) + 3)
    model = Model(
        lambda s, u, i: s.range((s.u(u) * s.i(i)).sum(1) + s.bu(u)[:, 0] + s.bi(i)[:, 0]),
        u=nn.Embedding(20, 8),
        i=nn.Embedding(25, 8),
        bu=nn.Embedding(20, 1),
        bi=nn.Embedding(25, 1),
        range=SigmoidRange(0, 6),
    )
    return Learner(loaders((users, items), y, n_train=300), model, MSELossFlat(), opt_func=Adam, lr=5e-3)


@healthy("a table")
def _():
    from minifast.tabular.learner import tabular_learner
    return tabular_learner(table_loaders(table()), layers=[32, 16], metrics=accuracy)


@healthy("a trained table")
def _():
    from minifast.tabular.learner import tabular_learner
    torch.manual_seed(0)
    return trained(tabular_learner(table_loaders(table()), layers=[32, 16], metrics=accuracy), 4)


@healthy("trained with rare classes oversampled")
def _():
    x, y = points(n=400, classes=10)
    y = (y > 8).long()
    train, valid = TensorDataset(x[:260], y[:260]), TensorDataset(x[260:], y[260:])
    drawn = WeightedSampler(torch.where(y[:260] == 1, 9.0, 1.0))
    dls = DataLoaders(DataLoader(train, bs=32, sampler=drawn, split_idx=0), DataLoader(valid, bs=32, split_idx=1))
    return trained(Learner(dls, mlp(out=2), CrossEntropyLossFlat(), metrics=accuracy), 8)


@healthy("trained with class weights")
def _():
    x, y = points(n=400, classes=10)
    y = (y > 8).long()
    weighted = CrossEntropyLossFlat(weight=torch.tensor([1.0, 9.0]))
    return trained(classifier(mlp(out=2), weighted, x, y, metrics=accuracy), 8)


@healthy("a trained regression")
def _():
    return trained(regressor(metrics=rmse), 12)


@healthy("images in folders, xresnet")
def _(folder):
    from minifast.vision.all import vision_learner  # noqa: F401
    dls = image_loaders(image_files(folder, per_class=24))
    return Learner(dls, convnet(out=2, c_in=3), CrossEntropyLossFlat(), metrics=accuracy)
