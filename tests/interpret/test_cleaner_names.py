"Names of classes and files that mean something to matplotlib or a browser, where they are shown."
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from minifast.interpret.classification import ClassificationInterpretation
from minifast.interpret.cleaner import ImageClassifierCleaner
from minifast.learner.learner import Learner
from minifast.vision.images import PILImage
from minifast.vision.loaders import ImageDataLoaders

NAMES = ["$5_$", "<b>&"]


@pytest.fixture(scope="module")
def learn(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    for i in range(6):
        a = np.full((8, 8), 3000 + 10 * i, np.uint16)
        Image.fromarray(a).save(root / f"<i>{i}.png")
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_lists(root, sorted(root.iterdir()), [NAMES[i % 2] for i in range(6)], valid_pct=0.5, bs=2, num_workers=0)
    return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), path=root)


def test_every_plot_draws_names_as_they_are(learn):
    interp = ClassificationInterpretation.from_learner(learn)
    plots = [lambda: learn.dls.show_batch(max_n=2), lambda: learn.show_results(max_n=2), interp.plot_confusion_matrix,
             lambda: interp.plot_top_losses(2), lambda: interp.plot_least_confident(2), lambda: learn.dls.show_pipeline(0)]
    for plot in plots:
        plot()
        figure = plt.gcf()
        figure.canvas.draw()                    # where matplotlib parses
        texts = [t.get_text() for ax in figure.axes for t in (ax.title, ax._left_title, *ax.get_xticklabels())]
        assert any(name in text for text in texts for name in NAMES), texts
    plt.close("all")


def test_names_are_no_html_in_the_cleaner(learn):
    pytest.importorskip("ipywidgets")
    cleaner = ImageClassifierCleaner(learn, csv=learn.path / "c.csv")
    cleaner.select("<b>&")
    html = [card.children[1].value for card in cleaner.widget().children[1].children]
    assert html and all("&lt;i&gt;" in text and "<i>" not in text and "<b>" not in text for text in html)
    with Image.open(learn.path / "<i>0.png") as im:
        assert im.mode == "I;16" and PILImage.create(im).getextrema()[0][1] < 20
    assert cleaner.widget().children[1].children[0].children[0].value[:4] == b"\x89PNG"
