"""What is said of names of fastai's that are absent: callbacks, data, models and images. Small functions: test_compat_functions.py.

Each name is asked for as programs do, `from minifast.callback.core import ...`.
"""
import sys
import threading
import unittest.mock
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import rgb_to_grayscale
from workshop import BodyHead, learner, numbers, quiet, wanted

from minifast.callbacks import TensorBoardCallback, WandbCallback
from minifast.optim import NORM_TYPES, get_hyper, set_hyper
from minifast.tabular.all import TabDataLoader, TabularPandas
from minifast.vision.all import *


def image(i):
    return PILImage.create(np.full((8, 8, 3), 20 * i, dtype=np.uint8))


def parity(i):
    return i % 2


def images(blocks=(ImageBlock, CategoryBlock), get_y=parity, **kwargs):
    block = DataBlock(blocks, get_x=image, get_y=get_y, splitter=IndexSplitter([0, 1]), **kwargs)
    return block.dataloaders(list(range(8)), bs=3, num_workers=0)


def files(folder):
    "Four images in folders of their classes."
    for i in range(4):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        image(i).save(folder / "ab"[i % 2] / f"{i}.png")
    return ImageDataLoaders.from_folder(folder, valid_pct=0.5, seed=1, bs=2, num_workers=0)


# -- callbacks and the loop
def test_parts_of_a_fit():
    n_epoch, k, learn = 3, 2, learner()
    with told("compat/fastai_names.py", "write `learn.fit(n_epoch, start_epoch=k)`, which starts at epoch `k`"):
        wanted("SkipToEpoch")
    learn.fit(n_epoch, start_epoch=k)
    assert learn.epoch == n_epoch - 1 and len(learn.recorder.values) == 1
    with told("compat/fastai_names.py", "`learn.get_preds(with_input=True, with_loss=True)` returns the inputs, predictions, targets and"):
        wanted("FetchPredsCallback")
    inputs, preds, targets, losses = learn.get_preds(with_input=True, with_loss=True)
    assert [o.shape for o in (inputs, preds, targets, losses)] == [(20, 4), (20, 3), (20,), (20,)]


def test_mixed_precision():
    with told("compat/fastai_names.py", "write `learn.to_fp16()`, `learn.to_bf16()` or `cbs=MixedPrecision()`"):
        wanted("ModelToHalf")
    learner(cbs=MixedPrecision()).fit(1)
    learner().to_bf16().fit(1)
    learner().to_fp16()


def test_schedules():
    start, end, pos = 0.0, 2.0, 0.5
    with told("compat/fastai_names.py", "`SchedCos(start, end)(pos)`, and likewise `SchedLin`, `SchedExp`, `SchedNo` and `SchedPoly`; any"):
        wanted("sched_cos")
    assert SchedCos(start, end)(pos) == pytest.approx(1) == SchedLin(start, end)(pos)
    assert SchedExp(1, 4)(pos) == pytest.approx(2) and SchedNo(start, end)(pos) == 0 and SchedPoly(start, end, 2)(pos) == 0.5
    learn = learner(cbs=ParamScheduler({"lr": lambda pos: 0.1 + pos}))      # any function of `pos`
    learn.fit(1)
    assert learn.recorder.lrs[0] == pytest.approx(0.1)


