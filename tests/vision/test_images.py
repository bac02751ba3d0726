"""Every kind of file becomes an upright 8-bit image or a sentence with its name; and the way from PIL to normalised tensors and back."""
import csv
import pickle
import traceback
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import tv_tensors

from minifast.core.fastuple import fastuple
from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.pipeline import Pipeline
from minifast.data.splitters import IndexSplitter
from minifast.vision.images import (
    PILImage,
    PILImageBW,
    PILMask,
    TensorImage,
    TensorImageBW,
    TensorMask,
    ToTensor,
    UnreadableImage,
    image2tensor,
    load_image,
    verify_image,
    verify_images,
)
from minifast.vision.normalize import IntToFloatTensor, Normalize, imagenet_stats


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def save(folder, name, im, **kwargs):
    im.save(folder / name, **kwargs)
    return folder / name


# -- opening ----------------------------------------------------------------------------------------------------------------------

def test_every_way_to_give_a_picture(tmp_path, pixels):
    file = save(tmp_path, "a.png", Image.fromarray(pixels))
    sources = [file, str(file), file.read_bytes(), bytearray(file.read_bytes()), pixels, pixels / 255, pixels.transpose(2, 0, 1),
               torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(pixels).permute(2, 0, 1) / 255, Image.fromarray(pixels),
               TensorImage(torch.from_numpy(pixels).permute(2, 0, 1)), PILImage.create(pixels)]
    for source in sources:
        im = PILImage.create(source)
        assert type(im) is PILImage and im.mode == "RGB" and im.shape == (6, 10) and im.size == (10, 6)
        assert np.array_equal(np.asarray(im), pixels)


def test_open_files_and_the_constructor(tmp_path, pixels):
    file = tmp_path / "x.png"
    Image.fromarray(pixels).save(file)
    stream = BytesIO(file.read_bytes())
    stream.seek(0, 2)                               # as it is after writing
    with open(file, "rb") as f, open(file, encoding="latin1") as text:
        for source in (stream, f, memoryview(file.read_bytes()), bytearray(file.read_bytes())):
            assert np.array_equal(np.asarray(PILImage.create(source)), pixels)
        with pytest.raises(TypeError, match=r"PILImage.create takes a file that was opened for bytes, open\(name, 'rb'\)"):
            PILImage.create(text)

    class Upload:
        file = stream

        async def read(self):
            return b""

    with pytest.raises(TypeError, match=r"PILImage\.create\(await upload\.read\(\)\), or PILImage\.create\(upload\.file\)"):
        PILImage.create(Upload())
    assert PILImage.create(Upload().file).size == PILImage(Image.fromarray(pixels)).size
    with pytest.raises(FileNotFoundError) as e:
        PILImage.create("https://host.test/x.jpg")
    assert "download_url" in "".join(traceback.format_exception(e.value))

    for cls in (PILImage, PILImageBW):
        for im in (Image.fromarray(pixels), pixels, torch.from_numpy(pixels).permute(2, 0, 1)):
            assert type(cls(im)) is cls and np.array_equal(np.asarray(cls(im)), np.asarray(cls.create(im)))
    with pytest.raises(TypeError, match=r"PILImage\(im\) takes a PIL image.*write PILImage\.create\(file\)"):
        PILImage(str(file))

    class Own(PILImage):
        @classmethod
        def create(cls, fn):
            return cls(Image.open(fn).convert("RGB").rotate(180))

    assert type(Own.create(file)) is Own and np.array_equal(np.asarray(Own.create(file)), pixels[::-1, ::-1])


