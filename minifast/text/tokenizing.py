"""fastai's functions that tokenise lists, tables, CSV files and folders of texts; `TokenStore.of` is what they share."""
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ..core.arguments import listed_in_order
from ..core.checkpoint import save_json
from ..core.device import cpu_count
from ..core.items import L
from ..core.paths import Path
from ..core.types import PathLike
from ..data.files import get_files, get_text_files
from .chunks import tokenized_chunks
from .identity import identity_of
from .text_sources import FileTexts, TableTexts, columns_of, texts_of
from .token_store import TokenStore
from .tokenizers import Rules, Splits, TokenizeWithRules, refuse_not_taken
from .words import WordTokenizer


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
