"""Models of torchvision and timm, given to a learner as they are, need nothing of the user's to be loaded again."""
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import models

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.artifact import read, write
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.learner.libraries import library_model, recipe_of
from minifast.nn.losses import CrossEntropyLossFlat


def learner(model, path):
    ds = TensorDataset(torch.rand(8, 3, 32, 32), torch.arange(8) % 2)
    return Learner(DataLoaders(DataLoader(ds, bs=4), device="cpu"), model, CrossEntropyLossFlat(), path=path)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "mobilenet_v3_small", "fcn_resnet50"])
def test_the_builder_is_found(name):
    with torch.device("meta"):
        model = library_model("torchvision", name, 3)
        assert recipe_of(model).args == {"library": "torchvision", "name": name, "n_out": 3}


def other_head(m):
    m.fc = nn.Sequential(nn.Linear(512, 2))


def other_forward(m):
    m.forward = m.conv1.forward


@pytest.mark.parametrize("change", [
    other_head, other_forward, lambda m: m.half(), lambda m: setattr(m.layer1[0], "relu", nn.GELU()),
    lambda m: setattr(m.maxpool, "kernel_size", 5), lambda m: setattr(m, "threshold", 0.5), lambda m: setattr(m, "__class__", Own)])
def test_a_changed_model_is_the_users_own(change):
    with torch.device("meta"):
        model = models.resnet18(num_classes=2)
        change(model)
        assert recipe_of(model) is None


class Own(models.ResNet):
    pass


def test_settings_that_no_layer_shows_count_too():
    with torch.device("meta"):
        assert recipe_of(models.googlenet(num_classes=2, init_weights=False, transform_input=True)) is None
        assert recipe_of(models.resnet.ResNet(models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=2)).args["name"] == "resnet18"
        replaced = models.resnet18()
        replaced.fc = nn.Linear(512, 7)                     # as most people do
        assert recipe_of(replaced).args["n_out"] == 7
    assert recipe_of(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: nn.Sequential(m, nn.Linear(5, 2))], ids=["alone", "inside"])
def test_a_learner_is_loaded_without_objects(tmp_path, recwarn, wrap):
    learn = learner(wrap(models.squeezenet1_1(num_classes=5)), tmp_path)
    file = learn.export("model.pkl")
    assert not [w for w in recwarn if "your own code" in str(w.message)]
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_learner(file).model.eval()(x), learn.model.eval()(x))


@pytest.mark.parametrize("args", [("torchvision", "os", 2), ("torchvision", ["resnet18"], 2), ("timm", "hf-hub:some/model", 2),
                                  ("timm", "local-dir:/tmp", 2), ("torchvision", "resnet18", True), ("torchvision", "resnet18", 0),
                                  ("torchvision", "resnet18", 2, 1), ("os", "system", 2), ("torchvision", "resnet18", "2")])
def test_nothing_but_registered_names(args):
    if args[0] == "timm":
        pytest.importorskip("timm")
    with pytest.raises(ValueError, match="there is no model"):
        library_model(*args)


@pytest.mark.parametrize("forged", [{"name": "vit_b_16"}, {"n_out": 10**9}, {"name": "../x"}, {"weights": "DEFAULT"}])
def test_a_forged_file_is_refused(tmp_path, forged):
    file = learner(models.squeezenet1_1(num_classes=2), tmp_path).export("model.pkl")
    spec, weights = read(file)
    spec["model"]["args"].update(forged)
    write(spec, weights, file)
    with pytest.raises(ValueError, match="has more weights than the file|there is no model|unexpected keyword"):
        load_learner(file)


@pytest.mark.parametrize("name, n_in", [("resnet18", 3), ("vit_tiny_patch16_224", 1)])
def test_timm(name, n_in):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=4, in_chans=n_in)
        expected = {"library": "timm", "name": name, "n_out": 4, **({"n_in": n_in} if n_in != 3 else {})}
        assert recipe_of(model).args == expected
        assert recipe_of(timm.create_model(name, num_classes=4, in_chans=n_in, drop_rate=0.3)) is None
