"""Texts in tables: batches and results, whole or the first words of them."""
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.labels import ColReader
from minifast.learner.learner import Learner
from minifast.text.block import TextBlock
from minifast.text.loaders import TextDataLoaders
from minifast.text.showing import TextTable


class Length(nn.Module):
    "Says 'long' of texts of more than four tokens."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        n = (x != 1).sum(1).float() - 4.5
        return torch.stack([n, -n], 1) * self.weight


@pytest.fixture(scope="module")
def dls():
    df = pd.DataFrame({"text": ["one two", "one two three four five six"] * 12, "label": ["short", "long"] * 12,
                       "is_valid": [0, 0, 1, 1] * 6})
    return TextDataLoaders.from_df(df, valid_col="is_valid", min_freq=1, bs=6)


def test_show_batch_is_a_table_of_text_and_category(dls):
    table = dls.valid.show_batch(max_n=2, trunc_at=3)
    assert table.to_dict("list") == {"text": ["xxbos one two"] * 2, "category": ["long"] * 2} and isinstance(table, TextTable)
    assert dls.show_batch(show=False)[0][1] in ("long", "short")
    whole = dls.valid.show_batch(max_n=1, trunc_at=None).text[0]
    assert whole == "xxbos one two three four five six"
    wide = TextTable({"text": ["word " * 100]})
    assert "..." not in repr(wide) and "..." not in wide._repr_html_() and "..." in repr(pd.DataFrame(wide))
    assert '<td style="text-align: left">' in wide._repr_html_() and "<td>" not in wide._repr_html_(), "paragraphs are read from the left"


@pytest.mark.parametrize(("kwargs", "message"), [({"nrows": 2}, "does not take nrows"), ({"max_n": 0}, r"show_batch\(max_n=0\)"),
                                                 ({"trunc_at": 0}, r"show_batch\(trunc_at=0\)"), ({"cmap": "gray"}, "does not take cmap")])
def test_what_a_table_does_not_take(dls, kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        dls.train.show_batch(**kwargs)


def test_results_and_what_tta_says(dls):
    learn = Learner(dls, Length())
    table = learn.show_results(max_n=4)
    assert list(table.columns) == ["text", "category", "category_"] and (table.category == table.category_).all() and len(table) == 4
    with pytest.raises(ValueError, match=r"tta\(\) .* texts"):
        learn.tta()
    preds, targs = learn.get_preds()
    assert preds.argmax(1).tolist() == targs.tolist() == [1, 0] * 6
    assert learn.predict("one two")[0] == "short"


def test_a_summary_of_a_block_lists_the_first_tokens(capsys):
    df = pd.DataFrame({"text": [f"word{i} other{i}" for i in range(40)], "label": ["a", "b"] * 20})
    DataBlock(blocks=(TextBlock.from_df("text", min_freq=1), CategoryBlock), get_y=ColReader("label")).summary(df, bs=2)
    said = capsys.readouterr().out
    assert "classes (#80) ['xxunk','xxpad'" in said and "...], (#2) ['a','b']" in said and "word39" not in said.split("loss:")[0]


def test_the_target_is_seen_beside_a_long_text():
    assert "category" in repr(TextTable({"text": ["word " * 100], "category": ["long"], "category_": ["short"]}))
