"""`ImageDataLoaders` from folders, names, tables and lists, on files made here; segmentation; what wrong calls say."""
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from minifast.data.block import CategoryBlock, DataBlock, RegressionBlock
from minifast.data.files import get_image_files
from minifast.data.labels import parent_label
from minifast.data.transforms import RandTransform, Transform
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from minifast.vision.augment.batch import RandomErasing, aug_transforms
from minifast.vision.augment.item import FlipItem, RandomResizedCrop, Resize
from minifast.vision.blocks import AddMaskCodes, ImageBlock, MaskBlock
from minifast.vision.images import PILImage, PILImageBW, PILMask, TensorImage, TensorMask
from minifast.vision.loaders import ImageDataLoaders, SegmentationDataLoaders
from minifast.vision.normalize import IntToFloatTensor, Normalize, imagenet_stats


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "24 images in train and 8 in valid: cats are red, dogs are blue."
    root = tmp_path_factory.mktemp("pets")
    for split, n in (("train", 12), ("valid", 4)):
        for kind, colour in (("cat", (200, 10, 10)), ("dog", (10, 10, 200))):
            (root / split / kind).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (20 + i, 24), colour).save(root / split / kind / f"{kind}_{split}_{i}.jpg", quality=95)
    return root


@pytest.fixture
def files(folder):
    return get_image_files(folder)


def check(dls, c=2, size=16):
    x, y = dls.one_batch()
    assert type(x) is torch.Tensor and x.shape[1:] == (3, size, size) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    assert dls.c == c
    return x, y


ARGS = {"item_tfms": Resize(16), "bs": 8, "num_workers": 0}


def test_from_folder(folder):
    dls = ImageDataLoaders.from_folder(folder, **ARGS)
    x, y = check(dls)
    assert list(dls.vocab) == ["cat", "dog"] and len(dls.train_ds) == 24 and len(dls.valid_ds) == 8 and dls.path == folder
    assert isinstance(dls, ImageDataLoaders) and isinstance(dls.loss_func, CrossEntropyLossFlat)
    assert torch.equal(y, (x[:, 2, 8, 8] > x[:, 0, 8, 8]).long())                        # blue is 'dog'
    other = ImageDataLoaders.from_folder(folder, vocab=["dog", "cat"], **ARGS)
    assert list(other.vocab) == ["dog", "cat"]
    split = ImageDataLoaders.from_folder(folder, valid_pct=0.25, **ARGS)
    assert len(split.valid_ds) == 8 and len(split.train_ds) == 24
    again = ImageDataLoaders.from_folder(folder, valid_pct=0.25, **ARGS)
    assert list(split.valid_ds.items) == list(again.valid_ds.items)                     # the split does not move
    other_seed = ImageDataLoaders.from_folder(folder, valid_pct=0.25, seed=1, **ARGS)
    assert list(split.valid_ds.items) != list(other_seed.valid_ds.items)
    assert ImageDataLoaders.from_folder(folder, val_bs=3, **ARGS).valid.bs == 3


def test_from_names_and_paths(folder, files):
    by = {"func": ImageDataLoaders.from_name_func(folder, files, lambda name: name.split("_")[0], **ARGS),
          "re": ImageDataLoaders.from_name_re(folder, files, r"^(.*?)_", **ARGS),
          "path": ImageDataLoaders.from_path_func(folder, files, parent_label, **ARGS),
          "path_re": ImageDataLoaders.from_path_re(folder, files, r"/(\w+)_\w+_\d+.jpg$", **ARGS)}
    for dls in by.values():
        check(dls)
        assert list(dls.vocab) == ["cat", "dog"] and len(dls.valid_ds) == 6 and len(dls.train_ds) == 26


