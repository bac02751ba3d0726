"""Trains models with something unusual: norms, parts that are unused or frozen, shared weights, half precision.

    torchrun --standalone --nproc-per-node=2 models_recipes.py folder ddp|fsdp2
"""
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD
from torch.utils.data import TensorDataset

from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner, set_seed
from minifast.callbacks import EMA, Callback, GradientClip, MixedPrecision, Order
from minifast.callbacks.sharded import ShardedModel
from minifast.core import ranks

N_VALID = 21
CAN_SHARD = hasattr(torch.cpu.Stream, "record_event")


class TakesTurns(nn.Module):
    "Of its two branches one takes part in each batch."

    def __init__(self):
        super().__init__()
        self.branches, self.calls = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]), 0
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        self.calls += self.training
        return self.head(self.branches[self.calls % 2](x).relu())


class Shared(nn.Module):
    "A layer that is used twice, and one that has its weights."

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.head(self.b(self.a(self.a(x)).relu()))


class Unfreeze(Callback):
    "Trains the body from the second epoch on, or from a batch within it."

    def __init__(self, at="before_epoch"):
        self.at = at

    def before_epoch(self):
        if self.learn.epoch == 1 and self.at == "before_epoch":
            self.learn.unfreeze()

    def after_batch(self):
        if self.training and self.train_iter == 6 and self.at == "after_batch":
            self.learn.unfreeze()


def learner(model, n=53, find_unused=False, bs=16, **kwargs):
    set_seed(1)
    x = torch.randn(n + N_VALID, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * 2 + x[:, 1] > 0).long()
    dls = DataLoaders.from_dsets(TensorDataset(x[:n], y[:n]), TensorDataset(x[n:], y[n:]), bs=bs, device="cpu")
    learn = Learner(dls, model(), CrossEntropyLossFlat(), opt_func=SGD, path=Path(sys.argv[1]), **kwargs)
    return learn.to_distributed(sys.argv[2], find_unused_parameters=find_unused and sys.argv[2] == "ddp")


def with_norm(norm):
    return lambda: nn.Sequential(nn.Sequential(nn.Linear(8, 16), norm(16), nn.ReLU()), nn.Linear(16, 2))


def parts(model):
    return [list(model[0].parameters()), list(model[1].parameters())]


def transformer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (1, 8)), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Flatten(),
                         nn.Linear(8, 2))


def unfreezing(at="before_epoch"):
    learn = learner(with_norm(nn.LayerNorm), splitter=parts, cbs=Unfreeze(at), train_bn=False)
    learn.freeze()
    return learn


class Scaled(MixedPrecision):
    "fp16 as on a GPU, but for autocast: the loss is scaled."

    def works_on(self, device):
        return True

    def forward_context(self):
        return nullcontext()


class Overflow(Callback):
    "Once a gradient is infinite: of divided ones, on the last rank alone."
    order = Order.GRADS - 1

    def after_backward(self):
        grad = next(self.learn.model.parameters()).grad
        if self.learn.train_iter == 2 and (not hasattr(grad, "to_local") or ranks.rank() == ranks.world_size() - 1):
            (grad.to_local() if hasattr(grad, "to_local") else grad)[-1, 0] = torch.inf

    def after_fit(self):
        assert self.learn.scaled.skipped_steps == 1 and self.learn.scaled.scaler.get_scale() == 2.0**9


RECIPES = {
    "fp16_scaled": lambda: learner(with_norm(nn.LayerNorm), cbs=[Scaled(init_scale=2.0**10), Overflow(), GradientClip(0.1)]),
    "takes_turns": lambda: learner(TakesTurns, find_unused=True), "shared": lambda: learner(Shared), "unfreezing": unfreezing,
    "unfreezing_within": partial(unfreezing, "after_batch"),
    "layer_norm": lambda: learner(with_norm(nn.LayerNorm), n=34), "bf16": lambda: learner(transformer).to_bf16(),
    "bf16_norm": lambda: learner(with_norm(nn.LayerNorm)).to_bf16(),
}
#: Batch norm looks at the items of a rank, so that these only have to agree with one another. Last batches of 1, 2 and 3 items.
OF_A_RANK = {f"batch_norm_{n}": lambda n=n: learner(with_norm(nn.BatchNorm1d), n=n, cbs=EMA(0.9)) for n in (33, 34, 35)}
OF_A_RANK["batch_norm_bf16"] = lambda: learner(with_norm(nn.BatchNorm1d)).to_bf16()


def gathered_in_bf16():
    "As on a GPU: weights of groups are put together in bf16, those of what is left are not. `(weights, types in a forward pass)`."
    set_seed(0)
    model, seen = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)), []
    model[2].register_forward_hook(lambda m, *_: seen.append(str(m.weight.dtype)))
    model[4].register_forward_hook(lambda m, *_: seen.append(str(m.weight.dtype)))
    opt, x = SGD(model.parameters(), lr=0.1), torch.randn(8, 8)
    divided = ShardedModel(model, opt, "cpu", dtype=torch.bfloat16) if ranks.world_size() > 1 and CAN_SHARD else None
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(x).square().mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
    if divided is not None:
        divided.gather()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), seen[-2:]


def of_an_old_torch():
    "FSDP2 on a CPU, with a torch that lacks what it calls."
    now = vars(torch.cpu.Stream).get("record_event")
    try:
        if now is not None:
            del torch.cpu.Stream.record_event
        learner(with_norm(nn.LayerNorm)).to_distributed("fsdp2").fit(1)
    finally:
        if now is not None:
            torch.cpu.Stream.record_event = now


def told(f):
    try:
        f()
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return ""


def main(folder, strategy):
    torch.set_num_threads(1)
    results = {}
    for name, make in {**RECIPES, **OF_A_RANK}.items():
        learn = make()
        learn.fit(2, 0.1)
        results[name] = {"weights": torch.cat([t.detach().double().flatten() for t in learn.model.state_dict().values()]),
                         "valid": torch.tensor(learn.recorder.values[-1])[1:], "preds": learn.get_preds()[0]}
    results["told"] = {}
    if ranks.world_size() > 1:
        results["told"]["sync_bn"] = told(lambda: learner(with_norm(nn.BatchNorm1d)).to_distributed(strategy, sync_bn=True).fit(1))
        results["told"]["old_torch"] = told(of_an_old_torch)
        if strategy == "ddp":
            results["told"]["unused"] = told(lambda: learner(TakesTurns).fit(1))
    results["gathered_in_bf16"] = gathered_in_bf16()
    torch.save(results, Path(folder) / f"{strategy}-{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
