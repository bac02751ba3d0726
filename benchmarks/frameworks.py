"""The same training in every framework: `NAME(task, variant)` returns (model, a function that trains for n steps).

All train the same model with the same loss on the same loader objects, without validation. Everything is imported inside the
functions, because importing one framework can change how another behaves.
"""
import logging
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from common import FakeTerminal, output_to
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

N_CLASSES = 10


class Prebatched(Dataset):
    "Item i is the whole batch i: a loader for which loading costs next to nothing, so that the loop itself is seen."

    def __init__(self, x, y, bs, n):
        self.x, self.y, self.bs, self.n = x, y, bs, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        batch = slice(i * self.bs, (i + 1) * self.bs)
        return self.x[batch], self.y[batch]


class Task:
    "Random data and a model: `mlp` (32-64-64-10 on vectors) or `convnet` (four conv-norm-relu blocks on 1x28x28), batch 64."

    shapes = {"mlp": (32,), "convnet": (1, 28, 28)}
    lengths = {"mlp": (100, 500), "convnet": (10, 50)}      # steps of the short and the long epoch

    def __init__(self, name, loader="pre", bs=64):
        self.name, self.loader, self.bs = name, loader, bs
        self.shape, (self.short, self.long) = self.shapes[name], self.lengths[name]
        rng = torch.Generator().manual_seed(0)
        self.x = torch.randn(self.long * bs, *self.shape, generator=rng)
        self.y = torch.randint(0, N_CLASSES, (self.long * bs,), generator=rng)
        self.loaders = {}

    def model(self):
        torch.manual_seed(0)
        if self.name == "mlp":
            return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, N_CLASSES))

        def block(n_in, n_out, stride):
            return [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]

        return nn.Sequential(*block(1, 8, 1), *block(8, 16, 2), *block(16, 32, 2), *block(32, 64, 2), nn.AdaptiveAvgPool2d(1),
                             nn.Flatten(), nn.Linear(64, N_CLASSES))

    def loader_of(self, n):
        "The torch DataLoader of `n` batches, shuffled."
        if n not in self.loaders:
            if self.loader == "pre":
                self.loaders[n] = DataLoader(Prebatched(self.x, self.y, self.bs, n), batch_size=None, shuffle=True)
            else:
                self.loaders[n] = DataLoader(TensorDataset(self.x[:n * self.bs], self.y[:n * self.bs]), self.bs, shuffle=True)
        return self.loaders[n]


def hand_loop(task, make_opt):
    "The loop one writes by hand: nothing is recorded, nothing is shown."
    model = task.model()
    opt = make_opt(model)

    def run(n):
        model.train()
        for xb, yb in task.loader_of(n):
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()

    return model, run


def plain_adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def minifast_adam(model):
    "What `Learner` trains with by default: minifast's Adam (torch's fused AdamW), without weight decay for norm layers and biases."
    from minifast.optim.groups import param_groups, trainable_params
    from minifast.optim.optimizers import Adam
    return Adam(param_groups(model, trainable_params(model)), lr=1e-3)


def minifast(task, variant):
    "variant: 'no bar' (all default callbacks, nothing shown), 'bar' (with the bar and the table of a terminal)."
    from minifast.data.loaders import DataLoaders
    from minifast.learner.learner import Learner
    model, terminal = task.model(), FakeTerminal()
    learners = {n: Learner(DataLoaders(task.loader_of(n), device="cpu"), model, loss_func=F.cross_entropy, lr=1e-3)
                for n in (task.short, task.long)}

    def run(n):
        learn = learners[n]
        if variant == "bar":
            with output_to(terminal):
                learn.fit(1)
            terminal.seek(0)
            terminal.truncate()
        else:
            with learn.no_bar(), learn.no_logging():
                learn.fit(1)

    return model, run


def fastai(task, variant):
    "variant: 'bar' (with the bar of a terminal), 'no bar'."
    import fastai.callback.progress  # noqa: F401  (adds the bar to every learner, and `no_bar`)
    from fastai.callback.core import Callback, CancelValidException
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    class NoValidation(Callback):
        def before_validate(self):
            raise CancelValidException

    model, learners = task.model(), {}
    for n in (task.short, task.long):
        dls = DataLoaders(task.loader_of(n), task.loader_of(n))
        learners[n] = Learner(dls, model, loss_func=nn.CrossEntropyLoss(), lr=1e-3, cbs=NoValidation())

    def run(n):
        learn = learners[n]
        with learn.no_bar() if variant == "no bar" else nullcontext(), learn.no_logging():
            learn.fit(1)

    return model, run


def lightning(task, variant):
    "variant: 'default' (no bar, logger, checkpoint or summary)."
    import lightning as pl
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    model = task.model()

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, i):
            x, y = batch
            return F.cross_entropy(self.net(x), y)

        def configure_optimizers(self):
            return plain_adamw(self)

    module = Module()

    def run(n):
        trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
                             enable_model_summary=False)
        trainer.fit(module, task.loader_of(n))

    return model, run


def keras(task, variant):
    "variant: 'default' (verbose=0), on Keras's torch backend with the same torch module inside."
    import keras as k
    model = task.model()
    wrapped = k.Sequential([k.Input(task.shape), k.layers.TorchModuleWrapper(model, output_shape=(None, N_CLASSES))])
    wrapped.compile(optimizer=k.optimizers.AdamW(1e-3), loss=k.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)

    def run(n):
        wrapped.fit(task.loader_of(n), epochs=1, verbose=0)

    return model, run


def skorch(task, variant):
    "variant: 'default' (verbose=0, no validation split)."
    from skorch import NeuralNet
    model = task.model()
    net = NeuralNet(model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=1e-3, max_epochs=1, train_split=None, verbose=0,
                    iterator_train=lambda dataset, **kw: task.loader_of(dataset.steps)).initialize()

    class Steps(Dataset):
        "Stands for the data of n steps; the loader is the one everybody gets."

        def __init__(self, n):
            self.steps, self.dataset = n, task.loader_of(n).dataset

        def __len__(self):
            return len(self.dataset)

        def __getitem__(self, i):
            return self.dataset[i]

    def run(n):
        net.partial_fit(Steps(n), None)

    return net.module_, run


#: name (also of the package to import) -> (function, variants as (name, the hand-written loop's optimizer))
FRAMEWORKS = {
    "minifast": (minifast, [("no bar", minifast_adam), ("bar", minifast_adam), ("no bar", plain_adamw)]),
    "fastai": (fastai, [("no bar", plain_adamw), ("bar", plain_adamw)]),
    "lightning": (lightning, [("default", plain_adamw)]),
    "keras": (keras, [("default", plain_adamw)]),
    "skorch": (skorch, [("default", plain_adamw)]),
}
