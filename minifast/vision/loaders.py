"""`ImageDataLoaders`: from folders, file names, tables and lists to batches of images, in one call."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..core.messages import add_note, describe, plural
from ..core.paths import Path
from ..data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from ..data.files import get_image_files
from ..data.labels import ColReader, RegexLabeller, parent_label
from ..data.loaders import DataLoaders
from ..data.pipeline import Pipeline
from ..data.splitters import SPLIT_SEED, ColSplitter, GrandparentSplitter, RandomSplitter
from ..data.transforms import Transform
from .blocks import ImageBlock, MaskBlock
from .images import PILBase, PILImage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImageDataLoaders", "SegmentationDataLoaders"]


def _random_splitter(valid_pct, seed):
    "seed=None stands for the default seed: the split is the same each time the loaders are made."
    return RandomSplitter(valid_pct, seed=SPLIT_SEED if seed is None else seed)


def _of_file_name(f):
    "`f` of the name of a file, without its folder."
    label = Transform(f)
    label.types = (object,)                     # whatever its annotation says
    return Pipeline([Path, attrgetter("name"), label])


def _made(cls, source, path, kwargs, x_block, y_block, **of_block):
    "Loaders of class `cls` from a `DataBlock` of these blocks; kwargs are for `DataBlock.dataloaders`, but for value_range."
    if (value_range := kwargs.pop("value_range", None)) is not None:
        x_block = ImageBlock(x_block.type_tfms[0].img_cls, value_range)
    dls = DataBlock(blocks=(x_block, y_block), **of_block).dataloaders(source, path=path, **kwargs)
    return cls(*dls.loaders, path=dls.path)


def _check_callable(f, where):
    if not callable(f):
        raise TypeError(f"{where} takes a function that returns the label; received {describe(f)}")


class ImageDataLoaders(DataLoaders):
    """`DataLoaders` of images. Each `from_...` is a `DataBlock` written out, which is the place to look for anything more special.

    All take item_tfms, batch_tfms and value_range (see `ImageBlock`); further keyword arguments, such as bs, val_bs, num_workers, shuffle
    and device, go to `DataBlock.dataloaders`. seed: of a random split, which is the same each time unless another one is given; the order
    of training items and their augmentation follow `set_seed`.
    """

    @classmethod
    def from_folder(cls, path: str | PathLike, train: str = "train", valid: str = "valid", valid_pct: float | None = None,
                    seed: int | None = None, vocab: Sequence[Any] | None = None, item_tfms: Any = None, batch_tfms: Any = None,
                    img_cls: type[PILBase] = PILImage, **kwargs: Any) -> ImageDataLoaders:
        """Images in one folder per class: `path/train/cat/1.jpg`, `path/valid/cat/2.jpg`.

        valid_pct: split at random instead, with the classes anywhere below `path`. vocab: the classes, in this order.
        """
        by_folder = valid_pct is None
        splitter = GrandparentSplitter(train_name=train, valid_name=valid) if by_folder else _random_splitter(valid_pct, seed)
        try:
            files = get_image_files(path, folders=[train, valid] if by_folder else None)
        except FileNotFoundError as e:
            if by_folder and Path(path).is_dir():
                add_note(e, "Where the folders of the classes lie directly in the folder, write from_folder(path, valid_pct=0.2)")
            raise
        return _made(cls, files, path, kwargs, ImageBlock(img_cls), CategoryBlock(vocab=vocab), splitter=splitter, get_y=parent_label,
                     item_tfms=item_tfms, batch_tfms=batch_tfms)

    @classmethod
    def from_path_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                       seed: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by `label_func` of their path."
        _check_callable(label_func, "from_path_func(label_func=...)")
        return _made(cls, fnames, path, kwargs, ImageBlock(img_cls), CategoryBlock(), splitter=_random_splitter(valid_pct, seed),
                     get_y=label_func, item_tfms=item_tfms, batch_tfms=batch_tfms)

    @classmethod
    def from_name_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                       seed: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by `label_func` of their name (a string, without the folder)."
        _check_callable(label_func, "from_name_func(label_func=...)")
        return cls.from_path_func(path, fnames, _of_file_name(label_func), valid_pct, seed, item_tfms, batch_tfms, img_cls, **kwargs)

    @classmethod
    def from_path_re(cls, path: str | PathLike, fnames: Iterable[Any], pat: str, valid_pct: float | None = 0.2, seed: int | None = None,
                     item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by the first group of the regular expression `pat` in their path."
        return cls.from_path_func(path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, **kwargs)

    @classmethod
    def from_name_re(cls, path: str | PathLike, fnames: Iterable[Any], pat: str, valid_pct: float | None = 0.2, seed: int | None = None,
                     item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by the first group of the regular expression `pat` in their name."
        return cls.from_name_func(path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, **kwargs)

    @classmethod
    def from_df(cls, df: pd.DataFrame, path: str | PathLike = ".", valid_pct: float | None = 0.2, seed: int | None = None,
                fn_col: int | str = 0, folder: str | None = None, suff: str = "", label_col: int | str | Sequence[Any] = 1,
                label_delim: str | None = None, y_block: Any = None, valid_col: int | str | None = None, item_tfms: Any = None,
                batch_tfms: Any = None, img_cls: type[PILBase] = PILImage, **kwargs: Any) -> ImageDataLoaders:
        """File names and labels in the columns of a DataFrame.

        fn_col, label_col: names or positions; several label columns make several targets (or one of several numbers with
        y_block=RegressionBlock). folder, suff: the file is `path/folder/name + suff`. label_delim: several labels in one column,
        separated by this. y_block: the block of the labels, default a category, or several with label_delim or several columns; several
        columns of zeros and ones are the classes themselves.
        valid_col: the column that says which rows are for validation.
        """
        pref = Path(path) / folder if folder is not None else Path(path)
        return _made(cls, df, path, kwargs, ImageBlock(img_cls), _label_block(y_block, df, label_col, label_delim),
                     get_x=ColReader(fn_col, pref=pref, suff=suff), get_y=ColReader(label_col, label_delim=label_delim),
                     splitter=_random_splitter(valid_pct, seed) if valid_col is None else ColSplitter(valid_col),
                     item_tfms=item_tfms, batch_tfms=batch_tfms)

    @classmethod
    def from_csv(cls, path: str | PathLike, csv_fname: str = "labels.csv", header: Any = "infer", delimiter: str | None = None,
                 valid_pct: float | None = 0.2, seed: int | None = None, fn_col: int | str = 0, folder: str | None = None, suff: str = "",
                 label_col: int | str | Sequence[Any] = 1, label_delim: str | None = None, y_block: Any = None,
                 valid_col: int | str | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                 **kwargs: Any) -> ImageDataLoaders:
        "`from_df` of the file `path/csv_fname`; header and delimiter as in `pandas.read_csv`."
        import pandas as pd
        file = Path(path) / csv_fname
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r} with names and labels: from_csv(path, csv_fname='labels.csv') reads "
                                    "path/csv_fname")
        df = pd.read_csv(file, header=header, sep="," if delimiter is None else delimiter)
        return cls.from_df(df, path, valid_pct, seed, fn_col, folder, suff, label_col, label_delim, y_block, valid_col, item_tfms,
                           batch_tfms, img_cls, **kwargs)

    @classmethod
    def from_lists(cls, path: str | PathLike, fnames: Iterable[Any], labels: Iterable[Any], valid_pct: float | None = 0.2,
                   seed: int | None = None, y_block: Any = None, item_tfms: Any = None, batch_tfms: Any = None,
                   img_cls: type[PILBase] = PILImage, **kwargs: Any) -> ImageDataLoaders:
        """The files `fnames` and, in the same order, their `labels`.

        y_block: the block of the labels; default, by all of them: several categories if they are lists of text (or of whole numbers,
        not equally many), numbers to predict if they are floats or lists of numbers, else a category.
        """
        fnames, labels = list(fnames), list(labels)
        if len(fnames) != len(labels):
            raise ValueError(f"from_lists: {plural(len(fnames), 'file name')}, but {plural(len(labels), 'label')}")
        return _made(cls, list(zip(fnames, labels, strict=True)), path, kwargs, ImageBlock(img_cls),
                     _guessed_block(labels) if y_block is None else y_block, get_x=itemgetter(0), get_y=itemgetter(1),
                     splitter=_random_splitter(valid_pct, seed), item_tfms=item_tfms, batch_tfms=batch_tfms)


class SegmentationDataLoaders(DataLoaders):
    "`DataLoaders` of images and their masks."

    @classmethod
    def from_label_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                        seed: int | None = None, codes: Sequence[Any] | None = None, ignore_index: int | None = None,
                        item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                        values: Sequence[int] | None = None, nearest: bool = False, **kwargs: Any) -> SegmentationDataLoaders:
        "The images `fnames`, whose masks are the files `label_func(fname)`. codes, ignore_index, values, nearest: see `MaskBlock`."
        _check_callable(label_func, "from_label_func(label_func=...)")
        return _made(cls, fnames, path, kwargs, ImageBlock(img_cls), MaskBlock(codes, ignore_index, values, nearest),
                     splitter=_random_splitter(valid_pct, seed), get_y=label_func, item_tfms=item_tfms, batch_tfms=batch_tfms)


def _label_block(y_block, df, label_col, label_delim):
    several = isinstance(label_col, (list, tuple)) and len(label_col) > 1
    if y_block is None and several and label_delim is None:
        names = [c if c in df.columns or not isinstance(c, int) else df.columns[c] for c in label_col]
        if all(c in df.columns and df[c].isin([0, 1]).all() for c in names):
            return MultiCategoryBlock(encoded=True, vocab=names)
    return y_block or (MultiCategoryBlock() if label_delim is not None or several else CategoryBlock())


def _guessed_block(labels):
    def is_fraction(o):
        dtype = getattr(o, "dtype", None)
        return isinstance(o, float) or getattr(dtype, "kind", "") == "f" or getattr(dtype, "is_floating_point", False)

    several = [isinstance(o, (list, tuple, set)) or getattr(o, "ndim", 0) > 0 for o in labels]
    if any(several):
        flat = [v for o, many in zip(labels, several, strict=True) if many for v in o]
        numbers = flat and not any(isinstance(v, str) for v in flat) and all(several)
        sets = numbers and len(set(map(len, labels))) > 1 and not any(map(is_fraction, flat))       # of class numbers
        return RegressionBlock() if numbers and not sets else MultiCategoryBlock()
    named = any(isinstance(o, str) for o in labels)                     # then NaN is a label that is missing
    return RegressionBlock() if not named and any(map(is_fraction, labels)) else CategoryBlock()


