"""Pretrained weights: where they are looked for, what is refused, and that nothing waits for a network that is not there."""
import hashlib
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import SqueezeNet1_1_Weights, Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from minifast.vision.models import pretrained
from minifast.vision.models.backbones import create_body, create_vision_model
from minifast.vision.models.pretrained import WeightsNotFound, find_weights, load_pretrained, pick_weights, reachable, read_weights


@pytest.fixture
def home(tmp_path, monkeypatch):
    "A machine without any weights: empty caches, no Kaggle, and a server that nobody can reach."
    for name in ("mine", "torch", "kaggle"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "KAGGLE_INPUT", tmp_path / "kaggle")
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(scope="module")
def squeeze():
    torch.manual_seed(0)
    return models.squeezenet1_1().state_dict()


def tiny_weights(url):
    class Tiny_Weights(WeightsEnum):
        IMAGENET1K_V1 = Weights(url=url, transforms=partial(ImageClassification, crop_size=224), meta={})
        DEFAULT = IMAGENET1K_V1
    return Tiny_Weights


def save_hashed(state, folder, stem="squeezenet1_1"):
    file = folder / "file.pth"
    torch.save(state, file)
    return file.rename(folder / f"{stem}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")


def same(model, state):
    return torch.equal(model[0][0].weight, state["features.0.weight"])


def test_a_file_that_is_named(home, squeeze):
    torch.save(squeeze, home / "plain.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in squeeze.items()}}, home / "wrapped.pt")
    from safetensors.torch import save_file
    save_file(squeeze, home / "safe.safetensors")
    for name in ("plain.pth", "wrapped.pt", "safe.safetensors"):
        for weights in (home / name, str(home / name)):
            assert same(create_body("squeezenet1_1", weights=weights), squeeze)
    body_only = {k: v for k, v in squeeze.items() if k.startswith("features")}
    torch.save(body_only, home / "body.pth")
    assert same(create_body(models.squeezenet1_1, weights=home / "body.pth"), squeeze)
    other_head = {**squeeze, "classifier.1.weight": torch.zeros(37, 512, 1, 1), "classifier.1.bias": torch.zeros(37)}
    torch.save(other_head, home / "pets.pth")                                            # fine-tuned on 37 classes
    assert same(create_body("squeezenet1_1", weights=home / "pets.pth"), squeeze)


def test_files_that_do_not_fit(home, squeeze):
    torch.save({k: v for k, v in squeeze.items() if "features.3" not in k}, home / "missing.pth")
    torch.save({**squeeze, "features.0.weight": torch.zeros(2, 2), "extra.weight": torch.zeros(1)}, home / "shape.pth")
    with pytest.raises(ValueError, match=r"do not fit squeezenet1_1: not in the file: features.3.squeeze.weight, .* \.\.\. \(6 in all\)"):
        create_body("squeezenet1_1", weights=home / "missing.pth")
    with pytest.raises(ValueError, match=r"not in the model: extra.* \(1 in all\); of another shape: features.0.weight: \(2, 2\) in the "
                                         r"file, \(64, 3, 3, 3\) in the model"):
        create_body("squeezenet1_1", weights=home / "shape.pth")
    with pytest.raises(WeightsNotFound, match=r"nowhere.pth': there is no such file"):
        create_body("squeezenet1_1", weights=home / "nowhere.pth")
    (home / "html.pth").write_text("<html>")
    with pytest.raises(WeightsNotFound, match=r"html.pth cannot be read as weights: cannot be read as tensors .*Save `model"):
        read_weights(home / "html.pth")
    torch.save([1, 2], home / "list.pth")
    with pytest.raises(WeightsNotFound, match=r"holds no state dict .* but list"):
        read_weights(home / "list.pth")


def test_code_in_a_file_is_not_run(home):
    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {home / 'ran'}",)

    torch.save({"a": Malicious()}, home / "bad.pth")
    with pytest.raises(WeightsNotFound, match="cannot be read as weights"):
        read_weights(home / "bad.pth")
    assert not (home / "ran").exists()


def test_the_places_in_order(home, squeeze):
    weights = None
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    assert checkpoints == home / "torch" / "hub" / "checkpoints"
    deep = home / "kaggle" / "models" / "squeeze" / "pytorch" / "default" / "1"
    for folder in (deep, checkpoints, home / "mine" / "weights"):
        folder.mkdir(parents=True)
        file = save_hashed(squeeze, folder)
        assert find_weights(file.name) == file                        # each of them comes before those that were there already
        weights = tiny_weights(f"https://localhost:1/models/{file.name}").DEFAULT
        assert same(create_body("squeezenet1_1", weights=weights), squeeze)
    assert find_weights("other-12345678.pth") is None


def test_a_damaged_file_is_refused(home, squeeze):
    (home / "mine" / "weights").mkdir()
    file = save_hashed(squeeze, home / "mine" / "weights")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsNotFound, match=r"does not match the hash in its name: it is incomplete or another file. Delete it"):
        find_weights(file.name)


