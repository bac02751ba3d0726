import re

import numpy as np
import pandas as pd
import pytest

from minifast.core.paths import Path
from minifast.text.text_sources import check_text, columns_of, read_text, texts_of

TABLE = pd.DataFrame({"title": ["A", "B"], "body": ["x y", "z"], "n": [1, 2.5]}, index=["first", "last"])


@pytest.mark.parametrize("cols, mark, expected", [
    ("body", None, ["x y", "z"]), (["title", "body"], None, ["xxfld 1 A xxfld 2 x y", "xxfld 1 B xxfld 2 z"]),
    ("body", True, ["xxfld 1 x y", "xxfld 1 z"]), (["title", "body"], False, ["A x y", "B z"])])
def test_columns(cols, mark, expected):
    assert list(texts_of(TABLE, cols, mark)) == expected


def test_lists_series_and_iterators():
    assert list(texts_of(["a", "😀"])) == ["a", "😀"] and list(texts_of(TABLE["body"])) == ["x y", "z"]
    assert list(texts_of(o for o in "ab")) == ["a", "b"] and list(texts_of(np.array(["a"]))) == ["a"]
    with pytest.raises(TypeError, match=re.escape("write [text]")):
        texts_of("a text")


@pytest.mark.parametrize("value, error, advice", [
    (np.nan, ValueError, "df['body'].fillna('')"), (None, ValueError, "df['body'].dropna()"), (3.5, TypeError, "df['body'].astype(str)"),
    (b"ab", TypeError, "df['body'].str.decode('utf-8')"), (["a"], TypeError, "df['body'].str.join(' ')")])
def test_what_is_no_text_is_named_by_row_with_what_to_write(value, error, advice):
    df = pd.DataFrame({"body": pd.Series(["a", value], dtype=object)})
    df.index = [7, 12]
    with pytest.raises(error, match=re.escape(advice)) as e:
        list(texts_of(df, "body"))
    assert "row 12, column 'body'," in str(e.value)
    df = df[1:].copy() if isinstance(value, (bytes, list)) else df
    df["body"] = eval(advice, {"df": df})
    assert all(isinstance(t, str) for t in texts_of(df.dropna(), "body"))


@pytest.mark.parametrize("text, advice", [(None, "''"), (3, "str(text)"), (b"a", "text.decode('utf-8')"), (["a"], "' '.join(text)")])
def test_in_a_list(text, advice):
    with pytest.raises((ValueError, TypeError), match=re.escape(f"write {advice}")) as e:
        list(texts_of(["a", text]))
    assert "text 1" in str(e.value) and check_text(eval(advice, {"text": text}), "it") in ("", "3", "a")


def test_a_column_that_is_not_there():
    with pytest.raises(KeyError, match="did you mean 'body'"):
        columns_of(TABLE, "boddy")
    with pytest.raises(KeyError, match="text_cols="):
        texts_of(TABLE)
    assert columns_of(TABLE.iloc[0], ["title", "body"]) == ["title", "body"]


def test_files_are_utf8_whatever_begins_them(tmp_path):
    for name, data in (("plain", "é😀e\u0301".encode()), ("bom", "é😀e\u0301".encode("utf-8-sig")), ("lines", b"a\r\nb\rc")):
        (tmp_path / name).write_bytes(data)
    files = [Path(tmp_path / n) for n in ("plain", "bom", "lines")]
    assert list(texts_of(files)) == ["é😀e\u0301"] * 2 + ["a\nb\nc"] and texts_of(files).name(1) == str(files[1])


@pytest.mark.parametrize("encoding, advice", [("cp1252", "cp1252"), ("utf-16", "utf-16")])
def test_another_encoding_is_named_with_what_to_write(tmp_path, encoding, advice):
    file = tmp_path / "a.txt"
    file.write_bytes("Café - schön".encode(encoding))
    with pytest.raises(ValueError, match=f"encoding='{advice}'") as e:
        read_text(file)
    assert "a.txt" in str(e.value) and read_text(file, encoding=advice) == "Café - schön"
    assert list(texts_of([Path(file)], encoding=advice)) == ["Café - schön"]
