"""Pillow's own decoder and encoder, and what takes their place where Pillow lacks them."""
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from minifast.vision.files import jpeg, pillow_internals
from minifast.vision.images import PILImage, ToTensor


def encoded(w, h, grey=False):
    y, x = np.mgrid[:h, :w]
    a = np.stack([128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 23), (x * 255 / w + y) % 256], -1).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(a).convert("L" if grey else "RGB").save(out, "jpeg", quality=90)
    return out.getvalue()


@pytest.fixture(params=["internals", "fallback"])
def decoded(request, monkeypatch):
    "What `decode_jpeg` returned, with Pillow's internals and without."
    results, known = [], pillow_internals.decode_jpeg
    monkeypatch.setattr(jpeg, "decoder", "pillow")
    monkeypatch.setattr(jpeg, "decode_jpeg", lambda *a: results.append(known(*a)) or results[-1])
    if request.param == "fallback":
        monkeypatch.setattr(pillow_internals, "Image", SimpleNamespace(Image=Image.Image))
    yield results
    assert results and all((im is None) == (request.param == "fallback") for im in results)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_decoding_gives_what_opening_the_file_gives(decoded, mode, k):
    "Larger and smaller images by turns, which are decoded into the same memory."
    for w, h, grey in ((200, 150, False), (97, 203, False), (333, 60, True), (64, 64, False), (201, 151, True)):
        data = encoded(w, h, grey)
        im = Image.open(BytesIO(data))
        if k > 1 or mode == "L":
            im.draft(mode, (w // k, h // k))
        im = im.convert(im.mode if im.mode == "L" else mode)
        size = None if k == 1 else (w // k, h // k)
        got, covered = jpeg.decode(data, jpeg.read_header(data), mode, None, size)
        assert np.array_equal(np.squeeze(got), np.asarray(im)) and np.allclose(covered, (w / k, h / k)), (w, h, grey)


def test_a_part_of_an_image(decoded):
    data = encoded(200, 150)
    whole = np.asarray(Image.open(BytesIO(data)))
    got, covered = jpeg.decode(data, jpeg.read_header(data), "RGB", (30, 10, 90, 50))
    assert np.array_equal(got, whole[10:50, 30:90]) and covered == (60, 40)
    got[:] = 0                                              # it is nobody else's memory


def test_a_decoder_that_takes_other_arguments_is_left_alone(monkeypatch):
    monkeypatch.setattr(jpeg, "decoder", "pillow")
    data, calls, known = encoded(200, 150), [], Image._getdecoder
    expected = ToTensor()(PILImage.create(data))

    def other(*a):
        calls.append(a)
        if len(calls) == 1:
            raise TypeError("it takes something else in this version")
        return known(*a)

    monkeypatch.setattr(Image, "_getdecoder", other)
    assert torch.equal(ToTensor()(PILImage.create(data)), expected) and len(calls) == 2
