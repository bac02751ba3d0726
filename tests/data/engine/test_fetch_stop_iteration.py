"""`StopIteration` of the user's functions would end the loop around them without a word."""
import pytest
import torch

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.dataloader import DataLoader
from minifast.data.datasets import Datasets
from minifast.data.splitters import IndexSplitter

NEXT = r"`next\(...\)` found nothing. Leave such items out, or give a default, `next\(..., default\)`"
WORKERS = [{"num_workers": 0}, {"num_workers": 2, "worker_type": "thread"}, {"num_workers": 1, "worker_type": "process"}]


def label(i):
    return next(o for o in range(20) if o == i)


def target(x):
    return label(int(x))


class Labelled(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        return torch.tensor(float(i)), label(i)


class Sampled(Labelled):
    def sample(self, i, rng):
        return self[i]


def as_tensors(samples):
    return torch.tensor([label(int(x)) for x, _ in samples])


def loaders(**more):
    plain = [(float(i), i) for i in range(24)]
    return {"dataset": lambda: DataLoader(Labelled(), bs=4, device="cpu", **more),
            "sample": lambda: DataLoader(Sampled(), bs=4, device="cpu", **more),
            "labeller": lambda: DataLoader(Datasets(list(range(24)), [[float], [target]]), bs=4, device="cpu", **more),
            "item transform": lambda: DataLoader(Datasets(list(range(24)), [[float]]), bs=4, device="cpu", after_item=target, **more),
            "collate_fn": lambda: DataLoader(plain, bs=4, device="cpu", collate_fn=as_tensors, **more)}


@pytest.mark.parametrize("workers", WORKERS, ids=["none", "threads", "processes"])
@pytest.mark.parametrize("where", loaders())
def test_it_is_an_error_that_names_the_item(where, workers):
    with pytest.raises(RuntimeError, match=f"StopIteration in .*{NEXT}") as e:
        list(loaders(**workers)[where]())
    named = "\n".join([str(e.value), *e.value.__notes__]) if hasattr(e.value, "__notes__") else str(e.value)
    assert "item 20" in named or where == "collate_fn"


@pytest.mark.parametrize("workers", WORKERS[:2], ids=["none", "threads"])
def test_what_the_message_says_works(workers):
    def dataloaders(get_y, items):
        block = DataBlock((TransformBlock(type_tfms=float), CategoryBlock(vocab=range(20))), get_y=get_y, splitter=IndexSplitter(range(4)))
        return block.dataloaders(items, bs=4, device="cpu", **workers)

    with pytest.raises(RuntimeError, match=NEXT):
        dataloaders(label, range(24))
    assert len(list(dataloaders(lambda i: next((o for o in range(20) if o == i), 0), range(24)).train)) == 5
    ds = Datasets([i for i in range(24) if i < 20], [[float], [target]])
    assert len(list(DataLoader(ds, bs=4, device="cpu", **workers))) == 5


def test_skipped_like_other_errors():
    dl = DataLoader(Datasets(list(range(24)), [[float], [target]]), bs=8, device="cpu", on_error="skip")
    with pytest.warns(UserWarning, match="could not be made"):
        assert len(list(dl)) == 3
    assert sorted(dl.skipped) == [20, 21, 22, 23]
