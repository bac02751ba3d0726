import json
import pickle
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from minifast.text import chunks, token_store
from minifast.text.rules import lowercase
from minifast.text.token_store import StoreWriter, TokenStore
from minifast.text.tokenizers import BaseTokenizer, TokenizeWithRules

TEXTS = ["a b a", "", "c 😀 e\u0301", "b b b b"]


def plain(texts, **kwargs):
    return TokenStore.of(texts, BaseTokenizer(), rules=[], progress=False, n_workers=kwargs.pop("n_workers", 0), **kwargs)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_holds_texts_lengths_and_counts(where, tmp_path):
    store = plain(TEXTS, path=None if where == "memory" else tmp_path / "new" / "store")
    assert [list(t) for t in store] == [t.split(" ") for t in TEXTS] and store.lengths.tolist() == [3, 1, 3, 4]
    assert store.counter() == {"a": 2, "b": 5, "": 1, "c": 1, "😀": 1, "e\u0301": 1} and store.tokens[:2] == ["a", "b"]
    assert store[[3, 0]].counter() == {"a": 2, "b": 5} and list(store.subset([2])[0]) == ["c", "😀", "e\u0301"]
    same = pickle.loads(pickle.dumps(store))
    assert [list(t) for t in same] == [list(t) for t in store]
    if where == "file":
        assert isinstance(same.flat, np.memmap) and len(pickle.dumps(store)) < 3000 and "4 texts" in repr(TokenStore.open(store.path))
        assert sorted(p.name for p in store.path.parent.iterdir()) == ["store.ids", "store.json"]


def test_counts_of_parts_that_do_not_lie_together(monkeypatch):
    monkeypatch.setattr(token_store, "_PIECE", 2)
    store = plain([f"t{i % 7} x" for i in range(50)])
    assert store[::2].counter()["x"] == 25 and store.counter()["t0"] == 8 and plain([]).counter() == {} and len(plain([])) == 0


def test_processes_give_what_one_gives(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 3)
    texts = [f"w{i % 5} w{i % 3} new{i}" for i in range(20)]
    one, two = plain(iter(texts)), plain(iter(texts), n_workers=2)
    assert one.tokens == two.tokens and np.array_equal(one.flat, two.flat) and np.array_equal(one.lengths, two.lengths)


def test_kept_in_a_file_and_never_stale(tmp_path, monkeypatch):
    calls, tokenize_chunk = [], chunks.tokenize_chunk
    monkeypatch.setattr(chunks, "tokenize_chunk", lambda *args: (calls.append(1), tokenize_chunk(*args))[1])

    def made(texts=TEXTS, rules=(str.strip,), split_char=" "):
        calls.clear()
        store = TokenStore.of(texts, BaseTokenizer(split_char), rules=list(rules), n_workers=0, path=tmp_path / "s", progress=False)
        assert [list(t) for t in store] == [rules[0](t).replace(" ", "▁").split("▁" if split_char == " " else split_char) for t in texts]
        return bool(calls)

    suffix = "!"
    assert made() and not made() and not made(pd.Series(TEXTS))
    assert made([*TEXTS[:3], "b b b"]) and made(["a b a", "c", *TEXTS[2:]]) and made() and not made()              # another content
    assert made(split_char="b") and made()
    assert made(rules=[lambda t: t + suffix]) and not made(rules=[lambda t: t + suffix])
    suffix = "?"
    assert made(rules=[lambda t: t + suffix])                               # the rule's own variable
    assert made(rules=[lambda t: t + "?"]) and made(rules=[lambda t: t + "-"])
    (tmp_path / "s.ids").write_bytes(b"1234")                               # damaged
    assert made(rules=[lambda t: t + "-"]) and not made(rules=[lambda t: t + "-"])


def test_another_version_tokenises_again(tmp_path, monkeypatch):
    import minifast
    store = plain(TEXTS, path=tmp_path / "s")
    old = json.loads(store.path.with_suffix(".json").read_text())["identity"]
    monkeypatch.setattr(minifast, "__version__", "99.0")
    plain(TEXTS, path=tmp_path / "s")
    assert json.loads(store.path.with_suffix(".json").read_text())["identity"] != old


def test_what_cannot_be_compared_is_tokenised_again(tmp_path):
    class Compiled:
        __slots__ = ("n",)

        def __call__(self, items):
            return (t.split() for t in items)

    for _ in range(2):
        store = TokenStore.of(TEXTS, Compiled(), rules=[], n_workers=0, path=tmp_path / "s", progress=False)
        assert json.loads(store.path.with_suffix(".json").read_text())["identity"] is None


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    plain(TEXTS, path=tmp_path / "s")
    plain(TEXTS, path=tmp_path / "t")
    (tmp_path / "s.ids").write_bytes((tmp_path / "t.ids").read_bytes())
    with pytest.raises(ValueError, match="remove both"):
        TokenStore.open(tmp_path / "s")
    for name in ("s.ids", "s.json"):                                        # what it says to do
        (tmp_path / name).unlink()
    assert len(plain(TEXTS, path=tmp_path / "s")) == 4


def test_an_interrupted_work_leaves_the_old_file(tmp_path):
    plain(TEXTS, path=tmp_path / "s")

    def texts():
        yield "x"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain(texts(), path=tmp_path / "s")
    assert len(TokenStore.open(tmp_path / "s")) == 4 and len(list(tmp_path.iterdir())) == 2


def test_a_rule_that_fails_names_the_text(monkeypatch):
    def rule(text):
        return text[:1] or 1 / 0

    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 2)
    texts = pd.Series(["a", "b", "c", ""], index=[10, 11, 12, "last"])
    for n_workers in (0, 2):
        with pytest.raises(ZeroDivisionError) as e:
            TokenStore.of(texts, rules=[rule], n_workers=n_workers, progress=False)
        assert "in row 'last'" in "".join(getattr(e.value, "__notes__", e.value.args))


def test_a_progress_bar_over_the_texts(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    TokenStore.of(TEXTS, n_workers=0)
    assert re.search(r"4/4", capsys.readouterr().out)


def test_a_writer_in_memory():
    writer = StoreWriter()
    writer.add(["a", "b"], np.array([0, 1, 1]), [2, 1])
    writer.add(["b", "c"], np.array([0, 1]), [2])
    store = writer.close()
    assert [list(t) for t in store] == [["a", "b"], ["b"], ["b", "c"]]
    writer.discard()


def test_with_rules_ready():
    ready = TokenizeWithRules(BaseTokenizer(), [lowercase], [])
    assert list(TokenStore.of(["A b"], ready, n_workers=0, progress=False)[0]) == ["xxbos", "a", "b"]


def test_memory_does_not_grow_with_the_corpus(monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 20)

    def peak(n):
        tracemalloc.start()
        try:
            plain((f"w{i % 9} " * 200 for i in range(n)), path=tmp_path / str(n))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(200) < 1.5 * peak(40)                     # in memory it would be five times as much


def test_texts_are_read_as_the_work_goes_on(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TEXTS", 2)
    read = []
    done = chunks.tokenized_chunks((read.append(i) or "a b" for i in range(100)), TokenizeWithRules(BaseTokenizer(), []), 1)
    next(done)
    assert len(read) < 12 and sum(len(c.lengths) for c in done) == 98
