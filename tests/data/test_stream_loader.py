"A stream gives each item once, in a new order each epoch, however many workers read it, and goes on where it was."
import os
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset, get_worker_info

from minifast.basics import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, StreamLoader, set_seed
from minifast.callbacks import Resume

sys.path.insert(0, str(Path(__file__).parent / "streams"))
from numbered import Counted, KeepsPlace, Plain, SplitsItself, flat, read, sample

ALL = list(range(100))
workers = pytest.mark.parametrize("num_workers", [0, 2, pytest.param(3, marks=pytest.mark.slow)])


def loader(dataset, **kwargs):
    known = getattr(dataset, "n_items", None) is not None or "n_batches" in kwargs
    said = {} if known else {"n_items": 100}
    return StreamLoader(dataset, **{"bs": 8, "buffer": 10, "seed": 1, "device": "cpu", "num_workers": 0, **said, **kwargs})


@workers
@pytest.mark.parametrize("make", [Counted, lambda: Counted(known=False), Plain, KeepsPlace])
def test_validation_is_the_stream_in_its_order_whoever_reads_it(make, num_workers):
    with pytest.warns(UserWarning) if num_workers and make in (Plain, KeepsPlace) else _quiet():
        dl = loader(make(), num_workers=num_workers, split_idx=1)
        batches = read(dl)
    assert flat(batches) == ALL and [len(b) for b in batches] == [8] * 12 + [4] and len(dl) == 13
    assert read(dl) == batches


@workers
@pytest.mark.parametrize("make", [Counted, Plain, KeepsPlace])
def test_training_gives_each_item_once_in_a_new_order_each_epoch(make, num_workers):
    dl = loader(make(), num_workers=num_workers, shuffle=True)
    epochs = [read(dl) for _ in range(3)]
    assert all(sorted(flat(e)) == ALL and [len(b) for b in e] == [8] * 12 + [4] for e in epochs)
    assert len({str(e) for e in epochs}) == 3
    assert [read(loader(make(), num_workers=num_workers, shuffle=True)) for _ in range(1)] == epochs[:1]        # of one seed


@workers
def test_a_dataset_that_splits_itself_is_left_to_do_so(num_workers):
    dl = loader(SplitsItself(), num_workers=num_workers, split_idx=1)
    with pytest.warns(UserWarning, match="not come in the order") if num_workers else _quiet():
        assert sorted(flat(read(dl))) == ALL
    if num_workers == 2:                        # each worker has its own half
        assert {i % 2 for i in read(dl)[0]} == {0} and {i % 2 for i in read(dl)[1]} == {1}


