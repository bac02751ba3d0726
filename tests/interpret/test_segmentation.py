"""`SegmentationInterpretation`: ignored pixels, and masks that are all right or all wrong."""
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.interpret.segmentation import SegmentationInterpretation
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def test_segmentation():
    torch.manual_seed(0)
    x = torch.randn(6, 1, 8, 8)
    y = (x[:, 0] > 0).long()
    y[:, 0] = 255
    model = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([-5.0, 5.0]).reshape(2, 1, 1, 1))
        model.bias.zero_()
    ds = TensorDataset(x, y)
    learn = Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4)), model, CrossEntropyLossFlat(axis=1, ignore_index=255))
    interp = SegmentationInterpretation.from_learner(learn)
    assert interp.confusion_matrix().sum() == 6 * 7 * 8                           # void does not count
    assert interp.per_class().iou.tolist() == [1, 1] and interp.iou.tolist() == [1] * 6 and interp.most_confused() == []
    learn.model.weight.data.neg_()
    worse = SegmentationInterpretation.from_learner(learn)
    assert worse.iou.max() == 0 and worse.most_confused()[0][2] > 0 and worse.frame().pixels_right.tolist() == [0] * 6
    axes = worse.plot_top_losses(2)
    assert "item" in axes[0].get_title(loc="left") and axes[1].get_title(loc="left") == "prediction"
