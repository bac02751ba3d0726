"""The apps of examples/ run as users run them: a server process of its own, and a photo uploaded over HTTP."""
import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fresh_process
import numpy as np
import pytest
import torch
from PIL import Image

from minifast.vision.all import CategoryBlock, DataBlock, ImageBlock, Learner, Normalize, Resize, nn, set_seed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CLASSES = ("dark", "light")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    "Photos of two kinds, an exported learner that tells them apart, and what it says of each photo."
    folder = tmp_path_factory.mktemp("apps")
    set_seed(0)
    rng = np.random.default_rng(0)
    files = []
    for i in range(32):
        name = CLASSES[i % 2]
        files.append(folder / f"{name}_{i}.jpg")
        low = 0 if name == "dark" else 140
        Image.fromarray(rng.integers(low, low + 110, (40, 48, 3), dtype=np.uint8)).save(files[-1])
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: f.name.split("_")[0], item_tfms=Resize(32), batch_tfms=Normalize())
    dls = block.dataloaders(files, bs=8, num_workers=0, device="cpu")
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    learn = Learner(dls, model, path=folder)
    with learn.no_bar(), learn.no_logging():
        learn.fit(8, 3e-2)
    learn.export("model.pkl")
    preds, _ = learn.get_preds(dl=learn.dls.test_dl(files))
    return folder / "model.pkl", files, preds


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    "A process that runs `code` with `args`, until the page at `url` answers; ended at the end of the block."

    def __init__(self, url, model, code, *args, file=None, **env):
        self.url, self.log = url, model.with_suffix(".log")
        env = {**os.environ, "PYTHONPATH": str(ROOT), "MODEL": str(model), "GRADIO_ANALYTICS_ENABLED": "False", **env}
        with self.log.open("w") as log:
            self.process = fresh_process.start(code, *args, file=file, cwd=EXAMPLES, stdout=log, stderr=log, env=env)

    def __enter__(self):
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return self
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
        raise AssertionError(f"{self.url} did not answer:\n{self.log.read_text()}")

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def upload(url, field, filename, data):
    "POST `data` as the file of a form; the JSON that came back."
    edge = "----edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_fastapi_app_answers_uploads_from_eight_threads(exported):
    pytest.importorskip("fastapi", reason="the extra `apps` is not installed")
    model, files, preds = exported
    port = free_port()
    uvicorn = "import runpy; runpy.run_module('uvicorn', run_name='__main__', alter_sys=True)"
    with Server(f"http://127.0.0.1:{port}/docs", model, uvicorn, "--port", str(port), "fastapi_app:app"):
        url = f"http://127.0.0.1:{port}/predict"
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda f: upload(url, "file", f.name, f.read_bytes()), files * 2))
        with pytest.raises(urllib.error.HTTPError) as refused:
            upload(url, "file", "notes.jpg", b"this is no photo")
    got = torch.tensor([[a["probabilities"][c] for c in CLASSES] for a in answers])
    assert torch.allclose(got, preds.repeat(2, 1), atol=1e-6)
    assert [a["label"] for a in answers] == [CLASSES[i] for i in preds.argmax(1).repeat(2)]
    assert sum(a["label"] == f.name.split("_")[0] for a, f in zip(answers, files * 2, strict=True)) >= 60        # it learned something
    assert refused.value.code == 422
    assert "notes.jpg" in json.load(refused.value)["detail"]


def test_a_gradio_app_classifies_an_uploaded_photo(exported):
    pytest.importorskip("gradio", reason="the extra `apps` is not installed")
    model, files, preds = exported
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    app = EXAMPLES / "gradio_app.py"
    with Server(f"{home}/config", model, app.read_text(), file=app, GRADIO_SERVER_PORT=str(port), GRADIO_SERVER_NAME="127.0.0.1"):
        with urllib.request.urlopen(f"{home}/config", timeout=10) as answer:
            config = json.load(answer)
        api = home + config.get("api_prefix", "")
        for i in (0, 1):
            (stored,) = upload(f"{api}/upload", "files", files[i].name, files[i].read_bytes())
            call = json.dumps({"data": [{"path": stored, "meta": {"_type": "gradio.FileData"}}]}).encode()
            request = urllib.request.Request(f"{api}/call/classify", call, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                event = json.load(answer)["event_id"]
            with urllib.request.urlopen(f"{api}/call/classify/{event}", timeout=30) as answer:
                said = answer.read().decode()
            assert "event: complete" in said, said
            (label,) = json.loads(re.search(r"event: complete\s*data: (.*)", said)[1])
            got = {c["label"]: c["confidence"] for c in label["confidences"]}
            assert torch.allclose(torch.tensor([got[c] for c in CLASSES]), preds[i], atol=1e-5)
            assert label["label"] == CLASSES[preds[i].argmax()]
