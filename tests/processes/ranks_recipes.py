"""Trains small models in different ways and writes what came out: run alone, and by `torchrun` with several ranks, it must be the same.

    torchrun --standalone --nproc-per-node=2 ranks_recipes.py folder [fsdp2]
"""
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import SGD
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.basics import (
    Adam,
    Callback,
    CategoryBlock,
    CrossEntropyLossFlat,
    DataBlock,
    DataLoaders,
    F1Score,
    Learner,
    RandomSplitter,
    TerminateOnNaNCallback,
    TransformBlock,
    accuracy,
    error_rate,
    set_seed,
)
from minifast.callbacks import (
    EMA,
    SAM,
    SWA,
    ActivationReg,
    DistributedTrainer,
    FirstBatch,
    GradientAccumulation,
    GradientClip,
    KnowledgeDistillation,
    MixUp,
    NonFiniteLoss,
)
from minifast.core import ranks
from minifast.distributed import mean_over_items

N, N_VALID = 37, 21                     # so that last batches are ragged, and at four ranks some have no item


def teacher():
    set_seed(9)
    return nn.Linear(8, 2)


def learner(loss_func=None, of_torch=False, num_workers=0, persistent_workers=False, **kwargs):
    set_seed(1)
    x = torch.randn(N + N_VALID, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * 2 + x[:, 1] > 0).long()
    train, valid = TensorDataset(x[:N], y[:N]), TensorDataset(x[N:], y[N:])
    if of_torch:
        dls = DataLoaders(TorchDataLoader(train, 16, shuffle=True, num_workers=num_workers, persistent_workers=persistent_workers),
                          TorchDataLoader(valid, 16), device="cpu")
    else:
        dls = DataLoaders.from_dsets(train, valid, bs=16, device="cpu")
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    return Learner(dls, model, loss_func or CrossEntropyLossFlat(), metrics=[accuracy, F1Score()], path=Path(sys.argv[1]), **kwargs)


def of_pieces():
    "A class for each piece of texts of several lengths: batches are padded to their longest, which differs between ranks."
    set_seed(1)
    rng = torch.Generator().manual_seed(0)
    texts = [torch.randint(1, 9, (int(n),), generator=rng) for n in torch.randint(2, 12, (N + N_VALID,), generator=rng)]

    def padded(samples):
        xs, ys = zip(*samples, strict=True)
        return pad_sequence(xs, batch_first=True), pad_sequence(ys, batch_first=True, padding_value=-100)

    items = [(x, x % 2) for x in texts]
    dls = DataLoaders.from_dsets(items[:N], items[N:], bs=16, device="cpu", collate_fn=padded, num_workers=0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    return Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy, path=Path(sys.argv[1]))


def own_sum(pred, y):
    return nn.functional.cross_entropy(pred, y, reduction="sum")


def penalised(pred, y):
    return nn.functional.cross_entropy(pred, y) + 0.1


def own_of_known(pred, y):
    return nn.functional.cross_entropy(pred.flatten(0, -2), y.flatten())


class Penalty(Callback):
    "Adds what does not depend on the items, as a user does."

    def __init__(self, scaled=lambda learn, term: term):
        self.scaled = scaled

    def after_loss(self):
        if self.training:
            term = 0.5 * sum(p.square().sum() for p in self.model.parameters())
            self.learn.loss = self.learn.loss + self.scaled(self.learn, term)


def of_parts_that_do_not_count(loss_func=None):
    "The second half of each batch has no target."
    set_seed(1)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    y = (x > 0)[:, :3].long()
    y[torch.arange(64) % 16 >= 8] = -100
    dls = DataLoaders.from_dsets(TensorDataset(x, y), TensorDataset(x, y), bs=16, shuffle=False, device="cpu")
    model = nn.Sequential(nn.Linear(8, 6), nn.Unflatten(1, (3, 2)))
    return Learner(dls, model, loss_func or CrossEntropyLossFlat(), metrics=accuracy, path=Path(sys.argv[1]))


