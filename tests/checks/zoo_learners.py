"""Learners that are broken in one way each."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset
from zoo import Model, broken, classifier, convnet, image_learner, loaders, mlp, numbers, points, regressor, shapes, tokens

from minifast.callbacks.base import Callback, CancelStepException
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.base import AvgMetric
from minifast.nn.activations import SigmoidRange
from minifast.nn.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
)


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
    _, y = numbers()
    return regressor(y=y[:, 0], loss=F.mse_loss)


@broken("(n,1) against (n,) in a custom loss", "MF103")
def _():
    _, y = numbers()
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


@broken("no output for a class that the batch does not have", "MF104")
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
    model = mlp(out=1)
    with torch.no_grad():
        model[-1].weight.mul_(4)                    # so that some outputs are below 0, whatever the seed
        model[-1].bias.zero_()
    return classifier(model, nn.BCELoss(), x, y[:, None].float())


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


@broken("a loss of hard decisions", "MF108")
def _():
    return classifier(loss=lambda p, t: (p.argmax(1) != t).float().mean())


@broken("head replaced after the optimizer was made", "MF109")
def _():
    learn = classifier()
    learn.create_opt()
    learn.model[4] = nn.Linear(32, 3)
    return learn


@broken("splitter without the body", "MF109")
def _():
    return classifier(splitter=lambda m: list(m[4].parameters()))


@broken("dropout always active", "MF110")
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


@broken("prices in dollars as the target", "MF112")
def _():
    _, y = numbers(offset=180_000.0, scale=60_000.0)
    return regressor(y=y)


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
    return classifier(
        nn.Sequential(nn.Linear(6, 32, bias=False), nn.BatchNorm1d(32, track_running_stats=False), nn.ReLU(), nn.Linear(32, 3))
    )


@broken("attention over the batch axis (batch_first forgotten)", "MF201")
def _():
    torch.manual_seed(0)
    x, y = tokens()
    return Learner(
        loaders(x, y),
        Model(
            lambda s, x: s.head(s.body(s.emb(x)).mean(1)),
            emb=nn.Embedding(30, 16),
            body=nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0),
            head=nn.Linear(16, 2),
        ),
        CrossEntropyLossFlat(),
    )


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
    model = Model(
        lambda s, x: s.head(s.rnn(s.emb(x))[0]),
        emb=nn.Embedding(30, 16),
        rnn=nn.GRU(16, 16, batch_first=True, bidirectional=True),
        head=nn.Linear(32, 30),
    )
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
    return classifier(
        Model(lambda s, x: s.head(s.body(x).detach()), body=nn.Sequential(nn.Linear(6, 32), nn.ReLU()), head=nn.Linear(32, 3))
    )


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
    return image_learner(wd=0.1, wd_bn_bias=True)


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


@broken("inputs drowned in noise during training", "MF502")
def _():
    return classifier(Model(lambda s, x: s.net(x + (100 * torch.randn_like(x) if s.training else 0)), net=mlp()))


@broken("functional dropout without training=", "MF110")
def _():
    return classifier(Model(lambda s, x: s.net(nn.functional.dropout(x, 0.5)), net=mlp()))


@broken("random noise on validation items", "MF601")
def _():
    x, y = points()

    class Noisy(Dataset):
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i] + torch.randn(6) * 3, self.y[i]

    dls = DataLoaders(TorchDataLoader(Noisy(x[:160], y[:160]), 32, shuffle=True), TorchDataLoader(Noisy(x[160:], y[160:]), 32))
    return Learner(dls, mlp(), CrossEntropyLossFlat())


@broken("metric with the wrong direction", "MF603")
def _():
    def my_error(pred, y):
        return (pred.argmax(1) != y).float().mean()
    return classifier(metrics=AvgMetric(my_error, lower_is_better=False))
