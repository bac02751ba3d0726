"""Set-ups broken in capacity, evaluation and speed."""
import time

import torch
from PIL import Image
from torch.utils.data import TensorDataset
from zoo import Model, broken, classifier, convnet, image_files, image_loaders, loaders, mlp, points, rng, squares, table_loaders, trained

from minifast.data.transforms import Transform
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat


class Reversed(torch.autograd.Function):
    "The identity, with gradients of the wrong sign: what domain adaptation puts before its domain classifier."

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return -grad


class Slow(TensorDataset):
    "Items that take their time, as large images from a slow disk do."
    seconds = 0.01

    def __getitem__(self, i):
        time.sleep(self.seconds)
        return super().__getitem__(i)


class VerySlow(Slow):
    seconds = 0.04


@broken("a gradient reversal left at the end of the model", "MF501")
def _():
    return classifier(Model(lambda s, x: Reversed.apply(s.net(x)), net=mlp()))


@broken("inputs drowned in noise, so that they might as well be missing", "MF503", ignore=["MF502"])
def _():
    return classifier(Model(lambda s, x: s.net(x + (100 * torch.randn_like(x) if s.training else 0)), net=mlp()))


@broken("different class ids in validation", "MF504")
def _():
    x, y = points()
    y[160:] = (y[160:] + 1) % 3
    return trained(classifier(x=x, y=y), 25)


@broken("random labels, memorised", "MF504")
def _():
    x, y = points(n=600)
    return trained(classifier(mlp(hidden=64), x=x, y=y[torch.randperm(len(y), generator=rng(5))]), 40)


@broken("overfitted: more accurate than a guess, but overconfident", "MF504", "tip")
def _():
    x, y = points(n=600)
    lots = torch.randint(0, 3, (600,), generator=rng(6))
    y = torch.where(torch.rand(600, generator=rng(7)) < 0.5, lots, y)
    return trained(classifier(mlp(hidden=64), x=x, y=y), 40)


@broken("a network too small for the table", "MF504", "tip")
def _():
    from minifast.tabular.learner import tabular_learner
    torch.manual_seed(0)
    return trained(tabular_learner(table_loaders(squares(), (), ("a", "b", "c")), layers=[2], metrics=accuracy), 3)


@broken("each batch scaled by its own mean and standard deviation", "MF602")
def _(folder):
    class OwnScale(Transform):
        order = 99

        def encodes(self, x):
            return (x - x.mean()) / x.std() if x.is_floating_point() else x
    folder = image_files(folder, per_class=24)
    for k, file in enumerate(sorted(folder.rglob("*.jpg"))):                # some are darker than others
        with Image.open(file) as im:
            darker = im.point(lambda v, k=k: int(v * (0.3 + 0.7 * (k % 3) / 2)))
        darker.save(file)
    model = convnet(out=2, c_in=3)
    with torch.no_grad():
        model[-1].weight.mul_(3)                    # so that the outputs differ by more than a little, whatever the seed
    return Learner(image_loaders(folder, batch_tfms=OwnScale()), model, metrics=accuracy)


@broken("steps that wait for their items", "MF701", "tip")
def _():
    x, y = points()
    return Learner(loaders(x, y, cls=Slow), mlp(), CrossEntropyLossFlat())


@broken("25 items per second", "MF835", "tip")
def _():
    x, y = points()
    return loaders(x, y, cls=VerySlow)
