"""Many texts at a time, by several processes, in bounded memory."""
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from ..core.device import cpu_count
from ..core.messages import add_note
from ..core.progress import progress_bar
from ..core.types import PathLike
from ..data.engine.processes import start_method
from .text_sources import Texts, texts_of
from .token_store import StoreWriter, TokenStore
from .tokenizers import Rules, Splits, TokenizeWithRules
from .words import WordTokenizer

#: A chunk that a process gets: so many characters, or so many texts, whichever comes first.
CHUNK_CHARACTERS, CHUNK_TEXTS = 1_000_000, 2000


def parallel_store(texts: Iterable[Any], tokenizer: Splits | None = None, rules: Rules | None = None, n_workers: int | None = None,
                   path: PathLike | None = None, progress: bool = True) -> TokenStore:
    """`TokenStore.of`.

    Args:
        texts: see there.
        tokenizer: see there.
        rules: see there.
        n_workers: see there.
        path: see there.
        progress: see there.
    """
    with_rules = tokenizer if isinstance(tokenizer, TokenizeWithRules) else \
        TokenizeWithRules(WordTokenizer() if tokenizer is None else tokenizer, rules)
    source: Any = texts_of(texts)
    writer = StoreWriter(path)
    try:
        done = _tokenized(source, with_rules, cpu_count() if n_workers is None else n_workers, writer)
        deque(progress_bar(done, total=len(source) if hasattr(getattr(source, "items", source), "__len__") else None) if progress else done,
              maxlen=0)
        return writer.close()
    except BaseException:
        writer.discard()
        raise


def _tokenized(source, with_rules, n_workers, writer):
    "Tokenise into `writer`; yields once for each text that is done."
    chunks, start = _chunks(source), 0
    head = list(islice(chunks, 2))                      # processes are not worth it for less
    results = _results(chunks, head, with_rules, n_workers if len(head) > 1 else 0)
    try:
        for tokens, ids, lengths in results:
            writer.add(tokens, ids, lengths)
            start += len(lengths)
            yield from [None] * len(lengths)
    except Exception as e:
        position = getattr(e, "position_in_chunk", None)
        if position is not None and isinstance(source, Texts):
            add_note(e, f"in {source.name(start + position)}")
        raise


def _results(chunks, head, with_rules, n_workers):
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


def _chunks(texts):
    "Lists of texts."
    chunk, size = [], 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size > CHUNK_CHARACTERS or len(chunk) >= CHUNK_TEXTS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


_with_rules: Any = None          # of a worker


def _begin(with_rules):
    global _with_rules
    _with_rules = with_rules


class _Ids(dict):
    def __missing__(self, token):
        self[token] = new = len(self)
        return new


def tokenize_chunk(texts: list[str], with_rules: TokenizeWithRules | None = None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts as ids.

    Args:
        texts: the texts.
        with_rules: the tokenizer; None: the one that this process was started with.

    Returns:
        The distinct tokens; the texts one after the other, each token by its place among them, int32; the number of tokens of each text.
    """
    ids, parts = _Ids(), []
    try:
        for tokens in (with_rules or _with_rules)(texts):
            parts.append(np.fromiter(map(ids.__getitem__, tokens), np.int32, len(tokens)))
    except Exception as e:
        e.position_in_chunk = len(parts)  # type: ignore[attr-defined]
        raise
    return list(ids), np.concatenate(parts), np.fromiter(map(len, parts), np.int32, len(parts))
