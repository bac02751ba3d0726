"""What every `Interpretation` can do: items by loss, frames, groups, batches, files."""
import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import Subset, TensorDataset

from minifast.data.loaders import DataLoader
from minifast.interpret.base import Interpretation, batch_of
from minifast.interpret.segmentation import SegmentationInterpretation
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat

VOCAB = ["ant", "bee", "cat"]


def test_top_losses(make, as_class):
    interp = as_class(make())
    values, indices = interp.top_losses(4)
    assert values.tolist() == sorted(interp.losses.tolist(), reverse=True)[:4] and torch.equal(interp.losses[indices], values)
    assert interp.top_losses(2, largest=False)[0].tolist() == sorted(interp.losses.tolist())[:2]
    assert len(interp.top_losses()[0]) == 30
    assert interp.top_losses(2, items=True)[2] == indices[:2].tolist()              # tensors have no items but their numbers


def test_training_items_in_order_and_subsets(make, as_class):
    learn = make()
    assert torch.equal(as_class(learn, ds_idx=0).targs, learn.dls.train_ds.tensors[1])
    subset = DataLoader(Subset(learn.dls.valid_ds, [5, 3, 8]), bs=2)
    interp = as_class(learn, dl=subset)
    assert torch.equal(interp.targs, learn.dls.valid_ds.tensors[1][[5, 3, 8]])


def test_items_that_are_no_pictures_come_as_a_table(make, as_class):
    interp = as_class(make())
    with pytest.raises(TypeError, match="does not take vmn=int 0; did you mean 'vmin'"):
        interp.plot_top_losses(3, vmn=0)
    table = interp.plot_top_losses(3)
    assert table.loss.tolist() == pytest.approx(interp.top_losses(3)[0].tolist())


def test_batch_of_a_loader(make):
    learn = make()
    x, y = batch_of(learn.dls.valid, [4, 2])
    assert torch.equal(x, learn.dls.valid_ds.tensors[0][[4, 2]]) and torch.equal(y, learn.dls.valid_ds.tensors[1][[4, 2]])


def test_real_pictures_name_their_files(as_class, data_dir):
    from minifast.vision.all import ImageDataLoaders, get_image_files
    files = get_image_files(data_dir / "cifar10_tiny")[::40]
    dls = ImageDataLoaders.from_path_func(data_dir, files, lambda p: p.parent.name[0] > "d", bs=8, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    interp = as_class(learn)
    axes = interp.plot_top_losses(4)
    i = int(interp.top_losses(1)[1])
    assert interp.path(i) == dls.valid_ds.items[i] and dls.valid_ds.items[i].name in axes[0].get_title(loc="left")
    axes = interp.plot_top_losses(2, vmin=0, vmax=0.5, cmap="viridis")
    assert [ax.images[0].get_clim() for ax in axes] == [(0, 0.5)] * 2
    assert interp.show_results([0], alpha=0.5)[0].images[0].get_alpha() == 0.5
    with pytest.raises(TypeError, match=r"show_items\(\.\.\.\) does not take vmn=int 0; did you mean 'vmin'"):
        interp.plot_top_losses(2, vmn=0)
    assert isinstance(Interpretation.from_learner(learn), Interpretation) and interp.frame().path[0] == dls.valid_ds.items[0]
    from minifast.interpret.grad_cam import plot_grad_cam
    assert len(plot_grad_cam(interp, [0, 1])) == 2


def test_frame_and_groups(make, as_class):
    interp = as_class(make())
    frame = interp.frame()
    assert frame.columns.tolist() == ["path", "target", "prediction", "p_target", "p_predicted", "loss", "right"]
    assert frame.right.tolist() == interp.right.tolist() and set(frame.target) <= set(VOCAB)
    groups = interp.per_group(["even" if i % 2 == 0 else "odd" for i in range(30)])
    even = torch.arange(30) % 2 == 0
    assert groups.loc["even", "n"] == 15 and groups.loc["even", "accuracy"] == pytest.approx(float(interp.right[even].float().mean()))
    assert groups.loss.is_monotonic_decreasing and interp.per_group(lambda i: i < 10).loc[True, "n"] == 10
    with told("interpret/base.py", "per_group(groups=...): one group per item: received … for …"):
        interp.per_group([1, 2])
    assert interp.per_group(groups=[1, 2] * 15).n.tolist() == [15, 15]


def test_what_is_refused(make, as_class):
    learn = make(loss=MSELossFlat(), y=torch.randn(30, 1), out=1, kind=TensorDataset)
    with pytest.raises(TypeError, match="RegressionInterpretation"):
        as_class(learn)
    with pytest.raises(TypeError, match="takes masks"):
        SegmentationInterpretation.from_learner(make())
    with pytest.raises(ValueError, match="nothing to show"):
        as_class(make()).show_items([])
    learn = make()
    no_targets = DataLoader(TensorDataset(torch.randn(8, 3)), bs=4, n_inp=1)
    with pytest.raises(ValueError, match="needs items with targets"):
        as_class(learn, dl=no_targets)
