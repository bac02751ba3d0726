"""`Tokenizer`: the transform from texts, files and rows of tables to tokens, and back; and fastai's functions that tokenise lists, tables,
CSV files and folders of texts, which share `TokenStore.of`."""
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any

import pandas as pd

from ..core.arguments import listed_in_order, refuse_class
from ..core.checkpoint import save_json
from ..core.device import cpu_count
from ..core.items import L
from ..core.messages import describe, shortened
from ..core.paths import Path
from ..core.titled import TitledStr
from ..core.types import PathLike
from ..data.files import get_files, get_text_files
from ..data.labels import column_names
from ..data.rows import Rows
from ..data.transforms import Transform
from .chunks import tokenized_chunks
from .identity import identity_of
from .rules import default_post_rules, default_rules
from .text_sources import SEVERAL_TEXTS, FileTexts, TableTexts, check_text, columns_of, joined_columns, read_text, texts_of
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


def _ready(tok, rules):
    return TokenizeWithRules(WordTokenizer() if tok is None else tok, rules)


def parallel_tokenize(items: Iterable[Any], tok: Splits | None = None, rules: Rules | None = None,
                      n_workers: int | None = None) -> Iterator[tuple[int, L]]:
    """Tokenise texts and give them one by one, with their numbers, so that they need not fit into memory.

    Args:
        items: texts, or paths of files.
        tok: what splits texts into tokens; default `WordTokenizer()`.
        rules: functions of a text that come before; default `defaults.text_proc_rules`.
        n_workers: processes; 0: this one. Default: as many as cores, where there is enough to do.
    """
    i = 0
    for tokens, ids, lengths in tokenized_chunks(texts_of(items), _ready(tok, rules), cpu_count() if n_workers is None else n_workers):
        start = 0
        for n in lengths.tolist():
            yield i, L(map(tokens.__getitem__, ids[start:start + n].tolist()), use_list=True)
            i, start = i + 1, start + n


def tokenize_texts(texts: Iterable[Any], n_workers: int | None = None, rules: Rules | None = None, tok: Splits | None = None) -> TokenStore:
    """The tokens of texts.

    Args:
        texts: the texts.
        n_workers: see `parallel_tokenize`.
        rules: see `parallel_tokenize`.
        tok: see `parallel_tokenize`.

    Returns:
        A sequence of an `L` of tokens for each text.
    """
    return TokenStore.of(texts, _ready(tok, rules), n_workers=n_workers)


def tokenize_df(df: pd.DataFrame, text_cols: Any, n_workers: int | None = None, rules: Rules | None = None, mark_fields: bool | None = None,
                tok: Splits | None = None, tok_text_col: str = "text") -> tuple[pd.DataFrame, Counter]:
    """The tokens of the texts in a table.

    Args:
        df: the table.
        text_cols: the column of the texts, or several.
        n_workers: see `parallel_tokenize`.
        rules: see `parallel_tokenize`.
        mark_fields: see `Tokenizer`.
        tok: see `parallel_tokenize`.
        tok_text_col: the new column of the tokens; the number of tokens goes into another, such as `text_length`.

    Returns:
        The table with the new columns instead of `text_cols`; how often each token occurs.
    """
    names = columns_of(df, text_cols)
    store = TokenStore.of(TableTexts(df, names, mark_fields), _ready(tok, rules), n_workers=n_workers)
    out = df.drop(columns=names)
    out[tok_text_col] = pd.Series(list(store), index=df.index, dtype=object)
    out[f"{tok_text_col}_length"] = store.lengths
    return out, store.counter()


def tokenize_csv(fname: PathLike, text_cols: Any, outname: PathLike | None = None, n_workers: int | None = None, rules: Rules | None = None,
                 mark_fields: bool | None = None, tok: Splits | None = None, header: Any = "infer", chunksize: int = 50000) -> Path:
    """The tokens of the texts in a CSV file, written to another one, of which `load_tokenized_csv` makes a table.

    Args:
        fname: the file.
        text_cols: the column of the texts, or several.
        outname: the file to write; default `NAME_tok.csv` beside it. How often each token occurs is written beside that, as JSON.
        n_workers: see `parallel_tokenize`.
        rules: see `parallel_tokenize`.
        mark_fields: see `Tokenizer`.
        tok: see `parallel_tokenize`.
        header: see `pandas.read_csv`.
        chunksize: rows that are in memory at a time.

    Returns:
        The file written.
    """
    fname = Path(fname)
    outname, count = Path(fname.with_name(f"{fname.stem}_tok.csv") if outname is None else outname), Counter[str]()
    for i, rows in enumerate(pd.read_csv(fname, header=header, chunksize=chunksize)):
        out, found = tokenize_df(rows, text_cols, n_workers, rules, mark_fields, tok)
        out["text"] = out["text"].str.join(" ")
        out.to_csv(outname, mode="a" if i else "w", header=not i, index=False, encoding="utf-8")
        count.update(found)
    save_json(count, _counts_of(outname))
    return outname


