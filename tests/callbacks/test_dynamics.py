import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.callbacks.dynamics import BatchSource, PredictionDynamics, fixed_batch
from minifast.callbacks.progress import ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.vision.loaders import ImageDataLoaders


def tables(kind=DataLoader, n=20, classes=3):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % classes if classes else x.sum(1, keepdim=True)
    return DataLoaders(kind(TensorDataset(x, y), batch_size=4, shuffle=True), kind(TensorDataset(x, y), batch_size=4))


def make(path, dls, model=None, loss=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3)) if model is None else model
    learn = Learner(dls, model, CrossEntropyLossFlat() if loss is None else loss, path=path)
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    return learn


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / label).mkdir()
        for i in range(6):
            pixels = rng.integers(0, 100, (12, 12, 3)) + (150 if label == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def picture_learner(pictures, path):
    dls = ImageDataLoaders.from_folder(pictures, valid_pct=0.5, seed=1, bs=3, num_workers=0)
    torch.manual_seed(0)
    return make(path, dls, nn.Sequential(nn.Flatten(), nn.Linear(432, 2)))


@pytest.mark.parametrize("kind", [DataLoader, TorchDataLoader])
def test_history_holds_the_predictions_of_each_epoch(kind, tmp_path):
    learn, dynamics = make(tmp_path, tables(kind)), PredictionDynamics(n=5)
    learn.fit(3, 1e-2, cbs=dynamics)
    assert list(dynamics.history) == [0, 1, 2] and all(p.shape == (5, 3) for p in dynamics.history.values())
    x, y = dynamics.batch.one_batch()
    assert torch.equal(dynamics.targets, y) and len(y) == 5
    with torch.no_grad():
        assert torch.allclose(dynamics.history[2], learn.model(x).softmax(-1), atol=1e-6)
    assert not torch.allclose(dynamics.history[0], dynamics.history[2])
    lines = [json.loads(line) for line in (dynamics.folder / "predictions.jsonl").read_text().splitlines()]
    assert [o["epoch"] for o in lines] == [0, 1, 2]
    assert torch.allclose(torch.tensor(lines[1]["predictions"]), dynamics.history[1], rtol=1e-5)
    assert dynamics.folder.parent == tmp_path / "dynamics"


def test_the_items_are_the_same_each_time_and_depend_on_the_seed(tmp_path):
    def items(seed):
        learn = make(tmp_path, tables())
        torch.manual_seed(torch.seed() % 1000)
        return fixed_batch(learn, n=6, seed=seed).one_batch()[0]

    assert torch.equal(items(42), items(42)) and not torch.equal(items(42), items(7))


@pytest.mark.parametrize("kind", [DataLoader, TorchDataLoader])
def test_training_does_not_notice(kind, tmp_path):
    results = []
    for cbs in (None, PredictionDynamics()):
        learn = make(tmp_path, tables(kind))
        torch.manual_seed(4)
        learn.fit(3, 1e-2, cbs=cbs)
        results.append((learn.recorder.values, [p.detach().clone() for p in learn.model.parameters()],
                        [b.clone() for b in learn.model.buffers()], torch.get_rng_state(), learn._shown))
    a, b = results
    assert a[0] == b[0] and a[4] == b[4]
    assert all(torch.equal(p, q) for i in (1, 2) for p, q in zip(a[i], b[i], strict=True)) and torch.equal(a[3], b[3])


def test_pictures_are_drawn_for_every_epoch_asked_for(pictures, tmp_path):
    import matplotlib.pyplot as plt
    learn, dynamics = picture_learner(pictures, tmp_path), PredictionDynamics(n=4, every=2)
    figures = plt.get_fignums()
    learn.fit(3, cbs=dynamics)
    assert sorted(f.name for f in dynamics.folder.iterdir()) == ["epoch_000.png", "epoch_002.png"] and list(dynamics.history) == [0, 2]
    with Image.open(dynamics.folder / "epoch_000.png") as im:
        assert min(im.size) > 100 and len(im.convert("RGB").getcolors(10**6)) > 20
    assert plt.get_fignums() == figures and learn._shown == -1


def test_pictures_do_not_disturb_training(pictures, tmp_path):
    weights = []
    for cbs in (None, PredictionDynamics(n=4)):
        learn = picture_learner(pictures, tmp_path)
        torch.manual_seed(0)
        learn.fit(2, cbs=cbs)
        weights.append(learn.model[1].weight.detach().clone())
    assert torch.equal(*weights)


def test_tensorboard_gets_the_pictures(pictures, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from minifast.callbacks.loggers import TensorBoardCallback
    for log_preds in (True, False):
        cb = TensorBoardCallback(n_preds=4, log_preds=log_preds)
        picture_learner(pictures, tmp_path).fit(2, cbs=cb)
        events = EventAccumulator(str(cb.folder))
        events.Reload()
        assert events.Tags()["images"] == (["predictions"] if log_preds else [])
        if log_preds:
            assert [e.step for e in events.Images("predictions")] == [2, 4]


def test_phases_count_on_and_a_new_training_starts_again(tmp_path):
    dls = tables()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3))
    learn = Learner(dls, model, CrossEntropyLossFlat(), path=tmp_path, splitter=lambda m: [list(o.parameters()) for o in m])
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    dynamics = PredictionDynamics(n=2)
    learn.add_cb(dynamics)
    learn.fine_tune(2, freeze_epochs=1)
    first = dynamics.folder
    assert list(dynamics.history) == [0, 1, 2]
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    assert list(dynamics.history) == [0, 1, 2]
    learn.fit(1)
    assert list(dynamics.history) == [0] and dynamics.folder != first and first.exists()


