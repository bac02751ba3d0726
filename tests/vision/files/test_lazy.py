"""Images are decoded when their pixels are needed, as far as they are, and come out as a full decode would have them."""
import pickle
import threading
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageStat

from minifast.core.seeds import item_rng
from minifast.data.engine.collate import Places
from minifast.vision.augment.item import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, RatioResize, Resize
from minifast.vision.files import jpeg, lazy
from minifast.vision.files.jpeg import whole_pixels
from minifast.vision.images import PILImage, PILImageBW, PILMask, ToTensor, UnreadableImage

W, H = 331, 250


def photo(w=W, h=H, seed=0):
    "Something smooth with edges, in colour."
    y, x = np.mgrid[:h, :w]
    a = np.stack([128 + 100 * np.sin(x / 17 + seed), 128 + 100 * np.cos(y / 23), (x * 255 / w + y) % 256], -1)
    a[h // 3:h // 2, w // 4:w // 2] = 20, 200, 90
    return a.clip(0, 255).astype(np.uint8)


@pytest.fixture
def file(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.jpg", quality=92)
    return tmp_path / "a.jpg"


def oriented(tmp_path, orientation):
    im = Image.fromarray(photo())
    exif = im.getexif()
    exif[0x0112] = orientation
    im.save(tmp_path / f"{orientation}.jpg", quality=92, exif=exif.tobytes())
    with Image.open(tmp_path / f"{orientation}.jpg") as opened:
        return tmp_path / f"{orientation}.jpg", ImageOps.exif_transpose(opened).convert("RGB")


def loaded(file, cls=PILImage):
    im = cls.create(file)
    im.load()
    return im


@pytest.fixture(params=["pillow", "simplejpeg"])
def decoder(request, monkeypatch):
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    monkeypatch.setattr(jpeg, "decoder", request.param)
    return request.param


@pytest.fixture
def decoded(monkeypatch):
    "The sizes (width, height) that JPEGs were decoded at."
    sizes = []

    def decode(*args):
        pixels, covered = jpeg.decode(*args)
        sizes.append((pixels.shape[1], pixels.shape[0]))
        return pixels, covered
    monkeypatch.setattr(lazy, "decode", decode)
    return sizes


# -- opening ----------------------------------------------------------------------------------------------------------------------

class Marked(PILImage):
    "A user's class of images."


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_is_enough_for_the_size(tmp_path, orientation, decoded):
    file, expected = oriented(tmp_path, orientation)
    im = PILImage.create(file)
    assert im.is_lazy and im.mode == "RGB" and im.size == expected.size and im.shape == expected.size[::-1]
    assert im.aspect == expected.size[0] / expected.size[1] and repr(im).startswith("PILImage mode=RGB size=") and "exif" in im.info
    assert "exif" in Marked.cast(PILImage.create(file)).info
    assert not decoded
    assert np.array_equal(np.asarray(im), np.asarray(expected)) and not im.is_lazy and len(decoded) == 1
    assert im.copy() == im and len(decoded) == 1


@pytest.mark.parametrize("use", [
    lambda im: im.tobytes(), lambda im: np.asarray(im).tobytes(), lambda im: im.getpixel((3, 4)), lambda im: im.histogram(),
    lambda im: im.convert("L").tobytes(), lambda im: im.resize((9, 9)).tobytes(), lambda im: im.crop((1, 2, 30, 40)).tobytes(),
    lambda im: im.rotate(20).tobytes(), lambda im: im.transpose(Image.Transpose.ROTATE_90).tobytes(),
    lambda im: im.filter(ImageFilter.BLUR).tobytes(),
    lambda im: im.point(lambda v: 255 - v).tobytes(), lambda im: [b.tobytes() for b in im.split()], lambda im: im.getbbox(),
    lambda im: im.reduce(3).tobytes(), lambda im: im.quantize(8).tobytes(), lambda im: ImageChops.invert(im).tobytes(),
    lambda im: ImageStat.Stat(im).mean, lambda im: ImageOps.autocontrast(im).tobytes(), lambda im: im.to_thumb(30).tobytes(),
    lambda im: im.getextrema(), lambda im: pickle.loads(pickle.dumps(im)).tobytes(), lambda im: im.entropy(),
    lambda im: im.getcolors(10**6),
    lambda im: im.transform((50, 40), Image.Transform.AFFINE, (1, 0, 3, 0, 1, 5)).tobytes(),
    lambda im: Image.blend(im, im.copy(), 0.5).tobytes(), lambda im: im.effect_spread(0).tobytes(),
], ids=range(26))
def test_every_way_to_the_pixels(file, use):
    "Each method of PIL sees the pixels of a full decode."
    with Image.open(file) as opened:
        expected = PILImage.create(np.asarray(opened))
    assert not expected.is_lazy and PILImage.create(file).is_lazy
    assert use(PILImage.create(file)) == use(expected)


def test_writing_to_a_lazy_picture(file):
    im = PILImage.create(file)
    im.putpixel((1, 1), (1, 2, 3))
    assert im.getpixel((1, 1)) == (1, 2, 3)
    im = PILImage.create(file)
    im.paste((9, 9, 9), (0, 0, 5, 5))
    ImageDraw.Draw(im).point((7, 7), fill=(200, 0, 0))
    assert im.getpixel((2, 2)) == (9, 9, 9) and im.getpixel((7, 7)) == (200, 0, 0)
    assert loaded(file) == loaded(file) and PILImage.create(file) == loaded(file)


def test_what_is_decoded_at_once(tmp_path, file):
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(photo()).save(tmp_path / "a.png")
    for name in ("cmyk.jpg", "a.png"):
        assert not PILImage.create(tmp_path / name).is_lazy
    assert not PILMask.create(Image.fromarray(photo()[..., 0])).is_lazy
    Image.fromarray(photo()).convert("L").save(tmp_path / "grey.jpg")
    assert PILImage.create(tmp_path / "grey.jpg").is_lazy and PILImageBW.create(tmp_path / "grey.jpg").is_lazy
    assert not PILMask.create(tmp_path / "grey.jpg").is_lazy and PILImage.create(file.read_bytes()).is_lazy
    assert not PILImage.create(file, mode="CMYK").is_lazy


def test_grey_and_colour(tmp_path, file, decoder):
    grey = Image.fromarray(photo()).convert("L")
    grey.save(tmp_path / "grey.jpg", quality=95)
    with Image.open(tmp_path / "grey.jpg") as opened:
        a = np.asarray(opened)
    assert np.array_equal(np.asarray(PILImageBW.create(tmp_path / "grey.jpg")), a)
    rgb = PILImage.create(tmp_path / "grey.jpg")
    assert ToTensor()(rgb).shape == (3, H, W) and np.array_equal(np.asarray(rgb), np.stack([a] * 3, -1))
    small = Resize(100)(PILImage.create(tmp_path / "grey.jpg"), 1)
    assert np.asarray(small).shape == (100, 100, 3)
    bw = PILImageBW.create(file)
    assert bw.is_lazy and bw.mode == "L" and ToTensor()(Resize(50)(bw, 1)).shape == (1, 50, 50)
    assert np.abs(np.asarray(bw).astype(int) - np.asarray(loaded(file).convert("L"))).mean() < 1
    with Image.open(file) as opened:
        assert np.array_equal(np.asarray(PILImage.create(file)), np.asarray(opened))          # the same pixels, whoever decodes


# -- how much is decoded ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("tfm", "largest"), [
    (Resize(32), 2), (Resize(32, "squish"), 2), (Resize((30, 40), "pad"), 2), (RandomResizedCrop(32), 2), (RatioResize(40), 2),
    (Resize(100), 2.5),
])
def test_no_more_is_decoded_than_needed_and_never_less(file, decoder, decoded, tfm, largest):
    for i in range(20):
        x = tfm((PILImage.create(file), 1), 0, item_rng(i))[0]
        assert x.is_lazy
        t = ToTensor()(x)
        w, h = decoded[-1]
        assert (h >= t.shape[1] and w >= t.shape[2]) or (i and type(tfm) is RandomResizedCrop)      # but for a crop smaller than its result
        assert min(w / t.shape[2], h / t.shape[1]) < largest
    assert len(decoded) == 20