def test_from_df_and_csv(folder, files, tmp_path):
    names = [str(f.relative_to(folder)) for f in files]
    df = pd.DataFrame({"name": names, "label": [f.parent.name for f in files], "is_valid": ["valid" in n for n in names],
                       "tags": ["red;small" if "cat" in n else "" for n in names], "size": np.arange(32.0), "row": range(32)})
    dls = ImageDataLoaders.from_df(df, folder, valid_col="is_valid", **ARGS)
    check(dls)
    assert len(dls.valid_ds) == 8 and list(dls.vocab) == ["cat", "dog"]
    several = ImageDataLoaders.from_df(df, folder, label_col="tags", label_delim=";", **ARGS)
    _, y = check(several)
    assert list(several.vocab) == ["red", "small"] and isinstance(several.loss_func, BCEWithLogitsLossFlat) and y.shape == (8, 2)
    numbers = ImageDataLoaders.from_df(df, folder, label_col=["size", "row"], y_block=RegressionBlock, **ARGS)
    _, y = check(numbers)
    assert y.dtype == torch.float32 and y.shape == (8, 2) and isinstance(numbers.loss_func, MSELossFlat)
    stems = df.assign(name=[n[:-4].partition("/")[2] for n in names])
    check(ImageDataLoaders.from_df(stems[stems.is_valid == 0], folder, folder="train", suff=".jpg", **ARGS))
    df.to_csv(folder / "labels.csv", index=False)
    check(ImageDataLoaders.from_csv(folder, valid_col="is_valid", **ARGS))
    df.to_csv(folder / "labels.tsv", index=False, sep="\t")
    check(ImageDataLoaders.from_csv(folder, csv_fname="labels.tsv", delimiter="\t", **ARGS))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*label.csv' with names and labels"):
        ImageDataLoaders.from_csv(folder, csv_fname="label.csv")


def test_from_lists_looks_at_all_labels(folder, files):
    kinds = [f.parent.name for f in files]
    cases = [(kinds, CrossEntropyLossFlat, 2), ([int(k == "cat") for k in kinds], CrossEntropyLossFlat, 2),
             ([np.float32(i) for i in range(32)], MSELossFlat, 1), ([1, *np.arange(31.0).tolist()], MSELossFlat, 1),
             ([[k, "pet"] for k in kinds], BCEWithLogitsLossFlat, 3), ([[float(i), 2.0] for i in range(32)], MSELossFlat, 2)]
    for labels, loss, c in cases:
        dls = ImageDataLoaders.from_lists(folder, files, labels, **ARGS)
        assert isinstance(dls.loss_func, loss), labels[:2]
        check(dls, c)
    with pytest.raises(ValueError, match="from_lists: 32 file names, but 3 labels"):
        ImageDataLoaders.from_lists(folder, files, [1, 2, 3])


