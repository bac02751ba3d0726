"""What nobody holds any more goes at once, and its workers with it: by counting references, without the garbage collector, which in a
notebook may not come for minutes."""
import copy
import gc
import multiprocessing
import pickle
import threading
import time
import weakref

import matplotlib.pyplot as plt
import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import IterableDataset, get_worker_info

from minifast.callbacks.base import Callback
from minifast.callbacks.batch import TerminateOnNaNCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.stream_loader import StreamLoader
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat


@pytest.fixture(autouse=True)
def no_collector():
    torch.optim.SGD([torch.zeros(1)])               # the first of all: torch imports its compiler, and that holds who asked for it
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def workers():
    "A function that gives the processes and threads of loaders that were started since the test began."
    before = set(multiprocessing.active_children())

    def now():
        return {*multiprocessing.active_children()} - before | {t for t in threading.enumerate() if t.name.startswith("minifast-loader")}

    assert not [t for t in threading.enumerate() if t.name.startswith("minifast-loader")]
    return now


class Numbers:
    def __len__(self):
        return 32

    def __getitem__(self, i):
        return torch.tensor([i / 32]), torch.tensor([i / 16])


class Broken(Numbers):
    def __getitem__(self, i):
        if i == 21:
            raise ValueError("item 21 is broken")
        return super().__getitem__(i)


