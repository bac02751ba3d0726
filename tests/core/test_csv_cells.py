"Text that a spreadsheet would take for a formula, in every CSV file of the package: written harmless, read as it was."
import csv

import pytest

from minifast.callbacks.loggers import CSVLogger
from minifast.core.csv_cells import from_cell, to_cell
from minifast.interpret.cleaner import Decisions

FORMULAS = ["=1+1", "+a", "-a", "@SUM(A1)", "\tx", "'=1+1", "''-a"]


@pytest.mark.parametrize("text", [*FORMULAS, "cat", "'tis", "", "-1.5", "+3", "-inf", "-1e-5", "a=b", "$5_$"])
def test_cells_come_back(text):
    assert from_cell(to_cell(text)) == text
    assert (to_cell(text) == "'" + text) == (text in FORMULAS)


def test_other_values_are_left_alone():
    assert [to_cell(v) for v in (-3, None, 1.5)] == [-3, None, 1.5] and from_cell(-3) == -3


def raw(file):
    with file.open(newline="", encoding="utf-8") as f:
        return [cell for row in csv.reader(f) for cell in row]


def test_decisions_of_the_cleaner(tmp_path):
    made = Decisions(tmp_path / "c.csv")
    made.put("=a.png", "relabel", "=HYPERLINK(1)", "@was")
    assert not [cell for cell in raw(made.save()) if cell.startswith(("=", "@"))]
    assert Decisions(tmp_path / "c.csv").rows == made.rows


def test_rows_of_a_logger(tmp_path):
    log = CSVLogger()
    log.columns = ["epoch", "=f1"]
    (tmp_path / "history.csv").write_text(log.text_of([0, "-0.5"], True) + log.text_of([1, "@x"], False))
    log.file, log.learn = tmp_path / "history.csv", None
    assert raw(log.file) == ["epoch", "'=f1", "0", "-0.5", "1", "'@x"]
    assert list(log.read().columns) == log._header(log.file) == ["epoch", "=f1"]
