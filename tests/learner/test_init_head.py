"""`init_head` on the heads that the applications build: the first loss is that of the best constant, which is worked out here."""
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.core.nested import split_batch
from minifast.data.block import CategoryBlock
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.init_head import guess
from minifast.learner.learner import Learner
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, L1LossFlat, MSELossFlat
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.model import tabular_config
from minifast.vision.learner import unet_learner, vision_learner

N = 96


def tiny(pretrained=False):
    return nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def stepwise(pretrained=False):
    steps = [nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()) for i, o in ((3, 8), (8, 16))]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1))


def loaders(x, y, bs=32):
    ds = TensorDataset(x, y)
    return DataLoaders(DataLoader(ds, bs=bs, shuffle=True, seed=1), DataLoader(ds, bs=bs), device="cpu")


def pictures(size=8, n=N):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def rare(n, k=3):
    "Class ids of which the last occurs once in eight times, the others equally often."
    ids = torch.arange(n)
    return torch.where(ids % 8 == 0, torch.full_like(ids, k - 1), ids % (k - 1))


def values(n=N, k=2):
    gen = torch.Generator().manual_seed(1)
    return torch.tensor([5.0, -3.0])[:k] + torch.tensor([2.0, 0.5])[:k] * torch.randn(n, k, generator=gen)


def first_loss(learn):
    "Mean over the training items, the lower of training mode (without running statistics that mean nothing yet) and evaluation mode."
    found = []
    for training in (True, False):
        learn.model.train(training)
        total = n = 0
        with torch.no_grad():
            for batch in learn.dls.train:
                xb, kw, yb = split_batch(batch, learn.dls.train.n_inp)
                total, n = total + float(learn.loss_func(learn.model(*xb, **kw), *yb)) * len(yb[0]), n + len(yb[0])
        found.append(total / n)
    return min(found)


def entropy(y, k):
    p = torch.bincount(y.flatten(), minlength=k).double() / y.numel()
    return float(-(p * p.log()).sum())


def binary_entropy(y):
    p = y.double().mean(0)
    return float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())


HEADS = [{}, {"lin_first": True}, {"bn_final": True}, {"lin_ftrs": []}, {"lin_ftrs": [], "first_bn": False}, {"ps": 0.0}]


@pytest.mark.parametrize("head", HEADS)
def test_heads_for_classes(head):
    torch.manual_seed(0)
    y = rare(N)
    learn = vision_learner(loaders(pictures(), y), tiny, pretrained=False, n_out=3, loss_func=CrossEntropyLossFlat(), **head)
    assert learn.init_head() is learn
    assert first_loss(learn) == pytest.approx(entropy(y, 3), abs=0.03)


@pytest.mark.parametrize("head", HEADS)
def test_heads_for_several_labels(head):
    torch.manual_seed(0)
    y = torch.stack([torch.arange(N) % 2 == 0, torch.arange(N) % 12 == 0, torch.arange(N) % 8 != 0], 1).float()
    learn = vision_learner(loaders(pictures(), y), tiny, pretrained=False, n_out=3, loss_func=BCEWithLogitsLossFlat(), **head).init_head()
    assert first_loss(learn) == pytest.approx(binary_entropy(y), abs=0.03)


@pytest.mark.parametrize("y_range", [None, (-10, 12)])
@pytest.mark.parametrize("head", HEADS)
def test_heads_for_numbers(head, y_range):
    torch.manual_seed(0)
    y = values()
    learn = vision_learner(loaders(pictures(), y), tiny, pretrained=False, n_out=2, loss_func=MSELossFlat(), y_range=y_range, **head)
    learn.init_head()
    assert first_loss(learn) < 1.1 * float(y.var(0, unbiased=False).mean())


def test_more_outputs_than_features():
    torch.manual_seed(0)
    y = rare(N, 20)
    learn = vision_learner(loaders(pictures(), y), tiny, pretrained=False, n_out=20, lin_ftrs=[8], ps=0.0,
                           loss_func=CrossEntropyLossFlat()).init_head()
    assert first_loss(learn) == pytest.approx(entropy(y, 20), abs=0.1)