def test_scale_of_decoding():
    assert [jpeg.draft_scale((0, 0, 800, 600), s) for s in ((100, 75), (101, 75), (200, 150), (400, 301), (500, 100))] == [8, 4, 4, 1, 1]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        w, h, tw, th = rng.integers(20, 2000, 2).tolist() + rng.integers(8, 300, 2).tolist()
        left, top = rng.random() * (w - 10), rng.random() * (h - 10)
        box = left, top, left + rng.random() * (w - left - 5) + 5, top + rng.random() * (h - top - 5) + 5
        got = whole_pixels(box, (h, w), (th, tw))
        k = jpeg.draft_scale(box, (tw, th))
        assert got[0] >= 0 and got[1] >= 0 and got[2] <= w and got[3] <= h and np.abs(np.subtract(got, box)).max() <= 1.5 * k
        assert all(v % k == 0 or v in (w, h) for v in got) and (k == 1 or jpeg.draft_scale(got, (tw, th)) >= k)


@pytest.mark.parametrize(("tfm", "limit"), [
    (Resize(96), 2.5), (Resize(96, "squish"), 2.5), (Resize((70, 96), "pad"), 2.5), (Resize(200), 0.3), (RandomResizedCrop(64), 2.5),
    (RandomResizedCrop(200), 0.3), (RandomCrop(120), 0), (CropPad((300, 100)), 0), (CropPad(400, "reflection"), 0), (RatioResize(150), 2.5),
    (RatioResize(300), 0.5), (Resize(400), 1.0),
], ids=repr)
@pytest.mark.parametrize("split_idx", [0, 1])
def test_close_to_a_full_decode(file, decoder, tfm, limit, split_idx):
    "Mean absolute difference, in levels of 255, to Pillow's resize of the fully decoded image; nothing is out of place."
    for i in range(4):
        lazily = tfm((PILImage.create(file),), split_idx, item_rng(i))[0]
        full = PILImage.cast(Image.open(file).convert("RGB"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lazy, "_MODES", {})
            expected = tfm((full,), split_idx, item_rng(i))[0]
        assert type(lazily) is PILImage and lazily.size == expected.size
        assert np.abs(np.asarray(lazily).astype(int) - np.asarray(expected)).mean() <= limit


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_and_crops_together(tmp_path, orientation):
    file, upright = oriented(tmp_path, orientation)
    upright = PILImage.cast(upright)
    for i in range(12):
        lazily, eagerly = PILImage.create(file), upright
        for tfm in (DihedralItem(), FlipItem(1.0), RandomCrop((90, 120)), DihedralItem()):
            lazily, eagerly = tfm(lazily, 0, item_rng(i)), tfm(eagerly, 0, item_rng(i))
            assert lazily.is_lazy and not eagerly.is_lazy
        assert np.array_equal(np.asarray(lazily), np.asarray(eagerly))
    for turn in Image.Transpose:
        small = lazy.turn(Resize((60, 90), "squish")(PILImage.create(file)), turn)
        expected = upright.resize((90, 60), Image.Resampling.BILINEAR).transpose(turn)
        assert small.size == expected.size and np.abs(np.asarray(small).astype(int) - np.asarray(expected)).mean() < 3


def test_one_step_after_the_other(file):
    "A second resize works on the result of the first."
    twice = RandomCrop(60)(FlipItem(1.0)(Resize(100)(PILImage.create(file), 1), 0), 1)
    assert twice.is_lazy
    first = np.asarray(Resize(100)(PILImage.create(file), 1))
    assert np.array_equal(np.asarray(twice), first[20:80, ::-1][:, 20:80])
    again = Resize(30)(Resize(100)(PILImage.create(file), 1), 1)
    expected = Image.fromarray(first).resize((30, 30), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(again).astype(int) - np.asarray(expected)).max() <= 1


# -- tensors ----------------------------------------------------------------------------------------------------------------------

def test_the_tensor_is_its_own(file):
    im = RandomCrop(50)(PILImage.create(file), 1)
    one, two = ToTensor()(im), ToTensor()(im)
    one.zero_()
    assert two.any() and one.is_contiguous() and two.shape == (3, 50, 50)
    there = ToTensor().into(im, Places(2).of_sample(1))
    assert there.image.stride()[0] == 1 and torch.equal(there.image, two) and torch.equal(there.batch[1], two)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_pictures_that_need_no_resizing_stay_what_they_are(tmp_path, decoder, k):
    "Decoded at just the size that is wanted, an image must not lie where the next one is decoded to."
    files = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, f in enumerate(files):
        Image.fromarray(photo(64 * k, 48 * k, seed=i)).save(f)
    tfm = Resize((48, 64), "squish")
    one_by_one = [np.asarray(tfm((PILImage.create(f),), 1)[0]).copy() for f in files]
    together = [lazy.tensor_of(tfm((PILImage.create(f),), 1)[0], np.empty((48, 64, 3), np.uint8)) for f in files]
    assert not np.array_equal(one_by_one[0], one_by_one[1])
    for got, expected in zip(together, one_by_one, strict=True):
        assert np.array_equal(got.permute(1, 2, 0).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"restart_marker_blocks": 3},
                                 {"restart_marker_rows": 1, "progressive": True}, {"optimize": True, "mode": "L"}],
                         ids=lambda how: "-".join(map(str, how)) or "plain")
