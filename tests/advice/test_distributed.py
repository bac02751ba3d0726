"What the messages about several processes say to write."
import os
import subprocess
import sys

import fresh_process
import pytest
from suggestions import told
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data.distributed import DistributedSampler
from torchrun import CLI, ROOT
from workshop import learner, numbers, wanted

from minifast.basics import *
from minifast.callbacks import distributed
from minifast.core import meetings, ranks
from minifast.data.torch_parts import TorchParts
from minifast.distributed.launcher import process_count
from minifast.distributed.notebooks import run_notebook


def environment(monkeypatch, **told_by_launcher):
    "Puts a launcher's variables into the environment."
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29513", **told_by_launcher}.items():
        monkeypatch.setitem(os.environ, name, value)


def test_variables_that_contradict_each_other(monkeypatch):
    environment(monkeypatch, RANK="2")
    with told("core/ranks.py", "or unset them: os.environ.pop('RANK')"):
        ranks.world_size()
    os.environ.pop("RANK")
    assert ranks.world_size() == 1


def test_a_rank_that_waits_in_vain(monkeypatch):
    environment(monkeypatch, RANK="1", MINIFAST_TIMEOUT="0.3")
    with told("core/ranks.py", "give slow ones more time with MINIFAST_TIMEOUT=1800; where this process"):
        ranks.world_size()
    monkeypatch.setitem(os.environ, "MINIFAST_TIMEOUT", "1800")
    with monkeypatch.context() as without:
        without.delitem(os.environ, "RANK")
        assert ranks.world_size() == 1


@pytest.mark.slow
def test_a_timeout_that_is_none(monkeypatch, tmp_path):
    environment(monkeypatch, RANK="1", MINIFAST_TIMEOUT="soon")
    with told("core/ranks.py", "a number above 0, such as MINIFAST_TIMEOUT=600"):
        ranks.join()
    code = ("import torch, datetime; s = torch.distributed.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)\n"
            "import os; os.environ.update(MASTER_PORT=str(s.port), TORCHELASTIC_USE_AGENT_STORE='True', RANK='0', WORLD_SIZE='2')\n"
            "if os.fork() == 0: os.environ['RANK'] = '1'\n"
            "from minifast.core import ranks; assert ranks.world_size() == 2; ranks.barrier()")
    fresh_process.run(code, env={**os.environ, "MINIFAST_TIMEOUT": "600"}, timeout=100, check=True)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with told("distributed/launcher.py", "each process takes one: nproc=…"):
        process_count(3)
    assert process_count(2) == 2


def test_a_notebook_that_takes_a_value_from_the_shell(tmp_path):
    file = tmp_path / "a.ipynb"
    file.write_text('{"cells": [{"cell_type": "code", "source": "files = !ls"}]}')
    with told("distributed/notebooks.py", "such as `subprocess.check_output(['ls'], text=True).split()`"):
        run_notebook(file, {})
    file.write_text(file.read_text().replace("!ls", "subprocess.check_output(['ls'], text=True).split()"))
    run_notebook(file, names := {"subprocess": subprocess})
    assert isinstance(names["files"], list)


def test_a_gpu_in_use_before_the_fork(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with told("distributed/notebook_launcher.py", "Restart the kernel, and keep everything that touches a GPU"):
        notebook_launcher(noop, num_processes=2)
    monkeypatch.undo()
    assert notebook_launcher(lambda: 3, num_processes=1) == 3


@pytest.mark.slow
def test_a_system_that_cannot_fork(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with told("distributed/notebook_launcher.py", "write `minifast launch --nproc … train.py` in a terminal"):
        notebook_launcher(noop, num_processes=2)
    (tmp_path / "train.py").write_text("from minifast.core import ranks\nassert ranks.world_size() == 2")
    fresh_process.run(CLI, "launch", "--nproc", "2", "train.py", cwd=tmp_path, check=True, libraries=False)


@pytest.mark.slow
def test_a_function_that_returns_a_learner(tmp_path):
    code = ("import warnings; from workshop import *\n"
            "def train():\n    learn = learner(); learn.save('trained'); return learn.loss_func.func if RETURNS else 3\n"
            "print(notebook_launcher(train, num_processes=2))")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = [fresh_process.run(f"RETURNS = {returns}\n{code}", cwd=tmp_path, env=env) for returns in (True, False)]
    with told("distributed/notebook_launcher.py", "such as learn.save('trained'), and return plain values"):
        raise RuntimeError(done[0].stderr)
    assert done[1].stdout == "3\n" and (tmp_path / "models" / "trained.safetensors").exists()


def test_names_of_fastai():
    learn = learner()
    with told("compat/fastai_names.py", "its part of every batch: `learn.fit` with them as they are"):
        wanted("DistributedDL")
    learn.fit(1)


@pytest.mark.slow
def test_launch(tmp_path):
    (tmp_path / "train.py").write_text("print('trained')")
    with told("compat/fastai_names.py", "with the script as it is, `minifast launch train.py`"):
        wanted("ParallelTrainer")
    told_to = [[sys.executable, "-m", "minifast", "launch", "train.py"]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with told("core/ranks.py", "each rank takes one: write torchrun --nproc-per-node=…"):
        with pytest.MonkeyPatch.context() as patched:
            environment(patched, RANK="1", LOCAL_RANK="1")
            patched.setattr(torch.cuda, "device_count", lambda: 1)
            ranks.world_size()
    told_to.append([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1", "train.py"])
    for command in told_to:
        assert "trained" in subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True).stdout


def test_synchronised_batch_norm_on_a_cpu(monkeypatch):
    learn = learner(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))).to_distributed(sync_bn=True)
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "world_size", lambda: 2)
        patched.setattr(distributed, "gathered", lambda x: [x, x])
        with told("callbacks/distributed.py", "leave sync_bn out, or use a norm that does not look at other items, such as nn.GroupNorm"):
            learn.fit(1)
        learn.to_distributed(sync_bn=False)
    learner(nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.Linear(4, 3))).to_distributed().fit(1)


