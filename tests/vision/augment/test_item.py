"""Item transforms: sizes and positions exactly, masks alike, deterministic for validation items."""
import numpy as np
import pytest
import torch
from PIL import Image

from minifast.core.seeds import item_rng
from minifast.data.pipeline import Pipeline
from minifast.vision.augment.item import (
    CropPad,
    DihedralItem,
    FlipItem,
    PadMode,
    RandomCrop,
    RandomResizedCrop,
    RatioResize,
    Resize,
    ResizeMethod,
    random_crop,
)
from minifast.vision.images import PILImage, PILImageBW, PILMask

H, W = 60, 90


@pytest.fixture
def ramp():
    "An image whose red is its column and green its row."
    a = np.zeros((H, W, 3), np.uint8)
    a[..., 0], a[..., 1] = np.arange(W), np.arange(H)[:, None]
    return PILImage.create(a)


@pytest.fixture
def pair(ramp):
    "The image and a mask with the same rows as class numbers."
    return ramp, PILMask.create(np.asarray(ramp)[..., 1])


def arr(im):
    return np.asarray(im).astype(int)


ALL = [Resize(32), Resize(32, "squish"), Resize((20, 40), "pad"), Resize((100, 100), "pad", "zeros"), Resize(32, pad_mode="border"),
       RandomResizedCrop(32), RandomCrop(32), RandomCrop((100, 20)), CropPad((70, 80)), CropPad((70, 200), "reflection"),
       CropPad(99, "border")]


@pytest.mark.parametrize("tfm", ALL, ids=repr)
@pytest.mark.parametrize("split_idx", [0, 1, None])
def test_size_class_and_split(tfm, split_idx, pair):
    h, w = tfm.size
    for sample in (pair, (PILImage.create(np.zeros((1, 300, 3), np.uint8)), PILMask.create(np.zeros((1, 300), np.uint8)))):
        x, m, y = tfm((*sample, "label"), split_idx, item_rng(1))
        assert type(x) is PILImage and type(m) is PILMask and y == "label"
        assert x.shape == m.shape == (h, w)
    twice = [tfm(pair, split_idx, item_rng(i)) for i in (1, 1)]
    assert twice[0] == twice[1]
    if split_idx == 1:
        assert tfm(pair, 1, item_rng(1)) == tfm(pair, 1, item_rng(2))


def test_size_is_height_then_width(ramp):
    assert Resize((20, 40))(ramp).size == (40, 20)
    assert Resize(20).size == (20, 20)
    assert Resize(np.int64(20)).size == (20, 20)
    assert Resize((H, W))(ramp, 1) is ramp


