"""`minifast demo`, as a user runs it: a real process, real files."""
import re

import fresh_process
import numpy as np
import pytest
from PIL import Image

from minifast.cli.demo import write_digits
from minifast.core import checkpoint


def demo(cwd, *args):
    "`python -m minifast demo`"
    code = "import runpy; runpy.run_module('minifast', run_name='__main__', alter_sys=True)"
    return fresh_process.run(code, "demo", *map(str, args), cwd=cwd, timeout=600)


@pytest.mark.slow
def test_digits_are_the_real_ones(tmp_path):
    from sklearn.datasets import load_digits
    write_digits(tmp_path)
    files = sorted(tmp_path.rglob("*.png"))
    assert len(files) == 1797 and sorted(p.name for p in tmp_path.iterdir()) == list("0123456789")
    digits = load_digits()
    for file in files[::300]:
        i = int(file.stem)
        assert file.parent.name == str(digits.target[i])
        image = Image.open(file)
        assert image.size == (80, 80)
        pixels = np.asarray(image.resize((10, 10), Image.Resampling.BOX), dtype=float)[1:-1, 1:-1]
        assert np.corrcoef(pixels.ravel(), digits.images[i].ravel())[0, 1] > 0.9


@pytest.mark.slow
def test_the_main_job(tmp_path):
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "minifast-demo"
    for plot in ("batch.png", "lr_find.png", "losses.png", "results.png"):
        assert min(Image.open(out / plot).size) > 200
    assert "model" in checkpoint.load(out / "models" / "demo.safetensors")
    assert len(re.findall(r"^epoch \d  train_loss [\d.]+  valid_loss [\d.]+  accuracy [\d.]+  time", done.stdout, re.M)) == 8
    assert float(re.search(r"never trained on: ([\d.]+)", done.stdout)[1]) > 0.97
    assert "says" in done.stdout and "Where to look next" in done.stdout and "\r" not in done.stdout


@pytest.mark.slow
def test_own_folder_and_a_wrong_one(tmp_path):
    for label, colour in (("red", (200, 30, 30)), ("blue", (20, 40, 210))):
        (tmp_path / "own" / label).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (40, 32), tuple(c + i for c in colour)).save(tmp_path / "own" / label / f"{i}.jpg")
    done = demo(tmp_path, "--data", "own", "--epochs", 1, "--size", 32, "--out", "here")
    assert done.returncode == 0, done.stderr
    assert "2 classes: blue, red" in done.stdout and (tmp_path / "here" / "results.png").exists()
    done = demo(tmp_path, "--data", "nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr
