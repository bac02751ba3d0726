"""Saving and loading: what comes back, and what happens when writing or reading goes wrong."""
import errno
import json
import os
import warnings
import zipfile
from collections import OrderedDict, namedtuple

import fresh_process
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from minifast.core import checkpoint
from minifast.core.checkpoint import load, pack, save, unpack

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions and signals")


def same(a, b):
    "Equal in structure, types, dtypes and values."
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a.detach(), b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b] \
            and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def files_in(folder):
    return sorted(p.name for p in folder.iterdir())


# -- round trips ----------------------------------------------------------------------------------------------------------------
def trained(opt_func, **kwargs):
    "A small model, and its optimizer after two steps."
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    opt = opt_func(model.parameters(), **kwargs)
    for _ in range(2):
        model(torch.randn(5, 3)).square().mean().backward()
        opt.step()
        opt.zero_grad()
    return model, opt


@pytest.mark.parametrize("opt_func, kwargs", [(torch.optim.Adam, {"lr": 0.1, "amsgrad": True}), (torch.optim.AdamW, {"betas": (0.8, 0.9)}),
                                              (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}), (torch.optim.Rprop, {}),
                                              (torch.optim.RMSprop, {"centered": True}), (torch.optim.Adafactor, {})])
def test_optimizers_come_back(file, opt_func, kwargs):
    model, opt = trained(opt_func, **kwargs)
    state = {"model": model.state_dict(), "opt": opt.state_dict()}
    assert save(state, file) == file
    back = load(file)
    assert same(dict(state["model"]), back["model"]) and same(state["opt"], back["opt"])
    fresh_model, fresh = trained(opt_func, **kwargs)
    fresh_model.load_state_dict(back["model"])
    fresh.load_state_dict(back["opt"])
    x = torch.randn(5, 3)
    for m, o in ((model, opt), (fresh_model, fresh)):
        m(x).square().mean().backward()
        o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh_model.parameters(), strict=True))


@pytest.mark.parametrize("value", [
    None, True, 3, 2.5, "text\n\u00e9", (), [], {}, float("inf"), float("nan"), -0.0, 2**80,
    (1, [2, (3,)], {"a": (), 1: None, 2.5: "x", None: 1, False: 2}),
    {"tensor": 1, "dict": [["a", 1]], "list": (), "minifast": "{}"},                # the words of the format itself
    {"a": {"b": torch.ones(1)}, "a.b": torch.zeros(2), 1: torch.ones(3), "1": torch.ones(4)},        # places with the same text
    {"a#1": torch.zeros(1), "a": [torch.zeros(2)], "a.0": torch.ones(3), "a.0#1": torch.ones(5)},
    [torch.tensor(3), torch.zeros(0, 3), torch.zeros(0, 3), torch.ones(2, 3).T, torch.arange(10)[::2], torch.ones(1).expand(3)],
    [torch.ones(2, dtype=d) for d in (torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.uint8, torch.bool, torch.int64)],
])
def test_values_come_back(file, value):
    assert same(value, load(save(value, file)))


KEYS = st.one_of(st.text(alphabet="ab.#01", max_size=3), st.integers(-2, 11))
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
              st.integers(0, 3).map(lambda n: torch.arange(n).float())),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12)


@given(TREES)
@settings(max_examples=100, deadline=None)
def test_any_tree_comes_back(tree):
    tensors, packed = pack(tree)
    assert same(tree, unpack(tensors, json.loads(json.dumps(packed))))


def test_subclasses_become_their_plain_kind(file):
    Betas = namedtuple("Betas", "a b")
    value = [Betas(0.9, 0.99), OrderedDict(a=1), torch.Size([2, 3]), torch.nn.Parameter(torch.ones(1)), np.float64(0.5)]
    back = load(save(value, file))
    assert back == [(0.9, 0.99), {"a": 1}, (2, 3), torch.ones(1), 0.5]
    assert [type(o) for o in back] == [tuple, dict, tuple, torch.Tensor, float]


