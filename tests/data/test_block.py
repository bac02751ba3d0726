import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from minifast.core.nested import to_concat
from minifast.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock, merge_tfms
from minifast.data.files import get_image_files
from minifast.data.labels import ColReader, RegexLabeller, parent_label
from minifast.data.loaders import DataLoader
from minifast.data.splitters import ColSplitter, GrandparentSplitter, IndexSplitter, RandomSplitter
from minifast.data.transforms import RandTransform, Transform


def all_of(error):
    "The message of an error with its notes."
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def open_image(fn):
    return tv_tensors.Image(torch.from_numpy(np.array(Image.open(fn).convert("L")))[None])


def as_float(o):
    return torch.tensor([float(o)])


def PictureBlock():
    return TransformBlock(type_tfms=open_image)


class Scale(Transform):
    "Images to 0..1."

    def __init__(self, by=255.0):
        super().__init__()
        self.by = by

    def encodes(self, x: tv_tensors.Image):
        return x.float() / self.by

    def decodes(self, x):
        return x * self.by if isinstance(x, tv_tensors.Image) else x


class Brighter(RandTransform):
    def draw(self, sample, rng, split_idx):
        return {"by": float(rng.random())}

    def encodes(self, x: torch.Tensor, by=0.0):
        return x + by if x.is_floating_point() else x


class OnlyMasks(Transform):
    def encodes(self, x: tv_tensors.Mask):
        return x


@pytest.fixture
def folder(tmp_path):
    for split, n in (("train", 6), ("valid", 2)):
        for label, shade in (("dark", 10), ("light", 200)):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(n):
                Image.new("L", (8, 6), shade + i).save(tmp_path / split / label / f"{label}_{i}.png")
    return tmp_path


def pictures(**kwargs):
    return DataBlock(**{"blocks": (PictureBlock, CategoryBlock), "get_items": get_image_files, "splitter": GrandparentSplitter(),
                        "get_y": parent_label, "batch_tfms": Scale(), **kwargs})


def column_block(y_block, y="y", **kwargs):
    return DataBlock(blocks=(TransformBlock(type_tfms=as_float), y_block), get_x=ColReader("x"), get_y=ColReader(y), **kwargs)


# -- from source to batches --------------------------------------------------------------------------------------------------------
def test_pictures_from_folders(folder):
    dls = pictures().dataloaders(folder, bs=4, device="cpu", num_workers=0)
    assert dls.vocab == ["dark", "light"] and dls.c == 2 and type(dls.loss_func).__name__ == "CrossEntropyLossFlat"
    assert len(dls.train_ds) == 12 and len(dls.valid_ds) == 4 and str(dls.path) == "."
    x, y = dls.one_batch()
    assert x.shape == (4, 1, 6, 8) and x.dtype == torch.float32 and x.max() < 1 and y.dtype == torch.int64
    assert ((x.mean((1, 2, 3)) > 0.5).long() == y).all()
    image, label = dls.train.decode_batch((x, y))[0]
    assert type(image) is tv_tensors.Image and image.max() > 1 and label == ["dark", "light"][y[0]]


def test_two_workers_give_the_same_batches(folder):
    block = pictures(batch_tfms=[Scale(), Brighter()], item_tfms=Transform(lambda x: x))

    def epoch(workers):
        return to_concat(list(block.dataloaders(folder, bs=4, device="cpu", num_workers=workers, seed=3).train))

    a, b = epoch(0), epoch(2)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_the_split_stays_when_the_data_are_made_again(folder):
    block = pictures(splitter=None)
    first = block.datasets(folder).valid.items
    assert block.new(item_tfms=Brighter()).datasets(folder).valid.items == first and isinstance(block.splitter, RandomSplitter)


def test_one_block_serves_several_sources():
    block = DataBlock(blocks=(TransformBlock, CategoryBlock), splitter=IndexSplitter([0]))
    first, second = block.datasets(["a", "a", "b"]), block.datasets(["x", "x", "y"])
    assert first.vocab == ["a", "b"] and second.vocab == ["x", "y"]


def test_defaults():
    ds = DataBlock().datasets(list(range(10)))
    assert [len(ds.train), len(ds.valid)] == [8, 2] and ds[3] == (3, 3) and len(ds.blocks) == 2


