"""The widget of `ImageClassifierCleaner`, in a real Jupyter kernel: built, used by a script in the place of a person, saved."""
import csv
import os
from pathlib import Path

import fresh_kernel
import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("ipywidgets")

SETUP = """
import torch
from torch import nn
from minifast.vision.all import ImageDataLoaders, Learner, Normalize, Resize, error_rate
from minifast.interpret.cleaner import ImageClassifierCleaner
torch.manual_seed(0)
dls = ImageDataLoaders.from_folder("photos", item_tfms=Resize(16), bs=4, num_workers=0,
                                   batch_tfms=Normalize.from_stats([0.5] * 3, [0.2] * 3))
learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), metrics=error_rate)
cleaner = ImageClassifierCleaner(learn, ds_idx=0, n=3)
cleaner
"""

USE = """
import ipywidgets as w
(label, split, button, said), box = cleaner._widget.children[0].children, cleaner._widget.children[1]
assert label.options == ("blue", "red") and split.options == ("training", "validation")
assert len(box.children) == 3 and all(isinstance(c.children[0], w.Image) and c.children[0].value[:4] == b"\\x89PNG" for c in box.children)
assert "loss" in box.children[0].children[1].value
first = cleaner.interp.path(cleaner.order[0])
box.children[0].children[2].value = "delete"                # as a person would with the mouse
box.children[1].children[2].value = "red"
relabelled = cleaner.interp.path(cleaner.order[1])
assert cleaner.delete() == [0] and cleaner.change() == [(1, "red")]
assert cleaner.fns[0] == first and cleaner.fns[1] == relabelled and len(cleaner.fns) == 3
label.value, split.value = "red", "validation"              # other pictures come, with choices of their own
assert cleaner.label == "red" and cleaner.ds_idx == 1 and all(c.children[2].value == "keep" for c in box.children)
other = cleaner.interp.path(cleaner.order[0])
box.children[0].children[2].value = "blue"
label.value, split.value = "blue", "training"               # and the first ones remember
assert [c.children[2].value for c in box.children] == ["delete", "red", "keep"]
button.click()
print(said.value)
print(first.name, relabelled.name, other.name)
"""


@pytest.fixture
def photos(tmp_path):
    "Twelve pictures of two colours."
    r = np.random.default_rng(0)
    for part in ("train", "valid"):
        for k, name in enumerate(("blue", "red")):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for i in range(4 if part == "train" else 2):
                a = r.integers(0, 90, (40, 30 + 4 * i, 3), dtype=np.uint8)
                a[..., 2 - 2 * k] += 150
                Image.fromarray(a).save(tmp_path / "photos" / part / name / f"{part}_{name}_{i}.jpg")
    return tmp_path


@pytest.mark.slow
def test_it_works_in_a_notebook(photos, monkeypatch):
    from nbclient import NotebookClient
    package = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    v4 = nbformat.v4
    nb = v4.new_notebook(cells=[v4.new_code_cell(SETUP), v4.new_code_cell(USE)])
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    client = NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(photos)}},
                            extra_arguments=["--log-level=ERROR"])
    with fresh_kernel.forked():
        client.execute(env=env)
    shown = [o for o in nb.cells[0].outputs if "application/vnd.jupyter.widget-view+json" in o.get("data", {})]
    assert len(shown) == 1, nb.cells[0].outputs
    printed = "".join(o.text for o in nb.cells[1].outputs if o.output_type == "stream" and o.name == "stdout").splitlines()
    assert printed[0] == "3 decisions in cleaning.csv"
    deleted, relabelled, other = printed[1].split()
    with (photos / "cleaning.csv").open(newline="", encoding="utf-8") as f:
        rows = {Path(r["path"]).name: r for r in csv.DictReader(f)}
    assert {n: (r["action"], r["label"], r["was"], r["split"]) for n, r in rows.items()} == {
        deleted: ("delete", "", "blue", "training"), relabelled: ("relabel", "red", "blue", "training"),
        other: ("relabel", "blue", "red", "validation")}
    assert len(list((photos / "photos").rglob("*.jpg"))) == 12              # nothing was deleted
