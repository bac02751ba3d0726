"Small tensors travel from workers as bytes; what arrives is what was sent, whatever it is."
import pickle

import torch

from minifast.core.nested import leaves
from minifast.data.dataloader import DataLoader
from minifast.data.engine.fetch import Batch
from minifast.data.engine.sending import SMALL, packed, unpacked


def test_all_kinds_of_data_arrive_as_they_were():
    small = [torch.arange(6).view(2, 3).to(t) for t in (torch.bool, torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float64)]
    data = (*small, torch.tensor(3.0), torch.zeros(0, 2), torch.arange(6).view(2, 3).T, torch.zeros(SMALL + 1, dtype=torch.uint8),
            {"a": torch.ones(3), "b": ["x", "y"], "c": (torch.ones(2, dtype=torch.complex64), None)}, [torch.ones(2)])
    batch = pickle.loads(pickle.dumps(Batch(data, "kinds", {1: "why"})))
    assert (batch.kinds, batch.skipped) == ("kinds", {1: "why"}) and batch.data[10].keys() == data[10].keys()
    for x, y in zip(leaves(data), leaves(batch.data), strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape) and torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
    batch.data[0].fill_(True)                       # it may be written to
    assert unpacked(packed(data[0])).equal(data[0]) and packed(data[9]) is data[9]


def test_small_tensors_need_no_shared_memory_and_large_ones_do():
    items = [(torch.full((100,), float(i)), torch.full((5000,), i)) for i in range(8)]
    dl = DataLoader(items, bs=4, num_workers=1, worker_type="process", shuffle=False, device="cpu")
    small, large = next(iter(dl))
    dl.end_workers()
    assert small[:, 0].tolist() == large[:, 0].tolist() == [0, 1, 2, 3]
    assert not small.is_shared() and large.is_shared()