def test_frames():
    frame = pd.DataFrame({"x": range(10), "y": list("ab") * 5, "tags": ["p q", "p", "", "q", "p", "q"] + [np.nan] * 4,
                          "is_valid": [False] * 8 + [True] * 2})
    dls = column_block(CategoryBlock, splitter=ColSplitter()).dataloaders(frame, bs=4, device="cpu", num_workers=0)
    assert dls.vocab == ["a", "b"] and [len(d) for d in (dls.train_ds, dls.valid_ds)] == [8, 2]
    assert to_concat(list(dls.valid))[1].tolist() == [0, 1]
    multi = DataBlock(blocks=(TransformBlock(type_tfms=as_float), MultiCategoryBlock), get_x=ColReader(0),
                      get_y=ColReader("tags", label_delim=" "), splitter=ColSplitter())
    multi = multi.dataloaders(frame, bs=8, shuffle=False, device="cpu")
    assert multi.vocab == ["p", "q"] and multi.train.one_batch()[1].tolist()[:3] == [[1, 1], [1, 0], [0, 0]] and multi.c == 2


def test_regression_and_encoded_targets():
    frame = pd.DataFrame({"x": range(10), "y": np.arange(10) / 2, "a": [0, 1] * 5, "b": [1, 1] * 5})
    dls = column_block(RegressionBlock).dataloaders(frame, bs=4, device="cpu", num_workers=0)
    assert dls.c == 1 and dls.one_batch()[1].dtype == torch.float32 and type(dls.loss_func).__name__ == "MSELossFlat"
    encoded = column_block(MultiCategoryBlock(encoded=True, vocab=["a", "b"]), ["a", "b"]).datasets(frame)
    assert encoded[1][1].tolist() == [1, 1] and encoded.decode(encoded[0])[1] == ["b"]
    several = column_block(RegressionBlock(n_out=2), ["y", "a"]).datasets(frame)
    assert several.c == 2 and several[3][1].tolist() == [1.5, 1]
    frame.loc[[2, 5], "y"] = np.nan
    with pytest.raises(ValueError, match="missing, NaN or infinite: row 5"):
        column_block(RegressionBlock).datasets(frame)


def test_from_columns():
    block = DataBlock.from_columns(blocks=(TransformBlock(type_tfms=as_float), CategoryBlock), getters=[None, str.upper],
                                   splitter=IndexSplitter([1]))
    ds = block.datasets(([1, 2, 3], ["a", "a", "b"]))
    assert ds[2][0].item() == 3 and ds.vocab == ["A", "B"] and ds[2][1] == 1
    with pytest.raises(ValueError, match=r"columns must be equally long; received lengths \[2, 1\]"):
        block.datasets(([1, 2], ["a"]))


def test_several_inputs_and_their_getters():
    block = DataBlock(blocks=(TransformBlock, TransformBlock, RegressionBlock), get_x=[lambda o: o, lambda o: -o], get_y=lambda o: 2 * o,
                      n_inp=2, splitter=IndexSplitter([0]))
    ds = block.datasets([1, 2, 3])
    assert ds.n_inp == 2 and ds[1] == (2, -2, 4)


def test_weighted_and_partial():
    wgts = [1.0 if i == 7 else 0.0 for i in range(10)]
    block = column_block(CategoryBlock, splitter=IndexSplitter([0]))
    frame = pd.DataFrame({"x": range(10), "y": list("ab") * 5})
    train = block.weighted_dataloaders(frame, wgts, bs=3, device="cpu", num_workers=0).train
    assert set(to_concat(list(train))[0].flatten().tolist()) == {7.0}
    assert block.partial_dataloaders(frame, 4, bs=2, device="cpu").train.n == 4


# -- transforms of blocks ----------------------------------------------------------------------------------------------------------
def test_later_transforms_of_a_class_replace_earlier_ones():
    merged = merge_tfms([Scale(1.0), len], [Brighter()], [Scale(2.0), len, Scale(3.0)])
    assert [type(f).__name__ for f in merged] == ["Brighter", "Scale", "Transform", "Scale"]
    assert [f.by for f in (merged[1], merged[3])] == [2, 3]
    assert merge_tfms(None, Scale) != [] and merge_tfms([Scale(1.0)], Scale())[0].by == 255.0
    from torchvision.transforms import v2
    assert len(merge_tfms([v2.RandomHorizontalFlip()], [v2.RandomErasing()])) == 2


def test_transforms_of_blocks_and_of_the_user_come_together(folder):
    block = TransformBlock(type_tfms=open_image, item_tfms=[Scale(2.0)], batch_tfms=[Brighter()])
    data = pictures(blocks=(block, CategoryBlock), item_tfms=Scale(4.0), batch_tfms=None)
    assert [f.by for f in data.item_tfms] == [4.0] and [type(f) for f in data.batch_tfms] == [Brighter]
    new = data.new(batch_tfms=[Scale(8.0)])
    assert [type(f) for f in new.batch_tfms] == [Brighter, Scale] and [f.by for f in new.item_tfms] == [4.0] and len(data.batch_tfms) == 1


