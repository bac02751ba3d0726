"""Write small exported learners of this format version: `python tests/artifacts/make_artifacts.py`. Those of older versions stay."""
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.core.seeds import set_seed
from minifast.learner.artifact import FORMAT
from minifast.tabular.all import TabularDataLoaders, tabular_learner
from minifast.vision.all import (
    BBoxBlock,
    BBoxLblBlock,
    CategoryBlock,
    DataBlock,
    ImageBlock,
    L1LossFlat,
    Learner,
    Normalize,
    RegressionBlock,
    Resize,
    aug_transforms,
    imagenet_stats,
)

HERE = Path(__file__).parent


def image():
    "The image that the learners of images predict."
    return Image.fromarray((np.arange(40 * 50 * 3) % 251).reshape(40, 50, 3).astype(np.uint8))


def table(n=60):
    "The rows that the learners of tables predict."
    i = np.arange(n)
    return pd.DataFrame({"kind": np.array(list("xyz"))[i % 3], "size": np.where(i % 7 == 0, np.nan, i % 10 / 3.0), "age": i % 5 * 1.5,
                         "label": np.array(["no", "yes"])[i % 2], "price": i / 7.0})


def ratings(n=60):
    "The ratings that the learner of ratings predicts."
    i = np.arange(n)
    return pd.DataFrame({"user": i % 5, "item": np.array(list("abcd"))[i % 4], "rating": i % 5 + 0.5})


def learners():
    "`{name: a small learner}`."
    images = [image()] * 6
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    tfms = [*aug_transforms(size=28), Normalize.from_stats(*imagenet_stats)]
    labels = iter(["cat", "dog"] * 3)
    dls = DataBlock((ImageBlock, CategoryBlock(vocab=["cat", "dog"])), get_y=lambda o: next(labels, "cat"), item_tfms=Resize(32),
                    batch_tfms=tfms).dataloaders(images, bs=2, device="cpu", num_workers=0)
    yield "image", Learner(dls, net), [image()]
    dls = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock(["cat", "dog"])), n_inp=1, item_tfms=Resize(32), batch_tfms=tfms,
                    getters=[None, lambda o: [[2, 3, 20, 30], [5, 5, 40, 25]], lambda o: ["cat", "dog"]],
                    ).dataloaders(images, bs=2, device="cpu", num_workers=0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    yield "boxes", Learner(dls, net, loss_func=L1LossFlat()), [image()]
    df = table()
    columns = {"cat_names": ["kind"], "cont_names": ["size", "age"], "bs": 16, "device": "cpu"}
    yield "table", tabular_learner(TabularDataLoaders.from_df(df, y_names="label", **columns), [8]), df
    yield "prices", tabular_learner(TabularDataLoaders.from_df(df, y_names="price", y_block=RegressionBlock, **columns), [8],
                                    y_range=(0, 10)), df
    yield "ratings", collab_learner(CollabDataLoaders.from_df(ratings(), bs=16, device="cpu"), 4, y_range=(0, 5.5)), ratings()


if __name__ == "__main__":
    expected = {}
    for name, learn, items in learners():
        set_seed(1)
        with learn.no_bar(), learn.no_logging():
            for p in learn.model.parameters():
                torch.nn.init.normal_(p)
            expected[name] = learn.get_preds(dl=learn.dls.test_dl(items))[0].double().tolist()
        learn.export((HERE / f"v{FORMAT}_{name}.pkl").absolute())
    (HERE / f"v{FORMAT}_expected.json").write_text(json.dumps(expected))
