"""`TextDataLoaders`: from folders, tables and CSV files to batches of texts, in one call."""
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..core.messages import add_note
from ..core.paths import Path
from ..data.block import CategoryBlock, DataBlock
from ..data.csv_files import read_csv
from ..data.factories import check_columns_differ, check_factory_keywords, chosen_splitter, label_block, refuse_labels, without_vocab
from ..data.files import get_text_files
from ..data.labels import ColReader, column_name, column_names, parent_label
from ..data.loaders import DataLoaders
from ..data.rows import as_frame
from ..data.splitters import GrandparentSplitter
from .block import TextBlock
from .vocabulary import Vocab

if TYPE_CHECKING:
    import pandas as pd

_MORE = ("min_freq", "max_vocab", "max_len", "rules", "n_workers", "encoding", "cache")      # besides those in the signatures


class TextDataLoaders(DataLoaders):
    """`DataLoaders` of texts: for a language model, `is_lm=True`, or a classifier.

    All take min_freq, max_vocab and max_len (see `TextBlock`), rules, n_workers and cache (see `Tokenizer`); further keyword arguments,
    such as bs, val_bs, shuffle and device, go to `DataBlock.dataloaders`. text_vocab: the tokens, for a classifier those of its language
    model, `dls_lm.vocab`. tok_tfm: what splits texts, such as `SubwordTokenizer()`. seq_len: tokens per row of a language model; texts of a
    classifier are padded by pieces of so many. seed: of a random split, the same each time unless another one is given. splitter: instead
    of a random split.
    """

    @classmethod
    def from_folder(cls, path: str | PathLike, train: str = "train", valid: str = "valid", valid_pct: float | None = None,
                    seed: int | None = None, vocab: Sequence[Any] | None = None, text_vocab: Sequence[str] | None = None,
                    is_lm: bool = False, tok_tfm: Any = None, seq_len: int = 72, splitter: Callable | None = None, backwards: bool = False,
                    **kwargs: Any) -> "TextDataLoaders":
        """Text files in one folder per class: `path/train/pos/1.txt`, `path/valid/neg/2.txt`.

        valid_pct: split at random instead, with the classes anywhere below `path`; so they may be with a splitter. vocab: the classes.
        """
        check_factory_keywords(cls.from_folder, kwargs, _MORE)
        _check_vocab(vocab)
        if is_lm:
            refuse_labels("TextDataLoaders.from_folder", vocab=vocab)
        by_folder = valid_pct is None and splitter is None
        try:
            files = get_text_files(path, folders=[train, valid] if by_folder else None)
        except FileNotFoundError as e:
            if by_folder and Path(path).expanduser().is_dir():
                add_note(e, "Where the folders of the classes lie directly in the folder, write from_folder(path, valid_pct=0.2); "
                            "where the folder for validation has another name, say it, valid='test' for instance")
            raise
        by_name = GrandparentSplitter(train_name=train, valid_name=valid) if by_folder else splitter
        x_block = partial(TextBlock.from_folder, path)
        return cls._made(files, path, kwargs, x_block, None if is_lm else CategoryBlock(vocab=vocab), tok_tfm, text_vocab, is_lm, seq_len,
                         backwards, splitter=chosen_splitter(by_name, valid_pct, seed), get_y=None if is_lm else parent_label)

    @classmethod
    def from_df(cls, df: "pd.DataFrame", path: str | PathLike = ".", valid_pct: float | None = 0.2, seed: int | None = None,
                text_col: Any = 0, label_col: Any = 1, label_delim: str | None = None, y_block: Any = None,
                text_vocab: Sequence[str] | None = None, is_lm: bool = False, valid_col: Any = None, tok_tfm: Any = None,
                tok_text_col: str = "text", seq_len: int = 72, backwards: bool = False, vocab: Sequence[Any] | None = None,
                splitter: Callable | None = None, **kwargs: Any) -> "TextDataLoaders":
        """Texts and labels in the columns of a DataFrame.

        text_col, label_col: names or positions; several columns of texts are joined, each with `xxfld` and its number before it; several
        label columns make several labels (or numbers with y_block=RegressionBlock). label_delim: several labels in one column, separated
        by this. y_block: the block of the labels; default: a category (a number where the column holds fractions), or several.
        valid_col: the column that says which rows are for validation. vocab: the classes. tok_text_col: of no effect.
        """
        check_factory_keywords(cls.from_df, kwargs, _MORE)
        df = as_frame(df, "TextDataLoaders.from_df", "pd.DataFrame({'text': texts, 'label': labels})")
        columns = [column_name(c, df.columns) for c in column_names(text_col)]
        _check_vocab(vocab)
        if is_lm:
            refuse_labels("TextDataLoaders.from_df", vocab=vocab, y_block=y_block, label_delim=label_delim)
        else:
            if y_block is None and label_delim is None:
                check_columns_differ(df, columns, label_col)
            y_block = label_block(df, label_col, label_delim, vocab) if y_block is None else without_vocab(vocab, y_block)
        x_block = partial(TextBlock.from_df, columns if len(columns) > 1 else columns[0])
        return cls._made(df, path, kwargs, x_block, None if is_lm else y_block, tok_tfm, text_vocab, is_lm, seq_len, backwards,
                         splitter=chosen_splitter(splitter, valid_pct, seed, valid_col),
                         get_y=None if is_lm else ColReader(label_col, label_delim=label_delim))

    @classmethod
    def from_csv(cls, path: str | PathLike, csv_fname: str = "labels.csv", header: Any = "infer", delimiter: str | None = None,
                 quoting: int = 0, encoding: str | None = None, dtype: Any = None, keep_default_na: bool = True,
                 **kwargs: Any) -> "TextDataLoaders":
        """`from_df` of the file `path/csv_fname`; header, delimiter, quoting, encoding, dtype and keep_default_na as in `pandas.read_csv`.

        kwargs: other arguments of `from_df`.
        """
        file = Path(path).expanduser() / csv_fname
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r} with texts and labels: from_csv(path, csv_fname='labels.csv') reads "
                                    "path/csv_fname")
        df = read_csv(file, encoding, header=header, sep="," if delimiter is None else delimiter, quoting=quoting, dtype=dtype,
                      keep_default_na=keep_default_na)
        return cls.from_df(df, path=path, **kwargs)

    @classmethod
    def _made(cls, source, path, kwargs, x_block, y_block, tok_tfm, text_vocab, is_lm, seq_len, backwards, **of_block):
        "Loaders from a `DataBlock` of texts and this block; kwargs are for `DataBlock.dataloaders`, but for those of `TextBlock`."
        of_text = {k: kwargs.pop(k) for k in _MORE if k in kwargs}
        block = x_block(vocab=text_vocab, is_lm=is_lm, seq_len=seq_len, backwards=backwards, tok=tok_tfm, **of_text)
        y_blocks = y_block if isinstance(y_block, (list, tuple)) else [] if y_block is None else [y_block]
        dls = DataBlock(blocks=[block, *y_blocks], n_inp=1, **of_block).dataloaders(source, path=path, **kwargs)
        return cls(*dls.loaders, path=dls.path)


def _check_vocab(vocab: Any) -> None:
    "Refuse the tokens of a language model as classes."
    if isinstance(vocab, Vocab):
        raise TypeError("vocab= are the classes of the labels, and these are the tokens of texts: write text_vocab=dls_lm.vocab")