def test_crop_takes_the_centre_for_validation(ramp):
    got = arr(Resize(H)(ramp, 1))
    assert np.array_equal(got, arr(ramp)[:, 15:75])
    halved = Resize(H // 2)(ramp, 1)
    expected = ramp.crop((15, 0, 75, 60)).resize((30, 30), Image.Resampling.BILINEAR)
    assert np.abs(arr(halved) - arr(expected)).max() <= 1
    lefts = {int(arr(Resize(H)(ramp, 0, item_rng(i)))[0, 0, 0]) for i in range(30)}
    assert min(lefts) < 8 and max(lefts) > 22 and all(0 <= v <= 30 for v in lefts)


def test_squish_and_pad(ramp):
    squished = arr(Resize(30, ResizeMethod.Squish)(ramp, 1))
    assert squished[0, 0, 0] < 3 and squished[0, -1, 0] > 86 and squished[-1, 0, 1] > 57
    padded = arr(Resize(90, ResizeMethod.Pad, PadMode.Zeros)(ramp, 1))
    assert np.array_equal(padded[15:75], arr(ramp)) and not padded[:15].any() and not padded[75:].any()
    border = arr(Resize(90, "pad", "border")(ramp, 1))
    assert (border[:15] == arr(ramp)[0]).all() and (border[75:] == arr(ramp)[-1]).all()
    mirrored = arr(Resize(90, "pad", "reflection")(ramp, 1))
    assert mirrored[:16, 0, 1].tolist() == list(range(15, -1, -1))
    tops = {int((arr(Resize(90, "pad", "zeros")(ramp, 0, item_rng(i)))[:, 0, 1] == 0).argmin()) for i in range(30)}
    assert len(tops) > 5


def test_picture_and_mask_move_together(pair):
    for tfm in (Resize(40), RandomCrop(32), DihedralItem(), FlipItem(1.0), RandomResizedCrop(48, 0.5)):
        for i in range(5):
            x, m = tfm(pair, 0, item_rng(i))
            assert np.abs(arr(x)[..., 1] - arr(m)).max() <= (0 if type(tfm) in (RandomCrop, DihedralItem, FlipItem) else 2)
    big = pair[0].resize((W * 2, H * 2)), pair[1]                      # a mask at half the resolution
    x, m = Resize(30)(big, 0, item_rng(3))
    assert np.abs(arr(x)[..., 1] - arr(m)).max() <= 2
    noise = PILMask.create(np.random.default_rng(0).choice([0, 7, 200], (H, W)))
    for tfm in (Resize(33), Resize(200, "squish"), RandomResizedCrop(50), RatioResize(31), Resize(70, "pad")):
        assert set(np.unique(np.asarray(tfm(noise, 0, item_rng(0))))) <= {0, 7, 200}      # no class in between is invented


def test_random_resized_crop(ramp):
    widths, areas, aspects = [], [], []
    rng = item_rng(0)
    for _ in range(500):
        left, top, fw, fh = random_crop((H, W), rng, 0.25, 0.5, (3 / 4, 4 / 3))
        assert left >= 0 and top >= 0 and left + fw <= 1 + 1e-9 and top + fh <= 1 + 1e-9
        areas.append(fw * fh), aspects.append(fw * W / (fh * H)), widths.append(fw)
    assert 0.24 <= min(areas) < 0.27 and 0.48 < max(areas) <= 0.51
    assert 0.72 <= min(aspects) < 0.78 and 1.27 < max(aspects) <= 1.37
    whole = random_crop((10, 1000), rng, 0.9, 1.0, (3 / 4, 4 / 3))         # fits nowhere: the largest allowed, centred
    assert np.allclose(whole, [0.5 - 0.5 * 40 / 3 / 1000, 0, 40 / 3 / 1000, 1])
    got = arr(RandomResizedCrop(40, val_xtra=0.14)(ramp, 1))                            # 40 + 8, squished, then the centre
    squished = ramp.resize((48, 48), Image.Resampling.BILINEAR).crop((4, 4, 44, 44))
    assert np.abs(got - arr(squished)).max() <= 1
    assert RandomResizedCrop(40)((1, "no image"), 0, item_rng(0)) == (1, "no image")


def test_random_crop_and_crop_pad(ramp):
    assert np.array_equal(arr(RandomCrop((20, 30))(ramp, 1)), arr(ramp)[20:40, 30:60])
    corners = {tuple(arr(RandomCrop((58, 88))(ramp, 0, item_rng(i)))[0, 0, :2]) for i in range(200)}
    assert corners == {(x, y) for x in range(3) for y in range(3)}                      # every place, none outside
    padded = arr(CropPad((H + 10, W - 10))(ramp))
    assert np.array_equal(padded[5:-5], arr(ramp)[:, 5:-5]) and not padded[:5].any()
    assert CropPad(10).order == FlipItem().order == 0 and Resize(10).order == RandomCrop(10).order == 1


def test_ratio_resize(ramp):
    assert RatioResize(30)(ramp).size == (30, 20)
    assert RatioResize(30)(ramp.rotate(90, expand=True)).size == (20, 30)
    assert RatioResize(10)(PILImageBW.create(np.zeros((1, 300), np.uint8))).size == (10, 1)


def test_flips(ramp):
    a = arr(ramp)
    assert np.array_equal(arr(FlipItem(1.0)(ramp, 0, item_rng(0))), a[:, ::-1])
    assert FlipItem(1.0)(ramp, 1) is ramp and DihedralItem()(ramp, 1) is ramp
    share = np.mean([FlipItem()(ramp, 0, item_rng(i)) is not ramp for i in range(400)])
    assert 0.4 < share < 0.6
    seen = {arr(DihedralItem()(ramp, 0, item_rng(i))).tobytes() for i in range(80)}
    symmetries = [np.rot90(b, k) for b in (a, a[:, ::-1]) for k in range(4)]
    assert seen == {np.ascontiguousarray(s).tobytes() for s in symmetries}


def test_same_for_any_order_of_use(ramp):
    "The parameters come from the rng that is given and from nothing else."
    state = torch.get_rng_state()
    p = Pipeline([Resize(30), FlipItem(), RandomCrop(20)], 0)
    first = p((ramp, 1), item_rng(5, 7))
    np.random.random(3)
    assert p((ramp, 1), item_rng(5, 7)) == first != p((ramp, 1), item_rng(5, 8))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Resize(32, "squich"), r"Resize\(method='squich'\): method is one of 'squish', 'crop', 'pad'; did you mean 'squish'\?"),
    (lambda: Resize(32, pad_mode="reflect"), "did you mean 'reflection'"),
    (lambda: CropPad(32, "zero"), "did you mean 'zeros'"),
    (lambda: Resize((1, 2, 3)), r"Resize\(size=\(1, 2, 3\)\): a size is a whole number above 0, or a pair"),
    (lambda: Resize(0), "a whole number above 0"),
    (lambda: Resize("224"), "a whole number above 0"),
    (lambda: RandomResizedCrop(9, min_scale=0.5, max_scale=0.4), "0 < min_scale <= max_scale <= 1"),
    (lambda: RandomResizedCrop(9, ratio=(2, 1)), "ratio="),
    (lambda: FlipItem(2), "p is a probability"),
])
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
