"""Reads a few batches of each source, where the run before this one, of another number of ranks, had ended.

    torchrun --standalone --nproc-per-node=2 ranks_going_on.py folder number_of_the_run batches
"""
import json
import sys
import warnings
from itertools import islice
from pathlib import Path

import torch
from ranks_streams import SOURCES, loader, taken
from torch.utils.data import TensorDataset

from minifast.basics import DataLoader
from minifast.core import ranks


def of(name):
    if name == "indices":
        return DataLoader(TensorDataset(torch.arange(100.0)[:, None], torch.arange(100)), bs=12, shuffle=True, seed=1, device="cpu",
                          num_workers=0)
    return loader(name, shuffle=True, num_workers=0)


def main(folder, run, n):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    before, found, states = folder / f"{run - 1}.json", {}, {}
    known = json.loads(before.read_text()) if before.exists() else {}
    for name in ("indices", *SOURCES):
        dl = of(name)
        if name in known:
            dl.load_state_dict(known[name])
        try:
            batches = iter(dl)
            found[name] = taken(dl, islice(batches, n)), ""
            states[name] = dl.state_dict()
            batches.close()
        except ValueError as e:
            found[name], states[name] = ([], str(e)), known[name]
    torch.save(found, folder / f"{run}-{ranks.rank()}.pt")
    if ranks.is_main():
        (folder / f"{run}.json").write_text(json.dumps(states))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
