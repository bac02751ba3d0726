"""Does `Learner.fit` train the same weights as a hand-written loop, bit for bit?  python benchmarks/same_weights.py"""
import sys

import torch
import torch.nn.functional as F
from common import FakeTerminal, output_to, report
from frameworks import Task, minifast_adam
from torch.utils.data import DataLoader, TensorDataset

#: what it is, task, loader, epochs, bar drawn
CASES = [
    ("mlp, ready-made batches, 1 epoch", "mlp", "pre", 1, False),
    ("mlp, ready-made batches, 3 epochs", "mlp", "pre", 3, False),
    ("mlp, shuffled items, last batch smaller, 2 epochs", "mlp", "items", 2, False),
    ("convnet with batch norm, 2 epochs", "convnet", "pre", 2, False),
    ("convnet with batch norm, bar drawn, 2 epochs", "convnet", "pre", 2, True),
]


def check_all(as_json=False):
    "Print one line per case; return how many differ."
    return sum(not check(*case, as_json) for case in CASES)


def check(what, task_name, loader, epochs, bar, as_json):
    task = Task(task_name)
    n = task.short

    def train_loader():
        if loader == "pre":
            return task.loader_of(n)
        return DataLoader(TensorDataset(task.x[:n * task.bs - 17], task.y[:n * task.bs - 17]), task.bs, shuffle=True)

    by_hand, learned = task.model(), task.model()
    torch.manual_seed(1)
    train_by_hand(by_hand, train_loader(), epochs)
    torch.manual_seed(1)
    train_with_learner(learned, train_loader(), epochs, bar)
    start = task.model().state_dict()
    ours, theirs = learned.state_dict(), by_hand.state_dict()
    same = all(torch.equal(ours[k], theirs[k]) for k in theirs) and ours.keys() == theirs.keys()
    trained = not all(torch.equal(start[k], theirs[k]) for k in theirs)
    largest = max(float((ours[k] - theirs[k]).abs().max()) for k in theirs)
    verdict = "yes" if same and trained else "NO"
    report({"same_weights": what, "same": same and trained, "largest_difference": largest},
           f"same weights as by hand, {what}: {verdict} (largest difference {largest:g})", as_json)
    return same and trained


def train_by_hand(model, loader, epochs):
    opt = minifast_adam(model)
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()


def train_with_learner(model, loader, epochs, bar):
    from minifast.data.loaders import DataLoaders
    from minifast.learner.learner import Learner
    learn = Learner(DataLoaders(loader, device="cpu"), model, loss_func=F.cross_entropy, lr=1e-3)
    if bar:
        with output_to(FakeTerminal()):
            learn.fit(epochs)
    else:
        with learn.no_bar(), learn.no_logging():
            learn.fit(epochs)


if __name__ == "__main__":
    sys.exit(1 if check_all() else 0)
