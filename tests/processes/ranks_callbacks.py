"""Trains two ranks with every callback of the package, and writes which trainings failed or came out differently on the ranks.

    torchrun --standalone --nproc-per-node=2 ranks_callbacks.py folder
"""
import itertools
import json
import sys
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "contracts"), str(ROOT / "tests" / "text" / "transformers")]

import test_every_callback as every  # noqa: E402
import test_every_callback_applications as applications  # noqa: E402

from minifast.basics import set_seed  # noqa: E402
from minifast.callbacks import DistributedTrainer  # noqa: E402
from minifast.core import ranks  # noqa: E402

#: Kind -> (a new learner, callbacks that are not for it, what makes the others where `MAKE` does not).
KINDS = {"small": (lambda: every.make(4, []), {}, {}), "series": applications.KINDS["padded series"]}


def trained(cls, learner, made):
    "What the training with a callback comes to: weights, buffers and the epoch's row, as text."
    set_seed(1)
    learn = learner()
    learn.logger = lambda row: None
    cb = cls(learner().model) if cls.__name__ == "KnowledgeDistillation" else {**every.MAKE, **applications.BOTH, **made}.get(cls, cls)()
    learn.add_cbs(cb)
    for own in cb if isinstance(cb, list) else [cb]:
        if "after_create" in own.overridden_events():
            own.after_create()
    with learn.no_bar():
        learn.fit(2, 1e-2)
        preds = learn.get_preds()[0]
    state = [t.double().sum().item() for t in learn.model.state_dict().values()]
    return repr((state, learn.recorder.values, None if preds is None else preds.double().sum().item()))


def main(folder):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    number = itertools.count()
    every.in_folder = lambda name: f"{folder}/{next(number)}/{name}"
    bad = {}
    for kind, (learner, without, made) in KINDS.items():
        for cls in every.all_callbacks():
            if cls in without or cls is DistributedTrainer:
                continue
            try:
                result = trained(cls, learner, made)
            except BaseException as e:
                result = f"{type(e).__name__}: {e}"
                if isinstance(e, ImportError) or type(e).__name__ == "Skipped":
                    continue
                bad[f"{kind} {cls.__name__}"] = result
            results = ranks.gathered(result)
            if len(set(results)) > 1:
                bad[f"{kind} {cls.__name__}"] = results
    Path(folder, f"bad-{ranks.rank()}.json").write_text(json.dumps(bad))


if __name__ == "__main__":
    main(sys.argv[1])
