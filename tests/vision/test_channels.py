"""Images whose channels do not fit the model are refused when the learner is made, without decoding any that do fit."""
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset, TensorDataset

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.splitters import RandomSplitter
from minifast.data.transforms import Transform
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.vision.blocks import ImageBlock
from minifast.vision.channels import check_channels
from minifast.vision.images import PILBase, PILImage, PILImageBW
from minifast.vision.learner import unet_learner, vision_learner
from minifast.vision.models.xresnet import xresnet18


class PILTransparent(PILBase):
    pixel_mode = "RGBA"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("grey")
    for kind in ("a", "b"):
        (root / kind).mkdir()
        for i in range(5):
            Image.new("L", (16, 16), i * 20).save(root / kind / f"{i}.png")
    return root


def loaders(folder, cls, **kwargs):
    block = DataBlock((ImageBlock(cls), CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(seed=0),
                      **kwargs)
    return block.dataloaders(folder, bs=4, num_workers=0, device="cpu")


def in_memory(channels, kind=DataLoader):
    ds = TensorDataset(torch.rand(8, channels, 32, 32), torch.arange(8) % 2)
    return DataLoaders(kind(ds, 4), kind(ds, 4), device="cpu")


ARGS = {"pretrained": False, "n_out": 2, "loss_func": CrossEntropyLossFlat()}


@pytest.mark.parametrize("make", [vision_learner, unet_learner])
@pytest.mark.parametrize(("cls", "channels"), [(PILImageBW, 1), (PILTransparent, 4)])
def test_pictures_of_another_class(folder, make, cls, channels):
    with pytest.warns(UserWarning, match=rf"images have {channels} channels?, so the first layer of the model takes .*n_in={channels}"):
        learn = make(loaders(folder, cls), "resnet18", **ARGS)
    assert next(m for m in learn.model.modules() if isinstance(m, nn.Conv2d)).in_channels == channels
    stream = torch.get_rng_state()
    with pytest.raises(ValueError, match=rf"{make.__name__}\(n_in=3\): the model would take images of 3 channels, those of the data have "
                                         rf"{channels}\. Write {make.__name__}\(\.\.\., n_in={channels}\)"):
        make(loaders(folder, cls), "resnet18", n_in=3, **ARGS)
    assert torch.equal(stream, torch.get_rng_state())


@pytest.mark.parametrize("kind", [DataLoader, TorchLoader])
@pytest.mark.parametrize("channels", [1, 4])
def test_tensors_in_memory(kind, channels):
    with pytest.raises(ValueError, match=rf"those of the data have {channels}\..*n_in={channels}\)"):
        vision_learner(in_memory(channels, kind), "squeezenet1_1", n_in=3, **ARGS)
    assert vision_learner(in_memory(channels, kind), "squeezenet1_1", n_in=channels, **ARGS).model[0][0][0].in_channels == channels


def test_a_dataset_of_ones_own():
    class Digits(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, i):
            return torch.rand(1, 32, 32), i % 2

    stream = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"those of the data have 1\..*n_in=1\), or open the images in colour"):
        vision_learner(DataLoaders(TorchLoader(Digits(), 4), device="cpu"), "squeezenet1_1", n_in=3, **ARGS)
    assert torch.equal(stream, torch.get_rng_state())


def test_colour_where_grey_is_wanted(folder):
    with pytest.raises(ValueError, match=r"vision_learner\(n_in=1\): .* images of 1 channel, .*n_in=3\), or .*PILImageBW"):
        vision_learner(loaders(folder, PILImage), "squeezenet1_1", n_in=1, **ARGS)


def test_what_fits_is_not_opened(folder, monkeypatch):
    dls = loaders(folder, PILImage)
    monkeypatch.setattr(DataLoaders, "one_batch", lambda self: pytest.fail("a batch was made"))
    monkeypatch.setattr(type(dls.train_ds), "__getitem__", lambda self, i: pytest.fail("an item was made"))
    check_channels("vision_learner", dls, 3)


def test_a_transform_may_change_the_channels(folder):
    def coloured(batch: torch.Tensor):
        return batch.expand(-1, 3, -1, -1) if batch.ndim == 4 else batch

    learn = vision_learner(loaders(folder, PILImageBW, batch_tfms=Transform(coloured, order=20)), "squeezenet1_1", **ARGS)
    assert learn.model[0][0][0].in_channels == 3


def test_a_model_of_ones_own_says_what_it_takes():
    def grey(pretrained=False):
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    learn = vision_learner(in_memory(1), grey, custom_head=head, **ARGS)
    assert learn.model(torch.rand(2, 1, 32, 32)).shape == (2, 2)
    with pytest.raises(ValueError, match="would take images of 1 channel, those of the data have 4"):
        vision_learner(in_memory(4), grey, custom_head=head, n_in=1, **ARGS)


def test_a_unet_with_a_range_begins_at_the_mean():
    def stepwise(pretrained=False):
        steps = [nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()) for i, o in ((3, 8), (8, 16))]
        return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1))

    torch.manual_seed(0)
    x = torch.randn(16, 3, 16, 16)
    y = torch.stack([x[:, 0] * 0.1 + 4, x[:, 1] * 0.1 - 0.5], 1)
    dls = DataLoaders(DataLoader(TensorDataset(x, y), 8), device="cpu")
    learn = unet_learner(dls, stepwise, pretrained=False, n_out=2, loss_func=MSELossFlat(), y_range=(-1, 5))
    with torch.no_grad():
        out = learn.model.train()(x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.tensor([4.0, -0.5]), atol=0.15, rtol=0)
    assert out.std((0, 2, 3)).max() < 0.6
    one = DataLoaders(DataLoader(TensorDataset(x, y[:, 0]), 8), device="cpu")                # maps without an axis of channels
    flat = unet_learner(one, stepwise, pretrained=False, n_out=1, loss_func=MSELossFlat(), y_range=(-1, 5))
    with torch.no_grad():
        assert float(flat.model.train()(x).mean()) == pytest.approx(4, abs=0.15)
    classes = DataLoaders(DataLoader(TensorDataset(x, (y[:, 0] > 4).long()), 8), device="cpu")
    middle = unet_learner(classes, stepwise, pretrained=False, n_out=2, loss_func=CrossEntropyLossFlat(axis=1), y_range=(-4, 4))
    with torch.no_grad():
        assert float(middle.model.train()(x).abs().mean()) < 1.5


def test_a_model_of_ones_own_is_fitted_too(folder):
    with pytest.warns(UserWarning, match="1 channel,"):
        learn = vision_learner(loaders(folder, PILImageBW), xresnet18, **ARGS)
    assert learn.model[0][0][0].in_channels == 1 and learn.validate()[0] > 0
