"""Errors, Ctrl-C and dead workers in the middle of a pass: what follows is whole."""
import multiprocessing
import os
import signal
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, TensorDataset

from minifast.callbacks.activations import ActivationStats
from minifast.callbacks.base import Callback
from minifast.data.dataloader import DataLoader
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


class Rows(Dataset):
    "32 rows; `at` is called before each of them."

    def __init__(self, at=lambda i: None):
        self.at = at

    def __len__(self):
        return 32

    def __getitem__(self, i):
        self.at(i)
        return torch.full((4,), i / 32), i % 2


def learner(at=lambda i: None, make=None, **workers):
    make = make or (lambda: DataLoader(Rows(at), bs=4, device="cpu", **workers))
    learn = Learner(DataLoaders(make(), make(), device="cpu"), torch.nn.Linear(4, 2), CrossEntropyLossFlat())
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == "ProgressCallback"])
    return learn


def assert_whole(learn):
    "The next fit is trained on every batch and cleaned up after."
    heard, n_cbs, begun = [], len(learn.cbs), time.monotonic()
    learn.fit(1, cbs=[Callback(cleanup_fit=lambda: heard.append("clean")), Callback(after_step=lambda: heard.append("step"))])
    learn.validate()
    assert time.monotonic() - begun < 30        # before the mend it waited a minute and more; benchmarks/interrupts.py measures
    assert heard == ["step"] * 8 + ["clean"] and learn.dl is None and not learn.running and len(learn.cbs) == n_cbs


def pids(learn):
    return [w.pid for dl in learn.dls for w in dl._engine.workers] if learn.dls.train._engine else []


# -- clean-up
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_in_cleanup_fit_leaves_a_learner_that_cleans_up(error):
    def fail():
        raise error

    learn, heard = learner(), []
    others = [Callback(cleanup_fit=fail), Callback(cleanup_fit=lambda: heard.append(1)), ActivationStats()]
    with pytest.raises(error):
        learn.fit(1, cbs=others)
    assert heard == [1] and not any(m._forward_hooks for m in learn.model.modules())        # the others' clean-up was done
    assert_whole(learn)
    learn.add_cb(failing := Callback(cleanup_fit=fail))
    for call in (lambda: learn.lr_find(num_it=6, show_plot=False), learn.validate):
        with pytest.raises(error):
            call()
    learn.remove_cb(failing)
    assert_whole(learn)


def test_ctrl_c_during_clean_up_waits_until_all_is_put_back():
    learn, heard = learner(), []
    press = [Callback(cleanup_fit=lambda: os.kill(os.getpid(), signal.SIGINT)), Callback(cleanup_fit=lambda: heard.append(1))]
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=press)
    assert heard == [1] and learn.dl is None
    assert_whole(learn)


@pytest.mark.parametrize("event", ["before_fit", "before_batch", "after_loss", "before_validate", "after_fit"])
def test_ctrl_c_twice_anywhere(event):
    learn = learner()

    def press():
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[Callback(**{event: press}), Callback(cleanup_fit=press)])
    assert_whole(learn)


# -- workers
@pytest.mark.parametrize("workers", [{"num_workers": 2}, {"num_workers": 2, "worker_type": "thread"}, {"make": lambda: TorchDataLoader(
    Rows(), 4, num_workers=1, persistent_workers=True)}], ids=["processes", "threads", "torch"])
def test_a_failed_pass_ends_the_workers_of_all_loaders(workers):
    learn = learner(**workers)
    learn.fit(1)
    old = [dl._engine for dl in learn.dls if hasattr(dl, "_engine")]
    processes = [w for engine in old for w in getattr(engine, "workers", ())]

    def fail(cb):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        learn.fit(1, cbs=Callback(after_batch=fail))
    assert not any(w.is_alive() for w in processes) and not any(getattr(engine, "_ends", ()) for engine in old)
    assert not any(getattr(dl, "_iterator", None) for dl in learn.dls)
    assert_whole(learn)


def wait_for_ever(i):
    if i == 20:
        time.sleep(600)


@pytest.mark.slow
def test_workers_that_hang_end_with_the_pass():
    learn = learner(wait_for_ever, num_workers=2, timeout=1)
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 1 seconds"):
        learn.fit(1)
    assert time.monotonic() - begun < 8


