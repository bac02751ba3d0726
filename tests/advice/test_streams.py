"What messages about streams say to write, written."
import io
import sys
import tarfile
from itertools import islice
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
import torch
from suggestions import told
from torch.utils.data import IterableDataset, TensorDataset, get_worker_info

from minifast.basics import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, Shards, StreamLoader, TarShards
from minifast.core.shares import divided
from minifast.sources.iterables import asked_by

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "streams"))
from numbered import Counted, KeepsPlace, Plain, SplitsItself, flat, read, sample

ALL = list(range(100))


def loader(dataset, **kwargs):
    return StreamLoader(dataset, **{"bs": 10, "num_workers": 0, "device": "cpu", "seed": 0, "buffer": 5, **kwargs})


def test_an_iterable_dataset_in_a_loader():
    with told("data/loader_args.py", "is an IterableDataset: write StreamLoader(dataset, bs=..., n_items=...)"):
        DataLoader(Plain())
    assert flat(read(StreamLoader(Plain(), bs=10, n_items=100, num_workers=0))) == ALL
    assert len(StreamLoader(Plain(), bs=10, n_batches=3)) == 3


def test_what_a_stream_loader_takes():
    table = TensorDataset(torch.zeros(10, 1), torch.zeros(10))
    with told("data/stream_loader.py", "give its dataset, or put the loader itself into DataLoaders"):
        StreamLoader(DataLoader(table))
    DataLoaders(DataLoader(table), DataLoader(table))
    assert StreamLoader(loader(Plain(), n_items=100).dataset, n_items=100)
    with told("data/stream_loader.py", "can be read once only", "`__iter__` begins again, such as an IterableDataset"):
        StreamLoader(map(sample, range(10)))
    assert len(read(loader(Plain(10), n_items=10))) == 1
    with told("data/stream_loader.py", "has a length and indices: write DataLoader(dataset, bs=...)"):
        StreamLoader(table)
    assert len(DataLoader(table, bs=5)) == 2
    with told("data/stream_loader.py", "does not take …=", "Leave it out"):
        StreamLoader(Plain(), n_items=100, sampler=[0])
    assert StreamLoader(Plain(), n_items=100)


def test_lengths():
    with told("data/stream_loader.py", "both say how long an epoch is: give one of them"):
        loader(Plain(), n_items=100, n_batches=10)
    assert len(loader(Plain(), n_items=100)) == len(loader(Plain(), n_batches=10))
    with told("data/stream_loader.py", "leave n_items out, or give n_batches="):
        loader(Counted(), n_items=90)
    assert len(loader(Counted())) == 10 and len(loader(Counted(), n_batches=9)) == 9
    with told("data/stream_loader.py", "write StreamLoader(..., n_items=...) if you know it, or n_batches=..., after which"):
        loader(Plain())
    assert loader(Plain(), n_items=100) and loader(Plain(), n_batches=9)
    with told("data/streams/state.py", "all of them were taken; progress and schedules count …. Write n_items=…"):
        read(loader(Plain(), n_items=90, split_idx=1))
    with told("data/streams/state.py", "some came again in the same epoch. Write n_items=…"):
        read(loader(Plain(), n_items=120))
    for split_idx in (0, 1):
        assert flat(read(loader(Plain(), n_items=100, split_idx=split_idx))) == ALL
    with told("data/streams/state.py", "Write n_items= with their number, or n_batches="):
        read(loader(Plain(), n_items=90))
    dl = loader(Plain(), n_batches=5)
    assert flat(read(dl) + read(dl)) == flat(read(loader(Plain(), n_items=100)))
    with told("data/streams/state.py", "the stream ended after … of n_batches=…: write n_batches=…"):
        read(loader(Plain(), n_batches=12, split_idx=1))
    assert len(read(loader(Plain(), n_batches=10, split_idx=1))) == 10


def test_ranks(monkeypatch):
    import minifast.data.stream_loader as module
    monkeypatch.setattr(module, "world_size", lambda: 4)
    monkeypatch.setattr(module, "rank", lambda: 0)
    with told("data/stream_loader.py", "some would get none: write bs=… or more"):
        next(iter(loader(Counted(), bs=6)))
    dl = loader(Counted(), bs=8)
    assert len(next(iter(dl))[1]) == divided(8, 4, 0).mine == 2
    with told("data/stream_loader.py", "give the sizes of its shards, sizes=[...], or leave out shuffle=True"):
        next(iter(loader(Counted(False), bs=8, n_items=100, shuffle=True, split_idx=1)))
    assert next(iter(loader(Counted(), bs=8, shuffle=True, split_idx=1)))
    assert next(iter(loader(Counted(False), bs=8, n_items=100, split_idx=1)))


