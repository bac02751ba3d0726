"What the messages of `minifast.vision` say to write."
import http.server
import io
import threading
import warnings

import numpy as np
import pytest
import torchvision
from PIL import Image as PIL
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset
from workshop import extra, image, images, parity, quiet

from minifast.vision.all import *
from minifast.vision.models import pretrained
from minifast.vision.models.heads import create_head
from minifast.vision.models.xresnet import xresnet18
from minifast.vision.normalize import Normalize
from minifast.vision.tta_geometry import recording, tta_boxes, tta_masks, tta_points
from minifast.vision.utils import resize_image


def body(pretrained=False, n_in=3):
    "A small architecture."
    return nn.Sequential(nn.Conv2d(n_in, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def grey(pretrained=False):
    return body(n_in=1)


@pytest.fixture
def folder(tmp_path):
    "Four PNG files in one folder per class, without train/ and valid/."
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(4):
            PIL.new("RGB", (12, 10), (i * 9, 80, 200)).save(tmp_path / "photos" / label / f"{i}.png")
    return tmp_path / "photos"


# -- augmentation and normalisation
def test_a_batch_transform_of_one_image():
    one = TensorImage(torch.rand(3, 8, 8))
    with told("vision/augment/affine.py", "Put it into batch_tfms (after_batch) instead of item_tfms; by hand, pass image[None]"):
        images(item_tfms=[ToTensor(), Flip(p=1.0)]).one_batch()
    images(batch_tfms=Flip(p=1.0)).one_batch()
    assert Flip(p=1.0)(one[None]).shape == (1, 3, 8, 8)


def test_parts_without_a_size():
    with told("vision/augment/batch.py", "for example aug_transforms(size=224, min_scale=0.75)"):
        aug_transforms(min_scale=0.75)
    assert images(batch_tfms=aug_transforms(size=224, min_scale=0.75)).one_batch()[0].shape == (3, 3, 224, 224)


def test_statistics_to_normalise_by():
    mean, std = [0.5] * 3, [0.2] * 3

    def numbers(*tfms):
        block = DataBlock((TransformBlock, CategoryBlock), get_x=float, get_y=parity, batch_tfms=list(tfms))
        return block.dataloaders(list(range(8)), bs=3, num_workers=0)

    with told("vision/normalize.py", "Write Normalize.from_stats(mean, std), for example Normalize.from_stats(*imagenet_stats)"):
        numbers(Normalize())
    images(batch_tfms=Normalize.from_stats(mean, std)).one_batch()
    with told("vision/normalize.py", "Outside them write Normalize.from_stats(*imagenet_stats)"):
        Normalize()(TensorImage(torch.rand(2, 3, 4, 4)))
    assert Normalize.from_stats(*imagenet_stats)(TensorImage(torch.rand(2, 3, 4, 4))).shape == (2, 3, 4, 4)
    pixels = TensorImage(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    with told("vision/normalize.py", "Put IntToFloatTensor() before it (ImageBlock does)"):
        Pipeline([Normalize.from_stats(*imagenet_stats)])(pixels)
    assert Pipeline([IntToFloatTensor(), Normalize.from_stats(*imagenet_stats)])(pixels).dtype is torch.float32


# -- masks and channels
@pytest.mark.parametrize("block", [lambda codes: MaskBlock([*codes, "void"]), lambda codes: MaskBlock(codes, ignore_index=2)])
def test_a_class_without_a_code(block):
    codes = ["a", "b"]

    def mask(i):
        return PILMask.create(np.array([[0, 1], [2, 0]], dtype=np.uint8))

    with told("vision/blocks.py", "Name them in codes, or write MaskBlock(codes, ignore_index=…) if that marks pixels that do not count"):
        images(MaskBlock(codes), get_y=mask).one_batch()
    images(block(codes), get_y=mask).one_batch()         # three codes, or MaskBlock(codes, ignore_index=2)


def test_channels():
    greys = images(x=ImageBlock(PILImageBW), get_x=partial(image, cls=PILImageBW))
    with told("vision/channels.py", "Write …(..., n_in=…)", ", or open the images in colour: ImageBlock(PILImage), img_cls=PILImage"):
        vision_learner(greys, xresnet18, pretrained=False, n_in=3)
    assert vision_learner(greys, xresnet18, pretrained=False, n_in=1)
    assert vision_learner(images(x=ImageBlock(PILImage)), xresnet18, pretrained=False, n_in=3)
    with told("vision/channels.py", ", or open the images in grey: ImageBlock(PILImageBW), img_cls=PILImageBW"):
        vision_learner(images(), xresnet18, pretrained=False, n_in=1)
    assert vision_learner(images(x=ImageBlock(PILImageBW), get_x=partial(image, cls=PILImageBW)), xresnet18, pretrained=False, n_in=1)


# -- reading
def test_ranges_of_values():
    deep = np.array([[0, 4095]], dtype=np.int32)
    with told("vision/files/depth.py", "give the values of black and white, such as value_range=(0, 4095)"):
        PILImage.create(deep, value_range=4095)
    assert PILImage.create(deep, value_range=(0, 4095)).size == (2, 1)
    fractions = np.array([[0.0, 9.5]], dtype=np.float32)
    with told("vision/files/depth.py", "Say what is black and white in all images, value_range=(…, …): an argument of ImageBlock, "
                                       "ImageDataLoaders.from_... and PILImage.create"):
        PILImage.create(fractions)
    assert np.asarray(PILImage.create(fractions, value_range=(0, 9.5))).max() == 255

    def get_x(i):
        return fractions * i

    assert images(x=ImageBlock(value_range=(0, 100)), get_x=get_x).one_batch()[0].max() <= 1


def test_a_class_of_images_without_ranges():
    class Plain(PILImage):
        @classmethod
        def create(cls, fn):
            return super().create(fn)

    class Scaled(PILImage):
        @classmethod
        def create(cls, fn, value_range=None):
            return super().create(fn, value_range=value_range)

    with told("vision/opening.py", "Give it that parameter, and pass it on: super().create(fn, value_range=value_range)"):
        ImageBlock(Plain, value_range=(0, 4095))
    assert ImageBlock(Scaled, value_range=(0, 4095))


def test_a_heic_photo(monkeypatch):
    heic = b"\x00\x00\x00\x18ftypheic" + bytes(40)
    with told("vision/files/reading.py", "install pillow-heif and call pillow_heif.register_heif_opener()"):
        PILImage.create(heic)

    class HeicFile(PIL.registered_extensions and __import__("PIL.ImageFile").ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._mode, self._size = "RGB", (4, 4)
            self.tile = []

        def load(self):
            self.im = PIL.new("RGB", (4, 4)).im
            return self.im.pixel_access(False)

    def register_heif_opener():                 # as pillow_heif's, which Pillow then asks
        PIL.register_open("HEIF", HeicFile, lambda start: start[4:12] == b"ftypheic")

    register_heif_opener()
    try:
        assert PILImage.create(heic).size == (4, 4)
    finally:
        PIL.ID.remove("HEIF")
        PIL.OPEN.pop("HEIF")


def test_open_files(tmp_path):
    name = tmp_path / "a.png"
    PIL.new("RGB", (4, 4)).save(name)
    with told("vision/files/reading.py", "takes a file that was opened for bytes, open(name, 'rb')"):
        PILImage.create(io.StringIO("text"))
    with open(name, "rb") as file:
        assert PILImage.create(file).size == (4, 4)


def test_an_upload():
    import asyncio

    buffer = io.BytesIO()
    PIL.new("RGB", (4, 4)).save(buffer, "PNG")

    class Upload:
        "As FastAPI's."

        file = io.BytesIO(buffer.getvalue())

        async def read(self):
            return buffer.getvalue()

    upload = Upload()
    with told("vision/files/reading.py", "write …(await upload.read()), or …(upload.file)"):
        PILImage.create(upload)

    async def handler():
        return PILImage.create(await upload.read())

    assert asyncio.run(handler()).size == PILImage.create(upload.file).size == (4, 4)


def test_an_address(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(http.server.SimpleHTTPRequestHandler, directory=folder / "cat"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/0.png"
    with told("vision/files/reading.py", "write PILImage.create(download_url(url))"):
        PILImage.create(url)
    assert PILImage.create(download_url(url)).size == (12, 10)
    server.shutdown()


def test_a_mask_of_colours(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)
    PIL.fromarray(colours).save(tmp_path / "m.png")
    with told("vision/files/reading.py", "for example with a function that returns PILMask.create(array of class numbers)"):
        PILMask.create(tmp_path / "m.png")
    array = (np.asarray(PIL.open(tmp_path / "m.png"))[..., 1] > 0).astype(np.uint8)
    assert np.asarray(PILMask.create(array)).tolist() == [[0, 1]]


def test_an_image_of_a_file_name(folder):
    file = folder / "cat" / "0.png"
    with told("vision/images.py", "For a file or its bytes write ….create(file)"):
        PILImage(str(file))
    assert PILImage.create(file).size == PILImage.create(file.read_bytes()).size


def test_files_to_verify(folder):
    path, file = folder, folder / "cat" / "0.png"
    with told("vision/images.py", "For a folder write verify_images(get_image_files(path)), for one file verify_image(file)"):
        verify_images(str(path))
    assert len(verify_images(get_image_files(path))) == 0 and verify_image(file)


# -- learners
def test_a_model_for_vision_learner():
    dls, model = images(), body()
    with told("vision/learner.py", "For a model of your own write Learner(dls, model)"):
        vision_learner(dls, model)
    quiet(Learner(dls, model)).fit(1)


def test_outputs_of_a_model():
    def both(i):
        return i % 2

    block = DataBlock((ImageBlock, CategoryBlock, CategoryBlock), n_inp=1, get_x=image, get_y=[parity, both],
                      splitter=IndexSplitter([0, 1]))
    dls = block.dataloaders(list(range(8)), bs=3, num_workers=0)
    with told("vision/learner.py", "pass n_out=…, say, for one head of all their outputs, and a loss_func=f(pred, *targets)"):
        vision_learner(dls, body, pretrained=False)

    def f(pred, *targets):
        return sum(nn.functional.cross_entropy(pred[:, 2 * i:2 * i + 2], t) for i, t in enumerate(targets))

    quiet(vision_learner(dls, body, pretrained=False, n_out=4, loss_func=f)).fit(1)
    data = TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % 2)
    plain = DataLoaders(DataLoader(data, bs=4))
    with told("vision/learner.py", "pass n_out=, the number of classes or of numbers to predict"):
        vision_learner(plain, body, pretrained=False)
    quiet(vision_learner(plain, body, pretrained=False, n_out=2, loss_func=CrossEntropyLossFlat())).fit(1)


def weighted(pretrained=False):
    return body()


def test_weights_of_unknown_statistics():
    with told("vision/learner.py", "give the data batch_tfms=Normalize.from_stats(mean, std), for example of imagenet_stats; if not, "
                                   "say …(normalize=False)"):
        vision_learner(images(), weighted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vision_learner(images(batch_tfms=Normalize.from_stats(*imagenet_stats)), weighted)
        vision_learner(images(), weighted, normalize=False)


def test_normalisation_of_other_loaders(tmp_path):
    data = TensorDataset(torch.rand(8, 3, 32, 32), torch.arange(8) % 2)
    dls, file = DataLoaders(torch.utils.data.DataLoader(data, 4)), tmp_path / "w.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    options = {"n_out": 2, "loss_func": CrossEntropyLossFlat(), "weights": file}
    with told("vision/learner.py", "If your dataset does that, say normalize=False"):
        vision_learner(dls, "squeezenet1_1", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vision_learner(dls, "squeezenet1_1", normalize=False, **options)


def test_folders_without_a_split(folder):
    path = folder
    with told("vision/loaders.py", "write from_folder(path, valid_pct=0.2)"):
        ImageDataLoaders.from_folder(path)
    assert len(ImageDataLoaders.from_folder(path, valid_pct=0.2, bs=2, num_workers=0).valid_ds) == 1


# -- models and their weights
def test_weights_of_functions(tmp_path):
    def plain():
        return body()

    with told("vision/models/backbones.py", "pass pretrained=False to start from random weights, or weights='path/of/file'"):
        vision_learner(images(), plain)
    torch.save(plain().state_dict(), tmp_path / "w.pth")
    assert vision_learner(images(), plain, pretrained=False)
    assert vision_learner(images(), plain, weights=tmp_path / "w.pth", normalize=False)


def test_weights_that_do_not_fit(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    with told("vision/models/backbones.py", "weights=… do not fit …: "):
        vision_learner(images(), weighted, weights=tmp_path / "w.pth")
    torch.save(body().state_dict(), tmp_path / "w.pth")
    assert vision_learner(images(), weighted, weights=tmp_path / "w.pth", normalize=False)


@pytest.mark.parametrize("cut", [-1, 2, lambda model: nn.Sequential(*list(model)[:2])])
def test_a_body_without_pooling(cut):
    def flat(pretrained=False):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))

    with told("vision/models/backbones.py", "Pass cut=-1 to leave out its last child, another number, or a function of the model"):
        vision_learner(images(), flat, pretrained=False)
    assert vision_learner(images(), flat, pretrained=False, cut=cut)


@pytest.mark.parametrize("ps", [0.5, [0.2, 0.5]])
def test_dropout_of_a_head(ps):
    with told("vision/models/heads.py", "give one number, or one per linear layer (lin_ftrs="):
        create_head(4, 2, lin_ftrs=[8], ps=[0.1, 0.2, 0.3])
    create_head(4, 2, lin_ftrs=[8], ps=ps)                  # lin_ftrs=[8]: two linear layers


def test_weights_by_name(tmp_path):
    torch.save(body().state_dict(), tmp_path / "file.pth")
    with told("vision/models/pretrained.py", "; pass weights='path/of/file.pth'"):
        vision_learner(images(), weighted, weights="IMAGENET1K_V1")
    assert vision_learner(images(), weighted, weights=str(tmp_path / "file.pth"), normalize=False)


def test_weights_of_another_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path))
    name = Path(torchvision.models.ResNet18_Weights.DEFAULT.url).name
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / name).write_bytes(b"x")
    monkeypatch.setattr(pretrained, "reachable", lambda url, timeout=None: False)
    with told("vision/models/pretrained.py", "Delete it, or pass weights='path/of/another/file'"):
        pretrained.find_weights(name)
    torch.save({"a": torch.ones(1)}, tmp_path / "another.pth")
    assert pretrained.load_pretrained(torchvision.models.ResNet18_Weights, weights=tmp_path / "another.pth")
    (tmp_path / "weights" / name).unlink()
    assert pretrained.find_weights(name) is None


def test_weights_that_cannot_be_read(tmp_path):
    model = body()
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with told("core/checkpoint.py", "are never loaded because that could run any code. Save `model.state_dict()` alone."):
        vision_learner(images(), weighted, weights=tmp_path / "w.pth")
    file = tmp_path / "w.pth"
    torch.save(model.state_dict(), file)
    assert vision_learner(images(), weighted, weights=file, normalize=False)


def test_weights_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(pretrained, "reachable", lambda url, timeout=None: False)
    choices = torchvision.models.SqueezeNet1_1_Weights
    with told("vision/models/pretrained.py", "and put it into … or … (on Kaggle: attach a dataset that has it), or pass "
                                             "weights='path/of/file', or pretrained=False to start from random weights"):
        vision_learner(images(), "squeezenet1_1")
    state = torchvision.models.squeezenet1_1().state_dict()
    file = tmp_path / "file.pth"
    torch.save(state, file)
    assert vision_learner(images(), "squeezenet1_1", weights=file) and vision_learner(images(), "squeezenet1_1", pretrained=False)
    name = Path(choices.DEFAULT.url).name
    for place in (tmp_path / "weights", tmp_path / "hub" / "checkpoints"):
        place.mkdir(parents=True)
        (place / name).write_bytes(file.read_bytes())
        monkeypatch.setattr(pretrained, "sha256_of", lambda path: name.rpartition("-")[2].split(".")[0])
        assert pretrained.load_pretrained(choices).keys() == state.keys()
        (place / name).unlink()


def test_timm(monkeypatch, tmp_path):
    with told("vision/models/pretrained.py", "If it is one of timm: pip install minifast[timm]"):
        with monkeypatch.context() as m:
            m.setitem(__import__("sys").modules, "timm", None)
            vision_learner(images(), "convnext_pico")
    assert "timm" in extra("timm")
    timm = pytest.importorskip("timm")
    monkeypatch.setattr(pretrained, "reachable", lambda url, timeout=None: False)
    with told("vision/models/pretrained.py", "Without a network pass weights='path/of/file' (.safetensors), or pretrained=False"):
        vision_learner(images(), "resnet10t")
    from safetensors.torch import save_file
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "file.safetensors")
    assert vision_learner(images(), "resnet10t", weights=tmp_path / "file.safetensors")
    assert vision_learner(images(), "resnet10t", pretrained=False)


def test_an_xresnet_has_no_weights():
    with told("vision/models/xresnet.py", "pass pretrained=False to start from random weights"):
        xresnet18(pretrained=True)
    assert xresnet18(pretrained=False)


# -- methods of fastai's tensors
def test_methods_of_tensors():
    x, mat, (height, width), size, k = TensorImage(torch.rand(2, 3, 8, 8)), torch.eye(2, 3).expand(2, 2, 3), (4, 6), 6, 2

    def func(logits):
        return logits + 1

    with told("vision/tensors.py", "write `…(...)(x)` with the same arguments"):
        x.rotate(max_deg=20)
    assert Rotate(max_deg=20)(x).shape == x.shape
    with told("vision/tensors.py", "for another size write `F.interpolate(x, (height, width))`, for a matrix (B,2,3) `F.grid_sample(x, "
                                   "F.affine_grid(mat, x.shape))`"):
        x.affine_coord(sz=4)
    assert F.interpolate(x, (height, width)).shape[-2:] == (4, 6)
    assert F.grid_sample(x, F.affine_grid(mat, x.shape, align_corners=False), align_corners=False).shape == x.shape
    with told("vision/tensors.py", "write `torch.sigmoid(func(torch.logit(x)))`, or use Brightness(...)(x) and Contrast(...)(x)"):
        x.lighting(func)
    assert torch.sigmoid(func(torch.logit(x))).shape == Brightness(max_lighting=0.4)(x).shape == Contrast(max_lighting=0.4)(x).shape
    with told("vision/tensors.py", "write `x.flip(-1)`"):
        x.flip_lr()
    assert torch.equal(x.flip(-1).flip(-1), x)
    with told("vision/tensors.py", "write `Dihedral(p=1, draw=k)(x)` of a batch"):
        x.dihedral(k)
    assert Dihedral(p=1, draw=k)(x).shape == x.shape
    with told("vision/tensors.py", "write `torchvision.transforms.v2.functional.center_crop(x, size)`"):
        x.crop_pad(size)
    assert torchvision.transforms.v2.functional.center_crop(x, size).shape[-2:] == (6, 6)
    with told("vision/tensors.py", "write `TensorBase(x).pca(k)`"):
        x.pca(k)
    assert TensorBase(torch.rand(5, 4)).pca(k).shape == (5, 2)


# -- test-time augmentation of positions
def segmentation(**kwargs):
    def mask(i):
        return PILMask.create(np.zeros((8, 8), dtype=np.uint8))

    dls = images(MaskBlock(["a", "b"]), get_y=mask, **kwargs)
    return quiet(Learner(dls, nn.Conv2d(3, 2, 1), CrossEntropyLossFlat(axis=1)))


def test_geometry_that_is_not_known():
    class Shift(RandTransform):
        def encodes(self, x: TensorImage):
            return x.roll(1, -1)

    with told("vision/tta_geometry.py", "Use the geometric transforms of aug_transforms()"):
        with recording([Shift(p=0.5)]):
            pass
    with recording(aug_transforms()) as record:
        assert record == []
    with told("vision/tta_geometry.py", "Add `batch_tfms=aug_transforms()`, or use get_preds()"):
        tta_masks(segmentation())
    assert tta_masks(segmentation(batch_tfms=aug_transforms()), n=1)[0].shape == segmentation().get_preds()[0].shape


def test_positions_and_boxes():
    learn = segmentation(batch_tfms=aug_transforms())
    with told("vision/tta_geometry.py", "Leave use_max out"):
        tta_points(learn, use_max=True)
    assert callable(tta_points)

    def points(i):
        return torch.tensor([[2.0, 3.0]])

    dls = images(PointBlock, get_y=points, batch_tfms=aug_transforms())
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Unflatten(1, (1, 2)))
    assert quiet(Learner(dls, model, MSELossFlat())).tta(n=1)[0].shape == (2, 1, 2)
    with told("vision/tta_geometry.py", "Use get_preds()"):
        tta_boxes(learn)
    assert learn.get_preds()[0].shape == (2, 2, 8, 8)


# -- files
def test_downloads(folder, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(http.server.SimpleHTTPRequestHandler, directory=folder / "cat"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/0.png"
    url_file = tmp_path / "urls.txt"
    url_file.write_text(url)
    with told("vision/utils.py", "takes a list of URLs, or url_file=, a text file with one in each line: give one of them"):
        download_images(tmp_path / "d", urls=[url], url_file=url_file)
    with told("vision/utils.py", "For one write urls=[url], for a file url_file="):
        download_images(tmp_path / "d", urls=url)
    assert len(download_images(tmp_path / "d", urls=[url])) == len(download_images(tmp_path / "e", url_file=url_file)) == 1
    server.shutdown()


def test_an_absolute_file_to_resize(folder, tmp_path):
    file, dest = folder / "cat" / "0.png", tmp_path / "small"
    before = file.read_bytes()
    with told("vision/utils.py", "Write resize_image(file.name, dest, src=file.parent)"):
        resize_image(file, dest, max_size=6)
    assert resize_image(file.name, dest, src=file.parent, max_size=6) == dest / "0.png" and file.read_bytes() == before


def test_a_format_that_pillow_does_not_know(folder, tmp_path):
    with told("vision/utils.py", "give another with ext=, or img_format="):
        resize_image("0.png", tmp_path, folder / "cat", max_size=6, ext=".xyz")
    assert resize_image("0.png", tmp_path, folder / "cat", max_size=6, ext=".jpg").exists()
    assert resize_image("0.png", tmp_path, folder / "cat", max_size=6, ext=".xyz", img_format="PNG").exists()


def test_several_items_and_names_for_paths(folder):
    files = get_image_files(folder)
    label = {f"{i}.png": i % 2 for i in range(4)}
    with told("vision/loaders.py", "from_name_func gives the function the name of the file, a str such as …; for its path write "
                                   "from_path_func"):
        ImageDataLoaders.from_name_func(folder, files, lambda f: label[f.name], bs=2, num_workers=0)
    ImageDataLoaders.from_name_func(folder, files, lambda name: label[name], bs=2, num_workers=0)
    dls = ImageDataLoaders.from_path_func(folder, files, lambda f: label[Path(f).name], bs=2, num_workers=0)
    learn = quiet(Learner(dls, body()))
    with told("learner/inference.py", "predict takes one item; for several write learn.get_preds(dl=learn.dls.test_dl(items))"):
        learn.predict(files[:2])
    assert len(learn.get_preds(dl=learn.dls.test_dl(files[:2]))[0]) == 2
    with told("data/show.py", "show_batch(…): the first argument is a batch; for the number of items write show_batch(max_n=…)"):
        dls.show_batch(2)
    dls.show_batch(max_n=2)
