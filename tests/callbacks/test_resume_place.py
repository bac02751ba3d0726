"Where a fit continues: within an epoch, with the techniques that keep something from batch to batch; what is written, and when it goes."
import os
import shutil
import warnings

import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks import EMA, SWA, Callback, CSVLogger, GradientAccumulation, MixedPrecision, MixUp, Resume, SaveModelCallback
from minifast.core import checkpoint
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim import SGD, Adam


def make(path, opt_func=Adam, workers=0):
    torch.manual_seed(1)
    ds = TensorDataset(torch.randn(48, 4), torch.arange(48) % 2)
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3)), nn.Linear(8, 2))
    loaders = (DataLoader(ds, bs=8, shuffle=shuffle, num_workers=workers, device="cpu") for shuffle in (True, False))
    learn = Learner(DataLoaders(*loaders), model, CrossEntropyLossFlat(), opt_func, metrics="accuracy", path=path,
                    splitter=lambda m: [list(part.parameters()) for part in m])
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def stop_at(epoch, batch, event="before_batch"):
    def stop(cb):
        if cb.learn.training and (cb.learn.epoch, cb.learn.iter) == (epoch, batch):
            raise KeyboardInterrupt
    return Callback(**{event: stop})


def same(a, b):
    return (all(torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True))
            and a.recorder.raw_losses == b.recorder.raw_losses and a.recorder.lrs == b.recorder.lrs
            and a.recorder.frame().drop(columns="time").equals(b.recorder.frame().drop(columns="time")))


TECHNIQUES = {"SGD": (list, SGD, "fit"), "one-cycle": (list, Adam, "fit_one_cycle"), "EMA": (lambda: [EMA(0.9)], Adam, "fit"),
              "MixUp": (lambda: [MixUp()], Adam, "fit_one_cycle"), "accumulation": (lambda: [GradientAccumulation(16)], Adam, "fit"),
              "SWA": (lambda: [SWA(0.4)], Adam, "fit"), "bf16": (lambda: [MixedPrecision("bf16")], Adam, "fit_flat_cos"),
              "fine_tune": (list, Adam, "fine_tune")}


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_within_an_epoch_to_the_bit(technique, tmp_path):
    make_cbs, opt_func, verb = TECHNIQUES[technique]

    def run(folder, *cbs, **kwargs):
        learn = make(tmp_path / folder, opt_func)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Resume: this fit")
            getattr(learn, verb)(2, 0.05, cbs=[*make_cbs(), *cbs], **kwargs)
        return learn

    whole, started = run("whole"), []
    with pytest.raises(KeyboardInterrupt):
        run("broken", stop_at(1, 5), resume=Resume(None, every=3))
    again = run("broken", Callback(before_batch=lambda cb: started.append((cb.learn.epoch, cb.learn.iter))), resume=Resume(None, every=3))
    assert started[0] == ((1, 4) if technique == "accumulation" else (1, 3))       # once its gradients had become a step
    assert same(whole, again) and not list(tmp_path.rglob("resume*"))


def test_every_so_many_seconds(tmp_path, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr("minifast.callbacks.resume.time.monotonic", lambda: now[0])
    learn = make(tmp_path)
    watch = Callback(after_batch=lambda cb: now.__setitem__(0, now[0] + 20) if cb.learn.training else None,
                     before_batch=lambda cb: saved.append(checkpoint.load(file)["batch"]) if cb.learn.training else None)
    file = tmp_path / "models" / "resume.safetensors"
    learn.fit(1, cbs=[Resume(every="1min"), watch])
    assert saved == [0, 0, 0, 3, 3, 3]                      # after 60 s; and not after the last batch, when validation follows


def test_a_fit_that_is_stopped_twice(tmp_path):
    whole = make(tmp_path / "a")
    whole.fit_one_cycle(3, 0.05)
    for at in ((0, 4), (1, 2), (1, 5)):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "b").fit_one_cycle(3, 0.05, cbs=stop_at(*at), resume=Resume(None, every=1))
    again = make(tmp_path / "b")
    again.fit_one_cycle(3, 0.05, resume=Resume(None, every=1))
    assert same(whole, again)


