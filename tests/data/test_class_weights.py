"""Weights against rare classes: numbers, and that no input is made to count targets."""
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from torch import nn
from torch.utils.data import Subset, TensorDataset

from minifast.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from minifast.data.class_weights import class_weights, item_weights_from, pos_weights, targets_of, weights_from
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.splitters import IndexSplitter
from minifast.data.targets import labels_of
from minifast.learner.learner import Learner
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat

Y = [0] * 50 + [1] * 30 + [2] * 5


def never(*args):
    raise AssertionError("an input was made")


def block_dls(labels, block=CategoryBlock, n_valid=1, get_x=never, **kwargs):
    "Loaders of items that are (position, label); the first `n_valid` are for validation."
    db = DataBlock((TransformBlock, block), get_x=get_x, get_y=lambda o: o[1], splitter=IndexSplitter(range(n_valid)))
    ds = db.datasets(list(enumerate(labels)))
    return DataLoaders(*(DataLoader(ds.subset(i), bs=4, num_workers=0, n_inp=1) for i in (0, 1)), device="cpu"), db


def test_balanced_is_sklearns():
    want = compute_class_weight("balanced", classes=np.arange(3), y=np.array(Y))
    assert class_weights(np.bincount(Y)).tolist() == pytest.approx(want.tolist())


def test_sqrt_and_effective():
    counts = torch.tensor([100.0, 25.0, 4.0])
    w = class_weights(counts, "sqrt")
    assert (w / w[0]).tolist() == pytest.approx([1, 2, 5])
    w = class_weights(counts, "effective", beta=0.9)
    want = [(1 - 0.9) / (1 - 0.9 ** n) for n in (100, 25, 4)]
    assert (w / w[0]).tolist() == pytest.approx([v / want[0] for v in want], rel=1e-5)
    huge = class_weights([10**9, 10**6], "effective", beta=0.999)      # both saturated
    assert huge.tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("how", ["balanced", "sqrt", "effective"])
def test_mean_over_items_is_one(how):
    counts = torch.tensor([50.0, 30.0, 5.0])
    w = class_weights(counts, how)
    assert w.dtype == torch.float32 and float((w * counts).sum() / counts.sum()) == pytest.approx(1)
    assert w[2] > w[1] > w[0]


def test_empty_class():
    with pytest.warns(UserWarning, match=r"1 class without an item in the training set: .*'dog'"):
        w = class_weights([4, 0, 2], vocab=["cat", "dog", "emu"])
    assert w.tolist() == pytest.approx([0.75, 1, 1.5])


def test_errors():
    with pytest.raises(ValueError, match="how is one of 'balanced', 'sqrt', 'effective'"):
        class_weights([1, 2], how="equal")
    with pytest.raises(ValueError, match="beta is a number between 0 and 1"):
        class_weights([1, 2], "effective", beta=1)
    for bad in ([0, 0], [-1, 2], [[1, 2]], [], [float("nan"), 1]):
        with pytest.raises(ValueError, match="number of items of each class"):
            class_weights(bad)
    with pytest.raises(ValueError, match="7 items with a label, but only n=5"):
        pos_weights([7, 1], 5)


def test_pos_weights():
    assert pos_weights([10, 50], 100).tolist() == pytest.approx([9, 1])
    assert pos_weights([10, 50], 100, "sqrt").tolist() == pytest.approx([3, 1])
    with pytest.warns(UserWarning, match="which no item or every item has"):
        assert pos_weights([0, 100, 20], 100).tolist() == pytest.approx([1, 1, 4])


def test_of_a_datablock_counts_training_only_and_makes_no_input():
    labels = ["b"] + ["a"] * 6 + ["b"] * 3
    dls, _ = block_dls(labels)
    assert list(dls.vocab) == ["a", "b"]
    assert dls.class_weights().tolist() == pytest.approx([9 / (2 * 6), 9 / (2 * 3)])
    items = dls.item_weights()
    assert items.tolist() == pytest.approx(compute_sample_weight("balanced", labels[1:]).tolist())


def test_item_weights_feed_weighted_dataloaders():
    labels = ["b"] * 4 + ["a"] * 396 + ["b"] * 4
    dls, db = block_dls(labels, get_x=lambda o: float(o[0]), n_valid=4)
    weighted = db.weighted_dataloaders(list(enumerate(labels)), dls.item_weights(), bs=50, device="cpu", seed=0, num_workers=0)
    y = torch.cat([b[1] for _ in range(5) for b in weighted.train])
    assert len(y) == 2000 and 0.45 < float(y.float().mean()) < 0.55