def test_blocks_bring_arguments_and_class_of_their_loaders(folder):
    class MyLoader(DataLoader):
        pass

    data = pictures(blocks=(TransformBlock(type_tfms=open_image, dl_type=MyLoader, dls_kwargs={"drop_last": True}), CategoryBlock))
    dls = data.dataloaders(folder, bs=5, num_workers=0)
    assert type(dls.train) is type(dls.valid) is MyLoader and len(dls.train) == 2
    assert type(pictures(dl_type=MyLoader).dataloaders(folder).train) is MyLoader


def test_a_block_says_its_loss_and_how_it_is_shown(folder):
    import matplotlib.pyplot as plt
    shown, loss = [], torch.nn.L1Loss()

    def show(value, ctx=None, **kwargs):
        shown.append((value, ctx))
        return ctx

    data = pictures(blocks=(PictureBlock, TransformBlock(loss_func=loss, show=show)))
    dls = data.dataloaders(folder, bs=4, device="cpu", num_workers=0)
    assert dls.loss_func is loss
    dls.show_batch(max_n=2)
    assert [s[0] for s in shown] and all(s[0] in ("dark", "light") for s in shown) and len(plt.gcf().axes) == 2
    plt.close("all")
    with pytest.raises(TypeError, match="takes a function of"):
        TransformBlock(show="x")


def test_show_batch_draws_image_and_label(folder):
    import matplotlib.pyplot as plt
    pictures().dataloaders(folder, bs=4, device="cpu", num_workers=0).show_batch()
    axes = plt.gcf().axes
    assert len([ax for ax in axes if ax.images]) == 4 and {ax.get_title() for ax in axes if ax.images} <= {"dark", "light"}
    plt.close("all")


# -- test sets ---------------------------------------------------------------------------------------------------------------------
def test_test_dl_takes_what_get_items_returns_or_one_of_it(folder):
    dls = pictures().dataloaders(folder, bs=4, device="cpu", num_workers=0)
    files = get_image_files(folder / "valid")
    x, = next(iter(dls.test_dl(files)))
    assert x.shape == (4, 1, 6, 8) and torch.equal(x, dls.valid.one_batch()[0])
    assert next(iter(dls.test_dl(str(files[0]))))[0].shape[0] == 1
    assert next(iter(dls.test_dl([open_image(files[0])])))[0].shape == (1, 1, 6, 8)
    assert next(iter(dls.test_dl(files, with_labels=True)))[1].tolist() == [0, 0, 1, 1]


# -- wrong calls -------------------------------------------------------------------------------------------------------------------
def test_wrong_datablocks_are_refused():
    for kwargs, text in (({"get_z": len}, "get_z=.*did you mean 'get_[xy]'"),
                         ({"get_y": [len, len]}, r"received 2 functions for 1 targets"),
                         ({"getters": [len]}, "received 1 function for 2 blocks"), ({"n_inp": 5}, "there can be 1 to 2 inputs"),
                         ({"splitter": 0.2}, "splitter=...\\) takes a function; received float 0.2"),
                         ({"get_x": "name"}, "takes functions of an item; received str 'name'"),
                         ({"blocks": (3,)}, r"blocks\[0\] must be a TransformBlock, such as .*; received int 3")):
        with pytest.raises((TypeError, ValueError), match=text):
            DataBlock(**kwargs)


def test_wrong_sources_are_refused(folder):
    with pytest.raises(TypeError, match=r"is a path, and this DataBlock has no get_items.*get_items=get_image_files"):
        DataBlock().datasets(folder)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="get_items=get_image_files found no items in .*empty"):
        pictures().datasets(folder / "empty")
    with pytest.raises(ValueError, match="the source holds no items"):
        DataBlock().datasets([])
    with pytest.raises(ValueError, match=r"valid_name='val'.*did you mean 'valid'"):
        pictures(splitter=GrandparentSplitter(valid_name="val")).datasets(folder)
    with pytest.raises(ValueError, match="the splitter <lambda> leaves the validation set empty.*To train on everything"):
        pictures(splitter=lambda items: (range(len(items)), [])).datasets(folder)
    assert len(pictures(splitter=lambda items: [range(len(items))]).dataloaders(folder, num_workers=0)) == 1


