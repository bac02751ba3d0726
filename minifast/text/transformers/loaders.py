"""`TransformersDataLoaders`: from frames, CSV files and lists of texts to batches for a pretrained model, in one call."""
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ...core.paths import Path
from ...core.types import PathLike
from ...data.block import DataBlock, TransformBlock
from ...data.csv_files import read_csv
from ...data.factories import (
    check_columns_differ,
    check_factory_keywords,
    chosen_splitter,
    guessed_block,
    label_block,
    refuse_labels,
    without_vocab,
)
from ...data.labels import ColReader, column_name, column_names
from ...data.loaders import DataLoaders
from ...data.rows import as_frame
from .block import TokenTargetsBlock, TransformersBlock
from .encoding import Task
from .loader import TextReader
from .words import WordLabelsBlock

if TYPE_CHECKING:
    import pandas as pd


class TransformersDataLoaders(DataLoaders):
    """`DataLoaders` of texts for a pretrained model of `transformers`. Each `from_...` is a `DataBlock` written out.

    Further keyword arguments, such as bs, val_bs, shuffle and device, go to `DataBlock.dataloaders`.
    """

    @classmethod
    def from_df(cls, df: "pd.DataFrame", model: Any, text_col: Any = 0, label_col: Any = 1, valid_pct: float = 0.2, seed: int | None = None,
                valid_col: Any = None, label_delim: str | None = None, y_block: Any = None, vocab: Sequence[Any] | None = None,
                max_len: int | None = None, task: Task = "classify", splitter: Callable | None = None, path: PathLike = ".",
                **kwargs: Any) -> "TransformersDataLoaders":
        """Texts and labels in the columns of a frame.

        Args:
            df: the frame.
            model: the folder or name of the model, whose tokenizer is used; or a tokenizer.
            text_col: the column of the texts (its name or position), or a list of two: a pair of texts.
            label_col: the column of the labels, or several; not used by language models.
            valid_pct: this share of the rows is for validation.
            seed: of that split, which is the same each time unless another one is given.
            valid_col: the column that says which rows are for validation, instead.
            label_delim: several labels in one column, separated by this.
            y_block: the block of the labels; None: a number where the column holds fractions, several classes with label_delim or several
                columns of zeros and ones, else a class.
            vocab: the classes in their order; None: the sorted labels of the training rows.
            max_len: see `TransformersBlock`.
            task: see `TransformersBlock`.
            splitter: instead of a random split.
            path: a folder that belongs to the data: `dls.path`.
            **kwargs: for `DataBlock.dataloaders`, such as `bs=16`.
        """
        check_factory_keywords(cls.from_df, kwargs)
        df = as_frame(df, "TransformersDataLoaders.from_df", "TransformersDataLoaders.from_lists(texts, labels, model)")
        block = TransformersBlock(model, max_len, task)
        names = [column_name(c, df.columns) for c in column_names(text_col)]
        of_block: dict[str, Any] = {"splitter": chosen_splitter(splitter, valid_pct, seed, valid_col)}
        if task in ("mlm", "clm"):
            refuse_labels("TransformersDataLoaders.from_df", vocab=vocab, y_block=y_block, label_delim=label_delim)
            return cls._made(df, block, TokenTargetsBlock(block.type_tfms[0].tokenizer), path, kwargs, get_x=TextReader(names), **of_block)
        if y_block is None and label_delim is None and task != "words":
            check_columns_differ(df, names, label_col)
        if y_block is None:
            y_block = WordLabelsBlock(vocab) if task == "words" else label_block(df, label_col, label_delim, vocab)
        else:
            y_block = without_vocab(vocab, y_block)
        return cls._made(df, block, y_block, path, kwargs, get_x=TextReader(names), get_y=ColReader(label_col, label_delim=label_delim),
                         **of_block)

    @classmethod
    def from_csv(cls, csv: PathLike, model: Any, text_col: Any = 0, label_col: Any = 1, delimiter: str = ",", header: Any = "infer",
                 encoding: str | None = None, **kwargs: Any) -> "TransformersDataLoaders":
        """`from_df` of a CSV file.

        Args:
            csv: the file.
            model: see `from_df`.
            text_col: see `from_df`.
            label_col: see `from_df`.
            delimiter: between the columns.
            header: as in `pandas.read_csv`.
            encoding: of the file; None: UTF-8.
            **kwargs: other arguments of `from_df`.
        """
        file = Path(csv).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r}")
        kwargs.setdefault("path", file.parent)
        return cls.from_df(read_csv(file, encoding, sep=delimiter, header=header), model, text_col, label_col, **kwargs)

    @classmethod
    def from_lists(cls, texts: Sequence[Any], labels: Sequence[Any], model: Any, valid_pct: float = 0.2, seed: int | None = None,
                   y_block: Any = None, vocab: Sequence[Any] | None = None, max_len: int | None = None, task: Task = "classify",
                   splitter: Callable | None = None, path: PathLike = ".", **kwargs: Any) -> "TransformersDataLoaders":
        """Texts (or pairs, or lists of words) and, in the same order, their labels.

        Args:
            texts: the texts.
            labels: a class, a number or a list of classes for each; of words one list per text.
            model: see `from_df`.
            valid_pct: see `from_df`.
            seed: see `from_df`.
            y_block: the block of the labels; None: numbers where they are fractions, several classes where they are lists, else a class.
            vocab: see `from_df`.
            max_len: see `from_df`.
            task: see `from_df`.
            splitter: see `from_df`.
            path: see `from_df`.
            **kwargs: see `from_df`.
        """
        if len(texts) != len(labels):
            raise ValueError(f"{cls.__name__}.from_lists: {len(texts):,} texts, but {len(labels):,} labels")
        check_factory_keywords(cls.from_lists, kwargs)
        if y_block is None:
            y_block = WordLabelsBlock(vocab) if task == "words" else guessed_block(labels, vocab)
        return cls._made(list(zip(texts, labels, strict=True)), TransformersBlock(model, max_len, task), y_block, path, kwargs,
                         get_x=itemgetter(0), get_y=itemgetter(1), splitter=chosen_splitter(splitter, valid_pct, seed))

    @classmethod
    def _made(cls, source: Any, block: TransformBlock, y_block: Any, path: PathLike, kwargs: dict[str, Any],
              **of_block: Any) -> "TransformersDataLoaders":
        dls = DataBlock(blocks=(block, y_block), **of_block).dataloaders(source, path=path, **kwargs)
        return cls(*dls.loaders, path=dls.path)
