"""`minifast app`: a real server, and gradio's client over HTTP, for a model of each kind."""
import os
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import fresh_process
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from minifast.basics import Learner, set_seed
from minifast.cli.app import make_app
from minifast.cli.main import main
from minifast.collab import CollabDataLoaders, collab_learner
from minifast.learner.export import load_learner
from minifast.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
from minifast.text.all import AWD_LSTM, TextDataLoaders, language_model_learner, text_classifier_learner
from minifast.timeseries.all import DLinear, SlidingWindows, TSDataLoaders, ts_forecaster, ts_learner
from minifast.vision.all import CategoryBlock, DataBlock, ImageBlock, MaskBlock, PointBlock, Resize, TensorPoint

SMALL = {"emb_sz": 8, "n_hid": 8, "n_layers": 1}
TEXTS = pd.DataFrame({"text": ["a cat sat here", "the dog ran away"] * 20, "label": ["cat", "dog"] * 20})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def photos(folder):
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(folder / f"{'cat' if i % 2 else 'dog'}_{i}.png")
    return sorted(folder.glob("*.png"))


def of_images(folder, block, get_y, *layers):
    dls = DataBlock((ImageBlock, block), get_y=get_y, item_tfms=Resize(16)).dataloaders(photos(folder), bs=4, num_workers=0, device="cpu")
    return Learner(dls, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *layers), loss_func=dls.loss_func, path=folder)


def classes(folder):
    return of_images(folder, CategoryBlock, lambda f: f.name[:3], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def masks(folder):
    return of_images(folder, MaskBlock(["sky", "sea"]), lambda f: Image.fromarray(np.eye(20, dtype=np.uint8)), nn.Conv2d(4, 2, 1))


def points(folder):
    return of_images(folder, PointBlock, lambda f: TensorPoint(torch.tensor([[4.0, 9.0]])), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                     nn.Linear(4, 2), nn.Tanh())


def table(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "colour": rng.choice(["red", "blue"], 60), "kind": ["a", "b"] * 30})
    frame.loc[:5, "size"] = np.nan
    return tabular_learner(TabularDataLoaders.from_df(frame, procs=[Categorify, FillMissing, Normalize], y_names="kind", bs=16), [8])


def ratings(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": rng.integers(0, 8, 80), "film": rng.choice(["a", "b"], 80), "stars": rng.integers(1, 6, 80)})
    return collab_learner(CollabDataLoaders.from_df(frame, bs=16), n_factors=2, y_range=(0.5, 5.5))


def texts(folder):
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", label_col="label", bs=8)
    return text_classifier_learner(dls, AWD_LSTM, config=SMALL, pretrained=False)


def language(folder):
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", is_lm=True, seq_len=8, bs=4)
    return language_model_learner(dls, AWD_LSTM, config=SMALL, pretrained=False)


def series(folder):
    X = np.random.default_rng(0).normal(size=(24, 2, 30)).astype(np.float32)
    return ts_learner(TSDataLoaders.from_array(X, ["up", "down"] * 12, bs=8), depth=1, n_filters=4)


DAYS = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=120), "sold": np.sin(np.arange(120) / 4)})


def forecast(folder):
    windows = SlidingWindows(DAYS, window=12, horizon=4, time="day", target="sold")
    return ts_forecaster(TSDataLoaders.from_windows(windows, n_valid=20, history=True, bs=16), DLinear)


@pytest.fixture(scope="module")
def gradio():
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return pytest.importorskip("gradio", reason="the extra `apps` is not installed")


@pytest.fixture
def client(gradio, tmp_path):
    "A function of a learner: export, load, serve; returns the loaded learner and a function that asks the server."
    from gradio_client import Client
    apps = []

    def serve(make):
        set_seed(0)
        learn = make(tmp_path)
        learn.path = tmp_path
        learn.export("model.pkl")
        loaded = load_learner(tmp_path / "model.pkl")
        app = make_app(loaded, "model.pkl")
        apps.append(app)
        _, url, _ = app.launch(server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True)
        asked = Client(url, verbose=False)
        return loaded, lambda *given: asked.predict(*given, api_name="/predict")

    yield serve
    for app in apps:
        app.close()


def same_classes(said, expected, names):
    got = {c["label"]: c["confidence"] for c in said["confidences"]}
    assert got.keys() == set(map(str, names))
    assert np.allclose([got[str(n)] for n in names], expected, atol=1e-5) and said["label"] == str(names[int(np.argmax(expected))])


@pytest.mark.slow
def test_images_to_classes(client, tmp_path):
    from gradio_client import handle_file
    learn, ask = client(classes)
    for file in photos(tmp_path)[:2]:
        same_classes(ask(handle_file(str(file))), learn.predict(file)[2], ["cat", "dog"])
    with pytest.raises(Exception, match="there is no image yet"):
        ask(None)


