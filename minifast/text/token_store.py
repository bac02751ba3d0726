"""Many tokenised texts in little memory: one array of ids, and each distinct token once."""
import json
import os
import secrets
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..core.checkpoint import clearing
from ..core.device import cpu_count
from ..core.items import L
from ..core.paths import Path
from ..core.progress import progress_bar
from ..core.types import PathLike
from .chunks import NewIds, Tokenized, tokenized_chunks
from .identity import add_content, content_digest, identity_of
from .text_sources import texts_of
from .tokenizers import TokenizeWithRules
from .words import WordTokenizer

_FORMAT = 1
#: Ids that are read at a time where a whole store is gone through.
_PIECE = 1 << 20


class TokenStore(Sequence):
    """Tokenised texts: `store[i]` is an `L` of tokens. The ids lie in one array of int32, in memory or in a file that is mapped.

    Made by `TokenStore.of(texts)`, `TokenStore.open(path)` or a `StoreWriter`.

    Args:
        tokens: the distinct tokens, in the order of their ids.
        flat: the ids of all texts, int32.
        starts: where each text begins in `flat`, int64.
        lengths: the number of tokens of each text, int64.
        path: the file that `flat` is mapped from; None: it is in memory.
        content: a digest of the texts; None: not known.
    """

    def __init__(self, tokens: Sequence[str], flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, path: PathLike | None = None,
                 content: str | None = None):
        self.tokens, self.flat, self.starts, self.lengths, self.path = tokens, flat, starts, lengths, path
        self.content = content
        self._counts: np.ndarray | None = None

    @classmethod
    def of(cls, texts: Iterable[Any], tokenizer: Any = None, rules: Sequence[Any] | None = None, n_workers: int | None = None,
           path: PathLike | None = None, progress: bool = True) -> "TokenStore":
        """Tokenise texts, several processes at a time.

        Args:
            texts: the texts; an iterator is read as the work goes on, so it may be larger than memory.
            tokenizer: what splits texts into tokens, default `WordTokenizer()`; or a `TokenizeWithRules`.
            rules: functions of a text that come before; default `defaults.text_proc_rules`.
            n_workers: processes; 0: this one. Default: as many as cores, where there is enough to do.
            path: a file to keep the result in; None: memory. Where it is there already, of the same texts, rules and tokenizer, the texts
                are only read and compared, unless they come from an iterator or the rules are code that cannot be compared.
            progress: show a progress bar.
        """
        with_rules = tokenizer if isinstance(tokenizer, TokenizeWithRules) else \
            TokenizeWithRules(WordTokenizer() if tokenizer is None else tokenizer, rules)
        n_workers = cpu_count() if n_workers is None else n_workers
        source: Any = texts_of(texts)
        identity = None if path is None else identity_of(with_rules)
        if identity is not None and (found := _kept(path, identity, source)) is not None:
            return found
        digest = None if identity is None else content_digest()
        total = len(source) if hasattr(getattr(source, "items", source), "__len__") else None
        writer = StoreWriter(path)
        try:
            done = writer.add_all(tokenized_chunks(source, with_rules, n_workers, digest))
            deque(progress_bar(done, total) if progress else done, maxlen=0)
            return writer.close(identity=identity, content=digest.hexdigest() if digest else None)
        except BaseException:
            writer.discard()
            raise

    @classmethod
    def open(cls, path: PathLike) -> "TokenStore":
        """The store in a file, mapped into memory: only what is looked at is read.

        Args:
            path: the file, with or without its ending `.ids`.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is damaged, or of another format.
        """
        ids, about = _files(path)
        told = _told(about)
        whole = np.memmap(ids, np.int32, "r")
        if not isinstance(told, dict) or told.get("format") != _FORMAT or len(whole) != told["ids"] + told["texts"] + 2 \
                or whole[-2:].tobytes().decode("latin-1") != told["stamp"]:
            raise ValueError(f"{ids} is not what {about.name} says of it: remove both, and tokenise the texts again")
        n_ids = told["ids"]
        starts, lengths = _placed(np.array(whole[n_ids:-2]))
        return cls(told["tokens"], whole[:n_ids], starts, lengths, ids, told.get("content"))

    def __len__(self) -> int:
        return len(self.lengths)

    def ids(self, i: int) -> np.ndarray:
        "The ids of text `i` in `tokens`: (T,), int32."
        start = self.starts[i]
        return self.flat[start:start + self.lengths[i]]

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, (slice, list, tuple, np.ndarray)):
            return self.subset(np.arange(len(self))[i])
        return L(map(self.tokens.__getitem__, self.ids(i).tolist()), use_list=True)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "TokenStore":
        "Some of the texts, in this order; the ids are shared, not copied."
        indices = np.asarray(indices, np.int64)
        return TokenStore(self.tokens, self.flat, self.starts[indices], self.lengths[indices], self.path)

    @property
    def counts(self) -> np.ndarray:
        "How often each of `tokens` occurs in these texts: int64."
        if self._counts is None:
            counts = np.zeros(len(self.tokens), np.int64)
            for piece in self._pieces():
                counts += np.bincount(piece, minlength=len(counts))
            self._counts = counts
        return self._counts

    def _pieces(self):
        "The ids of all texts, some at a time."
        ends = self.starts + self.lengths
        if np.array_equal(self.starts[1:], ends[:-1]):                  # all that lies between is of these texts
            first, last = (int(self.starts[0]), int(ends[-1])) if len(self) else (0, 0)
            for start in range(first, last, _PIECE):
                yield self.flat[start:min(start + _PIECE, last)]
            return
        found, size = [], 0
        for i in range(len(self)):
            found.append(self.ids(i))
            size += len(found[-1])
            if size > _PIECE or i == len(self) - 1:
                yield np.concatenate(found)
                found, size = [], 0

    def counter(self) -> Counter:
        "`{token: how often it occurs}` of the tokens that occur."
        counts = self.counts
        return Counter({self.tokens[i]: int(counts[i]) for i in np.flatnonzero(counts).tolist()})

    def __getstate__(self) -> dict[str, Any]:
        # a process gets the name of the file, not its content
        return vars(self) if self.path is None else {**vars(self), "flat": len(self.flat)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.path is not None:
            self.flat = np.memmap(self.path, np.int32, "r")[:state["flat"]]

    def __repr__(self) -> str:
        where = "" if self.path is None else f" in {self.path}"
        return f"TokenStore: {len(self):,} texts, {int(self.lengths.sum()):,} tokens, {len(self.tokens):,} different{where}"


class StoreWriter:
    """Collects tokenised texts, in memory or in a file, from which they never return to memory.

    Args:
        path: the file; None: memory.
    """

    def __init__(self, path: PathLike | None = None):
        self._known = NewIds()
        self._lengths, self._n_ids = array("i"), 0
        self._parts: list[np.ndarray] = []
        self._files = None if path is None else _files(path)
        self._out: Any = None
        self._stamp, self._held = secrets.token_hex(4), ExitStack()         # of the two files, which belong together
        if self._files is not None:
            folder = self._files[0].parent
            folder.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(clearing(folder, r".+\.[0-9a-f]{8}\.part"))
            self._out = self._held.enter_context(self._temporary(0).open("wb"))

    def add_all(self, chunks: Iterable[Tokenized]) -> Iterator[None]:
        "Add texts as they come; yields once for each."
        for chunk in chunks:
            self.add(*chunk)
            yield from [None] * len(chunk.lengths)

    def add(self, tokens: Sequence[str], ids: np.ndarray, lengths: Sequence[int] | np.ndarray) -> None:
        """Add texts.

        Args:
            tokens: the tokens that occur in these texts.
            ids: the texts one after the other, each token by its place in `tokens`.
            lengths: the number of tokens of each text.
        """
        table = np.fromiter(map(self._known.__getitem__, tokens), np.int32, len(tokens))
        ids = table[ids]
        self._n_ids += len(ids)
        self._lengths.frombytes(np.ascontiguousarray(lengths, np.intc).tobytes())
        if self._out is None:
            self._parts.append(ids)
        else:
            self._out.write(ids.tobytes())

    def close(self, **about: Any) -> TokenStore:
        """Finish.

        Args:
            **about: what else to note in the file, see `about_store`.

        Returns:
            The store, mapped where it is in a file.
        """
        tokens, lengths = list(self._known), np.frombuffer(self._lengths, np.intc).astype(np.int32)
        if self._out is None:
            flat = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int32)
            return TokenStore(tokens, flat, *_placed(lengths))
        with self._held:
            self._out.write(lengths.tobytes() + self._stamp.encode())
            self._out.close()
            with open(self._temporary(1), "w", encoding="utf-8") as f:
                json.dump({"format": _FORMAT, "stamp": self._stamp, **about, "texts": len(lengths), "ids": self._n_ids,
                           "tokens": tokens}, f)
            for i, file in enumerate(self._files):
                os.replace(self._temporary(i), file)
        return TokenStore.open(self._files[0])

    def discard(self) -> None:
        "Remove what was written: the work was interrupted."
        self._held.close()
        for i in range(2 if self._files else 0):
            self._temporary(i).unlink(missing_ok=True)

    def _temporary(self, i):
        file = self._files[i]
        return file.with_name(f"{file.name}.{self._stamp}.part")


def _told(about):
    with open(about, encoding="utf-8") as f:
        return json.load(f)


def _kept(path, identity, source):
    "The store in the file, if it is of these texts and of a tokenizer that does the same."
    ids, about = _files(path)
    items = getattr(source, "items", source)
    if iter(items) is items or not (ids.is_file() and about.is_file()):
        return None
    try:
        told = _told(about)
        if told.get("identity") != identity:
            return None
        digest = content_digest()
        add_content(digest, source)
        return TokenStore.open(ids) if told.get("content") == digest.hexdigest() else None
    except (ValueError, KeyError, AttributeError, OSError):             # damaged: it is made again, or the texts raise once more
        return None


def _files(path):
    "The file of the ids and the one that says what they mean."
    path = Path(path)
    ids = path if path.suffix == ".ids" else path.with_name(f"{path.name}.ids")
    return ids, ids.with_suffix(".json")


def _placed(lengths):
    "Where texts that lie one after the other begin, and their lengths."
    lengths = lengths.astype(np.int64)
    return np.cumsum(lengths) - lengths, lengths