def test_transforms_given_to_dataloaders_are_refused_and_so_is_what_nobody_knows(folder):
    with pytest.raises(TypeError, match=r"dataloaders\(\) does not take item_tfms: give them to the DataBlock"):
        pictures().dataloaders(folder, item_tfms=Scale())
    with pytest.raises(TypeError, match="batch_sz=int 4; did you mean 'batch_size'"):
        pictures().dataloaders(folder, batch_sz=4)
    with pytest.raises(TypeError, match="val_bss=int 4; did you mean 'val_bs'"):
        pictures().dataloaders(folder, val_bss=4)


def test_a_label_function_that_fails_names_the_item(folder):
    with pytest.raises(ValueError) as error:
        pictures(get_y=RegexLabeller(r"(\d+)\.jpg")).datasets(folder)
    assert re.search(r"pattern .* is not found in '.*dark_0.png'", str(error.value))


def test_an_image_that_cannot_be_read_is_named(folder):
    bad = folder / "train" / "dark" / "bad.png"
    bad.write_bytes(b"no image")
    dls = pictures().dataloaders(folder, bs=2, device="cpu", num_workers=0, shuffle=False)
    with pytest.raises(OSError, match="cannot identify") as error:
        list(dls.train)
    assert "bad.png" in all_of(error.value) and "in transform open_image" in all_of(error.value)


def test_idle_transforms_are_reported_at_the_first_batch(folder):
    dls = pictures(batch_tfms=[Scale(), OnlyMasks()]).dataloaders(folder, bs=4, device="cpu", num_workers=0)
    with pytest.warns(UserWarning, match=r"applied to nothing in the first sample: OnlyMasks \(it takes Mask\)"):
        dls.one_batch()


# -- summary -----------------------------------------------------------------------------------------------------------------------
def test_summary_prints_every_step(folder, capsys):
    assert pictures(item_tfms=[Transform(lambda x: x)], batch_tfms=[Scale(), OnlyMasks()]).summary(folder) is None
    text = capsys.readouterr().out
    for part in ("16 items from get_image_files", "12 + 4 items", "classes (#2) ['dark','light']", "One sample, of item 0,", "dark_0.png",
                 "open_image -> uint8[1,6,8] on cpu", "parent_label -> str 'dark'", "Categorize(sort=True, add_na=False) -> int64[] on cpu",
                 "collated: tuple of 2 (uint8[4,1,6,8] on cpu, int64[4] on cpu)", "Scale(by=255.0) -> tuple of 2 (float32[4,1,6,8]",
                 "OnlyMasks: applied to nothing", "These transforms applied to nothing: OnlyMasks", "CrossEntropyLossFlat"):
        assert part in text, part


def test_summary_says_where_it_breaks(folder, capsys):
    def broken(x):
        raise ZeroDivisionError("oh")

    for kwargs, where in (({"item_tfms": broken}, "broken: FAILED on tuple of 2"), ({"batch_tfms": [Scale(), broken]}, "broken: FAILED on"),
                          ({"get_y": broken}, "FAILED: ZeroDivisionError: oh")):
        with pytest.raises(ZeroDivisionError) as error:
            pictures(**kwargs).summary(folder)
        assert where in capsys.readouterr().out and "in transform broken" in all_of(error.value)
    sizes = DataBlock(blocks=(TransformBlock(type_tfms=lambda o: torch.zeros(o, 2)), CategoryBlock), splitter=IndexSplitter([0]))
    with pytest.raises(ValueError, match="2 different shapes"):
        sizes.summary([1, 1, 2])
    assert "FAILED: ValueError: cannot make a batch" in capsys.readouterr().out


def test_summary_leaves_the_random_streams_alone(folder, capsys):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    pictures(batch_tfms=[Scale(), Brighter()]).summary(folder, show_batch=False)
    assert torch.equal(torch.get_rng_state(), state)


# -- real data ---------------------------------------------------------------------------------------------------------------------
def test_real_digits(data_dir):
    dls = pictures().dataloaders(data_dir / "mnist_tiny", bs=64, device="cpu", num_workers=2)
    x, _y = to_concat(list(dls.valid))
    assert x.shape[1:] == (1, 28, 28) and len(x) == len(dls.valid_ds) and dls.vocab == ["3", "7"]
    assert pickle.loads(pickle.dumps(dls)).vocab == dls.vocab


def test_real_multi_label_table(data_dir):
    frame = pd.read_csv(data_dir / "coco_tiny" / "labels.csv")
    block = DataBlock(blocks=(TransformBlock, MultiCategoryBlock), get_x=ColReader("fname"), get_y=ColReader("labels", label_delim=";"),
                      splitter=lambda rows: [range(len(rows))])
    ds = block.datasets(frame)
    empty = int(frame.labels.isna().sum())
    assert empty == 2 and sum(not ds[i][1].any() for i in range(len(ds))) == empty and "person" in ds.vocab
