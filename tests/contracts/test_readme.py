"""The lines of the README's table of applications make learners that train."""
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
if not (ROOT / "README.md").exists():
    pytest.skip("not in a clone of the repository", allow_module_level=True)

TABLE = (ROOT / "README.md").read_text(encoding="utf-8").split("## Applications")[1].split("##")[0]
ROWS = dict(re.findall(r"^\| ([^|]+?) \| `([^`]+)`", TABLE, re.M))


def of_images(folder):
    from minifast.vision.all import (
        ImageDataLoaders,
        Resize,
        SegmentationDataLoaders,
        resnet34,
        unet_learner,
        vision_learner,
    )
    rng = np.random.default_rng(0)
    for kind in ("images/a", "images/b", "masks"):
        (folder / kind).mkdir(parents=True)
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / "images" / "ab"[i % 2] / f"{i}.png")
        Image.fromarray(rng.integers(0, 2, (32, 32), dtype=np.uint8)).save(folder / "masks" / f"{i}.png")
    files = sorted((folder / "images").rglob("*.png"))
    images = type("Images", (), {"from_folder": partial(ImageDataLoaders.from_folder, bs=4, device="cpu")})
    masks = type("Masks", (), {"from_label_func": partial(SegmentationDataLoaders.from_label_func, bs=4, device="cpu")})
    return {"path": folder / "images", "files": files, "mask_of": lambda f: folder / "masks" / f.name, "codes": ["no", "yes"],
            "ImageDataLoaders": images, "SegmentationDataLoaders": masks, "Resize": lambda size: Resize(32), "resnet34": resnet34,
            "vision_learner": partial(vision_learner, pretrained=False), "unet_learner": partial(unet_learner, pretrained=False)}


def of_tables():
    import pandas as pd

    from minifast.collab import CollabDataLoaders, collab_learner
    from minifast.tabular.all import TabularDataLoaders, tabular_learner
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"job": rng.choice(["x", "y"], 100), "age": rng.normal(size=100), "salary": rng.normal(size=100)})
    ratings = pd.DataFrame({"user": rng.integers(0, 9, 200), "item": rng.integers(0, 9, 200), "rating": rng.integers(1, 6, 200) * 1.0})
    return {"df": df, "cats": ["job"], "conts": ["age"], "ratings": ratings, "TabularDataLoaders": TabularDataLoaders,
            "tabular_learner": tabular_learner, "CollabDataLoaders": CollabDataLoaders, "collab_learner": collab_learner}


def of_texts(folder):
    import pandas as pd

    from minifast.text.all import (
        AWD_LSTM,
        TextDataLoaders,
        TransformersDataLoaders,
        text_classifier_learner,
        transformers_learner,
    )
    texts, labels = [f"a {'good' if i % 2 else 'bad'} film of {i % 5} parts" for i in range(24)], ["neg", "pos"] * 12
    return {"df": pd.DataFrame({"text": texts, "label": labels}), "texts": texts, "labels": labels, "TextDataLoaders": TextDataLoaders,
            "AWD_LSTM": AWD_LSTM, "text_classifier_learner": partial(text_classifier_learner, pretrained=False),
            "TransformersDataLoaders": TransformersDataLoaders, "transformers_learner": transformers_learner}


def of_the_rest():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from minifast.timeseries.all import DataLoaders, InceptionTime, Learner, MSELossFlat, TSDataLoaders, ts_learner
    x = np.random.default_rng(0).normal(size=(24, 2, 20)).astype("float32")
    data = TensorDataset(torch.randn(12, 3), torch.randn(12, 1))
    return {"x": x, "y": [0, 1] * 12, "TSDataLoaders": TSDataLoaders, "ts_learner": ts_learner, "InceptionTime": InceptionTime,
            "DataLoaders": DataLoaders, "Learner": Learner, "train_dl": DataLoader(data, 4), "valid_dl": DataLoader(data, 4),
            "model": torch.nn.Linear(3, 1), "loss_func": MSELossFlat()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind != "several GPUs"])
def test_every_line_makes_a_learner(kind, tmp_path):
    line = ROWS[kind]
    if kind in ("image classification", "segmentation"):
        names = of_images(tmp_path)
    elif kind in ("tables", "recommendation"):
        names = of_tables()
    elif kind in ("texts", "transformers"):
        names = of_texts(tmp_path)
        if kind == "transformers":
            pytest.importorskip("transformers")
            sys.path.append(str(ROOT / "tests" / "text" / "transformers"))
            from tiny_transformers import save
            line = line.replace('"distilbert-base-uncased"', repr(str(save("bert", tmp_path))))
    else:
        names = of_the_rest()
    learn = eval(line, names)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert len(learn.recorder.values) == 1
