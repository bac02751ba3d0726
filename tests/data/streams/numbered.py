"Streams of numbers, in which every item can be told from every other."
import torch
from torch.utils.data import IterableDataset, get_worker_info

from minifast.sources.shards import Shards

SIZES = 10, 3, 27, 1, 0, 59


def sample(i):
    return torch.tensor([float(i)]), i


class Plain(IterableDataset):
    "Items 0 to n-1, whoever asks."

    def __init__(self, n=100):
        self.n = n

    def __iter__(self):
        yield from map(sample, range(self.n))


class SplitsItself(Plain):
    "Each worker reads items of its own."

    def __iter__(self):
        info = get_worker_info()
        yield from map(sample, range(0 if info is None else info.id, self.n, 1 if info is None else info.num_workers))


class KeepsPlace(Plain):
    "Says where it is, and counts what it reads."

    read = 0

    def __init__(self, n=100):
        super().__init__(n)
        self.at, self.start = 0, 0

    def __iter__(self):
        self.at, self.start = self.start, 0
        while self.at < self.n:
            self.at += 1
            type(self).read += 1
            yield sample(self.at - 1)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.start = state["at"]


class Counted(Shards):
    "Shards of `SIZES` items each; `read_items` are those that were read, in this process."

    def __init__(self, known=True, sizes=SIZES, said=None):
        self.begins = [sum(sizes[:k]) for k in range(len(sizes))]
        self.true_sizes, self.read_items = sizes, []
        super().__init__([f"shard {k}" for k in range(len(sizes))], sizes=said or (sizes if known else None))

    def read(self, shard, start=0):
        for i in range(start, self.true_sizes[shard]):
            self.read_items.append(self.begins[shard] + i)
            yield sample(self.begins[shard] + i)


def read(dl):
    "The numbers of an epoch, a list a batch."
    return [y.tolist() for _, y in dl]


def flat(batches):
    return [i for b in batches for i in b]
