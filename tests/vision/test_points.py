"""Key points move with the pixels they are on: through every item and batch transform, to the model and back to be shown."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from minifast.core.seeds import item_rng
from minifast.data import coords
from minifast.data.block import DataBlock
from minifast.data.pipeline import Pipeline, as_transform
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat
from minifast.vision.augment.affine import AffineWarp
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from minifast.vision.augment.item import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, RatioResize, Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage, PILImageBW, TensorImage
from minifast.vision.points import PointBlock, PointScaler, TensorPoint

# -- item transforms: a bright spot lands where its point says --------------------------------------------------------------------

ITEM = [Resize((40, 56)), Resize((56, 40), "pad", pad_mode="zeros"), Resize((60, 30), "squish"), RandomResizedCrop(48, min_scale=0.6),
        RandomCrop((60, 70)), RandomCrop((100, 100)), CropPad((50, 90)), RatioResize(50), FlipItem(1.0), DihedralItem(),
        v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0), v2.RandomRotation(20), v2.RandomResizedCrop((48, 48), (0.6, 1)),
        v2.RandomPerspective(0.3, p=1), v2.Resize((40, 44)), v2.Compose([v2.RandomCrop((50, 52)), v2.RandomHorizontalFlip(1.0)])]


def spot(h, w, x, y):
    rows, columns = np.mgrid[0:h, 0:w] + 0.5
    return PILImageBW.create((255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 12)).astype(np.uint8))


def middle(im):
    "Where the spot is."
    a = np.asarray(im, dtype=float)
    a = a * (a > 0.3 * a.max())
    rows, columns = np.mgrid[0:a.shape[0], 0:a.shape[1]] + 0.5
    return (a * columns).sum() / a.sum(), (a * rows).sum() / a.sum()


@pytest.mark.parametrize("tfm", ITEM, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("split_idx", [0, 1])
def test_a_spot_and_its_point_land_together(tfm, split_idx):
    tfm, seen = as_transform(tfm), 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        h, w = (int(o) for o in rng.integers(64, 90, 2))
        x, y = rng.uniform(25, min(h, w) - 25, 2)
        im, p = Pipeline(tfm, split_idx)((spot(h, w, x, y), TensorPoint.create([[x, y]])), item_rng(seed))
        px, py = p[0].tolist()
        if 8 < px < im.size[0] - 8 and 8 < py < im.size[1] - 8:
            assert np.abs(np.subtract(middle(im), (px, py))).max() < 0.5
            seen += 1
        if p.canvas_size is not None:
            assert p.canvas_size == im.shape
    assert seen > 5


def test_exact_numbers():
    im, p = PILImage.create(np.zeros((60, 100, 3), np.uint8)), TensorPoint.create([[10, 20], [100, 60]])

    def after(tfm, split_idx=0, **kwargs):
        return Pipeline(tfm, split_idx)((im, p), item_rng(0))[1].tolist()

    assert after(FlipItem(1.0)) == [[90, 20], [0, 60]]
    assert after(Resize((30, 50), "squish")) == [[5, 10], [50, 30]]
    assert after(Resize(30), 1) == [[5 - 10, 10], [40, 30]]                                  # the centre of 50 x 30
    assert after(Resize((100, 100), "pad"), 1) == [[10, 40], [100, 80]]
    assert after(CropPad((80, 80))) == [[0, 30], [90, 70]]
    assert after(v2.RandomHorizontalFlip(1.0)) == [[90, 20], [0, 60]]
    turned = {tuple(DihedralItem().map_parts((im, p), _drawn(k))[1][0].tolist()) for k in range(8)}
    assert turned == {(10, 20), (90, 20), (10, 40), (20, 90), (90, 40), (40, 10), (20, 10), (40, 90)}


def _drawn(k):
    from functools import partial
    return partial(DihedralItem().encodes, k=k)


def test_points_follow_the_upright_picture(tmp_path):
    "Points are relative to the image as it is seen, not as its camera stored it."
    a = np.zeros((40, 60, 3), np.uint8)
    a[5:8, 50:53] = 255
    for orientation, turn in ((6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180), (5, Image.Transpose.TRANSPOSE)):
        stored = Image.fromarray(a).transpose(turn)
        exif = stored.getexif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "a.png", exif=exif.tobytes())
        sample = PILImage.create(tmp_path / "a.png"), TensorPoint.create([51.5, 6.5])
        im, p = Pipeline([Resize((20, 30), "squish"), PointScaler()], 1)(sample)
        x, y = coords.in_pixels(p)[0].tolist()
        assert (x, y) == pytest.approx((51.5 / 2, 6.5 / 2)) and np.asarray(im)[int(y), int(x)].min() > 100


# -- batch transforms: sampled where the point is, the image says where it was ----------------------------------------------------

BATCH = [Flip(1.0), Dihedral(1.0), Rotate(30, 1.0), Zoom(0.8, 1.5, 1.0), Scale(0.4, 1.0), Warp(0.3, 1.0),
         RandomResizedCropGPU((50, 60), 0.5),
         AffineWarp([Flip(), Warp(0.2, 1.0), Rotate(20, 1.0), Zoom(p=1.0)], size=(64, 40)),
         AffineWarp([Rotate(20, 1.0, align_corners=False)], size=(20, 24), align_corners=False),
         AffineWarp([Flip(), Rotate(20, 1.0)], size=(20, 24)), AffineWarp(size=(33, 21))]


def where_map(n, h, w):
    "Images whose two channels hold the coordinates, -1 to 1, of each pixel."
    y = ((torch.arange(h) * 2 + 1) / h - 1).view(1, 1, h, 1).expand(n, 1, h, w)
    x = ((torch.arange(w) * 2 + 1) / w - 1).view(1, 1, 1, w).expand(n, 1, h, w)
    return torch.cat([x, y], 1).double()


@pytest.mark.parametrize("tfm", BATCH, ids=repr)
@pytest.mark.parametrize("split_idx", [0, 1])
@pytest.mark.parametrize("as_pixels", [False, True])
def test_batches(tfm, split_idx, as_pixels):
    n, h, w = 16, 60, 72
    images = TensorImage(where_map(n, h, w))
    torch.manual_seed(0)
    where = torch.rand(n, 40, 2) * 1.2 - 0.6
    points = TensorPoint.create(where.reshape(-1, 2), img_size=(h, w))
    points = coords.with_attributes(where if not as_pixels else coords.unscale_coords(where, (h, w)), points, scaled=not as_pixels)
    out, moved = Pipeline(tfm, split_idx)((images, points), item_rng(5))
    assert isinstance(moved, TensorPoint)
    assert moved.canvas_size == tuple(out.shape[-2:])
    moved = coords.scale_coords(moved.as_subclass(torch.Tensor), out.shape[-2:]) if as_pixels else moved.as_subclass(torch.Tensor)
    inside = moved.abs().amax(-1) < 0.85
    assert inside.sum() > 200
    found = F.grid_sample(out.as_subclass(torch.Tensor), moved[:, None].double(), align_corners=False)[:, :, 0].movedim(1, -1)
    # in pixels of the result; where an image is made smaller it is smoothed, which is not the same everywhere
    assert (found - where)[inside].abs().max() < (0.02 if tfm.size is None else 0.1) * 2 / min(out.shape[-2:])


def test_a_thousand_draws_of_corners():
    "The corners of a bright rectangle, moved as points, lie on the corners of the moved rectangle."
    tfm = AffineWarp([Flip(), Warp(0.2, 0.75), Rotate(10, 0.75), Zoom(p=0.75)])
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:44, 16:48] = 1
    corner = torch.tensor([[16.0, 20], [48, 20], [48, 44], [16, 44]]) / 32 - 1
    points = coords.with_attributes(corner.expand(1000, 4, 2), TensorPoint.create(corner, (64, 64)), scaled=True)
    out, moved = tfm((TensorImage(image.expand(1000, 1, 64, 64)), points), 0, item_rng(1))
    polygon = coords.unscale_coords(moved.as_subclass(torch.Tensor), (64, 64))
    edge = polygon.roll(-1, 1) - polygon
    area = 0.5 * (polygon[..., 0] * polygon.roll(-1, 1)[..., 1] - polygon.roll(-1, 1)[..., 0] * polygon[..., 1]).sum(1)
    edge = edge * area.sign()[:, None, None]
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    away = torch.stack([columns, rows], -1)[None, :, :, None] - polygon[:, None, None]
    inwards = torch.stack([-edge[..., 1], edge[..., 0]], -1) / edge.norm(dim=-1, keepdim=True)
    depth = (away * inwards[:, None, None]).sum(-1).amin(-1)                # distance inside the polygon
    wrong = torch.where(out[:, 0].as_subclass(torch.Tensor) > 0.5, depth < -1, depth > 1)
    assert not wrong.any()


def test_torchvision_on_batches():
    points = coords.with_attributes(torch.tensor([[[0.5, -0.25]], [[-1.0, 0.0]]]), TensorPoint.create([0, 0], (10, 20)), scaled=True)
    x = TensorImage(torch.zeros(2, 3, 10, 20))
    _, moved = as_transform(v2.RandomHorizontalFlip(1.0))((x, points), 0, item_rng(0))
    assert torch.allclose(moved.as_subclass(torch.Tensor), torch.tensor([[[-0.5, -0.25]], [[1.0, 0.0]]]), atol=1e-6) and moved.scaled
    _, moved = as_transform(v2.Resize((5, 5)))((x, points), 0, item_rng(0))
    assert torch.allclose(moved.as_subclass(torch.Tensor), points.as_subclass(torch.Tensor), atol=1e-6) and moved.canvas_size == (5, 5)


# -- to the model and back --------------------------------------------------------------------------------------------------------

def test_create_and_scale():
    assert isinstance(TensorPoint.create([1, 2]), coords.KeyPoints)
    for source in ([[1, 2], [3, 4]], [1, 2, 3, 4], np.array([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 4]]), ((1, 2), (3, 4))):
        p = TensorPoint.create(source)
        assert p.tolist() == [[1, 2], [3, 4]] and p.dtype == torch.float32 and p.canvas_size is None
    im = PILImage.create(np.zeros((50, 200, 3), np.uint8))
    scaler = PointScaler()
    sample = im, TensorPoint.create([[0, 0], [200, 50], [100, 12.5]])
    scaled = scaler(sample)
    assert scaled[1].tolist() == [[-1, -1], [1, 1], [0, -0.5]] and scaled[1].canvas_size == (50, 200)
    assert scaler(scaled)[1] is scaled[1]                                     # scaled already
    assert scaler.decode(scaled)[1].tolist() == sample[1].tolist()
    flat = coords.with_attributes(scaled[1].as_subclass(torch.Tensor).flatten(), scaled[1])
    assert scaler.decode((TensorImage(torch.zeros(3, 50, 200)), flat))[1].tolist() == sample[1].tolist()


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"points are pairs \(x, y\); received .*3"):
        TensorPoint.create([1, 2, 3])
    with pytest.raises(ValueError, match="some are NaN or infinite"):
        TensorPoint.create([[1, float("nan")]])
    with pytest.raises(TypeError, match=r"points are pairs \(x, y\); received str 'a,b'"):
        TensorPoint.create("a,b")
    with pytest.raises(ValueError, match=r"these points or boxes belong to is not in the sample .*img_size=\(height, width\)"):
        FlipItem(1.0)((TensorPoint.create([1, 2]), 3))
    block = PointBlock().type_tfms[0]
    with pytest.raises(ValueError, match="item 1 of the training set has 2 points, others have 1"):
        block.setup([[1, 2], [1, 2, 3, 4]])


def test_without_keypoints_in_torchvision(monkeypatch):
    "torchvision before 0.23 has no such class: the stand-in keeps its attributes."
    import importlib.util
    monkeypatch.delattr(tv_tensors, "KeyPoints", raising=False)
    spec = importlib.util.spec_from_file_location("minifast.data.coords_old", coords.__file__)
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)
    p = old.KeyPoints([[1.0, 2.0]], canvas_size=(4, 8))
    moved = old.move_item(p, np.array([[2.0, 0, 0], [0, 2.0, 0]]), (8, 16))
    assert type(moved) is old.KeyPoints and moved.tolist() == [[2, 4]] and moved.canvas_size == (8, 16)


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    "24 images with a bright spot each, and where it is."
    root, rng, where = tmp_path_factory.mktemp("spots"), np.random.default_rng(0), {}
    for i in range(24):
        h, w = (int(o) for o in rng.integers(40, 60, 2))
        x, y = rng.uniform(8, 32, 2)
        spot(h, w, x, y).convert("RGB").save(root / f"{i:02}.png")
        where[f"{i:02}.png"] = (float(x), float(y))
    return root, where


def spot_dls(spots, y_first=False, **kwargs):
    root, where = spots

    def get_y(f):
        return where[f.name][::-1] if y_first else where[f.name]
    block = DataBlock((ImageBlock, PointBlock(y_first) if y_first else PointBlock), get_y=get_y, item_tfms=Resize(32), **kwargs)
    return block.dataloaders(sorted(root.iterdir()), bs=8, num_workers=0, device="cpu")


def test_from_files_to_pictures_and_back(spots):
    for y_first in (False, True):           # black beyond the edges: a reflected spot would count as well
        dls = spot_dls(spots, y_first, batch_tfms=aug_transforms(size=48, max_rotate=30, max_lighting=0, pad_mode="zeros"))
        assert dls.c == 2 and isinstance(dls.loss_func, MSELossFlat)
        for dl in dls:
            batch = dl.one_batch()
            assert batch[1].shape[1:] == (1, 2) and type(batch[1]) is torch.Tensor and batch[1].abs().max() < 3
            for im, p in dl.decode_batch(batch, max_n=8):
                assert isinstance(p, TensorPoint) and not p.scaled
                x, y = p[0].tolist()
                if 6 < x < 42 and 6 < y < 42 and y_first is False:
                    assert np.abs(np.subtract(middle(im[0]), (x, y))).max() < 1


def test_workers_and_show(spots):
    plt = pytest.importorskip("matplotlib.pyplot")
    dls = spot_dls(spots)
    one, two = dls.valid.new(num_workers=0), dls.valid.new(num_workers=2)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    dls.show_batch(max_n=4)
    axes = [a for a in plt.gcf().axes if a.images]
    assert len(axes) == 4 and all(len(a.collections) == 1 for a in axes)
    x, y = axes[0].collections[0].get_offsets()[0] + 0.5
    image = axes[0].images[0].get_array()[..., 0]
    assert np.abs(np.subtract(middle(image), (x, y))).max() < 0.6 or not (6 < x < 26 and 6 < y < 26)
    plt.close("all")


def test_it_learns_to_point(spots):
    torch.manual_seed(0)
    dls = spot_dls(spots)

    class Pointer(nn.Module):
        def __init__(self):
            super().__init__()
            self.sharp = nn.Parameter(torch.ones(()))

        def forward(self, x):
            share = (x[:, 0] * self.sharp * 4).flatten(1).softmax(1).view(-1, 32, 32)
            line = (torch.arange(32) * 2 + 1) / 32 - 1
            return torch.stack([(share.sum(1) * line).sum(1), (share.sum(2) * line).sum(1)], 1)

    learn = Learner(dls, Pointer())
    before = learn.validate()[0]
    learn.fit(8, 0.3)
    assert learn.validate()[0] < before / 4
    plt = pytest.importorskip("matplotlib.pyplot")
    learn.show_results(max_n=2)
    axes = [a for a in plt.gcf().axes if a.images]
    assert [len(a.collections) for a in axes] == [1] * 4
    plt.close("all")
    target, row, _ = learn.predict(sorted(spots[0].iterdir())[0])
    assert isinstance(target, TensorPoint) and torch.allclose((row + 1) * 16, target[0].as_subclass(torch.Tensor), atol=1e-4)


def test_real_head_poses(data_dir):
    import pandas as pd
    folder = data_dir / "biwi_sample_mini"
    if not folder.is_dir():
        pytest.skip("no head poses")
    centres = {r.fname: (r.c0, r.c1) for r in pd.read_csv(folder / "centers.csv").itertuples()}
    block = DataBlock((ImageBlock, PointBlock), get_y=lambda f: centres[f.name], item_tfms=Resize(64, "pad"), batch_tfms=aug_transforms())
    dls = block.dataloaders(sorted((folder / "images").iterdir()), bs=2, num_workers=0, device="cpu")
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2))
    learn = Learner(dls, model)
    learn.fit(1)
    assert np.isfinite(learn.validate()[0])
