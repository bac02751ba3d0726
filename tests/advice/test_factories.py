"What the messages about labels, splits, files and keywords say to write, in the factories and blocks that give them."
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL
from suggestions import told
from torchvision.transforms import v2

from minifast.vision.all import *
from minifast.vision.files.reading import open_image

ROWS, PLAIN = 12, {"bs": 4, "num_workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "00000.png to 00011.png, and the same in a folder below."
    root = tmp_path_factory.mktemp("factories")
    (root / "below").mkdir()
    for i in range(ROWS):
        PIL.new("RGB", (8, 8), (i * 9, 9, 9)).save(root / f"{i:05d}.png")
        PIL.new("RGB", (8, 8), (i * 9, 9, 9)).save(root / "below" / f"b{i}.png")
    return root


@pytest.fixture
def files(folder):
    return get_image_files(folder, recurse=False)


def frame(files, **columns):
    return pd.DataFrame({"file": [f.name for f in files], **columns})


# -- labels that are one value for each class ------------------------------------------------------------------------------------------
def test_columns_of_numbers(folder, files):
    for odd in (-1.0, np.nan, 2.0):
        df = frame(files, Edema=[1.0, 0.0, odd, 0.0] * 3, Nodule=[0.0, 1.0, 1.0, 0.0] * 3)
        with told("data/factories.py", "columns that are the classes themselves hold 1 or 0, such as df[…] = (df[…] == 1).astype(int)",
                  "To predict the numbers write y_block=RegressionBlock; if they are labels, give all of them, vocab=[...]"):
            ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], **PLAIN)
        if odd == odd:
            assert ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], vocab=[odd, 0.0, 1.0], **PLAIN).c == 3
            assert ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], y_block=RegressionBlock, **PLAIN).c == 2
        df["Edema"] = (df["Edema"] == 1).astype(int)
        dls = ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], **PLAIN)
        assert dls.vocab == ["Edema", "Nodule"] and isinstance(dls.loss_func, BCEWithLogitsLossFlat)


def test_columns_of_words(folder, files):
    df = frame(files, Edema=["yes", "no"] * 6, Nodule=["no", "no", "yes"] * 4)
    with told("data/factories.py", "write columns = …; df[columns] = df[columns] == …. If these are the labels, vocab=[…]"):
        ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], **PLAIN)
    assert ImageDataLoaders.from_df(df, folder, label_col=["Edema", "Nodule"], vocab=["yes", "no"], **PLAIN).vocab == ["yes", "no"]
    columns = ["Edema", "Nodule"]
    df[columns] = df[columns] == "yes"
    assert ImageDataLoaders.from_df(df, folder, label_col=columns, **PLAIN).vocab == columns


def test_lists_of_zeros_and_ones(folder, files):
    labels = [[0, 1, 0, 1], [0, 0, 0, 0]] * 6
    with told("data/factories.py", "If they say of which classes an item is, name the …, vocab=[...]; to predict numbers write "
                                   "y_block=RegressionBlock; if the values are the labels, y_block=MultiCategoryBlock(vocab=[…])"):
        ImageDataLoaders.from_lists(folder, files, labels, **PLAIN)
    dls = ImageDataLoaders.from_lists(folder, files, labels, vocab=["a", "b", "c", "d"], **PLAIN)
    assert dls.vocab == ["a", "b", "c", "d"] and set(map(tuple, dls.one_batch()[1].tolist())) <= {(0, 1, 0, 1), (0, 0, 0, 0)}
    assert ImageDataLoaders.from_lists(folder, files, labels, y_block=RegressionBlock, **PLAIN).c == 4
    assert ImageDataLoaders.from_lists(folder, files, labels, y_block=MultiCategoryBlock(vocab=[0, 1]), **PLAIN).vocab == [0, 1]


def test_lists_of_zeros_and_ones_in_a_block(files):
    def dls(block):
        return DataBlock((ImageBlock, block), get_y=lambda f: [0, 1, 1]).dataloaders(files, **PLAIN)

    with told("data/indicators.py", "Give the names of the classes and zeros and ones, …; if the values are the labels, "
                                    "MultiCategoryBlock(vocab=[…])"):
        dls(MultiCategoryBlock)
    assert dls(MultiCategoryBlock(encoded=True, vocab=["name 0", "name 1", "name 2"])).c == 3
    assert dls(MultiCategoryBlock(vocab=[0, 1])).vocab == [0, 1]


