"""`TextBlock`: texts as inputs, or a language model's stream of them."""
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ..core.arguments import check_arguments, is_whole
from ..core.messages import brief, describe, listing
from ..core.types import PathLike
from ..data.block import TransformBlock
from ..data.labels import column_names
from .language_loader import LMDataLoader
from .padding import PAD_ID, Pad_Chunk
from .sorted_loader import SortedDL
from .special import PAD, UNK
from .subword import SubwordTokenizer
from .tensors import reverse_text
from .tokenizer import Tokenizer
from .tokenizers import BaseTokenizer, TokenizeWithRules
from .vocabulary import Numericalize
from .words import WordTokenizer


class TextBlock(TransformBlock):
    """Texts: tokenised, all at once, then numbers for the tokens.

    Args:
        tok_tfm: the `Tokenizer`.
        vocab: the tokens in the order of their ids, for a classifier those of its language model, `vocab=dls_lm.vocab`; None: those of the
            training texts.
        is_lm: for a language model, whose loader joins all texts (`LMDataLoader`); else length buckets (`SortedDL`) of padded texts.
        seq_len: of a language model, tokens per row of a batch; else texts are padded in chunks of this many tokens.
        backwards: read texts from their end.
        min_freq: how often a token must occur in the training texts to be in the vocabulary.
        max_vocab: how many tokens the vocabulary may have.
        max_len: of longer texts the first `max_len` tokens are kept, which `Pad_Chunk` counts and reports; None: nothing is cut.
        getter: see `TransformBlock`.
    """

    def __init__(self, tok_tfm: Any, vocab: Sequence[str] | None = None, is_lm: bool = False, seq_len: int = 72, backwards: bool = False,
                 min_freq: int = 3, max_vocab: int = 60000, max_len: int | None = None, getter: Callable | None = None):
        check_arguments("TextBlock", seq_len=(seq_len, is_whole(seq_len), "a whole number of tokens, at least 1"),
                        max_len=(max_len, max_len is None or (is_whole(max_len) and not is_lm),
                                 "of a classifier, a whole number of tokens, at least 1; a language model reads all of a text"))
        if isinstance(tok_tfm, (BaseTokenizer, WordTokenizer, SubwordTokenizer, TokenizeWithRules)):
            raise TypeError(f"TextBlock takes a Tokenizer, which turns each item into tokens; {type(tok_tfm).__name__} splits several "
                            f"texts: write TextBlock(Tokenizer({type(tok_tfm).__name__}()))")
        numericalize = Numericalize(vocab, min_freq, max_vocab)
        if vocab is not None and (UNK not in numericalize.o2i or numericalize.o2i.get(PAD) != PAD_ID):
            raise ValueError(f"TextBlock(vocab=...): unknown words and padding need tokens of their own, {UNK!r} anywhere in it "
                             f"and {PAD!r} at position {PAD_ID}; received {describe(list(vocab))}. Write "
                             "vocab=[*TEXT_SPEC_TOK, *(t for t in vocab if t not in TEXT_SPEC_TOK)]")
        tfms = [tok_tfm, numericalize, *([reverse_text] if backwards else [])]
        super().__init__(type_tfms=tfms, dl_type=LMDataLoader if is_lm else SortedDL, getter=getter,
                         dls_kwargs={"seq_len": seq_len} if is_lm else {"before_batch": [Pad_Chunk(seq_len=seq_len, max_len=max_len)]})

    @classmethod
    def from_df(cls, text_cols: Any, vocab: Sequence[str] | None = None, is_lm: bool = False, seq_len: int = 72, backwards: bool = False,
                min_freq: int = 3, max_vocab: int = 60000, max_len: int | None = None, tok_text_col: str = "text",
                **kwargs: Any) -> "TextBlock":
        """Texts in one or more columns of a table, which the block reads itself: `get_x` may be left out.

        Args:
            text_cols: the column, or several, each of which then begins with `xxfld` and its number.
            vocab: see `TextBlock`.
            is_lm: see `TextBlock`.
            seq_len: see `TextBlock`.
            backwards: see `TextBlock`.
            min_freq: see `TextBlock`.
            max_vocab: see `TextBlock`.
            max_len: see `TextBlock`.
            tok_text_col: what fastai calls the tokens of a row: `get_x=ColReader('text')` means the block's own columns.
            **kwargs: other arguments of `Tokenizer.from_df`, such as `tok=`, `rules=` and `n_workers=`.
        """
        return cls(Tokenizer.from_df(text_cols, **kwargs), vocab, is_lm, seq_len, backwards, min_freq, max_vocab, max_len,
                   _ReadsItself(text_cols, tok_text_col))

    @classmethod
    def from_folder(cls, path: PathLike, vocab: Sequence[str] | None = None, is_lm: bool = False, seq_len: int = 72,
                    backwards: bool = False, min_freq: int = 3, max_vocab: int = 60000, max_len: int | None = None,
                    **kwargs: Any) -> "TextBlock":
        """Texts in files, the items: `get_items=get_text_files`.

        Args:
            path: the folder that they are in.
            vocab: see `TextBlock`.
            is_lm: see `TextBlock`.
            seq_len: see `TextBlock`.
            backwards: see `TextBlock`.
            min_freq: see `TextBlock`.
            max_vocab: see `TextBlock`.
            max_len: see `TextBlock`.
            **kwargs: other arguments of `Tokenizer.from_folder`, such as `tok=`, `rules=`, `encoding=` and `n_workers=`.
        """
        return cls(Tokenizer.from_folder(path, **kwargs), vocab, is_lm, seq_len, backwards, min_freq, max_vocab, max_len)


class _ReadsItself:
    "The getter of a block that reads columns of the rows itself: none. `get_x=ColReader('text')`, as fastai needs it, says the same."

    def __init__(self, text_cols, tok_text_col):
        self.text_cols, self.tok_text_col = column_names(text_cols), tok_text_col

    def __call__(self, given):
        if given is None or self._is_the_text(given):
            return
        own = listing(map(repr, self.text_cols))
        raise TypeError(f"TextBlock.from_df reads {own} of each row itself, so that {brief(given)} would change nothing: leave it out. "
                        "If it makes the text, write TextBlock(Tokenizer()) instead, which takes what it gives")

    def _is_the_text(self, given):
        text = object()
        names = [self.tok_text_col, *(self.text_cols if len(self.text_cols) == 1 else ())]
        try:
            return given(pd.Series(dict.fromkeys(names, text), dtype=object)) is text
        except Exception:                   # whatever a function of the user's raises for such a row: it reads something else
            return False
