"""Batches of new items, which several threads may ask for: the global random streams stay as they are."""
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from minifast.core.seeds import rng_state
from minifast.data.categories import Categorize
from minifast.data.datasets import Datasets
from minifast.data.loaders import DataLoaders
from minifast.data.transforms import Transform


def noisy(x):
    return torch.tensor([x, random.random(), float(torch.rand(1))])


class AsTensor(Transform):
    def encodes(self, x: int):
        return torch.tensor([x])


def test_known_transforms_do_without_seeds_whatever_makes_the_labels(monkeypatch):
    ds = Datasets(["a", "b", "c"], [[Categorize(vocab=["a", "b", "c"])], [lambda o: 0]], splits=[[0, 1], [2]])
    dl = DataLoaders.from_dsets(ds.subset(0), ds.subset(1), bs=2, device="cpu", num_workers=0).valid
    monkeypatch.setattr("minifast.data.engine.fetch.seeded_streams", None)      # what must not be called
    monkeypatch.setattr("minifast.data.dataloader.fixed_seed", None)
    assert dl.make_batch([0], dataset=ds.test_set(["b"]))[0].tolist() == [1]


@pytest.mark.parametrize("step", [noisy, AsTensor()], ids=["a function that draws", "a class"])
def test_threads_leave_the_global_streams_alone(step):
    ds = Datasets(list(range(20)), [[step], [lambda i: i % 2]], splits=[range(10), range(10, 20)])
    dls = DataLoaders.from_dsets(ds.subset(0), ds.subset(1), bs=4, device="cpu", num_workers=0)
    new = [ds.test_set([i]) for i in range(20)]

    def batch_of(i):
        return dls.valid.make_batch([0], dataset=new[i])[0]

    alone = list(map(batch_of, range(20)))
    before, switch = rng_state(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(batch_of, list(range(20)) * 10))
    finally:
        sys.setswitchinterval(switch)
    after = rng_state()
    assert before["random"] == after["random"] and before["torch"].equal(after["torch"])
    assert all(torch.equal(a, b) for a, b in zip(together, alone * 10, strict=True))


def test_builtin_are_transforms_that_run_no_code_of_others():
    from torchvision.transforms import v2

    from minifast.data.torchvision_v2 import V2
    from minifast.vision.all import Categorize, Normalize, PILImage, Resize, ToTensor, imagenet_stats, parent_label

    class Own(PILImage):
        pass

    for f in (Categorize(), Normalize.from_stats(*imagenet_stats), Resize(8), ToTensor(),
              *map(Transform, (PILImage.create, parent_label, partial(PILImage.create, value_range=(0, 99))))):
        assert f.is_builtin, f
    foreign = (noisy, lambda x: x, Own.create, float, len, partial(noisy), partial(parent_label, noisy))
    for f in (*map(Transform, foreign), AsTensor(), V2(v2.RandomCrop(4))):
        assert not f.is_builtin, f
