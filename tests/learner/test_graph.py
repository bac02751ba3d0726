"""`to_onnx` and `to_torch_export`: every application, what is inside the graph, and what cannot be exported."""
import functools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from minifast.callbacks import Callback, MixedPrecision
from minifast.collab import CollabDataLoaders, collab_learner
from minifast.data.loaders import DataLoaders
from minifast.learner import graph
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.tabular import all as tables
from minifast.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IntToFloatTensor,
    MaskBlock,
    MultiCategoryBlock,
    Normalize,
    RegressionBlock,
    Resize,
    aug_transforms,
    get_image_files,
    imagenet_stats,
    resnet18,
    unet_learner,
    vision_learner,
)

INSTALLED = [pytest.param(verb, marks=[] if verb == "to_torch_export" else
                          pytest.mark.skipif(any(graph.find_spec(o) is None for o in ("onnx", "onnxruntime", "onnxscript")),
                                             reason="onnx, onnxruntime and onnxscript are not installed: pip install 'minifast[onnx]'"))
             for verb in ("to_torch_export", "to_onnx")]
both = pytest.mark.parametrize("verb", INSTALLED)
with_onnx = pytest.mark.parametrize("verb", INSTALLED[1:])


def run(file, *inputs):
    "What a program that knows nothing of minifast gets from the file."
    if file.suffix == ".pt2":
        with open(file, "rb") as f:
            return torch.export.load(f).module()(*inputs).detach()
    import onnxruntime
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {o.name: x.numpy() for o, x in zip(session.get_inputs(), inputs, strict=True)})[0])


def about(file):
    "What the file says about itself."
    if file.suffix == ".pt2":
        extra = {"minifast.json": ""}
        with open(file, "rb") as f:
            torch.export.load(f, extra_files=extra)
        return json.loads(extra["minifast.json"])
    import onnxruntime
    return json.loads(onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map["minifast"])


@pytest.fixture(scope="module", autouse=True)
def one_registry():
    "What torch knows to write as ONNX is always the same: it takes a second to collect, and is collected once instead of for each file."
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
        collect = ONNXRegistry.from_torchlib
    except (ImportError, AttributeError):                # of this torch; it may stand elsewhere in others
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(collect)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in "ab":
        (path / name).mkdir()
        for i in range(5):
            Image.fromarray(rng.integers(0, 255, (12, 14, 3), dtype=np.uint8)).save(path / name / f"{i}.png")
    return path


#: block of the target, function that labels a file, outputs of the model
TARGETS = {"single label": (CategoryBlock, lambda p: p.parent.name, 2),
           "multi-label": (MultiCategoryBlock, lambda p: ["x", p.parent.name], 3),
           "segmentation": (MaskBlock(codes=["u", "v", "w"]), lambda p: np.ones((12, 14), dtype=np.uint8), 3),
           "regression": (RegressionBlock, lambda p: float(p.stem), 1)}


def images(folder, target="single label", batch_tfms=(), model=None):
    block, label, n_out = TARGETS[target]
    dls = DataBlock((ImageBlock, block), get_items=get_image_files, get_y=label, item_tfms=Resize(8), batch_tfms=batch_tfms).dataloaders(
        folder, bs=4, num_workers=0, device="cpu")
    head = [nn.Conv2d(6, n_out, 1)] if target == "segmentation" else [nn.Flatten(), nn.Linear(6 * 64, n_out)]
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(), *head) if model is None else model
    learn = Learner(dls, model, path=folder)
    learn.logger = lambda row: None
    return learn


@both
@pytest.mark.parametrize("target", TARGETS)
def test_images(folder, verb, target):
    learn = images(folder, target, [*aug_transforms(max_zoom=1.2), Normalize.from_stats(*imagenet_stats)])
    file = getattr(learn, verb)("model")
    assert file == folder / ("model.onnx" if verb == "to_onnx" else "model.pt2")
    plain = learn.dls.valid.new(after_batch=IntToFloatTensor(), bs=64)
    x = plain.one_batch()[0].as_subclass(torch.Tensor)                 # in 0..1: normalisation is inside
    assert x.max() > 0.8 and x.min() >= 0
    preds = learn.get_preds()[0]
    for n in (len(x), 1):
        assert (run(file, x[:n]) - preds[:n]).abs().max() < 1e-4
    said = about(file)
    assert said["inputs"] == {"input": "float32[batch,3,8,8]"} and said["scaled inside"] == ["input"]
    assert said["done before"][0].startswith("Resize(") and said["done before"][-1].startswith("IntToFloatTensor(div=255")
    assert said["vocab"].get("target") == {"single label": ["a", "b"], "multi-label": ["a", "b", "x"],
                                           "segmentation": ["u", "v", "w"], "regression": None}[target]


@both
def test_torchvisions_normalize_is_inside_too(folder, verb):
    from torchvision.transforms import v2
    learn = images(folder, batch_tfms=[v2.Normalize(*imagenet_stats)])
    file = getattr(learn, verb)("v2")
    x = learn.dls.valid.new(after_batch=IntToFloatTensor(), bs=64).one_batch()[0].as_subclass(torch.Tensor)
    assert about(file)["scaled inside"] == ["input"] and (run(file, x) - learn.get_preds()[0]).abs().max() < 1e-4


