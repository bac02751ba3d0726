"""Learners of images that were exported predict the same in a process that knows nothing of how they were made."""
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from minifast.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    get_image_files,
    imagenet_stats,
    vision_learner,
)

FRESH = """
import json, sys, torch
from minifast.learner.export import load_learner
learn = load_learner(sys.argv[1])
items = json.loads(sys.argv[2])
with learn.no_bar():
    preds, _ = learn.get_preds(dl=learn.dls.test_dl(items))
    decoded = str(learn.predict(items[0])[0])
print(json.dumps([preds.double().tolist(), decoded, str(learn.dls.vocab)]))
"""


def in_fresh_process(file, items):
    done = subprocess.run([sys.executable, "-c", FRESH, str(file), json.dumps([str(i) for i in items])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    preds, *rest = json.loads(done.stdout.splitlines()[-1])
    return torch.tensor(preds, dtype=torch.float64), *rest


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    root, g = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for folder in ("train/cat", "train/dog", "valid/cat", "valid/dog"):
        (root / folder).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(g.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(root / folder / f"{i}.jpg")
    return root


def test_classification(pets):
    dls = ImageDataLoaders.from_folder(pets, item_tfms=Resize(32), bs=4, device="cpu",
                                       batch_tfms=[*aug_transforms(size=28), Normalize.from_stats(*imagenet_stats)])
    learn = vision_learner(dls, "resnet18", pretrained=False, metrics=accuracy, path=pets)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        files = get_image_files(pets / "valid")
        before, decoded = learn.get_preds(dl=dls.test_dl(files))[0], learn.predict(files[0])[0]
    file = learn.export("model.pkl")
    assert file == pets / "model.pkl"
    preds, again, vocab = in_fresh_process(file, files)
    assert (preds - before).abs().max() < 1e-6 and again == decoded and vocab == str(dls.vocab)
