"What it takes to repeat a training, and what `save` and `load` make of it."
import gc
import json
import time
import warnings
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast import __version__
from minifast.callbacks import EMA, Callback, ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.tabular.all import Categorify, CategoryBlock, Normalize, TabularDataLoaders, tabular_learner
from minifast.vision.all import DataBlock, ImageBlock, IndexSplitter, imagenet_stats
from minifast.vision.all import Normalize as NormalizeImages


def make(path=None, **kwargs):
    torch.manual_seed(3)
    ds = TensorDataset(torch.randn(16, 4), torch.arange(16) % 2)
    dls = DataLoaders(DataLoader(ds, bs=4, shuffle=True), DataLoader(ds, bs=8))
    learn = Learner(dls, nn.Linear(4, 2), CrossEntropyLossFlat(), path=path, metrics="accuracy", **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(ProgressCallback)


def test_what_is_in_it():
    learn = make(cbs=EMA(0.9))
    learn.fit_one_cycle(2, 0.1, pct_start=0.4)
    learn.fine_tune(1, base_lr=0.01)
    record = learn.run_record()
    assert record["versions"]["minifast"] == __version__ and record["versions"]["torch"] == torch.__version__
    assert (record["device"], record["seed"], record["metrics"]) == ("cpu", 3, ["accuracy"])
    assert record["model"] | {"layers": ""} == {"class": "Linear", "parameters": 10, "trainable": 10, "layers": ""}
    assert record["loss"]["name"] == "CrossEntropyLossFlat" and record["optimizer"]["name"] == "AdamW"
    assert record["callbacks"]["EMA"] == {"decay": 0.9, "start_epoch": 0, "every": 1, "validate": True, "load_at_end": True}
    assert record["data"]["train"]["items"] == 16 and len(record["data"]["train"]["items_digest"]) == 16
    calls = [(f["method"], f["args"]["pct_start"]) for f in record["fits"]]
    assert calls == [("fit_one_cycle", 0.4), ("fine_tune", 0.3), ("fine_tune", 0.3)]                # fine_tune has two phases
    assert record["fits"][0]["args"]["n_epoch"] == 2 and record["fits"][0]["args"]["lr_max"] == 0.1
    time.strptime(record["fits"][0]["started"], "%Y-%m-%d %H:%M:%S")
    assert [row["epoch"] for row in record["epochs"]] == [0, 1, 0, 0] and "accuracy" in record["epochs"][0]
    assert json.loads(json.dumps(record)) == record


def test_before_any_fit_and_without_a_recorder():
    assert make().run_record()["fits"] == make(default_cbs=False).run_record()["epochs"] == []
    assert make().run_record()["optimizer"] == {"name": "Adam"}


def test_the_call_is_forgotten_after_an_error():
    def fail(cb):
        raise RuntimeError

    learn = make()
    with pytest.raises(RuntimeError):
        learn.fit_one_cycle(1, cbs=Callback(before_batch=fail))
    assert learn.call is None
    learn.fit(1)
    assert [f["method"] for f in learn.run_record()["fits"]] == ["fit_one_cycle", "fit"]
    with pytest.raises(TypeError, match=r"fit\(\) missing 1 required positional argument: 'n_epoch'"):
        learn.fit()
    learn.lr_find(num_it=8, show_plot=False)
    assert learn.call is None and len(learn.run_record()["fits"]) == 2


def test_arguments_that_are_objects(tmp_path):
    learn = make(tmp_path)
    learn.fit(1, slice(1e-3), wd=[0.1], cbs=[EMA(0.5), Callback(after_batch=lambda: None)])
    args = learn.run_record()["fits"][0]["args"]
    assert (args["lr"], args["wd"], args["cbs"]) == ("slice(None, 0.001, None)", [0.1], ["EMA(0.5)", "Callback"])


def test_callbacks_of_a_fit_are_let_go():
    learn, cb = make(), Callback(after_batch=lambda: None)
    gone = weakref.ref(cb)
    learn.fit(1, cbs=[cb])
    del cb
    gc.collect()
    assert gone() is None


def test_items_are_read_once(monkeypatch):
    learn, reads = make(), []
    monkeypatch.setattr("minifast.learner.run_record.digests_of", lambda dls: reads.append(dls) or {})
    for _ in range(3):
        learn.run_record()
    learn.dls = learn.dls.new()
    learn.run_record()
    assert len(reads) == 2


# -- beside saved weights -----------------------------------------------------------------------------------------------------------
def test_a_record_beside_each_save(tmp_path):
    learn = make(tmp_path)
    learn.fit(1)
    file = learn.save("a")
    record = json.loads((file.parent / "a.run.json").read_text())
    assert record["epochs"] == learn.run_record()["epochs"] and record["fits"][0]["method"] == "fit"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tmp_path).load("a")


def test_the_weights_are_saved_whatever_happens(tmp_path, monkeypatch):
    def fail(learn):
        raise RuntimeError("no")

    monkeypatch.setattr("minifast.learner.learner.run_record", fail)
    learn = make(tmp_path)
    with pytest.warns(UserWarning, match=r"a.safetensors is saved, but not the run's record beside it \(RuntimeError: no\)"):
        learn.save("a")
    make(tmp_path).load("a")


def table(names, scale=1.0):
    df = pd.DataFrame({"a": np.arange(40.0) * scale, "b": np.arange(40.0)[::-1] ** 2, "k": list("uv") * 20, "y": ["cat", "dog"] * 20})
    return TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names="k", cont_names=names, y_names="y", bs=8, device="cpu",
                                      y_block=CategoryBlock, splits=(range(30), range(30, 40)))


def test_columns_in_another_order_and_on_another_scale(tmp_path):
    tabular_learner(table(["a", "b"]), path=tmp_path).save("t")
    with pytest.warns(UserWarning, match=r"cont_names=\['a', 'b'\] there, \['b', 'a'\] here.*make the data as it was then, or train on"):
        tabular_learner(table(["b", "a"]), path=tmp_path).load("t")
    with pytest.warns(UserWarning, match=r"normalised with mean=\[14.5, 675.0\].* there, mean=\[1450.0, 675.0\], std=.* here"):
        tabular_learner(table(["a", "b"], 100.0), path=tmp_path).load("t")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tabular_learner(table(["a", "b"], 1.01), path=tmp_path).load("t")         # hardly another scale
        tabular_learner(table(["a", "b"]), path=tmp_path).load("t")


def test_images_that_are_normalised_otherwise(tmp_path):
    def images(*tfms):
        block = DataBlock((ImageBlock, CategoryBlock), get_x=lambda i: np.full((4, 4, 3), 9 * i, np.uint8), get_y=lambda i: i % 2,
                          splitter=IndexSplitter([0, 1]), batch_tfms=list(tfms))
        return Learner(block.dataloaders(list(range(8)), bs=2, num_workers=0), nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), path=tmp_path)

    images(NormalizeImages.from_stats(*imagenet_stats)).save("i")
    with pytest.warns(UserWarning, match=r"normalised with mean=\[0.485, 0.456, 0.406\], std=.* there, nothing here"):
        images().load("i")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images(NormalizeImages.from_stats(*imagenet_stats)).load("i")
        images(NormalizeImages.from_stats([0.48, 0.46, 0.41], [0.23, 0.22, 0.22])).load("i")
    (tmp_path / "models" / "i.run.json").write_text("no record")
    images().load("i")
    (tmp_path / "models" / "i.run.json").unlink()
    images().load("i")