def table():
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"c": rng.choice(list("xyz"), 40), "seconds": rng.normal(1.6e9, 1e5, 40), "m": rng.normal(size=40),
                       "y": rng.choice(["no", "yes"], 40)})
    df.loc[::7, "m"] = np.nan
    return df


@both
@pytest.mark.parametrize("names", [(["c"], ["seconds", "m"]), (["c"], []), ([], ["seconds"])])
def test_tables(tmp_path, verb, names):
    df = table()
    dls = tables.TabularDataLoaders.from_df(df, procs=[tables.Categorify, tables.FillMissing, tables.Normalize], cat_names=names[0],
                                            cont_names=names[1], y_names="y", bs=8, device="cpu")
    learn = tables.tabular_learner(dls, layers=[8], path=tmp_path)
    with learn.no_logging():
        file = getattr(learn, verb)("table")
    said = about(file)
    assert said["columns"]["categorical"] == list(map(str, dls.train.dataset.cat_names)) and said["columns"]["continuous"] == names[1]
    preds, codes = learn.get_preds(dl=dls.test_dl(df))[0], dls.test_dl(df).dataset.tensors[0]
    # numbers as in the table, in float64: seconds since 1970 lose their last digits in float32
    numbers = torch.tensor(df[names[1]].fillna(said["columns"]["fill"]).to_numpy(dtype=np.float64 if names[1] else np.float32))
    for n in (40, 1):
        assert (run(file, codes[:n], numbers[:n]) - preds[:n]).abs().max() < 1e-4
    assert said["scaled inside"] == (["x_cont"] if names[1] else [])


@both
@pytest.mark.parametrize("use_nn", [False, True])
def test_ratings(tmp_path, verb, use_nn):
    df = pd.DataFrame({"user": [1, 2] * 10, "item": list("abcde") * 4, "rating": [1.0, 5.0] * 10})
    learn = collab_learner(CollabDataLoaders.from_df(df, bs=4, device="cpu"), y_range=(0, 5.5), use_nn=use_nn, path=tmp_path)
    with learn.no_logging():
        file = getattr(learn, verb)("ratings")
    dl = learn.dls.test_dl(df)
    assert (run(file, dl.dataset.tensors[0]) - learn.get_preds(dl=dl)[0]).abs().max() < 1e-4
    assert about(file)["columns"]["categorical"] == ["user", "item"] and about(file)["vocab"]["column 'item'"][1:] == list("abcde")


@pytest.mark.slow
@with_onnx
def test_resnet_and_unet(folder, verb):
    learn = images(folder)
    vision = vision_learner(learn.dls, resnet18, pretrained=False, path=folder)
    unet = unet_learner(images(folder, "segmentation").dls, resnet18, pretrained=False, self_attention=True, path=folder)
    for learn in (vision, unet):
        x = learn.dls.valid.one_batch()[0]
        with learn.no_logging():
            file = getattr(learn, verb)("net")
        assert (run(file, x[:1]) - learn.get_preds()[0][:1]).abs().max() < 1e-4


def plain(model=None, n=5, loss=None, **kwargs):
    ds = TensorDataset(torch.rand(n, 4), torch.arange(n) % 2 if loss is None else torch.rand(n, 1))
    dls = DataLoaders(TorchLoader(ds, 2), TorchLoader(ds, 2), device="cpu")
    learn = Learner(dls, nn.Linear(4, 2) if model is None else model, CrossEntropyLossFlat() if loss is None else loss, **kwargs)
    learn.logger = lambda row: None
    return learn


@both
@pytest.mark.parametrize("n", [1, 5])
def test_loaders_of_torch_and_few_items(tmp_path, verb, n):
    learn = plain(n=n, path=tmp_path)
    x = torch.rand(7, 4)
    assert torch.allclose(run(getattr(learn, verb)("m"), x), learn.model(x).softmax(-1), atol=1e-5)


class Keyed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)

    def forward(self, scale, ids):
        return self.lin(ids) * scale[:, None]


@both
def test_inputs_by_keyword(tmp_path, verb):
    items = [{"ids": torch.rand(4), "scale": torch.tensor(2.0), "labels": torch.tensor(i % 2)} for i in range(6)]
    learn = Learner(DataLoaders(TorchLoader(items, 3), TorchLoader(items, 3), device="cpu"), Keyed(), CrossEntropyLossFlat(), path=tmp_path)
    with learn.no_logging():
        file = getattr(learn, verb)("keyed")
    ids, scale = torch.rand(2, 4), torch.rand(2)
    assert list(about(file)["inputs"]) == ["ids", "scale"]
    assert torch.allclose(run(file, ids, scale), learn.model(scale, ids).softmax(-1), atol=1e-5)


