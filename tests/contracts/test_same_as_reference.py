"""`Learner.fit` computes what a 12-line loop computes, bit for bit."""
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.optim.groups import param_groups
from minifast.optim.optimizers import SGD, Adam


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def data():
    g = torch.Generator().manual_seed(3)
    return TensorDataset(torch.randn(50, 8, generator=g), torch.randint(0, 3, (50,), generator=g))


def hand_loop(model, loader, opt, epochs):
    for _ in range(epochs):
        model.train()
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()


@pytest.mark.parametrize("opt_func", [Adam, SGD, torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("kind", [TorchDataLoader, DataLoader])
def test_fit_equals_the_hand_loop(opt_func, kind):
    weights = []
    for use_learner in (False, True):
        model = mlp()
        loader = kind(data(), batch_size=16, shuffle=True)
        torch.manual_seed(7)
        if use_learner:
            learn = Learner(DataLoaders(loader), model, F.cross_entropy, opt_func, lr=1e-2)
            with learn.no_bar(), learn.no_logging():
                learn.fit(3)
        else:
            groups = param_groups(model, list(model.parameters()))
            opt = opt_func(groups, lr=1e-2)
            for g in opt.param_groups:
                if g["no_decay"] and "weight_decay" in g:
                    g["weight_decay"] = 0.0
            hand_loop(model, loader, opt, 3)
        weights.append(model.state_dict())
    for name, w in weights[0].items():
        assert torch.equal(w, weights[1][name]), name


def test_fit_one_cycle_equals_torch_with_the_same_schedule():
    from minifast.optim.schedules import combined_cos
    model, twin = mlp(), mlp()
    loader = TorchDataLoader(data(), batch_size=10)
    learn = Learner(DataLoaders(loader), model, F.cross_entropy, lr=1e-2)
    torch.manual_seed(1)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 1e-2)
    groups = [{"params": g["params"], "weight_decay": 0.0 if g["no_decay"] else 0.01}
              for g in param_groups(twin, list(twin.parameters()))]
    opt = torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-5, fused=True)
    lr, mom = combined_cos(0.25, 1e-2 / 25, 1e-2, 1e-2 / 1e5), combined_cos(0.25, 0.95, 0.85, 0.95)
    torch.manual_seed(1)
    twin.train()
    for step in range(10):
        if step % 5 == 0:
            batches = iter(loader)
        xb, yb = next(batches)
        for g in opt.param_groups:
            g["lr"], g["betas"] = lr(step / 10), (mom(step / 10), 0.99)
        F.cross_entropy(twin(xb), yb).backward()
        opt.step()
        opt.zero_grad()
    for (name, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)