RECIPES = {
    "sgd": lambda: learner(opt_func=SGD).fit,
    "one_cycle": lambda: learner(opt_func=Adam).fit_one_cycle,
    "ema": lambda: learner(cbs=EMA(0.9)).fit,
    "swa": lambda: learner(cbs=SWA(start=0.5)).fit,
    "mixup": lambda: learner(cbs=MixUp(0.4)).fit,
    "accumulation": lambda: learner(cbs=GradientAccumulation(20)).fit,
    "accumulation_of_weighted": lambda: learner(CrossEntropyLossFlat(weight=torch.tensor([1., 5.])), cbs=GradientAccumulation(20)).fit,
    "clipping": lambda: learner(opt_func=SGD, cbs=GradientClip(0.05)).fit,
    "class_weights": lambda: learner(CrossEntropyLossFlat(weight=torch.tensor([1., 5.]))).fit,
    "sam": lambda: learner(opt_func=SGD, cbs=SAM()).fit,
    "loaders_of_torch": lambda: learner(of_torch=True).fit,
    "pieces_of_texts": lambda: of_pieces().fit,
    "sum": lambda: learner(nn.CrossEntropyLoss(reduction="sum"), opt_func=SGD, lr=1e-3).fit,
    "penalty_on_a_sum": lambda: learner(nn.CrossEntropyLoss(reduction="sum"), opt_func=SGD, lr=1e-3, cbs=ActivationReg(0.5)).fit,
    "own_sum": lambda: learner(own_sum, opt_func=SGD, lr=1e-3).fit,
    "own_mean_and_penalty": lambda: learner(penalised, opt_func=SGD).fit,
    "own_loss_of_parts_that_count": lambda: of_parts_that_do_not_count(own_of_known).fit,
    "distilled": lambda: learner(CrossEntropyLossFlat(weight=torch.tensor([1., 5.])), cbs=KnowledgeDistillation(teacher())).fit,
    "parts_that_do_not_count": lambda: of_parts_that_do_not_count().fit,
    "persistent_workers_of_torch": lambda: learner(of_torch=True, num_workers=1, persistent_workers=True).fit,
}


def of_norms(strategy):
    "Batch norm and averaged weights: buffers, which each rank computes from its own items."
    learn = learner(cbs=EMA(0.9)).to_distributed(strategy)
    learn.model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2))
    learn.fit(2, 1e-2)
    return {"buffers": torch.cat([b.flatten().double() for b in learn.model.buffers()]), "values": torch.tensor(learn.recorder.values)}


def of_large_predictions():
    "Predictions that are not put together: sums and counts are."
    learn = learner()
    learn.metrics = accuracy
    for cb in learn.cbs:
        if isinstance(cb, DistributedTrainer):
            cb.sum_above = 0
    learn.fit(2, 1e-2)
    return torch.tensor(learn.recorder.values, dtype=torch.float64)


def of_large_parts(weight, metric):
    "The same where the mean over a batch is not that of its parts: of classes that count differently, and targets that do not count."
    set_seed(1)
    x = torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long().masked_fill(x[:, 1] > 1, -100)
    dls = DataLoaders.from_dsets(TensorDataset(x[:25], y[:25]), TensorDataset(x[25:], y[25:]), bs=8, device="cpu")
    learn = Learner(dls, nn.Conv2d(3, 2, 1), CrossEntropyLossFlat(axis=1, weight=weight), metrics=metric, path=Path(sys.argv[1]))
    for cb in learn.cbs:
        if isinstance(cb, DistributedTrainer):
            cb.sum_above = 0
    learn.fit(1, 1e-2)
    return torch.tensor(learn.recorder.values, dtype=torch.float64)


