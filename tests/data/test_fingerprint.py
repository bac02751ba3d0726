"What tells the data of one training from that of another."
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, Subset, TensorDataset

from minifast.data.engine.samplers import WeightedSampler
from minifast.data.fingerprint import described, digest_of, digests_of, inputs_of, settings_of
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.tabular.all import Categorify, Normalize, TabularDataLoaders
from minifast.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, MaskBlock, PILMask, Resize, imagenet_stats
from minifast.vision.all import Normalize as NormalizeImages


def digests(source, **kwargs):
    dls = source if isinstance(source, DataLoaders) else DataLoaders(DataLoader(source, bs=2, **kwargs))
    return tuple(digests_of(dls)["train"].values())


X, Y = torch.arange(12.0).reshape(6, 2), torch.arange(6) % 2


class Own(Dataset):
    "A dataset that is known by its samples alone."

    def __init__(self, x, noise=None):
        self.x, self.noise = x, noise

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + (0 if self.noise is None else self.noise()), int(i) % 2


def test_tensors():
    same = digests(TensorDataset(X, Y))
    assert digests(TensorDataset(X.clone(), Y.clone())) == same and all(len(d) == 16 for d in same)
    items, targets = digests(TensorDataset(X, 1 - Y))
    assert items != same[0] and targets != same[1]
    assert digests(TensorDataset(X + 1e-6, Y))[0] != same[0] and digests(TensorDataset(X + 1e-6, Y))[1] == same[1]
    assert digests(Subset(TensorDataset(X, Y), [0, 1, 2])) != digests(Subset(TensorDataset(X, Y), [0, 2, 1])) != same


def test_lists_arrays_and_ones_own():
    pairs = [(X[i], int(Y[i])) for i in range(6)]
    assert digests(pairs) == digests([(x.clone(), y) for x, y in pairs]) != digests([(x, 1 - y) for x, y in pairs])
    assert digests(Own(X)) == digests(Own(X.clone())) != digests(Own(X + 1))
    assert digests(Own(X)) != digests(Own(X[:4]))
    noisy = Own(X, np.random.default_rng().random)             # which items are chosen is known nevertheless
    assert digests(Subset(noisy, [0, 1])) != digests(Subset(noisy, [0, 2])) and digests(noisy)[-1] is None


@pytest.mark.parametrize("noise", [lambda: torch.randn(2), lambda: random.random(), lambda: np.random.rand()])
def test_augmented_samples(noise):
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert digests(Own(X, noise)) == digests(Own(X, noise))
    assert torch.equal(state[0], torch.get_rng_state()) and state[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    unseeded = np.random.default_rng()
    assert digests(Own(X, unseeded.random)) == digests(Own(X, unseeded.random))        # says nothing then, and no false alarm


def test_a_dataset_that_fails():
    class Broken(Own):
        def __getitem__(self, i):
            raise OSError("gone")

    assert digests_of(DataLoaders(DataLoader(Broken(X), bs=2, n_inp=1)))["train"]["samples_digest"] is None


class Counted(Own):
    "Opens its file at the first item, as is written for workers, and is asked how often."
    file = None
    asked: list = []

    def __getitem__(self, i):
        self.file = self.file or object()
        self.asked.append(i)
        return super().__getitem__(i)


class Closing(Own):
    def __init__(self, x):
        super().__init__(x)
        self.files = ["open"]

    def __del__(self):
        self.files.clear()


def test_a_dataset_is_left_as_it_was():
    opening, closing = Counted(torch.arange(200.0).reshape(100, 2)), Closing(X)
    digests(opening)
    digests(closing)
    assert opening.file is None and closing.files == ["open"]
    assert len(opening.asked) <= 12                             # an item may take long


def test_samples_that_now_and_then_are_others():
    rng = np.random.default_rng(0)
    seldom = [digests(Own(X, lambda: int(rng.random() < 0.1)))[-1] for _ in range(40)]
    assert None in seldom and len({*seldom} - {None}) <= 2      # unknown, or that of the usual samples: hardly ever something else


def test_functions_that_draw_change_no_stream():
    block = DataBlock((ImageBlock, CategoryBlock(vocab=[0, 1])), get_x=lambda i: np.zeros((4, 4, 3), np.uint8),
                      get_y=lambda i: random.randint(0, 1), splitter=IndexSplitter([0]))
    dls = block.dataloaders(list(range(50)), bs=2, num_workers=0)
    state = random.getstate()
    assert digests(dls) == digests(dls) and random.getstate() == state


def test_many_objects_are_looked_at_here_and_there():
    class Counts:
        def __init__(self):
            self.n = 0

        def __repr__(self):
            many.n += 1
            return "x"

    many = Counts()
    digest_of([[many] * 1_000_000])
    assert many.n == 20_000


def test_loaders_of_torch():
    ds = TensorDataset(X, Y)
    found = settings_of(DataLoaders(TorchDataLoader(ds, 2, shuffle=True, drop_last=True), TorchDataLoader(ds, 3)))
    assert found["train"] == {"items": 6, "batches": 3, "bs": 2, "drop_last": True, "sampler": "RandomSampler", "seed": None,
                              "transforms": []}
    assert (found["valid"]["batches"], found["valid"]["sampler"]) == (2, "SequentialSampler")
    assert digests(DataLoaders(TorchDataLoader(ds, 2))) == digests(ds)


def test_weights_of_items():
    found = [settings_of(DataLoaders(DataLoader(TensorDataset(X, Y), bs=2, sampler=WeightedSampler(w))))["train"].get("weights")
             for w in (torch.ones(6), torch.arange(6.0))]
    assert found == [[1.0] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]


def test_settings_of_three_loaders():
    found = settings_of(DataLoaders(*(DataLoader(TensorDataset(X, Y), bs=bs, seed=bs) for bs in (1, 2, 3))))
    assert [(name, s["bs"], s["seed"]) for name, s in found.items()] == [("train", 1, 1), ("valid", 2, 2), ("valid 2", 3, 3)]


def test_files_elsewhere(tmp_path, data_dir):
    def loaders(folder, label=lambda name: name[:3]):
        folder.mkdir(exist_ok=True)
        for name in ("cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"):
            shutil.copy(data_dir / "cats_vs_dogs" / name, folder / name)
        files = sorted(folder.glob("*.jpg"))
        return DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: label(f.name), splitter=IndexSplitter([1, 2]),
                         item_tfms=Resize(8)).dataloaders(files, bs=1, num_workers=0)

    a, b = (digests_of(loaders(tmp_path / name)) for name in "ab")
    assert a == b
    other = digests_of(loaders(tmp_path / "a", lambda name: {"cat": "dog", "dog": "cat"}[name[:3]]))
    assert all(other[n]["items_digest"] == a[n]["items_digest"] and other[n]["targets_digest"] != a[n]["targets_digest"] for n in a)


