"""Loaders of torch among several ranks; that ranks train on them what one process trains is in `tests/callbacks/test_distributed.py`."""
import pytest
import torch
from suggestions import told
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from minifast.core import shares
from minifast.data.stream_loader import StreamLoader
from minifast.data.torch_parts import TorchParts

DATA = TensorDataset(torch.arange(11))


def test_the_parts_of_all_ranks_are_the_batches(monkeypatch):
    monkeypatch.setattr(shares, "world_size", lambda: 2)
    parts = []
    for r in range(2):
        monkeypatch.setattr(shares, "rank", lambda r=r: r)
        torch.manual_seed(0)
        loader = TorchParts(DataLoader(DATA, 4, shuffle=True))
        parts.append([(loader.share.mine, x) for x, in loader])
    torch.manual_seed(0)
    whole = [x for x, in DataLoader(DATA, 4, shuffle=True)]
    for (n, first), (m, second), batch in zip(*parts, whole, strict=True):
        assert torch.equal(torch.cat([first[:n], second[:m]]), batch)
    assert len(loader) == 3 and loader.dataset is DATA


def test_what_cannot_be_divided_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    with told("data/torch_parts.py", "a loader over a dataset with `len` and indices, such as DataLoader(dataset, bs=64)"):
        TorchParts(DataLoader(DATA, batch_size=None))
    assert [x.tolist() for x, in TorchParts(DataLoader(DATA, 6))] == [list(range(6)), list(range(6, 11))]
    with pytest.raises(TypeError, match="each of them would train on all of it: give a loader over a dataset with"):
        TorchParts([torch.ones(2)])
    with told("data/torch_parts.py", "its dataset to StreamLoader(dataset, bs=64, n_items=...)"):
        TorchParts(DataLoader(Stream()))
    assert [x.tolist() for x in StreamLoader(Stream(), bs=64, n_items=3, split_idx=1, num_workers=0)] == [[0, 1, 2]]
    with told("data/torch_parts.py", "leave the sampler out, write shuffle=True, and let batch_size be that of all ranks together"):
        TorchParts(DataLoader(DATA, 4, sampler=DistributedSampler(DATA, 2, 0)))
    assert len(TorchParts(DataLoader(DATA, 4, shuffle=True))) == 3
