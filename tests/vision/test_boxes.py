"""Boxes: moved with their images, cut at the edges, dropped with their labels, padded to batches, shown."""
import json

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from minifast.core.seeds import item_rng
from minifast.data import coords
from minifast.data.block import DataBlock
from minifast.data.coords import BoxLabels
from minifast.data.pipeline import Pipeline, as_transform
from minifast.data.splitters import IndexSplitter
from minifast.learner.learner import Learner
from minifast.nn.losses import L1LossFlat
from minifast.vision.augment.affine import AffineWarp
from minifast.vision.augment.batch import aug_transforms
from minifast.vision.augment.geometry import Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from minifast.vision.augment.item import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, RatioResize, Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.boxes import BBoxBlock, BBoxLblBlock, BoxNames, LabeledBBox, TensorBBox, bb_pad, get_annotations
from minifast.vision.images import PILImage, PILImageBW, TensorImage
from minifast.vision.points import PointScaler


def labels(*ids):
    return torch.tensor(ids).as_subclass(BoxLabels)


def frame(h, w, box):
    "An image that is white inside `box`."
    a = np.zeros((h, w), np.uint8)
    x1, y1, x2, y2 = box
    a[y1:y2, x1:x2] = 255
    return PILImageBW.create(a)


def extent(im):
    "The box around what is at least half white."
    rows, columns = np.nonzero(np.asarray(im) >= 128)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


ITEM = [Resize((40, 56)), Resize((56, 40), "pad", pad_mode="zeros"), Resize((60, 30), "squish"), RandomResizedCrop(48),
        RandomCrop((60, 70)), RandomCrop((90, 100)), CropPad((30, 40)), RatioResize(50), FlipItem(1.0), DihedralItem(),
        v2.RandomHorizontalFlip(1.0), v2.RandomResizedCrop((48, 48)), v2.RandomCrop((30, 32))]


