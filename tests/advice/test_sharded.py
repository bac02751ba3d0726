"What the messages about divided weights (FSDP2, `sharded=True`) say to write: one process, among whose one rank the weights are divided."
from functools import partial

import pytest
from suggestions import told
from torch.distributed import checkpoint as dcp
from workshop import learner

from minifast.basics import *
from minifast.callbacks import distributed
from minifast.core import checkpoint
from minifast.core.sharded import is_sharded


@pytest.fixture(autouse=True)
def group_of_one(monkeypatch):
    "A process group of this process alone, which a learner takes for several."
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    yield
    torch.distributed.destroy_process_group()


class Divided(Callback):
    "Whether the weights are divided while the model trains."

    def before_batch(self):
        self.found = all(map(is_sharded, self.learn.model.parameters()))


def fit(learn, strategy="fsdp2", **kwargs):
    "Fit one epoch with the strategy, and see that it is the one."
    learn.to_distributed(strategy, **kwargs).fit(1, cbs=(watch := Divided()))
    assert watch.found == (strategy == "fsdp2")


class Reader(nn.Module):
    "Uses the weights of a layer without calling it."

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x):
        return self.layers[1](x @ self.layers[0].weight)


def test_weights_that_another_module_uses(tmp_path):
    def made():
        return learner(nn.Sequential(Reader(), nn.Linear(4, 3)), path=tmp_path)

    learn = made()
    learn.save("name")
    with told("callbacks/distributed.py", "name the classes of modules whose weights belong together, "
                                          "learn.to_distributed('fsdp2', blocks=[...]), or blocks=[] for the whole model"):
        fit(learn)
    with told("callbacks/distributed.py", "make the learner again, and load what was saved, learn.load('name')"):
        fit(learn)
    for blocks in ([Reader], []):
        fit(made().load("name"), blocks=blocks)


class Unused(nn.Linear):
    "A layer with another one beside it that takes no part."

    def __init__(self):
        super().__init__(4, 3)
        self.unused = nn.Linear(4, 3)


def test_a_part_that_takes_no_part():
    with told("callbacks/distributed.py", "write learn.to_distributed(find_unused_parameters=True), or take the part out"):
        fit(learner(Unused()), strategy="ddp")
    fit(learner(Unused()), strategy="ddp", find_unused_parameters=True)
    learn = learner(Unused())
    del learn.model.unused
    fit(learn, strategy="ddp")


def test_models_that_cannot_be_divided():
    def embedding(sparse):
        return nn.Sequential(Lambda(lambda x: (x > 0).long()), nn.Embedding(2, 3, sparse=sparse), Lambda(lambda x: x.mean(1)))

    with told("callbacks/distributed.py", "leave out learn.compile()", ", or write strategy='ddp'"):
        fit(learner().compile())
    fit(learner())
    fit(learner().compile(backend="eager"), strategy="ddp")
    with told("callbacks/distributed.py", "an embedding of the model has sparse gradients: make it with sparse=False"):
        fit(learner(embedding(True)))
    fit(learner(embedding(False)))


class Scaled(nn.Linear):
    "A layer with one more weight."

    def __init__(self, shape):
        super().__init__(4, 3)
        self.scale = nn.Parameter(torch.ones(shape))

    def forward(self, x):
        return super().forward(x) * self.scale


def test_weights_that_cannot_be_divided():
    with told("callbacks/sharded.py", "give it the shape (1,), leave out ChannelsLast, or write strategy='ddp'"):
        fit(learner(Scaled(())))
    fit(learner(Scaled((1,))))
    fit(learner(Scaled(())), strategy="ddp")
    images = [nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2), nn.Flatten()]
    with told("callbacks/distributed.py", "ChannelsLast lays weights out anew, which divided ones do not allow: leave it out"):
        fit(learner(nn.Sequential(*images), cbs=ChannelsLast()))
    fit(learner(nn.Sequential(*images)))


class Shift(nn.Module):
    "Adds a parameter to its input."

    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x + self.by


def test_parameters_of_a_loss():
    shift = Shift()

    def shifted_loss(pred, target):
        return nn.functional.cross_entropy(shift(pred), target)

    def made():
        return learner(loss_func=shifted_loss, splitter=lambda model: [[*model.parameters()], [*shift.parameters()]])

    with told("callbacks/sharded.py", "put them into the model, or write strategy='ddp'"):
        fit(made())
    fit(learner(nn.Sequential(nn.Linear(4, 3), shift)))
    fit(made(), strategy="ddp")


def test_optimizers_that_cannot_step_divided_parameters():
    adafactor = partial(OptimWrapper, opt=torch.optim.Adafactor)
    with told("callbacks/sharded.py", "Use Adam, or write strategy='ddp'"):
        fit(learner(opt_func=adafactor))
    fit(learner(opt_func=Adam))
    fit(learner(opt_func=adafactor), strategy="ddp")


def test_shards_of_an_older_torch(tmp_path, monkeypatch):
    learn = learner(path=tmp_path)
    with monkeypatch.context() as older:
        older.delattr(dcp, "HuggingFaceStorageWriter")
        with told("core/shard_files.py", "leave it out, learn.save('name')"):
            learn.save("name", sharded=True)
        assert learn.save("name").is_file()
    learner(path=tmp_path).load("name")


def test_a_folder_that_is_none_of_shards(tmp_path):
    learn = learner(path=tmp_path)
    checkpoint.save({"x": torch.ones(2)}, tmp_path / "models" / "name.shards" / "checkpoint.safetensors")
    with told("core/shard_files.py", "is not what learn.save(..., sharded=True) writes"):
        learn.load("name")
    learn.save("name", sharded=True)
    learn.load("name")


def test_two_files_of_one_name(tmp_path):
    learn = learner(path=tmp_path)
    for sharded in (True, False):
        learn.save("a", sharded=sharded)
    with told("learner/saving.py", "name one of them, learn.load(…) or learn.load(…)"):
        learn.load("a")
    learn.load("a.shards")
    learn.load("a.safetensors")
