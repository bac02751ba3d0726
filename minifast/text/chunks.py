"""Texts tokenised by several processes, chunk by chunk, so that neither the texts nor their tokens need fit into memory."""
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from ..core.messages import add_note
from ..data.engine.processes import start_method
from .identity import add_content
from .text_sources import Texts
from .tokenizers import TokenizeWithRules

#: A chunk that a process gets: so many characters, or so many texts, whichever comes first.
CHUNK_CHARACTERS, CHUNK_TEXTS = 1_000_000, 2000


class Tokenized(NamedTuple):
    "Some texts as ids."

    tokens: list[str]           #: the tokens that occur
    ids: np.ndarray             #: the texts one after the other, each token by its place in `tokens`: int32
    lengths: np.ndarray         #: the number of tokens of each text: int32


def tokenized_chunks(texts: Iterable[str], with_rules: TokenizeWithRules, n_workers: int, digest: Any = None) -> Iterator[Tokenized]:
    """Texts as ids, some at a time, in their order.

    Args:
        texts: the texts.
        with_rules: the tokenizer.
        n_workers: processes; 0: this one, as for texts that make one chunk.
        digest: of `content_digest`; the texts are added to it.
    """
    chunks, done = _chunks(texts, digest), 0
    head = list(islice(chunks, 2))                      # processes are not worth it for less
    try:
        for result in _results(head, chunks, with_rules, n_workers if len(head) > 1 else 0):
            yield result
            done += len(result.lengths)
    except Exception as e:
        position = getattr(e, "position_in_chunk", None)
        if position is not None and isinstance(texts, Texts):
            add_note(e, f"in {texts.name(done + position)}")
        raise


def _results(head, chunks, with_rules, n_workers):
    "What `tokenize_chunk` makes of each chunk, in their order; at most a few are in memory."
    waiting = deque()
    if n_workers < 1:
        for part in (head, chunks):
            for chunk in part:
                yield tokenize_chunk(chunk, with_rules)
        return
    method = start_method(with_rules)[0]
    with ProcessPoolExecutor(n_workers, get_context(method), _begin, (with_rules,)) as pool:
        try:
            for part in (head, chunks):
                for chunk in part:
                    waiting.append(pool.submit(tokenize_chunk, chunk))
                    if len(waiting) > 2 * n_workers:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _chunks(texts, digest):
    "Lists of texts, which are added to `digest`."
    chunk, size = [], 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size > CHUNK_CHARACTERS or len(chunk) >= CHUNK_TEXTS:
            yield _added(chunk, digest)
            chunk, size = [], 0
    if chunk:
        yield _added(chunk, digest)


def _added(chunk, digest):
    if digest is not None:
        add_content(digest, chunk)
    return chunk


_with_rules: Any = None          # of a worker


def _begin(with_rules):
    global _with_rules
    signal.signal(signal.SIGINT, signal.SIG_IGN)            # Ctrl-C is the parent's: it ends its processes
    _with_rules = with_rules


class NewIds(dict):
    "`{token: id}`, where a token that is looked up for the first time gets the next id."

    def __missing__(self, token: str) -> int:
        self[token] = new = len(self)
        return new


def tokenize_chunk(texts: list[str], with_rules: TokenizeWithRules | None = None) -> Tokenized:
    """Texts as ids.

    Args:
        texts: the texts.
        with_rules: the tokenizer; None: the one that this process was started with.
    """
    ids, parts, rules = NewIds(), [], with_rules or _with_rules
    try:
        for found in rules.split(texts):
            tokens = found if isinstance(found, list) else list(found)
            parts.append(np.fromiter(map(ids.__getitem__, tokens), np.int32, len(tokens)))
    except Exception as e:
        e.position_in_chunk = len(parts)  # type: ignore[attr-defined]
        raise
    return Tokenized(list(map(rules.after, ids)), np.concatenate(parts), np.fromiter(map(len, parts), np.int32, len(parts)))