def test_tied_weights_are_stored_once(file):
    shared = torch.randn(100, 100)
    save({"encoder": shared, "decoder": shared, "view": shared[:10], "copy": shared.clone()}, file)
    assert len(load_file(file)) == 3 and file.stat().st_size < 4 * (100 * 100 * 2 + 10 * 100) + 4000
    back = load(file)
    assert back["encoder"] is back["decoder"] and torch.equal(back["view"], shared[:10])


def test_equal_but_separate_or_overlapping_tensors_are_not_confused(file):
    base = torch.arange(6.)
    value = [base.view(2, 3), base.view(3, 2), base.view(2, 3).T, base.view(torch.int32), base[:0], base[6:]]
    assert same([t.clone() for t in value], load(save(value, file)))


def test_other_programs_can_read_the_tensors(file):
    save({"model": {"w": torch.ones(2)}}, file)
    assert list(load_file(file)) == ["root.model.w"]


def test_foreign_safetensors_are_a_dict_of_tensors(file):
    from safetensors.torch import save_file
    save_file({"w": torch.ones(2)}, file, metadata={"format": "pt"})
    assert same(load(file), {"w": torch.ones(2)})


def test_torch_files(tmp_path):
    torch.save({"w": torch.ones(2), "n": 3}, tmp_path / "w.pth")
    assert same(load(tmp_path / "w.pth"), {"w": torch.ones(2), "n": 3})


def test_to_a_device(file):
    save([torch.ones(2)], file)
    assert load(file, "cpu")[0].device.type == "cpu"
    assert load(file, torch.device("cpu"))[0].device.type == "cpu"


# -- what is refused ------------------------------------------------------------------------------------------------------------
class Thing:
    pass


@pytest.mark.parametrize("value, place", [(Thing(), "root"), ({"a": [1, Thing()]}, r"root\.a\.1"), ({"f": print}, r"root\.f"),
                                          ({1, 2}, "root"), (b"bytes", "root"), (np.zeros(2), "root"), (torch.float32, "root")])
def test_objects_are_refused_by_place(file, value, place):
    with pytest.raises(TypeError, match=rf"^cannot save .* at {place}: only tensors, numbers, strings, None and nested lists, tuples and "
                                        "dicts of them are stored, so that loading never runs code$"):
        save(value, file)
    assert files_in(file.parent) == []


def test_keys_that_json_would_change_are_refused(file):
    with pytest.raises(TypeError, match=r"cannot save a dict with the key tuple of 2 \(int 1, int 2\) at root\.a: keys must be strings or"):
        save({"a": {(1, 2): 3}}, file)


def test_a_missing_file_names_what_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*best\.safetensors\. Nothing is saved in "):
        load(tmp_path / "best.safetensors")
    with pytest.raises(FileNotFoundError, match="Nothing is saved in"):
        load(tmp_path / "no" / "such" / "folder.safetensors")
    for name in ("two", "one"):
        save(1, tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match=r"Saved here: one, two$"):
        load(tmp_path / "best.safetensors")


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="is a pickle: loading it could run any code"):
        load(tmp_path / "model.pkl")


def test_a_torch_file_with_objects_is_not_loaded(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"whole\.pth cannot be read as tensors .*Save `model\.state_dict\(\)` alone"):
        load(tmp_path / "whole.pth")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError):
        load(tmp_path)


# -- damaged files --------------------------------------------------------------------------------------------------------------
VALUE = {"w": torch.arange(40.).view(5, 8), "opt": {"state": {0: {"step": torch.tensor(3.)}}, "betas": (0.9, 0.99)}}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    "Write the bytes of a good file after `damage`; returns the path."
    good = save(VALUE, tmp_path_factory.mktemp("good") / "m.safetensors").read_bytes()
    path = tmp_path_factory.mktemp("bad") / "m.safetensors"

    def make(damage):
        path.write_bytes(damage(good))
        return path

    make.size, make.header = len(good), 8 + int.from_bytes(good[:8], "little")
    return make


def loads_or_refuses(path):
    "A file that is not whole is refused with a sentence; nothing else may happen."
    try:
        load(path)
    except ValueError as e:
        assert "is not a complete safetensors file" in str(e) and str(path) in str(e)