def test_classes_without_names(files):
    def dls(block, label=1):
        return DataBlock((ImageBlock, block), get_y=lambda f: [0, label, 1]).dataloaders(files, **PLAIN)

    with told("data/one_hot.py", "write MultiCategoryBlock(encoded=True, vocab=[...])"):
        dls(MultiCategoryBlock(encoded=True))
    assert dls(MultiCategoryBlock(encoded=True, vocab=["a", "b", "c"])).c == 3
    with pytest.raises(ValueError, match=r"item 0, .* of the training set holds 2 for the class 'b', .*: make it one of them, or leave"):
        dls(MultiCategoryBlock(encoded=True, vocab=["a", "b", "c"]), label=2)
    assert dls(MultiCategoryBlock(encoded=True, vocab=["a", "b", "c"]), label=0).c == 3
    df = pd.DataFrame({"file": files, "p": ["yes", "no"] * 6, "q": ["no", "yes"] * 6})
    block = DataBlock((ImageBlock, MultiCategoryBlock(encoded=True)), get_x=ColReader("file"), get_y=ColReader(["p", "q"]))
    with told("data/one_hot.py", "Make them of it, such as `df[columns] == 'yes'`"):
        block.dataloaders(df, **PLAIN)
    columns = ["p", "q"]
    df[columns] = df[columns] == "yes"
    assert block.dataloaders(df, **PLAIN).vocab == ["p", "q"]


def test_fractions_in_a_column(folder, files):
    df = frame(files, score=np.linspace(0, 1, ROWS))
    with told("data/factories.py", "for classes write y_block=CategoryBlock"):
        assert ImageDataLoaders.from_df(df, folder, label_col="score", **PLAIN).c == 1
    df.score = df.score.round()
    assert ImageDataLoaders.from_df(df, folder, label_col="score", y_block=CategoryBlock, **PLAIN).vocab == [0.0, 1.0]


# -- the classes -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("entry", ["from_df", "from_csv", "from_lists", "from_path_func", "from_name_func", "from_path_re", "from_name_re",
                                   "from_folder"])
def test_a_class_that_training_does_not_have(folder, files, tmp_path, entry):
    def split(items):
        return range(11), [11]

    def dls(**vocab):
        kwargs = {**PLAIN, **vocab, "splitter": split}
        if entry == "from_df":
            return ImageDataLoaders.from_df(frame(files, label=labels), folder, **kwargs)
        if entry == "from_csv":
            frame(files, label=labels).to_csv(tmp_path / "labels.csv", index=False)
            return ImageDataLoaders.from_csv(tmp_path, folder=folder, **kwargs)
        if entry == "from_lists":
            return ImageDataLoaders.from_lists(folder, files, labels, **kwargs)
        if entry == "from_folder":
            return ImageDataLoaders.from_folder(tmp_path, **kwargs)
        return getattr(ImageDataLoaders, entry)(folder, files, r"(0001)?1\.png$" if entry.endswith("re") else label_of, **kwargs)

    def label_of(f):
        return "rare" if "00011" in str(f) else "ab"[int(str(f)[-5]) % 2]

    labels = list(map(label_of, files))
    if entry == "from_folder":
        for f, label in zip(files, labels, strict=True):
            (tmp_path / label).mkdir(exist_ok=True)
            PIL.open(f).save(tmp_path / label / f.name)
    if entry.endswith("re"):
        files, label_of = [f for f in files if f.name < "00002.png"] * 6, None
        files[-1] = folder / "00011.png"
        pattern = r"0000?(1?\d)\.png$"

        def dls(**vocab):
            return getattr(ImageDataLoaders, entry)(folder, files, pattern, splitter=split, **PLAIN, **vocab)
    every = ["0", "1", "11"] if entry.endswith("re") else ["a", "b", "rare"]
    with told("data/categories.py", "Give all classes, vocab=…, in a DataBlock to its block"):
        dls()
    made = dls(vocab=every)
    assert made.vocab == every and made.valid.n == 1


def test_several_labels_in_one_text(folder, files):
    df = frame(files, labels=["cat"] * 10 + ["cat;dog", "dog;cat"])

    def split(items):
        return [*range(9), 11], [9, 10]

    for wrong in ({}, {"label_delim": " "}):
        with told("data/categories.py", "Where these are several labels each, split them: label_delim=…, in a DataBlock that of ColReader"):
            ImageDataLoaders.from_df(df, folder, splitter=split, **wrong, **PLAIN)
        assert ImageDataLoaders.from_df(df, folder, splitter=split, label_delim=";", **PLAIN).vocab == ["cat", "dog"]
    block = DataBlock((ImageBlock, MultiCategoryBlock), get_x=ColReader(0, pref=folder), get_y=ColReader("labels", label_delim=";"))
    assert block.dataloaders(df, **PLAIN).vocab == ["cat", "dog"]