@pytest.mark.filterwarnings("error")
def test_without_it_the_first_loss_is_another():
    "So the tests above can fail."
    torch.manual_seed(0)
    y = rare(N)
    learn = vision_learner(loaders(pictures(), y), tiny, pretrained=False, n_out=3, loss_func=CrossEntropyLossFlat())
    with torch.no_grad():
        learn.model[1][-1].weight.mul_(4)                   # a head that begins far from a guess, whatever it drew
    assert first_loss(learn) > entropy(y, 3) + 0.2
    before = {n: p.clone() for n, p in learn.model.state_dict().items()}
    stream = torch.get_rng_state()
    learn.init_head()
    changed = [n for n, p in learn.model.state_dict().items() if not torch.equal(p, before[n])]
    assert len(changed) == 2 and all(n.startswith("1.") for n in changed) and torch.equal(stream, torch.get_rng_state())
    assert learn.opt is None
    learn.fit(1, 1e-3)


@pytest.mark.parametrize("kind", ["classes", "numbers", "numbers in a range"])
def test_heads_for_pixels(kind):
    torch.manual_seed(0)
    x = pictures(16, 32)
    if kind == "classes":
        y = (x[:, 0] > 1.2).long() + 2 * (x[:, 1] > 2).long()
        y = y.clamp(max=2)
        loss, n_out, y_range, expected = CrossEntropyLossFlat(axis=1), 3, None, entropy(y, 3)
    else:
        y = torch.stack([x[:, 0] * 0.2 + 0.7, x[:, 1] * 0.1 + 3], 1)
        loss, n_out, y_range = MSELossFlat(), 2, (-1, 5) if kind.endswith("range") else None
        expected = float(y.var((0, 2, 3), unbiased=False).mean())
    learn = unet_learner(loaders(x, y, 16), stepwise, pretrained=False, n_out=n_out, loss_func=loss, y_range=y_range)
    if kind == "classes":
        assert first_loss(learn) > 1.3 * expected
    learn.init_head()
    assert first_loss(learn) == pytest.approx(expected, rel=0.15)


def table(n=N):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(list("xyz"), n), "y": rng.normal(40, 3, n),
                         "c": np.where(np.arange(n) % 8 == 0, "rare", np.where(np.arange(n) % 2, "odd", "even"))})


TABLES = [{}, {"config": tabular_config(bn_final=True)}, {"config": tabular_config(lin_first=False)},
          {"config": tabular_config(lin_first=False, bn_final=True)}, {"config": tabular_config(use_bn=False)}, {"layers": [20]}]


@pytest.mark.parametrize("args", TABLES)
def test_heads_of_tables(args):
    df = table(N + 24)
    splits = [list(range(N)), list(range(N, N + 24))]
    for y_name, y_range in (("y", None), ("y", (20, 60)), ("c", None)):
        torch.manual_seed(0)
        block = {"y_block": CategoryBlock()} if y_name == "c" else {}
        dls = TabularDataLoaders.from_df(df, y_names=y_name, cat_names=["b"], cont_names=["a"], splits=splits, bs=32, **block)
        learn = tabular_learner(dls, y_range=y_range, **args).init_head()
        if y_name == "y":
            assert first_loss(learn) < 1.15 * df.y[:N].var(ddof=0)
        else:
            p = df.c[:N].value_counts(normalize=True).to_numpy()
            assert first_loss(learn) == pytest.approx(-(p * np.log(p)).sum(), abs=0.03)


