"""The files, labels and rows behind loaders."""
import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset
from zoo import image_files, image_loaders, points, table, table_loaders

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.probe import table_of
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.naming import files_of
from minifast.data.targets import labels_of


def test_files_and_labels_of_datasets(tmp_path):
    import pandas as pd

    from minifast.vision.all import ImageDataLoaders, Resize
    dls = image_loaders(image_files(tmp_path))
    assert [p.name for p in files_of(dls.valid_ds)] == [p.name for p in dls.valid_ds.items]
    assert [dls.vocab[i] for i in labels_of(dls.train).tolist()] == [p.parent.name for p in dls.train_ds.items]
    df = pd.DataFrame(
        {"name": [str(p.relative_to(tmp_path)) for p in dls.train_ds.items], "label": [p.parent.name for p in dls.train_ds.items]}
    )
    from_df = ImageDataLoaders.from_df(df, tmp_path, item_tfms=Resize(16), bs=4, num_workers=0)
    assert all(p.is_file() for p in files_of(from_df.train_ds)) and len(files_of(from_df.train_ds)) == len(from_df.train_ds)
    x, y = points(20)
    assert files_of(TensorDataset(x, y)) is None
    assert torch.equal(labels_of(Subset(TensorDataset(x, y), [3, 1])), y[[3, 1]])
    assert labels_of(TensorDataset(x)) is None and labels_of(TensorDataset(x, x[:, None, :, None])) is None


def test_rows_of_tables():
    dls = table_loaders(table())
    values, names, cats, named = table_of(dls.train)
    assert named and names == ["job", "age", "hours"] and cats.tolist() == [True, False, False] and values.shape == (200, 3)
    x, y = points(20)
    values, names, cats, named = table_of(DataLoader(Subset(TensorDataset(x, y), [4, 2]), bs=2))
    assert np.allclose(values, x[[4, 2]].numpy()) and names[0] == "column 0" and not cats.any() and not named


def test_without_validation():
    x, y = points()
    report = check_loaders(DataLoaders(DataLoader(TensorDataset(x, y), bs=32, shuffle=True)))
    assert report.ok and report["MF826"].verdict == "not applicable" and report["MF833"].verdict == "not applicable"
    assert not [c for c in report if "could not be run" in c.found]
