"""`ImageDataLoaders`: from folders, file names, tables and lists to batches of images, in one call."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..core.arguments import refuse_class
from ..core.messages import add_note, describe, plural
from ..core.paths import Path
from ..data.block import CategoryBlock, DataBlock
from ..data.csv_files import check_named_files, read_csv
from ..data.factories import check_factory_keywords, chosen_splitter, guessed_block, label_block, without_vocab
from ..data.files import get_image_files
from ..data.labels import ColReader, RegexLabeller, column_name, parent_label
from ..data.loaders import DataLoaders
from ..data.pipeline import Pipeline
from ..data.rows import as_frame
from ..data.splitters import GrandparentSplitter
from ..data.transforms import Transform
from .blocks import ImageBlock, MaskBlock
from .images import PILBase, PILImage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImageDataLoaders", "SegmentationDataLoaders"]


_MORE = ("value_range",)            # keywords of every factory besides those that its signature lists and those of a loader


def _try_on_name(f, fnames):
    "Call the labelling function `f` on the first name: where it takes that for a path, the error says what to write."
    if not isinstance(fnames, Sequence) or not fnames:
        return
    name = Path(fnames[0]).name
    try:
        f(name)
    except AttributeError as e:
        if str(e).startswith("'str' object has no attribute") and hasattr(Path, str(e).split("'")[3]):
            add_note(e, f"from_name_func gives the function the name of the file, a str such as {name!r}; for its path write "
                        "from_path_func")
            raise
    except Exception:                       # said of the item, when its label is made
        pass


def _of_file_name(f):
    "`f` of the name of a file, without its folder."
    label = Transform(f)
    label.types = (object,)                     # whatever its annotation says
    return Pipeline([Path, attrgetter("name"), label])


def _made(cls, source, path, kwargs, img_cls, y_block, **of_block):
    "Loaders of class `cls` from a `DataBlock` of images and this block; kwargs are for `DataBlock.dataloaders`, but for value_range."
    x_block = ImageBlock(img_cls, kwargs.pop("value_range", None))
    dls = DataBlock(blocks=(x_block, y_block), **of_block).dataloaders(source, path=path, **kwargs)
    return cls(*dls.loaders, path=dls.path)


def _check_callable(f, where):
    if not callable(f):
        raise TypeError(f"{where} takes a function that returns the label; received {describe(f)}")
    refuse_class(where, f)


class ImageDataLoaders(DataLoaders):
    """`DataLoaders` of images. Each `from_...` is a `DataBlock` written out, which is the place to look for anything more special.

    All take item_tfms, batch_tfms and value_range (see `ImageBlock`); further keyword arguments, such as bs, val_bs, num_workers, shuffle
    and device, go to `DataBlock.dataloaders`. seed: of a random split, which is the same each time unless another one is given; the order
    of training items and their augmentation follow `set_seed`. splitter: instead of a random split. vocab: the classes, in this order,
    also those that no training item has; default: the sorted labels of the training items.
    """

    @classmethod
    def from_folder(cls, path: str | PathLike, train: str = "train", valid: str = "valid", valid_pct: float | None = None,
                    seed: int | None = None, vocab: Sequence[Any] | None = None, item_tfms: Any = None, batch_tfms: Any = None,
                    img_cls: type[PILBase] = PILImage, splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        """Images in one folder per class: `path/train/cat/1.jpg`, `path/valid/cat/2.jpg`.

        valid_pct: split at random instead, with the classes anywhere below `path`; so they may be with a splitter.
        """
        check_factory_keywords(cls.from_folder, kwargs, _MORE)
        by_folder = valid_pct is None and splitter is None
        by_name = GrandparentSplitter(train_name=train, valid_name=valid) if by_folder else splitter
        splitter = chosen_splitter(by_name, valid_pct, seed)
        try:
            files = get_image_files(path, folders=[train, valid] if by_folder else None)
        except FileNotFoundError as e:
            if by_folder and Path(path).expanduser().is_dir():
                add_note(e, "Where the folders of the classes lie directly in the folder, write from_folder(path, valid_pct=0.2)")
            raise
        return _made(cls, files, path, kwargs, img_cls, CategoryBlock(vocab=vocab), splitter=splitter, get_y=parent_label,
                     item_tfms=item_tfms, batch_tfms=batch_tfms)

    @classmethod
    def from_path_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                       seed: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       vocab: Sequence[Any] | None = None, splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by `label_func` of their path."
        check_factory_keywords(cls.from_path_func, kwargs, _MORE)
        _check_callable(label_func, "from_path_func(label_func=...)")
        return _made(cls, fnames, path, kwargs, img_cls, CategoryBlock(vocab=vocab),
                     splitter=chosen_splitter(splitter, valid_pct, seed), get_y=label_func, item_tfms=item_tfms, batch_tfms=batch_tfms)

    @classmethod
    def from_name_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                       seed: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       vocab: Sequence[Any] | None = None, splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by `label_func` of their name (a string, without the folder)."
        check_factory_keywords(cls.from_name_func, kwargs, _MORE)
        _check_callable(label_func, "from_name_func(label_func=...)")
        _try_on_name(label_func, fnames)
        return cls.from_path_func(path, fnames, _of_file_name(label_func), valid_pct, seed, item_tfms, batch_tfms, img_cls, vocab,
                                  splitter, **kwargs)

    @classmethod
    def from_path_re(cls, path: str | PathLike, fnames: Iterable[Any], pat: str, valid_pct: float | None = 0.2, seed: int | None = None,
                     item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       vocab: Sequence[Any] | None = None, splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by the first group of the regular expression `pat` in their path."
        check_factory_keywords(cls.from_path_re, kwargs, _MORE)
        return cls.from_path_func(path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, vocab,
                                  splitter, **kwargs)

    @classmethod
    def from_name_re(cls, path: str | PathLike, fnames: Iterable[Any], pat: str, valid_pct: float | None = 0.2, seed: int | None = None,
                     item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                       vocab: Sequence[Any] | None = None, splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        "The files `fnames`, labelled by the first group of the regular expression `pat` in their name."
        check_factory_keywords(cls.from_name_re, kwargs, _MORE)
        return cls.from_name_func(path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, vocab,
                                  splitter, **kwargs)

    @classmethod
    def from_df(cls, df: pd.DataFrame, path: str | PathLike = ".", valid_pct: float | None = 0.2, seed: int | None = None,
                fn_col: int | str = 0, folder: str | None = None, suff: str = "", label_col: int | str | Sequence[Any] = 1,
                label_delim: str | None = None, y_block: Any = None, valid_col: int | str | None = None, item_tfms: Any = None,
                batch_tfms: Any = None, img_cls: type[PILBase] = PILImage, vocab: Sequence[Any] | None = None,
                splitter: Callable | None = None, **kwargs: Any) -> ImageDataLoaders:
        """File names and labels in the columns of a DataFrame.

        fn_col, label_col: names or positions; several label columns make several targets (or one of several numbers with
        y_block=RegressionBlock). folder, suff: the file is `path/folder/name + suff`. label_delim: several labels in one column,
        separated by this. y_block: the block of the labels; default: a category (a number where the column holds fractions), or
        several with label_delim or several columns; several columns of zeros and ones are the classes themselves.
        valid_col: the column that says which rows are for validation.
        """
        check_factory_keywords(cls.from_df, kwargs, _MORE)
        df = as_frame(df, "ImageDataLoaders.from_df", "pd.DataFrame({'name': files, 'label': labels})")
        pref = Path(path).expanduser() / (folder or "")
        read_x = ColReader(fn_col, pref=pref, suff=suff)
        y_block = label_block(df, label_col, label_delim, vocab) if y_block is None else without_vocab(vocab, y_block)
        opens_files = getattr(img_cls.create, "__func__", None) is PILBase.create.__func__       # type: ignore[attr-defined]  # class methods
        if opens_files and kwargs.get("on_error") != "skip":
            first = df.head(5)
            check_named_files([read_x(first.iloc[i]) for i in range(len(first))], column_name(fn_col, df.columns), Path(path).expanduser())
        return _made(cls, df, path, kwargs, img_cls, y_block, get_x=read_x,
                     get_y=ColReader(label_col, label_delim=label_delim), item_tfms=item_tfms, batch_tfms=batch_tfms,
                     splitter=chosen_splitter(splitter, valid_pct, seed, valid_col))

    @classmethod
    def from_csv(cls, path: str | PathLike, csv_fname: str = "labels.csv", header: Any = "infer", delimiter: str | None = None,
                 valid_pct: float | None = 0.2, seed: int | None = None, fn_col: int | str = 0, folder: str | None = None, suff: str = "",
                 label_col: int | str | Sequence[Any] = 1, label_delim: str | None = None, y_block: Any = None,
                 valid_col: int | str | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                 vocab: Sequence[Any] | None = None, splitter: Callable | None = None, encoding: str | None = None, dtype: Any = None,
                 keep_default_na: bool = True, **kwargs: Any) -> ImageDataLoaders:
        """`from_df` of the file `path/csv_fname`; header, delimiter, encoding, dtype and keep_default_na as in `pandas.read_csv`.

        File names are read as text, as they stand: `00012` is not a number.
        """
        check_factory_keywords(cls.from_csv, kwargs, _MORE)
        file = Path(path).expanduser() / csv_fname
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r} with names and labels: from_csv(path, csv_fname='labels.csv') reads "
                                    "path/csv_fname")
        as_text = {fn_col: str} if dtype is None or (isinstance(dtype, dict) and fn_col not in dtype) else None
        df = read_csv(file, encoding, header=header, sep="," if delimiter is None else delimiter, dtype=dtype, converters=as_text,
                      keep_default_na=keep_default_na)
        return cls.from_df(df, path, valid_pct, seed, fn_col, folder, suff, label_col, label_delim, y_block, valid_col, item_tfms,
                           batch_tfms, img_cls, vocab, splitter, **kwargs)

    @classmethod
    def from_lists(cls, path: str | PathLike, fnames: Iterable[Any], labels: Iterable[Any], valid_pct: float | None = 0.2,
                   seed: int | None = None, y_block: Any = None, item_tfms: Any = None, batch_tfms: Any = None,
                   img_cls: type[PILBase] = PILImage, vocab: Sequence[Any] | None = None, splitter: Callable | None = None,
                   **kwargs: Any) -> ImageDataLoaders:
        """The files `fnames` and, in the same order, their `labels`.

        y_block: the block of the labels; default, by all of them: several categories if they are lists of text (or of whole numbers,
        not equally many), numbers to predict if they are floats or lists of numbers, else a category. Lists of zeros and ones are the
        classes of `vocab` themselves.
        """
        check_factory_keywords(cls.from_lists, kwargs, _MORE)
        files, targets = _in_order(fnames, "fnames"), _in_order(labels, "labels")
        if len(files) != len(targets):
            raise ValueError(f"from_lists: {plural(len(files), 'file name')}, but {plural(len(targets), 'label')}")
        return _made(cls, list(zip(files, targets, strict=True)), path, kwargs, img_cls,
                     guessed_block(targets, vocab) if y_block is None else without_vocab(vocab, y_block), get_x=itemgetter(0),
                     get_y=itemgetter(1), splitter=chosen_splitter(splitter, valid_pct, seed), item_tfms=item_tfms, batch_tfms=batch_tfms)


class SegmentationDataLoaders(DataLoaders):
    "`DataLoaders` of images and their masks."

    @classmethod
    def from_label_func(cls, path: str | PathLike, fnames: Iterable[Any], label_func: Callable[[Any], Any], valid_pct: float | None = 0.2,
                        seed: int | None = None, codes: Sequence[Any] | None = None, ignore_index: int | None = None,
                        item_tfms: Any = None, batch_tfms: Any = None, img_cls: type[PILBase] = PILImage,
                        values: Sequence[int] | None = None, nearest: bool = False, splitter: Callable | None = None,
                        **kwargs: Any) -> SegmentationDataLoaders:
        """The images `fnames`, whose masks are the files `label_func(fname)`.

        codes, ignore_index, values, nearest: see `MaskBlock`. splitter: instead of a random split.
        """
        check_factory_keywords(cls.from_label_func, kwargs, _MORE)
        _check_callable(label_func, "from_label_func(label_func=...)")
        return _made(cls, fnames, path, kwargs, img_cls, MaskBlock(codes, ignore_index, values, nearest),
                     splitter=chosen_splitter(splitter, valid_pct, seed), get_y=label_func, item_tfms=item_tfms, batch_tfms=batch_tfms)


def _in_order(values, name):
    "`values` as a list; a set or a dict, whose order is not that of anything else, is refused."
    if isinstance(values, (set, frozenset, dict)):
        raise TypeError(f"from_lists: {name} and the other list are matched by their order, and a {type(values).__name__} has none: give a "
                        "list")
    return list(values)