def test_create_refuses_what_is_no_picture(pixels):
    with pytest.raises(TypeError, match="takes a file name, Path, open file, bytes, array, tensor or PIL image; received int 3"):
        PILImage.create(3)
    with pytest.raises(ValueError, match=r"received uint8\[5,7,9\]"):
        PILImage.create(np.zeros((5, 7, 9), np.uint8))
    with pytest.raises(ValueError, match="pass one image of the batch"):
        PILImage.create(torch.zeros(2, 3, 4, 4))
    with pytest.raises(UnreadableImage, match=r"values go from -2 to 1, but black is 0 and white 1 for float32.*value_range=\(-2, 1\)"):
        PILImage.create(torch.tensor([[-2.0, 1.0]]))
    with pytest.raises(UnreadableImage, match="not finite"):
        PILImage.create(torch.tensor([[0.0, float("nan")]]))
    with pytest.raises(FileNotFoundError, match=r"nowhere.jpg"):
        PILImage.create("nowhere.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    a = np.zeros((40, 60, 3), np.uint8)
    a[:20, :20] = 255, 0, 0
    im = Image.fromarray(a)
    exif = im.getexif()
    exif[0x0112] = orientation
    for name in ("a.jpg", "a.png", "a.webp"):
        file = save(tmp_path, name, im, exif=exif.tobytes(), **({} if name == "a.png" else {"quality": 95}))
        with Image.open(file) as opened:
            expected = ImageOps.exif_transpose(opened).convert("RGB")
        got = PILImage.create(file)
        assert got.size == expected.size == ((60, 40) if orientation < 5 else (40, 60))
        assert np.array_equal(np.asarray(got), np.asarray(expected))


def test_deep_pixels_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)          # the multiples of 257
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    files = [save(tmp_path, "u16.png", Image.fromarray(ramp)), save(tmp_path, "u16.tif", Image.fromarray(ramp)),
             save(tmp_path, "i32.tif", Image.fromarray(ramp.astype(np.int32))),
             save(tmp_path, "f32.tif", Image.fromarray((ramp / 65535).astype(np.float32)))]
    for source in [*files, ramp, ramp / 65535, torch.from_numpy(ramp.astype(np.float32) / 65535)]:
        assert np.array_equal(np.asarray(PILImageBW.create(source)), expected)
        rgb = np.asarray(PILImage.create(source))
        assert rgb.shape == (16, 16, 3) and np.array_equal(rgb[..., 1], expected)
    assert np.asarray(PILImageBW.create(np.array([[0, 128, 255]], np.int64))).tolist() == [[0, 128, 255]]
    assert np.asarray(PILImageBW.create(np.array([[True, False]]))).tolist() == [[255, 0]]


