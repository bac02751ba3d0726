"""Batches reach a GPU as they were made; augmentation there is that of the CPU; learners of texts, tables and series work there."""
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from minifast.basics import DataLoader
from minifast.core.seeds import item_rng
from minifast.data.pipeline import Pipeline
from minifast.tabular.all import TabularDataLoaders, tabular_learner
from minifast.text.all import AWD_LSTM, TextDataLoaders, language_model_learner, text_classifier_learner
from minifast.timeseries.all import TSDataLoaders, mini_rocket_learner, ts_learner
from minifast.vision.all import IntToFloatTensor, Normalize, TensorImage, aug_transforms, imagenet_stats

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(0)
TEXTS = pd.DataFrame({"text": [f"a {('good', 'bad')[i % 2]} film of {i} scenes and {i % 7} songs" for i in range(60)],
                      "label": ["pos", "neg"] * 30})
TABLE = pd.DataFrame({"k": RNG.choice(["a", "b"], 80), "x": RNG.normal(size=80), "y": RNG.choice(["yes", "no"], 80)})
SERIES, CLASSES = RNG.normal(size=(40, 2, 30)).astype("float32"), np.array(["b", "a"] * 20)


@pytest.mark.parametrize("workers", [{"num_workers": 0}, {"num_workers": 2, "worker_type": "thread"}], ids=["inline", "thread"])
@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_batches_arrive_as_they_were_made(device, workers, pin):
    x = torch.arange(50 * 12).view(50, 12)
    dl = DataLoader(TensorDataset(x, torch.arange(50)), bs=8, device=device, pin_memory=pin, **workers)
    batches = list(dl)
    assert all(xb.device.type == device for xb, _ in batches)
    xs, ys = (torch.cat([b[i].cpu() for b in batches]) for i in (0, 1))
    assert torch.equal(xs, x) and torch.equal(ys, torch.arange(50))


def test_augmentation_is_that_of_the_cpu(device):
    x = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (64, 64), mode="bicubic")
    x = x.clamp(0, 1).mul(255).byte()
    steps = Pipeline([IntToFloatTensor(), *aug_transforms(), Normalize.from_stats(*imagenet_stats)], split_idx=0).fused()
    there, here = (steps(TensorImage(x.to(d)), item_rng(5)) for d in (device, "cpu"))
    assert there.device.type == device and (there.cpu() - here).abs().mean() < 0.01
    assert ((there.cpu() - here).abs() > 0.1).float().mean() < 0.01


def same_then_trains(learn, device, path, lr=1e-3):
    "The loss before training is the same on both devices, then it trains where the data are."
    learn.path, learn.logger = path, lambda row: None
    with learn.no_bar():
        learn.dls.to("cpu")
        here = learn.validate()[0]
        learn.dls.to(device)
        there = learn.validate()[0]
        learn.fit(1, lr)
        preds = learn.get_preds()[0]
    assert there == pytest.approx(here, rel=0.01, abs=0.01) and np.isfinite(learn.recorder.raw_losses).all()
    assert next(learn.model.parameters()).device.type == device and torch.isfinite(preds).all()


def test_tables(device, tmp_path):
    dls = TabularDataLoaders.from_df(TABLE, cat_names=["k"], cont_names=["x"], y_names="y", bs=16)
    same_then_trains(tabular_learner(dls, layers=[8]), device, tmp_path)


@pytest.mark.parametrize("language", [True, False], ids=["language model", "classifier"])
def test_texts(device, tmp_path, language):
    config = {"emb_sz": 12, "n_hid": 16, "n_layers": 2}
    dls = TextDataLoaders.from_df(TEXTS, text_col="text", label_col="label", is_lm=language, bs=8, seq_len=8, min_freq=1)
    make = language_model_learner if language else text_classifier_learner
    learn = make(dls, AWD_LSTM, pretrained=False, config=config)
    same_then_trains(learn, device, tmp_path)


def test_series(device, tmp_path):
    same_then_trains(ts_learner(TSDataLoaders.from_array(SERIES, CLASSES, bs=8), n_filters=2, depth=3, bottleneck=2), device, tmp_path)


def test_features_of_mini_rocket(device):
    torch.manual_seed(0)
    model, x = mini_rocket_learner(TSDataLoaders.from_array(SERIES, CLASSES, bs=40)).model.eval(), torch.from_numpy(SERIES)
    with torch.no_grad():
        here, there = model.cpu()(x), model.to(device)(x.to(device)).cpu()
    torch.testing.assert_close(there, here, rtol=0.01, atol=0.02)