def test_other_items_and_a_model_that_works_in_place(tmp_path):
    dls = tables()
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3))
    learn, dynamics = make(tmp_path, dls, model), PredictionDynamics(n=4, dl=dls.train)
    learn.fit(2, cbs=dynamics)
    assert (dynamics.batch.one_batch()[0] < 0).any()           # the batch was not changed


def test_plot_of_classes_and_of_numbers(tmp_path):
    learn, dynamics = make(tmp_path, tables()), PredictionDynamics(n=4)
    with pytest.raises(ValueError, match="nothing to plot yet"):
        dynamics.plot()
    learn.fit(3, cbs=dynamics)
    axes = dynamics.plot()
    assert len(axes) == 4 and all(len(ax.lines) == 3 for ax in axes)
    thick = [[line.get_linewidth() > 2 for line in ax.lines].index(True) for ax in axes]
    assert thick == dynamics.targets.tolist()
    assert np.allclose(axes[1].lines[2].get_ydata(), [p[1, 2] for p in dynamics.history.values()])
    dynamics = PredictionDynamics(n=4)
    make(tmp_path, tables(classes=0), nn.Linear(3, 1), MSELossFlat()).fit(2, cbs=dynamics)
    axes = dynamics.plot()
    assert axes[0].lines[1].get_ydata()[0] == pytest.approx(float(dynamics.targets[0]))
    import matplotlib.pyplot as plt
    plt.close("all")


def test_large_predictions_are_kept_decoded(tmp_path):
    class Masks(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.conv(x)

    x = torch.rand(4, 1, 50, 50)
    ds = TensorDataset(x, (x[:, 0] > 0.5).long())
    dls = DataLoaders(DataLoader(ds, bs=2), DataLoader(ds, bs=2))
    dynamics = PredictionDynamics(n=2)
    make(tmp_path, dls, Masks(), CrossEntropyLossFlat(axis=1)).fit(1, cbs=dynamics)
    assert dynamics.history[0].shape == (2, 50, 50) and not dynamics.history[0].is_floating_point()
    with pytest.raises(ValueError, match="look at the images in"):
        dynamics.plot()


def test_arguments():
    for wrong in ({"n": 0}, {"every": True}, {"n": 2.5}):
        with pytest.raises(ValueError, match="a whole number from 1 up"):
            PredictionDynamics(**wrong)


def test_batch_source_draws_different_batches_and_leaves_the_streams_alone():
    class Counting:
        "Items without numbers."

        def __iter__(self):
            yield torch.rand(2)

    for loader in (tables().valid, tables(TorchDataLoader).valid):
        source = BatchSource(loader)
        before = torch.get_rng_state()
        batches = [source.draw()[0] for _ in range(4)]
        assert torch.equal(torch.get_rng_state(), before)
        assert all(b.shape == (4, 3) for b in batches) and len({float(b.sum()) for b in batches}) == 4
    assert BatchSource(Counting()).draw().shape == (2,)