@pytest.mark.parametrize("tfm", ITEM, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("split_idx", [0, 1])
def test_a_box_holds_what_it_held(tfm, split_idx):
    tfm, seen, gone = as_transform(tfm), 0, 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        h, w = (int(o) for o in rng.integers(60, 80, 2))
        x1, y1 = (int(o) for o in rng.integers(0, 40, 2))
        box = x1, y1, x1 + int(rng.integers(4, w - x1)), y1 + int(rng.integers(4, h - y1))
        sample = frame(h, w, box), TensorBBox.create([box]), labels(3)
        im, moved, ids = Pipeline(tfm, split_idx)(sample, item_rng(seed))
        found = extent(im)
        if found is None or moved[0, 2] - moved[0, 0] < 1 or moved[0, 3] - moved[0, 1] < 1:
            assert not moved.any() or (moved[0, 2:] - moved[0, :2]).min() < 1.1
            assert ids.tolist() == [0 if not moved.any() else 3]
            gone += 1
        else:
            assert np.abs(np.subtract(found, moved[0].tolist())).max() <= 0.75 and ids.tolist() == [3]
            seen += 1
    assert seen > 5


def test_exact_numbers():
    im, box = PILImage.create(np.zeros((60, 100, 3), np.uint8)), TensorBBox.create([[10, 20, 30, 40], [90, 0, 100, 10], [0, 0, 100, 60]])
    ids = labels(1, 2, 3)

    def after(tfm):
        return [o.tolist() for o in Pipeline(tfm, 1)((im, box, ids), item_rng(0))[1:]]

    assert after(Resize((30, 50), "squish"))[0] == [[5, 10, 15, 20], [45, 0, 50, 5], [0, 0, 50, 30]]
    cut = after(CropPad((60, 60)))                                  # columns 20 to 80
    assert cut == [[[0, 20, 10, 40], [0, 0, 0, 0], [0, 0, 60, 60]], [1, 0, 3]]
    padded = after(CropPad((100, 100)))
    assert padded[0] == [[10, 40, 30, 60], [90, 20, 100, 30], [0, 20, 100, 80]]
    scaled = PointScaler()(Pipeline(CropPad((60, 60)), 1)((im, box, ids), item_rng(0)))
    assert torch.allclose(scaled[1].as_subclass(torch.Tensor), torch.tensor([[-1, -1 / 3, -2 / 3, 1 / 3], [-1, -1, 1, 1]]))
    assert scaled[2].tolist() == [1, 3]                             # dropped with its label
    assert scaled[1].scaled and isinstance(scaled[1], TensorBBox) and isinstance(scaled[1], tv_tensors.BoundingBoxes)


BATCH = [Flip(1.0), Rotate(25, 1.0), Zoom(1.0, 1.6, 1.0), Scale(0.3, 1.0), Warp(0.3, 1.0), RandomResizedCropGPU(50, 0.3),
         AffineWarp([Flip(), Warp(0.2, 1.0), Rotate(20, 1.0), Zoom(p=1.0)], size=(64, 40))]


@pytest.mark.parametrize("tfm", BATCH, ids=lambda t: type(t).__name__)
def test_batches_are_hulls_of_corners(tfm):
    "A box after a transform is the hull of its corners moved as points, cut at the edges."
    from minifast.vision.points import TensorPoint
    torch.manual_seed(0)
    a = torch.rand(8, 5, 2, 2) * 2 - 1
    boxes = torch.cat([a.amin(2), a.amax(2)], -1)
    corner = coords.corners(boxes).flatten(1, 2)
    like_box, like_point = TensorBBox.create([0, 0, 1, 1], (60, 70)), TensorPoint.create([0, 0], (60, 70))
    sample = (TensorImage(torch.zeros(8, 1, 60, 70)), coords.with_attributes(boxes, like_box, scaled=True),
              coords.with_attributes(corner, like_point, scaled=True), torch.ones(8, 5, dtype=torch.int64).as_subclass(BoxLabels))
    _, moved, points, _ = tfm(sample, 0, item_rng(3))
    expected = coords.hulls(points.as_subclass(torch.Tensor).view(8, 5, 4, 2)).clamp(-1, 1)
    alive = coords.has_area(expected, moved.canvas_size)
    moved = moved.as_subclass(torch.Tensor)
    assert torch.allclose(moved[alive], expected[alive], atol=1e-5) and not moved[~alive].any()
    sample = sample[0], sample[1], sample[3]                                # labels right after their boxes
    assert torch.equal(tfm(sample, 0, item_rng(3))[2].as_subclass(torch.Tensor) == 1, alive)


def test_other_formats_and_pixels():
    "torchvision's own boxes, in pixels and of another format, are moved as well, and stay what they are."
    xywh = tv_tensors.BoundingBoxes([[10, 20, 20, 20]], format="XYWH", canvas_size=(60, 100))
    im = PILImage.create(np.zeros((60, 100, 3), np.uint8))
    _, moved = FlipItem(1.0)((im, xywh), 0, item_rng(0))
    assert moved.tolist() == [[70, 20, 20, 20]] and moved.format == xywh.format
    batch = coords.with_attributes(xywh.as_subclass(torch.Tensor)[None].float(), xywh)
    _, moved = Flip(1.0)((TensorImage(torch.zeros(1, 3, 60, 100)), batch), 0, item_rng(0))
    assert torch.allclose(moved.as_subclass(torch.Tensor), torch.tensor([[[70.0, 20, 20, 20]]]), atol=1e-4)
    scaled = PointScaler()((im, xywh))                              # for the model corners, whatever the format was
    assert torch.allclose(scaled[1].as_subclass(torch.Tensor), torch.tensor([[-0.8, -1 / 3, -0.4, 1 / 3]]))
    assert scaled[1].format == coords.XYXY and PointScaler().decode(scaled)[1].round().tolist() == [[10, 20, 30, 40]]


def test_pad():
    im = torch.zeros(3, 4, 4)
    like = TensorBBox.create([[0, 0, 1, 1]], (4, 4))
    two = coords.with_attributes(torch.tensor([[-1.0, -1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]), like, scaled=True)
    none = coords.with_attributes(torch.zeros(0, 4), like, scaled=True)
    samples = bb_pad([(im, two, labels(4, 5, 6)), (im, none, labels())])
    assert samples[0][1].tolist() == [[-1, -1, 0, 0], [0, 0, 1, 1]] and samples[0][2].tolist() == [4, 5]
    assert samples[1][1].tolist() == [[0, 0, 0, 0]] * 2 and samples[1][2].tolist() == [0, 0]
    assert all(isinstance(s[1], TensorBBox) and isinstance(s[2], BoxLabels) for s in samples)
    assert bb_pad([(im, none, labels())])[0][1].tolist() == [[0, 0, 0, 0]]                   # never without any
    assert bb_pad([(im, two, labels(4, 5, 6)), (im, none, labels())], pad_idx=9)[1][2].tolist() == [9, 9]
    with pytest.raises(TypeError, match="bb_pad takes the list of samples of a batch, each a tuple"):
        bb_pad(torch.zeros(2))


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"boxes are x1, y1, x2, y2, but in \[50.0, 10.0, 20.0, 30.0\].*\[x, y, x \+ width, y \+ height\]"):
        TensorBBox.create([[50, 10, 20, 30]])
    with pytest.raises(ValueError, match=r"boxes are x1, y1, x2, y2, the left upper and the right lower corner; received"):
        TensorBBox.create([1, 2, 3])
    with pytest.raises(ValueError, match="2 boxes, but 1 label: each box needs a label"):
        PointScaler()((PILImage.create(np.zeros((9, 9), np.uint8)), TensorBBox.create([[0, 0, 1, 1]] * 2), labels(1)))
    with pytest.raises(ValueError, match="2 boxes, but 1 labels"):
        LabeledBBox(TensorBBox.create([[0, 0, 1, 1]] * 2), ["a"])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    "20 images with 0 to 3 white rectangles, with names by their shape."
    root, rng, found = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0), {}
    for i in range(20):
        a = np.zeros((40, 50, 3), np.uint8)
        boxes = []
        for _ in range(i % 4):
            x, y, w, h = (int(o) for o in (*rng.integers(0, 30, 2), *rng.integers(5, 10, 2)))
            a[y:y + h, x:x + w] = 255
            boxes.append([x, y, x + w, y + h])
        PILImage.create(a).save(root / f"{i:02}.png")
        found[f"{i:02}.png"] = boxes, ["wide" if b[2] - b[0] > b[3] - b[1] else "high" for b in boxes]
    return root, found


