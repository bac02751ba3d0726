"""The `Image` of the star imports makes images with fastai's methods; Pillow's own stay as they are."""
import copy
import pickle

import numpy as np
import PIL.Image
import pytest

from minifast.vision.all import Image
from minifast.vision.images import PILImage


@pytest.fixture(params=["jpg", "png", "gif"])
def file(request, tmp_path):
    file = tmp_path / f"photo.{request.param}"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8)).save(file)
    return file


def test_an_opened_image_has_fastais_methods(file):
    im = Image.open(file)
    assert isinstance(im, PIL.Image.Image) and im.format == {"jpg": "JPEG"}.get(file.suffix[1:], file.suffix[1:].upper())
    assert (im.shape, im.n_px, im.aspect) == ((30, 60), 1800, 2.0)
    assert im.to_thumb(20).size == (20, 10) and im.to_thumb(10, 60).size == (20, 10) and im.size == (60, 30)
    assert im.reshape(5, 7).size == (7, 5) and im.resize_max(max_h=15).size == (30, 15) and im.resize_max(max_px=450).size == (30, 15)
    assert im.resize_max(max_w=600).size == (60, 30) and im.to_bytes_format()[1:4] == b"PNG"
    assert np.array_equal(np.asarray(im.convert("RGB").flip_lr()), np.asarray(im.convert("RGB"))[:, ::-1])


def test_what_is_made_of_it_has_them_too(file):
    with Image.open(file) as im:
        made = [im.convert("L"), im.copy(), im.resize((8, 8)), im.crop((0, 0, 8, 8)), im.rotate(90), im.rotate(9), im.transpose(0),
                im.convert("RGB").split()[0], im.to_thumb(8), copy.deepcopy(im), pickle.loads(pickle.dumps(im)),
                pickle.loads(pickle.dumps(im.to_thumb(8)))]
    made += [Image.new("RGB", (8, 8)), Image.fromarray(np.zeros((8, 8), np.uint8)), Image.merge("L", [Image.new("L", (8, 8))])]
    assert {o.to_thumb(4).size for o in made} <= {(4, 4), (4, 2), (2, 4)}


def test_pillow_stays_as_it_is_and_is_seen_through(file, monkeypatch):
    assert not hasattr(PIL.Image.open(file), "to_thumb") and type(PIL.Image.open(file)) is not type(Image.open(file))
    assert Image.Image is PIL.Image.Image and Image.Resampling is PIL.Image.Resampling and Image.BILINEAR == PIL.Image.BILINEAR
    assert set(dir(Image)) == set(dir(PIL.Image)) and repr(Image.open(file)).startswith("<PIL.")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)         # put back afterwards
    Image.MAX_IMAGE_PIXELS = 5
    assert PIL.Image.MAX_IMAGE_PIXELS == 5
    with pytest.raises(PIL.Image.DecompressionBombError):
        Image.open(file)
    with pytest.raises(AttributeError, match="nothing"):
        Image.nothing


def test_such_images_become_our_own(file):
    im = PILImage.create(Image.open(file))
    assert type(im) is PILImage and im.mode == "RGB" and np.array_equal(np.asarray(im), np.asarray(Image.open(file).convert("RGB")))
