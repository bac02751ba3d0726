"""`minifast demo`, as a user runs it: a real process, real files."""
import re

import fresh_process
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from minifast.cli import main as command_line
from minifast.cli.demo import APPLICATIONS, run, write_digits
from minifast.core import checkpoint
from minifast.learner.export import load_learner


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


# -- the other applications -------------------------------------------------------------------------------------------------------
#: What each must reach, as a pattern of its last line but three and a bound for the number in it, from above or from below.
REACHES = {
    "segmentation": (r"Mean intersection over union on 120 images never trained on: ([\d.]+)", ">", 0.7),
    "tabular": (r"Accuracy on 113 rows never trained on: ([\d.]+)", ">", 0.95),
    "collab": (r"on 3,863 ratings never trained on: ([\d.]+); always the mean has 1.07", "<", 0.63),
    "text": (r"Accuracy on [\d,]+ texts never trained on: ([\d.]+); of TF-IDF", ">", 0.75),
    "timeseries": (r"last part of the series: ([\d.]+); of the values one season \(168 steps\) before: 29", "<", 26),
    "recipe": (r"Accuracy on 179 digits never trained on: ([\d.]+)", ">", 0.9),
}


def test_the_command_line_knows_the_applications():
    assert tuple(APPLICATIONS) == command_line._DEMOS and {"vision", *REACHES} == {*APPLICATIONS}


@pytest.mark.slow
@pytest.mark.parametrize("application", REACHES)
def test_an_application_from_its_data_to_its_model(tmp_path, application):
    done = demo(tmp_path, application)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    pattern, side, bound = REACHES[application]
    reached = float(re.search(pattern, done.stdout)[1])
    assert reached > bound if side == ">" else reached < bound
    out = tmp_path / "minifast-demo" / application
    told = re.search(r"are in (\S+)/: (.*)", done.stdout)
    assert told[1] == f"minifast-demo/{application}" and {"model.pkl", "report.html", "metrics.png"} <= {*told[2].split(", ")}
    for name in told[2].split(", "):
        assert (out / name).stat().st_size > 0, name
    assert len(load_learner(out / "model.pkl").dls) == 2
    assert "could not be made" not in (out / "report.html").read_text()
    if application == "recipe":
        assert re.findall(r"^✗ (MF\d+)", done.stdout, re.M) == ["MF105", "MF201", "MF308"]
        assert "learn.check() of Sequential: 0 issues" in done.stdout


def segments(folder):
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(10):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / "images" / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 2, (40, 50), dtype=np.uint8)).save(folder / "masks" / f"{i}.png")
    return folder


def own_file(application, folder):
    "Small data of a user's own."
    rng, n = np.random.default_rng(0), 120
    if application == "segmentation":
        return segments(folder / "own")
    frames = {
        "tabular": {"size": rng.normal(size=n), "colour": rng.choice(["red", "blue"], n), "price": rng.normal(size=n)},
        "collab": {"who": rng.integers(0, 8, n), "what": rng.choice(["a", "b", "c"], n), "stars": rng.integers(1, 6, n)},
        "text": {"id": range(n), "mail": ["cheap pills " * 3, "see you at noon " * 2] * (n // 2), "spam": ["yes", "no"] * (n // 2)},
        "timeseries": {"day": pd.date_range("2025-01-01", periods=n), "sold": np.sin(np.arange(n)), "note": ["x"] * n},
    }
    pd.DataFrame(frames[application]).to_csv(folder / "own.csv", index=False)
    return folder / "own.csv"


@pytest.mark.slow
@pytest.mark.parametrize("application", ["segmentation", "tabular", "collab", "text", "timeseries"])
def test_ones_own_data(tmp_path, application, capsys):
    size = {"size": 32} if application == "segmentation" else {}
    learn = run(application, own_file(application, tmp_path), tmp_path / "out", epochs=1, **size)
    out = capsys.readouterr().out
    assert (tmp_path / "out" / "model.pkl").exists() and (tmp_path / "out" / "report.html").exists()
    assert {"segmentation": "class 0, class 1", "tabular": "Predicting 'price' from 2 other columns", "collab": "8 users ('who')",
            "text": "2 classes of 'spam'", "timeseries": "steps of 'sold'"}[application] in out
    assert learn.path == tmp_path / "out"


@pytest.mark.parametrize("application, content, target, sentence", [
    ("tabular", "a,b\n1,2\n", None, "1 rows and 2 columns are too few; minifast demo tabular takes at least 20 rows"),
    ("tabular", "", None, "not a CSV file that pandas can read: No columns to parse from file"),
    ("tabular", "a,b\n" + "1,2\n" * 30, "c", "--target c: no such column; there are a, b"),
    ("collab", "a,b\n" + "1,2\n" * 30, None, "the columns a, b are too few: the first three are read as user, item and rating"),
    ("text", "a,b\n" + "hello,x\n" * 30, None, "the column 'b' has 1 value in 30 rows, which are no classes"),
    ("timeseries", "a,b\nx,2\n" + "x,2\n" * 30, None, "none of the columns a, b can be read as times"),
    ("timeseries", "a,b\n" + "2025-01-01,y\n" * 30, None, "no column of numbers besides the time 'a'"),
])
def test_what_is_no_such_file_is_said_in_a_sentence(tmp_path, application, content, target, sentence):
    (tmp_path / "own.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        run(application, tmp_path / "own.csv", tmp_path / "out", target=target)


def test_masks_that_are_missing_or_colours(tmp_path):
    folder = segments(tmp_path / "own")
    Image.new("L", (50, 40), 255).save(folder / "masks" / "3.png")
    with pytest.raises(ValueError, match="values up to 255, so these seem to be colours"):
        run("segmentation", folder, tmp_path / "out")
    (folder / "masks" / "3.png").unlink()
    with pytest.raises(ValueError, match=re.escape("1 of 10 images have no mask of the same name in masks/")):
        run("segmentation", folder, tmp_path / "out")
    with pytest.raises(ValueError, match=re.escape("there is no folder")):
        run("segmentation", tmp_path, tmp_path / "out")


def test_arguments_that_an_application_does_not_take(tmp_path):
    for application, given, sentence in [
            ("tabular", {"size": 32}, "--size: the demo tabular does not take that; it takes --data, --epochs, --target, --out, --seed"),
            ("recipe", {"data": tmp_path}, "--data: the demo recipe does not take that"),
            ("text", {"target": "spam"}, "--target spam: the column of your own file: give that, too, --data FILE.csv")]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            run(application, out=tmp_path / "out", **given)
    with pytest.raises(FileNotFoundError, match="--data nowhere: there is no such file or folder"):
        run("tabular", "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()