def scene_dls(scenes, add_na=True, **kwargs):
    root, found = scenes
    block = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock(add_na=add_na)), n_inp=1, splitter=IndexSplitter([3, 7, 8]),
                      get_y=[lambda f: found[f.name][0], lambda f: found[f.name][1]], item_tfms=Resize(32, "squish"), **kwargs)
    return block.dataloaders(sorted(root.iterdir()), bs=6, num_workers=0, device="cpu")


def test_data_block(scenes):
    dls = scene_dls(scenes)
    assert list(dls.vocab) == ["#na#", "high", "wide"] and dls.c == 3 and dls.loss_func is None and dls.n_inp == 1
    x, boxes, ids = dls.valid.one_batch()
    assert x.shape == (3, 3, 32, 32) and boxes.shape == (3, 3, 4) and ids.shape == (3, 3) and ids.dtype == torch.int64
    assert {type(boxes), type(ids)} == {torch.Tensor} and ids[2].tolist() == [0, 0, 0] and not boxes[2].any()
    scale = torch.tensor([32 / 50, 32 / 40] * 2)
    for (_, shown, names), name in zip(dls.valid.decode_batch((x, boxes, ids)), ("03.png", "07.png", "08.png"), strict=True):
        expected, classes = scenes[1][name]
        assert list(names) == classes and isinstance(names, BoxNames)
        assert torch.allclose(shown.as_subclass(torch.Tensor), torch.tensor(expected).reshape(-1, 4) * scale, atol=1e-3)
    without = scene_dls(scenes, add_na=False)
    assert list(without.vocab) == ["high", "wide"] and without.valid.one_batch()[2][2].tolist() == [-100] * 3
    assert [list(s[2]) for s in without.valid.decode_batch(without.valid.one_batch())] == [scenes[1][f"{i:02}.png"][1] for i in (3, 7, 8)]


def test_augmented_batches_hold_what_they_held(scenes):
    dls = scene_dls(scenes, batch_tfms=aug_transforms(max_rotate=0, max_warp=0, max_zoom=1.6, p_affine=1, max_lighting=0, pad_mode="zeros"))
    for _ in range(5):
        x, boxes, ids = dls.train.one_batch()
        assert torch.equal(ids == 0, ~coords.has_area(boxes, (32, 32)))
        for image, shown, _ in dls.train.decode_batch((x, boxes, ids)):
            inside = torch.zeros(32, 32, dtype=torch.bool)
            for x1, y1, x2, y2 in shown.round().int().tolist():
                inside[max(y1 - 1, 0):y2 + 1, max(x1 - 1, 0):x2 + 1] = True
            assert not (image[0] > 0.5)[~inside].any()