def test_with_another_number_of_workers(tmp_path):
    whole = make(tmp_path / "a")
    whole.fit_one_cycle(3, 0.05)
    for workers, at in ((2, (0, 4)), (0, (1, 4))):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "b", workers=workers).fit_one_cycle(3, 0.05, cbs=stop_at(*at), resume=Resume("r", every=1))
    again = make(tmp_path / "b", workers=2)
    again.fit_one_cycle(3, 0.05, resume=Resume("r", every=1))
    assert same(whole, again)


def test_the_same_learner_goes_on_in_the_same_notebook(tmp_path):
    whole, learn = make(tmp_path / "a"), make(tmp_path / "b")
    torch.manual_seed(3)
    whole.fit_one_cycle(3, 0.05)
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        learn.fit_one_cycle(3, 0.05, cbs=stop_at(1, 4), resume=Resume(None, every=2))
    learn.fit_one_cycle(3, 0.05, resume=Resume(None, every=2))
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), learn.model.state_dict().values(), strict=True))


# -- what is written ----------------------------------------------------------------------------------------------------------------
def interrupted(path, **kwargs):
    with pytest.raises(KeyboardInterrupt):
        make(path).fit(3, 0.05, cbs=stop_at(2, 1), **kwargs)
    return sorted(f.name for f in path.rglob("resume*"))


