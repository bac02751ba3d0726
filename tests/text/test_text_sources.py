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


@pytest.mark.parametrize("value", [np.nan, None, 3.5, b"ab", ["a", "b"], ("a", "b")])
@pytest.mark.parametrize("is_series", [False, True])
def test_what_is_no_text_is_named_by_row_with_what_to_write(value, is_series):
    df = pd.DataFrame({"body": pd.Series(["x y", value, "z"], [7, 12, 13], dtype=object)})
    texts = df["body"]
    with pytest.raises((ValueError, TypeError)) as e:
        list(texts_of(texts if is_series else df, "body"))
    said = str(e.value)
    assert "row 12, column 'body'," in said and ("df[" in said) is not is_series
    for write in re.findall(r"(?:write |out, |empty, )((?:df|texts).*?)(?=, or take|$)", said):
        made = {"df": df.copy(), "texts": texts.copy()}
        exec(write, made)
        found = list(texts_of(made["texts"] if is_series else made["df"], "body"))
        assert found[0] == "x y" and found[-1] == "z" and found[1] in ("", "z", "3.5", "ab", "a b")


@pytest.mark.parametrize("text, advice", [(None, "''"), (3, "str(text)"), (b"a", "text.decode('utf-8')"), (["a"], "' '.join(text)")])
def test_in_a_list(text, advice):
    with pytest.raises((ValueError, TypeError), match=re.escape(f"write {advice}")) as e:
        list(texts_of(["a", text]))
    assert "text 1" in str(e.value)
    assert check_text(eval(advice, {"text": text}), "it") in ("", "3", "a")


def test_what_nobody_can_make_a_text_of_gets_no_advice_of_digits():
    with pytest.raises(TypeError, match=r"text 0 is dict of text=str 'a', not a text: give the text itself, a str"):
        list(texts_of([{"text": "a"}]))


def test_a_column_that_is_not_there():
    with pytest.raises(KeyError, match="did you mean 'body'"):
        columns_of(TABLE, "boddy")
    with pytest.raises(KeyError, match="text_cols=, or rename the column of the texts 'text'"):
        texts_of(TABLE)
    assert list(texts_of(TABLE, text_cols="body")) == list(texts_of(TABLE.rename(columns={"body": "text"})))
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
