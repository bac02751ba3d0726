"""How much memory does a corpus take that is larger than the memory? And does a batch take longer to make of a larger corpus?

    python benchmarks/text_memory.py                     # 2 GB of ids (500 million tokens, some 2.5 GB of text), beside 20 MB
    python benchmarks/text_memory.py --gb 0.5 --folder /tmp

Writes corpora as tokenising writes them, texts of 20 to 500 tokens, then reads an epoch of each in a process of its own: shuffled texts,
every batch. Printed is the most memory that the process held (mapped pages count) beyond what torch and minifast take without a corpus.
Then batches of both are timed in turn, in one process; the median of the ratios of neighbours counts. One thread, bs=64, seq_len=72.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
VOCAB = 30000


def write_corpus(path, n_bytes):
    "A file of ids of about this size."
    from minifast.text.token_store import StoreWriter
    rng, writer, words = np.random.default_rng(0), StoreWriter(path), [f"word{i}" for i in range(VOCAB)]
    left = n_bytes // 4
    while left > 0:
        lengths = rng.integers(20, 500, 20_000)
        ids = (rng.random(int(lengths.sum())) ** 3 * VOCAB).astype(np.int32)            # few words are frequent
        writer.add(words, ids, lengths)
        left -= len(ids)
    writer.close()


def loader_of(path):
    import torch

    from minifast.text.language_loader import LMDataLoader
    from minifast.text.special import TEXT_SPEC_TOK
    from minifast.text.token_store import TokenStore
    from minifast.text.vocabulary import Numericalize
    torch.set_num_threads(1)
    store = TokenStore.open(path)
    texts = Numericalize([*TEXT_SPEC_TOK, *store.tokens]).encode_ahead(store)
    return LMDataLoader(texts, shuffle=True, seed=0, device="cpu", bs=64, seq_len=72)


def peak():
    "The most memory that this process has held so far, in MB."
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def read(path):
    "An epoch of the corpus; prints what it took."
    import minifast.text.language_loader
    import minifast.text.vocabulary  # noqa: F401  (what both take is not the corpus's)
    before = peak()
    loader = loader_of(path)
    seen = sum(x.numel() for x, _ in loader)
    print(json.dumps({"tokens": int(loader.texts.lengths.sum()), "seen": seen, "before": before, "peak": peak()}))


def compare(paths, rounds=31, n=100):
    "Microseconds per batch of each corpus, and the median of their ratios, larger to smaller."
    epochs = [iter(loader_of(path)) for path in paths]
    for epoch in epochs:
        next(epoch)                                     # the order of the texts is drawn before the first batch
    times = [[], []]
    for turn in range(rounds):
        for k in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            for _ in islice(epochs[k], n):
                pass
            times[k].append((time.perf_counter() - started) / n * 1e6)
    print(json.dumps([*map(statistics.median, times), statistics.median(b / a for a, b in zip(*times, strict=True))]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gb", type=float, default=2.0, help="size of the larger corpus in GB of ids")
    parser.add_argument("--folder", help="where to write it; default: a temporary folder")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--compare", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read or args.compare:
        read(args.read) if args.read else compare(args.compare)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        def ask(*options):
            done = subprocess.run([sys.executable, __file__, *options], check=True, capture_output=True, text=True)
            return json.loads(done.stdout)
        sizes = {str(Path(folder) / "small"): 50_000_000, str(Path(folder) / "large"): int(args.gb * 1e9)}
        for path, n_bytes in sizes.items():
            write_corpus(path, n_bytes)
            r = ask("--read", path)
            print(f"{n_bytes / 1e9:5.2f} GB of ids, {r['tokens']:,} tokens ({r['seen']:,} read): {r['peak'] - r['before']:.0f} MB at most, "
                  f"beside {r['before']:.0f} MB without a corpus")
        small, large, ratio = ask("--compare", *sizes)
        print(f"a batch of the small corpus: {small:.0f} microseconds; of the large one: {large:.0f}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
