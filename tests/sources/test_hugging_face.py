"Streamed data sets of Hugging Face: a shard a worker, a new order each epoch, and on from where it was."
from itertools import islice

import pytest
import torch

from minifast.basics import DataLoader, StreamLoader

hf = pytest.importorskip("datasets")
ALL = list(range(100))


def stream(num_shards=4, **kwargs):
    rows = hf.Dataset.from_dict({"i": ALL, "ids": [[i, i + 1, 0] for i in ALL]})
    return rows.to_iterable_dataset(num_shards=num_shards)


def generated(shards):
    for s in shards:
        for i in range(s * 25, s * 25 + 25):
            yield {"i": i, "ids": [i, i + 1, 0]}


SOURCES = {
    "arrow": stream,
    "torch": lambda: stream().with_format("torch"),
    "generator": lambda: hf.IterableDataset.from_generator(generated, gen_kwargs={"shards": [0, 1, 2, 3]}),
    "mapped": lambda: stream().map(lambda row: {**row, "j": row["i"]}).filter(lambda row: row["i"] >= 0),
}


def numbers(dl):
    return [int(i) for b in dl for i in b["i"]]


def loader(dataset, **kwargs):
    return StreamLoader(dataset, **{"bs": 8, "buffer": 10, "seed": 0, "n_items": 100, "num_workers": 0, "device": "cpu", **kwargs})


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_row_once_in_order_for_validation(name, num_workers):
    assert numbers(loader(SOURCES[name](), num_workers=num_workers, split_idx=1)) == ALL


@pytest.mark.parametrize("name", SOURCES)
def test_training_reads_each_shard_in_one_worker_in_a_new_order_each_epoch(name):
    dl = loader(SOURCES[name](), num_workers=2, shuffle=True, bs=5)
    epochs = [numbers(dl) for _ in range(3)]
    assert all(sorted(e) == ALL for e in epochs) and len({str(e) for e in epochs}) == 3


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_it_goes_on_where_it_was(name, cut):
    whole = numbers(loader(SOURCES[name](), shuffle=True))
    dl = loader(SOURCES[name](), shuffle=True)
    batches = iter(dl)
    got = numbers(islice(batches, cut))
    state = dl.state_dict()
    batches.close()
    dl = loader(SOURCES[name](), shuffle=True)
    dl.load_state_dict(state)
    assert got + numbers(dl) == whole


def test_lists_of_numbers_are_tensors():
    batch = next(iter(loader(stream(), split_idx=1)))
    assert batch["ids"].shape == (8, 3) and batch["ids"].dtype == torch.int64
    plain = hf.Dataset.from_dict({"ids": [[1, 2, 3], [4, 5, 6]], "label": [0, 1]})
    with pytest.raises(ValueError, match=r"ids.*with_format\('torch'\)"):
        DataLoader(plain, bs=2, device="cpu", num_workers=0)
    assert next(iter(DataLoader(plain.with_format("torch"), bs=2, device="cpu", num_workers=0)))["ids"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_its_own_shuffle_is_told_where_training_continues():
    def make():
        return loader(SOURCES["generator"]().shuffle(seed=1, buffer_size=20))

    dl = make()
    batches = iter(dl)
    first = numbers(islice(batches, 3))
    state = dl.state_dict()
    dl = make()
    dl.load_state_dict(state)
    with pytest.warns(UserWarning, match=r"read again.*shuffle\(\) forgets.*shuffle=True"):
        rest = numbers(dl)
    assert sorted(first + rest) == ALL


def test_one_that_was_split_by_rank_is_refused():
    from datasets.distributed import split_dataset_by_node
    with pytest.raises(ValueError, match="give it the whole data set"):
        StreamLoader(split_dataset_by_node(stream(), rank=0, world_size=2), n_items=50)
