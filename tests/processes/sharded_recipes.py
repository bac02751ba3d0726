"""Trains models with FSDP2 in ways that are particular to it, and without `torchrun` the same in one process.

    torchrun --standalone --nproc-per-node=2 sharded_recipes.py folder
"""
import sys
import traceback
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

import minifast.optim as optim
from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner, accuracy, load_learner, set_seed
from minifast.callbacks import (
    EMA,
    SAM,
    SWA,
    Callback,
    ChannelsLast,
    GradientAccumulation,
    GradientClip,
    GradientClipValue,
    GradientNorms,
    SaveModelCallback,
    ShortEpochCallback,
)
from minifast.core import ranks
from minifast.core.sharded import is_sharded

N, N_VALID = 21, 21                     # a step costs 50 ms at four ranks: two in an epoch, of a full batch and of 5 items
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else ".")         # the script is also imported, for the names of its recipes


class Tied(nn.Module):
    "A small transformer whose output layer has the weights of its embedding."

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, dropout=0, batch_first=True) for _ in range(3))
        self.out = nn.Linear(16, 8, bias=False)
        self.out.weight = self.embed.weight
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x.abs().mul(3).long().clamp(max=7))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.out(x).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList([nn.LSTM(1, 12, batch_first=True), nn.LSTM(12, 12, batch_first=True)])
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        x = x[..., None]
        for layer in self.body:
            x, _ = layer(x)
        return self.head(x[:, -1])


def mlp():
    return nn.Sequential(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()), nn.Linear(16, 2))


def with_group_norm():
    return nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(),
                         nn.Linear(32, 2))


def halves(model):
    return [list(model[0].parameters()), list(model[1].parameters())]


def learner(model=mlp, n=N, **kwargs):
    set_seed(1)
    x = torch.randn(n + N_VALID, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * 2 + x[:, 1] > 0).long()
    dls = DataLoaders.from_dsets(TensorDataset(x[:n], y[:n]), TensorDataset(x[n:], y[n:]), bs=16, device="cpu")
    return Learner(dls, model(), CrossEntropyLossFlat(), metrics=accuracy, path=FOLDER / f"{ranks.world_size()}", **kwargs).to_distributed(
        "fsdp2")


class Watch(Callback):
    "Notes what share of the weights a rank holds while the model trains, and predicts in the middle of a fit."
    shares, preds, name = (), None, ""

    def after_step(self):
        held = sum(p.to_local().numel() if is_sharded(p) else p.numel() for p in self.learn.model.parameters())
        self.shares = (*self.shares, held / sum(p.numel() for p in self.learn.model.parameters()))

    def after_epoch(self):
        self.name = str(self.learn.model)
        self.preds = self.learn.get_preds()[0]


def two_fits():
    "As in `fine_tune`: frozen, then all, with rates of layer groups, an average and clipping that go on."
    learn = learner(splitter=halves, opt_func=optim.Adam, cbs=[EMA(0.8), GradientClip(0.5)])
    learn.freeze()
    learn.fit_one_cycle(1, 1e-2)
    learn.unfreeze()
    learn.fit_one_cycle(2, slice(1e-3, 1e-2))
    return learn


def best_is_loaded():
    learn = learner(cbs=SaveModelCallback("valid_loss", fname="best", with_opt=True))
    learn.fit(3, 0.1)
    return learn


def saved_and_loaded():
    "The second half of a training that was saved, loaded into another learner, and goes on."
    learn = learner(opt_func=optim.Adam)
    learn.fit(1, 1e-2)
    learn.save("half")
    learn = learner(opt_func=optim.Adam)
    learn.load("half")
    learn.fit(1, 1e-2)
    return learn


def after_lr_find():
    learn = learner()
    learn.lr_find(num_it=12, show_plot=False)
    learn.fit(1, 1e-2)
    return learn


def fit(*args, n_epoch=2, lr=1e-2, **kwargs):
    def run():
        learn = learner(*args, **kwargs)
        learn.fit(n_epoch, lr)
        return learn
    return run


def frozen_inside():
    learn = learner()
    for p in learn.model[0][0].parameters():
        p.requires_grad_(False)
    learn.fit(2, 1e-2)
    return learn


