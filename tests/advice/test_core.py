"What the messages of `minifast.core` say to write."
import functools
import pickle

import pytest
import safetensors.torch
from suggestions import told
from torch import nn
from workshop import learner

from minifast.basics import *
from minifast.core import checkpoint, device
from minifast.core.nested import find_device, split_batch
from minifast.core.pickles import load_pickle, save_pickle


@pytest.fixture
def default():
    "Leaves the default device as it was."
    before = defaults.use_cuda, defaults.device
    yield
    defaults.use_cuda, defaults.device = before


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    learn = learner(path=tmp_path / "file")
    with told("core/checkpoint.py", "give the learner a writable folder with room, `learn.path = Path('...')`"):
        learn.save("stage-1")
    learn.path = Path(tmp_path)
    assert learn.save("stage-1").exists()


def test_a_pth_of_other_objects(tmp_path):
    model = nn.Linear(2, 1)
    torch.save(model, tmp_path / "model.pth")
    with told("core/checkpoint.py", "Save `model.state_dict()` alone"):
        checkpoint.load(tmp_path / "model.pth")
    torch.save(model.state_dict(), tmp_path / "model.pth")
    assert checkpoint.load(tmp_path / "model.pth").keys() == {"weight", "bias"}


def test_a_pth_without_checksums(tmp_path):
    learn = learner(path=tmp_path)
    torch.save(learn.model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with told("core/checkpoint.py", "What learn.save('name') writes has one"):
        learn.load(tmp_path / "old.pth")
    file = learn.save("name")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="SHA-256"):
        learn.load("name")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle(tmp_path, suffix):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({}))
    with told("core/checkpoint.py", "Load the weights alone from a `.pth` or `.safetensors` file"):
        checkpoint.load(tmp_path / "model.pkl")
    weights, file = {"weight": torch.ones(2)}, tmp_path / f"model{suffix}"
    (torch.save if suffix == ".pth" else safetensors.torch.save_file)(weights, file)        # a .pth or .safetensors file
    assert checkpoint.load(file)["weight"].sum() == 2


def test_no_accelerator(monkeypatch, default):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with told("core/device.py", "Call default_device(False) to use the CPU"):
        default_device(True)
    assert default_device(False).type == "cpu"


def test_an_accelerator_that_does_not_work(monkeypatch, default):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "_cuda_problem", lambda: "the driver is too old")
    with told("core/device.py", "Choose another accelerator or call default_device(False) to use the CPU"):
        default_device(True)
    assert default_device(False).type == "cpu"


def test_patch():
    with told("core/elsewhere.py", "Write a subclass, a `Callback`, or assign the function: Learner.my_method = my_method"):
        @patch
        def my_method(self: Learner):
            return self.model

    def my_method(self):
        return self.model

    class Subclass(Learner):
        pass

    class Printer(Callback):
        pass

    Subclass.my_method = my_method                         # Learner.my_method = my_method
    learn = learner(cbs=Printer())
    assert Subclass.my_method(learn) is learn.model


def test_typedispatch():
    with told("core/elsewhere.py", "give their class a method `show(self, ctx=None)`", "write one `encodes` for each type in a subclass of "
                                   "`Transform`; elsewhere use functools.singledispatch"):
        typedispatch(print)

    class Item:
        def show(self, ctx=None):
            return ctx

    class Both(Transform):
        def encodes(self, x: int):
            return x + 1

        def encodes(self, x: str):  # noqa: F811
            return x + "1"

    @functools.singledispatch
    def f(x):
        return "any"

    f.register(int, lambda x: "int")
    assert Item().show(ctx=1) == 1 and (Both()(1), Both()("1")) == (2, "11") and (f(1), f("")) == ("int", "any")


def test_the_device_of_a_model():
    model = nn.Linear(1, 1)
    with told("core/nested.py", "of a model write next(model.parameters()).device"):
        find_device(model)
    assert next(model.parameters()).device.type == "cpu"


def test_a_batch_that_is_none():
    data = [(torch.rand(4), 0), (torch.rand(4), 1)]
    with told("core/nested.py", "Give the loader a `collate_fn` that returns one of these"):
        split_batch(next(iter(torch.utils.data.DataLoader(data, 2, collate_fn=lambda samples: "a batch"))))
    batch = next(iter(torch.utils.data.DataLoader(data, 2, collate_fn=lambda samples: tuple(map(torch.tensor, ([0, 1], [0, 1]))))))
    assert len(split_batch(batch)[0]) == 1


def test_path_save_and_load(tmp_path):
    path, learn, name, data, tensors = Path(tmp_path) / "x.json", learner(path=tmp_path), "stage-1", [1, 2], {"a": torch.ones(1)}
    with told("core/paths.py", "`path.write_json(data)`, for tensors safetensors.torch.save_file(tensors, path), for a learner "
                               "`learn.save(name)`"):
        path.save(data)
    path.write_json(data)
    with told("core/paths.py", "Write `path.read_json()`, for tensors safetensors.torch.load_file(path), for a learner `learn.load(name)`; "
                               "of a file that you trust `pickle.loads(path.read_bytes())`"):
        path.load()
    assert path.read_json() == data
    safetensors.torch.save_file(tensors, path)
    assert safetensors.torch.load_file(path)["a"] == 1
    learn.save(name)
    learn.load(name)
    path.write_bytes(pickle.dumps(data))
    assert pickle.loads(path.read_bytes()) == data


def test_load_pickle(tmp_path):
    save_pickle(tmp_path / "a.pkl", [1])
    with told("core/pickles.py", "load only files that you wrote yourself"):
        load_pickle(tmp_path / "a.pkl")
    assert load_pickle(tmp_path / "a.pkl") == [1]           # load_pickle of a file that was written here


def test_a_grid_too_small():
    with told("core/plots.py", "items do not fit into nrows="):
        get_grid(5, nrows=2, ncols=2)
    assert len(get_grid(5, nrows=2, ncols=3)) >= 5
    plt.close("all")


