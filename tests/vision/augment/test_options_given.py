"""`draw=` of the batch transforms: what fits is used, what does not is refused with a sentence."""
import pytest
import torch

from minifast.vision.augment.batch import (
    Brightness,
    Contrast,
    Dihedral,
    Flip,
    Grey,
    Hue,
    Rotate,
    Saturation,
    Scale,
    Tint,
    Warp,
    Zoom,
    aug_transforms,
)
from minifast.vision.augment.options import given_values

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ALL = [(c, "draw") for c in (Flip, Dihedral, Rotate, Zoom, Brightness, Contrast, Tint, Saturation, Hue, Grey)] + [
    (Scale, "draw_x"), (Scale, "draw_y"), (Tint, "draw_colour"),
    (Zoom, "draw_x"), (Zoom, "draw_y"), (Warp, "draw_x"), (Warp, "draw_y")]


def made(cls, name, given):
    return cls(p=1.0, **{name: given})


@pytest.mark.parametrize(("cls", "name"), ALL)
def test_wrong_ones(cls, name):
    where = rf"{cls.__name__}\({name}=\.\.\.\) takes"
    good = {"Flip": 1, "Grey": 1, "Dihedral": 3, "Warp": 0.1}.get(cls.__name__, 0.5)
    for given in ([good] * 3, torch.full((3,), good), torch.full((4, 2), good), [[good] * 4]):
        with pytest.raises(ValueError, match=rf"{where} one number for all, or one per image of the batch, 4 here; received"):
            made(cls, name, given)(X)
    with pytest.raises(ValueError, match=rf"{where} .*, 4 here; the function returned list of 2"):
        made(cls, name, lambda x: [good] * 2)(X)
    with pytest.raises(ValueError, match=rf"{where} numbers, not NaN, None or infinity"):
        made(cls, name, [good, good, good, float("nan")])(X)
    for given in ("ten", {"deg": 10}, [good, "ten"], object()):                # when it is made, not at the first batch
        with pytest.raises(TypeError, match=rf"{where} a number, a list or tensor of one number per image, or a function"):
            made(cls, name, given)
    with pytest.raises(TypeError, match=rf"{where} a number.*the function returned str"):
        made(cls, name, lambda x: "ten")(X)
    for given in (good, [good], [good] * 4, torch.full((4,), good), lambda x: torch.full((len(x),), good), lambda x: good):
        assert torch.isfinite(made(cls, name, given)(X)).all()


@pytest.mark.parametrize(("t", "words"), [
    (Flip(p=1.0, draw=0.5), r"1 \(mirrored\) or 0 \(not\)"), (Dihedral(p=1.0, draw=8), "whole numbers from 0 to 7"),
    (Zoom(p=1.0, draw=[1, 1, 0, 1]), "factors above 0"), (Brightness(p=1.0, draw=1.0), "numbers between 0 .* and 1")])
def test_values_that_would_make_rubbish(t, words):
    with pytest.raises(ValueError, match=rf"{type(t).__name__}\(draw=\.\.\.\) takes {words}.*; received"):
        t(X)


def test_one_draw_for_all():
    with pytest.raises(ValueError, match=r"takes one number for all, as batch=True says; received list of 4"):
        Rotate(p=1.0, draw=[1, 2, 3, 4], batch=True)(X)
    assert given_values([3, 4], X, 2, "here").tolist() == [3, 4] and given_values(5, X, 3, "here").tolist() == [5, 5, 5]
    with pytest.raises(ValueError, match=r"Rotate\(draw"):
        aug_transforms(xtra_tfms=Rotate(p=1.0, draw=[1, 2]))[0](X)
