"What the messages of `minifast.interpret` say to write."
import builtins

import pytest
from suggestions import told
from torch import nn
from torchvision import models
from workshop import extra, images, of_images

from minifast.interpret.cleaner import ImageClassifierCleaner
from minifast.interpret.grad_cam import class_activation, first_filters, grad_cam
from minifast.vision.all import *


def cats_and_dogs():
    return of_images(images(get_y=lambda i: ["cat", "dog"][i % 2]))


def test_items_without_targets():
    learn, items = cats_and_dogs(), [3, 4]
    dls = learn.dls
    with told("interpret/base.py", "needs items with targets; these have none. Give dl=dls.test_dl(items, with_labels=True)"):
        Interpretation.from_learner(learn, dl=dls.test_dl(items))
    assert len(Interpretation.from_learner(learn, dl=dls.test_dl(items, with_labels=True))) == 2


def test_cleaning(monkeypatch):
    cleaner = ImageClassifierCleaner(cats_and_dogs())
    with told("interpret/cleaner.py", "'keep', 'delete' or a class…"):
        cleaner.choose(0, "dgo")
    for choice in ("keep", "delete", "dog"):
        cleaner.choose(0, choice)
    found = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "ipywidgets":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    with told("interpret/cleaner.py", "with ipywidgets: pip install 'minifast[notebook]' or pip install ipywidgets. Without it, use "
              "select(), choose() and save()"):
        with monkeypatch.context() as patched:
            patched.setattr(builtins, "__import__", absent)
            cleaner.widget()
    assert "ipywidgets" in extra("notebook")                # pip install 'minifast[notebook]'
    cleaner.select("cat")
    cleaner.choose(0, "delete")
    assert cleaner.save().exists()


def convolutions():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_maps_of_one_place():
    model = convolutions()
    with told("interpret/grad_cam.py", "of more than one place for images of … x … pixels: give larger images, or layer="):
        grad_cam(model, torch.rand(2, 3, 3, 3))
    assert grad_cam(model, torch.rand(2, 3, 9, 9)).shape == (2, 4, 4)
    assert grad_cam(model, torch.rand(2, 3, 3, 3), layer=model[0]).shape == (2, 1, 1)


def test_layers_of_maps():
    model, x = convolutions(), torch.rand(2, 3, 9, 9)
    for layer in (model[-1], nn.ReLU()):
        with told("interpret/grad_cam.py", "Leave layer out, or give one before the pooling"):
            grad_cam(model, x, layer=layer)
        assert grad_cam(model, x).shape == (2, 4, 4)
        assert grad_cam(model, x, layer=model[1]).shape == (2, 4, 4)
    vit = models.VisionTransformer(image_size=16, patch_size=8, num_layers=1, num_heads=1, hidden_dim=4, mlp_dim=4, num_classes=2)
    with told("interpret/grad_cam.py", "or the tokens of a square of patches; … gave …. Leave layer out, or give one before the pooling"):
        grad_cam(vit, torch.rand(2, 3, 16, 16), layer=vit.heads)
    assert grad_cam(vit, torch.rand(2, 3, 16, 16), layer=vit.encoder).shape == (2, 2, 2)


def test_parts_of_scores():
    x, nf, n_out = torch.rand(2, 3, 9, 9), 4, 2
    body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
    model = nn.Sequential(body, create_head(nf, n_out))
    with told("interpret/grad_cam.py", "are computed in another way: use grad_cam, or …",
              "a head such as create_head(nf, n_out, lin_ftrs=[], concat_pool=False, first_bn=False)"):
        class_activation(model, x)
    assert grad_cam(model, x).shape == (2, 4, 4)
    head = create_head(nf, n_out, lin_ftrs=[], concat_pool=False, first_bn=False)
    assert class_activation(nn.Sequential(body, head), x).shape == (2, 4, 4)


@pytest.mark.parametrize("layer", [None, nn.Linear(2, 2)])
def test_filters(layer):
    with told("interpret/grad_cam.py", "filters are the weights of a layer such as nn.Conv2d; …: give one as layer="):
        first_filters(nn.Linear(2, 2), layer=layer)
    assert first_filters(nn.Linear(2, 2), layer=nn.Conv2d(3, 4, 3)).shape == (4, 3, 3, 3)