def test_transparency_becomes_white(tmp_path):
    a = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    for name in ("a.png", "a.webp"):
        file = save(tmp_path, name, Image.fromarray(a), **({} if name == "a.png" else {"lossless": True, "exact": True}))
        assert np.asarray(PILImage.create(file)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        palette = save(tmp_path, "p.png", Image.fromarray(a).quantize(4))
        assert np.asarray(PILImage.create(palette)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
        assert np.asarray(PILImageBW.create(palette)).tolist() == [[18, 255]]


def test_cmyk_and_other_modes(tmp_path, pixels):
    for mode in ("CMYK", "L", "1", "P", "LA", "YCbCr", "HSV", "LAB"):
        im = Image.fromarray(pixels).convert("RGB" if mode == "LAB" else mode)
        assert PILImage.create(im).mode == "RGB"
        assert PILImageBW.create(im).mode == "L"
    red = save(tmp_path, "red.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    assert np.abs(np.asarray(PILImage.create(red)).astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize(("name", "content", "words"), [
    ("empty.jpg", b"", r"the file is empty \(0 bytes\)"),
    ("page.jpg", b"  <!DOCTYPE html><html>not found</html>", "this is an HTML or XML page, not a photo"),
    ("drawing.png", b"<svg xmlns='...'>", "this is an SVG drawing"),
    ("text.jpg", b"this is not an image", "this is a text file, not an image; it begins"),
    ("photo.jpg", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "this is a HEIC photo.*install pillow-heif"),
    ("noise.png", bytes(range(200, 255)), "no image format that Pillow knows; the file has 55 bytes"),
])
def test_files_that_are_no_pictures(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"{name}: {words}"):
        PILImage.create(tmp_path / name)
    with pytest.raises(OSError, match=r"image given as bytes.*"):
        PILImage.create(content)
    assert not verify_image(tmp_path / name)


def test_truncated_file(tmp_path, pixels):
    data = BytesIO()
    Image.fromarray(pixels.repeat(20, 0).repeat(20, 1)).save(data, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(data.getvalue()[:2000])
    with pytest.raises(UnreadableImage, match=r"cut.jpg: the file ends too early.*download or copy was cut off"):
        PILImage.create(tmp_path / "cut.jpg")
    assert isinstance(pickle.loads(pickle.dumps(UnreadableImage("cut.jpg: x"))), UnreadableImage)      # it comes back from a worker


def test_bad_images_of_the_collection(data_dir):
    "Each opens as Pillow opens it, or is refused with its name."
    folder = data_dir / "bad_images"
    opened = refused = 0
    for row in csv.DictReader((folder / "EXPECTED.csv").read_text(encoding="utf-8").splitlines()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if row["PIL_convert_RGB"].startswith("ok"):
                im = PILImage.create(folder / row["file"])
                w, h = map(int, row["size"].split("x"))
                turned = row["orientation"] in ("5", "6", "7", "8")
                assert im.mode == "RGB" and im.size == ((h, w) if turned else (w, h)), row
                opened += 1
            else:
                with pytest.raises(UnreadableImage) as e:
                    PILImage.create(folder / row["file"])
                assert Path(row["file"]).name in str(e.value) and len(str(e.value)) < 500
                refused += 1
    assert opened > 90 and refused > 10
    gray16 = np.asarray(PILImageBW.create(folder / "made/gray16.png"))
    gray8 = np.asarray(PILImageBW.create(folder / "made/gray.jpg"))
    assert len(np.unique(gray16)) > 200 and np.abs(gray16.astype(int) - gray8).mean() < 3
    upright, turned = PILImage.create(folder / "made/no_extension"), PILImage.create(folder / "made/exif_rot6.jpg")
    assert upright.size == (500, 375) and turned.size == (375, 500)


def test_verify_images(tmp_path, pixels):
    good = save(tmp_path, "good.png", Image.fromarray(pixels))
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    missing = tmp_path / "missing.jpg"
    found = verify_images([good, bad, missing], n_workers=2)
    assert found == [bad, missing] and len(verify_images([])) == 0
    verify_images([good, bad]).map(Path.unlink)
    assert good.exists() and not bad.exists()


# -- what an image can do --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cls", [PILImage, PILImageBW, PILMask])
def test_the_class_survives(cls, pixels):
    im = cls.create(pixels[..., 0])
    results = [im.resize((4, 4)), im.crop((1, 1, 3, 3)), im.rotate(90), im.rotate(20), im.copy(), im.transpose(Image.Transpose.ROTATE_90),
               im.to_thumb(3), pickle.loads(pickle.dumps(im)), im.reduce(2)]
    assert [type(o) for o in results] == [cls] * len(results)
    assert pickle.loads(pickle.dumps(im)) == im


def test_small_things(tmp_path, pixels):
    im = PILImage.create(pixels)
    assert im.aspect == 10 / 6 and repr(im) == "PILImage mode=RGB size=10x6"
    assert im.to_thumb(3).size == (3, 2) and im.to_thumb(3, 100).size == (5, 3)
    file = save(tmp_path, "a.png", Image.fromarray(pixels))
    assert load_image(file).mode == "RGB" and load_image(file, "L").mode == "L" and type(load_image(file)) is Image.Image
    file.unlink()                                                                          # no file stays open
    assert image2tensor(im).shape == (3, 6, 10) and image2tensor(im.convert("L")).shape == (1, 6, 10)
    assert torch.equal(image2tensor(im), torch.from_numpy(pixels).permute(2, 0, 1))
    assert PILImage.create(pixels, mode="L").mode == "L"


def test_show(pixels):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    _, ax = plt.subplots()
    assert PILImage.create(pixels).show(ctx=ax, title="cat") is ax
    assert ax.get_title() == "cat" and np.array_equal(ax.images[0].get_array(), pixels)
    assert PILMask.create(pixels[..., 0] % 3).show().images[0].get_cmap().name == "tab20"
    plt.close("all")


# -- masks ------------------------------------------------------------------------------------------------------------------------

def test_masks_keep_their_class_numbers(tmp_path):
    a = np.array([[0, 1, 2], [3, 7, 255]], np.uint8)
    grey = Image.fromarray(a)
    palette = Image.fromarray(a)
    palette.putpalette(list(np.random.default_rng(1).integers(0, 256, 768)))
    files = [save(tmp_path, "l.png", grey), save(tmp_path, "p.png", palette), save(tmp_path, "rgb.png", grey.convert("RGB")),
             save(tmp_path, "i16.png", Image.fromarray(a.astype(np.uint16))),
             save(tmp_path, "i32.tif", Image.fromarray(a.astype(np.int32)))]
    for source in [*files, a, a.astype(np.int64), torch.from_numpy(a), torch.from_numpy(a).long()]:
        assert np.asarray(PILMask.create(source)).tolist() == a.tolist(), source
    onebit = save(tmp_path, "one.png", Image.fromarray(a > 2))
    assert np.asarray(PILMask.create(onebit)).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_masks_that_hold_no_class_numbers(tmp_path, pixels):
    colours = save(tmp_path, "colours.png", Image.fromarray(pixels))
    with pytest.raises(UnreadableImage, match=r"colours.png: this mask holds colours.*Map each colour to its class"):
        PILMask.create(colours)
    with pytest.raises(UnreadableImage, match="class numbers go from 0 to 300; a mask holds 0 to 255"):
        PILMask.create(np.array([[0, 300]]))
    with pytest.raises(UnreadableImage, match="go from -1 to 0"):
        PILMask.create(np.array([[0, -1]]))
    with pytest.raises(UnreadableImage, match="this one has fractions"):
        PILMask.create(np.array([[0, 0.5]]))


# -- to tensors and back ----------------------------------------------------------------------------------------------------------

def test_to_tensor_and_floats(pixels):
    sample = PILImage.create(pixels), PILMask.create(pixels[..., 0]), 3
    x, m, y = ToTensor()(sample)
    assert isinstance(x, TensorImage) and x.dtype == torch.uint8 and x.shape == (3, 6, 10) and y == 3
    assert isinstance(m, TensorMask) and m.dtype == torch.uint8 and m.shape == (6, 10)
    assert isinstance(ToTensor()(PILImageBW.create(pixels)), TensorImageBW)
    assert ToTensor()(Image.fromarray(pixels).quantize(4)).shape == (3, 6, 10)
    f, mm = IntToFloatTensor()((TensorImage(x[None]), TensorMask(m[None])))
    assert torch.equal(f, x[None] / 255) and isinstance(f, TensorImage) and mm.dtype == torch.int64 and isinstance(mm, TensorMask)
    assert torch.equal(IntToFloatTensor(div_mask=255)(TensorMask(torch.tensor([[0, 255, 254]]))), torch.tensor([[0, 1, 0]]))
    assert IntToFloatTensor()(f) is f                                                      # floats are left alone
    assert IntToFloatTensor().decode(TensorImage(torch.tensor([[[-1.0, 2.0]]]))).tolist() == [[[0.0, 1.0]]]
    label = torch.tensor([3])
    assert IntToFloatTensor()(label) is label and ToTensor().order < IntToFloatTensor.order < Normalize.order


def test_normalize_there_and_back():
    x = TensorImage(torch.rand(4, 3, 5, 6))
    norm = Normalize.from_stats(*imagenet_stats)
    z = norm(x)
    mean, std = (torch.tensor(s).view(1, 3, 1, 1) for s in imagenet_stats)
    assert isinstance(z, TensorImage) and torch.allclose(z, (x - mean) / std)
    assert torch.allclose(norm.decode(z), x, atol=1e-6) and isinstance(norm.decode(z), TensorImage)
    one = norm.decode(TensorImage(z[2]))
    assert one.shape == (3, 5, 6) and torch.allclose(one, x[2], atol=1e-6)
    target = torch.rand(4)
    assert norm((x, target))[1] is target and norm.decode((z, target))[1] is target
    assert torch.allclose(Normalize(*imagenet_stats)(x), z)
    assert repr(Normalize.from_stats([0.5], [0.25])) == "Normalize(mean=[0.5], std=[0.25])"
    assert torch.allclose(Normalize.from_stats(0.5, 0.25)(x), (x - 0.5) / 0.25)


def test_normalize_measures_several_batches():
    g = torch.Generator().manual_seed(0)
    batches = [(TensorImage(torch.rand(4, 3, 8, 8, generator=g) * torch.tensor([0.2, 0.5, 1]).view(3, 1, 1)), 0) for _ in range(12)]
    norm = Normalize()
    norm.setup(batches)
    seen = torch.cat([b[0].as_subclass(torch.Tensor) for b in batches[:10]])
    assert torch.allclose(norm.mean.flatten(), seen.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(norm.std.flatten(), seen.std((0, 2, 3), correction=0), atol=1e-6)
    before = norm.mean.clone()
    norm.setup(batches[11:])                                                              # once measured, they stay
    assert torch.equal(norm.mean, before)
    as_bytes = Normalize()
    as_bytes.setup([(TensorImage((seen * 255).round().to(torch.uint8)),)])
    assert torch.allclose(as_bytes.mean.flatten(), seen.mean((0, 2, 3)), atol=1e-3)


def test_normalize_says_what_is_wrong():
    x = TensorImage(torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="takes mean and std together"):
        Normalize(mean=[0.5])
    with pytest.raises(ValueError, match="every standard deviation must be above 0"):
        Normalize([0.5], [0.0])
    with pytest.raises(RuntimeError, match=r"has no mean and std yet.*from_stats\(\*imagenet_stats\)"):
        Normalize()(x)
    with pytest.raises(TypeError, match=r"images as floats in 0..1; received uint8.*Put IntToFloatTensor"):
        Normalize.from_stats(*imagenet_stats)(TensorImage(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)))
    with pytest.raises(ValueError, match=r"statistics for 3 channels; received float32\[2,1,4,4\]"):
        Normalize.from_stats(*imagenet_stats)(TensorImage(torch.rand(2, 1, 4, 4)))
    with pytest.raises(ValueError, match="found none there"):
        Normalize().setup([(torch.rand(2, 3, 4, 4),)])


def test_the_whole_way_can_be_undone(pixels):
    pipe = Pipeline([Normalize.from_stats(*imagenet_stats), IntToFloatTensor, ToTensor])
    assert [type(f) for f in pipe] == [ToTensor, IntToFloatTensor, Normalize]
    back = pipe.decode(pipe((PILImage.create(pixels),)))[0]
    assert torch.allclose(back, torch.from_numpy(pixels).permute(2, 0, 1) / 255, atol=1e-6)
    assert isinstance(back, tv_tensors.Image)


def test_verify_images_refuses_a_path():
    for path in ("photos", Path("photos")):
        with pytest.raises(TypeError, match=r"verify_images takes a list of files.*verify_images\(get_image_files\(path\)\)"):
            verify_images(path)


class Pair(fastuple):
    "Two images of one's own making."

    @classmethod
    def create(cls, o):
        return cls(PILImage.create(o), PILImageBW.create(o))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_of_a_block_of_ones_own_need_no_totensor(num_workers):
    images = list(np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8))
    blocks = TransformBlock(PILImage.create, batch_tfms=IntToFloatTensor), TransformBlock(Pair.create), TransformBlock(PILMask.create)
    dls = DataBlock((*blocks, CategoryBlock), getters=[None, None, lambda o: o[..., 0], lambda o: "a"], n_inp=2,
                    splitter=IndexSplitter([4, 5])).dataloaders(images, bs=2, num_workers=num_workers, device="cpu")
    x, pair, mask, _ = dls.valid.one_batch()
    expected = torch.from_numpy(np.stack(images[4:])).permute(0, 3, 1, 2)
    assert torch.equal(x, expected / 255)
    assert torch.equal(pair[0], expected) and pair[1].shape == (2, 1, 8, 8)
    assert mask.dtype == torch.int64 and torch.equal(mask, expected[:, 0].long())
    shown = dls.valid.decode_batch((x, pair, mask, torch.tensor([0, 0])))[0]
    assert type(shown[0]) is TensorImage and type(shown[2]) is TensorMask


def test_a_damaged_image_of_a_block_of_ones_own_is_named(tmp_path, pixels):
    for i in range(4):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    damaged = tmp_path / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    dls = DataBlock((TransformBlock(PILImage.create), CategoryBlock), get_y=lambda f: "a", splitter=IndexSplitter([2, 3])).dataloaders(
        sorted(tmp_path.glob("*.png")), bs=2, num_workers=0, device="cpu")
    with pytest.raises(OSError) as raised:
        dls.valid.one_batch()
    assert str(damaged) in str(raised.value) + "".join(getattr(raised.value, "__notes__", ()))
