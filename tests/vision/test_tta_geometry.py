"""Predictions on augmented images, brought back to the plain ones before they are averaged."""
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from minifast.core.seeds import item_rng
from minifast.data import coords
from minifast.data.block import DataBlock, TransformBlock
from minifast.data.files import get_image_files
from minifast.data.pipeline import Pipeline
from minifast.learner.inference import tta_of_targets
from minifast.learner.learner import Learner
from minifast.vision.augment.affine import AffineWarp
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from minifast.vision.augment.item import RandomCrop
from minifast.vision.augment.lighting import Brightness
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILMask, TensorImage, ToTensor
from minifast.vision.loaders import SegmentationDataLoaders
from minifast.vision.points import PointBlock, TensorPoint
from minifast.vision.tta_geometry import inverse_grid, invert_masks, invert_points, recording, tta_boxes, tta_masks, tta_points


def smooth(n, h, w):
    g = torch.Generator().manual_seed(0)
    return nn.functional.interpolate(torch.rand(n, 2, 6, 6, generator=g), (h, w), mode="bicubic", align_corners=True)


def augmented(tfms, x, split_idx=0, seed=0):
    "`x` through `tfms`, and what was recorded."
    tfms = Pipeline(tfms, split_idx)
    with recording(tfms) as record:
        return tfms(TensorImage(x), item_rng(seed)).as_subclass(torch.Tensor), record


@pytest.mark.parametrize("tfm", [Flip(), Flip(1.0), Dihedral(1.0), AffineWarp([Flip(), Dihedral(1.0, draw=4)]), [Flip(), Dihedral()]])
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_symmetries_are_undone_exactly(tfm, size):
    x = torch.rand(9, 2, *size)
    out, record = augmented(tfm, x)
    back, seen = invert_masks(out, record)
    quarter_turns = size == (12, 20) and not (isinstance(tfm, Flip))       # these stretch an image that is not square
    if not quarter_turns:
        assert torch.allclose(back, x, atol=0 if isinstance(tfm, Flip) else 1e-5) and seen.all()        # a quarter turn is interpolated
    else:
        assert (back - x).abs().mean() < 0.25
    assert len(record) == 1 and record[0].matrix.shape == (9, 3, 3)


@pytest.mark.parametrize("tfm", [Rotate(30, 1.0), Zoom(1.2, 1.5, 1.0), Zoom(0.7, 0.9, 1.0), Scale(0.3, 1.0), Warp(0.3, 1.0),
                                 RandomResizedCropGPU((40, 44), 0.4),
                                 AffineWarp([Flip(), Warp(0.2, 1.0), Rotate(15, 1.0), Zoom(p=1.0)], size=(56, 40)),
                                 AffineWarp([Flip(), Rotate(15, 1.0)], align_corners=False),
                                 [Flip(1.0), Rotate(20, 1.0), Zoom(1.1, 1.2, 1.0)]])
def test_the_rest_by_interpolation(tfm):
    x = smooth(6, 48, 52)
    out, record = augmented(tfm, x)
    plain = [type(record[0])(np.tile(np.eye(3), (6, 1, 1)), (48, 52))]
    back, seen = invert_masks(out, record, plain)
    assert back.shape == x.shape and seen.shape == (6, 1, 48, 52) and seen.float().mean() > 0.2
    inner = -nn.functional.max_pool2d(-seen.float(), 5, 1, 2) > 0              # not next to what was out of sight
    assert ((back - x).abs() * inner).max() < 0.1 and ((back - x).abs() * inner).mean() < 0.01
    assert not seen.all() or isinstance(tfm, Zoom)


def test_points_come_back():
    torch.manual_seed(0)
    x = torch.rand(8, 1, 40, 60)
    where = torch.rand(8, 5, 2) * 2 - 1
    points = coords.with_attributes(where, TensorPoint.create([0, 0], (40, 60)), scaled=True)
    for tfm in (Flip(), [Flip(), Warp(0.2, 1.0)], AffineWarp([Rotate(30, 1.0), Zoom(p=1.0)], size=(20, 30))):
        pipeline = Pipeline(tfm, 0)
        with recording(pipeline) as record:
            moved = pipeline((TensorImage(x), points), item_rng(1))[1].as_subclass(torch.Tensor)
        assert not torch.allclose(moved, where, atol=0.01)
        assert torch.allclose(invert_points(moved, record), where, atol=1e-5)
        assert torch.allclose(invert_points(moved.flatten(1), record), where.flatten(1), atol=1e-5)


