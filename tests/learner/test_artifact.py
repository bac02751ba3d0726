"""The file of an exported learner: whole or refused."""
import pickle
import zipfile
from pathlib import Path

import fresh_process
import pytest
import torch
from torch import nn

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.artifact import read, write
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner


def exported(folder):
    ds = torch.utils.data.TensorDataset(torch.rand(8, 4), torch.arange(8) % 2)
    dls = DataLoaders(DataLoader(ds, 4), DataLoader(ds, 4), device="cpu")
    return Learner(dls, nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), nn.CrossEntropyLoss(), path=folder).export("m.pkl")


def test_tensors_in_memory(tmp_path):
    loaded = load_learner(exported(tmp_path))
    with loaded.no_bar():
        preds, _ = loaded.get_preds(dl=loaded.dls.test_dl(torch.rand(3, 4)))
    assert torch.allclose(preds.sum(1), torch.ones(3))


def test_what_the_user_said_of_the_data_is_kept(tmp_path):
    ds = torch.utils.data.TensorDataset(torch.rand(8, 4), torch.arange(8) % 2)
    dls = DataLoaders(DataLoader(ds, 4), DataLoader(ds, 4), device="cpu")
    dls.vocab, dls.c = ["no", "yes"], 3
    loaded = load_learner(Learner(dls, nn.Linear(4, 3), nn.CrossEntropyLoss(), path=tmp_path).export("m.pkl"))
    assert loaded.dls.vocab == ["no", "yes"] and loaded.dls.c == loaded.dls.new(bs=2).c == 3
    again = load_learner(loaded.export(tmp_path / "again.pkl"))
    assert again.dls.vocab == ["no", "yes"] and again.dls.c == 3


def test_every_changed_byte_is_noticed(tmp_path):
    file = exported(tmp_path)
    data = file.read_bytes()
    for at in range(0, len(data), 97):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        try:
            read(file)
        except ValueError as e:
            assert "m.pkl" in str(e)
        else:
            raise AssertionError(f"byte {at} of {len(data)}")
    for end in (0, 5, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:end])
        with pytest.raises(ValueError, match="m.pkl"):
            read(file)


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    file = exported(tmp_path)
    before = file.read_bytes()
    monkeypatch.setattr("minifast.core.checkpoint.os.replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        exported(tmp_path)
    assert file.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["m.pkl"]


def test_other_files(tmp_path):
    (tmp_path / "fastai.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with zipfile.ZipFile(tmp_path / "new.pkl", "w") as z:
        z.writestr("data.pkl", "x")
    for name in ("fastai.pkl", "new.pkl"):
        with pytest.raises(ValueError, match=rf"{name} is a pickle, as fastai's .* never does.*`minifast port-weights {name}`"):
            load_learner(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.pkl. In this folder: fastai.pkl, new.pkl"):
        load_learner(tmp_path / "none.pkl")
    learn = load_learner(exported(tmp_path))
    with pytest.raises(ValueError, match=r"is no exported learner: it was written by learn.save: .*call learn.load"):
        load_learner(learn.save(tmp_path / "weights"))


def test_other_versions(tmp_path):
    from safetensors.torch import load_file, save_file
    file = exported(tmp_path)
    save_file(load_file(file), file, metadata={"minifast_learner": '{"format": 99, "sha256": {}}'})
    with pytest.raises(ValueError, match="has format 99, and this version of minifast reads 1 to 1: update minifast"):
        read(file)


def test_no_name_outside_the_lists(tmp_path):
    spec, weights = read(exported(tmp_path))
    for part in ("os:system", "builtins:eval", "data:Datasets.__init__", "torch.nn:functional", "minifast.data:DataLoader", 3):
        write({**spec, "opt_func": {"part": part}}, weights, tmp_path / "forged.pkl")
        with pytest.raises(ValueError, match=r"cannot be built \(ValueError: this version of minifast has no part called"):
            load_learner(tmp_path / "forged.pkl")


def test_no_more_memory_than_weights(tmp_path):
    spec, weights = read(exported(tmp_path))
    large = {"class": "torch.nn:Linear", "args": {"in_features": 10**8, "out_features": 10**8}}
    for forged in ({"model": large}, {"loss": large}, {"opt_func": large}):
        write({**spec, **forged}, weights, tmp_path / "forged.pkl")
        with pytest.raises(ValueError, match="torch.nn:Linear has more weights than the file"):
            load_learner(tmp_path / "forged.pkl")


@pytest.mark.slow
def test_mutated_files_do_no_harm(tmp_path):
    file = Path(__file__).parent / "fuzz_export.py"
    files = [str(f) for f in sorted((Path(__file__).parents[1] / "artifacts").glob("*.pkl"))
             if "transformer" not in f.name]                    # which imports of its library what a file names
    done = fresh_process.run(file.read_text(), "300", *files, file=file)
    assert done.returncode == 0, done.stderr[-2000:]
