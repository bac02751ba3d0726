"""`push_to_hub` and `from_hub`: the real client of Hugging Face against a server of our own."""
import base64
import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fresh_process
import pytest
from torchrun import torchrun

from minifast.learner import hub

CODE = """
import sys, numpy as np, torch
from pathlib import Path
from PIL import Image
from minifast.vision.all import *
from minifast.distributed import distrib_barrier
path = Path(sys.argv[1])
for name in "ab":
    (path/name).mkdir(parents=True, exist_ok=True)
    for i in range(4): Image.fromarray(np.random.default_rng(i).integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(path/name/f"{i}.png")
dls = ImageDataLoaders.from_folder(path, valid_pct=.25, item_tfms=Resize(8), bs=2, num_workers=0, device="cpu", seed=1)
model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
learn = Learner(dls, model, metrics=accuracy, path=path)
with learn.no_bar(), learn.no_logging(): learn.fit(2, 1e-3)
print(learn.push_to_hub("me/pets", token="hf_abc"))
distrib_barrier()                   # of several ranks the first stores it
again = from_hub("me/pets", token="hf_abc")
files = get_image_files(path)
assert torch.equal(again.get_preds(dl=again.dls.test_dl(files))[0], learn.get_preds(dl=learn.dls.test_dl(files))[0])
assert list(again.dls.vocab) == ["a", "b"]
try: from_hub("me/other", token="hf_abc")
except FileNotFoundError as e: print(e)
"""


class Hub(BaseHTTPRequestHandler):
    "As much of the hub as the client needs: repositories, commits, files."
    files, calls = {}, []

    def reply(self, body=b"", status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        self.calls.append(self.path)
        if "/preupload/" in self.path:
            return self.reply({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                                         for f in json.loads(body)["files"]]})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.reply({"commitUrl": f"http://{self.headers['Host']}/me/pets/commit/1", "commitOid": "1" * 40, "success": True})
        return self.reply({"url": f"http://{self.headers['Host']}/me/pets", "errors": [], "warnings": []})

    def chunks(self):
        while n := int(self.rfile.readline(), 16):
            yield self.rfile.read(n)
            self.rfile.readline()
        self.rfile.readline()

    def do_GET(self):
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if "/resolve/" not in self.path:
            return self.reply({"id": "me/pets", "sha": "1" * 40, "siblings": []})
        if "me/pets" not in self.path:
            return self.reply(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit="1" * 40)
        data = self.files[name]
        return self.reply(data, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Repo_Commit="1" * 40, Accept_Ranges="bytes")

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.mark.slow
@pytest.mark.skipif(hub.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed: pip install 'minifast[hub]'")
@pytest.mark.parametrize("world", [1, 2])
def test_there_and_back(tmp_path, world):
    Hub.files.clear()
    Hub.calls.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home"),
                   "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    try:
        if world == 1:
            done = fresh_process.run(CODE, str(tmp_path / "data"), env=environment, timeout=120)
        else:
            (tmp_path / "train.py").write_text(CODE)
            done = torchrun(2, tmp_path / "train.py", tmp_path / "data", ok=False, **environment)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "me/pets/commit/1" in done.stdout and "there is no learner.safetensors in me/other" in done.stdout
    assert sorted(Hub.files) == ["README.md", "learner.safetensors"] and Hub.calls[0] == "/api/repos/create"
    assert Hub.calls.count("/api/repos/create") == 1
    card = Hub.files["README.md"].decode()
    for line in ("library_name: minifast", "| architecture | Sequential, 386 parameters |", "| training items | 6 |",
                 "| validation items | 2 |", "| classes | a, b |", "| loss | CrossEntropyLossFlat |", "| epochs | 2 in 1 fit |",
                 "| last accuracy | ", "| versions | minifast ", "from_hub('me/pets')"):
        assert line in card, card


def test_without_the_client(monkeypatch):
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    for call in (lambda: hub.from_hub("me/pets"), lambda: hub.push_to_hub(None, "me/pets")):
        with pytest.raises(ImportError, match=r"Write: pip install 'minifast\[hub\]'"):
            call()