def test_relative_to_what_validation_sees():
    "With a crop in the batch transforms, the plain image is the central part: predictions come back to that."
    x = smooth(4, 48, 80)
    tfm = RandomResizedCropGPU((32, 32), 0.5, (1, 1))
    out, record = augmented(tfm, x)
    plain, plain_record = augmented(tfm, x, split_idx=1)
    back, seen = invert_masks(out, record, plain_record)
    assert back.shape == plain.shape
    inner = -nn.functional.max_pool2d(-seen.float(), 3, 1, 1) > 0
    assert ((back - plain).abs() * inner).max() < 0.06 and inner.any()


def test_inverse_grid():
    m = torch.eye(3)[None].clone()
    m[:, 0, 0] = -1
    grid, seen = inverse_grid(m, (2, 4))
    assert grid[0, 0, :, 0].tolist() == [0.75, 0.25, -0.25, -0.75] and grid[0, :, 0, 1].tolist() == [-0.5, 0.5] and seen.all()
    m[:, 0, 2] = 1
    assert inverse_grid(m, (2, 4))[1][0, 0].tolist() == [False, False, True, True]


def test_recording_is_for_its_block_only():
    tfm = Flip(1.0)
    x = TensorImage(torch.rand(2, 1, 4, 4))
    with pytest.raises(KeyError), recording(tfm) as record:
        tfm(x, 0, item_rng(0))
        tfm(x[:1].as_subclass(TensorImage), 0, item_rng(0))
        raise KeyError
    tfm(x, 0, item_rng(0))
    assert tfm.drawn is None and len(record) == 2 and len(record[1].matrix) == 1
    out = torch.rand(3, 1, 4, 4)
    assert torch.equal(invert_masks(out, record)[0], out.flip(-1))
    with recording([Flip(0.0), Brightness()]) as record:
        Flip(0.0)(x, 0, item_rng(0))
    assert len(record) == 0


def test_says_what_is_wrong():
    x = torch.rand(2, 1, 4, 4)
    _, record = augmented(Flip(1.0), x)
    with pytest.raises(ValueError, match="invert_masks: 3 predictions, but what was recorded is of 2 images"):
        invert_masks(torch.rand(3, 1, 4, 4), record)
    with pytest.raises(ValueError, match=r"predictions per pixel are floats \(N,C,H,W\); received float32\[2,5\]"):
        invert_masks(torch.rand(2, 5), record)
    with pytest.raises(TypeError, match="must be one tensor, of images of one size; received list"):
        invert_masks([x[0], x[1]], record)
    rotation = Pipeline([v2.RandomRotation(9)])
    with pytest.raises(ValueError, match=r"V2\(RandomRotation.* did to the images is not known"), recording(rotation):
        pass


# -- with a learner ---------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    "Images whose mask is where they are bright."
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    (root / "masks").mkdir()
    for i in range(10):
        m = (rng.random((4, 5)) > 0.5).repeat(8, 0).repeat(8, 1)
        Image.fromarray((m * 200 + 20).astype(np.uint8)).convert("RGB").save(root / f"{i}.png")
        Image.fromarray(m.astype(np.uint8)).save(root / "masks" / f"{i}.png")
    return root


class Brightness2(nn.Module):
    "Class 1 where it is bright: right for any image, however it is turned."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        score = (x[:, :1] - 0.5) * 20 * self.weight
        return torch.cat([-score, score], 1)


