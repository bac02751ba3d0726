"""Rows S1 to S6 of docs/silent-failures.md: normalisation of pretrained networks, and splits."""
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.splitters import GrandparentSplitter, RandomSplitter
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.learner import vision_learner
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.models.backbones import arch_meta
from minifast.vision.normalize import Normalize, imagenet_stats

FAMILIES = ["efficientnet_b0", "convnext_tiny", "swin_t", "mobilenet_v3_small", "regnet_y_400mf", "resnext50_32x4d", "wide_resnet50_2",
            "vgg16", "vit_b_16", "resnet18", "densenet121"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "16 pictures in train and 8 in valid, of two classes."
    root = tmp_path_factory.mktemp("pets")
    for split, n in (("train", 8), ("valid", 4)):
        for kind, colour in (("cat", (200, 10, 10)), ("dog", (10, 10, 200))):
            (root / split / kind).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (32, 32), colour).save(root / split / kind / f"{kind}{i}.png")
    return root


@pytest.fixture
def dls(folder):
    return ImageDataLoaders.from_folder(folder, item_tfms=Resize(32), bs=8, num_workers=0, device="cpu")


def mean_of(learn):
    return [t.mean.flatten().tolist() for t in learn.dls.valid.after_batch if isinstance(t, Normalize)]


def tiny(pretrained=False):
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@pytest.fixture
def weights(tmp_path):
    "Makes a file of weights of one of torchvision's networks."
    def make(name, **options):
        file = tmp_path / f"{name}.pth"
        torch.save(getattr(models, name)(**options).state_dict(), file)
        return file
    return make


def test_s01_pretrained_networks_get_the_statistics_of_their_weights(dls, weights, tmp_path):
    """Normalisation for pretrained networks.

    Elsewhere: the statistics are known for a fixed list of architectures; any other pretrained network silently gets unnormalised
    images.
    Here: mean and std come from the metadata of the weights, for every architecture of torchvision and timm. If the weights do not say,
    there is a warning: "nothing is normalised: which mean and std the weights of ... expect is not known".
    """
    assert [name for name in FAMILIES if arch_meta(name).stats != (list(imagenet_stats[0]), list(imagenet_stats[1]))] == []
    learn = vision_learner(dls, models.mobilenet_v3_small, weights=weights("mobilenet_v3_small"))
    assert mean_of(learn) == [pytest.approx(imagenet_stats[0])]
    torch.save(tiny().state_dict(), tmp_path / "tiny.pth")
    with pytest.warns(UserWarning, match=r"nothing is normalised: which mean and std the weights of tiny expect is not known.*"
                                         r"say vision_learner\(normalize=False\)"):
        vision_learner(dls, tiny, weights=tmp_path / "tiny.pth")


def test_s02_each_learner_normalises_for_itself(dls, weights):
    """Two learners on the same loaders.

    Elsewhere: the normalisation that the first learner adds stays in the shared loaders, and the second network is trained with the
    statistics of the first.
    Here: a learner adds its normalisation to a copy of the loaders, which share the datasets; yours stay unchanged.
    """
    first = vision_learner(dls, "squeezenet1_1", weights=weights("squeezenet1_1"))
    second = vision_learner(dls, "googlenet", weights=weights("googlenet", aux_logits=False, init_weights=False))
    assert mean_of(first) == [pytest.approx(imagenet_stats[0])] and mean_of(second) == [[0.5, 0.5, 0.5]]
    assert not any(isinstance(t, Normalize) for t in dls.valid.after_batch) and first.dls.train_ds is dls.train_ds


def test_s03_building_the_data_again_moves_no_item_into_training(folder):
    """Repeating a random split.

    Elsewhere: an unseeded random split is redrawn when the loaders are rebuilt, say for larger images, so most of the validation items
    have already been trained on and the accuracy is inflated.
    Here: `RandomSplitter()` is seeded and splits the same items the same way each time; `seed=None` asks for a new split.
    """
    block = DataBlock((ImageBlock(), CategoryBlock()), get_items=get_image_files, splitter=RandomSplitter(0.25), get_y=parent_label,
                      item_tfms=Resize(16))
    small = block.datasets(folder)
    large = block.new(item_tfms=Resize(32)).datasets(folder)
    again = ImageDataLoaders.from_folder(folder, valid_pct=0.25, item_tfms=Resize(8), bs=4, num_workers=0)
    assert list(small.valid.items) == list(large.valid.items) == list(again.valid_ds.items) and len(small.valid) == 6
    assert RandomSplitter(seed=None)(range(100)) != RandomSplitter(seed=None)(range(100))


def test_s04_splitting_takes_nothing_from_the_global_random_stream():
    """Seeding a split.

    Elsewhere: giving the splitter a seed reseeds the whole process, so every "random" run after it is the same one.
    Here: the split has a generator of its own and leaves the global random streams alone.
    """
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    RandomSplitter(seed=42)(range(50))
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_s05_an_empty_side_of_a_split_is_refused_with_the_names_there_are(folder):
    """A misspelt folder name.

    Elsewhere: if the name of the validation folder is misspelt, the validation set is empty; training runs, and the metrics are blank.
    Here: refused when the data are built: "no item lies two levels below a folder 'val'; did you mean 'valid'? Folders there: ...".
    """
    with pytest.raises(ValueError, match=r"no item lies two levels below a folder 'val'; did you mean 'valid'\? Folders there: 'train', "):
        GrandparentSplitter(valid_name="val")([Path(f"{s}/a/{i}.jpg") for s in ("train", "valid") for i in range(3)])
    with pytest.raises((ValueError, FileNotFoundError), match=r"'val'.*did you mean 'valid'"):
        ImageDataLoaders.from_folder(folder, valid="val", item_tfms=Resize(16))
    with pytest.raises(ValueError, match=r"leaves the validation set empty \(16 items; sizes \[16, 0\]\)"):
        DataBlock((ImageBlock(), CategoryBlock()), get_items=lambda p: get_image_files(p / "train"), get_y=parent_label,
                  splitter=lambda items: (range(16), [])).datasets(folder)


def test_s06_a_share_of_a_few_items_is_at_least_one():
    """Splitting very few items.

    Elsewhere: 20 % of four items is rounded down to none, and nothing is validated.
    Here: the validation set gets at least one item; a single item cannot be split: "cannot split 1 item into a training and a
    validation set".
    """
    assert [len(side) for side in RandomSplitter(0.2)(range(4))] == [3, 1]
    assert [len(side) for side in RandomSplitter(0.99)(range(2))] == [1, 1]
    with pytest.raises(ValueError, match="cannot split 1 item into a training and a validation set"):
        RandomSplitter(0.2)(range(1))
