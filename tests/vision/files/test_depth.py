"Pixels that are not bytes: one scale for all images, refused or cut off beyond it, never one per image."
import numpy as np
import pytest
import torch
from PIL import Image
from suggestions import told

from minifast.vision.files.depth import checked_range, eight_bit, extremes, found_ranges
from minifast.vision.images import PILImage, PILImageBW, UnreadableImage, verify_images

RAMP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


def shade(x, **kwargs):
    return float(np.asarray(PILImageBW.create(x, **kwargs)).mean())


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, lambda a: a[None].repeat(3, 0)], ids=["array", "tensor", "channels"])
@pytest.mark.parametrize("dtype, white", [("float32", 1), ("float64", 1), ("float16", 1), ("uint16", 65535), ("int32", 255)])
def test_a_brighter_image_is_brighter(dtype, white, make):
    full, half, dark = (shade(make((RAMP * white * k).astype(dtype))) for k in (1, 0.5, 0.002))
    assert full == pytest.approx(127.5, abs=1.5) and half == pytest.approx(63.7, abs=1.5) and dark < 1


def test_values_beyond_are_named_and_what_is_said_works(tmp_path):
    with told("vision/files/depth.py", "Say what is black and white in all images, value_range=(…, …)"):
        PILImage.create(RAMP * np.float32(1.01))
    assert shade(RAMP * np.float32(1.01), value_range=(0, 1.01)) == pytest.approx(127.5, abs=1)
    for a, pair in ((RAMP * 254, (0, 255)), (RAMP * 4000 - 1000, (-1000, 3000)), ((RAMP * 3000).astype(np.int64), (0, 4095)),
                    (RAMP * 16, (0, 16)), (RAMP - 0.5, (-0.5, 0.5))):
        with pytest.raises(UnreadableImage) as e:
            PILImage.create(a)
        assert f"value_range={pair}" in str(e.value)
        assert shade(a, value_range=pair) > 90
    file = tmp_path / "t.tif"
    Image.fromarray(RAMP * 254).save(file)
    with pytest.raises(UnreadableImage, match=r"t\.tif: pixel values go from 0 to 254, but black is 0 and white 1 for float32 pixels"):
        PILImage.create(file)
    assert shade(file, value_range=(0, 255)) == pytest.approx(127, abs=1)
    assert list(verify_images([file])) == []                    # readable, though its scale has to be said


def test_a_given_range_is_a_window():
    a = np.array([[-1024, -1000, -300, 400, 3000]], np.int16)
    assert np.asarray(PILImageBW.create(a, value_range=(-1000, 400))).tolist() == [[0, 0, 128, 255, 255]]
    four_bits = np.arange(16, dtype=np.uint8)[None]
    assert np.asarray(PILImageBW.create(four_bits, value_range=(0, 15))).tolist() == (four_bits * 17).tolist()
    assert np.asarray(PILImageBW.create(four_bits, value_range=(0, 4095))).tolist() == four_bits.tolist()
    assert np.asarray(PILImage.create(Image.fromarray(four_bits), value_range=(0, 15)))[..., 2].tolist() == (four_bits * 17).tolist()


@pytest.mark.parametrize("wrong", [3, (1,), (1, 0), (0, float("nan")), "ab", (0, 1, 2)])
def test_a_range_is_two_numbers(wrong):
    with told("vision/files/depth.py", "give the values of black and white, such as value_range=(0, 4095)"):
        PILImage.create(RAMP, value_range=wrong)
    assert shade(RAMP * 4095, value_range=(0, 4095)) > 100 and checked_range(np.array([0, 2.5]), "f") == (0, 2.5)


def test_sixteen_bits_to_the_last_level():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(eight_bit(every, "a"), np.rint(every / 257).astype(np.uint8))
    assert eight_bit(np.array([[2**40]]), "a", (0, 2**40)).item() == 255


@pytest.mark.parametrize("top, white", [(200, 255), (900, 1023), (3000, 4095), (9000, 16383), (60000, 65535)])
def test_the_first_look_finds_the_bits(tmp_path, top, white):
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for i, file in enumerate(files):
        Image.fromarray((RAMP * (top if i == 24 else top / 9)).astype(np.uint16)).save(file)
    ranges, looked = found_ranges(files)
    assert ranges == {"integers": (0, white)} and len(looked) == 14 and max(high for *_, high in looked) == top


def test_the_first_look_at_fractions_and_bytes(tmp_path):
    assert found_ranges([RAMP * k for k in (0.2, 0.9, 1)])[0] == {"fractions": (0, 1)}
    assert found_ranges([RAMP, RAMP * 250, RAMP.astype(np.uint8)])[0] == {"fractions": (0, 255)}
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    assert found_ranges([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png", None, 3, RAMP > 1, RAMP * np.nan]) == ({}, [])
    assert extremes((tmp_path / "a.png").read_bytes()) is None and extremes(torch.ones(2, 2)) == ("fractions", 1, 1)
    for odd in (RAMP * 1.01, RAMP * 4000 - 1000, RAMP * 1e6):
        with pytest.raises(ValueError, match="it is not known which of them are black and white"):
            found_ranges([RAMP, odd])