def of_targets_that_stop_counting_later(loss_func):
    "Large predictions, all of whose targets count in the first batches."
    set_seed(1)
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, :3] > 0).long()
    y[20:28] = y[32:35, 1:] = -100
    dls = DataLoaders.from_dsets(TensorDataset(x, y), TensorDataset(x, y), bs=8, shuffle=False, device="cpu")
    learn = Learner(dls, nn.Sequential(nn.Linear(8, 6), nn.Unflatten(1, (3, 2))), loss_func, metrics=[accuracy, error_rate],
                    path=Path(sys.argv[1]))
    for cb in learn.cbs:
        if isinstance(cb, DistributedTrainer):
            cb.sum_above = 0
    learn.fit(1, 1e-2)
    return torch.tensor([*learn.recorder.values, [0, *learn.validate()]], dtype=torch.float64)


def told_of_losses(strategy):
    "What is said of losses and penalties that cannot be put together."
    said, weight = [], torch.ones(3)
    for loss, cbs in ((own_sum, Penalty()), (lambda pred, y: nn.functional.cross_entropy(pred @ pred.T, torch.arange(len(y))), None),
                      (own_sum, Callback(after_loss=lambda cb: setattr(cb.learn, "loss", cb.learn.loss + cb.learn.pred.mean()))),
                      (own_sum, Callback(after_loss=lambda cb: setattr(cb.learn, "loss", cb.learn.loss * 2))),
                      (lambda pred, y: own_sum(pred, y) + weight.square().sum(), None)):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            try:
                with (learn := learner(loss, opt_func=SGD, cbs=cbs).to_distributed(strategy)).no_logging():
                    learn.fit(1, 1e-3)
            except (RuntimeError, ValueError) as e:
                said.append(str(e))
                continue
        said.append("; ".join(str(w.message) for w in found if "loss" in str(w.message)))
    return said


def right_where_known(pred, y):
    return (pred.argmax(1) == y)[y != -100].float().mean()


def of_parts_of_different_sizes():
    "Predictions that are large on one rank alone, because each pads to its longest."
    set_seed(1)
    texts = [torch.arange(1, n) for n in [3] * 20 + [3] * 8 + [9] * 8]
    dls = DataLoaders.from_dsets([(x, len(texts[i - 1]) % 2) for i, x in enumerate(texts[:20])],
                                 [(x, i % 2) for i, x in enumerate(texts[20:])], bs=16, device="cpu", num_workers=0,
                                 collate_fn=lambda b: (pad_sequence([x for x, _ in b], True), torch.tensor([y for _, y in b])))
    learn = Learner(dls, nn.Embedding(9, 2, padding_idx=0), lambda p, y: nn.functional.cross_entropy(p.sum(1), y), path=Path(sys.argv[1]))
    for cb in learn.cbs:
        if isinstance(cb, DistributedTrainer):
            cb.sum_above = 500
    learn.fit(1, 1e-2)
    return torch.tensor(learn.recorder.values, dtype=torch.float64)


def of_pieces_looked_at():
    "A callback of the user's, and inputs that each rank pads for itself; a loss that leaves out the class of padding."
    learn = of_pieces()
    learn.dls = DataLoaders(*(dl.new([(x, y + 1) for x, y in dl.dataset], collate_fn=lambda b: tuple(
        pad_sequence(o, batch_first=True) for o in zip(*b, strict=True))) for dl in learn.dls))
    learn.model, learn.metrics = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3)), []
    learn.loss_func = CrossEntropyLossFlat(ignore_index=0)
    shapes = []
    learn.fit(1, 1e-2, cbs=Callback(after_batch=lambda cb: shapes.append(list(cb.learn.xb[0].shape)) if not cb.learn.training else None))
    inputs = torch.cat([x[x > 0] for x in learn.get_preds(with_input=True)[0]])
    return {"values": torch.tensor(learn.recorder.values, dtype=torch.float64), "shapes": torch.tensor(shapes), "inputs": inputs}


def of_loss_with_weights():
    "Parameters that are trained and are not the model's."
    loss = nn.Sequential(nn.Linear(2, 2))
    learn = learner(lambda pred, y: nn.functional.cross_entropy(loss(pred), y), opt_func=SGD,
                    splitter=lambda model: [*model.parameters(), *loss.parameters()])
    learn.fit(2, 0.1)
    return torch.cat([p.detach().flatten() for p in (*learn.model.parameters(), *loss.parameters())])