def test_each_worker_of_a_plain_dataset_reads_all_and_that_is_said():
    dl = loader(Plain(), num_workers=2)
    with pytest.warns(UserWarning, match=r"Plain.__iter__ does not ask which worker.*num_workers=1"):
        assert flat(read(dl)) == ALL
    assert loader(Plain(), num_workers=None).num_workers == 1     # the default


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shards_of_unknown_size_are_each_read_by_one_worker(num_workers):
    dl = loader(Counted(known=False, sizes=(25, 25, 25, 25)), num_workers=num_workers, bs=5, shuffle=True)
    batches = read(dl)
    assert sorted(flat(batches)) == ALL
    if num_workers:                             # batches of even and odd number come from different shards
        even, odd = ({i // 25 for i in flat(batches[k::2])} for k in (0, 1))
        assert len(even) == len(odd) == 2 and not even & odd


@pytest.mark.parametrize("known", [True, False])
def test_fewer_shards_than_workers(known):
    dl = loader(Counted(known, sizes=(70, 30)), num_workers=3, shuffle=True)
    with _quiet() if known else pytest.warns(UserWarning, match=r"2 shards for 3 workers.*num_workers=2"):
        assert sorted(flat(read(dl))) == ALL
    assert loader(Counted(False, sizes=(70, 30)), shuffle=True, num_workers=None).num_workers <= 2


def test_all_workers_are_fed():
    class Named(Counted):
        def to_sample(self, item):
            return item[0], item[1], os.getpid()

    dl = loader(Named(sizes=(5, 95)), num_workers=3, bs=4, shuffle=True)
    by_worker = {}
    for _, y, pid in dl:
        by_worker[int(pid[0])] = by_worker.get(int(pid[0]), 0) + len(y)
    assert len(by_worker) == 3 and max(by_worker.values()) - min(by_worker.values()) <= 4


# -- mixing --------------------------------------------------------------------------------------------------------------------------
def test_items_are_mixed_within_the_buffer_and_beyond_no_shard():
    dl = loader(Counted(sizes=(1000,)), shuffle=True, buffer=100, bs=10)
    order = np.array(flat(read(dl)))
    moved = np.abs(order - np.arange(1000))
    assert moved.max() <= 200 and 30 < moved.mean() < 100
    held = loader(Counted(sizes=(100_000,)), shuffle=True, buffer=100, bs=10)
    batches = iter(held)
    for _ in islice(batches, 500):
        pass
    assert 60 < len(held.source.read_items) - 5000 < 160            # read but not given yet


def test_buffer_0_keeps_the_order_within_shards():
    order = flat(read(loader(Counted(sizes=(50, 50)), shuffle=True, buffer=0)))
    assert order in ([*range(50, 100), *range(50)], ALL)


# -- the length said -----------------------------------------------------------------------------------------------------------------
@workers
def test_a_stream_that_is_shorter_or_longer_than_said_is_told(num_workers):
    def epoch(n, **kwargs):
        return read(loader(Counted(False, sizes=(10,) * 12), n_items=n, num_workers=num_workers, bs=5, **kwargs))

    with pytest.warns(UserWarning, match=r"said to have 140 items, and has 120: some came again.*n_items=120"):
        assert len(epoch(140, shuffle=True)) == 28
    with pytest.warns(UserWarning, match="said to have 60 items, and has more"):
        assert len(epoch(60, shuffle=True)) == 12
    for n in (140, 60):
        with pytest.warns(UserWarning, match=f"said to have {n} items, and has 120: all of them were taken"):
            assert flat(epoch(n, split_idx=1)) == list(range(120))


def test_a_stream_says_its_length_itself_or_the_user_does():
    class Sized(Plain):
        def __len__(self):
            return self.n

    assert len(StreamLoader(Sized(), bs=8, device="cpu")) == 13
    with pytest.raises(ValueError, match="does not say how many items"):
        StreamLoader(Plain(), bs=8)
    with pytest.raises(ValueError, match="both say how long"):
        StreamLoader(Plain(), n_items=5, n_batches=5)
    with pytest.raises(ValueError, match="the source has 100 items"):
        StreamLoader(Counted(), n_items=5)


def test_sizes_that_are_wrong_are_told():
    with pytest.raises(ValueError, match="shard 1 ends after 3 items, and its size was said to be 4"):
        read(loader(Counted(said=(10, 4, 27, 1, 0, 59)), split_idx=1))
    with pytest.raises(ValueError, match="shard 5 holds more than the 58 items"):
        read(loader(Counted(said=(10, 3, 27, 1, 0, 58)), split_idx=1))


@workers
def test_n_batches_goes_on_where_the_epoch_ended(num_workers):
    class Endless(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            i, step = (0, 1) if info is None else (info.id, info.num_workers)
            while True:
                yield sample(i)
                i += step

    dl = loader(Endless(), n_batches=6, num_workers=num_workers)
    assert sorted(flat(read(dl) + read(dl) + read(dl))) == list(range(6 * 8 * 3))
    short = loader(Counted(False, sizes=(20,) * 6), n_batches=6, bs=5, num_workers=num_workers, shuffle=True)
    assert sorted(flat(read(short) + read(short) + read(short) + read(short))) == list(range(120))


def test_n_batches_goes_on_without_reading_again():
    dataset = Counted(False)
    dl = loader(dataset, n_batches=3, num_workers=0)
    for _ in range(4):
        read(dl)
    assert dataset.read_items == list(range(96))


# -- continuing ------------------------------------------------------------------------------------------------------------------------
@workers
@pytest.mark.parametrize("make", [Counted, lambda: Counted(False), Plain, SplitsItself, KeepsPlace])
@pytest.mark.parametrize("cut", [pytest.param(1, marks=pytest.mark.slow), 5, 12])
@pytest.mark.filterwarnings("ignore")
def test_it_goes_on_where_it_was_any_number_of_times(make, num_workers, cut):
    kwargs = {"shuffle": True, "num_workers": num_workers}
    whole = loader(make(), **kwargs)
    first, second = read(whole), read(whole)
    dl, got = loader(make(), **kwargs), []
    batches = iter(dl)
    got += [y.tolist() for _, y in islice(batches, cut)]
    while len(got) < len(first):                # a new loader after each few batches, as after a crash
        state = dl.state_dict()
        batches.close()
        dl = loader(make(), **kwargs)
        dl.load_state_dict(state)
        batches = iter(dl)
        got += [y.tolist() for _, y in islice(batches, 3)]
    assert got == first
    batches.close()
    fresh = loader(make(), **kwargs)
    fresh.load_state_dict({**dl.state_dict(), "batch": len(first)})
    assert read(fresh) == second


@pytest.mark.parametrize("goes_on", [False, True])
def test_it_goes_on_by_seeking(goes_on):
    kwargs = {"shuffle": True, "num_workers": 0, **({"n_batches": 5000} if goes_on else {})}
    sizes = (10_000,) * 10
    dl = loader(Counted(not goes_on, sizes=sizes), **kwargs)
    batches = iter(dl)
    for _ in islice(batches, 4000):
        pass
    state = dl.state_dict()
    expected = [y.tolist() for _, y in islice(batches, 3)]
    again = Counted(not goes_on, sizes=sizes)
    dl = loader(again, **kwargs)
    dl.load_state_dict(state)
    assert [y.tolist() for _, y in islice(iter(dl), 3)] == expected
    assert len(again.read_items) < 100          # twice the buffer, and three batches


def test_a_dataset_with_a_state_is_not_read_again():
    dl = loader(KeepsPlace(100_000), n_items=100_000, num_workers=0)
    batches = iter(dl)
    for _ in islice(batches, 1000):
        pass
    state, expected = dl.state_dict(), next(batches)[1].tolist()
    KeepsPlace.read = 0
    dl = loader(KeepsPlace(100_000), n_items=100_000, num_workers=0)
    dl.load_state_dict(state)
    assert next(iter(dl))[1].tolist() == expected and KeepsPlace.read < 100


def test_where_a_source_cannot_seek_it_says_so():
    dl = loader(Plain(), num_workers=0)
    batches = iter(dl)
    next(batches), next(batches)
    state = dl.state_dict()
    dl = loader(Plain(), num_workers=0)
    dl.load_state_dict(state)
    with pytest.warns(UserWarning, match=r"read again up to where it was, 16 items, because Plain has no `state_dict\(\)`"):
        assert next(iter(dl))[1].tolist() == list(range(16, 24))


def test_another_number_of_workers_goes_on_where_all_read_the_same_and_else_is_refused():
    def state_of(**kwargs):
        dl = loader(Counted(), **kwargs)
        next(iter(dl))
        return dl.state_dict()

    dl = loader(Counted(), num_workers=2, split_idx=1)
    dl.load_state_dict(state_of(num_workers=0, split_idx=1))
    assert flat(read(dl)) == ALL[8:]
    dl = loader(Counted(), num_workers=0, shuffle=True)
    dl.load_state_dict(state_of(num_workers=2, shuffle=True))
    with pytest.raises(ValueError, match="read with num_workers=2, and cannot go on.*num_workers=0, because each worker reads a part"):
        read(dl)


@pytest.mark.parametrize(("there", "here"), [(2, 0), (0, 2)])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("make", "goes_on"), [(Counted, False), (lambda: Counted(False), False), (SplitsItself, False), (Plain, True),
                                               (KeepsPlace, True), (lambda: Counted(False, sizes=(100,)), True)])
@pytest.mark.filterwarnings("ignore")
def test_another_number_of_workers_goes_on_exactly_or_is_refused(make, goes_on, shuffle, there, here):
    dl = loader(make(), num_workers=there, shuffle=shuffle)
    batches = iter(dl)
    found = [y.tolist() for _, y in islice(batches, 5)]
    state = dl.state_dict()
    batches.close()
    dl = loader(make(), num_workers=here, shuffle=shuffle)
    dl.load_state_dict(state)
    if not goes_on:
        with pytest.raises(ValueError, match=f"num_workers={there}, and cannot go on where it was with num_workers={here}"):
            read(dl)
        dl = loader(make(), num_workers=there, shuffle=shuffle)
        dl.load_state_dict(state)
    assert found + read(dl) == read(loader(make(), num_workers=there, shuffle=shuffle))


def test_looks_do_not_move_the_stream():
    a, b = (loader(Counted(False), n_batches=3, num_workers=0, shuffle=True) for _ in range(2))
    next(iter(a))
    a.one_batch()
    a.show_batch(show=False)
    set_seed(0)
    learn = Learner(DataLoaders(a), nn.Linear(1, 2), CrossEntropyLossFlat())
    assert read(a) == read(b) and learn is not None


# -- random streams -----------------------------------------------------------------------------------------------------------------
@workers
def test_random_streams_of_the_user_repeat_and_differ_between_workers_and_epochs(num_workers):
    class Draws(IterableDataset):
        def __iter__(self):
            while True:
                yield torch.rand(1), float(np.random.rand())

    def epochs():
        dl = StreamLoader(Draws(), 4, n_batches=6, num_workers=num_workers, seed=3, split="own", device="cpu")
        return [torch.cat([torch.stack([x.flatten(), y], 1) for x, y in dl]) for _ in range(2)]

    one, again = torch.cat(epochs()), torch.cat(epochs())
    assert torch.equal(one, again) and len(one.unique(dim=0)) >= len(one) - max(0, num_workers - 1)


def test_files_that_iter_shuffles_come_in_the_same_order_in_all_workers():
    class Shuffles(IterableDataset):
        def __iter__(self):
            order = np.random.permutation(100)
            info = get_worker_info()
            for i in order[info.id::info.num_workers]:
                yield sample(int(i))

    dl = loader(Shuffles(), num_workers=2, bs=10)
    first, second = flat(read(dl)), flat(read(dl))
    assert sorted(first) == sorted(second) == ALL and first != second


def test_set_epoch_is_called_in_persistent_workers():
    class Epochs(IterableDataset):
        epoch = None

        def set_epoch(self, n):
            self.epoch = n

        def __iter__(self):
            yield from ((torch.zeros(1), self.epoch) for _ in range(8))

    dl = StreamLoader(Epochs(), 4, n_items=8, num_workers=1, device="cpu")
    assert [flat(read(dl))[0] for _ in range(3)] == [0, 1, 2]


# -- samples and transforms --------------------------------------------------------------------------------------------------------
def test_item_transforms_get_generators_of_their_own():
    from minifast.basics import RandTransform

    class Jitter(RandTransform):
        def draw(self, sample, rng, split_idx):
            return {"by": rng.random()}

        def encodes(self, x: torch.Tensor, by):
            return x + by

    def epoch(num_workers):
        dl = loader(Counted(), num_workers=num_workers, shuffle=True, split_idx=0, after_item=Jitter(p=1.0))
        return sorted(float(x) for b in dl for x in b[0].flatten())

    assert epoch(0) == epoch(2) and len(set(epoch(0))) == 100


def test_an_item_that_cannot_be_made_names_its_place_or_is_replaced():
    dl = StreamLoader(Counted(), 8, num_workers=0, split_idx=1, device="cpu", after_item=[_Odd()])
    with pytest.raises(RuntimeError, match="broken") as e:
        read(dl)
    assert "item 2 of shard 1" in "".join(getattr(e.value, "__notes__", [str(e.value)]))
    dl = StreamLoader(Counted(), 8, num_workers=0, split_idx=1, device="cpu", after_item=[_Odd()], on_error="skip")
    with pytest.warns(UserWarning, match="item 2 of shard 1 could not be made"):
        batches = read(dl)
    assert [len(b) for b in batches] == [8] * 12 + [4] and 12 not in flat(batches)


class _Odd:
    def __call__(self, x):
        if isinstance(x, torch.Tensor) and float(x) == 12:
            raise RuntimeError("broken")
        return x


def test_names_of_the_batch():
    dl = loader(Counted(), num_workers=0, split_idx=1)
    batches = iter(dl)
    next(batches), next(batches)
    assert dl.names_of_batch()[:3] == ["item 8 of shard 0", "item 9 of shard 0", "item 0 of shard 1"]


def test_an_error_of_the_stream_says_where():
    class Breaks(Counted):
        def read(self, shard, start=0):
            yield from super().read(shard, start)
            if shard == 1:
                raise OSError("gone")

    for num_workers in (0, 2):
        with pytest.raises(OSError, match="gone") as e:
            read(loader(Breaks(False), num_workers=num_workers, split_idx=1))
        assert "while reading item 3 of shard 1" in "".join(getattr(e.value, "__notes__", [str(e.value)]))


# -- with a learner ------------------------------------------------------------------------------------------------------------------
def tables(n, seed):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0).long()


class Rows(Counted):
    def __init__(self, n, seed, known=True):
        self.data = tables(n, seed)
        super().__init__(known, sizes=(n // 2, n - n // 2))

    def to_sample(self, item):
        return self.data[0][item[1]], self.data[1][item[1]]


def learner(num_workers=0, known=True, path=".", **kwargs):
    set_seed(0)
    said = {} if known else {"n_items": 90, "val_n_items": 37}
    dls = DataLoaders.from_streams(Rows(90, 0, known), Rows(37, 1, known), bs=8, buffer=20, num_workers=num_workers, device="cpu", **said)
    return Learner(dls, nn.Linear(4, 2), CrossEntropyLossFlat(), path=path, **kwargs)


@pytest.mark.parametrize("known", [True, False])
def test_every_verb_of_a_learner_works_on_streams(known, tmp_path):
    learn = learner(known=known, path=tmp_path)
    learn.fit_one_cycle(2, 0.1)
    x, y = tables(37, 1)
    preds, targets = learn.get_preds()
    assert torch.equal(targets, y)
    torch.testing.assert_close(preds, learn.model(x).softmax(1).detach())
    loss = nn.functional.cross_entropy(learn.model(x), y)
    assert learn.validate()[0] == pytest.approx(float(loss), rel=1e-5)
    assert len(learn.get_preds(ds_idx=0)[0]) == 90
    learn.lr_find(show_plot=False)
    assert len(learn.dls.show_batch(max_n=3)) == 3
    assert not learn.check().issues if hasattr(learn.check(), "issues") else True
    learn.dls.check()
    one = learn.predict(x[0])
    assert len(one) == 3
    test = learn.dls.test_dl([(x[i],) for i in range(5)])
    torch.testing.assert_close(learn.get_preds(dl=test)[0], preds[:5])
    learn.summary()


def test_a_fit_equals_one_by_hand():
    learn = learner(opt_func=torch.optim.SGD)
    model = nn.Linear(4, 2)
    model.load_state_dict(learn.model.state_dict())
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    hand = learner().dls.train
    set_seed(5)
    for _ in range(2):
        for xb, yb in hand:
            nn.functional.cross_entropy(model(xb), yb).backward()
            opt.step()
            opt.zero_grad()
    set_seed(5)
    learn.fit(2, 0.1, wd=0)
    torch.testing.assert_close(learn.model.weight, model.weight, rtol=0, atol=1e-6)


class Crash(Exception):
    pass


@pytest.mark.parametrize(("num_workers", "known"), [(0, True), (2, True), (2, False)])
def test_a_fit_resumes_in_the_middle_of_an_epoch(tmp_path, num_workers, known):
    from minifast.callbacks import Callback

    class CrashAt(Callback):
        def after_batch(self):
            if self.learn.training and self.learn.train_iter == 18:
                raise Crash

    plain = learner(num_workers, known, tmp_path / "a")
    plain.fit(3, 0.1)
    crashed = learner(num_workers, known, tmp_path / "b")
    with pytest.raises(Crash):
        crashed.fit(3, 0.1, cbs=[Resume(every=4), CrashAt()])
    resumed = learner(num_workers, known, tmp_path / "b")
    resumed.fit(3, 0.1, cbs=[Resume(every=4)])
    assert torch.equal(resumed.model.weight, plain.model.weight)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("at", [4, 6])
def test_a_fit_whose_epochs_go_on_resumes_there(tmp_path, num_workers, at):
    "At the start of the second epoch, and of the third, which are other items than those of the first."
    from minifast.callbacks import Callback

    def crash(cb):
        if cb.learn.training and cb.learn.epoch * cb.learn.n_iter + cb.learn.iter == at:
            raise Crash

    def run(folder, *cbs):
        learn = learner(path=tmp_path / folder)
        train = StreamLoader(Rows(90, 0), bs=8, n_batches=3, shuffle=True, buffer=10, num_workers=num_workers, device="cpu")
        learn.dls = DataLoaders(train, learn.dls.valid)
        learn.fit(3, 0.1, cbs=[Resume(every=1000), *cbs])
        return learn.model.weight

    plain = run("a")
    with pytest.raises(Crash):
        run("b", Callback(after_batch=crash))
    assert torch.equal(run("b"), plain)


def test_what_a_stream_cannot_do_is_refused():
    dl = loader(Counted())
    with pytest.raises(TypeError, match="a stream has no indices"):
        dl.make_batch([1, 2])
    with pytest.raises(TypeError, match="has no indices to find it by"):
        dl.show_batch(unique=True)
    with pytest.raises(ValueError, match="does not take sampler="):
        StreamLoader(Counted(), sampler=[1])
    with pytest.raises(TypeError, match="has a length and indices: write DataLoader"):
        StreamLoader(TensorDataset(torch.zeros(3)))
    with pytest.raises(TypeError, match="can be read once only"):
        StreamLoader(iter([1, 2]))
    with pytest.raises(TypeError, match=r"Plain is an IterableDataset: write StreamLoader"):
        DataLoader(Plain())


class _quiet:
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False
