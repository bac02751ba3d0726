"""How much memory does a corpus take that is larger than the memory? And does a batch take longer to make of a larger corpus?

    python benchmarks/text_memory.py                     # 2 GB of ids (500 million tokens, some 2.5 GB of text) and 20 MB
    python benchmarks/text_memory.py --gb 0.5 --folder /tmp

Writes a corpus as tokenising writes it, texts of 20 to 500 tokens, then reads an epoch of it in a process of its own: shuffled texts,
every batch. Printed are the peak of the memory that the process held (mapped pages count), what it held before there was a corpus, and the
time of a batch.

Result (2026-11, 2 busy cores, one thread, bs=64, seq_len=72): see the README.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VOCAB = 30000
SETTINGS = {"bs": 64, "seq_len": 72}


def write_corpus(path: Path, n_bytes: int) -> None:
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


def peak() -> float:
    "The most memory that this process has held so far, in MB."
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def read(path: str) -> None:
    "An epoch of the corpus; prints what it took."
    import torch

    from minifast.text.language_loader import LMDataLoader
    from minifast.text.special import TEXT_SPEC_TOK
    from minifast.text.token_store import TokenStore
    from minifast.text.vocabulary import Numericalize
    torch.set_num_threads(1)
    before = peak()
    store = TokenStore.open(path)
    loader = LMDataLoader(Numericalize([*TEXT_SPEC_TOK, *store.tokens]).encode_ahead(store), shuffle=True, seed=0, device="cpu", **SETTINGS)
    n_batches, seen, since = len(loader), 0, 0.0
    for i, (x, _) in enumerate(loader):
        since = time.perf_counter() if i == 0 else since                        # the order of the texts is drawn before
        seen += x.numel()
    per_batch = (time.perf_counter() - since) / max(1, n_batches - 1)
    print(json.dumps({"tokens": int(store.lengths.sum()), "seen": seen, "before": before, "peak": peak(), "per_batch": per_batch}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gb", type=float, default=2.0, help="size of the larger corpus in GB of ids")
    parser.add_argument("--folder", help="where to write it; default: a temporary folder")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read(args.read)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for n_bytes in (20_000_000, int(args.gb * 1e9)):
            path = Path(folder) / "corpus"
            write_corpus(path, n_bytes)
            out = subprocess.run([sys.executable, __file__, "--read", str(path)], check=True, capture_output=True, text=True).stdout
            r = json.loads(out)
            print(f"{n_bytes / 1e9:5.2f} GB of ids, {r['tokens']:,} tokens ({r['seen']:,} read): at most {r['peak']:.0f} MB "
                  f"({r['before']:.0f} MB before there was a corpus), {r['per_batch'] * 1e6:.0f} microseconds per batch")


if __name__ == "__main__":
    main()