def of_a_penalty_on_a_sum():
    learn = learner(own_sum, opt_func=SGD, cbs=Penalty(mean_over_items))
    learn.fit(2, 1e-3)
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


def of_a_learner_made_alone():
    "By each rank for itself, as within `rank0_first`, with loaders of torch."
    learn = ranks.rank0_first(lambda: learner(of_torch=True))
    before = learn.validate()
    learn.fit(2, 1e-2)
    return {"validate": torch.tensor(before), "weights": torch.cat([p.detach().flatten() for p in learn.model.parameters()])}


def of_items_that_are_nan():
    "Which items each rank names."
    learn = learner(cbs=TerminateOnNaNCallback()).remove_cb(FirstBatch)
    x, y = (t.clone() for t in learn.dls.train.dataset.tensors)
    x[[1, 5, 9, 13]] = torch.nan            # some of each rank's
    learn.dls.train = learn.dls.train.new(TensorDataset(x, y), shuffle=False)
    try:
        learn.fit(1)
    except NonFiniteLoss as e:
        return e.culprits
    return []


def of_random_items():
    "Items that each rank shuffles for itself: what is said of them."
    items = torch.randperm(50, generator=torch.Generator().manual_seed(ranks.rank())).tolist()
    block = DataBlock((TransformBlock, CategoryBlock), get_x=lambda i: torch.tensor([float(i)]), get_y=lambda i: i % 2,
                      splitter=RandomSplitter())
    learn = Learner(block.dataloaders(items, bs=8, device="cpu"), nn.Linear(1, 2), path=Path(sys.argv[1]))
    if ranks.world_size() > 1:
        try:
            learn.fit(1)
        except RuntimeError as e:
            return str(e)
    return ""


def of_a_random_split():
    "The split of a splitter without a seed."
    return list(RandomSplitter()(range(50))[1])


def main(folder, strategy="ddp"):
    torch.set_num_threads(1)
    results, split = {}, of_a_random_split()
    for name, make in RECIPES.items():
        fit = make()
        learn = fit.__self__.to_distributed(strategy)
        fit(2, 1e-2)
        preds, targets = learn.get_preds()
        if isinstance(preds, list):                         # what is said of padding does not count
            preds, targets = torch.cat([p[t != -100] for p, t in zip(preds, targets, strict=True)]), torch.cat(targets)
        results[name] = {"weights": torch.cat([p.detach().flatten() for p in learn.model.parameters()]), "preds": preds,
                         "targets": targets, "values": torch.tensor(learn.recorder.values, dtype=torch.float64),
                         "losses": torch.tensor(learn.recorder.raw_losses), "keys": list(learn.model.state_dict())}
    weight = torch.tensor([1., 7.])
    of_torch = {} if strategy == "fsdp2" else {"loss_with_weights": of_loss_with_weights(), "made_alone": of_a_learner_made_alone(),
                                               "penalty_on_a_sum": of_a_penalty_on_a_sum()}
    same = {**of_torch, "weighted": of_large_parts(weight, []), "own_metric": of_large_parts(None, right_where_known),
            "ignored": of_large_parts(None, partial(accuracy, axis=1)), "different_sizes": of_parts_of_different_sizes(),
            "pieces_looked_at": of_pieces_looked_at()}
    for name, loss in {"library": CrossEntropyLossFlat(), "own": own_of_known}.items():
        same[f"ignored_later_{name}"] = of_targets_that_stop_counting_later(loss)
    extra = {"told": told_of_losses(strategy), "same": same, "nan": of_items_that_are_nan(), "split": split, "norms": of_norms(strategy),
             "large_predictions": of_large_predictions(), "random_items": of_random_items()}
    torch.save(extra, Path(folder) / f"{strategy}-{ranks.world_size()}-{ranks.rank()}-extra.pt")
    torch.save(results, Path(folder) / f"{strategy}-{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