def test_without_network_it_fails_at_once(home):
    start = time.time()
    with pytest.raises(WeightsNotFound) as e:
        create_vision_model("resnet18", 2, weights=tiny_weights("https://host.invalid/models/resnet18-f37072fd.pth").DEFAULT)
    assert time.time() - start < 4
    text = str(e.value)
    for part in ("pretrained weights of resnet18", "host.invalid does not answer", "Bring the file resnet18-f37072fd.pth",
                 str(home / "mine"), str(home / "torch"), "Kaggle", "weights='path/of/file'", "pretrained=False"):
        assert part in text
    assert "\n" not in text


def _hang():
    time.sleep(3)
    raise OSError("no answer")


def test_a_name_look_up_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(pretrained.socket, "create_connection", lambda *a: _hang())
    start = time.time()
    assert not reachable("https://example.com/x", timeout=0.2) and time.time() - start < 2
    monkeypatch.setattr(pretrained, "NETWORK_TIMEOUT", 0.2)
    assert not reachable("https://example.com/x") and time.time() - start < 2.5


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_download(home, server, squeeze, capfd):
    folder, url = server
    file = save_hashed(squeeze, folder)
    weights = tiny_weights(f"{url}/{file.name}")
    assert reachable(url)
    model = create_vision_model("squeezenet1_1", 2, weights=weights.DEFAULT)
    assert same(model[0], squeeze)
    assert (home / "torch/hub/checkpoints" / file.name).is_file()
    file.unlink()                                                     # the second time it comes from the cache
    assert torch.equal(load_pretrained(weights)["features.0.weight"], squeeze["features.0.weight"])


def test_download_that_fails(home, server, squeeze):
    folder, url = server
    (folder / "resnet18-00000000.pth").write_text("<html>captive portal</html>")
    for name in ("resnet18-00000000.pth", "missing-12345678.pth"):
        with pytest.raises(WeightsNotFound, match=f"{name} cannot be downloaded .*Bring the file {name}") as told:
            load_pretrained(None, tiny_weights(f"{url}/{name}").DEFAULT)
        assert isinstance(told.value.__cause__, Exception)
    torch.save({"w": object}, folder / "x.pth")                         # torch says how to run what is in it
    digest = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()
    objects = (folder / "x.pth").rename(folder / f"resnet18-{digest[:8]}.pth")
    with pytest.raises(WeightsNotFound, match="cannot be downloaded") as told:
        load_pretrained(None, tiny_weights(f"{url}/{objects.name}").DEFAULT)
    assert told.value.__cause__ is None and "weights_only" not in str(told.value)
    (home / "torch/hub/checkpoints" / objects.name).unlink(missing_ok=True)
    assert not list(home.glob("torch/hub/checkpoints/*.pth"))


def test_names_of_weights():
    assert pick_weights(SqueezeNet1_1_Weights) is SqueezeNet1_1_Weights.DEFAULT
    for given in ("IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1", SqueezeNet1_1_Weights.IMAGENET1K_V1):
        assert pick_weights(SqueezeNet1_1_Weights, given) is SqueezeNet1_1_Weights.IMAGENET1K_V1
    assert pick_weights(SqueezeNet1_1_Weights, "~/a.pth") == Path.home() / "a.pth"
    with pytest.raises(ValueError, match=r"weights='IMAGENET1K_V2' is neither a file nor weights of this .*; did you mean 'IMAGENET1K_V1'"):
        pick_weights(SqueezeNet1_1_Weights, "IMAGENET1K_V2")
    with pytest.raises(ValueError, match=r"pass weights='path/of/file.pth'"):
        pick_weights(None, "DEFAULT")


def test_the_real_weights(data_dir):
    "ImageNet weights of mobilenet_v2: the body tells Siamese cats by the original classifier."
    file = data_dir / "weights" / "mobilenet_v2-from-qnnpack.pth"
    if not file.is_file():
        pytest.skip("no weights")
    state = read_weights(file)
    body = create_body("mobilenet_v2", weights=file).eval()
    classifier = nn.Linear(1280, 1000)
    classifier.load_state_dict({k.removeprefix("classifier.1."): v for k, v in state.items() if k.startswith("classifier")})
    from minifast.data.pipeline import Pipeline
    from minifast.vision.augment.item import Resize
    from minifast.vision.images import PILImage, ToTensor
    from minifast.vision.normalize import IntToFloatTensor, Normalize, imagenet_stats
    pipe = Pipeline([Resize(224), ToTensor(), IntToFloatTensor(), Normalize.from_stats(*imagenet_stats)], 1)
    files = sorted((data_dir / "pets_sample" / "images").glob("Siamese_*.jpg"))[:6]
    x = torch.stack([pipe(PILImage.create(f)).as_subclass(torch.Tensor) for f in files])
    with torch.no_grad():
        classes = classifier(body(x).mean((2, 3))).argmax(1)
    assert (classes == 284).float().mean() >= 0.5                      # ImageNet's class 'Siamese cat'
    assert models.MobileNet_V2_Weights.DEFAULT.meta["categories"][284] == "Siamese cat"
    grey = create_body("squeezenet1_1", n_in=1, weights=data_dir / "weights" / "squeezenet1_1-caffe-ncnn.pth")
    rgb = create_body("squeezenet1_1", weights=data_dir / "weights" / "squeezenet1_1-caffe-ncnn.pth")
    p = torch.rand(1, 1, 64, 64)
    assert torch.allclose(grey.eval()(p), rgb.eval()(p.expand(1, 3, 64, 64)), atol=1e-4)
