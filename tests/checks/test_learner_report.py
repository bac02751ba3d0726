"""`learn.report()`: one file, with everything in it, whatever the learner is of."""
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from minifast.basics import Callback, DataLoaders, Learner, accuracy, rmse, set_seed
from minifast.checks import learner_report
from minifast.checks.outcomes import VERDICTS, Check
from minifast.checks.report import Report
from minifast.collab import CollabDataLoaders, collab_learner
from minifast.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
from minifast.text.all import AWD_LSTM, TextDataLoaders, text_classifier_learner
from minifast.timeseries.all import DLinear, SlidingWindows, TSDataLoaders, ts_forecaster
from minifast.vision.all import DataBlock, ImageBlock, ImageDataLoaders, MaskBlock, Resize

EVIL = "<script>alert(1)</script>&\"'$x$"


class Page(HTMLParser):
    "What a browser makes of the file: tags, where they lead, and the text that a reader sees."

    def __init__(self, file):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data", "srcset", "poster")]

    def handle_data(self, data):
        self.text += data


def photos(folder, n=12):
    "Files of two classes whose names are HTML."
    rng = np.random.default_rng(0)
    for label, low in (("dark", 0), ("<i>light", 140)):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(low, low + 110, (20, 24, 3), dtype=np.uint8)).save(folder / label / f"<b>{i} & co.png")
    return folder


def vision(folder):
    dls = ImageDataLoaders.from_folder(photos(folder / "p"), valid_pct=0.25, item_tfms=Resize(16), bs=6, num_workers=0, device="cpu")
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return Learner(dls, model, metrics=accuracy, path=folder)


def masks(folder):
    files = sorted(photos(folder / "p").rglob("*.png"))
    block = DataBlock((ImageBlock, MaskBlock(["sky", EVIL])), get_y=lambda f: Image.fromarray(np.eye(20, 24, dtype=np.uint8)))
    dls = block.dataloaders(files, bs=6, num_workers=0, device="cpu", path=folder)
    return Learner(dls, nn.Conv2d(3, 2, 3, padding=1), path=folder)


def table(n=60):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=n), EVIL: rng.choice([EVIL, "b"], n)})
    return frame.assign(kind=np.where(frame["size"] > 0, EVIL, "no"), price=frame["size"] * 2)


def tabular(folder):
    dls = TabularDataLoaders.from_df(table(), procs=[Categorify, FillMissing, Normalize], cat_names=[EVIL], cont_names=["size"],
                                     y_names="kind", bs=16)
    return tabular_learner(dls, [8], metrics=accuracy)


def regression(folder):
    dls = TabularDataLoaders.from_df(table(), procs=[Categorify, FillMissing, Normalize], cat_names=[EVIL], cont_names=["size"],
                                     y_names="price", bs=16)
    return tabular_learner(dls, [8], metrics=rmse)


def collab(folder):
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame({"user": rng.integers(0, 8, 80), "title": rng.choice([EVIL, "b", "c"], 80), "rating": rng.integers(1, 6, 80)})
    return collab_learner(CollabDataLoaders.from_df(ratings, bs=16), n_factors=2, y_range=(0.5, 5.5))


def texts(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"text": [f"{EVIL} {' '.join(rng.choice(['a', 'b', 'c'], 6))}" for _ in range(40)], "label": [EVIL, "no"] * 20})
    dls = TextDataLoaders.from_df(frame, text_col="text", label_col="label", bs=8)
    config = {"emb_sz": 8, "n_hid": 8, "n_layers": 1}
    return text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False, metrics=accuracy)


def series(folder):
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=120), EVIL: np.sin(np.arange(120) / 4)})
    windows = SlidingWindows(frame, window=12, horizon=4, time="day", target=EVIL)
    return ts_forecaster(TSDataLoaders.from_windows(windows, n_valid=20, history=True, bs=16), DLinear)