def test_one_class(files):
    with pytest.warns(UserWarning, match=r"every training item \(10\) has the label '000': there is nothing to tell apart"):
        ImageDataLoaders.from_name_func(files[0].parent, files, lambda f: f[:3], **PLAIN)
    assert ImageDataLoaders.from_name_func(files[0].parent, files, lambda f: int(f[4]) % 2, **PLAIN).c == 2


def test_a_class_called_na(folder, files, tmp_path):
    frame(files, label=["NA", "b"] * 6).to_csv(tmp_path / "labels.csv", index=False)
    with told("data/categories.py", "read as missing from a CSV file: keep_default_na=False"):
        ImageDataLoaders.from_csv(tmp_path, folder=folder, **PLAIN)
    assert ImageDataLoaders.from_csv(tmp_path, folder=folder, keep_default_na=False, **PLAIN).vocab == ["NA", "b"]


def test_a_block_and_classes(folder, files):
    def dls(**kwargs):
        return ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **kwargs, **PLAIN)

    with told("data/factories.py", "give the classes to the block, such as y_block=CategoryBlock(vocab=[...])"):
        dls(y_block=CategoryBlock, vocab=["b", "a"])
    assert dls(y_block=CategoryBlock(vocab=["b", "a"])).vocab == ["b", "a"]


@pytest.mark.parametrize("make", [lambda codes: CategoryBlock(vocab=codes), lambda codes: MultiCategoryBlock(vocab=codes),
                                  lambda codes: MaskBlock(codes=codes), lambda codes: BBoxLblBlock(vocab=codes)])
def test_names_in_order(make):
    with told("core/arguments.py", "a text would be read letter by letter; write …=…"):
        make("bg fg")
    make(["bg", "fg"])
    with told("core/arguments.py", "Write …=sorted(...), or list them"):
        make({"bg", "fg"})
    make(sorted({"bg", "fg"}))
    ids = {"fg": 1, "bg": 0}
    with told("core/arguments.py", "Of a dict `ids` from names to 0, 1, ... write …=sorted(ids, key=ids.get)"):
        make(ids)
    make(sorted(ids, key=ids.get))
    with pytest.raises(TypeError, match="takes a list of names; received"):
        make(2)


def test_files_in_a_set(folder, files):
    with told("data/rows.py", "Write sorted(items)"):
        ImageDataLoaders.from_path_func(folder, set(files), lambda f: int(f.name[4]) % 2, **PLAIN)
    items = set(files)
    assert ImageDataLoaders.from_path_func(folder, sorted(items), lambda f: int(f.name[4]) % 2, **PLAIN).train.n == 10
    with pytest.raises(TypeError, match="fnames and the other list are matched by their order, and a set has none"):
        ImageDataLoaders.from_lists(folder, set(files), ["a", "b"] * 6, **PLAIN)


# -- splits ----------------------------------------------------------------------------------------------------------------------------
def test_no_validation(folder, files):
    def dls(**split):
        return ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **split, **PLAIN)

    for wrong in ({"valid_pct": 0}, {"splitter": lambda items: (range(ROWS), [])}):
        with pytest.raises(ValueError, match=r"split with `lambda items: \[range\(len\(items\)\)\]`: give it as splitter="):
            dls(**wrong)
    made = dls(splitter=lambda items: [range(len(items))])
    assert len(made) == 1 and made.train.n == ROWS


@pytest.mark.parametrize(("values", "on"), [(["train"] * 9 + ["valid"] * 3, "valid"), (["VAL"] * 3 + ["TRAIN"] * 9, "VAL"),
                                            ([*"nnnyyynnnnnn"], "y")])
def test_a_column_of_words_that_splits(folder, files, values, on):
    df = frame(files, label=["a", "b"] * 6, split=values)
    with told("data/splitters.py", "Name the one that marks validation rows: ColSplitter(…, on=…)"):
        ImageDataLoaders.from_df(df, folder, valid_col="split", **PLAIN)
    for split in ({"valid_col": ColSplitter("split", on=on)}, {"splitter": ColSplitter("split", on=on)}):
        assert ImageDataLoaders.from_df(df, folder, **split, **PLAIN).valid.n == 3