@pytest.mark.parametrize("kind", [Path, str])
@pytest.mark.parametrize("of", [list, lambda names: pd.DataFrame({"file": names, "y": [0, 1, 0]}), pd.Series])
def test_names_of_files_elsewhere(of, kind):
    def named(folder, *names):
        dataset = Own(X[:3])
        dataset.items = of([kind(f"{folder}/{name}") for name in names])
        return digests(dataset)[0]

    first = named("/kaggle/input/x/train", "cats/1.jpg", "cats-2/1.jpg", "dogs/1.jpg")
    assert named("C:/data/train", "cats/1.jpg", "cats-2/1.jpg", "dogs/1.jpg") == first
    assert named("/kaggle/input/x/train", "cats/1.jpg", "cats-2/1.jpg", "dogs/2.jpg") != first


def test_masks_are_not_opened():
    opened = []

    def mask(i):
        opened.append(i)
        return PILMask.create(np.zeros((4, 4), np.uint8))

    block = DataBlock((ImageBlock, MaskBlock(codes=["a", "b"])), get_x=lambda i: np.zeros((4, 4, 3), np.uint8), get_y=mask,
                      splitter=IndexSplitter([0]))
    dls = block.dataloaders(list(range(50)), bs=2, num_workers=0)
    opened.clear()
    digests_of(dls)
    assert len(opened) <= 2                                     # one for each loader


def test_rows_of_a_table():
    df = pd.DataFrame({"a": np.arange(8.0), "k": list("uvuvuvuv"), "y": [0, 1] * 4})

    def table(df):
        return TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names="k", cont_names="a", y_names="y", device="cpu",
                                          splits=(range(6), range(6, 8)), bs=2)

    dls = table(df)
    assert digests(dls) == digests(table(df.copy())) != digests(table(df.assign(a=df.a[::-1].to_numpy())))
    assert digests(dls) != digests(table(df.assign(y=1 - df.y)))
    assert inputs_of(dls) == {"cat_names": ["k"], "cont_names": ["a"], "mean": [2.5], "std": [pytest.approx(np.std(range(6)))]}


def test_inputs_of_images():
    def images(*tfms):
        return DataBlock((ImageBlock,), n_inp=1, get_x=lambda i: np.zeros((4, 4, 3), np.uint8), splitter=IndexSplitter([0]),
                         batch_tfms=list(tfms)).dataloaders(list(range(4)), bs=2, num_workers=0)

    assert inputs_of(images()) == {}
    found = inputs_of(images(NormalizeImages.from_stats(*imagenet_stats)))
    assert found["mean"] == pytest.approx(imagenet_stats[0]) and found["std"] == pytest.approx(imagenet_stats[1])
    assert inputs_of(DataLoaders(DataLoader(TensorDataset(X, Y), bs=2))) == {}


def test_described():
    def f():
        pass

    assert described([1, 2.5, "a", None, (True,), {1: X[0]}]) == [1, 2.5, "a", None, [True], {"1": [0.0, 1.0]}]
    assert described(slice(1, 2)) == "slice(1, 2, None)" and described(Path("a/b")) == "a/b" and described(f) == "f"
    assert described(np.arange(3)) == [0, 1, 2] and described(torch.zeros(20)) == digest_of([torch.zeros(20)])
    class Mute:
        def __repr__(self):
            raise RuntimeError

    assert described({"b", "a", "c"}) == ["a", "b", "c"] and described(Mute()) == "Mute"
    assert "0x" not in described(object()) and described(Own) == "Own"
    assert described(torch.nn.Linear(2, 3)) == "Linear(in_features=2, out_features=3, bias=True)"
