"""The code of every technique card runs: each statement, in order, in a workshop that has what the cards take for granted.

That is `learn`, `dls`, `model`, `items` and so on, all tiny: 40 digits, and for each network that a card names one of two layers. So it is
not what the techniques are worth that is tested here, but that what the cards write can be written.
"""
import ast
import contextlib
import re
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CARDS = sorted(f for f in (Path(__file__).parents[2] / "docs" / "techniques").glob("*.md") if f.stem != "index")
#: Statements that are not run, found by a part of them, and why.
NOT_RUN = {
    ("resume", "/kaggle/input"): "a folder of Kaggle's",
    ("compile", "max-autotune"): "minutes of compiling",
    ("find_bs", "learn.find_bs("): "there is a limit on GPUs only",
}
#: Cards whose code needs a package that may be absent.
NEEDS = {"random_search": "optuna", "tensorboard": "tensorboard", "wandb": "wandb"}


def statements(card):
    "The statements of a card: pairs of the code, and of the line where it begins."
    text = card.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = text[:block.start()].count("\n") + 2
        for node in ast.parse(block[1]).body:
            yield ast.get_source_segment(block[1], node), first + node.lineno - 1


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from PIL import Image
    from sklearn.datasets import load_digits
    folder, data = tmp_path_factory.mktemp("cards") / "pets", load_digits()
    for n, i in enumerate([i for i, label in enumerate(data.target) if label < 2][:40]):
        there = folder / "train" / str(data.target[i])
        there.mkdir(parents=True, exist_ok=True)
        Image.fromarray((data.images[i] * 15).astype("uint8")).resize((16, 16)).save(there / f"{n:02d}.png")
    return folder


def workshop(card, folder):
    "The names that a card may use."
    import torch
    from torch.optim.lr_scheduler import StepLR

    import minifast.vision.all as star
    names = {name: getattr(star, name) for name in star.__all__}
    from minifast.basics import DataBlock, Learner, get_image_files, params
    from minifast.callbacks.gradients import mean_of_means
    from minifast.callbacks.overfitting import overfitting
    from minifast.vision.all import CategoryBlock, ImageBlock, RandomSplitter, Resize, parent_label
    nn = torch.nn

    def network(n_out=2, drop=0.0):
        body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2), nn.GELU())
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop or 0.1), nn.Linear(8, n_out))
        return nn.Sequential(OrderedDict(body=body, head=head))

    def vision_learner(dls, arch, **settings):
        return star.vision_learner(dls, lambda pretrained=False: network(10), pretrained=False, cut=1, **settings)

    dblock = DataBlock((ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=RandomSplitter(0.3),
                       item_tfms=Resize(16))
    size = 224 if card.stem == "progressive_resizing" else 16
    dls = dblock.new(item_tfms=Resize(size)).dataloaders(folder, bs=8)
    loss_func = nn.CrossEntropyLoss()
    learners = [Learner(dls, network(), loss_func, metrics=star.accuracy, splitter=lambda m: [params(m.body), params(m.head)])
                for _ in range(4)]
    items = get_image_files(folder).sorted()

    def learner_fn(splits):
        parts = DataBlock((ImageBlock, CategoryBlock), get_y=parent_label, splitter=star.FixedSplitter(splits), item_tfms=Resize(16))
        return Learner(parts.dataloaders(items, bs=8), network(), loss_func, metrics=star.accuracy)

    return names | {"vision_learner": vision_learner, "dls": dls, "dblock": dblock, "path": folder, "model": network(),
                    "loss_func": loss_func, "learn": learners[0], "learn1": learners[1], "learn2": learners[2], "learn3": learners[3],
                    "items": items, "files": items[:5], "new_items": items[:5], "file": items[0], "learner_fn": learner_fn,
                    "StepLR": StepLR,
                    "make_model": lambda drop: network(drop=drop), "make_learner": lambda drop: Learner(dls, network(drop=drop), loss_func),
                    "split": lambda m: [params(m.body), params(m.head)], "mean_of_means": mean_of_means, "overfitting": overfitting,
                    "losses": torch.rand(3), "weights": torch.rand(3), "train_losses": [3.0, 2.0, 1.0, 0.5, 0.3],
                    "valid_losses": [3.0, 2.0, 2.1, 2.6, 3.0], "X": torch.randn(20, 2, 30).numpy(), "y": ["a", "b"] * 10}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_the_code_of_a_card_runs(card, digits, tmp_path, monkeypatch):
    import matplotlib
    import torch
    if find_spec(NEEDS.get(card.stem, "torch")) is None:
        pytest.skip(f"needs {NEEDS[card.stem]}")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = workshop(card, digits)
    if card.stem == "distillation":
        names["vision_learner"](names["dls"], None).save("teacher")
    run = [(code, line) for code, line in statements(card) if not any(card.stem == name and part in code for name, part in NOT_RUN)]
    assert run, "nothing of the card is run"
    for code, line in run:
        with contextlib.redirect_stdout(None):
            exec(compile("\n" * (line - 1) + code, str(card), "exec"), names)
    matplotlib.pyplot.close("all")


def test_what_is_not_run_is_there():
    for name, part in NOT_RUN:
        card = next(card for card in CARDS if card.stem == name)
        assert any(part in code for code, _ in statements(card)), (name, part)
    assert len(CARDS) > 35 and all(list(statements(card)) for card in CARDS)