def test_other_columns_that_split():
    df = pd.DataFrame({"fold": [3, 4, 5], "half": [True, None, False]})
    with told("data/splitters.py", "Say which of its values mark validation rows, ColSplitter(…, on=...): …"):
        ColSplitter("fold")(df)
    assert ColSplitter("fold", on=3)(df)[1] == [0] and ColSplitter("fold", on=pd.Index([3, 5]))(df)[1] == [0, 2]
    with told("data/splitters.py", "Say what the rows without a value are: df[…].fillna(False)"):
        ColSplitter("half")(df)
    df["half"] = df["half"].fillna(False)
    assert ColSplitter("half")(df)[1] == [0]


def test_labels_of_rows():
    df = pd.DataFrame({"year": range(2000, 2010)}).sample(frac=1, random_state=1)
    mask = df.year >= 2008
    with told("data/splitters.py", "labels of rows are given as a pandas Index, `df.index[mask]`"):
        IndexSplitter([2008])(df)
    assert IndexSplitter(df.index[mask])(df)[1] == np.flatnonzero(mask).tolist()
    with told("data/splitters.py", "For positions give an array, `np.asarray(...)`"):
        IndexSplitter(pd.Index([3, 77]))(df)
    assert IndexSplitter(np.asarray(pd.Index([3, 7])))(df)[1] == [3, 7]
    twice = pd.concat([df, df])
    with told("data/splitters.py", "give positions, `np.flatnonzero(mask)`, or the mask"):
        IndexSplitter(twice.index[:3])(twice)
    mask = twice.year >= 2008
    assert IndexSplitter(np.flatnonzero(mask))(twice) == IndexSplitter(mask)(twice)
    with told("data/splitters.py", "give the labels of its rows, `.index`"):
        IndexSplitter(df[df.year >= 2008])(df)
    assert IndexSplitter(df[df.year >= 2008].index)(df) == MaskSplitter(df.year >= 2008)(df)
    with told("data/splitters.py", "or give an array in the order of the rows, `.to_numpy()`"):
        MaskSplitter((df.year >= 2008).set_axis(range(90, 100)))(df)
    assert len(MaskSplitter((df.year >= 2008).set_axis(range(90, 100)).to_numpy())(df)[1]) == 2


def test_two_answers_to_one_question(folder, files):
    with pytest.raises(TypeError, match="valid_col and splitter both say which rows are for validation: give one of them"):
        ImageDataLoaders.from_df(frame(files, label=1, v=True), folder, valid_col="v", splitter=RandomSplitter())


# -- what is made by a call ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("given", "called", "words"), [
    ({"batch_tfms": aug_transforms}, {"batch_tfms": aug_transforms()}, "write aug_transforms()"),
    ({"batch_tfms": [Normalize.from_stats]}, {"batch_tfms": [Normalize.from_stats(*imagenet_stats)]}, "Normalize.from_stats(mean, std)"),
    ({"item_tfms": Resize}, {"item_tfms": Resize(8)}, "Resize cannot be made without arguments: write Resize(size)"),
    ({"item_tfms": [v2.Resize]}, {"item_tfms": [v2.Resize(8)]}, "write Resize(size)"),
    ({"splitter": RandomSplitter}, {"splitter": RandomSplitter()}, "write RandomSplitter()"),
    ({"splitter": ColSplitter}, {"splitter": IndexSplitter([1])}, "write ColSplitter()"),
])
def test_what_is_to_be_called(folder, files, given, called, words):
    with pytest.raises(TypeError) as caught:
        ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **given, **PLAIN)
    assert words in str(caught.value)
    ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **called, **PLAIN).one_batch()


def test_what_is_to_be_called_elsewhere(folder, files):
    with told("data/pipeline.py", "makes transforms and is not one itself: write …(…)"):
        ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **PLAIN).add_tfms(aug_transforms, "after_batch")
    ImageDataLoaders.from_lists(folder, files, ["a", "b"] * 6, **PLAIN).add_tfms(aug_transforms(), "after_batch")
    with told("data/pipeline.py", "cannot be made without arguments: write …(…)"):
        Pipeline([Resize])
    Pipeline([Resize(8)])
    with told("core/arguments.py", "not one that is made: write …(…)"):
        ImageDataLoaders.from_name_func(folder, files, RegexLabeller, **PLAIN)
    assert ImageDataLoaders.from_name_func(folder, files, RegexLabeller(r"(\d)\d\.png"), **PLAIN).c == 2
    for wrong in ({"get_y": ColReader}, {"get_items": FileGetter}, {"getters": [None, AttrGetter]}):
        with pytest.raises(TypeError, match=r"DataBlock\((get_y|get_items|getters)=\.\.\.\) received the class"):
            DataBlock((ImageBlock, CategoryBlock), **wrong)
    DataBlock((ImageBlock, CategoryBlock), get_x=Path, get_y=str)               # a class that is itself a function of an item