@pytest.mark.slow
def test_images_to_masks_and_points(client, tmp_path):
    from gradio_client import handle_file
    learn, ask = client(masks)
    file = photos(tmp_path)[0]
    said = ask(handle_file(str(file)))
    expected = {learn.dls.vocab[i] for i in learn.predict(file)[1].unique().tolist()}
    assert expected - {"sky"} <= {a["label"] for a in said["annotations"]} <= expected
    learn, ask = client(points)
    drawn = Image.open(ask(handle_file(str(file)))).convert("RGB")
    assert drawn.size == (320, 320)                     # 16x16, enlarged
    x, y = learn.predict(file)[0].flatten().tolist()
    red = np.asarray(drawn, dtype=int)[round(y * 20), round(x * 20)]
    assert red[0] > 200 and red[0] > red[1] + 150


@pytest.mark.slow
def test_rows_to_a_class_or_a_number(client):
    learn, ask = client(table)
    same_classes(ask("blue", 0.5), learn.predict(pd.Series({"size": 0.5, "colour": "blue"}))[2], ["a", "b"])
    same_classes(ask("red", None), learn.predict(pd.Series({"size": np.nan, "colour": "red"}))[2], ["a", "b"])
    learn, ask = client(ratings)
    assert float(ask("3", "b")) == pytest.approx(float(learn.predict(pd.Series({"user": 3, "film": "b"}))[1]), abs=1e-4)


@pytest.mark.slow
def test_texts(client):
    learn, ask = client(texts)
    same_classes(ask("the cat ran"), learn.predict("the cat ran")[2], ["cat", "dog"])
    with pytest.raises(Exception, match="there is no text yet"):
        ask("  ")
    _, ask = client(language)
    said = ask("the cat", 5)
    assert said.startswith("the cat") and len(said.split()) > 2


@pytest.mark.slow
def test_series(client, tmp_path):
    from gradio_client import handle_file
    learn, ask = client(series)
    x = np.random.default_rng(1).normal(size=(2, 30)).astype(np.float32)
    frame = pd.DataFrame(x.T, columns=["left", "right"])
    frame.to_csv(tmp_path / "new.csv", index=False)
    expected = learn.predict(x)[2]
    same_classes(ask(frame.to_csv(index=False), None), expected, ["down", "up"])
    same_classes(ask("", handle_file(str(tmp_path / "new.csv"))), expected, ["down", "up"])
    with pytest.raises(Exception, match="the columns name are no numbers"):
        ask("left,name\n1,x\n", None)
    learn, ask = client(forecast)
    said = ask(DAYS.to_csv(index=False), None)
    expected = learn.forecast(df=DAYS)
    assert said["headers"] == list(map(str, expected.columns))
    assert np.allclose([float(row[-1]) for row in said["data"]], expected["sold"], atol=1e-4)
    with pytest.raises(Exception, match="the column sold is missing"):
        ask("day,x\n2024-01-01,1\n", None)


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(gradio, tmp_path):
    learn = classes(tmp_path)
    learn.export("model.pkl")
    port, code = free_port(), "import runpy; runpy.run_module('minifast', run_name='__main__', alter_sys=True)"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with (tmp_path / "log").open("w") as log:
        process = fresh_process.start(code, "app", "model.pkl", "--port", str(port), cwd=tmp_path, stdout=log, stderr=log, env=env)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=5) as answer:
                    assert "model.pkl" in answer.read().decode()
                break
            except (OSError, urllib.error.URLError):
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
        else:
            raise AssertionError((tmp_path / "log").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_what_has_no_page_is_said_in_a_sentence(capsys, monkeypatch, tmp_path):
    assert main(["app", str(tmp_path / "nothing.pkl")]) == 1
    assert re.match(r"minifast app: .*nothing\.pkl", capsys.readouterr().err)
    learn = classes(tmp_path)
    learn.export("model.pkl")
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app", str(tmp_path / "model.pkl")]) == 1
    assert capsys.readouterr().err == 'minifast app: the page needs gradio, which is not installed: pip install "minifast[apps]"\n'


def test_inputs_without_a_page(gradio):
    learn = Learner(TabularDataLoaders.from_df(pd.DataFrame({"a": [1.0] * 20, "y": [0.5, 1.5] * 10}), y_names="y", bs=4), nn.Linear(1, 1))
    learn.dls.train.__class__ = type("Other", (type(learn.dls.train).__mro__[1],), {})
    with pytest.raises(ValueError, match="there is no page for the inputs of this model, which come from Other"):
        make_app(learn)