def test_what_wrong_calls_say(folder, files, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ImageDataLoaders.from_folder(tmp_path / "nowhere", **ARGS)
    with pytest.raises((ValueError, FileNotFoundError), match=r"'val'.*did you mean 'valid'"):
        ImageDataLoaders.from_folder(folder, valid="val", **ARGS)
    with pytest.raises(ValueError, match=r"the pattern .* of RegexLabeller is not found in '..._\w+_0.jpg'"):
        ImageDataLoaders.from_name_re(folder, files, r"^(\d+)$", **ARGS)
    with pytest.raises(TypeError, match=r"from_name_func\(label_func=...\) takes a function that returns the label; received str 'cat'"):
        ImageDataLoaders.from_name_func(folder, files, "cat")
    with pytest.raises(TypeError, match=r"batch_sz=int 64; did you mean 'batch_size'"):
        ImageDataLoaders.from_folder(folder, item_tfms=Resize(16), batch_sz=64)
    with pytest.raises(ValueError, match=r"different shapes.*Resize\(224\)"):
        ImageDataLoaders.from_folder(folder, bs=8, num_workers=0).one_batch()
    (tmp_path / "a").mkdir()
    for i in range(4):
        (tmp_path / "a" / f"{i}.jpg").write_bytes(b"" if i else b"<html>")
    with pytest.raises(OSError, match=r"\.jpg: (the file is empty|this is an HTML)"):
        ImageDataLoaders.from_folder(tmp_path, valid_pct=0.5, item_tfms=Resize(16), bs=2, num_workers=0).one_batch()


def test_augmentation_on_training_items_only(folder):
    dls = ImageDataLoaders.from_folder(folder, item_tfms=[RandomResizedCrop(24, 0.3), FlipItem()],
                                       batch_tfms=[*aug_transforms(size=16), Normalize.from_stats(*imagenet_stats)], bs=8, num_workers=0)
    names = [type(t).__name__ for t in dls.train.after_batch]
    assert names == ["IntToFloatTensor", "AffineWarp", "Lighting", "Normalize"]
    x = dls.one_batch()[0]
    assert x.shape == (8, 3, 16, 16) and x.min() < 0
    assert torch.equal(dls.valid.one_batch()[0], dls.valid.one_batch()[0]) and dls.valid.one_batch()[0].shape[-1] == 16
    shown = dls.train.decode_batch(dls.one_batch(), max_n=3)
    assert len(shown) == 3 and shown[0][0].min() >= 0 and shown[0][0].max() <= 1 and shown[0][1] in ("cat", "dog")


def test_own_transforms_and_classes_of_pictures(folder):
    grey = ImageDataLoaders.from_folder(folder, img_cls=PILImageBW, **ARGS)
    assert grey.one_batch()[0].shape == (8, 1, 16, 16)
    theirs = ImageDataLoaders.from_folder(folder, item_tfms=[v2.RandomResizedCrop(16), v2.RandomHorizontalFlip()],
                                          batch_tfms=[v2.RandomErasing(p=1.0, value=1.0), v2.ColorJitter(0.2)], bs=8, num_workers=0)
    assert theirs.one_batch()[0].shape == (8, 3, 16, 16) and theirs.valid.one_batch()[0].shape == (8, 3, 16, 16)
    assert (theirs.one_batch()[0] > 0.99).flatten(1).any(1).all() and not (theirs.valid.one_batch()[0] > 0.99).any()
    with pytest.raises(TypeError, match=r"ImageBlock\(cls=.*a class of images such as PILImage or PILImageBW"):
        ImageBlock(3)


def test_workers_give_the_same_batches(folder):
    def batches(workers):
        dls = ImageDataLoaders.from_folder(folder, item_tfms=[RandomResizedCrop(16), v2.ColorJitter(0.5)], bs=12, num_workers=workers,
                                           batch_tfms=aug_transforms(xtra_tfms=[RandomErasing()]))
        torch.manual_seed(3)
        return [b[0] for b in dls.train]

    here, there = batches(0), batches(2)
    assert len(here) == len(there) == 2 and all(map(torch.equal, here, there))


def test_show_batch(folder):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    dls = ImageDataLoaders.from_folder(folder, batch_tfms=Normalize.from_stats(*imagenet_stats), **ARGS)
    dls.show_batch(max_n=4)
    axes = [a for a in plt.gcf().axes if a.images]
    assert len(axes) == 4
    for a in axes:
        red, blue = a.images[0].get_array()[8, 8][[0, 2]]
        assert a.get_title() == ("cat" if red > blue else "dog") and max(red, blue) > 0.7
    plt.close("all")


# -- segmentation -----------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    "Images that are bright where their mask is 1."
    root = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(0)
    for i in range(12):
        m = (rng.random((6, 8)) > 0.5).repeat(8, 0).repeat(8, 1)
        Image.fromarray((m * 200 + 20).astype(np.uint8)).convert("RGB").save(root / f"{i}.png")
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(m.astype(np.uint8)).save(root / "masks" / f"{i}.png")
    return root


def mask_of(f):
    return f.parent / "masks" / f.name


def test_segmentation(scenes):
    dls = SegmentationDataLoaders.from_label_func(scenes, get_image_files(scenes, recurse=False), mask_of, codes=["dark", "bright"],
                                                  item_tfms=Resize(32), batch_tfms=aug_transforms(max_lighting=0, flip_vert=True), bs=5,
                                                  num_workers=0)
    x, y = dls.one_batch()
    assert x.shape == (5, 3, 32, 32) and y.shape == (5, 32, 32) and y.dtype == torch.int64 and type(y) is torch.Tensor
    assert ((x[:, 0] > 0.45) == (y == 1)).float().mean() > 0.94
    assert list(dls.vocab) == ["dark", "bright"] and dls.c == 2
    loss = dls.loss_func
    assert isinstance(loss, CrossEntropyLossFlat) and loss(torch.zeros(5, 2, 32, 32), y).item() == pytest.approx(np.log(2), abs=1e-4)
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    dls.show_batch(max_n=2)
    axes = [a for a in plt.gcf().axes if a.images]
    assert [len(a.images) for a in axes] == [2, 2]
    mask = axes[0].images[1]
    assert mask.get_alpha() == 0.5 and mask.get_cmap().name == "tab20" and mask.get_clim() == (0, 1)
    plt.close("all")


def test_mask_codes(scenes):
    mask = PILMask.create(np.array([[0, 1, 5, 255]]))
    with pytest.raises(ValueError, match=r"this mask holds the class numbers 5, 255, but there are 2 codes, 0 to 1. Name them in codes, or "
                                         r"write MaskBlock\(codes, ignore_index=255\)"):
        AddMaskCodes(["a", "b"])(mask)
    with pytest.raises(ValueError, match="the class numbers 5, but"):
        AddMaskCodes(["a", "b"], ignore_index=255)(mask)
    assert AddMaskCodes(list("abcdef"), ignore_index=255)(mask) is mask and AddMaskCodes()(mask) is mask
    block = MaskBlock(list("ab"), ignore_index=255)
    target = torch.tensor([[[0, 255]]])
    pred = torch.tensor([[[[3.0, 0.0]], [[0.0, 9.0]]]])
    assert block.loss_func(pred, target).item() == pytest.approx(torch.log1p(torch.exp(torch.tensor(-3.0))).item(), rel=1e-4)
    assert MaskBlock().loss_func(pred, target.clamp(max=1)).item() > 0


def test_sample_types(scenes):
    block = DataBlock(blocks=(ImageBlock, MaskBlock), get_y=mask_of, item_tfms=Resize(16))
    ds = block.datasets(get_image_files(scenes, recurse=False))
    x, y = ds.train[0]
    assert type(x) is PILImage and type(y) is PILMask and np.unique(np.asarray(y)).tolist() == [0, 1]
    dls = block.dataloaders(get_image_files(scenes, recurse=False), bs=4, num_workers=0)
    kinds = []
    dls.train.add_tfms([lambda b: kinds.append(type(b)) or b], "after_batch")
    dls.one_batch()
    assert kinds == [TensorImage, TensorMask]
    assert [type(t) for t in dls.train.after_batch] == [Transform, IntToFloatTensor]


def test_category_block_is_not_a_picture():
    with pytest.raises(TypeError, match="a class of images"):
        ImageBlock(CategoryBlock)


def test_real_pets(data_dir):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    path = data_dir / "pets_sample" / "images"
    dls = ImageDataLoaders.from_name_re(path, get_image_files(path), r"^(.*)_\d+.jpg$", item_tfms=Resize(128),
                                        batch_tfms=aug_transforms(size=96, min_scale=0.75), bs=16, num_workers=0)
    assert dls.c == 37 and len(dls.train_ds) == 296 and len(dls.valid_ds) == 74
    assert check(dls, 37, 96)[0].std() > 0.1
    dls.show_batch(max_n=9)
    assert sum(bool(a.images) for a in plt.gcf().axes) == 9
    plt.close("all")


def test_lists_of_labels_of_all_kinds(folder, files):
    half = len(files) // 2
    with pytest.raises(ValueError, match="1 of .* have no label"):                      # not "a regression target must be a number"
        ImageDataLoaders.from_lists(folder, files, [float("nan"), *["a", "b"] * half][:len(files)], valid_pct=1 / len(files), **ARGS)
    as_tensor = ImageDataLoaders.from_lists(folder, files, torch.arange(len(files)) / 2, **ARGS)
    assert isinstance(as_tensor.loss_func, MSELossFlat)
    sets = ImageDataLoaders.from_lists(folder, files, [[0, 3], [3], [0, 3]] * 10 + [[0]] * (len(files) - 30), **ARGS)
    assert isinstance(sets.loss_func, BCEWithLogitsLossFlat) and list(sets.vocab) == [0, 3]
    pairs = ImageDataLoaders.from_lists(folder, files, [[1, 2]] * len(files), **ARGS)
    assert isinstance(pairs.loss_func, MSELossFlat) and pairs.c == 2


def test_columns_of_zeros_and_ones_are_the_classes(folder, files):
    names = [str(f.relative_to(folder)) for f in files]
    df = pd.DataFrame({"name": names, "red": [1, 0, 1, 0] * (len(files) // 4), "wet": [True, True, False, False] * (len(files) // 4)})
    for label_col in (["red", "wet"], [1, 2]):
        dls = ImageDataLoaders.from_df(df, folder, label_col=label_col, shuffle=False, **ARGS)
        assert list(dls.vocab) == ["red", "wet"] and dls.c == 2 and isinstance(dls.loss_func, BCEWithLogitsLossFlat)
        rows = dls.train_ds.items.iloc[:8]
        assert dls.one_batch()[1].tolist() == rows[["red", "wet"]].to_numpy().astype(float).tolist()


def test_loader_takes_a_column_of_files_and_numpy_numbers(folder, files):
    dls = ImageDataLoaders.from_folder(folder, item_tfms=Resize(16), bs=np.int64(8), num_workers=np.int64(0))
    assert [len(x) for x, in dls.test_dl(pd.Series(files[:11], index=range(5, 16)))] == [8, 3]


def test_batch_transform_on_one_picture_is_refused(folder):
    dls = ImageDataLoaders.from_folder(folder, item_tfms=[Resize(16), *aug_transforms()], bs=8, num_workers=0)
    with pytest.raises(TypeError, match=r"AffineWarp works on batches of images.*Put it into batch_tfms"):
        dls.one_batch()


def test_show_pipeline(folder, files, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    dls = ImageDataLoaders.from_folder(folder, item_tfms=Resize(16), bs=8, num_workers=0,
                                       batch_tfms=[aug_transforms(size=12)[0], Normalize.from_stats(*imagenet_stats)])
    steps = dls.show_pipeline(3)
    titles = [" ".join(a.get_title().split("\n")).rsplit(" ", 1) for a in plt.gcf().axes][:len(steps)]     # long names have two lines
    plt.close("all")
    names = ["as it is read", "Resize", "ToTensor", "IntToFloatTensor", "Flip, Warp, Rotate, Zoom", "Normalize"]
    assert [name for name, _ in steps] == [t[0] for t in titles] == names
    assert {t[1] for t in titles} == {dls.train_ds.items[3].parent.name}
    images = [o[0] for _, o in steps]
    assert images[0].size == load_size(dls.train_ds.items[3]) and images[1].size == (16, 16)
    assert images[-1].shape == (3, 12, 12) and torch.allclose(images[-1], images[-2], atol=1e-5)          # Normalize is undone
    assert dls.show_pipeline(files[0])[0][1][0].size == load_size(files[0])                                     # a new one
    plt.close("all")
    with pytest.raises(IndexError, match=r"show_pipeline\(item=99\): there are 24 items"):
        dls.show_pipeline(99)


def load_size(file):
    with Image.open(file) as im:
        return im.size


def test_functions_of_arrays_as_transforms(tmp_path):
    "As the documentation has it for libraries that are called with `image=` and give a dict."
    class Arrays(Transform):
        split_idx = 0

        def __init__(self, aug):                                # without a word to the class it comes from
            self.aug = aug

        def encodes(self, im: PILImage):
            return PILImage.create(self.aug(image=np.array(im))["image"])

    class Seeded(RandTransform):
        def __init__(self, aug):
            super().__init__()
            self.aug = aug

        def draw(self, sample, rng, split_idx):
            return {"seed": int(rng.integers(2**31))}

        def encodes(self, im: PILImage, seed):
            self.aug.set_random_seed(seed)
            return PILImage.create(self.aug(image=np.array(im))["image"])

    class Noise:
        "As such a library does: a stream of its own."
        def __init__(self):
            self.rng = np.random.default_rng()

        def set_random_seed(self, seed):
            self.rng = np.random.default_rng(seed)

        def __call__(self, image):
            assert image.dtype == np.uint8 and image.flags.writeable
            image[:] = self.rng.integers(0, 256, image.shape)
            return {"image": image}

    for i in range(12):
        Image.fromarray(np.full((40, 50, 3), 10 * i, np.uint8)).save(tmp_path / f"{i:02}.png")
    files = sorted(tmp_path.glob("*.png"))

    def batches(tfm, n, kind=None):
        dls = ImageDataLoaders.from_path_func(tmp_path, files, lambda f: f.stem > "05", bs=5, seed=1, item_tfms=[Resize(32), tfm],
                                              num_workers=n, worker_type=kind, device="cpu")
        torch.manual_seed(0)
        return [x for x, _ in dls.train], [x for x, _ in dls.valid]

    train, valid = batches(Arrays(lambda image: {"image": 255 - image}), 0)
    plain, same = batches(Arrays(lambda image: {"image": image}), 0)
    assert all(torch.allclose(a, 1 - b, atol=1e-6) for a, b in zip(train, plain, strict=True)) and torch.equal(valid[0], same[0])
    first, again, other = (batches(Seeded(Noise()), n, kind)[0] for n, kind in ((0, None), (0, None), (2, "process")))
    assert all(map(torch.equal, first, again)) and all(map(torch.equal, first, other)) and first[0].std() > 0.1
