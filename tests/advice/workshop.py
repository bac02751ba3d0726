"Small data and learners that the tests of suggestions share. Each call makes new ones, so that a test may spoil what it has."
import re
import warnings

import numpy as np
from torch import nn
from torch.utils.data import TensorDataset

from minifast.basics import *
from minifast.compat.fastai_names import MODULES
from minifast.compat.port import port_source
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage


def numbers(n=20, classes=3, **kwargs):
    "DataLoaders of 4 numbers and a class."
    x = torch.linspace(-1, 1, n * 4).view(n, 4)
    data = TensorDataset(x, torch.arange(n) % classes)
    return DataLoaders(DataLoader(data, bs=5, **({"shuffle": True} | kwargs)), DataLoader(data, bs=5))


def quiet(learn):
    "The learner, without a progress bar or lines of a log."
    learn.remove_cb(ProgressCallback)
    learn.logger = noop
    return learn


def learner(model=None, dls=None, loss_func=None, **kwargs):
    "A learner of three classes from 4 numbers, with one linear layer."
    return quiet(Learner(dls or numbers(), model or nn.Linear(4, 3), loss_func or CrossEntropyLossFlat(), **kwargs))


def image(i, size=8, cls=PILImage):
    "An image of one grey, lighter with each of `i` up to 12."
    return cls.create(np.full((size, size, 3), 20 * i, dtype=np.uint8))


def parity(i):
    return i % 2


def images(y=CategoryBlock, get_y=parity, x=ImageBlock, get_x=image, **kwargs):
    "DataLoaders of eight images (3, 8, 8) and two classes, or what `y` and `get_y` make of their numbers: two to validate."
    block = DataBlock((x, y), get_x=get_x, get_y=get_y, splitter=IndexSplitter([0, 1]), **kwargs)
    return block.dataloaders(list(range(8)), bs=3, num_workers=0)


def of_images(dls=None, model=None, **kwargs):
    "A learner of two classes from images of any size, with one linear layer."
    return learner(model or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), dls or images(), **kwargs)


class BodyHead(nn.Module):
    "A model of two layer groups."

    def __init__(self, n_in=4, n_out=3):
        super().__init__()
        self.body, self.head = nn.Linear(n_in, 6), nn.Linear(6, n_out)

    def forward(self, x):
        return self.head(self.body(x).relu())


def extra(name):
    "The packages that `pip install 'minifast[name]'` brings."
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    return set(re.findall(r'"([\w-]+)"', re.search(rf"^{name} = \[(.*)\]", text, re.M)[1]))


def wanted(name):
    "Import a name of fastai's from the module where fastai has it."
    path = next((path for path, names in MODULES.items() if name in names.split()), "torch_core")
    exec(f"from minifast.{path} import {name}", {})


_STARS = [f"from fastai.{room}.all import *" for room in ("vision", "tabular", "text")]


def noted(*lines):
    "Warn of what `minifast port` notes on lines of a program for fastai."
    for found in port_source("\n".join([*_STARS, *lines]))[1]:
        warnings.warn(found.text, stacklevel=2)
