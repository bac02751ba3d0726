"""What code written for fastai does with loaders: attributes set, names read, hooks of subclasses, items of a test set."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Subset, TensorDataset
from torchvision.tv_tensors import Image

from minifast.core.items import L
from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.labels import ColReader
from minifast.data.loader_args import INSTEAD_OF_HOOKS
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.transforms import Transform


def to_image(x):
    return Image(torch.full((1, 2, 2), float(x)))


def label(x):
    return int(x) % 3


def loaders(**kwargs):
    block = DataBlock((TransformBlock(), CategoryBlock()), get_x=to_image, get_y=label, batch_tfms=Transform(halve, double))
    return block.dataloaders(list(range(20)), **{"bs": 4, "num_workers": 0, "device": "cpu", **kwargs})


def halve(x):
    return x / 2 if x.is_floating_point() else x


def double(x):
    return x * 2 if x.is_floating_point() else x


# -- what can be set ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "value"), [("c", 7), ("vocab", ["a", "b", "d"]), ("n_inp", 2), ("device", torch.device("cpu"))])
def test_attributes_can_be_set_and_stay(name, value):
    for where in (lambda dls: dls, lambda dls: dls.train):
        dls = loaders()
        setattr(where(dls), name, value)
        for now in (dls, dls.new(bs=2), dls.with_tfms(halve)):
            assert getattr(where(now), name) == value


def test_batch_size_can_be_set():
    dls = loaders()
    dls.bs = 2
    assert [dl.bs for dl in dls] == [2, 2] and len(dls.one_batch()[0]) == 2 and len(dls.train) == 8 and dls.train.new().bs == 2
    dls.train.bs = np.int64(8)
    assert [len(b[0]) for b in dls.train] == [8, 8] and dls.valid.bs == 2
    for bad in (0, True, 2.5, None):
        with pytest.raises(ValueError, match="a batch has a whole number of items"):
            dls.train.bs = bad
    with pytest.raises(ValueError, match="bs=99 leaves no batch"):
        loaders(drop_last=True).train.bs = 99
    with pytest.raises(ValueError, match=r"bs=\[4, 2\]: .* at least 1; those of validation are val_bs=2"):
        loaders(bs=[4, 2])
    assert [dl.bs for dl in loaders(bs=4, val_bs=2)] == [4, 2]
    with pytest.raises(ValueError, match="n_inp=0: a number of inputs"):
        dls.n_inp = 0


def test_attributes_of_loaders_of_torch():
    dls = DataLoaders(TorchDataLoader(TensorDataset(torch.zeros(4, 1), torch.zeros(4)), batch_size=2))
    dls.c, dls.vocab, dls.n_inp = 3, ["x", "y", "z"], 1
    assert (dls.c, dls.vocab, dls.n_inp) == (3, ["x", "y", "z"], 1)
    with pytest.raises(TypeError, match="bs= needs loaders"):
        dls.bs = 3
    with pytest.raises(AttributeError, match="dls.c = ... needs loaders with attributes; this one is list"):
        DataLoaders([(torch.zeros(1), torch.zeros(1))]).c = 3


def test_loaders_can_be_replaced():
    dls = loaders()
    other = dls.valid.new()
    dls.train = other
    assert dls.train is other and dls[0] is other and len(dls) == 2
    alone = DataLoaders(other)
    alone.valid = other
    assert alone.valid is other and len(alone) == 2
    with pytest.raises(TypeError, match="loader 0 of DataLoaders must be a DataLoader"):
        dls.train = 3


def test_pipelines_can_be_replaced():
    dl = loaders(shuffle=False).valid
    first = float(dl.one_batch()[0].max())
    dl.after_batch = [halve, halve, halve]
    assert float(dl.one_batch()[0].max()) == first / 4
    dl.after_item = halve
    assert float(dl.one_batch()[0].max()) == first / 8 == float(next(iter(dl))[0].max())


# -- what can be read ---------------------------------------------------------------------------------------------------------------
def test_items_datasets_and_pipelines():
    dls = loaders()
    assert dls.dataset is dls.train_ds is dls.train.dataset
    assert list(dls.items) == list(dls.train.items) == list(dls.train_ds.items) and len(dls.valid.items) == 4
    assert DataLoader(Subset(dls.train_ds, [2, 1]), device="cpu").items == [dls.items[2], dls.items[1]]
    assert dls.after_batch is dls.train.after_batch and dls.after_item is dls.train.after_item and len(dls.before_batch) == 0
    with pytest.raises(AttributeError, match="no items, because its dataset has none: TensorDataset"):
        _ = DataLoader(TensorDataset(torch.zeros(3)), device="cpu").items


def test_decode_undoes_the_batch_transforms():
    dls = loaders()
    xb, yb = dls.valid.one_batch()
    for decoded in (dls.decode((xb, yb)), dls.valid.decode((xb, yb))):
        assert type(decoded[0]) is Image and torch.equal(decoded[0].as_subclass(torch.Tensor), xb * 2) and torch.equal(decoded[1], yb)


def test_from_dblock():
    block = DataBlock((TransformBlock(), CategoryBlock()), get_x=to_image, get_y=label)
    dls = DataLoaders.from_dblock(block, list(range(20)), path="/tmp", bs=4, val_bs=2, device="cpu", num_workers=0)
    assert [dl.bs for dl in dls] == [4, 2] and str(dls.path) == "/tmp" and dls.c == 3


def test_unknown_arguments_name_the_call():
    for call, where in ((loaders().new, "dls.new"), (loaders().train.new, "loader.new")):
        with pytest.raises(TypeError, match=rf"^{where}\(...\) does not take foo"):
            call(foo=1)


# -- hooks of fastai's loaders --------------------------------------------------------------------------------------------------------
HOOKS = ["create_item", "create_batch", "get_idxs", "before_iter", "shuffle_fn", "after_iter", "create_batches", "do_item", "do_batch",
         "chunkify", "sample", "randomize", "prebatched", "retain", "wif", "collate_fn", "after_item", "before_batch", "after_batch"]


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_that_would_never_be_called_are_refused(name):
    assert set(HOOKS) == set(INSTEAD_OF_HOOKS)
    with pytest.raises(TypeError, match=rf"Mine.{name} is never called"):
        type("Mine", (DataLoader,), {name: lambda self, *args: args})
    if name not in ("after_item", "before_batch", "after_batch", "collate_fn"):
        with pytest.raises(TypeError, match=rf"does not take {name}: "):
            DataLoader(TensorDataset(torch.zeros(3)), **{name: len})


def test_what_to_write_instead_works():
    class Backwards:
        def __len__(self):
            return 4

        def __iter__(self):
            return iter([3, 2, 1, 0])

    class Counted(DataLoader):
        begun = 0

        def __iter__(self):
            self.begun += 1
            return super().__iter__()

    data = [torch.tensor(float(i)) for i in range(4)]
    dl = Counted(data, bs=2, sampler=Backwards(), collate_fn=lambda b: torch.stack(b) * 10, after_item=lambda x: x + 1, num_workers=0,
                 device="cpu")
    assert [b.tolist() for b in dl] == [[40, 30], [20, 10]] and dl.begun == 1


# -- which items a loader has -----------------------------------------------------------------------------------------------------------
def test_the_dataset_says_which_split_it_is():
    add = Transform(lambda x: x + 100, split_idx=0)
    tl = TfmdLists(list(range(4)), float, splits=[[0, 1], [2, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ds, first in ((tl.train, 100), (tl.valid, 2), (Subset(tl.valid, [0]), 2)):
            assert DataLoader(ds, after_batch=add, num_workers=0, device="cpu").one_batch()[0] == first
        assert DataLoader([1.0, 2.0], after_batch=add, split_idx=1, device="cpu").one_batch()[0] == 1          # what the warning says


@pytest.mark.parametrize("where", ["after_item", "after_batch", "dataset"])
def test_nobody_saying_which_split_it_is_is_told(where):
    add = Transform(lambda x: x + 100, split_idx=0)
    with pytest.warns(UserWarning, match="is for training items only.*not told which its items are.*split_idx=0"):
        dl = DataLoader(TfmdLists([1.0, 2.0], add), device="cpu", num_workers=0) if where == "dataset" else \
            DataLoader([1.0, 2.0], num_workers=0, device="cpu", **{where: add})
    assert dl.one_batch().tolist() == [101, 102]


# -- items of a test set ------------------------------------------------------------------------------------------------------------------
FILES = ["a", "bb", "ccc", "dddd"]
KINDS = {"list": list, "tuple": tuple, "Series": pd.Series, "categorical": lambda f: pd.Series(f, dtype="category"), "Index": pd.Index,
         "values": lambda f: pd.Series(f).values, "array": np.array, "object array": lambda f: np.array(f, dtype=object), "L": L,
         "L of a column": lambda f: L(pd.Series(f)), "generator": iter, "map": lambda f: map(str, f),
         "dict keys": lambda f: dict.fromkeys(f).keys()}


def length(name):
    return torch.tensor(float(len(str(name))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framed", [False, True])
def test_a_test_set_takes_every_element(kind, framed):
    getter = [ColReader("fn"), length] if framed else [length]
    items = pd.DataFrame({"fn": FILES, "y": [0, 1, 0, 1]}) if framed else FILES
    dls = Datasets(items, [getter, [lambda o: 0]]).dataloaders(bs=8, num_workers=0, device="cpu")
    assert dls.test_dl(KINDS[kind](FILES)).one_batch()[0].tolist() == [1, 2, 3, 4]


def test_one_row_of_a_frame_is_one_item():
    df = pd.DataFrame({"fn": FILES, "y": [0, 1, 0, 1]})
    dls = Datasets(df, [[ColReader("fn"), length], [ColReader("y")]]).dataloaders(bs=8, num_workers=0, device="cpu")
    for row in (df.iloc[2], df[["fn"]].iloc[2], df.assign(id=3).iloc[2]):
        assert dls.test_dl(row).one_batch()[0].tolist() == [3]
    assert dls.test_dl(df[2:]).one_batch()[0].tolist() == [3, 4]
    assert len(dls.test_dl(torch.arange(3)).dataset) == 1               # numbers where items are rows: one of them


def test_numbers_and_generators_of_samples():
    dls = Datasets(list(range(8)), [[float], [lambda o: 0]]).dataloaders(bs=8, num_workers=0, device="cpu")
    for items in (torch.arange(3), np.arange(3), pd.Series(np.arange(3)), range(3)):
        assert dls.test_dl(items).one_batch()[0].tolist() == [0, 1, 2]
    own = DataLoaders(DataLoader([(torch.tensor(float(i)),) for i in range(4)], bs=4, device="cpu"))
    assert own.test_dl((torch.tensor(float(i)),) for i in range(3)).one_batch()[0].tolist() == [0, 1, 2]
