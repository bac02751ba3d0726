"""A function run by several processes from a notebook, where torch's threads and autograd have been used before the fork."""
import os

import fresh_process
import pytest
from torchrun import ROOT

from minifast.distributed import notebook_launcher

CODE = """
import os, sys, time, torch, warnings
from torch.utils.data import TensorDataset
from minifast.basics import *

x = torch.linspace(-1, 1, 64).view(32, 2)
train_ds, valid_ds = (TensorDataset(x, x.sum(1, keepdim=True)) for _ in range(2))

def learner():
    set_seed(3)
    return Learner(DataLoaders.from_dsets(train_ds, valid_ds, bs=8, device="cpu"), nn.Linear(2, 1), MSELossFlat())

def train(epochs, name):
    learn = learner()
    learn.fit(epochs, 0.1)
    learn.save(name)
    return {"world": num_distrib(), "loss": learn.recorder.values[-1][1], "weights": list(learn.model.parameters())[0].detach()}

def fails():
    if rank_distrib() == 1:
        raise ValueError("cannot open item 17")
    distrib_barrier()

def dies():
    if rank_distrib() == 1:
        os._exit(3)
    distrib_barrier()

(torch.randn(300, 300) @ torch.randn(300, 300)).sum()
alone = learner()
alone.fit(2, 0.1)                                             # threads and autograd are in use
got = notebook_launcher(train, (2, "together"), num_processes=2)
assert got["world"] == 2, got
torch.testing.assert_close(got["weights"], list(alone.model.parameters())[0].detach(), rtol=0, atol=1e-6)
torch.testing.assert_close(got["weights"], list(learner().load("together").model.parameters())[0].detach())
for f, words in ((fails, ["cannot open item 17"]), (dies, ["exit code 3"])):
    try:
        notebook_launcher(f, num_processes=2, timeout=20)
        raise AssertionError("no error")
    except RuntimeError as e:
        assert str(e).startswith("rank 1 of 2 failed first") and all(w in str(e) for w in words), e
assert notebook_launcher(lambda: learner(), num_processes=2) is None
"""


def test_one_process_runs_it_here():
    assert notebook_launcher(os.getpid) == os.getpid()
    assert notebook_launcher(lambda a, b: a + b, (1, 2), num_processes=1) == 3


def test_within_one_of_several_it_runs_here(monkeypatch):
    "A script of `minifast launch` that holds the lines of a notebook."
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29512"}.items():
        monkeypatch.setitem(os.environ, name, value)
    assert notebook_launcher(os.getpid, num_processes=2) == os.getpid()


@pytest.mark.parametrize("args, words", [
    ({"function": "train"}, "the function that trains"), ({"function": print, "args": 3}, "a tuple of its arguments"),
    ({"function": print, "num_processes": 0}, "a whole number from 1 up"),
    ({"function": print, "timeout": -1}, "seconds, a number above 0"),
])
def test_wrong_arguments(args, words):
    with pytest.raises((ValueError, TypeError), match=words):
        notebook_launcher(**args)


@pytest.mark.slow
def test_two_processes_from_a_notebook(tmp_path):
    done = fresh_process.run(CODE, cwd=tmp_path, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch 1 ") == 2                         # alone, and the first of two
    assert "which stays in its process. Save what is needed there" in done.stderr