@pytest.mark.parametrize("args", [{}, {"y_range": (0, 5.5)}, {"use_nn": True}, {"use_nn": True, "y_range": (0, 5.5)}])
def test_heads_of_ratings(args):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"user": rng.integers(12, size=200), "item": rng.integers(9, size=200), "rating": rng.choice([3.0, 4.0, 5.0], 200)})
    dls = CollabDataLoaders.from_df(df, bs=32, seed=0)
    learn = collab_learner(dls, n_factors=8, **args)
    assert args.get("use_nn") or first_loss(learn) > 1
    learn.init_head()
    rated = torch.cat([y.reshape(-1) for _, y in dls.train])
    assert first_loss(learn) < 1.1 * float(rated.var(unbiased=False))
    if not args.get("use_nn"):
        assert learn.model.i_bias.weight.abs().max() < 0.05             # the biases of the items stay to be looked at


def test_the_guess_is_the_best_constant():
    y = rare(80)
    weight = torch.tensor([1.0, 2, 7])
    for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=weight), nn.CrossEntropyLoss(ignore_index=0)):
        bias = nn.Parameter(torch.zeros(3))
        opt = torch.optim.Adam([bias], lr=0.1)
        for _ in range(300):
            opt.zero_grad()
            loss(bias.expand(80, 3), y).backward()
            opt.step()
        ours = guess(loss, y, 3)[0].float()
        assert float(loss(ours.expand(80, 3), y)) == pytest.approx(float(loss(bias.detach().expand(80, 3), y)), abs=0.03)
    labels = (torch.arange(60).reshape(30, 2) % 5 == 0).float()
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 9.0]))
    ours = guess(loss, labels, 2)[0].float()
    for other in (ours + 0.3, ours - 0.3):
        assert loss(ours.expand(30, 2), labels) < loss(other.expand(30, 2), labels)
    numbers = torch.tensor([[1.0], [2], [100]])
    assert float(guess(L1LossFlat(), numbers, 1)[0]) == 2 and float(guess(MSELossFlat(), numbers, 1)[0]) == pytest.approx(103 / 3)


def test_the_check_is_content_afterwards():
    torch.manual_seed(0)
    learn = Learner(loaders(torch.randn(N, 4), 300 + torch.randn(N, 1)), nn.Linear(4, 1), MSELossFlat())
    assert "MF401" in [f.code for f in learn.check(fast=True).issues]
    assert "MF401" not in [f.code for f in learn.init_head().check(fast=True).issues]


@pytest.mark.filterwarnings("error")
def test_weights_shared_with_an_embedding_stay():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(5, 8), nn.Linear(8, 5)
            self.out.weight = self.embed.weight

        def forward(self, x):
            return self.out(self.embed(x))

    torch.manual_seed(0)
    y = rare(N, 5)
    learn = Learner(loaders(torch.arange(N) % 5, y), Tied(), CrossEntropyLossFlat())
    before = learn.model.embed.weight.detach().clone()
    learn.init_head()
    assert torch.equal(learn.model.embed.weight, before)
    torch.testing.assert_close(learn.model.out.bias, guess(learn.loss_func, y, 5)[0].float(), check_dtype=False)


def test_what_it_cannot_do():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(ValueError, match="does not know what the output means"):
        Learner(loaders(pictures(), rare(N)), linear, lambda p, t: F.cross_entropy(p, t)).init_head()
    bare = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    with pytest.raises(ValueError, match="ends with a linear or convolutional layer with bias, or .* right after a norm layer; the last"):
        Learner(loaders(pictures(), rare(N)), bare, CrossEntropyLossFlat()).init_head()
    nan = values()
    nan[3] = float("nan")
    with pytest.raises(ValueError, match="2 targets of 192 are NaN or infinite"):
        Learner(loaders(pictures(), nan), nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), MSELossFlat()).init_head()
    with pytest.raises(ValueError, match=r"the last layer has 2 outputs, the targets have 3"):
        three = torch.cat([values(), values(k=1)], 1)
        Learner(loaders(pictures(), three), nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), MSELossFlat()).init_head()

    class Squashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(192, 1)

        def forward(self, x):
            return torch.tanh(self.lin(x.flatten(1)))

    with pytest.warns(UserWarning, match="the model changes the output of its last layer, Linear"):
        Learner(loaders(pictures(), values(k=1)), Squashed(), MSELossFlat()).init_head()