def test_every_truncation_is_refused(damaged):
    for n in range(damaged.size):
        with pytest.raises(ValueError, match=r"not a complete safetensors file .*cut short, changed, or is something else"):
            load(damaged(lambda good, n=n: good[:n]))


@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes(damaged, data):
    places = data.draw(st.lists(st.tuples(st.integers(0, damaged.header - 1), st.integers(0, 255)), min_size=1, max_size=4))

    def flip(good):
        changed = bytearray(good)
        for i, byte in places:
            changed[i] = byte
        return bytes(changed)

    loads_or_refuses(damaged(flip))


def test_a_changed_tree_is_refused(file):
    from safetensors.torch import save_file
    deep = "[" * 100_000
    for tree in ('{"tensor": "b"}', '{"tensor": ["a"]}', '{"object": "os.system"}', '{"dict": 3}', '{"dict": [[[], 1]]}', '{"list": null}',
                 "{}", '{"list": [], "tuple": []}', "not json", deep, '{"list": [' * 900 + "]}" * 900):
        save_file({"a": torch.ones(1)}, file, metadata={checkpoint.HEADER: tree})
        with pytest.raises(ValueError, match="is not a complete safetensors file"):
            load(file)


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(0, 0)
def test_damaged_torch_files(tmp_path_factory, place, byte):
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    torch.save(VALUE, path)
    raw = bytearray(path.read_bytes())
    if byte % 2:
        raw = raw[:place % len(raw)]
    else:
        raw[place % len(raw)] = byte
    path.write_bytes(raw)
    try:
        load(path)
    except ValueError as e:
        assert "cannot be read as tensors" in str(e)


# -- writing that goes wrong ----------------------------------------------------------------------------------------------------
def fails_at(monkeypatch, step, error):
    "Let `step` of saving fail: writing the tensors, checking what was written, or putting it in place."
    def fail(*args, **kwargs):
        raise error
    where = {"write": "safetensors.torch.save_file", "sync": "os.fsync", "check": "minifast.core.checkpoint.read_tensors",
             "rename": "os.replace"}
    monkeypatch.setattr(where[step], fail)


@pytest.mark.parametrize("step", ["write", "sync", "check", "rename"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), RuntimeError("crash")])
def test_a_failed_save_leaves_the_old_file_alone(file, monkeypatch, step, error):
    save({"epoch": 1}, file)
    with monkeypatch.context() as m:
        fails_at(m, step, error)
        with pytest.raises(type(error)):
            save({"epoch": 2}, file)
    assert load(file) == {"epoch": 1} and files_in(file.parent) == [file.name]