@pytest.mark.parametrize("k", [1, 2, 4])
def test_rows_below_the_part_are_not_decoded(tmp_path, monkeypatch, decoder, how, k):
    mode = how.get("mode", "RGB")
    how = {name: value for name, value in how.items() if name != "mode"}
    Image.fromarray(photo(620, 587)).convert(mode).save(tmp_path / "a.jpg", quality=90, **how)
    data = (tmp_path / "a.jpg").read_bytes()
    header = jpeg.read_header(data)
    decoded = []
    for name in ("_by_simplejpeg", "_by_pillow"):
        known = getattr(jpeg, name)
        monkeypatch.setattr(jpeg, name, lambda d, *a, known=known, **kw: decoded.append(jpeg.read_header(d).size[1]) or known(d, *a, **kw))
    size = None if k == 1 else (8, 8)
    for top in range(0, 500, 37):
        for bottom in (top + 8 * k, top + 64, 587):
            box = (30, top, 30 + 8 * k if k > 1 else 200, bottom)
            if bottom > 587 or (size and jpeg.draft_scale(box, size) != k):
                continue
            part, covered = jpeg.decode(data, header, mode, box, size)
            part = part.copy()
            monkeypatch.setattr(jpeg, "_BELOW", 10_000)
            whole, also_covered = jpeg.decode(data, header, mode, box, size)
            monkeypatch.setattr(jpeg, "_BELOW", 32)
            assert np.array_equal(part, whole) and covered == also_covered, (box, k)
    assert min(decoded) < 100 and max(decoded) == 587