def load_tokenized_csv(fname: PathLike) -> tuple[pd.DataFrame, Counter]:
    """What `tokenize_csv` wrote.

    Args:
        fname: the file.

    Returns:
        The table, with an `L` of tokens for each text; how often each token occurs.
    """
    fname = Path(fname)
    out = pd.read_csv(fname, keep_default_na=False)
    out["text"] = pd.Series([L(t.split(" "), use_list=True) for t in out["text"]], index=out.index, dtype=object)
    return out, Counter(json.loads(_counts_of(fname).read_text(encoding="utf-8")))


def _counts_of(file):
    return file.with_name(f"{file.stem}_counts.json")


def tokenize_files(files: Sequence[PathLike], path: PathLike, output_dir: PathLike, output_names: Sequence[PathLike] | None = None,
                   n_workers: int | None = None, rules: Rules | None = None, tok: Splits | None = None, encoding: str = "utf-8",
                   **kwargs: Any) -> Path:
    """The tokens of text files, each written to a file with spaces between them.

    What is there already is written again only where the texts, the rules, the tokenizer or the names have changed.

    Args:
        files: the files.
        path: their folder.
        output_dir: the folder to write to. All tokens are also in `TokenStore.open(output_dir/'tokens')`.
        output_names: the files to write, within `output_dir`; default: where the files lie in `path`.
        n_workers: see `parallel_tokenize`.
        rules: see `parallel_tokenize`.
        tok: see `parallel_tokenize`.
        encoding: of the files.
        **kwargs: refused, see `refuse_not_taken`.

    Returns:
        `output_dir`.
    """
    refuse_not_taken("tokenize_files", kwargs)
    paths, path, output_dir, with_rules = [Path(f) for f in files], Path(path), Path(output_dir), _ready(tok, rules)
    names = [f.relative_to(path).as_posix() for f in paths] if output_names is None else \
        [str(n) for n in listed_in_order("tokenize_files", "output_names", output_names)]
    if len(names) != len(files):
        raise ValueError(f"tokenize_files: one name for each file is needed; received {len(names)} output_names for {len(files)} files")
    store = TokenStore.of(FileTexts(paths, encoding), with_rules, n_workers=n_workers, path=output_dir / "tokens")
    told, written = {"names": names, "content": store.content, "identity": identity_of(with_rules)}, output_dir / "written.json"
    is_same = written.is_file() and told["identity"] is not None and json.loads(written.read_text(encoding="utf-8")) == told
    missing = [i for i, name in enumerate(names) if not is_same or not (output_dir / name).is_file()]
    for folder in {(output_dir / names[i]).parent for i in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    for i in missing:
        with open(output_dir / names[i], "w", encoding="utf-8") as f:
            f.write(" ".join(store[i]))
    save_json(told, written)
    return output_dir


def tokenize_folder(path: PathLike, extensions: str | Iterable[str] | None = None, folders: Sequence[str] | None = None,
                    output_dir: PathLike | None = None, n_workers: int | None = None, rules: Rules | None = None, tok: Splits | None = None,
                    encoding: str = "utf-8", **kwargs: Any) -> Path:
    """`tokenize_files` of the text files in a folder and those below it.

    Args:
        path: the folder.
        extensions: endings of the files; default `.txt`.
        folders: only these folders of `path`.
        output_dir: the folder to write to; default `PATH_tok` beside it.
        n_workers: see `parallel_tokenize`.
        rules: see `parallel_tokenize`.
        tok: see `parallel_tokenize`.
        encoding: of the files.
        **kwargs: refused, see `refuse_not_taken`.

    Returns:
        `output_dir`.
    """
    refuse_not_taken("tokenize_folder", kwargs)
    path = Path(path)
    files = get_text_files(path, folders=folders) if extensions is None else get_files(path, extensions, folders=folders)
    output_dir = path.with_name(f"{path.name}_tok") if output_dir is None else Path(output_dir)
    return tokenize_files(files, path, output_dir, n_workers=n_workers, rules=rules, tok=tok, encoding=encoding)
