"""What every `Interpretation` says of rows: those of tables, of ratings, and of frames with files, by the labels of the user's frame."""
import numpy as np
import pandas as pd
import pytest
import torch
from suggestions import told
from torch import nn

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.interpret.base import Interpretation
from minifast.interpret.regression import RegressionInterpretation
from minifast.interpret.segmentation import SegmentationInterpretation
from minifast.learner.learner import Learner
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders


@pytest.fixture
def frame():
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"c": r.choice(list("pq"), 60), "x": r.normal(size=60), "loss": np.arange(60) * 10.0,
                          "y": r.choice(["no", "yes"], 60)}, index=[f"id{i}" for i in range(60)])
    frame.loc["id3", "x"] = None
    return frame


@pytest.fixture
def interp(frame, as_class):
    torch.manual_seed(0)
    return as_class(tabular_learner(TabularDataLoaders.from_df(frame, y_names="y", device="cpu"), layers=[8]))


def test_rows_of_a_table_are_named_as_in_its_frame(frame, interp):
    table = interp.frame()
    assert table.index.tolist() == frame.index[interp.dl.dataset.rows].tolist() and table.target.tolist() == frame.y[table.index].tolist()
    assert table.columns.tolist() == ["target", "prediction", "p_target", "p_predicted", "loss", "right"]
    _, indices, rows = interp.top_losses(3, items=True)
    worst = table.index[indices.tolist()].tolist()
    assert [row.name for row in rows] == worst and [row.x for row in rows] == pytest.approx(frame.x[worst].tolist(), abs=1e-5)
    assert interp.path(2) == interp.item_name(2) == table.index[2] and interp.name(2) == f"row {table.index[2]!r}"
    assert interp.per_group(lambda row: row.c).n.to_dict() == frame.c[table.index].value_counts().to_dict()


def test_likely_label_errors_of_a_table(frame, interp):
    labels = interp.targs.clone()
    interp.targs = torch.cat([1 - labels[:2], labels[2:]])
    found = interp.likely_label_errors(torch.stack([labels != 1, labels == 1], 1) * 0.8 + 0.1)
    wrong = frame.index[interp.dl.dataset.rows[:2]].tolist()
    assert sorted(found.item) == sorted(found.index) == sorted(wrong) and "path" not in found
    assert frame.y[found.item].tolist() == found.suggested.tolist()
    assert interp.show_results(found.number).index.tolist() == found.item.tolist()


def test_rows_of_a_table_are_shown_as_a_frame(frame, interp):
    for shown in (interp.plot_top_losses(3, figsize=(3, 3)), interp.plot_least_confident(3), interp.plot_confidently_wrong(3),
                  interp.show_results([0, 2])):
        assert shown.columns.tolist()[:3] == ["c", "x_na", "x"] and "y" not in shown
        assert shown["loss_"].tolist() == frame["loss"][shown.index].tolist() and shown.c.tolist() == frame.c[shown.index].tolist()
    with pytest.raises(TypeError, match="does not take vmn=int 0; did you mean 'vmin'"):
        interp.plot_top_losses(3, vmn=0)
    losses = interp.plot_top_losses(3).loss.tolist()
    assert losses == pytest.approx(interp.top_losses(3)[0].tolist())


def test_ratings(as_class):
    r = np.random.default_rng(0)
    ratings = pd.DataFrame({"user": r.integers(0, 9, 80), "film": r.choice(list("abcdef"), 80), "rating": r.integers(1, 6, 80)},
                           index=np.arange(80) + 500)
    learn = collab_learner(CollabDataLoaders.from_df(ratings, device="cpu"), 3, y_range=(0, 5.5))
    for kind in (Interpretation, RegressionInterpretation):
        interp = kind.from_learner(learn)
        for shown in (interp.plot_top_losses(4), interp.show_results([3, 1])):
            assert shown[["user", "film"]].values.tolist() == ratings.loc[shown.index, ["user", "film"]].values.tolist()
            assert [float(v) for v in shown.target] == ratings.rating[shown.index].tolist()


def test_frames_of_files(as_class, data_dir):
    from minifast.vision.all import ImageDataLoaders, get_image_files
    files = get_image_files(data_dir / "cifar10_tiny")[::40]
    df = pd.DataFrame({"name": [str(f.relative_to(data_dir)) for f in files], "y": [f.parent.name > "d" for f in files]},
                      index=[f"r{i}" for i in range(len(files))])
    dls = ImageDataLoaders.from_df(df, data_dir, bs=8, num_workers=0)
    interp = as_class(Learner(dls, nn.Sequential(nn.Conv2d(3, 2, 3, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())))
    table = interp.frame()
    assert [p.relative_to(data_dir).as_posix() for p in table.path] == df.name[table.index].tolist()
    assert interp.name(0) == table.path.iloc[0].name and table.target.tolist() == df.y[table.index].astype(str).tolist()
    found = interp.likely_label_errors(1 - interp.preds)
    assert found.index.tolist() == found.item.tolist() and len(found)
    assert [p.relative_to(data_dir).as_posix() for p in found.path] == df.name[found.item].tolist()


@pytest.mark.parametrize("kind", [Interpretation, RegressionInterpretation, SegmentationInterpretation])
def test_a_learner_alone(make, as_class, kind):
    learn = make()
    with told("interpret/base.py", "(learn) has no predictions yet: write ….from_learner(learn)"):
        kind(learn)
    assert len(Interpretation.from_learner(learn)) == 30