def test_norm_layers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with told("compat/fastai_names.py", "write `cbs=BnFreeze()`, or `Learner(..., train_bn=False)` for the norm layers of frozen groups"):
        wanted("set_bn_eval")
    before = model[1].running_mean.clone()
    learner(model, cbs=BnFreeze()).fit(1)
    assert torch.equal(before, model[1].running_mean)
    learn = learner(nn.Sequential(model, nn.Linear(3, 3)), train_bn=False, splitter=lambda m: [params(m[0]), params(m[1])])
    learn.freeze()
    learn.fit(1)
    assert torch.equal(before, model[1].running_mean)
    with told("compat/fastai_names.py", "write `(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)`"):
        wanted("bn_types")
    assert isinstance(model[1], (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
    with told("compat/fastai_names.py", "write `NORM_TYPES` of `minifast.optim`"):
        wanted("norm_types")
    assert isinstance(nn.LayerNorm(3), NORM_TYPES) and not isinstance(nn.Linear(3, 3), NORM_TYPES)


def test_replaced_attributes():
    o, value = SimpleNamespace(name=1), 2
    with told("compat/fastai_names.py", "write `with unittest.mock.patch.object(o, 'name', value):`"):
        wanted("replacing_yield")
    with unittest.mock.patch.object(o, "name", value):
        assert o.name == 2
    assert o.name == 1


@pytest.mark.parametrize("name", ["CometCallback", "AzureMLCallback"])
def test_services(name):
    sent = []

    class Service(Callback):
        order = 60

        def after_epoch(self):
            sent.append(self.recorder.values[-1])

    with told("compat/fastai_names.py", "write a `Callback` with `order = 60` whose `after_epoch` calls the service:"):
        wanted(name)
    learn = learner(cbs=Service())
    learn.fit(2)
    assert sent == list(learn.recorder.values) and len(sent) == 2


def test_files_of_a_run(monkeypatch, tmp_path):
    wandb = SimpleNamespace(log_artifact=lambda path: path)         # as where wandb is not installed
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    path = tmp_path / "model.safetensors"
    with told("compat/fastai_names.py", "for files write `wandb.log_artifact(path)`"):
        wanted("log_model")
    assert WandbCallback and wandb.log_artifact(path) == path


def test_embeddings_in_tensorboard(monkeypatch, tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    monkeypatch.chdir(tmp_path)
    weights, labels = torch.rand(3, 2), ["a", "b", "c"]
    with told("compat/fastai_names.py", "for embeddings write `SummaryWriter().add_embedding(weights, labels)` with `SummaryWriter` of"):
        wanted("projector_word_embeddings")
    SummaryWriter().add_embedding(weights, labels)
    assert TensorBoardCallback and next(tmp_path.rglob("metadata.tsv")).read_text().split() == labels


# -- saving
def test_saved_models(tmp_path):
    learn = learner(path=tmp_path)
    with told("compat/fastai_names.py", "write `learn.save('name')` and `learn.load('name')`; `learn.load('name.pth')` also reads"):
        wanted("save_model")
    learn.save("name")
    learn.load("name")
    weights = learn.model.state_dict()
    for saved in (weights, {"model": weights, "opt": {"hypers": [{"lr": 1}], "state": []}}):
        torch.save(saved, tmp_path / "models" / "name.pth")
        assert learner(path=tmp_path).load("name.pth", with_opt=False)
        learner(path=tmp_path).load("name.pth")


# -- data
class Chord:
    "Items that show themselves."

    def __init__(self, notes):
        self.notes = notes

    def show(self, ctx=None, **kwargs):
        print("chord", *self.notes)
        return ctx


class Notes(Transform):
    "A chord as numbers, and back."

    def encodes(self, x: Chord):
        return torch.tensor(x.notes)

    def decodes(self, x):
        return Chord(x.tolist())


def test_showing(capsys):
    with told("compat/fastai_names.py", "nothing is dispatched on types: give the class of your items a method `show`"):
        wanted("get_show_batch_func")
    dls = DataBlock([TransformBlock(type_tfms=[Notes()])], get_x=lambda i: Chord([i, i + 4]), splitter=IndexSplitter([0]), n_inp=1)
    dls.dataloaders(list(range(6)), bs=2, num_workers=0, shuffle=False).show_batch(max_n=1)
    assert capsys.readouterr().out.startswith("chord ")


def test_classes_of_data():
    class Pairs(Datasets):
        "A subclass of `Datasets`."

    class Lists(TfmdLists):
        "A subclass of `TfmdLists`."

    with told("compat/fastai_names.py", "write a subclass of `Datasets` or `TfmdLists`"):
        wanted("FilteredBase")
    assert Pairs([1, 2], [[noop], [parity]])[0] == (1, 1) and Lists([1, 2], [parity])[1] == 0


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


def test_collation():
    with told("compat/fastai_names.py", "write `DataLoader(collate_fn=...)` for your own collation, or `before_batch=` to change the"):
        wanted("fa_collate")
    data = [(torch.tensor([float(i)]), i) for i in range(4)]
    assert DataLoader(data, bs=4, collate_fn=len).one_batch() == 4
    x, _ = DataLoader(data, bs=4, before_batch=lambda samples: [(x * 2, y) for x, y in samples]).one_batch()
    assert x.flatten().tolist() == [0, 2, 4, 6]


def test_opened_targets(tmp_path):
    mask = np.zeros((8, 8), dtype=np.uint8)
    PILMask.create(mask).save(tmp_path / "mask.png")
    with told("compat/fastai_names.py", "`MaskBlock` and `PointBlock` open files and points themselves; in a pipeline of your own write"):
        wanted("OpenMask")
    for block, y in ((MaskBlock(codes=["a", "b"]), tmp_path / "mask.png"), (PointBlock, [[1, 2]])):
        assert images((ImageBlock, block), get_y=lambda i, y=y: y).one_batch()[1].shape[1:] in ((8, 8), (1, 2))
    sets = Datasets([0], [[lambda i: tmp_path / "mask.png", PILMask.create], [lambda i: [[1, 2]], TensorPoint.create]])
    assert isinstance(sets[0][0], PILMask) and isinstance(sets[0][1], TensorPoint)


def test_batches_of_tables():
    df = pd.DataFrame({"a": np.arange(6.0), "y": np.arange(6.0)})
    with told("compat/fastai_names.py", "`TabDataLoader` makes batches of whole columns: leave it out"):
        wanted("ReadTabBatch")
    assert len(TabDataLoader(TabularPandas(df, cont_names=["a"], y_names="y"), bs=3).one_batch()[-1]) == 3


# -- layers, models, optimizers
def test_activations_and_layers(monkeypatch):
    x, seen = torch.rand(2, 3, 5), []
    with told("compat/fastai_names.py", "write `nn.Mish()` or `nn.SiLU()`"):
        wanted("SwishJit")
    assert nn.Mish()(x).shape == nn.SiLU()(x).shape
    with told("compat/fastai_names.py", "write `breakpoint()` in the `forward` of a module"):
        wanted("Debugger")

    class Stop(nn.Module):
        def forward(self, x):
            breakpoint()
            return x

    monkeypatch.setattr(sys, "breakpointhook", lambda: seen.append("stopped"))
    assert torch.equal(Stop()(x), x) and seen == ["stopped"]
    with told("compat/fastai_names.py", "write `bn(x.flatten(0, -2)).view_as(x)` with `bn = nn.BatchNorm1d(x.shape[-1])`"):
        wanted("BatchNorm1dFlat")
    bn = nn.BatchNorm1d(x.shape[-1])
    assert bn(x.flatten(0, -2)).view_as(x).mean((0, 1)).abs().max() < 1e-5
    with told("compat/fastai_names.py", "write a class on `Module`, which needs no `super().__init__()`"):
        wanted("module")

    class Scale(Module):
        def __init__(self):
            self.w = nn.Parameter(torch.ones(5))

        def forward(self, x):
            return x * self.w

    assert len(list(Scale().parameters())) == 1 and torch.equal(Scale()(x), x)


def test_models():
    x = torch.rand(2, 3, 16, 16)
    with told("compat/fastai_names.py", "write `AdaptiveConcatPool2d()`, `nn.AdaptiveAvgPool2d(1)` or `nn.AdaptiveMaxPool2d(1)`"):
        wanted("adaptive_pool")
    assert [pool(x).shape[1] for pool in (AdaptiveConcatPool2d(), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1))] == [6, 3, 3]
    model = nn.Sequential(nn.Linear(4, 3))
    with told("compat/fastai_names.py", "write `apply_init(model)`"):
        wanted("init_cnn")
    apply_init(model)
    assert not model[0].bias.any()
    with told("compat/fastai_names.py", "write the arguments out: `XResNet(ResBlock, 1, [2, 2, 2, 2])`"):
        wanted("g0")
    assert XResNet(ResBlock, 1, [2, 2, 2, 2])(x).shape == (2, 1000)


def test_hyper_parameters():
    opt = torch.optim.AdamW(nn.Linear(2, 1).parameters())
    name, value = "mom", 0.5
    with told("compat/fastai_names.py", "hyper-parameters are in `opt.param_groups`; `set_hyper(opt, name, value)` and `get_hyper(opt,"):
        wanted("set_item_pg")
    set_hyper(opt, name, value)
    assert get_hyper(opt, name) == [0.5] and opt.param_groups[0]["betas"][0] == 0.5


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
    for tfm in (Brighter(), v2.RandomInvert(p=1)):
        assert images(batch_tfms=[tfm]).one_batch()[0].max() > 0.75 > images().one_batch()[0].max()


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


def test_adversarial_training():
    dls, net, critic = numbers(), nn.Linear(2, 4), BodyHead(4, 1)
    with told("compat/fastai_names.py", "write the loop in PyTorch, over `dls.train`"):
        wanted("GANLearner")
    opt_g, opt_c = (torch.optim.Adam(m.parameters(), betas=(0.0, 0.99)) for m in (net, critic))
    for real, _ in dls.train:
        fake = net(torch.randn(len(real), 2))
        (critic(fake.detach()).mean() - critic(real).mean()).backward()
        opt_c.step()
        opt_c.zero_grad()
        (-critic(fake).mean()).backward()
        opt_g.step()
        opt_g.zero_grad()


def test_text():
    class Network(nn.Module):
        "Takes and returns what networks of transformers do."

        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(10, 2)

        def forward(self, input_ids, attention_mask):
            return SimpleNamespace(logits=(self.emb(input_ids) * attention_mask[..., None]).mean(1))

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Network()

        def forward(self, ids, mask):
            return self.model(ids, attention_mask=mask).logits

    with told("compat/fastai_names.py", "make batches `(input_ids, attention_mask, labels)` and a model with Hugging Face's transformers, "
                                         "put the model into an `nn.Module` whose `forward(self, ids, mask)` returns "
                                         "`self.model(ids, attention_mask=mask).logits`, and train that by "
                                         "`Learner(DataLoaders(train_dl, valid_dl), model, loss_func=...)`"):
        wanted("TextBlock")
    data = TensorDataset(torch.arange(40).view(8, 5) % 10, torch.ones(8, 5), torch.arange(8) % 2)
    train_dl, valid_dl = torch.utils.data.DataLoader(data, 4), torch.utils.data.DataLoader(data, 4)
    learn = quiet(Learner(DataLoaders(train_dl, valid_dl), Classifier(), loss_func=CrossEntropyLossFlat()))
    learn.fit(1)
    assert learn.get_preds()[0].shape == (8, 2)
