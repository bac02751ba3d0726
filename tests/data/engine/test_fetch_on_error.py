"""`on_error='skip'`: a bad item is replaced, the same way each time, and named; a fault of everything is an error all the same."""
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.dataloader import DataLoader
from minifast.data.datasets import Datasets, TfmdLists
from minifast.vision.augment.item import Resize
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import ToTensor

ITEMS = [str(i) for i in range(20)]
BAD = [*ITEMS[:7], "seven", *ITEMS[8:13], "thirteen", *ITEMS[14:]]


def loader(items=BAD, **kwargs):
    return DataLoader(Datasets(items, [[int]]), **{"bs": 5, "device": "cpu", "on_error": "skip", "seed": 1, **kwargs})


@pytest.mark.parametrize(("n", "kind"), [(0, None), (2, "thread"), pytest.param(2, "process", marks=pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks"))])
def test_replaced_and_listed(n, kind):
    dl = loader(num_workers=n, worker_type=kind)
    said = r"item 7, 'seven' could not be made, and another item is in its place \(ValueError: invalid literal.*loader.skipped"
    with pytest.warns(UserWarning, match=said):
        batches = [b[0].tolist() for b in dl]
    assert [len(b) for b in batches] == [5] * 4
    assert sorted(dl.skipped) == [7, 13] and dl.skipped[13][0] == "item 13, 'thirteen'" and "ValueError: invalid" in dl.skipped[13][1]
    for number, bad in ((1, 7), (2, 13)):
        own = set(range(number * 5, number * 5 + 5)) - {bad}
        assert [v for i, v in enumerate(batches[number]) if number * 5 + i != bad] == sorted(own)
        assert batches[number][bad - number * 5] in own                   # from its own batch
    with warnings.catch_warnings():
        warnings.simplefilter("error")                                    # said once
        list(dl)
    with pytest.warns(UserWarning):
        assert [b[0].tolist() for b in loader(num_workers=0)] == batches  # a function of the seed, whoever makes it


def test_a_pass_for_predictions_says_what_that_means():
    dl = loader(split_idx=1)
    with pytest.warns(UserWarning, match="what is predicted for them is of other items"):
        list(dl)


def test_an_error_when_everything_fails():
    with pytest.raises(ValueError, match="invalid literal") as e:
        list(loader(["a", "b", "c"], bs=3))
    assert "the fault is hardly with single files" in "".join([str(e.value), *getattr(e.value, "__notes__", [])])
    with pytest.raises(ValueError):
        list(loader(on_error="raise"))
    with pytest.raises(ValueError, match="on_error='ignore': it is 'raise' or 'skip'"):
        loader(on_error="ignore")

    def exhausted(i):
        raise MemoryError
    with pytest.raises(MemoryError):
        list(DataLoader(TfmdLists(range(4), exhausted), bs=2, device="cpu", on_error="skip"))


def test_batches_of_one():
    with pytest.warns(UserWarning):
        assert all(len(b[0]) == 1 for b in loader(bs=1))


def test_datasets_without_sample():
    class Plain:
        def __len__(self):
            return 6

        def __getitem__(self, i):
            if i == 4:
                raise OSError("gone")
            return torch.tensor(i)

    dl = DataLoader(Plain(), bs=3, device="cpu", on_error="skip")
    with pytest.warns(UserWarning, match="item 4 could not be made"):
        got = torch.cat(list(dl)).tolist()
    assert got[:4] == [0, 1, 2, 3] and got[4] in (3, 5) and got[5] == 5 and dl.skipped == {4: ("item 4", "OSError: gone")}


def test_bad_pictures_do_not_stop_training(data_dir, tmp_path):
    "Every odd or broken file of the collection among good ones, over several epochs; those that cannot be read are in the list."
    rng = np.random.default_rng(0)
    files = sorted(f for f in (data_dir / "bad_images").rglob("*") if f.is_file() and f.suffix != ".csv")
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"good{i}.jpg")
    files = [*sorted(tmp_path.glob("*.jpg")), *files]
    block = DataBlock((ImageBlock, CategoryBlock(vocab=["a", "b"])), get_y=lambda f: "ab"[len(f.name) % 2], item_tfms=Resize(24),
                      splitter=lambda items: [range(len(items))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dls = block.dataloaders(files, bs=16, on_error="skip", device="cpu", num_workers=2, drop_last=False)
        assert dls.train.worker_type == "thread"
        for _ in range(2):
            assert sum(len(x) for x, _ in dls.train) == len(files)
    assert 8 < len(dls.train.skipped) < 40 and all(files[i].name in name for i, (name, _) in dls.train.skipped.items())
    assert any("exceeds limit" in why for _, why in dls.train.skipped.values())              # a decompression bomb, by name
    assert isinstance(dls.train.after_item[-1], ToTensor)
