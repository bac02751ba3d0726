"What is said of names of fastai's that are absent: images. The others: test_compat.py, test_compat_functions.py."
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest
from suggestions import told
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import rgb_to_grayscale
from workshop import image, images, parity, quiet, wanted

from minifast.vision.all import *


def files(folder):
    "Four images in folders of their classes."
    for i in range(4):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        image(i).save(folder / "ab"[i % 2] / f"{i}.png")
    return ImageDataLoaders.from_folder(folder, valid_pct=0.5, seed=1, bs=2, num_workers=0)


# -- targets
def test_boxes():
    with told("compat/fastai_names.py", "write `DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, ...)`"):
        wanted("BBoxLabeler")
    dls = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, get_x=image, get_y=[lambda i: [[0, 0, 4, 4]], lambda i: ["a"]],
                    splitter=IndexSplitter([0])).dataloaders(list(range(6)), bs=2, num_workers=0)
    _, boxes, labels = dls.one_batch()
    assert boxes.shape == (2, 1, 4) and labels.shape == (2, 1)


def test_items_that_fail():
    def unless_3(i):
        return image(i) if i != 3 else PILImage.create("nothing.png")

    with told("compat/fastai_names.py", "write `on_error='skip'` where the loaders are made: another item of the batch takes the place of"):
        wanted("SkipItemException")
    block = DataBlock((ImageBlock, CategoryBlock), get_x=unless_3, get_y=parity, splitter=IndexSplitter([0, 1]))
    with pytest.warns(UserWarning, match="int 3 could not be made"):
        batches = list(block.dataloaders(list(range(8)), bs=3, num_workers=0, on_error="skip").train)
    assert [len(x) for x, _ in batches] == [3, 3]


def test_opened_targets(tmp_path):
    mask = np.zeros((8, 8), dtype=np.uint8)
    PILMask.create(mask).save(tmp_path / "mask.png")
    with told("compat/fastai_names.py", "`MaskBlock` and `PointBlock` open files and points themselves; in a pipeline of your own write"):
        wanted("OpenMask")
    for block, y in ((MaskBlock(codes=["a", "b"]), tmp_path / "mask.png"), (PointBlock, [[1, 2]])):
        assert images(block, lambda i, y=y: y).one_batch()[1].shape[1:] in ((8, 8), (1, 2))
    sets = Datasets([0], [[lambda i: tmp_path / "mask.png", PILMask.create], [lambda i: [[1, 2]], TensorPoint.create]])
    assert isinstance(sets[0][0], PILMask) and isinstance(sets[0][1], TensorPoint)


# -- images
class Brighter(RandTransform):
    "An augmentation of one's own."

    order = 60              # of numbers from 0 to 1

    def draw(self, sample, rng, split_idx):
        return {"by": 10.0}

    def encodes(self, x, by):
        return x + by if x.is_floating_point() else x


def test_augmentations():
    with told("compat/fastai_names.py", "subclass `RandTransform` and override `draw` and `encodes`, or put a transform of"):
        wanted("AffineCoordTfm")
    brightest = [max(x.max() for x, _ in images(batch_tfms=tfms).train) for tfms in ([], [Brighter()], [v2.RandomInvert(p=1)])]
    assert brightest[0] < 0.75 < min(brightest[1:])


def test_colours():
    x = torch.rand(2, 3, 4, 4)
    with told("compat/fastai_names.py", "write `rgb_to_grayscale` of `torchvision.transforms.v2.functional`"):
        wanted("grayscale")
    assert torch.allclose(rgb_to_grayscale(x), (x * torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True), atol=1e-3)
    with told("compat/fastai_names.py", "write `Hue(...)` and `Saturation(...)`; for arrays whose last axis is that of the channels "
                                         "matplotlib.colors has `rgb_to_hsv` and `hsv_to_rgb`"):
        wanted("rgb2hsv")
    hsv = matplotlib.colors.rgb_to_hsv(x.movedim(1, -1).numpy())
    assert np.allclose(matplotlib.colors.hsv_to_rgb(hsv), x.movedim(1, -1).numpy(), atol=1e-5)
    assert Hue(0.1, p=1.0)(x).shape == Saturation(0.5, p=1.0)(x).shape == x.shape


def test_pictures(tmp_path):
    name, folder, dest, size, x = "a.png", tmp_path, tmp_path / "small", (4, 4), np.zeros((8, 8, 3), dtype=np.uint8)
    image(1).save(folder / name)
    with told("compat/fastai_names.py", "write `RandomCrop`"):
        wanted("OldRandomCrop")
    assert RandomCrop(4)(image(1)).size == (4, 4)
    with told("compat/fastai_names.py", "write `PILImage.create(x)`"):
        wanted("to_image")
    im = PILImage.create(x)
    assert im.size == PILImage.create(torch.rand(3, 8, 8)).size == (8, 8)
    with told("compat/fastai_names.py", "write `resize_image(name, dest, src=folder, max_size=...)` for a file, or `im.resize(size)` of"):
        wanted("resize_to")
    resize_image(name, dest, src=folder, max_size=4)
    assert PILImage.create(dest / name).size == im.resize(size).size == (4, 4)


class Silent(SimpleHTTPRequestHandler):
    "Serves a folder and prints nothing."

    def log_message(self, *args):
        pass


def test_downloads(tmp_path):
    dest = tmp_path / "dest"
    image(1).save(tmp_path / "a.png")
    with told("compat/fastai_names.py", "collect the URLs and write `download_images(dest, urls=urls)`"):
        wanted("search_images_bing")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_address[1]}/a.png"]
        download_images(dest, urls=urls)
        server.shutdown()
    assert [PILImage.create(f).size for f in dest.iterdir()] == [(8, 8)]


def test_widgets(tmp_path, capsys):
    pytest.importorskip("ipywidgets")
    from IPython.display import display
    from minifast.vision.widgets import HBox, widgets
    im, file = image(1), tmp_path / "a.png"
    im.save(file)
    with told("compat/fastai_names.py", "write `display(im)`, or `widgets.Image(value=file.read_bytes())`, and for several `HBox([...])`"):
        wanted("carousel")
    display(im)
    assert "8x8" in capsys.readouterr().out
    assert len(HBox([widgets.Image(value=file.read_bytes())]).children) == 1
    learn = quiet(Learner(files(tmp_path / "images"), nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), path=tmp_path))
    with told("compat/fastai_names.py", "write `ImageClassifierCleaner(learn)`"):
        wanted("ImagesCleaner")
    assert len(ImageClassifierCleaner(learn).fns) >= 0


def test_top_losses():
    k = 2
    with told("compat/fastai_names.py", "write `interp.plot_top_losses(k)`, a method of every interpretation"):
        wanted("plot_top_losses")
    learn = quiet(Learner(images(), nn.Sequential(nn.Flatten(), nn.Linear(192, 2))))
    for interp in (Interpretation.from_learner(learn), ClassificationInterpretation.from_learner(learn)):
        interp.plot_top_losses(k)
    plt.close("all")


def test_medical_images():
    file, low, high = "slice.dcm", -1000, 1000
    dcmread = lambda file: SimpleNamespace(pixel_array=np.linspace(-1000, 1000, 64, dtype=np.int16).reshape(8, 8))  # noqa: E731 - pydicom's
    with told("compat/fastai_names.py", "read the files with pydicom, and write `PILImage.create(dcmread(file).pixel_array,"):
        wanted("PILDicom")
    assert PILImage.create(dcmread(file).pixel_array, value_range=(low, high)).getextrema()[0] == (0, 255)
