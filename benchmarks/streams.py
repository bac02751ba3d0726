"""How much memory does a stream take that is larger than the memory, and does it keep up with a plain torch `DataLoader`?

    python benchmarks/streams.py                     # 20 GB made on the fly; then speeds, alternated
    python benchmarks/streams.py --gb 2 --rounds 3   # quicker

Memory: an `IterableDataset` makes images of 150 kB (3 x 224 x 224 bytes) one by one, 20 GB in all, which are mixed and put into batches;
printed is the most memory that the process, and its workers, held beyond what they hold before the first batch. Speed: the same dataset,
and one of images of 64 x 64, which cost next to nothing to make, split by `get_worker_info`, and rows of Parquet files, through
`StreamLoader` and through torch's `DataLoader` with the same workers, in turn; the median over the rounds of the ratio within a round
counts (above 1: `StreamLoader` is faster). torch's loader cannot go on where it was, and mixes nothing: where "mixed" is said, it reads
from the shortest seeded shuffle buffer that can be written by hand.
"""
import argparse
import json
import os
import random
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import median, quartiles

SHAPE = 3, 224, 224
SIZE = int(np.prod(SHAPE))


class Made(IterableDataset):
    "Images made on the fly, each worker its own."

    def __init__(self, n, shape=SHAPE):
        self.n, self.shape = n, shape

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(first, self.n, step):
            yield torch.full(self.shape, i % 256, dtype=torch.uint8), i % 10


class Mixed(IterableDataset):
    "The shortest seeded shuffle buffer."

    def __init__(self, dataset, buffer):
        self.dataset, self.buffer = dataset, buffer

    def __iter__(self):
        info, held = get_worker_info(), []
        rng = random.Random(0 if info is None else info.id)
        for item in self.dataset:
            if len(held) < self.buffer:
                held.append(item)
            else:
                i = rng.randrange(self.buffer)
                yield held[i]
                held[i] = item
        rng.shuffle(held)
        yield from held


class Rows(IterableDataset):
    "Rows of Parquet files as people read them for torch: record batches, row by row."

    def __init__(self, files):
        self.files = files

    def __iter__(self):
        import pyarrow.parquet as pq
        info = get_worker_info()
        for file in self.files[0 if info is None else info.id::1 if info is None else info.num_workers]:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(256):
                    yield from batch.to_pylist()


def held(pids):
    "Memory of processes in MB, shared pages counted once (PSS)."
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def family():
    "This process and its children."
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    return [me, *map(int, children)]


def memory(gb, num_workers):
    from minifast.basics import StreamLoader
    n = int(gb * 1e9 / SIZE)
    dl = StreamLoader(Made(n), 64, shuffle=True, buffer=500, n_items=n, num_workers=num_workers, device="cpu")
    before, most, since = held(family()), 0.0, time.perf_counter()
    seen = 0
    for k, (x, _) in enumerate(dl):
        seen += len(x)
        if k % 50 == 0:
            most = max(most, held(family()))
    return {"gb": seen * SIZE / 1e9, "num_workers": num_workers, "before_mb": round(before), "most_mb": round(most),
            "beyond_mb": round(most - before), "seconds": round(time.perf_counter() - since, 1)}


#: Batches that are not timed: they start workers and fill the buffers in which items are mixed.
FIRST = 20


def consume(loader, n):
    "Seconds that the batches after the first ones take."
    batches = iter(loader)
    for _ in islice(batches, FIRST):
        pass
    since = time.perf_counter()
    for _ in islice(batches, n - FIRST):
        pass
    seconds = time.perf_counter() - since
    del batches
    return seconds


def compare(ours, theirs, n, rounds):
    ratios = []
    for k in range(rounds):
        times = {}
        for name, make in [("ours", ours), ("theirs", theirs)][::1 if k % 2 else -1]:
            loader = make()
            times[name] = consume(loader, n)
            if hasattr(loader, "end_workers"):
                loader.end_workers()
            del loader
        ratios.append(times["theirs"] / times["ours"])
    low, high = quartiles(ratios)
    return {"ratio": round(median(ratios), 3), "q1": round(low, 3), "q3": round(high, 3)}


def write_rows(folder, n_files=4, rows=20_000):
    import pyarrow as pa
    import pyarrow.parquet as pq
    rng, files = np.random.default_rng(0), []
    for k in range(n_files):
        columns = {f"x{c}": rng.random(rows).astype(np.float32) for c in range(10)}
        files.append(folder / f"{k}.parquet")
        pq.write_table(pa.table({**columns, "y": rng.integers(0, 2, rows)}), files[-1], row_group_size=5000)
    return files


def speeds(rounds):
    from torch.utils.data import DataLoader

    from minifast.basics import ParquetShards, StreamLoader
    found = {}
    for size, n in ((SHAPE[1], 100), (64, 400)):
        shape = 3, size, size
        for num_workers in (0, 2):
            for shuffle in (False, True):
                found[f"images of {size} x {size} made on the fly, {num_workers} workers{', mixed' if shuffle else ''}"] = compare(
                    lambda w=num_workers, s=shuffle, shape=shape, n=n: StreamLoader(Made(10**9, shape), 64, n_batches=n, num_workers=w,
                                                                                    shuffle=s, buffer=500, device="cpu"),
                    lambda w=num_workers, s=shuffle, shape=shape: DataLoader(Mixed(Made(10**9, shape), 500) if s else Made(10**9, shape),
                                                                             64, num_workers=w), n, rounds)
    with tempfile.TemporaryDirectory() as folder:
        files = write_rows(Path(folder))
        for num_workers in (0, 2):
            for shuffle in (False, True):
                found[f"rows of Parquet, {num_workers} workers{', mixed' if shuffle else ''}"] = compare(
                    lambda w=num_workers, s=shuffle: StreamLoader(ParquetShards(folder), 256, num_workers=w, shuffle=s, device="cpu"),
                    lambda w=num_workers, s=shuffle: DataLoader(Mixed(Rows(files), 1000) if s else Rows(files), 256,
                                                                num_workers=w), 300, rounds)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["memory", "speed"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only != "speed":
        for num_workers in (0, 2):
            print(json.dumps(memory(args.gb, num_workers)), flush=True)
    if args.only != "memory":
        for name, row in speeds(args.rounds).items():
            print(f"{name}: {row}", flush=True)