KINDS = {"vision": (vision, ["Confusion matrix", "<b>", "<i>light"]), "masks": (masks, ["iou", EVIL]), "tabular": (tabular, [EVIL]),
         "regression": (regression, ["rmse", "r2"]), "collab": (collab, [EVIL, "r2"]), "texts": (texts, [EVIL]),
         "series": (series, ["Errors"])}


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_that_needs_nothing_else(kind, tmp_path, recwarn):
    set_seed(0)
    make, words = KINDS[kind]
    learn = make(tmp_path)
    learn.path = tmp_path
    with learn.no_bar(), learn.no_logging():
        learn.fit(2, 1e-2)
    before = {name: t.clone() for name, t in learn.model.state_dict().items()}
    streams = torch.get_rng_state()
    file = learn.report(budget=3)
    assert file == tmp_path / "report.html" and [*tmp_path.glob("report*")] == [file]
    page = Page(file)
    assert {"script", "iframe", "link", "object", "b", "i", "form"} & {*page.tags} <= {"b", "i"}, "`b` and `i` are of the reports of checks"
    assert page.addresses and all(a.startswith(("data:image/", "#s")) for a in page.addresses)
    assert "could not be made" not in page.text
    for word in ["Training", "valid_loss", "Checks of the learner", "MF102", "Checks of the data", "largest losses", "parameters", *words]:
        assert word in page.text, word
    assert file.stat().st_size < 3e6
    assert re.search(r"<b>|<i>", EVIL) is None and "alert(1)" not in file.read_text().replace("&lt;script&gt;alert(1)", "")
    assert all(torch.equal(before[name], t) for name, t in learn.model.state_dict().items()) and torch.equal(streams, torch.get_rng_state())
    import matplotlib.pyplot as plt
    assert not plt.get_fignums()


def test_a_learner_that_was_not_trained_and_loaders_of_torch(tmp_path):
    data = torch.utils.data.TensorDataset(torch.randn(16, 3), torch.randn(16, 1))
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    learn = Learner(DataLoaders(loader, loader), nn.Linear(3, 1), nn.MSELoss(), path=tmp_path)
    text = Page(learn.report("mine.htm", checks=False)).text
    assert "has not been trained here" in text and "Errors" in text and "Checks" not in text
    learn = Learner(DataLoaders(loader), nn.Linear(3, 1), nn.MSELoss(), path=tmp_path)
    assert "There are no validation items." in Page(learn.report(tmp_path / "other.html", checks=False)).text


def test_what_cannot_be_written_is_refused(tmp_path):
    data = torch.utils.data.TensorDataset(torch.randn(16, 3), torch.randn(16, 1))
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    learn = Learner(DataLoaders(loader, loader), nn.Linear(3, 1), nn.MSELoss(), path=tmp_path)
    with pytest.raises(ValueError, match=re.escape("report(file='all.pdf'): a page in HTML is written: write 'all.html'")):
        learn.report("all.pdf")
    with pytest.raises(ValueError, match=re.escape("report(k=0): how many of the worst items to show, at least 1")):
        learn.report(k=0)
    with pytest.raises(FileNotFoundError):
        learn.report("nowhere/report.html", checks=False)

    class During(Callback):
        def after_batch(self):
            self.learn.report()

    with pytest.raises(RuntimeError, match="half-trained"):
        learn.fit(1, cbs=During())
    assert not [*tmp_path.iterdir()]


def test_a_section_that_fails_says_so_and_the_others_are_written(tmp_path):
    data = torch.utils.data.TensorDataset(torch.randn(16, 3), torch.randn(16, 1))
    dls = DataLoaders(torch.utils.data.DataLoader(data, batch_size=8), torch.utils.data.DataLoader(data, batch_size=8))
    learn = Learner(dls, nn.Linear(3, 1), nn.MSELoss(), path=tmp_path)

    def broken(*args, **kwargs):
        raise LookupError("<b>no</b>")

    learn.recorder.history.append({"fit": 0, "epoch": 0})
    learn.recorder.frame = broken
    with pytest.warns(UserWarning, match="'Training' could not be made: LookupError: <b>no</b>"):
        page = Page(learn.report(checks=False))
    assert "could not be made: LookupError: <b>no</b>" in page.text and "Errors" in page.text


def test_many_items_with_large_predictions_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(learner_report, "MOST_NUMBERS", 4 * 2 * 20 * 24)
    learn = masks(tmp_path)
    assert re.search(r"Of 4 validation items, \d at even distances", Page(learn.report(checks=False)).text) is None
    monkeypatch.setattr(learner_report, "MOST_NUMBERS", 2 * 2 * 20 * 24)
    assert "Of 4 validation items, 2 at even distances" in Page(learn.report(checks=False)).text


def test_colours_can_be_read_on_light_and_on_dark():
    "The contrast of WCAG, at least 4 for these bold words, on white and on the dark themes of notebooks."
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    html = Report([Check("MF105", v) for v in VERDICTS]).html()
    colours = set(re.findall(r"color:(#\w{6})", html))
    assert len(colours) == 4
    for colour in colours:
        for back in ("#ffffff", "#111111"):
            low, high = sorted((luminance(colour), luminance(back)))
            assert (high + 0.05) / (low + 0.05) > 4, (colour, back)