def test_indices():
    dl = loader(Counted(), after_item=lambda x: x)
    with told("data/stream_loader.py", "write one_batch(), or learn.get_preds(dl=learn.dls.test_dl(samples))"):
        dl.make_batch([0])
    assert len(dl.one_batch()) == 2
    learn = Learner(DataLoaders(dl, loader(Counted(), split_idx=1)), torch.nn.Linear(1, 2), CrossEntropyLossFlat())
    assert len(learn.get_preds(dl=learn.dls.test_dl([(torch.zeros(1),)] * 3))[0]) == 3
    with told("data/stream_loader.py", "has no indices to find it by: write show_batch()"):
        dl.show_batch(unique=True)
    assert len(dl.show_batch()) == 9


def test_going_on():
    def state_of(dl):
        batches = iter(dl)
        next(batches)
        return dl.state_dict()

    state = state_of(loader(Counted(), split_idx=1))
    dl = loader(Counted(), split_idx=1)
    dl.load_state_dict({**state, "stream": None})
    with told("data/stream_loader.py", "Go on with the next epoch, dl.load_state_dict({**state, 'batch': 0, 'epoch_seed': None})"):
        read(dl)
    dl.load_state_dict({**state, "batch": 0, "epoch_seed": None})
    assert flat(read(dl)) == ALL
    state = state_of(loader(Counted(), shuffle=True, num_workers=2))
    dl = loader(Counted(), shuffle=True)
    dl.load_state_dict(state)
    with told("data/streams/state.py", "use as many as before, or go on with the next epoch, dl.load_state_dict("):
        read(dl)
    dl.load_state_dict({**state, "batch": 0, "epoch_seed": None, "stream": None})
    assert sorted(flat(read(dl))) == ALL
    dl = loader(Counted(), shuffle=True, num_workers=2)
    dl.load_state_dict(state)
    assert len(flat(read(dl))) == 90

    def again(make):
        dl = loader(make(), n_items=100, split_idx=1)
        dl.load_state_dict(state_of(loader(make(), n_items=100, split_idx=1)))
        return flat(read(dl))

    with told("sources/iterables.py", "has no `state_dict()` and `load_state_dict(state)`"):
        again(Plain)
    with catch_warnings():
        simplefilter("error")
        assert again(KeepsPlace) == ALL[10:]        # which has state_dict and load_state_dict
    with told("sources/shards.py", "has no parameter `start`"):
        again(lambda: Shards([range(100)], lambda r: map(sample, r)))
    with catch_warnings():
        simplefilter("error")
        assert again(lambda: Shards([range(100)], lambda r, start: map(sample, r[start:]))) == ALL[10:]