def test_show(scenes):
    plt = pytest.importorskip("matplotlib.pyplot")
    dls = scene_dls(scenes)
    dls.valid.show_batch(max_n=3)
    axes = [a for a in plt.gcf().axes if a.images]
    assert [len(a.patches) for a in axes] == [3, 3, 0] and [len(a.texts) for a in axes] == [3, 3, 0]
    assert [t.get_text() for t in axes[0].texts] == scenes[1]["03.png"][1]
    x1, y1, x2, y2 = scenes[1]["03.png"][0][0]
    patch = axes[0].patches[0]
    assert patch.get_xy() == pytest.approx((x1 * 32 / 50 - 0.5, y1 * 32 / 40 - 0.5), abs=1e-3)
    assert (patch.get_width(), patch.get_height()) == pytest.approx(((x2 - x1) * 32 / 50, (y2 - y1) * 32 / 40), abs=1e-3)
    ax = LabeledBBox(TensorBBox.create([[1, 2, 3, 4], [5, 6, 7, 8]]), ["cat", "#na#"]).show()
    assert len(ax.patches) == 2 and [t.get_text() for t in ax.texts] == ["cat"]
    plt.close("all")


def test_get_annotations(tmp_path):
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "none.jpg"}, {"id": 3, "file_name": "b.jpg"}],
            "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
            "annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4], "category_id": 9},
                            {"image_id": 1, "bbox": [0, 0, 5, 5], "category_id": 7},
                            {"image_id": 3, "bbox": [0, 0, 1, 1], "category_id": 7}]}
    file = tmp_path / "train.json"
    file.write_text(json.dumps(coco))
    names, found = get_annotations(file, prefix="train/")
    assert names == ["train/a.jpg", "train/b.jpg"]
    assert found == [([[0, 0, 5, 5]], ["cat"]), ([[1, 2, 4, 6], [0, 0, 1, 1]], ["dog", "cat"])]
    assert get_annotations(file)[0] == ["a.jpg", "b.jpg"]
    file.write_text('{"images": []}')
    with pytest.raises(ValueError, match="is no COCO annotation file of boxes: it has no 'annotations', 'categories'"):
        get_annotations(file)


def test_one_box_per_picture_is_learnt(tmp_path):
    "A model that points at the one rectangle: boxes as a target of four numbers."
    torch.manual_seed(0)
    rng, found = np.random.default_rng(1), {}
    for i in range(16):
        x, y, w, h = (int(o) for o in (*rng.integers(0, 20, 2), *rng.integers(6, 12, 2)))
        found[f"{i:02}.png"] = x, y, x + w, y + h
        frame(32, 32, found[f"{i:02}.png"]).convert("RGB").save(tmp_path / f"{i:02}.png")
    block = DataBlock((ImageBlock, BBoxBlock), get_y=lambda f: [found[f.name]], item_tfms=FlipItem())
    dls = block.dataloaders(sorted(tmp_path.iterdir()), bs=8, num_workers=0, device="cpu")
    x, y = dls.one_batch()
    assert y.shape == (8, 1, 4)

    class Profiles(nn.Module):
        "Whether each row and each column has anything white in it."

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

        def forward(self, x):
            return self.body(torch.cat([x[:, 0].amax(1), x[:, 0].amax(2)], 1))

    learn = Learner(dls, Profiles(), loss_func=L1LossFlat())
    start = learn.validate()[0]
    learn.fit(20, 1e-2)
    assert learn.validate()[0] < start / 2
    plt = pytest.importorskip("matplotlib.pyplot")
    learn.show_results(max_n=2)
    assert [len(a.patches) for a in plt.gcf().axes if a.images] == [1] * 4
    plt.close("all")


def test_real_photos(data_dir):
    folder = data_dir / "coco_tiny"
    if not folder.is_dir():
        pytest.skip("no photos with boxes")
    files = sorted((folder / "images" / "val").iterdir())[:12]

    def read(f):
        w, h = PILImage.create(f).size
        file = folder / "labels_yolo" / "val" / f"{f.stem}.txt"
        rows = [list(map(float, line.split())) for line in file.read_text().splitlines()] if file.is_file() else []
        return [[(x - a / 2) * w, (y - b / 2) * h, (x + a / 2) * w, (y + b / 2) * h] for _, x, y, a, b in rows], [int(r[0]) for r in rows]

    block = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, get_y=[lambda f: read(f)[0], lambda f: read(f)[1]],
                      splitter=IndexSplitter([0, 1]), item_tfms=RandomResizedCrop(64, min_scale=0.5), batch_tfms=aug_transforms())
    _, boxes, ids = block.dataloaders(files, bs=5, num_workers=0, device="cpu").one_batch()
    assert boxes.shape[:2] == ids.shape and boxes.abs().max() <= 1 and torch.equal(ids == 0, ~coords.has_area(boxes, (64, 64)))
