"""Reads streams with several ranks and writes what each rank got, batch by batch.

    torchrun --standalone --nproc-per-node=2 ranks_streams.py folder
"""
import sys
import warnings
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner, StreamLoader, set_seed
from minifast.core import ranks

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "streams"))
from numbered import Counted, KeepsPlace, Plain, SplitsItself

SOURCES = {"known": Counted, "unknown": lambda: Counted(False, sizes=(10,) * 10), "plain": Plain, "keeps_place": KeepsPlace,
           "splits_itself": SplitsItself, "few": lambda: Counted(False, sizes=(100,))}


def loader(name, **kwargs):
    source = SOURCES[name]()
    said = {} if name == "known" else {"n_items": 100}
    return StreamLoader(source, **{"bs": 12, "buffer": 10, "seed": 1, "device": "cpu", **said, **kwargs})


def taken(dl, batches):
    "Of each batch the numbers that count on this rank, and how many the batch has on all ranks."
    return [(y[:dl.share.mine].tolist() if dl.share else y.tolist(), dl.share.total if dl.share else len(y)) for _, y in batches]


def went_on(name, **kwargs):
    "An epoch that was interrupted."
    dl = loader(name, **kwargs)
    batches = iter(dl)
    found = taken(dl, islice(batches, 4))
    state = dl.state_dict()
    batches.close()
    dl = loader(name, **kwargs)
    dl.load_state_dict(state)
    return found + taken(dl, dl)


class Rows(Counted):
    "Rows of a table, and whether their first column is above 0."

    def to_sample(self, item):
        x = torch.randn(4, generator=torch.Generator().manual_seed(item[1]))
        return x, (x[0] > 0).long()


def trained():
    set_seed(1)
    dls = DataLoaders.from_streams(Rows(), Rows(), bs=12, val_bs=7, buffer=20, num_workers=0, device="cpu")
    learn = Learner(dls, nn.Linear(4, 2), CrossEntropyLossFlat(), path=sys.argv[1])
    learn.fit(2, 0.1)
    preds, targets = learn.get_preds()
    return {"preds": preds, "targets": targets, "weight": learn.model.weight.detach(), "valid": learn.validate()[0]}


def main(folder):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {}
    for name in SOURCES:
        for num_workers in (0, 2):
            for shuffle in (False, True):
                kwargs = {"num_workers": num_workers, "shuffle": shuffle}
                dl = loader(name, **kwargs)
                found[name, num_workers, shuffle] = [taken(dl, dl), taken(dl, dl), went_on(name, **kwargs)]
            dl = loader(name, num_workers=num_workers, split_idx=1, bs=9)
            found[name, num_workers, "valid"] = [taken(dl, dl), taken(dl, dl), went_on(name, num_workers=num_workers, split_idx=1, bs=9)]
    found["learner"] = trained()
    torch.save(found, Path(folder) / f"{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
