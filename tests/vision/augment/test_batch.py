"""Batch augmentation: geometry against torch's own flips and turns, masks with their images, one draw per image, one resampling."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as V

from minifast.core.seeds import item_rng
from minifast.data.pipeline import Pipeline
from minifast.vision.augment.affine import AffineWarp, sampling_grid
from minifast.vision.augment.batch import (
    Brightness,
    Contrast,
    Dihedral,
    Flip,
    Grey,
    Hue,
    Lighting,
    RandomErasing,
    RandomResizedCropGPU,
    Rotate,
    Saturation,
    Scale,
    Tint,
    Warp,
    Zoom,
    aug_transforms,
    setup_aug_tfms,
)
from minifast.vision.images import TensorImage, TensorMask
from minifast.vision.normalize import IntToFloatTensor, Normalize, imagenet_stats

GEOMETRY = [Flip, Dihedral, Rotate, Zoom, Scale, Warp]
LIGHTING = [Brightness, Contrast, Tint, Saturation, Hue, Grey]


@pytest.fixture
def x():
    return TensorImage(torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def smooth():
    "Images without fine detail, so that interpolating them twice or once hardly differs."
    noise = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return TensorImage(F.interpolate(noise, (64, 64), mode="bicubic", align_corners=True).clamp(0, 1))


def plain(t):
    return t.as_subclass(torch.Tensor)


def run(tfm, *sample, split_idx=0, seed=0):
    out = tfm(sample, split_idx, item_rng(seed))
    return out[0] if len(sample) == 1 else out


# -- geometry ---------------------------------------------------------------------------------------------------------------------

def test_scale_stretches_each_side(smooth):
    across = torch.linspace(0, 1, 65).view(1, 1, 1, 65).expand(1, 1, 65, 65)
    down = across.transpose(2, 3)
    for factors in ((2.0, 1.0), (1.25, 0.8), (1.0, 1.0)):
        tfm = Scale(p=1.0, draw_x=factors[0], draw_y=factors[1])
        for ramp, k, axis in ((across, factors[0], 3), (down, factors[1], 2)):
            got = plain(run(tfm, TensorImage(ramp)))
            inner = got.narrow(axis, 20, 25)                    # what the edges reflect is further out
            assert torch.allclose(inner, 0.5 + (ramp.narrow(axis, 20, 25) - 0.5) / k, atol=1e-4)
    rng = item_rng(0)
    m = Scale(max_scale=0.2, p=1.0).matrices(torch.zeros(4000, 1, 1, 1), (1, 1), rng)
    for i in (0, 1):
        assert 0.8 <= m[:, i, i].min() < 0.803 and 1.245 < m[:, i, i].max() <= 1.2501 and abs(np.median(m[:, i, i]) - 1) < 0.01
    assert abs(np.corrcoef(m[:, 0, 0], m[:, 1, 1])[0, 1]) < 0.05 and not m[:, 0, 1:].any()
    with pytest.raises(ValueError, match=r"Scale\(max_scale=1.5\): a number from 0"):
        Scale(1.5)


def test_flip_is_torch_flip(x):
    assert torch.equal(run(Flip(p=1.0), x), plain(x).flip(-1))
    assert torch.equal(run(Dihedral(p=1.0, draw=2), x), plain(x).flip(-2))
    half = run(Flip(), x)
    kinds = [torch.equal(h, o) or (torch.equal(h, o.flip(-1)) and None) for h, o in zip(half, plain(x), strict=True)]
    assert True in kinds and None in kinds and False not in kinds
    assert torch.equal(Flip(p=1.0)(plain(x)), plain(x).flip(-1)) and type(Flip(p=1.0)(plain(x))) is torch.Tensor


@pytest.mark.parametrize("k", range(8))
@pytest.mark.parametrize("align_corners", [True, False])
def test_dihedral_is_the_group_of_the_square(x, k, align_corners):
    t = plain(x)
    expected = t.transpose(-1, -2) if k & 4 else t
    expected = expected.flip(-1) if k & 1 else expected
    expected = expected.flip(-2) if k & 2 else expected
    assert torch.allclose(plain(run(Dihedral(p=1.0, draw=k, align_corners=align_corners), x)), expected, atol=1e-5)


@pytest.mark.parametrize(("deg", "k"), [(90, 1), (180, 2), (-90, 3), (270, 3), (360, 0)])
@pytest.mark.parametrize("align_corners", [True, False])
def test_quarter_turns_are_rot90(x, deg, k, align_corners):
    got = run(Rotate(p=1.0, draw=deg, align_corners=align_corners), x)
    assert torch.allclose(plain(got), torch.rot90(plain(x), k, (-2, -1)), atol=1e-5)


def test_rotation_keeps_angles_in_pictures_that_are_not_square():
    t = torch.zeros(1, 1, 41, 81)
    t[..., 20, 20:61] = 1                                       # a horizontal line of 41 pixels around the centre
    got = plain(run(Rotate(p=1.0, draw=90, pad_mode="zeros"), TensorImage(t)))[0, 0]
    assert torch.allclose(got[:, 40], torch.ones(41), atol=1e-4) and got.sum() == pytest.approx(41, abs=0.1)
    ours = plain(run(Rotate(p=1.0, draw=30, pad_mode="zeros", align_corners=False), TensorImage(t)))
    theirs = V.rotate(t, 30, interpolation=V.InterpolationMode.BILINEAR)
    assert (ours - theirs).abs().mean() < 1e-3                   # anticlockwise, as torchvision


@pytest.mark.parametrize("cls", GEOMETRY)
def test_nothing_drawn_nothing_changed(cls, x):
    m = TensorMask(torch.randint(0, 5, (8, 12, 12)))
    for split_idx, tfm in ((0, cls(p=0.0)), (1, cls(p=1.0))):
        a, b = run(tfm, x, m, split_idx=split_idx)
        assert torch.equal(a, x) and torch.equal(b, m) and type(a) is TensorImage and type(b) is TensorMask


def test_identity_matrix_samples_every_pixel_where_it_is(x):
    for align_corners in (True, False):
        grid, depth = sampling_grid(torch.eye(3)[None], (12, 12), align_corners)
        expected = F.affine_grid(torch.eye(3)[None, :2], (1, 3, 12, 12), align_corners=align_corners)
        assert torch.allclose(grid, expected, atol=1e-6) and torch.equal(depth, torch.ones_like(depth))
    m = torch.tensor([[[0.9, 0.2, 0.1], [-0.3, 1.1, 0.05], [0, 0, 1]]])
    assert torch.allclose(sampling_grid(m, (7, 9))[0], F.affine_grid(m[:, :2], (1, 1, 7, 9), align_corners=True), atol=1e-6)


def test_zoom():
    ramp = torch.linspace(0, 1, 41).expand(2, 1, 41, 41)
    for draw_x, low, high in ((0.0, 0.0, 0.5), (1.0, 0.5, 1.0), (0.5, 0.25, 0.75)):
        got = plain(run(Zoom(p=1.0, draw=2.0, draw_x=draw_x, draw_y=0.5), TensorImage(ramp)))
        assert torch.allclose(got[0, 0, 20], torch.linspace(low, high, 41), atol=1e-5)


def test_warp_moves_the_corners_where_it_says():
    u, v = 0.2, -0.1
    m = torch.from_numpy(Warp(p=1.0, draw_x=u, draw_y=v).matrices(torch.zeros(1, 3, 5, 5), (5, 5), item_rng(0)))[0]
    for sx in (-1, 1):
        for sy in (-1, 1):
            px, py, depth = m @ torch.tensor([sx, sy, 1], dtype=m.dtype)
            assert (px / depth).item() == pytest.approx(sx - v * sx * sy)
            assert (py / depth).item() == pytest.approx(sy - u * sx * sy)
    centre = m @ torch.tensor([0, 0, 1], dtype=m.dtype)
    assert (centre / centre[2]).tolist() == pytest.approx([u, v, 1])
    start = [[-1.0, -1], [1, -1], [1, 1], [-1, 1]]
    ends = [[sx - v * sx * sy, sy - u * sx * sy] for sx, sy in start]
    coefficients = V._geometry._get_perspective_coeffs(ends, start)                       # an independent linear solve
    assert np.allclose(np.append(coefficients, 1), (m / m[2, 2]).flatten(), atol=1e-5)


def test_composition_is_one_after_the_other(smooth):
    for tfms in ([Flip(p=1.0), Rotate(p=1.0, draw=10)], [Rotate(p=1.0, draw=10), Zoom(p=1.0, draw=1.3, draw_x=0.2, draw_y=0.7)],
                 [Warp(p=1.0, draw_x=0.1, draw_y=0.1), Rotate(p=1.0, draw=-15)]):
        together = plain(run(setup_aug_tfms(tfms)[0], smooth))
        apart = smooth
        for t in tfms:
            apart = run(t, apart)
        assert (together - plain(apart))[..., 8:-8, 8:-8].abs().mean() < 0.005
        other_way = plain(run(tfms[0], run(tfms[1], smooth)))
        assert (together - other_way)[..., 8:-8, 8:-8].abs().mean() > 0.01 or tfms[0].__class__ is Warp


def test_masks_move_with_their_pictures(smooth):
    ids = torch.arange(8).view(8, 1, 1) * 20
    m = TensorMask((plain(smooth)[:, 0] > 0.5).long() * 10 + ids)
    image = TensorImage((plain(m) - ids).float()[:, None] / 10)
    tfm = setup_aug_tfms(aug_transforms(max_lighting=0, max_rotate=30, max_zoom=1.5, flip_vert=True))[0]
    out_image, out_mask = run(tfm, image, m, seed=3)
    assert out_mask.dtype == torch.int64 and type(out_mask) is TensorMask
    assert ((plain(out_image)[:, 0] > 0.5).long() * 10 + ids == plain(out_mask)).float().mean() > 0.99
    assert set(out_mask.unique().tolist()) <= set(m.unique().tolist())
    assert not torch.equal(out_mask, m)
    channelled = run(tfm, image, TensorMask(m[:, None]), seed=3)[1]
    assert torch.equal(channelled[:, 0], plain(out_mask))


def test_every_picture_gets_its_own_draw(x):
    same = TensorImage(plain(x)[:1].expand(8, -1, -1, -1))
    for t in aug_transforms(p_affine=1.0, p_lighting=1.0):
        assert len({o.numpy().tobytes() for o in plain(run(t, same))}) == 8
    for t in aug_transforms(p_affine=1.0, p_lighting=1.0, batch=True):
        out = plain(run(t, same))
        assert torch.allclose(out, out[:1].expand_as(out), atol=1e-6) and not torch.allclose(out, plain(same))
    p = Pipeline(aug_transforms(), 0)
    assert torch.equal(p(x, item_rng(1)), p(x, item_rng(1))) and not torch.equal(p(x, item_rng(1)), p(x, item_rng(2)))
    state = torch.get_rng_state()
    p(x, item_rng(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_draw_may_be_a_function(x):
    got = run(Flip(p=1.0, draw=lambda b: torch.tensor([1.0, 0] * 4)), x)
    expected = torch.stack([o.flip(-1) if i % 2 == 0 else o for i, o in enumerate(plain(x))])
    assert torch.equal(plain(got), expected)


def test_size_for_training_and_validation(smooth):
    m = TensorMask(torch.randint(0, 3, (8, 64, 64)))
    affine = aug_transforms(size=(16, 24))[0]
    for split_idx in (0, 1):
        a, b = run(affine, smooth, m, split_idx=split_idx)
        assert a.shape == (8, 3, 16, 24) and b.shape == (8, 16, 24)
    a, b = run(affine, smooth, m, split_idx=1)
    expected = F.interpolate(plain(smooth), (16, 24), mode="bilinear", antialias=True)
    assert torch.equal(plain(a), expected) and set(b.unique().tolist()) <= {0, 1, 2}
    assert run(aug_transforms()[0], smooth, split_idx=1) is smooth                        # without size: untouched
    assert aug_transforms()[0].split_idx == 0 and affine.split_idx is None


def test_strong_downsizing_is_antialiased():
    checks = TensorImage(((torch.arange(96)[:, None] + torch.arange(96)) % 2).float().expand(2, 1, 96, 96))
    out = plain(run(AffineWarp([Rotate(p=1.0, draw=3)], size=16), checks))
    assert (out - 0.5).abs().max() < 0.05                       # grey, not the pattern that skipping pixels makes


def test_min_scale_crops(smooth):
    affine = aug_transforms(size=32, min_scale=0.25, max_lighting=0, max_warp=0, max_rotate=0, max_zoom=1.0, do_flip=False)[0]
    ramp = TensorImage(torch.linspace(0, 1, 64).expand(200, 1, 64, 64))
    out = plain(run(affine, ramp))
    extents = (out[:, 0, 0, -1] - out[:, 0, 0, 0])
    assert out.shape == (200, 1, 32, 32) and 0.48 < extents.min() < 0.6 and 0.9 < extents.max() <= 1.001
    valid = plain(run(affine, TensorImage(torch.linspace(0, 1, 81).expand(1, 1, 41, 81)), split_idx=1))
    assert torch.allclose(valid[0, 0, 5], torch.linspace(0.25, 0.75, 32), atol=0.02)      # the central square
    centre = plain(run(RandomResizedCropGPU(32, valid_scale=0.5), ramp, split_idx=1))
    assert torch.allclose(centre[0, 0, 5], torch.linspace(0.25, 0.75, 32), atol=0.02)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(smooth, dtype):
    t = (plain(smooth) * 255).round().to(torch.uint8) if dtype == torch.uint8 else plain(smooth).to(dtype)
    p = Pipeline(aug_transforms(p_affine=1.0, p_lighting=1.0), 0)
    out, expected = p(TensorImage(t), item_rng(0)), p(smooth, item_rng(0))
    assert out.dtype == dtype
    got = out.float() / 255 if dtype == torch.uint8 else out.float()
    assert (got - plain(expected)).abs().max() < (0.02 if dtype in (torch.uint8, torch.bfloat16) else 0.004)


# -- light ------------------------------------------------------------------------------------------------------------------------

def logit(p):
    return torch.log(p / (1 - p))


def test_brightness_and_contrast_in_logits(x):
    t = plain(x)
    assert torch.allclose(plain(run(Brightness(p=1.0, draw=0.6), x)), torch.sigmoid(logit(t) + logit(torch.tensor(0.6))), atol=1e-5)
    assert torch.allclose(plain(run(Contrast(p=1.0, draw=1.5), x)), torch.sigmoid(logit(t) * 1.5), atol=1e-5)
    both = run(Lighting([Brightness(p=1.0, draw=0.6), Contrast(p=1.0, draw=1.5)]), x)
    assert torch.allclose(plain(both), torch.sigmoid((logit(t) + logit(torch.tensor(0.6))) * 1.5), atol=1e-5)
    extremes = TensorImage(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    out = plain(run(Contrast(p=1.0, draw=1.2), extremes))
    assert out.isfinite().all() and torch.allclose(out.flatten(), torch.tensor([0.0, 1.0]), atol=1e-5)


def test_saturation(x):
    z = logit(plain(x))
    grey = (z * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(plain(run(Saturation(p=1.0, draw=0.7), x)), torch.sigmoid(grey + 0.7 * (z - grey)), atol=1e-5)
    colourless = plain(run(Saturation(p=1.0, draw=0.0), x))
    assert torch.allclose(colourless[:, 0], colourless[:, 2], atol=1e-6)
    mixed = setup_aug_tfms([Contrast(p=1.0, draw=1.5), Brightness(p=1.0, draw=0.4), Saturation(p=1.0, draw=0.7)])
    x = TensorImage(plain(x).clamp(0.05, 0.95))                # near 0 and 1 an image between two steps would be rounded
    apart = run(Saturation(p=1.0, draw=0.7), run(Brightness(p=1.0, draw=0.4), run(Contrast(p=1.0, draw=1.5), x)))
    assert len(mixed) == 1 and torch.allclose(plain(run(mixed[0], x)), plain(apart), atol=1e-4)


def test_hue_is_torchvisions(x):
    for turn in (0.1, -0.3, 0.5):
        got = plain(run(Hue(p=1.0, draw=turn), x))
        assert torch.allclose(got, V.adjust_hue(plain(x), turn), atol=1e-4)
    greys = TensorImage(torch.rand(2, 1, 4, 4).expand(2, 3, 4, 4))
    assert torch.allclose(plain(run(Hue(p=1.0, draw=0.3), greys)), plain(greys), atol=1e-5)


def test_lighting_ranges():
    grey = TensorImage(torch.full((4000, 1, 1, 1), 0.5))
    b = plain(run(Brightness(max_lighting=0.2, p=1.0), grey)).flatten()
    assert 0.4 <= b.min() < 0.402 and 0.598 < b.max() <= 0.6001
    bright = TensorImage(torch.full((4000, 1, 1, 1), 0.8))
    scale = logit(plain(run(Contrast(max_lighting=0.2, p=1.0), bright)).flatten()) / logit(torch.tensor(0.8))
    assert 0.799 <= scale.min() < 0.805 and 1.24 < scale.max() <= 1.2501
    changed = (plain(run(Brightness(p=0.25), grey)).flatten() != 0.5).float().mean()
    assert 0.22 < changed < 0.28


def test_lighting_leaves_alone(x):
    m = TensorMask(torch.randint(0, 5, (8, 12, 12)))
    light = Lighting([t(p=1.0) for t in LIGHTING])
    out, mask = run(light, x, m)
    assert torch.equal(mask, m) and not torch.allclose(plain(out), plain(x))
    for cls in LIGHTING:
        assert run(cls(p=0.0), x) is x and run(cls(p=1.0), x, split_idx=1) is x
    one = TensorImage(torch.rand(2, 1, 3, 3))
    assert run(Hue(p=1.0), one) is one and run(Saturation(p=1.0), one) is one
    with pytest.raises(ValueError, match=r"Hue changes colours: it needs images of 3 channels .*, these have 4"):
        run(Hue(p=1.0), TensorImage(torch.rand(2, 4, 3, 3)))


def test_tint(x):
    t = plain(x).clamp(0.05, 0.95)
    x = TensorImage(t)
    amount = torch.tensor(1.2 / 0.8).log()                     # the logit of 0.5 (1 + 0.2)
    for colour, shares in ((0.0, (1, -0.5, -0.5)), (1 / 3, (-0.5, 1, -0.5)), (0.5, (-1, 0.5, 0.5))):
        expected = torch.sigmoid(logit(t) + amount * torch.tensor(shares).view(3, 1, 1))
        assert torch.allclose(plain(run(Tint(p=1.0, draw=0.2, draw_colour=colour), x)), expected, atol=1e-5)
    grey = TensorImage(torch.full((4000, 3, 1, 1), 0.5))
    shifts = logit(plain(run(Tint(max_tint=0.3, p=1.0), grey)))[..., 0, 0]
    assert shifts.sum(1).abs().max() < 1e-4 and 0.6 < shifts.max() <= torch.tensor(1.3 / 0.7).log() + 1e-4
    assert (shifts.argmax(1).bincount() / 4000 - 1 / 3).abs().max() < 0.03
    together = setup_aug_tfms([Tint(p=1.0, draw=0.3, draw_colour=0.1), Contrast(p=1.0, draw=1.3), Saturation(p=1.0, draw=0.6),
                               Brightness(p=1.0, draw=0.55)])
    apart = x
    for tfm in together[0].tfms:
        apart = run(tfm, apart)
    assert len(together) == 1 and torch.allclose(plain(run(together[0], x)), plain(apart), atol=1e-4)
    one_for_all = plain(run(Tint(p=1.0, batch=True), grey))
    assert (one_for_all == one_for_all[:1]).all() and (one_for_all[0, 0] != one_for_all[0, 1]).all()


def test_a_grey_picture_beside_one_in_colour():
    colour, grey = torch.rand(6, 3, 8, 8), torch.rand(6, 1, 8, 8)
    for factor, dtype in ((1, torch.float32), (255, torch.uint8)):
        sample = TensorImage((colour * factor).to(dtype)), TensorImage((grey * factor).to(dtype))
        pipe = Pipeline([IntToFloatTensor(), *setup_aug_tfms([Tint(0.4, p=1.0), Brightness(p=1.0, draw=0.6)])], 0)
        for p in (pipe, pipe.fused()):
            a, b = p(sample, item_rng(0))
            assert a.shape == colour.shape and b.shape == grey.shape
            expected = torch.sigmoid(logit((grey * factor).to(dtype).float() / factor) + logit(torch.tensor(0.6)))
            assert torch.allclose(plain(b), expected, atol=1e-4)


def test_grey_is_torchvisions(x):
    got = plain(run(Grey(p=1.0), x))
    assert torch.allclose(got, V.rgb_to_grayscale(plain(x), 3), atol=1e-3) and torch.equal(got[:, 0], got[:, 1])
    some = plain(run(Grey(p=1.0, draw=[1, 0] * 4), x))
    assert torch.allclose(some[1::2], plain(x)[1::2], atol=1e-5) and torch.allclose(some[::2], got[::2], atol=1e-5)
    pure = TensorImage(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert torch.allclose(plain(run(Grey(p=1.0), pure)), torch.tensor(0.299), atol=1e-4)         # red is not black
    sepia = plain(run(Lighting([Grey(p=1.0), Tint(p=1.0, draw=0.2, draw_colour=0.1)]), x))
    assert (sepia[:, 0] > sepia[:, 1]).all() and (sepia[:, 1] > sepia[:, 2]).all()
    shown = [plain(run(Grey(), TensorImage(torch.rand(2000, 3, 1, 1)), seed=seed)) for seed in range(2)]
    assert all(0.07 < (s[:, 0] == s[:, 2]).float().mean() < 0.13 for s in shown)


# -- together ---------------------------------------------------------------------------------------------------------------------

def test_aug_transforms_list():
    affine, light = aug_transforms()
    assert [type(t) for t in affine.tfms] == [Flip, Warp, Rotate, Zoom] and [type(t) for t in light.tfms] == [Brightness, Contrast]
    assert [t.p for t in affine.tfms] == [0.5, 0.75, 0.75, 0.75] and [t.p for t in light.tfms] == [0.75, 0.75]
    assert affine.order == 30 and light.order == 40 and Normalize.order > 40 > IntToFloatTensor.order and RandomErasing().order == 100
    affine, light = aug_transforms(mult=2)
    assert affine.tfms[2].max_deg == 20 and affine.tfms[1].magnitude == 0.4 and light.tfms[0].max_lighting == 0.4
    assert affine.tfms[3].max_zoom == 1.1
    assert type(aug_transforms(flip_vert=True)[0].tfms[0]) is Dihedral
    assert [type(t) for t in aug_transforms(do_flip=False, max_rotate=0, max_warp=0, max_zoom=1.0, max_lighting=0)] == []
    with_extra = aug_transforms(xtra_tfms=[Hue(), RandomErasing(), Rotate(max_deg=5)])
    assert [type(t) for t in with_extra] == [AffineWarp, Lighting, RandomErasing]
    assert with_extra[0].tfms[-1].max_deg == 5 and type(with_extra[1].tfms[-1]) is Hue
    apart = setup_aug_tfms([Rotate(pad_mode="zeros"), Zoom(), Flip(pad_mode="zeros", size=8)])
    assert [[type(t) for t in a.tfms] for a in apart] == [[Rotate, Flip], [Zoom]] and [a.size for a in apart] == [None, (8, 8)]


def test_with_normalize_after(x):
    p = Pipeline([Normalize.from_stats(*imagenet_stats), *aug_transforms(), IntToFloatTensor()], 0)
    out, y = p((TensorImage((plain(x) * 255).to(torch.uint8)), torch.arange(8)), item_rng(0))
    assert isinstance(out, TensorImage) and out.min() < 0 and torch.equal(y, torch.arange(8))
    assert 0 <= p.decode(out).min() <= p.decode(out).max() <= 1


def test_random_erasing(x):
    big = TensorImage(torch.full((200, 3, 40, 50), 9.0))
    out = plain(run(RandomErasing(p=0.5, sl=0.1, sh=0.3), big))
    erased = (out != 9).any(1)
    share = erased.float().mean((1, 2))
    assert 0.4 < (share > 0).float().mean() < 0.6
    assert share[share > 0].min() > 0.08 and share.max() < 0.32 and len(share.unique()) > 50
    for e in erased[share > 0][:20]:                            # each is one full rectangle
        rows, columns = e.any(1).nonzero().flatten(), e.any(0).nonzero().flatten()
        assert e[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all()
        assert 0.2 < len(rows) / len(columns) < 5
    noise = out[out != 9]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert torch.equal(run(RandomErasing(), big, seed=4), run(RandomErasing(), big, seed=4))
    assert torch.equal(plain(big), torch.full((200, 3, 40, 50), 9.0))
    several = (plain(run(RandomErasing(p=1.0, sl=0.1, sh=0.1, max_count=3), big)) != 9).any(1)
    assert several.float().mean((1, 2)).max() < 0.12
    together = (plain(run(RandomErasing(p=1.0, sl=0.1, batch=True), big)) != 9).any(1)
    assert (together == together[:1]).all() and run(RandomErasing(p=1.0), big, split_idx=1) is big
    with pytest.raises(TypeError, match="fills in normal noise and works on floats; received uint8"):
        run(RandomErasing(p=1.0), TensorImage(torch.zeros(2, 3, 9, 9, dtype=torch.uint8)))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: aug_transforms(min_scale=0.5), "give the size they shall all get"),
    (lambda: aug_transforms(pad_mode="reflect"), r"pad_mode='reflect'\): pad_mode is one of .*; did you mean 'reflection'"),
    (lambda: Rotate(mode="bilinar"), "did you mean 'bilinear'"),
    (lambda: Flip(p=1.5), "p is a probability"),
    (lambda: Zoom(min_zoom=2, max_zoom=1), "0 < min_zoom <= max_zoom"),
    (lambda: Warp(magnitude=0.5), "below 0.5"),
    (lambda: Brightness(max_lighting=1.0), r"Brightness\(max_lighting=1.0\)"),
    (lambda: Hue(max_hue=-1), r"Hue\(max_hue=-1\)"),
    (lambda: RandomErasing(sl=0.5, sh=0.2), "0 <= sl <= sh <= 1"),
    (lambda: setup_aug_tfms([Flip(size=3), Rotate(size=4)]), "ask for several sizes"),
    (lambda: aug_transforms(size="big"), r"size='big'\): a size is a whole number"),
])
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_no_tensor_subclass_is_lost(x):
    out = Pipeline(aug_transforms(size=8, xtra_tfms=[RandomErasing(p=1.0)]), 0)((x, torch.arange(8)), item_rng(0))
    assert type(out[0]) is type(x) and type(out[1]) is torch.Tensor


def test_rotate_refuses_a_negative_range():
    with pytest.raises(ValueError, match=r"Rotate\(max_deg=-10.0\): degrees, 0 or more"):
        aug_transforms(max_rotate=-10)
