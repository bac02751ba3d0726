"""Threads make the same batches as processes and as no workers, end when nobody wants them, and reuse memory only when it is free."""
import random
import sys
import threading
import time

import fresh_process
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset
from torchvision.transforms import v2

from minifast.core.seeds import set_seed
from minifast.data.dataloader import DataLoader
from minifast.data.datasets import Datasets, TfmdLists
from minifast.data.engine.fetch import BatchKey, Making, one_torch_thread
from minifast.data.engine.threads import ThreadEngine
from minifast.data.transforms import RandTransform

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes can be forked on Linux")


class Noise(RandTransform):
    "Draws from the generator of the sample."
    split_idx = None

    def draw(self, sample, rng, split_idx):
        return {"v": float(rng.random())}

    def encodes(self, x: float, v):
        return x + v


def noisy(n=23):
    return TfmdLists(range(n), [float, Noise()])


def loader(dataset, **kwargs):
    return DataLoader(dataset, **{"bs": 4, "device": "cpu", **kwargs})


def threads_alive():
    return [t for t in threading.enumerate() if t.name.startswith("minifast-loader")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    deadline = time.monotonic() + 5
    while threads_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads_alive()


def test_items_that_wait_for_a_thread_are_not_made_once_the_loop_is_left():
    class Counted(Dataset):
        made = 0

        def __len__(self):
            return 100

        def __getitem__(self, i):
            Counted.made += 1
            time.sleep(0.02)
            return i

    for _ in loader(Counted(), num_workers=1, worker_type="thread"):
        made = Counted.made
        break
    assert Counted.made <= made + 2             # the one in the making, and one that the thread took meanwhile


# -- the same batches -------------------------------------------------------------------------------------------------------------

@linux
def test_the_same_batches_whatever_makes_them():
    kinds = [(0, None), (1, "thread"), (2, "thread"), (5, "thread"), (2, "process")]
    found = []
    for n, kind in kinds:
        dl = loader(noisy(), shuffle=True, seed=3, num_workers=n, worker_type=kind)
        assert (dl.num_workers, dl.worker_type) == (n, kind if n else None)
        found.append([torch.cat(list(dl)) for _ in range(3)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert not torch.equal(found[0][0], found[0][1])


def test_functions_of_any_kind():
    seen = []
    dl = loader(Datasets(range(9), [[lambda i: torch.full((3,), i)], [lambda i: (seen.append(threading.current_thread().name), i)[1]]]),
                num_workers=2, worker_type="thread")
    assert torch.cat([b[1] for b in dl]).tolist() == list(range(9))
    assert sum(n.startswith("minifast-loader") for n in seen) == 9
    assert repr(dl).endswith("num_workers=2 (threads)")


def test_before_batch_collate_and_resuming():
    def dl():
        return loader(noisy(), shuffle=True, seed=1, num_workers=2, worker_type="thread", before_batch=lambda samples: samples[::-1],
                      collate_fn=lambda samples: {"x": torch.tensor(samples)})
    whole = [b["x"] for b in dl()]
    half = dl()
    it = iter(half)
    first = [next(it)["x"] for _ in range(2)]
    state = half.state_dict()
    other = dl()
    other.load_state_dict(state)
    rest = [b["x"] for b in other]
    assert all(torch.equal(a, b) for a, b in zip(first + rest, whole, strict=True))
    del it


def test_two_loops_at_once():
    dl = loader(range(8), bs=2, num_workers=2, worker_type="thread")
    assert [(a.tolist(), b.tolist()) for a, b in zip(dl, dl, strict=True)] == [([i, i + 1],) * 2 for i in (0, 2, 4, 6)]


# -- errors, and the end ----------------------------------------------------------------------------------------------------------

def test_errors_come_in_their_turn_and_name_the_item():
    dl = loader(Datasets(["1", "2", "3", "x", "5", "y"], [[int]]), bs=2, num_workers=2, worker_type="thread")
    it = iter(dl)
    assert next(it)[0].tolist() == [1, 2]
    with pytest.raises(ValueError, match="invalid literal for int.*'x'") as e:
        next(it)
    text = "".join([str(e.value), *getattr(e.value, "__notes__", [])])
    assert "item 3, 'x'" in text and any("_fetch" in str(f.name) for f in e.traceback)
    assert not threads_alive()


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def test_an_error_arrives_as_it_is():
    def fail(i):
        raise Odd(1, 2)
    with pytest.raises(Odd):
        list(loader(TfmdLists(range(4), fail), num_workers=2, worker_type="thread"))
    with pytest.raises(ValueError, match="different shapes.*item 1"):
        list(loader(TfmdLists(range(4), lambda i: torch.zeros(i + 1)), num_workers=2, worker_type="thread"))


@pytest.mark.parametrize("how", ["break", "error", "interrupt", "forgotten"])
def test_threads_end_with_the_loop(how):
    dl = loader(noisy(200), bs=2, num_workers=3, worker_type="thread")
    if how == "break":
        for _ in dl:
            break
        assert not threads_alive()
    elif how == "forgotten":
        it = iter(dl)
        next(it)
        assert len(threads_alive()) == 3
        del it
    else:
        error = KeyboardInterrupt if how == "interrupt" else RuntimeError
        with pytest.raises(error):
            for _ in dl:
                raise error
    deadline = time.monotonic() + 2
    while threads_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads_alive()


@pytest.mark.slow
def test_the_interpreter_ends_with_a_loop_left_open():
    code = ("import time\nfrom minifast.data.dataloader import DataLoader\n"
            "class Slow:\n    def __len__(self): return 1000\n    def __getitem__(self, i): time.sleep(0.01); return i\n"
            "it = iter(DataLoader(Slow(), bs=2, num_workers=4, worker_type='thread', device='cpu'))\nprint(next(it).tolist())")
    done = fresh_process.run(code, timeout=60)
    assert done.returncode == 0 and done.stdout.strip() == "[0, 1]" and not done.stderr, done.stderr


class Counts(Dataset):
    def __init__(self, n):
        self.n, self.made = n, 0

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.made += 1
        return i


def test_at_most_two_batches_for_each_thread_in_advance():
    ds = Counts(400)
    it = iter(loader(ds, bs=4, num_workers=3, worker_type="thread"))
    next(it)
    time.sleep(0.3)
    assert ds.made == 4 * (1 + 2 * 3)
    next(it)
    time.sleep(0.1)
    assert ds.made == 4 * (2 + 2 * 3)
    del it


def test_a_worker_that_never_comes_back():
    stuck = threading.Event()
    dl = loader(TfmdLists(range(4), lambda i: stuck.wait(3)), bs=2, num_workers=1, worker_type="thread", timeout=0.2)
    with pytest.raises(RuntimeError, match="timed out after 0.2 seconds") as e:
        stuck_for = threading.Timer(1.5, stuck.set)
        stuck_for.start()
        next(iter(dl))
    assert "num_workers=0 shows where it stops" in "".join([str(e.value), *getattr(e.value, "__notes__", [])])


# -- the choice -------------------------------------------------------------------------------------------------------------------

def test_what_is_chosen():
    assert loader(TensorDataset(torch.zeros(9))).worker_type is None
    if sys.platform.startswith("linux"):
        assert loader(noisy(), num_workers=2).worker_type == "process"
    dl = loader(noisy(), num_workers=0)
    assert dl.worker_type is None
    dl.num_workers = 2                                   # changed by hand
    assert len(torch.cat(list(dl))) == 23 and dl.worker_type is not None


@pytest.mark.parametrize(("kwargs", "words"), [
    ({"worker_type": "threads"}, "worker_type='threads': it is 'thread', 'process' or None"),
    ({"worker_type": "thread", "num_workers": 2, "multiprocessing_context": "fork"}, "which is for processes: give one of them"),
    ({"cache": "ram", "worker_type": "process", "num_workers": 2}, "cache='ram' and worker_type='process'"),
    ({"after_item": v2.RandomHorizontalFlip(), "worker_type": "thread", "num_workers": 2}, "draws from torch's global random stream"),
])
def test_refused(kwargs, words):
    with pytest.raises(ValueError, match=words):
        loader(noisy(), **kwargs)


class Pictures(RandTransform):
    "Stands for the step that makes tensors of pictures."
    loads_images = True

    def encodes(self, x: float):
        return x


@linux
def test_what_draws_from_a_global_stream_gets_processes():
    for draw in (lambda x: x + random.random(), lambda x: x + np.random.rand(), lambda x: x + torch.rand(()).item()):
        batches = []
        for n in (None, 0):
            dl = loader(TfmdLists(range(9), [float, draw]), after_item=Pictures(), num_workers=n, seed=1)
            assert dl.worker_type == ("thread" if n is None else None)
            before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
            batches.append(torch.cat(list(dl)))
            assert random.getstate() == before[0] and np.random.get_state()[1].tolist() == before[1]
            assert torch.equal(torch.get_rng_state(), before[2])
            assert dl.worker_type == ("process" if n is None else None)
        assert torch.equal(*batches)
    dl = loader(TfmdLists(range(9), [float, lambda x: x + 1]), after_item=Pictures())
    assert torch.cat(list(dl)).tolist() == list(range(1, 10)) and dl.worker_type == "thread"


def dark(x):
    return x % 5 == 3


def now_and_then(draw):
    "A loader by default, whose transform draws for some items only, not for the first one."
    dataset = TfmdLists(range(40), [float, lambda x: x + draw() if dark(x) else x])
    return loader(dataset, after_item=Pictures(split_idx=0), num_workers=2, seed=1, split_idx=0)


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


GLOBAL = {"random": random.random, "numpy": np.random.rand, "torch": lambda: torch.rand(()).item()}


@linux
@pytest.mark.parametrize("name", GLOBAL)
def test_draws_for_some_items_are_found_when_they_happen(name):
    draw, found = GLOBAL[name], []
    for n in (2, 0, 2):
        dl = now_and_then(draw)
        dl.num_workers = n
        before = states()
        found.append(torch.cat(list(dl)))
        assert states() == before and dl.worker_type == ("process" if n else "thread")
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@linux
def test_an_epoch_that_is_left_early_gives_back_what_threads_have_drawn():
    handed_out = threading.Event()
    dataset = TfmdLists(range(40), lambda x: (handed_out.wait(5), random.random()) if x > 7 else x)
    dl = loader(dataset, num_workers=2, worker_type="thread", seed=1)
    before, it = states(), iter(dl)
    next(it)
    handed_out.set()
    time.sleep(0.1)                                         # the threads go on meanwhile
    assert states() != before
    it.close()
    assert states() == before


@pytest.mark.parametrize("name", GLOBAL)
def test_threads_that_were_asked_for_refuse_it_and_name_the_item(name):
    draw = GLOBAL[name]
    dl = loader(TfmdLists(range(40), lambda x: x + draw() if dark(x) else x), num_workers=2, worker_type="thread", seed=1)
    before = states()
    with pytest.raises(RuntimeError, match=f"making item 3, int 3 draws from the global random stream of {name}, which threads share"):
        list(dl)
    assert states() == before and not threads_alive()


@pytest.mark.parametrize("name", GLOBAL)
def test_a_loop_that_draws_is_not_taken_for_threads(name):
    made = []
    dl = loader(TfmdLists(range(40), lambda x: (made.append(x), float(x))[1]), num_workers=2, worker_type="thread", seed=1)
    for _ in range(2):
        drawn = [GLOBAL[name]() for _ in dl]
    assert len(set(drawn)) == 10 and dl.worker_type == "thread" and len(made) < 3 * 40
    set_seed(0)
    want = [GLOBAL[name]() for _ in range(10)]
    set_seed(0)
    assert [GLOBAL[name]() for _ in dl] == want


# -- torch's threads --------------------------------------------------------------------------------------------------------------

@linux
def test_one_torch_thread_is_for_this_thread_only():
    before = torch.get_num_threads()
    seen = {}
    with one_torch_thread():
        seen["inside"] = torch.get_num_threads()
        other = threading.Thread(target=lambda: seen.update(other=torch.get_num_threads()))
        other.start()
        other.join()
    assert seen["inside"] == 1 and torch.get_num_threads() == before and seen["other"] >= 1

    def new():                                  # which has not yet computed when the block begins
        with one_torch_thread():
            seen["new"] = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        other = threading.Thread(target=new)
        other.start()
        other.join()
    finally:
        torch.set_num_threads(before)
    assert seen["new"] == 1
    seen = []
    list(loader(TfmdLists(range(4), lambda i: seen.append(torch.get_num_threads()) or i), num_workers=2, worker_type="thread"))
    assert seen.count(1) >= 4 and torch.get_num_threads() == before


# -- memory ----------------------------------------------------------------------------------------------------------------------

class Planes(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        return torch.full((3, 300, 300), i, dtype=torch.uint8).contiguous()


@pytest.mark.parametrize("n", [0, 2])
def test_batches_that_are_kept_are_not_written_over(n):
    dl = loader(Planes(), bs=4, num_workers=n, worker_type="thread" if n else None)
    kept = list(dl)
    again = [b.clone() for b in dl]
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True)) and len({b.data_ptr() for b in kept}) == 6


def test_iterator_by_hand():
    class Fetches:
        may_draw_globally = False

        def begin(self, key):
            return Making(key)

        def fill(self, making, positions, stopped):
            for k in positions:
                making.samples[k] = making.key.indices[k] * 10

        def finish(self, making):
            return making.samples

    def batches(keys):
        return ThreadEngine(Fetches(), 2).batches(keys)

    assert list(batches(BatchKey(0, n, [n, n + 1], None) for n in range(5))) == [[10 * n, 10 * n + 10] for n in range(5)]
    assert list(batches(iter(()))) == []

    def failing():
        yield BatchKey(0, 0, [1, 2], None)
        raise OSError("the order is on another disk")

    with pytest.raises(OSError, match="another disk"):
        list(batches(failing()))
