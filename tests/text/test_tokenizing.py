from collections import Counter

import pandas as pd
import pytest

from minifast.text.token_store import TokenStore
from minifast.text.tokenizing import (
    load_tokenized_csv,
    parallel_tokenize,
    tokenize_csv,
    tokenize_df,
    tokenize_files,
    tokenize_folder,
    tokenize_texts,
)

TABLE = pd.DataFrame({"title": ["Hello World", "A b"], "body": ["Some TEXT here.\n\nx", "second, body 😀!"], "y": [1, 2]}, index=[5, 3])
BODIES = [["xxbos", "xxmaj", "some", "xxup", "text", "here", ".", "\n\n", "x"], ["xxbos", "second", ",", "body", "😀", "!"]]


def test_a_table():
    out, count = tokenize_df(TABLE, "body")
    assert out.columns.tolist() == ["title", "y", "text", "text_length"] and out.index.tolist() == [5, 3]
    assert out["text"].tolist() == BODIES and out["text_length"].tolist() == [9, 6]
    assert count == Counter(t for o in BODIES for t in o)
    out, _ = tokenize_df(TABLE, ["title", "body"], tok_text_col="toks")
    assert out["toks"][3][:8] == ["xxbos", "xxfld", "1", "a", "b", "xxfld", "2", "second"] and "toks_length" in out


def test_a_csv_file(tmp_path):
    TABLE.to_csv(tmp_path / "texts.csv", index=False)
    file = tokenize_csv(tmp_path / "texts.csv", "body", chunksize=1)
    assert file.name == "texts_tok.csv"
    out, count = load_tokenized_csv(file)
    assert out["text"].tolist() == BODIES and out["y"].tolist() == [1, 2] and count == Counter(t for o in BODIES for t in o)


def test_a_folder(tmp_path):
    for name, text in (("pos/a.txt", "Hello there."), ("b.txt", "X\ny")):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_text(text, encoding="utf-8")
    out = tokenize_folder(tmp_path / "t")
    assert out.name == "t_tok" and (out / "pos/a.txt").read_text(encoding="utf-8") == "xxbos xxmaj hello there ."
    assert [list(t) for t in TokenStore.open(out / "tokens")] == [["xxbos", "x", "\n", "y"], ["xxbos", "xxmaj", "hello", "there", "."]]
    (out / "b.txt").unlink()
    (out / "pos/a.txt").write_text("kept, for nothing changed")
    tokenize_folder(tmp_path / "t")
    assert (out / "b.txt").is_file() and "kept" in (out / "pos/a.txt").read_text()
    (tmp_path / "t/b.txt").write_text("new", encoding="utf-8")
    tokenize_folder(tmp_path / "t")
    assert (out / "b.txt").read_text() == "xxbos new" and "kept" not in (out / "pos/a.txt").read_text()
    with pytest.raises(ValueError, match="1 output_names for 2 files"):
        tokenize_files(["a", "b"], ".", tmp_path, output_names=["a"])


def test_texts_at_once_and_one_by_one():
    texts = ["Hello", "b"]
    assert list(tokenize_texts(texts)) == [["xxbos", "xxmaj", "hello"], ["xxbos", "b"]]
    assert list(parallel_tokenize(iter(texts))) == [(0, ["xxbos", "xxmaj", "hello"]), (1, ["xxbos", "b"])]