def test_threads_decode_at_the_same_time(file, decoder, tmp_path):
    "Each thread has its own buffer."
    files = []
    for i in range(8):
        Image.fromarray(photo(seed=i)).save(tmp_path / f"t{i}.jpg")
        files.append(tmp_path / f"t{i}.jpg")
    expected = [ToTensor()(Resize(64)(PILImage.create(f), 1)) for f in files]
    wrong = []

    def work(order):
        for i in order * 10:
            if not torch.equal(ToTensor()(Resize(64)(PILImage.create(files[i]), 1)), expected[i]):
                wrong.append(i)
    threads = [threading.Thread(target=work, args=(list(range(8))[::step],)) for step in (1, -1, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# -- what is wrong with a file ----------------------------------------------------------------------------------------------------

def test_a_cut_off_file_is_refused_when_it_is_opened(file):
    data = file.read_bytes()
    file.write_bytes(data[:len(data) // 2])
    with pytest.raises(UnreadableImage, match=r"a.jpg: the file ends too early"):
        PILImage.create(file)


def test_damaged_pixels_are_named_when_they_are_decoded(file, decoder):
    data = bytearray(file.read_bytes())
    scan = data.index(b"\xff\xda")
    data[scan + 6] = data[scan + 8] = 0x33                    # Huffman tables that the file does not have
    file.write_bytes(bytes(data))
    im = PILImage.create(file)
    assert im.size == (W, H)
    for use in (lambda: im.load(), lambda: ToTensor()(im), lambda: ToTensor()(Resize(32)(im, 1))):
        with pytest.raises(UnreadableImage, match=r"a.jpg: the image is damaged or of a kind that Pillow cannot read"):
            use()
    with pytest.raises(UnreadableImage, match="image given as bytes.*: the image is damaged"):
        PILImage.create(bytes(data)).load()


@pytest.mark.parametrize("size", [None, (8, 8)], ids=["as it is", "smaller"])
def test_damage_is_seen_where_only_the_top_is_decoded(file, decoder, size):
    data = bytearray(file.read_bytes())
    at = data.index(b"\xff\xda") + 400
    data[at:at + 2] = b"\xff\x44"                             # a marker that no JPEG has, where the codes of the first rows are
    header = jpeg.read_header(bytes(data))
    for box in ((0, 0, 64, 64), (0, 0, *header.size)):
        with pytest.raises(OSError, match="broken data stream"):
            jpeg.decode(bytes(data), header, "RGB", box, size)


def test_what_is_left_out_is_no_damage(file, monkeypatch):
    pytest.importorskip("simplejpeg")
    data = file.read_bytes()
    monkeypatch.setattr(jpeg, "decoder", "simplejpeg")
    monkeypatch.setattr(jpeg, "_by_pillow", None)
    for size in (None, (8, 8)):
        assert jpeg.decode(data, jpeg.read_header(data), "RGB", (0, 0, 64, 64), size)[0].shape[2] == 3


def test_headers_that_are_left_to_pillow(file, monkeypatch):
    data = file.read_bytes()
    assert jpeg.read_header(data).size == (W, H)
    for changed in (data[:100], b"", b"\xff\xd8\xff", data[:-2], data[:2] + b"\x00" + data[3:], b"\xff\xd8\xff\xe0\x00\x01"):
        assert jpeg.read_header(changed) is None
    at = data.index(b"\xff\xc0")
    assert jpeg.read_header(data[:at + 1] + b"\xc9" + data[at + 2:]) is None             # arithmetic coding
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", W * H // 3)
    assert jpeg.read_header(data) is None
    with pytest.raises(UnreadableImage, match=r"a.jpg: Image size .* exceeds limit.*Set PIL.Image.MAX_IMAGE_PIXELS higher"):
        PILImage.create(file)


def test_real_photos(data_dir, decoder):
    "The size from the header and the pixels are Pillow's, whatever camera or program wrote the file."
    files = sorted((data_dir / "pets_sample" / "images").glob("*.jpg"))[::12] + sorted((data_dir / "bad_images").rglob("*.jp*g"))
    n = 0
    for f in files:
        header = jpeg.read_header(f.read_bytes())
        if header is None:
            continue
        with Image.open(f) as opened:
            expected = ImageOps.exif_transpose(opened).convert("RGB")
        im = PILImage.create(f)
        n += im.is_lazy
        assert im.size == expected.size, f
        assert np.array_equal(np.asarray(im), np.asarray(expected)), f
    assert n > 40


def encoded(a, grey):
    out = BytesIO()
    Image.fromarray(a).convert("L" if grey else "RGB").save(out, "jpeg", quality=90)
    return out.getvalue()


@pytest.mark.parametrize("junk", [b"\xff\x00\x00\x02", b"\xff\x00", b"\x00\x01"])
def test_extra_bytes_in_the_header_show_no_other_picture(decoder, junk):
    "What a decoder says of them is what it says of rows that are left out on purpose; but it has not decoded anything."
    resample = Image.Resampling.BILINEAR
    red, green = (encoded(np.full((400, 400, 3), colour, np.uint8), False) for colour in ((200, 0, 0), (0, 200, 0)))
    at = green.index(b"\xff\xdb")
    odd = green[:at] + junk + green[at:]
    for box in ((0, 0, 400, 200), (0, 0, 400, 64), (0, 0, 400, 400)):
        ToTensor()(lazy.resize(PILImage.create(red), (200, 200), resample))
        try:
            got = ToTensor()(lazy.resize(PILImage.create(odd), (32, 200), resample, box=box))
        except UnreadableImage:
            continue
        assert abs(got[1].float() - 200).max() <= 3 and got[0].max() <= 3
    for _ in range(3):                                  # cut out, not resized: into memory of its own
        try:
            got = ToTensor()(lazy.crop(PILImage.create(odd), (10, 10, 200, 100)))
        except UnreadableImage:
            continue
        assert abs(got[1].float() - 200).max() <= 3 and got[0].max() <= 3


@pytest.mark.parametrize("tfm", [Resize((60, 90), "pad"), CropPad(400)], ids=["pad", "crop"])
def test_tensors_of_one_padded_picture_share_no_memory(file, tfm):
    im = tfm(PILImage.create(file), 1)
    one, two = ToTensor()(im), ToTensor()(im)
    before = two.clone()
    one.zero_()
    ToTensor().into(im, Places(1).of_sample(0)).image.zero_()
    assert before.any() and torch.equal(two, before) and torch.equal(ToTensor()(im), before)
