"Parquet files are read by row groups, a few rows at a time."
import numpy as np
import pytest
import torch

from minifast.basics import DataLoaders, Learner, MSELossFlat, ParquetShards, StreamLoader

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
N = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet")
    for k in range(2):
        rows = range(k * 600, min(N, (k + 1) * 600))
        table = pa.table({"i": list(rows), "x": [float(i) / N for i in rows], "v": [[float(i), 1.0] for i in rows],
                          "name": [f"row {i}" for i in rows], "unused": [b"x" * 1000] * len(rows)})
        pq.write_table(table, path / f"part-{k}.parquet", row_group_size=128)
    return path


def rows(dl):
    return [int(i) for b in dl for i in b["i"]]


@pytest.mark.parametrize("num_workers", [0, 3])
def test_each_row_once(folder, num_workers):
    dl = StreamLoader(ParquetShards(folder), 64, shuffle=True, buffer=50, num_workers=num_workers, seed=0, device="cpu")
    assert dl.n == N and len(dl.source) == 9
    first, second = rows(dl), rows(dl)
    assert sorted(first) == sorted(second) == list(range(N)) and first != second


def test_cells_and_columns(folder):
    dl = StreamLoader(ParquetShards(folder, columns=["i", "v", "name"]), 4, split_idx=1, num_workers=0, device="cpu")
    batch = next(iter(dl))
    assert batch["v"].tolist() == [[0, 1], [1, 1], [2, 1], [3, 1]] and batch["v"].dtype == torch.float32
    assert batch["name"] == [f"row {i}" for i in range(4)] and set(batch) == {"i", "v", "name"}
    with pytest.raises(ValueError, match=r"no column 'nam'; did you mean 'name'"):
        ParquetShards(folder, columns=["nam"])
    with pytest.raises(FileNotFoundError, match="no \\*.parquet"):
        ParquetShards(folder / "..", columns=["i"]) if not list((folder / "..").rglob("*.parquet")) else ParquetShards(_empty(folder))


def _empty(folder):
    (folder / "none").mkdir(exist_ok=True)
    return folder / "none"


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_made_at_once_are_those_of_single_rows(tmp_path, shuffle):
    rng = np.random.default_rng(0)
    table = {"f32": rng.random(300).astype(np.float32), "f64": rng.random(300), "i8": rng.integers(0, 9, 300).astype(np.int8),
             "i64": rng.integers(0, 2**40, 300), "b": rng.random(300) > 0.5, "s": [f"text {i}" for i in range(300)]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet", row_group_size=70)
    pq.write_table(pa.table({**table, "i64": [None if i == 255 else i for i in range(300)]}), tmp_path / "b.parquet", row_group_size=70)

    def batches(file, **kwargs):
        return list(StreamLoader(ParquetShards(tmp_path / file, rows=32), 50, shuffle=shuffle, buffer=60, num_workers=0, seed=0,
                                 device="cpu", **kwargs))

    for at_once, one_by_one in zip(batches("a.parquet"), batches("a.parquet", after_item=dict), strict=True):
        assert at_once.keys() == one_by_one.keys()
        for name, column in at_once.items():
            assert column == one_by_one[name] if name == "s" else torch.equal(column, one_by_one[name])
            assert name == "s" or column.dtype == one_by_one[name].dtype
    with pytest.raises(TypeError, match=r"element \['i64'\] of the samples is a number here and something else there"):
        batches("b.parquet")


def test_only_the_row_groups_asked_for_are_opened_and_only_in_part(folder, monkeypatch):
    asked = []
    real = pq.ParquetFile.iter_batches

    def iter_batches(self, batch_size, row_groups=None, columns=None, **kwargs):
        asked.append((batch_size, row_groups, columns))
        return real(self, batch_size, row_groups=row_groups, columns=columns, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *a, **k: pytest.fail("a whole file was read"))
    dl = StreamLoader(ParquetShards(folder, columns=["i"], rows=32), 50, shuffle=True, buffer=0, num_workers=0, seed=0, device="cpu")
    next(iter(dl))
    assert asked == [(32, [asked[0][1][0]], ["i"])]


def test_it_goes_on_in_the_row_group_where_it_was(folder, monkeypatch):
    def loader():
        return StreamLoader(ParquetShards(folder, columns=["i"]), 50, shuffle=True, buffer=20, num_workers=0, seed=0, device="cpu")

    dl = loader()
    batches = iter(dl)
    for _ in range(15):
        next(batches)
    state, expected = dl.state_dict(), [b["i"].tolist() for b in batches]
    opened, real = [], ParquetShards.read
    monkeypatch.setattr(ParquetShards, "read", lambda self, shard, start=0: opened.append(shard) or real(self, shard, start))
    again = loader()
    again.load_state_dict(state)
    assert [b["i"].tolist() for b in again] == expected and len(opened) < 5


def test_a_learner_trains_on_a_folder(folder):
    def xy(row):
        return torch.tensor([row["x"]]), torch.tensor(2 * row["x"])

    dls = DataLoaders.from_streams(ParquetShards(folder, ["x"]), ParquetShards(folder / "part-1.parquet", ["x"]), bs=50, after_item=xy,
                                   num_workers=0, device="cpu")
    learn = Learner(dls, torch.nn.Linear(1, 1), MSELossFlat())
    learn.fit_one_cycle(5, 0.1)
    _, targets = learn.get_preds()
    np.testing.assert_allclose(targets.flatten(), 2 * np.arange(600, N) / N, rtol=1e-6)
    assert learn.validate()[0] < 0.05