def test_workers_ignore_ctrl_c():
    learn = learner(num_workers=2)
    learn.fit(1)
    before = pids(learn)
    for pid in before:
        os.kill(pid, signal.SIGINT)             # a terminal sends it to all processes of the group
    learn.fit(1)
    assert before and pids(learn) == before


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["training", "validation"])
@pytest.mark.parametrize("persistent", [True, False])
def test_a_killed_worker_is_named_and_the_next_epoch_starts_new_ones(which, persistent):
    learn, killed = learner(lambda i: time.sleep(0.002), num_workers=2, persistent_workers=persistent), []

    def kill(cb):
        if cb.learn.dl is cb.learn.dls[which] and not killed:
            killed.append(cb.learn.dl._engine.workers[1].pid)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(RuntimeError) as e:
        learn.fit(1, cbs=Callback(before_batch=kill))
        time.sleep(0.2)                         # where the kill came too late for the pass, torch says so here
    assert str(killed[0]) in str(e.value)
    assert_whole(learn)


def leave(i):
    if i == 9 and os.path.exists(os.environ["MINIFAST_TEST_LEAVE"]):
        os._exit(int(open(os.environ["MINIFAST_TEST_LEAVE"]).read()))       # noqa: SIM115


@pytest.mark.parametrize("code", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_a_worker_that_ends_the_process_is_named_and_the_advice_shows_where(code, tmp_path, monkeypatch):
    file = tmp_path / "leave"
    monkeypatch.setenv("MINIFAST_TEST_LEAVE", str(file))
    file.write_text(str(code))
    learn = learner(leave, num_workers=2)
    with pytest.raises(RuntimeError, match=rf"^worker process \d+ of a loader ended with exit code {code}: something in the dataset or a "
                                           r"transform ends the process. num_workers=0 shows where$"):
        learn.fit(1)
    with monkeypatch.context() as here, pytest.raises(SystemExit) as e:
        here.setattr(os, "_exit", sys.exit)     # which the tests outlive
        learner(leave, num_workers=0).fit(1)
    assert e.traceback[-1].name == "leave" and e.value.code == code             # as the message says
    file.unlink()
    assert_whole(learn)


def test_a_batch_that_was_being_sent_when_its_worker_died():
    learn = learner(num_workers=2)
    dl = learn.dls.train
    batches = iter(dl)
    next(batches)
    engine = dl._engine
    engine.workers[0].terminate()

    class Cut:                                  # torch's iterator, where the other side is gone
        def __next__(self):
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(RuntimeError, match="worker exited unexpectedly") as e:
        engine._next(Cut())
    engine.close(e.value)
    assert str(e.value).startswith("worker process") and "ended with exit code 0" in str(e.value)
    assert_whole(learn)


@pytest.mark.slow
def test_a_worker_killed_between_two_fits():
    learn = learner(num_workers=2)
    learn.fit(1)
    with pytest.raises(RuntimeError, match="DataLoader worker"):            # torch's, in whatever runs when it ends
        os.kill(pids(learn)[0], signal.SIGKILL)
        time.sleep(5)
    assert_whole(learn)


def test_the_order_is_the_same_where_workers_must_be_replaced():
    def seen(kill):
        dl = DataLoader(Rows(), bs=4, shuffle=True, seed=3, num_workers=2, device="cpu")
        list(dl)
        for w in dl._engine.workers if kill else ():
            w.terminate()                       # torch's workers take it for their end, and say nothing
            w.join()
        return torch.cat([x[:, 0] for x, _ in dl])

    assert seen(True).equal(seen(False))


# -- StopIteration
def test_a_loader_of_torch_that_a_stop_iteration_ends_is_refused():
    def stop(i):
        if i == 13:
            next(iter(()))

    learn = learner(make=lambda: TorchDataLoader(Rows(stop), 4))
    for call in (lambda: learn.fit(1), learn.validate, learn.get_preds):
        with pytest.raises(RuntimeError, match="the loader ended after 3 of 8 batches: .* raised StopIteration"):
            call()
    assert_whole(learner(lambda i: next(iter(()), "none")))
    assert len(learner(make=lambda: TorchDataLoader(TensorDataset(torch.ones(8, 4), torch.ones(8).long()), 4)).get_preds()[0]) == 8


def test_workers_that_handle_the_signal_to_end_are_killed():
    "A worker is forked with the handlers of the program, of a server or a launcher for example, which may not end it."
    before = signal.signal(signal.SIGTERM, lambda *args: None)
    try:
        learn, began, others = learner(num_workers=2), [], set(multiprocessing.active_children())

        def fail(cb):
            began.append(time.monotonic())
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            learn.fit(1, cbs=Callback(after_batch=fail))
        assert time.monotonic() - began[0] < 60 and not set(multiprocessing.active_children()) - others
    finally:
        signal.signal(signal.SIGTERM, before)
    learn.fit(1)
