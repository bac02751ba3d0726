"""The device is chosen at first use, and only if torch can really use it."""
import warnings

import fresh_process
import pytest
import torch
from suggestions import told

from minifast.core import device
from minifast.core.device import cpu_count, default_device, usable_device
from minifast.data.dataloader import DataLoader

#: What torch.cuda.get_arch_list() says in common builds.
CUDA_12 = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_110", "sm_120", "compute_120"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(device.defaults, "device", None)
    monkeypatch.setattr(device.defaults, "use_cuda", None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu(monkeypatch):
    "Pretend that there is a GPU of this compute capability, and a torch built for these."
    def make(capability, built, name="Tesla P100-PCIE-16GB"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *a: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *a: name)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    return make


@pytest.mark.parametrize("capability, built, runs", [
    ((6, 0), CUDA_12, False),                       # P100: older than everything built
    ((7, 0), CUDA_12, True),
    ((7, 0), CUDA_13, False),                       # V100: same major version as sm_75, but code for 7.5 does not run on 7.0
    ((7, 5), CUDA_13, True),
    ((8, 9), CUDA_13, True),                        # code for 8.6 runs on 8.9
    ((12, 1), CUDA_13, True),
    ((13, 0), CUDA_13, True),                       # through the PTX for 12.0
    ((13, 0), ["sm_90", "sm_120"], False),          # no PTX
    ((9, 0), ["sm_90a"], True),
    ((10, 3), ["sm_100a"], False),                  # `a`: that capability only
    ((10, 3), ["sm_100f"], True),                   # `f`: that family
    ((12, 0), ["compute_90a"], False),
    ((12, 0), ["sm_100f", "compute_100f"], False),
    ((9, 4), ["gfx90a", "gfx942"], True),           # ROCm names its devices otherwise: nothing is known against it
    ((6, 0), [], True),
])
def test_a_gpu_without_kernels_is_not_chosen(gpu, capability, built, runs):
    gpu(capability, built)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = default_device()
    assert chosen.type == ("cuda" if runs else "cpu")
    assert len(caught) == (not runs)


def test_the_warning_says_why_and_comes_once(gpu):
    gpu((6, 0), CUDA_12)
    with pytest.warns(UserWarning, match=r"P100-PCIE-16GB has compute capability 6\.0, but this torch .* was built for sm_70, .*"
                                         r"its kernels do not run on it; training on the CPU instead"):
        default_device()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert default_device().type == "cpu"


def test_demanding_a_gpu_without_kernels(gpu):
    gpu((6, 0), CUDA_12)
    with pytest.raises(RuntimeError, match=r"compute capability 6\.0.*call default_device\(False\) to use the CPU"):
        default_device(True)


def test_demanding_an_accelerator_where_there_is_none():
    with pytest.raises(RuntimeError, match=r"torch sees neither CUDA nor MPS\. Call default_device\(False\)"):
        default_device(True)


def test_use_is_remembered(gpu):
    gpu((9, 0), CUDA_12)
    assert default_device() == torch.device("cuda", 0)
    assert default_device(False).type == "cpu"
    assert default_device().type == "cpu"
    assert default_device(True).type == "cuda"


def test_a_device_that_was_set_is_used():
    device.defaults.device = "meta"
    assert default_device() == torch.device("meta")


def test_mps_comes_after_cuda(monkeypatch, gpu):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert default_device().type == "mps"
    gpu((9, 0), CUDA_12)
    assert default_device(True).type == "cuda"


def test_cpu_count(monkeypatch):
    assert 1 <= cpu_count() <= 4096
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cpu_count() == 1


def test_importing_never_asks_for_a_device():
    code = """
import torch
def touched(*args, **kwargs): raise SystemExit("CUDA was touched")
torch.cuda.is_available = torch.cuda.init = torch.cuda._lazy_init = torch.cuda.get_device_capability = touched
torch.backends.mps.is_available = touched
import minifast.core.device, minifast.core.seeds, minifast.core.nested, minifast.core.checkpoint, minifast.core.progress
import minifast.callbacks.base, minifast.data.transforms
assert minifast.core.device.defaults.device is None
print("fine")
"""
    assert fresh_process.run(code, libraries=False).stdout == "fine\n"


def test_a_device_that_this_machine_has_not(monkeypatch):
    with told("core/device.py", "Write device='cpu', or leave it out: the best device there is will be used"):
        usable_device("cuda")
    assert DataLoader([torch.zeros(1)] * 2, bs=1, device="cpu").device == torch.device("cpu")
    next(iter(DataLoader([torch.zeros(1)] * 2, bs=1)))
    with pytest.raises(RuntimeError, match="device='mps': torch .* sees no MPS device"):
        usable_device("mps")
    assert usable_device("cpu") == torch.device("cpu") and usable_device("meta").type == "meta"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert usable_device("cuda") == torch.device("cuda")
    with pytest.raises(RuntimeError, match="device='cuda:1': this machine has 1 CUDA device, counted from 0"):
        usable_device("cuda:1")