def test_workers():
    with told("data/streams/fetch.py", "for that order write num_workers=0"):
        read(loader(SplitsItself(), n_items=100, num_workers=2, split_idx=1))
    assert flat(read(loader(SplitsItself(), n_items=100, num_workers=0, split_idx=1))) == ALL
    with told("data/streams/fetch.py", "Faster would be more shards, sizes=[...] of the shards, or num_workers=…"):
        read(loader(Counted(False, sizes=(100,)), n_items=100, num_workers=2, shuffle=True))
    for dl in (loader(Counted(True, sizes=(100,)), num_workers=2, shuffle=True),
               loader(Counted(False, sizes=(100,)), n_items=100, num_workers=1, shuffle=True)):
        assert sorted(flat(read(dl))) == ALL
    with told("sources/iterables.py", "(`torch.utils.data.get_worker_info()`)", "leave out what other workers read, or write "
                                                                                    "num_workers=1"):
        read(loader(Plain(), n_items=100, num_workers=2))
    assert flat(read(loader(Plain(), n_items=100, num_workers=1))) == ALL

    class Leaves(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            return map(sample, range(info.id, 100, info.num_workers))

    assert sorted(flat(read(loader(Leaves(), n_items=100, num_workers=2, split_idx=1)))) == ALL


def test_profilers():
    with told("sources/iterables.py", "write StreamLoader(..., split='own') if it does, else split='items'"):
        sys.setprofile(lambda *args: None)
        try:
            asked_by(get_worker_info)
        finally:
            sys.setprofile(None)
    assert sorted(flat(read(loader(SplitsItself(), n_items=100, num_workers=2, split_idx=1, split="own")))) == ALL
    assert flat(read(loader(Plain(), n_items=100, num_workers=2, split_idx=1, split="items"))) == ALL


def test_sizes():
    with told("sources/lane.py", "give those of the files as they are, or none, sizes=None"):
        read(loader(Counted(said=[10, 4, 27, 1, 0, 59]), split_idx=1))
    with told("sources/lane.py", "Give the sizes of the files as they are, or none, sizes=None"):
        read(loader(Counted(said=[10, 3, 27, 1, 0, 58]), split_idx=1))
    sizes = [10, 3, 27, 1, 0, 59]
    assert flat(read(loader(Counted(said=sizes), split_idx=1))) == ALL
    assert flat(read(loader(Counted(known=False), n_items=100, split_idx=1))) == ALL


def test_shards():
    with told("sources/shards.py", "Shards(read=…): a function of a shard that gives its items"):
        Shards([0], read=3)
    assert read(loader(Shards([0], read=lambda shard: map(sample, range(10))), n_items=10))
    with told("sources/shards.py", "give a function, read=, or override `read(self, shard, start)`"):
        read(loader(Shards([0]), n_items=10))

    class Own(Shards):
        def read(self, shard, start=0):
            return map(sample, range(start, 10))

    assert len(read(loader(Own([0]), n_items=10))) == 1


def test_tar_files(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(3):
            member = tarfile.TarInfo(f"{i}.cls")
            member.size = 1
            tar.addfile(member, io.BytesIO(str(i).encode()))
    with told("sources/tar.py", "StreamLoader(wds.WebDataset(urls), n_items=...)"):
        TarShards(["https://example.org/a.tar"])
    wds = pytest.importorskip("webdataset")
    urls = [str(tmp_path / "a.tar")]
    assert StreamLoader(wds.WebDataset(urls, shardshuffle=False), n_items=3, num_workers=0, split_idx=1).one_batch()
    with told("sources/tar.py", "Name extensions that all samples have, fields=(...)"):
        loader(TarShards(tmp_path, fields=("jpg",)), n_items=3).one_batch()
    assert loader(TarShards(tmp_path, fields=("cls",)), n_items=3).one_batch()[0].tolist() == [0, 1, 2]


def test_hugging_face():
    hf = pytest.importorskip("datasets")
    table = hf.Dataset.from_dict({"ids": [[1, 2, 3], [4, 5, 6]]})
    with told("sources/hugging_face.py", "write DataLoader(ds.with_format('torch'), ...), or collate_fn="):
        DataLoader(table)
    assert DataLoader(table.with_format("torch"), num_workers=0, device="cpu").one_batch()["ids"].shape == (2, 3)
    padded = DataLoader(table, num_workers=0, device="cpu", collate_fn=lambda rows: torch.tensor([r["ids"] for r in rows]))
    assert padded.one_batch().sum() == 21
    stream = table.to_iterable_dataset()
    with told("sources/hugging_face.py", "not rows of values: write ds.with_format(None), or ds.with_format('torch')"):
        loader(stream.with_format("arrow"), n_items=2).one_batch()
    for name in (None, "torch"):
        assert loader(stream.with_format(name), n_items=2).one_batch()["ids"].shape == (2, 3)

    def numbers(shards):
        yield from ({"i": i} for i in range(40))

    def went_on(shuffle_here):
        def make():
            rows = hf.IterableDataset.from_generator(numbers, gen_kwargs={"shards": [0]})
            return loader(rows, n_items=40, shuffle=True, buffer=1000) if shuffle_here else \
                loader(rows.shuffle(seed=0, buffer_size=5), n_items=40)

        dl, again = make(), make()
        batches = iter(dl)
        first = [b["i"].tolist() for b in islice(batches, 2)]
        again.load_state_dict(dl.state_dict())
        return sorted(flat(first + [b["i"].tolist() for b in again]))

    with told("sources/hugging_face.py", "leave that out, and write StreamLoader(..., shuffle=True, buffer=1000)"):
        went_on(shuffle_here=False)
    buffer = went_on(shuffle_here=True)
    assert buffer == list(range(40))