def test_a_full_disk_is_an_os_error_that_says_what_to_do(file, monkeypatch):
    fails_at(monkeypatch, "write", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left") as e:
        save(1, file)
    assert e.value.errno == errno.ENOSPC
    notes = "".join(getattr(e.value, "__notes__", map(str, e.value.args)))
    assert f"cannot write model.safetensors to {file.parent}" in notes and "learn.path = Path(" in notes


@posix
def test_a_disk_that_really_runs_full(file):
    import resource
    save({"epoch": 1}, file)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))              # no file may grow larger than this
    try:
        with pytest.raises(OSError, match=f"cannot write model.safetensors to {file.parent}: give the learner a writable folder with room"):
            save({"w": torch.zeros(1_000_000)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load(file) == {"epoch": 1} and files_in(file.parent) == [file.name]


@posix
def test_a_read_only_folder(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    save(1, folder / "old.safetensors")
    folder.chmod(0o555)
    root = os.geteuid() == 0                    # for root nothing is read-only: be somebody else for a moment
    parents = [p for p in tmp_path.parents if p.exists() and p.stat().st_uid == 0 and not p.stat().st_mode & 1] if root else []
    for p in [tmp_path, *parents] if root else []:
        p.chmod(p.stat().st_mode | 0o055)
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(PermissionError) as e:
            save(2, folder / "new.safetensors")
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        for p in parents:
            p.chmod(p.stat().st_mode & ~0o055)
    assert f"cannot write new.safetensors to {folder}" in "".join(getattr(e.value, "__notes__", map(str, e.value.args)))
    assert files_in(folder) == ["old.safetensors"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        save(1, tmp_path / "file" / "model.safetensors")


def test_folders_are_made(tmp_path):
    assert load(save(5, tmp_path / "a" / "b" / "c.safetensors")) == 5


@posix
def test_others_may_read_what_the_umask_allows(file):
    old = os.umask(0o022)
    try:
        assert save(1, file).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(old)


@pytest.mark.slow
@posix
def test_killed_while_saving(file):
    "SIGKILL at any moment leaves a file that loads, the one before or the one after."
    code = f"""
import os, signal, sys, time
import torch
from minifast.core.checkpoint import load, save
torch.set_num_threads(1)
w, file = torch.zeros(200_000), {str(file)!r}
save({{"n": 0, "w": w}}, file)
for delay in [0.01 + 0.003 * i for i in range(20)]:
    child = os.fork()
    if child == 0:
        n = load(file)["n"]
        while True:
            n += 1
            save({{"n": n, "w": w + n}}, file)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    back = load(file)
    assert torch.equal(back["w"], w + back["n"])
print(back["n"])
"""
    done = fresh_process.run(code)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr
    assert [f for f in files_in(file.parent) if f.endswith(".safetensors")] == [file.name]


def test_saving_over_a_file_that_is_open(file):
    "Tensors that were loaded earlier keep their values when the file is replaced."
    first = load(save(torch.zeros(1000), file))
    save(torch.ones(1000), file)
    assert first.sum() == 0 and load(file).sum() == 1000


# -- other processes ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("owner, name", [(zipfile.ZipFile, "testzip"), (torch, "load")])
def test_a_torch_file_that_is_overwritten_while_it_is_loaded(tmp_path, monkeypatch, owner, name):
    "torch.save overwrites in place: what was compared with the checksums is what is loaded."
    path, other = tmp_path / "m.pth", tmp_path / "n.pth"
    torch.save({"w": torch.zeros(999)}, path)
    torch.save({"w": torch.ones(999)}, other)

    real = getattr(owner, name)

    def overwritten(*args, **kwargs):
        path.write_bytes(other.read_bytes())
        return real(*args, **kwargs)
    monkeypatch.setattr(owner, name, overwritten)
    assert load(path)["w"].sum() == 0
    monkeypatch.undo()
    assert load(path)["w"].sum() == 999


def test_what_is_loaded_is_a_copy_of_a_file_opened_once(file, monkeypatch):
    save(VALUE, file)
    opened = []
    monkeypatch.setattr("builtins.open", lambda f, *args, real=open, **kwargs: opened.append(f) or real(f, *args, **kwargs))
    back = load(file)
    monkeypatch.undo()
    assert opened == [file]
    with file.open("r+b") as f:                     # in place, as cp and rsync --inplace do it
        f.write(bytes(100))
        f.truncate(100)
    assert same(back, VALUE)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_every_byte_counts(tmp_path, kind):
    "A changed byte is noticed, wherever it is, or changes nothing."
    path = tmp_path / f"m.{kind}"
    torch.save(VALUE, path) if kind == "pth" else save(VALUE, path)
    good = path.read_bytes()
    for i in range(0, len(good), 3 if kind == "safetensors" else 29):
        path.write_bytes(good[:i] + bytes([good[i] ^ 4]) + good[i + 1:])
        try:
            back = load(path)
        except ValueError as e:
            assert str(path) in str(e) and "weights_only" not in str(e)
        else:
            assert same(back, VALUE), i


def test_files_without_a_digest_load(file):
    from safetensors.torch import save_file
    tensors, tree = pack(VALUE)
    save_file(tensors, file, metadata={checkpoint.HEADER: json.dumps(tree)})
    assert same(load(file), VALUE)


def test_torch_files_of_every_age(tmp_path):
    for name, warned, kwargs in (("zip", 0, {}), ("legacy", 1, {"_use_new_zipfile_serialization": False})):
        torch.save(VALUE, tmp_path / f"{name}.pth", **kwargs)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert same(load(tmp_path / f"{name}.pth"), VALUE)
        assert ["carries no checksum" in str(w.message) for w in told] == [True] * warned
    with zipfile.ZipFile(tmp_path / "zip.pth") as z, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in z.namelist():
            bomb.writestr(name, z.read(name) if "/data/" not in name else bytes(10**6))
    with pytest.raises(ValueError, match="its records are longer than the file"):
        load(tmp_path / "bomb.pth")


def test_a_record_that_is_marked_as_a_folder(tmp_path):
    "For such a record torch reads nothing, and its tensor holds what was in memory."
    torch.save({"w": torch.ones(9)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as z, zipfile.ZipFile(tmp_path / "b.pth", "w") as marked:
        for info in z.infolist():
            content = z.read(info)
            info.external_attr = 0x10 if info.filename == "a/data/0" else 0
            marked.writestr(info, content)
    with pytest.raises(ValueError, match="a/data/0 is marked as a folder"):
        load(tmp_path / "b.pth")


def with_header(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("entries", [
    {"a": ("U8", [10**12], [0, 10**12])}, {"a": ("U8", [4], [0, 4]), "b": ("U8", [4], [0, 4])}, {"a": ("U8", [-4], [0, 4])},
    {"a": ("F32", [4], [0, 4])}, {"a": ("U8", [2], [0, 2])}, {"a": ("U8", [2], [2, 4])}, {"a": ("OBJ", [4], [0, 4])},
    {"a": ("U8", [0, 2**70], [0, 0]), "b": ("U8", [4], [0, 4])}, {"a": ("U8", [4.0], [0, 4])}, {"a": ("U8", 4, [0, 4])},
    {"a": ("U8", [True, 4], [0, 4])}])
def test_a_header_that_promises_other_content(file, entries):
    with_header(file, {name: dict(zip(("dtype", "shape", "data_offsets"), o, strict=True)) for name, o in entries.items()}, bytes(4))
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        load(file)


@pytest.mark.parametrize("header", [b"[]", b"3", b'{"a": 1}', b'{"__metadata__": 3}', b"\xff\xff", b'{"a": {"dtype": "U8"}}', b"[" * 9999])
def test_a_header_of_other_content(file, header):
    with_header(file, header)
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        load(file)


def test_a_write_that_changed_a_byte_keeps_the_old_file(file, monkeypatch):
    save({"w": torch.ones(3)}, file)

    import safetensors.torch
    real = safetensors.torch.save_file

    def writes_nan(tensors, part, metadata):
        real({n: t * float("nan") for n, t in tensors.items()}, part, metadata)
    monkeypatch.setattr("safetensors.torch.save_file", writes_nan)
    with pytest.raises(ValueError, match=r"root\.w is not what was written"):
        save({"w": torch.zeros(3)}, file)
    monkeypatch.undo()
    assert torch.equal(load(file)["w"], torch.ones(3)) and files_in(file.parent) == [file.name]


@posix
def test_leftovers_of_killed_processes_are_removed_once_nobody_is_at_work(file):
    left = file.with_name(f"{file.name}.0123abcd.part")
    others = [file.with_name(name) for name in ("data.csv.part", "x.part.json", "mine.part")]
    for f in (left, *others):
        f.write_bytes(b"half")
    with checkpoint.replacing(file.with_name("slow")) as part:          # somebody is at work
        left.write_bytes(b"half")
        part.write_bytes(b"all")
        save(1, file)
        assert left.exists() and part.exists()
    save(2, file)
    assert files_in(file.parent) == sorted([file.name, "slow", *(f.name for f in others)])


def test_advice_to_run_code_does_not_pass_through(tmp_path):
    torch.save({"w": torch.ones(1), "o": Thing()}, tmp_path / "m.pth")
    with pytest.raises(ValueError, match=r"it names \S*Thing\): it was cut short") as e:
        load(tmp_path / "m.pth")
    assert e.value.__cause__ is e.value.__context__ is None and "weights_only" not in str(e.value)