# -- keywords, before data are looked at -----------------------------------------------------------------------------------------------
def test_keywords_come_first(folder, files):
    nothing = [folder / "nothing.png"] * 4
    for call in (lambda **k: ImageDataLoaders.from_df(pd.DataFrame({"f": ["nothing"] * 4, "y": ["a"] * 4}), folder, **k),
                 lambda **k: ImageDataLoaders.from_csv(folder, "nothing.csv", **k),
                 lambda **k: ImageDataLoaders.from_folder("nothing", **k),
                 lambda **k: ImageDataLoaders.from_lists(folder, nothing, [None] * 4, **k),
                 lambda **k: ImageDataLoaders.from_name_re(folder, nothing, "(x)", **k),
                 lambda **k: ImageDataLoaders.from_path_re(folder, nothing, "(x)", **k),
                 lambda **k: ImageDataLoaders.from_name_func(folder, nothing, noop, **k),
                 lambda **k: SegmentationDataLoaders.from_label_func(folder, nothing, noop, **k)):
        with pytest.raises(TypeError, match=r"DataLoaders\.from_\w+\(\.\.\.\) does not take valid_pc=float 0\.5; did you mean 'valid_pct'"):
            call(valid_pc=0.5)
        with pytest.raises(TypeError, match="val_suffle=bool True; did you mean 'val_shuffle'"):
            call(val_suffle=True)
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: None)
    for verb in (block.dataloaders, lambda files, **k: block.weighted_dataloaders(files, [1], **k),
                 lambda files, **k: block.partial_dataloaders(files, 1, **k)):
        with pytest.raises(TypeError, match="batch_sz=int 8; did you mean 'batch_size'"):
            verb(files, batch_sz=8)
    with told("data/block.py", "it belongs to the DataBlock, `DataBlock(…=...)`"):
        block.dataloaders(files, get_y=parent_label)
    DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: f.name).datasets_of(files, [range(ROWS)])


# -- files -----------------------------------------------------------------------------------------------------------------------------
def test_numbers_that_were_names(folder, files, tmp_path):
    df = frame(files, label=["a", "b"] * 6).assign(file=range(ROWS))
    with told("data/csv_files.py", "Read it as text, pd.read_csv(file, dtype={…: str}), or write df[…] = df[…].astype(str).str.zfill(…)"):
        ImageDataLoaders.from_df(df, folder, suff=".png", **PLAIN)
    frame(files, label=["a", "b"] * 6).assign(file=[f.stem for f in files]).to_csv(tmp_path / "labels.csv", index=False)
    assert pd.read_csv(tmp_path / "labels.csv").file[1] == 1
    read = pd.read_csv(tmp_path / "labels.csv", dtype={"file": str})
    df["file"] = df["file"].astype(str).str.zfill(5)
    for right in (df, read):
        ImageDataLoaders.from_df(right, folder, suff=".png", **PLAIN).one_batch()
    ImageDataLoaders.from_csv(tmp_path, folder=folder, suff=".png", **PLAIN).one_batch()
    ImageDataLoaders.from_csv(tmp_path, folder=folder, suff=".png", dtype=str, **PLAIN).one_batch()


def test_files_that_are_elsewhere(folder, files):
    df = frame(files, label=["a", "b"] * 6)
    with told("data/csv_files.py", "write suff=…"):
        ImageDataLoaders.from_df(df.assign(file=[f.stem for f in files]), folder, **PLAIN)
    ImageDataLoaders.from_df(df.assign(file=[f.stem for f in files]), folder, suff=".png", **PLAIN).one_batch()
    with told("data/csv_files.py", "write folder=…"):
        ImageDataLoaders.from_df(df.assign(file=[f"b{i}.png" for i in range(ROWS)]), folder, **PLAIN)
    ImageDataLoaders.from_df(df.assign(file=[f"b{i}.png" for i in range(ROWS)]), folder, folder="below", **PLAIN).one_batch()
    for wrong, words in ((folder, "the folder has '00000.png'"), (folder / "none", "there is no folder")):
        with pytest.raises(FileNotFoundError, match=words):
            ImageDataLoaders.from_df(df.assign(file="x.png"), wrong, **PLAIN)
    ImageDataLoaders.from_df(df.assign(file=["gone.png", *df.file[1:]]), folder, **PLAIN)         # one damaged row is not a wrong folder