RECIPES = {
    "two_fits": two_fits, "best_is_loaded": best_is_loaded, "saved_and_loaded": saved_and_loaded, "after_lr_find": after_lr_find,
    "tied": fit(Tied, opt_func=optim.SGD), "recurrent": fit(Recurrent), "group_norm": fit(with_group_norm), "frozen_inside": frozen_inside,
    "cut_short": fit(n=53, cbs=[GradientAccumulation(40), ShortEpochCallback(0.7, short_valid=False)]),
    "swa": fit(cbs=SWA(0.3)), "adaptive_sam": fit(cbs=SAM(0.5, adaptive=True)), "clip_value": fit(cbs=GradientClipValue(0.01)),
    "sgd": fit(opt_func=partial(optim.SGD, mom=0.9, wd=0.1)), "rms_prop": fit(opt_func=partial(optim.RMSProp, wd=0.1)),
    "radam": fit(opt_func=optim.RAdam, n_epoch=4), "larc": fit(opt_func=optim.Larc), "lamb": fit(opt_func=optim.Lamb),
    "lion": fit(opt_func=optim.Lion, lr=1e-3), "ranger": fit(opt_func=optim.ranger, n_epoch=4), "qhadam": fit(opt_func=optim.QHAdam),
}


def refused(f):
    try:
        f()
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return ""


def main():
    torch.set_num_threads(1)
    results = {}
    for name, make in RECIPES.items():
        try:
            learn = make()
            results[name] = {"weights": torch.cat([p.detach().flatten() for p in learn.model.parameters()]), "preds": learn.get_preds()[0],
                             "values": torch.tensor(learn.recorder.values, dtype=torch.float64)}
        except Exception:
            results[name] = {"failed": traceback.format_exc()}

    watch, norms = Watch(), GradientNorms()
    learn = learner(cbs=[watch, norms])
    model, params, kinds, hooks = learn.model, list(learn.model.parameters()), [*map(type, learn.model.modules())], []
    modules = list(model.modules())
    handle = model[0].register_forward_hook(lambda *a: hooks.append(1))
    learn.fit(1, 1e-2)
    state = [t for kept in learn.opt.state.values() for t in kept.values() if torch.is_tensor(t) and t.ndim]
    calls = len(hooks)
    handle.remove()
    x = torch.ones(2, 8)
    model(x)
    results["after"] = {
        "share": max(watch.shares), "name": watch.name, "during": watch.preds, "norms": norms.norms, "after": learn.get_preds()[0],
        "same": all(a is b for a, b in zip(params, model.parameters(), strict=True)) and modules == list(model.modules())
        and kinds == [*map(type, model.modules())] and model is learn.model,
        "plain": all(not is_sharded(p) for p in model.parameters()), "state_divided": bool(state) and all(map(is_sharded, state)),
        "hooks": calls, "no_hooks_left": len(hooks) == calls and not any(
            isinstance(k, int) for m in model.modules() for d in vars(m).values() if isinstance(d, dict) for k in d),
        "marks": [k for m in model.modules() for k in vars(m) if "fsdp" in k]}
    learn.export("export.pkl")
    ranks.barrier()
    with ranks.alone():
        results["after"]["loaded"] = load_learner(learn.path / "export.pkl").model(x)
    results["after"]["here"] = model.eval()(x)
    learn.fit(1, 1e-2, cbs=EMA(0.9))
    results["after"]["averaged"] = dict(learn.model.state_dict())

    class Reader(nn.Module):
        "Uses the weights of a layer without calling it."

        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 2)])

        def forward(self, x):
            return self.layers[1](x @ self.layers[0].weight)

    def refuse(f):
        results["refused"].append(refused(f))
    results["refused"] = []
    if ranks.world_size() > 1:
        refuse(lambda: learner(opt_func=partial(optim.OptimWrapper, opt=torch.optim.Adafactor)).fit(1))
        refuse(lambda: learner(cbs=ChannelsLast()).fit(1))
        refuse(lambda: learner().compile().fit(1))
        broken = learner(Reader)
        refuse(lambda: broken.fit(1))
        refuse(lambda: broken.fit(1))
        mended = learner(Reader).to_distributed("fsdp2", blocks=[])
        refuse(lambda: mended.fit(1))
    torch.save(results, FOLDER / f"{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main()