def test_synchronised_batch_norm_of_a_class_of_ones_own(monkeypatch):
    class Halved(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x) / 2

    learn = learner(nn.Sequential(nn.Linear(4, 4), Halved(4), nn.Linear(4, 3))).to_distributed(sync_bn=True)
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "world_size", lambda: 2)
        patched.setattr(distributed, "gathered", lambda x: [x, x])
        with told("callbacks/distributed.py",
                  "give the class a method synchronised() that returns the layer to train with, or leave sync_bn out"):
            learn.fit(1)
        Halved.synchronised = lambda self: self
        with pytest.raises(ValueError, match="torch synchronises batch norm on GPUs only"):
            learn.fit(1)
    learn.to_distributed(sync_bn=False).fit(1)

    Halved.synchronised = lambda self: nn.SyncBatchNorm(4)
    learn = learner(nn.Sequential(nn.Linear(4, 4), Halved(4), nn.BatchNorm1d(4), nn.Linear(4, 3))).to_distributed(sync_bn=True)
    monkeypatch.setattr(type(learn.dls), "device", torch.device("cuda"))
    next(cb for cb in learn.cbs if isinstance(cb, distributed.DistributedTrainer))._synchronise_norms()
    assert [type(m) for m in learn.model[1:3]] == [nn.SyncBatchNorm, nn.SyncBatchNorm]


def test_a_rank_that_leaves_alone(monkeypatch):
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment(monkeypatch, MASTER_PORT=str(store.port))
    for name, value in (("world_size", lambda: 2), ("rank", lambda: 1), ("timeout", lambda: 0.5)):
        monkeypatch.setattr(meetings, name, value)
    with told("core/meetings.py", "Let rank 0 decide: `if shared(stop): raise CancelFitException`, with `from minifast.distributed"):
        meetings.meet("the end")
    monkeypatch.undo()
    from minifast.distributed import shared

    def decide(cb):
        stop = cb.epoch == 1
        if shared(stop):
            raise CancelFitException

    learn = learner(cbs=Callback(after_epoch=decide))
    learn.fit(5)
    assert learn.recorder.last.iters == [len(learn.dls.train)]            # the second epoch was left before its row


def test_a_state_that_another_machine_does_not_see(monkeypatch, tmp_path):
    from minifast.callbacks import resume
    monkeypatch.setattr(resume, "is_main", lambda: False)
    monkeypatch.setattr(resume, "shared", lambda x: x or str(tmp_path / "r.safetensors"))
    with told("callbacks/resume.py", "a folder on a disk that all of them share, `learn.path = Path('...')`"):
        learner(path=tmp_path / "own").fit(1, resume=Resume("r"))
    monkeypatch.undo()
    learn = learner()
    learn.path = Path(tmp_path)
    learn.fit(1, resume=Resume("r"))


def test_loaders_that_cannot_be_divided():
    dataset = numbers().train_ds
    with told("data/torch_parts.py", "train on all of it: give …",
              "a loader over a dataset with `len` and indices, such as DataLoader(dataset, bs=64)"):
        TorchParts([dataset])
    assert DataLoader(dataset, bs=64).n == 20
    with told("data/torch_parts.py", "leave the sampler out, write shuffle=True, and let batch_size be that of all ranks together"):
        TorchParts(TorchDataLoader(dataset, batch_size=2, sampler=DistributedSampler(dataset, 2, 0)))
    assert len(list(TorchParts(TorchDataLoader(dataset, batch_size=4, shuffle=True)))) == 5