def test_names_of_files_that_lack_an_ending_or_a_separator(folder, files):
    def first(names, **reader):
        df = pd.DataFrame({"file": names, "label": ["a", "b"] * (ROWS // 2)})
        block = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader("file", **reader), get_y=ColReader("label"))
        return block.datasets(df, verbose=False)[0]

    stems = [f.stem for f in files]
    with told("vision/files/reading.py", "the name lacks its ending, write ColReader(..., suff=…)"):
        first(stems, pref=folder)
    first(stems, pref=folder, suff=".png")
    below = [f"b{i}.png" for i in range(ROWS)]
    with told("vision/files/reading.py", "a pref that is text is put before the name as it is, write ColReader(..., pref=Path(…))"):
        first(below, pref=f"{folder}/below")
    first(below, pref=folder / "below")
    with pytest.raises(FileNotFoundError) as e:
        first(["elsewhere.png"] * ROWS, pref=folder)
    assert not any("there is" in note for note in e.value.__notes__)

    class Remote:                                   # an open file that is gone when it is read: its own error, not one of the advice
        def read(self, n=-1):
            raise FileNotFoundError("gone")
        seek = tell = read
    with pytest.raises(FileNotFoundError, match="gone"):
        open_image(Remote())


def test_a_file_in_another_encoding(folder, files, tmp_path):
    frame(files, label=["Bär", "Wolf"] * 6).to_csv(tmp_path / "labels.csv", index=False, encoding="latin-1")
    with told("data/csv_files.py", "Files of spreadsheets often are in encoding='cp1252', older ones in encoding='latin-1'"):
        ImageDataLoaders.from_csv(tmp_path, folder=folder, **PLAIN)
    for encoding in ("cp1252", "latin-1"):
        assert ImageDataLoaders.from_csv(tmp_path, folder=folder, encoding=encoding, **PLAIN).vocab == ["Bär", "Wolf"]


def test_the_home_folder(folder, files, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    home = f"~/{folder.name}"
    assert len(get_image_files(home)) == 2 * ROWS and len(FileGetter("below")(home)) == ROWS
    dls = ImageDataLoaders.from_df(frame(files, label=["a", "b"] * 6), home, **PLAIN)
    dls.one_batch()
    assert dls.path == folder and ImageDataLoaders.from_folder(home, valid_pct=0.2, **PLAIN).path == folder
    with pytest.raises(FileNotFoundError, match="valid_pct=0.2"):
        ImageDataLoaders.from_folder(home)


def test_prices_by_a_function(folder, files):
    more, prices = files * 3, [i + 0.5 for i in range(3 * ROWS)]
    with told("data/categories.py", "To predict numbers write RegressionBlock, in a DataBlock or, of a list, from_lists("):
        Categorize().setup(prices)
    assert ImageDataLoaders.from_lists(folder, more, prices, y_block=RegressionBlock, **PLAIN).c == 1
    by_name = DataBlock((ImageBlock, RegressionBlock), get_items=get_image_files, get_y=lambda f: len(f.name) / 3)
    assert by_name.dataloaders(folder, **PLAIN).c == 1


def test_labels_with_another_delimiter(folder, files):
    df = frame(files, label=["sea sky", "sand", "sea sand", "sky", "sea sand sky", "sea"] * 2)
    with told("data/factories.py", "To split them write label_delim=…"):
        dls = ImageDataLoaders.from_df(df, folder, label_delim=",", **PLAIN)
    assert "sea sky" in dls.vocab
    assert list(ImageDataLoaders.from_df(df, folder, label_delim=" ", **PLAIN).vocab) == ["sand", "sea", "sky"]
    with warnings.catch_warnings():                         # names of two words, one label each
        warnings.simplefilter("error")
        ImageDataLoaders.from_df(frame(files, label=["red fox", "grey wolf"] * 6), folder, label_delim=",", **PLAIN)


def test_whole_numbers_of_which_validation_has_others(folder, files):
    df = frame(files, age=list(range(20, 32)))
    with told("data/categories.py", "Where they are numbers to predict, write y_block=RegressionBlock"):
        ImageDataLoaders.from_df(df, folder, label_col="age", **PLAIN)
    assert ImageDataLoaders.from_df(df, folder, label_col="age", y_block=RegressionBlock, **PLAIN).c == 1