@both
def test_the_learner_stays_as_it_is(tmp_path, verb):
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    learn = plain(model, path=tmp_path, cbs=MixedPrecision("bf16"))
    learn.model.train()
    told, before, cbs, history = [], {k: v.clone() for k, v in learn.model.state_dict().items()}, list(learn.cbs), learn.recorder.values
    learn.logger = told.append
    state = torch.get_rng_state()
    file = getattr(learn, verb)("deep/m")
    assert learn.model.training and all(torch.equal(v, before[k]) for k, v in learn.model.state_dict().items())
    assert learn.cbs == cbs and all(cb.run for cb in cbs) and learn.recorder.values == history
    assert torch.equal(torch.get_rng_state(), state)
    assert [f.name for f in (tmp_path / "deep").iterdir()] == [file.name] and file.parent == tmp_path / "deep"
    assert len(told) == 1 and "input float32[batch,4] -> model, activation of CrossEntropyLossFlat" in told[0]


@both
def test_own_activation_of_a_loss(tmp_path, verb):
    class Own(nn.MSELoss):
        def activation(self, x):
            return x.tanh() * 2

    learn = plain(nn.Linear(4, 1), loss=Own(), path=tmp_path)
    x = torch.rand(3, 4)
    assert torch.allclose(run(getattr(learn, verb)("m"), x), learn.model(x).tanh() * 2, atol=1e-5)


@both
def test_norms_of_weights_become_plain_weights_in_the_graph_alone(tmp_path, verb):
    from torch.nn.utils import parametrizations
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 8)), parametrizations.spectral_norm(nn.Linear(8, 2)))
    learn = plain(model, path=tmp_path)
    names, x = list(model.state_dict()), torch.rand(3, 4)
    file = getattr(learn, verb)("m")
    model.eval()
    assert list(model.state_dict()) == names and torch.allclose(run(file, x), model(x).softmax(-1), atol=1e-5)


# -- what cannot be exported -----------------------------------------------------------------------------------------------------
class Branches(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x[:, :2]


class CountsTwo(nn.Linear):
    def forward(self, x):
        return super().forward(x.reshape(2, -1, 4)).reshape(-1, 2) if len(x) == 2 else super().forward(x)


class InNumpy(nn.Linear):
    def forward(self, x):
        return super().forward(x) * float(x.detach().numpy().mean())


class Random(nn.Linear):
    def forward(self, x):
        return super().forward(x) + torch.rand(2)


@both
@pytest.mark.parametrize("model", [Branches, CountsTwo, InNumpy])
def test_models_that_are_no_graph(tmp_path, verb, model):
    learn = plain(model(4, 2), path=tmp_path)
    said = f"cannot make a graph of {model.__name__}: .+ A graph has no Python in it: write torch.where"
    with pytest.raises(ValueError, match=said) as e:
        getattr(learn, verb)("m")
    assert e.value.__cause__ is not None and list(tmp_path.iterdir()) == []


@both
def test_a_model_that_draws_random_numbers(tmp_path, verb):
    learn = plain(Random(4, 2), path=tmp_path)
    with pytest.raises((ValueError, RuntimeError), match="predicts something else"):
        getattr(learn, verb)("m")
    assert list(tmp_path.iterdir()) == []


@both
def test_a_callback_that_changes_predictions(tmp_path, verb):
    class Doubles(Callback):
        def after_pred(self):
            self.learn.pred = self.learn.pred * 2

    with pytest.raises(ValueError, match=r"a callback changes batches or predictions.*learn\.remove_cb\(\.\.\.\)\. Callbacks: .*Doubles"):
        getattr(plain(cbs=Doubles(), path=tmp_path), verb)("m")


@both
def test_a_transform_behind_the_normalisation(folder, verb):
    from minifast.vision.all import Transform

    class Later(Transform):
        order = 120

    with pytest.raises(ValueError, match="Later comes after Normalize.* belongs inside the graph.*an order below that of the norm"):
        getattr(images(folder, batch_tfms=[Normalize.from_stats(*imagenet_stats), Later()]), verb)("m")


@both
@pytest.mark.parametrize("name", ["", "model.pkl", 3, None, "."])
def test_names(tmp_path, verb, name):
    with pytest.raises(ValueError, match=r"the file is a name such as 'model\.(onnx|pt2)', or a path; received"):
        getattr(plain(path=tmp_path), verb)(name)


@pytest.mark.parametrize("missing", [("onnxruntime",), ("onnx", "onnxscript")])
def test_without_the_packages(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(graph, "find_spec", lambda name: None if name in missing else True)
    with pytest.raises(ImportError, match=rf"not installed: {', '.join(missing)}\. Write: pip install 'minifast\[onnx\]'"):
        plain(path=tmp_path).to_onnx("m")


@with_onnx
def test_a_model_too_large_for_one_file(tmp_path, monkeypatch, verb):
    monkeypatch.setattr(graph, "ONNX_LIMIT", 40)
    with pytest.raises(ValueError, match="use to_torch_export"):
        getattr(plain(path=tmp_path), verb)("m")


@with_onnx
def test_large_values_are_compared_by_their_scale(tmp_path, verb):
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
    with torch.no_grad():
        model[-1].weight.mul_(1e6)
    assert getattr(plain(model, loss=MSELossFlat(), path=tmp_path), verb)("m").exists()
