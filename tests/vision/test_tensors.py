"""`TensorImage` and `TensorMask` are torchvision's classes that show themselves, and name what takes the place of fastai's methods."""
import copy
import pickle

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from minifast.vision.all import *

IMAGES = torch.rand(2, 3, 16, 16)


def test_an_image_shows_itself():
    image = TensorImage(torch.rand(3, 8, 6))
    ax = image.show(title="x")
    assert ax.get_title() == "x" and ax.images[0].get_array().shape == (8, 6, 3)
    assert TensorMask(torch.ones(8, 6).long()).show(ctx=ax) is ax and ax.images[1].get_alpha() == 0.5
    assert TensorPoint(torch.ones(2, 2)).show(ctx=ax) is ax and TensorBBox(torch.tensor([[1, 1, 2, 2]])).show(ctx=ax) is ax
    plt.close("all")


def test_they_are_torchvisions_classes_and_torchvisions_are_theirs():
    image, mask = TensorImage(IMAGES), TensorMask(torch.ones(2, 16, 16))
    assert isinstance(image, tv_tensors.Image) and isinstance(mask, tv_tensors.Mask)
    assert isinstance(tv_tensors.Image(IMAGES), TensorImage) and isinstance(tv_tensors.Mask(torch.ones(2, 2)), TensorMask)
    assert not isinstance(IMAGES, TensorImage) and not isinstance(mask, TensorImage) and not isinstance(image, TensorMask)
    assert type(v2.Resize(8)(image)) is TensorImage and type(v2.Resize(8)(mask)) is TensorMask

    class Own(TensorMask):
        pass

    assert not isinstance(mask, Own) and isinstance(Own(torch.ones(2, 2)), TensorMask)


def test_they_are_copied_and_pickled():
    for x in (TensorImage(IMAGES), TensorMask(torch.ones(2, 2))):
        for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert type(other) is type(x) and other.equal(x)


def test_every_transform_of_a_batch_keeps_the_class():
    class Seen(Transform):
        order = 200

        def encodes(self, x: TensorImage):
            seen.append(type(x))
            return x

    seen, norm = [], Normalize.from_stats(*imagenet_stats)
    for tfms in ([], [norm], [Flip(), norm], [v2.GaussianBlur(3)]):
        Pipeline([IntToFloatTensor(), *tfms, Seen()], 0)(TensorImage((IMAGES * 255).byte()))
    assert seen == [TensorImage] * 4
    assert type(norm.decode(norm(TensorImage(IMAGES)))) is TensorImage
    assert type(ToTensor()(PILImage.create(IMAGES[0]))) is TensorImage


BATCH = {"rotate": "draw=30, p=1.", "zoom": "draw=1.2, p=1.", "warp": "draw_x=-0.2, draw_y=0.2, p=1.", "flip_batch": "p=1.",
         "dihedral_batch": "p=1.", "brightness": "draw=0.7, p=1.", "contrast": "draw=0.7, p=1.", "saturation": "p=1.", "hue": "p=1.",
         "rrc": "8"}


@pytest.mark.parametrize("method", [*BATCH, "affine_coord", "lighting", "flip_lr", "dihedral", "crop_pad", "pca"])
def test_what_takes_the_place_of_a_method_is_named_and_works(method):
    import torchvision
    import torchvision.transforms.v2.functional
    x = TensorImage(IMAGES)
    with pytest.raises(AttributeError, match=method) as e:
        getattr(x, method)
    advice = [code for code in re.findall(r"`([^`]*)`", str(e.value)) if "(" in code]
    assert advice and not hasattr(x, method)
    names = {**globals(), "x": x if method != "pca" else torch.rand(9, 4), "height": 8, "width": 8, "func": noop, "k": 3, "size": 8,
             "mat": torch.eye(3)[None, :2].repeat(2, 1, 1), "torchvision": torchvision}
    for code in advice:
        done = eval(code.replace("...", BATCH.get(method, "")), names)
        assert done.shape[0] == len(names["x"]) and (method not in BATCH or type(done) is TensorImage)


def test_other_names_are_plain_errors():
    with pytest.raises(AttributeError, match="'TensorImage' object has no attribute 'nothing'$"):
        TensorImage(IMAGES).nothing


def test_pca_of_embeddings():
    x = torch.randn(20, 6)
    ours = TensorBase(x).pca(3)
    u = torch.linalg.svd((x - x.mean(0)).T)[0]
    assert torch.allclose(ours.abs().as_subclass(Tensor), ((x - x.mean(0)) @ u[:, :3]).abs(), atol=1e-5)
