"""`vision_learner`: frozen body, layer groups, normalisation of its own, real transfer learning on real images."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision import models
from torchvision.transforms import v2

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.loaders import DataLoaders
from minifast.metrics.functions import accuracy
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage, PILImageBW
from minifast.vision.learner import cnn_learner, vision_learner
from minifast.vision.loaders import ImageDataLoaders
from minifast.vision.normalize import Normalize, imagenet_stats


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for kind in ("blue", "red"):
        (root / kind).mkdir()
        for i in range(10):
            a = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
            a[..., 0 if kind == "red" else 2] += 150
            Image.fromarray(a).save(root / kind / f"{i}.png")
    return root


@pytest.fixture
def dls(folder):
    return ImageDataLoaders.from_folder(folder, valid_pct=0.2, item_tfms=Resize(32), bs=8, num_workers=0, device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "squeeze.pth"
    torch.save(models.squeezenet1_1().state_dict(), file)
    return file


def trainable(learn):
    return [sum(p.requires_grad for p in g) for g in learn.splitter(learn.model)]


def normalisations(dls):
    return [t for t in dls.train.after_batch if isinstance(t, Normalize)]


def test_pretrained_is_frozen_and_normalised_in_a_copy(dls, weights):
    learn = vision_learner(dls, models.squeezenet1_1, weights=weights, metrics=accuracy)
    assert trainable(learn) == [0, 0, 6] and [len(g) for g in learn.splitter(learn.model)] == [14, 36, 6]
    assert normalisations(dls) == [] and len(normalisations(learn.dls)) == 1
    assert learn.dls.train_ds is dls.train_ds and learn.dls.valid.after_batch[-1] is normalisations(learn.dls)[0]
    mean, std = imagenet_stats
    assert normalisations(learn.dls)[0].mean.flatten().tolist() == pytest.approx(mean)
    plain, normed = dls.valid.one_batch()[0], learn.dls.valid.one_batch()[0]
    assert torch.allclose(normed, (plain - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1), atol=1e-5)
    learn.unfreeze()
    assert trainable(learn) == [14, 36, 6]


def test_pretrained_with_workers_that_persist(folder, weights):
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, item_tfms=Resize(32), bs=8, num_workers=1, persistent_workers=True,
                                       device="cpu", batch_tfms=Normalize())           # which looks at batches when they are made
    assert vision_learner(dls, models.squeezenet1_1, weights=weights).dls.train.num_workers == 1


def test_what_is_normalised_already_is_not_normalised_twice(dls, weights):
    first = vision_learner(dls, "squeezenet1_1", weights=weights)
    again = vision_learner(first.dls, "squeezenet1_1", weights=weights)
    assert again.dls is first.dls and len(normalisations(again.dls)) == 1                # normalised already


def test_what_adds_no_normalisation(dls, folder, weights):
    assert normalisations(vision_learner(dls, "squeezenet1_1", pretrained=False).dls) == []
    assert normalisations(vision_learner(dls, "squeezenet1_1", weights=weights, normalize=False).dls) == []
    theirs = ImageDataLoaders.from_folder(folder, valid_pct=0.2, item_tfms=Resize(32), bs=8, num_workers=0, device="cpu",
                                          batch_tfms=v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*imagenet_stats)]))
    assert vision_learner(theirs, "squeezenet1_1", weights=weights).dls is theirs
    grey = ImageDataLoaders.from_folder(folder, valid_pct=0.2, item_tfms=Resize(32), bs=8, num_workers=0, device="cpu", img_cls=PILImageBW)
    assert not vision_learner(grey, "squeezenet1_1", weights=weights, n_in=1).dls.train.after_batch[1:]
    images = torch.utils.data.TensorDataset(torch.rand(4, 3, 32, 32), torch.arange(4) % 2)
    torchs = DataLoaders(torch.utils.data.DataLoader(images), device="cpu")
    with pytest.warns(UserWarning, match="the loaders are not minifast's, so nothing is normalised here.*say normalize=False"):
        vision_learner(torchs, "squeezenet1_1", weights=weights, n_out=2, loss_func=nn.CrossEntropyLoss())


def test_from_random_weights(dls):
    learn = cnn_learner(dls, "resnet18", pretrained=False, metrics=accuracy)
    assert trainable(learn) == [30, 30, 6] and cnn_learner is vision_learner
    assert learn.model[1](torch.zeros(2, 512, 1, 1)).shape == (2, 2)


def test_the_learner_keeps_its_architecture(dls):
    for arch in (models.resnet18, "resnet18"):
        assert vision_learner(dls, arch, pretrained=False).arch is arch


@pytest.mark.parametrize("y_range", [[0, 2], torch.tensor([0.0, 2.0])], ids=repr)
def test_a_range_as_a_list_or_a_tensor(dls, y_range):
    learn = vision_learner(dls, models.resnet18, pretrained=False, n_out=1, y_range=y_range)
    assert (learn.model[1][-1].low, learn.model[1][-1].high) == (0, 2)


def test_arguments_reach_the_model_and_the_learner(dls, weights, tmp_path):
    learn = vision_learner(dls, "squeezenet1_1", weights=weights, n_out=7, lin_ftrs=[32], ps=0.1, y_range=(0, 5), concat_pool=False, cut=-1,
                           lr=0.01, wd=0.1, path=tmp_path, model_dir="m", loss_func=nn.MSELoss(), train_bn=False, moms=(0.9, 0.8, 0.9))
    out = learn.model.eval()(torch.zeros(2, 3, 32, 32))
    assert out.shape == (2, 7) and out.min() > 0 and out.max() < 5
    linear = [m for m in learn.model[1].modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(512, 32), (32, 7)]
    given = learn.lr, learn.wd, learn.path, learn.model_dir, learn.train_bn, learn.moms
    assert given == (0.01, 0.1, tmp_path, "m", False, (0.9, 0.8, 0.9))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2))
    assert vision_learner(dls, "squeezenet1_1", pretrained=False, custom_head=head).model[1] is head
    groups = vision_learner(dls, "resnet18", pretrained=False, cut=5).splitter
    assert len(groups(vision_learner(dls, "resnet18", pretrained=False, cut=5).model)) == 3
    one = vision_learner(dls, "resnet18", pretrained=False, splitter=lambda m: [list(m.parameters())])
    assert len(one.splitter(one.model)) == 1


def test_says_what_is_wrong(dls):
    with pytest.raises(TypeError, match=r"vision_learner takes an architecture .*received a model.*write Learner\(dls, model\)"):
        vision_learner(dls, models.squeezenet1_1())
    with pytest.raises(TypeError, match=r"does not take metric=function accuracy; did you mean 'metrics'"):
        vision_learner(dls, "squeezenet1_1", metric=accuracy)
    loader = torch.utils.data.DataLoader([(torch.zeros(3, 8, 8), torch.tensor(0.0))] * 4)
    with pytest.raises(ValueError, match="cannot tell from the data how many outputs the model needs: pass n_out="):
        vision_learner(DataLoaders(loader, device="cpu"), "squeezenet1_1", pretrained=False)


def test_it_learns(dls):
    torch.manual_seed(0)
    learn = vision_learner(dls, lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)), pretrained=False,
                           metrics=accuracy, lin_ftrs=[16], ps=0.0)
    learn.fit(10, 1e-2)
    assert learn.validate()[1] == 1


@pytest.mark.slow
def test_transfer_learning_on_real_pets(data_dir):
    "Cats against dogs with ImageNet's mobilenet: one pass of the head alone beats guessing (68%) by far."
    file = data_dir / "weights" / "mobilenet_v2-from-qnnpack.pth"
    path = data_dir / "pets_sample" / "images"
    if not file.is_file() or not path.is_dir():
        pytest.skip("no weights or images")
    torch.manual_seed(0)
    files = get_image_files(path)[::4]
    dls = ImageDataLoaders.from_name_func(path, files, lambda name: "cat" if name[0].isupper() else "dog", item_tfms=Resize(96), bs=4,
                                          num_workers=0, device="cpu")
    learn = vision_learner(dls, "mobilenet_v2", weights=file, metrics=accuracy, train_bn=False)
    learn.fit_one_cycle(1, 5e-3)
    assert learn.validate()[1] > 0.8


def test_predict_takes_whatever_holds_a_picture(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(4):
            Image.new("RGB", (20, 20), (60 * i, 40, 10)).save(tmp_path / label / f"{i}.png")
    dls = ImageDataLoaders.from_folder(tmp_path, valid_pct=0.25, item_tfms=Resize(16), num_workers=0, bs=4)
    learn = vision_learner(dls, "resnet18", pretrained=False)
    file = tmp_path / "a" / "2.png"
    im = Image.open(file)
    images = [str(file), file.read_bytes(), im, im.convert("RGBA"), np.array(im), PILImage.create(file)]
    expected = learn.predict(file)[2]
    for x in images:
        torch.testing.assert_close(learn.predict(x)[2], expected)


def test_one_head_for_several_targets_is_refused(folder):
    block = DataBlock((ImageBlock, CategoryBlock, CategoryBlock), n_inp=1, item_tfms=Resize(32),
                      get_y=[parent_label, lambda f: int(f.stem) % 3])
    dls = block.dataloaders(get_image_files(folder), bs=4, num_workers=0, device="cpu")
    with pytest.raises(ValueError, match=r"one target, and the data have several \(dls.c=\[2, 3\]\): pass n_out=5.*loss_func=f\(pred"):
        vision_learner(dls, models.resnet18, pretrained=False)

    def both(pred, kind, number):
        return F.cross_entropy(pred[:, :2], kind) + F.cross_entropy(pred[:, 2:], number)

    learn = vision_learner(dls, models.resnet18, pretrained=False, n_out=5, loss_func=both)
    learn.fit(1)
    assert learn.get_preds()[0].shape == (4, 5)
