"""Checkpoints that every rank writes its part of: read by any number of ranks, whole or refused, without pickles."""
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torchrun import needs_shard_files, run_ranks

from minifast.basics import DataLoaders, Learner
from minifast.core.shard_files import load_shards, save_shards

SCRIPT = Path(__file__).parents[1] / "processes" / "shards_recipes.py"


@pytest.fixture
def value():
    t = torch.arange(6.).reshape(2, 3)
    return {"model": {"a": t, "tied": t, "empty": torch.zeros(0, 3), "step": torch.tensor(3)}, "opt": {"state": {0: {"x": t + 1}}},
            "words": ["a", (1, 2.5, None)]}


def check_same(got, value):
    assert got["words"] == value["words"]
    torch.testing.assert_close({**got, "words": ()}, {**value, "words": ()}, rtol=0, atol=0)


@needs_shard_files
def test_what_was_written_is_read(tmp_path, value):
    save_shards(value, tmp_path / "x.shards")
    save_shards(value, tmp_path / "x.shards")                   # replaces the first one
    check_same(load_shards(tmp_path / "x.shards"), value)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["x.shards"]
    assert all(f.suffix == ".safetensors" for f in (tmp_path / "x.shards").iterdir())


@needs_shard_files
@pytest.mark.parametrize("harm", ["shorter", "changed", "gone"])
def test_a_damaged_file_is_refused(tmp_path, value, harm):
    folder = tmp_path / "x.shards"
    save_shards(value, folder)
    file = next(folder.glob("shard*"))
    content = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-4] if harm == "shorter" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="is missing, was cut short or changed"):
        load_shards(folder)


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("code of a checkpoint was run",)


@needs_shard_files
def test_no_pickle_is_read(tmp_path, value):
    folder = tmp_path / "x.shards"
    save_shards(value, folder)
    (folder / ".metadata").write_bytes(pickle.dumps(Harmful()))         # where torch's own format has its index
    (folder / "__0_0.distcp").write_bytes(pickle.dumps(Harmful()))
    check_same(load_shards(folder), value)
    (folder / "checkpoint.safetensors").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_shards(folder)


@needs_shard_files
def test_a_write_that_fails_leaves_the_older_one(tmp_path, value, monkeypatch):
    folder = tmp_path / "x.shards"
    save_shards(value, folder)
    import torch.distributed.checkpoint as dcp
    monkeypatch.setattr(dcp, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left") as e:
        save_shards({"model": {}}, folder)
    assert "cannot write x.shards" in e.value.__notes__[0]
    check_same(load_shards(folder), value)


def test_an_older_torch_is_named(tmp_path, value, monkeypatch):
    import torch.distributed.checkpoint as dcp
    monkeypatch.delattr(dcp, "HuggingFaceStorageWriter", raising=False)
    with pytest.raises(RuntimeError, match=r"torch 2.8 and later can: leave it out, learn.save\('name'\)"):
        save_shards(value, tmp_path / "x.shards")


def learner(path):
    x = torch.randn(8, 3)
    dls = DataLoaders.from_dsets(*[torch.utils.data.TensorDataset(x, x)] * 2, bs=4, device="cpu")
    return Learner(dls, nn.Linear(3, 3), nn.MSELoss(), path=path)


@needs_shard_files
def test_a_learner_saves_and_loads(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    folder = learn.save("a", sharded=True)
    assert folder == tmp_path / "models" / "a.shards" and (tmp_path / "models" / "a.run.json").exists()
    for name in ("a", "a.shards", folder):
        other = learner(tmp_path).load(name)
        torch.testing.assert_close(other.model.state_dict(), learn.model.state_dict(), rtol=0, atol=0)
        torch.testing.assert_close(other.opt.state_dict()["state"], learn.opt.state_dict()["state"], rtol=0, atol=0)
    learn.save("a")
    with pytest.raises(ValueError, match=r"a.safetensors and a.shards are both in .* learn.load\('a.shards'\)"):
        learn.load("a")
    learn.load("a.shards")
    learn.load("a.safetensors")


@needs_shard_files
def test_weights_of_another_model_are_refused(tmp_path):
    learner(tmp_path).save("a", sharded=True)
    other = learner(tmp_path)
    other.model = nn.Linear(3, 4)
    with pytest.raises(ValueError, match="do not fit this model"):
        other.load("a")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    run_ranks(2, SCRIPT, folder, "fsdp2", "write")
    return folder


@needs_shard_files
@pytest.mark.slow
def test_ranks_of_another_number_read_it_and_train_on(written):
    expected, ends = torch.load(written / "write-fsdp2-2-0.pt", weights_only=True)["state"], []
    for n, strategy in ((1, "ddp"), (2, "ddp"), (4, "fsdp2")):
        run_ranks(n, SCRIPT, written, strategy, "read")
        for r in range(n):
            got = torch.load(written / f"read-{strategy}-{n}-{r}.pt", weights_only=True)
            torch.testing.assert_close(got["state"]["model"], expected["model"], rtol=0, atol=0)
            torch.testing.assert_close(got["state"]["opt"]["state"], expected["opt"]["state"], rtol=0, atol=0)
            torch.testing.assert_close(got["state"]["averaged"], expected["averaged"], rtol=0, atol=0)
            ends.append(got["weights"])
    for weights in ends[1:]:
        torch.testing.assert_close(weights, ends[0], rtol=0, atol=2e-6)         # batch norm is in evaluation mode
