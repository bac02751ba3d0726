"""Copies of texts across splits: what counts as one, and how it is named."""
import numpy as np
import pytest
from zoo_texts import review_loaders, reviews

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.probe import DataProbe
from minifast.checks.data.text_copies import copied_texts, duplicate_texts
from minifast.checks.data.text_tokens import joined
from minifast.checks.outcomes import NotApplicable

NAMES = ["xxunk", "xxpad", "xxbos", ".", *["a", "b", "c", "d", "e", "f", "g", "h"], "A", "##b"]


@pytest.mark.parametrize(("first", "second", "same"), [
    ([4, 5, 6, 7, 8, 9], [4, 5, 6, 7, 8, 9], True),
    ([2, 4, 5, 6, 7, 8, 9, 3], [12, 13, 3, 6, 7, 8, 9], True),                    # case, punctuation, beginning, pieces
    ([4, 5, 6, 7, 8, 9], [4, 5, 6, 7, 9, 8], False),
    ([4, 5, 6, 7, 8, 9], [4, 5, 6, 7, 8, 9, 10], False),
    ([4, 5, 6, 7, 8], [4, 5, 6, 7, 8], False),                                    # too short to tell
    ([4, 5, 6, 7, 8, 9, 0], [4, 5, 6, 7, 8, 9, 0], True),
    ([4, 5, 6, 7, 8, 9, 0, 0, 0, 0], [4, 5, 6, 7, 8, 9, 0, 0, 0, 0], False),     # mostly unknown
    ([4, 5, 6, 7, 8, 9, 0], [4, 5, 6, 7, 8, 9], False),
])
def test_what_is_a_copy(first, second, same):
    tokens = joined([np.array(first), np.array([10, 11] * 5), np.array(second)], range(3), NAMES)
    assert copied_texts(tokens) == ([[0, 2]] if same else [])


def with_copies(n, **changed):
    df = reviews(60)
    df.loc[df.index[40:40 + n], ["text", "label"]] = df[["text", "label"]][:n].to_numpy()
    return df.assign(**changed)


@pytest.mark.parametrize(("n", "verdict"), [(0, "pass"), (1, "tip"), (3, "issue")])
def test_rows_are_named_by_their_own_label(n, verdict):
    check = duplicate_texts(DataProbe(review_loaders(with_copies(n))))
    assert check.verdict == verdict and check.items == [(f"row {1040 + i}", f"row {1000 + i}") for i in range(n)]
    assert n != 1 or check.found == ("1 validation text of 20 is also in training, the same but for case and punctuation: row 1040 = row "
                                     "1000")


def test_copies_with_other_labels_conflict():
    df = with_copies(3)
    df.loc[1040, "label"] = "neg" if df.label[1000] == "pos" else "pos"
    report = check_loaders(review_loaders(df))
    assert report["MF811"].verdict == "issue" and report["MF811"].items == [["row 1000", "row 1040"]]
    assert f"row 1000 is {df.label[1000]}, row 1040 is {df.label[1040]}" in report["MF811"].found
    assert report["MF841"].verdict == "issue"


def test_files_are_named(tmp_path):
    from minifast.text.all import TextDataLoaders
    for part, i, text in [("train", 0, "we saw a film that was long"), ("train", 1, "a plot with little in it at all."),
                          ("valid", 2, "We saw a film that was long."), ("valid", 3, "the end of it was quite good then")]:
        folder = tmp_path / part / "pos"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.txt").write_text(text)
    check = duplicate_texts(DataProbe(TextDataLoaders.from_folder(tmp_path, min_freq=1, bs=2)))
    assert check.items == [("2.txt", "0.txt")]


def test_a_language_model_and_transformers_have_texts_too():
    from tiny_transformers import wordpiece

    from minifast.text.all import TextDataLoaders, TransformersDataLoaders
    df = with_copies(3)
    for dls in (TextDataLoaders.from_df(df, text_col="text", valid_col="valid", is_lm=True, bs=4, seq_len=8),
                TransformersDataLoaders.from_df(df, wordpiece(), "text", "label", valid_col="valid", max_len=90)):
        assert len(duplicate_texts(DataProbe(dls)).items) == 3


def test_what_is_no_text_has_no_copies_of_texts():
    from zoo import loaders, points
    with pytest.raises(NotApplicable, match="no texts"):
        duplicate_texts(DataProbe(loaders(*points())))