class Stream(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return map(self.data.__getitem__, range(first, len(self.data), step))


#: What makes a loader of each engine, with workers of each kind.
LOADERS = {
    "processes": lambda data: DataLoader(data(), bs=4, num_workers=2, worker_type="process", device="cpu"),
    "processes of an epoch": lambda data: DataLoader(data(), bs=4, num_workers=2, worker_type="process", persistent_workers=False,
                                                     device="cpu"),
    "threads": lambda data: DataLoader(data(), bs=4, num_workers=2, worker_type="thread", device="cpu"),
    "a stream": lambda data: StreamLoader(Stream(data()), bs=4, num_workers=2, n_items=32, device="cpu"),
    "a shuffled stream": lambda data: StreamLoader(Stream(data()), bs=4, num_workers=2, n_batches=5, shuffle=True, split_idx=0,
                                                   device="cpu"),
    "threads of a stream": lambda data: StreamLoader(Stream(data()), bs=4, num_workers=2, worker_type="thread", n_items=32, device="cpu"),
}


@pytest.fixture(params=LOADERS)
def make(request):
    "A function that makes a loader over a dataset of this class."
    return lambda data=Numbers: LOADERS[request.param](data)


def test_after_one_batch(make, workers):
    dl = make()
    assert len(next(iter(dl))[0]) == 4
    gone = weakref.ref(dl)
    del dl
    assert gone() is None and not workers()


def test_in_the_middle_of_an_epoch(make, workers):
    dl = make()
    batches = iter(dl)
    next(batches)
    assert len(workers()) >= 1
    gone = weakref.ref(dl)
    del dl
    assert next(batches) is not None                # a loop goes on with what it holds
    del batches
    assert gone() is None and not workers()


def test_after_epochs(make, workers):
    dl = make()
    assert [len(list(dl)) for _ in range(2)] == [len(dl)] * 2
    gone, data = weakref.ref(dl), weakref.ref(dl.dataset)
    del dl
    assert gone() is None and data() is None and not workers()


def test_after_an_error(make, workers):
    dl = make(Broken)
    try:
        for _ in range(3):
            list(dl)
    except ValueError as e:
        assert "item 21 is broken" in str(e)
    else:
        raise AssertionError("no error")
    assert not workers()
    gone = weakref.ref(dl)
    del dl
    assert gone() is None


def test_after_ctrl_c_in_a_loop_by_hand(make, workers):
    dl = make()

    def loop(dl):
        for _ in dl:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(dl)
    gone = weakref.ref(dl)
    del dl
    assert gone() is None and not workers()


# -- learners -------------------------------------------------------------------------------------------------------------------------
class CtrlC(Callback):
    def after_batch(self):
        raise KeyboardInterrupt


def learner(make, **kw):
    return Learner(DataLoaders(make(), make()), nn.Linear(1, 1), MSELossFlat(), metrics=[torch.nn.functional.l1_loss], **kw)


def test_a_learner_with_all_that_it_holds(make, workers, tmp_path):
    learn = learner(make, path=tmp_path)
    learn.fit_one_cycle(2)
    learn.lr_find(num_it=20, stop_div=False, show_plot=False)
    learn.validate()
    learn.get_preds()
    learn.save("weights")
    gone = [weakref.ref(o) for o in (learn, learn.model, learn.opt, learn.dls, learn.recorder, *learn.dls)]
    del learn
    assert [g() for g in gone] == [None] * len(gone) and not workers()


def test_a_cell_that_is_run_again(make, workers):
    "Its variables have new values: the old learner is gone, and the workers are those of the new one."
    for _ in range(3):
        dls = DataLoaders(make(), make())
        learn = Learner(dls, nn.Linear(1, 1), MSELossFlat())
        learn.fit(1)
        seen = workers()
        assert len(seen) <= 2 * dls.train.num_workers
        old = weakref.ref(learn)
    del learn, dls
    assert old() is None and not workers()


def test_a_fit_after_ctrl_c(make, workers):
    learn = learner(make)
    with pytest.raises(KeyboardInterrupt) as caught:
        learn.fit(1, cbs=CtrlC)
    assert not workers()                            # although the traceback holds the loop
    learn.fit(1)
    gone = weakref.ref(learn)
    del learn, caught
    assert gone() is None and not workers()


def test_a_callback_does_not_hold_its_learner():
    learn = learner(lambda: LOADERS["threads"](Numbers))
    learn.fit(1)
    recorder, other = learn.recorder, Callback(after_batch=lambda: None)
    assert recorder.learn is learn and other.learn is None
    learn.add_cb(other)
    names, column = recorder.metric_names, recorder.frame().valid_loss
    del learn
    assert recorder.learn is None and recorder.metric_names == names == ["epoch", "train_loss", "valid_loss", "l1_loss", "time"]
    assert recorder.frame().valid_loss.equals(column) and recorder.overfitting() is None
    recorder.plot_loss()
    recorder.plot_metrics()
    plt.close("all")
    with told("callbacks/base.py", "its learner is gone, because nothing holds it. Keep it in a variable, `learn = Learner(...)`"):
        _ = recorder.dls
    learn = Learner(DataLoaders(LOADERS["threads"](Numbers)), nn.Linear(1, 1), MSELossFlat())
    assert learn.recorder.dls is learn.dls
    learn.add_cb(other)                             # which is free again


def test_a_copy_of_a_learner_has_copies_of_its_callbacks():
    learn = learner(lambda: LOADERS["threads"](Numbers))
    for copied in (copy.deepcopy(learn), pickle.loads(pickle.dumps(learn))):
        assert copied is not learn and copied.recorder is not learn.recorder
        assert all(cb.learn is copied for cb in copied.cbs) and all(cb.learn is learn for cb in learn.cbs)
        copied.fit(1)


def test_checks_hold_no_learner():
    learn = learner(lambda: LOADERS["threads"](Numbers))
    learn.check(budget=5)
    learn.profile(n_steps=2)
    gone = weakref.ref(learn), weakref.ref(learn.model)
    del learn
    assert [g() for g in gone] == [None, None]


def fails():
    raise ValueError("of a callback")


class NoNumber(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x * self.w / 0


def no_metric(pred, target):
    raise ValueError("of a metric")


class Waits(Numbers):
    def __getitem__(self, i):
        time.sleep(0.3)
        return super().__getitem__(i)


LEARNERS = {
    "a callback that fails": lambda: learner(lambda: LOADERS["threads"](Numbers), cbs=Callback(after_batch=fails)),
    "clean-up that fails": lambda: learner(lambda: LOADERS["threads"](Numbers), cbs=Callback(cleanup_fit=fails)),
    "a loss that is not finite": lambda: Learner(DataLoaders(LOADERS["threads"](Numbers)), NoNumber(), MSELossFlat()),
    "the loss told at once": lambda: Learner(DataLoaders(LOADERS["threads"](Numbers)), NoNumber(), MSELossFlat(),
                                             cbs=TerminateOnNaNCallback()),
    "a metric": lambda: Learner(DataLoaders(*(LOADERS["threads"](Numbers) for _ in range(2))), nn.Linear(1, 1), MSELossFlat(),
                                metrics=no_metric),
    "a layer": lambda: Learner(DataLoaders(LOADERS["threads"](Numbers)), nn.Linear(2, 1), MSELossFlat()),
    "nothing to skip to": lambda: Learner(DataLoaders(DataLoader([None] * 8, bs=4, on_error="skip", num_workers=0, device="cpu",
                                                                 after_item=no_sample)), nn.Linear(1, 1), MSELossFlat()),
    "a timeout": lambda: Learner(DataLoaders(DataLoader(Waits(), bs=4, num_workers=1, worker_type="thread", timeout=0.5, device="cpu")),
                                 nn.Linear(1, 1), MSELossFlat()),
}


def no_sample(x):
    raise ValueError("of a transform")


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_after_a_fit_that_failed(make, workers):
    learn = make()
    try:
        learn.fit(2)
    except Exception as e:
        assert e.__traceback__ is not None
    else:
        raise AssertionError("no error")
    gone = weakref.ref(learn), weakref.ref(learn.model), weakref.ref(learn.dls.train)
    del learn
    assert [g() for g in gone] == [None] * 3 and not workers()