def test_vocabulary_wider_than_the_training_set():
    dls, _ = block_dls(["a", "a", "c", "c"], block=CategoryBlock(vocab=["a", "b", "c"]))
    with pytest.warns(UserWarning, match="'b'"):
        assert len(dls.class_weights()) == 3
    dls, _ = block_dls(["a", "a", "c", "c"], block=CategoryBlock(add_na=True))
    assert dls.class_weights().tolist() == pytest.approx([1, 1.5, 0.75])      # no warning for '#na#'


def test_several_labels():
    dls, _ = block_dls([["x"], ["x", "y"], ["x"], ["x", "y"], []], block=MultiCategoryBlock)
    assert dls.class_weights().tolist() == pytest.approx([1 / 3, 1])
    items = item_weights_from(dls)
    assert (items / items[1]).tolist() == pytest.approx([1.5, 1, 1.5, 1])       # counts 3 and 2; the item without a label as 'x'
    loss = BCEWithLogitsLossFlat(pos_weight=dls.class_weights())
    assert torch.isfinite(loss(torch.zeros(2, 2), torch.ones(2, 2)))


def test_of_tensors_subsets_and_targets():
    y = torch.tensor(Y)
    ds = TensorDataset(torch.zeros(len(Y), 2), y)
    want = compute_class_weight("balanced", classes=np.arange(3), y=np.array(Y))
    dls = DataLoaders(DataLoader(ds, bs=8), DataLoader(ds, bs=8))
    assert dls.class_weights().tolist() == pytest.approx(want.tolist())
    assert targets_of(Subset(Subset(ds, range(40, 60)), [0, 15])).tolist() == [0, 1]
    torch_dls = DataLoaders(torch.utils.data.DataLoader(ds, sampler=torch.utils.data.SubsetRandomSampler([0, 50, 51])))
    assert torch_dls.class_weights().tolist() == pytest.approx([1.5, 0.75])
    some = torch.utils.data.SubsetRandomSampler(torch.tensor([0, 50, 51]))
    assert DataLoaders(DataLoader(ds, bs=3, sampler=some)).class_weights()[:2].tolist() == pytest.approx([1.5, 0.75])

    class Listed(torch.utils.data.Dataset):
        targets = [0, 1, 1, 1]

        def __len__(self):
            return 4

        def __getitem__(self, i):
            never()

    assert weights_from(DataLoaders(torch.utils.data.DataLoader(Listed()))).tolist() == pytest.approx([2, 2 / 3])
    Listed.targets = pd.Series([0, 1, 1, 1], index=[7, 8, 9, 3])           # such as a column of a frame that was split
    assert weights_from(DataLoaders(torch.utils.data.DataLoader(Listed()))).tolist() == pytest.approx([2, 2 / 3])
    assert labels_of(Listed()).tolist() == [0, 1, 1, 1]
    Listed.targets = pd.Series(["a", "b", "b", "b"], dtype="category")
    assert labels_of(Listed()) is None


def test_of_a_table():
    from minifast.tabular.loaders import TabularDataLoaders
    df = pd.DataFrame({"a": np.arange(20.0), "y": ["n"] * 16 + ["p"] * 4})
    dls = TabularDataLoaders.from_df(df, cont_names=["a"], cat_names=[], y_names="y", valid_idx=[0, 1, 2, 3], bs=4)
    assert dls.class_weights().tolist() == pytest.approx([16 / 24, 16 / 8])


def test_no_classes_to_count():
    dls, _ = block_dls([0.5, 1.5, 2.5], block=RegressionBlock)
    with pytest.raises(ValueError, match="neither class ids"):
        dls.class_weights()

    class Opaque(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return torch.zeros(2), 1

    with pytest.raises(TypeError, match="attribute `targets`"):
        targets_of(Opaque())
    with pytest.raises(ValueError, match="2 targets: say which one"):
        ds = TensorDataset(torch.zeros(4, 2), torch.zeros(4).long(), torch.zeros(4).long())
        ds.n_inp = 1
        targets_of(ds)
    assert targets_of(ds, 1).shape == (4,)
    with pytest.raises(ValueError, match="only inputs"):
        targets_of(TensorDataset(torch.zeros(4, 2)))


def test_weighted_training():
    "The weights reach the loss of a learner, on its device."
    x = torch.cat([torch.randn(90, 2, generator=torch.Generator().manual_seed(0)), torch.randn(10, 2) + 1])
    ds = TensorDataset(x, torch.tensor([0] * 90 + [1] * 10))
    dls = DataLoaders(DataLoader(ds, bs=50, shuffle=True, seed=0), DataLoader(ds, bs=50))
    learn = Learner(dls, nn.Linear(2, 2), CrossEntropyLossFlat(weight=dls.class_weights()))
    learn.logger = lambda row: None
    learn.fit(1)
    assert np.isfinite(learn.recorder.values[-1]).all()
