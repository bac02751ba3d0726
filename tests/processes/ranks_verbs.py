"""What a learner can do, done alone and by several ranks: it must give the same, and leave the same files behind.

    torchrun --standalone --nproc-per-node=2 ranks_verbs.py folder
"""
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import SGD
from torch.utils.data import TensorDataset

from minifast.basics import (
    Adam,
    Callback,
    CancelFitException,
    CrossEntropyLossFlat,
    CSVLogger,
    DataLoaders,
    EarlyStoppingCallback,
    JSONLogger,
    Learner,
    RandTransform,
    ReduceLROnPlateau,
    SaveModelCallback,
    accuracy,
    load_learner,
    params,
    set_seed,
)
from minifast.callbacks import PredictionDynamics, TensorBoardCallback
from minifast.core import ranks
from minifast.ensemble.averaging import Ensemble, average_preds
from minifast.ensemble.bagging import bagging
from minifast.ensemble.kfold import kfold, train_on_all
from minifast.ensemble.search import loguniform, random_search

N, N_VALID = 101, 37


class Noise(RandTransform):
    "Adds a random number to the inputs of an item."

    def draw(self, sample, rng, split_idx):
        return {"noise": float(rng.normal())}

    def encodes(self, x, noise):
        return x + noise if torch.is_floating_point(x) else x


def data(bs=16, images=False, **kwargs):
    x = torch.randn(N + N_VALID, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * 2 + x[:, 1] > 0).long()
    if images:
        x = x[:, :3, None, None].expand(-1, -1, 8, 8) + torch.linspace(0, 1, 8)
    return DataLoaders.from_dsets(TensorDataset(x[:N], y[:N]), TensorDataset(x[N:], y[N:]), bs=bs, device="cpu", **kwargs)


def learner(name, dls=None, model=None, **kwargs):
    set_seed(1)
    model = model or nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    world = f"{ranks.world_size()}-{name}"
    return Learner(dls or data(), model, CrossEntropyLossFlat(), metrics=accuracy, path=Path(sys.argv[1]) / world,
                   **{"opt_func": SGD, **kwargs})


def weights(learn):
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


def lr_find():
    learn = learner("lr_find")
    before = weights(learn)
    found = learn.lr_find(num_it=40, show_plot=False)
    return {"same": torch.equal(before, weights(learn)), "losses": torch.tensor(learn.recorder.lr_find.losses),
            "suggested": torch.tensor(found[0])}


def early_stopping():
    learn = learner("early", cbs=[EarlyStoppingCallback(patience=2, min_delta=0.05), SaveModelCallback()])
    learn.fit(12, 0.5)
    return {"epochs": len(learn.recorder.values), "weights": weights(learn)}


def plateau():
    learn = learner("plateau", cbs=ReduceLROnPlateau(patience=1, min_delta=0.05))
    learn.fit(6, 0.5)
    return {"reductions": torch.tensor([r.epoch for r in learn.reduce_lr_on_plateau.reductions]), "weights": weights(learn)}


def predictions():
    learn = learner("preds")
    learn.fit(1, 0.1)
    inputs, preds, targets, decoded, losses = learn.get_preds(with_input=True, with_decoded=True, with_loss=True)
    train = learn.get_preds(ds_idx=0, reorder=True)
    return {"inputs": inputs, "preds": preds, "targets": targets, "decoded": decoded, "losses": losses, "train": train[0],
            "train_targets": train[1], "validate": torch.tensor([*learn.validate()]),
            "test": learn.get_preds(dl=learn.dls.test_dl(TensorDataset(learn.dls.valid_ds.tensors[0])))[0],
            "predict": learn.predict(learn.dls.valid_ds[3][0])[2]}


def tta():
    learn = learner("tta", dls=data(after_item=Noise()))
    learn.fit(1, 0.1)
    return {"weights": weights(learn), "preds": learn.tta(n=2)[0]}


def fine_tune():
    body, head = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 2)
    learn = learner("fine_tune", model=nn.Sequential(body, head), splitter=lambda m: [params(m[0]), params(m[1])], opt_func=Adam)
    learn.fine_tune(2, 1e-2)
    return {"weights": weights(learn), "values": torch.tensor(learn.recorder.values)}


def resizing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    learn = learner("resizing", dls=data(images=True), model=model)
    learn.fit_one_cycle(4, 0.1, sizes=[4, 8])
    return {"weights": weights(learn)}


def loggers():
    learn = learner("loggers", cbs=[CSVLogger(), JSONLogger(), TensorBoardCallback(valid_every=2), PredictionDynamics()])
    learn.fit(2, 0.1)
    learn.save("end")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learn.export("end.pkl")
    ranks.barrier()
    rows = learn.csv_logger.read()
    return {"weights": weights(learn), "rows": len(rows), "loss": torch.tensor(rows["valid_loss"]), "json": len(learn.json_logger.read())}


class StopsAt(Callback):
    def after_batch(self):
        if self.training and self.train_iter == 4:
            raise CancelFitException