def test_tta_of_masks(scenes):
    torch.manual_seed(0)
    dls = SegmentationDataLoaders.from_label_func(scenes, get_image_files(scenes, recurse=False), lambda f: f.parent / "masks" / f.name,
                                                  codes=["dark", "bright"], valid_pct=0.5, bs=3, num_workers=0, device="cpu",
                                                  item_tfms=RandomCrop((32, 36)),
                                                  batch_tfms=aug_transforms(flip_vert=False, max_rotate=20, max_lighting=0.1))
    learn = Learner(dls, Brightness2())
    assert tta_of_targets(dls.valid) is tta_masks
    plain, targs = learn.get_preds()
    for beta in (0.25, 0.0):
        preds, again = tta_masks(learn, n=3, beta=beta)
        assert torch.equal(again, targs) and preds.shape == plain.shape
        assert torch.allclose(preds.sum(1), torch.ones(5, 32, 36), atol=1e-4)
        assert ((preds.argmax(1) == targs).float().mean()) > 0.97
        assert (preds - plain).abs().mean() < 0.06 and not torch.equal(preds, plain)
    (augmented, same), _ = tta_masks(learn, n=2, beta=None)
    assert torch.equal(same, plain) and augmented.shape == plain.shape
    high, _ = tta_masks(learn, n=2, use_max=True)
    assert (high >= plain).all()


def test_flips_alone_change_nothing(scenes):
    "A model that is right for mirrored images gives the same as without."
    dls = SegmentationDataLoaders.from_label_func(scenes, get_image_files(scenes, recurse=False), lambda f: f.parent / "masks" / f.name,
                                                  codes=["dark", "bright"], bs=3, num_workers=0, device="cpu", batch_tfms=Flip())
    learn = Learner(dls, Brightness2())
    assert torch.allclose(tta_masks(learn)[0], learn.get_preds()[0], atol=1e-6)


class Centre(nn.Module):
    "The centre of what is bright."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        share = (x[:, 0] > 0.5).float()
        share = share / share.sum((1, 2), keepdim=True)
        y, x = ((torch.arange(n) * 2 + 1) / n - 1 for n in share.shape[1:])
        return torch.stack([(share.sum(1) * x).sum(1), (share.sum(2) * y).sum(1)], 1) * self.weight


def test_tta_of_points(tmp_path):
    rng, where = np.random.default_rng(0), {}
    for i in range(8):
        a = np.zeros((40, 50, 3), np.uint8)
        x, y = (int(o) for o in (rng.integers(15, 32), rng.integers(15, 22)))
        a[y:y + 4, x:x + 4] = 255
        Image.fromarray(a).save(tmp_path / f"{i}.png")
        where[f"{i}.png"] = [x + 2, y + 2]
    block = DataBlock((ImageBlock, PointBlock), get_y=lambda f: where[f.name], batch_tfms=aug_transforms(max_lighting=0))
    dls = block.dataloaders(sorted(tmp_path.iterdir()), bs=3, num_workers=0, device="cpu")
    learn = Learner(dls, Centre())
    assert tta_of_targets(dls.train) is tta_points
    preds, targs = tta_points(learn, n=4, beta=0.0)
    assert (preds - targs[:, 0]).abs().max() < 0.02                       # 0.4 pixels
    with pytest.raises(ValueError, match="maximum of several coordinates"):
        tta_points(learn, use_max=True)
    with pytest.raises(ValueError, match="cannot average boxes"):
        tta_boxes(learn)
    bare = Learner(block.new(batch_tfms=[]).dataloaders(sorted(tmp_path.iterdir()), bs=3, num_workers=0, device="cpu"), Centre())
    with pytest.raises(ValueError, match=r"can only be mapped back from random batch transforms.*aug_transforms\(\)"):
        tta_points(bare)


def test_a_block_of_ones_own_says_how_masks_are_merged(scenes):
    "Without it, masks would be averaged although they do not lie on each other: that is refused, and the advice works."
    def loaders(**kwargs):
        block = DataBlock((ImageBlock, TransformBlock(type_tfms=PILMask.create, item_tfms=ToTensor(), **kwargs)), n_inp=1,
                          get_items=lambda p: get_image_files(p, recurse=False), get_y=lambda f: f.parent / "masks" / f.name,
                          batch_tfms=Flip())
        return block.dataloaders(scenes, bs=3, num_workers=0, device="cpu")

    learn = Learner(loaders(), Brightness2(), nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match=r"tta\(\) of TensorMask: .*TransformBlock\(..., tta=tta_masks\)"):
        learn.tta()
    told = Learner(loaders(tta=tta_masks), Brightness2(), nn.CrossEntropyLoss())
    assert torch.allclose(told.tta(n=2)[0], tta_masks(learn, n=2)[0], atol=1e-6)
