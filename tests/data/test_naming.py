"""What the items of datasets are called: files, and labels of rows."""
import pandas as pd
import torch
from torch.utils.data import Subset, TensorDataset

from minifast.core.paths import Path
from minifast.data.datasets import Datasets
from minifast.data.labels import ColReader
from minifast.data.naming import files_of, items_of, row_labels
from minifast.tabular.frames import TabularPandas

FRAME = pd.DataFrame({"file": ["a.txt", "b.txt", "c.txt"], "y": ["p", "q", "p"]}, index=["r1", "r2", "r3"])


def test_rows_of_frames_and_tables(tmp_path):
    for name in FRAME.file:
        (tmp_path / name).write_text("x")
    valid = Datasets(FRAME, [[ColReader("file", pref=Path(tmp_path)), len]], splits=([1], [2, 0])).valid
    assert row_labels(valid).tolist() == ["r3", "r1"] and row_labels(Subset(valid, [1])).tolist() == ["r1"]
    assert [f.name for f in files_of(Subset(valid, [1, 0]))] == ["a.txt", "c.txt"]
    table = TabularPandas(FRAME, [], ["file"], y_names="y", splits=([0, 1], [2])).valid
    assert row_labels(table).tolist() == ["r3"] and files_of(table) is None


def test_items_that_are_no_rows():
    tensors = TensorDataset(torch.zeros(3, 2), torch.zeros(3))
    assert row_labels(tensors) is None and files_of(tensors) is None and items_of(tensors) is None
    texts = Datasets(["a", "b"], [[len]])
    assert row_labels(texts) is None and files_of(texts) is None and list(items_of(texts)) == ["a", "b"]
