"""`Tokenizer`: the transform from texts, files and rows of tables to tokens, and back."""
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any

from ..core.arguments import refuse_class
from ..core.items import L
from ..core.messages import describe, shortened
from ..core.titled import TitledStr
from ..core.types import PathLike
from ..data.labels import column_names
from ..data.rows import Rows
from ..data.transforms import Transform
from .rules import default_post_rules, default_rules
from .text_sources import SEVERAL_TEXTS, check_text, columns_of, joined_columns, read_text, texts_of
from .token_store import TokenStore
from .tokenizers import Rules, Splits, TokenizeWithRules, refuse_not_taken
from .words import WordTokenizer


class Tokenizer(Transform):
    """A text (or the file that it is in) to its tokens; a list of tokens passes as it is.

    Args:
        tok: what splits texts, such as `WordTokenizer()` or `SubwordTokenizer()`; default the former.
        rules: functions of a text that come before, in their order; default `defaults.text_proc_rules`. `[]`: none.
        sep: what stands between tokens when they are shown as a text.
        post_rules: functions of a token that come after; default `defaults.text_postproc_rules`.
        text_cols: the column of the texts, or several, where the items are rows of a table.
        mark_fields: put `xxfld` and its number before the text of each column; default: where there are several.
        encoding: of files.
        n_workers: processes for `tokenize`; see `TokenStore.of`.
        cache: see `tokenize`.
    """

    def __init__(self, tok: Splits | None = None, rules: Rules | None = None, sep: str = " ", post_rules: Rules | None = None,
                 text_cols: Any = None, mark_fields: bool | None = None, encoding: str = "utf-8", n_workers: int | None = None,
                 cache: PathLike | None = None):
        super().__init__()
        refuse_class("Tokenizer(tok=...)", tok)
        _check_tok(tok)
        self.tok = WordTokenizer() if tok is None else tok
        self.rules = default_rules() if rules is None else list(rules)
        self.post_rules = default_post_rules() if post_rules is None else list(post_rules)
        self.sep, self.text_cols, self.mark_fields, self.encoding = sep, text_cols, mark_fields, encoding
        self.n_workers, self.cache = n_workers, cache

    @classmethod
    def from_df(cls, text_cols: Any, tok: Splits | None = None, rules: Rules | None = None, sep: str = " ",
                mark_fields: bool | None = None, n_workers: int | None = None, **kwargs: Any) -> "Tokenizer":
        """For items that are rows of a table.

        Args:
            text_cols: the column of the texts, or several.
            tok: see `Tokenizer`.
            rules: see `Tokenizer`.
            sep: see `Tokenizer`.
            mark_fields: see `Tokenizer`.
            n_workers: see `Tokenizer`.
            **kwargs: the other arguments of `Tokenizer`.
        """
        return cls(tok, rules, sep, text_cols=text_cols, mark_fields=mark_fields, n_workers=n_workers, **kwargs)

    @classmethod
    def from_folder(cls, path: PathLike | None = None, tok: Splits | None = None, rules: Rules | None = None, sep: str = " ",
                    encoding: str = "utf-8", n_workers: int | None = None, **kwargs: Any) -> "Tokenizer":
        """For items that are text files.

        Args:
            path: their folder; it is not looked at: what is tokenised are the items.
            tok: see `Tokenizer`.
            rules: see `Tokenizer`.
            sep: see `Tokenizer`.
            encoding: of the files.
            n_workers: see `Tokenizer`.
            **kwargs: post_rules and cache of `Tokenizer`; others are refused, see `refuse_not_taken`.
        """
        refuse_not_taken("Tokenizer.from_folder", {k: v for k, v in kwargs.items() if k not in ("post_rules", "cache")})
        return cls(tok, rules, sep, encoding=encoding, n_workers=n_workers, **kwargs)

    @property
    def with_rules(self) -> TokenizeWithRules:
        "The tokenizer with its rules."
        return TokenizeWithRules(self.tok, self.rules, self.post_rules)

    def setups(self, items: Any) -> None:
        """Let a tokenizer that learns, such as a `SubwordTokenizer`, learn from the training items.

        Args:
            items: texts, files, or rows of a table.
        """
        learn = getattr(self.tok, "setup", None)
        if learn is not None:
            learn(self.texts_of(items), self.rules)

    def texts_of(self, items: Any) -> Iterable[str]:
        """The texts of items, read as they are asked for; a value that is not a text is reported when it is reached.

        Args:
            items: texts, files, or a table.
        """
        return texts_of(items.source if isinstance(items, Rows) else items, self.text_cols, self.mark_fields, self.encoding)

    def tokenize(self, items: Any, progress: bool = True, path: PathLike | None = None) -> TokenStore:
        """The tokens of all items, by several processes.

        Args:
            items: texts, files, or a table.
            progress: show a progress bar.
            path: a file to keep the result in, and to take it from where texts, rules and tokenizer are the same; default `cache`.
        """
        return TokenStore.of(self.texts_of(items), self.with_rules, n_workers=self.n_workers, progress=progress,
                             path=self.cache if path is None else path)

    def encode_ahead(self, items: Any) -> TokenStore | None:
        """The tokens of all items of a dataset, before they are asked for; None where they are lists of tokens already.

        Args:
            items: as for `tokenize`.
        """
        return None if isinstance(items[0], (list, tuple)) else self.tokenize(items)

    def encodes(self, o: Any) -> L:
        """The tokens of an item.

        Args:
            o: a text, the path of a file, a row of a table; or a list of tokens.
        """
        if isinstance(o, PurePath):
            o = read_text(o, self.encoding)
        elif hasattr(o, "iloc"):
            if o.ndim > 1 or (isinstance(o.name, str) and o.name not in o.index and o.name in column_names(self.text_cols or "text")):
                raise TypeError(f"one text is expected; received {'a table' if o.ndim > 1 else 'a column'} of {len(o):,}: {SEVERAL_TEXTS}")
            o = joined_columns(o, columns_of(o, self.text_cols), self.mark_fields)
        elif isinstance(o, (list, tuple)) and all(isinstance(t, str) for t in o):
            text = next((t for t in o if " " in t and " " in t.strip()), None)
            if text is not None:
                raise ValueError(f"a list is taken for the tokens of one text, and {shortened(text)!r} has spaces within: {SEVERAL_TEXTS}. "
                                 "In tokens '▁' stands for a space")
            return o if isinstance(o, L) else L(o, use_list=True)
        return next(iter(self.with_rules([check_text(o, "an item")])))

    def decodes(self, o: Sequence[str]) -> TitledStr:
        """Tokens as one text that shows itself.

        Args:
            o: the tokens.
        """
        decode = getattr(self.tok, "decode", None)
        return TitledStr(self.sep.join(o) if decode is None else decode(o))


def _check_tok(tok: Any) -> None:
    "Refuse what does not split several texts into tokens."
    if isinstance(tok, Transform):
        raise TypeError("Tokenizer(tok=...) takes what splits texts, such as WordTokenizer() or SubwordTokenizer(); received the "
                        f"transform {type(tok).__name__}: write tok=tokenizer.tok, rules=tokenizer.rules")
    if not isinstance(tok, (FunctionType, BuiltinFunctionType, MethodDescriptorType)):
        return
    try:
        tokens = next(iter(tok(iter(["one text"]))))
        good = not isinstance(tokens, str) and all(isinstance(t, str) for t in tokens)
    except Exception:                       # whatever a function of one text raises where it gets several
        good = False
    if not good:
        raise TypeError(f"Tokenizer(tok=f) takes a function of several texts that gives the tokens of each; f={describe(tok)} does not. "
                        "If it takes one text, write tok=lambda texts: (f(t) for t in texts)")