def test_the_newest_two_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    whole = make(tmp_path / "a")
    whole.fit(3, 0.05)
    folder = tmp_path / "b"
    assert interrupted(folder, resume=True) == ["resume-previous.safetensors", "resume.run.json", "resume.safetensors"]
    file = next(folder.rglob("resume.safetensors"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    again = make(folder)
    with pytest.warns(UserWarning, match=r"resume.safetensors cannot be read .* continues from the state before"):
        again.fit(3, 0.05, resume=True)
    assert same(whole, again)


def test_nothing_whole_is_left(tmp_path):
    interrupted(tmp_path, resume=True)
    for file in tmp_path.rglob("resume*.safetensors"):
        file.write_bytes(b"nothing")
    with told("callbacks/resume.py", "To train from the beginning, remove what is there: "):
        make(tmp_path).fit(3, 0.05, resume=True)
    shutil.rmtree(next(tmp_path.rglob("resume.safetensors")).parent)
    make(tmp_path).fit(3, 0.05, resume=True)


def test_a_file_of_something_else(tmp_path):
    learn = make(tmp_path)
    learn.save("resume")
    with told("callbacks/resume.py", "remove it, or give another name, Resume('other')"):
        learn.fit(1, cbs=Resume())
    learn.fit(1, cbs=Resume("other"))
    (tmp_path / "models" / "resume.safetensors").unlink()
    learn.fit(1, cbs=Resume())


def changed(state, path, value):
    "`state` with `value` in the place that `path` leads to."
    part = state
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return state


FORGED = [(("fit",), {}), (("fit", "rates"), None), (("settings",), "{}"), (("settings",), "no JSON"), (("epoch",), "one"),
          (("model",), {}), (("opt", "param_groups"), []), (("opt", "state"), 3), (("rng",), {}), (("rng", "torch"), 5),
          (("loaders",), None), (("recorder",), {}), (("recorder", "record"), None), (("loader",), None), (("callbacks",), {"csv": 1}),
          (("lost",), 1)]


@pytest.mark.parametrize("path, value", FORGED, ids=lambda o: ".".join(o) if isinstance(o, tuple) else repr(o))
def test_states_that_somebody_changed_are_refused_and_the_advice_works(path, value, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(3, 0.05, cbs=stop_at(1, 4), resume=Resume(None, every=2))
    file = next(tmp_path.rglob("resume.safetensors"))
    checkpoint.save(changed(checkpoint.load(file), path, value), file)
    learn = make(tmp_path)
    try:
        learn.fit(3, 0.05, resume=Resume(None, every=2))
    except ValueError as e:
        assert str(file) in str(e)
        shutil.rmtree(file.parent)
        learn.fit(3, 0.05, resume=Resume(None, every=2))
    else:
        assert path[0] in ("callbacks", "loaders") and len(learn.recorder.history) == 3         # nobody needs what was changed


def test_a_state_that_cannot_be_used_is_told(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(3, 0.05, cbs=[Resume(), stop_at(1, 4)])
    file = tmp_path / "models" / "resume.safetensors"
    checkpoint.save(changed(checkpoint.load(file), ("rng", "torch"), 5), file)
    with told("callbacks/resume.py", "To train from the beginning, remove it"):
        make(tmp_path).fit(3, 0.05, cbs=Resume())
    file.unlink()
    (tmp_path / "models" / "resume-previous.safetensors").unlink()
    make(tmp_path).fit(3, 0.05, cbs=Resume())


def test_a_state_of_another_place(tmp_path, monkeypatch):
    whole = make(tmp_path / "whole")
    whole.fit(3, 0.05)
    interrupted(tmp_path / "first", resume=True)
    attached = tmp_path / "input" / "notebook"                     # read-only, as an attached dataset
    shutil.copytree(tmp_path / "first", attached)
    file = next(attached.rglob("resume.safetensors"))
    for i, source in enumerate((file, attached)):
        learn = make(tmp_path / f"second{i}")
        learn.fit(3, 0.05, resume=source)
        assert same(whole, learn) and file.exists()
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        make(tmp_path / "third").fit(3, 0.05, resume=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there is no resume.safetensors in this folder"):
        make(tmp_path / "third").fit(3, 0.05, resume=tmp_path / "empty")


@pytest.mark.parametrize("on_kaggle", [False, True])
def test_the_last_line_says_how_to_go_on(on_kaggle, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive" if on_kaggle else "")
    learn, said = make(tmp_path), []
    learn.logger = said.append
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, 0.05, cbs=stop_at(1, 1), resume=True)
    file = next(tmp_path.rglob("resume.safetensors"))
    assert said[-1].startswith(f"Resume: the training can be continued from {file}: make the same call again")
    assert ("resume='/kaggle/input/...'" in said[-1]) == on_kaggle
    learn.fit(3, 0.05, resume=True)
    assert "can be continued" not in str(said[-1])


def test_the_line_for_the_next_session_on_kaggle_works(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    whole = make(tmp_path / "whole")
    whole.fit(3, 0.05)
    learn, said = make(tmp_path / "working"), []
    learn.logger = said.append
    with told("callbacks/resume.py", "give that call the path of … in it, resume='/kaggle/input/...'"):
        with pytest.raises(KeyboardInterrupt):
            learn.fit(3, 0.05, cbs=stop_at(1, 1), resume=True)
        warnings.warn(said[-1], stacklevel=1)
    shutil.move(tmp_path / "working", tmp_path / "input")
    learn = make(tmp_path / "working")
    learn.fit(3, 0.05, resume=next((tmp_path / "input").rglob("resume.safetensors")))
    assert same(whole, learn)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_removed_before_all_others_have_ended(error, tmp_path):
    whole = make(tmp_path / "whole")
    whole.fit(2, 0.05, cbs=SWA(0.4))

    def fail(cb):
        raise error

    late = Callback(after_fit=fail)
    late.order = 1000
    with pytest.raises(error):
        make(tmp_path / "b").fit(2, 0.05, cbs=[SWA(0.4), late], resume=Resume(None, every=2))
    learn = make(tmp_path / "b")
    learn.fit(2, 0.05, cbs=SWA(0.4), resume=Resume(None, every=2))
    assert same(whole, learn)


def disk_for(n, monkeypatch):
    "A disk with room for `n` states."
    real, saved = checkpoint.save, []

    def save(value, file):
        saved.append(file)
        if len(saved) > n:
            raise OSError(28, "No space left on device")
        return real(value, file)

    monkeypatch.setattr(checkpoint, "save", save)


def test_a_full_disk_ends_no_training(tmp_path, monkeypatch):
    whole = make(tmp_path / "whole")
    whole.fit(3, 0.05)
    disk_for(1, monkeypatch)
    learn = make(tmp_path / "b")
    with pytest.warns(UserWarning, match=r"at epoch 1, batch 0 could not be written .*No space left.*training goes on") as seen:
        learn.fit(3, 0.05, resume=True)
    assert same(whole, learn) and len(seen) == 1


def test_a_disk_that_fills_before_the_second_phase_of_fine_tune(tmp_path, monkeypatch):
    whole = make(tmp_path / "whole")
    whole.fine_tune(1, 0.05)
    disk_for(1, monkeypatch)
    learn = make(tmp_path / "b")
    with pytest.warns(UserWarning, match="training goes on"):
        learn.fine_tune(1, 0.05, resume=True)
    assert same(whole, learn)


def test_a_disk_that_is_full_from_the_start_is_an_error_at_the_start(tmp_path, monkeypatch):
    disk_for(0, monkeypatch)
    learn = make(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        learn.fit(1, resume=True)
    assert learn.recorder.raw_losses == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "models").mkdir(mode=0o500)
    with pytest.raises(OSError, match="Resume cannot write to"):
        make(tmp_path).fit(1, resume=True)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(OSError, match="Resume cannot write to .*learn.path = Path"):
        make(tmp_path).fit(1, resume=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no locks")
def test_a_run_that_another_process_trains(tmp_path):
    def elsewhere(cb):
        "In a process forked within the fit: it does not have the lock."
        if cb.learn.training and cb.learn.iter == 0:
            read, write = os.pipe()
            if (child := os.fork()) == 0:
                try:
                    make(tmp_path).fit(1, 0.05, resume=True)
                except BaseException as e:
                    os.write(write, str(e).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            os.close(write)
            said.append(os.read(read, 9999).decode())
            os.close(read)

    said: list = []
    make(tmp_path).fit(1, 0.05, cbs=Callback(before_batch=elsewhere), resume=True)
    with told("callbacks/resume.py", "to train beside it, give this fit a name of its own, such as resume=Resume('other')"):
        raise RuntimeError(said[0])
    assert not list(tmp_path.rglob("resume*")) and not list(tmp_path.rglob("run-*"))
    make(tmp_path).fit(1, 0.05, cbs=Callback(before_batch=lambda cb: said.append([f.name for f in tmp_path.rglob("*.lock")])),
                       resume=Resume("other"))
    assert said[-1] == ["other.lock"] and not list(tmp_path.rglob("*.lock"))


def test_every_fit_takes_it(tmp_path):
    for verb, args in (("fit", (1,)), ("fit_one_cycle", (1,)), ("fit_flat_cos", (1,)), ("fit_sgdr", (1, 1)), ("fine_tune", (1,))):
        seen: list = []
        watch = Callback(before_batch=lambda seen=seen: seen.append(len(list(tmp_path.rglob("run-*/resume.safetensors")))))
        getattr(make(tmp_path), verb)(*args, cbs=watch, resume=True)
        assert set(seen) == {1} and not list(tmp_path.rglob("run-*"))


def test_the_row_of_a_logger_comes_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(3, 0.05, cbs=[CSVLogger(), SaveModelCallback(), stop_at(1, 4)], resume=Resume(None, every=2))
    log = CSVLogger()
    make(tmp_path).fit(3, 0.05, cbs=[log, SaveModelCallback()], resume=Resume(None, every=2))
    assert log.read()["epoch"].tolist() == [0, 1, 2] and log.read()["run"].nunique() == 1