def stops_alike():
    learn = learner("stops", cbs=StopsAt())
    learn.fit(3, 0.1)
    return {"weights": weights(learn), "batches": len(learn.recorder.losses)}


def streams():
    "What each rank draws in training, of torch, numpy and Python: a rerun repeats it, and every rank and epoch has others."
    def draws():
        found = []
        learn = learner("streams", cbs=Callback(before_train=lambda: found.extend((torch.rand(()).item(), np.random.rand(),
                                                                                   random.random()))))
        with learn.no_logging():
            learn.fit(2, 0.1)
        return found
    first, second = draws(), draws()
    assert first == second and len({*first}) == len(first)
    everyone = ranks.gathered(first)
    assert len({o for draws in everyone for o in draws}) == sum(map(len, everyone))
    return {"first": torch.tensor(first)}


def looks():
    "What rank 0 may do alone, while the others go on."
    learn = learner("looks")
    learn.fit(1, 0.1)
    if ranks.is_main():
        assert len(learn.dls.one_batch()[0]) == 16 and "Total parameters: 178" in learn.summary()
        learn.predict(learn.dls.valid_ds[0][0])
        with learn.no_logging():
            assert learn.to_torch_export("looks.pt2").exists()
        learn.check(fast=True)
    return {"weights": weights(learn)}


def ensembles():
    "Folds, bags and trials, whose files rank 0 writes; a second call finds all of them done."
    x = torch.randn(48, 8, generator=torch.Generator().manual_seed(0))
    y, folder = (x[:, 0] > 0).long(), Path(sys.argv[1]) / f"{ranks.world_size()}-ensembles"

    def of_items(splits):
        dsets = [TensorDataset(x[list(s)], y[list(s)]) for s in splits]
        return learner("ensembles", DataLoaders.from_dsets(*dsets, bs=8, device="cpu"))

    def of_params(params):
        return of_items((range(32), range(32, 48)))

    def fit(learn, params=None):
        with learn.no_logging():
            learn.fit(1, params["lr"] if params else 0.1)

    found = {}
    for i in range(2):
        folds = kfold(of_items, list(range(48)), 2, fit=fit, path=folder / "folds")
        bags = bagging(of_items, list(range(48)), 2, fit=fit, path=folder / "bags")
        trials = random_search(of_params, {"lr": loguniform(1e-3, 1.0)}, 2, fit=fit, csv=folder / "trials.csv")
        found |= {f"folds{i}": folds.preds, f"bags{i}": torch.tensor(bags.table.select_dtypes("number").to_numpy()),
                  f"trials{i}": torch.tensor([[t.params["lr"], t.values["valid_loss"]] for t in trials.trials])}
    return found


def files():
    "What a learner writes, or measures in one process."
    learn = learner("files")
    learn.fit(1, 0.1)
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = [learn.export("files.pkl"), learn.to_onnx("files.onnx"), learn.report("files.html"), learn.save("files")]
    if ranks.world_size() > 1:
        try:
            learn.speedup(budget="1s")
        except RuntimeError as e:
            said = str(e)
    plan = learn.plan(gpus=2)
    ranks.barrier()
    assert "run it once without a launcher" in said or ranks.world_size() == 1
    return {"written": [Path(str(f)).exists() for f in written if f is not None], "plan": plan["ddp"].world,
            "loaded": load_learner(learn.path / "files.pkl").predict(learn.dls.valid_ds[3][0])[2], "weights": weights(learn)}


def averages():
    "Predictions of several learners as one, and a learner trained on all items."
    learners = [learner("averages"), learner("averages", model=nn.Linear(8, 2))]
    for learn in learners:
        with learn.no_logging():
            learn.fit(1, 0.1)
    ensemble = Ensemble(learners, how="geometric")

    def of_all(splits):
        return learner("averages", DataLoaders.from_dsets(TensorDataset(*(t[list(splits[0])] for t in learn.dls.train_ds.tensors)),
                                                          bs=16, device="cpu"))

    preds, targets = average_preds(learners)
    last = train_on_all(of_all, list(range(N)), 2, fit=lambda learn, n: learn.fit(n, 0.1))
    return {"preds": preds, "targets": targets, "train": average_preds(learners, ds_idx=0)[0],
            "validate": torch.tensor(ensemble.validate()), "predict": ensemble.predict(learn.dls.valid_ds[3][0])[2],
            "weights": weights(last), "all": average_preds([last, *learners[1:]], dl=learn.dls.valid, how="rank")[0]}


VERBS = [lr_find, early_stopping, plateau, predictions, tta, fine_tune, resizing, loggers, stops_alike, streams, looks, ensembles, averages,
         files]


def main(folder):
    torch.set_num_threads(1)
    results = {}
    for verb in VERBS:
        if sys.argv[2:] and verb.__name__ not in sys.argv[2:]:
            continue
        warnings.warn(f"beginning {verb.__name__}", stacklevel=1)
        results[verb.__name__] = verb()
    torch.save(results, Path(folder) / f"{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
